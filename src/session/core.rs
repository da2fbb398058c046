//! State that a session keeps between turns, and shares with the driver of the turn in progress.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::{
    runtime::{self, Handle},
    sync::watch,
    task::JoinHandle,
};
use tracing::Span;

use super::{control::TurnControl, headers::OwnHeaders, steer::CarriedSteer};
use crate::{
    config::Provider,
    endpoint::CloseOnShutdown,
    kind::ErrorKind,
    observe::{Notifier, Retirement, TurnObserver},
    pool::{AbortOnDrop, Connections, Lease, Leased},
    proto::{lane::SeatId, plan::PreviousTurn, turn::Goal},
    report::Prewarm,
};

/// Shared state of a session. Its lock is held briefly, and never across an await.
#[derive(Clone)]
pub(super) struct SessionCore {
    inner: Arc<Mutex<Inner>>,
    span: Span,
}

/// Weak reference to a [`SessionCore`], for a timer that must not keep a session alive.
#[derive(Clone)]
pub(super) struct WeakCore {
    inner: Weak<Mutex<Inner>>,
    span: Span,
}

#[derive(Default)]
struct Inner {
    previous: PreviousTurn,
    connections: Connections,
    /// The turn in progress, or the last one.
    current: Option<Arc<TurnControl>>,
    /// Work ahead of the next turn.
    ahead: Option<BackgroundTask>,
    /// Number of consecutive turns in which the server refused `previous_response_id`.
    refused_parents: u32,
    sticky: Option<Sticky>,
    /// Pending steers of the last turn, which the next request carries.
    steers: Vec<CarriedSteer>,
    /// Headers of this session's requests and upgrades.
    headers: OwnHeaders,
    /// Observer of this session; `None` to use that of the client.
    observer: Option<Arc<dyn TurnObserver>>,
    lifecycle: Lifecycle,
}

/// The server's value for sticky routing.
struct Sticky {
    state: String,
    /// The value is that of a prewarm, so that the next turn uses it, whatever its input.
    of_prewarm: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Lifecycle {
    #[default]
    Open,
    /// The session was dropped. Its last turn may run to its end; nothing is prepared for another.
    Dropped,
    /// The session was closed, and its stream with it.
    Closed,
}

/// A task that works ahead of the next turn. Dropping this value aborts the task.
struct BackgroundTask {
    goal: Goal,
    done: watch::Receiver<Option<Prewarm>>,
    runtime: runtime::Id,
    task: AbortOnDrop,
}

impl SessionCore {
    /// Returns the core of a new session.
    pub(super) fn new() -> Self {
        Self::of(Inner::default())
    }

    fn of(inner: Inner) -> Self {
        Self { inner: Arc::new(Mutex::new(inner)), span: Notifier::session() }
    }

    /// Returns the span of the session.
    pub(super) fn span(&self) -> &Span {
        &self.span
    }

    /// Begins a turn, and ends the one in progress.
    pub(super) fn begin(&self, turn: &Arc<TurnControl>) {
        let before = {
            let mut inner = self.lock();
            if inner.lifecycle == Lifecycle::Closed {
                turn.cancel(ErrorKind::SessionClosed);
                return;
            }
            inner.current.replace(Arc::clone(turn))
        };
        if let Some(before) = before {
            before.cancel(ErrorKind::Superseded);
            self.with_connections(|it| it.note_end(Retirement::Cancelled));
        }
    }

    /// Ends the turn in progress, and the session. Returns its lease, to be closed.
    pub(super) fn close(&self) -> Option<Lease> {
        close(&self.inner)
    }

    /// Returns a core for the session's move to another server or account. The core has no
    /// connections, and its history names no response of the old server.
    pub(super) fn detach(&self) -> Self {
        let (next, lease) = {
            let mut inner = self.lock();
            let mut previous = inner.previous.clone();
            if let PreviousTurn::Completed(baseline) = &mut previous {
                baseline.seat = None;
                baseline.stored = false;
            }
            let next = Inner {
                previous,
                current: inner.current.clone(),
                headers: inner.headers.clone(),
                observer: inner.observer.clone(),
                lifecycle: inner.lifecycle,
                ..Inner::default()
            };
            let is_running = inner.current.as_ref().is_some_and(|turn| turn.is_running());
            let lease = match is_running {
                true => inner.connections.retire_after_turn(Retirement::SessionEnded),
                false => inner.connections.retire(Retirement::SessionEnded),
            };
            (next, lease)
        };
        // Outside of the lock: dropping a lease closes its WebSocket and wakes a task.
        drop(lease);
        self.on_session_dropped();
        Self { inner: Arc::new(Mutex::new(next)), span: self.span.clone() }
    }

    /// Returns the core of another session with the same history. If `shares`, the other session
    /// continues the last response on the same WebSocket, where the server keeps it.
    pub(super) fn fork(&self, shares: bool) -> Self {
        let inner = self.lock();
        let (previous, observer) = (inner.previous.clone(), inner.observer.clone());
        let mut connections = Connections::default();
        if shares && let Some(parent) = previous.response_id() {
            connections.set_hold(inner.connections.hold(parent));
        }
        let headers = inner.headers.clone();
        Self::of(Inner { previous, observer, headers, connections, ..Inner::default() })
    }

    /// Changes the headers of the requests and upgrades that begin from now on.
    pub(super) fn set_headers(&self, set: impl FnOnce(&mut OwnHeaders)) {
        set(&mut self.lock().headers);
    }

    /// Returns the headers of this session's requests and upgrades.
    pub(super) fn headers(&self) -> OwnHeaders {
        self.lock().headers.clone()
    }

    /// Returns the server's value for sticky routing. If the next turn does not continue the user
    /// turn, forgets the value, unless a prewarm received it.
    pub(super) fn sticky(&self, continues: bool) -> Option<String> {
        let mut inner = self.lock();
        inner.sticky.take_if(|sticky| !continues && !sticky.of_prewarm);
        inner.sticky.as_ref().map(|sticky| sticky.state.clone())
    }

    /// Keeps the server's value for sticky routing for the next requests of the user turn.
    pub(super) fn set_sticky(&self, state: &str, of_prewarm: bool) {
        self.lock().sticky = Some(Sticky { state: state.to_owned(), of_prewarm });
    }

    /// Sets the observer of the turns that begin from now on.
    pub(super) fn set_observer(&self, observer: Arc<dyn TurnObserver>) {
        let old = self.lock().observer.replace(observer);
        // Outside of the lock, because dropping the observer runs code of the caller.
        drop(old);
    }

    /// Returns the observer of this session, if it has one of its own.
    pub(super) fn observer(&self) -> Option<Arc<dyn TurnObserver>> {
        self.lock().observer.clone()
    }

    /// Ends the work for later turns, because no turn follows.
    pub(super) fn on_session_dropped(&self) {
        let ended = {
            let mut inner = self.lock();
            if inner.lifecycle == Lifecycle::Open {
                inner.lifecycle = Lifecycle::Dropped;
            }
            (inner.connections.release(), inner.ahead.take())
        };
        drop(ended);
    }

    /// Starts work ahead of the next turn, unless a turn or other such work is running. An unused
    /// outcome of earlier work is dropped.
    pub(super) fn begin_ahead(
        &self,
        goal: Goal,
        runtime: &Handle,
        work: impl Future<Output = Prewarm> + Send + 'static,
    ) {
        let mut inner = self.lock();
        let is_busy = inner.current.as_ref().is_some_and(|turn| turn.is_running())
            || inner.ahead.as_ref().is_some_and(|ahead| ahead.task.is_running());
        if inner.lifecycle != Lifecycle::Open || is_busy {
            return;
        }
        let (sender, done) = watch::channel(None);
        let task = runtime.spawn(async move {
            let outcome = work.await;
            sender.send_replace(Some(outcome));
        });
        let (runtime, task) = (runtime.id(), AbortOnDrop::new(&task));
        inner.ahead = Some(BackgroundTask { goal, done, runtime, task });
    }

    /// Waits for the work ahead of this turn, and returns its outcome.
    pub(super) async fn await_ahead(&self, runtime: runtime::Id) -> Option<Prewarm> {
        let mut done = {
            let mut inner = self.lock();
            // Work on another runtime may never finish: nothing drives that runtime while this
            // thread blocks on the current one.
            inner.ahead = inner.ahead.take().filter(|ahead| ahead.runtime == runtime);
            let ahead = inner.ahead.as_ref().filter(|ahead| ahead.goal != Goal::Rotate)?;
            ahead.done.clone()
        };
        let outcome = done.wait_for(Option::is_some).await.ok().and_then(|outcome| *outcome);
        self.lock().ahead = None;
        outcome
    }

    /// Removes and returns the pending steers of the last turn.
    pub(super) fn take_steers(&self) -> Vec<CarriedSteer> {
        std::mem::take(&mut self.lock().steers)
    }

    /// Keeps the pending steers of a turn for the next one.
    pub(super) fn set_steers(&self, steers: Vec<CarriedSteer>) {
        let old = std::mem::replace(&mut self.lock().steers, steers);
        drop(old);
    }

    pub(super) fn previous(&self) -> PreviousTurn {
        self.lock().previous.clone()
    }

    /// Sets what the next turn may continue.
    pub(super) fn set_previous(&self, previous: PreviousTurn) {
        self.lock().previous = previous;
    }

    /// Sets what the next turn may continue, unless another turn than `turn` is current or the
    /// session has closed.
    pub(super) fn set_previous_of(&self, turn: &Arc<TurnControl>, previous: PreviousTurn) {
        let mut inner = self.lock();
        if inner.current.as_ref().is_some_and(|it| Arc::ptr_eq(it, turn)) {
            inner.previous = previous;
        }
    }

    /// Ends `turn`, and sets what the next one may continue. Changes nothing and returns `false` if
    /// another turn has begun.
    pub(super) fn commit(&self, turn: &Arc<TurnControl>, previous: PreviousTurn) -> bool {
        let mut inner = self.lock();
        let is_current = inner.current.as_ref().is_some_and(|it| Arc::ptr_eq(it, turn));
        if is_current {
            inner.previous = previous;
            inner.current = None;
        }
        is_current
    }

    /// Counts consecutive refusals of a parent, and returns their number. A turn without a refusal
    /// resets the count.
    pub(super) fn count_refusal(&self, refused: bool) -> u32 {
        let mut inner = self.lock();
        inner.refused_parents = if refused { inner.refused_parents.saturating_add(1) } else { 0 };
        inner.refused_parents
    }

    /// Leases a lane: see [`Connections::lease`].
    pub(super) fn lease(
        &self,
        fresh: bool,
        caller_managed: Option<bool>,
        parent: Option<&str>,
        provider: &Provider,
        lanes: bool,
    ) -> Leased {
        let mut inner = self.lock();
        let followed = inner.is_rotating();
        inner.connections.lease(fresh, caller_managed, parent, provider, followed, lanes)
    }

    /// Gives up the claim to the response of another session. Returns whether there was one.
    pub(super) fn end_hold(&self) -> bool {
        let hold = self.lock().connections.take_hold();
        hold.is_some()
    }

    /// Returns `true` if the WebSocket is to be replaced now.
    pub(super) fn needs_rotation(&self, provider: &Provider) -> bool {
        let inner = self.lock();
        // The sessions of a shared WebSocket move to another one when they need it: together they
        // would open one each.
        !inner.connections.is_shared()
            && inner.connections.needs_rotation(provider, inner.is_rotating())
    }

    /// Sets the lease for the next turns. If the session was closed, drops `lease`.
    ///
    /// A WebSocket that was to replace the old one has lost its purpose.
    pub(super) fn set_lease(&self, lease: Lease) {
        let old = {
            let mut inner = self.lock();
            match inner.lifecycle {
                Lifecycle::Closed => (Some(lease), None, None),
                _ => {
                    let rotation = inner.ahead.take_if(|ahead| ahead.goal == Goal::Rotate);
                    let successor = inner.connections.take_successor();
                    (inner.connections.set_lease(lease), successor, rotation)
                }
            }
        };
        drop(old);
    }

    /// Drops the lease, retired for `reason`.
    pub(super) fn retire(&self, reason: Retirement) {
        let old = self.with_connections(|it| it.retire(reason));
        drop(old);
    }

    /// Sets the lease that replaces the present one. If the session was dropped or closed, drops
    /// `lease`.
    pub(super) fn set_successor(&self, lease: Lease) {
        let old = {
            let mut inner = self.lock();
            match inner.lifecycle {
                Lifecycle::Open => inner.connections.set_successor(lease),
                _ => Some(lease),
            }
        };
        drop(old);
    }

    /// Calls `f` with the lease of `seat`, if the session still has that lease.
    pub(super) fn with_lease<T>(&self, seat: SeatId, f: impl FnOnce(&Lease) -> T) -> Option<T> {
        self.lock().connections.lease_of(seat).map(f)
    }

    /// Calls `f` with the connections.
    pub(super) fn with_connections<T>(&self, f: impl FnOnce(&mut Connections) -> T) -> T {
        f(&mut self.lock().connections)
    }

    pub(super) fn set_draining(&self, draining: JoinHandle<()>) {
        self.lock().connections.set_draining(draining);
    }

    pub(super) fn downgrade(&self) -> WeakCore {
        WeakCore { inner: Arc::downgrade(&self.inner), span: self.span.clone() }
    }

    /// Returns the handle by which a client closes the session when the client is closed.
    pub(super) fn as_close(&self) -> Weak<dyn CloseOnShutdown> {
        let weak: Weak<Mutex<Inner>> = Arc::downgrade(&self.inner);
        weak
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }
}

impl WeakCore {
    /// Returns the core if a session or a stream still holds it.
    pub(super) fn upgrade(&self) -> Option<SessionCore> {
        let inner = self.inner.upgrade()?;
        Some(SessionCore { inner, span: self.span.clone() })
    }
}

impl Inner {
    /// Returns `true` while a successor of the WebSocket is being opened.
    fn is_rotating(&self) -> bool {
        let ahead = self.ahead.as_ref();
        ahead.is_some_and(|ahead| ahead.goal == Goal::Rotate && ahead.task.is_running())
    }
}

fn lock(inner: &Mutex<Inner>) -> MutexGuard<'_, Inner> {
    // No code that can panic runs under the lock.
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

fn close(inner: &Mutex<Inner>) -> Option<Lease> {
    let (current, lease, others) = {
        let mut inner = lock(inner);
        inner.lifecycle = Lifecycle::Closed;
        let others = (inner.connections.release(), inner.ahead.take());
        let lease = inner.connections.retire(Retirement::SessionEnded);
        (inner.current.take(), lease, others)
    };
    drop(others);
    if let Some(current) = current {
        current.cancel(ErrorKind::SessionClosed);
    }
    lease
}

impl CloseOnShutdown for Mutex<Inner> {
    fn close(&self) -> Option<BoxFuture<'static, ()>> {
        close(self).map(|lease| lease.close().boxed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c276_a_state_of_a_prewarm_is_for_the_next_turn_and_others_end_with_the_user_turn() {
        let core = SessionCore::new();
        core.set_sticky("one", true);
        assert_eq!(core.sticky(false).as_deref(), Some("one"));
        core.set_sticky("one", false);
        assert_eq!(core.fork(true).sticky(true), None, "a fork begins a turn of its own");
        assert_eq!(core.detach().sticky(true), None, "the state is that of another server");
        assert_eq!(core.sticky(true).as_deref(), Some("one"));
        assert_eq!(core.sticky(false), None);
        assert_eq!(core.sticky(true), None);
    }
}
