//! An HTTP answer that is neither a WebSocket nor a stream of events.

use std::time::Duration;

use bytes::Bytes;

/// An HTTP answer that is neither a WebSocket nor a stream of events.
///
/// ```
/// use responses_client::testing::{Refusal, Turn};
///
/// let page = Refusal::status(502).header("content-type", "text/html").body("<html>Bad Gateway</html>");
/// let turn = Turn::text("not sent").http(page);
/// # drop(turn);
/// ```
#[derive(Clone, Debug)]
pub struct Refusal {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
    pub(crate) body_end: BodyEnd,
    pub(crate) delay: Option<Duration>,
    pub(crate) silent: bool,
}

/// End of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyEnd {
    /// The body ends.
    End,
    /// Nothing follows, and the body never ends.
    Nothing,
    /// The same bytes follow again and again.
    Again,
}

impl Refusal {
    /// Returns an answer with this status, without headers or a body.
    pub fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Bytes::new(),
            body_end: BodyEnd::End,
            delay: None,
            silent: false,
        }
    }

    /// Returns a refusal that never answers, on a connection that stays open.
    pub fn silence() -> Self {
        Self { silent: true, ..Self::status(500) }
    }

    /// Adds a header.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Sends the body so far and then never ends it.
    pub fn stall_body(mut self) -> Self {
        self.body_end = BodyEnd::Nothing;
        self
    }

    /// Sends the body again and again, and never ends it.
    pub fn endless_body(mut self) -> Self {
        self.body_end = BodyEnd::Again;
        self
    }

    /// Delays the head by this time, measured by tokio's clock.
    pub fn delay(mut self, time: Duration) -> Self {
        self.delay = Some(time);
        self
    }
}
