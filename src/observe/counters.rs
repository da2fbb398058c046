//! Counts of a client: [`ClientMetrics`].

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use serde::Serialize;

use crate::{
    config::Transport,
    error::Error,
    event::ResponseEvent,
    kind::ErrorKind,
    net::{ConnectionCounts, HttpRetirement},
    report::{Plan, TurnReport},
};

/// Counts since a client was built: the result of
/// [`ResponsesClient::metrics`](crate::ResponsesClient::metrics).
///
/// All sessions of a client and of its clones count together. Maps have the names that the public
/// enums return by `as_str` as their keys, and no key for what has not happened. A snapshot
/// serializes under the names of its fields, and always in the same order. Every field only grows,
/// except `lanes_in_use`, which is the number now.
///
/// `websockets_opened` less the sum of `websockets_retired` is the number of open WebSockets. The
/// same holds for HTTP connections, those included that are kept for the next request.
///
/// ```
/// # use responses_client::testing::{ScriptedServer, Turn};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = ScriptedServer::start([Turn::text("hi"), Turn::text("hi")]).await?;
/// # let client = server.client()?;
/// use responses_client::{Item, ResponsesRequest};
///
/// let mut session = client.session();
/// let mut request = ResponsesRequest::new("gpt-6-astra").input("Say hi");
/// let response = session.respond(&request).await?;
/// request.input.extend(response.output_items());
/// request.input.push(Item::user("Again"));
/// session.respond(&request).await?;
///
/// let metrics = client.metrics();
/// assert_eq!((metrics.websockets_opened, metrics.websockets_reused), (1, 1));
/// assert_eq!(metrics.turns["websocket"]["completed"], 2);
/// assert_eq!(metrics.plans["first_turn"], 1);
/// assert_eq!(metrics.plans["incremental"], 1);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ClientMetrics {
    /// WebSockets that were opened, also ahead of a turn. A WebSocket counts at the client that
    /// opened it.
    pub websockets_opened: u64,
    /// Requests of turns that were sent over a WebSocket which was already open when the attempt
    /// began. [`preconnect`](crate::ResponsesSession::preconnect),
    /// [`prewarm`](crate::ResponsesSession::prewarm) or the replacement of an old WebSocket may have
    /// opened it. Requests over SSE count as `http_connections_reused`.
    pub websockets_reused: u64,
    /// WebSockets that are no longer in use, by reason:
    ///
    /// - `idle_closed`: found closed when the next request needed it
    /// - `max_age`: replaced because of its age
    /// - `error`: an attempt on it failed
    /// - `cancelled`: the turn on it was superseded, or its future or stream was dropped
    /// - `renewed`: still open, but a request needed a new WebSocket, for example on another runtime
    /// - `session_ended`: the session was closed, dropped, or moved to another server or account
    pub websockets_retired: BTreeMap<&'static str, u64>,
    /// Lanes of WebSockets that sessions have now. A session without lanes of its own has the only
    /// lane of its WebSocket.
    pub lanes_in_use: u64,
    /// Waits of turns for a lane, by reason. A wait counts when it begins.
    ///
    /// - `opening`: for a WebSocket that another session was opening
    /// - `limit`: for a lane or a WebSocket, at [`PoolPolicy::max_sockets`](crate::PoolPolicy)
    /// - `responses`: for a response to end, because the WebSocket had as many as the
    ///   [server runs](crate::Provider::active_responses)
    /// - `fork`: for forks to continue the response of the lane, because no other lane was free
    pub lane_waits: BTreeMap<&'static str, u64>,
    /// Connections that were opened for HTTP requests: turns over SSE, calls such as
    /// [`retrieve`](crate::ResponsesClient::retrieve), and upgrades that were refused. A connection
    /// counts at the client that opened it.
    pub http_connections_opened: u64,
    /// HTTP requests that were sent over a connection kept from an earlier request. All sessions of
    /// a client share these connections.
    pub http_connections_reused: u64,
    /// HTTP connections that are no longer in use, by reason:
    ///
    /// - `idle_closed`: closed by the server after an answer, before the next request
    /// - `max_idle`: kept for 90 s without a request
    /// - `evicted`: the oldest of more than 256 kept connections
    /// - `error`: a request or an answer failed on it
    /// - `unfinished`: the answer was not read to its end, because its turn was superseded or dropped,
    ///   timed out or failed, or because its rest exceeded the limits on
    ///   [size](crate::Limits::max_drain_bytes) or [time](crate::Limits::drain_time)
    /// - `renewed`: still open, but busy with the rest of the previous request
    /// - `client_dropped`: the client and its sessions were dropped
    pub http_connections_retired: BTreeMap<&'static str, u64>,
    /// Turns that have ended, by the transport of the last attempt and then by outcome. The
    /// transport is `none` if no attempt was made. The outcome is `completed`, `incomplete`, the
    /// name of the [`ErrorKind`], or `dropped` if the future or the stream was dropped before the
    /// end of the turn. A request that is [invalid](ErrorKind::InvalidRequest) begins no turn.
    pub turns: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
    /// Requests that were sent, those of retries included: `incremental`, or the name of the
    /// [`FullSendReason`](crate::report::FullSendReason).
    pub plans: BTreeMap<&'static str, u64>,
    /// Failed attempts that another attempt followed, by the name of their [`ErrorKind`].
    pub retries: BTreeMap<&'static str, u64>,
    /// Turns that changed from WebSocket to SSE.
    pub fallbacks: u64,
    /// Sum of [`TurnReport::bytes_sent`] of the turns that have ended.
    pub bytes_sent: u64,
    /// Sum of [`TurnReport::bytes_received`] of the turns that have ended.
    pub bytes_received: u64,
}

/// Counts of a client. The lock is held only while one count changes or a snapshot is taken.
#[derive(Debug, Default)]
pub(crate) struct Counters(Mutex<ClientMetrics>);

/// Something that is counted.
#[derive(Clone, Copy)]
enum Count {
    WebSocketOpened,
    WebSocketReused,
    WebSocketRetired(Retirement),
    LaneTaken,
    LaneFreed,
    LaneWait(LaneWait),
    HttpOpened,
    HttpReused,
    HttpRetired(HttpRetirement),
    Turn { transport: &'static str, outcome: &'static str },
    Plan(&'static str),
    Retry(ErrorKind),
    Fallback,
    BytesSent(u64),
    BytesReceived(u64),
}

/// Reason why a WebSocket is no longer in use. See [`ClientMetrics::websockets_retired`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retirement {
    IdleClosed,
    MaxAge,
    Error,
    Cancelled,
    Renewed,
    SessionEnded,
}

impl Retirement {
    fn as_str(self) -> &'static str {
        match self {
            Self::IdleClosed => "idle_closed",
            Self::MaxAge => "max_age",
            Self::Error => "error",
            Self::Cancelled => "cancelled",
            Self::Renewed => "renewed",
            Self::SessionEnded => "session_ended",
        }
    }
}

/// Reason why a turn waits for a lane. See [`ClientMetrics::lane_waits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LaneWait {
    Opening,
    Limit,
    Responses,
    Fork,
}

impl LaneWait {
    fn as_str(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Limit => "limit",
            Self::Responses => "responses",
            Self::Fork => "fork",
        }
    }
}

/// Entry of an open WebSocket in the counters. Dropping the entry counts the retirement.
#[derive(Debug)]
pub(crate) struct OpenWebSocket {
    counters: Arc<Counters>,
    reason: OnceLock<Retirement>,
}

impl OpenWebSocket {
    /// Counts a WebSocket that was opened.
    pub(crate) fn new(counters: Arc<Counters>) -> Self {
        counters.add(Count::WebSocketOpened);
        Self { counters, reason: OnceLock::new() }
    }

    /// Sets the reason of the retirement, unless an earlier reason is known.
    pub(crate) fn retire(&self, reason: Retirement) {
        _ = self.reason.set(reason);
    }

    /// Counts a lane of the WebSocket that a session has taken.
    pub(crate) fn lane_taken(&self) {
        self.counters.add(Count::LaneTaken);
    }

    /// Counts that a session has given a lane of the WebSocket back.
    pub(crate) fn lane_freed(&self) {
        self.counters.add(Count::LaneFreed);
    }

    /// Counts a turn that waits for a response of the WebSocket to end.
    pub(crate) fn waits_for_response(&self) {
        self.counters.lane_wait(LaneWait::Responses);
    }
}

impl Drop for OpenWebSocket {
    fn drop(&mut self) {
        let reason = self.reason.get().copied().unwrap_or(Retirement::SessionEnded);
        self.counters.add(Count::WebSocketRetired(reason));
    }
}

impl ConnectionCounts for Counters {
    fn opened(&self) {
        self.add(Count::HttpOpened);
    }

    fn reused(&self) {
        self.add(Count::HttpReused);
    }

    fn retired(&self, reason: HttpRetirement) {
        self.add(Count::HttpRetired(reason));
    }
}

impl Counters {
    pub(crate) fn snapshot(&self) -> ClientMetrics {
        self.lock().clone()
    }

    pub(crate) fn planned(&self, plan: &Plan, transport: Transport, reused: bool) {
        if reused && transport == Transport::WebSocket {
            self.add(Count::WebSocketReused);
        }
        self.add(Count::Plan(match plan {
            Plan::Incremental { .. } => plan.as_str(),
            Plan::Full(reason) => reason.as_str(),
        }));
    }

    pub(crate) fn lane_wait(&self, reason: LaneWait) {
        self.add(Count::LaneWait(reason));
    }

    pub(crate) fn attempt_failed(&self, kind: ErrorKind) {
        self.add(Count::Retry(kind));
    }

    pub(crate) fn fell_back(&self) {
        self.add(Count::Fallback);
    }

    pub(crate) fn done(&self, report: &TurnReport, end: Result<&ResponseEvent, &Error>) {
        self.ended(
            report,
            match end {
                Ok(ResponseEvent::Incomplete(_)) => "incomplete",
                Ok(_) => "completed",
                Err(error) => error.kind().as_str(),
            },
        );
    }

    pub(crate) fn dropped(&self, report: &TurnReport) {
        self.ended(report, "dropped");
    }

    fn ended(&self, report: &TurnReport, outcome: &'static str) {
        let transport = report.transport.map_or("none", Transport::as_str);
        self.add(Count::Turn { transport, outcome });
        self.add(Count::BytesSent(report.bytes_sent));
        self.add(Count::BytesReceived(report.bytes_received));
    }

    fn add(&self, count: Count) {
        // Outside of the lock, because the recorder is the caller's code.
        #[cfg(feature = "metrics")]
        count.export();
        self.lock().add(count);
    }

    fn lock(&self) -> MutexGuard<'_, ClientMetrics> {
        // No code that can panic runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(feature = "metrics")]
impl Count {
    /// Counts with the recorder that the program has installed.
    fn export(self) {
        use ::metrics::{counter, gauge};
        match self {
            Self::WebSocketOpened => {
                counter!("responses_client_websockets_opened_total").increment(1)
            }
            Self::WebSocketReused => {
                counter!("responses_client_websockets_reused_total").increment(1)
            }
            Self::WebSocketRetired(reason) => {
                counter!("responses_client_websockets_retired_total", "reason" => reason.as_str())
                    .increment(1);
            }
            Self::LaneTaken => gauge!("responses_client_lanes_in_use").increment(1),
            Self::LaneFreed => gauge!("responses_client_lanes_in_use").decrement(1),
            Self::LaneWait(reason) => {
                counter!("responses_client_lane_waits_total", "reason" => reason.as_str())
                    .increment(1);
            }
            Self::HttpOpened => {
                counter!("responses_client_http_connections_opened_total").increment(1);
            }
            Self::HttpReused => {
                counter!("responses_client_http_connections_reused_total").increment(1);
            }
            Self::HttpRetired(reason) => {
                counter!("responses_client_http_connections_retired_total",
                    "reason" => reason.as_str())
                .increment(1);
            }
            Self::Turn { transport, outcome } => {
                counter!("responses_client_turns_total",
                    "transport" => transport, "outcome" => outcome)
                .increment(1);
            }
            Self::Plan(plan) => {
                counter!("responses_client_plans_total", "plan" => plan).increment(1);
            }
            Self::Retry(kind) => {
                counter!("responses_client_retries_total", "error" => kind.as_str()).increment(1);
            }
            Self::Fallback => counter!("responses_client_fallbacks_total").increment(1),
            Self::BytesSent(bytes) => {
                counter!("responses_client_sent_bytes_total").increment(bytes)
            }
            Self::BytesReceived(bytes) => {
                counter!("responses_client_received_bytes_total").increment(bytes);
            }
        }
    }
}

impl ClientMetrics {
    fn add(&mut self, count: Count) {
        let (counter, by) = match count {
            Count::WebSocketOpened => (&mut self.websockets_opened, 1),
            Count::WebSocketReused => (&mut self.websockets_reused, 1),
            Count::WebSocketRetired(reason) => {
                (self.websockets_retired.entry(reason.as_str()).or_default(), 1)
            }
            Count::LaneTaken => (&mut self.lanes_in_use, 1),
            Count::LaneFreed => {
                self.lanes_in_use = self.lanes_in_use.saturating_sub(1);
                return;
            }
            Count::LaneWait(reason) => (self.lane_waits.entry(reason.as_str()).or_default(), 1),
            Count::HttpOpened => (&mut self.http_connections_opened, 1),
            Count::HttpReused => (&mut self.http_connections_reused, 1),
            Count::HttpRetired(reason) => {
                (self.http_connections_retired.entry(reason.as_str()).or_default(), 1)
            }
            Count::Turn { transport, outcome } => {
                (self.turns.entry(transport).or_default().entry(outcome).or_default(), 1)
            }
            Count::Plan(name) => (self.plans.entry(name).or_default(), 1),
            Count::Retry(kind) => (self.retries.entry(kind.as_str()).or_default(), 1),
            Count::Fallback => (&mut self.fallbacks, 1),
            Count::BytesSent(bytes) => (&mut self.bytes_sent, bytes),
            Count::BytesReceived(bytes) => (&mut self.bytes_received, bytes),
        };
        *counter = counter.saturating_add(by);
    }
}
