//! What an error means for sending the request again.

use std::{fmt, time::Duration};

use super::{
    ApiError, Cause, Delivery, Error, ErrorCode, ErrorKind, ProtocolError, RequestError,
    code::Group, types,
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

/// What an error of the server means for the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// The response to be continued is gone.
    LostParent,
    /// The WebSocket has reached its age.
    SocketAge,
    /// It may go well in a moment.
    Moment,
    /// It may go well in a while.
    Overload,
    /// It might go well later, but the server does not want to be asked.
    Declined,
    /// There is nothing left to spend.
    Quota,
    /// The credentials are not taken.
    Credential,
    /// The credentials are good, but not for this.
    Permission,
    /// The API is not at this address.
    Address,
    /// The request cannot go well as it is.
    Request,
    /// The server told nothing that it could be known by.
    Unknown,
}

impl Class {
    /// Whether the same request may go well later, so that it was turned away rather than failed.
    pub(crate) fn passes(self) -> bool {
        matches!(self, Self::SocketAge | Self::Moment | Self::Overload)
    }
}

impl ApiError {
    /// What it means for the request. A code that is known counts before everything else, and
    /// `x-should-retry` before the status.
    pub(crate) fn class(&self) -> Class {
        if self.is_lost_parent() {
            return Class::LostParent;
        }
        let by_code = self.code.as_ref().and_then(ErrorCode::group);
        let by_type = self.error_type.as_deref().and_then(types::group);
        let group = match (by_code, by_type) {
            (None, Some(Group::Quota)) => by_type,
            // A status says more than the other types do.
            (None, _) if self.status.is_none() => by_type,
            _ => by_code,
        };
        let class = match group {
            Some(Group::Parent) => Class::LostParent,
            Some(Group::SocketAge) => Class::SocketAge,
            Some(Group::Moment) => Class::Moment,
            Some(Group::Overload) => Class::Overload,
            Some(Group::Quota) => Class::Quota,
            Some(Group::Credential) => Class::Credential,
            Some(Group::Permission) => Class::Permission,
            Some(Group::Policy | Group::Image | Group::Request) => Class::Request,
            None => match (self.by_status(), self.should_retry()) {
                (Class::Moment | Class::Overload, _) | (_, None | Some(false)) => self.by_status(),
                (_, Some(true)) => Class::Moment,
            },
        };
        match class {
            Class::Moment | Class::Overload if self.should_retry() == Some(false) => {
                Class::Declined
            }
            class => class,
        }
    }

    fn by_status(&self) -> Class {
        let told = self.code.is_some() || self.error_type.is_some();
        match self.status {
            None => Class::Unknown,
            Some(401) => Class::Credential,
            Some(402) => Class::Quota,
            Some(403) => Class::Permission,
            Some(404 | 405) if !told => Class::Address,
            Some(503 | 529) => Class::Overload,
            Some(408 | 409 | 425 | 429 | 500..) => Class::Moment,
            Some(_) => Class::Request,
        }
    }

    /// `x-should-retry`: what the server thinks of asking again.
    fn should_retry(&self) -> Option<bool> {
        self.headers.get("x-should-retry")?.to_str().ok()?.trim().parse().ok()
    }
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
                Class::SocketAge | Class::Moment | Class::Overload | Class::Unknown => again,
                Class::Quota | Class::Declined => RetryAction::Stop,
                Class::Credential | Class::Permission => RetryAction::Reauthenticate,
                Class::LostParent | Class::Request => RetryAction::ChangeRequest,
                Class::Address => RetryAction::Reconfigure,
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

    /// What the server's account means for the request, where there is one.
    pub(super) fn class(&self) -> Class {
        self.api_error().map_or(Class::Unknown, ApiError::class)
    }

    /// What to do about it, in words.
    pub(super) fn write_advice(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind() {
            ErrorKind::InvalidRequest | ErrorKind::InvalidConfig => "change what its source names",
            ErrorKind::Auth => "see to the client's `Auth`; the source says why",
            ErrorKind::Connect => "check the address, the network and the proxy, then try again",
            ErrorKind::Tls => {
                "behind a proxy that opens TLS, trust its CA with \
                 `NetworkSettings::root_certificates_pem`"
            }
            ErrorKind::Proxy => "ask its administrator, or choose another `ProxySetting`",
            ErrorKind::ProxyAuthentication => "put `user:password@` into its address",
            ErrorKind::UpgradeRefused => "allow SSE with `TransportPolicy::Auto`",
            ErrorKind::TooLarge => "raise `Limits::event` or `Limits::read_ahead`",
            ErrorKind::Superseded => "read the stream of that turn",
            ErrorKind::SessionClosed => "begin another session",
            ErrorKind::NoRuntime => "call it inside of one",
            ErrorKind::Decode => "correct the text; the source says where",
            ErrorKind::Timeout
            | ErrorKind::Api
            | ErrorKind::Closed
            | ErrorKind::Truncated
            | ErrorKind::Protocol => match self.retry_action() {
                RetryAction::Retry { after: Some(after) } => {
                    return write!(f, "send it again, after {after:.1?}");
                }
                RetryAction::Retry { after: None } => "send it again",
                RetryAction::RetryMayRepeat { .. } => "send it again if it may be billed twice",
                RetryAction::Reauthenticate => "give credentials that allow it",
                RetryAction::ChangeRequest => "change the request",
                RetryAction::Reconfigure => "check the base URL, and the proxies on the way",
                RetryAction::Stop => "sending it again does not help",
            },
        })
    }
}
