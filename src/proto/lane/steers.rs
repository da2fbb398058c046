//! Steers of an exchange that the server has not settled.
//!
//! A response that is steered ends with a terminal event as any other, but its lane is not free: the
//! next response begins on it by itself, or the server rejects the steer. So the end of an exchange
//! waits for the answers to its steers.

use crate::{
    event::EventKind,
    json::Json,
    proto::wire::{Frame, Role},
};

/// Steers of an exchange that the server has not settled.
#[derive(Debug, Default)]
pub(crate) struct OpenSteers {
    /// Number of steers without an answer.
    unanswered: u32,
    /// Ids of the accepted steers. Each was unanswered before, so that the sender limits the list.
    accepted: Vec<String>,
    /// `true` between the terminal event of a response and the beginning of the next one.
    between: bool,
}

/// Answer of the server to a steer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SteerReply {
    pub(crate) verdict: SteerVerdict,
    /// Id of the steer; empty if the server gave the steer none.
    pub(crate) id: String,
    /// Id of the response that the steer is meant for.
    pub(crate) target: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SteerVerdict {
    Accepted,
    Pending,
    Failed,
}

impl OpenSteers {
    /// Adds a steer that is sent now.
    pub(crate) fn sent(&mut self) {
        self.unanswered = self.unanswered.saturating_add(1);
    }

    /// Returns `true` while the server may begin another response on the lane, or answer a steer.
    pub(crate) fn holds(&self) -> bool {
        self.unanswered > 0 || !self.accepted.is_empty()
    }

    /// Returns `true` if a response has ended, and the next one has not begun.
    pub(crate) fn are_between(&self) -> bool {
        self.between
    }

    /// Records a frame of the exchange. Returns `true` if a response has ended with it or before it,
    /// and no steer is open, so that the exchange is over.
    pub(crate) fn observe(&mut self, frame: &Frame) -> bool {
        match frame.tag.role {
            Role::Metadata if self.holds() => self.answer(frame),
            Role::Lifecycle | Role::Output if self.between => self.continue_with_successor(),
            Role::Terminal => {
                if self.between {
                    self.continue_with_successor();
                }
                self.between = true;
            }
            _ => {}
        }
        self.between && !self.holds()
    }

    /// Records that another response has begun, with the input of all accepted steers.
    fn continue_with_successor(&mut self) {
        self.between = false;
        self.accepted.clear();
    }

    fn answer(&mut self, frame: &Frame) {
        let Some(reply) = SteerReply::of(frame) else { return };
        let known = self.accepted.iter().position(|id| *id == reply.id);
        match (reply.verdict, known) {
            (SteerVerdict::Accepted, None) if self.unanswered > 0 => {
                self.unanswered -= 1;
                self.accepted.push(reply.id);
            }
            (SteerVerdict::Accepted, _) => {}
            (SteerVerdict::Pending | SteerVerdict::Failed, Some(place)) => {
                self.accepted.remove(place);
            }
            (SteerVerdict::Pending | SteerVerdict::Failed, None) => {
                self.unanswered = self.unanswered.saturating_sub(1);
            }
        }
    }
}

impl SteerReply {
    /// Reads an event; `None` if the event does not answer a steer.
    pub(crate) fn of(frame: &Frame) -> Option<Self> {
        let verdict = match frame.tag.kind {
            EventKind::SteerAccepted => SteerVerdict::Accepted,
            EventKind::SteerPending => SteerVerdict::Pending,
            EventKind::SteerFailed => SteerVerdict::Failed,
            _ => return None,
        };
        let payload = Json::from_trusted(frame.payload.clone());
        let steer = payload.get("steer");
        let text = |name| -> String {
            let text = steer.as_ref().and_then(|steer| steer.member(name).ok().flatten());
            text.unwrap_or_default()
        };
        Some(Self { verdict, id: text("id"), target: text("previous_response_id") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::wire::{Wire, responses::Responses};

    /// Feeds these events, and returns the index of each that ended the exchange.
    fn ends(steers: u32, events: &[&str]) -> Vec<usize> {
        let mut open = OpenSteers::default();
        (0..steers).for_each(|_| open.sent());
        let steer = |verdict: &str, id: &str| {
            format!(r#"{{"type":"response.steer.{verdict}","steer":{{"id":"{id}"}}}}"#)
        };
        let payload = |event: &str| match event.split_once(' ') {
            Some((verdict, id)) => steer(verdict, id),
            None => format!(r#"{{"type":"response.{event}","response":{{"id":"r"}}}}"#),
        };
        let frames = events.iter().map(|event| Responses.classify("", payload(event).into()));
        frames.enumerate().filter_map(|(at, frame)| open.observe(&frame).then_some(at)).collect()
    }

    #[test]
    fn c118_an_exchange_ends_with_the_last_response_that_its_steers_lead_to() {
        for (steers, events, end) in [
            (0, vec!["created", "completed"], vec![1]),
            // A steer without an answer may be accepted yet.
            (1, vec!["created", "completed"], vec![]),
            (1, vec!["accepted a", "incomplete", "created", "completed"], vec![3]),
            (2, vec!["accepted a", "accepted b", "incomplete", "created", "completed"], vec![4]),
            // The response ended before the steer was processed.
            (1, vec!["completed", "failed a"], vec![1]),
            (1, vec!["completed", "accepted a", "failed a"], vec![2]),
            (1, vec!["accepted a", "completed", "pending a"], vec![2]),
            (2, vec!["accepted a", "failed ", "completed", "pending a"], vec![3]),
            (2, vec!["accepted a", "incomplete", "created", "failed ", "completed"], vec![4]),
            // An answer to nothing changes nothing.
            (1, vec!["accepted a", "accepted x", "completed", "failed a"], vec![3]),
            (1, vec!["accepted a", "incomplete", "output_text.delta", "completed"], vec![3]),
        ] {
            assert_eq!(ends(steers, &events), end, "{steers} {events:?}");
        }
    }
}
