//! Items and events as JSON, and what they mean here.

use std::collections::HashSet;

use responses_client::{
    Item, ResponsesRequest,
    event::ResponseEvent,
    testing::{RequestLog, ServerLog, history_digest, parse_json},
};
use serde_json::{Value, json};

/// What the server says of a request that it failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Word {
    #[default]
    Nothing,
    /// It did not run.
    Refuses,
    /// It may have run, and runs no more.
    Ended,
}

/// How far a request got, by what the server sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reach {
    Refused,
    Silent,
    Created,
    Output,
    Ended,
}

/// What an event means here.
#[derive(PartialEq, Eq)]
pub(crate) enum Kind {
    Begin,
    Output,
    End,
    Failure,
    Other,
}

/// What may come at any time, and belongs to no turn.
pub(crate) fn is_about_the_connection(event: &Value) -> bool {
    event["idle"] == true
}

pub(crate) fn is_call(item: &Value) -> bool {
    item["type"] == "function_call" || item["type"] == "custom_tool_call"
}

pub(crate) fn kind(event: &Value) -> Kind {
    match event["type"].as_str() {
        Some("response.created" | "response.queued" | "response.in_progress") => Kind::Begin,
        Some("response.completed" | "response.incomplete") => Kind::End,
        Some("error" | "response.error" | "response.failed") => Kind::Failure,
        Some(name) if name.starts_with("response.") => Kind::Output,
        Some(_) => Kind::Other,
        None if event["object"] == "response" => Kind::End,
        None => Kind::Failure,
    }
}

/// The output of a response with these events.
pub(crate) fn settled(events: &[Value]) -> Vec<Value> {
    let end = events.last().map(|end| end.get("response").unwrap_or(end));
    let output = end.and_then(|end| end["output"].as_array());
    if let Some(output) = output.filter(|output| !output.is_empty()) {
        return output.clone();
    }
    let done = events.iter().filter(|event| event["type"] == "response.output_item.done");
    let mut done: Vec<_> = done.collect();
    done.sort_by_key(|event| event["output_index"].as_u64());
    done.into_iter().map(|event| event["item"].clone()).collect()
}

/// The digest of the content of items: all of it but `id` and `status`.
///
/// These two say nothing of the content, and servers give them anew with each event: the stream and
/// the terminal event disagree about them in half of the habits, so that no value is the right one.
/// Lists that are empty are left out, which not every event of a part has.
pub(crate) fn digest(mut items: Vec<Value>) -> String {
    for item in items.iter_mut().filter_map(Value::as_object_mut) {
        item.remove("id");
        item.remove("status");
        let parts = item.get_mut("content").and_then(Value::as_array_mut);
        for part in parts.into_iter().flatten().filter_map(Value::as_object_mut) {
            part.retain(|name, value| {
                !matches!(name.as_str(), "annotations" | "logprobs") || *value != json!([])
            });
        }
    }
    history_digest(&items)
}

/// The texts of the steers among these items.
pub(crate) fn steer_texts(items: &[Value]) -> Vec<String> {
    let text = |item: &Value| match &item["content"] {
        Value::String(text) => Some(text.clone()),
        content => content[0]["text"].as_str().map(str::to_owned),
    };
    let texts = items.iter().filter(|item| item["role"] == "user").filter_map(text);
    texts.filter(|text| text.starts_with(STEER)).collect()
}

/// With this word the input of a steer begins. The key of the steer follows.
pub(crate) const STEER: &str = "steer ";

/// The items without the reasoning that has this encrypted content.
pub(crate) fn without(items: &[Value], reasoning: &HashSet<String>) -> Vec<Value> {
    let is_other = |item: &&Value| {
        item["encrypted_content"].as_str().is_none_or(|content| !reasoning.contains(content))
    };
    items.iter().filter(is_other).cloned().collect()
}

/// What must be the same in two requests of which one continues the other.
pub(crate) fn context(body: &Value) -> Value {
    json!([body["model"], body["instructions"], body["tools"], body["store"]])
}

/// Who asked.
pub(crate) fn account<'a>(log: &'a ServerLog, request: &'a RequestLog) -> Option<&'a str> {
    let of_socket = || log.connections.get(request.connection)?.header("authorization");
    let token = request.header("authorization").or_else(of_socket)?;
    token.split('-').next()
}

/// The server numbers its responses as it logs the requests.
pub(crate) fn place(response_id: &str) -> Option<usize> {
    let number = response_id.strip_prefix("resp_")?.split('_').next()?;
    usize::from_str_radix(number, 16).ok()
}

/// An event as it was received, with the type that only its `event:` field may have had.
pub(crate) fn received(event: &ResponseEvent) -> Value {
    let mut received = parse_json(event.raw()).unwrap_or_default();
    let event_type = match event {
        ResponseEvent::Unknown(event) => event.event_type.as_str(),
        event => event.kind().as_str(),
    };
    if let Some(members) = received.as_object_mut().filter(|it| !it.contains_key("object")) {
        members.entry("type").or_insert_with(|| event_type.into());
    }
    received
}

pub(crate) fn values(request: &ResponsesRequest) -> Vec<Value> {
    request.input.iter().map(value).collect()
}

pub(crate) fn value(item: &Item) -> Value {
    parse_json(item.json().as_str()).unwrap_or_default()
}
