//! Forks: conversations that continue the last response of another session.

use std::time::Duration;

use futures_util::future::join_all;
use responses_client::{
    ErrorKind, Item, PoolPolicy, Provider, ResponsesClient, ResponsesRequest, ResponsesSession,
    Sharing,
    report::FullSendReason,
    testing::{Gate, Profile, Script, ScriptedServer, Step, Turn},
};
use serde_json::Value;
use tokio::time::Instant;

use super::{answer, asked, builder, client, client_of, connections, echo, lanes, shared};
use crate::support::{
    Outcome, appended, full, guarded, incremental, request, settled, tried, turn,
};

/// A session after its first turn, and the request that follows.
async fn begun(session: &mut ResponsesSession, text: &str) -> ResponsesRequest {
    let first = request(&["one"]);
    let outcome = turn(session, &first).await;
    appended(&first, &outcome, text)
}

/// The request of another conversation that continues the same response.
fn with_text(next: &ResponsesRequest, text: &str) -> ResponsesRequest {
    let mut other = next.clone();
    other.input.pop();
    other.input.push(Item::user(text));
    other
}

fn plans(outcomes: &[Outcome]) -> Vec<Option<responses_client::report::Plan>> {
    outcomes.iter().map(|outcome| outcome.report.plan.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn c159_a_fork_continues_on_a_lane_of_its_own_and_nobody_loses_the_parent() {
    for fork_first in [true, false] {
        let server = echo();
        let client = client(&server, PoolPolicy::default());
        let mut session = client.session();
        let next = begun(&mut session, "two").await;
        let mut forks: Vec<_> = (0..8).map(|_| session.fork()).collect();
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
async fn c159_the_source_and_its_forks_may_go_on_at_the_same_time() {
    let server = echo();
    let client = client(&server, PoolPolicy::default());
    let mut session = client.session();
    let next = begun(&mut session, "two").await;
    let forks = (0..8).map(|_| session.fork()).collect::<Vec<_>>();
    let sessions = forks.into_iter().chain([session]).enumerate();
    let outcomes = join_all(sessions.map(|(index, mut session)| {
        let request = with_text(&next, &format!("message {index}"));
        async move {
            let outcome = turn(&mut session, &request).await;
            (session, outcome)
        }
    }));
    let outcomes = guarded(outcomes).await;
    for (index, (_, outcome)) in outcomes.iter().enumerate() {
        assert_eq!(outcome.response().output_text(), format!("answer to message {index}"));
        assert_eq!(outcome.report.plan, incremental(1), "{index}");
    }
    assert_eq!(server.log().connections.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn c159_a_fork_continues_also_if_its_source_has_gone() {
    let server = echo();
    let client = client(&server, PoolPolicy::default());
    for closes in [false, true] {
        let mut session = client.session();
        let next = begun(&mut session, "two").await;
        let mut fork = session.fork();
        let seen = server.log().connections.len();
        match closes {
            true => session.close().await,
            false => drop(session),
        }
        assert_eq!(turn(&mut fork, &next).await.report.plan, incremental(1), "{closes}");
        assert_eq!(server.log().connections.len(), seen);
        fork.close().await;
        server.wait_for(|log| log.open_connections() == 0).await;
    }
}

#[tokio::test(start_paused = true)]
async fn c159_a_fork_that_connects_ahead_keeps_what_it_continues() {
    let server = echo();
    let client = client(&server, PoolPolicy::default());
    let mut session = client.session();
    let next = begun(&mut session, "two").await;
    let mut fork = session.fork();
    fork.preconnect().expect("a runtime");
    settled(&server).await;
    assert_eq!(turn(&mut session, &next).await.report.plan, incremental(1));
    assert_eq!(turn(&mut fork, &next).await.report.plan, incremental(1));
    assert_eq!(server.log().connections.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn c159_a_fork_of_a_fork_continues_the_same_response() {
    let server = echo();
    let client = client(&server, PoolPolicy::default());
    let mut session = client.session();
    let next = begun(&mut session, "two").await;
    let mut fork = session.fork();
    let mut second = fork.fork();
    let mut third = second.fork();
    drop(second.fork());
    let mut outcomes = Vec::new();
    for session in [&mut third, &mut session, &mut fork, &mut second] {
        outcomes.push(turn(session, &next).await);
    }
    assert_eq!(plans(&outcomes), vec![incremental(1); 4]);
    // A fork that has had a turn is a source like any other.
    let after = appended(&next, &outcomes[2], "three");
    let mut late = fork.fork();
    assert_eq!(turn(&mut fork, &after).await.report.plan, incremental(1));
    assert_eq!(turn(&mut late, &after).await.report.plan, incremental(1));
    assert_eq!(server.log().connections.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn c159_with_a_socket_for_each_session_a_fork_opens_one() {
    for store in [false, true] {
        let server = echo();
        let client = client(&server, PoolPolicy::default().sharing(Sharing::OwnSocket));
        let mut session = client.session();
        let first = request(&["one"]).store(store);
        let outcome = turn(&mut session, &first).await;
        let next = appended(&first, &outcome, "two");
        let mut fork = session.fork();
        let forked = turn(&mut fork, &next).await;
        let expected = if store { incremental(1) } else { full(FullSendReason::ConnectionChanged) };
        assert_eq!(forked.report.plan, expected);
        assert_eq!(turn(&mut session, &next).await.report.plan, incremental(1));
        assert_eq!(connections(&server), [0, 1, 0]);
        assert_eq!(lanes(&server), [None, None, None]);
    }
}

/// A source, its fork, and a session that has the only other lane of their socket.
async fn without_a_free_lane(
    server: &ScriptedServer,
) -> (ResponsesSession, ResponsesSession, ResponsesSession, ResponsesRequest) {
    let client = client_of(server, 1, shared());
    let mut session = client.session();
    let next = begun(&mut session, "two").await;
    let mut other = client.session();
    turn(&mut other, &request(&["other"])).await;
    assert_eq!(connections(server), [0, 0]);
    let fork = session.fork();
    (session, fork, other, next)
}

#[tokio::test(start_paused = true)]
async fn c159_without_a_free_lane_a_source_waits_2_seconds_for_a_fork_that_does_nothing() {
    let server = echo();
    let (mut session, mut fork, _other, next) = without_a_free_lane(&server).await;
    let start = Instant::now();
    let outcome = turn(&mut session, &next).await;
    assert_eq!(start.elapsed(), Duration::from_secs(2));
    assert_eq!(outcome.report.plan, full(FullSendReason::ConnectionChanged));
    // The lane that the source has left keeps the response for the fork.
    assert_eq!(turn(&mut fork, &next).await.report.plan, incremental(1));
    assert_eq!(connections(&server), [0, 0, 1, 0]);
}

#[tokio::test(start_paused = true)]
async fn c159_without_a_free_lane_a_source_waits_for_what_its_fork_does() {
    for ends in ["in progress", "error", "dropped", "elsewhere"] {
        let gate = Gate::new();
        let held = gate.clone();
        let script = Script::new().respond(move |exchange| match asked(exchange).as_str() {
            "fork" if ends == "error" => {
                Turn::error(400, "invalid_prompt", "No.").first(Step::Gate(held.clone()))
            }
            "fork" => answer("fork").insert(1, Step::Gate(held.clone())),
            text => answer(text),
        });
        let server = ScriptedServer::in_memory(script);
        let (mut session, mut fork, other, next) = without_a_free_lane(&server).await;
        let of_fork = with_text(&next, "fork");
        let _other = match ends {
            "elsewhere" => {
                gate.open();
                Some(other)
            }
            "dropped" => Some(other),
            // The fork takes the lane of the other session.
            _ => {
                drop(other);
                None
            }
        };
        let start = Instant::now();
        let forked = async {
            if ends == "dropped" {
                tokio::time::sleep(Duration::from_millis(500)).await;
                drop(fork);
                return None;
            }
            Some((turn(&mut fork, &of_fork).await, fork))
        };
        let opened = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            gate.open();
        };
        let source = async {
            // The fork goes first.
            tokio::time::sleep(Duration::from_millis(100)).await;
            let outcome = turn(&mut session, &next).await;
            (outcome, start.elapsed())
        };
        let (forked, (outcome, elapsed), ()) =
            guarded(async { tokio::join!(forked, source, opened) }).await;
        assert_eq!(outcome.report.plan, incremental(1), "{ends}");
        let plan = forked.map(|(outcome, _)| outcome.report.plan);
        let expected = match ends {
            // There, the fork sends its whole history.
            "elsewhere" => Some(full(FullSendReason::ConnectionChanged)),
            "dropped" => None,
            _ => Some(incremental(1)),
        };
        assert_eq!(plan, expected, "{ends}");
        let waits = match ends {
            "dropped" => 500,
            "elsewhere" => 100,
            _ => 1000,
        };
        assert_eq!(elapsed, Duration::from_millis(waits), "{ends}");
    }
}

#[tokio::test(start_paused = true)]
async fn c160_without_lanes_a_fork_opens_a_socket() {
    for store in [false, true] {
        let server = echo();
        let client = client_of(&server, 0, shared());
        let mut session = client.session();
        let first = request(&["one"]).store(store);
        let outcome = turn(&mut session, &first).await;
        let next = appended(&first, &outcome, "two");
        let mut fork = session.fork();
        let expected = if store { incremental(1) } else { full(FullSendReason::ConnectionChanged) };
        assert_eq!(turn(&mut fork, &next).await.report.plan, expected);
        assert_eq!(turn(&mut session, &next).await.report.plan, incremental(1));
        assert_eq!(connections(&server), [0, 1, 0]);
        assert_eq!(lanes(&server), [None, None, None]);
    }
}

#[tokio::test(start_paused = true)]
async fn c160_a_server_that_refuses_lanes_is_asked_once() {
    for profile in [Profile::Azure, Profile::Xai, Profile::Vercel, Profile::ChatGpt] {
        let script = Script::new().profile(profile).respond(|exchange| answer(&asked(exchange)));
        let server = ScriptedServer::in_memory(script);
        let client = client(&server, shared());
        let mut sessions: Vec<_> = (0..4).map(|_| client.session()).collect();
        let mut outcomes = Vec::new();
        for (index, session) in sessions.iter_mut().enumerate() {
            outcomes.push(turn(session, &request(&[&format!("message {index}")])).await);
        }
        for (index, outcome) in outcomes.iter().enumerate() {
            assert_eq!(outcome.response().output_text(), format!("answer to message {index}"));
            let failures = tried(&outcome.report).iter().filter(|it| it.1.is_some()).count();
            assert_eq!(failures, usize::from(index == 1), "{profile:?}");
        }
        let named: Vec<_> = lanes(&server).iter().map(Option::is_some).collect();
        assert_eq!(named, [false, true, false, false, false], "{profile:?}");
        assert_eq!(server.log().websockets().count(), 4);
        // The first socket is as good as before, unless the server ends it after an error.
        let next = appended(&request(&["message 0"]), &outcomes[0], "next");
        let after = turn(&mut sessions[0], &next).await;
        assert_eq!(after.response().output_text(), "answer to next");
        let mut fork = sessions[0].fork();
        turn(&mut fork, &appended(&next, &after, "fork")).await;
        assert!(lanes(&server).iter().skip(2).all(Option::is_none), "{profile:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn c160_a_fork_recovers_from_the_refusal_of_its_lane() {
    let script = Script::new().profile(Profile::Xai).respond(|it| answer(&asked(it)));
    let server = ScriptedServer::in_memory(script);
    let client = client(&server, PoolPolicy::default());
    let mut session = client.session();
    let next = begun(&mut session, "two").await;
    let (mut fork, mut second) = (session.fork(), session.fork());
    let outcome = turn(&mut fork, &next).await;
    assert_eq!(outcome.response().output_text(), "answer to two");
    assert_eq!(outcome.report.attempts.len(), 2);
    let outcome = turn(&mut second, &next).await;
    assert_eq!(outcome.report.attempts.len(), 1, "the refusal is remembered");
    // The refusal may have cost the server the parent. The source notices nothing but that.
    let outcome = turn(&mut session, &next).await;
    assert_eq!(outcome.response().output_text(), "answer to two");
    assert_eq!(connections(&server)[..4], [0, 0, 1, 2]);
    assert_eq!(connections(&server)[4..].iter().sum::<usize>(), 0);
}

#[tokio::test(start_paused = true)]
async fn c161_a_refusal_of_one_more_name_does_not_mean_that_there_are_no_lanes() {
    let script = Script::new()
        .turn(answer("one"))
        .turn(Turn::error(400, "websocket_stream_limit_reached", "Too many."))
        .respond(|exchange| answer(&asked(exchange)));
    let server = ScriptedServer::in_memory(script);
    let client = client(&server, shared());
    let mut sessions: Vec<_> = (0..3).map(|_| client.session()).collect();
    for session in &mut sessions {
        let outcome = turn(session, &request(&["hello"])).await;
        assert!(outcome.result.is_ok());
    }
    assert!(lanes(&server)[3].is_some(), "{:?}", lanes(&server));
}

#[tokio::test(start_paused = true)]
async fn c160_a_server_that_omits_the_name_never_mixes_two_conversations() {
    let unnamed = |turn: Turn| {
        turn.map_events(|_, mut event| {
            event["stream_id"] = Value::Null;
            event
        })
    };
    // One after the other, nothing is missed.
    let server = ScriptedServer::in_memory(
        Script::new().respond(move |exchange| unnamed(answer(&asked(exchange)))),
    );
    let client = builder(&server, shared()).build().expect("a client");
    let (mut one, mut two) = (client.session(), client.session());
    for _ in 0..2 {
        for session in [&mut one, &mut two] {
            let outcome = turn(session, &request(&["hello"])).await;
            assert_eq!(outcome.response().output_text(), "answer to hello");
        }
    }
    assert_eq!(server.log().connections.len(), 1);
    // At the same time, a conversation may fail, but has no event of another. The default lane is
    // idle: its events have no name anyway.
    let gate = Gate::new();
    let held = gate.clone();
    let server = ScriptedServer::in_memory(Script::new().respond(move |exchange| {
        let text = asked(exchange);
        match (exchange.connection, text.as_str()) {
            (0, "a" | "b") => unnamed(answer(&text)).first(Step::Gate(held.clone())),
            _ => unnamed(answer(&text)),
        }
    }));
    let client = builder(&server, shared()).build().expect("a client");
    let mut sessions: Vec<_> = (0..3).map(|_| client.session()).collect();
    turn(&mut sessions[0], &request(&["first"])).await;
    let turns = sessions[1..].iter_mut().zip(["a", "b"]).map(|(session, text)| async move {
        let outcome = turn(session, &request(&[text])).await;
        for event in &outcome.events {
            let delta = event.text_delta().unwrap_or_default();
            assert!(format!("answer to {text}").contains(delta), "{text}: {delta}");
        }
        match &outcome.result {
            Ok(response) => assert_eq!(response.output_text(), format!("answer to {text}")),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Timeout),
        }
    });
    let opens = async {
        server.wait_for(|log| log.requests.len() == 3).await;
        gate.open();
    };
    tokio::join!(join_all(turns), opens);
    // The socket serves nobody any more.
    let after = turn(&mut sessions[0], &request(&["after"])).await;
    assert_eq!(after.response().output_text(), "answer to after");
    assert_ne!(connections(&server).last(), Some(&0));
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
    let since = Instant::now();
    let next = appended(&first, &outcome, "two");
    assert_eq!(turn(&mut session, &next).await.report.plan, incremental(1));
    assert!(since.elapsed() < Duration::from_secs(1));
    assert_eq!(server.log().connections.len(), 1);
    drop(fork);
}
