//! Any payload: an event that keeps it as received, nothing, or an error; never a panic. What the
//! response gives back is JSON.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use responses_client::{Json, internal::Turn};

fuzz_target!(|input: &[u8]| {
    let mut turn = Turn::new();
    match turn.push(Bytes::copy_from_slice(input)) {
        Ok(Some(event)) => {
            assert_eq!(event.raw().as_bytes(), input);
            _ = (event.kind(), event.sequence_number(), event.text_delta(), format!("{event:?}"));
        }
        Ok(None) => {}
        Err(error) => _ = format!("{error} {error:?}"),
    }
    let response = turn.response();
    _ = (response.output(), response.output_text(), response.usage(), response.function_calls());
    for item in response.output_items() {
        Json::parse(item.json().as_str()).unwrap();
    }
});
