//! Which transport a turn takes, and what is remembered of an origin that breaks WebSockets.
//!
//! ```text
//!             refused                      time is up
//!   unmarked ─────────▶ marked (10 min) ───────────────▶ probing ──▶ unmarked, or marked again
//!       │   broken                            time is up    ▲
//!       └─────────────▶ marked (60 s, doubling to 10 min) ──┘
//! ```
//!
//! While one turn probes, the others go on over SSE. A probe that never reports (its turn was
//! dropped) is forgotten after a while, so that it costs no more than time.

use std::time::{Duration, Instant};

use crate::{Transport, TransportPolicy, error::RequestError};

/// How long an origin without WebSocket is left alone. 10 min: deployments change rarely.
const UNSUPPORTED: Duration = Duration::from_secs(600);
/// How long one is left alone whose handshake broke. It doubles with each further time.
const TRANSIENT: Duration = Duration::from_secs(60);
const TRANSIENT_MAX: Duration = Duration::from_secs(600);
/// How long a probe is waited for.
const PROBE: Duration = Duration::from_secs(30);

/// Whether an answer to the upgrade says that WebSocket is not served, rather than that this one
/// request cannot be served now: 426 and its kin, but also what frameworks and gateways answer
/// that know of no WebSocket.
pub(crate) fn refusal(status: u16) -> bool {
    !matches!(status, 401 | 408 | 409 | 425 | 429 | 500 | 502..)
}

/// What was found out about an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// It does not serve WebSockets.
    Unsupported,
    /// It may not: if SSE works, it does not.
    Ambiguous,
    /// A handshake broke on the way.
    Transient,
}

/// What is remembered of an origin.
#[derive(Debug, Default)]
pub(crate) struct Marks(Option<State>);

#[derive(Debug)]
struct State {
    until: Instant,
    /// How often in a row a handshake broke.
    broken: u32,
    /// A turn finds out whether it is over.
    probing: bool,
}

/// What a turn is like, as far as its way goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Needs {
    pub(crate) policy: TransportPolicy,
    /// The provider serves WebSockets.
    pub(crate) websocket: bool,
    /// The response is to outlive the connection.
    pub(crate) background: bool,
    /// The session has an open WebSocket: marks are about opening one.
    pub(crate) open_socket: bool,
}

impl Marks {
    /// The transport for the next turn.
    pub(crate) fn route(&mut self, needs: Needs, now: Instant) -> Result<Transport, RequestError> {
        match needs.policy {
            TransportPolicy::SseOnly => return Ok(Transport::Sse),
            TransportPolicy::WebSocketOnly if needs.background => {
                return Err(RequestError::NoTransport("`background` needs HTTP"));
            }
            TransportPolicy::WebSocketOnly if !needs.websocket => {
                return Err(RequestError::NoTransport("the provider has no WebSocket"));
            }
            TransportPolicy::WebSocketOnly => return Ok(Transport::WebSocket),
            TransportPolicy::Auto => {}
        }
        if needs.background || !needs.websocket {
            return Ok(Transport::Sse);
        }
        if needs.open_socket {
            return Ok(Transport::WebSocket);
        }
        match &mut self.0 {
            None => Ok(Transport::WebSocket),
            Some(state) if now < state.until => Ok(Transport::Sse),
            Some(state) => {
                state.until = now + PROBE;
                state.probing = true;
                Ok(Transport::WebSocket)
            }
        }
    }

    /// Remembers that WebSockets do not get through.
    pub(crate) fn mark(&mut self, mark: Mark, now: Instant) {
        let state = self.0.get_or_insert(State { until: now, broken: 0, probing: false });
        match mark {
            // Sessions that meet the same fault together are one failure.
            Mark::Transient if state.broken > 0 && now < state.until && !state.probing => {}
            Mark::Unsupported | Mark::Ambiguous => {
                state.until = now + UNSUPPORTED;
                state.probing = false;
            }
            Mark::Transient => {
                let cooldown = TRANSIENT.saturating_mul(1 << state.broken.min(10));
                state.until = state.until.max(now + cooldown.min(TRANSIENT_MAX));
                state.broken += 1;
                state.probing = false;
            }
        }
    }

    /// A turn got its answer over a WebSocket.
    pub(crate) fn clear(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUTO: Needs = Needs {
        policy: TransportPolicy::Auto,
        websocket: true,
        background: false,
        open_socket: false,
    };
    const SECOND: Duration = Duration::from_secs(1);

    fn route(marks: &mut Marks, now: Instant) -> Transport {
        marks.route(AUTO, now).unwrap()
    }

    #[test]
    fn c031_a_mark_holds_for_its_time_and_one_turn_probes() {
        let (mut marks, start) = (Marks::default(), Instant::now());
        assert_eq!(route(&mut marks, start), Transport::WebSocket);
        marks.mark(Mark::Unsupported, start);
        let open = Needs { open_socket: true, ..AUTO };
        assert_eq!(marks.route(open, start), Ok(Transport::WebSocket), "it is about opening one");
        assert_eq!(route(&mut marks, start + UNSUPPORTED - SECOND), Transport::Sse);
        let probe = start + UNSUPPORTED;
        assert_eq!(route(&mut marks, probe), Transport::WebSocket);
        assert_eq!(route(&mut marks, probe), Transport::Sse, "one probe at a time");
        assert_eq!(route(&mut marks, probe + PROBE), Transport::WebSocket, "a lost probe");
        marks.clear();
        assert_eq!(route(&mut marks, probe), Transport::WebSocket);
        assert_eq!(route(&mut marks, probe), Transport::WebSocket);
    }

    #[test]
    fn c034_a_transient_mark_grows_with_each_failed_probe_and_is_forgotten_after_success() {
        let (mut marks, mut now) = (Marks::default(), Instant::now());
        for cooldown in [60, 120, 240, 480, 600, 600] {
            marks.mark(Mark::Transient, now);
            now += Duration::from_secs(cooldown);
            assert_eq!(route(&mut marks, now - SECOND), Transport::Sse, "{cooldown}");
            assert_eq!(route(&mut marks, now), Transport::WebSocket, "{cooldown}");
        }
        marks.clear();
        for _ in 0..5 {
            marks.mark(Mark::Transient, now);
        }
        assert_eq!(route(&mut marks, now + TRANSIENT), Transport::WebSocket);
    }

    #[test]
    fn a_policy_is_never_overridden() {
        let (mut marks, now) = (Marks::default(), Instant::now());
        let mut route = |policy, websocket, background| {
            marks.route(Needs { policy, websocket, background, open_socket: false }, now)
        };
        use TransportPolicy::{Auto, SseOnly, WebSocketOnly};
        assert_eq!(route(SseOnly, true, false), Ok(Transport::Sse));
        assert_eq!(route(WebSocketOnly, true, false), Ok(Transport::WebSocket));
        assert!(matches!(route(WebSocketOnly, true, true), Err(RequestError::NoTransport(_))));
        assert!(matches!(route(WebSocketOnly, false, false), Err(RequestError::NoTransport(_))));
        assert_eq!(route(Auto, true, true), Ok(Transport::Sse));
        assert_eq!(route(Auto, false, false), Ok(Transport::Sse));
    }
}
