//! Turns over an emulated network, with their times in round trips.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    ErrorKind, Item, Provider, ResponsesClient, ResponsesRequest, ResponsesSession, RetryPolicy,
    Timeouts, TransportPolicy,
    testing::{Connector, Link, ScriptedServer, Traffic, Turn},
};

const RTT: Duration = Duration::from_millis(80);
const BOTH: [TransportPolicy; 2] = [TransportPolicy::WebSocketOnly, TransportPolicy::SseOnly];

/// A session over `connector`, without times that a slowed link would exceed.
fn session(connector: &Connector, transport: TransportPolicy) -> ResponsesSession {
    let mut timeouts = Timeouts::default();
    (timeouts.connect, timeouts.ping) = (None, None);
    (timeouts.first_event_websocket, timeouts.first_event_sse) = (None, None);
    let mut retry = RetryPolicy::default();
    (retry.max_attempts, retry.network_down_deadline) = (1, Some(Duration::ZERO));
    let client = ResponsesClient::builder()
        .provider(Provider::compatible("http://memory.invalid/v1").unwrap().max_age(None))
        .connector(connector)
        .transport(transport)
        .timeouts(timeouts)
        .retry(retry);
    client.build().unwrap().session()
}

/// Runs a turn with an input of about this size; returns its time.
async fn turn(session: &mut ResponsesSession, size: usize) -> Duration {
    let start = Instant::now();
    let request = ResponsesRequest::new("m").store(false).input([Item::user("x".repeat(size))]);
    session.respond(&request).await.unwrap();
    start.elapsed()
}

#[tokio::test(start_paused = true)]
async fn turns_take_their_round_trips() {
    // Connecting takes one, TLS 1.3 one, the upgrade one, and a turn one.
    for (transport, tls, first, second) in [
        (TransportPolicy::WebSocketOnly, true, 4, 1),
        (TransportPolicy::SseOnly, true, 3, 1),
        (TransportPolicy::WebSocketOnly, false, 3, 1),
        (TransportPolicy::SseOnly, false, 2, 1),
    ] {
        let server = ScriptedServer::in_memory([Turn::text("one"), Turn::text("two")]);
        let connector = server.connector().over(Link::new().rtt(RTT).tls(tls)).unwrap();
        let mut session = session(&connector, transport);
        for trips in [first, second] {
            assert_eq!(turn(&mut session, 10).await, RTT * trips, "{transport:?}, TLS: {tls}");
        }
        assert_eq!(connector.traffic().connections, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_large_request_takes_the_round_trips_of_slow_start() {
    // Ten segments and the twenty that follow them, with frames and TLS; one byte beyond them.
    for (size, trips) in [(10_000, 1), (14_800, 2), (42_000, 2), (44_000, 3)] {
        for transport in BOTH {
            let server = ScriptedServer::in_memory([Turn::text("one"), Turn::text("two")]);
            let link = Link::new().rtt(RTT).tls(true);
            let connector = server.connector().over(link).unwrap();
            let mut session = session(&connector, transport);
            turn(&mut session, 10).await;
            tokio::time::sleep(Duration::from_secs(10)).await;
            let before = connector.traffic();
            assert_eq!(turn(&mut session, size).await, RTT * trips, "{size} {transport:?}");
            let sent = (connector.traffic() - before).bytes_up;
            assert!((size as u64..size as u64 + 1000).contains(&sent), "{sent} bytes for {size}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_connection_resumes_the_tls_session() {
    let server = ScriptedServer::in_memory([Turn::text("one"), Turn::text("two")]);
    let connector = server.connector().over(Link::new().rtt(RTT).tls(true)).unwrap();
    let mut received = Vec::new();
    for _ in 0..2 {
        let before = connector.traffic();
        turn(&mut session(&connector, TransportPolicy::WebSocketOnly), 10).await;
        received.push((connector.traffic() - before).bytes_down);
    }
    // No certificate is sent again.
    assert!(received[1] + 300 < received[0], "{received:?}");
}

/// Times and traffic of a conversation over a mobile network.
async fn conversation(seed: u64, transport: TransportPolicy) -> (Vec<Duration>, Traffic) {
    let turns: Vec<Turn> = (0..8).map(|_| Turn::text("word ".repeat(2_000))).collect();
    let server = ScriptedServer::in_memory(crate::testing::Script::new().turns(turns));
    let link = Link::mobile().loss(0.02).seed(seed).slowed_by(1000);
    let connector = server.connector().over(link).unwrap();
    let mut session = session(&connector, transport);
    let mut times = Vec::new();
    for _ in 0..8 {
        times.push(turn(&mut session, 20_000).await);
    }
    (times, connector.traffic())
}

#[tokio::test(start_paused = true)]
async fn runs_with_one_seed_take_exactly_the_same_times() {
    for transport in BOTH {
        let first = conversation(1, transport).await;
        assert!(first.1.segments_lost > 0);
        for _ in 0..3 {
            assert_eq!(conversation(1, transport).await, first);
        }
        let other = conversation(2, transport).await;
        assert_ne!(other.0, first.0);
        assert_eq!(other.1.bytes_up, first.1.bytes_up);
    }
}

#[tokio::test(start_paused = true)]
async fn the_presets_carry_turns() {
    for name in Link::NAMES {
        let server = ScriptedServer::in_memory(Turn::text("one"));
        let link = Link::from_name(name).unwrap();
        let rtt = link.rtt;
        let connector = server.connector().over(link).unwrap();
        let time = turn(&mut session(&connector, TransportPolicy::WebSocketOnly), 10).await;
        assert!((4 * rtt..8 * rtt).contains(&time), "{name}: {time:?}");
    }
    assert_eq!(Link::from_name("moon"), None);
}

#[tokio::test(start_paused = true)]
async fn a_refused_connection_costs_a_round_trip() {
    let server = ScriptedServer::in_memory(Turn::text("one"));
    server.refuse_connections(true);
    let connector = server.connector().over(Link::new().rtt(RTT)).unwrap();
    let mut session = session(&connector, TransportPolicy::SseOnly);
    let start = Instant::now();
    let error = session.respond(&ResponsesRequest::new("m").input("hi")).await.unwrap_err();
    assert_eq!((error.kind(), start.elapsed()), (ErrorKind::Connect, RTT));
    assert_eq!(connector.traffic().connections, 0);
}

#[tokio::test(start_paused = true)]
async fn connectors_of_one_server_count_apart() {
    let server = ScriptedServer::in_memory([Turn::text("one"), Turn::text("two")]);
    let plain = server.connector();
    let mobile = plain.over(Link::mobile()).unwrap();
    turn(&mut session(&plain, TransportPolicy::SseOnly), 10).await;
    let traffic = plain.traffic();
    assert_eq!(mobile.traffic(), Traffic::default());
    turn(&mut session(&mobile, TransportPolicy::SseOnly), 10).await;
    assert_eq!(plain.traffic(), traffic);
    let log = server.log();
    // Without TLS, the client counts what the server counts.
    assert_eq!(traffic.bytes_up, log.connections[0].bytes_received);
    assert_eq!(traffic.bytes_down, log.connections[0].bytes_sent);
    assert_eq!(mobile.traffic().bytes_up, log.connections[1].bytes_received);
}
