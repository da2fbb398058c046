//! Fallback to SSE: upgrades that are refused or hang, and the memory of the origin.

use std::time::Duration;

use responses_client::{
    DeflatePolicy, Delivery, ErrorKind, FallbackKind, Phase, Provider, ResponsesClient,
    ResponsesSession, RetryPolicy, Timeouts, Transport, TransportPolicy,
    error::ErrorCode,
    report::TurnReport,
    testing::{Refusal, Script, ScriptedServer, Step, Turn, Upgrade},
};
use tokio::time::{Instant, advance};

use crate::support::{
    appended, builder, incremental, request, server, settled, socket_client, tried, turn,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

const COOL_DOWN: Duration = Duration::from_secs(60);

const UNSUPPORTED: Duration = Duration::from_secs(600);

const MOMENT: Duration = Duration::from_millis(1);

/// Refuses every upgrade with `status`, and answers every POST.
fn refusing(status: u16) -> ScriptedServer {
    let upgrade = Upgrade::Refuse(Refusal::status(status));
    ScriptedServer::in_memory(answers().every_upgrade(upgrade))
}

pub(crate) fn answers() -> Script {
    Script::new().respond(|_| Turn::text("an answer"))
}

pub(crate) fn client(server: &ScriptedServer) -> ResponsesClient {
    builder(server).build().unwrap()
}

fn attempts(number: u32) -> RetryPolicy {
    let mut retry = RetryPolicy::default();
    retry.max_attempts = number;
    retry
}

/// A turn that goes well in a session of its own; how it went, and how long it took.
pub(crate) async fn first_turn(client: &ResponsesClient) -> (TurnReport, Duration) {
    let start = Instant::now();
    let outcome = turn(&mut client.session(), &request(&["one"])).await;
    assert_eq!(outcome.response().output_text(), "an answer");
    (outcome.report, start.elapsed())
}

const REFUSED_THEN_SSE: [(Transport, Option<ErrorKind>); 2] =
    [(Transport::WebSocket, Some(ErrorKind::UpgradeRefused)), (Transport::Sse, None)];

#[tokio::test]
async fn c030_an_upgrade_answered_426_goes_over_sse() {
    let upgrade = Upgrade::Refuse(Refusal::error(426, "upgrade_required", "no"));
    let server = server(answers().every_upgrade(upgrade)).await;
    let (report, _) = first_turn(&socket_client(&server, TransportPolicy::Auto)).await;
    assert_eq!(tried(&report), REFUSED_THEN_SSE);
    assert_eq!(report.transport, Some(Transport::Sse));
    let log = server.log();
    assert_eq!((log.upgrades_refused, log.posts().count(), log.requests.len()), (1, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn c030_it_costs_neither_time_nor_a_retry() {
    let server = refusing(426);
    let client = builder(&server).retry(attempts(1)).build().unwrap();
    let (report, elapsed) = first_turn(&client).await;
    assert_eq!((tried(&report).len(), elapsed), (2, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn c031_what_says_that_there_is_no_websocket_marks_the_origin() {
    let html = Refusal::status(200).header("content-type", "text/html").body("<html></html>");
    let moved = Refusal::status(301).header("location", "https://elsewhere.example/");
    let statuses = [404, 405, 426, 501].map(Refusal::status);
    for refusal in statuses.into_iter().chain([Refusal::status(200), html, moved]) {
        let script = answers().every_upgrade(Upgrade::Refuse(refusal.clone()));
        let server = ScriptedServer::in_memory(script);
        let client = client(&server);
        let (first, elapsed) = first_turn(&client).await;
        assert_eq!(tried(&first), REFUSED_THEN_SSE, "{refusal:?}");
        assert_eq!(elapsed, Duration::ZERO, "{refusal:?}");
        let (second, _) = first_turn(&client).await;
        assert_eq!(tried(&second), [(Transport::Sse, None)], "{refusal:?}");
        assert_eq!(server.log().upgrades_refused, 1, "{refusal:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn c031_the_mark_holds_for_ten_minutes_and_then_one_turn_probes() {
    let server = refusing(404);
    let client = client(&server);
    first_turn(&client).await;
    advance(UNSUPPORTED - MOMENT).await;
    first_turn(&client).await;
    assert_eq!(server.log().upgrades_refused, 1);
    advance(MOMENT).await;
    assert_eq!(tried(&first_turn(&client).await.0), REFUSED_THEN_SSE);
    first_turn(&client).await;
    assert_eq!(server.log().upgrades_refused, 2);
}

#[tokio::test(start_paused = true)]
async fn c031_marks_are_those_of_one_client() {
    let server = refusing(404);
    first_turn(&client(&server)).await;
    assert_eq!(tried(&first_turn(&client(&server)).await.0), REFUSED_THEN_SSE);
}

#[tokio::test(start_paused = true)]
async fn c031_an_ambiguous_answer_marks_the_origin_if_sse_works() {
    for status in [400, 403] {
        let server = refusing(status);
        let client = builder(&server).retry(attempts(1)).build().unwrap();
        let (first, elapsed) = first_turn(&client).await;
        assert_eq!((tried(&first), elapsed), (REFUSED_THEN_SSE.to_vec(), Duration::ZERO));
        let (second, _) = first_turn(&client).await;
        assert_eq!(tried(&second), [(Transport::Sse, None)], "{status}");
        assert_eq!(server.log().upgrades_refused, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn c031_if_sse_refuses_too_its_error_counts_and_nothing_is_marked() {
    for status in [400, 403] {
        let upgrade = Upgrade::Refuse(Refusal::status(status));
        let script = answers().every_upgrade(upgrade).turn(Turn::error(403, "not_yours", "no"));
        let server = ScriptedServer::in_memory(script);
        let client = client(&server);
        let failed = turn(&mut client.session(), &request(&["one"])).await;
        let error = failed.error();
        assert_eq!((error.kind(), error.status()), (ErrorKind::Api, Some(403)));
        assert_eq!(error.code(), Some(&ErrorCode::Other("not_yours".to_owned())));
        assert_eq!(failed.report.attempts.len(), 2, "{status}");
        assert_eq!(tried(&first_turn(&client).await.0), REFUSED_THEN_SSE, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn c031_a_refused_credential_is_an_error_at_once() {
    let upgrade = Upgrade::Refuse(Refusal::error(401, "invalid_api_key", "no"));
    let server = ScriptedServer::in_memory(answers().upgrade(upgrade));
    let client = client(&server);
    let start = Instant::now();
    let failed = turn(&mut client.session(), &request(&["one"])).await;
    let error = failed.error();
    assert_eq!((error.kind(), error.status()), (ErrorKind::Api, Some(401)));
    assert_eq!((error.phase(), error.delivery()), (Phase::Connect, Delivery::NotSent));
    assert_eq!(error.code(), Some(&ErrorCode::InvalidApiKey));
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!((failed.report.attempts.len(), server.log().requests.len()), (1, 0));
    assert_eq!(first_turn(&client).await.0.transport, Some(Transport::WebSocket));
}

#[tokio::test(start_paused = true)]
async fn c031_a_busy_server_is_asked_again() {
    for status in [429, 500, 502, 503, 504, 529] {
        let upgrade = Upgrade::Refuse(Refusal::status(status));
        let server = ScriptedServer::in_memory(answers().upgrade(upgrade));
        let (report, elapsed) = first_turn(&client(&server)).await;
        let expected = [(Transport::WebSocket, Some(ErrorKind::Api)), (Transport::WebSocket, None)];
        assert_eq!(tried(&report), expected, "{status}");
        let longer = if matches!(status, 503 | 529) { 5 } else { 1 };
        let backoff = Duration::from_millis(150 * longer)..=Duration::from_millis(200 * longer + 1);
        assert!(backoff.contains(&elapsed), "{status} {elapsed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn c031_a_busy_server_says_when() {
    let refusal = Refusal::status(503).header("retry-after", "7");
    let server = ScriptedServer::in_memory(answers().upgrade(Upgrade::Refuse(refusal)));
    let (report, elapsed) = first_turn(&client(&server)).await;
    assert_eq!(report.transport, Some(Transport::WebSocket));
    assert!((7000..=7001).contains(&elapsed.as_millis()), "{elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn c031_a_busy_server_is_not_marked() {
    for status in [429, 500, 503] {
        let server = refusing(status);
        let client = client(&server);
        for turns in 1..=2 {
            let (report, _) = first_turn(&client).await;
            let transports: Vec<Transport> =
                report.attempts.iter().map(|attempt| attempt.transport).collect();
            assert_eq!(transports[..3], [Transport::WebSocket; 3], "{status}");
            assert_eq!(transports[3..], [Transport::Sse], "{status}");
            assert_eq!(server.log().upgrades_refused, 3 * turns);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c034_an_upgrade_that_hangs_costs_one_connect_timeout_in_a_cool_down() {
    let server = ScriptedServer::in_memory(answers().every_upgrade(Upgrade::Hang));
    let client = client(&server);
    let (first, elapsed) = first_turn(&client).await;
    let expected = [(Transport::WebSocket, Some(ErrorKind::Timeout)), (Transport::Sse, None)];
    assert_eq!(tried(&first), expected);
    assert!((CONNECT_TIMEOUT..=CONNECT_TIMEOUT + MOMENT).contains(&elapsed), "{elapsed:?}");
    advance(COOL_DOWN - 2 * MOMENT).await;
    let (second, elapsed) = first_turn(&client).await;
    assert_eq!((tried(&second), elapsed), (vec![(Transport::Sse, None)], Duration::ZERO));
    assert_eq!(server.log().upgrades_refused, 1);
}

#[tokio::test(start_paused = true)]
async fn c034_after_the_cool_down_one_turn_probes() {
    let server = ScriptedServer::in_memory(answers().every_upgrade(Upgrade::Hang));
    let client = client(&server);
    first_turn(&client).await;
    advance(COOL_DOWN).await;
    let ((one, _), (other, elapsed)) = tokio::join!(first_turn(&client), first_turn(&client));
    assert_eq!((one.attempts.len(), other.attempts.len()), (2, 1));
    assert_eq!((elapsed, server.log().upgrades_refused), (Duration::ZERO, 2));
    // The probe failed, so that the next one is twice as far away.
    advance(2 * COOL_DOWN - 2 * MOMENT).await;
    first_turn(&client).await;
    assert_eq!(server.log().upgrades_refused, 2);
    advance(2 * MOMENT).await;
    first_turn(&client).await;
    assert_eq!(server.log().upgrades_refused, 3);
}

#[tokio::test(start_paused = true)]
async fn c034_a_probe_that_goes_well_brings_websockets_back() {
    let server = ScriptedServer::in_memory(answers().upgrade(Upgrade::Hang));
    let client = client(&server);
    first_turn(&client).await;
    advance(COOL_DOWN).await;
    for _ in 0..2 {
        let (report, elapsed) = first_turn(&client).await;
        assert_eq!(tried(&report), [(Transport::WebSocket, None)]);
        assert_eq!(elapsed, Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn c034_an_upgrade_answered_just_inside_the_timeout_stays_on_websocket() {
    let slow = CONNECT_TIMEOUT - MOMENT;
    let server = ScriptedServer::in_memory(answers().upgrade(Upgrade::Delay(slow)));
    let client = client(&server);
    let (report, elapsed) = first_turn(&client).await;
    assert_eq!(tried(&report), [(Transport::WebSocket, None)]);
    assert!((slow..CONNECT_TIMEOUT).contains(&elapsed), "{elapsed:?}");
    assert_eq!(first_turn(&client).await.0.transport, Some(Transport::WebSocket));
}

#[tokio::test(start_paused = true)]
async fn c043_websocket_only_never_posts() {
    for upgrade in [
        Upgrade::Refuse(Refusal::status(404)),
        Upgrade::Refuse(Refusal::status(403)),
        Upgrade::Refuse(Refusal::status(503)),
        Upgrade::Hang,
        Upgrade::Reset,
        Upgrade::WrongAccept,
    ] {
        let server = ScriptedServer::in_memory(answers().every_upgrade(upgrade.clone()));
        let only = TransportPolicy::WebSocketOnly;
        let mut session = builder(&server).transport(only).build().unwrap().session();
        // The second turn finds nothing remembered of the first.
        for _ in 0..2 {
            let before = server.log().connections.len();
            let outcome = turn(&mut session, &request(&["one"])).await;
            assert_eq!(outcome.error().delivery(), Delivery::NotSent, "{upgrade:?}");
            let attempts = &outcome.report.attempts;
            assert!(attempts.iter().all(|attempt| attempt.transport == Transport::WebSocket));
            let log = server.log();
            assert_eq!(log.connections.len() - before, attempts.len(), "{upgrade:?}");
            assert_eq!(log.requests.len(), 0, "{upgrade:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c043_a_refused_upgrade_is_the_error_of_websocket_only() {
    let server = refusing(426);
    let only = TransportPolicy::WebSocketOnly;
    let client = builder(&server).transport(only).build().unwrap();
    let outcome = turn(&mut client.session(), &request(&["one"])).await;
    let error = outcome.error();
    assert_eq!((error.kind(), error.status()), (ErrorKind::UpgradeRefused, Some(426)));
    assert_eq!(server.log().upgrades_refused, 1);
}

#[tokio::test]
async fn c043_what_needs_http_is_an_error_under_websocket_only() {
    let server = ScriptedServer::in_memory(answers());
    let provider = || Provider::compatible(&server.url()).unwrap();
    let plain = request(&["one"]);
    for (provider, request) in [
        (provider(), plain.clone().background(true)),
        (provider().websocket(false), plain.clone()),
        (provider().frame_limit(Some(10)), plain.clone()),
    ] {
        let client = ResponsesClient::builder()
            .provider(provider)
            .connector(&server.connector())
            .transport(TransportPolicy::WebSocketOnly)
            .build()
            .unwrap();
        let outcome = turn(&mut client.session(), &request).await;
        let error = outcome.error();
        assert_eq!(
            (error.kind(), error.delivery()),
            (ErrorKind::InvalidRequest, Delivery::NotSent)
        );
        assert_eq!(server.log().requests.len(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn c043_sse_only_never_upgrades() {
    let busy = Turn::error(503, "server_is_overloaded", "busy");
    for fault in [Turn::steps([Step::Reset]), Turn::steps([Step::End]), busy] {
        let server = ScriptedServer::in_memory(answers().turn(fault));
        let client = builder(&server).transport(TransportPolicy::SseOnly).build().unwrap();
        let outcome = turn(&mut client.session(), &request(&["one"])).await;
        assert_eq!(outcome.response().output_text(), "an answer");
        let log = server.log();
        assert_eq!((log.requests.len(), log.posts().count()), (2, 2));
        assert!(log.connections.iter().all(|connection| connection.upgrade_requests == 0));
    }
}

#[tokio::test(start_paused = true)]
async fn c032_a_mark_is_about_opening_sockets_not_about_those_that_are_open() {
    let script = answers().upgrade(Upgrade::Accept).upgrade(Upgrade::Reset);
    let server = ScriptedServer::in_memory(script);
    let client = client(&server);
    let mut open = client.session();
    let first = turn(&mut open, &request(&["one"])).await;
    let (broken, _) = first_turn(&client).await;
    assert_eq!(broken.transport, Some(Transport::Sse));
    let next = appended(&request(&["one"]), &first, "more");
    let second = turn(&mut open, &next).await;
    assert_eq!(second.report.transport, Some(Transport::WebSocket));
    assert_eq!(second.report.plan, incremental(1));
}

#[tokio::test(start_paused = true)]
async fn c098_a_refusal_whose_body_stalls_keeps_its_status_and_marks_nothing() {
    let refused = || Upgrade::Refuse(Refusal::status(503).header("retry-after", "1").stall_body());
    let server = ScriptedServer::in_memory(answers().upgrade(refused()));
    let mut timeouts = Timeouts::default();
    timeouts.connect = Some(Duration::from_secs(2));
    let client = builder(&server).timeouts(timeouts).build().unwrap();
    let (report, _) = first_turn(&client).await;
    assert_eq!(
        tried(&report),
        [(Transport::WebSocket, Some(ErrorKind::Api)), (Transport::WebSocket, None)]
    );
}

#[tokio::test]
async fn c044_a_refusal_keeps_its_status_its_headers_and_the_beginning_of_its_body() {
    for status in [404, 503] {
        let refusal = Refusal::status(status)
            .header("retry-after", "7")
            .header("x-request-id", "req_1")
            .body("no ".repeat(50_000));
        let server = server(answers().every_upgrade(Upgrade::Refuse(refusal))).await;
        let provider = Provider::compatible(&server.url()).unwrap();
        let client = ResponsesClient::builder()
            .provider(provider)
            .transport(TransportPolicy::WebSocketOnly)
            .retry(attempts(1))
            .build()
            .unwrap();
        let outcome = turn(&mut client.session(), &request(&["one"])).await;
        let error = outcome.error();
        assert_eq!((error.status(), error.phase()), (Some(status), Phase::Connect));
        assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
        let told = error.api_error().unwrap();
        assert_eq!(told.request_id(), Some("req_1"));
        assert_eq!(told.message().map(str::len), Some(64 << 10));
        // The advice after it is of this crate.
        let text = error.summary().to_string();
        assert!(text.len() < 700, "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn c032_a_turn_on_an_open_socket_does_not_lift_a_mark() {
    let script = answers().upgrade(Upgrade::Accept).every_upgrade(Upgrade::Reset);
    let server = ScriptedServer::in_memory(script);
    let client = client(&server);
    let mut open = client.session();
    turn(&mut open, &request(&["one"])).await.response();
    first_turn(&client).await;
    turn(&mut open, &request(&["two"])).await.response();
    let (report, _) = first_turn(&client).await;
    assert_eq!(tried(&report), [(Transport::Sse, None)], "no upgrade is tried again");
}

#[tokio::test(start_paused = true)]
async fn c031_a_server_that_nobody_reaches_is_not_marked() {
    let server = ScriptedServer::in_memory(answers());
    let client = client(&server);
    server.stop();
    let outcome = turn(&mut client.session(), &request(&["one"])).await;
    assert_eq!(outcome.error().kind(), ErrorKind::Connect);
    let outcome = turn(&mut client.session(), &request(&["one"])).await;
    assert_eq!(outcome.report.attempts[0].transport, Transport::WebSocket);
}

pub(crate) const WEBSOCKET: Transport = Transport::WebSocket;

pub(crate) const SSE: Transport = Transport::Sse;

#[tokio::test(start_paused = true)]
async fn c040_a_failed_turn_disables_nothing_and_success_forgets_the_failures() {
    let script = answers().turn(Turn::error(400, "invalid_value", "no"));
    let server = ScriptedServer::in_memory(script.upgrade(Upgrade::Accept).upgrade(Upgrade::Reset));
    let client = client(&server);
    let failed = turn(&mut client.session(), &request(&["one"])).await;
    assert_eq!((failed.error().status(), client.fallback()), (Some(400), None));
    first_turn(&client).await;
    let fallback = client.fallback().unwrap();
    assert_eq!((fallback.kind, fallback.remaining), (FallbackKind::Transient, COOL_DOWN));
    advance(COOL_DOWN).await;
    assert_eq!(client.fallback(), None, "the next turn probes");
    assert_eq!(tried(&first_turn(&client).await.0), [(WEBSOCKET, None)]);
    assert_eq!(client.fallback(), None);
}

#[tokio::test(start_paused = true)]
async fn c040_a_mark_can_be_taken_back() {
    let server = refusing(404);
    let client = client(&server);
    first_turn(&client).await;
    let fallback = client.fallback().unwrap();
    assert_eq!((fallback.kind, fallback.remaining), (FallbackKind::Unsupported, UNSUPPORTED));
    assert!(client.clone().fallback().is_some());
    client.reset_fallback();
    assert_eq!(client.fallback(), None);
    assert_eq!(tried(&first_turn(&client).await.0), REFUSED_THEN_SSE);
}

#[tokio::test(start_paused = true)]
async fn c042_what_the_caller_drops_is_no_failure() {
    let held = || Turn::text("held").cut_after(3, Step::Stall);
    let script = answers().turns([Turn::steps([Step::Stall]), held()]).upgrade(Upgrade::Hang);
    let server = ScriptedServer::in_memory(script);
    let client = client(&server);
    let cancelled = |mut session: ResponsesSession| async move {
        let short = Duration::from_secs(1);
        drop(tokio::time::timeout(short, session.stream(request(&["one"]))).await);
    };
    // While connecting, while waiting for the response, and in the middle of it.
    for _ in 0..3 {
        cancelled(client.session()).await;
        assert_eq!(client.fallback(), None);
    }
    settled(&server).await;
    assert_eq!((server.log().upgrades_refused, server.log().creates().count()), (1, 2));
    assert_eq!(tried(&first_turn(&client).await.0), [(WEBSOCKET, None)]);
}

#[tokio::test(start_paused = true)]
async fn c115_what_nobody_offered_is_refused_and_said() {
    let header = |name: &str, value: &str| Upgrade::Header {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    for (upgrade, why) in [
        (header("sec-websocket-extensions", "permessage-deflate"), "extension"),
        (header("sec-websocket-protocol", "realtime"), "subprotocol"),
        (Upgrade::WrongAccept, "Sec-WebSocket-Accept"),
    ] {
        let server = ScriptedServer::in_memory(answers().every_upgrade(upgrade.clone()));
        let without_offer = builder(&server).deflate(DeflatePolicy::Off);
        let only = without_offer.clone().transport(TransportPolicy::WebSocketOnly).build().unwrap();
        let outcome = turn(&mut only.session(), &request(&["one"])).await;
        let error = outcome.error();
        assert_eq!((error.kind(), error.phase()), (ErrorKind::Protocol, Phase::Connect));
        assert_eq!(error.delivery(), Delivery::NotSent);
        let source = std::error::Error::source(error).unwrap().to_string();
        assert!(source.contains(why), "{source}");

        let client = without_offer.build().unwrap();
        let (report, elapsed) = first_turn(&client).await;
        let expected = [(WEBSOCKET, Some(ErrorKind::Protocol)), (SSE, None)];
        assert_eq!((tried(&report), elapsed), (expected.to_vec(), Duration::ZERO), "{why}");
        assert_eq!(client.fallback().unwrap().kind, FallbackKind::Transient);
        assert_eq!(server.log().creates().count(), 0);
    }
}
