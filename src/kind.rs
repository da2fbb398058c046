//! Kind, phase and delivery of an error.

use std::fmt;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request cannot be sent as it is; the source says why. Nothing was sent.
    InvalidRequest,
    /// A client cannot be made of these settings; the source says why.
    InvalidConfig,
    /// The credentials could not be had: an [`Auth`](crate::Auth) of the caller's failed.
    Auth,
    /// No connection: the name did not resolve, or nobody answered at the address.
    Connect,
    /// No TLS session: an unknown issuer (a proxy that opens TLS, say), or a wrong name.
    Tls,
    /// The proxy refused the way.
    Proxy,
    /// The proxy wants credentials, or other ones.
    ProxyAuthentication,
    /// A time set in [`Timeouts`](crate::Timeouts) ran out; [`phase`](crate::Error::phase) says
    /// in which phase.
    Timeout,
    /// The server does not speak WebSocket here, and SSE is not allowed.
    UpgradeRefused,
    /// The server answered with an error: see [`api_error`](crate::Error::api_error).
    Api,
    /// The WebSocket was closed before the response ended.
    Closed,
    /// The connection or the body ended before the response did.
    Truncated,
    /// The server broke the protocol; the source says how.
    Protocol,
    /// An event was larger than [`Limits::event`](crate::Limits::event), or more came before the
    /// response began than [`Limits::read_ahead`](crate::Limits::read_ahead).
    TooLarge,
    /// The session began another turn meanwhile.
    Superseded,
    /// The session was closed.
    SessionClosed,
    /// There is no tokio runtime here, or the one in which the turn began has shut down. (One
    /// without a timer panics, as it does everywhere.)
    NoRuntime,
    /// JSON could not be read: a [`DecodeError`](crate::error::DecodeError) of the caller's that
    /// `?` made an [`Error`](crate::Error). No turn ends with it.
    Decode,
}

/// Where in a turn it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Before anything was opened.
    Prepare,
    /// While connecting, the upgrade included.
    Connect,
    /// While the request was being sent.
    Send,
    /// Between the request and the first event.
    FirstEvent,
    /// Between the first event and the end of the response.
    Events,
}

/// How far a request got. Each step includes the chance that it was billed, but the first
/// two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Delivery {
    /// No byte of it left.
    NotSent,
    /// The server did not run the request, and proves it: by a status 4xx other than 408, by an
    /// error code other than `server_error`, by status 503 with a code or `Retry-After`, or by the
    /// close code 1001, 1009, 1012 or 1013.
    Refused,
    /// The request was sent, and nothing proves whether it ran: nothing came back, or an error
    /// that does not say so (408, 500, 502, 504, 520 to 529, 503 without a code and `Retry-After`).
    Unknown,
    /// The server accepted it.
    Accepted,
    /// There was output.
    OutputStarted,
}

impl ErrorKind {
    /// The kind in snake case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidConfig => "invalid_config",
            Self::Auth => "auth",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Proxy => "proxy",
            Self::ProxyAuthentication => "proxy_authentication",
            Self::Timeout => "timeout",
            Self::UpgradeRefused => "upgrade_refused",
            Self::Api => "api",
            Self::Closed => "closed",
            Self::Truncated => "truncated",
            Self::Protocol => "protocol",
            Self::TooLarge => "too_large",
            Self::Superseded => "superseded",
            Self::SessionClosed => "session_closed",
            Self::NoRuntime => "no_runtime",
            Self::Decode => "decode",
        }
    }

    pub(crate) fn what(self) -> &'static str {
        match self {
            Self::InvalidRequest => "the request cannot be sent as it is",
            Self::InvalidConfig => "no client can be made of these settings",
            Self::Auth => "the credentials could not be had",
            Self::Connect => "no connection to the server could be made",
            Self::Tls => "no TLS session with the server could be made",
            Self::Proxy => "the proxy refused the connection to the server",
            Self::ProxyAuthentication => "the proxy requires authentication",
            Self::Timeout => "the time that `Timeouts` set ran out",
            Self::UpgradeRefused => "the server does not speak WebSocket here",
            Self::Api => "the server answered with an error",
            Self::Closed => "the WebSocket was closed before the response ended",
            Self::Truncated => "the connection ended before the response did",
            Self::Protocol => "the server broke the protocol",
            Self::TooLarge => {
                "an event, or what came before the response, was larger than `Limits` allow"
            }
            Self::Superseded => "the session began another turn before this one had ended",
            Self::SessionClosed => "the session was closed before the turn had ended",
            Self::NoRuntime => "there is no tokio runtime here, or it has shut down",
            Self::Decode => "JSON could not be read",
        }
    }
}

impl Phase {
    /// The phase in snake case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Connect => "connect",
            Self::Send => "send",
            Self::FirstEvent => "first_event",
            Self::Events => "events",
        }
    }

    pub(crate) fn what(self) -> &'static str {
        match self {
            Self::Prepare => "having the credentials",
            Self::Connect => "connecting",
            Self::Send => "sending the request",
            Self::FirstEvent => "the first event",
            Self::Events => "the next event, or the whole turn,",
        }
    }
}

impl Delivery {
    /// The step in snake case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotSent => "not_sent",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
            Self::Accepted => "accepted",
            Self::OutputStarted => "output_started",
        }
    }

    pub(crate) fn what(self) -> &'static str {
        match self {
            Self::NotSent => "the request was not sent",
            Self::Refused => "the server did not run the request",
            Self::Unknown => "the request was sent; whether it ran is not known",
            Self::Accepted => "the server had accepted the request, and sent no output",
            Self::OutputStarted => "the server had begun to send output",
        }
    }
}

macro_rules! shown_as_str {
    ($($name:ident)*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    )*};
}

shown_as_str!(ErrorKind Phase Delivery);
