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
    proto::turn::response::End,
    transport::queue::Sender,
};

/// Options of a WebSocket.
#[derive(Clone, Debug)]
pub(crate) struct SocketOptions {
    pub(crate) limits: Limits,
    pub(crate) timeouts: Timeouts,
    /// A refusal leads to SSE: one whose status is enough is returned without its body.
    pub(crate) has_fallback: bool,
    /// The origin begins responses without a lifecycle event, as one of its sockets showed.
    pub(crate) unannounced: Arc<AtomicBool>,
}

#[derive(Debug)]
pub(super) struct Status {
    /// The socket takes no more requests.
    pub(super) over: AtomicBool,
    pub(super) opened: Instant,
    /// When the last byte of a request was accepted for sending: milliseconds from the opening.
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

/// A request to send.
pub(super) struct Create {
    pub(super) text: String,
    pub(super) answer: Sender,
    /// Told once the request is written, or something came back.
    pub(super) sent: oneshot::Sender<Sent>,
}

/// Whether a request left.
#[derive(Debug)]
pub(super) enum Sent {
    Yes,
    /// The socket had ended before.
    No(End),
}
