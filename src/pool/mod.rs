//! The connections of a session: the WebSocket that is leased for a turn, the successor of that
//! WebSocket, and the connection of the last SSE response.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::{
    task::{AbortHandle, JoinHandle},
    time::Instant,
};

use crate::{
    config::Provider,
    proto::{plan::ConnectionId, turn::Seat},
    transport::WebSocket,
};

/// Number of the next WebSocket. All clients share one counter, because a session may take its
/// WebSocket from one client to another.
static CONNECTIONS: AtomicU64 = AtomicU64::new(0);

/// The connections of a session. No method waits.
///
/// A method that replaces a socket returns the old socket. The caller drops the old socket after
/// releasing its locks, because dropping closes a socket and wakes its task.
#[derive(Default)]
pub(crate) struct Connections {
    socket: Option<WebSocket>,
    /// Task that starts the rotation when the socket is due for replacement.
    rotation_timer: Option<AbortOnDrop>,
    /// The socket that replaces `socket` at the next lease.
    successor: Option<WebSocket>,
    /// Task that reads the rest of the last SSE response.
    draining: Option<JoinHandle<()>>,
    used_http: bool,
    /// `true` if the caller of the last turn sets `previous_response_id`. The server may keep such
    /// a parent for this socket only, so that the socket must not be replaced.
    caller_managed: bool,
}

/// Aborts a task when dropped.
pub(crate) struct AbortOnDrop(AbortHandle);

/// Outcome of leasing a WebSocket.
pub(crate) struct Lease {
    /// The leased WebSocket; `None` if a new one must be opened.
    pub(crate) seat: Option<Seat>,
    /// `true` if the successor has replaced the socket.
    pub(crate) rotated: bool,
    /// Sockets to drop.
    pub(crate) retired: Vec<WebSocket>,
}

impl Connections {
    /// Leases the open WebSocket, unless the turn needs a fresh one.
    ///
    /// `caller_managed` is `true` if the caller of the turn sets `previous_response_id`, and `None`
    /// for work ahead of a turn. `followed` is `true` if a successor is being opened.
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
        // A socket that has died is replaced even if it held the caller's parents.
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

    /// Returns `true` if there is a WebSocket that is open, as far as is known.
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

    /// Sets the WebSocket for the next turns. Returns the previous socket.
    pub(crate) fn set_socket(&mut self, socket: Option<WebSocket>) -> Option<WebSocket> {
        std::mem::replace(&mut self.socket, socket)
    }

    /// Sets the successor of the WebSocket. Returns the previous successor.
    pub(crate) fn set_successor(&mut self, socket: WebSocket) -> Option<WebSocket> {
        self.successor.replace(socket)
    }

    /// Removes and returns the successor and the timer, which only later turns would need.
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

    /// Returns `true` if the WebSocket is due for replacement. While a successor is being opened,
    /// the WebSocket stays in use until its maximum age.
    pub(crate) fn needs_rotation(&self, provider: &Provider, followed: bool) -> bool {
        let Some(opened) = self.opened() else { return false };
        let followed = followed || self.successor.is_some();
        let due: Option<Duration> = if followed { provider.max_age } else { provider.rotation() };
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

/// Returns the facts about a WebSocket that a turn needs.
pub(crate) fn seat_of(socket: &WebSocket) -> Seat {
    Seat {
        connection: socket.id(),
        headers: std::sync::Arc::clone(socket.headers()),
        frame_limit: socket.frame_limit(),
    }
}

/// Returns the id of a new WebSocket.
pub(crate) fn next_connection() -> ConnectionId {
    ConnectionId(CONNECTIONS.fetch_add(1, Ordering::Relaxed))
}
