//! One item of a response, as its stream tells it.

use super::{PartialItem, merge};
use crate::{
    Item,
    error::DecodeError,
    event::{CustomToolCall, FunctionCall, OutputItem, ResponseEvent, item::Members},
    json::{Json, Text},
};

/// Identity of an item. Empty strings count as missing.
#[derive(Clone, Debug, Default)]
pub(super) struct Head {
    /// `type`; empty where no event has named it yet.
    pub(super) kind: Text,
    pub(super) id: Option<Text>,
    pub(super) call_id: Option<Text>,
    pub(super) name: Option<Text>,
}

/// An item of the stream: begun, or finished.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) output_index: u32,
    pub(super) head: Head,
    /// The finished item in the form that is given back, completed from its own stream.
    pub(super) item: Option<Item>,
    /// Streamed parts of a begun item, or of a finished one after its end.
    pub(super) parts: Option<Box<PartialItem>>,
    /// The server declared the call's arguments finished.
    pub(super) arguments_done: bool,
}

/// Relation of a finished item to the item that is open at its index.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ending {
    /// It ends the open item.
    Own,
    /// It ends the open item under another id.
    OtherId,
    /// It ends the open item, which was announced as another type.
    OtherType,
    /// It repeats the end of the item.
    Again,
    /// It is another item. `is_taken`: the open item is finished.
    Not { is_taken: bool },
}

/// Calls that the caller runs. Each is handed out once.
const CALLS: [&str; 6] = [
    "function_call",
    "custom_tool_call",
    "computer_call",
    "local_shell_call",
    "shell_call",
    "apply_patch_call",
];

impl Head {
    pub(super) fn of(item: &Json) -> Self {
        let Ok(members) = Members::of(item) else { return Self::default() };
        let text = |name| members.read::<Option<Text>>(name).ok().flatten();
        let present = |name| text(name).filter(|text| !text.is_empty());
        Self {
            kind: text("type").unwrap_or_default(),
            id: present("id"),
            call_id: present("call_id"),
            name: present("name"),
        }
    }

    /// Like [`of`](Self::of), for an item that is whole: without a type it is a message.
    pub(super) fn of_finished(item: &Json) -> Self {
        let mut head = Self::of(item);
        if head.kind.is_empty() {
            head.kind = Text::from("message");
        }
        head
    }

    pub(super) fn is_call(&self) -> bool {
        CALLS.contains(&self.kind.as_str())
    }

    /// Returns `true` for a call whose tool is not known.
    pub(super) fn is_nameless(&self) -> bool {
        matches!(self.kind.as_str(), "function_call" | "custom_tool_call") && self.name.is_none()
    }

    pub(super) fn is_reasoning(&self) -> bool {
        self.kind == "reasoning"
    }

    /// Returns `true` if neither type nor `call_id` tells the two apart.
    pub(super) fn fits(&self, other: &Self) -> bool {
        let same_kind = |kind: &Text| kind.is_empty() || *kind == other.kind;
        (other.kind.is_empty() || same_kind(&self.kind)) && !self.has_other_call_id(other)
    }

    pub(super) fn has_other_call_id(&self, other: &Self) -> bool {
        matches!((&self.call_id, &other.call_id), (Some(a), Some(b)) if a != b)
    }

    pub(super) fn has_id_of(&self, other: &Self) -> bool {
        self.id.is_some() && self.id == other.id
    }

    pub(super) fn has_call_id_of(&self, other: &Self) -> bool {
        self.call_id.is_some() && self.call_id == other.call_id
    }

    /// Takes from `other` what is missing here.
    pub(super) fn complete_from(&mut self, other: Self) {
        if self.kind.is_empty() {
            self.kind = other.kind;
        }
        self.id = self.id.take().or(other.id);
        self.call_id = self.call_id.take().or(other.call_id);
        self.name = self.name.take().or(other.name);
    }
}

impl Slot {
    pub(super) fn new(output_index: u32, head: Head) -> Self {
        Self { output_index, head, item: None, parts: None, arguments_done: false }
    }

    /// Returns `true` if events of items of this type belong to the item; an empty type is any.
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

    /// Adds what an event of items of this type says.
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

    /// Returns the relation of a finished item with this head to the item, which is open at its index.
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

    /// Returns `true` if only `output_item.added` has told of the item.
    fn is_announced_only(&self) -> bool {
        !self.arguments_done
            && self.item.is_none()
            && self.parts.as_ref().is_none_or(|parts| is_empty(parts))
    }

    /// Returns the streamed parts of the item.
    pub(super) fn parts(&mut self) -> &mut PartialItem {
        let output_index = self.output_index;
        self.parts.get_or_insert_with(|| Box::new(PartialItem::new(output_index)))
    }

    /// Ends the item. What the finished item lacks is taken from its stream, or from its end before
    /// if this one repeats it.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if it is a call that nobody could run or answer. Its name may still come.
    pub(super) fn finish(&mut self, item: &Item, mut head: Head) -> Result<(), DecodeError> {
        let item = match self.finished() {
            Some(before) => {
                // A tool may have run under what it was called then.
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

    /// The finished item, with what was streamed after its end.
    pub(super) fn finished(&self) -> Option<Item> {
        let item = self.item.as_ref()?;
        Some(match &self.parts {
            Some(late) => merge::continued(item, &self.head, late),
            None => item.clone(),
        })
    }

    /// The begun item from its parts, if they are all of it: a message that has text, or a call
    /// whose arguments were declared finished.
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

/// Fails if the item is a call that nobody could run or answer: it would be lost in silence.
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
