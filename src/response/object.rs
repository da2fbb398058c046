//! The response object.

use std::{collections::HashSet, fmt};

use super::PartialItem;
use crate::{
    event::{
        CustomToolCall, FunctionCall, OutputItem,
        item::{Members, Read},
    },
    format::named_or_other,
    json::Json,
    request::Item,
};

/// Response, complete or partial.
///
/// Its items are the settled output, joined from the stream and the terminal event. If both have an
/// item, the values of the terminal event win, under the identity that the stream gave the item. An
/// item that only one of them has is kept, at its place. A session compares the next request with
/// the same list. Cloning copies the list, not the items.
///
/// A response serializes as its object with the settled output, and
/// [`from_json`](Self::from_json) reads it back.
///
/// ```
/// # use responses_client::Response;
/// fn show(response: &Response) {
///     println!("{}", response.output_text());
///     if let Some(usage) = response.usage() {
///         println!("{} tokens", usage.total_tokens);
///     }
///     // A member without a method of its own.
///     let user: Option<String> = response.raw().and_then(|it| it.member("user").ok().flatten());
///     println!("{user:?}");
/// }
/// ```
#[derive(Clone, Default)]
pub struct Response {
    pub(super) id: Option<String>,
    pub(super) items: Vec<Item>,
    /// Outputs of the caller that the server took into the response, each with the number of items
    /// before it, in order.
    pub(super) injected: Vec<(usize, Item)>,
    /// Items of the turn before those of this response: the output of the responses that this one
    /// continues, and the input of the steers between them.
    pub(super) before: Vec<Item>,
    /// Input of steers that the next request of the lane takes.
    pub(super) after: Vec<Item>,
    pub(super) unfinished: Vec<PartialItem>,
    pub(super) last: Option<Json>,
    pub(super) ended: bool,
}

/// Status of a response.
///
/// ```
/// use responses_client::{Response, ResponseStatus};
///
/// fn runs(response: &Response) -> bool {
///     matches!(response.status(), ResponseStatus::Queued | ResponseStatus::InProgress)
/// }
/// # let _ = runs;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResponseStatus {
    /// The response is complete.
    Completed,
    /// The response ended early, with usable output.
    Incomplete,
    /// The response failed.
    Failed,
    /// The response is in progress, or was cut off.
    InProgress,
    /// The response waits for capacity.
    Queued,
    /// The response was cancelled.
    Cancelled,
    /// Any other status, as received.
    Other(String),
}

named_or_other! {
    ResponseStatus {
        Completed = "completed",
        Incomplete = "incomplete",
        Failed = "failed",
        InProgress = "in_progress",
        Queued = "queued",
        Cancelled = "cancelled",
    }
}

impl Response {
    /// Returns `id`. Empty if the server sent none, for example because no part of the response
    /// arrived.
    pub fn id(&self) -> &str {
        self.id.as_deref().unwrap_or_default()
    }

    /// Returns the items of the output in the form for the input of the next request.
    ///
    /// An item that the server sent in a form that the API does not accept as input
    /// (`content: null`, arguments that are an object or empty) is rewritten. Every other item
    /// stays as received. After an incomplete response, unfinished calls are omitted, and so is the
    /// reasoning that led to them.
    ///
    /// After a [steer](crate::ResponseStream::steer), the list also has the output of the responses
    /// before this one and the input of the steers, in the order of the conversation. Outputs that
    /// were [injected](crate::ResponseStream::inject) follow the items that were finished before.
    pub fn output_items(&self) -> impl ExactSizeIterator<Item = Item> + '_ {
        let all = self.before.iter().chain(self.with_injected()).chain(&self.after);
        let all: Vec<Item> = all.cloned().collect();
        all.into_iter()
    }

    /// Returns the finished items, decoded. An item that cannot be decoded is
    /// [`OutputItem::Other`].
    pub fn output(&self) -> Vec<OutputItem> {
        let read = |item: &Item| OutputItem::read(item).unwrap_or(OutputItem::Other(item.clone()));
        self.items.iter().map(read).collect()
    }

    /// Returns the items that started but did not finish before the response was cut off.
    pub fn unfinished_items(&self) -> &[PartialItem] {
        &self.unfinished
    }

    /// Returns the finished items of a cut response that may be sent back to the server. Unfinished
    /// calls and the reasoning that led to missing items are omitted. With an output for each call,
    /// these items let the next request continue from there, so that no tool runs twice. After a
    /// [steer](crate::ResponseStream::steer), the items of the responses before this one come first.
    pub fn replayable_items(&self) -> Vec<Item> {
        let unfinished = |item: &Item| matches!(item.json().member::<String>("status"), Ok(Some(status)) if status != "completed");
        let own = self.with_injected().into_iter().filter(|item| !unfinished(item));
        let mut items: Vec<Item> = self.before.iter().chain(own).cloned().collect();
        while items.last().is_some_and(|item| item.item_type() == "reasoning") {
            items.pop();
        }
        items
    }

    /// Returns the function calls that the model finished writing, after a
    /// [steer](crate::ResponseStream::steer) also those of the responses before this one. Calls that
    /// were answered in this same response are omitted: those by a program of the model, and those
    /// whose outputs were [injected](crate::ResponseStream::inject).
    pub fn function_calls(&self) -> Vec<FunctionCall> {
        let call = |item| match item {
            OutputItem::FunctionCall(call) if call.is_complete() => Some(call),
            _ => None,
        };
        self.open_calls().filter_map(call).collect()
    }

    /// Returns the custom tool calls that the model finished writing, like
    /// [`function_calls`](Self::function_calls).
    pub fn custom_tool_calls(&self) -> Vec<CustomToolCall> {
        let call = |item| match item {
            OutputItem::CustomToolCall(call) if call.is_complete() => Some(call),
            _ => None,
        };
        self.open_calls().filter_map(call).collect()
    }

    /// Returns the response object of the last lifecycle event, byte for byte. After the terminal
    /// event, that is its object. `output` in it may differ from
    /// [`output_items`](Self::output_items), because servers omit it or leave it empty.
    /// [`Json::member`] reads members that have no method here.
    pub fn raw(&self) -> Option<&Json> {
        self.last.as_ref()
    }

    /// Returns `true` if the server's terminal event arrived.
    pub fn is_finished(&self) -> bool {
        self.ended
    }

    /// Returns the output without calls that are answered in the same output.
    fn open_calls(&self) -> impl Iterator<Item = OutputItem> {
        let read = |item: &Item| OutputItem::read(item).unwrap_or(OutputItem::Other(item.clone()));
        let output: Vec<_> = self.before.iter().chain(self.with_injected()).map(read).collect();
        let answered: HashSet<String> = output
            .iter()
            .filter_map(|item| match item {
                OutputItem::FunctionCallOutput(output) => output.call_id.clone(),
                OutputItem::CustomToolCallOutput(output) => output.call_id.clone(),
                _ => None,
            })
            .collect();
        output.into_iter().filter(move |item| match item {
            OutputItem::FunctionCall(call) => !answered.contains(&call.call_id),
            OutputItem::CustomToolCall(call) => !answered.contains(&call.call_id),
            _ => true,
        })
    }

    /// Returns the items of this response with the injected outputs, each after its call and without
    /// those that the server has among the items.
    fn with_injected(&self) -> Vec<&Item> {
        let mut all: Vec<&Item> = self.items.iter().collect();
        if self.injected.is_empty() {
            return all;
        }
        let key = |item: &Item| (item.item_type().to_owned(), answered_by(item));
        let answered: HashSet<_> = self.items.iter().map(key).collect();
        let mut injected = self.injected.iter().filter(|(_, item)| !answered.contains(&key(item)));
        let place_of = |(place, output): &(usize, Item)| {
            let call = answered_by(output);
            let calls = |item: &Item| call.is_some() && calls_as(item) == call;
            let behind_call = self.items.iter().position(calls).map_or(0, |call| call + 1);
            (*place).max(behind_call).min(self.items.len())
        };
        // From the last one to the first one, so that the places stay those of the items.
        let mut placed: Vec<(usize, &Item)> = Vec::new();
        let mut last = 0;
        for injected in injected.by_ref() {
            last = place_of(injected).max(last);
            placed.push((last, &injected.1));
        }
        for (place, item) in placed.into_iter().rev() {
            all.insert(place, item);
        }
        all
    }

    pub(super) fn member<T: Read>(&self, name: &'static str) -> Option<T> {
        Members::of(self.last.as_ref()?).ok()?.read(name).ok().flatten()
    }
}

/// Returns the id of the call that an output of the caller answers.
fn answered_by(output: &Item) -> Option<String> {
    let name = match output.item_type() {
        "mcp_approval_response" => "approval_request_id",
        kind if kind.ends_with("_output") => "call_id",
        _ => return None,
    };
    output.json().member(name).ok().flatten()
}

/// Returns the id by which an output of the caller names this call.
fn calls_as(item: &Item) -> Option<String> {
    let name = match item.item_type() {
        "mcp_approval_request" => "id",
        kind if kind.ends_with("_call") => "call_id",
        _ => return None,
    };
    item.json().member(name).ok().flatten()
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("id", &self.id)
            .field("status", &self.status())
            .field("items", &self.items.len())
            .field("unfinished", &self.unfinished.len())
            .finish_non_exhaustive()
    }
}
