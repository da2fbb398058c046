//! Responses in the background, and the endpoints to ask for them.

use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::{Value, json};

use super::{Client, ask, events, post};
use crate::{
    ResponsesRequest,
    net::Content,
    testing::{Connector, Gate, Script, ScriptedServer, Step, Turn},
};

const ID: &str = "resp_0000000000000000000000000000000000000000";

async fn ask_json(connector: &Connector, method: &str, path: &str) -> (u16, Value) {
    let (status, text) = ask(connector, method, path).await;
    (status, serde_json::from_str(&text).unwrap())
}

fn numbers(body: &str) -> Vec<u64> {
    events(body).iter().map(|event| event["sequence_number"].as_u64().unwrap()).collect()
}

/// Begins a response in the background, reads some of it and goes away.
async fn begin_and_leave(connector: &Connector) {
    let body = json!({ "stream": true, "background": true, "input": "hi" });
    let request = http::Request::post("http://memory.invalid/v1/responses")
        .body(Bytes::from(body.to_string()))
        .unwrap();
    let answer = connector.network().send(request).await.unwrap();
    let Content::Body(mut pieces) = answer.content else { panic!("upgraded") };
    assert!(pieces.next().await.unwrap().unwrap().starts_with(b"event: response.created"));
}

#[tokio::test]
async fn a_response_in_the_background_runs_on_when_its_client_is_gone() {
    let gate = Gate::new();
    let turn = Turn::text("Hello there").insert(5, Step::Gate(gate.clone()));
    let server = ScriptedServer::in_memory(Script::new().turn(turn));
    let connector = server.connector();
    begin_and_leave(&connector).await;
    server.wait_for(|log| log.connections[0].closed).await;
    let (status, response) = ask_json(&connector, "GET", &format!("/responses/{ID}")).await;
    assert_eq!((status, &response["status"]), (200, &json!("in_progress")));
    assert_eq!(response["background"], true);

    // One reader waits for what is still to come.
    let live = tokio::spawn({
        let connector = connector.clone();
        async move { ask(&connector, "GET", &format!("/responses/{ID}?stream=true")).await }
    });
    server.wait_for(|log| log.others.len() == 2).await;
    gate.open();
    let (status, live) = live.await.unwrap();
    let last = events(&live).len() as u64 - 1;
    assert_eq!((status, numbers(&live)), (200, (0..=last).collect()));
    assert_eq!(events(&live)[last as usize]["type"], "response.completed");

    let path = format!("/responses/{ID}?stream=true&starting_after=4");
    let (_, rest) = ask(&connector, "GET", &path).await;
    assert_eq!(numbers(&rest), (5..=last).collect::<Vec<_>>());
    let (_, response) = ask_json(&connector, "GET", &format!("/responses/{ID}")).await;
    assert_eq!(response["status"], "completed");
    assert_eq!(server.log().finished(), 1);
    assert_eq!(server.log().others[2].path, format!("/v1{path}"));
}

#[tokio::test]
async fn a_fault_meets_the_first_reader_alone() {
    let script = Script::new().turn(Turn::text("Hello there").insert(5, Step::Reset));
    let server = ScriptedServer::in_memory(script);
    let connector = server.connector();
    let (_, begun, failure) = post(&connector, json!({ "background": true })).await;
    assert!(failure.is_some());
    let last = *numbers(&begun).last().unwrap();
    assert_eq!(last, 4);
    let path = format!("/responses/{ID}?stream=true&starting_after={last}");
    let (_, rest) = ask(&connector, "GET", &path).await;
    assert_eq!(numbers(&rest)[0], 5);
    assert_eq!(events(&rest).last().unwrap()["type"], "response.completed");
}

#[tokio::test]
async fn cancelling_ends_the_response_and_may_be_repeated() {
    let turn = Turn::text("Hello there").insert(5, Step::Stall);
    let server = ScriptedServer::in_memory(Script::new().turn(turn).turn(Turn::text("b")));
    let connector = server.connector();
    let (reader, _) = tokio::join!(post(&connector, json!({ "background": true })), async {
        server.wait_for(|log| log.requests.len() == 1).await;
        while ask(&connector, "GET", &format!("/responses/{ID}")).await.0 == 404 {}
        for _ in 0..2 {
            let path = format!("/responses/{ID}/cancel");
            let (status, response) = ask_json(&connector, "POST", &path).await;
            assert_eq!((status, &response["status"]), (200, &json!("cancelled")));
        }
    });
    let (_, body, failure) = reader;
    assert!(failure.is_none() && events(&body).len() <= 5, "the body ends");
    let (_, response) = ask_json(&connector, "GET", &format!("/responses/{ID}")).await;
    assert_eq!(response["status"], "cancelled");
    assert_eq!(ask(&connector, "POST", "/responses/resp_x/cancel").await.0, 404);

    // A response that has ended does not change. Only background responses can be cancelled.
    let (_, body, _) = post(&connector, json!({})).await;
    let id = events(&body)[0]["response"]["id"].as_str().unwrap().to_owned();
    assert_eq!(ask(&connector, "POST", &format!("/responses/{id}/cancel")).await.0, 400);
    assert_eq!(ask(&connector, "GET", &format!("/responses/{id}?stream=true")).await.0, 400);
}

#[tokio::test]
async fn without_a_stream_it_is_queued_and_can_be_polled() {
    let server = ScriptedServer::in_memory(Script::new().turn(Turn::text("Hello")));
    let connector = server.connector();
    let body = json!({ "background": true, "stream": false });
    let (status, body, _) = post(&connector, body).await;
    let response: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &response["status"]), (200, &json!("queued")));
    server.wait_for(|log| log.finished() == 1).await;
    let path = format!("/responses/{}", response["id"].as_str().unwrap());
    loop {
        let (_, polled) = ask_json(&connector, "GET", &path).await;
        if polled["status"] == "completed" {
            assert_eq!(polled["output"][0]["content"][0]["text"], "Hello");
            break;
        }
    }
}

#[tokio::test]
async fn stored_responses_of_both_transports_can_be_had_listed_and_deleted() {
    let server = ScriptedServer::in_memory(Script::new().respond(|_| Turn::text("Hello")));
    let connector = server.connector();
    let mut client = Client::in_memory(&connector).await;
    let input = json!([{ "role": "user", "content": "a", "id": "msg_a" },
        { "role": "user", "content": "b" }, { "role": "user", "content": "c" }]);
    client.create(json!({ "input": input })).await;
    let completed = client.turn().await.pop().unwrap();
    let (status, response) = ask_json(&connector, "GET", &format!("/responses/{ID}")).await;
    assert_eq!((status, &response), (200, &completed["response"]));

    let items = async |query: &str| {
        let path = format!("/responses/{ID}/input_items{query}");
        let (_, list) = ask_json(&connector, "GET", &path).await;
        let ids: Vec<_> =
            list["data"].as_array().unwrap().iter().map(|item| item["id"].clone()).collect();
        assert_eq!(list["first_id"], ids[0]);
        (ids, list["has_more"].clone())
    };
    assert_eq!(
        items("").await,
        (vec!["item_2".into(), "item_1".into(), "msg_a".into()], false.into())
    );
    assert_eq!(items("?order=asc&limit=1").await, (vec!["msg_a".into()], true.into()));
    assert_eq!(items("?order=asc&after=item_1").await, (vec!["item_2".into()], false.into()));

    let (status, deleted) = ask_json(&connector, "DELETE", &format!("/responses/{ID}")).await;
    assert_eq!((status, &deleted["deleted"]), (200, &json!(true)));
    assert_eq!(ask(&connector, "DELETE", &format!("/responses/{ID}")).await.0, 404);
    assert_eq!(ask(&connector, "GET", &format!("/responses/{ID}")).await.0, 404);
    client.create(json!({ "previous_response_id": ID })).await;
    assert_eq!(client.event().await["error"]["code"], "previous_response_not_found");

    let (_, body, _) = post(&connector, json!({ "store": false })).await;
    let id = events(&body)[0]["response"]["id"].as_str().unwrap().to_owned();
    assert_eq!(ask(&connector, "GET", &format!("/responses/{id}")).await.0, 404, "not stored");

    let (_, models) = ask_json(&connector, "GET", "/models").await;
    assert_eq!(models["data"][0]["object"], "model");
    assert_eq!(ask(&connector, "GET", "/models/none").await.0, 404);
    assert_eq!(ask(&connector, "GET", "/nothing").await.0, 404);
}

#[tokio::test]
async fn a_base_path_limits_the_paths() {
    let script = Script::from(Turn::text("Hello")).base_path("/openai/v1/");
    let server = ScriptedServer::in_memory(script);
    assert_eq!(server.url(), "http://memory.invalid/openai/v1");
    let (status, body, _) = post(&server.connector(), json!({})).await;
    let message = "Invalid URL (POST /v1/responses)";
    assert_eq!((status, body.contains(message)), (404, true), "{body}");
    assert_eq!(Client::refused(&server.connector()).await, 404);
    let request = ResponsesRequest::new("m").input("hi");
    let response = server.client().unwrap().respond(&request).await.unwrap();
    assert_eq!(response.output_text(), "Hello");
    let log = server.log();
    let paths: Vec<_> = log.others.iter().map(|seen| (&*seen.method, &*seen.path)).collect();
    assert_eq!(paths, [("POST", "/v1/responses"), ("GET", "/v1/responses")]);
    assert_eq!(log.requests[0].path, "/openai/v1/responses");
    assert_eq!(log.websockets().next().unwrap().path.as_deref(), Some("/openai/v1/responses"));
}
