//! Time limits of a turn.

use std::time::Duration;

use super::setters::setters;
use crate::config::Transport;

/// Time limits of each phase of a turn; `None` turns a limit off.
///
/// ```
/// use std::time::Duration;
/// use responses_client::Timeouts;
///
/// let timeouts = Timeouts::default().turn(Duration::from_secs(600)).between_events_sse(None);
/// # assert_eq!(timeouts.turn, Some(Duration::from_secs(600)));
/// # assert_eq!(timeouts.between_events_sse, None);
/// ```
///
/// "Event" means an event of the response. Pings, SSE comments and metadata prove that the peer is
/// alive, but not that the turn makes progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// From the first packet to the answer to the upgrade, or over SSE to the end of the TLS
    /// handshake. Default: 10 s, two to four round trips and one lost packet over a bad link.
    pub connect: Option<Duration>,
    /// Longest time without progress while a request is written to a WebSocket. Default: 30 s. A
    /// slow uplink continues, however large the request is. Over SSE, writing counts towards the
    /// time to the first event.
    pub send: Option<Duration>,
    /// From the written request to the first event, over a WebSocket. Default: 60 s; a server sends
    /// `response.created` before the model starts reasoning.
    pub first_event_websocket: Option<Duration>,
    /// From the start of the request to the first event, over SSE. Default: 10 min, because
    /// middleboxes buffer whole bodies.
    pub first_event_sse: Option<Duration>,
    /// Between two events of a response over a WebSocket. Default: off, because models reason in
    /// silence for minutes, and pings detect a dead peer.
    pub between_events_websocket: Option<Duration>,
    /// Between two events of a response over SSE. Default: 10 min, because SSE has no other sign of
    /// a dead peer.
    pub between_events_sse: Option<Duration>,
    /// Longest silence of the peer of an open WebSocket, in a turn and between turns, before a ping
    /// is sent. Default: 20 s, less than the time after which middleboxes forget a connection. Any
    /// received byte ends the silence.
    pub ping: Option<Duration>,
    /// From a ping until a silent peer counts as dead. Default: 10 s; some servers answer late
    /// while they write.
    ///
    /// The time starts when the ping has left and all earlier bytes have had time to arrive at 16
    /// KiB/s: 3 min for a request of 3 MB, 4 s for one of 64 KiB. It pauses while a request is
    /// being written and while the consumer takes no events.
    ///
    /// In a turn, a dead peer is an error of the kind [`ErrorKind::Timeout`](crate::ErrorKind).
    /// Between turns, the next turn opens another WebSocket.
    pub pong: Option<Duration>,
    /// Longest time of [`prewarm`](crate::ResponsesSession::prewarm), connecting included, and the
    /// longest time that the turn after it waits for it. Default: 10 s, like `connect`.
    pub prewarm: Option<Duration>,
    /// Retrieving or cancelling a stored response, retries included. Default: 60 s.
    pub request: Option<Duration>,
    /// The whole turn, retries included. Default: off.
    pub turn: Option<Duration>,
    /// From the close of a WebSocket until it is dropped. Default: 1 s.
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

setters!(Timeouts {
    connect: impl Into<Option<Duration>>,
    send: impl Into<Option<Duration>>,
    first_event_websocket: impl Into<Option<Duration>>,
    first_event_sse: impl Into<Option<Duration>>,
    between_events_websocket: impl Into<Option<Duration>>,
    between_events_sse: impl Into<Option<Duration>>,
    ping: impl Into<Option<Duration>>,
    pong: impl Into<Option<Duration>>,
    prewarm: impl Into<Option<Duration>>,
    request: impl Into<Option<Duration>>,
    turn: impl Into<Option<Duration>>,
    close: Duration,
});

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
