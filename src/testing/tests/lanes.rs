//! Lanes of a WebSocket.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Client, kind, kinds, text_of};
use crate::testing::{Gate, Profile, Script, ScriptedServer, Step, Turn, items};

/// Sends a `response.create` on a lane; an empty name is the default lane.
pub(super) async fn create_on(client: &mut Client, lane: &str, mut members: Value) {
    if !lane.is_empty() {
        members["stream_id"] = lane.into();
    }
    client.create(members).await;
}

/// The events up to the end of `turns` turns, whichever lanes they are on.
pub(super) async fn turns(client: &mut Client, turns: usize) -> Vec<Value> {
    let (mut events, mut ended) = (Vec::new(), 0);
    while ended < turns {
        let event = client.event().await;
        ended += usize::from(is_end(&event));
        events.push(event);
    }
    events
}

fn is_end(event: &Value) -> bool {
    kind(event) == "error" || super::ENDINGS.contains(&kind(event).as_str())
}

/// The lane of an event; empty for the default lane.
pub(super) fn lane(event: &Value) -> &str {
    event.get("stream_id").map_or("", |id| id.as_str().unwrap())
}

/// The events of a lane.
pub(super) fn of(events: &[Value], wanted: &str) -> Vec<Value> {
    events.iter().filter(|event| lane(event) == wanted).cloned().collect()
}

/// A server whose answer is the number of items in the history.
async fn counting() -> (ScriptedServer, Client) {
    let script = Script::new().respond(|exchange| Turn::text(exchange.history.len().to_string()));
    let server = ScriptedServer::start(script).await.unwrap();
    let client = Client::connect(&server).await;
    (server, client)
}

#[tokio::test]
async fn turns_of_several_lanes_alternate_and_each_is_complete() {
    let gate = Gate::new();
    let held = gate.clone();
    let script = Script::new().respond(move |exchange| {
        let name = exchange.lane.as_deref().unwrap_or("-");
        Turn::text(format!("I am {name}")).first(Step::Gate(held.clone()))
    });
    let server = ScriptedServer::start(script).await.unwrap();
    let mut client = Client::connect(&server).await;
    for lane in ["x", "", "y"] {
        create_on(&mut client, lane, json!({ "input": "hi" })).await;
    }
    server.wait_for(|log| log.requests.len() == 3).await;
    gate.open();
    let events = turns(&mut client, 3).await;
    let plain = kinds(&of(&events, ""));
    assert!([of(&events, "x"), of(&events, "y")].iter().all(|on_lane| kinds(on_lane) == plain));
    assert!(of(&events, "").iter().all(|event| event.get("stream_id").is_none()));
    assert_eq!(text_of(of(&events, "y").last().unwrap()), "I am y");
    let changes = events.windows(2).filter(|pair| lane(&pair[0]) != lane(&pair[1])).count();
    assert!(changes > plain.len(), "{changes} changes of lane");
    let log = server.log();
    let lanes: Vec<_> = log.requests.iter().map(|seen| seen.lane.as_deref()).collect();
    assert_eq!(lanes, [Some("x"), None, Some("y")]);
    assert!(log.requests.iter().all(|seen| seen.finished));
}

#[tokio::test]
async fn requests_of_one_lane_wait_for_each_other_and_for_no_other_lane() {
    let gate = Gate::new();
    let script = Script::new()
        .turn(Turn::text("one").insert(2, Step::Gate(gate.clone())))
        .turn(Turn::text("other"))
        .turn(Turn::text("two"));
    let server = ScriptedServer::start(script).await.unwrap();
    let mut client = Client::connect(&server).await;
    for lane in ["x", "x", "y"] {
        create_on(&mut client, lane, json!({})).await;
    }
    let before = turns(&mut client, 1).await;
    assert_eq!(of(&before, "x").len(), 2, "the gate is closed");
    assert_eq!(text_of(before.last().unwrap()), "other");
    gate.open();
    let after = turns(&mut client, 2).await;
    assert!(after.iter().all(|event| lane(event) == "x"));
    let texts: Vec<_> = after.iter().filter(|event| is_end(event)).map(text_of).collect();
    assert_eq!(texts, ["one", "two"]);
}

#[tokio::test]
async fn sixteen_responses_run_at_once_and_the_others_wait_silently() {
    let gate = Gate::new();
    let held = gate.clone();
    let script =
        Script::new().respond(move |_| Turn::text("a").insert(1, Step::Gate(held.clone())));
    let server = ScriptedServer::start(script).await.unwrap();
    let mut client = Client::connect(&server).await;
    for lane in 0..18 {
        create_on(&mut client, &format!("{lane}"), json!({})).await;
    }
    for _ in 0..16 {
        assert_eq!(kind(&client.event().await), "response.created");
    }
    assert_eq!(server.log().requests.len(), 16);
    gate.open();
    let events = turns(&mut client, 18).await;
    let begun: Vec<_> =
        events.iter().filter(|it| kind(it) == "response.created").map(lane).collect();
    assert_eq!(begun, ["16", "17"]);
}

#[tokio::test]
async fn a_connection_has_32_names_and_the_default_lane() {
    let (_server, mut client) = counting().await;
    for lane in (0..32).map(|lane| lane.to_string()).chain([String::new(), "7".to_owned()]) {
        create_on(&mut client, &lane, json!({})).await;
        assert_eq!(kind(client.turn().await.last().unwrap()), "response.completed", "{lane}");
    }
    create_on(&mut client, "one-more", json!({})).await;
    let refused = client.event().await;
    assert_eq!(refused["error"]["code"], "websocket_stream_limit_reached");
    assert_eq!((&refused["status"], lane(&refused)), (&json!(400), "one-more"));
}

#[tokio::test]
async fn an_invalid_name_is_refused_without_a_name_and_disturbs_no_lane() {
    let gate = Gate::new();
    let script = Script::new().turn(Turn::text("a").insert(1, Step::Gate(gate.clone())));
    let server = ScriptedServer::start(script).await.unwrap();
    let mut client = Client::connect(&server).await;
    client.create(json!({})).await;
    assert_eq!(kind(&client.event().await), "response.created");
    for name in [json!(""), json!("a b"), json!(3), json!(null)] {
        client.create(json!({ "stream_id": name })).await;
        let refused = client.event().await;
        assert_eq!(refused["error"]["code"], "invalid_stream_id", "{name}");
        assert!(refused.get("stream_id").is_none());
    }
    gate.open();
    assert_eq!(kind(client.turn().await.last().unwrap()), "response.completed");
}

#[tokio::test]
async fn a_lane_continues_what_another_lane_of_its_connection_holds() {
    let (server, mut client) = counting().await;
    let unstored =
        |id: &Value| json!({ "store": false, "input": "hi", "previous_response_id": id });
    client.create(json!({ "store": false, "input": "hi" })).await;
    let id = client.turn().await.pop().unwrap()["response"]["id"].clone();
    create_on(&mut client, "fork", unstored(&id)).await;
    assert_eq!(text_of(client.turn().await.last().unwrap()), "3");
    client.create(unstored(&id)).await;
    assert_eq!(text_of(client.turn().await.last().unwrap()), "3", "its own lane holds it still");
    create_on(&mut client, "late", unstored(&id)).await;
    assert_eq!(client.event().await["error"]["code"], "previous_response_not_found");
    let mut other = Client::connect(&server).await;
    other.create(unstored(&id)).await;
    assert_eq!(other.event().await["error"]["code"], "previous_response_not_found");
}

#[tokio::test]
async fn a_lane_holds_nothing_from_the_beginning_of_its_next_response_on() {
    let gate = Gate::new();
    let script = Script::new()
        .turn(Turn::text("one"))
        .turn(Turn::text("two").insert(1, Step::Gate(gate.clone())));
    let server = ScriptedServer::start(script).await.unwrap();
    let mut client = Client::connect(&server).await;
    client.create(json!({ "store": false })).await;
    let id = client.turn().await.pop().unwrap()["response"]["id"].clone();
    let next = json!({ "store": false, "previous_response_id": id });
    client.create(next.clone()).await;
    assert_eq!(kind(&client.event().await), "response.created");
    create_on(&mut client, "fork", next).await;
    assert_eq!(client.event().await["error"]["code"], "previous_response_not_found");
    gate.open();
    assert_eq!(text_of(client.turn().await.last().unwrap()), "two");
}

#[tokio::test]
async fn a_failure_evicts_the_parent_on_its_own_lane_only() {
    let parent = |id: &Value| json!({ "store": false, "previous_response_id": id });
    for (failing, found) in [("", false), ("fork", true)] {
        let script = Script::new()
            .turn(Turn::text("a"))
            .turn(Turn::failed([], "server_error", "no"))
            .turn(Turn::text("b"));
        let server = ScriptedServer::start(script).await.unwrap();
        let mut client = Client::connect(&server).await;
        client.create(json!({ "store": false })).await;
        let id = client.turn().await.pop().unwrap()["response"]["id"].clone();
        create_on(&mut client, failing, parent(&id)).await;
        assert_eq!(kind(client.turn().await.last().unwrap()), "response.failed");
        client.create(parent(&id)).await;
        let last = client.turn().await.pop().unwrap();
        assert_eq!(kind(&last) == "response.completed", found, "{failing}: {last}");
    }
}

#[tokio::test]
async fn a_fork_is_lost_if_its_source_moves_on_before_it_is_in_progress() {
    for (waits_before, completes) in [(1, false), (2, true)] {
        let gate = Gate::new();
        let script = Script::new()
            .turn(Turn::text("source"))
            .turn(Turn::text("fork").insert(waits_before, Step::Gate(gate.clone())))
            .turn(Turn::text("next"));
        let server = ScriptedServer::start(script).await.unwrap();
        let mut client = Client::connect(&server).await;
        client.create(json!({ "store": false })).await;
        let id = client.turn().await.pop().unwrap()["response"]["id"].clone();
        let next = json!({ "store": false, "previous_response_id": id });
        create_on(&mut client, "fork", next.clone()).await;
        for _ in 0..waits_before {
            client.event().await;
        }
        client.create(next).await;
        assert_eq!(text_of(client.turn().await.last().unwrap()), "next");
        gate.open();
        let end = turns(&mut client, 1).await.pop().unwrap();
        assert_eq!(lane(&end), "fork");
        match completes {
            true => assert_eq!(text_of(&end), "fork"),
            false => assert_eq!(end["error"]["code"], "previous_response_not_found"),
        }
    }
}

#[tokio::test]
async fn a_script_may_name_another_lane_or_none() {
    let turn = Turn::text("a")
        .first(Step::Stray(json!({ "type": "response.created", "stream_id": "unknown" })))
        .then(Step::Stray(json!({ "type": "error", "stream_id": null, "error": {} })));
    let server = ScriptedServer::start(Script::new().turn(turn)).await.unwrap();
    let mut client = Client::connect(&server).await;
    create_on(&mut client, "x", json!({})).await;
    assert_eq!(lane(&client.event().await), "unknown");
    let events = client.turn().await;
    assert!(events.iter().all(|event| lane(event) == "x"));
    assert!(client.event().await.get("stream_id").is_none());
}

#[tokio::test]
async fn servers_without_lanes_refuse_them() {
    for profile in [Profile::Azure, Profile::Xai, Profile::Vercel, Profile::ChatGpt] {
        let server = ScriptedServer::start(Script::new().profile(profile)).await.unwrap();
        let mut client = Client::connect(&server).await;
        create_on(&mut client, "x", json!({ "store": false })).await;
        let refused = client.event().await;
        let message = refused.pointer("/error/message").or(refused.pointer("/error/detail"));
        assert_eq!(message.unwrap(), "Unsupported parameter: stream_id", "{profile:?}");
        assert!(refused.get("stream_id").is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn at_its_maximum_age_a_connection_ends_what_runs_and_begins_nothing() {
    let script = Script::new().max_age(Duration::from_secs(60)).respond(|_| {
        Turn::output([items::message("a")]).insert(1, Step::Delay(Duration::from_secs(90)))
    });
    let server = ScriptedServer::in_memory(script);
    let mut client = Client::in_memory(&server.connector()).await;
    for lane in ["x", "y", "x"] {
        create_on(&mut client, lane, json!({})).await;
    }
    let events = turns(&mut client, 2).await;
    assert!(events.iter().filter(|it| is_end(it)).all(|it| kind(it) == "response.completed"));
    let limit = client.event().await;
    assert_eq!(limit["error"]["code"], "websocket_connection_limit_reached");
    assert!(limit.get("stream_id").is_none());
    assert_eq!(server.log().requests.len(), 2);
}
