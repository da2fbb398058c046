//! Output items, read from the JSON that the server sent.

use std::borrow::Cow;

use serde::{Deserialize, de::DeserializeOwned};

use super::OutputItemDone;
use crate::{Item, error::DecodeError, json::Json};

/// An output item that can be read. What was not asked for stays in [`Item::json`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum OutputItem {
    /// A message of the assistant.
    Message(Message),
    /// Reasoning.
    Reasoning(Reasoning),
    /// A call of a function of the caller.
    FunctionCall(FunctionCall),
    /// A call of a custom tool of the caller.
    CustomToolCall(CustomToolCall),
    /// An item of any other type, as it was received.
    Other(Item),
}

/// A message of the assistant.
#[derive(Clone, Deserialize)]
#[serde(default)]
#[non_exhaustive]
#[derive(Default)]
pub struct Message {
    /// Its id.
    pub id: Option<String>,
    /// `completed`, `incomplete` or `in_progress`.
    pub status: Option<String>,
    /// `commentary` or `final_answer`, of models that tell them apart.
    pub phase: Option<String>,
    content: Vec<Part>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Part {
    text: Option<String>,
    refusal: Option<String>,
    annotations: Option<Vec<Json>>,
}

/// Reasoning.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Reasoning {
    /// Its id.
    pub id: Option<String>,
    /// What only the server can read, to be given back with the history.
    pub encrypted_content: Option<String>,
    summary: Vec<Part>,
    content: Option<Vec<Part>>,
}

/// A call of a function of the caller.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct FunctionCall {
    /// What its output must name.
    pub call_id: String,
    /// The function.
    pub name: String,
    /// The arguments as the model wrote them: JSON, if it kept to the rules.
    #[serde(default)]
    pub arguments: String,
    /// Its id.
    #[serde(default)]
    pub id: Option<String>,
    /// `completed`; anything else must not be run.
    #[serde(default)]
    pub status: Option<String>,
    /// The namespace of the function, where it has one.
    #[serde(default)]
    pub namespace: Option<String>,
}

/// A call of a custom tool of the caller.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct CustomToolCall {
    /// What its output must name.
    pub call_id: String,
    /// The tool.
    pub name: String,
    /// Its input; free text.
    #[serde(default)]
    pub input: String,
    /// Its id.
    #[serde(default)]
    pub id: Option<String>,
    /// `completed`; anything else must not be run.
    #[serde(default)]
    pub status: Option<String>,
}

impl OutputItem {
    /// Reads `item`.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when an item of a known type lacks what that type must have.
    pub fn read(item: &Item) -> Result<Self, DecodeError> {
        let json = item.json();
        Ok(match item.item_type().as_str() {
            "message" => Self::Message(json.decode()?),
            "reasoning" => Self::Reasoning(json.decode()?),
            "function_call" => Self::FunctionCall(json.decode()?),
            "custom_tool_call" => Self::CustomToolCall(json.decode()?),
            _ => Self::Other(item.clone()),
        })
    }
}

impl Message {
    /// The text of all its parts.
    pub fn text(&self) -> String {
        self.content.iter().filter_map(|part| part.text.as_deref()).collect()
    }

    /// The annotations of all its parts: citations of files and pages, say.
    pub fn annotations(&self) -> impl Iterator<Item = &Json> {
        self.content.iter().flat_map(|part| part.annotations.iter().flatten())
    }

    /// Why the model refused, where it did.
    pub fn refusal(&self) -> Option<&str> {
        self.content.iter().find_map(|part| part.refusal.as_deref())
    }
}

impl Reasoning {
    /// The summary, a paragraph a part.
    pub fn summary(&self) -> String {
        join(&self.summary)
    }

    /// The reasoning itself, of models that show it.
    pub fn text(&self) -> String {
        self.content.as_deref().map(join).unwrap_or_default()
    }
}

fn join(parts: &[Part]) -> String {
    let texts: Vec<&str> = parts.iter().filter_map(|part| part.text.as_deref()).collect();
    texts.join("\n\n")
}

impl FunctionCall {
    /// Whether the model finished writing it. One that it did not finish must not be run.
    pub fn is_complete(&self) -> bool {
        complete(self.status.as_deref())
    }

    /// Reads the arguments.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when they are no JSON, or no `T`.
    pub fn arguments<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        serde_json::from_str(&self.arguments)
            .map_err(|error| DecodeError::new("the arguments of a call", &error))
    }
}

impl CustomToolCall {
    /// Whether the model finished writing it. One that it did not finish must not be run.
    pub fn is_complete(&self) -> bool {
        complete(self.status.as_deref())
    }
}

fn complete(status: Option<&str>) -> bool {
    matches!(status, None | Some("completed"))
}

impl OutputItemDone {
    /// The finished item, in memory of its own.
    pub fn to_item(&self) -> Item {
        Item::trusted(self.item.detached())
    }

    /// Fails if it is a call of a tool that nobody could run or answer.
    pub(crate) fn check_call(&self) -> Result<(), DecodeError> {
        match self.item.member::<Cow<'_, str>>("type")?.as_deref() {
            Some("function_call") => self.item.decode::<FunctionCall>().map(drop),
            Some("custom_tool_call") => self.item.decode::<CustomToolCall>().map(drop),
            _ => Ok(()),
        }
    }

    /// The finished item, read.
    ///
    /// # Errors
    ///
    /// As [`OutputItem::read`].
    pub fn output_item(&self) -> Result<OutputItem, DecodeError> {
        OutputItem::read(&self.to_item())
    }
}

macro_rules! opaque_debug {
    ($($name:ident { $($field:ident),* })*) => {$(
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                // What the model wrote is not shown.
                f.debug_struct(stringify!($name))
                    $(.field(stringify!($field), &self.$field))*
                    .finish_non_exhaustive()
            }
        }
    )*};
}

opaque_debug! {
    Message { id, status, phase }
    Reasoning { id }
    FunctionCall { id, call_id, name, status }
    CustomToolCall { id, call_id, name, status }
}
