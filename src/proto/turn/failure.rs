//! Failed attempts, and the unsuccessful ends of a turn.

use std::time::{Duration, Instant};

use super::{Command, Goal, Notice, Outcome, TurnMachine, TurnState, after, response::StreamEnd};
use crate::{
    api::{ApiError, ErrorCode},
    config::Transport,
    error::{Cause, Error},
    kind::{Delivery, ErrorKind, Phase},
    proto::{
        lane::LaneId,
        parents::ParentFate,
        plan::PreviousTurn,
        retry::{AttemptFailure, NextAttempt, RetryDecision, is_unfinished},
    },
    report::{Failure, FullSendReason, Plan},
};

impl TurnMachine {
    /// Ends the attempt with `error`: another attempt follows, or the turn ends. All failures of
    /// attempts go through this function.
    pub(super) fn fail(&mut self, mut error: Error, now: Instant) {
        error.set_context(&self.settings.error_context);
        self.commands.push_back(Command::Abort);
        if self.goal != Goal::Turn {
            return self.fail_ahead(&error, now);
        }
        if matches!(self.state, TurnState::Streaming) {
            self.report_findings();
            self.earlier = self.reader.response();
            self.earlier_delivery = Some(error.delivery());
            self.save_for_resume(&error);
        }
        self.ready.clear();
        match self.on_attempt_failed(&mut error, now) {
            Some(delay) => self.state = TurnState::Backoff { until: after(now, delay) },
            None => self.finish(error),
        }
    }

    /// Handles that the session cancelled the turn for this reason.
    pub(crate) fn handle_cancelled(&mut self, reason: ErrorKind) {
        if self.is_done() {
            return;
        }
        // What the turn was about to do to its session must not happen to the turn that follows.
        if self.commands.iter().any(|it| matches!(it, Command::Send { .. } | Command::Post { .. }))
        {
            self.undo_sending();
        }
        self.commands.retain(|it| matches!(it, Command::RefuseCredential));
        self.commands.push_back(Command::Abort);
        let delivery = match self.state {
            TurnState::Streaming => {
                let reader = self.shown_reader();
                let (response, delivery) = (reader.response(), reader.delivery());
                self.earlier = response;
                Some(delivery)
            }
            // A request that was sent since then may run.
            _ => self.earlier_delivery.map(|it| it.max(self.cancelled_error(reason).delivery())),
        };
        let error = match delivery {
            Some(delivery) => Error::new(reason, Phase::Events, Cause::None)
                .with_delivery(delivery)
                .with_response(self.earlier.clone()),
            None => self.cancelled_error(reason),
        };
        self.finish(error);
    }

    /// Makes this attempt the last one, because the runtime of the turn has shut down.
    pub(crate) fn forbid_attempts(&mut self) {
        self.is_runtime_gone = true;
    }

    /// Handles that the runtime of the turn has shut down, and that nothing more of the attempt
    /// arrives.
    pub(crate) fn handle_runtime_shutdown(&mut self, now: Instant) {
        self.forbid_attempts();
        match self.state {
            TurnState::Done => {}
            TurnState::Streaming => self.handle_end(StreamEnd::Disconnected(None), now),
            _ => self.finish(self.cancelled_error(ErrorKind::NoRuntime)),
        }
    }

    /// Ends the turn with `error`. The error receives the furthest delivery of all attempts, by
    /// which the caller decides if repeating the request is safe.
    fn finish(&mut self, error: Error) {
        let error = match self.furthest.take() {
            Some((delivery, response)) if delivery > error.delivery() => {
                let error = error.with_delivery(delivery);
                match response {
                    Some(response) if error.response().is_none() => error.with_response(response),
                    _ => error,
                }
            }
            _ => error,
        };
        self.ready.clear();
        self.lose_messages();
        self.state = TurnState::Done;
        let error = error.with_report(self.report.clone());
        self.outcome = Some(Outcome::Turn(Some(error.clone())));
        self.failure = Some(error);
    }

    /// Returns the error of a turn that was cancelled before its response began.
    fn cancelled_error(&self, reason: ErrorKind) -> Error {
        // Between two attempts, the outcome of the previous attempt is known.
        let (phase, delivery) = match self.report.plan {
            Some(_) if self.bytes_in_attempt > 0 => (Phase::FirstEvent, Delivery::Unknown),
            Some(_) => (Phase::FirstEvent, Delivery::Refused),
            None => (Phase::Prepare, Delivery::NotSent),
        };
        Error::new(reason, phase, Cause::None).with_delivery(delivery)
    }

    /// Keeps a response that continues without its connection, so that a later attempt can resume
    /// the response.
    fn save_for_resume(&mut self, error: &Error) {
        let background = self.request.background == Some(true);
        let cut = matches!(error.kind(), ErrorKind::Truncated | ErrorKind::Timeout)
            || is_unfinished(error);
        if background && cut && self.reader.is_resumable() {
            self.progressed = self.reader.has_progressed();
            self.reader.resume(error.delivery());
            self.resuming = true;
        }
    }

    /// Records a failed attempt. Returns the delay before the next one, or `None` to give up.
    fn on_attempt_failed(&mut self, error: &mut Error, now: Instant) -> Option<Duration> {
        let transport = self.report.transport?;
        let connecting = matches!(error.phase(), Phase::Prepare | Phase::Connect);
        if !connecting || error.api_error().is_some() {
            self.origin.set_reached();
        }
        let incremental = self.report.plan.as_ref().is_some_and(|plan| !plan.is_full());
        self.record_failure(error);
        if self.is_laned()
            && error.api_error().is_some_and(ApiError::is_lane_refused)
            && error.code() != Some(&ErrorCode::StreamLimitReached)
        {
            self.origin.refuse_lanes();
        }
        if error.kind() == ErrorKind::Api && error.is_authentication() {
            self.commands.push_back(Command::RefuseCredential);
        }
        let failed = AttemptFailure {
            error,
            transport,
            reused: self.report.reused,
            incremental,
            stale: std::mem::take(&mut self.stale),
            silent: self.report.timings.first_byte.is_none(),
            answered: self.origin.answers_websockets(),
            reached: self.origin.is_reached(),
            resumable: self.resuming,
            progressed: std::mem::take(&mut self.progressed),
            renewable: self.settings.renewable_credential,
            laned: self.is_laned(),
            began: self.attempt_began,
            at: now,
        };
        if self.is_past_deadline(now) {
            return None;
        }
        // Another attempt would lose the input of the messages, or apply it to another response.
        if self.steers.bind() || self.injects.bind() {
            return None;
        }
        let chance = self.chance();
        let action = self.retry.next(failed, chance);
        if self.retry.loses_creates() {
            self.origin.set_answers_websockets(false);
        }
        let RetryDecision::Retry(again) = action else { return None };
        // The next attempt would begin after the deadline. The error of this attempt is more useful
        // to the caller than a timeout.
        if self.is_past_deadline(after(now, again.delay)) || self.is_runtime_gone {
            return None;
        }
        // A repeated request is sent in full.
        if !self.resuming && !self.retry.may_resend(self.full_bytes) {
            error.set_resend_limited();
            return None;
        }
        self.prepare_next(error, transport, again, now)
    }

    /// Returns `true` if the request of the attempt names a lane.
    fn is_laned(&self) -> bool {
        let over_websocket = self.report.transport == Some(Transport::WebSocket);
        over_websocket && self.baseline.seat.is_some_and(|seat| seat.lane != LaneId::DEFAULT)
    }

    /// Adds the failure to the report. If the request was not sent, undoes what was recorded about
    /// sending.
    fn record_failure(&mut self, error: &Error) {
        if let Some(attempt) = self.report.attempts.last_mut() {
            attempt.failure = Some(Failure {
                kind: error.kind(),
                delivery: error.delivery(),
                message: error.to_string(),
            });
        }
        let furthest = self.furthest.as_ref().map_or(Delivery::Refused, |(delivery, _)| *delivery);
        if error.delivery() > furthest {
            self.furthest = Some((error.delivery(), error.response().cloned()));
        }
        if error.delivery() == Delivery::NotSent {
            self.commands.push_back(Command::SetBaseline(self.previous.clone()));
        } else {
            // The server may have discarded the parent together with the failed request.
            self.previous = PreviousTurn::NotCompleted;
        }
        if error.delivery() == Delivery::NotSent && !self.resuming {
            self.undo_sending();
        } else if self.bytes_in_attempt > 0 {
            self.retry.sent(self.bytes_in_attempt);
        }
        self.bytes_in_attempt = 0;
    }

    /// Undoes what was recorded of a request that did not leave.
    fn undo_sending(&mut self) {
        self.report.plan = None;
        self.report.bytes_sent -= std::mem::take(&mut self.bytes_in_attempt);
    }

    fn prepare_next(
        &mut self,
        error: &Error,
        transport: Transport,
        again: NextAttempt,
        now: Instant,
    ) -> Option<Duration> {
        let delay = again.delay;
        self.commands.push_back(Command::Notify(Notice::AttemptFailed {
            transport,
            kind: error.kind(),
            message: error.to_string(),
            summary: error.summary().to_string(),
            delay,
            trying_for: again.trying_for,
        }));
        if again.reason == FullSendReason::ParentNotFound {
            let unsupported = error.api_error().is_some_and(ApiError::is_parent_unsupported);
            self.parent =
                Some(if unsupported { ParentFate::Unsupported } else { ParentFate::Gone });
        }
        match &self.report.plan {
            // A further attempt does not change the reason for the full request.
            Some(Plan::Full(reason)) => self.full_reason = Some(reason.clone()),
            Some(Plan::Incremental { .. }) => self.full_reason = Some(again.reason),
            // The request was not sent.
            None => {}
        }
        self.fresh = again.fresh;
        if again.over_sse && !self.over_sse {
            self.over_sse = true;
            self.commands.push_back(Command::Notify(Notice::FallsBack));
        }
        match again.trip {
            // Recorded once SSE succeeds: otherwise the whole network may be down.
            Some(mark) if mark.needs_sse_confirmation() => self.pending_fallback = again.trip,
            Some(mark) => self.origin.trip(mark, now),
            None => {}
        }
        Some(delay)
    }

    /// Returns the next pseudo-random number, in 0..=1. The sequence depends only on the seed, so
    /// that tests of the machine are deterministic.
    pub(super) fn chance(&mut self) -> f64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.seed ^ (self.seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        f64::from(u32::try_from(mixed >> 32).unwrap_or_default()) / f64::from(u32::MAX)
    }
}
