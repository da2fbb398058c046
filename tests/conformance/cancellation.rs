//! Cancelled, superseded and parallel turns.

use std::time::Duration;

use responses_client::{
    Delivery, ErrorKind, Item, Limits, Phase, ResponseStream, Transport,
    error::ErrorCode,
    event::ResponseEvent,
    report::FullSendReason,
    testing::{Exchange, Gate, Refusal, Script, ScriptedServer, Step, Turn},
};
use tokio::time::Instant;

use crate::support::{
    BOTH, Outcome, builder, full, guarded, incremental, only, request, server, settled,
    socket_client, turn,
};

async fn take(stream: &mut ResponseStream, events: usize) -> Vec<ResponseEvent> {
    let mut taken = Vec::new();
    for _ in 0..events {
        taken.push(stream.try_next().await.expect("no error yet").expect("an event"));
    }
    taken
}

/// The ids of the responses that these events name.
fn response_ids(events: &[ResponseEvent]) -> Vec<String> {
    let id = |event: &ResponseEvent| {
        let raw: serde_json::Value = serde_json::from_str(event.raw()).expect("JSON");
        raw["response"]["id"].as_str().map(str::to_owned)
    };
    let mut ids: Vec<String> = events.iter().filter_map(id).collect();
    ids.dedup();
    ids
}

fn assert_is_whole(outcome: &Outcome, text: &str) {
    assert_eq!(outcome.response().output_text(), text);
    assert_eq!(outcome.kinds()[..2], ["response.created", "response.in_progress"]);
    assert_eq!(response_ids(&outcome.events), [outcome.response().id()]);
    let deltas: String = outcome.events.iter().filter_map(|event| event.text_delta()).collect();
    assert_eq!(deltas, text);
}

/// Answers with the text that the user said last, and holds at `gate` after five events.
fn echo(exchange: &Exchange, gate: &Gate) -> Turn {
    let said = exchange.history.last().expect("an item")["content"][0]["text"].as_str();
    Turn::text(format!("You said: {}", said.expect("a text"))).insert(5, Step::Gate(gate.clone()))
}

#[tokio::test]
async fn c059_cancel_then_next_turn_gets_only_its_own_events() {
    for transport in BOTH {
        let gate = Gate::new();
        let abandoned = Turn::text("This is abandoned").insert(6, Step::Gate(gate.clone()));
        let server = server(Script::new().turns([abandoned, Turn::text("This is wanted")])).await;
        let mut session = socket_client(&server, only(transport)).session();

        let mut stream = session.stream(request(&["one"])).await.expect("a stream");
        take(&mut stream, 3).await;
        drop(stream);
        // Were the connection used again, the rest of the first turn would come first.
        gate.open();
        let next = guarded(turn(&mut session, &request(&["one", "two"]))).await;
        assert_is_whole(&next, "This is wanted");
        assert_eq!(next.report.plan, full(FullSendReason::PriorNotCompleted));
        assert_eq!(next.report.attempts.len(), 1);

        guarded(server.wait_for(|log| log.connections[0].closed)).await;
        let log = server.log();
        assert_eq!(log.connections.len(), 2, "{transport}");
        assert_eq!((log.requests[0].connection, log.requests[1].connection), (0, 1));
    }
}

#[tokio::test]
async fn c059_cancel_before_the_first_event_then_next_turn_gets_only_its_own_events() {
    for transport in BOTH {
        let gate = Gate::new();
        let abandoned = Turn::text("This is abandoned").first(Step::Gate(gate.clone()));
        let server = server(Script::new().turns([abandoned, Turn::text("This is wanted")])).await;
        let mut session = socket_client(&server, only(transport)).session();

        let one = request(&["one"]);
        guarded(async {
            tokio::select! {
                _ = session.stream(&one) => panic!("nothing has come"),
                () = server.wait_for(|log| log.requests.len() == 1) => {}
            }
        })
        .await;
        gate.open();
        let next = guarded(turn(&mut session, &request(&["one", "two"]))).await;
        assert_is_whole(&next, "This is wanted");
        assert_eq!(next.report.plan, full(FullSendReason::PriorNotCompleted));
        guarded(server.wait_for(|log| log.connections[0].closed)).await;
        assert_eq!(server.log().connections.len(), 2, "{transport}");
    }
}

#[tokio::test(start_paused = true)]
async fn c063_cancel_does_not_wait_for_the_close_handshake() {
    for transport in BOTH {
        let frozen = Turn::text("Nobody answers").cut_after(3, Step::Freeze);
        let script = Script::new().turns([frozen, Turn::text("next")]);
        let server = ScriptedServer::in_memory(script);
        let client = builder(&server).transport(only(transport)).build().expect("a client");
        let mut session = client.session();

        let stream = session.stream(request(&["one"])).await.expect("a stream");
        let start = Instant::now();
        drop(stream);
        let next = turn(&mut session, &request(&["one", "two"])).await;
        assert_is_whole(&next, "next");
        assert_eq!(start.elapsed(), Duration::ZERO, "{transport}");
    }
}

#[tokio::test(start_paused = true)]
async fn c063_close_cancels_at_once_although_nobody_answers() {
    for transport in BOTH {
        let frozen = Turn::text("Nobody answers").cut_after(3, Step::Freeze);
        let server = ScriptedServer::in_memory(Script::new().turn(frozen));
        let client = builder(&server).transport(only(transport)).build().expect("a client");
        let mut session = client.session();

        let mut stream = session.stream(request(&["one"])).await.expect("a stream");
        take(&mut stream, 3).await;
        let start = Instant::now();
        session.close().await;
        assert_eq!(start.elapsed(), Duration::ZERO, "{transport}");
        let error = stream.try_next().await.expect_err("the session was closed");
        assert_eq!(error.kind(), ErrorKind::SessionClosed);
        assert!(matches!(stream.try_next().await, Ok(None)));
    }
}

#[tokio::test]
async fn c064_dropping_after_the_terminal_event_keeps_the_connection() {
    for transport in BOTH {
        let script = Script::new().turns([Turn::text("one"), Turn::text("two")]);
        let server = server(script).await;
        let mut session = socket_client(&server, only(transport)).session();

        let mut one = request(&["one"]);
        let mut stream = session.stream(&one).await.expect("a stream");
        let terminal = loop {
            let event = take(&mut stream, 1).await.remove(0);
            if event.is_terminal() {
                break event;
            }
        };
        assert!(matches!(terminal, ResponseEvent::Completed(_)));
        one.input.extend(stream.response().output_items());
        drop(stream);

        one.input.push(Item::user("two"));
        let next = guarded(turn(&mut session, &one)).await;
        assert_is_whole(&next, "two");
        assert!(next.report.reused);
        if transport == Transport::WebSocket {
            assert_eq!(next.report.plan, incremental(1));
        }
        let log = server.log();
        assert_eq!(log.connections.len(), 1, "{transport}");
        assert!(!log.connections[0].closed);
    }
}

#[tokio::test(start_paused = true)]
async fn c066_a_consumer_that_goes_releases_a_backpressured_turn() {
    for transport in BOTH {
        let long = Turn::text("x".repeat(1 << 20));
        // The events have their size on the connection, too.
        let script = Script::new().turns([long, Turn::text("next")]).deflate(None);
        let server = ScriptedServer::in_memory(script);
        let mut limits = Limits::default();
        limits.read_ahead = 64 << 10;
        let client = builder(&server).transport(only(transport)).limits(limits);
        let mut session = client.build().expect("a client").session();

        let mut stream = session.stream(request(&["one"])).await.expect("a stream");
        take(&mut stream, 5).await;
        settled(&server).await;
        let log = server.log();
        assert!(!log.requests[0].finished && log.connections[0].bytes_sent < 1 << 20);
        drop(stream);
        // On paused time a task that is never woken lets the guard fire at once.
        guarded(server.wait_for(|log| log.connections[0].closed)).await;
        assert!(!server.log().requests[0].finished);
        let next = guarded(turn(&mut session, &request(&["two"]))).await;
        assert_is_whole(&next, "next");
        assert_eq!(next.report.attempts.len(), 1);
    }
}

#[tokio::test]
async fn c068_dropping_the_stream_cancels_the_http_request() {
    let endless = Turn::text("Never ends").cut_after(5, Step::Stall);
    let server = server(Script::new().turn(endless)).await;
    let mut session = socket_client(&server, only(Transport::Sse)).session();
    let mut stream = session.stream(request(&["one"])).await.expect("a stream");
    take(&mut stream, 5).await;
    assert_eq!(server.log().open_connections(), 1);
    drop(stream);
    guarded(server.wait_for(|log| log.open_connections() == 0)).await;
    assert!(!server.log().requests[0].finished);
}

#[tokio::test]
async fn c068_dropping_the_wait_for_the_head_cancels_the_http_request() {
    let silent = Turn::text("").http(Refusal::silence());
    let server = server(Script::new().turn(silent)).await;
    let mut session = socket_client(&server, only(Transport::Sse)).session();
    let one = request(&["one"]);
    guarded(async {
        tokio::select! {
            _ = session.stream(&one) => panic!("nothing has come"),
            () = server.wait_for(|log| log.requests.len() == 1) => {}
        }
    })
    .await;
    guarded(server.wait_for(|log| log.open_connections() == 0)).await;
}

#[tokio::test]
async fn c061_a_superseded_stream_says_so_once_and_does_not_commit() {
    for transport in BOTH {
        let gate = Gate::new();
        let first = Turn::text("The first answer").insert(6, Step::Gate(gate.clone()));
        let script = Script::new().turns([first, Turn::text("The second"), Turn::text("third")]);
        let server = server(script).await;
        let mut session = socket_client(&server, only(transport)).session();

        let mut before = session.stream(request(&["one"])).await.expect("a stream");
        let taken = take(&mut before, 5).await;
        let mut two = request(&["one", "two"]);
        let now = session.stream(&two).await.expect("a stream");
        gate.open();

        let error = before.try_next().await.expect_err("it was superseded");
        assert!(error.is_superseded());
        assert_eq!((error.kind(), error.phase()), (ErrorKind::Superseded, Phase::Events));
        assert_eq!(error.delivery(), Delivery::OutputStarted);
        let partial = error.response().expect("what came");
        assert_eq!(partial.id(), response_ids(&taken)[0]);
        assert_eq!(partial.output_text(), taken[4].text_delta().expect("a text"));
        for _ in 0..3 {
            assert!(matches!(before.try_next().await, Ok(None)));
        }
        let error = before.final_response().await.expect_err("it was superseded");
        assert!(error.is_superseded() && error.response().is_some());

        let response = guarded(now.final_response()).await.expect("a response");
        assert_eq!(response.output_text(), "The second");
        two.input.extend(response.output_items());
        two.input.push(Item::user("three"));
        let third = guarded(turn(&mut session, &two)).await;
        assert_is_whole(&third, "third");
        if transport == Transport::WebSocket {
            assert_eq!(third.report.plan, incremental(1), "the second turn is continued");
        }
        assert_eq!(server.log().requests[1].input_items, 2);
    }
}

#[tokio::test]
async fn c085_a_terminal_in_the_buffer_of_a_superseded_stream_does_not_commit() {
    for transport in BOTH {
        let script = Script::new().turns([Turn::text("one"), Turn::text("two")]);
        let server = server(script).await;
        let mut session = socket_client(&server, only(transport)).session();

        let mut before = session.stream(request(&["one"])).await.expect("a stream");
        guarded(server.wait_for(|log| log.finished() == 1)).await;
        let now = guarded(turn(&mut session, &request(&["one", "two"]))).await;
        assert_is_whole(&now, "two");
        assert_eq!(now.report.plan, full(FullSendReason::PriorNotCompleted));
        assert!(before.try_next().await.expect_err("it was superseded").is_superseded());
        assert!(matches!(before.try_next().await, Ok(None)));
        assert_eq!(server.log().requests[1].previous_response_id, None);
    }
}

#[tokio::test]
async fn c085_a_wait_for_an_event_ends_when_the_stream_is_superseded() {
    for transport in BOTH {
        let endless = Turn::text("Never ends").cut_after(3, Step::Stall);
        let server = server(Script::new().turns([endless, Turn::text("two")])).await;
        let mut session = socket_client(&server, only(transport)).session();

        let mut before = session.stream(request(&["one"])).await.expect("a stream");
        take(&mut before, 3).await;
        let waiting = tokio::spawn(async move { before.try_next().await.map(|_| ()) });
        tokio::task::yield_now().await;
        let now = guarded(turn(&mut session, &request(&["two"]))).await;
        assert_is_whole(&now, "two");
        let waited = guarded(waiting).await.expect("no panic");
        assert!(waited.expect_err("it was superseded").is_superseded());
    }
}

#[tokio::test]
async fn c085_an_error_of_the_new_turn_is_its_own() {
    for transport in BOTH {
        let endless = Turn::text("Never ends").cut_after(3, Step::Stall);
        let refused = Turn::error(400, "invalid_prompt", "No.");
        let server = server(Script::new().turns([endless, refused])).await;
        let mut session = socket_client(&server, only(transport)).session();
        let mut before = session.stream(request(&["one"])).await.expect("a stream");
        let now = guarded(turn(&mut session, &request(&["two"]))).await;
        assert_eq!(now.error().code(), Some(&ErrorCode::InvalidPrompt));
        assert!(before.try_next().await.expect_err("it was superseded").is_superseded());
    }
}

#[tokio::test]
async fn c085_forks_run_in_parallel_and_never_mix() {
    for (transport, store) in BOTH.into_iter().flat_map(|t| [(t, false), (t, true)]) {
        let gate = Gate::new();
        let script = Script::new().turn(Turn::text("root")).respond({
            let gate = gate.clone();
            move |exchange| echo(exchange, &gate)
        });
        let server = server(script).await;
        let mut session = socket_client(&server, only(transport)).session();
        let mut root = request(&["hello"]).store(store);
        let outcome = guarded(turn(&mut session, &root)).await;
        root.input.extend(outcome.response().output_items());

        let mut streams = Vec::new();
        for name in ["a", "b", "c"] {
            let mut fork = session.fork();
            let mut asked = root.clone();
            asked.input.push(Item::user(format!("I am {name} ").repeat(20)));
            let stream = guarded(fork.stream(&asked)).await.expect("a stream");
            streams.push((stream, fork, Vec::new()));
        }
        // All of them have begun, none has ended.
        let log = server.log();
        assert_eq!((log.requests.len(), log.finished()), (4, 1));
        let mut connections: Vec<_> = log.requests[1..].iter().map(|r| r.connection).collect();
        connections.dedup();
        assert_eq!(connections.len(), 3, "{transport}");
        let continued = transport == Transport::WebSocket && store;
        assert!(log.requests[1..].iter().all(|r| r.previous_response_id.is_some() == continued));

        gate.open();
        let mut going = 3;
        while going > 0 {
            going = 0;
            for (stream, _, events) in &mut streams {
                if let Some(event) = guarded(stream.try_next()).await.expect("no error") {
                    events.push(event);
                    going += 1;
                }
            }
        }
        let mut ids = Vec::new();
        for ((stream, _fork, events), name) in streams.into_iter().zip(["a", "b", "c"]) {
            let text = format!("You said: {}", format!("I am {name} ").repeat(20));
            let deltas: String = events.iter().filter_map(|event| event.text_delta()).collect();
            assert_eq!(deltas, text);
            ids.extend(response_ids(&events));
            let response = stream.final_response().await.expect("a response");
            assert_eq!(response.output_text(), text);
        }
        assert_eq!(ids.len(), 3);

        // What they were forked from goes on where it was.
        root.input.push(Item::user("me"));
        let own = guarded(turn(&mut session, &root)).await;
        assert_is_whole(&own, "You said: me");
        if transport == Transport::WebSocket {
            assert_eq!(own.report.plan, incremental(1));
            assert_eq!(server.log().requests[4].connection, 0);
        }
    }
}

#[tokio::test]
async fn c060_a_turn_that_is_cancelled_before_it_is_written_is_not_sent() {
    let server = server(Script::new().turns([Turn::text("one"), Turn::text("two")])).await;
    let mut session = socket_client(&server, only(Transport::WebSocket)).session();
    turn(&mut session, &request(&["one"])).await.response();
    {
        let next = request(&["two"]);
        let mut sending = Box::pin(session.stream(&next));
        // One poll hands the request to the socket's task, which has not run since.
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(sending.as_mut().poll(&mut cx).is_pending());
    }
    server.wait_for(|log| log.connections.iter().all(|connection| connection.closed)).await;
    assert_eq!(server.log().requests.len(), 1);
    let outcome = turn(&mut session, &request(&["two"])).await;
    assert_eq!(outcome.response().output_text(), "two");
}

#[tokio::test]
async fn c157_a_turn_that_is_being_tried_again_ends_when_it_is_superseded() {
    for transport in BOTH {
        // Accepted, refused, and then silence: its stream makes another attempt meanwhile.
        let refused = Turn::failed([], "server_is_overloaded", "busy");
        let silent = Turn::steps([Step::Stall]);
        let script = Script::new().turns([refused, silent, Turn::text("next")]);
        let server = server(script).await;
        let client = socket_client(&server, only(transport));
        let mut session = client.session();
        let mut stream = session.stream(request(&["one"])).await.expect("it begins");
        tokio::select! {
            _ = async { while stream.try_next().await.expect("no error").is_some() {} } => {
                panic!("it cannot end")
            }
            () = server.wait_for(|log| log.requests.len() == 2) => {}
        }
        let outcome = guarded(turn(&mut session, &request(&["two"]))).await;
        assert_eq!(outcome.response().output_text(), "next");
        assert_eq!(outcome.report.attempts.len(), 1, "{transport}");
        let error = stream.try_next().await.expect_err("it was superseded");
        assert_eq!(error.kind(), ErrorKind::Superseded);
        assert_eq!(server.log().requests.len(), 3, "{transport}: it sends nothing more");
        assert_eq!(client.fallback(), None, "{transport}");
        guarded(session.close()).await;
        server.wait_for(|log| log.open_connections() == 0 || transport == Transport::Sse).await;
    }
}

#[tokio::test]
async fn c062_dropping_the_wait_for_a_turn_cancels_it_at_once() {
    for transport in BOTH {
        let silent = Turn::steps([Step::Comment("here".to_owned()), Step::Stall]);
        let server = server(Script::new().turns([silent, Turn::text("next")])).await;
        let mut session = socket_client(&server, only(transport)).session();
        let one = request(&["one"]);
        tokio::select! {
            _ = session.stream(&one) => panic!("nothing comes"),
            () = server.wait_for(|log| log.requests.len() == 1) => {}
        }
        // The session does nothing more meanwhile.
        guarded(server.wait_for(|log| log.open_connections() == 0)).await;
        let outcome = turn(&mut session, &request(&["two"])).await;
        assert_eq!(outcome.response().output_text(), "next");
    }
}

#[tokio::test(start_paused = true)]
async fn c061_a_superseded_stream_whose_end_was_read_leaves_its_socket_to_the_next_turn() {
    let completed = serde_json::json!({"type": "response.completed",
        "response": {"id": "r", "status": "completed"}});
    let script = Script::new().turn(Turn::events([completed])).respond(|_| Turn::text("hi"));
    let server = ScriptedServer::in_memory(script);
    let mut session =
        builder(&server).transport(only(Transport::WebSocket)).build().expect("a client").session();
    let before = session.stream(request(&["one"])).await.expect("a stream");
    let outcome = turn(&mut session, &request(&["two"])).await;
    assert_eq!(outcome.response().output_text(), "hi");
    assert!(before.final_response().await.expect_err("it was superseded").is_superseded());
    assert_eq!(server.log().connections.len(), 1);
}
