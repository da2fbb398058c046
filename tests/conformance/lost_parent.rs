//! Every way in which servers say that the response to be continued is gone.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use responses_client::{
    ResponsesClient, ResponsesRequest, ResponsesSession, RetryPolicy, Transport,
    report::{FullSendReason, Plan},
    testing::{Refusal, Script, ScriptedServer, Step, Turn},
};
use serde_json::{Value, json};
use tokio::time::{Instant, advance};

use crate::support::{
    BOTH, Outcome, appended, builder, full, incremental, only, request, settled, turn,
};

const CODE: &str = "previous_response_not_found";
const NOT_FOUND: &str = "Previous response with id 'resp_abc' not found.";
const INVALID: &str = "Invalid previous_response_id.";
const EXPIRED: &str = "The previous response has expired.";
const ABSENT: &str = "Previous response 'resp_abc' does not exist.";

/// The error frames, by who sends them.
fn frames() -> Vec<(&'static str, Value)> {
    let error = json!({ "type": "invalid_request_error", "code": CODE, "message": NOT_FOUND,
        "param": "previous_response_id" });
    let worded = |message: &str| json!({ "type": "invalid_request_error", "code": null, "message": message, "param": null });
    let headers =
        json!({ "x-request-id": "req_1", "x-ratelimit-remaining-requests": 7, "x-ok": true });
    let mut with_headers = error.clone();
    with_headers["headers"] = headers.clone();
    let failed = |error: Value| {
        json!({ "type": "response.failed", "sequence_number": 0,
            "response": { "id": "resp_x", "status": "failed", "error": error, "output": [] } })
    };
    vec![
        ("nested", json!({ "type": "error", "status": 400, "error": error })),
        ("nested, 404", json!({ "type": "error", "status": 404, "error": error })),
        ("nested, status_code", json!({ "type": "error", "status_code": 400, "error": error })),
        ("nested, no status", json!({ "type": "error", "error": error })),
        ("status as text", json!({ "type": "error", "status": "400", "error": error })),
        ("headers inside", json!({ "type": "error", "status": 400, "error": with_headers })),
        (
            "headers outside",
            json!({ "type": "error", "status": 400, "error": error, "headers": headers }),
        ),
        (
            "Azure, xAI: no error.type",
            json!({ "type": "error", "status": 400, "error": { "code": CODE, "message": NOT_FOUND,
                "param": "previous_response_id" } }),
        ),
        ("code alone", json!({ "type": "error", "status": 400, "error": { "code": CODE } })),
        (
            "flat",
            json!({ "type": "error", "code": CODE, "message": NOT_FOUND,
                "param": "previous_response_id", "sequence_number": 0 }),
        ),
        ("flat, message alone", json!({ "type": "error", "code": null, "message": NOT_FOUND })),
        ("message alone", json!({ "type": "error", "status": 400, "error": worded(NOT_FOUND) })),
        ("message alone, no status", json!({ "type": "error", "error": worded(NOT_FOUND) })),
        ("the other message", json!({ "type": "error", "status": 400, "error": worded(INVALID) })),
        ("expired", json!({ "type": "error", "status": 410, "error": worded(EXPIRED) })),
        ("gone by another word", json!({ "type": "error", "error": worded(ABSENT) })),
        (
            "param alone",
            json!({ "type": "error", "status": 400, "error": { "type": "invalid_request_error",
                "code": null, "message": "No.", "param": "previous_response_id" } }),
        ),
        (
            "ChatGPT backend",
            json!({ "type": "error", "status": 400, "error": { "detail": NOT_FOUND } }),
        ),
        (
            "ChatGPT backend, the other message",
            json!({ "type": "error", "status": 400, "error": { "detail": INVALID } }),
        ),
        ("no type", json!({ "error": error })),
        ("error as text", json!({ "error": NOT_FOUND })),
        ("detail alone", json!({ "detail": NOT_FOUND })),
        ("message at the top", json!({ "message": NOT_FOUND })),
        ("response.error, nested", json!({ "type": "response.error", "error": error })),
        (
            "response.error, flat",
            json!({ "type": "response.error", "code": CODE, "message": NOT_FOUND }),
        ),
        ("failed", failed(json!({ "code": CODE, "message": NOT_FOUND }))),
        ("failed, message alone", failed(json!({ "code": null, "message": NOT_FOUND }))),
    ]
}

/// The bodies of HTTP errors.
fn bodies() -> Vec<(&'static str, String)> {
    let error = json!({ "type": "invalid_request_error", "code": CODE, "message": NOT_FOUND,
        "param": "previous_response_id" });
    vec![
        ("nested", json!({ "error": error }).to_string()),
        (
            "no type",
            json!({ "error": { "code": CODE, "message": NOT_FOUND, "param": null } }).to_string(),
        ),
        ("message alone", json!({ "error": { "code": null, "message": INVALID } }).to_string()),
        ("error as text", json!({ "error": NOT_FOUND }).to_string()),
        ("detail", json!({ "detail": NOT_FOUND }).to_string()),
        ("message at the top", json!({ "message": NOT_FOUND }).to_string()),
        ("a JSON text", json!(NOT_FOUND).to_string()),
        ("plain text", NOT_FOUND.to_owned()),
    ]
}

/// Everything that says it on this transport.
fn shapes(transport: Transport) -> Vec<(String, Turn)> {
    let frame = |(name, frame): (&str, Value)| (name.to_owned(), Turn::events([frame]));
    let mut shapes: Vec<_> = frames().into_iter().map(frame).collect();
    if transport == Transport::Sse {
        for (status, (name, body)) in
            [400, 404].into_iter().flat_map(|s| bodies().into_iter().map(move |b| (s, b)))
        {
            let refusal = Refusal::status(status).header("content-type", "application/json");
            let turn = Turn::text("").http(refusal.body(body));
            shapes.push((format!("HTTP {status}, {name}"), turn));
        }
    }
    shapes
}

/// Three turns of one conversation whose second is answered by `shape` first, and may make no
/// attempt of its own. Returns the turns behind the first.
async fn conversation(transport: Transport, shape: Turn) -> (Outcome, Outcome, ScriptedServer) {
    let turns = [Turn::text("a"), shape, Turn::text("b"), Turn::text("c")];
    let server = ScriptedServer::in_memory(Script::new().turns(turns));
    let mut retry = RetryPolicy::default();
    retry.max_attempts = 1;
    let client = builder(&server).transport(only(transport)).continue_over_sse(true).retry(retry);
    let mut session = client.build().expect("a client").session();
    let one = request(&["one"]).store(true);
    let first = turn(&mut session, &one).await;
    let two = appended(&one, &first, "two");
    let second = turn(&mut session, &two).await;
    let three = match second.result {
        Ok(_) => appended(&two, &second, "three"),
        Err(_) => two,
    };
    let third = turn(&mut session, &three).await;
    (second, third, server)
}

fn created(outcome: &Outcome) -> usize {
    outcome.kinds().iter().filter(|kind| **kind == "response.created").count()
}

#[tokio::test(start_paused = true)]
async fn c022_c108_a_lost_parent_in_every_shape_is_answered_by_one_full_request() {
    for transport in BOTH {
        for (shape, turn) in shapes(transport) {
            let what = format!("{transport}: {shape}");
            let start = Instant::now();
            let (second, third, server) = conversation(transport, turn).await;
            // At once: a wait of the ladder would be 150 ms and more.
            assert!(start.elapsed() < Duration::from_millis(50), "{what}");
            assert_eq!(second.result.as_ref().expect(&what).output_text(), "b", "{what}");
            assert_eq!((created(&second), second.kinds()[0]), (1, "response.created"), "{what}");
            assert_eq!(second.report.plan, full(FullSendReason::ParentNotFound), "{what}");
            assert_eq!((second.report.attempts.len(), second.report.reused), (2, true), "{what}");
            assert!(second.report.attempts[0].failure.is_some(), "{what}");
            // C023: the next one is incremental again, and continues the full one.
            assert_eq!(third.response().output_text(), "c", "{what}");
            assert_eq!(third.report.plan, incremental(1), "{what}");
            let log = server.log();
            let sent: Vec<_> = log.requests.iter().map(|r| (r.connection, r.input_items)).collect();
            assert_eq!(sent, [(0, 1), (0, 1), (0, 3), (0, 1)], "{what}");
            let parents: Vec<_> =
                log.requests.iter().map(|r| r.previous_response_id.is_some()).collect();
            assert_eq!(parents, [false, true, false, true], "{what}");
            assert_eq!(
                log.requests[3].previous_response_id.as_deref(),
                Some(second.response().id())
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c022_a_parent_that_is_lost_after_created_is_resent_for_under_the_same_created() {
    for transport in BOTH {
        let begun = json!({ "type": "response.created",
            "response": { "id": "resp_x", "status": "in_progress", "output": [] } });
        for (shape, frame) in frames() {
            let lost = Turn::events([begun.clone(), frame]);
            let (second, third, server) = conversation(transport, lost).await;
            let what = format!("{transport}: {shape}");
            assert_eq!(second.result.as_ref().expect(&what).output_text(), "b", "{what}");
            assert_eq!((created(&second), second.kinds()[0]), (1, "response.created"), "{what}");
            assert_eq!(second.report.plan, full(FullSendReason::ParentNotFound), "{what}");
            assert_eq!(third.report.plan, incremental(1), "{what}");
            assert_eq!(server.log().connections.len(), 1, "{what}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c022_what_only_sounds_like_it_is_an_error() {
    let nested =
        |status: u16, error: Value| json!({ "type": "error", "status": status, "error": error });
    let others = [
        nested(
            400,
            json!({ "code": null, "message": "Item with id 'rs_1' not found. Items are not persisted when `store` is set to false.", "param": "input" }),
        ),
        nested(
            404,
            json!({ "code": "model_not_found", "message": "The model 'm' was not found." }),
        ),
        nested(400, json!({ "code": "invalid_value", "message": "No.", "param": "model" })),
        nested(403, json!({ "code": null, "message": NOT_FOUND })),
    ];
    for transport in BOTH {
        for frame in &others {
            let (second, third, server) =
                conversation(transport, Turn::events([frame.clone()])).await;
            assert!(second.result.is_err(), "{transport} {frame}");
            // The next turn is the one that the script has for the resend.
            assert_eq!(third.response().output_text(), "b", "{transport} {frame}");
            assert_eq!(third.report.plan, full(FullSendReason::PriorNotCompleted));
            assert_eq!(server.log().requests.len(), 3, "{transport} {frame}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c022_after_output_a_lost_parent_is_an_error() {
    for transport in BOTH {
        let (_, frame) = frames().remove(0);
        let cut = Turn::text("some text").cut_after(6, Step::Event(frame));
        let (second, third, server) = conversation(transport, cut).await;
        assert_eq!(second.error().code().map(|code| code.as_str()), Some(CODE), "{transport}");
        assert_eq!(third.report.plan, full(FullSendReason::PriorNotCompleted));
        assert_eq!(server.log().requests.len(), 3, "{transport}");
    }
}

/// What servers say that do not take the parameter, or not here.
fn unsupported() -> Vec<Value> {
    let nested =
        |status: u16, error: Value| json!({ "type": "error", "status": status, "error": error });
    let only = "previous_response_id is only supported on Responses WebSocket v2.";
    vec![
        nested(
            400,
            json!({ "code": "unsupported_parameter", "param": "previous_response_id",
                "message": "Unsupported parameter: previous_response_id" }),
        ),
        nested(400, json!({ "code": null, "message": only })),
        nested(404, json!({ "detail": only })),
        nested(422, json!({ "message": "Unknown parameter: 'previous_response_id'." })),
        json!({ "type": "error", "code": "unknown_parameter",
            "message": "previous_response_id?", "param": null }),
        json!({ "detail": only }),
        nested(400, json!({ "message": "No.", "param": "previous_response_id" })),
    ]
}

/// Answers what names a parent by `refusal` as long as `refuses` says so.
fn refusing(refusal: Value, refuses: impl Fn() -> bool + Send + Sync + 'static) -> ScriptedServer {
    ScriptedServer::in_memory(Script::new().respond(move |exchange| {
        match exchange.body["previous_response_id"].is_string() && refuses() {
            true => Turn::events([refused_as(&refusal, &exchange.response_id)]),
            false => Turn::text("an answer"),
        }
    }))
}

/// The refusal with another id for each response that it names.
fn refused_as(refusal: &Value, id: &str) -> Value {
    let mut refusal = refusal.clone();
    if let Some(own) = refusal.pointer_mut("/response/id") {
        *own = id.into();
    }
    refusal
}

fn continuing(server: &ScriptedServer, transport: Transport) -> ResponsesClient {
    let client = builder(server).transport(only(transport)).continue_over_sse(true);
    client.build().expect("a client")
}

/// The plans of further turns of a conversation.
async fn plans(
    session: &mut ResponsesSession,
    asks: &mut ResponsesRequest,
    turns: usize,
) -> Vec<Option<Plan>> {
    let mut plans = Vec::new();
    for _ in 0..turns {
        let outcome = turn(session, asks).await;
        assert_eq!(outcome.response().output_text(), "an answer");
        *asks = appended(asks, &outcome, "more");
        plans.push(outcome.report.plan);
    }
    plans
}

#[tokio::test(start_paused = true)]
async fn c128_a_server_that_does_not_take_parents_is_asked_twice_and_then_left_in_peace() {
    let first = full(FullSendReason::FirstTurn);
    let lost = full(FullSendReason::ParentNotFound);
    let off = full(FullSendReason::ProviderUnsupported);
    for transport in BOTH {
        for refusal in unsupported() {
            let refuses = Arc::new(AtomicBool::new(true));
            let still = Arc::clone(&refuses);
            let server = refusing(refusal.clone(), move || still.load(Ordering::Relaxed));
            let client = continuing(&server, transport);
            let mut session = client.session();
            let mut asks = request(&["one"]).store(true);
            let expected = [&first, &lost, &lost, &off, &off].map(Clone::clone);
            let what = format!("{transport} {refusal}");
            assert_eq!(plans(&mut session, &mut asks, 5).await, expected, "{what}");
            assert_eq!(server.log().requests.len(), 7, "each refusal cost one more request");
            // All sessions of the origin know.
            let (mut other, mut others) = (client.session(), request(&["two"]).store(true));
            let expected = [&first, &off].map(Clone::clone);
            assert_eq!(plans(&mut other, &mut others, 2).await, expected, "{what}");
            // A prewarm sends nothing that could not be continued.
            let before = server.log().requests.len();
            session.prewarm(request(&["another"])).expect("a runtime");
            settled(&server).await;
            assert_eq!(server.log().requests.len(), before, "{what}");

            // One probe after the time, which is refused by whichever session.
            advance(Duration::from_secs(600)).await;
            let probed = plans(&mut other, &mut others, 1).await;
            assert_eq!(probed.first(), Some(&lost), "{what}");
            assert_eq!(plans(&mut session, &mut asks, 2).await, [off.clone(), off.clone()]);
            advance(Duration::from_secs(599)).await;
            let still_off = plans(&mut session, &mut asks, 1).await;
            assert_eq!(still_off.first(), Some(&off), "{what}");
            // Success forgets it.
            refuses.store(false, Ordering::Relaxed);
            advance(Duration::from_secs(1)).await;
            let continued = plans(&mut session, &mut asks, 2).await;
            assert_eq!(continued, [incremental(1), incremental(1)], "{what}");
            assert_eq!(plans(&mut other, &mut others, 1).await, [incremental(1)], "{what}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c128_refusals_that_are_not_in_a_row_or_of_which_the_full_request_fails_turn_nothing_off() {
    let refusal = unsupported().remove(0);
    for transport in BOTH {
        // Each second parent is refused.
        let count = AtomicUsize::new(0);
        let server = refusing(refusal.clone(), move || {
            count.fetch_add(1, Ordering::Relaxed).is_multiple_of(2)
        });
        let mut session = continuing(&server, transport).session();
        let mut asks = request(&["one"]).store(true);
        let lost = full(FullSendReason::ParentNotFound);
        let expected = [lost.clone(), incremental(1), lost.clone(), incremental(1), lost];
        plans(&mut session, &mut asks, 1).await;
        assert_eq!(plans(&mut session, &mut asks, 5).await, expected, "{transport}");

        // The full request fails, too.
        let error = || Turn::error(400, "invalid_value", "no");
        let refused = || Turn::events([refusal.clone()]);
        let ok = || Turn::text("an answer");
        let turns =
            [ok(), refused(), error(), ok(), refused(), error(), ok(), refused(), ok(), ok()];
        let server = ScriptedServer::in_memory(Script::new().turns(turns));
        let mut session = continuing(&server, transport).session();
        let mut asks = request(&["one"]).store(true);
        for _ in 0..2 {
            plans(&mut session, &mut asks, 1).await;
            assert_eq!(turn(&mut session, &asks).await.error().status(), Some(400));
        }
        plans(&mut session, &mut asks, 1).await;
        let expected = [full(FullSendReason::ParentNotFound), incremental(1)];
        assert_eq!(plans(&mut session, &mut asks, 2).await, expected, "{transport}");
    }
}

#[tokio::test(start_paused = true)]
async fn c128_a_parent_that_is_gone_each_time_turns_nothing_off() {
    for transport in BOTH {
        for (name, gone) in frames() {
            // Two failures with one id: over a WebSocket the second is a late one of the first.
            let has_id = gone.pointer("/response/id").is_some();
            if name == "param alone" || has_id {
                continue;
            }
            let server = refusing(gone, || true);
            let client = continuing(&server, transport);
            let mut session = client.session();
            let mut asks = request(&["one"]).store(true);
            plans(&mut session, &mut asks, 1).await;
            let expected = [(); 4].map(|()| full(FullSendReason::ParentNotFound));
            assert_eq!(plans(&mut session, &mut asks, 4).await, expected, "{transport} {name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c128_a_parent_of_the_callers_own_is_given_up_for_no_refusal() {
    for transport in BOTH {
        for refusal in unsupported() {
            let server = refusing(refusal.clone(), || true);
            let client = continuing(&server, transport);
            for _ in 0..2 {
                let mut session = client.session();
                let first = request(&["one"]).store(true);
                let outcome = turn(&mut session, &first).await;
                let id = outcome.response().id().to_owned();
                let own = request(&["two"]).store(true).previous_response_id(id);
                let refused = turn(&mut session, &own).await;
                assert!(refused.result.is_err(), "{transport} {refusal}");
                assert_eq!(refused.report.attempts.len(), 1, "{transport} {refusal}");
            }
            let (mut session, mut asks) = (client.session(), request(&["one"]).store(true));
            plans(&mut session, &mut asks, 1).await;
            let next = plans(&mut session, &mut asks, 1).await;
            assert_eq!(next, [full(FullSendReason::ParentNotFound)], "nothing is turned off");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c129_a_call_or_an_output_that_the_server_lacks_is_answered_by_one_full_request() {
    let texts = [
        "No tool call found for function call output with call_id call_1.",
        "No tool output found for function call call_1.",
    ];
    for transport in BOTH {
        for text in texts {
            for frame in [
                json!({ "type": "error", "status": 400, "error": { "type": "invalid_request_error",
                    "code": null, "message": text, "param": "input" } }),
                json!({ "type": "error", "code": null, "message": text }),
                json!({ "detail": text }),
            ] {
                let what = format!("{transport} {frame}");
                let (second, third, server) =
                    conversation(transport, Turn::events([frame.clone()])).await;
                assert_eq!(second.response().output_text(), "b", "{what}");
                assert_eq!(second.report.plan, full(FullSendReason::ParentNotFound), "{what}");
                assert_eq!(third.report.plan, incremental(1), "{what}");
                assert_eq!(server.log().connections.len(), 1, "{what}");
                // In full it is the caller's own history that lacks it.
                let turns = [Turn::events([frame]), Turn::text("a")];
                let server = ScriptedServer::in_memory(Script::new().turns(turns));
                let mut session = continuing(&server, transport).session();
                let outcome = turn(&mut session, &request(&["one"])).await;
                assert!(outcome.result.is_err(), "{what}");
                assert_eq!(server.log().requests.len(), 1, "{what}");
            }
        }
    }
}

const SESSIONS: usize = 50;

/// Fifty sessions of one client, each of which has had two turns.
async fn fifty(client: &ResponsesClient, store: bool) -> Vec<(ResponsesSession, ResponsesRequest)> {
    let mut sessions = Vec::new();
    for index in 0..SESSIONS {
        let mut session = client.session();
        let mut asks = request(&[format!("task {index}").as_str()]).store(store);
        let plans = plans(&mut session, &mut asks, 2).await;
        assert_eq!(plans, [full(FullSendReason::FirstTurn), incremental(1)]);
        sessions.push((session, asks));
    }
    sessions
}

/// Three more turns of each session, all at the same time. Returns their plans.
async fn all_go_on(sessions: Vec<(ResponsesSession, ResponsesRequest)>) -> Vec<Vec<Option<Plan>>> {
    let going_on = sessions
        .into_iter()
        .map(|(mut session, mut asks)| async move { plans(&mut session, &mut asks, 3).await });
    futures_util::future::join_all(going_on).await
}

#[tokio::test(start_paused = true)]
async fn c128_fifty_sessions_that_lose_their_parents_together_lose_nothing_else() {
    for transport in BOTH {
        for (name, gone) in frames() {
            if !matches!(name, "nested" | "param alone") {
                continue;
            }
            let known = Arc::new(Mutex::new(HashSet::new()));
            let knows = Arc::clone(&known);
            let server = ScriptedServer::in_memory(Script::new().respond(move |exchange| {
                let mut known = knows.lock().expect("no panic");
                let parent = exchange.body["previous_response_id"].as_str();
                if parent.is_some_and(|id| !known.contains(id)) {
                    return Turn::events([gone.clone()]);
                }
                known.insert(exchange.response_id.clone());
                Turn::text("an answer")
            }));
            let client = continuing(&server, transport);
            let sessions = fifty(&client, true).await;
            // The server forgets all that it had.
            known.lock().expect("no panic").clear();
            for plans in all_go_on(sessions).await {
                let lost = full(FullSendReason::ParentNotFound);
                assert_eq!(plans, [lost, incremental(1), incremental(1)], "{transport} {name}");
            }
            let requests = SESSIONS * (2 + 3 + 1);
            assert_eq!(server.log().requests.len(), requests, "{transport} {name}");
            assert_eq!(client.fallback(), None);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c128_fifty_sessions_get_through_a_restart_of_their_server() {
    for (close, store) in [(1012, false), (1001, false), (1006, false), (1012, true)] {
        let server = ScriptedServer::in_memory(Script::new().respond(|_| Turn::text("an answer")));
        let client = continuing(&server, Transport::WebSocket);
        let sessions = fifty(&client, store).await;
        match close {
            1006 => server.drop_connections(),
            code => server.close_idle(code, "restart"),
        }
        server.wait_for(|log| log.open_connections() == 0).await;
        settled(&server).await;
        for plans in all_go_on(sessions).await {
            // What is stored outlives its connection.
            let first =
                if store { incremental(1) } else { full(FullSendReason::ConnectionChanged) };
            assert_eq!(plans, [first, incremental(1), incremental(1)], "{close} {store}");
        }
        let log = server.log();
        assert_eq!(log.requests.len(), SESSIONS * 5, "{close} {store}");
        assert_eq!((log.websockets().count(), client.fallback()), (2 * SESSIONS, None));
    }
}
