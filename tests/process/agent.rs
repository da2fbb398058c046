//! The agent of `examples/agent_loop` as a process against `responses serve`, which replays what
//! real servers sent: each call runs once, and the next request has each item once.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::OnceLock,
};

use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::{
    guarded,
    tool::{Temporary, Tool, command, value},
};

/// Transports of the agent's three runs. The last one may fall back, and does not have to.
const MODES: [&str; 3] = ["websocket", "sse", "websocket"];

/// Returns the path of the agent.
fn agent() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| example("agent_loop"))
}

/// Returns the path of an example. It is built here, as `cargo test --test process` builds no
/// examples.
pub(crate) fn example(name: &str) -> PathBuf {
    let mut cargo = std::process::Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--example", name, "--manifest-path"]);
    cargo.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
    assert!(cargo.status().unwrap().success());
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    target.join("debug/examples").join(name)
}

/// Runs the agent against the events of `report`, which `turns_after` turns follow. Returns its
/// output and the requests of each of its modes.
async fn run(report: &str, turns_after: usize) -> (String, Vec<Vec<Value>>) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/reports").join(report);
    let events = std::fs::read_to_string(file.with_extension("jsonl")).unwrap();
    let events: Vec<&str> = events.lines().collect();
    let mut turns = vec![json!({ "lines": events })];
    turns.resize(1 + turns_after, json!({ "text": "Done." }));
    let turns: Vec<&Value> = MODES.iter().flat_map(|_| &turns).collect();
    let script = Temporary::new(format!("{report}.json"));
    std::fs::write(&script.0, json!({ "turns": turns }).to_string()).unwrap();

    let log = Temporary::new(format!("{report}.log"));
    let mut server =
        Tool::start(command(&["serve", "--script", script.path(), "--log", log.path()]));
    let ready = value(&server.line().await.expect("a server"));
    let mut agent = Command::new(agent());
    agent.arg("--live").env_clear();
    agent.env("OPENAI_BASE_URL", ready["url"].as_str().unwrap()).env("OPENAI_API_KEY", "x");
    agent.stdin(Stdio::null()).kill_on_drop(true);
    let ran = guarded(agent.output()).await.unwrap();
    let said = String::from_utf8(ran.stdout).unwrap();
    let server = server.end().await;
    assert_eq!(server.code, Some(0), "{}", server.stderr);
    assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));

    let requests: Vec<Value> =
        log.lines().into_iter().filter(|line| line["kind"] == "request").collect();
    let modes: Vec<Vec<Value>> = requests.chunks(1 + turns_after).map(<[Value]>::to_vec).collect();
    assert_eq!(modes.len(), MODES.len(), "{requests:#?}");
    for (requests, transport) in modes.iter().zip(MODES) {
        assert!(requests.iter().all(|request| request["transport"] == transport));
    }
    (said, modes)
}

/// Returns the items of a request without the user's message.
fn items(request: &Value) -> Vec<&Value> {
    let items = request["body"]["input"].as_array().unwrap();
    items.iter().filter(|item| item["role"] != "user").collect()
}

/// Returns `member` of each item of this type.
fn members<'a>(items: &[&'a Value], item_type: &str, member: &str) -> Vec<&'a str> {
    let of_type = items.iter().filter(|item| item["type"] == item_type);
    of_type.map(|item| item[member].as_str().unwrap_or("[no text]")).collect()
}

/// Checks the request that follows `report`. `output` has the types of the response's items in
/// order; `calls` has the id and the arguments of each call in it.
async fn assert_each_call_runs_once(report: &str, output: &[&str], calls: &[(&str, &str)]) {
    let (said, modes) = run(report, 1).await;
    assert_eq!(said.matches("\nDone.\n").count(), MODES.len(), "{said}");
    let (ids, arguments): (Vec<&str>, Vec<&str>) = calls.iter().copied().unzip();
    for requests in &modes {
        let [_, next] = &requests[..] else { panic!("{requests:#?}") };
        let items = items(next);
        assert_eq!(members(&items, "function_call_output", "call_id"), ids, "{items:#?}");
        for result in members(&items, "function_call_output", "output") {
            assert_eq!(result, "error: there is no tool lookup");
        }
        if next["previous_response_id"].is_string() {
            assert_eq!(next["previous_response_id"], "resp_1");
            assert_eq!(items.len(), calls.len(), "the server has its own output: {items:#?}");
            continue;
        }
        let types: Vec<&str> = items.iter().map(|item| item["type"].as_str().unwrap()).collect();
        let results = calls.iter().map(|_| "function_call_output");
        assert_eq!(types, output.iter().copied().chain(results).collect::<Vec<_>>());
        assert_eq!(members(&items, "function_call", "call_id"), ids);
        assert_eq!(members(&items, "function_call", "arguments"), arguments);
        assert!(members(&items, "reasoning", "encrypted_content").iter().all(|it| *it == "ENC"));
    }
    let is_incremental = |requests: &[Value]| requests[1]["previous_response_id"].is_string();
    assert_eq!(modes.iter().map(|it| is_incremental(it)).collect::<Vec<_>>(), [true, false, true]);
}

async fn assert_answer(report: &str, answer: &str) {
    let (said, _) = run(report, 0).await;
    assert_eq!(said.matches(&format!("\n{answer}\n")).count(), MODES.len(), "{said}");
}

const X: (&str, &str) = ("call_1", r#"{"q":"x"}"#);
const Y: (&str, &str) = ("call_2", r#"{"q":"y"}"#);

#[tokio::test]
async fn c121_half_a_surrogate_in_a_piece() {
    assert_answer("half-a-surrogate-in-a-piece", "x").await;
}

#[tokio::test]
async fn c121_half_a_surrogate_in_the_item() {
    assert_answer("half-a-surrogate-in-the-item", "\u{fffd}").await;
}

#[tokio::test]
async fn c121_surrogates_over_two_pieces() {
    assert_answer("surrogates-over-two-pieces", "ok \u{1f600}").await;
}

#[tokio::test]
async fn c122_a_secret_in_the_terminal_alone() {
    let output = ["reasoning", "function_call"];
    assert_each_call_runs_once("reasoning-secret-in-terminal-alone", &output, &[X]).await;
}

#[tokio::test]
async fn c122_an_item_closed_after_its_first_piece() {
    assert_answer("item-closed-behind-its-first-piece", "Here you are.").await;
}

#[tokio::test]
async fn c123_a_call_that_never_finished_and_an_empty_terminal() {
    let report = "call-never-finished-and-terminal-is-empty";
    assert_each_call_runs_once(report, &["function_call"], &[X]).await;
}

#[tokio::test]
async fn c123_text_in_deltas_alone() {
    assert_answer("text-in-deltas-alone-is-in-the-history", "Here you are.").await;
}

#[tokio::test]
async fn c124_finished_items_that_are_empty() {
    assert_answer("finished-items-are-empty", "Here you are.").await;
}

#[tokio::test]
async fn c124_a_part_called_text() {
    assert_answer("part-called-text", "Here you are.").await;
}

#[tokio::test]
async fn c125_two_identities() {
    let output = ["reasoning", "function_call"];
    assert_each_call_runs_once("two-identities", &output, &[X]).await;
}

#[tokio::test]
async fn c125_two_identities_from_index_one() {
    assert_each_call_runs_once("two-identities-from-one", &["function_call"], &[X]).await;
}

#[tokio::test]
async fn c125_indices_from_one() {
    assert_each_call_runs_once("indices-from-one", &["function_call"], &[X]).await;
}

#[tokio::test]
async fn c125_call_ids_that_change_at_the_end() {
    assert_each_call_runs_once("call_ids-change-at-the-end", &["function_call"], &[X]).await;
}

#[tokio::test]
async fn c126_one_index_for_all() {
    let output = ["reasoning", "message", "function_call"];
    assert_each_call_runs_once("one-index-for-all", &output, &[X]).await;
}

#[tokio::test]
async fn c126_one_index_and_empty_ids() {
    let output = ["function_call", "function_call"];
    assert_each_call_runs_once("one-index-empty-ids", &output, &[X, Y]).await;
}

#[tokio::test]
async fn c126_one_index_and_no_ids() {
    let output = ["function_call", "message"];
    assert_each_call_runs_once("one-index-no-ids", &output, &[X]).await;
}

#[tokio::test]
async fn c154_arguments_as_an_object() {
    assert_each_call_runs_once("arguments-as-an-object", &["function_call"], &[X]).await;
}

#[tokio::test]
async fn c155_created_twice() {
    assert_answer("created-twice", "Here you are.").await;
}

/// Returns `members` by name, with the types of their values.
fn types(members: &Value) -> Vec<(&str, &'static str)> {
    let type_of = |value: &Value| match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let members = members.as_object().unwrap().iter();
    let mut types: Vec<_> = members.map(|(name, value)| (&**name, type_of(value))).collect();
    types.sort_unstable();
    types
}

#[tokio::test]
async fn the_json_lines_of_the_agent_keep_their_members() {
    let ran = guarded(Command::new(agent()).arg("--json").kill_on_drop(true).output()).await;
    let said = String::from_utf8(ran.unwrap().stdout).unwrap();
    let mut lines: Vec<Value> = said.lines().map(value).collect();
    let summary = lines.pop().expect("a summary");
    for line in &lines {
        let is_full = line["plan"] == "full";
        let (reason, new_items) = if is_full { ("string", "null") } else { ("null", "number") };
        let expected = [
            ("bytes_received", "number"),
            ("bytes_sent", "number"),
            ("first_event_ms", "number"),
            ("mode", "string"),
            ("new_items", new_items),
            ("plan", "string"),
            ("reason", reason),
            ("reused", "bool"),
            ("same_history", "bool"),
            ("total_ms", "number"),
            ("transport", "string"),
            ("turn", "number"),
        ];
        assert_eq!(types(line), expected, "{line}");
    }
    let of_mode = |mode: &str| lines.iter().filter(|line| line["mode"] == mode).count();
    assert_eq!(types(&summary), [("summary", "object")]);
    let summary = &summary["summary"];
    let modes =
        [("auto", "object"), ("same_output", "bool"), ("sse", "object"), ("websocket", "object")];
    assert_eq!(types(summary), modes);
    for mode in ["auto", "sse", "websocket"] {
        let expected = [
            ("bytes_sent", "number"),
            ("connections", "number"),
            ("full_sends", "number"),
            ("median_first_event_ms", "number"),
            ("median_turn_ms", "number"),
            ("turns", "number"),
        ];
        assert_eq!(types(&summary[mode]), expected, "{mode}");
        assert_eq!(summary[mode]["turns"], of_mode(mode));
    }
    assert!(lines.iter().any(|line| line["plan"] == "incremental"), "{said}");
}
