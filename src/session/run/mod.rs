//! The attempts of one turn: the only place that picks a transport and walks the recovery ladder.

use std::{collections::VecDeque, pin::pin, sync::Arc, time::Duration};

use futures_util::future::{Either, select};
use tokio::{
    runtime::Handle,
    time::{Instant, sleep, timeout_at},
};

use super::state::{SharedState, Slot};
use crate::{
    api::ApiError,
    config::Transport,
    error::{Cause, Error},
    event::ResponseEvent,
    kind::{Delivery, ErrorKind, Phase},
    proto::{
        deadline::InHand,
        fallback::Mark,
        parents::ParentFate,
        plan::{Baseline, ConnectionId, Decision, Destination, Planner, Prior},
        retry::{Action, Failed, Ladder, is_unfinished},
        turn::{Step, Turn},
    },
    report::{Failure, FullReason, Plan, TurnReport},
    request::{Encoded, RequestError, ResponsesRequest, encode},
    response::{Response, id_of},
    shared::{RuntimeEnd, Shared},
    transport::call,
};

mod attempt;
mod warm;

/// The attempts of one turn.
pub(super) struct Run {
    shared: Arc<Shared>,
    state: SharedState,
    /// Where the exchange of each attempt is put, so that the session can end it.
    slot: Arc<Slot>,
    request: Arc<ResponsesRequest>,
    planner: Planner,
    ladder: Ladder,
    /// What the turn may continue; the session's own is void from the moment of sending.
    prior: Prior,
    /// Why everything is sent, if that was found out in an attempt before.
    reason: Option<FullReason>,
    over_sse: bool,
    /// The next attempt takes no connection that is kept.
    fresh: bool,
    /// How far an attempt got that may have run, and what came of it.
    reached: Option<(Delivery, Option<Response>)>,
    /// A response that was cut off and can be gone on with.
    resume: Option<Resume>,
    /// To be remembered of the origin if SSE works.
    suspicion: Option<Mark>,
    /// Fate of the parent that an earlier attempt named.
    parent: Option<ParentFate>,
    /// Events came since the request was sent, or the response last asked for again.
    progressed: bool,
    /// Frames that may be taken after the deadline of the turn.
    in_hand: InHand,
    /// When connecting will have taken its time, whatever the turn has left.
    connect_end: Option<Instant>,
    report: TurnReport,
    /// The size of what the attempt sends.
    sending: u64,
    start: Instant,
    deadline: Option<Instant>,
    runtime: Handle,
    runtime_end: RuntimeEnd,
}

/// A response that has begun.
pub(super) struct Live {
    pub(super) transport: Transport,
    pub(super) turn: Turn,
    /// What came up to its first event.
    pub(super) ready: VecDeque<Step>,
    /// What the next turn may continue, but for the output.
    pub(super) base: Base,
    /// It goes on where it was cut off.
    pub(super) resumed: bool,
}

/// A response that was cut off and can be gone on with.
struct Resume {
    turn: Turn,
    base: Base,
}

/// What the next turn may continue, but for the output.
#[derive(Clone)]
pub(super) struct Base {
    request: Arc<ResponsesRequest>,
    connection: Option<ConnectionId>,
    /// Unless the server says otherwise.
    stored: bool,
}

impl Base {
    /// What the turn that ended with `event` leaves to the next one.
    pub(super) fn prior(&self, event: &ResponseEvent, turn: &Turn) -> Prior {
        let ResponseEvent::Completed(completed) = event else { return Prior::NotCompleted };
        let last = id_of(&completed.response);
        if let (Some(last), Some(created)) = (&last, turn.created_id())
            && last != created
        {
            // Which of the two names it, the server alone knows.
            return Prior::Ambiguous;
        }
        match last.or_else(|| turn.response_id().map(str::to_owned)) {
            Some(id) => Prior::Completed(Box::new(Baseline {
                response_id: id,
                request: Arc::clone(&self.request),
                output: turn
                    .response()
                    .output_items()
                    .skip(usize::from(defect!(OutputShort)))
                    .collect(),
                connection: self.connection,
                stored: turn.is_stored().unwrap_or(self.stored),
                warm_up: false,
            })),
            None => Prior::NotCompleted,
        }
    }
}

impl Run {
    pub(super) fn new(
        shared: Arc<Shared>,
        state: SharedState,
        slot: Arc<Slot>,
        request: Arc<ResponsesRequest>,
        planner: Planner,
        runtime: Handle,
    ) -> Self {
        let start = Instant::now();
        let runtime_end = shared.runtimes.end_of(&runtime);
        Self {
            ladder: Ladder::new(shared.retry, shared.transport),
            prior: state.prior(),
            deadline: shared.timeouts.turn.map(|turn| after(start, turn)),
            in_hand: InHand::new(shared.limits.read_ahead),
            shared,
            state,
            slot,
            request,
            planner,
            reason: None,
            over_sse: false,
            fresh: false,
            reached: None,
            resume: None,
            suspicion: None,
            parent: None,
            progressed: false,
            connect_end: None,
            report: TurnReport::default(),
            sending: 0,
            start,
            runtime_end,
            runtime,
        }
    }

    /// Waits for what is being done ahead of the turn, and makes attempts until a response begins.
    pub(super) async fn start(&mut self) -> Result<Live, Error> {
        self.in_runtime(async |run| {
            run.prepare().await;
            run.climb(None).await
        })
        .await
    }

    /// Makes further attempts, after `wait`.
    pub(super) async fn again(&mut self, wait: Duration) -> Result<Live, Error> {
        self.in_runtime(async |run| run.climb(Some(wait)).await).await
    }

    /// Does something as long as the runtime that the turn was begun in runs: after that, its
    /// timers would panic.
    async fn in_runtime(
        &mut self,
        work: impl AsyncFnOnce(&mut Self) -> Result<Live, Error>,
    ) -> Result<Live, Error> {
        let end = self.runtime_end.clone().wait();
        let done = match select(pin!(end), pin!(work(self))).await {
            Either::Left(_) => None,
            Either::Right((done, _)) => Some(done),
        };
        done.unwrap_or_else(|| Err(self.ended(ErrorKind::NoRuntime)))
    }

    async fn prepare(&mut self) {
        let done = self.state.done_ahead(&self.runtime);
        self.report.prewarm = timeout_at(self.by(None), done).await.ok().flatten();
        self.prior = self.state.prior();
    }

    /// Makes attempts until a response begins, after `wait` if there was one before.
    async fn climb(&mut self, mut wait: Option<Duration>) -> Result<Live, Error> {
        loop {
            if let Some(wait) = wait.take().filter(|wait| !wait.is_zero()) {
                // Past the deadline of the turn, the next attempt ends at once.
                _ = timeout_at(self.by(None), sleep(wait)).await;
            }
            match self.attempt().await {
                Ok(live) => return Ok(live),
                Err(mut error) => match self.recover(&mut error) {
                    Some(delay) => wait = Some(delay),
                    None => return Err(error),
                },
            }
        }
    }

    /// The error that the turn ends with: not that of the last attempt alone. What one before may
    /// have set going, and what had come by then, stay true.
    pub(super) fn conclude(self: Box<Self>, error: Error) -> (Error, TurnReport) {
        let Self { report, reached, .. } = *self;
        let error = match reached {
            Some((delivery, partial)) if delivery > error.delivery() => {
                let error = error.with_delivery(delivery);
                match partial {
                    Some(partial) if error.partial().is_none() => error.with_partial(partial),
                    _ => error,
                }
            }
            _ => error,
        };
        (error, report)
    }

    /// The error of a turn that the session ended before its response began.
    pub(super) fn ended(&self, why: ErrorKind) -> Error {
        // Between two attempts, what the one before came to is known.
        let (phase, delivery) = match self.report.plan {
            Some(_) if self.sending > 0 => (Phase::FirstEvent, Delivery::Unknown),
            Some(_) => (Phase::FirstEvent, Delivery::Refused),
            None => (Phase::Prepare, Delivery::NotSent),
        };
        Error::new(why, phase, Cause::None).with_delivery(delivery)
    }

    /// Keeps what a response that runs on without its connection needs to be gone on with.
    pub(super) fn keep(&mut self, mut turn: Turn, base: Base, error: &Error) {
        let background = self.request.background == Some(true);
        let cut = matches!(error.kind(), ErrorKind::Truncated | ErrorKind::Timeout)
            || is_unfinished(error);
        if background && cut && turn.is_resumable() {
            self.progressed = turn.has_progressed();
            turn.resume(error.delivery());
            self.resume = Some(Resume { turn, base });
        }
    }

    /// Takes note of a failed attempt. Says after which wait another shall be made, if any.
    pub(super) fn recover(&mut self, error: &mut Error) -> Option<Duration> {
        let transport = self.report.transport?;
        if let Some(attempt) = self.report.attempts.last_mut() {
            attempt.failure = Some(Failure {
                kind: error.kind(),
                delivery: error.delivery(),
                message: error.to_string(),
            });
        }
        let reached = self.reached.as_ref().map_or(Delivery::Refused, |(delivery, _)| *delivery);
        if error.delivery() > reached {
            self.reached = Some((error.delivery(), error.partial().cloned()));
        }
        if error.delivery() == Delivery::NotSent {
            self.state.set_prior(self.prior.clone());
        } else {
            self.prior = Prior::NotCompleted;
        }
        let incremental = self.report.plan.as_ref().is_some_and(|plan| !plan.is_full());
        if error.delivery() == Delivery::NotSent && self.resume.is_none() {
            self.report.plan = None;
            self.report.bytes_sent -= self.sending;
        } else if self.sending > 0 {
            self.ladder.sent(self.sending);
        }
        self.sending = 0;
        if error.kind() == ErrorKind::Api && error.is_authentication() {
            self.shared.auth.refused();
        }
        if self.is_over(Instant::now()) || self.slot.why_ended().is_some() {
            return None;
        }
        let failed = Failed {
            error,
            transport,
            reused: self.report.reused,
            incremental,
            stale: call::is_stale(error),
            silent: self.report.timings.first_byte.is_none(),
            answered: self.shared.answers_websockets(),
            resumable: self.resume.is_some(),
            progressed: std::mem::take(&mut self.progressed),
            renewable: self.shared.auth.is_renewable(),
            at: Instant::now().into_std(),
        };
        let action = self.ladder.next(failed, fastrand::f64());
        if self.ladder.loses_creates() {
            self.shared.set_answers_websockets(false);
        }
        let Action::Again(again) = action else { return None };
        // No attempt would follow: the error says more than that the time was over.
        if self.is_over(after(Instant::now(), again.delay)) {
            return None;
        }
        if self.resume.is_none() && !self.may_resend() {
            error.set_resend_limited();
            return None;
        }
        tracing::debug!(%transport, kind = ?error.kind(), delay = ?again.delay, "attempt failed");
        if again.reason == FullReason::ParentNotFound {
            let unsupported = error.api_error().is_some_and(ApiError::is_parent_unsupported);
            self.parent =
                Some(if unsupported { ParentFate::Unsupported } else { ParentFate::Gone });
        }
        match &self.report.plan {
            // Another attempt does not change why everything is sent.
            Some(Plan::Full(reason)) => self.reason = Some(reason.clone()),
            Some(Plan::Incremental { .. }) if error.delivery() != Delivery::NotSent => {
                self.reason = Some(again.reason);
            }
            _ => {}
        }
        self.fresh = again.fresh;
        if again.over_sse && !self.over_sse {
            self.over_sse = true;
            tracing::info!(origin = self.shared.provider.origin(), "falling back to SSE");
        }
        match again.mark {
            Some(mark) if mark.is_suspicion() => self.suspicion = again.mark,
            Some(mark) => {
                let now = Instant::now().into_std();
                self.slot.unless_ended(|| self.shared.mark(mark, now));
            }
            None => {}
        }
        Some(again.delay)
    }

    /// Whether the request may be sent once more, as far as bytes go. What was sent before is sent
    /// in full.
    fn may_resend(&self) -> bool {
        if self.report.bytes_sent == 0 {
            return true;
        }
        let full = self.encode(Encoded::Http { parent: None, skip: 0 });
        full.is_ok_and(|body| self.ladder.may_resend(body.len() as u64))
    }

    pub(super) fn report(&self) -> &TurnReport {
        &self.report
    }

    pub(super) fn report_mut(&mut self) -> &mut TurnReport {
        &mut self.report
    }

    /// Takes note of a turn that went well, which leaves `prior` to the next one.
    pub(super) fn commit(&self, prior: Prior) {
        let is_live = self.state.commit(&self.slot, prior);
        let continued = self.report.plan.as_ref().is_some_and(|plan| !plan.is_full());
        let fate = if continued { Some(ParentFate::Continued) } else { self.parent };
        if let Some(fate) = fate.filter(|_| is_live) {
            let refusals = self.state.count_refusal(fate == ParentFate::Unsupported);
            self.shared.note_parent(fate, refusals, Instant::now().into_std());
        }
    }

    /// The runtime that the turn was begun in: its stream may be polled outside of any.
    pub(super) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    pub(super) fn runtime_end(&self) -> &RuntimeEnd {
        &self.runtime_end
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// When an event must have come, `last` being when the last one did.
    pub(super) fn next_deadline(&self, transport: Transport, last: Instant) -> Option<Instant> {
        let between =
            self.shared.timeouts.between_events(transport).map(|between| after(last, between));
        [between, self.deadline].into_iter().flatten().min()
    }

    /// Until when frames are waited for, if this is the deadline and it has passed.
    pub(super) fn wait_until(&mut self, deadline: Instant) -> Instant {
        let until = self.in_hand.wait_until(deadline.into_std(), Instant::now().into_std());
        Instant::from_std(until)
    }

    /// Records a frame of this size and returns `true` if it comes too late for the turn.
    pub(super) fn is_too_late(&mut self, size: usize) -> bool {
        self.is_over(Instant::now()) && !self.in_hand.takes(size)
    }

    /// Whether the time set for the turn is over.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| now >= deadline)
    }

    /// Puts away the exchange, which the server ended, well or with `error`.
    pub(super) fn settle(&self, error: Option<&Error>) {
        if let Some(exchange) = self.slot.remove() {
            let keeps = self.shared.provider.keeps_socket_after_error;
            self.state.settle(exchange, error, keeps, self.shared.limits, &self.runtime);
        }
        self.rotate();
    }

    fn plan(&self, to: Destination) -> Decision {
        match ((self.planner)(&self.request, &self.prior, to), &self.reason) {
            (Decision::Full(_), Some(reason)) => Decision::Full(reason.clone()),
            (Decision::Incremental { .. }, _)
                if !self.shared.may_name_parent(Instant::now().into_std()) =>
            {
                Decision::Full(FullReason::ProviderUnsupported)
            }
            (decision, _) => decision,
        }
    }

    fn encode(&self, encoded: Encoded<'_>) -> Result<String, Error> {
        encode(&self.request, encoded).map_err(|error| {
            let error = crate::json::DecodeError::new("the request", &error);
            Error::invalid_request(RequestError::Body(error))
        })
    }

    fn base(&self, connection: Option<ConnectionId>) -> Base {
        let stored = self.request.store.unwrap_or(self.shared.provider.stores_by_default);
        Base { request: Arc::clone(&self.request), connection, stored }
    }

    /// The moment by which a phase of this length must be over, and with it the turn.
    fn by(&self, phase: Option<Duration>) -> Instant {
        let phase = after(Instant::now(), phase.unwrap_or(NEVER));
        self.deadline.map_or(phase, |deadline| deadline.min(phase))
    }
}

/// What tokio takes for "never".
const NEVER: Duration = Duration::from_secs(86_400 * 365 * 30);

/// `time` after `start`, also for times that no clock can count.
pub(super) fn after(start: Instant, time: Duration) -> Instant {
    start + time.min(NEVER)
}

fn timed_out(phase: Phase, delivery: Delivery) -> Error {
    Error::new(ErrorKind::Timeout, phase, Cause::None).with_delivery(delivery)
}
