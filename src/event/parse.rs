//! Events to and from their JSON.

use bytestring::ByteString;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeMap};
use serde_json::value::RawValue;

use super::{EventKind, ResponseEvent, Unknown, fields::MaybeText};
use crate::json::{self, DecodeError, Json};

impl ResponseEvent {
    /// Reads an event from its JSON, as a stream yields it. The JSON is kept byte for byte. An
    /// event of a type that this version does not know is [`Unknown`](Self::Unknown). The JSON of a
    /// response without an event around it is the terminal event of that response. The halves of a
    /// surrogate pair that two deltas share stay separate, because each event is read by itself.
    ///
    /// ```
    /// use responses_client::ResponseEvent;
    ///
    /// let text = r#"{"type":"response.output_text.delta","delta":"Hi","output_index":0}"#;
    /// let event = ResponseEvent::from_json(text)?;
    /// assert_eq!(event.text_delta(), Some("Hi"));
    /// assert_eq!(serde_json::to_string(&event).unwrap(), text);
    /// # Ok::<_, responses_client::error::DecodeError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if `json` is not a JSON object with a `type`, or if the event lacks a
    /// member that its type requires. Over SSE, a server may send the type of an event only in the
    /// field `event`: the JSON of such an event cannot be read back.
    pub fn from_json(json: impl Into<Json>) -> Result<Self, DecodeError> {
        Self::read(Json::given_text(json).into())
    }

    fn read(text: ByteString) -> Result<Self, DecodeError> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Wire<'a> {
            #[serde(borrow, rename = "type")]
            event_type: MaybeText<'a>,
            #[serde(borrow)]
            object: MaybeText<'a>,
            #[serde(borrow)]
            output: Option<&'a RawValue>,
            #[serde(borrow)]
            status: MaybeText<'a>,
        }
        let Wire { event_type, object, output, status } =
            json::from_str(&text).map_err(|error| DecodeError::new("the event", &error))?;
        let [event_type, object, status] = [event_type, object, status]
            .map(|MaybeText(text)| text.map(|text| text.into_text().into_owned()));
        let is_response = object.as_deref() == Some("response") || output.is_some();
        match event_type.as_deref() {
            Some(name) if name == EventKind::Restarted.as_str() => Ok(Self::Restarted),
            Some(name) => match EventKind::from(name) {
                EventKind::Unknown => Unknown::decode("", text).map(Self::Unknown),
                kind => Self::decode_by_status(kind, text),
            },
            None if is_response => {
                Self::from_response(EventKind::of_response(status.as_deref()), text)
            }
            None => Err(DecodeError::expected("`type`", "a string")),
        }
    }

    /// Decodes an event of a known kind. The status of a response that did not complete overrides
    /// the kind of its terminal event.
    fn decode_by_status(kind: EventKind, payload: ByteString) -> Result<Self, DecodeError> {
        let event = Self::decode(kind, payload)?;
        if !matches!(kind, EventKind::Completed | EventKind::Done | EventKind::Incomplete) {
            return Ok(event);
        }
        let status: Option<String> =
            event.response().and_then(|response| response.member("status").ok().flatten());
        Ok(event.with_kind(kind.with_status(status.as_deref())))
    }
}

impl EventKind {
    /// Returns the kind of the event that stands for a response object with this status.
    pub(crate) fn of_response(status: Option<&str>) -> Self {
        match status {
            Some("queued") => Self::Queued,
            Some("in_progress") => Self::InProgress,
            Some("failed") => Self::Failed,
            Some("cancelled") => Self::Cancelled,
            Some("incomplete") => Self::Incomplete,
            _ => Self::Completed,
        }
    }

    /// Returns the kind of a terminal event whose response has this status. Only a status that
    /// states that the response did not complete overrides the name of the event.
    pub(crate) fn with_status(self, status: Option<&str>) -> Self {
        match (self, status) {
            (_, Some("failed" | "cancelled")) => Self::Failed,
            (_, Some("incomplete")) => Self::Incomplete,
            (Self::Done, _) => Self::Completed,
            _ => self,
        }
    }
}

/// Writes the event as received, byte for byte. `Restarted` is an object with only a `type`, and
/// `Steered` is the terminal event in whose place it stands.
impl Serialize for ResponseEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.source() {
            Some(raw) => Json::from_trusted(raw.clone()).serialize(serializer),
            None => {
                let mut object = serializer.serialize_map(Some(1))?;
                object.serialize_entry("type", &self.kind())?;
                object.end()
            }
        }
    }
}

/// Reads the event like [`ResponseEvent::from_json`]. Only the deserializers of `serde_json` are
/// supported.
impl<'de> Deserialize<'de> for ResponseEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Self::read(String::from(Box::<str>::from(raw)).into()).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_read_as_a_stream_yields_it() {
        let kind = |text: &str| ResponseEvent::from_json(text).unwrap().kind();
        for (text, expected) in [
            (r#"{"type":"response.completed","response":{"status":"completed"}}"#, "completed"),
            (r#"{"type":"response.completed","response":{"status":"failed"}}"#, "failed"),
            (r#"{"type":"response.completed","response":{"status":"incomplete"}}"#, "incomplete"),
            (r#"{"type":"response.done","response":{}}"#, "completed"),
            (r#"{"object":"response","status":"incomplete"}"#, "incomplete"),
            (r#" {"output":[],"status":"queued"}"#, "queued"),
        ] {
            assert_eq!(kind(text).as_str(), format!("response.{expected}"), "{text}");
        }
        assert_eq!(kind(r#"{"type":"keepalive","object":"response"}"#), EventKind::Keepalive);
        assert_eq!(kind(r#"{"type":"brand.new","n":1}"#), EventKind::Unknown);
    }

    #[test]
    fn what_is_no_event_is_an_error() {
        for text in [
            "",
            "[]",
            "{}",
            r#"{"type":7}"#,
            r#"{"object":"list"}"#,
            r#"{"type":"x"} "#.repeat(2).as_str(),
            r#"{"type":"response.completed"}"#,
            r#"{"type":"response.output_text.delta","delta":1}"#,
        ] {
            assert!(ResponseEvent::from_json(text).is_err(), "{text}");
        }
    }

    #[test]
    fn every_event_round_trips_byte_for_byte() {
        for text in [
            r#"{ "type" : "response.output_text.delta", "delta":"\ud83d", "x":1.0 }"#,
            r#"{"n":1,"type":"brand.new"}"#,
            r#"{"object":"response","status":"completed"}"#,
            r#"{"type":"responses_client.restarted"}"#,
        ] {
            let event: ResponseEvent = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&event).unwrap(), text);
        }
        let restarted = serde_json::to_string(&ResponseEvent::Restarted).unwrap();
        let restarted = ResponseEvent::from_json(restarted).unwrap();
        assert!(matches!(restarted, ResponseEvent::Restarted));
    }
}
