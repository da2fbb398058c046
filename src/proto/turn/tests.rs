//! The transitions of a turn, and the commands that each gives.

#![expect(clippy::field_reassign_with_default, reason = "as callers write it, from outside")]

use super::{response::StreamEnd, *};
use crate::{
    api::{ApiError, ErrorCode},
    config::{ReplayPolicy, TransportPolicy},
    error::Cause,
    proto::{
        lane::{ConnectionId, LaneId},
        wire::{Encoded, responses::Responses},
    },
    report::{Plan, PrewarmFailure},
    request::Item,
};

mod ahead;
mod attempts;
mod failures;
mod injecting;
mod reading;
mod steering;

/// A machine, and the clock whose time is passed to the machine.
struct Scene {
    machine: TurnMachine,
    origin: Arc<Origin>,
    now: Instant,
}

const SECOND: Duration = Duration::from_secs(1);
const CREATED: &str = r#"{"type":"response.created","response":{"id":"r"}}"#;
const DELTA: &str = r#"{"type":"response.output_text.delta","delta":"hi"}"#;
const COMPLETED: &str =
    r#"{"type":"response.completed","response":{"id":"r","status":"completed"}}"#;

fn settings() -> Settings {
    Settings {
        policy: Policy::default(),
        wire: &Responses,
        websocket: true,
        stores_by_default: false,
        frame_limit: None,
        reuses_socket_after_error: true,
        sticky: false,
        steer: false,
        inject: false,
        interrupt: false,
        renewable_credential: false,
        error_context: Arc::default(),
    }
}

/// Settings with this policy for transports.
fn over(transport: TransportPolicy) -> Settings {
    Settings { policy: Policy { transport, ..Policy::default() }, ..settings() }
}

const SEAT: SeatId = SeatId { connection: ConnectionId(1), lane: LaneId::DEFAULT, earlier: 0 };

fn seat() -> Seat {
    Seat { id: SEAT, headers: Arc::default(), frame_limit: None, keeps_parent: false }
}

fn request() -> ResponsesRequest {
    ResponsesRequest::new("m").input([Item::user("hi")])
}

/// Returns the name of a command, and the arguments that the tests check. The notice of a new
/// attempt has no name, because other commands show the attempt.
fn name(command: &Command) -> Option<String> {
    Some(match command {
        Command::AwaitPrewarm { .. } => "await prewarm".into(),
        Command::Lease { fresh, .. } => format!("lease fresh={fresh}"),
        Command::Drain => "drain".into(),
        Command::Authorize => "authorize".into(),
        Command::Open { .. } => "open".into(),
        Command::Send { frame, .. } => match frame.contains("previous_response_id") {
            true => "send incremental".into(),
            false => "send".into(),
        },
        Command::SendDuring { message, .. } => format!("{:?}", message.kind).to_lowercase(),
        Command::Post { fresh, .. } => format!("post fresh={fresh}"),
        Command::Resume { id, after, .. } => format!("resume {id} after {after:?}"),
        Command::Release { retire } => format!("release retire={retire}"),
        Command::Abort => "abort".into(),
        Command::SetBaseline(PreviousTurn::Completed(baseline)) => {
            format!("baseline {} warm_up={}", baseline.response_id, baseline.warm_up)
        }
        Command::SetBaseline(_) => "no baseline".into(),
        Command::Commit { previous, .. } => {
            format!("commit {}", previous.response_id().unwrap_or("nothing"))
        }
        Command::RefuseCredential => "refuse credential".into(),
        Command::Notify(notice) => match notice {
            Notice::Attempt { .. } => return None,
            Notice::Sends { .. } => "sends".into(),
            Notice::AttemptFailed { .. } => "failed".into(),
            Notice::FallsBack => "falls back".into(),
            Notice::TooLargeForFrame => "too large".into(),
            Notice::PrewarmFailed(_) => "prewarm failed".into(),
        },
    })
}

impl Scene {
    fn new(
        goal: Goal,
        settings: Settings,
        request: ResponsesRequest,
        previous: PreviousTurn,
    ) -> Self {
        let (origin, now): (Arc<Origin>, _) = (Arc::default(), Instant::now());
        let setup = Setup {
            has_headers: false,
            settings,
            origin: Arc::clone(&origin),
            request: Arc::new(request),
            previous,
            seed: 1,
        };
        let mut machine = TurnMachine::new(goal, setup, now);
        machine.begin(now);
        Self { machine, origin, now }
    }

    fn turn() -> Self {
        Self::new(Goal::Turn, settings(), request(), PreviousTurn::None)
    }

    /// Returns the names of the commands since the last call.
    fn commands(&mut self) -> String {
        let commands = std::iter::from_fn(|| self.machine.poll_command());
        commands.filter_map(|command| name(&command)).collect::<Vec<_>>().join(", ")
    }

    fn prewarmed(&mut self) -> &mut Self {
        self.machine.handle_prewarmed(None, self.machine.previous.clone(), false, self.now);
        self
    }

    fn leased(&mut self, seat: Option<&Seat>) -> &mut Self {
        self.machine.handle_leased(seat, self.now);
        self
    }

    fn authorized(&mut self) -> &mut Self {
        self.machine.handle_authorized(Ok(()), self.now);
        self
    }

    fn opened(&mut self, result: Result<Seat, Error>) -> &mut Self {
        self.machine.handle_opened(result, self.now);
        self
    }

    fn sent(&mut self) -> &mut Self {
        self.machine.handle_sent(Ok(()), self.now);
        self
    }

    fn posted(&mut self, result: Result<(), Error>) -> &mut Self {
        self.machine.handle_posted(result.map(|()| Arc::default()), false, self.now);
        self
    }

    fn frame(&mut self, payload: &str) -> &mut Self {
        self.machine.handle_frame(Responses.classify("", payload.into()), self.now);
        self
    }

    /// Advances the clock to the next timeout.
    fn timeout(&mut self) -> &mut Self {
        self.now = self.machine.poll_timeout().expect("a timeout").max(self.now);
        self.machine.handle_timeout(false, self.now);
        self
    }

    /// Runs the machine up to the sent request on a new WebSocket.
    fn awaiting() -> Self {
        let mut scene = Self::turn();
        scene.prewarmed().leased(None).authorized().opened(Ok(seat())).sent();
        scene
    }

    fn streaming() -> Self {
        let mut scene = Self::awaiting();
        scene.frame(CREATED).frame(DELTA);
        scene
    }

    /// Returns the types of all events that are ready, and the error that ends them.
    fn outputs(&mut self) -> (Vec<&'static str>, Option<Error>) {
        let mut kinds = Vec::new();
        while let Some(output) = self.machine.poll_output(self.now) {
            match output {
                Output::Event | Output::Last => {
                    let event = self.machine.take_event().expect("an event");
                    kinds.push(event.kind().as_str());
                }
                Output::Failed(error) => return (kinds, Some(error)),
            }
        }
        (kinds, None)
    }

    fn error(&mut self) -> Error {
        self.outputs().1.expect("the turn failed")
    }
}

fn failure(kind: ErrorKind, phase: Phase) -> Error {
    Error::new(kind, phase, Cause::None)
}

fn refused(status: u16) -> Error {
    let error = ApiError { status: Some(status), ..ApiError::default() };
    Error::new(ErrorKind::UpgradeRefused, Phase::Connect, Cause::Api(error))
}

fn api(status: u16, code: &str) -> Error {
    let code = Some(ErrorCode::from(code));
    let error = ApiError { status: Some(status), code, ..ApiError::default() };
    Error::api(Phase::FirstEvent, error).with_delivery(Delivery::Refused)
}

/// Returns a previous turn of the seat, which the request continues.
fn continued() -> (ResponsesRequest, PreviousTurn) {
    let output = Item::from_json(
        r#"{"type":"message","role":"assistant","content":[{"type":"output_text","text":"ho"}]}"#,
    );
    let output = output.unwrap();
    let next = request().input([Item::user("hi"), output.clone(), Item::user("more")]);
    let baseline = crate::proto::plan::Baseline {
        response_id: "before".into(),
        request: Arc::new(request()),
        output: vec![output],
        seat: Some(SEAT),
        stored: false,
        warm_up: false,
    };
    (next, PreviousTurn::Completed(Box::new(baseline)))
}

#[test]
fn a_turn_goes_from_command_to_command_over_a_new_websocket() {
    let mut scene = Scene::turn();
    assert_eq!(scene.commands(), "await prewarm");
    assert_eq!(scene.prewarmed().commands(), "lease fresh=false");
    assert_eq!(scene.leased(None).commands(), "authorize");
    assert_eq!(scene.authorized().commands(), "open");
    assert_eq!(scene.opened(Ok(seat())).commands(), "no baseline, sends, send");
    assert!(!scene.machine.reads());
    assert!(scene.sent().machine.reads() && !scene.machine.has_begun());
    assert!(scene.frame(CREATED).machine.has_begun());
    scene.frame(DELTA).frame(COMPLETED);
    let (kinds, error) = scene.outputs();
    assert_eq!(kinds, ["response.created", "response.output_text.delta", "response.completed"]);
    assert!(error.is_none() && scene.machine.is_done());
    assert_eq!(scene.commands(), "commit r, release retire=false");
    let report = scene.machine.report();
    assert_eq!((report.events, report.reused, report.attempts.len()), (3, false, 1));
    assert!(scene.machine.take_ended().failure.is_none());
}

#[test]
fn a_turn_goes_from_command_to_command_over_sse() {
    let settings = over(TransportPolicy::SseOnly);
    let mut scene = Scene::new(Goal::Turn, settings, request(), PreviousTurn::None);
    assert_eq!(scene.prewarmed().commands(), "await prewarm, drain");
    scene.machine.handle_drained(true, scene.now);
    assert_eq!(scene.commands(), "authorize");
    assert_eq!(scene.authorized().commands(), "no baseline, sends, post fresh=false");
    assert_eq!(scene.posted(Ok(())).frame(CREATED).frame(COMPLETED).outputs().0.len(), 2);
    assert_eq!(scene.commands(), "commit r, release retire=false");
    assert!(scene.machine.report().reused);
}

#[test]
fn an_open_websocket_is_sent_over_without_another_look() {
    let (request, previous) = continued();
    let mut scene = Scene::new(Goal::Turn, settings(), request, previous);
    scene.prewarmed().commands();
    let commands = scene.leased(Some(&seat())).commands();
    assert_eq!(commands, "no baseline, sends, send incremental");
    assert_eq!(scene.machine.report().plan, Some(Plan::Incremental { new_items: 1 }));
}

#[test]
fn each_failure_before_the_response_leads_to_its_next_attempt() {
    use ErrorKind::{Closed, Connect, Timeout, Truncated};
    let not_sent = failure(Closed, Phase::Send).with_delivery(Delivery::NotSent);
    let unanswered = failure(Timeout, Phase::FirstEvent);
    // The failure, the commands after the failure, and the commands after the delay.
    let opening = [
        (refused(426), "failed, falls back", "drain", Some(true)),
        (refused(403), "failed, falls back", "drain", Some(false)),
        (failure(Timeout, Phase::Connect), "failed, falls back", "drain", Some(true)),
        (failure(Truncated, Phase::Connect), "failed, falls back", "drain", Some(true)),
        (failure(Connect, Phase::Connect), "failed", "lease fresh=true", Some(false)),
        (api(503, "server_is_overloaded"), "failed", "lease fresh=false", Some(false)),
        (api(400, "invalid_prompt"), "", "", None),
    ];
    for (error, after, next, marked) in opening {
        let what = error.to_string();
        let mut scene = Scene::turn();
        scene.prewarmed().leased(None).authorized().commands();
        let commands = scene.opened(Err(error)).commands();
        let baseline = if what.contains("no part of it") { "no baseline, " } else { "" };
        let expected = format!("abort, {baseline}{after}");
        let commands = commands.replace("no baseline, ", baseline);
        assert_eq!(commands.trim_end_matches(", "), expected.trim_end_matches(", "), "{what}");
        let Some(marked) = marked else {
            assert!(scene.machine.is_done() && scene.outputs().1.is_some(), "{what}");
            continue;
        };
        assert_eq!(scene.timeout().commands(), next, "{what}");
        assert_eq!(scene.origin.fallback(scene.now).is_some(), marked, "{what}");
    }
    for (error, next) in [(not_sent, "lease fresh=true"), (unanswered, "drain")] {
        let what = error.to_string();
        let mut scene = Scene::turn();
        scene.prewarmed().leased(Some(&seat())).commands();
        scene.machine.handle_sent(Err(error), scene.now);
        assert!(scene.commands().starts_with("abort, "), "{what}");
        assert_eq!(scene.timeout().commands(), next, "{what}");
    }
}

#[test]
fn a_lost_parent_is_sent_in_full_on_the_same_websocket_without_delay() {
    let (request, previous) = continued();
    let mut scene = Scene::new(Goal::Turn, settings(), request, previous);
    scene.prewarmed().leased(Some(&seat())).sent().commands();
    let lost = r#"{"type":"error","status":400,"error":{"code":"previous_response_not_found"}}"#;
    assert_eq!(scene.frame(lost).commands(), "release retire=false, abort, failed");
    assert_eq!(scene.machine.poll_timeout(), Some(scene.now), "no delay");
    assert_eq!(scene.timeout().commands(), "lease fresh=false");
    assert_eq!(scene.leased(Some(&seat())).commands(), "no baseline, sends, send");
    assert_eq!(scene.machine.report().plan, Some(Plan::Full(FullSendReason::ParentNotFound)));
    scene.sent().frame(CREATED).frame(COMPLETED);
    assert_eq!(scene.outputs().0.len(), 2, "the caller sees one `Created`");
}

#[test]
fn c049_an_incremental_request_counts_in_full_where_it_is_sent_again() {
    let (request, previous) = continued();
    let full = Responses
        .encode(&request, Encoded::Frame { parent: None, skip: 0, lane: None })
        .unwrap()
        .len();
    let lost = r#"{"type":"error","status":400,"error":{"code":"previous_response_not_found"}}"#;
    // The incremental request named its parent, which the full one does not.
    for (spare, is_limited) in [(-1, true), (100, false)] {
        let mut settings = settings();
        settings.policy.retry.max_resend_bytes = (full as u64).saturating_add_signed(spare);
        let mut scene = Scene::new(Goal::Turn, settings, request.clone(), previous.clone());
        scene.prewarmed().leased(Some(&seat())).sent().frame(lost);
        assert!(scene.machine.report().bytes_sent < full as u64);
        let error = scene.outputs().1;
        assert_eq!(error.is_some_and(|error| error.is_resend_limited()), is_limited);
    }
}

#[test]
fn a_request_that_did_not_leave_gives_the_baseline_back() {
    let (request, previous) = continued();
    let mut scene = Scene::new(Goal::Turn, settings(), request, previous);
    scene.prewarmed().leased(Some(&seat())).commands();
    scene.machine.handle_unseated(scene.now);
    assert_eq!(scene.commands(), "abort, baseline before warm_up=false, failed");
    assert_eq!((scene.machine.report().bytes_sent, &scene.machine.report().plan), (0, &None));
}

#[test]
fn a_frame_above_the_limit_goes_over_sse_in_the_same_attempt() {
    let limited = Settings { frame_limit: Some(10), ..settings() };
    let mut scene = Scene::new(Goal::Turn, limited.clone(), request(), PreviousTurn::None);
    assert_eq!(
        scene.prewarmed().leased(None).commands(),
        "await prewarm, lease fresh=false, too large, drain"
    );
    // A server may announce its limit only in the response to the upgrade.
    let mut scene = Scene::turn();
    scene.prewarmed().leased(None).authorized().commands();
    let small = Seat { frame_limit: Some(10), ..seat() };
    assert_eq!(scene.opened(Ok(small)).commands(), "too large, drain");
    assert_eq!(scene.machine.report().attempts.len(), 1);
    let only =
        Settings { frame_limit: limited.frame_limit, ..over(TransportPolicy::WebSocketOnly) };
    let mut scene = Scene::new(Goal::Turn, only, request(), PreviousTurn::None);
    assert_eq!(scene.prewarmed().leased(None).error().kind(), ErrorKind::InvalidRequest);
}

#[test]
fn what_follows_output_is_the_end_or_a_restart_by_policy() {
    let mut scene = Scene::streaming();
    scene.machine.handle_end(StreamEnd::Disconnected(None), scene.now);
    let (kinds, error) = scene.outputs();
    assert_eq!(kinds, ["response.created", "response.output_text.delta"]);
    let error = error.unwrap();
    assert_eq!((error.kind(), error.delivery()), (ErrorKind::Truncated, Delivery::OutputStarted));
    assert!(error.response().is_some() && error.report().is_some());

    let mut settings = settings();
    settings.policy.retry.replay = ReplayPolicy::Restart;
    let mut scene = Scene::new(Goal::Turn, settings, request(), PreviousTurn::None);
    scene.prewarmed().leased(None).authorized().opened(Ok(seat())).sent();
    scene.frame(CREATED).frame(DELTA);
    scene.machine.handle_end(StreamEnd::Disconnected(None), scene.now);
    assert_eq!(scene.outputs().0.len(), 2);
    assert!(!scene.machine.is_done() && scene.machine.has_begun());
    assert!(!scene.machine.response().id().is_empty(), "it is shown until the next");
    scene.timeout().leased(None).authorized().opened(Ok(seat())).sent().frame(CREATED);
    let restarted = EventKind::Restarted.as_str();
    assert_eq!(scene.outputs().0, [restarted, "response.created"], "`Restarted` comes first");
}

#[test]
fn a_response_in_the_background_is_resumed_after_its_last_event() {
    let request = request().background(true);
    let mut scene = Scene::new(Goal::Turn, settings(), request, PreviousTurn::None);
    scene.prewarmed().commands();
    scene.machine.handle_drained(false, scene.now);
    scene.authorized().posted(Ok(()));
    scene.frame(r#"{"type":"response.created","sequence_number":0,"response":{"id":"r"}}"#);
    scene.frame(r#"{"type":"response.in_progress","sequence_number":1,"response":{"id":"r"}}"#);
    scene.machine.handle_end(StreamEnd::Disconnected(None), scene.now);
    assert_eq!(scene.outputs().0.len(), 2);
    scene.timeout().commands();
    assert_eq!(scene.authorized().commands(), "resume r after Some(1)");
    scene.posted(Ok(()));
    scene.frame(r#"{"type":"response.in_progress","sequence_number":1,"response":{"id":"r"}}"#);
    scene.frame(r#"{"type":"response.completed","sequence_number":2,"response":{"id":"r"}}"#);
    assert_eq!(scene.outputs().0, ["response.completed"], "known events are dropped");
}

/// Returns a scene in each state in which a turn can be cancelled from outside.
fn everywhere() -> Vec<(&'static str, Scene)> {
    let mut scenes = vec![("prewarming", Scene::turn())];
    type Advance = fn(&mut Scene);
    let steps: [(&str, Advance); 6] = [
        ("leasing", |it| _ = it.prewarmed()),
        ("authorizing", |it| _ = it.prewarmed().leased(None)),
        ("opening", |it| _ = it.prewarmed().leased(None).authorized()),
        ("sending", |it| _ = it.prewarmed().leased(Some(&seat()))),
        ("awaiting", |it| _ = it.prewarmed().leased(Some(&seat())).sent()),
        ("backoff", |it| {
            it.prewarmed().leased(None).authorized().opened(Err(api(503, "slow_down")));
        }),
    ];
    for (name, to) in steps {
        let mut scene = Scene::turn();
        to(&mut scene);
        scenes.push((name, scene));
    }
    scenes.push(("streaming", Scene::streaming()));
    scenes
}

#[test]
fn the_session_can_end_a_turn_in_every_state() {
    for (state, mut scene) in everywhere() {
        scene.commands();
        scene.machine.handle_cancelled(ErrorKind::Superseded);
        assert_eq!(scene.commands(), "abort", "{state}");
        let error = scene.error();
        assert_eq!(error.kind(), ErrorKind::Superseded, "{state}");
        let delivery = match state {
            "streaming" => Delivery::OutputStarted,
            "sending" | "awaiting" => Delivery::Unknown,
            _ => Delivery::NotSent,
        };
        assert_eq!(error.delivery(), delivery, "{state}");
        assert!(scene.machine.is_done() && scene.machine.poll_timeout().is_none(), "{state}");
        scene.machine.handle_cancelled(ErrorKind::SessionClosed);
        assert!(scene.outputs().1.is_none(), "{state}: it ends once");
    }
}

#[test]
fn what_a_turn_has_not_done_when_the_session_ends_it_is_never_done() {
    for (state, mut scene) in everywhere().into_iter().filter(|(state, _)| *state != "awaiting") {
        scene.machine.handle_cancelled(ErrorKind::Superseded);
        assert_eq!(scene.commands(), "abort", "{state}");
        if state == "sending" {
            assert_eq!(scene.machine.report().bytes_sent, 0);
            assert_eq!(scene.error().delivery(), Delivery::NotSent);
        }
    }
}

#[test]
fn a_runtime_that_shuts_down_ends_a_turn_in_every_state() {
    for (state, mut scene) in everywhere() {
        scene.machine.handle_runtime_shutdown(scene.now);
        let error = scene.error();
        let expected = match state {
            // The events that were read still count.
            "streaming" => ErrorKind::Truncated,
            _ => ErrorKind::NoRuntime,
        };
        assert_eq!(error.kind(), expected, "{state}");
        assert!(scene.machine.is_done(), "{state}");
        scene.machine.handle_runtime_shutdown(scene.now);
        assert!(scene.outputs().1.is_none(), "{state}: it ends once");
    }
}

#[test]
fn each_wait_has_its_time() {
    let mut settings = settings();
    let timeouts = &mut settings.policy.timeouts;
    timeouts.connect = Some(2 * SECOND);
    timeouts.first_event_websocket = Some(3 * SECOND);
    timeouts.between_events_websocket = Some(4 * SECOND);
    timeouts.turn = Some(60 * SECOND);
    let new = || Scene::new(Goal::Turn, settings.clone(), request(), PreviousTurn::None);
    let left = |scene: &Scene| scene.machine.poll_timeout().map(|at| at - scene.now);

    let mut scene = new();
    assert_eq!(left(scene.prewarmed()), None);
    assert_eq!(left(scene.leased(None)), Some(2 * SECOND), "credentials");
    assert_eq!(scene.timeout().error().phase(), Phase::Prepare);

    let mut scene = new();
    scene.prewarmed().leased(Some(&seat()));
    assert_eq!(left(&scene), Some(60 * SECOND), "sending takes what the turn has");
    assert_eq!(left(scene.sent()), Some(3 * SECOND), "the first event");
    scene.now += SECOND;
    scene.frame(CREATED).outputs();
    scene.now += 2 * SECOND;
    scene.machine.handle_consumer(scene.now);
    assert_eq!(left(&scene), Some(4 * SECOND), "the time of the consumer does not count");
    scene.now += SECOND;
    scene.frame(r#"{"type":"keepalive"}"#);
    assert_eq!(left(&scene), Some(3 * SECOND), "metadata is no progress");
    scene.frame(DELTA).outputs();
    scene.machine.handle_consumer(scene.now);
    assert_eq!(left(&scene), Some(4 * SECOND), "an event is");
    scene.timeout();
    let error = scene.error();
    assert_eq!((error.kind(), error.phase()), (ErrorKind::Timeout, Phase::Events));
}

#[test]
fn c138_a_deadline_that_passed_while_nobody_waited_is_extended_once() {
    let mut scene = Scene::awaiting();
    scene.now += 100 * SECOND;
    scene.machine.handle_timeout(false, scene.now);
    assert!(!scene.machine.is_done() && scene.machine.poll_timeout() > Some(scene.now));
    scene.frame(CREATED);
    assert!(scene.machine.has_begun(), "what was in hand counts");
    let mut scene = Scene::awaiting();
    scene.now += 100 * SECOND;
    scene.machine.handle_timeout(false, scene.now);
    scene.timeout();
    assert!(scene.commands().contains("abort"), "not twice");
}

#[test]
fn the_random_part_of_back_off_is_uniform() {
    let mut machine = Scene::turn().machine;
    let draws: Vec<f64> = (0..1000).map(|_| machine.chance()).collect();
    assert!(draws.iter().all(|draw| (0.0..=1.0).contains(draw)));
    for tenth in 0..10 {
        let low = f64::from(tenth) / 10.0;
        let within = draws.iter().filter(|draw| (low..low + 0.1).contains(*draw)).count();
        assert!((60..140).contains(&within), "{tenth}: {within}");
    }
}
