//! The built-in agent, driven over both transports.

use serde_json::{Value, json};

use super::{Client, events, post};
use crate::testing::{Script, ScriptedServer, history_digest};

#[tokio::test]
async fn full_and_incremental_requests_get_the_same_items() {
    let server = ScriptedServer::start(Script::agent()).await.unwrap();
    let mut client = Client::connect(&server).await;
    let question = json!({ "role": "user", "content": "Find it" });
    let (mut history, mut new) = (vec![question.clone()], vec![question]);
    let mut previous = Value::Null;
    let mut called = Vec::new();
    for turn in 0.. {
        assert!(turn < 20, "the agent does not end");
        let next = json!({ "input": new, "store": false, "previous_response_id": previous, "tools": tools() });
        client.create(next).await;
        let response = client.turn().await.pop().unwrap()["response"].clone();
        let full = json!({ "input": history, "store": false, "tools": tools() });
        let (_, body, _) = post(&server.connector(), full).await;
        let over_sse = events(&body).pop().unwrap();
        assert_eq!(response["output"].to_string(), over_sse["response"]["output"].to_string());

        let digest = history_digest(&history);
        let output = response["output"].as_array().unwrap();
        previous = response["id"].clone();
        history.extend(output.iter().cloned());
        let last = output.last().unwrap();
        if last["type"] == "message" {
            assert_eq!(turn, 19);
            let text = last["content"][0]["text"].as_str().unwrap();
            assert!(text.ends_with(&format!("history_digest:{digest}")), "{text}");
            break;
        }
        let arguments: Value = serde_json::from_str(last["arguments"].as_str().unwrap()).unwrap();
        assert_eq!(arguments["history_digest"], digest);
        assert_eq!(last["call_id"], format!("call_{}", turn + 1));
        let result = run(last["name"].as_str().unwrap(), &arguments);
        called.push(last["name"].as_str().unwrap().to_owned());
        new = vec![json!({
            "type": "function_call_output",
            "call_id": last["call_id"],
            "output": result,
        })];
        history.extend(new.clone());
    }
    assert_eq!(called[..4], ["list_files", "read_file", "search_files", "count_lines"]);
    let log = server.log();
    assert_eq!(log.websockets().count(), 1);
    let longest = log.creates().map(|seen| seen.input_items).max();
    assert_eq!((longest, log.posts().last().unwrap().input_items), (Some(1), 58));
}

/// The items that the agent answers with, over both transports.
async fn answers(body: Value) -> Vec<Value> {
    let server = ScriptedServer::start(Script::agent()).await.unwrap();
    let mut client = Client::connect(&server).await;
    client.create(body.clone()).await;
    let over_websocket = client.turn().await.pop().unwrap()["response"]["output"].clone();
    let (_, body, _) = post(&server.connector(), body).await;
    assert_eq!(over_websocket, events(&body).pop().unwrap()["response"]["output"]);
    over_websocket.as_array().unwrap().clone()
}

#[tokio::test]
async fn any_tool_is_called_once_for_each_message_of_the_user() {
    let parameters = json!({
        "type": "object", "required": ["city"], "properties": {
            "city": { "type": "string" }, "days": { "type": "integer" },
        },
    });
    let weather = json!({ "type": "function", "name": "weather", "parameters": parameters });
    let tools = json!([{ "type": "web_search" }, weather, { "type": "custom", "name": "free" }]);
    let mut input = vec![json!({ "role": "user", "content": "How is it?" })];
    let asked = json!({ "tools": tools, "input": input });
    let output = answers(asked.clone()).await;
    let call = &output[1];
    let facts = [&call["type"], &call["name"], &call["arguments"], &call["call_id"]];
    assert_eq!(facts, ["function_call", "weather", r#"{"city":"text"}"#, "call_1"]);

    input.extend(output.clone());
    input.push(json!({ "type": "function_call_output", "call_id": "call_1", "output": "fine" }));
    let last = answers(json!({ "tools": tools, "input": input })).await.pop().unwrap();
    let text = last["content"][0]["text"].as_str().unwrap();
    assert!(text.starts_with("I made 1 tool calls."), "{text}");

    input.extend([last, json!({ "role": "user", "content": "And now?" })]);
    let again = answers(json!({ "tools": tools, "input": input })).await.pop().unwrap();
    assert_eq!((&again["name"], &again["call_id"]), (&json!("weather"), &json!("call_2")));

    let with_choice = async |choice: Value| {
        let mut asked = asked.clone();
        asked["tool_choice"] = choice;
        answers(asked).await.pop().unwrap()
    };
    assert_eq!(with_choice(json!("none")).await["type"], "message");
    let custom = with_choice(json!({ "type": "custom", "name": "free" })).await;
    assert_eq!((&custom["type"], &custom["input"]), (&json!("custom_tool_call"), &json!("text")));
}

fn run(tool: &str, arguments: &Value) -> String {
    match tool {
        "list_files" => "src/\na.rs\nb.rs".to_owned(),
        "read_file" => {
            assert!(["a.rs", "b.rs"].contains(&arguments["path"].as_str().unwrap()));
            "fn of words".to_owned()
        }
        "search_files" => {
            assert_eq!(arguments["query"], "words");
            "a.rs:1".to_owned()
        }
        "count_lines" => {
            assert!(arguments["path"].is_string());
            "1".to_owned()
        }
        other => panic!("unknown tool {other}"),
    }
}

fn tools() -> Value {
    let names = ["list_files", "read_file", "search_files", "count_lines"];
    names.map(|name| json!({ "type": "function", "name": name, "parameters": {} })).into()
}
