//! Baselines: which turns make one, and on which connection it is continued.

use responses_client::{
    ErrorKind, Item, Provider, ResponsesClient, Transport, TransportPolicy,
    event::EventKind,
    report::FullSendReason,
    testing::{Gate, Script, ScriptedServer, Step, Turn},
};
use serde_json::{Value, json};

use crate::{
    incremental::{answers, session, stored},
    support::{
        BOTH, appended, close, full, incremental, only, request, server, settled, socket_client,
        turn,
    },
};

#[tokio::test]
async fn c020_the_terminal_event_commits_in_the_poll_that_hands_it_out() {
    for transport in BOTH {
        let server = answers();
        let mut session = session(&server, transport);
        let request = stored(&["one"]);
        let mut stream = session.stream(&request).await.unwrap();
        while stream.try_next().await.unwrap().unwrap().kind() != EventKind::Completed {}
        let mut next = request.clone();
        next.input.extend(stream.response().output_items());
        next.input.push(Item::user("two"));
        drop(stream);
        let second = turn(&mut session, &next).await;
        assert_eq!((second.report.plan, second.report.reused), (incremental(1), true));
        assert_eq!(server.log().connections.len(), 1, "{transport}");
    }
}

#[tokio::test]
async fn c020_a_terminal_event_that_was_not_handed_out_commits_nothing() {
    for transport in BOTH {
        let server = answers();
        let mut session = session(&server, transport);
        let request = stored(&["one"]);
        let mut stream = session.stream(&request).await.unwrap();
        while stream.try_next().await.unwrap().unwrap().kind() != EventKind::OutputItemDone {}
        // The terminal event is the next one, and on its way or here already.
        server.wait_for(|log| log.finished() == 1).await;
        let mut next = request.clone();
        next.input.extend(stream.response().output_items());
        next.input.push(Item::user("two"));
        drop(stream);
        let second = turn(&mut session, &next).await;
        assert_eq!(second.report.plan, full(FullSendReason::PriorNotCompleted), "{transport}");
        let log = server.log();
        assert_eq!((log.connections.len(), log.requests[1].input_items), (2, 3), "{transport}");
    }
}

#[tokio::test]
async fn c021_a_rejected_parent_is_forgotten_before_everything_is_sent_again() {
    for transport in BOTH {
        let lost = Turn::error(400, "previous_response_not_found", "gone");
        let script = Script::new()
            .turn(Turn::text("a"))
            .turn(lost)
            .turn(Turn::error(400, "invalid_value", "no"))
            .turn(Turn::text("b"));
        let server = ScriptedServer::in_memory(script);
        let mut session = session(&server, transport);
        let request = stored(&["one"]);
        let first = turn(&mut session, &request).await;
        let next = appended(&request, &first, "two");
        assert_eq!(turn(&mut session, &next).await.error().kind(), ErrorKind::Api);
        let third = turn(&mut session, &next).await;
        assert_eq!(third.report.plan, full(FullSendReason::PriorNotCompleted), "{transport}");
        let log = server.log();
        let continued: Vec<bool> =
            log.requests.iter().map(|request| request.previous_response_id.is_some()).collect();
        assert_eq!(continued, [false, true, false, false], "{transport}");
    }
}

#[tokio::test]
async fn c021_a_turn_dropped_while_everything_is_sent_again_leaves_no_parent() {
    let gate = Gate::new();
    let script = Script::new()
        .turn(Turn::text("a"))
        .turn(Turn::error(400, "previous_response_not_found", "gone"))
        .turn(Turn::text("late").first(Step::Gate(gate.clone())))
        .turn(Turn::text("b"));
    let server = ScriptedServer::in_memory(script);
    let mut session = session(&server, Transport::WebSocket);
    let request = stored(&["one"]);
    let first = turn(&mut session, &request).await;
    let next = appended(&request, &first, "two");
    tokio::select! {
        biased;
        _ = session.stream(&next) => panic!("the gate is closed"),
        () = server.wait_for(|log| log.requests.len() == 3) => {}
    }
    gate.open();
    let third = turn(&mut session, &next).await;
    assert_eq!(third.report.plan, full(FullSendReason::PriorNotCompleted));
    assert_eq!(third.response().output_text(), "b");
}

/// Turns that end without a baseline.
fn unfinished() -> Vec<(&'static str, Turn)> {
    let message = || json!({ "type": "message", "role": "assistant", "content": [] });
    vec![
        ("rejected", Turn::error(400, "invalid_value", "no")),
        ("failed", Turn::failed([message()], "invalid_prompt", "no")),
        ("incomplete", Turn::incomplete([message()], "max_output_tokens")),
        ("cut", Turn::text("cut here").cut_after(5, Step::End)),
        ("reset", Turn::text("cut here").cut_after(5, Step::Reset)),
        ("closed", Turn::text("cut here").cut_after(5, close(1000))),
    ]
}

#[tokio::test]
async fn c023_the_turn_after_a_full_one_begins_a_chain_again() {
    for transport in BOTH {
        let turns = unfinished()
            .into_iter()
            .chain([("lost parent", Turn::error(400, "previous_response_not_found", "gone"))]);
        for (name, broken) in turns {
            let script = Script::new().turn(Turn::text("a")).turn(broken);
            let server = ScriptedServer::in_memory(script.respond(|_| Turn::text("an answer")));
            let mut session = session(&server, transport);
            let mut request = stored(&["one"]);
            let first = turn(&mut session, &request).await;
            request = appended(&request, &first, "two");
            let mut second = turn(&mut session, &request).await;
            if name != "lost parent" {
                second = turn(&mut session, &request).await;
            }
            assert!(second.report.plan.as_ref().unwrap().is_full(), "{transport} {name}");
            request = appended(&request, &second, "three");
            let third = turn(&mut session, &request).await;
            assert_eq!(third.report.plan, incremental(1), "{transport} {name}");
        }
    }
}

#[tokio::test]
async fn c026_what_is_not_stored_is_continued_on_its_own_socket() {
    let server = server(Script::new().respond(|_| Turn::text("an answer"))).await;
    let mut session = socket_client(&server, TransportPolicy::Auto).session();
    let mut request = request(&["one"]);
    let mut ids = Vec::new();
    for index in 0..4 {
        let outcome = turn(&mut session, &request).await;
        let plan = if index == 0 { full(FullSendReason::FirstTurn) } else { incremental(1) };
        assert_eq!((outcome.report.plan.clone(), outcome.report.attempts.len()), (plan, 1));
        ids.push(outcome.response().id().to_owned());
        request = appended(&request, &outcome, "go on");
    }
    let log = server.log();
    assert_eq!(log.connections.len(), 1);
    let parents = log.requests.iter().map(|request| request.previous_response_id.clone());
    assert!(parents.skip(1).eq(ids.into_iter().take(3).map(Some)));
    assert!(log.requests.iter().all(|request| request.body["store"] == false));
}

#[tokio::test]
async fn c027_what_is_not_stored_is_not_continued_on_another_socket() {
    for store in [false, true] {
        let server = answers();
        let mut session = session(&server, Transport::WebSocket);
        let request = stored(&["one"]).store(store);
        let first = turn(&mut session, &request).await;
        server.close_idle(1001, "");
        server.wait_for(|log| log.connections[0].closed).await;
        let second = turn(&mut session, &appended(&request, &first, "two")).await;
        let log = server.log();
        let parent = log.requests[1].previous_response_id.as_deref();
        if store {
            assert_eq!(second.report.plan, incremental(1));
            assert_eq!(parent, Some(first.response().id()));
        } else {
            assert_eq!(second.report.plan, full(FullSendReason::ConnectionChanged));
            assert_eq!((parent, log.requests[1].input_items), (None, 3));
        }
        assert_eq!((log.connections.len(), log.requests.len()), (2, 2));
    }
}

#[tokio::test]
async fn c027_a_fork_does_not_continue_what_is_not_stored() {
    let server = answers();
    let mut session = session(&server, Transport::WebSocket);
    let request = request(&["one"]);
    let first = turn(&mut session, &request).await;
    let next = appended(&request, &first, "two");
    let mut fork = session.fork();
    let forked = turn(&mut fork, &next).await;
    assert_eq!(forked.report.plan, full(FullSendReason::ConnectionChanged));
    // The session itself still has its socket, and the chain on it.
    assert_eq!(turn(&mut session, &next).await.report.plan, incremental(1));
    let log = server.log();
    assert_eq!((log.connections.len(), log.requests.len()), (2, 3));
}

#[tokio::test]
async fn c029_nothing_of_a_turn_that_did_not_complete_is_continued() {
    for transport in BOTH {
        for (name, broken) in unfinished() {
            let script = Script::new().turn(Turn::text("a")).turn(broken).turn(Turn::text("b"));
            let server = ScriptedServer::in_memory(script);
            let mut session = session(&server, transport);
            let mut request = stored(&["one"]);
            let first = turn(&mut session, &request).await;
            request = appended(&request, &first, "two");
            let second = turn(&mut session, &request).await;
            // The caller keeps what came of it, as an agent loop does with an incomplete turn.
            let kept = second.result.as_ref().map(|response| response.output_items().collect());
            request.input.extend(kept.unwrap_or_else(|_| Vec::<Item>::new()));
            request.input.push(Item::user("three"));
            let third = turn(&mut session, &request).await;
            assert_eq!(third.report.plan, full(FullSendReason::PriorNotCompleted), "{name}");
            let log = server.log();
            let sent = log.requests.last().unwrap();
            assert_eq!((sent.input_items, log.requests.len()), (request.input.len(), 3), "{name}");
            assert_eq!(sent.previous_response_id, None, "{transport} {name}");
        }
    }
}

#[tokio::test]
async fn c029_nothing_of_a_cancelled_turn_is_continued() {
    for transport in BOTH {
        let gate = Gate::new();
        let held = Turn::text("held back").insert(6, Step::Gate(gate.clone()));
        let script = Script::new().turn(Turn::text("a")).turn(held).turn(Turn::text("b"));
        let server = ScriptedServer::in_memory(script);
        let mut session = session(&server, transport);
        let request = stored(&["one"]);
        let first = turn(&mut session, &request).await;
        let next = appended(&request, &first, "two");
        let mut stream = session.stream(&next).await.unwrap();
        while stream.try_next().await.unwrap().unwrap().kind() != EventKind::OutputTextDelta {}
        drop(stream);
        let third = turn(&mut session, &next).await;
        assert_eq!(third.report.plan, full(FullSendReason::PriorNotCompleted), "{transport}");
        assert_eq!(third.response().output_text(), "b");
        assert_eq!(server.log().requests[2].input_items, 3);
    }
}

#[tokio::test(start_paused = true)]
async fn c153_what_the_server_says_about_storing_counts() {
    let cases =
        [(Some(true), true, false), (None, true, false), (None, false, true), (None, true, true)];
    for transport in BOTH {
        for (asked, by_default, said) in cases {
            for in_created in [true, false] {
                let first =
                    Turn::text("a").map_events(move |_, event| echo(event, said, in_created));
                let script = Script::new().turns([first, Turn::text("b")]);
                let server = ScriptedServer::in_memory(script);
                let provider = Provider::compatible(&server.url()).unwrap();
                let client = ResponsesClient::builder()
                    .provider(provider.stores_by_default(by_default))
                    .connector(&server.connector())
                    .transport(only(transport))
                    .continue_over_sse(true);
                let mut session = client.build().unwrap().session();
                let mut first = request(&["one"]);
                first.store = asked;
                let one = turn(&mut session, &first).await;
                // What is not stored does not outlive its connection.
                if transport == Transport::WebSocket {
                    server.close_idle(1001, "");
                    server.wait_for(|log| log.connections[0].closed).await;
                    settled(&server).await;
                }
                let two = turn(&mut session, &appended(&first, &one, "two")).await;
                let plan = match (said, transport) {
                    (true, _) => incremental(1),
                    (false, Transport::WebSocket) => full(FullSendReason::ConnectionChanged),
                    (false, _) => full(FullSendReason::ProviderUnsupported),
                };
                let what = format!("{transport} {asked:?} {by_default} {said} {in_created}");
                assert_eq!(two.report.plan, plan, "{what}");
                assert_eq!(two.response().output_text(), "b", "{what}");
            }
        }
    }
}

/// Has the response say that it is stored, in the first or in the last of its events.
fn echo(mut event: Value, stored: bool, in_created: bool) -> Value {
    let is_created = event["type"] == "response.created";
    let is_end = event["type"] == "response.completed";
    if let Some(response) = event.get_mut("response").and_then(|it| it.as_object_mut()) {
        response.remove("store");
        if is_created == in_created && (is_created || is_end) {
            response.insert("store".to_owned(), stored.into());
        }
    }
    event
}
