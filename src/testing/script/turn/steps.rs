//! Operations on the steps of a turn.

#![expect(clippy::indexing_slicing, reason = "a missing member of a JSON value reads as null")]

use std::collections::{BTreeMap, VecDeque};

use serde_json::Value;

use crate::testing::script::{step::Step, value::set};

/// Number of characters of a token of English text, about.
const TOKEN_CHARACTERS: usize = 4;

/// Returns the index of the step that is the event with this number.
pub(super) fn index_of_event(steps: &[Step], event: usize) -> Option<usize> {
    let mut events = steps.iter().enumerate().filter(|(_, step)| step.is_event());
    events.nth(event).map(|(place, _)| place)
}

/// Replaces each event by the events that `change` returns for it. An event that stays unchanged
/// keeps its bytes, and an event in pieces stays in pieces.
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

/// Renumbers the events that have a sequence number, from zero on.
pub(super) fn number(steps: &mut Vec<Step>) {
    let mut next = 0_u64;
    change_events(steps, |event| {
        if event.get("sequence_number").is_some() {
            set(event, "sequence_number", next);
            next += 1;
        }
    });
}

/// Returns `event` with a sequence number if `neighbour` has one.
pub(super) fn beside(neighbour: &Value, mut event: Value) -> Value {
    if neighbour.get("sequence_number").is_some() {
        set(&mut event, "sequence_number", 0);
    }
    event
}

/// Returns an event for each token of a delta of text; `None` for another event.
pub(super) fn tokens(event: &Value) -> Option<Vec<Value>> {
    event["type"].as_str().filter(|kind| kind.ends_with(".delta"))?;
    let text = event["delta"].as_str()?;
    // A token whose probability is known is one already.
    let is_token = event["logprobs"].as_array().is_some_and(|it| !it.is_empty());
    let characters: Vec<char> = text.chars().collect();
    if is_token || characters.is_empty() {
        return Some(vec![event.clone()]);
    }
    let tokens = characters.chunks(TOKEN_CHARACTERS).map(|token| {
        let mut event = event.clone();
        set(&mut event, "delta", token.iter().collect::<String>());
        event
    });
    Some(tokens.collect())
}

/// Alternates the items event by event. Steps between them stay at their index.
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

/// Returns the items in the output of an event's response.
pub(super) fn output_items(event: &mut Value) -> impl Iterator<Item = &mut Value> {
    event.pointer_mut("/response/output").and_then(Value::as_array_mut).into_iter().flatten()
}
