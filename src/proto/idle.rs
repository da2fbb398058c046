//! Decides whether a frame on a WebSocket belongs to the response in progress or to an older one.
//!
//! A server may send events of a response after its end, and these may cross the next request. Two
//! things tell them apart: the id of the response, where an event names one, and the course of the
//! response, where it names none. Sequence numbers decide nothing: some servers send 1 every time.
//!
//! By id, an event of a finished response is dropped at any time. A `created` with such an id makes
//! it the id of the response in progress, since some servers give all responses one id.
//!
//! By course, output and terminal events without an id are held back on a reused socket until
//! something shows whose they are:
//!
//! | what follows | the held events |
//! |---|---|
//! | a lifecycle event | are late: a response begins with it |
//! | an event with an id that is not a finished response's | belong to the response in progress |
//! | an error, or the end of the socket | are dropped: the outcome of the request is that |
//!
//! An older response has ended before, so that a failure can be a late one only if its code says how
//! a response went. One that refuses a request or ends the connection (a lost parent, the age of the
//! socket, a credential) is the answer.
//!
//! The habit of the server decides about any other terminal without an id:
//!
//! - Its first response on the socket began with a lifecycle event: so will this one. The terminal
//!   is held. If nothing follows, the time to the first event runs out with delivery `Unknown`;
//!   taken for this response's, a late failure would send a running request again.
//! - No response has begun on the socket, as requests before were refused: nothing but the echo of
//!   an error can be late. A terminal ends this response, and the held events belong to it.
//! - Its first response began with output: the server announces no responses, and may name none
//!   either. Nothing is held on any socket of the origin from then on.

use std::{collections::VecDeque, time::Duration, time::Instant};

use super::{
    classify::{Frame, Role},
    normalize,
};
use crate::{
    api::{ApiError, ErrorClass, ErrorCode},
    event::EventKind,
    json::Json,
    response::id_of,
};

/// Finished responses of a socket whose ids are remembered.
const FINISHED: usize = 8;

/// Longest time between an error and its echo.
const ECHO_TIME: Duration = Duration::from_secs(5);

/// Bytes that may be held back where the read-ahead is limited to less.
const HELD_MIN: usize = 64 << 10;

/// Tells the events of the response in progress from those of older ones, over the life of a
/// WebSocket.
#[derive(Debug)]
pub(crate) struct StrayFilter {
    /// The ids of the responses that ended on this socket, the last one at the end.
    finished: VecDeque<String>,
    /// The error that ended the last response, until its echo came.
    echo: Option<Echo>,
    /// Beginning of the first response on this socket.
    habit: Option<Beginning>,
    /// Another request was answered on this socket before.
    reused: bool,
    held_limit: usize,
    current: Current,
}

/// The first event of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beginning {
    Lifecycle,
    Output,
}

/// An error that may be sent again as a `response.failed`.
#[derive(Debug)]
struct Echo {
    code: Option<ErrorCode>,
    since: Instant,
}

/// State of the response in progress.
#[derive(Debug, Default)]
struct Current {
    /// Its ids; a second `created` may bring another.
    ids: VecDeque<String>,
    begun: bool,
    /// Something was delivered.
    heard: bool,
    /// The server is known to announce no responses.
    unannounced: bool,
    held: Vec<Frame>,
    held_bytes: usize,
}

/// Destination of a frame of an exchange.
#[derive(Debug)]
pub(crate) enum Route {
    /// To the consumer, the frames first that were held back. `late` if some of these belonged to
    /// an older response and are dropped.
    Deliver { late: bool, held: Vec<Frame>, frame: Frame },
    /// To nobody, for now or for good.
    Withhold,
    /// More was held back than the limit allows.
    Overflow,
}

/// Action for a frame that no request waits for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum IdleAction {
    /// Drop it: it is harmless.
    Drop,
    /// Close the socket: the frame belongs to nothing that is known, and what follows it cannot be
    /// trusted.
    Retire,
}

impl StrayFilter {
    /// Returns the filter of a new socket, which holds back events of about `held_limit` bytes.
    pub(crate) fn new(held_limit: usize) -> Self {
        Self {
            finished: VecDeque::new(),
            echo: None,
            habit: None,
            reused: false,
            held_limit: held_limit.max(HELD_MIN),
            current: Current::default(),
        }
    }

    /// Begins an exchange; `unannounced` if the origin is known to begin responses with output.
    pub(crate) fn begin(&mut self, unannounced: bool) {
        self.current = Current { unannounced, ..Current::default() };
    }

    /// Decides about a frame that came at `now`, while an answer is expected.
    pub(crate) fn route(&mut self, frame: Frame, now: Instant) -> Route {
        let route = self.decide(frame, now);
        self.current.heard |= !matches!(route, Route::Withhold);
        route
    }

    fn decide(&mut self, frame: Frame, now: Instant) -> Route {
        let role = frame.tag.role;
        match role {
            // The first one passes: that something came at all is worth knowing.
            Role::Nothing if self.current.heard => return Route::Withhold,
            Role::Nothing | Role::Garbage => return Route::of(frame),
            Role::Error => return self.deliver_without_held(frame),
            _ if defect!(StrayTaken) => return Route::of(frame),
            // Nothing can be late, and nothing more is to be learned.
            Role::Output | Role::Metadata if self.current.begun && self.finished.is_empty() => {
                return Route::of(frame);
            }
            _ => {}
        }
        let id = named_id(&frame);
        if self.is_late(&frame, id.as_deref(), now) {
            return Route::Withhold;
        }
        if role == Role::Metadata {
            // It is never late, but must not overtake the events that came before it.
            return match self.current.held.is_empty() {
                true => Route::of(frame),
                false => self.hold(frame),
            };
        }
        let names_new = id.is_some();
        if let Some(id) = id {
            remember(&mut self.current.ids, id);
        }
        match role {
            Role::Lifecycle => {
                self.echo = None;
                self.note_beginning(Beginning::Lifecycle);
                self.deliver_without_held(frame)
            }
            _ if !names_new && self.holds(role) => match is_refusal(&frame) {
                true => self.deliver_without_held(frame),
                false => self.hold(frame),
            },
            _ => {
                // A refusal in this form does not show how the server begins a response.
                if !matches!(frame.tag.kind, EventKind::Failed | EventKind::Cancelled) {
                    self.note_beginning(Beginning::Output);
                }
                self.deliver_with_held(frame)
            }
        }
    }

    /// Ends the exchange with `end`, which came at `now`.
    pub(crate) fn finish(&mut self, end: &Frame, now: Instant) {
        let current = std::mem::take(&mut self.current);
        let is_error = end.tag.role == Role::Error;
        // An error seldom names its response; the events before it do.
        let of_end = (is_error || current.ids.is_empty()).then(|| response_id(end)).flatten();
        for id in current.ids.into_iter().chain(of_end) {
            remember(&mut self.finished, id);
        }
        self.echo = is_error.then(|| Echo { code: normalize::error_frame(end).code, since: now });
        self.reused = true;
    }

    /// Decides about a frame that came at `now`, while no answer is expected.
    pub(crate) fn judge_idle(&mut self, frame: &Frame, now: Instant) -> IdleAction {
        let harmless = match frame.tag.role {
            Role::Metadata | Role::Nothing => true,
            Role::Lifecycle | Role::Output | Role::Terminal => {
                let id = named_id(frame);
                self.is_named_finished(frame, id.as_deref()) || self.takes_echo(frame, now)
            }
            Role::Error | Role::Garbage => false,
        };
        if harmless || defect!(IdleSwallowsAll) { IdleAction::Drop } else { IdleAction::Retire }
    }

    /// Returns `true` if the first response on this socket began without a lifecycle event: the
    /// origin announces no responses.
    pub(crate) fn is_unannounced(&self) -> bool {
        self.habit == Some(Beginning::Output)
    }

    /// Returns `true` if `frame` belongs to an older response by what it says itself.
    fn is_late(&mut self, frame: &Frame, id: Option<&str>, now: Instant) -> bool {
        let is_own = id.is_some_and(|id| self.current.ids.iter().any(|own| own == id));
        let begins = frame.tag.kind == EventKind::Created;
        !is_own
            && (!begins && self.is_named_finished(frame, id)
                || !self.current.begun && self.takes_echo(frame, now))
    }

    fn is_named_finished(&mut self, frame: &Frame, id: Option<&str>) -> bool {
        let named = id.is_some_and(|id| self.finished.iter().any(|finished| finished == id));
        if named && frame.tag.kind == EventKind::Failed {
            // There is one echo, whether it names the response or not.
            self.echo = None;
        }
        named
    }

    /// Returns `true` if `frame` is the echo of the error before. There is one.
    fn takes_echo(&mut self, frame: &Frame, now: Instant) -> bool {
        let echoes = frame.tag.kind == EventKind::Failed
            && self.echo.as_ref().is_some_and(|echo| {
                now.saturating_duration_since(echo.since) <= ECHO_TIME && echo.fits(frame)
            });
        if echoes {
            self.echo = None;
        }
        echoes
    }

    /// Returns `true` if an event without an id is held back for now.
    fn holds(&self, role: Role) -> bool {
        let may_be_late = self.reused
            && !self.current.begun
            && !self.current.unannounced
            && self.habit != Some(Beginning::Output);
        may_be_late && (role != Role::Terminal || self.habit == Some(Beginning::Lifecycle))
    }

    fn hold(&mut self, frame: Frame) -> Route {
        let current = &mut self.current;
        current.held_bytes = current.held_bytes.saturating_add(frame.charge());
        if current.held_bytes > self.held_limit {
            return Route::Overflow;
        }
        current.held.push(frame.compacted());
        Route::Withhold
    }

    /// Delivers `frame`, and drops what was held back.
    fn deliver_without_held(&mut self, frame: Frame) -> Route {
        let mut held = std::mem::take(&mut self.current.held);
        let late = drop_late(&mut held, |_| true);
        Route::Deliver { late, held, frame }
    }

    /// Delivers what was held back, and `frame` after it.
    fn deliver_with_held(&mut self, frame: Frame) -> Route {
        let mut held = std::mem::take(&mut self.current.held);
        // A response has one terminal: up to that one, the events were an older response's.
        let end = held.iter().rposition(|held| held.tag.role == Role::Terminal);
        let late = drop_late(&mut held, |place| Some(place) <= end);
        Route::Deliver { late, held, frame }
    }

    fn note_beginning(&mut self, beginning: Beginning) {
        self.current.begun = true;
        self.habit.get_or_insert(beginning);
    }
}

/// Drops the events at these places, but for metadata, and returns whether there were any.
fn drop_late(held: &mut Vec<Frame>, is_late: impl Fn(usize) -> bool) -> bool {
    let (before, mut place) = (held.len(), 0);
    held.retain(|frame| {
        place += 1;
        frame.tag.role == Role::Metadata || !is_late(place - 1)
    });
    held.len() < before
}

impl Route {
    fn of(frame: Frame) -> Self {
        Self::Deliver { late: false, held: Vec::new(), frame }
    }
}

impl Echo {
    fn fits(&self, failed: &Frame) -> bool {
        let code = failure(failed).code;
        code.is_none() || code == self.code
    }
}

/// Returns `true` if `frame` is a failure that is about the request or the connection.
fn is_refusal(frame: &Frame) -> bool {
    frame.tag.kind == EventKind::Failed
        && match failure(frame).class() {
            ErrorClass::LostParent
            | ErrorClass::SocketAge
            | ErrorClass::Quota
            | ErrorClass::Credential
            | ErrorClass::Permission
            | ErrorClass::WrongEndpoint
            | ErrorClass::Request => true,
            ErrorClass::Transient
            | ErrorClass::Overload
            | ErrorClass::RetryForbidden
            | ErrorClass::Unknown => false,
        }
}

/// Returns the error that a `response.failed` tells.
fn failure(failed: &Frame) -> ApiError {
    let payload = Json::trusted(failed.payload.clone());
    let response: Option<Json> = payload.member("response").ok().flatten();
    response.map(|response| normalize::failed_response(&response)).unwrap_or_default()
}

/// Adds an id, and forgets the oldest of too many.
fn remember(ids: &mut VecDeque<String>, id: String) {
    if ids.contains(&id) {
        return;
    }
    if ids.len() == FINISHED {
        ids.pop_front();
    }
    ids.push_back(id);
}

/// Like [`response_id`], without a look at output events that name no response, as most do not:
/// there is one of these for each token.
fn named_id(frame: &Frame) -> Option<String> {
    let names =
        |key: &str| memchr::memmem::find(frame.payload.as_bytes(), key.as_bytes()).is_some();
    let may_name =
        frame.tag.role != Role::Output || names("\"response_id\"") || names("\"response\"");
    may_name.then(|| response_id(frame)).flatten()
}

/// The id of the response that an event names, as lifecycle events do, and some servers' others.
pub(crate) fn response_id(frame: &Frame) -> Option<String> {
    let payload = Json::trusted(frame.payload.clone());
    if let Ok(Some(id)) = payload.member::<String>("response_id")
        && !id.is_empty()
    {
        return Some(id);
    }
    let response: Json = payload.member("response").ok()??;
    id_of(&response)
}

#[cfg(test)]
mod tests;
