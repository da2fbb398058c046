//! Backpressure: bounded read-ahead, and consumers that are slow, cancel their waits or never read.

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use responses_client::{
    ErrorKind, Limits, ResponseStream, ResponsesSession, Timeouts, Transport,
    error::ProtocolError,
    event::ResponseEvent,
    testing::{Script, ScriptedServer, Step, Turn},
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::support::{BOTH, builder, close, guarded, only, request, settled, turn};

/// What the pipe of an in-memory connection (256 KiB) and the buffers at its ends hold at most;
/// hyper's grows to some 400 KiB.
fn on_the_way(transport: Transport) -> u64 {
    match transport {
        Transport::WebSocket => 320 << 10,
        _ => 720 << 10,
    }
}

fn session(
    server: &ScriptedServer,
    transport: Transport,
    set: impl Fn(&mut Limits),
) -> ResponsesSession {
    let mut limits = Limits::default();
    set(&mut limits);
    let client = builder(server).transport(only(transport)).limits(limits);
    client.build().expect("a client").session()
}

fn created() -> Value {
    json!({ "type": "response.created", "response": { "id": "resp_1", "status": "in_progress" } })
}

fn delta(text: &str) -> Value {
    json!({ "type": "response.output_text.delta", "output_index": 0, "content_index": 0,
        "delta": text })
}

fn completed() -> Value {
    json!({ "type": "response.completed", "response": { "id": "resp_1", "status": "completed" } })
}

/// `count` deltas of about `size` bytes in a whole response.
fn long(count: usize, size: usize) -> Turn {
    let deltas = std::iter::repeat_n(delta(&"x".repeat(size)), count);
    Turn::events([created()].into_iter().chain(deltas).chain([completed()]))
}

/// A script whose events have their size on the connection, too.
fn uncompressed(turn: Turn) -> Script {
    Script::new().turn(turn).deflate(None)
}

async fn rest(stream: &mut ResponseStream) -> Vec<ResponseEvent> {
    let mut events = Vec::new();
    while let Some(event) = guarded(stream.try_next()).await.expect("no error") {
        events.push(event);
    }
    events
}

/// Waits for the next event again and again, and each time for too short a time, in every way in
/// which a wait is cancelled.
async fn next_by_cancelled_waits(
    stream: &mut ResponseStream,
) -> Option<Result<ResponseEvent, ErrorKind>> {
    let kind = |result: Result<Option<ResponseEvent>, responses_client::Error>| {
        result.map_err(|error| error.kind()).transpose()
    };
    loop {
        {
            let mut waiting = pin!(stream.try_next());
            let mut cx = Context::from_waker(Waker::noop());
            if let Poll::Ready(result) = waiting.as_mut().poll(&mut cx) {
                return kind(result);
            }
        }
        if let Ok(result) = timeout(Duration::ZERO, stream.try_next()).await {
            return kind(result);
        }
        tokio::select! {
            biased;
            () = tokio::task::yield_now() => {}
            result = stream.try_next() => return kind(result),
        }
        tokio::select! {
            result = stream.try_next() => return kind(result),
            () = sleep(Duration::from_millis(400)) => {}
        }
    }
}

/// The steps of a transcript, with a second of silence before each event but the first.
fn slowly(transcript: &str) -> Turn {
    let mut steps = Vec::new();
    for line in transcript.lines() {
        if !steps.is_empty() {
            steps.push(Step::Delay(Duration::from_secs(1)));
        }
        steps.push(Step::Text(line.to_owned()));
    }
    Turn::steps(steps)
}

#[tokio::test(start_paused = true)]
async fn c065_a_cancelled_wait_loses_no_event() {
    let transcript = include_str!("../fixtures/reasoning_call.jsonl");
    for transport in BOTH {
        // Whether the events are there before they are asked for, or come while they are.
        for slow in [true, false] {
            let script = if slow { slowly(transcript) } else { Turn::jsonl(transcript) };
            let server = ScriptedServer::in_memory(Script::new().turn(script));
            let mut session = session(&server, transport, |_| {});
            let mut stream = session.stream(request(&["hi"])).await.expect("a stream");
            let mut raws = Vec::new();
            while let Some(next) = next_by_cancelled_waits(&mut stream).await {
                raws.push(next.expect("no error").raw().to_owned());
            }
            let lines: Vec<&str> = transcript.lines().collect();
            assert_eq!(raws, lines, "{transport} {slow}");
            assert_eq!(stream.report().events, lines.len() as u64);
            let response = stream.final_response().await.expect("a response");
            assert_eq!(response.function_calls().len(), 1, "{transport}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c065_nor_does_it_lose_the_error_or_the_attempt_that_is_being_made() {
    for transport in BOTH {
        let refused = Turn::failed([], "server_is_overloaded", "busy");
        let late = Turn::text("at last").delay(Duration::from_secs(3)).cut_after(6, Step::Reset);
        let server = ScriptedServer::in_memory(Script::new().turns([refused, late]));
        let mut session = session(&server, transport, |_| {});
        let mut stream = session.stream(request(&["hi"])).await.expect("a stream");
        let mut kinds = Vec::new();
        let error = loop {
            match next_by_cancelled_waits(&mut stream).await {
                Some(Ok(event)) => kinds.push(event.kind().as_str()),
                Some(Err(kind)) => break kind,
                None => panic!("no end without a word"),
            }
        };
        assert_eq!(error, ErrorKind::Truncated, "{transport}");
        assert!(next_by_cancelled_waits(&mut stream).await.is_none());
        assert_eq!(kinds.iter().filter(|kind| **kind == "response.created").count(), 1);
        // Of both attempts, without what the second says again of its beginning.
        assert_eq!((kinds.len(), stream.report().attempts.len()), (6, 2), "{transport}: {kinds:?}");
        assert_eq!(server.log().requests.len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn c089_a_consumer_that_comes_when_all_has_arrived_gets_all_of_it() {
    for transport in BOTH {
        for read_ahead in [1, 4 << 10, 8 << 20] {
            for end in
                [None, Some(close(1000)), Some(close(1011)), Some(Step::End), Some(Step::Reset)]
            {
                let turn = end.iter().cloned().fold(long(200, 100), Turn::then);
                let server = ScriptedServer::in_memory(Script::new().turn(turn));
                let mut session = session(&server, transport, |it| it.read_ahead = read_ahead);
                let mut stream = session.stream(request(&["hi"])).await.expect("a stream");
                settled(&server).await;
                assert!(server.log().requests[0].finished);
                let events = rest(&mut stream).await;
                let what = format!("{transport} {read_ahead} {end:?}");
                assert_eq!(events.len(), 202, "{what}");
                assert!(matches!(events.last(), Some(ResponseEvent::Completed(_))), "{what}");
                let text: usize = events.iter().filter_map(|e| e.text_delta()).map(str::len).sum();
                assert_eq!(text, 200 * 100, "{what}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c089_what_goes_beyond_a_limit_ends_the_turn_and_keeps_what_came() {
    for transport in BOTH {
        // One event above its limit, behind others that were not read yet.
        for (size, whole) in [(2000, false), (500, true)] {
            let events = [created(), delta("one "), delta(&"x".repeat(size)), completed()];
            let server = ScriptedServer::in_memory(Script::new().turn(Turn::events(events)));
            let mut session = session(&server, transport, |it| it.max_event_bytes = 1000);
            let mut stream = session.stream(request(&["hi"])).await.expect("a stream");
            settled(&server).await;
            if whole {
                assert_eq!(rest(&mut stream).await.len(), 4, "{transport}");
                continue;
            }
            for _ in 0..2 {
                assert!(stream.try_next().await.expect("no error yet").is_some());
            }
            let error = stream.try_next().await.expect_err("it is too large");
            assert_eq!(error.kind(), ErrorKind::TooLarge, "{transport}");
            assert_eq!(error.response().expect("what came").output_text(), "one ");
            assert!(matches!(stream.try_next().await, Ok(None)));
        }
        // Metadata without end before the response begins.
        for (count, whole) in [(20, false), (5, true)] {
            let keepalive = json!({ "type": "keepalive", "padding": "x".repeat(100) });
            let metadata = std::iter::repeat_n(keepalive, count);
            let events = metadata.chain([created(), completed()]);
            let server = ScriptedServer::in_memory(Script::new().turn(Turn::events(events)));
            let mut session = session(&server, transport, |it| it.read_ahead = 2000);
            let outcome = turn(&mut session, &request(&["hi"])).await;
            if whole {
                assert_eq!(outcome.events.len(), count + 2, "{transport}");
            } else {
                assert_eq!(outcome.error().kind(), ErrorKind::TooLarge, "{transport}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c090_pings_are_answered_while_the_consumer_is_slow() {
    let pinged = (0..10).fold(long(100, 1000), |turn, n| {
        turn.insert(5 + 10 * n, Step::Ping(Bytes::from_static(b"p")))
    });
    let server = ScriptedServer::in_memory(Script::new().turn(pinged.then(Step::Stall)));
    let mut session = session(&server, Transport::WebSocket, |it| it.read_ahead = 20 << 10);
    let mut stream = session.stream(request(&["hi"])).await.expect("a stream");
    let mut answered = Vec::new();
    // Whatever the consumer leaves in the queue, what fits below the limit is read.
    for taken in 0..102_usize {
        settled(&server).await;
        let pongs = server.log().connections[0].pongs;
        // Behind how many events each ping stands, and behind how many there is room to read on.
        let reached = taken + 16;
        let due = (0..10).filter(|n| 5 + 10 * n <= reached).count();
        assert!(pongs >= due, "{taken}: {pongs} of {due}");
        answered.push(pongs);
        stream.try_next().await.expect("no error").expect("an event");
    }
    assert!(answered[0] < 10 && answered[101] == 10, "the limit held some of them back");
}

#[tokio::test(start_paused = true)]
async fn c090_a_session_is_closed_while_its_buffers_are_full() {
    for transport in BOTH {
        for drops in [false, true] {
            let server = ScriptedServer::in_memory(uncompressed(long(2000, 1000)));
            let mut session = session(&server, transport, |it| it.read_ahead = 1);
            let mut stream = session.stream(request(&["hi"])).await.expect("a stream");
            settled(&server).await;
            assert!(!server.log().requests[0].finished, "it is held back");
            let start = Instant::now();
            let close = Timeouts::default().close;
            if drops {
                drop(stream);
                drop(session);
            } else {
                guarded(session.close()).await;
                assert!(start.elapsed() <= close, "{transport}");
                let error = stream.try_next().await.expect_err("it was closed");
                assert_eq!(error.kind(), ErrorKind::SessionClosed);
            }
            guarded(server.wait_for(|log| log.connections[0].closed)).await;
            assert!(start.elapsed() <= close, "{transport} {drops}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c092_what_is_read_ahead_is_bounded_in_bytes() {
    for (transport, read_ahead) in [
        (Transport::WebSocket, 1),
        (Transport::WebSocket, 64 << 10),
        (Transport::WebSocket, 1 << 20),
        // Nothing is read ahead of the consumer there.
        (Transport::Sse, 8 << 20),
    ] {
        let event = 32 << 10;
        let server = ScriptedServer::in_memory(uncompressed(long(128, event)));
        let mut session = session(&server, transport, |it| it.read_ahead = read_ahead);
        let mut stream = session.stream(request(&["hi"])).await.expect("a stream");
        let ahead = if transport == Transport::WebSocket { read_ahead } else { 0 };
        // Once nobody reads at all, and then again when something was read.
        let mut taken = 0;
        for reads in [0, 40] {
            for _ in 0..reads {
                let event = stream.try_next().await.expect("no error").expect("an event");
                taken += event.raw().len();
            }
            settled(&server).await;
            let sent = server.log().connections[0].bytes_sent;
            let most = (taken + ahead + event) as u64 + on_the_way(transport);
            assert!(sent <= most, "{transport} {read_ahead}: {sent} of {most}");
            assert!(sent >= (taken + ahead) as u64, "it is read ahead as far as that: {sent}");
            assert!(!server.log().requests[0].finished);
        }
        assert_eq!(rest(&mut stream).await.len(), 130 - 40, "{transport}");
    }
}

#[tokio::test(start_paused = true)]
async fn c092_decoding_does_not_run_ahead_of_the_consumer() {
    for transport in BOTH {
        // All of it is there, and so is what cannot be read.
        let deltas = (0..100).map(|n| delta(&format!("{n} ")));
        let corrupt = json!({ "type": "response.output_text.delta", "output_index": 0 });
        let events = [created()].into_iter().chain(deltas).chain([corrupt, completed()]);
        let server = ScriptedServer::in_memory(Script::new().turn(Turn::events(events)));
        let mut session = session(&server, transport, |_| {});
        let mut stream = session.stream(request(&["hi"])).await.expect("a stream");
        settled(&server).await;
        let (mut text, mut bytes) = (String::new(), 0);
        for taken in 1..=101 {
            let event = stream.try_next().await.expect("not reached yet").expect("an event");
            text += event.text_delta().unwrap_or_default();
            bytes += event.raw().len() as u64;
            // What is known is what was handed out.
            assert_eq!(stream.response().output_text(), text, "{transport}");
            let report = stream.report();
            assert_eq!((report.events, report.bytes_received), (taken, bytes), "{transport}");
            assert!(!stream.response().is_finished());
        }
        let error = stream.try_next().await.expect_err("it cannot be read");
        let source = std::error::Error::source(&error).expect("a cause");
        assert!(
            matches!(source.downcast_ref(), Some(ProtocolError::Event { event, .. }) if event.contains("delta")),
            "{source:?}"
        );
        assert_eq!(error.response().expect("what came").output_text(), text);
    }
}

#[tokio::test(start_paused = true)]
async fn c116_a_slow_reader_costs_bounded_memory_and_loses_nothing() {
    for transport in BOTH {
        let pinged = (0..10).fold(long(1000, 4000), |turn, n| {
            turn.insert(50 + 100 * n, Step::Ping(Bytes::from_static(b"p")))
        });
        let server = ScriptedServer::in_memory(Script::new().turn(pinged));
        let read_ahead = 64 << 10;
        let mut session = session(&server, transport, |it| it.read_ahead = read_ahead);
        let mut stream = session.stream(request(&["hi"])).await.expect("a stream");
        let (mut taken, mut last) = (0, None);
        while let Some(event) = guarded(stream.try_next()).await.expect("no error") {
            taken += event.raw().len() as u64;
            last = Some(event);
            sleep(Duration::from_millis(100)).await;
            let sent = server.log().connections[0].bytes_sent;
            assert!(
                sent <= taken + taken / 10 + read_ahead as u64 + on_the_way(transport),
                "{transport}"
            );
        }
        assert!(matches!(last, Some(ResponseEvent::Completed(_))), "{transport}");
        if transport == Transport::WebSocket {
            assert_eq!(server.log().connections[0].pongs, 10);
        }
        assert!(taken > 4_000_000);
    }
}
