//! Reads recordings of `responses run --record`.

use std::{collections::HashMap, time::Duration};

use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::error::ScriptError;
use crate::{
    kind::ErrorKind,
    testing::script::{builder::Script, step::Step, turn::Turn, value::is_terminal_type},
};

impl Script {
    /// Parses a [recording](crate::testing::format#a-recording), to replay its turns.
    ///
    /// # Errors
    ///
    /// Returns an error with the place of the fault if the text is not a recording.
    pub fn from_recording(text: &str) -> Result<Self, ScriptError> {
        let mut script = Self::new();
        let mut turn: Option<RecordedTurn> = None;
        for raw in text.lines().filter(|line| !line.trim().is_empty()) {
            let line: RecordingLine<'_> =
                serde_json::from_str(raw).map_err(|error| ScriptError::json(text, raw, &error))?;
            let number = line.turn;
            let invalid =
                |message: &str| ScriptError::at(text, raw, message.to_owned()).in_turn(number);
            if let Some(earlier) = turn.take_if(|turn| turn.number != number) {
                if earlier.number > number {
                    return Err(invalid("the turn before is a later one"));
                }
                script = script.turns(earlier.turn());
            }
            let recorded = turn.get_or_insert_with(|| RecordedTurn::new(number));
            recorded.add(line).map_err(invalid)?;
        }
        Ok(script.turns(turn.and_then(RecordedTurn::turn)))
    }
}

/// Returns `true` if the first line is one of a recording.
pub(super) fn begins(text: &str) -> bool {
    #[derive(Deserialize)]
    struct RecordingHead {
        #[serde(rename = "turn")]
        _turn: u64,
        #[serde(rename = "at_ms")]
        _at_ms: u64,
    }
    let first = text.lines().find(|line| !line.trim().is_empty());
    first.is_some_and(|line| serde_json::from_str::<RecordingHead>(line).is_ok())
}

#[derive(Deserialize)]
#[serde(rename = "Line")]
struct RecordingLine<'a> {
    turn: usize,
    at_ms: u64,
    #[serde(borrow)]
    event: Option<&'a RawValue>,
    error: Option<RecordedFailure>,
}

#[derive(Deserialize)]
#[serde(rename = "Failure")]
struct RecordedFailure {
    kind: String,
    status: Option<u16>,
    code: Option<String>,
    message: Option<String>,
    retry_after_ms: Option<u64>,
}

/// The part of a turn that was read so far.
struct RecordedTurn {
    number: usize,
    at_ms: u64,
    steps: Vec<Step>,
    end: RecordedEnd,
}

/// End of a recorded turn.
enum RecordedEnd {
    /// Not read yet.
    Open,
    Terminal,
    /// An API error before any event.
    Refused(Box<Turn>),
    /// An error that is one of the steps.
    Failed,
    /// Nothing was sent to the server.
    NotSent,
}

impl RecordedTurn {
    fn new(number: usize) -> Self {
        Self { number, at_ms: 0, steps: Vec::new(), end: RecordedEnd::Open }
    }

    fn add(&mut self, line: RecordingLine<'_>) -> Result<(), &'static str> {
        if !matches!(self.end, RecordedEnd::Open | RecordedEnd::Terminal) {
            return Err("the turn ended with the error before");
        }
        let Some(pause) = line.at_ms.checked_sub(self.at_ms) else {
            return Err("`at_ms` is less than in the line before");
        };
        self.at_ms = line.at_ms;
        if pause > 0 {
            self.steps.push(Step::Delay(Duration::from_millis(pause)));
        }
        match (line.event, line.error) {
            (Some(event), None) => {
                if is_terminal(event.get()) {
                    self.end = RecordedEnd::Terminal;
                }
                self.steps.push(Step::Text(event.get().to_owned()));
            }
            (None, Some(error)) => self.fail(error),
            _ => return Err("a line has either an `event` or an `error`"),
        }
        Ok(())
    }

    fn fail(&mut self, failure: RecordedFailure) {
        let RecordedFailure { kind, status, code, message, retry_after_ms } = failure;
        let begun = self.steps.iter().any(Step::is_event);
        self.end = RecordedEnd::Failed;
        if kind == ErrorKind::Api.as_str() {
            let message = message.unwrap_or_default();
            let after = retry_after_ms.map(|time| ("retry-after-ms", time.to_string()));
            match status.filter(|_| !begun) {
                Some(status) => {
                    let error = Turn::error(status, &code.unwrap_or_default(), &message);
                    self.end = RecordedEnd::Refused(Box::new(match after {
                        Some((name, value)) => error.header(name, value),
                        None => error,
                    }));
                }
                // After events, or without a status, the error was no HTTP answer.
                None => {
                    let headers: HashMap<_, _> = after.into_iter().collect();
                    let error = json!({ "code": code, "message": message, "headers": headers });
                    let frame = json!({ "type": "error", "status": status, "error": error });
                    self.steps.push(Step::Event(frame));
                }
            }
        } else if NOT_SENT.iter().any(|not_sent| kind == not_sent.as_str()) {
            self.end = RecordedEnd::NotSent;
        } else if STALLED.iter().any(|stalled| kind == stalled.as_str()) {
            self.steps.push(Step::Stall);
        } else {
            self.steps.push(Step::Reset);
        }
    }

    /// Returns the turn; `None` if there is nothing to replay.
    fn turn(self) -> Option<Turn> {
        let Self { steps, end, .. } = self;
        match end {
            RecordedEnd::Open => Some(Turn::steps(steps).then(Step::Reset)),
            RecordedEnd::Terminal | RecordedEnd::Failed => Some(Turn::steps(steps)),
            RecordedEnd::Refused(error) => Some(steps.into_iter().rev().fold(*error, Turn::first)),
            RecordedEnd::NotSent => None,
        }
    }
}

fn is_terminal(event: &str) -> bool {
    #[derive(Deserialize)]
    struct Kind<'a> {
        #[serde(rename = "type")]
        kind: &'a str,
    }
    let kind = serde_json::from_str::<Kind<'_>>(event).map_or("", |event| event.kind);
    is_terminal_type(kind)
}

/// Errors before anything is sent.
const NOT_SENT: [ErrorKind; 5] = [
    ErrorKind::InvalidRequest,
    ErrorKind::InvalidConfig,
    ErrorKind::Auth,
    ErrorKind::NoRuntime,
    ErrorKind::SessionClosed,
];

/// Errors of a client that waited while the server sent nothing more.
const STALLED: [ErrorKind; 2] = [ErrorKind::Timeout, ErrorKind::Superseded];
