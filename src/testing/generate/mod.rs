//! The events by which the API announces a response and its items.

use serde_json::{Value, json};

use super::{halves, script::Exchange};

mod course;
mod family;
mod response;
mod text;

/// How a generated response ends.
#[derive(Clone, Debug)]
pub(super) enum Ending {
    Completed,
    Incomplete { reason: String },
    Failed { code: String, message: String },
}

/// All events of a response with these items.
pub(super) fn events(exchange: &Exchange, items: &[Value], ending: &Ending) -> Vec<Value> {
    let items: Vec<_> = items
        .iter()
        .enumerate()
        .map(|(place, item)| family::with_id(item, place, exchange))
        .collect();
    let begun = response::begun(exchange);
    let mut events = vec![
        event("response.created", json!({ "response": begun })),
        event("response.in_progress", json!({ "response": begun })),
    ];
    for (place, item) in items.iter().enumerate() {
        events.extend(course::events(exchange, place, item));
    }
    let (kind, ended) = response::ended(exchange, items, ending);
    events.push(event(kind, json!({ "response": ended })));
    for (number, event) in events.iter_mut().enumerate() {
        set(event, "sequence_number", number);
    }
    events
}

/// An event as text, its type first: that is where the API puts it and clients look for it.
pub(super) fn encode(event: &Value) -> String {
    let Some(members) = event.as_object() else { return halves::with_escapes(event.to_string()) };
    let kind = members.get_key_value("type");
    let rest = members.iter().filter(|(key, _)| *key != "type");
    let members: Vec<_> = kind
        .into_iter()
        .chain(rest)
        .map(|(key, value)| format!("{}:{value}", Value::from(key.as_str())))
        .collect();
    halves::with_escapes(format!("{{{}}}", members.join(",")))
}

/// The length of these items as JSON.
pub(super) fn size<'a>(items: impl IntoIterator<Item = &'a Value>) -> usize {
    items.into_iter().map(|item| serde_json::to_vec(item).map_or(0, |json| json.len())).sum()
}

/// Sets a member of an object; other values stay as they are.
pub(super) fn set(object: &mut Value, name: &str, value: impl Into<Value>) {
    if let Some(members) = object.as_object_mut() {
        members.insert(name.to_owned(), value.into());
    }
}

fn event(kind: &str, members: Value) -> Value {
    merged(&json!({ "type": kind }), members)
}

fn merged(one: &Value, other: Value) -> Value {
    let mut merged = one.clone();
    if let (Some(members), Value::Object(more)) = (merged.as_object_mut(), other) {
        members.extend(more);
    }
    merged
}

fn list<'a>(holder: &'a Value, member: &str) -> &'a [Value] {
    holder[member].as_array().map(Vec::as_slice).unwrap_or_default()
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
