//! Error of JSON that cannot be decoded.

use std::{borrow::Cow, fmt};

use super::message::SerdeMessage;

/// Error of JSON that could not be decoded, or of a value that has no JSON form.
///
/// `Display` names the value and the place, `source()` adds serde's message without received
/// values, and [`detail`](Self::detail) is that message in full. So a log that prints the chain of
/// errors shows no payload, and a model that wrote invalid arguments can read its mistake:
///
/// ```
/// use responses_client::Json;
/// use std::error::Error;
///
/// let error = Json::parse(r#"{"days": "secret"}"#)?.member::<u64>("days").unwrap_err();
/// let chain = format!("{error}: {}", error.source().unwrap());
/// assert_eq!(
///     chain,
///     "the member `days`: not of the expected type at line 1, column 8: \
///      invalid type: string, expected u64",
/// );
/// assert_eq!(error.detail(), Some(r#"invalid type: string "secret", expected u64"#));
/// # Ok::<_, responses_client::error::DecodeError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    what: Cow<'static, str>,
    problem: Problem,
    message: Option<SerdeMessage>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Problem {
    Syntax { line: usize, column: usize },
    Type { line: usize, column: usize },
    End,
    Expected(&'static str),
    NoForm,
}

impl DecodeError {
    /// Returns the error of `what`. Its `Display` has only the category and the place of `error`,
    /// because the text of `error` may quote the payload.
    pub(crate) fn new(what: impl Into<Cow<'static, str>>, error: &serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        let problem = match error.classify() {
            serde_json::error::Category::Syntax => Problem::Syntax { line, column },
            serde_json::error::Category::Data => Problem::Type { line, column },
            serde_json::error::Category::Eof | serde_json::error::Category::Io => Problem::End,
        };
        Self { what: what.into(), problem, message: Some(SerdeMessage::new(error)) }
    }

    /// Returns the error of `what`, which could not be serialized.
    pub(crate) fn no_form(what: &'static str, error: &serde_json::Error) -> Self {
        let message = Some(SerdeMessage::new(error));
        Self { what: what.into(), problem: Problem::NoForm, message }
    }

    pub(crate) fn expected(what: impl Into<Cow<'static, str>>, expected: &'static str) -> Self {
        Self { what: what.into(), problem: Problem::Expected(expected), message: None }
    }

    /// Returns serde's message in full, without the place: for example ``missing field `days` ``.
    /// `None` if the error is not serde's.
    ///
    /// The message may quote the received value. Do not log it where payloads are private. It is
    /// the text to return to a model whose arguments do not decode.
    ///
    /// ```
    /// use responses_client::Json;
    ///
    /// #[derive(Debug, serde::Deserialize)]
    /// struct Forecast {
    ///     days: u32,
    /// }
    ///
    /// let error = Json::parse("{}")?.decode::<Forecast>().unwrap_err();
    /// assert_eq!(error.detail(), Some("missing field `days`"));
    /// # Ok::<_, responses_client::error::DecodeError>(())
    /// ```
    pub fn detail(&self) -> Option<&str> {
        self.message.as_ref().map(SerdeMessage::in_full)
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, problem, message: _ } = self;
        match problem {
            Problem::Syntax { line, column } => {
                write!(f, "{what}: no valid JSON at line {line}, column {column}")
            }
            // The type itself refused the value, after serde_json had read the value.
            Problem::Type { line: 0, .. } => write!(f, "{what}: not of the expected type"),
            Problem::Type { line, column } => {
                write!(f, "{what}: not of the expected type at line {line}, column {column}")
            }
            Problem::End => write!(f, "{what}: the JSON ends too early"),
            Problem::Expected(expected) => write!(f, "{what}: expected {expected}"),
            Problem::NoForm => write!(f, "{what} has no JSON form"),
        }
    }
}

impl std::error::Error for DecodeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.message.as_ref().map(|message| message as _)
    }
}
