//! `responses bench`, as a process.

use std::time::{Duration, Instant};

use responses_client::{
    Transport,
    testing::{Script, Turn},
};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    agent::example,
    serve::serve,
    support::{
        guarded, server,
        tool::{Ran, Temporary, command, ran, run, value},
    },
};

const MODES: [&str; 4] =
    ["websocket_incremental", "websocket_full", "sse_keep_alive", "sse_new_connection"];

/// Names of the checks of the emulated network.
const CHECKS: [&str; 5] =
    ["new_tls_connection", "three_windows", "restart_after_idle", "bandwidth_up", "bandwidth_down"];

/// Arguments of a small run: the slower the link, the fewer bytes its check sends.
const SMALL: [&str; 10] =
    ["--turns", "2", "--tokens", "3", "--head", "500", "--item", "50", "--bandwidth", "2mbit"];

/// Runs `responses bench` with these arguments.
async fn bench(args: &[&str]) -> Ran {
    ran(command(&[&["bench"], args].concat()), &[""; 0]).await
}

/// Returns the summary of a small run with these arguments, and its line.
async fn summary(args: &[&str]) -> (Value, String) {
    let ran = bench(&[&SMALL, &["--json"][..], args].concat()).await;
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{args:?}");
    let [line] = <[String; 1]>::try_from(ran.lines).unwrap();
    (value(&line), line)
}

fn members(object: &Value) -> Vec<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test]
async fn c260_the_figures_of_all_modes_are_one_line_of_json() {
    let (summary, line) = summary(&["--rounds", "2"]).await;
    assert!(line.starts_with(r#"{"settings":{"#), "{line}");
    let all = ["differences", "error", "modes", "self_check", "settings", "sweep", "version"];
    assert_eq!(members(&summary), all);
    assert_eq!(summary["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&summary["sweep"], &summary["error"]), (&Value::Null, &Value::Null));
    let settings = &summary["settings"];
    assert_eq!((&settings["turns"], &settings["rounds"]), (&json!(2), &json!(2)));
    assert_eq!((&settings["clock"], &settings["live"]), (&json!("paused"), &json!(false)));
    assert_eq!((&settings["rtt_ms"], &settings["modes"]), (&json!(10.0), &json!(MODES)));

    let checks = summary["self_check"].as_array().unwrap();
    assert_eq!(checks.iter().map(|it| &it["name"]).collect::<Vec<_>>(), CHECKS);
    assert!(checks.iter().all(|it| it["off_percent"].as_f64().unwrap().abs() < 1.0), "{checks:?}");

    assert_eq!(members(&summary["modes"]).len(), 4);
    for name in MODES {
        let mode = &summary["modes"][name];
        for figure in ["first_event_ms", "first_text_ms", "turn_ms"] {
            let times = ["p50", "p90", "p99", "max"].map(|it| mode[figure][it].as_f64().unwrap());
            assert!(times[0] > 0.0 && times.is_sorted(), "{name} {figure} {times:?}");
            assert!(mode[figure]["mean"].is_f64());
        }
        assert_eq!(mode["connect_ms"].is_object(), name.starts_with("websocket"), "{name}");
        assert!(mode["bytes_up"].as_u64() > Some(1000) && mode["bytes_down"].as_u64() > Some(1000));
        assert_eq!((&mode["turns"], mode["cpu_ms"].as_f64() > Some(0.0)), (&json!(4), true));
        let [first, later] = ["first_turn_ms", "later_turns_ms"].map(|it| mode[it]["p50"].as_f64());
        assert!(first > later || name == "sse_new_connection", "{name}: {first:?}, {later:?}");
        assert_eq!(mode["by_round"].as_array().unwrap().len(), 2);
        let by_turn = mode["by_turn"].as_array().unwrap();
        assert_eq!(by_turn.len(), 2);
        assert_eq!(by_turn[1]["cumulative_bytes_up"], mode["bytes_up"]);
    }
    let differences = summary["differences"].as_array().unwrap();
    assert_eq!(differences.len(), 3 * 3);
    for difference in differences {
        assert_eq!(
            (&difference["than"], &difference["confidence"]),
            (&json!(MODES[0]), &json!(0.99))
        );
        assert!(difference["shown"].is_boolean() && difference["mean_ms"].is_number());
    }
}

#[tokio::test]
async fn c260_a_seed_gives_the_same_figures_except_for_cpu_time() {
    let without_cpu = async |seed: &str| {
        let args = ["--preset", "mobile", "--seed", seed, "--sweep", "rtt=0,25"];
        let (mut summary, _) = summary(&args).await;
        for name in MODES {
            summary["modes"][name]["cpu_ms"] = Value::Null;
        }
        summary["settings"]["seed"] = Value::Null;
        summary
    };
    let first = without_cpu("1").await;
    let points = first["sweep"]["points"].as_array().unwrap();
    assert_eq!(first["sweep"]["variable"], "rtt_ms");
    assert_eq!(points.iter().map(|it| &it["value"]).collect::<Vec<_>>(), [0.0, 25.0]);
    assert!(points.iter().all(|it| it["self_check"].as_array().unwrap().len() == 5), "{points:?}");
    for name in MODES {
        let times = [0, 1].map(|point| points[point]["first_event_ms"][name].as_f64().unwrap());
        assert!(times[1] > times[0] + 24.9, "{name}: {times:?}");
    }
    assert_eq!(without_cpu("1").await, first);
    assert_ne!(without_cpu("2").await, first);
}

#[tokio::test]
async fn c260_the_table_has_a_row_for_each_figure_and_charts_are_files() {
    let folder = Temporary::new("charts");
    let below = folder.0.join("below");
    let path = below.to_str().unwrap();
    let ran =
        bench(&[&SMALL, &["--rounds", "2", "--chart", path, "--sweep", "rtt=0,25"][..]].concat())
            .await;
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let text = ran.lines.join("\n");
    for words in [
        "The emulated network passed 15 checks",
        "WebSocket",
        "kept connection",
        "new connection",
        "Connecting p50",
        "First event p50",
        "First event p90",
        "First text p50",
        "Turn p50",
        "Turn p90",
        "Turn p99",
        "Turn max",
        "First turn p50",
        "Later turns p50",
        "Whole conversation",
        "Sent",
        "Received",
        "Client CPU per turn",
        "* best of the row",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!text.contains('\x1b'), "{text}");
    let differences = ran.lines.iter().filter(|line| line.contains("99 % interval"));
    assert_eq!(differences.count(), 3 * 3, "{text}");

    assert!(ran.stderr.starts_with("responses: charts: "), "{}", ran.stderr);
    let stems = ["turn-times", "turn-time-by-turn", "bytes-sent-by-turn", "first-event-by-setting"];
    for stem in stems {
        let file = below.join(format!("{stem}.svg"));
        let svg = std::fs::read_to_string(&file).unwrap();
        assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"), "{stem}");
        assert!(ran.stderr.contains(file.to_str().unwrap()), "{}", ran.stderr);
    }
    assert_eq!(std::fs::read_dir(&below).unwrap().count(), stems.len());
    std::fs::remove_dir_all(&folder.0).unwrap();
}

#[tokio::test]
async fn c260_two_runs_are_compared() {
    let (old, new) = (Temporary::new("old.json"), Temporary::new("new.json"));
    let modes = ["--modes", "websocket-full,sse-keep-alive"];
    for (file, rtt) in [(&old, "10"), (&new, "20")] {
        let (_, line) = summary(&[&modes[..], &["--rtt", rtt]].concat()).await;
        std::fs::write(&file.0, line).unwrap();
    }
    let ran = bench(&["--compare", old.path(), new.path()]).await;
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert_eq!(ran.lines[..2], ["The settings differ:", "  rtt_ms: 10.0, now 20.0"]);
    let heads = ran.lines.iter().filter(|line| line.ends_with("old         new      change"));
    assert_eq!(heads.count(), 2, "{:#?}", ran.lines);

    let bad = Temporary::new("bad.json");
    std::fs::write(&bad.0, "{\"turns\":1}\n").unwrap();
    for (file, why) in
        [(bad.path(), "the last line is not a summary"), ("/nowhere/x", "could not read")]
    {
        let ran = bench(&["--compare", old.path(), file]).await;
        assert_eq!((ran.code, ran.lines.len()), (Some(2), 0));
        assert!(ran.stderr.starts_with(&format!("responses: {file}: {why}")), "{}", ran.stderr);
    }
}

#[tokio::test]
async fn c260_a_recording_is_replayed() {
    let original = server(Script::new().turns(["Hello there", "Good bye"].map(Turn::text))).await;
    let file = Temporary::new("bench.jsonl");
    let hi = r#"{"model":"m","store":false,"input":"hi"}"#;
    let recorded = ran(run(&original.url(), &["--record", file.path()]), &[hi, hi]).await;
    assert_eq!(recorded.code, Some(0), "{}", recorded.stderr);

    let small =
        ["--turns", "2", "--rounds", "1", "--head", "500", "--bandwidth", "2mbit", "--json"];
    let ran = bench(&[&small[..], &["--recording", file.path()]].concat()).await;
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    let summary = value(&ran.lines[0]);
    assert_eq!(summary["settings"]["recording"], file.path());
    assert_eq!(summary["settings"].get("tokens"), None);
    assert!(MODES.iter().all(|name| summary["modes"][name]["turns"] == 2), "{summary}");

    let ran = bench(&["--turns", "3", "--recording", file.path()]).await;
    assert_eq!((ran.code, ran.lines.len()), (Some(2), 0));
    let why = format!("{}: it has 2 turns, and --turns is 3\n", file.path());
    assert!(ran.stderr.ends_with(&why), "{}", ran.stderr);

    let ran = bench(&["--turns", "2", "--rounds", "9000", "--recording", file.path()]).await;
    assert_eq!((ran.code, ran.lines.len()), (Some(2), 0));
    assert!(ran.stderr.contains("it can have at most 5000000: "), "{}", ran.stderr);

    // The second turn is cut, and would hang or fail in the middle of the run.
    let whole = std::fs::read_to_string(file.path()).unwrap();
    let cut: String = whole
        .lines()
        .filter(|line| {
            let line = value(line);
            line["turn"] == 1 || line["event"]["type"] != "response.completed"
        })
        .map(|line| format!("{line}\n"))
        .collect();
    std::fs::write(file.path(), cut).unwrap();
    let ran = bench(&["--turns", "2", "--recording", file.path()]).await;
    assert_eq!((ran.code, ran.lines.len()), (Some(2), 0));
    assert!(ran.stderr.contains("turn 2 did not complete"), "{}", ran.stderr);
}

#[tokio::test]
async fn c261_a_real_server_gets_the_turns_that_were_allowed() {
    let server = server(Script::new().respond(|_| Turn::text("hi"))).await;
    let url = server.url();
    let mut live = command(&["bench", "--live", "--base-url", &url, "--model", "m-7", "--json"]);
    live.args([
        "--turns",
        "3",
        "--rounds",
        "1",
        "--max-turns",
        "12",
        "--head",
        "500",
        "--item",
        "50",
        "--tokens",
        "70",
    ]);
    live.env("OPENAI_API_KEY", "key");
    let ran = ran(live, &[""; 0]).await;
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    let summary = value(&ran.lines[0]);
    let settings = &summary["settings"];
    assert_eq!((&settings["live"], &settings["tokens"]), (&json!(true), &json!(70)));
    assert_eq!((&summary["self_check"], &summary["sweep"]), (&json!([]), &Value::Null));
    assert!(MODES.iter().all(|name| summary["modes"][name]["turns"] == 3), "{summary}");

    let log = server.log();
    let creates: Vec<_> = log.creates().collect();
    assert_eq!((creates.len(), log.posts().count()), (6, 6));
    assert!(log.requests.iter().all(|it| it.body["model"] == "m-7" && it.finished));
    assert!(log.requests.iter().all(|it| it.body["max_output_tokens"] == 70));
    assert_eq!(creates.iter().filter(|it| it.previous_response_id.is_some()).count(), 2);
    // The incremental and the full socket, the kept connection, and a connection a turn.
    assert_eq!((log.websockets().count(), log.connections.len()), (2, 2 + 1 + 3));
    let sse = log.connections.iter().filter(|it| it.transport == Some(Transport::Sse));
    assert_eq!(sse.count(), 1 + 3);
}

#[tokio::test]
async fn c305_the_bytes_of_a_real_server_show_if_it_accepts_compression() {
    for answer in [Some("permessage-deflate"), None] {
        let server = server(Script::new().respond(|_| Turn::text("hi")).deflate(answer)).await;
        let url = server.url();
        let mut live = command(&["bench", "--live", "--base-url", &url, "--model", "m", "--json"]);
        live.args(["--modes", "websocket-incremental,websocket-deflate", "--head", "9k"]);
        live.args(["--turns", "3", "--rounds", "1", "--max-turns", "6"]);
        live.env("OPENAI_API_KEY", "key");
        let ran = ran(live, &[""; 0]).await;
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let summary = value(&ran.lines[0]);
        let sent = |mode: &str| summary["modes"][mode]["bytes_up"].as_u64().unwrap();
        let (plain, deflate) = (sent("websocket_incremental"), sent("websocket_deflate"));
        assert_eq!(deflate < plain / 2, answer.is_some(), "{deflate} of {plain}");
    }
}

#[tokio::test]
async fn c261_a_server_without_websocket_is_named_by_its_flag() {
    let codex = Temporary::new("bench-codex.toml");
    std::fs::write(&codex.0, "[model_providers.own]\nbase_url = \"http://a.example/v1\"\n")
        .unwrap();
    let by_codex = ["--codex-provider", "own", "--codex-config", codex.path()];
    let ollama = "http://localhost:11434/v1";
    for (args, variable, server) in [
        (&["--provider", "ollama"][..], "", "--provider ollama"),
        (&["--base-url", ollama], "", "the server of --base-url"),
        (&[], ollama, "the server of OPENAI_BASE_URL"),
        (&["--no-websocket"], "", "the server of --no-websocket"),
        (&["--no-websocket", "--provider", "ollama"], "", "the server of --no-websocket"),
        (&by_codex, "", "--codex-provider own"),
    ] {
        let fixed = ["bench", "--live", "--model", "m", "--max-turns", "800"];
        let mut tool = command(&[&fixed, args].concat());
        tool.env("OPENAI_BASE_URL", variable);
        let ran = ran(tool, &[""; 0]).await;
        let why = format!(
            "responses: {server} has no WebSocket: add --modes sse-keep-alive,sse-new-connection\n"
        );
        assert_eq!((ran.code, ran.stderr), (Some(2), why), "{args:?}");
    }
}

#[tokio::test]
async fn c261_bad_usage_is_refused_before_anything_is_sent() {
    let server = server(Script::new().respond(|_| Turn::text("hi"))).await;
    let url = server.url();
    let file = Temporary::new("regular");
    std::fs::write(&file.0, "no folder").unwrap();
    let below = format!("{}/below", file.path());
    let live = ["--live", "--base-url", &url];
    for (args, why) in [
        (&["--rtt", "-1"][..], "'--rtt <TIME>': a time cannot be negative"),
        (&["--rtt", "soon"], "expected a time, for example 50, 0.5, 500us or 1s"),
        (&["--rtt", "1000h"], "must be at most 1h"),
        (&["--preset", "moon"], "the presets are lan, same-region, transcontinental, mobile"),
        (&["--loss", "90%"], "'--loss <SHARE>': must be from 0% to 20%"),
        (&["--bandwidth", "fast"], "expected kbit, mbit or gbit, for example 50mbit, or none"),
        (&["--turns", "0"], "'--turns <N>': must be at least 1"),
        (&["--tokens", "99999999999"], "must be at most 1000000"),
        (&["--head", "1.5k"], "expected a number of bytes, for example 2000, 20k or 1m"),
        (&["--modes", "smoke"], "possible values: websocket-incremental, websocket-full"),
        (&["--modes", "sse-keep-alive,sse-keep-alive,sse-keep-alive"], "at most twice"),
        (&["--sweep", "loss=1"], "expected round trips, for example rtt=0,25,50,100,200"),
        (&["--chart", &below], "could not make the folder of the charts"),
        (
            &["--tokens", "9000", "--modes", "sse-keep-alive", "--rounds", "30"],
            "it can have at most 5000000: lower --tokens, --turns, --rounds, or",
        ),
        // Each turn takes its time, also without tokens.
        (
            &["--tokens", "0", "--modes", "sse-keep-alive", "--rounds", "10000", "--turns", "7"],
            "would emulate 5601120 tokens, with each turn counted as 80 more",
        ),
        (
            &["--item", "16m", "--turns", "5"],
            "the largest request of websocket-full would have 80.0 MB, and a message on a WebSocket \
             has at most 16 MiB: lower --head, --item, --turns or --tokens, or add --modes \
             sse-keep-alive,sse-new-connection\n",
        ),
        (
            &["--head", "16m", "--item", "1m", "--modes", "websocket-incremental"],
            "the largest request of websocket-incremental would have 17.0 MB",
        ),
        (
            &[&live[..], &["--model", "m", "--max-turns", "800", "--item", "16m"]].concat(),
            "the largest request of websocket-full would have 320.0 MB",
        ),
        (
            &[&live[..], &["--model", "m", "--max-turns", "800", "--tokens", "0"]].concat(),
            "--tokens 0: a real server cannot answer without tokens",
        ),
        (&["--recording", "/nowhere/x"], "--recording /nowhere/x: "),
        (&["--compare", "a"], "2 values required for '--compare <A> <B>'"),
        (&["--base-url", &url], "--live"),
        (&[&live[..], &["--model", "m"]].concat(), "--max-turns <N>"),
        (&[&live[..], &["--max-turns", "80"]].concat(), "--model <NAME>"),
        (
            &[&live[..], &["--model", "m", "--max-turns", "80", "--rtt", "5"]].concat(),
            "'--live' cannot be used with:\n  --rtt <TIME>",
        ),
        (
            &[&live[..], &["--model", "m", "--max-turns", "3", "--turns", "2", "--rounds", "1"]]
                .concat(),
            "responses: --max-turns 3 is too low for the 8 turns of this run: --turns 2, --rounds \
             1, 4 modes\n",
        ),
    ] {
        let ran = bench(args).await;
        assert_eq!((ran.code, ran.lines.len()), (Some(2), 0), "{args:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(why), "{args:?}: {}", ran.stderr);
    }
    assert_eq!(server.log().connections.len(), 0);
}

#[tokio::test]
async fn c261_a_failed_turn_of_a_real_server_ends_the_run_with_the_figures_before() {
    // The first two turns run in both modes, and the third one in none.
    let script = || {
        Script::new().respond(|exchange| match exchange.index {
            0..4 => Turn::text("hi"),
            _ => Turn::error(400, "invalid_prompt", "no good"),
        })
    };
    let modes = ["--modes", "websocket-full,sse-keep-alive"];
    let small = ["--turns", "4", "--rounds", "2", "--max-turns", "16", "--head", "500"];
    let live = async |args: &[&str]| {
        let server = server(script()).await;
        let url = server.url();
        let mut live = command(&["bench", "--live", "--base-url", &url, "--model", "m"]);
        live.args(modes).args(small).args(args).env("OPENAI_API_KEY", "key");
        let ran = ran(live, &[""; 0]).await;
        assert_eq!((ran.code, server.log().requests.len()), (Some(1), 5), "{}", ran.stderr);
        assert!(ran.stderr.starts_with("responses: websocket_full, turn 3: "), "{}", ran.stderr);
        assert!(ran.stderr.contains("no good"), "{}", ran.stderr);
        ran
    };
    let ran = live(&["--json"]).await;
    let summary = value(&ran.lines[0]);
    let error = &summary["error"];
    assert_eq!(members(error), ["message", "mode", "round", "turn"]);
    assert_eq!((&error["mode"], &error["round"]), (&json!("websocket_full"), &json!(1)));
    assert_eq!(error["turn"], 3);
    for name in ["websocket_full", "sse_keep_alive"] {
        assert_eq!(summary["modes"][name]["turns"], 2, "{summary}");
        assert_eq!(summary["modes"][name]["by_turn"].as_array().unwrap().len(), 2);
    }
    let ran = live(&[]).await;
    assert!(ran.lines[0].starts_with("The run ended early: websocket_full, turn 3: "), "{ran:?}");
    assert!(ran.lines.iter().any(|line| line.starts_with("Turn p50 ")), "{ran:?}");
}

#[tokio::test]
async fn c261_a_real_server_that_fails_the_first_turn_leaves_no_figures() {
    let server = server(Script::new().turn(Turn::error(400, "invalid_prompt", "no good"))).await;
    let url = server.url();
    let mut live = command(&["bench", "--live", "--base-url", &url, "--model", "m"]);
    live.args(["--turns", "1", "--rounds", "1", "--max-turns", "4"]).env("OPENAI_API_KEY", "key");
    let ran = ran(live, &[""; 0]).await;
    assert_eq!((ran.code, ran.lines.len()), (Some(1), 0));
    assert!(ran.stderr.contains("websocket_incremental, turn 1: "), "{}", ran.stderr);
    assert!(ran.stderr.contains("no good"), "{}", ran.stderr);
    assert_eq!(server.log().requests.len(), 1);
}

#[tokio::test]
async fn c261_a_real_server_gets_no_turn_a_second_time() {
    let error = |status: u16, code: &str| json!({"error": {"status": status, "code": code}});
    let texts = || vec![json!({"text": "hi"}); 2];
    // Failures that sessions retry without using up an attempt, and one that uses one up.
    for (mode, failure) in [
        ("websocket-incremental", error(400, "previous_response_not_found")),
        ("websocket-incremental", error(400, "websocket_connection_limit_reached")),
        ("websocket-full", error(429, "rate_limit_exceeded")),
        ("sse-keep-alive", error(503, "server_is_overloaded")),
    ] {
        let (script, log) = (Temporary::new("once.json"), Temporary::new("once.jsonl"));
        let turns = [texts(), vec![failure.clone()], texts()].concat();
        std::fs::write(&script.0, json!({ "turns": turns }).to_string()).unwrap();
        let (server, url, _) = serve(&["--script", script.path(), "--log", log.path()]).await;
        let mut live = command(&["bench", "--live", "--base-url", &url, "--model", "m", "--json"]);
        live.args(["--modes", mode, "--turns", "3", "--rounds", "1", "--max-turns", "3"]);
        live.args(["--head", "500", "--item", "50", "--tool-time", "1ms"]);
        live.env("OPENAI_API_KEY", "key");
        let ran = ran(live, &[""; 0]).await;
        assert_eq!(server.end().await.code, Some(0));
        let requests = log.lines().into_iter().filter(|line| line["kind"] == "request").count();
        assert_eq!(requests, 3, "{mode}, {failure}: {}", ran.stderr);
        assert_eq!(ran.code, Some(1), "{mode}, {failure}: {}", ran.stderr);
        let message = value(&ran.lines[0])["error"]["message"].as_str().unwrap().to_owned();
        let is_free = failure["error"]["status"] == 400;
        let why = "bench sends no turn a second time";
        assert_eq!(message.ends_with(why), is_free, "{mode}, {failure}: {message}");
    }
}

#[tokio::test]
async fn c261_a_frame_that_the_server_would_refuse_is_explained_in_flags() {
    let server = server(
        Script::new()
            .respond(|_| Turn::text("hi"))
            .header("x-codex-websocket-max-message-bytes", "3000"),
    )
    .await;
    let url = server.url();
    let mut live = command(&["bench", "--live", "--base-url", &url, "--model", "m"]);
    live.args(["--modes", "websocket-full", "--turns", "5", "--rounds", "1", "--max-turns", "5"]);
    live.args(["--head", "500", "--item", "1000", "--json"]).env("OPENAI_API_KEY", "key");
    let ran = ran(live, &[""; 0]).await;
    assert_eq!(ran.code, Some(1));
    let expected = "exceeds the size limit of the server: lower --head, --item or --turns";
    assert!(ran.stderr.contains(expected), "{}", ran.stderr);
    assert_eq!(value(&ran.lines[0])["modes"]["websocket_full"]["turns"], 2);
}

/// Checks that the refusal names a check and its times, and a deviation beyond the limit that is the
/// one of these times.
fn assert_right_refusal(stderr: &str) {
    let start = "responses: the emulated network is off by ";
    let parts = stderr.strip_prefix(start).and_then(|rest| {
        let (off, rest) = rest.split_once(" %, and nothing was measured: ")?;
        let (check, rest) = rest.split_once(" should take ")?;
        let (expected, rest) = rest.split_once(" ms, and took ")?;
        Some((check, [off, expected, rest.strip_suffix(" ms\n")?]))
    });
    let (check, numbers) = parts.unwrap_or_else(|| panic!("{stderr}"));
    assert!(CHECKS.contains(&check), "{stderr}");
    let [off, expected, measured] = numbers.map(|it| it.parse::<f64>().unwrap());
    assert!(off.abs() >= 5.0 && expected > 10.0, "{stderr}");
    assert!(((measured / expected - 1.0) * 100.0 - off).abs() < 0.2 + 10.0 / expected, "{stderr}");
}

#[test]
fn a_wrong_refusal_is_seen() {
    let refusal = |off: &str, name: &str, took: &str| {
        format!(
            "responses: the emulated network is off by {off} %, and nothing was measured: {name} \
             should take 500.0 ms, and took {took} ms\n"
        )
    };
    assert_right_refusal(&refusal("-10.0", "three_windows", "450.0"));
    for (off, name, took) in [
        ("4.0", "three_windows", "520.0"),
        ("10.0", "two_windows", "550.0"),
        ("10.0", "three_windows", "500.0"),
    ] {
        let text = refusal(off, name, took);
        assert!(std::panic::catch_unwind(|| assert_right_refusal(&text)).is_err(), "{text}");
    }
}

#[tokio::test]
async fn c260_a_network_in_real_time_takes_the_time_that_it_reports() {
    let start = Instant::now();
    let args = ["--json", "--real-time", "--preset", "lan", "--rounds", "1"];
    let args = [&args[..], &["--modes", "sse-keep-alive", "--think", "50", "--tool-time", "100"]];
    let run = command(&[&["bench"], &SMALL[..], &args.concat()].concat()).output();
    let ended = timeout(Duration::from_secs(180), run).await.expect("no hang").unwrap();
    let (stdout, stderr) =
        (String::from_utf8(ended.stdout).unwrap(), String::from_utf8(ended.stderr).unwrap());
    // The check of the network has a pause of 10 s.
    assert!(start.elapsed() > Duration::from_secs(10));
    if ended.status.code() == Some(1) {
        // A machine that is too busy to keep the times measures nothing, after three tries. The
        // refusal must be right whatever the machine does.
        assert!(stdout.is_empty() && start.elapsed() > Duration::from_secs(30), "{stdout}");
        assert_right_refusal(&stderr);
        return;
    }
    assert_eq!((ended.status.code(), stderr.as_str()), (Some(0), ""));
    let summary = value(&stdout);
    assert_eq!(summary["settings"]["clock"], "real");
    let mode = &summary["modes"]["sse_keep_alive"];
    assert_eq!(mode["turns"], 2);
    // Two turns of a model that thinks, and the tools in between.
    let conversation = mode["by_turn"][1]["cumulative_ms"].as_f64().unwrap();
    assert!(conversation >= 100.0, "{conversation}");
    assert!(start.elapsed() > Duration::from_secs_f64(10.1 + conversation / 1e3));
}

#[tokio::test]
async fn the_example_measures_all_modes_and_their_pauses() {
    let mut example = tokio::process::Command::new(example("latency"));
    let ended = guarded(example.arg("5").env_clear().output()).await.unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let output = String::from_utf8(ended.stdout).unwrap();
    // The times to the first event, by mode and turn.
    let mut modes: Vec<(&str, Vec<f64>)> = Vec::new();
    for line in output.lines() {
        match line.split_once(": first event") {
            Some((title, _)) => modes.push((title, Vec::new())),
            None => modes.last_mut().unwrap().1.push(line[..9].trim().parse().unwrap()),
        }
    }
    let titles: Vec<_> = modes.iter().map(|(title, _)| *title).collect();
    let expected = [
        "WebSocket, new items",
        "WebSocket, in full",
        "SSE, kept connection",
        "SSE, new connection",
    ];
    assert_eq!(titles, expected);
    assert!(modes.iter().all(|(_, turns)| turns.len() == 5), "{output}");
    // Round trips of 80 ms in the last turn. TCP starts again after the pause: two for the head of
    // 38 kB, two for its answer, and one more for the history. A new connection takes two more.
    let trips: Vec<_> = modes.iter().map(|(_, turns)| (turns[4] / 80.0) as usize).collect();
    assert_eq!(trips, [4, 5, 5, 7], "{output}");
}
