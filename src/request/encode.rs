//! One encoder for the create body, and for the messages that contain its members.

use serde::Serialize;
use serde_json::value::RawValue;

use super::{ResponsesRequest, member::join};

/// Object with the members of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CreateBody<'a> {
    /// Start of the object: a brace, and members that are not part of the request.
    pub(crate) head: &'a str,
    /// Name of the lane of the request, if it has one.
    pub(crate) lane: Option<&'a str>,
    /// Id of the response that the request continues, if the session chose the parent.
    pub(crate) parent: Option<&'a str>,
    /// Number of input items that the parent has. The object omits them.
    pub(crate) skip: usize,
    /// Name of a member of the request that the object omits.
    pub(crate) omitted: Option<&'a str>,
}

impl CreateBody<'_> {
    /// Encodes `request`. Strings, lists and items are copied into place; no tree is built in
    /// between.
    pub(crate) fn encode(self, request: &ResponsesRequest) -> Result<String, serde_json::Error> {
        let Self { head, lane, parent, skip, omitted } = self;
        let mut out = Vec::with_capacity(request.input.bytes(skip) + 1024);
        out.extend_from_slice(head.as_bytes());
        if let Some(lane) = lane {
            member(&mut out, "stream_id", lane)?;
        }
        request.for_each_member(|name, value| {
            // The session's own parent replaces a null that the caller passed on.
            if omitted == Some(name) || parent.is_some() && name == PARENT {
                return Ok(());
            }
            serde_json::to_writer(&mut out, name)?;
            out.push(b':');
            value.write(&mut out)?;
            out.push(b',');
            Ok(())
        })?;
        if let Some(parent) = parent {
            member(&mut out, PARENT, parent)?;
        }
        out.extend_from_slice(br#""input":"#);
        join(&mut out, request.input.iter_from(skip).map(|item| item.json().as_str()));
        out.push(b'}');
        String::from_utf8(out).map_err(serde::ser::Error::custom)
    }
}

/// Appends a member with a text.
fn member(out: &mut Vec<u8>, name: &str, value: &str) -> Result<(), serde_json::Error> {
    serde_json::to_writer(&mut *out, name)?;
    out.push(b':');
    serde_json::to_writer(&mut *out, value)?;
    out.push(b',');
    Ok(())
}

const PARENT: &str = "previous_response_id";

/// Serializes the body as it would be sent in full, without the members of the transport.
impl Serialize for ResponsesRequest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let body = CreateBody { head: "{", lane: None, parent: None, skip: 0, omitted: None };
        let body = body.encode(self).map_err(serde::ser::Error::custom)?;
        let raw: &RawValue = serde_json::from_str(&body).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}
