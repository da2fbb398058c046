//! Interrupts of a lane that the server has not answered.
//!
//! A server that is asked to interrupt a response which does not run sends an error. If the response
//! ended while the interrupt was sent, the answer follows that end. By then the next request of the
//! lane may be in progress, or the response that follows after a steer, or only requests of other
//! lanes. The answer concerns none of them.

use std::time::{Duration, Instant};

use crate::{
    api::ErrorCode,
    event::EventKind,
    proto::{
        normalize,
        wire::{Frame, Role},
    },
};

/// Longest time between the end of a response and the answer to its interrupt.
const LATE: Duration = Duration::from_secs(10);

/// Interrupts of a lane that the server has not answered.
#[derive(Debug, Default)]
pub(super) struct OpenInterrupts {
    /// Number of interrupts of the response in progress.
    current: u32,
    /// Number of interrupts of responses that have ended.
    late: u32,
    /// Time until which the answers to late ones may arrive.
    until: Option<Instant>,
}

impl OpenInterrupts {
    /// Adds an interrupt that is sent now.
    pub(super) fn sent(&mut self) {
        self.current = self.current.saturating_add(1);
    }

    /// Records an event of the response in progress.
    pub(super) fn observe(&mut self, kind: EventKind) {
        if is_answer(kind) {
            self.current = self.current.saturating_sub(1);
        }
    }

    /// Records that `end` has ended the response in progress.
    pub(super) fn finish(&mut self, end: &Frame, now: Instant) {
        let current = std::mem::take(&mut self.current);
        // An error is the answer.
        if current > 0 && end.tag.role == Role::Terminal {
            self.late = self.late.saturating_add(current);
            self.until = now.checked_add(LATE);
        }
    }

    /// Returns `true` if an interrupt of the response in progress has no answer.
    pub(super) fn are_open(&self) -> bool {
        self.current > 0
    }

    /// Returns `true` if an interrupt of a response that has ended has no answer.
    pub(super) fn are_late(&self, now: Instant) -> bool {
        self.late > 0 && self.until.is_some_and(|until| now <= until)
    }

    /// Records the answer to an interrupt of a response that has ended.
    pub(super) fn answer_late(&mut self) {
        self.late = self.late.saturating_sub(1);
    }
}

/// Returns `true` if `frame` answers an interrupt.
pub(super) fn answers_interrupt(frame: &Frame) -> bool {
    is_answer(frame.tag.kind) || frame.tag.role == Role::Error && is_not_found(frame)
}

fn is_answer(kind: EventKind) -> bool {
    matches!(kind, EventKind::InterruptAccepted | EventKind::InterruptFailed)
}

/// Returns `true` if `frame` is the error that no such response runs. The same code about the parent
/// of a request is that request's.
pub(super) fn is_not_found(frame: &Frame) -> bool {
    let error = normalize::error_frame(frame);
    error.code() == Some(&ErrorCode::ResponseNotFound)
        && error.param() != Some("previous_response_id")
}
