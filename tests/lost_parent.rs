//! Conformance, group D: every way in which servers say that the response to be continued is gone.

use std::time::Duration;

use responses_client::{
    RetryPolicy, Transport,
    report::FullReason,
    testing::{Refusal, Script, ScriptedServer, Step, Turn},
};
use serde_json::{Value, json};
use tokio::time::Instant;

use support::{BOTH, Outcome, appended, builder, full, incremental, only, request, turn};

mod support;

const CODE: &str = "previous_response_not_found";
const NOT_FOUND: &str = "Previous response with id 'resp_abc' not found.";
const INVALID: &str = "Invalid previous_response_id.";

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
    retry.attempts = 1;
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
            assert_eq!(second.report.plan, full(FullReason::ParentNotFound), "{what}");
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
            assert_eq!(log.requests[3].previous_response_id.as_deref(), second.response().id());
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
            assert_eq!(second.report.plan, full(FullReason::ParentNotFound), "{what}");
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
            assert_eq!(third.report.plan, full(FullReason::PriorNotCompleted));
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
        assert_eq!(third.report.plan, full(FullReason::PriorNotCompleted));
        assert_eq!(server.log().requests.len(), 3, "{transport}");
    }
}
