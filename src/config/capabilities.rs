//! Properties of a server beyond its address.

use std::time::Duration;

use super::operations::Operations;

/// Properties of a server that decide about its transports, its connections and its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Capabilities {
    pub(crate) websocket: bool,
    /// The server stores a response when `store` is absent.
    pub(crate) stores_by_default: bool,
    /// A WebSocket accepts another request after an error.
    pub(crate) reuses_socket_after_error: bool,
    /// Largest WebSocket message in bytes.
    pub(crate) frame_limit: Option<u64>,
    /// Age at which the server closes a WebSocket.
    pub(crate) max_age: Option<Duration>,
    /// Number of named lanes that a WebSocket can have; 0 if the server does not know lanes.
    pub(crate) named_lanes: u8,
    /// Number of responses that run on a WebSocket at the same time.
    pub(crate) active_responses: u8,
    /// The server routes the requests of one user turn by `x-codex-turn-state`.
    pub(crate) turn_state: bool,
    /// The server accepts HTTP bodies in zstd.
    pub(crate) zstd: bool,
    /// The server accepts `response.steer` on a WebSocket.
    pub(crate) steer: bool,
    /// The server accepts `response.inject` on a WebSocket.
    pub(crate) inject: bool,
    /// The server accepts `response.interrupt` on a WebSocket.
    pub(crate) interrupt: bool,
    pub(crate) session_headers: SessionHeaders,
    pub(super) operations: Operations,
}

/// Names of the headers by which a server recognizes a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionHeaders {
    /// Headers with the id of the conversation.
    pub(crate) conversation: &'static [&'static str],
    /// Headers with the source of the session.
    pub(crate) source: &'static [&'static str],
}

impl SessionHeaders {
    pub(crate) const NONE: Self = Self { conversation: &[], source: &[] };

    /// Headers that Codex sends to each of its providers.
    pub(crate) const CODEX: Self =
        Self { conversation: &["session-id", "thread-id"], source: &["x-openai-subagent"] };
}

impl Capabilities {
    /// Properties of any server about which nothing else is known.
    pub(crate) const COMPATIBLE: Self = Self {
        websocket: true,
        stores_by_default: true,
        reuses_socket_after_error: true,
        frame_limit: Some(16 << 20),
        max_age: Some(Duration::from_secs(60 * 60)),
        named_lanes: 0,
        active_responses: 1,
        turn_state: false,
        zstd: false,
        // A server that does not know a message may answer with an error that ends the response.
        steer: false,
        inject: false,
        interrupt: false,
        session_headers: SessionHeaders::NONE,
        operations: Operations::UNKNOWN,
    };

    /// Properties of OpenAI.
    pub(crate) const OPENAI: Self = Self {
        named_lanes: 32,
        active_responses: 16,
        operations: Operations::ALL,
        ..Self::COMPATIBLE
    };

    /// Properties of a server without WebSocket.
    pub(crate) const SSE: Self = Self { websocket: false, ..Self::COMPATIBLE };

    /// Properties of a server without WebSocket that stores no responses.
    pub(crate) const STATELESS_SSE: Self = Self { stores_by_default: false, ..Self::SSE };
}
