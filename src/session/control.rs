//! How a session ends its turn in progress, whoever polls it.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
};

use futures_util::task::AtomicWaker;

use crate::{kind::ErrorKind, transport::ExchangeAbort};

/// Shared by a session and the driver of its turn in progress.
///
/// Cancelling needs nobody to poll the driver: a stream that its caller holds without reading must
/// not keep its connection.
#[derive(Default)]
pub(super) struct TurnControl {
    state: Mutex<State>,
    cancelled: AtomicBool,
    finished: AtomicBool,
    waker: AtomicWaker,
}

#[derive(Default)]
struct State {
    reason: Option<ErrorKind>,
    abort: Option<ExchangeAbort>,
}

impl TurnControl {
    /// Ends the turn: its connection is closed now, and its driver learns the reason when polled.
    pub(super) fn cancel(&self, reason: ErrorKind) {
        let abort = {
            let mut state = self.lock();
            state.reason.get_or_insert(reason);
            state.abort.take()
        };
        self.cancelled.store(true, Ordering::Release);
        if let Some(abort) = abort {
            abort.abort();
        }
        self.waker.wake();
    }

    /// Returns the reason if the session has ended the turn.
    pub(super) fn cancelled(&self) -> Option<ErrorKind> {
        if !self.cancelled.load(Ordering::Acquire) {
            return None;
        }
        self.lock().reason
    }

    /// Has `waker` woken when the session ends the turn. Ask [`cancelled`](Self::cancelled) after.
    pub(super) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// Takes what closes the connection of the exchange in progress, or closes it now if the
    /// session has ended the turn.
    pub(super) fn arm(&self, abort: ExchangeAbort) {
        let mut state = self.lock();
        if state.reason.is_none() {
            state.abort = Some(abort);
            return;
        }
        drop(state);
        abort.abort();
    }

    /// The exchange is over: there is nothing left to close.
    pub(super) fn disarm(&self) {
        self.lock().abort = None;
    }

    /// The turn is over.
    pub(super) fn finish(&self) {
        self.finished.store(true, Ordering::Release);
        self.disarm();
    }

    /// Returns `true` while the turn runs.
    pub(super) fn is_running(&self) -> bool {
        !self.finished.load(Ordering::Acquire) && !self.cancelled.load(Ordering::Acquire)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
