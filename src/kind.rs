//! Kind, phase and delivery of an error.

use crate::format::named;

/// Kind of an [`Error`](crate::Error).
///
/// ```
/// use responses_client::{Error, ErrorKind};
///
/// fn is_network_fault(error: &Error) -> bool {
///     matches!(error.kind(), ErrorKind::Connect | ErrorKind::Tls | ErrorKind::Proxy)
/// }
/// # let _ = is_network_fault;
/// assert_eq!(ErrorKind::Connect.to_string(), "connect");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request is invalid; [`request_error`](crate::Error::request_error) has the reason. Nothing
    /// was sent.
    InvalidRequest,
    /// The settings are invalid; [`config_error`](crate::Error::config_error) has the reason. No
    /// client was made.
    InvalidConfig,
    /// The [`AuthProvider`](crate::AuthProvider) of the client failed to return a credential, or
    /// returned one that no header can carry.
    Auth,
    /// No connection: the host name did not resolve, or no server accepted the connection.
    Connect,
    /// The TLS handshake failed, for example because of an unknown issuer (such as a proxy that
    /// intercepts TLS) or a wrong host name.
    Tls,
    /// The proxy refused the connection to the server.
    Proxy,
    /// The proxy requires credentials, or rejected those that it received.
    ProxyAuthentication,
    /// A limit in [`Timeouts`](crate::Timeouts) elapsed; [`phase`](crate::Error::phase) returns the
    /// phase.
    Timeout,
    /// The server does not support WebSocket at this address, and the policy forbids SSE.
    UpgradeRefused,
    /// The server answered with an error; [`api_error`](crate::Error::api_error) has its details.
    Api,
    /// The WebSocket was closed before the response ended.
    Closed,
    /// The connection or the body ended before the response did.
    Truncated,
    /// The server violated the protocol; the source has the details.
    Protocol,
    /// An event exceeded [`Limits::max_event_bytes`](crate::Limits::max_event_bytes), or the data before the response
    /// exceeded [`Limits::read_ahead`](crate::Limits::read_ahead).
    TooLarge,
    /// The stream was not read for too long while other sessions used the same WebSocket, and
    /// [`Limits::read_ahead`](crate::Limits::read_ahead) was reached.
    FellBehind,
    /// As many WebSockets are open as [`PoolPolicy::max_sockets`](crate::PoolPolicy::max_sockets)
    /// allows, and none has a free lane. Nothing was sent.
    PoolFull,
    /// The session started another turn before this one had ended.
    Superseded,
    /// The session was closed before the turn had ended.
    SessionClosed,
    /// The caller [stopped](crate::ResponseStream::stop) the response by closing its connection. The
    /// error has the partial response.
    Stopped,
    /// No tokio runtime is running, or the one in which the turn started has shut down. A runtime
    /// without a timer panics instead, as it does for every timer.
    NoRuntime,
    /// JSON could not be decoded: a [`DecodeError`](crate::error::DecodeError) or an
    /// [`OutputError`](crate::error::OutputError) that `?` in the caller's code converted into an
    /// [`Error`](crate::Error). No turn ends with this kind.
    Decode,
}

/// Phase of a turn in which an error occurred.
///
/// ```
/// use responses_client::{Error, Phase};
///
/// fn failed_before_sending(error: &Error) -> bool {
///     matches!(error.phase(), Phase::Prepare | Phase::Connect)
/// }
/// # let _ = failed_before_sending;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Before a connection was opened.
    Prepare,
    /// While connecting, including the WebSocket upgrade.
    Connect,
    /// While the request was being written.
    Send,
    /// After the request was sent and before the first event.
    FirstEvent,
    /// After the first event and before the end of the response.
    Events,
}

/// Furthest point that a request reached. Every step from [`Unknown`](Self::Unknown) on includes
/// the possibility that the request was billed.
///
/// ```
/// use responses_client::{Delivery, Error};
///
/// fn may_have_run(error: &Error) -> bool {
///     error.delivery() >= Delivery::Unknown
/// }
/// # let _ = may_have_run;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Delivery {
    /// No byte of the request was sent, or the server ended the TLS handshake before it read any: it
    /// refused the client certificate, or the lack of one.
    NotSent,
    /// The server proved that it did not run the request. Proofs are a status 4xx other than 408,
    /// an error code other than `server_error`, status 503 with a code or `Retry-After`, and the
    /// close codes 1001, 1009, 1012 and 1013.
    Refused,
    /// The request was sent, and nothing proves whether it ran: no answer arrived, or only an error
    /// that leaves it open (408, 500, 502, 504, 520 to 529, 503 without a code and `Retry-After`).
    Unknown,
    /// The server accepted the request.
    Accepted,
    /// The response had output.
    OutputStarted,
}

impl ErrorKind {
    pub(crate) fn what(self) -> &'static str {
        match self {
            Self::InvalidRequest => "the request is invalid",
            Self::InvalidConfig => "the settings are invalid",
            Self::Auth => "could not obtain credentials",
            Self::Connect => "could not connect to the server",
            Self::Tls => "the TLS handshake with the server failed",
            Self::Proxy => "the proxy refused the connection to the server",
            Self::ProxyAuthentication => "the proxy requires authentication",
            Self::Timeout => "timed out",
            Self::UpgradeRefused => "the server refused the WebSocket upgrade",
            Self::Api => "the server answered with an error",
            Self::Closed => "the WebSocket was closed before the response ended",
            Self::Truncated => "the connection closed before the response ended",
            Self::Protocol => "the server violated the protocol",
            Self::TooLarge => "the server sent more than `Limits` allow",
            Self::FellBehind => "the stream was not read for too long beside others",
            Self::PoolFull => "all WebSockets of the client are in use",
            Self::Superseded => "the session started another turn before this one ended",
            Self::SessionClosed => "the session was closed before the turn ended",
            Self::Stopped => "the caller stopped the response",
            Self::NoRuntime => "no tokio runtime is running, or it has shut down",
            Self::Decode => "could not decode JSON",
        }
    }
}

impl Phase {
    pub(crate) fn what(self) -> &'static str {
        match self {
            Self::Prepare => "obtaining credentials",
            Self::Connect => "connecting",
            Self::Send => "sending the request",
            Self::FirstEvent => "waiting for the first event",
            Self::Events => "waiting for the next event or the end of the turn",
        }
    }
}

impl Delivery {
    pub(crate) fn what(self) -> &'static str {
        match self {
            Self::NotSent => "the request was not sent",
            Self::Refused => "the server did not run the request",
            Self::Unknown => "the request was sent and may have run",
            Self::Accepted => "the server accepted the request and sent no output",
            Self::OutputStarted => "the server had started to send output",
        }
    }
}

named! {
    ErrorKind {
        InvalidRequest = "invalid_request",
        InvalidConfig = "invalid_config",
        Auth = "auth",
        Connect = "connect",
        Tls = "tls",
        Proxy = "proxy",
        ProxyAuthentication = "proxy_authentication",
        Timeout = "timeout",
        UpgradeRefused = "upgrade_refused",
        Api = "api",
        Closed = "closed",
        Truncated = "truncated",
        Protocol = "protocol",
        TooLarge = "too_large",
        FellBehind = "fell_behind",
        PoolFull = "pool_full",
        Superseded = "superseded",
        SessionClosed = "session_closed",
        Stopped = "stopped",
        NoRuntime = "no_runtime",
        Decode = "decode",
    }
    Phase {
        Prepare = "prepare",
        Connect = "connect",
        Send = "send",
        FirstEvent = "first_event",
        Events = "events",
    }
    Delivery {
        NotSent = "not_sent",
        Refused = "refused",
        Unknown = "unknown",
        Accepted = "accepted",
        OutputStarted = "output_started",
    }
}
