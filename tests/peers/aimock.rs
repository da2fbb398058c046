//! The tool against aimock: a server without state, whose events have no numbers and whose
//! responses have few members.

use responses_client::Transport;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::{
    peer::{Folder, Group, installed, piped, program, wanted},
    support::{
        BOTH,
        tool::{self, Ran, ran},
    },
};

#[tokio::test]
async fn the_tool_runs_turns_against_aimock() {
    if !wanted() {
        return;
    }
    let home = Folder::new();
    let (_aimock, url) = start(&home).await;
    for transport in BOTH {
        let ran = turns(&url, transport).await;
        let context = format!("{transport:?}: {ran:#?}");
        assert_eq!(ran.code, Some(1), "two turns fail: {context}");
        let lines = ran.turns();
        let [hello, call, after, limited, cut, again] = &lines[..] else { panic!("{context}") };
        for (line, text) in [(hello, HELLO), (call, ""), (after, THANKS), (again, HELLO)] {
            assert_eq!(line["outcome"], "completed", "{context}");
            assert_eq!(line["output_text"], text, "{context}");
            assert_eq!(line["transport"], transport.as_str(), "{context}");
            assert_eq!(line["error"], Value::Null, "{context}");
        }
        assert_eq!((&limited["outcome"], &cut["outcome"]), (&json!("error"), &json!("error")));
        let events = ran.events(2);
        let called = |it: &Value| it["event"]["item"]["name"] == "list_files";
        assert!(events.iter().any(called), "{context}");

        let error = &limited["error"];
        assert_eq!(error["kind"], "api", "{context}");
        assert_eq!(error["delivery"], "refused", "{context}");
        assert_eq!(error["code"], "rate_limit_exceeded", "{context}");
        assert_eq!(limited["attempts"].as_array().unwrap().len(), 4, "{context}");

        let error = &cut["error"];
        assert_eq!(error["kind"], "truncated", "{context}");
        assert_eq!(error["delivery"], "output_started", "{context}");
        assert_eq!(cut["attempts"].as_array().unwrap().len(), 1, "{context}");
        let partial = cut["output_text"].as_str().unwrap();
        assert!(!partial.is_empty() && CUT.starts_with(partial) && partial != CUT, "{context}");

        match transport {
            Transport::WebSocket => {
                // The call is continued on its socket, with what is new alone.
                for (line, new_items) in [(call, 1), (after, 2)] {
                    assert_eq!(line["plan"], "incremental", "{context}");
                    assert_eq!(line["new_items"], new_items, "{context}");
                    assert_eq!(line["reused"], true, "{context}");
                }
                // Its error frames have no status.
                assert_eq!(limited["error"]["status"], Value::Null, "{context}");
                assert_eq!(again["reused"], false, "{context}");
            }
            _ => {
                assert_eq!(limited["error"]["status"], 429, "{context}");
                // As its `Retry-After` asks, which was heeded three times.
                assert_eq!(limited["error"]["retry_after_ms"], 1000, "{context}");
                assert!(limited["timings_ms"]["queued"].as_f64().unwrap() >= 3000.0, "{context}");
            }
        }
    }
}

/// A running aimock, and its base URL.
async fn start(home: &Folder) -> (Group, String) {
    let fixtures = json!({ "fixtures": [
        { "match": { "userMessage": "Say hello." }, "response": { "content": HELLO } },
        {
            "match": { "userMessage": "List the files." },
            "response": { "toolCalls": [{ "name": "list_files", "arguments": "{}" }] },
        },
        { "match": { "userMessage": "Say thanks." }, "response": { "content": THANKS } },
        {
            "match": { "userMessage": "Be busy." },
            "response": {
                "error": {
                    "message": "Too many requests",
                    "type": "rate_limit_error",
                    "code": "rate_limit_exceeded",
                },
                "status": 429,
            },
        },
        {
            "match": { "userMessage": "Break off." },
            "response": { "content": CUT },
            "truncateAfterChunks": 6,
            // Without one it breaks off before the head of its answer.
            "latency": 5,
        },
    ] });
    let fixtures = home.write("fixtures.json", &fixtures.to_string());
    let mut command = program(installed("node_modules/.bin/llmock"), home);
    let mut aimock = Group::spawn(piped(command.args(["--port", "0", "--fixtures"]).arg(fixtures)));
    let mut lines = BufReader::new(aimock.process.stdout.take().unwrap()).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        if let Some((_, url)) = line.split_once("listening on ") {
            // What it says from now on is of no interest, but must have somewhere to go.
            let url = format!("{url}/v1");
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return (aimock, url);
        }
    }
    panic!("aimock does not start");
}

/// Runs the turns with `responses run`.
async fn turns(url: &str, transport: Transport) -> Ran {
    let request = |text: &str| json!({ "model": "m", "store": false, "input": [user(text)] });
    // aimock gives calls other ids each time, and asks for none.
    let output = json!({ "type": "function_call_output", "call_id": "call_1", "output": "a.rs" });
    let input = [
        request("Say hello."),
        json!({ "$append": [user("List the files.")] }),
        json!({ "$append": [output, user("Say thanks.")] }),
        request("Be busy."),
        request("Break off."),
        request("Say hello."),
    ];
    let tool = tool::run(url, &["--transport", transport.as_str()]);
    ran(tool, &input.map(|line| line.to_string())).await
}

fn user(text: &str) -> Value {
    json!({ "type": "message", "role": "user", "content": text })
}

const HELLO: &str = "Hello from a server by others, in more than one chunk.";
const THANKS: &str = "Thank you for the files.";
const CUT: &str = "This answer is long enough to be cut in the middle of it.";
