//! Errors of the API for requests that it refuses, in its words.
//!
//! [`body`] checks the form of a request, [`history`] the items of its whole conversation.

pub(crate) mod body;
pub(crate) mod history;
