//! How long each phase of a turn may take.

use std::time::Duration;

use crate::config::Transport;

/// How long each phase of a turn may take; each can be turned off with `None`.
///
/// ```
/// # use std::time::Duration;
/// let mut timeouts = responses_client::Timeouts::default();
/// timeouts.turn = Some(Duration::from_secs(600));
/// ```
///
/// "Event" means an event of the response. Pings, SSE comments and metadata prove that the peer
/// lives, but not that the turn goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// From the first packet to the answer of the upgrade, or to the end of the TLS handshake for
    /// SSE. 10 s: two to four round trips, and one lost packet, over a bad link.
    pub connect: Option<Duration>,
    /// While a request is written to a WebSocket, the longest time in which the system accepts no
    /// byte of it. 30 s: a slow uplink continues, however large the request is. Over SSE writing is
    /// part of the time to the first event.
    pub send: Option<Duration>,
    /// From the written request to the first event, over a WebSocket. 60 s: a server says
    /// `response.created` before it thinks.
    pub first_event_websocket: Option<Duration>,
    /// The same over SSE. 10 min: middleboxes hold back whole bodies.
    pub first_event_sse: Option<Duration>,
    /// Between two events of a response over a WebSocket. Off: models reason in silence for
    /// minutes, and pings tell whether the peer lives.
    pub between_events_websocket: Option<Duration>,
    /// The same over SSE. 10 min, since nothing else shows there that the peer lives.
    pub between_events_sse: Option<Duration>,
    /// How long the peer of an open WebSocket may be silent, in a turn and between turns, before a
    /// ping asks whether it lives. 20 s: below the time after which middleboxes forget a
    /// connection. Whatever comes, half a frame too, is a sign of life.
    pub ping: Option<Duration>,
    /// From that ping until the peer is taken for dead if nothing came. 10 s: some servers answer
    /// late while they write. The time starts when the ping has left and what was written before
    /// it has had time to arrive, at 16 KiB/s: 3 min for a request of 3 MB, 4 s for one of 64 KiB.
    /// In a turn it ends with [`ErrorKind::Timeout`](crate::ErrorKind);
    /// between turns the next one opens another WebSocket. It rests while a request is being
    /// written and while the consumer takes no events.
    pub pong: Option<Duration>,
    /// What [`prewarm`](crate::ResponsesSession::prewarm) may take, connecting included, and so
    /// how long the turn behind it waits for it at most. 10 s: as long as connecting may.
    pub prewarm: Option<Duration>,
    /// Asking for a response that the server keeps, or for its end, retries included. 60 s.
    pub request: Option<Duration>,
    /// The whole turn, retries included. Off.
    pub turn: Option<Duration>,
    /// Until a WebSocket that is being closed is dropped. 1 s.
    pub close: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Some(Duration::from_secs(10)),
            send: Some(Duration::from_secs(30)),
            first_event_websocket: Some(Duration::from_secs(60)),
            first_event_sse: Some(Duration::from_secs(600)),
            between_events_websocket: None,
            between_events_sse: Some(Duration::from_secs(600)),
            ping: Some(Duration::from_secs(20)),
            pong: Some(Duration::from_secs(10)),
            prewarm: Some(Duration::from_secs(10)),
            request: Some(Duration::from_secs(60)),
            turn: None,
            close: Duration::from_secs(1),
        }
    }
}

impl Timeouts {
    pub(crate) fn first_event(&self, transport: Transport) -> Option<Duration> {
        match transport {
            Transport::WebSocket => self.first_event_websocket,
            Transport::Sse => self.first_event_sse,
        }
    }

    pub(crate) fn between_events(&self, transport: Transport) -> Option<Duration> {
        match transport {
            Transport::WebSocket => self.between_events_websocket,
            Transport::Sse => self.between_events_sse,
        }
    }
}
