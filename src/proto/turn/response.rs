//! The course of one response.
//!
//! ```text
//!              Lifecycle              Output
//!   Waiting ─────────────▶ Accepted ──────────▶ Output
//!      │ └────────────────────Output─────────────▲ │
//!      │                      │                    │
//!      └── Terminal, Error, Garbage, or the end ───┴──▶ Ended
//! ```
//!
//! Metadata and nothings change no state. `Ended` takes nothing more: asking on is a defect of the
//! caller's, and is answered like the end of the stream.

use crate::{
    api::ApiError,
    error::{Cause, CloseFrame, Error, NoPong, ProtocolError},
    event::{EventKind, ResponseEvent, Unknown},
    json::DecodeError,
    kind::{Delivery, ErrorKind, Phase},
    proto::{
        classify::{Frame, Role, Tag},
        idle, normalize,
        surrogates::HalfJoiner,
    },
    response::{Accumulator, Anomaly, Response},
};

/// Reads the frames of one response, from its first event to its end.
#[derive(Clone, Debug)]
pub(crate) struct ResponseReader {
    state: State,
    response: Accumulator,
    /// The highest number of an event so far.
    last: Option<u64>,
    /// The id that the last `created` gave the response.
    created: Option<String>,
    /// The id of the response before, whose terminal may come late.
    before: Option<String>,
    /// Events up to this one came before a cut: they may come again.
    resumed_after: Option<u64>,
    /// An unfinished response came instead of its events.
    unfinished: bool,
    /// Events that are not handed out yet.
    held: HalfJoiner,
    /// The step after them that ends the turn.
    last_step: Option<Box<Step>>,
    ended_by_server: bool,
    /// The server's word on whether it keeps the response; `None` until it says so.
    stored: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Accepted,
    Output,
    Ended,
}

/// What a frame came to.
#[derive(Debug)]
pub(crate) enum Step {
    /// An event to hand out.
    Event(ResponseEvent),
    /// The event that ends the response well: `Completed` or `Incomplete`.
    Done(ResponseEvent),
    /// Nothing to hand out.
    Nothing,
    /// The turn failed.
    Failed(Error),
}

/// A copied error lacks its source, which cannot be copied.
impl Clone for Step {
    fn clone(&self) -> Self {
        match self {
            Self::Event(event) => Self::Event(event.clone()),
            Self::Done(event) => Self::Done(event.clone()),
            Self::Nothing => Self::Nothing,
            Self::Failed(error) => Self::Failed(error.clone_without_source()),
        }
    }
}

/// How a stream of frames can end by itself.
#[derive(Debug)]
pub(crate) enum End {
    /// A WebSocket was closed, with what its close frame said.
    Closed(Option<CloseFrame>),
    /// The body ended, or the connection was lost.
    Lost(Option<Box<dyn std::error::Error + Send + Sync>>),
    /// The peer broke the protocol.
    Protocol(ProtocolError),
    /// An event was too large.
    TooLarge,
    /// A time ran out.
    TimedOut,
    /// The peer of a WebSocket answered no ping.
    Silent,
}

impl ResponseReader {
    pub(crate) fn new() -> Self {
        Self::after(None)
    }

    /// Returns a turn that follows the response with the id `before`.
    pub(crate) fn after(before: Option<&str>) -> Self {
        Self {
            state: State::Waiting,
            response: Accumulator::default(),
            last: None,
            created: None,
            before: before.map(str::to_owned),
            resumed_after: None,
            unfinished: false,
            held: HalfJoiner::default(),
            last_step: None,
            ended_by_server: false,
            stored: None,
        }
    }

    /// Takes the next frame. [`next_step`](Self::next_step) returns what comes after the step.
    ///
    /// An event is large, and most are passed on as they come: so each of the functions on its way
    /// returns the step of the next one, and moves it no further.
    pub(crate) fn handle(&mut self, frame: Frame) -> Step {
        if self.state == State::Ended {
            return Step::Nothing;
        }
        let by_server = frame.tag.role.leaves_connection();
        match frame.tag.role {
            Role::Nothing => Step::Nothing,
            Role::Garbage => self.fail(End::Protocol(ProtocolError::NotAnEvent), by_server),
            Role::Error => {
                let error = self.api_failure(normalize::error_frame(&frame));
                self.finish(Step::Failed(error), by_server)
            }
            Role::Metadata | Role::Lifecycle | Role::Output | Role::Terminal => self.event(frame),
        }
    }

    /// Returns the next step of the frames before, `None` if another frame is needed.
    pub(crate) fn next_step(&mut self) -> Option<Step> {
        match self.held.pop() {
            Some(event) => Some(Step::Event(event)),
            None if self.held.is_empty() => self.last_step.take().map(|step| *step),
            None => None,
        }
    }

    /// Ends the turn like [`end`](Self::end), after the events that were held back: the error is
    /// the last [`next_step`](Self::next_step).
    pub(crate) fn close(&mut self, end: End) {
        let error = self.end(end);
        self.held.give_up();
        self.last_step = Some(Box::new(Step::Failed(error)));
    }

    /// Returns `true` if the server ended the turn by its own word, so that the connection is
    /// where it should be.
    pub(crate) fn ended_by_server(&self) -> bool {
        self.ended_by_server
    }

    /// Hands `event` out, unless it has to wait. `size` is that of its frame.
    fn pass(&mut self, mut event: ResponseEvent, size: usize) -> Step {
        if self.held.passes(&mut event) {
            return Step::Event(event);
        }
        self.held.push(event, size).map_or(Step::Nothing, Step::Event)
    }

    /// Ends the turn with `last`, after the events that wait.
    fn finish(&mut self, last: Step, by_server: bool) -> Step {
        self.ended_by_server = by_server;
        self.held.give_up();
        if self.held.is_empty() {
            return last;
        }
        self.last_step = Some(Box::new(last));
        self.next_step().unwrap_or(Step::Nothing)
    }

    fn fail(&mut self, end: End, by_server: bool) -> Step {
        let error = self.end(end);
        self.finish(Step::Failed(error), by_server)
    }

    /// The turn ends without a terminal event; the error keeps what had come.
    pub(crate) fn end(&mut self, end: End) -> Error {
        let error = match end {
            End::Closed(frame) => Error::new(ErrorKind::Closed, self.phase(), Cause::Closed(frame)),
            End::Lost(_) if self.unfinished => {
                Error::protocol(self.phase(), ProtocolError::Unfinished)
            }
            End::Lost(source) => {
                let cause = source.map_or(Cause::None, Cause::Other);
                Error::new(ErrorKind::Truncated, self.phase(), cause)
            }
            End::Protocol(cause) => Error::protocol(self.phase(), cause),
            End::TooLarge => Error::new(ErrorKind::TooLarge, self.phase(), Cause::None),
            End::TimedOut => Error::new(ErrorKind::Timeout, self.phase(), Cause::None),
            End::Silent => {
                Error::new(ErrorKind::Timeout, self.phase(), Cause::Other(Box::new(NoPong)))
            }
        };
        let refused = error.close_frame().is_some_and(|frame| turned_away(frame.code));
        let delivery = match self.delivery() {
            Delivery::Unknown if refused => Delivery::Refused,
            delivery => delivery,
        };
        self.conclude(error.with_delivery(delivery))
    }

    /// Whether any event of the response came.
    pub(crate) fn has_begun(&self) -> bool {
        self.state != State::Waiting
    }

    /// Returns `true` if the response can be resumed after its connection was cut.
    pub(crate) fn is_resumable(&self) -> bool {
        self.response_id().is_some() && (self.last.is_some() || self.unfinished)
    }

    /// Last sequence number received; a cut response resumes after it.
    pub(crate) fn last_event(&self) -> Option<u64> {
        self.last
    }

    /// Returns `true` if events came since the request was sent, or since the last cut.
    pub(crate) fn has_progressed(&self) -> bool {
        self.last > self.resumed_after
    }

    /// Returns whether the server keeps the response beyond its connection, if the server said so.
    /// Then the `store` of the request does not count.
    pub(crate) fn is_stored(&self) -> Option<bool> {
        self.stored
    }

    /// Goes on after a cut, up to which the response had got so far.
    pub(crate) fn resume(&mut self, delivery: Delivery) {
        self.resumed_after = self.last;
        self.unfinished = false;
        self.state = match delivery {
            Delivery::OutputStarted => State::Output,
            _ => State::Accepted,
        };
    }

    /// How far the request got, by what came back.
    pub(crate) fn delivery(&self) -> Delivery {
        match self.state {
            State::Waiting => Delivery::Unknown,
            State::Accepted => Delivery::Accepted,
            State::Output | State::Ended => Delivery::OutputStarted,
        }
    }

    /// The response as far as it came.
    pub(crate) fn response(&self) -> Response {
        self.response.snapshot()
    }

    pub(crate) fn response_id(&self) -> Option<&str> {
        self.response.id()
    }

    /// The id that the last `created` gave the response.
    pub(crate) fn created_id(&self) -> Option<&str> {
        self.created.as_deref()
    }

    /// Returns the id in the last lifecycle or terminal event.
    pub(crate) fn last_id(&self) -> Option<&str> {
        self.response.facts().id.as_deref()
    }

    /// Notes an oddity that was seen outside of the events.
    pub(crate) fn note(&mut self, anomaly: Anomaly) {
        self.response.note(anomaly);
    }

    pub(crate) fn anomalies(&self) -> &[Anomaly] {
        self.response.anomalies()
    }

    /// Returns `true` if `frame` ends the response before. Without a `created` of this response,
    /// its id may be that of the one before: some servers give all responses one id.
    fn is_late(&self, frame: &Frame) -> bool {
        frame.tag.role == Role::Terminal
            && self.before.is_some()
            && self.created.is_some()
            && self.before != self.created
            && idle::response_id(frame) == self.before
    }

    fn event(&mut self, frame: Frame) -> Step {
        if self.is_late(&frame) {
            return Step::Nothing;
        }
        let (Tag { kind, role, bare }, size) = (frame.tag, frame.payload.len());
        let by_server = role.leaves_connection();
        let unreadable = |source| {
            End::Protocol(ProtocolError::Event { event: kind.as_str().to_owned(), source })
        };
        let event = match read(frame) {
            Ok(event) => event,
            Err(source) => return self.fail(unreadable(source), by_server),
        };
        let number = event.sequence_number();
        if number.is_some() && number <= self.resumed_after {
            return Step::Nothing;
        }
        self.last = self.last.max(number);
        self.unfinished = bare && role == Role::Lifecycle && self.state == State::Waiting;
        self.state = match (self.state, role) {
            // A whole response carries its output, even if it failed: it must not run again.
            (_, Role::Terminal) if bare => State::Output,
            (State::Waiting, Role::Lifecycle) => State::Accepted,
            (State::Waiting | State::Accepted, Role::Output) => State::Output,
            (state, _) => state,
        };
        if let Err(source) = self.response.push(&event) {
            return self.fail(unreadable(source), by_server);
        }
        match role {
            // If the response is resumed, the caller gets its events from the first one on.
            Role::Lifecycle if bare => {
                self.note_response(&event);
                Step::Nothing
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

    /// Notes what a lifecycle or terminal event says of its response.
    fn note_response(&mut self, event: &ResponseEvent) {
        let facts = self.response.facts();
        self.stored = facts.stored.or(self.stored);
        if matches!(event, ResponseEvent::Created(_)) && facts.id.is_some() {
            self.created.clone_from(&facts.id);
        }
    }

    /// Ends the turn with a terminal event.
    fn end_with(&mut self, event: ResponseEvent, size: usize) -> Step {
        let last = match event {
            ResponseEvent::Completed(_) | ResponseEvent::Incomplete(_) => {
                self.state = State::Ended;
                Step::Done(event)
            }
            ResponseEvent::Failed(failed) => {
                Step::Failed(self.api_failure(normalize::failed_response(&failed.response)))
            }
            ResponseEvent::Cancelled(cancelled) => {
                let error = cancelled.response.as_ref().map(normalize::failed_response);
                Step::Failed(self.api_failure(error.unwrap_or_default()))
            }
            event => return self.pass(event, size),
        };
        self.finish(last, true)
    }

    /// The server says that the turn failed.
    fn api_failure(&mut self, error: ApiError) -> Error {
        // A response that began was refused only if the same request may go well later, or in full.
        let may_pass = || error.class().is_transient() || error.is_lost_parent();
        let delivery = match self.delivery() {
            Delivery::Unknown if error.is_refusal() => Delivery::Refused,
            Delivery::Accepted if error.is_refusal() && may_pass() => Delivery::Refused,
            delivery => delivery,
        };
        let error = Error::api(self.phase(), error).with_delivery(delivery);
        self.conclude(error)
    }

    fn conclude(&mut self, error: Error) -> Error {
        self.state = State::Ended;
        if self.response.is_empty() { error } else { error.with_partial(self.response()) }
    }

    fn phase(&self) -> Phase {
        if self.has_begun() { Phase::Events } else { Phase::FirstEvent }
    }
}

/// Reads what the turn, and whoever follows it, needs of an event. The status of a terminal event
/// overrides its name only where it says that the response did not complete.
fn read(frame: Frame) -> Result<ResponseEvent, DecodeError> {
    let Frame { tag, payload, name } = frame;
    match tag.kind {
        // Its kind is that of its status.
        kind if tag.bare => ResponseEvent::from_response(kind, payload),
        EventKind::Unknown => Unknown::decode(&name, payload).map(ResponseEvent::Unknown),
        kind @ (EventKind::Completed | EventKind::Done | EventKind::Incomplete) => {
            let event = ResponseEvent::decode(kind, payload.clone())?;
            let kind = kind_by_status(&event);
            if kind == event.kind() { Ok(event) } else { ResponseEvent::decode(kind, payload) }
        }
        kind => ResponseEvent::decode(kind, payload),
    }
}

/// Returns the kind that the status of the response makes of a terminal event.
fn kind_by_status(event: &ResponseEvent) -> EventKind {
    let (named, response) = match event {
        ResponseEvent::Completed(e) => (EventKind::Completed, &e.response),
        ResponseEvent::Done(e) => (EventKind::Completed, &e.response),
        ResponseEvent::Incomplete(e) => (EventKind::Incomplete, &e.response),
        _ => return event.kind(),
    };
    let status: Option<String> = response.member("status").ok().flatten();
    match status.as_deref() {
        Some("failed" | "cancelled") => EventKind::Failed,
        Some("incomplete") => EventKind::Incomplete,
        _ => named,
    }
}

/// Close codes by which a server says that it takes nothing now, or not this.
fn turned_away(code: u16) -> bool {
    matches!(code, 1001 | 1009 | 1012 | 1013)
}

#[cfg(test)]
mod tests;
