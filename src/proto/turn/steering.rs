//! Steering and stopping of a response: input for a response that runs, and the response that follows.
//!
//! A steered response ends with a terminal event as any other. If a steer is open then, the machine
//! holds the event back until the server has settled the steer. If another response follows, the
//! machine yields `Steered` in place of the event and reads on. Otherwise the event ends the turn.

use std::time::{Duration, Instant};

use super::{
    Command, Output, TurnMachine, TurnState, after,
    response::ResponseReader,
    steer::{HeldEnd, PendingSteer, SteerErrorKind, SteerNumber, SteerState, is_valid},
};
use crate::{
    config::Transport,
    error::Error,
    event::ResponseEvent,
    kind::ErrorKind,
    proto::{
        lane::SeatId,
        turn::response::ReadStep,
        wire::{Frame, Role},
    },
    report::SteeredResponse,
    request::History,
};

/// Longest wait for the response that follows after an accepted steer, and for the answer to a steer.
const SUCCESSOR_WAIT: Duration = Duration::from_secs(10);

/// Longest wait for `response.steer.pending`, which the server sends right after the end of the
/// response.
const PENDING_WAIT: Duration = Duration::from_secs(1);

/// Longest wait for the end of a response that is interrupted.
const INTERRUPT_WAIT: Duration = Duration::from_secs(10);

impl TurnMachine {
    /// Steers the running response. Returns the number of the steer, or the reason why the response
    /// cannot be steered.
    pub(crate) fn steer(&mut self, input: &History) -> Result<SteerNumber, SteerErrorKind> {
        let over_websocket = self.over_transport() == Transport::WebSocket;
        if !self.settings.steer || !over_websocket && self.report.transport.is_some() {
            return Err(SteerErrorKind::Unsupported);
        }
        let (Some(seat), Some(target)) = (self.baseline.seat, self.running_id()) else {
            return Err(SteerErrorKind::NotRunning);
        };
        if !is_valid(input) {
            return Err(SteerErrorKind::InvalidInput);
        }
        if self.steers.are_full() {
            return Err(SteerErrorKind::TooMany);
        }
        let frame = steer_frame(&target, input).ok_or(SteerErrorKind::InvalidInput)?;
        if self.is_above_limit(&frame, self.announced_limit) {
            return Err(SteerErrorKind::TooLarge);
        }
        let number = self.steers.add(input.clone());
        self.report.bytes_sent += frame.len() as u64;
        self.commands.push_back(Command::SendDuring { seat, frame, steer: Some(number) });
        Ok(number)
    }

    /// Handles that a steer was sent, or that it was not, because its response had ended.
    pub(crate) fn handle_steer_sent(&mut self, number: SteerNumber, sent: bool) {
        self.steers.sent(number, sent);
    }

    /// Returns the next change of the state of a steer.
    pub(crate) fn poll_steer(&mut self) -> Option<(SteerNumber, SteerState)> {
        self.steers.poll_update()
    }

    /// Adds the pending steers of the previous turn, which the request of this turn carries. Returns
    /// the number of each in this turn.
    pub(crate) fn carry(&mut self, pending: Vec<PendingSteer>) -> Vec<SteerNumber> {
        self.steers.carry(pending)
    }

    /// Removes and returns the steers that the next turn carries.
    pub(crate) fn take_pending_steers(&mut self) -> Vec<PendingSteer> {
        self.steers.take_pending()
    }

    /// Stops the running response: interrupts it where the server can, and closes its connection
    /// elsewhere.
    pub(crate) fn stop(&mut self, now: Instant) {
        if self.is_done() {
            return;
        }
        let target = self.running_id().filter(|_| self.settings.interrupt);
        let over_websocket = self.over_transport() == Transport::WebSocket;
        match (target, self.baseline.seat) {
            _ if self.held.is_some() => self.give_up_held(),
            _ if self.stopping.is_some() => {}
            (Some(target), Some(seat)) if over_websocket => self.interrupt(&target, seat, now),
            _ => self.handle_cancelled(ErrorKind::Stopped),
        }
    }

    /// Handles that the message which interrupts the response was not sent.
    pub(crate) fn handle_interrupt_lost(&mut self) {
        // If the response has ended, its end is about to be read. Another one may follow.
        let follows = self.steers.hold();
        if self.stopping.is_some() && !follows && matches!(self.state, TurnState::Streaming) {
            self.stopping = None;
        }
    }

    fn interrupt(&mut self, target: &str, seat: SeatId, now: Instant) {
        self.stopping = Some(after(now, INTERRUPT_WAIT));
        self.send_interrupt(target, seat);
    }

    fn send_interrupt(&mut self, target: &str, seat: SeatId) {
        let frame = serde_json::json!({
            "type": "response.interrupt",
            "response_id": target,
            "mode": "discard_partial_items",
        });
        let frame = frame.to_string();
        self.report.bytes_sent += frame.len() as u64;
        self.commands.push_back(Command::SendDuring { seat, frame, steer: None });
    }

    /// Returns the id of the response that runs.
    fn running_id(&self) -> Option<String> {
        let runs = matches!(self.state, TurnState::Streaming) && self.held.is_none();
        let id = self.reader.created_id().or(self.reader.response_id());
        id.filter(|_| runs && !self.reader.has_ended()).map(str::to_owned)
    }

    /// Records a frame that answers a steer.
    pub(super) fn observe_steer(&mut self, frame: &Frame) {
        if frame.tag.role == Role::Metadata {
            self.steers.observe(frame);
        }
    }

    /// Commits the steers of the previous turn, whose input the request carries.
    pub(super) fn commit_carried(&mut self) {
        let id = self.reader.response_id().unwrap_or_default();
        self.steers.commit_carried(id, &self.request);
    }

    /// Returns the reader of the response that the caller sees.
    pub(super) fn shown_reader(&self) -> &ResponseReader {
        self.held.as_ref().map_or(&self.reader, |held| &held.reader)
    }

    /// Returns the longest silence of the server while an end is held back; `None` if none is.
    pub(super) fn held_wait(&self) -> Option<Duration> {
        let held = self.held.as_ref()?;
        let waits_for_caller =
            matches!(held.end, Ok(ResponseEvent::Completed(_))) && waits_for_caller(&held.reader);
        Some(if waits_for_caller { PENDING_WAIT } else { SUCCESSOR_WAIT })
    }

    /// Returns `true` while the end of the response is held back.
    pub(crate) fn holds_end(&self) -> bool {
        self.held.is_some()
    }

    /// Holds the end of the response back until its steers are settled.
    pub(super) fn hold(&mut self, end: Result<ResponseEvent, Error>) {
        let reader = std::mem::replace(&mut self.reader, ResponseReader::new());
        self.held = Some(Box::new(HeldEnd { end, reader, given_up: false }));
    }

    /// Stops the wait for the response that may follow. The open steers become unknown.
    pub(super) fn give_up_held(&mut self) {
        self.steers.lose();
        if let Some(held) = &mut self.held {
            held.given_up = true;
        }
    }

    /// Begins to read the response that follows, if `frame` begins one. Call this after the reader
    /// has received the frame. The events of any other response are dropped.
    pub(super) fn begin_successor(&mut self, frame_role: Role, step: &mut ReadStep) {
        if !matches!(frame_role, Role::Lifecycle | Role::Output) {
            return;
        }
        let Some(held) = &self.held else { return };
        let parent: Option<String> = match step {
            ReadStep::Event(event) => {
                event.response().and_then(|it| it.member("previous_response_id").ok().flatten())
            }
            _ => None,
        };
        let ids = [held.reader.last_id(), held.reader.response_id()];
        let is_ours = !held.given_up && parent.is_none_or(|id| ids.contains(&Some(id.as_str())));
        let steered = held.end.as_ref().ok().and_then(ResponseEvent::steered);
        let (true, Some(steered)) = (is_ours, steered) else {
            *step = ReadStep::None;
            return self.give_up_held();
        };
        let Some(held) = self.held.take() else { return };
        let ended = held.reader;
        let input = self.steers.commit(self.reader.response_id().unwrap_or_default());
        self.reader.continue_from(&ended, input);
        self.report.responses.push(SteeredResponse::of(&ended.response()));
        // The error of the next response must not claim less than what the first one delivered.
        self.furthest = Some((ended.delivery(), None));
        self.already_yielded.clear();
        self.ready.push_back(ReadStep::Event(steered));
        self.stop_successor();
    }

    /// Interrupts the response that follows, if the one before ended while it was interrupted.
    fn stop_successor(&mut self) {
        if self.stopping.is_some()
            && let (Some(target), Some(seat)) = (self.running_id(), self.baseline.seat)
        {
            self.send_interrupt(&target, seat);
        }
    }

    /// Ends the turn with the end that was held back, if no steer is open.
    pub(super) fn end_held(&mut self, now: Instant) -> Option<Output> {
        if self.steers.hold() {
            return None;
        }
        let HeldEnd { end, reader, given_up } = *self.held.take()?;
        self.reader = reader;
        match end {
            Ok(event) => Some(self.complete(event, given_up, now)),
            Err(error) => {
                if !given_up {
                    self.release(Some(&error));
                }
                self.fail(error, now);
                None
            }
        }
    }
}

/// Returns the message that steers the response `target`.
fn steer_frame(target: &str, input: &History) -> Option<String> {
    #[derive(serde::Serialize)]
    struct Message<'a> {
        r#type: &'static str,
        previous_response_id: &'a str,
        input: &'a History,
    }
    let message = Message { r#type: "response.steer", previous_response_id: target, input };
    serde_json::to_string(&message).ok()
}

/// Returns `true` if the response has items that only the caller can answer.
fn waits_for_caller(reader: &ResponseReader) -> bool {
    let response = reader.response();
    let waits = |item: crate::request::Item| match item.item_type() {
        "computer_call"
        | "shell_call"
        | "local_shell_call"
        | "apply_patch_call"
        | "mcp_approval_request" => true,
        "tool_search_call" => {
            item.json().member::<String>("execution").ok().flatten().as_deref() == Some("client")
        }
        _ => false,
    };
    !response.function_calls().is_empty()
        || !response.custom_tool_calls().is_empty()
        || response.output_items().any(waits)
}
