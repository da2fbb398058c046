//! Recommended reaction of the caller to an error.

use super::{Cause, ConnectError, Error, ProtocolError};
use crate::{
    api::ErrorClass,
    format::named,
    kind::{Delivery, ErrorKind},
    request::RequestError,
};

/// Recommended reaction to an [`Error`], returned by [`Error::retry_action`]. The session has
/// already made every retry that its policy allows.
///
/// ```
/// use responses_client::{Error, RetryAction};
///
/// fn may_retry(error: &Error) -> bool {
///     error.retry_action() == RetryAction::Retry
/// }
/// # let _ = may_retry;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RetryAction {
    /// Retry, after [`Error::retry_after`] if the server asked for a delay: the request certainly
    /// did not run.
    Retry,
    /// Like [`Retry`](Self::Retry), but only if running and billing the request twice is
    /// acceptable: it may have run.
    RetryMayRepeat,
    /// Use other credentials, or obtain the permission that these lack.
    Reauthenticate,
    /// Change the request: unchanged, it would fail again.
    ChangeRequest,
    /// Change the configuration or the call of the client: its address, network, limits or
    /// policies.
    Reconfigure,
    /// Do not retry: a quota is used up, or the caller itself ended the turn.
    Stop,
}

impl Error {
    /// Returns `true` if another attempt may succeed and certainly does not run the request twice:
    /// if [`retry_action`](Self::retry_action) is [`RetryAction::Retry`].
    pub fn is_retryable(&self) -> bool {
        self.retry_action() == RetryAction::Retry
    }

    /// Returns the recommended reaction. The session has already made every retry that its
    /// [`RetryPolicy`](crate::RetryPolicy) allows.
    ///
    /// ```
    /// # use responses_client::{Error, error::RetryAction};
    /// fn advice(error: &Error) -> &'static str {
    ///     match error.retry_action() {
    ///         RetryAction::Retry => "put it back into the queue",
    ///         RetryAction::RetryMayRepeat => "ask whether it may be billed twice",
    ///         RetryAction::Reauthenticate => "log in again",
    ///         RetryAction::ChangeRequest => "shorten or correct the request",
    ///         RetryAction::Reconfigure => "tell the operator",
    ///         RetryAction::Stop | _ => "give up",
    ///     }
    /// }
    /// ```
    pub fn retry_action(&self) -> RetryAction {
        let again = match self.delivery() {
            Delivery::NotSent | Delivery::Refused => RetryAction::Retry,
            Delivery::Unknown | Delivery::Accepted | Delivery::OutputStarted => {
                RetryAction::RetryMayRepeat
            }
        };
        if self.connect_error().is_some_and(ConnectError::may_pass) {
            return again;
        }
        match self.kind() {
            ErrorKind::Connect
            | ErrorKind::Timeout
            | ErrorKind::Truncated
            | ErrorKind::PoolFull => again,
            ErrorKind::Closed => match self.close_frame().map(|frame| frame.code) {
                Some(1008 | 1009) => RetryAction::ChangeRequest,
                // Vercel closes with 4402 for "payment required".
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
                    | ProtocolError::SignIn(_)
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
                    | RequestError::RepeatedField(_)
                    | RequestError::TurnHeader { .. },
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
            | ErrorKind::FellBehind
            | ErrorKind::NoRuntime => RetryAction::Reconfigure,
            ErrorKind::Superseded
            | ErrorKind::SessionClosed
            | ErrorKind::Stopped
            | ErrorKind::Decode => RetryAction::Stop,
        }
    }
}

named! {
    RetryAction {
        Retry = "retry",
        RetryMayRepeat = "retry_may_repeat",
        Reauthenticate = "reauthenticate",
        ChangeRequest = "change_request",
        Reconfigure = "reconfigure",
        Stop = "stop",
    }
}
