//! Reuse of a socket, and its replacement by another one.

use responses_client::{
    ErrorKind, Provider, ResponsesClient, ResponsesRequest, Transport, TransportPolicy,
    error::ErrorCode,
    report::FullSendReason,
    testing::{Script, ScriptedServer, Step, Turn},
};
use serde_json::{Value, json};

use crate::{
    odd_turn::after_output,
    support::{
        BOTH, appended, builder, full, guarded, incremental, only, request, server, socket_client,
        turn,
    },
};

/// Two turns that have nothing in common: the second is sent in full whatever became of the first.
fn unrelated() -> (ResponsesRequest, ResponsesRequest) {
    (request(&["one"]), request(&["another"]))
}

#[tokio::test]
async fn c001_two_turns_use_one_socket() {
    for transport in BOTH {
        let server = server(Script::new().turn(Turn::text("a")).turn(Turn::text("b"))).await;
        let mut session = socket_client(&server, only(transport)).session();
        let request = request(&["one"]);
        let first = turn(&mut session, &request).await;
        let second = turn(&mut session, &appended(&request, &first, "two")).await;
        assert_eq!(second.response().output_text(), "b");
        assert_eq!((first.report.reused, second.report.reused), (false, true), "{transport}");
        let log = server.log();
        assert_eq!((log.connections.len(), log.requests.len()), (1, 2), "{transport}");
        let upgrades = usize::from(transport == Transport::WebSocket);
        assert_eq!(log.connections[0].upgrade_requests, upgrades);
        assert_eq!(log.creates().count(), 2 * upgrades);
    }
}

#[tokio::test]
async fn c001_the_second_turn_needs_no_connecting() {
    let server = server(Script::new().turn(Turn::text("a")).turn(Turn::text("b"))).await;
    let mut session = socket_client(&server, TransportPolicy::Auto).session();
    let (one, another) = unrelated();
    let first = turn(&mut session, &one).await;
    let second = turn(&mut session, &another).await;
    assert!(first.report.timings.connected.is_some() && second.report.timings.connected.is_none());
    assert_eq!(second.report.attempts.len(), 1);
}

#[tokio::test]
async fn c003_a_socket_closed_while_idle_is_replaced_before_sending() {
    for close in [true, false] {
        let server = server(Script::new().turn(Turn::text("a")).turn(Turn::text("b"))).await;
        let mut session = socket_client(&server, TransportPolicy::Auto).session();
        let request = request(&["one"]);
        let first = turn(&mut session, &request).await;
        match close {
            true => server.close_idle(1001, "going away"),
            false => server.drop_connections(),
        }
        // The client drops its end once it knows.
        server.wait_for(|log| log.connections[0].closed).await;
        let second = turn(&mut session, &appended(&request, &first, "two")).await;
        assert_eq!(second.response().output_text(), "b");
        let report = &second.report;
        assert_eq!(report.transport, Some(Transport::WebSocket));
        assert_eq!(report.plan, full(FullSendReason::ConnectionChanged));
        assert!(!report.reused);
        let log = server.log();
        let on: Vec<usize> = log.requests.iter().map(|request| request.connection).collect();
        assert_eq!(on, [0, 1]);
        assert_eq!(log.requests[1].input_items, 3);
    }
}

#[tokio::test]
async fn c003_a_close_that_was_seen_costs_no_attempt() {
    let server = ScriptedServer::in_memory(Script::new().respond(|_| Turn::text("a")));
    let mut session = builder(&server).build().unwrap().session();
    let (one, another) = unrelated();
    turn(&mut session, &one).await.response();
    server.close_idle(1001, "");
    server.wait_for(|log| log.connections[0].closed).await;
    let second = turn(&mut session, &another).await;
    assert_eq!(second.report.attempts.len(), 1);
    assert_eq!(server.log().requests.len(), 2);
}

/// Sends `first` and then another turn, both over WebSocket; returns the sockets they went over.
async fn sockets_of_two_turns(first: Turn, provider: impl Fn(Provider) -> Provider) -> Vec<usize> {
    let server = server(Script::new().turn(first).turn(Turn::text("b"))).await;
    let provider = provider(Provider::compatible(&server.url()).unwrap());
    let client = ResponsesClient::builder().provider(provider).build().unwrap();
    let mut session = client.session();
    let (one, another) = unrelated();
    turn(&mut session, &one).await;
    let second = turn(&mut session, &another).await;
    assert_eq!(second.response().output_text(), "b");
    assert_eq!(second.report.attempts.len(), 1);
    let log = server.log();
    assert_eq!(log.creates().count(), 2);
    log.requests.iter().map(|request| request.connection).collect()
}

fn done(_place: usize, mut event: Value) -> Value {
    if event["type"] == "response.completed" {
        event["type"] = "response.done".into();
    }
    event
}

#[tokio::test]
async fn c007_the_socket_is_used_again_after_every_end_by_the_servers_word() {
    let message = || json!({ "type": "message", "role": "assistant", "content": [] });
    for first in [
        Turn::incomplete([message()], "max_output_tokens"),
        Turn::text("a").map_events(done),
        Turn::failed([message()], "invalid_prompt", "no"),
        Turn::error(400, "invalid_value", "no"),
    ] {
        let sockets = sockets_of_two_turns(first.clone(), |provider| provider).await;
        assert_eq!(sockets, [0, 0], "{first:?}");
    }
}

#[tokio::test]
async fn c007_the_provider_may_say_that_an_error_ends_the_socket() {
    let strict = |provider: Provider| provider.reuses_socket_after_error(false);
    let error = Turn::error(400, "invalid_value", "no");
    assert_eq!(sockets_of_two_turns(error, strict).await, [0, 1]);
    // No error, no reason to leave it.
    let incomplete = Turn::incomplete([], "max_output_tokens");
    assert_eq!(sockets_of_two_turns(incomplete, strict).await, [0, 0]);
}

#[tokio::test]
async fn c007_a_refused_credential_ends_the_socket() {
    let error = Turn::error(401, "invalid_api_key", "no");
    assert_eq!(sockets_of_two_turns(error, |provider| provider).await, [0, 1]);
}

#[tokio::test]
async fn c007_an_error_between_two_turns_leaves_the_chain_to_be_begun_anew() {
    let script = Script::new()
        .turn(Turn::error(400, "invalid_value", "no"))
        .turn(Turn::text("a"))
        .turn(Turn::text("b"));
    let server = server(script).await;
    let mut session = socket_client(&server, TransportPolicy::Auto).session();
    let request = request(&["one"]);
    let refused = turn(&mut session, &request).await;
    assert_eq!((refused.error().kind(), refused.error().status()), (ErrorKind::Api, Some(400)));
    let first = turn(&mut session, &request).await;
    let second = turn(&mut session, &appended(&request, &first, "two")).await;
    assert_eq!(second.report.plan, incremental(1));
    assert_eq!(server.log().websockets().count(), 1);
}

#[tokio::test]
async fn c106_the_socket_that_goes_on_after_an_error_is_used_again() {
    for frame in [
        json!({ "type": "error", "status": 400, "error": { "code": "invalid_prompt" } }),
        json!({ "type": "response.failed", "response": { "error": { "code": "invalid_prompt" } } }),
    ] {
        for begun in [false, true] {
            let server = server(
                Script::new()
                    .respond(|exchange| Turn::text(format!("{} items", exchange.history.len()))),
            )
            .await;
            server.push(if begun {
                after_output(Step::Event(frame.clone()))
            } else {
                Turn::events([frame.clone()])
            });
            let mut session = socket_client(&server, only(Transport::WebSocket)).session();
            let odd = guarded(turn(&mut session, &request(&["one"]))).await;
            assert_eq!(odd.error().code(), Some(&ErrorCode::InvalidPrompt));
            let next = guarded(turn(&mut session, &request(&["one", "two"]))).await;
            assert_eq!(next.response().output_text(), "2 items");
            assert!(next.report.reused);
            assert_eq!(next.report.plan, full(FullSendReason::PriorNotCompleted));
            assert_eq!(next.report.attempts.len(), 1);
            let log = server.log();
            assert_eq!((log.connections.len(), log.requests.len()), (1, 2));
        }
    }
}

#[tokio::test]
async fn c106_the_socket_of_a_provider_that_drops_it_after_an_error_is_not() {
    let script =
        Script::new().turn(Turn::error(400, "invalid_prompt", "No.")).turn(Turn::text("Fine"));
    let server = server(script).await;
    let provider = Provider::compatible(&server.url()).expect("a URL");
    let client = ResponsesClient::builder().provider(provider.reuses_socket_after_error(false));
    let mut session = client.build().expect("a client").session();
    let odd = guarded(turn(&mut session, &request(&["one"]))).await;
    assert_eq!(odd.error().code(), Some(&ErrorCode::InvalidPrompt));
    let next = guarded(turn(&mut session, &request(&["one"]))).await;
    assert!(next.response().output_text() == "Fine" && !next.report.reused);
    assert_eq!(server.log().websockets().count(), 2);
}
