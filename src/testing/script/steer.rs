//! Steering: input for a response that is running.

#![expect(clippy::indexing_slicing, reason = "a missing member of a JSON value reads as null")]

use serde_json::{Value, json};

use super::value::list;

/// Number of steers that may wait for the successor of one response.
pub(crate) const MAX_STEERS: usize = 16;

/// Answer of the server to each `response.steer` during a [`Turn`](crate::testing::Turn).
///
/// ```
/// use responses_client::testing::{Steering, Turn};
///
/// let refuses = Steering::Refuse("steering_not_supported".to_owned());
/// let turn = Turn::text("A long answer").steering(refuses);
/// # drop(turn);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Steering {
    /// The steer is accepted. Another response continues with its input.
    #[default]
    Accept,
    /// The steer fails with this code.
    Refuse(String),
    /// The steer is accepted, and fails with this code when its response has ended.
    FailLater(String),
    /// No answer, and no effect.
    Ignore,
}

/// A `response.steer`.
#[derive(Clone, Debug)]
pub(crate) struct Steer {
    /// Id of the response that it is meant for.
    pub(crate) target: String,
    /// `input` as it was sent.
    sent: Value,
}

impl Steer {
    /// Returns the steer in a message, if the message is one.
    pub(crate) fn of(body: &Value) -> Option<Self> {
        (body["type"] == "response.steer").then(|| Self {
            target: body["previous_response_id"].as_str().unwrap_or_default().to_owned(),
            sent: body["input"].clone(),
        })
    }

    /// Returns `true` if the message has just the members of a steer, and user messages as input.
    pub(crate) fn is_valid(body: &Value) -> bool {
        let has = |value: &Value, allowed: &[&str]| {
            value.as_object().is_some_and(|it| it.keys().all(|key| allowed.contains(&&**key)))
        };
        let is_message = |item: &Value| {
            has(item, &["type", "role", "content"])
                && matches!(item["type"].as_str(), None | Some("message"))
                && item["role"] == "user"
        };
        let input = match &body["input"] {
            Value::String(_) => true,
            Value::Array(items) => !items.is_empty() && items.iter().all(is_message),
            _ => false,
        };
        input && has(body, &["type", "previous_response_id", "input"])
    }

    /// Returns the input as items.
    pub(crate) fn items(&self) -> Vec<Value> {
        match &self.sent {
            Value::String(text) => {
                vec![json!({ "type": "message", "role": "user", "content": text })]
            }
            sent => sent.as_array().cloned().unwrap_or_default(),
        }
    }

    /// Returns the event that accepts the steer under `id`.
    pub(crate) fn accepted(&self, id: &str) -> Value {
        json!({
            "type": "response.steer.accepted",
            "steer": { "id": id, "previous_response_id": self.target },
        })
    }

    /// Returns the event that lists input that the client must send first.
    pub(crate) fn pending(&self, id: &str, required: &[Value]) -> Value {
        json!({
            "type": "response.steer.pending",
            "reason": "waiting_for_required_input",
            "required_input": required,
            "steer": { "id": id, "previous_response_id": self.target },
        })
    }

    /// Returns the event that gives the input back. `id` is that of an accepted steer.
    pub(crate) fn failed(&self, id: Option<&str>, code: &str) -> Value {
        let mut steer = json!({ "previous_response_id": self.target, "input": self.sent });
        if let Some(id) = id {
            steer["id"] = id.into();
        }
        json!({
            "type": "response.steer.failed",
            "error": {
                "type": "invalid_request_error",
                "code": code,
                "message": "The response cannot be steered.",
            },
            "steer": steer,
        })
    }
}

/// Returns the id of the response that a `response.interrupt` is meant for; `None` for any other
/// message.
pub(crate) fn interrupted_id(body: &Value) -> Option<String> {
    let id = body["response_id"].as_str().unwrap_or_default();
    (body["type"] == "response.interrupt").then(|| id.to_owned())
}

/// Returns the event that accepts a `response.interrupt`.
pub(crate) fn interrupt_accepted(id: &str) -> Value {
    json!({ "type": "response.interrupt.accepted", "response_id": id })
}

/// Returns a description of each item that a response with this output waits for.
pub(crate) fn required_input(output: &[Value]) -> Vec<Value> {
    let required = |item: &Value| {
        let answer = |kind: &str| Some(json!({ "type": kind, "call_id": item["call_id"] }));
        match item["type"].as_str()? {
            "function_call" => Some(json!({
                "type": "function_call_output",
                "call_id": item["call_id"],
                "name": item["name"],
            })),
            "custom_tool_call" => answer("custom_tool_call_output"),
            "computer_call" => answer("computer_call_output"),
            "shell_call" => answer("shell_call_output"),
            "apply_patch_call" => answer("apply_patch_call_output"),
            "tool_search_call" if item["execution"] == "client" => Some(json!({
                "type": "tool_search_output",
                "call_id": item["call_id"],
                "execution": "client",
            })),
            "mcp_approval_request" => Some(json!({
                "type": "mcp_approval_response",
                "approval_request_id": item["id"],
            })),
            _ => None,
        }
    };
    output.iter().filter_map(required).collect()
}

/// Returns the event that ends a response early, with the items that were `finished`. `terminal` is
/// the event that the response would have ended with.
pub(crate) fn ended_early(
    terminal: &Value,
    finished: Vec<Value>,
    reason: &str,
    number: u64,
) -> Value {
    let mut response = terminal["response"].clone();
    response["status"] = "incomplete".into();
    response["completed_at"] = Value::Null;
    response["incomplete_details"] = json!({ "reason": reason });
    response["output"] = finished.into();
    json!({ "type": "response.incomplete", "sequence_number": number, "response": response })
}

/// Returns the output in a terminal event.
pub(crate) fn output(terminal: &Value) -> &[Value] {
    list(&terminal["response"], "output")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::items;

    #[test]
    fn a_response_waits_for_what_only_the_client_can_give() {
        let approval = items::mcp_approval_request("server", "run", "{}");
        let search = json!({ "type": "tool_search_call", "execution": "client", "call_id": "s" });
        let output = [
            items::message("a"),
            items::web_search_call("tides"),
            items::function_call("f", "add", "{}"),
            items::custom_tool_call("c", "shell", "ls"),
            items::apply_patch_call("p", "a.txt", "+a"),
            search,
            approval.clone(),
        ];
        let required = required_input(&output);
        let kinds: Vec<_> = required.iter().filter_map(|it| it["type"].as_str()).collect();
        assert_eq!(
            kinds,
            [
                "function_call_output",
                "custom_tool_call_output",
                "apply_patch_call_output",
                "tool_search_output",
                "mcp_approval_response"
            ]
        );
        assert_eq!((&required[0]["call_id"], &required[0]["name"]), (&json!("f"), &json!("add")));
        assert_eq!(required[4]["approval_request_id"], approval["id"]);
    }

    #[test]
    fn a_steer_has_three_members_and_messages_of_the_user() {
        let steer = |input: Value| json!({ "type": "response.steer", "previous_response_id": "r", "input": input });
        let message = json!({ "role": "user", "content": "x" });
        for valid in [json!("x"), json!([message]), json!([message, message])] {
            assert!(Steer::is_valid(&steer(valid.clone())), "{valid}");
        }
        let named = json!({ "role": "user", "content": "x", "id": "msg_1" });
        for invalid in [json!([]), json!([named]), json!([{ "role": "assistant" }]), json!(null)] {
            assert!(!Steer::is_valid(&steer(invalid.clone())), "{invalid}");
        }
        let mut other = steer(json!("x"));
        other["stream_id"] = json!("a");
        assert!(!Steer::is_valid(&other));
    }
}
