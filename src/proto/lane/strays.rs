//! Decides whether a frame on a WebSocket belongs to the response in progress or to an older one.
//!
//! A server may send events of a response after its end, and these may cross the next request. Two
//! things distinguish them: the id of the response, where an event names one, and the course of the
//! response, where it names none. Sequence numbers decide nothing: some servers send 1 every time.
//!
//! By id, an event of a finished response is always dropped. A `created` with such an id makes
//! it the id of the response in progress, since some servers give all responses one id.
//!
//! By course, output and terminal events without an id are held back on a reused socket until
//! another event shows which response they belong to:
//!
//! | next event | held events |
//! |---|---|
//! | a lifecycle event | are late, because a response begins with it, and are dropped |
//! | an event with an id that is not a finished response's | belong to the response in progress |
//! | an error, or the end of the socket | are dropped; the error or the end is the outcome of the request |
//!
//! An older response has ended before, so that a failure can be a late one only if its code says how
//! a response went. One that refuses a request or ends the connection (a lost parent, the age of the
//! socket, a credential) is the answer.
//!
//! The habit of the server decides about any other terminal without an id:
//!
//! - Its first response on the socket began with a lifecycle event, and so will this one. The terminal
//!   is held. If nothing follows, the time to the first event runs out with delivery `Unknown`;
//!   taken for this response's, a late failure would send a running request again.
//! - No response has begun on the socket, because earlier requests were refused. Only the echo of an
//!   error can be late. A terminal ends this response, and the held events belong to it.
//! - Its first response began with output. The server does not announce responses, and may not name
//!   them. From then on, no event is held on any socket of the origin.

use std::{
    collections::VecDeque,
    sync::LazyLock,
    time::{Duration, Instant},
};

use memchr::memmem::Finder;

use crate::{
    api::{ApiError, ErrorClass, ErrorCode},
    event::EventKind,
    json::Json,
    proto::{
        normalize,
        wire::{Frame, Role},
    },
};

/// Finished responses of a socket whose ids are remembered.
const FINISHED: usize = 8;

/// Longest time between an error and its echo.
const ECHO_TIME: Duration = Duration::from_secs(5);

/// Bytes that may be held back where the read-ahead is limited to less.
const HELD_MIN: usize = 64 << 10;

/// Filter that separates the events of the response in progress from those of older ones, over the
/// life of a WebSocket.
#[derive(Debug)]
pub(super) struct StrayFilter {
    /// Ids of the responses that ended on this socket, in order.
    finished: VecDeque<String>,
    /// Error that ended the last response, until its echo has arrived.
    echo: Option<Echo>,
    /// Beginning of the first response on this socket.
    habit: Option<Beginning>,
    /// Id of the last response, if it ended successfully.
    last_completed: Option<String>,
    /// `true` if an earlier request was answered on this socket.
    reused: bool,
    held_limit: usize,
    current: Current,
}

/// Kind of the first event of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beginning {
    Lifecycle,
    Output,
}

/// Error that the server may repeat as a `response.failed`.
#[derive(Debug)]
struct Echo {
    code: Option<ErrorCode>,
    since: Instant,
}

/// State of the response in progress.
#[derive(Debug, Default)]
struct Current {
    /// Ids of the response; a second `created` may add another.
    ids: VecDeque<String>,
    begun: bool,
    /// `true` if a frame was delivered.
    heard: bool,
    /// `true` if the server is known not to announce responses.
    unannounced: bool,
    held: Vec<Frame>,
    held_bytes: usize,
}

/// Decision about a frame of an exchange.
#[derive(Debug)]
pub(super) enum Filtered {
    /// Deliver the held frames, then `frame`. `late` if some held frames belonged to an older
    /// response and were dropped.
    Deliver { late: bool, held: Vec<Frame>, frame: Frame },
    /// Deliver no frame now.
    Withhold,
    /// The held frames exceed the limit.
    Overflow,
}

impl StrayFilter {
    /// Returns the filter of a new socket, which holds back events of about `held_limit` bytes.
    pub(super) fn new(held_limit: usize) -> Self {
        Self {
            finished: VecDeque::new(),
            echo: None,
            habit: None,
            last_completed: None,
            reused: false,
            held_limit: held_limit.max(HELD_MIN),
            current: Current::default(),
        }
    }

    /// Begins an exchange; `unannounced` if the origin is known to begin responses with output.
    pub(super) fn begin(&mut self, unannounced: bool) {
        self.current = Current { unannounced, ..Current::default() };
    }

    /// Ends an exchange whose request was not written.
    pub(super) fn cancel(&mut self) {
        self.current = Current::default();
    }

    /// Decides about a frame that arrived at `now` during an exchange.
    pub(super) fn filter(&mut self, frame: Frame, now: Instant) -> Filtered {
        let filtered = self.decide(frame, now);
        self.current.heard |= !matches!(filtered, Filtered::Withhold);
        filtered
    }

    fn decide(&mut self, frame: Frame, now: Instant) -> Filtered {
        let role = frame.tag.role;
        match role {
            // The first one passes, because it proves that the server responds.
            Role::Ignored if self.current.heard => return Filtered::Withhold,
            Role::Ignored | Role::Invalid => return Filtered::of(frame),
            Role::Error => return self.deliver_without_held(frame),
            // No event can be late, and the response has begun already.
            Role::Output | Role::Metadata if self.current.begun && self.finished.is_empty() => {
                return Filtered::of(frame);
            }
            _ => {}
        }
        let id = named_id(&frame);
        if self.is_late(&frame, id.as_deref(), now) {
            return Filtered::Withhold;
        }
        if role == Role::Metadata {
            // Metadata is never late, but must not overtake earlier events.
            return match self.current.held.is_empty() {
                true => Filtered::of(frame),
                false => self.hold(frame),
            };
        }
        let names_new = id.is_some();
        if let Some(id) = id {
            remember(&mut self.current.ids, id);
        }
        match role {
            Role::Lifecycle => {
                // The server has started this response, so the echo of the last error will not
                // arrive.
                self.echo = None;
                self.note_beginning(Beginning::Lifecycle);
                self.deliver_without_held(frame)
            }
            // A refusal ends the turn whatever is held, and no older response can have sent it.
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

    /// Ends the exchange with `end`, which arrived at `now`.
    pub(super) fn finish(&mut self, end: &Frame, now: Instant) {
        let current = std::mem::take(&mut self.current);
        let is_error = end.tag.role == Role::Error;
        // An error seldom names its response; the events before it do.
        let of_end = (is_error || current.ids.is_empty()).then(|| end.response_id()).flatten();
        let succeeded = matches!(end.tag.kind, EventKind::Completed | EventKind::Incomplete);
        self.last_completed = current.ids.back().filter(|_| succeeded).cloned();
        for id in current.ids.into_iter().chain(of_end) {
            remember(&mut self.finished, id);
        }
        // Some servers send an `error` and then a `response.failed` with the same code.
        self.echo = is_error.then(|| Echo { code: normalize::error_frame(end).code, since: now });
        self.reused = true;
    }

    /// Returns `true` if a frame that arrived at `now` between exchanges is harmless. An echo counts
    /// only once.
    pub(super) fn discards_idle(&mut self, frame: &Frame, now: Instant) -> bool {
        match frame.tag.role {
            Role::Metadata | Role::Ignored => true,
            Role::Lifecycle | Role::Output | Role::Terminal => {
                let id = named_id(frame);
                self.is_named_finished(frame, id.as_deref()) || self.takes_echo(frame, now)
            }
            // No request is in progress, so an error or garbage belongs to nothing known.
            Role::Error | Role::Invalid => false,
        }
    }

    /// Returns `true` if `id` is that of the response in progress, as far as is known.
    pub(super) fn may_be_current(&self, id: &str) -> bool {
        let ids = &self.current.ids;
        ids.is_empty() || ids.iter().any(|own| own == id)
    }

    /// Returns the id of the last response, if it ended successfully and named itself.
    pub(super) fn last_completed(&self) -> Option<&str> {
        self.last_completed.as_deref()
    }

    /// Returns `true` if the first response on this socket began without a lifecycle event, because
    /// the origin does not announce responses.
    pub(super) fn is_unannounced(&self) -> bool {
        self.habit == Some(Beginning::Output)
    }

    /// Returns `true` if the content of `frame` shows that it belongs to an older response. An
    /// echo counts only once.
    fn is_late(&mut self, frame: &Frame, id: Option<&str>, now: Instant) -> bool {
        let is_own = id.is_some_and(|id| self.current.ids.iter().any(|own| own == id));
        // Some servers give all responses the same id, so a `created` with it starts a new one.
        let begins = frame.tag.kind == EventKind::Created;
        // The answer to an inject names the response that the inject was for.
        let answers = matches!(frame.tag.kind, EventKind::InjectCreated | EventKind::InjectFailed);
        !is_own
            && !answers
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

    /// Returns `true` once, for the frame that echoes the last error.
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
        // Only a socket that answered a request before can have late events.
        let may_be_late = self.reused
            && !self.current.begun
            && !self.current.unannounced
            && self.habit != Some(Beginning::Output);
        may_be_late && (role != Role::Terminal || self.habit == Some(Beginning::Lifecycle))
    }

    fn hold(&mut self, frame: Frame) -> Filtered {
        let current = &mut self.current;
        current.held_bytes = current.held_bytes.saturating_add(frame.charge());
        if current.held_bytes > self.held_limit {
            return Filtered::Overflow;
        }
        // A held frame must not keep the read buffer in memory.
        current.held.push(frame.compacted());
        Filtered::Withhold
    }

    /// Delivers `frame`, and drops the held frames.
    fn deliver_without_held(&mut self, frame: Frame) -> Filtered {
        let mut held = std::mem::take(&mut self.current.held);
        let late = drop_late(&mut held, |_| true);
        Filtered::Deliver { late, held, frame }
    }

    /// Delivers the held frames, and `frame` after them.
    fn deliver_with_held(&mut self, frame: Frame) -> Filtered {
        let mut held = std::mem::take(&mut self.current.held);
        // A response has one terminal event, so all events up to that one were an older response's.
        let end = held.iter().rposition(|held| held.tag.role == Role::Terminal);
        let late = drop_late(&mut held, |place| Some(place) <= end);
        Filtered::Deliver { late, held, frame }
    }

    fn note_beginning(&mut self, beginning: Beginning) {
        self.current.begun = true;
        self.habit.get_or_insert(beginning);
    }
}

/// Drops the events at these places, except for metadata. Returns `true` if any were dropped.
fn drop_late(held: &mut Vec<Frame>, is_late: impl Fn(usize) -> bool) -> bool {
    let (before, mut place) = (held.len(), 0);
    held.retain(|frame| {
        place += 1;
        frame.tag.role == Role::Metadata || !is_late(place - 1)
    });
    held.len() < before
}

impl Filtered {
    fn of(frame: Frame) -> Self {
        Self::Deliver { late: false, held: Vec::new(), frame }
    }
}

impl Echo {
    fn fits(&self, failed: &Frame) -> bool {
        let code = failure(failed).code;
        // Servers that repeat an error may omit its code.
        code.is_none() || code == self.code
    }
}

/// Returns `true` if `frame` is a failure of the request or the connection.
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

/// Returns the error in a `response.failed`.
fn failure(failed: &Frame) -> ApiError {
    let payload = Json::from_trusted(failed.payload.clone());
    payload.get("response").map(|it| normalize::failed_response(&it)).unwrap_or_default()
}

/// Adds an id, and removes the oldest one above the limit.
fn remember(ids: &mut VecDeque<String>, id: String) {
    if ids.contains(&id) {
        return;
    }
    if ids.len() == FINISHED {
        ids.pop_front();
    }
    ids.push_back(id);
}

/// Like [`Frame::response_id`], but does not parse output events that name no response: most do not, and
/// each token has one.
fn named_id(frame: &Frame) -> Option<String> {
    static NAME: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"response"));
    // The type, which is the first value nearly always, begins like the names.
    let (start, rest) = frame.payload.split_at_checked(TYPE.len()).unwrap_or_default();
    let rest = if start == TYPE { rest } else { &frame.payload };
    let may_name = frame.tag.role != Role::Output || NAME.find(rest.as_bytes()).is_some();
    may_name.then(|| frame.response_id()).flatten()
}

/// Beginning of nearly all events.
const TYPE: &str = r#"{"type":"response"#;

#[cfg(test)]
mod tests;
