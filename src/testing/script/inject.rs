//! Input that a client gives to a multi-agent response that is running.

use serde_json::{Value, json};

use super::error_reply::ErrorReply;

/// Value of the header `OpenAI-Beta` in the upgrade of a WebSocket that may inject.
pub(crate) const BETA: &str = "responses_multi_agent=v1";

/// Answer of the server to each `response.inject` during a [`Turn`](crate::testing::Turn).
///
/// ```
/// use responses_client::testing::{Injecting, Step, Turn};
///
/// // The response waits for the input, which the server refuses.
/// let refuses = Injecting::Refuse("response_already_completed".to_owned());
/// let turn = Turn::text("Hello").insert(2, Step::AwaitInject).injecting(refuses);
/// # drop(turn);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Injecting {
    /// The input becomes part of the conversation.
    #[default]
    Accept,
    /// The input fails with this code.
    Refuse(String),
    /// No answer, and no effect.
    Ignore,
}

/// A `response.inject`.
#[derive(Clone, Debug)]
pub(crate) struct Inject {
    /// Id of the response that it is meant for.
    pub(crate) target: String,
    /// `input` as it was sent.
    sent: Value,
}

impl Inject {
    /// Returns the inject in a message.
    pub(crate) fn new(body: &Value) -> Self {
        let target = body["response_id"].as_str().unwrap_or_default().to_owned();
        Self { target, sent: body["input"].clone() }
    }

    /// Returns the error of a message that is no valid inject.
    pub(crate) fn check(&self) -> Result<(), ErrorReply> {
        let is_output = |item: &Value| match item["type"].as_str() {
            Some("mcp_approval_response") => item["approval_request_id"].is_string(),
            Some(kind) => kind.ends_with("_output") && item["call_id"].is_string(),
            None => false,
        };
        if !self.items().is_empty() && self.items().iter().all(is_output) {
            return Ok(());
        }
        let message = "`input` must be a list of outputs of calls.";
        Err(ErrorReply::new(400, "invalid_value", message).param("input"))
    }

    /// Returns the input.
    pub(crate) fn items(&self) -> &[Value] {
        self.sent.as_array().map(Vec::as_slice).unwrap_or_default()
    }

    /// Returns the event that accepts the input.
    pub(crate) fn created(&self) -> Value {
        json!({ "type": "response.inject.created", "response_id": self.target })
    }

    /// Returns the event that gives the input back.
    pub(crate) fn failed(&self, code: &str) -> Value {
        json!({
            "type": "response.inject.failed",
            "response_id": self.target,
            "input": self.sent,
            "error": { "code": code, "message": "The response takes no input." },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inject_has_outputs_of_calls_only() {
        let is_valid = |input: Value| Inject::new(&json!({ "input": input })).check().is_ok();
        let output = json!({ "type": "function_call_output", "call_id": "c", "output": "7" });
        let approval = json!({ "type": "mcp_approval_response", "approval_request_id": "m" });
        assert!(is_valid(json!([output, approval])));
        for input in [
            json!([]),
            json!("text"),
            json!([{ "role": "user", "content": "x" }]),
            json!([{ "type": "function_call_output" }]),
            json!([output, { "type": "function_call", "call_id": "c" }]),
        ] {
            assert!(!is_valid(input.clone()), "{input}");
        }
    }
}
