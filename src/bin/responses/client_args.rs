//! Flags that configure a client, and the client that the flags and the environment configure.

use std::{env, fs, time::Duration};

use clap::ValueEnum;
use responses_client::{
    Auth, Error, Provider, ReplayPolicy, ResponsesClient, ResponsesClientBuilder, RetryPolicy,
    Timeouts, error::ConfigError,
};

use crate::{
    notes::note,
    stop::{Stop, in_words},
};

#[derive(clap::Args)]
pub(crate) struct ClientArgs {
    /// Base URL, usually ending in /v1 [default: OPENAI_BASE_URL, or the provider's own]
    ///
    /// OPENAI_BASE_URL is used for openai, and for providers without a base URL of their own.
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,

    /// Preset of the server: its base URL, if fixed, and its properties
    #[arg(long, value_name = "NAME", default_value = "openai")]
    provider: ProviderName,

    /// Header to add to every request; may be repeated [default: none]
    ///
    /// @FILE reads headers from a file, one a line, so that no credential is in the command line.
    #[arg(long = "header", value_name = "K:V|@FILE")]
    headers: Vec<String>,

    /// Organization to use [default: OPENAI_ORG_ID for openai, if set]
    ///
    /// Sent as the header OpenAI-Organization.
    #[arg(long, value_name = "ID")]
    organization: Option<String>,

    /// Project to use [default: OPENAI_PROJECT_ID for openai, if set]
    ///
    /// Sent as the header OpenAI-Project.
    #[arg(long, value_name = "ID")]
    project: Option<String>,

    /// Environment variable with the key, sent as a bearer token [default: OPENAI_API_KEY, if set]
    ///
    /// By default, the key is sent to OpenAI and to the given base URL. The key is not sent to the
    /// fixed base URLs of other providers, or if a --header is a credential. Without a key, no
    /// credential is sent, which is reported on standard error.
    #[arg(long, value_name = "NAME")]
    api_key_env: Option<String>,

    /// Time to connect, including the WebSocket upgrade [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = time)]
    timeout_connect: Option<Duration>,

    /// Time from the request to the first event [default: 1m over WebSocket, 10m over SSE]
    #[arg(long, value_name = "TIME", value_parser = time)]
    timeout_first_event: Option<Duration>,

    /// Time between two events [default: none over WebSocket, 10m over SSE]
    #[arg(long, value_name = "TIME", value_parser = time)]
    timeout_idle: Option<Duration>,

    /// Time for a whole turn, including retries [default: none]
    #[arg(long, value_name = "TIME", value_parser = time)]
    timeout_turn: Option<Duration>,

    /// Requests that may be sent again although they may have run, and may be billed twice
    #[arg(long, value_name = "POLICY", default_value = "before-created")]
    replay: ReplayName,
}

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

/// Headers to add to every request, by name.
type Headers = Vec<(String, String)>;

impl ClientArgs {
    /// Returns the builder of the client that the flags and the environment configure. Writes a
    /// note if no key is set.
    pub(crate) fn builder(&self) -> Result<ResponsesClientBuilder, Stop> {
        let base_url = self.base_url();
        let headers = self.headers()?;
        let mut builder = ResponsesClient::builder()
            .provider(self.provider(base_url.as_deref())?)
            .auth(self.auth(base_url.is_some(), &headers)?)
            .timeouts(self.timeouts())
            .retry(self.retry());
        for (name, value) in &headers {
            builder = builder.header(name, value);
        }
        Ok(builder)
    }

    /// Returns the headers of the flags, those of files included.
    fn headers(&self) -> Result<Headers, Stop> {
        let mut headers = Headers::new();
        for (name, value, variable_name) in [
            ("OpenAI-Organization", &self.organization, "OPENAI_ORG_ID"),
            ("OpenAI-Project", &self.project, "OPENAI_PROJECT_ID"),
        ] {
            let by_default = || {
                if self.provider == ProviderName::Openai { variable(variable_name) } else { None }
            };
            headers.extend(value.clone().or_else(by_default).map(|value| (name.to_owned(), value)));
        }
        for header in &self.headers {
            match header.strip_prefix('@') {
                // The messages do not contain the header, which may be a credential.
                None => headers.push(split_header(header).ok_or_else(|| {
                    Stop::Bad("--header must be of the form NAME:VALUE or @FILE".to_owned())
                })?),
                Some(path) => {
                    let bad = |why: String| Stop::Bad(format!("--header @{path}: {why}"));
                    let text = fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
                    for (place, line) in text.lines().enumerate() {
                        if line.trim().is_empty() {
                            continue;
                        }
                        headers.push(split_header(line).ok_or_else(|| {
                            bad(format!("line {} is not of the form NAME:VALUE", place + 1))
                        })?);
                    }
                }
            }
        }
        Ok(headers)
    }

    fn base_url(&self) -> Option<String> {
        let own_address = self.provider != ProviderName::Openai && self.provider.known().is_some();
        self.base_url.clone().or_else(
            || {
                if own_address { None } else { variable("OPENAI_BASE_URL") }
            },
        )
    }

    /// Returns the name of the provider if it has no WebSockets.
    pub(crate) fn provider_without_websocket(&self) -> Result<Option<String>, Stop> {
        let provider = self.provider(self.base_url().as_deref())?;
        let has_none = provider == provider.clone().websocket(false);
        let name = self.provider.to_possible_value().filter(|_| has_none);
        Ok(name.map(|name| name.get_name().to_owned()))
    }

    fn provider(&self, base_url: Option<&str>) -> Result<Provider, Stop> {
        match (self.provider.known(), base_url) {
            (Some(provider), None) => Ok(provider),
            (Some(provider), Some(url)) => provider.with_base_url(url).map_err(bad_setting),
            (None, Some(url)) => self.provider.by_url(url).map_err(bad_setting),
            (None, None) => Err(Stop::Bad("this --provider needs a --base-url".to_owned())),
        }
    }

    fn auth(&self, base_url_given: bool, headers: &Headers) -> Result<Auth, Stop> {
        if let Some(name) = &self.api_key_env {
            let key = variable(name).ok_or_else(|| {
                Stop::Bad(format!("--api-key-env: the variable {name} is not set, or empty"))
            })?;
            return Ok(Auth::bearer(key));
        }
        if brings_credentials(headers) {
            return Ok(Auth::None);
        }
        let takes_default = self.provider == ProviderName::Openai || base_url_given;
        let key = if takes_default { variable("OPENAI_API_KEY") } else { None };
        if key.is_none() && !self.provider.is_local() {
            let why = if takes_default {
                "OPENAI_API_KEY is not set, or empty"
            } else {
                "see --api-key-env"
            };
            note(&format!("no API key is sent: {why}"));
        }
        Ok(key.map_or(Auth::None, Auth::bearer))
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

    /// Returns `true` if the server usually runs on the user's own machine, without keys.
    fn is_local(self) -> bool {
        matches!(self, Self::Ollama | Self::Lmstudio | Self::Vllm)
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

/// Returns an environment variable. An empty variable counts as not set.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// Returns `true` if a header is a credential.
fn brings_credentials(headers: &Headers) -> bool {
    let mut names = headers.iter().map(|(name, _)| name.to_ascii_lowercase());
    names.any(|name| matches!(name.as_str(), "authorization" | "api-key" | "x-api-key"))
}

/// Splits a header at its first colon.
fn split_header(header: &str) -> Option<(String, String)> {
    let (name, value) = header.split_once(':')?;
    Some((name.trim().to_owned(), value.trim().to_owned()))
}

/// Parses a time: a number of seconds, or numbers with units.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    match text.trim().parse() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string()),
        Err(_) => humantime::parse_duration(text).map_err(|error| error.to_string()),
    }
}

pub(crate) fn bad_setting(error: impl Into<Error>) -> Stop {
    Stop::Bad(in_words(&error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_of_seconds_or_has_units() {
        let seconds = |text| time(text).map(|it| it.as_secs_f64());
        assert_eq!(seconds("90"), Ok(90.0));
        assert_eq!(seconds("0.5"), Ok(0.5));
        assert_eq!(seconds(" 2 "), Ok(2.0));
        assert_eq!(seconds("500ms"), Ok(0.5));
        assert_eq!(seconds("1m 30s"), Ok(90.0));
        for wrong in ["", "-1", "soon", "inf", "nan", "1e40", "2 parsecs"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_header_is_split_at_its_first_colon() {
        let header = |name: &str, value: &str| Some((name.to_owned(), value.to_owned()));
        assert_eq!(split_header(" X-A : 1:2 "), header("X-A", "1:2"));
        assert_eq!(split_header("X-A"), None);
    }
}
