//! Labels of an answer over SSE.

use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use serde_json::{Value, json};

use super::{Turn, edit::is_terminal};
use crate::testing::{generate, script::Refusal, step::Step};

/// Headers and event names of a stream over SSE.
#[derive(Clone, Debug, Default)]
pub(in crate::testing) struct Label {
    /// `None` stands for the right type; `Some(None)` for no type at all.
    content_type: Option<Option<String>>,
    encoding: Option<String>,
    /// The `event:` field says the type, and the object does not.
    pub(in crate::testing) untyped: bool,
    unstreamed: bool,
}

/// Bodies that are not what their head says, or are no stream. Over WebSocket these change nothing.
impl Turn {
    /// Says that the body is of this type, or of none at all, such as `Some("text/plain")`.
    pub fn labelled(mut self, content_type: Option<&str>) -> Self {
        self.label.content_type = Some(content_type.map(str::to_owned));
        self
    }

    /// Says that the body has this content encoding, such as `gzip`. The bytes stay as they are.
    pub fn encoded(mut self, encoding: &str) -> Self {
        self.label.encoding = Some(encoding.to_owned());
        self
    }

    /// Leaves `type` out of the events: only the `event:` field has it.
    pub fn untyped(mut self) -> Self {
        self.label.untyped = true;
        self
    }

    /// Answers with the response itself, as JSON, in place of a stream, or with the error object
    /// where an error is the last event; the status is 200 either way.
    pub fn unstreamed(mut self) -> Self {
        self.label.unstreamed = true;
        self
    }
}

impl Label {
    /// The headers of a stream.
    pub(in crate::testing) fn headers(&self) -> Vec<(String, String)> {
        let event_stream = Some("text/event-stream; charset=utf-8".to_owned());
        let content_type = self.content_type.clone().unwrap_or(event_stream);
        let header = |name: &str, value: Option<String>| Some((name.to_owned(), value?));
        [
            header(CONTENT_TYPE.as_str(), content_type),
            header(CONTENT_ENCODING.as_str(), self.encoding.clone()),
            header("cache-control", Some("no-cache".to_owned())),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// The answer in place of a stream of these steps.
    pub(super) fn in_place_of(&self, steps: &[Step]) -> Option<Refusal> {
        let last = steps.iter().rev().find_map(Step::event).filter(|_| self.unstreamed)?;
        let body = match last.get("response").filter(|_| is_terminal(&last)) {
            Some(response) => response.clone(),
            None => json!({ "error": last.get("error").unwrap_or(&last) }),
        };
        Some(self.whole(&body))
    }

    fn whole(&self, body: &Value) -> Refusal {
        let json = Some("application/json".to_owned());
        let label = Self { content_type: self.content_type.clone().or(Some(json)), ..self.clone() };
        let body = Refusal::status(200).body(generate::encode(body));
        label.headers().into_iter().fold(body, |body, (name, value)| body.header(name, value))
    }
}
