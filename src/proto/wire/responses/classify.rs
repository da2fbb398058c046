//! Classifies a payload by its type, or by its members if it has no known type.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{
    event::EventKind,
    json,
    proto::wire::{Role, Tag},
};

/// Returns the tag of a payload, and `true` if `name` replaces its type. The payload itself is not
/// validated here; decoding it does that.
pub(super) fn classify(name: &str, payload: &str) -> (Tag, bool) {
    match event_type(payload).map(EventKind::from) {
        Some(kind) if kind != EventKind::Unknown => (known(kind), false),
        // The SSE standard gives an event without a name the name `message`.
        _ => classify_members(if name == "message" { "" } else { name }, payload),
    }
}

/// Returns the tag of a payload by the last of its types, if it has several.
pub(super) fn tag_of_last_type(payload: &str) -> Tag {
    classify_members("", payload).0
}

/// Returns the first type if the payload begins with it, as nearly all do.
fn event_type(payload: &str) -> Option<&str> {
    let rest = payload.strip_prefix(r#"{"type":""#)?;
    let (name, rest) = rest.split_at_checked(memchr::memchr2(b'"', b'\\', rest.as_bytes())?)?;
    rest.starts_with('"').then_some(name)
}

fn known(kind: EventKind) -> Tag {
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
        | EventKind::InjectFailed
        | EventKind::InterruptAccepted
        | EventKind::InterruptFailed => Role::Metadata,
        EventKind::ErrorEvent => Role::Error,
        _ => Role::Output,
    };
    Tag { kind, role, bare: false }
}

fn unknown(role: Role) -> Tag {
    Tag { kind: EventKind::Unknown, role, bare: false }
}

/// Returns the tag of an event of this type, known or unknown.
fn tag(event_type: &str) -> Tag {
    match EventKind::from(event_type) {
        EventKind::Unknown if names_error(event_type) => unknown(Role::Error),
        EventKind::Unknown if event_type.starts_with("response.") => unknown(Role::Output),
        EventKind::Unknown => unknown(Role::Metadata),
        kind => known(kind),
    }
}

/// Returns `true` for `error`, `response.error`, `rate_limit_error`, `BadRequestError`.
fn names_error(event_type: &str) -> bool {
    let end = event_type.len().checked_sub("error".len()).and_then(|at| event_type.get(at..));
    end.is_some_and(|end| end.eq_ignore_ascii_case("error"))
}

fn classify_members(name: &str, payload: &str) -> (Tag, bool) {
    let trimmed = payload.trim();
    if trimmed.starts_with("[DONE]") || trimmed.is_empty() && !names_error(name) {
        return (unknown(Role::Ignored), false);
    }
    let Ok(members) = json::from_str::<Members<'_>>(trimmed) else {
        // Some servers send text with their pings. In an event of the response, text is an error:
        // skipping it would lose output.
        let role = match tag(name).role {
            Role::Error => Role::Error,
            Role::Metadata if !name.is_empty() => Role::Ignored,
            _ => Role::Invalid,
        };
        return (unknown(role), role == Role::Error);
    };
    match (members.event_type(), name) {
        (Some(own), _) => {
            let tag = tag(&own);
            // A known type wins, because its events may have an `error` member of their own.
            let is_error = tag.kind == EventKind::Unknown
                && (members.is_error() || names_error(name) || tag.role == Role::Error);
            (if is_error { unknown(Role::Error) } else { tag }, false)
        }
        // Some servers answer a request for a stream with the response itself.
        (None, _) if members.is_response() => (members.response_tag(), false),
        (None, "") => (unknown(members.untyped_role()), false),
        (None, name) => {
            let tag = tag(name);
            // A terminal event needs a response. Gateways send a bare error under the name of one.
            let may_be_error = tag.kind == EventKind::Unknown || tag.role == Role::Terminal;
            (if may_be_error && members.is_error() { unknown(Role::Error) } else { tag }, true)
        }
    }
}

/// Members of an object that classify it. The last of duplicate keys counts.
#[derive(Default)]
struct Members<'a> {
    event_type: Option<&'a RawValue>,
    object: Option<&'a RawValue>,
    error: Option<&'a RawValue>,
    detail: Option<&'a RawValue>,
    message: Option<&'a RawValue>,
    output: Option<&'a RawValue>,
    status: Option<&'a RawValue>,
    any: bool,
}

impl<'a> Members<'a> {
    fn event_type(&self) -> Option<Cow<'a, str>> {
        text(self.event_type)
    }

    fn is_error(&self) -> bool {
        self.error.is_some_and(|error| error.get().starts_with(['{', '"']))
            || text(self.object).is_some_and(|object| object == "error")
    }

    fn is_response(&self) -> bool {
        text(self.object).is_some_and(|object| object == "response")
            || self.output.is_some() && text(self.status).is_some()
    }

    fn response_tag(&self) -> Tag {
        let kind = EventKind::of_response(text(self.status).as_deref());
        Tag { bare: true, ..known(kind) }
    }

    /// Returns the role of an object with neither a type nor a name.
    fn untyped_role(&self) -> Role {
        let is_there =
            |member: Option<&RawValue>| member.is_some_and(|value| value.get() != "null");
        if self.is_error() || is_there(self.detail) || is_there(self.message) {
            Role::Error
        } else if self.any {
            Role::Invalid
        } else {
            Role::Ignored
        }
    }
}

/// String that is copied only if it has escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn text(value: Option<&RawValue>) -> Option<Cow<'_, str>> {
    json::from_str(value?.get()).ok().map(|Text(text)| text)
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Members::default();
                while let Some(Text(name)) = map.next_key()? {
                    members.any = true;
                    let member = match &*name {
                        "type" => &mut members.event_type,
                        "object" => &mut members.object,
                        "error" => &mut members.error,
                        "detail" => &mut members.detail,
                        "message" => &mut members.message,
                        "output" => &mut members.output,
                        "status" => &mut members.status,
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    *member = Some(map.next_value()?);
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::wire::{Frame, Wire, responses::Responses};

    fn named(name: &str, payload: &str) -> Frame {
        Responses.classify(name, payload.into())
    }

    #[test]
    fn types_are_found_wherever_they_stand() {
        for payload in [
            r#"{"type":"response.created","response":{}}"#,
            "{ \"type\" : \"response.created\" }",
            r#"{"sequence_number":0,"type":"response.created"}"#,
            r#"{"type":"response.\u0063reated"}"#,
        ] {
            let tag = named("", payload).tag;
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
            (r#"{"type":"rate_limit_error"}"#, Role::Error),
            (r#"{"type":"Error"}"#, Role::Error),
            (r#"{"type":"errors"}"#, Role::Metadata),
            (r#"{"type":"error.count"}"#, Role::Metadata),
            (r#"{"type":"agent.tool.progress","message":"x","detail":"y"}"#, Role::Metadata),
            (r#"{"type":"agent.tool.progress","error":null}"#, Role::Metadata),
            (r#"{"type":"agent.tool.progress","error":false}"#, Role::Metadata),
            (r#"{"type":"agent.tool.progress","error":{}}"#, Role::Error),
            (r#"{"type":"response.brand_new","error":"x"}"#, Role::Error),
            (r#"{"type":"response.created","error":null}"#, Role::Lifecycle),
            (r#"{"type":"response.mcp_call.failed","error":{"x":1}}"#, Role::Output),
            (r#"{"type":"response.steer.failed","error":{"x":1}}"#, Role::Metadata),
            (r#"{"type":"x","object":"error"}"#, Role::Error),
            (r#"{"object":"error"}"#, Role::Error),
            (r#"{"type":7,"error":"x"}"#, Role::Error),
            (r#"{"x":1,"type":"response.created","type":"error"}"#, Role::Error),
            (r#"{"error":{"message":"x"}}"#, Role::Error),
            (r#"{"error":"x"}"#, Role::Error),
            (r#"{"detail":"x"}"#, Role::Error),
            (r#"{"message":"x"}"#, Role::Error),
            ("{}", Role::Ignored),
            (" { } ", Role::Ignored),
            ("[DONE]", Role::Ignored),
            ("[DONE] ", Role::Ignored),
        ] {
            assert_eq!(classify("", payload).0.role, role, "{payload}");
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
            r#"{"error":null}"#,
            "{\"type\":null}",
            r#"{"type":"agent.tool.progress","#,
            "{",
        ] {
            assert_eq!(classify("", payload).0.role, Role::Invalid, "{payload}");
        }
    }

    #[test]
    fn c127_the_name_is_the_type_where_the_object_has_none() {
        use EventKind::{Created, OutputTextDelta, Ping, Unknown};
        for (name, payload, kind, role) in [
            ("response.created", r#"{"response":{}}"#, Created, Role::Lifecycle),
            ("response.created", "{}", Created, Role::Lifecycle),
            ("response.output_text.delta", r#"{"delta":"x"}"#, OutputTextDelta, Role::Output),
            ("response.output_text.delta", r#"{"type":null}"#, OutputTextDelta, Role::Output),
            ("ping", "{}", Ping, Role::Metadata),
            ("agent.tool.progress", r#"{"message":"x","detail":"y"}"#, Unknown, Role::Metadata),
            ("response.brand_new", r#"{"a":1}"#, Unknown, Role::Output),
            ("error", r#"{"message":"x"}"#, EventKind::ErrorEvent, Role::Error),
            ("Error", "{}", Unknown, Role::Error),
            ("rate_limit_error", r#"{"a":1}"#, Unknown, Role::Error),
            ("ping", r#"{"object":"error"}"#, Ping, Role::Metadata),
            ("agent.tool.progress", r#"{"error":"x"}"#, Unknown, Role::Error),
            ("response.failed", r#"{"error":{"message":"x"}}"#, Unknown, Role::Error),
            ("error", "out of memory", Unknown, Role::Error),
            ("error", "", Unknown, Role::Error),
        ] {
            let frame = named(name, payload);
            assert_eq!((frame.tag.kind, frame.tag.role), (kind, role), "{name} {payload}");
            assert_eq!(frame.name, name, "{payload}");
        }
    }

    #[test]
    fn c127_a_type_that_is_known_counts_before_the_name() {
        for (name, payload, role) in [
            ("error", r#"{"type":"response.created"}"#, Role::Lifecycle),
            ("error", r#"{"type":"overloaded"}"#, Role::Error),
            ("ping", r#"{"type":"response.created"}"#, Role::Lifecycle),
            ("response.created", r#"{"type":"ping"}"#, Role::Metadata),
            ("response.created", r#"{"type":"pong"}"#, Role::Metadata),
        ] {
            let frame = named(name, payload);
            assert_eq!((frame.tag.role, &*frame.name), (role, ""), "{name} {payload}");
        }
    }

    #[test]
    fn c127_what_is_no_object_is_an_error_or_nothing_by_its_name() {
        for (name, payload, role) in [
            ("ping", "", Role::Ignored),
            ("ping", "hello", Role::Ignored),
            ("agent.tool.progress", "7", Role::Ignored),
            ("response.created", "", Role::Ignored),
            ("response.output_text.delta", r#"{"delta":"#, Role::Invalid),
            ("response.brand_new", "hello", Role::Invalid),
            ("message", "hello", Role::Invalid),
            ("message", "{}", Role::Ignored),
            ("message", r#"{"detail":"x"}"#, Role::Error),
            ("", "hello", Role::Invalid),
        ] {
            let frame = named(name, payload);
            assert_eq!(frame.tag.role, role, "{name} {payload}");
        }
    }

    #[test]
    fn c131_a_response_without_an_event_is_the_event_of_its_status() {
        use EventKind::{Cancelled, Completed, Failed, InProgress, Incomplete, Queued};
        for (payload, kind, role) in [
            (r#"{"object":"response","status":"completed"}"#, Completed, Role::Terminal),
            (r#"{"object":"response"}"#, Completed, Role::Terminal),
            (r#"{"output":[],"status":"requires_action"}"#, Completed, Role::Terminal),
            (r#"{"output":[],"status":"incomplete"}"#, Incomplete, Role::Terminal),
            (r#"{"object":"response","status":"failed","error":{}}"#, Failed, Role::Terminal),
            (r#"{"output":null,"status":"cancelled"}"#, Cancelled, Role::Terminal),
            (r#"{"object":"response","status":"queued"}"#, Queued, Role::Lifecycle),
            (r#"{"object":"response","status":"in_progress"}"#, InProgress, Role::Lifecycle),
        ] {
            for name in ["", "response.completed"] {
                let tag = named(name, payload).tag;
                assert_eq!((tag.kind, tag.role, tag.bare), (kind, role, true), "{payload}");
            }
        }
        for payload in [
            r#"{"type":"response.created","object":"response","status":"completed"}"#,
            r#"{"output":[],"status":429}"#,
            r#"{"output":[]}"#,
            r#"{"object":"chat.completion","status":"completed"}"#,
        ] {
            assert!(!named("", payload).tag.bare, "{payload}");
        }
    }
}
