//! Messages on standard error: notes, errors, and notices about running turns.

use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use clap::builder::styling::{AnsiColor, Style};
use responses_client::{
    AttemptFailed, Error, ErrorKind, Transport, TurnObserver,
    report::{Plan, TurnReport},
};

use crate::stop::with_flags;

const DIM: Style = Style::new().dimmed();
const RED: Style = AnsiColor::Red.on_default();

/// Writes a note to standard error: dimmed on a terminal, unless `NO_COLOR` is set.
pub(crate) fn note(text: &str) {
    write(DIM, text);
}

/// Writes an error to standard error: red on a terminal, unless `NO_COLOR` is set.
pub(crate) fn error(text: &str) {
    write(RED, text);
}

fn write(style: Style, text: &str) {
    // If standard error is closed, the exit status still reports a failure.
    let _ = writeln!(anstream::stderr(), "{}", line(style, text));
}

/// Returns the line of a message. The message may quote the server.
fn line(style: Style, text: &str) -> String {
    let text: String = printable(text).collect();
    format!("{style}responses: {text}{style:#}")
}

/// Returns the pieces of `text` between its control characters, which a terminal would obey. Line
/// breaks and tabs stay.
pub(crate) fn printable(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c.is_control() && !matches!(c, '\n' | '\t'))
}

/// Observer that writes a note for each notice about a turn.
#[derive(Clone)]
pub(crate) struct Notices {
    /// Name of the session, if there are several.
    session: Option<Arc<str>>,
    /// Number of the running turn, from 1.
    turn: Arc<AtomicU64>,
    is_verbose: bool,
}

impl Notices {
    /// Returns an observer that reports failed attempts and fallbacks. If `is_verbose` is `true`,
    /// it reports also what is sent, and the end of each turn. `session` is the name of the session
    /// if there are several.
    pub(crate) fn new(session: Option<&str>, is_verbose: bool) -> Self {
        Self { session: session.map(Arc::from), turn: Arc::default(), is_verbose }
    }

    /// Sets the number of the running turn, from 1.
    pub(crate) fn set_turn(&self, turn: u64) {
        self.turn.store(turn, Ordering::Relaxed);
    }

    fn note(&self, text: &str) {
        let turn = self.turn.load(Ordering::Relaxed);
        match &self.session {
            Some(session) => note(&format!("{session}: turn {turn}: {text}")),
            None => note(&format!("turn {turn}: {text}")),
        }
    }
}

impl TurnObserver for Notices {
    fn planned(&self, plan: &Plan, transport: Transport, bytes: u64) {
        if self.is_verbose {
            self.note(&format!("sending {bytes} bytes over {transport}: {}", describe(plan)));
        }
    }

    fn attempt_failed(&self, failed: &AttemptFailed) {
        let AttemptFailed { transport, summary, delay, trying_for, .. } = failed;
        let next = when(*delay);
        let end = trying_for.map_or_else(String::new, |it| format!(", giving up in {it:.0?}"));
        let summary = with_flags(summary);
        self.note(&format!("over {transport}: {summary}; next attempt {next}{end}"));
    }

    fn fell_back(&self) {
        self.note("falling back to SSE");
    }

    fn done(&self, report: &TurnReport, error: Option<&Error>) {
        if !self.is_verbose {
            return;
        }
        let time = report.timings.done.map_or_else(String::new, |it| format!(" after {it:.3?}"));
        let TurnReport { events, bytes_received, .. } = report;
        self.note(&match error {
            Some(error) => format!("failed{time} ({})", in_words(error.kind())),
            None => format!("ended{time}: {events} events, {bytes_received} bytes received"),
        });
    }
}

fn describe(plan: &Plan) -> String {
    match plan {
        Plan::Incremental { new_items: 1, .. } => "incremental, 1 new item".to_owned(),
        Plan::Incremental { new_items, .. } => format!("incremental, {new_items} new items"),
        Plan::Full(reason) => format!("full ({})", reason.as_str().replace('_', " ")),
        _ => "another plan".to_owned(),
    }
}

fn in_words(kind: ErrorKind) -> String {
    kind.as_str().replace('_', " ")
}

fn when(delay: Duration) -> String {
    if delay.is_zero() { "immediately".to_owned() } else { format!("in {delay:.1?}") }
}

#[cfg(test)]
mod tests {
    use responses_client::report::FullSendReason;

    use super::*;

    #[test]
    fn a_message_has_no_control_characters_of_the_server() {
        let text = line(Style::new(), "incomplete (a\x1b]0;title\x07\u{9b}31mb)\nmore");
        assert_eq!(text, "responses: incomplete (a]0;title31mb)\nmore");
    }

    #[test]
    fn plans_and_delays_are_told_in_words() {
        assert_eq!(describe(&Plan::Full(FullSendReason::FirstTurn)), "full (first turn)");
        assert_eq!(when(Duration::ZERO), "immediately");
        assert_eq!(when(Duration::from_millis(212)), "in 212.0ms");
        assert_eq!(when(Duration::from_secs(2)), "in 2.0s");
        assert_eq!(in_words(ErrorKind::UpgradeRefused), "upgrade refused");
    }
}
