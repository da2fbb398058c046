//! One item of a response, as streamed.

use super::{PartialItem, head::Head, merge};
use crate::{
    event::{CustomToolCall, FunctionCall, OutputItem, ResponseEvent},
    json::{DecodeError, Text},
    request::Item,
};

/// Item of the stream: started, or finished.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) output_index: u32,
    pub(super) head: Head,
    /// The finished item in the form to send back, completed from its own stream.
    pub(super) item: Option<Item>,
    /// Streamed parts of a started item, or of a finished one after its end.
    pub(super) parts: Option<Box<PartialItem>>,
    /// The server declared the call's arguments finished.
    pub(super) arguments_done: bool,
}

/// Relation of a finished item to the item that is open at its index.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ending {
    /// The finished item ends the open item.
    Own,
    /// The finished item ends the open item under another id.
    OtherId,
    /// The finished item ends the open item, which was announced as another type.
    OtherType,
    /// The finished item repeats the end of the open item.
    Again,
    /// The finished item is another item. `is_taken`: the open item is finished.
    Not { is_taken: bool },
}

impl Slot {
    pub(super) fn new(output_index: u32, head: Head) -> Self {
        Self { output_index, head, item: None, parts: None, arguments_done: false }
    }

    /// Returns `true` if events of items of this type belong to the item. An empty type stands for
    /// any type.
    pub(super) fn takes(&self, kind: &str) -> bool {
        if self.is_finished() || self.arguments_done {
            return false;
        }
        let own = self.head.kind.as_str();
        own == kind
            || kind.is_empty()
            || own.is_empty()
            || own == "agent_message"
            // Types that this version does not know may be streamed as those that it knows.
            || !OutputItem::TYPES.contains(&own)
    }

    /// Adds an event of items of this type.
    pub(super) fn add(&mut self, kind: &str, event: &ResponseEvent) {
        if self.head.kind.is_empty() && !kind.is_empty() {
            self.head.kind = Text::from(kind);
        }
        match event {
            ResponseEvent::FunctionCallArgumentsDone(e) => {
                self.arguments_done = true;
                let name = e.name.clone().filter(|name| !name.is_empty());
                self.head.name = self.head.name.take().or(name);
            }
            ResponseEvent::CustomToolCallInputDone(_) => self.arguments_done = true,
            _ => {}
        }
        self.parts().add(event);
    }

    /// Returns the relation of a finished item with this head to this item, which is open at its
    /// index.
    pub(super) fn ends_with(&self, head: &Head) -> Ending {
        let has_id = self.head.has_id_of(head);
        match (self.is_finished(), self.head.fits(head)) {
            (true, true) if has_id || self.head.has_call_id_of(head) => Ending::Again,
            (true, _) => Ending::Not { is_taken: true },
            (false, true) if has_id || self.head.id.is_none() || head.id.is_none() => Ending::Own,
            (false, true) => Ending::OtherId,
            (false, false)
                if has_id && self.is_announced_only() && !self.head.has_other_call_id(head) =>
            {
                Ending::OtherType
            }
            (false, false) => Ending::Not { is_taken: false },
        }
    }

    pub(super) fn is_finished(&self) -> bool {
        self.item.is_some()
    }

    /// Returns `true` if only `output_item.added` has announced the item.
    fn is_announced_only(&self) -> bool {
        !self.arguments_done
            && self.item.is_none()
            && self.parts.as_ref().is_none_or(|parts| is_empty(parts))
    }

    /// Returns the streamed parts of the item.
    #[inline]
    pub(super) fn parts(&mut self) -> &mut PartialItem {
        let output_index = self.output_index;
        self.parts.get_or_insert_with(|| Box::new(PartialItem::new(output_index)))
    }

    /// Ends the item. Missing values come from its stream, or from its first end if this one
    /// repeats it.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if the item is a call that cannot be run or answered. A missing name is no
    /// error, because it may still arrive.
    pub(super) fn finish(&mut self, item: &Item, mut head: Head) -> Result<(), DecodeError> {
        let item = match self.finished() {
            Some(before) => {
                // A tool may have run under the earlier identity.
                let repeated = std::mem::replace(&mut head, self.head.clone());
                head.complete_from(repeated);
                merge::overruled(&before, item.received(), &head)
            }
            None => {
                head.complete_from(self.head.clone());
                merge::finished(item, &head, self.parts.as_deref())
            }
        };
        if head.is_nameless() {
            head.call_id.as_ref().ok_or(DecodeError::expected("`call_id`", "a string"))?;
        } else {
            check_call(&head, &item)?;
        }
        self.item = Some(item);
        self.parts = None;
        self.head = head;
        Ok(())
    }

    /// Returns the finished item, with the text streamed after its end.
    pub(super) fn finished(&self) -> Option<Item> {
        let item = self.item.as_ref()?;
        Some(match &self.parts {
            Some(late) => merge::continued(item, &self.head, late),
            None => item.clone(),
        })
    }

    /// Returns the started item, built from its parts, if they are complete: a message with text,
    /// or a call whose arguments were declared finished.
    pub(super) fn completed_from_parts(&self) -> Option<Item> {
        let head = &self.head;
        let parts = self.parts.as_deref()?;
        let is_whole = match head.kind.as_str() {
            "message" => !parts.text().is_empty() || !parts.refusal().is_empty(),
            "function_call" | "custom_tool_call" => {
                self.arguments_done && head.call_id.is_some() && head.name.is_some()
            }
            _ => false,
        };
        is_whole.then(|| merge::streamed(head, parts))
    }
}

/// Returns an error if the item is a call that cannot be run or answered, so that the call is not
/// lost silently.
pub(super) fn check_call(head: &Head, item: &Item) -> Result<(), DecodeError> {
    match head.kind.as_str() {
        "function_call" => FunctionCall::decode(item.json()).map(drop),
        "custom_tool_call" => CustomToolCall::decode(item.json()).map(drop),
        _ => Ok(()),
    }
}

/// Returns `true` if no text was streamed.
fn is_empty(parts: &PartialItem) -> bool {
    let texts = [parts.text(), parts.refusal(), parts.reasoning(), parts.reasoning_summary()];
    texts.iter().all(String::is_empty)
        && parts.arguments().is_empty()
        && parts.input().is_empty()
        && parts.shell_output().next().is_none()
}
