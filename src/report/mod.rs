//! Report of a turn.

use std::{fmt, time::Duration};

pub use server::ServerHeaders;

#[doc(inline)]
pub use crate::response::Anomaly;

use crate::{
    config::Transport,
    kind::{Delivery, ErrorKind},
};

mod server;

/// Report of a turn: its attempts, their transport, what they sent, and their timing.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct TurnReport {
    /// Transport of the last attempt; `None` if no attempt was made.
    pub transport: Option<Transport>,
    /// `true` if the last attempt used a connection that was already open. Over SSE, `true` if the
    /// session had made a request before, because the connection pool reports no more.
    pub reused: bool,
    /// Content that the last attempt sent; `None` if it sent nothing.
    pub plan: Option<Plan>,
    /// Bytes of all request bodies and frames handed to connections for the turn, without heads and
    /// masks.
    pub bytes_sent: u64,
    /// Bytes of all events received for the turn, without framing and heads.
    pub bytes_received: u64,
    /// Number of events yielded to the caller.
    pub events: u64,
    /// All attempts, in order.
    pub attempts: Vec<Attempt>,
    /// Times at which the phases of the turn ended.
    pub timings: Timings,
    /// Harmless irregularities of the events; at most 32 are kept.
    pub anomalies: Vec<Anomaly>,
    /// Outcome of the [`prewarm`](crate::ResponsesSession::prewarm) before the turn; `None` if
    /// there was none.
    pub prewarm: Option<Prewarm>,
    /// Headers of the last attempt's answer, such as the request id and the remaining rates.
    pub server: ServerHeaders,
}

/// Outcome of a prewarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Prewarm {
    /// A WebSocket was open, or the turn goes over SSE.
    Connected,
    /// The server had processed the request, and the turn continues from there.
    Warmed,
    /// The prewarm was useless.
    Failed(PrewarmFailure),
}

/// Reason why a prewarm was useless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PrewarmFailure {
    /// The prewarm failed with an error of this kind.
    Error(ErrorKind),
    /// The server did not end the prewarm within [`Timeouts::prewarm`](crate::Timeouts::prewarm).
    TimedOut,
    /// The server generated output, although the prewarm asked for none. The output was cut off.
    Generated,
    /// The server refused the prewarm.
    Refused,
    /// The turn sent a different request.
    Unused,
}

/// One attempt of a turn.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Attempt {
    /// Transport of the attempt.
    pub transport: Transport,
    /// `true` if the attempt continued a cut response without sending the request again. Only
    /// responses in the [background](crate::ResponsesRequest#structfield.background) can be
    /// resumed.
    pub resumed: bool,
    /// Failure of the attempt; `None` if it succeeded.
    pub failure: Option<Failure>,
}

/// Failure of an attempt.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Failure {
    /// Kind of the error.
    pub kind: ErrorKind,
    /// Furthest point that the request reached.
    pub delivery: Delivery,
    /// Text of the error, as [`Error`](crate::Error) displays it.
    pub message: String,
}

/// Content that a turn sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Plan {
    /// A reference to the previous response, and the items after it.
    Incremental {
        /// Number of new items.
        new_items: usize,
    },
    /// The full request.
    Full(FullSendReason),
}

/// Reason why the full request was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FullSendReason {
    /// The session had no previous turn.
    FirstTurn,
    /// `model` changed.
    ModelChanged,
    /// `tools` changed.
    ToolsChanged,
    /// `instructions` changed.
    InstructionsChanged,
    /// The named field changed.
    FieldChanged(String),
    /// The history was edited: the item at this index differs from the one sent before.
    PrefixDiverged {
        /// Index of the item.
        at: usize,
    },
    /// The history ends before the response to continue does.
    InputShorter,
    /// No item follows the response to continue.
    NothingNew,
    /// The previous turn failed, was cancelled, or ended incomplete.
    PriorNotCompleted,
    /// The server keeps the response only with a connection that is closed or is not the current
    /// one.
    ConnectionChanged,
    /// The server no longer had the response.
    ParentNotFound,
    /// The server ended the response under another id than it started it, so that the id to
    /// continue is ambiguous.
    ParentAmbiguous,
    /// The request itself names the response or the conversation to continue.
    CallerManaged,
    /// The provider supports no continuation here: the turn went over SSE and the response is not
    /// stored, or the server called `previous_response_id` unsupported twice in a row within the
    /// last 10 minutes.
    ProviderUnsupported,
    /// The turn went over SSE, and
    /// [`continue_over_sse`](crate::ResponsesClientBuilder::continue_over_sse) is off.
    SseContinuationOff,
    /// Incremental sending is off: see [`incremental`](crate::ResponsesClientBuilder::incremental).
    Disabled,
}

/// Times at which the phases of a turn ended, counted from the call of
/// [`stream`](crate::ResponsesSession::stream). After several attempts, the times are those of the
/// last one. `None` for a phase that was not reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timings {
    /// The session was free for the turn: the rest of the previous turn had been cleaned up.
    pub queued: Option<Duration>,
    /// The connection was open, including its upgrade; `None` if it was open before the turn. Over
    /// SSE, connecting is part of [`first_byte`](Self::first_byte).
    pub connected: Option<Duration>,
    /// The request was written. Over SSE, its answer had started.
    pub sent: Option<Duration>,
    /// The head of the answer, or the first frame, had arrived.
    pub first_byte: Option<Duration>,
    /// The first event of the response had arrived.
    pub first_event: Option<Duration>,
    /// The first piece of text for the user had arrived.
    pub first_text: Option<Duration>,
    /// The event that ended the response had arrived.
    pub done: Option<Duration>,
}

impl FullSendReason {
    /// Returns the reason in snake case, without its details.
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
            Self::SseContinuationOff => "sse_continuation_off",
            Self::Disabled => "disabled",
        }
    }
}

impl fmt::Display for FullSendReason {
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
    /// Returns `true` if the full request was sent.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full(_))
    }
}

impl fmt::Display for Plan {
    /// Formats as `incremental: 2 new` or `full: tools_changed`.
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
        assert_eq!(shown(Plan::Full(FullSendReason::ToolsChanged)), "full: tools_changed");
        let edited = FullSendReason::PrefixDiverged { at: 7 };
        assert_eq!(shown(Plan::Full(edited)), "full: prefix_diverged (at 7)");
    }
}
