//! Carries out the commands of a [`TurnMachine`].

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Method};
use tokio::{
    runtime::Handle,
    time::{Instant, timeout, timeout_at},
};
use tracing::Span;

use super::{control::TurnControl, core::SessionCore, message::StateSenders, steer::CarriedSteer};
use crate::{
    auth::Secret,
    config::Transport,
    endpoint::{Authorized, Endpoint, RuntimeEnd},
    error::Error,
    event::EventKind,
    kind::Delivery,
    observe::{AttemptFailed, Notifier, Retirement},
    pool::{Acquired, Lease, SocketPlace},
    proto::{
        lane::{ConnectionId, SeatId},
        parents::ParentFate,
        plan::PreviousTurn,
        sticky,
        turn::{
            Command, Goal, Notice, Setup, TurnMachine, inject::InjectState, message::MessageId,
            response::StreamEnd, steer::SteerState,
        },
    },
    report::{Prewarm, TurnReport},
    request::ResponsesRequest,
    transport::{Exchange, Incoming, SseExchange, WebSocketExchange, http1},
};

mod leasing;
mod messages;

/// Request of a turn, with the options that apply to this turn only.
#[derive(Default)]
pub(super) struct TurnRequest {
    pub(super) request: Arc<ResponsesRequest>,
    /// Headers of the turn's HTTP requests.
    pub(super) headers: HeaderMap,
    /// Time limit of the whole turn; `None` to use that of the client.
    pub(super) timeout: Option<Duration>,
}

impl From<Arc<ResponsesRequest>> for TurnRequest {
    fn from(request: Arc<ResponsesRequest>) -> Self {
        Self { request, ..Self::default() }
    }
}

/// The machine of a turn, and the IO that carries out the machine's commands.
pub(super) struct Work {
    goal: Goal,
    pub(super) machine: TurnMachine,
    pub(super) core: SessionCore,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) control: Arc<TurnControl>,
    pub(super) runtime: Handle,
    pub(super) runtime_end: RuntimeEnd,
    /// The operation in progress. The mutex makes the driver `Sync` although the future is not,
    /// and is never locked, because all access goes through `&mut self`.
    step: Mutex<Option<BoxFuture<'static, Done>>>,
    /// Resolves when the runtime shuts down. Polled while no response is read.
    shutdown: Mutex<Option<BoxFuture<'static, ()>>>,
    notifier: Notifier,
    /// Headers of the session and of the turn.
    own_headers: HeaderMap,
    /// Headers of the next request, with the current credential.
    authorized: Authorized,
    /// Token of the request in progress, or of the WebSocket that carries the request, if a provider
    /// returned the token.
    token: Option<Secret>,
    exchange: Option<Exchange>,
    /// Right to open the next WebSocket.
    place: Option<SocketPlace>,
    /// WebSocket of the last request.
    sent_on: Option<ConnectionId>,
    /// `true` while forks of other sessions may not lose the response that this turn continues.
    holds_parent: bool,
    /// Messages about the running response that are being sent, in order.
    outgoing: Mutex<VecDeque<Outgoing>>,
    pub(super) steers: StateSenders<SteerState>,
    pub(super) injects: StateSenders<InjectState>,
    turn_span: Span,
    /// Span of the attempt in progress. Operations are polled in it.
    attempt_span: Span,
    /// The session has a new WebSocket, which needs a timer for its replacement.
    pub(super) has_new_socket: bool,
    /// The turn has released its connection, so that its WebSocket may be replaced.
    pub(super) has_released: bool,
    /// The caller has received the end of the turn.
    has_ended: bool,
}

/// Question for a lane.
pub(super) struct LeaseQuery {
    fresh: bool,
    caller_managed: Option<bool>,
    /// The response that the turn may continue.
    parent: Option<String>,
}

/// A message about the running response. Resolves with `false` if the message was not sent.
type Outgoing = (MessageId, BoxFuture<'static, bool>);

/// Outcome of an operation.
pub(super) enum Done {
    Prewarmed(Option<Prewarm>),
    /// The forks that continue the last response have begun, or the time for that has passed.
    Forked(LeaseQuery),
    Acquired(LeaseQuery, Result<Acquired, Error>),
    Drained,
    Authorized(Result<Authorized, Error>),
    Opened(Result<Lease, Error>),
    Sent(Result<WebSocketExchange, Error>),
    Posted(Result<SseExchange, Error>),
}

impl Done {
    /// Drops the outcome of an operation whose turn was cancelled.
    pub(super) fn cancel(self) {
        if let Self::Opened(Ok(lease)) = self {
            lease.retire(Retirement::Cancelled);
        }
    }
}

impl Work {
    /// Returns the work of a turn that begins now.
    pub(super) fn new(
        goal: Goal,
        endpoint: Arc<Endpoint>,
        core: SessionCore,
        control: Arc<TurnControl>,
        request: TurnRequest,
        runtime: Handle,
        now: Instant,
    ) -> Self {
        let TurnRequest { request, headers, timeout } = request;
        let mut settings = endpoint.turn_settings();
        settings.policy.timeouts.turn = timeout.or(settings.policy.timeouts.turn);
        let setup = Setup {
            settings,
            origin: Arc::clone(&endpoint.origin),
            request,
            has_headers: !headers.is_empty(),
            previous: core.previous(),
            seed: fastrand::u64(..),
        };
        let names = endpoint.provider.capabilities.session_headers;
        let mut own_headers = core.headers().of(names);
        own_headers.extend(headers);
        let mut machine = TurnMachine::new(goal, setup, now.into_std());
        machine.begin(now.into_std());
        let carried = if goal == Goal::Turn { core.take_steers() } else { Vec::new() };
        let (pending, senders): (Vec<_>, Vec<_>) =
            carried.into_iter().map(|it| (it.steer, it.sender)).unzip();
        let steers = machine.carry(pending).into_iter().zip(senders).collect();
        let runtime_end = endpoint.runtimes.end_of(&runtime);
        let notifier = endpoint.notifier.of_session(core.observer());
        let turn_span = notifier.turn(core.span());
        Self {
            goal,
            machine,
            core,
            control,
            endpoint,
            runtime_end,
            runtime,
            step: Mutex::default(),
            shutdown: Mutex::default(),
            notifier,
            own_headers,
            authorized: Authorized::default(),
            token: None,
            exchange: None,
            place: None,
            sent_on: None,
            holds_parent: false,
            outgoing: Mutex::default(),
            steers,
            injects: StateSenders::from_iter([]),
            attempt_span: turn_span.clone(),
            turn_span,
            has_new_socket: false,
            has_released: false,
            has_ended: false,
        }
    }

    pub(super) fn run_commands(&mut self, now: Instant) {
        while let Some(command) = self.machine.poll_command() {
            self.run(command, now);
        }
        self.update_messages();
        if self.machine.is_done() {
            self.control.finish();
            self.place = None;
            self.end_hold();
            if let Some(state) = self.machine.sticky() {
                self.core.set_sticky(state, self.goal == Goal::WarmUp);
            }
        }
    }

    fn run(&mut self, command: Command, now: Instant) {
        match command {
            Command::AwaitPrewarm { deadline } => self.await_prewarm(deadline),
            Command::Lease { fresh, caller_managed, parent } => {
                self.lease(LeaseQuery { fresh, caller_managed, parent }, now);
            }
            Command::Drain => self.drain(now),
            Command::Authorize => {
                let (endpoint, own) = (Arc::clone(&self.endpoint), self.own_headers.clone());
                self.begin(async move { Done::Authorized(endpoint.authorize(own).await) });
            }
            Command::Open { deadline } => self.open(Instant::from_std(deadline)),
            Command::Send { seat, frame } => self.send(seat, frame, now),
            Command::SendDuring { seat, message, id } => self.send_during(seat, message, id),
            Command::Post { body, deadline, fresh } => {
                let uri = self.endpoint.uri.clone();
                self.request(Method::POST, uri, Some(body), deadline, fresh);
            }
            Command::Resume { id, after, deadline, fresh } => {
                match self.endpoint.events_uri(&id, after) {
                    Ok(uri) => self.request(Method::GET, uri, None, deadline, fresh),
                    Err(error) => self.machine.handle_posted(Err(error), false, now.into_std()),
                }
            }
            Command::Release { retire } => self.release(retire),
            Command::Abort => self.abort(match self.control.cancelled() {
                Some(_) => Retirement::Cancelled,
                None => Retirement::Error,
            }),
            Command::SetBaseline(previous) => self.set_baseline(previous),
            Command::Commit { previous, fate } => self.commit(previous, fate, now),
            Command::RefuseCredential => self.endpoint.auth.refused(self.token.as_ref()),
            Command::Notify(notice) => self.notify(notice),
        }
    }

    /// Begins an operation. [`handle_done`](Self::handle_done) receives its outcome.
    fn begin(&mut self, step: impl Future<Output = Done> + Send + 'static) {
        *step_of(&mut self.step) = Some(Box::pin(step));
    }

    /// Polls the operation in progress.
    pub(super) fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Done> {
        let Some(step) = step_of(&mut self.step) else { return Poll::Pending };
        // The caller may poll the stream outside of the runtime that the turn began in.
        let (_in_runtime, _in_attempt) = (self.runtime.enter(), self.attempt_span.enter());
        let done = std::task::ready!(step.as_mut().poll(cx));
        *step_of(&mut self.step) = None;
        Poll::Ready(done)
    }

    /// Registers the task of `cx` to be woken when the runtime shuts down. Returns `true` if the
    /// runtime has already shut down.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> bool {
        let runtime_end = &self.runtime_end;
        let shutdown =
            step_of(&mut self.shutdown).get_or_insert_with(|| Box::pin(runtime_end.clone().wait()));
        shutdown.as_mut().poll(cx).is_ready()
    }

    pub(super) fn handle_done(&mut self, done: Done, now: Instant) {
        let time = now.into_std();
        match done {
            Done::Prewarmed(prewarm) => {
                let sticky = self.core.sticky(self.machine.continues_user_turn());
                self.machine.set_sticky(sticky);
                let (previous, open_socket) = (self.core.previous(), self.has_open_socket());
                self.machine.handle_prewarmed(prewarm, previous, open_socket, time);
            }
            Done::Forked(query) => {
                // Who has not begun by now has waited long enough, but is not worth a lane.
                let leased = self.try_lease(&query);
                match leased.is_forked {
                    true => {
                        self.core.retire(Retirement::Renewed);
                        self.acquire(LeaseQuery { fresh: true, ..query }, now);
                    }
                    false => self.leased(leased, query, now),
                }
            }
            Done::Acquired(query, acquired) => self.acquired(acquired, &query, now),
            Done::Drained => {
                let reused = self.core.with_connections(|it| it.mark_http_used());
                self.machine.handle_drained(reused, time);
            }
            Done::Authorized(result) => {
                let result = result.map(|authorized| self.authorized = authorized);
                self.machine.handle_authorized(result, time);
            }
            Done::Opened(result) => {
                let result = result.map(|lease| {
                    self.attempt_span.in_scope(|| self.notifier.websocket_opened());
                    let seat = lease.seat(None);
                    if self.goal == Goal::Rotate {
                        self.core.set_successor(lease);
                    } else {
                        self.core.set_lease(lease);
                        self.has_new_socket = true;
                    }
                    seat
                });
                self.machine.handle_opened(result, time);
            }
            Done::Sent(result) => {
                if result.as_ref().is_err_and(|error| error.delivery() == Delivery::NotSent) {
                    self.core.with_connections(|it| it.note_end(Retirement::IdleClosed));
                }
                let compressed = result.as_ref().ok().and_then(WebSocketExchange::compressed_bytes);
                if let Some(bytes) = compressed {
                    self.machine.note_compressed(bytes);
                }
                let result = result.map(|exchange| self.hold(Exchange::WebSocket(exchange)));
                self.machine.handle_sent(result, time);
            }
            Done::Posted(result) => {
                let stale = result.as_ref().err().is_some_and(http1::is_stale);
                let result = result.map(|exchange| {
                    let headers = Arc::clone(exchange.headers());
                    self.hold(Exchange::Sse(exchange));
                    headers
                });
                self.machine.handle_posted(result, stale, time);
            }
        }
    }

    /// Hands the next part of the answer to the machine.
    pub(super) fn poll_exchange(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<()> {
        let time = now.into_std();
        // The connection has ended the exchange if it has not taken a message before the end of the
        // response. The answer about the message comes first.
        if self.machine.holds_end() && !step_of(&mut self.outgoing).is_empty() {
            return Poll::Pending;
        }
        let incoming = match &mut self.exchange {
            Some(exchange) => std::task::ready!(exchange.poll_next(cx)),
            None => Incoming::End(StreamEnd::Disconnected(None)),
        };
        // If the session ended the turn while its connection was read, the cancellation is the
        // cause, and not the closed connection.
        if self.control.cancelled().is_some() {
            return Poll::Ready(());
        }
        match incoming {
            Incoming::Frame(frame) => {
                // The server has ended the exchange, so that its socket is free. The rest of an
                // answer over SSE still occupies its connection.
                // A response with messages may be followed by their answers, or by another one.
                if frame.tag.role.ends_turn()
                    && matches!(&self.exchange, Some(Exchange::WebSocket(it)) if !it.awaits_answer())
                {
                    self.control.disarm();
                }
                // The server has read the parent once the response is in progress.
                if self.holds_parent
                    && frame.tag.role.is_progress()
                    && frame.tag.kind != EventKind::Created
                {
                    self.end_hold();
                }
                self.machine.handle_frame(frame, time);
            }
            Incoming::LateEvents => self.machine.handle_late_events(),
            Incoming::End(end) => {
                if self.runtime_end.has_come() {
                    self.machine.forbid_attempts();
                }
                self.machine.handle_end(end, time);
            }
        }
        Poll::Ready(())
    }

    fn await_prewarm(&mut self, deadline: Option<std::time::Instant>) {
        let (core, runtime) = (self.core.clone(), self.runtime.id());
        self.begin(async move {
            let ahead = core.await_ahead(runtime);
            Done::Prewarmed(match deadline {
                Some(deadline) => {
                    timeout_at(Instant::from_std(deadline), ahead).await.ok().flatten()
                }
                None => ahead.await,
            })
        });
    }

    fn drain(&mut self, now: Instant) {
        match self.core.with_connections(|it| it.take_draining()) {
            Some(draining) => {
                // The task limits itself to this time, but cannot if its runtime has shut down.
                let time = self.endpoint.policy.limits.drain_time;
                self.begin(async move {
                    _ = timeout(time, draining).await;
                    Done::Drained
                });
            }
            None => self.handle_done(Done::Drained, now),
        }
    }

    fn send(&mut self, seat: SeatId, frame: String, now: Instant) {
        self.sent_on = Some(seat.connection);
        let (stall, wait) = (self.endpoint.policy.timeouts.send, self.endpoint.policy.pool.wait);
        let send = |lease: &Lease| (lease.token(), lease.send(frame, stall, wait));
        match self.core.with_lease(seat, send) {
            Some((token, sending)) => {
                self.token = token;
                self.begin(async move { Done::Sent(sending.await) });
            }
            None => self.machine.handle_unseated(now.into_std()),
        }
    }

    /// Sends a request whose answer is a stream of events.
    fn request(
        &mut self,
        method: Method,
        uri: http::Uri,
        body: Option<String>,
        deadline: std::time::Instant,
        fresh: bool,
    ) {
        let Authorized { headers, token } = std::mem::take(&mut self.authorized);
        self.token.clone_from(&token);
        let mut request = http1::request(method, uri, headers, body);
        http1::count_by(&mut request, self.endpoint.connection_counts());
        if let Some(state) = self.machine.sticky()
            && let Ok(state) = HeaderValue::try_from(state)
        {
            request.headers_mut().entry(sticky::HEADER).or_insert(state);
        }
        if fresh {
            http1::use_fresh_connection(&mut request);
        }
        let (endpoint, deadline) = (Arc::clone(&self.endpoint), Instant::from_std(deadline));
        self.begin(async move {
            let (network, wire, limits) =
                (&*endpoint.network, endpoint.wire, endpoint.policy.limits);
            #[cfg(feature = "zstd")]
            if endpoint.provider.capabilities.zstd {
                // A body that takes longer is sent as it is, and runs into the deadline there.
                _ = timeout_at(deadline, http1::compress(&mut request)).await;
            }
            let posted = match endpoint.sign(request, token.as_ref()) {
                Ok(request) => SseExchange::open(network, request, deadline, wire, limits).await,
                Err(error) => Err(error),
            };
            Done::Posted(posted)
        });
    }

    fn hold(&mut self, exchange: Exchange) {
        self.control.arm(exchange.abort_handle());
        self.exchange = Some(exchange);
    }

    /// The server ended the exchange: its connection can serve the next turn, unless `retire`.
    fn release(&mut self, retire: bool) {
        self.control.disarm();
        match self.exchange.take() {
            Some(Exchange::Sse(exchange)) => {
                let draining = self.runtime.spawn(exchange.drain(self.endpoint.policy.limits));
                self.core.set_draining(draining);
            }
            Some(Exchange::WebSocket(mut exchange)) => {
                exchange.set_ended();
                if retire {
                    self.core.retire(Retirement::Error);
                }
            }
            None => {}
        }
        if self.goal == Goal::Turn && self.machine.is_done() {
            self.control.finish();
            self.has_released = true;
        }
    }

    /// Ends the exchange and the operation in progress. A WebSocket that ends with them retires for
    /// `reason`.
    pub(super) fn abort(&mut self, reason: Retirement) {
        let step = step_of(&mut self.step).take();
        self.control.disarm();
        let is_idle = step.is_none() && self.exchange.take().is_none();
        drop(step);
        if !is_idle && self.machine.report().transport != Some(Transport::Sse) {
            self.core.with_connections(|it| it.note_end(reason));
        }
    }

    fn set_baseline(&self, previous: PreviousTurn) {
        match self.goal {
            Goal::Turn => self.core.set_previous_of(&self.control, previous),
            Goal::Connect | Goal::WarmUp | Goal::Rotate => self.core.set_previous(previous),
        }
    }

    fn commit(&mut self, previous: PreviousTurn, fate: Option<ParentFate>, now: Instant) {
        let is_current = self.core.commit(&self.control, previous);
        let pending = self.machine.take_pending_steers().into_iter().filter_map(|steer| {
            let sender = self.steers.remove(steer.message)?;
            Some(CarriedSteer { steer, sender })
        });
        let pending: Vec<_> = pending.collect();
        if is_current && !pending.is_empty() {
            // The server adds the input of the steers only on the lane of their response.
            self.core.with_connections(|it| it.keep_to_lane());
            self.core.set_steers(pending);
        }
        if let Some(fate) = fate.filter(|_| is_current) {
            let refusals = self.core.count_refusal(fate == ParentFate::Unsupported);
            self.endpoint.origin.note_parent(fate, refusals, now.into_std());
        }
    }

    pub(super) fn has_open_socket(&self) -> bool {
        // A socket counts as open only in its runtime, and the stream may be polled outside of it.
        let _in_runtime = self.runtime.enter();
        self.core.with_connections(|it| it.has_open_socket())
    }

    fn notify(&mut self, notice: Notice) {
        if let Notice::Attempt { number, transport } = notice {
            self.attempt_span = Notifier::attempt(&self.turn_span, number, transport);
            return;
        }
        let _in_attempt = self.attempt_span.enter();
        let notifier = &self.notifier;
        match notice {
            Notice::Attempt { .. } => {}
            Notice::Sends { bytes } => {
                let TurnReport { transport, plan, reused, .. } = self.machine.report();
                if let (Some(transport), Some(plan)) = (transport, plan) {
                    notifier.planned(plan, *transport, *reused, bytes);
                }
            }
            Notice::AttemptFailed { transport, kind, message, summary, delay, trying_for } => {
                let failed = AttemptFailed { transport, kind, message, summary, delay, trying_for };
                notifier.attempt_failed(&failed);
            }
            Notice::FallsBack => notifier.fell_back(),
            Notice::TooLargeForFrame => notifier.too_large_for_frame(),
            Notice::PrewarmFailed(kind) => notifier.prewarm_failed(kind),
        }
    }

    pub(super) fn notify_done(&mut self, failure: Option<&Error>) {
        let end = match (failure, self.machine.event()) {
            (Some(error), _) => Err(error),
            (None, Some(event)) => Ok(event),
            (None, None) => return,
        };
        self.has_ended = true;
        self.end_attempt_span();
        let _in_turn = self.turn_span.enter();
        self.notifier.done(self.machine.report(), end);
    }

    /// Counts a turn that is dropped before the caller received its end.
    pub(super) fn notify_dropped(&self) {
        if self.goal == Goal::Turn && !self.has_ended {
            self.end_attempt_span();
            self.notifier.dropped(self.machine.report());
        }
    }

    /// Exits the span of the attempt, so that the span covers the events of the response. Exporters
    /// of OpenTelemetry take the last exit from a span as its end.
    fn end_attempt_span(&self) {
        self.attempt_span.in_scope(|| ());
    }
}

fn step_of<T>(slot: &mut Mutex<T>) -> &mut T {
    slot.get_mut().unwrap_or_else(PoisonError::into_inner)
}
