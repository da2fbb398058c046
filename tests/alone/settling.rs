//! A response of many items costs as much an item as one of few.

use responses_client::internal::Turn;
use serde_json::{Value, json};

use crate::{ALLOCATOR, is_alone};

/// How the items of a response are told.
#[derive(Clone, Copy, Debug)]
struct Habits {
    is_one_index: bool,
    /// What the ids of the terminal event begin with; it has no items without one.
    terminal_ids: Option<&'static str>,
}

fn item(n: usize, prefix: &str) -> Value {
    json!({ "id": format!("{prefix}_{n:06}"), "type": "function_call", "name": "f",
        "call_id": format!("{prefix}_call_{n:06}"), "arguments": format!("{{\"n\":{n:06}}}") })
}

/// The bytes that a response of so many items allocates, from its events to its calls.
fn allocated(count: usize, habits: Habits) -> usize {
    let done = (0..count).map(|n| {
        let index = if habits.is_one_index { 0 } else { n };
        json!({ "type": "response.output_item.done", "output_index": index,
            "item": item(n, "a") })
    });
    let told =
        habits.terminal_ids.into_iter().flat_map(|ids| (0..count).map(move |n| item(n, ids)));
    let output: Vec<Value> = told.collect();
    let completed = json!({ "type": "response.completed",
        "response": { "id": "resp_1", "status": "completed", "output": output } });
    let events: Vec<bytes::Bytes> =
        done.chain([completed]).map(|event| event.to_string().into()).collect();
    let before = ALLOCATOR.stats();
    let mut turn = Turn::new();
    for event in events {
        turn.push(event).expect("a good event");
    }
    let response = turn.response();
    assert_eq!(response.output_items().len(), count, "{habits:?}");
    assert_eq!(response.function_calls().len(), count, "{habits:?}");
    let after = ALLOCATOR.stats();
    after.bytes_allocated - before.bytes_allocated
}

#[test]
fn c152_ten_times_the_items_allocate_ten_times_as_much() {
    if !is_alone("settling::c152_ten_times_the_items_allocate_ten_times_as_much") {
        return;
    }
    for is_one_index in [false, true] {
        for terminal_ids in [None, Some("a"), Some("b")] {
            let habits = Habits { is_one_index, terminal_ids };
            let (few, many) = (allocated(500, habits), allocated(5_000, habits));
            assert!(few > 250_000, "it is measured: {few}");
            // Tables grow in steps of two.
            assert!(many < 12 * few, "{habits:?}: {few} B for 500, {many} B for 5,000");
        }
    }
}
