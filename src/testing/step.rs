//! The smallest things a turn is made of.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::watch;

use super::generate;
use crate::json;

/// One thing the server does in a turn.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Step {
    /// Sends an event: a text frame, or an `event:` line with a `data:` line.
    Event(Value),
    /// Sends this text as an event: a text frame, or one `data:` line for each of its lines.
    Text(String),
    /// Sends this text as an event in pieces: a fragmented message, or bytes flushed one by one.
    Fragmented {
        /// The event.
        text: String,
        /// How many pieces; they are cut between bytes, so also inside a character.
        pieces: usize,
    },
    /// Like [`Fragmented`](Self::Fragmented), cut before these bytes of the text.
    Split {
        /// The event.
        text: String,
        /// How many bytes stand before each cut, in rising order.
        at: Vec<usize>,
    },
    /// Like [`Fragmented`](Self::Fragmented), each piece flushed, and time between them.
    Drip {
        /// The event.
        text: String,
        /// How many pieces.
        pieces: usize,
        /// The time between two pieces, by tokio's clock.
        pause: Duration,
    },
    /// Begins to send an event and never ends it: a first fragment of a message, or a line that is
    /// not ended. What belongs after it over WebSocket is a control frame or the end.
    Partial {
        /// The event.
        text: String,
        /// How many bytes of it are sent.
        bytes: usize,
    },
    /// Sends these bytes: in a text frame, valid or not, or as they are in the body.
    Raw(Bytes),
    /// Sends an SSE comment; nothing over WebSocket.
    Comment(String),
    /// Sends a binary frame; nothing over SSE.
    Binary(Bytes),
    /// Sends a ping; nothing over SSE.
    Ping(Bytes),
    /// Sends a pong; nothing over SSE.
    Pong(Bytes),
    /// Waits, by tokio's clock.
    Delay(Duration),
    /// Waits until the test opens the gate.
    Gate(Gate),
    /// Sends a Close frame, without a payload if `code` is `None`; over SSE ends the body cleanly.
    Close {
        /// The code.
        code: Option<u16>,
        /// The reason.
        reason: String,
    },
    /// Ends the connection without a Close frame, or without the end of the body.
    ///
    /// As the first step of a turn over SSE it also leaves out the head of the answer.
    End,
    /// Resets the connection; as the first step over SSE, before the head of the answer.
    Reset,
    /// Sends nothing more, until the client goes away. Pings are answered.
    Stall,
    /// Like [`Stall`](Self::Stall), with pings unanswered: what arrives is thrown away.
    Freeze,
}

/// Holds a turn at a [`Step::Gate`] until a test opens it, so that no test needs to sleep.
///
/// ```
/// use responses_client::testing::{Gate, Step, Turn};
///
/// let gate = Gate::new();
/// let turn = Turn::text("Hello").insert(4, Step::Gate(gate.clone()));
/// // … see that nothing has come after the third event, then:
/// gate.open();
/// # let _ = turn;
/// ```
#[derive(Clone, Debug)]
pub struct Gate {
    open: Arc<watch::Sender<bool>>,
}

impl Step {
    /// What counts as an event where steps are numbered.
    pub(super) fn is_event(&self) -> bool {
        match self {
            Self::Event(_)
            | Self::Text(_)
            | Self::Fragmented { .. }
            | Self::Split { .. }
            | Self::Drip { .. } => true,
            Self::Partial { .. }
            | Self::Raw(_)
            | Self::Comment(_)
            | Self::Binary(_)
            | Self::Ping(_)
            | Self::Pong(_)
            | Self::Delay(_)
            | Self::Gate(_)
            | Self::Close { .. }
            | Self::End
            | Self::Reset
            | Self::Stall
            | Self::Freeze => false,
        }
    }

    /// The text of an event.
    pub(super) fn text(&self) -> Option<String> {
        match self {
            Self::Event(event) => Some(generate::encode(event)),
            Self::Text(text)
            | Self::Fragmented { text, .. }
            | Self::Split { text, .. }
            | Self::Drip { text, .. } => Some(text.clone()),
            _ => None,
        }
    }

    /// The event, if it is one and JSON.
    pub(super) fn event(&self) -> Option<Value> {
        match self {
            Self::Event(event) => Some(event.clone()),
            Self::Text(text)
            | Self::Fragmented { text, .. }
            | Self::Split { text, .. }
            | Self::Drip { text, .. } => json::from_str(text).ok(),
            _ => None,
        }
    }

    /// This event sent the way this one is: in as many pieces, say.
    pub(super) fn carrying(&self, event: Value) -> Self {
        let text = generate::encode(&event);
        match self {
            Self::Fragmented { pieces, .. } => Self::Fragmented { text, pieces: *pieces },
            Self::Split { at, .. } => Self::Split { text, at: at.clone() },
            Self::Drip { pieces, pause, .. } => Self::Drip { text, pieces: *pieces, pause: *pause },
            _ => Self::Event(event),
        }
    }

    /// Whether the client notices nothing but time.
    pub(super) fn is_wait(&self) -> bool {
        matches!(self, Self::Delay(_) | Self::Gate(_) | Self::Stall | Self::Freeze)
    }

    /// Waits for what a waiting step waits for.
    pub(super) async fn wait(&self) {
        match self {
            Self::Delay(time) => tokio::time::sleep(*time).await,
            Self::Gate(gate) => gate.opened().await,
            Self::Stall | Self::Freeze => std::future::pending().await,
            _ => {}
        }
    }
}

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self { open: Arc::new(watch::Sender::new(false)) }
    }

    /// Opens it for good, for all its clones.
    pub fn open(&self) {
        self.open.send_replace(true);
    }

    async fn opened(&self) {
        // The sender lives as long as this gate, so that waiting cannot fail.
        let _ = self.open.subscribe().wait_for(|open| *open).await;
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

/// Cuts `bytes` into at most `pieces` pieces of about the same length; at least one.
pub(super) fn split(bytes: Bytes, pieces: usize) -> Vec<Bytes> {
    let size = bytes.len().div_ceil(pieces.max(1)).max(1);
    let mut rest = bytes;
    let mut split = Vec::new();
    while rest.len() > size {
        split.push(rest.split_to(size));
    }
    split.push(rest);
    split
}

/// Cuts `bytes` before these places; those beyond its end are left out.
pub(super) fn split_at(bytes: Bytes, at: &[usize]) -> Vec<Bytes> {
    let mut rest = bytes;
    let mut split = Vec::new();
    let mut gone = 0;
    for place in at {
        if let Some(length) = place.checked_sub(gone).filter(|length| *length < rest.len()) {
            split.push(rest.split_to(length));
            gone = *place;
        }
    }
    split.push(rest);
    split
}
