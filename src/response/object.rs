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

/// A response, or as much of one as came.
///
/// Its items are the settled output: what the stream and the terminal event say together. Where
/// both have an item, the values of the terminal event count, under the identity that the stream
/// gave the item. What only one of them has is kept, at its place. A session compares the next
/// request with the same list. Cloning copies the list, not the items.
#[derive(Clone, Default)]
pub struct Response {
    pub(super) id: Option<String>,
    pub(super) items: Vec<Item>,
    pub(super) unfinished: Vec<PartialItem>,
    pub(super) last: Option<Json>,
    pub(super) ended: bool,
}

/// How a response stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResponseStatus {
    /// Complete.
    Completed,
    /// Ended early, with usable output.
    Incomplete,
    /// Failed.
    Failed,
    /// Being worked on, or cut off while it was.
    InProgress,
    /// Waiting for capacity.
    Queued,
    /// Cancelled.
    Cancelled,
    /// Any other, as it came.
    Other(String),
}

impl Response {
    /// `id`; `None` when nothing of the response came.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// How it stands by the last lifecycle event.
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

    /// `model`, as the server names it.
    pub fn model(&self) -> Option<String> {
        self.member("model")
    }

    /// When it was made, in seconds since 1970.
    pub fn created_at(&self) -> Option<f64> {
        self.member("created_at")
    }

    /// When it was complete, in seconds since 1970.
    pub fn completed_at(&self) -> Option<f64> {
        self.member("completed_at")
    }

    /// The service tier that it was processed in; it need not be the one that was asked for.
    pub fn service_tier(&self) -> Option<String> {
        self.member("service_tier")
    }

    /// The `metadata` of the request, as the server kept it.
    pub fn metadata(&self) -> BTreeMap<String, String> {
        let pairs = self.last.as_ref().and_then(|last| last.member("metadata").ok().flatten());
        pairs.unwrap_or_default()
    }

    /// What it cost; known at the end alone.
    pub fn usage(&self) -> Option<Usage> {
        self.last.as_ref()?.member("usage").ok().flatten()
    }

    /// Why an incomplete response ended: `max_output_tokens` or `content_filter`, say.
    pub fn incomplete_reason(&self) -> Option<String> {
        let details: Json = self.member("incomplete_details")?;
        details.member("reason").ok().flatten()
    }

    /// Why it failed, of one that did.
    pub fn error(&self) -> Option<ResponseError> {
        self.member("error")
    }

    /// Whether the agent's turn is over with it; the ChatGPT backend alone says so.
    pub fn end_turn(&self) -> Option<bool> {
        self.member("end_turn")
    }

    /// What the server did to the input: reasoning that it could not use, say. A history that
    /// keeps such items has them removed each turn.
    pub fn input_transformations(&self) -> Vec<InputTransformation> {
        self.member("input_transformations").unwrap_or_default()
    }

    /// What the server's own tools took.
    pub fn tool_usage(&self) -> Option<ToolUsage> {
        self.member("tool_usage")
    }

    /// Whether and why the prompt cache was missed, if the request asked for it.
    pub fn prompt_cache_diagnostics(&self) -> Option<Json> {
        self.member("prompt_cache_diagnostics")
    }

    /// Returns the items of the output, as they go into the input of the next request.
    ///
    /// An item that the server sent in a form that the API does not take back (`content: null`,
    /// arguments that are an object or empty) is rewritten. Every other item stays as received.
    /// After an incomplete response, calls that the model did not finish are left out, and so is
    /// the reasoning that led to them.
    pub fn output_items(&self) -> impl ExactSizeIterator<Item = Item> + '_ {
        self.items.iter().cloned()
    }

    /// The finished items, read. One that cannot be read is [`OutputItem::Other`].
    pub fn output(&self) -> Vec<OutputItem> {
        let read = |item: &Item| OutputItem::read(item).unwrap_or(OutputItem::Other(item.clone()));
        self.items.iter().map(read).collect()
    }

    /// The items that were begun and not finished: of a response that was cut off.
    pub fn unfinished_items(&self) -> &[PartialItem] {
        &self.unfinished
    }

    /// The text for the user: of all messages, the unfinished ones included.
    pub fn output_text(&self) -> String {
        let finished = self.output().into_iter().filter_map(|item| match item {
            OutputItem::Message(message) => Some(message.text()),
            _ => None,
        });
        finished.chain(self.unfinished.iter().map(PartialItem::text)).collect()
    }

    /// Reads the text as JSON: of a request with
    /// [`json_schema`](crate::ResponsesRequest::json_schema).
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when it is no `T`: the response is [incomplete](Self::incomplete_reason),
    /// say, or the model [refused](crate::event::Message::refusal).
    pub fn parsed<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        json::from_str(&self.output_text())
            .map_err(|error| DecodeError::new("the text of a response", &error))
    }

    /// The finished items that may be given back to the server, of a response that was cut off:
    /// without calls that the model did not finish, and without the reasoning that led to what is
    /// missing. With an output for each call they make the input go on from there, so that no
    /// tool is run twice.
    pub fn replayable_items(&self) -> Vec<Item> {
        let unfinished = |item: &Item| matches!(item.json().member::<String>("status"), Ok(Some(status)) if status != "completed");
        let mut items: Vec<Item> =
            self.items.iter().filter(|item| !unfinished(item)).cloned().collect();
        while items.last().is_some_and(|item| item.item_type() == "reasoning") {
            items.pop();
        }
        items
    }

    /// The calls of functions that the model finished writing. Those of a program of the model
    /// that were answered already, in this same response, are not among them.
    pub fn function_calls(&self) -> Vec<FunctionCall> {
        let call = |item| match item {
            OutputItem::FunctionCall(call) if call.is_complete() => Some(call),
            _ => None,
        };
        self.open_calls().filter_map(call).collect()
    }

    /// The same for the calls of custom tools.
    pub fn custom_tool_calls(&self) -> Vec<CustomToolCall> {
        let call = |item| match item {
            OutputItem::CustomToolCall(call) if call.is_complete() => Some(call),
            _ => None,
        };
        self.open_calls().filter_map(call).collect()
    }

    /// The response object of the last lifecycle event, to the letter; of a finished response the
    /// terminal event's. Its `output` need not be [`output_items`](Self::output_items): servers
    /// leave it out, or empty. [`Json::member`] reads what has no method here.
    pub fn raw(&self) -> Option<&Json> {
        self.last.as_ref()
    }

    /// Whether the server's terminal event came.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// The output without calls that have their output in it.
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
