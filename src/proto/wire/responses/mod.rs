//! The wire of the Responses API.

use bytestring::ByteString;

use super::{Encoded, Frame, Wire};
use crate::request::{CreateBody, ResponsesRequest};

mod classify;

/// The wire of the Responses API, over both transports.
#[derive(Debug)]
pub(crate) struct Responses;

impl Wire for Responses {
    fn path(&self) -> &'static str {
        "responses"
    }

    fn encode(
        &self,
        request: &ResponsesRequest,
        encoded: Encoded<'_>,
    ) -> Result<String, serde_json::Error> {
        let (head, lane, parent, skip) = match encoded {
            Encoded::Http { parent, skip } => (r#"{"stream":true,"#, None, parent, skip),
            Encoded::Frame { parent, skip, lane } => {
                (r#"{"type":"response.create","#, lane, parent, skip)
            }
            Encoded::WarmUp { lane } => {
                (r#"{"type":"response.create","generate":false,"#, lane, None, 0)
            }
        };
        let over_websocket = !matches!(encoded, Encoded::Http { .. });
        // Servers refuse this member over a WebSocket, even when it is `false`.
        let omits_background = over_websocket && request.background == Some(false);
        let omitted = omits_background.then_some("background");
        CreateBody { head, lane, parent, skip, omitted }.encode(request)
    }

    fn classify(&self, name: &str, payload: ByteString) -> Frame {
        let (tag, by_name) = classify::classify(name, &payload);
        Frame { tag, payload, name: if by_name { name.into() } else { ByteString::new() } }
    }
}

/// Returns the frame of a payload that may have several types, of which the last one counts. A frame
/// has the first type, because few payloads have another one.
pub(crate) fn frame_of_last_type(payload: ByteString) -> Frame {
    Frame { tag: classify::tag_of_last_type(&payload), payload, name: ByteString::new() }
}

#[cfg(test)]
mod tests;
