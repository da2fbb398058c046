//! The flags of `run`, and the client that the flags configure.

use std::{env, path::PathBuf, time::Duration};

use clap::ValueEnum;
use responses_client::{
    Auth, Error, Provider, ReplayPolicy, ResponsesClient, RetryPolicy, Timeouts, TransportPolicy,
    error::ConfigError,
};

use crate::stop::{Stop, in_words};

/// Runs turns from standard input in one session, and writes JSON lines to standard output
///
/// Each line of the input is the full request body of a turn, as a JSON object. A line
/// {"$append":[{..},..]} repeats the previous request, followed by the output of its turn (unless
/// the turn failed) and by the items of this list.
///
/// Each event is a line {"turn":1,"event":{..},"kind":"output_text_delta"}. Each turn ends with a
/// line that contains its outcome.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Base URL, usually ending in /v1 [default: OPENAI_BASE_URL, or the provider's own]
    ///
    /// OPENAI_BASE_URL is used for openai, and for providers without a base URL of their own.
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,

    /// Preset of the server: its base URL, if fixed, and its properties
    #[arg(long, value_name = "NAME", default_value = "openai")]
    provider: ProviderName,

    /// Transports to use
    #[arg(long, default_value = "auto")]
    transport: TransportName,

    /// Header to add to every request; may be repeated [default: none]
    #[arg(long = "header", value_name = "K:V")]
    headers: Vec<String>,

    /// Environment variable with the key, sent as a bearer token [default: OPENAI_API_KEY, if set]
    ///
    /// By default, the key is sent to OpenAI and to the given base URL. The key is not sent to the
    /// fixed base URLs of other providers, or if a --header is a credential. Without a key, no
    /// credential is sent.
    #[arg(long, value_name = "NAME")]
    api_key_env: Option<String>,

    /// Time to connect, including the WebSocket upgrade [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    timeout_connect: Option<Duration>,

    /// Time from the request to the first event [default: 1m over WebSocket, 10m over SSE]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    timeout_first_event: Option<Duration>,

    /// Time between two events [default: none over WebSocket, 10m over SSE]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    timeout_idle: Option<Duration>,

    /// Time for a whole turn, including retries [default: none]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    timeout_turn: Option<Duration>,

    /// Requests that may be sent again although they may have run, and may be billed twice
    #[arg(long, value_name = "POLICY", default_value = "before-created")]
    replay: ReplayName,

    /// Record the received events with their times, for `serve --script` [default: no recording]
    #[arg(long, value_name = "FILE")]
    pub(super) record: Option<PathBuf>,

    /// Omit the lines of the events [default: off]
    #[arg(long)]
    pub(super) quiet: bool,
}

const AFTER_HELP: &str = "\
Examples:
  echo '{\"model\":\"gpt-6-astra\",\"input\":\"Say hi\"}' | responses run
  responses run --quiet --transport websocket --record run.jsonl <turns.jsonl
  responses run --provider ollama --timeout-turn 90s <turns.jsonl
  responses run --base-url http://127.0.0.1:8080/v1 --header 'X-Trace: 7' <turns.jsonl

Examples of times: 500ms, 2s, 1m 30s.

Exit status: 0 if all turns completed or were incomplete, 1 if a turn failed (the turns after it
are still run), 2 for bad usage or a bad line (the output of the turns before it stands).";

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum ProviderName {
    #[value(help = "https://api.openai.com/v1")]
    Openai,
    /// Azure OpenAI; needs a base URL
    Azure,
    #[value(help = "https://api.x.ai/v1")]
    Xai,
    #[value(help = "https://ai-gateway.vercel.sh/v1")]
    Vercel,
    #[value(help = "https://openrouter.ai/api/v1; SSE")]
    Openrouter,
    #[value(help = "https://chatgpt.com/backend-api/codex")]
    Chatgpt,
    #[value(help = "https://api.githubcopilot.com; SSE")]
    Copilot,
    #[value(help = "http://localhost:11434/v1; SSE")]
    Ollama,
    #[value(help = "http://localhost:1234/v1; SSE")]
    Lmstudio,
    /// vLLM; SSE; needs a base URL
    Vllm,
    /// Any other server that behaves like openai; needs a base URL
    Compatible,
}

#[derive(Clone, Copy, ValueEnum)]
enum TransportName {
    /// WebSocket where it works, SSE otherwise
    Auto,
    /// WebSocket only
    Websocket,
    /// SSE only
    Sse,
}

#[derive(Clone, Copy, ValueEnum)]
enum ReplayName {
    /// No requests
    Never,
    /// Requests without any response, once a turn
    BeforeCreated,
    /// Also requests that were accepted and have no output yet
    BeforeOutput,
    /// Also requests that have output
    Restart,
}

impl Args {
    /// Returns the client that the flags and the environment configure.
    pub(super) fn client(&self) -> Result<ResponsesClient, Stop> {
        let base_url = self.base_url();
        let mut builder = ResponsesClient::builder(self.provider(base_url.as_deref())?)
            .auth(self.auth(base_url.is_some())?)
            .transport(self.transport.policy())
            .timeouts(self.timeouts())
            .retry(self.retry());
        for header in &self.headers {
            // The message does not contain the header, which may be a credential.
            let Some((name, value)) = header.split_once(':') else {
                return Err(Stop::Bad("--header must be of the form NAME:VALUE".to_owned()));
            };
            builder = builder.header(name.trim(), value.trim());
        }
        builder.build().map_err(bad_setting)
    }

    fn base_url(&self) -> Option<String> {
        let own_address = self.provider != ProviderName::Openai && self.provider.known().is_some();
        self.base_url.clone().or_else(
            || {
                if own_address { None } else { variable("OPENAI_BASE_URL") }
            },
        )
    }

    fn provider(&self, base_url: Option<&str>) -> Result<Provider, Stop> {
        match (self.provider.known(), base_url) {
            (Some(provider), None) => Ok(provider),
            (Some(provider), Some(url)) => provider.with_base_url(url).map_err(bad_setting),
            (None, Some(url)) => self.provider.by_url(url).map_err(bad_setting),
            (None, None) => Err(Stop::Bad("this --provider needs a --base-url".to_owned())),
        }
    }

    fn auth(&self, base_url_given: bool) -> Result<Auth, Stop> {
        let key = match &self.api_key_env {
            Some(name) => Some(variable(name).ok_or_else(|| {
                Stop::Bad(format!("--api-key-env: the variable {name} is not set, or empty"))
            })?),
            None if self.brings_credentials() => None,
            None if self.provider == ProviderName::Openai || base_url_given => {
                variable("OPENAI_API_KEY")
            }
            None => None,
        };
        Ok(key.map_or(Auth::None, Auth::bearer))
    }

    /// Returns `true` if a header is a credential.
    fn brings_credentials(&self) -> bool {
        let names = self.headers.iter().filter_map(|header| header.split(':').next());
        let mut names = names.map(|name| name.trim().to_ascii_lowercase());
        names.any(|name| matches!(name.as_str(), "authorization" | "api-key" | "x-api-key"))
    }

    fn timeouts(&self) -> Timeouts {
        let mut timeouts = Timeouts::default();
        timeouts.connect = self.timeout_connect.or(timeouts.connect);
        if self.timeout_first_event.is_some() {
            timeouts.first_event_websocket = self.timeout_first_event;
            timeouts.first_event_sse = self.timeout_first_event;
        }
        if self.timeout_idle.is_some() {
            timeouts.between_events_websocket = self.timeout_idle;
            timeouts.between_events_sse = self.timeout_idle;
        }
        timeouts.turn = self.timeout_turn;
        timeouts
    }

    fn retry(&self) -> RetryPolicy {
        let mut retry = RetryPolicy::default();
        retry.replay = match self.replay {
            ReplayName::Never => ReplayPolicy::Never,
            ReplayName::BeforeCreated => ReplayPolicy::BeforeCreated,
            ReplayName::BeforeOutput => ReplayPolicy::BeforeOutput,
            ReplayName::Restart => ReplayPolicy::Restart,
        };
        retry
    }
}

impl ProviderName {
    /// Returns the provider, if its base URL is fixed.
    fn known(self) -> Option<Provider> {
        match self {
            Self::Openai => Some(Provider::openai()),
            Self::Xai => Some(Provider::xai()),
            Self::Vercel => Some(Provider::vercel()),
            Self::Openrouter => Some(Provider::openrouter()),
            Self::Chatgpt => Some(Provider::chatgpt()),
            Self::Copilot => Some(Provider::copilot()),
            Self::Ollama => Some(Provider::ollama()),
            Self::Lmstudio => Some(Provider::lm_studio()),
            Self::Azure | Self::Vllm | Self::Compatible => None,
        }
    }

    /// Returns a provider without a fixed base URL.
    fn by_url(self, base_url: &str) -> Result<Provider, ConfigError> {
        match self {
            Self::Azure => Provider::azure(base_url),
            Self::Vllm => Provider::vllm(base_url),
            _ => Provider::compatible(base_url),
        }
    }
}

impl TransportName {
    fn policy(self) -> TransportPolicy {
        match self {
            Self::Auto => TransportPolicy::Auto,
            Self::Websocket => TransportPolicy::WebSocketOnly,
            Self::Sse => TransportPolicy::SseOnly,
        }
    }
}

/// Returns an environment variable. An empty variable counts as not set.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn bad_setting(error: impl Into<Error>) -> Stop {
    Stop::Bad(in_words(&error.into()))
}
