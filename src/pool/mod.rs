//! The connections of a session: the lease of a lane of a WebSocket, the successor of that lease,
//! and the connection of the last SSE response.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    task::{AbortHandle, JoinHandle},
    time::Instant,
};

use crate::{
    auth::Secret,
    config::Provider,
    error::Error,
    net::Network,
    observe::{Counters, OpenWebSocket, Retirement},
    proto::{
        lane::{ConnectionId, LaneId, SeatId},
        turn::Seat,
    },
    transport::{SocketOptions, WebSocket, WebSocketExchange},
};

/// Number of the next WebSocket. All clients share one counter, because a session may take its
/// WebSocket from one client to another.
static CONNECTIONS: AtomicU64 = AtomicU64::new(0);

/// Right to send requests on a lane of a WebSocket.
///
/// A connection has one lease, whose drop closes the WebSocket once its exchange is over.
#[derive(Debug)]
pub(crate) struct Lease {
    connection: WebSocket,
    lane: LaneId,
    /// Token of the upgrade, if a provider returned the token.
    token: Option<Secret>,
    count: OpenWebSocket,
}

/// The connections of a session. No method waits.
///
/// A method that replaces a lease returns the old lease. The caller drops the old lease after
/// releasing its locks, because dropping closes a socket and wakes its task.
#[derive(Default)]
pub(crate) struct Connections {
    lease: Option<Lease>,
    /// Task that starts the rotation when the WebSocket is due for replacement.
    rotation_timer: Option<AbortOnDrop>,
    /// The lease of another WebSocket, which replaces `lease` before the next turn.
    successor: Option<Lease>,
    /// Task that reads the rest of the last SSE response.
    draining: Option<JoinHandle<()>>,
    used_http: bool,
    /// `true` if the caller of the last turn sets `previous_response_id`. The server may keep such
    /// a parent for this WebSocket only, so that the WebSocket must not be replaced.
    caller_managed: bool,
}

/// Aborts a task when dropped.
pub(crate) struct AbortOnDrop(AbortHandle);

/// Outcome of leasing a lane for a turn.
pub(crate) struct Leased {
    /// The lane to use; `None` if a new WebSocket must be opened.
    pub(crate) seat: Option<Seat>,
    /// `true` if the successor has replaced the lease.
    pub(crate) rotated: bool,
    /// Leases to drop.
    pub(crate) retired: Vec<Lease>,
}

impl Lease {
    /// Opens a WebSocket, and leases its default lane. `token` is the provider's token in the
    /// headers of `request`, and `counters` count the WebSocket. See [`WebSocket::connect`].
    pub(crate) async fn open(
        network: &dyn Network,
        request: http::Request<Bytes>,
        token: Option<Secret>,
        deadline: Instant,
        options: SocketOptions,
        counters: Arc<Counters>,
    ) -> Result<Self, Error> {
        let id = ConnectionId(CONNECTIONS.fetch_add(1, Ordering::Relaxed));
        let connection = WebSocket::connect(network, request, id, deadline, options).await?;
        let count = OpenWebSocket::new(counters);
        Ok(Self { connection, lane: LaneId::DEFAULT, token, count })
    }

    /// Returns the token of the upgrade, if a provider returned the token.
    pub(crate) fn token(&self) -> Option<Secret> {
        self.token.clone()
    }

    /// Returns the facts about the lane and its WebSocket that a turn needs.
    pub(crate) fn seat(&self) -> Seat {
        let headers = Arc::clone(self.connection.headers());
        Seat { id: self.id(), headers, frame_limit: self.connection.frame_limit() }
    }

    fn id(&self) -> SeatId {
        SeatId { connection: self.connection.id(), lane: self.lane }
    }

    fn is_open(&self) -> bool {
        self.connection.is_open()
    }

    /// Sets the reason why the WebSocket is no longer used, unless an earlier reason is known. The
    /// caller drops the lease.
    pub(crate) fn retire(&mut self, reason: Retirement) {
        self.count.retire(reason);
    }

    /// Returns the lease, retired for `reason`.
    fn retired(mut self, reason: Retirement) -> Self {
        self.retire(reason);
        self
    }

    /// Sends a request on the lane. See [`WebSocket::send`].
    pub(crate) fn send(
        &self,
        text: String,
        stall: Option<Duration>,
    ) -> impl Future<Output = Result<WebSocketExchange, Error>> + Send + use<> {
        self.connection.send(self.lane, text, stall)
    }

    /// Sends a message about the running response of the lane. See [`WebSocket::send_during`].
    pub(crate) fn send_during(
        &self,
        text: String,
        steers: bool,
    ) -> impl Future<Output = bool> + Send + use<> {
        self.connection.send_during(self.lane, text, steers)
    }

    /// Closes the WebSocket. See [`WebSocket::close`].
    pub(crate) async fn close(self) {
        self.connection.close().await;
    }
}

impl Connections {
    /// Leases a lane of the open WebSocket, unless the turn needs a fresh one.
    ///
    /// `caller_managed` is `true` if the caller of the turn sets `previous_response_id`, and `None`
    /// for work ahead of a turn. `followed` is `true` if a successor is being opened.
    pub(crate) fn lease(
        &mut self,
        fresh: bool,
        caller_managed: Option<bool>,
        provider: &Provider,
        followed: bool,
    ) -> Leased {
        if let Some(caller_managed) = caller_managed {
            self.caller_managed = caller_managed;
        }
        // A socket that has died is replaced even if it held the caller's parents.
        let closed = self.lease.take_if(|lease| !lease.is_open()).map(|lease| {
            // An open WebSocket of another runtime counts as closed.
            let ended = lease.connection.has_ended();
            lease.retired(if ended { Retirement::IdleClosed } else { Retirement::Renewed })
        });
        let mut leased = Leased { seat: None, rotated: false, retired: Vec::from_iter(closed) };
        if self.lease.is_some() && !fresh && self.caller_managed {
            leased.seat = self.seat();
            return leased;
        }
        if let Some(successor) = self.successor.take().filter(Lease::is_open) {
            let old = self.lease.replace(successor);
            leased.retired.extend(old.map(|lease| lease.retired(Retirement::MaxAge)));
            leased.rotated = true;
        }
        if fresh || self.needs_rotation(provider, followed) {
            let reason = if fresh { Retirement::Renewed } else { Retirement::MaxAge };
            leased.retired.extend(self.lease.take().map(|lease| lease.retired(reason)));
        }
        leased.seat = self.seat();
        leased
    }

    /// Returns `true` if there is a WebSocket that is open, as far as is known.
    pub(crate) fn has_open_socket(&self) -> bool {
        self.lease.as_ref().is_some_and(Lease::is_open)
    }

    fn seat(&self) -> Option<Seat> {
        self.lease.as_ref().map(Lease::seat)
    }

    /// Returns the lease of `seat`, if the session still has that lease.
    pub(crate) fn lease_of(&self, seat: SeatId) -> Option<&Lease> {
        self.lease.as_ref().filter(|lease| lease.id() == seat)
    }

    /// Sets the lease for the next turns. Returns the previous lease.
    pub(crate) fn set_lease(&mut self, lease: Lease) -> Option<Lease> {
        self.lease.replace(lease)
    }

    /// Sets the successor of the lease. Returns the previous successor.
    pub(crate) fn set_successor(&mut self, lease: Lease) -> Option<Lease> {
        self.successor.replace(lease)
    }

    /// Removes and returns the lease, retired for `reason`.
    pub(crate) fn retire(&mut self, reason: Retirement) -> Option<Lease> {
        self.lease.take().map(|lease| lease.retired(reason))
    }

    /// Notes the reason why the WebSocket has ended, if it has.
    pub(crate) fn note_end(&mut self, reason: Retirement) {
        if let Some(lease) = self.lease.as_mut().filter(|lease| lease.connection.has_ended()) {
            lease.retire(reason);
        }
    }

    /// Removes and returns the successor and the timer, which only later turns would need.
    pub(crate) fn release(&mut self) -> (Option<Lease>, Option<AbortOnDrop>) {
        (self.successor.take(), self.rotation_timer.take())
    }

    pub(crate) fn set_rotation_timer(&mut self, timer: AbortOnDrop) {
        self.rotation_timer = Some(timer);
    }

    /// Returns the time at which the WebSocket was opened.
    pub(crate) fn opened(&self) -> Option<Instant> {
        self.lease.as_ref().map(|lease| lease.connection.opened())
    }

    /// Returns `true` if the WebSocket is due for replacement. While a successor is being opened,
    /// the WebSocket stays in use until its maximum age.
    pub(crate) fn needs_rotation(&self, provider: &Provider, followed: bool) -> bool {
        let Some(opened) = self.opened() else { return false };
        let followed = followed || self.successor.is_some();
        let due: Option<Duration> =
            if followed { provider.capabilities.max_age } else { provider.rotation() };
        // The caller may continue a response that the server keeps for this socket only.
        !self.caller_managed
            && due.is_some_and(|due| Instant::now().saturating_duration_since(opened) >= due)
    }

    /// Marks HTTP as used and returns whether it already was.
    pub(crate) fn mark_http_used(&mut self) -> bool {
        std::mem::replace(&mut self.used_http, true)
    }

    pub(crate) fn set_draining(&mut self, draining: JoinHandle<()>) {
        self.draining = Some(draining);
    }

    /// Removes and returns the task that reads the rest of the last SSE response. The connection of
    /// that response is free when the task ends.
    pub(crate) fn take_draining(&mut self) -> Option<JoinHandle<()>> {
        self.draining.take()
    }
}

impl AbortOnDrop {
    pub(crate) fn new<T>(task: &JoinHandle<T>) -> Self {
        Self(task.abort_handle())
    }

    /// Returns `true` while the task runs.
    pub(crate) fn is_running(&self) -> bool {
        !self.0.is_finished()
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
