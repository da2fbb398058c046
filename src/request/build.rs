//! Builders of items.

use serde::Serialize;
use serde_json::{Value, json};

use super::{InputPart, Item, ReasoningConfig, TextConfig, Tool};
use crate::json::{DecodeError, Json, Text};

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ItemBody<'a> {
    FunctionCallOutput {
        call_id: &'a str,
        output: &'a str,
    },
    CustomToolCallOutput {
        call_id: &'a str,
        output: &'a str,
    },
    ItemReference {
        id: &'a str,
    },
    ConfigurationUpdate {
        #[serde(skip_serializing_if = "Option::is_none")]
        reasoning: Option<Json>,
        #[serde(skip_serializing_if = "Option::is_none")]
        text: Option<Json>,
    },
    CompactionTrigger {},
    AdditionalTools {
        role: &'a str,
        tools: Vec<Tool>,
    },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part<T> {
    InputText { text: T },
    OutputText { text: T },
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "message")]
struct Message<'a, T> {
    role: &'a str,
    content: [Part<T>; 1],
}

impl Item {
    /// Returns a message of the user.
    pub fn user(text: impl AsRef<str>) -> Self {
        Self::message("user", Part::InputText { text: text.as_ref() })
    }

    /// Returns a message of the user whose text may have unpaired surrogates.
    pub(crate) fn user_text(text: &Text) -> Self {
        Self::message("user", Part::InputText { text })
    }

    /// Returns a message of the developer.
    ///
    /// For GPT-6.2 and later, instructions that hold for a whole conversation belong here, as the
    /// first item: these models read [`instructions`](crate::ResponsesRequest#structfield.instructions)
    /// after the input, where the prompt cache does not reach.
    pub fn developer(text: impl AsRef<str>) -> Self {
        Self::message("developer", Part::InputText { text: text.as_ref() })
    }

    /// Returns a message of the system.
    pub fn system(text: impl AsRef<str>) -> Self {
        Self::message("system", Part::InputText { text: text.as_ref() })
    }

    /// Returns a message of the assistant that did not come from the server, for example a sample
    /// answer.
    pub fn assistant(text: impl AsRef<str>) -> Self {
        Self::message("assistant", Part::OutputText { text: text.as_ref() })
    }

    /// Returns a message of the user with text, images or files in it.
    pub fn user_parts(parts: impl IntoIterator<Item: Into<InputPart>>) -> Self {
        let content = values(parts);
        Self::new(&json!({"type": "message", "role": "user", "content": content}))
    }

    /// Returns the output of a function for the call `call_id`.
    /// [`FunctionCall::output`](crate::event::FunctionCall::output) takes the id from the call.
    pub fn function_call_output(call_id: impl AsRef<str>, output: impl AsRef<str>) -> Self {
        let (call_id, output) = (call_id.as_ref(), output.as_ref());
        Self::new(&ItemBody::FunctionCallOutput { call_id, output })
    }

    /// Returns the output of a function for the call `call_id`: `value` as JSON text.
    ///
    /// ```
    /// use responses_client::Item;
    ///
    /// #[derive(serde::Serialize)]
    /// struct Forecast {
    ///     degrees: f64,
    /// }
    ///
    /// let item = Item::function_call_output_json("call_1", &Forecast { degrees: 7.5 })?;
    /// assert_eq!(item.as_text().as_deref(), Some(r#"{"degrees":7.5}"#));
    /// # Ok::<_, responses_client::error::DecodeError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if `value` has no JSON form, for example a map whose keys are not strings.
    pub fn function_call_output_json<T: Serialize + ?Sized>(
        call_id: impl AsRef<str>,
        value: &T,
    ) -> Result<Self, DecodeError> {
        Ok(Self::function_call_output(call_id, Json::from_serialize(value)?.as_str()))
    }

    /// Returns the output of a function for the call `call_id`, with text, images or files in it.
    pub fn function_call_output_parts(
        call_id: impl AsRef<str>,
        parts: impl IntoIterator<Item: Into<InputPart>>,
    ) -> Self {
        let (call_id, output) = (call_id.as_ref(), values(parts));
        Self::new(&json!({"type": "function_call_output", "call_id": call_id, "output": output}))
    }

    /// Returns the output of a custom tool for the call `call_id`.
    /// [`CustomToolCall::output`](crate::event::CustomToolCall::output) takes the id from the call.
    pub fn custom_tool_call_output(call_id: impl AsRef<str>, output: impl AsRef<str>) -> Self {
        let (call_id, output) = (call_id.as_ref(), output.as_ref());
        Self::new(&ItemBody::CustomToolCallOutput { call_id, output })
    }

    /// Returns a reference to an item that the server stores, by its id.
    pub fn reference(id: impl AsRef<str>) -> Self {
        Self::new(&ItemBody::ItemReference { id: id.as_ref() })
    }

    /// Returns an item that changes the reasoning effort and the text format from its place in the
    /// history on, until the next such item. `None` keeps a setting.
    ///
    /// The item appends to the history, so that the next turn is still incremental. A change of
    /// [`reasoning`](crate::ResponsesRequest#structfield.reasoning) or
    /// [`text`](crate::ResponsesRequest#structfield.text) in the request causes a full send. The
    /// API accepts `effort` and `format` here, and no such item in the reasoning mode `pro`.
    ///
    /// ```
    /// use responses_client::{Item, ReasoningConfig, ResponsesRequest, TextConfig};
    ///
    /// let mut request = ResponsesRequest::new("gpt-6.2-astra").input("Plan the trip.");
    /// let effort = ReasoningConfig::new().effort("high");
    /// request.input.push(Item::configuration_update(effort, None));
    /// request.input.push(Item::user("Now check each connection."));
    /// request.input.push(Item::configuration_update(None, TextConfig::new().json_object()));
    /// request.input.push(Item::user("List them as JSON."));
    /// ```
    pub fn configuration_update(
        reasoning: impl Into<Option<ReasoningConfig>>,
        text: impl Into<Option<TextConfig>>,
    ) -> Self {
        let reasoning = reasoning.into().map(Json::from);
        let text = text.into().map(Json::from);
        Self::new(&ItemBody::ConfigurationUpdate { reasoning, text })
    }

    /// Returns an item that makes the server compact the conversation. It must be the last item of
    /// the input. The output of the response is one item of type `compaction`, which replaces the
    /// history before it.
    ///
    /// ```
    /// use responses_client::{History, Item};
    ///
    /// # let mut input = History::from("A long conversation.");
    /// input.push(Item::compaction_trigger());
    /// ```
    pub fn compaction_trigger() -> Self {
        Self::new(&ItemBody::CompactionTrigger {})
    }

    /// Returns an item of the developer that adds tools from its place in the history on.
    ///
    /// The item appends to the history, so that the next turn is still incremental. A change of
    /// [`tools`](crate::ResponsesRequest#structfield.tools) in the request causes a full send.
    ///
    /// ```
    /// use responses_client::{History, Item, Tool};
    ///
    /// # let mut input = History::from("A question.");
    /// input.push(Item::additional_tools([Tool::hosted("web_search")]));
    /// ```
    pub fn additional_tools(tools: impl IntoIterator<Item: Into<Tool>>) -> Self {
        let tools = tools.into_iter().map(Into::into).collect();
        Self::new(&ItemBody::AdditionalTools { role: "developer", tools })
    }

    fn message(role: &str, part: Part<impl Serialize>) -> Self {
        Self::new(&Message { role, content: [part] })
    }

    fn new(item: &impl Serialize) -> Self {
        #[expect(clippy::expect_used, reason = "structs of strings and JSON have a JSON form")]
        let json = serde_json::to_string(item).expect("an item of strings and JSON");
        Self::from_trusted(Json::from_trusted(json))
    }
}

fn values(parts: impl IntoIterator<Item: Into<InputPart>>) -> Vec<Value> {
    parts.into_iter().map(|part| part.into().into_value()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_what_the_api_takes() {
        for (item, json) in [
            (
                Item::user("a\"b"),
                r#"{"type":"message","role":"user","content":[{"type":"input_text","text":"a\"b"}]}"#,
            ),
            (
                Item::assistant("hi"),
                r#"{"type":"message","role":"assistant","content":[{"type":"output_text","text":"hi"}]}"#,
            ),
            (
                Item::developer("hi"),
                r#"{"type":"message","role":"developer","content":[{"type":"input_text","text":"hi"}]}"#,
            ),
            (
                Item::system("hi"),
                r#"{"type":"message","role":"system","content":[{"type":"input_text","text":"hi"}]}"#,
            ),
            (
                Item::function_call_output("call_1", "42"),
                r#"{"type":"function_call_output","call_id":"call_1","output":"42"}"#,
            ),
            (
                Item::function_call_output_json("call_1", &json!({"n": 42})).unwrap(),
                r#"{"type":"function_call_output","call_id":"call_1","output":"{\"n\":42}"}"#,
            ),
            (
                Item::custom_tool_call_output("call_1", "42"),
                r#"{"type":"custom_tool_call_output","call_id":"call_1","output":"42"}"#,
            ),
            (
                Item::user_parts([
                    InputPart::text("a"),
                    InputPart::image_bytes("image/png", [1, 2, 3]),
                    InputPart::file_bytes("f.pdf", "application/pdf", b"%"),
                    InputPart::file_url("https://a.example/f"),
                    InputPart::file_id("file_1"),
                ]),
                r#"{"type":"message","role":"user","content":[{"type":"input_text","text":"a"},{"type":"input_image","detail":"auto","image_url":"data:image/png;base64,AQID"},{"type":"input_file","filename":"f.pdf","file_data":"data:application/pdf;base64,JQ=="},{"type":"input_file","file_url":"https://a.example/f"},{"type":"input_file","file_id":"file_1"}]}"#,
            ),
            (
                Item::function_call_output_parts(
                    "call_1",
                    [InputPart::image_url("https://a.example/i")],
                ),
                r#"{"type":"function_call_output","call_id":"call_1","output":[{"type":"input_image","detail":"auto","image_url":"https://a.example/i"}]}"#,
            ),
            (Item::reference("msg_1"), r#"{"type":"item_reference","id":"msg_1"}"#),
            (Item::compaction_trigger(), r#"{"type":"compaction_trigger"}"#),
            (
                Item::additional_tools([Tool::hosted("web_search")]),
                r#"{"type":"additional_tools","role":"developer","tools":[{"type":"web_search"}]}"#,
            ),
            (Item::configuration_update(None, None), r#"{"type":"configuration_update"}"#),
            (
                Item::configuration_update(
                    ReasoningConfig::new().effort("low"),
                    TextConfig::new().plain_text(),
                ),
                r#"{"type":"configuration_update","reasoning":{"effort":"low"},"text":{"format":{"type":"text"}}}"#,
            ),
        ] {
            assert_eq!(*item.json(), Json::parse(json).unwrap());
        }
        assert_eq!(Item::user_parts(["a"]), Item::user("a"));
        assert_eq!(Item::user_parts(vec!["a".to_owned()]), Item::user("a"));
        let no_json = std::collections::BTreeMap::from([([1], 2)]);
        assert!(Item::function_call_output_json("call_1", &no_json).is_err());
    }
}
