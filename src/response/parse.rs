//! Responses to and from their JSON.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeMap};

use super::{Accumulator, Response};
use crate::{
    event::item::Members,
    json::{DecodeError, Json},
};

impl Response {
    /// Reads a response from its JSON: the object that the API returns, or a response that was
    /// serialized. The status of the object decides whether the response has ended.
    ///
    /// ```
    /// use responses_client::Response;
    ///
    /// let response = Response::from_json(
    ///     r#"{"id":"resp_1","status":"completed","output":[{"type":"message","role":"assistant",
    ///         "content":[{"type":"output_text","text":"Hello"}]}]}"#,
    /// )?;
    /// assert_eq!(response.output_text(), "Hello");
    /// let stored = serde_json::to_string(&response).unwrap();
    /// assert_eq!(Response::from_json(stored)?.output_text(), "Hello");
    /// # Ok::<_, responses_client::error::DecodeError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if `json` is not one JSON object.
    pub fn from_json(json: impl Into<Json>) -> Result<Self, DecodeError> {
        Self::from_object(&Json::parse(Json::given_text(json))?)
    }

    fn from_object(object: &Json) -> Result<Self, DecodeError> {
        if !object.as_str().starts_with('{') {
            return Err(DecodeError::expected("a response", "an object"));
        }
        Ok(Accumulator::from_object(object)?.snapshot())
    }

    /// Reads a response from the object that the server stores, which has an id.
    pub(crate) fn read(object: Vec<u8>) -> Result<Self, DecodeError> {
        let not_text = |_| DecodeError::expected("a response", "UTF-8");
        let object = Json::parse(String::from_utf8(object).map_err(not_text)?)?;
        let response = Self::from_object(&object)?;
        match response.id {
            Some(_) => Ok(response),
            None => Err(DecodeError::expected("`id`", "a string")),
        }
    }
}

/// Writes the response object of the last lifecycle event, with the settled output in place of its
/// `output`: the list of [`output_items`](Response::output_items). [Unfinished items](Response::unfinished_items) are omitted. A response of which no
/// lifecycle event arrived is an object with only its id, its status and its output.
impl Serialize for Response {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let empty = Json::from_trusted("{}");
        let object = self.last.as_ref().unwrap_or(&empty);
        let members = Members::of(object).map_err(serde::ser::Error::custom)?;
        let mut map = serializer.serialize_map(None)?;
        if let Some(id) = &self.id {
            map.serialize_entry("id", id)?;
        }
        if !self.ended && members.raw("status").is_none_or(|status| status == "null") {
            // Without a status, the object would count as that of a complete response.
            map.serialize_entry("status", "in_progress")?;
        }
        for (name, value) in members.unique() {
            match name {
                "id" | "output" => {}
                "status" if value.get() == "null" => {}
                _ => map.serialize_entry(name, value)?,
            }
        }
        map.serialize_entry("output", &self.output_items().collect::<Vec<_>>())?;
        map.end()
    }
}

/// Reads the response like [`Response::from_json`]. Only the deserializers of `serde_json` are
/// supported.
impl<'de> Deserialize<'de> for Response {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = Json::deserialize(deserializer)?;
        Self::from_object(&object).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::response::ResponseStatus;

    #[test]
    fn a_response_serializes_with_its_own_output_and_id() {
        let text = r#"{"output":"?","status":"completed","x":1.0,"x":2.0,"id":"resp_1"}"#;
        let mut response = Response::from_json(text).unwrap();
        let again = serde_json::to_string(&response).unwrap();
        assert_eq!(again, r#"{"id":"resp_1","status":"completed","x":2.0,"output":[]}"#);
        response.id = Some("resp_0".to_owned());
        assert!(serde_json::to_string(&response).unwrap().starts_with(r#"{"id":"resp_0","#));
    }

    #[test]
    fn a_response_that_has_not_ended_stays_so() {
        for last in [None, Some("{}"), Some(r#"{"status":null}"#)] {
            let last = last.map(|object| Json::parse(object).unwrap());
            let cut = Response { id: Some("r".to_owned()), last, ..Response::default() };
            let text = serde_json::to_string(&cut).unwrap();
            assert_eq!(text, r#"{"id":"r","status":"in_progress","output":[]}"#);
            let read: Response = serde_json::from_str(&text).unwrap();
            let facts = (read.id(), read.is_finished(), read.status());
            assert_eq!(facts, ("r", false, ResponseStatus::InProgress));
        }
    }

    #[test]
    fn the_time_to_serialize_grows_with_the_members_and_not_with_their_square() {
        let members: Vec<String> = (0..100_000).map(|n| format!(r#","m{n}":0"#)).collect();
        let text = format!(r#"{{"id":"r","status":"completed"{},"output":[]}}"#, members.concat());
        let response = Response::from_json(text.as_str()).unwrap();
        let start = std::time::Instant::now();
        assert_eq!(serde_json::to_string(&response).unwrap(), text);
        assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
    }

    #[test]
    fn what_is_no_response_is_an_error() {
        for text in ["", "[]", "7", r#"{"id":"#] {
            assert!(Response::from_json(text).is_err(), "{text}");
        }
    }
}
