//! Errors of requests.

use thiserror::Error;

use crate::json::DecodeError;

/// Reason why a request was rejected before anything was sent.
///
/// ```
/// use responses_client::{ResponsesRequest, error::RequestError};
///
/// let error = ResponsesRequest::from_json("[]").unwrap_err();
/// assert!(matches!(error, RequestError::Body(_)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The body is not one that the API accepts.
    #[error(transparent)]
    Body(DecodeError),
    /// `extra` has a member that belongs to the transport.
    #[error("`{0}` belongs to the transport: remove it from the request")]
    ReservedField(String),
    /// A member is set twice.
    #[error("`{0}` is set twice: set it once, as a field or in `extra`")]
    RepeatedField(String),
    /// The transport policy forbids every transport that this turn could use.
    #[error("{0}, and the transport policy allows no alternative: use `TransportPolicy::Auto`")]
    NoTransport(&'static str),
    /// The response id is empty, or cannot be part of a URL.
    #[error("invalid response id")]
    ResponseId,
    /// A header that cannot be sent with one turn: see
    /// [`TurnBuilder::header`](crate::TurnBuilder::header).
    #[error("cannot send the header `{name}` with one turn: {reason}")]
    #[non_exhaustive]
    TurnHeader {
        /// Name of the header, as given; at most 64 bytes, with strings that look like keys masked.
        name: String,
        /// Reason why the header cannot be sent.
        reason: &'static str,
    },
}
