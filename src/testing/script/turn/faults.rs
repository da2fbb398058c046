//! Turns of servers that violate the protocol.

#![expect(clippy::indexing_slicing, reason = "a missing member of a JSON value reads as null")]

use serde_json::{Value, json};

use super::{
    Turn,
    steps::{self, beside, output_items},
};
use crate::testing::script::{
    items,
    value::{is_terminal, set},
};

/// Violations of the protocol. They leave the numbers of the other events unchanged.
impl Turn {
    /// Repeats the terminal event.
    pub fn double_terminal(self) -> Self {
        self.edited("double_terminal", |steps| {
            steps::replace_events(steps, |event| {
                if is_terminal(&event) { vec![event.clone(), event] } else { vec![event] }
            });
        })
    }

    /// Never sends the terminal event. Over SSE the body ends cleanly without it; a WebSocket
    /// stays open and silent, unless a step closes it.
    pub fn without_terminal(self) -> Self {
        self.edited("without_terminal", |steps| {
            steps::replace_events(steps, |event| {
                if is_terminal(&event) { Vec::new() } else { vec![event] }
            });
        })
    }

    /// Sends one more event after the terminal event.
    pub fn stray_after_terminal(self, stray: Value) -> Self {
        self.edited("stray_after_terminal", move |steps| {
            steps::replace_events(steps, |event| {
                if is_terminal(&event) { vec![event, stray.clone()] } else { vec![event] }
            });
        })
    }

    /// Repeats `response.created`.
    pub fn duplicate_created(self) -> Self {
        self.edited("duplicate_created", |steps| {
            steps::replace_events(steps, |event| {
                let created = event["type"] == "response.created";
                if created { vec![event.clone(), event] } else { vec![event] }
            });
        })
    }

    /// Gives the response another id in each event that has it, after the first. The server stores
    /// the response under the last id.
    pub fn changing_response_id(self) -> Self {
        self.edited("changing_response_id", |steps| {
            let mut seen = 0;
            steps::change_events(steps, |event| {
                if let Some(id) = event.pointer_mut("/response/id") {
                    rename(id, seen);
                    seen += 1;
                }
            });
        })
    }

    /// Gives the items other ids in every event, as GitHub Copilot does.
    pub fn changing_item_ids(self) -> Self {
        self.edited("changing_item_ids", |steps| {
            let mut seen = 0;
            steps::change_events(steps, |event| {
                let in_event = ["/item_id", "/item/id"];
                for place in in_event {
                    if let Some(id) = event.pointer_mut(place) {
                        rename(id, seen);
                    }
                }
                let ids = output_items(event).filter_map(|item| item.get_mut("id"));
                ids.for_each(|id| rename(id, seen));
                seen += 1;
            });
        })
    }

    /// Gives every item the index 0, as some translators of other APIs do.
    pub fn constant_output_index(self) -> Self {
        self.edited("constant_output_index", |steps| {
            steps::change_events(steps, |event| {
                if event.get("output_index").is_some() {
                    set(event, "output_index", 0);
                }
            });
        })
    }

    /// Adds unknown things: a member to every event and every item, two events after the first
    /// event, and an item after the others. Renumbers the events.
    pub fn unknown_things(self) -> Self {
        self.edited("unknown_things", |steps| {
            let mut places = 0;
            let mut first = true;
            steps::replace_events(steps, |mut event| {
                let index = event["output_index"].as_u64();
                places = places.max(index.map_or(0, |index| index + 1));
                let mut around = Vec::new();
                if is_terminal(&event) {
                    let mut item = items::unknown("unheard_of_call");
                    set(&mut item, "id", format!("item_unheard_of{places}"));
                    for kind in ["response.output_item.added", "response.output_item.done"] {
                        let added = json!({ "type": kind, "output_index": places, "item": item });
                        around.push(beside(&event, added));
                    }
                    if let Some(Value::Array(output)) = event.pointer_mut("/response/output") {
                        output.push(item);
                    }
                }
                around.push(event);
                if std::mem::take(&mut first) {
                    for kind in ["response.unheard_of.delta", "unheard_of"] {
                        let unknown = json!({ "type": kind, "delta": "x" });
                        let unknown = around.last().map(|event| beside(event, unknown));
                        around.extend(unknown);
                    }
                }
                around.iter_mut().for_each(add_unknown_members);
                around
            });
            steps::number(steps);
        })
    }
}

fn add_unknown_members(event: &mut Value) {
    let unheard_of = json!({ "deep": [1, null, "x"] });
    set(event, "unheard_of", unheard_of.clone());
    if let Some(item) = event.get_mut("item") {
        set(item, "unheard_of", unheard_of.clone());
    }
    output_items(event).for_each(|item| set(item, "unheard_of", unheard_of.clone()));
}

fn rename(id: &mut Value, time: usize) {
    if time > 0
        && let Some(known) = id.as_str()
    {
        *id = format!("{known}_{time}").into();
    }
}
