//! Tools that the model may call.

use serde::{Deserialize, Serialize, Serializer, de};

use super::settings::schema_of;
use crate::json::{DecodeError, Json};

/// Entry of `tools`, as the JSON that is sent.
///
/// ```
/// use responses_client::Tool;
/// use serde_json::json;
///
/// let schema = json!({
///     "type": "object",
///     "properties": {"city": {"type": "string"}},
///     "required": ["city"],
///     "additionalProperties": false,
/// });
/// let forecast = Tool::function("forecast", "Returns the weather of a city.", schema).strict(true);
/// assert_eq!(forecast.json().member::<bool>("strict")?, Some(true));
/// # Ok::<_, responses_client::error::DecodeError>(())
/// ```
///
/// With the crate `schemars`, the type of the arguments is the schema, and
/// [`FunctionCall::arguments`](crate::event::FunctionCall::arguments) returns that type:
///
/// ```
/// use responses_client::Tool;
/// use schemars::{JsonSchema, schema_for};
///
/// #[derive(serde::Deserialize, JsonSchema)]
/// #[serde(deny_unknown_fields)] // `additionalProperties: false`
/// struct Place {
///     /// Name of the city, without the country.
///     city: String,
/// }
///
/// let schema = schema_for!(Place).to_value();
/// let forecast = Tool::function("forecast", "Returns the weather of a city.", schema).strict(true);
/// # let description = forecast.json().pointer("/parameters/properties/city/description");
/// # assert_eq!(description, Some("Name of the city, without the country.".into()));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Tool(Json);

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ToolBody<'a> {
    Function { name: &'a str, description: &'a str, parameters: Json, strict: bool },
    Custom { name: &'a str, description: &'a str },
    FileSearch { vector_store_ids: Vec<String> },
}

impl Tool {
    /// Returns a function of the caller, with a JSON schema of its arguments, for
    /// example a `serde_json::Value` or the text of a schema.
    ///
    /// The function is not [`strict`](Self::strict), because a schema must satisfy further rules
    /// for that.
    pub fn function(
        name: impl AsRef<str>,
        description: impl AsRef<str>,
        parameters: impl Into<Json>,
    ) -> Self {
        Self::new(&ToolBody::Function {
            name: name.as_ref(),
            description: description.as_ref(),
            parameters: schema_of(parameters.into()),
            strict: false,
        })
    }

    /// Returns a tool of the caller that takes free text.
    pub fn custom(name: impl AsRef<str>, description: impl AsRef<str>) -> Self {
        Self::new(&ToolBody::Custom { name: name.as_ref(), description: description.as_ref() })
    }

    /// Returns the web search of the server, without settings.
    pub fn web_search() -> Self {
        Self::hosted("web_search")
    }

    /// Returns the search of the server in the files of these vector stores, without other settings.
    pub fn file_search(vector_store_ids: impl IntoIterator<Item: Into<String>>) -> Self {
        let vector_store_ids = vector_store_ids.into_iter().map(Into::into).collect();
        Self::new(&ToolBody::FileSearch { vector_store_ids })
    }

    /// Returns a tool that the server runs and that needs no settings, for example `web_search`.
    pub fn hosted(tool_type: impl AsRef<str>) -> Self {
        Self(Json::from([("type", tool_type.as_ref())]))
    }

    /// Sets `strict` of a function: with `true`, the arguments always match the schema. Other
    /// members stay as they are.
    ///
    /// A strict schema must list each property in `required` and have `additionalProperties: false`
    /// in each object; the server refuses others. Tools of another type than `function` have no
    /// such setting and stay unchanged.
    #[must_use]
    pub fn strict(self, strict: bool) -> Self {
        let tool_type = self.0.get("type");
        if tool_type.is_some_and(|it| it == Json::from("function")) {
            return Self(self.0.with_member("strict", &strict.into()));
        }
        self
    }

    /// Returns any tool, from a `serde_json::Value` or from JSON text, which is sent byte for byte.
    ///
    /// ```
    /// use responses_client::Tool;
    /// use serde_json::json;
    ///
    /// let tool = Tool::from_json(json!({"type": "web_search", "search_context_size": "low"}))?;
    /// assert_eq!(tool, Tool::from_json(r#"{"type": "web_search", "search_context_size": "low"}"#)?);
    /// # Ok::<_, responses_client::error::DecodeError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if `json` is not one JSON object.
    pub fn from_json(json: impl Into<Json>) -> Result<Self, DecodeError> {
        Self::try_from(Json::parse(Json::given_text(json))?)
    }

    /// Returns the tool as sent.
    pub fn json(&self) -> &Json {
        &self.0
    }

    fn new(tool: &ToolBody<'_>) -> Self {
        #[expect(clippy::expect_used, reason = "strings and JSON always have a JSON form")]
        let json = serde_json::to_string(tool).expect("a tool of strings and JSON");
        Self(Json::from_trusted(json))
    }
}

impl TryFrom<Json> for Tool {
    type Error = DecodeError;

    fn try_from(json: Json) -> Result<Self, DecodeError> {
        if json.as_str().starts_with('{') {
            Ok(Self(json))
        } else {
            Err(DecodeError::expected("a tool", "a JSON object"))
        }
    }
}

impl From<&Self> for Tool {
    fn from(tool: &Self) -> Self {
        tool.clone()
    }
}

impl<'de> Deserialize<'de> for Tool {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(Json::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl Serialize for Tool {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_function_is_strict_by_choice_and_other_tools_stay_as_they_are() {
        let schema = Json::parse(r#"{"z":1e2,"a":{}}"#).unwrap();
        let tool = Tool::function("f", "Finds.", schema);
        let expected = |strict| {
            format!(
                r#"{{"type":"function","name":"f","description":"Finds.","parameters":{{"z":1e2,"a":{{}}}},"strict":{strict}}}"#
            )
        };
        assert_eq!(tool.json().as_str(), expected(false));
        assert_eq!(tool.clone().strict(true).json().as_str(), expected(true));
        assert_eq!(tool.clone().strict(true).strict(false), tool);
        let own = Tool::from_json(r#"{ "type":"function","name":"f" }"#).unwrap();
        assert_eq!(
            own.strict(true).json().as_str(),
            r#"{ "type":"function","name":"f" ,"strict":true}"#
        );
        for tool in [Tool::custom("sql", "Runs."), Tool::web_search()] {
            assert_eq!(tool.clone().strict(true), tool);
        }
        assert_eq!(
            *Tool::custom("sql", "Runs.").json(),
            Json::from(json!({"type": "custom", "name": "sql", "description": "Runs."}))
        );
    }

    #[test]
    fn a_tool_is_any_object_and_is_kept_to_the_letter() {
        let text = r#"{"type": "brand_new", "n": 1.50}"#;
        let tool = Tool::try_from(Json::parse(text).unwrap()).unwrap();
        assert_eq!(tool.json().as_str(), text);
        assert_eq!(serde_json::to_string(&[&tool]).unwrap(), format!("[{text}]"));
        assert!(Tool::try_from(Json::parse("[]").unwrap()).is_err());
    }
}
