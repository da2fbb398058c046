//! Error of JSON that cannot be decoded.

use std::{borrow::Cow, fmt};

/// Error of JSON that could not be decoded. It names the place and never shows the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    what: Cow<'static, str>,
    problem: Problem,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Problem {
    Syntax { line: usize, column: usize },
    Type { line: usize, column: usize },
    End,
    Expected(&'static str),
}

impl DecodeError {
    /// Keeps only the category and the place of `error`, because its text may quote the payload.
    pub(crate) fn new(what: impl Into<Cow<'static, str>>, error: &serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        let problem = match error.classify() {
            serde_json::error::Category::Syntax => Problem::Syntax { line, column },
            serde_json::error::Category::Data => Problem::Type { line, column },
            serde_json::error::Category::Eof | serde_json::error::Category::Io => Problem::End,
        };
        Self { what: what.into(), problem }
    }

    pub(crate) fn expected(what: impl Into<Cow<'static, str>>, expected: &'static str) -> Self {
        Self { what: what.into(), problem: Problem::Expected(expected) }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, problem } = self;
        match problem {
            Problem::Syntax { line, column } => {
                write!(f, "{what}: no valid JSON at line {line}, column {column}")
            }
            Problem::Type { line, column } => {
                write!(f, "{what}: not of the expected type at line {line}, column {column}")
            }
            Problem::End => write!(f, "{what}: the JSON ends too early"),
            Problem::Expected(expected) => write!(f, "{what}: expected {expected}"),
        }
    }
}

impl std::error::Error for DecodeError {}
