//! Work ahead of a turn: warm-ups, and facts about the origin.

use super::*;
use crate::{
    config::{Limits, Timeouts},
    proto::route::BreakerTrip,
    proto::wire::Encoded,
};

fn warm_up(settings: Settings, request: ResponsesRequest, previous: PreviousTurn) -> Scene {
    let mut scene = Scene::new(Goal::WarmUp, settings, request, previous);
    scene.commands();
    scene
}

#[test]
fn a_warm_up_is_sent_only_where_it_saves_the_turn_work() {
    let sent = |scene: &mut Scene| scene.leased(Some(&seat())).commands() == "send";
    let none = || PreviousTurn::None;
    assert!(sent(&mut warm_up(settings(), request(), none())));
    let managed = request().previous_response_id("resp");
    assert!(!sent(&mut warm_up(settings(), managed, none())));
    let (next, previous) = continued();
    assert!(!sent(&mut warm_up(settings(), next.clone(), previous.clone())), "it is warm");
    let mut same = next;
    same.input.truncate(2);
    assert!(!sent(&mut warm_up(settings(), same, previous)), "nothing is new yet");
    let mut refused = warm_up(settings(), request(), none());
    refused.origin.note_parent(ParentFate::Unsupported, 2, refused.now);
    assert!(!sent(&mut refused), "no turn could name it");
    let mut connect = Scene::new(Goal::Connect, settings(), request(), none());
    connect.commands();
    assert!(!sent(&mut connect));
    assert_eq!(connect.machine.prewarm(), Some(Prewarm::Connected));
    let size = refused.machine.encode(Encoded::WarmUp { lane: None }).unwrap().len() as u64;
    for (limit, is_sent) in [(size, true), (size - 1, false)] {
        let limited = Settings { frame_limit: Some(limit), ..settings() };
        assert_eq!(sent(&mut warm_up(limited, request(), none())), is_sent);
    }
}

#[test]
fn a_warm_up_ends_by_what_its_server_sends() {
    let output = COMPLETED.replace("\"status\"", r#""output":[{"type":"message"}],"status""#);
    let incomplete = COMPLETED.replace("completed", "incomplete");
    let error = r#"{"type":"error","status":400,"error":{"code":"invalid_prompt"}}"#;
    for (frames, outcome, commands) in [
        (
            &[CREATED, COMPLETED][..],
            Prewarm::Warmed,
            "baseline r warm_up=true, release retire=false",
        ),
        (
            &[CREATED, error],
            Prewarm::Failed(PrewarmFailure::Refused),
            "release retire=false, abort",
        ),
        (&[CREATED, "garbage"], Prewarm::Failed(PrewarmFailure::Refused), "abort"),
        (
            &[CREATED, &output],
            Prewarm::Failed(PrewarmFailure::Generated),
            "abort, lease fresh=true, authorize, open",
        ),
        (
            &[CREATED, &incomplete],
            Prewarm::Failed(PrewarmFailure::Generated),
            "abort, lease fresh=true, authorize, open",
        ),
    ] {
        let mut scene = warm_up(settings(), request(), PreviousTurn::None);
        scene.leased(Some(&seat())).sent().commands();
        frames.iter().for_each(|frame| _ = scene.frame(frame));
        if outcome == Prewarm::Failed(PrewarmFailure::Generated) {
            assert_eq!(scene.machine.prewarm(), None, "another WebSocket must open first");
            scene.leased(None).authorized().opened(Ok(seat()));
        }
        assert_eq!(scene.machine.prewarm(), Some(outcome), "{frames:?}");
        assert_eq!(scene.commands(), commands, "{frames:?}");
    }
}

#[test]
fn a_warm_up_has_its_time() {
    let mut limits = Limits::default();
    limits.read_ahead = 0;
    let mut timeouts = Timeouts::default();
    timeouts.prewarm = Some(SECOND);
    let new = || {
        let settings =
            Settings { policy: Policy { limits, timeouts, ..Policy::default() }, ..settings() };
        let mut scene = warm_up(settings, request(), PreviousTurn::None);
        scene.leased(Some(&seat())).sent();
        scene
    };
    let late = Some(Prewarm::Failed(PrewarmFailure::TimedOut));
    assert_eq!(new().timeout().machine.prewarm(), late);
    for (passed, outcome) in [(Duration::ZERO, Some(Prewarm::Warmed)), (SECOND, late)] {
        let mut scene = new();
        scene.now += passed;
        // After its deadline, one frame counts.
        assert_eq!(scene.frame(CREATED).machine.prewarm(), None);
        assert_eq!(scene.frame(COMPLETED).machine.prewarm(), outcome);
    }
}

#[test]
fn a_timeout_of_the_prewarming_itself_proves_nothing_about_the_origin() {
    // Limits of prewarming and of connecting, and the time of the failure, in seconds.
    for (prewarm, connect, failed, kind, marked) in [
        (5, 10, 5, ErrorKind::Timeout, false),
        (5, 10, 5, ErrorKind::Truncated, true),
        (5, 10, 1, ErrorKind::Timeout, true),
        (10, 10, 10, ErrorKind::Timeout, true),
        (20, 10, 20, ErrorKind::Timeout, true),
    ] {
        let mut timeouts = Timeouts::default();
        timeouts.prewarm = Some(prewarm * SECOND);
        timeouts.connect = Some(connect * SECOND);
        let settings = Settings { policy: Policy { timeouts, ..Policy::default() }, ..settings() };
        let mut scene = Scene::new(Goal::Connect, settings, request(), PreviousTurn::None);
        scene.leased(None).authorized();
        scene.now += failed * SECOND;
        scene.opened(Err(failure(kind, Phase::Connect)));
        let is_marked = scene.origin.fallback(scene.now).is_some();
        assert_eq!(is_marked, marked, "{prewarm} {connect} {failed} {kind:?}");
    }
}

#[test]
fn a_websocket_that_opens_ahead_of_a_turn_ends_the_fallback() {
    let mut scene = Scene::new(Goal::Connect, settings(), request(), PreviousTurn::None);
    scene.leased(None).authorized();
    scene.origin.trip(BreakerTrip::Transient, scene.now);
    scene.opened(Ok(seat()));
    assert_eq!(scene.origin.fallback(scene.now), None);
}

#[test]
fn a_warm_up_leaves_a_baseline_and_its_websocket() {
    let mut scene = Scene::new(Goal::WarmUp, settings(), request(), PreviousTurn::None);
    assert_eq!(scene.commands(), "lease fresh=false");
    assert_eq!(scene.leased(None).authorized().commands(), "authorize, open");
    assert_eq!(scene.opened(Ok(seat())).commands(), "send");
    scene.sent().frame(CREATED).frame(COMPLETED);
    assert_eq!(scene.commands(), "baseline r warm_up=true, release retire=false");
    assert_eq!(scene.machine.prewarm(), Some(Prewarm::Warmed));
}

#[test]
fn a_warm_up_that_generates_costs_its_websocket_and_opens_another() {
    let mut scene = Scene::new(Goal::WarmUp, settings(), request(), PreviousTurn::None);
    scene.leased(Some(&seat())).sent().commands();
    assert_eq!(scene.frame(CREATED).frame(DELTA).commands(), "abort, lease fresh=true");
    assert_eq!(scene.leased(None).authorized().commands(), "authorize, open");
    scene.opened(Ok(seat()));
    assert_eq!(scene.machine.prewarm(), Some(Prewarm::Failed(PrewarmFailure::Generated)));
}

#[test]
fn work_ahead_of_a_turn_fails_without_harm_and_records_what_it_learned() {
    for (error, marked) in [(refused(426), true), (refused(403), false)] {
        for goal in [Goal::Connect, Goal::WarmUp, Goal::Rotate] {
            let mut scene = Scene::new(goal, settings(), request(), PreviousTurn::None);
            if goal != Goal::Rotate {
                scene.leased(None);
            }
            scene.authorized().opened(Err(error.clone()));
            let outcome = Prewarm::Failed(PrewarmFailure::Error(ErrorKind::UpgradeRefused));
            assert_eq!(scene.machine.prewarm(), Some(outcome), "{goal:?}");
            assert_eq!(scene.origin.fallback(scene.now).is_some(), marked, "{goal:?}");
        }
    }
    // Where turns go over SSE, there is nothing to open.
    let sse = over(TransportPolicy::SseOnly);
    let mut scene = Scene::new(Goal::Connect, sse, request(), PreviousTurn::None);
    assert_eq!(scene.leased(None).machine.prewarm(), Some(Prewarm::Connected));
}

#[test]
fn c276_a_warm_up_keeps_the_first_state_for_sticky_routing() {
    let metadata = |state: &str| {
        format!(r#"{{"type":"response.metadata","headers":{{"x-codex-turn-state":"{state}"}}}}"#)
    };
    for (sticky, state) in [(true, Some("one")), (false, None)] {
        let settings = Settings { sticky, ..settings() };
        let mut scene = warm_up(settings, request(), PreviousTurn::None);
        scene.leased(Some(&seat())).sent().commands();
        for frame in [&metadata(""), &metadata("one"), CREATED, &metadata("two"), COMPLETED] {
            _ = scene.frame(frame);
        }
        assert_eq!(scene.machine.prewarm(), Some(Prewarm::Warmed));
        assert_eq!(scene.machine.sticky(), state);
    }
}
