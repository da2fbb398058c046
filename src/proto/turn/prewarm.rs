//! Work ahead of a turn: opening its WebSocket, sending a warm-up request, and opening the
//! successor of a WebSocket that is due for replacement.
//!
//! No failure here is fatal: the turn then starts without the prepared state.

use std::time::Instant;

use super::{
    Command, Goal, Next, Outcome, Seat, TurnMachine, TurnState,
    response::{ReadStep, ResponseReader},
};
use crate::{
    config::Transport,
    error::Error,
    event::ResponseEvent,
    kind::Delivery,
    proto::{
        deadline::InHand,
        plan::{PreviousTurn, SendPlan, plan},
        retry::{AttemptFailure, RetryDecision},
        route::BreakerTrip,
        wire::{Encoded, Frame},
    },
    report::{FullSendReason, Prewarm, PrewarmFailure},
};

impl TurnMachine {
    /// Requests the open WebSocket of the session.
    pub(super) fn lease_ahead(&mut self) {
        self.state = TurnState::Leasing;
        // `None` keeps the setting of the last turn: a WebSocket that holds the caller's responses
        // must not be replaced here.
        let (fresh, parent) = (self.fresh, None);
        self.commands.push_back(Command::Lease { fresh, caller_managed: None, parent });
    }

    pub(super) fn leased_ahead(&mut self, seat: Option<&Seat>, now: Instant) {
        if self.fresh {
            return self.authorize(Next::Open(None), now);
        }
        match (self.origin.route(self.needs(seat.is_some()), now), seat) {
            (Err(error), _) => self.fail(Error::invalid_request(error), now),
            (Ok(Transport::Sse), _) => self.finish_ahead(Prewarm::Connected),
            (Ok(Transport::WebSocket), Some(seat)) => self.connected(seat, now),
            (Ok(Transport::WebSocket), None) => self.authorize(Next::Open(None), now),
        }
    }

    pub(super) fn opened_ahead(&mut self, seat: &Seat, now: Instant) {
        // Cleared here, because the turn will find the socket open, which proves nothing about
        // opening one.
        self.origin.clear_breaker();
        self.connected(seat, now);
    }

    fn connected(&mut self, seat: &Seat, now: Instant) {
        if let Some(outcome) = self.warmed_for_nothing.take() {
            return self.finish_ahead(outcome);
        }
        if self.goal != Goal::WarmUp || !self.is_worth_warming(seat, now) {
            return self.finish_ahead(Prewarm::Connected);
        }
        let lane = seat.id.lane.name();
        match self.encode(Encoded::WarmUp { lane: lane.as_deref() }) {
            Ok(frame) if self.is_above_limit(&frame, seat.frame_limit) => {
                self.finish_ahead(Prewarm::Connected);
            }
            Ok(frame) => self.send_frame(seat.id, frame),
            Err(error) => self.fail(error, now),
        }
    }

    /// Returns `true` if a warm-up saves the turn work.
    fn is_worth_warming(&self, seat: &Seat, now: Instant) -> bool {
        // A WebSocket keeps only its last response. The warm-up would replace the response that the
        // caller continues.
        if self.request.caller_managed() || self.origin.are_parents_off(now) {
            return false;
        }
        let to = self.websocket(Some(seat));
        match plan(&self.request, &self.previous, to) {
            SendPlan::Incremental { .. } | SendPlan::Full(FullSendReason::NothingNew) => false,
            SendPlan::Full(_) => true,
        }
    }

    /// Handles a frame of the response to a warm-up.
    pub(super) fn warm_up_frame(&mut self, frame: Frame, now: Instant) {
        if self.is_past_deadline(now) && !self.in_hand.takes(frame.payload.len()) {
            return self.warm_up_timed_out();
        }
        let role = frame.tag.role;
        let mut step = self.reader.handle(frame);
        loop {
            match step {
                ReadStep::Finished(event @ ResponseEvent::Completed(_))
                    if self.reader.response().output_items().len() == 0 =>
                {
                    let mut previous = self.baseline_after(&event, &self.reader);
                    if let PreviousTurn::Completed(baseline) = &mut previous {
                        baseline.warm_up = true;
                    }
                    self.commands.push_back(Command::SetBaseline(previous));
                    self.release(None);
                    return self.finish_ahead(Prewarm::Warmed);
                }
                // The terminal event contains output, so that the model has already generated.
                ReadStep::Finished(_) => return self.generated(),
                ReadStep::Failed(error) => {
                    if role.keeps_connection() {
                        self.release(Some(&error));
                    }
                    self.commands.push_back(Command::Abort);
                    return self.finish_ahead(Prewarm::Failed(PrewarmFailure::Refused));
                }
                ReadStep::Event(_) if self.reader.delivery() == Delivery::OutputStarted => {
                    return self.generated();
                }
                ReadStep::Event(event) => {
                    if let Some(headers) = event.headers() {
                        self.learn_sticky(&headers);
                    }
                }
                ReadStep::None => return,
            }
            match self.reader.next_step() {
                Some(next) => step = next,
                None => return,
            }
        }
    }

    /// Handles that the server generates output: closes the WebSocket, which stops generation, and
    /// opens another one for the turn.
    fn generated(&mut self) {
        self.commands.push_back(Command::Abort);
        self.warmed_for_nothing = Some(Prewarm::Failed(PrewarmFailure::Generated));
        self.fresh = true;
        self.reader = ResponseReader::new();
        self.in_hand = InHand::new(self.settings.policy.limits.read_ahead);
        self.lease_ahead();
    }

    pub(super) fn warm_up_timed_out(&mut self) {
        self.commands.push_back(Command::Abort);
        self.finish_ahead(Prewarm::Failed(PrewarmFailure::TimedOut));
    }

    pub(super) fn fail_ahead(&mut self, error: &Error, now: Instant) {
        self.commands.push_back(Command::Notify(super::Notice::PrewarmFailed(error.kind())));
        self.record_fallback(error, now);
        self.finish_ahead(Prewarm::Failed(PrewarmFailure::Error(error.kind())));
    }

    fn finish_ahead(&mut self, prewarm: Prewarm) {
        self.state = TurnState::Done;
        self.outcome = Some(Outcome::Prewarm(prewarm));
    }

    /// Records a fallback of the origin, if the failure calls for one.
    fn record_fallback(&mut self, error: &Error, now: Instant) {
        // The limit on prewarming ended the attempt before the limit on connecting did. This
        // timeout proves nothing about the origin.
        let cut_short = self.is_past_deadline(now)
            && self.connect_deadline.is_none_or(|end| Some(end) > self.deadline);
        if cut_short && error.is_timeout() {
            return;
        }
        let failed = AttemptFailure {
            error,
            transport: Transport::WebSocket,
            reused: false,
            incremental: false,
            stale: false,
            silent: false,
            answered: true,
            reached: self.origin.is_reached(),
            resumable: false,
            progressed: false,
            renewable: false,
            laned: false,
            began: now,
            at: now,
        };
        let RetryDecision::Retry(again) = self.retry.next(failed, 0.0) else { return };
        // Unconfirmed marks are dropped, because no SSE request follows here to confirm them.
        if let Some(mark @ (BreakerTrip::Unsupported | BreakerTrip::Transient)) = again.trip {
            self.origin.trip(mark, now);
        }
    }
}
