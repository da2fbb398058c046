//! What the server did with each steer, and whether the caller was told so.

use std::collections::{BTreeMap, HashMap, HashSet};

use responses_client::{
    ErrorKind, SteerState,
    testing::{Exchange, ServerLog, SteerLog},
};
use serde_json::Value;

use super::{
    asked::{Asked, End, Outcome},
    attempt::{Attempt, Steered},
    messages::{Carried, Said},
    values::{Kind, STEER, is_call, kind, steer_texts, value},
};

/// The steers of an episode, by key.
#[derive(Default)]
pub(crate) struct Steers {
    /// The steers that are in the history of each response.
    lineages: HashMap<String, Vec<String>>,
    /// The response whose input the server added a steer to.
    applied: HashMap<String, String>,
    /// The responses that a steer is in the history of, and not in that of their parent.
    begun_with: HashMap<String, Vec<String>>,
    failed: HashSet<String>,
    /// Keys of the steers that the server has received.
    received: HashSet<String>,
    interrupted: HashSet<String>,
    /// How many steers and interrupts of the log were looked at.
    looked_at: (usize, usize),
    /// What came of them.
    pub(crate) outcomes: BTreeMap<String, u64>,
}

/// A steer has begun the response to this request: the client has sent nothing.
pub(crate) fn follows(exchange: &Exchange) -> bool {
    exchange.body["input"].as_array().is_some_and(Vec::is_empty)
}

impl Steers {
    /// What is wrong with the steers in the server's history of a request.
    pub(crate) fn wrong_with_history(&mut self, exchange: &Exchange) -> Option<String> {
        let id = &exchange.response_id;
        let texts = steer_texts(&exchange.history);
        let mut seen = HashSet::new();
        if let Some(twice) = texts.iter().find(|text| !seen.insert(*text)) {
            return Some(format!("the server has {twice:?} twice"));
        }
        let parent = exchange.body["previous_response_id"].as_str();
        let known = parent.and_then(|parent| self.lineages.get(parent)).cloned();
        let known = known.unwrap_or_default();
        let sent = exchange.body["input"].as_array().map_or(&[][..], Vec::as_slice);
        let sent = steer_texts(sent);
        let new = texts.iter().filter(|text| !known.contains(text));
        let mut keys: Vec<_> = new.map(|text| (key(text), sent.contains(text))).collect();
        keys.dedup();
        self.lineages.insert(id.clone(), texts.clone());
        for (key, is_sent) in keys {
            self.begun_with.entry(key.to_owned()).or_default().push(id.clone());
            if is_sent {
                continue;
            }
            if self.failed.contains(key) {
                return Some(format!("steer {key} has failed, and is in the history of {id}"));
            }
            if let Some(before) = self.applied.insert(key.to_owned(), id.clone()) {
                return Some(format!("steer {key} is applied to {before} and to {id}"));
            }
        }
        None
    }

    /// What is wrong with the steers and interrupts that are new in the log.
    pub(crate) fn wrong_with_log(
        &mut self,
        log: &ServerLog,
        turns: &HashMap<u64, Asked>,
    ) -> Option<String> {
        let attempts: HashMap<_, _> =
            turns.values().flat_map(|it| &it.attempts).map(|it| (&*it.id, it)).collect();
        let mut wrong = None;
        for SteerLog { connection, previous_response_id, body, .. } in
            &log.steers[self.looked_at.0..]
        {
            let texts = steer_texts(body["input"].as_array().map_or(&[][..], Vec::as_slice));
            let Some(key) = texts.first().map(|text| key(text)) else {
                wrong.get_or_insert_with(|| "a steer has no input".to_owned());
                continue;
            };
            if !self.received.insert(key.to_owned()) {
                wrong.get_or_insert_with(|| format!("steer {key} was sent twice"));
            }
            let number = key.split('.').next().and_then(|it| it.parse().ok());
            let of_turn = number.and_then(|number: u64| turns.get(&number));
            let target = attempts.get(&**previous_response_id);
            let is_of_turn = of_turn.is_some_and(|asked| {
                asked.attempts.iter().any(|it| it.id == *previous_response_id)
            });
            if !is_of_turn || target.is_none_or(|it| it.connection != *connection) {
                let to = previous_response_id;
                wrong.get_or_insert_with(|| format!("steer {key} was sent to {to}"));
            }
        }
        for interrupt in &log.interrupts[self.looked_at.1..] {
            let id = &interrupt.response_id;
            let target = attempts.get(&**id);
            let is_right = target.is_some_and(|it| it.connection == interrupt.connection);
            if !is_right || !self.interrupted.insert(id.clone()) {
                wrong.get_or_insert_with(|| format!("{id} was interrupted"));
            }
        }
        self.looked_at = (log.steers.len(), log.interrupts.len());
        wrong
    }

    /// What is wrong with what the caller of a turn heard of its steers.
    pub(crate) fn wrong_with(&mut self, asked: &Asked, outcome: &Outcome<'_>) -> Option<String> {
        if let Some(violation) = &outcome.told.violation {
            return Some(violation.clone());
        }
        for (reason, times) in &outcome.told.refused {
            *self.outcomes.entry(format!("not sent: {reason}")).or_default() += times;
        }
        let mut wrong = None;
        for said in &outcome.told.steers {
            let state = said.handle.state();
            let of_steer = self.wrong_with_steer(asked, outcome, said, &state);
            wrong = wrong.or(of_steer.map(|it| format!("steer {} is {state:?}: {it}", said.key)));
            if let SteerState::Failed { .. } = state {
                self.failed.insert(said.key.clone());
            }
            *self.outcomes.entry(name(&state, outcome)).or_default() += 1;
        }
        wrong
    }

    fn wrong_with_steer(
        &self,
        asked: &Asked,
        outcome: &Outcome<'_>,
        said: &Said,
        state: &SteerState,
    ) -> Option<String> {
        let wrong = |what: &str| Some(what.to_owned());
        let Some(at) = asked.attempts.iter().position(|it| it.id == said.target) else {
            return wrong("there is no such response");
        };
        let target = &asked.attempts[at];
        let applied = self.applied.get(&said.key);
        let follower = asked.attempts[at..]
            .iter()
            .find(|it| it.follows && it.parent.as_ref() == Some(&said.target));
        match state {
            SteerState::Committed { response_id, .. } => {
                if applied != Some(response_id) || !self.has_all(said, response_id) {
                    return Some(format!("the server applied it to {applied:?}"));
                }
            }
            SteerState::Failed { code, input, .. } => {
                if let Some(applied) = applied {
                    return Some(format!("the server applied it to {applied}"));
                }
                let input: Vec<Value> = input.iter().map(value).collect();
                if input != said.input {
                    return wrong("the input is another one");
                }
                let own = match target.fate.steering {
                    Steered::Refuses(code) | Steered::FailsLater(code) => code,
                    _ => "",
                };
                if ![own, "response_already_completed", "response_not_active"].contains(&&**code) {
                    return wrong("the server never said so");
                }
            }
            SteerState::Pending { .. } => {
                let waits = target.sent().last().is_some_and(|end| {
                    let output = end["response"]["output"].as_array();
                    output.is_some_and(|output| output.iter().any(is_call))
                });
                if applied.is_some() || !waits || !matches!(outcome.end, End::Output(_)) {
                    return Some(format!("the server applied it to {applied:?}"));
                }
            }
            SteerState::Unknown if may_be_unknown(target, follower, outcome) => {}
            SteerState::Unknown => return wrong("no connection was lost, and no wait ended"),
            _ => return wrong("the turn is over"),
        }
        let is_committed = matches!(state, SteerState::Committed { .. });
        if let Some(applied) = applied
            && !is_committed
            && outcome.events.iter().any(|it| begins(it, applied))
        {
            return Some(format!("the caller has had the beginning of {applied}"));
        }
        let is_again = asked.attempts[at..].iter().skip(1).any(|it| !it.follows);
        if is_again && !matches!(state, SteerState::Failed { .. }) {
            return wrong("the request was sent again");
        }
        None
    }

    /// What is wrong with the steers that a turn was to carry, now that it is over.
    pub(crate) fn wrong_with_carried(
        &mut self,
        asked: &Asked,
        carried: &[Carried],
        began: bool,
    ) -> Option<String> {
        let mut wrong = None;
        for Carried { said, is_kept } in carried {
            let state = said.handle.state();
            let (is_right, name) = match &state {
                SteerState::Pending { .. } => (!began, "not carried"),
                SteerState::Unknown => (!is_kept, "left out"),
                SteerState::Committed { response_id, .. } => {
                    let begun = self.begun_with.get(&said.key);
                    let is_of_turn = asked.attempts.iter().any(|it| it.id == *response_id);
                    let is_first = begun.is_some_and(|it| it.contains(response_id));
                    (is_of_turn && is_first && self.has_all(said, response_id), "committed")
                }
                _ => (false, "other"),
            };
            *self.outcomes.entry(format!("pending, then {name}")).or_default() += 1;
            if !is_right {
                wrong.get_or_insert_with(|| format!("steer {} is {state:?}", said.key));
            }
        }
        wrong
    }

    /// Whether the history of a response has all of a steer.
    fn has_all(&self, said: &Said, response_id: &str) -> bool {
        let Some(lineage) = self.lineages.get(response_id) else { return false };
        let of_steer = lineage.iter().filter(|text| key(text) == said.key);
        of_steer.eq(&steer_texts(&said.input))
    }
}

/// The key of a steer, which its text has.
fn key(text: &str) -> &str {
    text.strip_prefix(STEER).and_then(|it| it.split(' ').next()).unwrap_or_default()
}

fn begins(event: &Value, id: &str) -> bool {
    kind(event) == Kind::Begin && event["response"]["id"] == id
}

/// Whether the caller cannot know what became of a steer.
fn may_be_unknown(target: &Attempt, follower: Option<&Attempt>, outcome: &Outcome<'_>) -> bool {
    let gave_up = match outcome.end {
        End::Left => true,
        // An error of the server ends the response, and the steers with it.
        End::Failed(kind, _) => kind != ErrorKind::Api,
        End::Output(_) => false,
    };
    let never_settled = match target.fate.steering {
        Steered::Ignores | Steered::SuccessorLast | Steered::PendingLate => true,
        Steered::Accepts
        | Steered::SuccessorFirst
        | Steered::Refuses(_)
        | Steered::FailsLater(_) => false,
    };
    let stays_away = |it: &Attempt| {
        let is_begun = it.events.iter().any(|event| kind(event) == Kind::Begin);
        it.fate.cut || !is_begun || it.fate.is_slow
    };
    gave_up
        || never_settled
        || target.fate.cut
        || outcome.told.stops > 0
        || follower.is_some_and(stays_away)
}

fn name(state: &SteerState, outcome: &Outcome<'_>) -> String {
    match state {
        SteerState::Committed { .. } => "committed".to_owned(),
        SteerState::Failed { code, .. } => format!("failed: {code}"),
        SteerState::Pending { .. } => "pending".to_owned(),
        SteerState::Unknown => match outcome.end {
            End::Left => "unknown: dropped".to_owned(),
            End::Failed(kind, _) => format!("unknown: {kind}"),
            End::Output(_) => "unknown: never settled".to_owned(),
        },
        _ => "open".to_owned(),
    }
}
