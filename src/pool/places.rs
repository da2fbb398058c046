//! Places for the WebSockets of a client, and the turns that wait for one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::HeaderMap;
use tokio::{runtime, sync::Notify};

/// Places for the WebSockets of a client.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    state: Arc<Mutex<PlacesState>>,
    /// Notified when a lane or a place may have become free.
    changed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct PlacesState {
    /// Number of WebSockets that are open or being opened.
    taken: usize,
    /// The WebSockets that are being opened.
    dials: Vec<PoolKey>,
    /// Number of turns that wait for a WebSocket which is being opened, or for a lane.
    waiting: usize,
}

/// Properties in which the sessions on a WebSocket agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PoolKey {
    /// Headers of the session.
    pub(crate) headers: HeaderMap,
    pub(crate) runtime: runtime::Id,
}

/// Place of a WebSocket among those that a client may open. Dropping the place frees it.
#[derive(Debug)]
pub(crate) struct SocketPlace {
    places: Places,
    /// Key of the WebSocket while it is being opened.
    dial: Option<PoolKey>,
}

/// A turn that waits for a WebSocket which is being opened, or for a lane.
pub(crate) struct Waiting(Places);

impl Places {
    /// Returns the number of WebSockets that are open or being opened.
    pub(super) fn taken(&self) -> usize {
        self.lock().taken
    }

    /// Takes a place for a WebSocket with `key`, unless `limit` places are taken.
    pub(super) fn take(&self, key: &PoolKey, limit: Option<usize>) -> Option<SocketPlace> {
        let mut state = self.lock();
        if limit.is_some_and(|limit| state.taken >= limit.max(1)) {
            return None;
        }
        state.taken += 1;
        state.dials.push(key.clone());
        Some(SocketPlace { places: self.clone(), dial: Some(key.clone()) })
    }

    /// Takes a place whatever the limit.
    pub(super) fn take_beyond_limit(&self) -> SocketPlace {
        self.lock().taken += 1;
        SocketPlace { places: self.clone(), dial: None }
    }

    /// Waits for a WebSocket with `key` that is being opened, if those have lanes for another turn:
    /// `lanes` each, besides that of the turn which opens the WebSocket.
    pub(super) fn wait_for_dial(&self, key: &PoolKey, lanes: usize) -> Option<Waiting> {
        let mut state = self.lock();
        let coming = state.dials.iter().filter(|dial| *dial == key).count();
        (state.waiting < coming.saturating_mul(lanes)).then(|| {
            state.waiting += 1;
            Waiting(self.clone())
        })
    }

    /// Waits for any change.
    pub(super) fn wait(&self) -> Waiting {
        self.lock().waiting += 1;
        Waiting(self.clone())
    }

    /// Returns the notification that wakes the turns that wait.
    pub(super) fn changed(&self) -> Arc<Notify> {
        Arc::clone(&self.changed)
    }

    /// Wakes the turns that wait.
    pub(super) fn notify(&self) {
        self.changed.notify_waiters();
    }

    /// Returns a future that resolves when a lane or a place may have become free. A change after
    /// the call is not missed.
    pub(super) fn change(&self) -> impl Future<Output = ()> + Send + use<> {
        Arc::clone(&self.changed).notified_owned()
    }

    fn lock(&self) -> MutexGuard<'_, PlacesState> {
        // No code that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SocketPlace {
    /// Records that the WebSocket is no longer being opened.
    pub(super) fn opened(&mut self) {
        let Some(key) = self.dial.take() else { return };
        let mut state = self.places.lock();
        if let Some(index) = state.dials.iter().position(|dial| *dial == key) {
            state.dials.swap_remove(index);
        }
    }
}

impl Drop for SocketPlace {
    fn drop(&mut self) {
        self.opened();
        self.places.lock().taken -= 1;
        self.places.notify();
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.lock().waiting -= 1;
    }
}
