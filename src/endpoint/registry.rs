//! Sessions of a client, which close with the client.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use futures_util::future::BoxFuture;

/// Resource that closes with its client.
pub(crate) trait CloseOnShutdown: Send + Sync {
    /// Closes the resource immediately. The future completes when its connection is closed.
    fn close(&self) -> Option<BoxFuture<'static, ()>>;
}

/// Sessions of a client that were not dropped.
#[derive(Default)]
pub(crate) struct SessionRegistry(Mutex<Vec<Weak<dyn CloseOnShutdown>>>);

impl SessionRegistry {
    /// Registers `session`, so that closing the client closes it.
    pub(crate) fn register(&self, session: Weak<dyn CloseOnShutdown>) {
        let mut sessions = self.lock();
        sessions.retain(|session| session.strong_count() > 0);
        sessions.push(session);
    }

    /// Removes `session`, which another client takes over.
    pub(crate) fn unregister(&self, session: &Weak<dyn CloseOnShutdown>) {
        self.lock().retain(|other| !Weak::ptr_eq(other, session));
    }

    /// Returns the sessions that were not dropped.
    pub(crate) fn open(&self) -> Vec<Arc<dyn CloseOnShutdown>> {
        self.lock().iter().filter_map(Weak::upgrade).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<dyn CloseOnShutdown>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
