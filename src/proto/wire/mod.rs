//! Wires: the formats of requests and of the payloads that answer them.
//!
//! The machine of a turn and both transports take the wire of their server as a value. A [`Frame`]
//! contains an event of the Responses API whatever the wire. Therefore decoding, the normalization
//! of errors and all decisions about a turn do not depend on the wire.

use std::{borrow::Cow, fmt::Debug};

use bytestring::ByteString;
use serde::Deserialize;
use serde_json::value::RawValue;

use self::id::IdOf;
use crate::{
    event::EventKind,
    json::{self, FlatMembers, FlatStep, FlatValue, Json},
    request::ResponsesRequest,
};

mod id;
pub(crate) mod responses;

/// Format of the requests to a server and of its answers.
pub(crate) trait Wire: Debug + Send + Sync {
    /// Returns the path that requests go to, below the base URL of the provider.
    fn path(&self) -> &'static str;

    /// Encodes `request`. If a parent has its first `skip` input items, the encoding omits them.
    fn encode(
        &self,
        request: &ResponsesRequest,
        encoded: Encoded<'_>,
    ) -> Result<String, serde_json::Error>;

    /// Returns the frame of a payload. `name` is the name of the server-sent event; empty for other
    /// payloads. The payload is not validated here; decoding it does that.
    fn classify(&self, name: &str, payload: ByteString) -> Frame;
}

/// Form in which a request is encoded.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Encoded<'a> {
    /// The body of a POST, with or without a parent.
    Http { parent: Option<&'a str>, skip: usize },
    /// A WebSocket message, with or without a parent. `lane` is the name of its lane; `None` for the
    /// default lane.
    Frame { parent: Option<&'a str>, skip: usize, lane: Option<&'a str> },
    /// A WebSocket message for which the server generates nothing.
    WarmUp { lane: Option<&'a str> },
}

/// Payload and its classification.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) tag: Tag,
    pub(crate) payload: ByteString,
    /// Name of the SSE event if the payload has no `type`, otherwise empty.
    pub(crate) name: ByteString,
}

/// Classification of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag {
    pub(crate) kind: EventKind,
    pub(crate) role: Role,
    /// `true` if the payload is a response itself, not an event that contains a response.
    pub(crate) bare: bool,
}

/// Meaning of a payload for the course of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Data about the connection or the account. Such a payload does not show that a response
    /// started.
    Metadata,
    /// The response was accepted or is in progress.
    Lifecycle,
    /// The response has output.
    Output,
    /// The response has ended.
    Terminal,
    /// An error, in any of its shapes.
    Error,
    /// `{}` or `[DONE]`, which some servers send without a meaning.
    Ignored,
    /// Not an event.
    Invalid,
}

impl Frame {
    /// Returns the id of the response that the event names. Lifecycle events have one, and all
    /// events of some servers.
    pub(crate) fn response_id(&self) -> Option<String> {
        self.leading_response_id().or_else(|| self.read_response_id())
    }

    /// Returns the id if it comes before all that is large, as it does nearly always.
    fn leading_response_id(&self) -> Option<String> {
        let mut members = FlatMembers::of(&self.payload, self.tag.kind.as_str())?;
        let id = loop {
            match members.next()? {
                FlatStep::Member("response_id", FlatValue::Text(id)) if !id.is_empty() => break id,
                FlatStep::Member(..) => {}
                FlatStep::Object("response", object) => {
                    let rest = object.strip_prefix(r#"{"id":""#)?;
                    let end = memchr::memchr2(b'"', b'\\', rest.as_bytes())?;
                    let (id, rest) = rest.split_at_checked(end)?;
                    break Some(id).filter(|id| !id.is_empty() && rest.starts_with('"'))?;
                }
                FlatStep::Object(..) | FlatStep::End => return None,
            }
        };
        Some(id.to_owned())
    }

    fn read_response_id(&self) -> Option<String> {
        /// The ids in a payload, read in one pass: the object of a response is large.
        #[derive(Deserialize)]
        struct Ids<'a> {
            #[serde(borrow, default)]
            response_id: Option<&'a RawValue>,
            #[serde(borrow, default)]
            response: IdOf<'a>,
        }
        let Ids { response_id, response } = json::from_str(&self.payload).ok()?;
        let text = |raw: Option<&RawValue>| -> Option<String> {
            json::from_str(raw?.get()).ok().filter(|id: &String| !id.is_empty())
        };
        text(response_id).or_else(|| text(response.0))
    }

    /// Returns the name of the lane that the event belongs to; `None` for the default lane.
    pub(crate) fn stream_id(&self) -> Option<Cow<'_, str>> {
        const KEY: &str = r#""stream_id""#;
        let at = memchr::memmem::rfind(self.payload.as_bytes(), KEY.as_bytes())?;
        let (before, rest) = self.payload.split_at_checked(at)?;
        let simple = rest.strip_prefix(KEY).and_then(|rest| rest.strip_prefix(r#":""#));
        if let Some((name, after)) = simple.and_then(|rest| rest.split_once('"')) {
            // The key is a member of the event itself if no object begins before it, or if the event
            // ends after it. Within a text, its quotes would be escaped.
            let is_flat = memchr::memrchr(b'{', before.as_bytes()).is_none_or(|brace| brace == 0);
            if (is_flat || after == "}") && !name.contains('\\') {
                return Some(Cow::Borrowed(name));
            }
        }
        let name: Option<String> =
            Json::from_trusted(self.payload.clone()).member("stream_id").ok().flatten();
        name.map(Cow::Owned)
    }

    /// Returns the bytes that a waiting frame counts for: its payload, and the overhead of keeping
    /// it.
    pub(crate) fn charge(&self) -> usize {
        self.payload.len().saturating_add(FRAME_COST)
    }

    /// Returns the frame in memory proportional to its size. A payload is a slice of the read
    /// buffer, and a small slice would keep all of that buffer, so it is copied.
    pub(crate) fn compacted(self) -> Self {
        if self.payload.len() >= READ_BUFFER {
            return self;
        }
        Self { payload: self.payload.to_string().into(), ..self }
    }
}

/// Size of the buffers that frames are read into, in bytes. A larger frame has a buffer of its own.
/// tungstenite clears its buffer before every read, so a large one costs more than it saves.
pub(crate) const READ_BUFFER: usize = 16 << 10;

/// Bytes that a waiting frame counts for besides its payload: a place in a queue, and an
/// allocation.
const FRAME_COST: usize = 128;

impl Role {
    /// Returns `true` if such a frame ends the turn.
    pub(crate) fn ends_turn(self) -> bool {
        matches!(self, Self::Terminal | Self::Error | Self::Invalid)
    }

    /// Returns `true` if the server answers the request with such a frame, with success or not.
    pub(crate) fn is_answer(self) -> bool {
        self.is_progress() || self == Self::Error
    }

    /// Returns `true` if such a frame shows progress of the response.
    pub(crate) fn is_progress(self) -> bool {
        matches!(self, Self::Lifecycle | Self::Output | Self::Terminal)
    }

    /// Returns `true` if such a frame is the server's own end of the turn, so that the connection
    /// stays usable.
    pub(crate) fn keeps_connection(self) -> bool {
        matches!(self, Self::Terminal | Self::Error)
    }
}
