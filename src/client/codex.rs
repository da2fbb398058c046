//! Clients with a provider of Codex's configuration.

use std::{ffi::OsString, fs, path::Path};

use super::{builder::ResponsesClientBuilder, handle::ResponsesClient};
use crate::{
    auth::{Auth, Secret},
    config::{
        ConfigError, Provider, ReplayPolicy, RetryPolicy, SessionHeaders, Timeouts,
        codex::{self, CodexTable, Fault, Located, TokenCommand},
    },
    endpoint::parse_header,
    error::Error,
};

/// Settings of a provider in the configuration of Codex, a file `config.toml` with tables
/// `[model_providers.<id>]`.
///
/// | key | setting |
/// |---|---|
/// | `base_url` | [`Provider::from_url`]; by default OpenAI |
/// | `query_params`, `http_headers`, `env_http_headers` | [`Provider::query`] and [`Provider::header`]; a header whose variable is unset or blank is left out |
/// | – | headers for [`set_conversation_id`](crate::ResponsesSession::set_conversation_id) and [`set_source`](crate::ResponsesSession::set_source), as Codex sends them to each provider |
/// | `supports_websockets` | [`Provider::websocket`]; by default `false`, as in Codex |
/// | `env_key` | the key, from a variable that must be set; `env_key_instructions` is part of the error |
/// | `experimental_bearer_token` | the key, if there is no `env_key` |
/// | `requires_openai_auth` | the key in `OPENAI_API_KEY`, if the table has no other; logins of Codex are not read |
/// | `request_max_retries`, `stream_max_retries` | the larger one plus 1 is [`RetryPolicy::max_attempts`]; `stream_max_retries` is also [`RetryPolicy::max_replays`], and 0 is [`ReplayPolicy::Never`] |
/// | `stream_idle_timeout_ms` | the [`Timeouts`] of the first event and between events, on both transports |
/// | `websocket_connect_timeout_ms` | [`Timeouts::connect`] |
/// | `wire_api` | must be `"responses"` |
/// | `auth` | [`Auth::provider_fn`] with the token that `command` prints, with `args` and in `cwd`; run again before the token is as old as `refresh_interval_ms` (by default 5 min; 0 is never), and after a 401; `timeout_ms` is by default 5 s |
/// | `aws` | not supported: an error; [`AuthProvider::sign`](crate::AuthProvider::sign) signs requests |
///
/// The id `openai` stands for the provider that is built into Codex: OpenAI with the key in
/// `OPENAI_API_KEY`, the headers in `OPENAI_ORGANIZATION` and `OPENAI_PROJECT`, and the base URL in
/// the key `openai_base_url` of the file, if there is one.
///
/// ```no_run
/// use responses_client::{CodexConfig, TransportPolicy};
///
/// let config = CodexConfig::read("/home/me/.codex/config.toml", "proxy")?;
/// for warning in &config.warnings {
///     eprintln!("{warning}");
/// }
/// let client = config.into_builder().transport(TransportPolicy::SseOnly).build()?;
/// # drop(client);
/// # Ok::<_, responses_client::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CodexConfig {
    /// Server, with its headers and query parameters.
    pub provider: Provider,
    /// Credential.
    pub auth: Auth,
    /// Number of retries. What the file does not set has its default.
    pub retry: RetryPolicy,
    /// Time limits. What the file does not set has its default.
    pub timeouts: Timeouts,
    /// Keys that were ignored, each with file and line.
    pub warnings: Vec<String>,
}

impl ResponsesClient {
    /// Returns a client with the provider `id` of a configuration of Codex: see [`CodexConfig`],
    /// which also reports ignored keys. Here, they are log lines.
    ///
    /// # Errors
    ///
    /// Like [`CodexConfig::read`] and [`build`](ResponsesClientBuilder::build).
    pub fn from_codex_config(path: impl AsRef<Path>, id: &str) -> Result<Self, Error> {
        let config = CodexConfig::read(path, id)?;
        for warning in &config.warnings {
            tracing::warn!("{warning}");
        }
        config.into_builder().build()
    }
}

impl CodexConfig {
    /// Reads the provider `id` from the file at `path`, usually `~/.codex/config.toml`, and from the
    /// variables of the environment that the provider names.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidConfig`](crate::ErrorKind::InvalidConfig) with
    /// [`ConfigError::File`](crate::error::ConfigError::File), which names the line, if the file
    /// cannot be read, has no such provider, or a value is wrong, and if the variable of a key is
    /// not set.
    pub fn read(path: impl AsRef<Path>, id: &str) -> Result<Self, Error> {
        let path = path.as_ref();
        let text = fs::read_to_string(path)
            .map_err(|error| in_file(path, Fault::new(None, error.to_string())))?;
        Ok(read(path, &text, id, |name| std::env::var_os(name))?)
    }

    /// Returns a builder with these settings.
    pub fn into_builder(self) -> ResponsesClientBuilder {
        ResponsesClient::builder()
            .provider(self.provider)
            .auth(self.auth)
            .retry(self.retry)
            .timeouts(self.timeouts)
    }
}

/// Returns the settings in `text`, with the variables that `variable` returns.
fn read(
    path: &Path,
    text: &str,
    id: &str,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<CodexConfig, ConfigError> {
    let mut table = codex::parse(text, id).map_err(|fault| in_file(path, fault))?;
    let variable = |name: &str| {
        let value = variable(name).and_then(|value| value.into_string().ok());
        value.filter(|value| !value.trim().is_empty())
    };
    let auth = auth(path, &mut table, variable).map_err(|fault| in_file(path, fault))?;
    let provider = provider(&table, variable).map_err(|fault| in_file(path, fault))?;
    let (retry, timeouts) = (retry(&table), timeouts(&table));
    let warnings = table.warnings.into_iter();
    let warnings = warnings.map(|warning| in_file(path, warning).to_string()).collect();
    Ok(CodexConfig { provider, auth, retry, timeouts, warnings })
}

fn in_file(path: &Path, Fault { line, text }: Fault) -> ConfigError {
    ConfigError::File { path: path.display().to_string(), line, fault: text }
}

fn provider(
    table: &CodexTable,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Provider, Fault> {
    let mut provider = match &table.base_url {
        Some(Located { value, line }) => {
            Provider::from_url(value).map_err(|error| Fault::new(*line, error.to_string()))?
        }
        None => Provider::openai(),
    };
    provider = provider.websocket(table.supports_websockets);
    provider.capabilities.session_headers = SessionHeaders::CODEX;
    for (name, value) in &table.query_params {
        provider = provider.query(name, value);
    }
    for Located { value: (name, value), line } in &table.http_headers {
        check_header("http_headers", name, value, *line)?;
        provider = provider.header(name, value);
    }
    for Located { value: (name, variable_name), line } in &table.env_http_headers {
        let value = variable(variable_name);
        // The name is wrong whether the variable is set or not.
        check_header("env_http_headers", name, value.as_deref().unwrap_or_default(), *line)?;
        if let Some(value) = value {
            provider = provider.header(name, value);
        }
    }
    Ok(provider)
}

/// Returns an error if a header of the table `key` cannot be sent.
fn check_header(key: &str, name: &str, value: &str, line: Option<usize>) -> Result<(), Fault> {
    let parsed = parse_header(name, value);
    parsed.map(drop).map_err(|error| Fault::new(line, format!("`{key}`: {error}")))
}

fn auth(
    path: &Path,
    table: &mut CodexTable,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Auth, Fault> {
    if let Some(command) = table.auth.take() {
        return by_command(path, table, command);
    }
    let (name, line, instructions) = match (&table.env_key, &table.bearer_token) {
        (Some(name), _) => (name.value.as_str(), name.line, table.env_key_instructions.as_deref()),
        (None, Some(token)) => {
            let key = Secret::from(token.value.as_str());
            return checked(key, token.line, "experimental_bearer_token");
        }
        (None, None) => match table.requires_openai_auth {
            Some(line) => (OPENAI_KEY, Some(line), Some("logins of Codex are not read")),
            None => return Ok(Auth::None),
        },
    };
    match variable(name) {
        Some(key) => checked(Secret::from(key), line, name),
        None => {
            let hint = instructions.map(|it| format!(": {it}")).unwrap_or_default();
            Err(Fault::new(line, format!("the variable `{name}` is not set, or empty{hint}")))
        }
    }
}

/// Returns the authentication of a table `auth`. Relative paths are below the folder of the file.
fn by_command(
    path: &Path,
    table: &CodexTable,
    Located { value: mut command, line }: Located<TokenCommand>,
) -> Result<Auth, Fault> {
    let others = [
        ("env_key", table.env_key.is_some()),
        ("experimental_bearer_token", table.bearer_token.is_some()),
        ("requires_openai_auth", table.requires_openai_auth.is_some()),
    ];
    if let Some((other, _)) = others.into_iter().find(|(_, is_set)| *is_set) {
        return Err(Fault::new(line, format!("`auth` and `{other}` exclude each other")));
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    command.cwd = command.cwd.map(|cwd| folder.join(cwd));
    // The name of a command without a folder is searched for in PATH.
    let program = Path::new(&command.program);
    if let Some(cwd) = &command.cwd
        && program.components().count() > 1
    {
        command.program = cwd.join(program).into();
    }
    let path = path.to_owned();
    Ok(Auth::command(command, move |text| in_file(&path, Fault::new(line, text))))
}

/// Variable with the key of OpenAI.
const OPENAI_KEY: &str = "OPENAI_API_KEY";

/// Returns a credential that a header can carry. `name` is where the credential was found.
fn checked(key: Secret, line: Option<usize>, name: &str) -> Result<Auth, Fault> {
    match key.fault() {
        None => Ok(Auth::Bearer(key)),
        Some(fault) => Err(Fault::new(line, format!("`{name}` {fault}"))),
    }
}

fn retry(table: &CodexTable) -> RetryPolicy {
    let mut retry = RetryPolicy::default();
    if let Some(retries) = table.request_max_retries.max(table.stream_max_retries) {
        retry.max_attempts = retries.saturating_add(1);
    }
    if let Some(retries) = table.stream_max_retries {
        retry.max_replays = retries;
        if retries == 0 {
            retry.replay = ReplayPolicy::Never;
        }
    }
    retry
}

fn timeouts(table: &CodexTable) -> Timeouts {
    let mut timeouts = Timeouts::default();
    if let Some(idle) = table.stream_idle_timeout {
        timeouts = timeouts
            .first_event_websocket(idle)
            .first_event_sse(idle)
            .between_events_websocket(idle)
            .between_events_sse(idle);
    }
    timeouts.connect = table.websocket_connect_timeout.or(timeouts.connect);
    timeouts
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn config(id: &str, text: &str, set: &[(&str, &str)]) -> Result<CodexConfig, String> {
        let variable = |name: &str| {
            let found = set.iter().find(|(it, _)| *it == name);
            found.map(|(_, value)| OsString::from(value))
        };
        read(Path::new("config.toml"), text, id, variable).map_err(|error| error.to_string())
    }

    fn with_session_headers(mut provider: Provider) -> Provider {
        provider.capabilities.session_headers = SessionHeaders::CODEX;
        provider
    }

    #[test]
    fn c182_settings_of_a_table_become_those_of_a_client() {
        let text = r#"
[model_providers.p]
base_url = "https://r.openai.azure.com/openai"
env_key = "KEY"
query_params = { api-version = "preview" }
http_headers = { x-a = "a" }
env_http_headers = { x-b = "B", x-c = "BLANK", x-d = "UNSET" }
request_max_retries = 2
stream_max_retries = 7
stream_idle_timeout_ms = 5000
websocket_connect_timeout_ms = 6000
supports_websockets = true
name = "p"
"#;
        let set = [("KEY", "canary"), ("B", "canary"), ("BLANK", " ")];
        let config = config("p", text, &set).unwrap();
        let azure = Provider::azure("r").unwrap().query("api-version", "preview");
        let azure = azure.header("x-a", "a").header("x-b", "canary");
        assert_eq!(config.provider, with_session_headers(azure));
        assert!(config.auth.is_same(&Auth::bearer("canary")));
        assert!(!format!("{config:?}").contains("canary"));
        assert_eq!((config.retry.max_attempts, config.retry.max_replays), (8, 7));
        let idle = Some(Duration::from_secs(5));
        assert_eq!(config.timeouts.first_event_websocket, idle);
        assert_eq!(config.timeouts.between_events_sse, idle);
        assert_eq!(config.timeouts.connect, Some(Duration::from_secs(6)));
        assert_eq!(config.warnings, [""; 0]);
    }

    #[test]
    fn c182_what_a_table_does_not_set_has_its_default() {
        let text = "[model_providers.p]\nextra = 1\nstream_max_retries = 0";
        let config = config("p", text, &[]).unwrap();
        let openai = Provider::openai().websocket(false);
        assert_eq!(config.provider, with_session_headers(openai));
        assert!(config.auth.is_none());
        assert_eq!((config.retry.max_attempts, config.retry.replay), (1, ReplayPolicy::Never));
        assert_eq!(config.timeouts, Timeouts::default());
        assert_eq!(config.warnings, ["config.toml:2: `extra` is ignored"]);
    }

    #[test]
    fn c182_the_key_comes_from_the_first_place_that_the_table_names() {
        let with = |keys: &str| format!("[model_providers.p]\n{keys}");
        let token = with("experimental_bearer_token = \"token\"\nrequires_openai_auth = true");
        let set = [("KEY", "key"), ("OPENAI_API_KEY", "openai")];
        for (text, key) in [
            (with("env_key = \"KEY\"\nexperimental_bearer_token = \"token\""), "key"),
            (token, "token"),
            (with("requires_openai_auth = true"), "openai"),
        ] {
            assert!(config("p", &text, &set).unwrap().auth.is_same(&Auth::bearer(key)), "{text}");
        }
        let built_in = config("openai", "", &[set[1], ("OPENAI_PROJECT", "proj")]).unwrap();
        let openai = Provider::openai().header("OpenAI-Project", "proj");
        assert_eq!(built_in.provider, with_session_headers(openai));
    }

    #[test]
    fn c182_a_fault_names_file_and_line() {
        let table = |keys: &str| format!("[model_providers.p]\n{keys}");
        for (keys, text) in [
            ("env_key = \"KEY\"", "config.toml:2: the variable `KEY` is not set, or empty"),
            (
                "env_key_instructions = \"ask Ann\"\nenv_key = \"KEY\"",
                "config.toml:3: the variable `KEY` is not set, or empty: ask Ann",
            ),
            (
                "requires_openai_auth = true",
                "config.toml:2: the variable `OPENAI_API_KEY` is not set, or empty: logins of \
                 Codex are not read",
            ),
            ("base_url = \"canary\"", "config.toml:2: invalid base URL: not an absolute URL"),
            (
                "\nhttp_headers = { \"bad name\" = \"canary\" }",
                "config.toml:3: `http_headers`: the name of the header `bad name` has characters \
                 that HTTP does not allow",
            ),
            (
                "http_headers = { x-a = \"canary\\n\" }",
                "config.toml:2: `http_headers`: the value of the header `x-a` has a line break, \
                 remove it",
            ),
            (
                "http_headers = { host = \"canary\" }",
                "config.toml:2: `http_headers`: the header `host` belongs to the transport, remove \
                 it",
            ),
            (
                "env_http_headers = { x-b = \"B\" }",
                "config.toml:2: `env_http_headers`: the value of the header `x-b` has a line \
                 break, remove it",
            ),
            (
                "env_http_headers = { \"bad name\" = \"UNSET\" }",
                "config.toml:2: `env_http_headers`: the name of the header `bad name` has \
                 characters that HTTP does not allow",
            ),
            (
                "env_key = \"KEY\"\nauth = { command = \"canary\" }",
                "config.toml:3: `auth` and `env_key` exclude each other",
            ),
            (
                "experimental_bearer_token = \"canary\\n\"",
                "config.toml:2: `experimental_bearer_token` has a line break, remove it",
            ),
        ] {
            assert_eq!(config("p", &table(keys), &[("B", "canary\n")]).unwrap_err(), text);
        }
        assert_eq!(
            config("openai", "", &[]).unwrap_err(),
            "config.toml: the variable `OPENAI_API_KEY` is not set, or empty"
        );
    }
}
