//! Each phase of a turn has a time of its own, and each can be turned off.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use responses_client::{
    Delivery, ErrorKind, Phase, Provider, ReplayPolicy, ResponsesClient, ResponsesRequest,
    ResponsesSession, RetryPolicy, Timeouts,
    Transport::{self, Sse, WebSocket},
    report::{FullSendReason, Prewarm, PrewarmFailure},
    testing::{Refusal, Script, ScriptedServer, Step, Turn, Upgrade},
};
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::Notify,
    task::JoinHandle,
    time::Instant,
};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{BOTH, Outcome, builder, full, guarded, only, request, turn};

/// The time of each phase here; what takes a second less survives, and a second more does not.
const LIMIT: Duration = Duration::from_secs(50);
const INSTANT: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A phase with a time of its own.
struct Row {
    name: &'static str,
    transport: Transport,
    /// Sets its time, or turns it off; all others are off.
    set: fn(&mut Timeouts, Option<Duration>),
    /// A server that takes so long over it, and not for anything else.
    script: fn(Duration) -> Script,
    /// Where the error stands, and how far the request got by then.
    phase: Phase,
    delivery: Delivery,
}

fn off() -> Timeouts {
    let mut timeouts = Timeouts::default();
    timeouts.connect = None;
    timeouts.send = None;
    timeouts.first_event_websocket = None;
    timeouts.first_event_sse = None;
    timeouts.between_events_websocket = None;
    timeouts.between_events_sse = None;
    timeouts.ping = None;
    timeouts.pong = None;
    timeouts.prewarm = None;
    timeouts.turn = None;
    timeouts
}

fn rows() -> Vec<Row> {
    let first = |time| Script::new().turn(Turn::text("hi").first(Step::Delay(time)));
    let later = |time| Script::new().turn(Turn::text("hi").insert(5, Step::Delay(time)));
    let many = |time: Duration| {
        let wait = |turn: Turn, at| turn.insert(at, Step::Delay(time / 5));
        Script::new().turn([6, 5, 4, 3, 2].into_iter().fold(Turn::text("hi"), wait))
    };
    let connects = |time| Script::new().upgrade(Upgrade::Delay(time)).turn(Turn::text("hi"));
    let head = |time| {
        let answer = Refusal::status(200).header("content-type", "text/event-stream");
        let body = "data: {\"type\":\"response.completed\",\"response\":{\"id\":\"r\",\
            \"status\":\"completed\"}}\n\n";
        Script::new().turn(Turn::text("").http(answer.body(body).delay(time)))
    };
    let row = |name, transport, set, script, phase, delivery| Row {
        name,
        transport,
        set,
        script,
        phase,
        delivery,
    };
    let (accepted, output) = (Delivery::Accepted, Delivery::OutputStarted);
    vec![
        row(
            "connect",
            WebSocket,
            |it, time| it.connect = time,
            connects,
            Phase::Connect,
            Delivery::NotSent,
        ),
        row(
            "first event",
            WebSocket,
            |it, time| it.first_event_websocket = time,
            first,
            Phase::FirstEvent,
            Delivery::Unknown,
        ),
        row(
            "first event",
            Sse,
            |it, time| it.first_event_sse = time,
            first,
            Phase::FirstEvent,
            Delivery::Unknown,
        ),
        row(
            "first event, and no head",
            Sse,
            |it, time| it.first_event_sse = time,
            head,
            Phase::FirstEvent,
            Delivery::Unknown,
        ),
        row(
            "between events",
            WebSocket,
            |it, time| it.between_events_websocket = time,
            later,
            Phase::Events,
            output,
        ),
        row(
            "between events",
            Sse,
            |it, time| it.between_events_sse = time,
            later,
            Phase::Events,
            output,
        ),
        row(
            "turn, before it begins",
            WebSocket,
            |it, time| it.turn = time,
            connects,
            Phase::Connect,
            Delivery::NotSent,
        ),
        row(
            "turn, before an event",
            WebSocket,
            |it, time| it.turn = time,
            first,
            Phase::FirstEvent,
            Delivery::Unknown,
        ),
        row(
            "turn, before an event",
            Sse,
            |it, time| it.turn = time,
            first,
            Phase::FirstEvent,
            Delivery::Unknown,
        ),
        row("turn", WebSocket, |it, time| it.turn = time, many, Phase::Events, output),
        row("turn", Sse, |it, time| it.turn = time, many, Phase::Events, output),
        row(
            "between events, after created",
            WebSocket,
            |it, time| it.between_events_websocket = time,
            |time| Script::new().turn(Turn::text("hi").insert(2, Step::Delay(time))),
            Phase::Events,
            accepted,
        ),
        row(
            "between events, after created",
            Sse,
            |it, time| it.between_events_sse = time,
            |time| Script::new().turn(Turn::text("hi").insert(2, Step::Delay(time))),
            Phase::Events,
            accepted,
        ),
    ]
}

fn client(server: &ScriptedServer, transport: Transport, timeouts: Timeouts) -> ResponsesClient {
    let mut retry = RetryPolicy::default();
    retry.max_attempts = 1;
    retry.replay = ReplayPolicy::Never;
    let client = builder(server).transport(only(transport)).timeouts(timeouts).retry(retry);
    client.build().expect("a client")
}

/// What comes of a turn, and the time it takes.
async fn timed(transport: Transport, script: Script, timeouts: Timeouts) -> (Outcome, Duration) {
    let server = ScriptedServer::in_memory(script);
    let mut session = client(&server, transport, timeouts).session();
    let start = Instant::now();
    let outcome = turn(&mut session, &request(&["hi"])).await;
    (outcome, start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn c093_each_phase_ends_at_its_time_and_not_before_and_can_be_off() {
    for Row { name, transport, set, script, phase, delivery } in rows() {
        let mut timeouts = off();
        set(&mut timeouts, Some(LIMIT));
        let at = format!("{name} over {transport}");

        let (outcome, elapsed) = timed(transport, script(LIMIT + SECOND), timeouts).await;
        let error = outcome.error();
        assert_eq!((error.kind(), error.phase()), (ErrorKind::Timeout, phase), "{at}");
        assert_eq!(error.delivery(), delivery, "{at}");
        assert_eq!(elapsed.as_secs(), LIMIT.as_secs(), "{at}");

        let (outcome, elapsed) = timed(transport, script(LIMIT - SECOND), timeouts).await;
        outcome.response();
        assert_eq!(elapsed.as_secs(), (LIMIT - SECOND).as_secs(), "{at}");

        let (outcome, elapsed) = timed(transport, script(DAY), off()).await;
        outcome.response();
        assert_eq!(elapsed.as_secs(), DAY.as_secs(), "{at}");
    }
}

#[tokio::test(start_paused = true)]
async fn c093_a_ping_and_its_answer_have_a_time_each() {
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    for (ping, pong, found) in [
        (seconds(50), seconds(10), seconds(60)),
        (seconds(5), seconds(3), seconds(8)),
        (None, seconds(3), None),
        (seconds(5), None, None),
    ] {
        let mut timeouts = off();
        (timeouts.ping, timeouts.pong, timeouts.turn) = (ping, pong, Some(DAY));
        let dead = Script::new().turn(Turn::text("hi").insert(4, Step::Freeze));
        let (outcome, elapsed) = timed(WebSocket, dead, timeouts).await;
        let error = outcome.error();
        assert_eq!((error.kind(), error.phase()), (ErrorKind::Timeout, Phase::Events));
        assert_eq!(elapsed, found.unwrap_or(DAY), "{ping:?} {pong:?}");

        // It is silent as long, and answers.
        let alive = Script::new().turn(Turn::text("hi").insert(4, Step::Delay(DAY - SECOND)));
        timed(WebSocket, alive, timeouts).await.0.response();
    }
}

#[tokio::test(start_paused = true)]
async fn c093_a_warm_up_is_waited_for_as_long_as_it_may_take() {
    let inside = LIMIT - SECOND;
    for (limit, takes, waits, prewarm) in [
        (Some(LIMIT), LIMIT + SECOND, LIMIT, Prewarm::Failed(PrewarmFailure::TimedOut)),
        (Some(LIMIT), inside, inside, Prewarm::Warmed),
        // Longer than that by far, but no more than a connection may last.
        (None, 40 * LIMIT, 40 * LIMIT, Prewarm::Warmed),
    ] {
        let warm = Turn::output([]).first(Step::Delay(takes));
        let script = Script::new().ignore_generate().turn(warm).turn(Turn::text("hi"));
        let server = ScriptedServer::in_memory(script);
        let mut timeouts = off();
        timeouts.prewarm = limit;
        let mut session = client(&server, WebSocket, timeouts).session();
        session.prewarm(request(&["hi"])).expect("a runtime");
        let start = Instant::now();
        let outcome = turn(&mut session, &request(&["hi"])).await;
        outcome.response();
        assert_eq!(outcome.report.prewarm, Some(prewarm));
        assert_eq!(start.elapsed().as_secs(), waits.as_secs(), "{limit:?}");
    }
}

/// A server that takes one WebSocket, and reads nothing of it before the gate is open. Paused time
/// would run ahead of its socket, so that the limits here are hit at once or never.
struct LateReader {
    url: String,
    /// Told when the request begins to come.
    begun: Arc<Notify>,
    gate: Arc<Notify>,
    /// Whether it was told goodbye.
    end: JoinHandle<bool>,
}

impl LateReader {
    fn start() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(64 << 10).expect("a small buffer");
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a port");
        let listener = socket.listen(1).expect("a listener");
        let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
        let (begun, gate) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let end = tokio::spawn(read_late(listener, Arc::clone(&begun), Arc::clone(&gate)));
        Self { url, begun, gate, end }
    }
}

async fn read_late(listener: TcpListener, begun: Arc<Notify>, gate: Arc<Notify>) -> bool {
    let (stream, _) = listener.accept().await.expect("a connection");
    let mut socket = tokio_tungstenite::accept_async(stream).await.expect("an upgrade");
    socket.get_ref().peek(&mut [0]).await.expect("a byte");
    begun.notify_one();
    gate.notified().await;
    while let Some(Ok(message)) = socket.next().await {
        match message {
            Message::Close(_) => return true,
            Message::Text(_) => {
                let done =
                    r#"{"type":"response.completed","response":{"id":"r","status":"completed"}}"#;
                socket.send(Message::text(done)).await.expect("it is open");
            }
            _ => {}
        }
    }
    false
}

fn session_at(url: &str, timeouts: Timeouts) -> ResponsesSession {
    let provider = Provider::compatible(url).expect("a URL");
    let client =
        ResponsesClient::builder().provider(provider).transport(only(WebSocket)).timeouts(timeouts);
    let mut retry = RetryPolicy::default();
    retry.replay = ReplayPolicy::Never;
    client.retry(retry).build().expect("a client").session()
}

/// More than the buffers of a socket hold.
fn large() -> ResponsesRequest {
    request(&[&"x".repeat(8 << 20)])
}

#[tokio::test]
async fn c093_sending_ends_at_its_time_and_can_be_off() {
    let large = large();
    for (limit, opens) in [(Some(INSTANT), false), (Some(DAY), true), (None, true)] {
        let server = LateReader::start();
        let mut timeouts = off();
        timeouts.send = limit;
        let mut session = session_at(&server.url, timeouts);
        let open = async {
            server.begun.notified().await;
            if opens {
                server.gate.notify_one();
            }
        };
        let (outcome, ()) = guarded(async { tokio::join!(turn(&mut session, &large), open) }).await;
        if opens {
            outcome.response();
        } else {
            let error = outcome.error();
            assert_eq!((error.kind(), error.phase()), (ErrorKind::Timeout, Phase::Send));
            assert_eq!(error.delivery(), Delivery::Unknown);
        }
        server.end.abort();
    }
}

#[tokio::test]
async fn c093_closing_ends_at_its_time() {
    let large = large();
    for (limit, polite) in [(INSTANT, false), (DAY, true)] {
        let server = LateReader::start();
        let mut timeouts = off();
        timeouts.close = limit;
        let mut session = session_at(&server.url, timeouts);
        // The Close frame stands behind a request that nobody reads.
        tokio::select! {
            _ = session.stream(&large) => panic!("nobody reads it"),
            () = server.begun.notified() => {}
        }
        if polite {
            let open = async { server.gate.notify_one() };
            guarded(async { tokio::join!(session.close(), open) }).await;
        } else {
            guarded(session.close()).await;
            server.gate.notify_one();
        }
        assert_eq!(guarded(server.end).await.expect("no panic"), polite);
    }
}

#[tokio::test(start_paused = true)]
async fn c097_after_a_timeout_the_connection_is_left_and_the_session_goes_on() {
    for transport in BOTH {
        for at in [0, 1, 6] {
            for close in [false, true] {
                let silent = Turn::text("a text of some length").cut_after(at, Step::Stall);
                let server =
                    ScriptedServer::in_memory(Script::new().turn(silent).turn(Turn::text("hi")));
                let mut timeouts = Timeouts::default();
                timeouts.first_event_websocket = Some(LIMIT);
                timeouts.first_event_sse = Some(LIMIT);
                timeouts.between_events_websocket = Some(LIMIT);
                timeouts.between_events_sse = Some(LIMIT);
                let mut session = client(&server, transport, timeouts).session();
                let outcome = turn(&mut session, &request(&["one"])).await;
                assert!(outcome.error().is_timeout(), "{transport}");
                // Before anything else is asked of it.
                let start = Instant::now();
                guarded(server.wait_for(|log| log.connections[0].closed)).await;
                if close {
                    guarded(session.close()).await;
                    assert!(start.elapsed() <= Timeouts::default().close, "{transport} {at}");
                    continue;
                }
                let next = turn(&mut session, &request(&["one", "two"])).await;
                assert_eq!(next.response().output_text(), "hi", "{transport} {at}");
                assert_eq!(next.report.plan, full(FullSendReason::PriorNotCompleted));
                assert_eq!(next.report.attempts.len(), 1);
                assert_eq!(server.log().requests[1].connection, 1, "{transport} {at}");
                assert!(start.elapsed() <= Timeouts::default().close, "{transport} {at}");
            }
        }
    }
}
