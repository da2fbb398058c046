//! A gate that holds a turn until a test opens it.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

/// Holds a turn at a [`Step::Gate`](crate::testing::Step::Gate) until a test opens it, so that no
/// test needs to sleep.
///
/// ```
/// use responses_client::testing::{Gate, Step, Turn};
///
/// let gate = Gate::new();
/// let turn = Turn::text("Hello").insert(4, Step::Gate(gate.clone()));
/// // … check that nothing arrives after the third event, then:
/// gate.open();
/// # let _ = turn;
/// ```
#[derive(Clone, Debug)]
pub struct Gate {
    state: Arc<Mutex<GateState>>,
}

#[derive(Debug, Default)]
struct GateState {
    is_open: bool,
    waiting: Vec<Waker>,
}

impl Gate {
    /// Returns a closed gate.
    pub fn new() -> Self {
        Self { state: Arc::default() }
    }

    /// Opens the gate and all its clones for good.
    pub fn open(&self) {
        let waiting = {
            let mut state = self.lock();
            state.is_open = true;
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Resolves once the gate is open.
    pub(crate) fn poll_opened(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.is_open {
            return Poll::Ready(());
        }
        if !state.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, GateState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, future::poll_fn};

    use super::*;

    #[test]
    fn a_gate_opens_for_all_its_clones() {
        let gate = Gate::new();
        let clone = gate.clone();
        assert!(poll_fn(|cx| clone.poll_opened(cx)).now_or_never().is_none());
        gate.open();
        assert!(poll_fn(|cx| clone.poll_opened(cx)).now_or_never().is_some());
    }
}
