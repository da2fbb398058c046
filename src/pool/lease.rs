//! A lane of a WebSocket that a session has taken.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::places::{Places, SocketPlace};
use crate::{
    auth::Secret,
    error::Error,
    observe::{OpenWebSocket, Retirement},
    proto::{
        lane::{ConnectionId, LaneId, Message, SeatId},
        turn::Seat,
    },
    transport::{WebSocket, WebSocketExchange},
};

/// An open WebSocket, which the leases of its lanes share. The drop of the last lease closes it once
/// its exchanges are over.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) socket: WebSocket,
    /// Token of the upgrade, if a provider returned the token.
    pub(super) token: Option<Secret>,
    pub(super) count: OpenWebSocket,
    pub(super) places: Places,
    /// `None` once the WebSocket has ended and another one needs the place.
    pub(super) place: Mutex<Option<SocketPlace>>,
}

/// Right to send requests on a lane of a WebSocket.
#[derive(Debug)]
pub(crate) struct Lease {
    connection: Arc<Connection>,
    seat: SeatId,
}

/// Claim of a fork to the response that it continues. As long as the claim exists, the lane with
/// the response gets no other request.
#[derive(Debug)]
pub(crate) struct ForkHold {
    connection: Arc<Connection>,
    lane: LaneId,
}

impl Connection {
    /// Returns `true` if the WebSocket accepts another session.
    pub(super) fn is_open(&self) -> bool {
        self.socket.is_open()
    }

    pub(super) fn id(&self) -> ConnectionId {
        self.socket.id()
    }

    pub(super) fn opened(&self) -> Instant {
        self.socket.opened()
    }

    /// Returns `true` if as many responses run as the server runs at the same time.
    pub(super) fn is_busy(&self) -> bool {
        self.socket.is_busy()
    }

    /// Frees the place if the WebSocket has ended. Its sessions notice the end with their next turn.
    pub(super) fn free_place_if_ended(&self) {
        if self.socket.has_ended() {
            // No code that can panic runs under the lock.
            let place = self.place.lock().unwrap_or_else(PoisonError::into_inner).take();
            drop(place);
        }
    }

    /// Takes a lane that keeps no response, or else, if `any`, the one that was idle for the
    /// longest time.
    pub(super) fn take_lane(self: &Arc<Self>, any: bool) -> Option<Lease> {
        let lane = self.socket.lanes().take(any)?;
        Some(Lease::new(self, lane))
    }

    /// Takes the lane that keeps `response`.
    pub(super) fn take_lane_with(self: &Arc<Self>, response: &str) -> Option<Lease> {
        let lane = self.socket.lanes().take_with(response)?;
        Some(Lease::new(self, lane))
    }
}

impl Lease {
    /// Returns the lease of the default lane of a new WebSocket.
    pub(super) fn first(connection: &Arc<Connection>) -> Self {
        let lane = connection.socket.lanes().take(false).unwrap_or(LaneId::DEFAULT);
        Self::new(connection, lane)
    }

    /// Returns the lease of a lane that was taken.
    fn new(connection: &Arc<Connection>, lane: LaneId) -> Self {
        connection.count.lane_taken();
        let earlier = connection.socket.lanes().earlier_takes(lane);
        let seat = SeatId { connection: connection.id(), lane, earlier };
        Self { connection: Arc::clone(connection), seat }
    }

    /// Returns the token of the upgrade, if a provider returned the token.
    pub(crate) fn token(&self) -> Option<Secret> {
        self.connection.token.clone()
    }

    /// Returns the facts about the lane and its WebSocket that a turn needs. `parent` is the id of
    /// the response that the turn may continue.
    pub(crate) fn seat(&self, parent: Option<&str>) -> Seat {
        let socket = &self.connection.socket;
        Seat {
            id: self.id(),
            headers: Arc::clone(socket.headers()),
            frame_limit: socket.frame_limit(),
            keeps_parent: parent.is_some_and(|parent| socket.lanes().keeps(parent)),
        }
    }

    pub(super) fn id(&self) -> SeatId {
        self.seat
    }

    /// Returns `true` if the lane accepts another request.
    pub(super) fn is_open(&self) -> bool {
        let socket = &self.connection.socket;
        socket.is_open() && socket.lanes().is_usable(self.seat.lane)
    }

    /// Returns `true` if the WebSocket has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.connection.socket.has_ended()
    }

    pub(super) fn opened(&self) -> Instant {
        self.connection.opened()
    }

    /// Returns `true` if other sessions use the WebSocket, too.
    pub(super) fn is_shared(&self) -> bool {
        self.connection.socket.lanes().users() > 1
    }

    /// Returns `true` if forks are about to continue the last response of the lane.
    pub(super) fn is_forked(&self) -> bool {
        self.connection.socket.lanes().is_forked(self.seat.lane)
    }

    /// Takes another lane of the WebSocket, if one is free.
    pub(super) fn sibling(&self) -> Option<Self> {
        self.connection.take_lane(true)
    }

    /// Lets the last response of the lane be continued only on the lane.
    pub(super) fn keep_to_lane(&self) {
        self.connection.socket.lanes().begin(self.seat.lane);
    }

    /// Claims `response` for a fork, if the server keeps it for the WebSocket.
    pub(super) fn hold(&self, response: &str) -> Option<ForkHold> {
        hold(&self.connection, response)
    }

    /// Claims `response` for this session, if the server keeps it for another lane of the WebSocket.
    pub(super) fn claim(&self, response: &str) -> Option<ForkHold> {
        let is_own = self.connection.socket.lanes().last_kept(self.seat.lane) == Some(response);
        if is_own { None } else { self.hold(response) }
    }

    /// Sets the reason why the WebSocket is no longer used, unless an earlier reason is known, or
    /// only this session leaves. The caller drops the lease.
    pub(crate) fn retire(&self, reason: Retirement) {
        let of_all = match reason {
            Retirement::IdleClosed | Retirement::MaxAge | Retirement::Error => true,
            Retirement::Cancelled | Retirement::Renewed | Retirement::SessionEnded => false,
        };
        if of_all || !self.is_shared() {
            self.connection.count.retire(reason);
        }
        // Each session leaves an old WebSocket in its own time, some not before its end.
        if reason == Retirement::Error {
            self.connection.socket.retire();
        }
    }

    /// Returns the lease, retired for `reason`.
    pub(super) fn retired(self, reason: Retirement) -> Self {
        self.retire(reason);
        self
    }

    /// Sends a request on the lane. See [`WebSocket::send`].
    pub(crate) fn send(
        &self,
        text: String,
        stall: Option<Duration>,
        wait: Option<Duration>,
    ) -> impl Future<Output = Result<WebSocketExchange, Error>> + Send + use<> {
        if self.connection.is_busy() {
            self.connection.count.waits_for_response();
        }
        self.connection.socket.send(self.seat.lane, text, stall, wait)
    }

    /// Sends a message about the running response of the lane. See [`WebSocket::send_during`].
    pub(crate) fn send_during(
        &self,
        message: Message,
    ) -> impl Future<Output = bool> + Send + use<> {
        self.connection.socket.send_during(self.seat.lane, message)
    }

    /// Closes the WebSocket, unless other sessions use it. See [`WebSocket::close`].
    pub(crate) async fn close(self) {
        let connection = Arc::clone(&self.connection);
        drop(self);
        if let Some(connection) = Arc::into_inner(connection) {
            connection.socket.close().await;
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.connection.socket.lanes().give_back(self.seat.lane);
        self.connection.count.lane_freed();
        self.connection.places.notify();
    }
}

impl ForkHold {
    /// Takes a lane of the WebSocket for the fork: the lane that keeps the response, if no other
    /// session needs it, or else another one.
    pub(super) fn lease(&self) -> Option<Lease> {
        if !self.connection.is_open() {
            return None;
        }
        let own = self.connection.socket.lanes().take_for_fork(self.lane);
        match own {
            Some(lane) => Some(Lease::new(&self.connection, lane)),
            None => self.connection.take_lane(true),
        }
    }

    /// Returns `true` if `lease` is that of the lane that keeps the response.
    pub(super) fn is_on(&self, lease: &Lease) -> bool {
        self.lane == lease.seat.lane && Arc::ptr_eq(&self.connection, &lease.connection)
    }

    /// Claims `response` for another fork.
    pub(super) fn hold(&self, response: &str) -> Option<Self> {
        hold(&self.connection, response)
    }
}

fn hold(connection: &Arc<Connection>, response: &str) -> Option<ForkHold> {
    let lane = connection.socket.lanes().begin_fork(response)?;
    Some(ForkHold { connection: Arc::clone(connection), lane })
}

impl Drop for ForkHold {
    fn drop(&mut self) {
        self.connection.socket.lanes().end_fork(self.lane);
        self.connection.places.notify();
    }
}
