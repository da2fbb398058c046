//! Streams that are read slowly, beside others of their WebSocket.

use responses_client::{
    ErrorKind, Limits, ResponsesClient,
    testing::{Gate, Script, ScriptedServer, Step, Turn},
};
use serde_json::json;
use tokio::time::Instant;

use super::{answer, asked, builder, shared};
use crate::support::{appended, guarded, incremental, read, request, settled, turn};

/// Bytes that wait for one consumer at most.
const READ_AHEAD: usize = 64 << 10;

/// A client with a small limit.
fn tight(server: &ScriptedServer) -> ResponsesClient {
    let limits = Limits::default().read_ahead(READ_AHEAD);
    builder(server, shared()).limits(limits).build().expect("a client")
}

/// A response of about `bytes` bytes before its last event.
fn long(bytes: usize) -> Turn {
    let delta = json!({ "type": "response.output_text.delta", "output_index": 0,
        "content_index": 0, "item_id": "msg_1", "delta": "x".repeat(900) });
    let mut turn = Turn::text("end");
    for _ in 0..bytes / 1024 {
        turn = turn.insert(4, Step::Stray(delta.clone()));
    }
    turn
}

/// A server whose answers to a number have about as many KiB.
fn of_lengths(gate: Gate) -> ScriptedServer {
    ScriptedServer::in_memory(Script::new().respond(move |exchange| {
        let text = asked(exchange);
        match text.parse::<usize>() {
            Ok(length) => long(length << 10).insert(2, Step::Gate(gate.clone())),
            Err(_) => answer(&text),
        }
    }))
}

#[tokio::test(start_paused = true)]
async fn c088_a_slow_stream_fails_beside_others_and_harms_none_of_them() {
    let gate = Gate::new();
    let server = of_lengths(gate.clone());
    let client = tight(&server);
    let (mut slow, mut fast) = (client.session(), client.session());
    let first = request(&["hello"]);
    let outcome = turn(&mut fast, &first).await;
    let unread = slow.stream(&request(&["4000"])).await.expect("a stream");
    let read_by = fast.stream(&appended(&first, &outcome, "500")).await.expect("a stream");
    assert_eq!(read_by.report().plan, incremental(1));
    gate.open();
    let start = Instant::now();
    let outcome = guarded(read(Ok(read_by))).await;
    assert_eq!(outcome.response().output_text(), "end");
    assert!(outcome.events.len() > 500);
    assert_eq!(start.elapsed().as_millis(), 0, "nobody waits for the slow one");
    settled(&server).await;
    let failed = guarded(read(Ok(unread))).await;
    assert_eq!(failed.error().kind(), ErrorKind::FellBehind);
    // The limit holds up to one frame.
    let got: usize = failed.events.iter().map(|event| event.raw().len()).sum();
    assert!(got <= READ_AHEAD + 2048, "{got}");
    let after = turn(&mut slow, &request(&["after"])).await;
    assert_eq!(after.response().output_text(), "answer to after");
}

#[tokio::test(start_paused = true)]
async fn c088_a_slow_stream_that_runs_alone_only_pauses_the_reading() {
    let gate = Gate::new();
    let server = of_lengths(gate.clone());
    let client = tight(&server);
    let (mut slow, mut idle) = (client.session(), client.session());
    turn(&mut idle, &request(&["hello"])).await;
    let unread = slow.stream(&request(&["4000"])).await.expect("a stream");
    gate.open();
    settled(&server).await;
    assert!(server.log().bytes_sent() < 1 << 20, "{}", server.log().bytes_sent());
    tokio::time::sleep(std::time::Duration::from_secs(3600)).await;
    let outcome = guarded(read(Ok(unread))).await;
    assert_eq!(outcome.response().output_text(), "end");
    assert!(outcome.events.len() > 4000);
    assert_eq!(server.log().connections.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn c088_a_response_that_was_read_to_its_end_is_kept_however_slow_its_stream() {
    let gate = Gate::new();
    let server = of_lengths(gate.clone());
    let client = tight(&server);
    let (mut slow, mut fast) = (client.session(), client.session());
    let unread = slow.stream(&request(&["40"])).await.expect("a stream");
    let other = fast.stream(&request(&["3000"])).await.expect("a stream");
    gate.open();
    assert_eq!(guarded(read(Ok(other))).await.response().output_text(), "end");
    settled(&server).await;
    for _ in 0..3 {
        turn(&mut fast, &request(&["more"])).await;
    }
    let outcome = guarded(read(Ok(unread))).await;
    assert_eq!(outcome.response().output_text(), "end");
}

#[tokio::test(start_paused = true)]
async fn c088_under_pressure_on_the_whole_socket_the_largest_backlog_fails() {
    // Each is below the limit of a stream. Together, they exceed four times the limit.
    let lengths = ["33", "52", "33", "33", "33", "33", "33"];
    let [gate, first, end] = [(); 3].map(|()| Gate::new());
    let (held, first_held, end_held) = (gate.clone(), first.clone(), end.clone());
    let server = ScriptedServer::in_memory(Script::new().respond(move |exchange| {
        let gate = |gate: &Gate| Step::Gate(gate.clone());
        match asked(exchange).as_str() {
            "52" => long(52 << 10).insert(2, gate(&first_held)).insert(5, gate(&end_held)),
            "33" => long(33 << 10).insert(2, gate(&held)).insert(5, gate(&end_held)),
            text => answer(text),
        }
    }));
    let client = tight(&server);
    let mut sessions: Vec<_> = lengths.iter().map(|_| client.session()).collect();
    let mut streams = Vec::new();
    for (session, length) in sessions.iter_mut().zip(lengths) {
        streams.push(session.stream(&request(&[length])).await.expect("a stream"));
    }
    first.open();
    settled(&server).await;
    gate.open();
    settled(&server).await;
    end.open();
    settled(&server).await;
    let mut results = Vec::new();
    for stream in streams {
        let outcome = guarded(read(Ok(stream))).await;
        results.push(
            outcome.result.map_err(|error| error.kind()).map(|it| it.output_text().to_owned()),
        );
    }
    let failed: Vec<_> = results.iter().map(Result::is_err).collect();
    assert_eq!(failed, [false, true, false, false, false, false, false], "{results:?}");
    assert_eq!(results[1], Err(ErrorKind::FellBehind));
    let after = turn(&mut client.session(), &request(&["after"])).await;
    assert_eq!(after.response().output_text(), "answer to after");
}
