//! What is asked of messages, reasoning and calls.

use std::borrow::Cow;

use serde::de::DeserializeOwned;

use super::{
    Annotation, ApplyPatchCall, ComputerAction, ComputerCall, ContentPart, CustomToolCall,
    FunctionCall, LocalShellCall, McpApprovalRequest, McpCall, Message, Reasoning, ShellCall,
};
use crate::json::{self, DecodeError, Json};

impl Message {
    /// The text of all its parts.
    pub fn text(&self) -> String {
        self.content.iter().filter_map(ContentPart::text).collect()
    }

    /// The annotations of all its parts: citations of files and pages, say.
    pub fn annotations(&self) -> impl Iterator<Item = &Annotation> {
        self.content.iter().flat_map(|part| match part {
            ContentPart::OutputText(text) => text.annotations.as_slice(),
            _ => &[],
        })
    }

    /// Why the model refused, where it did.
    pub fn refusal(&self) -> Option<&str> {
        self.content.iter().find_map(|part| match part {
            ContentPart::Refusal(part) => Some(part.refusal.as_str()),
            _ => None,
        })
    }
}

impl Reasoning {
    /// The summary, a paragraph a part.
    pub fn summary(&self) -> String {
        join(&self.summary)
    }

    /// The reasoning itself, of models that show it.
    pub fn text(&self) -> String {
        join(&self.content)
    }
}

fn join(parts: &[ContentPart]) -> String {
    let texts: Vec<&str> = parts.iter().filter_map(ContentPart::text).collect();
    texts.join("\n\n")
}

impl FunctionCall {
    /// Reads the arguments.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when they are no JSON, or no `T`.
    pub fn arguments<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        read_arguments(&self.arguments)
    }
}

macro_rules! mcp_arguments {
    ($($name:ident)*) => {$(
        impl $name {
            /// Reads the arguments.
            ///
            /// # Errors
            ///
            /// [`DecodeError`] when there are none, or they are no JSON, or no `T`.
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
    if arguments.get().starts_with('"') {
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
            /// Whether the model finished writing it. One that it did not finish must not be run.
            pub fn is_complete(&self) -> bool {
                matches!(self.status.as_deref(), None | Some("completed"))
            }
        }
    )*};
}

// What the caller runs.
calls!(FunctionCall CustomToolCall ComputerCall LocalShellCall ShellCall ApplyPatchCall);

impl ComputerCall {
    /// What to do, in order, whichever member the server has it in.
    pub fn all_actions(&self) -> impl Iterator<Item = &ComputerAction> {
        self.action.iter().chain(&self.actions)
    }
}
