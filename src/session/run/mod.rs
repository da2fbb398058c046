//! The attempts of one turn: the only place that picks a transport and walks the recovery ladder.

use std::{collections::VecDeque, future::poll_fn, sync::Arc, time::Duration};

use http::HeaderMap;
use tokio::{
    runtime::Handle,
    time::{Instant, sleep, timeout, timeout_at},
};

pub(super) use warm::Ahead;

use super::state::{SharedState, Slot};
use crate::{
    Delivery, Error, ErrorKind, Phase, ResponsesRequest, Transport, TransportPolicy,
    error::{Cause, RequestError},
    event::ResponseEvent,
    proto::{
        fallback::Mark,
        plan::{Baseline, ConnectionId, Decision, Destination, Planner, Prior},
        retry::{Action, Failed, Ladder},
        turn::{End, Step, Turn},
    },
    report::{
        Attempt, Failure, FullReason, Plan, Prewarm, ServerHeaders, Timings, TurnReport, Waste,
    },
    request::{Encoded, encode},
    response::Response,
    shared::Shared,
    transport::{Exchange, Incoming, SseExchange, WebSocket},
};

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
    fresh_socket: bool,
    /// How far an attempt got that may have run, and what came of it.
    reached: Option<(Delivery, Option<Response>)>,
    /// To be remembered of the origin if SSE works.
    suspicion: Option<Mark>,
    report: TurnReport,
    /// The size of what the attempt sends.
    sending: u64,
    start: Instant,
    deadline: Option<Instant>,
    runtime: Handle,
}

/// A response that has begun.
pub(super) struct Live {
    pub(super) transport: Transport,
    pub(super) turn: Turn,
    /// What came up to its first event.
    pub(super) ready: VecDeque<Step>,
    /// What the next turn may continue, but for the output.
    pub(super) base: Base,
}

/// What the next turn may continue, but for the output.
#[derive(Clone)]
pub(super) struct Base {
    request: Arc<ResponsesRequest>,
    connection: Option<ConnectionId>,
    stored: bool,
}

impl Base {
    /// What the turn that ended with `event` leaves to the next one.
    pub(super) fn prior(&self, event: &ResponseEvent, turn: &Turn) -> Prior {
        match (event, turn.response_id()) {
            (ResponseEvent::Completed(_), Some(id)) if !id.is_empty() => {
                Prior::Completed(Box::new(Baseline {
                    response_id: id.to_owned(),
                    request: Arc::clone(&self.request),
                    output: turn
                        .response()
                        .output_items()
                        .skip(usize::from(defect!(OutputShort)))
                        .collect(),
                    connection: self.connection,
                    stored: self.stored,
                    warm_up: false,
                }))
            }
            _ => Prior::NotCompleted,
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
        Self {
            ladder: Ladder::new(shared.retry, shared.transport),
            prior: state.prior(),
            deadline: shared.timeouts.turn.map(|turn| after(start, turn)),
            shared,
            state,
            slot,
            request,
            planner,
            reason: None,
            over_sse: false,
            fresh_socket: false,
            reached: None,
            suspicion: None,
            report: TurnReport::default(),
            sending: 0,
            start,
            runtime,
        }
    }

    /// Waits for what is being done ahead of the turn.
    pub(super) async fn prepare(&mut self) {
        let done = self.state.done_ahead(&self.runtime);
        self.report.prewarm = timeout_at(self.by(None), done).await.ok().flatten();
        self.prior = self.state.prior();
    }

    /// Makes attempts until a response begins, after `wait` if there was one before.
    pub(super) async fn climb(&mut self, mut wait: Option<Duration>) -> Result<Live, Error> {
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
        let (phase, delivery) = match self.report.plan {
            Some(_) => (Phase::FirstEvent, Delivery::Unknown),
            None => (Phase::Prepare, Delivery::NotSent),
        };
        Error::new(why, phase, Cause::None).with_delivery(delivery)
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
        if error.delivery() == Delivery::NotSent {
            self.report.plan = None;
            self.report.bytes_sent -= self.sending;
        } else if self.sending > 0 {
            self.ladder.sent(self.sending);
        }
        self.sending = 0;
        if error.kind() == ErrorKind::Api && error.is_authentication() {
            self.shared.auth.refused();
        }
        if self.is_over(Instant::now()) {
            return None;
        }
        let failed = Failed {
            error,
            transport,
            reused: self.report.reused,
            incremental,
            silent: self.report.timings.first_byte.is_none() && !self.state.websocket_answered(),
            renewable: self.shared.auth.is_renewable(),
            at: Instant::now().into_std(),
        };
        let action = self.ladder.next(failed, fastrand::f64());
        let Action::Again(again) = action else { return None };
        // No attempt would follow: the error says more than that the time was over.
        if self.is_over(after(Instant::now(), again.delay)) {
            return None;
        }
        if !self.may_resend() {
            error.set_resend_limited();
            return None;
        }
        tracing::debug!(%transport, kind = ?error.kind(), delay = ?again.delay, "attempt failed");
        match &self.report.plan {
            // Another attempt does not change why everything is sent.
            Some(Plan::Full(reason)) => self.reason = Some(reason.clone()),
            Some(Plan::Incremental { .. }) if error.delivery() != Delivery::NotSent => {
                self.reason = Some(again.reason);
            }
            _ => {}
        }
        self.fresh_socket = again.fresh_socket;
        if again.over_sse && !self.over_sse {
            self.over_sse = true;
            tracing::info!(origin = self.shared.provider.origin(), "falling back to SSE");
        }
        match again.mark {
            Some(mark) if mark.is_suspicion() => self.suspicion = again.mark,
            Some(mark) => self.shared.mark(mark, Instant::now().into_std()),
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

    pub(super) fn state(&self) -> &SharedState {
        &self.state
    }

    /// The runtime that the turn was begun in: its stream may be polled outside of any.
    pub(super) fn runtime(&self) -> &Handle {
        &self.runtime
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

    async fn attempt(&mut self) -> Result<Live, Error> {
        let transport = if self.over_sse {
            Transport::Sse
        } else {
            let background = self.request.background == Some(true);
            let open_socket = !self.fresh_socket && self.state.open_socket().is_some();
            let now = Instant::now().into_std();
            let route = self.shared.route(background, open_socket, now);
            route.map_err(Error::invalid_request)?
        };
        self.report.timings = Timings::default();
        self.report.transport = Some(transport);
        self.report.plan = None;
        self.report.attempts.push(Attempt { transport, failure: None });
        match transport {
            Transport::WebSocket => self.over_websocket().await,
            Transport::Sse => self.over_sse().await,
        }
    }

    async fn over_websocket(&mut self) -> Result<Live, Error> {
        if self.state.use_spare() {
            self.set_alarm();
        }
        if self.fresh_socket || self.is_overdue() {
            self.state.set_socket(None);
        }
        let connection = self.state.open_socket();
        self.report.reused = connection.is_some();
        self.report.timings.queued = Some(self.elapsed());
        // A new socket continues what no socket does, so that the plan is known before there is one.
        let decision = self.plan(self.websocket(connection));
        let (parent, skip) = decision.parent();
        let frame = self.encode(Encoded::Frame { parent, skip })?;
        if self.is_above_limit(&frame) {
            return self.above_frame_limit().await;
        }
        if let (Some(prewarm @ Prewarm::Warmed), Decision::Full(_)) =
            (&mut self.report.prewarm, &decision)
        {
            *prewarm = Prewarm::Wasted(Waste::Unused);
        }
        let connection = match connection {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let size = frame.len() as u64;
        let sending = self.state.with_socket(|socket| {
            self.report.server = ServerHeaders::new(Arc::clone(socket.headers()));
            socket.send(frame)
        });
        let Some(sending) = sending else {
            return Err(Error::new(ErrorKind::Closed, Phase::Send, Cause::None)
                .with_delivery(Delivery::NotSent));
        };
        self.note_sending(&decision, size);
        let exchange = timeout_at(self.by(self.shared.timeouts.send), sending)
            .await
            .unwrap_or_else(|_| Err(timed_out(Phase::Send, Delivery::Unknown)))?;
        self.report.timings.sent = Some(self.elapsed());
        let first = self.by(self.shared.timeouts.first_event(Transport::WebSocket));
        let base = self.base(Some(connection));
        self.first_event(Exchange::WebSocket(exchange), first, base).await
    }

    /// From here on the server may have it.
    fn note_sending(&mut self, decision: &Decision, size: u64) {
        self.state.set_prior(if defect!(StaleBaseline) {
            self.prior.clone()
        } else {
            Prior::NotCompleted
        });
        let plan = decision.report(self.request.input.len());
        tracing::debug!(transport = ?self.report.transport, ?plan, size, "sending");
        self.report.plan = Some(plan);
        self.report.bytes_sent += size;
        self.sending = size;
    }

    /// The frame would be refused: such a turn goes over SSE.
    async fn above_frame_limit(&mut self) -> Result<Live, Error> {
        if self.shared.transport != TransportPolicy::Auto {
            let why = "the frame is larger than the provider takes";
            return Err(Error::invalid_request(RequestError::NoTransport(why)));
        }
        self.over_sse = true;
        tracing::info!(origin = self.shared.provider.origin(), "too large for a frame: over SSE");
        self.report.transport = Some(Transport::Sse);
        if let Some(attempt) = self.report.attempts.last_mut() {
            attempt.transport = Transport::Sse;
        }
        self.over_sse().await
    }

    fn is_above_limit(&self, frame: &str) -> bool {
        self.shared.provider.frame_limit.is_some_and(|limit| frame.len() as u64 > limit)
    }

    fn websocket(&self, connection: Option<ConnectionId>) -> Destination {
        Destination {
            transport: Transport::WebSocket,
            connection,
            continue_over_sse: self.shared.continue_over_sse,
            incremental: self.shared.incremental,
        }
    }

    async fn connect(&mut self) -> Result<ConnectionId, Error> {
        let socket = self.open().await?;
        let id = socket.id();
        self.report.timings.connected = Some(self.elapsed());
        self.state.set_socket(Some(socket));
        self.set_alarm();
        Ok(id)
    }

    async fn open(&mut self) -> Result<WebSocket, Error> {
        let shared = Arc::clone(&self.shared);
        let id = shared.next_connection();
        let headers = self.headers().await?;
        let deadline = self.by(shared.timeouts.connect);
        let uri = shared.uri.clone();
        let (limits, timeouts) = (shared.limits, shared.timeouts);
        let network = &*shared.network;
        let socket =
            WebSocket::connect(network, uri, headers, id, deadline, limits, timeouts).await?;
        tracing::debug!(origin = shared.provider.origin(), "WebSocket open");
        Ok(socket)
    }

    /// The headers, with the credential of this moment. Fetching it may take as long as
    /// connecting may.
    async fn headers(&self) -> Result<HeaderMap, Error> {
        timeout_at(self.by(self.shared.timeouts.connect), self.shared.headers())
            .await
            .unwrap_or_else(|_| Err(timed_out(Phase::Prepare, Delivery::NotSent)))
    }

    async fn over_sse(&mut self) -> Result<Live, Error> {
        if let Some(draining) = self.state.take_draining() {
            // It ends by itself in this time, but not if its runtime is gone.
            _ = timeout(self.shared.limits.drain_time, draining).await;
        }
        self.report.reused = self.state.posted_before();
        self.report.timings.queued = Some(self.elapsed());
        let decision = self.plan(Destination {
            transport: Transport::Sse,
            connection: None,
            continue_over_sse: self.shared.continue_over_sse,
            incremental: self.shared.incremental,
        });
        let (parent, skip) = decision.parent();
        let body = self.encode(Encoded::Http { parent, skip })?;
        let size = body.len() as u64;
        let shared = Arc::clone(&self.shared);
        let headers = self.headers().await?;
        self.note_sending(&decision, size);
        let first = self.by(shared.timeouts.first_event(Transport::Sse));
        let uri = shared.uri.clone();
        let network = &*shared.network;
        let exchange = SseExchange::open(network, uri, headers, body, first, shared.limits).await?;
        self.report.timings.sent = Some(self.elapsed());
        self.report.timings.first_byte = Some(self.elapsed());
        self.report.server = ServerHeaders::new(Arc::clone(exchange.headers()));
        let base = self.base(None);
        self.first_event(Exchange::Sse(exchange), first, base).await
    }

    /// Reads up to the first event of the response.
    async fn first_event(
        &mut self,
        exchange: Exchange,
        deadline: Instant,
        base: Base,
    ) -> Result<Live, Error> {
        let transport = exchange.transport();
        self.slot.put(exchange);
        let held = HeldUntilLive(Some(Arc::clone(&self.slot)));
        let live = self.read_first_event(transport, deadline, base).await?;
        held.keep();
        Ok(live)
    }

    async fn read_first_event(
        &mut self,
        transport: Transport,
        deadline: Instant,
        base: Base,
    ) -> Result<Live, Error> {
        let mut turn = Turn::new();
        let mut ready = VecDeque::new();
        let mut ready_bytes = 0;
        while !turn.has_begun() {
            let slot = Arc::clone(&self.slot);
            let incoming = timeout_at(deadline, poll_fn(|cx| slot.poll_next(cx))).await;
            let frame = match incoming {
                Ok(Some(Incoming::Frame(_))) if Instant::now() >= deadline => {
                    return Err(turn.end(End::TimedOut));
                }
                Ok(Some(Incoming::Frame(frame))) => frame,
                Ok(Some(Incoming::End(end))) => return Err(turn.end(end)),
                // Nobody gets to see it: whoever waits for this turn was told before.
                Ok(None) => return Err(turn.end(End::Lost(None))),
                Err(_) => return Err(turn.end(End::TimedOut)),
            };
            self.report.bytes_received += frame.payload.len() as u64;
            let elapsed = self.elapsed();
            self.report.timings.first_byte.get_or_insert(elapsed);
            if transport == Transport::WebSocket {
                self.state.set_websocket_answered();
            }
            match turn.handle(&frame) {
                Step::Failed(error) => {
                    if frame.tag.role.leaves_connection() {
                        self.settle(Some(&error));
                    }
                    return Err(error);
                }
                Step::Nothing => {}
                step @ Step::Event(_) => {
                    ready_bytes += frame.payload.len();
                    if !turn.has_begun() && ready_bytes > self.shared.limits.read_ahead {
                        return Err(turn.end(End::TooLarge));
                    }
                    ready.push_back(step);
                }
                step @ Step::Done(_) => {
                    ready.push_back(step);
                    break;
                }
            }
        }
        self.report.timings.first_event = Some(self.elapsed());
        match (transport, self.suspicion.take()) {
            // A socket that was open before says nothing about opening one.
            (Transport::WebSocket, _) if !self.report.reused => self.shared.clear_mark(),
            (Transport::WebSocket, _) => {}
            (Transport::Sse, Some(mark)) => self.shared.mark(mark, Instant::now().into_std()),
            (Transport::Sse, None) => {}
        }
        Ok(Live { transport, turn, ready, base })
    }

    fn plan(&self, to: Destination) -> Decision {
        match ((self.planner)(&self.request, &self.prior, to), &self.reason) {
            (Decision::Full(_), Some(reason)) => Decision::Full(reason.clone()),
            (decision, _) => decision,
        }
    }

    fn encode(&self, encoded: Encoded<'_>) -> Result<String, Error> {
        encode(&self.request, encoded).map_err(|error| {
            let error = crate::error::DecodeError::new("the request", &error);
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

/// Takes the exchange out of its slot again, unless it is kept: when the attempt fails, or its
/// future is dropped.
struct HeldUntilLive(Option<Arc<Slot>>);

impl HeldUntilLive {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for HeldUntilLive {
    fn drop(&mut self) {
        if let Some(slot) = &self.0 {
            drop(slot.remove());
        }
    }
}

/// What tokio takes for "never".
const NEVER: Duration = Duration::from_secs(86_400 * 365 * 30);

/// `time` after `start`, also for times that no clock can count.
fn after(start: Instant, time: Duration) -> Instant {
    start + time.min(NEVER)
}

fn timed_out(phase: Phase, delivery: Delivery) -> Error {
    Error::new(ErrorKind::Timeout, phase, Cause::None).with_delivery(delivery)
}
