//! Members of the response object that need no more than reading.

use std::collections::BTreeMap;

use super::{InputTransformation, Response, ResponseError, ResponseStatus, ToolUsage};
use crate::{event::Usage, json::Json};

/// Accessors of members under their own names. `None` if the server did not send the member.
macro_rules! members {
    ($($(#[$doc:meta])* $name:ident $(= $wire:literal)?: $type:ty,)*) => {
        /// Members of the response object of the last lifecycle event. Each method returns `None`
        /// if the server sent no value of the type.
        impl Response {
            $(
                $(#[$doc])*
                pub fn $name(&self) -> Option<$type> {
                    self.member(members!(@wire $name $($wire)?))
                }
            )*
        }
    };
    (@wire $name:ident) => { stringify!($name) };
    (@wire $name:ident $wire:literal) => { $wire };
}

members! {
    /// Returns `model`, as the server names it.
    model: String,
    /// Returns the creation time, in seconds since 1970.
    created_at: f64,
    /// Returns the completion time, in seconds since 1970.
    completed_at: f64,
    /// Returns the service tier that processed the response. It may differ from the requested tier.
    service_tier: String,
    /// Returns the error of a failed response.
    error: ResponseError,
    /// Returns `true` if the agent's turn ended with this response. Only the ChatGPT backend sends
    /// the value.
    end_turn: bool,
    /// Returns the usage of the server's own tools.
    tool_usage: ToolUsage,
    /// Returns the diagnostics of a prompt cache miss, if the request asked for them.
    prompt_cache_diagnostics: Json,
    /// Returns the results of the moderation that the request asked for: an object with `input` and
    /// `output`.
    moderation: Json,
    /// Returns the access programs under which the response ran, for example
    /// `{"cyber": "standard"}`.
    access_programs: Json,
    /// Returns the settings for images, for example `{"context_compression": "enabled"}`.
    image: Json,
    /// Returns the id of the response that this response continues.
    previous_response_id: String,
    /// Returns the instructions of the request: a string, or a list of items.
    instructions: Json,
    /// Returns the settings for reasoning: an object with `effort`, `summary` and others.
    reasoning_config = "reasoning": Json,
    /// Returns the settings for text: an object with `format` and `verbosity`.
    text_config = "text": Json,
    /// Returns the tools of the request, in the form in which the request declared them.
    tools: Vec<Json>,
    /// Returns the tool choice of the request: a string, or an object.
    tool_choice: Json,
    /// Returns `true` if the model may call several tools at the same time.
    parallel_tool_calls: bool,
    /// Returns the maximum number of calls of the server's own tools.
    max_tool_calls: u64,
    /// Returns the maximum number of output tokens, including reasoning.
    max_output_tokens: u64,
    /// Returns the sampling temperature, from 0 to 2.
    temperature: f64,
    /// Returns the probability mass of the tokens considered, from 0 to 1.
    top_p: f64,
    /// Returns the number of likeliest tokens for which the request asked at each place.
    top_logprobs: u64,
    /// Returns the truncation strategy: `auto` or `disabled`.
    truncation: String,
    /// Returns `true` if the server keeps the response.
    store: bool,
    /// Returns `true` if the response runs in the background.
    background: bool,
    /// Returns the identifier of the end user for safety checks.
    safety_identifier: String,
    /// Returns the key by which the prompt cache groups requests.
    prompt_cache_key: String,
    /// Returns the options of the prompt cache: an object with `mode`, `ttl` and others.
    prompt_cache_options: Json,
}

impl Response {
    /// Returns the status in the last lifecycle event.
    pub fn status(&self) -> ResponseStatus {
        let status: Option<String> = self.member("status");
        status.map_or(ResponseStatus::InProgress, |status| status.as_str().into())
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
        self.member_of("incomplete_details", "reason")
    }

    /// Returns the id of the server's conversation to which the response belongs.
    pub fn conversation_id(&self) -> Option<String> {
        self.member_of("conversation", "id")
    }

    /// Returns the changes that the server made to the input, for example removed reasoning that it
    /// could not use. A history that keeps such items has them removed each turn.
    /// [`TurnReport::warnings`](crate::TurnReport#structfield.warnings) reports such changes.
    pub fn input_transformations(&self) -> Vec<InputTransformation> {
        self.member("input_transformations").unwrap_or_default()
    }

    fn member_of(&self, object: &'static str, name: &str) -> Option<String> {
        self.member::<Json>(object)?.member(name).ok().flatten()
    }
}
