//! Turns of servers that are not what they should be.

#![expect(clippy::indexing_slicing, reason = "a missing member of a JSON value reads as null")]

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    Turn,
    edit::{self, beside, is_terminal},
};
use crate::testing::{
    generate::{self, set},
    items,
    step::Step,
};

/// How the terminal event comes without its `output`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoOutput {
    /// `"output": null`.
    Null,
    /// `"output": []`.
    Empty,
    /// No `output` at all.
    Missing,
    /// Only the first item.
    Partial,
}

/// Shapes of a good answer. Those that add, move or remove events number them anew.
impl Turn {
    /// Lets the items overlap: each begins before the first is done, and they take turns event by
    /// event.
    pub fn interleaved(self) -> Self {
        self.edited("interleaved", edit::interleave)
    }

    /// Drops the events that only begin something: `response.created`, `response.in_progress`, and
    /// those of items, parts and commands that end in `.added`.
    pub fn without_setup(self) -> Self {
        self.edited("without_setup", |steps| {
            edit::replace_events(steps, |event| {
                let kind = event["type"].as_str().unwrap_or_default();
                let begins = match kind {
                    "response.created" | "response.queued" | "response.in_progress" => true,
                    "response.output_text.annotation.added" => false,
                    kind => kind.ends_with(".added"),
                };
                if begins { Vec::new() } else { vec![event] }
            });
            edit::number(steps);
        })
    }

    /// Leaves out `sequence_number`.
    pub fn without_sequence_numbers(self) -> Self {
        self.edited("without_sequence_numbers", |steps| {
            edit::change_events(steps, |event| {
                if let Some(members) = event.as_object_mut() {
                    members.remove("sequence_number");
                }
            });
        })
    }

    /// Puts a `keepalive` after each `every` events, up to the last. It has a number too.
    pub fn keepalives(self, every: usize) -> Self {
        self.edited("keepalives", move |steps| {
            let mut since = 0;
            edit::replace_events(steps, |event| {
                since += 1;
                if since < every.max(1) || is_terminal(&event) {
                    return vec![event];
                }
                since = 0;
                let keepalive = beside(&event, json!({ "type": "keepalive" }));
                vec![event, keepalive]
            });
            edit::number(steps);
        })
    }

    /// Ends without the output that the terminal event should repeat, or without most of it.
    pub fn empty_terminal_output(self, form: NoOutput) -> Self {
        self.habit("empty_terminal_output", move |steps| {
            edit::change_events(steps, |event| {
                if is_terminal(event)
                    && let Some(Value::Object(response)) = event.get_mut("response")
                {
                    match form {
                        NoOutput::Null => response.insert("output".to_owned(), Value::Null),
                        NoOutput::Empty => response.insert("output".to_owned(), json!([])),
                        NoOutput::Missing => response.remove("output"),
                        NoOutput::Partial => {
                            if let Some(Value::Array(output)) = response.get_mut("output") {
                                output.truncate(1);
                            }
                            None
                        }
                    };
                }
            });
        })
    }

    /// Sends every event in four pieces with this time between them, as [`Step::Drip`] does.
    pub fn dripped(self, pause: Duration) -> Self {
        self.edited("dripped", move |steps| {
            for step in steps {
                let text = match step {
                    Step::Event(event) => generate::encode(event),
                    Step::Text(text) => text.clone(),
                    _ => continue,
                };
                *step = Step::Drip { text, pieces: 4, pause };
            }
        })
    }

    /// Makes one event this many bytes long, if it is shorter: the first that has an
    /// `obfuscation`, which grows, or else the first, which gets one. An image makes a turn large
    /// in all its events: [`items::image`].
    pub fn large_event(self, bytes: usize) -> Self {
        self.edited("large_event", move |steps| {
            let padded = |step: &Step| step.event().is_some_and(|it| it["obfuscation"].is_string());
            let place = steps.iter().position(padded).or_else(|| edit::place_of_event(steps, 0));
            let Some(step) = place.and_then(|place| steps.get_mut(place)) else { return };
            let Some(mut event) = step.event() else { return };
            set(&mut event, "obfuscation", "");
            let missing = bytes.saturating_sub(generate::encode(&event).len());
            set(&mut event, "obfuscation", "x".repeat(missing));
            *step = step.carrying(event);
        })
    }
}

/// Offences against the protocol. They leave the numbers of the other events as they are.
impl Turn {
    /// Repeats the terminal event.
    pub fn double_terminal(self) -> Self {
        self.edited("double_terminal", |steps| {
            edit::replace_events(steps, |event| {
                if is_terminal(&event) { vec![event.clone(), event] } else { vec![event] }
            });
        })
    }

    /// Never sends the terminal event. Over SSE the body ends cleanly without it; a WebSocket
    /// stays open and silent, unless a step closes it.
    pub fn without_terminal(self) -> Self {
        self.edited("without_terminal", |steps| {
            edit::replace_events(
                steps,
                |event| {
                    if is_terminal(&event) { Vec::new() } else { vec![event] }
                },
            );
        })
    }

    /// Sends one more event after the terminal event.
    pub fn stray_after_terminal(self, stray: Value) -> Self {
        self.edited("stray_after_terminal", move |steps| {
            edit::replace_events(steps, |event| {
                if is_terminal(&event) { vec![event, stray.clone()] } else { vec![event] }
            });
        })
    }

    /// Repeats `response.created`.
    pub fn duplicate_created(self) -> Self {
        self.edited("duplicate_created", |steps| {
            edit::replace_events(steps, |event| {
                let created = event["type"] == "response.created";
                if created { vec![event.clone(), event] } else { vec![event] }
            });
        })
    }

    /// Gives the response another id in each event that has it, after the first. The server
    /// remembers the response by the last one.
    pub fn changing_response_id(self) -> Self {
        self.edited("changing_response_id", |steps| {
            let mut seen = 0;
            edit::change_events(steps, |event| {
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
            edit::change_events(steps, |event| {
                let in_event = ["/item_id", "/item/id"];
                for place in in_event {
                    if let Some(id) = event.pointer_mut(place) {
                        rename(id, seen);
                    }
                }
                if let Some(Value::Array(output)) = event.pointer_mut("/response/output") {
                    let ids = output.iter_mut().filter_map(|item| item.get_mut("id"));
                    ids.for_each(|id| rename(id, seen));
                }
                seen += 1;
            });
        })
    }

    /// Says of every item that it is the first, as some translators of other APIs do.
    pub fn constant_output_index(self) -> Self {
        self.edited("constant_output_index", |steps| {
            edit::change_events(steps, |event| {
                if event.get("output_index").is_some() {
                    set(event, "output_index", 0);
                }
            });
        })
    }

    /// Adds what no client knows: a member to every event and every item, an event of the response
    /// and another one after the first event, and an item after the others. Numbers events anew.
    pub fn unknown_things(self) -> Self {
        self.edited("unknown_things", |steps| {
            let mut places = 0;
            let mut first = true;
            edit::replace_events(steps, |mut event| {
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
            edit::number(steps);
        })
    }
}

fn add_unknown_members(event: &mut Value) {
    let unheard_of = json!({ "deep": [1, null, "x"] });
    set(event, "unheard_of", unheard_of.clone());
    if let Some(item) = event.get_mut("item") {
        set(item, "unheard_of", unheard_of.clone());
    }
    if let Some(Value::Array(output)) = event.pointer_mut("/response/output") {
        output.iter_mut().for_each(|item| set(item, "unheard_of", unheard_of.clone()));
    }
}

fn rename(id: &mut Value, time: usize) {
    if time > 0
        && let Some(known) = id.as_str()
    {
        *id = format!("{known}_{time}").into();
    }
}
