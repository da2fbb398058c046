//! Each form against its twin in Rust.

use std::time::Duration;

use serde_json::json;

use super::ScriptError;
use crate::{
    Transport,
    testing::{
        ErrorShape, Exchange, Injecting, Interrupting, Lanes, NoOutput, Profile, Refusal, Reuse,
        Script, Steering, Step, Turn, Upgrade, Withheld, items, surrogate_half,
    },
};

#[track_caller]
fn assert_same(file: &str, script: Script) {
    let parsed = Script::from_json(file).unwrap();
    assert_eq!(format!("{parsed:#?}"), format!("{script:#?}"));
}

#[track_caller]
fn assert_same_turn(turn: &str, twin: Turn) {
    let file = format!(r#"{{ "turns": [{turn}] }}"#);
    // A script shows the name of each modification of a turn only.
    let answer = |script: &Script| format!("{:#?}", script.turns[0].answer(&exchange()));
    let twin = Script::new().turn(twin);
    assert_eq!(answer(&Script::from_json(&file).unwrap()), answer(&twin), "{turn}");
    assert_same(&file, twin);
}

fn exchange() -> Exchange {
    Exchange {
        index: 0,
        transport: Transport::Sse,
        connection: 0,
        lane: None,
        body: json!({ "model": "m", "input": "hi" }),
        history: Vec::new(),
        response_id: "resp_0".to_owned(),
        headers: Vec::new(),
        known_bytes: 0,
        brought_bytes: 0,
    }
}

#[test]
fn turns() {
    let call = json!({ "type": "function_call", "call_id": "c", "name": "ls", "arguments": "{}" });
    let items = || [call.clone()];
    assert_same_turn(r#"{"text":"Hello"}"#, Turn::text("Hello"));
    assert_same_turn(&format!(r#"{{"output":[{call}]}}"#), Turn::output(items()));
    assert_same_turn(
        &format!(r#"{{"output":[{call}],"incomplete":"content_filter"}}"#),
        Turn::incomplete(items(), "content_filter"),
    );
    assert_same_turn(
        &format!(r#"{{"output":[{call}],"failed":{{"code":"server_error","message":"no"}}}}"#),
        Turn::failed(items(), "server_error", "no"),
    );
    assert_same_turn(r#"{"events":[{"type":"ping"}]}"#, Turn::events([json!({"type":"ping"})]));
    assert_same_turn(r#"{"lines":["{\"type\": 1}"]}"#, Turn::jsonl("{\"type\": 1}\n"));
    assert_same_turn(
        r#"{"error":{"status":429,"code":"slow_down","message":"Wait","retry_after":1.5,
            "headers":{"x-a":["1","2"]}}}"#,
        Turn::error(429, "slow_down", "Wait")
            .header("retry-after", "1.5")
            .header("x-a", "1")
            .header("x-a", "2"),
    );
    assert_same_turn(
        r#"{"text":"a","http":{"status":502,"headers":{"server":"x"},"body":"<html>",
            "stall_body":true,"delay_ms":7}}"#,
        Turn::text("a").http(
            Refusal::status(502)
                .header("server", "x")
                .body("<html>")
                .delay(Duration::from_millis(7))
                .stall_body(),
        ),
    );
    assert_same_turn(
        r#"{"text":"a","http":{"status":400,"body":{"detail":"no"}}}"#,
        Turn::text("a").http(
            Refusal::status(400)
                .header("content-type", "application/json")
                .body(r#"{"detail":"no"}"#),
        ),
    );
    assert_same_turn(r#"{"text":"a","http":"silence"}"#, Turn::text("a").http(Refusal::silence()));
    assert_same_turn(
        r#"{"text":"a","http":{"status":200,"body":".","endless_body":true}}"#,
        Turn::text("a").http(Refusal::status(200).body(".").endless_body()),
    );
    assert_same_turn(
        r#"{"text":"a","content_type":"text/plain","content_encoding":"gzip","untyped":true}"#,
        Turn::text("a").labelled(Some("text/plain")).encoded("gzip").untyped(),
    );
    assert_same_turn(
        r#"{"text":"a","content_type":null,"unstreamed":true}"#,
        Turn::text("a").labelled(None).unstreamed(),
    );
    let half = surrogate_half(0xd83d);
    assert_same_turn(r#"{"text":"cut \ud83d"}"#, Turn::text(format!("cut {half}")));
}

#[test]
fn shapes_of_errors() {
    for shape in ErrorShape::ALL {
        let name: String = format!("{shape:?}")
            .char_indices()
            .map(|(place, letter)| match letter {
                'A'..='Z' if place > 0 => format!("_{}", letter.to_ascii_lowercase()),
                _ => letter.to_ascii_lowercase().to_string(),
            })
            .collect();
        assert_same_turn(
            &format!(
                r#"{{"error":{{"status":429,"code":"c","message":"m","shape":"{name}",
                    "retry_after_ms":1500}}}}"#
            ),
            Turn::error_shape(shape, 429, "c", "m").retry_after(Duration::from_millis(1500)),
        );
    }
}

#[test]
fn answers_to_messages() {
    let code = || "successor_creation_failed".to_owned();
    for (form, steering) in [
        (r#""accept""#, Steering::Accept),
        (r#""successor_first""#, Steering::SuccessorFirst),
        (r#""successor_last""#, Steering::SuccessorLast),
        (r#""pending_late""#, Steering::PendingLate),
        (r#"{"refuse":"successor_creation_failed"}"#, Steering::Refuse(code())),
        (r#"{"fail_later":"successor_creation_failed"}"#, Steering::FailLater(code())),
        (r#""ignore""#, Steering::Ignore),
    ] {
        let file = format!(r#"{{"text":"a","steering":{form}}}"#);
        assert_same_turn(&file, Turn::text("a").steering(steering));
    }
    for (form, injecting) in [
        (r#""accept""#, Injecting::Accept),
        (r#"{"refuse":"successor_creation_failed"}"#, Injecting::Refuse(code())),
        (r#""ignore""#, Injecting::Ignore),
    ] {
        let file = format!(r#"{{"text":"a","injecting":{form}}}"#);
        assert_same_turn(&file, Turn::text("a").injecting(injecting));
    }
    for (form, interrupting) in [
        ("accept", Interrupting::Accept),
        ("after_item", Interrupting::AfterItem),
        ("refuse", Interrupting::Refuse),
        ("ignore", Interrupting::Ignore),
    ] {
        let file = format!(r#"{{"text":"a","interrupting":"{form}"}}"#);
        assert_same_turn(&file, Turn::text("a").interrupting(interrupting));
    }
}

#[test]
fn treatments_of_lanes() {
    for (form, lanes) in [
        ("serve", Lanes::Serve),
        ("refuse", Lanes::Refuse),
        ("ignore", Lanes::Ignore),
        ("strip", Lanes::Strip),
    ] {
        assert_same(&format!(r#"{{"lanes":"{form}"}}"#), Script::new().lanes(lanes));
    }
}

#[test]
fn edits() {
    type Twin = (&'static str, fn(Turn) -> Turn);
    let twins: [Twin; _] = [
        (r#"{"first":"stall"}"#, |turn| turn.first(Step::Stall)),
        (r#"{"then":"end"}"#, |turn| turn.then(Step::End)),
        (r#"{"insert":[2,"stall"]}"#, |turn| turn.insert(2, Step::Stall)),
        (r#"{"cut_after":[3,"reset"]}"#, |turn| turn.cut_after(3, Step::Reset)),
        (r#"{"cut_inside":[3,20,"reset"]}"#, |turn| turn.cut_inside(3, 20, Step::Reset)),
        (r#"{"insert":[1,{"stray":{"type":"x"}}]}"#, |turn| {
            turn.insert(1, Step::Stray(json!({ "type": "x" })))
        }),
        (r#"{"first":{"flood":{"text":"{}","times":9}}}"#, |turn| {
            turn.first(Step::Flood { text: "{}".to_owned(), times: 9 })
        }),
        (r#"{"output_indices_from":1}"#, |turn| turn.output_indices_from(1)),
        (r#""split_item_ids""#, Turn::split_item_ids),
        (r#""split_call_ids""#, Turn::split_call_ids),
        (r#""empty_item_ids""#, Turn::empty_item_ids),
        (r#""without_item_ids""#, Turn::without_item_ids),
        (r#"{"withholding":"encrypted_content"}"#, |turn| {
            turn.withholding(Withheld::EncryptedContent)
        }),
        (r#"{"withholding":"content"}"#, |turn| turn.withholding(Withheld::Content)),
        (r#"{"withholding":"rest"}"#, |turn| turn.withholding(Withheld::Rest)),
        (r#"{"withholding":"name"}"#, |turn| turn.withholding(Withheld::Name)),
        (r#"{"withholding":"deltas"}"#, |turn| turn.withholding(Withheld::Deltas)),
        (r#"{"withholding":"item_done"}"#, |turn| turn.withholding(Withheld::ItemDone)),
        (r#"{"withholding":"done"}"#, |turn| turn.withholding(Withheld::Done)),
        (r#""split_surrogates""#, Turn::split_surrogates),
        (r#""created_twice""#, Turn::created_twice),
        (r#""unstored""#, Turn::unstored),
        (r#"{"empty_terminal_output":"partial"}"#, |turn| {
            turn.empty_terminal_output(NoOutput::Partial)
        }),
        (r#""interleaved""#, Turn::interleaved),
        (r#""without_setup""#, Turn::without_setup),
        (r#""without_sequence_numbers""#, Turn::without_sequence_numbers),
        (r#""without_stream_id""#, Turn::without_stream_id),
        (r#"{"tail":3000}"#, |turn| turn.tail(3000)),
        (r#"{"keepalives":2}"#, |turn| turn.keepalives(2)),
        (r#"{"empty_terminal_output":"null"}"#, |it| it.empty_terminal_output(NoOutput::Null)),
        (r#"{"empty_terminal_output":"empty"}"#, |it| it.empty_terminal_output(NoOutput::Empty)),
        (r#"{"empty_terminal_output":"missing"}"#, |it| {
            it.empty_terminal_output(NoOutput::Missing)
        }),
        (r#"{"dripped_ms":7}"#, |turn| turn.dripped(Duration::from_millis(7))),
        (r#"{"large_event":900}"#, |turn| turn.large_event(900)),
        (r#""double_terminal""#, Turn::double_terminal),
        (r#""without_terminal""#, Turn::without_terminal),
        (r#"{"stray_after_terminal":{"type":"x"}}"#, |turn| {
            turn.stray_after_terminal(json!({ "type": "x" }))
        }),
        (r#""duplicate_created""#, Turn::duplicate_created),
        (r#""changing_response_id""#, Turn::changing_response_id),
        (r#""changing_item_ids""#, Turn::changing_item_ids),
        (r#""constant_output_index""#, Turn::constant_output_index),
        (r#""unknown_things""#, Turn::unknown_things),
    ];
    let items = [
        items::reasoning("Why", "gAAAA"),
        items::message("One \u{1f642} or two."),
        items::function_call("call_1", "f", "{}"),
    ];
    let output = json!(items);
    for (form, twin) in twins {
        let turn = Turn::output(items.clone());
        let plain = format!("{:?}", turn.answer(&exchange()));
        let edited = twin(turn);
        assert_ne!(format!("{:?}", edited.answer(&exchange())), plain, "{form} changes something");
        assert_same_turn(&format!(r#"{{"output":{output},"edits":[{form}]}}"#), edited);
    }
}

#[test]
fn steps() {
    let twins = [
        (r#"{"event":{"type":"ping"}}"#, Step::Event(json!({ "type": "ping" }))),
        (r#"{"text":"x"}"#, Step::Text("x".to_owned())),
        (
            r#"{"fragmented":{"text":"xyz","pieces":2}}"#,
            Step::Fragmented { text: "xyz".to_owned(), pieces: 2 },
        ),
        (
            r#"{"split":{"text":"xyz","at":[1,2]}}"#,
            Step::Split { text: "xyz".to_owned(), at: vec![1, 2] },
        ),
        (
            r#"{"drip":{"text":"xyz","pieces":3,"pause_ms":9}}"#,
            Step::Drip { text: "xyz".to_owned(), pieces: 3, pause: Duration::from_millis(9) },
        ),
        (
            r#"{"partial":{"text":"xyz","bytes":2}}"#,
            Step::Partial { text: "xyz".to_owned(), bytes: 2 },
        ),
        (r#"{"raw":"data: {"}"#, Step::Raw("data: {".into())),
        (r#"{"raw_base64":"/w=="}"#, Step::Raw(vec![0xff].into())),
        (r#"{"comment":"ok"}"#, Step::Comment("ok".to_owned())),
        (r#"{"binary":"AAE="}"#, Step::Binary(vec![0, 1].into())),
        (r#"{"ping":"p"}"#, Step::Ping("p".into())),
        (r#"{"pong":"p"}"#, Step::Pong("p".into())),
        (r#"{"delay_ms":5}"#, Step::Delay(Duration::from_millis(5))),
        (
            r#"{"close":{"code":1011,"reason":"no"}}"#,
            Step::Close { code: Some(1011), reason: "no".to_owned() },
        ),
        (r#"{"close":{}}"#, Step::Close { code: None, reason: String::new() }),
        (r#""end""#, Step::End),
        (r#""reset""#, Step::Reset),
        (r#""stall""#, Step::Stall),
        (r#""freeze""#, Step::Freeze),
        (r#""await_steer""#, Step::AwaitSteer),
        (r#""await_inject""#, Step::AwaitInject),
        (r#""await_interrupt""#, Step::AwaitInterrupt),
        (r#""expire""#, Step::Expire),
    ];
    for (form, twin) in twins {
        assert_same_turn(&format!(r#"{{"steps":[{form}]}}"#), Turn::steps([twin]));
    }
}

#[test]
fn what_stands_around_the_turns() {
    let refusal = Refusal::status(503).header("retry-after", "1");
    assert_same(
        r#"{"upgrades":["accept",{"delay_ms":9},{"refuse":{"status":503,
            "headers":{"retry-after":"1"}}},"hang","reset","wrong_accept",
            {"header":{"name":"x-b","value":"1"}},{"close_after":1011},
            {"close_on_create":4000}],"reuses":["reset","serve"],"every_reuse":"end",
            "every_upgrade":"hang","headers":{"x-a":"1"},"without_bodies":true,"ignore_generate":true,"strict":true,
            "alpn":["h2","http/1.1"],"then":"agent",
            "profile":"vercel","max_age_ms":1500,"frame_limit":4096,
            "lanes":"strip","lane_order":["x","","y"]}"#,
        Script::agent()
            .upgrade(Upgrade::Accept)
            .upgrade(Upgrade::Delay(Duration::from_millis(9)))
            .upgrade(Upgrade::Refuse(refusal))
            .upgrade(Upgrade::Hang)
            .upgrade(Upgrade::Reset)
            .upgrade(Upgrade::WrongAccept)
            .upgrade(Upgrade::Header { name: "x-b".to_owned(), value: "1".to_owned() })
            .upgrade(Upgrade::CloseAfter { code: 1011 })
            .upgrade(Upgrade::CloseOnCreate { code: 4000 })
            .reuse(Reuse::Reset)
            .reuse(Reuse::Serve)
            .every_reuse(Reuse::End)
            .every_upgrade(Upgrade::Hang)
            .header("x-a", "1")
            .without_bodies()
            .ignore_generate()
            .strict()
            .alpn(["h2", "http/1.1"])
            .profile(Profile::Vercel)
            .max_age(Duration::from_millis(1500))
            .frame_limit(4096)
            .lanes(Lanes::Strip)
            .lane_order(["x", "", "y"]),
    );
    assert_same("{}", Script::new());
    assert_eq!(Script::from_json(r#"{"headers":{"x-a":"1"}}"#).unwrap().headers[0].1, "1");
}

#[test]
fn errors_name_their_place() {
    let place = |file: &str| {
        let ScriptError { line, column, turn, message } = Script::parse(file).unwrap_err();
        (line, column, turn, message)
    };
    let (line, column, turn, message) =
        place("{\n  \"turns\": [\n    { \"text\": \"a\" },\n    { \"txet\": \"b\" }\n  ]\n}");
    assert_eq!((line, column, turn), (4, 12, Some(2)));
    assert!(message.starts_with("unknown field `txet`, expected one of `text`"), "{message}");
    assert!(!message.contains("line 1"), "{message}");

    // The turn begins in the second line, and is wrong in its own second one.
    let (line, column, turn, _) = place("{\n\"turns\": [{ \"steps\":\n [\"rest\"] }]}");
    assert_eq!((line, column, turn), (3, 8, Some(1)));
    assert_eq!(place("{\"turns\": [\n\n{}]}"), (3, 1, Some(1), super::file::ONE_KIND.to_owned()));
    assert_eq!(place(r#"{"turns":[{"text":"a","lines":[]}]}"#).2, Some(1));
    assert_eq!(place(r#"{"then":{"text":1}}"#).2, None);
    for (file, word) in [
        ("", "EOF"),
        ("[1]", "invalid"),
        (r#"{"turn":[]}"#, "unknown field `turn`"),
        (r#"{"turns":[{"incomplete":"x","lines":[]}]}"#, "need `text` or `output`"),
        (r#"{"turns":[{"error":{"status":99}}]}"#, "99 is no status"),
        (r#"{"turns":[{"steps":[{"binary":"?"}]}]}"#, "not base64"),
        (r#"{"turns":[{"steps":[{"close":{"cod":1}}]}]}"#, "unknown field `cod`"),
        (r#"{"turns":[{"text":"a","edits":[{"cut_after":[1]}]}]}"#, "length 1"),
        (r#"{"turns":[{"text":"a","edits":["upside_down"]}]}"#, "unknown variant `upside_down`"),
        (r#"{"turns":[{"error":{"status":429,"code":"c","shape":"x"}}]}"#, "unknown variant `x`"),
        (r#"{"turns":[{"text":"a","http":"noise"}]}"#, "expected `\"silence\"`"),
        (r#"{"headers":{"a b":"1"}}"#, "no name of a header"),
        (r#"{"headers":{"a":"\n"}}"#, "cannot have"),
        (r#"{"upgrades":["acept"]}"#, "unknown variant `acept`"),
        (r#"{"profile":"open ai"}"#, "no profile"),
        (r#"{"lanes":"refused"}"#, "unknown variant `refused`"),
        (r#"{"turns":[{"text":"a","steering":"refuse"}]}"#, "invalid type"),
        (r#"{"then":"agnet"}"#, "invalid type"),
    ] {
        let error = Script::parse(file).unwrap_err();
        assert!(error.message().contains(word), "{file}: {error}");
        assert!(error.line() == 1 && error.column() >= 1, "{file}: {error}");
    }
    let error = Script::from_json(r#"{"turns":[{"text":1}]}"#).unwrap_err();
    assert!(error.to_string().starts_with("line 1, column 19 (turn 1): invalid type"), "{error}");
}

#[test]
fn recordings() {
    let recording = r#"
{"turn":1,"at_ms":5,"transport":"sse","event":{"type":"response.created",  "n":1}}
{"turn":1,"at_ms":9,"transport":"sse","event":{"type":"response.completed"},"more":1}
{"turn":2,"at_ms":0,"transport":"sse","error":{"kind":"invalid_request","delivery":"not_sent"}}
{"turn":3,"at_ms":7,"transport":"sse","error":{"kind":"api","delivery":"refused","status":429,"code":"slow_down","message":"Wait","retry_after_ms":1000}}
{"turn":4,"at_ms":0,"transport":"websocket","event":{"type":"response.created"}}
{"turn":4,"at_ms":0,"transport":"websocket","error":{"kind":"api","status":503,"code":null,"message":"no"}}
{"turn":5,"at_ms":0,"transport":"websocket","error":{"kind":"timeout"}}
{"turn":6,"at_ms":0,"transport":"websocket","error":{"kind":"closed"}}
{"turn":7,"at_ms":0,"transport":"websocket","error":{"kind":"api","status":null,"code":"x","message":"y"}}
{"turn":9,"at_ms":0,"transport":"websocket","event":{"type":"response.created"}}
"#;
    let created = || Step::Text(r#"{"type":"response.created"}"#.to_owned());
    let error = |status: Option<u16>, code: Option<&str>, message: &str| {
        let error = json!({ "code": code, "message": message, "headers": {} });
        Step::Event(json!({ "type": "error", "status": status, "error": error }))
    };
    let twin = Script::new()
        .turn(Turn::steps([
            Step::Delay(Duration::from_millis(5)),
            Step::Text(r#"{"type":"response.created",  "n":1}"#.to_owned()),
            Step::Delay(Duration::from_millis(4)),
            Step::Text(r#"{"type":"response.completed"}"#.to_owned()),
        ]))
        .turn(
            Turn::error(429, "slow_down", "Wait")
                .header("retry-after-ms", "1000")
                .delay(Duration::from_millis(7)),
        )
        .turn(Turn::steps([created(), error(Some(503), None, "no")]))
        .turn(Turn::steps([Step::Stall]))
        .turn(Turn::steps([Step::Reset]))
        .turn(Turn::steps([error(None, Some("x"), "y")]))
        .turn(Turn::steps([created()]).then(Step::Reset));
    let parsed = Script::parse(recording).unwrap();
    assert_eq!(format!("{parsed:#?}"), format!("{twin:#?}"));
}

#[test]
fn errors_of_recordings_name_their_place() {
    let event = |turn: usize, at: usize| {
        format!(r#"{{"turn":{turn},"at_ms":{at},"transport":"sse","event":{{}}}}"#)
    };
    let error = r#"{"turn":1,"at_ms":9,"transport":"sse","error":{"kind":"closed"}}"#;
    for (lines, line, turn) in [
        ([event(1, 5), event(1, 4)], 2, Some(1)),
        ([event(2, 5), event(1, 4)], 2, Some(1)),
        ([error.to_owned(), event(1, 9)], 2, Some(1)),
        ([event(1, 5), r#"{"turn":1,"at_ms":9}"#.to_owned()], 2, Some(1)),
        ([event(1, 5), "{".to_owned()], 2, None),
    ] {
        let error = Script::parse(&lines.join("\n")).unwrap_err();
        assert_eq!((error.line(), error.turn()), (line, turn), "{error}");
    }
    assert!(Script::from_recording("").unwrap().turns.is_empty());
}

#[test]
fn the_page_about_testing_has_valid_files() {
    let page = include_str!("../../../../docs/testing.md");
    let files = page.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let scripts: Vec<_> = files.map(|file| Script::from_json(file).unwrap()).collect();
    assert_eq!(scripts.len(), 2);
}
