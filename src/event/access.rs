//! What is asked of single kinds of events: their JSON, read.

use super::{
    Annotation, ContentPart, ContentPartAdded, ContentPartDone, OutputItem, OutputItemAdded,
    OutputItemDone, OutputTextAnnotationAdded, OutputTextDelta, OutputTextDone, ReasoningPartAdded,
    ReasoningPartDone, ReasoningSummaryPartAdded, ReasoningSummaryPartDone,
    ShellCallOutputContentDone,
    item::{Logprob, Read, ShellCommandOutput},
};
use crate::{Item, error::DecodeError, json::Json};

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
