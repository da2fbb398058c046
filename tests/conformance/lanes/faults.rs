//! Errors and ends of a WebSocket that several sessions share.

use std::time::Duration;

use futures_util::future::join_all;
use responses_client::{
    Delivery, ErrorCode, ErrorKind, PoolPolicy, ResponseStream,
    report::FullSendReason,
    testing::{Gate, Script, ScriptedServer, Step, Turn},
};
use serde_json::json;

use super::{answer, asked, builder, client, connections, shared, unnamed_error};
use crate::support::{Outcome, appended, full, guarded, incremental, read, request, turn};

const LIMIT: &str = "websocket_connection_limit_reached";

#[tokio::test(start_paused = true)]
async fn c104_the_end_of_a_socket_of_its_age_reaches_all_lanes_and_each_recovers() {
    let server = ScriptedServer::in_memory(Script::new().respond(|exchange| {
        let text = asked(exchange);
        match (exchange.connection, text.as_str()) {
            (0, "last") => Turn::steps([unnamed_error(400, LIMIT), Step::Stall]),
            (0, text) if text.starts_with("wait") => Turn::steps([Step::Stall]),
            _ => answer(&text),
        }
    }));
    let client = client(&server, shared());
    let mut sessions: Vec<_> = (0..3).map(|_| client.session()).collect();
    for session in &mut sessions {
        turn(session, &request(&["hello"])).await;
    }
    let texts = ["wait 1", "wait 2", "last"];
    let turns = sessions.iter_mut().zip(texts).map(|(session, text)| async move {
        let outcome = turn(session, &request(&[text])).await;
        assert_eq!(outcome.response().output_text(), format!("answer to {text}"));
        outcome
    });
    for outcome in guarded(join_all(turns)).await {
        let failures: Vec<_> =
            outcome.report.attempts.iter().filter_map(|it| it.failure.clone()).collect();
        assert_eq!(failures.len(), 1);
        assert_eq!(failures[0].kind, ErrorKind::Api);
        assert!(format!("{:?}", failures[0]).contains(LIMIT), "{failures:?}");
    }
    // Together they open one WebSocket.
    assert!(connections(&server)[6..].iter().all(|connection| *connection == 1));
    server.wait_for(|log| log.connections[0].closed).await;
}

#[tokio::test(start_paused = true)]
async fn c104_a_lane_whose_output_has_begun_learns_the_cause_and_goes_on_with_its_next_turn() {
    let gate = Gate::new();
    let held = gate.clone();
    let server = ScriptedServer::in_memory(Script::new().respond(move |exchange| {
        let text = asked(exchange);
        match (exchange.connection, text.as_str()) {
            (0, "last") => {
                Turn::steps([Step::Gate(held.clone()), unnamed_error(400, LIMIT), Step::Stall])
            }
            (0, "begun") => answer(&text).insert(6, Step::Stall),
            _ => answer(&text),
        }
    }));
    let client = client(&server, shared());
    let (mut one, mut two) = (client.session(), client.session());
    let mut begun = one.stream(&request(&["begun"])).await.expect("a stream");
    while begun.response().output_text().is_empty() {
        begun.try_next().await.expect("an event");
    }
    let ends = async {
        server.wait_for(|log| log.requests.len() == 2).await;
        gate.open();
    };
    let last = request(&["last"]);
    let (other, ()) = guarded(async { tokio::join!(turn(&mut two, &last), ends) }).await;
    assert_eq!(other.response().output_text(), "answer to last");
    let error = read(Ok(begun)).await.result.expect_err("a lost response");
    assert_eq!(error.kind(), ErrorKind::Api);
    assert_eq!(error.code(), Some(&ErrorCode::ConnectionLimitReached));
    assert_eq!(error.delivery(), Delivery::OutputStarted);
    assert!(error.response().is_some_and(|it| !it.output_text().is_empty()));
    assert_eq!(
        turn(&mut one, &request(&["begun"])).await.response().output_text(),
        "answer to begun"
    );
}

#[tokio::test(start_paused = true)]
async fn c104_an_idle_socket_that_ends_is_replaced_for_each_of_its_sessions() {
    let server = super::echo();
    let client = client(&server, shared());
    let mut sessions: Vec<_> = (0..3).map(|_| client.session()).collect();
    let first = request(&["hello"]);
    let mut outcomes = Vec::new();
    for session in &mut sessions {
        outcomes.push(turn(session, &first).await);
    }
    let error = json!({ "type": "error", "status": 400, "error": { "code": LIMIT } });
    server.send_idle(&error.to_string());
    server.wait_for(|log| log.connections[0].closed).await;
    for (session, outcome) in sessions.iter_mut().zip(&outcomes) {
        let next = turn(session, &appended(&first, outcome, "next")).await;
        assert_eq!(next.report.plan, full(FullSendReason::ConnectionChanged));
        assert_eq!(next.report.attempts.len(), 1);
    }
    assert_eq!(connections(&server), [0, 0, 0, 1, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn c117_a_refusal_evicts_the_parent_of_its_own_lane_only() {
    let server =
        ScriptedServer::in_memory(Script::new().respond(
            |exchange| match asked(exchange).as_str() {
                "refuse" => Turn::error(400, "invalid_prompt", "No."),
                text => answer(text),
            },
        ));
    let client = client(&server, shared());
    let (mut one, mut two) = (client.session(), client.session());
    let first = request(&["hello"]);
    let outcomes = [turn(&mut one, &first).await, turn(&mut two, &first).await];
    let (kept, evicted) = (one.checkpoint(), one.checkpoint());
    // Another session may continue the response, as long as the server has it.
    let next = appended(&first, &outcomes[0], "twin");
    let twin = turn(&mut client.resume(kept), &next).await;
    assert_eq!(twin.report.plan, incremental(1));
    let refused = turn(&mut one, &appended(&first, &outcomes[0], "refuse")).await;
    assert_eq!(refused.error().code(), Some(&ErrorCode::InvalidPrompt));
    assert_eq!(refused.report.plan, incremental(1));
    let late = turn(&mut client.resume(evicted), &next).await;
    assert_eq!(late.report.attempts.len(), 1, "no request for a response that is gone");
    assert!(late.report.plan.as_ref().is_some_and(|plan| plan.is_full()));
    // The server has the parent of the other lane still, and the first lane's no more.
    let next = turn(&mut two, &appended(&first, &outcomes[1], "next")).await;
    assert_eq!((&next.report.plan, next.report.attempts.len()), (&incremental(1), 1));
    let next = turn(&mut one, &appended(&first, &outcomes[0], "next")).await;
    assert_eq!(next.report.attempts.len(), 1, "no request for a response that is gone");
    assert!(next.report.plan.as_ref().is_some_and(|plan| plan.is_full()));
    // A refused fork takes nothing from its source.
    let request = appended(&appended(&first, &outcomes[0], "next"), &next, "refuse");
    let mut fork = one.fork();
    assert!(turn(&mut fork, &request).await.result.is_err());
    let request = appended(&appended(&first, &outcomes[0], "next"), &next, "more");
    let more = turn(&mut one, &request).await;
    assert_eq!((&more.report.plan, more.report.attempts.len()), (&incremental(1), 1));
    // The server has the parent of the fork no more, because its source has moved on.
    let again = turn(&mut fork, &request).await;
    assert_eq!(again.response().output_text(), "answer to more");
    assert_eq!(server.log().connections.len(), 1);
}

/// Reads the rest of a stream.
async fn rest(stream: ResponseStream) -> Outcome {
    guarded(read(Ok(stream))).await
}

#[tokio::test(start_paused = true)]
async fn c169_an_error_without_a_lane_ends_the_request_that_it_can_concern() {
    let gate = Gate::new();
    let held = gate.clone();
    let server = ScriptedServer::in_memory(Script::new().respond(move |exchange| {
        let text = asked(exchange);
        match text.as_str() {
            "refuse" => Turn::steps([unnamed_error(400, "invalid_prompt")]),
            "held" => answer(&text).insert(2, Step::Gate(held.clone())),
            _ => answer(&text),
        }
    }));
    let client = client(&server, shared());
    let mut sessions: Vec<_> = (0..4).map(|_| client.session()).collect();
    // Nothing runs on the default lane.
    turn(&mut sessions[0], &request(&["hello"])).await;
    let mut held = Vec::new();
    for session in &mut sessions[1..3] {
        held.push(session.stream(&request(&["held"])).await.expect("a stream"));
    }
    let refused = turn(&mut sessions[3], &request(&["refuse"])).await;
    assert_eq!(refused.error().code(), Some(&ErrorCode::InvalidPrompt));
    gate.open();
    for stream in held {
        assert_eq!(rest(stream).await.response().output_text(), "answer to held");
    }
    assert_eq!(server.log().connections.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn c169_an_error_without_a_lane_reaches_all_that_it_can_concern_and_no_other_socket() {
    let (gate, end) = (Gate::new(), Gate::new());
    let (held, ended) = (gate.clone(), end.clone());
    let server = ScriptedServer::in_memory(Script::new().respond(move |exchange| {
        let text = asked(exchange);
        let error = unnamed_error(400, "invalid_prompt");
        match text.as_str() {
            "fails" => answer(&text).insert(2, Step::Gate(held.clone())).insert(2, error),
            "held" => answer(&text).insert(2, Step::Gate(ended.clone())),
            _ => answer(&text),
        }
    }));
    let one = client(&server, shared());
    let other = client(&server, PoolPolicy::default());
    let mut sessions: Vec<_> = (0..3).map(|_| one.session()).collect();
    turn(&mut sessions[0], &request(&["hello"])).await;
    let mut elsewhere = other.session();
    let unharmed = elsewhere.stream(&request(&["held"])).await.expect("a stream");
    let mut streams = Vec::new();
    for (session, text) in sessions[1..].iter_mut().zip(["held", "fails"]) {
        let mut stream = session.stream(&request(&[text])).await.expect("a stream");
        stream.try_next().await.expect("an event");
        streams.push(stream);
    }
    gate.open();
    for stream in streams {
        let error = rest(stream).await.result.expect_err("an error");
        assert_eq!(error.code(), Some(&ErrorCode::InvalidPrompt));
    }
    end.open();
    assert_eq!(rest(unharmed).await.response().output_text(), "answer to held");
}

#[tokio::test(start_paused = true)]
async fn c169_the_end_of_a_shared_socket_ends_all_its_exchanges_and_each_recovers() {
    for fault in [Step::Reset, Step::End, crate::support::close(1001)] {
        let cut = fault.clone();
        let server = ScriptedServer::in_memory(Script::new().respond(move |exchange| {
            let text = asked(exchange);
            match (exchange.connection, text.as_str()) {
                (0, "cut") => Turn::steps([Step::Delay(Duration::from_secs(1)), cut.clone()]),
                (0, text) if text.starts_with("wait") => Turn::steps([Step::Stall]),
                _ => answer(&text),
            }
        }));
        let client = builder(&server, shared()).build().expect("a client");
        let mut sessions: Vec<_> = (0..4).map(|_| client.session()).collect();
        for session in &mut sessions {
            turn(session, &request(&["hello"])).await;
        }
        let texts = ["wait 1", "wait 2", "cut", "wait 3"];
        let turns = sessions.iter_mut().zip(texts).map(|(session, text)| async move {
            let outcome = turn(session, &request(&[text])).await;
            assert_eq!(outcome.response().output_text(), format!("answer to {text}"));
        });
        guarded(join_all(turns)).await;
        let requests = server.log().requests;
        assert_eq!(requests.len(), 12, "{fault:?}: each is sent once more");
    }
}
