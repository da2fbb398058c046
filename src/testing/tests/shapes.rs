//! Effects of the modifiers of a turn on its events.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    checker::{Missing, check},
    generators::{self, events},
    kinds,
};
use crate::testing::{ErrorShape, NoOutput, Script, Step, Turn, items, script::value::encode};

fn turn() -> Turn {
    Turn::output([items::message("Hello there"), items::function_call("call_1", "f", "{\"a\":1}")])
}

fn seen(turn: &Turn) -> Vec<Value> {
    events(turn, json!({}))
}

#[test]
fn setup_can_be_missing() {
    let events = seen(&turn().without_setup());
    assert_eq!(
        kinds(&events),
        [
            "response.output_text.delta",
            "response.output_text.delta",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "response.output_item.done",
            "response.completed",
        ]
    );
    check(&events, Missing { setup: true, ..Missing::default() }).unwrap();
}

#[test]
fn a_paced_turn_is_sent_token_by_token() {
    let text = "Hello, hello! ".repeat(40);
    let events = seen(&Turn::text(&text).paced(Duration::ZERO));
    check(&events, Missing::default()).unwrap();
    let deltas = events.iter().filter(|it| it["type"] == "response.output_text.delta");
    let tokens: Vec<_> = deltas.map(|it| it["delta"].as_str().unwrap()).collect();
    assert_eq!((tokens.concat(), tokens.len()), (text, 140));
    let probable = Turn::output([items::message_of([items::probable_text(["Hello, ", "you"])])]);
    assert_eq!(seen(&probable.clone().paced(Duration::ZERO)), seen(&probable));
}

#[test]
fn a_script_can_be_slowed() {
    let second = Duration::from_secs(1);
    let paced = move || Turn::text("12345678").paced(second).delay(2 * second);
    let delays = |turn: &Turn| -> Vec<u64> {
        let steps = generators::steps(turn, json!({})).into_iter();
        let delays = steps.filter_map(|step| match step {
            Step::Delay(time) | Step::Drip { pause: time, .. } => Some(time.as_secs()),
            _ => None,
        });
        delays.collect()
    };
    assert_eq!(delays(&paced()), [2, 1, 1]);
    assert_eq!(delays(&paced().slowed_by(10)), [20, 10, 10]);
    assert_eq!(delays(&paced().slowed_by(0)), [0, 0, 0]);
    assert!(delays(&Turn::text("hi").dripped(second).slowed_by(3)).iter().all(|it| *it == 3));

    let script = Script::new().turn(paced()).respond(move |_| paced()).slowed_by(10);
    assert_eq!((script.turn_count(), delays(&script.turns[0])), (1, vec![20, 10, 10]));
    let respond = script.respond.unwrap();
    assert_eq!(delays(&respond(&generators::exchange(json!({})))), [20, 10, 10]);
}

#[test]
fn keepalives_take_numbers() {
    let events = seen(&turn().keepalives(4));
    let places: Vec<_> =
        events.iter().enumerate().filter(|(_, it)| it["type"] == "keepalive").collect();
    let places: Vec<_> = places.into_iter().map(|(place, _)| place).collect();
    assert_eq!(places, [4, 9, 14]);
    check(&events, Missing::default()).unwrap();
    let unnumbered = seen(&turn().without_sequence_numbers().keepalives(4));
    assert!(unnumbered.iter().all(|event| event.get("sequence_number").is_none()));
}

#[test]
fn the_terminal_event_can_lack_its_output() {
    for (form, output) in [
        (NoOutput::Null, Some(json!(null))),
        (NoOutput::Empty, Some(json!([]))),
        (NoOutput::Missing, None),
    ] {
        let last = seen(&turn().empty_terminal_output(form)).pop().unwrap();
        assert_eq!(last["type"], "response.completed");
        assert_eq!(last["response"].get("output"), output.as_ref());
    }
}

#[test]
fn a_response_can_end_twice_or_never_or_begin_twice() {
    let plain = seen(&turn());
    let [twice, never, begun, more] = [
        turn().double_terminal(),
        turn().without_terminal(),
        turn().duplicate_created(),
        turn().stray_after_terminal(json!({ "type": "stray" })),
    ]
    .map(|turn| seen(&turn));
    let (last, rest) = plain.split_last().unwrap();
    assert_eq!(twice, [&plain[..], std::slice::from_ref(last)].concat());
    assert_eq!(never, rest);
    assert_eq!(begun, [&plain[..1], &plain[..]].concat());
    assert_eq!(more, [&plain[..], &[json!({ "type": "stray" })]].concat());
}

#[test]
fn ids_and_indices_can_be_wrong() {
    let changing = seen(&turn().changing_response_id());
    let ids: Vec<_> =
        changing.iter().filter_map(|event| event["response"]["id"].as_str()).collect();
    assert_eq!(ids, ["resp_0", "resp_0_1", "resp_0_2"]);

    let mut ids: Vec<String> = seen(&turn().changing_item_ids())
        .iter()
        .filter_map(|event| event["item_id"].as_str().or(event["item"]["id"].as_str()))
        .map(str::to_owned)
        .collect();
    let all = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), all), (13, 13));

    let constant = seen(&turn().constant_output_index());
    assert!(constant.iter().all(|event| event.get("output_index").is_none_or(|it| *it == 0)));
}

#[test]
fn unknown_things_stand_among_the_known() {
    let events = seen(&turn().unknown_things());
    let kinds = kinds(&events);
    assert_eq!(kinds[1..3], ["response.unheard_of.delta", "unheard_of"]);
    let numbers: Vec<_> = events.iter().map(|event| event["sequence_number"].as_u64()).collect();
    assert_eq!(numbers, (0..events.len() as u64).map(Some).collect::<Vec<_>>());
    assert!(events.iter().all(|event| event["unheard_of"].is_object()));
    let [.., added, done, last] = &events[..] else { panic!() };
    assert_eq!((&added["output_index"], &done["output_index"]), (&json!(2), &json!(2)));
    let output = last["response"]["output"].as_array().unwrap();
    assert_eq!((output.len(), &output[2]), (3, &done["item"]));
    assert!(output.iter().all(|item| item["unheard_of"].is_object()));
    assert_eq!(output[2]["type"], "unheard_of_call");
}

#[test]
fn an_event_is_made_as_large_as_wished() {
    for bytes in [5000, 100_000] {
        let events = seen(&turn().large_event(bytes));
        let sizes: Vec<_> = events.iter().map(|event| encode(event).len()).collect();
        assert_eq!(sizes.iter().filter(|size| **size == bytes).count(), 1, "{sizes:?}");
        check(&events, Missing::default()).unwrap();
    }
    let small = seen(&Turn::events([json!({ "type": "x" })]).large_event(100));
    assert_eq!(encode(&small[0]).len(), 100);
}

#[test]
fn what_comes_in_pieces_still_does_when_it_is_changed() {
    let pause = Duration::from_secs(1);
    let drip = |text: &str| Step::Drip { text: text.to_owned(), pieces: 4, pause };
    let turn = Turn::steps([drip(r#"{"type":"x","sequence_number":7}"#)]).keepalives(1);
    let shown = format!("{:?}", super::generators::steps(&turn, json!({})));
    let expected = [
        drip(r#"{"type":"x","sequence_number":0}"#),
        drip(r#"{"type":"keepalive","sequence_number":1}"#),
    ];
    assert_eq!(shown, format!("{expected:?}"));
}

#[test]
fn errors_come_in_all_shapes() {
    let of = |shape| {
        let turn = Turn::error_shape(shape, 429, "slow_down", "Wait");
        seen(&turn.retry_after(Duration::from_secs(2)).header("x-request-id", "req_1"))
    };
    let error = json!({
        "type": "rate_limit_error",
        "code": "slow_down",
        "message": "Wait",
        "param": null,
    });
    let headers = json!({ "retry-after": 2, "x-request-id": "req_1" });
    let mut with_headers = error.clone();
    with_headers["headers"] = headers.clone();
    let failed = |members: Value| {
        let mut response = json!({ "id": "resp_0", "status": "failed" });
        response.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        json!({ "type": "response.failed", "sequence_number": 1, "response": response })
    };
    let mut shapes = Vec::new();
    for (shape, expected) in [
        (
            ErrorShape::Flat,
            vec![json!({
                "type": "error",
                "code": "slow_down",
                "message": "Wait",
                "param": null,
                "sequence_number": 0,
            })],
        ),
        (ErrorShape::Nested, vec![json!({ "type": "error", "status": 429, "error": error })]),
        (
            ErrorShape::StatusCode,
            vec![json!({ "type": "error", "status_code": 429, "error": error })],
        ),
        (ErrorShape::WithoutStatus, vec![json!({ "type": "error", "error": error })]),
        (
            ErrorShape::HeadersOutside,
            vec![json!({ "type": "error", "status": 429, "error": error, "headers": headers })],
        ),
        (
            ErrorShape::HeadersInside,
            vec![json!({ "type": "error", "status": 429, "error": with_headers })],
        ),
        (
            ErrorShape::Detail,
            vec![json!({ "type": "error", "status": 429, "error": { "detail": "Wait" } })],
        ),
        (
            ErrorShape::ThenFailed,
            vec![
                json!({ "type": "error", "error": error }),
                failed(json!({ "error": error, "output": [] })),
            ],
        ),
        (ErrorShape::Untyped, vec![json!({ "error": error })]),
        (ErrorShape::ErrorText, vec![json!({ "error": "Wait" })]),
        (ErrorShape::DetailText, vec![json!({ "detail": "Wait" })]),
        (ErrorShape::MessageText, vec![json!({ "message": "Wait" })]),
        (
            ErrorShape::ResponseError,
            vec![json!({ "type": "response.error", "status": 429, "error": error })],
        ),
        (ErrorShape::FailedNull, vec![failed(json!({ "error": null, "output": [] }))]),
        (
            ErrorShape::FailedNullCode,
            vec![failed(json!({ "error": { "code": null, "message": "Wait" }, "output": [] }))],
        ),
        (
            ErrorShape::FailedWithoutOutput,
            vec![failed(json!({ "error": { "code": "slow_down", "message": "Wait" } }))],
        ),
    ] {
        assert_eq!(of(shape), expected, "{shape:?}");
        shapes.push(shape);
    }
    assert_eq!(shapes, ErrorShape::ALL);
}
