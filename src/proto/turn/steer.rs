//! The steers of a turn, from their sending to their end: [`Steers`].
//!
//! ```text
//!          sent           accepted            created of the successor
//!   Queued ────▶ Sent ───────────────▶ Accepted ─────────────────────▶ Committed
//!     │           │                    │      │ pending                    ▲
//!     │ not sent  │ failed             │      ▼       created of the       │
//!     ▼           ▼                    │   Pending ─── next turn ──────────┘
//!   Failed ◀──────┴──── failed ────────┴──────┘
//! ```
//!
//! A lost connection, or a successor that does not come, makes a steer `Unknown`, unless the steer is
//! pending: the history of the caller then has its input.

use std::fmt;

use super::{
    message::{MAX_OPEN, MessageId, ended_before, failure_of},
    response::ResponseReader,
};
use crate::{
    api::masked,
    error::Error,
    event::ResponseEvent,
    json::Json,
    proto::{
        lane::{
            MessageKind,
            messages::{SteerReply, SteerVerdict},
        },
        wire::Frame,
    },
    request::{History, Item, ResponsesRequest},
};

/// State of a steer: see [`SteerHandle`](crate::SteerHandle).
///
/// ```
/// use responses_client::SteerState;
///
/// fn show(state: &SteerState) {
///     match state {
///         SteerState::Committed { response_id, .. } => println!("continued by {response_id}"),
///         SteerState::Failed { code, input, .. } => println!("{code}: {} items", input.len()),
///         SteerState::Unknown => println!("do not send it again: it may have been applied"),
///         _ => println!("open"),
///     }
/// }
/// # let _ = show;
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub enum SteerState {
    /// The server has not answered yet.
    Sent,
    /// The server accepted the input and has not applied it yet.
    Accepted,
    /// The response ended with calls that the caller must answer. The next turn of the session sends
    /// the answers, and the server applies the input with them. The input is in
    /// [`Response::output_items`](crate::Response::output_items): do not send it again. The state
    /// stays if that turn fails.
    #[non_exhaustive]
    Pending {
        /// Items that the server waits for, each without the caller's part.
        required_input: Vec<Json>,
    },
    /// The server rejected the input, or the response had ended before the input was sent.
    #[non_exhaustive]
    Failed {
        /// Code of the server, for example `response_already_completed`; empty if it sent none.
        code: String,
        /// Human-readable message; empty if the server sent none.
        message: String,
        /// The input, to be sent in another way.
        input: History,
    },
    /// Another response continues with the input.
    #[non_exhaustive]
    Committed {
        /// Id of that response; empty if the server sent none.
        response_id: String,
    },
    /// The server may or may not have applied the input: the connection was lost, the stream was
    /// dropped, or no response followed within 10 s. The input is never sent again.
    Unknown,
}

impl SteerState {
    /// Returns `true` if the state changes no more, or only with the next turn.
    pub fn is_settled(&self) -> bool {
        !matches!(self, Self::Sent | Self::Accepted)
    }
}

impl fmt::Debug for SteerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sent => f.write_str("Sent"),
            Self::Accepted => f.write_str("Accepted"),
            Self::Pending { required_input } => {
                f.debug_struct("Pending").field("required_input", &required_input.len()).finish()
            }
            Self::Failed { code, .. } => {
                f.debug_struct("Failed").field("code", &masked(code, 64)).finish_non_exhaustive()
            }
            Self::Committed { response_id } => {
                f.debug_struct("Committed").field("response_id", response_id).finish()
            }
            Self::Unknown => f.write_str("Unknown"),
        }
    }
}

/// End of a response that another response may continue, or that has messages without an answer.
#[derive(Debug)]
pub(crate) struct HeldEnd {
    pub(super) end: Result<ResponseEvent, Error>,
    pub(super) reader: ResponseReader,
    /// `true` once the wait for the open messages is over, and their fate is not known.
    pub(super) given_up: bool,
}

/// A pending steer at the end of its turn.
#[derive(Clone, Debug)]
pub(crate) struct PendingSteer {
    pub(crate) message: MessageId,
    id: String,
    input: History,
}

/// The steers of a turn.
#[derive(Debug, Default)]
pub(crate) struct Steers {
    /// Steers whose end is open, in the order of their sending.
    open: Vec<Steer>,
    /// Steers of the previous turn that this turn's request carries.
    carried: Vec<Steer>,
    updates: Vec<(MessageId, SteerState)>,
    next: u32,
    successors: usize,
    /// `true` if a carried steer failed, so that the server's history lacks its input.
    diverged: bool,
    /// `true` if a steer became unknown.
    lost: bool,
}

#[derive(Debug)]
struct Steer {
    message: MessageId,
    input: History,
    /// Id that the server gave the steer; empty before it is accepted.
    id: String,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The message is not known to be sent.
    Queued,
    Sent,
    Accepted,
    Pending,
}

/// Maximum number of responses that follow the first one.
const MAX_SUCCESSORS: usize = MAX_OPEN;

impl Steers {
    /// Returns `true` if another steer would exceed a limit.
    pub(super) fn are_full(&self) -> bool {
        self.open.len() >= MAX_OPEN || self.successors >= MAX_SUCCESSORS
    }

    /// Adds a steer that is about to be sent.
    pub(super) fn add(&mut self, input: History) -> MessageId {
        let message = self.next_message();
        self.open.push(Steer { message, input, id: String::new(), stage: Stage::Queued });
        message
    }

    /// Adds the pending steers of the previous turn. Returns the message of each in this turn.
    pub(super) fn carry(&mut self, pending: Vec<PendingSteer>) -> Vec<MessageId> {
        let carried = pending.into_iter().map(|PendingSteer { id, input, .. }| {
            let message = self.next_message();
            self.carried.push(Steer { message, input, id, stage: Stage::Pending });
            message
        });
        carried.collect()
    }

    /// Returns the next change of a state.
    pub(super) fn poll_update(&mut self) -> Option<(MessageId, SteerState)> {
        (!self.updates.is_empty()).then(|| self.updates.remove(0))
    }

    /// Records that a steer was sent, or that it was not, because its response had ended.
    pub(super) fn sent(&mut self, message: MessageId, sent: bool) {
        let place = self.open.iter().position(|steer| steer.message == message);
        let Some(place) = place else { return };
        if !sent {
            let (code, message) = ended_before();
            let steer = self.open.remove(place);
            return self.fail(steer, code, message);
        }
        let steer = self.open.get_mut(place).filter(|steer| steer.stage == Stage::Queued);
        steer.into_iter().for_each(|steer| steer.stage = Stage::Sent);
    }

    /// Records a frame, if the frame answers a steer.
    pub(super) fn observe(&mut self, frame: &Frame) {
        if self.open.is_empty() && self.carried.is_empty() {
            return;
        }
        let Some(reply) = SteerReply::of(frame) else { return };
        if let Some(place) = self.carried.iter().position(|steer| steer.id == reply.id)
            && !reply.id.is_empty()
        {
            if reply.verdict == SteerVerdict::Failed {
                self.diverged = true;
                let steer = self.carried.remove(place);
                self.fail_with(steer, frame);
            }
            return;
        }
        let known = |steer: &Steer| !reply.id.is_empty() && steer.id == reply.id;
        let place = self.open.iter().position(known);
        let Some(place) = place.or_else(|| self.first_unanswered()) else { return };
        match reply.verdict {
            SteerVerdict::Failed => {
                let steer = self.open.remove(place);
                self.fail_with(steer, frame);
            }
            SteerVerdict::Accepted => {
                if let Some(steer) = self.open.get_mut(place).filter(|steer| steer.is_unanswered())
                {
                    (steer.stage, steer.id) = (Stage::Accepted, reply.id);
                    self.updates.push((steer.message, SteerState::Accepted));
                }
            }
            SteerVerdict::Pending => {
                let Some(steer) = self.open.get_mut(place) else { return };
                (steer.stage, steer.id) = (Stage::Pending, reply.id);
                let payload = Json::from_trusted(frame.payload.clone());
                let required = payload.member("required_input").ok().flatten().unwrap_or_default();
                let state = SteerState::Pending { required_input: required };
                self.updates.push((steer.message, state));
            }
        }
    }

    /// Records that the server refused a steer with the error in `frame`.
    pub(super) fn refuse(&mut self, frame: &Frame) {
        if let Some(place) = self.first_unanswered() {
            let steer = self.open.remove(place);
            self.fail_with(steer, frame);
        }
    }

    /// Returns `true` if a steer has no answer.
    pub(super) fn await_answer(&self) -> bool {
        self.first_unanswered().is_some()
    }

    /// Returns the place of the steer that an answer without a known id is for: the server answers
    /// in order.
    fn first_unanswered(&self) -> Option<usize> {
        self.open.iter().position(Steer::is_unanswered)
    }

    /// Returns `true` while the server may continue the response with another one, or answer a steer.
    pub(super) fn hold(&self) -> bool {
        self.open.iter().any(|steer| steer.stage != Stage::Pending)
    }

    /// Returns `true` if repeating the turn's request could lose a steer or apply it twice.
    pub(super) fn bind(&self) -> bool {
        !self.open.is_empty() || self.successors > 0 || self.lost
    }

    /// Returns `true` if the history of the server lacks input that the caller's history has.
    pub(super) fn have_diverged(&self) -> bool {
        self.diverged
    }

    /// Commits the accepted steers to the response that continues. Returns their items.
    pub(super) fn commit(&mut self, response_id: &str) -> Vec<Item> {
        self.successors += 1;
        let is_accepted = |steer: &mut Steer| steer.stage == Stage::Accepted;
        let accepted: Vec<_> = self.open.extract_if(.., is_accepted).collect();
        for steer in &accepted {
            self.update_committed(steer.message, response_id);
        }
        accepted.iter().flat_map(|steer| steer.input.iter().cloned()).collect()
    }

    /// Commits the carried steers whose input `request` has. The response with this id answers it.
    pub(super) fn commit_carried(&mut self, response_id: &str, request: &ResponsesRequest) {
        for steer in std::mem::take(&mut self.carried) {
            let has = |item: &Item| request.input.iter().any(|it| it == item);
            if steer.input.iter().all(has) {
                self.update_committed(steer.message, response_id);
            } else {
                self.updates.push((steer.message, SteerState::Unknown));
            }
        }
    }

    /// Returns the items of the pending steers.
    pub(super) fn pending_items(&self) -> Vec<Item> {
        let pending = self.open.iter().filter(|steer| steer.stage == Stage::Pending);
        pending.flat_map(|steer| steer.input.iter().cloned()).collect()
    }

    /// Removes and returns the pending steers.
    pub(super) fn take_pending(&mut self) -> Vec<PendingSteer> {
        let pending = self.open.extract_if(.., |steer| steer.stage == Stage::Pending);
        let pending = pending.map(|Steer { message, input, id, .. }| (message, input, id));
        pending.map(|(message, input, id)| PendingSteer { message, id, input }).collect()
    }

    /// Makes the steers unknown whose end is open.
    pub(super) fn lose(&mut self) {
        for steer in self.open.extract_if(.., |steer| steer.stage != Stage::Pending) {
            self.updates.push((steer.message, SteerState::Unknown));
            self.lost = true;
        }
    }

    fn next_message(&mut self) -> MessageId {
        let message = MessageId { kind: MessageKind::Steer, number: self.next };
        self.next = self.next.wrapping_add(1);
        message
    }

    fn update_committed(&mut self, message: MessageId, response_id: &str) {
        let response_id = response_id.to_owned();
        self.updates.push((message, SteerState::Committed { response_id }));
    }

    fn fail_with(&mut self, steer: Steer, frame: &Frame) {
        let (code, message) = failure_of(frame);
        self.fail(steer, code, message);
    }

    fn fail(&mut self, steer: Steer, code: String, message: String) {
        let Steer { message: id, input, .. } = steer;
        self.updates.push((id, SteerState::Failed { code, message, input }));
    }
}

impl Steer {
    fn is_unanswered(&self) -> bool {
        matches!(self.stage, Stage::Queued | Stage::Sent)
    }
}

/// Returns `true` if the server takes this input for a running response: user messages only.
pub(super) fn is_valid(input: &History) -> bool {
    let is_message = |item: &Item| {
        let names: Option<Vec<String>> = item.json().decode::<Members>().ok().map(|it| it.0);
        item.item_type() == "message"
            && item.role() == Some("user")
            && names.is_some_and(|names| {
                names.iter().all(|name| matches!(name.as_str(), "type" | "role" | "content"))
            })
    };
    !input.is_empty() && input.iter().all(is_message)
}

/// Names of the members of an object.
struct Members(Vec<String>);

impl<'de> serde::Deserialize<'de> for Members {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use std::collections::BTreeMap;

        use serde::de::IgnoredAny;
        let members = BTreeMap::<String, IgnoredAny>::deserialize(deserializer)?;
        Ok(Self(members.into_keys().collect()))
    }
}

#[cfg(test)]
mod tests;
