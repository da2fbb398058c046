//! Conformance, group J: the same transcripts on both transports, whole and cut at every event.

use std::time::Duration;

use responses_client::{
    Delivery, ErrorKind, Limits, ReplayPolicy, Response, ResponseStatus, ResponsesClient,
    ResponsesSession, RetryPolicy, Transport,
    error::ErrorCode,
    event::ResponseEvent,
    testing::{Script, ScriptedServer, Step, Turn},
};
use serde_json::Value;

use support::{BOTH, Outcome, builder, guarded, only, request, server, socket_client, turn};

mod support;

/// The transcripts, one event a line.
const TRANSCRIPTS: [(&str, &str); 5] = [
    ("text", include_str!("fixtures/text.jsonl")),
    ("reasoning_call", include_str!("fixtures/reasoning_call.jsonl")),
    ("custom_call", include_str!("fixtures/custom_call.jsonl")),
    ("failed", include_str!("fixtures/failed.jsonl")),
    ("incomplete", include_str!("fixtures/incomplete.jsonl")),
];

fn faults() -> [Step; 4] {
    let close = |code| Step::Close { code, reason: String::new() };
    [close(Some(1000)), close(None), Step::End, Step::Reset]
}

/// What has come with these events, told by the simplest means.
#[derive(Debug, Default, PartialEq)]
struct Content {
    finished: Vec<Value>,
    text: String,
    arguments: String,
    input: String,
    summary: String,
}

impl Content {
    fn of_events(lines: &[&str]) -> Self {
        let mut content = Self::default();
        for line in lines {
            let event: Value = serde_json::from_str(line).expect("JSON");
            let delta = event["delta"].as_str().unwrap_or_default();
            match event["type"].as_str().expect("a type") {
                "response.output_item.added" => {
                    content =
                        Self { finished: content.finished, text: content.text, ..Self::default() };
                }
                "response.output_item.done" => {
                    content.finished.push(event["item"].clone());
                    content =
                        Self { finished: content.finished, text: content.text, ..Self::default() };
                }
                "response.output_text.delta" => content.text.push_str(delta),
                "response.function_call_arguments.delta" => content.arguments.push_str(delta),
                "response.custom_tool_call_input.delta" => content.input.push_str(delta),
                "response.reasoning_summary_text.delta" => content.summary.push_str(delta),
                _ => {}
            }
        }
        content
    }

    fn of_response(response: &Response) -> Self {
        let item = |item: responses_client::Item| item.json().decode().expect("JSON");
        let unfinished = response.unfinished_items();
        assert!(unfinished.len() <= 1, "one item at a time");
        Self {
            finished: response.output_items().map(item).collect(),
            text: response.output_text(),
            arguments: unfinished.iter().map(|item| item.arguments()).collect(),
            input: unfinished.iter().map(|item| item.input()).collect(),
            summary: unfinished.iter().map(|item| item.reasoning_summary()).collect(),
        }
    }
}

fn raws(outcome: &Outcome) -> Vec<&str> {
    outcome.events.iter().map(ResponseEvent::raw).collect()
}

/// One attempt a turn, so that what is cut stays cut.
fn once() -> RetryPolicy {
    let mut retry = RetryPolicy::default();
    retry.replay = ReplayPolicy::Never;
    retry.attempts = 1;
    retry
}

/// Cuts a transcript at every event by every fault, each in a session of its own.
async fn cut_everywhere(
    server: &ScriptedServer,
    transport: Transport,
    session: impl Fn() -> ResponsesSession,
    name: &str,
    transcript: &str,
) {
    let lines: Vec<&str> = transcript.lines().collect();
    for fault in faults() {
        for cut in 0..lines.len() {
            let what = format!("{name} over {transport} after {cut} events by {fault:?}");
            let requests = server.log().requests.len();
            server.push(Turn::jsonl(transcript).cut_after(cut, fault.clone()));
            // That nothing follows the error is asserted there.
            let outcome = guarded(turn(&mut session(), &request(&["hi"]))).await;
            assert_eq!(server.log().requests.len(), requests + 1, "{what}");
            assert_eq!(raws(&outcome), lines[..cut], "{what}");

            let error = outcome.error();
            let kind = match (transport, &fault) {
                (Transport::WebSocket, Step::Close { .. }) => ErrorKind::Closed,
                _ => ErrorKind::Truncated,
            };
            assert_eq!(error.kind(), kind, "{what}: {error:?}");
            if let (Transport::WebSocket, Step::Close { code, .. }) = (transport, &fault) {
                assert_eq!(error.close_frame().map(|frame| frame.code), *code, "{what}");
            }
            let delivery = match cut {
                0 => Delivery::Unknown,
                1 | 2 => Delivery::Accepted,
                _ => Delivery::OutputStarted,
            };
            assert_eq!(error.delivery(), delivery, "{what}");
            assert_eq!(outcome.report.attempts.len(), 1, "{what}");
            assert_eq!(outcome.report.events, cut as u64, "{what}");
            match error.partial() {
                None => assert_eq!(cut, 0, "{what}"),
                Some(partial) => {
                    assert!(!partial.is_ended() && partial.status() == ResponseStatus::InProgress);
                    assert!(partial.id().is_some_and(|id| lines[0].contains(id)), "{what}");
                    let expected = Content::of_events(&lines[..cut]);
                    assert_eq!(Content::of_response(partial), expected, "{what}");
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c119_a_cut_at_any_event_is_one_error_and_keeps_what_came() {
    for transport in BOTH {
        for (name, transcript) in TRANSCRIPTS {
            let server = ScriptedServer::in_memory(Script::new());
            let client = builder(&server).transport(only(transport)).retry(once());
            let client = client.build().expect("a client");
            let session = || client.session();
            cut_everywhere(&server, transport, session, name, transcript).await;
        }
    }
}

#[tokio::test]
async fn c119_a_cut_at_any_event_is_one_error_over_real_sockets() {
    for transport in BOTH {
        let server = server(Script::new()).await;
        let provider = responses_client::Provider::compatible(&server.url()).expect("a URL");
        let client = ResponsesClient::builder(provider).transport(only(transport)).retry(once());
        let client = client.build().expect("a client");
        let (name, transcript) = TRANSCRIPTS[1];
        cut_everywhere(&server, transport, || client.session(), name, transcript).await;
    }
}

#[tokio::test]
async fn c119_uncut_both_transports_give_the_same() {
    for (name, transcript) in TRANSCRIPTS {
        let server =
            server(Script::new().turns([Turn::jsonl(transcript), Turn::jsonl(transcript)]));
        let server = server.await;
        let mut outcomes = Vec::new();
        for transport in BOTH {
            let mut session = socket_client(&server, only(transport)).session();
            let outcome = guarded(turn(&mut session, &request(&["hi"]))).await;
            assert_eq!(outcome.report.transport, Some(transport));
            outcomes.push(outcome);
        }
        let [websocket, sse] = &outcomes[..] else { panic!("two outcomes") };

        let mut lines: Vec<&str> = transcript.lines().collect();
        if name == "failed" {
            // The last event becomes the error.
            lines.pop();
        }
        assert_eq!(raws(websocket), lines, "{name}");
        assert_eq!(raws(sse), lines, "{name}");
        assert_eq!(websocket.report.anomalies, sse.report.anomalies);
        assert_eq!(websocket.report.events, sse.report.events);
        assert_eq!(websocket.report.bytes_received, sse.report.bytes_received);

        let response = |outcome: &Outcome| -> Response {
            match &outcome.result {
                Ok(response) => response.clone(),
                Err(error) => error.partial().expect("what came").clone(),
            }
        };
        let (one, two) = (response(websocket), response(sse));
        let items = |response: &Response| -> Vec<String> {
            response.output_items().map(|item| item.json().get().to_owned()).collect()
        };
        assert_eq!(items(&one), items(&two), "{name}");
        assert_eq!(one.raw().map(|raw| raw.get()), two.raw().map(|raw| raw.get()), "{name}");
        assert_eq!((one.id(), one.status()), (two.id(), two.status()));
        assert_eq!((one.usage(), one.incomplete_reason()), (two.usage(), two.incomplete_reason()));
        assert_eq!(one.output_text(), two.output_text());
        assert_eq!(one.function_calls(), two.function_calls());
        assert_eq!(one.custom_tool_calls(), two.custom_tool_calls());
        assert_eq!(one.unfinished_items().len(), two.unfinished_items().len());

        // And the outcome is the one that the transcript tells.
        let status = match name {
            "failed" => ResponseStatus::Failed,
            "incomplete" => ResponseStatus::Incomplete,
            _ => ResponseStatus::Completed,
        };
        assert_eq!(one.status(), status, "{name}");
        assert_eq!(outcomes.iter().all(|outcome| outcome.result.is_err()), name == "failed");
        for outcome in outcomes.iter().filter(|outcome| outcome.result.is_err()) {
            let error = outcome.error();
            assert_eq!((error.kind(), error.delivery()), (ErrorKind::Api, Delivery::OutputStarted));
            assert_eq!(error.code(), Some(&ErrorCode::InvalidPrompt));
        }
        match name {
            "text" => assert_eq!(one.output_text(), "Héllo from\nthe \"server\" ☃"),
            "reasoning_call" => {
                assert_eq!(one.function_calls()[0].arguments, r#"{"path":"src/lib.rs"}"#);
                assert_eq!(items(&one).len(), 2);
            }
            "custom_call" => assert!(one.custom_tool_calls()[0].input.starts_with("*** Begin")),
            "incomplete" => {
                assert_eq!(one.incomplete_reason().as_deref(), Some("max_output_tokens"));
                assert!(one.function_calls().is_empty(), "it was not finished");
            }
            _ => assert_eq!(one.output_text(), "Half an answer"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c119_a_cut_does_not_hang_with_every_timeout_off() {
    // The same with every timeout off and hardly any room to read ahead.
    for (transport, fault) in BOTH.into_iter().flat_map(|t| faults().map(|fault| (t, fault))) {
        let (_, transcript) = TRANSCRIPTS[1];
        let server = ScriptedServer::in_memory(
            Script::new().turn(Turn::jsonl(transcript).cut_after(15, fault)),
        );
        let mut limits = Limits::default();
        limits.read_ahead = 1;
        let mut timeouts = responses_client::Timeouts::default();
        timeouts.connect = None;
        timeouts.send = None;
        timeouts.first_event_websocket = None;
        timeouts.first_event_sse = None;
        timeouts.between_events_websocket = None;
        timeouts.between_events_sse = None;
        timeouts.close = Duration::ZERO;
        let client = builder(&server).transport(only(transport)).limits(limits).timeouts(timeouts);
        let client = client.retry(once()).build().expect("a client");
        let outcome = guarded(turn(&mut client.session(), &request(&["hi"]))).await;
        assert_eq!(outcome.events.len(), 15, "{transport}");
        assert!(outcome.result.is_err());
    }
}
