//! Input for running responses, and stopping them.

use std::time::Duration;

use responses_client::{
    ErrorKind, InputErrorKind, Item, Provider, ReplayPolicy, ResponseStream, ResponsesRequest,
    ResponsesSession, RetryPolicy, SteerState, TransportPolicy,
    event::{ResponseEvent, Usage},
    report::FullSendReason,
    testing::{Exchange, Gate, Profile, Script, ScriptedServer, Steering, Step, Turn, items},
};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{
    BOTH, builder, close, full, guarded, incremental, only, read, request, settled, turn,
};

/// Answers with the texts of the history, and `-` for an item without text.
fn history(exchange: &Exchange) -> Turn {
    let texts = exchange.history.iter().map(|item| match &item["content"] {
        Value::String(text) => text.clone(),
        content => content[0]["text"].as_str().unwrap_or("-").to_owned(),
    });
    Turn::text(texts.collect::<Vec<_>>().join("|"))
}

fn script(first: Turn) -> Script {
    Script::new().turn(first).respond(history)
}

/// A server that announces the maximum size of a message in bytes.
fn history_with_limit(bytes: usize) -> ScriptedServer {
    let header = ("x-codex-websocket-max-message-bytes", bytes.to_string());
    ScriptedServer::in_memory(Script::new().header(header.0, &header.1).respond(history))
}

fn session(server: &ScriptedServer) -> ResponsesSession {
    let provider = Provider::compatible(&server.url()).expect("a URL").steers(true);
    let retry = RetryPolicy::default().replay(ReplayPolicy::BeforeOutput);
    let builder = builder(server).provider(provider).retry(retry);
    builder.transport(TransportPolicy::WebSocketOnly).build().expect("a client").session()
}

/// A session whose first response waits before its event at `held`, after which that response's
/// stream has been read so far.
async fn held(
    first: Turn,
    held: usize,
    gate: &Gate,
) -> (ScriptedServer, ResponsesSession, ResponseStream) {
    held_at(first, held, gate, &request(&["question"])).await
}

async fn held_at(
    first: Turn,
    held: usize,
    gate: &Gate,
    request: &ResponsesRequest,
) -> (ScriptedServer, ResponsesSession, ResponseStream) {
    let first = first.insert(held, Step::Gate(gate.clone()));
    let server = ScriptedServer::in_memory(script(first));
    let mut session = session(&server);
    let mut stream = session.stream(request).await.expect("a stream");
    for _ in 0..held {
        stream.try_next().await.expect("no error").expect("an event");
    }
    (server, session, stream)
}

/// Polls the stream until the server has nothing to send; returns the events.
async fn drain(stream: &mut ResponseStream, server: &ScriptedServer) -> Vec<ResponseEvent> {
    let mut events = Vec::new();
    loop {
        tokio::select! {
            biased;
            event = stream.try_next() => match event.expect("no error") {
                Some(event) => events.push(event),
                None => return events,
            },
            () = settled(server) => return events,
        }
    }
}

fn kinds(events: &[ResponseEvent]) -> Vec<&str> {
    events.iter().map(|event| event.kind().as_str()).collect()
}

/// The request with which an agent loop continues.
fn next(items: impl IntoIterator<Item = Item>, text: Item) -> ResponsesRequest {
    let mut request = request(&["question"]);
    request.input.extend(items);
    request.input.push(text);
    request
}

fn code(state: &SteerState) -> &str {
    match state {
        SteerState::Failed { code, .. } => code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn c118_c165_a_steered_turn_has_two_responses_and_two_usages_and_is_continued() {
    let two = Turn::output([items::message("first"), items::message("second")]);
    for (at, end, history) in [
        // Within the first item.
        (4, "response.incomplete", "question|first|shorter"),
        // After the last item: only the end is left.
        (16, "response.completed", "question|first|second|shorter"),
    ] {
        let gate = Gate::new();
        let (server, mut session, mut stream) = held(two.clone(), at, &gate).await;
        let handle = stream.steer("shorter").expect("a handle");
        assert!(matches!(handle.state(), SteerState::Sent));
        let accepted = drain(&mut stream, &server).await;
        assert_eq!(kinds(&accepted), ["response.steer.accepted"]);
        assert!(matches!(handle.state(), SteerState::Accepted));
        gate.open();
        let outcome = read(Ok(stream)).await;
        let kinds = outcome.kinds();
        let between = kinds.iter().position(|kind| *kind == "responses_client.steered").unwrap();
        assert_eq!(kinds[between + 1], "response.created");
        assert!(kinds[..between].iter().all(|kind| *kind != "response.completed"), "{kinds:?}");
        assert_eq!(kinds.last(), Some(&"response.completed"));
        let ended: Value = serde_json::from_str(outcome.events[between].raw()).expect("JSON");
        assert_eq!(ended["type"], end);

        let response = outcome.response();
        assert_eq!(response.output_text(), history);
        let state = handle.settled().await;
        let SteerState::Committed { response_id, .. } = state else { panic!("{state:?}") };
        assert_eq!(response_id, response.id());
        let responses = &outcome.report.responses;
        let ids: Vec<_> = responses.iter().map(|it| &*it.response_id).collect();
        assert_eq!(ids, [ended["response"]["id"].as_str().expect("an id"), response.id()]);
        let usage: Usage = responses.iter().filter_map(|it| it.usage).sum();
        assert_ne!(Some(usage), response.usage());
        assert_eq!(responses[1].usage, response.usage());
        assert!(responses[0].usage.is_some());

        // The next turn continues the second response.
        let request = next(response.output_items(), Item::user("and now"));
        let again = turn(&mut session, &request).await;
        assert_eq!(again.report.plan, incremental(1));
        let expected = format!("{history}|{history}|and now");
        assert_eq!(again.response().output_text(), expected);
        assert!(again.report.responses.is_empty());
        assert_eq!(server.log().connections.len(), 1);
        assert_eq!(server.log().steers.len(), 1);

        // A full request has all of it.
        let mut session = crate::steering::session(&server);
        let again = turn(&mut session, &request).await;
        assert_eq!(again.response().output_text(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn c165_several_steers_are_committed_together_and_the_successor_is_steered_too() {
    let gate = Gate::new();
    let (server, _session, mut stream) = held(Turn::text("first"), 4, &gate).await;
    let one = stream.steer("one").expect("a handle");
    let two = stream.steer([Item::user("two"), Item::user("3")]).expect("a handle");
    drain(&mut stream, &server).await;
    gate.open();
    let outcome = guarded(read(Ok(stream))).await;
    assert_eq!(outcome.response().output_text(), "question|first|one|two|3");
    for handle in [one, two] {
        assert!(matches!(handle.state(), SteerState::Committed { .. }), "{handle:?}");
    }
    assert_eq!(server.log().steers.len(), 2);
    assert_eq!(outcome.report.responses.len(), 2);
    let events = outcome.kinds().iter().filter(|kind| **kind == "response.created").count();
    assert_eq!(events, 1, "the first `created` was read before");

    // Three responses in one turn.
    let gates = [Gate::new(), Gate::new()];
    let held =
        |at: usize| Turn::text(format!("answer {at}")).insert(3, Step::Gate(gates[at].clone()));
    let server =
        ScriptedServer::in_memory(Script::new().turns([held(0), held(1)]).respond(history));
    let mut session = session(&server);
    let mut stream = session.stream(request(&["question"])).await.expect("a stream");
    let mut handles = Vec::new();
    for (at, gate) in gates.iter().enumerate() {
        drain(&mut stream, &server).await;
        handles.push(stream.steer(format!("steer {at}")).expect("a handle"));
        drain(&mut stream, &server).await;
        gate.open();
    }
    let outcome = guarded(read(Ok(stream))).await;
    let expected = "question|answer 0|steer 0|answer 1|steer 1";
    assert_eq!(outcome.response().output_text(), expected);
    assert_eq!(outcome.report.responses.len(), 3);
    let again = turn(&mut session, &next(outcome.response().output_items(), Item::user("x"))).await;
    assert_eq!(again.report.plan, incremental(1));
    assert_eq!(again.response().output_text(), format!("{expected}|{expected}|x"));
}

#[tokio::test(start_paused = true)]
async fn c165_without_a_successor_within_ten_seconds_a_steer_is_unknown() {
    for (waits, committed) in [(9, true), (11, false)] {
        let gate = Gate::new();
        let wait = Step::Delay(Duration::from_secs(waits));
        let first = Turn::text("done").insert(8, Step::Gate(gate.clone()));
        let script = Script::new().turns([first, Turn::text("more").first(wait)]);
        let server = ScriptedServer::in_memory(script.respond(history));
        let mut session = session(&server);
        let mut stream = session.stream(request(&["question"])).await.expect("a stream");
        drain(&mut stream, &server).await;
        let handle = stream.steer("steer").expect("a handle");
        drain(&mut stream, &server).await;
        gate.open();
        let start = Instant::now();
        let outcome = read(Ok(stream)).await;
        assert_eq!(start.elapsed(), Duration::from_secs(waits.min(10)));
        let state = handle.settled().await;
        assert_eq!(matches!(state, SteerState::Committed { .. }), committed, "{state:?}");
        let text = outcome.response().output_text();
        assert_eq!(text, if committed { "more" } else { "done" });
        if !committed {
            assert!(matches!(state, SteerState::Unknown));
            assert_eq!(outcome.kinds().last(), Some(&"response.completed"));
            // A response that follows later must not be taken for the answer to the next turn.
            let request = next(outcome.response().output_items(), Item::user("x"));
            let again = turn(&mut session, &request).await;
            assert_eq!(again.response().output_text(), "question|done|x");
            assert_eq!(again.report.plan, full(FullSendReason::ConnectionChanged));
            assert_eq!(server.log().steers.len(), 1, "never sent again");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c166_a_pending_steer_goes_with_the_results_of_the_calls_and_is_sent_once() {
    for (reconnects, stores) in [(false, false), (true, false), (false, true), (true, true)] {
        let call = items::function_call("call_1", "f", "{}");
        let gate = Gate::new();
        let first = request(&["question"]).store(stores);
        let (server, mut session, mut stream) =
            held_at(Turn::output([call]), 3, &gate, &first).await;
        let handle = stream.steer("and then").expect("a handle");
        drain(&mut stream, &server).await;
        gate.open();
        let start = Instant::now();
        let outcome = read(Ok(stream)).await;
        assert_eq!(start.elapsed(), Duration::ZERO, "the calls can run");
        let end = &outcome.kinds()[outcome.events.len() - 2..];
        assert_eq!(end, ["response.steer.pending", "response.completed"]);
        let state = handle.settled().await;
        let SteerState::Pending { required_input, .. } = state else { panic!("{state:?}") };
        let stub: Value = required_input[0].decode().expect("JSON");
        let expected = json!({ "type": "function_call_output", "call_id": "call_1", "name": "f" });
        assert_eq!((required_input.len(), stub), (1, expected));
        let calls = outcome.response().function_calls();
        assert_eq!(calls.len(), 1);

        if reconnects {
            server.close_idle(1001, "");
            settled(&server).await;
        }
        let output = Item::function_call_output("call_1", "7");
        let request = next(outcome.response().output_items(), output).store(stores);
        let again = turn(&mut session, &request).await;
        assert_eq!(again.response().output_text(), "question|-|and then|-");
        // Another connection has the response, but not the steer.
        let plan = match reconnects {
            true => full(FullSendReason::ConnectionChanged),
            false => incremental(1),
        };
        assert_eq!(again.report.plan, plan);
        let state = handle.state();
        let SteerState::Committed { response_id, .. } = state else { panic!("{state:?}") };
        assert_eq!(response_id, again.response().id());
        let log = server.log();
        assert_eq!((log.steers.len(), log.requests.len()), (1, 2));
        let sent = log.requests[1].body["input"].to_string();
        assert_eq!(sent.contains("and then"), reconnects, "the server has it: {sent}");

        // The turn after that, on the same connection and in full.
        let mut third = request.clone();
        third.input.extend(again.response().output_items());
        third.input.push(Item::user("x"));
        let last = turn(&mut session, &third).await;
        assert_eq!(last.report.plan, incremental(1));
        let expected = "question|-|and then|-|question|-|and then|-|x";
        assert_eq!(last.response().output_text(), expected);
        let mut other = crate::steering::session(&server);
        assert_eq!(turn(&mut other, &third).await.response().output_text(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn c167_a_refused_steer_gives_its_input_back() {
    let refuse = Steering::Refuse("steering_not_supported".to_owned());
    let later = Steering::FailLater("successor_creation_failed".to_owned());
    for (steering, expected) in
        [(refuse, "steering_not_supported"), (later, "successor_creation_failed")]
    {
        let gate = Gate::new();
        let first = Turn::text("done").steering(steering);
        let (server, mut session, mut stream) = held(first, 8, &gate).await;
        let handle = stream.steer("more").expect("a handle");
        drain(&mut stream, &server).await;
        gate.open();
        let start = Instant::now();
        let outcome = read(Ok(stream)).await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert_eq!(outcome.response().output_text(), "done");
        assert_eq!(outcome.kinds().last(), Some(&"response.completed"));
        let state = handle.settled().await;
        assert_eq!(code(&state), expected);
        let SteerState::Failed { input, .. } = state else { unreachable!() };
        assert_eq!(input[0], Item::user("more"));
        // The connection stays, and the next turn continues.
        let request = next(outcome.response().output_items(), input[0].clone());
        let again = turn(&mut session, &request).await;
        assert_eq!(again.report.plan, incremental(1));
        assert_eq!(again.response().output_text(), "question|done|more");
        assert_eq!(server.log().connections.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn c167_a_steer_that_no_server_answers_is_unknown() {
    let gate = Gate::new();
    let first = Turn::text("done").steering(Steering::Ignore);
    let (server, mut session, mut stream) = held(first, 8, &gate).await;
    let handle = stream.steer("more").expect("a handle");
    drain(&mut stream, &server).await;
    gate.open();
    let outcome = read(Ok(stream)).await;
    assert_eq!(outcome.response().output_text(), "done");
    assert!(matches!(handle.settled().await, SteerState::Unknown));
    let request = next(outcome.response().output_items(), Item::user("x"));
    let again = turn(&mut session, &request).await;
    assert_eq!(again.response().output_text(), "question|done|x");
}

#[tokio::test(start_paused = true)]
async fn c118_c167_after_a_lost_connection_a_steer_is_unknown_and_never_sent_again() {
    for (at, accepted) in [(1, false), (4, true), (4, false)] {
        let gate = Gate::new();
        let steering =
            if accepted { Steering::FailLater("x".to_owned()) } else { Steering::Ignore };
        let first = Turn::text("This is cut").steering(steering);
        let first = first.insert(at, Step::Gate(gate.clone())).cut_after(at + 1, close(1011));
        let script = Script::new().turn(first).respond(history);
        let server = ScriptedServer::in_memory(script);
        let mut session = session(&server);
        let mut stream = session.stream(request(&["question"])).await.expect("a stream");
        let mut events = drain(&mut stream, &server).await;
        let handle = stream.steer("more").expect("a handle");
        events.extend(drain(&mut stream, &server).await);
        gate.open();
        let outcome = read(Ok(stream)).await;
        // Without the steer, the request would be sent again, since no output has come.
        assert_eq!(outcome.error().kind(), ErrorKind::Closed);
        assert!(matches!(handle.settled().await, SteerState::Unknown), "{handle:?}");
        let log = server.log();
        assert_eq!((log.steers.len(), log.requests.len()), (1, 1), "{at}");
    }
}

#[tokio::test(start_paused = true)]
async fn c167_a_dropped_or_superseded_stream_makes_its_steers_unknown() {
    for supersedes in [false, true] {
        let gate = Gate::new();
        let (server, mut session, mut stream) = held(Turn::text("never"), 4, &gate).await;
        let handle = stream.steer("more").expect("a handle");
        let waits = tokio::spawn({
            let handle = handle.clone();
            async move { handle.settled().await }
        });
        if supersedes {
            let other = turn(&mut session, &request(&["other"])).await;
            assert_eq!(other.response().output_text(), "other");
            let outcome = read(Ok(stream)).await;
            assert_eq!(outcome.error().kind(), ErrorKind::Superseded);
        } else {
            drop(stream);
        }
        let state = guarded(waits).await.expect("a state");
        assert!(matches!(state, SteerState::Unknown));
        gate.open();
        settled(&server).await;
        assert!(server.log().steers.len() <= 1);
    }
}

#[tokio::test(start_paused = true)]
async fn c167_where_no_response_can_be_steered_the_input_comes_back_immediately() {
    let server = ScriptedServer::in_memory(Script::new().respond(history));
    let refused = |stream: &mut ResponseStream, input: Vec<Item>| {
        let error = stream.steer(input.clone()).expect_err("refused");
        assert!(error.to_string().starts_with("could not steer the response: "), "{error}");
        let kind = error.kind();
        let back: Vec<Item> = error.into_input().iter().cloned().collect();
        assert_eq!(back, input);
        kind
    };
    let provider = || Provider::compatible(&server.url()).expect("a URL");
    for (provider, transport) in [
        (provider().steers(true), TransportPolicy::SseOnly),
        (provider(), TransportPolicy::WebSocketOnly),
    ] {
        let client = builder(&server).provider(provider).transport(transport).build().unwrap();
        let mut stream = client.session().stream(request(&["one"])).await.expect("a stream");
        assert_eq!(refused(&mut stream, vec![Item::user("x")]), InputErrorKind::Unsupported);
    }
    let limited = history_with_limit(2000);
    let mut session = session(&limited);
    let mut stream = session.stream(request(&["one"])).await.expect("a stream");
    let large = vec![Item::user("x".repeat(2000))];
    assert_eq!(refused(&mut stream, large), InputErrorKind::TooLarge);
    let mut session = self::session(&server);
    let mut stream = session.stream(request(&["one"])).await.expect("a stream");
    for input in [
        vec![],
        vec![Item::system("x")],
        vec![Item::user("x"), Item::function_call_output("call_1", "7")],
        vec![Item::from_json(json!({"role": "user", "content": "x", "id": "m"})).unwrap()],
    ] {
        assert_eq!(refused(&mut stream, input), InputErrorKind::InvalidInput);
    }
    while stream.try_next().await.expect("no error").is_some() {}
    assert_eq!(refused(&mut stream, vec![Item::user("x")]), InputErrorKind::NotRunning);
    assert!(server.log().steers.is_empty() && limited.log().steers.is_empty());
}

#[tokio::test(start_paused = true)]
async fn c167_a_steer_that_crosses_the_end_of_its_response_is_rejected_and_not_lost() {
    // The whole response waits in the read-ahead, so that its end has come when the steer is sent.
    let server = ScriptedServer::in_memory(Script::new().respond(history));
    let mut session = session(&server);
    let mut stream = session.stream(request(&["question"])).await.expect("a stream");
    settled(&server).await;
    let handle = stream.steer("more").expect("a handle");
    let start = Instant::now();
    let outcome = read(Ok(stream)).await;
    assert_eq!(outcome.response().output_text(), "question");
    assert_eq!(code(&handle.settled().await), "response_already_completed");
    assert_eq!(start.elapsed(), Duration::ZERO);
    let request = next(outcome.response().output_items(), Item::user("more"));
    let again = turn(&mut session, &request).await;
    assert_eq!(again.report.plan, incremental(1));
    assert_eq!(server.log().connections.len(), 1);
    assert!(server.log().steers.is_empty(), "the lane was free");
}

#[tokio::test(start_paused = true)]
async fn c168_a_stop_interrupts_a_response_and_keeps_its_connection_and_its_output() {
    let two = Turn::output([items::message("first"), items::message("second")]);
    let first = two.insert(12, Step::Gate(Gate::new()));
    let server = ScriptedServer::in_memory(script(first).profile(Profile::ChatGpt));
    let provider = Provider::compatible(&server.url()).expect("a URL").interrupts(true);
    let client = builder(&server).provider(provider).build().expect("a client");
    let mut session = client.session();
    let mut stream = session.stream(request(&["question"])).await.expect("a stream");
    drain(&mut stream, &server).await;
    let start = Instant::now();
    stream.stop();
    stream.stop();
    let outcome = read(Ok(stream)).await;
    assert_eq!(start.elapsed(), Duration::ZERO);
    let kinds =
        ["response.interrupt.accepted", "response.output_item.interrupted", "response.incomplete"];
    assert_eq!(outcome.kinds(), kinds);
    let response = outcome.response();
    assert_eq!(response.incomplete_reason().as_deref(), Some("interrupted"));
    // The server has discarded the second item, of which the caller keeps the part.
    let partial = response.unfinished_items();
    assert_eq!((response.output_items().len(), partial.len()), (1, 1));
    assert_eq!(response.output_text(), format!("first{}", partial[0].text()));
    let request = next(response.output_items(), Item::user("go on"));
    let again = turn(&mut session, &request).await;
    assert_eq!(again.report.plan, incremental(1));
    assert_eq!(again.response().output_text(), "question|first|go on");
    assert_eq!(server.log().connections.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn c168_a_stop_without_an_interruption_closes_the_connection_and_keeps_the_output() {
    for transport in BOTH {
        let gate = Gate::new();
        let first = Turn::text("never ending").insert(6, Step::Gate(gate.clone()));
        let server = ScriptedServer::in_memory(script(first));
        let client = builder(&server).transport(only(transport)).build().expect("a client");
        let mut session = client.session();
        let mut stream = session.stream(request(&["question"])).await.expect("a stream");
        drain(&mut stream, &server).await;
        stream.stop();
        stream.stop();
        let text = stream.response().output_text();
        assert!(!text.is_empty() && "never ending".starts_with(&text), "{text}");
        let outcome = read(Ok(stream)).await;
        let error = outcome.error();
        assert_eq!(error.kind(), ErrorKind::Stopped);
        assert_eq!(error.response().expect("a partial response").output_text(), text);
        settled(&server).await;
        assert!(server.log().connections[0].closed, "{transport}: the server stops generating");
        let again = turn(&mut session, &request(&["question", "again"])).await;
        assert_eq!(again.response().output_text(), "question|again");
        assert_eq!(again.report.plan, full(FullSendReason::PriorNotCompleted));
        gate.open();
    }
}

#[tokio::test(start_paused = true)]
async fn c168_a_stop_of_a_steered_response_ends_with_what_there_is() {
    let gate = Gate::new();
    let first = Turn::text("done").insert(8, Step::Gate(gate.clone()));
    let wait = Turn::text("more").first(Step::Delay(Duration::from_secs(5)));
    let server = ScriptedServer::in_memory(Script::new().turns([first, wait]));
    let mut session = session(&server);
    let mut stream = session.stream(request(&["question"])).await.expect("a stream");
    drain(&mut stream, &server).await;
    let handle = stream.steer("steer").expect("a handle");
    drain(&mut stream, &server).await;
    gate.open();
    assert!(drain(&mut stream, &server).await.iter().all(|event| !event.is_terminal()));
    stream.stop();
    let outcome = read(Ok(stream)).await;
    assert_eq!(outcome.response().output_text(), "done");
    assert!(matches!(handle.state(), SteerState::Unknown));
}
