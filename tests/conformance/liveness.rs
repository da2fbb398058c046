//! Keep-alive: silent peers that are alive, and dead ones.

use std::time::Duration;

use bytes::Bytes;
use responses_client::{
    Delivery, ErrorKind, Limits, Phase, ReplayPolicy, ResponsesClient, ResponsesClientBuilder,
    ResponsesRequest, RetryPolicy, Timeouts, Transport, TransportPolicy,
    report::FullSendReason,
    testing::{Gate, Link, Script, ScriptedServer, Step, Turn},
};
use tokio::time::{Instant, advance, sleep};

use crate::support::{
    appended, builder, full, guarded, incremental, only, request, server, settled, socket_client,
    turn,
};

const MINUTE: Duration = Duration::from_secs(60);

fn client(server: &ScriptedServer, timeouts: Timeouts) -> ResponsesClient {
    without_replays(builder(server), timeouts)
}

/// A client that reaches the server over an emulated network.
fn client_over(server: &ScriptedServer, link: Link, timeouts: Timeouts) -> ResponsesClient {
    let connector = server.connector().over(link).expect("a link");
    without_replays(builder(server).connector(&connector), timeouts)
}

fn without_replays(builder: ResponsesClientBuilder, timeouts: Timeouts) -> ResponsesClient {
    let mut retry = RetryPolicy::default();
    retry.replay = ReplayPolicy::Never;
    let client = builder.transport(TransportPolicy::WebSocketOnly);
    client.timeouts(timeouts).retry(retry).build().expect("a client")
}

#[tokio::test(start_paused = true)]
async fn c110_a_half_open_socket_is_found_by_a_ping_without_an_answer() {
    for (at, delivery) in
        [(0, Delivery::Unknown), (1, Delivery::Accepted), (6, Delivery::OutputStarted)]
    {
        let half = Turn::text("a text of some length").insert(at, Step::Freeze);
        let server = ScriptedServer::in_memory(Script::new().turn(half));
        let mut timeouts = Timeouts::default();
        timeouts.first_event_websocket = None;
        let start = Instant::now();
        let outcome = turn(&mut client(&server, timeouts).session(), &request(&["hi"])).await;
        let error = outcome.error();
        assert_eq!(start.elapsed(), Duration::from_secs(30), "a ping after 20 s, and 10 s for it");
        assert_eq!((error.kind(), error.delivery()), (ErrorKind::Timeout, delivery));
        let source = std::error::Error::source(error).expect("a source").to_string();
        assert!(source.contains("ping"), "{source}");
        assert_eq!(outcome.events.len(), if at == 1 { 1 } else { at });
    }
}

#[tokio::test(start_paused = true)]
async fn c110_a_socket_that_dies_idle_is_known_before_it_is_used() {
    let script = Script::new().turn(Turn::text("one").then(Step::Freeze)).turn(Turn::text("two"));
    let server = ScriptedServer::in_memory(script);
    let mut session = client(&server, Timeouts::default()).session();
    let first = turn(&mut session, &request(&["hi"])).await;
    settled(&server).await;
    sleep(Duration::from_secs(31)).await;
    let second = turn(&mut session, &appended(&request(&["hi"]), &first, "more")).await;
    assert_eq!(second.response().output_text(), "two");
    assert_eq!(second.report.plan, full(FullSendReason::ConnectionChanged));
    // It cost nothing: no attempt met the dead socket.
    assert_eq!(second.report.attempts.len(), 1);
    assert!(!second.report.reused);
    assert_eq!(server.log().connections.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn c111_healthy_silence_in_a_turn_and_between_turns_is_survived() {
    let silent = Turn::text("after long thought").insert(3, Step::Delay(30 * MINUTE));
    let script = Script::new().turn(silent).turn(Turn::text("two"));
    let server = ScriptedServer::in_memory(script);
    let mut session = client(&server, Timeouts::default()).session();
    let first = turn(&mut session, &request(&["hi"])).await;
    assert_eq!(first.response().output_text(), "after long thought");
    assert!(server.log().connections[0].pings >= 80, "one ping every 20 s");
    sleep(20 * MINUTE).await;
    let second = turn(&mut session, &appended(&request(&["hi"]), &first, "more")).await;
    assert_eq!(second.report.plan, incremental(1));
    assert_eq!(server.log().connections.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_takes_its_time_is_no_silence_of_the_peer() {
    let server = ScriptedServer::in_memory(Script::new().turn(Turn::text("word ".repeat(4000))));
    let mut limits = Limits::default();
    limits.read_ahead = 1;
    let client = builder(&server).transport(TransportPolicy::WebSocketOnly).limits(limits);
    let mut session = client.build().expect("a client").session();
    let mut stream = session.stream(request(&["hi"])).await.expect("a stream");
    let mut events = 0;
    while guarded(stream.try_next()).await.expect("an event").is_some() {
        // Nothing is read meanwhile, so that no pong could be seen.
        settled(&server).await;
        advance(2 * MINUTE).await;
        events += 1;
    }
    assert!(events > 30);
    assert_eq!(stream.report().transport, Some(Transport::WebSocket));
}

#[tokio::test(start_paused = true)]
async fn pings_can_be_off() {
    let half = Turn::text("a text").insert(2, Step::Freeze);
    let server = ScriptedServer::in_memory(Script::new().turn(half));
    let mut timeouts = Timeouts::default();
    timeouts.ping = None;
    timeouts.turn = Some(60 * MINUTE);
    let start = Instant::now();
    let outcome = turn(&mut client(&server, timeouts).session(), &request(&["hi"])).await;
    assert_eq!(outcome.error().kind(), ErrorKind::Timeout);
    assert_eq!(start.elapsed(), 60 * MINUTE);
}

/// A request of 3 MB.
fn upload() -> ResponsesRequest {
    request(&[&"x".repeat(3_000_000)])
}

#[tokio::test(start_paused = true)]
async fn c142_a_slow_upload_is_sent_once() {
    // The send buffer takes all of it immediately, or little.
    for buffer in [4 << 20, 256 << 10] {
        // Nothing comes meanwhile but what proves no progress.
        let script = Script::from([Turn::text("one"), Turn::text("two")]).deflate(None);
        let server = ScriptedServer::in_memory(script);
        let link = Link::new().bandwidth_up(Some(480_000)).send_buffer(buffer);
        let mut session = client_over(&server, link, Timeouts::default()).session();
        let start = Instant::now();
        let first = turn(&mut session, &upload()).await;
        assert_eq!(first.response().output_text(), "one");
        assert!((50..53).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
        assert_eq!(first.report.attempts.len(), 1);
        let second = turn(&mut session, &appended(&upload(), &first, "more")).await;
        assert_eq!(second.report.plan, incremental(1));
        let log = server.log();
        assert_eq!((log.requests.len(), log.connections.len()), (2, 1), "{buffer}");
    }
}

#[tokio::test(start_paused = true)]
async fn c142_a_peer_that_dies_after_an_upload_is_found_in_bounded_time() {
    let dead = Turn::steps([Step::Freeze]);
    let server = ScriptedServer::in_memory(Script::from(dead).deflate(None));
    let link = Link::new().bandwidth_up(Some(800_000_000)).send_buffer(4 << 20);
    let mut timeouts = Timeouts::default();
    timeouts.first_event_websocket = None;
    let start = Instant::now();
    let outcome = turn(&mut client_over(&server, link, timeouts).session(), &upload()).await;
    let error = outcome.error();
    assert_eq!((error.kind(), error.phase()), (ErrorKind::Timeout, Phase::FirstEvent));
    assert_eq!(error.delivery(), Delivery::Unknown);
    // The upload takes 183 s at 16 KiB/s; then there are 10 s for the answer to the ping.
    assert_eq!(start.elapsed().as_secs(), 193);
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
        let stream = session.stream(request(&["one"])).await.expect("a stream");
        // Nobody takes the events.
        settled(&server).await;
        assert_eq!(server.log().connections[0].pongs == 1, answered, "{read_ahead}");
        gate.open();
        let response = guarded(stream.final_response()).await.expect("a response");
        assert_eq!(response.output_text().len(), 1000);
        guarded(server.wait_for(|log| log.connections[0].pongs == 1)).await;
    }
}
