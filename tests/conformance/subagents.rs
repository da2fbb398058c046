//! Forks for workers: their lanes, and the bytes that they send.

use futures_util::future::join_all;
use responses_client::{
    PoolPolicy, Provider, ResponsesClient, ResponsesClientBuilder, Sharing, Transport,
    report::FullSendReason,
    testing::{Script, ScriptedServer, Turn},
};

use crate::support::{appended, close, full, incremental, only, request, turn};

/// A client of a server with lanes.
fn builder(server: &ScriptedServer) -> ResponsesClientBuilder {
    let provider = Provider::compatible(&server.url()).expect("a URL");
    let provider = provider.named_lanes(32).active_responses(16);
    ResponsesClient::builder().provider(provider).connector(&server.connector())
}

#[tokio::test(start_paused = true)]
async fn c287_forks_run_on_lanes_that_their_reports_name() {
    let server = ScriptedServer::in_memory(Script::new().respond(|_| Turn::text("hi")));
    let client = builder(&server).build().expect("a client");
    let mut session = client.session();
    let first = request(&["one"]);
    let outcome = turn(&mut session, &first).await;
    assert_eq!(outcome.report.lane, None, "the default lane has no name");
    let next = appended(&first, &outcome, "two");
    let mut forks = session.fork_n(8);
    assert_eq!(forks.len(), 8);
    for (fork, number) in forks.iter_mut().zip(1..) {
        let report = turn(fork, &next).await.report;
        assert_eq!((report.plan, report.lane), (incremental(1), Some(format!("lane-{number}"))));
    }
    let log = server.log();
    assert_eq!(log.connections.len(), 1);
    let named: Vec<_> = log.requests.iter().filter_map(|seen| seen.lane.clone()).collect();
    assert_eq!(named, (1..=8).map(|number| format!("lane-{number}")).collect::<Vec<_>>());
    assert!(session.fork_n(0).is_empty());
    let report = turn(&mut forks[0], &request(&["other"])).await.report;
    assert_eq!(serde_json::to_value(&report).unwrap()["lane"], "lane-1");
    let own = turn(&mut client.session(), &first).await.report;
    assert_eq!(serde_json::to_value(&own).unwrap()["lane"], serde_json::Value::Null);
}

#[tokio::test(start_paused = true)]
async fn c287_the_lane_in_a_report_is_that_of_the_last_attempt() {
    for (code, transport) in [(1011, Transport::WebSocket), (1008, Transport::Sse)] {
        let script = Script::new()
            .turn(Turn::text("hi"))
            .turn(Turn::text("cut").cut_after(0, close(code)))
            .respond(|_| Turn::text("hi"));
        let server = ScriptedServer::in_memory(script);
        let client = builder(&server).build().expect("a client");
        let mut session = client.session();
        let first = request(&["one"]);
        let outcome = turn(&mut session, &first).await;
        let next = appended(&first, &outcome, "two");
        let report = turn(&mut session.fork(), &next).await.report;
        assert_eq!(server.log().requests[1].lane.as_deref(), Some("lane-1"));
        assert_eq!((report.transport, report.attempts.len()), (Some(transport), 2));
        assert_eq!(report.lane, None, "over SSE, and on the default lane of another WebSocket");
    }
    let server = ScriptedServer::in_memory(Script::new().respond(|_| Turn::text("hi")));
    let over_sse = builder(&server).transport(only(Transport::Sse)).build().expect("a client");
    assert_eq!(turn(&mut over_sse.session(), &request(&["one"])).await.report.lane, None);
}

/// Returns the bytes that eight forks of a conversation with 1 MB of text send together.
async fn bytes_of_eight_forks(sharing: Sharing) -> u64 {
    let server = ScriptedServer::in_memory(Script::new().respond(|_| Turn::text("hi")));
    let pool = PoolPolicy::default().sharing(sharing);
    let client = builder(&server).pool(pool).build().expect("a client");
    let mut session = client.session();
    let text = "a".repeat(1_000_000);
    let first = request(&[&text]);
    let outcome = turn(&mut session, &first).await;
    let next = appended(&first, &outcome, "Review file 1.");
    let mut forks = session.fork_n(8);
    let turns = join_all(forks.iter_mut().map(|fork| turn(fork, &next))).await;
    for outcome in &turns {
        let expected = match sharing {
            Sharing::OwnSocket => full(FullSendReason::ConnectionChanged),
            _ => incremental(1),
        };
        assert_eq!(outcome.report.plan, expected);
    }
    let sockets = if sharing == Sharing::OwnSocket { 9 } else { 1 };
    assert_eq!(server.log().connections.len(), sockets);
    turns.iter().map(|outcome| outcome.report.bytes_sent).sum()
}

/// Writes a number with a comma before each group of three digits.
fn grouped(number: u64) -> String {
    match number {
        0..1000 => number.to_string(),
        _ => format!("{},{:03}", grouped(number / 1000), number % 1000),
    }
}

#[tokio::test(start_paused = true)]
async fn c287_the_guide_has_the_bytes_of_eight_forks() {
    let with = grouped(bytes_of_eight_forks(Sharing::Auto).await);
    let without = grouped(bytes_of_eight_forks(Sharing::OwnSocket).await);
    let guide = include_str!("../../docs/guide.md");
    let guide = guide.split_whitespace().collect::<Vec<_>>().join(" ");
    let sentence = format!("{with} bytes together; without lanes, they send {without} bytes");
    assert!(guide.contains(&sentence), "{sentence}");
}
