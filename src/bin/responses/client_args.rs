//! Flags that configure a client, and the client that the flags and the environment configure.

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::ValueEnum;
use responses_client::{
    Auth, CodexConfig, Error, Limits, NetworkSettings, Provider, ReplayPolicy, ResponsesClient,
    ResponsesClientBuilder, RetryPolicy, Timeouts,
};

use crate::{
    notes::note,
    provider_name::ProviderName,
    stop::{Stop, in_words},
};

#[derive(clap::Args)]
pub(crate) struct ClientArgs {
    /// Base URL, usually ending in /v1 [default: OPENAI_BASE_URL, or the provider's own]
    ///
    /// OPENAI_BASE_URL is used for openai, and for providers without a base URL of their own.
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,

    /// Preset of the server [default: recognized by --base-url, otherwise openai]
    ///
    /// A preset has the properties of the server, and its base URL if that is fixed.
    #[arg(long, value_name = "NAME")]
    provider: Option<ProviderName>,

    /// Provider from the configuration of Codex, a table [model_providers.ID] [default: none]
    #[arg(long, value_name = "ID", conflicts_with_all = ["base_url", "provider", "api_key_env"])]
    codex_provider: Option<String>,

    /// Configuration of Codex [default: $CODEX_HOME/config.toml, or ~/.codex/config.toml]
    #[arg(long, value_name = "FILE", requires = "codex_provider")]
    codex_config: Option<PathBuf>,

    /// Header to add to every request; may be repeated [default: none]
    ///
    /// @FILE reads headers from a file, one a line, so that no credential is in the command line.
    #[arg(long = "header", value_name = "K:V|@FILE")]
    headers: Vec<String>,

    /// Query parameter to add to every request; may be repeated [default: none]
    #[arg(long = "query", value_name = "NAME=VALUE")]
    queries: Vec<String>,

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

    /// Silence of the server of a WebSocket before a ping is sent; 0 is never [default: 20s]
    #[arg(long, value_name = "TIME", value_parser = time)]
    ping: Option<Duration>,

    /// Time for a whole turn, including retries [default: none]
    #[arg(long, value_name = "TIME", value_parser = time)]
    timeout_turn: Option<Duration>,

    /// Time to wait for a network that is down, or for a server that does not accept connections
    /// [default: 60s, or 5s for a server that was never reached]
    #[arg(long, value_name = "TIME", value_parser = time)]
    network_down_deadline: Option<Duration>,

    /// Requests to send again although they may have run, and be billed twice [default: before-created]
    #[arg(long, value_name = "POLICY")]
    replay: Option<ReplayName>,

    /// Continue stored responses by their id over SSE too [default: off]
    #[arg(long)]
    continue_over_sse: bool,

    /// Largest event in bytes [default: 128 MiB]
    #[arg(long, value_name = "BYTES")]
    max_event_bytes: Option<usize>,

    /// Bytes that a WebSocket reads ahead [default: 8 MiB]
    #[arg(long, value_name = "BYTES")]
    read_ahead: Option<usize>,

    /// PEM file with a CA to trust besides those of the platform; may be repeated [default: none]
    #[arg(long = "ca-file", value_name = "FILE")]
    ca_files: Vec<PathBuf>,

    /// PEM file with the certificate of this client, for servers that require one [default: none]
    #[arg(long, value_name = "FILE")]
    client_certificate: Option<PathBuf>,

    /// PEM file with the private key of that certificate [default: the file of the certificate]
    #[arg(long, value_name = "FILE", requires = "client_certificate")]
    client_key: Option<PathBuf>,

    /// Send credentials over plain http to other machines too [default: off]
    #[arg(long)]
    allow_http_credentials: bool,

    /// Treat the server as one without WebSocket [default: the preset's]
    #[arg(long)]
    no_websocket: bool,

    /// Largest WebSocket message in bytes; 0 is no limit [default: the preset's]
    #[arg(long, value_name = "BYTES")]
    frame_limit: Option<u64>,

    /// Age at which the server closes a WebSocket; 0 is never [default: the preset's]
    #[arg(long, value_name = "TIME", value_parser = time)]
    max_age: Option<Duration>,

    /// Named lanes of a WebSocket, on which other sessions run; 0 is none [default: the preset's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(..=62))]
    named_lanes: Option<u8>,

    /// Responses that a WebSocket of the server runs at the same time [default: the preset's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    active_responses: Option<u8>,

    /// The server stores a response when `store` is absent [default: the preset's]
    #[arg(long, value_name = "true|false")]
    stores_by_default: Option<bool>,

    /// A WebSocket of the server stays usable after an error [default: the preset's]
    #[arg(long, value_name = "true|false")]
    reuses_socket_after_error: Option<bool>,

    /// Compress the bodies of HTTP requests with zstd [default: the preset's]
    #[arg(long, value_name = "true|false")]
    zstd_bodies: Option<bool>,

    /// The server needs its x-codex-turn-state back [default: the preset's]
    #[arg(long, value_name = "true|false")]
    turn_state: Option<bool>,
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
        let headers = self.headers()?;
        let (provider, auth, retry, timeouts) = match &self.codex_provider {
            Some(id) => {
                let CodexConfig { provider, auth, retry, timeouts, warnings, .. } =
                    self.codex(id)?;
                warnings.iter().for_each(|warning| note(warning));
                (provider, auth, retry, timeouts)
            }
            None => {
                let base_url = self.base_url();
                let provider = self.provider(base_url.as_deref())?;
                let auth = self.auth(base_url.is_some(), &headers)?;
                (provider, auth, RetryPolicy::default(), Timeouts::default())
            }
        };
        let mut builder = ResponsesClient::builder()
            .provider(self.adjusted(provider)?)
            .auth(auth)
            .timeouts(self.timeouts(timeouts))
            .retry(self.retry(retry))
            .limits(self.limits())
            .network(self.network()?)
            .continue_over_sse(self.continue_over_sse);
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
                if self.is_openai() { variable(variable_name) } else { None }
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
        let own_address = !self.is_openai() && self.provider.is_some_and(|it| it.known().is_some());
        self.base_url.clone().or_else(
            || {
                if own_address { None } else { variable("OPENAI_BASE_URL") }
            },
        )
    }

    /// Returns the server with the flag that chose it, if it has no WebSocket.
    pub(crate) fn provider_without_websocket(&self) -> Result<Option<String>, Stop> {
        let provider = match &self.codex_provider {
            Some(id) => self.codex(id)?.provider,
            None => self.provider(self.base_url().as_deref())?,
        };
        let provider = self.adjusted(provider)?;
        if provider != provider.clone().websocket(false) {
            return Ok(None);
        }
        let preset = self.provider.and_then(|name| name.to_possible_value());
        Ok(Some(match (&self.codex_provider, preset) {
            _ if self.no_websocket => "the server of --no-websocket".to_owned(),
            (Some(id), _) => format!("--codex-provider {id}"),
            (None, Some(preset)) => format!("--provider {}", preset.get_name()),
            (None, None) if self.base_url.is_some() => "the server of --base-url".to_owned(),
            (None, None) => "the server of OPENAI_BASE_URL".to_owned(),
        }))
    }

    /// Returns `true` if the server is OpenAI unless the base URL is that of another server.
    fn is_openai(&self) -> bool {
        self.codex_provider.is_none()
            && self.provider.is_none_or(|name| name == ProviderName::Openai)
    }

    fn provider(&self, base_url: Option<&str>) -> Result<Provider, Stop> {
        let known = self.provider.map(|name| (name, name.known()));
        match (known, base_url) {
            (None, None) => Ok(Provider::openai()),
            (None, Some(url)) => Provider::from_url(url).map_err(bad_setting),
            (Some((_, Some(provider))), None) => Ok(provider),
            (Some((_, Some(provider))), Some(url)) => {
                provider.with_base_url(url).map_err(bad_setting)
            }
            (Some((name, None)), Some(url)) => name.by_url(url).map_err(bad_setting),
            (Some((_, None)), None) => {
                Err(Stop::Bad("this --provider needs a --base-url".to_owned()))
            }
        }
    }

    /// Reads a provider of Codex.
    fn codex(&self, id: &str) -> Result<CodexConfig, Stop> {
        let path = self.codex_config.clone().or_else(codex_config_path).ok_or_else(|| {
            Stop::Bad("no home directory is known: set --codex-config".to_owned())
        })?;
        CodexConfig::read(path, id).map_err(bad_setting)
    }

    /// Returns `provider` with the properties, and with the query parameters, of the flags.
    fn adjusted(&self, mut provider: Provider) -> Result<Provider, Stop> {
        for query in &self.queries {
            // The message does not contain the parameter, which may be a credential.
            let (name, value) = query
                .split_once('=')
                .ok_or_else(|| Stop::Bad("--query must be of the form NAME=VALUE".to_owned()))?;
            provider = provider.query(name, value);
        }
        if self.no_websocket {
            provider = provider.websocket(false);
        }
        if self.allow_http_credentials {
            provider = provider.allow_credentials_over_http();
        }
        if let Some(bytes) = self.frame_limit {
            provider = provider.frame_limit((bytes != 0).then_some(bytes));
        }
        if let Some(age) = self.max_age {
            provider = provider.max_age((!age.is_zero()).then_some(age));
        }
        if let Some(lanes) = self.named_lanes {
            provider = provider.named_lanes(lanes);
        }
        if let Some(responses) = self.active_responses {
            provider = provider.active_responses(responses);
        }
        if let Some(stores) = self.stores_by_default {
            provider = provider.stores_by_default(stores);
        }
        if let Some(reuses) = self.reuses_socket_after_error {
            provider = provider.reuses_socket_after_error(reuses);
        }
        if let Some(accepted) = self.zstd_bodies {
            provider = provider.zstd_bodies(accepted);
        }
        if let Some(returned) = self.turn_state {
            provider = provider.turn_state(returned);
        }
        Ok(provider)
    }

    fn network(&self) -> Result<NetworkSettings, Stop> {
        let mut network = NetworkSettings::new();
        for path in &self.ca_files {
            check_readable("--ca-file", path)?;
            network = network.root_certificates_file(path);
        }
        if let Some(path) = &self.client_certificate {
            check_readable("--client-certificate", path)?;
            if let Some(path) = &self.client_key {
                check_readable("--client-key", path)?;
            }
            network = network.client_certificate_file(path, self.client_key.clone());
        }
        Ok(network)
    }

    fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        limits.max_event_bytes = self.max_event_bytes.unwrap_or(limits.max_event_bytes);
        limits.read_ahead = self.read_ahead.unwrap_or(limits.read_ahead);
        limits
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
        let takes_default = self.is_openai() || base_url_given;
        let key = if takes_default { variable("OPENAI_API_KEY") } else { None };
        if key.is_none() && !self.provider.is_some_and(ProviderName::is_local) {
            let why = if takes_default {
                "OPENAI_API_KEY is not set, or empty"
            } else {
                "see --api-key-env"
            };
            note(&format!("no API key is sent: {why}"));
        }
        Ok(key.map_or(Auth::None, Auth::bearer))
    }

    /// Returns `timeouts` with the times of the flags.
    fn timeouts(&self, mut timeouts: Timeouts) -> Timeouts {
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
        timeouts.ping = self.ping();
        timeouts
    }

    /// Returns the silence before a ping; `None` for never.
    pub(crate) fn ping(&self) -> Option<Duration> {
        match self.ping {
            Some(ping) => (!ping.is_zero()).then_some(ping),
            None => Timeouts::default().ping,
        }
    }

    /// Returns `retry` with the replays and the deadline of the flags.
    fn retry(&self, mut retry: RetryPolicy) -> RetryPolicy {
        if self.network_down_deadline.is_some() {
            retry.network_down_deadline = self.network_down_deadline;
            // The same time for a server that was never reached.
            retry.unreached_deadline = None;
        }
        retry.replay = match self.replay {
            None => retry.replay,
            Some(ReplayName::Never) => ReplayPolicy::Never,
            Some(ReplayName::BeforeCreated) => ReplayPolicy::BeforeCreated,
            Some(ReplayName::BeforeOutput) => ReplayPolicy::BeforeOutput,
            Some(ReplayName::Restart) => ReplayPolicy::Restart,
        };
        retry
    }
}

/// Returns the path of Codex's configuration, if the home directory is known.
fn codex_config_path() -> Option<PathBuf> {
    let home = variable("CODEX_HOME").map(PathBuf::from);
    let folder = home.or_else(|| Some(env::home_dir()?.join(".codex")))?;
    Some(folder.join("config.toml"))
}

/// Checks that the file that a flag names can be read, even if the connection needs no certificate.
fn check_readable(flag: &str, path: &Path) -> Result<(), Stop> {
    let opened = fs::File::open(path);
    opened.map(drop).map_err(|error| Stop::Bad(format!("{flag} {}: {error}", path.display())))
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
