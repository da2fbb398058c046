//! The items that events add up to before the terminal event settles them.

use serde_json::{Value, json};

use super::*;
use crate::event::EventKind;

/// Returns the event with these members.
fn event(kind: &str, members: Value) -> ResponseEvent {
    let kind = EventKind::from(&*format!("response.{kind}"));
    assert_ne!(kind, EventKind::Unknown);
    ResponseEvent::decode(kind, members.to_string().into()).unwrap()
}

fn created(id: &str) -> ResponseEvent {
    event("created", json!({ "response": { "id": id } }))
}

fn added(index: u32, item: Value) -> ResponseEvent {
    event("output_item.added", json!({ "output_index": index, "item": item }))
}

fn done(index: u32, item: Value) -> ResponseEvent {
    event("output_item.done", json!({ "output_index": index, "item": item }))
}

/// Returns an event of the item `id`; an empty id is missing.
fn of_item(kind: &str, index: u32, id: &str, mut members: Value) -> ResponseEvent {
    members["output_index"] = json!(index);
    if !id.is_empty() {
        members["item_id"] = json!(id);
    }
    event(kind, members)
}

fn delta(index: u32, id: &str, text: &str) -> ResponseEvent {
    of_item("output_text.delta", index, id, json!({ "delta": text }))
}

fn arguments(index: u32, id: &str, text: &str) -> ResponseEvent {
    of_item("function_call_arguments.delta", index, id, json!({ "delta": text }))
}

fn arguments_done(index: u32, id: &str, text: &str) -> ResponseEvent {
    of_item("function_call_arguments.done", index, id, json!({ "arguments": text }))
}

fn message(id: &str, text: &str) -> Value {
    json!({ "type": "message", "id": id, "content": [{ "type": "output_text", "text": text }] })
}

fn call(id: &str, call_id: &str) -> Value {
    json!({ "type": "function_call", "id": id, "call_id": call_id, "name": "f", "arguments": "{}" })
}

/// Adds an event of any kind.
fn push(accumulator: &mut Accumulator, event: &ResponseEvent) -> Result<(), DecodeError> {
    match event.response() {
        Some(response) => accumulator.push_response(event, Facts::of(response)),
        None => accumulator.push(event),
    }
}

fn accumulated(events: &[ResponseEvent]) -> Accumulator {
    let mut accumulator = Accumulator::default();
    for event in events {
        push(&mut accumulator, event).unwrap();
    }
    accumulator
}

/// Returns the finished items as `id text` or `id arguments`, then the unfinished ones as
/// `announced id … content`.
fn items(response: &Response) -> Vec<String> {
    let member = |item: &Json, name| item.member::<String>(name).ok().flatten().unwrap_or_default();
    let finished = response.output_items().zip(response.output()).map(|(item, read)| {
        let text = match read {
            crate::event::OutputItem::Message(message) => message.text(),
            _ => member(item.json(), "arguments"),
        };
        format!("{} {text}", member(item.json(), "id"))
    });
    let unfinished = response.unfinished_items().iter().map(|it| {
        let id = it.initial().map(|item| member(item, "id")).unwrap_or_default();
        let texts = [it.text(), it.refusal(), it.reasoning(), it.reasoning_summary()].concat();
        format!("{id} … {texts}{}{}", it.arguments(), it.input())
    });
    finished.chain(unfinished).collect()
}

/// Events, the items that they add up to, and the irregularities.
type Case = (&'static str, Vec<ResponseEvent>, &'static [&'static str], &'static [Anomaly]);

fn check(cases: Vec<Case>) {
    for (name, events, expected, anomalies) in cases {
        let accumulator = accumulated(&events);
        assert_eq!(items(&accumulator.snapshot()), expected, "{name}");
        assert_eq!(accumulator.anomalies(), anomalies, "{name}");
    }
}

#[test]
fn an_announced_item_is_a_known_one_or_another() {
    check(vec![
        (
            "an item that is announced after its first delta",
            vec![delta(0, "", "A"), added(0, message("a", "")), delta(0, "a", "B")],
            &["a … AB"],
            &[],
        ),
        (
            "an item that is announced twice by its id",
            vec![added(0, message("a", "")), added(0, message("a", "")), delta(0, "a", "A")],
            &["a … A"],
            &[],
        ),
        (
            "a call that is announced twice by its `call_id`",
            vec![added(0, call("f", "c")), added(0, call("g", "c")), arguments(0, "", "{")],
            &["g … {"],
            &[],
        ),
        (
            "a call that is announced again at another index",
            vec![added(0, call("f", "c")), added(1, call("f", "c")), arguments(1, "", "{")],
            &["f … {"],
            &[],
        ),
        (
            "two items at one index, one after the other",
            vec![added(0, message("a", "")), added(0, message("b", "")), delta(0, "", "B")],
            &["a … ", "b … B"],
            &[],
        ),
        (
            "another type at the index of text",
            vec![delta(0, "", "A"), added(0, call("f", "c"))],
            &[" … A", "f … "],
            &[],
        ),
        (
            "an item after a finished one at the same index",
            vec![done(0, message("a", "A")), added(0, message("b", "")), delta(0, "", "B")],
            &["a A", "b … B"],
            &[],
        ),
        (
            "a call that is announced after its end",
            vec![done(0, call("f", "c")), added(1, call("f", "c")), added(0, call("f", "c"))],
            &["f {}"],
            &[],
        ),
        (
            "a call that is announced after the end of its arguments",
            vec![
                added(0, call("f", "c")),
                arguments_done(0, "f", "[]"),
                added(0, call("late", "c")),
            ],
            &["f … []"],
            &[],
        ),
        (
            "a call after one whose arguments ended",
            vec![
                added(0, call("f", "c")),
                arguments_done(0, "f", "[]"),
                arguments(0, "g", "{"),
                added(0, call("g", "d")),
            ],
            &["f … []", "g … {"],
            &[],
        ),
    ]);
}

#[test]
fn an_event_grows_the_item_that_it_means() {
    use Anomaly::ItemId;
    check(vec![
        (
            "two items that alternate at one index",
            vec![
                added(0, message("a", "")),
                added(0, message("b", "")),
                delta(0, "a", "A"),
                delta(0, "b", "B"),
                done(0, message("a", "A")),
                done(0, message("b", "B")),
            ],
            &["a A", "b B"],
            &[],
        ),
        (
            "ids that rotate",
            vec![
                added(0, message("a", "")),
                delta(0, "b", "A"),
                of_item("content_part.done", 0, "c", json!({ "part": { "type": "output_text" } })),
                done(0, message("d", "A")),
            ],
            &["d A"],
            &[ItemId { output_index: 0 }],
        ),
        (
            "an id that changes between two deltas",
            vec![delta(0, "a", "A"), delta(0, "b", "B")],
            &[" … AB"],
            &[ItemId { output_index: 0 }],
        ),
        (
            "an empty id is missing",
            vec![
                event("output_text.delta", json!({ "item_id": "", "delta": "A" })),
                delta(0, "b", "B"),
            ],
            &[" … AB"],
            &[],
        ),
        (
            "the id of an item at another index",
            vec![added(0, message("a", "")), added(1, message("b", "")), delta(1, "a", "B")],
            &["a … ", "b … B"],
            &[ItemId { output_index: 1 }],
        ),
        (
            "the id of a finished item, while another is open",
            vec![done(0, message("a", "A")), added(0, message("b", "")), delta(0, "a", "B")],
            &["a A", "b … B"],
            &[ItemId { output_index: 0 }],
        ),
        (
            "text after the end of its item",
            vec![done(0, message("a", "A")), delta(0, "a", "B")],
            &["a AB"],
            &[],
        ),
        (
            "text after the end of an item without id",
            vec![done(0, message("", "A")), delta(0, "", "B")],
            &[" A", " … B"],
            &[],
        ),
        (
            "the frame of a part without its item",
            vec![of_item(
                "content_part.added",
                0,
                "a",
                json!({ "part": { "type": "output_text" } }),
            )],
            &[],
            &[],
        ),
    ]);
}

#[test]
fn a_finished_item_ends_the_item_that_it_means() {
    use Anomaly::{DuplicateItemId, ItemFinishedTwice, ItemType, OutputIndexShared};
    check(vec![
        (
            "an item from its start to its end",
            vec![added(0, message("a", "")), delta(0, "a", "A"), done(0, message("a", "A"))],
            &["a A"],
            &[],
        ),
        (
            "an item that ends twice",
            vec![done(0, message("a", "A")), done(0, message("a", "B"))],
            &["a B"],
            &[ItemFinishedTwice { output_index: 0 }],
        ),
        (
            "a call that ends at two places",
            vec![done(0, call("f", "c")), done(3, call("g", "c"))],
            &["f {}"],
            &[ItemFinishedTwice { output_index: 3 }],
        ),
        (
            "two messages with one id",
            vec![done(0, message("a", "A")), done(1, message("a", "B"))],
            &["a A", "a B"],
            &[DuplicateItemId { output_index: 1 }],
        ),
        (
            "two messages with one id, of which the first is open",
            vec![
                added(0, message("a", "")),
                added(1, message("a", "")),
                done(0, message("a", "A")),
            ],
            &["a A", "a … "],
            &[],
        ),
        (
            "an item that ends at another index",
            vec![added(0, message("a", "")), done(1, message("a", "A"))],
            &["a A"],
            &[],
        ),
        (
            "a call with the id of an open one",
            vec![added(0, call("f", "c")), done(1, call("f", "d"))],
            &["f {}", "f … "],
            &[],
        ),
        (
            "two items that end at one index",
            vec![done(0, message("a", "A")), done(0, message("b", "B"))],
            &["a A", "b B"],
            &[OutputIndexShared { output_index: 0 }],
        ),
        (
            "an item of another type than announced",
            vec![added(0, message("a", "")), done(0, json!({ "type": "reasoning", "id": "a" }))],
            &["a "],
            &[ItemType { output_index: 0 }],
        ),
        (
            "an item that was announced as two types ends the last one",
            vec![
                added(0, message("a", "")),
                added(0, json!({ "type": "reasoning", "id": "a" })),
                done(0, message("a", "A")),
            ],
            &["a A", "a … "],
            &[ItemType { output_index: 0 }],
        ),
        (
            "items in another order than their indices",
            vec![done(1, message("b", "B")), done(0, message("a", "A"))],
            &["a A", "b B"],
            &[],
        ),
    ]);
}

#[test]
fn an_item_takes_the_events_of_its_type() {
    let part = |kind| json!({ "part": { "type": kind, "text": "x" } });
    // Each event, and the type of the items that have it.
    let events = [
        ("output_text.delta", json!({ "delta": "x" }), "message"),
        ("output_text.done", json!({ "text": "x" }), "message"),
        ("output_text.annotation.added", json!({ "annotation": {} }), "message"),
        ("refusal.delta", json!({ "delta": "x" }), "message"),
        ("refusal.done", json!({ "refusal": "x" }), "message"),
        ("function_call_arguments.delta", json!({ "delta": "x" }), "function_call"),
        ("function_call_arguments.done", json!({ "arguments": "x" }), "function_call"),
        ("custom_tool_call_input.delta", json!({ "delta": "x" }), "custom_tool_call"),
        ("custom_tool_call_input.done", json!({ "input": "x" }), "custom_tool_call"),
        ("reasoning_text.delta", json!({ "delta": "x" }), "reasoning"),
        ("reasoning_summary_text.done", json!({ "text": "x" }), "reasoning"),
        ("content_part.done", part("output_text"), "message"),
        ("content_part.done", part("text"), "message"),
        ("content_part.done", part("reasoning_text"), "reasoning"),
        ("content_part.added", part("refusal"), "message"),
        ("content_part.added", part("summary_text"), "reasoning"),
        ("content_part.added", part("other"), ""),
        ("shell_call_output_content.delta", json!({ "delta": { "stdout": "x" } }), ""),
    ];
    for (kind, members, owner) in events {
        for announced in ["message", "function_call", "custom_tool_call", "reasoning"] {
            let item = added(0, json!({ "type": announced, "id": "a" }));
            let accumulator = accumulated(&[item, of_item(kind, 0, "other", members.clone())]);
            let is_taken = accumulator.anomalies() == [Anomaly::ItemId { output_index: 0 }];
            assert_eq!(is_taken, owner.is_empty() || owner == announced, "{kind} {announced}");
        }
    }
}

#[test]
fn a_second_response_starts_anew_and_another_id_is_noted() {
    let state = |id: &str| event("in_progress", json!({ "response": { "id": id } }));
    let nameless = || event("created", json!({ "response": {} }));
    let text = || delta(0, "", "A");
    use Anomaly::{ResponseId, ResponseRestarted};
    for (events, id, items, anomalies) in [
        (vec![created("r"), text()], Some("r"), 1, &[][..]),
        (vec![event("queued", json!({ "response": { "id": "r" } })), text()], Some("r"), 1, &[]),
        (vec![created("r"), text(), created("r")], Some("r"), 1, &[]),
        (vec![created("r"), text(), nameless()], Some("r"), 1, &[]),
        (vec![nameless(), text(), created("r")], Some("r"), 1, &[]),
        (vec![created("r"), text(), state("r")], Some("r"), 1, &[]),
        (vec![created("r"), text(), state("s")], Some("r"), 1, &[ResponseId]),
        (vec![created("r"), text(), created("s")], Some("s"), 0, &[ResponseRestarted]),
        (
            vec![state("r"), state("s"), created("t")],
            Some("t"),
            0,
            &[ResponseId, ResponseRestarted],
        ),
        (vec![text()], None, 1, &[]),
    ] {
        let accumulator = accumulated(&events);
        assert_eq!(accumulator.id(), id, "{events:?}");
        assert_eq!(accumulator.snapshot().unfinished_items().len(), items, "{events:?}");
        assert_eq!(accumulator.anomalies(), anomalies, "{events:?}");
    }
}

#[test]
fn a_response_is_empty_until_its_object_or_an_item_arrives() {
    assert!(Accumulator::default().is_empty());
    assert!(!accumulated(&[created("r")]).is_empty());
    assert!(!accumulated(&[delta(0, "", "A")]).is_empty());
    let bare = event("in_progress", json!({}));
    assert!(accumulated(std::slice::from_ref(&bare)).is_empty());
    let raw = accumulated(&[created("r"), bare]).snapshot().raw().cloned().unwrap();
    assert_eq!(raw.as_str(), r#"{"id":"r"}"#, "the last object stays");
}

#[test]
fn only_terminal_events_end_a_response() {
    for kind in ["completed", "incomplete", "failed", "cancelled"] {
        let output = json!([message("m", "M"), { "type": "message", "id": "n" }]);
        let last = event(kind, json!({ "response": { "id": "r", "output": output } }));
        let response = accumulated(&[created("r"), delta(0, "m", "M"), last]).snapshot();
        assert!(response.is_finished(), "{kind}");
        assert_eq!(items(&response), ["m M", "n "], "{kind}");
    }
    let response = accumulated(&[created("r"), event("cancelled", json!({}))]).snapshot();
    assert!(!response.is_finished(), "it has no output to settle");
    assert!(!accumulated(&[created("r"), done(0, message("m", "M"))]).snapshot().is_finished());
}

#[test]
fn a_call_that_cannot_be_answered_is_an_error() {
    let broken = json!({ "type": "function_call", "id": "f", "name": "f", "arguments": "{}" });
    assert!(Accumulator::default().push(&done(0, broken)).is_err());
    let nameless = json!({ "type": "function_call", "call_id": "c", "arguments": "{}" });
    let mut accumulator = accumulated(&[done(0, nameless)]);
    let last = event("completed", json!({ "response": { "id": "r" } }));
    assert!(push(&mut accumulator, &last).is_err(), "no event named it");
}

#[test]
fn irregularities_are_noted_once_and_up_to_a_limit() {
    let mut accumulator = Accumulator::default();
    for output_index in 0..40 {
        for _ in 0..2 {
            accumulator.note(Anomaly::ItemId { output_index });
        }
    }
    let noted: Vec<Anomaly> =
        (0..32).map(|output_index| Anomaly::ItemId { output_index }).collect();
    assert_eq!(accumulator.anomalies(), noted);
}

#[test]
fn a_stored_response_is_read_by_its_status() {
    // A call without status counts as finished only in a response that has its end.
    let text = |status: &str| {
        let call =
            json!({ "type": "function_call", "call_id": "c", "name": "f", "arguments": "{}" });
        json!({ "id": "r", "status": status, "output": [call], "output_text": "T" }).to_string()
    };
    for (status, is_ended, count) in [
        ("completed", true, 2),
        ("other", true, 2),
        ("incomplete", true, 1),
        ("failed", true, 1),
        ("cancelled", true, 1),
        ("queued", false, 1),
        ("in_progress", false, 1),
    ] {
        let response = Response::read(text(status).into_bytes()).unwrap();
        assert_eq!(response.id(), "r");
        assert_eq!(response.is_finished(), is_ended, "{status}");
        assert_eq!(response.output_items().len(), count, "{status}");
    }
    let incomplete = Response::read(text("incomplete").into_bytes()).unwrap();
    assert_eq!((incomplete.function_calls().len(), incomplete.output_text().as_str()), (0, "T"));
    for invalid in [&b"{\"id\":\"\xff\"}"[..], b"{", b"{}", b"{\"id\":7}"] {
        assert!(Response::read(invalid.to_vec()).is_err());
    }
}
