//! Retrieving and cancelling of stored responses.

use http::Method;

use super::call::{Call, call};
use crate::{
    endpoint::Endpoint,
    error::{Error, ProtocolError},
    kind::Phase,
    response::Response,
};

/// Operation on a stored response.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ResponseOp {
    /// Returns the response.
    Retrieve,
    /// Cancels the response if it is still running, and returns it.
    Cancel,
}

/// Performs `op` on the response with this id.
///
/// # Errors
///
/// Returns [`InvalidRequest`](crate::ErrorKind::InvalidRequest) if the id cannot be part of a path,
/// and the errors of [`call`].
pub(crate) async fn run(endpoint: &Endpoint, id: &str, op: ResponseOp) -> Result<Response, Error> {
    let (method, action) = match op {
        ResponseOp::Retrieve => (Method::GET, None),
        ResponseOp::Cancel => (Method::POST, Some("cancel")),
    };
    let body = call(endpoint, Call { method, uri: endpoint.response_uri(id, action)? }).await?;
    Response::read(body).map_err(|source| {
        let event = "response".to_owned();
        Error::protocol(Phase::Events, ProtocolError::Event { event, source })
    })
}
