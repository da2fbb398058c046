//! Stopping a response of a server that interrupts responses, and of one that only seems to.

use std::time::Duration;

use responses_client::{
    ErrorKind, Item, Provider, ResponseStream, ResponsesRequest, ResponsesSession, Transport,
    report::FullSendReason,
    testing::{Exchange, Gate, Interrupting, Profile, Script, ScriptedServer, Step, Turn},
};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{
    Outcome, builder, close, full, incremental, only, read, request, settled, turn,
};

/// Number of events before the text of an answer with one message.
const BEFORE_TEXT: usize = 4;

/// Answers with the texts of the history.
fn history(exchange: &Exchange) -> Turn {
    let texts = exchange.history.iter().map(|item| match &item["content"] {
        Value::String(text) => text.clone(),
        content => content[0]["text"].as_str().unwrap_or("-").to_owned(),
    });
    Turn::text(texts.collect::<Vec<_>>().join("|"))
}

/// A server that interrupts responses, whose first answer is `first`.
fn server(first: Turn) -> ScriptedServer {
    let script = Script::new().profile(Profile::ChatGpt).turn(first);
    ScriptedServer::in_memory(script.respond(history))
}

fn session_over(server: &ScriptedServer, transport: Transport) -> ResponsesSession {
    let provider = Provider::compatible(&server.url()).expect("a URL").interrupts(true);
    let builder = builder(server).provider(provider).transport(only(transport));
    builder.build().expect("a client").session()
}

fn session(server: &ScriptedServer) -> ResponsesSession {
    session_over(server, Transport::WebSocket)
}

/// Starts a turn, and reads its events until the server waits.
async fn started(session: &mut ResponsesSession, server: &ScriptedServer) -> ResponseStream {
    let mut stream = session.stream(request(&["question"])).await.expect("a stream");
    loop {
        tokio::select! {
            biased;
            event = stream.try_next() => assert!(event.expect("no error").is_some()),
            () = settled(server) => return stream,
        }
    }
}

/// The error of an interrupt whose response does not run.
fn not_found() -> Step {
    let error = json!({ "type": "invalid_request_error", "code": "response_not_found",
        "message": "No active response.", "param": "response_id" });
    Step::Stray(json!({ "type": "error", "status": 400, "error": error }))
}

fn next(outcome: &Outcome) -> ResponsesRequest {
    let mut next = request(&["question"]);
    next.input.extend(outcome.response().output_items());
    next.input.push(Item::user("next"));
    next
}

/// Checks that the turn was stopped with its partial text, that the server sees its connection
/// closed, and that the next turn works.
async fn assert_stopped(server: &ScriptedServer, mut session: ResponsesSession, outcome: Outcome) {
    let error = outcome.error();
    assert_eq!(error.kind(), ErrorKind::Stopped);
    let partial = error.response().expect("a partial response").output_text();
    assert!("a long answer".starts_with(&partial), "{partial}");
    settled(server).await;
    assert!(server.log().connections[0].closed, "the server stops generating");
    let again = turn(&mut session, &request(&["question", "again"])).await;
    assert_eq!(again.response().output_text(), "question|again");
    assert_eq!(again.report.plan, full(FullSendReason::PriorNotCompleted));
    assert_eq!(server.log().requests.len(), 2, "the stopped turn is not sent again");
}

#[tokio::test(start_paused = true)]
async fn c168_an_interrupted_response_is_the_parent_of_the_next_turn() {
    for (interrupting, text) in
        [(Interrupting::Accept, ""), (Interrupting::AfterItem, "a long answer")]
    {
        let first = Turn::text("a long answer").interrupting(interrupting);
        let server = server(first.insert(BEFORE_TEXT, Step::AwaitInterrupt));
        let mut session = session(&server);
        let mut stream = started(&mut session, &server).await;
        stream.stop();
        let outcome = read(Ok(stream)).await;
        let response = outcome.response();
        assert_eq!(response.incomplete_reason().as_deref(), Some("interrupted"));
        let finished: String = response
            .output_items()
            .map(|item| item.as_text().unwrap_or_default().into_owned())
            .collect();
        assert_eq!(finished, text, "{interrupting:?}");
        let id = response.id().to_owned();
        let again = turn(&mut session, &next(&outcome)).await;
        assert_eq!(again.report.plan, incremental(1));
        let log = server.log();
        assert_eq!(log.requests[1].body["previous_response_id"], json!(id));
        let message = json!({ "type": "response.interrupt", "response_id": id,
            "mode": "discard_partial_items" });
        assert_eq!((log.interrupts.len(), &log.interrupts[0].body), (1, &message));
        assert_eq!(log.connections.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn c168_a_refused_interruption_closes_the_connection_immediately() {
    let refuses = Turn::text("a long answer").interrupting(Interrupting::Refuse);
    let refuses = refuses.insert(BEFORE_TEXT, Step::Gate(Gate::new()));
    // A server that does not know the response as running, and generates on.
    let not_known = Turn::text("a long answer").interrupting(Interrupting::Ignore);
    let not_known = not_known.insert(BEFORE_TEXT, Step::AwaitInterrupt);
    let not_known = not_known.insert(BEFORE_TEXT + 1, not_found());
    let not_known = not_known.insert(BEFORE_TEXT + 2, Step::Gate(Gate::new()));
    for first in [refuses, not_known] {
        let server = server(first);
        let mut session = session(&server);
        let mut stream = started(&mut session, &server).await;
        let start = Instant::now();
        stream.stop();
        let outcome = read(Ok(stream)).await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert_eq!(server.log().interrupts.len(), 1);
        assert_stopped(&server, session, outcome).await;
    }
}

#[tokio::test(start_paused = true)]
async fn c168_an_ignored_interruption_is_waited_for_10_seconds() {
    // The server is silent, or ends the response within the time or after it.
    for end in [None, Some(9), Some(11)] {
        let first = Turn::text("a long answer").interrupting(Interrupting::Ignore);
        let first = first.insert(BEFORE_TEXT, Step::AwaitInterrupt);
        let first = first.insert(
            BEFORE_TEXT + 1,
            match end {
                Some(seconds) => Step::Delay(Duration::from_secs(seconds)),
                None => Step::Stall,
            },
        );
        let server = server(first);
        let mut session = session(&server);
        let mut stream = started(&mut session, &server).await;
        let start = Instant::now();
        stream.stop();
        let outcome = read(Ok(stream)).await;
        assert_eq!(start.elapsed(), Duration::from_secs(end.unwrap_or(10).min(10)));
        if end == Some(9) {
            assert_eq!(outcome.response().output_text(), "a long answer");
            let again = turn(&mut session, &next(&outcome)).await;
            assert_eq!(again.report.plan, incremental(1));
            assert_eq!(server.log().connections.len(), 1);
        } else {
            assert_stopped(&server, session, outcome).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c168_a_connection_that_ends_after_an_interruption_ends_the_turn() {
    for accepts in [false, true] {
        let interrupting = if accepts { Interrupting::AfterItem } else { Interrupting::Ignore };
        let first = Turn::text("a long answer").interrupting(interrupting);
        let first = first.insert(BEFORE_TEXT, Step::AwaitInterrupt);
        let server = server(first.cut_after(BEFORE_TEXT + 1, close(1011)));
        let mut session = session(&server);
        let mut stream = started(&mut session, &server).await;
        let start = Instant::now();
        stream.stop();
        let outcome = read(Ok(stream)).await;
        assert_eq!(start.elapsed(), Duration::ZERO, "the turn is not retried");
        assert_stopped(&server, session, outcome).await;
    }
}

#[tokio::test(start_paused = true)]
async fn c168_a_stop_over_sse_closes_the_connection_whatever_the_server_interrupts() {
    let first = Turn::text("a long answer").insert(BEFORE_TEXT + 1, Step::Gate(Gate::new()));
    let server = server(first);
    let mut session = session_over(&server, Transport::Sse);
    let mut stream = started(&mut session, &server).await;
    stream.stop();
    let outcome = read(Ok(stream)).await;
    assert!(server.log().interrupts.is_empty());
    assert_stopped(&server, session, outcome).await;
}

#[tokio::test(start_paused = true)]
async fn c168_a_stop_after_the_end_of_the_response_interrupts_nothing() {
    // The whole response waits in the read-ahead.
    let server = server(Turn::text("a long answer"));
    let mut session = session(&server);
    let mut stream = session.stream(request(&["question"])).await.expect("a stream");
    settled(&server).await;
    stream.stop();
    let outcome = read(Ok(stream)).await;
    assert_eq!(outcome.response().output_text(), "a long answer");
    assert!(outcome.response().incomplete_reason().is_none());
    assert!(server.log().interrupts.is_empty(), "the lane was free");
    let again = turn(&mut session, &next(&outcome)).await;
    assert_eq!(again.report.plan, incremental(1));
    assert_eq!(server.log().connections.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn c168_the_late_refusal_of_an_interruption_reaches_no_other_turn() {
    for refusal in [
        not_found(),
        Step::Stray(json!({ "type": "response.interrupt.failed", "response_id": "resp_1" })),
    ] {
        // The response ends while the interrupt is on its way. Its refusal comes before the next
        // request, or instead of the first event of the next response.
        for comes_late in [false, true] {
            let first = Turn::text("a long answer").interrupting(Interrupting::Ignore);
            let first = first.insert(BEFORE_TEXT, Step::AwaitInterrupt);
            let script = Script::new().profile(Profile::ChatGpt);
            let refusal = refusal.clone();
            let server = ScriptedServer::in_memory(match comes_late {
                false => script.turn(first.insert(usize::MAX, refusal)).respond(history),
                true => script.turn(first).respond(move |it| history(it).first(refusal.clone())),
            });
            let mut session = session(&server);
            let mut stream = started(&mut session, &server).await;
            stream.stop();
            let outcome = read(Ok(stream)).await;
            assert_eq!(outcome.response().output_text(), "a long answer");
            settled(&server).await;
            let again = turn(&mut session, &next(&outcome)).await;
            assert_eq!(again.response().output_text(), "question|a long answer|next");
            assert_eq!(again.report.plan, incremental(1));
            assert!(!again.kinds().contains(&"response.interrupt.failed"));
            assert_eq!(server.log().connections.len(), 1);
        }
    }
}
