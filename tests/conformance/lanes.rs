//! Sessions that share a WebSocket by its lanes.

use std::time::Duration;

use futures_util::future::join_all;
use responses_client::{
    AtCapacity, ErrorKind, PoolPolicy, Provider, ResponsesClient, Sharing, Transport,
    report::FullSendReason,
    testing::{Gate, Script, ScriptedServer, Step, Turn},
};

use crate::support::{appended, full, guarded, incremental, request, turn};

/// A client of a server with lanes.
fn client(server: &ScriptedServer, pool: PoolPolicy) -> ResponsesClient {
    let provider = Provider::compatible(&server.url()).expect("a URL");
    let provider = provider.named_lanes(32).active_responses(16);
    let builder = ResponsesClient::builder().provider(provider).connector(&server.connector());
    builder.pool(pool).build().expect("a client")
}

fn shared() -> PoolPolicy {
    PoolPolicy::default().sharing(Sharing::Lanes)
}

/// A server whose answers tell the last text of the request.
fn echo() -> ScriptedServer {
    let script = Script::new().respond(|exchange| {
        let last = exchange.history.last().map(ToString::to_string).unwrap_or_default();
        Turn::text(last)
    });
    ScriptedServer::in_memory(script)
}

#[tokio::test(start_paused = true)]
async fn c011_sessions_share_a_socket_by_lanes_and_each_keeps_its_own() {
    let server = echo();
    // Otherwise, the turns above 16 would open another one.
    let client = client(&server, shared().at_capacity(AtCapacity::Wait));
    let names: Vec<String> = (0..20).map(|number| format!("session {number}")).collect();
    let turns = names.iter().map(|name| {
        let mut session = client.session();
        async move {
            let first = request(&[name]);
            let outcome = turn(&mut session, &first).await;
            let next = appended(&first, &outcome, &format!("{name} again"));
            let again = turn(&mut session, &next).await;
            (session, outcome, again)
        }
    });
    let outcomes = guarded(join_all(turns)).await;
    for (name, (_, first, again)) in names.iter().zip(&outcomes) {
        assert!(first.response().output_text().contains(name.as_str()));
        assert!(again.response().output_text().contains(&format!("{name} again")));
        assert_eq!(again.report.plan, incremental(1));
    }
    let log = server.log();
    assert_eq!(log.connections.len(), 1);
    let lanes: std::collections::HashSet<_> = log.requests.iter().map(|it| &it.lane).collect();
    assert_eq!(lanes.len(), 20);
}

#[tokio::test(start_paused = true)]
async fn c159_a_fork_continues_on_a_lane_of_its_own_and_nobody_loses_the_parent() {
    for fork_first in [true, false] {
        let server = echo();
        let client = client(&server, PoolPolicy::default());
        let mut session = client.session();
        let first = request(&["one"]);
        let outcome = turn(&mut session, &first).await;
        let mut forks: Vec<_> = (0..8).map(|_| session.fork()).collect();
        let next = appended(&first, &outcome, "two");
        if !fork_first {
            assert_eq!(turn(&mut session, &next).await.report.plan, incremental(1));
        }
        for fork in &mut forks {
            assert_eq!(turn(fork, &next).await.report.plan, incremental(1), "{fork_first}");
        }
        if fork_first {
            assert_eq!(turn(&mut session, &next).await.report.plan, incremental(1));
        }
        assert_eq!(server.log().connections.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn c159_a_resumed_session_loses_no_parent_to_the_session_that_has_it() {
    // The server has read the parent only some time after `created`.
    let script = Script::new()
        .respond(|_| Turn::text("a").insert(1, Step::Delay(Duration::from_millis(500))));
    let server = ScriptedServer::in_memory(script);
    let client = client(&server, shared());
    let mut session = client.session();
    let first = request(&["one"]);
    let outcome = turn(&mut session, &first).await;
    let mut resumed = client.resume(session.checkpoint());
    let next = appended(&first, &outcome, "two");
    let beside = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        turn(&mut session, &next).await
    };
    let (resumed, source) = tokio::join!(turn(&mut resumed, &next), beside);
    for outcome in [resumed, source] {
        assert_eq!(outcome.report.plan, incremental(1));
        assert_eq!(outcome.report.attempts.len(), 1);
    }
    assert_eq!(server.log().connections.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn c159_a_fork_of_a_fork_continues_even_if_the_first_has_had_no_turn() {
    let server = echo();
    let client = client(&server, shared());
    let mut session = client.session();
    let first = request(&["one"]);
    let outcome = turn(&mut session, &first).await;
    let mut fork = session.fork();
    let mut second = fork.fork();
    let next = appended(&first, &outcome, "two");
    for session in [&mut fork, &mut session, &mut second] {
        assert_eq!(turn(session, &next).await.report.plan, incremental(1));
    }
    assert_eq!(server.log().connections.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn c159_a_source_takes_a_lane_whose_session_has_gone_and_does_not_wait() {
    let server = echo();
    let provider = Provider::compatible(&server.url()).expect("a URL").named_lanes(1);
    let builder = ResponsesClient::builder().provider(provider).connector(&server.connector());
    let client = builder.pool(shared()).build().expect("a client");
    let (mut session, mut other) = (client.session(), client.session());
    let first = request(&["one"]);
    let outcome = turn(&mut session, &first).await;
    turn(&mut other, &request(&["other"])).await;
    drop(other);
    let fork = session.fork();
    let since = tokio::time::Instant::now();
    let next = appended(&first, &outcome, "two");
    assert_eq!(turn(&mut session, &next).await.report.plan, incremental(1));
    assert!(since.elapsed() < Duration::from_secs(1));
    assert_eq!(server.log().connections.len(), 1);
    drop(fork);
}

#[tokio::test(start_paused = true)]
async fn c162_at_the_limit_a_turn_waits_or_uses_sse_or_fails() {
    for at_capacity in [AtCapacity::Wait, AtCapacity::Sse, AtCapacity::OpenSocket] {
        let gate = Gate::new();
        let held = gate.clone();
        let script =
            Script::new().respond(move |_| Turn::text("a").insert(1, Step::Gate(held.clone())));
        let server = ScriptedServer::in_memory(script);
        let pool = PoolPolicy::default().sharing(Sharing::OwnSocket).max_sockets(1);
        let client = client(&server, pool.at_capacity(at_capacity).wait(Duration::from_secs(30)));
        let (mut one, mut two) = (client.session(), client.session());
        let (first, second) = (request(&["one"]), request(&["two"]));
        let running = one.stream(&first).await.expect("a stream");
        match at_capacity {
            AtCapacity::Wait => {
                let error = two.stream(&second).await.expect_err("a full pool");
                assert_eq!(error.kind(), ErrorKind::Timeout);
            }
            AtCapacity::Sse => {
                let stream = two.stream(&second).await.expect("a stream");
                assert_eq!(stream.report().transport, Some(Transport::Sse));
            }
            _ => {
                let error = two.stream(&second).await.expect_err("a full pool");
                assert_eq!(error.kind(), ErrorKind::PoolFull);
            }
        }
        gate.open();
        running.final_response().await.expect("a response");
        one.close().await;
        let after = turn(&mut two, &second).await;
        assert_eq!(after.report.transport, Some(Transport::WebSocket), "{at_capacity}");
    }
}

#[tokio::test(start_paused = true)]
async fn c163_a_stream_that_is_dropped_leaves_the_socket_to_the_others() {
    let gate = Gate::new();
    let held = gate.clone();
    let script = Script::new().respond(move |exchange| {
        let turn = Turn::text(exchange.history.last().map(ToString::to_string).unwrap_or_default());
        let slow = exchange.history.iter().any(|it| it.to_string().contains("slow"));
        if slow { turn.insert(2, Step::Gate(held.clone())) } else { turn }
    });
    let server = ScriptedServer::in_memory(script);
    let client = client(&server, shared());
    let (mut one, mut two) = (client.session(), client.session());
    let first = request(&["one"]);
    let outcome = turn(&mut one, &first).await;
    let dropped = two.stream(&request(&["slow"])).await.expect("a stream");
    drop(dropped);
    let next = appended(&first, &outcome, "two");
    assert_eq!(turn(&mut one, &next).await.report.plan, incremental(1));
    // The lane is not used again before the end of its response.
    let other = turn(&mut two, &request(&["other"])).await;
    assert_eq!(other.report.plan, full(FullSendReason::PriorNotCompleted));
    assert!(other.response().output_text().contains("other"));
    gate.open();
    let log = server.log();
    assert_eq!(log.connections.len(), 1);
    let lanes: Vec<_> = log.requests.iter().map(|it| it.lane.clone()).collect();
    assert_eq!(lanes.len(), 4);
    assert!(lanes[3] != lanes[1], "{lanes:?}");
}
