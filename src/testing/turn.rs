//! One answer of the server, in steps.

use std::{fmt, sync::Arc};

use serde_json::{Value, json};

use super::{
    generate::{self, Ending},
    script::{Exchange, Refusal},
    step::Step,
};

/// What the server answers to one request: what to say, and the faults on the way.
///
/// A turn becomes a list of [`Step`]s when its request comes; the modifiers then apply in the order
/// in which they were called. Where they count events, [`Step::Event`], [`Step::Text`] and
/// [`Step::Fragmented`] count.
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
}

#[derive(Clone, Debug)]
enum Plan {
    Generated { items: Vec<Value>, ending: Ending },
    Error(ApiError),
    Steps(Vec<Step>),
}

#[derive(Clone)]
enum Edit {
    Then(Step),
    First(Step),
    CutAfter(usize, Step),
    Insert(usize, Step),
    Map(Arc<dyn Fn(usize, Value) -> Value + Send + Sync>),
}

/// A turn, worked out for one request.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) steps: Vec<Step>,
    /// Over SSE: this, after these waits, in place of the steps.
    pub(super) http: Option<(Vec<Step>, Refusal)>,
}

/// An error of the API, in either of its two forms.
#[derive(Clone, Debug)]
pub(super) struct ApiError {
    status: u16,
    code: String,
    message: String,
    param: Option<&'static str>,
    headers: Vec<(String, String)>,
}

impl Turn {
    /// One assistant message.
    pub fn text(text: impl Into<String>) -> Self {
        Self::output([json!({
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [{
                "type": "output_text",
                "text": text.into(),
                "annotations": [],
                "logprobs": [],
            }],
        })])
    }

    /// These output items, each with its events, and `response.completed`.
    ///
    /// Messages, reasoning, function calls and custom tool calls come with all events from
    /// `response.output_item.added` over several deltas to `response.output_item.done`; items of
    /// other kinds with these two alone. An item without an `id` gets one.
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

    /// Adds a header to an error: of the HTTP answer, or in `headers` of the frame. Changes nothing
    /// but errors.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        if let Plan::Error(error) = &mut self.plan {
            error.headers.push((name.into(), value.into()));
        }
        self
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

    /// Appends a step.
    pub fn then(self, step: Step) -> Self {
        self.edited(Edit::Then(step))
    }

    /// Puts a step before all others.
    pub fn first(self, step: Step) -> Self {
        self.edited(Edit::First(step))
    }

    /// Keeps the first `events` events, then comes `fault`; drops the rest.
    pub fn cut_after(self, events: usize, fault: Step) -> Self {
        self.edited(Edit::CutAfter(events, fault))
    }

    /// Puts a step before the event at `at_event`, or at the end if there are not as many.
    pub fn insert(self, at_event: usize, step: Step) -> Self {
        self.edited(Edit::Insert(at_event, step))
    }

    /// Changes events; the function gets the place of each.
    pub fn map_events(self, map: impl Fn(usize, Value) -> Value + Send + Sync + 'static) -> Self {
        self.edited(Edit::Map(Arc::new(map)))
    }

    /// Over SSE, answers with this instead; over WebSocket changes nothing.
    pub fn http(mut self, refusal: Refusal) -> Self {
        self.http = Some(refusal);
        self
    }

    pub(super) fn api_error(error: ApiError) -> Self {
        Self::planned(Plan::Error(error))
    }

    /// May panic: it calls the script's closures.
    pub(super) fn answer(&self, exchange: &Exchange) -> Answer {
        let mut steps = match &self.plan {
            Plan::Generated { items, ending } => {
                let events = generate::events(exchange, items, ending);
                events.into_iter().map(Step::Event).collect()
            }
            Plan::Error(error) => vec![Step::Event(error.frame())],
            Plan::Steps(steps) => steps.clone(),
        };
        for edit in &self.edits {
            edit.apply(&mut steps);
        }
        let http = match (&self.http, &self.plan) {
            (Some(refusal), _) => Some((Vec::new(), refusal.clone())),
            (None, Plan::Error(error)) => {
                let waits: Vec<_> =
                    steps.iter().take_while(|step| step.is_wait()).cloned().collect();
                // After other steps it is too late for a status.
                let comes_next = steps.get(waits.len()).is_some_and(Step::is_event);
                comes_next.then(|| (waits, error.refusal()))
            }
            (None, Plan::Generated { .. } | Plan::Steps(_)) => None,
        };
        Answer { steps, http }
    }

    fn generated(items: impl IntoIterator<Item = Value>, ending: Ending) -> Self {
        Self::planned(Plan::Generated { items: items.into_iter().collect(), ending })
    }

    fn planned(plan: Plan) -> Self {
        Self { plan, edits: Vec::new(), http: None }
    }

    fn edited(mut self, edit: Edit) -> Self {
        self.edits.push(edit);
        self
    }
}

impl Edit {
    fn apply(&self, steps: &mut Vec<Step>) {
        match self {
            Self::Then(step) => steps.push(step.clone()),
            Self::First(step) => steps.insert(0, step.clone()),
            Self::CutAfter(0, fault) => *steps = vec![fault.clone()],
            Self::CutAfter(events, fault) => {
                if let Some(last) = place_of_event(steps, events - 1) {
                    steps.truncate(last + 1);
                }
                steps.push(fault.clone());
            }
            Self::Insert(at, step) => {
                let place = place_of_event(steps, *at).unwrap_or(steps.len());
                steps.insert(place, step.clone());
            }
            Self::Map(map) => {
                let events = steps.iter_mut().filter(|step| step.is_event()).enumerate();
                for (place, step) in events {
                    if let Some(event) = step.event() {
                        let mapped = map(place, event.clone());
                        // What is not changed keeps its bytes.
                        if mapped != event {
                            *step = Step::Event(mapped);
                        }
                    }
                }
            }
        }
    }
}

impl fmt::Debug for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Then(step) => f.debug_tuple("Then").field(step).finish(),
            Self::First(step) => f.debug_tuple("First").field(step).finish(),
            Self::CutAfter(events, step) => {
                f.debug_tuple("CutAfter").field(events).field(step).finish()
            }
            Self::Insert(at, step) => f.debug_tuple("Insert").field(at).field(step).finish(),
            Self::Map(_) => f.debug_tuple("Map").finish_non_exhaustive(),
        }
    }
}

impl ApiError {
    pub(super) fn new(status: u16, code: &str, message: &str) -> Self {
        Self {
            status,
            code: code.to_owned(),
            message: message.to_owned(),
            param: None,
            headers: Vec::new(),
        }
    }

    pub(super) fn param(self, param: &'static str) -> Self {
        Self { param: Some(param), ..self }
    }

    pub(super) fn frame(&self) -> Value {
        let mut error = self.error();
        if let Some(members) = error.as_object_mut().filter(|_| !self.headers.is_empty()) {
            let headers = self.headers.iter().map(|(name, value)| (name.clone(), json!(value)));
            members.insert("headers".to_owned(), headers.collect());
        }
        json!({ "type": "error", "status": self.status, "error": error })
    }

    pub(super) fn refusal(&self) -> Refusal {
        let refusal = Refusal::status(self.status)
            .header("content-type", "application/json")
            .body(json!({ "error": self.error() }).to_string());
        self.headers.iter().fold(refusal, |refusal, (name, value)| refusal.header(name, value))
    }

    fn error(&self) -> Value {
        let kind = match (self.status, self.code.as_str()) {
            (429, "insufficient_quota") => "insufficient_quota",
            (429, _) => "rate_limit_error",
            (503, _) => "service_unavailable_error",
            (500.., _) => "server_error",
            _ => "invalid_request_error",
        };
        json!({
            "type": kind,
            "code": self.code,
            "message": self.message,
            "param": self.param,
        })
    }
}

fn place_of_event(steps: &[Step], event: usize) -> Option<usize> {
    let mut events = steps.iter().enumerate().filter(|(_, step)| step.is_event());
    events.nth(event).map(|(place, _)| place)
}
