//! Texts of an error.

use std::{error::Error as StdError, fmt};

use super::{Cause, Error, RetryAction};
use crate::kind::{ErrorKind, Phase};

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.cause {
            Cause::Api(error) if self.0.kind == ErrorKind::Api => error.fmt(f)?,
            Cause::Api(error) => write!(f, "{}: {error}", self.0.kind.what())?,
            Cause::Closed(Some(frame)) => {
                write!(
                    f,
                    "the server closed the WebSocket with {frame} before the response ended"
                )?;
            }
            _ if self.is_timeout() => {
                write!(f, "the time that `Timeouts` set for {} ran out", self.0.phase.what())?;
            }
            _ => f.write_str(self.0.kind.what())?,
        }
        if self.0.phase != Phase::Prepare {
            write!(f, " ({})", self.0.delivery.what())?;
        }
        if self.0.resend_limited {
            f.write_str("; `RetryPolicy::resend_bytes` forbids to send it again")?;
        }
        f.write_str(": ")?;
        write_advice(self, f)
    }
}

/// What to do about it, in words.
fn write_advice(error: &Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str(match error.kind() {
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
        | ErrorKind::Protocol => match error.retry_action() {
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
        match &self.0.cause {
            // `Display` tells these, as they have no more to say.
            Cause::None | Cause::Api(_) | Cause::Closed(_) => None,
            Cause::Request(cause) => Some(cause),
            Cause::Config(cause) => Some(cause),
            Cause::Protocol(cause) => Some(cause),
            Cause::Other(cause) => Some(&**cause),
        }
    }
}
