//! Changes of the steps of a turn.

#![expect(clippy::indexing_slicing, reason = "a missing member of a JSON value reads as null")]

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::Arc,
};

use serde_json::Value;

use crate::testing::{generate::set, step::Step};

/// A change of the steps of a turn.
#[derive(Clone)]
pub(super) struct Edit {
    name: &'static str,
    change: Arc<Change>,
}

type Change = dyn Fn(&mut Vec<Step>) + Send + Sync;

impl Edit {
    pub(super) fn new(
        name: &'static str,
        change: impl Fn(&mut Vec<Step>) + Send + Sync + 'static,
    ) -> Self {
        Self { name, change: Arc::new(change) }
    }

    pub(super) fn apply(&self, steps: &mut Vec<Step>) {
        (self.change)(steps);
    }
}

impl fmt::Debug for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Where the event with this number stands.
pub(super) fn place_of_event(steps: &[Step], event: usize) -> Option<usize> {
    let mut events = steps.iter().enumerate().filter(|(_, step)| step.is_event());
    events.nth(event).map(|(place, _)| place)
}

/// Puts what `change` makes of each event in its place. An event that it leaves as it is keeps
/// its bytes, and one that was to come in pieces still does.
pub(super) fn replace_events(steps: &mut Vec<Step>, mut change: impl FnMut(Value) -> Vec<Value>) {
    let mut replaced = Vec::with_capacity(steps.len());
    for step in steps.drain(..) {
        let Some(event) = step.event() else {
            replaced.push(step);
            continue;
        };
        for made in change(event.clone()) {
            replaced.push(if made == event { step.clone() } else { step.carrying(made) });
        }
    }
    *steps = replaced;
}

/// Changes each event.
pub(super) fn change_events(steps: &mut Vec<Step>, mut change: impl FnMut(&mut Value)) {
    replace_events(steps, |mut event| {
        change(&mut event);
        vec![event]
    });
}

/// Numbers the events that have a number, from zero on.
pub(super) fn number(steps: &mut Vec<Step>) {
    let mut next = 0_u64;
    change_events(steps, |event| {
        if event.get("sequence_number").is_some() {
            set(event, "sequence_number", next);
            next += 1;
        }
    });
}

/// An event that is put beside `neighbour`: it has a number if that one has.
pub(super) fn beside(neighbour: &Value, mut event: Value) -> Value {
    if neighbour.get("sequence_number").is_some() {
        set(&mut event, "sequence_number", 0);
    }
    event
}

/// Lets the items take turns, event by event. What stands between them stays where it is.
pub(super) fn interleave(steps: &mut Vec<Step>) {
    let mut places = Vec::new();
    let mut items: BTreeMap<u64, VecDeque<Step>> = BTreeMap::new();
    for (place, step) in steps.iter().enumerate() {
        if let Some(item) = step.event().and_then(|event| event["output_index"].as_u64()) {
            places.push(place);
            items.entry(item).or_default().push_back(step.clone());
        }
    }
    let mut order = Vec::with_capacity(places.len());
    while order.len() < places.len() {
        order.extend(items.values_mut().filter_map(VecDeque::pop_front));
    }
    for (place, step) in places.into_iter().zip(order) {
        if let Some(here) = steps.get_mut(place) {
            *here = step;
        }
    }
    number(steps);
}

/// Whether a response ends with this event.
pub(super) fn is_terminal(event: &Value) -> bool {
    matches!(
        event["type"].as_str(),
        Some("response.completed" | "response.incomplete" | "response.failed" | "response.done")
    )
}
