//! Errors of the API, in the forms in which servers send them.

use serde_json::{Map, Value, json};

use super::{
    refusal::Refusal,
    value::{remove, set},
};

/// Form of an error in a stream, on either transport.
///
/// All of these have been observed. The API's own are [`Flat`](Self::Flat) over SSE and
/// [`Nested`](Self::Nested) over WebSocket.
///
/// ```
/// use responses_client::testing::{ErrorShape, Script, Turn};
///
/// let error = |shape| Turn::error_shape(shape, 400, "invalid_prompt", "No");
/// let script = Script::new().turns(ErrorShape::ALL.map(error));
/// assert_eq!(script.turn_count(), 16);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorShape {
    /// `{type: "error", code, message, param, sequence_number}`: the API over SSE. No status.
    Flat,
    /// `{type: "error", status, error: {type, code, message, param}}`: the API over WebSocket.
    Nested,
    /// `Nested`, with `status_code` in place of `status`: older versions.
    StatusCode,
    /// `Nested` without a status.
    WithoutStatus,
    /// `Nested`, with `headers` beside `error`; values that look like numbers are numbers. Those
    /// of the turn, else `retry-after: 1`.
    HeadersOutside,
    /// Like `HeadersOutside`, with `headers` inside `error`.
    HeadersInside,
    /// `{type: "error", status, error: {detail}}`: the ChatGPT backend. No code.
    Detail,
    /// `{type: "error", error: {…}}`, and then `response.failed` with the same error.
    ThenFailed,
    /// `{error: {…}}` without a type: gateways of chat completions.
    Untyped,
    /// `{error: "message"}`: gateways. No status and no code, as in the next two.
    ErrorText,
    /// `{detail: "message"}`: gateways.
    DetailText,
    /// `{message: "message"}`: gateways.
    MessageText,
    /// `{type: "response.error", status, error: {…}}`: other gateways.
    ResponseError,
    /// `response.failed` with `error: null`, without any cause.
    FailedNull,
    /// `response.failed` with `error: {code: null, message}`.
    FailedNullCode,
    /// `response.failed` without `output`.
    FailedWithoutOutput,
}

impl ErrorShape {
    /// Every shape, for tests that try each.
    pub const ALL: [Self; 16] = [
        Self::Flat,
        Self::Nested,
        Self::StatusCode,
        Self::WithoutStatus,
        Self::HeadersOutside,
        Self::HeadersInside,
        Self::Detail,
        Self::ThenFailed,
        Self::Untyped,
        Self::ErrorText,
        Self::DetailText,
        Self::MessageText,
        Self::ResponseError,
        Self::FailedNull,
        Self::FailedNullCode,
        Self::FailedWithoutOutput,
    ];
}

/// An error of the API, as a frame, an HTTP answer, or events.
#[derive(Clone, Debug)]
pub(crate) struct ErrorReply {
    status: u16,
    code: Option<String>,
    message: String,
    param: Option<String>,
    headers: Vec<(String, String)>,
}

impl Refusal {
    /// Returns an answer with the API's error body.
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        ErrorReply::new(status, code, message).refusal()
    }
}

impl ErrorReply {
    pub(crate) fn new(status: u16, code: &str, message: &str) -> Self {
        Self { code: Some(code.to_owned()), ..Self::without_code(status, message) }
    }

    /// Returns an error whose `code` is null, as many of the API's are.
    pub(crate) fn without_code(status: u16, message: impl Into<String>) -> Self {
        Self { status, code: None, message: message.into(), param: None, headers: Vec::new() }
    }

    pub(crate) fn param(self, param: impl Into<String>) -> Self {
        Self { param: Some(param.into()), ..self }
    }

    pub(crate) fn header(&mut self, name: String, value: String) {
        self.headers.push((name, value));
    }

    /// Returns the error as a WebSocket frame; its headers, if it has any, are in `error`.
    pub(crate) fn frame(&self) -> Value {
        let mut error = self.error();
        if !self.headers.is_empty() {
            let headers = self.headers.iter().map(|(name, value)| (name.clone(), json!(value)));
            set(&mut error, "headers", headers.collect::<Map<_, _>>());
        }
        json!({ "type": "error", "status": self.status, "error": error })
    }

    /// Returns the error as an HTTP answer.
    pub(crate) fn refusal(&self) -> Refusal {
        let refusal = Refusal::status(self.status)
            .header("content-type", "application/json")
            .body(json!({ "error": self.error() }).to_string());
        self.headers.iter().fold(refusal, |refusal, (name, value)| refusal.header(name, value))
    }

    /// Returns the error as events of this shape.
    pub(crate) fn events(&self, shape: ErrorShape, response_id: &str) -> Vec<Value> {
        let Self { status, code, message, param, headers: _ } = self;
        let error = self.error();
        let failed = |error: Value| {
            let response =
                json!({ "id": response_id, "status": "failed", "error": error, "output": [] });
            json!({ "type": "response.failed", "sequence_number": 1, "response": response })
        };
        let event = match shape {
            ErrorShape::Flat => json!({
                "type": "error",
                "code": code,
                "message": message,
                "param": param,
                "sequence_number": 0,
            }),
            ErrorShape::Nested => json!({ "type": "error", "status": status, "error": error }),
            ErrorShape::StatusCode => {
                json!({ "type": "error", "status_code": status, "error": error })
            }
            ErrorShape::WithoutStatus => json!({ "type": "error", "error": error }),
            ErrorShape::HeadersOutside => {
                let headers = self.loose_headers();
                json!({ "type": "error", "status": status, "error": error, "headers": headers })
            }
            ErrorShape::HeadersInside => {
                let mut error = error;
                set(&mut error, "headers", self.loose_headers());
                json!({ "type": "error", "status": status, "error": error })
            }
            ErrorShape::Detail => {
                json!({ "type": "error", "status": status, "error": { "detail": message } })
            }
            ErrorShape::ThenFailed => {
                return vec![json!({ "type": "error", "error": error }), failed(error)];
            }
            ErrorShape::Untyped => json!({ "error": error }),
            ErrorShape::ErrorText => json!({ "error": message }),
            ErrorShape::DetailText => json!({ "detail": message }),
            ErrorShape::MessageText => json!({ "message": message }),
            ErrorShape::ResponseError => {
                json!({ "type": "response.error", "status": status, "error": error })
            }
            ErrorShape::FailedNull => failed(Value::Null),
            ErrorShape::FailedNullCode => failed(json!({ "code": null, "message": message })),
            ErrorShape::FailedWithoutOutput => {
                let mut event = failed(json!({ "code": code, "message": message }));
                if let Some(response) = event.get_mut("response") {
                    remove(response, "output");
                }
                event
            }
        };
        vec![event]
    }

    fn error(&self) -> Value {
        let kind = match (self.status, self.code.as_deref()) {
            (429, Some("insufficient_quota")) => "insufficient_quota",
            (429, _) => "rate_limit_error",
            (503, _) => "service_unavailable_error",
            (500.., _) => "server_error",
            _ => "invalid_request_error",
        };
        json!({
            "type": kind,
            "code": self.code,
            "message": self.message,
            "param": self.param,
        })
    }

    /// Returns the headers as some servers send them: numeric values are JSON numbers.
    fn loose_headers(&self) -> Map<String, Value> {
        if self.headers.is_empty() {
            return Map::from_iter([("retry-after".to_owned(), json!(1))]);
        }
        let loose = |value: &String| serde_json::from_str(value).unwrap_or_else(|_| json!(value));
        self.headers.iter().map(|(name, value)| (name.clone(), loose(value))).collect()
    }
}
