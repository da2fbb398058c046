//! The size of every buffer.

use std::time::Duration;

/// The size of every buffer, in bytes. What goes beyond one ends the turn with an error that
/// names it; nothing is dropped in silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// One event on either transport. 128 MiB: images come as base64 inside one event, and the
    /// terminal event repeats them all.
    pub event: usize,
    /// What a WebSocket reads ahead of the consumer before it pauses. 8 MiB: a whole turn of text.
    pub read_ahead: usize,
    /// What is kept of the body of an error. 64 KiB: the API's errors have a few hundred bytes,
    /// a proxy's page some thousand.
    pub error_body: usize,
    /// How long the body of an error may take. 5 s: the status is known by then.
    pub error_body_time: Duration,
    /// What is read of an SSE body behind the terminal event, so that its connection can be used
    /// again. 64 KiB: a body has nothing there but its end.
    pub drain: usize,
    /// How long that may take. 500 ms: less than a new connection over a bad link.
    pub drain_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            event: 128 << 20,
            read_ahead: 8 << 20,
            error_body: 64 << 10,
            error_body_time: Duration::from_secs(5),
            drain: 64 << 10,
            drain_time: Duration::from_millis(500),
        }
    }
}
