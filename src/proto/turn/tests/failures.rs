//! Failed attempts: their part in the next attempt, in the report and in the error of the turn.

use super::*;
use crate::{
    config::{ReplayPolicy, RetryPolicy, Timeouts},
    kind::Delivery,
    proto::wire::Encoded,
};

const BUSY: &str =
    r#"{"type":"error","status":503,"error":{"code":"server_is_overloaded","message":""}}"#;
const TOO_OLD: &str =
    r#"{"type":"error","status":400,"error":{"code":"websocket_connection_limit_reached"}}"#;
const INVALID: &str =
    r#"{"type":"error","status":400,"error":{"code":"invalid_prompt","message":""}}"#;

fn under(retry: RetryPolicy) -> Scene {
    let settings = Settings { policy: Policy { retry, ..Policy::default() }, ..settings() };
    let mut scene = Scene::new(Goal::Turn, settings, request(), PreviousTurn::None);
    scene.prewarmed();
    scene
}

fn replaying(replay: ReplayPolicy, replays: u32) -> Scene {
    under(RetryPolicy { replay, max_replays: replays, ..RetryPolicy::default() })
}

impl Scene {
    /// Advances an attempt from its lease to the sent request.
    fn sent_anew(&mut self) -> &mut Self {
        self.leased(None).authorized().opened(Ok(seat())).sent()
    }

    fn lost(&mut self) -> &mut Self {
        self.machine.handle_end(StreamEnd::Disconnected(None), self.now);
        self
    }

    /// Runs an attempt, in which these frames arrive before the connection is lost.
    fn attempt(&mut self, frames: &[&str]) -> &mut Self {
        self.sent_anew();
        frames.iter().for_each(|frame| _ = self.frame(frame));
        self.lost().outputs();
        self
    }

    /// Returns a scene in which the events of a background response are read over SSE.
    fn in_background(retry: RetryPolicy) -> Self {
        let request = request().background(true);
        let mut scene = Self::new(
            Goal::Turn,
            Settings { policy: Policy { retry, ..Policy::default() }, ..settings() },
            request,
            PreviousTurn::None,
        );
        scene.prewarmed();
        scene.machine.handle_drained(false, scene.now);
        scene.authorized().posted(Ok(()));
        scene.frame(r#"{"type":"response.created","sequence_number":0,"response":{"id":"r"}}"#);
        scene.outputs();
        scene.commands();
        scene
    }
}

fn created(id: &str) -> String {
    CREATED.replace("\"r\"", &format!("\"{id}\""))
}

#[test]
fn the_error_of_a_turn_has_its_furthest_delivery_and_a_partial_response() {
    let (a, b) = (&*created("a"), &*created("b"));
    let bare = r#"{"type":"response.in_progress"}"#;
    use ReplayPolicy::{BeforeOutput, Restart};
    // The frames of two attempts, and the result.
    for (replay, first, second, delivery, partial) in [
        (BeforeOutput, &[a][..], &[b][..], Delivery::Accepted, Some("b")),
        (BeforeOutput, &[a], &[bare], Delivery::Accepted, None),
        (Restart, &[a, DELTA], &[b], Delivery::OutputStarted, Some("b")),
        (Restart, &[a], &[b, DELTA], Delivery::OutputStarted, Some("b")),
        (Restart, &[a, DELTA], &[], Delivery::OutputStarted, Some("a")),
    ] {
        let mut scene = replaying(replay, 1);
        scene.attempt(first).timeout().sent_anew();
        second.iter().for_each(|frame| _ = scene.frame(frame));
        let error = scene.lost().error();
        assert_eq!(error.delivery(), delivery, "{first:?} {second:?}");
        let id = error.response().map(Response::id);
        assert_eq!(id, partial, "{first:?} {second:?}");
    }
    // The first of two attempts that got equally far.
    let mut scene = replaying(BeforeOutput, 2);
    scene.attempt(&[a]).timeout().attempt(&[b]).timeout().sent_anew().frame(INVALID);
    let error = scene.error();
    assert_eq!((error.kind(), error.delivery()), (ErrorKind::Api, Delivery::Accepted));
    assert_eq!(error.response().map(Response::id), Some("a"));
    // A refusal is no reason against sending the request again.
    let mut scene = under(RetryPolicy::default());
    scene.sent_anew().frame(BUSY).timeout().leased(None).authorized();
    let proxy = failure(ErrorKind::Proxy, Phase::Connect).with_delivery(Delivery::NotSent);
    assert_eq!(scene.opened(Err(proxy)).error().delivery(), Delivery::NotSent);
}

#[test]
fn a_turn_that_is_cancelled_between_attempts_has_the_delivery_of_the_last_one() {
    let mut scene = under(RetryPolicy::default());
    scene.sent_anew().frame(BUSY).commands();
    scene.machine.handle_cancelled(ErrorKind::Superseded);
    let error = scene.error();
    assert_eq!((error.delivery(), error.phase()), (Delivery::Refused, Phase::FirstEvent));
    let mut scene = under(RetryPolicy::default());
    scene.sent_anew().lost().commands();
    scene.machine.handle_cancelled(ErrorKind::Superseded);
    assert_eq!(scene.error().delivery(), Delivery::Unknown);
    let mut scene = replaying(ReplayPolicy::BeforeOutput, 1);
    scene.attempt(&[CREATED]).commands();
    scene.machine.handle_cancelled(ErrorKind::Superseded);
    let error = scene.error();
    assert_eq!((error.delivery(), error.phase()), (Delivery::Accepted, Phase::Events));
    assert_eq!(error.response().map(Response::id), Some("r"));
}

#[test]
fn a_turn_that_is_cancelled_while_its_request_is_sent_again_may_have_run() {
    // The server refuses the first request after it has announced the response.
    let mut scene = under(RetryPolicy::default());
    scene.sent_anew().frame(CREATED).frame(TOO_OLD).outputs();
    scene.timeout().leased(None).authorized().opened(Ok(seat())).commands();
    scene.machine.handle_cancelled(ErrorKind::Stopped);
    let error = scene.error();
    assert_eq!((error.kind(), error.delivery()), (ErrorKind::Stopped, Delivery::Unknown));
    let mut scene = under(RetryPolicy::default());
    scene.sent_anew().frame(CREATED).frame(TOO_OLD).outputs();
    scene.timeout().leased(None).commands();
    scene.machine.handle_cancelled(ErrorKind::Stopped);
    assert_eq!(scene.error().delivery(), Delivery::Refused, "nothing was sent again");
}

#[test]
fn only_a_cut_response_in_the_background_is_resumed() {
    let numbered = r#"{"type":"response.created","sequence_number":0,"response":{"id":"r"}}"#;
    let mut foreground = replaying(ReplayPolicy::BeforeOutput, 1);
    foreground.attempt(&[numbered]).commands();
    assert_eq!(foreground.timeout().commands(), "lease fresh=true");
    let mut failed = Scene::in_background(RetryPolicy::default());
    failed.frame(r#"{"type":"error","sequence_number":1,"error":{"code":"server_error"}}"#);
    failed.outputs();
    failed.commands();
    assert_eq!(failed.timeout().commands(), "drain", "it has ended");
    let mut late = Scene::in_background(RetryPolicy::default());
    late.machine.handle_end(StreamEnd::TimedOut, late.now);
    late.outputs();
    late.commands();
    assert_eq!(late.timeout().commands(), "authorize");
    assert_eq!(late.authorized().commands(), "resume r after Some(0)");
}

#[test]
fn a_resumed_response_keeps_what_its_request_sent() {
    let mut scene =
        Scene::in_background(RetryPolicy { max_resend_bytes: 0, ..RetryPolicy::default() });
    let (sent, plan) = (scene.machine.report().bytes_sent, scene.machine.report().plan.clone());
    assert!(sent > 0 && plan.is_some());
    scene.lost().outputs();
    assert!(!scene.machine.is_done(), "resuming sends nothing again");
    scene.timeout().authorized();
    let unsent = failure(ErrorKind::Closed, Phase::Connect).with_delivery(Delivery::NotSent);
    scene.posted(Err(unsent));
    let report = scene.machine.report();
    assert_eq!((report.bytes_sent, &report.plan), (sent, &plan));
    assert_eq!(report.attempts.len(), 2);
}

#[test]
fn a_refused_credential_is_discarded() {
    let renewable = Settings { renewable_credential: true, ..settings() };
    for (status, code, refused) in
        [(401, "invalid_api_key", true), (503, "server_is_overloaded", false)]
    {
        let mut scene = Scene::new(Goal::Turn, renewable.clone(), request(), PreviousTurn::None);
        scene.prewarmed().leased(None).authorized().opened(Err(api(status, code)));
        let commands = scene.commands();
        assert_eq!(commands.contains("refuse credential"), refused, "{commands}");
        assert!(!scene.machine.is_done());
    }
}

#[test]
fn no_attempt_begins_that_cannot_end_in_time() {
    for (turn, passed) in [(100, 0), (10, 20)] {
        let mut timeouts = Timeouts::default();
        timeouts.turn = Some(Duration::from_millis(turn));
        let settings = Settings { policy: Policy { timeouts, ..Policy::default() }, ..settings() };
        let mut scene = Scene::new(Goal::Turn, settings, request(), PreviousTurn::None);
        scene.prewarmed().sent_anew().now += Duration::from_millis(passed);
        let error = scene.lost().error();
        assert_eq!(error.kind(), ErrorKind::Truncated, "more useful than a timeout");
    }
    let mut scene = under(RetryPolicy::default());
    scene.sent_anew().machine.forbid_attempts();
    scene.lost();
    assert!(scene.machine.is_done(), "its runtime has shut down");
}

#[test]
fn bytes_that_are_sent_again_are_limited() {
    let body = {
        let machine = under(RetryPolicy::default()).machine;
        machine.encode(Encoded::Frame { parent: None, skip: 0, lane: None }).unwrap().len() as u64
    };
    for (resend_bytes, limited) in [(body, false), (body - 1, true)] {
        let mut scene =
            under(RetryPolicy { max_resend_bytes: resend_bytes, ..RetryPolicy::default() });
        // Nothing was sent before the refusal of the upgrade.
        scene.leased(None).authorized().opened(Err(api(503, "server_is_overloaded"))).timeout();
        scene.sent_anew().frame(BUSY);
        assert_eq!(scene.machine.is_done(), limited);
        if limited {
            assert!(scene.error().is_resend_limited());
            continue;
        }
        let sent = scene.machine.report().bytes_sent;
        scene.timeout().sent_anew();
        assert_eq!(scene.machine.report().bytes_sent, 2 * sent);
        assert!(scene.frame(BUSY).error().is_resend_limited(), "the second time");
    }
}

#[test]
fn the_fate_of_the_parent_and_the_reason_of_a_full_request_are_those_of_the_failure() {
    let missing = r#"{"type":"error","status":400,"error":{"code":"previous_response_not_found"}}"#;
    let unsupported = r#"{"type":"error","status":400,"error":{"code":"unsupported_parameter","param":"previous_response_id"}}"#;
    for (failure, fate, reason) in [
        (None, ParentFate::Continued, None),
        (Some(missing), ParentFate::Gone, Some(FullSendReason::ParentNotFound)),
        (Some(unsupported), ParentFate::Unsupported, Some(FullSendReason::ParentNotFound)),
    ] {
        let (request, previous) = continued();
        let mut scene = Scene::new(Goal::Turn, settings(), request, previous);
        scene.prewarmed().leased(Some(&seat())).sent();
        if let Some(failure) = failure {
            scene.frame(failure).timeout().leased(Some(&seat())).sent();
        }
        let expected = reason.map_or(Plan::Incremental { new_items: 1 }, Plan::Full);
        assert_eq!(scene.machine.report().plan, Some(expected));
        scene.frame(COMPLETED).outputs();
        assert_eq!(scene.fate(), Some(fate));
    }
    let mut first = Scene::awaiting();
    first.frame(COMPLETED).outputs();
    assert_eq!(first.fate(), None);
}

impl Scene {
    fn fate(&mut self) -> Option<ParentFate> {
        std::iter::from_fn(|| self.machine.poll_command()).find_map(|command| match command {
            Command::Commit { fate, .. } => fate,
            _ => None,
        })
    }
}

#[test]
fn further_attempts_keep_the_first_reason_of_a_full_request() {
    let mut first = under(RetryPolicy::default());
    first.sent_anew().frame(BUSY).timeout().sent_anew();
    assert_eq!(first.machine.report().plan, Some(Plan::Full(FullSendReason::FirstTurn)));
    for (lost, reason) in
        [(true, FullSendReason::ConnectionChanged), (false, FullSendReason::PriorNotCompleted)]
    {
        let (request, previous) = continued();
        let mut scene = Scene::new(Goal::Turn, settings(), request, previous);
        scene.origin.set_answers_websockets(true);
        scene.prewarmed().leased(Some(&seat())).sent();
        if lost {
            scene.lost()
        } else {
            scene.frame(BUSY)
        };
        scene.timeout().sent_anew();
        assert_eq!(scene.machine.report().plan, Some(Plan::Full(reason)));
    }
}

#[test]
fn the_random_part_of_back_off_depends_on_the_seed_only() {
    let mut machine = Scene::turn().machine;
    machine.seed = 0;
    // SplitMix64 without its last step.
    for high in [0xe220_a838_u32, 0x6e78_9e6a, 0x06c4_5d18, 0xf88b_b8a9] {
        assert_eq!(machine.chance(), f64::from(high) / f64::from(u32::MAX));
    }
}
