//! One encoder for the HTTP body and the `response.create` frame.

use serde::Serialize;
use serde_json::value::RawValue;

use super::{ResponsesRequest, member::join};

/// Form in which a request is encoded.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Encoded<'a> {
    /// The create body, without any member of a transport.
    Body,
    /// The body of a POST, with or without a parent.
    Http { parent: Option<&'a str>, skip: usize },
    /// A `response.create` frame with `generate: false`.
    WarmUp,
    /// A `response.create` frame.
    Frame { parent: Option<&'a str>, skip: usize },
}

/// Encodes `request`. If a parent has its first `skip` input items, the encoding omits them.
///
/// Strings, lists and items are copied into place; no tree is built in between.
pub(crate) fn encode(
    request: &ResponsesRequest,
    encoded: Encoded<'_>,
) -> Result<String, serde_json::Error> {
    let (head, parent, skip): (&[u8], _, _) = match encoded {
        Encoded::Body => (b"{", None, 0),
        Encoded::Http { parent, skip } => (br#"{"stream":true,"#, parent, skip),
        Encoded::WarmUp => (br#"{"type":"response.create","generate":false,"#, None, 0),
        Encoded::Frame { parent, skip } => (br#"{"type":"response.create","#, parent, skip),
    };
    let over_websocket = matches!(encoded, Encoded::WarmUp | Encoded::Frame { .. });
    let items = || request.input.iter_from(skip).map(|item| item.json().as_str());
    let mut out = Vec::with_capacity(items().map(|item| item.len() + 1).sum::<usize>() + 1024);
    out.extend_from_slice(head);
    request.for_each_member(|name, value| {
        // The session's own parent replaces a null that the caller passed on.
        if parent.is_some() && name == PARENT {
            return Ok(());
        }
        // Servers refuse this member over a WebSocket, even when it is `false`.
        if over_websocket && name == "background" && request.background == Some(false) {
            return Ok(());
        }
        serde_json::to_writer(&mut out, name)?;
        out.push(b':');
        value.write(&mut out)?;
        out.push(b',');
        Ok(())
    })?;
    if let Some(parent) = parent {
        serde_json::to_writer(&mut out, PARENT)?;
        out.push(b':');
        serde_json::to_writer(&mut out, parent)?;
        out.push(b',');
    }
    out.extend_from_slice(br#""input":"#);
    join(&mut out, items());
    out.push(b'}');
    String::from_utf8(out).map_err(serde::ser::Error::custom)
}

const PARENT: &str = "previous_response_id";

/// Serializes the body as it would be sent in full, without the members of the transport.
impl Serialize for ResponsesRequest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let body = encode(self, Encoded::Body).map_err(serde::ser::Error::custom)?;
        let raw: &RawValue = serde_json::from_str(&body).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{Item, Tool};

    fn text(request: &ResponsesRequest, encoded: Encoded<'_>) -> String {
        encode(request, encoded).unwrap()
    }

    #[test]
    fn a_null_parent_gives_way_to_the_sessions_own() {
        let body = r#"{"model":"m","previous_response_id":null,"input":[]}"#;
        let request = ResponsesRequest::from_json(body).unwrap();
        let frame = |parent| text(&request, Encoded::Frame { parent, skip: 0 });
        assert_eq!(frame(Some("r")).matches("previous_response_id").count(), 1);
        assert!(frame(None).contains(r#""previous_response_id":null"#));
    }

    #[test]
    fn c151_a_background_of_false_is_not_sent_over_a_websocket() {
        for json in [r#"{"model":"m","background":false}"#, r#"{"background":false}"#] {
            let request = ResponsesRequest::from_json(json).unwrap();
            for encoded in [Encoded::WarmUp, Encoded::Frame { parent: None, skip: 0 }] {
                assert!(!text(&request, encoded).contains("background"), "{encoded:?}");
            }
            for encoded in [Encoded::Body, Encoded::Http { parent: None, skip: 0 }] {
                assert!(text(&request, encoded).contains(r#""background":false"#), "{encoded:?}");
            }
        }
    }

    #[test]
    fn both_wires_differ_in_their_head_alone() {
        let mut request = ResponsesRequest::new("m\"")
            .tools([Tool::hosted("web_search"), Tool::hosted("shell")])
            .store(false)
            .extra("x", serde_json::json!({"y": 1}));
        request.input.push(Item::from_json("{\"n\": 1.50}").unwrap());
        request.input.push(Item::from_json("{\"n\":2}").unwrap());
        let tail = r#""model":"m\"","store":false,"tools":[{"type":"web_search"},{"type":"shell"}],"x":{"y":1},"#;
        assert_eq!(
            text(&request, Encoded::Http { parent: None, skip: 0 }),
            format!(r#"{{"stream":true,{tail}"input":[{{"n": 1.50}},{{"n":2}}]}}"#)
        );
        assert_eq!(
            text(&request, Encoded::Frame { parent: Some("resp_1"), skip: 1 }),
            format!(
                r#"{{"type":"response.create",{tail}"previous_response_id":"resp_1","input":[{{"n":2}}]}}"#
            )
        );
    }
}
