//! Messages about a response that runs, and the response that follows a steer.
//!
//! A response with messages ends with a terminal event as any other. If a message is open then, the
//! machine holds the event back until the server has settled the message. If another response follows,
//! the machine yields `Steered` in place of the event and reads on. Otherwise the event ends the turn.

use std::time::{Duration, Instant};

use super::{
    Command, Output, TurnMachine, TurnState, after,
    inject::{self, CommittedOutputs, InjectState},
    message::{InputErrorKind, MessageId},
    response::ResponseReader,
    steer::{self, HeldEnd, PendingSteer, SteerState},
};
use crate::{
    config::Transport,
    error::Error,
    event::{EventKind, ResponseEvent},
    kind::ErrorKind,
    proto::{
        lane::{Message, MessageKind, SeatId, messages::refused_message},
        turn::response::ReadStep,
        wire::{Frame, Role},
    },
    report::SteeredResponse,
    request::{History, Item},
};

/// Longest wait for the response that follows after an accepted steer, and for the answer to a
/// message.
const SUCCESSOR_WAIT: Duration = Duration::from_secs(10);

/// Longest wait for `response.steer.pending`, which the server sends right after the end of the
/// response.
const PENDING_WAIT: Duration = Duration::from_secs(1);

/// A response that runs, by its id.
struct RunningResponse {
    seat: SeatId,
    id: String,
}

/// Longest wait for the end of a response that is interrupted.
const INTERRUPT_WAIT: Duration = Duration::from_secs(10);

impl TurnMachine {
    /// Steers the running response. Returns the message, or the reason why the response cannot be
    /// steered.
    pub(crate) fn steer(&mut self, input: &History) -> Result<MessageId, InputErrorKind> {
        let (supported, full) = (self.settings.steer, self.steers.are_full());
        let target = self.target_of_input(supported, steer::is_valid(input), full)?;
        let frame = self.input_frame(&InputMessage {
            r#type: "response.steer",
            previous_response_id: Some(&target.id),
            response_id: None,
            input,
        })?;
        let id = self.steers.add(input.clone());
        self.send_during(target, frame, id);
        Ok(id)
    }

    /// Gives outputs to the running response. Returns the message, or the reason why the response
    /// takes none.
    pub(crate) fn inject(&mut self, outputs: &History) -> Result<MessageId, InputErrorKind> {
        let (supported, full) = (self.settings.inject, self.injects.are_full());
        let target = self.target_of_input(supported, inject::is_valid(outputs), full)?;
        let frame = self.input_frame(&InputMessage {
            r#type: "response.inject",
            previous_response_id: None,
            response_id: Some(&target.id),
            input: outputs,
        })?;
        let id = self.injects.add(target.id.clone(), outputs.clone());
        self.send_during(target, frame, id);
        Ok(id)
    }

    /// Returns the response that runs, unless the response takes no input of a kind that is
    /// `supported`, `valid` and not `full`.
    fn target_of_input(
        &self,
        supported: bool,
        valid: bool,
        full: bool,
    ) -> Result<RunningResponse, InputErrorKind> {
        let over_websocket = self.over_transport() == Transport::WebSocket;
        if !supported || !over_websocket && self.report.transport.is_some() {
            return Err(InputErrorKind::Unsupported);
        }
        let target = self.running().ok_or(InputErrorKind::NotRunning)?;
        match (valid, full) {
            (false, _) => Err(InputErrorKind::InvalidInput),
            (true, true) => Err(InputErrorKind::TooMany),
            (true, false) => Ok(target),
        }
    }

    /// Returns the frame of a message, unless the server does not accept one of this size.
    fn input_frame(&self, message: &InputMessage<'_>) -> Result<String, InputErrorKind> {
        match serde_json::to_string(message) {
            Ok(frame) if self.is_above_limit(&frame, self.announced_limit) => {
                Err(InputErrorKind::TooLarge)
            }
            Ok(frame) => Ok(frame),
            Err(_) => Err(InputErrorKind::InvalidInput),
        }
    }

    fn send_during(&mut self, target: RunningResponse, frame: String, id: MessageId) {
        self.report.bytes_sent += frame.len() as u64;
        let message = Message { kind: id.kind, target: target.id, frame };
        self.commands.push_back(Command::SendDuring { seat: target.seat, message, id });
    }

    /// Handles that a message was sent, or that it was not, because the response had ended.
    pub(crate) fn handle_message_sent(&mut self, message: MessageId, sent: bool) {
        match message.kind {
            MessageKind::Steer => self.steers.sent(message, sent),
            MessageKind::Inject => self.injects.sent(message, sent),
            MessageKind::Interrupt if sent => {}
            MessageKind::Interrupt => self.handle_interrupt_lost(),
        }
    }

    /// Returns the next change of the state of a steer.
    pub(crate) fn poll_steer(&mut self) -> Option<(MessageId, SteerState)> {
        self.steers.poll_update()
    }

    /// Returns the next change of the state of an inject.
    pub(crate) fn poll_inject(&mut self) -> Option<(MessageId, InjectState)> {
        self.injects.poll_update()
    }

    /// Adds the pending steers of the previous turn, which the request of this turn carries. Returns
    /// the message of each in this turn.
    pub(crate) fn carry(&mut self, pending: Vec<PendingSteer>) -> Vec<MessageId> {
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
        let target = self.running().filter(|_| self.settings.interrupt);
        let over_websocket = self.over_transport() == Transport::WebSocket;
        match target {
            _ if self.held.is_some() => self.give_up_held(),
            _ if self.stopping.is_some() => {}
            Some(target) if over_websocket => self.interrupt(target, now),
            _ => self.handle_cancelled(ErrorKind::Stopped),
        }
    }

    /// Handles that the message which interrupts the response was not sent.
    fn handle_interrupt_lost(&mut self) {
        // If the response has ended, its end is about to be read. Another one may follow.
        let follows = self.steers.hold();
        if self.stopping.is_some() && !follows && matches!(self.state, TurnState::Streaming) {
            self.stopping = None;
        }
    }

    fn interrupt(&mut self, target: RunningResponse, now: Instant) {
        self.stopping = Some(after(now, INTERRUPT_WAIT));
        self.send_interrupt(target);
    }

    fn send_interrupt(&mut self, target: RunningResponse) {
        let frame = serde_json::json!({
            "type": "response.interrupt",
            "response_id": target.id,
            "mode": "discard_partial_items",
        });
        let id = MessageId { kind: MessageKind::Interrupt, number: 0 };
        self.send_during(target, frame.to_string(), id);
    }

    /// Returns the response that runs.
    fn running(&self) -> Option<RunningResponse> {
        let runs = matches!(self.state, TurnState::Streaming) && self.held.is_none();
        let id = self.reader.created_id().or(self.reader.response_id());
        let id = id.filter(|_| runs && !self.reader.has_ended())?.to_owned();
        Some(RunningResponse { seat: self.baseline.seat?, id })
    }

    /// Records a frame that answers a message. Returns `true` if the frame is an error that answers
    /// a message, and no event of the response.
    pub(super) fn observe_answer(&mut self, frame: &Frame) -> bool {
        if frame.tag.role != Role::Metadata {
            return false;
        }
        match refused_message(frame, self.steers.await_answer(), self.injects.hold()) {
            Some(MessageKind::Steer) => self.steers.refuse(frame),
            Some(MessageKind::Inject) => self.injects.refuse(frame),
            Some(MessageKind::Interrupt) | None => {
                self.steers.observe(frame);
                if let Some(CommittedOutputs { target, items }) = self.injects.observe(frame) {
                    self.place_outputs(&target, items);
                }
            }
        }
        frame.tag.kind == EventKind::ErrorEvent
    }

    /// Adds outputs to the response that the server committed them to.
    fn place_outputs(&mut self, target: &str, outputs: Vec<Item>) {
        let reader = self.held.as_mut().map_or(&mut self.reader, |held| &mut held.reader);
        if reader.is_named(target) {
            reader.inject(outputs);
        } else {
            // Another response has followed, whose history does not show where the outputs are.
            self.injects.diverge();
        }
    }

    /// Returns `true` while the end of a response is not that of the turn: the server may continue
    /// the response with another one, or answer a message.
    pub(super) fn awaits_answers(&self) -> bool {
        self.steers.hold() || self.injects.hold()
    }

    /// Makes the messages unknown whose end is open.
    pub(super) fn lose_messages(&mut self) {
        self.steers.lose();
        self.injects.lose();
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

    /// Stops the wait for the response that may follow. The open messages become unknown.
    pub(super) fn give_up_held(&mut self) {
        self.lose_messages();
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
        // Injects have no response that follows.
        let is_ours = !held.given_up
            && self.steers.hold()
            && parent.is_none_or(|id| ids.contains(&Some(id.as_str())));
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
            && let Some(target) = self.running()
        {
            self.send_interrupt(target);
        }
    }

    /// Ends the turn with the end that was held back, if no message is open.
    pub(super) fn end_held(&mut self, now: Instant) -> Option<Output> {
        if self.awaits_answers() {
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

/// A message with input for a running response.
#[derive(serde::Serialize)]
struct InputMessage<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_response_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_id: Option<&'a str>,
    input: &'a History,
}

/// Returns `true` if the response has items that only the caller can answer.
fn waits_for_caller(reader: &ResponseReader) -> bool {
    let response = reader.response();
    let waits = |item: Item| match item.item_type() {
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
