//! Reading of a response: times, limits and facts.

use super::*;
use crate::{
    config::{Limits, ReplayPolicy, RetryPolicy, Timeouts},
    proto::route::BreakerTrip,
    response::Anomaly,
};

const META: &str = r#"{"type":"codex.rate_limits"}"#;

fn sent(settings: Settings) -> Scene {
    let mut scene = Scene::new(Goal::Turn, settings, request(), PreviousTurn::None);
    scene.prewarmed().leased(None).authorized().opened(Ok(seat())).sent();
    scene
}

/// Returns settings under which nothing is read ahead, so that one frame counts after a deadline.
fn without_read_ahead() -> Settings {
    let mut limits = Limits::default();
    limits.read_ahead = 0;
    let mut timeouts = Timeouts::default();
    timeouts.turn = Some(10 * SECOND);
    Settings { policy: Policy { limits, timeouts, ..Policy::default() }, ..settings() }
}

#[test]
fn one_frame_that_was_in_hand_counts_after_a_deadline() {
    let keepalive = r#"{"type":"keepalive","sequence_number":0}"#;
    let nothing = "{}";
    for late in [false, true] {
        let mut first = sent(without_read_ahead());
        if late {
            first.now += 10 * SECOND;
        }
        first.frame(nothing).frame(nothing).frame(CREATED);
        assert_eq!(first.machine.has_begun(), !late);

        let mut streaming = sent(without_read_ahead());
        streaming.frame(CREATED);
        if late {
            streaming.now += 10 * SECOND;
        }
        streaming.frame(DELTA).frame(keepalive).frame(COMPLETED);
        let (kinds, error) = streaming.outputs();
        assert_eq!(error.map(|error| error.kind()), late.then_some(ErrorKind::Timeout));
        assert_eq!(kinds.contains(&"response.completed"), !late);
        assert!(kinds.contains(&"response.output_text.delta"));
    }
}

#[test]
fn events_before_the_response_wait_within_the_read_ahead() {
    let charge = Responses.classify("", META.into()).charge();
    for (count, begins) in [(2, true), (3, false)] {
        let mut limits = Limits::default();
        limits.read_ahead = 2 * charge;
        let mut scene =
            sent(Settings { policy: Policy { limits, ..Policy::default() }, ..settings() });
        scene.commands();
        (0..count).for_each(|_| _ = scene.frame(META));
        scene.frame(CREATED);
        assert_eq!(scene.machine.has_begun(), begins);
        match begins {
            true => assert_eq!(scene.outputs().0.len(), 3),
            false => assert_eq!(scene.error().kind(), ErrorKind::TooLarge),
        }
    }
    let mut scene = sent(settings());
    assert_eq!(scene.frame(META).frame(COMPLETED).outputs().0.len(), 2, "no event came between");
}

#[test]
fn received_bytes_are_counted() {
    let mut scene = sent(settings());
    let frames = [META, CREATED, DELTA, COMPLETED];
    frames.iter().for_each(|frame| _ = scene.frame(frame));
    let size: usize = frames.iter().map(|frame| frame.len()).sum();
    assert_eq!(scene.machine.report().bytes_received, size as u64);
}

#[test]
fn an_answer_over_a_websocket_shows_that_the_origin_answers() {
    let mut scene = sent(settings());
    scene.frame(META);
    assert!(!scene.origin.answers_websockets(), "metadata is no answer");
    scene.frame(CREATED);
    assert!(scene.origin.answers_websockets());
    let sse = Settings {
        policy: Policy { transport: TransportPolicy::SseOnly, ..Policy::default() },
        ..settings()
    };
    let mut scene = Scene::new(Goal::Turn, sse, request(), PreviousTurn::None);
    scene.prewarmed();
    scene.machine.handle_drained(false, scene.now);
    scene.authorized().posted(Ok(())).frame(CREATED);
    assert!(!scene.origin.answers_websockets());
}

#[test]
fn a_response_over_a_new_websocket_ends_the_fallback() {
    for seat in [None, Some(seat())] {
        let mut scene = Scene::turn();
        scene.prewarmed().leased(seat.as_ref());
        if seat.is_none() {
            scene.authorized().opened(Ok(super::seat()));
        }
        scene.sent();
        scene.origin.trip(BreakerTrip::Transient, scene.now);
        scene.frame(CREATED);
        assert_eq!(scene.origin.fallback(scene.now).is_some(), seat.is_some());
    }
}

#[test]
fn late_events_of_another_response_are_reported() {
    let mut scene = sent(settings());
    scene.frame(CREATED).machine.handle_late_events();
    scene.frame(COMPLETED).outputs();
    assert_eq!(scene.machine.report().anomalies, [Anomaly::LateEvents]);
}

#[test]
fn the_time_of_the_caller_between_stream_and_first_poll_does_not_count() {
    let mut timeouts = Timeouts::default();
    timeouts.between_events_websocket = Some(4 * SECOND);
    let mut scene =
        sent(Settings { policy: Policy { timeouts, ..Policy::default() }, ..settings() });
    scene.frame(CREATED);
    scene.machine.hand_over(scene.now);
    scene.now += 100 * SECOND;
    scene.machine.handle_consumer(scene.now);
    assert_eq!(scene.machine.poll_timeout(), Some(scene.now + 4 * SECOND));
    scene.now += SECOND;
    scene.machine.handle_consumer(scene.now);
    assert_eq!(scene.machine.poll_timeout(), Some(scene.now + 3 * SECOND), "it is waited for");
}

#[test]
fn a_turn_that_ends_while_it_sends_may_have_run() {
    let mut timeouts = Timeouts::default();
    timeouts.turn = Some(SECOND);
    let settings = Settings { policy: Policy { timeouts, ..Policy::default() }, ..settings() };
    let mut scene = Scene::new(Goal::Turn, settings, request(), PreviousTurn::None);
    let error = scene.prewarmed().leased(Some(&seat())).timeout().error();
    let facts = (error.kind(), error.phase(), error.delivery());
    assert_eq!(facts, (ErrorKind::Timeout, Phase::Send, Delivery::Unknown));
}

#[test]
fn the_caller_receives_each_lifecycle_event_once_and_every_other_event() {
    let retry = RetryPolicy { replay: ReplayPolicy::BeforeOutput, ..RetryPolicy::default() };
    let mut scene = sent(Settings { policy: Policy { retry, ..Policy::default() }, ..settings() });
    let frames = [META, CREATED, r#"{"type":"response.in_progress"}"#];
    frames.iter().for_each(|frame| _ = scene.frame(frame));
    scene.machine.handle_end(StreamEnd::Disconnected(None), scene.now);
    let kinds = ["codex.rate_limits", "response.created", "response.in_progress"];
    assert_eq!(scene.outputs().0, kinds);
    scene.timeout().leased(None).authorized().opened(Ok(seat())).sent();
    frames.iter().for_each(|frame| _ = scene.frame(frame));
    assert_eq!(scene.outputs().0, ["codex.rate_limits"]);
    assert_eq!(scene.machine.report().events, 4);
}

#[test]
fn a_websocket_is_kept_if_the_server_itself_ended_the_response() {
    let error = r#"{"type":"error","status":400,"error":{"code":"invalid_prompt"}}"#;
    let failed = r#"{"type":"response.failed","response":{"id":"r"}}"#;
    for (frame, commands) in [
        (Some(error), "release retire=false, abort"),
        (Some(failed), "release retire=false, abort"),
        (Some("garbage"), "abort"),
        (None, "abort"),
    ] {
        let mut scene = Scene::streaming();
        scene.commands();
        match frame {
            Some(frame) => _ = scene.frame(frame),
            None => scene.machine.handle_end(StreamEnd::Disconnected(None), scene.now),
        }
        scene.error();
        assert_eq!(scene.commands(), commands, "{frame:?}");
    }
}
