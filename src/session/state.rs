//! What a session keeps between its turns, and shares with the stream of the one in progress.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use futures_util::task::AtomicWaker;
use tokio::{runtime::Handle, task::JoinHandle};

use crate::{
    Error, ErrorKind, Limits,
    proto::{
        plan::{ConnectionId, Prior},
        retry::retires_socket,
        turn::End,
    },
    transport::{Exchange, Incoming, WebSocket},
};

/// The state of a session. Its lock is held for moments, never across an await.
#[derive(Clone, Default)]
pub(super) struct SharedState(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    prior: Prior,
    socket: Option<WebSocket>,
    /// The turn in progress.
    live: Option<Arc<Slot>>,
    /// What is left of the answer before, over SSE.
    draining: Option<JoinHandle<()>>,
    posted_before: bool,
    /// Something came over a WebSocket once.
    websocket_answered: bool,
}

/// Where the exchange of the turn in progress lies: its stream reads from it, and the session
/// takes it away when another turn begins.
#[derive(Default)]
pub(super) struct Slot {
    held: Mutex<Held>,
    waker: AtomicWaker,
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
        let before = self.lock().live.replace(Arc::clone(slot));
        if let Some(before) = before {
            before.take(ErrorKind::Superseded);
        }
    }

    /// Ends the turn in progress, and the session.
    pub(super) fn end(&self) -> Option<WebSocket> {
        let (live, socket) = {
            let mut state = self.lock();
            (state.live.take(), state.socket.take())
        };
        if let Some(live) = live {
            live.take(ErrorKind::SessionClosed);
        }
        socket
    }

    /// The state of a session that goes on from the same history.
    pub(super) fn fork(&self) -> Self {
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

    /// The same at the end of the turn of `slot`, unless another has begun.
    pub(super) fn commit(&self, slot: &Arc<Slot>, prior: Prior) {
        let mut state = self.lock();
        if state.live.as_ref().is_some_and(|live| Arc::ptr_eq(live, slot)) {
            state.prior = prior;
            state.live = None;
        }
    }

    /// The open WebSocket, if there is one. One that is over is dropped.
    pub(super) fn open_socket(&self) -> Option<ConnectionId> {
        let mut state = self.lock();
        if state.socket.as_ref().is_some_and(|socket| !socket.is_open()) {
            state.socket = None;
        }
        state.socket.as_ref().map(WebSocket::id)
    }

    /// Does something with the WebSocket, if there is one.
    pub(super) fn with_socket<T>(&self, f: impl FnOnce(&WebSocket) -> T) -> Option<T> {
        self.lock().socket.as_ref().map(f)
    }

    pub(super) fn set_socket(&self, socket: Option<WebSocket>) {
        // The old one is dropped outside of the lock.
        let _old = std::mem::replace(&mut self.lock().socket, socket);
    }

    /// Whether an HTTP request was made before; from now on it was.
    pub(super) fn posted_before(&self) -> bool {
        std::mem::replace(&mut self.lock().posted_before, true)
    }

    /// Whether anything ever came over a WebSocket of the session.
    pub(super) fn websocket_answered(&self) -> bool {
        self.lock().websocket_answered
    }

    pub(super) fn set_websocket_answered(&self) {
        self.lock().websocket_answered = true;
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
        // No code that can panic runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
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
        match *self.lock() {
            Held::Taken(why) => Some(why),
            Held::Nothing | Held::Exchange(_) => None,
        }
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
