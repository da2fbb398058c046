//! Settings of a provider, as its server sees them.

use responses_client::{
    CodexConfig, Provider, ResponsesClient, Transport,
    testing::{Exchange, Script, ScriptedServer, Turn},
};

use crate::support::{BOTH, builder, guarded, only, request, server, turn};

/// Returns the value of a header that came with a request.
fn header<'a>(exchange: &'a Exchange, name: &str) -> Option<&'a str> {
    let mut headers = exchange.headers.iter();
    headers.find(|(it, _)| it == name).map(|(_, value)| value.as_str())
}

#[tokio::test(start_paused = true)]
async fn c272_headers_and_parameters_of_the_provider_go_with_every_request() {
    for transport in BOTH {
        let script = Script::new().respond(|exchange| {
            let values = ["x-tenant", "x-own"].map(|name| header(exchange, name).unwrap_or("none"));
            Turn::text(values.join(","))
        });
        let server = ScriptedServer::in_memory(script);
        let provider = Provider::compatible(&format!("{}?key=1", server.url())).unwrap();
        let provider = provider
            .query("tenant", "blue & green")
            .header("X-Tenant", "red")
            .header("x-tenant", "blue")
            .header("x-own", "of the provider");
        let client = builder(&server).provider(provider).header("x-own", "of the client");
        let client = client.transport(only(transport)).build().unwrap();
        let outcome = turn(&mut client.session(), &request(&["hi"])).await;
        assert_eq!(outcome.response().output_text(), "blue,of the client", "{transport:?}");
    }
}

#[test]
fn c272_a_header_of_the_provider_that_cannot_be_sent_is_an_error_of_the_client() {
    for (name, value) in [("host", "x"), ("a b", "x"), ("x-one", "canary\n")] {
        let provider = Provider::openai().header(name, value);
        let error = ResponsesClient::builder().provider(provider).build().unwrap_err();
        assert!(error.config_error().is_some(), "{name}");
        assert!(!format!("{error} {error:?}").contains("canary"));
    }
}

/// A configuration of Codex in a file, which is removed at the end.
struct CodexFile(std::path::PathBuf);

impl CodexFile {
    fn new(name: &str, text: &str) -> Self {
        let name = format!("responses-client-{}-{name}.toml", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for CodexFile {
    fn drop(&mut self) {
        _ = std::fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn c182_a_table_of_codex_works_unchanged() {
    for (transport, websockets) in [(Transport::WebSocket, "true"), (Transport::Sse, "false")] {
        let script = Script::new().respond(|exchange| {
            let values = ["authorization", "x-a"].map(|name| header(exchange, name).unwrap_or("-"));
            Turn::text(values.join(","))
        });
        let server = server(script).await;
        let text = format!(
            "[model_providers.own]\nbase_url = \"{}\"\nwire_api = \"responses\"\n\
             experimental_bearer_token = \"token\"\nsupports_websockets = {websockets}\n\
             query_params = {{ api-version = \"preview\" }}\nhttp_headers = {{ x-a = \"a\" }}\n\
             env_http_headers = {{ x-b = \"RESPONSES_CLIENT_UNSET\" }}\n",
            server.url()
        );
        let file = CodexFile::new(websockets, &text);
        let client = ResponsesClient::from_codex_config(&file.0, "own").unwrap();
        let mut session = client.session();
        let outcome = guarded(turn(&mut session, &request(&["hi"]))).await;
        assert_eq!(outcome.response().output_text(), "Bearer token,a");
        assert_eq!(outcome.report.transport, Some(transport));
    }
}

#[test]
fn c182_a_wrong_value_of_codex_names_file_and_line() {
    let file = CodexFile::new("wrong", "[model_providers.own]\n\nwire_api = \"chat\"\n");
    let error = CodexConfig::read(&file.0, "own").unwrap_err();
    let text = format!(
        "the settings are invalid: {}:3: `wire_api = \"chat\"` is not supported: the server must \
         have the Responses API, and `wire_api` must be \"responses\"",
        file.0.display()
    );
    assert_eq!(error.to_string(), text);
    let missing = CodexConfig::read("/nowhere/config.toml", "own").unwrap_err().to_string();
    assert!(missing.starts_with("the settings are invalid: /nowhere/config.toml: "), "{missing}");
}
