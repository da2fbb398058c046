//! What the caller gave, what the server did with it, and whether the two agree.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    time::Duration,
};

use responses_client::{
    Delivery, ErrorKind, ReplayPolicy, Transport, TransportPolicy,
    testing::{Exchange, RequestLog, ServerLog, history_digest},
};
use serde_json::{Value, json};
use tokio::time::Instant;

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
    /// Responses that the server has under another id than it first gave.
    renamed: HashSet<String>,
    /// How many requests of the log were looked at.
    looked_at: usize,
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
}

/// A turn as the caller gave it, and the requests that came of it.
struct Asked {
    digest: String,
    attempts: Vec<Attempt>,
    not_before: Option<Instant>,
    /// The caller has its outcome.
    over: bool,
}

/// A request that reached the server, and what it was answered.
#[derive(Default)]
struct Attempt {
    /// Its place in the log.
    request: usize,
    connection: usize,
    /// Another request came on the connection before.
    kept: bool,
    fate: Fate,
    events: Vec<Value>,
}

/// What the server makes of a request, beyond the events it sends.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fate {
    pub(crate) name: &'static str,
    /// The client learns that it did not run.
    pub(crate) refuses: bool,
    /// The client learns that nothing runs any more, whether it ran or not.
    pub(crate) ended: bool,
    /// The connection ends without a byte of an answer.
    pub(crate) unanswered: bool,
    /// To try again costs no attempt, once a turn.
    pub(crate) free: bool,
    /// Nothing more may come on this WebSocket.
    pub(crate) poisons: bool,
    /// How long it is to wait.
    pub(crate) retry_after: Option<Duration>,
    /// The server keeps the response under another id than it gave first.
    pub(crate) renames: bool,
    /// It ends with its terminal event, and nothing else happens.
    pub(crate) ends_well: bool,
}

#[derive(Default)]
struct Socket {
    first_used: Option<Instant>,
    poisoned: Option<&'static str>,
}

/// How far a request got, by what the server sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    Refused,
    Silent,
    Created,
    Output,
    Ended,
}

/// What an event means here.
#[derive(PartialEq, Eq)]
enum Kind {
    Begin,
    Output,
    End,
    Failure,
    Other,
}

/// What the caller got of a turn.
pub(crate) struct Outcome<'a> {
    /// The events; `null` stands for `Restarted`.
    pub(crate) events: &'a [Value],
    pub(crate) end: End<'a>,
}

pub(crate) enum End<'a> {
    /// The output of a response that completed or is incomplete.
    Output(&'a [Value]),
    Failed(ErrorKind, Delivery),
    /// The caller went away.
    Left,
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
            looked_at: 0,
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
        let asked =
            Asked { digest: digest(input), attempts: Vec::new(), not_before: None, over: false };
        self.turns.insert(number, asked);
    }

    /// A request has come that takes a turn.
    pub(crate) fn request(&mut self, number: u64, exchange: &Exchange) {
        let now = Instant::now();
        if let Some(wrong) = self.wrong_with(number, exchange, now) {
            self.violate(number, || wrong);
        }
        let attempt = Attempt {
            request: place(&exchange.response_id).unwrap_or_default(),
            connection: exchange.connection,
            kept: !self.used.insert(exchange.connection),
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
            if let Some(why) = socket.poisoned {
                return Some(format!("it came on a WebSocket that had had: {why}"));
            }
            if self.rules.max_age.is_some_and(|max_age| age > max_age) {
                return Some(format!("it came on a WebSocket of {age:?}"));
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
        if asked.over {
            return Some("it was sent after its outcome".to_owned());
        }
        if digest(exchange.history.clone()) != asked.digest {
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
        let (ended, last) = (last.has_ended(), last.reach());
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
        let replays = before.iter().filter(|it| it.reach() > Reach::Refused && !it.has_ended());
        let replays = replays.count() - stale;
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
            socket.poisoned = Some(fate.name);
        }
        if fate.renames {
            self.renamed.insert(exchange.response_id.clone());
        }
        if let Some(asked) = self.turns.get_mut(&number) {
            asked.not_before = fate.retry_after.map(|wait| Instant::now() + wait);
            if let Some(attempt) = asked.attempts.last_mut() {
                attempt.fate = fate;
            }
        }
    }

    /// An event that the server is going to send in answer to the last request of a turn.
    pub(crate) fn sends(&mut self, number: u64, event: &Value) {
        let attempt = self.turns.get_mut(&number).and_then(|asked| asked.attempts.last_mut());
        if let Some(attempt) = attempt.filter(|_| !is_about_the_connection(event)) {
            attempt.events.push(event.clone());
        }
    }

    /// The caller has the outcome of a turn.
    pub(crate) fn outcome(&mut self, number: u64, outcome: &Outcome<'_>) {
        let Some(asked) = self.turns.get_mut(&number) else { return };
        asked.over = true;
        // A stream that is held runs out of time, whatever the server has sent.
        let in_time = self.rules.deadline.is_none();
        let wrong = asked.wrong_with(outcome, in_time);
        if let Some(wrong) = wrong {
            self.violate(number, || wrong);
        }
    }

    /// The place in the log of the last request of a turn, and its connection.
    pub(crate) fn last_request(&self, number: u64) -> Option<(usize, usize)> {
        let attempt = self.turns.get(&number)?.attempts.last()?;
        Some((attempt.request, attempt.connection))
    }

    /// Looks at the requests that are new in the log.
    pub(crate) fn look(&mut self, log: &ServerLog, number: u64) {
        let new = log.requests.iter().skip(self.looked_at);
        let wrong = new.filter_map(|request| self.wrong_with_parent(log, request)).next();
        self.looked_at = log.requests.len();
        if let Some(wrong) = wrong {
            self.violate(number, || wrong);
        }
    }

    fn wrong_with_parent(&self, log: &ServerLog, request: &RequestLog) -> Option<String> {
        let parent = request.previous_response_id.as_ref()?;
        let Some(before) = place(parent).and_then(|place| log.requests.get(place)) else {
            return Some(format!("there never was a parent {parent}"));
        };
        if request.turn.is_none() && !self.renamed.contains(parent) {
            return Some(format!("the server does not have the parent {parent}"));
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
}

impl Asked {
    fn wrong_with(&self, outcome: &Outcome<'_>, in_time: bool) -> Option<String> {
        let last = self.attempts.last();
        let sent: &[Value] = last.map_or(&[], Attempt::sent);
        match outcome.end {
            End::Output(output) => {
                if !matches!(sent.last().map(kind), Some(Kind::End)) {
                    return Some("it ended well, but not at the server".to_owned());
                }
                let expected = settled(sent);
                if digest(output.to_vec()) != digest(expected) {
                    return Some("its output is not what the server sent".to_owned());
                }
            }
            End::Failed(kind, delivery) => {
                let ended_by_session = [ErrorKind::Superseded, ErrorKind::SessionClosed];
                let ended = last.is_some_and(|it| it.reach() == Reach::Ended);
                let excused = kind == ErrorKind::Timeout && !in_time;
                if ended && !excused && !ended_by_session.contains(&kind) {
                    return Some(format!("it ended well at the server, and here with {kind:?}"));
                }
                let reach = self.attempts.iter().map(Attempt::reach).max();
                let ran = reach.is_some_and(|reach| reach > Reach::Refused);
                if ran && delivery <= Delivery::Refused {
                    return Some(format!("it may have run, and the error says {delivery:?}"));
                }
            }
            End::Left => {}
        }
        let whole = matches!(outcome.end, End::Output(_));
        self.wrong_with_events(outcome.events, sent, whole)
    }

    /// Every event must be one of this turn's, in the order in which they were sent, and of the
    /// last attempt each, if the turn is `whole`.
    fn wrong_with_events(&self, got: &[Value], sent: &[Value], whole: bool) -> Option<String> {
        let got: Vec<_> = got.iter().filter(|event| !is_about_the_connection(event)).collect();
        let mut got = &got[..];
        if whole {
            for event in sent.iter().rev() {
                match got.split_last() {
                    Some((last, rest)) if *last == event => got = rest,
                    // Told by an attempt before.
                    _ if self.attempts.len() > 1 && kind(event) == Kind::Begin => {}
                    _ => return Some(format!("an event was lost: {}", event["type"])),
                }
            }
        }
        let mut all = self.attempts.iter().flat_map(Attempt::sent);
        let mut begun = 0;
        for event in got {
            if event.is_null() {
                begun = 0;
                continue;
            }
            if !all.any(|sent| sent == *event) {
                return Some(format!("an event is not of this turn: {}", event["type"]));
            }
            begun += usize::from(event["type"] == "response.created");
        }
        (begun > 1).then(|| "`response.created` came twice".to_owned())
    }
}

impl Attempt {
    /// What was sent, up to the end of the response.
    fn sent(&self) -> &[Value] {
        let end = self.events.iter().position(|event| kind(event) == Kind::End);
        &self.events[..end.map_or(self.events.len(), |end| end + 1)]
    }

    /// Whether the client knows that nothing runs beside another attempt.
    fn has_ended(&self) -> bool {
        self.fate.ended && self.reach() < Reach::Output
    }

    fn reach(&self) -> Reach {
        let mut reach = if self.fate.refuses { Reach::Refused } else { Reach::Silent };
        for event in &self.events {
            match kind(event) {
                Kind::Begin => reach = reach.max(Reach::Created),
                Kind::Output => reach = Reach::Output,
                Kind::End => return Reach::Ended,
                Kind::Failure if reach < Reach::Output && self.fate.refuses => {
                    return Reach::Refused;
                }
                Kind::Failure => return reach,
                Kind::Other => {}
            }
        }
        reach
    }
}

/// What may come at any time, and belongs to no response.
fn is_about_the_connection(event: &Value) -> bool {
    event["type"] == "keepalive"
}

fn kind(event: &Value) -> Kind {
    match event["type"].as_str() {
        Some("response.created" | "response.queued" | "response.in_progress") => Kind::Begin,
        Some("response.completed" | "response.incomplete") => Kind::End,
        Some("error" | "response.error" | "response.failed") => Kind::Failure,
        Some(name) if name.starts_with("response.") => Kind::Output,
        Some(_) => Kind::Other,
        None => Kind::Failure,
    }
}

/// The output of a response with these events.
fn settled(events: &[Value]) -> Vec<Value> {
    let output = events.last().and_then(|end| end["response"]["output"].as_array());
    if let Some(output) = output.filter(|output| !output.is_empty()) {
        return output.clone();
    }
    let done = events.iter().filter(|event| event["type"] == "response.output_item.done");
    let mut done: Vec<_> = done.collect();
    done.sort_by_key(|event| event["output_index"].as_u64());
    done.into_iter().map(|event| event["item"].clone()).collect()
}

/// The digest of items, without what servers change between two mentions of one.
fn digest(mut items: Vec<Value>) -> String {
    for item in items.iter_mut().filter_map(Value::as_object_mut) {
        item.remove("id");
        item.remove("status");
    }
    history_digest(&items)
}

/// What must be the same in two requests of which one continues the other.
fn context(body: &Value) -> Value {
    json!([body["model"], body["instructions"], body["tools"], body["store"]])
}

/// Who asked.
fn account<'a>(log: &'a ServerLog, request: &'a RequestLog) -> Option<&'a str> {
    let of_socket = || log.connections.get(request.connection)?.header("authorization");
    let token = request.header("authorization").or_else(of_socket)?;
    token.split('-').next()
}

/// The server numbers its responses as it logs the requests.
fn place(response_id: &str) -> Option<usize> {
    let number = response_id.strip_prefix("resp_")?.split('_').next()?;
    usize::from_str_radix(number, 16).ok()
}
