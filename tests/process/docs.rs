//! Commands in the README and in `docs`, with a server in place of OpenAI's.

use std::{path::Path, process::Stdio, time::Duration};

use responses_client::testing::{Script, ScriptedServer, Turn};
use serde_json::{Value, json};
use tokio::{process::Command, time::timeout};

use crate::support::{
    server,
    tool::{Temporary, value},
};

const README: &str = include_str!("../../README.md");
const TOOL: &str = include_str!("../../docs/tool.md");
const LATENCY: &str = include_str!("../../docs/latency.md");

/// The blocks of commands in a page.
fn blocks(page: &str) -> impl Iterator<Item = &str> {
    page.split("```sh\n").skip(1).map(|it| it.split_once("```").unwrap().0)
}

/// Runs a script in an empty folder with these files, up to the first command that fails. Returns
/// its output.
async fn output(script: &str, folder: &Path, files: &[(&str, &str)], url: &str) -> String {
    std::fs::create_dir_all(folder).unwrap();
    for (name, text) in files {
        std::fs::write(folder.join(name), text).unwrap();
    }
    let tool = Path::new(env!("CARGO_BIN_EXE_responses")).parent().unwrap();
    let mut shell = Command::new("/bin/sh");
    shell.args(["-e", "-c", script]).current_dir(folder).env_clear().stdin(Stdio::null());
    shell.env("PATH", tool).env("OPENAI_BASE_URL", url).env("OPENAI_API_KEY", "key");
    let ended = timeout(Duration::from_secs(300), shell.output()).await.expect("no hang").unwrap();
    assert!(ended.status.success(), "{script}: {}", String::from_utf8_lossy(&ended.stderr));
    String::from_utf8(ended.stdout).unwrap()
}

/// A server that answers each request.
async fn answering() -> ScriptedServer {
    server(Script::new().respond(|_| Turn::text("hi")).strict()).await
}

/// Returns a command line of `bench` with fewer turns. `.ci/latency` runs those in
/// `docs/latency.md` in full.
fn small(line: &str) -> String {
    let line = line.split(" #").next().unwrap().trim_end();
    if line.contains("--compare") || line.contains("--live") {
        return format!("{line}\n");
    }
    let (command, output) = line.split_once(" >").unwrap_or((line, "/dev/stdout"));
    format!("{command} --turns 2 --rounds 2 --tokens 3 >{output}\n")
}

#[tokio::test]
async fn the_commands_of_the_tool_work() {
    // Those of `bench` have a test of their own.
    let script: String = blocks(TOOL).filter(|it| !it.contains("responses bench")).collect();
    assert!(script.matches("responses ").count() >= 6, "{script}");
    let folder = Temporary::new("docs");
    let turns = ["hello", "hi", "ho"].map(Turn::text);
    let script_of_server = Script::new().turns(turns).respond(|_| Turn::text("hey"));
    let server = server(script_of_server).await;
    let output = output(&script, &folder.0, &[], &server.url()).await;
    let (served, answer): (Vec<Value>, Vec<Value>) =
        output.lines().map(value).partition(|line| line.get("url").is_some());
    assert_eq!((served.len(), &served[0]["ca"]), (2, &Value::Null));
    assert_eq!(answer.last().unwrap()["output_text"], "hello");
    let events = std::fs::read_to_string(folder.0.join("events.jsonl")).unwrap();
    let last = value(events.lines().last().unwrap());
    assert_eq!((&last["turn"], &last["plan"]), (&json!(2), &json!("incremental")));
    let lines = std::fs::read_to_string(folder.0.join("lines.jsonl")).unwrap();
    let sessions: Vec<_> = lines.lines().map(|line| value(line)["session"].clone()).collect();
    assert!(sessions.len() == 2 && sessions.contains(&json!("first.jsonl")), "{lines}");
    // The page shows the members that the outcome of a turn has.
    let shown = TOOL.lines().find(|line| line.contains("\"outcome\"")).map(value).unwrap();
    let names = |line: &Value| line.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&shown), names(&last));
    assert_eq!(names(&shown["timings_ms"]), names(&last["timings_ms"]));
    std::fs::remove_dir_all(&folder.0).unwrap();
}

#[tokio::test]
async fn the_commands_of_bench_measure() {
    for (page, commands, charts) in [
        (TOOL, 7, &["turn-times", "bytes-sent-by-turn"][..]),
        (LATENCY, 6, &["turn-times", "turn-time-by-turn", "first-event-by-setting"]),
    ] {
        let examples = blocks(page).filter(|it| it.contains("responses bench"));
        let script: String = examples.flat_map(str::lines).map(small).collect();
        assert_eq!(script.lines().count(), commands, "{script}");
        let folder = Temporary::new("docs-bench");
        let server = answering().await;
        let output = output(&script, &folder.0, &[], &server.url()).await;
        // The other commands write into files, or compare these.
        let tables = script.lines().filter(|line| !line.contains(".json")).count();
        assert_eq!(output.matches("* best of the row").count(), tables, "{output}");
        assert_eq!(output.contains("The settings differ:"), page == TOOL);
        for chart in charts {
            assert!(folder.0.join(format!("charts/{chart}.svg")).exists(), "{chart}");
        }
        assert_eq!(server.log().requests.len(), 60);
        std::fs::remove_dir_all(&folder.0).unwrap();
    }
}

#[tokio::test]
async fn the_commands_of_the_readme_work() {
    let block = blocks(README).find(|it| it.contains("responses doctor")).unwrap();
    // `.ci/run` builds the tool with the features of the first line.
    let (install, rest) = block.split_once('\n').unwrap();
    assert_eq!(install, "cargo install --path . --features cli");
    let line = |line: &str| match line {
        bench if bench.contains("bench") => small(bench),
        // Another program may use this port.
        serve => format!("{}\n", serve.replace("--port 8080", "--port 0")),
    };
    let script: String = rest.lines().map(line).collect();
    assert_eq!(script.matches("responses ").count(), 5, "{script}");
    let turns = r#"{"model":"m","input":"Say hi"}"#;
    let files = [("turns.jsonl", format!("{turns}\n{turns}\n"))];
    let files = files.each_ref().map(|(name, text)| (*name, text.as_str()));
    let folder = Temporary::new("readme");
    let server = answering().await;
    let output = output(&script, &folder.0, &files, &server.url()).await;
    for part in [
        r#""turn":2,"outcome":"completed""#,
        r#"{"url":"http://127.0.0.1:"#,
        "Whole conversation",
        "result: turns work over websocket, no flags are needed",
    ] {
        assert!(output.contains(part), "{part}: {output}");
    }
    std::fs::remove_dir_all(&folder.0).unwrap();
}
