//! What a turn did to get its answer.

use std::{fmt, time::Duration};

pub use server::ServerHeaders;

#[doc(inline)]
pub use crate::response::Anomaly;

use crate::{
    config::Transport,
    kind::{Delivery, ErrorKind},
};

mod server;

/// What a turn did to get its answer: over which transport, with what plan, in how many attempts,
/// and when.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct TurnReport {
    /// The transport of the last attempt; `None` when nothing was attempted.
    pub transport: Option<Transport>,
    /// Whether the last attempt used a connection that was open already. Over SSE it says whether
    /// the session had made a request before, as the pool of connections tells no more.
    pub reused: bool,
    /// What the last attempt sent; `None` when it sent nothing.
    pub plan: Option<Plan>,
    /// Bytes of all request bodies and frames that were given to connections for the turn, without
    /// heads and masks.
    pub bytes_sent: u64,
    /// Bytes of all events that came for the turn, without framing and heads.
    pub bytes_received: u64,
    /// Events handed out.
    pub events: u64,
    /// All attempts, the last one at the end.
    pub attempts: Vec<Attempt>,
    /// When each phase was over.
    pub timings: Timings,
    /// Oddities of the events that did no harm; at most 32 are kept.
    pub anomalies: Vec<Anomaly>,
    /// What came of [`prewarm`](crate::ResponsesSession::prewarm), in the turn that follows it.
    pub prewarm: Option<Prewarm>,
    /// The headers of the last attempt's answer: the request's id, what is left of the rates.
    pub server: ServerHeaders,
}

/// What came of what was done ahead of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Prewarm {
    /// A WebSocket was open, or the turn goes over SSE.
    Connected,
    /// The server had read the request, and the turn continues from there.
    Warmed,
    /// It was of no use.
    Wasted(Waste),
}

/// Why what was done ahead of a turn was of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Waste {
    /// It failed.
    Failed(ErrorKind),
    /// The server did not end it in [`Timeouts::prewarm`](crate::Timeouts::prewarm).
    TimedOut,
    /// The server generated output that nobody had asked for. It was cut off.
    Generated,
    /// The server refused to.
    Refused,
    /// The request of the turn was another one.
    Unused,
}

/// One attempt of a turn.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Attempt {
    /// Its transport.
    pub transport: Transport,
    /// Whether it went on where the one before was cut off, without sending the request again: of
    /// a response in the [background](crate::ResponsesRequest#structfield.background).
    pub resumed: bool,
    /// How it failed; `None` for one that did not.
    pub failure: Option<Failure>,
}

/// How an attempt failed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Failure {
    /// What happened.
    pub kind: ErrorKind,
    /// How far the request got.
    pub delivery: Delivery,
    /// The error in words, as [`Error`](crate::Error) shows it.
    pub message: String,
}

/// What was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Plan {
    /// A reference to the response before, and what is new since.
    Incremental {
        /// How many items were new.
        new_items: usize,
    },
    /// Everything.
    Full(FullReason),
}

/// Why everything was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FullReason {
    /// The session had no turn before.
    FirstTurn,
    /// `model` changed.
    ModelChanged,
    /// `tools` changed.
    ToolsChanged,
    /// `instructions` changed.
    InstructionsChanged,
    /// This other field changed.
    FieldChanged(String),
    /// The history was edited: the item at this index is not the one that was there.
    PrefixDiverged {
        /// The index of the item.
        at: usize,
    },
    /// The history ends before the response to be continued does.
    InputShorter,
    /// There is no item behind the response to be continued.
    NothingNew,
    /// The turn before failed, was cancelled, or ended incomplete.
    PriorNotCompleted,
    /// The server keeps the response with a connection that is no longer there, or another.
    ConnectionChanged,
    /// The server did not have the response any more.
    ParentNotFound,
    /// The server ended the response under another id than it began it, so that it is not known
    /// which one names it.
    ParentAmbiguous,
    /// The request says itself what it continues.
    CallerManaged,
    /// The provider has no continuation over this transport: over SSE unless
    /// [`continue_over_sse`](crate::ResponsesClientBuilder::continue_over_sse) is set, and anywhere
    /// for 10 minutes after the server called `previous_response_id` unsupported twice in a row.
    ProviderUnsupported,
    /// Incremental sending is turned off:
    /// [`incremental`](crate::ResponsesClientBuilder::incremental).
    Disabled,
}

/// When each phase of a turn was over, counted from the call of
/// [`stream`](crate::ResponsesSession::stream); the last attempt's, where there were several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timings {
    /// The session was free for the turn: what was left of the turn before had been put away.
    pub queued: Option<Duration>,
    /// The connection was open, its upgrade included; `None` for one that was open before. Over
    /// SSE connecting is part of [`first_byte`](Self::first_byte).
    pub connected: Option<Duration>,
    /// The request was written; over SSE, its answer had begun.
    pub sent: Option<Duration>,
    /// The head of the answer, or the first frame, had come.
    pub first_byte: Option<Duration>,
    /// The first event of the response had come.
    pub first_event: Option<Duration>,
    /// The first piece of text for the user had come.
    pub first_text: Option<Duration>,
    /// The event that ended the response had come.
    pub done: Option<Duration>,
}

impl FullReason {
    /// The reason in snake case, without its details.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::FirstTurn => "first_turn",
            Self::ModelChanged => "model_changed",
            Self::ToolsChanged => "tools_changed",
            Self::InstructionsChanged => "instructions_changed",
            Self::FieldChanged(_) => "field_changed",
            Self::PrefixDiverged { .. } => "prefix_diverged",
            Self::InputShorter => "input_shorter",
            Self::NothingNew => "nothing_new",
            Self::PriorNotCompleted => "prior_not_completed",
            Self::ConnectionChanged => "connection_changed",
            Self::ParentNotFound => "parent_not_found",
            Self::ParentAmbiguous => "parent_ambiguous",
            Self::CallerManaged => "caller_managed",
            Self::ProviderUnsupported => "provider_unsupported",
            Self::Disabled => "disabled",
        }
    }
}

impl fmt::Display for FullReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())?;
        match self {
            Self::FieldChanged(name) => write!(f, " ({name})"),
            Self::PrefixDiverged { at } => write!(f, " (at {at})"),
            _ => Ok(()),
        }
    }
}

impl Plan {
    /// Whether everything was sent.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full(_))
    }
}

impl fmt::Display for Plan {
    /// `incremental: 2 new` or `full: tools_changed`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Incremental { new_items } => write!(f, "incremental: {new_items} new"),
            Self::Full(reason) => write!(f, "full: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_shown_with_its_reason_and_its_details() {
        let shown = |plan: Plan| plan.to_string();
        assert_eq!(shown(Plan::Incremental { new_items: 2 }), "incremental: 2 new");
        assert_eq!(shown(Plan::Full(FullReason::ToolsChanged)), "full: tools_changed");
        let edited = FullReason::PrefixDiverged { at: 7 };
        assert_eq!(shown(Plan::Full(edited)), "full: prefix_diverged (at 7)");
    }
}
