//! One attempt up to its response: route, plan, size limits and times.

use super::*;
use crate::{proto::route::BreakerTrip, proto::wire::Encoded};

#[test]
fn a_fallback_prevents_only_the_opening_of_a_websocket() {
    for (open_socket, fresh, next) in
        [(true, false, "lease fresh=false"), (true, true, "drain"), (false, false, "drain")]
    {
        let mut scene = Scene::turn();
        scene.commands();
        scene.origin.trip(BreakerTrip::Unsupported, scene.now);
        scene.machine.fresh = fresh;
        scene.machine.handle_prewarmed(None, PreviousTurn::None, open_socket, scene.now);
        assert_eq!(scene.commands(), next);
    }
}

#[test]
fn a_turn_in_the_background_goes_over_sse_and_opens_a_websocket_for_the_next_one() {
    let new = |goal| {
        let request = request().background(true);
        let mut scene = Scene::new(goal, settings(), request, PreviousTurn::None);
        scene.commands();
        scene
    };
    assert_eq!(new(Goal::Turn).prewarmed().commands(), "drain");
    assert_eq!(new(Goal::Connect).leased(None).commands(), "authorize");
}

/// Returns a turn over SSE that follows the response `before`, up to its sent request.
fn over_sse(continue_over_sse: bool) -> Scene {
    let (request, mut previous) = continued();
    if let PreviousTurn::Completed(base) = &mut previous {
        base.stored = true;
    }
    let transport = TransportPolicy::SseOnly;
    let settings = Settings {
        policy: Policy { transport, continue_over_sse, ..Policy::default() },
        ..settings()
    };
    let mut scene = Scene::new(Goal::Turn, settings, request, previous);
    scene.prewarmed();
    scene.machine.handle_drained(false, scene.now);
    scene.authorized().posted(Ok(()));
    scene
}

#[test]
fn a_response_is_continued_over_sse_only_where_that_is_allowed() {
    for (allowed, plan) in [
        (true, Plan::Incremental { new_items: 1 }),
        (false, Plan::Full(FullSendReason::SseContinuationOff)),
    ] {
        assert_eq!(over_sse(allowed).machine.report().plan, Some(plan));
    }
}

#[test]
fn a_late_end_of_the_previous_response_is_dropped_over_sse() {
    let late = COMPLETED.replace("\"r\"", "\"before\"");
    let mut sse = over_sse(true);
    sse.frame(CREATED).frame(&late);
    assert_eq!(sse.outputs().0, ["response.created"]);
    assert_eq!(sse.frame(COMPLETED).outputs().0, ["response.completed"]);
    assert_eq!(sse.commands().split(", ").last(), Some("release retire=false"));
    // The task of a WebSocket drops such events itself.
    let (request, previous) = continued();
    let mut websocket = Scene::new(Goal::Turn, settings(), request, previous);
    websocket.prewarmed().leased(Some(&seat())).sent().frame(CREATED).frame(&late);
    assert_eq!(websocket.outputs().0, ["response.created", "response.completed"]);
    assert!(websocket.commands().contains("commit nothing"), "two names of one response");
}

#[test]
fn a_frame_of_the_maximum_size_is_sent() {
    let machine = Scene::turn().machine;
    let frame = machine.encode(Encoded::Frame { parent: None, skip: 0, lane: None }).unwrap();
    let size = frame.len() as u64;
    for (limit, next) in [(size, "send"), (size - 1, "drain")] {
        let limited = Seat { frame_limit: Some(limit), ..seat() };
        let mut scene = Scene::turn();
        let commands = scene.prewarmed().leased(Some(&limited)).commands();
        assert_eq!(commands.split(", ").last(), Some(next));
        if next == "send" {
            assert_eq!(scene.machine.report().bytes_sent, size);
        }
    }
}

#[test]
fn an_origin_that_refuses_parents_gets_full_requests() {
    let (request, previous) = continued();
    let mut scene = Scene::new(Goal::Turn, settings(), request, previous);
    scene.origin.note_parent(ParentFate::Unsupported, 2, scene.now);
    scene.prewarmed().leased(Some(&seat()));
    let plan = Plan::Full(FullSendReason::ProviderUnsupported);
    assert_eq!(scene.machine.report().plan, Some(plan));
}

#[test]
fn the_report_has_the_time_of_each_step() {
    let mut scene = Scene::turn();
    let step = |scene: &mut Scene| scene.now += SECOND;
    scene.prewarmed();
    step(&mut scene);
    scene.leased(None).authorized();
    step(&mut scene);
    scene.opened(Ok(seat()));
    step(&mut scene);
    scene.sent();
    step(&mut scene);
    scene.frame(r#"{"type":"codex.rate_limits"}"#);
    step(&mut scene);
    scene.frame(CREATED).outputs();
    step(&mut scene);
    scene.frame(DELTA).outputs();
    step(&mut scene);
    scene.frame(DELTA).frame(COMPLETED).outputs();
    let timings = &scene.machine.report().timings;
    let times = [
        timings.queued,
        timings.connected,
        timings.sent,
        timings.first_byte,
        timings.first_event,
        timings.first_text,
        timings.done,
    ];
    assert_eq!(times, [1, 2, 3, 4, 5, 6, 7].map(|time| Some(time * SECOND)));
}

#[test]
fn the_owner_sees_the_state_of_the_machine() {
    let mut scene = Scene::awaiting();
    assert!(scene.machine.has_commands() && !scene.machine.is_streaming());
    scene.commands();
    assert!(!scene.machine.has_commands() && !scene.machine.is_done());
    scene.frame(CREATED);
    assert!(scene.machine.is_streaming() && scene.machine.reads());
    assert_eq!(scene.machine.response().id(), "r");
    scene.frame(r#"{"type":"response.failed","response":{"id":"r"}}"#).outputs();
    assert!(scene.machine.is_done() && !scene.machine.is_streaming() && !scene.machine.reads());
    assert_eq!(scene.machine.prewarm(), None, "it is a turn");
    let ended = scene.machine.take_ended();
    assert_eq!(ended.failure.map(|error| error.kind()), Some(ErrorKind::Api));
    assert_eq!((ended.response.id(), ended.report.attempts.len()), ("r", 1));
}

#[test]
fn a_time_without_end_is_thirty_years() {
    let now = Instant::now();
    assert_eq!(after(now, SECOND), now + SECOND);
    assert_eq!(after(now, Duration::MAX), now + 946_080_000 * SECOND);
}
