//! Checks requests as the API does.

use std::time::Duration;

use serde_json::{Value, json};

use super::error_reply::ErrorReply;
use crate::config::Transport;

/// Returns the error of an invalid request; looks at nothing of its history.
pub(crate) fn check(
    body: &Value,
    transport: Transport,
    headers: &[(String, String)],
) -> Result<(), ErrorReply> {
    let invalid = |code: &str, message: &str| ErrorReply::new(400, code, message);
    if headers.iter().any(|(name, value)| name == "content-encoding" && value != "identity") {
        let message = "This server takes no compressed bodies.";
        return Err(ErrorReply::new(415, "unsupported_content_encoding", message));
    }
    let Some(members) = body.as_object() else {
        return Err(invalid("invalid_json", "What was sent is not a JSON object."));
    };
    let unknown: &[&'static str] = match transport {
        Transport::WebSocket => {
            if body["type"] != "response.create" {
                return Err(invalid("unknown_event_type", "Only `response.create` is known."));
            }
            // Codex sends it, and real servers take it.
            if !matches!(body.get("stream"), None | Some(Value::Bool(true))) {
                return Err(invalid("invalid_value", "A WebSocket always streams.").param("stream"));
            }
            &["background"]
        }
        Transport::Sse => &["generate", "stream_id", "type"],
    };
    if let Some(name) = unknown.iter().find(|name| members.contains_key(**name)) {
        let message = format!("Unknown parameter: '{name}'.");
        return Err(invalid("unknown_parameter", &message).param(*name));
    }
    Ok(())
}

/// Returns the error of a request that continues an unknown response.
pub(crate) fn not_found(id: &str) -> ErrorReply {
    let message = format!("Previous response with id '{id}' not found.");
    ErrorReply::new(400, "previous_response_not_found", &message).param("previous_response_id")
}

/// Returns the error that a WebSocket gets at its maximum age.
pub(crate) fn too_old(age: Duration) -> ErrorReply {
    let minutes = age.as_secs() / 60;
    let message = format!(
        "Responses websocket connection limit reached ({minutes} minutes). Create a new websocket \
         connection to continue."
    );
    ErrorReply::new(400, "websocket_connection_limit_reached", &message)
}

/// Returns the input items of a request; a string becomes a user message.
pub(crate) fn input(body: &Value) -> Vec<Value> {
    match &body["input"] {
        Value::Array(items) => items.clone(),
        Value::String(text) => {
            vec![json!({ "type": "message", "role": "user", "content": text })]
        }
        _ => Vec::new(),
    }
}
