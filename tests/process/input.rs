//! Input of `responses run`: streams of JSON values, files, prompts, and headers from files.

use responses_client::testing::{Script, Turn};
use serde_json::{Value, json};

use crate::support::{
    server,
    tool::{Temporary, Tool, command, ran, run, value},
};

const HI: &str = r#"{"model":"m","store":false,"input":"hi"}"#;

fn echo() -> Script {
    Script::new().respond(|exchange| {
        let last = exchange.history.last().cloned().unwrap_or_default();
        Turn::text(last["content"].to_string())
    })
}

#[tokio::test]
async fn c246_values_may_have_many_lines_or_share_one() {
    let server = server(echo()).await;
    let append = |text: &str| json!({"$append": [{"role": "user", "content": text}]});
    let pretty = serde_json::to_string_pretty(&value(HI)).unwrap();
    let next = serde_json::to_string_pretty(&append("b")).unwrap();
    let input = [format!("{pretty}\n\n{next}{}\t{}", append("c"), append("d"))];
    let ran = ran(run(&server.url(), &["--quiet"]), &input).await;
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let plans = ran.turns().into_iter().map(|turn| turn["plan"].clone());
    assert_eq!(plans.collect::<Vec<_>>(), ["full", "incremental", "incremental", "incremental"]);
    let texts: Vec<Value> = ran.turns().iter().map(|turn| turn["output_text"].clone()).collect();
    assert_eq!(texts[1..], [r#""b""#, r#""c""#, r#""d""#]);
}

#[tokio::test]
async fn c246_a_turn_starts_when_its_object_is_complete() {
    let server = server(echo()).await;
    let mut tool = Tool::start(run(&server.url(), &["--quiet"]));
    for line in ["{\"model\":", "\"m\",", "\"input\":[]}"] {
        tool.say(line).await;
    }
    assert_eq!(value(&tool.line().await.unwrap())["outcome"], "completed");
    assert_eq!(tool.end().await.code, Some(0));
}

#[tokio::test]
async fn c246_a_fault_is_shown_with_its_line_and_file() {
    let server = server(echo()).await;
    let file = Temporary::new("faults.json");
    for (text, place, why) in [
        (format!("{HI}\n{{\n\"model\" 5}}\n"), "line 3: ", "no valid JSON: expected `:`"),
        (format!("{HI}\n\n{{\"model\":\n5,\n"), "line 3: ", "the JSON ends too early"),
        (format!("{HI}\n{{\n\"input\":5}}"), "line 2: ", "the request body"),
        (format!("{HI}\n[{HI}]"), "line 2: ", "the value is not a JSON object"),
        (format!("{HI}\n{{\n\"$prepend\":[]}}"), "line 2: ", "unknown member `$prepend`"),
    ] {
        std::fs::write(&file.0, text).unwrap();
        let mut with_key = run(&server.url(), &["--quiet", file.path()]);
        with_key.env("OPENAI_API_KEY", "key");
        let ran = ran(with_key, &[""; 0]).await;
        assert_eq!((ran.code, ran.turns().len()), (Some(2), 1), "{}", ran.stderr);
        let expected = format!("responses: {}: {place}", file.path());
        assert!(ran.stderr.starts_with(&expected), "{}", ran.stderr);
        assert!(ran.stderr.contains(why) && ran.stderr.lines().count() == 1, "{}", ran.stderr);
    }
}

#[tokio::test]
async fn c246_a_request_to_stream_is_dropped_with_one_note() {
    let server = server(echo()).await;
    let streamed = r#"{"model":"m","stream":true,"input":"hi","x":1}"#;
    let mut with_key = run(&server.url(), &["--quiet"]);
    with_key.env("OPENAI_API_KEY", "key");
    let ran = ran(with_key, &[streamed, streamed]).await;
    assert_eq!((ran.code, ran.turns().len()), (Some(0), 2));
    assert_eq!(ran.stderr, "responses: `\"stream\": true` is dropped: every turn is streamed\n");
    let body = &server.log().requests[0].body;
    assert_eq!((&body["stream"], &body["x"]), (&Value::Null, &json!(1)));
}

#[tokio::test]
async fn c247_a_file_is_run_like_standard_input() {
    let server = server(echo()).await;
    let file = Temporary::new("requests.jsonl");
    std::fs::write(&file.0, format!("{HI}\n{HI}\n")).unwrap();
    for (args, input) in [(["--quiet", file.path()], ""), (["--quiet", "-"], HI)] {
        let ran = ran(run(&server.url(), &args), &[input]).await;
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        assert_eq!(ran.turns().len(), if input.is_empty() { 2 } else { 1 });
    }
}

#[tokio::test]
async fn c247_a_prompt_is_one_request() {
    let server = server(echo()).await;
    for (args, input) in [(["-m", "m", "Say hi"], ""), (["--model", "m", "-"], "Say hi")] {
        let ran = ran(run(&server.url(), &args), &[input]).await;
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        assert!(ran.events(1).len() > 3, "JSON, as the output is no terminal");
        assert_eq!(ran.turns()[0]["outcome"], "completed");
        let body = server.log().requests.last().unwrap().body.clone();
        assert_eq!(body["model"], "m");
        assert!(body["input"].to_string().contains("Say hi"), "{body}");
    }
}

#[tokio::test]
async fn c247_a_prompt_that_names_a_file_is_sent_with_a_note() {
    let server = server(echo()).await;
    let file = Temporary::new("prompt.jsonl");
    std::fs::write(&file.0, HI).unwrap();
    let mut with_key = run(&server.url(), &["--quiet", "-m", "m", file.path()]);
    with_key.env("OPENAI_API_KEY", "key");
    let ran = ran(with_key, &[""; 0]).await;
    let note = "is sent as the prompt; to run the file, omit --model";
    assert_eq!(ran.stderr, format!("responses: `{}` {note}\n", file.path()));
    let body = server.log().requests.last().unwrap().body.clone();
    assert!(body["input"].to_string().contains("prompt.jsonl"), "{body}");
}

#[tokio::test]
async fn headers_may_be_in_a_file() {
    let server = server(echo()).await;
    let file = Temporary::new("headers");
    std::fs::write(&file.0, "X-A: 1\n\nAuthorization: Bearer canary\r\n").unwrap();
    let header = format!("@{}", file.path());
    let args = ["--quiet", "--transport", "sse", "--header", &header, "--header", "x-b: 2"];
    let mut client = run(&server.url(), &args);
    client.env("OPENAI_API_KEY", "k1");
    let output = ran(client, &[HI]).await;
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
    let log = server.log();
    let seen = |name: &str| log.requests[0].header(name).map(str::to_owned);
    assert_eq!(seen("x-a").as_deref(), Some("1"));
    assert_eq!(seen("x-b").as_deref(), Some("2"));
    assert_eq!(seen("authorization").as_deref(), Some("Bearer canary"));

    std::fs::write(&file.0, "X-A: 1\ncanary\n").unwrap();
    let output = ran(run(&server.url(), &["--header", &header]), &[HI]).await;
    let expected = format!("--header {header}: line 2 is not of the form NAME:VALUE");
    assert_eq!((output.code, output.lines.len()), (Some(2), 0));
    assert!(output.stderr.contains(&expected), "{}", output.stderr);
    assert!(!output.stderr.contains("canary"));
}

#[tokio::test]
async fn organization_and_project_are_headers() {
    let server = server(echo()).await;
    let url = server.url();
    for (provider, args, expected) in [
        ("openai", &[][..], [Some("o1"), Some("p1")]),
        ("openai", &["--organization", "o2"], [Some("o2"), Some("p1")]),
        ("vllm", &[], [None, None]),
        ("vllm", &["--organization", "o2", "--project", "p2"], [Some("o2"), Some("p2")]),
    ] {
        let mut client = command(&["run", "--base-url", &url, "--transport", "sse", "--quiet"]);
        client.args(["--provider", provider]).args(args);
        client.env("OPENAI_ORG_ID", "o1").env("OPENAI_PROJECT_ID", "p1");
        assert_eq!(ran(client, &[HI]).await.code, Some(0));
        let log = server.log();
        let last = log.requests.last().unwrap();
        let seen = ["openai-organization", "openai-project"].map(|name| last.header(name));
        assert_eq!(seen, expected, "{provider} {args:?}");
    }
}
