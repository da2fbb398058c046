//! Any payloads, one a line: at most one end, and nothing after it.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use responses_client::bench::Turn;

fuzz_target!(|input: &[u8]| {
    let mut turn = Turn::new();
    let mut ended = false;
    for payload in input.split(|byte| *byte == b'\n') {
        match turn.push(Bytes::copy_from_slice(payload)) {
            Ok(Some(event)) => {
                assert!(!ended);
                ended = event.is_terminal();
            }
            Ok(None) => {}
            // What is no text does not reach the turn at all.
            Err(_) if std::str::from_utf8(payload).is_err() => {}
            Err(_) => {
                assert!(!ended);
                ended = true;
            }
        }
    }
    let response = turn.response();
    for item in response.output_items() {
        serde_json::from_str::<serde_json::Value>(item.json().get()).unwrap();
    }
});
