//! One answer of the server, in steps.

#![expect(clippy::indexing_slicing, reason = "a missing member of a JSON value reads as null")]

use std::time::Duration;

use serde_json::Value;

pub use error::ErrorShape;
pub use faults::NoOutput;
pub use habits::Withheld;

pub(super) use error::ApiError;
pub(super) use label::Label;

use super::{
    generate::{self, Ending},
    items,
    script::{Exchange, Refusal},
    step::Step,
};
use edit::Edit;

mod edit;
mod error;
mod faults;
mod habits;
mod label;

/// What the server answers to one request: what to say, and the faults on the way.
///
/// A turn becomes a list of [`Step`]s when its request comes; the modifiers then apply in the order
/// in which they were called. Where they count events, [`Step::Event`], [`Step::Text`],
/// [`Step::Fragmented`], [`Step::Split`] and [`Step::Drip`] count. Where they look at events, what
/// is not JSON stays as it is.
///
/// ```
/// use responses_client::testing::{Step, Turn};
///
/// // Five events, and a reset in the middle of the text.
/// let turn = Turn::text("Hello").cut_after(5, Step::Reset);
/// # let _ = turn;
/// ```
#[derive(Clone, Debug)]
pub struct Turn {
    plan: Plan,
    edits: Vec<Edit>,
    http: Option<Refusal>,
    label: Label,
    /// The server keeps the output as it is before the edit at this place.
    kept_before: Option<usize>,
}

#[derive(Clone, Debug)]
enum Plan {
    Generated { items: Vec<Value>, ending: Ending },
    Error { error: ApiError, shape: Option<ErrorShape> },
    Steps(Vec<Step>),
}

/// A turn, worked out for one request.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) steps: Vec<Step>,
    /// Over SSE: this, after these waits, in place of the steps.
    pub(super) http: Option<(Vec<Step>, Refusal)>,
    pub(super) label: Label,
    /// The output that the server keeps, if it is not what the events say.
    pub(super) kept: Option<Vec<Value>>,
}

impl Turn {
    /// One assistant message.
    pub fn text(text: impl Into<String>) -> Self {
        Self::output([items::message(&text.into())])
    }

    /// These output items, each with its events, and `response.completed`.
    ///
    /// Items of every kind that [`items`] makes come with all events that the API has for them,
    /// from `response.output_item.added` over several deltas to `response.output_item.done`; those
    /// of other kinds with these two alone. An item without an `id` gets one. Deltas carry an
    /// `obfuscation`, unless the request says `include_obfuscation: false`; an image comes with as
    /// many partial ones as the request's tool says, else with one.
    pub fn output(items: impl IntoIterator<Item = Value>) -> Self {
        Self::generated(items, Ending::Completed)
    }

    /// Like [`output`](Self::output), but ends in `response.incomplete` for this reason.
    pub fn incomplete(items: impl IntoIterator<Item = Value>, reason: &str) -> Self {
        Self::generated(items, Ending::Incomplete { reason: reason.to_owned() })
    }

    /// Like [`output`](Self::output), but ends in `response.failed`, which repeats the items.
    pub fn failed(items: impl IntoIterator<Item = Value>, code: &str, message: &str) -> Self {
        let (code, message) = (code.to_owned(), message.to_owned());
        Self::generated(items, Ending::Failed { code, message })
    }

    /// No response at all: an error frame with its status over WebSocket, an HTTP error over SSE.
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        Self::api_error(ApiError::new(status, code, message))
    }

    /// No response, but an error in this shape, in the stream on both transports: over SSE after a
    /// status of 200.
    pub fn error_shape(shape: ErrorShape, status: u16, code: &str, message: &str) -> Self {
        let error = ApiError::new(status, code, message);
        Self::planned(Plan::Error { error, shape: Some(shape) })
    }

    /// Exactly these events.
    pub fn events(events: impl IntoIterator<Item = Value>) -> Self {
        Self::steps(events.into_iter().map(Step::Event))
    }

    /// One event for each line that is not empty, sent as these very bytes.
    pub fn jsonl(fixture: &str) -> Self {
        let lines = fixture.lines().filter(|line| !line.trim().is_empty());
        Self::steps(lines.map(|line| Step::Text(line.to_owned())))
    }

    /// Exactly these steps.
    pub fn steps(steps: impl IntoIterator<Item = Step>) -> Self {
        Self::planned(Plan::Steps(steps.into_iter().collect()))
    }

    /// Has an error say when to come back: in whole seconds by `retry-after`, else by
    /// `retry-after-ms`. Changes nothing but errors.
    pub fn retry_after(self, time: Duration) -> Self {
        if time.subsec_nanos() == 0 {
            self.header("retry-after", time.as_secs().to_string())
        } else {
            self.header("retry-after-ms", time.as_millis().to_string())
        }
    }

    /// Adds a header to an error: of the HTTP answer, or in `headers` of the frame. Of the
    /// [shapes](Self::error_shape) only those that are named for headers have them. Changes nothing
    /// but errors.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        if let Plan::Error { error, .. } = &mut self.plan {
            error.header(name.into(), value.into());
        }
        self
    }

    /// Appends a step.
    pub fn then(self, step: Step) -> Self {
        self.edited("then", move |steps| steps.push(step.clone()))
    }

    /// Puts a step before all others.
    pub fn first(self, step: Step) -> Self {
        self.edited("first", move |steps| steps.insert(0, step.clone()))
    }

    /// Keeps the first `events` events, then comes `fault`; drops the rest.
    pub fn cut_after(self, events: usize, fault: Step) -> Self {
        self.edited("cut_after", move |steps| {
            let kept = match events.checked_sub(1) {
                None => 0,
                Some(last) => edit::place_of_event(steps, last).map_or(steps.len(), |at| at + 1),
            };
            steps.truncate(kept);
            steps.push(fault.clone());
        })
    }

    /// Keeps the first `events` events and this many bytes of the next, as [`Step::Partial`] sends
    /// them, then comes `fault`; drops the rest.
    pub fn cut_inside(self, events: usize, bytes: usize, fault: Step) -> Self {
        self.edited("cut_inside", move |steps| {
            if let Some(place) = edit::place_of_event(steps, events) {
                let text = steps.get(place).and_then(Step::text).unwrap_or_default();
                steps.truncate(place);
                steps.push(Step::Partial { text, bytes });
            }
            steps.push(fault.clone());
        })
    }

    /// Puts a step before the event at `at_event`, or at the end if there are not as many.
    pub fn insert(self, at_event: usize, step: Step) -> Self {
        self.edited("insert", move |steps| {
            let place = edit::place_of_event(steps, at_event).unwrap_or(steps.len());
            steps.insert(place, step.clone());
        })
    }

    /// Changes events; the function gets the place of each.
    pub fn map_events(self, map: impl Fn(usize, Value) -> Value + Send + Sync + 'static) -> Self {
        self.edited("map_events", move |steps| {
            let events = steps.iter_mut().filter(|step| step.is_event()).enumerate();
            for (place, step) in events {
                if let Some(event) = step.event() {
                    let mapped = map(place, event.clone());
                    // What is not changed keeps its bytes.
                    if mapped != event {
                        *step = step.carrying(mapped);
                    }
                }
            }
        })
    }

    /// Over SSE, answers with this instead; over WebSocket changes nothing.
    pub fn http(mut self, refusal: Refusal) -> Self {
        self.http = Some(refusal);
        self
    }

    pub(super) fn api_error(error: ApiError) -> Self {
        Self::planned(Plan::Error { error, shape: None })
    }

    /// May panic: it calls the script's closures.
    pub(super) fn answer(&self, exchange: &Exchange) -> Answer {
        let mut steps = match &self.plan {
            Plan::Generated { items, ending } => {
                let events = generate::events(exchange, items, ending);
                events.into_iter().map(Step::Event).collect()
            }
            Plan::Error { error, shape: None } => vec![Step::Event(error.frame())],
            Plan::Error { error, shape: Some(shape) } => {
                let events = error.events(*shape, &exchange.response_id);
                events.into_iter().map(Step::Event).collect()
            }
            Plan::Steps(steps) => steps.clone(),
        };
        let mut kept = None;
        for (place, edit) in self.edits.iter().enumerate() {
            if self.kept_before == Some(place) {
                kept = Some(told_output(&steps));
            }
            edit.apply(&mut steps);
        }
        let whole = self.http.clone().or_else(|| self.label.in_place_of(&steps));
        let http = match (whole, &self.plan) {
            (Some(refusal), _) => Some((Vec::new(), refusal)),
            (None, Plan::Error { error, shape: None }) => {
                let waits: Vec<_> =
                    steps.iter().take_while(|step| step.is_wait()).cloned().collect();
                // After other steps it is too late for a status.
                let comes_next = steps.get(waits.len()).is_some_and(Step::is_event);
                comes_next.then(|| (waits, error.refusal()))
            }
            (None, _) => None,
        };
        Answer { steps, http, label: self.label.clone(), kept }
    }

    fn generated(items: impl IntoIterator<Item = Value>, ending: Ending) -> Self {
        Self::planned(Plan::Generated { items: items.into_iter().collect(), ending })
    }

    fn planned(plan: Plan) -> Self {
        Self { plan, edits: Vec::new(), http: None, label: Label::default(), kept_before: None }
    }

    fn edited(
        mut self,
        name: &'static str,
        change: impl Fn(&mut Vec<Step>) + Send + Sync + 'static,
    ) -> Self {
        self.edits.push(Edit::new(name, change));
        self
    }
}

/// The items of the terminal event; without any, those that were finished before it.
fn told_output(steps: &[Step]) -> Vec<Value> {
    let mut told = Told::default();
    let mut output = Vec::new();
    for event in steps.iter().filter_map(Step::event) {
        told.notes(&event);
        if edit::is_terminal(&event) {
            output = std::mem::take(&mut told).output(&event["response"]);
        }
    }
    output
}

/// The items that a response has told so far.
#[derive(Debug, Default)]
pub(super) struct Told {
    done: Vec<(u64, Value)>,
}

impl Told {
    pub(super) fn notes(&mut self, event: &Value) {
        if event["type"] == "response.output_item.done" {
            let place = event["output_index"].as_u64().unwrap_or(u64::MAX);
            self.done.push((place, event["item"].clone()));
        }
    }

    /// The output of the response that ends like this.
    pub(super) fn output(mut self, response: &Value) -> Vec<Value> {
        match response["output"].as_array() {
            Some(output) if !output.is_empty() => output.clone(),
            _ => {
                self.done.sort_by_key(|(place, _)| *place);
                self.done.into_iter().map(|(_, item)| item).collect()
            }
        }
    }
}

/// The items in the output of an event's response.
fn output_items(event: &mut Value) -> impl Iterator<Item = &mut Value> {
    event.pointer_mut("/response/output").and_then(Value::as_array_mut).into_iter().flatten()
}
