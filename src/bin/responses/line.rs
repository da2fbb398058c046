//! The lines of the output. Each line is a JSON object.

use std::{borrow::Cow, time::Duration};

use responses_client::{
    Error, Response, Transport,
    event::EventKind,
    report::{Attempt, FullSendReason, Plan, Timings, TurnReport},
};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::stop::in_words;

/// Line of an event in the output of `run`.
#[derive(Serialize)]
pub(crate) struct EventLine<'a> {
    pub(crate) turn: u64,
    #[serde(serialize_with = "as_received")]
    pub(crate) event: &'a str,
    #[serde(serialize_with = "snake_case")]
    pub(crate) kind: EventKind,
}

/// Line of the outcome of a turn.
#[derive(Serialize)]
pub(crate) struct TurnLine<'a> {
    turn: u64,
    outcome: &'static str,
    response_id: Option<&'a str>,
    output_text: Option<String>,
    error: Option<ErrorLine<'a>>,
    transport: Option<&'static str>,
    reused: bool,
    plan: Option<&'static str>,
    reason: Option<&'static str>,
    new_items: Option<usize>,
    attempts: Vec<AttemptLine>,
    bytes_sent: u64,
    bytes_received: u64,
    events: u64,
    timings_ms: TimingsLine,
}

/// A line of one of several sessions that run at the same time.
#[derive(Serialize)]
pub(crate) struct SessionLine<'a, L> {
    #[serde(flatten)]
    pub(crate) line: &'a L,
    /// File with the requests of the session.
    pub(crate) session: &'a str,
    /// Name of the lane; `null` for the default lane and over SSE.
    pub(crate) lane: Option<&'a str>,
}

/// Error of a turn.
#[derive(Serialize)]
pub(crate) struct ErrorLine<'a> {
    kind: &'static str,
    delivery: &'static str,
    status: Option<u16>,
    code: Option<&'a str>,
    message: String,
    retry_after_ms: Option<u128>,
}

#[derive(Serialize)]
struct AttemptLine {
    transport: &'static str,
    error: Option<&'static str>,
}

/// Ends of the phases of a turn, in milliseconds since the call of `stream`.
#[derive(Serialize)]
struct TimingsLine {
    queued: Option<f64>,
    connected: Option<f64>,
    sent: Option<f64>,
    first_byte: Option<f64>,
    first_event: Option<f64>,
    first_text: Option<f64>,
    done: Option<f64>,
}

/// Line of a recording: an event, or the error that ended a turn.
#[derive(Serialize)]
pub(crate) struct RecordLine<'a> {
    pub(crate) turn: u64,
    pub(crate) at_ms: u128,
    pub(crate) transport: Option<&'static str>,
    #[serde(flatten)]
    pub(crate) what: Recorded<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Recorded<'a> {
    Event(#[serde(serialize_with = "as_received")] &'a str),
    Error(ErrorLine<'a>),
}

/// End of a turn that did not fail.
#[derive(Clone, Copy)]
pub(crate) enum Ending {
    Completed,
    Incomplete,
}

impl<'a> TurnLine<'a> {
    pub(crate) fn new(
        turn: u64,
        result: Result<Ending, &'a Error>,
        response: Option<&'a Response>,
        report: &TurnReport,
    ) -> Self {
        let new_items = match report.plan {
            Some(Plan::Incremental { new_items, .. }) => Some(new_items),
            _ => None,
        };
        Self {
            turn,
            outcome: match result {
                Ok(Ending::Completed) => "completed",
                Ok(Ending::Incomplete) => "incomplete",
                Err(_) => "error",
            },
            response_id: response.map(Response::id).filter(|id| !id.is_empty()),
            output_text: response.map(Response::output_text),
            error: result.err().map(ErrorLine::new),
            transport: report.transport.map(Transport::as_str),
            reused: report.reused,
            plan: report.plan.as_ref().map(|it| if it.is_full() { "full" } else { "incremental" }),
            reason: report.plan.as_ref().and_then(full_send_reason),
            new_items,
            attempts: report.attempts.iter().map(AttemptLine::new).collect(),
            bytes_sent: report.bytes_sent,
            bytes_received: report.bytes_received,
            events: report.events,
            timings_ms: TimingsLine::new(&report.timings),
        }
    }
}

impl<'a> ErrorLine<'a> {
    pub(crate) fn new(error: &'a Error) -> Self {
        Self {
            kind: error.kind().as_str(),
            delivery: error.delivery().as_str(),
            status: error.status(),
            code: error.code().map(|code| code.as_str()),
            message: in_words(error),
            retry_after_ms: error.retry_after().map(|time| time.as_millis()),
        }
    }
}

impl AttemptLine {
    fn new(attempt: &Attempt) -> Self {
        Self {
            transport: attempt.transport.as_str(),
            error: attempt.failure.as_ref().map(|failure| failure.kind.as_str()),
        }
    }
}

impl TimingsLine {
    fn new(timings: &Timings) -> Self {
        let ms = |time: Option<Duration>| time.map(milliseconds);
        Self {
            queued: ms(timings.queued),
            connected: ms(timings.connected),
            sent: ms(timings.sent),
            first_byte: ms(timings.first_byte),
            first_event: ms(timings.first_event),
            first_text: ms(timings.first_text),
            done: ms(timings.done),
        }
    }
}

/// Returns a time in milliseconds, rounded to microseconds.
fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// Serializes the JSON of an event unchanged, except that the JSON is put on one line. An empty
/// text, of an event that the server did not send, becomes `null`.
fn as_received<S: Serializer>(event: &str, serializer: S) -> Result<S::Ok, S::Error> {
    if event.is_empty() {
        return serializer.serialize_none();
    }
    let line = one_line(event);
    let raw: &RawValue = serde_json::from_str(&line).map_err(serde::ser::Error::custom)?;
    raw.serialize(serializer)
}

/// Serializes the kind of an event in snake case: its name without `response.`. A few names are
/// older than this rule.
fn snake_case<S: Serializer>(kind: &EventKind, serializer: S) -> Result<S::Ok, S::Error> {
    let name = match kind {
        EventKind::ErrorEvent => "error_event",
        EventKind::ResponseMetadata => "response_metadata",
        EventKind::WebsocketTiming => "websocket_timing",
        EventKind::Restarted => "restarted",
        EventKind::Steered => "steered",
        kind => {
            let name = kind.as_str();
            let name = name.strip_prefix("response.").unwrap_or(name);
            return serializer.serialize_str(&name.replace('.', "_"));
        }
    };
    serializer.serialize_str(name)
}

/// Returns JSON on one line: removes the white space between its tokens if there are line breaks.
fn one_line(json: &str) -> Cow<'_, str> {
    // Line breaks within strings are escaped in JSON.
    if !json.contains(['\n', '\r']) {
        return Cow::Borrowed(json);
    }
    let (mut in_string, mut escaped) = (false, false);
    let kept = json.chars().filter(|&c| {
        match c {
            '"' if !escaped => in_string = !in_string,
            ' ' | '\t' | '\n' | '\r' if !in_string => return false,
            _ => {}
        }
        escaped = c == '\\' && !escaped;
        true
    });
    Cow::Owned(kept.collect())
}

/// Returns the reason as the output names it. The output had one name for both reasons against
/// continuing over a transport before the library distinguished them, and programs read that name.
fn full_send_reason(plan: &Plan) -> Option<&'static str> {
    match plan {
        Plan::Full(FullSendReason::SseContinuationOff) => {
            Some(FullSendReason::ProviderUnsupported.as_str())
        }
        Plan::Full(reason) => Some(reason.as_str()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_shown_to_the_letter_and_in_one_line() {
        let line =
            |event, kind| serde_json::to_string(&EventLine { turn: 1, event, kind }).unwrap();
        assert_eq!(
            line(r#"{ "type" : "x\u0079", "n":1.0 }"#, EventKind::Unknown),
            r#"{"turn":1,"event":{ "type" : "x\u0079", "n":1.0 },"kind":"unknown"}"#
        );
        assert_eq!(
            line("{\"a b\" :\r\n\t[1, \"\\\" \\\\\" , 2]\n}", EventKind::OutputTextDelta),
            r#"{"turn":1,"event":{"a b":[1,"\" \\",2]},"kind":"output_text_delta"}"#
        );
        assert_eq!(line("", EventKind::Restarted), r#"{"turn":1,"event":null,"kind":"restarted"}"#);
    }

    #[test]
    fn each_kind_is_the_snake_case_of_its_variant() {
        let table = include_str!("../../event/kinds.rs");
        let names =
            table.split_whitespace().filter_map(|word| word.strip_prefix('"')?.strip_suffix('"'));
        let mut count = 0;
        for kind in names.map(EventKind::from).filter(|kind| *kind != EventKind::Unknown) {
            let mut snake = String::new();
            for letter in format!("{kind:?}").chars() {
                if letter.is_ascii_uppercase() && !snake.is_empty() {
                    snake.push('_');
                }
                snake.push(letter.to_ascii_lowercase());
            }
            let line = serde_json::to_value(EventLine { turn: 1, event: "{}", kind }).unwrap();
            assert_eq!(line["kind"], snake);
            count += 1;
        }
        assert!(count >= 80, "{count} kinds");
    }

    #[test]
    fn milliseconds_have_microseconds() {
        assert_eq!(milliseconds(Duration::from_nanos(1_234_567)), 1.235);
        assert_eq!(milliseconds(Duration::ZERO), 0.0);
    }
}
