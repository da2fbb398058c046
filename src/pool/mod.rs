//! The connections of a session: the WebSocket that it leases for a turn, that socket's successor,
//! and the connection of its last answer over SSE.

use std::time::Duration;

use tokio::{
    task::{AbortHandle, JoinHandle},
    time::Instant,
};

use crate::{
    config::Provider,
    proto::{plan::ConnectionId, turn::Seat},
    transport::WebSocket,
};

/// The connections of a session. None of its methods waits.
///
/// A socket that is replaced is returned, so that the caller drops it after releasing its locks:
/// dropping closes it.
#[derive(Default)]
pub(crate) struct Connections {
    socket: Option<WebSocket>,
    /// Wakes a task when the socket is due to be replaced.
    rotation_timer: Option<AbortOnDrop>,
    /// The socket that replaces it with the next lease.
    successor: Option<WebSocket>,
    /// The rest of the last answer over SSE.
    draining: Option<JoinHandle<()>>,
    used_http: bool,
    /// The caller of the last turn names parents itself: these may live in the socket alone.
    caller_managed: bool,
}

/// Aborts a task when dropped.
pub(crate) struct AbortOnDrop(AbortHandle);

/// An open WebSocket, leased for one turn.
pub(crate) struct Lease {
    pub(crate) seat: Option<Seat>,
    /// The successor has taken the place of the socket.
    pub(crate) rotated: bool,
    /// Sockets to drop.
    pub(crate) retired: Vec<WebSocket>,
}

impl Connections {
    /// Leases the open WebSocket, unless the turn needs a fresh one. `followed`: another one is
    /// being opened to replace it. `caller_managed` says so of the turn, where there is one.
    pub(crate) fn lease(
        &mut self,
        fresh: bool,
        caller_managed: Option<bool>,
        provider: &Provider,
        followed: bool,
    ) -> Lease {
        if let Some(caller_managed) = caller_managed {
            self.caller_managed = caller_managed;
        }
        let closed = self.socket.take_if(|socket| !socket.is_open());
        let mut lease = Lease { seat: None, rotated: false, retired: Vec::from_iter(closed) };
        if self.socket.is_some() && !fresh && self.caller_managed {
            lease.seat = self.seat();
            return lease;
        }
        if let Some(successor) = self.successor.take().filter(WebSocket::is_open) {
            lease.retired.extend(self.socket.replace(successor));
            lease.rotated = true;
        }
        if fresh || self.needs_rotation(provider, followed) {
            lease.retired.extend(self.socket.take());
        }
        lease.seat = self.seat();
        lease
    }

    /// Returns `true` if there is a WebSocket that was open a moment ago.
    pub(crate) fn has_open_socket(&self) -> bool {
        self.socket.as_ref().is_some_and(WebSocket::is_open)
    }

    fn seat(&self) -> Option<Seat> {
        self.socket.as_ref().map(seat_of)
    }

    /// Returns the WebSocket with this id, if it is still the session's.
    pub(crate) fn socket(&self, id: ConnectionId) -> Option<&WebSocket> {
        self.socket.as_ref().filter(|socket| socket.id() == id)
    }

    /// Takes a WebSocket for the turns to come. Returns the one before.
    pub(crate) fn set_socket(&mut self, socket: Option<WebSocket>) -> Option<WebSocket> {
        std::mem::replace(&mut self.socket, socket)
    }

    /// Takes the WebSocket that replaces the present one. Returns one that was there for that.
    pub(crate) fn set_successor(&mut self, socket: WebSocket) -> Option<WebSocket> {
        self.successor.replace(socket)
    }

    /// Takes what ends with the last turn: the successor and the timer.
    pub(crate) fn release(&mut self) -> (Option<WebSocket>, Option<AbortOnDrop>) {
        (self.successor.take(), self.rotation_timer.take())
    }

    pub(crate) fn set_rotation_timer(&mut self, timer: AbortOnDrop) {
        self.rotation_timer = Some(timer);
    }

    /// Returns the time at which the WebSocket was opened.
    pub(crate) fn opened(&self) -> Option<Instant> {
        self.socket.as_ref().map(WebSocket::opened)
    }

    /// Returns `true` if the WebSocket has served its time. One that is followed by another serves
    /// until that is open, but not beyond its maximal age.
    pub(crate) fn needs_rotation(&self, provider: &Provider, followed: bool) -> bool {
        let Some(opened) = self.opened() else { return false };
        let followed = followed || self.successor.is_some();
        let due: Option<Duration> = if followed { provider.max_age } else { provider.rotation() };
        // Its caller may continue what lives in this socket alone.
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

    /// Returns the task that reads the rest of the last answer over SSE. Its connection is free
    /// when the task ends.
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

/// Returns the facts about a WebSocket that a turn needs.
pub(crate) fn seat_of(socket: &WebSocket) -> Seat {
    Seat {
        connection: socket.id(),
        headers: std::sync::Arc::clone(socket.headers()),
        frame_limit: socket.frame_limit(),
    }
}
