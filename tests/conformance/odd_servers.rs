//! Unusual servers: late data, redirects, silence, and failures that a retry hides.

use std::time::Duration;

use responses_client::{
    Delivery, ErrorKind, Provider, ResponsesClient, ResponsesSession, Timeouts, Transport,
    TransportPolicy,
    report::FullSendReason,
    testing::{Gate, Refusal, Script, ScriptedServer, Step, Turn, Upgrade},
};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::support::{
    BOTH, Outcome, appended, builder, full, guarded, incremental, only, request, server, settled,
    turn,
};

pub(crate) fn created() -> Value {
    json!({ "type": "response.created", "response": { "id": "resp_odd", "status": "in_progress" } })
}

pub(crate) fn delta(text: &str) -> Value {
    json!({ "type": "response.output_text.delta", "output_index": 0, "content_index": 0,
        "delta": text })
}

pub(crate) fn ended(kind: &str, id: &str) -> Value {
    let status = kind.trim_start_matches("response.");
    json!({ "type": kind, "response": { "id": id, "status": status, "output": [{
        "id": "msg_odd", "type": "message", "role": "assistant", "status": "completed",
        "content": [{ "type": "output_text", "text": "Fine", "annotations": [] }] }] } })
}

pub(crate) fn completed() -> Value {
    ended("response.completed", "resp_odd")
}

fn named(mut event: Value) -> Value {
    event["response_id"] = "resp_odd".into();
    event
}

/// Runs a turn and one that goes on from it; the strays of the first have come by then. Says
/// whether both used one connection.
async fn two_turns(transport: Transport, first: Turn, store: bool) -> (Outcome, Outcome, bool) {
    let server = ScriptedServer::in_memory(Script::new().turns([first, Turn::text("All is well")]));
    let client = builder(&server).transport(only(transport)).build().expect("a client");
    let mut session = client.session();
    let one = request(&["one"]).store(store);
    let first = guarded(turn(&mut session, &one)).await;
    guarded(server.wait_for(|log| log.finished() == 1)).await;
    settled(&server).await;
    let next = guarded(turn(&mut session, &appended(&one, &first, "two"))).await;
    let log = server.log();
    assert_eq!(log.requests.len(), 2);
    (first, next, log.requests[0].connection == log.requests[1].connection)
}

/// One outcome of a turn, and the next one is its own.
fn assert_right(first: &Outcome, next: &Outcome, what: &str) {
    assert_eq!(first.response().output_text(), "Fine", "{what}");
    assert_eq!(first.response().id(), "resp_odd", "{what}");
    let terminals = first.events.iter().filter(|event| event.is_terminal()).count();
    assert_eq!((terminals, first.report.attempts.len()), (1, 1), "{what}");
    assert_eq!(next.response().output_text(), "All is well", "{what}");
    assert_eq!(next.kinds()[..2], ["response.created", "response.in_progress"], "{what}");
    assert_eq!(next.report.attempts.len(), 1, "{what}");
    assert!(next.report.anomalies.is_empty(), "{what}");
}

#[tokio::test(start_paused = true)]
async fn c112_what_follows_the_terminal_event_is_swallowed_or_ends_the_socket() {
    let error = json!({ "type": "error", "error": { "code": "server_error", "message": "No." } });
    // What comes, and whether the socket is kept.
    for (stray, kept) in [
        (completed(), true),
        (ended("response.done", "resp_odd"), true),
        (ended("response.incomplete", "resp_odd"), true),
        (ended("response.cancelled", "resp_odd"), true),
        (created(), true),
        (named(delta("late")), true),
        (json!({ "type": "keepalive", "sequence_number": 9 }), true),
        (json!({ "type": "codex.rate_limits" }), true),
        (json!({}), true),
        (ended("response.completed", "resp_other"), false),
        (json!({ "type": "response.created", "response": { "id": "resp_other" } }), false),
        (delta("whose?"), false),
        (json!({ "type": "response.brand_new" }), false),
        (error, false),
    ] {
        for transport in BOTH {
            // Behind the terminal at once, or when the socket has been idle for a while.
            for late in [false, true] {
                let mut first = Turn::events([created(), completed()]);
                if late {
                    first = first.then(Step::Delay(Duration::from_millis(1)));
                }
                let first = first.then(Step::Event(stray.clone()));
                let (first, next, same) = two_turns(transport, first, false).await;
                let what = format!("{transport}, late: {late}, {stray}");
                assert_right(&first, &next, &what);
                if transport == Transport::WebSocket {
                    assert_eq!(same, kept, "{what}");
                    let plan = match kept {
                        true => incremental(1),
                        false => full(FullSendReason::ConnectionChanged),
                    };
                    assert_eq!(next.report.plan, plan, "{what}");
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c112_a_failure_that_follows_the_completion_changes_nothing() {
    for transport in BOTH {
        let failed = json!({ "type": "response.failed",
            "response": { "id": "resp_odd", "error": { "code": "server_error" } } });
        // The server forgets what it does not store, and a parent that is lost is another story.
        let first = Turn::events([created(), completed(), failed]);
        let (first, next, same) = two_turns(transport, first, true).await;
        assert_right(&first, &next, &format!("{transport}"));
        assert!(same, "{transport}");
    }
}

#[tokio::test(start_paused = true)]
async fn c112_created_twice_is_one_response() {
    for transport in BOTH {
        let first = Turn::events([created(), created(), delta("Fi"), delta("ne"), completed()]);
        let (first, next, same) = two_turns(transport, first, false).await;
        assert_right(&first, &next, &format!("{transport}"));
        assert_eq!(first.report.anomalies, [], "{transport}");
        // As it came: what a server says is passed on.
        assert_eq!(first.kinds()[..2], ["response.created", "response.created"]);
        assert!(same, "{transport}");
    }
}

#[tokio::test]
async fn c004_data_on_an_idle_socket_that_belongs_to_nothing_retires_it() {
    for (stray, kept) in [
        (json!({ "type": "keepalive" }), true),
        (json!({ "type": "codex.rate_limits", "rate_limits": {} }), true),
        (json!({ "type": "response.metadata" }), true),
        (json!({ "type": "responsesapi.websocket_timing" }), true),
        (named(delta("late")), true),
        (completed(), true),
        (delta("whose?"), false),
        (ended("response.completed", "resp_other"), false),
        (json!("no event"), false),
        (
            json!({ "type": "error", "status": 400, "error": {
                "code": "websocket_connection_limit_reached", "message": "60 minutes" } }),
            false,
        ),
    ] {
        let turns = [Turn::events([created(), completed()]), Turn::text("All is well")];
        let server = ScriptedServer::in_memory(Script::new().turns(turns));
        let mut session = builder(&server).build().expect("a client").session();
        let one = request(&["one"]);
        let first = turn(&mut session, &one).await;
        server.send_idle(&stray.to_string());
        settled(&server).await;
        let next = turn(&mut session, &appended(&one, &first, "two")).await;
        assert_right(&first, &next, &stray.to_string());
        assert_eq!(next.report.reused, kept, "{stray}");
        assert_eq!(server.log().websockets().count(), if kept { 1 } else { 2 }, "{stray}");
    }
}

#[tokio::test(start_paused = true)]
async fn c105_an_error_is_told_at_once_and_a_socket_that_falls_silent_is_not_used_again() {
    let refused = json!({ "type": "error", "status": 400, "error": { "detail": "Unsupported." } });
    let silent = Turn::events([refused]).then(Step::Delay(Duration::from_secs(5))).then(Step::End);
    let script = Script::new().turns([silent, Turn::text("All is well")]);
    let server = ScriptedServer::in_memory(script);
    let provider = Provider::compatible(&server.url()).expect("a URL");
    let client = ResponsesClient::builder()
        .provider(provider.reuses_socket_after_error(false))
        .connector(&server.connector())
        .transport(TransportPolicy::WebSocketOnly);
    let mut session = client.build().expect("a client").session();
    let start = Instant::now();
    let outcome = turn(&mut session, &request(&["one"])).await;
    let error = outcome.error();
    assert_eq!((error.kind(), error.status()), (ErrorKind::Api, Some(400)));
    assert_eq!((error.delivery(), outcome.report.attempts.len()), (Delivery::Refused, 1));
    let next = turn(&mut session, &request(&["two"])).await;
    assert_eq!(next.response().output_text(), "All is well");
    assert_eq!((next.report.reused, next.report.attempts.len()), (false, 1));
    assert_eq!(start.elapsed(), Duration::ZERO, "neither waits for the end of the silence");
    let log = server.log();
    let on: Vec<usize> = log.requests.iter().map(|request| request.connection).collect();
    assert_eq!(on, [0, 1]);
}

#[tokio::test]
async fn c107_nobody_needs_a_stream_id() {
    let script = Script::new().respond(|exchange| Turn::text(format!("{}", exchange.index)));
    let server = server(script).await;
    let provider = Provider::compatible(&server.url()).expect("a URL");
    let client =
        ResponsesClient::builder().provider(provider).transport(TransportPolicy::WebSocketOnly);
    let mut session = client.build().expect("a client").session();
    let root = request(&["root"]).store(true);
    let first = guarded(turn(&mut session, &root)).await;
    let next = appended(&root, &first, "next");
    let mut fork = session.fork();
    let (own, forked) = guarded(async {
        let own = session.stream(&next).await.expect("a stream");
        let forked = fork.stream(&next).await.expect("a stream");
        (own.final_response().await, forked.final_response().await)
    })
    .await;
    assert_eq!(own.expect("a response").output_text(), "1");
    assert_eq!(forked.expect("a response").output_text(), "2");
    let log = server.log();
    let on: Vec<usize> = log.requests.iter().map(|request| request.connection).collect();
    assert_eq!(on, [0, 0, 1], "a fork has a connection of its own");
    assert!(log.requests.iter().all(|request| request.body.get("stream_id").is_none()));
}

#[tokio::test(start_paused = true)]
async fn c096_heartbeats_and_partial_frames_are_no_events_and_no_progress() {
    let pause = || Step::Delay(Duration::from_secs(20));
    let steps = |rest: Vec<Step>| {
        let beats = (0..4).flat_map(|_| {
            [
                pause(),
                Step::Comment("keepalive".to_owned()),
                Step::Ping("p".into()),
                Step::Pong("p".into()),
            ]
        });
        let begun = [Step::Event(created())];
        Turn::steps(begun.into_iter().chain(beats).chain(rest))
    };
    for transport in BOTH {
        for (limit, survives) in [(30, false), (90, true)] {
            let end = [Step::Fragmented { text: completed().to_string(), pieces: 9 }];
            let server = ScriptedServer::in_memory(Script::new().turn(steps(end.into())));
            let mut timeouts = Timeouts::default();
            timeouts.between_events_websocket = Some(Duration::from_secs(limit));
            timeouts.between_events_sse = timeouts.between_events_websocket;
            let client = builder(&server).transport(only(transport)).timeouts(timeouts);
            let mut session = client.build().expect("a client").session();
            let start = Instant::now();
            let outcome = turn(&mut session, &request(&["hi"])).await;
            if survives {
                assert_eq!(outcome.response().output_text(), "Fine", "{transport}");
                assert_eq!(outcome.kinds(), ["response.created", "response.completed"]);
                assert_eq!(start.elapsed().as_secs(), 80);
            } else {
                assert!(outcome.error().is_timeout(), "{transport}");
                assert_eq!(outcome.kinds(), ["response.created"]);
                assert_eq!(start.elapsed().as_secs(), 30, "{transport}");
            }
        }
    }
}

#[tokio::test]
async fn c103_redirects_are_never_followed() {
    for status in [301, 302, 303, 307, 308] {
        let elsewhere = server(Script::new().respond(|_| Turn::text("stolen"))).await;
        let target = format!("{}/responses?key=secret", elsewhere.url());
        let moved = || Refusal::status(status).header("location", target.clone());

        // Elsewhere than on the upgrade it is an error that names where to.
        let here = server(Script::new().turn(Turn::text("").http(moved()))).await;
        let provider = Provider::compatible(&here.url()).expect("a URL");
        let client =
            ResponsesClient::builder().provider(provider).transport(TransportPolicy::SseOnly);
        let mut session = client.build().expect("a client").session();
        let outcome = guarded(turn(&mut session, &request(&["hi"]))).await;
        let error = outcome.error();
        assert_eq!((error.kind(), error.delivery()), (ErrorKind::Protocol, Delivery::Refused));
        let source = std::error::Error::source(error).expect("a cause").to_string();
        let origin = elsewhere.url().trim_end_matches("/v1").to_owned();
        assert!(source.contains(&origin) && !source.contains("secret"), "{source}");
        assert_eq!((here.log().requests.len(), outcome.report.attempts.len()), (1, 1));

        // On the upgrade it says that there is no WebSocket, for this turn and those after it.
        let script = Script::new().every_upgrade(Upgrade::Refuse(moved()));
        let here = server(script.respond(|_| Turn::text("ours"))).await;
        let provider = Provider::compatible(&here.url()).expect("a URL");
        let mut session =
            ResponsesClient::builder().provider(provider).build().expect("a client").session();
        for _ in 0..2 {
            let outcome = guarded(turn(&mut session, &request(&["hi"]))).await;
            assert_eq!(outcome.response().output_text(), "ours", "{status}");
            assert_eq!(outcome.report.transport, Some(Transport::Sse));
        }
        assert_eq!(here.log().upgrades_refused, 1, "{status}");
        assert!(elsewhere.log().connections.is_empty(), "{status}");
    }
}

#[tokio::test]
async fn c024_a_parent_is_that_of_one_session() {
    for store in [false, true] {
        let script = || Script::new().respond(|_| Turn::text("Fine"));
        let (here, there) = (server(script()).await, server(script()).await);
        let open = |url: &str| -> ResponsesSession {
            let provider = Provider::compatible(url).expect("a URL");
            ResponsesClient::builder().provider(provider).build().expect("a client").session()
        };
        let mut session = open(&here.url());
        let one = request(&["one"]).store(store);
        let first = guarded(turn(&mut session, &one)).await;
        let two = appended(&one, &first, "two");
        // The same history at another server, and at the same one under another client.
        for url in [there.url(), here.url(), format!("{}/", here.url())] {
            let other = guarded(turn(&mut open(&url), &two)).await;
            assert_eq!(other.report.plan, full(FullSendReason::FirstTurn), "{url}");
            assert_eq!(other.response().output_text(), "Fine");
        }
        assert_eq!(guarded(turn(&mut session, &two)).await.report.plan, incremental(1));
        let paths = here.log().requests.iter().filter(|r| r.previous_response_id.is_some()).count();
        assert_eq!((paths, there.log().requests.len()), (1, 1));
        assert!(there.log().requests[0].previous_response_id.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn c033_a_retry_that_succeeds_is_seen_in_the_report_alone() {
    let frame = |code: &str, status: u16| json!({ "type": "error", "status": status, "error": { "code": code, "message": "m" } });
    let refused = |step| Turn::steps([step]);
    let failures = [
        (Turn::error(503, "server_is_overloaded", "busy"), ErrorKind::Api),
        (Turn::error(429, "rate_limit_exceeded", "slow"), ErrorKind::Api),
        (Turn::events([frame("server_error", 500)]), ErrorKind::Api),
        (Turn::failed([], "server_error", "broken"), ErrorKind::Api),
        (refused(Step::Reset), ErrorKind::Truncated),
        (refused(Step::End), ErrorKind::Truncated),
    ];
    for transport in BOTH {
        let mut straight = None;
        for (failure, kind) in [(None, None)]
            .into_iter()
            .chain(failures.iter().map(|(turn, kind)| (Some(turn.clone()), Some(*kind))))
        {
            let failed = failure.is_some();
            let turns = failure.into_iter().chain([Turn::text("All is well")]);
            let server = ScriptedServer::in_memory(Script::new().turns(turns));
            let client = builder(&server).transport(only(transport)).build().expect("a client");
            let outcome = guarded(turn(&mut client.session(), &request(&["hi"]))).await;
            let what = format!("{transport} {kind:?}");
            assert_eq!(outcome.response().output_text(), "All is well", "{what}");
            // A response that was accepted, and failed before output, began twice: the caller
            // sees one beginning.
            let mut kinds = outcome.kinds();
            kinds.dedup();
            assert_eq!(*straight.get_or_insert_with(|| kinds.clone()), kinds, "{what}");
            let attempts = &outcome.report.attempts;
            assert_eq!(attempts.len(), if failed { 2 } else { 1 }, "{what}");
            assert_eq!(attempts[0].failure.as_ref().map(|failure| failure.kind), kind, "{what}");
            assert!(attempts.last().is_some_and(|last| last.failure.is_none()));
            let waited = outcome.report.timings.queued.expect("it was sent");
            assert_eq!(waited >= Duration::from_millis(150), failed, "{what}: {waited:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c042_an_abort_is_no_failure() {
    // While it connects, before the first event, and in the middle of the response.
    let gate = Gate::new();
    let hang = || Upgrade::Delay(Duration::from_secs(3));
    let script = Script::new().upgrade(hang()).upgrade(hang()).turns([
        Turn::steps([Step::Stall]),
        Turn::steps([Step::Stall]),
        Turn::text("cut off").insert(5, Step::Gate(gate.clone())),
        Turn::text("cut off").insert(5, Step::Gate(gate)),
    ]);
    let server = ScriptedServer::in_memory(script.respond(|_| Turn::text("All is well")));
    let client = builder(&server).build().expect("a client");
    let mut session = client.session();
    for _ in 0..4 {
        let one = request(&["one"]);
        let waiting = timeout(Duration::from_secs(1), session.stream(&one)).await;
        assert!(waiting.is_err(), "nothing came so far");
    }
    for _ in 0..2 {
        let stream = session.stream(request(&["one"])).await.expect("a stream");
        drop(stream);
    }
    // Neither this session nor another one of the client takes it for a reason to change over.
    for session in [&mut session, &mut client.session()] {
        let outcome = guarded(turn(session, &request(&["two"]))).await;
        assert_eq!(outcome.response().output_text(), "All is well");
        assert_eq!(outcome.report.transport, Some(Transport::WebSocket));
        assert_eq!(outcome.report.attempts.len(), 1);
    }
    assert_eq!(server.log().posts().count(), 0);
}

#[tokio::test(start_paused = true)]
async fn c042_nor_does_it_lift_a_mark() {
    let refused = || Upgrade::Refuse(Refusal::status(426));
    let script =
        Script::new().upgrade(refused()).turns([Turn::text("a"), Turn::steps([Step::Stall])]);
    let server = ScriptedServer::in_memory(script.respond(|_| Turn::text("All is well")));
    let mut session = builder(&server).build().expect("a client").session();
    turn(&mut session, &request(&["one"])).await.response();
    let one = request(&["one"]);
    assert!(timeout(Duration::from_secs(1), session.stream(&one)).await.is_err());
    let outcome = guarded(turn(&mut session, &request(&["two"]))).await;
    assert_eq!(outcome.report.transport, Some(Transport::Sse));
    assert_eq!(outcome.report.attempts.len(), 1);
    assert_eq!(server.log().websockets().count(), 0);
}

#[tokio::test(start_paused = true)]
async fn c150_the_close_of_the_server_is_answered_and_delays_nothing() {
    for code in [1000, 1001, 1011, 4000] {
        // Between turns.
        let server =
            ScriptedServer::in_memory(Script::new().turn(Turn::events([created(), completed()])));
        let client = builder(&server).transport(TransportPolicy::WebSocketOnly);
        let mut session = client.build().expect("a client").session();
        turn(&mut session, &request(&["one"])).await.response();
        server.close_idle(code, "bye");
        guarded(server.wait_for(|log| log.connections[0].closed)).await;
        assert_eq!(server.log().connections[0].close_code, Some(code), "idle");
        // In a turn.
        let cut = Turn::events([created(), delta("Fi")]);
        let cut = cut.then(Step::Close { code: Some(code), reason: String::new() });
        let server = ScriptedServer::in_memory(Script::new().turn(cut));
        let client = builder(&server).transport(TransportPolicy::WebSocketOnly);
        let mut session = client.build().expect("a client").session();
        let start = Instant::now();
        let outcome = turn(&mut session, &request(&["one"])).await;
        assert_eq!(outcome.error().kind(), ErrorKind::Closed);
        assert_eq!(start.elapsed(), Duration::ZERO, "the caller does not wait");
        guarded(server.wait_for(|log| log.connections[0].closed)).await;
        assert_eq!(server.log().connections[0].close_code, Some(code), "in a turn");
    }
}
