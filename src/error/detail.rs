//! The causes that errors name.

use std::fmt;

use thiserror::Error;

use crate::{api::masked, json::DecodeError};

/// How the server broke the protocol. The connection is not used again.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A binary frame where the protocol has text alone.
    #[error("a binary frame came")]
    BinaryFrame,
    /// Text that is not JSON, JSON that is no object, or an object that is no event.
    #[error("a frame came that is no event")]
    NotAnEvent,
    /// An event without what the turn needs of it.
    #[error("a `{event}` event could not be read")]
    Event {
        /// Its type.
        event: String,
        /// What is wrong with it.
        #[source]
        source: DecodeError,
    },
    /// A frame that WebSocket does not allow.
    #[error("the WebSocket protocol was broken: {0}")]
    WebSocket(String),
    /// The answer of the upgrade is not that of a WebSocket server.
    #[error("the upgrade was answered wrongly: {0}")]
    Handshake(&'static str),
    /// The answer to a POST is no event stream.
    #[error("the answer is no event stream, but `{0}`")]
    ContentType(String),
    /// The answer to a POST is a web page: of a proxy, a firewall or a login page on the way.
    #[error("the answer is no event stream, but {0}")]
    WebPage(WebPage),
    /// The answer to a POST has a content encoding that was not requested. The answer cannot be
    /// read. The request is not sent again, because the server ran it.
    #[error("the answer is encoded with `{0}`, although only `identity` is accepted")]
    ContentEncoding(String),
    /// The answer to a POST is an unfinished response instead of a stream of its events.
    #[error("the answer is a response in progress instead of a stream of its events")]
    Unfinished,
    /// An answer that asks to go elsewhere; requests with credentials are not sent on.
    #[error("the server redirects to {0}: make that the base URL if it can be trusted")]
    Redirect(String),
}

/// A web page that came instead of an answer of the API. The text of the page is not kept. Each
/// field has at most 128 bytes, and strings that look like keys are masked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WebPage {
    /// The HTTP status.
    pub status: u16,
    /// The media type in `Content-Type`. Empty if there is none.
    pub media_type: String,
    /// The title of the page.
    pub title: Option<String>,
    /// The `Server` header.
    pub server: Option<String>,
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
        Self { status, media_type, title: title.map(shown), server: server.map(shown) }
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

/// Why a WebSocket was given up that nothing had ended.
#[derive(Debug, Error)]
#[error("nothing came over the WebSocket for too long, not even the answer to a ping")]
pub(crate) struct NoPong;

/// What a close frame said. What looks like a key is masked where its reason is shown.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CloseFrame {
    /// The code: RFC 6455 §7.4.
    pub code: u16,
    /// The reason, for people; at most 123 bytes.
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
