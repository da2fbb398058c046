//! A server with lanes that does, request by request, what chance says.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use fastrand::Rng;
use responses_client::{
    Transport,
    testing::{Exchange, Interrupting, Script, Step, Turn, items},
};
use serde_json::{Value, json};

use super::{
    attempt::{Ending, Fate, Steered},
    server::{Watched, completed, lock},
    steers::follows,
    values::{Word, is_call},
};

/// What the server does besides answering.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// It fails, loses parents and ends connections.
    pub(crate) fails: bool,
    /// It sends large events.
    pub(crate) is_large: bool,
}

pub(crate) fn script(rng: Rng, oracle: &Watched, faults: Faults) -> Script {
    let state = Mutex::new(State { rng, faults, before: HashMap::new(), has_calls: false });
    let oracle = Arc::clone(oracle);
    Script::new().ignore_generate().respond(move |exchange| {
        state.lock().unwrap_or_else(PoisonError::into_inner).answer(exchange, &oracle)
    })
}

struct State {
    rng: Rng,
    faults: Faults,
    /// The last response of each lane of a connection, if it ended well.
    before: HashMap<(usize, Option<String>), String>,
    /// The last response has calls, whose results the client must send.
    has_calls: bool,
}

/// What the server may wait for.
#[derive(Clone, Copy, Default)]
struct Awaits {
    steers: usize,
    interrupt: bool,
}

impl Awaits {
    fn of(exchange: &Exchange) -> Self {
        let promised = &exchange.body["metadata"];
        let steers = promised["steers"].as_str().and_then(|it| it.parse().ok());
        Self { steers: steers.unwrap_or_default(), interrupt: promised["interrupt"] == "yes" }
    }
}

impl State {
    fn answer(&mut self, exchange: &Exchange, oracle: &Watched) -> Turn {
        let lane = (exchange.connection, exchange.lane.clone());
        let before = self.before.remove(&lane);
        if exchange.body["generate"] == false {
            return Turn::output([]);
        }
        let number = exchange.body["metadata"]["turn"].as_str().and_then(|it| it.parse().ok());
        let number: u64 = number.unwrap_or_default();
        let follows = follows(exchange);
        if lock(oracle).is_late(number, exchange.connection) {
            // It crossed the word that the connection ends, and was sent again elsewhere.
            return Turn::steps([Step::Stall]);
        }
        lock(oracle).request(number, exchange);
        // A client keeps its promise once.
        let is_first = lock(oracle).attempts(number) == 1 && !follows;
        let awaits = match is_first && exchange.transport == Transport::WebSocket {
            true => Awaits::of(exchange),
            false => Awaits::default(),
        };
        let (turn, mut fate, ending) = match self.rng.u8(..6) {
            0 if self.faults.fails => self.failing(number, exchange, awaits),
            _ => self.shaped(number, exchange, awaits),
        };
        fate.steering = self.steering();
        fate.interrupting = self.interrupting();
        let turn = turn.steering(fate.steering.steering()).interrupting(fate.interrupting);
        let turn = match self.rng.u8(..8) {
            0 if follows && fate.ends_well && self.faults.fails => {
                let wait = [8, 15][self.rng.usize(..2)];
                fate.is_slow = wait > 10;
                turn.first(Step::Delay(Duration::from_secs(wait)))
            }
            _ => turn,
        };
        {
            let mut oracle = lock(oracle);
            oracle.fate(number, exchange, fate);
            if let Some(ending) = ending {
                oracle.ends(exchange.connection, ending);
            }
        }
        let watching = Arc::clone(oracle);
        let turn = turn.map_events(move |_, event| {
            lock(&watching).sends(number, &event);
            event
        });
        if fate.ends_well {
            self.before.insert(lane, exchange.response_id.clone());
        }
        self.strays(turn, before, exchange)
    }

    /// Events that belong to no response of the lane.
    fn strays(&mut self, turn: Turn, before: Option<String>, exchange: &Exchange) -> Turn {
        if exchange.transport != Transport::WebSocket {
            return turn;
        }
        let named = exchange.lane.is_some();
        let mut foreign = completed("resp_foreign");
        foreign["stream_id"] = "lane-of-another-client".into();
        match (self.rng.u8(..8), before) {
            (0, Some(before)) => turn.insert(1, Step::Stray(completed(&before))),
            (1, _) if named => turn.insert(self.rng.usize(..6), Step::Stray(foreign)),
            _ => turn,
        }
    }

    fn steering(&mut self) -> Steered {
        let code = CODES[self.rng.usize(..CODES.len())];
        match self.rng.u8(..12) {
            0 => Steered::Refuses(code),
            1 => Steered::FailsLater(code),
            2 => Steered::SuccessorFirst,
            // A client gives up such a steer, and its lane with it.
            3 if self.faults.fails && !self.has_calls => Steered::SuccessorLast,
            4 if self.faults.fails => Steered::PendingLate,
            5 if self.faults.fails => Steered::Ignores,
            _ => Steered::Accepts,
        }
    }

    fn interrupting(&mut self) -> Interrupting {
        match self.rng.u8(..6) {
            0 | 1 => Interrupting::AfterItem,
            2 => Interrupting::Refuse,
            3 => Interrupting::Ignore,
            _ => Interrupting::Accept,
        }
    }

    fn items(&mut self, number: u64, exchange: &Exchange) -> Vec<Value> {
        let place = exchange.index;
        let of_item = |rng: &mut Rng, nth: usize| {
            let name = format!("{number} {place} {nth}");
            match rng.u8(..4) {
                0 => items::reasoning(&format!("thinking {name}"), &format!("enc {name}")),
                1 => {
                    let arguments = format!(r#"{{"turn":"{name}"}}"#);
                    items::function_call(&format!("call_{place}_{nth}"), "run", &arguments)
                }
                _ => items::message(&format!("answer {name}")),
            }
        };
        let count = self.rng.usize(1..4);
        let items: Vec<_> = (0..count).map(|nth| of_item(&mut self.rng, nth)).collect();
        self.has_calls = items.iter().any(is_call);
        items
    }

    /// Answers as they should be. Pauses let those of other lanes come between.
    fn shaped(
        &mut self,
        number: u64,
        exchange: &Exchange,
        awaits: Awaits,
    ) -> (Turn, Fate, Option<Ending>) {
        let mut items = self.items(number, exchange);
        if awaits.steers > 0 && self.rng.bool() {
            // A steer at its end waits for the result of the call.
            let call = format!("call_{}_last", exchange.index);
            items.push(items::function_call(&call, "run", "{}"));
            self.has_calls = true;
        }
        let is_short = self.rng.u8(..8) == 0;
        let events = events(&items);
        let turn = match is_short {
            true => Turn::incomplete(items, "max_output_tokens"),
            false => Turn::output(items),
        };
        let turn = self.waiting(turn, events, awaits);
        let turn = if self.rng.bool() { turn.interleaved() } else { turn };
        let turn = match self.rng.u8(..5) {
            0 => turn.without_sequence_numbers(),
            1 => turn.keepalives(self.rng.usize(1..5)),
            2 if self.faults.is_large => turn.large_event(self.rng.usize(1..40_000)),
            _ => turn,
        };
        let turn = self.paused(turn);
        let name = if is_short { "incomplete" } else { "none" };
        (turn, Fate { name, begins: true, ends_well: true, ..Fate::default() }, None)
    }

    /// Waits for what the client has promised to say, at some of the places before the end.
    fn waiting(&mut self, mut turn: Turn, events: usize, awaits: Awaits) -> Turn {
        let steers = std::iter::repeat_n(Step::AwaitSteer, awaits.steers);
        let interrupt = std::iter::repeat_n(Step::AwaitInterrupt, usize::from(awaits.interrupt));
        for step in steers.chain(interrupt) {
            // The client can say nothing before the first event.
            match self.rng.u8(..4) {
                0 => {}
                1 => turn = turn.insert(events, step),
                _ => turn = turn.insert(self.rng.usize(1..=events), step),
            }
        }
        turn
    }

    fn paused(&mut self, mut turn: Turn) -> Turn {
        for _ in 0..self.rng.usize(..4) {
            let pause = Duration::from_millis(self.rng.u64(1..400));
            turn = turn.insert(self.rng.usize(..12), Step::Delay(pause));
        }
        turn
    }

    fn failing(
        &mut self,
        number: u64,
        exchange: &Exchange,
        awaits: Awaits,
    ) -> (Turn, Fate, Option<Ending>) {
        let fate = |name, word| Fate { name, word, ..Fate::default() };
        let continues = exchange.body.get("previous_response_id").is_some() && !follows(exchange);
        match self.rng.u8(..10) {
            0 | 1 => {
                let turn = Turn::error(429, "rate_limit_exceeded", "chance");
                (turn, fate("error 429", Word::Refuses), None)
            }
            2 => {
                let turn = Turn::error(400, "invalid_prompt", "chance");
                (turn, fate("error 400", Word::Refuses), None)
            }
            3 => {
                let items = self.items(number, exchange);
                let events = events(&items);
                let turn = Turn::failed(items, "server_error", "chance");
                let turn = self.waiting(turn, events, awaits);
                (self.paused(turn), fate("failed", Word::Ended), None)
            }
            4 if continues => {
                let (code, message) =
                    ("previous_response_not_found", "Previous response not found.");
                let fate = Fate { free: true, ..fate("lost parent", Word::Refuses) };
                (Turn::error(400, code, message), fate, None)
            }
            5 if self.rng.u8(..4) == 0 => {
                let turn = Turn::output(self.items(number, exchange));
                let turn = turn.cut_after(self.rng.usize(..8), Step::Stall);
                (turn, fate("stall", Word::Nothing), None)
            }
            6 | 7 => self.limit(exchange),
            _ => self.cut(number, exchange, awaits),
        }
    }

    /// The connection has reached its age: an error that names no lane ends all responses.
    fn limit(&mut self, exchange: &Exchange) -> (Turn, Fate, Option<Ending>) {
        let error = json!({ "code": "websocket_connection_limit_reached", "message": "chance" });
        let mut error = json!({ "type": "error", "status": 400, "error": error });
        if exchange.lane.is_some() {
            error["stream_id"] = Value::Null;
        }
        // Nothing follows on any lane, so that only the error tells the client.
        let turn = Turn::steps([Step::Stray(error), Step::Stall]);
        let fate =
            Fate { name: "connection limit", word: Word::Refuses, told: true, ..Fate::default() };
        (turn, fate, Some(Ending::Refusal))
    }

    /// The connection is cut, and the responses of all lanes with it.
    fn cut(
        &mut self,
        number: u64,
        exchange: &Exchange,
        awaits: Awaits,
    ) -> (Turn, Fate, Option<Ending>) {
        let (name, step) = match self.rng.u8(..3) {
            0 => ("reset", Step::Reset),
            1 => ("end", Step::End),
            _ => ("close 1011", Step::Close { code: Some(1011), reason: "chance".to_owned() }),
        };
        let items = self.items(number, exchange);
        let events = events(&items);
        let turn = self.waiting(Turn::output(items), events, awaits);
        let turn = self.paused(turn).cut_after(self.rng.usize(..9), step);
        (turn, Fate { name, ..Fate::default() }, Some(Ending::Cut))
    }
}

/// Returns the number of events before the end of a response with these items.
fn events(items: &[Value]) -> usize {
    let deltas = |text: &Value| text.as_str().map_or(0, |text| text.chars().count().div_ceil(4));
    let of_item = |item: &Value| match item["type"].as_str() {
        Some("function_call") => 3 + deltas(&item["arguments"]),
        Some("reasoning") => 5 + deltas(&item["summary"][0]["text"]),
        _ => 5 + deltas(&item["content"][0]["text"]),
    };
    2 + items.iter().map(of_item).sum::<usize>()
}

/// What the API says of a steer that fails.
const CODES: [&str; 7] = [
    "response_not_found",
    "invalid_input",
    "steering_not_supported",
    "too_many_pending_steers",
    "response_already_completed",
    "response_not_active",
    "successor_creation_failed",
];
