//! The Codex CLI works against the scripted server.

use responses_client::Transport;
use serde_json::{Value, json};

use crate::{
    peer::{Folder, installed, isolated, program, run, wanted},
    serve::Serve,
    support::BOTH,
};

#[tokio::test]
async fn codex_runs_a_tool_over_both_transports() {
    if !wanted() || !isolated("codex::codex_runs_a_tool_over_both_transports").await {
        return;
    }
    for transport in BOTH {
        let call = json!({
            "type": "function_call",
            "status": "completed",
            "call_id": "call_1",
            "name": "exec_command",
            "arguments": json!({ "cmd": "echo oracle-$((40+2))", "login": false }).to_string(),
        });
        let script = json!({ "turns": [{ "output": [call] }, { "text": "It said oracle-42." }] });
        let server = Serve::start(&format!("codex-{}", transport.as_str()), &script).await;
        let home = Folder::new();
        home.write("config.toml", &config(&server.url, transport));
        let mut codex = program(installed("node_modules/.bin/codex"), &home);
        codex
            .env("CODEX_HOME", home.path())
            .args(["exec", "--skip-git-repo-check", "--json"])
            .args(["--dangerously-bypass-approvals-and-sandbox", "Run the command."]);
        let ended = run(&mut codex).await;
        let seen = server.end().await;
        let context = format!("{transport:?}: {ended}\n{seen:#?}");
        assert!(ended.status.success(), "{context}");

        let lines: Vec<Value> =
            ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let completed = |line: &&Value| line["type"] == "turn.completed";
        assert_eq!(lines.iter().filter(completed).count(), 1, "{context}");
        let said = |line: &Value| line["item"]["text"] == "It said oracle-42.";
        assert!(lines.iter().any(said), "{context}");

        let turns: Vec<_> = seen.requests.iter().filter(|seen| seen["turn"].is_u64()).collect();
        let [first, second] = turns[..] else { panic!("{context}") };
        let (before, after) = (input(first), input(second));
        let output = after.last().unwrap();
        assert_eq!(output["type"], "function_call_output", "{context}");
        assert!(output["output"].as_str().unwrap().contains("oracle-42"), "{context}");
        match transport {
            Transport::WebSocket => {
                assert_eq!((seen.connections.len(), seen.websockets()), (1, 1), "{context}");
                // One before the turns warms up.
                let [warm_up, ..] = &seen.requests[..] else { panic!("{context}") };
                assert_eq!(warm_up["body"]["generate"], false, "{context}");
                assert_eq!(seen.requests.len(), 3, "{context}");
                assert!(first["previous_response_id"].is_string(), "{context}");
                assert!(second["previous_response_id"].is_string(), "{context}");
                assert_eq!(after.len(), 1, "{context}");
            }
            _ => {
                assert_eq!((seen.requests.len(), seen.websockets()), (2, 0), "{context}");
                assert_eq!(second["previous_response_id"], Value::Null, "{context}");
                // Everything before, the call, and its output.
                assert_eq!(after.len(), before.len() + 2, "{context}");
                assert_eq!(after[..before.len()], *before, "{context}");
                assert_eq!(after[before.len()]["type"], "function_call", "{context}");
            }
        }
    }
}

/// Model of the turns of Codex.
pub(crate) const MODEL: &str = "gpt-test";
/// Id of the provider in the settings of Codex.
pub(crate) const PROVIDER: &str = "oracle";

/// Returns the settings of Codex for a server.
pub(crate) fn config(url: &str, transport: Transport) -> String {
    config_with_key(url, transport, None)
}

/// Returns the settings of Codex for a server that needs a key.
pub(crate) fn config_with_key(url: &str, transport: Transport, key: Option<&str>) -> String {
    let key = key.map(|key| format!("experimental_bearer_token = \"{key}\""));
    format!(
        r#"
        model = "{MODEL}"
        model_provider = "{PROVIDER}"
        [model_providers.{PROVIDER}]
        name = "{PROVIDER}"
        base_url = "{url}"
        wire_api = "responses"
        supports_websockets = {}
        {}
        [analytics]
        enabled = false
        [features]
        plugins = false
        apps = false
        "#,
        transport == Transport::WebSocket,
        key.unwrap_or_default()
    )
}

fn input(request: &Value) -> &[Value] {
    request["body"]["input"].as_array().unwrap()
}
