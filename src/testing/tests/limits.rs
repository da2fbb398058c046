//! Limits of sockets, and what sets servers apart.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::frame::coding::{Data, OpCode},
};

use super::{Client, events, post};
use crate::{
    Transport,
    testing::{Profile, Script, ScriptedServer, Turn},
};

const BOTH: [Transport; 2] = [Transport::WebSocket, Transport::Sse];
const MINUTE: Duration = Duration::from_secs(60);

fn server(script: Script) -> ScriptedServer {
    ScriptedServer::in_memory(script.respond(|_| Turn::text("Hello")))
}

fn profiled(profile: Profile) -> ScriptedServer {
    server(Script::new().profile(profile))
}

/// The code of the Close frame that comes next.
async fn close_code(client: &mut Client) -> Option<u16> {
    match client.0.next().await.unwrap().unwrap() {
        Message::Close(frame) => frame.map(|frame| frame.code.into()),
        other => panic!("not a Close frame: {other:?}"),
    }
}

/// The one answer to a request: an error, whatever it looks like. In WebSocket frames the status
/// stands in the frame.
async fn refusal(server: &ScriptedServer, transport: Transport, body: &Value) -> (u64, Value) {
    match transport {
        Transport::WebSocket => {
            let mut client = Client::in_memory(&server.connector()).await;
            client.create(body.clone()).await;
            let frame = client.event().await;
            assert_eq!(frame["type"], "error", "{frame}");
            (frame["status"].as_u64().unwrap(), frame["error"].clone())
        }
        Transport::Sse => {
            let (status, text, _) = post(&server.connector(), body.clone()).await;
            let body: Value = serde_json::from_str(&text).unwrap();
            let error = body.get("error").unwrap_or(&body).clone();
            (status.into(), error)
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_socket_ends_at_its_age_with_an_error_and_not_before() {
    let server = server(Script::new().max_age(5 * MINUTE));
    let mut client = Client::in_memory(&server.connector()).await;
    let opened = Instant::now();
    sleep(5 * MINUTE - Duration::from_millis(1)).await;
    client.create(json!({ "input": "hi" })).await;
    assert_eq!(client.turn().await.last().unwrap()["type"], "response.completed");
    let error = client.event().await;
    assert_eq!(opened.elapsed(), 5 * MINUTE);
    assert_eq!((&error["type"], &error["status"]), (&json!("error"), &json!(400)));
    assert_eq!(error["error"]["code"], "websocket_connection_limit_reached");
    assert!(error["error"]["message"].as_str().unwrap().contains("(5 minutes)"));
    assert_eq!(close_code(&mut client).await, Some(1000));
}

#[tokio::test(start_paused = true)]
async fn a_create_after_the_age_is_not_run() {
    let server = ScriptedServer::in_memory(Script::new().max_age(MINUTE).turns([
        Turn::text("slow").insert(3, crate::testing::Step::Delay(2 * MINUTE)),
        Turn::text("never"),
    ]));
    let mut client = Client::in_memory(&server.connector()).await;
    client.create(json!({ "input": "one" })).await;
    client.create(json!({ "input": "two" })).await;
    assert_eq!(client.turn().await.last().unwrap()["type"], "response.completed");
    assert_eq!(client.event().await["error"]["code"], "websocket_connection_limit_reached");
    assert_eq!(close_code(&mut client).await, Some(1000));
    assert_eq!(server.log().requests.len(), 1);
}

#[tokio::test]
async fn a_larger_message_closes_with_1009_as_soon_as_it_is_announced() {
    let script = || Script::new().frame_limit(100).respond(|_| Turn::text("Hello"));
    let server = ScriptedServer::start(script()).await.unwrap();
    let small = json!({ "type": "response.create", "input": "" }).to_string();
    let text =
        |bytes: usize| small.replace(r#""""#, &format!("{:?}", "x".repeat(bytes - small.len())));
    let mut client = Client::connect(&server).await;
    client.0.send(Message::text(text(100))).await.unwrap();
    assert_eq!(client.turn().await.last().unwrap()["type"], "response.completed");
    client.0.send(Message::text(text(101))).await.unwrap();
    assert_eq!(close_code(&mut client).await, Some(1009));

    // The head of a frame and nothing of its payload: text, 64-bit length, mask.
    let mut client = Client::connect(&server).await;
    let head = [0x81, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4];
    tokio::io::AsyncWriteExt::write_all(client.0.get_mut(), &head).await.unwrap();
    let announced = timeout(Duration::from_secs(10), close_code(&mut client)).await;
    assert_eq!(announced.expect("no wait for the payload"), Some(1009));

    // A message is as large as all its frames.
    let mut client = Client::connect(&server).await;
    for (opcode, last) in [(Data::Text, false), (Data::Continue, true)] {
        let frame = tokio_tungstenite::tungstenite::protocol::frame::Frame::message(
            vec![b'x'; 60],
            OpCode::Data(opcode),
            last,
        );
        client.0.send(Message::Frame(frame)).await.unwrap();
    }
    assert_eq!(close_code(&mut client).await, Some(1009));
    assert_eq!(server.log().requests.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn each_profile_has_its_sockets() {
    for (profile, status, age) in [
        (Profile::OpenAi, None, 60),
        (Profile::Azure, None, 60),
        (Profile::Xai, None, 25),
        (Profile::ChatGpt, None, 60),
        (Profile::OpenRouter, Some(404), 0),
        (Profile::Copilot, Some(404), 0),
        (Profile::Ollama, Some(404), 0),
        (Profile::LmStudio, Some(404), 0),
        (Profile::Vllm, Some(405), 0),
    ] {
        let server = profiled(profile);
        if let Some(status) = status {
            assert_eq!(Client::refused(&server.connector()).await, status, "{profile:?}");
            continue;
        }
        let opened = Instant::now();
        let mut client = Client::in_memory(&server.connector()).await;
        let error = client.event().await;
        assert_eq!(opened.elapsed(), age * MINUTE, "{profile:?}");
        let message = error["error"]["message"].as_str().unwrap();
        assert!(message.contains(&format!("({age} minutes)")), "{profile:?}: {message}");
    }
}

#[tokio::test(start_paused = true)]
async fn vercel_ends_sockets_quietly_and_closes_after_errors() {
    let server = profiled(Profile::Vercel);
    let opened = Instant::now();
    let mut client = Client::in_memory(&server.connector()).await;
    assert_eq!(close_code(&mut client).await, Some(1001));
    assert_eq!(opened.elapsed(), 5 * MINUTE, "idle");

    let opened = Instant::now();
    let mut client = Client::in_memory(&server.connector()).await;
    for _ in 0..3 {
        sleep(4 * MINUTE).await;
        client.0.send(Message::Ping("".into())).await.unwrap();
        assert!(client.0.next().await.unwrap().unwrap().is_pong());
    }
    assert_eq!(close_code(&mut client).await, Some(1001));
    assert_eq!(opened.elapsed(), 13 * MINUTE, "old");

    let mut client = Client::in_memory(&server.connector()).await;
    client.create(json!({ "model": "a" })).await;
    client.turn().await;
    client.create(json!({ "model": "b" })).await;
    assert_eq!(client.event().await["error"]["code"], "model_mismatch");
    assert_eq!(close_code(&mut client).await, Some(1008));

    for (status, code) in [(500, 1011), (402, 4402), (400, 1008)] {
        server.push(Turn::error(status, "x", "y"));
        let mut client = Client::in_memory(&server.connector()).await;
        client.create(json!({})).await;
        assert_eq!(client.event().await["status"], status);
        assert_eq!(close_code(&mut client).await, Some(code));
    }
}

#[tokio::test(start_paused = true)]
async fn profiles_refuse_what_their_servers_refuse() {
    let lost = json!({ "store": false, "previous_response_id": "resp_x" });
    let one = json!({ "store": false, "temperature": 1 });
    for transport in BOTH {
        for profile in [Profile::Azure, Profile::Xai] {
            let (status, error) = refusal(&profiled(profile), transport, &lost).await;
            assert_eq!((status, &error["code"]), (400, &json!("previous_response_not_found")));
            assert!(error.get("type").is_none(), "{profile:?}");
        }
        let (_, error) = refusal(&profiled(Profile::OpenAi), transport, &lost).await;
        assert_eq!(error["type"], "invalid_request_error");

        let server = profiled(Profile::ChatGpt);
        let detail = |text: &str| (400, json!({ "detail": text }));
        let told = refusal(&server, transport, &one).await;
        assert_eq!(told, detail("Unsupported parameter: temperature"));
        let told = refusal(&server, transport, &json!({})).await;
        assert_eq!(told, detail("Store must be set to false"));
        let told = refusal(&server, transport, &lost).await;
        assert_eq!(
            told,
            match transport {
                Transport::WebSocket => detail("Previous response with id 'resp_x' not found."),
                Transport::Sse => detail("Unsupported parameter: previous_response_id"),
            }
        );
        server.push(Turn::error(429, "usage_limit_reached", "Enough."));
        let told = refusal(&server, transport, &json!({ "store": false })).await;
        assert_eq!(told, (429, json!({ "detail": "Enough." })));
    }
    for profile in [Profile::OpenRouter, Profile::Ollama, Profile::Vllm] {
        let (status, error) = refusal(&profiled(profile), Transport::Sse, &lost).await;
        assert_eq!((status, &error["param"]), (400, &json!("previous_response_id")));
    }
}

#[tokio::test(start_paused = true)]
async fn profiles_send_what_their_servers_send() {
    let (_, body, _) = post(&profiled(Profile::OpenRouter).connector(), json!({})).await;
    assert!(body.starts_with(": OPENROUTER PROCESSING\n\nevent: response.created\n"));
    assert!(body.ends_with("\n\ndata: [DONE]\n\n"));

    let (_, body, _) = post(&profiled(Profile::Copilot).connector(), json!({})).await;
    let ids: Vec<_> = events(&body)
        .iter()
        .filter_map(|event| event["item_id"].as_str().or(event["item"]["id"].as_str()))
        .map(str::to_owned)
        .collect();
    let different: std::collections::HashSet<_> = ids.iter().collect();
    assert!(ids.len() > 5 && different.len() == ids.len());
    assert!(ids.iter().all(|id| id.len() == 400));
}

#[tokio::test]
async fn what_codex_sends_is_taken_and_compressed_bodies_are_not() {
    let server = server(Script::new());
    let mut client = Client::in_memory(&server.connector()).await;
    let codex = json!({ "stream": true, "client_metadata": { "a": "b" }, "prompt_cache_key": "k" });
    client.create(codex).await;
    assert_eq!(client.turn().await.last().unwrap()["type"], "response.completed");

    let request = http::Request::post("http://memory.invalid/v1/responses")
        .header("content-encoding", "zstd")
        .body(bytes::Bytes::from_static(b"(\xb5/\xfd"))
        .unwrap();
    let answer = server.connector().network().send(request).await.unwrap();
    assert_eq!(answer.head.status, 415);
}
