//! `Control`: counts the bytes of a connection, and cuts it.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Context,
};

use futures_util::task::AtomicWaker;

use crate::testing::script::cut::Cut;

/// Handle on a [`Wire`](super::wire::Wire), which stays with the server while hyper owns the wire.
#[derive(Debug, Default)]
pub(super) struct Control {
    received: AtomicU64,
    sent: AtomicU64,
    deaf: AtomicBool,
    fault: Mutex<Fault>,
    // One task polls both directions of a connection, so that one waker is enough.
    waker: AtomicWaker,
}

/// State of the cut of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Fault {
    #[default]
    None,
    /// The connection is cut once everything before is written.
    AfterFlush(Cut),
    /// The connection is cut when it is polled next.
    Now(Cut),
    /// The connection was cut.
    Done(Cut),
}

impl Control {
    /// Returns the number of bytes received.
    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Returns the number of bytes sent.
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Cuts the connection immediately; bytes that hyper has not written yet are lost.
    pub(super) fn cut(&self, cut: Cut) {
        self.set(|fault| match fault {
            Fault::None | Fault::AfterFlush(_) => Fault::Now(cut),
            Fault::Now(_) | Fault::Done(_) => fault,
        });
    }

    /// Cuts the connection once everything before is written.
    pub(super) fn cut_after_flush(&self, cut: Cut) {
        self.set(|fault| if fault == Fault::None { Fault::AfterFlush(cut) } else { fault });
    }

    /// Counts and discards everything that arrives from now on.
    pub(super) fn deafen(&self) {
        self.deaf.store(true, Ordering::Relaxed);
    }

    /// Returns `true` if the connection was reset.
    pub(super) fn was_reset(&self) -> bool {
        matches!(self.fault(), Fault::Now(Cut::Reset) | Fault::Done(Cut::Reset))
    }

    pub(super) fn fault(&self) -> Fault {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the next fault, and wakes the wire.
    pub(super) fn set(&self, next: impl FnOnce(Fault) -> Fault) {
        {
            let mut fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
            *fault = next(*fault);
        }
        self.waker.wake();
    }

    /// Counts received bytes; returns `true` if they are discarded.
    pub(super) fn add_received(&self, bytes: usize) -> bool {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
        self.deaf.load(Ordering::Relaxed)
    }

    /// Counts sent bytes.
    pub(super) fn add_sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Has the next fault wake this task.
    pub(super) fn register(&self, cx: &Context<'_>) {
        self.waker.register(cx.waker());
    }
}
