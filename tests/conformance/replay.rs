//! Replays: which failed requests are sent again, how often and when.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use responses_client::{
    Delivery, ErrorKind, Phase, Provider, ReplayPolicy, ResponsesClient, RetryPolicy, Timeouts,
    Transport, TransportPolicy,
    event::EventKind,
    report::FullSendReason,
    testing::{Refusal, Script, ScriptedServer, Step, Turn, Upgrade},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::Instant,
};

use crate::support::{BOTH, Outcome, appended, builder, close, full, guarded, only, request, turn};

fn answers() -> Script {
    Script::new().respond(|_| Turn::text("an answer"))
}

fn attempts(number: u32) -> RetryPolicy {
    let mut retry = RetryPolicy::default();
    retry.max_attempts = number;
    retry
}

pub(crate) fn replay(policy: ReplayPolicy) -> RetryPolicy {
    let mut retry = RetryPolicy::default();
    retry.replay = policy;
    retry
}

/// A turn that begins with `faults`, each of an attempt of its own, over `transport` alone.
pub(crate) async fn after(
    transport: Transport,
    faults: impl IntoIterator<Item = Turn>,
    retry: RetryPolicy,
) -> (Outcome, ScriptedServer) {
    let script = answers().turns(faults);
    let server = ScriptedServer::in_memory(script);
    let client = builder(&server).transport(only(transport)).retry(retry).build().unwrap();
    let outcome = turn(&mut client.session(), &request(&["one"])).await;
    (outcome, server)
}

#[tokio::test(start_paused = true)]
async fn c036_a_cut_before_any_event_is_replayed_once() {
    for transport in BOTH {
        for cut in [Step::End, Step::Reset, close(1011)] {
            let cut = Turn::steps([cut]);
            let (outcome, server) = after(transport, [cut.clone()], RetryPolicy::default()).await;
            assert_eq!(outcome.response().output_text(), "an answer", "{transport} {cut:?}");
            let created =
                outcome.kinds().iter().filter(|kind| **kind == "response.created").count();
            assert_eq!((created, outcome.kinds().contains(&"")), (1, false));
            let log = server.log();
            assert_eq!((log.requests.len(), outcome.report.attempts.len()), (2, 2));
            if transport == Transport::WebSocket {
                assert_eq!(log.websockets().count(), 2, "{cut:?}");
            }

            let twice = [cut.clone(), cut.clone()];
            let (outcome, server) = after(transport, twice, RetryPolicy::default()).await;
            assert_eq!(outcome.error().delivery(), Delivery::Unknown, "{transport} {cut:?}");
            assert_eq!(server.log().requests.len(), 2);

            let (outcome, server) = after(transport, [cut], replay(ReplayPolicy::Never)).await;
            assert_eq!(outcome.error().delivery(), Delivery::Unknown, "{transport}");
            assert_eq!(server.log().requests.len(), 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c036_some_close_codes_say_that_nothing_ran() {
    for code in [1001, 1012, 1013] {
        let faults = || [(); 3].map(|()| Turn::steps([close(code)]));
        let never = replay(ReplayPolicy::Never);
        let (outcome, server) = after(Transport::WebSocket, faults(), never).await;
        assert_eq!(outcome.response().output_text(), "an answer", "{code}");
        assert_eq!(server.log().websockets().count(), 4);

        let mut fewer = attempts(3);
        fewer.replay = ReplayPolicy::Never;
        let (outcome, _) = after(Transport::WebSocket, faults(), fewer).await;
        let error = outcome.error();
        assert_eq!((error.kind(), error.delivery()), (ErrorKind::Closed, Delivery::Refused));
        assert_eq!(error.close_frame().map(|frame| frame.code), Some(code));
    }
}

#[tokio::test(start_paused = true)]
async fn c036_after_created_a_cut_is_an_error_unless_the_policy_allows_more() {
    for transport in BOTH {
        for cut in [Step::End, Step::Reset, close(1012)] {
            let cut = Turn::text("lost").cut_after(2, cut);
            let (outcome, server) = after(transport, [cut.clone()], RetryPolicy::default()).await;
            assert_eq!(outcome.error().delivery(), Delivery::Accepted, "{transport} {cut:?}");
            assert_eq!(outcome.kinds(), ["response.created", "response.in_progress"]);
            assert_eq!(server.log().requests.len(), 1);

            let more = replay(ReplayPolicy::BeforeOutput);
            let (outcome, server) = after(transport, [cut], more).await;
            assert_eq!(outcome.response().output_text(), "an answer", "{transport}");
            let kinds = outcome.kinds();
            let created = kinds.iter().filter(|kind| **kind == "response.created").count();
            assert_eq!(created, 1, "there was no output to take back: {kinds:?}");
            assert!(!kinds.contains(&""));
            assert_eq!(server.log().requests.len(), 2);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c036_after_output_a_cut_is_an_error_that_keeps_what_came() {
    for transport in BOTH {
        for cut in [Step::End, Step::Reset, close(1012)] {
            let text = "text that is cut in the middle of it";
            let cut = Turn::text(text).cut_after(6, cut);
            let more = replay(ReplayPolicy::BeforeOutput);
            let (outcome, server) = after(transport, [cut], more).await;
            let error = outcome.error();
            assert_eq!(error.delivery(), Delivery::OutputStarted, "{transport}");
            let partial = error.response().expect("what came");
            let deltas: String = outcome.events.iter().filter_map(|e| e.text_delta()).collect();
            assert!(!deltas.is_empty() && text.starts_with(&deltas));
            assert_eq!(partial.output_text(), deltas, "{transport}");
            assert_eq!(partial.unfinished_items().len(), 1);
            assert!(!partial.is_finished() && !partial.id().is_empty());
            assert_eq!(server.log().requests.len(), 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c036_restart_replays_after_output_too() {
    for transport in BOTH {
        let cut = Turn::text("text that is cut").cut_after(6, Step::End);
        let (outcome, _) = after(transport, [cut], replay(ReplayPolicy::Restart)).await;
        assert_eq!(outcome.response().output_text(), "an answer", "{transport}");
        let restart =
            outcome.events.iter().position(|event| event.kind() == EventKind::Restarted).unwrap();
        assert_eq!((restart, outcome.kinds()[restart + 1]), (6, "response.created"));
    }
}

#[tokio::test(start_paused = true)]
async fn c033_a_retry_that_succeeds_shows_in_the_report_alone() {
    for transport in BOTH {
        let (plain, _) = after(transport, [], RetryPolicy::default()).await;
        for fault in [
            Turn::error(500, "server_error", "no"),
            Turn::error(429, "rate_limit_exceeded", "no"),
            Turn::steps([Step::Reset]),
            // The server gave it up after it had taken it.
            Turn::failed([], "server_error", "no"),
        ] {
            let (outcome, server) = after(transport, [fault.clone()], RetryPolicy::default()).await;
            assert_eq!(outcome.response().output_text(), "an answer", "{transport} {fault:?}");
            assert_eq!(outcome.kinds(), plain.kinds(), "{transport} {fault:?}");
            let report = &outcome.report;
            assert_eq!((report.attempts.len(), report.events), (2, plain.report.events));
            assert!(report.attempts[0].failure.is_some() && report.attempts[1].failure.is_none());
            assert_eq!(server.log().requests.len(), 2);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c035_silence_before_the_first_event_is_replayed_once() {
    for transport in BOTH {
        let mut timeouts = Timeouts::default();
        timeouts.first_event_websocket = Some(Duration::from_secs(60));
        timeouts.first_event_sse = Some(Duration::from_secs(60));
        for (policy, faults, sent) in [
            (ReplayPolicy::BeforeCreated, 1, 2),
            (ReplayPolicy::BeforeCreated, 2, 2),
            (ReplayPolicy::Never, 1, 1),
        ] {
            let silence = (0..faults).map(|_| Turn::steps([Step::Stall]));
            let server = ScriptedServer::in_memory(answers().turns(silence));
            let client = builder(&server)
                .transport(only(transport))
                .timeouts(timeouts)
                .retry(replay(policy))
                .build()
                .unwrap();
            let outcome = turn(&mut client.session(), &request(&["one"])).await;
            let log = server.log();
            assert_eq!((log.requests.len(), log.connections.len()), (sent, sent), "{transport}");
            if faults < sent {
                assert_eq!(outcome.response().output_text(), "an answer", "{transport}");
            } else {
                let error = outcome.error();
                assert_eq!(error.kind(), ErrorKind::Timeout, "{transport}");
                assert_eq!(
                    (error.phase(), error.delivery()),
                    (Phase::FirstEvent, Delivery::Unknown)
                );
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c037_metadata_does_not_count_as_begun() {
    for transport in BOTH {
        for event in [
            json!({"type": "keepalive", "sequence_number": 0}),
            json!({"type": "codex.rate_limits", "rate_limits": {}}),
            json!({"type": "codex.response.metadata", "headers": {}}),
            json!({"type": "response.metadata", "metadata": {}}),
        ] {
            let cut = Turn::events([event.clone()]).then(Step::End);
            let (outcome, server) = after(transport, [cut.clone()], RetryPolicy::default()).await;
            assert_eq!(outcome.response().output_text(), "an answer", "{transport} {event}");
            assert_eq!(server.log().requests.len(), 2);
            let (outcome, _) = after(transport, [cut], replay(ReplayPolicy::Never)).await;
            let error = outcome.error();
            assert_eq!(error.delivery(), Delivery::Unknown, "{transport} {event}");
            assert!(error.response().is_none());
        }
    }
}

/// Reads some of each request that comes over `transport`, answers with `last`, and hangs up; or
/// reads on, if it has an answer. Returns its URL, and counts the requests.
async fn half_reader(transport: Transport, last: &'static [u8]) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            if transport == Transport::WebSocket {
                let socket = tokio_tungstenite::accept_async(stream).await.unwrap();
                stream = socket.into_inner();
            }
            let mut some = [0; 1000];
            stream.read_exact(&mut some).await.unwrap();
            count.fetch_add(1, Ordering::Relaxed);
            if !last.is_empty() {
                stream.write_all(last).await.unwrap();
                // Hanging up with something unread would overtake the answer.
                tokio::spawn(async move {
                    let mut rest = Vec::new();
                    _ = stream.read_to_end(&mut rest).await;
                });
            }
        }
    });
    (url, requests)
}

/// A turn of more than any buffer on the way holds.
async fn large_turn(url: &str, transport: Transport, retry: RetryPolicy) -> Outcome {
    let client = ResponsesClient::builder()
        .provider(Provider::compatible(url).unwrap())
        .transport(only(transport))
        .retry(retry)
        .build()
        .unwrap();
    let large = request(&["x".repeat(12 << 20).as_str()]);
    guarded(turn(&mut client.session(), &large)).await
}

#[tokio::test]
async fn c039_a_request_that_was_sent_half_way_may_have_run() {
    for transport in BOTH {
        for (policy, sent) in [(ReplayPolicy::BeforeCreated, 2), (ReplayPolicy::Never, 1)] {
            let (url, requests) = half_reader(transport, b"").await;
            let outcome = large_turn(&url, transport, replay(policy)).await;
            let error = outcome.error();
            assert_eq!(error.delivery(), Delivery::Unknown, "{transport} {error:?}");
            assert_eq!(requests.load(Ordering::Relaxed), sent, "{transport} {policy:?}");
        }
    }
}

#[tokio::test]
async fn c039_the_servers_word_is_kept_although_it_did_not_read_on() {
    let head = b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 2\r\nx-request-id: r\r\n\r\nno";
    let (url, _) = half_reader(Transport::Sse, head).await;
    let outcome = large_turn(&url, Transport::Sse, RetryPolicy::default()).await;
    let error = outcome.error();
    assert_eq!((error.status(), error.request_id()), (Some(413), Some("r")), "{error:?}");
    assert_eq!(error.delivery(), Delivery::Refused);

    // A Close frame with the code 1009.
    let (url, requests) = half_reader(Transport::WebSocket, &[0x88, 2, 0x03, 0xf1]).await;
    let outcome = large_turn(&url, Transport::WebSocket, RetryPolicy::default()).await;
    let error = outcome.error();
    assert_eq!(error.close_frame().map(|frame| frame.code), Some(1009), "{error:?}");
    assert_eq!((error.delivery(), requests.load(Ordering::Relaxed)), (Delivery::Refused, 1));
}

#[tokio::test(start_paused = true)]
async fn c047_a_close_is_answered_by_another_socket_as_its_code_allows() {
    let without = Step::Close { code: None, reason: String::new() };
    let again = [1000, 1001, 1006, 1011, 1012, 1013, 1015];
    // 1006 and 1015 stand for what no frame can say: an end without one.
    let step = |code| if matches!(code, 1006 | 1015) { Step::Reset } else { close(code) };
    for step in again.map(step).into_iter().chain([without]) {
        let fault = Turn::steps([step.clone()]);
        let (outcome, server) = after(Transport::WebSocket, [fault], RetryPolicy::default()).await;
        assert_eq!(outcome.response().output_text(), "an answer", "{step:?}");
        assert_eq!(server.log().websockets().count(), 2, "{step:?}");
    }
    for code in [1008, 1009, 4000, 4402, 4999] {
        let fault = Turn::steps([close(code)]);
        let (outcome, server) = after(Transport::WebSocket, [fault], RetryPolicy::default()).await;
        let error = outcome.error();
        assert_eq!(error.kind(), ErrorKind::Closed, "{code}");
        assert_eq!(error.close_frame().map(|frame| frame.code), Some(code));
        assert_eq!(server.log().requests.len(), 1, "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn c048_both_transports_share_one_budget() {
    let busy = Turn::error(500, "server_error", "no");
    let script = Script::new().respond(move |_| busy.clone()).upgrade(Upgrade::Accept);
    // After the first WebSocket attempt the upgrade is refused, which costs none.
    let refused = Upgrade::Refuse(Refusal::status(426));
    let provider = |server: &ScriptedServer| {
        Provider::compatible(&server.url()).unwrap().reuses_socket_after_error(false)
    };
    let server = ScriptedServer::in_memory(script.every_upgrade(refused));
    let client =
        ResponsesClient::builder().provider(provider(&server)).connector(&server.connector());
    let client = client.build().unwrap();
    let outcome = turn(&mut client.session(), &request(&["one"])).await;
    assert_eq!(outcome.error().status(), Some(500));
    let log = server.log();
    assert_eq!((log.creates().count(), log.posts().count()), (1, 3));
}

#[tokio::test(start_paused = true)]
async fn c049_bytes_that_are_sent_again_have_a_limit() {
    for transport in BOTH {
        let size = |server: &ScriptedServer| server.log().requests[0].raw.len() as u64;
        let faults = || (0..3).map(|_| Turn::error(500, "server_error", "no"));
        let (_, server) = after(transport, [], RetryPolicy::default()).await;
        let one = size(&server);
        // As a frame it has one member more than as a body, and one less.
        for (limit, sent) in [(0, 1), (one - 100, 1), (2 * one + 100, 3), (3 * one + 100, 4)] {
            let mut retry = RetryPolicy::default();
            retry.max_resend_bytes = limit;
            let (outcome, server) = after(transport, faults(), retry).await;
            assert_eq!(server.log().requests.len(), sent, "{transport} {limit}");
            if sent == 4 {
                assert_eq!(outcome.response().output_text(), "an answer");
                continue;
            }
            let error = outcome.error();
            assert!(error.is_resend_limited() && error.status() == Some(500), "{transport}");
            assert!(error.to_string().contains("`max_resend_bytes`"), "{error}");
        }
        let (outcome, _) = after(transport, faults().chain(faults()), RetryPolicy::default()).await;
        assert!(!outcome.error().is_resend_limited(), "it was the attempts that ran out");
    }
}

#[tokio::test(start_paused = true)]
async fn c051_what_may_have_run_is_sent_as_often_as_the_policy_says() {
    for transport in BOTH {
        for (replays, sent) in [(0, 1), (1, 2), (2, 3)] {
            let mut retry = RetryPolicy::default();
            retry.max_replays = replays;
            let cuts = (0..3).map(|_| Turn::steps([Step::End]));
            let (outcome, server) = after(transport, cuts, retry).await;
            assert_eq!(outcome.error().delivery(), Delivery::Unknown, "{transport}");
            assert_eq!(server.log().requests.len(), sent, "{transport} {replays}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c052_what_never_left_is_sent_whatever_the_policy() {
    let script = answers().upgrade(Upgrade::Accept).upgrade(Upgrade::Refuse(Refusal::status(503)));
    let server = ScriptedServer::in_memory(script);
    let client = builder(&server)
        .transport(TransportPolicy::WebSocketOnly)
        .retry(replay(ReplayPolicy::Never))
        .build()
        .unwrap();
    let mut session = client.session();
    let first = turn(&mut session, &request(&["one"])).await;
    // It ends while nobody looks: the request meets an end that has come already.
    server.close_idle(1001, "");
    let second = turn(&mut session, &appended(&request(&["one"]), &first, "two")).await;
    assert_eq!(second.response().output_text(), "an answer");
    let log = server.log();
    assert_eq!((log.requests.len(), log.upgrades_refused), (2, 1));
    assert_eq!(log.requests[1].input_items, 3, "another socket has nothing to continue");
}

#[tokio::test(start_paused = true)]
async fn c056_an_overloaded_server_is_asked_later_and_in_full() {
    for transport in BOTH {
        for (status, code) in [(503, "server_is_overloaded"), (429, "slow_down")] {
            let script = Script::new().turn(Turn::text("a")).turn(Turn::error(status, code, "no"));
            let server = ScriptedServer::in_memory(script.respond(|_| Turn::text("b")));
            let client = builder(&server).transport(only(transport)).continue_over_sse(true);
            let mut session = client.build().unwrap().session();
            let first = request(&["one"]).store(true);
            let one = turn(&mut session, &first).await;
            let start = Instant::now();
            let two = turn(&mut session, &appended(&first, &one, "two")).await;
            assert_eq!(two.response().output_text(), "b");
            let waited = start.elapsed().as_millis();
            assert!((750..=1002).contains(&waited), "{transport} {waited}");
            assert_eq!(two.report.plan, full(FullSendReason::PriorNotCompleted), "{transport}");
            let log = server.log();
            let parents: Vec<bool> =
                log.requests.iter().map(|it| it.previous_response_id.is_some()).collect();
            assert_eq!(parents, [false, true, false], "{transport}: its parent is evicted");
        }
        let late = Turn::failed(
            [json!({"type": "message", "role": "assistant",
                "content": [{"type": "output_text", "text": "some", "annotations": []}]})],
            "server_is_overloaded",
            "no",
        );
        let (outcome, server) = after(transport, [late], RetryPolicy::default()).await;
        let error = outcome.error();
        assert!(error.is_overloaded() && error.delivery() == Delivery::OutputStarted);
        assert_eq!(server.log().requests.len(), 1, "{transport}");
    }
}

#[tokio::test(start_paused = true)]
async fn c057_a_network_that_is_down_is_waited_for_until_its_deadline() {
    for transport in BOTH {
        let server = ScriptedServer::in_memory(answers());
        server.stop();
        for (deadline, seconds, attempts) in
            [(Some(60), 60, 7..=8), (Some(10), 10, 5..=6), (Some(0), 0, 1..=1), (None, 1, 4..=4)]
        {
            let mut retry = RetryPolicy::default();
            retry.network_down_deadline = deadline.map(Duration::from_secs);
            retry.unreached_deadline = None;
            let client = builder(&server).transport(only(transport)).retry(retry).build().unwrap();
            let start = Instant::now();
            let outcome = turn(&mut client.session(), &request(&["one"])).await;
            let error = outcome.error();
            assert_eq!((error.kind(), error.delivery()), (ErrorKind::Connect, Delivery::NotSent));
            assert_eq!(start.elapsed().as_secs(), seconds, "{transport} {deadline:?}");
            let tried = outcome.report.attempts.len();
            assert!(attempts.contains(&tried), "{transport} {deadline:?} {tried}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c179_a_server_that_was_never_reached_is_given_up_early() {
    for transport in BOTH {
        for (turns, seconds) in [(0, 5), (1, 60)] {
            let server = ScriptedServer::in_memory(answers());
            let client = builder(&server).transport(only(transport)).build().unwrap();
            let mut session = client.session();
            for _ in 0..turns {
                turn(&mut session, &request(&["one"])).await.response();
            }
            server.stop();
            let start = Instant::now();
            let outcome = turn(&mut session, &request(&["two"])).await;
            assert_eq!(outcome.error().kind(), ErrorKind::Connect);
            assert_eq!(start.elapsed().as_secs(), seconds, "{transport}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c134_a_post_over_a_kept_connection_that_dies_is_sent_once_more_for_free() {
    for (policy, sent) in [(ReplayPolicy::BeforeCreated, 3), (ReplayPolicy::Never, 2)] {
        for cut in [Step::End, Step::Reset] {
            let cut = Turn::steps([cut]);
            let script = Script::new().turns([Turn::text("a"), cut]).respond(|_| Turn::text("b"));
            let server = ScriptedServer::in_memory(script);
            let mut retry = attempts(1);
            (retry.replay, retry.max_replays) = (policy, 0);
            let client = builder(&server).transport(TransportPolicy::SseOnly).retry(retry);
            let client = client.build().unwrap();
            let mut session = client.session();
            let first = turn(&mut session, &request(&["one"])).await;
            let start = Instant::now();
            let next = appended(&request(&["one"]), &first, "two");
            let second = turn(&mut session, &next).await;
            let log = server.log();
            assert_eq!(log.requests.len(), sent, "{policy:?}");
            if policy == ReplayPolicy::Never {
                assert_eq!(second.error().delivery(), Delivery::Unknown, "it may have run");
                continue;
            }
            assert_eq!(second.response().output_text(), "b");
            assert!(start.elapsed() < Duration::from_millis(50), "at once");
            let on: Vec<usize> = log.requests.iter().map(|request| request.connection).collect();
            assert_eq!(on, [0, 0, 1], "another connection");
            assert_eq!(client.fallback(), None);
        }
    }
}
