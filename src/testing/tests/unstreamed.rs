//! Answers to requests that ask for no events.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Client, ask, events, post};
use crate::testing::{
    Connector, ErrorShape, Gate, NoOutput, Profile, Refusal, Script, ScriptedServer, Step, Turn,
    items,
};

const WHOLE: [Value; 2] = [Value::Null, Value::Bool(false)];

/// The status and body of a request with this `stream`.
async fn post_whole(connector: &Connector, stream: Value) -> (u16, Value) {
    let (status, body, failure) = post(connector, json!({ "stream": stream })).await;
    assert!(failure.is_none(), "{failure:?}");
    (status, serde_json::from_str(&body).unwrap())
}

#[tokio::test]
async fn the_object_is_that_of_the_terminal_event() {
    let call = || items::function_call("call_1", "f", "{}");
    let turns = [
        Turn::output([items::reasoning("think", "gAAAA"), items::message("hi"), call()]),
        Turn::incomplete([items::message("hi")], "max_output_tokens"),
        Turn::failed([], "server_error", "It broke."),
        Turn::text("hi").empty_terminal_output(NoOutput::Empty),
        Turn::text("hi").large_event(100_000).double_terminal(),
    ];
    for turn in turns {
        let server = ScriptedServer::in_memory([turn.clone()]);
        let (_, streamed, _) = post(&server.connector(), json!({})).await;
        let streamed = events(&streamed).pop().unwrap();
        for stream in WHOLE {
            let server = ScriptedServer::in_memory(Script::from(turn.clone()).header("x-a", "1"));
            let (status, whole) = post_whole(&server.connector(), stream).await;
            assert_eq!((status, &whole), (200, &streamed["response"]));
            let log = server.log();
            assert!(log.requests[0].finished && log.requests[0].turn == Some(0));
            let path = format!("/responses/{}", whole["id"].as_str().unwrap());
            let (_, stored) = ask(&server.connector(), "GET", &path).await;
            assert_eq!(serde_json::from_str::<Value>(&stored).unwrap(), whole);
        }
    }
}

#[tokio::test]
async fn a_response_without_events_can_be_continued() {
    let script = Script::new()
        .turn(Turn::text("a"))
        .respond(|exchange| Turn::text(exchange.history.len().to_string()));
    let server = ScriptedServer::in_memory(script);
    let connector = server.connector();
    let body = json!({ "stream": false, "input": "hi" });
    let (_, first, _) = post(&connector, body).await;
    let id = serde_json::from_str::<Value>(&first).unwrap()["id"].clone();
    let next = json!({ "input": "more", "previous_response_id": id });
    let mut client = Client::in_memory(&connector).await;
    client.create(next.clone()).await;
    let over_websocket = client.turn().await.pop().unwrap();
    let (_, body, _) = post(&connector, next).await;
    for last in [over_websocket, events(&body).pop().unwrap()] {
        assert_eq!(last["response"]["output"][0]["content"][0]["text"], "3");
    }
}

#[tokio::test]
async fn errors_are_http_errors_in_each_shape() {
    for shape in ErrorShape::ALL {
        let turn = Turn::error_shape(shape, 429, "slow_down", "Wait");
        let plain = Turn::error(429, "slow_down", "Wait");
        let server = ScriptedServer::in_memory([turn, plain]);
        let (status, error) = post_whole(&server.connector(), Value::Null).await;
        assert_eq!((status, &error["error"]["code"]), (429, &json!("slow_down")), "{shape:?}");
        assert_eq!((status, error), post_whole(&server.connector(), Value::Null).await);
    }
    // An error after the beginning is that of its event.
    let error = json!({ "type": "error", "status": 503, "error": { "code": "c" } });
    let late = Turn::text("hi").cut_after(3, Step::Event(error));
    let page = Turn::text("hi").http(Refusal::status(502).body("{}"));
    let server = ScriptedServer::in_memory([late, page]);
    let late = post_whole(&server.connector(), Value::Null).await;
    assert_eq!(late, (503, json!({ "error": { "code": "c" } })));
    assert_eq!(post_whole(&server.connector(), Value::Null).await, (502, json!({})));
}

#[tokio::test]
async fn a_response_that_does_not_end_gets_no_answer() {
    let cuts = [
        Turn::text("hi").cut_after(3, Step::Reset),
        Turn::text("hi").cut_after(0, Step::End),
        Turn::text("hi").cut_inside(3, 5, Step::Close { code: None, reason: String::new() }),
        Turn::text("hi").without_terminal(),
    ];
    for turn in cuts {
        let server = ScriptedServer::start([turn]).await.unwrap();
        let body = json!({ "model": "m", "stream": false });
        let mut stream = tokio::net::TcpStream::connect(server.address().unwrap()).await.unwrap();
        let (answer, _) = super::post_on(&mut stream, &body).await;
        assert_eq!(answer, "");
        assert!(server.log().requests[0].finished);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_takes_as_long_as_its_stream() {
    let second = Duration::from_secs(1);
    let gate = Gate::new();
    gate.open();
    let script = Script::from(Turn::text("hi").dripped(second).delay(60 * second))
        .turn(Turn::text("hi").insert(4, Step::Delay(90 * second)).first(Step::Gate(gate)));
    let server = ScriptedServer::in_memory(script);
    for at_least in [61, 90] {
        let start = Instant::now();
        let (status, _) = post_whole(&server.connector(), Value::Null).await;
        assert_eq!(status, 200);
        assert!(start.elapsed().as_secs() >= at_least, "{:?}", start.elapsed());
    }
}

#[tokio::test]
async fn the_chatgpt_backend_only_streams() {
    let server = ScriptedServer::in_memory(Script::from(Turn::text("a")).profile(Profile::ChatGpt));
    let (status, body, _) =
        post(&server.connector(), json!({ "stream": false, "store": false })).await;
    assert_eq!((status, body.as_str()), (400, r#"{"detail":"Stream must be set to true"}"#));
}
