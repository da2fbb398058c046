//! Cancellation of a turn in progress by its session.

use std::{
    sync::{PoisonError, atomic::Ordering},
    task::Waker,
};

use crate::{
    kind::ErrorKind,
    sync::{AtomicBool, AtomicWaker, Mutex, MutexGuard},
    transport::ExchangeAbort,
};

/// State that a session shares with the driver of its turn in progress.
///
/// Cancelling does not depend on the driver being polled: a stream that its caller holds without
/// reading must not keep its connection open.
#[derive(Default)]
pub(super) struct TurnControl {
    state: Mutex<ControlState>,
    cancelled: AtomicBool,
    finished: AtomicBool,
    waker: AtomicWaker,
}

#[derive(Default)]
struct ControlState {
    reason: Option<ErrorKind>,
    abort: Option<ExchangeAbort>,
}

impl TurnControl {
    /// Cancels the turn: closes its connection immediately. The driver receives the reason when it
    /// is polled next.
    pub(super) fn cancel(&self, reason: ErrorKind) {
        let abort = {
            let mut state = self.lock();
            // The first reason is the one that the caller sees.
            state.reason.get_or_insert(reason);
            state.abort.take()
        };
        // Outside of the lock, because aborting and waking run other code.
        self.cancelled.store(true, Ordering::Release);
        if let Some(abort) = abort {
            abort.abort();
        }
        self.waker.wake();
    }

    /// Returns the reason if the session has cancelled the turn.
    pub(super) fn cancelled(&self) -> Option<ErrorKind> {
        // Checked for every event: the flag spares the lock.
        if !self.cancelled.load(Ordering::Acquire) {
            return None;
        }
        self.lock().reason
    }

    /// Registers `waker` to be woken when the session cancels the turn. Call
    /// [`cancelled`](Self::cancelled) afterwards, because an earlier cancellation wakes nothing.
    pub(super) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// Stores the handle that closes the connection of the exchange in progress. If the session has
    /// already cancelled the turn, closes the connection immediately.
    pub(super) fn arm(&self, abort: ExchangeAbort) {
        let mut state = self.lock();
        if state.reason.is_none() {
            state.abort = Some(abort);
            return;
        }
        drop(state);
        abort.abort();
    }

    /// Drops the handle of the exchange, which is over.
    pub(super) fn disarm(&self) {
        self.lock().abort = None;
    }

    /// Marks the turn as finished.
    pub(super) fn finish(&self) {
        self.finished.store(true, Ordering::Release);
        self.disarm();
    }

    /// Returns `true` while the turn runs.
    pub(super) fn is_running(&self) -> bool {
        !self.finished.load(Ordering::Acquire) && !self.cancelled.load(Ordering::Acquire)
    }

    fn lock(&self) -> MutexGuard<'_, ControlState> {
        // No code that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(test, responses_client_loom))]
mod loom_tests;
