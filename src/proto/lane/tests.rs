//! The transitions of a lane, and the decision that each gives.

use super::*;
use crate::proto::wire::{Wire, responses::Responses};

const LANE: LaneId = LaneId::DEFAULT;
const OTHER: LaneId = LaneId(1);

const KEEPALIVE: &str = r#"{"type":"keepalive"}"#;
const CREATED: &str = r#"{"type":"response.created","response":{"id":"resp_2"}}"#;
const DELTA: &str = r#"{"type":"response.output_text.delta","delta":"x"}"#;
const COMPLETED: &str = r#"{"type":"response.completed","response":{"id":"resp_2"}}"#;
const OLD: &str = r#"{"type":"response.completed","response":{"id":"resp_1"}}"#;
const ERROR: &str = r#"{"type":"error","error":{"code":"server_error"}}"#;

/// Decides about a frame, and describes the decision.
fn route(lanes: &mut Lanes, payload: &str) -> String {
    let frame = Responses.classify("".into(), payload.into());
    match lanes.route(frame, Instant::now()) {
        Route::To { lane, late, held, frame, end } => {
            assert_eq!(frame.payload, payload);
            let late = if late { "late, " } else { "" };
            let held = if held.is_empty() { String::new() } else { format!("{} + ", held.len()) };
            let end = match end {
                None => "",
                Some(ExchangeEnd::Free) => ", free",
                Some(ExchangeEnd::Close) => ", close",
            };
            format!("{late}{held}to {}{end}", lane.0)
        }
        Route::Ignore => "ignore".to_owned(),
        Route::Retire => "retire".to_owned(),
        Route::Overflow => "overflow".to_owned(),
    }
}

/// Returns the lanes of a socket without a request.
fn idle() -> Lanes {
    Lanes::new(1)
}

fn writing() -> Lanes {
    let mut lanes = idle();
    lanes.begin(LANE, false);
    lanes
}

fn written() -> Lanes {
    let mut lanes = writing();
    lanes.written();
    lanes
}

/// Returns the lanes of a socket whose last response, `resp_1`, has ended.
fn reused() -> Lanes {
    let mut lanes = written();
    route(&mut lanes, &CREATED.replace("resp_2", "resp_1"));
    assert_eq!(route(&mut lanes, OLD), "to 0, free");
    lanes
}

/// Returns the lanes of such a socket, with the next request written.
fn written_again() -> Lanes {
    let mut lanes = reused();
    lanes.begin(OTHER, false);
    lanes.written();
    lanes
}

#[test]
fn each_course_decides_about_each_frame() {
    let courses = [idle, writing, written, reused, written_again];
    for (payload, decisions) in [
        // Idle, writing, written, idle again, written again.
        (KEEPALIVE, ["ignore", "to 0", "to 0", "ignore", "to 1"]),
        (CREATED, ["retire", "to 0", "to 0", "retire", "to 1"]),
        (DELTA, ["retire", "to 0", "to 0", "retire", "ignore"]),
        (COMPLETED, ["retire", "to 0, close", "to 0, free", "retire", "to 1, free"]),
        (OLD, ["retire", "to 0, close", "to 0, free", "ignore", "ignore"]),
        (ERROR, ["retire", "to 0, close", "to 0, free", "retire", "to 1, free"]),
        ("nonsense", ["retire", "to 0, close", "to 0, close", "retire", "to 1, close"]),
        ("{}", ["ignore", "to 0", "to 0", "ignore", "to 1"]),
    ] {
        let got = courses.map(|lanes| route(&mut lanes(), payload));
        assert_eq!(got, decisions, "{payload}");
    }
}

#[test]
fn an_end_frees_the_lane_for_the_next_request() {
    for end in [COMPLETED, ERROR] {
        let mut lanes = idle();
        for lane in [LANE, OTHER] {
            assert!(lanes.accept_requests(), "{end}");
            lanes.begin(lane, false);
            assert!(!lanes.accept_requests() && lanes.is_writing(), "{end}");
            lanes.written();
            assert!(!lanes.accept_requests() && !lanes.is_writing(), "{end}");
            assert_eq!(route(&mut lanes, CREATED), format!("to {}", lane.0));
            assert!(!lanes.accept_requests(), "{end}");
            assert_eq!(route(&mut lanes, end), format!("to {}, free", lane.0));
        }
        assert!(lanes.accept_requests() && !lanes.is_writing(), "{end}");
        // Nothing is being written now.
        lanes.written();
        assert!(lanes.accept_requests(), "{end}");
    }
}

#[test]
fn a_consumer_that_leaves_closes_the_connection_until_its_response_has_ended() {
    for (lanes, lane, end) in [
        (idle(), LANE, ExchangeEnd::Free),
        (writing(), LANE, ExchangeEnd::Close),
        (written(), LANE, ExchangeEnd::Close),
        (reused(), LANE, ExchangeEnd::Free),
        (written_again(), OTHER, ExchangeEnd::Close),
        // The exchange in progress is another one.
        (written_again(), LANE, ExchangeEnd::Free),
    ] {
        let mut lanes = lanes;
        let before = format!("{lanes:?}");
        assert_eq!(lanes.abandon(lane), end, "{before}");
        assert_eq!(lanes.abandon(lane), ExchangeEnd::Free, "{before}");
    }
}

#[test]
fn what_is_held_back_goes_to_its_lane_or_closes_the_connection() {
    let mut own = written_again();
    let frames = [DELTA, DELTA, COMPLETED];
    let got = frames.map(|payload| route(&mut own, payload));
    assert_eq!(got, ["ignore", "ignore", "2 + to 1, free"]);

    let mut late = written_again();
    let got = [DELTA, CREATED, COMPLETED].map(|payload| route(&mut late, payload));
    assert_eq!(got, ["ignore", "late, to 1", "to 1, free"]);

    let mut full = written_again();
    let long = DELTA.replace(r#""x""#, &format!(r#""{}""#, "y".repeat(40 << 10)));
    let got = [&long, &long].map(|payload| route(&mut full, payload));
    assert_eq!(got, ["ignore", "overflow"]);
}

#[test]
fn only_what_is_known_is_dropped_between_exchanges() {
    for (payload, decision) in [
        (r#"{"type":"codex.rate_limits"}"#, "ignore"),
        (r#"{"type":"response.done","response":{"id":"resp_1"}}"#, "ignore"),
        (r#"{"type":"response.steer.pending","response_id":"resp_1"}"#, "ignore"),
        (r#"{"type":"response.done","response":{"id":"resp_2"}}"#, "retire"),
        (r#"{"type":"response.failed","response":{"id":"resp_2"}}"#, "retire"),
        (r#"{"type":"error","error":{"code":"websocket_connection_limit_reached"}}"#, "retire"),
    ] {
        assert_eq!(route(&mut reused(), payload), decision, "{payload}");
    }
    let failed = r#"{"type":"response.failed","response":{"id":"resp_2"}}"#;
    assert_eq!(route(&mut idle(), failed), "retire");
}

#[test]
fn the_first_response_of_a_socket_shows_how_a_server_begins() {
    let mut lanes = written();
    assert!(!lanes.is_unannounced());
    route(&mut lanes, DELTA);
    assert!(lanes.is_unannounced());
    // The observation on another socket of the origin applies to this one.
    let mut lanes = reused();
    lanes.begin(LANE, true);
    assert_eq!(route(&mut lanes, DELTA), "to 0");
}
