//! Turns, state and the log.

use std::time::Duration;

use serde_json::json;
use tokio::{net::TcpStream, time::Instant};

use super::{Client, events, kind, kinds, post, post_on};
use crate::{
    Transport,
    testing::{Gate, Refusal, Script, ScriptedServer, Step, Turn},
};

#[tokio::test]
async fn both_transports_carry_the_same_events_from_one_script() {
    let script = Script::new().turns([Turn::text("Hello there"), Turn::text("Hello there")]);
    let server = ScriptedServer::start(script).await.unwrap();
    let mut client = Client::connect(&server).await;
    client.create(json!({ "input": "hi" })).await;
    let over_websocket = client.turn().await;
    let (status, body, failure) = post(&server.connector(), json!({ "input": "hi" })).await;
    assert_eq!((status, failure.is_none()), (200, true));
    let over_sse = events(&body);
    assert_eq!(kinds(&over_websocket), kinds(&over_sse));
    assert!(body.starts_with("event: response.created\ndata: {\"type\":\"response.created\","));

    let log = server.log();
    let transports: Vec<_> = log.requests.iter().map(|seen| seen.transport).collect();
    assert_eq!(transports, [Transport::WebSocket, Transport::Sse]);
    assert!(log.requests.iter().all(|seen| seen.finished && seen.input_items == 1));
    assert_eq!((log.requests[0].turn, log.requests[1].turn), (Some(0), Some(1)));
    assert!(log.bytes_sent() > 1000);
}

#[tokio::test]
async fn posts_share_a_connection_and_their_bytes_are_counted() {
    let script = Script::new().turns([Turn::text("a"), Turn::text("b")]);
    let server = ScriptedServer::start(script).await.unwrap();
    let mut stream = TcpStream::connect(server.address().unwrap()).await.unwrap();
    let body = json!({ "stream": true, "input": "hi" });
    let (one, end) = post_on(&mut stream, &body).await;
    assert!(one.contains("text/event-stream; charset=utf-8") && end.is_ok());
    let (two, end) = post_on(&mut stream, &body).await;
    assert!(two.contains("response.completed") && end.is_ok());
    let log = server.log();
    assert_eq!(log.connections.len(), 1);
    let head = "POST /v1/responses HTTP/1.1\r\nhost: x\r\ncontent-length: 30\r\n\r\n".len();
    let expected = (head + body.to_string().len()) as u64;
    assert_eq!(log.requests[0].bytes_received, expected);
    assert_eq!(log.requests[1].bytes_received, expected);
    assert_eq!(log.bytes_received(), 2 * expected);
}

#[tokio::test]
async fn the_connector_reuses_its_connection() {
    let server = ScriptedServer::in_memory(Script::new().turns([Turn::text("a"), Turn::text("b")]));
    let connector = server.connector();
    for _ in 0..2 {
        let (status, _, failure) = post(&connector, json!({})).await;
        assert_eq!((status, failure.is_none()), (200, true));
    }
    assert_eq!(server.log().connections.len(), 1);
}

#[tokio::test]
async fn an_unstored_response_is_continued_on_its_own_socket_only() {
    let script = Script::new().respond(|exchange| Turn::text(exchange.history.len().to_string()));
    let server = ScriptedServer::start(script).await.unwrap();
    let mut client = Client::connect(&server).await;
    client.create(json!({ "input": "one", "store": false })).await;
    let first = client.turn().await.pop().unwrap();
    let id = &first["response"]["id"];

    let mut other = Client::connect(&server).await;
    let next = json!({ "input": "two", "store": false, "previous_response_id": id });
    other.create(next.clone()).await;
    let refused = other.event().await;
    assert_eq!(refused["status"], 400);
    assert_eq!(refused["error"]["code"], "previous_response_not_found");
    assert_eq!(refused["error"]["param"], "previous_response_id");
    let (status, body, _) = post(&server.connector(), next.clone()).await;
    assert_eq!((status, body.contains("previous_response_not_found")), (400, true));

    client.create(next).await;
    let second = client.turn().await.pop().unwrap();
    let text = &second["response"]["output"][0]["content"][0]["text"];
    assert_eq!(text, "3", "question, answer, question");
    let log = server.log();
    assert_eq!(log.requests[1].turn, None);
    assert_eq!(log.requests[3].turn, Some(1));
}

#[tokio::test]
async fn an_error_evicts_an_unstored_parent_and_keeps_a_stored_one() {
    for (store, found) in [(false, false), (true, true)] {
        let script = Script::new()
            .turn(Turn::text("a"))
            .turn(Turn::failed([], "server_error", "no"))
            .turn(Turn::text("b"));
        let server = ScriptedServer::start(script).await.unwrap();
        let mut client = Client::connect(&server).await;
        client.create(json!({ "store": store })).await;
        let id = client.turn().await.pop().unwrap()["response"]["id"].clone();
        client.create(json!({ "store": store, "previous_response_id": id })).await;
        assert_eq!(kind(&client.turn().await.pop().unwrap()), "response.failed");
        client.create(json!({ "store": store, "previous_response_id": id })).await;
        let last = client.turn().await.pop().unwrap();
        assert_eq!(kind(&last) == "response.completed", found, "{last}");
    }
}

#[tokio::test]
async fn a_warm_up_takes_no_turn_and_can_be_continued() {
    let server = ScriptedServer::start(Script::new().turn(Turn::text("a"))).await.unwrap();
    let mut client = Client::connect(&server).await;
    client.create(json!({ "generate": false, "store": false, "input": "hi" })).await;
    let warm = client.turn().await;
    assert_eq!(kinds(&warm), ["response.created", "response.in_progress", "response.completed"]);
    let id = &warm[2]["response"]["id"];
    client.create(json!({ "store": false, "previous_response_id": id, "input": [] })).await;
    assert_eq!(kind(&client.turn().await.pop().unwrap()), "response.completed");
}

#[tokio::test]
async fn what_a_fixture_completes_can_be_continued_by_its_own_id() {
    let fixture = concat!(
        r#"{"type":"response.created","response":{"id":"resp_x"}}"#,
        "\n",
        r#"{"type":"response.output_item.done","output_index":0,"item":{"type":"n"}}"#,
        "\n\n",
        r#"{"type":"response.completed","response":{"id":"resp_x","output":[]}}"#,
    );
    let script = Script::new()
        .turn(Turn::jsonl(fixture))
        .respond(|exchange| Turn::text(format!("{}", json!(exchange.history))));
    let server = ScriptedServer::start(script).await.unwrap();
    let (_, body, _) = post(&server.connector(), json!({})).await;
    let lines: String =
        fixture.lines().filter(|l| !l.is_empty()).map(|l| format!("data: {l}\n\n")).collect();
    assert_eq!(body, lines);
    let (_, body, _) = post(&server.connector(), json!({ "previous_response_id": "resp_x" })).await;
    assert!(body.contains(r#"[{\"type\":\"n\"}]"#), "{body}");
}

#[tokio::test]
async fn bad_requests_are_refused_and_the_socket_stays() {
    let server = ScriptedServer::start(Script::new().turn(Turn::text("a"))).await.unwrap();
    let mut client = Client::connect(&server).await;
    for (body, code) in [
        (json!([]), "invalid_json"),
        (json!({ "type": "response.cancel" }), "unknown_event_type"),
        (json!({ "type": "response.create", "stream": false }), "invalid_value"),
        (json!({ "type": "response.create", "background": false }), "unknown_parameter"),
    ] {
        client.send(body).await;
        let error = client.event().await;
        assert_eq!((&error["status"], &error["error"]["code"]), (&json!(400), &json!(code)));
        assert_eq!(error["error"]["type"], "invalid_request_error");
    }
    client.create(json!({})).await;
    client.turn().await;
    client.create(json!({})).await;
    let error = client.event().await;
    assert_eq!(
        (&error["status"], &error["error"]["code"]),
        (&json!(400), &json!("script_exhausted"))
    );

    let connector = server.connector();
    for members in [json!({ "type": "response.create" }), json!({ "stream_id": "a" })] {
        assert_eq!(post(&connector, members).await.0, 400);
    }
    assert_eq!(post(&connector, json!({})).await.0, 400, "the script is exhausted");
}

#[tokio::test]
async fn errors_and_refusals_of_a_turn_have_a_form_for_each_transport() {
    let limited = Turn::error(429, "rate_limit_exceeded", "Slow down");
    let html = Refusal::status(502).header("content-type", "text/html").body("<html>");
    let script = Script::new()
        .turns([limited.clone(), limited])
        .turns([Turn::text("a").http(html.clone()), Turn::text("a").http(html)]);
    let server = ScriptedServer::start(script).await.unwrap();
    let mut client = Client::connect(&server).await;
    client.create(json!({})).await;
    assert_eq!(client.event().await["status"], 429);
    let (status, body, _) = post(&server.connector(), json!({})).await;
    assert_eq!((status, body.contains("rate_limit_error")), (429, true));
    client.create(json!({})).await;
    assert_eq!(kind(&client.turn().await.pop().unwrap()), "response.completed");
    let (status, body, _) = post(&server.connector(), json!({})).await;
    assert_eq!((status, body.as_str()), (502, "<html>"));
    assert!(server.log().requests.iter().all(|seen| seen.finished));
}

#[tokio::test(start_paused = true)]
async fn delays_run_on_paused_time_in_memory() {
    let slow = Turn::text("a").insert(2, Step::Delay(Duration::from_secs(300)));
    let server = ScriptedServer::in_memory(Script::new().turns([slow.clone(), slow]));
    let start = Instant::now();
    let (_, body, _) = post(&server.connector(), json!({})).await;
    assert!(body.contains("response.completed"));
    assert_eq!(start.elapsed().as_secs(), 300);
    let mut client = Client::in_memory(&server.connector()).await;
    client.create(json!({})).await;
    client.turn().await;
    assert_eq!(start.elapsed().as_secs(), 600);
}

#[tokio::test]
async fn a_gate_holds_a_turn_and_a_second_create_waits_for_its_turn() {
    let gate = Gate::new();
    let script = Script::new()
        .turn(Turn::text("a").insert(1, Step::Gate(gate.clone())))
        .turn(Turn::text("b"));
    let server = ScriptedServer::start(script).await.unwrap();
    let mut client = Client::connect(&server).await;
    client.create(json!({})).await;
    client.create(json!({})).await;
    assert_eq!(kind(&client.event().await), "response.created");
    assert_eq!(server.log().requests.len(), 1);
    gate.open();
    assert_eq!(kind(&client.turn().await.pop().unwrap()), "response.completed");
    assert_eq!(kind(&client.turn().await.pop().unwrap()), "response.completed");
}

#[tokio::test]
async fn a_panic_of_a_closure_is_logged_and_raised_again() {
    let script = Script::new().respond(|_| panic!("on purpose"));
    let server = ScriptedServer::start(script).await.unwrap();
    let (status, body, _) = post(&server.connector(), json!({})).await;
    assert_eq!((status, body.contains("script_panicked")), (500, true));
    assert_eq!(server.log().panics, ["on purpose"]);
    let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(server)));
    assert!(dropped.is_err());
}
