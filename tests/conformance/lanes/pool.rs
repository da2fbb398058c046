//! The WebSockets of a client: who shares one, how many there are, and what happens at the limits.

use std::time::Duration;

use futures_util::{FutureExt, future::join_all};
use responses_client::{
    AtCapacity, ErrorKind, PoolPolicy, ResponsesSession, Sharing, Transport,
    testing::{Gate, Refusal, Script, ScriptedServer, Step, Turn, Upgrade},
};
use tokio::time::Instant;

use super::{answer, asked, builder, client, client_of, connections, echo, holding, lanes, shared};
use crate::support::{appended, guarded, incremental, request, turn};

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
async fn c011_a_session_shares_its_socket_only_as_the_policy_says() {
    for (sharing, named, sockets) in [
        (Sharing::OwnSocket, 32, 12),
        (Sharing::Auto, 32, 8),
        (Sharing::Lanes, 32, 1),
        // Without lanes, nobody shares.
        (Sharing::Auto, 0, 12),
        (Sharing::Lanes, 0, 12),
    ] {
        let server = echo();
        let client = client_of(&server, named, PoolPolicy::default().sharing(sharing));
        let mut sessions: Vec<_> = (0..12).map(|_| client.session()).collect();
        for round in 0..2 {
            for session in &mut sessions {
                let outcome = turn(session, &request(&["hello"])).await;
                assert!(outcome.report.reused || round == 0);
            }
        }
        assert_eq!(server.log().connections.len(), sockets, "{sharing} {named}");
        let seen = connections(&server);
        assert_eq!(seen[..12], seen[12..], "each session keeps its socket");
        let seen = lanes(&server);
        assert_eq!(seen[..12], seen[12..], "each session keeps its lane");
        assert_eq!(seen.iter().flatten().count(), 2 * (12 - sockets), "{seen:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn c011_a_busy_socket_is_bypassed() {
    let (server, gate) = holding(1);
    let client = client(&server, shared());
    let mut streams = Vec::new();
    for number in 0..17 {
        let held = request(&[&format!("held {number}")]);
        streams.push(client.session().stream(&held).await.expect("a stream"));
    }
    assert_eq!(connections(&server), [vec![0; 16], vec![1]].concat());
    gate.open();
    for (number, stream) in streams.into_iter().enumerate() {
        let response = stream.final_response().await.expect("a response");
        assert_eq!(response.output_text(), format!("answer to held {number}"));
    }
}

#[tokio::test(start_paused = true)]
async fn c011_many_sessions_that_begin_together_wait_for_one_socket() {
    let script = Script::new()
        .every_upgrade(Upgrade::Delay(Duration::from_secs(3)))
        .respond(|exchange| answer(&asked(exchange)));
    let server = ScriptedServer::in_memory(script);
    let client = client(&server, shared().at_capacity(AtCapacity::Wait));
    // 33 lanes of the socket that is being opened, and two of another one.
    let mut sessions: Vec<_> = (0..35).map(|_| client.session()).collect();
    let turns = sessions.iter_mut().enumerate().map(|(number, session)| async move {
        let outcome = turn(session, &request(&[&number.to_string()])).await;
        assert_eq!(outcome.response().output_text(), format!("answer to {number}"));
    });
    guarded(join_all(turns)).await;
    let log = server.log();
    assert_eq!(log.connections.len(), 2);
    let on_first = log.requests.iter().filter(|request| request.connection == 0).count();
    assert!([2, 33].contains(&on_first), "{on_first}");
}

#[tokio::test(start_paused = true)]
async fn c011_the_limit_counts_what_is_being_opened_and_a_failure_gives_its_place_back() {
    for upgrade in [
        Upgrade::Hang,
        Upgrade::Reset,
        Upgrade::WrongAccept,
        Upgrade::Refuse(Refusal::status(403)),
        Upgrade::Delay(Duration::from_secs(3)),
    ] {
        let script =
            Script::new().upgrade(upgrade.clone()).respond(|exchange| answer(&asked(exchange)));
        let server = ScriptedServer::in_memory(script);
        let pool = PoolPolicy::default().sharing(Sharing::OwnSocket).max_sockets(1);
        let client = client(&server, pool);
        let (mut one, mut two) = (client.session(), client.session());
        let first = request(&["one"]);
        {
            let mut opening = Box::pin(one.stream(&first));
            assert!((&mut opening).now_or_never().is_none());
            let start = Instant::now();
            let error = two.stream(&request(&["two"])).await.expect_err("a full pool");
            assert_eq!((error.kind(), start.elapsed()), (ErrorKind::PoolFull, Duration::ZERO));
            let outcome = guarded(opening).await;
            assert!(outcome.is_ok(), "{upgrade:?}: {outcome:?}");
        }
        one.close().await;
        client.reset_fallback();
        let outcome = turn(&mut two, &request(&["two"])).await;
        assert_eq!(outcome.report.transport, Some(Transport::WebSocket), "{upgrade:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn c011_a_turn_that_is_dropped_while_it_opens_a_socket_gives_its_place_back() {
    let script = Script::new().upgrade(Upgrade::Hang).respond(|exchange| answer(&asked(exchange)));
    let server = ScriptedServer::in_memory(script);
    let client = client(&server, shared().max_sockets(1).at_capacity(AtCapacity::Wait));
    let (mut one, mut two) = (client.session(), client.session());
    let first = request(&["one"]);
    let mut opening = Box::pin(one.stream(&first));
    assert!((&mut opening).now_or_never().is_none());
    let waits = tokio::spawn(async move { turn(&mut two, &request(&["two"])).await });
    server.wait_for(|log| log.upgrades_refused == 1).await;
    drop(opening);
    let start = Instant::now();
    let outcome = guarded(waits).await.expect("no panic");
    assert_eq!(outcome.response().output_text(), "answer to two");
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn c012_a_connect_that_fails_takes_nothing_from_the_one_that_succeeded() {
    // The first upgrade fails after the second one has succeeded.
    let script = Script::new().upgrade(Upgrade::Hang).respond(|it| answer(&asked(it)));
    let server = ScriptedServer::in_memory(script);
    // A socket has two lanes, so that the third session opens another one.
    let client = client_of(&server, 1, shared());
    let mut sessions: Vec<_> = (0..3).map(|_| client.session()).collect();
    let first = request(&["hello"]);
    let turns = sessions.iter_mut().map(|session| turn(session, &first));
    let outcomes = guarded(join_all(turns)).await;
    let transports: Vec<_> = outcomes.iter().map(|it| it.report.transport).collect();
    let websocket = Some(Transport::WebSocket);
    assert_eq!(transports, [Some(Transport::Sse), websocket, websocket]);
    for (session, outcome) in sessions.iter_mut().zip(&outcomes).skip(1) {
        let again = turn(session, &appended(&first, outcome, "again")).await;
        assert_eq!(again.report.plan, incremental(1));
    }
    // The socket serves further sessions, too.
    client.reset_fallback();
    drop(sessions.pop());
    let outcome = turn(&mut client.session(), &first).await;
    assert_eq!(outcome.report.transport, websocket);
    assert_eq!(server.log().websockets().count(), 1);
}

/// Lets a session's turn run to the gate.
async fn running(
    client: &responses_client::ResponsesClient,
    text: &str,
) -> (ResponsesSession, responses_client::ResponseStream) {
    let mut session = client.session();
    let stream = session.stream(&request(&[text])).await.expect("a stream");
    (session, stream)
}

#[tokio::test(start_paused = true)]
async fn c162_at_the_limit_a_turn_waits_or_uses_sse_or_fails() {
    for at_capacity in [AtCapacity::Wait, AtCapacity::Sse, AtCapacity::OpenSocket] {
        let (server, gate) = holding(1);
        let pool = PoolPolicy::default().sharing(Sharing::OwnSocket).max_sockets(1);
        let client = client(&server, pool.at_capacity(at_capacity).wait(Duration::from_secs(30)));
        let (one, held) = running(&client, "held").await;
        let (mut two, second) = (client.session(), request(&["two"]));
        let start = Instant::now();
        match at_capacity {
            AtCapacity::Wait => {
                let error = two.stream(&second).await.expect_err("a full pool");
                assert_eq!(error.kind(), ErrorKind::Timeout);
                assert_eq!(start.elapsed(), Duration::from_secs(30));
            }
            AtCapacity::Sse => {
                let stream = two.stream(&second).await.expect("a stream");
                assert_eq!(stream.report().transport, Some(Transport::Sse));
            }
            _ => {
                let error = two.stream(&second).await.expect_err("a full pool");
                assert_eq!(error.kind(), ErrorKind::PoolFull);
                assert_eq!(start.elapsed(), Duration::ZERO);
            }
        }
        gate.open();
        held.final_response().await.expect("a response");
        one.close().await;
        let after = turn(&mut two, &second).await;
        assert_eq!(after.report.transport, Some(Transport::WebSocket), "{at_capacity}");
    }
}

#[tokio::test(start_paused = true)]
async fn c162_a_wait_ends_with_the_lane_or_the_place_that_becomes_free() {
    // What becomes free, and if the sessions share.
    for (frees, sharing) in [
        ("closed", Sharing::OwnSocket),
        ("dropped", Sharing::OwnSocket),
        ("closed", Sharing::Lanes),
        ("dropped", Sharing::Lanes),
        ("ended", Sharing::Lanes),
    ] {
        let (server, gate) = holding(1);
        let pool = PoolPolicy::default().sharing(sharing).max_sockets(1);
        // Two sessions share the socket, or the second one waits for its place.
        let client = client_of(&server, 1, pool.at_capacity(AtCapacity::Wait));
        let mut sessions = vec![running(&client, "held").await];
        if sharing == Sharing::Lanes {
            sessions.push(running(&client, "held").await);
        }
        let start = Instant::now();
        let mut last = client.session();
        let waits = async {
            let outcome = turn(&mut last, &request(&["last"])).await;
            (outcome, start.elapsed())
        };
        let freed = async {
            tokio::time::sleep(Duration::from_secs(7)).await;
            let (session, stream) = sessions.pop().expect("a session");
            match frees {
                "closed" => session.close().await,
                "dropped" => drop((stream, session)),
                _ => {
                    gate.open();
                    stream.final_response().await.expect("a response");
                    drop(session);
                }
            }
            if frees != "ended" && sharing == Sharing::Lanes {
                // The lane is free when its response has ended.
                tokio::time::sleep(Duration::from_secs(1)).await;
                gate.open();
            }
        };
        let ((outcome, elapsed), ()) = guarded(async { tokio::join!(waits, freed) }).await;
        assert_eq!(outcome.response().output_text(), "answer to last");
        let is_late = frees != "ended" && sharing == Sharing::Lanes;
        assert_eq!(elapsed, Duration::from_secs(7 + u64::from(is_late)), "{frees} {sharing}");
        let sockets = if sharing == Sharing::Lanes { 1 } else { 2 };
        assert_eq!(server.log().connections.len(), sockets, "{frees} {sharing}");
    }
}

#[tokio::test(start_paused = true)]
async fn c162_a_turn_waits_for_one_of_the_responses_of_its_own_socket_to_end() {
    for ends in [true, false] {
        let (server, gate) = holding(1);
        let provider = super::provider(&server).active_responses(2);
        let pool = shared().wait(Duration::from_secs(20));
        let client = builder(&server, pool).provider(provider).build().expect("a client");
        let mut mine = client.session();
        let first = request(&["mine"]);
        let outcome = turn(&mut mine, &first).await;
        let (_one, held) = running(&client, "held").await;
        let (_two, also_held) = running(&client, "held, too").await;
        let next = appended(&first, &outcome, "next");
        let start = Instant::now();
        let opens = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            if ends {
                gate.open();
            }
        };
        let (outcome, ()) = guarded(async { tokio::join!(turn(&mut mine, &next), opens) }).await;
        match ends {
            true => {
                assert_eq!(start.elapsed(), Duration::from_secs(5));
                assert_eq!(outcome.report.plan, incremental(1));
            }
            false => {
                assert_eq!(start.elapsed(), Duration::from_secs(20));
                assert_eq!(outcome.error().kind(), ErrorKind::Timeout);
                assert_eq!(server.log().requests.len(), 3);
                gate.open();
            }
        }
        held.final_response().await.expect("a response");
        also_held.final_response().await.expect("a response");
        assert_eq!(turn(&mut mine, &next).await.response().output_text(), "answer to next");
        assert_eq!(server.log().connections.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn c091_a_pool_at_its_limit_refuses_promptly_and_recovers() {
    let (server, gate) = holding(1);
    let client = client_of(&server, 1, shared().max_sockets(2));
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(running(&client, "held").await);
    }
    for _ in 0..3 {
        let start = Instant::now();
        let error = client.session().stream(&request(&["more"])).await.expect_err("a full pool");
        assert_eq!((error.kind(), start.elapsed()), (ErrorKind::PoolFull, Duration::ZERO));
    }
    assert_eq!((server.log().requests.len(), server.log().connections.len()), (4, 2));
    gate.open();
    let mut idle = Vec::new();
    for (session, stream) in held {
        stream.final_response().await.expect("a response");
        idle.push(session);
    }
    // Idle sessions keep their lanes.
    let error = client.session().stream(&request(&["more"])).await.expect_err("a full pool");
    assert_eq!(error.kind(), ErrorKind::PoolFull);
    drop(idle.pop());
    let outcome = turn(&mut client.session(), &request(&["more"])).await;
    assert_eq!(outcome.response().output_text(), "answer to more");
    assert_eq!(server.log().connections.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn c161_the_33rd_name_goes_to_another_socket() {
    let server = echo();
    let client = client(&server, shared());
    let mut sessions: Vec<_> = (0..70).map(|_| client.session()).collect();
    for round in 0..2 {
        for (number, session) in sessions.iter_mut().enumerate() {
            let outcome = turn(session, &request(&[&format!("{round}.{number}")])).await;
            assert_eq!(outcome.response().output_text(), format!("answer to {round}.{number}"));
            assert_eq!(outcome.report.attempts.len(), 1);
        }
    }
    let log = server.log();
    assert_eq!(log.connections.len(), 3);
    for (connection, expected) in [33, 33, 4].into_iter().enumerate() {
        let on = log.requests.iter().filter(|request| request.connection == connection);
        let lanes: std::collections::HashSet<_> = on.map(|request| &request.lane).collect();
        assert_eq!(lanes.len(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn c161_the_lanes_of_sessions_that_have_gone_serve_others() {
    let server = echo();
    let client = client(&server, shared());
    // Keeps the socket open.
    let mut first = client.session();
    turn(&mut first, &request(&["first"])).await;
    for number in 0..100 {
        let mut session = client.session();
        let outcome = turn(&mut session, &request(&[&number.to_string()])).await;
        assert_eq!(outcome.response().output_text(), format!("answer to {number}"));
    }
    assert_eq!(server.log().connections.len(), 1);
    let seen = lanes(&server);
    let names: std::collections::HashSet<_> = seen.iter().flatten().collect();
    assert_eq!(names.len(), 32);
    // The lane that was idle for the longest time comes first.
    assert_eq!(seen[1..33], seen[33..65]);
}

#[tokio::test(start_paused = true)]
async fn c170_no_socket_is_shared_across_headers_or_clients() {
    let server = echo();
    let one = client(&server, shared());
    let two = client(&server, shared());
    let mut sessions: Vec<_> = [&one, &two, &one, &one, &two].map(|it| it.session()).into();
    for session in &mut sessions[2..4] {
        session.set_header("x-tenant", "blue").expect("a header");
    }
    for _ in 0..2 {
        for session in &mut sessions {
            turn(session, &request(&["hello"])).await;
        }
    }
    let expected = [0, 1, 2, 2, 1];
    assert_eq!(connections(&server), [expected, expected].concat());
    let log = server.log();
    assert_eq!(log.connections[2].header("x-tenant"), Some("blue"));
    assert_eq!(log.connections[0].header("x-tenant"), None);
    // A header that changes takes effect with the next socket, which serves the new headers only.
    sessions[0].set_header("x-tenant", "red").expect("a header");
    let mut red = one.session();
    red.set_header("x-tenant", "red").expect("a header");
    turn(&mut red, &request(&["hello"])).await;
    assert_eq!(server.log().connections[3].header("x-tenant"), Some("red"));
}

#[test]
fn c170_no_socket_is_shared_across_runtimes() {
    let runtime = || {
        let builder = &mut tokio::runtime::Builder::new_current_thread();
        builder.enable_all().start_paused(true).build().expect("a runtime")
    };
    let (one, two) = (runtime(), runtime());
    let server = one.block_on(async { echo() });
    let client = client(&server, shared());
    let mut sessions: Vec<_> = (0..4).map(|_| client.session()).collect();
    for round in 0..2 {
        for (index, session) in sessions.iter_mut().enumerate() {
            let on = if index < 2 { &one } else { &two };
            let outcome = on.block_on(turn(session, &request(&["hello"])));
            assert!(outcome.result.is_ok(), "{round}: {:?}", outcome.result);
        }
    }
    assert_eq!(connections(&server), [0, 0, 1, 1, 0, 0, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn c091_turns_that_wait_are_served_in_any_order_but_all_of_them() {
    let gate = Gate::new();
    let held = gate.clone();
    let script = Script::new().respond(move |exchange| {
        let turn: Turn = answer(&asked(exchange));
        turn.insert(1, Step::Gate(held.clone()))
    });
    let server = ScriptedServer::in_memory(script);
    let pool = shared().max_sockets(2).at_capacity(AtCapacity::Wait);
    let client = client_of(&server, 2, pool);
    let turns = (0..40).map(|number| {
        let mut session = client.session();
        async move {
            let outcome = turn(&mut session, &request(&[&number.to_string()])).await;
            assert_eq!(outcome.response().output_text(), format!("answer to {number}"));
        }
    });
    let opens = async {
        server.wait_for(|log| log.requests.len() == 6).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(server.log().requests.len(), 6);
        gate.open();
    };
    guarded(async { tokio::join!(join_all(turns), opens) }).await;
    assert_eq!(server.log().finished(), 40);
}

#[tokio::test(start_paused = true)]
async fn c091_a_socket_that_has_ended_takes_no_place() {
    for at_capacity in [AtCapacity::OpenSocket, AtCapacity::Wait] {
        let server = echo();
        let pool = PoolPolicy::default().sharing(Sharing::OwnSocket).max_sockets(1);
        let client = client(&server, pool.at_capacity(at_capacity));
        let (mut one, mut two) = (client.session(), client.session());
        turn(&mut one, &request(&["one"])).await;
        // A turn that waits goes on when the socket of the other session ends.
        let ends = async {
            if at_capacity == AtCapacity::Wait {
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
            server.close_idle(1001, "idle");
            server.wait_for(|log| log.connections[0].closed).await;
        };
        let start = Instant::now();
        let outcome = match at_capacity {
            AtCapacity::Wait => {
                let second = request(&["two"]);
                guarded(async { tokio::join!(turn(&mut two, &second), ends) }).await.0
            }
            _ => {
                ends.await;
                turn(&mut two, &request(&["two"])).await
            }
        };
        assert_eq!(outcome.response().output_text(), "answer to two", "{at_capacity}");
        assert!(start.elapsed() <= Duration::from_secs(6));
        // Now the place is taken again.
        drop(one);
        assert_eq!(server.log().open_connections(), 1);
    }
}
