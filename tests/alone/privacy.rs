//! Nothing that the crate prints has a payload or a credential.

use std::{
    error::Error as StdError,
    fmt::{Debug, Write as _},
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use responses_client::{
    Auth, Error, Item, Json, Provider, Response, ResponsesClient, ResponsesRequest, RetryPolicy,
    Secret, Tool,
    event::{OutputItem, ResponseEvent},
    testing::{Refusal, Script, Step, Turn},
};
use serde_json::{Value, json};
use tracing_subscriber::{Layer as _, filter::Targets, fmt::MakeWriter, layer::SubscriberExt as _};

use crate::{
    is_alone,
    support::{self, BOTH, Outcome, guarded, only, server, turn},
};

/// Everything that was printed about the crate's own doings.
#[derive(Clone, Default)]
struct Printed(Arc<Mutex<String>>);

impl Printed {
    fn debug(&self, value: &dyn Debug) {
        let mut printed = self.0.lock().expect("no panic");
        write!(printed, "{value:?}\n{value:#?}\n").expect("memory");
    }

    fn error(&self, error: &Error) {
        self.debug(error);
        self.debug(&error.report());
        self.debug(&error.response());
        self.debug(&error.api_error());
        self.debug(&error.event());
        self.debug(&error.clone());
        self.debug(&error.close_frame());
        let mut next: Option<&dyn StdError> = Some(error);
        while let Some(error) = next {
            let mut printed = self.0.lock().expect("no panic");
            write!(printed, "{error}\n{error:?}\n").expect("memory");
            next = error.source();
        }
    }

    fn outcome(&self, outcome: &Outcome) {
        self.debug(outcome);
        match &outcome.result {
            Ok(response) => {
                self.debug(response);
                self.debug(&response.output());
                self.debug(&response.output_items().collect::<Vec<_>>());
                self.debug(&response.function_calls());
                self.debug(&response.custom_tool_calls());
                self.debug(&response.unfinished_items());
                self.debug(&response.raw());
                self.debug(&response.usage());
                self.debug(&response.messages());
                self.error(&response.parse_output::<Vec<u8>>().expect_err("no list").into());
            }
            Err(error) => self.error(error),
        }
    }

    fn text(&self) -> String {
        self.0.lock().expect("no panic").clone()
    }
}

impl io::Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").push_str(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Printed {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// A request in which everything that is the caller's own is a canary.
fn telling_request() -> ResponsesRequest {
    let schema = Json::from(json!({ "type": "object", "description": "canary-schema" }));
    ResponsesRequest::new("gpt-test")
        .store(false)
        .instructions("canary-instructions")
        .tools([Tool::function("look", "canary-tool", &schema)])
        .metadata(json!({ "canary-metadata": "canary-metadata" }))
        .user("canary-user")
        .safety_identifier("canary-safety")
        .prompt_cache_key("canary-cache")
        .extra("brand_new", json!("canary-extra"))
        .input([
            Item::user("canary-input"),
            Item::function_call_output("call_1", "canary-output"),
            Item::custom_tool_call_output("call_2", "canary-custom-output"),
        ])
}

/// Answers whose every text is a canary.
fn telling_turns() -> Vec<Turn> {
    let canary = json!([{ "type": "output_text", "text": "canary-text", "annotations": [] }]);
    let output = Turn::output([
        json!({
            "type": "reasoning",
            "summary": [{ "type": "summary_text", "text": "canary-summary" }],
            "content": [{ "type": "reasoning_text", "text": "canary-reasoning" }],
            "encrypted_content": "canary-encrypted",
        }),
        json!({ "type": "message", "role": "assistant", "content": canary }),
        json!({
            "type": "message",
            "role": "assistant",
            "content": [{ "type": "refusal", "refusal": "canary-refusal" }],
        }),
        json!({
            "type": "function_call",
            "call_id": "call_3",
            "name": "look",
            "arguments": "{\"canary-arguments\":1}",
        }),
        json!({
            "type": "custom_tool_call",
            "call_id": "call_4",
            "name": "patch",
            "input": "canary-custom-input",
        }),
        json!({ "type": "brand_new", "result": "canary-result" }),
    ]);
    let text = || Turn::text("canary-text canary-text");
    let event = |event: Value| text().cut_after(6, Step::Event(event)).then(Step::End);
    let raw = |event: &str| text().cut_after(6, Step::Text(event.to_owned()));
    let key = "Incorrect API key: sk-canary-1234567890abcdef. In \
        {\"key\":\"sk-canary-1234567890abcdef\"} and https://x.example/?key=sk-canary-1234567890abcdef";
    vec![
        output,
        // Retried, so that the crate has something to log.
        Turn::error(503, "server_is_overloaded", key),
        text(),
        text().then(Step::Event(json!({ "type": "canary-late" }))),
        event(json!({ "type": "response.brand_new", "secret": "canary-unknown" })),
        event(json!({ "type": "error", "error": { "message": key, "code": "sk-canary-0123456" },
            "headers": { "authorization": "Bearer canary-header" } })),
        event(json!({ "type": "response.failed", "response": { "id": "resp_1",
            "error": { "message": key, "code": "invalid_prompt" }, "output": canary } })),
        event(json!({ "type": "response.incomplete", "response": { "id": "resp_1",
            "output": canary, "incomplete_details": { "reason": "max_output_tokens" } } })),
        event(json!({ "type": "response.output_text.delta", "delta": ["canary-delta"] })),
        event(json!({ "type": "response.output_item.done", "item": "canary-item" })),
        event(json!({ "type": "response.completed", "response": "canary-response" })),
        raw("canary-garbage"),
        raw("{\"canary-garbage\":1}"),
        raw("{\"type\":\"response.output_text.delta\",\"delta\":\"canary-half"),
        text().cut_after(6, Step::Binary(Bytes::from_static(b"canary-binary"))),
        text().cut_after(
            6,
            Step::Close {
                code: Some(1008),
                reason: "Bad key sk-canary-1234567890abcdef".to_owned(),
            },
        ),
        text().cut_after(6, Step::Reset),
        text().http(Refusal::status(401).body(json!({ "error": { "message": key } }).to_string())),
        text().http(
            Refusal::status(307).header("location", "https://x.example/canary-path?key=canary"),
        ),
        text().http(Refusal::status(502).body(format!("<p>{key}</p>"))),
    ]
}

/// No waits worth speaking of.
fn prompt() -> RetryPolicy {
    let mut retry = RetryPolicy::default();
    retry.backoff = Duration::from_micros(1);
    retry
}

#[tokio::test]
async fn c102_nothing_printed_has_a_payload_or_a_credential() {
    if !is_alone("privacy::c102_nothing_printed_has_a_payload_or_a_credential") {
        return;
    }
    let printed = Printed::default();
    let own = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_writer(printed.clone())
        .with_filter(Targets::new().with_target("responses_client", tracing::Level::TRACE));
    let guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(own));

    let telling = telling_request();
    printed.debug(&telling);
    printed.debug(&telling.input);
    printed.debug(&telling.input.iter().collect::<Vec<_>>());
    printed.debug(&telling.tools);
    printed.debug(&telling.extra);
    let auth = Auth::bearer("canary-key");
    printed.debug(&auth);
    printed.debug(&Secret::new("canary-key"));

    for transport in BOTH {
        let server = server(Script::new().turns(telling_turns())).await;
        let provider = Provider::compatible(&server.url()).expect("a URL");
        let builder = ResponsesClient::builder()
            .provider(provider)
            .auth(auth.clone())
            .header("x-vendor", "canary-header")
            .retry(prompt())
            .transport(only(transport));
        printed.debug(&builder);
        let client = builder.build().expect("a client");
        printed.debug(&client);
        let mut session = client.session();
        printed.debug(&session);
        let mut live = 0;
        while server.log().requests.len() < telling_turns().len() {
            match guarded(session.stream(&telling)).await {
                Ok(mut stream) => {
                    printed.debug(&stream);
                    while let Ok(Some(event)) = guarded(stream.try_next()).await {
                        printed.debug(&event);
                        if let ResponseEvent::OutputItemDone(done) = &event {
                            printed.debug(&done.output_item());
                        }
                        printed.debug(&stream.response());
                        printed.debug(&stream.response().parse_output::<Vec<u8>>());
                        live += 1;
                    }
                    printed.debug(&stream);
                    match stream.final_response().await {
                        Ok(last) => printed.debug(&last),
                        Err(error) => printed.error(&error),
                    }
                }
                Err(error) => printed.error(&error),
            }
        }
        assert!(live > 100, "{transport}");
        // The same once more, for the errors as they are handed out first.
        let again = support::server(Script::new().turns(telling_turns())).await;
        let provider = Provider::compatible(&again.url()).expect("a URL");
        let client =
            ResponsesClient::builder().provider(provider).auth(auth.clone()).retry(prompt());
        let client = client.transport(only(transport)).build().expect("a client");
        let mut failed = 0;
        while again.log().requests.len() < telling_turns().len() {
            let outcome = guarded(turn(&mut client.session(), &telling)).await;
            failed += usize::from(outcome.result.is_err());
            printed.outcome(&outcome);
        }
        assert!(failed > 8, "{transport}: {failed}");
        // It did travel, so that there was something to keep quiet about.
        let seen = again.log();
        assert!(seen.requests[0].raw.contains("canary-instructions"));
        let told = |headers: &[(String, String)]| {
            headers.iter().any(|(_, value)| value == "Bearer canary-key")
        };
        assert!(told(&seen.connections[0].headers) || told(&seen.requests[0].headers));
    }

    for error in [
        ResponsesRequest::from_json("{\"model\":\"m\",\"input\":[\"canary-input\"]}")
            .err()
            .map(Error::from),
        ResponsesRequest::from_json("canary").err().map(Error::from),
        Provider::compatible("https://user:canary@x.example/v1").err().map(Error::from),
    ] {
        printed.error(&error.expect("it cannot be read"));
    }
    let call = Response::default().function_calls().into_iter().next();
    assert!(call.is_none());
    let item = Item::from_json(
        json!({ "type": "function_call", "call_id": "c", "name": "n",
        "arguments": "canary-arguments" })
        .to_string(),
    );
    let OutputItem::FunctionCall(call) = OutputItem::read(&item.expect("an item")).expect("a call")
    else {
        panic!("a call")
    };
    printed.debug(&call.arguments::<u8>());
    drop(guard);

    let text = printed.text();
    assert!(text.contains("attempt failed"), "the crate's own log was caught");
    assert!(text.contains("[masked]"), "messages of the server were shown");
    assert!(text.contains("OutputTextDelta"));
    let lines: Vec<&str> = text.lines().filter(|line| line.contains("canary")).collect();
    assert!(lines.is_empty(), "{} lines, such as: {}", lines.len(), lines.join("\n"));
}
