//! Conformance, group F: frames and bodies that are malformed or odd.

use std::{error::Error as _, time::Duration};

use bytes::Bytes;
use responses_client::{
    Delivery, ErrorKind, Limits, Phase, Provider, ResponsesClient, Transport,
    error::{ErrorCode, ProtocolError},
    event::{EventKind, OutputItem, ResponseEvent, Usage},
    report::{Anomaly, FullReason},
    testing::{Gate, Refusal, Script, ScriptedServer, Step, Turn},
};
use serde_json::{Value, json};

use support::{
    BOTH, Outcome, builder, full, guarded, only, request, server, settled, socket_client, turn,
};

mod support;

/// A server and a client, for many turns that go wrong.
struct Bench {
    transport: Transport,
    server: ScriptedServer,
    client: ResponsesClient,
}

/// What came of a turn, and of the one after it in the same session.
struct Ran {
    odd: Outcome,
    next: Outcome,
    /// Whether both ran on one WebSocket. `None` over SSE, where what becomes of a connection is
    /// the affair of the pool.
    same_socket: Option<bool>,
}

impl Bench {
    async fn new(transport: Transport) -> Self {
        let server = server(Script::new()).await;
        let client = socket_client(&server, only(transport));
        Self { transport, server, client }
    }

    /// Runs `turn` and another one after it, which must go well and be its own.
    async fn run(&self, odd: Turn) -> Ran {
        self.server.push(odd);
        self.server.push(Turn::text("All is well"));
        let mut session = self.client.session();
        let odd = guarded(turn(&mut session, &request(&["odd"]))).await;
        let next = guarded(turn(&mut session, &request(&["next"]))).await;
        assert_eq!(next.response().output_text(), "All is well");
        assert_eq!(next.kinds()[0], "response.created");
        let log = self.server.log();
        let [.., one, two] = &log.requests[..] else { panic!("two requests") };
        let same_socket = match self.transport {
            Transport::WebSocket => Some(one.connection == two.connection),
            Transport::Sse => None,
        };
        Ran { odd, next, same_socket }
    }
}

fn created() -> Value {
    json!({ "type": "response.created", "sequence_number": 0, "response": started() })
}

fn started() -> Value {
    json!({ "id": "resp_odd", "object": "response", "status": "in_progress", "output": [] })
}

fn delta(text: &str) -> Value {
    json!({
        "type": "response.output_text.delta",
        "sequence_number": 1,
        "item_id": "msg_odd",
        "output_index": 0,
        "content_index": 0,
        "delta": text,
    })
}

fn completed(text: &str) -> Value {
    json!({
        "type": "response.completed",
        "sequence_number": 2,
        "response": {
            "id": "resp_odd",
            "object": "response",
            "status": "completed",
            "output": [{
                "id": "msg_odd",
                "type": "message",
                "role": "assistant",
                "content": [{ "type": "output_text", "text": text, "annotations": [] }],
            }],
        },
    })
}

fn text(text: impl Into<String>) -> Step {
    Step::Text(text.into())
}

/// A response that has begun and has text, and then this.
fn after_output(step: Step) -> Turn {
    Turn::events([created(), delta("So far")]).then(step)
}

/// The turn ended behind `So far` with what came kept.
fn assert_cut_after_output(outcome: &Outcome, kind: ErrorKind) {
    let error = outcome.error();
    assert_eq!((error.kind(), error.phase()), (kind, Phase::Events), "{error:?}");
    assert_eq!(error.delivery(), Delivery::OutputStarted);
    assert_eq!(outcome.kinds(), ["response.created", "response.output_text.delta"]);
    assert_eq!(outcome.report.attempts.len(), 1);
    let partial = error.partial().expect("what came");
    assert_eq!((partial.id(), &*partial.output_text()), (Some("resp_odd"), "So far"));
    assert!(!partial.is_ended());
}

fn protocol_error(outcome: &Outcome) -> ProtocolError {
    let source = outcome.error().source().expect("a source");
    source.downcast_ref::<ProtocolError>().expect("a protocol error").clone()
}

#[tokio::test]
async fn c070_a_binary_frame_is_an_error_and_poisons_the_socket() {
    let bench = Bench::new(Transport::WebSocket).await;
    for turn in [
        Turn::steps([Step::Binary(Bytes::from_static(b"{}"))]),
        after_output(Step::Binary(Bytes::from(created().to_string()))),
    ] {
        // The rest of the response must reach nobody.
        let ran = bench.run(turn.then(Step::Event(completed("late")))).await;
        assert_eq!(protocol_error(&ran.odd), ProtocolError::BinaryFrame);
        assert_eq!(ran.odd.report.attempts.len(), 1);
        assert_eq!(ran.odd.error().partial().is_some(), ran.odd.events.len() == 2);
        assert_eq!(ran.same_socket, Some(false));
        assert_eq!(ran.next.report.plan, full(FullReason::PriorNotCompleted));
    }
}

#[tokio::test]
async fn c071_what_is_no_event_ends_the_turn_and_retires_the_connection() {
    for transport in BOTH {
        let bench = Bench::new(transport).await;
        for garbage in [
            "nonsense",
            "<html><body>502</body></html>",
            "[]",
            "[{\"type\":\"response.created\"}]",
            "null",
            "7",
            "\"response.created\"",
            "{\"type\":7}",
            "{\"type\":null,\"response\":{}}",
            "{\"sequence_number\":4}",
            "{\"type\":\"response.output_text.delta\",\"delta\":",
            "{",
        ] {
            let ran = bench.run(after_output(text(garbage)).then(Step::Event(completed("")))).await;
            assert_cut_after_output(&ran.odd, ErrorKind::Protocol);
            assert!(ran.same_socket != Some(true), "{transport} {garbage}");
            assert_eq!(ran.next.report.plan, full(FullReason::PriorNotCompleted));

            let ran = bench.run(Turn::steps([text(garbage), text(created().to_string())])).await;
            let error = ran.odd.error();
            assert_eq!(error.kind(), ErrorKind::Protocol, "{transport} {garbage}");
            assert_eq!((error.phase(), error.delivery()), (Phase::FirstEvent, Delivery::Unknown));
            assert!(error.partial().is_none() && ran.odd.events.is_empty());
            assert!(ran.same_socket != Some(true), "{transport} {garbage}");
        }
    }
}

#[tokio::test]
async fn c071_empty_objects_and_done_markers_are_harmless() {
    for (transport, nothing) in [
        (Transport::WebSocket, "{}"),
        (Transport::WebSocket, " { } "),
        (Transport::WebSocket, "[DONE]"),
        (Transport::Sse, "{}"),
        (Transport::Sse, " { } "),
        // Over SSE `[DONE]` ends the body: see c081.
    ] {
        let bench = Bench::new(transport).await;
        let steps = [
            text(nothing),
            Step::Event(created()),
            text(nothing),
            Step::Event(completed("Fine")),
            text(nothing),
        ];
        let ran = bench.run(Turn::steps(steps)).await;
        assert_eq!(ran.odd.kinds(), ["response.created", "response.completed"]);
        assert_eq!(ran.odd.response().output_text(), "Fine");
        assert!(ran.same_socket != Some(false), "{transport} {nothing}");
    }
}

#[tokio::test]
async fn c072_unknown_events_pass_to_the_letter() {
    const ODD: &str =
        "{\"type\": \"response.brand_new\",  \"sequence_number\":9, \"thing\":{\"a\":[1.50,null]}}";
    const OTHER: &str = "{\"vendor\":true,\"type\":\"vendor.notice\"}";
    for transport in BOTH {
        let steps = [
            text(OTHER),
            Step::Event(created()),
            text(ODD),
            text(OTHER),
            Step::Event(completed("Fine")),
        ];
        let odd = Bench::new(transport).await.run(Turn::steps(steps)).await.odd;
        assert_eq!(odd.response().output_text(), "Fine");
        let raws: Vec<&str> = odd.events.iter().map(ResponseEvent::raw).collect();
        assert_eq!((raws[0], raws[2], raws[3]), (OTHER, ODD, OTHER), "{transport}");
        let ResponseEvent::Unknown(unknown) = &odd.events[2] else { panic!("{:?}", odd.events[2]) };
        assert_eq!(odd.events[2].kind(), EventKind::Unknown);
        assert_eq!(unknown.event_type, "response.brand_new");
        assert_eq!(unknown.sequence_number, Some(9));
        let thing: Option<Value> = unknown.member("thing").expect("JSON");
        assert_eq!(thing, Some(json!({ "a": [1.5, null] })));
        let event = "response.brand_new".to_owned();
        assert_eq!(odd.report.anomalies, [Anomaly::UnknownEvent { event }]);
    }
}

#[tokio::test]
async fn c072_unknown_members_items_and_parts_are_kept() {
    for transport in BOTH {
        let item =
            json!({ "type": "brand_new_call", "id": "x_1", "secret_sauce": [1, { "b": 2 }] });
        let message = json!({
            "type": "message",
            "role": "assistant",
            "status": "brand_new_status",
            "content": [{ "type": "brand_new_part", "x": 1 }, { "type": "output_text", "text": "T" }],
        });
        let output = Turn::output([item.clone(), message]).map_events(|_, mut event| {
            event["brand_new_member"] = json!("kept");
            event
        });
        let odd = Bench::new(transport).await.run(output).await.odd;
        for event in &odd.events {
            let raw: Value = serde_json::from_str(event.raw()).expect("JSON");
            assert_eq!(raw["brand_new_member"], "kept");
        }
        let ResponseEvent::Created(event) = &odd.events[0] else { panic!() };
        let member: Option<String> = event.member("brand_new_member").expect("a string");
        assert_eq!(member.as_deref(), Some("kept"));
        let response = odd.response();
        let [OutputItem::Other(other), OutputItem::Message(read)] = &response.output()[..] else {
            panic!("{:?}", response.output())
        };
        assert_eq!(other.json().decode::<Value>().expect("JSON"), item);
        assert_eq!((read.status.as_deref(), &*read.text()), (Some("brand_new_status"), "T"));
    }
}

#[tokio::test]
async fn c073_a_defect_in_what_the_turn_needs_ends_it() {
    let done = |item: Value| json!({ "type": "response.output_item.done", "output_index": 0, "item": item });
    for transport in BOTH {
        let bench = Bench::new(transport).await;
        for defect in [
            json!({ "type": "response.output_text.delta", "output_index": 0 }),
            json!({ "type": "response.output_text.delta", "output_index": 0, "delta": 7 }),
            json!({ "type": "response.output_text.delta", "output_index": 0, "delta": null }),
            json!({ "type": "response.function_call_arguments.delta", "delta": 7 }),
            json!({ "type": "response.custom_tool_call_input.delta" }),
            json!({ "type": "response.reasoning_summary_text.delta", "delta": [] }),
            json!({ "type": "response.reasoning_text.delta" }),
            json!({ "type": "response.refusal.delta", "delta": false }),
            json!({ "type": "response.output_item.done", "output_index": 0 }),
            done(json!("item")),
            done(json!({ "type": "function_call", "name": "f", "arguments": "{}" })),
            done(json!({ "type": "custom_tool_call", "name": "f", "input": "" })),
        ] {
            let event = defect["type"].as_str().expect("a type").to_owned();
            let odd = after_output(Step::Event(defect.clone())).then(Step::Event(completed("")));
            let ran = bench.run(odd).await;
            assert_cut_after_output(&ran.odd, ErrorKind::Protocol);
            let ProtocolError::Event { event: named, .. } = protocol_error(&ran.odd) else {
                panic!("{defect}")
            };
            assert_eq!(named, event);
            assert!(ran.same_socket != Some(true), "{transport} {defect}");
        }
    }
}

#[tokio::test]
async fn c073_a_call_that_no_event_names_ends_the_turn_with_its_response() {
    for transport in BOTH {
        for kind in ["function_call", "custom_tool_call"] {
            let call = json!({ "type": kind, "call_id": "c", "arguments": "{}", "input": "" });
            let done =
                json!({ "type": "response.output_item.done", "output_index": 0, "item": call });
            let odd = Turn::events([created(), done, completed("")]);
            let odd = Bench::new(transport).await.run(odd).await.odd;
            assert_eq!(odd.error().kind(), ErrorKind::Protocol, "{transport} {kind}");
            let ProtocolError::Event { event, .. } = protocol_error(&odd) else { panic!("{kind}") };
            assert_eq!(event, "response.completed", "until then the name could still come");
        }
    }
}

#[tokio::test]
async fn c073_a_defect_elsewhere_shows_when_that_part_is_read() {
    for transport in BOTH {
        let mut last = completed("Fine");
        last["response"]["usage"] = json!("a lot");
        last["response"]["incomplete_details"] = json!(7);
        let steps = [
            json!({ "type": "response.created", "sequence_number": "0", "response": 7 }),
            json!({ "type": "response.in_progress", "response": { "id": ["x"] } }),
            json!({ "type": "response.output_item.added", "output_index": -1, "item": "item" }),
            json!({ "type": "response.output_item.added", "output_index": 0, "item": { "id": 7 } }),
            json!({ "type": "response.content_part.added", "output_index": "0", "part": [] }),
            json!({ "type": "response.output_text.done", "content_index": {}, "text": 7 }),
            json!({
                "type": "response.output_item.done",
                "output_index": 1,
                "item": { "type": "message", "content": 7 },
            }),
            last,
        ];
        let odd = Bench::new(transport).await.run(Turn::events(steps.clone())).await.odd;
        assert_eq!(odd.events.len(), steps.len());
        let response = odd.response();
        assert_eq!((response.id(), &*response.output_text()), (Some("resp_odd"), "Fine"));
        assert_eq!((response.usage(), response.incomplete_reason()), (None, None));

        let ResponseEvent::Created(created) = &odd.events[0] else { panic!() };
        assert_eq!(created.sequence_number, None);
        assert!(created.response.as_ref().expect("JSON").member::<String>("id").is_err());
        let ResponseEvent::OutputItemAdded(added) = &odd.events[3] else { panic!() };
        assert!(added.item.as_ref().expect("an item").member::<String>("id").is_err());
        let ResponseEvent::OutputTextDone(done) = &odd.events[5] else { panic!() };
        assert_eq!((done.text.as_ref(), done.content_index), (None, 0));
        let ResponseEvent::OutputItemDone(item) = &odd.events[6] else { panic!() };
        assert!(item.output_item().is_err());
        let [OutputItem::Message(_), OutputItem::Other(kept)] = &response.output()[..] else {
            panic!("{:?}", response.output())
        };
        assert_eq!(kept.json().get(), item.item.get());
        let ResponseEvent::Completed(end) = &odd.events[7] else { panic!() };
        assert!(end.response.member::<Usage>("usage").is_err());
    }
}

#[tokio::test]
async fn c074_a_terminal_without_response_is_an_error_and_the_connection_stays() {
    for transport in BOTH {
        let bench = Bench::new(transport).await;
        for kind in
            ["response.completed", "response.incomplete", "response.failed", "response.done"]
        {
            for response in [None, Some(json!(null)), Some(json!([])), Some(json!("done"))] {
                let mut terminal = json!({ "type": kind });
                if let Some(response) = response {
                    terminal["response"] = response;
                }
                let ran = bench.run(after_output(Step::Event(terminal.clone()))).await;
                assert_cut_after_output(&ran.odd, ErrorKind::Protocol);
                assert!(
                    matches!(protocol_error(&ran.odd), ProtocolError::Event { event, .. } if event == kind)
                );
                assert!(ran.same_socket != Some(false), "{transport} {terminal}");
                assert!(ran.next.report.reused);
                assert_eq!(ran.next.report.plan, full(FullReason::PriorNotCompleted));
            }
        }
    }
}

/// What one account of an error says.
#[derive(Debug, PartialEq, Eq)]
struct Account {
    status: Option<u16>,
    code: Option<&'static str>,
    error_type: Option<&'static str>,
    message: Option<&'static str>,
    param: Option<&'static str>,
}

const SILENT: Account =
    Account { status: None, code: None, error_type: None, message: None, param: None };
const MESSAGE: Account = Account { message: Some("No."), ..SILENT };
const NESTED: Account = Account {
    code: Some("invalid_prompt"),
    error_type: Some("invalid_request_error"),
    message: Some("No."),
    param: Some("input"),
    ..SILENT
};

fn assert_tells(outcome: &Outcome, account: &Account, what: &str) {
    let error = outcome.error();
    assert_eq!(error.kind(), ErrorKind::Api, "{what}");
    let api = error.api_error().expect("the server's account");
    assert_eq!((error.status(), error.code()), (api.status(), api.code()));
    assert_eq!(api.status(), account.status, "{what}");
    assert_eq!(api.code().map(ErrorCode::as_str), account.code, "{what}");
    assert_eq!(api.error_type(), account.error_type, "{what}");
    assert_eq!(api.message(), account.message, "{what}");
    assert_eq!(api.param(), account.param, "{what}");
}

/// Each shape of an error in a stream, by its number in the list of them, and its account.
fn shapes() -> Vec<(&'static str, Value, Account)> {
    let error = json!({
        "type": "invalid_request_error",
        "code": "invalid_prompt",
        "message": "No.",
        "param": "input",
    });
    let mut inside = error.clone();
    inside["headers"] = json!({ "x-request-id": "req_1", "retry-after": 7, "x-ok": true });
    let outside = inside["headers"].clone();
    let flat = Account { error_type: None, ..NESTED };
    let told = Account { status: Some(400), ..NESTED };
    let failed = |mut response: Value| {
        response["id"] = "resp_odd".into();
        json!({ "type": "response.failed", "response": response })
    };
    vec![
        (
            "1",
            json!({
                "type": "error",
                "code": "invalid_prompt",
                "message": "No.",
                "param": "input",
                "sequence_number": 3,
            }),
            flat,
        ),
        ("2", json!({ "type": "error", "status": 400, "stream_id": "s", "error": error }), told),
        (
            "3",
            json!({ "type": "error", "status_code": 400, "error": error }),
            Account { status: Some(400), ..NESTED },
        ),
        ("4", json!({ "type": "error", "error": error }), NESTED),
        (
            "5, outside",
            json!({ "type": "error", "status": 400, "headers": outside, "error": error }),
            Account { status: Some(400), ..NESTED },
        ),
        (
            "5, inside",
            json!({ "type": "error", "status": 400, "error": inside }),
            Account { status: Some(400), ..NESTED },
        ),
        (
            "6",
            json!({ "type": "error", "status": 400, "error": { "detail": "No." } }),
            Account { status: Some(400), ..MESSAGE },
        ),
        ("8", json!({ "error": error }), NESTED),
        ("9, error", json!({ "error": "No." }), MESSAGE),
        ("9, detail", json!({ "detail": "No." }), MESSAGE),
        ("9, message", json!({ "message": "No." }), MESSAGE),
        ("10, nested", json!({ "type": "response.error", "error": error }), NESTED),
        (
            "10, flat",
            json!({ "type": "response.error", "code": "invalid_prompt", "message": "No." }),
            Account { code: Some("invalid_prompt"), ..MESSAGE },
        ),
        ("11, null", failed(json!({ "status": "failed", "error": null, "output": [] })), SILENT),
        (
            "11, without code",
            failed(json!({ "error": { "code": null, "message": "No." }, "output": null })),
            MESSAGE,
        ),
        ("11, without anything", failed(json!({})), SILENT),
    ]
}

#[tokio::test]
async fn c075_all_shapes_of_an_error_map_to_one_type() {
    for transport in BOTH {
        let bench = Bench::new(transport).await;
        for (shape, frame, account) in shapes() {
            let first = bench.run(Turn::events([frame.clone()])).await;
            assert_tells(&first.odd, &account, shape);
            let error = first.odd.error();
            assert_eq!((error.phase(), error.delivery()), (Phase::FirstEvent, Delivery::Refused));
            assert!(first.odd.events.is_empty());

            let later = bench.run(after_output(Step::Event(frame))).await;
            assert_tells(&later.odd, &account, shape);
            assert_eq!(later.odd.kinds(), ["response.created", "response.output_text.delta"]);
            let error = later.odd.error();
            assert_eq!((error.phase(), error.delivery()), (Phase::Events, Delivery::OutputStarted));
            assert_eq!(error.partial().expect("what came").output_text(), "So far");
            for ran in [&first, &later] {
                assert!(ran.same_socket != Some(false), "{transport} {shape}");
                if shape.starts_with('5') {
                    let api = ran.odd.error().api_error().expect("the server's account");
                    assert_eq!(api.request_id(), Some("req_1"));
                    assert_eq!(api.retry_after(), Some(Duration::from_secs(7)));
                    assert_eq!(api.headers()["x-ok"], "true");
                }
            }
        }
    }
}

#[tokio::test]
async fn c075_an_error_that_a_failed_response_repeats_is_told_once() {
    for transport in BOTH {
        let bench = Bench::new(transport).await;
        let error = json!({ "type": "error", "error": { "code": "invalid_prompt" } });
        let failed = json!({
            "type": "response.failed",
            "response": { "id": "resp_odd", "error": { "code": "server_error" } },
        });
        let odd = after_output(Step::Event(error)).then(Step::Event(failed));
        let ran = bench.run(odd).await;
        assert_eq!(ran.odd.error().code(), Some(&ErrorCode::InvalidPrompt), "the first counts");
        assert_eq!(ran.odd.report.attempts.len(), 1);
        assert_eq!(ran.next.report.attempts.len(), 1);
        assert!(ran.same_socket != Some(false), "{transport}");
    }
}

/// A turn that ends so, and of which something comes late: when the next one was sent already.
async fn with_late_event(ending: Value, late: Value) -> (Outcome, Outcome) {
    let gate = Gate::new();
    let first =
        Turn::events([created(), ending]).then(Step::Gate(gate.clone())).then(Step::Event(late));
    let server = server(Script::new().turns([first, Turn::text("All is well")])).await;
    let mut session = socket_client(&server, only(Transport::WebSocket)).session();
    let first = guarded(turn(&mut session, &request(&["one"]))).await;
    let before = server.log().bytes_received();
    let next = tokio::spawn(async move { turn(&mut session, &request(&["two"])).await });
    guarded(async {
        while server.log().bytes_received() == before {
            tokio::task::yield_now().await;
        }
    })
    .await;
    gate.open();
    let next = guarded(next).await.expect("no panic");
    assert_eq!(server.log().websockets().count(), 1);
    (first, next)
}

#[tokio::test]
async fn c075_a_failed_response_that_repeats_an_error_late_is_not_that_of_the_next_turn() {
    let error = json!({ "type": "error", "error": { "code": "invalid_prompt" } });
    let failed = json!({ "type": "response.failed", "response": { "id": "resp_odd" } });
    let (first, next) = with_late_event(error, failed).await;
    assert_eq!(first.error().code(), Some(&ErrorCode::InvalidPrompt));
    assert_eq!(next.response().output_text(), "All is well");
    assert_eq!((next.kinds()[0], next.report.attempts.len()), ("response.created", 1));
}

#[tokio::test]
async fn c006_a_late_end_of_a_turn_is_not_that_of_the_next() {
    let mut repeated = completed("Fine");
    for kind in ["response.done", "response.completed", "response.in_progress"] {
        repeated["type"] = kind.into();
        let (first, next) = with_late_event(completed("Fine"), repeated.clone()).await;
        assert_eq!(first.response().output_text(), "Fine");
        assert_eq!(next.response().output_text(), "All is well", "{kind}");
        assert_eq!(next.kinds()[0], "response.created");
        assert_ne!(next.response().id(), first.response().id());
    }
}

#[tokio::test]
async fn c006_responses_that_all_have_one_id_are_told_apart_by_their_beginning() {
    for transport in BOTH {
        let turn_of = |text| Turn::events([created(), delta(text), completed(text)]);
        let server = server(Script::new().turns([turn_of("one"), turn_of("two")])).await;
        let mut session = socket_client(&server, only(transport)).session();
        for text in ["one", "two"] {
            let outcome = guarded(turn(&mut session, &request(&[text]))).await;
            assert_eq!(outcome.events.len(), 3, "{transport}");
            assert_eq!(outcome.response().output_text(), text);
        }
        assert_eq!(server.log().connections.len(), 1);
    }
}

#[tokio::test]
async fn c075_http_errors_map_to_the_same_type() {
    let bench = Bench::new(Transport::Sse).await;
    for (body, account) in [
        (
            json!({ "error": { "type": "invalid_request_error", "code": "invalid_prompt",
                "message": "No.", "param": "input" } })
            .to_string(),
            NESTED,
        ),
        (json!({ "error": "No." }).to_string(), MESSAGE),
        (json!({ "detail": "No." }).to_string(), MESSAGE),
        (json!({ "message": "No." }).to_string(), MESSAGE),
        ("\"No.\"".to_owned(), MESSAGE),
        ("No.\n".to_owned(), MESSAGE),
        (String::new(), SILENT),
    ] {
        let refusal = Refusal::status(422).header("x-request-id", "req_2").body(body.clone());
        let ran = bench.run(Turn::text("").http(refusal)).await;
        assert_tells(&ran.odd, &Account { status: Some(422), ..account }, &body);
        let error = ran.odd.error();
        assert_eq!((error.phase(), error.delivery()), (Phase::FirstEvent, Delivery::Refused));
        assert_eq!(error.api_error().expect("an account").request_id(), Some("req_2"));
    }
}

#[tokio::test]
async fn c076_an_error_frame_needs_no_sequence_number() {
    for transport in BOTH {
        let bench = Bench::new(transport).await;
        for (frame, message) in [
            (json!({ "type": "error", "code": "invalid_prompt", "message": "No." }), Some("No.")),
            (json!({ "type": "error", "message": "No.", "sequence_number": null }), Some("No.")),
            (json!({ "type": "error", "message": "No.", "sequence_number": "x" }), Some("No.")),
            (json!({ "type": "error" }), None),
        ] {
            let odd = bench.run(after_output(Step::Event(frame.clone()))).await.odd;
            assert_eq!(odd.error().kind(), ErrorKind::Api, "{transport} {frame}");
            assert_eq!(odd.error().api_error().expect("an account").message(), message);
        }
    }
}

#[tokio::test]
async fn c077_an_error_before_any_event_is_like_an_http_error() {
    for transport in BOTH {
        let bench = Bench::new(transport).await;
        let ran = bench.run(Turn::error(403, "not_entitled", "No.")).await;
        let error = ran.odd.error();
        assert_eq!((error.kind(), error.status()), (ErrorKind::Api, Some(403)));
        assert_eq!((error.phase(), error.delivery()), (Phase::FirstEvent, Delivery::Refused));
        assert_eq!(error.code(), Some(&ErrorCode::Other("not_entitled".to_owned())));
        assert!(error.partial().is_none());
        assert!(ran.odd.events.is_empty(), "{transport}");
        assert_eq!(error.report().expect("a report").transport, Some(transport));
    }
}

#[tokio::test]
async fn c077_an_error_in_mid_stream_is_a_stream_error_with_headers() {
    for transport in BOTH {
        let bench = Bench::new(transport).await;
        let frame = json!({
            "type": "error",
            "status": 429,
            "headers": { "Retry-After": "2", "x-request-id": "req_3" },
            "error": { "code": "rate_limit_exceeded", "message": "Slow down." },
        });
        let odd = bench.run(after_output(Step::Event(frame))).await.odd;
        assert_cut_after_output(&odd, ErrorKind::Api);
        let error = odd.error();
        assert_eq!(error.status(), Some(429), "{transport}");
        assert_eq!(error.retry_after(), Some(Duration::from_secs(2)));
        let api = error.api_error().expect("an account");
        assert_eq!(
            (api.request_id(), &api.headers()["retry-after"]),
            (Some("req_3"), &"2".parse().expect("a value"))
        );
    }
}

#[tokio::test]
async fn c079_pings_are_answered_while_idle() {
    let server = server(Script::new().turns([Turn::text("one"), Turn::text("two")])).await;
    let mut session = socket_client(&server, only(Transport::WebSocket)).session();
    turn(&mut session, &request(&["one"])).await;
    server.ping_idle(b"are you there?");
    guarded(server.wait_for(|log| log.connections[0].pongs == 1)).await;
    let next = turn(&mut session, &request(&["two"])).await;
    assert!(next.report.reused && next.response().output_text() == "two");
}

#[tokio::test]
async fn c079_pings_are_answered_below_the_read_ahead_limit_and_not_above() {
    for (read_ahead, answered) in [(8 << 20, true), (1, false)] {
        let gate = Gate::new();
        let pinged = Turn::text("x".repeat(1000))
            .insert(9, Step::Ping(Bytes::from_static(b"p")))
            .insert(10, Step::Gate(gate.clone()));
        let server = ScriptedServer::in_memory(Script::new().turn(pinged));
        let mut limits = Limits::default();
        limits.read_ahead = read_ahead;
        let client = builder(&server).transport(only(Transport::WebSocket)).limits(limits);
        let mut session = client.build().expect("a client").session();
        let stream = session.stream(&request(&["one"])).await.expect("a stream");
        // Nobody takes the events.
        settled(&server).await;
        assert_eq!(server.log().connections[0].pongs == 1, answered, "{read_ahead}");
        gate.open();
        let response = guarded(stream.final_response()).await.expect("a response");
        assert_eq!(response.output_text().len(), 1000);
        guarded(server.wait_for(|log| log.connections[0].pongs == 1)).await;
    }
}

#[tokio::test]
async fn c079_unsolicited_pongs_are_ignored() {
    let ponged = Turn::text("Fine")
        .first(Step::Pong(Bytes::new()))
        .insert(3, Step::Pong(Bytes::from_static(b"nobody asked")))
        .then(Step::Pong(Bytes::from_static(b"again")));
    let ran = Bench::new(Transport::WebSocket).await.run(ponged).await;
    assert_eq!(ran.odd.response().output_text(), "Fine");
    assert_eq!(ran.odd.kinds()[0], "response.created");
    assert!(ran.same_socket != Some(false));
}

#[tokio::test]
async fn c079_fragmented_and_large_events_are_put_together() {
    for transport in BOTH {
        let bench = Bench::new(transport).await;
        // Every character has several bytes, so that cuts lie inside of them.
        let large = "☃𝄞".repeat(50_000);
        let fragmented =
            |value: Value, pieces| Step::Fragmented { text: value.to_string(), pieces };
        let steps = [
            fragmented(created(), 7),
            fragmented(delta(&large), 2),
            fragmented(delta(&large), 301),
            text(delta(&large).to_string()),
            fragmented(completed("Fine"), 50),
        ];
        let ran = bench.run(Turn::steps(steps)).await;
        let deltas: Vec<_> = ran.odd.events.iter().filter_map(|event| event.text_delta()).collect();
        assert_eq!(deltas.len(), 3);
        assert!(deltas.iter().all(|delta| *delta == large), "{transport}");
        assert_eq!(ran.odd.response().output_text(), "Fine");
        assert!(ran.same_socket != Some(false));
    }
}

#[tokio::test]
async fn c080_a_close_in_mid_response_is_not_success() {
    for transport in BOTH {
        let bench = Bench::new(transport).await;
        for code in [None, Some(1000), Some(1001), Some(1011), Some(4402)] {
            let close = Step::Close { code, reason: String::new() };
            let ran = bench.run(after_output(close)).await;
            let kind = match transport {
                Transport::WebSocket => ErrorKind::Closed,
                Transport::Sse => ErrorKind::Truncated,
            };
            assert_cut_after_output(&ran.odd, kind);
            if transport == Transport::WebSocket {
                let told = ran.odd.error().close_frame().map(|frame| frame.code);
                assert_eq!(told, code);
                assert_eq!(ran.same_socket, Some(false));
            }
            assert_eq!(ran.next.report.plan, full(FullReason::PriorNotCompleted));
        }
    }
}

/// The events of one response, with characters of one to four bytes.
fn transcript() -> Vec<String> {
    let delta = |text: &str| delta(text).to_string();
    vec![
        created().to_string(),
        delta("a"),
        delta("é\\ \"☃\"\n𝄞"),
        delta("data: x\r\n\r\n: y\u{2028}"),
        completed("Fine").to_string(),
    ]
}

/// Runs a turn over SSE whose body comes in these pieces.
async fn over_sse(pieces: impl IntoIterator<Item = Step>) -> Outcome {
    let server = ScriptedServer::in_memory(Script::new().turn(Turn::steps(pieces)));
    let client = builder(&server).transport(only(Transport::Sse)).build().expect("a client");
    let outcome = guarded(turn(&mut client.session(), &request(&["one"]))).await;
    assert_eq!(server.log().requests.len(), 1);
    outcome
}

fn raws(outcome: &Outcome) -> Vec<&str> {
    outcome.events.iter().map(ResponseEvent::raw).collect()
}

#[tokio::test]
async fn c081_every_framing_gives_the_same_events_however_it_is_cut() {
    let named = |line_end: &str| -> String {
        let event = |data: &String| format!("event: e{line_end}data: {data}{line_end}{line_end}");
        transcript().iter().map(event).collect()
    };
    let with = |separator: &str, before: &str, after: &str| -> String {
        let event = |data: &String| format!("{before}data:{separator}{data}\n{after}\n");
        transcript().iter().map(event).collect()
    };
    let mixed: String = transcript()
        .iter()
        .zip(["\n\n", "\r\r", "\r\n\r\n", "\n\r", "\r\n\n"])
        .map(|(data, end)| format!("data: {data}{end}"))
        .collect();
    for body in [
        named("\n"),
        named("\r\n"),
        named("\r"),
        mixed,
        with("", "", ""),
        with(" ", ": a comment\n:\n", ": another: with colons\n"),
        with(" ", "id: 7\nretry: 10\nevent\n", "database: no\ndata\u{fe0f}: no\nunknown\n"),
        with(" ", "event: error\n", ""),
        with(" ", "event: ping\n\nevent: response.completed\n", ""),
        format!("\u{feff}{}", named("\n")),
        format!("\u{feff}{}", with(" ", "", "")),
        format!("\u{feff}\r\n{}", named("\r\n")),
        format!("{}data: [DONE]\n\ndata: nonsense\n\n", named("\n")),
    ] {
        for size in [1, 2, 3, 64, usize::MAX] {
            let pieces = body.as_bytes().chunks(size.min(body.len()));
            let steps = pieces.map(|piece| Step::Raw(Bytes::copy_from_slice(piece)));
            // The turn ends with its terminal event, not with the body.
            let outcome = over_sse(steps.chain([Step::Stall])).await;
            assert_eq!(raws(&outcome), transcript(), "{size} {body:?}");
            assert_eq!(outcome.response().output_text(), "Fine");
        }
    }
}

#[tokio::test]
async fn c081_bytes_that_are_flushed_one_by_one_make_the_same_events() {
    // Over a socket, each byte in a packet of its own.
    let script = Script::new().turn(Turn::steps(transcript().into_iter().map(|text| {
        let pieces = text.len() + 8;
        Step::Fragmented { text, pieces }
    })));
    let server = server(script).await;
    let mut session = socket_client(&server, only(Transport::Sse)).session();
    let outcome = guarded(turn(&mut session, &request(&["one"]))).await;
    assert_eq!(raws(&outcome), transcript());
}

#[tokio::test]
async fn c081_data_over_several_lines_is_one_event() {
    let pretty = |event: Value| serde_json::to_string_pretty(&event).expect("JSON");
    let events = [pretty(created()), pretty(delta("☃\n")), pretty(completed("Fine"))];
    for line_end in ["\n", "\r\n", "\r"] {
        let lines = |event: &String| -> String {
            event.lines().map(|line| format!("data: {line}{line_end}")).collect()
        };
        let body: String = events.iter().map(|event| lines(event) + line_end).collect();
        for size in [1, 2, 3, 64, usize::MAX] {
            let pieces = body.as_bytes().chunks(size.min(body.len()));
            let outcome =
                over_sse(pieces.map(|piece| Step::Raw(Bytes::copy_from_slice(piece)))).await;
            assert_eq!(raws(&outcome), events, "{line_end:?} {size}");
            assert_eq!(outcome.response().output_text(), "Fine");
        }
    }
}

#[tokio::test]
async fn c081_named_error_events_are_errors() {
    let body = format!(
        "event: response.created\ndata: {}\n\nevent: error\ndata: {}\n\n",
        created(),
        json!({ "message": "No.", "code": "invalid_prompt" }),
    );
    let outcome = over_sse([Step::Raw(body.into())]).await;
    assert_eq!(outcome.kinds(), ["response.created"]);
    assert_eq!(outcome.error().code(), Some(&ErrorCode::InvalidPrompt));
}

#[tokio::test]
async fn c081_done_ends_the_body_and_what_follows_it_is_ignored() {
    let after = |done: &str| {
        let rest = [text(delta("no").to_string()), text(completed("no").to_string())];
        after_output(text(done)).then(rest[0].clone()).then(rest[1].clone())
    };
    for done in ["[DONE]", "[DONE] ", "[DONE]\n"] {
        let server = ScriptedServer::in_memory(Script::new().turn(after(done)));
        let client = builder(&server).transport(only(Transport::Sse)).build().expect("a client");
        let outcome = guarded(turn(&mut client.session(), &request(&["one"]))).await;
        assert_cut_after_output(&outcome, ErrorKind::Truncated);
    }
}

#[tokio::test]
async fn c081_invalid_utf_8_spoils_no_event_before_it() {
    for transport in BOTH {
        let mut bytes = delta("x").to_string().into_bytes();
        let place = bytes.len() - 3;
        bytes[place] = 0xff;
        if transport == Transport::Sse {
            bytes = [b"data: ", &bytes[..], b"\n\n"].concat();
        }
        let bench = Bench::new(transport).await;
        let ran = bench.run(after_output(Step::Raw(bytes.into()))).await;
        assert_cut_after_output(&ran.odd, ErrorKind::Protocol);
        assert!(ran.same_socket != Some(true), "{transport}");
    }
}

#[tokio::test]
async fn c081_an_event_of_some_mib_comes_through_in_small_pieces() {
    for transport in BOTH {
        let large: String = ('a'..='z').cycle().take(5 << 20).collect();
        let event = delta(&large).to_string();
        let turn = Turn::steps([
            Step::Event(created()),
            Step::Fragmented { text: event.clone(), pieces: 5000 },
            Step::Event(completed("Fine")),
        ]);
        let odd = Bench::new(transport).await.run(turn).await.odd;
        assert!(odd.events[1].raw() == event, "{transport}");
        assert!(odd.events[1].text_delta() == Some(&large));
        assert_eq!(odd.response().output_text(), "Fine");
        assert!(odd.report.bytes_received > 5 << 20);
    }
}

#[tokio::test]
async fn c081_an_event_above_the_limit_ends_the_turn() {
    for transport in BOTH {
        let server = server(Script::new()).await;
        let mut limits = Limits::default();
        limits.event = 64 << 10;
        let provider = Provider::compatible(&server.url()).expect("a URL");
        let client = ResponsesClient::builder(provider).limits(limits).transport(only(transport));
        let bench = Bench { transport, server, client: client.build().expect("a client") };
        let within = delta(&"x".repeat(60 << 10)).to_string();
        let above = delta(&"x".repeat(65 << 10)).to_string();
        for pieces in [1, 100] {
            let event = |text: &String| Step::Fragmented { text: text.clone(), pieces };
            let fine =
                Turn::events([created()]).then(event(&within)).then(Step::Event(completed("Fine")));
            let ran = bench.run(fine).await;
            assert_eq!(ran.odd.events[1].raw(), within, "{transport}");

            let ran = bench.run(after_output(event(&above))).await;
            assert_cut_after_output(&ran.odd, ErrorKind::TooLarge);
            assert!(ran.same_socket != Some(true), "{}", bench.transport);
            assert_eq!(ran.next.report.plan, full(FullReason::PriorNotCompleted));
        }
    }
}

#[tokio::test]
async fn c082_an_end_without_a_terminal_event_keeps_what_came() {
    for transport in BOTH {
        let bench = Bench::new(transport).await;
        for end in [Step::End, Step::Reset] {
            let ran = bench.run(after_output(end)).await;
            assert_cut_after_output(&ran.odd, ErrorKind::Truncated);
            assert!(ran.same_socket != Some(true), "{transport}");
        }
    }
    // The clean end of a body is no better.
    let outcome = over_sse([Step::Event(created()), Step::Event(delta("So far"))]).await;
    assert_cut_after_output(&outcome, ErrorKind::Truncated);
}

#[tokio::test]
async fn c082_a_last_event_without_its_blank_line_counts_if_it_is_terminal() {
    let body = |last: &str| {
        let (first, second) = (created(), delta("So far"));
        Step::Raw(format!("data: {first}\n\ndata: {second}\n\n{last}").into())
    };
    let terminal = completed("Fine").to_string();
    for last in [format!("data: {terminal}"), format!("event: x\r\ndata: {terminal}\r\n")] {
        // However the body ends: cleanly, or with its connection.
        for end in [vec![], vec![Step::End]] {
            let outcome = over_sse([body(&last)].into_iter().chain(end)).await;
            assert_eq!(outcome.events.last().expect("an event").raw(), terminal);
            assert_eq!(outcome.response().output_text(), "Fine");
        }
    }
    let failed = json!({ "type": "response.failed", "response": { "error": { "code": "x" } } });
    let outcome = over_sse([body(&format!("data: {failed}"))]).await;
    assert_eq!(outcome.error().kind(), ErrorKind::Api);

    let half = &terminal[..terminal.len() - 1];
    for last in [format!("data: {half}"), format!("data: {}\n", delta(" and more"))] {
        let outcome = over_sse([body(&last)]).await;
        assert_cut_after_output(&outcome, ErrorKind::Truncated);
    }
}

#[tokio::test]
async fn c106_the_socket_that_goes_on_after_an_error_is_used_again() {
    for frame in [
        json!({ "type": "error", "status": 400, "error": { "code": "invalid_prompt" } }),
        json!({ "type": "response.failed", "response": { "error": { "code": "invalid_prompt" } } }),
    ] {
        for begun in [false, true] {
            let server = server(
                Script::new()
                    .respond(|exchange| Turn::text(format!("{} items", exchange.history.len()))),
            )
            .await;
            server.push(if begun {
                after_output(Step::Event(frame.clone()))
            } else {
                Turn::events([frame.clone()])
            });
            let mut session = socket_client(&server, only(Transport::WebSocket)).session();
            let odd = guarded(turn(&mut session, &request(&["one"]))).await;
            assert_eq!(odd.error().code(), Some(&ErrorCode::InvalidPrompt));
            let next = guarded(turn(&mut session, &request(&["one", "two"]))).await;
            assert_eq!(next.response().output_text(), "2 items");
            assert!(next.report.reused);
            assert_eq!(next.report.plan, full(FullReason::PriorNotCompleted));
            assert_eq!(next.report.attempts.len(), 1);
            let log = server.log();
            assert_eq!((log.connections.len(), log.requests.len()), (1, 2));
        }
    }
}

#[tokio::test]
async fn c106_the_socket_of_a_provider_that_drops_it_after_an_error_is_not() {
    let script =
        Script::new().turn(Turn::error(400, "invalid_prompt", "No.")).turn(Turn::text("Fine"));
    let server = server(script).await;
    let provider = Provider::compatible(&server.url()).expect("a URL");
    let client = ResponsesClient::builder(provider.keeps_socket_after_error(false));
    let mut session = client.build().expect("a client").session();
    let odd = guarded(turn(&mut session, &request(&["one"]))).await;
    assert_eq!(odd.error().code(), Some(&ErrorCode::InvalidPrompt));
    let next = guarded(turn(&mut session, &request(&["one"]))).await;
    assert!(next.response().output_text() == "Fine" && !next.report.reused);
    assert_eq!(server.log().websockets().count(), 2);
}
