//! The response object, at its beginning and at its end.

#![expect(clippy::indexing_slicing, reason = "a missing member of a JSON value reads as null")]

use serde_json::{Value, json};

use crate::{
    server::store::json_size,
    testing::script::{exchange::Exchange, value::set},
};

/// End of a generated response.
#[derive(Clone, Debug)]
pub(crate) enum ResponseEnding {
    Completed,
    Incomplete { reason: String },
    Failed { code: String, message: String },
}

/// Returns a response at its beginning.
pub(super) fn begun(exchange: &Exchange) -> Value {
    response(exchange, "in_progress")
}

/// Returns the type of the event that ends a response, and the response in it.
pub(super) fn ended(
    exchange: &Exchange,
    items: Vec<Value>,
    ending: &ResponseEnding,
) -> (&'static str, Value) {
    let (kind, mut ended) = match ending {
        ResponseEnding::Completed => {
            let mut ended = response(exchange, "completed");
            set(&mut ended, "completed_at", created_at(exchange) + 1);
            ("response.completed", ended)
        }
        ResponseEnding::Incomplete { reason } => {
            let mut ended = response(exchange, "incomplete");
            set(&mut ended, "incomplete_details", json!({ "reason": reason }));
            ("response.incomplete", ended)
        }
        ResponseEnding::Failed { code, message } => {
            let mut ended = response(exchange, "failed");
            set(&mut ended, "error", json!({ "code": code, "message": message }));
            ("response.failed", ended)
        }
    };
    set(&mut ended, "usage", usage(exchange, &items));
    set(&mut ended, "output", items);
    (kind, ended)
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
        "background": sent("background", false.into()),
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

/// Returns a time that is the same in every run.
fn created_at(exchange: &Exchange) -> u64 {
    1_790_000_000 + 10 * exchange.index as u64
}

/// Returns the token usage: four bytes are a token, and the earlier history is cached.
fn usage(exchange: &Exchange, items: &[Value]) -> Value {
    let reasoning = items.iter().filter(|item| item["type"] == "reasoning");
    let (known, brought) = (exchange.known_bytes / 4, exchange.brought_bytes / 4);
    let output = json_size(items) / 4;
    json!({
        "input_tokens": known + brought,
        "input_tokens_details": { "cached_tokens": known, "cache_write_tokens": 0 },
        "output_tokens": output,
        "output_tokens_details": { "reasoning_tokens": json_size(reasoning) / 4 },
        "total_tokens": known + brought + output,
    })
}
