//! What a payload is, by a look at its type alone.

use std::borrow::Cow;

use bytestring::ByteString;
use serde::{Deserialize, de::IgnoredAny};

use crate::event::EventKind;

/// A payload and what it is.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) tag: Tag,
    pub(crate) payload: ByteString,
}

/// What a payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag {
    pub(crate) kind: EventKind,
    pub(crate) role: Role,
}

/// What a payload means to the course of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// About the connection or the account, not the response: never a sign that it began.
    Metadata,
    /// The response was accepted or goes on.
    Lifecycle,
    /// The response has output.
    Output,
    /// The response has ended.
    Terminal,
    /// An error, in any of its shapes.
    Error,
    /// `{}` or `[DONE]`: some servers' way to say nothing.
    Nothing,
    /// No event at all.
    Garbage,
}

impl Frame {
    pub(crate) fn new(payload: ByteString) -> Self {
        Self { tag: classify(&payload), payload }
    }

    /// Returns the bytes that the frame is charged with while it waits: its payload, and what it
    /// costs to keep it.
    pub(crate) fn charge(&self) -> usize {
        self.payload.len().saturating_add(FRAME_COST)
    }

    /// Returns the frame in memory that is in proportion to it. A payload is a slice of the buffer
    /// that it was read into: a small one is copied, since it would keep all of that buffer.
    pub(crate) fn compacted(self) -> Self {
        if self.payload.len() >= READ_BUFFER {
            return self;
        }
        Self { tag: self.tag, payload: self.payload.to_string().into() }
    }
}

/// The size of the buffers that frames are read into. A larger frame has a buffer of its own.
/// tungstenite clears its buffer before every read; a large one costs more than it saves.
pub(crate) const READ_BUFFER: usize = 16 << 10;

/// What a frame costs that waits, beside its payload: its place in a queue, and an allocation.
const FRAME_COST: usize = 128;

impl Role {
    /// Whether the turn is over with it.
    pub(crate) fn ends_turn(self) -> bool {
        matches!(self, Self::Terminal | Self::Error | Self::Garbage)
    }

    /// Whether it shows that the turn goes on.
    pub(crate) fn is_progress(self) -> bool {
        matches!(self, Self::Lifecycle | Self::Output | Self::Terminal)
    }

    /// Whether the turn is over with it by the server's own word, so that the connection is
    /// where it should be.
    pub(crate) fn leaves_connection(self) -> bool {
        matches!(self, Self::Terminal | Self::Error)
    }
}

/// Looks at `type`. Whether the rest can be read is found out by whoever reads it.
pub(crate) fn classify(payload: &str) -> Tag {
    match event_type(payload) {
        Some(name) => tag(name),
        None => classify_untyped(payload),
    }
}

/// The type where the payload begins with it, as it nearly always does.
fn event_type(payload: &str) -> Option<&str> {
    let rest = payload.strip_prefix(r#"{"type":""#)?;
    let name = rest.get(..memchr::memchr(b'"', rest.as_bytes())?)?;
    (!name.contains('\\')).then_some(name)
}

fn tag(name: &str) -> Tag {
    let kind = EventKind::from_wire(name);
    let role = match kind {
        EventKind::Created | EventKind::Queued | EventKind::InProgress => Role::Lifecycle,
        EventKind::Completed
        | EventKind::Incomplete
        | EventKind::Failed
        | EventKind::Cancelled
        | EventKind::Done => Role::Terminal,
        EventKind::Keepalive
        | EventKind::Ping
        | EventKind::ResponseMetadata
        | EventKind::CodexResponseMetadata
        | EventKind::CodexRateLimits
        | EventKind::WebsocketTiming
        | EventKind::SteerAccepted
        | EventKind::SteerPending
        | EventKind::SteerFailed
        | EventKind::InjectCreated
        | EventKind::InjectFailed => Role::Metadata,
        EventKind::ErrorEvent => Role::Error,
        EventKind::Unknown => match name {
            "response.error" => Role::Error,
            name if name.starts_with("response.") => Role::Output,
            _ => Role::Metadata,
        },
        _ => Role::Output,
    };
    Tag { kind, role }
}

fn classify_untyped(payload: &str) -> Tag {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Peek<'a> {
        #[serde(borrow, rename = "type")]
        event_type: Option<Cow<'a, str>>,
        error: Option<IgnoredAny>,
        detail: Option<IgnoredAny>,
        message: Option<IgnoredAny>,
    }
    let unknown = |role| Tag { kind: EventKind::Unknown, role };
    let trimmed = payload.trim();
    if trimmed.is_empty() || trimmed.starts_with("[DONE]") {
        return unknown(Role::Nothing);
    }
    match serde_json::from_str::<Peek<'_>>(trimmed) {
        Ok(Peek { event_type: Some(name), .. }) => tag(&name),
        Ok(peek) if trimmed.starts_with('{') => {
            if peek.error.is_some() || peek.detail.is_some() || peek.message.is_some() {
                unknown(Role::Error)
            } else if trimmed.trim_start_matches('{').trim_start().starts_with('}') {
                unknown(Role::Nothing)
            } else {
                unknown(Role::Garbage)
            }
        }
        _ => unknown(Role::Garbage),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_found_wherever_they_stand() {
        for payload in [
            r#"{"type":"response.created","response":{}}"#,
            "{ \"type\" : \"response.created\" }",
            r#"{"sequence_number":0,"type":"response.created"}"#,
            r#"{"type":"response.\u0063reated"}"#,
        ] {
            let tag = classify(payload);
            assert_eq!((tag.kind, tag.role), (EventKind::Created, Role::Lifecycle), "{payload}");
        }
    }

    #[test]
    fn roles() {
        for (payload, role) in [
            (r#"{"type":"keepalive","sequence_number":3}"#, Role::Metadata),
            (r#"{"type":"codex.rate_limits"}"#, Role::Metadata),
            (r#"{"type":"response.metadata"}"#, Role::Metadata),
            (r#"{"type":"response.output_text.delta"}"#, Role::Output),
            (r#"{"type":"response.brand_new"}"#, Role::Output),
            (r#"{"type":"response.done"}"#, Role::Terminal),
            (r#"{"type":"response.cancelled"}"#, Role::Terminal),
            (r#"{"type":"response.steer.pending"}"#, Role::Metadata),
            (r#"{"type":"future.metadata"}"#, Role::Metadata),
            (r#"{"type":"error"}"#, Role::Error),
            (r#"{"type":"response.error"}"#, Role::Error),
            (r#"{"error":{"message":"x"}}"#, Role::Error),
            (r#"{"error":"x"}"#, Role::Error),
            (r#"{"detail":"x"}"#, Role::Error),
            (r#"{"message":"x"}"#, Role::Error),
            ("{}", Role::Nothing),
            (" { } ", Role::Nothing),
            ("[DONE]", Role::Nothing),
            ("[DONE] ", Role::Nothing),
        ] {
            assert_eq!(classify(payload).role, role, "{payload}");
        }
    }

    #[test]
    fn c071_what_is_no_event_is_known() {
        for payload in [
            "<html>",
            "[]",
            "[{}]",
            "1",
            "null",
            "\"x\"",
            r#"{"type":7}"#,
            r#"{"a":1}"#,
            "{\"type\":null}",
            "{",
        ] {
            assert_eq!(classify(payload).role, Role::Garbage, "{payload}");
        }
    }
}
