//! `Display` and `Debug` of errors.

use std::{error::Error as StdError, fmt};

use super::{Cause, Error, ProtocolError, RetryAction};
use crate::{
    api::ErrorClass,
    kind::{ErrorKind, Phase},
};

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_failure(self, f)?;
        if self.0.phase != Phase::Prepare {
            write!(f, " ({})", self.0.delivery.what())?;
        }
        if self.0.resend_limited {
            f.write_str("; the limit `max_resend_bytes` stopped the retries")?;
        }
        if shown_cause(self).is_some() {
            return Ok(());
        }
        f.write_str(": ")?;
        match write_explanation(self, f) {
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

/// Writes the advice for an error that the settings of the client explain. Returns `None` if
/// the settings do not explain the error.
fn write_explanation(error: &Error, f: &mut fmt::Formatter<'_>) -> Option<fmt::Result> {
    let context = error.0.context.as_deref()?;
    if error.class() == ErrorClass::Credential && !context.has_credential {
        let advice = "no API key or other credential was configured";
        return Some(f.write_str(advice));
    }
    let base_url = &context.base_url;
    if !context.has_path && may_lack_path(error) {
        let otherwise = match error.kind() {
            ErrorKind::UpgradeRefused => ", or allow SSE with `TransportPolicy::Auto`",
            _ => "",
        };
        return Some(write!(
            f,
            "the base URL `{base_url}` has no path, use `{base_url}/v1` if the API is \
             there{otherwise}"
        ));
    }
    if is_at_wrong_address(error) {
        return Some(write!(f, "check the base URL `{base_url}` and any proxies"));
    }
    None
}

/// Returns `true` if a path that is missing in the base URL may have caused the error.
fn may_lack_path(error: &Error) -> bool {
    let by_status = matches!(error.status(), Some(404 | 405 | 501)) && error.code().is_none();
    by_status || is_page(error)
}

/// Returns `true` if the address is not an endpoint of the API.
fn is_at_wrong_address(error: &Error) -> bool {
    error.kind() == ErrorKind::Api && error.class() == ErrorClass::WrongEndpoint || is_page(error)
}

/// Returns `true` if a web page came in place of a stream.
fn is_page(error: &Error) -> bool {
    matches!(&error.0.cause, Cause::Protocol(ProtocolError::WebPage(_)))
}

/// Writes the recommended reaction in words.
fn write_advice(error: &Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str(match error.kind() {
        ErrorKind::InvalidRequest | ErrorKind::InvalidConfig => "fix the request or the settings",
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
            RetryAction::Retry => match error.retry_after() {
                Some(after) => return write!(f, "retry after {after:.1?}"),
                None => "retry",
            },
            RetryAction::RetryMayRepeat => "retry only if double billing is acceptable",
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
