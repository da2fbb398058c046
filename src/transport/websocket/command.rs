//! Messages and state that the handle of a WebSocket shares with its task.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot},
    time::Instant,
};

use super::inbox::{Sender, Signals};
#[cfg(feature = "deflate")]
use crate::config::DeflatePolicy;
use crate::{
    config::{Limits, Timeouts},
    proto::{
        lane::{LaneId, LaneTable, Message},
        turn::response::StreamEnd,
        wire::Wire,
    },
};

/// Options of a WebSocket.
#[derive(Clone, Debug)]
pub(crate) struct SocketOptions {
    pub(crate) wire: &'static dyn Wire,
    pub(crate) limits: Limits,
    pub(crate) timeouts: Timeouts,
    /// `true` if a refused upgrade leads to SSE. If the status of the refusal suffices for that
    /// decision, its body is not waited for.
    pub(crate) has_fallback: bool,
    /// `true` if a socket of the origin has shown that its responses begin without a lifecycle
    /// event. Shared by all sockets of the origin.
    pub(crate) unannounced: Arc<AtomicBool>,
    #[cfg(feature = "deflate")]
    pub(crate) deflate: DeflatePolicy,
    /// Number of lanes that the server accepts, the default lane included.
    pub(crate) lanes: usize,
    /// Number of responses that may run at the same time.
    pub(crate) active: usize,
    /// Notified when a lane that nobody reads has become free, and when the socket has ended.
    pub(crate) changed: Arc<Notify>,
}

/// State of a socket that its task and its handles share.
#[derive(Debug)]
pub(super) struct Status {
    /// `true` if the socket has ended, or is about to.
    over: AtomicBool,
    /// `true` if the socket accepts no more sessions. Exchanges in progress continue.
    retired: AtomicBool,
    opened: Instant,
    /// Time at which the system last accepted a byte of a request, in milliseconds since `opened`.
    written: AtomicU64,
    table: Mutex<LaneTable>,
    /// Places for the responses that may run at the same time.
    pub(super) places: Arc<Semaphore>,
    pub(super) signals: Arc<Signals>,
    changed: Arc<Notify>,
}

impl Status {
    /// Returns the state of a socket that opens now.
    pub(super) fn new(options: &SocketOptions) -> Self {
        Self {
            over: AtomicBool::new(false),
            retired: AtomicBool::new(false),
            opened: Instant::now(),
            written: AtomicU64::new(0),
            table: Mutex::new(LaneTable::new(options.lanes)),
            places: Arc::new(Semaphore::new(options.active.max(1))),
            signals: Arc::default(),
            changed: Arc::clone(&options.changed),
        }
    }

    pub(super) fn opened(&self) -> Instant {
        self.opened
    }

    /// Returns `true` if the socket has ended, or is about to.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Records that the socket ends.
    pub(super) fn close(&self) {
        self.over.store(true, Ordering::Release);
    }

    /// Announces that a lane has become free, or that the socket has ended.
    pub(super) fn announce(&self) {
        self.changed.notify_waiters();
    }

    /// Returns `true` if no further request may be sent.
    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire) || self.is_over()
    }

    /// Records that no further request may be sent. Exchanges in progress continue.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    /// Returns the table of lanes, locked. Nothing may be awaited meanwhile.
    pub(super) fn table(&self) -> MutexGuard<'_, LaneTable> {
        // No code that can panic runs under the lock.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that the consumer of `lane` leaves before the end of its response. From now on, no
    /// session uses the lane; nor the socket, if the lane is the only one in use.
    ///
    /// Does nothing if the consumer `has_left` before: another session may have the lane by now.
    pub(super) fn leave(&self, lane: LaneId, has_left: &AtomicBool) {
        let mut table = self.table();
        // The lock orders this with the other call: whoever comes second finds the lane marked.
        if has_left.swap(true, Ordering::Relaxed) {
            return;
        }
        match table.users() {
            0 | 1 => self.close(),
            _ => table.detach(lane),
        }
    }

    pub(super) fn note_written(&self, at: std::time::Instant) {
        let since = at.saturating_duration_since(self.opened.into_std()).as_millis();
        self.written.store(u64::try_from(since).unwrap_or(u64::MAX), Ordering::Release);
    }

    pub(super) fn written(&self) -> Instant {
        self.opened + Duration::from_millis(self.written.load(Ordering::Acquire))
    }
}

/// Message to the task of a WebSocket.
pub(super) enum Command {
    /// Send a request.
    Create {
        lane: LaneId,
        text: String,
        answer: Sender,
        /// Resolves once the request is written, or the server has answered.
        sent: oneshot::Sender<SendOutcome>,
        /// Place among the responses that may run on the socket.
        place: OwnedSemaphorePermit,
    },
    /// Send a message about the running response of a lane.
    Send {
        lane: LaneId,
        message: Message,
        /// Resolves with `false` if the response has ended, so that nothing was sent.
        sent: oneshot::Sender<bool>,
    },
}

/// Outcome of sending a request.
#[derive(Debug)]
pub(super) enum SendOutcome {
    /// The request was sent, or a part of it may have been. With the bytes of its frames, if they
    /// are known and compressed.
    Yes(Option<u64>),
    /// The socket had ended before the request was sent. The end is `None` if this side ended the
    /// socket, or if an earlier request has received the end.
    No(Option<StreamEnd>),
}
