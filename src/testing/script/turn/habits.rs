//! Habits of servers and gateways that tell a good answer in other words.
//!
//! The server itself keeps the original: a request that continues the response finds the items as
//! they were before the first of these changes.

#![expect(clippy::indexing_slicing, reason = "a missing member of a JSON value reads as null")]

use serde_json::{Value, json};

use super::{
    Turn,
    item_edits::{
        change_done_items, change_item_ids, change_terminal_items, close_texts_early,
        cut_in_characters, drop_events, prefix_member, replace_member,
    },
    steps,
};
use crate::testing::script::value::{remove, set};

/// A part of an item that some of its events lack, for [`Turn::withholding`].
///
/// ```
/// use responses_client::testing::{Turn, Withheld};
///
/// let turn = Turn::text("Hello").withholding(Withheld::Deltas);
/// # drop(turn);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Withheld {
    /// `encrypted_content` is null in `response.output_item.done`, and set in the terminal event.
    EncryptedContent,
    /// `content`, `summary`, `arguments` and `input` are empty in `response.output_item.done`.
    Content,
    /// A text is closed after its first delta: no other delta comes, and until the terminal event
    /// the first delta counts as the whole text.
    Rest,
    /// Only `response.output_item.added` has the `name` of a call.
    Name,
    /// No delta comes.
    Deltas,
    /// `response.output_item.done` never comes.
    ItemDone,
    /// No event comes that finishes an item, or anything of one.
    Done,
}

/// Identities and contents that differ between the events of one response.
impl Turn {
    /// Gives the items other ids in the terminal event than in the stream.
    pub fn split_item_ids(self) -> Self {
        self.habit("split_item_ids", |steps| {
            change_terminal_items(steps, |item| prefix_member(item, "id"));
        })
    }

    /// Gives the calls another `call_id` in the terminal event than in the stream.
    pub fn split_call_ids(self) -> Self {
        self.habit("split_call_ids", |steps| {
            change_terminal_items(steps, |item| prefix_member(item, "call_id"));
        })
    }

    /// Sets the id of every item to `""`, everywhere.
    pub fn empty_item_ids(self) -> Self {
        self.habit("empty_item_ids", |steps| {
            change_item_ids(steps, |members, name| {
                members.insert(name.to_owned(), "".into());
            });
        })
    }

    /// Removes the ids of items, everywhere.
    pub fn without_item_ids(self) -> Self {
        self.habit("without_item_ids", |steps| {
            change_item_ids(steps, |members, name| {
                members.remove(name);
            });
        })
    }

    /// Shifts `output_index` so that it begins at `first`.
    pub fn output_indices_from(self, first: u64) -> Self {
        self.habit("output_indices_from", move |steps| {
            steps::change_events(steps, |event| {
                if let Some(index) = event["output_index"].as_u64() {
                    set(event, "output_index", index + first);
                }
            });
        })
    }

    /// Removes a part of the items from events that should have it.
    pub fn withholding(self, what: Withheld) -> Self {
        self.habit("withholding", move |steps| match what {
            Withheld::EncryptedContent => change_done_items(steps, |item| {
                replace_member(item, "encrypted_content", &Value::Null);
            }),
            Withheld::Content => change_done_items(steps, |item| {
                for (name, empty) in [
                    ("content", json!([])),
                    ("summary", json!([])),
                    ("arguments", json!("")),
                    ("input", json!("")),
                ] {
                    replace_member(item, name, &empty);
                }
            }),
            Withheld::Rest => close_texts_early(steps),
            Withheld::Name => {
                change_done_items(steps, |item| remove(item, "name"));
                change_terminal_items(steps, |item| remove(item, "name"));
            }
            Withheld::Deltas => drop_events(steps, |kind| kind.ends_with(".delta")),
            Withheld::ItemDone => drop_events(steps, |kind| kind == "response.output_item.done"),
            Withheld::Done => drop_events(steps, |kind| kind.ends_with(".done")),
        })
    }

    /// Cuts each delta inside its characters beyond `U+FFFF`, which take two escapes in JSON: the
    /// first half ends one delta, and the second half begins the next.
    pub fn split_surrogates(self) -> Self {
        self.habit("split_surrogates", |steps| {
            steps::replace_events(steps, |event| {
                let Some(delta) = event["delta"].as_str() else { return vec![event] };
                let with_delta = |delta: String| {
                    let mut event = event.clone();
                    set(&mut event, "delta", delta);
                    event
                };
                cut_in_characters(delta).into_iter().map(with_delta).collect()
            });
            steps::number(steps);
        })
    }

    /// Begins the response twice: a second `response.created` has another id, which the response
    /// has from then on.
    pub fn created_twice(self) -> Self {
        self.edited("created_twice", |steps| {
            let mut is_first = true;
            steps::replace_events(steps, |event| {
                let mut renamed = event.clone();
                if let Some(id) = renamed.pointer_mut("/response/id") {
                    *id = format!("{}_again", id.as_str().unwrap_or_default()).into();
                }
                match event["type"] == "response.created" && std::mem::take(&mut is_first) {
                    true => vec![event, renamed],
                    false => vec![renamed],
                }
            });
        })
    }

    /// Sets `store: false` in the response and does not keep it, even if the request asks for it.
    pub fn unstored(self) -> Self {
        self.edited("unstored", |steps| {
            steps::change_events(steps, |event| {
                if let Some(response) = event.get_mut("response") {
                    set(response, "store", false);
                }
            });
        })
    }
}
