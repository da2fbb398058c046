//! The create body: one table of its fields, from which the struct, its parser, its encoder and its
//! comparison are generated, so that none of these can omit a field.

use std::{fmt, str::FromStr};

use serde::{Deserialize, de};
use serde_json::value::RawValue;

use super::{
    History, Item, RequestError, TextConfig, Tool,
    member::{Field, Member},
};
use crate::json::{self, DecodeError, Json, Text, WITH_HALVES};

/// Meaning of a field for a continuation.
enum Role {
    /// Part of the model's context: a continuation requires the same value.
    Context,
    /// Only about the delivery of the answer: the value may change from turn to turn.
    Delivery,
}

/// Field in which two requests differ.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum FieldDifference {
    Model,
    Tools,
    Instructions,
    Other(String),
}

macro_rules! create_body {
    ($($(#[$doc:meta])* $name:ident: $type:ty, $role:ident, $set:ident;)*) => {
        /// Request for one response: the create body of the Responses API.
        ///
        /// Set the whole conversation each turn as [`input`](Self::input); the session sends only
        /// the new items when possible. Fields that are `None` or empty are omitted; to send an
        /// empty list, put it into [`extra`](Self::extra), as fields that this version does not
        /// know.
        ///
        /// `stream`, `generate`, `stream_id` and `type` belong to the transport. A request with one
        /// of them in `extra` is rejected with [`RequestError::ReservedField`].
        ///
        /// ```
        /// use responses_client::{Item, ResponsesRequest};
        /// use serde_json::json;
        ///
        /// let request = ResponsesRequest::new("gpt-6-astra")
        ///     .instructions("Answer in one sentence.")
        ///     .reasoning_effort("high")
        ///     .max_output_tokens(1000)
        ///     .tool_choice("auto")
        ///     .include(["reasoning.encrypted_content"])
        ///     .metadata([("team", "search")])
        ///     .extra("a_field_of_tomorrow", json!({"on": true}))
        ///     .input([Item::developer("Cite sources."), Item::user("Why is the sky blue?")]);
        /// assert_eq!(request.clone().input("Hi").input[0], Item::user("Hi"));
        /// ```
        ///
        /// `==` compares by value: JSON in any spelling, and members of `extra` in their order.
        #[derive(Clone, Default, PartialEq)]
        #[non_exhaustive]
        pub struct ResponsesRequest {
            /// The conversation so far, in full.
            pub input: History,
            $($(#[$doc])* pub $name: create_body!(@field $set, $type),)*
            /// Further members of the body, in the order in which they are sent.
            pub extra: Vec<(String, Json)>,
        }

        impl ResponsesRequest {
            $(create_body!(@setter $set, $name, $type);)*

            /// Sets the field `name` of a create body. A value of another type, for example `null`,
            /// and an empty one go to `extra` unchanged: the server judges them.
            fn set_member(&mut self, name: String, value: &RawValue) {
                match name.as_str() {
                    // A second value goes to `extra`, where `check` finds it.
                    $(stringify!($name) if self.$name.value().is_none() => {
                        self.$name = serde_json::from_str(value.get()).unwrap_or_default();
                        if self.$name.value().is_some() {
                            return;
                        }
                    })*
                    _ => {}
                }
                self.extra.push((name, Json::from_trusted(value.get())));
            }

            /// Calls `member` for each field but `input`, in a fixed order.
            pub(crate) fn for_each_member<E>(
                &self,
                mut member: impl FnMut(&str, &dyn Member) -> Result<(), E>,
            ) -> Result<(), E> {
                let Self { input: _, $($name,)* extra } = self;
                $(if let Some(value) = $name.value() {
                    member(stringify!($name), value)?;
                })*
                extra.iter().try_for_each(|(name, value)| member(name, value))
            }

            /// Returns the first `Context` field but `may_change` in which `self` and `prior`
            /// differ.
            pub(crate) fn context_difference(
                &self,
                prior: &Self,
                may_change: Option<&str>,
            ) -> Option<FieldDifference> {
                let Self { input: _, $($name,)* extra } = self;
                $(match Role::$role {
                    Role::Context
                        if *$name != prior.$name && may_change != Some(stringify!($name)) =>
                    {
                        return Some(FieldDifference::named(stringify!($name)));
                    }
                    Role::Context | Role::Delivery => {}
                })*
                let extra = [(extra, &prior.extra), (&prior.extra, extra)];
                extra.into_iter().find_map(|(some, others)| extra_difference(some, others, may_change))
            }

            /// Returns `true` if `name` is a field of the struct and set.
            fn has(&self, name: &str) -> bool {
                match name {
                    $(stringify!($name) => self.$name.value().is_some(),)*
                    _ => false,
                }
            }
        }
    };
    (@field bare, $type:ty) => { $type };
    (@field list, $type:ty) => { $type };
    (@field $set:ident, $type:ty) => { Option<$type> };
    (@setter bare, $name:ident, $type:ty) => {
        #[doc = concat!("Sets [`", stringify!($name), "`](Self#structfield.", stringify!($name), ").")]
        #[must_use]
        pub fn $name(mut self, $name: impl Into<$type>) -> Self {
            self.$name = $name.into();
            self
        }
    };
    (@setter plain, $name:ident, $type:ty) => {
        #[doc = concat!("Sets [`", stringify!($name), "`](Self#structfield.", stringify!($name), ").")]
        #[must_use]
        pub fn $name(mut self, $name: $type) -> Self {
            self.$name = Some($name);
            self
        }
    };
    (@setter into, $name:ident, $type:ty) => {
        #[doc = concat!("Sets [`", stringify!($name), "`](Self#structfield.", stringify!($name), ").")]
        #[must_use]
        pub fn $name(mut self, $name: impl Into<$type>) -> Self {
            self.$name = Some($name.into());
            self
        }
    };
    (@setter list, $name:ident, $type:ty) => {
        #[doc = concat!("Sets [`", stringify!($name), "`](Self#structfield.", stringify!($name), ").")]
        #[must_use]
        pub fn $name(
            mut self,
            $name: impl IntoIterator<Item: Into<<$type as IntoIterator>::Item>>,
        ) -> Self {
            self.$name = $name.into_iter().map(Into::into).collect();
            self
        }
    };
}

create_body! {
    /// The model, for example `gpt-6-astra`. Empty if a stored [`prompt`](Self::prompt) names it.
    model: String, Context, bare;
    /// Instructions for this response. The server does not inherit them from the previous
    /// response; a session sends them each turn. A change causes a full send, unless
    /// [`ContinuationPolicy`](crate::ContinuationPolicy) allows it.
    ///
    /// GPT-6.2 and later read them after the input, outside the prompt cache: instructions that
    /// hold for the whole conversation belong into its first item, by
    /// [`Item::developer`](crate::Item::developer). Earlier models read them before the input.
    instructions: String, Context, into;
    /// Id of the response to continue. It turns off incremental sending by the session for the
    /// turn.
    previous_response_id: String, Context, into;
    /// Conversation object to continue: an id, or `{"id": …}`. It turns off incremental sending by
    /// the session for the turn.
    conversation: Json, Context, into;
    /// `true` if the server stores the response. Default: decided by the server.
    store: bool, Context, plain;
    /// Options of the event stream: `{"include_obfuscation": …}`.
    stream_options: Json, Delivery, into;
    /// `true` if the response runs on after the connection closes. Such a turn goes over HTTP,
    /// because a WebSocket has no counterpart.
    background: bool, Context, plain;
    /// Options of a background response: `{"completion_window": "2h", "continuation_id": …}`. The
    /// windows `2h` and `8h` need `background`, and the API refuses them for a streamed response.
    background_options: Json, Delivery, into;
    /// Additional data in the answer, for example `reasoning.encrypted_content`.
    include: Vec<String>, Context, list;
    /// The tools that the model may call.
    tools: Vec<Tool>, Context, list;
    /// Choice of tools: `"auto"`, `"none"`, `"required"` or an object. See
    /// [`ToolChoice`](crate::ToolChoice).
    tool_choice: Json, Context, into;
    /// `true` if the model may make several calls in parallel.
    parallel_tool_calls: bool, Context, plain;
    /// Maximum number of calls of built-in tools per response.
    max_tool_calls: u64, Context, plain;
    /// Maximum number of tokens per response, reasoning included.
    max_output_tokens: u64, Context, plain;
    /// Reasoning settings: `{"effort": …, "summary": …}`. See
    /// [`ReasoningConfig`](crate::ReasoningConfig).
    reasoning: Json, Context, into;
    /// Text settings: `{"format": …, "verbosity": …}`. See [`TextConfig`].
    text: Json, Context, into;
    /// Sampling temperature, from 0 to 2.
    temperature: f64, Context, into;
    /// Nucleus sampling: share of the probability mass, from 0 to 1.
    top_p: f64, Context, into;
    /// Number of likeliest tokens to return at each place, from 0 to 20.
    top_logprobs: u64, Context, plain;
    /// Truncation of the input: `auto` or `disabled`.
    truncation: String, Context, into;
    /// Context management: `[{"type": "compaction", …}]`.
    context_management: Json, Context, into;
    /// Metadata stored with the response: up to 16 pairs of strings.
    metadata: Json, Delivery, into;
    /// Stored prompt: `{"id": …, "version": …, "variables": …}`.
    prompt: Json, Context, into;
    /// Key of the prompt cache. Requests with the same key share a cache.
    prompt_cache_key: String, Context, into;
    /// Prompt cache settings: `{"mode": …, "ttl": …}`.
    prompt_cache_options: Json, Context, into;
    /// Prompt cache retention: `in_memory` or `24h`. Deprecated by the API.
    prompt_cache_retention: String, Context, into;
    /// Identifier of an end user of the application, up to 128 characters. Keep it constant in a
    /// conversation: for GPT-6.2 and later, a change removes the reasoning of earlier turns.
    safety_identifier: String, Delivery, into;
    /// End user: the older form of `safety_identifier`.
    user: String, Delivery, into;
    /// Service tier: `auto`, `default`, `flex`, `priority` and others. GPT-6.2 has no `flex`.
    service_tier: String, Context, into;
    /// Image settings: `{"context_compression": …}`.
    image: Json, Context, into;
    /// Moderation settings: `{"model": …, "policy": …}`.
    moderation: Json, Context, into;
    /// Access programs: `{"cyber": …}`.
    access_programs: Json, Context, into;
    /// Multi-agent settings (beta): `{"enabled": …}`.
    multi_agent: Json, Context, into;
    /// Client metadata: pairs of strings. Only the ChatGPT backend accepts it.
    client_metadata: Json, Delivery, into;
}

/// Members that belong to the transport.
const RESERVED: [&str; 4] = ["type", "stream", "generate", "stream_id"];

impl ResponsesRequest {
    /// Returns a request to `model` without input.
    pub fn new(model: impl Into<String>) -> Self {
        Self { model: model.into(), ..Self::default() }
    }

    /// Returns the request of a create body, from its JSON text or a `serde_json::Value`. Members
    /// that this version does not know, and values of another type than a field's, are kept in
    /// `extra` and sent unchanged. An `input` that is a string becomes one message of the user,
    /// which is equivalent for the server.
    ///
    /// ```
    /// use responses_client::{Item, ResponsesRequest};
    ///
    /// let body = r#"{"model": "gpt-6-astra", "input": "Hi", "field_of_tomorrow": 1}"#;
    /// let request = ResponsesRequest::from_json(body)?;
    /// assert_eq!(request.input[0], Item::user("Hi"));
    /// assert_eq!(request.extra[0].0, "field_of_tomorrow");
    /// # Ok::<_, responses_client::error::RequestError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`RequestError::Body`] if `json` is not one JSON object, or `input` is neither a string nor
    /// a list of objects.
    pub fn from_json(json: impl Into<Json>) -> Result<Self, RequestError> {
        json::from_str(&Json::given_text(json))
            .map_err(|error| RequestError::Body(DecodeError::new("the request body", &error)))
    }

    /// Adds a member to [`extra`](Self::extra).
    #[must_use]
    pub fn extra(mut self, name: impl Into<String>, value: impl Into<Json>) -> Self {
        self.extra.push((name.into(), value.into()));
        self
    }

    /// Sets [`input`](Self#structfield.input).
    #[must_use]
    pub fn input(mut self, input: impl Into<History>) -> Self {
        self.input = input.into();
        self
    }

    /// Adds a tool to [`tools`](Self#structfield.tools).
    #[must_use]
    pub fn tool(mut self, tool: impl Into<Tool>) -> Self {
        self.tools.push(tool.into());
        self
    }

    /// Sets the reasoning effort, for example `low` or `high`. Other settings in
    /// [`reasoning`](Self#structfield.reasoning) are kept.
    #[must_use]
    pub fn reasoning_effort(mut self, effort: impl Into<String>) -> Self {
        set_in(&mut self.reasoning, "effort", effort.into());
        self
    }

    /// Sets the summary of the reasoning, for example `auto`. Other settings in
    /// [`reasoning`](Self#structfield.reasoning) are kept.
    #[must_use]
    pub fn reasoning_summary(mut self, summary: impl Into<String>) -> Self {
        set_in(&mut self.reasoning, "summary", summary.into());
        self
    }

    /// Sets the length of the answer: `low`, `medium` or `high`. Other settings in
    /// [`text`](Self#structfield.text) are kept.
    #[must_use]
    pub fn verbosity(mut self, verbosity: impl Into<String>) -> Self {
        set_in(&mut self.text, "verbosity", verbosity.into());
        self
    }

    /// Requests an answer in JSON by this schema; [`Response::parse_output`] parses it. Other
    /// settings in [`text`](Self#structfield.text) are kept.
    ///
    /// The schema is JSON, for example a `serde_json::Value`, or the text of a schema. It is
    /// strict: each property must be in `required`, and each object needs
    /// `additionalProperties: false`. [`TextConfig::json_schema`] is the same setting as a value.
    ///
    /// With the crate `schemars`, the type of the answer is the schema:
    ///
    /// ```
    /// # use responses_client::{Provider, ResponsesClient, testing::{Script, ScriptedServer, Turn}};
    /// use responses_client::ResponsesRequest;
    /// use schemars::{JsonSchema, schema_for};
    ///
    /// #[derive(serde::Deserialize, JsonSchema)]
    /// #[serde(deny_unknown_fields)] // `additionalProperties: false`
    /// struct Weather {
    ///     city: String,
    ///     /// In Celsius.
    ///     degrees: f64,
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let answer = Turn::text(r#"{"city":"Oslo","degrees":7}"#);
    /// # let server = ScriptedServer::start(Script::new().turn(answer)).await?;
    /// # let mut session = ResponsesClient::builder().provider(Provider::compatible(&server.url())?).build()?.session();
    /// let request = ResponsesRequest::new("gpt-6-astra")
    ///     .json_schema("weather", schema_for!(Weather).to_value())
    ///     .input("How warm is it in Oslo?");
    /// let response = session.stream(&request).await?.final_response().await?;
    /// let weather: Weather = response.parse_output()?;
    /// assert_eq!((weather.city.as_str(), weather.degrees), ("Oslo", 7.0));
    /// # Ok(()) }
    /// ```
    ///
    /// `schemars` leaves a field of type `Option` out of `required`. A generator of
    /// `SchemaSettings::default().for_serialize()` requires the field and allows `null`.
    ///
    /// [`Response::parse_output`]: crate::Response::parse_output
    #[must_use]
    pub fn json_schema(mut self, name: impl AsRef<str>, schema: impl Into<Json>) -> Self {
        if let Some(format) = TextConfig::new().json_schema(name, schema).format {
            set_in(&mut self.text, "format", format);
        }
        self
    }

    /// Checks the request for faults that no server could handle, before any byte is sent.
    pub(crate) fn check(&self) -> Result<(), RequestError> {
        let mut seen = vec!["input"];
        for (name, _) in &self.extra {
            if RESERVED.contains(&name.as_str()) {
                return Err(RequestError::ReservedField(name.clone()));
            }
            if seen.contains(&name.as_str()) || self.has(name) {
                return Err(RequestError::RepeatedField(name.clone()));
            }
            seen.push(name);
        }
        Ok(())
    }

    /// Returns `true` if the request itself names the response or conversation to continue.
    pub(crate) fn caller_managed(&self) -> bool {
        self.previous_response_id.is_some()
            || self.conversation.is_some()
            || self.extra.iter().any(|(name, value)| {
                matches!(name.as_str(), "previous_response_id" | "conversation")
                    && value.as_str() != "null"
            })
    }
}

impl FieldDifference {
    fn named(name: &str) -> Self {
        match name {
            "model" => Self::Model,
            "tools" => Self::Tools,
            "instructions" => Self::Instructions,
            _ => Self::Other(name.to_owned()),
        }
    }
}

/// Sets one member of a setting that is an object, and keeps the others.
fn set_in(setting: &mut Option<Json>, name: &'static str, value: impl Into<Json>) {
    let value = value.into();
    *setting = Some(match setting {
        Some(json) => json.with_member(name, &value),
        None => Json::from([(name, value)]),
    });
}

/// Returns the first member of `some` but `may_change` that differs in `others`; the order of
/// members does not count.
fn extra_difference(
    some: &[(String, Json)],
    others: &[(String, Json)],
    may_change: Option<&str>,
) -> Option<FieldDifference> {
    some.iter()
        .find(|member| may_change != Some(&*member.0) && !others.contains(member))
        .map(|(name, _)| FieldDifference::named(name))
}

/// Turns take a request in any form that leads to a reference, for example `&&ResponsesRequest`.
impl AsRef<Self> for ResponsesRequest {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl fmt::Debug for ResponsesRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Instructions, input and metadata are private to the caller.
        f.debug_struct("ResponsesRequest")
            .field("model", &self.model)
            .field("input_items", &self.input.len())
            .finish_non_exhaustive()
    }
}

impl FromStr for ResponsesRequest {
    type Err = RequestError;

    fn from_str(json: &str) -> Result<Self, RequestError> {
        Self::from_json(json)
    }
}

impl<'de> Deserialize<'de> for ResponsesRequest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> de::Visitor<'de> for Members {
            type Value = ResponsesRequest;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut request = ResponsesRequest::default();
                let mut has_input = false;
                while let Some(name) = map.next_key::<String>()? {
                    if name == "input" {
                        if std::mem::replace(&mut has_input, true) {
                            return Err(de::Error::duplicate_field("input"));
                        }
                        request.input = match map.next_value()? {
                            Input::Text(text) => [Item::user_text(&text)].into(),
                            Input::Items(items) => items.into(),
                        };
                    } else {
                        request.set_member(name, &map.next_value::<Box<RawValue>>()?);
                    }
                }
                Ok(request)
            }
        }
        deserializer.deserialize_map(Members)
    }
}

enum Input {
    Text(Text),
    Items(Vec<Item>),
}

impl<'de> Deserialize<'de> for Input {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> de::Visitor<'de> for Either {
            type Value = Input;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of items as `input`")
            }
            fn visit_newtype_struct<D: serde::Deserializer<'de>>(
                self,
                deserializer: D,
            ) -> Result<Input, D::Error> {
                deserializer.deserialize_any(self)
            }
            fn visit_str<E>(self, text: &str) -> Result<Input, E> {
                Ok(Input::Text(text.into()))
            }
            fn visit_bytes<E>(self, wtf8: &[u8]) -> Result<Input, E> {
                Ok(Input::Text(Text::from_wtf8(wtf8)))
            }
            fn visit_unit<E>(self) -> Result<Input, E> {
                Ok(Input::Items(Vec::new()))
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Input, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Input::Items(items))
            }
        }
        deserializer.deserialize_newtype_struct(WITH_HALVES, Either)
    }
}

#[cfg(test)]
mod tests;
