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

use crate::{
    config::{Transport, TransportPolicy},
    request::RequestError,
};

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

/// Returns `true` if the status of a refused upgrade is enough to know that WebSocket is not
/// served, whatever the body says.
pub(crate) fn decides(status: u16) -> bool {
    matches!(status, ..400 | 404 | 405 | 426 | 501)
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
    /// A WebSocket opened, and nothing came over it: if SSE works, something lets no frames
    /// through.
    Silent,
}

impl Mark {
    /// Whether it is remembered only if SSE works.
    pub(crate) fn is_suspicion(self) -> bool {
        matches!(self, Self::Ambiguous | Self::Silent)
    }
}

/// That turns go over SSE, for now, as WebSockets do not get through: see
/// [`ResponsesClient::fallback`](crate::ResponsesClient::fallback).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fallback {
    /// What was found out.
    pub kind: FallbackKind,
    /// How long it holds. Then one turn tries a WebSocket again.
    pub remaining: Duration,
}

/// Why turns go over SSE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FallbackKind {
    /// The server does not serve WebSockets: so for 10 minutes.
    Unsupported,
    /// Something on the way broke the handshake, or let no frames through: so for a minute, which
    /// doubles with each further time, to 10.
    Transient,
}

/// What is remembered of an origin.
#[derive(Debug, Default)]
pub(crate) struct Marks(Option<State>);

#[derive(Debug)]
struct State {
    kind: FallbackKind,
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
        let kind = match mark {
            Mark::Unsupported | Mark::Ambiguous => FallbackKind::Unsupported,
            Mark::Transient | Mark::Silent => FallbackKind::Transient,
        };
        let new = State { kind, until: now, broken: 0, probing: false };
        let state = self.0.get_or_insert(new);
        match kind {
            // Sessions that meet the same fault together are one failure.
            FallbackKind::Transient if state.broken > 0 && now < state.until && !state.probing => {}
            FallbackKind::Unsupported => {
                state.kind = kind;
                state.until = now + UNSUPPORTED;
                state.probing = false;
            }
            FallbackKind::Transient => {
                // The longer of the two counts.
                if now >= state.until || state.probing {
                    state.kind = kind;
                }
                let cooldown = TRANSIENT.saturating_mul(1 << state.broken.min(10));
                state.until = state.until.max(now + cooldown.min(TRANSIENT_MAX));
                state.broken += 1;
                state.probing = false;
            }
        }
    }

    /// What is remembered now.
    pub(crate) fn fallback(&self, now: Instant) -> Option<Fallback> {
        let State { kind, until, .. } = self.0.as_ref()?;
        let remaining = until.saturating_duration_since(now);
        (!remaining.is_zero()).then_some(Fallback { kind: *kind, remaining })
    }

    /// A turn got its answer over a WebSocket, or somebody knows better.
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
    fn c040_what_is_remembered_can_be_asked_for_and_forgotten() {
        let (mut marks, now) = (Marks::default(), Instant::now());
        assert_eq!(marks.fallback(now), None);
        for (mark, kind, time) in [
            (Mark::Silent, FallbackKind::Transient, TRANSIENT),
            (Mark::Unsupported, FallbackKind::Unsupported, UNSUPPORTED),
            // It holds for a shorter time than what is known already.
            (Mark::Transient, FallbackKind::Unsupported, UNSUPPORTED),
        ] {
            marks.mark(mark, now);
            assert_eq!(marks.fallback(now), Some(Fallback { kind, remaining: time }), "{mark:?}");
        }
        let later = now + UNSUPPORTED - SECOND;
        assert_eq!(marks.fallback(later).map(|it| it.remaining), Some(SECOND));
        assert_eq!(marks.fallback(now + UNSUPPORTED), None);
        marks.clear();
        assert_eq!(marks.fallback(now), None);
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
