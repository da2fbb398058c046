//! Errors: kind, cause and delivery, with the partial response and the report of the turn.

pub use action::RetryAction;
pub use connect::{ConnectError, ConnectStep, ProxyAnswer, ProxyError, TlsError};
pub use detail::{CloseFrame, ProtocolError, WebPage};
pub use failure::Error;

pub(crate) use context::{ErrorContext, Peer, ProxyPeer};
pub(crate) use detail::NoPong;
pub(crate) use failure::Cause;

#[doc(inline)]
pub use crate::{
    api::{ApiError, ErrorCode},
    config::ConfigError,
    json::DecodeError,
    kind::{Delivery, ErrorKind, Phase},
    request::RequestError,
    response::OutputError,
};

mod action;
mod advice;
mod connect;
mod context;
mod detail;
mod display;
mod failure;
#[cfg(test)]
mod tests;
