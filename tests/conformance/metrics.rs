//! The counts of a client.

use std::{collections::BTreeMap, time::Duration};

#[cfg(feature = "metrics")]
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use responses_client::{
    AtCapacity, ClientMetrics, PoolPolicy, Provider, ResponsesClient, Sharing, Transport,
    testing::{Gate, Refusal, Script, ScriptedServer, Step, Turn, Upgrade},
};
use serde_json::{Value, json};

use crate::support::{BOTH, appended, builder, only, request, settled, turn};

fn client(server: &ScriptedServer, transport: Transport) -> ResponsesClient {
    builder(server).transport(only(transport)).build().expect("a client")
}

fn retired(client: &ResponsesClient) -> BTreeMap<&'static str, u64> {
    client.metrics().websockets_retired
}

fn open(metrics: &ClientMetrics) -> u64 {
    metrics.websockets_opened - metrics.websockets_retired.values().sum::<u64>()
}

#[tokio::test(start_paused = true)]
async fn c280_a_client_counts_the_turns_plans_retries_and_bytes_of_all_its_sessions() {
    for transport in BOTH {
        let busy = Turn::error(429, "rate_limit_exceeded", "no");
        let script = Script::new()
            .turn(busy)
            .turn(Turn::text("hi"))
            .turn(Turn::text("again"))
            .turn(Turn::error(400, "invalid_prompt", "no"))
            .turn(Turn::incomplete([], "max_output_tokens"))
            .turn(Turn::text("unread"));
        let server = ScriptedServer::in_memory(script);
        let client = client(&server, transport);
        let (mut session, first) = (client.session(), request(&["hi"]));
        let one = turn(&mut session, &first).await;
        let two = turn(&mut session, &appended(&first, &one, "and?")).await;
        let mut other = client.clone().session();
        let three = turn(&mut other, &request(&["other"])).await;
        let four = turn(&mut other, &request(&["long"])).await;
        drop(other.stream(&request(&["more"])).await.expect("it began"));

        let metrics = client.metrics();
        let outcomes = [("api", 1), ("completed", 2), ("dropped", 1), ("incomplete", 1)];
        assert_eq!(metrics.turns, [(transport.as_str(), outcomes.into())].into());
        assert_eq!(metrics.retries, [("api", 1)].into());
        let mut plans = vec![("first_turn", 3), ("prior_not_completed", 2)];
        match transport {
            Transport::WebSocket => plans.push(("incremental", 1)),
            _ => plans.push(("provider_unsupported", 1)),
        }
        assert_eq!(metrics.plans, plans.into_iter().collect());
        let reports = [&one, &two, &three, &four].map(|outcome| &outcome.report);
        let sent: u64 = reports.iter().map(|report| report.bytes_sent).sum();
        let received: u64 = reports.iter().map(|report| report.bytes_received).sum();
        assert!(metrics.bytes_sent > sent && metrics.bytes_received > received);
        assert!(metrics.bytes_sent < sent + 500, "and the bytes of the turn that was dropped");
        assert_eq!(metrics.fallbacks, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn c280_a_fallback_counts_once_for_its_turn() {
    let script =
        Script::new().upgrade(Upgrade::Refuse(Refusal::status(426))).respond(|_| Turn::text("hi"));
    let server = ScriptedServer::in_memory(script);
    let client = builder(&server).build().expect("a client");
    for _ in 0..2 {
        turn(&mut client.session(), &request(&["hi"])).await.response();
    }
    let metrics = client.metrics();
    assert_eq!((metrics.fallbacks, metrics.websockets_opened), (1, 0));
    assert_eq!(metrics.retries, [("upgrade_refused", 1)].into());
    assert_eq!(metrics.turns, [("sse", [("completed", 2)].into())].into());
}

#[tokio::test(start_paused = true)]
async fn c280_the_metrics_serialize_under_their_names_in_a_stable_order() {
    let server = ScriptedServer::in_memory(Script::new().respond(|_| Turn::text("hi")));
    let client = client(&server, Transport::WebSocket);
    turn(&mut client.session(), &request(&["hi"])).await;
    settled(&server).await;
    let metrics = client.metrics();
    let json = serde_json::to_string(&metrics).expect("numbers and names");
    let value: Value = serde_json::from_str(&json).expect("JSON");
    let (sent, received) = (metrics.bytes_sent, metrics.bytes_received);
    assert_eq!(
        value,
        json!({
            "websockets_opened": 1,
            "websockets_reused": 0,
            "websockets_retired": { "session_ended": 1 },
            "lanes_in_use": 0,
            "lane_waits": {},
            "http_connections_opened": 0,
            "http_connections_reused": 0,
            "http_connections_retired": {},
            "turns": { "websocket": { "completed": 1 } },
            "plans": { "first_turn": 1 },
            "retries": {},
            "fallbacks": 0,
            "bytes_sent": sent,
            "bytes_received": received,
        })
    );
    assert_eq!(json, serde_json::to_string(&client.metrics()).expect("the same text"));
    assert!(json.starts_with(r#"{"websockets_opened":1,"websockets_reused":0,"#));
}

#[tokio::test(start_paused = true)]
async fn c281_a_websocket_that_was_open_before_the_attempt_is_reused() {
    let server = ScriptedServer::in_memory(Script::new().respond(|_| Turn::text("hi")));
    let client = client(&server, Transport::WebSocket);
    let mut session = client.session();
    session.preconnect().expect("a runtime");
    settled(&server).await;
    assert_eq!((client.metrics().websockets_opened, client.metrics().websockets_reused), (1, 0));
    for reused in 1..=2 {
        turn(&mut session, &request(&["hi"])).await;
        assert_eq!(client.metrics().websockets_reused, reused);
    }
    assert_eq!((client.metrics().websockets_opened, open(&client.metrics())), (1, 1));
    assert!(retired(&client).is_empty());
    let mut fresh = client.session();
    turn(&mut fresh, &request(&["hi"])).await;
    let metrics = client.metrics();
    assert_eq!((metrics.websockets_opened, metrics.websockets_reused), (2, 2));
    session.close().await;
    drop(fresh);
    assert_eq!(retired(&client), [("session_ended", 2)].into());
}

#[tokio::test(start_paused = true)]
async fn c281_a_websocket_that_was_closed_while_idle_is_not_one_that_failed() {
    let script = Script::new()
        .turn(Turn::text("hi").then(Step::Close { code: Some(1000), reason: String::new() }))
        .turn(Turn::text("hi").cut_after(3, Step::Reset))
        .respond(|_| Turn::text("hi"));
    let server = ScriptedServer::in_memory(script);
    let client = client(&server, Transport::WebSocket);
    let mut session = client.session();
    turn(&mut session, &request(&["hi"])).await.response();
    settled(&server).await;
    assert!(retired(&client).is_empty(), "it is found closed when it is needed");
    turn(&mut session, &request(&["other"])).await;
    let metrics = client.metrics();
    assert_eq!(metrics.websockets_retired.get("idle_closed"), Some(&1));
    turn(&mut session, &request(&["third"])).await;
    assert_eq!(retired(&client), [("error", 1), ("idle_closed", 1)].into());
    assert_eq!(open(&client.metrics()), 1);
}

#[tokio::test(start_paused = true)]
async fn c281_a_websocket_of_a_turn_that_was_given_up_is_cancelled() {
    let server = ScriptedServer::in_memory(
        Script::new().respond(|_| Turn::text("hi").cut_after(4, Step::Stall)),
    );
    let client = client(&server, Transport::WebSocket);
    let mut session = client.session();
    let superseded = session.stream(&request(&["one"])).await.expect("it began");
    let dropped = session.stream(&request(&["two"])).await.expect("it began");
    assert_eq!(retired(&client), [("cancelled", 1)].into(), "nobody polled the first stream");
    drop((superseded, dropped));
    session.close().await;
    assert_eq!(retired(&client), [("cancelled", 2)].into());
    let turns = [("websocket", [("dropped", 2)].into())];
    assert_eq!(client.metrics().turns, turns.into());
}

#[tokio::test(start_paused = true)]
async fn c281_a_stream_that_is_dropped_after_its_end_says_nothing_of_the_websocket() {
    let close = Step::Close { code: Some(1000), reason: String::new() };
    let script = Script::new().turn(Turn::text("hi").then(close)).respond(|_| Turn::text("hi"));
    let server = ScriptedServer::in_memory(script);
    let client = client(&server, Transport::WebSocket);
    let (mut session, asked) = (client.session(), request(&["hi"]));
    let mut stream = session.stream(&asked).await.expect("it began");
    while stream.try_next().await.expect("no error").is_some() {}
    settled(&server).await;
    drop(stream);
    turn(&mut session, &asked).await;
    assert_eq!(retired(&client), [("idle_closed", 1)].into());
    let turns = [("websocket", [("completed", 2)].into())];
    assert_eq!(client.metrics().turns, turns.into());
}

#[tokio::test(start_paused = true)]
async fn c281_a_websocket_that_is_replaced_has_the_reason_of_its_replacement() {
    let server = ScriptedServer::in_memory(Script::new().respond(|_| Turn::text("hi")));
    let provider = Provider::compatible(&server.url()).expect("a URL");
    let provider = provider.max_age(Some(Duration::from_secs(600)));
    let client = builder(&server).provider(provider).transport(only(Transport::WebSocket));
    let client = client.build().expect("a client");
    let mut session = client.session();
    turn(&mut session, &request(&["hi"])).await;
    tokio::time::advance(Duration::from_secs(900)).await;
    settled(&server).await;
    turn(&mut session, &request(&["other"])).await;
    assert_eq!(retired(&client), [("max_age", 1)].into());
    let other = builder(&server).account("other").build().expect("a client");
    session.set_client(&other);
    assert_eq!(retired(&client), [("max_age", 1), ("session_ended", 1)].into());
    assert_eq!(other.metrics(), ClientMetrics::default());
}

/// Returns the numbers of HTTP connections that were opened and of requests that reused one.
fn http(client: &ResponsesClient) -> (u64, u64) {
    let metrics = client.metrics();
    (metrics.http_connections_opened, metrics.http_connections_reused)
}

/// A client of a server with this number of named lanes, one response at a time.
fn sharing(server: &ScriptedServer, lanes: u8, pool: PoolPolicy) -> ResponsesClient {
    let provider = Provider::compatible(&server.url()).expect("a URL").named_lanes(lanes);
    builder(server).provider(provider).pool(pool).build().expect("a client")
}

#[tokio::test(start_paused = true)]
async fn c288_the_lanes_that_sessions_have_are_counted() {
    let server = ScriptedServer::in_memory(Script::new().respond(|_| Turn::text("hi")));
    let client = sharing(&server, 32, PoolPolicy::default().sharing(Sharing::Lanes));
    let mut sessions: Vec<_> = (0..3).map(|_| client.session()).collect();
    assert_eq!(client.metrics().lanes_in_use, 0);
    for (session, lanes) in sessions.iter_mut().zip(1..) {
        for text in ["one", "two"] {
            turn(session, &request(&[text])).await;
            assert_eq!(client.metrics().lanes_in_use, lanes);
        }
    }
    let fork = sessions[0].fork();
    assert_eq!(client.metrics().lanes_in_use, 3, "a fork takes its lane in its first turn");
    sessions.pop();
    assert_eq!(client.metrics().lanes_in_use, 2);
    let mut heir = sessions[1].fork();
    drop(sessions);
    turn(&mut heir, &request(&["three"])).await;
    assert_eq!(client.metrics().lanes_in_use, 1, "the fork has the lane of its source");
    drop((fork, heir));
    settled(&server).await;
    let metrics = client.metrics();
    assert_eq!((metrics.lanes_in_use, metrics.lane_waits), (0, [].into()));
    assert_eq!((metrics.websockets_opened, metrics.websockets_reused), (1, 6));
}

#[tokio::test(start_paused = true)]
async fn c288_waits_for_a_lane_are_counted_by_their_reason() {
    let gate = Gate::new();
    let held = gate.clone();
    let script = Script::new().respond(move |exchange| {
        let slow = exchange.history.iter().any(|it| it.to_string().contains("slow"));
        let turn = Turn::text("hi");
        if slow { turn.insert(2, Step::Gate(held.clone())) } else { turn }
    });
    let server = ScriptedServer::in_memory(script);
    let waits = |client: &ResponsesClient| client.metrics().lane_waits;
    let (hi, slow) = (request(&["hi"]), request(&["slow"]));

    let pool = PoolPolicy::default().sharing(Sharing::Lanes).at_capacity(AtCapacity::Wait);
    let shared = sharing(&server, 1, pool);
    let (mut one, mut two) = (shared.session(), shared.session());
    tokio::join!(turn(&mut one, &hi), turn(&mut two, &hi));
    let opening = waits(&shared);
    assert!(opening.get("opening") == Some(&1), "{opening:?}");
    let running = one.stream(&slow).await.expect("it began");
    let before = waits(&shared);
    let ((), outcome) = tokio::join!(
        async {
            settled(&server).await;
            gate.open();
        },
        turn(&mut two, &hi)
    );
    outcome.response();
    let count = |reason, client: &ResponsesClient| waits(client).get(reason).copied();
    assert_eq!(
        count("responses", &shared),
        before.get("responses").map_or(Some(1), |it| Some(it + 1))
    );
    running.final_response().await.expect("a response");

    // Both lanes are taken, so that the next turn of the first session waits for its fork.
    let outcome = turn(&mut one, &hi).await;
    assert_eq!(count("fork", &shared), None);
    let fork = one.fork();
    turn(&mut one, &appended(&hi, &outcome, "more")).await.response();
    assert_eq!(count("fork", &shared), Some(1));
    drop(fork);

    let limited = sharing(&server, 0, pool.max_sockets(1));
    let (mut first, mut second) = (limited.session(), limited.session());
    turn(&mut first, &hi).await.response();
    let (outcome, ()) = tokio::join!(turn(&mut second, &hi), async {
        settled(&server).await;
        first.close().await;
    });
    outcome.response();
    assert_eq!(waits(&limited), [("limit", 1)].into());
}

fn http_retired(client: &ResponsesClient) -> BTreeMap<&'static str, u64> {
    client.metrics().http_connections_retired
}

#[tokio::test(start_paused = true)]
async fn c285_the_connections_of_turns_over_sse_and_of_calls_are_counted() {
    let script = Script::new()
        .turn(Turn::text("one"))
        .turn(Turn::text("two"))
        .turn(Turn::error(400, "invalid_prompt", "no"))
        .turn(Turn::text("cut").cut_after(3, Step::Reset))
        .turn(Turn::text("dropped"))
        .respond(|_| Turn::text("hi"));
    let server = ScriptedServer::in_memory(script);
    let client = client(&server, Transport::Sse);
    let mut session = client.session();
    let first = turn(&mut session, &request(&["one"]).store(true)).await;
    settled(&server).await;
    assert_eq!(http(&client), (1, 0));
    let mut other = client.clone().session();
    turn(&mut other, &request(&["two"])).await.response();
    settled(&server).await;
    client.retrieve(first.response().id()).await.expect("it is stored");
    turn(&mut other, &request(&["three"])).await.error();
    assert_eq!(http(&client), (1, 3));
    turn(&mut session, &request(&["cut"])).await.error();
    assert_eq!((http(&client), http_retired(&client)), ((1, 4), [("error", 1)].into()));
    drop(session.stream(&request(&["dropped"])).await.expect("it began"));
    let retired = [("error", 1), ("unfinished", 1)];
    assert_eq!((http(&client), http_retired(&client)), ((2, 4), retired.into()));
    turn(&mut session, &request(&["more"])).await.response();
    settled(&server).await;
    tokio::time::sleep(Duration::from_secs(91)).await;
    let retired = [("error", 1), ("max_idle", 1), ("unfinished", 1)];
    assert_eq!((http(&client), http_retired(&client)), ((3, 4), retired.into()));
    let metrics = client.metrics();
    assert_eq!((metrics.websockets_opened, metrics.websockets_reused), (0, 0));
    assert_eq!(server.log().connections.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn c285_a_connection_counts_at_the_client_that_opened_it() {
    let server = ScriptedServer::in_memory(Script::new().respond(|_| Turn::text("hi")));
    let (one, two) = (client(&server, Transport::Sse), client(&server, Transport::Sse));
    turn(&mut one.session(), &request(&["hi"])).await.response();
    settled(&server).await;
    assert_eq!((http(&one), http(&two)), ((1, 0), (0, 0)));
    turn(&mut two.session(), &request(&["hi"])).await.response();
    // Both clients have the connector of one server, and so its connections.
    assert_eq!((http(&one), http(&two)), ((1, 0), (0, 1)));
    server.drop_connections();
    settled(&server).await;
    assert_eq!(http_retired(&one), [("idle_closed", 1)].into());
    assert_eq!(http_retired(&two), [].into());
}

#[cfg(feature = "metrics")]
#[tokio::test(start_paused = true)]
async fn c282_the_recorder_of_the_program_counts_what_the_client_counts() {
    let recorder = DebuggingRecorder::new();
    let counted = recorder.snapshotter();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let script = Script::new()
        .turn(Turn::text("hi"))
        .turn(Turn::text("hi").cut_after(3, Step::Reset))
        .turn(Turn::error(503, "slow_down", "no"))
        .turn(Turn::text("hi"))
        .upgrade(Upgrade::Accept)
        .upgrade(Upgrade::Refuse(Refusal::status(426)));
    let server = ScriptedServer::in_memory(script);
    let client = builder(&server).build().expect("a client");
    let mut session = client.session();
    turn(&mut session, &request(&["one"])).await.response();
    turn(&mut session, &request(&["two"])).await.error();
    turn(&mut session, &request(&["three"])).await.response();
    settled(&server).await;
    let metrics = client.metrics();
    drop((session, client, server));
    // Tasks of theirs end after them.
    tokio::time::sleep(Duration::from_secs(1)).await;

    let mut lines = Vec::new();
    for (key, _, _, value) in counted.snapshot().into_vec() {
        let labels = key.key().labels().map(|label| format!("{}={}", label.key(), label.value()));
        let labels: Vec<_> = labels.collect();
        let count = match value {
            DebugValue::Counter(count) => count,
            DebugValue::Gauge(now) => {
                lines.push(format!("{}{{{}}} {now}", key.key().name(), labels.join(",")));
                continue;
            }
            value => panic!("{value:?}"),
        };
        if key.key().name().ends_with("_bytes_total") {
            assert!([metrics.bytes_sent, metrics.bytes_received].contains(&count));
        } else {
            lines.push(format!("{}{{{}}} {count}", key.key().name(), labels.join(",")));
        }
    }
    lines.sort();
    let expected = [
        "fallbacks_total{} 1",
        // The upgrade that was refused, and the requests over SSE.
        "http_connections_opened_total{} 1",
        "http_connections_retired_total{reason=client_dropped} 1",
        "http_connections_reused_total{} 2",
        "lanes_in_use{} 0",
        "plans_total{plan=first_turn} 1",
        "plans_total{plan=prefix_diverged} 1",
        "plans_total{plan=prior_not_completed} 2",
        "retries_total{error=api} 1",
        "retries_total{error=upgrade_refused} 1",
        "turns_total{transport=sse,outcome=completed} 1",
        "turns_total{transport=websocket,outcome=completed} 1",
        "turns_total{transport=websocket,outcome=truncated} 1",
        "websockets_opened_total{} 1",
        "websockets_retired_total{reason=error} 1",
        "websockets_reused_total{} 1",
    ];
    assert_eq!(lines, expected.map(|line| format!("responses_client_{line}")));
}
