//! Helpers for events and items as JSON values.

use serde_json::Value;

use super::halves;

/// Returns the text of an event with its `type` first, where the API puts it and clients expect it.
pub(crate) fn encode(event: &Value) -> String {
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

/// Returns `true` if a response ends with this event.
pub(crate) fn is_terminal(event: &Value) -> bool {
    event.get("type").and_then(Value::as_str).is_some_and(is_terminal_type)
}

/// Returns `true` if a response ends with an event of this type.
pub(crate) fn is_terminal_type(event_type: &str) -> bool {
    matches!(
        event_type,
        "response.completed" | "response.incomplete" | "response.failed" | "response.done"
    )
}

/// Sets a member of an object; leaves other values as they are.
pub(crate) fn set(object: &mut Value, name: &str, value: impl Into<Value>) {
    if let Some(members) = object.as_object_mut() {
        members.insert(name.to_owned(), value.into());
    }
}

/// Removes a member of an object; leaves other values as they are.
pub(crate) fn remove(object: &mut Value, name: &str) {
    if let Some(members) = object.as_object_mut() {
        members.remove(name);
    }
}

/// Returns the members of two objects in one; those of `other` win.
pub(super) fn merged(one: &Value, other: Value) -> Value {
    let mut merged = one.clone();
    if let (Some(members), Value::Object(more)) = (merged.as_object_mut(), other) {
        members.extend(more);
    }
    merged
}

/// Returns the list in this member of an object; empty if there is none.
pub(super) fn list<'a>(holder: &'a Value, member: &str) -> &'a [Value] {
    holder.get(member).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_type_is_written_first() {
        let event = json!({ "a": 1, "type": "x", "z": { "type": "y" } });
        let text = encode(&event);
        assert!(text.starts_with(r#"{"type":"x","#));
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), event);
    }
}
