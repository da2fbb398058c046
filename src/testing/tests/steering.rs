//! Steering of responses that run.

use serde_json::{Value, json};

use super::{Client, kind, kinds};
use crate::testing::{Gate, Profile, Script, ScriptedServer, Steering, Step, Turn, items};

async fn steer(client: &mut Client, target: &Value, input: Value) {
    let steer = json!({ "type": "response.steer", "previous_response_id": target, "input": input });
    client.send(steer).await;
}

/// The events up to one of this type.
async fn until(client: &mut Client, wanted: &str) -> Vec<Value> {
    let mut events = Vec::new();
    while events.last().is_none_or(|event| kind(event) != wanted) {
        events.push(client.event().await);
    }
    events
}

/// A client whose first response, on lane `x`, waits before its event at `held`; with its id.
async fn held(turn: Turn, held: usize, gate: &Gate) -> (ScriptedServer, Client, Value) {
    let history = |exchange: &crate::testing::Exchange| {
        let texts = exchange.history.iter().map(|item| match &item["content"] {
            Value::String(text) => text.clone(),
            content => content[0]["text"].as_str().unwrap_or("-").to_owned(),
        });
        Turn::text(texts.collect::<Vec<_>>().join("|"))
    };
    let script = Script::new().turn(turn.insert(held, Step::Gate(gate.clone()))).respond(history);
    let server = ScriptedServer::start(script).await.unwrap();
    let mut client = Client::connect(&server).await;
    client.create(json!({ "stream_id": "x", "store": false, "input": "question" })).await;
    let created = client.event().await;
    let id = created["response"]["id"].clone();
    for _ in 1..held {
        client.event().await;
    }
    (server, client, id)
}

fn text_of(event: &Value) -> &str {
    event["response"]["output"][0]["content"][0]["text"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_steered_response_ends_with_its_item_and_another_continues() {
    let two = Turn::output([items::message("first"), items::message("second")]);
    // Within the first item.
    let gate = Gate::new();
    let (server, mut client, id) = held(two, 4, &gate).await;
    steer(&mut client, &id, json!("shorter")).await;
    let accepted = client.event().await;
    assert_eq!(kind(&accepted), "response.steer.accepted");
    assert_eq!(accepted["steer"]["previous_response_id"], id);
    assert_eq!((&accepted["stream_id"], &accepted["sequence_number"]), (&json!("x"), &json!(4)));
    gate.open();
    let rest = until(&mut client, "response.incomplete").await;
    let numbers: Vec<_> = rest.iter().map(|it| it["sequence_number"].as_u64().unwrap()).collect();
    assert!(numbers.iter().copied().eq(5..5 + rest.len() as u64), "{numbers:?}");
    let end = rest.last().unwrap();
    assert_eq!(end["response"]["incomplete_details"]["reason"], "steered");
    assert_eq!(end["response"]["output"].as_array().unwrap().len(), 1);
    let next = client.turn().await;
    assert_eq!(kind(&next[0]), "response.created");
    assert_eq!(next[0]["response"]["previous_response_id"], id);
    assert!(next.iter().all(|event| event["stream_id"] == "x"));
    assert_eq!(text_of(next.last().unwrap()), "question|first|shorter");
    let log = server.log();
    assert_eq!((log.steers.len(), &log.steers[0].body["input"]), (1, &json!("shorter")));
    let successors: Vec<_> = log.requests.iter().map(|seen| seen.is_successor).collect();
    assert_eq!(successors, [false, true]);
}

#[tokio::test]
async fn several_steers_come_in_order_and_a_response_without_output_ends_immediately() {
    let gate = Gate::new();
    let (_server, mut client, id) = held(Turn::text("never"), 2, &gate).await;
    let messages =
        json!([{ "role": "user", "content": "two" }, { "role": "user", "content": "3" }]);
    steer(&mut client, &id, json!("one")).await;
    let events = until(&mut client, "response.incomplete").await;
    assert_eq!(events.len(), 2);
    assert_eq!(events[1]["response"]["output"], json!([]));
    let created = client.event().await;
    let next = &created["response"]["id"];
    assert_eq!(text_of(client.turn().await.last().unwrap()), "question|one");
    // That response has ended.
    steer(&mut client, next, messages).await;
    let failed = client.event().await;
    assert_eq!(failed["error"]["code"], "response_already_completed");
    assert_eq!(failed["steer"]["input"][1]["content"], "3");
    assert!(failed["steer"].get("id").is_none());
}

#[tokio::test]
async fn a_response_that_ends_before_the_steer_applies_is_continued_too() {
    // After the last item: only the end is left.
    let gate = Gate::new();
    let turn = Turn::text("done");
    let (_server, mut client, id) = held(turn, 8, &gate).await;
    steer(&mut client, &id, json!("more")).await;
    assert_eq!(kind(&client.event().await), "response.steer.accepted");
    gate.open();
    let rest = client.turn().await;
    assert_eq!(kind(rest.last().unwrap()), "response.completed");
    assert_eq!(text_of(client.turn().await.last().unwrap()), "question|done|more");
}

#[tokio::test]
async fn a_steer_waits_for_the_results_of_calls() {
    for early in [false, true] {
        let call = items::function_call("call_1", "f", "{}");
        let gate = Gate::new();
        let (_server, mut client, id) = held(Turn::output([call]), 3, &gate).await;
        steer(&mut client, &id, json!("and then")).await;
        assert_eq!(kind(&client.event().await), "response.steer.accepted");
        let results = json!({
            "stream_id": "x",
            "store": false,
            "previous_response_id": id,
            "input": [items::function_call_output("call_1", "7")],
        });
        if early {
            client.create(results.clone()).await;
        }
        gate.open();
        let mut events = until(&mut client, "response.steer.pending").await;
        let pending = events.pop().unwrap();
        assert_eq!(kind(events.last().unwrap()), "response.completed");
        let stub = json!({ "type": "function_call_output", "call_id": "call_1", "name": "f" });
        assert_eq!(pending["required_input"], json!([stub]));
        assert_eq!(pending["reason"], "waiting_for_required_input");
        if !early {
            client.create(results).await;
        }
        assert_eq!(text_of(client.turn().await.last().unwrap()), "question|-|and then|-");
    }
}

#[tokio::test]
async fn a_request_that_was_sent_before_the_steer_takes_its_input() {
    let gate = Gate::new();
    let (server, mut client, id) = held(Turn::text("done"), 8, &gate).await;
    let next = json!({ "stream_id": "x", "previous_response_id": id, "input": "next" });
    client.create(next).await;
    steer(&mut client, &id, json!("steer")).await;
    assert_eq!(kind(&client.event().await), "response.steer.accepted");
    gate.open();
    until(&mut client, "response.completed").await;
    assert_eq!(text_of(client.turn().await.last().unwrap()), "question|done|steer|next");
    assert!(server.log().requests.iter().all(|seen| !seen.is_successor));
}

#[tokio::test]
async fn a_steer_is_refused_in_each_way() {
    let refuse = Steering::Refuse("steering_not_supported".to_owned());
    let later = Steering::FailLater("successor_creation_failed".to_owned());
    for (steering, expected) in [
        (refuse, ["response.steer.failed", "response.completed"].as_slice()),
        (later, &["response.steer.accepted", "response.completed", "response.steer.failed"]),
        (Steering::Ignore, &["response.completed"]),
    ] {
        let gate = Gate::new();
        let turn = Turn::text("done").steering(steering.clone());
        let (server, mut client, id) = held(turn, 8, &gate).await;
        steer(&mut client, &id, json!("more")).await;
        let mut events = Vec::new();
        if steering == Steering::Ignore {
            server.wait_for(|log| log.steers.len() == 1).await;
        } else {
            events.push(client.event().await);
        }
        gate.open();
        while events.len() < expected.len() {
            let event = client.event().await;
            if kind(&event) != "response.output_item.done" {
                events.push(event);
            }
        }
        assert_eq!(kinds(&events), expected, "{steering:?}");
        client.create(json!({ "stream_id": "x", "store": false, "input": "alone" })).await;
        assert_eq!(text_of(client.turn().await.last().unwrap()), "alone");
    }
}

#[tokio::test]
async fn what_cannot_be_a_steer_gives_its_input_back() {
    let gate = Gate::new();
    let (_server, mut client, id) = held(Turn::text("done"), 2, &gate).await;
    let call = items::function_call_output("call_1", "7");
    for input in [json!([]), json!([call]), json!([{ "role": "system", "content": "x" }]), json!(7)]
    {
        steer(&mut client, &id, input.clone()).await;
        let failed = client.event().await;
        assert_eq!(failed["error"]["code"], "invalid_input", "{input}");
        assert_eq!(failed["steer"]["input"], input);
        assert_eq!(failed["stream_id"], "x");
    }
    steer(&mut client, &json!("resp_unknown"), json!("x")).await;
    let failed = client.event().await;
    assert_eq!(failed["error"]["code"], "response_not_found");
    assert!(failed.get("stream_id").is_none());
    gate.open();
    assert_eq!(kind(client.turn().await.last().unwrap()), "response.completed");
}

#[tokio::test]
async fn servers_without_steering_do_not_know_it() {
    let server = ScriptedServer::start(Script::new().profile(Profile::Azure)).await.unwrap();
    let mut client = Client::connect(&server).await;
    steer(&mut client, &json!("resp_1"), json!("x")).await;
    assert_eq!(client.event().await["error"]["code"], "unknown_event_type");
}

#[tokio::test]
async fn an_interrupted_response_ends_without_its_unfinished_item() {
    let two = Turn::output([items::message("first"), items::message("second")]);
    let gate = Gate::new();
    // Within the second item.
    let script = Script::new().turn(two.insert(12, Step::Gate(gate.clone())));
    let server = ScriptedServer::start(script.profile(Profile::ChatGpt)).await.unwrap();
    let mut client = Client::connect(&server).await;
    client.create(json!({ "store": false, "stream": true, "input": "question" })).await;
    let id = client.event().await["response"]["id"].clone();
    for _ in 1..12 {
        client.event().await;
    }
    client.send(json!({ "type": "response.interrupt", "response_id": id })).await;
    let events = client.turn().await;
    assert_eq!(kinds(&events), ["response.interrupt.accepted", "response.incomplete"]);
    let response = &events[1]["response"];
    assert_eq!(response["incomplete_details"]["reason"], "interrupted");
    assert_eq!(response["output"].as_array().unwrap().len(), 1);
    // It has ended.
    client.send(json!({ "type": "response.interrupt", "response_id": id })).await;
    let refused = client.event().await.to_string();
    assert!(refused.contains("response_not_found"), "{refused}");
}
