//! One attempt: over which transport, what is sent, and how its response begins.

use std::{collections::VecDeque, future::poll_fn, sync::Arc};

use http::{HeaderMap, Method};
use tokio::time::{Instant, timeout, timeout_at};

use super::{super::state::Slot, Base, Live, Resume, Run, after, timed_out};
use crate::{
    config::{Transport, TransportPolicy},
    error::{Cause, Error},
    kind::{Delivery, ErrorKind, Phase},
    proto::{
        deadline::InHand,
        plan::{ConnectionId, Decision, Destination, Prior},
        turn::{End, Step, Turn},
    },
    report::{Attempt, Prewarm, ServerHeaders, Timings, Waste},
    request::{Encoded, RequestError},
    response::Anomaly,
    shared::next_connection,
    transport::{Exchange, Incoming, SocketOptions, SseExchange, WebSocket, call},
};

impl Run {
    pub(super) async fn attempt(&mut self) -> Result<Live, Error> {
        self.check_ended()?;
        if self.resume.is_some() {
            return self.reopen().await;
        }
        let transport = if self.over_sse {
            Transport::Sse
        } else {
            let background = self.request.background == Some(true);
            let open_socket = !self.fresh && self.state.open_socket().is_some();
            let now = Instant::now().into_std();
            let route = self.shared.route(background, open_socket, now);
            route.map_err(Error::invalid_request)?
        };
        self.report.timings = Timings::default();
        self.report.transport = Some(transport);
        self.report.plan = None;
        self.report.attempts.push(Attempt { transport, resumed: false, failure: None });
        match transport {
            Transport::WebSocket => self.over_websocket().await,
            Transport::Sse => self.over_sse().await,
        }
    }

    async fn over_websocket(&mut self) -> Result<Live, Error> {
        self.state.set_caller_managed(self.request.caller_managed());
        let connection = self.socket_to_use();
        self.report.reused = connection.is_some();
        self.report.timings.queued = Some(self.elapsed());
        // A new socket continues what no socket does, so that the plan is known before there is one.
        let decision = self.plan(self.websocket(connection));
        let (parent, skip) = decision.parent();
        let frame = self.encode(Encoded::Frame { parent, skip })?;
        if self.is_above_limit(&frame, connection) {
            return self.above_frame_limit().await;
        }
        let connection = match connection {
            Some(connection) => connection,
            None => {
                let opened = self.connect().await?;
                if self.is_above_limit(&frame, Some(opened)) {
                    return self.above_frame_limit().await;
                }
                opened
            }
        };
        self.check_ended()?;
        let size = frame.len() as u64;
        let sending = self.state.with_socket(connection, |socket| {
            self.report.server = ServerHeaders::new(Arc::clone(socket.headers()));
            socket.send(frame, self.shared.timeouts.send)
        });
        let Some(sending) = sending else {
            return Err(Error::new(ErrorKind::Closed, Phase::Send, Cause::None)
                .with_delivery(Delivery::NotSent));
        };
        self.note_sending(&decision, size);
        let exchange = timeout_at(self.by(None), sending)
            .await
            .unwrap_or_else(|_| Err(timed_out(Phase::Send, Delivery::Unknown)))?;
        self.report.timings.sent = Some(self.elapsed());
        let first = self.by(self.shared.timeouts.first_event(Transport::WebSocket));
        let base = self.base(Some(connection));
        self.first_event(Exchange::WebSocket(exchange), first, base).await
    }

    /// The WebSocket that the next request goes over; `None` if one is to be opened.
    pub(super) fn socket_to_use(&self) -> Option<ConnectionId> {
        let open = self.state.open_socket();
        if open.is_some() && !self.fresh && self.state.is_caller_managed() {
            return open;
        }
        if self.state.use_spare() {
            self.set_alarm();
        }
        if self.fresh || self.is_overdue() {
            self.state.set_socket(None);
        }
        self.state.open_socket()
    }

    /// From here on the server may have it.
    fn note_sending(&mut self, decision: &Decision, size: u64) {
        self.state.set_prior(if defect!(StaleBaseline) {
            self.prior.clone()
        } else {
            Prior::NotCompleted
        });
        if let (Some(prewarm @ Prewarm::Warmed), Decision::Full(_)) =
            (&mut self.report.prewarm, decision)
        {
            *prewarm = Prewarm::Wasted(Waste::Unused);
        }
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
        self.report.timings.connected = None;
        if let Some(attempt) = self.report.attempts.last_mut() {
            attempt.transport = Transport::Sse;
        }
        self.over_sse().await
    }

    /// Returns `true` if `frame` is larger than the provider or the server of `connection` takes.
    pub(super) fn is_above_limit(&self, frame: &str, connection: Option<ConnectionId>) -> bool {
        let announced =
            connection.and_then(|id| self.state.with_socket(id, WebSocket::frame_limit));
        let limits = [self.shared.provider.frame_limit, announced.flatten()];
        limits.into_iter().flatten().any(|limit| frame.len() as u64 > limit)
    }

    pub(super) fn websocket(&self, connection: Option<ConnectionId>) -> Destination {
        Destination {
            transport: Transport::WebSocket,
            connection,
            continue_over_sse: self.shared.continue_over_sse,
            incremental: self.shared.incremental,
        }
    }

    pub(super) async fn connect(&mut self) -> Result<ConnectionId, Error> {
        let socket = self.open().await?;
        // A turn that has begun meanwhile has a socket of its own.
        self.check_ended()?;
        let id = socket.id();
        self.report.timings.connected = Some(self.elapsed());
        self.state.set_socket(Some(socket));
        self.set_alarm();
        Ok(id)
    }

    pub(super) async fn open(&mut self) -> Result<WebSocket, Error> {
        let shared = Arc::clone(&self.shared);
        let id = next_connection();
        let headers = self.headers().await?;
        let deadline = self.by(shared.timeouts.connect);
        let request = call::request(Method::GET, shared.uri.clone(), headers, None);
        self.connect_end = shared.timeouts.connect.map(|time| after(Instant::now(), time));
        let options = SocketOptions {
            limits: shared.limits,
            timeouts: shared.timeouts,
            has_fallback: shared.transport == TransportPolicy::Auto,
            unannounced: Arc::clone(&shared.origin.unannounced),
        };
        let network = &*shared.network;
        let socket = WebSocket::connect(network, request, id, deadline, options).await?;
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
        self.check_ended()?;
        self.note_sending(&decision, size);
        let first = self.by(shared.timeouts.first_event(Transport::Sse));
        let mut request = call::request(Method::POST, shared.uri.clone(), headers, Some(body));
        self.ask_for_fresh(&mut request);
        let exchange = SseExchange::open(&*shared.network, request, first, shared.limits).await?;
        self.report.timings.sent = Some(self.elapsed());
        self.report.timings.first_byte = Some(self.elapsed());
        self.report.server = ServerHeaders::new(Arc::clone(exchange.headers()));
        let base = self.base(None);
        self.first_event(Exchange::Sse(exchange), first, base).await
    }

    /// Keeps `request` off kept connections if the attempt needs a fresh one.
    fn ask_for_fresh(&self, request: &mut http::Request<bytes::Bytes>) {
        if self.fresh {
            call::ask_for_fresh(request);
        }
    }

    /// The error of a turn that the session has ended: then nothing more is opened or sent.
    fn check_ended(&self) -> Result<(), Error> {
        match self.slot.why_ended() {
            Some(why) => Err(self.ended(why)),
            None => Ok(()),
        }
    }

    /// Goes on with a response behind the last event that came of it.
    async fn reopen(&mut self) -> Result<Live, Error> {
        self.report.transport = Some(Transport::Sse);
        let transport = Transport::Sse;
        self.report.attempts.push(Attempt { transport, resumed: true, failure: None });
        let shared = Arc::clone(&self.shared);
        let turn = self.resume.as_ref().map(|resume| &resume.turn);
        let id = turn.and_then(Turn::response_id).unwrap_or_default();
        let after = turn.and_then(Turn::last_event);
        let uri = shared.events_uri(id, after)?;
        let headers = self.headers().await?;
        let mut request = call::request(Method::GET, uri, headers, None);
        self.ask_for_fresh(&mut request);
        let first = self.by(shared.timeouts.first_event(Transport::Sse));
        let exchange = SseExchange::open(&*shared.network, request, first, shared.limits).await?;
        self.report.server = ServerHeaders::new(Arc::clone(exchange.headers()));
        let Some(Resume { turn, base }) = self.resume.take() else {
            return Err(Error::new(ErrorKind::Truncated, Phase::Events, Cause::None));
        };
        self.slot.put(Exchange::Sse(exchange));
        Ok(Live { transport: Transport::Sse, turn, ready: VecDeque::new(), base, resumed: true })
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
        // A socket tells late terminals itself, as it must know what ends an exchange.
        let over_sse = transport == Transport::Sse;
        let mut turn = Turn::after(self.prior.response_id().filter(|_| over_sse));
        let mut ready = VecDeque::new();
        let mut ready_bytes = 0;
        let mut in_hand = InHand::new(self.shared.limits.read_ahead);
        while !turn.has_begun() {
            let slot = Arc::clone(&self.slot);
            let until = in_hand.wait_until(deadline.into_std(), Instant::now().into_std());
            let next = poll_fn(|cx| slot.poll_next(cx));
            let incoming = timeout_at(Instant::from_std(until), next).await;
            let frame = match incoming {
                Ok(Some(Incoming::Frame(frame))) => {
                    let late = Instant::now() >= deadline;
                    if late && !in_hand.takes(frame.payload.len()) {
                        return Err(turn.end(End::TimedOut));
                    }
                    // It may wait for long: until the response begins.
                    frame.compacted()
                }
                Ok(Some(Incoming::LateEvents)) => {
                    turn.note(Anomaly::LateEvents);
                    continue;
                }
                Ok(Some(Incoming::End(end))) => return Err(turn.end(end)),
                // Nobody gets to see it: whoever waits for this turn was told before.
                Ok(None) => return Err(turn.end(End::Lost(None))),
                Err(_) => return Err(turn.end(End::TimedOut)),
            };
            self.report.bytes_received += frame.payload.len() as u64;
            let elapsed = self.elapsed();
            self.report.timings.first_byte.get_or_insert(elapsed);
            if transport == Transport::WebSocket && frame.tag.role.is_answer() {
                self.shared.set_answers_websockets(true);
            }
            let (role, charge) = (frame.tag.role, frame.charge());
            match turn.handle(frame) {
                Step::Failed(error) => {
                    if role.leaves_connection() {
                        self.settle(Some(&error));
                    }
                    return Err(error);
                }
                Step::Nothing => {}
                step @ Step::Event(_) => {
                    ready_bytes += charge;
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
        let suspicion = self.suspicion.take();
        self.slot.unless_ended(|| match (transport, suspicion) {
            // A socket that was open before says nothing about opening one.
            (Transport::WebSocket, _) if !self.report.reused => self.shared.clear_mark(),
            (Transport::WebSocket, _) => {}
            (Transport::Sse, Some(mark)) => self.shared.mark(mark, Instant::now().into_std()),
            (Transport::Sse, None) => {}
        });
        Ok(Live { transport, turn, ready, base, resumed: false })
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
