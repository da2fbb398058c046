//! Tokens that expire, refusals without a credential, and the headers that name the caller.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use responses_client::{
    Auth, AuthProvider, NetworkSettings, Provider, ProxySetting, ResponsesClient, ResponsesRequest,
    Secret, TokenFuture, Transport, TransportPolicy,
    testing::{Exchange, Refusal, Script, ScriptedServer, ServerLog, Step, Turn, Upgrade},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
    time::sleep,
};

use crate::support::{BOTH, Outcome, builder, guarded, only, request, turn};

const SESSIONS: usize = 8;

/// Numbers of fetched tokens.
type Fetches = Arc<AtomicUsize>;

async fn fetch(fetches: Fetches) -> String {
    let number = fetches.fetch_add(1, Ordering::Relaxed);
    sleep(Duration::from_millis(30)).await;
    format!("token-{number}")
}

/// A provider with a cache of its own.
struct ByHand {
    fetches: Fetches,
    token: Mutex<Option<Secret>>,
    fetching: tokio::sync::Mutex<()>,
}

impl AuthProvider for ByHand {
    fn token(&self) -> TokenFuture<'_> {
        Box::pin(async {
            let _fetching = self.fetching.lock().await;
            if let Some(token) = self.token.lock().unwrap().clone() {
                return Ok(token);
            }
            let token = Secret::from(fetch(Arc::clone(&self.fetches)).await);
            *self.token.lock().unwrap() = Some(token.clone());
            Ok(token)
        })
    }

    fn refused(&self, refused: &Secret) {
        self.token.lock().unwrap().take_if(|token| token == refused);
    }
}

/// Both kinds of providers, each with the count of its fetches.
fn providers() -> Vec<(Auth, Fetches)> {
    let by_function = || {
        let fetches = Fetches::default();
        let counted = Arc::clone(&fetches);
        let auth = Auth::provider_fn(move || {
            let counted = Arc::clone(&counted);
            async move { Ok(fetch(counted).await) }
        });
        (auth, fetches)
    };
    let by_hand = || {
        let fetches = Fetches::default();
        let (token, fetching) = (Mutex::default(), tokio::sync::Mutex::default());
        let provider = Arc::new(ByHand { fetches: Arc::clone(&fetches), token, fetching });
        (Auth::provider(provider), fetches)
    };
    vec![by_function(), by_hand()]
}

fn has_first_token(exchange: &Exchange) -> bool {
    exchange.headers.iter().any(|(name, value)| name == "authorization" && value.ends_with("-0"))
}

/// Refuses the first token after the first turn of each session, each session later than another.
fn expires() -> Script {
    Script::new().respond(|exchange| {
        if exchange.index < SESSIONS || !has_first_token(exchange) {
            return Turn::text("an answer");
        }
        let late = Duration::from_millis(100) * u32::try_from(exchange.index % SESSIONS).unwrap();
        Turn::error(401, "invalid_api_key", "no")
            .insert(0, Step::Delay(late))
            .http(Refusal::error(401, "invalid_api_key", "no").delay(late))
    })
}

/// The credentials of all upgrades and POSTs.
fn credentials(log: &ServerLog, transport: Transport) -> Vec<&str> {
    match transport {
        Transport::WebSocket => {
            log.connections.iter().filter_map(|it| it.header("authorization")).collect()
        }
        _ => log.posts().filter_map(|it| it.header("authorization")).collect(),
    }
}

#[tokio::test(start_paused = true)]
async fn c144_eight_sessions_with_one_expired_token_fetch_two() {
    for transport in BOTH {
        for (auth, fetches) in providers() {
            let server = ScriptedServer::in_memory(expires());
            let client = builder(&server).transport(only(transport)).auth(auth).build().unwrap();
            let turns = (0..SESSIONS).map(|_| async {
                let mut session = client.session();
                turn(&mut session, &request(&["one"])).await.response();
                sleep(Duration::from_secs(1)).await;
                turn(&mut session, &request(&["two"])).await.response();
            });
            guarded(join_all(turns)).await;
            assert_eq!(fetches.load(Ordering::Relaxed), 2, "{transport}");
            let log = server.log();
            let seen = credentials(&log, transport);
            let count = |token: &str| seen.iter().filter(|it| **it == token).count();
            // The first turns need a handshake each, and so do the POSTs that are refused.
            let first = if transport == Transport::Sse { 2 * SESSIONS } else { SESSIONS };
            assert_eq!(count("Bearer token-0"), first, "{transport}");
            assert_eq!(count("Bearer token-1"), SESSIONS, "{transport}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c144_upgrades_that_are_refused_report_their_token_too() {
    for (auth, fetches) in providers() {
        let refuse = || Upgrade::Refuse(Refusal::error(401, "invalid_api_key", "no"));
        let script = (0..SESSIONS).fold(Script::new(), |script, _| script.upgrade(refuse()));
        let server = ScriptedServer::in_memory(script.respond(|_| Turn::text("an answer")));
        let client = builder(&server).transport(TransportPolicy::WebSocketOnly).auth(auth);
        let client = client.build().unwrap();
        let turns = (0..SESSIONS).map(|_| async {
            turn(&mut client.session(), &request(&["one"])).await.response();
        });
        guarded(join_all(turns)).await;
        assert_eq!(fetches.load(Ordering::Relaxed), 2);
    }
}

/// Answers GET requests: with 401 if they have the first token, else with a response.
async fn stored_response() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") && stream.read_line(&mut head).await? > 0 {}
                let (status, body) = match head.contains("Bearer token-0") {
                    true => (401, r#"{"error":{"code":"invalid_api_key"}}"#),
                    false => (200, r#"{"id":"r","object":"response","status":"completed"}"#),
                };
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status} x\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
                stream.write_all(answer.as_bytes()).await
            });
        }
    });
    url
}

#[tokio::test]
async fn c144_calls_that_are_refused_report_their_token_too() {
    for (auth, fetches) in providers() {
        let provider = Provider::compatible(&stored_response().await).unwrap();
        let network = NetworkSettings::new().proxy(ProxySetting::Direct);
        let client = ResponsesClient::builder().provider(provider).network(network).auth(auth);
        let client = client.build().unwrap();
        for response in join_all((0..SESSIONS).map(|_| guarded(client.retrieve("r")))).await {
            assert_eq!(response.unwrap().id(), "r");
        }
        assert_eq!(fetches.load(Ordering::Relaxed), 2);
    }
}

/// The error of a turn against a server that answers every request with 401.
async fn refused(transport: Transport, auth: Auth, header: Option<(&str, &str)>) -> Outcome {
    let script = Script::new().respond(|_| Turn::error(401, "invalid_api_key", "No key."));
    let server = ScriptedServer::in_memory(script);
    let mut client = builder(&server).transport(only(transport)).auth(auth);
    if let Some((name, value)) = header {
        client = client.header(name, value);
    }
    turn(&mut client.build().unwrap().session(), &request(&["hi"])).await
}

#[tokio::test(start_paused = true)]
async fn c192_a_refusal_says_if_no_credential_was_configured() {
    const REFUSED: &str = "the server answered with an error, status 401, code invalid_api_key: \
                           No key. (the server did not run the request): ";
    let none = "no API key or other credential was configured";
    let other = "check the API key and its permissions";
    for transport in BOTH {
        for (auth, header, advice) in [
            (Auth::None, None, none),
            (Auth::None, Some(("x-team", "blue")), none),
            (Auth::bearer("key"), None, other),
            (Auth::None, Some(("Authorization", "Bearer key")), other),
        ] {
            let outcome = refused(transport, auth, header).await;
            assert_eq!(outcome.error().to_string(), format!("{REFUSED}{advice}"), "{transport}");
            let message = &outcome.report.attempts[0].failure.as_ref().unwrap().message;
            assert_eq!(*message, outcome.error().to_string(), "the report has the same text");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_malformed_token_of_a_provider_is_named() {
    for transport in BOTH {
        let auth = Auth::provider_fn(async || Ok("two\nlines"));
        let outcome = refused(transport, auth, None).await;
        let text = "could not obtain credentials: check the client's `AuthProvider`; the source \
                    has the reason";
        assert_eq!(outcome.error().to_string(), text);
        let source = std::error::Error::source(outcome.error()).unwrap().to_string();
        assert_eq!(source, "the token has a line break, remove it");
    }
}

#[tokio::test]
async fn c190_organization_project_and_agent_travel_as_headers() {
    for transport in BOTH {
        let server = ScriptedServer::in_memory(Script::new().respond(|_| Turn::text("hi")));
        let client = builder(&server).transport(only(transport));
        let client = client.organization("org_1").project("proj_1").user_agent("agent/1");
        let request: ResponsesRequest = request(&["hi"]);
        turn(&mut client.build().unwrap().session(), &request).await.response();
        let log = server.log();
        let headers = match transport {
            Transport::WebSocket => &log.connections[0].headers,
            _ => &log.requests[0].headers,
        };
        for (name, value) in [
            ("openai-organization", "org_1"),
            ("openai-project", "proj_1"),
            ("user-agent", "agent/1"),
        ] {
            let found = headers.iter().find(|(it, _)| it == name);
            assert_eq!(found.map(|(_, value)| &**value), Some(value), "{transport}");
        }
    }
}
