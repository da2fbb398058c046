//! What an error means for sending the request again.

use std::time::Duration;

use super::{Cause, Error, ProtocolError};
use crate::{
    api::ErrorClass,
    kind::{Delivery, ErrorKind},
    request::RequestError,
};

/// What the caller may do about an [`Error`], now that the session has done what it may: see
/// [`Error::retry_action`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "whoever acts on it must not overlook a case")]
pub enum RetryAction {
    /// Send it again: it certainly did not run.
    Retry {
        /// When the server wants to be asked again, if it said so.
        after: Option<Duration>,
    },
    /// Send it again if it may run, and be billed, twice: it may have run.
    RetryMayRepeat {
        /// When the server wants to be asked again, if it said so.
        after: Option<Duration>,
    },
    /// Get other credentials, or the permission that these lack.
    Reauthenticate,
    /// Change the request: it would fail again as it is.
    ChangeRequest,
    /// Change how the client is set up or called: its address, network, limits or policies.
    Reconfigure,
    /// Nothing: a quota is used up, or the turn was ended by the caller's own doing.
    Stop,
}

impl Error {
    /// What may be done about it now. The session has tried what its
    /// [`RetryPolicy`](crate::RetryPolicy) allows.
    ///
    /// ```
    /// # use responses_client::{Error, error::RetryAction};
    /// fn advice(error: &Error) -> &'static str {
    ///     match error.retry_action() {
    ///         RetryAction::Retry { .. } => "put it back into the queue",
    ///         RetryAction::RetryMayRepeat { .. } => "ask whether it may be billed twice",
    ///         RetryAction::Reauthenticate => "log in again",
    ///         RetryAction::ChangeRequest => "shorten or correct the request",
    ///         RetryAction::Reconfigure => "tell the operator",
    ///         RetryAction::Stop => "give up",
    ///     }
    /// }
    /// ```
    pub fn retry_action(&self) -> RetryAction {
        let after = self.retry_after();
        let again = match self.delivery() {
            Delivery::NotSent | Delivery::Refused => RetryAction::Retry { after },
            Delivery::Unknown | Delivery::Accepted | Delivery::OutputStarted => {
                RetryAction::RetryMayRepeat { after }
            }
        };
        match self.kind() {
            ErrorKind::Connect | ErrorKind::Timeout | ErrorKind::Truncated => again,
            ErrorKind::Closed => match self.close_frame().map(|frame| frame.code) {
                Some(1008 | 1009) => RetryAction::ChangeRequest,
                // Vercel's "payment required".
                Some(4402) => RetryAction::Stop,
                _ => again,
            },
            ErrorKind::Api => match self.class() {
                ErrorClass::SocketAge
                | ErrorClass::Transient
                | ErrorClass::Overload
                | ErrorClass::Unknown => again,
                ErrorClass::Quota | ErrorClass::RetryForbidden => RetryAction::Stop,
                ErrorClass::Credential | ErrorClass::Permission => RetryAction::Reauthenticate,
                ErrorClass::LostParent | ErrorClass::Request => RetryAction::ChangeRequest,
                ErrorClass::WrongEndpoint => RetryAction::Reconfigure,
            },
            ErrorKind::Protocol => match &self.0.cause {
                Cause::Protocol(
                    ProtocolError::Redirect(_)
                    | ProtocolError::ContentType(_)
                    | ProtocolError::ContentEncoding(_)
                    | ProtocolError::WebPage(_)
                    | ProtocolError::Handshake(_),
                ) => RetryAction::Reconfigure,
                _ => again,
            },
            ErrorKind::InvalidRequest => match &self.0.cause {
                Cause::Request(
                    RequestError::Body(_)
                    | RequestError::ReservedField(_)
                    | RequestError::RepeatedField(_),
                ) => RetryAction::ChangeRequest,
                _ => RetryAction::Reconfigure,
            },
            ErrorKind::Auth => RetryAction::Reauthenticate,
            ErrorKind::InvalidConfig
            | ErrorKind::Tls
            | ErrorKind::Proxy
            | ErrorKind::ProxyAuthentication
            | ErrorKind::UpgradeRefused
            | ErrorKind::TooLarge
            | ErrorKind::NoRuntime => RetryAction::Reconfigure,
            ErrorKind::Superseded | ErrorKind::SessionClosed | ErrorKind::Decode => {
                RetryAction::Stop
            }
        }
    }
}
