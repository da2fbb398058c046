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
