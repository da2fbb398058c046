//! Errors of the API for the form of a request.

use serde_json::Value;

use crate::testing::script::{error_reply::ErrorReply, value::list};

/// Returns the error of a request with a form that the API refuses.
pub(crate) fn check(body: &Value) -> Result<(), ErrorReply> {
    let is_given = |name: &str| body.get(name).is_some_and(|value| !value.is_null());
    match body.get("model") {
        None if is_given("prompt") => {}
        None => return Err(missing("model")),
        Some(Value::String(_)) => {}
        Some(other) => return Err(wrong_type("model", "a string", other)),
    }
    let continues = ["previous_response_id", "conversation", "prompt"].into_iter().any(is_given);
    match body.get("input") {
        None if continues => {}
        None => return Err(missing("input")),
        Some(Value::String(text)) if !text.is_empty() => {}
        Some(Value::Array(items)) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                check_item(item, &format!("input[{index}]"))?;
            }
        }
        Some(Value::String(_) | Value::Array(_)) => {
            // Codex warms up with an empty input, which has no answer.
            if !continues && body.get("generate") != Some(&Value::Bool(false)) {
                return Err(empty());
            }
        }
        Some(other) => {
            return Err(wrong_type("input", "one of a string or array of input items", other));
        }
    }
    for (index, tool) in list(body, "tools").iter().enumerate() {
        let place = format!("tools[{index}]");
        let kind = tool.get("type").and_then(Value::as_str);
        let kind = kind.ok_or_else(|| missing(&format!("{place}.type")))?;
        if ["function", "custom"].contains(&kind) {
            require(tool, &place, &["name"])?;
        }
    }
    Ok(())
}

fn check_item(item: &Value, place: &str) -> Result<(), ErrorReply> {
    if !item.is_object() {
        return Err(wrong_type(place, "an input item", item));
    }
    let kind = match item.get("type") {
        None => "message",
        Some(kind) => one_of(kind, ITEM_TYPES, place)?,
    };
    match kind {
        "message" => check_message(item, place),
        "function_call" => require(item, place, &["call_id", "name", "arguments"]),
        "custom_tool_call" => require(item, place, &["call_id", "name", "input"]),
        "function_call_output" | "custom_tool_call_output" => {
            require(item, place, &["call_id", "output"])
        }
        "item_reference" => require(item, place, &["id"]),
        "reasoning" => require(item, place, &["summary"]),
        _ => Ok(()),
    }
}

fn check_message(item: &Value, place: &str) -> Result<(), ErrorReply> {
    let role = item.get("role").unwrap_or(&Value::Null);
    let role = one_of(role, &["assistant", "system", "developer", "user"], place)?;
    require(item, place, &["content"])?;
    let fitting = if role == "assistant" { OUTPUT_PARTS } else { INPUT_PARTS };
    for (index, part) in list(item, "content").iter().enumerate() {
        let place = format!("{place}.content[{index}]");
        let kind = part.get("type").unwrap_or(&Value::Null);
        one_of(kind, PARTS, &format!("{place}.type"))?;
        let kind = one_of(kind, fitting, &place)?;
        if ["input_text", "output_text"].contains(&kind) {
            require(part, &place, &["text"])?;
        }
    }
    Ok(())
}

/// Returns the text in `value`, which must be one of `supported`.
fn one_of<'a>(value: &'a Value, supported: &[&str], param: &str) -> Result<&'a str, ErrorReply> {
    let value = value.as_str().unwrap_or_default();
    if supported.contains(&value) {
        return Ok(value);
    }
    let mut names: Vec<_> = supported.iter().map(|name| format!("'{name}'")).collect();
    if let Some(last) = names.last_mut() {
        *last = format!("and {last}");
    }
    let separator = if supported.len() > 2 { ", " } else { " " };
    let message =
        format!("Invalid value: '{value}'. Supported values are: {}.", names.join(separator));
    Err(ErrorReply::new(400, "invalid_value", &message).param(param))
}

fn require(object: &Value, place: &str, members: &[&str]) -> Result<(), ErrorReply> {
    match members.iter().find(|name| object.get(**name).is_none()) {
        Some(name) => Err(missing(&format!("{place}.{name}"))),
        None => Ok(()),
    }
}

fn missing(param: &str) -> ErrorReply {
    let message = format!("Missing required parameter: '{param}'.");
    ErrorReply::new(400, "missing_required_parameter", &message).param(param)
}

fn empty() -> ErrorReply {
    let message = "One of \"input\" or \"previous_response_id\" or 'prompt' or 'conversation' must \
                   be provided.";
    ErrorReply::new(400, "missing_required_parameter", message)
}

fn wrong_type(param: &str, expected: &str, value: &Value) -> ErrorReply {
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a decimal",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    let message =
        format!("Invalid type for '{param}': expected {expected}, but got {found} instead.");
    ErrorReply::new(400, "invalid_type", &message).param(param)
}

const ITEM_TYPES: &[&str] = &[
    "additional_tools",
    "agent_message",
    "apply_patch_call",
    "apply_patch_call_output",
    "code_interpreter_call",
    "compaction",
    "compaction_trigger",
    "computer_call",
    "computer_call_output",
    "configuration_update",
    "custom_tool_call",
    "custom_tool_call_output",
    "file_search_call",
    "function_call",
    "function_call_output",
    "image_generation_call",
    "item_reference",
    "local_shell_call",
    "local_shell_call_output",
    "mcp_approval_request",
    "mcp_approval_response",
    "mcp_call",
    "mcp_list_tools",
    "message",
    "multi_agent_call",
    "multi_agent_call_output",
    "program",
    "program_output",
    "reasoning",
    "shell_call",
    "shell_call_output",
    "tool_search_call",
    "tool_search_output",
    "web_search_call",
];

const PARTS: &[&str] = &[
    "input_text",
    "input_image",
    "input_audio",
    "output_text",
    "refusal",
    "input_file",
    "computer_screenshot",
    "summary_text",
    "encrypted_content",
];
const INPUT_PARTS: &[&str] = &["input_text", "input_image", "input_file", "input_audio"];
const OUTPUT_PARTS: &[&str] = &["output_text", "refusal"];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn error(members: Value) -> Value {
        let mut body = json!({ "model": "m", "input": "hi" });
        for (name, value) in members.as_object().unwrap() {
            match value {
                Value::String(gone) if gone == "gone" => body.as_object_mut().unwrap().remove(name),
                value => body.as_object_mut().unwrap().insert(name.clone(), value.clone()),
            };
        }
        check(&body).err().map_or(Value::Null, |error| error.frame()["error"].clone())
    }

    #[test]
    fn each_form_that_the_api_refuses_has_its_error() {
        let user = |content: Value| json!({ "input": [{ "role": "user", "content": content }] });
        for (members, code, param) in [
            (json!({ "model": "gone" }), "missing_required_parameter", json!("model")),
            (json!({ "model": 7 }), "invalid_type", json!("model")),
            (json!({ "input": "gone" }), "missing_required_parameter", json!("input")),
            (json!({ "input": "" }), "missing_required_parameter", Value::Null),
            (json!({ "input": [] }), "missing_required_parameter", Value::Null),
            (json!({ "input": { "a": 1 } }), "invalid_type", json!("input")),
            (json!({ "input": [7] }), "invalid_type", json!("input[0]")),
            (json!({ "input": [{}] }), "invalid_value", json!("input[0]")),
            (json!({ "input": [{ "type": "other" }] }), "invalid_value", json!("input[0]")),
            (json!({ "input": [{ "role": "tool" }] }), "invalid_value", json!("input[0]")),
            (
                json!({ "input": [{ "role": "user" }] }),
                "missing_required_parameter",
                json!("input[0].content"),
            ),
            (
                json!({ "input": [{ "type": "function_call_output", "output": "" }] }),
                "missing_required_parameter",
                json!("input[0].call_id"),
            ),
            (
                user(json!([{ "type": "text", "text": "hi" }])),
                "invalid_value",
                json!("input[0].content[0].type"),
            ),
            (
                user(json!([{ "type": "output_text", "text": "hi" }])),
                "invalid_value",
                json!("input[0].content[0]"),
            ),
            (
                user(json!([{ "type": "input_text" }])),
                "missing_required_parameter",
                json!("input[0].content[0].text"),
            ),
            (
                json!({ "tools": [{ "type": "function", "function": { "name": "f" } }] }),
                "missing_required_parameter",
                json!("tools[0].name"),
            ),
            (json!({ "tools": [{}] }), "missing_required_parameter", json!("tools[0].type")),
        ] {
            let error = error(members.clone());
            assert_eq!((&error["code"], &error["param"]), (&json!(code), &param), "{members}");
        }
        let error = error(json!({ "input": [{ "role": "tool", "content": "" }] }));
        let message = "Invalid value: 'tool'. Supported values are: 'assistant', 'system', \
                       'developer', and 'user'.";
        assert_eq!(error["message"], message);
    }

    #[test]
    fn what_the_api_takes_has_no_error() {
        let assistant = json!({ "role": "assistant", "content": [
            { "type": "output_text", "text": "a" }, { "type": "refusal", "refusal": "b" },
        ] });
        for members in [
            json!({}),
            json!({ "model": "gone", "prompt": { "id": "p" } }),
            json!({ "input": "gone", "previous_response_id": "resp_1" }),
            json!({ "input": [], "conversation": "conv_1" }),
            json!({ "input": [], "generate": false }),
            json!({ "input": [assistant, { "type": "compaction_trigger" }] }),
            json!({ "tools": [{ "type": "web_search" }, { "type": "custom", "name": "f" }] }),
        ] {
            assert_eq!(error(members.clone()), Value::Null, "{members}");
        }
    }
}
