//! Which transport a turn may use, and what may be sent again.

use std::{fmt, time::Duration};

/// One of the two ways a turn can travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a third transport would be another wire")]
pub enum Transport {
    /// One WebSocket for many turns.
    WebSocket,
    /// One HTTP request a turn, answered by server-sent events.
    Sse,
}

/// Which transports a client may use. It is never overridden: what cannot be done under it is an
/// error before any byte is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportPolicy {
    /// A WebSocket where it works, SSE where it does not.
    #[default]
    Auto,
    /// Never SSE.
    WebSocketOnly,
    /// Never a WebSocket.
    SseOnly,
}

/// What may be sent again when it is not certain that the server did not run it.
///
/// A request that was certainly not run ([`Delivery::NotSent`](crate::Delivery::NotSent),
/// [`Delivery::Refused`](crate::Delivery::Refused)) is sent again under each of them. Anything
/// else can be billed twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplayPolicy {
    /// Nothing.
    Never,
    /// A request that was sent and had no answer at all, once a turn.
    #[default]
    BeforeCreated,
    /// Also one that the server accepted, while it had no output.
    BeforeOutput,
    /// Also one that had output.
    Restart,
}

/// How often and how fast a turn is tried again.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// Attempts of a turn over both transports together, the first included. 4. A lost parent, a
    /// socket that has served its time, and an upgrade that is refused or breaks cost none, once a
    /// turn each.
    pub attempts: u32,
    /// The wait before the second attempt. 200 ms; it doubles with each further one, and is
    /// shortened by up to a quarter at random so that clients do not come back together.
    pub backoff: Duration,
    /// The longest wait of our own. 8 s.
    pub backoff_max: Duration,
    /// The longest wait that a server may ask for. 60 s; beyond it the error is returned.
    pub retry_after_max: Duration,
    /// What may be sent again when its fate is unknown.
    pub replay: ReplayPolicy,
    /// How often in a turn. 1.
    pub replays: u32,
}

impl Transport {
    /// `"websocket"` or `"sse"`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Sse => "sse",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 4,
            backoff: Duration::from_millis(200),
            backoff_max: Duration::from_secs(8),
            retry_after_max: Duration::from_secs(60),
            replay: ReplayPolicy::default(),
            replays: 1,
        }
    }
}
