//! Messages of the client about a response that is running.

#![expect(clippy::indexing_slicing, reason = "a missing member of a JSON value reads as null")]

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::{
    error_reply::ErrorReply,
    inject::{Inject, Injecting},
    interrupt::{Interrupt, Interrupting},
    steer::{Steer, Steering},
    step::Step,
    value::is_terminal,
};

/// A message about a response that is running.
#[derive(Clone, Debug)]
pub(crate) enum TurnMessage {
    Steer(Steer),
    Inject(Inject),
    Interrupt(Interrupt),
}

/// Answers to the messages about the response of a turn.
#[derive(Clone, Debug, Default)]
pub(crate) struct MessageAnswers {
    pub(crate) steering: Steering,
    pub(crate) injecting: Injecting,
    pub(crate) interrupting: Interrupting,
}

impl TurnMessage {
    /// Returns the message in `body`, if it is one about a response.
    pub(crate) fn of(body: &Value) -> Option<Self> {
        match body["type"].as_str()? {
            "response.steer" => Some(Self::Steer(Steer::new(body))),
            "response.inject" => Some(Self::Inject(Inject::new(body))),
            "response.interrupt" => Some(Self::Interrupt(Interrupt::new(body))),
            _ => None,
        }
    }

    /// Returns the id of the response that the message is about.
    pub(crate) fn target(&self) -> &str {
        match self {
            Self::Steer(steer) => &steer.target,
            Self::Inject(inject) => &inject.target,
            Self::Interrupt(interrupt) => &interrupt.target,
        }
    }

    /// Returns the error of a message to which no event gives its input back.
    pub(crate) fn check(&self) -> Result<(), ErrorReply> {
        match self {
            Self::Steer(_) => Ok(()),
            Self::Inject(inject) => inject.check(),
            Self::Interrupt(interrupt) => interrupt.check(),
        }
    }

    /// Returns `true` if `step` waits for a message of this kind.
    pub(crate) fn is_awaited_by(&self, step: &Step) -> bool {
        match self {
            Self::Steer(_) => matches!(step, Step::AwaitSteer),
            Self::Inject(_) => matches!(step, Step::AwaitInject),
            Self::Interrupt(_) => matches!(step, Step::AwaitInterrupt),
        }
    }
}

/// Returns the event that ends a response, if it is a terminal event that has not been sent.
pub(crate) fn terminal_to_replace(steps: &VecDeque<Step>) -> Option<Value> {
    let mut events = steps.iter().filter_map(Step::event);
    let end = events.find(|event| is_terminal(event) || event["type"] == "error");
    end.filter(is_terminal)
}

/// Returns `true` if the response ends with the next event.
pub(crate) fn ends_next(steps: &VecDeque<Step>) -> bool {
    let next = steps.iter().find_map(Step::event);
    next.is_some_and(|next| is_terminal(&next))
}

/// Returns the event that ends a response early for this reason, with the items that were
/// `finished`. `terminal` is the event that the response would have ended with.
pub(crate) fn ended_early(
    terminal: &Value,
    reason: &str,
    finished: Vec<Value>,
    number: u64,
) -> Value {
    let mut response = terminal["response"].clone();
    response["status"] = "incomplete".into();
    response["completed_at"] = Value::Null;
    response["incomplete_details"] = json!({ "reason": reason });
    response["output"] = finished.into();
    json!({ "type": "response.incomplete", "sequence_number": number, "response": response })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_known_by_their_type() {
        let target = |body: Value| TurnMessage::of(&body).map(|it| it.target().to_owned());
        let steer = json!({ "type": "response.steer", "previous_response_id": "a" });
        assert_eq!(target(steer).as_deref(), Some("a"));
        for kind in ["response.inject", "response.interrupt"] {
            assert_eq!(target(json!({ "type": kind, "response_id": "b" })).as_deref(), Some("b"));
        }
        assert_eq!(target(json!({ "type": "response.create" })), None);
        assert_eq!(target(json!({ "type": "response.cancel" })), None);
    }

    #[test]
    fn a_response_without_a_terminal_event_cannot_end_early() {
        let step = |kind: &&str| Step::Event(json!({ "type": kind }));
        let steps = |kinds: &[&str]| kinds.iter().map(step).collect::<VecDeque<_>>();
        let (delta, end) = ("response.output_text.delta", "response.completed");
        for (kinds, can_end, comes_next) in [
            ([delta, end].as_slice(), true, false),
            (&[end], true, true),
            (&["error", end], false, false),
            (&[delta, "error", "response.failed"], false, false),
            (&[delta], false, false),
            (&[], false, false),
        ] {
            let steps = steps(kinds);
            assert_eq!(terminal_to_replace(&steps).is_some(), can_end, "{kinds:?}");
            assert_eq!(ends_next(&steps), comes_next, "{kinds:?}");
        }
    }
}
