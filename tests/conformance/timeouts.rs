//! Times that run out, and what the caller is told then.

use std::time::Duration;

use futures_util::FutureExt;
use responses_client::{
    Delivery, ErrorKind, Limits, Phase, ReplayPolicy, ResponsesSession, RetryPolicy, Timeouts,
    Transport,
    testing::{Gate, Link, Script, ScriptedServer, Step, Turn},
};
use serde_json::json;
use tokio::time::{Instant, advance};

use crate::support::{self, BOTH, builder, only, request, settled, turn};

fn timeouts(set: impl Fn(&mut Timeouts)) -> Timeouts {
    let mut timeouts = Timeouts::default();
    set(&mut timeouts);
    timeouts
}

fn seconds(seconds: u64) -> Option<Duration> {
    Some(Duration::from_secs(seconds))
}

#[tokio::test(start_paused = true)]
async fn c094_the_time_of_a_turn_holds_while_it_is_tried_again_and_the_error_says_what_was_sent() {
    for transport in BOTH {
        let server =
            ScriptedServer::in_memory(Script::new().respond(|_| Turn::steps([Step::Stall])));
        let client = builder(&server)
            .transport(only(transport))
            .timeouts(timeouts(|it| {
                it.turn = seconds(5);
                it.first_event_websocket = seconds(3);
                it.first_event_sse = seconds(3);
            }))
            .build()
            .unwrap();
        let start = Instant::now();
        let outcome = turn(&mut client.session(), &request(&["hi"])).await;
        assert_eq!(start.elapsed().as_secs(), 5, "{transport}");
        assert_eq!(outcome.error().kind(), ErrorKind::Timeout);
        assert_eq!(outcome.error().delivery(), Delivery::Unknown);
        assert_eq!(outcome.report.attempts.len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn c094_a_turn_whose_connection_did_not_open_in_time_was_not_sent() {
    let sent = (Phase::FirstEvent, Delivery::Unknown);
    let not_sent = (Phase::Connect, Delivery::NotSent);
    for transport in BOTH {
        let server = ScriptedServer::in_memory(Script::new().respond(|_| Turn::text("hi")));
        // A connection opens after 800 ms, and an answer takes as long.
        let link = Link::new().rtt(Duration::from_millis(800));
        let connector = server.connector().over(link).unwrap();
        let client = builder(&server).connector(&connector).transport(only(transport));
        let mut session = client.build().unwrap().session();
        let asked = request(&["hi"]);
        let ends = async |session: &mut ResponsesSession, time: u64| {
            let turn = session.turn(&asked).timeout(Duration::from_millis(time)).respond().await;
            turn.err().map(|error| {
                assert_eq!(error.kind(), ErrorKind::Timeout, "{transport}, {time} ms");
                let report = error.report().unwrap();
                assert_eq!(report.bytes_sent > 0, error.delivery() != Delivery::NotSent);
                assert_eq!(report.plan.is_some(), error.delivery() != Delivery::NotSent);
                (error.phase(), error.delivery())
            })
        };
        assert_eq!(ends(&mut session, 500).await, Some(not_sent), "{transport}");
        // The upgrade takes another 800 ms.
        let opens = if transport == Transport::Sse { 800 } else { 1600 };
        assert_eq!(ends(&mut session, opens - 50).await, Some(not_sent), "{transport}");
        assert_eq!(ends(&mut session, opens + 50).await, Some(sent), "{transport}");
        assert_eq!(ends(&mut session, opens + 850).await, None, "{transport}");
        // An open connection takes the request immediately.
        assert_eq!(ends(&mut session, 50).await, Some(sent), "{transport}");
    }
}

fn delta() -> serde_json::Value {
    json!({"type": "response.output_text.delta", "delta": "x"})
}

fn created() -> serde_json::Value {
    json!({"type": "response.created", "response": {"id": "r"}})
}

fn completed() -> serde_json::Value {
    json!({"type": "response.completed", "response": {"id": "r", "status": "completed"}})
}

#[tokio::test(start_paused = true)]
async fn c094_the_time_of_a_turn_holds_while_events_keep_arriving() {
    for transport in BOTH {
        let pause = || Step::Delay(Duration::from_secs(1));
        let events = (0..100).flat_map(|_| [Step::Event(delta()), pause()]);
        let turn = Turn::steps(events).then(Step::Event(completed()));
        for (limit, expected) in [(10, 10), (200, 101)] {
            let server = ScriptedServer::in_memory(Script::new().turn(turn.clone()));
            let client = builder(&server)
                .transport(only(transport))
                .timeouts(timeouts(|it| it.turn = seconds(limit)))
                .build()
                .unwrap();
            let start = Instant::now();
            let outcome = support::turn(&mut client.session(), &request(&["hi"])).await;
            assert_eq!(outcome.events.len(), expected, "{transport} {limit}");
            assert_eq!(outcome.result.is_err(), expected == 10, "{transport}");
            assert_eq!(start.elapsed().as_secs(), limit.min(100));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c094_events_that_never_pause_end_a_little_after_the_time_of_the_turn() {
    for transport in BOTH {
        let events = Turn::events(std::iter::repeat_n(delta(), 10_000).chain([completed()]));
        let server = ScriptedServer::in_memory(Script::new().turn(events));
        let mut limits = Limits::default();
        limits.read_ahead = 10_000;
        let client = builder(&server)
            .transport(only(transport))
            .limits(limits)
            .timeouts(timeouts(|it| it.turn = seconds(10)))
            .build()
            .unwrap();
        let mut session = client.session();
        let mut stream = session.stream(request(&["hi"])).await.unwrap();
        let mut events = 0;
        let error = loop {
            match stream.try_next().await {
                // There is always another one, as the consumer is slower than the server.
                Ok(_) if events < 10 => advance(Duration::from_secs(1)).await,
                Ok(event) => assert!(event.is_some(), "{transport}"),
                Err(error) => break error,
            }
            events += 1;
        };
        assert_eq!(error.kind(), ErrorKind::Timeout, "{transport}");
        // No more than may be read ahead.
        assert!((11..200).contains(&events), "{transport} {events}");
    }
}

#[tokio::test(start_paused = true)]
async fn c138_events_that_had_come_when_the_time_passed_are_handed_out() {
    for transport in BOTH {
        let events = Turn::events(std::iter::repeat_n(delta(), 60).chain([completed()]));
        let server = ScriptedServer::in_memory(Script::new().turn(events));
        let client = builder(&server)
            .transport(only(transport))
            .timeouts(timeouts(|it| it.turn = seconds(10)))
            .build()
            .unwrap();
        let mut session = client.session();
        let mut stream = session.stream(request(&["hi"])).await.unwrap();
        let mut events = 0;
        // All of them are there: the consumer is slow, or the machine was asleep.
        while stream.try_next().await.expect("no error").is_some() {
            advance(Duration::from_secs(1)).await;
            events += 1;
        }
        assert_eq!((events, server.log().requests.len()), (61, 1), "{transport}");
    }
}

/// Has a turn send its request and wait for the answer, and does something else for longer than all
/// its times while that comes.
async fn busy_while_it_answers<F: Future + Unpin>(
    turn: &mut F,
    gate: &Gate,
    server: &ScriptedServer,
) {
    for _ in 0..200 {
        assert!((&mut *turn).now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    assert_eq!(server.log().requests.len(), 1);
    gate.open();
    settled(server).await;
    advance(Duration::from_secs(1000)).await;
}

#[tokio::test(start_paused = true)]
async fn c138_a_first_event_that_had_come_when_its_time_passed_is_taken() {
    for transport in BOTH {
        let gate = Gate::new();
        let turn = Turn::events([created(), completed()]).first(Step::Gate(gate.clone()));
        let script = Script::new().turn(turn);
        let server = ScriptedServer::in_memory(script);
        let client = builder(&server)
            .transport(only(transport))
            .timeouts(timeouts(|it| {
                it.first_event_websocket = seconds(10);
                it.first_event_sse = seconds(10);
                it.turn = seconds(30);
            }))
            .build()
            .unwrap();
        let mut session = client.session();
        let request = request(&["hi"]);
        let mut streaming = Box::pin(session.stream(&request));
        busy_while_it_answers(&mut streaming, &gate, &server).await;
        let stream = streaming.await.expect("a response");
        assert!(stream.final_response().await.is_ok(), "{transport}");
        assert_eq!(server.log().requests.len(), 1, "{transport}: nothing is sent again");
    }
}

#[tokio::test(start_paused = true)]
async fn c138_what_means_nothing_and_never_ends_does_not_put_off_the_first_event() {
    for transport in BOTH {
        let nothing = std::iter::repeat_n(Step::Text("{}".to_owned()), 20_000);
        let gate = Gate::new();
        let turn = Turn::steps(nothing).first(Step::Gate(gate.clone())).then(Step::Stall);
        let script = Script::new().turn(turn);
        let server = ScriptedServer::in_memory(script);
        let mut limits = Limits::default();
        limits.read_ahead = 10_000;
        let mut retry = RetryPolicy::default();
        retry.replay = ReplayPolicy::Never;
        let client = builder(&server)
            .transport(only(transport))
            .retry(retry)
            .limits(limits)
            .build()
            .unwrap();
        let mut session = client.session();
        let request = request(&["hi"]);
        let mut streaming = Box::pin(session.stream(&request));
        busy_while_it_answers(&mut streaming, &gate, &server).await;
        let error = streaming.await.unwrap_err();
        assert_eq!((error.kind(), error.phase()), (ErrorKind::Timeout, Phase::FirstEvent));
        let received = error.report().unwrap().bytes_received;
        assert!(received < 1000, "{transport} {received}: no more than may be read ahead");
    }
}

#[tokio::test(start_paused = true)]
async fn metadata_is_no_progress_and_events_are() {
    for transport in BOTH {
        let silent = |event: serde_json::Value| {
            let steps = (0..5).flat_map(move |_| {
                [Step::Delay(Duration::from_secs(20)), Step::Event(event.clone())]
            });
            let created = json!({"type": "response.created", "response": {"id": "r"}});
            Turn::steps([Step::Event(created)].into_iter().chain(steps)).then(Step::Stall)
        };
        let keepalive = json!({"type": "keepalive"});
        let delta = json!({"type": "response.output_text.delta", "delta": "x"});
        for (event, fired_after) in [(keepalive, 30), (delta, 130)] {
            let server = ScriptedServer::in_memory(Script::new().turn(silent(event)));
            let client = builder(&server)
                .transport(only(transport))
                .timeouts(timeouts(|it| {
                    it.between_events_websocket = seconds(30);
                    it.between_events_sse = seconds(30);
                }))
                .build()
                .unwrap();
            let start = Instant::now();
            let outcome = turn(&mut client.session(), &request(&["hi"])).await;
            assert_eq!(outcome.error().kind(), ErrorKind::Timeout);
            assert_eq!(outcome.error().phase(), Phase::Events);
            assert_eq!(start.elapsed().as_secs(), fired_after, "{transport}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c048_what_an_attempt_may_have_set_going_is_still_said_when_later_ones_reach_nobody() {
    for transport in BOTH {
        let cut = Turn::text("some text").cut_after(6, Step::Reset);
        let server = ScriptedServer::in_memory(Script::new().turn(cut));
        let mut retry = RetryPolicy::default();
        retry.replay = ReplayPolicy::Restart;
        let client = builder(&server).transport(only(transport)).retry(retry).build().unwrap();
        let mut session = client.session();
        let mut stream = session.stream(request(&["hi"])).await.unwrap();
        while let Ok(Some(event)) = stream.try_next().await {
            if event.text_delta().is_some() {
                // From here on nobody answers any more.
                server.stop();
            }
        }
        let error = stream.final_response().await.unwrap_err();
        assert_eq!(error.delivery(), Delivery::OutputStarted, "{transport}");
        assert!(!error.response().unwrap().output_text().is_empty());
    }
}

#[tokio::test]
async fn times_that_no_clock_can_count_are_no_times() {
    for transport in BOTH {
        let server = ScriptedServer::in_memory(Script::new().turn(Turn::text("hi")));
        let client = builder(&server)
            .transport(only(transport))
            .timeouts(timeouts(|it| {
                it.turn = Some(Duration::MAX);
                it.connect = Some(Duration::MAX);
                it.first_event_websocket = Some(Duration::MAX);
                it.first_event_sse = Some(Duration::MAX);
                it.between_events_sse = Some(Duration::MAX);
                it.send = Some(Duration::MAX);
            }))
            .build()
            .unwrap();
        let outcome = turn(&mut client.session(), &request(&["hi"])).await;
        assert_eq!(outcome.response().output_text(), "hi");
    }
}

#[tokio::test(start_paused = true)]
async fn the_consumers_own_time_is_no_silence_of_the_server() {
    for transport in BOTH {
        let delta = json!({"type": "response.output_text.delta", "delta": "x"});
        let created = json!({"type": "response.created", "response": {"id": "r"}});
        let later = || Step::Delay(Duration::from_secs(100));
        let steps = [
            Step::Event(created),
            later(),
            Step::Event(delta.clone()),
            later(),
            Step::Event(delta),
            Step::Stall,
        ];
        let server = ScriptedServer::in_memory(Script::new().turn(Turn::steps(steps)));
        let client = builder(&server)
            .transport(only(transport))
            .timeouts(timeouts(|it| {
                it.between_events_websocket = seconds(30);
                it.between_events_sse = seconds(30);
            }))
            .build()
            .unwrap();
        let mut session = client.session();
        let mut stream = session.stream(request(&["hi"])).await.unwrap();
        // It works for longer than the server may be silent, and then waits a little.
        for _ in 0..2 {
            advance(Duration::from_secs(80)).await;
            stream.try_next().await.unwrap();
        }
        advance(Duration::from_secs(80)).await;
        assert!(stream.try_next().await.unwrap().is_some(), "{transport}");
        let start = Instant::now();
        assert!(stream.try_next().await.unwrap_err().is_timeout());
        assert_eq!(start.elapsed().as_secs(), 30);
    }
}

#[tokio::test(start_paused = true)]
async fn c138_the_time_before_the_consumer_first_asks_is_no_silence_of_the_server() {
    for transport in BOTH {
        let created = json!({"type": "response.created", "response": {"id": "r"}});
        let delta = json!({"type": "response.output_text.delta", "delta": "x"});
        let later = Step::Delay(Duration::from_secs(100));
        let turn = Turn::steps([Step::Event(created), later, Step::Event(delta), Step::Stall]);
        let server = ScriptedServer::in_memory(Script::new().turn(turn));
        let limits = timeouts(|it| {
            it.between_events_websocket = seconds(30);
            it.between_events_sse = seconds(30);
        });
        let client = builder(&server).transport(only(transport)).timeouts(limits).build().unwrap();
        let mut session = client.session();
        let mut stream = session.stream(request(&["hi"])).await.unwrap();
        advance(Duration::from_secs(80)).await;
        for _ in 0..2 {
            assert!(stream.try_next().await.unwrap().is_some(), "{transport}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_the_turn_has_no_time_for_is_not_begun() {
    for transport in BOTH {
        let busy = json!({"type": "error", "status": 429, "error": {"code": "rate_limit_exceeded",
            "message": "m", "headers": {"retry-after": "30"}}});
        let server =
            ScriptedServer::in_memory(Script::new().respond(move |_| Turn::events([busy.clone()])));
        let client = builder(&server)
            .transport(only(transport))
            .timeouts(timeouts(|it| it.turn = seconds(5)))
            .build()
            .unwrap();
        let start = Instant::now();
        let outcome = turn(&mut client.session(), &request(&["hi"])).await;
        assert_eq!(outcome.error().status(), Some(429), "{transport}");
        assert_eq!(outcome.error().retry_after(), seconds(30));
        assert_eq!(outcome.error().delivery(), Delivery::Refused);
        assert!(start.elapsed() < Duration::from_secs(1));
    }
}
