//! A server that does, request by request, what chance says.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use fastrand::Rng;
use responses_client::{
    Transport,
    testing::{
        ErrorShape, Exchange, NoOutput, Refusal, Reuse, Script, Step, Turn, Upgrade, Withheld,
        items, surrogate_half,
    },
};
use serde_json::{Value, json};

use super::{attempt::Fate, oracle::Oracle, values::Word};

pub(crate) type Watched = Arc<Mutex<Oracle>>;

pub(crate) fn lock(oracle: &Watched) -> MutexGuard<'_, Oracle> {
    oracle.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Close codes that a server can send.
pub(crate) const CODES: [u16; 13] =
    [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 4000];

/// What the API says when it fails.
const ERRORS: [(u16, &str); 7] = [
    (429, "rate_limit_exceeded"),
    (503, "server_is_overloaded"),
    (500, "server_error"),
    (502, "bad_gateway"),
    (400, "invalid_prompt"),
    (429, "insufficient_quota"),
    (403, "unsupported_country_region_territory"),
];

/// By then the client has what was sent before.
const SOON: Step = Step::Delay(Duration::from_millis(10));

/// Which things go wrong.
pub(crate) fn script(seed: u64, oracle: &Watched) -> Script {
    let mut rng = Rng::with_seed(seed);
    // A warm-up is answered below like any other request, so that all that ends is known there.
    let mut script = Script::new().ignore_generate();
    for _ in 0..rng.usize(0..400) {
        script = script.upgrade(upgrade(&mut rng));
    }
    for _ in 0..rng.usize(0..400) {
        script = script.reuse(match rng.u8(..24) {
            0 => Reuse::Reset,
            1 => Reuse::End,
            _ => Reuse::Serve,
        });
    }
    if rng.u8(..4) == 0 {
        script = script.max_age(Duration::from_secs(rng.u64(300..1200)));
    }
    let (announces, generates) = (rng.bool(), rng.u8(..4) == 0);
    let state = Mutex::new(State { rng, announces, generates, ended: HashMap::new() });
    let oracle = Arc::clone(oracle);
    script.respond(move |exchange| {
        state.lock().unwrap_or_else(PoisonError::into_inner).answer(exchange, &oracle)
    })
}

struct State {
    rng: Rng,
    /// Every response begins with `response.created`. Where one does not, a client cannot tell late
    /// events without an id from those of the response that has just begun.
    announces: bool,
    /// It does not know `generate: false`, and answers in words.
    generates: bool,
    /// The response before on each WebSocket, if it ended well.
    ended: HashMap<usize, String>,
}

fn upgrade(rng: &mut Rng) -> Upgrade {
    let refuse = |status| Upgrade::Refuse(Refusal::error(status, "refused", "No"));
    match rng.u8(..130) {
        0 => Upgrade::Hang,
        1 => Upgrade::Reset,
        2 => Upgrade::WrongAccept,
        3 => refuse(426),
        4 => refuse(403),
        5 | 6 => Upgrade::Refuse(Refusal::error(429, "slow_down", "No").header("retry-after", "3")),
        7 | 8 => refuse(503),
        9 => refuse(500),
        10 => Upgrade::Refuse(Refusal::silence()),
        11 | 12 => Upgrade::Delay(Duration::from_secs(rng.u64(1..12))),
        13..16 => Upgrade::CloseAfter { code: CODES[rng.usize(..CODES.len())] },
        16 => Upgrade::CloseOnCreate { code: CODES[rng.usize(..CODES.len())] },
        17 => {
            let page = Refusal::status(200).header("content-type", "text/html").body("<html>");
            Upgrade::Refuse(page.endless_body())
        }
        18 => Upgrade::Header {
            name: "sec-websocket-extensions".to_owned(),
            value: "permessage-deflate".to_owned(),
        },
        _ => Upgrade::Accept,
    }
}

impl State {
    fn answer(&mut self, exchange: &Exchange, oracle: &Watched) -> Turn {
        let number = exchange.body["metadata"]["turn"].as_str().and_then(|it| it.parse().ok());
        let number: u64 = number.unwrap_or_default();
        if exchange.body["generate"] == false {
            self.ended.insert(exchange.connection, exchange.response_id.clone());
            return match self.generates {
                true => Turn::text(format!("warm {}", exchange.index)),
                false => Turn::output([]),
            };
        }
        lock(oracle).request(number, exchange);
        let (turn, fate) = self.turn(number, exchange, oracle);
        lock(oracle).fate(number, exchange, fate);
        let watching = Arc::clone(oracle);
        let turn = turn.map_events(move |_, event| {
            lock(&watching).sends(number, &event);
            event
        });
        let before = self.ended.remove(&exchange.connection);
        if fate.ends_well {
            let again = if fate.name == CREATED_TWICE { "_again" } else { "" };
            let id = format!("{}{again}", exchange.response_id);
            self.ended.insert(exchange.connection, id);
        }
        self.strays(turn, fate, before, exchange)
    }

    /// What comes that is not of the response.
    fn strays(
        &mut self,
        turn: Turn,
        fate: Fate,
        before: Option<String>,
        exchange: &Exchange,
    ) -> Turn {
        let websocket = exchange.transport == Transport::WebSocket;
        let turn = match before {
            Some(before) if websocket && self.rng.u8(..4) == 0 => {
                let named = Step::Stray(completed(&before));
                // Only what is announced tells the late ones from its own.
                let announced = self.announces && fate.begins;
                match self.rng.u8(..4) {
                    0 if announced => turn.insert(1, named),
                    1 | 2 if announced => self.nameless().into_iter().rev().fold(turn, Turn::first),
                    _ => turn.first(named),
                }
            }
            _ => turn,
        };
        match fate.name {
            "late terminal" => turn.then(Step::Stray(completed(&exchange.response_id))),
            "foreign terminal" => turn.then(Step::Stray(completed("resp_foreign"))),
            "garbage after it" => turn.then(Step::Raw("<html>".into())),
            _ => turn,
        }
    }

    /// The last events of an older response, which do not say whose they are.
    fn nameless(&mut self) -> Vec<Step> {
        let item = items::message("old");
        let all = [
            json!({ "type": "response.output_text.delta", "output_index": 0, "content_index": 0,
                "delta": "old" }),
            json!({ "type": "response.output_item.done", "output_index": 0, "item": item }),
            match self.rng.bool() {
                true => json!({ "type": "response.completed",
                    "response": { "status": "completed", "output": [item] } }),
                false => json!({ "type": "response.failed",
                    "response": { "status": "failed", "error": { "code": "server_error" } } }),
            },
        ];
        let (from, to) = (self.rng.usize(..3), self.rng.usize(1..4));
        all.into_iter().take(to.max(from + 1)).skip(from).map(Step::Stray).collect()
    }

    fn items(&mut self, number: u64, exchange: &Exchange) -> Vec<Value> {
        let place = exchange.index;
        (0..self.rng.usize(1..4))
            .map(|nth| {
                let (name, call_id) =
                    (format!("{number} {place} {nth}"), format!("call_{place}_{nth}"));
                match self.rng.u8(..9) {
                    0 | 1 => items::reasoning(&format!("thinking {name}"), &format!("enc {name}")),
                    2 | 3 => {
                        items::function_call(&call_id, "run", &format!(r#"{{"turn":"{name}"}}"#))
                    }
                    4 => items::custom_tool_call(&call_id, "write", &format!("input {name}")),
                    5 => items::refusal(&format!("no {name}")),
                    6 => items::message(&format!("answer \u{1f642}\u{1f643} {name}")),
                    7 => items::message(&format!("cut {name} {}", surrogate_half(0xd83d))),
                    _ => items::message(&format!("answer {name}")),
                }
            })
            .collect()
    }

    fn turn(&mut self, number: u64, exchange: &Exchange, oracle: &Watched) -> (Turn, Fate) {
        let items = self.items(number, exchange);
        let over_sse = exchange.transport == Transport::Sse;
        if exchange.body["background"] == true {
            return self.background(Turn::output(items));
        }
        match self.rng.u8(..12) {
            0..4 => self.shaped(Turn::output(items)),
            4 | 5 => self.habits(number, items, oracle),
            6 if over_sse => self.labelled(Turn::output(items)),
            6..8 => self.broken(Turn::output(items), exchange),
            8..10 => self.failing(items, exchange),
            _ => self.disturbed(items, exchange),
        }
    }

    /// Answers as they should be, in every shape.
    fn shaped(&mut self, turn: Turn) -> (Turn, Fate) {
        // Items that overlap at one place are not told apart by anyone: an event belongs to the item
        // that is open there, because an id may change with each event. Whoever gives all items one
        // place translates another API, which tells them one after the other.
        let (mixed, shape) = (self.rng.bool(), self.rng.u8(..15));
        let turn = if mixed && shape != 2 { turn.interleaved() } else { turn };
        let mut takes = Duration::ZERO;
        let mut begins = true;
        let turn = match self.rng.u8(..8) {
            0 if !self.announces => {
                begins = false;
                turn.without_setup()
            }
            1 => turn.without_sequence_numbers(),
            2 => turn.keepalives(self.rng.usize(1..5)),
            3 => {
                let pause = Duration::from_millis(self.rng.u64(..100));
                // More pauses than any turn has.
                takes = pause * 1000;
                turn.dripped(pause)
            }
            4 => {
                takes = Duration::from_secs(15);
                turn.insert(self.rng.usize(..6), Step::Delay(takes))
            }
            5 => turn.insert(self.rng.usize(..9), self.flood()),
            _ => turn,
        };
        let (name, turn) = match shape {
            0 => ("unknown things", turn.unknown_things()),
            1 => ("changing item ids", turn.changing_item_ids()),
            2 => ("one output index", turn.constant_output_index()),
            3 => ("changing response id", turn.changing_response_id()),
            4 => ("no terminal output", turn.empty_terminal_output(NoOutput::Empty)),
            5 => ("no terminal output", turn.empty_terminal_output(NoOutput::Missing)),
            6 => ("large event", turn.large_event(self.rng.usize(1..40_000))),
            7 if begins => (CREATED_TWICE, turn.created_twice()),
            8 => ("not stored", turn.unstored()),
            9 => ("split surrogates", turn.split_surrogates()),
            _ => ("none", turn),
        };
        // Without an announcement its terminal event alone has an id.
        let renames = name == "changing response id" && begins;
        (turn, Fate { name, renames, begins, takes, ends_well: !renames, ..Fate::default() })
    }

    /// Events that say nothing.
    fn flood(&mut self) -> Step {
        let text = ["", "{}", IDLE][self.rng.usize(..3)];
        Step::Flood { text: text.to_owned(), times: self.rng.usize(1..2000) }
    }

    /// The same answer in other words: some events lack what others have, and identities differ.
    fn habits(&mut self, number: u64, mut items: Vec<Value>, oracle: &Watched) -> (Turn, Fate) {
        let withheld = WITHHELD[self.rng.usize(..WITHHELD.len())];
        let form = FORMS[self.rng.usize(..FORMS.len())];
        // What only the terminal event has needs its output.
        let only_there =
            matches!(withheld, Some(Withheld::EncryptedContent | Withheld::Rest | Withheld::Done));
        let form = form.filter(|_| !only_there);
        if withheld == Some(Withheld::ItemDone) && form.is_some() {
            // Without an end and a terminal event nobody has all of it.
            items.retain(|item| item["type"] != "reasoning");
        }
        let unfinished = matches!(withheld, Some(Withheld::ItemDone | Withheld::Done));
        if items.is_empty() {
            items.push(items::message(&format!("alone {number}")));
        }
        lock(oracle).means(number, items.clone());
        let identity = self.rng.u8(..9);
        let turn = Turn::output(items);
        let turn = if self.rng.bool() && identity != 7 { turn.interleaved() } else { turn };
        let turn = match withheld {
            Some(what) => turn.withholding(what),
            None => turn,
        };
        let turn = match form {
            Some(form) => turn.empty_terminal_output(form),
            None => turn,
        };
        let (name, turn) = match identity {
            0 => ("habit: changing item ids", turn.changing_item_ids()),
            1 => ("habit: split item ids", turn.split_item_ids()),
            // Of a call that is not finished the terminal event says the id that counts.
            2 if !unfinished => ("habit: split call ids", turn.split_call_ids()),
            3 => ("habit: empty item ids", turn.empty_item_ids()),
            4 => ("habit: no item ids", turn.without_item_ids()),
            5 | 6 => ("habit: indices from 1", turn.output_indices_from(1)),
            7 => ("habit: one output index", turn.constant_output_index()),
            _ => ("habit: content", turn),
        };
        (turn, Fate { name, begins: true, ends_well: true, ..Fate::default() })
    }

    /// A body that is not what its head says.
    fn labelled(&mut self, turn: Turn) -> (Turn, Fate) {
        let fate = |name| Fate { name, begins: true, ends_well: true, ..Fate::default() };
        match self.rng.u8(..9) {
            0 => (turn.labelled(None), fate("label: none")),
            1 => (turn.labelled(Some("text/plain")), fate("label: text")),
            2 => (turn.labelled(Some("application/json")), fate("label: json")),
            3 => (turn.labelled(Some("application/octet-stream")), fate("label: bytes")),
            4 => (turn.untyped(), fate("label: untyped")),
            5 | 6 => (turn.unstreamed(), Fate { whole: true, ..fate("whole as json") }),
            7 => {
                let fate = Fate { last_word: true, ends_well: false, ..fate("encoded") };
                (turn.encoded("gzip"), fate)
            }
            _ => {
                let error = Turn::error(429, "rate_limit_exceeded", "chance");
                let fate = Fate { word: Word::Refuses, ends_well: false, ..fate("error as json") };
                (error.unstreamed(), fate)
            }
        }
    }

    /// A response that runs on without its client, which comes back for the rest of it.
    fn background(&mut self, turn: Turn) -> (Turn, Fate) {
        let fate = |name| Fate { name, begins: true, ends_well: true, ..Fate::default() };
        let cut = match self.rng.u8(..3) {
            0 => Step::Reset,
            1 => Step::End,
            _ => return (turn, fate("background")),
        };
        let after = self.rng.usize(1..9);
        // Nothing tells the client that the answer had begun without a wait.
        let turn = turn.insert(after, cut).insert(after, SOON);
        (turn, Fate { cut: true, ..fate("background cut") })
    }

    /// The connection breaks.
    fn broken(&mut self, turn: Turn, exchange: &Exchange) -> (Turn, Fate) {
        let after = self.rng.usize(..9);
        let mut fate = Fate::default();
        let step = match self.rng.u8(..6) {
            0 => {
                fate.name = "reset";
                Step::Reset
            }
            1 => {
                fate.name = "end";
                Step::End
            }
            2 => {
                fate.name = "stall";
                Step::Stall
            }
            3 => {
                fate.name = "freeze";
                Step::Freeze
            }
            _ => {
                let code = self.rng.choice(CODES).filter(|_| self.rng.u8(..10) > 0);
                fate.name = if code == Some(1009) { "close 1009" } else { "close" };
                if exchange.transport == Transport::WebSocket {
                    if matches!(code, Some(1001 | 1009 | 1012 | 1013)) {
                        fate.word = Word::Refuses;
                    }
                    fate.free = code == Some(1009);
                }
                Step::Close { code, reason: "chance".to_owned() }
            }
        };
        if self.rng.bool() {
            let bytes = self.rng.usize(..40);
            return (turn.cut_inside(after, bytes, SOON).then(step), fate);
        }
        // Without a wait nothing tells the client that the answer had begun over SSE.
        match after {
            0 if self.rng.bool() => {
                let cut = matches!(step, Step::Reset | Step::End);
                fate.unanswered = cut && exchange.transport == Transport::Sse;
                (turn.cut_after(0, step), fate)
            }
            _ => (turn.cut_after(after, SOON).then(step), fate),
        }
    }

    /// The server says that it failed.
    fn failing(&mut self, items: Vec<Value>, exchange: &Exchange) -> (Turn, Fate) {
        let (status, code) = ERRORS[self.rng.usize(..ERRORS.len())];
        let shape = ErrorShape::ALL[self.rng.usize(..ErrorShape::ALL.len())];
        let wait = Duration::from_secs(self.rng.u64(1..80));
        let word = match code {
            "server_error" => Word::Ended,
            _ => Word::Refuses,
        };
        let fate = |name| Fate { name, word, ..Fate::default() };
        match self.rng.u8(..9) {
            0 | 1 => {
                let word = match shape {
                    ErrorShape::ErrorText
                    | ErrorShape::DetailText
                    | ErrorShape::MessageText
                    | ErrorShape::FailedNull
                    | ErrorShape::FailedNullCode => Word::Nothing,
                    // A status, and no code.
                    ErrorShape::Detail if status < 500 => Word::Refuses,
                    ErrorShape::Detail => Word::Ended,
                    _ => word,
                };
                (Turn::error_shape(shape, status, code, "chance"), Fate { word, ..fate("error") })
            }
            2 | 3 => {
                let fate = Fate { retry_after: Some(wait), ..fate("retry-after") };
                (Turn::error(status, code, "chance").retry_after(wait), fate)
            }
            4 => {
                let error = json!({ "type": "error", "status": status,
                    "error": { "code": code, "message": "chance" } });
                let turn = Turn::output(items);
                let turn = turn.cut_after(self.rng.usize(1..8), Step::Event(error));
                (turn, fate("error in it"))
            }
            5 => {
                let kept = self.rng.usize(..items.len());
                let items = items.into_iter().take(kept);
                (Turn::failed(items, code, "chance"), fate("failed"))
            }
            6 if exchange.body.get("previous_response_id").is_some() => {
                let (code, message) =
                    ("previous_response_not_found", "Previous response not found.");
                let turn = match self.rng.bool() {
                    true => Turn::error(400, code, message),
                    // The echo crosses the request that is sent in full.
                    false => Turn::error_shape(ErrorShape::ThenFailed, 400, code, message),
                };
                (turn, Fate { free: true, word: Word::Refuses, ..fate("lost parent") })
            }
            7 => {
                let error = Turn::error(401, "invalid_api_key", "chance");
                (error, Fate { free: true, word: Word::Refuses, ..fate("unauthorized") })
            }
            _ if exchange.transport == Transport::WebSocket => {
                let code = "websocket_connection_limit_reached";
                let fate = Fate { free: true, poisons: true, ..fate("connection limit") };
                (Turn::error(400, code, "chance"), Fate { word: Word::Refuses, ..fate })
            }
            _ => {
                let status = [200, 502][self.rng.usize(..2)];
                let page = Refusal::status(status).header("content-type", "text/html");
                let fate = Fate { last_word: status == 200, ..fate("error page") };
                let turn = Turn::steps([]).http(page.body("<html><title>No</title>"));
                (turn, Fate { word: Word::Ended, ..fate })
            }
        }
    }

    /// Something comes that should not.
    fn disturbed(&mut self, items: Vec<Value>, exchange: &Exchange) -> (Turn, Fate) {
        let turn = Turn::output(items.clone());
        let websocket = exchange.transport == Transport::WebSocket;
        let (name, turn) = match self.rng.u8(..6) {
            0 => ("incomplete", Turn::incomplete(items, "max_output_tokens")),
            1 => ("late terminal", turn),
            2 => ("foreign terminal", turn),
            3 => ("garbage after it", turn),
            4 if websocket => {
                let after = self.rng.usize(..8);
                ("binary", turn.cut_after(after, Step::Binary(vec![0].into())))
            }
            _ => {
                let after = self.rng.usize(..8);
                ("garbage", turn.cut_after(after, Step::Raw(garbage(exchange).into())))
            }
        };
        let poisons = websocket
            && matches!(name, "foreign terminal" | "garbage after it" | "garbage" | "binary");
        let ends_well = matches!(name, "incomplete" | "late terminal");
        (turn, Fate { name, poisons, ends_well, ..Fate::default() })
    }
}

fn garbage(exchange: &Exchange) -> &'static str {
    match exchange.transport {
        Transport::WebSocket => "{\"type\":",
        _ => "data: {\"type\":\n\n",
    }
}

pub(crate) fn completed(id: &str) -> Value {
    json!({ "type": "response.completed",
        "response": { "id": id, "status": "completed", "output": [] } })
}

/// A response that begins anew under another id.
pub(crate) const CREATED_TWICE: &str = "created twice";

/// Comes at any time, and belongs to no turn.
pub(crate) const IDLE: &str = r#"{"type":"keepalive","idle":true}"#;

const WITHHELD: [Option<Withheld>; 8] = [
    None,
    Some(Withheld::EncryptedContent),
    Some(Withheld::Content),
    Some(Withheld::Rest),
    Some(Withheld::Name),
    Some(Withheld::Deltas),
    Some(Withheld::ItemDone),
    Some(Withheld::Done),
];

const FORMS: [Option<NoOutput>; 8] = [
    None,
    None,
    None,
    None,
    Some(NoOutput::Null),
    Some(NoOutput::Empty),
    Some(NoOutput::Missing),
    Some(NoOutput::Partial),
];
