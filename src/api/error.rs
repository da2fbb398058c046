//! The error as the server reports it.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use http::HeaderMap;

use super::{ErrorCode, mask::masked};
use crate::json::Json;

/// Error reported by the server in an HTTP answer, an error frame or a failed response.
///
/// ```
/// use responses_client::Error;
///
/// fn show(error: &Error) {
///     if let Some(error) = error.api_error() {
///         println!("{:?} {:?}: {:?}", error.status(), error.code(), error.message());
///     }
/// }
/// # let _ = show;
/// ```
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

/// Time at which the server asks for a retry.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum RetryAfter {
    /// After this delay.
    In(Duration),
    /// At this time.
    At(SystemTime),
}

impl ApiError {
    /// Returns the HTTP status of the answer, or the one named in the frame.
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// Returns `type`, for example `invalid_request_error`.
    pub fn error_type(&self) -> Option<&str> {
        self.error_type.as_deref()
    }

    /// Returns `code`.
    pub fn code(&self) -> Option<&ErrorCode> {
        self.code.as_ref()
    }

    /// Returns `param`: the field of the request that caused the error.
    pub fn param(&self) -> Option<&str> {
        self.param.as_deref()
    }

    /// Returns the message in full. The message may quote the request.
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// Returns the headers of the answer, or those in the frame.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Returns `x-request-id` or `x-oai-request-id`, the id to quote to the server's support.
    pub fn request_id(&self) -> Option<&str> {
        let header = |name| self.headers.get(name).and_then(|id| id.to_str().ok());
        header("x-request-id").or_else(|| header("x-oai-request-id"))
    }

    /// Returns the details of a
    /// [`MisalignmentPolicyViolation`](ErrorCode::MisalignmentPolicyViolation): an object with
    /// `error_type`, `detailed_explanation`, `review_target` and `steer`, each of which may be
    /// missing.
    pub fn misalignment(&self) -> Option<&Json> {
        self.misalignment.as_ref()
    }

    /// Returns the delay that the server asked for, counted from now.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after.map(|retry_after| match retry_after {
            RetryAfter::In(delay) => delay,
            RetryAfter::At(time) => time.duration_since(SystemTime::now()).unwrap_or_default(),
        })
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
}
