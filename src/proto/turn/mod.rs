//! One turn over all its attempts, without IO: [`TurnMachine`].
//!
//! ```text
//!                 ┌───────────────────────── Backoff ◀──────────────┐
//!                 ▼                                                 │ another attempt
//! Prewarming ─▶ route ─▶ Leasing ─▶ Authorizing ─▶ Opening          │
//!                 │         │            │            ▼             │
//!                 │         └────────────┼──────▶ Sending ─▶ Awaiting ─▶ Streaming ─▶ Done
//!                 └─▶ Draining ─▶────────┴──────▶ Posting ────▲
//! ```
//!
//! The owner carries out the [`Command`]s in order, reports each outcome with a `handle` method, and
//! calls [`handle_timeout`](TurnMachine::handle_timeout) when
//! [`poll_timeout`](TurnMachine::poll_timeout) has passed. Frames that have arrived are passed in
//! before a timeout. Every failure goes through `fail`, which decides between another attempt and
//! the end. Every unsuccessful end of a turn goes through `finish`.
//!
//! The machine also opens a WebSocket ahead of a turn, sends a warm-up request, and replaces an old
//! WebSocket: see [`Goal`].

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use http::HeaderMap;

use self::{
    inject::Injects,
    message::MessageId,
    response::{ReadStep, ResponseReader},
    steer::{HeldEnd, Steers},
};
use crate::{
    config::{Policy, Transport},
    error::{Error, ErrorContext},
    event::EventKind,
    kind::{Delivery, ErrorKind, Phase},
    proto::{
        deadline::InHand,
        lane::{Message, SeatId},
        origin::Origin,
        parents::ParentFate,
        plan::{PreviousTurn, SendPlan},
        retry::RetryState,
        sticky,
        wire::Wire,
    },
    report::{FullSendReason, Prewarm, TurnReport},
    request::ResponsesRequest,
    response::Response,
};

mod attempt;
mod failure;
pub(crate) mod inject;
pub(crate) mod message;
mod prewarm;
mod reading;
pub(crate) mod response;
pub(crate) mod steer;
mod steering;

/// State machine of one turn, over all its attempts.
pub(crate) struct TurnMachine {
    goal: Goal,
    settings: Settings,
    origin: Arc<Origin>,
    request: Arc<ResponsesRequest>,
    /// `true` if the turn has headers of its own.
    has_headers: bool,
    /// Baseline that the turn may continue. The session's own copy is void once sending begins,
    /// because a WebSocket's server forgets the response when a later request fails.
    previous: PreviousTurn,
    retry: RetryState,
    state: TurnState,
    commands: VecDeque<Command>,

    /// Reader of the attempt's response.
    reader: ResponseReader,
    baseline: BaselineDraft,
    /// Steps that were read and not yielded yet.
    ready: VecDeque<ReadStep>,
    /// Bytes charged for the steps in `ready` before the response has begun.
    ready_bytes: usize,
    steers: Steers,
    injects: Injects,
    /// End of the response, while a message is open.
    held: Option<Box<HeldEnd>>,
    /// Maximum size of a message in bytes that the server of the request announced.
    announced_limit: Option<u64>,
    /// Time by which an interrupted response must end.
    stopping: Option<Instant>,
    /// Lifecycle events that the caller has received.
    yielded: Vec<EventKind>,
    /// Lifecycle events that the caller received from earlier attempts. They are not repeated.
    already_yielded: Vec<EventKind>,
    /// `true` if output was yielded before the request was sent again, and the caller has not
    /// received `Restarted` yet.
    restarted: bool,

    /// Reason for sending the full request, if an earlier attempt determined it.
    full_reason: Option<FullSendReason>,
    /// `true` if the rest of the turn goes over SSE.
    over_sse: bool,
    /// `true` if the next attempt must not reuse a connection.
    fresh: bool,
    /// `true` if the next attempt resumes the response of `reader`.
    resuming: bool,
    /// `true` if events arrived since the request was sent, or since the response was last resumed.
    progressed: bool,
    /// Furthest delivery of any failed attempt that may have run, with its partial response.
    furthest: Option<(Delivery, Option<Response>)>,
    /// Fallback to record if SSE succeeds.
    pending_fallback: Option<crate::proto::route::BreakerTrip>,
    /// Fate of the parent that an earlier attempt named.
    parent: Option<ParentFate>,
    /// Size in bytes of the request that the attempt sends.
    bytes_in_attempt: u64,
    /// Size in bytes that the last request would have had with the items that it omitted.
    full_bytes: u64,
    /// The server's value for sticky routing, the first of the user turn.
    sticky: Option<String>,

    started: Instant,
    attempt_began: Instant,
    /// End of the whole turn.
    deadline: Option<Instant>,
    /// End of the time for connecting, independent of the end of the turn.
    connect_deadline: Option<Instant>,
    /// End of the wait for the first event.
    first_event_deadline: Instant,
    last_event: Instant,
    /// Time at which the consumer received the stream or an event. Until the consumer polls again, nobody reads
    /// frames, and silence proves nothing about the server.
    yielded_at: Option<Instant>,
    /// Frames that count although a deadline has passed.
    in_hand: InHand,
    /// Extension of a deadline that passed while the machine was not polled.
    extension: Option<Instant>,

    report: TurnReport,
    /// Response of the last attempt that failed after its first event.
    earlier: Response,
    /// Delivery of that attempt.
    earlier_delivery: Option<Delivery>,
    /// Error to yield.
    failure: Option<Error>,
    outcome: Option<Outcome>,
    /// Outcome of a warm-up whose WebSocket had to be closed, until another WebSocket is open.
    warmed_for_nothing: Option<Prewarm>,
    /// `true` if the attempt reused a connection that had died.
    stale: bool,
    /// `true` if the runtime of the turn has shut down.
    is_runtime_gone: bool,
    /// State of the random number generator.
    seed: u64,
}

/// Purpose of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// Run a turn.
    Turn,
    /// Open the WebSocket ahead of a turn.
    Connect,
    /// Open the WebSocket ahead of a turn, and send the request with `generate: false`.
    WarmUp,
    /// Open the successor of a WebSocket that is due for replacement.
    Rotate,
}

/// Policies of the client, and facts about the provider.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) policy: Policy,
    /// Format of the requests to the provider.
    pub(crate) wire: &'static dyn Wire,
    /// `true` if the provider supports WebSockets.
    pub(crate) websocket: bool,
    pub(crate) stores_by_default: bool,
    pub(crate) frame_limit: Option<u64>,
    /// `true` if the provider's socket accepts another request after an error.
    pub(crate) reuses_socket_after_error: bool,
    /// `true` if the session returns the server's value for sticky routing.
    pub(crate) sticky: bool,
    /// `true` if the server takes input for a running response.
    pub(crate) steer: bool,
    /// `true` if the server takes outputs for a running response.
    pub(crate) inject: bool,
    /// `true` if the server interrupts a running response.
    pub(crate) interrupt: bool,
    /// `true` if another credential can be obtained.
    pub(crate) renewable_credential: bool,
    /// Facts that explain the errors of the turn.
    pub(crate) error_context: Arc<ErrorContext>,
}

/// Parameters of a machine.
pub(crate) struct Setup {
    pub(crate) settings: Settings,
    pub(crate) origin: Arc<Origin>,
    pub(crate) request: Arc<ResponsesRequest>,
    /// `true` if the turn has headers of its own.
    pub(crate) has_headers: bool,
    pub(crate) previous: PreviousTurn,
    /// Seed of the random part of back-off.
    pub(crate) seed: u64,
}

/// A lane of an open WebSocket.
#[derive(Clone, Debug)]
pub(crate) struct Seat {
    pub(crate) id: SeatId,
    /// Headers of the response to the upgrade.
    pub(crate) headers: Arc<HeaderMap>,
    /// Maximum size of a message in bytes, if the server announced a limit.
    pub(crate) frame_limit: Option<u64>,
    /// `true` if the server keeps the response that the turn may continue for the WebSocket.
    pub(crate) keeps_parent: bool,
}

/// Instruction to the owner of a machine.
#[derive(Debug)]
pub(crate) enum Command {
    /// Wait until the work ahead of the turn is done, or the deadline passes; then
    /// `handle_prewarmed`.
    AwaitPrewarm { deadline: Option<Instant> },
    /// Find a lane of an open WebSocket, unless `fresh`; then `handle_leased`, or
    /// `handle_no_lane`. `caller_managed` is `true` if the caller of the turn sets
    /// `previous_response_id`, and `None` for work ahead of a turn. `parent` is the response that
    /// the turn may continue.
    Lease { fresh: bool, caller_managed: Option<bool>, parent: Option<String> },
    /// Wait until the connection of the last SSE response is free; then `handle_drained`.
    Drain,
    /// Obtain the headers of a request; then `handle_authorized`.
    Authorize,
    /// Open a WebSocket by the deadline; then `handle_opened`.
    Open { deadline: Instant },
    /// Send a frame; then `handle_sent`.
    Send { seat: SeatId, frame: String },
    /// Send a message about the running response; then `handle_message_sent`.
    SendDuring { seat: SeatId, message: Message, id: MessageId },
    /// POST a body, whose response must begin by the deadline; then `handle_posted`.
    Post { body: String, deadline: Instant, fresh: bool },
    /// GET the events of a response after a sequence number; then `handle_posted`.
    Resume { id: String, after: Option<u64>, deadline: Instant, fresh: bool },
    /// End an exchange that the server has finished: keep its connection, or retire it.
    Release { retire: bool },
    /// End the exchange and close its connection.
    Abort,
    /// Replace the session's baseline.
    SetBaseline(PreviousTurn),
    /// Replace the session's baseline at the end of a turn, unless another turn has begun; then
    /// record the parent's fate.
    Commit { previous: PreviousTurn, fate: Option<ParentFate> },
    /// Discard the credential, which the server refused.
    RefuseCredential,
    /// Log a notice.
    Notify(Notice),
}

/// Entry for the log and the observer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// An attempt begins.
    Attempt {
        number: usize,
        transport: Transport,
    },
    /// A request of this many bytes is about to be sent.
    Sends {
        bytes: u64,
    },
    AttemptFailed {
        transport: Transport,
        kind: ErrorKind,
        /// Text of the error.
        message: String,
        /// Text of the error without advice.
        summary: String,
        delay: Duration,
        /// Time for which the turn continues to try, if the network is down.
        trying_for: Option<Duration>,
    },
    FallsBack,
    TooLargeForFrame,
    PrewarmFailed(ErrorKind),
}

/// Request that is encoded and not sent yet.
#[derive(Debug)]
struct Prepared {
    plan: SendPlan,
    body: String,
}

/// Request that waits for its headers.
#[derive(Debug)]
enum Next {
    /// Upgrade to a WebSocket. Without a request, nothing is sent over the socket.
    Open(Option<Prepared>),
    Post(Prepared),
    Resume,
}

#[derive(Debug)]
enum TurnState {
    /// The work has not begun.
    New,
    Prewarming,
    Leasing,
    Draining,
    Authorizing {
        next: Next,
        deadline: Instant,
    },
    Opening(Option<Prepared>),
    Sending,
    Posting,
    /// The request was sent; no event of its response has come.
    Awaiting,
    /// The response has begun.
    Streaming,
    Backoff {
        until: Instant,
    },
    Done,
}

/// Draft of the baseline for the next turn, without the output.
#[derive(Clone, Copy, Debug, Default)]
struct BaselineDraft {
    seat: Option<SeatId>,
    /// `true` if the server is expected to store the response. The server's own statement
    /// overrides this field.
    stored: bool,
}

/// End of a machine.
#[derive(Debug)]
enum Outcome {
    /// The turn succeeded, or ended with this error, kept for `final_response`.
    Turn(Option<Error>),
    Prewarm(Prewarm),
}

/// Results of a turn that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) report: TurnReport,
    pub(crate) response: Response,
    /// Copy of the error that was yielded.
    pub(crate) failure: Option<Error>,
}

/// Output of a machine for the consumer. The event itself stays in the machine until
/// [`take_event`](TurnMachine::take_event), so that it is moved only once.
#[derive(Debug)]
pub(crate) enum Output {
    Event,
    /// The last event.
    Last,
    /// The error that ended the turn.
    Failed(Error),
}

impl TurnMachine {
    pub(crate) fn new(goal: Goal, setup: Setup, now: Instant) -> Self {
        let Setup { settings, origin, request, has_headers, previous, seed } = setup;
        let time = match goal {
            Goal::Turn => settings.policy.timeouts.turn,
            Goal::Connect | Goal::WarmUp | Goal::Rotate => settings.policy.timeouts.prewarm,
        };
        Self {
            goal,
            origin,
            request,
            has_headers,
            previous,
            retry: RetryState::new(settings.policy.retry, settings.policy.transport),
            state: TurnState::New,
            commands: VecDeque::new(),
            reader: ResponseReader::new(),
            baseline: BaselineDraft::default(),
            ready: VecDeque::new(),
            ready_bytes: 0,
            steers: Steers::default(),
            injects: Injects::default(),
            held: None,
            announced_limit: None,
            stopping: None,
            yielded: Vec::new(),
            already_yielded: Vec::new(),
            restarted: false,
            full_reason: None,
            over_sse: false,
            fresh: false,
            resuming: false,
            progressed: false,
            furthest: None,
            pending_fallback: None,
            parent: None,
            bytes_in_attempt: 0,
            full_bytes: 0,
            sticky: None,
            started: now,
            attempt_began: now,
            deadline: time.map(|time| after(now, time)),
            connect_deadline: None,
            first_event_deadline: now,
            last_event: now,
            yielded_at: None,
            in_hand: InHand::new(settings.policy.limits.read_ahead),
            extension: None,
            report: TurnReport::default(),
            earlier: Response::default(),
            earlier_delivery: None,
            failure: None,
            outcome: None,
            warmed_for_nothing: None,
            stale: false,
            is_runtime_gone: false,
            seed,
            settings,
        }
    }

    /// Begins the work. Must be called once.
    pub(crate) fn begin(&mut self, now: Instant) {
        match self.goal {
            Goal::Turn => {
                self.state = TurnState::Prewarming;
                self.commands.push_back(Command::AwaitPrewarm { deadline: self.deadline });
            }
            Goal::Connect | Goal::WarmUp => self.lease_ahead(),
            Goal::Rotate => self.authorize(Next::Open(None), now),
        }
    }

    /// Returns `true` if the turn continues a user turn whose value for sticky routing counts.
    pub(crate) fn continues_user_turn(&self) -> bool {
        self.settings.sticky && sticky::continues_user_turn(&self.request)
    }

    /// Sets the value for sticky routing that an earlier request of the user turn received.
    pub(crate) fn set_sticky(&mut self, state: Option<String>) {
        self.sticky = state.filter(|_| self.settings.sticky);
    }

    /// Returns the value for sticky routing, for this request and those that follow.
    pub(crate) fn sticky(&self) -> Option<&str> {
        self.sticky.as_deref()
    }

    /// Keeps the server's value for sticky routing, if it is the first of the user turn.
    fn learn_sticky(&mut self, headers: &HeaderMap) {
        let state = headers.get(sticky::HEADER).and_then(|state| state.to_str().ok());
        if self.settings.sticky && self.sticky.is_none() {
            self.sticky = state.filter(|state| !state.is_empty()).map(str::to_owned);
        }
    }

    /// Returns the next command.
    pub(crate) fn poll_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// Returns `true` if there is a command.
    pub(crate) fn has_commands(&self) -> bool {
        !self.commands.is_empty()
    }

    /// Returns `true` if the machine accepts frames.
    pub(crate) fn reads(&self) -> bool {
        matches!(self.state, TurnState::Awaiting | TurnState::Streaming)
    }

    /// Returns `true` while the events of a response are read.
    pub(crate) fn is_streaming(&self) -> bool {
        matches!(self.state, TurnState::Streaming)
    }

    /// Returns `true` once the work is over. [`poll_output`](Self::poll_output) may still return
    /// an error.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.state, TurnState::Done)
    }

    /// Returns `true` once the response has begun, in this attempt or an earlier one.
    pub(crate) fn has_begun(&self) -> bool {
        matches!(self.state, TurnState::Streaming) || self.earlier_delivery.is_some()
    }

    /// Returns the report so far. It is complete once the machine is done.
    pub(crate) fn report(&self) -> &TurnReport {
        &self.report
    }

    /// Returns the response as received so far.
    pub(crate) fn response(&self) -> Response {
        match self.state {
            TurnState::Streaming => self.shown_reader().response(),
            _ => self.earlier.clone(),
        }
    }

    /// Returns the results of a turn that has ended.
    pub(crate) fn take_ended(&mut self) -> Ended {
        let failure = match self.outcome.take() {
            Some(Outcome::Turn(failure)) => failure,
            Some(Outcome::Prewarm(_)) | None => None,
        };
        let (report, response) = (&mut self.report, &mut self.earlier);
        Ended { report: std::mem::take(report), response: std::mem::take(response), failure }
    }

    /// Returns the outcome of work ahead of a turn.
    pub(crate) fn prewarm(&self) -> Option<Prewarm> {
        match self.outcome {
            Some(Outcome::Prewarm(prewarm)) => Some(prewarm),
            _ => None,
        }
    }

    fn elapsed(&self, now: Instant) -> Option<Duration> {
        Some(now.saturating_duration_since(self.started))
    }

    /// Returns the end of a phase of this length, no later than the end of the turn.
    fn deadline_for(&self, phase: Option<Duration>, now: Instant) -> Instant {
        let phase = after(now, phase.unwrap_or(NEVER));
        self.deadline.map_or(phase, |deadline| deadline.min(phase))
    }

    fn is_past_deadline(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| now >= deadline)
    }

    fn over_transport(&self) -> Transport {
        self.report.transport.unwrap_or(Transport::Sse)
    }
}

/// Maximum duration of tokio's timer, about thirty years.
const NEVER: Duration = Duration::from_secs(86_400 * 365 * 30);

/// Returns `start + time`, saturated so that the sum does not overflow.
pub(crate) fn after(start: Instant, time: Duration) -> Instant {
    start + time.min(NEVER)
}

fn timed_out(phase: Phase, delivery: Delivery) -> Error {
    Error::new(ErrorKind::Timeout, phase, crate::error::Cause::None).with_delivery(delivery)
}

#[cfg(test)]
mod tests;
