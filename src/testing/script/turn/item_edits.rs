//! Changes of the items in the events of a turn.

#![expect(clippy::indexing_slicing, reason = "a missing member of a JSON value reads as null")]

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::steps::{self, output_items};
use crate::testing::script::{
    halves,
    step::Step,
    value::{is_terminal, set},
};

/// Changes the items of the terminal event.
pub(super) fn change_terminal_items(steps: &mut Vec<Step>, change: impl Fn(&mut Value)) {
    steps::change_events(steps, |event| {
        if is_terminal(event) {
            output_items(event).for_each(&change);
        }
    });
}

/// Changes the item of each `response.output_item.done`.
pub(super) fn change_done_items(steps: &mut Vec<Step>, change: impl Fn(&mut Value)) {
    steps::change_events(steps, |event| {
        if event["type"] == "response.output_item.done"
            && let Some(item) = event.get_mut("item")
        {
            change(item);
        }
    });
}

/// Changes each member that is the id of an item; `change` gets its object and its name.
pub(super) fn change_item_ids(
    steps: &mut Vec<Step>,
    change: impl Fn(&mut Map<String, Value>, &str),
) {
    let change_member = |of: Option<&mut Value>, name: &str| {
        if let Some(members) = of.and_then(Value::as_object_mut).filter(|it| it.contains_key(name))
        {
            change(members, name);
        }
    };
    steps::change_events(steps, |event| {
        output_items(event).for_each(|item| change_member(Some(item), "id"));
        change_member(event.get_mut("item"), "id");
        change_member(Some(event), "item_id");
    });
}

/// Drops the events of these types, and renumbers the rest.
pub(super) fn drop_events(steps: &mut Vec<Step>, is_dropped: impl Fn(&str) -> bool) {
    steps::replace_events(steps, |event| {
        let is_dropped = event["type"].as_str().is_some_and(&is_dropped);
        // `response.done` is a name of the terminal event.
        if is_dropped && !is_terminal(&event) { Vec::new() } else { vec![event] }
    });
    steps::number(steps);
}

/// Ends each text part of a message with its first delta, except in the terminal event.
pub(super) fn close_texts_early(steps: &mut Vec<Step>) {
    let mut first = HashMap::new();
    steps::replace_events(steps, |mut event| {
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
    steps::number(steps);
}

fn close_text(of: &mut Value, first: Option<&Value>) {
    if let Some(first) = first {
        replace_member(of, "text", first);
    }
}

/// Returns the pieces of a delta, cut within each character that takes two escapes.
pub(super) fn cut_in_characters(delta: &str) -> Vec<String> {
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

/// Gives a member another text, if it is one.
pub(super) fn prefix_member(item: &mut Value, name: &str) {
    if let Some(known) = item[name].as_str() {
        let other = format!("other_{known}");
        set(item, name, other);
    }
}

/// Replaces a member, if it is there.
pub(super) fn replace_member(of: &mut Value, name: &str, with: &Value) {
    if of.get(name).is_some() {
        set(of, name, with.clone());
    }
}
