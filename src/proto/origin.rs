//! State of a server that the sessions of a client share.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use super::{
    parents::{ParentFate, Parents},
    route::{BreakerTrip, Fallback, RouteQuery, WebSocketBreaker},
};
use crate::{config::Transport, request::RequestError};

/// State of a server. Each lock is held only during one call.
#[derive(Debug, Default)]
pub(crate) struct Origin {
    breaker: Mutex<WebSocketBreaker>,
    parents: Mutex<Parents>,
    /// `true` if a response arrived over a WebSocket, and no creates were lost since.
    answers_websockets: AtomicBool,
    /// `true` if the server was reached: it answered, or a connection to it was opened.
    reached: AtomicBool,
    /// `true` if the server refused a lane.
    lanes_refused: AtomicBool,
    /// `true` if the server begins responses over a WebSocket without a lifecycle event.
    pub(crate) unannounced: Arc<AtomicBool>,
}

impl Origin {
    /// Returns the transport of the next turn, as far as the breaker and the policy decide. If WebSockets
    /// were turned off for a time that has passed, this turn probes them.
    pub(crate) fn route(&self, needs: RouteQuery, now: Instant) -> Result<Transport, RequestError> {
        self.breaker().route(needs, now)
    }

    pub(crate) fn trip(&self, trip: BreakerTrip, now: Instant) {
        self.breaker().trip(trip, now);
    }

    pub(crate) fn clear_breaker(&self) {
        self.breaker().clear();
    }

    pub(crate) fn fallback(&self, now: Instant) -> Option<Fallback> {
        self.breaker().fallback(now)
    }

    /// Returns `true` if a turn may name a parent. If parents were turned off for a time that has
    /// passed, this turn probes them.
    pub(crate) fn may_name_parent(&self, now: Instant) -> bool {
        self.parents().may_be_named(now)
    }

    /// Returns `true` while turns are sent in full.
    pub(crate) fn are_parents_off(&self, now: Instant) -> bool {
        self.parents().are_off(now)
    }

    /// Records the fate of a parent. `refusals` counts those in a row of the session.
    pub(crate) fn note_parent(&self, fate: ParentFate, refusals: u32, now: Instant) {
        self.parents().note(fate, refusals, now);
    }

    /// Returns `true` if a response has arrived over a WebSocket of the server.
    pub(crate) fn answers_websockets(&self) -> bool {
        self.answers_websockets.load(Ordering::Relaxed)
    }

    /// Records that a response arrived over a WebSocket, or that WebSockets lose requests.
    pub(crate) fn set_answers_websockets(&self, answers: bool) {
        self.answers_websockets.store(answers, Ordering::Relaxed);
    }

    /// Returns `true` if this client has reached the server before.
    pub(crate) fn is_reached(&self) -> bool {
        self.reached.load(Ordering::Relaxed)
    }

    /// Records that the server was reached.
    pub(crate) fn set_reached(&self) {
        self.reached.store(true, Ordering::Relaxed);
    }

    /// Returns `true` unless the server has refused a lane.
    pub(crate) fn accepts_lanes(&self) -> bool {
        !self.lanes_refused.load(Ordering::Relaxed)
    }

    /// Records that the server refused a lane.
    pub(crate) fn refuse_lanes(&self) {
        self.lanes_refused.store(true, Ordering::Relaxed);
    }

    fn breaker(&self) -> MutexGuard<'_, WebSocketBreaker> {
        // The breaker is consistent between any two statements that could panic.
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn parents(&self) -> MutexGuard<'_, Parents> {
        // No code that can panic runs under the lock.
        self.parents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
