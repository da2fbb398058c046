//! Steering of responses that run.

use serde_json::{Value, json};

use super::{Client, kind, kinds, text_of, texts_of_history};
use crate::testing::{Gate, Profile, Script, ScriptedServer, Steering, Step, Turn, items};

async fn steer(client: &mut Client, target: &Value, input: Value) {
    let steer = json!({ "type": "response.steer", "previous_response_id": target, "input": input });
    client.send(steer).await;
}

/// A client whose first response, on lane `x`, waits before its event at `held`; with its id.
async fn held(turn: Turn, held: usize, gate: &Gate) -> (ScriptedServer, Client, Value) {
    let turn = turn.insert(held, Step::Gate(gate.clone()));
    let script = Script::new().turn(turn).respond(texts_of_history);
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
    let rest = client.until("response.incomplete").await;
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
    let events = client.until("response.incomplete").await;
    assert_eq!(events.len(), 2);
    assert_eq!(events[1]["response"]["output"], json!([]));
    let created = client.event().await;
    let next = &created["response"]["id"];
    let end = client.turn().await.pop().unwrap();
    assert_eq!(text_of(&end), "question|one");
    // That response has ended.
    steer(&mut client, next, messages).await;
    let failed = client.event().await;
    assert_eq!(failed["error"]["code"], "response_already_completed");
    assert_eq!(failed["steer"]["input"][1]["content"], "3");
    // Its lane is known, and its events are numbered on.
    let number = end["sequence_number"].as_u64().unwrap() + 1;
    assert_eq!((&failed["stream_id"], &failed["sequence_number"]), (&json!("x"), &json!(number)));
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
        let mut events = client.until("response.steer.pending").await;
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
    client.until("response.completed").await;
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
    let refuse = Steering::Refuse("steering_not_supported".to_owned());
    let (_server, mut client, id) = held(Turn::text("done").steering(refuse), 2, &gate).await;
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

const CODES: [&str; 7] = [
    "response_not_found",
    "invalid_input",
    "steering_not_supported",
    "too_many_pending_steers",
    "response_already_completed",
    "response_not_active",
    "successor_creation_failed",
];

#[tokio::test]
async fn a_script_refuses_a_steer_by_each_code_before_and_after_its_acceptance() {
    for code in CODES {
        for accepted in [false, true] {
            let steering = match accepted {
                true => Steering::FailLater(code.to_owned()),
                false => Steering::Refuse(code.to_owned()),
            };
            let gate = Gate::new();
            let turn = Turn::text("never").steering(steering);
            let (server, mut client, id) = held(turn, 2, &gate).await;
            steer(&mut client, &id, json!("more")).await;
            let mut steer_id = Value::Null;
            if accepted {
                steer_id = client.event().await["steer"]["id"].clone();
                let end = client.turn().await.pop().unwrap();
                assert_eq!(end["response"]["incomplete_details"]["reason"], "steered");
            }
            let failed = client.event().await;
            assert_eq!(kind(&failed), "response.steer.failed");
            assert_eq!(
                (&failed["error"]["code"], &failed["steer"]["input"]),
                (&json!(code), &json!("more"))
            );
            assert_eq!(failed["steer"]["id"], steer_id);
            gate.open();
            if !accepted {
                assert_eq!(kind(client.turn().await.last().unwrap()), "response.completed");
            }
            client.create(json!({ "stream_id": "x", "input": "alone" })).await;
            assert_eq!(text_of(client.turn().await.last().unwrap()), "alone");
            assert!(server.log().requests.iter().all(|seen| !seen.is_successor));
        }
    }
}

#[tokio::test]
async fn the_server_has_its_own_reasons_to_refuse_a_steer() {
    // Input of a response that fails, and one more after its end.
    let gate = Gate::new();
    let turn = Turn::failed([items::message("a")], "server_error", "no");
    let (_server, mut client, id) = held(turn, 8, &gate).await;
    steer(&mut client, &id, json!("more")).await;
    let accepted = client.event().await;
    gate.open();
    assert_eq!(kind(client.turn().await.last().unwrap()), "response.failed");
    let failed = client.event().await;
    assert_eq!(failed["error"]["code"], "response_not_active");
    assert_eq!(failed["steer"]["id"], accepted["steer"]["id"]);
    let id_text = accepted["steer"]["id"].as_str().unwrap();
    assert!(id_text.strip_prefix("steer_").is_some_and(|it| it.len() == 32), "{id_text}");
    steer(&mut client, &id, json!("late")).await;
    let late = client.event().await;
    assert_eq!(
        (&late["error"]["code"], &late["stream_id"]),
        (&json!("response_not_active"), &json!("x"))
    );

    // More input than a response holds.
    let gate = Gate::new();
    let (_server, mut client, id) = held(Turn::text("a"), 4, &gate).await;
    for _ in 0..16 {
        steer(&mut client, &id, json!("more")).await;
        assert_eq!(kind(&client.event().await), "response.steer.accepted");
    }
    steer(&mut client, &id, json!("too much")).await;
    assert_eq!(client.event().await["error"]["code"], "too_many_pending_steers");

    // A request with a member that excludes steering.
    for (member, value) in [("conversation", json!("conv_1")), ("context_management", json!([]))] {
        let server =
            ScriptedServer::start(Turn::text("a").insert(1, Step::AwaitSteer)).await.unwrap();
        let mut client = Client::connect(&server).await;
        client.create(json!({ member: value })).await;
        let id = client.event().await["response"]["id"].clone();
        steer(&mut client, &id, json!("more")).await;
        assert_eq!(client.event().await["error"]["code"], "steering_not_supported", "{member}");
        assert_eq!(kind(client.turn().await.last().unwrap()), "response.completed");
    }
}

#[tokio::test]
async fn the_answer_to_a_steer_is_lost_before_or_after_its_acceptance() {
    for (steering, ends_with, code) in [
        (Steering::Ignore, Step::Close { code: Some(1011), reason: String::new() }, Some(1011)),
        (Steering::Accept, Step::Reset, None),
    ] {
        let is_accepted = steering == Steering::Accept;
        // Within an item, so that the response cannot end before the connection.
        let turn = Turn::text("a").cut_after(4, Step::AwaitSteer).then(ends_with);
        let server = ScriptedServer::start(turn.steering(steering)).await.unwrap();
        let mut client = Client::connect(&server).await;
        client.create(json!({})).await;
        let id = client.event().await["response"]["id"].clone();
        for _ in 1..4 {
            client.event().await;
        }
        steer(&mut client, &id, json!("more")).await;
        if is_accepted {
            assert_eq!(kind(&client.event().await), "response.steer.accepted");
        }
        assert_eq!(client.end().await.map(|frame| u16::from(frame.code)), code);
        let log = server.log();
        assert_eq!((log.steers.len(), log.requests.len()), (1, 1));
    }
}

#[tokio::test]
async fn a_step_waits_for_as_many_steers_as_steps_of_its_kind_came_before() {
    let turn = Turn::text("a")
        .steering(Steering::Refuse("response_not_active".to_owned()))
        .insert(1, Step::AwaitSteer)
        .insert(2, Step::AwaitSteer);
    let server = ScriptedServer::start(turn).await.unwrap();
    let mut client = Client::connect(&server).await;
    client.create(json!({})).await;
    let id = client.event().await["response"]["id"].clone();
    for next in ["response.in_progress", "response.output_item.added"] {
        steer(&mut client, &id, json!("more")).await;
        assert_eq!(kind(&client.event().await), "response.steer.failed");
        assert_eq!(kind(&client.event().await), next);
    }
}

#[tokio::test]
async fn the_response_of_a_steer_begins_before_or_after_a_request_that_waits() {
    for (steering, texts) in [
        (Steering::SuccessorFirst, ["question|done|steer", "question|done|next"]),
        (Steering::SuccessorLast, ["question|done|next", "question|done|steer"]),
    ] {
        for is_early in [false, true] {
            let gate = Gate::new();
            let turn =
                Turn::text("done").insert(8, Step::Gate(gate.clone())).steering(steering.clone());
            let script = Script::new().turn(turn).respond(texts_of_history);
            let server = ScriptedServer::start(script).await.unwrap();
            let mut client = Client::connect(&server).await;
            client.create(json!({ "stream_id": "x", "input": "question" })).await;
            let id = client.event().await["response"]["id"].clone();
            steer(&mut client, &id, json!("steer")).await;
            client.until("response.steer.accepted").await;
            let next = json!({ "stream_id": "x", "previous_response_id": id, "input": "next" });
            if is_early {
                client.create(next.clone()).await;
                server.wait_for(|log| log.connections[0].pings == 0).await;
            }
            gate.open();
            client.until("response.completed").await;
            if !is_early {
                client.create(next).await;
            }
            for text in texts {
                let turn = client.turn().await;
                assert_eq!(turn[0]["response"]["previous_response_id"], id);
                assert_eq!(text_of(turn.last().unwrap()), text, "{steering:?} {is_early}");
            }
        }
    }
}

#[tokio::test]
async fn the_last_successor_needs_no_lane_to_hold_its_parent() {
    let gate = Gate::new();
    let turn = Turn::text("done").steering(Steering::SuccessorLast);
    let (server, mut client, id) = held(turn, 8, &gate).await;
    steer(&mut client, &id, json!("steer")).await;
    client.until("response.steer.accepted").await;
    gate.open();
    client.until("response.completed").await;
    let next =
        json!({ "stream_id": "x", "store": false, "previous_response_id": id, "input": "next" });
    client.create(next).await;
    assert_eq!(text_of(client.turn().await.last().unwrap()), "question|done|next");
    assert_eq!(text_of(client.turn().await.last().unwrap()), "question|done|steer");
    let successors: Vec<_> = server.log().requests.iter().map(|seen| seen.is_successor).collect();
    assert_eq!(successors, [false, false, true]);
}

#[tokio::test]
async fn a_pending_steer_may_be_announced_only_after_the_request_that_it_asks_for() {
    for is_early in [false, true] {
        let call = items::function_call("call_1", "f", "{}");
        let gate = Gate::new();
        let turn = Turn::output([call]).steering(Steering::PendingLate);
        let (_server, mut client, id) = held(turn, 3, &gate).await;
        steer(&mut client, &id, json!("and then")).await;
        assert_eq!(kind(&client.event().await), "response.steer.accepted");
        let output = items::function_call_output("call_1", "7");
        let results = json!({ "stream_id": "x", "store": false, "previous_response_id": id, "input": [output] });
        if is_early {
            client.create(results.clone()).await;
        }
        gate.open();
        let end = client.turn().await.pop().unwrap();
        if !is_early {
            // Nothing comes before the request.
            steer(&mut client, &json!("resp_unknown"), json!("x")).await;
            assert_eq!(kind(&client.event().await), "response.steer.failed");
            client.create(results).await;
        }
        let pending = client.event().await;
        assert_eq!(kind(&pending), "response.steer.pending");
        assert_eq!(pending["stream_id"], "x");
        let number = |event: &Value| event["sequence_number"].as_u64().unwrap();
        assert_eq!(number(&pending), number(&end) + 1);
        let next = client.turn().await;
        assert_eq!(kind(&next[0]), "response.created");
        assert_eq!(text_of(next.last().unwrap()), "question|-|and then|-");
    }
}
