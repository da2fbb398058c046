//! One session and several clients, several runtimes, and the end of all sessions.

use std::time::Duration;

use futures_util::FutureExt;
use responses_client::{
    Auth, Error, ErrorKind, ReplayPolicy, ResponsesClient, ResponsesClientBuilder,
    ResponsesSession, RetryPolicy, Timeouts, Transport, TransportPolicy,
    report::FullSendReason,
    testing::{Gate, Refusal, Script, ScriptedServer, Step, Turn, Upgrade},
};
use serde_json::json;
use tokio::{
    runtime::{Builder, Runtime},
    time::sleep,
};

use crate::support::{
    BOTH, Outcome, appended, builder, full, guarded, incremental, only, request, server, settled,
    socket_client, turn,
};

fn built(builder: ResponsesClientBuilder) -> ResponsesClient {
    builder.transport(TransportPolicy::WebSocketOnly).build().expect("a client")
}

#[tokio::test(start_paused = true)]
async fn c002_what_is_another_account_or_way_opens_a_socket_and_drops_the_baseline() {
    let key = |server: &ScriptedServer| builder(server).auth(Auth::bearer("key"));
    let other_server = ScriptedServer::in_memory(Script::new());
    type Change<'a> = &'a dyn Fn(&ScriptedServer) -> ResponsesClientBuilder;
    let mut timeouts = Timeouts::default();
    timeouts.turn = Some(Duration::from_secs(60));
    let changes: [(&str, bool, Change<'_>); 7] = [
        ("nothing", true, &key),
        ("a timeout", true, &|server| key(server).timeouts(timeouts)),
        ("a token of the same account", true, &|server| {
            builder(server).auth(Auth::bearer("newer")).account("me")
        }),
        ("the account", false, &|server| key(server).account("you")),
        ("the credential", false, &|server| builder(server).auth(Auth::bearer("other"))),
        ("a header", false, &|server| key(server).header("openai-organization", "org")),
        ("the endpoint", false, &|_| key(&other_server)),
    ];
    for (what, kept, change) in changes {
        // Stored, so that only the rule keeps it from being named to somebody else.
        let script = Script::new().turns([Turn::text("one"), Turn::text("two")]);
        let server = ScriptedServer::in_memory(script);
        other_server.push(Turn::text("two"));
        let before =
            if what.contains("same account") { key(&server).account("me") } else { key(&server) };
        let mut session = built(before).session();
        let first = request(&["hi"]).store(true);
        let one = turn(&mut session, &first).await;
        session.set_client(&built(change(&server)));
        let mut second = appended(&first, &one, "more");
        second.metadata = Some(serde_json::json!({"turn": 2}).into());
        let two = turn(&mut session, &second).await;
        assert_eq!(two.response().output_text(), "two", "{what}");
        assert_eq!(two.report.reused, kept, "{what}");
        let plan = if kept { incremental(1) } else { full(FullSendReason::ConnectionChanged) };
        assert_eq!(two.report.plan, plan, "{what}");
        if !kept {
            settled(&server).await;
            assert!(server.log().connections[0].closed, "{what}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c013_closing_a_session_leaves_the_others_and_closing_the_client_none() {
    let script = Script::new().respond(|_| Turn::text("hi"));
    let server = ScriptedServer::in_memory(script);
    let client = built(builder(&server));
    let (mut one, mut two, three) = (client.session(), client.session(), client.session());
    let first = request(&["hi"]);
    turn(&mut one, &first).await;
    let outcome = turn(&mut two, &first).await;
    one.close().await;
    settled(&server).await;
    let open = |server: &ScriptedServer| {
        server.log().connections.iter().filter(|connection| !connection.closed).count()
    };
    assert_eq!(open(&server), 1);
    let second = appended(&first, &outcome, "more");
    assert_eq!(turn(&mut two, &second).await.report.plan, incremental(1));
    let mut forked = two.fork();
    let mut live = forked.stream(&first).await.expect("a stream");
    assert_eq!(open(&server), 2);
    guarded(client.close()).await;
    settled(&server).await;
    assert_eq!(open(&server), 0);
    let error = loop {
        match live.try_next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("an end without an error"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::SessionClosed);
    for mut session in [two, three, forked] {
        let before = server.log().requests.len();
        assert_eq!(turn(&mut session, &first).await.error().kind(), ErrorKind::SessionClosed);
        assert_eq!(server.log().requests.len(), before, "nothing is sent");
    }
    let mut session = client.session();
    assert!(turn(&mut session, &first).await.result.is_ok(), "a new one is not concerned");
}

#[tokio::test(start_paused = true)]
async fn c050_c058_the_end_of_a_session_ends_what_it_waits_for_at_once() {
    let scripts = [
        // While it connects, while it waits to try again, and before anything came back.
        Script::new().upgrade(Upgrade::Delay(Duration::from_secs(5))),
        Script::new()
            .every_upgrade(Upgrade::Refuse(Refusal::status(503).header("retry-after", "9"))),
        Script::new().turn(Turn::steps([Step::Stall])),
    ];
    for script in scripts {
        let server = ScriptedServer::in_memory(script);
        let client = built(builder(&server));
        let mut session = client.session();
        let running = tokio::spawn(async move { session.stream(request(&["hi"])).await.map(drop) });
        sleep(Duration::from_secs(1)).await;
        guarded(client.close()).await;
        let error = guarded(running).await.expect("no panic").expect_err("it was ended");
        assert_eq!(error.kind(), ErrorKind::SessionClosed);
        let sent = server.log().requests.len();
        sleep(Duration::from_secs(60)).await;
        assert_eq!(server.log().requests.len(), sent, "nothing is sent behind the end");
        // One that was refused may wait in the pool; a WebSocket may not stay.
        let log = server.log();
        let mut sockets = log.connections.iter().filter(|it| it.transport.is_some());
        assert!(sockets.all(|socket| socket.closed));
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Runs a turn in `runtime`.
fn turn_in(
    runtime: &Runtime,
    session: &mut ResponsesSession,
    request: &responses_client::ResponsesRequest,
) -> Outcome {
    runtime.block_on(guarded(turn(session, request)))
}

#[test]
fn c008_another_runtime_reconnects_whether_the_one_before_rests_or_has_ended() {
    let servers = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    for transport in BOTH {
        for ended in [false, true] {
            let server = servers.block_on(server(Script::new().respond(|_| Turn::text("hi"))));
            let (one, two) = (runtime(), runtime());
            let mut session = socket_client(&server, only(transport)).session();
            let first = request(&["hi"]);
            let before = turn_in(&one, &mut session, &first);
            // What is left of the answer is read, and its connection is free again.
            one.block_on(async {
                for _ in 0..20_000 {
                    tokio::task::yield_now().await;
                }
            });
            // Not driven any more, or gone.
            let resting = (!ended).then_some(one);
            let second = appended(&first, &before, "more");
            let outcome = turn_in(&two, &mut session, &second);
            assert_eq!(outcome.response().output_text(), "hi", "{transport} ended: {ended}");
            assert_eq!(outcome.report.attempts.len(), 1);
            assert_eq!(server.log().connections.len(), 2);
            if transport == Transport::WebSocket {
                assert_eq!(outcome.report.plan, full(FullSendReason::ConnectionChanged));
            }
            // And it goes on there as if there had been no other.
            let third = appended(&second, &outcome, "and more");
            let outcome = turn_in(&two, &mut session, &third);
            assert!(outcome.report.reused);
            drop((resting, outcome));
        }
    }
}

#[test]
fn c008_outside_of_any_runtime_there_is_a_clear_error() {
    let client =
        ResponsesClient::builder().provider(responses_client::Provider::openai()).build().unwrap();
    let mut session = client.session();
    let kind = |error: Error| error.kind();
    let outcome = session.stream(request(&["hi"])).now_or_never().expect("at once");
    assert_eq!(outcome.map(drop).map_err(kind), Err(ErrorKind::NoRuntime));
    assert_eq!(session.prewarm(request(&["hi"])).map_err(kind), Err(ErrorKind::NoRuntime));
    session.close().now_or_never().expect("nothing to close");
}

#[tokio::test(start_paused = true)]
async fn what_a_turn_on_its_way_leaves_behind_is_not_named_to_another_account() {
    let gate = Gate::new();
    let held = Turn::text("one").insert(4, Step::Gate(gate.clone()));
    let server = ScriptedServer::in_memory(Script::new().turns([held, Turn::text("two")]));
    let mut session = built(builder(&server).auth(Auth::bearer("key"))).session();
    let first = request(&["hi"]).store(true);
    let mut stream = session.stream(&first).await.expect("a stream");
    session.set_client(&built(builder(&server).auth(Auth::bearer("other"))));
    gate.open();
    while guarded(stream.try_next()).await.expect("no error").is_some() {}
    let mut second = first.clone();
    second.input.extend(stream.response().output_items());
    second.input.push(responses_client::Item::user("more"));
    let two = turn(&mut session, &second).await;
    assert!(two.report.plan.is_some_and(|plan| plan.is_full()), "its id is of the other account");
    assert_eq!(server.log().requests[1].previous_response_id, None);
}

#[tokio::test(start_paused = true)]
async fn another_attempt_of_a_turn_on_its_way_leaves_no_socket_of_the_other_account() {
    let mut retry = RetryPolicy::default();
    retry.replay = ReplayPolicy::Restart;
    let gate = Gate::new();
    let cut = Turn::text("one").insert(4, Step::Gate(gate.clone())).insert(5, Step::Reset);
    let script = Script::new().turns([cut, Turn::text("one"), Turn::text("two")]);
    let server = ScriptedServer::in_memory(script);
    let mut session = built(builder(&server).auth(Auth::bearer("key")).retry(retry)).session();
    let mut stream = session.stream(request(&["hi"])).await.expect("a stream");
    session.set_client(&built(builder(&server).auth(Auth::bearer("other"))));
    gate.open();
    while guarded(stream.try_next()).await.expect("no error").is_some() {}
    let two = turn(&mut session, &request(&["hi"])).await;
    assert!(!two.report.reused);
    let log = server.log();
    let connection = &log.connections[log.requests[2].connection];
    assert!(connection.headers.iter().any(|(_, value)| value == "Bearer other"), "{connection:?}");
}

#[tokio::test(start_paused = true)]
async fn sockets_of_several_clients_are_told_apart() {
    let script = Script::new().turns([Turn::text("one"), Turn::text("two")]);
    let server = ScriptedServer::in_memory(script);
    let mut session = built(builder(&server)).session();
    let first = request(&["hi"]);
    let one = turn(&mut session, &first).await;
    session.set_client(&built(builder(&server)));
    server.close_idle(1001, "");
    server.wait_for(|log| log.connections[0].closed).await;
    session.preconnect().expect("a runtime");
    let two = turn(&mut session, &appended(&first, &one, "more")).await;
    assert_eq!(two.report.plan, full(FullSendReason::ConnectionChanged));
    assert_eq!(server.log().requests[1].previous_response_id, None);
}

const POLICIES: [ReplayPolicy; 4] = [
    ReplayPolicy::Never,
    ReplayPolicy::BeforeCreated,
    ReplayPolicy::BeforeOutput,
    ReplayPolicy::Restart,
];

fn patient(
    server: &ScriptedServer,
    transport: Transport,
    policy: ReplayPolicy,
) -> ResponsesClientBuilder {
    let provider = responses_client::Provider::compatible(&server.url()).expect("a URL");
    let mut retry = RetryPolicy::default();
    retry.replay = policy;
    let mut timeouts = Timeouts::default();
    // Timers of each phase, which end with their runtime.
    timeouts.between_events_websocket = Some(Duration::from_secs(600));
    timeouts.turn = Some(Duration::from_secs(900));
    ResponsesClient::builder()
        .provider(provider)
        .transport(only(transport))
        .retry(retry)
        .timeouts(timeouts)
}

#[test]
fn c141_a_stream_that_is_polled_after_its_runtime_ended_gives_an_error() {
    let servers = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    for transport in BOTH {
        for policy in POLICIES {
            // It waits for an event, for its next attempt, or was not polled since the last event.
            for (step, polls) in [(Step::Stall, true), (Step::Reset, true), (Step::Stall, false)] {
                let script = Script::new()
                    .turn(Turn::text("some text").cut_after(6, step.clone()))
                    .respond(|_| Turn::text("again"));
                let server = servers.block_on(server(script));
                let mut session = patient(&server, transport, policy).build().unwrap().session();
                let one = runtime();
                let mut stream = one.block_on(async {
                    let mut stream = session.stream(request(&["hi"])).await.expect("a stream");
                    for _ in 0..6 {
                        stream.try_next().await.expect("an event");
                    }
                    if polls {
                        // The back-off takes 150 ms at least.
                        let moment = Duration::from_millis(50);
                        _ = tokio::time::timeout(moment, stream.try_next()).await;
                    }
                    stream
                });
                let what = format!("{transport} {policy:?} {step:?} {polls}");
                let ended_before = policy != ReplayPolicy::Restart && step_ends(&step);
                drop(one);
                let mut result = runtime().block_on(guarded(stream.try_next()));
                if ended_before {
                    // The error came while its runtime ran.
                    assert!(matches!(result, Ok(None)), "{what}: {result:?}");
                    result = Err(runtime().block_on(stream.final_response()).unwrap_err());
                }
                let error = result.expect_err(&what);
                // A response that the end of the runtime cut off ends with what cut it off.
                let waits = step_ends(&step) && !ended_before;
                let kind = if waits { ErrorKind::NoRuntime } else { ErrorKind::Truncated };
                assert_eq!(error.kind(), kind, "{what}: {error:?}");
                let delivery = responses_client::Delivery::OutputStarted;
                assert_eq!(error.delivery(), delivery, "{what}");
                assert_eq!(server.log().requests.len(), 1, "{what}");
            }
        }
    }
}

fn step_ends(step: &Step) -> bool {
    matches!(step, Step::Reset)
}

#[test]
fn c141_a_call_of_stream_that_is_polled_after_its_runtime_ended_gives_an_error() {
    let servers = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    for transport in BOTH {
        for policy in POLICIES {
            let busy = || Turn::error(429, "rate_limit_exceeded", "no").header("retry-after", "9");
            let scripts = [
                // It waits for the first event, for its next attempt, or for its connection.
                Script::new().turn(Turn::steps([Step::Stall])),
                Script::new().respond(move |_| busy()),
                Script::new().every_upgrade(Upgrade::Hang).turn(Turn::steps([Step::Stall])),
            ];
            for script in scripts {
                let server = servers.block_on(server(script));
                let mut session = patient(&server, transport, policy).build().unwrap().session();
                let asks = request(&["hi"]);
                let mut streaming = Box::pin(session.stream(&asks));
                let one = runtime();
                one.block_on(async {
                    let moment = Duration::from_millis(50);
                    let short = tokio::time::timeout(moment, &mut streaming).await;
                    assert!(short.is_err(), "{transport} {policy:?}");
                });
                drop(one);
                let error = runtime().block_on(guarded(streaming)).expect_err("its runtime ended");
                assert_eq!(error.kind(), ErrorKind::NoRuntime, "{transport} {policy:?}");
            }
        }
    }
}

#[test]
fn c141_whoever_waits_for_another_attempt_is_woken_when_the_runtime_ends() {
    let servers = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    for transport in BOTH {
        let cut = Turn::text("some text").cut_after(6, Step::Reset);
        let server = servers.block_on(server(Script::new().turn(cut)));
        let mut retry = RetryPolicy::default();
        (retry.replay, retry.backoff, retry.max_backoff) =
            (ReplayPolicy::Restart, Duration::from_secs(60), Duration::from_secs(60));
        let client = patient(&server, transport, ReplayPolicy::Restart).retry(retry).build();
        let mut session = client.unwrap().session();
        let one = runtime();
        let mut stream = one.block_on(async {
            let mut stream = session.stream(request(&["hi"])).await.expect("a stream");
            let moment = Duration::from_millis(100);
            while let Ok(event) = tokio::time::timeout(moment, stream.try_next()).await {
                assert!(event.expect("an event").is_some());
            }
            stream
        });
        let error = servers.block_on(async {
            let waiting = guarded(stream.try_next());
            let mut waiting = Box::pin(waiting);
            assert!((&mut waiting).now_or_never().is_none());
            std::thread::spawn(move || drop(one));
            waiting.await.expect_err("its runtime ended")
        });
        assert_eq!(error.kind(), ErrorKind::NoRuntime, "{transport}");
    }
}

#[test]
fn c141_another_attempt_that_is_polled_outside_of_its_runtime_keeps_the_socket() {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let created = json!({"type": "response.created", "response": {"id": "r"}});
    let failed = json!({"type": "response.failed", "response": {"id": "r", "status": "failed",
        "error": {"code": "server_error", "message": "No."}}});
    let script =
        Script::new().turn(Turn::events([created, failed])).respond(|_| Turn::text("again"));
    let server = runtime.block_on(server(script));
    let client = patient(&server, Transport::WebSocket, ReplayPolicy::Restart).build().unwrap();
    let mut session = client.session();
    let asks = request(&["hi"]);
    let stream = runtime.block_on(session.stream(&asks)).expect("a stream");
    let response = block_on_thread(stream.final_response()).expect("a second attempt");
    assert_eq!(response.output_text(), "again");
    let log = server.log();
    assert_eq!((log.requests.len(), log.connections.len()), (2, 1));
}

/// Drives a future outside of any runtime.
fn block_on_thread<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    let mut cx = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut cx) {
            std::task::Poll::Ready(done) => return done,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}
