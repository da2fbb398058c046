//! Injects, and what their answers mean for the turn.

use super::*;
use crate::proto::turn::{inject::InjectState, message::InputErrorKind};

const CREATED_INJECT: &str = r#"{"type":"response.inject.created","response_id":"r"}"#;
const FAILED: &str = r#"{"type":"response.inject.failed","response_id":"r","error":{"code":"x"}}"#;
const CALL: &str = r#"{"type":"response.output_item.done","output_index":0,"item":{"type":"function_call","call_id":"c","name":"f","arguments":"{}"}}"#;

fn injecting() -> Settings {
    let mut settings = Settings { inject: true, steer: true, ..settings() };
    settings.policy.retry.replay = ReplayPolicy::Restart;
    settings
}

fn streaming(settings: Settings) -> Scene {
    let mut scene = Scene::new(Goal::Turn, settings, request(), PreviousTurn::None);
    scene.prewarmed().leased(None).authorized().opened(Ok(seat())).sent().frame(CREATED);
    scene.frame(CALL).outputs();
    scene.commands();
    scene
}

impl Scene {
    fn inject(&mut self) -> Result<(), InputErrorKind> {
        let outputs = Item::function_call_output("c", "7").into();
        let message = self.machine.inject(&outputs)?;
        assert_eq!(self.commands(), "inject");
        self.machine.handle_message_sent(message, true);
        Ok(())
    }

    fn inject_state(&mut self) -> Option<InjectState> {
        std::iter::from_fn(|| self.machine.poll_inject()).last().map(|(_, state)| state)
    }
}

#[test]
fn c290_outputs_that_are_committed_after_the_end_belong_to_the_response_that_has_ended() {
    for steered in [false, true] {
        let mut scene = streaming(injecting());
        scene.inject().unwrap();
        if steered {
            scene.machine.steer(&"more".into()).unwrap();
            scene.frame(r#"{"type":"response.steer.accepted","steer":{"id":"a"}}"#);
        }
        scene.frame(COMPLETED);
        let before = if steered { vec!["response.steer.accepted"] } else { vec![] };
        assert_eq!(scene.outputs().0, before, "the lane is not free");
        assert_eq!(scene.inject(), Err(InputErrorKind::NotRunning));
        scene.commands();
        scene.frame(CREATED_INJECT);
        if steered {
            scene.frame(
                r#"{"type":"response.created","response":{"id":"s","previous_response_id":"r"}}"#,
            );
            scene.frame(
                r#"{"type":"response.completed","response":{"id":"s","status":"completed"}}"#,
            );
        }
        assert_eq!(scene.outputs().0.last(), Some(&"response.completed"));
        assert!(matches!(scene.inject_state(), Some(InjectState::Committed)));
        let id = if steered { "s" } else { "r" };
        assert_eq!(scene.commands(), format!("commit {id}, release retire=false"));
        let kinds: Vec<_> =
            scene.machine.response().output_items().map(|it| it.item_type().to_owned()).collect();
        let expected = ["function_call", "function_call_output", "message"];
        assert_eq!(kinds, expected[..if steered { 3 } else { 2 }]);
    }
}

#[test]
fn c291_an_answer_after_the_next_response_has_begun_leaves_no_baseline() {
    for (answer, commit) in [(CREATED_INJECT, "commit nothing"), (FAILED, "commit s")] {
        let mut scene = streaming(injecting());
        scene.inject().unwrap();
        scene.machine.steer(&"more".into()).unwrap();
        scene.frame(r#"{"type":"response.steer.accepted","steer":{"id":"a"}}"#).frame(COMPLETED);
        scene.outputs();
        scene.frame(
            r#"{"type":"response.created","response":{"id":"s","previous_response_id":"r"}}"#,
        );
        scene.frame(answer);
        scene.frame(r#"{"type":"response.completed","response":{"id":"s","status":"completed"}}"#);
        assert_eq!(scene.outputs().0.last(), Some(&"response.completed"));
        assert!(scene.commands().contains(commit), "{commit}");
    }
}

#[test]
fn c291_no_response_follows_an_inject() {
    let mut scene = streaming(injecting());
    scene.inject().unwrap();
    scene.frame(COMPLETED).outputs();
    scene.frame(r#"{"type":"response.created","response":{"id":"s","previous_response_id":"r"}}"#);
    assert_eq!(scene.outputs().0, ["response.completed"]);
    assert!(matches!(scene.inject_state(), Some(InjectState::Unknown)));
    assert_eq!(scene.commands(), "commit nothing, abort");
}

#[test]
fn c291_the_wait_for_an_answer_is_limited_and_its_end_leaves_no_baseline() {
    let calls = r#"{"type":"response.completed","response":{"id":"r","status":"completed","output":[{"type":"function_call","call_id":"c","name":"f","arguments":"{}","status":"completed"}]}}"#;
    let none = r#"{"type":"response.completed","response":{"id":"r","status":"completed","output":[{"type":"message","role":"assistant","content":[]}]}}"#;
    for (end, wait, first) in [(calls, 1, CALL), (none, 10, DELTA)] {
        let mut scene = Scene::new(Goal::Turn, injecting(), request(), PreviousTurn::None);
        scene.prewarmed().leased(None).authorized().opened(Ok(seat())).sent().frame(CREATED);
        scene.frame(first).outputs();
        scene.commands();
        scene.inject().unwrap();
        scene.frame(end).outputs();
        let start = scene.now;
        while scene.outputs().0.is_empty() {
            scene.timeout();
        }
        let waited = scene.now.duration_since(start);
        assert!(waited >= wait * SECOND && waited < (wait + 1) * SECOND, "{waited:?}");
        assert!(matches!(scene.inject_state(), Some(InjectState::Unknown)));
        assert_eq!(scene.commands(), "commit nothing, abort");
    }
}

#[test]
fn c291_a_turn_is_not_repeated_once_outputs_may_be_committed() {
    for answer in [None, Some(CREATED_INJECT), Some(FAILED)] {
        let mut scene = streaming(injecting());
        scene.inject().unwrap();
        if let Some(answer) = answer {
            scene.frame(answer);
        }
        scene.machine.handle_end(StreamEnd::Disconnected(None), scene.now);
        scene.outputs();
        // After a refusal, the request is repeated.
        assert_eq!(scene.machine.is_done(), answer != Some(FAILED), "{answer:?}");
    }
}

#[test]
fn c291_a_failed_response_waits_for_the_outputs_that_come_back() {
    let failed = r#"{"type":"response.failed","response":{"id":"r","status":"failed","error":{"code":"server_error","message":"x"}}}"#;
    let mut scene = streaming(injecting());
    scene.inject().unwrap();
    scene.frame(failed).outputs();
    assert_eq!(scene.commands(), "");
    scene.frame(FAILED).outputs();
    assert!(matches!(scene.inject_state(), Some(InjectState::Failed { .. })));
    assert!(scene.commands().contains("release retire=false"));
}

#[test]
fn c290_an_output_never_stands_before_its_call() {
    let added = r#"{"type":"response.output_item.added","output_index":0,"item":{"type":"message","role":"assistant","content":[]}}"#;
    let call = CALL.replace(r#""output_index":0"#, r#""output_index":1"#);
    let done = r#"{"type":"response.output_item.done","output_index":0,"item":{"type":"message","role":"assistant","content":[{"type":"output_text","text":"x"}]}}"#;
    let mut scene = Scene::new(Goal::Turn, injecting(), request(), PreviousTurn::None);
    scene.prewarmed().leased(None).authorized().opened(Ok(seat())).sent().frame(CREATED);
    // The call is finished first, and stands after the message.
    scene.frame(added).frame(&call).outputs();
    scene.commands();
    scene.inject().unwrap();
    scene.frame(CREATED_INJECT).frame(done);
    let kinds = |scene: &Scene| {
        let items = scene.machine.response();
        items.output_items().map(|it| it.item_type().to_owned()).collect::<Vec<_>>()
    };
    let expected = ["message", "function_call", "function_call_output"];
    assert_eq!(kinds(&scene), expected);
    scene.frame(COMPLETED).outputs();
    assert_eq!(kinds(&scene), expected);
}
