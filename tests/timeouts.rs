//! Conformance, group H: times that run out, and what the caller is told then.

use std::time::Duration;

use responses_client::{
    Delivery, ErrorKind, Phase, ReplayPolicy, RetryPolicy, Timeouts,
    testing::{Script, ScriptedServer, Step, Turn},
};
use serde_json::json;
use tokio::time::{Instant, advance};

use support::{BOTH, builder, only, request, turn};

mod support;

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
async fn c094_the_time_of_a_turn_holds_while_there_is_always_another_event() {
    for transport in BOTH {
        let delta = json!({"type": "response.output_text.delta", "delta": "x"});
        let end =
            json!({"type": "response.completed", "response": {"id": "r", "status": "completed"}});
        let events = || Turn::events(std::iter::repeat_n(delta.clone(), 60).chain([end.clone()]));
        for (limit, expected) in [(10, 10), (70, 61)] {
            let server = ScriptedServer::in_memory(Script::new().turn(events()));
            let client = builder(&server)
                .transport(only(transport))
                .timeouts(timeouts(|it| it.turn = seconds(limit)))
                .build()
                .unwrap();
            let mut session = client.session();
            let mut stream = session.stream(&request(&["hi"])).await.unwrap();
            let mut events = 0;
            let error = loop {
                match stream.try_next().await {
                    // All of them are there: the consumer is slow.
                    Ok(Some(_)) => advance(Duration::from_secs(1)).await,
                    Ok(None) => break None,
                    Err(error) => break Some(error.kind()),
                }
                events += 1;
            };
            assert_eq!(events, expected, "{transport}");
            assert_eq!(error, (expected == 10).then_some(ErrorKind::Timeout));
        }
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
        let mut stream = session.stream(&request(&["hi"])).await.unwrap();
        while let Ok(Some(event)) = stream.try_next().await {
            if event.text_delta().is_some() {
                // From here on nobody answers any more.
                server.stop();
            }
        }
        let error = stream.final_response().await.unwrap_err();
        assert_eq!(error.delivery(), Delivery::OutputStarted, "{transport}");
        assert!(!error.partial().unwrap().output_text().is_empty());
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
        let mut stream = session.stream(&request(&["hi"])).await.unwrap();
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
