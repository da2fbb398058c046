//! Primitives of the state that threads share without a channel.
//!
//! With `--cfg responses_client_loom`, the unit tests use those of loom, which runs a test once for
//! each order of the threads (CONTRIBUTING.md).

#[cfg(all(test, responses_client_loom))]
use loom::sync;
#[cfg(not(all(test, responses_client_loom)))]
use std::sync;

pub(crate) type AtomicBool = sync::atomic::AtomicBool;
pub(crate) type AtomicU64 = sync::atomic::AtomicU64;
pub(crate) type Mutex<T> = sync::Mutex<T>;
pub(crate) type MutexGuard<'a, T> = sync::MutexGuard<'a, T>;

#[cfg(not(all(test, responses_client_loom)))]
pub(crate) type AtomicWaker = futures_util::task::AtomicWaker;

/// The waker of loom with the interface of `futures`.
#[cfg(all(test, responses_client_loom))]
#[derive(Debug, Default)]
pub(crate) struct AtomicWaker(loom::future::AtomicWaker);

#[cfg(all(test, responses_client_loom))]
impl AtomicWaker {
    pub(crate) fn register(&self, waker: &std::task::Waker) {
        self.0.register_by_ref(waker);
    }

    pub(crate) fn wake(&self) {
        self.0.wake();
    }
}
