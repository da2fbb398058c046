//! Requests that are lost on a socket directly after it opened: where the one resend goes.

use std::time::Duration;

use responses_client::{
    Delivery, ErrorKind, FallbackKind, ResponsesClient, Timeouts, Transport, TransportPolicy,
    testing::{Script, ScriptedServer, Step, Turn, Upgrade},
};
use tokio::time::Instant;

use crate::{
    fallback::{SSE, WEBSOCKET, answers, client, first_turn},
    support::{appended, builder, close, request, tried, turn},
};

#[tokio::test(start_paused = true)]
async fn c114_a_socket_that_opens_and_says_nothing_leads_to_sse_and_is_remembered_if_that_works() {
    let script = Script::new().respond(|exchange| match exchange.transport {
        Transport::WebSocket => Turn::steps([Step::Stall]),
        _ => Turn::text("an answer"),
    });
    let server = ScriptedServer::in_memory(script);
    let client = client(&server);
    let (first, elapsed) = first_turn(&client).await;
    assert_eq!(tried(&first), [(WEBSOCKET, Some(ErrorKind::Timeout)), (SSE, None)]);
    assert_eq!(elapsed.as_secs(), 60, "one time for the first event");
    assert_eq!(client.fallback().unwrap().kind, FallbackKind::Transient);
    let (second, elapsed) = first_turn(&client).await;
    assert_eq!((tried(&second), elapsed), (vec![(SSE, None)], Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn c114_silence_of_a_server_that_is_silent_over_sse_too_or_spoke_before_marks_nothing() {
    let server = ScriptedServer::in_memory(Script::new().respond(|_| Turn::steps([Step::Stall])));
    let mut timeouts = Timeouts::default();
    timeouts.first_event_sse = Some(Duration::from_secs(30));
    let silent = builder(&server).timeouts(timeouts).build().unwrap();
    let outcome = turn(&mut silent.session(), &request(&["one"])).await;
    assert!(outcome.error().is_timeout());
    assert_eq!((outcome.report.attempts.len(), silent.fallback()), (2, None));

    let script = answers().turn(Turn::text("spoken")).turn(Turn::steps([Step::Stall]));
    let server = ScriptedServer::in_memory(script);
    let client = client(&server);
    let mut session = client.session();
    turn(&mut session, &request(&["one"])).await.response();
    let outcome = turn(&mut session, &request(&["two"])).await;
    let expected = [(WEBSOCKET, Some(ErrorKind::Timeout)), (WEBSOCKET, None)];
    assert_eq!((tried(&outcome.report), client.fallback()), (expected.to_vec(), None));
}

#[tokio::test(start_paused = true)]
async fn c114_a_socket_that_is_closed_as_soon_as_it_is_open_leads_to_sse() {
    for code in [1000, 1001, 1011, 1013] {
        let script = answers().every_upgrade(Upgrade::CloseAfter { code });
        let server = ScriptedServer::in_memory(script);
        let client = client(&server);
        let (report, elapsed) = first_turn(&client).await;
        assert_eq!(report.attempts.last().unwrap().transport, SSE, "{code}");
        assert!(elapsed < Duration::from_secs(2), "{code} {elapsed:?}");
        assert_eq!(client.fallback().map(|it| it.kind), Some(FallbackKind::Transient), "{code}");
    }
}

/// A server whose WebSockets open, and which closes or resets each by `fault` when a create comes.
fn losing(fault: Step) -> ScriptedServer {
    ScriptedServer::in_memory(Script::new().respond(move |exchange| match exchange.transport {
        Transport::WebSocket => Turn::steps([fault.clone()]),
        _ => Turn::text("an answer"),
    }))
}

#[tokio::test(start_paused = true)]
async fn c156_a_gateway_that_opens_and_then_closes_costs_one_attempt_in_a_cool_down() {
    let after: Vec<(String, ScriptedServer)> = [1000, 1001, 1008, 1011, 1012, 1013, 4000, 4402]
        .into_iter()
        .map(|code| {
            let script = answers().every_upgrade(Upgrade::CloseAfter { code });
            (format!("right after the 101: {code}"), ScriptedServer::in_memory(script))
        })
        .collect();
    let closes = [1000, 1001, 1008, 1011, 1012, 1013, 4000, 4402].map(close);
    let bare = Step::Close { code: None, reason: String::new() };
    let each = closes.into_iter().chain([bare, Step::Reset, Step::End]);
    let each = each.map(|fault| (format!("each create: {fault:?}"), losing(fault)));
    for (what, server) in after.into_iter().chain(each) {
        let client = client(&server);
        let mut session = client.session();
        let mut asks = request(&["one"]);
        for round in 0..3 {
            let start = Instant::now();
            let outcome = turn(&mut session, &asks).await;
            assert_eq!(outcome.response().output_text(), "an answer", "{what} {round}");
            let transports: Vec<_> = tried(&outcome.report).iter().map(|it| it.0).collect();
            let expected: &[_] = if round == 0 { &[WEBSOCKET, SSE] } else { &[SSE] };
            assert_eq!(transports, expected, "{what} {round}");
            assert!(start.elapsed() < Duration::from_millis(300), "{what} {round}");
            asks = appended(&asks, &outcome, "more");
        }
        assert_eq!(client.fallback().map(|it| it.kind), Some(FallbackKind::Transient), "{what}");
        assert!(server.log().creates().count() <= 1, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn c156_what_sse_does_not_answer_either_marks_nothing() {
    let server =
        ScriptedServer::in_memory(Script::new().respond(|exchange| match exchange.transport {
            Transport::WebSocket => Turn::steps([close(1011)]),
            _ => Turn::error(400, "invalid_value", "no"),
        }));
    let client = client(&server);
    let outcome = turn(&mut client.session(), &request(&["one"])).await;
    assert_eq!((outcome.error().status(), client.fallback()), (Some(400), None));
}

#[tokio::test(start_paused = true)]
async fn c036_a_lost_create_goes_to_a_fresh_socket_where_sockets_of_the_origin_have_answered() {
    for code in [1000, 1001, 1006, 1011, 1012, 1013] {
        let fault = if code == 1006 { Step::Reset } else { close(code) };
        let turns = [Turn::text("a"), Turn::steps([fault])];
        let server = ScriptedServer::in_memory(answers().turns(turns));
        let client = client(&server);
        first_turn_says(&client, "a").await;
        // In another session of the client.
        let outcome = turn(&mut client.session(), &request(&["two"])).await;
        assert_eq!(outcome.response().output_text(), "an answer", "{code}");
        let transports: Vec<_> = tried(&outcome.report).iter().map(|it| it.0).collect();
        assert_eq!((transports, client.fallback()), (vec![WEBSOCKET; 2], None), "{code}");
    }
    for code in [1008, 4000, 4402, 4999] {
        let turns = [Turn::text("a"), Turn::steps([close(code)])];
        let server = ScriptedServer::in_memory(answers().turns(turns));
        let client = client(&server);
        first_turn_says(&client, "a").await;
        let outcome = turn(&mut client.session(), &request(&["two"])).await;
        let transports: Vec<_> = tried(&outcome.report).iter().map(|it| it.0).collect();
        assert_eq!(transports, [WEBSOCKET, SSE], "{code}: never a socket");
    }
}

async fn first_turn_says(client: &ResponsesClient, text: &str) {
    let outcome = turn(&mut client.session(), &request(&["one"])).await;
    assert_eq!(outcome.response().output_text(), text);
}

#[tokio::test(start_paused = true)]
async fn c036_sockets_that_lose_two_creates_in_a_row_are_not_trusted_any_more() {
    let answered = std::sync::atomic::AtomicBool::new(false);
    let server = ScriptedServer::in_memory(Script::new().respond(move |exchange| {
        let first = !answered.swap(true, std::sync::atomic::Ordering::Relaxed);
        match exchange.transport {
            Transport::WebSocket if !first => Turn::steps([close(1011)]),
            _ => Turn::text("an answer"),
        }
    }));
    let client = client(&server);
    first_turn_says(&client, "an answer").await;
    // The one resend is spent on another socket.
    let lost = turn(&mut client.session(), &request(&["one"])).await;
    assert_eq!(lost.error().delivery(), Delivery::Unknown);
    assert_eq!((lost.report.attempts.len(), client.fallback()), (2, None));
    let (report, _) = first_turn(&client).await;
    let transports: Vec<_> = tried(&report).iter().map(|it| it.0).collect();
    assert_eq!(transports, [WEBSOCKET, SSE]);
    assert_eq!(tried(&first_turn(&client).await.0), [(SSE, None)], "it is marked");
    // What did not run may be sent more often, so that the same turn gets there.
    let busy = ScriptedServer::in_memory(Script::new().turn(Turn::text("an answer")).respond(
        |exchange| match exchange.transport {
            Transport::WebSocket => Turn::steps([close(1013)]),
            _ => Turn::text("an answer"),
        },
    ));
    let client = self::client(&busy);
    first_turn(&client).await;
    let (report, _) = first_turn(&client).await;
    let transports: Vec<_> = tried(&report).iter().map(|it| it.0).collect();
    assert_eq!(transports, [WEBSOCKET, WEBSOCKET, SSE]);
}

#[tokio::test(start_paused = true)]
async fn c036_under_websocket_only_there_is_one_fresh_socket_and_then_the_error() {
    for fault in [close(1000), close(1011), Step::Reset, Step::End] {
        let server = losing(fault.clone());
        let only = builder(&server).transport(TransportPolicy::WebSocketOnly).build().unwrap();
        let outcome = turn(&mut only.session(), &request(&["one"])).await;
        assert_eq!(outcome.error().delivery(), Delivery::Unknown, "{fault:?}");
        let log = server.log();
        assert_eq!((log.requests.len(), log.websockets().count()), (2, 2), "{fault:?}");
        assert_eq!(only.fallback(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn c156_metadata_is_no_answer_of_a_socket() {
    let server = ScriptedServer::in_memory(Script::new().respond(|exchange| {
        let limits = Step::Event(serde_json::json!({"type": "codex.rate_limits"}));
        match exchange.transport {
            Transport::WebSocket => Turn::steps([limits, close(1011)]),
            _ => Turn::text("an answer"),
        }
    }));
    let client = client(&server);
    first_turn(&client).await;
    assert_eq!(tried(&first_turn(&client).await.0), [(SSE, None)]);
}
