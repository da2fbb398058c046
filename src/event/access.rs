//! Accessors of events, and the decoded JSON of some of them.

use super::{
    Annotation, ContentPart, ContentPartAdded, ContentPartDone, CustomToolCall, FunctionCall,
    OutputItem, OutputItemAdded, OutputItemDone, OutputTextAnnotationAdded, OutputTextDelta,
    OutputTextDone, ReasoningPartAdded, ReasoningPartDone, ReasoningSummaryPartAdded,
    ReasoningSummaryPartDone, ResponseEvent, ShellCallOutputContentDone, Steered,
    item::{Logprob, Read, ShellCommandOutput},
};
use crate::{
    json::{DecodeError, Json},
    request::Item,
};

impl ResponseEvent {
    /// Returns the piece of text for the user in an [`OutputTextDelta`](super::OutputTextDelta).
    pub fn text_delta(&self) -> Option<&str> {
        match self {
            Self::OutputTextDelta(event) => Some(&event.delta),
            _ => None,
        }
    }

    /// Returns the piece of a refusal in a [`RefusalDelta`](super::RefusalDelta). A model that
    /// refuses sends these instead of text.
    ///
    /// ```
    /// # use responses_client::ResponseEvent;
    /// fn show(event: &ResponseEvent) {
    ///     if let Some(text) = event.text_delta() {
    ///         print!("{text}");
    ///     } else if let Some(refusal) = event.refusal_delta() {
    ///         eprint!("{refusal}");
    ///     }
    /// }
    /// ```
    pub fn refusal_delta(&self) -> Option<&str> {
        match self {
            Self::RefusalDelta(event) => Some(&event.delta),
            _ => None,
        }
    }

    /// Returns `stream_id`, the lane of the event on a WebSocket. `None` for the default lane. The
    /// method reads [`raw`](Self::raw) on each call.
    pub fn stream_id(&self) -> Option<String> {
        self.text("stream_id")
    }

    /// Returns `obfuscation`, the random string that a server adds to deltas, so that their sizes
    /// do not reveal the text. The method reads [`raw`](Self::raw) on each call.
    pub fn obfuscation(&self) -> Option<String> {
        self.text("obfuscation")
    }

    /// Reads a member that few callers need. As a field, it would make every event larger.
    fn text(&self, name: &str) -> Option<String> {
        Json::from_trusted(self.source()?.clone()).member(name).ok().flatten()
    }

    /// Returns the response object of a lifecycle or terminal event.
    pub(crate) fn response(&self) -> Option<&Json> {
        match self {
            Self::Created(event) => event.response.as_ref(),
            Self::Queued(event) => event.response.as_ref(),
            Self::InProgress(event) => event.response.as_ref(),
            Self::Completed(event) => Some(&event.response),
            Self::Done(event) => Some(&event.response),
            Self::Incomplete(event) => Some(&event.response),
            Self::Failed(event) => Some(&event.response),
            Self::Cancelled(event) => event.response.as_ref(),
            _ => None,
        }
    }

    /// Returns the event that replaces this terminal event if another response continues; `None` for
    /// another event.
    pub(crate) fn steered(&self) -> Option<Self> {
        let (response, raw) = (self.response()?.clone(), self.source()?.clone());
        Some(Self::Steered(Steered::new(response, self.sequence_number(), raw)))
    }

    /// Returns the piece of reasoning, from its summary or its text.
    pub fn reasoning_delta(&self) -> Option<&str> {
        match self {
            Self::ReasoningSummaryTextDelta(event) => Some(&event.delta),
            Self::ReasoningTextDelta(event) => Some(&event.delta),
            Self::ReasoningSummaryDelta(event) => event.delta.as_deref(),
            Self::ReasoningDelta(event) => event.delta.as_deref(),
            _ => None,
        }
    }

    /// Returns the function call that the model finished in this event, an
    /// [`OutputItemDone`](super::OutputItemDone), before the end of the response. `None` for a call
    /// that was cut off.
    pub fn function_call(&self) -> Option<FunctionCall> {
        match self {
            Self::OutputItemDone(done) => match done.output_item() {
                Ok(OutputItem::FunctionCall(call)) if call.is_complete() => Some(call),
                _ => None,
            },
            _ => None,
        }
    }

    /// Returns the custom tool call that the model finished in this event, like
    /// [`function_call`](Self::function_call).
    pub fn custom_tool_call(&self) -> Option<CustomToolCall> {
        match self {
            Self::OutputItemDone(done) => match done.output_item() {
                Ok(OutputItem::CustomToolCall(call)) if call.is_complete() => Some(call),
                _ => None,
            },
            _ => None,
        }
    }

    /// Returns `true` for the last event of a successful turn.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Completed(_) | Self::Incomplete(_))
    }
}

impl OutputItemAdded {
    /// Returns the item so far, decoded; its texts are still empty. `None` if the server sent no
    /// item.
    ///
    /// # Errors
    ///
    /// Like [`OutputItem::read`].
    pub fn output_item(&self) -> Result<Option<OutputItem>, DecodeError> {
        self.item.as_ref().map(OutputItem::read).transpose()
    }
}

impl OutputItemDone {
    /// Returns a copy of the finished item that does not keep the frame in memory.
    pub fn to_item(&self) -> Item {
        Item::from_trusted(self.item.json().to_detached())
    }

    /// Returns the finished item, decoded. Its texts are slices of the frame, like those of the
    /// event.
    ///
    /// # Errors
    ///
    /// Like [`OutputItem::read`].
    pub fn output_item(&self) -> Result<OutputItem, DecodeError> {
        OutputItem::read(&self.item)
    }
}

macro_rules! parts {
    ($($name:ident)*) => {$(
        impl $name {
            /// Returns the part, decoded; `None` if the server sent none.
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
            /// Returns the log probabilities of the tokens. Empty unless the request asked for
            /// them.
            pub fn logprobs(&self) -> Vec<Logprob> {
                self.logprobs.as_ref().and_then(Read::read).unwrap_or_default()
            }
        }
    )*};
}

logprobs!(OutputTextDelta OutputTextDone);

impl OutputTextAnnotationAdded {
    /// Returns the annotation, decoded; `None` if the server sent none.
    pub fn annotation(&self) -> Option<Annotation> {
        self.annotation.as_ref().and_then(Annotation::read)
    }
}

impl ShellCallOutputContentDone {
    /// Returns the output of the command, decoded.
    pub fn command_outputs(&self) -> Vec<ShellCommandOutput> {
        self.output.as_ref().and_then(Read::read).unwrap_or_default()
    }
}
