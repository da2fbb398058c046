//! Faults of servers that run several lanes of a WebSocket, or none.

use serde_json::{Value, json};

use super::{
    Client, kind,
    lanes::{create_on, lane, of, turns},
    post, text_of,
};
use crate::testing::{Gate, Lanes, Profile, Script, ScriptedServer, Step, Turn};

/// A client with a turn on each of these lanes, which all wait for the gate.
async fn together(script: Script, gate: &Gate, lanes: &[&str]) -> (ScriptedServer, Client) {
    let (held, open) = (gate.clone(), Gate::new());
    open.open();
    let script = script.respond(move |exchange| {
        let name = exchange.lane.as_deref().unwrap_or("-");
        let turn = Turn::text(format!("I am {name}")).first(Step::Gate(held.clone()));
        // A step that takes no time is no event.
        turn.insert(2, Step::Gate(open.clone()))
    });
    let server = ScriptedServer::start(script).await.unwrap();
    let mut client = Client::connect(&server).await;
    for lane in lanes {
        create_on(&mut client, lane, json!({ "input": "hi" })).await;
    }
    server.wait_for(|log| log.requests.len() == lanes.len()).await;
    (server, client)
}

#[tokio::test]
async fn lanes_send_in_the_order_of_the_script() {
    let script = Script::new().lane_order(["b", "b", "", "gone", "a"]);
    let gate = Gate::new();
    // `c` is not in the order.
    let (_server, mut client) = together(script, &gate, &["c", "a", "", "b"]).await;
    gate.open();
    let events = turns(&mut client, 4).await;
    let per_turn = events.len() / 4;
    let order: Vec<_> = events.iter().map(lane).collect();
    let rounds = per_turn / 2;
    assert_eq!(&order[..4 * rounds], ["b", "b", "", "a"].repeat(rounds));
    // The last event of `b` if there is an odd number, and then the others by themselves.
    let rest: Vec<_> = order[4 * rounds..].iter().filter(|name| **name != "b").copied().collect();
    let left = per_turn - rounds;
    assert_eq!(&rest[..2 * left], ["", "a"].repeat(left));
    assert_eq!(&rest[2 * left..], vec!["c"; per_turn]);
    assert_eq!(text_of(events.last().unwrap()), "I am c");
}

#[tokio::test]
async fn one_lane_is_held_while_others_run() {
    let gate = Gate::new();
    let held = gate.clone();
    let script = Script::new().respond(move |exchange| {
        let turn = Turn::text("a");
        match exchange.lane.as_deref() {
            Some("held") => turn.insert(3, Step::Gate(held.clone())),
            _ => turn,
        }
    });
    let server = ScriptedServer::start(script).await.unwrap();
    let mut client = Client::connect(&server).await;
    create_on(&mut client, "held", json!({})).await;
    for _ in 0..3 {
        assert_eq!(lane(&client.event().await), "held");
    }
    for name in ["x", "", "y", "x"] {
        create_on(&mut client, name, json!({})).await;
        assert!(client.turn().await.iter().all(|event| lane(event) == name));
    }
    gate.open();
    assert!(client.turn().await.iter().all(|event| lane(event) == "held"));
}

#[tokio::test]
async fn an_error_may_lack_the_lane_that_it_ends() {
    let gate = Gate::new();
    let script = Script::new()
        .turn(Turn::text("a").insert(2, Step::Gate(gate.clone())))
        .turn(Turn::error(429, "rate_limit_exceeded", "Wait").without_stream_id())
        .turn(Turn::text("b"));
    let server = ScriptedServer::start(script).await.unwrap();
    let mut client = Client::connect(&server).await;
    for name in ["x", "y", "y"] {
        create_on(&mut client, name, json!({})).await;
    }
    let events = turns(&mut client, 2).await;
    let errors: Vec<_> = events.iter().filter(|event| kind(event) == "error").collect();
    assert_eq!((errors.len(), errors[0].get("stream_id")), (1, None));
    assert_eq!(errors[0]["error"]["code"], "rate_limit_exceeded");
    // The lane is free again.
    assert_eq!(text_of(of(&events, "y").last().unwrap()), "b");
    gate.open();
    assert!(turns(&mut client, 1).await.iter().all(|event| lane(event) == "x"));
}

#[tokio::test]
async fn an_error_may_belong_to_nobody() {
    let error = json!({ "code": "server_error", "message": "no" });
    let unowned = |name: Value| json!({ "type": "error", "stream_id": name, "error": error });
    let turn = Turn::text("a")
        .insert(3, Step::Stray(unowned(Value::Null)))
        .insert(3, Step::Stray(unowned(json!("unknown"))));
    let server = ScriptedServer::start(Script::new().turn(turn)).await.unwrap();
    let mut client = Client::connect(&server).await;
    create_on(&mut client, "x", json!({})).await;
    let mut events = Vec::new();
    while events.last().is_none_or(|event| kind(event) != "response.completed") {
        events.push(client.event().await);
    }
    let errors = events.iter().filter(|event| kind(event) == "error").map(lane);
    assert_eq!(errors.collect::<Vec<_>>(), ["", "unknown"]);
    let rest = events.iter().filter(|event| kind(event) != "error");
    assert!(rest.clone().all(|event| lane(event) == "x"));
    let numbers = rest.map(|event| event["sequence_number"].as_u64().unwrap());
    assert!(numbers.eq(0..events.len() as u64 - 2), "the response is whole");
}

#[tokio::test]
async fn the_limit_of_age_ends_all_lanes_at_any_time() {
    let limit = |event: &Value| {
        assert_eq!(event["error"]["code"], "websocket_connection_limit_reached");
        assert!(event["error"]["message"].as_str().unwrap().contains("(60 minutes)"));
        assert!(event.get("stream_id").is_none());
    };
    // Three lanes run.
    let gate = Gate::new();
    let expires = Turn::text("a").insert(2, Step::Gate(gate.clone())).insert(2, Step::Expire);
    let stalls = || Turn::text("b").insert(2, Step::Stall);
    let script = Script::new().turns([stalls(), stalls(), expires]);
    let server = ScriptedServer::start(script).await.unwrap();
    let mut client = Client::connect(&server).await;
    for name in ["x", "", "y"] {
        create_on(&mut client, name, json!({})).await;
    }
    for _ in 0..6 {
        assert_ne!(kind(&client.event().await), "error");
    }
    gate.open();
    limit(&client.event().await);
    assert_eq!(client.end().await.unwrap().code, 1000.into());
    // None does.
    let script = Script::new().turn(Turn::text("a").then(Step::Expire));
    let server = ScriptedServer::start(script).await.unwrap();
    let mut client = Client::connect(&server).await;
    create_on(&mut client, "x", json!({})).await;
    assert_eq!(kind(client.turn().await.last().unwrap()), "response.completed");
    limit(&client.event().await);
    assert_eq!(client.end().await.unwrap().code, 1000.into());
    // Over SSE nothing happens.
    let server = ScriptedServer::in_memory(Turn::text("a").insert(2, Step::Expire));
    let (status, body, failure) = post(&server.connector(), json!({})).await;
    assert_eq!((status, failure.is_none()), (200, true));
    assert_eq!(text_of(super::events(&body).last().unwrap()), "a");
    // Some servers close without a word.
    let script = Script::new().profile(Profile::Vercel).turn(Turn::text("a").first(Step::Expire));
    let server = ScriptedServer::start(script).await.unwrap();
    let mut client = Client::connect(&server).await;
    client.create(json!({})).await;
    assert_eq!(client.end().await.unwrap().code, 1001.into());
}

#[tokio::test]
async fn an_abandoned_lane_has_a_tail_of_as_many_bytes_as_the_script_says() {
    const BYTES: usize = 3 << 20;
    let gate = Gate::new();
    let turn = Turn::text("Hello").insert(5, Step::Gate(gate.clone())).tail(BYTES);
    let script = Script::new().turn(turn).turn(Turn::text("other"));
    let server = ScriptedServer::start(script).await.unwrap();
    let mut client = Client::connect(&server).await;
    create_on(&mut client, "x", json!({})).await;
    for _ in 0..5 {
        client.event().await;
    }
    // Other lanes do not wait for the tail.
    create_on(&mut client, "y", json!({})).await;
    assert_eq!(text_of(client.turn().await.last().unwrap()), "other");
    gate.open();
    let mut tail = client.turn().await;
    assert!(tail.iter().all(|event| lane(event) == "x"));
    let end = tail.pop().unwrap();
    let bytes: usize = tail.iter().map(|event| event.to_string().len()).sum();
    assert!((BYTES..2 * BYTES).contains(&bytes), "{bytes}");
    // The text is that without the tail.
    assert_eq!(text_of(&end), "Hello");
    assert!(
        tail.iter()
            .filter(|it| it["obfuscation"].as_str().is_some_and(|it| it.len() > 99))
            .all(|it| it["delta"] == "")
    );
}

#[tokio::test]
async fn a_server_without_lanes_refuses_or_ignores_their_names() {
    let script = Script::new().lanes(Lanes::Refuse).turn(Turn::text("a"));
    let server = ScriptedServer::start(script).await.unwrap();
    let mut client = Client::connect(&server).await;
    create_on(&mut client, "x", json!({})).await;
    let refused = client.event().await;
    assert_eq!(refused["error"]["message"], "Unsupported parameter: stream_id");
    assert_eq!((&refused["status"], refused.get("stream_id")), (&json!(400), None));
    client.create(json!({})).await;
    assert_eq!(text_of(client.turn().await.last().unwrap()), "a");

    let gate = Gate::new();
    let script = Script::new()
        .lanes(Lanes::Ignore)
        .turn(Turn::text("a").insert(1, Step::Gate(gate.clone())))
        .turn(Turn::text("b"));
    let server = ScriptedServer::start(script).await.unwrap();
    let mut client = Client::connect(&server).await;
    for name in ["x", "not valid"] {
        create_on(&mut client, name, json!({})).await;
    }
    assert_eq!(kind(&client.event().await), "response.created");
    assert_eq!(server.log().requests.len(), 1, "one after the other");
    gate.open();
    let events = turns(&mut client, 2).await;
    assert!(events.iter().all(|event| event.get("stream_id").is_none()));
    assert_eq!(text_of(events.last().unwrap()), "b");
    let log = server.log();
    assert_eq!(log.requests[0].lane.as_deref(), Some("x"), "the log has the name");
}

#[tokio::test]
async fn a_server_may_run_lanes_and_keep_their_names_from_the_client() {
    let gate = Gate::new();
    let script = Script::new().lanes(Lanes::Strip);
    let (server, mut client) = together(script, &gate, &["x", "y"]).await;
    gate.open();
    let events = turns(&mut client, 2).await;
    assert!(events.iter().all(|event| event.get("stream_id").is_none()));
    let created = |event: &Value| kind(event) == "response.created";
    assert!(events[..2].iter().all(created), "the lanes alternate");
    assert_eq!(server.log().requests[1].lane.as_deref(), Some("y"));
    // The limit of names holds.
    for name in (0..30).map(|name| name.to_string()) {
        create_on(&mut client, &name, json!({})).await;
        client.turn().await;
    }
    create_on(&mut client, "one-more", json!({})).await;
    let refused = client.event().await;
    assert_eq!(refused["error"]["code"], "websocket_stream_limit_reached");
    assert!(refused.get("stream_id").is_none());
}
