//! The events by which the API announces a response and its items.

#![expect(clippy::indexing_slicing, reason = "a missing member of a JSON value reads as null")]

use serde_json::{Map, Value, json};

use super::script::Exchange;

/// How a generated response ends.
#[derive(Clone, Debug)]
pub(super) enum Ending {
    Completed,
    Incomplete { reason: String },
    Failed { code: String, message: String },
}

/// All events of a response with these items.
pub(super) fn events(exchange: &Exchange, items: &[Value], ending: &Ending) -> Vec<Value> {
    let items: Vec<_> =
        items.iter().enumerate().map(|(place, item)| with_id(item, place, exchange)).collect();
    let mut events = Events::default();
    let begun = response(exchange, "in_progress");
    events.push("response.created", json!({ "response": begun }));
    events.push("response.in_progress", json!({ "response": begun }));
    for (place, item) in items.iter().enumerate() {
        events.item(place, item);
    }
    let (kind, status) = match ending {
        Ending::Completed => ("response.completed", "completed"),
        Ending::Incomplete { .. } => ("response.incomplete", "incomplete"),
        Ending::Failed { .. } => ("response.failed", "failed"),
    };
    let mut ended = response(exchange, status);
    match ending {
        Ending::Completed => set(&mut ended, "completed_at", created_at(exchange) + 1),
        Ending::Incomplete { reason } => {
            set(&mut ended, "incomplete_details", json!({ "reason": reason }));
        }
        Ending::Failed { code, message } => {
            set(&mut ended, "error", json!({ "code": code, "message": message }));
        }
    }
    set(&mut ended, "usage", usage(exchange, &items));
    set(&mut ended, "output", items);
    events.push(kind, json!({ "response": ended }));
    events.list
}

/// An event as text, its type first: that is where the API puts it and clients look for it.
pub(super) fn encode(event: &Value) -> String {
    let Some(members) = event.as_object() else { return event.to_string() };
    let kind = members.get_key_value("type");
    let rest = members.iter().filter(|(key, _)| *key != "type");
    let members: Vec<_> = kind
        .into_iter()
        .chain(rest)
        .map(|(key, value)| format!("{}:{value}", Value::from(key.as_str())))
        .collect();
    format!("{{{}}}", members.join(","))
}

#[derive(Default)]
struct Events {
    list: Vec<Value>,
}

impl Events {
    fn push(&mut self, kind: &str, members: Value) {
        let mut event = Map::new();
        event.insert("type".to_owned(), kind.into());
        event.insert("sequence_number".to_owned(), self.list.len().into());
        if let Value::Object(members) = members {
            event.extend(members);
        }
        self.list.push(Value::Object(event));
    }

    fn item(&mut self, place: usize, item: &Value) {
        let added = json!({ "output_index": place, "item": skeleton(item) });
        self.push("response.output_item.added", added);
        let at = json!({ "item_id": item["id"], "output_index": place });
        match item["type"].as_str() {
            Some("message") => self.content(&at, item),
            Some("reasoning") => {
                for (index, part) in list(item, "summary").iter().enumerate() {
                    let at = merged(&at, json!({ "summary_index": index }));
                    self.part(&at, part, "reasoning_summary_part", "reasoning_summary_text");
                }
                self.content(&at, item);
            }
            Some("function_call") => {
                self.text(&at, item, "arguments", "function_call_arguments", &json!({}));
            }
            Some("custom_tool_call") => {
                self.text(&at, item, "input", "custom_tool_call_input", &json!({}));
            }
            _ => {}
        }
        self.push("response.output_item.done", json!({ "output_index": place, "item": item }));
    }

    fn content(&mut self, at: &Value, item: &Value) {
        for (index, part) in list(item, "content").iter().enumerate() {
            let at = merged(at, json!({ "content_index": index }));
            match part["type"].as_str() {
                Some(kind @ ("output_text" | "refusal" | "reasoning_text")) => {
                    self.part(&at, part, "content_part", kind);
                }
                _ => {
                    let event = merged(&at, json!({ "part": part }));
                    self.push("response.content_part.added", event.clone());
                    self.push("response.content_part.done", event);
                }
            }
        }
    }

    fn part(&mut self, at: &Value, part: &Value, name: &str, kind: &str) {
        let member = if kind == "refusal" { "refusal" } else { "text" };
        let logprobs = if kind == "output_text" { json!({ "logprobs": [] }) } else { json!({}) };
        let mut empty = part.clone();
        set(&mut empty, member, "");
        if empty["annotations"].is_array() {
            set(&mut empty, "annotations", json!([]));
        }
        self.push(&format!("response.{name}.added"), merged(at, json!({ "part": empty })));
        self.text(at, part, member, kind, &logprobs);
        self.push(&format!("response.{name}.done"), merged(at, json!({ "part": part })));
    }

    /// The deltas of `holder[member]`, and the whole of it.
    fn text(&mut self, at: &Value, holder: &Value, member: &str, kind: &str, extra: &Value) {
        let text = holder[member].as_str().unwrap_or_default();
        for delta in pieces(text) {
            let mut event = merged(at, extra.clone());
            set(&mut event, "delta", delta.as_str());
            set(&mut event, "obfuscation", self.obfuscation(&delta));
            self.push(&format!("response.{kind}.delta"), event);
        }
        for (index, annotation) in list(holder, "annotations").iter().enumerate() {
            let event = json!({ "annotation_index": index, "annotation": annotation });
            self.push("response.output_text.annotation.added", merged(at, event));
        }
        let mut event = merged(at, extra.clone());
        set(&mut event, member, text);
        self.push(&format!("response.{kind}.done"), event);
    }

    /// Letters that hide the length of the delta; always the same at the same place.
    fn obfuscation(&self, delta: &str) -> String {
        let mut random = fastrand::Rng::with_seed(self.list.len() as u64);
        let filled = delta.len() % 16;
        std::iter::repeat_with(|| random.alphanumeric()).take(16 - filled).collect()
    }
}

fn response(exchange: &Exchange, status: &str) -> Value {
    let sent = |name: &str, or: Value| match &exchange.body[name] {
        Value::Null => or,
        value => value.clone(),
    };
    json!({
        "id": exchange.response_id,
        "object": "response",
        "created_at": created_at(exchange),
        "status": status,
        "background": false,
        "completed_at": null,
        "error": null,
        "incomplete_details": null,
        "instructions": sent("instructions", Value::Null),
        "max_output_tokens": sent("max_output_tokens", Value::Null),
        "max_tool_calls": sent("max_tool_calls", Value::Null),
        "metadata": sent("metadata", json!({})),
        "model": sent("model", "scripted".into()),
        "output": [],
        "parallel_tool_calls": sent("parallel_tool_calls", true.into()),
        "previous_response_id": sent("previous_response_id", Value::Null),
        "prompt_cache_key": sent("prompt_cache_key", Value::Null),
        "reasoning": sent("reasoning", json!({ "effort": null, "summary": null })),
        "service_tier": sent("service_tier", "default".into()),
        "store": sent("store", true.into()),
        "temperature": sent("temperature", json!(1.0)),
        "text": sent("text", json!({ "format": { "type": "text" } })),
        "tool_choice": sent("tool_choice", "auto".into()),
        "tools": sent("tools", json!([])),
        "top_p": sent("top_p", json!(1.0)),
        "truncation": sent("truncation", "disabled".into()),
        "usage": null,
        "user": sent("user", Value::Null),
    })
}

/// A time that is the same in every run.
fn created_at(exchange: &Exchange) -> u64 {
    1_790_000_000 + 10 * exchange.index as u64
}

/// Four bytes are a token; what the server had before is cached.
fn usage(exchange: &Exchange, items: &[Value]) -> Value {
    let reasoning = items.iter().filter(|item| item["type"] == "reasoning");
    let (known, brought) = (exchange.known_bytes / 4, exchange.brought_bytes / 4);
    let output = size(items) / 4;
    json!({
        "input_tokens": known + brought,
        "input_tokens_details": { "cached_tokens": known, "cache_write_tokens": 0 },
        "output_tokens": output,
        "output_tokens_details": { "reasoning_tokens": size(reasoning) / 4 },
        "total_tokens": known + brought + output,
    })
}

/// The length of these items as JSON.
pub(super) fn size<'a>(items: impl IntoIterator<Item = &'a Value>) -> usize {
    items.into_iter().map(|item| item.to_string().len()).sum()
}

/// What is known of an item when it begins.
fn skeleton(item: &Value) -> Value {
    let mut skeleton = item.clone();
    let Some(members) = skeleton.as_object_mut() else { return skeleton };
    let emptied: &[(&str, Value)] = match item["type"].as_str() {
        Some("message") => &[("content", json!([]))],
        Some("reasoning") => {
            &[("summary", json!([])), ("content", json!([])), ("encrypted_content", "".into())]
        }
        Some("function_call") => &[("arguments", "".into())],
        Some("custom_tool_call") => &[("input", "".into())],
        // There as a whole; not all kinds have a status for what is not.
        Some(kind) if kind.ends_with("_output") => return skeleton,
        _ => &[],
    };
    for (name, empty) in emptied.iter().chain([&("status", Value::from("in_progress"))]) {
        if let Some(member) = members.get_mut(*name) {
            *member = empty.clone();
        }
    }
    skeleton
}

fn with_id(item: &Value, place: usize, exchange: &Exchange) -> Value {
    let mut item = item.clone();
    let prefix = match item["type"].as_str() {
        Some("message") => "msg",
        Some("reasoning") => "rs",
        Some("function_call") => "fc",
        Some("custom_tool_call") => "ctc",
        _ => "item",
    };
    if let Some(members) = item.as_object_mut() {
        members.entry("id").or_insert_with(|| {
            let unique = exchange.response_id.trim_start_matches("resp_");
            format!("{prefix}_{unique}{place}").into()
        });
    }
    item
}

fn merged(one: &Value, other: Value) -> Value {
    let mut merged = one.clone();
    if let (Some(members), Value::Object(more)) = (merged.as_object_mut(), other) {
        members.extend(more);
    }
    merged
}

fn set(object: &mut Value, name: &str, value: impl Into<Value>) {
    if let Some(members) = object.as_object_mut() {
        members.insert(name.to_owned(), value.into());
    }
}

fn list<'a>(holder: &'a Value, member: &str) -> &'a [Value] {
    holder[member].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Cuts a text between characters, in up to 32 pieces of four characters or more.
fn pieces(text: &str) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    let size = characters.len().div_ceil(32).max(4);
    characters.chunks(size).map(|piece| piece.iter().collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Transport;

    fn exchange() -> Exchange {
        Exchange {
            index: 0,
            transport: Transport::Sse,
            connection: 0,
            body: json!({ "model": "m", "input": "hi" }),
            history: vec![json!({ "role": "user", "content": "hi" })],
            response_id: "resp_0".to_owned(),
            headers: Vec::new(),
            known_bytes: 0,
            brought_bytes: 0,
        }
    }

    fn kinds(events: &[Value]) -> Vec<String> {
        let mut kinds: Vec<String> = events
            .iter()
            .map(|event| event["type"].as_str().unwrap().trim_start_matches("response.").to_owned())
            .collect();
        kinds.dedup();
        kinds
    }

    #[test]
    fn items_come_in_the_order_of_the_api() {
        let items = [
            json!({
                "id": "rs_1",
                "type": "reasoning",
                "summary": [{ "type": "summary_text", "text": "thinking about it" }],
                "encrypted_content": "AAAA",
            }),
            json!({
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "content": [{ "type": "output_text", "text": "héllo there", "annotations": [] }],
            }),
            json!({
                "id": "fc_1",
                "type": "function_call",
                "call_id": "call_1",
                "name": "f",
                "arguments": "{\"a\":\"long enough\"}",
                "status": "completed",
            }),
            json!({ "id": "ws_1", "type": "web_search_call", "status": "completed" }),
        ];
        let events = events(&exchange(), &items, &Ending::Completed);
        assert_eq!(
            kinds(&events),
            [
                "created",
                "in_progress",
                "output_item.added",
                "reasoning_summary_part.added",
                "reasoning_summary_text.delta",
                "reasoning_summary_text.done",
                "reasoning_summary_part.done",
                "output_item.done",
                "output_item.added",
                "content_part.added",
                "output_text.delta",
                "output_text.done",
                "content_part.done",
                "output_item.done",
                "output_item.added",
                "function_call_arguments.delta",
                "function_call_arguments.done",
                "output_item.done",
                "output_item.added",
                "output_item.done",
                "completed",
            ]
        );
        for (place, event) in events.iter().enumerate() {
            assert_eq!(event["sequence_number"], place);
            let is_delta = event["type"].as_str().unwrap().ends_with(".delta");
            assert_eq!(event["obfuscation"].is_string(), is_delta);
        }
        let deltas: Vec<_> = events
            .iter()
            .filter(|event| event["type"] == "response.output_text.delta")
            .map(|event| event["delta"].as_str().unwrap())
            .collect();
        assert!(deltas.len() > 1);
        assert_eq!(deltas.concat(), "héllo there");
        assert_eq!(events.last().unwrap()["response"]["output"], json!(items));
    }

    #[test]
    fn endings_carry_their_reasons() {
        let reason = Ending::Incomplete { reason: "max_output_tokens".to_owned() };
        let last = events(&exchange(), &[], &reason).pop().unwrap();
        assert_eq!(last["type"], "response.incomplete");
        assert_eq!(last["response"]["incomplete_details"]["reason"], "max_output_tokens");
        let failed = Ending::Failed { code: "server_error".to_owned(), message: "no".to_owned() };
        let last = events(&exchange(), &[json!({ "type": "x" })], &failed).pop().unwrap();
        assert_eq!(last["response"]["status"], "failed");
        assert_eq!(last["response"]["error"]["code"], "server_error");
        assert_eq!(last["response"]["output"][0]["type"], "x");
    }

    #[test]
    fn the_type_is_written_first() {
        let event = json!({ "a": 1, "type": "x", "z": { "type": "y" } });
        let text = encode(&event);
        assert!(text.starts_with(r#"{"type":"x","#));
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), event);
    }
}
