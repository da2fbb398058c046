//! Endpoints of the API that are not turns.

pub(crate) mod responses;

mod call;
