//! The content of a transcript, gathered by the simplest means.

use std::collections::BTreeMap;

use responses_client::{Delivery, Response, testing::parse_json};
use serde_json::Value;

/// What has come with these events, told by the simplest means.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Content {
    id: String,
    status: Option<String>,
    pub(super) finished: BTreeMap<u64, Value>,
    pub(super) begun: BTreeMap<u64, Begun>,
}

/// What has come of an item that was not finished: its texts, by their place.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Begun {
    text: BTreeMap<u64, String>,
    summary: BTreeMap<u64, String>,
    reasoning: BTreeMap<u64, String>,
    refusal: BTreeMap<u64, String>,
    arguments: String,
    input: String,
}

impl Content {
    pub(super) fn add(&mut self, kind: &str, event: &Value) {
        if let Some(response) = event["response"].as_object() {
            let text = |name: &str| response.get(name)?.as_str().map(str::to_owned);
            if self.id.is_empty() {
                self.id = text("id").unwrap_or_default();
            }
            self.status = text("status");
        }
        match (event["output_index"].as_u64(), kind) {
            (Some(index), "response.output_item.done") => {
                self.begun.remove(&index);
                self.finished.insert(index, event["item"].clone());
            }
            (Some(index), _) if !self.finished.contains_key(&index) => {
                self.begun.entry(index).or_default().add(kind, event);
            }
            _ => {}
        }
    }

    pub(super) fn of_response(response: &Response) -> Self {
        let item = |item: responses_client::Item| item.json().decode().expect("JSON");
        // The places of finished items are not told, but their order is.
        let finished = (0..).zip(response.output_items().map(item)).collect();
        let one = |text: String| BTreeMap::from_iter((!text.is_empty()).then_some((0, text)));
        let begun = response.unfinished_items().iter().map(|item| {
            let begun = Begun {
                text: one(item.text()),
                summary: one(item.reasoning_summary()),
                reasoning: one(item.reasoning()),
                refusal: one(item.refusal()),
                arguments: item.arguments().to_owned(),
                input: item.input().to_owned(),
            };
            (u64::from(item.output_index()), begun)
        });
        Self {
            id: response.id().to_owned(),
            status: response.raw().and_then(|raw| raw.member("status").expect("a status")),
            finished,
            begun: begun.filter(|(_, begun)| *begun != Begun::default()).collect(),
        }
    }

    /// The same without the places that a response does not tell.
    pub(super) fn without_places(mut self) -> Self {
        self.finished = (0..).zip(self.finished.into_values()).collect();
        for begun in self.begun.values_mut() {
            for texts in
                [&mut begun.text, &mut begun.summary, &mut begun.reasoning, &mut begun.refusal]
            {
                let all: String = std::mem::take(texts).into_values().collect();
                texts.extend((!all.is_empty()).then_some((0, all)));
            }
        }
        self.begun.retain(|_, begun| *begun != Begun::default());
        self
    }
}

impl Begun {
    pub(super) fn add(&mut self, kind: &str, event: &Value) {
        let part = |name: &str| event[name].as_u64().unwrap_or_default();
        let (to, whole) = match kind.strip_prefix("response.").unwrap_or_default() {
            "output_text.delta" | "output_text.done" => {
                (self.text.entry(part("content_index")).or_default(), "text")
            }
            "refusal.delta" | "refusal.done" => {
                (self.refusal.entry(part("content_index")).or_default(), "refusal")
            }
            "reasoning_text.delta"
            | "reasoning_text.done"
            | "reasoning.delta"
            | "reasoning.done" => {
                (self.reasoning.entry(part("content_index")).or_default(), "text")
            }
            "reasoning_summary_text.delta"
            | "reasoning_summary_text.done"
            | "reasoning_summary.delta"
            | "reasoning_summary.done" => {
                (self.summary.entry(part("summary_index")).or_default(), "text")
            }
            "function_call_arguments.delta" | "function_call_arguments.done" => {
                (&mut self.arguments, "arguments")
            }
            "custom_tool_call_input.delta" | "custom_tool_call_input.done" => {
                (&mut self.input, "input")
            }
            _ => return,
        };
        let delta = event["delta"].as_str().or_else(|| event["delta"]["text"].as_str());
        match (delta, event[whole].as_str()) {
            (Some(delta), _) => to.push_str(delta),
            (None, Some(whole)) => whole.clone_into(to),
            (None, None) => {}
        }
    }
}

/// What the first events of a transcript come to.
#[derive(Clone, Debug)]
pub(super) struct Came {
    /// Without the places.
    pub(super) content: Content,
    /// How far they say that the request got.
    pub(super) delivery: Delivery,
}

impl Came {
    /// By how many events have come, from none to all.
    pub(super) fn by_events(lines: &[&str]) -> Vec<Self> {
        let (mut content, mut delivery) = (Content::default(), Delivery::Unknown);
        let came = |content: &Content, delivery| Self {
            content: content.clone().without_places(),
            delivery,
        };
        let mut all = vec![came(&content, delivery)];
        for line in lines {
            let event = parse_json(line).expect("JSON");
            let kind = event["type"].as_str().expect("a type");
            content.add(kind, &event);
            delivery = delivery.max(match kind {
                "response.created" | "response.queued" | "response.in_progress" => {
                    Delivery::Accepted
                }
                "response.metadata" => Delivery::Unknown,
                kind if kind.starts_with("response.steer.") => Delivery::Unknown,
                kind if kind.starts_with("response.") => Delivery::OutputStarted,
                _ => Delivery::Unknown,
            });
            all.push(came(&content, delivery));
        }
        all
    }
}
