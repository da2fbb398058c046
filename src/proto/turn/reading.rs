//! Reading of a response: takes frames, and yields events.

use std::time::Instant;

use http::HeaderMap;

use super::{
    Command, Goal, Outcome, Output, TurnMachine, TurnState,
    response::{ReadStep, ResponseReader, StreamEnd},
};
use crate::{
    config::Transport,
    error::Error,
    event::{EventKind, ResponseEvent},
    kind::{Delivery, ErrorKind},
    proto::{
        deadline::InHand,
        parents::ParentFate,
        plan::{Baseline, PreviousTurn},
        retry::retires_socket,
        wire::{Frame, Role, Tag},
    },
    report::{SteeredResponse, Warning},
    response::Anomaly,
};

impl TurnMachine {
    /// Handles a frame of the response.
    pub(crate) fn handle_frame(&mut self, frame: Frame, now: Instant) {
        match self.state {
            TurnState::Awaiting if self.goal == Goal::WarmUp => self.warm_up_frame(frame, now),
            TurnState::Awaiting => self.first_frame(frame, now),
            TurnState::Streaming => self.frame(frame, now),
            _ => {}
        }
    }

    /// Records that late events of an older response were dropped.
    pub(crate) fn handle_late_events(&mut self) {
        self.reader.note(Anomaly::LateEvents);
    }

    /// Handles the end of the frames.
    pub(crate) fn handle_end(&mut self, end: StreamEnd, now: Instant) {
        match self.state {
            TurnState::Awaiting => {
                let error = self.reader.end(end);
                self.fail(error, now);
            }
            TurnState::Streaming if self.held.is_some() => self.give_up_held(),
            TurnState::Streaming if self.stopping.is_some() => {
                self.handle_cancelled(ErrorKind::Stopped);
            }
            // The error must not overtake events that the reader still holds back.
            TurnState::Streaming => self.reader.close(end),
            _ => {}
        }
    }

    /// Returns the next event, or the end of the turn.
    pub(crate) fn poll_output(&mut self, now: Instant) -> Option<Output> {
        if std::mem::take(&mut self.restarted) {
            self.yielded.clear();
            self.already_yielded.clear();
            self.yielded_at = Some(now);
            self.ready.push_front(ReadStep::Event(ResponseEvent::Restarted));
            return Some(Output::Event);
        }
        while matches!(self.state, TurnState::Streaming) {
            if self.ready.is_empty() {
                self.ready.extend(self.reader.next_step());
            }
            if self.ready.is_empty() {
                let output = self.end_held(now);
                match output.is_none() && !matches!(self.state, TurnState::Streaming) {
                    true => break,
                    false => return output,
                }
            }
            if let Some(output) = self.hand_out(now) {
                return Some(output);
            }
        }
        self.failure.take().map(Output::Failed)
    }

    /// Returns the event of the last output, which had one.
    pub(crate) fn event(&self) -> Option<&ResponseEvent> {
        match self.ready.front()? {
            ReadStep::Event(event) | ReadStep::Finished(event) => Some(event),
            ReadStep::None | ReadStep::Failed(_) => None,
        }
    }

    /// Removes and returns the event of the last output, which had one.
    #[inline]
    pub(crate) fn take_event(&mut self) -> Option<ResponseEvent> {
        match self.ready.pop_front()? {
            ReadStep::Event(event) | ReadStep::Finished(event) => Some(event),
            ReadStep::None | ReadStep::Failed(_) => None,
        }
    }

    /// Records that the caller received the stream of the response. Until it polls for an event,
    /// silence proves nothing.
    pub(crate) fn hand_over(&mut self, now: Instant) {
        self.yielded_at = Some(now);
    }

    /// Records that the consumer polls for the next event. The time since the last event was the
    /// consumer's, and does not count against the server.
    pub(crate) fn handle_consumer(&mut self, now: Instant) {
        if let Some(since) = self.yielded_at.take() {
            self.last_event += now.saturating_duration_since(since);
        }
    }

    /// Returns the time at which [`handle_timeout`](Self::handle_timeout) must be called.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            TurnState::Authorizing { deadline, .. } => Some(*deadline),
            TurnState::Sending => self.deadline,
            // An attempt that would begin after the end of the turn is not waited for.
            TurnState::Backoff { until } => Some(*until),
            TurnState::Awaiting | TurnState::Streaming => {
                let deadline = self.reading_deadline()?;
                Some(self.extension.unwrap_or(deadline))
            }
            _ => None,
        }
    }

    /// Handles that the time of [`poll_timeout`](Self::poll_timeout) has passed, and no frame is
    /// ready. `open_socket` is `true` if the session has an open WebSocket.
    pub(crate) fn handle_timeout(&mut self, open_socket: bool, now: Instant) {
        match &self.state {
            TurnState::Authorizing { .. } => self.authorization_timed_out(now),
            TurnState::Sending => {
                let error = super::timed_out(crate::kind::Phase::Send, Delivery::Unknown);
                self.fail(error, now);
            }
            TurnState::Backoff { .. } => self.attempt(open_socket, now),
            TurnState::Awaiting | TurnState::Streaming => {
                let Some(deadline) = self.reading_deadline() else { return };
                // If the machine was not polled when the deadline passed, frames may have arrived
                // in time without being read: reading gets a short extension.
                let until = self.in_hand.wait_until(deadline, now);
                if now < until {
                    self.extension = Some(until);
                } else if self.goal == Goal::WarmUp {
                    self.warm_up_timed_out();
                } else {
                    self.handle_end(StreamEnd::TimedOut, now);
                }
            }
            _ => {}
        }
    }

    /// Returns the time by which a frame must have arrived.
    fn reading_deadline(&self) -> Option<Instant> {
        if !matches!(self.state, TurnState::Streaming) {
            return Some(self.first_event_deadline);
        }
        let between = self.settings.policy.timeouts.between_events(self.over_transport());
        let next = self.held_wait().or(between).map(|time| super::after(self.last_event, time));
        [next, self.deadline, self.stopping].into_iter().flatten().min()
    }

    /// Handles a frame before the response has begun.
    fn first_frame(&mut self, frame: Frame, now: Instant) {
        self.extension = None;
        let size = frame.payload.len();
        if now >= self.first_event_deadline && !self.in_hand.takes(size) {
            return self.handle_end(StreamEnd::TimedOut, now);
        }
        self.report.bytes_received += size as u64;
        let elapsed = now.saturating_duration_since(self.started);
        self.report.timings.first_byte.get_or_insert(elapsed);
        let role = frame.tag.role;
        if self.over_transport() == Transport::WebSocket && role.is_answer() {
            self.origin.set_answers_websockets(true);
        }
        // The event may have to wait until the response begins. Compacting the frame releases the
        // rest of the read buffer meanwhile.
        let frame = frame.compacted();
        self.observe_answer(&frame);
        let charge = frame.charge();
        match self.reader.handle(frame) {
            ReadStep::Failed(error) => return self.failed_by_frame(role, error, now),
            ReadStep::None => {}
            step @ (ReadStep::Event(_) | ReadStep::Finished(_)) => {
                self.ready_bytes += charge;
                self.ready.push_back(step);
            }
        }
        if self.reader.has_begun() {
            self.begin_response(now);
        } else if self.ready_bytes > self.settings.policy.limits.read_ahead {
            self.handle_end(StreamEnd::TooLarge, now);
        }
    }

    fn begin_response(&mut self, now: Instant) {
        self.commit_carried();
        self.report.timings.first_event = self.elapsed(now);
        match (self.over_transport(), self.pending_fallback.take()) {
            // A reused socket proves nothing about opening a new one.
            (Transport::WebSocket, _) if !self.report.reused => self.origin.clear_breaker(),
            (Transport::WebSocket, _) => {}
            (Transport::Sse, Some(mark)) => self.origin.trip(mark, now),
            (Transport::Sse, None) => {}
        }
        self.restarted = self.earlier_delivery == Some(Delivery::OutputStarted);
        self.already_yielded.clone_from(&self.yielded);
        self.stream(now);
    }

    /// Enters the state in which the events of the response are read.
    pub(super) fn stream(&mut self, now: Instant) {
        self.state = TurnState::Streaming;
        self.last_event = now;
        self.in_hand = InHand::new(self.settings.policy.limits.read_ahead);
        self.extension = None;
    }

    /// Handles a frame of a response that has begun.
    fn frame(&mut self, frame: Frame, now: Instant) {
        self.extension = None;
        let size = frame.payload.len();
        self.report.bytes_received += size as u64;
        if self.is_past_deadline(now) && !self.in_hand.takes(size) {
            return self.handle_end(StreamEnd::TimedOut, now);
        }
        // Metadata proves that the peer is alive, but not that the response progresses.
        if frame.tag.role.is_progress() {
            self.last_event = now;
        }
        if self.observe_answer(&frame) {
            return;
        }
        let Tag { role, kind, .. } = frame.tag;
        let mut step = self.reader.handle(frame);
        if self.held.is_some() {
            self.begin_successor(role, &mut step);
        }
        match step {
            ReadStep::None => {}
            step => self.ready.push_back(step),
        }
        if kind == EventKind::InterruptFailed && self.stopping.is_some() {
            self.handle_cancelled(ErrorKind::Stopped);
        }
    }

    /// Returns the output of the next step, whose event stays where it is. Returns `None` if the
    /// step has none, or if the caller has already received its event.
    fn hand_out(&mut self, now: Instant) -> Option<Output> {
        if let Some(ReadStep::Event(event)) = self.ready.front()
            && !self.already_yielded.contains(&event.kind())
        {
            let (kind, headers) = (event.kind(), event.headers());
            let has_text = event.text_delta().is_some();
            self.note_event(kind, headers, has_text, now);
            return Some(Output::Event);
        }
        match self.ready.pop_front()? {
            // The caller has received the event from an earlier attempt.
            ReadStep::None | ReadStep::Event(_) => None,
            // Neither follows a response that has ended. Its own end counts.
            ReadStep::Finished(_) if self.held.is_some() => {
                self.give_up_held();
                None
            }
            ReadStep::Failed(error) if self.held.is_some() => {
                // The error may be about the connection.
                if self.reader.ended_by_server() {
                    self.release(Some(&error));
                }
                self.give_up_held();
                None
            }
            ReadStep::Failed(_) if self.stopping.is_some() => {
                self.handle_cancelled(ErrorKind::Stopped);
                // The error may be about the interruption, and the response may continue. An exchange
                // that has ended is not aborted, so that its connection has to be retired.
                if self.reader.ended_by_server() {
                    self.commands.push_front(Command::Release { retire: true });
                }
                None
            }
            ReadStep::Finished(event) if self.awaits_answers() => {
                self.hold(Ok(event));
                None
            }
            // The server gives the input of the messages back.
            ReadStep::Failed(error) if self.awaits_answers() && self.reader.ended_by_event() => {
                self.hold(Err(error));
                None
            }
            ReadStep::Finished(event) => Some(self.complete(event, false, now)),
            ReadStep::Failed(error) => {
                // Released before `fail` aborts: the server has finished the exchange, so that the
                // connection may serve the next attempt.
                if self.reader.ended_by_server() {
                    self.release(Some(&error));
                }
                self.fail(error, now);
                None
            }
        }
    }

    fn note_event(
        &mut self,
        kind: EventKind,
        headers: Option<HeaderMap>,
        has_text: bool,
        now: Instant,
    ) {
        if let Some(headers) = headers {
            self.learn_sticky(&headers);
            self.report.server.add(headers);
        }
        let begins = matches!(kind, EventKind::Created | EventKind::Queued | EventKind::InProgress);
        if begins && !self.yielded.contains(&kind) {
            self.yielded.push(kind);
        }
        self.report.events += 1;
        if has_text && self.report.timings.first_text.is_none() {
            self.report.timings.first_text = self.elapsed(now);
        }
        self.yielded_at = Some(now);
    }

    /// Reports the irregularities of the response, and the changes that the server made to the
    /// input.
    pub(super) fn report_findings(&mut self) {
        self.report.anomalies = self.reader.anomalies().to_vec();
        self.report.warnings.clear();
        self.report.warnings.extend(Warning::of_input(self.reader.input_changes()));
    }

    /// Ends the turn successfully. `aborts` closes the connection.
    pub(super) fn complete(&mut self, event: ResponseEvent, aborts: bool, now: Instant) -> Output {
        self.report.events += 1;
        self.reader.append_input(self.steers.pending_items());
        self.lose_messages();
        self.report.timings.done = self.elapsed(now);
        self.report_findings();
        let continued = self.report.plan.as_ref().is_some_and(|plan| !plan.is_full());
        let fate = if continued { Some(ParentFate::Continued) } else { self.parent };
        let mut previous = self.baseline_after(&event, &self.reader);
        if aborts {
            // The response that may follow replaces this one on its lane.
            previous.leave_lane();
        }
        self.commands.push_back(Command::Commit { previous, fate });
        self.earlier = self.reader.response();
        if !self.report.responses.is_empty() {
            self.report.responses.push(SteeredResponse::of(&self.earlier));
        }
        match aborts {
            true => self.commands.push_back(Command::Abort),
            false => self.release(None),
        }
        self.outcome = Some(Outcome::Turn(None));
        self.state = TurnState::Done;
        self.ready.clear();
        self.ready.push_back(ReadStep::Finished(event));
        Output::Last
    }

    /// Returns the baseline that a turn which ended with `event` leaves for the next turn.
    pub(super) fn baseline_after(
        &self,
        event: &ResponseEvent,
        reader: &ResponseReader,
    ) -> PreviousTurn {
        let may_continue = match event {
            ResponseEvent::Completed(_) => true,
            ResponseEvent::Incomplete(_) => {
                match reader.response().incomplete_reason().as_deref() {
                    Some("steered") => self.settings.steer,
                    Some("interrupted") => self.settings.interrupt,
                    _ => false,
                }
            }
            _ => false,
        };
        if !may_continue || self.steers.have_diverged() || self.injects.have_diverged() {
            return PreviousTurn::NotCompleted;
        }
        let last = reader.last_id();
        if let (Some(last), Some(created)) = (last, reader.created_id())
            && last != created
        {
            // Only the server knows which of the two names the response.
            return PreviousTurn::Ambiguous;
        }
        let Some(response_id) = last.or(reader.response_id()).map(str::to_owned) else {
            return PreviousTurn::NotCompleted;
        };
        PreviousTurn::Completed(Box::new(Baseline {
            response_id,
            request: std::sync::Arc::clone(&self.request),
            output: reader.response().output_items().collect(),
            seat: self.baseline.seat,
            // Only the lane of the response adds the input of pending steers.
            stored: reader.is_stored().unwrap_or(self.baseline.stored)
                && self.steers.pending_items().is_empty(),
            warm_up: false,
        }))
    }

    /// Handles an error of the server before the response has begun.
    pub(super) fn failed_by_frame(&mut self, role: Role, error: Error, now: Instant) {
        if role.keeps_connection() {
            self.release(Some(&error));
        }
        self.fail(error, now);
    }

    /// Releases the connection of an exchange that the server finished, successfully or with
    /// `error`.
    pub(super) fn release(&mut self, error: Option<&Error>) {
        let reuses = self.settings.reuses_socket_after_error;
        let retire = error.is_some_and(|error| retires_socket(error, reuses));
        self.commands.push_back(Command::Release { retire });
    }
}
