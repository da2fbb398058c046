//! Errors and unknown events in the forms that servers give them: by name, by type, or as text.

use std::time::Duration;

use bytes::Bytes;
use responses_client::{
    Delivery, ErrorKind, Phase, ReplayPolicy, RetryAction, RetryPolicy, Transport,
    error::ErrorCode,
    event::{EventKind, ResponseEvent},
    testing::{Refusal, Script, ScriptedServer, Step, Turn},
};
use serde_json::{Value, json};

use crate::{
    odd_turn::{Bench, after_output, assert_cut_after_output},
    support::{BOTH, Outcome, builder, only, request, turn},
};

/// Runs a turn that is not sent again.
async fn run(transport: Transport, answer: Turn) -> Outcome {
    let server = ScriptedServer::in_memory(Script::new().turn(answer));
    let mut retry = RetryPolicy::default();
    retry.replay = ReplayPolicy::Never;
    retry.max_attempts = 1;
    let client = builder(&server).transport(only(transport)).retry(retry).build().unwrap();
    turn(&mut client.session(), &request(&["hi"])).await
}

/// A server-sent event to the letter.
fn named(name: &str, data: &str) -> Step {
    Step::Raw(Bytes::from(format!("event: {name}\ndata: {data}\n\n")))
}

#[tokio::test(start_paused = true)]
async fn c127_over_sse_the_name_is_the_type_where_the_object_has_none() {
    let whole = run(Transport::Sse, Turn::text("Hello")).await;
    let steps = whole.events.iter().map(|event| {
        let mut data: Value = serde_json::from_str(event.raw()).unwrap();
        data.as_object_mut().unwrap().remove("type");
        named(event.kind().as_str(), &data.to_string())
    });
    let untyped = run(Transport::Sse, Turn::steps(steps)).await;
    assert_eq!(untyped.kinds(), whole.kinds());
    assert_eq!(untyped.response().output_text(), "Hello");
    assert!(untyped.events.iter().all(|event| !event.raw().contains(r#""type":"response."#)));
    assert!(!untyped.events.iter().any(ResponseEvent::is_synthesized));
}

#[tokio::test(start_paused = true)]
async fn c127_unknown_names_pass_whatever_is_in_them() {
    let unknown = [
        named("ping", "{}"),
        named("ping", ""),
        named("ping", "hello"),
        named("agent.tool.progress", r#"{"message":"working","detail":"x"}"#),
        named("agent.tool.progress", "working"),
    ];
    let turn = |at: usize| {
        unknown.iter().cloned().fold(Turn::text("Hello"), |turn, step| turn.insert(at, step))
    };
    for at in [0, 3] {
        let outcome = run(Transport::Sse, turn(at)).await;
        assert_eq!(outcome.response().output_text(), "Hello");
        let passed: Vec<_> = outcome
            .events
            .iter()
            .filter(|event| matches!(event.kind(), EventKind::Ping | EventKind::Unknown))
            .collect();
        let [ping, ResponseEvent::Unknown(progress)] = &passed[..] else { panic!("{passed:?}") };
        assert_eq!(progress.event_type, "agent.tool.progress");
        assert_eq!(progress.member::<String>("message").unwrap().as_deref(), Some("working"));
        assert_eq!(ping.kind(), EventKind::Ping);
    }
}

#[tokio::test(start_paused = true)]
async fn c127_unknown_types_pass_whatever_their_members() {
    for event in [
        json!({ "type": "agent.tool.progress", "message": "working", "detail": "x" }),
        json!({ "type": "agent.tool.progress", "error": null, "object": "thing" }),
        json!({ "type": "errors.counted", "count": 0 }),
        json!({ "type": "response.error_budget", "message": "fine" }),
    ] {
        for transport in BOTH {
            for at in [0, 3] {
                let answer = Turn::text("Hello").insert(at, Step::Event(event.clone()));
                let outcome = run(transport, answer).await;
                assert_eq!(outcome.response().output_text(), "Hello", "{transport} {event}");
                let unknown = outcome.events.iter().find(|it| it.kind() == EventKind::Unknown);
                let passed: Value = serde_json::from_str(unknown.unwrap().raw()).unwrap();
                assert_eq!(passed, event);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c127_known_types_keep_their_part_whatever_their_members() {
    for transport in BOTH {
        let odd = Turn::text("Hello").map_events(|_, mut event| {
            event["error"] = json!({ "message": "No." });
            event["object"] = "error".into();
            event
        });
        let outcome = run(transport, odd).await;
        assert_eq!(outcome.response().output_text(), "Hello", "{transport}");
    }
}

#[tokio::test(start_paused = true)]
async fn c127_errors_are_known_in_the_stream_by_name_type_and_members() {
    let event = |name: &str, data: Value| (named(name, &data.to_string()), false);
    let frame = |event: Value| (Step::Event(event), true);
    for (step, both) in [
        event("error", json!({ "message": "No." })),
        event("error", json!({ "type": "overloaded", "message": "No." })),
        event("Error", json!({ "detail": "No." })),
        event("rate_limit_error", json!({ "message": "No." })),
        event("response.error", json!({ "error": { "message": "No." } })),
        event("response.failed", json!({ "error": { "message": "No." } })),
        event("message", json!({ "error": "No." })),
        (named("error", "No."), false),
        (named("error", r#""No.""#), false),
        frame(json!({ "object": "error", "message": "No.", "code": 400 })),
        frame(json!({ "type": "BadRequestError", "object": "error", "message": "No." })),
        frame(json!({ "type": "ERROR", "message": "No." })),
        frame(json!({ "type": "x.y", "error": { "message": "No." } })),
        frame(json!({ "type": "x.y", "error": "No." })),
        frame(json!({ "type": "response.x", "error": { "message": "No." } })),
        frame(json!({ "error": { "message": "No." }, "user_id": "u" })),
        frame(json!({ "message": "No." })),
    ] {
        for transport in BOTH.into_iter().filter(|it| both || *it == Transport::Sse) {
            for at in [0, 3] {
                let outcome = run(transport, Turn::text("Hello").insert(at, step.clone())).await;
                let error = outcome.error();
                assert_eq!(error.kind(), ErrorKind::Api, "{transport} {step:?}");
                let message = error.api_error().unwrap().message();
                assert_eq!(message, Some("No."), "{transport} {step:?}");
                assert_eq!(outcome.events.len(), at, "{transport} {step:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c127_text_in_place_of_an_event_of_the_response_is_no_event() {
    for step in [
        named("response.output_text.delta", "Hel"),
        named("response.output_text.delta", r#"{"delta":"#),
        named("message", "Hel"),
    ] {
        let outcome = run(Transport::Sse, Turn::text("Hello").insert(3, step.clone())).await;
        assert_eq!(outcome.error().kind(), ErrorKind::Protocol, "{step:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn c146_errors_with_only_a_type_are_classified_by_it() {
    for (error_type, action) in [
        ("rate_limit_error", None),
        ("overloaded_error", None),
        ("timeout_error", None),
        ("authentication_error", Some(RetryAction::Reauthenticate)),
        ("permission_error", Some(RetryAction::Reauthenticate)),
        ("invalid_request_error", Some(RetryAction::ChangeRequest)),
        ("not_found_error", Some(RetryAction::ChangeRequest)),
        ("billing_error", Some(RetryAction::Stop)),
        ("insufficient_quota", Some(RetryAction::Stop)),
    ] {
        let own = json!({ "type": error_type, "message": "No.", "error": {} });
        let nested = json!({ "type": "error", "error": { "type": error_type, "message": "No." } });
        for frame in [own, nested] {
            for transport in BOTH {
                let failing = Turn::events([frame.clone()]);
                let server = ScriptedServer::in_memory(
                    Script::new().turn(failing).respond(|_| Turn::text("Hello")),
                );
                let client = builder(&server).transport(only(transport)).build().unwrap();
                let outcome = turn(&mut client.session(), &request(&["hi"])).await;
                let Some(action) = action else {
                    // It passes: the turn is tried again, and goes well.
                    assert_eq!(outcome.response().output_text(), "Hello", "{transport} {frame}");
                    continue;
                };
                let error = outcome.error();
                assert_eq!(error.retry_action(), action, "{transport} {frame}");
                assert_eq!(error.api_error().unwrap().error_type(), Some(error_type));
                assert_eq!(server.log().requests.len(), 1, "{transport} {frame}");
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
            let proven = account.code.is_some() || account.status.is_some();
            let delivery = if proven { Delivery::Refused } else { Delivery::Unknown };
            assert_eq!((error.phase(), error.delivery()), (Phase::FirstEvent, delivery), "{shape}");
            assert!(first.odd.events.is_empty());

            let later = bench.run(after_output(Step::Event(frame))).await;
            assert_tells(&later.odd, &account, shape);
            assert_eq!(later.odd.kinds(), ["response.created", "response.output_text.delta"]);
            let error = later.odd.error();
            assert_eq!((error.phase(), error.delivery()), (Phase::Events, Delivery::OutputStarted));
            assert_eq!(error.response().expect("what came").output_text(), "So far");
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
        assert!(error.response().is_none());
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
