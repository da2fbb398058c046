//! `responses serve` and `responses run` against each other, as processes.

use std::path::Path;

use responses_client::testing::{Script, Turn};
use serde_json::{Value, json};

use crate::support::{
    BOTH, guarded,
    plain::{Socket, create, create_over_websocket, http},
    server,
    tool::{Ran, Temporary, Tool, command, ran, run, value},
};

const HI: &str = r#"{"model":"m","input":"hi"}"#;
const GO_ON: &str = r#"{"$append":[{"type":"message","role":"user","content":"go on"}]}"#;

/// A server that is running, with its URL and the path of its CA.
pub(crate) async fn serve(args: &[&str]) -> (Tool, String, Value) {
    let mut command = command(&["serve"]);
    command.args(args);
    let mut tool = Tool::start(command);
    let Some(line) = tool.line().await else { panic!("{}", tool.end().await.stderr) };
    let ready = value(&line);
    assert_eq!(ready.as_object().unwrap().len(), 2);
    assert!(line.starts_with(r#"{"url":""#));
    (tool, ready["url"].as_str().unwrap().to_owned(), ready["ca"].clone())
}

fn texts(ran: &Ran) -> Vec<Value> {
    ran.turns().iter().map(|turn| turn["output_text"].clone()).collect()
}

#[tokio::test]
async fn the_agent_sees_one_history_over_both_transports() {
    let tools = r#"{"model":"m","store":false,"input":"What is this?","tools":[{"type":"function","name":"list_files"}]}"#;
    let output =
        r#"{"$append":[{"type":"function_call_output","call_id":"call_1","output":"a.rs"}]}"#;
    let mut answers = Vec::new();
    for transport in BOTH {
        let (server, url, ca) = serve(&["--script", "agent"]).await;
        assert!(url.starts_with("http://127.0.0.1:") && url.ends_with("/v1"), "{url}");
        assert_eq!(ca, Value::Null);
        let ran = ran(run(&url, &["--transport", transport.as_str()]), &[tools, output]).await;
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let items = |turn| -> Vec<Value> {
            let events = ran.events(turn).into_iter();
            let done = events.filter(|it| it["kind"] == "output_item_done");
            done.map(|it| it["event"]["item"].clone()).collect()
        };
        answers.push([items(1), items(2)]);
        assert_eq!(server.end().await.code, Some(0), "it ends with its input");
    }
    assert_eq!(answers[0], answers[1]);
    assert!(answers[0][1].iter().any(|item| item["type"] == "function_call"));
}

#[tokio::test]
async fn c249_the_agent_answers_in_text_when_no_tools_are_offered() {
    let none = r#"{"model":"m","input":"hi","tools":[{"type":"function","name":"other"}],"tool_choice":"none"}"#;
    for transport in BOTH {
        let (server, url, _) = serve(&[]).await;
        let args = ["--transport", transport.as_str(), "--quiet"];
        let ran = ran(run(&url, &args), &[HI, GO_ON, none]).await;
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        assert_eq!(ran.turns().len(), 3);
        for text in texts(&ran) {
            assert!(text.as_str().unwrap().starts_with("I made 0 tool calls."), "{text}");
        }
        assert_eq!(server.end().await.code, Some(0));
    }
}

#[tokio::test]
async fn c249_a_script_that_is_used_up_answers_an_error_that_is_not_retried() {
    let script = Temporary::new("used-up.json");
    std::fs::write(&script.0, r#"{"turns":[{"text":"hi"}]}"#).unwrap();
    for transport in BOTH {
        let (server, url, _) = serve(&["--script", script.path()]).await;
        let args = ["--transport", transport.as_str(), "--quiet"];
        let ran = ran(run(&url, &args), &[HI, HI]).await;
        assert_eq!(ran.code, Some(1), "{}", ran.stderr);
        let turn = &ran.turns()[1];
        assert_eq!(turn["error"]["code"], "script_exhausted");
        assert_eq!(turn["error"]["delivery"], "refused");
        assert_eq!(turn["attempts"].as_array().unwrap().len(), 1);
        assert_eq!(server.end().await.code, Some(0));
    }
}

#[tokio::test]
async fn a_recording_is_replayed_as_it_was() {
    for transport in BOTH {
        let unknown = json!({"type": "response.new_thing", "x": [1]});
        let odd = Turn::text("Hello").map_events(
            move |place, event| {
                if place == 1 { unknown.clone() } else { event }
            },
        );
        let limited = Turn::error(429, "rate_limit_exceeded", "Please try again in 90s.");
        let item = json!({"type": "message", "role": "assistant", "status": "incomplete",
            "content": [{"type": "output_text", "text": "cut", "annotations": []}]});
        let incomplete = Turn::incomplete([item], "max_output_tokens");
        let script = Script::new().turns([odd, limited, incomplete]);
        let original = server(script).await;
        let file = Temporary::new(format!("{transport}.jsonl"));
        let args = ["--transport", transport.as_str(), "--record", file.path()];
        let mut recorded = run(&original.url(), &args);
        recorded.env("OPENAI_API_KEY", "canary");
        let before = ran(recorded, &[HI, GO_ON, GO_ON]).await;
        assert_eq!(before.code, Some(1), "{}", before.stderr);

        let lines = file.lines();
        assert!(!format!("{lines:?}").contains("canary"));
        let mut last = (0, 0);
        for line in &lines {
            let time = (line["turn"].as_u64().unwrap(), line["at_ms"].as_u64().unwrap());
            assert!(time >= last, "{time:?} after {last:?}");
            last = time;
            assert_eq!(line["transport"], transport.as_str());
            assert_eq!(line.as_object().unwrap().len(), 4);
        }
        let of_turn = |turn: u64| lines.iter().filter(move |line| line["turn"] == turn);
        assert!(of_turn(1).all(|line| line.get("event").is_some()));
        assert_eq!(of_turn(2).count(), 1);
        assert_eq!(of_turn(2).next().unwrap()["error"], before.turns()[1]["error"]);

        let (replay, url, _) = serve(&["--script", file.path()]).await;
        let after = ran(run(&url, &["--transport", transport.as_str()]), &[HI, GO_ON, GO_ON]).await;
        assert_eq!(after.code, Some(1), "{}", after.stderr);
        for turn in 1..=3 {
            assert_eq!(after.events(turn), before.events(turn));
        }
        assert_eq!(texts(&after), texts(&before));
        for what in ["kind", "delivery", "status", "code", "retry_after_ms"] {
            let error = |ran: &Ran| ran.turns()[1]["error"][what].clone();
            assert_eq!(error(&after), error(&before), "{what}");
        }
        assert_eq!(replay.end().await.code, Some(0));
    }
}

#[tokio::test]
async fn tls_is_trusted_by_the_certificate_that_it_names() {
    for transport in BOTH {
        let (server, url, ca) = serve(&["--tls"]).await;
        let ca = ca.as_str().unwrap();
        assert!(url.starts_with("https://"), "{url}");
        let args = ["--transport", transport.as_str(), "--quiet"];
        let mut trusting = run(&url, &args);
        trusting.env("SSL_CERT_FILE", ca);
        let trusted = ran(trusting, &[HI]).await;
        assert_eq!(trusted.code, Some(0), "{:?}", trusted.turns());
        let refused = ran(run(&url, &args), &[HI]).await;
        assert_eq!(refused.turns()[0]["error"]["kind"], "tls");
        assert!(Path::new(ca).exists());
        let ca = ca.to_owned();
        assert_eq!(server.end().await.code, Some(0));
        assert!(!Path::new(&ca).exists());
    }
}

#[tokio::test]
async fn the_log_has_requests_and_connections_and_no_credentials() {
    for transport in BOTH {
        let log = Temporary::new(format!("log-{transport}.jsonl"));
        let (server, url, _) = serve(&["--log", log.path()]).await;
        let args = ["--transport", transport.as_str(), "--header", "x-a: b", "--quiet"];
        let mut client = run(&url, &args);
        client.env("OPENAI_API_KEY", "canary");
        assert_eq!(ran(client, &[HI, GO_ON]).await.code, Some(0));
        assert_eq!(server.end().await.code, Some(0));
        let lines = log.lines();
        assert!(!format!("{lines:?}").contains("canary"));
        let of_kind = |kind: &str| -> Vec<Value> {
            lines.iter().filter(|line| line["kind"] == kind).cloned().collect()
        };
        let (requests, connections) = (of_kind("request"), of_kind("connection"));
        assert_eq!(requests.len(), 2);
        assert_eq!(requests[0]["body"]["model"], "m");
        assert_eq!(requests[0]["turn"], 0);
        assert_eq!(requests[1]["transport"], transport.as_str());
        assert!(requests[1]["bytes_received"].as_u64() > Some(0));
        let (parent, items) = match transport {
            responses_client::Transport::WebSocket => (true, 1),
            _ => (false, 3),
        };
        assert_eq!(requests[1]["previous_response_id"].is_string(), parent);
        assert!(requests[1]["input_items"].as_u64() >= Some(items));
        assert_eq!(connections.len(), 1, "{connections:#?}");
        assert_eq!(connections[0]["transport"], transport.as_str());
        let with_headers = if parent { &connections[0] } else { &requests[0] };
        assert_eq!(with_headers["headers"]["authorization"], "[masked]");
        assert_eq!(with_headers["path"], "/v1/responses");
        assert_eq!(requests[1]["path"], "/v1/responses");
        assert_eq!(with_headers["headers"]["x-a"], "b");
    }
}

#[tokio::test]
async fn c184_the_server_is_strict_if_it_is_asked_to_be() {
    let output = json!({ "type": "function_call_output", "call_id": "call_1", "output": "" });
    let body = json!({ "model": "m", "input": [output] });
    for (args, expected) in [(&["--strict"][..], 400), (&[], 200)] {
        let (server, url, _) = serve(args).await;
        for (status, answer) in
            [create(&url, &body).await, create_over_websocket(&url, &body).await]
        {
            assert_eq!(status, expected, "{answer}");
            let message = "No tool call found for function call output with call_id call_1.";
            let error = (expected == 400).then_some(message);
            assert_eq!(answer["error"]["message"].as_str(), error);
        }
        assert_eq!(server.end().await.code, Some(0));
    }
}

#[tokio::test]
async fn only_the_paths_of_the_api_are_answered_and_all_are_logged() {
    let log = Temporary::new("paths.jsonl");
    let (server, url, _) = serve(&["--log", log.path()]).await;
    let (status, response) = create(&url, &json!({ "model": "m", "input": "hi" })).await;
    assert_eq!((status, &response["status"]), (200, &json!("completed")));
    let one = format!("/v1/responses/{}", response["id"].as_str().unwrap());
    let create = json!({ "model": "m", "input": "hi", "stream": true });
    for (method, path, body, expected) in [
        ("GET", &*one, &Value::Null, 200),
        ("GET", &*format!("{one}/input_items"), &Value::Null, 200),
        ("DELETE", &*one, &Value::Null, 200),
        ("GET", &*one, &Value::Null, 404),
        ("DELETE", &*one, &Value::Null, 404),
        ("GET", "/v1/models", &Value::Null, 200),
        ("PUT", "/v1/responses", &create, 405),
        ("POST", "/responses", &create, 404),
        ("POST", "/v1/v1/responses", &create, 404),
        ("POST", "/v1/chat/completions?api-key=canary&a=b", &create, 404),
        ("POST", "/v2/responses", &create, 404),
    ] {
        let (status, body) = http(&url, method, path, body).await;
        assert_eq!(status, expected, "{method} {path}: {body}");
        let error = &body["error"];
        let kind = (status >= 400).then_some("invalid_request_error");
        assert_eq!(error["type"].as_str(), kind, "{method} {path}: {body}");
        if expected == 404 && path.starts_with("/v1/chat") {
            assert_eq!(error["message"], "Invalid URL (POST /v1/chat/completions)");
        }
    }
    assert_eq!(server.end().await.code, Some(0));
    let lines = log.lines();
    let of = |kind: &str, member: &str| -> Vec<Value> {
        let lines = lines.iter().filter(|line| line["kind"] == kind);
        lines.map(|line| line[member].clone()).collect()
    };
    assert_eq!(of("request", "path"), ["/v1/responses"]);
    assert_eq!(of("connection", "path"), vec![Value::Null; 12]);
    let statuses = [200, 200, 200, 404, 404, 200, 405, 404, 404, 404, 404];
    assert_eq!(of("other", "status"), statuses);
    assert_eq!(of("other", "path")[9], "/v1/chat/completions?api-key=[masked]&a=b");
    assert_eq!(of("other", "method")[6], "PUT");
}

#[tokio::test]
async fn a_script_file_sets_the_answers_to_messages_and_the_log_has_them() {
    let (script, log) = (Temporary::new("messages.json"), Temporary::new("messages.jsonl"));
    let turns = r#"{"turns":[
        {"text":"a","steering":{"refuse":"too_many_pending_steers"},
            "edits":[{"insert":[2,"await_steer"]}]},
        {"output":[{"type":"function_call","call_id":"c","name":"f","arguments":"{}"}],
            "edits":[{"insert":[2,"await_inject"]}]},
        {"text":"b","interrupting":"after_item","edits":[{"insert":[4,"await_interrupt"]}]}]}"#;
    std::fs::write(&script.0, turns).unwrap();
    let (server, url, _) = serve(&["--script", script.path(), "--log", log.path()]).await;
    let mut socket = Socket::connect(&url, "responses_multi_agent=v1").await;
    let mut ids = Vec::new();
    for (mut message, answers) in [
        (
            json!({"type": "response.steer", "input": "more"}),
            ["response.steer.failed", "completed"],
        ),
        (
            json!({"type": "response.inject", "input":
                [{"type": "function_call_output", "call_id": "c", "output": "7"}]}),
            ["response.inject.created", "completed"],
        ),
        (json!({"type": "response.interrupt"}), ["response.interrupt.accepted", "incomplete"]),
    ] {
        socket.send(&json!({"type": "response.create", "model": "m", "input": "hi"})).await;
        let id = socket.event().await["response"]["id"].clone();
        let member = match message["type"] == "response.steer" {
            true => "previous_response_id",
            false => "response_id",
        };
        message[member] = id.clone();
        socket.send(&message).await;
        let events = socket.turn().await;
        assert!(events.iter().any(|event| event["type"] == answers[0]), "{events:?}");
        let end = &events.last().unwrap()["response"];
        assert_eq!((&end["status"], &end["id"]), (&json!(answers[1]), &id));
        ids.push((member, message));
    }
    drop(socket);
    assert_eq!(server.end().await.code, Some(0));
    let lines = log.lines();
    for (kind, (member, message)) in ["steer", "inject", "interrupt"].into_iter().zip(ids) {
        let line = lines.iter().find(|line| line["kind"] == kind).unwrap();
        let id = &message[member];
        assert_eq!(*line, json!({"kind": kind, "connection": 0, member: id, "body": message}));
    }
}

#[tokio::test]
async fn the_log_is_written_as_things_happen() {
    let log = Temporary::new("live-log.jsonl");
    let (server, url, _) = serve(&["--log", log.path()]).await;
    assert_eq!(ran(run(&url, &["--quiet"]), &[HI]).await.code, Some(0));
    guarded(async {
        while std::fs::read_to_string(&log.0).unwrap().lines().count() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let ended = server.end().await;
    let note = "responses: standard input has ended, and the server with it\n";
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), note));
    assert_eq!(log.lines().len(), 2, "each once");
}

#[cfg(unix)]
#[tokio::test]
async fn a_signal_ends_the_server() {
    for signal in ["-INT", "-TERM"] {
        let (server, url, ca) = serve(&["--tls"]).await;
        server.signal(signal);
        let ended = server.ended().await;
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{signal}");
        assert!(!Path::new(ca.as_str().unwrap()).exists());
        let port = url
            .trim_start_matches("https://")
            .trim_end_matches("/v1")
            .replace("localhost", "127.0.0.1");
        assert!(tokio::net::TcpStream::connect(port).await.is_err());
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_said_to_be() {
    let (first, url, _) = serve(&[]).await;
    let port = url.trim_end_matches("/v1").rsplit(':').next().unwrap();
    let second = ran(command(&["serve", "--port", port]), &[""; 0]).await;
    assert_eq!((second.code, second.lines.len()), (Some(2), 0));
    assert!(second.stderr.contains(port), "{}", second.stderr);
    first.end().await;
}

#[tokio::test]
async fn a_script_with_a_mistake_is_refused() {
    let script = Temporary::new("mistake.json");
    std::fs::write(&script.0, "{\"nonsense\":").unwrap();
    let ran = ran(command(&["serve", "--script", script.path()]), &[""; 0]).await;
    assert_eq!((ran.code, ran.lines.len()), (Some(2), 0));
    assert!(ran.stderr.contains("mistake.json"), "{}", ran.stderr);
}
