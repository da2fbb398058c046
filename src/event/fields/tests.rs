//! Comparison of events that are read with and without serde.

use proptest::prelude::*;

use crate::{
    event::{EventKind, ResponseEvent},
    json::{DecodeError, Json, Text},
};

/// Reads an event like a stream.
fn read(payload: &str) -> Result<ResponseEvent, DecodeError> {
    let rest = payload.trim_start().strip_prefix(r#"{"type":""#).unwrap_or_default();
    let name = rest.split('"').next().unwrap_or_default();
    ResponseEvent::decode(EventKind::from(name), payload.into())
}

/// All that an event has; a text with unpaired surrogates differs from one with replacements.
fn fields(event: ResponseEvent) -> (EventKind, Vec<Text>, Vec<u32>, Option<u64>, Option<String>) {
    let kind = event.kind();
    let number = event.sequence_number();
    let list = |text: Option<Json>| text.map(|it| it.as_str().to_owned());
    let (texts, indices, rest) = match event {
        ResponseEvent::OutputTextDelta(e) => (
            vec![Some(e.delta), e.item_id],
            vec![e.output_index, e.content_index],
            list(e.logprobs),
        ),
        ResponseEvent::FunctionCallArgumentsDelta(e) => {
            (vec![Some(e.delta), e.item_id], vec![e.output_index], None)
        }
        ResponseEvent::ReasoningSummaryDelta(e) => {
            (vec![e.delta, e.item_id], vec![e.output_index, e.summary_index], None)
        }
        ResponseEvent::OutputTextDone(e) => {
            (vec![e.text, e.item_id], vec![e.output_index, e.content_index], list(e.logprobs))
        }
        ResponseEvent::OutputItemAdded(e) => {
            let item = e.item.map(|it| it.json().as_str().to_owned());
            (vec![], vec![e.output_index], item)
        }
        ResponseEvent::Unknown(e) => (vec![Some(e.event_type)], vec![], None),
        _ => (vec![], vec![], None),
    };
    (kind, texts.into_iter().flatten().collect(), indices, number, rest)
}

fn assert_same(payload: &str) {
    // Only serde reads text that begins with white space.
    let spaced = format!(" {payload}");
    let (with, without) = (read(&spaced).map(fields), read(payload).map(fields));
    match (with, without) {
        (Ok(with), Ok(without)) => assert_eq!(with, without, "{payload}"),
        (Err(_), Err(_)) => {}
        (with, without) => {
            panic!("{payload}: {} with serde, {} without", with.is_ok(), without.is_ok())
        }
    }
}

fn payload() -> impl Strategy<Value = String> {
    let kinds = prop::sample::select(vec![
        "response.output_text.delta",
        "response.function_call_arguments.delta",
        "response.reasoning_summary.delta",
        "response.output_text.done",
        "response.output_item.added",
        "brand.new",
    ]);
    let key = prop::sample::select(vec![
        "delta",
        "text",
        "item_id",
        "output_index",
        "content_index",
        "summary_index",
        "sequence_number",
        "logprobs",
        "item",
        "obfuscation",
        "type",
        "d\\u0065lta",
        "x",
    ]);
    let value = prop_oneof![
        4 => prop::sample::select(vec![
            "\"a\"", "\"\"", "\"\\n\"", "\"\\ud83d\"", "\"\\ude00x\"", "\"\\x\"", "\"\\u12\"", "\"é\"",
            "\"response.output_text.done\"", "\"a\u{1}\"", "\"a", "7", "0", "007", "4294967296",
            "999999999", "1.0", "-1", "1e2", "null", "nul", "true", "[]", "[ ]", "[1]", "{}",
            "{\"text\":\"b\"}", "",
        ]).prop_map(str::to_owned),
        1 => "\"[a-z\\\\\"\u{0}-\u{20}]{0,6}\"",
        1 => "[0-9]{1,11}",
    ];
    let member = (key, prop::sample::select(vec![":", " :", ""]), value)
        .prop_map(|(key, colon, value)| format!(",\"{key}\"{colon}{value}"));
    let plain = (prop::sample::select(vec!["delta", "item_id", "obfuscation"]), "[a-z]{0,4}")
        .prop_map(|(key, value)| format!(",\"{key}\":\"{value}\""));
    let members = prop::collection::vec(prop_oneof![1 => member, 2 => plain], 0..6);
    let end = prop::sample::select(vec!["}", "}", "}", "}", " }", "} ", "", "}}", ",}"]);
    (kinds, members, end)
        .prop_map(|(kind, members, end)| format!("{{\"type\":\"{kind}\"{}{end}", members.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn an_event_is_the_same_with_and_without_serde(payload in payload()) {
        assert_same(&payload);
    }
}

#[test]
fn the_last_of_duplicate_members_counts_without_serde_too() {
    for (payload, delta) in [
        (r#"{"type":"response.output_text.delta","delta":"a","delta":"b"}"#, "b"),
        (r#"{"type":"response.output_text.delta","delta":"a","d\u0065lta":"b"}"#, "b"),
        (
            r#"{"type":"response.output_text.delta","delta":"a","obfuscation":"x","obfuscation":"y"}"#,
            "a",
        ),
    ] {
        assert_eq!(read(payload).unwrap().text_delta(), Some(delta), "{payload}");
        assert_same(payload);
    }
}
