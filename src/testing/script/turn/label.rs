//! Headers of an answer over HTTP.

use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use serde_json::{Value, json};

use crate::testing::script::{
    refusal::Refusal,
    step::Step,
    value::{encode, is_terminal},
};

/// Headers and event names of a stream over SSE.
#[derive(Clone, Debug, Default)]
pub(crate) struct Label {
    /// `None` means the right type, `Some(None)` no type at all.
    pub(super) content_type: Option<Option<String>>,
    pub(super) encoding: Option<String>,
    /// Only the `event:` field has the type, not the object.
    pub(crate) untyped: bool,
    /// The answer is one JSON value.
    pub(super) unstreamed: bool,
}

impl Label {
    /// Returns the headers of a stream.
    pub(crate) fn headers(&self) -> Vec<(String, String)> {
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

    /// Returns the answer in place of a stream of these steps, if the turn is unstreamed.
    pub(super) fn in_place_of(&self, steps: &[Step]) -> Option<Refusal> {
        let last = steps.iter().rev().find_map(Step::event).filter(|_| self.unstreamed)?;
        let body = match last.get("response").filter(|_| is_terminal(&last)) {
            Some(response) => response.clone(),
            None => json!({ "error": last.get("error").unwrap_or(&last) }),
        };
        Some(self.whole(&body))
    }

    /// Returns `body` as an answer with these headers, whose type is JSON unless the label says
    /// otherwise.
    pub(crate) fn whole(&self, body: &Value) -> Refusal {
        let json = Some("application/json".to_owned());
        let label = Self { content_type: self.content_type.clone().or(Some(json)), ..self.clone() };
        let body = Refusal::status(200).body(encode(body));
        label.headers().into_iter().fold(body, |body, (name, value)| body.header(name, value))
    }
}
