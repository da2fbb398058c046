//! Choice of the transport, and the circuit breaker for origins where WebSockets fail.
//!
//! ```text
//!             refused                      time is up
//!   closed ───────────▶ open (10 min) ─────────────────▶ probing ──▶ closed, or open again
//!       │   broken                            time is up    ▲
//!       └─────────────▶ open (60 s, doubling to 10 min) ────┘
//! ```
//!
//! While one turn probes, the others stay on SSE. A probe that never reports, because its turn was
//! dropped, expires, so that it costs no more than time.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::{
    config::{Transport, TransportPolicy},
    format::{milliseconds, named},
    request::RequestError,
};

/// Time without WebSockets for an origin that does not support them. 10 min, because deployments
/// change rarely.
const UNSUPPORTED: Duration = Duration::from_secs(600);
/// Time without WebSockets for an origin whose handshake failed. The time doubles with each further
/// failure.
const TRANSIENT: Duration = Duration::from_secs(60);
const TRANSIENT_MAX: Duration = Duration::from_secs(600);
/// Time after which a probe without a report expires.
const PROBE: Duration = Duration::from_secs(30);

/// Returns `true` if this status of a refused upgrade means that WebSocket is not supported, rather
/// than that this one request cannot be served now. Besides 426, these are the statuses of
/// frameworks and gateways without WebSocket.
pub(crate) fn means_no_websocket(status: u16) -> bool {
    !matches!(status, 401 | 408 | 409 | 425 | 429 | 500 | 502..)
}

/// Returns `true` if the status of a refused upgrade proves without the body that WebSocket is not
/// supported.
pub(crate) fn decides(status: u16) -> bool {
    matches!(status, ..400 | 404 | 405 | 426 | 501)
}

/// Observation about an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BreakerTrip {
    /// The origin does not support WebSockets.
    Unsupported,
    /// The origin may not support WebSockets; success over SSE confirms it.
    Unconfirmed,
    /// A handshake failed on the network path.
    Transient,
    /// A WebSocket opened but carried nothing. Success over SSE confirms that a middlebox blocks
    /// frames.
    Silent,
}

impl BreakerTrip {
    /// Returns `true` if the observation is recorded only after SSE has succeeded.
    pub(crate) fn needs_sse_confirmation(self) -> bool {
        matches!(self, Self::Unconfirmed | Self::Silent)
    }
}

/// Fallback to SSE in force for an origin, returned by
/// [`ResponsesClient::fallback`](crate::ResponsesClient::fallback). The time serializes as
/// `remaining_ms`, in milliseconds.
///
/// ```
/// use responses_client::ResponsesClient;
///
/// fn show(client: &ResponsesClient) {
///     match client.fallback() {
///         Some(fallback) => println!("over SSE: {:?}", fallback.kind),
///         None => println!("over WebSockets"),
///     }
/// }
/// # let _ = show;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Fallback {
    /// Reason of the fallback.
    pub kind: FallbackKind,
    /// Remaining time of the fallback. Afterwards one turn tries a WebSocket again.
    #[serde(rename = "remaining_ms", serialize_with = "milliseconds")]
    pub remaining: Duration,
}

/// Reason why turns go over SSE.
///
/// ```
/// use responses_client::{FallbackKind, ResponsesClient};
///
/// fn is_lasting(client: &ResponsesClient) -> bool {
///     client.fallback().is_some_and(|fallback| fallback.kind == FallbackKind::Unsupported)
/// }
/// # let _ = is_lasting;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FallbackKind {
    /// The server does not support WebSockets. This fallback lasts 10 minutes.
    Unsupported,
    /// A middlebox broke the handshake or blocked frames. This fallback lasts 1 minute, and doubles
    /// with each further failure, up to 10 minutes.
    Transient,
}

named! {
    FallbackKind {
        Unsupported = "unsupported",
        Transient = "transient",
    }
}

/// Fallback state of an origin.
#[derive(Debug, Default)]
pub(crate) struct WebSocketBreaker(Option<BreakerState>);

#[derive(Debug)]
struct BreakerState {
    kind: FallbackKind,
    until: Instant,
    /// Number of consecutive handshake failures.
    broken: u32,
    /// `true` while a turn probes whether WebSockets work again.
    probing: bool,
}

/// Requirements of a turn on its transport.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RouteQuery {
    pub(crate) policy: TransportPolicy,
    /// `true` if the provider supports WebSockets.
    pub(crate) websocket: bool,
    /// Reason why the turn cannot use a WebSocket; `None` if it can.
    pub(crate) needs_http: Option<&'static str>,
    /// `true` if the session has an open WebSocket. The breaker only prevents opening one.
    pub(crate) open_socket: bool,
}

impl WebSocketBreaker {
    /// Returns the transport of the next turn, and makes this turn the probe if one is due.
    pub(crate) fn route(
        &mut self,
        needs: RouteQuery,
        now: Instant,
    ) -> Result<Transport, RequestError> {
        let no_socket = (!needs.websocket).then_some("the provider has no WebSocket");
        match (needs.policy, needs.needs_http.or(no_socket)) {
            (TransportPolicy::WebSocketOnly, Some(why)) => {
                return Err(RequestError::NoTransport(why));
            }
            (TransportPolicy::WebSocketOnly, None) => return Ok(Transport::WebSocket),
            (TransportPolicy::SseOnly, _) | (TransportPolicy::Auto, Some(_)) => {
                return Ok(Transport::Sse);
            }
            (TransportPolicy::Auto, None) => {}
        }
        // An open WebSocket has proved itself; the breaker only concerns opening one.
        if needs.open_socket {
            return Ok(Transport::WebSocket);
        }
        match &mut self.0 {
            None => Ok(Transport::WebSocket),
            Some(state) if now < state.until => Ok(Transport::Sse),
            Some(state) => {
                // The other turns stay on SSE until the probe reports or expires.
                state.until = now + PROBE;
                state.probing = true;
                Ok(Transport::WebSocket)
            }
        }
    }

    /// Records that WebSockets fail.
    pub(crate) fn trip(&mut self, trip: BreakerTrip, now: Instant) {
        let kind = match trip {
            BreakerTrip::Unsupported | BreakerTrip::Unconfirmed => FallbackKind::Unsupported,
            BreakerTrip::Transient | BreakerTrip::Silent => FallbackKind::Transient,
        };
        let new = BreakerState { kind, until: now, broken: 0, probing: false };
        let state = self.0.get_or_insert(new);
        match kind {
            // Sessions that meet the same failure together count as one failure.
            FallbackKind::Transient if state.broken > 0 && now < state.until && !state.probing => {}
            FallbackKind::Unsupported => {
                state.kind = kind;
                state.until = now + UNSUPPORTED;
                state.probing = false;
            }
            FallbackKind::Transient => {
                // The longer of the two fallbacks applies.
                if now >= state.until || state.probing {
                    state.kind = kind;
                }
                let cooldown = TRANSIENT.saturating_mul(1 << state.broken.min(10));
                state.until = state.until.max(now + cooldown.min(TRANSIENT_MAX));
                // Without a success in between, the next cool-down is twice as long.
                state.broken += 1;
                state.probing = false;
            }
        }
    }

    /// Returns the fallback in force.
    pub(crate) fn fallback(&self, now: Instant) -> Option<Fallback> {
        let BreakerState { kind, until, .. } = self.0.as_ref()?;
        let remaining = until.saturating_duration_since(now);
        // An elapsed fallback stays recorded, because its probe may still fail.
        (!remaining.is_zero()).then_some(Fallback { kind: *kind, remaining })
    }

    /// Clears the state: a turn had its answer over a WebSocket, or the caller reset it.
    pub(crate) fn clear(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUTO: RouteQuery = RouteQuery {
        policy: TransportPolicy::Auto,
        websocket: true,
        needs_http: None,
        open_socket: false,
    };
    const SECOND: Duration = Duration::from_secs(1);

    fn route(breaker: &mut WebSocketBreaker, now: Instant) -> Transport {
        breaker.route(AUTO, now).unwrap()
    }

    #[test]
    fn c031_a_mark_holds_for_its_time_and_one_turn_probes() {
        let (mut breaker, start) = (WebSocketBreaker::default(), Instant::now());
        assert_eq!(route(&mut breaker, start), Transport::WebSocket);
        breaker.trip(BreakerTrip::Unsupported, start);
        let open = RouteQuery { open_socket: true, ..AUTO };
        assert_eq!(breaker.route(open, start), Ok(Transport::WebSocket), "it is about opening one");
        assert_eq!(route(&mut breaker, start + UNSUPPORTED - SECOND), Transport::Sse);
        let probe = start + UNSUPPORTED;
        assert_eq!(route(&mut breaker, probe), Transport::WebSocket);
        assert_eq!(route(&mut breaker, probe), Transport::Sse, "one probe at a time");
        assert_eq!(route(&mut breaker, probe + PROBE), Transport::WebSocket, "a lost probe");
        breaker.clear();
        assert_eq!(route(&mut breaker, probe), Transport::WebSocket);
        assert_eq!(route(&mut breaker, probe), Transport::WebSocket);
    }

    #[test]
    fn c034_a_transient_mark_grows_with_each_failed_probe_and_is_forgotten_after_success() {
        let (mut breaker, mut now) = (WebSocketBreaker::default(), Instant::now());
        for cooldown in [60, 120, 240, 480, 600, 600] {
            breaker.trip(BreakerTrip::Transient, now);
            now += Duration::from_secs(cooldown);
            assert_eq!(route(&mut breaker, now - SECOND), Transport::Sse, "{cooldown}");
            assert_eq!(route(&mut breaker, now), Transport::WebSocket, "{cooldown}");
        }
        breaker.clear();
        for _ in 0..5 {
            breaker.trip(BreakerTrip::Transient, now);
        }
        assert_eq!(route(&mut breaker, now + TRANSIENT), Transport::WebSocket);
    }

    #[test]
    fn c040_what_is_remembered_can_be_asked_for_and_forgotten() {
        let (mut breaker, now) = (WebSocketBreaker::default(), Instant::now());
        assert_eq!(breaker.fallback(now), None);
        for (mark, kind, time) in [
            (BreakerTrip::Silent, FallbackKind::Transient, TRANSIENT),
            (BreakerTrip::Unsupported, FallbackKind::Unsupported, UNSUPPORTED),
            // It holds for a shorter time than what is known already.
            (BreakerTrip::Transient, FallbackKind::Unsupported, UNSUPPORTED),
        ] {
            breaker.trip(mark, now);
            assert_eq!(breaker.fallback(now), Some(Fallback { kind, remaining: time }), "{mark:?}");
        }
        let later = now + UNSUPPORTED - SECOND;
        assert_eq!(breaker.fallback(later).map(|it| it.remaining), Some(SECOND));
        assert_eq!(breaker.fallback(now + UNSUPPORTED), None);
        breaker.clear();
        assert_eq!(breaker.fallback(now), None);
    }

    #[test]
    fn c034_failures_in_one_cool_down_count_once_and_the_longer_fallback_applies() {
        use BreakerTrip::{Transient, Unsupported};
        use FallbackKind as Kind;
        // Trips, with the second of each, and the fallback at the last one.
        for (trips, kind, remaining) in [
            (&[(Transient, 0), (Transient, 59)][..], Kind::Transient, 1),
            (&[(Transient, 0), (Transient, 60)], Kind::Transient, 120),
            (&[(Transient, 0), (Transient, 100)], Kind::Transient, 120),
            (&[(Unsupported, 0), (Transient, 500)], Kind::Unsupported, 100),
            (&[(Unsupported, 0), (Transient, 590)], Kind::Unsupported, 60),
            (&[(Unsupported, 0), (Transient, 600)], Kind::Transient, 60),
            (&[(Transient, 0), (Unsupported, 1)], Kind::Unsupported, 600),
        ] {
            let (mut breaker, start) = (WebSocketBreaker::default(), Instant::now());
            let mut now = start;
            for (trip, second) in trips {
                now = start + *second * SECOND;
                breaker.trip(*trip, now);
            }
            let fallback = Fallback { kind, remaining: remaining * SECOND };
            assert_eq!(breaker.fallback(now), Some(fallback), "{trips:?}");
        }
    }

    #[test]
    fn a_failed_probe_decides_anew() {
        let (mut breaker, start) = (WebSocketBreaker::default(), Instant::now());
        breaker.trip(BreakerTrip::Unsupported, start);
        let probe = start + UNSUPPORTED;
        assert_eq!(route(&mut breaker, probe), Transport::WebSocket);
        breaker.trip(BreakerTrip::Transient, probe + SECOND);
        let fallback = Fallback { kind: FallbackKind::Transient, remaining: TRANSIENT };
        assert_eq!(breaker.fallback(probe + SECOND), Some(fallback));
        assert_eq!(route(&mut breaker, probe + SECOND + PROBE), Transport::Sse);
    }

    #[test]
    fn a_refused_upgrade_is_judged_by_its_status() {
        // `certain` needs no look at the body.
        for (statuses, unsupported, certain) in [
            (&[200, 301, 399, 404, 405, 426, 501][..], true, true),
            (&[400, 402, 403, 406, 415, 422], true, false),
            (&[401, 408, 409, 425, 429, 500, 502, 503, 504, 520, 599], false, false),
        ] {
            for status in statuses {
                assert_eq!(means_no_websocket(*status), unsupported, "{status}");
                assert_eq!(decides(*status), certain, "{status}");
            }
        }
        use BreakerTrip::{Silent, Transient, Unconfirmed, Unsupported};
        for (trip, confirmed) in
            [(Unsupported, false), (Transient, false), (Unconfirmed, true), (Silent, true)]
        {
            assert_eq!(trip.needs_sse_confirmation(), confirmed, "{trip:?}");
        }
    }

    #[test]
    fn a_policy_is_never_overridden() {
        let (mut breaker, now) = (WebSocketBreaker::default(), Instant::now());
        let mut route = |policy, websocket, needs_http| {
            // An open WebSocket does not change what the turn needs.
            breaker.route(RouteQuery { policy, websocket, needs_http, open_socket: websocket }, now)
        };
        use TransportPolicy::{Auto, SseOnly, WebSocketOnly};
        let (why, none) = ("it needs HTTP", "the provider has no WebSocket");
        assert_eq!(route(SseOnly, true, None), Ok(Transport::Sse));
        assert_eq!(route(SseOnly, true, Some(why)), Ok(Transport::Sse));
        assert_eq!(route(WebSocketOnly, true, None), Ok(Transport::WebSocket));
        let refused = Err(RequestError::NoTransport(why));
        assert_eq!(route(WebSocketOnly, true, Some(why)), refused);
        assert_eq!(route(WebSocketOnly, false, None), Err(RequestError::NoTransport(none)));
        assert_eq!(route(Auto, true, None), Ok(Transport::WebSocket));
        assert_eq!(route(Auto, true, Some(why)), Ok(Transport::Sse));
        assert_eq!(route(Auto, false, None), Ok(Transport::Sse));
    }
}
