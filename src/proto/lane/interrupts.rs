//! Answers to the interruption of a response that come after its end.
//!
//! An interruption can cross the end of its response. The server then refuses it, and the refusal
//! names no request. Without this record, the refusal would end the next response, or the socket.

use std::time::{Duration, Instant};

use crate::{
    api::ErrorCode,
    event::EventKind,
    proto::{
        normalize,
        wire::{Frame, Role},
    },
};

/// Longest time between the end of a response and the answer to its interruption.
const LATE: Duration = Duration::from_secs(10);

/// Interruptions of a socket whose response ended before their answer arrived.
#[derive(Debug, Default)]
pub(super) struct LateInterrupts {
    /// Number of answers that may still arrive.
    due: u32,
    until: Option<Instant>,
}

impl LateInterrupts {
    /// Records that a response ended at `now` before the answer to its interruption arrived.
    pub(super) fn add(&mut self, now: Instant) {
        self.due = self.due.saturating_add(1);
        self.until = now.checked_add(LATE);
    }

    /// Returns `true` if `frame` is such an answer, which belongs to no running response.
    pub(super) fn takes(&mut self, frame: &Frame, now: Instant) -> bool {
        if self.due == 0 {
            return false;
        }
        if self.until.is_none_or(|until| now > until) {
            self.due = 0;
            return false;
        }
        let is_answer = answers_interrupt(frame) || frame.tag.role == Role::Error && refuses(frame);
        self.due -= u32::from(is_answer);
        is_answer
    }
}

/// Returns `true` for the events that answer an interruption.
pub(super) fn answers_interrupt(frame: &Frame) -> bool {
    matches!(frame.tag.kind, EventKind::InterruptAccepted | EventKind::InterruptFailed)
}

/// Returns `true` if the error is that of a response which does not run. The same code about the
/// parent of a request is that request's.
fn refuses(frame: &Frame) -> bool {
    let error = normalize::error_frame(frame);
    error.code() == Some(&ErrorCode::ResponseNotFound)
        && error.param() != Some("previous_response_id")
}
