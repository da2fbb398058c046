//! State of a server: its script, its responses, its log and its connections.

#![expect(clippy::indexing_slicing, reason = "a missing member of a JSON value reads as null")]

use std::{collections::HashMap, sync::Arc};

use serde_json::Value;

use super::{
    background::Background,
    control::Control,
    log::{ConnectionLog, RequestLog, ServerLog},
    peer::Peer,
};
use crate::{
    config::Transport,
    server::store::{HistoryStore, Parent, ResponseStore, json_size},
    testing::script::{
        admission::{Admission, ChosenTurn},
        builder::{NextTurn, Script},
        error_reply::ErrorReply,
        exchange::Exchange,
        lane::{self, Lane},
        request, strict,
    },
};

/// State of a server.
pub(super) struct HubState {
    pub(super) script: Script,
    pub(super) history: HistoryStore,
    pub(super) responses: ResponseStore,
    /// Those of `responses` that run in the background, by id.
    pub(super) backgrounds: HashMap<String, Arc<Background>>,
    pub(super) log: ServerLog,
    pub(super) peers: Vec<Peer>,
    /// Requests that continue a response that another lane holds, and have not begun to, by index in
    /// the log.
    pub(super) forks: HashMap<usize, Fork>,
    turns_taken: usize,
    responses_begun: u64,
    pub(super) is_stopped: bool,
    /// No new connection is accepted for now.
    pub(super) is_unreachable: bool,
}

/// A request that continues a response that another lane holds.
#[derive(Debug)]
pub(super) struct Fork {
    connection: usize,
    /// Lane that holds the response; `None` for the default lane.
    source: Option<String>,
    /// No newer response has begun on that lane.
    pub(super) has_parent: bool,
}

/// A request as received.
pub(super) struct Received {
    pub(super) connection: usize,
    pub(super) transport: Transport,
    /// Path of a POST; `None` over WebSocket.
    pub(super) path: Option<String>,
    /// Headers of a POST; empty over WebSocket.
    pub(super) headers: Vec<(String, String)>,
    /// Body of the request; `null` if it is no JSON.
    pub(super) body: Value,
    /// Body as it was received; empty for the response that a steer begins.
    pub(super) raw: String,
    /// Input of steers, which comes before that of the request.
    pub(super) steered: Vec<Value>,
}

/// A logged request with the turn that answers it.
pub(super) struct Admitted {
    pub(super) request: AdmittedRequest,
    pub(super) exchange: Exchange,
    pub(super) turn: NextTurn,
}

/// A request in the log, and its place in the conversations.
#[derive(Debug)]
pub(super) struct AdmittedRequest {
    pub(super) origin: RequestOrigin,
    pub(super) response_id: String,
    pub(super) lane: Lane,
    pub(super) parent: Option<Parent>,
    /// Id of the parent, if another lane of the connection holds it.
    pub(super) fork_of: Option<String>,
    pub(super) input: Vec<Value>,
    pub(super) body: Value,
    /// The response is stored.
    pub(super) stored: bool,
    /// The request asks for events.
    pub(super) streams: bool,
    /// Present if the request asks for a response in the background.
    pub(super) background: Option<Arc<Background>>,
    /// Output that the server keeps, if it is not that of the events.
    pub(super) kept: Option<Vec<Value>>,
}

/// RequestOrigin of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestOrigin {
    pub(super) connection: usize,
    pub(super) transport: Transport,
    /// Index of the request in the log.
    pub(super) request: usize,
}

impl HubState {
    pub(super) fn new(script: Script) -> Self {
        Self {
            script,
            history: HistoryStore::default(),
            responses: ResponseStore::default(),
            backgrounds: HashMap::new(),
            log: ServerLog::default(),
            peers: Vec::new(),
            forks: HashMap::new(),
            turns_taken: 0,
            responses_begun: 0,
            is_stopped: false,
            is_unreachable: false,
        }
    }

    /// Numbers a new connection; returns `None` if the server accepts none.
    pub(super) fn open(&mut self) -> Option<(usize, Arc<Control>)> {
        if self.is_stopped || self.is_unreachable {
            return None;
        }
        let (index, control) = (self.peers.len(), Arc::<Control>::default());
        self.log.connections.push(ConnectionLog { index, ..ConnectionLog::default() });
        self.peers.push(Peer::new(Arc::clone(&control)));
        Some((index, control))
    }

    /// Records the end of a connection.
    pub(super) fn close(&mut self, connection: usize) {
        self.history.close(connection);
        if let Some(peer) = self.peers.get_mut(connection) {
            peer.closed();
        }
        if let Some(log) = self.log.connections.get_mut(connection) {
            log.closed = true;
        }
    }

    /// Logs a request, and takes its turn.
    pub(super) fn admit(&mut self, received: Received) -> Admitted {
        let Received { connection, transport, path, headers, body, raw, steered } = received;
        // The client has sent nothing for the response that a steer begins.
        let is_successor = raw.is_empty() && body.is_object();
        let (lane, named) = match transport {
            Transport::WebSocket => (self.script.quirks().lanes.lane(&body), Lane::of(&body)),
            Transport::Sse => (Lane::Default, Lane::Default),
        };
        let previous = body["previous_response_id"].as_str().map(str::to_owned);
        let found = previous.as_deref().and_then(|id| match is_successor {
            true => self.history.own_parent(id),
            false => self.history.parent(connection, id),
        });
        let is_fork = self.begin_on(connection, transport, &lane, previous.as_deref());
        let fork_of = previous.clone().filter(|_| is_fork);
        let mut input = [steered, request::input(&body)].concat();
        self.history.resolve(&mut input);
        let response_id = format!("resp_{:040x}", self.responses_begun);
        self.responses_begun += 1;
        let mut exchange = Exchange {
            index: self.turns_taken,
            transport,
            connection,
            lane: named.name().map(str::to_owned),
            history: Vec::new(),
            response_id: response_id.clone(),
            headers,
            known_bytes: self.history.bytes(found),
            brought_bytes: json_size(&input),
            body,
        };
        let log = self.log.connections.get(connection);
        let ChosenTurn { turn, is_scripted } = {
            let close_on_create = log.and_then(|log| log.closes_on_create);
            let lost_parent = previous.as_deref().filter(|_| found.is_none());
            let mut checked = self.check(&exchange, &lane);
            if checked.is_ok() && lost_parent.is_none() && self.script.is_strict {
                let history = self.history.history(found);
                checked = strict::history::check(&[&history[..], &input].concat());
            }
            let error = checked.err();
            let body = &exchange.body;
            self.script.choose(Admission { body, close_on_create, error, lost_parent })
        };
        let turn_index = is_scripted.then_some(self.turns_taken);
        self.turns_taken += usize::from(is_scripted);
        let origin = RequestOrigin { connection, transport, request: self.log.requests.len() };
        let entry = RequestLog {
            connection,
            transport,
            lane: exchange.lane.clone(),
            turn: turn_index,
            path: path.unwrap_or_default(),
            is_successor,
            body: Value::Null,
            raw,
            headers: Vec::new(),
            bytes_received: 0,
            previous_response_id: previous,
            input_items: input.len(),
            finished: false,
        };
        self.log_request(&mut exchange, entry);
        let request = AdmittedRequest {
            origin,
            response_id,
            lane,
            parent: found,
            fork_of,
            input,
            body: Value::Null,
            stored: exchange.body["store"] != false,
            streams: exchange.streams(),
            background: exchange.is_in_background().then(Arc::default),
            kept: None,
        };
        Admitted { request, exchange, turn }
    }

    /// Begins a request over WebSocket: its lane loses the response that it holds. Returns `true` if
    /// the request continues a response that another lane holds.
    fn begin_on(
        &mut self,
        connection: usize,
        transport: Transport,
        lane: &Lane,
        previous: Option<&str>,
    ) -> bool {
        if transport != Transport::WebSocket || *lane == Lane::Invalid {
            return false;
        }
        let keeper = previous.and_then(|id| self.history.keeper(connection, id));
        let source = keeper.filter(|keeper| *keeper != lane.name()).map(|it| it.map(str::to_owned));
        self.history.evict(connection, lane.name());
        for fork in self.forks.values_mut() {
            let is_source = fork.connection == connection && fork.source.as_deref() == lane.name();
            fork.has_parent &= !is_source;
        }
        let Some(source) = source else { return false };
        let fork = Fork { connection, source, has_parent: true };
        self.forks.insert(self.log.requests.len(), fork);
        true
    }

    /// Returns the error of an invalid request.
    fn check(&mut self, exchange: &Exchange, lane: &Lane) -> Result<(), ErrorReply> {
        request::check(&exchange.body, exchange.transport, &exchange.headers)?;
        if self.script.is_strict {
            strict::body::check(&exchange.body)?;
        }
        self.script.quirks().check(&exchange.body, exchange.transport)?;
        self.check_lane(exchange.connection, lane)?;
        self.check_model(exchange)
    }

    /// Records the name of a lane, of which a WebSocket can have a limited number.
    fn check_lane(&mut self, connection: usize, lane: &Lane) -> Result<(), ErrorReply> {
        match lane {
            Lane::Default => Ok(()),
            Lane::Invalid => Err(lane::invalid()),
            Lane::Named(name) | Lane::Untold(name) => {
                let peer = self.peers.get_mut(connection);
                let is_known = peer.is_none_or(|peer| peer.has_lane(name));
                if is_known { Ok(()) } else { Err(lane::too_many()) }
            }
        }
    }

    /// Records the model of a WebSocket's first request, to which some servers bind it.
    fn check_model(&mut self, exchange: &Exchange) -> Result<(), ErrorReply> {
        let is_bound = self.script.quirks().one_model;
        if !is_bound || exchange.transport != Transport::WebSocket {
            return Ok(());
        }
        let peer = self.peers.get_mut(exchange.connection);
        if peer.is_none_or(|peer| peer.has_model(&exchange.body["model"])) {
            return Ok(());
        }
        let message = "This connection serves another model.";
        Err(ErrorReply::new(400, "model_mismatch", message).param("model"))
    }

    /// Adds a request to the log, and the headers of its upgrade to the exchange.
    fn log_request(&mut self, exchange: &mut Exchange, mut entry: RequestLog) {
        let peer = self.peers.get_mut(entry.connection);
        entry.bytes_received = peer.map_or(0, Peer::begin_request);
        if let Some(log) = self.log.connections.get_mut(entry.connection) {
            match entry.transport {
                Transport::Sse => log.transport = Some(Transport::Sse),
                Transport::WebSocket => {
                    exchange.headers.clone_from(&log.headers);
                    entry.path = log.path.clone().unwrap_or_default();
                }
            }
        }
        if entry.transport == Transport::Sse {
            entry.headers.clone_from(&exchange.headers);
        }
        match self.script.without_bodies {
            true => entry.raw.clear(),
            false => entry.body.clone_from(&exchange.body),
        }
        self.log.requests.push(entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Turn;

    fn received(raw: &str) -> Received {
        Received {
            connection: 0,
            transport: Transport::Sse,
            path: None,
            headers: Vec::new(),
            body: serde_json::from_str(raw).unwrap_or_default(),
            raw: raw.to_owned(),
            steered: Vec::new(),
        }
    }

    #[test]
    fn every_request_is_logged_and_only_valid_ones_take_a_turn() {
        let mut state = HubState::new(Script::new().turn(Turn::text("1")));
        state.open().unwrap();
        assert!(matches!(state.admit(received("no JSON")).turn, NextTurn::Fixed(_)));
        let valid = state.admit(received(r#"{"stream":true,"store":false,"input":"hi"}"#));
        assert_eq!(valid.exchange.index, 0);
        assert_eq!(valid.request.origin.request, 1);
        assert!(valid.request.streams && !valid.request.stored);
        assert_eq!(valid.request.input.len(), 1);
        let turns: Vec<_> = state.log.requests.iter().map(|request| request.turn).collect();
        assert_eq!(turns, [None, Some(0)]);
    }

    #[test]
    fn a_stopped_or_unreachable_server_accepts_no_connection() {
        let mut state = HubState::new(Script::new());
        state.is_unreachable = true;
        assert!(state.open().is_none());
        state.is_unreachable = false;
        assert_eq!(state.open().unwrap().0, 0);
        state.is_stopped = true;
        assert!(state.open().is_none());
    }
}
