//! Endpoints of the API other than creating a response.

pub(crate) mod responses;

mod call;
