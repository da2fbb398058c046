//! Steers of a turn that runs, and the course that they give it.

#![expect(clippy::indexing_slicing, reason = "a missing member of a JSON value reads as null")]

use serde_json::Value;

use super::notices::Notices;
use crate::testing::{
    script::{
        lane::Lane,
        steer::{MAX_STEERS, Steer, Steering, output, required_input},
    },
    server::hub_state::Received,
};

/// Steers of a turn that runs.
#[derive(Debug, Default)]
pub(super) struct Steers {
    steering: Steering,
    /// The accepted steers with their ids.
    accepted: Vec<(String, Steer)>,
    /// Events that wait for the request with the required input.
    late: Vec<Value>,
    waits_for_client: bool,
}

/// Accepted steers of a response that has ended.
pub(super) struct Steered {
    pub(super) lane: Lane,
    /// Id of the response.
    pub(super) parent: String,
    /// Request for the response that continues with the input of the steers.
    pub(super) successor: Received,
    /// Events that come before the response to the next request that continues the response.
    pub(super) late: Vec<Value>,
    pub(super) order: SuccessorOrder,
}

/// Order of the response that continues after steers, and of a request of the client that
/// continues the same response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SuccessorOrder {
    /// A request that waits takes the input, so that there is only one response.
    Joined,
    /// The next request takes the input: the client must send it.
    Required,
    First,
    Last,
}

impl Steered {
    /// Returns `true` if a request with this body, on this lane, continues the steered response.
    pub(super) fn is_continued_by(&self, lane: &Lane, body: &Value) -> bool {
        self.lane == *lane && body["previous_response_id"] == *self.parent
    }
}

impl Steers {
    pub(super) fn new(steering: Steering) -> Self {
        Self { steering, ..Self::default() }
    }

    /// Returns `true` if a steer is accepted.
    pub(super) fn are_accepted(&self) -> bool {
        !self.accepted.is_empty()
    }

    /// Returns the order of the next response.
    pub(super) fn order(&self) -> SuccessorOrder {
        match self.steering {
            Steering::SuccessorLast => SuccessorOrder::Last,
            _ if self.waits_for_client => SuccessorOrder::Required,
            Steering::SuccessorFirst => SuccessorOrder::First,
            _ => SuccessorOrder::Joined,
        }
    }

    /// Answers a steer, which gets `id` if it is accepted. `refusal` is the code of a steer that
    /// the server never accepts.
    pub(super) fn add(
        &mut self,
        steer: &Steer,
        id: String,
        refusal: Option<&str>,
        notices: &mut Notices,
    ) {
        let code = match &self.steering {
            Steering::Ignore => return,
            Steering::Refuse(code) => Some(refusal.unwrap_or(code)),
            _ if self.accepted.len() == MAX_STEERS => refusal.or(Some("too_many_pending_steers")),
            _ => refusal,
        };
        match code {
            Some(code) => notices.push(steer.failed(None, code)),
            None => {
                notices.push(steer.accepted(&id));
                self.accepted.push((id, steer.clone()));
            }
        }
    }

    /// Decides what becomes of the accepted steers when the response ends.
    pub(super) fn end(&mut self, end: &Value, notices: &mut Notices) {
        let is_base = matches!(
            (end["type"].as_str(), end["response"]["incomplete_details"]["reason"].as_str()),
            (Some("response.completed" | "response.done"), _)
                | (Some("response.incomplete"), Some("steered"))
        );
        let code = match &self.steering {
            Steering::FailLater(code) => Some(code.as_str()),
            _ if !is_base => Some("response_not_active"),
            _ => None,
        };
        if let Some(code) = code {
            for (id, steer) in self.accepted.drain(..) {
                notices.push(steer.failed(Some(&id), code));
            }
            return;
        }
        let required = required_input(output(end));
        if end["type"] == "response.completed" && !required.is_empty() {
            self.waits_for_client = true;
            let pending = self.accepted.iter().map(|(id, steer)| steer.pending(id, &required));
            match self.steering {
                Steering::PendingLate => self.late.extend(pending),
                _ => pending.for_each(|event| notices.push(event)),
            }
        }
    }

    /// Takes the input of the accepted steers in order; `None` if there are none.
    pub(super) fn take_input(&mut self) -> Option<Vec<Value>> {
        let accepted = std::mem::take(&mut self.accepted);
        let input: Vec<_> = accepted.iter().flat_map(|(_, steer)| steer.items()).collect();
        (!input.is_empty()).then_some(input)
    }

    /// Takes the events that wait for the request with the required input.
    pub(super) fn take_late(&mut self) -> Vec<Value> {
        std::mem::take(&mut self.late)
    }
}
