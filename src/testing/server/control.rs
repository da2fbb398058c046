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

/// Handle on a [`ControlledStream`](super::controlled_stream::ControlledStream), which stays with
/// the server while hyper owns the stream.
#[derive(Debug, Default)]
pub(super) struct Control {
    received: AtomicU64,
    sent: AtomicU64,
    deaf: AtomicBool,
    cut_state: Mutex<CutState>,
    // One task polls both directions of a connection, so that one waker is enough.
    waker: AtomicWaker,
}

/// State of the cut of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum CutState {
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
        self.set(|cut_state| match cut_state {
            CutState::None | CutState::AfterFlush(_) => CutState::Now(cut),
            CutState::Now(_) | CutState::Done(_) => cut_state,
        });
    }

    /// Cuts the connection once everything before is written.
    pub(super) fn cut_after_flush(&self, cut: Cut) {
        self.set(
            |cut_state| {
                if cut_state == CutState::None { CutState::AfterFlush(cut) } else { cut_state }
            },
        );
    }

    /// Counts and discards everything that arrives from now on.
    pub(super) fn deafen(&self) {
        self.deaf.store(true, Ordering::Relaxed);
    }

    /// Returns `true` if the connection was reset.
    pub(super) fn was_reset(&self) -> bool {
        matches!(self.cut_state(), CutState::Now(Cut::Reset) | CutState::Done(Cut::Reset))
    }

    pub(super) fn cut_state(&self) -> CutState {
        *self.cut_state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state of the cut, and wakes the stream.
    pub(super) fn set(&self, next: impl FnOnce(CutState) -> CutState) {
        {
            let mut cut_state = self.cut_state.lock().unwrap_or_else(PoisonError::into_inner);
            *cut_state = next(*cut_state);
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

    /// Has the next change of the cut wake this task.
    pub(super) fn register(&self, cx: &Context<'_>) {
        self.waker.register(cx.waker());
    }
}
