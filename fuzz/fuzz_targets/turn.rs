//! Any payloads, one a line: at most one end, and nothing after it. A response is the same whether
//! it is looked at after each payload or only at its end.
#![no_main]

use std::collections::HashSet;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use responses_client::{Json, internal::Turn};

fuzz_target!(|input: &[u8]| {
    let (mut turn, mut observed) = (Turn::new(), Turn::new());
    // An event may be handed out with a later payload than its own.
    let mut received = HashSet::new();
    let mut ended = false;
    for (place, payload) in input.split(|byte| *byte == b'\n').enumerate() {
        let payload = Bytes::copy_from_slice(payload);
        _ = observed.push(payload.clone());
        received.insert(payload.clone());
        if place < 64 {
            _ = items(&observed);
        }
        let mut step = turn.push(payload.clone());
        loop {
            match step {
                Ok(Some(event)) => {
                    assert!(!ended);
                    assert!(received.contains(event.raw().as_bytes()));
                    ended = event.is_terminal();
                }
                Ok(None) => break,
                // A payload that is not text does not reach the turn.
                Err(_) if std::str::from_utf8(&payload).is_err() => break,
                Err(_) => {
                    assert!(!ended);
                    ended = true;
                }
            }
            step = turn.next_event();
        }
    }
    let settled = items(&turn);
    assert_eq!(settled, items(&observed));
    for item in settled {
        Json::parse(&item).unwrap();
    }
});

/// Returns the items that go back to the server, as they are sent.
fn items(turn: &Turn) -> Vec<String> {
    let response = turn.response();
    _ = (response.output_text(), response.function_calls());
    response.output_items().map(|item| item.json().as_str().to_owned()).collect()
}
