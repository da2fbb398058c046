//! Messages about the response of an exchange that the server has not settled.
//!
//! A response that is steered ends with a terminal event as any other, but its lane is not free: the
//! next response begins on it by itself, or the server rejects the steer. The server may also reject
//! injected outputs after the end of their response. So the end of an exchange waits for the answers
//! to its messages.

use crate::{
    api::ErrorCode,
    event::EventKind,
    json::Json,
    proto::{
        normalize,
        wire::{Frame, Role},
    },
};

/// Kind of a message about a running response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MessageKind {
    Steer,
    Inject,
    Interrupt,
}

/// Message about a running response.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) kind: MessageKind,
    /// Id of the response.
    pub(crate) target: String,
    pub(crate) frame: String,
}

/// Messages of an exchange that the server has not settled.
#[derive(Debug, Default)]
pub(crate) struct OpenMessages {
    /// Targets of the steers without an answer, in the order of their sending. The sender limits
    /// each of the lists.
    steers: Vec<String>,
    /// Ids of the accepted steers. Each was unanswered before.
    accepted: Vec<String>,
    /// Targets of the injects without an answer, in the order of their sending.
    injects: Vec<String>,
    /// `true` between the terminal event of a response and the beginning of the next one.
    between: bool,
}

/// Relation of an answer to the messages of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answers {
    /// The answer names a message of the lane, or the response of one.
    Own,
    /// The answer names nothing, and the lane has a message without an answer.
    Perhaps,
    No,
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

impl OpenMessages {
    /// Adds a message about the response `target` that is sent now.
    pub(crate) fn sent(&mut self, kind: MessageKind, target: &str) {
        match kind {
            MessageKind::Steer => self.steers.push(target.to_owned()),
            MessageKind::Inject => self.injects.push(target.to_owned()),
            MessageKind::Interrupt => {}
        }
    }

    /// Returns `true` while the server may begin another response on the lane, or answer a message.
    pub(crate) fn holds(&self) -> bool {
        !self.steers.is_empty() || !self.accepted.is_empty() || !self.injects.is_empty()
    }

    /// Returns `true` if a response has ended, and the next one has not begun.
    pub(crate) fn are_between(&self) -> bool {
        self.between
    }

    /// Returns the relation of `frame` to the messages that wait for an answer.
    pub(crate) fn are_answered_by(&self, frame: &Frame) -> Answers {
        if !self.holds() {
            return Answers::No;
        }
        let (target, sent) = if let Some(reply) = SteerReply::of(frame) {
            if self.accepted.contains(&reply.id) && !reply.id.is_empty() {
                return Answers::Own;
            }
            (reply.target, &self.steers)
        } else if let Some(reply) = InjectReply::of(frame) {
            (reply.target, &self.injects)
        } else if self.refused_by(frame).is_some() {
            return Answers::Perhaps;
        } else {
            return Answers::No;
        };
        match target.is_empty() {
            false if sent.contains(&target) => Answers::Own,
            true if !sent.is_empty() => Answers::Perhaps,
            _ => Answers::No,
        }
    }

    /// Returns the kind of the message that a frame refuses with an error.
    pub(crate) fn refused_by(&self, frame: &Frame) -> Option<MessageKind> {
        refused_message(frame, !self.steers.is_empty(), !self.injects.is_empty())
    }

    /// Records a frame of the exchange. Returns `true` if a response has ended with it or before it,
    /// and no message is open, so that the exchange is over.
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
        match self.refused_by(frame) {
            Some(MessageKind::Steer) => remove_sent(&mut self.steers, ""),
            Some(MessageKind::Inject) => remove_sent(&mut self.injects, ""),
            Some(MessageKind::Interrupt) | None => {}
        }
        if let Some(reply) = InjectReply::of(frame) {
            // The sender takes no answer about another response.
            if reply.target.is_empty() || self.injects.contains(&reply.target) {
                remove_sent(&mut self.injects, &reply.target);
            }
            return;
        }
        let Some(reply) = SteerReply::of(frame) else { return };
        let known = self.accepted.iter().position(|id| *id == reply.id);
        match (reply.verdict, known) {
            (SteerVerdict::Accepted, None) if !self.steers.is_empty() => {
                remove_sent(&mut self.steers, &reply.target);
                self.accepted.push(reply.id);
            }
            (SteerVerdict::Accepted, _) => {}
            (SteerVerdict::Pending | SteerVerdict::Failed, Some(place)) => {
                self.accepted.remove(place);
            }
            (SteerVerdict::Pending | SteerVerdict::Failed, None) => {
                remove_sent(&mut self.steers, &reply.target);
            }
        }
    }
}

/// Removes the first message about the response `target`, or else the first one: the server answers
/// in order.
fn remove_sent(sent: &mut Vec<String>, target: &str) {
    let place = sent.iter().position(|it| it == target).unwrap_or_default();
    if place < sent.len() {
        sent.remove(place);
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

/// Answer of the server to an inject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InjectReply {
    pub(crate) committed: bool,
    /// Id of the response that the inject is meant for; empty if the server sent none. An answer
    /// names nothing else.
    pub(crate) target: String,
}

impl InjectReply {
    /// Reads an event; `None` if the event does not answer an inject.
    pub(crate) fn of(frame: &Frame) -> Option<Self> {
        let committed = match frame.tag.kind {
            EventKind::InjectCreated => true,
            EventKind::InjectFailed => false,
            _ => return None,
        };
        Some(Self { committed, target: frame.response_id().unwrap_or_default() })
    }
}

/// Returns the kind of the message that a server refuses with an error, because it does not know the
/// message or the response that the message names. `steers` and `injects` are `true` if such messages
/// have no answer.
///
/// Any other error may be that of the response. An error that is taken for an answer would let the
/// turn wait for the end of a response that has ended.
pub(crate) fn refused_message(frame: &Frame, steers: bool, injects: bool) -> Option<MessageKind> {
    if frame.tag.kind != EventKind::ErrorEvent || !(steers || injects) {
        return None;
    }
    let error = normalize::error_frame(frame);
    let message = error.message().unwrap_or_default();
    let (names_steer, names_inject) =
        (message.contains("response.steer"), message.contains("response.inject"));
    // A response that runs has neither a wrong type nor an id that is not known.
    let is_refusal = names_steer
        || names_inject
        || error.param() == Some("type")
        || matches!(error.code(), Some(ErrorCode::UnknownEventType | ErrorCode::ResponseNotFound));
    match (names_steer, names_inject) {
        _ if !is_refusal => None,
        (true, false) => steers.then_some(MessageKind::Steer),
        (false, true) => injects.then_some(MessageKind::Inject),
        _ if steers && injects => None,
        _ if steers => Some(MessageKind::Steer),
        _ => Some(MessageKind::Inject),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::wire::{Wire, responses::Responses};

    /// Feeds these events, and returns the index of each that ended the exchange.
    fn ends(steers: u32, events: &[&str]) -> Vec<usize> {
        let mut open = OpenMessages::default();
        (0..steers).for_each(|_| open.sent(MessageKind::Steer, "r"));
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

    #[test]
    fn c291_only_an_error_that_can_be_no_other_refuses_a_message() {
        let error = |error: &str| {
            let error = format!(r#"{{"type":"error","status":400,"error":{error}}}"#);
            Responses.classify("", error.into())
        };
        let steer = Some(MessageKind::Steer);
        let inject = Some(MessageKind::Inject);
        for (payload, of_steers, of_injects, of_both) in [
            (r#"{"code":"unknown_event_type","message":"No."}"#, steer, inject, None),
            (r#"{"code":"response_not_found","message":"No."}"#, steer, inject, None),
            (r#"{"code":"invalid_value","message":"No.","param":"type"}"#, steer, inject, None),
            (r#"{"code":null,"message":"Unknown: 'response.inject'"}"#, None, inject, inject),
            (r#"{"code":null,"message":"Unknown: 'response.steer'"}"#, steer, None, steer),
            (
                r#"{"code":"context_length_exceeded","message":"x","param":"input"}"#,
                None,
                None,
                None,
            ),
            (r#"{"code":"invalid_value","message":"No.","param":"input"}"#, None, None, None),
            (r#"{"code":"server_error","message":"No."}"#, None, None, None),
        ] {
            let frame = error(payload);
            let refused = |steers, injects| refused_message(&frame, steers, injects);
            assert_eq!(refused(true, false), of_steers, "{payload}");
            assert_eq!(refused(false, true), of_injects, "{payload}");
            assert_eq!(refused(true, true), of_both, "{payload}");
            assert_eq!(refused(false, false), None, "{payload}");
        }
        // Another event with such an error is about something else.
        let failed = r#"{"type":"response.failed","error":{"code":"unknown_event_type"}}"#;
        let failed = Responses.classify("", failed.into());
        assert_eq!(refused_message(&failed, true, true), None);
    }
}
