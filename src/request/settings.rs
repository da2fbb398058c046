//! Typed values of settings that a request holds as JSON.

use serde::Serialize;

use crate::json::Json;

/// Reasoning settings of a request, or of [`Item::configuration_update`].
///
/// ```
/// use responses_client::{ReasoningConfig, ResponsesRequest};
///
/// let request = ResponsesRequest::new("gpt-6-astra")
///     .reasoning(ReasoningConfig::new().effort("high").summary("auto"));
/// assert_eq!(request, ResponsesRequest::new("gpt-6-astra")
///     .reasoning_effort("high")
///     .reasoning_summary("auto"));
/// ```
///
/// A setting that is not set is left out. The values are strings, because servers add values at any
/// time. [`ResponsesRequest::reasoning`] takes other settings as JSON.
///
/// [`Item::configuration_update`]: crate::Item::configuration_update
/// [`ResponsesRequest::reasoning`]: crate::ResponsesRequest::reasoning
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ReasoningConfig {
    /// Effort: `none`, `minimal`, `low`, `medium`, `high`, `xhigh` or `max`, as far as the model
    /// supports it. Default: decided by the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effort: Option<String>,
    /// Summary of the reasoning: `auto`, `concise` or `detailed`. Default: no summary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// Turns whose reasoning the model sees: `auto`, `current_turn` or `all_turns`. Default:
    /// decided by the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
}

impl ReasoningConfig {
    /// Returns settings of which none is set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets [`effort`](Self#structfield.effort).
    #[must_use]
    pub fn effort(mut self, effort: impl Into<String>) -> Self {
        self.effort = Some(effort.into());
        self
    }

    /// Sets [`summary`](Self#structfield.summary).
    #[must_use]
    pub fn summary(mut self, summary: impl Into<String>) -> Self {
        self.summary = Some(summary.into());
        self
    }

    /// Sets [`context`](Self#structfield.context).
    #[must_use]
    pub fn context(mut self, context: impl Into<String>) -> Self {
        self.context = Some(context.into());
        self
    }
}

/// Text settings of a request, or of [`Item::configuration_update`].
///
/// ```
/// use responses_client::{ResponsesRequest, TextConfig};
/// use serde_json::json;
///
/// let schema = json!({"type": "object"});
/// let text = TextConfig::new().verbosity("low").json_schema("answer", &schema);
/// let request = ResponsesRequest::new("gpt-6-astra").text(text);
/// assert_eq!(request, ResponsesRequest::new("gpt-6-astra")
///     .json_schema("answer", &schema)
///     .verbosity("low"));
/// ```
///
/// A setting that is not set is left out. [`ResponsesRequest::text`] takes other settings as JSON.
///
/// [`Item::configuration_update`]: crate::Item::configuration_update
/// [`ResponsesRequest::text`]: crate::ResponsesRequest::text
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TextConfig {
    /// Length of the answer: `low`, `medium` or `high`. Default: decided by the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verbosity: Option<String>,
    /// Format of the answer: an object with a `type`. Default: plain text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<Json>,
}

impl TextConfig {
    /// Returns settings of which none is set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets [`verbosity`](Self#structfield.verbosity).
    #[must_use]
    pub fn verbosity(mut self, verbosity: impl Into<String>) -> Self {
        self.verbosity = Some(verbosity.into());
        self
    }

    /// Requests JSON that matches `schema`, which is JSON or its text, and is strict: see
    /// [`ResponsesRequest::json_schema`](crate::ResponsesRequest::json_schema).
    #[must_use]
    pub fn json_schema(mut self, name: impl AsRef<str>, schema: impl Into<Json>) -> Self {
        /// The schema is sent byte for byte, because the order of its members determines the order
        /// in the answer.
        #[derive(Serialize)]
        #[serde(tag = "type", rename = "json_schema")]
        struct Format<'a> {
            name: &'a str,
            schema: Json,
            strict: bool,
        }
        let format = Format { name: name.as_ref(), schema: schema_of(schema.into()), strict: true };
        self.format = Some(to_json(&format));
        self
    }

    /// Requests JSON of any shape. The instructions or the input must mention JSON.
    #[must_use]
    pub fn json_object(self) -> Self {
        self.format("json_object")
    }

    /// Requests plain text, for example after a turn that requested JSON.
    #[must_use]
    pub fn plain_text(self) -> Self {
        self.format("text")
    }

    fn format(mut self, format_type: &str) -> Self {
        self.format = Some(Json::from([("type", format_type)]));
        self
    }
}

/// Choice of tools for a response.
///
/// ```
/// use responses_client::{ResponsesRequest, ToolChoice};
///
/// let request = ResponsesRequest::new("gpt-6-astra");
/// let forced = request.clone().tool_choice(ToolChoice::function("search"));
/// let some = [ToolChoice::function("search"), ToolChoice::hosted("web_search")];
/// let limited = request.tool_choice(ToolChoice::allowed_tools("auto", some));
/// # drop((forced, limited));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ToolChoice {
    /// The model decides: the default of the API.
    Auto,
    /// No tools.
    None,
    /// At least one call, of any tool.
    Required,
    /// A call of the function with this name.
    Function(String),
    /// Another choice, as JSON, for example of [`custom`](Self::custom).
    Other(Json),
}

impl ToolChoice {
    /// Requires a call of this function.
    pub fn function(name: impl Into<String>) -> Self {
        Self::Function(name.into())
    }

    /// Requires a call of this custom tool.
    pub fn custom(name: impl Into<String>) -> Self {
        Self::Other(Json::from([("type", "custom".to_owned()), ("name", name.into())]))
    }

    /// Requires a call of a tool that the server runs, for example `web_search`.
    pub fn hosted(tool_type: impl Into<String>) -> Self {
        Self::Other(Json::from([("type", tool_type.into())]))
    }

    /// Limits the choice to `tools`. `mode` is `auto` if the model may answer without a call, and
    /// `required` otherwise. A request that changes this choice instead of its tools keeps the
    /// prompt cache.
    pub fn allowed_tools(
        mode: impl Into<String>,
        tools: impl IntoIterator<Item: Into<Json>>,
    ) -> Self {
        let tools: Vec<Json> = tools.into_iter().map(Into::into).collect();
        Self::Other(Json::from([
            ("type", Json::from("allowed_tools")),
            ("mode", Json::from(mode.into())),
            ("tools", to_json(&tools)),
        ]))
    }
}

impl From<ToolChoice> for Json {
    fn from(choice: ToolChoice) -> Self {
        match choice {
            ToolChoice::Auto => "auto".into(),
            ToolChoice::None => "none".into(),
            ToolChoice::Required => "required".into(),
            ToolChoice::Function(name) => {
                Json::from([("type", "function".to_owned()), ("name", name)])
            }
            ToolChoice::Other(choice) => choice,
        }
    }
}

impl From<ReasoningConfig> for Json {
    fn from(config: ReasoningConfig) -> Self {
        to_json(&config)
    }
}

impl From<TextConfig> for Json {
    fn from(config: TextConfig) -> Self {
        to_json(&config)
    }
}

fn to_json(settings: &impl Serialize) -> Json {
    #[expect(clippy::expect_used, reason = "structs of strings and JSON have a JSON form")]
    let text = serde_json::to_string(settings).expect("settings of strings and JSON");
    Json::from_trusted(text)
}

/// Returns the schema that a caller gave as JSON, or as a string with the text of the JSON. A schema
/// is never a JSON string itself.
pub(super) fn schema_of(given: Json) -> Json {
    let text = given.decode::<String>().ok();
    let parsed = text.and_then(|text| Json::parse(text).ok());
    parsed.filter(|schema| schema.as_str().starts_with('{')).unwrap_or(given)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(json: impl Into<Json>) -> String {
        json.into().as_str().to_owned()
    }

    #[test]
    fn typed_settings_are_what_the_api_takes() {
        let reasoning = ReasoningConfig::new().effort("high").summary("auto").context("all_turns");
        assert_eq!(text(reasoning), r#"{"effort":"high","summary":"auto","context":"all_turns"}"#);
        assert_eq!(text(ReasoningConfig::new()), "{}");
        let schema = Json::parse(r#"{"z":1e2,"a":{}}"#).unwrap();
        assert_eq!(
            text(TextConfig::new().verbosity("low").json_schema("answer", schema)),
            r#"{"verbosity":"low","format":{"type":"json_schema","name":"answer","schema":{"z":1e2,"a":{}},"strict":true}}"#
        );
        assert_eq!(text(TextConfig::new().json_object()), r#"{"format":{"type":"json_object"}}"#);
        assert_eq!(text(TextConfig::new().plain_text()), r#"{"format":{"type":"text"}}"#);
        assert_eq!(text(ToolChoice::Auto), r#""auto""#);
        assert_eq!(text(ToolChoice::None), r#""none""#);
        assert_eq!(text(ToolChoice::Required), r#""required""#);
        assert_eq!(text(ToolChoice::custom("sql")), r#"{"type":"custom","name":"sql"}"#);
        let tools = [ToolChoice::function("f\""), ToolChoice::hosted("web_search")];
        assert_eq!(
            text(ToolChoice::allowed_tools("required", tools)),
            r#"{"type":"allowed_tools","mode":"required","tools":[{"type":"function","name":"f\""},{"type":"web_search"}]}"#
        );
    }
}
