//! The official libraries understand the scripted server.

use std::collections::BTreeSet;

use responses_client::Transport;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    items::items,
    peer::{Folder, installed, program, run, wanted},
    serve::Serve,
    support::BOTH,
    types::fixtures,
};

#[tokio::test]
async fn openai_python_finds_every_event_as_its_types_describe_it() {
    if wanted() {
        understands_every_turn(Library::Python).await;
    }
}

#[tokio::test]
async fn openai_python_reads_the_fixtures() {
    if !wanted() {
        return;
    }
    let fixtures = fixtures();
    let lines = fixtures.iter().map(|(_, lines)| json!({ "lines": Vec::from_iter(lines.lines()) }));
    let script = json!({ "turns": Vec::from_iter(lines) });
    for transport in BOTH {
        let name = format!("fixtures-{}", transport.as_str());
        let server = Serve::start(&name, &script).await;
        let said = run_turns(Library::Python, &server.url, transport, fixtures.len()).await;
        let mut problems = Vec::new();
        for (said, (name, lines)) in said.iter().zip(&fixtures) {
            let context = format!("{name}, {transport:?}: {said:#?}");
            let events: Vec<Value> =
                lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert!(said.kinds.iter().eq(events.iter().map(|event| &event["type"])), "{context}");
            let texts = events.iter().filter(|event| event["type"] == "response.output_text.done");
            let text: String = texts.filter_map(|event| event["text"].as_str()).collect();
            let response = said.response.as_ref().expect(&context);
            assert_eq!((&*said.deltas, &*response.text), (&*text, &*text), "{context}");
            let found = said.problems.iter().filter(|problem| !problem.lacks_only(&NOT_KNOWN_YET));
            let kinds: BTreeSet<_> = found.map(|Problem(kind, _)| kind.as_str()).collect();
            problems.extend(kinds.into_iter().map(|kind| (name.as_str(), kind)));
        }
        let known = UNKNOWN_TO_PYTHON.iter();
        let known = known.flat_map(|(name, kinds)| kinds.iter().map(|kind| (*name, *kind)));
        assert_eq!(problems, Vec::from_iter(known), "{transport:?}");
    }
}

#[tokio::test]
async fn openai_node_accumulates_every_turn() {
    if wanted() {
        understands_every_turn(Library::Node).await;
    }
}

#[derive(Clone, Copy, Debug)]
enum Library {
    Python,
    Node,
}

/// What a library made of a turn.
#[derive(Debug, Deserialize)]
struct Said {
    /// The response that it was told to continue.
    asked: Option<String>,
    kinds: Vec<String>,
    /// What it found wrong.
    problems: Vec<Problem>,
    /// The deltas of its texts.
    deltas: String,
    #[serde(flatten)]
    response: Option<Response>,
    error: Option<Value>,
}

/// The type of an event, and what is wrong with it.
#[derive(Debug, Deserialize, PartialEq)]
struct Problem(String, Vec<String>);

/// The response at the end of a turn.
#[derive(Debug, Deserialize)]
struct Response {
    id: String,
    status: String,
    parent: Option<String>,
    text: String,
    items: Vec<Value>,
}

impl Problem {
    fn lacks_only(&self, members: &[&str]) -> bool {
        let known = |wrong: &String| {
            wrong.strip_suffix(": Field required").is_some_and(|it| members.contains(&it))
        };
        self.1.iter().all(known)
    }
}

async fn understands_every_turn(library: Library) {
    let items = items();
    let message = &items[..1];
    // Each turn, with the status and the items that are to come of it.
    let mut script: Vec<(Value, &str, &[Value])> = items
        .chunks(1)
        .chain([&items[..]])
        .map(|items| (json!({ "output": items }), "completed", items))
        .collect();
    let incomplete = json!({ "output": message, "incomplete": "max_output_tokens" });
    let broken = json!({ "code": "server_error", "message": "It broke." });
    let failed = json!({ "output": message, "failed": broken });
    let error = json!({ "status": 429, "code": "rate_limit_exceeded", "message": "Later." });
    script.extend([
        (incomplete, "incomplete", message),
        (failed, "failed", message),
        (json!({ "error": error }), "error", &[]),
        (json!({ "output": message }), "completed", message),
    ]);
    let turns: Vec<_> = script.iter().map(|(turn, ..)| turn).collect();
    let turns = json!({ "turns": turns });
    for transport in BOTH {
        let name = format!("{library:?}-{}", transport.as_str());
        let server = Serve::start(&name, &turns).await;
        let said = run_turns(library, &server.url, transport, script.len()).await;
        let seen = server.end().await;
        let mut parent: Option<&str> = None;
        for (said, (_, status, items)) in said.iter().zip(&script) {
            let context = format!("{transport:?}: {said:#?}");
            let harmless = |problem: &Problem| problem.lacks_only(&NOT_KNOWN_YET);
            assert!(said.problems.iter().all(harmless), "{context}");
            assert_eq!(said.asked.as_deref(), parent, "{context}");
            let Some(response) = &said.response else {
                let error = json!({ "status": 429, "code": "rate_limit_exceeded" });
                assert_eq!((*status, said.error.as_ref()), ("error", Some(&error)), "{context}");
                continue;
            };
            assert_eq!(response.status, *status, "{context}");
            assert_eq!(response.parent.as_deref(), parent, "{context}");
            let kinds: Vec<_> = items.iter().map(|item| &item["type"]).collect();
            assert_eq!(response.items.iter().collect::<Vec<_>>(), kinds, "{context}");
            let text: String =
                items.iter().filter_map(|item| item["content"][0]["text"].as_str()).collect();
            if items.iter().all(|item| item["type"] == "message") {
                assert_eq!((&*response.text, &*said.deltas), (&*text, &*text), "{context}");
            }
            assert_eq!(said.kinds[0], "response.created", "{context}");
            assert_eq!(said.kinds.last().unwrap(), &format!("response.{status}"), "{context}");
            if *status == "completed" {
                parent = Some(&response.id);
            }
        }
        let asked: Vec<_> = said.iter().map(|said| json!(said.asked)).collect();
        let continued: Vec<_> =
            seen.requests.iter().map(|seen| seen["previous_response_id"].clone()).collect();
        assert_eq!(continued, asked, "{transport:?}");
        let expected = usize::from(transport == Transport::WebSocket);
        assert_eq!(seen.websockets(), expected, "{transport:?}");
    }
}

/// Runs this many turns with `library`.
async fn run_turns(library: Library, url: &str, transport: Transport, turns: usize) -> Vec<Said> {
    let home = Folder::new();
    let source = |name| format!("{}/tests/peers/{name}", env!("CARGO_MANIFEST_DIR"));
    let mut command = match library {
        Library::Python => {
            let mut command = program("python3", &home);
            command.env("PYTHONPATH", installed("python")).arg(source("python.py"));
            command
        }
        Library::Node => {
            let mut command = program("node", &home);
            command.arg(source("node.mjs")).arg(installed("node_modules"));
            command
        }
    };
    let ended = run(command.args([url, transport.as_str(), &turns.to_string()])).await;
    assert!(ended.status.success(), "{library:?}, {transport:?}: {ended}");
    let said: Vec<Said> = ended
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    assert_eq!(said.len(), turns);
    said
}

/// What its types describe otherwise or not at all: by the fixture, the events.
const UNKNOWN_TO_PYTHON: &[(&str, &[&str])] = &[
    // A citation of the future.
    (
        "annotations_logprobs",
        &[
            "response.completed",
            "response.content_part.done",
            "response.output_item.done",
            "response.output_text.annotation.added",
        ],
    ),
    // An event of the future.
    ("custom_call", &["response.brand_new"]),
    // Events of the past.
    (
        "early_names",
        &[
            "response.reasoning.delta",
            "response.reasoning.done",
            "response.reasoning_part.added",
            "response.reasoning_part.done",
            "response.reasoning_summary.delta",
            "response.reasoning_summary.done",
        ],
    ),
    // To them the error of a call is a text, as it once was.
    ("mcp", &["response.completed", "response.output_item.done"]),
    // The API sends it and describes it nowhere.
    ("reasoning_call", &["keepalive"]),
    // Things of the future, of other servers, and such as the API describes nowhere.
    (
        "unknown_things",
        &[
            "codex.rate_limits",
            "keepalive",
            "ping",
            "response.brand_new_call.progress",
            "response.completed",
            "response.content_part.added",
            "response.content_part.done",
            "response.metadata",
            "response.output_item.added",
            "response.output_item.done",
            "responsesapi.websocket_timing",
            "restarted",
            "vendor.notice",
        ],
    ),
];

/// What the API, too, leaves out of an item that begins.
const NOT_KNOWN_YET: [&str; 1] = ["item.ResponseFunctionWebSearch.action"];
