//! `ItemEvents`: collects the events of one item.

#![expect(clippy::indexing_slicing, reason = "a missing member of a JSON value reads as null")]

use serde_json::{Value, json};

use super::text;
use crate::testing::script::{
    exchange::Exchange,
    value::{list, merged, set},
};

/// The events of one item so far.
pub(super) struct ItemEvents<'a> {
    pub(super) exchange: &'a Exchange,
    pub(super) index: usize,
    pub(super) item: &'a Value,
    events: Vec<Value>,
}

impl<'a> ItemEvents<'a> {
    /// Begins the events of the item at this index of the output.
    pub(super) fn new(exchange: &'a Exchange, index: usize, item: &'a Value) -> Self {
        Self { exchange, index, item, events: Vec::new() }
    }

    pub(super) fn into_events(self) -> Vec<Value> {
        self.events
    }

    /// Adds `response.{kind}` with these members.
    pub(super) fn push(&mut self, kind: &str, members: Value) {
        self.events.push(merged(&json!({ "type": format!("response.{kind}") }), members));
    }

    /// Returns the members that nearly all events of an item have.
    pub(super) fn at(&self) -> Value {
        json!({ "item_id": self.item["id"], "output_index": self.index })
    }

    /// Adds the event of a stage of a tool.
    pub(super) fn stage(&mut self, stage: &str) {
        let item_type = self.item["type"].as_str().unwrap_or_default();
        self.push(&format!("{item_type}.{stage}"), self.at());
    }

    /// Adds the last stage of a tool that has no event for a failure.
    pub(super) fn last_stage(&mut self) {
        if self.item["status"] != "failed" {
            self.stage("completed");
        }
    }

    /// Adds the last stage of a tool that has an event for a failure.
    pub(super) fn outcome(&mut self) {
        self.stage(if self.item["error"].is_null() { "completed" } else { "failed" });
    }

    /// Adds the events of a part of a message or of reasoning.
    pub(super) fn part(&mut self, at: &Value, part: &Value, name: &str, kind: &str) {
        let member = if kind == "refusal" { "refusal" } else { "text" };
        let mut empty = part.clone();
        set(&mut empty, member, "");
        for list in ["annotations", "logprobs"] {
            if empty[list].is_array() {
                set(&mut empty, list, json!([]));
            }
        }
        self.push(&format!("{name}.added"), merged(at, json!({ "part": empty })));
        let text = part[member].as_str().unwrap_or_default();
        if kind == "output_text" {
            self.output_text(at, part, text);
        } else {
            self.text(at, kind, member, text);
        }
        self.push(&format!("{name}.done"), merged(at, json!({ "part": part })));
    }

    fn output_text(&mut self, at: &Value, part: &Value, text: &str) {
        for delta in text::deltas(part, text) {
            let at = merged(at, json!({ "logprobs": delta.logprobs }));
            self.delta("output_text", &at, delta.text.len(), &json!(delta.text));
        }
        for (index, annotation) in list(part, "annotations").iter().enumerate() {
            let added = json!({ "annotation_index": index, "annotation": annotation });
            self.push("output_text.annotation.added", merged(at, added));
        }
        let done = json!({ "text": text, "logprobs": text::logprobs(part) });
        self.push("output_text.done", merged(at, done));
    }

    /// Adds the events of a member that comes in pieces.
    pub(super) fn member(&mut self, member: &str, kind: &str) {
        let item = self.item;
        self.text(&self.at(), kind, member, item[member].as_str().unwrap_or_default());
    }

    /// Adds the deltas of a text, and then the whole text.
    fn text(&mut self, at: &Value, kind: &str, member: &str, text: &str) {
        for piece in text::pieces(text) {
            self.delta(kind, at, piece.len(), &json!(piece));
        }
        self.push(&format!("{kind}.done"), merged(at, json!({ member: text })));
    }

    /// Adds a delta, with an `obfuscation` unless the request turns it off.
    pub(super) fn delta(&mut self, kind: &str, at: &Value, length: usize, delta: &Value) {
        let mut event = merged(at, json!({ "delta": delta }));
        if self.exchange.body["stream_options"]["include_obfuscation"] != false {
            let seed = self.index << 16 | self.events.len();
            set(&mut event, "obfuscation", text::obfuscation(seed, length));
        }
        self.push(&format!("{kind}.delta"), event);
    }
}
