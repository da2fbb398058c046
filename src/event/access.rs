//! Accessors of events: what most callers want of any event, and the JSON of single kinds, read.

use super::{
    Annotation, ContentPart, ContentPartAdded, ContentPartDone, CustomToolCall, FunctionCall,
    OutputItem, OutputItemAdded, OutputItemDone, OutputTextAnnotationAdded, OutputTextDelta,
    OutputTextDone, ReasoningPartAdded, ReasoningPartDone, ReasoningSummaryPartAdded,
    ReasoningSummaryPartDone, ResponseEvent, ShellCallOutputContentDone,
    item::{Logprob, Read, ShellCommandOutput},
};
use crate::{
    json::{DecodeError, Json},
    request::Item,
};

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

impl OutputItemAdded {
    /// The item so far, read; its texts are empty yet. `None` where the server sent none.
    ///
    /// # Errors
    ///
    /// As [`OutputItem::read`].
    pub fn output_item(&self) -> Result<Option<OutputItem>, DecodeError> {
        self.item.as_ref().map(read_item).transpose()
    }
}

impl OutputItemDone {
    /// The finished item, in memory of its own.
    pub fn to_item(&self) -> Item {
        Item::trusted(self.item.detached())
    }

    /// The finished item, read. Its texts are parts of the frame, like those of the event.
    ///
    /// # Errors
    ///
    /// As [`OutputItem::read`].
    pub fn output_item(&self) -> Result<OutputItem, DecodeError> {
        read_item(&self.item)
    }
}

fn read_item(item: &Json) -> Result<OutputItem, DecodeError> {
    OutputItem::read(&Item::try_from(item.clone())?)
}

macro_rules! parts {
    ($($name:ident)*) => {$(
        impl $name {
            /// The part, read; `None` where the server sent none.
            pub fn content_part(&self) -> Option<ContentPart> {
                self.part.as_ref().and_then(ContentPart::read)
            }
        }
    )*};
}

parts! {
    ContentPartAdded ContentPartDone
    ReasoningSummaryPartAdded ReasoningSummaryPartDone
    ReasoningPartAdded ReasoningPartDone
}

macro_rules! logprobs {
    ($($name:ident)*) => {$(
        impl $name {
            /// How likely its tokens were, if the request asked for it.
            pub fn logprobs(&self) -> Vec<Logprob> {
                self.logprobs.as_ref().and_then(Read::read).unwrap_or_default()
            }
        }
    )*};
}

logprobs!(OutputTextDelta OutputTextDone);

impl OutputTextAnnotationAdded {
    /// The annotation, read; `None` where the server sent none.
    pub fn annotation(&self) -> Option<Annotation> {
        self.annotation.as_ref().and_then(Annotation::read)
    }
}

impl ShellCallOutputContentDone {
    /// What the command printed, read.
    pub fn command_outputs(&self) -> Vec<ShellCommandOutput> {
        self.output.as_ref().and_then(Read::read).unwrap_or_default()
    }
}
