//! What the server tells when nothing goes wrong, event by event.

use responses_client::testing::{Exchange, Script, ScriptedServer, Step, Turn, items};
use serde_json::Value;

use crate::support::{builder, only, request, turn};

/// A turn without faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Story {
    Text,
    /// Reasoning, and two calls.
    Calls,
    /// An image of 1 MiB, and 50 kB of encrypted content.
    Large,
    Incomplete,
    Failed,
    /// What every turn after the faulty one tells.
    Answer,
}

/// How far a response got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reached {
    Nothing,
    Accepted,
    Output,
    Ended,
}

/// The events of a story.
#[derive(Debug)]
pub(crate) struct Events {
    raw: Vec<String>,
    pub(crate) kinds: Vec<String>,
    response_id: String,
    pub(crate) items: Vec<Value>,
}

impl Story {
    pub(crate) const ALL: [Self; 6] =
        [Self::Text, Self::Calls, Self::Large, Self::Incomplete, Self::Failed, Self::Answer];

    fn turn(self) -> Turn {
        let message = || with_id("msg_1", items::message("Two words"));
        match self {
            Self::Text => Turn::output([message()]),
            Self::Calls => Turn::output([
                with_id("rs_1", items::reasoning("Two files", "gAAAA")),
                with_id("fc_1", items::function_call("call_1", "read", r#"{"path":"a"}"#)),
                with_id("fc_2", items::function_call("call_2", "read", r#"{"path":"b"}"#)),
            ]),
            Self::Large => Turn::output([
                with_id("rs_1", items::reasoning("A painting", &"gAAA".repeat(12_500))),
                with_id("ig_1", items::image(1 << 20)),
            ]),
            Self::Incomplete => Turn::incomplete([message()], "max_output_tokens"),
            Self::Failed => Turn::failed([message()], "server_error", "Too bad"),
            Self::Answer => Turn::output([with_id("msg_2", items::message("An answer"))]),
        }
    }
}

impl Events {
    /// The events of each story, as the server sends them.
    pub(crate) async fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for story in Story::ALL {
            let server = ScriptedServer::in_memory(Script::new().turn(story.turn()));
            let client = builder(&server).transport(only(responses_client::Transport::Sse));
            let mut session = client.build().expect("a client").session();
            let outcome = turn(&mut session, &request(&["hi"])).await;
            let mut raw: Vec<String> =
                outcome.events.iter().map(|event| event.raw().to_owned()).collect();
            if let Err(error) = &outcome.result {
                let response =
                    error.response().and_then(|it| it.raw()).expect("a response").as_str();
                raw.push(format!(r#"{{"type":"response.failed","response":{response}}}"#));
            }
            let values: Vec<Value> = raw.iter().map(|it| parse(it)).collect();
            let text = |value: &Value| value.as_str().expect("a text").to_owned();
            all.push(Self {
                kinds: values.iter().map(|value| text(&value["type"])).collect(),
                response_id: text(&values[0]["response"]["id"]),
                items: finished(&values),
                raw,
            });
        }
        all
    }

    pub(crate) fn len(&self) -> usize {
        self.raw.len()
    }

    pub(crate) fn size(&self, event: usize) -> usize {
        self.raw[event].len()
    }

    /// How far the response is after this many events.
    pub(crate) fn reached(&self, events: usize) -> Reached {
        let stage = |kind: &String| match kind.as_str() {
            "response.created" | "response.in_progress" => Reached::Accepted,
            "response.completed" | "response.incomplete" | "response.failed" => Reached::Ended,
            _ => Reached::Output,
        };
        self.kinds[..events].iter().map(stage).max().unwrap_or(Reached::Nothing)
    }

    /// The items that are finished after this many events, and the text by then.
    pub(crate) fn content(&self, events: usize) -> (Vec<Value>, String) {
        let values: Vec<Value> = self.raw[..events].iter().map(|raw| parse(raw)).collect();
        let deltas = values.iter().filter(|it| it["type"] == "response.output_text.delta");
        (finished(&values), deltas.filter_map(|it| it["delta"].as_str()).collect())
    }

    /// The first events, as those of the response to this request.
    pub(crate) fn told(&self, events: usize, to: &Exchange) -> Vec<Step> {
        let text = |raw: &String| Step::Text(raw.replace(&self.response_id, &to.response_id));
        self.raw[..events].iter().map(text).collect()
    }

    /// This many bytes of an event.
    pub(crate) fn torn(&self, event: usize, bytes: usize, to: &Exchange) -> Step {
        let text = self.raw[event].replace(&self.response_id, &to.response_id);
        Step::Partial { text, bytes }
    }
}

fn finished(events: &[Value]) -> Vec<Value> {
    let done = events.iter().filter(|it| it["type"] == "response.output_item.done");
    done.map(|it| it["item"].clone()).collect()
}

fn parse(raw: &str) -> Value {
    serde_json::from_str(raw).expect("JSON")
}

fn with_id(id: &str, mut item: Value) -> Value {
    item["id"] = id.into();
    item
}
