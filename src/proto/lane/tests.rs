//! The transitions of a lane, and the decision that each gives.

use super::*;
use crate::proto::wire::{Wire, responses::Responses};

mod interleavings;

const LANE: LaneId = LaneId::DEFAULT;

const KEEPALIVE: &str = r#"{"type":"keepalive"}"#;
const CREATED: &str = r#"{"type":"response.created","response":{"id":"resp_2"}}"#;
const DELTA: &str = r#"{"type":"response.output_text.delta","delta":"x"}"#;
const COMPLETED: &str = r#"{"type":"response.completed","response":{"id":"resp_2"}}"#;
const OLD: &str = r#"{"type":"response.completed","response":{"id":"resp_1"}}"#;
const ERROR: &str = r#"{"type":"error","error":{"code":"server_error"}}"#;

/// Sends a message about `resp_2`.
fn send(lanes: &mut Lanes, lane: LaneId, kind: MessageKind) -> bool {
    lanes.send(lane, &Message { kind, target: "resp_2".to_owned(), frame: String::new() })
}

/// Decides about a frame, and describes the decision.
fn route(lanes: &mut Lanes, payload: &str) -> String {
    let frame = Responses.classify("", payload.into());
    match lanes.route(frame, Instant::now()) {
        Route::To { lane, late, held, frame, end } => {
            assert_eq!(frame.payload, payload);
            let late = if late { "late, " } else { "" };
            let held = if held.is_empty() { String::new() } else { format!("{} + ", held.len()) };
            let end = match end {
                None => "",
                Some(end) => name_of(end),
            };
            format!("{late}{held}to {}{end}", lane.0)
        }
        Route::ToAll { lanes, frame, end } => {
            assert_eq!(frame.payload, payload);
            let lanes: Vec<u8> = lanes.iter().map(|lane| lane.0).collect();
            format!("to {lanes:?}{}", name_of(end))
        }
        Route::Freed { lane, retires: false } => format!("freed {}", lane.0),
        Route::Freed { lane, retires: true } => format!("freed {}, retired", lane.0),
        Route::Ignore => "ignore".to_owned(),
        Route::Retire => "retire".to_owned(),
        Route::Overflow(lane) => format!("overflow {}", lane.0),
    }
}

fn name_of(end: ExchangeEnd) -> &'static str {
    match end {
        ExchangeEnd::Free => ", free",
        ExchangeEnd::Unsent => ", unsent",
        ExchangeEnd::Broken => ", broken",
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
    lanes.begin(LANE, false);
    lanes.written();
    lanes
}

#[test]
fn each_course_decides_about_each_frame() {
    let courses = [idle, writing, written, reused, written_again];
    for (payload, decisions) in [
        // Idle, writing, written, idle again, written again.
        (KEEPALIVE, ["ignore", "to 0", "to 0", "ignore", "to 0"]),
        (CREATED, ["retire", "to 0", "to 0", "retire", "to 0"]),
        (DELTA, ["retire", "to 0", "to 0", "retire", "ignore"]),
        (COMPLETED, ["retire", "to 0, unsent", "to 0, free", "retire", "to 0, free"]),
        (OLD, ["retire", "to 0, unsent", "to 0, free", "ignore", "ignore"]),
        (ERROR, ["retire", "to 0, unsent", "to 0, free", "retire", "to 0, free"]),
        ("nonsense", ["retire", "to 0, broken", "to 0, broken", "retire", "to 0, broken"]),
        ("{}", ["ignore", "to 0", "to 0", "ignore", "to 0"]),
    ] {
        let got = courses.map(|lanes| route(&mut lanes(), payload));
        assert_eq!(got, decisions, "{payload}");
    }
}

#[test]
fn an_end_frees_the_lane_for_the_next_request() {
    for end in [COMPLETED, ERROR] {
        let mut lanes = idle();
        for _ in 0..2 {
            assert!(!lanes.is_active(LANE) && lanes.writing().is_none(), "{end}");
            lanes.begin(LANE, false);
            assert!(lanes.is_active(LANE) && lanes.writing() == Some(LANE), "{end}");
            lanes.written();
            assert!(lanes.is_active(LANE) && lanes.writing().is_none(), "{end}");
            assert_eq!(route(&mut lanes, CREATED), "to 0");
            assert_eq!(route(&mut lanes, end), "to 0, free");
        }
    }
}

#[test]
fn a_response_without_a_consumer_is_dropped_up_to_its_end() {
    let mut lanes = Lanes::new(64 << 10);
    lanes.begin(LANE, false);
    lanes.written();
    assert!(lanes.detach(LANE) && !lanes.detach(LANE));
    let got = [CREATED, DELTA, COMPLETED, DELTA].map(|payload| route(&mut lanes, payload));
    assert_eq!(got, ["ignore", "ignore", "freed 0", "retire"]);
    assert!(!idle().detach(LANE) && !reused().detach(LANE));

    let mut long = Lanes::new(64 << 10);
    long.begin(LANE, false);
    long.written();
    long.detach(LANE);
    assert_eq!(route(&mut long, CREATED), "ignore");
    let delta = DELTA.replace(r#""x""#, &format!(r#""{}""#, "y".repeat(40 << 10)));
    let got = [&delta, &delta, COMPLETED].map(|payload| route(&mut long, payload));
    assert_eq!(got, ["ignore", "retire", "freed 0"], "the rest is too long");
}

#[test]
fn a_request_that_is_cancelled_before_it_is_written_leaves_nothing() {
    let mut lanes = writing();
    lanes.cancel(LANE);
    assert!(!lanes.is_active(LANE) && lanes.writing().is_none());
    assert_eq!(lanes.last_response(LANE), None);
}

#[test]
fn what_is_held_back_goes_to_its_lane_or_closes_the_connection() {
    let mut own = written_again();
    let frames = [DELTA, DELTA, COMPLETED];
    let got = frames.map(|payload| route(&mut own, payload));
    assert_eq!(got, ["ignore", "ignore", "2 + to 0, free"]);

    let mut late = written_again();
    let got = [DELTA, CREATED, COMPLETED].map(|payload| route(&mut late, payload));
    assert_eq!(got, ["ignore", "late, to 0", "to 0, free"]);

    let mut full = written_again();
    let long = DELTA.replace(r#""x""#, &format!(r#""{}""#, "y".repeat(40 << 10)));
    let got = [&long, &long].map(|payload| route(&mut full, payload));
    assert_eq!(got, ["ignore", "overflow 0"]);
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

/// Names the lane of an event.
fn on(lane: u8, payload: &str) -> String {
    let Some(name) = LaneId(lane).name() else { return payload.to_owned() };
    format!(r#"{{"stream_id":"{name}",{}"#, payload.strip_prefix('{').unwrap())
}

/// Returns the lanes of a socket with running exchanges.
fn running(lanes: impl IntoIterator<Item = u8>) -> Lanes {
    let mut socket = idle();
    for lane in lanes {
        socket.begin(LaneId(lane), false);
        socket.written();
    }
    socket
}

#[test]
fn c086_a_frame_goes_to_the_lane_that_it_names() {
    let mut lanes = running(0..3);
    for (payload, decision) in [
        (on(1, CREATED), "to 1"),
        (on(0, CREATED), "to 0"),
        (on(2, DELTA), "to 2"),
        (on(9, DELTA), "ignore"),
        (r#"{"type":"response.created","stream_id":"lane-01"}"#.to_owned(), "ignore"),
        (r#"{"type":"response.created","stream_id":7}"#.to_owned(), "to 0"),
        (on(1, COMPLETED), "to 1, free"),
        (on(2, ERROR), "to 2, free"),
        (on(0, COMPLETED), "to 0, free"),
    ] {
        assert_eq!(route(&mut lanes, &payload), decision, "{payload}");
    }
    assert_eq!(lanes.last_response(LaneId(1)), Some("resp_2"));
    assert_eq!(lanes.last_response(LaneId(2)), None, "an error leaves no parent");
}

#[test]
fn c169_an_error_without_a_lane_reaches_those_that_it_concerns() {
    let age = r#"{"type":"error","error":{"code":"websocket_connection_limit_reached"}}"#;
    let refused =
        r#"{"type":"error","status":400,"error":{"message":"Unsupported parameter: stream_id"}}"#;
    // Lanes with an exchange, those of them whose response has begun, the error, the decision.
    let cases: [(&[u8], &[u8], &str, &str); 9] = [
        (&[0, 1, 2], &[0], age, "to [0, 1, 2], free"),
        (&[1, 2], &[], age, "to [1, 2], free"),
        (&[0, 1, 2], &[2], refused, "to [1], free"),
        (&[1, 2], &[1, 2], refused, "retire"),
        (&[0, 1], &[0], ERROR, "to 0, free"),
        (&[1], &[1], ERROR, "to 1, free"),
        (&[1, 2, 3], &[1, 3], ERROR, "to 2, free"),
        (&[1, 2, 3], &[1], ERROR, "to [1, 2, 3], free"),
        (&[1, 2], &[1, 2], ERROR, "to [1, 2], free"),
    ];
    for (active, begun, error, decision) in cases {
        let mut lanes = running(active.iter().copied());
        for lane in begun {
            route(&mut lanes, &on(*lane, CREATED));
        }
        assert_eq!(route(&mut lanes, error), decision, "{active:?} {begun:?} {error}");
    }
    let mut lanes = running(1..3);
    lanes.begin(LaneId(3), false);
    assert_eq!(route(&mut lanes, age), "to [1, 2, 3], unsent");
}

#[test]
fn c168_an_error_about_an_interrupt_of_an_ended_response_concerns_nobody() {
    let error = r#"{"type":"error","status":400,"error":{"code":"response_not_found"}}"#;
    let accepted = r#"{"type":"response.interrupt.accepted","response_id":"resp_2"}"#;
    // The interrupt crosses the end of its response, beside other lanes or alone.
    for others in [vec![], vec![2], vec![2, 3]] {
        let mut lanes = running([&[1], &others[..]].concat());
        route(&mut lanes, &on(1, CREATED));
        assert!(send(&mut lanes, LaneId(1), MessageKind::Interrupt));
        assert_eq!(route(&mut lanes, &on(1, COMPLETED)), "to 1, free");
        lanes.begin(LaneId(1), false);
        lanes.written();
        assert_eq!(route(&mut lanes, error), "ignore", "{others:?}");
        assert!(lanes.is_active(LaneId(1)) && others.iter().all(|it| lanes.is_active(LaneId(*it))));
        assert_ne!(route(&mut lanes, error), "ignore", "one interrupt, one answer");
    }
    // The response that follows after a steer is not meant either.
    let mut lanes = running(1..3);
    route(&mut lanes, &on(1, CREATED));
    assert!(
        send(&mut lanes, LaneId(1), MessageKind::Steer)
            && send(&mut lanes, LaneId(1), MessageKind::Interrupt)
    );
    assert_eq!(route(&mut lanes, &on(1, COMPLETED)), "to 1");
    assert!(!send(&mut lanes, LaneId(1), MessageKind::Interrupt), "no response runs");
    assert_eq!(route(&mut lanes, error), "ignore");
    // The server does not know the response that runs.
    let mut lanes = running(1..4);
    for lane in 1..4 {
        route(&mut lanes, &on(lane, CREATED));
    }
    assert!(send(&mut lanes, LaneId(2), MessageKind::Interrupt));
    assert_eq!(route(&mut lanes, error), "to 2, free");
    // An answered interrupt has no other answer.
    let mut lanes = running(1..3);
    assert!(send(&mut lanes, LaneId(1), MessageKind::Interrupt));
    route(&mut lanes, &on(1, accepted));
    route(&mut lanes, &on(1, COMPLETED));
    assert_eq!(route(&mut lanes, error), "to 2, free");
}

#[test]
fn c169_an_error_that_ends_a_socket_retires_it_although_nobody_reads_it() {
    let age = r#"{"type":"error","error":{"code":"websocket_connection_limit_reached"}}"#;
    for (error, decision) in [(age, "freed 1, retired"), (ERROR, "freed 1")] {
        let mut lanes = running([1]);
        route(&mut lanes, &on(1, CREATED));
        assert!(lanes.detach(LaneId(1)));
        assert_eq!(route(&mut lanes, error), decision);
    }
}

#[test]
fn c160_a_name_that_something_between_removes_is_missed_only_beside_other_lanes() {
    let mut alone = running([2]);
    let got = [CREATED, DELTA, COMPLETED].map(|payload| route(&mut alone, payload));
    assert_eq!(got, ["to 2", "to 2", "to 2, free"]);
    let mut two = running([1, 2]);
    let got = [CREATED, DELTA, KEEPALIVE].map(|payload| route(&mut two, payload));
    assert_eq!(got, ["retire", "retire", "ignore"]);
}

#[test]
fn c086_a_late_event_of_the_default_lane_goes_to_no_other() {
    let mut lanes = reused();
    lanes.begin(LaneId(1), false);
    lanes.written();
    assert_eq!(route(&mut lanes, OLD), "ignore");
    assert_eq!(route(&mut lanes, &on(1, CREATED)), "to 1");
    assert_eq!(route(&mut lanes, OLD), "ignore");
}

#[test]
fn c086_an_event_without_a_name_is_of_no_named_lane_once_a_name_has_come() {
    let age = r#"{"type":"error","error":{"code":"websocket_connection_limit_reached"}}"#;
    let mut lanes = running(0..2);
    route(&mut lanes, &on(1, CREATED));
    assert_eq!(route(&mut lanes, age), "to [0, 1], free");
    lanes.begin(LaneId(2), false);
    lanes.written();
    // The response of the default lane runs on.
    assert_eq!(route(&mut lanes, DELTA), "retire");
    assert_eq!(route(&mut lanes, ERROR), "to 2, free");
}

#[test]
fn c086_garbage_ends_the_exchanges_that_it_may_belong_to() {
    let mut lanes = running(1..3);
    assert_eq!(route(&mut lanes, "<html>"), "to [1, 2], broken");
    let mut lanes = running([1]);
    route(&mut lanes, &on(1, CREATED));
    assert_eq!(route(&mut lanes, "<html>"), "to [1], broken");
    let mut lanes = running(0..2);
    assert_eq!(route(&mut lanes, "<html>"), "to 0, broken");
}

#[test]
fn the_names_of_lanes_are_unambiguous() {
    assert_eq!(LaneId::DEFAULT.name(), None);
    for lane in 1..=62 {
        let name = LaneId(lane).name().unwrap();
        assert_eq!(LaneId::of_name(&name), Some(LaneId(lane)));
    }
    for name in ["lane-0", "lane-", "lane-01", "lane-+1", "lane-256", "Lane-1", "1", "lane-1 "] {
        assert_eq!(LaneId::of_name(name), None, "{name}");
    }
}

#[test]
fn c086_the_name_of_a_lane_is_that_of_the_event_and_not_of_what_it_contains() {
    for (payload, name) in [
        (r#"{"type":"x","stream_id":"a"}"#, Some("a")),
        (r#"{"stream_id":"a","type":"x","response":{"metadata":{"stream_id":"b"}}}"#, Some("a")),
        (r#"{"response":{"metadata":{"stream_id":"b"}},"stream_id":"a"}"#, Some("a")),
        (r#"{"response":{"metadata":{"stream_id":"b"}},"stream_id":"a","n":1}"#, Some("a")),
        (r#"{"response":{"metadata":{"stream_id":"b"}}}"#, None),
        (r#"{"delta":"\"stream_id\":\"b\"","n":1}"#, None),
        (r#"{"delta":"{","stream_id":"a","n":1}"#, Some("a")),
        (r#"{"param":"stream_id","n":1}"#, None),
        (r#"{"stream_id" : "a" }"#, Some("a")),
        (r#"{"stream_id":"\u0061"}"#, Some("a")),
        (r#"{"stream_id":"a","stream_id":"c"}"#, Some("c")),
        (r#"{"stream_id":null}"#, None),
        ("{}", None),
    ] {
        let frame = Responses.classify("", payload.into());
        assert_eq!(frame.stream_id().as_deref(), name, "{payload}");
    }
}

#[test]
fn c086_the_tail_of_a_failed_response_goes_to_no_other_lane() {
    let mut lanes = running([0, 1]);
    let age = r#"{"type":"error","error":{"code":"websocket_connection_limit_reached"}}"#;
    assert_eq!(route(&mut lanes, age), "to [0, 1], free");
    lanes.begin(LaneId(2), false);
    lanes.written();
    assert_eq!(route(&mut lanes, CREATED), "retire");
}

#[test]
fn c168_the_late_answer_to_an_interruption_ends_no_other_exchange() {
    let refused = r#"{"type":"error","status":400,"error":{"code":"response_not_found"}}"#;
    let failed = r#"{"type":"response.interrupt.failed","response_id":"resp_2"}"#;
    let accepted = r#"{"type":"response.interrupt.accepted","response_id":"resp_2"}"#;
    let interrupted = || {
        let mut lanes = running([0]);
        assert!(send(&mut lanes, LANE, MessageKind::Interrupt));
        lanes
    };
    for answer in [refused, failed, accepted] {
        let mut lanes = interrupted();
        assert_eq!(route(&mut lanes, COMPLETED), "to 0, free");
        assert!(!send(&mut lanes, LANE, MessageKind::Interrupt), "nothing runs");
        // Errors of another kind are those of the socket.
        assert_eq!(route(&mut lanes, ERROR), "retire");
        lanes.begin(LANE, false);
        lanes.written();
        assert_eq!(route(&mut lanes, answer), "ignore");
        assert_eq!(route(&mut lanes, refused), "to 0, free", "one answer was due");
    }
    // The answer has come before the end, or there was no interruption.
    for answer in [Some(accepted), Some(failed), None] {
        let mut lanes = if answer.is_some() { interrupted() } else { running([0]) };
        if let Some(answer) = answer {
            assert_eq!(route(&mut lanes, answer), "to 0");
        }
        assert_eq!(route(&mut lanes, COMPLETED), "to 0, free");
        assert_eq!(route(&mut lanes, refused), "retire");
    }
    // The error of a request whose parent is not known.
    let parent = refused.replace(r#""code""#, r#""param":"previous_response_id","code""#);
    let mut lanes = interrupted();
    route(&mut lanes, COMPLETED);
    lanes.begin(LANE, false);
    lanes.written();
    assert_eq!(route(&mut lanes, &parent), "to 0, free");
    // An answer that comes too late.
    let mut lanes = interrupted();
    route(&mut lanes, COMPLETED);
    let frame = Responses.classify("", refused.into());
    let later = Instant::now() + std::time::Duration::from_secs(11);
    assert!(matches!(lanes.route(frame, later), Route::Retire));
}

#[test]
fn c168_a_message_about_a_response_that_another_one_follows_is_not_sent() {
    for kind in [MessageKind::Steer, MessageKind::Interrupt] {
        let mut lanes = running([0]);
        route(&mut lanes, CREATED);
        assert!(send(&mut lanes, LANE, MessageKind::Steer));
        assert_eq!(route(&mut lanes, COMPLETED), "to 0");
        let successor = CREATED.replace("resp_2", "resp_3");
        assert_eq!(route(&mut lanes, &successor), "to 0");
        assert!(!send(&mut lanes, LANE, kind), "{kind:?}: the response has ended");
        let next = Message { kind, target: "resp_3".to_owned(), frame: String::new() };
        assert!(lanes.send(LANE, &next), "{kind:?}");
    }
}

#[test]
fn c118_c291_an_answer_without_a_name_belongs_to_the_lane_of_the_message_that_it_names() {
    let send_to = |lanes: &mut Lanes, lane: u8, kind: MessageKind| {
        let message = Message { kind, target: format!("resp_{lane}"), frame: String::new() };
        assert!(lanes.send(LaneId(lane), &message));
    };
    let accepted = |lane: u8| {
        let steer = format!(r#"{{"id":"steer_{lane}","previous_response_id":"resp_{lane}"}}"#);
        format!(r#"{{"type":"response.steer.accepted","steer":{steer}}}"#)
    };
    let failed = accepted(0).replace("accepted", "failed");
    let completed = COMPLETED.replace("resp_2", "resp_0");
    let began = || {
        let mut lanes = running(0..3);
        for lane in 0..3 {
            let created = CREATED.replace("resp_2", &format!("resp_{lane}"));
            let created = if lane == 0 { created } else { on(lane, &created) };
            assert_eq!(route(&mut lanes, &created), format!("to {lane}"));
        }
        lanes
    };
    // The steer of the default lane has its first answer. Only another lane waits for one.
    let mut lanes = began();
    send_to(&mut lanes, 0, MessageKind::Steer);
    assert_eq!(route(&mut lanes, &accepted(0)), "to 0");
    send_to(&mut lanes, 1, MessageKind::Steer);
    assert_eq!(route(&mut lanes, &completed), "to 0");
    assert_eq!(route(&mut lanes, &failed), "to 0, free");
    // The response decides while several lanes wait.
    for at in [1, 2] {
        let mut lanes = began();
        for lane in 0..3 {
            send_to(&mut lanes, lane, MessageKind::Steer);
        }
        assert_eq!(route(&mut lanes, &accepted(at)), format!("to {at}"));
        assert_eq!(route(&mut lanes, &accepted(0)), "to 0");
    }
    // Nobody waits for the answer about another response, or to a steer that is not open.
    let mut lanes = running(1..3);
    route(&mut lanes, &on(1, &CREATED.replace("resp_2", "resp_1")));
    send_to(&mut lanes, 1, MessageKind::Steer);
    send_to(&mut lanes, 1, MessageKind::Inject);
    assert_eq!(route(&mut lanes, &failed), "ignore");
    let outputs = r#"{"type":"response.inject.created","response_id":"resp_0"}"#;
    assert_eq!(route(&mut lanes, outputs), "ignore");
    assert_eq!(route(&mut lanes, &outputs.replace("resp_0", "resp_1")), "to 1");
    // An answer that names nothing is for the only lane that waits.
    assert_eq!(route(&mut lanes, r#"{"type":"response.steer.failed"}"#), "to 1");
}
