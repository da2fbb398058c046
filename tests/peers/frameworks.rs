//! SDKs of others work against the scripted server, strict as it can be.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    peer::{Folder, installed, program, run, wanted},
    serve::{Seen, Serve},
};

/// What an SDK made of a plain turn, a streamed turn and a turn with a tool.
#[derive(Debug, Deserialize, PartialEq)]
struct Said {
    plain: String,
    streamed: String,
    tool: String,
    /// The cities for which the tool was called.
    called: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Language {
    Python,
    Node,
    Rust,
}

use Language::{Node, Python, Rust};

#[tokio::test]
async fn openai_python_asks_without_streaming_too() {
    works(Python, "openai").await;
}

#[tokio::test]
async fn openai_node_asks_without_streaming_too() {
    works(Node, "openai").await;
}

#[tokio::test]
async fn the_agents_sdks_run_their_tools() {
    works(Python, "agents").await;
    works(Node, "agents").await;
}

#[tokio::test]
async fn langchain_runs_its_tools() {
    works(Python, "langchain").await;
    works(Node, "langchain").await;
}

#[tokio::test]
async fn pydantic_ai_runs_its_tools() {
    works(Python, "pydantic-ai").await;
}

#[tokio::test]
async fn the_ai_sdk_runs_its_tools() {
    works(Node, "ai").await;
}

#[tokio::test]
async fn rig_runs_its_tools() {
    works(Rust, "rig").await;
}

/// Runs the SDK against the agent, and against a script whose items have only what they must have.
async fn works(language: Language, library: &str) {
    if !wanted() {
        return;
    }
    let agent = json!({ "then": "agent", "strict": true });
    let (mut said, seen) = runs(language, library, "agent", &agent).await;
    for (text, calls) in [(&mut said.plain, 0), (&mut said.streamed, 0), (&mut said.tool, 1)] {
        let (answer, digest) = text.split_once(" history_digest:").unwrap();
        assert_eq!((answer, digest.len()), (&*format!("I made {calls} tool calls."), 64));
        *text = answer.to_owned();
    }
    assert_eq!(said.called, ["text"], "{language:?} {library}: {seen:#?}");

    let arguments = json!({ "city": "Oslo" }).to_string();
    let call = json!({ "type": "function_call", "call_id": "call_1", "name": "weather",
        "arguments": arguments });
    let turns = [
        json!({ "text": "One" }),
        json!({ "text": "Two" }),
        json!({ "output": [call] }),
        json!({ "text": "Three" }),
    ];
    let script = json!({ "turns": turns, "strict": true });
    let (said, seen) = runs(language, library, "script", &script).await;
    let [plain, streamed, tool] = ["One", "Two", "Three"].map(str::to_owned);
    let expected = Said { plain, streamed, tool, called: vec!["Oslo".to_owned()] };
    assert_eq!(said, expected, "{language:?} {library}: {seen:#?}");
    let output = seen.requests[3]["body"]["input"].as_array().unwrap().last().unwrap();
    assert_eq!(output["call_id"], "call_1");
    assert!(output["output"].to_string().contains("It rains in Oslo."), "{output}");
}

/// Runs the SDK against this script; every request takes a turn.
async fn runs(language: Language, library: &str, name: &str, script: &Value) -> (Said, Seen) {
    let server = Serve::start(&format!("{language:?}-{library}-{name}"), script).await;
    let home = Folder::new();
    let source = |name| format!("{}/tests/peers/{name}", env!("CARGO_MANIFEST_DIR"));
    let mut command = match language {
        Python => {
            let mut command = program("python3", &home);
            command.env("PYTHONPATH", installed("python"));
            command.args([&source("frameworks.py"), library]);
            command
        }
        Node => {
            let mut command = program("node", &home);
            command.arg(source("frameworks.mjs")).arg(installed("node_modules")).arg(library);
            command
        }
        Rust => program(installed(library), &home),
    };
    let ended = run(command.arg(&server.url)).await;
    let seen = server.end().await;
    let context = format!("{language:?} {library}, {name}: {ended}\n{seen:#?}");
    assert!(ended.status.success(), "{context}");
    let asked: Vec<_> = seen.requests.iter().map(|seen| &seen["body"]["stream"]).collect();
    assert_eq!(asked.iter().filter(|stream| **stream == true).count(), 1, "{context}");
    assert!(asked.len() == 4 && *asked[1] == true, "{context}");
    assert!(seen.requests.iter().all(|seen| seen["turn"].is_u64()), "{context}");
    assert!(seen.others.is_empty(), "{context}");
    (serde_json::from_str(&ended.stdout).expect(&context), seen)
}
