//! Causes of errors.

use std::fmt;

use thiserror::Error;

use crate::{api::masked, json::DecodeError};

/// Violation of the protocol by the server. The connection is not used again.
///
/// The source of an error of the kind [`ErrorKind::Protocol`](crate::ErrorKind::Protocol):
///
/// ```
/// use std::error::Error as _;
///
/// use responses_client::{Error, error::ProtocolError};
///
/// /// Returns the address to which the server redirects.
/// fn redirect(error: &Error) -> Option<&str> {
///     match error.source()?.downcast_ref()? {
///         ProtocolError::Redirect(to) => Some(to),
///         _ => None,
///     }
/// }
/// # let _ = redirect;
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A binary frame; the protocol has only text frames.
    #[error("received a binary frame")]
    BinaryFrame,
    /// Text that is not JSON, JSON that is not an object, or an object that is not an event.
    #[error("received a frame that is not an event")]
    NotAnEvent,
    /// An event that lacks a member that the turn needs.
    #[error("could not decode a `{event}` event")]
    #[non_exhaustive]
    Event {
        /// Type of the event.
        event: String,
        /// Reason why the event could not be decoded.
        #[source]
        source: DecodeError,
    },
    /// A frame that the WebSocket protocol does not allow.
    #[error("WebSocket protocol violation: {0}")]
    WebSocket(String),
    /// The answer to the upgrade is not that of a WebSocket server.
    #[error("invalid answer to the WebSocket upgrade: {0}")]
    Handshake(&'static str),
    /// The answer to a POST is not an event stream. The field has its media type.
    #[error("expected an event stream, received `{0}`")]
    ContentType(String),
    /// The answer to a POST is a web page, for example of a proxy, a firewall or a login page.
    #[error("expected an event stream, received {0}")]
    WebPage(WebPage),
    /// The answer to a POST has a content encoding that was not requested. The answer cannot be
    /// read. The request is not sent again, because the server ran it.
    #[error("the answer is encoded with `{0}`, although the request accepts only `identity`")]
    ContentEncoding(String),
    /// The answer to a POST is an unfinished response instead of a stream of its events.
    #[error("expected an event stream, received a response in progress")]
    Unfinished,
    /// A redirect. The field has its address, without user information and query. Requests with
    /// credentials do not follow redirects.
    #[error(
        "the server redirects to {0}: if you trust that address, make its part before `/responses` the base URL"
    )]
    Redirect(String),
    /// A redirect to a sign-in page, of this network or of a single sign-on. The field has its
    /// origin.
    #[error("the server redirects to the sign-in page at {0}")]
    SignIn(String),
}

/// A web page that came instead of an answer of the API. The text of the page is not kept. Each
/// field has at most 128 bytes, and strings that look like keys are masked.
///
/// ```
/// use std::error::Error as _;
///
/// use responses_client::{Error, error::ProtocolError};
///
/// fn needs_sign_in(error: &Error) -> bool {
///     let cause = error.source().and_then(|it| it.downcast_ref());
///     matches!(cause, Some(ProtocolError::WebPage(page)) if page.sign_in)
/// }
/// # let _ = needs_sign_in;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WebPage {
    /// HTTP status of the answer.
    pub status: u16,
    /// The media type in `Content-Type`. Empty if there is none.
    pub media_type: String,
    /// Title of the page; `None` if the page has none.
    pub title: Option<String>,
    /// `Server` header; `None` if there is none.
    pub server: Option<String>,
    /// `true` if the page asks its reader to sign in, as far as its title and its start show.
    pub sign_in: bool,
}

impl WebPage {
    pub(crate) fn new(
        status: u16,
        media_type: &str,
        title: Option<&str>,
        server: Option<&str>,
    ) -> Self {
        let shown = |text: &str| masked(text, 128);
        let media_type = shown(media_type);
        let (title, server) = (title.map(shown), server.map(shown));
        Self { status, media_type, title, server, sign_in: false }
    }

    /// Writes the page as the answer that came in place of the API.
    pub(super) fn write_answer(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.sign_in { "a sign-in page (" } else { "a web page (" })?;
        if let Some(title) = &self.title {
            write!(f, "`{title}`, ")?;
        }
        write!(f, "status {}", self.status)?;
        if let Some(server) = &self.server {
            write!(f, ", server `{server}`")?;
        }
        f.write_str(") answered instead of the API")
    }
}

impl fmt::Display for WebPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a web page with status {}", self.status)?;
        if !self.media_type.is_empty() {
            write!(f, ", type `{}`", self.media_type)?;
        }
        if let Some(title) = &self.title {
            write!(f, ", title `{title}`")?;
        }
        if let Some(server) = &self.server {
            write!(f, ", server `{server}`")?;
        }
        Ok(())
    }
}

/// Cause of a WebSocket that was closed because its peer stopped responding.
#[derive(Debug, Error)]
#[error("the WebSocket peer sent nothing for too long and did not answer a ping")]
pub(crate) struct NoPong;

/// Close frame of a WebSocket. Where the reason is shown, strings that look like keys are masked.
///
/// ```
/// # use responses_client::Error;
/// fn is_restart(error: &Error) -> bool {
///     error.close_frame().is_some_and(|frame| frame.code == 1012)
/// }
/// # let _ = is_restart;
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CloseFrame {
    /// Close code: RFC 6455 §7.4.
    pub code: u16,
    /// Human-readable reason; at most 123 bytes.
    pub reason: String,
}

impl CloseFrame {
    pub(crate) fn new(code: u16, reason: String) -> Self {
        Self { code, reason }
    }
}

impl fmt::Debug for CloseFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloseFrame")
            .field("code", &self.code)
            .field("reason", &masked(&self.reason, 123))
            .finish()
    }
}

impl fmt::Display for CloseFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "code {}", self.code)?;
        match self.reason.is_empty() {
            true => Ok(()),
            false => write!(f, " ({})", masked(&self.reason, 123)),
        }
    }
}
