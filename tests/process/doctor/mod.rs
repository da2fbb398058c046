//! `responses doctor`: the situations that it finds, and the flags that it recommends.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::process::Command;

use crate::support::{
    guarded,
    tool::{Tool, command, ran, value},
};

mod boxes;
mod certificates;
mod faults;
mod page;
mod proxies;
mod servers;
mod settings;

const HI: &str = r#"{"model":"m","store":false,"input":"hi"}"#;
/// Part of each secret; no output may contain it.
const CANARY: &str = "canary";
/// Time that a run of all checks may take on a busy machine. A check has a limit of 5 s.
const PATIENCE: Duration = Duration::from_secs(20);

/// Last lines of the output.
const NO_TURNS: &str = "result: turns do not work from here";
const BOTH_WORK: &str = "result: turns work over websocket, no flags are needed";
const WITH_LIMITS: &str = "result: turns work over websocket, with limits";
const USE_SSE: &str = "result: turns work over sse only, use --transport sse";

/// A machine with its settings.
struct Machine {
    args: Vec<String>,
    variables: Vec<(String, String)>,
}

/// Output of the doctor.
struct Diagnosis {
    findings: Vec<Value>,
    json: Value,
    text: String,
}

impl Machine {
    /// Returns a machine that uses the server at `url`, with a key.
    fn new(url: &str) -> Self {
        let args = ["--base-url", url].map(str::to_owned).to_vec();
        Self { args, variables: Vec::new() }.set("OPENAI_API_KEY", "sk-canary")
    }

    fn flags(mut self, flags: &[&str]) -> Self {
        self.args.extend(flags.iter().map(|&flag| flag.to_owned()));
        self
    }

    fn set(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    fn command(&self, name: &str, more: &[&str]) -> Command {
        let mut command = command(&[name]);
        command.args(&self.args).args(more);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs the doctor, for people and for programs, and checks what holds of each output. If turns
    /// work, runs one with the flags that are recommended.
    async fn diagnose(&self) -> Diagnosis {
        self.diagnose_with(&[]).await
    }

    /// Like [`diagnose`](Self::diagnose), with more flags for the doctor only.
    async fn diagnose_with(&self, flags: &[&str]) -> Diagnosis {
        let start = Instant::now();
        let for_people = Tool::start(self.command("doctor", flags));
        let for_programs = Tool::start(self.command("doctor", &[flags, &["--json"]].concat()));
        let (people, programs) = tokio::join!(for_people.end(), for_programs.end());
        assert!(start.elapsed() < PATIENCE, "{:?}: {people:?}", start.elapsed());
        let [line] = &programs.lines[..] else { panic!("{programs:?}") };
        let json = value(line);
        let findings = json["findings"].as_array().unwrap().clone();
        let text = people.lines.join("\n");
        for finding in &findings {
            let limit = finding["id"] == "idle" || finding["id"] == "idle_cut";
            let time = finding["ms"].as_f64().unwrap_or_default();
            assert!(limit || time < 7_500.0, "a check has a limit of 5 s: {finding}");
            let (status, id) =
                (finding["status"].as_str().unwrap(), finding["id"].as_str().unwrap());
            assert!(text.contains(&format!("{status:<5} {id}")), "{id}: {text}");
            let advice = finding["advice"].as_str();
            assert!(advice.is_none_or(|advice| text.contains(advice)), "{finding}: {text}");
        }
        for output in [&text, line, &people.stderr, &programs.stderr] {
            assert_plain(output);
        }
        assert_eq!(people.code, programs.code);
        let limits = |it: &Value| it["status"] == "limit" || it["status"] == "fail";
        let limited = findings.iter().any(limits);
        let code = if json["transport"].is_null() { 2 } else { i32::from(limited) };
        assert_eq!(people.code, Some(code), "{text}");
        if !json["transport"].is_null() {
            let recommended: Vec<&str> = texts(&json["flags"]);
            let turn = ran(self.command("run", &recommended), &[HI]).await;
            assert_eq!(turn.code, Some(0), "{recommended:?}: {turn:?}");
            assert_eq!(turn.turns()[0]["transport"], json["transport"]);
        }
        Diagnosis { findings, json, text }
    }
}

impl Diagnosis {
    /// Checks the findings that are worth to know, each as `status id`, and the last line.
    #[track_caller]
    fn expect(&self, findings: &[&str], result: &str) {
        let found: Vec<_> = self
            .findings
            .iter()
            .filter(|it| it["status"] != "ok" && it["id"] != "delivery_not_checked")
            .map(|it| format!("{} {}", it["status"].as_str().unwrap(), it["id"].as_str().unwrap()))
            .collect();
        assert_eq!(found, findings, "{}", self.text);
        assert_eq!(self.text.lines().last(), Some(result), "{}", self.text);
    }

    /// Returns the message and the advice of a finding.
    #[track_caller]
    fn finding(&self, id: &str) -> String {
        let finding = self.findings.iter().find(|it| it["id"] == id);
        let Some(finding) = finding else { panic!("{id} is missing: {}", self.text) };
        let text = |member: &str| finding[member].as_str().unwrap_or_default().to_owned();
        format!("{}\n{}", text("message"), text("advice"))
    }

    /// Checks that a finding has these words.
    #[track_caller]
    fn says(&self, id: &str, words: &[&str]) {
        let text = self.finding(id);
        for word in words {
            assert!(text.contains(word), "`{word}` is missing: {text}");
        }
    }
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect()
}

/// Checks that an output has no secret, and no name of Rust.
fn assert_plain(output: &str) {
    assert!(!output.contains(CANARY), "a secret: {output}");
    let names = output.split('`').skip(1).step_by(2);
    let is_rust = |name: &str| {
        let mut letters = name.chars();
        let is_name = name.chars().all(|it| it.is_ascii_alphanumeric());
        is_name && letters.any(|it| it.is_ascii_uppercase()) && letters.any(|it| it.is_lowercase())
    };
    let addresses = output.replace("::1", "");
    assert!(!addresses.contains("::") && !names.into_iter().any(is_rust), "Rust: {output}");
}

#[tokio::test]
async fn c183_the_json_has_findings_the_transport_and_the_flags() {
    use responses_client::testing::{Script, Turn};

    let server = crate::support::server(Script::new().respond(|_| Turn::text("hi"))).await;
    let mut diagnosis = Machine::new(&server.url()).diagnose().await;
    diagnosis.expect(&[], BOTH_WORK);
    for finding in &mut diagnosis.findings {
        let finding = finding.as_object_mut().unwrap();
        if finding.contains_key("ms") {
            assert!(finding.insert("ms".to_owned(), 0.into()).unwrap().is_f64());
        }
    }
    diagnosis.json["findings"] = diagnosis.findings.clone().into();
    let ok = |id: &str, message: &str| serde_json::json!({"id": id, "status": "ok", "message": message, "ms": 0});
    let answers = "opens, and the API answers over it";
    let mut findings = vec![
        serde_json::json!({"id": "no_proxy", "status": "ok", "message": "direct, without a proxy"}),
        ok("tcp", "connected"),
        ok("http", "the API answers"),
        ok("websocket", answers),
    ];
    findings.push(serde_json::json!({
        "id": "delivery_not_checked",
        "status": "note",
        "message": "not checked if an answer arrives, and its events one by one: pass --model, which \
                    costs tokens",
    }));
    let whole = serde_json::json!({"findings": findings, "transport": "websocket", "flags": []});
    assert_eq!(diagnosis.json, whole);
}

#[tokio::test]
async fn c183_a_wrong_flag_is_bad_usage() {
    for flags in [&["--idle", "soon"][..], &["--provider", "nobody"], &["--query", CANARY]] {
        let machine = Machine::new("http://127.0.0.1:9/v1").flags(flags);
        let doctor = guarded(ran(machine.command("doctor", &["--json"]), &[""; 0])).await;
        assert_eq!((doctor.code, doctor.lines.len()), (Some(2), 0), "{doctor:?}");
        assert!(!doctor.stderr.contains(CANARY), "{doctor:?}");
    }
}
