//! Turns in other shapes that clients must accept.

#![expect(clippy::indexing_slicing, reason = "a missing member of a JSON value reads as null")]

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    Turn,
    steps::{self, beside},
};
use crate::testing::script::{
    step::Step,
    value::{encode, is_terminal, remove, set},
};

/// Form of a terminal event without its `output`.
///
/// ```
/// use responses_client::testing::{NoOutput, Turn};
///
/// let turn = Turn::text("Hello").empty_terminal_output(NoOutput::Null);
/// # drop(turn);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoOutput {
    /// `"output": null`.
    Null,
    /// `"output": []`.
    Empty,
    /// No `output` at all.
    Missing,
    /// Only the first item.
    Partial,
}

/// Shapes of a good answer. Those that add, move or remove events renumber them.
impl Turn {
    /// Interleaves the items: each begins before the first is done, and they alternate event by
    /// event.
    pub fn interleaved(self) -> Self {
        self.edited("interleaved", steps::interleave)
    }

    /// Drops the events that only begin something: `response.created`, `response.in_progress`, and
    /// those of items, parts and commands whose type ends in `.added`.
    pub fn without_setup(self) -> Self {
        self.edited("without_setup", |steps| {
            steps::replace_events(steps, |event| {
                let kind = event["type"].as_str().unwrap_or_default();
                let begins = match kind {
                    "response.created" | "response.queued" | "response.in_progress" => true,
                    "response.output_text.annotation.added" => false,
                    kind => kind.ends_with(".added"),
                };
                if begins { Vec::new() } else { vec![event] }
            });
            steps::number(steps);
        })
    }

    /// Leaves out `stream_id`, also on a named lane. An error then belongs to no lane.
    pub fn without_stream_id(self) -> Self {
        self.edited("without_stream_id", |steps| {
            steps::change_events(steps, |event| set(event, "stream_id", Value::Null));
        })
    }

    /// Inserts deltas without text before the terminal event: at least this many bytes in events of
    /// about a kibibyte, which do not count. After a [`Step::Gate`](crate::testing::Step::Gate) it
    /// is what remains of a response that the client has abandoned.
    ///
    /// ```
    /// use responses_client::testing::{Gate, Step, Turn};
    ///
    /// let gate = Gate::new();
    /// let turn = Turn::text("Hello").insert(4, Step::Gate(gate.clone())).tail(10 << 20);
    /// # drop(turn);
    /// ```
    pub fn tail(self, bytes: usize) -> Self {
        self.edited("tail", move |steps| {
            let is_delta = |event: &Value| event["type"] == "response.output_text.delta";
            let first = steps.iter().filter_map(Step::event).find(is_delta);
            let mut delta = first.unwrap_or_else(
                || json!({ "type": "response.output_text.delta", "output_index": 0 }),
            );
            remove(&mut delta, "sequence_number");
            set(&mut delta, "delta", "");
            set(&mut delta, "obfuscation", "x".repeat(TAIL_EVENT));
            let end = steps.iter().position(|step| step.event().as_ref().is_some_and(is_terminal));
            let times = bytes.div_ceil(TAIL_EVENT);
            let flood = Step::Flood { text: encode(&delta), times };
            steps.insert(end.unwrap_or(steps.len()), flood);
        })
    }

    /// Leaves out `sequence_number`.
    pub fn without_sequence_numbers(self) -> Self {
        self.edited("without_sequence_numbers", |steps| {
            steps::change_events(steps, |event| {
                remove(event, "sequence_number");
            });
        })
    }

    /// Inserts a `keepalive`, with a sequence number, after each `every` events, up to the last.
    pub fn keepalives(self, every: usize) -> Self {
        self.edited("keepalives", move |steps| {
            let mut since = 0;
            steps::replace_events(steps, |event| {
                since += 1;
                if since < every.max(1) || is_terminal(&event) {
                    return vec![event];
                }
                since = 0;
                let keepalive = beside(&event, json!({ "type": "keepalive" }));
                vec![event, keepalive]
            });
            steps::number(steps);
        })
    }

    /// Removes the output from the terminal event, or most of it.
    pub fn empty_terminal_output(self, form: NoOutput) -> Self {
        self.habit("empty_terminal_output", move |steps| {
            steps::change_events(steps, |event| {
                if is_terminal(event)
                    && let Some(Value::Object(response)) = event.get_mut("response")
                {
                    match form {
                        NoOutput::Null => response.insert("output".to_owned(), Value::Null),
                        NoOutput::Empty => response.insert("output".to_owned(), json!([])),
                        NoOutput::Missing => response.remove("output"),
                        NoOutput::Partial => {
                            if let Some(Value::Array(output)) = response.get_mut("output") {
                                output.truncate(1);
                            }
                            None
                        }
                    };
                }
            });
        })
    }

    /// Sends every event in four pieces with this time between them, as [`Step::Drip`] does.
    pub fn dripped(self, pause: Duration) -> Self {
        self.edited("dripped", move |steps| {
            for step in steps {
                let text = match step {
                    Step::Event(event) => encode(event),
                    Step::Text(text) => text.clone(),
                    _ => continue,
                };
                *step = Step::Drip { text, pieces: 4, pause };
            }
        })
    }

    /// Sends every text and all arguments token by token, four characters each, with this time
    /// before each token: the pace of a model. Further steps, for example a [`Step::Delay`] as the
    /// [`first`](Self::first), make the model think.
    ///
    /// ```
    /// use std::time::Duration;
    /// use responses_client::testing::{Step, Turn};
    ///
    /// let turn = Turn::text("An answer at 80 tokens a second, after half a second")
    ///     .paced(Duration::from_micros(12_500))
    ///     .delay(Duration::from_millis(500));
    /// # drop(turn);
    /// ```
    pub fn paced(self, pause: Duration) -> Self {
        self.edited("paced", move |steps| {
            let mut paced = Vec::with_capacity(steps.len());
            for step in steps.drain(..) {
                let event = step.event();
                let tokens = event.as_ref().and_then(steps::tokens);
                let Some(tokens) = tokens else {
                    paced.push(step);
                    continue;
                };
                for token in tokens {
                    if !pause.is_zero() {
                        paced.push(Step::Delay(pause));
                    }
                    paced.push(step.carrying(token));
                }
            }
            *steps = paced;
            steps::number(steps);
        })
    }

    /// Makes all delays between the steps longer by `factor`. With zero, no step waits.
    pub fn slowed_by(self, factor: u32) -> Self {
        self.edited("slowed_by", move |steps| {
            for step in steps {
                if let Step::Delay(time) | Step::Drip { pause: time, .. } = step {
                    *time = time.saturating_mul(factor);
                }
            }
        })
    }

    /// Pads one event to this many bytes, if it is shorter: the first with an `obfuscation`, or
    /// else the first of all, which gets one. [`items::image`](crate::testing::items::image) makes
    /// a turn large in all its events.
    pub fn large_event(self, bytes: usize) -> Self {
        self.edited("large_event", move |steps| {
            let padded = |step: &Step| step.event().is_some_and(|it| it["obfuscation"].is_string());
            let place = steps.iter().position(padded).or_else(|| steps::index_of_event(steps, 0));
            let Some(step) = place.and_then(|place| steps.get_mut(place)) else { return };
            let Some(mut event) = step.event() else { return };
            set(&mut event, "obfuscation", "");
            let missing = bytes.saturating_sub(encode(&event).len());
            set(&mut event, "obfuscation", "x".repeat(missing));
            *step = step.carrying(event);
        })
    }
}

/// Number of bytes in each event of a [tail](Turn::tail), its other members not counted.
const TAIL_EVENT: usize = 1024;
