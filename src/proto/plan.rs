//! What of a request must be sent.

use std::sync::Arc;

use crate::{
    config::Transport,
    json::same_item,
    report::{FullReason, Plan},
    request::{FieldDifference, Item, ResponsesRequest},
};

/// A completed turn: what the next one may continue.
#[derive(Clone, Debug)]
pub(crate) struct Baseline {
    pub(crate) response_id: String,
    /// The request as the caller gave it, in full.
    pub(crate) request: Arc<ResponsesRequest>,
    /// The settled output.
    pub(crate) output: Vec<Item>,
    /// The WebSocket that carried it; `None` over SSE.
    pub(crate) connection: Option<ConnectionId>,
    /// Whether the server keeps the response beyond its connection.
    pub(crate) stored: bool,
    /// It was a warm-up: the turn itself is still to come, and may bring nothing new.
    pub(crate) warm_up: bool,
}

/// One WebSocket of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionId(pub(crate) u64);

/// What a session knows of its turn before.
#[derive(Clone, Debug, Default)]
pub(crate) enum Prior {
    /// There was none.
    #[default]
    None,
    /// It may be continued.
    Completed(Box<Baseline>),
    /// It may not, as it did not complete.
    NotCompleted,
    /// It may not, as the server ended it under another id than it began it.
    Ambiguous,
}

impl Prior {
    /// Returns the id of the response before, if it completed.
    pub(crate) fn response_id(&self) -> Option<&str> {
        match self {
            Self::Completed(base) => Some(&base.response_id),
            Self::None | Self::NotCompleted | Self::Ambiguous => None,
        }
    }
}

/// Where the request is about to go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Destination {
    pub(crate) transport: Transport,
    /// The WebSocket, if one is open.
    pub(crate) connection: Option<ConnectionId>,
    /// Whether stored responses may be continued over SSE.
    pub(crate) continue_over_sse: bool,
    /// Whether anything may be continued at all.
    pub(crate) incremental: bool,
}

/// What to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// The items behind the first `skip`, as the continuation of `parent`.
    Incremental { parent: String, skip: usize },
    /// Everything.
    Full(FullReason),
}

/// Compares `request` with the full request before and its answer.
///
/// Reasons that lie in the request come before those that lie in the connection, so that a caller
/// who changed something learns it on either transport.
pub(crate) fn plan(request: &ResponsesRequest, prior: &Prior, to: Destination) -> Decision {
    compare(request, prior, to).unwrap_or_else(Decision::Full)
}

fn compare(
    request: &ResponsesRequest,
    prior: &Prior,
    to: Destination,
) -> Result<Decision, FullReason> {
    if !to.incremental {
        return Err(FullReason::Disabled);
    }
    if request.caller_managed() {
        return Err(FullReason::CallerManaged);
    }
    let base = match prior {
        Prior::None => return Err(FullReason::FirstTurn),
        Prior::NotCompleted => return Err(FullReason::PriorNotCompleted),
        Prior::Ambiguous => return Err(FullReason::ParentAmbiguous),
        Prior::Completed(base) => base,
    };
    if let Some(difference) = request.context_difference(&base.request)
        && !(defect!(WarmUpForAnother) && base.warm_up)
        && !(defect!(InstructionsIgnored) && difference == FieldDifference::Instructions)
    {
        return Err(match difference {
            FieldDifference::Model => FullReason::ModelChanged,
            FieldDifference::Tools => FullReason::ToolsChanged,
            FieldDifference::Instructions => FullReason::InstructionsChanged,
            FieldDifference::Other(name) => FullReason::FieldChanged(name),
        });
    }
    let skip = continued(request, base)?;
    let reachable = match to.transport {
        Transport::WebSocket => {
            base.stored || base.connection.is_some() && base.connection == to.connection
        }
        Transport::Sse if base.stored && to.continue_over_sse || defect!(ParentOverSse) => true,
        Transport::Sse => return Err(FullReason::ProviderUnsupported),
    };
    if !reachable && !defect!(ParentElsewhere) {
        return Err(FullReason::ConnectionChanged);
    }
    Ok(Decision::Incremental { parent: base.response_id.clone(), skip })
}

/// How many items of `request` the server has: the input before and its output.
fn continued(request: &ResponsesRequest, base: &Baseline) -> Result<usize, FullReason> {
    let (input, old) = (&request.input, &base.request.input);
    if input.len() < old.len() || input.digest_at(old.len()) != old.digest_at(old.len()) {
        let at = input.first_difference(old);
        let cut_short = at == input.len();
        return Err(if cut_short {
            FullReason::InputShorter
        } else {
            FullReason::PrefixDiverged { at }
        });
    }
    let mut given = input.iter_from(old.len());
    for (index, sent) in base.output.iter().enumerate() {
        let Some(given) = given.next() else { return Err(FullReason::InputShorter) };
        if !is_same(given, sent) {
            return Err(FullReason::PrefixDiverged { at: old.len() + index });
        }
    }
    let skip = old.len() + base.output.len() + usize::from(defect!(SkipsOneMore))
        - usize::from(defect!(SkipsOneLess));
    if input.len() == skip && !base.warm_up { Err(FullReason::NothingNew) } else { Ok(skip) }
}

/// Returns `true` if `given` is the settled item, or that item in the form in which it came.
fn is_same(given: &Item, settled: &Item) -> bool {
    given == settled
        || [settled.json(), settled.received()]
            .iter()
            .any(|form| same_item(given.json().get(), form.get()))
}

impl Decision {
    pub(crate) fn report(&self, input: usize) -> Plan {
        match self {
            Self::Incremental { skip, .. } => {
                Plan::Incremental { new_items: input - skip.min(&input) }
            }
            Self::Full(reason) => Plan::Full(reason.clone()),
        }
    }

    /// The parent, and how many items are left out.
    pub(crate) fn parent(&self) -> (Option<&str>, usize) {
        match self {
            Self::Incremental { parent, skip } => (Some(parent), *skip),
            Self::Full(_) => (None, 0),
        }
    }
}

#[cfg(test)]
mod tests;
