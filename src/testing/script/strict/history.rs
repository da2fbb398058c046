//! Errors of the API for the items of a conversation.

use std::collections::HashSet;

use serde_json::Value;

use crate::testing::script::error_reply::ErrorReply;

/// A kind of calls that the client answers with an output.
struct CallKind {
    call: &'static str,
    output: &'static str,
    /// Name of the calls in error messages.
    name: &'static str,
}

const CALL_KINDS: [CallKind; 4] = [
    CallKind { call: "function_call", output: "function_call_output", name: "function call" },
    CallKind {
        call: "custom_tool_call",
        output: "custom_tool_call_output",
        name: "custom tool call",
    },
    CallKind {
        call: "apply_patch_call",
        output: "apply_patch_call_output",
        name: "apply patch call",
    },
    CallKind { call: "computer_call", output: "computer_call_output", name: "computer call" },
];

/// Returns the error of a conversation that the API refuses: the history that the request
/// continues, and its input.
pub(crate) fn check(history: &[Value]) -> Result<(), ErrorReply> {
    let mut ids = HashSet::new();
    for item in history {
        let id = member(item, "id");
        if member(item, "type") == "item_reference" {
            return Err(ErrorReply::without_code(
                404,
                format!(
                    "Item with id '{id}' not found. Items are not persisted when `store` is set to \
                 false. Try again with `store` set to true, or remove this item from your input."
                ),
            )
            .param("input"));
        }
        if !id.is_empty() && !ids.insert(id) {
            return Err(refused(format!(
                "Duplicate item found with id {id}. Remove duplicate items from your input and try \
                 again."
            )));
        }
    }
    CALL_KINDS.iter().try_for_each(|kind| check_calls(history, kind))
}

/// Checks that each call of this kind has exactly one output, and each output a call.
fn check_calls(history: &[Value], kind: &CallKind) -> Result<(), ErrorReply> {
    let CallKind { call, output, name } = kind;
    let ids = |of: &str| {
        let items = history.iter().filter(|item| member(item, "type") == of);
        items.map(|item| member(item, "call_id")).collect::<Vec<_>>()
    };
    let (calls, outputs) = (ids(call), ids(output));
    let mut answered = HashSet::new();
    for id in outputs {
        if !calls.contains(&id) {
            let message = format!("No tool call found for {name} output with call_id {id}.");
            return Err(refused(message));
        }
        if !answered.insert(id) {
            return Err(refused(format!(
                "Duplicate {output} for call_id '{id}'. Each {call} must have exactly one matching \
                 {output}"
            )));
        }
    }
    match calls.into_iter().find(|id| !answered.contains(id)) {
        Some(id) => Err(refused(format!("No tool output found for {name} {id}."))),
        None => Ok(()),
    }
}

fn refused(message: String) -> ErrorReply {
    ErrorReply::without_code(400, message).param("input")
}

fn member<'a>(item: &'a Value, name: &str) -> &'a str {
    item.get(name).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn message(history: Value) -> Option<String> {
        let error = check(history.as_array().unwrap()).err()?.frame();
        assert_eq!(
            (&error["error"]["param"], &error["error"]["code"]),
            (&json!("input"), &Value::Null)
        );
        Some(error["error"]["message"].as_str().unwrap().to_owned())
    }

    #[test]
    fn each_call_has_one_output_and_each_output_a_call() {
        for kind in CALL_KINDS {
            let call = json!({ "type": kind.call, "call_id": "call_1" });
            let output = json!({ "type": kind.output, "call_id": "call_1" });
            let user = json!({ "role": "user", "content": "hi" });
            assert_eq!(message(json!([user, call, user, output])), None);
            let orphan = message(json!([user, output])).unwrap();
            let name = kind.name;
            assert_eq!(
                orphan,
                format!("No tool call found for {name} output with call_id call_1.")
            );
            let pending = message(json!([call, user])).unwrap();
            assert_eq!(pending, format!("No tool output found for {name} call_1."));
            let doubled = message(json!([call, output, output])).unwrap();
            assert!(doubled.starts_with(&format!("Duplicate {} for call_id", kind.output)));
        }
    }

    #[test]
    fn ids_are_unique_and_references_are_known() {
        let item = json!({ "type": "reasoning", "id": "rs_1", "summary": [] });
        assert_eq!(message(json!([item, { "id": "" }, { "id": "" }])), None);
        let doubled = message(json!([item, item])).unwrap();
        assert!(doubled.starts_with("Duplicate item found with id rs_1."), "{doubled}");
        let unknown = message(json!([{ "type": "item_reference", "id": "rs_1" }])).unwrap();
        assert!(unknown.starts_with("Item with id 'rs_1' not found."), "{unknown}");
    }
}
