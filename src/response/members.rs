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

    /// Returns `true` if the answer ends early: [`incomplete_reason`](Self::incomplete_reason) has
    /// the reason.
    pub fn is_incomplete(&self) -> bool {
        self.status() == ResponseStatus::Incomplete
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_member_is_read_under_its_name() {
        let response = Response::from_json(
            r#"{"id":"r","status":"brand_new","model":"m","created_at":1.5,"completed_at":2,
            "service_tier":"flex","error":{"code":"server_error"},"end_turn":false,
            "tool_usage":{"web_search":{"num_requests":3}},"prompt_cache_diagnostics":{"p":1},
            "moderation":{"input":1},"access_programs":{"cyber":"standard"},
            "image":{"context_compression":"enabled"},"previous_response_id":"resp_0",
            "instructions":"Be brief","reasoning":{"effort":"high"},"text":{"verbosity":"low"},
            "tools":[{"type":"shell"},{"type":"custom"}],"tool_choice":"auto",
            "parallel_tool_calls":true,"max_tool_calls":4,"max_output_tokens":1000.0,
            "temperature":1,"top_p":0.5,"top_logprobs":2,"truncation":"disabled","store":true,
            "background":false,"safety_identifier":"user_1","prompt_cache_key":"key",
            "prompt_cache_options":{"ttl":"30m"},"conversation":{"id":"conv_1"},
            "metadata":{"k":"v"},"incomplete_details":{"reason":"steered"},
            "usage":{"total_tokens":7},"input_transformations":[{"id":"rs_1"}]}"#,
        )
        .unwrap();
        let text = |value: Option<String>| value.unwrap_or_default();
        let json =
            |value: Option<Json>| value.map_or_else(String::new, |it| it.as_str().to_owned());
        let texts = [
            (text(response.model()), "m"),
            (text(response.service_tier()), "flex"),
            (text(response.error().and_then(|error| error.code)), "server_error"),
            (text(response.previous_response_id()), "resp_0"),
            (text(response.truncation()), "disabled"),
            (text(response.safety_identifier()), "user_1"),
            (text(response.prompt_cache_key()), "key"),
            (text(response.conversation_id()), "conv_1"),
            (text(response.incomplete_reason()), "steered"),
            (json(response.prompt_cache_diagnostics()), r#"{"p":1}"#),
            (json(response.moderation()), r#"{"input":1}"#),
            (json(response.access_programs()), r#"{"cyber":"standard"}"#),
            (json(response.image()), r#"{"context_compression":"enabled"}"#),
            (json(response.instructions()), r#""Be brief""#),
            (json(response.reasoning_config()), r#"{"effort":"high"}"#),
            (json(response.text_config()), r#"{"verbosity":"low"}"#),
            (json(response.tool_choice()), r#""auto""#),
            (json(response.prompt_cache_options()), r#"{"ttl":"30m"}"#),
            (json(response.tools().unwrap().pop()), r#"{"type":"custom"}"#),
            (response.metadata().remove("k").unwrap(), "v"),
            (response.status().to_string(), "brand_new"),
        ];
        for (read, expected) in texts {
            assert_eq!(read, expected);
        }
        let floats = (response.created_at(), response.completed_at(), response.temperature());
        assert_eq!(floats, (Some(1.5), Some(2.0), Some(1.0)));
        assert_eq!(response.top_p(), Some(0.5));
        let counts =
            (response.max_tool_calls(), response.max_output_tokens(), response.top_logprobs());
        assert_eq!(counts, (Some(4), Some(1000), Some(2)));
        let flags = (response.parallel_tool_calls(), response.store(), response.background());
        assert_eq!(
            (flags, response.end_turn()),
            ((Some(true), Some(true), Some(false)), Some(false))
        );
        let searches = response.tool_usage().and_then(|usage| usage.web_search);
        assert_eq!(searches.and_then(|usage| usage.num_requests), Some(3));
        assert_eq!(response.usage().map(|usage| usage.total_tokens), Some(7));
        assert_eq!(response.input_transformations().len(), 1);
        assert_eq!(Response::from_json("{}").unwrap().tools(), None);
    }
}
