//! Habits of servers and gateways that say a good answer in other words.
//!
//! The server itself keeps what it meant: a request that continues the response finds the items as
//! they were before the first of these changes.

#![expect(clippy::indexing_slicing, reason = "a missing member of a JSON value reads as null")]

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{
    Turn,
    edit::{self, is_terminal},
    output_items,
};
use crate::testing::{generate::set, halves, step::Step};

/// A part of an item that some of its events lack, for [`Turn::withholding`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Withheld {
    /// `encrypted_content` is null in `response.output_item.done`, and set in the terminal event.
    EncryptedContent,
    /// `content`, `summary`, `arguments` and `input` are empty in `response.output_item.done`.
    Content,
    /// A text is closed after its first delta: no other delta comes, and until the terminal event
    /// the first is said to be all of it.
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

/// Identities and content that differ between the events of one response.
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

    /// Says `""` for the id of every item, everywhere.
    pub fn empty_item_ids(self) -> Self {
        self.habit("empty_item_ids", |steps| {
            change_item_ids(steps, |members, name| {
                members.insert(name.to_owned(), "".into());
            });
        })
    }

    /// Leaves out the ids of items, everywhere.
    pub fn without_item_ids(self) -> Self {
        self.habit("without_item_ids", |steps| {
            change_item_ids(steps, |members, name| {
                members.remove(name);
            });
        })
    }

    /// Counts `output_index` from `first` on.
    pub fn output_indices_from(self, first: u64) -> Self {
        self.habit("output_indices_from", move |steps| {
            edit::change_events(steps, |event| {
                if let Some(index) = event["output_index"].as_u64() {
                    set(event, "output_index", index + first);
                }
            });
        })
    }

    /// Leaves something out of the events that are to have it.
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
                change_done_items(steps, |item| remove_member(item, "name"));
                change_terminal_items(steps, |item| remove_member(item, "name"));
            }
            Withheld::Deltas => drop_events(steps, |kind| kind.ends_with(".delta")),
            Withheld::ItemDone => drop_events(steps, |kind| kind == "response.output_item.done"),
            Withheld::Done => drop_events(steps, |kind| kind.ends_with(".done")),
        })
    }

    /// Cuts each delta inside of its characters beyond `U+FFFF`, which take two escapes in JSON: the
    /// first half ends one delta, and the second half begins the next.
    pub fn split_surrogates(self) -> Self {
        self.habit("split_surrogates", |steps| {
            edit::replace_events(steps, |event| {
                let Some(delta) = event["delta"].as_str() else { return vec![event] };
                let with_delta = |delta: String| {
                    let mut event = event.clone();
                    set(&mut event, "delta", delta);
                    event
                };
                cut_in_characters(delta).into_iter().map(with_delta).collect()
            });
            edit::number(steps);
        })
    }

    /// Begins the response twice: `response.created` comes again under another id, which the
    /// response has from there on.
    pub fn created_twice(self) -> Self {
        self.edited("created_twice", |steps| {
            let mut is_first = true;
            edit::replace_events(steps, |event| {
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

    /// Says `store: false` of the response and does not keep it, whatever the request asks.
    pub fn unstored(self) -> Self {
        self.edited("unstored", |steps| {
            edit::change_events(steps, |event| {
                if let Some(response) = event.get_mut("response") {
                    set(response, "store", false);
                }
            });
        })
    }

    /// A change of how the answer is told, not of what the server keeps of it.
    pub(super) fn habit(
        mut self,
        name: &'static str,
        change: impl Fn(&mut Vec<Step>) + Send + Sync + 'static,
    ) -> Self {
        let at = self.edits.len();
        self.kept_before.get_or_insert(at);
        self.edited(name, change)
    }
}

fn change_terminal_items(steps: &mut Vec<Step>, change: impl Fn(&mut Value)) {
    edit::change_events(steps, |event| {
        if is_terminal(event) {
            output_items(event).for_each(&change);
        }
    });
}

fn change_done_items(steps: &mut Vec<Step>, change: impl Fn(&mut Value)) {
    edit::change_events(steps, |event| {
        if event["type"] == "response.output_item.done"
            && let Some(item) = event.get_mut("item")
        {
            change(item);
        }
    });
}

fn change_item_ids(
    steps: &mut Vec<Step>,
    change: impl Fn(&mut serde_json::Map<String, Value>, &str),
) {
    let change_member = |of: Option<&mut Value>, name: &str| {
        if let Some(members) = of.and_then(Value::as_object_mut).filter(|it| it.contains_key(name))
        {
            change(members, name);
        }
    };
    edit::change_events(steps, |event| {
        output_items(event).for_each(|item| change_member(Some(item), "id"));
        change_member(event.get_mut("item"), "id");
        change_member(Some(event), "item_id");
    });
}

fn drop_events(steps: &mut Vec<Step>, is_dropped: impl Fn(&str) -> bool) {
    edit::replace_events(steps, |event| {
        let is_dropped = event["type"].as_str().is_some_and(&is_dropped);
        // This is a name of the terminal event.
        if is_dropped && !is_terminal(&event) { Vec::new() } else { vec![event] }
    });
    edit::number(steps);
}

/// Lets each text part of a message end with its first delta, but for the terminal event.
fn close_texts_early(steps: &mut Vec<Step>) {
    let mut first = HashMap::new();
    edit::replace_events(steps, |mut event| {
        let item = event["output_index"].as_u64();
        let part = (item, event["content_index"].as_u64());
        match event["type"].as_str().unwrap_or_default() {
            "response.output_text.delta" => {
                if first.contains_key(&part) {
                    return Vec::new();
                }
                first.insert(part, event["delta"].clone());
            }
            "response.output_text.done" => close_text(&mut event, first.get(&part)),
            "response.content_part.done" => {
                if let Some(of) = event.get_mut("part") {
                    close_text(of, first.get(&part));
                }
            }
            "response.output_item.done" => {
                let parts = event.pointer_mut("/item/content").and_then(Value::as_array_mut);
                for (index, of) in (0_u64..).zip(parts.into_iter().flatten()) {
                    close_text(of, first.get(&(item, Some(index))));
                }
            }
            _ => {}
        }
        vec![event]
    });
    edit::number(steps);
}

fn close_text(of: &mut Value, first: Option<&Value>) {
    if let Some(first) = first {
        replace_member(of, "text", first);
    }
}

/// The pieces of a delta, cut within each character that takes two escapes.
fn cut_in_characters(delta: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    for character in delta.chars() {
        let mut units = [0; 2];
        let halves = match halves::half_of(character) {
            Some(_) => &[][..],
            None => character.encode_utf16(&mut units),
        };
        if let ([high, low], Some(last)) = (halves, pieces.last_mut()) {
            last.push(halves::surrogate_half(*high));
            pieces.push(halves::surrogate_half(*low).to_string());
        } else if let Some(last) = pieces.last_mut() {
            last.push(character);
        }
    }
    pieces
}

fn prefix_member(item: &mut Value, name: &str) {
    if let Some(known) = item[name].as_str() {
        let other = format!("other_{known}");
        set(item, name, other);
    }
}

fn replace_member(of: &mut Value, name: &str, with: &Value) {
    if of.get(name).is_some() {
        set(of, name, with.clone());
    }
}

fn remove_member(item: &mut Value, name: &str) {
    if let Some(members) = item.as_object_mut() {
        members.remove(name);
    }
}
