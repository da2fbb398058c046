//! `responses run`, as a process.

use std::time::Duration;

use responses_client::{
    Transport,
    testing::{Gate, Refusal, Script, Step, Turn, Upgrade},
};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::{
    BOTH, close, guarded, server,
    tool::{Ran, Tool, command, ran, run, value},
};

const HI: &str = r#"{"model":"m","store":false,"input":"hi"}"#;
const GO_ON: &str = r#"{"$append":[{"type":"message","role":"user","content":"go on"}]}"#;

/// The members of the line of a turn, in order.
const MEMBERS: [&str; 15] = [
    "turn",
    "outcome",
    "response_id",
    "output_text",
    "error",
    "transport",
    "reused",
    "plan",
    "reason",
    "new_items",
    "attempts",
    "bytes_sent",
    "bytes_received",
    "events",
    "timings_ms",
];

/// Runs these lines against this script.
async fn answers(script: Script, args: &[&str], input: &[&str]) -> Ran {
    let server = server(script).await;
    ran(with_key(run(&server.url(), args)), input).await
}

/// Sets a key, so that no note says that there is none.
fn with_key(mut command: Command) -> Command {
    command.env("OPENAI_API_KEY", "key");
    command
}

fn message(text: &str) -> Value {
    json!({"type": "message", "role": "assistant", "status": "completed",
        "content": [{"type": "output_text", "text": text, "annotations": []}]})
}

#[tokio::test]
async fn three_turns_are_continued_and_told_in_full() {
    for transport in BOTH {
        let server = server(Script::new().turns(["a", "b", "c"].map(Turn::text))).await;
        let args = ["--transport", transport.as_str()];
        let ran = ran(with_key(run(&server.url(), &args)), &[HI, "", GO_ON, "  ", GO_ON]).await;
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
        let log = server.log();
        for (index, turn) in ran.turns().iter().enumerate() {
            assert_eq!(turn["turn"], index + 1);
            assert_eq!(turn["outcome"], "completed");
            assert_eq!(turn["output_text"], ["a", "b", "c"][index]);
            assert_eq!(turn["error"], Value::Null);
            assert_eq!(turn["transport"], transport.as_str());
            assert_eq!(turn["reused"], index > 0);
            assert_eq!(turn["attempts"], json!([{"transport": transport.as_str(), "error": null}]));
            let plan = (&turn["plan"], &turn["reason"], &turn["new_items"]);
            let (incremental, full) = (json!("incremental"), json!("full"));
            match (transport, index) {
                (_, 0) => assert_eq!(plan, (&full, &json!("first_turn"), &Value::Null)),
                (Transport::WebSocket, _) => {
                    assert_eq!(plan, (&incremental, &Value::Null, &json!(1)));
                    assert_eq!(log.requests[index].input_items, 1);
                }
                _ => {
                    assert_eq!(plan, (&full, &json!("provider_unsupported"), &Value::Null));
                    assert_eq!(log.requests[index].input_items, 2 * index + 1);
                }
            }
            let events = ran.events(index as u64 + 1);
            assert_eq!(turn["events"], events.len());
            assert_eq!(events.last().unwrap()["event"]["response"]["id"], turn["response_id"]);
            assert!(turn["bytes_sent"].as_u64() > Some(50));
            assert!(turn["bytes_received"].as_u64() > Some(500));
            let times = ["queued", "sent", "first_byte", "first_event", "first_text", "done"];
            let times = times.map(|phase| turn["timings_ms"][phase].as_f64().unwrap());
            assert!(times[2..].is_sorted(), "{times:?}");
            assert_eq!(
                turn["timings_ms"]["connected"].is_number(),
                transport == Transport::WebSocket && index == 0
            );
        }
        assert_eq!(ran.turns().len(), 3);
    }
}

#[tokio::test]
async fn the_members_of_a_line_have_their_order() {
    let ran = answers(Script::new().turn(Turn::text("hi")), &[], &[HI]).await;
    assert!(ran.lines[0].starts_with(r#"{"turn":1,"event":{"type":"response.created","#));
    assert!(ran.lines[0].ends_with(r#"},"kind":"created"}"#));
    let line = ran.lines.last().unwrap();
    let places = MEMBERS.map(|name| line.find(&format!("\"{name}\":")).expect(name));
    assert!(places.is_sorted(), "{line}");
    assert_eq!(value(line).as_object().unwrap().len(), MEMBERS.len());
    let kinds: Vec<_> = ran.events(1).iter().map(|it| it["kind"].clone()).collect();
    assert!(kinds.contains(&json!("output_text_delta")), "{kinds:?}");
    assert_eq!(kinds.last().unwrap(), "completed");
}

#[tokio::test]
async fn events_are_shown_as_they_came() {
    let created = r#"{ "type" : "response.created", "response":{"id":"r","n":1.00} }"#;
    let unknown = r#"{"type":"response.new\u002dthing","x":[ 1, 2 ]}"#;
    let in_lines =
        "{\"type\":\"response.completed\",\n \"response\" : {\"id\":\"r\",\n\"text\":\"a  b\"}}";
    for transport in BOTH {
        let steps = [created, unknown, in_lines].map(|text| Step::Text(text.to_owned()));
        let script = Script::new().turn(Turn::steps(steps));
        let ran = answers(script, &["--transport", transport.as_str()], &[HI]).await;
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        assert_eq!(ran.lines[0], format!(r#"{{"turn":1,"event":{created},"kind":"created"}}"#));
        assert_eq!(ran.lines[1], format!(r#"{{"turn":1,"event":{unknown},"kind":"unknown"}}"#));
        assert_eq!(
            ran.lines[2],
            r#"{"turn":1,"event":{"type":"response.completed","response":{"id":"r","text":"a  b"}},"kind":"completed"}"#
        );
        assert_eq!(ran.lines.len(), 4);
    }
}

#[tokio::test]
async fn a_failed_turn_does_not_end_the_run() {
    for transport in BOTH {
        // More than the 60 s that are waited for.
        let limited = Turn::error(429, "rate_limit_exceeded", "Please try again in 90s.");
        let server = server(Script::new().turn(limited).turn(Turn::text("hi"))).await;
        let args = ["--transport", transport.as_str(), "--quiet"];
        let ran = ran(with_key(run(&server.url(), &args)), &[HI, GO_ON]).await;
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(1), ""));
        assert_eq!(ran.lines.len(), 2);
        let turns = ran.turns();
        let error = &turns[0]["error"];
        assert_eq!(turns[0]["outcome"], "error");
        assert_eq!(turns[0]["response_id"], Value::Null);
        assert_eq!(turns[0]["output_text"], Value::Null);
        assert_eq!(
            turns[0]["attempts"],
            json!([{"transport": transport.as_str(), "error": "api"}])
        );
        assert_eq!(error["kind"], "api");
        assert_eq!(error["delivery"], "refused");
        assert_eq!(error["status"], 429);
        assert_eq!(error["code"], "rate_limit_exceeded");
        assert_eq!(error["retry_after_ms"], 90_000);
        assert!(error["message"].as_str().unwrap().contains("try again in 90s"));
        assert_eq!(error.as_object().unwrap().len(), 6);
        assert_eq!(turns[1]["outcome"], "completed");
        assert_eq!(turns[1]["reason"], "prior_not_completed");
        assert_eq!(server.log().requests[1].input_items, 2, "the last request, and one item");
    }
}

#[tokio::test]
async fn what_came_of_a_failed_turn_is_told() {
    for transport in BOTH {
        let cut = Turn::text("Hello").cut_after(5, close(1011));
        let script = Script::new().turn(cut);
        let ran = answers(script, &["--transport", transport.as_str()], &[HI]).await;
        assert_eq!(ran.code, Some(1));
        let turn = &ran.turns()[0];
        assert_eq!(turn["error"]["delivery"], "output_started");
        assert_eq!(turn["response_id"], ran.events(1)[0]["event"]["response"]["id"]);
        let text = turn["output_text"].as_str().unwrap();
        assert!(!text.is_empty() && "Hello".starts_with(text), "{text}");
    }
}

#[tokio::test]
async fn what_came_of_a_failed_turn_is_not_gone_on_from() {
    for transport in BOTH {
        let failed = Turn::failed([message("half")], "invalid_prompt", "no");
        let server = server(Script::new().turn(failed).turn(Turn::text("hi"))).await;
        let args = ["--transport", transport.as_str()];
        let ran = ran(run(&server.url(), &args), &[HI, GO_ON]).await;
        assert_eq!((ran.code, &ran.turns()[0]["output_text"]), (Some(1), &json!("half")));
        assert_eq!(server.log().requests[1].body["input"].as_array().unwrap().len(), 2);
    }
}

#[tokio::test]
async fn an_incomplete_turn_is_none_that_failed() {
    for transport in BOTH {
        let incomplete = Turn::incomplete([message("cut")], "max_output_tokens");
        let server = server(Script::new().turn(incomplete).turn(Turn::text("hi"))).await;
        let args = ["--transport", transport.as_str()];
        let ran = ran(run(&server.url(), &args), &[HI, GO_ON]).await;
        assert_eq!(ran.code, Some(0));
        let turns = ran.turns();
        assert_eq!(
            (&turns[0]["outcome"], &turns[0]["error"]),
            (&json!("incomplete"), &json!(null))
        );
        assert_eq!(turns[0]["output_text"], "cut");
        assert_eq!(turns[1]["outcome"], "completed");
        let input = &server.log().requests[1].body["input"];
        assert_eq!(input.as_array().unwrap().len(), 3);
        assert_eq!(input[1]["content"][0]["text"], "cut");
    }
}

#[tokio::test]
async fn a_bad_line_ends_the_run_and_what_came_before_it_stands() {
    for (bad, why) in [
        ("{\"model\":", "not a JSON object: the JSON ends too early"),
        ("nonsense", "not a JSON object: no valid JSON: "),
        ("[1]", "not a JSON object"),
        (r#"{"model":"m","input":7}"#, "the request body"),
        (r#"{"model":"m","stream":false}"#, "`stream` belongs to the transport"),
        (r#"{"model":"m","x":1,"x":2}"#, "set twice"),
        (r#"{"$append":{"type":"message"}}"#, "a list of objects"),
        (r#"{"$append":[],"model":"m"}"#, "the only member"),
        (r#"{"model":"m","$appendix":[]}"#, "unknown member `$appendix`"),
    ] {
        let script = Script::new().turn(Turn::text("hi")).turn(Turn::text("never"));
        let ran = answers(script, &[], &[HI, "", bad, HI]).await;
        assert_eq!(ran.code, Some(2), "{bad}");
        assert!(ran.stderr.starts_with("responses: line 3: "), "{}", ran.stderr);
        assert!(ran.stderr.contains(why) && ran.stderr.lines().count() == 1, "{}", ran.stderr);
        assert_eq!(ran.turns().len(), 1);
        assert_eq!(ran.turns()[0]["output_text"], "hi");
    }
    let ran = answers(Script::new(), &[], &[GO_ON]).await;
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("line 1: `$append` needs a request before it"), "{}", ran.stderr);
    // It wins over a turn that failed.
    let script = Script::new().turn(Turn::error(400, "invalid_prompt", "no"));
    assert_eq!(answers(script, &[], &[HI, "nonsense"]).await.code, Some(2));
}

#[tokio::test]
async fn what_the_policy_forbids_is_a_failed_turn() {
    let background = r#"{"model":"m","input":"hi","background":true}"#;
    let script = Script::new().turn(Turn::text("hi"));
    let ran = answers(script, &["--transport", "websocket"], &[background, HI]).await;
    assert_eq!(ran.code, Some(1));
    let turns = ran.turns();
    assert_eq!(turns[0]["error"]["kind"], "invalid_request");
    assert_eq!(turns[0]["error"]["delivery"], "not_sent");
    assert_eq!((&turns[0]["transport"], &turns[0]["plan"]), (&Value::Null, &Value::Null));
    assert_eq!(turns[0]["attempts"], json!([]));
    assert_eq!(turns[1]["outcome"], "completed");
}

#[tokio::test]
async fn a_caller_may_read_each_event_before_the_next_one_comes() {
    for transport in BOTH {
        let gate = Gate::new();
        let held = Turn::text("Hello").insert(1, Step::Gate(gate.clone()));
        let server = server(Script::new().turn(held).turn(Turn::text("ho"))).await;
        let mut tool = Tool::start(run(&server.url(), &["--transport", transport.as_str()]));
        tool.say(HI).await;
        assert_eq!(value(&tool.line().await.unwrap())["kind"], "created");
        gate.open();
        let first = tool.line_where(|line| line.get("outcome").is_some()).await;
        assert_eq!(first["output_text"], "Hello");
        tool.say(GO_ON).await;
        let second = tool.line_where(|line| line.get("outcome").is_some()).await;
        assert_eq!((&second["turn"], &second["output_text"]), (&json!(2), &json!("ho")));
        assert_eq!(tool.end().await.code, Some(0));
    }
}

#[tokio::test]
async fn nothing_to_do_is_noted_and_no_failure() {
    let ran = answers(Script::new(), &[], &["", " "]).await;
    let note = "responses: the input has no requests\n";
    assert_eq!((ran.code, ran.lines.len(), ran.stderr.as_str()), (Some(0), 0, note));
}

#[cfg(unix)]
#[tokio::test]
async fn ctrl_c_ends_the_run_in_the_middle_of_a_turn() {
    for transport in BOTH {
        let server = server(Script::new().turn(Turn::text("Hello").insert(3, Step::Stall))).await;
        let args = ["--transport", transport.as_str()];
        let mut tool = Tool::start(with_key(run(&server.url(), &args)));
        tool.say(HI).await;
        tool.line_where(|line| line["kind"] == "in_progress").await;
        tool.signal("-INT");
        let ran = tool.ended().await;
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(130), ""));
        guarded(server.wait_for(|log| log.open_connections() == 0)).await;
    }
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_reason_for_words() {
    let server = server(Script::new().respond(|_| Turn::text("Hello"))).await;
    let mut command = with_key(run(&server.url(), &[]));
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut child = command.stdout(writer).spawn().expect("the tool");
    drop(command);
    let mut input = child.stdin.take().expect("piped");
    tokio::io::AsyncWriteExt::write_all(&mut input, format!("{HI}\n").as_bytes()).await.unwrap();
    let ended = guarded(child.wait_with_output()).await.unwrap();
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stderr.is_empty(), "{}", String::from_utf8_lossy(&ended.stderr));
}

#[tokio::test]
async fn headers_and_keys_go_along() {
    for transport in BOTH {
        let server = server(Script::new().respond(|_| Turn::text("hi"))).await;
        let seen = |name: &str| {
            let log = server.log();
            let headers = match transport {
                Transport::WebSocket => &log.websockets().last().unwrap().headers,
                _ => &log.requests.last().unwrap().headers,
            };
            headers.iter().find(|(it, _)| it == name).map(|(_, value)| value.clone())
        };
        let args = ["--transport", transport.as_str(), "--quiet", "--header", "X-A: 1:2"];
        let mut first = run(&server.url(), &args);
        first.args(["--header", "x-b:two"]);
        assert_eq!(ran(first, &[HI]).await.code, Some(0));
        assert_eq!(seen("x-a").as_deref(), Some("1:2"));
        assert_eq!(seen("x-b").as_deref(), Some("two"));
        assert_eq!(seen("authorization"), None);

        let mut by_default = run(&server.url(), &args);
        by_default.env("OPENAI_API_KEY", "k1").env("MINE", "k2");
        assert_eq!(ran(by_default, &[HI]).await.code, Some(0));
        assert_eq!(seen("authorization").as_deref(), Some("Bearer k1"));

        let mut named = run(&server.url(), &args);
        named.args(["--api-key-env", "MINE"]).env("OPENAI_API_KEY", "k1").env("MINE", "k2");
        assert_eq!(ran(named, &[HI]).await.code, Some(0));
        assert_eq!(seen("authorization").as_deref(), Some("Bearer k2"));

        let mut by_hand = run(&server.url(), &args);
        by_hand.args(["--header", "Authorization: mine"]).env("OPENAI_API_KEY", "k1");
        assert_eq!(ran(by_hand, &[HI]).await.code, Some(0));
        assert_eq!(seen("authorization").as_deref(), Some("mine"));
    }
}

#[tokio::test]
async fn the_environment_may_name_the_server() {
    let server = server(Script::new().respond(|_| Turn::text("hi"))).await;
    for provider in ["openai", "azure", "vllm", "compatible"] {
        let mut by_variable = command(&["run", "--quiet", "--provider", provider]);
        by_variable.env("OPENAI_BASE_URL", server.url());
        let ran = ran(by_variable, &[HI]).await;
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let over = if provider == "vllm" { "sse" } else { "websocket" };
        assert_eq!(ran.turns()[0]["transport"], over, "{provider}");
    }
    let before = server.log().connections.len();
    let mut elsewhere = command(&["run", "--provider", "ollama", "--timeout-turn", "100ms"]);
    elsewhere.env("OPENAI_BASE_URL", server.url());
    ran(elsewhere, &[HI]).await;
    assert_eq!(server.log().connections.len(), before, "that one has an address of its own");
}

#[tokio::test]
async fn a_provider_has_its_ways() {
    for (provider, over) in [
        ("xai", "websocket"),
        ("vercel", "websocket"),
        ("chatgpt", "websocket"),
        ("openrouter", "sse"),
        ("copilot", "sse"),
        ("ollama", "sse"),
        ("lmstudio", "sse"),
    ] {
        let server = server(Script::new().turn(Turn::text("hi"))).await;
        let ran = ran(run(&server.url(), &["--quiet", "--provider", provider]), &[HI]).await;
        assert_eq!(ran.turns()[0]["transport"], over, "{provider}");
        let log = server.log();
        let beta = log.websockets().next().and_then(|seen| seen.header("openai-beta"));
        assert_eq!(beta.is_some(), provider == "chatgpt");
    }
}

#[tokio::test]
async fn a_transport_that_is_not_allowed_is_not_used() {
    let refused = || Script::new().every_upgrade(Upgrade::Refuse(Refusal::status(404)));
    let ran = answers(refused().turn(Turn::text("hi")), &[], &[HI]).await;
    assert_eq!((ran.code, &ran.turns()[0]["transport"]), (Some(0), &json!("sse")));
    assert_eq!(
        ran.turns()[0]["attempts"],
        json!([{"transport": "websocket", "error": "upgrade_refused"},
            {"transport": "sse", "error": null}])
    );
    let ran = answers(refused(), &["--transport", "websocket"], &[HI]).await;
    assert_eq!((ran.code, &ran.turns()[0]["error"]["kind"]), (Some(1), &json!("upgrade_refused")));
}

#[tokio::test]
async fn each_time_limit_fires() {
    let created = json!({"type": "response.created", "response": {"id": "r"}});
    let silent = || Turn::steps([Step::Stall]);
    let stops = || Turn::steps([Step::Event(created.clone()), Step::Stall]);
    let mut cases = Vec::new();
    for transport in BOTH {
        for (flag, time, turn, delivery) in [
            ("--timeout-first-event", "80ms", silent(), "unknown"),
            ("--timeout-idle", "0.08", stops(), "accepted"),
            // It counts from the start, so that there must be time to get so far.
            ("--timeout-turn", "2", silent(), "unknown"),
            ("--timeout-turn", "2s", stops(), "accepted"),
        ] {
            cases.push(async move {
                let args = ["--transport", transport.as_str(), flag, time, "--replay", "never"];
                let ran = answers(Script::new().turn(turn), &args, &[HI]).await;
                let error = &ran.turns()[0]["error"];
                assert_eq!((ran.code, &error["kind"]), (Some(1), &json!("timeout")), "{flag}");
                assert_eq!(error["delivery"], delivery, "{flag}");
            });
        }
    }
    futures_util::future::join_all(cases).await;
    let hang = Script::new().every_upgrade(Upgrade::Hang);
    let args = ["--transport", "websocket", "--timeout-connect", "80ms", "--timeout-turn", "8s"];
    let ran = answers(hang, &args, &[HI]).await;
    let attempts = ran.turns()[0]["attempts"].clone();
    assert_eq!(attempts.as_array().unwrap().len(), 4, "the time of the turn is not over");
    assert_eq!(attempts[3], json!({"transport": "websocket", "error": "timeout"}));
    assert_eq!(ran.turns()[0]["error"]["delivery"], "not_sent");
}

#[tokio::test]
async fn a_silent_server_is_pinged_after_the_time_of_a_flag() {
    for (ping, is_pinged) in [("50ms", true), ("0", false)] {
        let silent = Turn::text("hi").insert(1, Step::Delay(Duration::from_millis(500)));
        let server = server(Script::new().turn(silent)).await;
        let ran = ran(run(&server.url(), &["--ping", ping]), &[HI]).await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let pings: usize = server.log().websockets().map(|seen| seen.pings).sum();
        assert_eq!(pings > 0, is_pinged, "{ping}: {pings}");
    }
}

#[tokio::test]
async fn each_replay_policy_is_kept() {
    for transport in BOTH {
        let cut = |after| Turn::text("Hello").cut_after(after, Step::Reset);
        for (policy, events_before, attempts) in [
            ("never", 0, 1),
            ("before-created", 0, 2),
            ("before-created", 1, 1),
            ("before-output", 1, 2),
            ("before-output", 5, 1),
            ("restart", 5, 2),
        ] {
            let script = Script::new().turn(cut(events_before)).turn(Turn::text("Hello"));
            let args = ["--transport", transport.as_str(), "--replay", policy];
            let ran = answers(script, &args, &[HI]).await;
            let turn = &ran.turns()[0];
            assert_eq!(turn["attempts"].as_array().unwrap().len(), attempts, "{policy} {turn}");
            assert_eq!(ran.code, Some(2 - attempts as i32), "{policy}");
            let restarted = r#"{"turn":1,"event":null,"kind":"restarted"}"#;
            let shown = ran.lines.iter().any(|line| line == restarted);
            assert_eq!(shown, policy == "restart");
        }
    }
}

#[tokio::test]
async fn bad_usage_is_refused_before_anything_is_sent() {
    let server = server(Script::new()).await;
    let url = server.url();
    let url = url.as_str();
    for (args, why) in [
        (&["walk"][..], "unrecognized subcommand"),
        (&["run", "--transport", "pigeon"], "possible values: auto, websocket, sse"),
        (&["run", "--replay", "always"], "never, before-created, before-output, restart"),
        (&["run", "--provider", "nobody"], "possible values: openai"),
        (&["run", "--timeout-turn", "soon"], "--timeout-turn"),
        (&["run", "--timeout-idle", "2 parsecs"], "--timeout-idle"),
        (&["run", "--timeout-idle", "-2"], "-2"),
        (&["run", "--nonsense"], "--nonsense"),
        (&["run", "--base-url", "api.openai.com"], "base URL"),
        (&["run", "--base-url", url, "--header", "x canary"], "NAME:VALUE"),
        (&["run", "--base-url", url, "--header", "@/nowhere/x"], "@/nowhere/x: "),
        (&["run", "--base-url", url, "--header", "host:canary"], "belongs to the transport"),
        (&["run", "--base-url", url, "--api-key-env", "NOT_SET"], "NOT_SET is not set"),
        (&["run", "--base-url", url, "--record", "/nowhere/x"], "/nowhere/x cannot be written"),
        (&["run", "--provider", "azure"], "needs a --base-url"),
        (&["run", "--base-url", "http://a.example/v1", "--api-key-env", "KEY"], "unencrypted"),
        (&["run", "--base-url", url, "/nowhere/x"], "could not open /nowhere/x"),
        (&["run", "--base-url", url, "Say hi"], "a prompt needs --model"),
        (&["run", "--base-url", url, "--model", "m"], "<FILE|PROMPT>"),
        (&["run", "--json", "--text"], "cannot be used with"),
        (&["completions", "tcl"], "bash"),
        (&["man", "walk"], "there is no command walk"),
        (&["serve", "--port", "70000"], "--port"),
        (&["serve", "--script", "/nowhere/x"], "/nowhere/x"),
        (&["serve", "--log", "/nowhere/x"], "/nowhere/x cannot be written"),
    ] {
        let mut bad = command(args);
        bad.env("KEY", "canary");
        let ran = ran(bad, &[HI]).await;
        assert_eq!((ran.code, ran.lines.len()), (Some(2), 0), "{args:?}");
        assert!(ran.stderr.contains(why), "{args:?}: {}", ran.stderr);
        assert!(!ran.stderr.contains("canary"));
    }
    assert_eq!(server.log().connections.len(), 0);
}

#[tokio::test]
async fn the_help_tells_of_every_flag() {
    for (args, words) in [
        (&["--help"][..], &["run", "serve", "completions", "man", "Exit status"][..]),
        (
            &["run", "--help"],
            &[
                "--base-url <URL>",
                "--provider <NAME>",
                "- azure:",
                "--transport <",
                "- websocket:",
                "[FILE|PROMPT]",
                "--sessions <FILE>...",
                "-m, --model <NAME>",
                "--json",
                "--text",
                "--header <K:V|@FILE>",
                "--organization <ID>",
                "--project <ID>",
                "--api-key-env <NAME>",
                "--timeout-connect <TIME>",
                "--timeout-first-event <TIME>",
                "--timeout-idle <TIME>",
                "--timeout-turn <TIME>",
                "--replay <POLICY>",
                "- before-output:",
                "--record <FILE>",
                "--fail-fast",
                "--quiet",
                "-v, --verbose...",
                "RUST_LOG",
                "$append",
                "Examples:",
                "Exit status",
            ],
        ),
        (&["serve", "--help"], &["--port <P>", "--script <", "--log <FILE>", "--tls", "Examples:"]),
    ] {
        let ran = ran(command(args), &[""; 0]).await;
        assert_eq!(ran.code, Some(0));
        let help = ran.lines.join("\n");
        for word in words {
            assert!(help.contains(word), "{args:?}: {word}");
        }
        let flags = help.matches("\n      --").count();
        assert_eq!(help.matches("[default: ").count(), flags, "each tells its default: {help}");
    }
}

#[tokio::test]
async fn c067_a_process_that_is_killed_takes_its_connection_with_it() {
    for transport in ["websocket", "sse"] {
        let server =
            server(Script::new().turn(Turn::text("one two three four").cut_after(5, Step::Stall)))
                .await;
        let mut tool = Tool::start(run(&server.url(), &["--transport", transport]));
        tool.say(r#"{"model":"gpt-test","input":"hello"}"#).await;
        tool.line_where(|line| line["kind"] == "output_text_delta").await;
        assert_eq!(server.log().open_connections(), 1);
        tool.child.kill().await.expect("it is running");
        guarded(server.wait_for(|log| log.open_connections() == 0)).await;
        assert!(!server.log().requests[0].finished, "{transport}");
    }
}
