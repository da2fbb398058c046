//! Events that the crate makes from a response that arrived without events.

use bytestring::ByteString;

use super::{
    Cancelled, Completed, Done, EventKind, Failed, InProgress, Incomplete, Queued, ResponseEvent,
};
use crate::json::{DecodeError, Json};

impl ResponseEvent {
    /// Returns an event of this kind for a response that arrived without events. `raw` is the
    /// response object.
    pub(crate) fn from_response(kind: EventKind, raw: ByteString) -> Result<Self, DecodeError> {
        let response = Json::from_trusted(raw.slice_ref(raw.trim()));
        let sequence_number = None;
        Ok(match kind {
            EventKind::Completed => Self::Completed(Completed { response, sequence_number, raw }),
            EventKind::Incomplete => {
                Self::Incomplete(Incomplete { response, sequence_number, raw })
            }
            EventKind::Failed => Self::Failed(Failed { response, sequence_number, raw }),
            EventKind::Cancelled => {
                Self::Cancelled(Cancelled { response: Some(response), sequence_number, raw })
            }
            EventKind::Queued => {
                Self::Queued(Queued { response: Some(response), sequence_number, raw })
            }
            EventKind::InProgress => {
                Self::InProgress(InProgress { response: Some(response), sequence_number, raw })
            }
            _ => return Err(DecodeError::expected("the event", "an event of a response")),
        })
    }

    /// Returns the terminal event as an event of another kind, which the status of its response
    /// requires.
    pub(crate) fn with_kind(self, kind: EventKind) -> Self {
        let (response, sequence_number, raw) = match self {
            Self::Completed(Completed { response, sequence_number, raw })
            | Self::Incomplete(Incomplete { response, sequence_number, raw })
            | Self::Done(Done { response, sequence_number, raw }) => {
                (response, sequence_number, raw)
            }
            other => return other,
        };
        match kind {
            EventKind::Incomplete => {
                Self::Incomplete(Incomplete { response, sequence_number, raw })
            }
            EventKind::Failed => Self::Failed(Failed { response, sequence_number, raw }),
            _ => Self::Completed(Completed { response, sequence_number, raw }),
        }
    }

    /// Returns `true` if the server did not send this event. That is
    /// [`Restarted`](Self::Restarted), [`Steered`](Self::Steered), and the terminal event of a response that arrived as plain
    /// JSON instead of a stream. Then [`raw`](Self::raw) is the JSON of that response.
    pub fn is_synthesized(&self) -> bool {
        let response = match self {
            Self::Restarted | Self::Steered(_) => return true,
            Self::Completed(event) => &event.response,
            Self::Incomplete(event) => &event.response,
            Self::Failed(event) => &event.response,
            Self::Cancelled(Cancelled { response: Some(response), .. }) => response,
            _ => return false,
        };
        // In an event that the server sent, the response is only a part of the text.
        response.as_str().len() == self.raw().trim().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c131_only_what_the_server_did_not_send_is_synthesized() {
        let response = r#" {"object":"response","status":"completed"}
"#;
        for kind in [EventKind::Completed, EventKind::Incomplete] {
            let event = ResponseEvent::from_response(kind, response.into()).unwrap();
            assert_eq!((event.kind(), event.raw()), (kind, response));
            assert!(event.is_synthesized());
            let sent = format!(r#"{{"response":{response}}}"#);
            let event = ResponseEvent::decode(kind, sent.into()).unwrap();
            assert!(!event.is_synthesized());
        }
        let created = r#"{"type":"response.created","response":{}}"#;
        let created = ResponseEvent::decode(EventKind::Created, created.into()).unwrap();
        assert!(!created.is_synthesized());
        assert!(ResponseEvent::Restarted.is_synthesized());
        assert!(ResponseEvent::from_response(EventKind::Ping, "{}".into()).is_err());
    }
}
