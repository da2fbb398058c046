//! `responses run --sessions`, as a process.

use std::collections::BTreeSet;

use responses_client::testing::{Gate, Script, ScriptedServer, Step, Turn};
use serde_json::{Value, json};

use crate::support::{
    guarded, server,
    tool::{Ran, Temporary, Tool, ran, run, value},
};

const ONE: &str = r#"{"model":"m","store":false,"input":"hi"}"#;
const MORE: &str = r#"{"$append":[{"type":"message","role":"user","content":"more"}]}"#;
const LANES: [&str; 4] = ["--named-lanes", "32", "--active-responses", "16"];

/// Files in a folder of their own, which is removed at the end.
struct Files(Temporary);

impl Files {
    fn new(folder: &str, texts: &[&str]) -> Self {
        let files = Self(Temporary::new(folder));
        std::fs::create_dir_all(&files.0.0).unwrap();
        for (index, text) in texts.iter().enumerate() {
            std::fs::write(files.path(index), text).unwrap();
        }
        files
    }

    fn path(&self, index: usize) -> String {
        format!("{}/{index}.jsonl", self.0.path())
    }

    /// The tool that runs the first `count` files.
    fn tool(
        &self,
        server: &ScriptedServer,
        count: usize,
        args: &[&str],
    ) -> tokio::process::Command {
        let mut tool = run(&server.url(), &LANES);
        tool.args(args).arg("--sessions").args((0..count).map(|index| self.path(index)));
        tool.env("OPENAI_API_KEY", "key");
        tool
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.0.0);
    }
}

/// The lines of the outcomes of one session.
fn turns_of(ran: &Ran, session: &str) -> Vec<Value> {
    ran.turns().into_iter().filter(|turn| turn["session"] == session).collect()
}

#[tokio::test]
async fn c289_sessions_run_at_the_same_time_on_lanes_of_one_websocket() {
    let gate = Gate::new();
    let held = gate.clone();
    let script =
        Script::new().respond(move |_| Turn::text("hi").insert(1, Step::Gate(held.clone())));
    let server = server(script).await;
    let files = Files::new("together", &[format!("{ONE}\n{MORE}\n").as_str(); 3]);
    let tool = Tool::start(files.tool(&server, 3, &["--quiet"]));
    // No answer comes before all three are asked.
    guarded(server.wait_for(|log| log.requests.len() == 3)).await;
    gate.open();
    let ran = tool.end().await;
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    let mut lanes = BTreeSet::new();
    for index in 0..3 {
        let turns = turns_of(&ran, &files.path(index));
        let plans: Vec<_> = turns.iter().map(|turn| turn["plan"].clone()).collect();
        assert_eq!(plans, ["full", "incremental"]);
        assert_eq!(turns[0]["lane"], turns[1]["lane"]);
        assert_eq!((&turns[0]["turn"], &turns[1]["turn"]), (&json!(1), &json!(2)));
        lanes.insert(turns[0]["lane"].as_str().map(str::to_owned));
    }
    assert_eq!(lanes, [None, Some("lane-1".to_owned()), Some("lane-2".to_owned())].into());
    assert_eq!((server.log().connections.len(), ran.lines.len()), (1, 6));
}

#[tokio::test]
async fn c289_a_line_has_its_session_and_lane_besides_the_members_of_a_run() {
    let server = server(Script::new().respond(|_| Turn::text("hi"))).await;
    let files = Files::new("members", &[ONE]);
    let alone = ran(run(&server.url(), &LANES), &[ONE]).await;
    let among = ran(files.tool(&server, 1, &[]), &[""; 0]).await;
    assert_eq!((among.code, among.lines.len()), (Some(0), alone.lines.len()));
    for (alone, among) in alone.lines.iter().zip(&among.lines) {
        let names = |line: &Value| line.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        let (alone, line) = (names(&value(alone)), value(among));
        let mut expected = alone;
        expected.extend(["session".to_owned(), "lane".to_owned()]);
        expected.sort();
        let mut shown = names(&line);
        shown.sort();
        assert_eq!(shown, expected);
        assert_eq!((&line["session"], &line["lane"]), (&json!(files.path(0)), &Value::Null));
        let end = format!(r#","session":"{}","lane":null}}"#, files.path(0));
        assert!(among.ends_with(&end), "{among}");
    }
    // The event is shown as received.
    assert!(among.lines[0].starts_with(r#"{"turn":1,"event":{"type":"response.created","#));

    let files = Files::new("sse", &[ONE, ONE]);
    let over_sse = ran(files.tool(&server, 2, &["--transport", "sse"]), &[""; 0]).await;
    assert_eq!(over_sse.turns().len(), 2);
    assert!(over_sse.turns().iter().all(|turn| turn["lane"].is_null()));
}

/// A server whose answer depends on the text of the request.
async fn by_text() -> ScriptedServer {
    server(Script::new().respond(|exchange| {
        let asked = exchange.history.iter().map(ToString::to_string).collect::<String>();
        if asked.contains("fails") {
            return Turn::error(400, "invalid_prompt", "no");
        }
        let turn = Turn::text("hi");
        if asked.contains("stalls") { turn.insert(1, Step::Stall) } else { turn }
    }))
    .await
}

#[tokio::test]
async fn c289_a_failed_turn_ends_no_other_session_unless_fail_fast() {
    let server = by_text().await;
    let fails = r#"{"model":"m","input":"fails"}"#;
    let stalls = r#"{"model":"m","input":"stalls"}"#;
    let files = Files::new("failed", &[&format!("{fails}{ONE}"), &format!("{ONE}{MORE}"), stalls]);
    let ran_on = ran(files.tool(&server, 2, &["--quiet"]), &[""; 0]).await;
    assert_eq!(ran_on.code, Some(1));
    for (index, expected) in [["error", "completed"], ["completed", "completed"]].iter().enumerate()
    {
        let turns = turns_of(&ran_on, &files.path(index));
        let outcomes: Vec<_> = turns.iter().map(|turn| turn["outcome"].clone()).collect();
        assert_eq!(outcomes, *expected);
    }
    let stopped = ran(files.tool(&server, 3, &["--quiet", "--fail-fast"]), &[""; 0]).await;
    assert_eq!(stopped.code, Some(1), "the turn that stalls is ended");
    assert_eq!(turns_of(&stopped, &files.path(0)).len(), 1);
    assert_eq!(turns_of(&stopped, &files.path(2)).len(), 0);
}

#[tokio::test]
async fn c289_bad_input_of_one_session_ends_the_run() {
    let server = by_text().await;
    let stalls = r#"{"model":"m","input":"stalls"}"#;
    let files = Files::new("bad", &[&format!("{ONE}\nnonsense"), stalls]);
    let bad = ran(files.tool(&server, 2, &["--quiet"]), &[""; 0]).await;
    assert_eq!((bad.code, bad.turns().len()), (Some(2), 1));
    let place = format!("responses: {}: line 2: ", files.path(0));
    assert!(bad.stderr.starts_with(&place), "{}", bad.stderr);

    let before = server.log().requests.len();
    let missing = ran(files.tool(&server, 3, &[]), &[""; 0]).await;
    assert_eq!(missing.code, Some(2));
    let why = format!("responses: could not open {}: ", files.path(2));
    assert!(missing.stderr.starts_with(&why), "{}", missing.stderr);
    assert!(!missing.stderr.contains("--model"), "{}", missing.stderr);
    let mut twice = files.tool(&server, 2, &[]);
    twice.arg(files.path(0));
    let twice = ran(twice, &[""; 0]).await;
    assert!(twice.code == Some(2) && twice.stderr.contains("is given twice"), "{}", twice.stderr);
    for wrong in ["--text", "--record=r.jsonl", "--model=m"] {
        let refused = ran(files.tool(&server, 1, &[wrong]), &[""; 0]).await;
        assert_eq!(refused.code, Some(2), "{wrong}: {}", refused.stderr);
    }
    assert_eq!(server.log().requests.len(), before, "nothing was sent");

    let empty = Files::new("empty", &["", " "]);
    let empty = ran(empty.tool(&server, 2, &[]), &[""; 0]).await;
    assert_eq!((empty.code, empty.lines.len()), (Some(0), 0));
    assert!(empty.stderr.contains("the input has no requests"), "{}", empty.stderr);
}

#[tokio::test]
async fn c289_a_notice_names_its_session() {
    let busy = Turn::error(429, "rate_limit_exceeded", "Please try again in 0.01s.");
    let server = server(Script::new().turn(busy).respond(|_| Turn::text("hi"))).await;
    let files = Files::new("notices", &[ONE]);
    let noted = ran(files.tool(&server, 1, &["--quiet"]), &[""; 0]).await;
    assert_eq!(noted.code, Some(0));
    let start = format!("responses: {}: turn 1: over websocket: ", files.path(0));
    assert!(noted.stderr.starts_with(&start), "{}", noted.stderr);
}
