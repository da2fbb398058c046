//! Profiles of known servers.

use std::time::Duration;

use super::quirks::{Continues, ErrorStyle, PLAIN, Quirks};

/// A known server of the API, for [`Script::profile`](crate::testing::Script::profile).
///
/// | | WebSocket | continues by `previous_response_id` | other differences |
/// |---|---|---|---|
/// | `OpenAi` | 60 minutes | yes | [lanes and steering](crate::testing#lanes-and-steering) |
/// | `Azure` | 60 minutes | yes | lost parents without `error.type` |
/// | `Xai` | 25 minutes | yes | lost parents without `error.type` |
/// | `Vercel` | 13 minutes, 5 idle, closed with 1001; messages to 4 MiB | yes | an error is followed by a Close frame; one model a socket |
/// | `ChatGpt` | 60 minutes, messages to 16 MiB | only on the WebSocket | errors are a `detail`; `store` must be false, and `stream` true over HTTP; many parameters are refused; `response.interrupt` ends a response |
/// | `OpenRouter` | 404 | no | comments, `[DONE]` |
/// | `Copilot` | 404 | yes | the ids of items change with every event |
/// | `Ollama` | 404 | no | |
/// | `LmStudio` | 404 | yes | |
/// | `Vllm` | 405 | no | |
///
/// ```
/// use responses_client::testing::{Profile, Script, Turn};
///
/// let script = Script::new().profile(Profile::Azure).turn(Turn::text("Hello"));
/// assert_eq!(Profile::from_name("azure"), Some(Profile::Azure));
/// # drop(script);
/// ```
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

impl Profile {
    /// Returns the profile with this [name](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        ALL.into_iter().find(|profile| profile.name() == name)
    }

    /// Returns the name of the variant in lower case, such as `lmstudio`.
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

    /// Returns the differences of the server from the plain API.
    pub(crate) fn quirks(self) -> Quirks {
        let sse_only = |status| Quirks { no_websocket: Some(status), ..PLAIN };
        match self {
            Self::OpenAi => Quirks { max_age: minutes(60), ..PLAIN },
            Self::Azure => Quirks {
                max_age: minutes(60),
                errors: ErrorStyle::LostParentWithoutType,
                refused: &["stream_id"],
                steers: false,
                ..PLAIN
            },
            Self::Xai => Quirks {
                max_age: minutes(25),
                errors: ErrorStyle::LostParentWithoutType,
                refused: &["stream_id"],
                steers: false,
                ..PLAIN
            },
            Self::Vercel => Quirks {
                max_age: minutes(13),
                silent_age: Some(1001),
                max_idle: minutes(5),
                frame_limit: Some(4 << 20),
                closes_after_error: true,
                one_model: true,
                refused: &["stream_id"],
                steers: false,
                ..PLAIN
            },
            Self::ChatGpt => Quirks {
                max_age: minutes(60),
                frame_limit: Some(16 << 20),
                errors: ErrorStyle::Detail,
                continues: Continues::OnSockets,
                refused: CHATGPT_REFUSES,
                steers: false,
                interrupts: true,
                stateless: true,
                ..PLAIN
            },
            Self::OpenRouter => Quirks {
                continues: Continues::Nowhere,
                comment: Some("OPENROUTER PROCESSING"),
                done: true,
                ..sse_only(404)
            },
            Self::Copilot => Quirks { rotating_ids: true, ..sse_only(404) },
            Self::Ollama => Quirks { continues: Continues::Nowhere, ..sse_only(404) },
            Self::LmStudio => sse_only(404),
            Self::Vllm => Quirks { continues: Continues::Nowhere, ..sse_only(405) },
        }
    }
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
