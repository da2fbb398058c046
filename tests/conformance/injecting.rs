//! Outputs of calls for running responses.

use std::time::Duration;

use responses_client::{
    ErrorKind, History, InjectHandle, InjectState, InputErrorKind, Item, Provider, ReplayPolicy,
    ResponseStream, ResponsesRequest, ResponsesSession, RetryPolicy, TransportPolicy,
    event::ResponseEvent,
    report::{FullSendReason, Plan},
    testing::{Exchange, Gate, Injecting, Profile, Script, ScriptedServer, Step, Turn, items},
};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{
    Outcome, builder, close, full, guarded, incremental, read, request, settled, turn,
};

mod headers;

/// Answers with the kinds of the items of the history, and the outputs of calls.
fn history(exchange: &Exchange) -> Turn {
    let kinds = exchange.history.iter().map(|item| match &item["output"] {
        Value::String(output) => output.clone(),
        _ => item["type"].as_str().unwrap_or("message").replace("function_", ""),
    });
    Turn::text(kinds.collect::<Vec<_>>().join(" "))
}

/// A turn that calls a function, waits for its output, and answers.
fn waiting() -> Turn {
    let items = [items::function_call("call_1", "f", "{}"), items::message("It is 7.")];
    Turn::output(items).insert(6, Step::AwaitInject)
}

/// The event that answers an inject for the response of `exchange`.
fn answer(exchange: &Exchange, verdict: &str, code: &str) -> Step {
    Step::Stray(json!({
        "type": format!("response.inject.{verdict}"),
        "sequence_number": 90,
        "response_id": exchange.response_id,
        "input": [{ "type": "function_call_output", "call_id": "x", "output": "x" }],
        "error": { "code": code, "message": "The response takes no input." },
    }))
}

fn output(text: &str) -> Item {
    Item::function_call_output("call_1", text)
}

/// A session of a server that answers the first request with `first`, and the others with the history.
fn session(
    first: impl Fn(&Exchange) -> Turn + Send + Sync + 'static,
) -> (ScriptedServer, ResponsesSession) {
    let respond = move |exchange: &Exchange| match exchange.index {
        0 => first(exchange),
        _ => history(exchange),
    };
    let server = ScriptedServer::in_memory(Script::new().respond(respond));
    let session = session_of(&server);
    (server, session)
}

fn session_of(server: &ScriptedServer) -> ResponsesSession {
    let provider = Provider::compatible(&server.url()).expect("a URL").injects(true);
    let retry = RetryPolicy::default().replay(ReplayPolicy::BeforeOutput);
    let builder = builder(server).provider(provider).retry(retry);
    builder.transport(TransportPolicy::WebSocketOnly).build().expect("a client").session()
}

/// Begins the first turn, and reads until the server has nothing to send.
async fn begin(server: &ScriptedServer, session: &mut ResponsesSession) -> ResponseStream {
    let mut stream = session.stream(request(&["question"])).await.expect("a stream");
    drain(&mut stream, server).await;
    stream
}

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

/// The request with which an agent loop continues: the output items, an output for each call that is
/// left, and a message.
fn next(outcome: &Outcome) -> ResponsesRequest {
    let mut request = request(&["question"]);
    request.input.extend(outcome.response().output_items());
    for call in outcome.response().function_calls() {
        request.input.push(Item::function_call_output(&call.call_id, "again"));
    }
    request.input.push(Item::user("next"));
    request
}

fn kinds(outcome: &Outcome) -> Vec<String> {
    outcome.response().output_items().map(|item| item.item_type().to_owned()).collect()
}

fn failed(state: InjectState) -> (String, History) {
    match state {
        InjectState::Failed { code, input, .. } => (code, input),
        other => panic!("{other:?}"),
    }
}

async fn is_unknown(handle: &InjectHandle) -> bool {
    matches!(handle.settled().await, InjectState::Unknown)
}

#[tokio::test(start_paused = true)]
async fn c290_committed_outputs_stand_after_their_call_and_the_next_turn_continues() {
    for store in [false, true] {
        let (server, mut session) = session(|_| waiting());
        let mut stream =
            session.stream(request(&["question"]).store(store)).await.expect("a stream");
        drain(&mut stream, &server).await;
        assert_eq!(stream.response().function_calls().len(), 1);
        let handle = stream.inject(output("7")).expect("a handle");
        assert!(matches!(handle.state(), InjectState::Sent));
        let start = Instant::now();
        let outcome = guarded(read(Ok(stream))).await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert!(outcome.kinds().contains(&"response.inject.created"));
        assert_eq!(outcome.kinds().last(), Some(&"response.completed"));
        assert!(matches!(handle.settled().await, InjectState::Committed));
        assert_eq!(outcome.response().output_text(), "It is 7.");
        assert_eq!(kinds(&outcome), ["function_call", "function_call_output", "message"]);
        assert!(outcome.response().function_calls().is_empty(), "the call is answered");

        let log = server.log();
        assert_eq!(log.injects.len(), 1);
        let sent = json!({
            "type": "response.inject",
            "response_id": outcome.response().id(),
            "input": [{ "type": "function_call_output", "call_id": "call_1", "output": "7" }],
        });
        assert_eq!(log.injects[0].body, sent);

        let request = next(&outcome).store(store);
        let again = turn(&mut session, &request).await;
        assert_eq!(again.report.plan, incremental(1));
        assert_eq!(again.response().output_text(), "message call 7 message message");
        assert_eq!(server.log().connections.len(), 1);
        // A full request has the same history.
        let again = turn(&mut session_of(&server), &request).await;
        assert_eq!(again.response().output_text(), "message call 7 message message");
    }
}

#[tokio::test(start_paused = true)]
async fn c290_a_history_with_the_outputs_elsewhere_is_sent_in_full() {
    let (server, mut session) = session(|_| waiting());
    let mut stream = begin(&server, &mut session).await;
    stream.inject(output("7")).expect("a handle");
    let outcome = guarded(read(Ok(stream))).await;
    let mut request = request(&["question"]);
    let (outputs, others): (Vec<_>, Vec<_>) = outcome
        .response()
        .output_items()
        .partition(|item| item.item_type() == "function_call_output");
    request.input.extend(others.into_iter().chain(outputs));
    request.input.push(Item::user("next"));
    let again = turn(&mut session, &request).await;
    assert_eq!(again.response().output_text(), "message call message 7 message");
    let Some(Plan::Full(reason)) = again.report.plan else { panic!("{:?}", again.report) };
    assert!(matches!(reason, FullSendReason::PrefixDiverged { at: 2, .. }), "{reason:?}");
}

#[tokio::test(start_paused = true)]
async fn c290_outputs_follow_the_items_that_were_finished_and_are_not_doubled() {
    let call = |number| items::function_call(&format!("call_{number}"), "f", "{}");
    // The second call is answered first, within the message. The server repeats one output.
    for repeats in [false, true] {
        let first = move |exchange: &Exchange| {
            let mut items = vec![call(1), call(2), items::message("Both."), items::message("End.")];
            let created = answer(exchange, "created", "");
            if repeats {
                items.insert(3, items::function_call_output("call_1", "1"));
            }
            let turn = Turn::output(items).injecting(Injecting::Ignore);
            let turn = turn.insert(13, Step::AwaitInject).insert(13, Step::AwaitInject);
            turn.insert(13, created.clone()).insert(13, created)
        };
        let (server, mut session) = session(first);
        let mut stream = begin(&server, &mut session).await;
        for number in [2, 1] {
            let output = Item::function_call_output(format!("call_{number}"), number.to_string());
            stream.inject(output).expect("a handle");
        }
        let outcome = guarded(read(Ok(stream))).await;
        let texts = outcome.response().output_items().map(|item| {
            let output: Option<String> = item.json().member("output").ok().flatten();
            output.unwrap_or_else(|| item.item_type().to_owned())
        });
        let expected = match repeats {
            false => ["function_call", "function_call", "2", "1", "message", "message"],
            true => ["function_call", "function_call", "2", "message", "1", "message"],
        };
        assert_eq!(texts.collect::<Vec<_>>(), expected);
        assert!(outcome.response().function_calls().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn c290_c291_answers_are_matched_to_injects_in_the_order_of_sending() {
    let first = |exchange: &Exchange| {
        let items = [items::function_call("call_1", "f", "{}"), items::message("Done.")];
        let turn = Turn::output(items).injecting(Injecting::Ignore);
        let turn = turn.insert(6, Step::AwaitInject).insert(6, Step::AwaitInject);
        let turn = turn.insert(6, answer(exchange, "failed", "invalid_value"));
        turn.insert(6, answer(exchange, "created", ""))
    };
    let (server, mut session) = session(first);
    let mut stream = begin(&server, &mut session).await;
    let one = stream.inject(output("one")).expect("a handle");
    let two = stream.inject(output("two")).expect("a handle");
    let outcome = guarded(read(Ok(stream))).await;
    let (code, input) = failed(one.settled().await);
    assert_eq!((code.as_str(), &input[0]), ("invalid_value", &output("one")));
    assert!(matches!(two.settled().await, InjectState::Committed));
    let outputs: Vec<Item> =
        outcome.response().output_items().filter(|item| *item == output("two")).collect();
    assert_eq!((outputs.len(), kinds(&outcome).len()), (1, 3));
}

#[tokio::test(start_paused = true)]
async fn c291_outputs_that_cross_the_end_of_their_response_go_with_the_next_request() {
    // The server rejects them after the end.
    let first = |exchange: &Exchange| {
        let turn = Turn::output([items::function_call("call_1", "f", "{}")]);
        let turn = turn.injecting(Injecting::Ignore).insert(6, Step::AwaitInject);
        turn.then(answer(exchange, "failed", "response_already_completed"))
    };
    for is_sent in [true, false] {
        let (server, mut session) = match is_sent {
            true => session(first),
            false => session(|_| Turn::output([items::function_call("call_1", "f", "{}")])),
        };
        let mut stream = session.stream(request(&["question"])).await.expect("a stream");
        match is_sent {
            true => drop(drain(&mut stream, &server).await),
            // The end waits in the read-ahead.
            false => settled(&server).await,
        }
        let handle = stream.inject(output("7")).expect("a handle");
        let start = Instant::now();
        let outcome = guarded(read(Ok(stream))).await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        let last = if is_sent { "response.inject.failed" } else { "response.output_item.done" };
        assert_eq!(&outcome.kinds()[outcome.events.len() - 2..], [last, "response.completed"]);
        let (code, input) = failed(handle.settled().await);
        assert_eq!((code.as_str(), &input[0]), ("response_already_completed", &output("7")));
        assert_eq!(outcome.response().function_calls().len(), 1, "the call is left");
        let again = turn(&mut session, &next(&outcome)).await;
        assert_eq!(again.report.plan, incremental(2));
        assert_eq!(again.response().output_text(), "message call again message");
        let log = server.log();
        assert_eq!((log.connections.len(), log.injects.len()), (1, usize::from(is_sent)));
    }
}

#[tokio::test(start_paused = true)]
async fn c291_rejected_outputs_come_back_and_the_response_goes_on() {
    for code in ["response_not_found", "response_already_completed", "odd"] {
        let refuse = Injecting::Refuse(code.to_owned());
        let (server, mut session) = session(move |_| waiting().injecting(refuse.clone()));
        let mut stream = begin(&server, &mut session).await;
        let handle = stream.inject(output("7")).expect("a handle");
        let outcome = guarded(read(Ok(stream))).await;
        assert_eq!(outcome.response().output_text(), "It is 7.");
        let (failed, input) = failed(handle.settled().await);
        assert_eq!((failed.as_str(), &input[0]), (code, &output("7")));
        let again = turn(&mut session, &next(&outcome)).await;
        assert_eq!(again.report.plan, incremental(2));
        assert_eq!(again.response().output_text(), "message call message again message");
        assert_eq!(server.log().connections.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn c291_an_error_that_refuses_the_message_does_not_end_the_response() {
    let error = |code: &str, message: &str| {
        json!({ "type": "error", "status": 400, "error": {
            "type": "invalid_request_error", "code": code, "message": message, "param": null } })
    };
    for (error, refuses) in [
        (error("unknown_event_type", "Unknown event."), true),
        (error("invalid_value", "Invalid value: 'response.inject'."), true),
        (error("context_length_exceeded", "The input is too long."), false),
    ] {
        let (server, mut session) = session(move |_| {
            let turn = waiting().injecting(Injecting::Ignore);
            turn.insert(6, Step::Stray(error.clone())).insert(6, Step::AwaitInject)
        });
        let mut stream = begin(&server, &mut session).await;
        let handle = stream.inject(output("7")).expect("a handle");
        // The turn has another step that waits.
        let drained = tokio::time::timeout(Duration::from_millis(1), stream.try_next()).await;
        if refuses {
            assert!(drained.is_err(), "{drained:?}");
            stream.inject(output("8")).expect("a handle");
            let outcome = read(Ok(stream)).await;
            assert_eq!(outcome.response().output_text(), "It is 7.");
            assert!(!outcome.kinds().contains(&"error"));
            let (code, input) = failed(handle.settled().await);
            assert!(matches!(code.as_str(), "unknown_event_type" | "invalid_value"), "{code}");
            assert_eq!(input[0], output("7"));
        } else {
            let error = drained.expect("an end").expect_err("an error");
            assert_eq!(error.kind(), ErrorKind::Api);
            assert!(is_unknown(&handle).await);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c291_outputs_without_an_answer_are_unknown_and_the_next_turn_is_full() {
    for (calls, wait) in [(true, 1), (false, 10)] {
        let (server, mut session) = session(move |_| {
            let item = match calls {
                true => items::function_call("call_1", "f", "{}"),
                false => items::message("No call."),
            };
            Turn::output([item]).insert(6, Step::AwaitInject).injecting(Injecting::Ignore)
        });
        let mut stream = begin(&server, &mut session).await;
        let handle = stream.inject(output("7")).expect("a handle");
        let start = Instant::now();
        let outcome = read(Ok(stream)).await;
        assert_eq!(start.elapsed(), Duration::from_secs(wait));
        assert_eq!(outcome.kinds().last(), Some(&"response.completed"));
        assert!(is_unknown(&handle).await);
        // Nobody knows if the history of the response has the output.
        for store in [false, true] {
            let again = turn(&mut session.fork(), &next(&outcome).store(store)).await;
            assert_eq!(again.report.plan, full(FullSendReason::PriorNotCompleted));
            let text = if calls { "message call again message" } else { "message message message" };
            assert_eq!(again.response().output_text(), text);
        }
        assert_eq!(server.log().injects.len(), 1, "never sent again");
    }
}

#[tokio::test(start_paused = true)]
async fn c291_after_a_lost_connection_outputs_are_unknown_and_never_sent_again() {
    for (at, committed) in [(1, false), (1, true), (6, false), (6, true)] {
        let gate = Gate::new();
        let held = gate.clone();
        let (server, mut session) = session(move |_| {
            let injecting = if committed { Injecting::Accept } else { Injecting::Ignore };
            let turn = waiting().insert(at, Step::Gate(held.clone())).injecting(injecting);
            turn.cut_after(at + 1, close(1011))
        });
        let mut stream = session.stream(request(&["question"])).await.expect("a stream");
        drain(&mut stream, &server).await;
        let handle = stream.inject(output("7")).expect("a handle");
        drain(&mut stream, &server).await;
        gate.open();
        let outcome = read(Ok(stream)).await;
        // Without the outputs, the request would be sent again, since no output has come.
        assert_eq!(outcome.error().kind(), ErrorKind::Closed);
        let state = handle.settled().await;
        assert_eq!(matches!(state, InjectState::Committed), committed, "{state:?}");
        assert_eq!(matches!(state, InjectState::Unknown), !committed, "{state:?}");
        let log = server.log();
        assert_eq!((log.injects.len(), log.requests.len()), (1, 1), "{at} {committed}");
        // The partial response has what is known.
        if at > 1 {
            let partial = outcome.error().response().expect("a partial response");
            assert_eq!(partial.replayable_items().len(), if committed { 2 } else { 1 });
            assert_eq!(partial.function_calls().len(), usize::from(!committed));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c291_a_dropped_or_superseded_stream_makes_its_injects_unknown() {
    for supersedes in [false, true] {
        let (server, mut session) = session(|_| waiting().injecting(Injecting::Ignore));
        let mut stream = begin(&server, &mut session).await;
        let handle = stream.inject(output("7")).expect("a handle");
        let waits = tokio::spawn({
            let handle = handle.clone();
            async move { handle.settled().await }
        });
        if supersedes {
            turn(&mut session, &request(&["other"])).await;
            let outcome = read(Ok(stream)).await;
            assert_eq!(outcome.error().kind(), ErrorKind::Superseded);
        } else {
            drop(stream);
        }
        let state = guarded(waits).await.expect("a state");
        assert!(matches!(state, InjectState::Unknown));
    }
}

#[tokio::test(start_paused = true)]
async fn c292_what_no_response_takes_comes_back_immediately() {
    let server = ScriptedServer::in_memory(Script::new().respond(history));
    let refused = |stream: &mut ResponseStream, input: Vec<Item>| {
        let error = stream.inject(input.clone()).expect_err("refused");
        assert!(error.to_string().starts_with("could not give the response outputs: "), "{error}");
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
        let kind = error.kind();
        let back: Vec<Item> = error.into_input().iter().cloned().collect();
        assert_eq!(back, input);
        kind
    };
    let provider = || Provider::compatible(&server.url()).expect("a URL");
    for (provider, transport) in [
        (provider().injects(true), TransportPolicy::SseOnly),
        (provider().steers(true), TransportPolicy::WebSocketOnly),
    ] {
        let client = builder(&server).provider(provider).transport(transport).build().unwrap();
        let mut stream = client.session().stream(request(&["one"])).await.expect("a stream");
        assert_eq!(refused(&mut stream, vec![output("canary")]), InputErrorKind::Unsupported);
    }
    let mut session = session_of(&server);
    let mut stream = session.stream(request(&["one"])).await.expect("a stream");
    let item = |value: Value| Item::from_json(value).expect("an item");
    for input in [
        vec![],
        vec![Item::user("canary")],
        vec![output("7"), Item::user("canary")],
        vec![item(json!({ "type": "function_call_output", "output": "canary" }))],
        vec![item(json!({ "type": "function_call", "call_id": "c", "name": "canary" }))],
        vec![item(json!({ "type": "program_output", "call_id": "c", "result": "canary" }))],
    ] {
        assert_eq!(refused(&mut stream, input), InputErrorKind::InvalidInput);
    }
    let large = vec![output(&"canary ".repeat(3 << 20))];
    assert_eq!(refused(&mut stream, large), InputErrorKind::TooLarge);
    while stream.try_next().await.expect("no error").is_some() {}
    assert_eq!(refused(&mut stream, vec![output("canary")]), InputErrorKind::NotRunning);
    assert!(server.log().injects.is_empty());
}

#[tokio::test(start_paused = true)]
async fn c292_a_response_has_thirty_two_injects_without_an_answer_at_most() {
    let (server, mut session) = session(|_| waiting().injecting(Injecting::Ignore));
    let mut stream = begin(&server, &mut session).await;
    for _ in 0..32 {
        stream.inject(output("7")).expect("a handle");
    }
    let refused = stream.inject(output("7")).expect_err("too many");
    assert_eq!(refused.kind(), InputErrorKind::TooMany);
}

#[tokio::test(start_paused = true)]
async fn c292_a_server_without_the_beta_gets_no_outputs_twice() {
    // The server of xAI does not know the message.
    let script = Script::new().profile(Profile::Xai).turn(waiting()).respond(history);
    let server = ScriptedServer::in_memory(script);
    let mut session = session_of(&server);
    let mut stream = begin(&server, &mut session).await;
    let handle = stream.inject(output("7")).expect("a handle");
    let events = drain(&mut stream, &server).await;
    assert!(events.iter().all(|event| !event.is_terminal()), "{events:?}");
    drop(stream);
    assert!(handle.state().is_settled());
    assert!(server.log().injects.is_empty());
}
