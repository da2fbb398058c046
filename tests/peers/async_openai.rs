//! async-openai as a client, next to this one: what the comparison in the README states.

use async_openai::{
    Client,
    config::OpenAIConfig,
    types::responses::{CreateResponseArgs, ResponseStreamEvent},
};
use futures_util::StreamExt;
use responses_client::{
    ErrorKind, ResponseEvent, ResponsesRequest, TransportPolicy,
    testing::{Script, ScriptedServer, Step, Turn},
};
use serde_json::json;

use crate::support::guarded;

/// Reads the turn with async-openai: the number of events, and the error that ended it.
async fn theirs(server: &ScriptedServer) -> (usize, Option<String>) {
    let config = OpenAIConfig::new().with_api_base(server.url()).with_api_key("key");
    let client = Client::with_config(config);
    let request = CreateResponseArgs::default().model("m").input("hi").build().expect("a request");
    let mut stream = client.responses().create_stream(request).await.expect("a stream");
    let mut events = 0;
    while let Some(event) = stream.next().await {
        match event {
            Ok(ResponseStreamEvent::ResponseCompleted(_)) => return (events + 1, None),
            Ok(_) => events += 1,
            Err(error) => return (events, Some(error.to_string())),
        }
    }
    (events, None)
}

/// Reads the turn with this crate.
async fn ours(server: &ScriptedServer) -> (Vec<ResponseEvent>, Option<responses_client::Error>) {
    let client = server.client_builder().transport(TransportPolicy::SseOnly);
    let mut session = client.build().expect("a client").session();
    let request = ResponsesRequest::new("m").input("hi");
    let mut stream = session.stream(&request).await.expect("a stream");
    let mut events = Vec::new();
    loop {
        match stream.try_next().await {
            Ok(Some(event)) => events.push(event),
            Ok(None) => return (events, None),
            Err(error) => return (events, Some(error)),
        }
    }
}

#[tokio::test]
async fn an_answer_that_ends_too_early_is_an_error_here_and_none_there() {
    let end = Step::Close { code: None, reason: String::new() };
    let cut = || Turn::text("A long answer").cut_after(5, end.clone());
    let server =
        ScriptedServer::start(Script::new().turn(cut()).turn(cut())).await.expect("a port");
    guarded(async {
        assert_eq!(theirs(&server).await, (5, None));
        let (events, error) = ours(&server).await;
        let error = error.expect("an error");
        assert_eq!((events.len(), error.kind()), (5, ErrorKind::Truncated));
        let partial = error.response().expect("the part that arrived");
        assert!("A long answer".starts_with(&partial.output_text()));
    })
    .await;
}

#[tokio::test]
async fn an_unknown_event_is_yielded_here_and_an_error_there() {
    let unknown = || Turn::text("hi").insert(1, Step::Event(json!({"type": "response.brand_new"})));
    let script = Script::new().turn(unknown()).turn(unknown());
    let server = ScriptedServer::start(script).await.expect("a port");
    guarded(async {
        let (_, error) = theirs(&server).await;
        assert!(error.is_some_and(|error| error.contains("response.brand_new")));
        let (events, error) = ours(&server).await;
        assert!(error.is_none());
        let unknown = events.iter().filter(|event| matches!(event, ResponseEvent::Unknown(_)));
        assert_eq!(unknown.count(), 1);
    })
    .await;
}
