//! What the connections of a server share: the script, the conversations and the log.

#![expect(clippy::indexing_slicing, reason = "a missing member of a JSON value reads as null")]

use std::{
    any::Any,
    collections::HashMap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::Value;
use tokio::sync::{mpsc, watch};

use super::{
    background::Background,
    endpoints::Stored,
    generate, halves,
    log::{ConnectionLog, OtherLog, RequestLog, ServerLog},
    profile::Traits,
    request,
    run::{Origin, Run},
    script::{Exchange, Respond, Reuse, Script, Upgrade, Uplink},
    state::{Completed, Conversations, Parent},
    step::Step,
    turn::{Answer, ApiError, Turn},
    wire::{Control, Cut},
};
use crate::config::Transport;

/// What the connections of a server share.
pub(super) struct Shared {
    state: Mutex<State>,
    /// Rises with every change of the log.
    version: watch::Sender<u64>,
}

/// A request as it came.
pub(super) struct Received {
    pub(super) connection: usize,
    pub(super) transport: Transport,
    pub(super) headers: Vec<(String, String)>,
    pub(super) raw: String,
}

/// What a test sends on idle WebSockets.
#[derive(Clone, Debug)]
pub(super) enum IdleFrame {
    Text(String),
    Ping(Vec<u8>),
    Close { code: u16, reason: String },
}

struct State {
    script: Script,
    conversations: Conversations,
    /// By id.
    stored: HashMap<String, Stored>,
    log: ServerLog,
    peers: Vec<Peer>,
    turns_taken: usize,
    responses: u64,
    stopped: bool,
    /// No new connection is taken for now.
    unreachable: bool,
}

/// The server's side of a connection; its place is the connection's number.
struct Peer {
    control: Arc<Control>,
    /// Bytes received up to the end of the last request.
    accounted: u64,
    idle: Option<mpsc::Sender<IdleFrame>>,
    busy: bool,
    /// The model of its first request, where that matters.
    model: Option<Value>,
}

/// A request that is valid, and what is needed to answer it.
struct Admitted {
    run: Run,
    exchange: Exchange,
    plan: Plan,
}

enum Plan {
    Fixed(Box<Turn>),
    Respond(Respond),
}

impl Plan {
    fn fixed(turn: Turn) -> Self {
        Self::Fixed(Box::new(turn))
    }
}

impl Shared {
    pub(super) fn new(script: Script) -> Arc<Self> {
        let state = State {
            script,
            conversations: Conversations::default(),
            stored: HashMap::new(),
            log: ServerLog::default(),
            peers: Vec::new(),
            turns_taken: 0,
            responses: 0,
            stopped: false,
            unreachable: false,
        };
        Arc::new(Self { state: Mutex::new(state), version: watch::Sender::new(0) })
    }

    /// Numbers a new connection; `None` once the server is stopped.
    pub(super) fn open(&self) -> Option<(usize, Arc<Control>)> {
        self.change(|state| {
            if state.stopped || state.unreachable {
                return None;
            }
            let (index, control) = (state.peers.len(), Arc::<Control>::default());
            state.log.connections.push(ConnectionLog { index, ..ConnectionLog::default() });
            state.peers.push(Peer {
                control: Arc::clone(&control),
                accounted: 0,
                idle: None,
                busy: false,
                model: None,
            });
            Some((index, control))
        })
    }

    /// Notes the end of a connection.
    pub(super) fn closed(&self, connection: usize) {
        self.change(|state| {
            state.conversations.evict(connection);
            if let Some(peer) = state.peers.get_mut(connection) {
                peer.idle = None;
            }
            if let Some(seen) = state.log.connections.get_mut(connection) {
                seen.closed = true;
            }
        });
    }

    /// Changes what the log says about a connection.
    pub(super) fn note(&self, connection: usize, note: impl FnOnce(&mut ConnectionLog)) {
        self.change(|state| {
            if let Some(seen) = state.log.connections.get_mut(connection) {
                note(seen);
            }
        });
    }

    /// Notes a mistake of the script.
    pub(super) fn note_panic(&self, message: String) {
        self.change(|state| state.log.panics.push(message));
    }

    /// Takes the answer to a request to become a WebSocket.
    pub(super) fn next_upgrade(
        &self,
        connection: usize,
        headers: Vec<(String, String)>,
    ) -> Upgrade {
        self.change(|state| {
            let upgrade = state.script.next_upgrade();
            if matches!(upgrade, Upgrade::Refuse(_) | Upgrade::Hang | Upgrade::Reset) {
                state.log.upgrades_refused += 1;
            }
            if let Some(seen) = state.log.connections.get_mut(connection) {
                seen.upgrade_requests += 1;
                seen.headers = headers;
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

    /// Notes that a connection became a WebSocket; returns what a test sends while it is idle.
    pub(super) fn upgraded(
        &self,
        connection: usize,
        closes_on_create: Option<u16>,
    ) -> mpsc::Receiver<IdleFrame> {
        let (sender, receiver) = mpsc::channel(IDLE_FRAMES);
        self.change(|state| {
            if let Some(peer) = state.peers.get_mut(connection) {
                peer.idle = Some(sender);
                peer.accounted = peer.control.received();
            }
            if let Some(seen) = state.log.connections.get_mut(connection) {
                seen.transport = Some(Transport::WebSocket);
                seen.closes_on_create = closes_on_create;
            }
        });
        receiver
    }

    /// What the server is like.
    pub(super) fn traits(&self) -> Traits {
        self.lock().script.traits()
    }

    /// The slow way from clients over in-memory connections, if the script has one.
    pub(super) fn uplink(&self) -> Option<Uplink> {
        self.lock().script.uplink
    }

    /// Headers of every 101 and 200.
    pub(super) fn headers(&self) -> Vec<(String, String)> {
        self.lock().script.headers.clone()
    }

    /// Logs a request and works out the answer.
    pub(super) fn admit(self: &Arc<Self>, received: Received) -> (Run, Answer) {
        let Admitted { mut run, mut exchange, plan } =
            self.change(|state| state.admit(received, Arc::clone(self)));
        let worked_out = catch_unwind(AssertUnwindSafe(|| {
            let turn = match plan {
                Plan::Fixed(turn) => *turn,
                Plan::Respond(respond) => {
                    exchange.history = run.history();
                    respond(&exchange)
                }
            };
            turn.answer(&exchange)
        }));
        let mut answer = worked_out.unwrap_or_else(|panic| {
            self.note_panic(message(panic.as_ref()));
            let error = ApiError::new(500, "script_panicked", "A closure of the script panicked.");
            Turn::api_error(error).answer(&exchange)
        });
        self.traits().dress(&mut answer, exchange.transport);
        run.keeps(answer.kept.take());
        (run, answer)
    }

    /// Everything up to `parent`, and `input` after it.
    pub(super) fn history(&self, parent: Option<Parent>, input: &[Value]) -> Vec<Value> {
        let mut history = self.lock().conversations.history(parent);
        history.extend_from_slice(input);
        history
    }

    pub(super) fn commit(&self, connection: usize, transport: Transport, completed: Completed) {
        self.lock().conversations.commit(connection, transport, completed);
    }

    pub(super) fn evict(&self, connection: usize) {
        self.lock().conversations.evict(connection);
    }

    /// Keeps the newest state of a response for those who ask for it.
    pub(super) fn keep(
        &self,
        response: &Value,
        input: &[Value],
        background: Option<&Arc<Background>>,
    ) {
        let Some(id) = response["id"].as_str() else { return };
        let mut state = self.lock();
        let stored = state.stored.entry(id.to_owned()).or_insert_with(|| Stored {
            response: Value::Null,
            input: input.to_vec(),
            background: background.cloned(),
        });
        // What is cancelled stays so, whatever was on its way.
        if stored.response["status"] != "cancelled" {
            stored.response = response.clone();
        }
    }

    /// Shows `look` a response, if it is there.
    pub(super) fn with_stored<T>(
        &self,
        id: &str,
        look: impl FnOnce(&mut Stored) -> T,
    ) -> Option<T> {
        self.lock().stored.get_mut(id).map(look)
    }

    /// Forgets a response; returns whether it was there.
    pub(super) fn delete(&self, id: &str) -> bool {
        let mut state = self.lock();
        state.conversations.forget(id);
        state.stored.remove(id).is_some()
    }

    pub(super) fn note_other(&self, other: OtherLog) {
        self.change(|state| state.log.others.push(other));
    }

    /// Notes that an answer was sent to its end.
    pub(super) fn finished(&self, connection: usize, request: usize) {
        self.change(|state| {
            if let Some(seen) = state.log.requests.get_mut(request) {
                seen.finished = true;
            }
            if let Some(peer) = state.peers.get_mut(connection) {
                peer.busy = false;
            }
        });
    }

    pub(super) fn push(&self, turn: Turn) {
        self.lock().script.turns.push_back(turn);
    }

    /// Gives `frame` to every open WebSocket that has no turn running.
    pub(super) fn send_idle(&self, frame: &IdleFrame) {
        let state = self.lock();
        for peer in state.peers.iter().filter(|peer| !peer.busy) {
            if let Some(idle) = &peer.idle {
                // A test that fills the queue has lost interest in what is at its end.
                let _ = idle.try_send(frame.clone());
            }
        }
    }

    pub(super) fn drop_connections(&self) {
        for peer in &self.lock().peers {
            peer.control.cut(Cut::Reset);
        }
    }

    pub(super) fn refuse_connections(&self, refuse: bool) {
        self.lock().unreachable = refuse;
    }

    pub(super) fn stop(&self) {
        {
            let mut state = self.lock();
            state.stopped = true;
            for background in state.stored.values().filter_map(|stored| stored.background.as_ref())
            {
                background.cancel();
            }
        }
        self.drop_connections();
    }

    /// Shows `look` the log as it is now.
    pub(super) fn with_log<T>(&self, look: impl FnOnce(&ServerLog) -> T) -> T {
        let mut state = self.lock();
        let State { log, peers, .. } = &mut *state;
        for (seen, peer) in log.connections.iter_mut().zip(peers) {
            seen.bytes_received = peer.control.received();
            seen.bytes_sent = peer.control.sent();
        }
        look(log)
    }

    pub(super) fn versions(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.lock());
        self.version.send_modify(|version| *version += 1);
        changed
    }
}

impl State {
    fn admit(&mut self, received: Received, shared: Arc<Shared>) -> Admitted {
        let Received { connection, transport, headers, raw } = received;
        let body = halves::parse_json(&raw).unwrap_or_default();
        let previous = body["previous_response_id"].as_str().map(str::to_owned);
        let parent = previous.as_deref().map(|id| self.conversations.parent(connection, id));
        let found = parent.flatten();
        let input = request::input(&body);
        let (place, brought) = (self.log.requests.len(), input.len());
        let response_id = format!("resp_{:040x}", self.responses);
        self.responses += 1;

        let mut exchange = Exchange {
            index: self.turns_taken,
            transport,
            connection,
            history: Vec::new(),
            response_id: response_id.clone(),
            headers,
            known_bytes: self.conversations.bytes(found),
            brought_bytes: generate::size(&input),
            body,
        };
        let checked = request::check(&exchange.body, transport, &exchange.headers)
            .and_then(|()| self.script.traits().check(&exchange.body, transport))
            .and_then(|()| self.check_model(&exchange));
        let closes = self.log.connections.get(connection).and_then(|seen| seen.closes_on_create);
        let plan = if closes.is_some() {
            Err(Plan::fixed(Turn::steps([Step::Close { code: closes, reason: String::new() }])))
        } else if let Err(error) = checked {
            Err(Plan::fixed(Turn::api_error(error)))
        } else if let (Some(id), Some(None)) = (&previous, parent) {
            Err(Plan::fixed(Turn::api_error(request::not_found(id))))
        } else if exchange.body["generate"] == false && !self.script.ignores_generate {
            Err(Plan::fixed(Turn::output([])))
        } else if let Some(turn) = self.script.turns.pop_front() {
            Ok(Plan::fixed(turn))
        } else if let Some(respond) = &self.script.respond {
            Ok(Plan::Respond(Arc::clone(respond)))
        } else {
            let error = ApiError::new(500, "script_exhausted", "The script has no more turns.");
            Err(Plan::fixed(Turn::api_error(error)))
        };
        let turn = plan.is_ok().then_some(self.turns_taken);
        self.turns_taken += usize::from(turn.is_some());

        let bytes_received = self.account(connection);
        if transport == Transport::Sse
            && let Some(seen) = self.log.connections.get_mut(connection)
        {
            seen.transport = Some(Transport::Sse);
        }
        if let Some(seen) = self.log.connections.get(connection)
            && transport == Transport::WebSocket
        {
            exchange.headers.clone_from(&seen.headers);
        }
        let keep = !self.script.without_bodies;
        self.log.requests.push(RequestLog {
            connection,
            transport,
            turn,
            body: if keep { exchange.body.clone() } else { Value::Null },
            raw: if keep { raw } else { String::new() },
            headers: match transport {
                Transport::WebSocket => Vec::new(),
                Transport::Sse => exchange.headers.clone(),
            },
            bytes_received,
            previous_response_id: previous,
            input_items: brought,
            finished: false,
        });
        let origin = Origin { connection, transport, request: place };
        let run = Run::new(shared, origin, response_id, &exchange.body, found, input);
        let (Ok(plan) | Err(plan)) = plan;
        Admitted { run, exchange, plan }
    }

    /// Notes the model of a socket's first request, which some servers hold it to.
    fn check_model(&mut self, exchange: &Exchange) -> Result<(), ApiError> {
        let one_model = self.script.traits().one_model;
        if !one_model || exchange.transport != Transport::WebSocket {
            return Ok(());
        }
        let Some(peer) = self.peers.get_mut(exchange.connection) else { return Ok(()) };
        let model = peer.model.get_or_insert_with(|| exchange.body["model"].clone());
        if *model == exchange.body["model"] {
            return Ok(());
        }
        let message = "This connection serves another model.";
        Err(ApiError::new(400, "model_mismatch", message).param("model"))
    }

    /// Bytes that came in on this connection since it was last asked.
    fn account(&mut self, connection: usize) -> u64 {
        let Some(peer) = self.peers.get_mut(connection) else { return 0 };
        peer.busy = true;
        let received = peer.control.received();
        received.saturating_sub(std::mem::replace(&mut peer.accounted, received))
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a closure of the script panicked".to_owned())
}

/// Frames that wait for one WebSocket.
const IDLE_FRAMES: usize = 64;
