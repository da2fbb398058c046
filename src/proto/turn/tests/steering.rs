//! Steers, the responses that follow, and stops.

use super::*;
use crate::proto::{
    lane::MessageKind,
    turn::{
        message::{InputErrorKind, MessageId},
        steer::SteerState,
    },
};

const ACCEPTED: &str =
    r#"{"type":"response.steer.accepted","steer":{"id":"a","previous_response_id":"r"}}"#;
const FAILED: &str = r#"{"type":"response.steer.failed","error":{"code":"x"},"steer":{"id":"a"}}"#;
const STEERED: &str = r#"{"type":"response.incomplete","response":{"id":"r","status":"incomplete","incomplete_details":{"reason":"steered"}}}"#;
const NEXT: &str =
    r#"{"type":"response.created","response":{"id":"s","previous_response_id":"r"}}"#;
const NEXT_DONE: &str =
    r#"{"type":"response.completed","response":{"id":"s","status":"completed"}}"#;

fn streaming(settings: Settings) -> Scene {
    let mut scene = Scene::new(Goal::Turn, settings, request(), PreviousTurn::None);
    scene.prewarmed().leased(None).authorized().opened(Ok(seat())).sent().frame(CREATED);
    scene.outputs();
    scene.commands();
    scene
}

fn steering() -> Settings {
    let mut settings = Settings { steer: true, ..settings() };
    settings.policy.retry.replay = ReplayPolicy::BeforeOutput;
    settings
}

impl Scene {
    fn steer(&mut self) -> Result<(), InputErrorKind> {
        let message = self.machine.steer(&"more".into())?;
        assert_eq!(self.commands(), "steer");
        self.machine.handle_message_sent(message, true);
        Ok(())
    }

    fn state(&mut self) -> Option<SteerState> {
        std::iter::from_fn(|| self.machine.poll_steer()).last().map(|(_, state)| state)
    }
}

#[test]
fn c165_a_terminal_event_is_held_back_until_the_next_response_or_its_refusal() {
    let mut scene = streaming(steering());
    scene.steer().unwrap();
    scene.frame(ACCEPTED).frame(STEERED);
    assert_eq!(scene.outputs().0, ["response.steer.accepted"]);
    assert_eq!(scene.commands(), "", "the lane is not free");
    assert_eq!(scene.steer(), Err(InputErrorKind::NotRunning));
    scene.frame(NEXT);
    assert_eq!(scene.outputs().0, ["responses_client.steered", "response.created"]);
    assert!(matches!(scene.state(), Some(SteerState::Committed { .. })));
    scene.steer().unwrap();
    scene.frame(NEXT_DONE);
    assert!(scene.outputs().0.is_empty(), "the second response is steered as well");
    scene.frame(FAILED);
    assert_eq!(scene.outputs().0, ["response.steer.failed", "response.completed"]);
    assert_eq!(scene.commands(), "commit s, release retire=false");
    assert_eq!(scene.machine.report().responses.len(), 2);
}

#[test]
fn c165_a_response_that_continues_another_one_is_not_taken_for_the_successor() {
    let started =
        r#"{"type":"response.created","response":{"id":"s","previous_response_id":"other"}}"#;
    for foreign in [
        started,
        r#"{"type":"error","error":{"code":"server_error","message":"x"}}"#,
        r#"{"type":"response.failed","response":{"id":"s","status":"failed"}}"#,
    ] {
        let mut scene = streaming(steering());
        scene.steer().unwrap();
        scene.frame(ACCEPTED).frame(STEERED);
        assert_eq!(scene.outputs().0, ["response.steer.accepted"]);
        scene.frame(foreign);
        assert_eq!(scene.outputs().0, ["response.incomplete"], "{foreign}");
        assert!(matches!(scene.state(), Some(SteerState::Unknown)));
        let ended = if foreign == started { "" } else { "release retire=false, " };
        assert_eq!(scene.commands(), format!("{ended}commit r, abort"), "{foreign}");
        assert!(scene.machine.report().responses.is_empty());
    }
    // Some servers state no parent.
    let mut scene = streaming(steering());
    scene.steer().unwrap();
    scene.frame(ACCEPTED).frame(STEERED).outputs();
    scene.frame(r#"{"type":"response.created","response":{"id":"s","previous_response_id":null}}"#);
    assert!(scene.outputs().0.contains(&"responses_client.steered"));
}

#[test]
fn c165_a_response_whose_steer_is_given_up_is_not_continued_on_its_lane() {
    for is_given_up in [false, true] {
        let mut scene = streaming(steering());
        scene.steer().unwrap();
        scene.frame(ACCEPTED).frame(STEERED).outputs();
        match is_given_up {
            false => _ = scene.frame(FAILED).outputs(),
            true => {
                while scene.outputs().0.is_empty() {
                    scene.timeout();
                }
            }
        }
        let commands = std::iter::from_fn(|| scene.machine.poll_command());
        let seats: Vec<_> = commands
            .filter_map(|command| match command {
                Command::Commit { previous: PreviousTurn::Completed(base), .. } => Some(base.seat),
                _ => None,
            })
            .collect();
        // The next response may replace the parent there.
        assert!(matches!(seats.as_slice(), [seat] if seat.is_none() == is_given_up), "{seats:?}");
    }
}

#[test]
fn c165_an_error_in_place_of_the_next_response_retires_its_connection() {
    let age = r#"{"type":"error","error":{"code":"websocket_connection_limit_reached"}}"#;
    let mut scene = streaming(steering());
    scene.steer().unwrap();
    scene.frame(ACCEPTED).frame(STEERED).outputs();
    scene.frame(age);
    assert_eq!(scene.outputs().0, ["response.incomplete"]);
    assert_eq!(scene.commands(), "release retire=true, commit r, abort");
}

#[test]
fn c168_a_stop_that_crosses_the_end_of_a_steered_response_interrupts_the_next_one() {
    let mut scene = streaming(Settings { interrupt: true, ..steering() });
    scene.steer().unwrap();
    scene.frame(ACCEPTED).outputs();
    scene.machine.stop(scene.now);
    assert_eq!(scene.commands(), "interrupt");
    let interrupt = MessageId { kind: MessageKind::Interrupt, number: 0 };
    scene.frame(STEERED).machine.handle_message_sent(interrupt, false);
    scene.outputs();
    scene.frame(NEXT);
    assert_eq!(scene.outputs().0, ["responses_client.steered", "response.created"]);
    assert_eq!(scene.commands(), "interrupt");
}

#[test]
fn c165_the_wait_for_the_next_response_is_limited() {
    let calls = r#"{"type":"response.completed","response":{"id":"r","status":"completed","output":[{"type":"function_call","call_id":"c","name":"f","arguments":"{}","status":"completed"}]}}"#;
    for (end, wait) in [(STEERED, 10), (COMPLETED, 10), (calls, 1)] {
        let mut scene = streaming(steering());
        scene.steer().unwrap();
        scene.frame(ACCEPTED).frame(end);
        scene.outputs();
        let start = scene.now;
        while scene.outputs().0.is_empty() {
            scene.timeout();
        }
        let waited = scene.now.duration_since(start);
        assert!(waited >= wait * SECOND && waited < (wait + 1) * SECOND, "{waited:?}");
        assert!(matches!(scene.state(), Some(SteerState::Unknown)));
        assert_eq!(scene.commands(), "commit r, abort");
    }
}

#[test]
fn c167_a_failed_response_waits_for_the_input_of_its_steers_and_is_then_retried_without_them() {
    let failed = r#"{"type":"response.failed","response":{"id":"r","status":"failed","error":{"code":"server_error","message":"x"}}}"#;
    let mut scene = streaming(steering());
    scene.steer().unwrap();
    scene.frame(ACCEPTED).frame(failed);
    scene.outputs();
    assert_eq!(scene.commands(), "");
    scene.frame(FAILED);
    scene.outputs();
    assert!(matches!(scene.state(), Some(SteerState::Failed { .. })));
    let retried = scene.commands();
    assert!(retried.contains("release retire=false") && retried.contains("failed"), "{retried}");

    // Without an answer, another attempt could lose the input.
    let mut scene = streaming(steering());
    scene.steer().unwrap();
    scene.frame(ACCEPTED).frame(failed);
    scene.outputs();
    while !scene.machine.is_done() {
        scene.timeout();
        scene.outputs();
    }
    assert!(matches!(scene.state(), Some(SteerState::Unknown)));
    assert!(!scene.commands().contains("failed"), "no other attempt");
}

#[test]
fn c167_a_turn_is_not_repeated_while_a_steer_may_have_been_applied() {
    for accepted in [false, true] {
        let mut scene = streaming(steering());
        scene.steer().unwrap();
        if accepted {
            scene.frame(ACCEPTED);
        }
        scene.machine.handle_end(StreamEnd::Disconnected(None), scene.now);
        scene.outputs();
        assert!(scene.machine.is_done());
        assert!(matches!(scene.state(), Some(SteerState::Unknown)));
    }
    // After a refusal, and without a steer, the request is repeated.
    for refused in [false, true] {
        let mut scene = streaming(steering());
        if refused {
            scene.steer().unwrap();
            scene.frame(FAILED);
        }
        scene.machine.handle_end(StreamEnd::Disconnected(None), scene.now);
        scene.outputs();
        assert!(!scene.machine.is_done());
    }
}

#[test]
fn c168_a_stop_interrupts_or_closes() {
    let stopped = |scene: &mut Scene, commands: &str| {
        let error = scene.error();
        assert_eq!((error.kind(), error.delivery()), (ErrorKind::Stopped, Delivery::OutputStarted));
        assert!(error.response().is_some());
        assert_eq!(scene.commands(), commands);
        assert!(scene.machine.is_done());
    };
    let mut scene = streaming(settings());
    scene.frame(DELTA);
    scene.machine.stop(scene.now);
    stopped(&mut scene, "abort");
    scene.machine.stop(scene.now);
    assert_eq!(scene.commands(), "", "once");

    let interrupts = Settings { interrupt: true, ..settings() };
    let interrupted = r#"{"type":"response.incomplete","response":{"id":"r","status":"incomplete","incomplete_details":{"reason":"interrupted"}}}"#;
    let failed = r#"{"type":"response.interrupt.failed","response_id":"r"}"#;
    let error = r#"{"type":"error","error":{"code":"response_not_found","message":"x"}}"#;
    for answer in [Some(interrupted), Some(COMPLETED), Some(failed), Some(error), None] {
        let mut scene = streaming(interrupts.clone());
        scene.frame(DELTA);
        scene.outputs();
        scene.machine.stop(scene.now);
        scene.machine.stop(scene.now);
        assert_eq!(scene.commands(), "interrupt", "once");
        let start = scene.now;
        match answer {
            Some(answer) => {
                scene.frame(answer);
            }
            None => {
                while scene.machine.is_streaming() {
                    scene.timeout();
                }
                assert!(scene.now.duration_since(start) >= 10 * SECOND);
            }
        }
        match answer {
            Some(it) if it == interrupted || it == COMPLETED => {
                assert!(scene.outputs().1.is_none() && scene.machine.is_done());
                assert_eq!(scene.commands(), "commit r, release retire=false");
            }
            // Nothing is left to abort, and the response may continue.
            Some(it) if it == error => stopped(&mut scene, "release retire=true, abort"),
            _ => stopped(&mut scene, "abort"),
        }
    }
}

#[test]
fn c166_a_carried_steer_that_fails_leaves_no_baseline() {
    let pending = r#"{"type":"response.steer.pending","steer":{"id":"a"},"required_input":[]}"#;
    for refused in [false, true] {
        let mut scene = streaming(steering());
        scene.steer().unwrap();
        scene.frame(ACCEPTED).frame(COMPLETED).frame(pending).outputs();
        let steers = scene.machine.take_pending_steers();
        let mut request = request();
        request.input.push(Item::user("more"));
        let mut scene = Scene::new(Goal::Turn, steering(), request, PreviousTurn::None);
        assert_eq!(scene.machine.carry(steers).len(), 1);
        scene.prewarmed().leased(None).authorized().opened(Ok(seat())).sent();
        if refused {
            scene.frame(FAILED);
        }
        scene.frame(CREATED).frame(COMPLETED).outputs();
        let state = scene.state().expect("a state");
        assert_eq!(matches!(state, SteerState::Failed { .. }), refused, "{state:?}");
        assert_eq!(matches!(state, SteerState::Committed { .. }), !refused, "{state:?}");
        // The server's history lacks the input that the caller's history has.
        let commit = if refused { "commit nothing" } else { "commit r" };
        assert!(scene.commands().contains(commit), "{refused}");
    }
}
