//! Tools that the model may call.

use serde::{Serialize, Serializer};

use crate::json::{DecodeError, Json};

/// Entry of `tools`, as the JSON that is sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool(Json);

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ToolBody<'a> {
    Function { name: &'a str, description: &'a str, parameters: &'a Json, strict: bool },
    Custom { name: &'a str, description: &'a str },
}

impl Tool {
    /// Returns a function of the caller, with a JSON schema of its arguments.
    ///
    /// The function is not `strict`, because a schema must satisfy further rules for that (see
    /// [`Tool::from_json`]).
    pub fn function(name: &str, description: &str, parameters: &Json) -> Self {
        Self::new(&ToolBody::Function { name, description, parameters, strict: false })
    }

    /// Returns a tool of the caller that takes free text.
    pub fn custom(name: &str, description: &str) -> Self {
        Self::new(&ToolBody::Custom { name, description })
    }

    /// Returns a tool that the server runs and that needs no settings, for example `web_search`.
    pub fn hosted(tool_type: &str) -> Self {
        Self(Json::from_trusted(serde_json::json!({ "type": tool_type }).to_string()))
    }

    /// Parses any tool from JSON text, which is sent byte for byte.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if `json` is not one JSON object.
    pub fn from_json(json: impl Into<String>) -> Result<Self, DecodeError> {
        Self::try_from(Json::parse(json)?)
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

impl Serialize for Tool {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_is_any_object_and_is_kept_to_the_letter() {
        let text = r#"{"type": "brand_new", "n": 1.50}"#;
        let tool = Tool::try_from(Json::parse(text).unwrap()).unwrap();
        assert_eq!(tool.json().as_str(), text);
        assert_eq!(serde_json::to_string(&[&tool]).unwrap(), format!("[{text}]"));
        assert!(Tool::try_from(Json::parse("[]").unwrap()).is_err());
    }
}
