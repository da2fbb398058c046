//! Errors and unknown events in the forms that servers give them: by name, by type, or as text.

mod support;

use bytes::Bytes;
use responses_client::{
    ErrorKind, ReplayPolicy, RetryAction, RetryPolicy, Transport,
    event::{EventKind, ResponseEvent},
    testing::{Script, ScriptedServer, Step, Turn},
};
use serde_json::{Value, json};
use support::{BOTH, Outcome, builder, only, request, turn};

/// Runs a turn that is not sent again.
async fn run(transport: Transport, answer: Turn) -> Outcome {
    let server = ScriptedServer::in_memory(Script::new().turn(answer));
    let mut retry = RetryPolicy::default();
    retry.replay = ReplayPolicy::Never;
    retry.attempts = 1;
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
