//! A turn, worked out for one request.

#![expect(clippy::indexing_slicing, reason = "a missing member of a JSON value reads as null")]

use serde_json::Value;

use super::{Turn, TurnSource, label::Label};
use crate::{
    server::store::OutputCollector,
    testing::script::{
        error_reply::ErrorReply, exchange::Exchange, generate, message::MessageAnswers,
        refusal::Refusal, step::Step, value::is_terminal,
    },
};

/// A turn, worked out for one request.
#[derive(Debug)]
pub(crate) struct ScriptedAnswer {
    pub(crate) steps: Vec<Step>,
    /// HTTP answer in place of the steps, after these waits; a WebSocket gets the steps.
    pub(crate) http: Option<(Vec<Step>, Refusal)>,
    pub(crate) label: Label,
    pub(crate) answers: MessageAnswers,
    /// Output that the server keeps, if it is not that of the events.
    pub(crate) kept: Option<Vec<Value>>,
}

impl Turn {
    /// Works out the answer to one request.
    ///
    /// Calls the script's closures, which may panic.
    pub(crate) fn answer(&self, exchange: &Exchange) -> ScriptedAnswer {
        let mut steps = match &self.source {
            TurnSource::Generated { items, ending } => {
                let events = generate::events(exchange, items, ending);
                events.into_iter().map(Step::Event).collect()
            }
            TurnSource::Error { error, shape: None } => vec![Step::Event(error.frame())],
            TurnSource::Error { error, shape: Some(shape) } => {
                let events = error.events(*shape, &exchange.response_id);
                events.into_iter().map(Step::Event).collect()
            }
            TurnSource::Steps(steps) => steps.clone(),
        };
        let mut kept = None;
        for (place, edit) in self.edits.iter().enumerate() {
            if self.kept_before == Some(place) {
                kept = Some(output_of(&steps));
            }
            edit.apply(&mut steps);
        }
        let whole = self.http.clone().or_else(|| self.label.in_place_of(&steps));
        let http = match whole {
            Some(refusal) => Some((Vec::new(), refusal)),
            None => self.error_for(exchange).and_then(|error| {
                let waits: Vec<_> =
                    steps.iter().take_while(|step| step.is_wait()).cloned().collect();
                // After other steps it is too late for a status.
                let comes_next = steps.get(waits.len()).is_some_and(Step::is_event);
                comes_next.then(|| (waits, error.refusal()))
            }),
        };
        let (label, answers) = (self.label.clone(), self.answers.clone());
        ScriptedAnswer { steps, http, label, answers, kept }
    }

    /// Returns the error that is an HTTP error to this request. An error in the shape of an event
    /// is one only if no events are asked for.
    fn error_for(&self, exchange: &Exchange) -> Option<&ErrorReply> {
        match &self.source {
            TurnSource::Error { error, shape: None } => Some(error),
            TurnSource::Error { error, shape: Some(_) } => {
                let is_event = exchange.streams() || exchange.is_in_background();
                (!is_event).then_some(error)
            }
            TurnSource::Generated { .. } | TurnSource::Steps(_) => None,
        }
    }
}

/// Returns the items of the terminal event, or if it has none, the items finished earlier.
fn output_of(steps: &[Step]) -> Vec<Value> {
    let mut collected = OutputCollector::default();
    let mut output = Vec::new();
    for event in steps.iter().filter_map(Step::event) {
        collected.observe(&event);
        if is_terminal(&event) {
            output = std::mem::take(&mut collected).finish(&event["response"]);
        }
    }
    output
}
