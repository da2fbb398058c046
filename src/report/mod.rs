//! Report of a turn.

use std::time::Duration;

use serde::Serialize;

pub use server::ServerHeaders;

#[doc(inline)]
pub use crate::response::Anomaly;

use crate::{
    api::masked,
    config::Transport,
    event::Usage,
    format::{milliseconds, named_with_data},
    kind::{Delivery, ErrorKind},
    response::{InputChanges, Response},
};

mod server;

/// Report of a turn: its attempts, their transport, what they sent, and their timing.
///
/// The report serializes under the names of its fields, and its times in milliseconds:
///
/// ```
/// # use responses_client::TurnReport;
/// let report = serde_json::to_value(TurnReport::default()).unwrap();
/// assert_eq!(report["bytes_sent"], 0);
/// assert_eq!(report["timings"]["first_text_ms"], serde_json::Value::Null);
/// ```
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct TurnReport {
    /// Transport of the last attempt; `None` if no attempt was made.
    pub transport: Option<Transport>,
    /// `true` if the last attempt used a connection that was already open. Over SSE, `true` if the
    /// session had made a request before, because the connection pool reports no more.
    pub reused: bool,
    /// Name of the WebSocket's lane on which the last attempt sent, for example `lane-3`: the
    /// `stream_id` of its request. `None` for the default lane, which has no name, over SSE, and if
    /// the attempt sent nothing.
    pub lane: Option<String>,
    /// Content that the last attempt sent; `None` if it sent nothing.
    pub plan: Option<Plan>,
    /// Bytes of all request bodies and frames handed to connections for the turn, without heads and
    /// masks.
    pub bytes_sent: u64,
    /// Bytes of the frames of the turn's compressed requests, with headers and masks: the part of
    /// the connection that `bytes_sent` took. `None` if no request was compressed, as without
    /// the feature `deflate`, and if the server answered before all of a request was written.
    pub compressed_bytes_sent: Option<u64>,
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
    /// Effects on the turn that the caller should know of. They are also logged at the level WARN
    /// when the turn ends.
    pub warnings: Vec<Warning>,
    /// Outcome of the [`prewarm`](crate::ResponsesSession::prewarm) before the turn; `None` if
    /// there was none.
    pub prewarm: Option<Prewarm>,
    /// Responses of a turn that a [steer](crate::ResponseStream::steer) continued, in order; the last
    /// one ended the turn. Empty for a turn with one response.
    pub responses: Vec<SteeredResponse>,
    /// Headers of the last attempt's answer, such as the request id and the remaining rates.
    pub server: ServerHeaders,
}

/// One response of a turn that a [steer](crate::ResponseStream::steer) continued.
///
/// ```
/// use responses_client::{TurnReport, event::Usage};
///
/// fn cost(report: &TurnReport) -> Usage {
///     report.responses.iter().filter_map(|response| response.usage).sum()
/// }
/// # assert_eq!(cost(&TurnReport::default()), Usage::default());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SteeredResponse {
    /// Id of the response; empty if the server sent none.
    pub response_id: String,
    /// Token usage; `None` if the server sent none.
    pub usage: Option<Usage>,
}

/// Outcome of a prewarm.
///
/// ```
/// use responses_client::{TurnReport, report::Prewarm};
///
/// fn was_useless(report: &TurnReport) -> bool {
///     matches!(report.prewarm, Some(Prewarm::Failed(_)))
/// }
/// # let _ = was_useless;
/// ```
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
///
/// ```
/// use responses_client::report::{Prewarm, PrewarmFailure};
///
/// fn advice(prewarm: Prewarm) -> &'static str {
///     match prewarm {
///         Prewarm::Failed(PrewarmFailure::Generated | PrewarmFailure::Refused) => {
///             "this server cannot prewarm: use `preconnect`"
///         }
///         Prewarm::Failed(PrewarmFailure::Unused) => "prewarm the request that the turn sends",
///         _ => "keep it",
///     }
/// }
/// # assert_eq!(advice(Prewarm::Warmed), "keep it");
/// ```
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
    /// The turn did not continue the prepared response: it sent a different request, or goes over
    /// SSE.
    Unused,
}

/// Effect on a turn that the caller should know of, although the turn did not fail.
///
/// ```
/// # use responses_client::{TurnReport, report::Warning};
/// fn check(report: &TurnReport) {
///     for warning in &report.warnings {
///         if let Warning::InputTransformed { items, .. } = warning {
///             eprintln!("the model did not see {items} of the items");
///         }
///         eprintln!("{warning}");
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// The server changed the input before the model read it. Usually the server removed reasoning
    /// that an edit of the history, another model or another user has made unusable.
    /// [`Response::input_transformations`](crate::Response::input_transformations) lists the items.
    #[non_exhaustive]
    InputTransformed {
        /// Number of changed items.
        items: usize,
        /// Reasons of the changes, each once, for example `prefix_mismatch`.
        reasons: Vec<String>,
    },
}

/// One attempt of a turn.
///
/// ```
/// use responses_client::TurnReport;
///
/// fn show(report: &TurnReport) {
///     for attempt in &report.attempts {
///         match &attempt.failure {
///             Some(failure) => println!("{}: {}", attempt.transport, failure.message),
///             None => println!("{}: succeeded", attempt.transport),
///         }
///     }
/// }
/// # let _ = show;
/// ```
#[derive(Clone, Debug, Serialize)]
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
///
/// ```
/// use responses_client::{Delivery, TurnReport, report::Failure};
///
/// /// Returns the failures after which the request may have run, so that it may be billed twice.
/// fn unsure(report: &TurnReport) -> impl Iterator<Item = &Failure> {
///     let failures = report.attempts.iter().filter_map(|attempt| attempt.failure.as_ref());
///     failures.filter(|failure| !matches!(failure.delivery, Delivery::NotSent | Delivery::Refused))
/// }
/// # let _ = unsure;
/// ```
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Failure {
    /// Kind of the error.
    pub kind: ErrorKind,
    /// Furthest point that the request reached.
    pub delivery: Delivery,
    /// Text of the error, as [`Error`](crate::Error) displays it.
    pub message: String,
}

/// Content that a turn sent. `Display` writes for example `incremental: 2 new` or
/// `full: tools_changed`.
///
/// ```
/// use responses_client::{TurnReport, report::Plan};
///
/// fn show(report: &TurnReport) {
///     match &report.plan {
///         Some(Plan::Incremental { new_items, .. }) => println!("{new_items} new items"),
///         Some(Plan::Full(reason)) => println!("the full request: {reason}"),
///         _ => println!("nothing was sent"),
///     }
/// }
/// # let _ = show;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Plan {
    /// A reference to the previous response, and the items after it.
    #[non_exhaustive]
    Incremental {
        /// Number of new items.
        new_items: usize,
    },
    /// The full request.
    Full(FullSendReason),
}

/// Reason why the full request was sent.
///
/// ```
/// use responses_client::report::{FullSendReason, Plan};
///
/// let plan = Plan::Full(FullSendReason::ToolsChanged);
/// assert_eq!(plan.to_string(), "full: tools_changed");
/// ```
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
    #[non_exhaustive]
    PrefixDiverged {
        /// Index of the item.
        at: usize,
    },
    /// The history ends before the response to continue does.
    InputShorter,
    /// No item follows the response to continue.
    NothingNew,
    /// The previous turn failed, was cancelled, or ended incomplete, or the server did not answer an
    /// [inject](crate::ResponseStream::inject) of it.
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
///
/// Each time serializes in milliseconds, under the name of its field with `_ms`:
/// `{"queued_ms":0.012,"connected_ms":null,…}`.
///
/// ```
/// use responses_client::TurnReport;
///
/// fn show(report: &TurnReport) {
///     if let (Some(sent), Some(first)) = (report.timings.sent, report.timings.first_event) {
///         println!("the server took {:?} to begin", first.saturating_sub(sent));
///     }
/// }
/// # let _ = show;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Timings {
    /// The session was free for the turn: the rest of the previous turn had been cleaned up.
    #[serde(rename = "queued_ms", serialize_with = "milliseconds")]
    pub queued: Option<Duration>,
    /// The connection was open, including its upgrade; `None` if it was open before the turn. Over
    /// SSE, connecting is part of [`first_byte`](Self::first_byte).
    #[serde(rename = "connected_ms", serialize_with = "milliseconds")]
    pub connected: Option<Duration>,
    /// The request was written. Over SSE, its answer had started.
    #[serde(rename = "sent_ms", serialize_with = "milliseconds")]
    pub sent: Option<Duration>,
    /// The head of the answer, or the first frame, had arrived.
    #[serde(rename = "first_byte_ms", serialize_with = "milliseconds")]
    pub first_byte: Option<Duration>,
    /// The first event of the response had arrived.
    #[serde(rename = "first_event_ms", serialize_with = "milliseconds")]
    pub first_event: Option<Duration>,
    /// The first piece of text for the user had arrived.
    #[serde(rename = "first_text_ms", serialize_with = "milliseconds")]
    pub first_text: Option<Duration>,
    /// The event that ended the response had arrived.
    #[serde(rename = "done_ms", serialize_with = "milliseconds")]
    pub done: Option<Duration>,
}

named_with_data! {
    Plan {
        Incremental { new_items } = "incremental", ": {new_items} new";
        Full(reason) = "full", ": {reason}";
    }
    FullSendReason {
        FirstTurn = "first_turn";
        ModelChanged = "model_changed";
        ToolsChanged = "tools_changed";
        InstructionsChanged = "instructions_changed";
        FieldChanged(field) = "field_changed", " ({field})";
        PrefixDiverged { at } = "prefix_diverged", " (at {at})";
        InputShorter = "input_shorter";
        NothingNew = "nothing_new";
        PriorNotCompleted = "prior_not_completed";
        ConnectionChanged = "connection_changed";
        ParentNotFound = "parent_not_found";
        ParentAmbiguous = "parent_ambiguous";
        CallerManaged = "caller_managed";
        ProviderUnsupported = "provider_unsupported";
        SseContinuationOff = "sse_continuation_off";
        Disabled = "disabled";
    }
    Prewarm {
        Connected = "connected";
        Warmed = "warmed";
        Failed(reason) = "failed", ": {reason}";
    }
    PrewarmFailure {
        Error(error) = "error", " ({error})";
        TimedOut = "timed_out";
        Generated = "generated";
        Refused = "refused";
        Unused = "unused";
    }
    Warning {
        InputTransformed { items, reasons } = "input_transformed", ": {items} items, {reasons:?}";
    }
}

impl SteeredResponse {
    pub(crate) fn of(response: &Response) -> Self {
        Self { response_id: response.id().to_owned(), usage: response.usage() }
    }
}

impl TurnReport {
    /// Returns the reason why the full request was sent; `None` if only new items were sent, or
    /// nothing.
    pub fn full_send_reason(&self) -> Option<&FullSendReason> {
        match &self.plan {
            Some(Plan::Full(reason)) => Some(reason),
            Some(Plan::Incremental { .. }) | None => None,
        }
    }
}

impl FullSendReason {
    /// Returns the reason that the item at this index was edited, to compare a report with.
    pub const fn prefix_diverged(at: usize) -> Self {
        Self::PrefixDiverged { at }
    }
}

impl Warning {
    /// Returns the warning about these changes of the input; `None` if there are none.
    pub(crate) fn of_input(changes: &InputChanges) -> Option<Self> {
        let InputChanges { items, reasons } = changes;
        let mut shown = Vec::new();
        for reason in reasons.iter().map(|reason| masked(reason, 64)) {
            if !shown.contains(&reason) {
                shown.push(reason);
            }
        }
        (*items > 0).then_some(Self::InputTransformed { items: *items, reasons: shown })
    }
}

impl Plan {
    /// Returns the plan that sends this number of new items, to compare a report with.
    ///
    /// ```
    /// # use responses_client::report::Plan;
    /// assert_eq!(Plan::incremental(2).to_string(), "incremental: 2 new");
    /// ```
    pub const fn incremental(new_items: usize) -> Self {
        Self::Incremental { new_items }
    }

    /// Returns `true` if the full request was sent.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full(_))
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

    #[test]
    fn only_a_full_send_has_a_reason() {
        let reason =
            |plan| TurnReport { plan, ..TurnReport::default() }.full_send_reason().cloned();
        let changed = FullSendReason::ToolsChanged;
        assert_eq!(reason(Some(Plan::Full(changed.clone()))), Some(changed));
        assert_eq!(reason(Some(Plan::incremental(1))), None);
        assert_eq!(reason(None), None);
    }

    #[test]
    fn a_warning_shows_each_reason_once_and_no_keys() {
        let reasons = ["sk-canary-1", "sk-canary-2", "b", "a"].map(str::to_owned).to_vec();
        let warning = Warning::of_input(&InputChanges { items: 4, reasons });
        let shown = warning.map(|warning| warning.to_string());
        let expected = r#"input_transformed: 4 items, ["[masked]", "b", "a"]"#;
        assert_eq!(shown.as_deref(), Some(expected));
    }
}
