//! One attempt up to the sending of its request: route, plan, connection, sending.

use std::{borrow::Cow, sync::Arc, time::Instant};

use http::HeaderMap;

use super::{
    BaselineDraft, Command, Goal, Next, Notice, Prepared, Seat, TurnMachine, TurnState,
    response::ResponseReader, timed_out,
};
use crate::{
    config::{Transport, TransportPolicy},
    error::{Cause, Error},
    json::DecodeError,
    kind::{Delivery, ErrorKind, Phase},
    proto::{
        deadline::InHand,
        lane::SeatId,
        plan::{PreviousTurn, SendPlan, Target, plan},
        route::RouteQuery,
        sticky,
        wire::Encoded,
    },
    report::{Attempt, FullSendReason, Prewarm, PrewarmFailure, ServerHeaders, Timings},
    request::RequestError,
};

impl TurnMachine {
    /// Handles the end of the work ahead of the turn. `previous` is the baseline that the turn may
    /// continue now, which a warm-up may have replaced.
    pub(crate) fn handle_prewarmed(
        &mut self,
        prewarm: Option<Prewarm>,
        previous: PreviousTurn,
        open_socket: bool,
        now: Instant,
    ) {
        self.report.prewarm = prewarm;
        self.previous = previous;
        self.attempt(open_socket, now);
    }

    /// Begins an attempt. `open_socket` is `true` if the session has an open WebSocket.
    pub(super) fn attempt(&mut self, open_socket: bool, now: Instant) {
        self.attempt_began = now;
        if self.resuming {
            self.begin_attempt(Transport::Sse, true);
            return self.authorize(Next::Resume, now);
        }
        let transport = match self.route(open_socket, now) {
            Ok(transport) => transport,
            Err(error) => return self.fail(Error::invalid_request(error), now),
        };
        self.report.timings = Timings::default();
        self.report.plan = None;
        self.begin_attempt(transport, false);
        match transport {
            Transport::WebSocket => self.lease(),
            Transport::Sse => self.drain(),
        }
    }

    fn route(&self, open_socket: bool, now: Instant) -> Result<Transport, RequestError> {
        if self.over_sse {
            return Ok(Transport::Sse);
        }
        let needs = self.needs(open_socket && !self.fresh);
        self.origin.route(needs, now)
    }

    pub(super) fn needs(&self, open_socket: bool) -> RouteQuery {
        let background = self.goal == Goal::Turn && self.request.background == Some(true);
        RouteQuery {
            policy: self.settings.policy.transport,
            websocket: self.settings.websocket,
            needs_http: match (background, self.has_headers) {
                (true, _) => Some("`background` needs HTTP"),
                (false, true) => Some("headers of one turn need HTTP"),
                (false, false) => None,
            },
            open_socket,
        }
    }

    fn begin_attempt(&mut self, transport: Transport, resumed: bool) {
        self.report.transport = Some(transport);
        self.report.lane = None;
        self.report.attempts.push(Attempt { transport, resumed, failure: None });
        let number = self.report.attempts.len();
        self.commands.push_back(Command::Notify(Notice::Attempt { number, transport }));
    }

    pub(super) fn lease(&mut self) {
        self.state = TurnState::Leasing;
        let caller_managed = Some(self.request.caller_managed());
        let parent = self.previous_id();
        self.commands.push_back(Command::Lease { fresh: self.fresh, caller_managed, parent });
    }

    /// Handles that no lane is free and no WebSocket may be opened. The turn goes over SSE if the
    /// policy has it `over_sse`, or fails; with `error` if it has waited.
    pub(crate) fn handle_no_lane(&mut self, error: Option<Error>, over_sse: bool, now: Instant) {
        let full = || {
            let error = Error::new(ErrorKind::PoolFull, Phase::Prepare, Cause::None);
            error.with_delivery(Delivery::NotSent)
        };
        match error {
            None if over_sse
                && self.goal == Goal::Turn
                && self.settings.policy.transport == TransportPolicy::Auto =>
            {
                self.over_sse = true;
                self.use_sse();
            }
            None => self.fail(full(), now),
            Some(error) => self.fail(error, now),
        }
    }

    fn drain(&mut self) {
        self.state = TurnState::Draining;
        self.commands.push_back(Command::Drain);
    }

    /// Handles the session's open WebSocket. If `seat` is `None`, a new WebSocket is opened.
    pub(crate) fn handle_leased(&mut self, seat: Option<&Seat>, now: Instant) {
        if self.goal != Goal::Turn {
            return self.leased_ahead(seat, now);
        }
        self.report.reused = seat.is_some();
        self.report.timings.queued = self.elapsed(now);
        // A new WebSocket cannot continue a response that is bound to another connection. So the
        // plan is known before the socket is open, and a request that cannot be encoded fails
        // without opening a connection.
        let plan = self.plan(self.websocket(seat), now);
        let (parent, skip) = plan.parent();
        let lane = seat.and_then(|seat| seat.id.lane.name());
        let body = match self.encode(Encoded::Frame { parent, skip, lane: lane.as_deref() }) {
            Ok(body) => body,
            Err(error) => return self.fail(error, now),
        };
        if self.is_above_limit(&body, seat.and_then(|seat| seat.frame_limit)) {
            return self.above_frame_limit(now);
        }
        let prepared = Prepared { plan, body };
        match seat {
            Some(seat) => self.send(prepared, seat),
            None => self.authorize(Next::Open(Some(prepared)), now),
        }
    }

    /// Handles that the connection of the last SSE response is free. `reused` is `true` if the
    /// session has sent a request over HTTP before.
    pub(crate) fn handle_drained(&mut self, reused: bool, now: Instant) {
        self.report.reused = reused;
        self.report.timings.queued = self.elapsed(now);
        let to = Target { transport: Transport::Sse, ..self.websocket(None) };
        let plan = self.plan(to, now);
        let (parent, skip) = plan.parent();
        match self.encode(Encoded::Http { parent, skip }) {
            Ok(body) => self.authorize(Next::Post(Prepared { plan, body }), now),
            Err(error) => self.fail(error, now),
        }
    }

    /// Requests the headers for `next`. Obtaining a credential may take as long as connecting.
    pub(super) fn authorize(&mut self, next: Next, now: Instant) {
        let deadline = self.deadline_for(self.settings.policy.timeouts.connect, now);
        self.state = TurnState::Authorizing { next, deadline };
        self.commands.push_back(Command::Authorize);
    }

    /// Handles the headers of the request, or the error of obtaining them.
    pub(crate) fn handle_authorized(&mut self, result: Result<(), Error>, now: Instant) {
        let TurnState::Authorizing { next, .. } =
            std::mem::replace(&mut self.state, TurnState::Done)
        else {
            return;
        };
        if let Err(error) = result {
            return self.fail(error, now);
        }
        match next {
            Next::Open(prepared) => {
                let connect = self.settings.policy.timeouts.connect;
                self.connect_deadline = connect.map(|time| super::after(now, time));
                self.state = TurnState::Opening(prepared);
                let deadline = self.deadline_for(connect, now);
                self.commands.push_back(Command::Open { deadline });
            }
            Next::Post(Prepared { plan, body }) => {
                self.note_sending(&plan, body.len() as u64);
                let deadline = self.await_answer(Transport::Sse, None, now);
                self.state = TurnState::Posting;
                self.commands.push_back(Command::Post { body, deadline, fresh: self.fresh });
            }
            Next::Resume => {
                let first_event = self.settings.policy.timeouts.first_event(Transport::Sse);
                let deadline = self.deadline_for(first_event, now);
                let id = self.reader.response_id().unwrap_or_default().to_owned();
                let after = self.reader.last_event();
                self.state = TurnState::Posting;
                let fresh = self.fresh;
                self.commands.push_back(Command::Resume { id, after, deadline, fresh });
            }
        }
    }

    /// Handles an opened WebSocket, or the error of opening one.
    pub(crate) fn handle_opened(&mut self, result: Result<Seat, Error>, now: Instant) {
        let TurnState::Opening(prepared) = std::mem::replace(&mut self.state, TurnState::Done)
        else {
            return;
        };
        let seat = match result {
            Ok(seat) => seat,
            Err(error) => return self.fail(error, now),
        };
        self.origin.set_reached();
        if self.goal != Goal::Turn {
            return self.opened_ahead(&seat, now);
        }
        self.report.timings.connected = self.elapsed(now);
        match prepared {
            // The server announces its limit only in the response to the upgrade.
            Some(prepared) if self.is_above_limit(&prepared.body, seat.frame_limit) => {
                self.above_frame_limit(now);
            }
            Some(prepared) => self.send(prepared, &seat),
            None => {}
        }
    }

    fn send(&mut self, prepared: Prepared, seat: &Seat) {
        let Prepared { plan, body } = prepared;
        self.report.server = ServerHeaders::new(Arc::clone(&seat.headers));
        self.report.lane = seat.id.lane.name();
        self.announced_limit = seat.frame_limit;
        self.note_sending(&plan, body.len() as u64);
        self.send_frame(seat.id, body);
    }

    pub(super) fn send_frame(&mut self, seat: SeatId, frame: String) {
        self.baseline.seat = Some(seat);
        self.state = TurnState::Sending;
        self.commands.push_back(Command::Send { seat, frame });
    }

    /// Records the bytes of a compressed request on the connection.
    pub(crate) fn note_compressed(&mut self, bytes: u64) {
        *self.report.compressed_bytes_sent.get_or_insert_default() += bytes;
    }

    /// Handles the outcome of sending the frame. The delivery of an error states if the server may
    /// have received the request.
    pub(crate) fn handle_sent(&mut self, result: Result<(), Error>, now: Instant) {
        if let Err(error) = result {
            return self.fail(error, now);
        }
        self.report.timings.sent = self.elapsed(now);
        self.await_answer(Transport::WebSocket, self.baseline.seat, now);
        self.state = TurnState::Awaiting;
    }

    /// Handles the head of the response to a POST or GET, or an error in its place. `stale` is
    /// `true` if the request reused a connection that ended without a byte of a response.
    pub(crate) fn handle_posted(
        &mut self,
        result: Result<Arc<HeaderMap>, Error>,
        stale: bool,
        now: Instant,
    ) {
        self.stale = stale;
        let headers = match result {
            Ok(headers) => headers,
            Err(error) => return self.fail(error, now),
        };
        self.origin.set_reached();
        self.learn_sticky(&headers);
        self.report.server = ServerHeaders::new(headers);
        if std::mem::take(&mut self.resuming) {
            // The reader itself skips the events from before the cut, by their sequence numbers.
            self.already_yielded.clear();
            return self.stream(now);
        }
        self.report.timings.sent = self.elapsed(now);
        self.report.timings.first_byte = self.elapsed(now);
        self.state = TurnState::Awaiting;
    }

    /// Prepares for the response. Returns the time by which its first event must arrive.
    fn await_answer(
        &mut self,
        transport: Transport,
        seat: Option<SeatId>,
        now: Instant,
    ) -> Instant {
        // Over WebSocket, the connection's task drops late terminal events, because the task must
        // know which event ends an exchange.
        let before = self.previous_id().filter(|_| transport == Transport::Sse);
        self.reader = ResponseReader::after(before.as_deref());
        let stored = self.request.store.unwrap_or(self.settings.stores_by_default);
        self.baseline = BaselineDraft { seat, stored };
        self.ready_bytes = 0;
        self.in_hand = InHand::new(self.settings.policy.limits.read_ahead);
        self.extension = None;
        let time = match self.goal {
            Goal::Turn => self.settings.policy.timeouts.first_event(transport),
            Goal::Connect | Goal::WarmUp | Goal::Rotate => None,
        };
        self.first_event_deadline = self.deadline_for(time, now);
        self.first_event_deadline
    }

    fn previous_id(&self) -> Option<String> {
        self.previous.response_id().map(str::to_owned)
    }

    /// Records that the request is about to be sent. From here on the server may have the request.
    fn note_sending(&mut self, plan: &SendPlan, size: u64) {
        self.commands.push_back(Command::SetBaseline(PreviousTurn::NotCompleted));
        if let (Some(prewarm @ Prewarm::Warmed), SendPlan::Full(_)) =
            (&mut self.report.prewarm, plan)
        {
            *prewarm = Prewarm::Failed(PrewarmFailure::Unused);
        }
        self.report.plan = Some(plan.report(self.request.input.len()));
        self.report.bytes_sent += size;
        self.bytes_in_attempt = size;
        let (_, skip) = plan.parent();
        let omitted = self.request.input.bytes(0) - self.request.input.bytes(skip);
        self.full_bytes = size + omitted as u64;
        self.commands.push_back(Command::Notify(Notice::Sends { bytes: size }));
    }

    /// Switches the turn to SSE, because the server would refuse a frame of this size. Fails the
    /// turn if SSE is not allowed.
    fn above_frame_limit(&mut self, now: Instant) {
        if self.settings.policy.transport != TransportPolicy::Auto {
            let why = "the frame exceeds the size limit of the server";
            return self.fail(Error::invalid_request(RequestError::NoTransport(why)), now);
        }
        self.over_sse = true;
        self.commands.push_back(Command::Notify(Notice::TooLargeForFrame));
        self.use_sse();
    }

    /// Continues the attempt over SSE.
    fn use_sse(&mut self) {
        self.report.transport = Some(Transport::Sse);
        self.report.timings.connected = None;
        if let Some(attempt) = self.report.attempts.last_mut() {
            attempt.transport = Transport::Sse;
        }
        self.drain();
    }

    /// Returns `true` if `frame` is above the limit of the provider, or the one that the server
    /// `announced`.
    pub(super) fn is_above_limit(&self, frame: &str, announced: Option<u64>) -> bool {
        let limits = [self.settings.frame_limit, announced];
        limits.into_iter().flatten().any(|limit| frame.len() as u64 > limit)
    }

    pub(super) fn websocket(&self, seat: Option<&Seat>) -> Target {
        Target {
            transport: Transport::WebSocket,
            seat: seat.map(|seat| seat.id),
            keeps_parent: seat.is_some_and(|seat| seat.keeps_parent),
            continue_over_sse: self.settings.policy.continue_over_sse,
            incremental: self.settings.policy.incremental,
            continuation: self.settings.policy.continuation,
        }
    }

    fn plan(&self, to: Target, now: Instant) -> SendPlan {
        match (plan(&self.request, &self.previous, to), &self.full_reason) {
            (SendPlan::Full(_), Some(reason)) => SendPlan::Full(reason.clone()),
            // Servers that refused `previous_response_id` repeatedly get full requests for a while:
            // each refusal costs a round trip.
            (SendPlan::Incremental { .. }, _) if !self.origin.may_name_parent(now) => {
                SendPlan::Full(FullSendReason::ProviderUnsupported)
            }
            (plan, _) => plan,
        }
    }

    pub(super) fn encode(&self, encoded: Encoded<'_>) -> Result<String, Error> {
        let over_http = matches!(encoded, Encoded::Http { .. });
        let request = match self.sticky().filter(|_| !over_http) {
            // Over HTTP, the value is a header.
            None => Cow::Borrowed(&*self.request),
            Some(state) => Cow::Owned(sticky::with_state(&self.request, state)),
        };
        self.settings.wire.encode(&request, encoded).map_err(|error| {
            let error = DecodeError::new("the request", &error);
            Error::invalid_request(RequestError::Body(error))
        })
    }

    /// Handles that the time for obtaining the headers has passed.
    pub(super) fn authorization_timed_out(&mut self, now: Instant) {
        self.fail(timed_out(Phase::Prepare, Delivery::NotSent), now);
    }

    /// Handles the loss of the WebSocket between its lease and the sending.
    pub(crate) fn handle_unseated(&mut self, now: Instant) {
        let lost = Error::new(ErrorKind::Closed, Phase::Send, Cause::None);
        self.fail(lost.with_delivery(Delivery::NotSent), now);
    }
}
