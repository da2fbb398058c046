//! Sizes of buffers.

use std::time::Duration;

use super::setters::setters;

/// Sizes of buffers, in bytes. Data beyond a limit ends the turn with an error that names the
/// limit; nothing is dropped silently.
///
/// ```
/// use responses_client::Limits;
///
/// let limits = Limits::default().max_event_bytes(16 << 20).read_ahead(1 << 20);
/// # assert_eq!((limits.max_event_bytes, limits.read_ahead), (16 << 20, 1 << 20));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Largest event on either transport. Default: 128 MiB, because images arrive as base64 inside
    /// one event, and the terminal event repeats all of them.
    pub max_event_bytes: usize,
    /// Bytes that a WebSocket reads ahead of the consumer before it pauses. Default: 8 MiB, the
    /// text of a whole turn.
    pub read_ahead: usize,
    /// Bytes kept of the body of an error. Default: 64 KiB, because errors of the API have a few
    /// hundred bytes, and a proxy's page some thousand.
    pub max_error_body_bytes: usize,
    /// Longest time to read the body of an error. Default: 5 s, because the status is known
    /// already.
    pub error_body_time: Duration,
    /// Bytes read of an SSE body after the terminal event, so that its connection can be reused.
    /// Default: 64 KiB, because only the end of the body follows there.
    pub max_drain_bytes: usize,
    /// Longest time to read the rest of an SSE body after the terminal event. Default: 500 ms, less
    /// than a new connection over a bad link takes.
    pub drain_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_event_bytes: 128 << 20,
            read_ahead: 8 << 20,
            max_error_body_bytes: 64 << 10,
            error_body_time: Duration::from_secs(5),
            max_drain_bytes: 64 << 10,
            drain_time: Duration::from_millis(500),
        }
    }
}

setters!(Limits {
    max_event_bytes: usize,
    read_ahead: usize,
    max_error_body_bytes: usize,
    error_body_time: Duration,
    max_drain_bytes: usize,
    drain_time: Duration,
});
