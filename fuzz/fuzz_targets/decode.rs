//! Any payload: an event that keeps it as received, nothing, or an error; never a panic. What the
//! response gives back is JSON. An event that is read without serde is the one that serde reads.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use responses_client::{Json, ResponseEvent, internal::Turn};

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
    // Only serde reads a payload that begins with white space.
    let spaced = Bytes::from([b" ", input].concat());
    let read = |payload: Bytes| Turn::new().push(payload).ok().flatten().map(|event| seen(&event));
    assert_eq!(read(Bytes::copy_from_slice(input)), read(spaced));
    let response = turn.response();
    _ = (response.output(), response.output_text(), response.usage(), response.function_calls());
    for item in response.output_items() {
        Json::parse(item.json().as_str()).unwrap();
    }
});

/// What a caller sees of an event.
fn seen(event: &ResponseEvent) -> (String, Option<u64>, Vec<Option<String>>, String) {
    let texts = [
        event.text_delta(),
        event.reasoning_delta(),
        event.refusal_delta(),
        match event {
            ResponseEvent::FunctionCallArgumentsDelta(event) => Some(event.delta.as_str()),
            ResponseEvent::CustomToolCallInputDelta(event) => Some(event.delta.as_str()),
            ResponseEvent::OutputTextDelta(event) => event.item_id.as_deref(),
            _ => None,
        },
    ];
    let texts = texts.map(|text| text.map(str::to_owned)).into();
    (event.event_type().to_owned(), event.sequence_number(), texts, format!("{event:?}"))
}
