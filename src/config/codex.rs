//! Providers in the configuration of Codex (`config.toml`).

use std::{ffi::OsString, path::PathBuf, time::Duration};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// Most retries that Codex makes, whatever its configuration says.
const MAX_RETRIES: u64 = 100;

/// A table `[model_providers.<id>]`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct CodexTable {
    pub(crate) base_url: Option<Located<String>>,
    /// Name of the variable that holds the key.
    pub(crate) env_key: Option<Located<String>>,
    pub(crate) env_key_instructions: Option<String>,
    pub(crate) bearer_token: Option<Located<String>>,
    pub(crate) query_params: Vec<(String, String)>,
    pub(crate) http_headers: Vec<Located<(String, String)>>,
    /// Names of headers, and of the variables that hold their values.
    pub(crate) env_http_headers: Vec<Located<(String, String)>>,
    /// Command that prints the token.
    pub(crate) auth: Option<Located<TokenCommand>>,
    pub(crate) request_max_retries: Option<u32>,
    pub(crate) stream_max_retries: Option<u32>,
    pub(crate) stream_idle_timeout: Option<Duration>,
    pub(crate) websocket_connect_timeout: Option<Duration>,
    /// Line of `requires_openai_auth`, if it is `true`.
    pub(crate) requires_openai_auth: Option<usize>,
    pub(crate) supports_websockets: bool,
    pub(crate) warnings: Vec<Fault>,
}

/// A table `auth`: a command that prints a token.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TokenCommand {
    pub(crate) program: OsString,
    pub(crate) args: Vec<String>,
    /// Maximum time of a run.
    pub(crate) timeout: Duration,
    /// Age of a token after which the command runs again; `None` for no maximum.
    pub(crate) refresh_after: Option<Duration>,
    /// Folder in which the command runs; `None` for that of this process.
    pub(crate) cwd: Option<PathBuf>,
}

/// A value, and the line that it stands in; `None` for values that are built into Codex.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Located<T> {
    pub(crate) value: T,
    pub(crate) line: Option<usize>,
}

/// A fault of the file, and the line that it stands in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) line: Option<usize>,
    pub(crate) text: String,
}

impl Fault {
    pub(crate) fn new(line: impl Into<Option<usize>>, text: impl Into<String>) -> Self {
        Self { line: line.into(), text: text.into() }
    }
}

/// Reads the provider `id` from the text of a configuration. The built-in provider `openai` has no
/// table; the key `openai_base_url` sets its base URL.
pub(crate) fn parse(text: &str, id: &str) -> Result<CodexTable, Fault> {
    let root = DeTable::parse(text).map_err(|error| {
        let line = error.span().map(|span| line_of(text, span.start));
        Fault::new(line, format!("not valid TOML: {}", error.message().trim()))
    })?;
    let root = Table::new(text, root.get_ref());
    let providers = match root.find("model_providers") {
        Some((line, value)) => Some(root.table(line, "model_providers", value)?),
        None => None,
    };
    let found = providers.as_ref().and_then(|providers| providers.find(id));
    if id == "openai" {
        let mut built_in = built_in_openai(&root)?;
        built_in.warnings.extend(found.map(|(line, _)| {
            Fault::new(line, "`openai` is built in, and this table is ignored: use another id")
        }));
        return Ok(built_in);
    }
    match (found, providers) {
        (Some((line, value)), _) => provider(&root.table(line, id, value)?),
        (None, providers) => Err(unknown_provider(id, providers.as_ref())),
    }
}

fn built_in_openai(root: &Table<'_>) -> Result<CodexTable, Fault> {
    let base_url = match root.find("openai_base_url") {
        Some((line, value)) => {
            Some(Located { value: string(line, "openai_base_url", value)?, line: Some(line) })
        }
        None => None,
    };
    let headers =
        [("OpenAI-Organization", "OPENAI_ORGANIZATION"), ("OpenAI-Project", "OPENAI_PROJECT")];
    Ok(CodexTable {
        base_url,
        env_key: Some(Located { value: "OPENAI_API_KEY".to_owned(), line: None }),
        env_http_headers: headers
            .map(|(name, it)| Located { value: (name.to_owned(), it.to_owned()), line: None })
            .into(),
        supports_websockets: true,
        ..CodexTable::default()
    })
}

fn unknown_provider(id: &str, providers: Option<&Table<'_>>) -> Fault {
    let ids = providers.map_or_else(Vec::new, Table::keys);
    let ids: Vec<_> = ids.iter().map(|id| format!("`{id}`")).collect();
    let others = match ids.is_empty() {
        true => "the file has no provider".to_owned(),
        false => format!("the file has {}", ids.join(", ")),
    };
    Fault::new(None, format!("no table `[model_providers.{id}]`; {others}"))
}

fn provider(table: &Table<'_>) -> Result<CodexTable, Fault> {
    let mut read = CodexTable::default();
    for (key, line, value) in table.entries() {
        let text = || string(line, key, value);
        match key {
            "name" => _ = text()?,
            "base_url" => read.base_url = Some(Located { value: text()?, line: Some(line) }),
            "env_key" => read.env_key = Some(Located { value: text()?, line: Some(line) }),
            "env_key_instructions" => read.env_key_instructions = Some(text()?),
            "experimental_bearer_token" => {
                read.bearer_token = Some(Located { value: text()?, line: Some(line) });
            }
            "wire_api" => check_wire(line, &text()?)?,
            "query_params" => {
                let params = table.strings(line, key, value)?.into_iter();
                read.query_params = params.map(|param| param.value).collect();
            }
            "http_headers" => read.http_headers = table.strings(line, key, value)?,
            "env_http_headers" => read.env_http_headers = table.strings(line, key, value)?,
            "request_max_retries" => {
                read.request_max_retries = Some(retries(line, key, value)?);
            }
            "stream_max_retries" => read.stream_max_retries = Some(retries(line, key, value)?),
            "stream_idle_timeout_ms" => {
                read.stream_idle_timeout = Some(milliseconds(line, key, value)?);
            }
            "websocket_connect_timeout_ms" => {
                read.websocket_connect_timeout = Some(milliseconds(line, key, value)?);
            }
            "requires_openai_auth" => {
                read.requires_openai_auth = boolean(line, key, value)?.then_some(line);
            }
            "supports_websockets" => read.supports_websockets = boolean(line, key, value)?,
            "auth" => {
                let command = token_command(&table.table(line, key, value)?, line)?;
                read.auth = Some(Located { value: command.0, line: Some(line) });
                read.warnings.extend(command.1);
            }
            "aws" => {
                return Err(Fault::new(
                    line,
                    "the table `aws` is not supported: implement `AuthProvider::sign` to sign \
                     requests for AWS, as the example `sigv4` does",
                ));
            }
            _ => read.warnings.push(Fault::new(line, format!("`{key}` is ignored"))),
        }
    }
    Ok(read)
}

/// Reads a table `auth` in `line`. Returns the command, and a warning for each key that is ignored.
fn token_command(table: &Table<'_>, line: usize) -> Result<(TokenCommand, Vec<Fault>), Fault> {
    let mut command = TokenCommand {
        program: OsString::new(),
        args: Vec::new(),
        timeout: Duration::from_secs(5),
        refresh_after: Some(Duration::from_secs(300)),
        cwd: None,
    };
    let mut warnings = Vec::new();
    for (name, line, value) in table.entries() {
        let key = &format!("auth.{name}");
        match name {
            "command" => command.program = string(line, key, value)?.into(),
            "args" => {
                let list = value.get_ref().as_array();
                let list = list.ok_or_else(|| wrong_type(line, key, "a list of strings", value))?;
                let texts = list.iter().map(|value| string(line, key, value));
                command.args = texts.collect::<Result<_, _>>()?;
            }
            "timeout_ms" => command.timeout = milliseconds(line, key, value)?,
            "refresh_interval_ms" => {
                let time = number(line, key, value)?;
                command.refresh_after = (time > 0).then(|| Duration::from_millis(time));
            }
            "cwd" => command.cwd = Some(string(line, key, value)?.into()),
            _ => warnings.push(Fault::new(line, format!("`{key}` is ignored"))),
        }
    }
    match command.program.is_empty() {
        true => Err(Fault::new(line, "the table `auth` has no `command`")),
        false => Ok((command, warnings)),
    }
}

fn check_wire(line: usize, wire: &str) -> Result<(), Fault> {
    match wire {
        "responses" => Ok(()),
        "chat" => Err(Fault::new(
            line,
            "`wire_api = \"chat\"` is not supported: the server must have the Responses API, and \
             `wire_api` must be \"responses\"",
        )),
        _ => Err(Fault::new(line, "`wire_api` must be \"responses\"")),
    }
}

/// A table with the text that it was read from.
struct Table<'a> {
    text: &'a str,
    table: &'a DeTable<'a>,
}

type Value<'a> = &'a Spanned<DeValue<'a>>;

impl<'a> Table<'a> {
    fn new(text: &'a str, table: &'a DeTable<'a>) -> Self {
        Self { text, table }
    }

    /// Returns each key with its line and value, in the order of the file.
    fn entries(&self) -> Vec<(&'a str, usize, Value<'a>)> {
        let mut entries: Vec<_> = self.table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let located = entries.into_iter().map(|(key, value)| {
            let line = line_of(self.text, key.span().start);
            (&**key.get_ref(), line, value)
        });
        located.collect()
    }

    fn keys(&self) -> Vec<&'a str> {
        self.entries().into_iter().map(|(key, ..)| key).collect()
    }

    fn find(&self, key: &str) -> Option<(usize, Value<'a>)> {
        let mut entries = self.entries().into_iter();
        entries.find(|(it, ..)| *it == key).map(|(_, line, value)| (line, value))
    }

    fn table(&self, line: usize, key: &str, value: Value<'a>) -> Result<Self, Fault> {
        match value.get_ref().as_table() {
            Some(table) => Ok(Self { text: self.text, table }),
            None => Err(wrong_type(line, key, "a table", value)),
        }
    }

    /// Returns the entries of a table of strings, each with its line.
    fn strings(
        &self,
        line: usize,
        key: &str,
        value: Value<'a>,
    ) -> Result<Vec<Located<(String, String)>>, Fault> {
        let entries = self.table(line, key, value)?.entries().into_iter();
        let pairs = entries.map(|(name, line, value)| {
            let text = string(line, &format!("{key}.{name}"), value)?;
            Ok(Located { value: (name.to_owned(), text), line: Some(line) })
        });
        pairs.collect()
    }
}

fn string(line: usize, key: &str, value: Value<'_>) -> Result<String, Fault> {
    let text = value.get_ref().as_str().map(str::to_owned);
    text.ok_or_else(|| wrong_type(line, key, "a string", value))
}

fn boolean(line: usize, key: &str, value: Value<'_>) -> Result<bool, Fault> {
    value.get_ref().as_bool().ok_or_else(|| wrong_type(line, key, "true or false", value))
}

fn number(line: usize, key: &str, value: Value<'_>) -> Result<u64, Fault> {
    let integer = value.get_ref().as_integer();
    let number = integer.and_then(|it| u64::from_str_radix(it.as_str(), it.radix()).ok());
    number.ok_or_else(|| wrong_type(line, key, "a whole number, not below 0", value))
}

fn retries(line: usize, key: &str, value: Value<'_>) -> Result<u32, Fault> {
    let capped = number(line, key, value)?.min(MAX_RETRIES);
    Ok(u32::try_from(capped).unwrap_or(u32::MAX))
}

fn milliseconds(line: usize, key: &str, value: Value<'_>) -> Result<Duration, Fault> {
    match number(line, key, value)? {
        0 => Err(Fault::new(line, format!("`{key}` must be above 0"))),
        number => Ok(Duration::from_millis(number)),
    }
}

/// The text does not show the value, which may be a credential.
fn wrong_type(line: usize, key: &str, expected: &str, value: Value<'_>) -> Fault {
    let found = value.get_ref().type_str();
    Fault::new(line, format!("`{key}` must be {expected}, and has the type {found}"))
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(String, String)> {
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }

    fn header(name: &str, value: &str, line: usize) -> Located<(String, String)> {
        Located { value: (name.to_owned(), value.to_owned()), line: Some(line) }
    }

    fn at(value: &str, line: usize) -> Option<Located<String>> {
        Some(Located { value: value.to_owned(), line: Some(line) })
    }

    #[test]
    fn c182_each_key_of_a_table_is_read() {
        let text = r#"model = "gpt-6"
model_provider = "proxy"

[model_providers.proxy]
name = "A proxy"
base_url = "https://a.example/v1"
env_key = "KEY"
env_key_instructions = "ask Ann"
experimental_bearer_token = "token"
wire_api = "responses"
query_params = { z = "1", a = "2" }
request_max_retries = 0x2
stream_max_retries = 1_000
stream_idle_timeout_ms = 300_000
websocket_connect_timeout_ms = 15000
requires_openai_auth = true
supports_websockets = true
supports_standalone_web_search = true

[model_providers.proxy.http_headers]
X-B = "b"
x-a = "a"
[model_providers.proxy.env_http_headers]
x-c = "VARIABLE"

[model_providers."other one"]
base_url = "http://localhost:1/v1"
"#;
        let expected = CodexTable {
            base_url: at("https://a.example/v1", 6),
            env_key: at("KEY", 7),
            env_key_instructions: Some("ask Ann".to_owned()),
            bearer_token: at("token", 9),
            query_params: pairs([("z", "1"), ("a", "2")]),
            http_headers: vec![header("X-B", "b", 21), header("x-a", "a", 22)],
            env_http_headers: vec![header("x-c", "VARIABLE", 24)],
            auth: None,
            request_max_retries: Some(2),
            stream_max_retries: Some(100),
            stream_idle_timeout: Some(Duration::from_secs(300)),
            websocket_connect_timeout: Some(Duration::from_secs(15)),
            requires_openai_auth: Some(16),
            supports_websockets: true,
            warnings: vec![Fault::new(18, "`supports_standalone_web_search` is ignored")],
        };
        assert_eq!(parse(text, "proxy"), Ok(expected));
        let other = parse(text, "other one").unwrap();
        assert_eq!(other.base_url, at("http://localhost:1/v1", 27));
        assert!(!other.supports_websockets);
    }

    #[test]
    fn c182_a_table_auth_is_a_command() {
        let table = |keys: &str| format!("[model_providers.p]\nname = \"p\"\n\n{keys}");
        let read = |keys: &str| parse(&table(keys), "p").unwrap();
        let short = read("auth = { command = \"token\", other = 1 }");
        assert_eq!(short.warnings, [Fault::new(4, "`auth.other` is ignored")]);
        let mut command = TokenCommand {
            program: "token".into(),
            args: Vec::new(),
            timeout: Duration::from_secs(5),
            refresh_after: Some(Duration::from_secs(300)),
            cwd: None,
        };
        let short = short.auth.unwrap();
        assert_eq!((short.line, &short.value), (Some(4), &command));
        let long = read(
            "[model_providers.p.auth]\ncommand = \"token\"\nargs = [\"a\", \"b c\"]\ntimeout_ms = 1\n\
             refresh_interval_ms = 0\ncwd = \"folder\"",
        );
        command.args = vec!["a".to_owned(), "b c".to_owned()];
        command.timeout = Duration::from_millis(1);
        command.refresh_after = None;
        command.cwd = Some("folder".into());
        assert_eq!(long.auth.unwrap().value, command);
    }

    #[test]
    fn c182_the_built_in_provider_has_a_base_url_of_its_own() {
        let text = "openai_base_url = \"https://a.example/v1\"\n[model_providers.openai]\nx = 1";
        let read = parse(text, "openai").unwrap();
        assert_eq!(read.base_url, at("https://a.example/v1", 1));
        assert!(read.supports_websockets);
        assert_eq!(read.warnings.len(), 1);
        assert_eq!(read.warnings[0].line, Some(2));
        assert_eq!(parse("", "openai").unwrap().base_url, None);
    }

    #[test]
    fn c182_a_wrong_value_names_its_line_and_is_not_shown() {
        for (line, text) in [
            ("base_url = 1", "`base_url` must be a string, and has the type integer"),
            (
                "experimental_bearer_token = [\"canary\"]",
                "`experimental_bearer_token` must be a string, and has the type array",
            ),
            (
                "supports_websockets = \"canary\"",
                "`supports_websockets` must be true or false, and has the type string",
            ),
            (
                "request_max_retries = -1",
                "`request_max_retries` must be a whole number, not below 0, and has the type integer",
            ),
            ("stream_idle_timeout_ms = 0", "`stream_idle_timeout_ms` must be above 0"),
            (
                "http_headers = { x = 1 }",
                "`http_headers.x` must be a string, and has the type integer",
            ),
            (
                "query_params = \"canary\"",
                "`query_params` must be a table, and has the type string",
            ),
            (
                "wire_api = \"chat\"",
                "`wire_api = \"chat\"` is not supported: the server must have the Responses API, \
                 and `wire_api` must be \"responses\"",
            ),
            ("wire_api = \"canary\"", "`wire_api` must be \"responses\""),
            ("auth = { args = [\"canary\"] }", "the table `auth` has no `command`"),
            (
                "auth = { command = [\"canary\"] }",
                "`auth.command` must be a string, and has the type array",
            ),
            (
                "auth = { command = \"a\", args = \"canary\" }",
                "`auth.args` must be a list of strings, and has the type string",
            ),
            (
                "auth = { command = \"a\", args = [1] }",
                "`auth.args` must be a string, and has the type integer",
            ),
            ("auth = { command = \"a\", timeout_ms = 0 }", "`auth.timeout_ms` must be above 0"),
            (
                "aws = {}",
                "the table `aws` is not supported: implement `AuthProvider::sign` to sign requests \
                 for AWS, as the example `sigv4` does",
            ),
        ] {
            let file = format!("# a comment\n[model_providers.p]\nname = \"x\"\n{line}\n");
            assert_eq!(parse(&file, "p"), Err(Fault::new(4, text)), "{line}");
        }
        let missing = parse("[model_providers.b]\n[model_providers.a]\n", "c").unwrap_err();
        let text = "no table `[model_providers.c]`; the file has `b`, `a`";
        assert_eq!(missing, Fault::new(None, text));
        let none = parse("", "c").unwrap_err();
        assert_eq!(none.text, "no table `[model_providers.c]`; the file has no provider");
        let broken = parse("a = 1\nb = \"x\n", "c").unwrap_err();
        assert_eq!(broken.line, Some(2));
        assert!(broken.text.starts_with("not valid TOML: "), "{}", broken.text);
    }
}
