//! Messages and state that the handle of a WebSocket shares with its task.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::oneshot, time::Instant};

use crate::{
    config::{Limits, Timeouts},
    proto::{lane::LaneId, turn::response::StreamEnd, wire::Wire},
    transport::queue::Sender,
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
}

/// State of a socket that its task and its handles share.
#[derive(Debug)]
pub(super) struct Status {
    /// `true` if the socket accepts no more requests.
    pub(super) over: AtomicBool,
    pub(super) opened: Instant,
    /// Time at which the system last accepted a byte of a request, in milliseconds since `opened`.
    pub(super) written: AtomicU64,
}

impl Status {
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
    },
    /// Send a message about the running response of a lane; `steers` if the message is a steer.
    Send {
        lane: LaneId,
        text: String,
        steers: bool,
        /// Resolves with `false` if the response has ended, so that nothing was sent.
        sent: oneshot::Sender<bool>,
    },
}

/// Outcome of sending a request.
#[derive(Debug)]
pub(super) enum SendOutcome {
    /// The request was sent, or a part of it may have been.
    Yes,
    /// The socket had ended before the request was sent. The end is `None` if this side ended the
    /// socket, or if an earlier request has received the end.
    No(Option<StreamEnd>),
}
