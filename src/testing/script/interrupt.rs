//! The interruption of a response that is running.

use serde_json::{Value, json};

use super::error_reply::ErrorReply;

/// Answer of the server to each `response.interrupt` during a [`Turn`](crate::testing::Turn).
///
/// ```
/// use responses_client::testing::{Interrupting, Turn};
///
/// let turn = Turn::text("A long answer").interrupting(Interrupting::AfterItem);
/// # drop(turn);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Interrupting {
    /// The response ends immediately, without the items that are not finished. A
    /// `response.output_item.interrupted` names each of them.
    #[default]
    Accept,
    /// The response ends as soon as no item is unfinished.
    AfterItem,
    /// The response cannot be interrupted: `response.interrupt.failed`.
    Refuse,
    /// No answer, and no effect.
    Ignore,
}

/// A `response.interrupt`.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt {
    /// Id of the response that it is meant for.
    pub(crate) target: String,
    mode: Option<Value>,
}

impl Interrupt {
    /// Returns the interrupt in a message.
    pub(crate) fn new(body: &Value) -> Self {
        let target = body["response_id"].as_str().unwrap_or_default().to_owned();
        Self { target, mode: body.get("mode").cloned() }
    }

    /// Returns the error of a message that is no valid interrupt.
    pub(crate) fn check(&self) -> Result<(), ErrorReply> {
        if self.mode.as_ref().is_none_or(|mode| mode == "discard_partial_items") {
            return Ok(());
        }
        let message = "`mode` must be `discard_partial_items`.";
        Err(ErrorReply::new(400, "invalid_value", message).param("mode"))
    }

    /// Returns the event that accepts the interrupt.
    pub(crate) fn accepted(&self) -> Value {
        json!({ "type": "response.interrupt.accepted", "response_id": self.target })
    }

    /// Returns the event that refuses the interrupt.
    pub(crate) fn failed(&self) -> Value {
        json!({ "type": "response.interrupt.failed", "response_id": self.target })
    }

    /// Returns the error of an interrupt whose response does not run.
    pub(crate) fn not_found(&self) -> ErrorReply {
        let message = format!("No active response with id '{}'.", self.target);
        ErrorReply::new(400, "response_not_found", &message).param("response_id")
    }
}

/// Returns the event that an item stays unfinished.
pub(crate) fn item_interrupted(response_id: &str, item_id: &Value, output_index: u64) -> Value {
    json!({
        "type": "response.output_item.interrupted",
        "response_id": response_id,
        "item_id": item_id,
        "output_index": output_index,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_mode_is_known() {
        let is_valid = |body: Value| Interrupt::new(&body).check().is_ok();
        assert!(is_valid(json!({})) && is_valid(json!({ "mode": "discard_partial_items" })));
        assert!(!is_valid(json!({ "mode": "other" })) && !is_valid(json!({ "mode": null })));
    }
}
