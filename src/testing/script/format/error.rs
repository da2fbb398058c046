//! The error of a script that cannot be parsed.

use std::fmt;

/// An error in the text of a script, with its place.
///
/// ```
/// use responses_client::testing::{Script, ScriptError};
///
/// let error: ScriptError = Script::parse(r#"{"turns": [{"txt": "Hello"}]}"#).unwrap_err();
/// assert_eq!((error.line(), error.turn()), (1, Some(1)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) turn: Option<usize>,
    pub(super) message: String,
}

impl ScriptError {
    /// Returns the line, from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// Returns the byte in the line, from 1, at which the fault begins or ends.
    pub fn column(&self) -> usize {
        self.column
    }

    /// Returns the turn, from 1, if the fault is in one.
    pub fn turn(&self) -> Option<usize> {
        self.turn
    }

    /// Returns the description of the fault.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the error of the JSON in `part`, which is a slice of `whole`.
    pub(super) fn json(whole: &str, part: &str, error: &serde_json::Error) -> Self {
        let start = Self::at(whole, part, String::new());
        let text = error.to_string();
        let place = format!(" at line {} column {}", error.line(), error.column());
        let message = text.strip_suffix(&place).unwrap_or(&text).to_owned();
        match (error.line(), error.column()) {
            (0, _) => Self { message, ..start },
            (1, column) => Self { column: start.column + column.max(1) - 1, message, ..start },
            (line, column) => {
                Self { line: start.line + line - 1, column: column.max(1), message, ..start }
            }
        }
    }

    /// Returns an error of the whole of `part`, which is a slice of `whole`.
    pub(super) fn at(whole: &str, part: &str, message: String) -> Self {
        let offset = (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
        let before = whole.get(..offset).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: offset - line_start + 1,
            turn: None,
            message,
        }
    }

    pub(super) fn in_turn(self, turn: usize) -> Self {
        Self { turn: Some(turn), ..self }
    }
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, turn, message } = self;
        write!(f, "line {line}, column {column}")?;
        if let Some(turn) = turn {
            write!(f, " (turn {turn})")?;
        }
        write!(f, ": {message}")
    }
}

impl std::error::Error for ScriptError {}
