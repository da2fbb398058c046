//! Events of unknown types, and what is asked of any event.

use std::fmt;

use bytestring::ByteString;
use serde::Deserialize;

use super::{CustomToolCall, FunctionCall, OutputItem, ResponseEvent, define::Decode, fields};
use crate::{
    error::DecodeError,
    json::{self, Json, Text},
};

/// An event of a type that this version does not know, kept as it was received.
#[derive(Clone)]
#[non_exhaustive]
pub struct Unknown {
    /// Its `type`.
    pub event_type: Text,
    /// The event's place in the response.
    pub sequence_number: Option<u64>,
    pub(super) raw: ByteString,
}

impl Unknown {
    /// A member of the event, `None` where there is none or it is null.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when it is no `T`.
    pub fn member<T: serde::de::DeserializeOwned>(
        &self,
        name: &str,
    ) -> Result<Option<T>, DecodeError> {
        Json::trusted(self.raw.clone()).member(name)
    }
}

impl Unknown {
    /// Reads an event. `name` stands for the type that its payload lacks.
    pub(crate) fn decode_named(
        name: &str,
        payload: ByteString,
    ) -> Result<ResponseEvent, DecodeError> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Wire<'a> {
            #[serde(borrow, rename = "type")]
            event_type: fields::Text<'a>,
            #[serde(borrow)]
            sequence_number: fields::Number<'a>,
        }
        let wire: Wire<'_> =
            json::from_str(&payload).map_err(|error| DecodeError::new("the event", &error))?;
        let event_type = match wire.event_type.own(&payload, "type") {
            Err(_) if !name.is_empty() => name.into(),
            own => own.map_err(|expected| DecodeError::expected("`type`", expected))?,
        };
        let sequence_number = wire.sequence_number.0;
        Ok(ResponseEvent::Unknown(Self { event_type, sequence_number, raw: payload }))
    }
}

impl Decode for Unknown {
    fn decode(payload: ByteString) -> Result<ResponseEvent, DecodeError> {
        Self::decode_named("", payload)
    }
}

impl fmt::Debug for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unknown")
            .field("event_type", &self.event_type.as_str())
            .field("sequence_number", &self.sequence_number)
            .finish()
    }
}

impl ResponseEvent {
    /// The piece of text for the user, of an [`OutputTextDelta`](super::OutputTextDelta).
    pub fn text_delta(&self) -> Option<&str> {
        match self {
            Self::OutputTextDelta(event) => Some(&event.delta),
            _ => None,
        }
    }

    /// The piece of reasoning, of its summary or its text.
    pub fn reasoning_delta(&self) -> Option<&str> {
        match self {
            Self::ReasoningSummaryTextDelta(event) => Some(&event.delta),
            Self::ReasoningTextDelta(event) => Some(&event.delta),
            Self::ReasoningSummaryDelta(event) => event.delta.as_deref(),
            Self::ReasoningDelta(event) => event.delta.as_deref(),
            _ => None,
        }
    }

    /// The call of a function that the model has finished, as soon as it has: at its
    /// [`OutputItemDone`](super::OutputItemDone), before the end of the response. Calls that were cut off are withheld.
    pub fn function_call(&self) -> Option<FunctionCall> {
        match self {
            Self::OutputItemDone(done) => match done.output_item() {
                Ok(OutputItem::FunctionCall(call)) if call.is_complete() => Some(call),
                _ => None,
            },
            _ => None,
        }
    }

    /// The same for the call of a custom tool.
    pub fn custom_tool_call(&self) -> Option<CustomToolCall> {
        match self {
            Self::OutputItemDone(done) => match done.output_item() {
                Ok(OutputItem::CustomToolCall(call)) if call.is_complete() => Some(call),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether it is the last event of a turn that went well.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Completed(_) | Self::Incomplete(_))
    }
}
