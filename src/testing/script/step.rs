//! The steps of a turn.

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use super::{cut::Cut, gate::Gate, halves, value::encode};

/// One action of the server in a turn.
///
/// ```
/// use std::time::Duration;
/// use responses_client::testing::{Step, Turn};
///
/// let slow_and_cut = Turn::text("A long answer")
///     .insert(3, Step::Delay(Duration::from_secs(5)))
///     .cut_after(6, Step::Reset);
/// # drop(slow_and_cut);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Step {
    /// Sends an event: a text frame, or an `event:` line with a `data:` line.
    Event(Value),
    /// Sends this text as an event: a text frame, or one `data:` line for each of its lines.
    Text(String),
    /// Sends this text as an event in pieces: a fragmented message, or bytes flushed one by one.
    Fragmented {
        /// Text of the event.
        text: String,
        /// Number of pieces; the cuts are between bytes, so also inside a character.
        pieces: usize,
    },
    /// Like [`Fragmented`](Self::Fragmented), cut at these offsets of the text.
    Split {
        /// Text of the event.
        text: String,
        /// Offsets of the cuts in bytes, in rising order.
        at: Vec<usize>,
    },
    /// Like [`Fragmented`](Self::Fragmented), each piece flushed, and time between them.
    Drip {
        /// Text of the event.
        text: String,
        /// Number of pieces.
        pieces: usize,
        /// Time between two pieces, measured by tokio's clock.
        pause: Duration,
    },
    /// Begins to send an event and never ends it: a first fragment of a message, or a line that is
    /// not ended. Over WebSocket only a control frame or the end may follow.
    Partial {
        /// Text of the event.
        text: String,
        /// Number of bytes of the text that are sent.
        bytes: usize,
    },
    /// Sends an event that does not belong to the response, for example a late event of an older
    /// response. The server's own state ignores it, and it does not count as an event.
    Stray(Value),
    /// Sends this text as an event, repeatedly. These do not count as events. On a lane, a text that
    /// is a JSON object gets the `stream_id`.
    Flood {
        /// Text of each event, which may be empty.
        text: String,
        /// Number of repetitions.
        times: usize,
    },
    /// Sends these bytes: in a text frame, valid or not, or unchanged in the body.
    Raw(Bytes),
    /// Sends an SSE comment; nothing over WebSocket.
    Comment(String),
    /// Sends a binary frame; nothing over SSE.
    Binary(Bytes),
    /// Sends a text frame that is marked as compressed, with this payload, whether or not messages
    /// are compressed; nothing over SSE.
    Deflated(Bytes),
    /// Sends a ping; nothing over SSE.
    Ping(Bytes),
    /// Sends a pong; nothing over SSE.
    Pong(Bytes),
    /// Waits for this time, measured by tokio's clock.
    Delay(Duration),
    /// Waits until the test opens the gate.
    Gate(Gate),
    /// Waits until the client has steered the response: once more than the steps of this kind
    /// before. Like the next two, continues immediately over SSE.
    AwaitSteer,
    /// Waits until the client has injected input into the response.
    AwaitInject,
    /// Waits until the client has interrupted the response.
    AwaitInterrupt,
    /// Ends the WebSocket as at its [maximum age](crate::testing::Script::max_age), also while
    /// responses run: with an error frame that names no lane, and a Close frame. Does nothing over
    /// SSE.
    Expire,
    /// Sends a Close frame, without a payload if `code` is `None`; over SSE ends the body cleanly.
    Close {
        /// Code of the Close frame.
        code: Option<u16>,
        /// Reason in the Close frame.
        reason: String,
    },
    /// Ends the connection without a Close frame, or without the end of the body.
    ///
    /// As the first step of a turn over SSE, it also omits the head of the answer.
    End,
    /// Resets the connection. As the first step over SSE, it does so before the head of the answer.
    Reset,
    /// Sends nothing more until the client disconnects. Pings are answered.
    Stall,
    /// Like [`Stall`](Self::Stall), with pings unanswered: received bytes are discarded.
    Freeze,
}

impl Step {
    /// Returns `true` if the step counts as an event.
    pub(crate) fn is_event(&self) -> bool {
        match self {
            Self::Event(_)
            | Self::Text(_)
            | Self::Fragmented { .. }
            | Self::Split { .. }
            | Self::Drip { .. } => true,
            Self::Partial { .. }
            | Self::Stray(_)
            | Self::Flood { .. }
            | Self::Raw(_)
            | Self::Comment(_)
            | Self::Binary(_)
            | Self::Deflated(_)
            | Self::Ping(_)
            | Self::Pong(_)
            | Self::Delay(_)
            | Self::Gate(_)
            | Self::AwaitSteer
            | Self::AwaitInject
            | Self::AwaitInterrupt
            | Self::Expire
            | Self::Close { .. }
            | Self::End
            | Self::Reset
            | Self::Stall
            | Self::Freeze => false,
        }
    }

    /// Returns the text of the event, if the step is one.
    pub(crate) fn text(&self) -> Option<String> {
        match self {
            Self::Event(event) => Some(encode(event)),
            Self::Text(text)
            | Self::Fragmented { text, .. }
            | Self::Split { text, .. }
            | Self::Drip { text, .. } => Some(text.clone()),
            _ => None,
        }
    }

    /// Returns the event, if the step is one and its text is JSON.
    pub(crate) fn event(&self) -> Option<Value> {
        match self {
            Self::Event(event) => Some(event.clone()),
            Self::Text(text)
            | Self::Fragmented { text, .. }
            | Self::Split { text, .. }
            | Self::Drip { text, .. } => halves::parse_json(text).ok(),
            _ => None,
        }
    }

    /// Returns a step that sends `event` in the way of this step, for example in as many pieces.
    pub(crate) fn carrying(&self, event: Value) -> Self {
        let text = encode(&event);
        match self {
            Self::Fragmented { pieces, .. } => Self::Fragmented { text, pieces: *pieces },
            Self::Split { at, .. } => Self::Split { text, at: at.clone() },
            Self::Drip { pieces, pause, .. } => Self::Drip { text, pieces: *pieces, pause: *pause },
            Self::Stray(_) => Self::Stray(event),
            Self::Flood { times, .. } => Self::Flood { text, times: *times },
            _ => Self::Event(event),
        }
    }

    /// Returns `true` if the client notices nothing of the step but the time that it takes.
    pub(crate) fn is_wait(&self) -> bool {
        matches!(self, Self::Delay(_) | Self::Gate(_) | Self::Stall | Self::Freeze)
            || self.awaits_message()
    }

    /// Returns `true` if the step waits for a message of the client.
    pub(crate) fn awaits_message(&self) -> bool {
        matches!(self, Self::AwaitSteer | Self::AwaitInject | Self::AwaitInterrupt)
    }

    /// Returns the way in which this step cuts the connection, if it does.
    pub(crate) fn cut(&self) -> Option<Cut> {
        match self {
            Self::End => Some(Cut::Fin),
            Self::Reset => Some(Cut::Reset),
            _ => None,
        }
    }
}
