//! Steers of a turn that runs, and the course that they give it.

#![expect(clippy::indexing_slicing, reason = "a missing member of a JSON value reads as null")]

use std::collections::VecDeque;

use serde_json::Value;

use crate::testing::script::{
    lane::Lane,
    steer::{MAX_STEERS, Steer, Steering, interrupt_accepted, output, required_input},
    step::Step,
    value::{is_terminal, set},
};

/// Steers of a turn that runs.
#[derive(Debug, Default)]
pub(super) struct Steers {
    steering: Steering,
    accepted: Vec<(String, Steer)>,
    begun: usize,
    /// Events that come before the next step.
    notices: VecDeque<Value>,
    /// Number of items that have begun and not ended.
    open_items: usize,
    /// Sequence number of the next event, and the number of events among the script's.
    next_number: u64,
    inserted: u64,
    has_ended: bool,
    waits_for_client: bool,
    is_interrupted: bool,
}

/// Input of steers that waits for the next request on its lane.
#[derive(Debug)]
pub(super) struct Steered {
    pub(super) lane: Lane,
    /// Id of the response that the request continues.
    pub(super) parent: String,
    pub(super) input: Vec<Value>,
}

impl Steered {
    /// Returns `true` if a request with this body, on this lane, gets the input.
    pub(super) fn is_taken_by(&self, lane: &Lane, body: &Value) -> bool {
        self.lane == *lane && body["previous_response_id"] == *self.parent
    }
}

impl Steers {
    pub(super) fn new(steering: Steering) -> Self {
        Self { steering, ..Self::default() }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    pub(super) fn waits_for_client(&self) -> bool {
        self.waits_for_client
    }

    /// Answers a steer.
    pub(super) fn add(&mut self, steer: &Steer, is_valid: bool) {
        let code = match &self.steering {
            Steering::Ignore => return,
            _ if !is_valid => "invalid_input",
            Steering::Refuse(code) => code,
            _ if self.accepted.len() == MAX_STEERS => "too_many_pending_steers",
            Steering::Accept | Steering::FailLater(_) => {
                let id = format!("steer_{}_{}", self.begun, steer.target);
                self.begun += 1;
                self.notices.push_back(steer.accepted(&id));
                return self.accepted.push((id, steer.clone()));
            }
        };
        self.notices.push_back(steer.failed(None, code));
    }

    /// Accepts the interruption of the response with this id.
    pub(super) fn interrupt(&mut self, id: &str) {
        self.is_interrupted = true;
        self.notices.push_back(interrupt_accepted(id));
    }

    /// Returns the reason why the response ends early.
    pub(super) fn reason(&self) -> &'static str {
        if self.is_interrupted { "interrupted" } else { "steered" }
    }

    /// Returns the event that comes before the next step.
    pub(super) fn next_notice(&mut self) -> Option<Value> {
        let mut notice = self.notices.pop_front()?;
        set(&mut notice, "sequence_number", self.next_number);
        self.next_number += 1;
        self.inserted += 1;
        Some(notice)
    }

    /// Returns the terminal event of a turn that must end before it, because the turn is interrupted,
    /// or because a steer waits and no item is unfinished.
    pub(super) fn cut_short(&self, steps: &VecDeque<Step>) -> Option<Value> {
        let is_steered = !self.accepted.is_empty() && self.open_items == 0;
        if self.has_ended || !is_steered && !self.is_interrupted {
            return None;
        }
        let mut events = steps.iter().filter_map(Step::event);
        let next = events.next().filter(|next| !is_terminal(next) && next["type"] != "error");
        next.and_then(|_| events.find(is_terminal))
    }

    /// Returns the number of the next event in the numbering of the script.
    pub(super) fn number(&self) -> u64 {
        self.next_number.saturating_sub(self.inserted)
    }

    /// Records an event of the script before it is sent. Returns `true` if it has another number
    /// now, because events were inserted before it.
    pub(super) fn observe(&mut self, event: &mut Value) -> bool {
        match event["type"].as_str() {
            Some("response.output_item.added") => self.open_items += 1,
            Some("response.output_item.done") => {
                self.open_items = self.open_items.saturating_sub(1);
            }
            _ => {}
        }
        let number = event["sequence_number"].as_u64();
        if let Some(number) = number {
            self.next_number = number + self.inserted + 1;
        }
        if is_terminal(event) || event["type"] == "error" {
            self.end(event);
        }
        let Some(number) = number.filter(|_| self.inserted > 0) else { return false };
        set(event, "sequence_number", number + self.inserted);
        true
    }

    /// Decides what becomes of the accepted steers when the response ends.
    fn end(&mut self, end: &Value) {
        self.has_ended = true;
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
            let failed = self.accepted.drain(..).map(|(id, steer)| steer.failed(Some(&id), code));
            return self.notices.extend(failed);
        }
        let required = required_input(output(end));
        if end["type"] == "response.completed" && !required.is_empty() {
            self.waits_for_client = true;
            let accepted = self.accepted.iter();
            self.notices.extend(accepted.map(|(id, steer)| steer.pending(id, &required)));
        }
    }

    /// Returns the input of the accepted steers in order; `None` if there are none.
    pub(super) fn take_input(&mut self) -> Option<Vec<Value>> {
        let accepted = std::mem::take(&mut self.accepted);
        let input: Vec<_> = accepted.iter().flat_map(|(_, steer)| steer.items()).collect();
        (!input.is_empty()).then_some(input)
    }
}
