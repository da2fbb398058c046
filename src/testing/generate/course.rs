//! The events of an item, from `response.output_item.added` to `response.output_item.done`.

#![expect(clippy::indexing_slicing, reason = "a missing member of a JSON value reads as null")]

use serde_json::{Value, json};

use super::{event, family, list, merged, set, text};
use crate::testing::script::Exchange;

/// All events of an item.
pub(super) fn events(exchange: &Exchange, place: usize, item: &Value) -> Vec<Value> {
    let mut course = Course { exchange, place, item, events: Vec::new() };
    course.push(
        "output_item.added",
        json!({ "output_index": place, "item": family::skeleton(item) }),
    );
    (family::of(item).course)(&mut course);
    course.push("output_item.done", json!({ "output_index": place, "item": item }));
    course.events
}

/// An item whose events are being made.
pub(super) struct Course<'a> {
    exchange: &'a Exchange,
    place: usize,
    item: &'a Value,
    events: Vec<Value>,
}

/// Of kinds that only begin and end.
pub(super) fn nothing(_: &mut Course<'_>) {}

/// Of messages, and of reasoning that is not hidden.
pub(super) fn content(course: &mut Course<'_>) {
    for (index, part) in list(course.item, "content").iter().enumerate() {
        let at = merged(&course.at(), json!({ "content_index": index }));
        match part["type"].as_str() {
            Some(kind @ ("output_text" | "refusal" | "reasoning_text")) => {
                course.part(&at, part, "content_part", kind);
            }
            _ => {
                let whole = merged(&at, json!({ "part": part }));
                course.push("content_part.added", whole.clone());
                course.push("content_part.done", whole);
            }
        }
    }
}

pub(super) fn reasoning(course: &mut Course<'_>) {
    for (index, part) in list(course.item, "summary").iter().enumerate() {
        let at = merged(&course.at(), json!({ "summary_index": index }));
        course.part(&at, part, "reasoning_summary_part", "reasoning_summary_text");
    }
    content(course);
}

pub(super) fn function_call(course: &mut Course<'_>) {
    course.member("arguments", "function_call_arguments");
}

pub(super) fn custom_tool_call(course: &mut Course<'_>) {
    course.member("input", "custom_tool_call_input");
}

/// Of searches in the web and in files.
pub(super) fn search(course: &mut Course<'_>) {
    course.stage("in_progress");
    course.stage("searching");
    course.last_stage();
}

pub(super) fn code_interpreter(course: &mut Course<'_>) {
    course.stage("in_progress");
    course.member("code", "code_interpreter_call_code");
    course.stage("interpreting");
    course.last_stage();
}

/// As many partial images as the request's tool asks for; else one, for the sake of the client.
pub(super) fn image_generation(course: &mut Course<'_>) {
    course.stage("in_progress");
    course.stage("generating");
    let tool =
        list(&course.exchange.body, "tools").iter().find(|tool| tool["type"] == "image_generation");
    let asked = tool.and_then(|tool| tool["partial_images"].as_u64());
    let count = asked.map_or(1, |count| usize::try_from(count).unwrap_or(3).min(3));
    if let Some(result) = course.item["result"].as_str() {
        for index in 0..count {
            // Base64 ends after each four characters.
            let end = result.len() * (index + 1) / (count + 1) / 4 * 4;
            let mut partial = course.at();
            set(&mut partial, "partial_image_index", index);
            set(&mut partial, "partial_image_b64", result.get(..end).unwrap_or(result));
            for name in ["size", "quality", "background", "output_format"] {
                if let Some(value) = course.item.get(name) {
                    set(&mut partial, name, value.clone());
                }
            }
            course.push("image_generation_call.partial_image", partial);
        }
    }
    course.last_stage();
}

pub(super) fn mcp_list_tools(course: &mut Course<'_>) {
    course.stage("in_progress");
    course.outcome();
}

pub(super) fn mcp_call(course: &mut Course<'_>) {
    course.stage("in_progress");
    course.member("arguments", "mcp_call_arguments");
    course.outcome();
}

/// These events alone name no item.
pub(super) fn shell_call(course: &mut Course<'_>) {
    for (index, command) in list(&course.item["action"], "commands").iter().enumerate() {
        let at = json!({ "output_index": course.place, "command_index": index });
        let text = command.as_str().unwrap_or_default();
        course.push("shell_call_command.added", merged(&at, json!({ "command": "" })));
        for piece in text::pieces(text) {
            course.delta("shell_call_command", &at, piece.len(), &json!(piece));
        }
        course.push("shell_call_command.done", merged(&at, json!({ "command": text })));
    }
}

pub(super) fn shell_call_output(course: &mut Course<'_>) {
    for (index, output) in list(course.item, "output").iter().enumerate() {
        let at = merged(&course.at(), json!({ "command_index": index }));
        for stream in ["stdout", "stderr"] {
            for piece in text::pieces(output[stream].as_str().unwrap_or_default()) {
                let delta = json!({ stream: piece });
                course.delta("shell_call_output_content", &at, piece.len(), &delta);
            }
        }
        course.push("shell_call_output_content.done", merged(&at, json!({ "output": [output] })));
    }
}

/// Twice, because a long compaction says so again and again.
pub(super) fn compaction(course: &mut Course<'_>) {
    for _ in 0..2 {
        course.push("compaction.compacting", course.at());
    }
}

impl Course<'_> {
    fn push(&mut self, kind: &str, members: Value) {
        self.events.push(event(&format!("response.{kind}"), members));
    }

    /// What nearly all events of an item have.
    fn at(&self) -> Value {
        json!({ "item_id": self.item["id"], "output_index": self.place })
    }

    /// How far the tool is.
    fn stage(&mut self, stage: &str) {
        let item_type = self.item["type"].as_str().unwrap_or_default();
        self.push(&format!("{item_type}.{stage}"), self.at());
    }

    /// Of tools that have no event for a failure.
    fn last_stage(&mut self) {
        if self.item["status"] != "failed" {
            self.stage("completed");
        }
    }

    /// Of tools that have one.
    fn outcome(&mut self) {
        self.stage(if self.item["error"].is_null() { "completed" } else { "failed" });
    }

    fn part(&mut self, at: &Value, part: &Value, name: &str, kind: &str) {
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

    /// A member that comes in pieces.
    fn member(&mut self, member: &str, kind: &str) {
        let item = self.item;
        self.text(&self.at(), kind, member, item[member].as_str().unwrap_or_default());
    }

    /// The deltas of a text, and the whole of it.
    fn text(&mut self, at: &Value, kind: &str, member: &str, text: &str) {
        for piece in text::pieces(text) {
            self.delta(kind, at, piece.len(), &json!(piece));
        }
        self.push(&format!("{kind}.done"), merged(at, json!({ member: text })));
    }

    fn delta(&mut self, kind: &str, at: &Value, length: usize, delta: &Value) {
        let mut event = merged(at, json!({ "delta": delta }));
        if self.exchange.body["stream_options"]["include_obfuscation"] != false {
            let seed = self.place << 16 | self.events.len();
            set(&mut event, "obfuscation", text::obfuscation(seed, length));
        }
        self.push(&format!("{kind}.delta"), event);
    }
}
