//! Reader of one response: [`ResponseReader`].
//!
//! ```text
//!              Lifecycle              Output
//!   Waiting ─────────────▶ Accepted ──────────▶ Output
//!      │ └────────────────────Output─────────────▲ │
//!      │                      │                    │
//!      └── Terminal, Error, Garbage, or the end ───┴──▶ Ended
//! ```
//!
//! Metadata and frames without content do not change the state. In `Ended`, all frames are ignored.

use crate::{
    api::ApiError,
    error::{Cause, CloseFrame, Error, NoPong, ProtocolError},
    event::{EventKind, ResponseEvent, Unknown},
    json::DecodeError,
    kind::{Delivery, ErrorKind, Phase},
    proto::{
        normalize,
        surrogates::HalfJoiner,
        wire::{Frame, Role, Tag, responses::frame_of_last_type},
    },
    request::Item,
    response::{Accumulator, Anomaly, Facts, InputChanges, Response},
};

/// Reads the frames of one response, from its first event to its end.
#[derive(Clone, Debug)]
pub(crate) struct ResponseReader {
    state: ReaderState,
    response: Accumulator,
    /// Highest sequence number of an event so far.
    last: Option<u64>,
    /// Response id in the last `created` event.
    created: Option<String>,
    /// Id of the previous response, whose terminal event may arrive late.
    before: Option<String>,
    /// Last sequence number before the connection was cut. A resumed stream may repeat the events
    /// up to this number.
    resumed_after: Option<u64>,
    /// `true` if the server sent an unfinished response object in place of events.
    unfinished: bool,
    /// Events that are held back.
    held: HalfJoiner,
    /// The step that ends the turn, after the events in `held`.
    last_step: Option<Box<ReadStep>>,
    ended_by_server: bool,
    ended_by_terminal: bool,
    /// `store` as stated by the server; `None` until the server states it.
    stored: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReaderState {
    Waiting,
    Accepted,
    Output,
    Ended,
}

/// Result of reading a frame.
#[derive(Clone, Debug)]
pub(crate) enum ReadStep {
    /// An event to yield.
    Event(ResponseEvent),
    /// The event that ends the response successfully: `Completed` or `Incomplete`.
    Finished(ResponseEvent),
    /// No event to yield.
    None,
    /// The turn failed.
    Failed(Error),
}

/// End of a stream of frames without a terminal event.
#[derive(Debug)]
pub(crate) enum StreamEnd {
    /// The peer closed the WebSocket, with this Close frame.
    Closed(Option<CloseFrame>),
    /// The body ended, or the connection was lost.
    Disconnected(Option<Box<dyn std::error::Error + Send + Sync>>),
    /// The peer violated the protocol.
    Protocol(ProtocolError),
    /// An event exceeded the size limit.
    TooLarge,
    /// A time limit passed.
    TimedOut,
    /// The peer of a WebSocket did not answer a ping.
    PongTimeout,
    /// The consumer did not read what waited for it, while other exchanges needed the connection.
    FellBehind,
}

impl StreamEnd {
    /// Returns the same end, for another exchange of the connection. Of the error of a lost
    /// connection, the copy has only the text.
    pub(crate) fn copy(&self) -> Self {
        match self {
            Self::Closed(frame) => Self::Closed(frame.clone()),
            Self::Disconnected(source) => {
                Self::Disconnected(source.as_ref().map(|source| source.to_string().into()))
            }
            Self::Protocol(error) => Self::Protocol(error.clone()),
            Self::TooLarge => Self::TooLarge,
            Self::TimedOut => Self::TimedOut,
            Self::PongTimeout => Self::PongTimeout,
            Self::FellBehind => Self::FellBehind,
        }
    }
}

impl ResponseReader {
    pub(crate) fn new() -> Self {
        Self::after(None)
    }

    /// Returns the reader of a response that follows the response with the id `before`.
    pub(crate) fn after(before: Option<&str>) -> Self {
        Self {
            state: ReaderState::Waiting,
            response: Accumulator::default(),
            last: None,
            created: None,
            before: before.map(str::to_owned),
            resumed_after: None,
            unfinished: false,
            held: HalfJoiner::default(),
            last_step: None,
            ended_by_server: false,
            ended_by_terminal: false,
            stored: None,
        }
    }

    /// Reads the next frame. [`next_step`](Self::next_step) returns the further steps of the frame.
    ///
    /// Events are large, and most of them are yielded immediately. Therefore each function on this
    /// path returns the step of the function that it calls, so that the step is not copied.
    pub(crate) fn handle(&mut self, frame: Frame) -> ReadStep {
        if self.state == ReaderState::Ended {
            return ReadStep::None;
        }
        let by_server = frame.tag.role.keeps_connection();
        match frame.tag.role {
            Role::Ignored => ReadStep::None,
            Role::Invalid => self.fail(StreamEnd::Protocol(ProtocolError::NotAnEvent), by_server),
            Role::Error => {
                if frame.tag.kind == EventKind::ErrorEvent && frame.name.is_empty() {
                    let last = frame_of_last_type(frame.payload.clone());
                    if last.tag != frame.tag {
                        return self.handle(last);
                    }
                }
                let error = self.api_failure(normalize::error_frame(&frame), error_event(frame));
                self.finish(ReadStep::Failed(error), by_server)
            }
            Role::Metadata | Role::Lifecycle | Role::Output | Role::Terminal => self.event(frame),
        }
    }

    /// Returns the next step of the frames read so far; `None` if another frame is needed.
    pub(crate) fn next_step(&mut self) -> Option<ReadStep> {
        let event = self.held.pop().map(ReadStep::Event);
        // Held events wait for nothing once there is a last step.
        event.or_else(|| self.last_step.take().map(|step| *step))
    }

    /// Ends the turn like [`end`](Self::end), after the events that are held back. The last
    /// [`next_step`](Self::next_step) is the error.
    pub(crate) fn close(&mut self, end: StreamEnd) {
        let error = self.end(end);
        self.held.give_up();
        self.last_step = Some(Box::new(ReadStep::Failed(error)));
    }

    /// Returns `true` if the server itself ended the turn, so that the connection can be reused.
    pub(crate) fn ended_by_server(&self) -> bool {
        self.ended_by_server
    }

    /// Returns `true` if a terminal event of the server ended the response.
    pub(crate) fn ended_by_event(&self) -> bool {
        self.ended_by_terminal
    }

    /// Returns `true` once the response has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.state == ReaderState::Ended
    }

    /// Makes this the reader of the response that continues that of `ended`. The input of the steers
    /// between the two is `steered`.
    pub(crate) fn continue_from(&mut self, ended: &Self, steered: Vec<Item>) {
        self.response.continue_from(&ended.response, steered);
        self.stored = self.stored.or(ended.stored);
    }

    /// Adds outputs of the caller that the server took into the response now.
    pub(crate) fn inject(&mut self, outputs: Vec<Item>) {
        self.response.inject(outputs);
    }

    /// Returns `true` if the response has this id.
    pub(crate) fn is_named(&self, id: &str) -> bool {
        [self.created_id(), self.response_id(), self.last_id()].contains(&Some(id))
    }

    /// Adds the input of steers that the next request takes.
    pub(crate) fn append_input(&mut self, steered: Vec<Item>) {
        self.response.append_input(steered);
    }

    /// Returns `event` as a step, unless the event must be held back. `size` is the size of its
    /// frame in bytes.
    fn pass(&mut self, mut event: ResponseEvent, size: usize) -> ReadStep {
        if self.held.passes(&mut event) {
            return ReadStep::Event(event);
        }
        self.held.push(event, size).map_or(ReadStep::None, ReadStep::Event)
    }

    /// Ends the turn with `last`, after the events that are held back.
    fn finish(&mut self, last: ReadStep, by_server: bool) -> ReadStep {
        self.ended_by_server = by_server;
        self.held.give_up();
        if self.held.is_empty() {
            return last;
        }
        self.last_step = Some(Box::new(last));
        self.next_step().unwrap_or(ReadStep::None)
    }

    fn fail(&mut self, end: StreamEnd, by_server: bool) -> ReadStep {
        let error = self.end(end);
        self.finish(ReadStep::Failed(error), by_server)
    }

    /// Ends the turn without a terminal event. Returns the error, with the partial response.
    pub(crate) fn end(&mut self, end: StreamEnd) -> Error {
        let error = match end {
            StreamEnd::Closed(frame) => {
                Error::new(ErrorKind::Closed, self.phase(), Cause::Closed(frame))
            }
            StreamEnd::Disconnected(_) if self.unfinished => {
                Error::protocol(self.phase(), ProtocolError::Unfinished)
            }
            StreamEnd::Disconnected(source) => {
                let cause = source.map_or(Cause::None, Cause::other);
                Error::new(ErrorKind::Truncated, self.phase(), cause)
            }
            StreamEnd::Protocol(cause) => Error::protocol(self.phase(), cause),
            StreamEnd::TooLarge => Error::new(ErrorKind::TooLarge, self.phase(), Cause::None),
            StreamEnd::TimedOut => Error::new(ErrorKind::Timeout, self.phase(), Cause::None),
            StreamEnd::FellBehind => Error::new(ErrorKind::FellBehind, self.phase(), Cause::None),
            StreamEnd::PongTimeout => {
                Error::new(ErrorKind::Timeout, self.phase(), Cause::other(NoPong))
            }
        };
        // With such a close code the server refuses the request: nothing ran.
        let refused = error.close_frame().is_some_and(|frame| is_refusal_close_code(frame.code));
        let delivery = match self.delivery() {
            Delivery::Unknown if refused => Delivery::Refused,
            delivery => delivery,
        };
        self.final_error(error.with_delivery(delivery))
    }

    /// Returns `true` once an event of the response has arrived.
    pub(crate) fn has_begun(&self) -> bool {
        self.state != ReaderState::Waiting
    }

    /// Returns `true` if the response can be resumed after its connection was cut.
    pub(crate) fn is_resumable(&self) -> bool {
        self.response_id().is_some() && (self.last.is_some() || self.unfinished)
    }

    /// Returns the last sequence number received. A cut response resumes after this number.
    pub(crate) fn last_event(&self) -> Option<u64> {
        self.last
    }

    /// Returns `true` if events arrived since the request was sent, or since the last cut.
    pub(crate) fn has_progressed(&self) -> bool {
        self.last > self.resumed_after
    }

    /// Returns `store` as stated by the server; `None` if the server did not state it. The server's
    /// statement overrides the `store` of the request.
    pub(crate) fn is_stored(&self) -> Option<bool> {
        self.stored
    }

    /// Prepares to resume the response after a cut, from the state that `delivery` describes.
    pub(crate) fn resume(&mut self, delivery: Delivery) {
        self.resumed_after = self.last;
        self.unfinished = false;
        self.state = match delivery {
            Delivery::OutputStarted => ReaderState::Output,
            _ => ReaderState::Accepted,
        };
    }

    /// Returns the delivery of the request, judged by the events received.
    pub(crate) fn delivery(&self) -> Delivery {
        match self.state {
            ReaderState::Waiting => Delivery::Unknown,
            ReaderState::Accepted => Delivery::Accepted,
            ReaderState::Output | ReaderState::Ended => Delivery::OutputStarted,
        }
    }

    /// Returns the response as received so far.
    pub(crate) fn response(&self) -> Response {
        self.response.snapshot()
    }

    pub(crate) fn response_id(&self) -> Option<&str> {
        self.response.id()
    }

    /// Returns the response id in the last `created` event.
    pub(crate) fn created_id(&self) -> Option<&str> {
        self.created.as_deref()
    }

    /// Returns the id in the last lifecycle or terminal event.
    pub(crate) fn last_id(&self) -> Option<&str> {
        self.response.facts().id.as_deref()
    }

    /// Records an anomaly that was detected outside of the events.
    pub(crate) fn note(&mut self, anomaly: Anomaly) {
        self.response.note(anomaly);
    }

    pub(crate) fn anomalies(&self) -> &[Anomaly] {
        self.response.anomalies()
    }

    /// Returns the changes that the server made to the input, by the last lifecycle or terminal
    /// event.
    pub(crate) fn input_changes(&self) -> &InputChanges {
        &self.response.facts().changes
    }

    /// Returns `true` if `frame` is the late terminal event of the previous response.
    ///
    /// This needs the `created` event of the present response, because some servers give all
    /// responses the same id.
    fn is_late(&self, frame: &Frame) -> bool {
        frame.tag.role == Role::Terminal
            && self.before.is_some()
            && self.created.is_some()
            && self.before != self.created
            && frame.response_id() == self.before
    }

    fn event(&mut self, frame: Frame) -> ReadStep {
        if self.is_late(&frame) {
            return ReadStep::None;
        }
        let (Tag { kind, role, bare }, size) = (frame.tag, frame.payload.len());
        let by_server = role.keeps_connection();
        let unreadable = |source| {
            StreamEnd::Protocol(ProtocolError::Event { event: kind.as_str().to_owned(), source })
        };
        let mut event = match decode(frame) {
            Ok(event) => event,
            Err(source) => return self.fail(unreadable(source), by_server),
        };
        if event.kind() != kind {
            return self.handle(frame_of_last_type(event.into_source()));
        }
        let has_response = matches!(role, Role::Lifecycle | Role::Terminal);
        let facts = has_response.then(|| event.response().map(Facts::of).unwrap_or_default());
        if let Some(facts) = &facts {
            event = with_status(event, facts);
        }
        let number = event.sequence_number();
        if number.is_some() && number <= self.resumed_after {
            return ReadStep::None;
        }
        self.last = self.last.max(number);
        self.unfinished = bare && role == Role::Lifecycle && self.state == ReaderState::Waiting;
        self.state = match (self.state, role) {
            // A complete response object contains output, even if the response failed. The request
            // must not run again.
            (_, Role::Terminal) if bare => ReaderState::Output,
            (ReaderState::Waiting, Role::Lifecycle) => ReaderState::Accepted,
            (ReaderState::Waiting | ReaderState::Accepted, Role::Output) => ReaderState::Output,
            (state, _) => state,
        };
        let pushed = match facts {
            Some(facts) => self.response.push_response(&event, facts),
            None => self.response.push(&event),
        };
        if let Err(source) = pushed {
            return self.fail(unreadable(source), by_server);
        }
        match role {
            // A bare response object is not yielded: the response is resumed, and then yields its
            // events from the first one on.
            Role::Lifecycle if bare => {
                self.note_response(&event);
                ReadStep::None
            }
            Role::Lifecycle => {
                self.note_response(&event);
                self.pass(event, size)
            }
            Role::Terminal => {
                self.note_response(&event);
                self.end_with(event, size)
            }
            _ => {
                if let (Role::Output, ResponseEvent::Unknown(unknown)) = (role, &event) {
                    let event = unknown.event_type.chars().take(64).collect();
                    self.response.note(Anomaly::UnknownEvent { event });
                }
                self.pass(event, size)
            }
        }
    }

    /// Records the facts about the response in a lifecycle or terminal event.
    fn note_response(&mut self, event: &ResponseEvent) {
        let facts = self.response.facts();
        self.stored = facts.stored.or(self.stored);
        if matches!(event, ResponseEvent::Created(_)) && facts.id.is_some() {
            self.created.clone_from(&facts.id);
        }
    }

    /// Ends the turn with a terminal event.
    fn end_with(&mut self, event: ResponseEvent, size: usize) -> ReadStep {
        self.ended_by_terminal = true;
        let last = match event {
            ResponseEvent::Completed(_) | ResponseEvent::Incomplete(_) => {
                self.state = ReaderState::Ended;
                ReadStep::Finished(event)
            }
            ResponseEvent::Failed(ref failed) => {
                let error = normalize::failed_response(&failed.response);
                ReadStep::Failed(self.api_failure(error, Some(event)))
            }
            ResponseEvent::Cancelled(ref cancelled) => {
                let error = cancelled.response.as_ref().map(normalize::failed_response);
                ReadStep::Failed(self.api_failure(error.unwrap_or_default(), Some(event)))
            }
            event => return self.pass(event, size),
        };
        self.finish(last, true)
    }

    /// Ends the turn with an error of the server, which `event` reports.
    fn api_failure(&mut self, error: ApiError, event: Option<ResponseEvent>) -> Error {
        // After the response has begun, an error counts as a refusal only if the request may
        // succeed later, or as a full request. Other errors may have cost tokens.
        let may_pass = || error.class().is_transient() || error.is_lost_parent();
        let delivery = match self.delivery() {
            Delivery::Unknown if error.is_refusal() => Delivery::Refused,
            Delivery::Accepted if error.is_refusal() && may_pass() => Delivery::Refused,
            delivery => delivery,
        };
        let error = Error::api(self.phase(), error).with_delivery(delivery).with_event(event);
        self.final_error(error)
    }

    fn final_error(&mut self, error: Error) -> Error {
        self.state = ReaderState::Ended;
        if self.response.is_empty() { error } else { error.with_response(self.response()) }
    }

    fn phase(&self) -> Phase {
        if self.has_begun() { Phase::Events } else { Phase::FirstEvent }
    }
}

/// Decodes an event.
fn decode(frame: Frame) -> Result<ResponseEvent, DecodeError> {
    let Frame { tag, payload, name } = frame;
    match tag.kind {
        // The kind of a bare response object follows from its status.
        kind if tag.bare => ResponseEvent::from_response(kind, payload),
        EventKind::Unknown => Unknown::decode(&name, payload).map(ResponseEvent::Unknown),
        kind => ResponseEvent::decode(kind, payload),
    }
}

/// Applies the status of the response of a terminal event, which overrides the name of the event
/// only if it states that the response did not complete.
fn with_status(event: ResponseEvent, facts: &Facts) -> ResponseEvent {
    let kind = event.kind();
    match kind {
        EventKind::Completed | EventKind::Done | EventKind::Incomplete => {
            event.with_kind(kind.with_status(facts.status.as_deref()))
        }
        _ => event,
    }
}

/// Returns the event of an error frame. An error may lack a type, and members that a known type
/// has. `None` if the payload is not an object.
fn error_event(frame: Frame) -> Option<ResponseEvent> {
    // The error may be kept for long, and must not keep the read buffer.
    let Frame { tag, payload, name } = frame.compacted();
    if let (EventKind::ErrorEvent, Ok(event)) =
        (tag.kind, ResponseEvent::decode(tag.kind, payload.clone()))
    {
        return Some(event);
    }
    let name = if name.is_empty() { EventKind::ErrorEvent.as_str() } else { &name };
    Unknown::decode(name, payload).ok().map(ResponseEvent::Unknown)
}

/// Returns `true` for the close codes of a server that refuses all requests now, or this request.
fn is_refusal_close_code(code: u16) -> bool {
    matches!(code, 1001 | 1009 | 1012 | 1013)
}

#[cfg(test)]
mod tests;
