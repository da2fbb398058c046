//! Judgement of a turn whose responses the caller steered or stopped.

use std::collections::{BTreeMap, HashSet};

use responses_client::{SteerState, testing::Interrupting};
use serde_json::Value;

use super::{
    asked::{Asked, End, Outcome},
    attempt::Attempt,
    messages::Told,
    values::{Kind, digest, is_about_the_connection, kind, without},
};

impl Asked {
    /// The responses that the caller saw, by their place among the attempts.
    fn shown(&self, events: &[Value]) -> Option<std::ops::RangeInclusive<usize>> {
        let end = events.iter().rfind(|event| kind(event) == Kind::End)?;
        let last = self.attempts.iter().position(|it| end["response"]["id"] == *it.id)?;
        let first = self.attempts[..=last].iter().rposition(|it| !it.follows)?;
        Some(first..=last)
    }

    /// Reasoning that the server keeps and the caller does not get: it is part of an item that was
    /// begun, and that the response ended without.
    pub(crate) fn lost_reasoning(&self, outcome: &Outcome<'_>) -> Vec<String> {
        let End::Output(_) = outcome.end else { return Vec::new() };
        let is_interrupted = outcome
            .events
            .last()
            .is_some_and(|end| end["response"]["incomplete_details"]["reason"] == "interrupted");
        let mut items = BTreeMap::new();
        // Those of the last response.
        let ended = outcome.events.iter().rev().skip(1).take_while(|it| kind(it) != Kind::End);
        for event in ended.filter(|_| is_interrupted) {
            let place = event["output_index"].as_u64();
            match event["type"].as_str() {
                Some("response.output_item.done") => {
                    items.insert(place, (&event["item"], true));
                }
                Some("response.output_item.added") => {
                    items.entry(place).or_insert((&event["item"], false));
                }
                _ => {}
            }
        }
        let mut is_lost = false;
        let mut lost = Vec::new();
        for (item, is_done) in items.into_values().rev() {
            match (item["type"] == "reasoning", is_done) {
                (false, is_done) => is_lost = !is_done,
                (true, false) => {}
                (true, true) => {
                    let content = item["encrypted_content"].as_str().filter(|_| is_lost);
                    lost.extend(content.map(str::to_owned));
                }
            }
        }
        lost
    }

    /// The history that the caller has, must be what the server has.
    pub(crate) fn wrong_with_steered_output(
        &self,
        outcome: &Outcome<'_>,
        output: &[Value],
        lost: &HashSet<String>,
    ) -> Option<String> {
        let Some(shown) = self.shown(outcome.events) else {
            return Some("it ended well, but not at the server".to_owned());
        };
        let last = &self.attempts[*shown.end()];
        let end = outcome.events.last().map(|end| end["response"]["output"].clone());
        let pending = outcome.told.steers.iter().filter_map(|said| match said.handle.state() {
            SteerState::Pending { .. } => Some(said.input.clone()),
            _ => None,
        });
        let mut of_server = last.history.clone();
        of_server.extend(end.as_ref().and_then(Value::as_array).cloned().unwrap_or_default());
        of_server.extend(pending.flatten());
        let of_server = without(&of_server, lost);
        let of_caller = [&self.input[..], output].concat();
        if digest(of_caller.clone()) != digest(of_server.clone()) {
            return Some(format!(
                "its history is not that of the server: {of_caller:?} {of_server:?}"
            ));
        }
        let told = &outcome.told.responses;
        if shown.clone().count() == 1 {
            return (!told.is_empty()).then(|| "its report has other responses".to_owned());
        }
        let responses = self.attempts[shown].iter().map(|it| (it.id.clone(), tokens(it)));
        (!responses.eq(told.iter().cloned()))
            .then(|| format!("its report has the responses {told:?}"))
    }

    /// Every event must be one of this turn's, and none may be lost of the responses that the
    /// caller saw to their end.
    pub(crate) fn wrong_with_steered_events(&self, outcome: &Outcome<'_>) -> Option<String> {
        let parents = self.attempts.iter().filter_map(|it| it.parent.as_deref());
        let ids: Vec<_> = self.attempts.iter().map(|it| &*it.id).chain(parents).collect();
        let mut got = Vec::new();
        for event in outcome.events.iter().filter(|event| !is_about_the_connection(event)) {
            match answered(event) {
                Some(id) if ids.contains(&id) => {}
                Some(id) => return Some(format!("an event about {id} is not of this turn")),
                None => got.push(without_number(event)),
            }
        }
        let mut got = &got[..];
        let mut before = self.attempts.len();
        if let (End::Output(_), Some(shown)) = (&outcome.end, self.shown(outcome.events)) {
            before = *shown.start();
            let is_again = before > 0;
            for at in shown.rev() {
                let of_first = is_again && at == before;
                match self.attempts[at].rest_of(got, of_first, outcome.told) {
                    Some(rest) => got = rest,
                    None => return Some(format!("an event of {} was lost", self.attempts[at].id)),
                }
            }
        }
        let mut all = self.attempts[..before].iter().flat_map(|it| it.sent().iter());
        let mut begun = Vec::new();
        for event in got.iter().filter(|event| !event.is_null()) {
            let is_early = self.attempts.iter().any(|it| it.may_end_early(event, outcome.told));
            if !is_early && !all.any(|sent| without_number(sent) == *event) {
                return Some(format!("an event is not of this turn: {}", event["type"]));
            }
            let id = &event["response"]["id"];
            if event["type"] == "response.created" {
                if begun.contains(&id) {
                    return Some(format!("{id} began twice"));
                }
                begun.push(id);
            }
        }
        None
    }
}

impl Attempt {
    /// Takes the events of this response off the end; `None` if any are missing. `is_again` if the
    /// caller may have had its beginning from an attempt before.
    fn rest_of<'a>(&self, got: &'a [Value], is_again: bool, told: &Told) -> Option<&'a [Value]> {
        let sent: Vec<_> = self.sent().iter().map(without_number).collect();
        let (end, got) = got.split_last()?;
        if sent.last() == Some(end) {
            return rest(got, &sent[..sent.len() - 1], is_again);
        }
        if !self.may_end_early(end, told) {
            return None;
        }
        let of_end = end["response"]["output"].as_array().cloned().unwrap_or_default();
        (0..sent.len()).rev().find_map(|length| {
            let sent = &sent[..length];
            let done = sent.iter().filter(|event| event["type"] == "response.output_item.done");
            let mut done: Vec<_> = done.collect();
            done.sort_by_key(|event| event["output_index"].as_u64());
            let done = done.into_iter().map(|event| event["item"].clone()).collect();
            let rest = rest(got, sent, is_again)?;
            (digest(done) == digest(of_end.clone())).then_some(rest)
        })
    }

    /// Whether the server may have ended this response with an event that was not planned.
    fn may_end_early(&self, event: &Value, told: &Told) -> bool {
        if event["type"] != "response.incomplete" || event["response"]["id"] != *self.id {
            return false;
        }
        match event["response"]["incomplete_details"]["reason"].as_str() {
            Some("steered") => told.steers.iter().any(|said| said.target == self.id),
            Some("interrupted") => {
                let accepts = [Interrupting::Accept, Interrupting::AfterItem];
                told.stops > 0 && accepts.contains(&self.fate.interrupting)
            }
            _ => false,
        }
    }
}

/// Takes these events off the end; `None` if any are missing.
fn rest<'a>(mut got: &'a [Value], sent: &[Value], is_again: bool) -> Option<&'a [Value]> {
    for event in sent.iter().rev() {
        match got.split_last() {
            Some((last, rest)) if last == event => got = rest,
            _ if is_again && kind(event) == Kind::Begin => {}
            _ => return None,
        }
    }
    Some(got)
}

/// The response that an answer to a message is about.
fn answered(event: &Value) -> Option<&str> {
    match event["type"].as_str()? {
        name if name.starts_with("response.steer.") => {
            event["steer"]["previous_response_id"].as_str()
        }
        name if name.starts_with("response.interrupt.")
            || name == "response.output_item.interrupted" =>
        {
            event["response_id"].as_str()
        }
        _ => None,
    }
}

/// Answers to messages shift the numbers of the events.
fn without_number(event: &Value) -> Value {
    let mut event = event.clone();
    if let Some(members) = event.as_object_mut() {
        members.remove("sequence_number");
    }
    event
}

/// The tokens that a response has used.
fn tokens(attempt: &Attempt) -> Option<u64> {
    attempt.sent().last()?["response"]["usage"]["total_tokens"].as_u64()
}
