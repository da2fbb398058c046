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
//! [`poll_timeout`](TurnMachine::poll_timeout) has passed. Frames that have arrived are handed in
//! before a timeout. Every failure goes through one function, `fail`, which decides between another
//! attempt and the end; every end goes through `finish`.
//!
//! Opening a WebSocket ahead of a turn, warming the model up and replacing an old WebSocket are
//! [`Goal`]s of the same machine.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use http::HeaderMap;

use self::response::{ResponseReader, Step};
use crate::{
    config::{Limits, RetryPolicy, Timeouts, Transport, TransportPolicy},
    error::Error,
    event::{EventKind, ResponseEvent},
    kind::{Delivery, ErrorKind, Phase},
    proto::{
        deadline::InHand,
        origin::Origin,
        parents::ParentFate,
        plan::{ConnectionId, Decision, Prior},
        retry::Ladder,
    },
    report::{FullReason, Prewarm, TurnReport},
    request::ResponsesRequest,
    response::Response,
};

mod attempt;
mod failure;
mod prewarm;
mod reading;
pub(crate) mod response;

/// All attempts of one turn.
pub(crate) struct TurnMachine {
    goal: Goal,
    settings: Settings,
    origin: Arc<Origin>,
    request: Arc<ResponsesRequest>,
    /// What the turn may continue. The session's own is void from the moment of sending.
    previous: Prior,
    retry: Ladder,
    state: State,
    commands: VecDeque<Command>,

    /// Reader of the attempt's response, and what its baseline will need.
    reader: ResponseReader,
    baseline: BaselineDraft,
    /// Steps that were read and not handed out yet.
    ready: VecDeque<Step>,
    /// Bytes charged for them.
    ready_bytes: usize,
    /// Lifecycle events that the caller has had.
    yielded: Vec<EventKind>,
    /// Those that the caller had from attempts before: they are not repeated.
    already_yielded: Vec<EventKind>,
    /// Output was handed out, and the request was sent again.
    restarted: bool,

    /// Reason for sending everything, if an attempt before found it.
    full_reason: Option<FullReason>,
    over_sse: bool,
    /// The next attempt takes no connection that is kept.
    fresh: bool,
    /// The next attempt resumes the response of `reader`.
    resuming: bool,
    /// Events came since the request was sent, or the response was last resumed.
    progressed: bool,
    /// Furthest delivery of any failed attempt that may have run, with its partial response.
    furthest: Option<(Delivery, Option<Response>)>,
    /// Fallback to record if SSE succeeds.
    pending_fallback: Option<crate::proto::fallback::Mark>,
    /// Fate of the parent that an earlier attempt named.
    parent: Option<ParentFate>,
    /// Bytes of the request that the attempt sends.
    bytes_in_attempt: u64,

    started: Instant,
    /// End of the whole turn.
    deadline: Option<Instant>,
    /// End of the time for connecting, whatever the turn has left.
    connect_deadline: Option<Instant>,
    /// End of the wait for the first event.
    first_event_deadline: Instant,
    last_event: Instant,
    /// Time at which the consumer was handed an event. Until it returns, silence proves nothing.
    yielded_at: Option<Instant>,
    /// Frames that count although a deadline has passed.
    in_hand: InHand,
    /// Extension of a deadline that passed while nobody waited.
    extension: Option<Instant>,

    report: TurnReport,
    /// Response of the last attempt that failed after its first event.
    earlier: Response,
    /// Delivery of that attempt.
    earlier_delivery: Option<Delivery>,
    /// Error to hand out.
    failure: Option<Error>,
    outcome: Option<Outcome>,
    /// Outcome of a warm-up that cost its WebSocket, until another one is open.
    warmed_for_nothing: Option<Prewarm>,
    /// The connection of the attempt was kept from an earlier request and had died.
    stale: bool,
    /// The runtime of the turn has shut down.
    is_runtime_gone: bool,
    /// State of the sequence of random numbers.
    seed: u64,
}

/// Work that a machine does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// A turn.
    Turn,
    /// Open the WebSocket ahead of a turn.
    Connect,
    /// Open it, and let the server process the request.
    WarmUp,
    /// Open the successor of a WebSocket that has served its time.
    Rotate,
}

/// Policies of the client, and facts about the provider.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) timeouts: Timeouts,
    pub(crate) limits: Limits,
    pub(crate) retry: RetryPolicy,
    pub(crate) transport: TransportPolicy,
    pub(crate) continue_over_sse: bool,
    pub(crate) incremental: bool,
    /// The provider has a WebSocket.
    pub(crate) websocket: bool,
    pub(crate) stores_by_default: bool,
    pub(crate) frame_limit: Option<u64>,
    /// The provider's socket takes another request after an error.
    pub(crate) reuses_socket_after_error: bool,
    /// Another credential can be obtained.
    pub(crate) renewable_credential: bool,
}

/// What a machine is made of.
pub(crate) struct Setup {
    pub(crate) settings: Settings,
    pub(crate) origin: Arc<Origin>,
    pub(crate) request: Arc<ResponsesRequest>,
    pub(crate) previous: Prior,
    /// Seed of the random part of back-off.
    pub(crate) seed: u64,
}

/// An open WebSocket.
#[derive(Clone, Debug)]
pub(crate) struct Seat {
    pub(crate) connection: ConnectionId,
    /// Headers of the answer to the upgrade.
    pub(crate) headers: Arc<HeaderMap>,
    /// Size in bytes of the largest message that the server announced to take.
    pub(crate) frame_limit: Option<u64>,
}

/// Something that the owner of a machine does.
#[derive(Debug)]
pub(crate) enum Command {
    /// Wait for what was begun ahead of the turn, until the deadline; then `handle_prewarmed`.
    AwaitPrewarm { deadline: Option<Instant> },
    /// Find an open WebSocket, unless a fresh one is wanted; then `handle_leased`. A turn says
    /// whether its caller names parents itself.
    Lease { fresh: bool, caller_managed: Option<bool> },
    /// Wait until the connection of the last answer over SSE is free; then `handle_drained`.
    Drain,
    /// Obtain the headers of a request; then `handle_authorized`.
    Authorize,
    /// Open a WebSocket by the deadline; then `handle_opened`.
    Open { deadline: Instant },
    /// Send a frame; then `handle_sent`.
    Send { connection: ConnectionId, frame: String },
    /// POST a body, whose answer must begin by the deadline; then `handle_posted`.
    Post { body: String, deadline: Instant, fresh: bool },
    /// GET the events of a response after a number; then `handle_posted`.
    Resume { id: String, after: Option<u64>, deadline: Instant, fresh: bool },
    /// The server ended the exchange: keep its connection, or retire it.
    Release { retire: bool },
    /// End the exchange and close its connection.
    Abort,
    /// The session's baseline becomes this.
    SetBaseline(Prior),
    /// The same at the end of a turn, unless another has begun; then record the parent's fate.
    Commit { previous: Prior, fate: Option<ParentFate> },
    /// The server refused the credential.
    RefuseCredential,
    /// Log this.
    Notify(Notice),
}

/// Something for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
        delay: Duration,
    },
    FallsBack,
    TooLargeForFrame,
    PrewarmFailed(ErrorKind),
}

/// Request that is encoded and not sent yet.
#[derive(Debug)]
struct Prepared {
    plan: Decision,
    body: String,
}

/// What waits for the headers of a request.
#[derive(Debug)]
enum Next {
    /// The upgrade of a WebSocket. Without a request, nothing is sent over it.
    Open(Option<Prepared>),
    Post(Prepared),
    Resume,
}

#[derive(Debug)]
enum State {
    /// Not begun.
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

/// What the next turn may continue, but for the output.
#[derive(Clone, Copy, Debug, Default)]
struct BaselineDraft {
    connection: Option<ConnectionId>,
    /// The server keeps the response, unless it says otherwise.
    stored: bool,
}

/// End of a machine.
#[derive(Debug)]
enum Outcome {
    /// The turn ended well, or with an error that was handed out and can be returned again.
    Turn(Option<Error>),
    Prewarm(Prewarm),
}

/// What is left of a turn that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) report: TurnReport,
    pub(crate) response: Response,
    /// The error that was handed out, without a source that is not of this crate.
    pub(crate) failure: Option<Error>,
}

/// What the consumer gets.
#[derive(Debug)]
pub(crate) enum Output {
    Event(ResponseEvent),
    /// The last one.
    Last(Result<ResponseEvent, Error>),
}

impl TurnMachine {
    pub(crate) fn new(goal: Goal, setup: Setup, now: Instant) -> Self {
        let Setup { settings, origin, request, previous, seed } = setup;
        let time = match goal {
            Goal::Turn => settings.timeouts.turn,
            Goal::Connect | Goal::WarmUp | Goal::Rotate => settings.timeouts.prewarm,
        };
        Self {
            goal,
            origin,
            request,
            previous,
            retry: Ladder::new(settings.retry, settings.transport),
            state: State::New,
            commands: VecDeque::new(),
            reader: ResponseReader::new(),
            baseline: BaselineDraft::default(),
            ready: VecDeque::new(),
            ready_bytes: 0,
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
            started: now,
            deadline: time.map(|time| after(now, time)),
            connect_deadline: None,
            first_event_deadline: now,
            last_event: now,
            yielded_at: None,
            in_hand: InHand::new(settings.limits.read_ahead),
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

    /// Begins the work. Call it once.
    pub(crate) fn begin(&mut self, now: Instant) {
        match self.goal {
            Goal::Turn => {
                self.state = State::Prewarming;
                self.commands.push_back(Command::AwaitPrewarm { deadline: self.deadline });
            }
            Goal::Connect | Goal::WarmUp => self.lease_ahead(),
            Goal::Rotate => self.authorize(Next::Open(None), now),
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

    /// Returns `true` if frames can be handed in.
    pub(crate) fn reads(&self) -> bool {
        matches!(self.state, State::Awaiting | State::Streaming)
    }

    /// Returns `true` while the events of a response are read.
    pub(crate) fn is_streaming(&self) -> bool {
        matches!(self.state, State::Streaming)
    }

    /// Returns `true` if nothing more follows but what [`poll_output`](Self::poll_output) has.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Returns `true` once the response has begun, in this attempt or an earlier one.
    pub(crate) fn has_begun(&self) -> bool {
        matches!(self.state, State::Streaming) || self.earlier_delivery.is_some()
    }

    /// Returns the report so far. It is complete once the machine is done.
    pub(crate) fn report(&self) -> &TurnReport {
        &self.report
    }

    /// Returns the response as far as it came.
    pub(crate) fn response(&self) -> Response {
        match self.state {
            State::Streaming => self.reader.response(),
            _ => self.earlier.clone(),
        }
    }

    /// Returns what is left of a turn that has ended.
    pub(crate) fn take_ended(&mut self) -> Ended {
        let failure = match self.outcome.take() {
            Some(Outcome::Turn(failure)) => failure,
            Some(Outcome::Prewarm(_)) | None => None,
        };
        let (report, response) = (&mut self.report, &mut self.earlier);
        Ended { report: std::mem::take(report), response: std::mem::take(response), failure }
    }

    /// Returns the outcome of work done ahead of a turn.
    pub(crate) fn prewarm(&self) -> Option<Prewarm> {
        match self.outcome {
            Some(Outcome::Prewarm(prewarm)) => Some(prewarm),
            _ => None,
        }
    }

    fn elapsed(&self, now: Instant) -> Option<Duration> {
        Some(now.saturating_duration_since(self.started))
    }

    /// Returns the end of a phase of this length: no later than the end of the turn.
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

/// Longest time that tokio's timer takes: about thirty years.
const NEVER: Duration = Duration::from_secs(86_400 * 365 * 30);

/// Returns `time` after `start`, also for times that no clock can count.
pub(crate) fn after(start: Instant, time: Duration) -> Instant {
    start + time.min(NEVER)
}

fn timed_out(phase: Phase, delivery: Delivery) -> Error {
    Error::new(ErrorKind::Timeout, phase, crate::error::Cause::None).with_delivery(delivery)
}

#[cfg(test)]
mod tests;
