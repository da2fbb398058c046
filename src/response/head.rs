//! Identity of an item.

use crate::{
    event::item::Members,
    json::{Json, Text},
};

/// Identity of an item. Empty strings count as missing.
#[derive(Clone, Debug, Default)]
pub(super) struct Head {
    /// `type`; empty until an event has named it.
    pub(super) kind: Text,
    pub(super) id: Option<Text>,
    pub(super) call_id: Option<Text>,
    pub(super) name: Option<Text>,
}

/// Types of calls that the caller runs. Each call is yielded once.
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

    /// Like [`of`](Self::of), for a complete item: without a type, the item is a message.
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

    /// Returns `true` for a call whose tool name is not known.
    pub(super) fn is_nameless(&self) -> bool {
        matches!(self.kind.as_str(), "function_call" | "custom_tool_call") && self.name.is_none()
    }

    pub(super) fn is_reasoning(&self) -> bool {
        self.kind == "reasoning"
    }

    /// Returns `true` if neither the type nor the `call_id` distinguishes the two.
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

    /// Fills missing values from `other`.
    pub(super) fn complete_from(&mut self, other: Self) {
        if self.kind.is_empty() {
            self.kind = other.kind;
        }
        self.id = self.id.take().or(other.id);
        self.call_id = self.call_id.take().or(other.call_id);
        self.name = self.name.take().or(other.name);
    }
}
