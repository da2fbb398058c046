//! Error texts and advice, and refused credentials.

use std::{
    error::Error as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use responses_client::{
    Auth, AuthProvider, Delivery, Error, ErrorKind, Provider, ResponsesClient, RetryAction,
    RetryPolicy, Secret, TokenFuture, Transport, TransportPolicy,
    error::ErrorCode,
    testing::{Refusal, Script, ScriptedServer, ServerLog, Step, Turn, Upgrade},
};
use serde_json::json;
use tokio::time::Instant;

use crate::support::{BOTH, builder, close, only, request, turn};

/// Tokens with numbers; another one once the last is refused.
#[derive(Clone, Default)]
struct Tokens {
    refused: Arc<AtomicUsize>,
    asked: Arc<AtomicUsize>,
}

impl AuthProvider for Tokens {
    fn token(&self) -> TokenFuture<'_> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let number = self.refused.load(Ordering::Relaxed);
        Box::pin(async move { Ok(format!("token-{number}").into()) })
    }

    fn refused(&self, _: &Secret) {
        self.renew();
    }
}

impl Tokens {
    /// Another token from now on.
    fn renew(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }
}

fn answers() -> Script {
    Script::new().respond(|_| Turn::text("an answer"))
}

fn unauthorized() -> Turn {
    Turn::error(401, "invalid_api_key", "no")
}

/// The credentials of all upgrades and POSTs, in the order in which they came.
fn credentials(log: &ServerLog, transport: Transport) -> Vec<String> {
    let find = |headers: &[(String, String)]| {
        let found = headers.iter().find(|(name, _)| name == "authorization");
        found.map(|(_, value)| value.clone()).expect("a credential")
    };
    match transport {
        Transport::WebSocket => log.connections.iter().map(|it| find(&it.headers)).collect(),
        _ => log.posts().map(|it| find(&it.headers)).collect(),
    }
}

#[tokio::test(start_paused = true)]
async fn c031_a_token_that_is_refused_is_fetched_anew_once() {
    let refuse = || Upgrade::Refuse(Refusal::error(401, "invalid_api_key", "no"));
    let at_upgrade = |times: usize| (0..times).fold(answers(), |it, _| it.upgrade(refuse()));
    let in_frame = |times: usize| answers().turns((0..times).map(|_| unauthorized()));
    let start = Instant::now();
    for (transport, script) in [
        (Transport::WebSocket, &at_upgrade as &dyn Fn(usize) -> Script),
        (Transport::WebSocket, &in_frame),
        (Transport::Sse, &in_frame),
    ] {
        let server = ScriptedServer::in_memory(script(1));
        let tokens = Tokens::default();
        let mut retry = RetryPolicy::default();
        retry.max_attempts = 1;
        let client = builder(&server).transport(only(transport)).retry(retry);
        let client = client.auth(Auth::provider(tokens.clone())).build().unwrap();
        let outcome = turn(&mut client.session(), &request(&["hi"])).await;
        assert_eq!(outcome.response().output_text(), "an answer", "{transport}");
        assert_eq!(credentials(&server.log(), transport), ["Bearer token-0", "Bearer token-1"]);

        let server = ScriptedServer::in_memory(script(2));
        let client = builder(&server).transport(only(transport));
        let client = client.auth(Auth::provider(Tokens::default())).build().unwrap();
        let outcome = turn(&mut client.session(), &request(&["hi"])).await;
        let error = outcome.error();
        assert!(error.is_authentication(), "{transport} {error}");
        assert_eq!(error.retry_action(), RetryAction::Reauthenticate);
        assert_eq!(credentials(&server.log(), transport).len(), 2);
        // What the second refusal taught is of use to the next turn.
        turn(&mut client.session(), &request(&["hi"])).await.response();
        assert_eq!(credentials(&server.log(), transport)[2], "Bearer token-2", "{transport}");

        // A key that is fixed would be refused again.
        let server = ScriptedServer::in_memory(script(1));
        let client = builder(&server).transport(only(transport)).auth(Auth::bearer("k"));
        let outcome = turn(&mut client.build().unwrap().session(), &request(&["hi"])).await;
        assert_eq!(outcome.error().status(), Some(401), "{transport}");
        assert_eq!(credentials(&server.log(), transport), ["Bearer k"]);
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn c054_credentials_are_those_of_the_moment_of_each_handshake() {
    for transport in BOTH {
        let server = ScriptedServer::in_memory(answers());
        let tokens = Tokens::default();
        let client = builder(&server).transport(only(transport));
        let client = client.auth(Auth::provider(tokens.clone())).build().unwrap();
        let mut session = client.session();
        turn(&mut session, &request(&["one"])).await.response();
        tokens.renew();
        turn(&mut session, &request(&["two"])).await.response();
        turn(&mut client.session(), &request(&["three"])).await.response();
        let expected = match transport {
            // The second turn needs no handshake.
            Transport::WebSocket => vec!["Bearer token-0", "Bearer token-1"],
            _ => vec!["Bearer token-0", "Bearer token-1", "Bearer token-1"],
        };
        assert_eq!(credentials(&server.log(), transport), expected, "{transport}");
        assert_eq!(tokens.asked.load(Ordering::Relaxed), expected.len());
    }
}

#[tokio::test(start_paused = true)]
async fn c055_a_credential_is_fetched_after_the_wait_and_not_before() {
    for transport in BOTH {
        let busy = Turn::error(500, "server_error", "no").then(Step::End);
        let server = ScriptedServer::in_memory(answers().turn(busy));
        let tokens = Tokens::default();
        let provider =
            Provider::compatible(&server.url()).unwrap().reuses_socket_after_error(false);
        let client = ResponsesClient::builder()
            .provider(provider)
            .connector(&server.connector())
            .transport(only(transport))
            .auth(Auth::provider(tokens.clone()))
            .build()
            .unwrap();
        let mut session = client.session();
        let request = request(&["hi"]);
        let waiting = async {
            server.wait_for(|log| log.requests.len() == 1).await;
            // It changes while the ladder waits.
            tokio::time::sleep(Duration::from_millis(50)).await;
            tokens.renew();
        };
        let (outcome, ()) = tokio::join!(turn(&mut session, &request), waiting);
        outcome.response();
        let seen = credentials(&server.log(), transport);
        assert_eq!(seen, ["Bearer token-0", "Bearer token-1"], "{transport}");
    }
}

#[tokio::test(start_paused = true)]
async fn errors_of_the_server_say_what_to_do_on_both_transports() {
    let again = RetryAction::Retry;
    let repeat = RetryAction::RetryMayRepeat;
    for (status, code, sent, action) in [
        (429, "rate_limit_exceeded", 4, again),
        (429, "slow_down", 4, again),
        (503, "server_is_overloaded", 4, again),
        (500, "server_error", 4, repeat),
        (409, "conversation_locked", 4, again),
        (408, "", 2, repeat),
        (429, "insufficient_quota", 1, RetryAction::Stop),
        (429, "credit_balance_exhausted", 1, RetryAction::Stop),
        (429, "project_spend_limit_exceeded", 1, RetryAction::Stop),
        (429, "usage_limit_reached", 1, RetryAction::Stop),
        (401, "invalid_api_key", 1, RetryAction::Reauthenticate),
        (403, "", 1, RetryAction::Reauthenticate),
        (400, "invalid_value", 1, RetryAction::ChangeRequest),
        (400, "context_length_exceeded", 1, RetryAction::ChangeRequest),
        (400, "invalid_image_url", 1, RetryAction::ChangeRequest),
        (404, "model_not_found", 1, RetryAction::ChangeRequest),
        (429, "budget_reached", 1, RetryAction::Stop),
        (500, "inference_hook_denied", 1, RetryAction::ChangeRequest),
        (500, "access_program_not_enabled", 1, RetryAction::Reauthenticate),
        (500, "content_policy_violation", 1, RetryAction::ChangeRequest),
        (503, "policy_capacity_unavailable", 1, RetryAction::ChangeRequest),
        (500, "audio_too_large", 1, RetryAction::ChangeRequest),
        (500, "invalid_audio", 1, RetryAction::ChangeRequest),
        (500, "invalid_audio_data", 1, RetryAction::ChangeRequest),
        (500, "invalid_audio_format", 1, RetryAction::ChangeRequest),
        (500, "missing_audio_sample_rate", 1, RetryAction::ChangeRequest),
        (422, "", 1, RetryAction::ChangeRequest),
    ] {
        for transport in BOTH {
            let error = Turn::error(status, code, "no");
            let server = ScriptedServer::in_memory(Script::new().respond(move |_| error.clone()));
            let client = builder(&server).transport(only(transport)).build().unwrap();
            let outcome = turn(&mut client.session(), &request(&["hi"])).await;
            let error = outcome.error();
            assert_eq!(error.retry_action(), action, "{transport} {status} {code}");
            let proven = action != repeat;
            let delivery = if proven { Delivery::Refused } else { Delivery::Unknown };
            assert_eq!(error.delivery(), delivery, "{transport} {status} {code}");
            assert_eq!(server.log().requests.len(), sent, "{transport} {status} {code}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn x_should_retry_is_obeyed_on_both_transports() {
    for (status, header, sent) in [(500, "false", 1), (400, "true", 2), (500, "true", 2)] {
        let refusal = Refusal::status(status).header("x-should-retry", header);
        let frame = json!({"type": "error", "status": status, "error": {"message": "no"},
            "headers": {"x-should-retry": header}});
        for transport in BOTH {
            let fault = Turn::events([frame.clone()]).http(refusal.clone());
            let server = ScriptedServer::in_memory(answers().turn(fault));
            let client = builder(&server).transport(only(transport)).build().unwrap();
            turn(&mut client.session(), &request(&["hi"])).await;
            assert_eq!(server.log().requests.len(), sent, "{transport} {status} {header}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_failed_or_cancelled_response_tells_is_kept() {
    for transport in BOTH {
        let created = json!({"type": "response.created", "response": {"id": "r"}});
        let failed = json!({"type": "response.failed", "response": {"id": "r", "status": "failed",
            "error": {"code": "misalignment_policy_violation", "message": "m",
                "misalignment": {"error_type": "potentially_unintended_data_access"}}}});
        let cancelled = json!({"type": "response.cancelled",
            "response": {"id": "r", "status": "cancelled", "output": []}});
        let script = Script::new()
            .header("x-request-id", "req_1")
            .turn(Turn::events([created.clone(), failed]))
            .turn(Turn::events([created, cancelled]));
        let server = ScriptedServer::in_memory(script);
        let client = builder(&server).transport(only(transport)).build().unwrap();
        let outcome = turn(&mut client.session(), &request(&["hi"])).await;
        let error = outcome.error();
        assert_eq!(error.code(), Some(&ErrorCode::MisalignmentPolicyViolation), "{transport}");
        assert!(error.is_policy_violation() && !error.is_cancelled());
        assert_eq!(error.request_id(), Some("req_1"), "of the turn: {transport}");
        let told = error.api_error().unwrap().misalignment().unwrap();
        let kind: Option<String> = told.member("error_type").unwrap();
        assert_eq!(kind.as_deref(), Some("potentially_unintended_data_access"));

        let outcome = turn(&mut client.session(), &request(&["hi"])).await;
        assert!(outcome.error().is_cancelled(), "{transport}");
    }
}

#[tokio::test(start_paused = true)]
async fn c105_an_error_is_told_at_once_and_the_socket_that_falls_silent_then_is_left() {
    let silent = |status| {
        let error = Turn::error(status, "", "no");
        error.then(Step::Delay(Duration::from_secs(3))).then(Step::Reset)
    };
    for (status, sent) in [(400, 1), (500, 2)] {
        let server = ScriptedServer::in_memory(answers().turn(silent(status)));
        let provider =
            Provider::compatible(&server.url()).unwrap().reuses_socket_after_error(false);
        let client = ResponsesClient::builder()
            .provider(provider)
            .connector(&server.connector())
            .transport(TransportPolicy::WebSocketOnly)
            .build()
            .unwrap();
        let mut session = client.session();
        let start = Instant::now();
        let first = turn(&mut session, &request(&["one"])).await;
        assert!(start.elapsed() < Duration::from_millis(202), "a wait of the ladder at most");
        assert_eq!(first.result.is_ok(), sent == 2, "{status}");
        assert_eq!(server.log().requests.len(), sent);
        turn(&mut session, &request(&["two"])).await.response();
        let log = server.log();
        assert_eq!(log.requests.iter().filter(|it| it.connection == 0).count(), 1, "{status}");
    }
}

#[tokio::test]
async fn what_the_server_says_is_in_the_error_and_what_lies_below_in_its_source() {
    let closed = Turn::steps([close(1008)]);
    let server = ScriptedServer::in_memory(Script::new().turn(closed));
    let client = builder(&server).transport(TransportPolicy::WebSocketOnly).build().unwrap();
    let outcome = turn(&mut client.session(), &request(&["hi"])).await;
    let error = outcome.error();
    assert_eq!(
        (error.kind(), error.retry_action()),
        (ErrorKind::Closed, RetryAction::ChangeRequest)
    );
    assert!(error.to_string().contains("code 1008"), "{error}");
    assert!(error.source().is_none());
}

#[tokio::test]
async fn the_error_of_a_stream_is_told_again_at_its_end() {
    for transport in BOTH {
        let failed = Turn::failed([], "cyber_policy", "no");
        let server = ScriptedServer::in_memory(Script::new().turn(failed));
        let client = builder(&server).transport(only(transport)).build().unwrap();
        let mut session = client.session();
        let mut stream = session.stream(request(&["hi"])).await.unwrap();
        let first = loop {
            if let Err(error) = stream.try_next().await {
                break error;
            }
        };
        let second = stream.final_response().await.unwrap_err();
        assert_eq!(second.to_string(), first.to_string(), "{transport}");
        assert!(second.is_policy_violation() && second.response().is_some());
        assert_eq!(second.retry_action(), RetryAction::ChangeRequest);
        assert_eq!(second.report().map(|it| it.attempts.len()), Some(1));
    }
}

#[test]
fn what_cannot_be_read_fits_into_a_function_that_runs_turns() {
    fn reads(text: &str) -> Result<u32, Error> {
        Ok(responses_client::Json::parse(text)?.decode()?)
    }
    assert_eq!(reads("7").unwrap(), 7);
    let error = reads("{").unwrap_err();
    assert_eq!((error.kind(), error.retry_action()), (ErrorKind::Decode, RetryAction::Stop));
    assert!(error.source().unwrap().to_string().contains("ends too early"));
}
