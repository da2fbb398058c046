//! The error of a request that cannot be sent.

use thiserror::Error;

use crate::json::DecodeError;

/// Reason why a request was refused before anything was sent.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The body is not what the API takes.
    #[error("the body could not be read")]
    Body(#[source] DecodeError),
    /// `extra` has a member that belongs to the transport.
    #[error("`{0}` belongs to the transport: leave it out of the request")]
    ReservedField(String),
    /// A member is given twice.
    #[error("`{0}` is given twice, or both as a field and in `extra`")]
    RepeatedField(String),
    /// The transport policy forbids every transport that this turn could use.
    #[error("{0}, and the transport policy allows nothing else")]
    NoTransport(&'static str),
    /// Invalid response id.
    #[error("invalid response id")]
    ResponseId,
    /// A credential that cannot be sent as a header.
    #[error("a header or a credential has characters that no header may have, or is empty")]
    InvalidHeader,
}
