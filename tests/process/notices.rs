//! Notices of `responses run` on standard error.

use responses_client::testing::{Refusal, Script, Step, Turn, Upgrade};

use crate::support::{
    server,
    tool::{Ran, command, ran, run},
};

const HI: &str = r#"{"model":"m","store":false,"input":"hi"}"#;

/// Returns the output of two turns against this script, with a key.
async fn answers(script: Script, args: &[&str], variables: &[(&str, &str)]) -> Ran {
    let server = server(script).await;
    let mut client = run(&server.url(), args);
    client.env("OPENAI_API_KEY", "canary").envs(variables.iter().copied());
    let ran = ran(client, &[HI, HI]).await;
    assert!(!ran.stderr.contains("canary") && !ran.stderr.contains("\x1b"), "{}", ran.stderr);
    ran
}

fn failing_once() -> Script {
    let limited = Turn::error(429, "rate_limit_exceeded", "Please try again in 0.02s.");
    Script::new().turns([Turn::text("a"), limited, Turn::text("b")])
}

#[tokio::test]
async fn c248_failed_attempts_and_their_delays_are_reported() {
    let ran = answers(failing_once(), &["--quiet"], &[]).await;
    assert_eq!((ran.code, ran.turns().len()), (Some(0), 2));
    let start = "responses: turn 2: over websocket: the server answered with an error, status ";
    assert!(ran.stderr.starts_with(start), "{}", ran.stderr);
    assert!(ran.stderr.contains("; next attempt in "), "{}", ran.stderr);
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
}

#[tokio::test]
async fn c248_the_wait_for_a_server_that_refuses_connections_is_reported() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (deadline, notes) in [("100ms", 1), ("0", 0)] {
        let url = format!("http://{free}/v1");
        let args = ["--quiet", "--transport", "sse", "--network-down-deadline", deadline];
        let mut client = run(&url, &args);
        client.env("OPENAI_API_KEY", "canary");
        let ran = ran(client, &[HI]).await;
        assert_eq!(ran.code, Some(1));
        let note = format!(
            "responses: turn 1: over sse: {free} refused the connection (the request was not sent); \
             next attempt in "
        );
        let told: Vec<_> = ran.stderr.lines().collect();
        assert_eq!(told.len(), notes, "{deadline}: {told:?}");
        assert!(told.iter().all(|it| it.starts_with(&note) && it.contains(", giving up in ")));
    }
}

#[tokio::test]
async fn c248_a_fallback_is_reported() {
    let script = Script::new()
        .every_upgrade(Upgrade::Refuse(Refusal::status(404)))
        .respond(|_| Turn::text("hi"));
    let ran = answers(script, &["--quiet"], &[]).await;
    assert_eq!(ran.code, Some(0));
    let start = "responses: turn 1: over websocket: the server refused the WebSocket upgrade";
    assert!(ran.stderr.starts_with(start), "{}", ran.stderr);
    let end = "; next attempt immediately\nresponses: turn 1: falling back to SSE\n";
    assert!(ran.stderr.ends_with(end), "{}", ran.stderr);
}

#[tokio::test]
async fn c248_verbose_adds_sends_and_ends_and_then_log_lines() {
    let script = || Script::new().turn(Turn::text("a")).turn(Turn::error(400, "invalid", "no"));
    let quiet = answers(script(), &[], &[]).await;
    assert_eq!(quiet.stderr, "");
    let once = answers(script(), &["-v"], &[]).await;
    let lines: Vec<&str> = once.stderr.lines().collect();
    assert_eq!(lines.len(), 4, "{lines:#?}");
    assert!(lines[0].starts_with("responses: turn 1: sending "), "{lines:#?}");
    assert!(lines[0].ends_with(" bytes over websocket: full (first turn)"), "{lines:#?}");
    assert!(lines[1].starts_with("responses: turn 1: ended after "), "{lines:#?}");
    assert!(lines[1].ends_with(" bytes received"), "{lines:#?}");
    assert_eq!(lines[3], "responses: turn 2: failed (api)");
    let logged = |ran: &Ran, level| ran.stderr.contains(&format!("{level} session"));
    let twice = answers(script(), &["-vv"], &[]).await;
    assert!(logged(&twice, "DEBUG"), "{}", twice.stderr);
    assert!(twice.stderr.contains("responses: turn 1: sending "), "{}", twice.stderr);
    assert!(!logged(&once, "DEBUG"));
    let by_variable = answers(script(), &[], &[("RUST_LOG", "responses_client=debug")]).await;
    assert!(logged(&by_variable, "DEBUG"), "{}", by_variable.stderr);
    assert!(!by_variable.stderr.contains("responses: "), "{}", by_variable.stderr);
    let off = answers(script(), &["-vv"], &[("RUST_LOG", "off")]).await;
    assert!(!logged(&off, "DEBUG"), "{}", off.stderr);
    let outputs = [&quiet, &once, &twice].map(|ran| ran.lines.len());
    assert!(outputs.iter().all(|lines| *lines == outputs[0]), "the output stays as it is");
}

#[tokio::test]
async fn c248_a_missing_key_is_reported_once() {
    let server = server(Script::new().respond(|_| Turn::text("hi"))).await;
    let url = server.url();
    let said = "responses: no API key is sent: OPENAI_API_KEY is not set, or empty\n";
    for (args, expected) in [
        (&["--quiet"][..], said),
        (&["--quiet", "--provider", "compatible"], said),
        (&["--quiet", "--provider", "vllm"], ""),
        (&["--quiet", "--header", "Authorization: x"], ""),
    ] {
        let ran = ran(run(&url, args), &[HI, HI]).await;
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), expected), "{args:?}");
    }
    let args = ["run", "--provider", "xai", "--timeout-turn", "0.001", "--quiet"];
    let elsewhere = ran(command(&args), &[""; 0]).await;
    let said = "responses: no API key is sent: see --api-key-env\n";
    assert!(elsewhere.stderr.starts_with(said), "{}", elsewhere.stderr);
}

#[tokio::test]
async fn fail_fast_ends_the_run_at_the_first_failed_turn() {
    let script = || Script::new().turn(Turn::error(400, "invalid", "no")).turn(Turn::text("hi"));
    let to_the_end = answers(script(), &["--quiet"], &[]).await;
    assert_eq!((to_the_end.code, to_the_end.turns().len()), (Some(1), 2));
    let fast = answers(script(), &["--quiet", "--fail-fast"], &[]).await;
    assert_eq!((fast.code, fast.turns().len()), (Some(1), 1));
    let cut = Script::new().turn(Turn::text("Hello").cut_after(2, Step::Reset));
    let fast =
        answers(cut.turn(Turn::text("hi")), &["--fail-fast", "--replay", "never"], &[]).await;
    assert_eq!((fast.code, fast.turns().len()), (Some(1), 1));
}

#[tokio::test]
async fn c173_entries_without_a_proxy_that_never_match_are_reported() {
    let script = || Script::new().respond(|_| Turn::text("hi"));
    let list = "127.0.0.1,https://api.example,10.0.0.0/33";
    let note =
        "responses: the entries `https://api.example`, `10.0.0.0/33` of NO_PROXY never match\n";
    // The malformed proxy is not used for the only server.
    let proxy = ("HTTP_PROXY", "garbage://x:y");
    for (args, list, expected) in [
        (&["--quiet"][..], list, note),
        (&["--quiet"], "127.0.0.1,a*", "responses: the entry `a*` of NO_PROXY never matches\n"),
        (&["--quiet"], "127.0.0.1", ""),
    ] {
        let ran = answers(script(), args, &[proxy, ("NO_PROXY", list)]).await;
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), expected), "{list}");
    }
    let without_proxy = answers(script(), &["--quiet"], &[("NO_PROXY", list)]).await;
    assert_eq!(without_proxy.stderr, "");
    let logged = answers(script(), &["-vv"], &[proxy, ("NO_PROXY", list)]).await;
    assert_eq!(logged.stderr.matches("never match").count(), 1, "{}", logged.stderr);
}
