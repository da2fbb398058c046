//! The injects of a turn, from their sending to their answer: [`Injects`].
//!
//! ```text
//!          created
//!   Sent ───────────▶ Committed
//!     │
//!     │ not sent, failed
//!     ├────────────▶ Failed
//!     │ no answer
//!     └────────────▶ Unknown
//! ```
//!
//! An answer names the response, and not the inject. The server processes the messages of a connection
//! in order, so that an answer is for the first inject of that response that has none.

use std::{collections::VecDeque, fmt};

use super::message::{MAX_OPEN, MessageId, ended_before, failure_of};
use crate::{
    api::masked,
    proto::{
        lane::{MessageKind, messages::InjectReply},
        wire::Frame,
    },
    request::{History, Item},
};

/// State of an inject: see [`InjectHandle`](crate::InjectHandle).
///
/// After the turn, [`function_calls`](crate::Response::function_calls) returns the calls without an
/// output in the conversation. Answer these in the next request, whatever the state.
///
/// ```
/// use responses_client::InjectState;
///
/// fn show(state: &InjectState) {
///     match state {
///         InjectState::Committed => println!("the response continues with the outputs"),
///         InjectState::Failed { code, input, .. } => println!("{code}: {} items", input.len()),
///         InjectState::Unknown => println!("no answer"),
///         _ => println!("open"),
///     }
/// }
/// # let _ = show;
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub enum InjectState {
    /// The server has not answered yet.
    Sent,
    /// The outputs are part of the response. They are in
    /// [`Response::output_items`](crate::Response::output_items): do not send them again.
    Committed,
    /// The server rejected the outputs, or the response had ended before they were sent.
    #[non_exhaustive]
    Failed {
        /// Code of the server, for example `response_already_completed` or `response_not_found`;
        /// empty if it sent none.
        code: String,
        /// Human-readable message; empty if the server sent none.
        message: String,
        /// The outputs, for the next request.
        input: History,
    },
    /// The server may or may not have taken the outputs: the connection was lost, the stream was
    /// dropped, or no answer came within 10 s after the end of the response. They are not sent
    /// again. The next turn sends the full request, so that it may have the outputs.
    Unknown,
}

impl InjectState {
    /// Returns `true` if the state changes no more.
    pub fn is_settled(&self) -> bool {
        !matches!(self, Self::Sent)
    }
}

impl fmt::Debug for InjectState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sent => f.write_str("Sent"),
            Self::Committed => f.write_str("Committed"),
            Self::Failed { code, .. } => {
                f.debug_struct("Failed").field("code", &masked(code, 64)).finish_non_exhaustive()
            }
            Self::Unknown => f.write_str("Unknown"),
        }
    }
}

/// The injects of a turn.
#[derive(Debug, Default)]
pub(crate) struct Injects {
    /// Injects without an answer, in the order of their sending.
    open: VecDeque<Inject>,
    updates: VecDeque<(MessageId, InjectState)>,
    next: u32,
    /// `true` if outputs were committed.
    committed: bool,
    /// `true` if the history of the server may have outputs at another place than that of the
    /// caller, or outputs that the other one lacks.
    diverged: bool,
}

#[derive(Debug)]
struct Inject {
    message: MessageId,
    /// Id of the response that the inject is for.
    target: String,
    input: History,
}

/// Outputs that the server took into a response.
#[derive(Debug)]
pub(super) struct CommittedOutputs {
    pub(super) target: String,
    pub(super) items: Vec<Item>,
}

impl Injects {
    /// Returns `true` if another inject would exceed the limit.
    pub(super) fn are_full(&self) -> bool {
        self.open.len() >= MAX_OPEN
    }

    /// Adds an inject that is about to be sent.
    pub(super) fn add(&mut self, target: String, input: History) -> MessageId {
        let message = MessageId { kind: MessageKind::Inject, number: self.next };
        self.next = self.next.wrapping_add(1);
        self.open.push_back(Inject { message, target, input });
        message
    }

    /// Returns the next change of a state.
    pub(super) fn poll_update(&mut self) -> Option<(MessageId, InjectState)> {
        self.updates.pop_front()
    }

    /// Records that an inject was sent, or that it was not, because its response had ended.
    pub(super) fn sent(&mut self, message: MessageId, sent: bool) {
        if sent {
            return;
        }
        let place = self.open.iter().position(|inject| inject.message == message);
        if let Some(inject) = place.and_then(|place| self.open.remove(place)) {
            self.fail(inject, ended_before());
        }
    }

    /// Records a frame, if the frame answers an inject. Returns the outputs that the response now
    /// has.
    pub(super) fn observe(&mut self, frame: &Frame) -> Option<CommittedOutputs> {
        if self.open.is_empty() {
            return None;
        }
        let reply = InjectReply::of(frame)?;
        let is_target = |inject: &Inject| reply.target.is_empty() || inject.target == reply.target;
        let place = self.open.iter().position(is_target)?;
        let inject = self.open.remove(place)?;
        if !reply.committed {
            self.fail(inject, failure_of(frame));
            return None;
        }
        self.committed = true;
        let Inject { message, target, input } = inject;
        self.updates.push_back((message, InjectState::Committed));
        Some(CommittedOutputs { target, items: input.iter().cloned().collect() })
    }

    /// Records that the server refused an inject with the error in `frame`.
    pub(super) fn refuse(&mut self, frame: &Frame) {
        if let Some(inject) = self.open.pop_front() {
            self.fail(inject, failure_of(frame));
        }
    }

    /// Records that the caller's history cannot have committed outputs at their place.
    pub(super) fn diverge(&mut self) {
        self.diverged = true;
    }

    /// Returns `true` while the server may answer an inject.
    pub(super) fn hold(&self) -> bool {
        !self.open.is_empty()
    }

    /// Returns `true` if repeating the turn's request could lose outputs, or have them processed
    /// twice.
    pub(super) fn bind(&self) -> bool {
        !self.open.is_empty() || self.committed || self.diverged
    }

    /// Returns `true` if the histories of the server and of the caller may differ.
    pub(super) fn have_diverged(&self) -> bool {
        self.diverged
    }

    /// Makes the injects unknown that have no answer.
    pub(super) fn lose(&mut self) {
        for inject in self.open.drain(..) {
            self.updates.push_back((inject.message, InjectState::Unknown));
            self.diverged = true;
        }
    }

    fn fail(&mut self, inject: Inject, (code, message): (String, String)) {
        let Inject { message: id, input, .. } = inject;
        self.updates.push_back((id, InjectState::Failed { code, message, input }));
    }
}

/// Returns `true` if the server takes this input for a running response: outputs for calls that the
/// caller answers.
pub(super) fn is_valid(input: &History) -> bool {
    let has = |item: &Item, name| {
        let id: Option<String> = item.json().member(name).ok().flatten();
        id.is_some_and(|id| !id.is_empty())
    };
    let is_output = |item: &Item| match item.item_type() {
        "function_call_output"
        | "custom_tool_call_output"
        | "computer_call_output"
        | "shell_call_output"
        | "local_shell_call_output"
        | "apply_patch_call_output" => has(item, "call_id"),
        "tool_search_output" => {
            let execution: Option<String> = item.json().member("execution").ok().flatten();
            has(item, "call_id") && execution.as_deref() != Some("server")
        }
        "mcp_approval_response" => has(item, "approval_request_id"),
        _ => false,
    };
    !input.is_empty() && input.iter().all(is_output)
}

#[cfg(test)]
mod tests;
