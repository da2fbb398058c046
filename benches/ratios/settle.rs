//! What an item of a response costs among many items against what it costs among few.

use bytes::Bytes;
use responses_client::internal::Turn;
use serde_json::{Value, json};

use crate::{
    Effort,
    measure::{Candidate, Comparison, Goal, alternate, time},
};

const FEW: usize = 2_000;
const MANY: usize = 20_000;

/// Finished items that the terminal event repeats under other ids, each at its own index and all
/// at one.
pub(crate) fn items(effort: Effort) -> Comparison {
    let (few, many) = (responses(FEW), responses(MANY));
    let run = |responses: &[Vec<Bytes>; 2]| {
        time(|| {
            for events in responses {
                let mut turn = Turn::new();
                for event in events {
                    std::hint::black_box(turn.push(event.clone()).expect("a good event"));
                }
                let response = turn.response();
                assert_eq!(response.output_items().len() + 1, events.len());
                std::hint::black_box(response.function_calls());
            }
        })
    };
    let shortest = alternate(effort.rounds.min(12), || run(&many), || run(&few));
    let (ours, theirs) = (shortest.ours(2 * MANY), shortest.theirs(2 * FEW));
    Comparison {
        ours: Candidate { label: "among 20,000 items", value: ours },
        theirs: Candidate { label: "among 2,000", value: theirs },
        ratio: ours / theirs,
        unit: "ns",
        // The caches of the processor hold the few and not the many.
        goal: Goal::AtMost(2.0),
    }
}

fn responses(count: usize) -> [Vec<Bytes>; 2] {
    [true, false].map(|is_one_index| {
        let created = json!({ "type": "response.created", "response": { "id": "resp_1" } });
        let done = (0..count).map(|n| {
            let index = if is_one_index { 0 } else { n };
            json!({ "type": "response.output_item.done", "output_index": index,
                "item": item(n, "here") })
        });
        // The one that only the terminal event has keeps it from repeating the stream.
        let output: Vec<Value> = (0..=count).map(|n| item(n, "there")).collect();
        let completed = json!({ "type": "response.completed", "response":
            { "id": "resp_1", "status": "completed", "output": output } });
        let events = std::iter::once(created).chain(done).chain([completed]);
        events.map(|event| Bytes::from(event.to_string())).collect()
    })
}

/// A call or its output in turns, so that looking one up in the others would show.
fn item(n: usize, place: &str) -> Value {
    let (id, call) = (format!("{place}_{n}"), n / 2);
    match n % 2 {
        0 => json!({ "id": id, "type": "function_call", "call_id": format!("{place}_call_{call}"),
            "name": "f", "arguments": format!("{{\"n\":{n}}}") }),
        _ => json!({ "id": id, "type": "function_call_output",
            "call_id": format!("{place}_call_{call}"), "output": n.to_string() }),
    }
}
