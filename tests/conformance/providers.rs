//! Settings of a provider, credentials that sign requests, and headers of sessions, as the server
//! sees them.

use std::{
    error::Error as StdError,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use responses_client::{
    Auth, AuthProvider, CodexConfig, Delivery, ErrorKind, Item, Provider, ResponsesClient, Secret,
    TokenFuture, Transport, TransportPolicy, http,
    testing::{Exchange, Script, ScriptedServer, Step, Turn},
};

use crate::support::{BOTH, Outcome, builder, guarded, only, request, server, turn};

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

#[cfg(unix)]
#[tokio::test]
async fn c182_the_command_of_a_table_auth_prints_the_token_again_after_a_401() {
    for transport in [Transport::WebSocket, Transport::Sse] {
        let script = Script::new().respond(|exchange| match header(exchange, "authorization") {
            Some("Bearer token-1") => Turn::error(401, "invalid_api_key", "expired"),
            token => Turn::text(token.unwrap_or("-")),
        });
        let server = server(script).await;
        let runs = CodexFile::new(&format!("{transport}-runs"), "");
        let text = format!(
            "[model_providers.own]\nbase_url = \"{}\"\nsupports_websockets = {}\n\n\
             [model_providers.own.auth]\ncommand = \"sh\"\n\
             args = [\"-c\", \"echo >>'{runs}'; echo token-$(wc -l <'{runs}'); echo canary >&2\"]\n",
            server.url(),
            transport == Transport::WebSocket,
            runs = runs.0.display(),
        );
        let file = CodexFile::new(transport.as_str(), &text);
        let client = ResponsesClient::from_codex_config(&file.0, "own").unwrap();
        let mut session = client.session();
        for _ in 0..2 {
            let outcome = guarded(turn(&mut session, &request(&["hi"]))).await;
            assert_eq!(outcome.response().output_text(), "Bearer token-2", "{transport}");
        }
        assert_eq!(std::fs::read_to_string(&runs.0).unwrap(), "\n\n", "{transport}");
    }
    let failing = "[model_providers.own]\n\n\
                   auth = { command = \"sh\", args = [\"-c\", \"echo canary; exit 3\"] }\n";
    let file = CodexFile::new("failing", failing);
    let client = ResponsesClient::from_codex_config(&file.0, "own").unwrap();
    let outcome = guarded(turn(&mut client.session(), &request(&["hi"]))).await;
    assert_eq!(outcome.error().kind(), ErrorKind::Auth);
    let source = outcome.error().source().unwrap().to_string();
    let text = format!(
        "{}:3: the command of `auth` failed (exit status: 3): run it in a terminal to see its \
         messages",
        file.0.display()
    );
    assert_eq!(source, text);
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

/// Signs each request with its method, path and size, and with the number of tokens so far.
#[derive(Default)]
struct Signer {
    tokens: AtomicUsize,
    fails: bool,
}

impl AuthProvider for Signer {
    fn token(&self) -> TokenFuture<'_> {
        let number = self.tokens.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move { Ok(Secret::from(format!("secret-{number}"))) })
    }

    fn sign(
        &self,
        token: &Secret,
        request: &mut http::request::Parts,
        body: &[u8],
    ) -> Result<(), Box<dyn StdError + Send + Sync>> {
        if self.fails {
            return Err("the clock is wrong".into());
        }
        let body = !body.is_empty();
        let text = format!("{} {} {body} {}", request.method, request.uri.path(), token.expose());
        request.headers.insert("x-signature", text.parse()?);
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn c275_a_provider_signs_each_request_and_each_upgrade() {
    for (transport, first, second) in [
        (
            Transport::WebSocket,
            "GET /v1/responses false secret-0",
            "GET /v1/responses false secret-0",
        ),
        (Transport::Sse, "POST /v1/responses true secret-0", "POST /v1/responses true secret-1"),
    ] {
        let script = Script::new().respond(|exchange| {
            assert_eq!(header(exchange, "authorization"), None);
            Turn::text(header(exchange, "x-signature").unwrap_or("none"))
        });
        let server = ScriptedServer::in_memory(script);
        let client = builder(&server).auth(Auth::provider(Arc::new(Signer::default())));
        let mut session = client.transport(only(transport)).build().unwrap().session();
        for signature in [first, second] {
            let outcome = turn(&mut session, &request(&["hi"])).await;
            assert_eq!(outcome.response().output_text(), signature);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c275_a_signature_that_fails_ends_the_turn_before_anything_is_sent() {
    for policy in [TransportPolicy::Auto, TransportPolicy::SseOnly] {
        let server = ScriptedServer::in_memory(Script::new());
        let signer = Signer { fails: true, ..Signer::default() };
        let client = builder(&server).auth(Auth::provider(signer)).transport(policy).build();
        let outcome = turn(&mut client.unwrap().session(), &request(&["hi"])).await;
        let error = outcome.error();
        assert_eq!((error.kind(), error.delivery()), (ErrorKind::Auth, Delivery::NotSent));
        let source = std::error::Error::source(error).unwrap();
        assert_eq!(source.to_string(), "the clock is wrong");
        assert_eq!(server.log().connections.len(), 0);
    }
}

/// Answers with the turn state that the request has, in its header and in its metadata.
fn echo_state(exchange: &Exchange) -> String {
    let in_body = exchange.body["client_metadata"]["x-codex-turn-state"].as_str();
    format!("{}/{}", header(exchange, "x-codex-turn-state").unwrap_or("-"), in_body.unwrap_or("-"))
}

#[tokio::test(start_paused = true)]
async fn c276_the_turn_state_is_returned_within_a_user_turn() {
    for (transport, returned) in [(Transport::WebSocket, "-/one"), (Transport::Sse, "one/-")] {
        // The state of each response has its number: the first counts.
        let script = Script::new().respond(|exchange| {
            let state = ["one", "two", "three", "four"][exchange.index];
            let event = serde_json::json!({
                "type": "codex.response.metadata",
                "headers": { "x-codex-turn-state": state },
            });
            Turn::text(echo_state(exchange)).insert(1, Step::Event(event))
        });
        let server = ScriptedServer::in_memory(script);
        let provider = Provider::compatible(&server.url()).unwrap().turn_state(true);
        let client = builder(&server).provider(provider).transport(only(transport));
        let mut session = client.build().unwrap().session();
        let mut next = request(&["hi"]);
        for (item, expected) in [
            (None, "-/-"),
            (Some(Item::function_call_output("c", "1")), returned),
            (Some(Item::user("more")), "-/-"),
        ] {
            next.input.extend(item);
            let outcome = turn(&mut session, &next).await;
            assert_eq!(outcome.response().output_text(), expected, "{transport:?}");
            next.input.extend(outcome.response().output_items());
        }
        let log = server.log();
        assert!(log.requests.iter().all(|it| it.headers.len() < 20), "{log:?}");
        let mut other = builder(&server).transport(only(transport)).build().unwrap().session();
        other.set_header("x-tag", "a").unwrap();
        let outcome = turn(&mut other, &next).await;
        assert_eq!(outcome.response().output_text(), "-/-", "other providers do not return it");
    }
}

#[tokio::test(start_paused = true)]
async fn c277_a_header_of_a_session_goes_with_its_requests_and_upgrades() {
    for transport in BOTH {
        let script = Script::new()
            .respond(|exchange| Turn::text(header(exchange, "session-id").unwrap_or("none")));
        let server = ScriptedServer::in_memory(script);
        let client = builder(&server).header("session-id", "of the client");
        let client = client.transport(only(transport)).build().unwrap();
        let mut session = client.session();
        session.set_header("Session-Id", "one").unwrap();
        let first = turn(&mut session, &request(&["hi"])).await;
        assert_eq!(first.response().output_text(), "one");
        session.set_header("session-id", "two").unwrap();
        let second = turn(&mut session, &request(&["ho"])).await;
        assert_eq!(second.report.transport, Some(transport));
        let expected = if transport == Transport::Sse { "two" } else { "one" };
        assert_eq!(second.response().output_text(), expected, "an open socket is kept");
        let forked = turn(&mut session.fork(), &request(&["hi"])).await;
        assert_eq!(forked.response().output_text(), "two");
        let other = turn(&mut client.session(), &request(&["hi"])).await;
        assert_eq!(other.response().output_text(), "of the client");
    }
    let client = ResponsesClient::builder().auth(Auth::header("x-secret", "key")).build().unwrap();
    let mut session = client.session();
    for (name, value, fault) in [
        ("Host", "x", "the header `host` belongs to the transport, remove it"),
        ("x-one", "canary\n", "the value of the header `x-one` has a line break, remove it"),
        (
            "Authorization",
            "Bearer canary",
            "the name of the header `authorization` stands for a credential, which only a client \
             can have",
        ),
        (
            "X-Secret",
            "canary",
            "the name of the header `x-secret` stands for a credential, which only a client can \
             have",
        ),
    ] {
        let error = session.set_header(name, value).unwrap_err();
        assert_eq!(error.to_string(), format!("the settings are invalid: {fault}"));
    }
}

#[tokio::test(start_paused = true)]
async fn c277_a_conversation_and_its_source_are_named_as_the_provider_has_it() {
    const NAMES: [&str; 3] = ["session-id", "thread-id", "x-openai-subagent"];
    let script = Script::new().respond(|exchange| {
        let values = NAMES.map(|name| header(exchange, name).unwrap_or("-"));
        Turn::text(values.join(" "))
    });
    let text = |outcome: &Outcome| outcome.response().output_text();
    for transport in BOTH {
        let server = ScriptedServer::in_memory(script.clone());
        let client = |provider: Provider| {
            let provider = provider.with_base_url(&server.url()).unwrap();
            let client = builder(&server).provider(provider).header("thread-id", "of the client");
            client.transport(only(transport)).build().unwrap()
        };
        let chatgpt = client(Provider::chatgpt());
        let mut session = chatgpt.session();
        session.set_conversation_id("one").unwrap();
        session.set_source("review").unwrap();
        let mut next = request(&["hi"]).store(false);
        // The second turn goes over the same WebSocket, or is a request of its own.
        for _ in 0..2 {
            let outcome = turn(&mut session, &next).await;
            assert_eq!(text(&outcome), "one one review", "{transport:?}");
            next.input.extend(outcome.response().output_items());
            next.input.push(Item::user("more"));
        }
        let log = server.log();
        let opened = log.requests[0].connection;
        let is_kept = log.requests.iter().all(|it| it.connection == opened);
        assert!(is_kept || transport == Transport::Sse, "{log:?}");
        // A socket that is opened later has the headers too.
        let mut forked = session.fork();
        assert_eq!(text(&turn(&mut forked, &next).await), "one one review", "{transport:?}");
        let mut forked = session.fork();
        forked.set_conversation_id("two").unwrap();
        forked.set_header("session-id", "three").unwrap();
        assert_eq!(text(&turn(&mut forked, &next).await), "three two review", "{transport:?}");
        // Without an id there is no header, and a server without names for them gets neither.
        let plain = turn(&mut chatgpt.session(), &next).await;
        assert_eq!(text(&plain), "- of the client -", "{transport:?}");
        let mut moved = forked;
        moved.set_client(&client(Provider::openai()));
        assert_eq!(text(&turn(&mut moved, &next).await), "three of the client -");
    }
    let mut session = ResponsesClient::new("key").unwrap().session();
    let fault = "the settings are invalid: the value of the header `session-id` has a line break, \
                 remove it";
    assert_eq!(session.set_conversation_id("canary\n").unwrap_err().to_string(), fault);
    assert!(session.set_source("canary\r").unwrap_err().config_error().is_some());
}

/// Reads one request, answers it, and returns its head and its body.
#[cfg(feature = "zstd")]
async fn answer(listener: tokio::net::TcpListener) -> (String, Vec<u8>) {
    use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};

    let mut stream = tokio::io::BufReader::new(listener.accept().await.unwrap().0);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        stream.read_line(&mut head).await.unwrap();
    }
    head.make_ascii_lowercase();
    let (_, length) = head.split_once("content-length: ").unwrap();
    let length: usize = length.lines().next().unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    let event = r#"{"type":"response.completed","response":{"id":"r","status":"completed"}}"#;
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\ndata: \
         {event}\n\n"
    );
    stream.write_all(answer.as_bytes()).await.unwrap();
    (head, body)
}

#[cfg(feature = "zstd")]
#[tokio::test]
async fn c278_bodies_are_compressed_where_the_server_accepts_that() {
    for (accepted, size, compressed) in
        [(true, 5000, true), (true, 100_000, true), (true, 10, false), (false, 5000, false)]
    {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let provider = Provider::compatible(&url).unwrap().zstd_bodies(accepted);
        let client = ResponsesClient::builder().provider(provider).transport(Transport::Sse);
        let client = client.proxy(responses_client::ProxySetting::Direct).build().unwrap();
        let mut session = client.session();
        let text = "hi ".repeat(size);
        let request = request(&[&text]);
        let turned = turn(&mut session, &request);
        let (outcome, (head, mut body)) =
            guarded(async { tokio::join!(turned, answer(listener)) }).await;
        assert_eq!(outcome.response().id(), "r");
        assert_eq!(head.contains("\r\ncontent-encoding: zstd\r\n"), compressed, "{head}");
        assert!(head.contains("\r\ncontent-type: application/json\r\n"), "{head}");
        if compressed {
            assert!(body.len() < 1000);
            body = zstd::decode_all(&*body).unwrap();
        }
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert!(body.to_string().contains(&text));
        assert_eq!(outcome.report.bytes_sent, body.to_string().len() as u64, "as before");
    }
}
