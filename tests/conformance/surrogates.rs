//! Halves of surrogate pairs, which gateways make that cut text by UTF-16 units: shown as U+FFFD,
//! joined where they meet, and kept as received wherever they go.

use responses_client::{
    ErrorKind, Item, Json, ResponsesRequest, ResponsesSession, Transport,
    event::{OutputItem, ResponseEvent},
    report::FullSendReason,
    testing::{Refusal, Script, ScriptedServer, Step, Turn},
};
use serde_json::Value;

use crate::support::{BOTH, Outcome, appended, builder, full, incremental, only, request, turn};

const CREATED: &str =
    r#"{"type":"response.created","response":{"id":"resp_1","status":"in_progress"}}"#;
const ANSWER: &str = r#"{"id":"msg_1","type":"message","status":"completed","role":"assistant","content":[{"type":"output_text","text":"ok \uD83d","annotations":[]}]}"#;

fn item_done(index: usize, item: &str) -> String {
    format!(r#"{{"type":"response.output_item.done","output_index":{index},"item":{item}}}"#)
}

fn completed(output: &str) -> String {
    format!(
        r#"{{"type":"response.completed","response":{{"id":"resp_1","status":"completed","output":[{output}]}}}}"#
    )
}

fn delta(text: &str) -> String {
    format!(
        r#"{{"type":"response.output_text.delta","item_id":"msg_1","output_index":0,"delta":"{text}"}}"#
    )
}

fn lines<S: Into<String>>(lines: impl IntoIterator<Item = S>) -> Turn {
    Turn::steps(lines.into_iter().map(|line| Step::Text(line.into())))
}

/// A turn that answers with this item, with everything that servers send of it.
fn answer(item: &str) -> Turn {
    lines([CREATED.to_owned(), item_done(0, item), completed(item)])
}

fn session(server: &ScriptedServer, transport: Transport) -> ResponsesSession {
    let client = builder(server).transport(only(transport)).continue_over_sse(true);
    client.build().unwrap().session()
}

/// What comes of the first request to a server with this turn.
async fn ran(transport: Transport, first: Turn) -> Outcome {
    let server = ScriptedServer::in_memory(Script::new().turn(first));
    turn(&mut session(&server, transport), &request(&["hi"])).await
}

fn deltas(outcome: &Outcome) -> Vec<&str> {
    outcome.events.iter().filter_map(ResponseEvent::text_delta).collect()
}

#[tokio::test(start_paused = true)]
async fn c121_a_character_over_two_deltas_is_shown_whole_and_raw_stays() {
    for transport in BOTH {
        let all = [
            CREATED.to_owned(),
            delta(r"ok \ud83d"),
            r#"{"type":"keepalive"}"#.to_owned(),
            delta(r"\uDE00"),
            delta("!"),
            item_done(0, &ANSWER.replace(r"\uD83d", r"\ud83d\ude00!")),
            completed(""),
        ];
        let outcome = ran(transport, lines(all.clone())).await;
        assert_eq!(deltas(&outcome), ["ok ", "😀", "!"], "{transport}");
        assert_eq!(outcome.response().output_text(), "ok 😀!");
        let raw: Vec<&str> = outcome.events.iter().map(ResponseEvent::raw).collect();
        assert_eq!(raw, all, "{transport}");
    }
}

#[tokio::test(start_paused = true)]
async fn c121_a_half_alone_is_shown_as_a_replacement_however_the_turn_goes_on() {
    for transport in BOTH {
        let item = ANSWER.replace(r"ok \uD83d", "x");
        let after = [
            vec![item_done(0, &item), completed(&item)],
            vec![completed(&item)],
            vec![delta("x"), completed(&item)],
        ];
        for after in after {
            let before = [CREATED.to_owned(), delta(r"\ud83d")];
            let outcome = ran(transport, lines(before.into_iter().chain(after))).await;
            assert_eq!(deltas(&outcome)[0], "\u{fffd}", "{transport}");
            assert_eq!(outcome.response().output_text(), "x", "{transport}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c121_an_end_without_a_terminal_loses_no_held_delta() {
    for transport in BOTH {
        let cut = lines([CREATED.to_owned(), delta(r"ok \ud83d")]).then(Step::Reset);
        let outcome = ran(transport, cut).await;
        assert_eq!(deltas(&outcome), ["ok \u{fffd}"], "{transport}");
        let error = outcome.error();
        assert_eq!(error.kind(), ErrorKind::Truncated, "{transport}");
        assert_eq!(error.response().unwrap().output_text(), "ok \u{fffd}");
    }
}

#[tokio::test(start_paused = true)]
async fn c121_a_silent_server_loses_no_held_delta() {
    for transport in BOTH {
        let silent = lines([CREATED.to_owned(), delta(r"ok \ud83d")]).then(Step::Stall);
        let server = ScriptedServer::in_memory(Script::new().turn(silent));
        let mut timeouts = responses_client::Timeouts::default();
        timeouts.turn = Some(std::time::Duration::from_secs(5));
        let client = builder(&server).transport(only(transport)).timeouts(timeouts);
        let outcome = turn(&mut client.build().unwrap().session(), &request(&["hi"])).await;
        assert_eq!(deltas(&outcome), ["ok \u{fffd}"], "{transport}");
        assert_eq!(outcome.error().kind(), ErrorKind::Timeout, "{transport}");
    }
}

#[tokio::test(start_paused = true)]
async fn c121_an_item_with_a_half_goes_back_as_received_and_still_matches() {
    for transport in BOTH {
        let script = Script::new().turn(answer(ANSWER)).turn(Turn::text("b")).turn(Turn::text("c"));
        let server = ScriptedServer::in_memory(script);
        let mut session = session(&server, transport);
        let mut first = request(&["one"]).store(true);
        first.input.push(Item::user("\u{fffd}"));
        let outcome = turn(&mut session, &first).await;
        assert_eq!(outcome.response().output_text(), "ok \u{fffd}", "{transport}");
        let items: Vec<Item> = outcome.response().output_items().collect();
        assert_eq!(items[0].json().as_str(), ANSWER, "{transport}");

        let next = appended(&first, &outcome, "two");
        let second = turn(&mut session, &next).await;
        assert_eq!(second.report.plan, incremental(1), "{transport}");
        // A change before the item sends everything.
        let mut edited = appended(&next, &second, "three");
        edited.input.splice(0..1, [Item::user("another")]);
        let third = turn(&mut session, &edited).await;
        assert_eq!(third.report.plan, full(FullSendReason::prefix_diverged(0)), "{transport}");
        assert!(server.log().requests[2].raw.contains(ANSWER), "{transport}");
    }
}

#[tokio::test(start_paused = true)]
async fn c121_items_are_the_same_by_their_escapes() {
    for transport in BOTH {
        for (escape, is_same) in [
            (r"\ud83D", true),
            (r"\ud83e", false),
            (r"\ude00", false),
            (r"\ufffd", false),
            (r"\ud83d\ude00", false),
        ] {
            // As it came, and in other words: without what only the server adds.
            let as_it_came = ANSWER.replace(r"\uD83d", escape);
            for given in [as_it_came.clone(), as_it_came.replace(r#","annotations":[]"#, "")] {
                let script = Script::new().turn(answer(ANSWER)).turn(Turn::text("b"));
                let server = ScriptedServer::in_memory(script);
                let mut session = session(&server, transport);
                let mut request = request(&["one"]).store(true);
                turn(&mut session, &request).await.response();
                request.input.push(Item::from_json(given.clone()).unwrap());
                request.input.push(Item::user("two"));
                let plan = turn(&mut session, &request).await.report.plan;
                let diverged = full(FullSendReason::prefix_diverged(1));
                let expected = if is_same { incremental(1) } else { diverged };
                assert_eq!(plan, expected, "{transport} {given}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c121_a_callers_own_line_is_sent_as_given_and_continued() {
    let line = r#"{"model":"gpt-test","store":true,"instructions":"\ud83d","tools":[{"type":"function","name":"f","parameters":{"\ude00":"\uD83d"}}],"input":[{"role":"user","content":"\ud83d"}]}"#;
    for transport in BOTH {
        let script = Script::new().turn(Turn::text("a")).turn(Turn::text("b"));
        let server = ScriptedServer::in_memory(script);
        let mut session = session(&server, transport);
        let request = ResponsesRequest::from_json(line).unwrap();
        let first = turn(&mut session, &request).await;
        let sent = server.log().requests[0].raw.clone();
        for part in [
            r#""instructions":"\ud83d""#,
            r#"{"\ude00":"\uD83d"}"#,
            r#"{"role":"user","content":"\ud83d"}"#,
        ] {
            assert!(sent.contains(part), "{transport} {part}");
        }
        let again = ResponsesRequest::from_json(line).unwrap();
        let second = turn(&mut session, &appended(&again, &first, "two")).await;
        assert_eq!(second.report.plan, incremental(1), "{transport}");
    }
}

#[tokio::test(start_paused = true)]
async fn c121_halves_in_arguments_do_not_keep_a_call_from_being_run() {
    // A half in the string itself, and one in the JSON that the string is.
    let function = r#"{"type":"function_call","call_id":"c_1","name":"f","arguments":"{\"a\":\"\ud83d\",\"b\":\"\\ud83d\",\"\\ude00\":1}"}"#;
    let custom = r#"{"type":"custom_tool_call","call_id":"c_2","name":"g","input":"\ude00"}"#;
    let argument = |kind: &str, text: &str| {
        format!(r#"{{"type":"response.{kind}.delta","output_index":0,"delta":"{text}"}}"#)
    };
    for transport in BOTH {
        let outcome = ran(
            transport,
            lines([
                CREATED.to_owned(),
                argument("function_call_arguments", r#"{\"a\":\"\ud83d"#),
                argument("function_call_arguments", r#"\ude00\"}"#),
                item_done(0, function),
                item_done(1, custom),
                completed(""),
            ]),
        )
        .await;
        let pieces: Vec<&str> = outcome.events.iter().filter_map(arguments).collect();
        assert_eq!(pieces, [r#"{"a":""#, r#"😀"}"#], "{transport}");
        let calls = outcome.response().function_calls();
        let arguments: Value = calls[0].arguments().unwrap();
        assert_eq!(
            arguments,
            serde_json::json!({"a": "\u{fffd}", "b": "\u{fffd}", "\u{fffd}": 1}),
            "{transport}"
        );
        let [custom] = &outcome.response().custom_tool_calls()[..] else { panic!("{transport}") };
        assert_eq!(custom.input, "\u{fffd}");
    }
}

fn arguments(event: &ResponseEvent) -> Option<&str> {
    match event {
        ResponseEvent::FunctionCallArgumentsDelta(event) => Some(&event.delta),
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn c121_an_error_with_a_half_is_read() {
    let frame = r#"{"type":"error","error":{"code":"invalid_prompt","message":"no \ud83d"}}"#;
    let failed = r#"{"type":"response.failed","response":{"id":"resp_1","status":"failed","error":{"code":"invalid_prompt","message":"no \ud83d"}}}"#;
    for transport in BOTH {
        for line in [frame, failed] {
            let outcome = ran(transport, lines([line])).await;
            let api = outcome.error().api_error().unwrap();
            assert_eq!(api.message(), Some("no \u{fffd}"), "{transport}");
            assert_eq!(api.code().unwrap().as_str(), "invalid_prompt", "{transport}");
        }
    }
    let body = r#"{"error":{"code":"invalid_prompt","message":"no \ud83d"}}"#;
    let refused = Turn::text("").http(Refusal::status(400).body(body.to_owned()));
    let outcome = ran(Transport::Sse, refused).await;
    assert_eq!(outcome.error().api_error().unwrap().message(), Some("no \u{fffd}"));
}

#[tokio::test(start_paused = true)]
async fn c121_keys_with_halves_and_members_given_twice_spoil_no_event() {
    let item = r#"{"\ud83d":1,"id":"no","id":"msg_1","type":"message","\ude00":[{"\ud83d":2}],"content":[{"type":"output_text","\ud83d":"","text":"y","text":"x"}]}"#;
    let created = CREATED.replacen('{', r#"{"\ud83d":{"\ud83e":null},"#, 1);
    let piece = r#"{"\ud83d":1,"type":"response.output_text.delta","delta":"y","delta":"x"}"#;
    for transport in BOTH {
        let all = [created.clone(), piece.to_owned(), item_done(0, item), completed("")];
        let outcome = ran(transport, lines(all.clone())).await;
        assert_eq!(deltas(&outcome), ["x"], "{transport}");
        let response = outcome.response();
        assert_eq!(response.output_text(), "x", "{transport}");
        let given: Vec<Item> = response.output_items().collect();
        assert_eq!((given[0].id(), given[0].json().as_str()), (Some("msg_1"), item));
        let member: Option<Json> = outcome.events[0].raw_member("\u{fffd}");
        assert_eq!(member.unwrap().as_str(), r#"{"\ud83e":null}"#);
    }
}

#[tokio::test(start_paused = true)]
async fn c121_json_output_with_halves_is_parsed() {
    // The text is JSON in which a half is an escape; the item has the escape escaped.
    let item = ANSWER.replace(r"ok \uD83d", r#"{\"a\":\"\\ud83d\"}"#);
    for transport in BOTH {
        let outcome = ran(transport, answer(&item)).await;
        let parsed: Value = outcome.response().parse_output().unwrap();
        assert_eq!(parsed["a"], "\u{fffd}", "{transport}");
        let [OutputItem::Message(message)] = &outcome.response().output()[..] else { panic!() };
        assert_eq!(message.text(), r#"{"a":"\ud83d"}"#);
    }
}

trait RawMember {
    fn raw_member(&self, name: &str) -> Option<Json>;
}

impl RawMember for ResponseEvent {
    fn raw_member(&self, name: &str) -> Option<Json> {
        Json::parse(self.raw()).unwrap().member(name).unwrap()
    }
}
