//! How servers of the API differ, as far as a client can notice.

#![expect(clippy::indexing_slicing, reason = "a missing member of a JSON value reads as null")]

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    script::Refusal,
    step::Step,
    turn::{Answer, ApiError},
};
use crate::config::Transport;

/// A server of the API, for [`Script::profile`](super::Script::profile).
///
/// | | WebSocket | continues by `previous_response_id` | besides |
/// |---|---|---|---|
/// | `OpenAi` | 60 minutes | yes | lanes are not served by this server |
/// | `Azure` | 60 minutes | yes | lost parents without `error.type` |
/// | `Xai` | 25 minutes | yes | lost parents without `error.type` |
/// | `Vercel` | 13 minutes, 5 idle, closed with 1001; messages to 4 MiB | yes | an error is followed by a Close frame; one model a socket |
/// | `ChatGpt` | 60 minutes, messages to 16 MiB | on the socket alone | errors are a `detail`; `store` must be false; many parameters are refused |
/// | `OpenRouter` | 404 | no | comments, `[DONE]` |
/// | `Copilot` | 404 | yes | the ids of items change with every event |
/// | `Ollama` | 404 | no | |
/// | `LmStudio` | 404 | yes | |
/// | `Vllm` | 405 | no | |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Profile {
    /// The API itself.
    OpenAi,
    /// Azure OpenAI, or Foundry.
    Azure,
    /// xAI.
    Xai,
    /// The AI Gateway of Vercel.
    Vercel,
    /// The ChatGPT backend, which Codex uses.
    ChatGpt,
    /// OpenRouter.
    OpenRouter,
    /// GitHub Copilot.
    Copilot,
    /// Ollama.
    Ollama,
    /// LM Studio.
    LmStudio,
    /// vLLM, without its store of responses.
    Vllm,
}

/// What sets a server apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Traits {
    /// The status that answers an upgrade, if there is no WebSocket.
    pub(super) no_websocket: Option<u16>,
    pub(super) max_age: Option<Duration>,
    /// The code of the Close frame, if a socket ends at its age without an error frame.
    pub(super) silent_age: Option<u16>,
    pub(super) max_idle: Option<Duration>,
    pub(super) frame_limit: Option<u64>,
    errors: Errors,
    /// Whether an error frame is the last but for a Close frame.
    closes_after_error: bool,
    /// Whether every request on a socket must have the model of the first.
    pub(super) one_model: bool,
    continues: Continues,
    /// Parameters that it does not take.
    refused: &'static [&'static str],
    /// Whether `store` must be false.
    stateless: bool,
    /// A comment before the first event over SSE.
    comment: Option<&'static str>,
    /// Whether `[DONE]` ends a body.
    done: bool,
    /// Whether every event has an item under another id.
    rotating_ids: bool,
}

/// The form of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Errors {
    Full,
    /// `error.type` is missing where the parent was not found.
    LostParentWithoutType,
    /// `{"detail": …}`, and nothing else.
    Detail,
}

/// Where `previous_response_id` is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Continues {
    Everywhere,
    OnSockets,
    Nowhere,
}

/// A server without peculiarities: what the others differ from.
pub(super) const PLAIN: Traits = Traits {
    no_websocket: None,
    max_age: None,
    silent_age: None,
    max_idle: None,
    frame_limit: None,
    errors: Errors::Full,
    closes_after_error: false,
    one_model: false,
    continues: Continues::Everywhere,
    refused: &[],
    stateless: false,
    comment: None,
    done: false,
    rotating_ids: false,
};

impl Profile {
    /// The profile of this [name](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        ALL.into_iter().find(|profile| profile.name() == name)
    }

    /// The name of the variant in lower case, such as `lmstudio`.
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Azure => "azure",
            Self::Xai => "xai",
            Self::Vercel => "vercel",
            Self::ChatGpt => "chatgpt",
            Self::OpenRouter => "openrouter",
            Self::Copilot => "copilot",
            Self::Ollama => "ollama",
            Self::LmStudio => "lmstudio",
            Self::Vllm => "vllm",
        }
    }

    pub(super) fn traits(self) -> Traits {
        let sse_only = |status| Traits { no_websocket: Some(status), ..PLAIN };
        match self {
            Self::OpenAi => Traits { max_age: minutes(60), ..PLAIN },
            Self::Azure => Traits {
                max_age: minutes(60),
                errors: Errors::LostParentWithoutType,
                refused: &["stream_id"],
                ..PLAIN
            },
            Self::Xai => Traits {
                max_age: minutes(25),
                errors: Errors::LostParentWithoutType,
                refused: &["stream_id"],
                ..PLAIN
            },
            Self::Vercel => Traits {
                max_age: minutes(13),
                silent_age: Some(1001),
                max_idle: minutes(5),
                frame_limit: Some(4 << 20),
                closes_after_error: true,
                one_model: true,
                refused: &["stream_id"],
                ..PLAIN
            },
            Self::ChatGpt => Traits {
                max_age: minutes(60),
                frame_limit: Some(16 << 20),
                errors: Errors::Detail,
                continues: Continues::OnSockets,
                refused: CHATGPT_REFUSES,
                stateless: true,
                ..PLAIN
            },
            Self::OpenRouter => Traits {
                continues: Continues::Nowhere,
                comment: Some("OPENROUTER PROCESSING"),
                done: true,
                ..sse_only(404)
            },
            Self::Copilot => Traits { rotating_ids: true, ..sse_only(404) },
            Self::Ollama => Traits { continues: Continues::Nowhere, ..sse_only(404) },
            Self::LmStudio => sse_only(404),
            Self::Vllm => Traits { continues: Continues::Nowhere, ..sse_only(405) },
        }
    }
}

impl Traits {
    /// What this server does not take of a request that others would.
    pub(super) fn check(&self, body: &Value, transport: Transport) -> Result<(), ApiError> {
        let invalid = |code: &str, message: &str, param: &'static str| {
            Err(ApiError::new(400, code, message).param(param))
        };
        if let Some(name) = self.refused.iter().find(|name| body.get(**name).is_some()) {
            let message = format!("Unsupported parameter: {name}");
            return invalid("unsupported_parameter", &message, name);
        }
        if self.stateless && body["store"] != false {
            return invalid("invalid_value", "Store must be set to false", "store");
        }
        let continues = match self.continues {
            Continues::Everywhere => true,
            Continues::OnSockets => transport == Transport::WebSocket,
            Continues::Nowhere => false,
        };
        if !continues && body["previous_response_id"].is_string() {
            let message = "Unsupported parameter: previous_response_id";
            return invalid("unsupported_parameter", message, "previous_response_id");
        }
        Ok(())
    }

    /// Gives an answer the look of this server.
    pub(super) fn dress(&self, answer: &mut Answer, transport: Transport) {
        self.dress_error(answer);
        let Answer { steps, .. } = answer;
        if self.rotating_ids {
            rotate_ids(steps);
        }
        match transport {
            Transport::WebSocket => {
                if self.closes_after_error
                    && let Some(place) = steps.iter().position(|step| kind_is(step, "error"))
                {
                    let code = close_code(steps.get(place).and_then(Step::event));
                    steps.truncate(place + 1);
                    steps.push(Step::Close { code: Some(code), reason: String::new() });
                }
            }
            Transport::Sse => {
                if let Some(comment) = self.comment
                    && steps.first().is_some_and(Step::is_event)
                {
                    steps.insert(0, Step::Comment(comment.to_owned()));
                }
                if self.done && steps.last().is_some_and(Step::is_event) {
                    steps.push(Step::Raw("data: [DONE]\n\n".into()));
                }
            }
        }
    }

    /// Errors of [`Turn::error`](super::Turn::error), which are one thing in two forms: what a
    /// script spells out stays as it is.
    fn dress_error(&self, answer: &mut Answer) {
        let Answer { steps, http: Some((_, refusal)), .. } = answer else { return };
        let Some(Step::Event(frame)) = steps.iter_mut().find(|step| step.is_event()) else {
            return;
        };
        let sent: Value = serde_json::from_slice(&refusal.body).unwrap_or_default();
        let message = frame["error"]["message"].clone();
        if !message.is_string() || sent["error"]["message"] != message {
            return;
        }
        match self.errors {
            Errors::Full => {}
            Errors::LostParentWithoutType => {
                if frame["error"]["code"] == "previous_response_not_found"
                    && let Some(error) = frame["error"].as_object_mut()
                {
                    error.remove("type");
                    *refusal = body_of(refusal, &json!({ "error": error }));
                }
            }
            Errors::Detail => {
                frame["error"] = json!({ "detail": message });
                *refusal = body_of(refusal, &frame["error"]);
            }
        }
    }
}

fn body_of(refusal: &Refusal, body: &Value) -> Refusal {
    refusal.clone().body(body.to_string())
}

/// The code with which a gateway closes after this error.
fn close_code(error: Option<Value>) -> u16 {
    match error.and_then(|error| error["status"].as_u64()) {
        Some(402) => 4402,
        Some(500..) => 1011,
        _ => 1008,
    }
}

/// Has every event of an item say another id, longer than any id may be in a request.
fn rotate_ids(steps: &mut [Step]) {
    for (place, step) in steps.iter_mut().enumerate() {
        let Step::Event(event) = step else { continue };
        for pointer in ["/item_id", "/item/id"] {
            if let Some(id) = event.pointer_mut(pointer) {
                *id = format!("{place:0400x}").into();
            }
        }
    }
}

fn kind_is(step: &Step, kind: &str) -> bool {
    step.event().is_some_and(|event| event["type"] == kind)
}

const fn minutes(minutes: u64) -> Option<Duration> {
    Some(Duration::from_secs(60 * minutes))
}

const ALL: [Profile; 10] = [
    Profile::OpenAi,
    Profile::Azure,
    Profile::Xai,
    Profile::Vercel,
    Profile::ChatGpt,
    Profile::OpenRouter,
    Profile::Copilot,
    Profile::Ollama,
    Profile::LmStudio,
    Profile::Vllm,
];

const CHATGPT_REFUSES: &[&str] = &[
    "temperature",
    "top_p",
    "max_output_tokens",
    "presence_penalty",
    "frequency_penalty",
    "seed",
    "metadata",
    "top_logprobs",
    "truncation",
    "user",
    "safety_identifier",
    "prompt_cache_retention",
    "context_management",
    "background",
    "stream_id",
];
