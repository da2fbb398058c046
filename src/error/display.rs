//! `Display` and `Debug` of errors.

use std::{error::Error as StdError, fmt};

use super::{Cause, Error, ProtocolError, advice::Advice};
use crate::kind::{ErrorKind, Phase};

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.summary())?;
        if self.0.resend_limited {
            f.write_str("; the limit `max_resend_bytes` stopped the retries")?;
        }
        match shown_cause(self) {
            Some(_) => Ok(()),
            None => write!(f, ": {}", Advice(self)),
        }
    }
}

impl Error {
    /// Returns the text of the error without the advice that `Display` adds: the failure, and the
    /// point that the request reached. For programs that advise in words of their own.
    ///
    /// ```
    /// use responses_client::Error;
    ///
    /// fn line(error: &Error) -> String {
    ///     format!("{}: see the manual of this program", error.summary())
    /// }
    /// # let _ = line;
    /// ```
    pub fn summary(&self) -> impl fmt::Display + '_ {
        Summary(self)
    }
}

struct Summary<'a>(&'a Error);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = self.0;
        write_failure(error, f)?;
        match error.0.phase {
            Phase::Prepare => Ok(()),
            _ => write!(f, " ({})", error.0.delivery.what()),
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
        (Cause::Connect { error, .. }, Some(peer)) => peer.write_failure(error, f),
        (Cause::Protocol(ProtocolError::WebPage(page)), _) => page.write_answer(f),
        (Cause::Protocol(ProtocolError::Redirect(to)), _) => {
            write!(f, "the server redirects to {to}")
        }
        (Cause::Protocol(error @ ProtocolError::SignIn(_)), _) => write!(f, "{error}"),
        (_, Some(peer)) if error.is_timeout() => {
            write!(f, "timed out connecting to {peer}")
        }
        _ if error.is_timeout() => write!(f, "timed out {}", error.0.phase.what()),
        _ => match shown_cause(error) {
            Some(cause) => write!(f, "{}: {cause}", kind.what()),
            None => f.write_str(kind.what()),
        },
    }
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
            Cause::Connect { error, .. } => _ = debug.field("cause", error),
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
            Cause::Connect { source, .. } | Cause::Other(source) => Some(&**source),
        }
    }
}
