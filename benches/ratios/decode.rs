//! Typed events against `serde_json::Value` of the same payloads.
//!
//! Ours is all that a session does with a payload: the check of its UTF-8, the look at its type,
//! the event, and the response that grows by it. Theirs is the tree alone.

use bytes::Bytes;
use responses_client::internal::Turn;
use serde_json::{Value, json};

use crate::{
    Effort,
    measure::{Candidate, Comparison, Goal, alternate, time},
};

/// Text deltas alone.
pub(crate) fn text_deltas(effort: Effort) -> Comparison {
    let mut corpus = Corpus::default();
    corpus.text_deltas(500);
    compare(effort, &corpus.events)
}

/// A turn of reasoning, a function call and a message: 2,276 events, 16 of which are large or few.
pub(crate) fn mixed_turn(effort: Effort) -> Comparison {
    compare(effort, &Corpus::turn().events)
}

fn compare(effort: Effort, events: &[Bytes]) -> Comparison {
    let ours = || {
        time(|| {
            let mut turn = Turn::new();
            for event in events {
                let event = turn.push(event.clone()).expect("a good event");
                std::hint::black_box(event.expect("an event to hand out"));
            }
            turn
        })
    };
    let theirs = || {
        time(|| {
            for event in events {
                let value: Value = serde_json::from_slice(event).expect("JSON");
                std::hint::black_box(value);
            }
        })
    };
    let shortest = alternate(effort.rounds, ours, theirs);
    Comparison {
        ours: Candidate { label: "an event typed", value: shortest.ours(events.len()) },
        theirs: Candidate { label: "as a Value", value: shortest.theirs(events.len()) },
        ratio: shortest.theirs_to_ours(),
        unit: "ns",
        goal: Goal::AtLeast(1.0),
    }
}

const TEXT_DELTAS: usize = 2_000;
const SUMMARY_DELTAS: usize = 100;
const ARGUMENT_DELTAS: usize = 160;

const MESSAGE: &str = "msg_68af4030592c81938ec0a5fbab4a3e9f05438e46b5f69a3b";
const REASONING: &str = "rs_68af4030baa48193b0b43b4c2a176a1a05438e46b5f69a3b";
const CALL: &str = "fc_68af4030f1848193a2e1f3f0c8a4e7d105438e46b5f69a3b";

/// Events in the shapes of the API, written as it writes them: without blanks, the type first.
#[derive(Default)]
struct Corpus {
    events: Vec<Bytes>,
    text: String,
}

impl Corpus {
    fn turn() -> Self {
        let mut corpus = Self::default();
        let head = json!({
            "id": "resp_68af40302a5c8193a0fb5a3b8e46b5f69a3b05438e46b5f6",
            "object": "response",
            "instructions": "Be brief. ".repeat(1_000),
            "tools": vec![tool(); 20],
        });
        let response = |status: &str, output: &[Value]| {
            let mut response = head.clone();
            merge(&mut response, json!({ "status": status, "output": output }));
            json!({ "response": response })
        };
        corpus.push("response.created", response("in_progress", &[]));
        corpus.push("response.in_progress", response("in_progress", &[]));
        let output = [corpus.reasoning(), corpus.call(), corpus.message()];
        corpus.push("response.completed", response("completed", &output));
        corpus
    }

    fn reasoning(&mut self) -> Value {
        let at = json!({ "item_id": REASONING, "output_index": 0, "summary_index": 0 });
        let begun = json!({ "id": REASONING, "type": "reasoning", "summary": [] });
        self.push("response.output_item.added", json!({ "output_index": 0, "item": begun }));
        let part = json!({ "type": "summary_text", "text": "" });
        self.push("response.reasoning_summary_part.added", with(&at, json!({ "part": part })));
        for n in 0..SUMMARY_DELTAS {
            let delta = json!({ "delta": word(n), "obfuscation": "k3Jd91mZ" });
            self.push("response.reasoning_summary_text.delta", with(&at, delta));
        }
        let text: String = (0..SUMMARY_DELTAS).map(word).collect();
        self.push("response.reasoning_summary_text.done", with(&at, json!({ "text": text })));
        let part = json!({ "type": "summary_text", "text": text });
        self.push("response.reasoning_summary_part.done", with(&at, json!({ "part": part })));
        let secret = "gAAAAABor0AwR1c5".repeat(100);
        let item = with(&begun, json!({ "summary": [part], "encrypted_content": secret }));
        self.push("response.output_item.done", json!({ "output_index": 0, "item": item }));
        item
    }

    fn call(&mut self) -> Value {
        let at = json!({ "item_id": CALL, "output_index": 1 });
        let begun = json!({
            "id": CALL,
            "type": "function_call",
            "status": "in_progress",
            "call_id": "call_7f3aQmZk29LxVb04TrYwHs1e",
            "name": "read_file",
            "arguments": "",
        });
        self.push("response.output_item.added", json!({ "output_index": 1, "item": begun }));
        for n in 0..ARGUMENT_DELTAS {
            let delta = json!({ "delta": word(n), "obfuscation": "k3Jd91mZ" });
            self.push("response.function_call_arguments.delta", with(&at, delta));
        }
        let arguments: String = (0..ARGUMENT_DELTAS).map(word).collect();
        let done = json!({ "arguments": arguments });
        self.push("response.function_call_arguments.done", with(&at, done));
        let item = with(&begun, json!({ "status": "completed", "arguments": arguments }));
        self.push("response.output_item.done", json!({ "output_index": 1, "item": item }));
        item
    }

    fn message(&mut self) -> Value {
        let at = json!({ "item_id": MESSAGE, "output_index": 2, "content_index": 0 });
        let begun = json!({
            "id": MESSAGE,
            "type": "message",
            "status": "in_progress",
            "role": "assistant",
            "content": [],
        });
        let part = |text: &str| json!({ "type": "output_text", "annotations": [], "logprobs": [], "text": text });
        self.push("response.output_item.added", json!({ "output_index": 2, "item": begun }));
        self.push("response.content_part.added", with(&at, json!({ "part": part("") })));
        self.text_deltas(TEXT_DELTAS);
        let text = std::mem::take(&mut self.text);
        self.push("response.output_text.done", with(&at, json!({ "text": text })));
        let part = part(&text);
        self.push("response.content_part.done", with(&at, json!({ "part": part })));
        let item = with(&begun, json!({ "status": "completed", "content": [part] }));
        self.push("response.output_item.done", json!({ "output_index": 2, "item": item }));
        item
    }

    fn text_deltas(&mut self, count: usize) {
        for n in 0..count {
            let delta = word(n);
            self.text.push_str(delta);
            let at = json!({ "item_id": MESSAGE, "output_index": 2, "content_index": 0 });
            let delta = json!({ "delta": delta, "logprobs": [], "obfuscation": "k3Jd91mZ" });
            self.push("response.output_text.delta", with(&at, delta));
        }
    }

    fn push(&mut self, kind: &str, members: Value) {
        let members = members.to_string();
        let members = members.strip_prefix('{').expect("an object");
        let number = self.events.len();
        let event = format!(r#"{{"type":"{kind}","sequence_number":{number},{members}"#);
        self.events.push(event.into());
    }
}

fn with(value: &Value, more: Value) -> Value {
    let mut value = value.clone();
    merge(&mut value, more);
    value
}

fn merge(value: &mut Value, more: Value) {
    if let (Value::Object(members), Value::Object(more)) = (value, more) {
        members.extend(more);
    }
}

/// What a delta brings: mostly a word, and one time in sixteen something with an escape.
fn word(n: usize) -> &'static str {
    const WORDS: [&str; 16] = [
        " the", " stream", " of", " events", ",", " which", " ends", " at", " once", ".", "\n\n",
        " It", " is", " naïve", " to", " wait",
    ];
    WORDS.get(n % WORDS.len()).copied().unwrap_or_default()
}

fn tool() -> Value {
    json!({
        "type": "function",
        "name": "read_file",
        "description": "Reads a file of the workspace and returns its text. ".repeat(6),
        "parameters": {
            "type": "object",
            "properties": { "path": { "type": "string" }, "limit": { "type": "integer" } },
            "required": ["path"],
        },
    })
}
