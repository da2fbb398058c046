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
    /// Nothing: a request that may have run is not sent again.
    Never,
    /// A request that may still run, once a turn: it was sent and had no answer, its connection
    /// was lost, or a gateway gave up waiting (408, 504, 520 to 529). A request that may have run,
    /// but has ended, within [`RetryPolicy::attempts`]: the server answered with 500, 502, or 503
    /// without a code and `Retry-After`, or ended it with `server_error` before any output.
    #[default]
    BeforeCreated,
    /// Also one that the server accepted, while it had no output.
    BeforeOutput,
    /// Also one that had output.
    Restart,
}

/// How often and how fast a turn is tried again.
///
/// | what happened | tried again |
/// |---|---|
/// | a lost parent, a socket that has served its time, a kept connection that died before it answered, an upgrade that is refused or breaks, a frame that the server finds too large | at once, outside of `attempts`; each once a turn |
/// | 401, and the token is [fetched](crate::Auth::Provider) | at once with another token, outside of `attempts`; once a turn |
/// | the network is down: no address for the name, nobody there, no route | as `network_down_…` say, outside of `attempts` |
/// | `rate_limit_exceeded`, 408, 409, 429, 5xx, a broken connection | after `Retry-After`, or `backoff` |
/// | `server_is_overloaded`, `slow_down`, 503 | after `Retry-After`, or five times `backoff` |
/// | a WebSocket that is closed or lost before any event, with close code 1008 or 4000 to 4999 | after `backoff`, over SSE alone |
/// | with any other code, or with none | after `backoff`, over another WebSocket if one of this server has answered before, over SSE otherwise |
/// | a quota that is used up, other 4xx, `x-should-retry: false` | never |
///
/// `Retry-After` delays an attempt by `backoff` at least. A response in the background that is
/// resumed has all its attempts again after each new event.
///
/// `x-should-retry: true` has an answer tried again whose status would not be, unless its code
/// says that it cannot go well.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// Attempts of a turn over both transports together, the first included. 4.
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
    /// Number of times that a turn may send a request again that may still run. Default: 1. A request
    /// that has ended does not count, nor does one over a kept connection that died before it
    /// answered.
    pub replays: u32,
    /// The first wait while the network is down. 1 s; it doubles with each further one, and is
    /// shortened like `backoff`.
    pub network_down_backoff: Duration,
    /// The longest wait while the network is down. 30 s: a laptop that wakes up, or a roaming
    /// phone, is back in less.
    pub network_down_backoff_max: Duration,
    /// How long a turn waits for a network that is down, from the first failure on. 60 s; zero
    /// returns the error at once. `None` counts such attempts like all others.
    pub network_down_deadline: Option<Duration>,
    /// Bytes of requests that a turn may send again, all attempts after the first together.
    /// 64 MiB: some replays of the largest history, and no endless bill. What would go beyond is
    /// not sent, and the error [says so](crate::Error::is_resend_limited).
    pub resend_bytes: u64,
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
            network_down_backoff: Duration::from_secs(1),
            network_down_backoff_max: Duration::from_secs(30),
            network_down_deadline: Some(Duration::from_secs(60)),
            resend_bytes: 64 << 20,
        }
    }
}
