//! One attempt: over which transport, what is sent, and how its response begins.

use std::{collections::VecDeque, future::poll_fn, sync::Arc};

use http::{HeaderMap, Method};
use tokio::time::{Instant, timeout, timeout_at};

use super::{super::state::Slot, Base, Live, Resume, Run, timed_out};
use crate::{
    Delivery, Error, ErrorKind, Phase, Transport, TransportPolicy,
    error::{Cause, RequestError},
    proto::{
        plan::{ConnectionId, Decision, Destination, Prior},
        turn::{End, Step, Turn},
    },
    report::{Anomaly, Attempt, Prewarm, ServerHeaders, Timings, Waste},
    request::Encoded,
    shared::next_connection,
    transport::{Exchange, Incoming, SocketOptions, SseExchange, WebSocket, call},
};

impl Run {
    pub(super) async fn attempt(&mut self) -> Result<Live, Error> {
        if self.resume.is_some() {
            return self.reopen().await;
        }
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
        self.report.attempts.push(Attempt { transport, resumed: false, failure: None });
        match transport {
            Transport::WebSocket => self.over_websocket().await,
            Transport::Sse => self.over_sse().await,
        }
    }

    async fn over_websocket(&mut self) -> Result<Live, Error> {
        let connection = self.socket_to_use();
        self.report.reused = connection.is_some();
        self.report.timings.queued = Some(self.elapsed());
        // A new socket continues what no socket does, so that the plan is known before there is one.
        let decision = self.plan(self.websocket(connection));
        let (parent, skip) = decision.parent();
        let frame = self.encode(Encoded::Frame { parent, skip })?;
        if self.is_above_limit(&frame) {
            return self.above_frame_limit().await;
        }
        let connection = match connection {
            Some(connection) => connection,
            None => self.connect().await?,
        };
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
        if self.state.use_spare() {
            self.set_alarm();
        }
        if self.fresh_socket || self.is_overdue() {
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
        if let Some(attempt) = self.report.attempts.last_mut() {
            attempt.transport = Transport::Sse;
        }
        self.over_sse().await
    }

    pub(super) fn is_above_limit(&self, frame: &str) -> bool {
        self.shared.provider.frame_limit.is_some_and(|limit| frame.len() as u64 > limit)
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
        let uri = shared.uri.clone();
        let options = SocketOptions {
            limits: shared.limits,
            timeouts: shared.timeouts,
            unannounced: Arc::clone(&shared.unannounced),
        };
        let network = &*shared.network;
        let socket = WebSocket::connect(network, uri, headers, id, deadline, options).await?;
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
        let request = call::request(Method::POST, shared.uri.clone(), headers, Some(body));
        let exchange = SseExchange::open(&*shared.network, request, first, shared.limits).await?;
        self.report.timings.sent = Some(self.elapsed());
        self.report.timings.first_byte = Some(self.elapsed());
        self.report.server = ServerHeaders::new(Arc::clone(exchange.headers()));
        let base = self.base(None);
        self.first_event(Exchange::Sse(exchange), first, base).await
    }

    /// Goes on with a response behind the last event that came of it.
    async fn reopen(&mut self) -> Result<Live, Error> {
        self.report.transport = Some(Transport::Sse);
        let transport = Transport::Sse;
        self.report.attempts.push(Attempt { transport, resumed: true, failure: None });
        let shared = Arc::clone(&self.shared);
        let turn = self.resume.as_ref().map(|resume| &resume.turn);
        let id = turn.and_then(Turn::response_id).unwrap_or_default();
        let after = turn.and_then(Turn::resumable_after).unwrap_or_default();
        let uri = shared.uri_of(id, None, Some(after))?;
        let headers = self.headers().await?;
        let request = call::request(Method::GET, uri, headers, None);
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
        while !turn.has_begun() {
            let slot = Arc::clone(&self.slot);
            let incoming = timeout_at(deadline, poll_fn(|cx| slot.poll_next(cx))).await;
            let frame = match incoming {
                Ok(Some(Incoming::Frame(_))) if Instant::now() >= deadline => {
                    return Err(turn.end(End::TimedOut));
                }
                // It may wait for long: until the response begins.
                Ok(Some(Incoming::Frame(frame))) => frame.compacted(),
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
                    ready_bytes += frame.charge();
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
