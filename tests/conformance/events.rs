//! Every event of the API and every member of it: typed, read and kept.

use responses_client::{
    event::{Annotation, ContentPart, EventKind, OutputItem, ResponseEvent, item::ShellOutcome},
    testing::{Script, ScriptedServer, Step, Turn},
};
use serde_json::{Value, json};

use crate::support::{BOTH, builder, only, request, server, socket_client, turn};

/// The types of the events, with their members besides `type` and `sequence_number`. `o` and `c`
/// stand for `output_index` and `content_index`, `id` for `item_id`.
const EVENTS: &str = "
response.created: response
response.queued: response
response.in_progress: response
response.completed: response
response.failed: response
response.incomplete: response
response.output_item.added: o item
response.output_item.done: o item
response.content_part.added: id o c part
response.content_part.done: id o c part
response.output_text.delta: id o c delta logprobs
response.output_text.done: id o c text logprobs
response.output_text.annotation.added: id o c annotation_index annotation
response.refusal.delta: id o c delta
response.refusal.done: id o c refusal
response.function_call_arguments.delta: id o delta
response.function_call_arguments.done: id o arguments name
response.custom_tool_call_input.delta: id o delta
response.custom_tool_call_input.done: id o input
response.reasoning_summary_part.added: id o summary_index part
response.reasoning_summary_text.delta: id o summary_index delta
response.reasoning_summary_text.done: id o summary_index text
response.reasoning_summary_part.done: id o summary_index part status
response.reasoning_text.delta: id o c delta
response.reasoning_text.done: id o c text
response.web_search_call.in_progress: id o
response.web_search_call.searching: id o
response.web_search_call.completed: id o
response.file_search_call.in_progress: id o
response.file_search_call.searching: id o
response.file_search_call.completed: id o
response.code_interpreter_call.in_progress: id o
response.code_interpreter_call.interpreting: id o
response.code_interpreter_call.completed: id o
response.code_interpreter_call_code.delta: id o delta
response.code_interpreter_call_code.done: id o code
response.image_generation_call.in_progress: id o
response.image_generation_call.generating: id o
response.image_generation_call.completed: id o
response.image_generation_call.partial_image: id o partial_image_index partial_image_b64
response.mcp_list_tools.in_progress: id o
response.mcp_list_tools.completed: id o
response.mcp_list_tools.failed: id o
response.mcp_call.in_progress: id o
response.mcp_call.completed: id o
response.mcp_call.failed: id o
response.mcp_call_arguments.delta: id o delta
response.mcp_call_arguments.done: id o arguments
response.shell_call_command.added: o command_index command
response.shell_call_command.delta: o command_index delta
response.shell_call_command.done: o command_index command
response.shell_call_output_content.delta: id o command_index delta
response.shell_call_output_content.done: id o command_index output
response.compaction.compacting: id o
response.audio.delta: delta
response.audio.done:
response.audio.transcript.delta: delta
response.audio.transcript.done:
response.steer.accepted: steer
response.steer.pending: reason required_input steer
response.steer.failed: error steer
response.inject.created: response_id
response.inject.failed: response_id input error
response.interrupt.accepted: response_id
response.output_item.interrupted: id o response_id
response.reasoning_part.added: id o c part
response.reasoning_part.done: id o c part
response.reasoning_summary.delta: id o summary_index delta
response.reasoning_summary.done: id o summary_index text
response.reasoning.delta: id o c delta
response.reasoning.done: id o c text
response.cancelled: response
response.done: response
keepalive:
ping:
response.metadata: headers metadata
codex.response.metadata: headers metadata response_id
codex.rate_limits: plan_type rate_limits credits
responsesapi.websocket_timing:
";

/// An event of each type with a value in each member, and the names of the members.
fn events() -> Vec<(Value, Vec<&'static str>)> {
    let lines = EVENTS.lines().filter_map(|line| line.split_once(':'));
    lines.enumerate().map(|(number, (kind, members))| event(number, kind, members)).collect()
}

fn event(number: usize, kind: &'static str, members: &'static str) -> (Value, Vec<&'static str>) {
    let mut event = json!({"type": kind, "sequence_number": number, "obfuscation": "x"});
    let names: Vec<&str> = members
        .split_whitespace()
        .map(|name| match name {
            "o" => "output_index",
            "c" => "content_index",
            "id" => "item_id",
            name => name,
        })
        .collect();
    for name in &names {
        event[*name] = match *name {
            "response" => json!({"id": "resp_1", "status": "in_progress", "output": []}),
            "item" => json!({"id": "i", "type": "message", "content": []}),
            "part" | "annotation" | "steer" | "error" | "headers" | "metadata" => json!({"k": 1}),
            "rate_limits" | "credits" => json!({"k": 1}),
            "required_input" | "logprobs" => json!([{"k": 1}]),
            "delta" | "output" if kind.contains("shell_call_output") => json!({"stdout": "s"}),
            name if name.ends_with("_index") => json!(7),
            _ => json!("text"),
        };
    }
    (event, names)
}

/// The events that end a turn stand in no stream, but as its end.
fn is_end(kind: &str) -> bool {
    ["completed", "failed", "incomplete", "cancelled", "done"]
        .iter()
        .any(|end| kind.strip_prefix("response.") == Some(end))
}

#[tokio::test]
async fn each_event_is_typed_with_all_its_members_and_kept_to_the_letter() {
    let table: Vec<_> = events()
        .into_iter()
        .filter(|(event, _)| !is_end(event["type"].as_str().unwrap()))
        .collect();
    let end =
        json!({"type": "response.completed", "response": {"id": "resp_1", "status": "completed"}});
    for transport in BOTH {
        let sent = table.iter().map(|(event, _)| event.clone()).chain([end.clone()]);
        let server = server(Script::new().turn(Turn::events(sent))).await;
        let mut session = socket_client(&server, only(transport)).session();
        let outcome = turn(&mut session, &request(&["hi"])).await;
        assert_eq!(outcome.events.len(), table.len() + 1, "{transport}");
        for ((sent, members), event) in table.iter().zip(&outcome.events) {
            assert_ne!(event.kind(), EventKind::Unknown, "{sent}");
            assert_eq!(event.kind().as_str(), sent["type"]);
            assert_eq!(event.sequence_number(), sent["sequence_number"].as_u64());
            assert_eq!(&serde_json::from_str::<Value>(event.raw()).unwrap(), sent);
            // `Debug` names the typed members, and says whether they have a value.
            let typed = format!("{event:?}");
            for member in members {
                let absent = format!("{member}: None");
                assert!(typed.contains(&format!("{member}: ")), "{member} in {typed}");
                assert!(!typed.contains(&absent), "{typed}");
                assert!(!member.ends_with("_index") || typed.contains(&format!("{member}: 7")));
            }
        }
    }
}

#[tokio::test]
async fn each_end_is_an_end() {
    for transport in BOTH {
        for (status, goes_well) in [("completed", true), ("incomplete", true), ("failed", false)] {
            let end = json!({"type": format!("response.{status}"), "response": {"id": "r", "status": status}});
            let server = server(Script::new().turn(Turn::events([end.clone()]))).await;
            let mut retry = responses_client::RetryPolicy::default();
            retry.max_attempts = 1;
            let client = builder(&server).transport(only(transport)).retry(retry);
            let outcome = turn(&mut client.build().unwrap().session(), &request(&["hi"])).await;
            assert_eq!(outcome.result.is_ok(), goes_well, "{transport} {status}");
            let last = outcome.events.last().map(ResponseEvent::raw);
            assert_eq!(last.is_some(), goes_well);
            assert!(last.is_none_or(|raw| serde_json::from_str::<Value>(raw).unwrap() == end));
        }
    }
}

#[test]
fn the_table_has_all_documented_events() {
    let documented = |(event, _): &(Value, Vec<&str>)| {
        let kind = event["type"].as_str().unwrap().to_owned();
        let others = [
            "response.steer.",
            "response.inject.",
            "response.interrupt.",
            "response.output_item.interrupted",
            "response.metadata",
            "response.reasoning_part.",
            "response.reasoning_summary.",
            "response.reasoning.",
            "response.cancelled",
            "response.done",
        ];
        kind.starts_with("response.") && !others.iter().any(|other| kind.starts_with(other))
    };
    let events = events();
    let members: usize = events.iter().map(|(_, members)| members.len()).sum();
    println!("{} types of events and `error`, with {members} members", events.len());
    // With `error`, which has many shapes and tests of its own, there are 59.
    assert_eq!(events.iter().filter(|event| documented(event)).count(), 58);
}

/// The names and texts of all transcripts.
fn fixtures() -> Vec<(String, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
    let mut fixtures: Vec<(String, String)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|it| it == "jsonl"))
        .map(|path| (path.display().to_string(), std::fs::read_to_string(&path).unwrap()))
        .collect();
    fixtures.sort();
    fixtures
}

#[tokio::test]
async fn every_event_of_every_fixture_is_kept_byte_for_byte() {
    let fixtures = fixtures();
    let mut count = 0;
    for transport in BOTH {
        for (name, transcript) in &fixtures {
            let server = ScriptedServer::in_memory(Script::new().turn(Turn::jsonl(transcript)));
            let mut retry = responses_client::RetryPolicy::default();
            retry.max_attempts = 1;
            let client = builder(&server).transport(only(transport)).retry(retry);
            let outcome = turn(&mut client.build().unwrap().session(), &request(&["hi"])).await;
            let raws: Vec<&str> = outcome.events.iter().map(ResponseEvent::raw).collect();
            let mut lines: Vec<&str> = transcript.lines().collect();
            // A response that failed ends with an error in place of its last event.
            if outcome.result.is_err() {
                let last = lines.pop().unwrap();
                assert!(last.starts_with(r#"{"type":"response.failed""#), "{name}");
                let partial = outcome.error().response().unwrap();
                assert!(partial.raw().is_some_and(|raw| last.contains(raw.as_str())));
            }
            assert_eq!(raws, lines, "{name} over {transport}");
            count += raws.len();
        }
    }
    println!("{} fixtures, {count} events over both transports", fixtures.len());
    assert!(fixtures.len() >= 21, "{}", fixtures.len());
}

#[test]
fn the_fixtures_have_all_documented_events_but_audio() {
    let mut missing: Vec<&str> = EVENTS.lines().filter_map(|line| line.split(':').next()).collect();
    for (_, transcript) in fixtures() {
        for line in transcript.lines() {
            let event: Value = serde_json::from_str(line).unwrap();
            missing.retain(|kind| event["type"] != *kind);
        }
    }
    // Of background mode, of other connections, or never seen in one response with the rest.
    let elsewhere = ["", "response.queued", "response.cancelled", "response.done"];
    let others = [
        "response.audio.",
        "response.steer.",
        "response.inject.",
        "response.interrupt.",
        "response.output_item.interrupted",
        "codex.response.",
    ];
    missing.retain(|kind| {
        !elsewhere.contains(kind) && !others.iter().any(|other| kind.starts_with(other))
    });
    assert!(missing.is_empty(), "{missing:?}");
}

#[tokio::test]
async fn c078_no_event_of_the_server_is_taken_for_a_notice_of_the_crate() {
    let names = [
        "restarted",
        "Restarted",
        "response.restarted",
        "response.Restarted",
        "responses_client.restarted",
        "unknown",
        "Unknown",
        "response.unknown",
        "",
    ];
    for transport in BOTH {
        let of_server = names.map(|name| format!(r#"{{"type":"{name}","why":"x"}}"#));
        let mut sent = vec![r#"{"type":"response.created","response":{"id":"r"}}"#];
        sent.extend(of_server.iter().map(String::as_str));
        sent.push(r#"{"type":"response.completed","response":{"id":"r"}}"#);
        let server = server(Script::new().turn(Turn::jsonl(&sent.join("\n")))).await;
        let mut session = socket_client(&server, only(transport)).session();
        let outcome = turn(&mut session, &request(&["hi"])).await;
        assert_eq!(outcome.events.len(), names.len() + 2, "{transport}");
        for ((name, sent), event) in names.iter().zip(&of_server).zip(&outcome.events[1..]) {
            let ResponseEvent::Unknown(unknown) = event else { panic!("{name}: {event:?}") };
            assert_eq!(event.kind(), EventKind::Unknown);
            assert_eq!(unknown.event_type, *name);
            assert_eq!(event.raw(), sent);
        }
        assert_eq!(outcome.report.attempts.len(), 1, "nothing was sent again");
    }
}

#[tokio::test]
async fn early_names_grow_an_item_like_the_modern_ones() {
    let transcript = include_str!("../fixtures/early_names.jsonl");
    for transport in BOTH {
        let whole = transcript.lines().position(|line| line.contains("reasoning.done")).unwrap();
        let last_delta = transcript.lines().position(|line| line.contains("summary.done"));
        for (cut, reasoning, summary) in [
            (whole, "First this, then that.", ""),
            (last_delta.unwrap(), "First this, then that.", "In order."),
        ] {
            let mut retry = responses_client::RetryPolicy::default();
            retry.max_attempts = 1;
            let cut = Turn::jsonl(transcript).cut_after(cut, Step::End);
            let server = server(Script::new().turn(cut)).await;
            let client = builder(&server).transport(only(transport)).retry(retry);
            let outcome = turn(&mut client.build().unwrap().session(), &request(&["hi"])).await;
            let partial = outcome.error().response().unwrap();
            let [item] = partial.unfinished_items() else { panic!("{partial:?}") };
            assert_eq!((&*item.reasoning(), &*item.reasoning_summary()), (reasoning, summary));
            let streamed: String =
                outcome.events.iter().filter_map(ResponseEvent::reasoning_delta).collect();
            assert_eq!(streamed, format!("{reasoning}{summary}"), "{transport}");
        }
    }
}

#[tokio::test]
async fn parts_of_events_are_typed() {
    let logprobs = include_str!("../fixtures/annotations_logprobs.jsonl");
    let shell = include_str!("../fixtures/shell.jsonl");
    for transport in BOTH {
        let script = Script::new().turn(Turn::jsonl(logprobs)).turn(Turn::jsonl(shell));
        let server = server(script).await;
        let mut session = socket_client(&server, only(transport)).session();
        let outcome = turn(&mut session, &request(&["hi"])).await;
        let (mut tokens, mut annotations, mut parts) = (Vec::new(), Vec::new(), Vec::new());
        for event in &outcome.events {
            match event {
                ResponseEvent::OutputTextDelta(delta) => tokens.extend(delta.logprobs()),
                ResponseEvent::OutputTextAnnotationAdded(it) => annotations.extend(it.annotation()),
                ResponseEvent::ContentPartDone(done) => parts.extend(done.content_part()),
                _ => {}
            }
        }
        let logprobs: Vec<_> = tokens.iter().map(|token| token.logprob.unwrap()).collect();
        assert_eq!(logprobs, [-0.25, -0.5]);
        assert_eq!(tokens[0].top_logprobs[1].token, "?");
        let [ContentPart::OutputText(text)] = &parts[..] else { panic!("{parts:?}") };
        assert_eq!(text.annotations, annotations);
        assert_eq!(text.logprobs[0].bytes, b"See ".map(u64::from));
        assert!(matches!(
            annotations[..],
            [
                Annotation::FileCitation(_),
                Annotation::UrlCitation(_),
                Annotation::ContainerFileCitation(_),
                Annotation::FilePath(_),
                Annotation::Other(_)
            ]
        ));

        let outcome = turn(&mut session, &request(&["hi", "ls"])).await;
        let outputs = outcome.events.iter().filter_map(|event| match event {
            ResponseEvent::ShellCallOutputContentDone(done) => Some(done.command_outputs()),
            _ => None,
        });
        let codes: Vec<_> = outputs
            .flatten()
            .map(|output| match output.outcome {
                Some(ShellOutcome::Exit(exit)) => exit.exit_code,
                _ => None,
            })
            .collect();
        assert_eq!(codes, [Some(0), Some(1)], "{transport}");
        let begun = outcome.events.iter().find_map(|event| match event {
            ResponseEvent::OutputItemAdded(added) => added.output_item().unwrap(),
            _ => None,
        });
        assert!(matches!(begun, Some(OutputItem::ShellCall(call)) if !call.is_complete()));
    }
}
