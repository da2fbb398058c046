//! What a session keeps between its turns, and shares with the stream of the one in progress.

use std::{
    future::poll_fn,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture, task::AtomicWaker};
use tokio::{
    runtime::{self, Handle},
    sync::watch,
    task::{AbortHandle, JoinHandle},
    time::Instant,
};

use super::ahead::Ahead;
use crate::{
    config::Limits,
    error::Error,
    kind::ErrorKind,
    proto::{
        plan::{ConnectionId, Prior},
        retry::retires_socket,
        turn::End,
    },
    report::Prewarm,
    shared::Close,
    transport::{Exchange, Incoming, WebSocket},
};

/// The state of a session. Its lock is held for moments, never across an await.
#[derive(Clone, Default)]
pub(super) struct SharedState(Arc<Mutex<State>>);

#[derive(Default)]
pub(super) struct State {
    prior: Prior,
    socket: Option<WebSocket>,
    /// Goes off when it is to be replaced.
    alarm: Option<Abort>,
    /// The one that is to follow it.
    spare: Option<WebSocket>,
    /// What is being done ahead of the next turn.
    ahead: Option<Working>,
    /// The turn in progress.
    live: Option<Arc<Slot>>,
    /// What is left of the answer before, over SSE.
    draining: Option<JoinHandle<()>>,
    posted_before: bool,
    /// The last turn over the WebSocket named its parent itself: it and those to come may live in
    /// this connection alone.
    caller_managed: bool,
    /// Number of turns in a row in which the server refused `previous_response_id`.
    parents_refused: u32,
    /// It was ended, with its stream.
    closed: bool,
    /// It was dropped: a stream of it may go on, but no turn will follow.
    released: bool,
}

/// What is being done ahead of the next turn; dropping it ends it.
struct Working {
    what: Ahead,
    done: watch::Receiver<Option<Prewarm>>,
    runtime: runtime::Id,
    task: Abort,
}

/// A task that ends when this is dropped.
pub(super) struct Abort(AbortHandle);

impl Working {
    fn is_busy(&self) -> bool {
        !self.task.0.is_finished()
    }
}

impl Abort {
    pub(super) fn new(task: &JoinHandle<()>) -> Self {
        Self(task.abort_handle())
    }
}

impl Drop for Abort {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Where the exchange of the turn in progress lies: its stream reads from it, and the session
/// takes it away when another turn begins.
#[derive(Default)]
pub(super) struct Slot {
    held: Mutex<Held>,
    waker: AtomicWaker,
    /// The stream makes another attempt, and has no exchange but now and then.
    climbing: AtomicBool,
}

#[derive(Default)]
enum Held {
    /// No exchange now; the stream may be opening another.
    #[default]
    Nothing,
    Exchange(Exchange),
    /// The session ended the turn, for this reason.
    Taken(ErrorKind),
}

impl SharedState {
    /// Begins a turn, and ends the one in progress.
    pub(super) fn begin(&self, slot: &Arc<Slot>) {
        let before = {
            let mut state = self.lock();
            if state.closed {
                slot.take(ErrorKind::SessionClosed);
                return;
            }
            state.live.replace(Arc::clone(slot))
        };
        if let Some(before) = before.filter(|_| !defect!(SupersededGoesOn)) {
            before.take(ErrorKind::Superseded);
        }
    }

    /// Ends the turn in progress, and the session.
    pub(super) fn end(&self) -> Option<WebSocket> {
        end(&self.0)
    }

    /// The state of the session when it goes on elsewhere: without what belongs to the server
    /// spoken to before, its sockets and what it has of the conversation. What a turn in progress
    /// and tasks that are being aborted still put into this one comes to nobody.
    pub(super) fn leave(&self) -> Self {
        let (next, socket) = {
            let mut state = self.lock();
            let mut prior = state.prior.clone();
            if let Prior::Completed(base) = &mut prior {
                base.connection = None;
                base.stored = false;
            }
            let (live, closed) = (state.live.clone(), state.closed);
            (State { prior, live, closed, ..State::default() }, state.socket.take())
        };
        drop(socket);
        self.release();
        Self(Arc::new(Mutex::new(next)))
    }

    /// Ends what is being done for turns to come: there will be none.
    pub(super) fn release(&self) {
        let ahead = {
            let mut state = self.lock();
            state.released = true;
            (state.spare.take(), state.ahead.take(), state.alarm.take())
        };
        drop(ahead);
    }

    /// Begins something ahead of the next turn, unless a turn or something of the kind is on its
    /// way. What was done ahead before, and no turn has used, is forgotten.
    pub(super) fn begin_ahead(
        &self,
        what: Ahead,
        runtime: &Handle,
        work: impl Future<Output = Prewarm> + Send + 'static,
    ) {
        let mut state = self.lock();
        let busy = state.live.as_ref().is_some_and(|live| live.is_active());
        if state.closed
            || state.released
            || busy
            || state.ahead.as_ref().is_some_and(Working::is_busy)
        {
            return;
        }
        let (sender, done) = watch::channel(None);
        let task = runtime.spawn(async move {
            let outcome = work.await;
            sender.send_replace(Some(outcome));
        });
        state.ahead = Some(Working { what, done, runtime: runtime.id(), task: Abort::new(&task) });
    }

    /// What came of what was done ahead of this turn, once it is done.
    pub(super) async fn done_ahead(&self, runtime: &Handle) -> Option<Prewarm> {
        let mut done = {
            let mut state = self.lock();
            // A runtime that rests would never be done with it.
            state.ahead = state.ahead.take().filter(|ahead| ahead.runtime == runtime.id());
            let ahead = state.ahead.as_ref().filter(|ahead| ahead.what != Ahead::Rotate)?;
            ahead.done.clone()
        };
        let outcome = done.wait_for(Option::is_some).await.ok().and_then(|outcome| *outcome);
        self.lock().ahead = None;
        outcome
    }

    /// Keeps a WebSocket for the turns to come.
    pub(super) fn set_spare(&self, socket: WebSocket) {
        let mut state = self.lock();
        // One that comes late is closed by being dropped, like the old one.
        let old = match state.closed || state.released {
            true => Some(socket),
            false => state.spare.replace(socket),
        };
        drop(state);
        drop(old);
    }

    /// The state of a session that goes on from the same history.
    pub(super) fn fork(&self) -> Self {
        if defect!(ForkShares) {
            return self.clone();
        }
        let prior = self.lock().prior.clone();
        Self(Arc::new(Mutex::new(State { prior, ..State::default() })))
    }

    pub(super) fn prior(&self) -> Prior {
        self.lock().prior.clone()
    }

    /// Sets what the next turn may continue.
    pub(super) fn set_prior(&self, prior: Prior) {
        self.lock().prior = prior;
    }

    /// The same at the end of the turn of `slot`. Returns `false` if another has begun: then it
    /// stays as it is.
    pub(super) fn commit(&self, slot: &Arc<Slot>, prior: Prior) -> bool {
        let mut state = self.lock();
        let is_live = state.live.as_ref().is_some_and(|live| Arc::ptr_eq(live, slot));
        if is_live {
            state.prior = prior;
            state.live = None;
        }
        is_live
    }

    /// The open WebSocket, if there is one. One that is over is dropped.
    pub(super) fn open_socket(&self) -> Option<ConnectionId> {
        let mut state = self.lock();
        if state.socket.as_ref().is_some_and(|socket| !socket.is_open()) {
            state.socket = None;
        }
        state.socket.as_ref().map(WebSocket::id)
    }

    /// When the WebSocket was opened, if there is one.
    pub(super) fn opened(&self) -> Option<Instant> {
        self.lock().socket.as_ref().map(WebSocket::opened)
    }

    /// Does something with this WebSocket, if it is still the one.
    pub(super) fn with_socket<T>(
        &self,
        id: ConnectionId,
        f: impl FnOnce(&WebSocket) -> T,
    ) -> Option<T> {
        self.lock().socket.as_ref().filter(|socket| socket.id() == id).map(f)
    }

    pub(super) fn set_socket(&self, socket: Option<WebSocket>) {
        let mut state = self.lock();
        // One that comes late is closed by being dropped, like the old one.
        let old = match state.closed {
            true => socket,
            false => std::mem::replace(&mut state.socket, socket),
        };
        drop(state);
        drop(old);
    }

    /// Goes on with the WebSocket that was opened to follow this one. Whether there was one.
    pub(super) fn use_spare(&self) -> bool {
        let spare = self.lock().spare.take().filter(WebSocket::is_open);
        let found = spare.is_some();
        if found {
            self.set_socket(spare);
        }
        found
    }

    /// Keeps what goes off when the WebSocket is to be replaced.
    pub(super) fn set_alarm(&self, alarm: Abort) {
        let _old = self.lock().alarm.replace(alarm);
    }

    /// How old the WebSocket is, and whether another is there, or being opened, to follow it.
    pub(super) fn age(&self, now: Instant) -> Option<(Duration, bool)> {
        let state = self.lock();
        let followed = state.spare.is_some()
            || state.ahead.as_ref().is_some_and(|it| it.what == Ahead::Rotate && it.is_busy());
        let socket = state.socket.as_ref()?;
        Some((now.saturating_duration_since(socket.opened()), followed))
    }

    /// This state, as long as there is a session or a stream that holds it.
    pub(super) fn downgrade(&self) -> Weak<Mutex<State>> {
        Arc::downgrade(&self.0)
    }

    /// The state that [`downgrade`](Self::downgrade) gave.
    pub(super) fn upgrade(weak: &Weak<Mutex<State>>) -> Option<Self> {
        weak.upgrade().map(Self)
    }

    /// Whether an HTTP request was made before; from now on it was.
    pub(super) fn posted_before(&self) -> bool {
        std::mem::replace(&mut self.lock().posted_before, true)
    }

    /// Returns `true` if the WebSocket must not be replaced by another one.
    pub(super) fn is_caller_managed(&self) -> bool {
        self.lock().caller_managed
    }

    pub(super) fn set_caller_managed(&self, caller_managed: bool) {
        self.lock().caller_managed = caller_managed;
    }

    /// Counts the refusals of a parent in a row; anything else than one ends the row.
    pub(super) fn count_refusal(&self, refused: bool) -> u32 {
        let mut state = self.lock();
        state.parents_refused = if refused { state.parents_refused.saturating_add(1) } else { 0 };
        state.parents_refused
    }

    /// What is left of the answer before: to be waited for, as its connection is wanted.
    pub(super) fn take_draining(&self) -> Option<JoinHandle<()>> {
        self.lock().draining.take()
    }

    /// Puts away the exchange of a turn that the server ended, well or with `error`.
    pub(super) fn settle(
        &self,
        exchange: Exchange,
        error: Option<&Error>,
        keeps_socket_after_error: bool,
        limits: Limits,
        runtime: &Handle,
    ) {
        match exchange {
            Exchange::Sse(exchange) => {
                let draining = runtime.spawn(exchange.drain(limits));
                self.lock().draining = Some(draining);
            }
            Exchange::WebSocket(_) => {
                if error.is_some_and(|error| retires_socket(error, keeps_socket_after_error)) {
                    self.set_socket(None);
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // No code that can panic runs under the lock.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn end(state: &Mutex<State>) -> Option<WebSocket> {
    let (live, socket, others) = {
        let mut state = lock(state);
        state.closed = true;
        (state.live.take(), state.socket.take(), (state.spare.take(), state.ahead.take()))
    };
    drop(others);
    if let Some(live) = live {
        live.take(ErrorKind::SessionClosed);
    }
    socket
}

impl Close for Mutex<State> {
    fn close(&self) -> Option<BoxFuture<'static, ()>> {
        end(self).map(|socket| socket.close().boxed())
    }
}

impl Slot {
    /// Resolves when the session ends the turn.
    pub(super) async fn ended(&self) -> ErrorKind {
        poll_fn(|cx| self.taken(cx.waker()).map_or(Poll::Pending, Poll::Ready)).await
    }

    /// Puts an exchange in, unless the session has ended the turn: then it is dropped.
    pub(super) fn put(&self, exchange: Exchange) {
        let mut held = self.lock();
        if !matches!(*held, Held::Taken(_)) {
            *held = Held::Exchange(exchange);
        }
    }

    /// Takes the exchange out; the slot stays usable.
    pub(super) fn remove(&self) -> Option<Exchange> {
        let mut held = self.lock();
        match std::mem::take(&mut *held) {
            Held::Exchange(exchange) => Some(exchange),
            Held::Nothing => None,
            taken @ Held::Taken(_) => {
                *held = taken;
                None
            }
        }
    }

    /// What comes in next; `None` when the session has ended the turn.
    pub(super) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Incoming>> {
        self.waker.register(cx.waker());
        match &mut *self.lock() {
            Held::Exchange(exchange) => exchange.poll_next(cx).map(Some),
            Held::Nothing => Poll::Ready(Some(Incoming::End(End::Lost(None)))),
            Held::Taken(_) => Poll::Ready(None),
        }
    }

    /// Why the session ended the turn, if it did. `waker` is told when it does.
    pub(super) fn taken(&self, waker: &Waker) -> Option<ErrorKind> {
        self.waker.register(waker);
        self.why_ended()
    }

    /// Why the session ended the turn, if it did.
    pub(super) fn why_ended(&self) -> Option<ErrorKind> {
        match *self.lock() {
            Held::Taken(why) => Some(why),
            Held::Nothing | Held::Exchange(_) => None,
        }
    }

    /// Does something, unless the session has ended the turn. That waits for it.
    pub(super) fn unless_ended(&self, f: impl FnOnce()) {
        let held = self.lock();
        if !matches!(*held, Held::Taken(_)) {
            f();
        }
    }

    /// Takes note whether the stream makes another attempt.
    pub(super) fn set_climbing(&self, climbing: bool) {
        self.climbing.store(climbing, Ordering::Release);
    }

    /// Whether a response is coming in, or will again.
    fn is_active(&self) -> bool {
        self.climbing.load(Ordering::Acquire) || matches!(*self.lock(), Held::Exchange(_))
    }

    fn take(&self, why: ErrorKind) {
        let held = std::mem::replace(&mut *self.lock(), Held::Taken(why));
        drop(held);
        self.waker.wake();
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
