//! Scripts from files, and runs that are recorded and had again: how to test with them.

use std::time::Duration;

use responses_client::{
    ErrorKind, ResponsesClientBuilder, RetryPolicy, Transport,
    testing::{Script, ScriptedServer, Step, Turn},
};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{BOTH, Outcome, appended, builder, only, request, turn};

const FILE: &str = r#"{
    "turns": [
        { "text": "Hello" },
        { "output": [{ "type": "function_call", "call_id": "call_1", "name": "ls",
                       "arguments": "{\"path\":\".\"}" }] },
        { "text": "A long answer that is cut", "edits": [{ "cut_after": [6, "reset"] }] }
    ],
    "then": { "error": { "status": 401, "code": "invalid_api_key", "message": "No." } }
}"#;

#[tokio::test(start_paused = true)]
async fn a_session_against_a_script_from_a_file() {
    for transport in BOTH {
        let server = ScriptedServer::in_memory(Script::from_json(FILE).unwrap());
        let client = builder(&server).transport(only(transport)).build().unwrap();
        let mut session = client.session();
        let mut request = request(&["hi"]);

        let hello = turn(&mut session, &request).await;
        assert_eq!(hello.response().output_text(), "Hello");
        request = appended(&request, &hello, "list");
        let call = turn(&mut session, &request).await;
        assert_eq!(call.response().function_calls()[0].name, "ls");
        request = appended(&request, &call, "more");
        let cut = turn(&mut session, &request).await;
        assert_eq!((cut.events.len(), cut.error().kind()), (6, ErrorKind::Truncated));
        for _ in 0..2 {
            let refused = turn(&mut session, &request).await;
            assert_eq!(refused.error().status(), Some(401), "{transport:?}");
        }
        assert_eq!(server.log().requests.len(), 5);
    }
}

#[tokio::test(start_paused = true)]
async fn edits_apply_in_their_order() {
    const EDITED: &str = r#"{ "turns": [{ "text": "Hello", "edits": [
        { "cut_after": [4, "reset"] },
        { "insert": [3, { "text": "{\"type\":\"x.y\"}" }] },
        { "insert": [3, { "delay_ms": 20 }] },
        { "first": { "comment": "ok" } },
        { "then": { "text": "{}" } }
    ] }] }"#;
    for transport in BOTH {
        let server = ScriptedServer::in_memory(Script::from_json(EDITED).unwrap());
        let client = once(&server, transport).build().unwrap();
        let began = Instant::now();
        let outcome = turn(&mut client.session(), &request(&["hi"])).await;
        let kinds = [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "x.y",
            "response.content_part.added",
        ];
        let kind = |event: &str| serde_json::from_str::<Value>(event).unwrap()["type"].clone();
        let seen: Vec<_> = raw(&outcome).into_iter().map(kind).collect();
        assert_eq!(seen, kinds);
        assert_eq!(outcome.error().kind(), ErrorKind::Truncated);
        assert_eq!(began.elapsed(), Duration::from_millis(20));
    }
}

/// A client that tries once: a recording has the end of a turn, not the attempts before it.
fn once(server: &ScriptedServer, transport: Transport) -> ResponsesClientBuilder {
    let mut retry = RetryPolicy::default();
    retry.max_attempts = 1;
    builder(server).transport(only(transport)).retry(retry)
}

/// Three turns: one that goes well, one that is cut, one that is refused.
async fn run(server: &ScriptedServer, transport: Transport) -> Vec<Outcome> {
    let client = once(server, transport).build().unwrap();
    let mut session = client.session();
    let mut request = request(&["hi"]);
    let mut outcomes = vec![turn(&mut session, &request).await];
    request = appended(&request, &outcomes[0], "more");
    for _ in 0..2 {
        outcomes.push(turn(&mut session, &request).await);
    }
    outcomes
}

/// What `responses run --record` writes of a run in which each event took 3 ms.
fn recording(transport: Transport, outcomes: &[Outcome]) -> String {
    let transport = match transport {
        Transport::WebSocket => "websocket",
        _ => "sse",
    };
    let mut lines = String::new();
    for (turn, outcome) in (1..).zip(outcomes) {
        let mut at_ms = 0;
        for event in &outcome.events {
            at_ms += 3;
            let event = event.raw();
            lines += &format!(
                r#"{{"turn":{turn},"at_ms":{at_ms},"transport":"{transport}","event":{event}}}"#
            );
            lines.push('\n');
        }
        if let Err(error) = &outcome.result {
            let error = json!({
                "kind": error.kind().as_str(),
                "delivery": error.delivery().as_str(),
                "status": error.status(),
                "code": error.code().map(|code| code.as_str()),
                "message": error.api_error().map(|api| api.message()),
                "retry_after_ms": error.retry_after().map(|time| time.as_millis() as u64),
            });
            let line =
                json!({ "turn": turn, "at_ms": at_ms, "transport": transport, "error": error });
            lines += &format!("{line}\n");
        }
    }
    lines
}

fn raw(outcome: &Outcome) -> Vec<&str> {
    outcome.events.iter().map(|event| event.raw()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_recorded_run_is_had_again_byte_for_byte() {
    let script = || {
        Script::new().turns([
            Turn::text("Hello there"),
            Turn::text("This one is cut").cut_after(5, Step::Reset),
            Turn::error(429, "rate_limit_exceeded", "Wait").header("retry-after", "2"),
        ])
    };
    for recorded_on in BOTH {
        let first = run(&ScriptedServer::in_memory(script()), recorded_on).await;
        let recording = recording(recorded_on, &first);
        for transport in BOTH {
            let server = ScriptedServer::in_memory(Script::parse(&recording).unwrap());
            let began = Instant::now();
            let again = run(&server, transport).await;
            let events: usize = first.iter().map(|outcome| outcome.events.len()).sum();
            assert_eq!(began.elapsed(), Duration::from_millis(3 * events as u64));
            for (first, again) in first.iter().zip(&again) {
                assert_eq!(raw(first), raw(again));
            }
            assert_eq!(again[1].error().kind(), ErrorKind::Truncated);
            let refused = again[2].error();
            assert_eq!(refused.status(), Some(429), "{transport:?}");
            assert_eq!(refused.retry_after(), Some(Duration::from_secs(2)));
            assert_eq!(server.log().requests.len(), 3);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_recorded_error_after_events_comes_after_them_and_a_timeout_is_a_silence() {
    let created = json!({ "type": "response.created", "response": { "id": "resp_1" } });
    let lines: [Value; 4] = [
        json!({ "turn": 1, "at_ms": 1, "transport": "sse", "event": created }),
        json!({ "turn": 1, "at_ms": 2, "transport": "sse", "error":
            { "kind": "api", "status": 500, "code": "server_error", "message": "no" } }),
        json!({ "turn": 2, "at_ms": 1, "transport": "sse", "event": created }),
        json!({ "turn": 2, "at_ms": 9, "transport": "sse", "error": { "kind": "timeout" } }),
    ];
    let recording = lines.map(|line| line.to_string()).join("\n");
    for transport in BOTH {
        let server = ScriptedServer::in_memory(Script::parse(&recording).unwrap());
        let mut timeouts = responses_client::Timeouts::default();
        timeouts.turn = Some(Duration::from_secs(5));
        let client = once(&server, transport).timeouts(timeouts);
        let mut session = client.build().unwrap().session();
        let failed = turn(&mut session, &request(&["hi"])).await;
        assert_eq!(failed.kinds(), ["response.created"]);
        assert_eq!(failed.error().status(), Some(500));
        let silent = turn(&mut session, &request(&["hi"])).await;
        assert_eq!(silent.kinds(), ["response.created"]);
        assert_eq!(silent.error().kind(), ErrorKind::Timeout);
    }
}
