//! Prewarming a session, and the rotation of old sockets.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use responses_client::{
    Auth, AuthProvider, ErrorKind, Provider, ReplayPolicy, ResponsesClient, ResponsesRequest,
    RetryPolicy, Timeouts, TokenFuture, Transport, TransportPolicy,
    report::{FullSendReason, Prewarm, PrewarmFailure},
    testing::{Refusal, Script, ScriptedServer, Step, Turn, Upgrade},
};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::support::{appended, builder, full, guarded, incremental, only, request, settled, turn};

const MINUTE: Duration = Duration::from_secs(60);

fn client(server: &ScriptedServer) -> ResponsesClient {
    builder(server).build().expect("a client")
}

fn more(request: &ResponsesRequest, text: &str) -> ResponsesRequest {
    let mut more = request.clone();
    more.input.push(responses_client::Item::user(text));
    more
}

#[tokio::test(start_paused = true)]
async fn c009_the_first_turn_goes_over_the_socket_that_was_opened_for_it() {
    let server = ScriptedServer::in_memory(Script::new().turn(Turn::text("hi")));
    let mut session = client(&server).session();
    session.preconnect().expect("a runtime");
    server.wait_for(|log| log.connections.iter().any(|it| it.transport.is_some())).await;
    let mut request = request(&["hi"]);
    request.metadata = Some(json!({"other": "metadata"}).into());
    let outcome = turn(&mut session, &request).await;
    assert_eq!(outcome.response().output_text(), "hi");
    assert_eq!(outcome.report.prewarm, Some(Prewarm::Connected));
    assert!(outcome.report.reused && outcome.report.timings.connected.is_none());
    assert_eq!(server.log().connections.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn c028_a_warm_up_is_continued_on_its_socket_with_and_without_new_input() {
    for new in [0, 1] {
        let server = ScriptedServer::in_memory(Script::new().turn(Turn::text("hi")));
        let mut session = client(&server).session();
        let first = request(&["a task"]);
        session.prewarm(&first).expect("a runtime");
        let next = if new == 0 { first.clone() } else { more(&first, "and more") };
        let outcome = turn(&mut session, &next).await;
        assert_eq!(outcome.report.plan, incremental(new));
        assert_eq!(outcome.report.prewarm, Some(Prewarm::Warmed));
        let log = server.log();
        assert_eq!((log.connections.len(), log.requests.len()), (1, 2));
        assert_eq!(log.requests[0].body["generate"], false);
        assert!(log.requests[1].previous_response_id.is_some());
        assert_eq!(log.requests[1].input_items, new);
        // The turns behind it go on as ever.
        server.push(Turn::text("two"));
        let second = turn(&mut session, &appended(&next, &outcome, "go on")).await;
        assert_eq!(second.report.plan, incremental(1));
        assert_eq!(second.report.prewarm, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_warm_up_for_another_request_is_reported_as_wasted() {
    let server = ScriptedServer::in_memory(Script::new().turn(Turn::text("hi")));
    let mut session = client(&server).session();
    session.prewarm(request(&["a task"])).expect("a runtime");
    let other = request(&["a task"]).instructions("others");
    let outcome = turn(&mut session, &other).await;
    assert_eq!(outcome.report.plan, full(FullSendReason::InstructionsChanged));
    assert_eq!(outcome.report.prewarm, Some(Prewarm::Failed(PrewarmFailure::Unused)));
    assert_eq!(server.log().connections.len(), 1);
}

/// A server that does not know of `generate`, and answers a warm-up as it likes.
fn ignorant(answer: Turn) -> Script {
    Script::new().ignore_generate().turn(answer).turn(Turn::text("hi"))
}

#[tokio::test(start_paused = true)]
async fn a_warm_up_harms_nothing_whatever_the_server_does_with_it() {
    let created = |id: &str| {
        Step::Event(
            json!({"type": "response.created", "response": {"id": id, "status": "in_progress"}}),
        )
    };
    let close = Step::Close { code: Some(1011), reason: String::new() };
    for (answer, failure, connections) in [
        (Turn::text("a long answer that nobody asked for"), PrewarmFailure::Generated, 2),
        (Turn::steps([created("r"), Step::Stall]), PrewarmFailure::TimedOut, 2),
        (Turn::steps([Step::Stall]), PrewarmFailure::TimedOut, 2),
        (Turn::error(400, "invalid_value", "no"), PrewarmFailure::Refused, 1),
        (Turn::error(401, "invalid_api_key", "no"), PrewarmFailure::Refused, 2),
        (Turn::steps([close]), PrewarmFailure::Error(ErrorKind::Closed), 2),
        (Turn::steps([created("r"), Step::Reset]), PrewarmFailure::Error(ErrorKind::Truncated), 2),
    ] {
        let server = ScriptedServer::in_memory(ignorant(answer));
        let mut session = client(&server).session();
        session.prewarm(request(&["a task"])).expect("a runtime");
        let outcome = guarded(turn(&mut session, &request(&["a task"]))).await;
        assert_eq!(outcome.response().output_text(), "hi", "{failure:?}");
        assert_eq!(outcome.report.plan, full(FullSendReason::FirstTurn), "{failure:?}");
        assert_eq!(outcome.report.prewarm, Some(Prewarm::Failed(failure)));
        assert_eq!(outcome.report.attempts.len(), 1, "{failure:?}");
        assert_eq!(server.log().connections.len(), connections, "{failure:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn c010_the_first_turn_waits_the_rest_of_the_connect_timeout_and_no_more() {
    for (delay, expected) in [(8, 8), (60, 10)] {
        let script = Script::new()
            .upgrade(Upgrade::Delay(Duration::from_secs(delay)))
            .turn(Turn::text("hi"));
        let server = ScriptedServer::in_memory(script);
        let mut session = client(&server).session();
        let start = Instant::now();
        session.preconnect().expect("a runtime");
        sleep(Duration::from_secs(4)).await;
        let outcome = turn(&mut session, &request(&["hi"])).await;
        assert_eq!(start.elapsed().as_secs(), expected);
        let late = delay > 10;
        // The handshake that broke is paid for once.
        let transport = if late { Transport::Sse } else { Transport::WebSocket };
        assert_eq!(outcome.report.transport, Some(transport));
        assert_eq!(outcome.report.attempts.len(), 1);
        assert_eq!(outcome.report.prewarm == Some(Prewarm::Connected), !late);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_ahead_is_not_asked_for_again() {
    let script =
        Script::new().every_upgrade(Upgrade::Refuse(Refusal::status(426))).turn(Turn::text("hi"));
    let server = ScriptedServer::in_memory(script);
    let mut session = client(&server).session();
    session.prewarm(request(&["hi"])).expect("a runtime");
    let outcome = turn(&mut session, &request(&["hi"])).await;
    assert_eq!(outcome.report.transport, Some(Transport::Sse));
    assert_eq!(outcome.report.attempts.len(), 1);
    assert_eq!(server.log().upgrades_refused, 1);
    let failure = PrewarmFailure::Error(ErrorKind::UpgradeRefused);
    assert_eq!(outcome.report.prewarm, Some(Prewarm::Failed(failure)));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_done_ahead_where_turns_go_over_sse() {
    let server = ScriptedServer::in_memory(Script::new().turn(Turn::text("hi")));
    let mut session = builder(&server).transport(only(Transport::Sse)).build().unwrap().session();
    session.prewarm(request(&["hi"])).expect("a runtime");
    let outcome = turn(&mut session, &request(&["hi"])).await;
    assert_eq!(outcome.response().output_text(), "hi");
    assert_eq!(server.log().requests.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn c058_a_session_that_goes_takes_what_it_had_begun_with_it() {
    for close in [true, false] {
        let script = Script::new().upgrade(Upgrade::Delay(Duration::from_secs(5)));
        let server = ScriptedServer::in_memory(script);
        let mut session = client(&server).session();
        session.prewarm(request(&["hi"])).expect("a runtime");
        server.wait_for(|log| !log.connections.is_empty()).await;
        settled(&server).await;
        if close {
            session.close().await;
        } else {
            drop(session);
        }
        sleep(Duration::from_secs(30)).await;
        let log = server.log();
        assert!(log.connections.iter().all(|it| it.closed), "close: {close}");
        assert!(log.requests.is_empty(), "nothing was sent");
    }
}

fn aging(server: &ScriptedServer) -> ResponsesClient {
    let provider = Provider::compatible(&server.url()).expect("a URL");
    let provider = provider.max_age(Some(60 * MINUTE));
    ResponsesClient::builder()
        .provider(provider)
        .connector(&server.connector())
        .transport(TransportPolicy::WebSocketOnly)
        .build()
        .expect("a client")
}

#[tokio::test(start_paused = true)]
async fn c005_an_old_socket_is_replaced_between_turns_and_no_turn_waits_for_it() {
    let script = Script::new().turns([Turn::text("one"), Turn::text("two"), Turn::text("three")]);
    let server = ScriptedServer::in_memory(script);
    let mut session = aging(&server).session();
    let first = request(&["hi"]);
    let one = turn(&mut session, &first).await;
    sleep(54 * MINUTE).await;
    assert_eq!(server.log().connections.len(), 1, "not before it is due");
    sleep(2 * MINUTE).await;
    server.wait_for(|log| log.connections.len() == 2).await;
    settled(&server).await;
    let second = appended(&first, &one, "more");
    let two = turn(&mut session, &second).await;
    assert!(two.report.reused && two.report.timings.connected.is_none(), "it was open by then");
    // What the server keeps with a connection stays behind.
    assert_eq!(two.report.plan, full(FullSendReason::ConnectionChanged));
    assert_eq!(two.report.attempts.len(), 1);
    server.wait_for(|log| log.connections[0].closed).await;
    let three = turn(&mut session, &appended(&second, &two, "and more")).await;
    assert_eq!(three.report.plan, incremental(1));
    assert_eq!(server.log().connections.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_comes_of_age_in_a_turn_is_replaced_behind_it() {
    let long = Turn::text("a long one").insert(4, Step::Delay(56 * MINUTE));
    let server = ScriptedServer::in_memory(Script::new().turn(long).turn(Turn::text("two")));
    let mut session = aging(&server).session();
    let first = request(&["hi"]);
    let one = turn(&mut session, &first).await;
    assert_eq!(one.response().output_text(), "a long one");
    server.wait_for(|log| log.connections.len() == 2).await;
    settled(&server).await;
    let two = turn(&mut session, &appended(&first, &one, "more")).await;
    assert!(two.report.reused);
    assert_eq!(server.log().requests[1].connection, 1);
}

#[tokio::test(start_paused = true)]
async fn a_replacement_that_fails_leaves_the_next_turn_to_open_one() {
    let script = Script::new()
        .upgrade(Upgrade::Accept)
        .upgrade(Upgrade::Refuse(Refusal::status(503)))
        .turns([Turn::text("one"), Turn::text("two")]);
    let server = ScriptedServer::in_memory(script);
    let mut session = aging(&server).session();
    let first = request(&["hi"]);
    let one = turn(&mut session, &first).await;
    sleep(56 * MINUTE).await;
    server.wait_for(|log| log.upgrades_refused == 1).await;
    let two = turn(&mut session, &appended(&first, &one, "more")).await;
    assert_eq!(two.response().output_text(), "two");
    assert_eq!((two.report.reused, two.report.attempts.len()), (false, 1));
}

#[tokio::test(start_paused = true)]
async fn c113_the_end_of_its_hour_on_an_idle_socket_costs_the_next_turn_nothing() {
    let script = Script::new().turns([Turn::text("one"), Turn::text("two")]);
    let server = ScriptedServer::in_memory(script);
    let mut session = client(&server).session();
    let first = request(&["hi"]);
    let one = turn(&mut session, &first).await;
    server.send_idle(
        &json!({
            "type": "error",
            "error": {"type": "invalid_request_error", "code": "websocket_connection_limit_reached"},
            "status": 400,
        })
        .to_string(),
    );
    server.wait_for(|log| log.connections[0].closed).await;
    let two = turn(&mut session, &appended(&first, &one, "more")).await;
    assert_eq!(two.response().output_text(), "two");
    assert_eq!(two.report.plan, full(FullSendReason::ConnectionChanged));
    assert_eq!(two.report.attempts.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_warm_up_goes_over_the_socket_that_the_turn_will_use() {
    let script = Script::new().turns([Turn::text("one"), Turn::text("two")]);
    let server = ScriptedServer::in_memory(script);
    let mut session = aging(&server).session();
    turn(&mut session, &request(&["hi"])).await;
    sleep(56 * MINUTE).await;
    server.wait_for(|log| log.connections.len() == 2).await;
    settled(&server).await;
    let other = request(&["another task"]);
    session.prewarm(&other).expect("a runtime");
    let two = turn(&mut session, &other).await;
    assert_eq!(two.report.prewarm, Some(Prewarm::Warmed));
    assert_eq!(two.report.plan, incremental(0));
    assert_eq!(server.log().connections.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn nobody_gets_a_socket_behind_the_end_of_the_session() {
    let long = Turn::text("a long one").insert(4, Step::Delay(56 * MINUTE));
    let server = ScriptedServer::in_memory(Script::new().turn(long));
    let mut session = aging(&server).session();
    let stream = session.stream(request(&["hi"])).await.expect("a stream");
    drop(session);
    assert_eq!(stream.final_response().await.expect("a response").output_text(), "a long one");
    sleep(MINUTE).await;
    let log = server.log();
    assert_eq!(log.connections.len(), 1);
    assert!(log.connections[0].closed);
}

#[tokio::test(start_paused = true)]
async fn a_warm_up_is_wasted_on_a_turn_over_sse() {
    let server = ScriptedServer::in_memory(Script::new().turn(Turn::text("hi")));
    let mut session = client(&server).session();
    let mut first = request(&["a task"]).store(true);
    session.prewarm(&first).expect("a runtime");
    first.background = Some(true);
    let outcome = turn(&mut session, &first).await;
    assert_eq!(outcome.report.transport, Some(Transport::Sse));
    assert_eq!(outcome.report.prewarm, Some(Prewarm::Failed(PrewarmFailure::Unused)));
}

#[tokio::test(start_paused = true)]
async fn the_replacement_of_a_replacement_comes_in_its_own_time() {
    let script = Script::new().turns([Turn::text("one"), Turn::text("two")]);
    let server = ScriptedServer::in_memory(script);
    let mut session = aging(&server).session();
    let first = request(&["hi"]);
    let one = turn(&mut session, &first).await;
    sleep(100 * MINUTE).await;
    assert_eq!(server.log().connections.len(), 2);
    // The second socket is 45 minutes old.
    let two = turn(&mut session, &appended(&first, &one, "more")).await;
    assert!(two.report.reused);
    sleep(12 * MINUTE).await;
    assert_eq!(server.log().connections.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_done_ahead_while_a_turn_waits_for_another_attempt() {
    let mut retry = RetryPolicy::default();
    retry.replay = ReplayPolicy::Restart;
    retry.backoff = MINUTE;
    retry.max_backoff = MINUTE;
    let cut = Turn::text("one").insert(4, Step::Reset);
    let server = ScriptedServer::in_memory(Script::new().turn(cut).turn(Turn::text("two")));
    let mut session = builder(&server).retry(retry).build().expect("a client").session();
    let mut stream = session.stream(request(&["hi"])).await.expect("a stream");
    while let Ok(Ok(Some(_))) = tokio::time::timeout(MINUTE / 10, stream.try_next()).await {}
    assert_eq!(server.log().requests.len(), 1);
    session.prewarm(request(&["other"])).expect("a runtime");
    sleep(MINUTE / 10).await;
    assert_eq!(server.log().requests.len(), 1);
    while stream.try_next().await.expect("no error").is_some() {}
}

#[tokio::test(start_paused = true)]
async fn a_replacement_whose_task_panics_leaves_the_next_turn_to_open_one() {
    struct Tokens(AtomicU32);
    impl AuthProvider for Tokens {
        fn token(&self) -> TokenFuture<'_> {
            assert_ne!(self.0.fetch_add(1, Ordering::Relaxed), 1, "a defect of the provider's");
            Box::pin(async { Ok("token".into()) })
        }
    }
    let script = Script::new().turns([Turn::text("one"), Turn::text("two")]);
    let server = ScriptedServer::in_memory(script);
    let provider = Provider::compatible(&server.url()).expect("a URL");
    let client = ResponsesClient::builder()
        .provider(provider.max_age(Some(60 * MINUTE)))
        .auth(Auth::provider(Tokens(AtomicU32::new(0))))
        .connector(&server.connector())
        .build()
        .expect("a client");
    let mut session = client.session();
    let first = request(&["hi"]);
    let one = turn(&mut session, &first).await;
    sleep(56 * MINUTE).await;
    let two = turn(&mut session, &appended(&first, &one, "more")).await;
    assert_eq!(two.response().output_text(), "two");
    assert!(!two.report.reused);
}

#[tokio::test(start_paused = true)]
async fn c005_no_turn_begins_on_a_socket_beyond_its_age_although_another_is_being_opened() {
    let long = Turn::text("a long one").insert(4, Step::Delay(70 * MINUTE));
    let script = Script::new()
        .upgrade(Upgrade::Accept)
        .upgrade(Upgrade::Delay(Duration::from_secs(5)))
        .turns([long, Turn::text("two")]);
    let server = ScriptedServer::in_memory(script);
    let mut session = aging(&server).session();
    let first = request(&["hi"]);
    let one = turn(&mut session, &first).await;
    let two = turn(&mut session, &appended(&first, &one, "more")).await;
    assert_eq!(two.response().output_text(), "two");
    assert_ne!(server.log().requests[1].connection, server.log().requests[0].connection);
    assert_eq!(two.report.attempts.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn c140_a_prewarm_of_a_caller_managed_request_only_connects() {
    for fresh in [true, false] {
        let script = Script::new().turns([Turn::text("one"), Turn::text("two")]);
        let server = ScriptedServer::in_memory(script);
        let mut session = client(&server).session();
        let one = turn(&mut session, &request(&["hi"])).await;
        let own = request(&["more"]).previous_response_id(one.response().id());
        if fresh {
            // Nothing is open; the parent is kept with the connection, and lost.
            server.close_idle(1001, "");
            server.wait_for(|log| log.connections[0].closed).await;
            settled(&server).await;
        }
        session.prewarm(&own).expect("a runtime");
        settled(&server).await;
        let log = server.log();
        assert_eq!(log.requests.len(), 1, "nothing takes the place of the parent");
        assert_eq!(log.connections.len(), if fresh { 2 } else { 1 });
        let two = turn(&mut session, &own).await;
        assert_eq!(two.report.plan, full(FullSendReason::CallerManaged));
        assert_eq!((two.report.prewarm, two.report.reused), (Some(Prewarm::Connected), true));
        assert_eq!(two.result.is_ok(), !fresh, "it has its parent");
    }
}

#[tokio::test(start_paused = true)]
async fn c140_a_prewarm_with_nothing_new_sends_nothing() {
    let script = Script::new().turns([Turn::text("one"), Turn::text("two")]);
    let server = ScriptedServer::in_memory(script);
    let mut session = client(&server).session();
    let first = request(&["hi"]);
    let one = turn(&mut session, &first).await;
    let mut same = first.clone();
    same.input.extend(one.response().output_items());
    session.prewarm(&same).expect("a runtime");
    settled(&server).await;
    assert_eq!(server.log().requests.len(), 1);
    let two = turn(&mut session, &appended(&first, &one, "more")).await;
    assert_eq!(two.report.plan, incremental(1), "it continues the turn before");
}

#[tokio::test(start_paused = true)]
async fn c140_the_time_of_a_prewarm_says_nothing_about_the_origin() {
    for (prewarm, connect, marked) in [(2, 10, false), (10, 2, true), (2, 2, true)] {
        let slow = Upgrade::Delay(Duration::from_secs(60));
        let script = Script::new().upgrade(slow).respond(|_| Turn::text("hi"));
        let server = ScriptedServer::in_memory(script);
        let mut timeouts = Timeouts::default();
        timeouts.prewarm = Some(Duration::from_secs(prewarm));
        timeouts.connect = Some(Duration::from_secs(connect));
        let client = builder(&server).timeouts(timeouts).build().expect("a client");
        let mut session = client.session();
        session.prewarm(request(&["hi"])).expect("a runtime");
        let outcome = turn(&mut session, &request(&["hi"])).await;
        let failure = PrewarmFailure::Error(ErrorKind::Timeout);
        assert_eq!(outcome.report.prewarm, Some(Prewarm::Failed(failure)));
        assert_eq!(client.fallback().is_some(), marked, "{prewarm} {connect}");
        let transport = if marked { Transport::Sse } else { Transport::WebSocket };
        assert_eq!(outcome.report.transport, Some(transport), "{prewarm} {connect}");
    }
}

#[tokio::test(start_paused = true)]
async fn c140_a_prewarm_that_goes_well_clears_the_breaker() {
    for warm_up in [true, false] {
        let script = Script::new().upgrade(Upgrade::Reset).respond(|_| Turn::text("hi"));
        let server = ScriptedServer::in_memory(script);
        let client = client(&server);
        turn(&mut client.session(), &request(&["hi"])).await.response();
        assert!(client.fallback().is_some());
        sleep(MINUTE).await;
        let mut probing = client.session();
        match warm_up {
            true => probing.prewarm(request(&["hi"])).expect("a runtime"),
            false => probing.preconnect().expect("a runtime"),
        }
        settled(&server).await;
        // While it would be probing still, another session need not go over SSE.
        let other = turn(&mut client.session(), &request(&["hi"])).await;
        assert_eq!(other.report.transport, Some(Transport::WebSocket), "{warm_up}");
        assert_eq!(client.fallback(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn c140_rotation_leaves_the_chain_of_a_caller_alone() {
    // The caller takes the chain over before, or after, the socket has come of age.
    for (first_pause, second_pause) in [(1, 56), (56, 1)] {
        let turns = ["one", "two", "three", "four"].map(Turn::text);
        let server = ScriptedServer::in_memory(Script::new().turns(turns));
        let mut session = aging(&server).session();
        let outcome = turn(&mut session, &request(&["hi"])).await;
        let mut parent = outcome.response().id().to_owned();
        for pause in [first_pause, second_pause] {
            sleep(MINUTE * pause).await;
            settled(&server).await;
            let own = request(&["more"]).previous_response_id(parent.clone());
            let outcome = turn(&mut session, &own).await;
            parent = outcome.response().id().to_owned();
            session.preconnect().expect("a runtime");
        }
        settled(&server).await;
        let log = server.log();
        let on: Vec<usize> = log.requests.iter().map(|request| request.connection).collect();
        assert_eq!(on, [0, 0, 0], "{first_pause} {second_pause}");
        // The socket that was opened to follow it, before the caller took the chain over.
        let followed = usize::from(first_pause > 55);
        assert_eq!(log.connections.len(), 1 + followed, "{first_pause} {second_pause}");
        // What the session manages itself goes over a younger socket again.
        turn(&mut session, &request(&["other"])).await.response();
        assert_eq!(server.log().requests[3].connection, 1);
    }
}
