//! A turn as the caller gave it, and its judgement.

use std::{collections::HashSet, time::Duration};

use responses_client::{Delivery, ErrorKind};
use serde_json::Value;
use tokio::time::Instant;

use super::{
    attempt::Attempt,
    messages::Told,
    oracle::{LEEWAY, Rules},
    server::CREATED_TWICE,
    values::{Kind, Reach, digest, is_about_the_connection, kind, settled},
};

/// A turn as the caller gave it, and the requests that came of it.
pub(crate) struct Asked {
    pub(crate) input: Vec<Value>,
    pub(crate) digest: String,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) since: Instant,
    pub(crate) not_before: Option<Instant>,
    /// The caller has its outcome.
    pub(crate) over: bool,
    /// The caller went away, and a request may still be under way.
    pub(crate) left: bool,
    /// A connection was cut meanwhile, with a request that the server may not have seen.
    pub(crate) may_be_lost: bool,
}

/// What the caller got of a turn.
pub(crate) struct Outcome<'a> {
    /// The events; `null` stands for `Restarted`.
    pub(crate) events: &'a [Value],
    pub(crate) end: End<'a>,
    /// The caller's messages about the running response, and what it heard of them.
    pub(crate) told: &'a Told,
}

pub(crate) enum End<'a> {
    /// The output of a response that completed or is incomplete.
    Output(&'a [Value]),
    Failed(ErrorKind, Delivery),
    /// The caller went away.
    Left,
}

impl Asked {
    /// What is wrong with an outcome. The caller has not got the reasoning in `lost`.
    pub(crate) fn wrong_with(
        &self,
        outcome: &Outcome<'_>,
        rules: &Rules,
        lost: &HashSet<String>,
    ) -> Option<String> {
        let last = self.attempts.last();
        let sent: &[Value] = last.map_or(&[], Attempt::sent);
        match outcome.end {
            End::Output(output) if !outcome.told.is_empty() => {
                if let Some(wrong) = self.wrong_with_steered_output(outcome, output, lost) {
                    return Some(wrong);
                }
            }
            End::Output(output) => {
                if !matches!(sent.last().map(kind), Some(Kind::End)) {
                    return Some("it ended well, but not at the server".to_owned());
                }
                let meant = last.and_then(|last| last.meant.clone());
                let (got, meant) = (output.to_vec(), meant.unwrap_or_else(|| settled(sent)));
                if digest(got.clone()) != digest(meant.clone()) {
                    return Some(format!(
                        "its output is not what the server meant: {got:?} {meant:?}"
                    ));
                }
            }
            End::Failed(kind, delivery) => {
                let ended_by_session = [ErrorKind::Superseded, ErrorKind::SessionClosed];
                let ended = last.is_some_and(|it| it.reach() == Reach::Ended && !it.fate.cut);
                let excused = kind == ErrorKind::Timeout && self.ran_out(rules.deadline)
                    || kind == ErrorKind::FellBehind && rules.falls_behind
                    || kind == ErrorKind::Stopped && outcome.told.stops > 0;
                if ended && !excused && !ended_by_session.contains(&kind) {
                    return Some(format!("it ended well at the server, and here with {kind:?}"));
                }
                let begun = self.attempts.iter().filter(|it| !it.fate.unbegun);
                let reach = begun.map(Attempt::reach).max();
                let ran = reach.is_some_and(|reach| reach > Reach::Refused);
                let told = !self.attempts.is_empty() && self.attempts.iter().all(|it| it.fate.told);
                let lost =
                    self.may_be_lost && matches!(kind, ErrorKind::Truncated | ErrorKind::Closed);
                if told && !lost && delivery > Delivery::Refused {
                    return Some(format!("it was refused, and {kind:?} says {delivery:?}"));
                }
                if ran && delivery <= Delivery::Refused {
                    return Some(format!("it may have run, and {kind:?} says {delivery:?}"));
                }
            }
            End::Left => {}
        }
        if !outcome.told.is_empty() {
            return self.wrong_with_steered_events(outcome);
        }
        let whole = matches!(outcome.end, End::Output(_));
        self.wrong_with_events(outcome.events, sent, whole)
    }

    /// Whether the time of the whole turn ran out before all of the answer was there.
    pub(crate) fn ran_out(&self, deadline: Option<Duration>) -> bool {
        let Some(end) = deadline.map(|deadline| self.since + deadline) else { return false };
        let sent = self.attempts.last().and_then(|it| Some(it.since? + it.fate.takes));
        Instant::now() >= end && sent.is_none_or(|sent| sent + LEEWAY >= end)
    }

    /// Every event must be one of this turn's, in the order in which they were sent, and of the
    /// last attempt each, if the turn is `whole`.
    pub(crate) fn wrong_with_events(
        &self,
        got: &[Value],
        sent: &[Value],
        whole: bool,
    ) -> Option<String> {
        let got: Vec<_> = got.iter().filter(|event| !is_about_the_connection(event)).collect();
        let mut got = &got[..];
        if whole {
            for event in sent.iter().rev() {
                match got.split_last() {
                    Some((last, rest)) if *last == event => got = rest,
                    // Told by an attempt before.
                    _ if self.attempts.len() > 1 && kind(event) == Kind::Begin => {}
                    _ => return Some(format!("an event was lost: {}", event["type"])),
                }
            }
        }
        let mut all = self.attempts.iter().flat_map(Attempt::sent);
        let mut begun = 0;
        for event in got {
            if event.is_null() {
                begun = 0;
                continue;
            }
            if !all.any(|sent| sent == *event) {
                return Some(format!("an event is not of this turn: {}", event["type"]));
            }
            begun += usize::from(event["type"] == "response.created");
        }
        let twice = self.attempts.iter().any(|it| it.fate.name == CREATED_TWICE);
        (begun > 1 + usize::from(twice)).then(|| "`response.created` came twice".to_owned())
    }
}
