//! Streams and sessions that are dropped beside others of their WebSocket.

use std::time::Duration;

use futures_util::FutureExt;
use responses_client::{
    ErrorKind, Limits, PoolPolicy, ResponsesClient, Sharing,
    report::FullSendReason,
    testing::{Gate, Script, ScriptedServer, Step, Upgrade},
};
use tokio::{task::yield_now, time::Instant};

use super::{answer, asked, builder, client, client_of, connections, echo, holding, lanes, shared};
use crate::support::{appended, full, guarded, incremental, request, settled, turn};

#[tokio::test(start_paused = true)]
async fn c163_a_stream_that_is_dropped_leaves_the_socket_to_the_others() {
    let (server, gate) = holding(2);
    let client = client(&server, shared());
    let (mut one, mut two) = (client.session(), client.session());
    let first = request(&["one"]);
    let outcome = turn(&mut one, &first).await;
    let dropped = two.stream(&request(&["held"])).await.expect("a stream");
    drop(dropped);
    let next = appended(&first, &outcome, "two");
    assert_eq!(turn(&mut one, &next).await.report.plan, incremental(1));
    // The lane is not used again before the end of its response.
    let other = turn(&mut two, &request(&["other"])).await;
    assert_eq!(other.report.plan, full(FullSendReason::PriorNotCompleted));
    assert_eq!(other.response().output_text(), "answer to other");
    gate.open();
    assert_eq!(connections(&server), [0; 4]);
    let lanes = lanes(&server);
    assert!(lanes[3] != lanes[1], "{lanes:?}");
}

#[tokio::test(start_paused = true)]
async fn c163_a_lane_is_used_again_only_after_the_end_of_its_response() {
    let (server, gate) = holding(2);
    let client = client_of(&server, 1, shared());
    let (mut one, mut two) = (client.session(), client.session());
    turn(&mut one, &request(&["one"])).await;
    drop(two.stream(&request(&["held"])).await.expect("a stream"));
    drop(two);
    let mut three = client.session();
    turn(&mut three, &request(&["three"])).await;
    assert_eq!(connections(&server), [0, 0, 1], "the only other lane is busy");
    three.close().await;
    gate.open();
    settled(&server).await;
    let mut four = client.session();
    let outcome = turn(&mut four, &request(&["four"])).await;
    assert_eq!(outcome.response().output_text(), "answer to four");
    assert_eq!(connections(&server), [0, 0, 1, 0]);
    assert_eq!(lanes(&server)[1], lanes(&server)[3]);
}

#[tokio::test(start_paused = true)]
async fn c163_the_tail_of_a_dropped_stream_is_limited() {
    for (bytes, is_too_long) in [(50 << 10, false), (200 << 10, true)] {
        let gate = Gate::new();
        let held = gate.clone();
        let script = Script::new().respond(move |exchange| {
            let text = asked(exchange);
            match text.as_str() {
                "long" => answer(&"x".repeat(bytes / 4)).insert(2, Step::Gate(held.clone())),
                "held" => answer(&text).insert(3, Step::Gate(held.clone())),
                _ => answer(&text),
            }
        });
        let server = ScriptedServer::in_memory(script);
        let limits = Limits::default().read_ahead(64 << 10);
        let client = builder(&server, shared()).limits(limits).build().expect("a client");
        let (mut one, mut two, mut three) = (client.session(), client.session(), client.session());
        let first = request(&["hello"]);
        let outcome = turn(&mut one, &first).await;
        let running = two.stream(&request(&["held"])).await.expect("a stream");
        drop(three.stream(&request(&["long"])).await.expect("a stream"));
        gate.open();
        settled(&server).await;
        // Who runs on the socket is not disturbed.
        let response = running.final_response().await.expect("a response");
        assert_eq!(response.output_text(), "answer to held");
        let next = turn(&mut one, &appended(&first, &outcome, "next")).await;
        let plan = match is_too_long {
            true => full(FullSendReason::ConnectionChanged),
            false => incremental(1),
        };
        assert_eq!(next.report.plan, plan, "{bytes}");
        assert_eq!(next.report.attempts.len(), 1);
        assert_eq!(connections(&server).last(), Some(&usize::from(is_too_long)));
        drop((one, two, three));
        server.wait_for(|log| log.open_connections() == 0).await;
    }
}

#[tokio::test(start_paused = true)]
async fn c163_the_last_stream_that_is_dropped_closes_the_socket() {
    let (server, _gate) = holding(2);
    let client = client(&server, shared());
    let (mut one, mut two) = (client.session(), client.session());
    let first = one.stream(&request(&["held 1"])).await.expect("a stream");
    let second = two.stream(&request(&["held 2"])).await.expect("a stream");
    drop((first, one));
    settled(&server).await;
    assert_eq!(server.log().open_connections(), 1);
    drop(second);
    let start = Instant::now();
    server.wait_for(|log| log.open_connections() == 0).await;
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(server.log().connections[0].close_code, Some(1000));
}

#[tokio::test(start_paused = true)]
async fn c059_cancel_on_a_lane_then_next_turn_gets_only_its_own_events() {
    let (server, gate) = holding(2);
    let client = client(&server, shared());
    let (mut one, mut two) = (client.session(), client.session());
    let first = request(&["one"]);
    let outcome = turn(&mut one, &first).await;
    for events in 1..4 {
        let mut stream = two.stream(&request(&["held"])).await.expect("a stream");
        for _ in 1..events.min(2) {
            stream.try_next().await.expect("an event");
        }
        // The next turn supersedes the one before, with or without its stream.
        let kept = (events == 3).then_some(stream);
        let next = turn(&mut two, &request(&["next"])).await;
        assert_eq!(next.response().output_text(), "answer to next");
        if let Some(mut kept) = kept {
            let mut last = kept.try_next().await;
            while let Ok(Some(_)) = last {
                last = kept.try_next().await;
            }
            assert_eq!(last.expect_err("its end").kind(), ErrorKind::Superseded);
        }
    }
    gate.open();
    settled(&server).await;
    let next = turn(&mut two, &request(&["after"])).await;
    assert_eq!(next.response().output_text(), "answer to after");
    let again = turn(&mut one, &appended(&first, &outcome, "again")).await;
    assert_eq!(again.report.plan, incremental(1));
    assert_eq!(server.log().connections.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn c062_a_turn_that_is_dropped_before_it_is_sent_leaves_its_lane_unharmed() {
    let server = echo();
    let client = client(&server, shared());
    let (mut one, mut two) = (client.session(), client.session());
    let first = request(&["one"]);
    let outcomes = [turn(&mut one, &first).await, turn(&mut two, &first).await];
    let next = appended(&first, &outcomes[1], "two");
    for polls in 0..6 {
        let mut sending = Box::pin(two.stream(&next));
        for _ in 0..polls {
            if (&mut sending).now_or_never().is_some() {
                break;
            }
            yield_now().await;
        }
        drop(sending);
        settled(&server).await;
        let again = turn(&mut one, &appended(&first, &outcomes[0], "again")).await;
        assert_eq!(again.response().output_text(), "answer to again", "{polls}");
        let other = turn(&mut two, &next).await;
        assert_eq!(other.response().output_text(), "answer to two", "{polls}");
        assert_eq!(server.log().connections.len(), 1, "{polls}");
    }
}

#[tokio::test(start_paused = true)]
async fn c058_a_session_that_ends_while_others_wait_for_its_socket_leaves_them_one() {
    let script = Script::new()
        .upgrade(Upgrade::Delay(Duration::from_secs(3)))
        .respond(|exchange| answer(&asked(exchange)));
    let server = ScriptedServer::in_memory(script);
    for drops in [true, false] {
        let client = client(&server, shared());
        let (mut one, mut two) = (client.session(), client.session());
        let (first, second) = (request(&["one"]), request(&["two"]));
        let mut opening = Box::pin(one.stream(&first));
        assert!((&mut opening).now_or_never().is_none());
        let mut waiting = Box::pin(two.stream(&second));
        assert!((&mut waiting).now_or_never().is_none());
        if drops {
            drop(opening);
            drop(one);
        } else {
            drop(opening);
            one.close().await;
        }
        let stream = guarded(waiting).await.expect("a stream");
        let response = stream.final_response().await.expect("a response");
        assert_eq!(response.output_text(), "answer to two");
        two.close().await;
    }
    server.wait_for(|log| log.open_connections() == 0).await;
    assert!(server.log().requests.iter().all(|it| it.raw.contains("two")), "one sent nothing");
}

#[tokio::test(start_paused = true)]
async fn c067_the_socket_closes_with_its_last_session() {
    for closes in [false, true] {
        let (server, gate) = holding(2);
        let client = client(&server, shared());
        let mut sessions: Vec<_> = (0..3).map(|_| client.session()).collect();
        let mut streams = Vec::new();
        for session in &mut sessions {
            streams.push(session.stream(&request(&["held"])).await.expect("a stream"));
        }
        for session in sessions.drain(..2) {
            match closes {
                true => session.close().await,
                false => drop(session),
            }
        }
        if closes {
            for mut stream in streams.drain(..2) {
                while let Ok(Some(_)) = stream.try_next().await {}
            }
        } else {
            streams.drain(..2);
        }
        settled(&server).await;
        assert_eq!(server.log().open_connections(), 1, "another session has the socket");
        gate.open();
        let response = streams.remove(0).final_response().await.expect("a response");
        assert_eq!(response.output_text(), "answer to held");
        let start = Instant::now();
        sessions.remove(0).close().await;
        server.wait_for(|log| log.open_connections() == 0).await;
        assert!(start.elapsed() <= Duration::from_secs(1));
    }
}

#[tokio::test(start_paused = true)]
async fn c067_a_client_that_is_closed_closes_what_its_sessions_share() {
    let (server, _gate) = holding(2);
    let client = client(&server, shared());
    let mut sessions: Vec<_> = (0..3).map(|_| client.session()).collect();
    let mut streams = Vec::new();
    for session in &mut sessions {
        streams.push(session.stream(&request(&["held"])).await.expect("a stream"));
    }
    let start = Instant::now();
    client.close().await;
    server.wait_for(|log| log.open_connections() == 0).await;
    assert!(start.elapsed() <= Duration::from_secs(1));
    for mut stream in streams {
        let mut last = stream.try_next().await;
        while let Ok(Some(_)) = last {
            last = stream.try_next().await;
        }
        assert_eq!(last.expect_err("its end").kind(), ErrorKind::SessionClosed);
    }
}

#[tokio::test(start_paused = true)]
async fn c163_a_stream_that_outlives_its_session_disturbs_nobody_when_it_is_dropped() {
    let (server, gate) = holding(2);
    let client = client_of(&server, 1, shared());
    let (mut one, mut two) = (client.session(), client.session());
    let first = request(&["one"]);
    let outcome = turn(&mut one, &first).await;
    let kept = two.stream(&request(&["held"])).await.expect("a stream");
    two.close().await;
    gate.open();
    settled(&server).await;
    let next = appended(&first, &outcome, "next");
    let after = turn(&mut one, &next).await;
    assert_eq!(after.report.plan, incremental(1));
    // The first lane is the only one in use, and its session the only one.
    drop(kept);
    let again = turn(&mut one, &appended(&next, &after, "again")).await;
    assert_eq!(again.report.plan, incremental(1));

    // Another session has the lane of the stream that is dropped.
    let mut three = client.session();
    let kept = three.stream(&request(&["three"])).await.expect("a stream");
    three.close().await;
    settled(&server).await;
    let mut four = client.session();
    let before = request(&["four"]);
    let outcome = turn(&mut four, &before).await;
    drop(kept);
    let next = turn(&mut four, &appended(&before, &outcome, "next")).await;
    assert_eq!(next.report.plan, incremental(1));
    assert_eq!(server.log().connections.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn c011_a_session_that_moves_to_another_client_leaves_its_lane_after_its_turn() {
    let (server, gate) = holding(2);
    let old = client_of(&server, 1, shared());
    let new: ResponsesClient = builder(&server, PoolPolicy::default().sharing(Sharing::OwnSocket))
        .header("x-account", "new")
        .build()
        .expect("a client");
    let (mut one, mut two) = (old.session(), old.session());
    turn(&mut one, &request(&["one"])).await;
    let running = two.stream(&request(&["held"])).await.expect("a stream");
    two.set_client(&new);
    let mut three = old.session();
    let other = turn(&mut three, &request(&["three"])).await;
    assert_eq!(other.response().output_text(), "answer to three");
    gate.open();
    let response = guarded(running.final_response()).await.expect("a response");
    assert_eq!(response.output_text(), "answer to held");
}

#[tokio::test(start_paused = true)]
async fn c168_a_stop_detaches_the_lane_and_leaves_the_socket_to_the_others() {
    let (server, gate) = holding(6);
    let client = client(&server, shared());
    let (mut one, mut two) = (client.session(), client.session());
    let first = request(&["one"]);
    let outcome = turn(&mut one, &first).await;
    let mut stopped = two.stream(&request(&["held"])).await.expect("a stream");
    while stopped.response().output_text().is_empty() {
        stopped.try_next().await.expect("an event");
    }
    stopped.stop();
    let error = stopped.final_response().await.expect_err("a stopped response");
    assert_eq!(error.kind(), ErrorKind::Stopped);
    let partial = error.response().expect("a partial response").output_text();
    assert!(!partial.is_empty() && "answer to held".starts_with(&partial), "{partial}");
    let next = appended(&first, &outcome, "two");
    assert_eq!(turn(&mut one, &next).await.report.plan, incremental(1));
    let other = turn(&mut two, &request(&["other"])).await;
    assert_eq!(other.response().output_text(), "answer to other");
    gate.open();
    assert_eq!(connections(&server), [0; 4]);
    let lanes = lanes(&server);
    assert!(lanes[3] != lanes[1], "{lanes:?}");
}
