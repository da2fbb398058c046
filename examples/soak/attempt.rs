//! A request that reached the server, and what the server makes of it.

use std::time::Duration;

use responses_client::testing::{Interrupting, Steering};
use serde_json::Value;
use tokio::time::Instant;

use super::values::{Kind, Reach, Word, kind};

/// A request that reached the server, and what it was answered.
#[derive(Default)]
pub(crate) struct Attempt {
    /// Its place in the log.
    pub(crate) request: usize,
    /// The id of its response.
    pub(crate) id: String,
    /// The id of the response that it continues.
    pub(crate) parent: Option<String>,
    /// A steer began its response: the client has sent no request for it.
    pub(crate) follows: bool,
    /// The server's history, its own input included.
    pub(crate) history: Vec<Value>,
    pub(crate) connection: usize,
    /// Another request came on the connection before.
    pub(crate) kept: bool,
    pub(crate) since: Option<Instant>,
    pub(crate) fate: Fate,
    pub(crate) events: Vec<Value>,
    /// The output, where the events say it in other words.
    pub(crate) meant: Option<Vec<Value>>,
}

/// What the server makes of a request, beyond the events it sends.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fate {
    pub(crate) name: &'static str,
    pub(crate) word: Word,
    /// Nothing may be sent after it.
    pub(crate) last_word: bool,
    /// The connection ends without a byte of an answer.
    pub(crate) unanswered: bool,
    /// The connection is cut, and not all of what is sent arrives.
    pub(crate) cut: bool,
    /// The server says that it ends the connection.
    pub(crate) told: bool,
    /// The client may know that it did not run, because its connection was ended.
    pub(crate) unbegun: bool,
    /// It comes as one JSON value in place of its events.
    pub(crate) whole: bool,
    /// It begins with `response.created`.
    pub(crate) begins: bool,
    /// By then all of it is sent.
    pub(crate) takes: Duration,
    /// To try again costs no attempt, once a turn.
    pub(crate) free: bool,
    /// Nothing more may come on this WebSocket.
    pub(crate) poisons: bool,
    /// How long it is to wait.
    pub(crate) retry_after: Option<Duration>,
    /// The server keeps the response under another id than it gave first.
    pub(crate) renames: bool,
    /// It ends with its terminal event, and nothing else happens.
    pub(crate) ends_well: bool,
    /// It begins only after all that a client waits for the response that follows a steer.
    pub(crate) is_slow: bool,
    /// What the server makes of steers.
    pub(crate) steering: Steered,
    /// What it makes of interrupts.
    pub(crate) interrupting: Interrupting,
}

/// What the server makes of the steers of a response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Steered {
    #[default]
    Accepts,
    SuccessorFirst,
    SuccessorLast,
    PendingLate,
    Refuses(&'static str),
    FailsLater(&'static str),
    Ignores,
}

impl Steered {
    pub(crate) fn steering(self) -> Steering {
        match self {
            Self::Accepts => Steering::Accept,
            Self::SuccessorFirst => Steering::SuccessorFirst,
            Self::SuccessorLast => Steering::SuccessorLast,
            Self::PendingLate => Steering::PendingLate,
            Self::Refuses(code) => Steering::Refuse(code.to_owned()),
            Self::FailsLater(code) => Steering::FailLater(code.to_owned()),
            Self::Ignores => Steering::Ignore,
        }
    }
}

/// How the server ends a connection that several responses run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Of what was sent some may be lost.
    Cut,
    /// What has not begun will not run, and the client is told so.
    Refusal,
}

impl Fate {
    /// Its connection is ended.
    pub(crate) fn end_with(&mut self, ending: Ending) {
        self.cut = true;
        self.told &= ending == Ending::Refusal;
        if ending == Ending::Refusal {
            (self.unbegun, self.free, self.name) = (true, true, "end of its connection");
        }
    }
}

impl Attempt {
    /// What was sent, up to the end of the response.
    pub(crate) fn sent(&self) -> &[Value] {
        let end = self.events.iter().position(|event| kind(event) == Kind::End);
        &self.events[..end.map_or(self.events.len(), |end| end + 1)]
    }

    /// How far the client can know at the least that it got.
    pub(crate) fn least_reach(&self) -> Reach {
        match self.fate {
            Fate { unbegun: true, .. } => Reach::Refused,
            Fate { cut: true, .. } => self.reach().min(Reach::Silent),
            _ => self.reach(),
        }
    }

    /// Whether the client knows that nothing runs beside another attempt.
    pub(crate) fn has_ended(&self) -> bool {
        self.fate.word == Word::Ended && self.reach() < Reach::Output
    }

    pub(crate) fn reach(&self) -> Reach {
        let refused = self.fate.word == Word::Refuses;
        let mut reach = if refused { Reach::Refused } else { Reach::Silent };
        for event in &self.events {
            match kind(event) {
                Kind::Begin => reach = reach.max(Reach::Created),
                Kind::Output => reach = Reach::Output,
                Kind::End => return Reach::Ended,
                Kind::Failure if reach < Reach::Output && refused => return Reach::Refused,
                Kind::Failure => return reach,
                Kind::Other => {}
            }
        }
        reach
    }
}
