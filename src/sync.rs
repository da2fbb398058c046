//! Primitives of the state that threads share without a channel.
//!
//! With `--cfg responses_client_loom`, the unit tests use those of loom, which runs a test once for
//! each order of the threads (CONTRIBUTING.md).

#[cfg(not(all(test, responses_client_loom)))]
pub(crate) use {
    futures_util::task::AtomicWaker,
    std::sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64},
    },
};

#[cfg(all(test, responses_client_loom))]
pub(crate) use {
    loom::sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64},
    },
    of_loom::AtomicWaker,
};

#[cfg(all(test, responses_client_loom))]
mod of_loom {
    use std::task::Waker;

    /// The waker of loom with the interface of `futures`.
    #[derive(Debug, Default)]
    pub(crate) struct AtomicWaker(loom::future::AtomicWaker);

    impl AtomicWaker {
        pub(crate) fn register(&self, waker: &Waker) {
            self.0.register_by_ref(waker);
        }

        pub(crate) fn wake(&self) {
            self.0.wake();
        }
    }
}
