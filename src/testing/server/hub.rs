//! `Hub`: the state that the connections of a server share.

use std::{
    any::Any,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::{
    background::Background,
    control::Control,
    hub_state::{Admitted, AdmittedRequest, HubState, Received},
    log::{ConnectionLog, MessageLog, OtherLog, ServerLog, SteerLog},
    peer::IdleFrame,
};
use crate::{
    config::Transport,
    server::store::{Completed, Page, Parent},
    testing::script::{
        builder::{NextTurn, Script},
        cut::Cut,
        error_reply::ErrorReply,
        message::TurnMessage,
        quirks::Quirks,
        turn::{Turn, answer::ScriptedAnswer},
        upgrade::{Reuse, Upgrade},
    },
};

/// State that the connections of a server share.
pub(super) struct Hub {
    state: Mutex<HubState>,
    /// Rises with every change of the log.
    version: watch::Sender<u64>,
}

/// Reason why a stored response cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StoreError {
    /// There is no such response.
    NotFound,
    /// The response does not run in the background.
    NotInBackground,
}

/// Connections.
impl Hub {
    pub(super) fn new(script: Script) -> Arc<Self> {
        let state = Mutex::new(HubState::new(script));
        Arc::new(Self { state, version: watch::Sender::new(0) })
    }

    /// Numbers a new connection; returns `None` if the server accepts none.
    pub(super) fn open(&self) -> Option<(usize, Arc<Control>)> {
        self.change(HubState::open)
    }

    /// Records the end of a connection.
    pub(super) fn closed(&self, connection: usize) {
        self.change(|state| state.close(connection));
    }

    /// Changes the log of a connection.
    pub(super) fn note(&self, connection: usize, note: impl FnOnce(&mut ConnectionLog)) {
        self.change(|state| {
            if let Some(log) = state.log.connections.get_mut(connection) {
                note(log);
            }
        });
    }

    /// Takes the answer to a request to become a WebSocket.
    pub(super) fn next_upgrade(
        &self,
        connection: usize,
        path: String,
        headers: Vec<(String, String)>,
    ) -> Upgrade {
        self.change(|state| {
            let upgrade = state.script.next_upgrade();
            state.log.upgrades_refused += usize::from(upgrade.is_refused());
            if let Some(log) = state.log.connections.get_mut(connection) {
                log.upgrade_requests += 1;
                log.path = Some(path);
                log.headers = headers;
            }
            upgrade
        })
    }

    /// Takes the answer to a request on a connection that served one before.
    pub(super) fn next_reuse(&self) -> Reuse {
        self.change(|state| {
            let reuse = state.script.next_reuse();
            state.log.reuses_cut += usize::from(reuse != Reuse::Serve);
            reuse
        })
    }

    /// Records that a connection became a WebSocket; returns the frames to send while it is idle.
    pub(super) fn upgraded(
        &self,
        connection: usize,
        closes_on_create: Option<u16>,
    ) -> mpsc::Receiver<IdleFrame> {
        let (sender, receiver) = mpsc::channel(IDLE_FRAMES);
        self.change(|state| {
            if let Some(peer) = state.peers.get_mut(connection) {
                peer.upgraded(sender);
            }
            if let Some(log) = state.log.connections.get_mut(connection) {
                log.transport = Some(Transport::WebSocket);
                log.closes_on_create = closes_on_create;
            }
        });
        receiver
    }

    /// Sends `frame` on every open WebSocket without a running turn.
    pub(super) fn send_idle(&self, frame: &IdleFrame) {
        for peer in &self.lock().peers {
            peer.send_idle(frame);
        }
    }

    /// Resets every connection.
    pub(super) fn drop_connections(&self) {
        for peer in &self.lock().peers {
            peer.control.cut(Cut::Reset);
        }
    }

    /// Refuses new connections, or accepts them again.
    pub(super) fn refuse_connections(&self, refuse: bool) {
        self.lock().is_unreachable = refuse;
    }

    /// Refuses new connections, resets the others, and cancels responses in the background.
    pub(super) fn stop(&self) {
        {
            let mut state = self.lock();
            state.is_stopped = true;
            for background in state.backgrounds.values() {
                background.cancel();
            }
        }
        self.drop_connections();
    }
}

/// The script.
impl Hub {
    /// Returns the differences of the server from the plain API.
    pub(super) fn quirks(&self) -> Quirks {
        self.lock().script.quirks()
    }

    /// Returns the answer to a client that offers `permessage-deflate`; `None` to decline.
    pub(super) fn deflate(&self) -> Option<String> {
        self.lock().script.deflate.clone()
    }

    /// Returns the order in which the lanes of a WebSocket send.
    pub(super) fn lane_order(&self) -> Vec<String> {
        self.lock().script.lane_order.clone()
    }

    /// Returns the path below which the server answers, if it is limited to one.
    pub(super) fn base_path(&self) -> Option<String> {
        self.lock().script.base_path.clone()
    }

    /// Returns the headers of every 101 and 200.
    pub(super) fn headers(&self) -> Vec<(String, String)> {
        self.lock().script.headers.clone()
    }

    /// Appends a turn.
    pub(super) fn push(&self, turn: Turn) {
        self.lock().script.turns.push_back(turn);
    }

    /// Logs a request, and works out its answer.
    pub(super) fn admit(&self, received: Received) -> (AdmittedRequest, ScriptedAnswer) {
        let Admitted { mut request, mut exchange, turn } =
            self.change(|state| state.admit(received));
        let worked_out = catch_unwind(AssertUnwindSafe(|| match turn {
            NextTurn::Fixed(turn) => turn.answer(&exchange),
            NextTurn::Respond(respond) => {
                exchange.history = self.history(request.parent, &request.input);
                respond(&exchange).answer(&exchange)
            }
        }));
        let mut answer = worked_out.unwrap_or_else(|panic| {
            self.note_panic(message(panic.as_ref()));
            let message = "A closure of the script panicked.";
            let error = ErrorReply::new(500, "script_panicked", message);
            Turn::error_reply(error).answer(&exchange)
        });
        self.quirks().apply(&mut answer, exchange.transport);
        request.lane.tag(&mut answer.steps);
        request.kept = answer.kept.take();
        request.body = exchange.body;
        (request, answer)
    }

    /// Records a message about a response. Returns the number of messages of its kind before it.
    pub(super) fn note_message(
        &self,
        connection: usize,
        message: &TurnMessage,
        body: Value,
    ) -> usize {
        let id = message.target().to_owned();
        self.change(|state| {
            let messages = match message {
                TurnMessage::Steer(_) => {
                    let steer = SteerLog { connection, previous_response_id: id, body };
                    state.log.steers.push(steer);
                    return state.log.steers.len() - 1;
                }
                TurnMessage::Inject(_) => &mut state.log.injects,
                TurnMessage::Interrupt(_) => &mut state.log.interrupts,
            };
            messages.push(MessageLog { connection, response_id: id, body });
            messages.len() - 1
        })
    }

    /// Returns `true` if the upgrade of a connection asks for this beta of the API.
    pub(super) fn has_beta(&self, connection: usize, beta: &str) -> bool {
        let state = self.lock();
        let log = state.log.connections.get(connection);
        log.is_some_and(|log| {
            let values = log.headers.iter().filter(|(name, _)| name == "openai-beta");
            values.flat_map(|(_, value)| value.split(',')).any(|it| it.trim() == beta)
        })
    }

    /// Returns `true` if the response `id` was completed.
    pub(super) fn has_completed(&self, id: &str) -> bool {
        self.lock().history.has(id)
    }

    /// Records a mistake of the script.
    pub(super) fn note_panic(&self, message: String) {
        self.change(|state| state.log.panics.push(message));
    }
}

/// Responses.
impl Hub {
    /// Returns everything up to `parent`, followed by `input`.
    fn history(&self, parent: Option<Parent>, input: &[Value]) -> Vec<Value> {
        let mut history = self.lock().history.history(parent);
        history.extend_from_slice(input);
        history
    }

    /// Stores a completed response, which later requests may continue.
    pub(super) fn commit(&self, connection: usize, transport: Transport, completed: Completed) {
        self.lock().history.commit(connection, transport, completed);
    }

    /// Removes the response that a lane holds.
    pub(super) fn evict(&self, connection: usize, lane: Option<&str>) {
        self.lock().history.evict(connection, lane);
    }

    /// Records that a fork needs its parent's lane no longer. Returns `false` if a newer response
    /// has taken the lane before.
    pub(super) fn settle_fork(&self, request: usize) -> bool {
        self.lock().forks.remove(&request).is_none_or(|fork| fork.has_parent)
    }

    /// Stores the newest state of a response.
    pub(super) fn update(
        &self,
        response: &Value,
        input: &[Value],
        background: Option<&Arc<Background>>,
    ) {
        let Some(id) = response["id"].as_str() else { return };
        let mut state = self.lock();
        let is_new = state.responses.update(id, response, input);
        if let Some(background) = background.filter(|_| is_new) {
            state.backgrounds.insert(id.to_owned(), Arc::clone(background));
        }
    }

    /// Returns the newest state of a response.
    pub(super) fn response(&self, id: &str) -> Result<Value, StoreError> {
        let state = self.lock();
        let stored = state.responses.get(id).ok_or(StoreError::NotFound)?;
        Ok(stored.response.clone())
    }

    /// Returns a response that runs in the background.
    pub(super) fn background(&self, id: &str) -> Result<Arc<Background>, StoreError> {
        let state = self.lock();
        state.responses.get(id).ok_or(StoreError::NotFound)?;
        state.backgrounds.get(id).cloned().ok_or(StoreError::NotInBackground)
    }

    /// Cancels a response that runs in the background, if it has not ended; returns its state.
    pub(super) fn cancel(&self, id: &str) -> Result<Value, StoreError> {
        let mut state = self.lock();
        state.responses.get(id).ok_or(StoreError::NotFound)?;
        let background = state.backgrounds.get(id).ok_or(StoreError::NotInBackground)?;
        if background.cancel() {
            state.responses.cancel(id);
        }
        let stored = state.responses.get(id).ok_or(StoreError::NotFound)?;
        Ok(stored.response.clone())
    }

    /// Returns a page of the input items of a response.
    pub(super) fn input_items(&self, id: &str, page: &Page) -> Result<Value, StoreError> {
        let state = self.lock();
        Ok(state.responses.get(id).ok_or(StoreError::NotFound)?.input_items(page))
    }

    /// Removes a response; returns the API's answer.
    pub(super) fn delete(&self, id: &str) -> Result<Value, StoreError> {
        let mut state = self.lock();
        state.history.remove(id);
        state.backgrounds.remove(id);
        match state.responses.remove(id) {
            true => Ok(json!({ "id": id, "object": "response", "deleted": true })),
            false => Err(StoreError::NotFound),
        }
    }
}

/// The log.
impl Hub {
    /// Records a request for something other than a new response.
    pub(super) fn note_other(&self, other: OtherLog) {
        self.change(|state| state.log.others.push(other));
    }

    /// Records that an answer was sent to its end.
    pub(super) fn finished(&self, connection: usize, request: usize) {
        self.change(|state| {
            if let Some(log) = state.log.requests.get_mut(request) {
                log.finished = true;
            }
            if let Some(peer) = state.peers.get_mut(connection) {
                peer.end_request();
            }
        });
    }

    /// Calls `look` with the current log.
    pub(super) fn with_log<T>(&self, look: impl FnOnce(&ServerLog) -> T) -> T {
        let mut state = self.lock();
        let HubState { log, peers, .. } = &mut *state;
        for (seen, peer) in log.connections.iter_mut().zip(peers) {
            seen.bytes_received = peer.control.received();
            seen.bytes_sent = peer.control.sent();
        }
        look(log)
    }

    /// Returns a watch that changes with the log.
    pub(super) fn versions(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, HubState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut HubState) -> T) -> T {
        let changed = change(&mut self.lock());
        self.version.send_modify(|version| *version += 1);
        changed
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").finish_non_exhaustive()
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a closure of the script panicked".to_owned())
}

/// Maximum number of frames that wait for one WebSocket.
const IDLE_FRAMES: usize = 64;
