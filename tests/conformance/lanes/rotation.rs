//! The age of a WebSocket that several sessions share.

use std::time::Duration;

use responses_client::{
    ResponsesClient,
    report::FullSendReason,
    testing::{Script, ScriptedServer, Step},
};
use tokio::time::sleep;

use super::{answer, asked, builder, connections, provider, shared};
use crate::support::{appended, full, guarded, incremental, request, turn};

/// A server whose answers to messages that begin with `slow` take ten minutes.
fn slow_server() -> ScriptedServer {
    ScriptedServer::in_memory(Script::new().respond(|exchange| {
        let text = asked(exchange);
        match text.starts_with("slow") {
            true => answer(&text).insert(2, Step::Delay(Duration::from_secs(600))),
            false => answer(&text),
        }
    }))
}

/// A client that replaces a WebSocket after 55 minutes.
fn aging(server: &ScriptedServer) -> ResponsesClient {
    let provider = provider(server).max_age(Some(Duration::from_secs(3600)));
    builder(server, shared()).provider(provider).build().expect("a client")
}

#[tokio::test(start_paused = true)]
async fn c164_new_turns_use_another_socket_and_running_ones_end_where_they_are() {
    let server = slow_server();
    let client = aging(&server);
    let (mut one, mut two, mut three) = (client.session(), client.session(), client.session());
    let first = request(&["hello"]);
    let outcomes = [turn(&mut one, &first).await, turn(&mut two, &first).await];
    sleep(Duration::from_secs(54 * 60)).await;
    let slow = appended(&first, &outcomes[0], "slow");
    let running = one.stream(&slow).await.expect("a stream");
    assert_eq!(running.report().plan, incremental(1));
    sleep(Duration::from_secs(2 * 60)).await;
    // The socket is due for replacement, and one of its lanes is busy.
    turn(&mut three, &first).await;
    let next = appended(&first, &outcomes[1], "next");
    let moved = turn(&mut two, &next).await;
    assert_eq!(moved.report.plan, full(FullSendReason::ConnectionChanged));
    assert_eq!(connections(&server), [0, 0, 0, 1, 1]);
    let response = running.final_response().await.expect("a response");
    assert_eq!(response.output_text(), "answer to slow");
    assert_eq!(response.report().plan, incremental(1));
    // The last session leaves the old socket with its next turn, and shares the new one.
    let mut after = slow.clone();
    after.input.extend(response.output_items());
    after.input.push(responses_client::Item::user("after"));
    assert_eq!(turn(&mut one, &after).await.response().output_text(), "answer to after");
    assert_eq!(connections(&server).last(), Some(&1));
    server.wait_for(|log| log.connections[0].closed).await;
    let log = server.log();
    assert_eq!((log.connections.len(), log.open_connections()), (2, 1));
    assert_eq!(log.connections[0].close_code, Some(1000));
}

#[tokio::test(start_paused = true)]
async fn c164_idle_sessions_of_an_old_socket_move_to_one_new_socket() {
    let server = slow_server();
    let client = aging(&server);
    let mut sessions: Vec<_> = (0..5).map(|_| client.session()).collect();
    let first = request(&["hello"]);
    let mut outcomes = Vec::new();
    for session in &mut sessions {
        outcomes.push(turn(session, &first).await);
    }
    sleep(Duration::from_secs(58 * 60)).await;
    let turns = sessions.iter_mut().zip(&outcomes).map(|(session, outcome)| {
        let next = appended(&first, outcome, "next");
        async move { turn(session, &next).await }
    });
    for outcome in guarded(futures_util::future::join_all(turns)).await {
        assert_eq!(outcome.response().output_text(), "answer to next");
        assert_eq!(outcome.report.attempts.len(), 1);
    }
    assert_eq!(connections(&server), [vec![0; 5], vec![1; 5]].concat());
    server.wait_for(|log| log.connections[0].closed).await;
}

#[tokio::test(start_paused = true)]
async fn c164_the_server_ends_a_socket_of_its_age_and_nobody_sees_an_error() {
    let script = Script::new()
        .max_age(Duration::from_secs(3600))
        .respond(|exchange| answer(&asked(exchange)));
    let server = ScriptedServer::in_memory(script);
    // The client does not know the limit.
    let client = super::client(&server, shared());
    let mut sessions: Vec<_> = (0..3).map(|_| client.session()).collect();
    for round in 0..3 {
        for session in &mut sessions {
            let outcome = turn(session, &request(&[&format!("round {round}")])).await;
            assert_eq!(outcome.response().output_text(), format!("answer to round {round}"));
            assert_eq!(outcome.report.attempts.len(), 1);
        }
        sleep(Duration::from_secs(3700)).await;
    }
    assert_eq!(connections(&server), [0, 0, 0, 1, 1, 1, 2, 2, 2]);
}
