//! Lanes of a WebSocket: decides to whom a frame belongs, and what ends an exchange.
//!
//! An exchange is a request and its response. A lane has one exchange at a time, and a WebSocket has
//! as many lanes as the server accepts. The request of a lane names the lane in `stream_id`, and so
//! do the events of its response. The default lane has no name: neither its requests nor its events
//! have a `stream_id`.
//!
//! ```text
//!          begin               the consumer has left
//!   Idle ─────────▶ Running ───────────────────────────▶ Detached
//!    ▲                 │                                    │
//!    └─────────────────┴────────────────────────────────────┘
//!           a frame that ends the response
//! ```
//!
//! One request is written at a time, over all lanes.
//!
//! A frame without a name belongs to the default lane if that one has an exchange. Otherwise it is:
//!
//! | frame | exchanges that it concerns |
//! |---|---|
//! | the error that ends a socket of its age | all of them |
//! | an error about `stream_id` | those of named lanes that have no answer yet |
//! | the error that no such response runs, after an interrupt | none if the response has ended; that of the interrupt if only one is open |
//! | another error | the only one; the only one without an answer; or all of them |
//! | a frame that is no JSON | all of them, because it may have been of any |
//! | another frame, while one exchange runs, on a socket without names so far | that one: something between has removed the name; none if the last request of the default lane failed |
//! | another frame | none, and the socket accepts no more requests |
//!
//! An answer without a name to a message about a response belongs to the lane that has sent a message
//! about the response, or has the steer, that the answer names. If the answer names neither, it
//! belongs to the only lane with such a message, if there is one. An error that refuses the message
//! is such an answer.
//!
//! A frame with a name that no request has used belongs to nobody, and is dropped. So is the answer to
//! an interrupt that comes after the end of its response.
//!
//! The connection's task moves the frames and carries out the decisions. It makes none itself.

use std::time::Instant;

pub(crate) use self::{
    id::{ConnectionId, LaneId, SeatId},
    messages::{Message, MessageKind},
    table::LaneTable,
};
use self::{
    interrupts::{OpenInterrupts, answers_interrupt, is_not_found},
    messages::{Answers, OpenMessages},
    strays::{Filtered, StrayFilter},
};
use crate::{
    api::ErrorClass,
    proto::{
        normalize,
        wire::{Frame, Role},
    },
};

mod id;
mod interrupts;
pub(crate) mod messages;
mod strays;
mod table;

/// The lanes of a WebSocket, over the life of the socket.
#[derive(Debug)]
pub(crate) struct Lanes {
    /// The lanes that have had a request, by their number.
    lanes: Vec<Lane>,
    /// Lane whose request is being written. The server may respond before it has received all of
    /// it.
    writing: Option<LaneId>,
    /// `true` once a frame has named its lane. From then on, a frame without a name is none of a
    /// named lane's.
    has_names: bool,
    held_limit: usize,
}

/// A lane of a WebSocket.
#[derive(Debug)]
struct Lane {
    course: Course,
    strays: StrayFilter,
    messages: OpenMessages,
    interrupts: OpenInterrupts,
    /// `true` if the origin is known to begin responses with output.
    unannounced: bool,
    /// `true` if the last exchange ended otherwise than by the end of its response, so that events
    /// of the response may follow.
    has_tail: bool,
}

/// Course of the exchange of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    /// No request is in progress.
    Idle,
    /// The response has not ended. `answered` if a part of it has arrived.
    Running { answered: bool },
    /// The response has not ended, and nobody reads it. The lane has no other request until then.
    Detached {
        /// Bytes that were dropped.
        dropped: usize,
    },
}

/// Destination of a frame.
#[derive(Debug)]
pub(crate) enum Route {
    /// Deliver the held frames, then `frame`, to the consumer of `lane`. `late` if some held frames
    /// belonged to an older response and were dropped. `end` if `frame` ends the exchange.
    To { lane: LaneId, late: bool, held: Vec<Frame>, frame: Frame, end: Option<ExchangeEnd> },
    /// Deliver `frame`, which is an error or no JSON, to the consumers of `lanes`, whose exchanges it
    /// ends.
    ToAll { lanes: Vec<LaneId>, frame: Frame, end: ExchangeEnd },
    /// Deliver no frame. The response of `lane`, which nobody reads, has ended. `retires` if it ended
    /// with an error after which the socket accepts no more requests.
    Freed { lane: LaneId, retires: bool },
    /// Deliver no frame now.
    Ignore,
    /// Deliver no frame, and send no more requests: the frame belongs to no known response, or a
    /// response that nobody reads is too long.
    Retire,
    /// End the exchange of `lane`, and close the connection. The frames that are held back exceed
    /// the limit.
    Overflow(LaneId),
}

/// Effect of the end of an exchange on its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExchangeEnd {
    /// The lane accepts another request.
    Free,
    /// The server has ended the exchange before it received all of the request. The rest would have
    /// to be sent before another request.
    Unsent,
    /// The connection must be closed, because what follows cannot be trusted.
    Broken,
}

/// Lane that a frame belongs to, as far as the frame and the courses show.
enum Owner {
    One(LaneId),
    All(Vec<LaneId>),
    Nobody,
    Unknown,
}

impl Lane {
    fn new(held_limit: usize) -> Self {
        Self {
            course: Course::Idle,
            strays: StrayFilter::new(held_limit),
            messages: OpenMessages::default(),
            interrupts: OpenInterrupts::default(),
            unannounced: false,
            has_tail: false,
        }
    }
}

impl Lanes {
    /// Returns the lanes of a new socket. A lane holds back, and drops of a response that nobody
    /// reads, about `held_limit` bytes.
    pub(crate) fn new(held_limit: usize) -> Self {
        Self { lanes: Vec::new(), writing: None, has_names: false, held_limit }
    }

    /// Begins an exchange, whose request is written from now on; `unannounced` if the origin is
    /// known to begin responses with output.
    pub(crate) fn begin(&mut self, lane: LaneId, unannounced: bool) {
        let limit = self.held_limit;
        while self.lanes.len() <= lane.index() {
            self.lanes.push(Lane::new(limit));
        }
        if let Some(begun) = self.lanes.get_mut(lane.index()) {
            begun.course = Course::Running { answered: false };
            begun.strays.begin(unannounced);
            (begun.messages, begun.unannounced) = (OpenMessages::default(), unannounced);
        }
        self.writing = Some(lane);
    }

    /// Returns `true` if a message about the running response of `lane` may be sent now. If the
    /// response of the message has ended, another one may be running.
    pub(crate) fn send(&mut self, lane: LaneId, message: &Message) -> bool {
        let Some(state) = self.lanes.get_mut(lane.index()) else { return false };
        let interrupts = message.kind == MessageKind::Interrupt;
        // Between two responses, the server still answers a steer.
        let runs = matches!(state.course, Course::Running { .. })
            && state.strays.may_be_current(&message.target)
            && !(interrupts && state.messages.are_between());
        if runs && interrupts {
            state.interrupts.sent();
        } else if runs {
            state.messages.sent(message.kind, &message.target);
        }
        runs
    }

    /// Returns the lane whose request is being written.
    pub(crate) fn writing(&self) -> Option<LaneId> {
        self.writing
    }

    /// Records that no request is being written any more.
    pub(crate) fn written(&mut self) {
        self.writing = None;
    }

    /// Decides about a frame that arrived at `now`.
    pub(crate) fn route(&mut self, frame: Frame, now: Instant) -> Route {
        match self.owner(&frame, now) {
            Owner::One(lane) => self.route_to(lane, frame, now),
            Owner::All(lanes) => {
                let writing = self.writing.is_some_and(|lane| lanes.contains(&lane));
                for lane in &lanes {
                    self.finish(*lane, &frame, now);
                }
                let end = match frame.tag.role {
                    Role::Invalid => ExchangeEnd::Broken,
                    _ if writing => ExchangeEnd::Unsent,
                    _ => ExchangeEnd::Free,
                };
                Route::ToAll { lanes, frame, end }
            }
            Owner::Nobody => Route::Ignore,
            Owner::Unknown if matches!(frame.tag.role, Role::Metadata | Role::Ignored) => {
                Route::Ignore
            }
            Owner::Unknown => Route::Retire,
        }
    }

    /// Returns the lane that `frame` belongs to.
    fn owner(&mut self, frame: &Frame, now: Instant) -> Owner {
        // A socket without named lanes needs no search for names.
        let name = (self.lanes.len() > 1).then(|| frame.stream_id()).flatten();
        if self.answers_late_interrupt(frame, name.as_deref(), now) {
            return Owner::Nobody;
        }
        if let Some(name) = name {
            let lane = LaneId::of_name(&name).filter(|lane| self.is_active(*lane));
            self.has_names |= lane.is_some();
            return lane.map_or(Owner::Nobody, Owner::One);
        }
        if let Some(lane) = self.awaiting(frame) {
            return Owner::One(lane);
        }
        let role = frame.tag.role;
        if role != Role::Error && self.is_active(LaneId::DEFAULT) {
            return Owner::One(LaneId::DEFAULT);
        }
        if matches!(role, Role::Lifecycle | Role::Output | Role::Terminal)
            && let Some(default) = self.lanes.first_mut()
            && default.course == Course::Idle
            && default.strays.discards_idle(frame, now)
        {
            return Owner::Nobody;
        }
        match self.active().as_slice() {
            [] => Owner::Unknown,
            [only] if !self.has_names && !self.default_has_tail() => Owner::One(*only),
            active if role == Role::Invalid => Owner::All(active.to_vec()),
            [only] if role == Role::Error => Owner::One(*only),
            active if role == Role::Error => self.concerned(frame, active),
            _ => Owner::Unknown,
        }
    }

    /// Returns the lane with a message that `frame`, which has no name, answers. The answer is one to
    /// the default lane, or the server does not know the response of the message.
    fn awaiting(&self, frame: &Frame) -> Option<LaneId> {
        if !matches!(frame.tag.role, Role::Metadata | Role::Error) {
            return None;
        }
        let relation = |lane: LaneId| {
            let state = self.lanes.get(lane.index());
            state.map_or(Answers::No, |state| state.messages.are_answered_by(frame))
        };
        let related: Vec<_> =
            self.active().into_iter().map(|lane| (lane, relation(lane))).collect();
        let only = |wanted: Answers| {
            let mut lanes = related.iter().filter(|it| it.1 == wanted).map(|it| it.0);
            (lanes.next(), lanes.next())
        };
        match (only(Answers::Own), only(Answers::Perhaps)) {
            ((Some(own), None), _) | ((None, _), (Some(own), None)) => Some(own),
            _ => None,
        }
    }

    /// Returns the exchanges that an error without a name concerns, of several in progress.
    fn concerned(&self, frame: &Frame, active: &[LaneId]) -> Owner {
        let error = normalize::error_frame(frame);
        if error.class() == ErrorClass::SocketAge {
            return Owner::All(active.to_vec());
        }
        let waiting =
            |lane: &LaneId| matches!(self.course(*lane), Some(Course::Running { answered: false }));
        if error.is_lane_refused() {
            let named = active.iter().copied().filter(|lane| lane.name().is_some());
            let waiting: Vec<LaneId> = named.filter(waiting).collect();
            return if waiting.is_empty() { Owner::Unknown } else { Owner::All(waiting) };
        }
        let mut interrupted = active.iter().copied().filter(|lane| {
            self.lanes.get(lane.index()).is_some_and(|lane| lane.interrupts.are_open())
        });
        if let (Some(only), None) = (interrupted.next(), interrupted.next())
            && is_not_found(frame)
        {
            return Owner::One(only);
        }
        if self.is_active(LaneId::DEFAULT) {
            return Owner::One(LaneId::DEFAULT);
        }
        let mut waiting = active.iter().copied().filter(waiting);
        match (waiting.next(), waiting.next()) {
            (Some(only), None) => Owner::One(only),
            _ => Owner::All(active.to_vec()),
        }
    }

    /// Returns `true` if a frame of the lane `name`, or without a name, answers an interrupt whose
    /// response has ended.
    fn answers_late_interrupt(&mut self, frame: &Frame, name: Option<&str>, now: Instant) -> bool {
        let may_answer = matches!(frame.tag.role, Role::Error | Role::Metadata);
        if !may_answer || !answers_interrupt(frame) {
            return false;
        }
        let named = name.map(LaneId::of_name);
        let mut lanes = self.lanes.iter_mut().enumerate();
        let late = lanes.find(|(index, lane)| {
            let is_named = named.is_none_or(|name| name.is_some_and(|name| name.index() == *index));
            is_named && lane.interrupts.are_late(now)
        });
        late.map(|(_, lane)| lane.interrupts.answer_late()).is_some()
    }

    /// Decides about a frame of the exchange of `lane`.
    fn route_to(&mut self, lane: LaneId, mut frame: Frame, now: Instant) -> Route {
        let is_writing = self.writing == Some(lane);
        let limit = self.held_limit;
        let Some(state) = self.lanes.get_mut(lane.index()) else { return Route::Ignore };
        if state.messages.refused_by(&frame).is_some() {
            // The error answers a message, and does not end the response.
            frame.tag.role = Role::Metadata;
        }
        let size = frame.charge();
        let (late, held, frame) = match state.strays.filter(frame, now) {
            Filtered::Deliver { late, held, frame } => (late, held, frame),
            Filtered::Withhold => return Route::Ignore,
            Filtered::Overflow => return Route::Overflow(lane),
        };
        state.interrupts.observe(frame.tag.kind);
        let is_over = state.messages.observe(&frame);
        let ended = end_of(frame.tag.role, is_writing);
        let end = match ended {
            // The lane belongs to the response that follows after a steer, and to the answers to
            // messages.
            Some(ExchangeEnd::Free) if frame.tag.role == Role::Terminal && !is_over => None,
            None if is_over => Some(ExchangeEnd::Free),
            end => end,
        };
        if ended.is_some() {
            state.has_tail = frame.tag.role != Role::Terminal;
            state.strays.finish(&frame, now);
            state.interrupts.finish(&frame, now);
        }
        match &mut state.course {
            Course::Detached { .. } if end.is_some() => {
                state.course = Course::Idle;
                return Route::Freed {
                    lane,
                    retires: frame.tag.role == Role::Error && retires(&frame),
                };
            }
            Course::Detached { dropped } => {
                *dropped = dropped.saturating_add(size);
                return if *dropped > limit { Route::Retire } else { Route::Ignore };
            }
            Course::Running { answered } => *answered |= frame.tag.role.is_answer(),
            Course::Idle => return Route::Ignore,
        }
        if end.is_some() {
            state.course = Course::Idle;
        } else if ended.is_some() {
            state.strays.begin(state.unannounced);
        }
        Route::To { lane, late, held, frame, end }
    }

    /// Ends the exchange of `lane` with `frame`.
    fn finish(&mut self, lane: LaneId, frame: &Frame, now: Instant) {
        if let Some(state) = self.lanes.get_mut(lane.index()) {
            (state.course, state.has_tail) = (Course::Idle, true);
            state.strays.finish(frame, now);
            state.interrupts.finish(frame, now);
        }
    }

    /// Lets the response of `lane` run to its end without a consumer. Returns `false` if the lane
    /// has no exchange.
    pub(crate) fn detach(&mut self, lane: LaneId) -> bool {
        let Some(state) = self.lanes.get_mut(lane.index()) else { return false };
        let is_running = matches!(state.course, Course::Running { .. });
        if is_running {
            state.course = Course::Detached { dropped: 0 };
        }
        is_running
    }

    /// Ends the exchange of `lane`, whose request is not written after all.
    pub(crate) fn cancel(&mut self, lane: LaneId) {
        if let Some(state) = self.lanes.get_mut(lane.index()) {
            state.course = Course::Idle;
            state.strays.cancel();
        }
        self.writing = None;
    }

    /// Returns `true` if the first response on a lane began without a lifecycle event, because the
    /// origin does not announce responses.
    pub(crate) fn is_unannounced(&self) -> bool {
        self.lanes.iter().any(|lane| lane.strays.is_unannounced())
    }

    /// Returns the id of the last response of `lane`, which the server keeps until the next request
    /// of the lane.
    pub(crate) fn last_response(&self, lane: LaneId) -> Option<&str> {
        self.lanes.get(lane.index())?.strays.last_completed()
    }

    /// Returns `true` if events of the last response of the default lane may follow.
    fn default_has_tail(&self) -> bool {
        self.lanes.first().is_some_and(|lane| lane.has_tail)
    }

    fn course(&self, lane: LaneId) -> Option<Course> {
        self.lanes.get(lane.index()).map(|lane| lane.course)
    }

    fn is_active(&self, lane: LaneId) -> bool {
        self.course(lane).is_some_and(|course| course != Course::Idle)
    }

    /// Returns the lanes with an exchange.
    fn active(&self) -> Vec<LaneId> {
        let numbers = 0..u8::try_from(self.lanes.len()).unwrap_or(u8::MAX);
        numbers.map(LaneId).filter(|lane| self.is_active(*lane)).collect()
    }
}

/// Returns the end of the exchange if a frame of this role ends it.
fn end_of(role: Role, is_writing: bool) -> Option<ExchangeEnd> {
    match role {
        Role::Metadata | Role::Lifecycle | Role::Output | Role::Ignored => None,
        Role::Invalid => Some(ExchangeEnd::Broken),
        Role::Terminal | Role::Error if is_writing => Some(ExchangeEnd::Unsent),
        Role::Terminal | Role::Error => Some(ExchangeEnd::Free),
    }
}

/// Returns `true` if the server accepts no more requests on the socket after this error.
fn retires(error: &Frame) -> bool {
    let class = normalize::error_frame(error).class();
    matches!(class, ErrorClass::SocketAge | ErrorClass::Credential)
}

#[cfg(test)]
mod tests;
