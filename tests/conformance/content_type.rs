//! Answers to a POST that are labelled wrongly, are no stream, or are encoded.

use std::time::Duration;

use crate::support::fixtures::{fixtures, sse_body};
use crate::support::{
    BOTH, Outcome, appended, builder, full, incremental, only, request, tried, turn,
};
use responses_client::{
    Delivery, Error, ErrorKind, Limits, ReplayPolicy, ResponseStatus, ResponsesRequest,
    RetryAction, RetryPolicy, Timeouts, Transport, TransportPolicy,
    error::{ErrorCode, ProtocolError},
    event::{EventKind, ResponseEvent},
    report::FullSendReason,
    testing::{Exchange, Refusal, Script, ScriptedServer, Step, Turn, Upgrade},
};
use serde_json::{Value, json};
use tokio::time::Instant;

const POLICIES: [ReplayPolicy; 4] = [
    ReplayPolicy::Never,
    ReplayPolicy::BeforeCreated,
    ReplayPolicy::BeforeOutput,
    ReplayPolicy::Restart,
];

fn retry(replay: ReplayPolicy) -> RetryPolicy {
    let mut retry = RetryPolicy::default();
    retry.replay = replay;
    retry
}

/// A body as a server sent it.
fn body(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/bodies");
    std::fs::read_to_string(format!("{folder}/{name}")).expect("a body")
}

/// An answer with status 200 and this label.
fn labelled(label: &str, body: impl Into<bytes::Bytes>) -> Refusal {
    let answer = Refusal::status(200).body(body);
    if label.is_empty() { answer } else { answer.header("content-type", label) }
}

/// A server that answers every POST with this.
fn answering(answer: Refusal) -> ScriptedServer {
    let script = Script::new().respond(move |_| Turn::text("unused").http(answer.clone()));
    ScriptedServer::in_memory(script)
}

async fn one_turn(server: &ScriptedServer, replay: ReplayPolicy) -> Outcome {
    let client = builder(server).transport(TransportPolicy::SseOnly).retry(retry(replay));
    turn(&mut client.build().unwrap().session(), &request(&["hi"])).await
}

fn protocol_error(error: &Error) -> &ProtocolError {
    let source = std::error::Error::source(error).expect("a source");
    source.downcast_ref().expect("a protocol error")
}

#[tokio::test(start_paused = true)]
async fn c132_a_stream_is_read_whatever_its_label() {
    let fixture = fixtures().into_iter().find(|it| it.name == "text").unwrap();
    let body = sse_body(&fixture.lines());
    let with_comment = [b"\xef\xbb\xbf: welcome\n\n".to_vec(), body.clone()].concat();
    for label in [
        "text/event-stream",
        "text/plain; charset=utf-8",
        "application/octet-stream",
        "application/json",
        "",
    ] {
        for body in [&body, &with_comment] {
            let server = answering(labelled(label, body.clone()));
            let outcome = one_turn(&server, ReplayPolicy::Never).await;
            let raw: Vec<_> = outcome.events.iter().map(ResponseEvent::raw).collect();
            assert_eq!(raw, fixture.lines(), "{label}");
            assert_eq!(outcome.response().status(), ResponseStatus::Completed);
            assert!(!outcome.events.iter().any(ResponseEvent::is_synthesized));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c127_c131_c132_bodies_of_gateways_are_read_by_what_is_in_them() {
    for label in ["text/plain", "text/event-stream", "application/json", ""] {
        let run = async |name: &str| {
            let server = answering(labelled(label, body(name)));
            let outcome = one_turn(&server, ReplayPolicy::BeforeCreated).await;
            assert_eq!(server.log().requests.len(), 1, "{label} {name}");
            outcome
        };
        let named = run("named_events.sse").await;
        let kinds: Vec<_> = named.events.iter().map(ResponseEvent::kind).collect();
        use EventKind::{Completed, Created, OutputTextDelta, Unknown};
        assert_eq!(kinds, [Created, Unknown, OutputTextDelta, Completed], "{label}");
        assert_eq!(named.response().output_text(), "By name");

        let whole = run("whole_response.json").await;
        assert_eq!(whole.events[0].raw(), body("whole_response.json").trim_end());
        assert_eq!(whole.response().output_items().len(), 2, "{label}");

        let foreign = run("foreign_error.json").await;
        assert_eq!(foreign.error().status(), Some(404), "{label}");
        let message = foreign.error().api_error().unwrap().message();
        assert_eq!(message, Some("The model `x` does not exist."));

        let page = run("login_page.html").await;
        let ProtocolError::WebPage(page) = protocol_error(page.error()) else { panic!() };
        assert_eq!(page.title.as_deref(), Some("Sign in to the network"), "{label}");
    }
}

#[tokio::test(start_paused = true)]
async fn c132_a_page_is_an_error_with_its_status_type_title_and_server() {
    let page = "<!doctype html><html><head><script>var key = 1;</script>\
        <title>Log in to the\n network</title></head><body>Dear guest</body></html>";
    for (label, body) in [
        ("text/html; charset=utf-8", page.to_owned()),
        ("Text/HTML", format!("\n\n{page}")),
        ("text/event-stream", page.to_owned()),
        ("", page.to_owned()),
    ] {
        for stalls in [false, true] {
            let answer = labelled(label, body.clone()).header("server", "portal/1.0");
            let server = answering(if stalls { answer.stall_body() } else { answer });
            let start = Instant::now();
            let outcome = one_turn(&server, ReplayPolicy::Restart).await;
            assert_eq!(start.elapsed(), Duration::ZERO, "{label}: the title is enough");
            let error = outcome.error();
            assert_eq!((error.kind(), error.delivery()), (ErrorKind::Protocol, Delivery::Unknown));
            assert_eq!(error.retry_action(), RetryAction::Reconfigure);
            let ProtocolError::WebPage(page) = protocol_error(error) else { panic!("{error:?}") };
            assert_eq!((page.status, page.server.as_deref()), (200, Some("portal/1.0")));
            assert_eq!(page.title.as_deref(), Some("Log in to the network"), "{label}");
            assert!(label.starts_with(&page.media_type));
            let shown = format!("{error} {error:?} {page} {:?}", outcome.report);
            assert!(!shown.contains("Dear guest") && !shown.contains("var key"), "{shown}");
            assert_eq!(server.log().requests.len(), 1, "{label}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c132_a_page_without_a_title_is_waited_for_no_longer_than_any_error() {
    let server = answering(labelled("text/html", "<html>").stall_body());
    let start = Instant::now();
    let outcome = one_turn(&server, ReplayPolicy::Never).await;
    let ProtocolError::WebPage(page) = protocol_error(outcome.error()) else { panic!() };
    assert_eq!(page.title, None);
    assert_eq!(start.elapsed(), Limits::default().error_body_time);
}

#[tokio::test(start_paused = true)]
async fn c132_refusals_that_are_pages_are_told_by_title_and_server() {
    let page = "<html><title>Access denied</title><body>Reference 1234</body></html>";
    for label in ["text/html", ""] {
        let refusal = Refusal::status(403).header("server", "waf").body(page);
        let refusal =
            if label.is_empty() { refusal } else { refusal.header("content-type", label) };
        for transport in BOTH {
            let script = Script::new()
                .every_upgrade(Upgrade::Refuse(refusal.clone()))
                .turn(Turn::text("unused").http(refusal.clone()));
            let server = ScriptedServer::in_memory(script);
            let client = builder(&server).transport(only(transport)).build().unwrap();
            let outcome = turn(&mut client.session(), &request(&["hi"])).await;
            let error = outcome.error();
            assert_eq!(error.status(), Some(403), "{transport}");
            let message = error.api_error().unwrap().message();
            assert_eq!(message, Some("Access denied (server: waf)"), "{transport}");
            assert!(error.to_string().contains("Access denied"), "{error}");
            assert!(!format!("{error} {error:?}").contains("Reference"), "{error}");
        }
    }
}

fn whole(status: &str, more: Value) -> Value {
    let mut response = json!({
        "id": "resp_whole",
        "object": "response",
        "status": status,
        "error": null,
        "output": [{ "id": "msg_1", "type": "message", "role": "assistant",
            "status": "completed", "content": [{ "type": "output_text", "text": "An answer" }] }],
        "usage": { "input_tokens": 3, "output_tokens": 2, "total_tokens": 5 },
    });
    let more = more.as_object().unwrap().clone();
    response.as_object_mut().unwrap().extend(more);
    response
}

#[tokio::test(start_paused = true)]
async fn c131_a_whole_response_is_its_terminal_event_and_nothing_else() {
    let cut = json!({ "incomplete_details": { "reason": "max_output_tokens" } });
    for (status, more, kind) in [
        ("completed", json!({}), EventKind::Completed),
        ("completed", json!({ "object": null }), EventKind::Completed),
        ("incomplete", cut, EventKind::Incomplete),
    ] {
        for label in ["application/json", "text/event-stream", ""] {
            for replay in POLICIES {
                let body = whole(status, more.clone()).to_string();
                let server = answering(labelled(label, body.clone()).stall_body());
                let start = Instant::now();
                let outcome = one_turn(&server, replay).await;
                assert_eq!(start.elapsed(), Duration::ZERO, "the end of the body is not needed");
                let [event] = &outcome.events[..] else { panic!("{:?}", outcome.kinds()) };
                assert_eq!((event.kind(), event.raw()), (kind, body.as_str()));
                assert!(event.is_synthesized() && event.is_terminal());
                assert_eq!(outcome.response().output_text(), "An answer");
                assert_eq!(outcome.response().usage().unwrap().total_tokens, 5);
                assert_eq!((outcome.report.events, server.log().requests.len()), (1, 1));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c131_a_whole_response_that_failed_is_the_error_that_it_is() {
    let failed = json!({ "error": { "code": "invalid_prompt", "message": "No." } });
    for (status, more, code) in
        [("failed", failed, Some(ErrorCode::InvalidPrompt)), ("cancelled", json!({}), None)]
    {
        for replay in POLICIES {
            let body = whole(status, more.clone()).to_string();
            let server = answering(labelled("application/json", body));
            let outcome = one_turn(&server, replay).await;
            let error = outcome.error();
            assert_eq!((error.kind(), error.code()), (ErrorKind::Api, code.as_ref()), "{status}");
            assert_eq!(error.is_cancelled(), status == "cancelled");
            assert_eq!(error.response().unwrap().output_text(), "An answer");
            assert!(outcome.events.is_empty());
            assert_eq!(server.log().requests.len(), 1, "{status}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c131_a_whole_response_that_failed_ran_and_is_not_sent_again() {
    for replay in [ReplayPolicy::Never, ReplayPolicy::BeforeCreated, ReplayPolicy::BeforeOutput] {
        let error = json!({ "error": { "code": "server_error", "message": "No." } });
        let body = whole("failed", error).to_string();
        let server = answering(labelled("application/json", body));
        let outcome = one_turn(&server, replay).await;
        assert_eq!(outcome.error().code(), Some(&ErrorCode::ServerError));
        assert_eq!(outcome.error().delivery(), Delivery::OutputStarted);
        assert_eq!(server.log().requests.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn c131_a_whole_response_in_a_stream_is_its_terminal_event_too() {
    for transport in BOTH {
        let body = whole("completed", json!({})).to_string();
        let steps = [Step::Text(body.clone()), Step::Text("late".to_owned())];
        let server = ScriptedServer::in_memory(Script::new().turn(Turn::steps(steps)));
        let client = builder(&server).transport(only(transport)).build().unwrap();
        let outcome = turn(&mut client.session(), &request(&["hi"])).await;
        assert_eq!(outcome.kinds(), ["response.completed"], "{transport}");
        assert_eq!(outcome.events[0].raw(), body);
        assert!(outcome.events[0].is_synthesized());
        assert_eq!(outcome.response().output_text(), "An answer");
    }
}

#[tokio::test(start_paused = true)]
async fn c131_the_next_turn_goes_on_from_a_whole_response() {
    for continues in [false, true] {
        let answer = |exchange: &Exchange| match exchange.index {
            0 => {
                let mut body = whole("completed", json!({}));
                body["id"] = exchange.response_id.as_str().into();
                Turn::text("An answer").http(labelled("application/json", body.to_string()))
            }
            _ => Turn::text("More"),
        };
        let server = ScriptedServer::in_memory(Script::new().respond(answer));
        let client = builder(&server)
            .transport(TransportPolicy::SseOnly)
            .continue_over_sse(continues)
            .build()
            .unwrap();
        let mut session = client.session();
        let first = request(&["hi"]).store(true);
        let outcome = turn(&mut session, &first).await;
        let next = turn(&mut session, &appended(&first, &outcome, "more")).await;
        assert_eq!(next.response().output_text(), "More");
        let sent = server.log().requests[1].body.clone();
        if continues {
            assert_eq!(next.report.plan, incremental(1));
            assert!(sent["previous_response_id"].is_string());
        } else {
            assert_eq!(next.report.plan, full(FullSendReason::SseContinuationOff));
            assert_eq!(sent["input"][1]["content"][0]["text"], "An answer");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c131_an_error_object_is_that_error() {
    let body = json!({ "error": { "type": "invalid_request_error", "code": "invalid_prompt",
        "message": "No.", "param": "input", "status": 400 } });
    for (body, status, code, message) in [
        (body, Some(400), Some(ErrorCode::InvalidPrompt), "No."),
        (json!({ "error": "No." }), None, None, "No."),
        (json!({ "detail": "No." }), None, None, "No."),
        (json!({ "object": "error", "message": "No.", "code": 400 }), Some(400), None, "No."),
    ] {
        for label in ["application/json", "text/event-stream", "text/plain"] {
            let server = answering(labelled(label, body.to_string()));
            let outcome = one_turn(&server, ReplayPolicy::BeforeCreated).await;
            let error = outcome.error();
            assert_eq!((error.kind(), error.status()), (ErrorKind::Api, status), "{body}");
            assert_eq!(error.api_error().unwrap().message(), Some(message));
            assert!(code.is_none() || error.code() == code.as_ref(), "{body}");
            assert_eq!(server.log().requests.len(), 1, "{body}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c131_a_response_in_progress_is_gone_on_with_if_it_runs_in_the_background() {
    for status in ["queued", "in_progress"] {
        let answer = move |exchange: &Exchange| {
            let body = json!({ "id": exchange.response_id, "object": "response", "status": status,
                "background": true, "output": [] });
            Turn::text("An answer").http(labelled("application/json", body.to_string()))
        };
        let server = ScriptedServer::in_memory(Script::new().respond(answer));
        let mut background = request(&["hi"]).store(true);
        background.background = Some(true);
        let client = builder(&server).retry(retry(ReplayPolicy::Never)).build().unwrap();
        let outcome = turn(&mut client.session(), &background).await;
        assert_eq!(outcome.response().output_text(), "An answer", "{status}");
        assert_eq!(outcome.events[0].kind(), EventKind::Created);
        let numbers = outcome.events.iter().map(ResponseEvent::sequence_number);
        assert!(numbers.eq((0..outcome.events.len() as u64).map(Some)), "each comes once");
        assert!(!outcome.events.iter().any(ResponseEvent::is_synthesized));
        let log = server.log();
        assert_eq!(log.requests.len(), 1);
        assert!(log.others[0].path.ends_with("?stream=true"), "{}", log.others[0].path);
    }
}

#[tokio::test(start_paused = true)]
async fn c131_a_response_in_progress_that_is_not_in_the_background_was_accepted() {
    for status in ["queued", "in_progress"] {
        for replay in POLICIES {
            let body = whole(status, json!({ "output": [] })).to_string();
            let server = answering(labelled("application/json", body));
            let outcome = one_turn(&server, replay).await;
            let error = outcome.error();
            assert_eq!((error.kind(), error.delivery()), (ErrorKind::Protocol, Delivery::Accepted));
            assert_eq!(protocol_error(error), &ProtocolError::Unfinished);
            assert_eq!(error.response().unwrap().id(), "resp_whole");
            assert!(outcome.events.is_empty());
            assert_eq!((server.log().requests.len(), server.log().others.len()), (1, 0));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c131_the_limit_of_one_event_and_the_time_of_the_first_hold() {
    let body = whole("completed", json!({})).to_string();
    for (limit, fits) in [(body.len(), true), (body.len() - 1, false)] {
        let server = answering(labelled("application/json", body.clone()));
        let mut limits = Limits::default();
        limits.max_event_bytes = limit;
        let client = builder(&server).transport(TransportPolicy::SseOnly).limits(limits);
        let outcome = turn(&mut client.build().unwrap().session(), &request(&["hi"])).await;
        assert_eq!(outcome.result.is_ok(), fits);
        if !fits {
            assert_eq!(outcome.error().kind(), ErrorKind::TooLarge);
        }
    }
    let half = body[..body.len() - 1].to_owned();
    let server = answering(labelled("application/json", half).stall_body());
    let mut timeouts = Timeouts::default();
    timeouts.first_event_sse = Some(Duration::from_secs(30));
    let client = builder(&server).transport(TransportPolicy::SseOnly).timeouts(timeouts);
    let client = client.retry(retry(ReplayPolicy::Never)).build().unwrap();
    let start = Instant::now();
    let outcome = turn(&mut client.session(), &request(&["hi"])).await;
    assert_eq!(outcome.error().kind(), ErrorKind::Timeout);
    assert_eq!(start.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn c133_identity_is_asked_for_on_both_transports() {
    for transport in BOTH {
        let server = ScriptedServer::in_memory(Script::new().turn(Turn::text("hi")));
        let client = builder(&server).transport(only(transport)).build().unwrap();
        turn(&mut client.session(), &request(&["hi"])).await.response();
        let log = server.log();
        let headers = match transport {
            Transport::WebSocket => &log.connections[0].headers,
            _ => &log.requests[0].headers,
        };
        let asked: Vec<_> = headers.iter().filter(|(name, _)| name == "accept-encoding").collect();
        assert_eq!(asked, [&("accept-encoding".to_owned(), "identity".to_owned())], "{transport}");

        let client = builder(&server).header("accept-encoding", "gzip").build();
        assert_eq!(client.expect_err("it is reserved").kind(), ErrorKind::InvalidConfig);
    }
}

#[tokio::test(start_paused = true)]
async fn c133_an_encoded_stream_is_named_and_not_asked_for_again() {
    for (encoding, label) in [("gzip", "text/event-stream"), ("br", ""), ("x, gzip", "text/html")] {
        for replay in POLICIES {
            let body = &b"\x1f\x8b\x08\x00garbage"[..];
            let answer = labelled(label, body).header("content-encoding", encoding);
            let server = answering(answer);
            let outcome = one_turn(&server, replay).await;
            let error = outcome.error();
            assert_eq!((error.kind(), error.delivery()), (ErrorKind::Protocol, Delivery::Accepted));
            let named = encoding.split(',').next().unwrap().to_owned();
            assert_eq!(protocol_error(error), &ProtocolError::ContentEncoding(named));
            assert_eq!(error.retry_action(), RetryAction::Reconfigure);
            assert_eq!(server.log().requests.len(), 1, "{encoding}");
        }
    }
    let fixture = fixtures().into_iter().find(|it| it.name == "text").unwrap();
    for encoding in ["identity", ""] {
        let answer = labelled("text/event-stream", sse_body(&fixture.lines()));
        let server = answering(answer.header("content-encoding", encoding));
        one_turn(&server, ReplayPolicy::Never).await.response();
    }
}

#[tokio::test(start_paused = true)]
async fn c133_an_encoded_refusal_keeps_its_status_and_says_no_garbage() {
    let refusal = Refusal::status(400)
        .header("content-encoding", "gzip")
        .header("x-request-id", "req_1")
        .body(&b"\x1f\x8b\x08\x00garbage"[..]);
    let server = answering(refusal);
    let outcome = one_turn(&server, ReplayPolicy::Never).await;
    let error = outcome.error();
    assert_eq!((error.status(), error.request_id()), (Some(400), Some("req_1")));
    assert_eq!(error.api_error().unwrap().message(), None);
}

#[tokio::test(start_paused = true)]
async fn c148_a_refused_upgrade_whose_status_decides_is_not_read_to_its_end() {
    for (status, waits) in [
        (200, false),
        (204, false),
        (404, false),
        (405, false),
        (426, false),
        (501, false),
        (403, true),
    ] {
        let refusal = Refusal::status(status).body("<html>").stall_body();
        let script = Script::new().turn(Turn::text("hi")).upgrade(Upgrade::Refuse(refusal));
        let server = ScriptedServer::in_memory(script);
        let client = builder(&server).build().unwrap();
        let start = Instant::now();
        let outcome = turn(&mut client.session(), &request(&["hi"])).await;
        assert_eq!(outcome.response().output_text(), "hi", "{status}");
        let expected =
            [(Transport::WebSocket, Some(ErrorKind::UpgradeRefused)), (Transport::Sse, None)];
        assert_eq!(tried(&outcome.report), expected, "{status}");
        let waited = if waits { Limits::default().error_body_time } else { Duration::ZERO };
        assert_eq!(start.elapsed(), waited, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn c148_where_nothing_else_is_allowed_a_refusal_is_read_within_its_time() {
    let refusal = Refusal::status(404).body("nothing here").stall_body();
    let server = ScriptedServer::in_memory(Script::new().upgrade(Upgrade::Refuse(refusal)));
    let client = builder(&server).transport(TransportPolicy::WebSocketOnly).build().unwrap();
    let start = Instant::now();
    let outcome = turn(&mut client.session(), &request(&["hi"])).await;
    let error = outcome.error();
    assert_eq!((error.kind(), error.status()), (ErrorKind::UpgradeRefused, Some(404)));
    assert_eq!(error.api_error().unwrap().message(), Some("nothing here"));
    assert_eq!(start.elapsed(), Limits::default().error_body_time);
}

#[tokio::test(start_paused = true)]
async fn c151_a_background_of_false_is_sent_over_http_alone() {
    for transport in BOTH {
        let server = ScriptedServer::in_memory(Script::new().turn(Turn::text("hi")));
        let client = builder(&server).transport(only(transport)).build().unwrap();
        let mut request: ResponsesRequest = request(&["hi"]);
        request.background = Some(false);
        turn(&mut client.session(), &request).await.response();
        let sent = server.log().requests[0].body.clone();
        let expected = (transport == Transport::Sse).then_some(&Value::Bool(false));
        assert_eq!(sent.get("background"), expected, "{transport}");
    }
}
