//! Accessors of messages, reasoning and calls.

use std::borrow::Cow;

use serde::{Serialize, de::DeserializeOwned};

use super::{
    Annotation, ApplyPatchCall, ComputerAction, ComputerCall, ConfigurationUpdate, ContentPart,
    CustomToolCall, FunctionCall, LocalShellCall, McpApprovalRequest, McpCall, Message, Reasoning,
    ShellCall,
};
use crate::{
    format::named_or_other,
    json::{self, DecodeError, Json},
    request::Item,
};

/// Phase of a [`Message`]. Only some models distinguish phases.
///
/// ```
/// use responses_client::{Response, event::MessagePhase};
///
/// /// Returns the messages in which the model reports on its work.
/// fn commentary(response: &Response) -> Vec<String> {
///     let messages = response.messages().into_iter();
///     let commentary = messages.filter(|it| it.phase() == Some(MessagePhase::Commentary));
///     commentary.map(|message| message.text()).collect()
/// }
/// # let _ = commentary;
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MessagePhase {
    /// The model reports on its work while it continues.
    Commentary,
    /// The message belongs to the answer.
    FinalAnswer,
    /// Any other phase, as received.
    Other(String),
}

named_or_other! {
    MessagePhase {
        Commentary = "commentary",
        FinalAnswer = "final_answer",
    }
}

impl Message {
    /// Returns the phase of the message; `None` if the server did not send it.
    pub fn phase(&self) -> Option<MessagePhase> {
        self.phase.as_deref().map(MessagePhase::from)
    }

    /// Returns the text of all parts.
    pub fn text(&self) -> String {
        self.content.iter().filter_map(ContentPart::text).collect()
    }

    /// Returns the annotations of all parts, for example citations of files and pages.
    pub fn annotations(&self) -> impl Iterator<Item = &Annotation> {
        self.content.iter().flat_map(|part| match part {
            ContentPart::OutputText(text) => text.annotations.as_slice(),
            _ => &[],
        })
    }

    /// Returns the reason of a refusal; `None` if the model did not refuse.
    pub fn refusal(&self) -> Option<&str> {
        self.content.iter().find_map(|part| match part {
            ContentPart::Refusal(part) => Some(part.refusal.as_str()),
            _ => None,
        })
    }
}

impl Reasoning {
    /// Returns the summary; each part is a paragraph.
    pub fn summary(&self) -> String {
        join(&self.summary)
    }

    /// Returns the reasoning text, of models that show it.
    pub fn text(&self) -> String {
        join(&self.content)
    }
}

fn join(parts: &[ContentPart]) -> String {
    let texts: Vec<&str> = parts.iter().filter_map(ContentPart::text).collect();
    texts.join("\n\n")
}

impl FunctionCall {
    /// Deserializes the arguments.
    ///
    /// ```
    /// use responses_client::{Item, event::FunctionCall};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Place {
    ///     city: String,
    /// }
    ///
    /// /// Returns the output for the model, also if its arguments are invalid.
    /// fn run(call: &FunctionCall) -> Item {
    ///     match call.arguments::<Place>() {
    ///         Ok(place) => call.output(format!("It rains in {}.", place.city)),
    ///         Err(error) => call.output(error.detail().unwrap_or("invalid arguments")),
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if the arguments are not JSON, or do not deserialize into `T`.
    /// [`DecodeError::detail`] is the text to return to the model.
    pub fn arguments<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        read_arguments(&self.arguments)
    }

    /// Returns the item with the output of this call, for the input of the next turn.
    pub fn output(&self, output: impl AsRef<str>) -> Item {
        Item::function_call_output(&self.call_id, output)
    }

    /// Returns the item with the output of this call: `value` as JSON text.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if `value` has no JSON form, for example a map whose keys are not strings.
    pub fn output_json<T: Serialize + ?Sized>(&self, value: &T) -> Result<Item, DecodeError> {
        Item::function_call_output_json(&self.call_id, value)
    }
}

impl CustomToolCall {
    /// Returns the item with the output of this call, for the input of the next turn.
    pub fn output(&self, output: impl AsRef<str>) -> Item {
        Item::custom_tool_call_output(&self.call_id, output)
    }
}

macro_rules! mcp_arguments {
    ($($name:ident)*) => {$(
        impl $name {
            /// Deserializes the arguments.
            ///
            /// # Errors
            ///
            /// [`DecodeError`] if the arguments are missing, are not JSON, or do not deserialize
            /// into `T`.
            pub fn arguments<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
                mcp_arguments(self.arguments.as_ref())
            }
        }
    )*};
}

mcp_arguments!(McpCall McpApprovalRequest);

fn mcp_arguments<T: DeserializeOwned>(arguments: Option<&Json>) -> Result<T, DecodeError> {
    let missing = || DecodeError::expected("`arguments`", "a string");
    let arguments = arguments.ok_or_else(missing)?;
    if arguments.as_str().starts_with('"') {
        read_arguments(&arguments.decode::<Cow<'_, str>>()?)
    } else {
        arguments.decode::<T>()
    }
}

fn read_arguments<T: DeserializeOwned>(text: &str) -> Result<T, DecodeError> {
    json::from_str(text).map_err(|error| DecodeError::new("the arguments of a call", &error))
}

macro_rules! calls {
    ($($name:ident)*) => {$(
        impl $name {
            /// Returns `true` if the model finished writing the call. Do not run an unfinished
            /// call.
            pub fn is_complete(&self) -> bool {
                matches!(self.status.as_deref(), None | Some("completed"))
            }
        }
    )*};
}

// The calls that the caller runs.
calls!(FunctionCall CustomToolCall ComputerCall LocalShellCall ShellCall ApplyPatchCall);

impl ConfigurationUpdate {
    /// Returns the effort of reasoning from here on, for example `high`. `None` if the item does
    /// not change it.
    pub fn reasoning_effort(&self) -> Option<String> {
        self.reasoning.as_ref()?.member("effort").ok().flatten()
    }

    /// Returns the format of the text from here on. `None` if the item does not change it.
    pub fn text_format(&self) -> Option<Json> {
        self.text.as_ref()?.member("format").ok().flatten()
    }
}

impl ComputerCall {
    /// Returns the actions in order, from either member in which servers send them.
    pub fn all_actions(&self) -> impl Iterator<Item = &ComputerAction> {
        self.action.iter().chain(&self.actions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_update_names_the_settings_that_it_changes() {
        let update = |item: &str| {
            let update = ConfigurationUpdate::decode(&Json::parse(item).unwrap()).unwrap();
            let format = update.text_format().map(|format| format.as_str().to_owned());
            (update.reasoning_effort(), format)
        };
        assert_eq!(update("{}"), (None, None));
        let whole = r#"{"reasoning":{"effort":"low"},"text":{"format":{"type":"text"}}}"#;
        let format = r#"{"type":"text"}"#.to_owned();
        assert_eq!(update(whole), (Some("low".to_owned()), Some(format)));
    }
}
