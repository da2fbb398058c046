//! `Display` and `Debug` of errors.

use std::{error::Error as StdError, fmt};

use super::{Cause, Error, RetryAction};
use crate::kind::{ErrorKind, Phase};

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_failure(self, f)?;
        if self.0.phase != Phase::Prepare {
            write!(f, " ({})", self.0.delivery.what())?;
        }
        if self.0.resend_limited {
            f.write_str("; `RetryPolicy::max_resend_bytes` stopped the retries")?;
        }
        if shown_cause(self).is_some() {
            return Ok(());
        }
        f.write_str(": ")?;
        match self.write_explanation(f) {
            Some(written) => written,
            None => write_advice(self, f),
        }
    }
}

/// Returns the cause that `Display` shows in full. Such a cause says itself how to mend it.
fn shown_cause(error: &Error) -> Option<&(dyn StdError + 'static)> {
    if !matches!(error.0.kind, ErrorKind::InvalidRequest | ErrorKind::InvalidConfig) {
        return None;
    }
    match &error.0.cause {
        Cause::Request(cause) => Some(cause),
        Cause::Config(cause) => Some(cause),
        Cause::Other(cause) => Some(&**cause),
        _ => None,
    }
}

/// Writes what failed.
fn write_failure(error: &Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let kind = error.0.kind;
    match (&error.0.cause, &error.0.peer) {
        (Cause::Api(error), _) if kind == ErrorKind::Api => write!(f, "{error}"),
        (Cause::Api(error), _) => write!(f, "{}: {error}", kind.what()),
        (Cause::Closed(Some(frame)), _) => {
            write!(f, "the server closed the WebSocket with {frame} before the response ended")
        }
        (_, Some(peer)) => peer.write_failure(kind, f),
        _ if error.is_timeout() => write!(f, "timed out {}", error.0.phase.what()),
        _ => match shown_cause(error) {
            Some(cause) => write!(f, "{}: {cause}", kind.what()),
            None => f.write_str(kind.what()),
        },
    }
}

/// Writes the recommended reaction in words.
fn write_advice(error: &Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str(match error.kind() {
        ErrorKind::InvalidRequest => "fix the request",
        ErrorKind::InvalidConfig => "fix the settings",
        ErrorKind::Auth => "check the client's `AuthProvider`; the source has the reason",
        ErrorKind::Connect => "check the address, the network and the proxy, then retry",
        ErrorKind::Tls => {
            "if a proxy intercepts TLS, trust its CA with \
             `NetworkSettings::root_certificates_pem`"
        }
        ErrorKind::Proxy => "ask the proxy's administrator, or choose another `ProxySetting`",
        ErrorKind::ProxyAuthentication => "add `user:password@` to the proxy URL",
        ErrorKind::UpgradeRefused => "allow SSE with `TransportPolicy::Auto`",
        ErrorKind::TooLarge => "raise `Limits::max_event_bytes` or `Limits::read_ahead`",
        ErrorKind::Superseded => "read the stream of the newer turn",
        ErrorKind::SessionClosed => "start another session",
        ErrorKind::NoRuntime => "call it inside a tokio runtime",
        ErrorKind::Decode => "the source has the reason",
        ErrorKind::Timeout
        | ErrorKind::Api
        | ErrorKind::Closed
        | ErrorKind::Truncated
        | ErrorKind::Protocol => match error.retry_action() {
            RetryAction::Retry { after: Some(after) } => {
                return write!(f, "retry after {after:.1?}");
            }
            RetryAction::Retry { after: None } => "retry",
            RetryAction::RetryMayRepeat { .. } => "retry only if double billing is acceptable",
            RetryAction::Reauthenticate => "check the API key and its permissions",
            RetryAction::ChangeRequest => "change the request",
            RetryAction::Reconfigure => "check the base URL and any proxies",
            RetryAction::Stop => "a retry does not help",
        },
    })
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Error");
        debug.field("kind", &self.0.kind).field("phase", &self.0.phase);
        debug.field("delivery", &self.0.delivery);
        match &self.0.cause {
            Cause::None => {}
            Cause::Request(cause) => _ = debug.field("cause", cause),
            Cause::Config(cause) => _ = debug.field("cause", cause),
            Cause::Api(cause) => _ = debug.field("cause", cause),
            Cause::Closed(cause) => _ = debug.field("cause", cause),
            Cause::Protocol(cause) => _ = debug.field("cause", cause),
            Cause::Other(cause) => _ = debug.field("cause", &format_args!("{cause}")),
        }
        debug.finish_non_exhaustive()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        if let Some(cause) = shown_cause(self) {
            return cause.source();
        }
        match &self.0.cause {
            // `Display` shows these in full.
            Cause::None | Cause::Api(_) | Cause::Closed(_) => None,
            Cause::Request(cause) => Some(cause),
            Cause::Config(cause) => Some(cause),
            Cause::Protocol(cause) => Some(cause),
            Cause::Other(cause) => Some(&**cause),
        }
    }
}
