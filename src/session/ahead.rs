//! Work ahead of a turn.

/// Kind of work ahead of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ahead {
    /// Opens the WebSocket.
    Connect,
    /// Opens the WebSocket and sends the request without asking for output.
    Generate,
    /// Opens the WebSocket that replaces the current one.
    Rotate,
}
