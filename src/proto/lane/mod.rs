//! Lanes of a WebSocket: decides to whom a frame belongs, and what ends an exchange.
//!
//! An exchange is a request and its response. A WebSocket has one exchange at a time, on the lane
//! that the request names, so that each frame belongs to that exchange, to an older one, or to none.
//!
//! ```text
//!          begin               written
//!   Idle ─────────▶ Writing ─────────────▶ Written
//!    ▲                 │                      │
//!    └─────────────────┴──────────────────────┘
//!           a frame that ends the response
//! ```
//!
//! The connection's task moves the frames and carries out the decisions. It makes none itself.

use std::time::Instant;

use self::{
    steers::OpenSteers,
    strays::{Filtered, StrayFilter},
};
use crate::proto::wire::{Frame, Role};

pub(crate) mod steers;
mod strays;

/// Number of a WebSocket, unique in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionId(pub(crate) u64);

/// Number of a lane, unique in its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LaneId(pub(crate) u8);

/// A lane of a connection. The server keeps the last response of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SeatId {
    pub(crate) connection: ConnectionId,
    pub(crate) lane: LaneId,
}

impl LaneId {
    /// The lane whose requests and events have no `stream_id`. Each connection has it.
    pub(crate) const DEFAULT: Self = Self(0);
}

/// The lanes of a WebSocket, over the life of the socket.
#[derive(Debug)]
pub(crate) struct Lanes {
    course: Course,
    strays: StrayFilter,
    steers: OpenSteers,
    /// `true` if the origin is known to begin responses with output.
    unannounced: bool,
}

/// Course of the exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    /// No request is in progress.
    Idle,
    /// The request is being written. The server may respond before it has received all of it.
    Writing(LaneId),
    /// The request is written, and its response has not ended.
    Written(LaneId),
}

/// Destination of a frame.
#[derive(Debug)]
pub(crate) enum Route {
    /// Deliver the held frames, then `frame`, to the consumer of `lane`. `late` if some held frames
    /// belonged to an older response and were dropped. `end` if `frame` ends the exchange.
    To { lane: LaneId, late: bool, held: Vec<Frame>, frame: Frame, end: Option<ExchangeEnd> },
    /// Deliver no frame now.
    Ignore,
    /// Close the connection. The frame belongs to no known response, and later frames cannot be
    /// trusted.
    Retire,
    /// Close the connection. The frames that are held back exceed the limit.
    Overflow,
}

/// Effect of the end of an exchange on its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExchangeEnd {
    /// The lane accepts another request.
    Free,
    /// The connection must be closed.
    Close,
}

impl Lanes {
    /// Returns the lanes of a new socket, which hold back events of about `held_limit` bytes.
    pub(crate) fn new(held_limit: usize) -> Self {
        Self {
            course: Course::Idle,
            strays: StrayFilter::new(held_limit),
            steers: OpenSteers::default(),
            unannounced: false,
        }
    }

    /// Returns `true` if a request may begin now.
    pub(crate) fn accept_requests(&self) -> bool {
        self.course == Course::Idle
    }

    /// Begins an exchange, whose request is written from now on; `unannounced` if the origin is
    /// known to begin responses with output.
    pub(crate) fn begin(&mut self, lane: LaneId, unannounced: bool) {
        self.course = Course::Writing(lane);
        self.strays.begin(unannounced);
        (self.steers, self.unannounced) = (OpenSteers::default(), unannounced);
    }

    /// Returns `true` if a message about the running response of `lane` may be sent now; `steers` if
    /// the message is a steer.
    pub(crate) fn send(&mut self, lane: LaneId, steers: bool) -> bool {
        let runs = self.course == Course::Written(lane) || self.course == Course::Writing(lane);
        if runs && steers {
            self.steers.sent();
        }
        runs
    }

    /// Returns `true` while a request is being written.
    pub(crate) fn is_writing(&self) -> bool {
        matches!(self.course, Course::Writing(_))
    }

    /// Records that no request is being written any more.
    pub(crate) fn written(&mut self) {
        if let Course::Writing(lane) = self.course {
            self.course = Course::Written(lane);
        }
    }

    /// Decides about a frame that arrived at `now`.
    pub(crate) fn route(&mut self, frame: Frame, now: Instant) -> Route {
        let lane = match self.course {
            Course::Writing(lane) | Course::Written(lane) => lane,
            Course::Idle if self.strays.discards_idle(&frame, now) => return Route::Ignore,
            Course::Idle => return Route::Retire,
        };
        let (late, held, frame) = match self.strays.filter(frame, now) {
            Filtered::Deliver { late, held, frame } => (late, held, frame),
            Filtered::Withhold => return Route::Ignore,
            Filtered::Overflow => return Route::Overflow,
        };
        let is_over = self.steers.observe(&frame);
        let ended = self.end_of(frame.tag.role);
        let end = match ended {
            // The lane belongs to the response that follows after a steer.
            Some(ExchangeEnd::Free) if frame.tag.role == Role::Terminal && !is_over => None,
            None if is_over => Some(ExchangeEnd::Free),
            end => end,
        };
        if ended.is_some() {
            self.strays.finish(&frame, now);
        }
        if end.is_some() {
            self.course = Course::Idle;
        } else if ended.is_some() {
            self.strays.begin(self.unannounced);
        }
        Route::To { lane, late, held, frame, end }
    }

    /// Returns the end of the exchange if a frame of this role ends it.
    fn end_of(&self, role: Role) -> Option<ExchangeEnd> {
        match role {
            Role::Metadata | Role::Lifecycle | Role::Output | Role::Ignored => None,
            // What follows a frame that is not an event cannot be trusted.
            Role::Invalid => Some(ExchangeEnd::Close),
            // The server has refused the request before its end. The rest of the message would have
            // to be sent before the next request.
            Role::Terminal | Role::Error if self.is_writing() => Some(ExchangeEnd::Close),
            Role::Terminal | Role::Error => Some(ExchangeEnd::Free),
        }
    }

    /// Ends the exchange of `lane`, whose consumer is gone.
    pub(crate) fn abandon(&mut self, lane: LaneId) -> ExchangeEnd {
        match self.course {
            // Only closing the connection makes the server stop generating.
            Course::Writing(running) | Course::Written(running) if running == lane => {
                self.course = Course::Idle;
                ExchangeEnd::Close
            }
            Course::Idle | Course::Writing(_) | Course::Written(_) => ExchangeEnd::Free,
        }
    }

    /// Returns `true` if the first response on this socket began without a lifecycle event, because
    /// the origin does not announce responses.
    pub(crate) fn is_unannounced(&self) -> bool {
        self.strays.is_unannounced()
    }
}

#[cfg(test)]
mod tests;
