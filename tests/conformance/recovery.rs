//! Recovering within a turn from what lies in the nature of the protocol.

use std::time::Duration;

use responses_client::{
    Delivery, ErrorKind, Provider, ReplayPolicy, ResponseStream, ResponsesClient, ResponsesSession,
    RetryPolicy, Transport, TransportPolicy,
    error::ErrorCode,
    report::FullSendReason,
    testing::{Script, ScriptedServer, Step, Turn, Upgrade},
};
use serde_json::json;
use tokio::time::Instant;

use crate::support::{
    BOTH, Outcome, appended, builder, full, incremental, only, request, settled, turn,
};

fn lost_parent() -> Turn {
    Turn::error(400, "previous_response_not_found", "Previous response not found.")
}

fn connection_limit() -> Turn {
    Turn::error(400, "websocket_connection_limit_reached", "60 minutes are over.")
}

/// Two turns over `transport`, of a response that is stored; the second meets these turns of the
/// script, and must not use its budget. Returns how the second went.
async fn second_turn(
    transport: Transport,
    turns: impl IntoIterator<Item = Turn>,
) -> (Outcome, ScriptedServer) {
    let server = ScriptedServer::in_memory(Script::new().turn(Turn::text("a")).turns(turns));
    let mut retry = RetryPolicy::default();
    retry.max_attempts = 1;
    let client = builder(&server).transport(only(transport)).continue_over_sse(true).retry(retry);
    let mut session = client.build().unwrap().session();
    let request = request(&["one"]).store(true);
    let first = turn(&mut session, &request).await;
    let second = turn(&mut session, &appended(&request, &first, "two")).await;
    (second, server)
}

fn created(outcome: &Outcome) -> usize {
    outcome.kinds().iter().filter(|kind| **kind == "response.created").count()
}

#[tokio::test(start_paused = true)]
async fn c022_a_lost_parent_is_answered_by_one_full_request_on_the_same_connection() {
    for transport in BOTH {
        let start = Instant::now();
        let (outcome, server) = second_turn(transport, [lost_parent(), Turn::text("b")]).await;
        assert_eq!(outcome.response().output_text(), "b", "{transport}");
        assert_eq!((created(&outcome), outcome.kinds()[0]), (1, "response.created"));
        assert_eq!(outcome.report.plan, full(FullSendReason::ParentNotFound), "{transport}");
        assert_eq!((outcome.report.attempts.len(), outcome.report.reused), (2, true));
        let log = server.log();
        let sent: Vec<_> = log
            .requests
            .iter()
            .map(|r| (r.connection, r.input_items, r.previous_response_id.is_some()))
            .collect();
        assert_eq!(sent, [(0, 1, false), (0, 1, true), (0, 3, false)], "{transport}");
        // At once: draining an SSE answer takes a moment, a wait of the ladder 150 ms and more.
        assert!(start.elapsed() < Duration::from_millis(50), "{transport}");
    }
}

#[tokio::test]
async fn c022_a_lost_parent_is_sent_for_only_once() {
    for transport in BOTH {
        let (outcome, server) =
            second_turn(transport, [lost_parent(), lost_parent(), Turn::text("b")]).await;
        let error = outcome.error();
        assert_eq!(error.kind(), ErrorKind::Api, "{transport}");
        assert_eq!(error.code(), Some(&ErrorCode::PreviousResponseNotFound));
        assert_eq!(server.log().requests.len(), 3, "{transport}");
    }
}

#[tokio::test]
async fn c022_a_parent_that_the_caller_named_is_not_given_up_for_it() {
    for transport in BOTH {
        let server = ScriptedServer::in_memory(Script::new());
        let client = builder(&server).transport(only(transport)).build().unwrap();
        let request = request(&["one"]).previous_response_id("resp_of_the_caller");
        let outcome = turn(&mut client.session(), &request).await;
        assert_eq!(outcome.error().code(), Some(&ErrorCode::PreviousResponseNotFound));
        assert_eq!(outcome.report.plan, full(FullSendReason::CallerManaged), "{transport}");
        let log = server.log();
        assert_eq!(log.requests.len(), 1, "{transport}");
        assert_eq!(log.requests[0].previous_response_id.as_deref(), Some("resp_of_the_caller"));
    }
}

#[tokio::test]
async fn c022_the_chain_goes_on_after_it() {
    let script = Script::new().turn(Turn::text("a")).turn(lost_parent());
    let server = ScriptedServer::in_memory(script.respond(|_| Turn::text("more")));
    let mut session = builder(&server).build().unwrap().session();
    let mut request = request(&["one"]);
    let mut plans = Vec::new();
    for _ in 0..4 {
        let outcome = turn(&mut session, &request).await;
        request = appended(&request, &outcome, "go on");
        plans.push(outcome.report.plan);
    }
    let lost = full(FullSendReason::ParentNotFound);
    assert_eq!(plans, [full(FullSendReason::FirstTurn), lost, incremental(1), incremental(1)]);
    assert_eq!(server.log().connections.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn c045_the_connection_limit_is_answered_by_a_full_request_on_another_socket() {
    let start = Instant::now();
    let turns = [connection_limit(), Turn::text("b")];
    let (outcome, server) = second_turn(Transport::WebSocket, turns).await;
    assert_eq!(outcome.response().output_text(), "b");
    assert_eq!((created(&outcome), outcome.report.attempts.len()), (1, 2));
    assert_eq!(outcome.report.plan, full(FullSendReason::ConnectionChanged));
    assert_eq!((outcome.report.reused, start.elapsed()), (false, Duration::ZERO));
    let log = server.log();
    let sent: Vec<_> = log
        .requests
        .iter()
        .map(|r| (r.connection, r.input_items, r.previous_response_id.is_some()))
        .collect();
    assert_eq!(sent, [(0, 1, false), (0, 1, true), (1, 3, false)]);
    server.wait_for(|log| log.connections[0].closed).await;
}

#[tokio::test]
async fn c045_the_other_socket_carries_the_chain_on() {
    let script = Script::new().turn(Turn::text("a")).turn(connection_limit());
    let server = ScriptedServer::in_memory(script.respond(|_| Turn::text("more")));
    let mut session = builder(&server).build().unwrap().session();
    let mut request = request(&["one"]);
    let mut outcomes = Vec::new();
    for _ in 0..3 {
        outcomes.push(turn(&mut session, &request).await);
        request = appended(&request, outcomes.last().unwrap(), "go on");
    }
    assert_eq!(outcomes[2].report.plan, incremental(1));
    let log = server.log();
    let on: Vec<usize> = log.requests.iter().map(|request| request.connection).collect();
    assert_eq!(on, [0, 0, 1, 1]);
    assert_eq!(log.requests[3].previous_response_id.as_deref(), Some(outcomes[1].response().id()));
}

#[tokio::test(start_paused = true)]
async fn c045_another_limit_at_once_costs_an_attempt() {
    let turns = || [connection_limit(), connection_limit(), Turn::text("b")];
    let (outcome, server) = second_turn(Transport::WebSocket, turns()).await;
    assert_eq!(outcome.error().code(), Some(&ErrorCode::ConnectionLimitReached));
    assert_eq!(server.log().requests.len(), 3);

    let server = ScriptedServer::in_memory(Script::new().turns(turns()));
    let mut session = builder(&server).build().unwrap().session();
    let outcome = turn(&mut session, &request(&["one"])).await;
    assert_eq!(outcome.response().output_text(), "b");
    let log = server.log();
    let on: Vec<usize> = log.requests.iter().map(|request| request.connection).collect();
    assert_eq!(on, [0, 1, 2]);
}

#[tokio::test]
async fn c045_it_holds_for_providers_whose_sockets_end_with_an_error() {
    let gone = connection_limit().then(Step::End);
    let script = Script::new().turn(Turn::text("a")).turn(gone).turn(Turn::text("b"));
    let server = ScriptedServer::in_memory(script);
    let provider = Provider::compatible(&server.url()).unwrap().reuses_socket_after_error(false);
    let client =
        ResponsesClient::builder().provider(provider).connector(&server.connector()).build();
    let mut session = client.unwrap().session();
    let request = request(&["one"]);
    let first = turn(&mut session, &request).await;
    let second = turn(&mut session, &appended(&request, &first, "two")).await;
    assert_eq!(second.response().output_text(), "b");
    assert_eq!(second.report.plan, full(FullSendReason::ConnectionChanged));
    assert_eq!(server.log().websockets().count(), 2);
}

#[tokio::test(start_paused = true)]
async fn c045_a_limit_that_is_told_after_output_is_an_error() {
    let limit = serde_json::json!({"type": "error", "status": 400, "error": {
        "type": "invalid_request_error", "code": "websocket_connection_limit_reached",
        "message": "Responses websocket connection limit reached (60 minutes)."}});
    let cut = Turn::text("some text").cut_after(6, Step::Event(limit));
    let server = ScriptedServer::in_memory(Script::new().turns([cut, Turn::text("again")]));
    let client = builder(&server).transport(TransportPolicy::WebSocketOnly).build().unwrap();
    let mut session = client.session();
    let outcome = turn(&mut session, &request(&["hi"])).await;
    assert_eq!(outcome.error().code(), Some(&ErrorCode::ConnectionLimitReached));
    assert_eq!(outcome.error().delivery(), Delivery::OutputStarted);
    assert_eq!(server.log().requests.len(), 1, "what had output is not sent again");
    assert_eq!(turn(&mut session, &request(&["hi"])).await.response().output_text(), "again");
    assert_eq!(server.log().connections.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn c046_the_connection_limit_is_known_by_its_code_alone() {
    let error = json!({"code": "websocket_connection_limit_reached", "message": "m"});
    for frame in [
        json!({"type": "error", "status": 400, "error": error}),
        json!({"type": "error", "status": 408, "error": error}),
        json!({"type": "error", "status_code": 503, "error": error}),
        json!({"type": "error", "error": error}),
        json!({"type": "error", "stream_id": "s", "error": error}),
        json!({"type": "error", "code": error["code"], "message": "m", "sequence_number": 0}),
        json!({"type": "response.failed", "response": {"status": "failed", "error": error}}),
    ] {
        let turns = [Turn::events([frame.clone()]), Turn::text("b")];
        let (outcome, server) = second_turn(Transport::WebSocket, turns).await;
        assert_eq!(outcome.response().output_text(), "b", "{frame}");
        let log = server.log();
        let on: Vec<usize> = log.requests.iter().map(|request| request.connection).collect();
        assert_eq!(on, [0, 0, 1], "{frame}");
    }
}

/// A turn whose response is cut off once it is created, and is tried again; the next requests to
/// become a WebSocket are answered with `upgrade`. Returns it while that attempt is being made.
async fn being_tried_again(
    transport: Transport,
    upgrade: Upgrade,
) -> (ScriptedServer, ResponsesSession, ResponseStream) {
    let cut = Turn::text("cut").cut_after(1, Step::End);
    let script = Script::new().turn(cut).respond(|_| Turn::steps([Step::Stall]));
    let server = ScriptedServer::in_memory(script.upgrade(Upgrade::Accept).every_upgrade(upgrade));
    let mut retry = RetryPolicy::default();
    retry.replay = ReplayPolicy::BeforeOutput;
    let client = builder(&server).transport(only(transport)).retry(retry).build().unwrap();
    let mut session = client.session();
    let mut stream = session.stream(request(&["hi"])).await.unwrap();
    assert!(stream.try_next().await.unwrap().is_some());
    (server, session, stream)
}

#[tokio::test(start_paused = true)]
async fn c050_closing_ends_the_wait_for_another_attempt_at_once() {
    for transport in BOTH {
        let (server, session, mut stream) = being_tried_again(transport, Upgrade::Accept).await;
        let start = Instant::now();
        // In the wait of the ladder, which is 150 ms at least.
        let short = tokio::time::timeout(Duration::from_millis(100), stream.try_next()).await;
        assert!(short.is_err(), "{transport}");
        session.close().await;
        let error = stream.try_next().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::SessionClosed, "{transport}");
        assert_eq!(error.delivery(), Delivery::Accepted);
        assert_eq!(start.elapsed(), Duration::from_millis(100));
        tokio::time::advance(Duration::from_secs(10)).await;
        settled(&server).await;
        let log = server.log();
        assert_eq!((log.requests.len(), log.open_connections()), (1, 0), "{transport}");
    }
}

#[tokio::test(start_paused = true)]
async fn c050_closing_retires_the_socket_that_is_being_opened() {
    for upgrade in [Upgrade::Hang, Upgrade::Delay(Duration::from_secs(5))] {
        let (server, session, mut stream) =
            being_tried_again(Transport::WebSocket, upgrade.clone()).await;
        let connecting = tokio::time::timeout(Duration::from_secs(1), stream.try_next()).await;
        assert!(connecting.is_err(), "{upgrade:?}");
        assert_eq!(server.log().connections.len(), 2, "it is being opened");
        session.close().await;
        assert_eq!(stream.try_next().await.unwrap_err().kind(), ErrorKind::SessionClosed);
        tokio::time::advance(Duration::from_secs(10)).await;
        server.wait_for(|log| log.open_connections() == 0).await;
        assert_eq!(server.log().requests.len(), 1, "{upgrade:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn c058_a_socket_that_opens_after_its_turn_was_dropped_is_closed_and_gets_nothing() {
    let late = Upgrade::Delay(Duration::from_secs(5));
    let server = ScriptedServer::in_memory(Script::new().upgrade(late));
    let mut session = builder(&server).build().unwrap().session();
    let one = request(&["one"]);
    let dropped = tokio::time::timeout(Duration::from_secs(1), session.stream(&one)).await;
    assert!(dropped.is_err());
    session.close().await;
    tokio::time::advance(Duration::from_secs(10)).await;
    server.wait_for(|log| log.open_connections() == 0).await;
    let log = server.log();
    assert_eq!((log.connections.len(), log.requests.len()), (1, 0));
}
