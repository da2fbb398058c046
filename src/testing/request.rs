//! What the API accepts.

use serde_json::{Value, json};

use super::turn::ApiError;
use crate::Transport;

/// What is wrong with a request, whatever its history.
pub(super) fn check(body: &Value, transport: Transport) -> Result<(), ApiError> {
    let invalid = |code: &str, message: &str| ApiError::new(400, code, message);
    let Some(members) = body.as_object() else {
        return Err(invalid("invalid_json", "What was sent is not a JSON object."));
    };
    let unknown: &[&'static str] = match transport {
        Transport::WebSocket => {
            if body["type"] != "response.create" {
                return Err(invalid("unknown_event_type", "Only `response.create` is known."));
            }
            &["stream", "background"]
        }
        Transport::Sse => &["generate", "stream_id", "type"],
    };
    if let Some(name) = unknown.iter().find(|name| members.contains_key(**name)) {
        let message = format!("Unknown parameter: '{name}'.");
        return Err(invalid("unknown_parameter", &message).param(name));
    }
    if transport == Transport::Sse && body["stream"] != true {
        return Err(invalid("invalid_value", "This server only streams.").param("stream"));
    }
    Ok(())
}

pub(super) fn not_found(id: &str) -> ApiError {
    let message = format!("Previous response with id '{id}' not found.");
    ApiError::new(400, "previous_response_not_found", &message).param("previous_response_id")
}

/// The items that a request brings.
pub(super) fn input(body: &Value) -> Vec<Value> {
    match &body["input"] {
        Value::Array(items) => items.clone(),
        Value::String(text) => {
            vec![json!({ "type": "message", "role": "user", "content": text })]
        }
        _ => Vec::new(),
    }
}
