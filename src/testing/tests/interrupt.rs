//! Interruption of responses that run.

use serde_json::{Value, json};

use super::{Client, kind, kinds, text_of, texts_of_history};
use crate::testing::{
    Interrupting, NoOutput, Profile, Script, ScriptedServer, Steering, Step, Turn, items,
};

async fn interrupt(client: &mut Client, target: &Value) {
    let mode = "discard_partial_items";
    let message = json!({ "type": "response.interrupt", "response_id": target, "mode": mode });
    client.send(message).await;
}

/// A client whose response waits for an interrupt before its event at `held`, with its id. Later
/// requests are answered with their histories.
async fn held(turn: Turn, held: usize) -> (ScriptedServer, Client, Value) {
    let turn = turn.insert(held, Step::AwaitInterrupt);
    let script = Script::new().turn(turn).respond(texts_of_history);
    let server = ScriptedServer::start(script).await.unwrap();
    let mut client = Client::connect(&server).await;
    client.create(json!({ "stream_id": "x", "store": false, "input": "question" })).await;
    let id = client.event().await["response"]["id"].clone();
    for _ in 1..held {
        client.event().await;
    }
    (server, client, id)
}

fn two() -> Turn {
    Turn::output([items::message("first"), items::message("second")])
}

/// The number of events of the first message, with those that begin the response.
const FIRST: usize = 9;

#[tokio::test]
async fn an_interrupted_response_ends_without_its_unfinished_item_and_can_be_continued() {
    let (server, mut client, id) = held(two(), FIRST + 2).await;
    interrupt(&mut client, &id).await;
    let events = client.turn().await;
    assert_eq!(
        kinds(&events),
        ["response.interrupt.accepted", "response.output_item.interrupted", "response.incomplete"]
    );
    assert!(events.iter().all(|event| event["stream_id"] == "x"));
    let numbers = events.iter().map(|event| event["sequence_number"].as_u64().unwrap());
    assert!(numbers.eq(FIRST as u64 + 2..FIRST as u64 + 5));
    assert_eq!((&events[0]["response_id"], &events[1]["response_id"]), (&id, &id));
    assert_eq!(events[1]["output_index"], 1);
    assert!(events[1]["item_id"].as_str().is_some_and(|it| it.starts_with("msg_")));
    let response = &events[2]["response"];
    assert_eq!(response["incomplete_details"]["reason"], "interrupted");
    assert_eq!(response["output"].as_array().unwrap().len(), 1);
    assert!(response["usage"]["total_tokens"].is_u64());
    let next =
        json!({ "stream_id": "x", "store": false, "previous_response_id": id, "input": "next" });
    client.create(next).await;
    assert_eq!(text_of(client.turn().await.last().unwrap()), "question|first|next");
    let log = server.log();
    assert_eq!(
        (log.interrupts.len(), &log.interrupts[0].response_id),
        (1, &id.as_str().unwrap().to_owned())
    );
    assert_eq!(
        (log.interrupts[0].connection, &log.interrupts[0].body["type"]),
        (0, &json!("response.interrupt"))
    );
}

#[tokio::test]
async fn an_interrupted_response_may_finish_its_item_first() {
    let turn = two().interrupting(Interrupting::AfterItem);
    let (_server, mut client, id) = held(turn, 4).await;
    interrupt(&mut client, &id).await;
    let events = client.turn().await;
    assert_eq!(kind(&events[0]), "response.interrupt.accepted");
    let [.., done, end] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(kind(done), "response.output_item.done");
    assert_eq!(end["response"]["incomplete_details"]["reason"], "interrupted");
    assert_eq!(text_of(end), "first");
}

#[tokio::test]
async fn an_interrupt_finds_no_item_or_only_the_end_or_comes_too_late() {
    let (_server, mut client, id) = held(two(), 2).await;
    interrupt(&mut client, &id).await;
    let events = client.turn().await;
    assert_eq!(kinds(&events), ["response.interrupt.accepted", "response.incomplete"]);
    assert_eq!(events[1]["response"]["output"], json!([]));
    // Only the end is left.
    let (_server, mut client, id) = held(Turn::text("done"), FIRST - 1).await;
    interrupt(&mut client, &id).await;
    let events = client.until("response.incomplete").await;
    assert_eq!(kind(&events[0]), "response.interrupt.accepted");
    assert_eq!(text_of(events.last().unwrap()), "done");
    // Nothing is left, or nothing ever was.
    for target in [id, json!("resp_unknown")] {
        interrupt(&mut client, &target).await;
        let refused = client.event().await;
        assert_eq!((kind(&refused).as_str(), &refused["status"]), ("error", &json!(400)));
        assert_eq!(refused["error"]["code"], "response_not_found");
        assert!(refused.get("stream_id").is_none());
    }
}

#[tokio::test]
async fn an_interrupted_response_keeps_the_form_of_its_turn() {
    let turn = two().empty_terminal_output(NoOutput::Null).without_stream_id();
    let (_server, mut client, id) = held(turn, FIRST + 2).await;
    interrupt(&mut client, &id).await;
    let end = client.turn().await.pop().unwrap();
    assert_eq!(end["response"]["incomplete_details"]["reason"], "interrupted");
    assert!(end.get("stream_id").is_none());
    // The server's own history has only what was finished.
    client.create(json!({ "stream_id": "x", "previous_response_id": id, "input": "next" })).await;
    assert_eq!(text_of(client.turn().await.last().unwrap()), "question|first|next");
}

#[tokio::test]
async fn an_interrupt_fails_or_is_ignored() {
    for (interrupting, first) in [
        (Interrupting::Refuse, "response.interrupt.failed"),
        (Interrupting::Ignore, "response.content_part.added"),
    ] {
        let (server, mut client, id) = held(Turn::text("done").interrupting(interrupting), 3).await;
        interrupt(&mut client, &id).await;
        let events = client.turn().await;
        assert_eq!(kind(&events[0]), first);
        assert_eq!(text_of(events.last().unwrap()), "done");
        assert_eq!(server.log().interrupts.len(), 1);
    }
}

#[tokio::test]
async fn the_steers_of_an_interrupted_response_fail() {
    let (_server, mut client, id) = held(two(), 4).await;
    let steer = json!({ "type": "response.steer", "previous_response_id": id, "input": "more" });
    client.send(steer).await;
    assert_eq!(kind(&client.event().await), "response.steer.accepted");
    interrupt(&mut client, &id).await;
    let end = client.turn().await.pop().unwrap();
    assert_eq!(end["response"]["incomplete_details"]["reason"], "interrupted");
    assert_eq!(client.event().await["error"]["code"], "response_not_active");
}

#[tokio::test]
async fn what_is_no_interrupt_is_refused_and_disturbs_no_response() {
    let (_server, mut client, id) = held(Turn::text("done").steering(Steering::Ignore), 2).await;
    client.send(json!({ "type": "response.interrupt", "response_id": id, "mode": "?" })).await;
    let refused = client.event().await;
    assert_eq!(refused["error"]["param"], "mode");
    interrupt(&mut client, &id).await;
    assert_eq!(kind(client.turn().await.last().unwrap()), "response.incomplete");
}

#[tokio::test]
async fn only_the_chatgpt_backend_knows_interrupts() {
    for (profile, code) in [
        (Profile::OpenAi, json!("unknown_event_type")),
        (Profile::Azure, json!("unknown_event_type")),
        (Profile::ChatGpt, json!("response_not_found")),
    ] {
        let server = ScriptedServer::start(Script::new().profile(profile)).await.unwrap();
        let mut client = Client::connect(&server).await;
        interrupt(&mut client, &json!("resp_1")).await;
        assert_eq!(client.event().await["error"]["code"], code, "{profile:?}");
    }
}
