//! What the caller gave, what the server did with it, and whether the two agree.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    time::Duration,
};

use responses_client::{
    ReplayPolicy, Transport, TransportPolicy,
    testing::{Exchange, RequestLog, ServerLog},
};
use serde_json::Value;
use tokio::time::Instant;

use super::{
    asked::{Asked, End, Outcome},
    attempt::{Attempt, Ending, Fate},
    messages::Carried,
    steers::{Steers, follows},
    values::{Kind, Reach, account, context, digest, is_call, kind, place, without},
};

/// Watches over one server and the sessions that speak to it.
pub(crate) struct Oracle {
    pub(crate) rules: Rules,
    pub(crate) faults: BTreeMap<&'static str, u64>,
    /// The first thing that was wrong.
    pub(crate) violation: Option<String>,
    turns: HashMap<u64, Asked>,
    sockets: HashMap<usize, Socket>,
    /// Connections that a request came on.
    used: HashSet<usize>,
    /// Requests whose response ended under another id than it began with.
    renamed: HashSet<usize>,
    /// Calls that were handed to a caller.
    ran: HashSet<String>,
    /// When the last time ends in which the server cannot be reached.
    outage: Option<Instant>,
    /// How many requests of the log were looked at.
    looked_at: usize,
    /// Connections that the server is about to end, for the requests of all lanes.
    ending: HashMap<usize, Ending>,
    /// Names of lanes by connection.
    names: HashMap<usize, HashSet<String>>,
    pub(crate) steers: Steers,
    /// Encrypted content of reasoning that the server has and the callers have not.
    lost: HashSet<String>,
}

/// What the clients were told to keep to.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) replay: ReplayPolicy,
    pub(crate) replays: u32,
    pub(crate) attempts: u32,
    pub(crate) transport: TransportPolicy,
    /// What a turn may take.
    pub(crate) deadline: Option<Duration>,
    /// No WebSocket may get a request at a greater age.
    pub(crate) max_age: Option<Duration>,
    /// Named lanes that a WebSocket may have.
    pub(crate) names: usize,
    /// A slow reader may lose its response beside others.
    pub(crate) falls_behind: bool,
}

#[derive(Default)]
struct Socket {
    first_used: Option<Instant>,
    poisoned: Option<(Instant, &'static str)>,
}

impl Oracle {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules,
            faults: BTreeMap::new(),
            violation: None,
            turns: HashMap::new(),
            sockets: HashMap::new(),
            used: HashSet::new(),
            renamed: HashSet::new(),
            ran: HashSet::new(),
            outage: None,
            looked_at: 0,
            ending: HashMap::new(),
            names: HashMap::new(),
            steers: Steers::default(),
            lost: HashSet::new(),
        }
    }

    pub(crate) fn violate(&mut self, number: u64, what: impl FnOnce() -> String) {
        if self.violation.is_none() {
            let fates: Vec<_> = self.turns.get(&number).map_or_else(Vec::new, |asked| {
                asked.attempts.iter().map(|it| (it.fate.name, it.reach())).collect()
            });
            self.violation =
                Some(format!("turn {number}: {}; {fates:?} under {:?}", what(), self.rules));
        }
    }

    /// The caller is about to ask for a turn with this input.
    pub(crate) fn asks(&mut self, number: u64, input: Vec<Value>) {
        let asked = Asked {
            digest: digest(input.clone()),
            input,
            attempts: Vec::new(),
            since: Instant::now(),
            not_before: None,
            over: false,
            left: false,
            may_be_lost: false,
        };
        self.turns.insert(number, asked);
    }

    /// The output of the answer that comes next, which the events will not say like this.
    pub(crate) fn means(&mut self, number: u64, output: Vec<Value>) {
        if let Some(attempt) = self.last_attempt(number) {
            attempt.meant = Some(output);
        }
    }

    /// Every connection is about to be reset: of what was sent some may be lost.
    pub(crate) fn cuts_all(&mut self) {
        for asked in self.turns.values_mut().filter(|asked| !asked.over) {
            if let Some(attempt) = asked.attempts.last_mut() {
                attempt.fate.end_with(Ending::Cut);
            }
        }
    }

    /// The server ends a connection soon, for the requests on it and those that still come.
    pub(crate) fn ends(&mut self, connection: usize, ending: Ending) {
        self.ending.insert(connection, ending);
        let now = Instant::now();
        if ending == Ending::Refusal {
            let socket = self.sockets.entry(connection).or_default();
            // By then the client has read it.
            socket.poisoned.get_or_insert((now + LEEWAY, "the end of its time"));
        }
        for asked in self.turns.values_mut().filter(|asked| !asked.over) {
            asked.may_be_lost |= ending == Ending::Cut;
            if let Some(attempt) =
                asked.attempts.last_mut().filter(|it| it.connection == connection)
            {
                attempt.fate.end_with(ending);
            }
        }
    }

    /// Whether a request came on a connection that ends after the client had sent it elsewhere.
    pub(crate) fn is_late(&self, number: u64, connection: usize) -> bool {
        let elsewhere = |asked: &Asked| {
            asked.over || asked.attempts.iter().any(|it| it.connection > connection)
        };
        self.ending.contains_key(&connection) && self.turns.get(&number).is_some_and(elsewhere)
    }

    /// Returns the number of named lanes of the connections.
    pub(crate) fn lanes(&self) -> usize {
        self.names.values().map(HashSet::len).sum()
    }

    /// Until then no connection can be opened.
    pub(crate) fn goes_away(&mut self, until: Instant) {
        self.outage = Some(until);
    }

    /// Whether the server could not be reached while this turn ran.
    pub(crate) fn was_away(&self, number: u64) -> bool {
        let since = self.turns.get(&number).map(|asked| asked.since);
        self.outage.is_some_and(|until| since.is_some_and(|since| since <= until))
    }

    fn last_attempt(&mut self, number: u64) -> Option<&mut Attempt> {
        self.turns.get_mut(&number)?.attempts.last_mut()
    }

    /// A request has come that takes a turn.
    pub(crate) fn request(&mut self, number: u64, exchange: &Exchange) {
        let now = Instant::now();
        let follows = follows(exchange);
        let wrong = self.steers.wrong_with_history(exchange);
        let wrong = wrong.or_else(|| match follows {
            true => None,
            false => self.wrong_with(number, exchange, now),
        });
        if let Some(wrong) = wrong {
            self.violate(number, || wrong);
        }
        let attempt = Attempt {
            request: place(&exchange.response_id).unwrap_or_default(),
            id: exchange.response_id.clone(),
            parent: exchange.body["previous_response_id"].as_str().map(str::to_owned),
            follows,
            history: exchange.history.clone(),
            connection: exchange.connection,
            kept: !self.used.insert(exchange.connection),
            since: Some(now),
            ..Attempt::default()
        };
        if let Some(asked) = self.turns.get_mut(&number) {
            asked.attempts.push(attempt);
        }
    }

    fn wrong_with(&mut self, number: u64, exchange: &Exchange, now: Instant) -> Option<String> {
        if exchange.transport == Transport::WebSocket {
            let socket = self.sockets.entry(exchange.connection).or_default();
            let age = now - *socket.first_used.get_or_insert(now);
            if let Some((_, why)) = socket.poisoned.filter(|(since, _)| now >= *since) {
                return Some(format!("it came on a WebSocket that had had: {why}"));
            }
            if self.rules.max_age.is_some_and(|max_age| age > max_age) {
                return Some(format!("it came on a WebSocket of {age:?}"));
            }
        }
        if let Some(name) = &exchange.lane {
            let names = self.names.entry(exchange.connection).or_default();
            names.insert(name.clone());
            if names.len() > self.rules.names {
                return Some(format!("its WebSocket has {} names of lanes", names.len()));
            }
        }
        match (self.rules.transport, exchange.transport) {
            (TransportPolicy::WebSocketOnly, Transport::Sse)
            | (TransportPolicy::SseOnly, Transport::WebSocket) => {
                return Some(format!("it came over {}", exchange.transport));
            }
            _ => {}
        }
        let Some(asked) = self.turns.get(&number) else {
            return Some("nobody asked for it".to_owned());
        };
        if asked.over && !asked.left {
            return Some("it was sent after its outcome".to_owned());
        }
        if digest(without(&exchange.history, &self.lost)) != asked.digest {
            let (incremental, length) =
                (exchange.body.get("previous_response_id").is_some(), exchange.history.len());
            return Some(format!(
                "the server's history of {length} items is not the caller's \
                 (incremental: {incremental})"
            ));
        }
        if asked.not_before.is_some_and(|not_before| now < not_before) {
            return Some("it came before the server wanted it".to_owned());
        }
        self.wrong_with_another(&asked.attempts)
    }

    /// What speaks against another attempt after these.
    fn wrong_with_another(&self, before: &[Attempt]) -> Option<String> {
        let last = before.last()?;
        if last.follows {
            return Some("it was sent again after a steer had another response follow".to_owned());
        }
        if last.fate.last_word {
            return Some(format!("it was sent again after {}", last.fate.name));
        }
        let (ended, last) = (last.has_ended(), last.least_reach());
        let furthest = match self.rules.replay {
            ReplayPolicy::BeforeCreated => Reach::Silent,
            ReplayPolicy::BeforeOutput => Reach::Created,
            ReplayPolicy::Restart => Reach::Output,
            _ => Reach::Refused,
        };
        let may_repeat = furthest > Reach::Refused;
        if last > furthest && !(ended && may_repeat) {
            return Some(format!("it was sent again after it had got as far as {last:?}"));
        }
        // A kept connection that died is replaced once.
        let stale = usize::from(before.iter().any(|it| it.kept && it.fate.unanswered));
        let may_run = |it: &&Attempt| it.least_reach() > Reach::Refused && !it.has_ended();
        let replays = before.iter().filter(may_run).count() - stale;
        if replays > self.rules.replays as usize {
            return Some(format!("{replays} replays"));
        }
        let free: BTreeSet<_> =
            before.iter().filter(|it| it.fate.free).map(|it| it.fate.name).collect();
        let paid = before.len() + 1 - free.len() - stale;
        (paid > self.rules.attempts as usize).then(|| format!("{paid} attempts"))
    }

    /// What the server is going to do about the request that came last.
    pub(crate) fn fate(&mut self, number: u64, exchange: &Exchange, fate: Fate) {
        *self.faults.entry(fate.name).or_default() += 1;
        let socket = self.sockets.entry(exchange.connection).or_default();
        if fate.poisons {
            socket.poisoned = Some((Instant::now(), fate.name));
        }
        let mut fate = fate;
        if let Some(ending) = self.ending.get(&exchange.connection) {
            fate.end_with(*ending);
        }
        if fate.renames {
            self.renamed.extend(place(&exchange.response_id));
        }
        if let Some(asked) = self.turns.get_mut(&number) {
            asked.not_before = fate.retry_after.map(|wait| Instant::now() + wait);
        }
        if let Some(attempt) = self.last_attempt(number) {
            attempt.fate = fate;
        }
    }

    /// An event that the server is going to send in answer to the last request of a turn.
    pub(crate) fn sends(&mut self, number: u64, event: &Value) {
        let Some(attempt) = self.last_attempt(number) else { return };
        match attempt.fate {
            // Nobody can read it.
            Fate { name: "encoded", .. } => {}
            Fate { whole: true, .. } if kind(event) != Kind::End => {}
            Fate { whole: true, .. } => attempt.events.push(event["response"].clone()),
            _ => attempt.events.push(event.clone()),
        }
    }

    /// The caller has the outcome of a turn.
    pub(crate) fn outcome(&mut self, number: u64, outcome: &Outcome<'_>) {
        let Some(asked) = self.turns.get_mut(&number) else { return };
        asked.over = true;
        // The lane of a WebSocket that others use still sends what was queued.
        asked.left = self.rules.names > 0 && matches!(outcome.end, End::Left);
        let again = match outcome.end {
            End::Output(output) => {
                let calls = output.iter().filter(|item| is_call(item));
                let ids = calls.filter_map(|call| call["call_id"].as_str());
                ids.filter(|id| !self.ran.insert((*id).to_owned())).last().map(str::to_owned)
            }
            _ => None,
        };
        let wrong = match again {
            Some(call) => Some(format!("{call} is run twice")),
            None => {
                self.lost.extend(asked.lost_reasoning(outcome));
                asked.wrong_with(outcome, &self.rules, &self.lost)
            }
        };
        let wrong = wrong.or_else(|| self.steers.wrong_with(asked, outcome));
        if let Some(wrong) = wrong {
            self.violate(number, || wrong);
        }
    }

    /// A turn is over that was to carry these steers of the turn before. `began` if it has had a
    /// response.
    pub(crate) fn carried(&mut self, number: u64, carried: &[Carried], began: bool) {
        let Some(asked) = self.turns.get(&number) else { return };
        if let Some(wrong) = self.steers.wrong_with_carried(asked, carried, began) {
            self.violate(number, || wrong);
        }
    }

    /// Returns the number of requests of a turn.
    pub(crate) fn attempts(&self, number: u64) -> usize {
        self.turns.get(&number).map_or(0, |asked| asked.attempts.len())
    }

    /// The place in the log of the last request of a turn, and its connection.
    pub(crate) fn last_request(&self, number: u64) -> Option<(usize, usize)> {
        let attempt = self.turns.get(&number)?.attempts.last()?;
        Some((attempt.request, attempt.connection))
    }

    /// Looks at the requests that are new in the log.
    pub(crate) fn look(&mut self, log: &ServerLog, number: u64) {
        let new = log.requests.iter().skip(self.looked_at);
        let wrong = new
            .filter_map(|request| {
                let wrong = self.wrong_with_parent(log, request);
                wrong.or_else(|| Self::wrong_with_headers(log, request))
            })
            .next();
        self.looked_at = log.requests.len();
        let wrong = wrong.or_else(|| self.steers.wrong_with_log(log, &self.turns));
        if let Some(wrong) = wrong {
            self.violate(number, || wrong);
        }
    }

    fn wrong_with_parent(&self, log: &ServerLog, request: &RequestLog) -> Option<String> {
        let parent = request.previous_response_id.as_ref()?;
        let Some(before) = place(parent).and_then(|place| log.requests.get(place)) else {
            return Some(format!("there never was a parent {parent}"));
        };
        if place(parent).is_some_and(|place| self.renamed.contains(&place)) {
            return Some(format!("the parent {parent} ended under another id"));
        }
        let closes = log.connections.get(request.connection).and_then(|it| it.closes_on_create);
        if request.turn.is_none() && closes.is_none() {
            let mut attempts = self.turns.values().flat_map(|asked| &asked.attempts);
            let fate = attempts.find(|it| Some(it.request) == place(parent));
            let name = fate.map(|it| it.fate.name);
            return Some(format!("the server does not have the parent {parent}: {name:?}"));
        }
        if request.transport == Transport::Sse && request.body["store"] == false {
            return Some("a parent that is not stored was named over SSE".to_owned());
        }
        if context(&before.body) != context(&request.body) {
            return Some("it continues a response of another context".to_owned());
        }
        if account(log, before) != account(log, request) {
            return Some("it continues a response of another account".to_owned());
        }
        None
    }

    /// The sessions of a WebSocket have the same headers.
    fn wrong_with_headers(log: &ServerLog, request: &RequestLog) -> Option<String> {
        let tag = request.body["metadata"]["tag"].as_str();
        let of_socket = || log.connections.get(request.connection)?.header(TAG);
        let sent = request.header(TAG).or_else(of_socket);
        (tag != sent).then(|| format!("it came with the tag {sent:?}, not {tag:?}"))
    }
}

/// Header by which sessions differ.
pub(crate) const TAG: &str = "x-tag";

/// What a turn may take beside the waits of the server.
pub(crate) const LEEWAY: Duration = Duration::from_secs(1);
