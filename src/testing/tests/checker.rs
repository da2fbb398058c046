//! A strict client that checks streams of events.
//!
//! The checker is written from the tables of the protocol, and not from the generator. Like the
//! strict accumulator of the Node SDK, the checker requires every event to fit the open items.

use std::collections::BTreeMap;

use serde_json::{Value, json};

mod grammar;

/// Parts of a stream that may be missing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Missing {
    pub(super) setup: bool,
    pub(super) numbers: bool,
    pub(super) terminal_output: bool,
}

/// Returns the finished items, or the first fault.
pub(super) fn check(events: &[Value], missing: Missing) -> Result<Vec<Value>, String> {
    let mut checker =
        Checker { missing, response: None, place: 0, items: Vec::new(), ended: false };
    for event in events {
        checker.event(event).map_err(|wrong| format!("{wrong}: {event}"))?;
        checker.place += 1;
    }
    ensure(checker.ended, "no terminal event")?;
    Ok(checker.items.into_iter().filter_map(|item| item.done).collect())
}

struct Checker {
    missing: Missing,
    response: Option<Value>,
    place: usize,
    items: Vec<Open>,
    ended: bool,
}

/// An item that was begun.
#[derive(Default)]
struct Open {
    skeleton: Option<Value>,
    item_type: String,
    /// The event before, without `response.`.
    before: String,
    /// The texts that grow, by their kind and place, and whether they are whole.
    texts: BTreeMap<(&'static str, u64), (String, bool)>,
    annotations: u64,
    partial_images: u64,
    parts: BTreeMap<(&'static str, u64), Option<Value>>,
    done: Option<Value>,
}

/// Texts that grow: the kind of the events, the member that counts them, the member of `done`.
const TEXTS: &[(&str, &str, &str)] = &[
    ("output_text", "content_index", "text"),
    ("refusal", "content_index", "refusal"),
    ("reasoning_text", "content_index", "text"),
    ("reasoning_summary_text", "summary_index", "text"),
    ("function_call_arguments", "", "arguments"),
    ("custom_tool_call_input", "", "input"),
    ("code_interpreter_call_code", "", "code"),
    ("mcp_call_arguments", "", "arguments"),
    ("shell_call_command", "command_index", "command"),
];

/// Parts that open and close, and the member that counts them.
const PARTS: &[(&str, &str, &str)] = &[
    ("content_part", "content_index", "content"),
    ("reasoning_summary_part", "summary_index", "summary"),
];

impl Checker {
    fn event(&mut self, event: &Value) -> Result<(), String> {
        ensure(!self.ended, "an event after the end")?;
        let number = event.get("sequence_number");
        match self.missing.numbers {
            true => ensure(number.is_none(), "a number")?,
            false => ensure(number == Some(&self.place.into()), "a wrong number")?,
        }
        let event_type = event["type"].as_str().ok_or("no type")?;
        if event_type == "keepalive" {
            return ensure(self.missing.setup || self.place > 0, "a keepalive comes first");
        }
        let kind = event_type.strip_prefix("response.").ok_or("an unknown event")?;
        match kind {
            "created" | "in_progress" => {
                ensure(!self.missing.setup, "setup")?;
                let first = kind == "created";
                ensure(first == self.response.is_none(), "created comes first and once")?;
                ensure(self.items.is_empty(), "setup after output")?;
                self.same_response(event)?;
                ensure(event["response"]["status"] == "in_progress", "the status")?;
                ensure(event["response"]["output"] == Value::Array(Vec::new()), "early output")
            }
            "completed" | "incomplete" | "failed" => {
                self.same_response(event)?;
                ensure(event["response"]["status"] == kind, "the status")?;
                ensure(event["response"]["usage"]["total_tokens"].is_u64(), "no usage")?;
                self.ended = true;
                let done: Option<Vec<_>> =
                    self.items.iter().map(|item| item.done.clone()).collect();
                let done = done.ok_or("an item is not done")?;
                let output = &event["response"]["output"];
                ensure(self.missing.terminal_output || *output == Value::from(done), "the output")
            }
            kind => self.item_event(kind, event),
        }
    }

    fn same_response(&mut self, event: &Value) -> Result<(), String> {
        let id = &event["response"]["id"];
        ensure(id.is_string(), "no id")?;
        let known = self.response.get_or_insert_with(|| id.clone());
        ensure(known == id, "another response")
    }

    fn item_event(&mut self, kind: &str, event: &Value) -> Result<(), String> {
        ensure(self.missing.setup || self.response.is_some(), "output before created")?;
        let index = event["output_index"].as_u64().ok_or("no index")? as usize;
        if kind == "output_item.added" {
            ensure(!self.missing.setup, "setup")?;
            ensure(index == self.items.len(), "the indices are not dense")?;
            self.items.push(Open::new(&event["item"])?);
            return Ok(());
        }
        // Without their setup, items that overlap may show in any order.
        while self.missing.setup && index >= self.items.len() {
            self.items.push(Open { before: "output_item.added".to_owned(), ..Open::default() });
        }
        let item = self.items.get_mut(index).ok_or("no such item")?;
        ensure(item.done.is_none(), "an event after the item is done")?;
        item.event(kind, event, self.missing.setup)
    }
}

impl Open {
    fn new(skeleton: &Value) -> Result<Self, String> {
        ensure(skeleton["id"].is_string(), "an item without an id")?;
        let status = skeleton.get("status");
        let outputs = ["apply_patch_call_output", "program_output"].map(Value::from);
        let knows_it = !outputs.contains(&skeleton["type"]);
        ensure(status.is_none_or(|it| (it == "in_progress") == knows_it), "the status")?;
        let grows = grammar::grows(skeleton["type"].as_str().ok_or("no type")?);
        for (member, empty) in [
            ("content", json!([])),
            ("summary", json!([])),
            ("arguments", json!("")),
            ("input", json!("")),
            ("code", json!("")),
            ("outputs", json!(null)),
            ("result", json!(null)),
            ("results", json!(null)),
        ] {
            let here = skeleton.get(member).filter(|_| grows);
            ensure(here.is_none_or(|here| *here == empty), member)?;
        }
        Ok(Self {
            item_type: skeleton["type"].as_str().ok_or("no type")?.to_owned(),
            skeleton: Some(skeleton.clone()),
            before: "output_item.added".to_owned(),
            ..Self::default()
        })
    }

    fn event(&mut self, kind: &str, event: &Value, without_setup: bool) -> Result<(), String> {
        if kind == "output_item.done" {
            let item = &event["item"];
            if self.item_type.is_empty() {
                item["type"].as_str().ok_or("no type")?.clone_into(&mut self.item_type);
            }
            self.follow(kind, without_setup)?;
            return self.finish(item);
        }
        if self.item_type.is_empty() {
            self.item_type = grammar::type_by_first(kind).ok_or("an event of no item")?.to_owned();
        }
        self.follow(kind, without_setup)?;
        if let Some(skeleton) = &self.skeleton
            && !kind.starts_with("shell_call_command.")
        {
            ensure(event["item_id"] == skeleton["id"], "another item")?;
        }
        let (name, step) = kind.rsplit_once('.').ok_or("an unknown event")?;
        if let Some((name, counter, _)) = PARTS.iter().find(|(it, ..)| *it == name) {
            return self.part(name, counter, step, event);
        }
        if let Some((name, counter, member)) = TEXTS.iter().find(|(it, ..)| *it == name) {
            return self.text(name, counter, member, step, event);
        }
        match kind {
            "output_text.annotation.added" => {
                let index = event["annotation_index"].as_u64();
                self.annotations += 1;
                ensure(index == Some(self.annotations - 1), "the annotation's index")
            }
            "image_generation_call.partial_image" => {
                let index = event["partial_image_index"].as_u64();
                self.partial_images += 1;
                ensure(index == Some(self.partial_images - 1), "the image's index")?;
                ensure(event["partial_image_b64"].is_string(), "no image")
            }
            "shell_call_output_content.delta" => {
                let index = event["command_index"].as_u64().ok_or("no index")?;
                for stream in ["stdout", "stderr"] {
                    let text = event["delta"][stream].as_str().unwrap_or_default();
                    self.texts.entry((stream, index)).or_default().0 += text;
                }
                Ok(())
            }
            "shell_call_output_content.done" => {
                let index = event["command_index"].as_u64().ok_or("no index")?;
                for stream in ["stdout", "stderr"] {
                    let (text, whole) = self.texts.entry((stream, index)).or_default();
                    *whole = true;
                    ensure(event["output"][0][stream] == **text, "the output of a command")?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn follow(&mut self, kind: &str, without_setup: bool) -> Result<(), String> {
        let follows = grammar::follows(&self.item_type, &self.before, kind, without_setup);
        kind.clone_into(&mut self.before);
        ensure(follows, "out of order")
    }

    fn part(
        &mut self,
        name: &'static str,
        counter: &str,
        step: &str,
        event: &Value,
    ) -> Result<(), String> {
        let index = event[counter].as_u64().ok_or("no index")?;
        let known = self.parts.keys().filter(|(it, _)| *it == name).count() as u64;
        if step == "added" {
            ensure(index == known, "the indices of the parts are not dense")?;
            self.parts.insert((name, index), None);
            self.annotations = 0;
            let text = event["part"]["text"].as_str().or(event["part"]["refusal"].as_str());
            return ensure(text == Some(""), "the part is not empty");
        }
        let part = event["part"].clone();
        let text = part["text"].as_str().or(part["refusal"].as_str()).ok_or("no text")?;
        let grown = self.texts.iter().any(|((kind, at), (grown, whole))| {
            let of_part = (name == "content_part") == (*kind != "reasoning_summary_text");
            *at == index && of_part && *whole && grown == text
        });
        ensure(grown, "the part is not what grew")?;
        let annotations = part["annotations"].as_array().map_or(0, Vec::len) as u64;
        ensure(annotations == std::mem::take(&mut self.annotations), "the annotations")?;
        self.parts.insert((name, index), Some(part));
        Ok(())
    }

    fn text(
        &mut self,
        name: &'static str,
        counter: &str,
        member: &str,
        step: &str,
        event: &Value,
    ) -> Result<(), String> {
        let index = if counter.is_empty() { Some(0) } else { event[counter].as_u64() };
        let key = (name, index.ok_or("no index")?);
        let (text, whole) = self.texts.entry(key).or_default();
        ensure(!*whole, "the text is whole")?;
        match step {
            "added" => ensure(event[member] == "", "the text is not empty"),
            "delta" => {
                *text += event["delta"].as_str().ok_or("no delta")?;
                ensure(event["obfuscation"].is_string(), "no obfuscation")
            }
            "done" => {
                *whole = true;
                ensure(event[member] == *text, "done is not the sum of its deltas")
            }
            _ => Err("an unknown step".to_owned()),
        }
    }

    /// The item holds what grew, and is still the one that began.
    fn finish(&mut self, item: &Value) -> Result<(), String> {
        if let Some(skeleton) = &self.skeleton {
            for member in ["id", "type", "call_id", "name", "role", "server_label"] {
                ensure(skeleton.get(member) == item.get(member), member)?;
            }
        }
        for (name, _, list) in PARTS {
            let parts = self.parts.iter().filter(|((it, _), _)| it == name);
            let parts: Option<Vec<_>> = parts.map(|(_, part)| part.clone()).collect();
            let parts = parts.ok_or("a part is not done")?;
            let known = item[*list].as_array().cloned().unwrap_or_default();
            let grows = matches!(self.item_type.as_str(), "message" | "reasoning");
            ensure(!grows || parts == known, list)?;
        }
        for ((name, index), (text, whole)) in &self.texts {
            ensure(*whole, "a text is not whole")?;
            let place = match *name {
                "function_call_arguments" | "mcp_call_arguments" => "/arguments".to_owned(),
                "custom_tool_call_input" => "/input".to_owned(),
                "code_interpreter_call_code" => "/code".to_owned(),
                "shell_call_command" => format!("/action/commands/{index}"),
                "stdout" | "stderr" => format!("/output/{index}/{name}"),
                _ => continue,
            };
            ensure(item.pointer(&place) == Some(&text.as_str().into()), &place)?;
        }
        self.done = Some(item.clone());
        Ok(())
    }
}

fn ensure(holds: bool, otherwise: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise.to_owned()) }
}
