//! The response object.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
};

use serde::de::DeserializeOwned;

use super::{InputTransformation, PartialItem, ResponseError, ToolUsage};
use crate::{
    event::{
        CustomToolCall, FunctionCall, OutputItem, Usage,
        item::{Members, Read},
    },
    json::{self, DecodeError, Json},
    request::Item,
};

/// Response, complete or partial.
///
/// Its items are the settled output, joined from the stream and the terminal event. If both have an
/// item, the values of the terminal event win, under the identity that the stream gave the item. An
/// item that only one of them has is kept, at its place. A session compares the next request with
/// the same list. Cloning copies the list, not the items.
#[derive(Clone, Default)]
pub struct Response {
    pub(super) id: Option<String>,
    pub(super) items: Vec<Item>,
    pub(super) unfinished: Vec<PartialItem>,
    pub(super) last: Option<Json>,
    pub(super) ended: bool,
}

/// Status of a response.
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

impl Response {
    /// Returns `id`, or `None` if no part of the response arrived.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Returns the status in the last lifecycle event.
    pub fn status(&self) -> ResponseStatus {
        match self.member::<String>("status").as_deref() {
            Some("completed") => ResponseStatus::Completed,
            Some("incomplete") => ResponseStatus::Incomplete,
            Some("failed") => ResponseStatus::Failed,
            Some("queued") => ResponseStatus::Queued,
            Some("cancelled") => ResponseStatus::Cancelled,
            Some("in_progress") | None => ResponseStatus::InProgress,
            Some(other) => ResponseStatus::Other(other.to_owned()),
        }
    }

    /// Returns `model`, as the server names it.
    pub fn model(&self) -> Option<String> {
        self.member("model")
    }

    /// Returns the creation time, in seconds since 1970.
    pub fn created_at(&self) -> Option<f64> {
        self.member("created_at")
    }

    /// Returns the completion time, in seconds since 1970.
    pub fn completed_at(&self) -> Option<f64> {
        self.member("completed_at")
    }

    /// Returns the service tier that processed the response. It may differ from the requested tier.
    pub fn service_tier(&self) -> Option<String> {
        self.member("service_tier")
    }

    /// Returns the `metadata` of the request, as the server stored it.
    pub fn metadata(&self) -> BTreeMap<String, String> {
        let pairs = self.last.as_ref().and_then(|last| last.member("metadata").ok().flatten());
        pairs.unwrap_or_default()
    }

    /// Returns the token usage; `None` until the response has ended.
    pub fn usage(&self) -> Option<Usage> {
        self.last.as_ref()?.member("usage").ok().flatten()
    }

    /// Returns the reason why an incomplete response ended, for example `max_output_tokens` or
    /// `content_filter`.
    pub fn incomplete_reason(&self) -> Option<String> {
        let details: Json = self.member("incomplete_details")?;
        details.member("reason").ok().flatten()
    }

    /// Returns the error of a failed response.
    pub fn error(&self) -> Option<ResponseError> {
        self.member("error")
    }

    /// Returns `true` if the agent's turn ended with this response. Only the ChatGPT backend sends
    /// the value.
    pub fn end_turn(&self) -> Option<bool> {
        self.member("end_turn")
    }

    /// Returns the changes that the server made to the input, for example removed reasoning that it
    /// could not use. A history that keeps such items has them removed each turn.
    pub fn input_transformations(&self) -> Vec<InputTransformation> {
        self.member("input_transformations").unwrap_or_default()
    }

    /// Returns the usage of the server's own tools.
    pub fn tool_usage(&self) -> Option<ToolUsage> {
        self.member("tool_usage")
    }

    /// Returns the diagnostics of a prompt cache miss, if the request asked for them.
    pub fn prompt_cache_diagnostics(&self) -> Option<Json> {
        self.member("prompt_cache_diagnostics")
    }

    /// Returns the items of the output in the form for the input of the next request.
    ///
    /// An item that the server sent in a form that the API does not accept as input
    /// (`content: null`, arguments that are an object or empty) is rewritten. Every other item
    /// stays as received. After an incomplete response, unfinished calls are omitted, and so is the
    /// reasoning that led to them.
    pub fn output_items(&self) -> impl ExactSizeIterator<Item = Item> + '_ {
        self.items.iter().cloned()
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

    /// Returns the text for the user, joined from all messages, including unfinished ones.
    pub fn output_text(&self) -> String {
        let finished = self.output().into_iter().filter_map(|item| match item {
            OutputItem::Message(message) => Some(message.text()),
            _ => None,
        });
        finished.chain(self.unfinished.iter().map(PartialItem::text)).collect()
    }

    /// Parses the text as JSON. Use this method for a request with
    /// [`json_schema`](crate::ResponsesRequest::json_schema).
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if the text does not deserialize into `T`, for example because the response
    /// is [incomplete](Self::incomplete_reason) or the model
    /// [refused](crate::event::Message::refusal).
    pub fn parse_output<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        json::from_str(&self.output_text())
            .map_err(|error| DecodeError::new("the text of a response", &error))
    }

    /// Returns the finished items of a cut response that may be sent back to the server. Unfinished
    /// calls and the reasoning that led to missing items are omitted. With an output for each call,
    /// these items let the next request continue from there, so that no tool runs twice.
    pub fn replayable_items(&self) -> Vec<Item> {
        let unfinished = |item: &Item| matches!(item.json().member::<String>("status"), Ok(Some(status)) if status != "completed");
        let mut items: Vec<Item> =
            self.items.iter().filter(|item| !unfinished(item)).cloned().collect();
        while items.last().is_some_and(|item| item.item_type() == "reasoning") {
            items.pop();
        }
        items
    }

    /// Returns the function calls that the model finished writing. Calls by a program of the model
    /// that were answered in this same response are omitted.
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
        let output = self.output();
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

    fn member<T: Read>(&self, name: &'static str) -> Option<T> {
        Members::of(self.last.as_ref()?).ok()?.read(name).ok().flatten()
    }
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
