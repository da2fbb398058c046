//! A server that does, request by request, what chance says.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use fastrand::Rng;
use responses_client::{
    Transport,
    testing::{ErrorShape, Exchange, NoOutput, Refusal, Script, Step, Turn, Upgrade, items},
};
use serde_json::{Value, json};

use super::oracle::{Fate, Oracle};

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
///
/// `late` has events of a response come into the next one: a client knows them only if there was no
/// warm-up between the two.
pub(crate) fn script(seed: u64, late: bool, oracle: &Watched) -> Script {
    let mut rng = Rng::with_seed(seed);
    let mut script = Script::new();
    for _ in 0..rng.usize(0..400) {
        script = script.upgrade(upgrade(&mut rng));
    }
    if rng.u8(..4) == 0 {
        script = script.ignore_generate();
    }
    if rng.u8(..4) == 0 {
        script = script.max_age(Duration::from_secs(rng.u64(300..1200)));
    }
    let state = Mutex::new(State { rng, late, ended: HashMap::new() });
    let oracle = Arc::clone(oracle);
    script.respond(move |exchange| {
        state.lock().unwrap_or_else(PoisonError::into_inner).answer(exchange, &oracle)
    })
}

struct State {
    rng: Rng,
    late: bool,
    /// The response before on each WebSocket, if it ended well.
    ended: HashMap<usize, String>,
}

fn upgrade(rng: &mut Rng) -> Upgrade {
    let refuse = |status| Upgrade::Refuse(Refusal::error(status, "refused", "No"));
    match rng.u8(..120) {
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
        16 => Upgrade::Header {
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
            // It knows nothing of that.
            return Turn::text(format!("warm {}", exchange.index));
        }
        lock(oracle).request(number, exchange);
        let (turn, fate) = self.turn(number, exchange);
        lock(oracle).fate(number, exchange, fate);
        let watching = Arc::clone(oracle);
        let turn = turn.map_events(move |_, event| {
            lock(&watching).sends(number, &event);
            event
        });
        let before = self.ended.remove(&exchange.connection).filter(|_| self.late);
        if fate.ends_well {
            self.ended.insert(exchange.connection, exchange.response_id.clone());
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
        let late = |id: &str| {
            let event = json!({ "type": "response.completed",
                "response": { "id": id, "status": "completed", "output": [] } });
            let text = event.to_string();
            Step::Raw(match exchange.transport {
                Transport::WebSocket => text.into(),
                Transport::Sse => format!("data: {text}\n\n").into(),
            })
        };
        let turn = match before {
            Some(before) if websocket && self.rng.u8(..6) == 0 => turn.first(late(&before)),
            _ => turn,
        };
        match fate.name {
            "late terminal" => turn.then(late(&exchange.response_id)),
            "foreign terminal" => turn.then(late("resp_foreign")),
            "garbage after it" => turn.then(Step::Raw("<html>".into())),
            _ => turn,
        }
    }

    fn items(&mut self, number: u64, exchange: &Exchange) -> Vec<Value> {
        let place = exchange.index;
        (0..self.rng.usize(1..4))
            .map(|nth| match self.rng.u8(..4) {
                0 => items::reasoning("thinking", &format!("enc {number} {place} {nth}")),
                1 => items::function_call(
                    &format!("call_{place}_{nth}"),
                    "run",
                    &format!(r#"{{"turn":{number}}}"#),
                ),
                _ => items::message(&format!("answer {number} {place} {nth}")),
            })
            .collect()
    }

    fn turn(&mut self, number: u64, exchange: &Exchange) -> (Turn, Fate) {
        let items = self.items(number, exchange);
        let turn = Turn::output(items.clone());
        match self.rng.u8(..10) {
            0..5 => self.shaped(turn),
            5 | 6 => self.broken(turn, exchange),
            7 | 8 => self.failing(turn, items, exchange),
            _ => self.disturbed(turn, items, exchange),
        }
    }

    /// Answers as they should be, in every shape.
    fn shaped(&mut self, turn: Turn) -> (Turn, Fate) {
        // Out of order and all at one place, nobody could tell where they belong.
        let (mixed, shape) = (self.rng.bool(), self.rng.u8(..10));
        let turn = if mixed && shape != 2 { turn.interleaved() } else { turn };
        let turn = match self.rng.u8(..8) {
            0 => turn.without_setup(),
            1 => turn.without_sequence_numbers(),
            2 => turn.keepalives(self.rng.usize(1..5)),
            3 => turn.dripped(Duration::from_millis(self.rng.u64(..100))),
            4 => turn.insert(self.rng.usize(..6), Step::Delay(Duration::from_secs(15))),
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
            _ => ("none", turn),
        };
        let renames = name == "changing response id";
        (turn, Fate { name, renames, ends_well: !renames, ..Fate::default() })
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
                    fate.refuses = matches!(code, Some(1001 | 1009 | 1012 | 1013));
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
    fn failing(&mut self, turn: Turn, items: Vec<Value>, exchange: &Exchange) -> (Turn, Fate) {
        let (status, code) = ERRORS[self.rng.usize(..ERRORS.len())];
        let shape = ErrorShape::ALL[self.rng.usize(..ErrorShape::ALL.len())];
        let wait = Duration::from_secs(self.rng.u64(1..80));
        let fate = |name| Fate {
            name,
            refuses: code != "server_error",
            ended: code == "server_error",
            ..Fate::default()
        };
        match self.rng.u8(..8) {
            0 | 1 => {
                let (refuses, ended) = match shape {
                    ErrorShape::ErrorText
                    | ErrorShape::DetailText
                    | ErrorShape::MessageText
                    | ErrorShape::FailedNull
                    | ErrorShape::FailedNullCode => (false, false),
                    // A status, and no code.
                    ErrorShape::Detail => (status < 500, status >= 500),
                    _ => (code != "server_error", code == "server_error"),
                };
                let fate = Fate { refuses, ended, ..fate("error") };
                (Turn::error_shape(shape, status, code, "chance"), fate)
            }
            2 | 3 => {
                let fate = Fate { retry_after: Some(wait), ..fate("retry-after") };
                (Turn::error(status, code, "chance").retry_after(wait), fate)
            }
            4 => {
                let error = json!({ "type": "error", "status": status,
                    "error": { "code": code, "message": "chance" } });
                let turn = turn.cut_after(self.rng.usize(1..8), Step::Event(error));
                (turn, fate("error in it"))
            }
            5 => {
                let kept = self.rng.usize(..items.len());
                let items = items.into_iter().take(kept);
                (Turn::failed(items, code, "chance"), fate("failed"))
            }
            6 if exchange.body.get("previous_response_id").is_some() => {
                let code = "previous_response_not_found";
                let fate = Fate { free: true, refuses: true, ended: false, ..fate("lost parent") };
                (Turn::error(400, code, "Previous response not found."), fate)
            }
            _ if exchange.transport == Transport::WebSocket => {
                let code = "websocket_connection_limit_reached";
                let fate = Fate { refuses: true, ended: false, ..fate("connection limit") };
                let fate = Fate { free: true, poisons: true, ..fate };
                (Turn::error(400, code, "chance"), fate)
            }
            _ => {
                let page = Refusal::status(502).body("<html>");
                let fate = Fate { refuses: false, ended: true, ..fate("error page") };
                (Turn::steps([]).http(page), fate)
            }
        }
    }

    /// Something comes that should not.
    fn disturbed(&mut self, turn: Turn, items: Vec<Value>, exchange: &Exchange) -> (Turn, Fate) {
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
        Transport::Sse => "data: {\"type\":\n\n",
    }
}
