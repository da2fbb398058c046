//! The types of async-openai, which follow the API's description to the letter, decode whatever
//! the scripted server sends.

use std::{fs, path::Path};

use async_openai::types::responses::{ResponseStreamEvent, websocket::ResponsesServerEvent};
use eventsource_stream::Eventsource;
use futures_util::{SinkExt, StreamExt, TryStreamExt, stream};
use responses_client::{
    Transport,
    testing::{Script, ScriptedServer, Turn},
};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{client_async, tungstenite::Message};

use crate::{
    items::items,
    support::{BOTH, guarded, server},
};

/// What they cannot decode, by the fixture or the item that it is in, and what they say to it.
const UNKNOWN_TO_THEM: &[(&str, &[&str])] = &[
    // Things of the future.
    ("annotations_logprobs", &["unknown variant `brand_new_citation`"]),
    ("custom_call", &["unknown variant `response.brand_new`"]),
    // Events of the past.
    (
        "early_names",
        &[
            "unknown variant `response.reasoning_part.added`",
            "unknown variant `response.reasoning.delta`",
            "unknown variant `response.reasoning.done`",
            "unknown variant `response.reasoning_part.done`",
            "unknown variant `response.reasoning_summary.delta`",
            "unknown variant `response.reasoning_summary.done`",
        ],
    ),
    // To them the error of a call is a text, as it once was.
    ("mcp", &["invalid type: map"]),
    // The API sends it and describes it nowhere.
    ("reasoning_call", &["unknown variant `keepalive`"]),
    // They look for the members of `outcome` beside it.
    ("shell", &["missing field `type`"]),
    // Things of the future, of other servers, and such as the API describes nowhere.
    (
        "unknown_things",
        &[
            "unknown variant `brand_new_call`",
            "unknown variant `keepalive`",
            "unknown variant `response.brand_new_call.progress`",
            "unknown variant `vendor.notice`",
            "unknown variant `response.metadata`",
            "unknown variant `restarted`",
            "unknown variant `codex.rate_limits`",
            "unknown variant `brand_new_phase`",
            "unknown variant `brand_new_part`",
            "unknown variant `ping`",
            "unknown variant `brand_new_citation`",
            "unknown variant `responsesapi.websocket_timing`",
        ],
    ),
    // As in the fixture `shell`.
    ("shell_call_output", &["missing field `type`"]),
];

#[tokio::test]
async fn every_frame_of_the_scripted_server_is_of_a_documented_shape() {
    guarded(async {
        for transport in BOTH {
            let mut unknown = Vec::new();
            for (name, turn) in turns() {
                let server = server(Script::new().turn(turn)).await;
                for frame in frames(&server, transport).await {
                    let Err(error) = decode(&frame, transport) else { continue };
                    let error = error.to_string();
                    let error = error.split([',', '\n']).next().unwrap().to_owned();
                    if !unknown.contains(&(name.clone(), error.clone())) {
                        unknown.push((name.clone(), error));
                    }
                }
            }
            let known = UNKNOWN_TO_THEM.iter().flat_map(|(name, errors)| {
                errors.iter().map(|error| (name.to_string(), error.to_string()))
            });
            assert_eq!(unknown, Vec::from_iter(known), "{transport:?}");
        }
    })
    .await;
}

/// Every fixture, every kind of item and every ending.
fn turns() -> Vec<(String, Turn)> {
    let fixtures = fixtures().into_iter().map(|(name, lines)| (name, Turn::jsonl(&lines)));
    let items = items();
    let generated = items
        .iter()
        .map(|item| (item["type"].as_str().unwrap().to_owned(), Turn::output([item.clone()])));
    let known = |item: &&Value| UNKNOWN_TO_THEM.iter().all(|(name, _)| item["type"] != *name);
    let endings = [
        ("together", Turn::output(items.iter().filter(known).cloned())),
        ("incomplete", Turn::incomplete([items[0].clone()], "max_output_tokens")),
        ("failed", Turn::failed([items[0].clone()], "server_error", "It broke.")),
        ("error", Turn::error(429, "rate_limit_exceeded", "Later.")),
    ];
    let endings = endings.map(|(name, turn)| (name.to_owned(), turn));
    fixtures.chain(generated).chain(endings).collect()
}

/// The fixtures of all tests, by name.
pub(crate) fn fixtures() -> Vec<(String, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|it| it == "jsonl"));
    files.sort();
    let name = |file: &Path| file.file_stem().unwrap().to_str().unwrap().to_owned();
    files.iter().map(|file| (name(file), fs::read_to_string(file).unwrap())).collect()
}

fn decode(frame: &str, transport: Transport) -> serde_json::Result<()> {
    match transport {
        Transport::WebSocket => serde_json::from_str::<ResponsesServerEvent>(frame).map(drop),
        _ => serde_json::from_str::<ResponseStreamEvent>(frame).map(drop),
    }
}

/// What the server sends in a turn; none over SSE where it answers with an HTTP error.
async fn frames(server: &ScriptedServer, transport: Transport) -> Vec<String> {
    let create = json!({
        "model": "gpt-test",
        "input": "hi",
        "instructions": "Be brief.",
        "metadata": { "a": "b" },
        "tools": [{ "type": "function", "name": "f", "parameters": {}, "strict": true }],
    });
    match transport {
        Transport::WebSocket => over_websocket(server, create).await,
        _ => over_sse(server, create).await,
    }
}

async fn over_websocket(server: &ScriptedServer, mut create: Value) -> Vec<String> {
    create["type"] = "response.create".into();
    let stream = TcpStream::connect(server.address().unwrap()).await.unwrap();
    let url = server.url().replace("http", "ws") + "/responses";
    let (mut socket, _) = client_async(url, stream).await.unwrap();
    socket.send(Message::text(create.to_string())).await.unwrap();
    let mut frames = Vec::new();
    loop {
        let frame = socket.next().await.unwrap().unwrap().into_text().unwrap().to_string();
        let kind = serde_json::from_str::<Value>(&frame).unwrap()["type"].clone();
        frames.push(frame);
        if ENDS.iter().any(|end| kind == *end) {
            return frames;
        }
    }
}

async fn over_sse(server: &ScriptedServer, mut create: Value) -> Vec<String> {
    create["stream"] = true.into();
    let response = reqwest::Client::new()
        .post(server.url() + "/responses")
        .body(create.to_string())
        .send()
        .await
        .unwrap();
    if !response.status().is_success() {
        return Vec::new();
    }
    let body = stream::iter([response.bytes().await]);
    let events: Vec<_> = body.eventsource().try_collect().await.unwrap();
    events.into_iter().map(|event| event.data).collect()
}

const ENDS: [&str; 4] = ["response.completed", "response.incomplete", "response.failed", "error"];
