//! Chooses the items of a request that must be sent.

use std::sync::Arc;

use crate::{
    config::{ContinuationPolicy, Transport},
    json::same_item,
    proto::lane::SeatId,
    report::{FullSendReason, Plan},
    request::{FieldDifference, Item, ResponsesRequest},
};

/// Completed turn that the next one may continue.
#[derive(Clone, Debug)]
pub(crate) struct Baseline {
    pub(crate) response_id: String,
    /// The request as the caller gave it, in full.
    pub(crate) request: Arc<ResponsesRequest>,
    /// Settled output of the turn.
    pub(crate) output: Vec<Item>,
    /// Lane of the turn; `None` over SSE.
    pub(crate) seat: Option<SeatId>,
    /// `true` if the server stores the response beyond its connection.
    pub(crate) stored: bool,
    /// `true` for a warm-up: the turn itself follows, and may add no items.
    pub(crate) warm_up: bool,
}

/// Previous turn of a session.
#[derive(Clone, Debug, Default)]
pub(crate) enum PreviousTurn {
    /// No turn was made before.
    #[default]
    None,
    /// The previous turn may be continued.
    Completed(Box<Baseline>),
    /// The previous turn did not complete and cannot be continued.
    NotCompleted,
    /// The server ended the previous response under another id than it started it, so that it
    /// cannot be continued.
    Ambiguous,
}

impl PreviousTurn {
    /// Returns the id of the previous response, if it completed.
    pub(crate) fn response_id(&self) -> Option<&str> {
        match self {
            Self::Completed(base) => Some(&base.response_id),
            Self::None | Self::NotCompleted | Self::Ambiguous => None,
        }
    }

    /// Records that the server does not keep the previous response for the lane of its turn. Only a
    /// stored response can be continued then.
    pub(crate) fn leave_lane(&mut self) {
        if let Self::Completed(base) = self {
            base.seat = None;
        }
    }
}

/// Target of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) transport: Transport,
    /// The lane of the open WebSocket, if there is one.
    pub(crate) seat: Option<SeatId>,
    /// `true` if the server keeps the parent for another lane of the WebSocket.
    pub(crate) keeps_parent: bool,
    /// `true` if stored responses may be continued over SSE.
    pub(crate) continue_over_sse: bool,
    /// `true` if responses may be continued.
    pub(crate) incremental: bool,
    pub(crate) continuation: ContinuationPolicy,
}

/// Content to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SendPlan {
    /// The items after the first `skip`, as a continuation of `parent`.
    Incremental { parent: String, skip: usize },
    /// The full request.
    Full(FullSendReason),
}

/// Compares `request` with the previous full request and its output.
///
/// Reasons in the request take precedence over those in the connection, so that a caller who
/// changed a field sees that reason on either transport.
pub(crate) fn plan(request: &ResponsesRequest, prior: &PreviousTurn, to: Target) -> SendPlan {
    compare(request, prior, to).unwrap_or_else(SendPlan::Full)
}

fn compare(
    request: &ResponsesRequest,
    prior: &PreviousTurn,
    to: Target,
) -> Result<SendPlan, FullSendReason> {
    if !to.incremental {
        return Err(FullSendReason::Disabled);
    }
    // Two parents would contradict each other.
    if request.caller_managed() {
        return Err(FullSendReason::CallerManaged);
    }
    let base = match prior {
        PreviousTurn::None => return Err(FullSendReason::FirstTurn),
        PreviousTurn::NotCompleted => return Err(FullSendReason::PriorNotCompleted),
        PreviousTurn::Ambiguous => return Err(FullSendReason::ParentAmbiguous),
        PreviousTurn::Completed(base) => base,
    };
    let may_change = match to.continuation {
        ContinuationPolicy::Strict => None,
        ContinuationPolicy::AllowNewInstructions => Some("instructions"),
    };
    if let Some(difference) = request.context_difference(&base.request, may_change) {
        return Err(match difference {
            FieldDifference::Model => FullSendReason::ModelChanged,
            FieldDifference::Tools => FullSendReason::ToolsChanged,
            FieldDifference::Instructions => FullSendReason::InstructionsChanged,
            FieldDifference::Other(name) => FullSendReason::FieldChanged(name),
        });
    }
    // A continuation keeps the server's context, so only the input may have grown.
    let skip = matched_prefix_len(request, base)?;
    let reachable = match to.transport {
        Transport::WebSocket => {
            // The server keeps an unstored response only for the connection that carried it, and
            // only until the next response on the same lane.
            base.stored || base.seat.is_some() && base.seat == to.seat || to.keeps_parent
        }
        Transport::Sse if base.stored && to.continue_over_sse => true,
        Transport::Sse if base.stored => return Err(FullSendReason::SseContinuationOff),
        Transport::Sse => return Err(FullSendReason::ProviderUnsupported),
    };
    if !reachable {
        return Err(FullSendReason::ConnectionChanged);
    }
    Ok(SendPlan::Incremental { parent: base.response_id.clone(), skip })
}

/// Returns the number of items of `request` that the server has: the previous input and its output.
fn matched_prefix_len(
    request: &ResponsesRequest,
    base: &Baseline,
) -> Result<usize, FullSendReason> {
    let (input, old) = (&request.input, &base.request.input);
    // The search compares few digests, so that a long history costs little more than a short one.
    let at = input.first_difference(old);
    if at < old.len() {
        let cut_short = at == input.len();
        return Err(if cut_short {
            FullSendReason::InputShorter
        } else {
            FullSendReason::PrefixDiverged { at }
        });
    }
    let mut given = input.iter_from(old.len());
    for (index, sent) in base.output.iter().enumerate() {
        let Some(given) = given.next() else { return Err(FullSendReason::InputShorter) };
        // Callers may drop members that only the server adds, so digests are not enough here.
        if !is_same(given, sent) {
            return Err(FullSendReason::PrefixDiverged { at: old.len() + index });
        }
    }
    let skip = old.len() + base.output.len();
    // A warm-up processed the input of the turn itself, so the turn may add no items.
    if input.len() == skip && !base.warm_up { Err(FullSendReason::NothingNew) } else { Ok(skip) }
}

/// Returns `true` if `given` is the settled item, or that item as received.
fn is_same(given: &Item, settled: &Item) -> bool {
    given == settled
        || [settled.json(), settled.received()]
            .iter()
            .any(|form| same_item(given.json().as_str(), form.as_str()))
}

impl SendPlan {
    pub(crate) fn report(&self, input: usize) -> Plan {
        match self {
            Self::Incremental { skip, .. } => {
                Plan::Incremental { new_items: input.saturating_sub(*skip) }
            }
            Self::Full(reason) => Plan::Full(reason.clone()),
        }
    }

    /// Returns the parent, and the number of omitted items.
    pub(crate) fn parent(&self) -> (Option<&str>, usize) {
        match self {
            Self::Incremental { parent, skip } => (Some(parent), *skip),
            Self::Full(_) => (None, 0),
        }
    }
}

#[cfg(test)]
mod tests;
