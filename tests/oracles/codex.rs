//! The Codex CLI works against the scripted server.

use responses_client::{
    Transport,
    testing::{RequestLog, Script, Turn},
};
use serde_json::{Value, json};

use crate::{
    peer::{Folder, installed, isolated, program, run, wanted},
    support::{BOTH, server},
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
        let turns = [Turn::output([call]), Turn::text("It said oracle-42.")];
        let server = server(Script::new().turns(turns)).await;
        let home = Folder::new();
        home.write("config.toml", &config(&server.url(), transport));
        let mut codex = program(installed("node_modules/.bin/codex"), &home);
        codex
            .env("CODEX_HOME", home.path())
            .env("ORACLE_KEY", "sk-test")
            .args(["exec", "--skip-git-repo-check", "--json"])
            .args(["--dangerously-bypass-approvals-and-sandbox", "Run the command."]);
        let ended = run(&mut codex).await;
        let log = server.log();
        let context = format!("{transport:?}: {ended}\n{log:#?}");
        assert!(ended.status.success(), "{context}");

        let lines: Vec<Value> =
            ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let completed = |line: &&Value| line["type"] == "turn.completed";
        assert_eq!(lines.iter().filter(completed).count(), 1, "{context}");
        let said = |line: &Value| line["item"]["text"] == "It said oracle-42.";
        assert!(lines.iter().any(said), "{context}");

        let turns: Vec<_> = log.requests.iter().filter(|seen| seen.turn.is_some()).collect();
        let [first, second] = turns[..] else { panic!("{context}") };
        let [.., output] = input(second) else { panic!("{context}") };
        assert_eq!(output["type"], "function_call_output", "{context}");
        assert!(output["output"].as_str().unwrap().contains("oracle-42"), "{context}");
        match transport {
            Transport::WebSocket => {
                assert_eq!(log.connections.len(), 1, "{context}");
                // A request that warms up, and the turns.
                assert_eq!(log.creates().count(), 3, "{context}");
                assert!(first.previous_response_id.is_some(), "{context}");
                assert!(second.previous_response_id.is_some(), "{context}");
                assert_eq!(second.input_items, 1, "{context}");
            }
            Transport::Sse => {
                assert_eq!(log.posts().count(), 2, "{context}");
                assert_eq!(second.previous_response_id, None, "{context}");
                // With the call, and its output.
                assert_eq!(second.input_items, first.input_items + 2, "{context}");
                assert_eq!(input(second)[..first.input_items], *input(first), "{context}");
            }
        }
    }
}

fn config(url: &str, transport: Transport) -> String {
    format!(
        r#"
        model = "gpt-test"
        model_provider = "oracle"
        [model_providers.oracle]
        name = "oracle"
        base_url = "{url}"
        env_key = "ORACLE_KEY"
        wire_api = "responses"
        supports_websockets = {}
        [analytics]
        enabled = false
        [features]
        plugins = false
        apps = false
        "#,
        transport == Transport::WebSocket
    )
}

fn input(request: &RequestLog) -> &[Value] {
    request.body["input"].as_array().unwrap()
}
