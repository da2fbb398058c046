//! Input for responses that run, of the multi-agent beta.

use serde_json::{Value, json};

use super::{Client, kind, kinds, text_of};
use crate::testing::{Exchange, Injecting, Profile, Script, ScriptedServer, Step, Turn, items};

const BETA: &str = "responses_multi_agent=v1";

async fn inject(client: &mut Client, target: &Value, input: Value) {
    client.send(json!({ "type": "response.inject", "response_id": target, "input": input })).await;
}

fn output() -> Value {
    json!([items::function_call_output("call_1", "7")])
}

/// A turn that calls a function, waits for the output, and answers.
fn waiting() -> Turn {
    let items = [items::function_call("call_1", "f", "{}"), items::message("It is 7.")];
    Turn::output(items).insert(6, Step::AwaitInject)
}

/// The types of the items in the history, as an answer.
fn types_of_history(exchange: &Exchange) -> Turn {
    let types = exchange.history.iter().map(|item| item["type"].as_str().unwrap_or("-"));
    Turn::text(types.collect::<Vec<_>>().join(" "))
}

/// A client whose response has called a function, and the id of the response.
async fn called(turn: Turn) -> (ScriptedServer, Client, Value) {
    let script = Script::new().turn(turn).respond(types_of_history).strict();
    let server = ScriptedServer::start(script).await.unwrap();
    let mut client = Client::with_beta(&server, "other=v2, responses_multi_agent=v1").await;
    client.create(json!({ "stream_id": "x", "store": false, "input": "question" })).await;
    let events = client.until("response.output_item.done").await;
    (server, client, events[0]["response"]["id"].clone())
}

#[tokio::test]
async fn a_response_continues_with_the_output_that_it_waits_for() {
    let (server, mut client, id) = called(waiting()).await;
    inject(&mut client, &id, output()).await;
    let events = client.turn().await;
    assert_eq!(kind(&events[0]), "response.inject.created");
    assert_eq!((&events[0]["response_id"], &events[0]["stream_id"]), (&id, &json!("x")));
    let numbers: Vec<_> = events.iter().map(|it| it["sequence_number"].as_u64().unwrap()).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
    assert_eq!(kind(events.last().unwrap()), "response.completed");
    // The output stands between the items, where it came.
    let next =
        json!({ "stream_id": "x", "store": false, "previous_response_id": id, "input": "next" });
    client.create(next).await;
    let text = client.turn().await;
    let types = "message function_call function_call_output message message";
    assert_eq!(text_of(text.last().unwrap()), types);
    let log = server.log();
    assert_eq!((log.injects.len(), log.injects[0].response_id.as_str()), (1, id.as_str().unwrap()));
    assert_eq!(log.injects[0].body["input"], output());
}

#[tokio::test]
async fn input_fails_or_is_ignored() {
    let refuse = Injecting::Refuse("response_already_completed".to_owned());
    for (injecting, first) in
        [(refuse, "response.inject.failed"), (Injecting::Ignore, "response.output_item.added")]
    {
        let (server, mut client, id) = called(waiting().injecting(injecting)).await;
        inject(&mut client, &id, output()).await;
        let events = client.turn().await;
        assert_eq!(kind(&events[0]), first);
        if first == "response.inject.failed" {
            assert_eq!(events[0]["error"]["code"], "response_already_completed");
            assert_eq!((&events[0]["input"], &events[0]["stream_id"]), (&output(), &json!("x")));
        }
        assert_eq!(kind(events.last().unwrap()), "response.completed");
        assert_eq!(server.log().injects.len(), 1);
    }
}

#[tokio::test]
async fn input_for_a_response_that_does_not_run_is_given_back() {
    let (_server, mut client, id) = called(waiting()).await;
    inject(&mut client, &id, output()).await;
    let end = client.turn().await.pop().unwrap();
    for (target, code, lane) in [
        (&id, "response_already_completed", Some(&json!("x"))),
        (&json!("resp_unknown"), "response_not_found", None),
    ] {
        inject(&mut client, target, output()).await;
        let failed = client.event().await;
        assert_eq!(kind(&failed), "response.inject.failed");
        assert_eq!((&failed["error"]["code"], &failed["response_id"]), (&json!(code), target));
        assert_eq!((&failed["input"], failed.get("stream_id")), (&output(), lane));
        if lane.is_some() {
            let number = |event: &Value| event["sequence_number"].as_u64().unwrap();
            assert_eq!(number(&failed), number(&end) + 1);
        }
    }
}

#[tokio::test]
async fn the_answer_to_input_is_lost() {
    let call = items::function_call("call_1", "f", "{}");
    let turn = Turn::output([call]).cut_after(6, Step::AwaitInject).then(Step::Reset);
    let (server, mut client, id) = called(turn.injecting(Injecting::Ignore)).await;
    inject(&mut client, &id, output()).await;
    assert!(client.end().await.is_none());
    assert_eq!(server.log().injects.len(), 1);
}

#[tokio::test]
async fn all_items_of_an_inject_are_outputs_or_none_is_taken() {
    let (_server, mut client, id) = called(waiting()).await;
    let mixed =
        json!([items::function_call_output("call_1", "7"), { "role": "user", "content": "x" }]);
    inject(&mut client, &id, mixed).await;
    let refused = client.event().await;
    assert_eq!((&refused["error"]["param"], &refused["status"]), (&json!("input"), &json!(400)));
    assert!(refused.get("stream_id").is_none());
    inject(&mut client, &id, output()).await;
    let events = client.turn().await;
    assert_eq!(kind(&events[0]), "response.inject.created");
    assert!(!kinds(&events[1..]).contains(&"response.inject.created".to_owned()));
}

#[tokio::test]
async fn only_a_connection_with_the_beta_knows_injects() {
    let openai = || Script::new().profile(Profile::OpenAi);
    for (script, beta, code) in [
        (openai(), BETA, None),
        (Script::new().profile(Profile::Azure), BETA, None),
        (openai(), "responses_multi_agent=v2", Some("unknown_event_type")),
        (Script::new().profile(Profile::Xai), BETA, Some("unknown_event_type")),
    ] {
        let server = ScriptedServer::start(script).await.unwrap();
        let mut client = Client::with_beta(&server, beta).await;
        inject(&mut client, &json!("resp_1"), output()).await;
        let answer = client.event().await;
        assert_eq!(kind(&answer) == "response.inject.failed", code.is_none(), "{answer}");
        assert_eq!(answer["error"]["code"], code.unwrap_or("response_not_found"));
    }
    let server = ScriptedServer::start(openai()).await.unwrap();
    let mut client = Client::connect(&server).await;
    inject(&mut client, &json!("resp_1"), output()).await;
    assert_eq!(client.event().await["error"]["code"], "unknown_event_type");
}
