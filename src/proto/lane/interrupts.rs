//! Interrupts of a lane that the server has not answered.
//!
//! A server that is asked to interrupt a response which does not run sends an error. If the response
//! ended while the interrupt was sent, the error follows that end. By then the next request of the
//! lane may be in progress, or the response that follows after a steer, or only requests of other
//! lanes. The error concerns none of them.

use crate::{
    api::ErrorCode,
    event::EventKind,
    proto::{normalize, wire::Frame},
};

/// Interrupts of a lane that the server has not answered.
#[derive(Debug, Default)]
pub(super) struct OpenInterrupts {
    /// Number of interrupts of the response in progress.
    current: u32,
    /// Number of interrupts of responses that have ended.
    late: u32,
}

impl OpenInterrupts {
    /// Adds an interrupt that is sent now.
    pub(super) fn sent(&mut self) {
        self.current = self.current.saturating_add(1);
    }

    /// Records an event of the response in progress.
    pub(super) fn observe(&mut self, kind: EventKind) {
        if matches!(kind, EventKind::InterruptAccepted | EventKind::InterruptFailed) {
            self.current = self.current.saturating_sub(1);
        }
    }

    /// Records the end of the response in progress.
    pub(super) fn finish(&mut self) {
        self.late = self.late.saturating_add(std::mem::take(&mut self.current));
    }

    /// Returns `true` if an interrupt of the response in progress has no answer.
    pub(super) fn are_open(&self) -> bool {
        self.current > 0
    }

    /// Returns `true` if an interrupt of a response that has ended has no answer.
    pub(super) fn are_late(&self) -> bool {
        self.late > 0
    }

    /// Records the answer to an interrupt of a response that has ended.
    pub(super) fn answer_late(&mut self) {
        self.late = self.late.saturating_sub(1);
    }
}

/// Returns `true` if `frame` is the error that no such response runs.
pub(super) fn is_not_found(frame: &Frame) -> bool {
    normalize::error_frame(frame).code.as_ref().map(ErrorCode::as_str) == Some("response_not_found")
}
