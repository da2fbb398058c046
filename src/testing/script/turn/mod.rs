//! `Turn`: the answer to one request, as a plan of events and a list of edits.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    error_reply::{ErrorReply, ErrorShape},
    generate::ResponseEnding,
    inject::Injecting,
    interrupt::Interrupting,
    items,
    message::MessageAnswers,
    refusal::Refusal,
    steer::Steering,
    step::Step,
};
use crate::json::Json;
use edit::StepEdit;
use label::Label;

pub(in crate::testing) mod answer;
mod edit;
mod faults;
pub(in crate::testing) mod habits;
mod item_edits;
pub(in crate::testing) mod label;
pub(in crate::testing) mod shapes;
mod steps;

/// Answer of the server to one request: its events, and faults among them.
///
/// A turn becomes a list of [`Step`]s when its request arrives; the modifiers then apply in the
/// order in which they were called. Where they count events, [`Step::Event`], [`Step::Text`],
/// [`Step::Fragmented`], [`Step::Split`] and [`Step::Drip`] count. Where they change events, text
/// that is not JSON stays unchanged.
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
    source: TurnSource,
    edits: Vec<StepEdit>,
    http: Option<Refusal>,
    label: Label,
    answers: MessageAnswers,
    /// Index of the first edit that does not change the output in the server's own history.
    kept_before: Option<usize>,
}

/// Source of the steps of a turn, before its edits.
#[derive(Clone, Debug)]
enum TurnSource {
    Generated { items: Vec<Value>, ending: ResponseEnding },
    Error { error: ErrorReply, shape: Option<ErrorShape> },
    Steps(Vec<Step>),
}

impl Turn {
    /// Returns a turn with one assistant message.
    pub fn text(text: impl Into<String>) -> Self {
        Self::output([items::message(&text.into())])
    }

    /// Returns a turn with one call of a function. `arguments` is JSON, or its text. The server gives
    /// the call a `call_id` of its own.
    ///
    /// ```
    /// use responses_client::testing::{Script, Turn};
    /// use serde_json::json;
    ///
    /// let script = Script::from([
    ///     Turn::function_call("search", json!({"query": "tides"})),
    ///     Turn::text("Nothing was found."),
    /// ]);
    /// # drop(script);
    /// ```
    pub fn function_call(name: impl AsRef<str>, arguments: impl Into<Json>) -> Self {
        let arguments: Json = arguments.into();
        let text: String = arguments.decode().unwrap_or_else(|_| arguments.as_str().to_owned());
        let name = name.as_ref();
        Self::output([json!({
            "type": "function_call",
            "status": "completed",
            "name": name,
            "arguments": text,
        })])
    }

    /// Returns a turn with these output items, each with its events, and `response.completed`.
    ///
    /// Items of every kind in [`items`] come with all events that the API has for them, from
    /// `response.output_item.added` over several deltas to `response.output_item.done`; items of
    /// other kinds come with only these two. An item without an `id` gets one, and an item of a kind
    /// that has a `status` gets `completed`. Deltas carry an `obfuscation`, unless the request says `include_obfuscation: false`. An image comes with as
    /// many partial images as the request's tool asks for, else with one.
    pub fn output(items: impl IntoIterator<Item = Value>) -> Self {
        Self::generated(items, ResponseEnding::Completed)
    }

    /// Like [`output`](Self::output), but ends in `response.incomplete` for this reason.
    pub fn incomplete(items: impl IntoIterator<Item = Value>, reason: &str) -> Self {
        Self::generated(items, ResponseEnding::Incomplete { reason: reason.to_owned() })
    }

    /// Like [`output`](Self::output), but ends in `response.failed`, which repeats the items.
    pub fn failed(items: impl IntoIterator<Item = Value>, code: &str, message: &str) -> Self {
        let (code, message) = (code.to_owned(), message.to_owned());
        Self::generated(items, ResponseEnding::Failed { code, message })
    }

    /// Returns a turn without a response: an error frame with its status over WebSocket, an HTTP
    /// error over SSE.
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        Self::error_reply(ErrorReply::new(status, code, message))
    }

    /// Returns a turn without a response, with an error in this shape in the stream on both
    /// transports: over SSE after a status of 200.
    pub fn error_shape(shape: ErrorShape, status: u16, code: &str, message: &str) -> Self {
        let error = ErrorReply::new(status, code, message);
        Self::planned(TurnSource::Error { error, shape: Some(shape) })
    }

    /// Returns a turn of exactly these events.
    pub fn events(events: impl IntoIterator<Item = Value>) -> Self {
        Self::steps(events.into_iter().map(Step::Event))
    }

    /// Returns a turn with one event for each line that is not empty, sent byte for byte.
    pub fn jsonl(fixture: &str) -> Self {
        let lines = fixture.lines().filter(|line| !line.trim().is_empty());
        Self::steps(lines.map(|line| Step::Text(line.to_owned())))
    }

    /// Returns a turn of exactly these steps.
    pub fn steps(steps: impl IntoIterator<Item = Step>) -> Self {
        Self::planned(TurnSource::Steps(steps.into_iter().collect()))
    }

    /// Adds a retry delay to an error: `retry-after` for whole seconds, else `retry-after-ms`.
    /// Leaves other turns unchanged.
    pub fn retry_after(self, time: Duration) -> Self {
        if time.subsec_nanos() == 0 {
            self.header("retry-after", time.as_secs().to_string())
        } else {
            self.header("retry-after-ms", time.as_millis().to_string())
        }
    }

    /// Adds a header to an error: to the HTTP answer, or to `headers` of the frame. Of the
    /// [shapes](Self::error_shape), only those with "headers" in their names show it. Leaves other
    /// turns unchanged.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        if let TurnSource::Error { error, .. } = &mut self.source {
            error.header(name.into(), value.into());
        }
        self
    }

    /// Waits for this time before the turn begins: see [`Step::Delay`].
    pub fn delay(self, time: Duration) -> Self {
        self.first(Step::Delay(time))
    }

    /// Appends a step.
    pub fn then(self, step: Step) -> Self {
        self.edited("then", move |steps| steps.push(step.clone()))
    }

    /// Inserts a step before all others.
    pub fn first(self, step: Step) -> Self {
        self.edited("first", move |steps| steps.insert(0, step.clone()))
    }

    /// Keeps the first `events` events, then adds `fault`; drops the rest.
    pub fn cut_after(self, events: usize, fault: Step) -> Self {
        self.edited("cut_after", move |steps| {
            let kept = match events.checked_sub(1) {
                None => 0,
                Some(last) => steps::index_of_event(steps, last).map_or(steps.len(), |at| at + 1),
            };
            steps.truncate(kept);
            steps.push(fault.clone());
        })
    }

    /// Keeps the first `events` events and this many bytes of the next one, as [`Step::Partial`]
    /// sends them, then adds `fault`; drops the rest.
    pub fn cut_inside(self, events: usize, bytes: usize, fault: Step) -> Self {
        self.edited("cut_inside", move |steps| {
            if let Some(place) = steps::index_of_event(steps, events) {
                let text = steps.get(place).and_then(Step::text).unwrap_or_default();
                steps.truncate(place);
                steps.push(Step::Partial { text, bytes });
            }
            steps.push(fault.clone());
        })
    }

    /// Inserts a step before the event at `at_event`, or at the end if there are fewer events.
    pub fn insert(self, at_event: usize, step: Step) -> Self {
        self.edited("insert", move |steps| {
            let place = steps::index_of_event(steps, at_event).unwrap_or(steps.len());
            steps.insert(place, step.clone());
        })
    }

    /// Changes events; the function gets the index of each.
    pub fn map_events(self, map: impl Fn(usize, Value) -> Value + Send + Sync + 'static) -> Self {
        self.edited("map_events", move |steps| {
            let events = steps.iter_mut().filter(|step| step.is_event()).enumerate();
            for (place, step) in events {
                if let Some(event) = step.event() {
                    let mapped = map(place, event.clone());
                    // An event that is not changed keeps its bytes.
                    if mapped != event {
                        *step = step.carrying(mapped);
                    }
                }
            }
        })
    }

    /// Answers with `refusal` over SSE; changes nothing over WebSocket.
    pub fn http(mut self, refusal: Refusal) -> Self {
        self.http = Some(refusal);
        self
    }

    /// Returns a turn with this error and no response.
    pub(crate) fn error_reply(error: ErrorReply) -> Self {
        Self::planned(TurnSource::Error { error, shape: None })
    }

    fn generated(items: impl IntoIterator<Item = Value>, ending: ResponseEnding) -> Self {
        Self::planned(TurnSource::Generated { items: items.into_iter().collect(), ending })
    }

    fn planned(source: TurnSource) -> Self {
        Self {
            source,
            edits: Vec::new(),
            http: None,
            label: Label::default(),
            answers: MessageAnswers::default(),
            kept_before: None,
        }
    }

    /// Says how the server answers each `response.steer` during this turn. Changes nothing over SSE.
    pub fn steering(mut self, steering: Steering) -> Self {
        self.answers.steering = steering;
        self
    }

    /// Says how the server answers each `response.inject` during this turn. Changes nothing over
    /// SSE.
    pub fn injecting(mut self, injecting: Injecting) -> Self {
        self.answers.injecting = injecting;
        self
    }

    /// Says how the server answers each `response.interrupt` during this turn. Changes nothing over
    /// SSE.
    pub fn interrupting(mut self, interrupting: Interrupting) -> Self {
        self.answers.interrupting = interrupting;
        self
    }

    /// Says that the SSE body is of this type, or of no type at all, such as `Some("text/plain")`.
    /// Changes nothing over WebSocket.
    pub fn labelled(mut self, content_type: Option<&str>) -> Self {
        self.label.content_type = Some(content_type.map(str::to_owned));
        self
    }

    /// Says that the SSE body has this content encoding, such as `gzip`, and leaves the bytes
    /// unchanged. Changes nothing over WebSocket.
    pub fn encoded(mut self, encoding: &str) -> Self {
        self.label.encoding = Some(encoding.to_owned());
        self
    }

    /// Leaves `type` out of the events over SSE: only the `event:` field has it. Changes nothing
    /// over WebSocket.
    pub fn untyped(mut self) -> Self {
        self.label.untyped = true;
        self
    }

    /// Answers over SSE with the response as JSON in place of a stream, or with the error object
    /// where an error is the last event; the status is 200 either way. Changes nothing over
    /// WebSocket.
    pub fn unstreamed(mut self) -> Self {
        self.label.unstreamed = true;
        self
    }

    fn edited(
        mut self,
        name: &'static str,
        change: impl Fn(&mut Vec<Step>) + Send + Sync + 'static,
    ) -> Self {
        self.edits.push(StepEdit::new(name, change));
        self
    }

    /// Like [`edited`](Self::edited), for a change that the server's own history does not show.
    fn habit(
        mut self,
        name: &'static str,
        change: impl Fn(&mut Vec<Step>) + Send + Sync + 'static,
    ) -> Self {
        let index = self.edits.len();
        self.kept_before.get_or_insert(index);
        self.edited(name, change)
    }
}
