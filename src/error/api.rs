//! The server's own account of an error.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use http::HeaderMap;

use super::ErrorCode;
use crate::json::Json;

/// An error as the server told it: as an HTTP answer, an error frame or a failed response.
#[derive(Clone, Default)]
pub struct ApiError {
    pub(crate) status: Option<u16>,
    pub(crate) error_type: Option<String>,
    pub(crate) code: Option<ErrorCode>,
    pub(crate) param: Option<String>,
    pub(crate) message: Option<String>,
    pub(crate) headers: HeaderMap,
    pub(crate) retry_after: Option<RetryAfter>,
    pub(crate) misalignment: Option<Json>,
}

/// When a server wants to be asked again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum RetryAfter {
    /// After this time.
    In(Duration),
    /// At this moment.
    At(SystemTime),
}

impl ApiError {
    /// The HTTP status, of the answer or named in the frame.
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// `type`: `invalid_request_error`, say.
    pub fn error_type(&self) -> Option<&str> {
        self.error_type.as_deref()
    }

    /// `code`.
    pub fn code(&self) -> Option<&ErrorCode> {
        self.code.as_ref()
    }

    /// `param`: the field of the request that it is about.
    pub fn param(&self) -> Option<&str> {
        self.param.as_deref()
    }

    /// The message in full. It may quote the request.
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// The headers of the answer, or those that the frame carried.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// `x-request-id`, or `x-oai-request-id`: what the server's support asks for.
    pub fn request_id(&self) -> Option<&str> {
        let header = |name| self.headers.get(name).and_then(|id| id.to_str().ok());
        header("x-request-id").or_else(|| header("x-oai-request-id"))
    }

    /// What the model did that nobody asked for, as it came with
    /// [`MisalignmentPolicyViolation`](ErrorCode::MisalignmentPolicyViolation): an object with
    /// `error_type`, `detailed_explanation`, `review_target` and `steer`, each of which may be
    /// missing.
    pub fn misalignment(&self) -> Option<&Json> {
        self.misalignment.as_ref()
    }

    /// How long the server wants to be left alone, from now on.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after.map(|retry_after| match retry_after {
            RetryAfter::In(delay) => delay,
            RetryAfter::At(time) => time.duration_since(SystemTime::now()).unwrap_or_default(),
        })
    }

    /// Whether it says that the response to be continued is not there, in any of its wordings.
    pub(crate) fn is_lost_parent(&self) -> bool {
        if self.code == Some(ErrorCode::PreviousResponseNotFound) {
            return true;
        }
        let by_param = self.param.as_deref() == Some("previous_response_id");
        let by_message = self.message.as_deref().is_some_and(|message| {
            let message = message.to_ascii_lowercase();
            message.contains("previous response") && message.contains("not found")
                || message.contains("previous_response_id")
                    && (message.contains("invalid") || message.contains("not found"))
        });
        matches!(self.status, None | Some(400 | 404)) && (by_param || by_message)
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the server answered with an error")?;
        if let Some(status) = self.status {
            write!(f, ", status {status}")?;
        }
        if let Some(code) = &self.code {
            write!(f, ", code {}", masked(code.as_str(), 64))?;
        }
        if let Some(message) = &self.message {
            write!(f, ": {}", masked(message, 512))?;
        }
        Ok(())
    }
}

impl fmt::Debug for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiError")
            .field("status", &self.status)
            .field("code", &self.code.as_ref().map(|code| masked(code.as_str(), 64)))
            .field("message", &self.message.as_deref().map(|message| masked(message, 512)))
            .finish_non_exhaustive()
    }
}

impl std::error::Error for ApiError {}

/// `text`, at most `most` bytes of it, without control characters, and with what looks like a key
/// or token masked: servers quote the key they refuse.
pub(super) fn masked(text: &str, most: usize) -> String {
    let mut shown = String::new();
    for (index, word) in text.split_whitespace().enumerate() {
        if index > 0 {
            shown.push(' ');
        }
        let mut rest = word;
        // A key may stand in quotes, in a URL, in JSON.
        while let Some(first) = rest.chars().next() {
            let end = rest.find(|c| of_key(c) != of_key(first)).unwrap_or(rest.len());
            let (run, tail) = rest.split_at(end);
            if is_key(run) {
                shown.push_str("[masked]");
            } else {
                shown.extend(run.chars().filter(|c| !c.is_control()));
            }
            rest = tail;
        }
        if shown.len() > most {
            let end = (0..=most).rev().find(|&end| shown.is_char_boundary(end));
            shown.truncate(end.unwrap_or_default());
            shown.push('…');
            break;
        }
    }
    shown
}

fn of_key(c: char) -> bool {
    c.is_alphanumeric() || "-_.*".contains(c)
}

/// Whether a run of the characters that keys are made of looks like one.
fn is_key(run: &str) -> bool {
    let bare = run.trim_matches(|c: char| !c.is_alphanumeric());
    let lower = bare.to_ascii_lowercase();
    let keyed = ["sk-", "sess-", "eyj", "bearer"].iter().any(|prefix| lower.starts_with(prefix));
    let random = bare.len() >= 32 && bare.is_ascii() && bare.chars().any(|c| c.is_ascii_digit());
    keyed && bare.len() > 6 || random
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_masked_and_messages_capped() {
        let error = ApiError {
            status: Some(401),
            message: Some(
                "Incorrect API key provided: sk-proj-abc*****wxyz.\u{7} Find it at https://x.example"
                    .into(),
            ),
            ..ApiError::default()
        };
        let text = format!("{error} {error:?}");
        assert!(text.contains("[masked]") && text.contains("Find it"), "{text}");
        assert!(!text.contains("sk-") && !text.contains('\u{7}'));
        let long = ApiError { message: Some("word ".repeat(400)), ..ApiError::default() };
        assert!(long.to_string().len() < 600);
        assert!(!masked(&"a1".repeat(20), 512).contains("a1"));
    }

    #[test]
    fn a_lost_parent_is_known_in_all_its_wordings() {
        let error =
            |status, code: Option<&str>, param: Option<&str>, message: Option<&str>| ApiError {
                status,
                code: code.map(ErrorCode::from),
                param: param.map(str::to_owned),
                message: message.map(str::to_owned),
                ..ApiError::default()
            };
        let not_found = "Previous response with id 'resp_1' not found.";
        for lost in [
            error(None, Some("previous_response_not_found"), None, None),
            error(Some(400), None, None, Some(not_found)),
            error(Some(404), None, None, Some(not_found)),
            error(Some(400), None, None, Some("Invalid previous_response_id.")),
            error(Some(400), None, Some("previous_response_id"), None),
        ] {
            assert!(lost.is_lost_parent(), "{lost}");
        }
        for other in [
            error(Some(400), Some("invalid_value"), Some("model"), Some("no")),
            error(Some(500), None, None, Some(not_found)),
            error(Some(404), Some("model_not_found"), None, Some("The model was not found.")),
        ] {
            assert!(!other.is_lost_parent(), "{other}");
        }
    }
}
