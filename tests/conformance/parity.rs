//! The same transcripts over both transports and through the bare core, whole and cut everywhere.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use bytes::Bytes;
use responses_client::{
    Delivery, Error, ErrorKind, Item, Limits, ReplayPolicy, Response, ResponsesClient,
    ResponsesSession, RetryPolicy, Transport,
    error::ErrorCode,
    event::{CustomToolCall, FunctionCall, ResponseEvent},
    internal,
    testing::{Script, ScriptedServer, Step, Turn, parse_json},
};
use serde_json::{Value, json};

use crate::support::fixtures::{Fixture, fixtures, folder, habits, sse_body};
use crate::support::{BOTH, Outcome, builder, guarded, only, request, server, socket_client, turn};

use content::{Begun, Came, Content};

mod bodies;
mod content;

fn faults() -> [Step; 4] {
    let close = |code| Step::Close { code, reason: String::new() };
    [close(Some(1000)), close(None), Step::End, Step::Reset]
}

fn raws(events: &[ResponseEvent]) -> Vec<&str> {
    events.iter().map(ResponseEvent::raw).collect()
}

/// Asserts that a turn which was cut kept what had come. What the odd transcripts come to is more
/// than the simplest means can tell: of these there must be something.
fn assert_kept(fixture: &Fixture, error: &Error, came: &Content, what: &str) {
    if fixture.is_odd {
        assert_eq!(error.response().is_some(), *came != Content::default(), "{what}");
        return;
    }
    match error.response() {
        None => assert_eq!(came, &Content::default(), "{what}"),
        Some(partial) => {
            assert!(!partial.is_finished(), "{what}");
            assert_eq!(&Content::of_response(partial), came, "{what}");
        }
    }
}

/// One attempt a turn, so that what is cut stays cut.
fn once() -> RetryPolicy {
    let mut retry = RetryPolicy::default();
    retry.replay = ReplayPolicy::Never;
    retry.max_attempts = 1;
    retry
}

/// Those of servers with habits of their own, too.
fn every_fixture() -> Vec<Fixture> {
    fixtures().into_iter().chain(habits()).collect()
}

/// Does this for every transcript, on every core.
fn for_each_fixture(check: impl Fn(&Fixture) + Sync) {
    let fixtures = every_fixture();
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(fixture) = fixtures.get(next.fetch_add(1, Ordering::Relaxed)) {
            check(fixture);
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
}

/// Runs this on a clock that stands still.
fn paused(future: impl Future<Output = ()>) {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().start_paused(true).build().expect("a runtime").block_on(future);
}

/// Cuts a transcript at every event by every fault, each in a session of its own.
async fn cut_everywhere(
    server: &ScriptedServer,
    transport: Transport,
    session: impl Fn() -> ResponsesSession,
    fixture: &Fixture,
) {
    let (lines, end) = (fixture.lines(), fixture.end());
    let came = Came::by_events(&lines);
    for fault in faults() {
        for cut in 0..=end {
            let what = format!("{} over {transport} after {cut} events by {fault:?}", fixture.name);
            server.push(Turn::jsonl(&fixture.text).cut_after(cut, fault.clone()));
            // That nothing follows the error is asserted there.
            let outcome = guarded(turn(&mut session(), &request(&["hi"]))).await;
            let error = outcome.error();
            let kind = match (transport, &fault) {
                (Transport::WebSocket, Step::Close { .. }) => ErrorKind::Closed,
                _ => ErrorKind::Truncated,
            };
            assert_eq!(error.kind(), kind, "{what}: {error:?}");
            if let (Transport::WebSocket, Step::Close { code, .. }) = (transport, &fault) {
                assert_eq!(error.close_frame().map(|frame| frame.code), *code, "{what}");
            }
            assert_eq!(error.delivery(), came[cut].delivery, "{what}");
            assert_eq!(outcome.report.attempts.len(), 1, "{what}");
            // Before the response begins, its events are held back.
            if error.delivery() >= Delivery::Accepted {
                assert_eq!(raws(&outcome.events), lines[..cut], "{what}");
                assert_eq!(outcome.report.events, cut as u64, "{what}");
            }
            assert_kept(fixture, error, &came[cut].content, &what);
        }
    }
    let requests = server.log().requests.len();
    assert_eq!(requests, faults().len() * (end + 1), "{} over {transport}", fixture.name);
}

#[test]
fn c119_a_cut_at_any_event_is_one_error_and_keeps_what_came() {
    for_each_fixture(|fixture| {
        paused(async {
            for transport in BOTH {
                let server = ScriptedServer::in_memory(Script::new());
                let client = builder(&server).transport(only(transport)).retry(once());
                let client = client.build().expect("a client");
                cut_everywhere(&server, transport, || client.session(), fixture).await;
            }
        });
    });
}

#[tokio::test]
async fn c119_a_cut_at_any_event_is_one_error_over_real_sockets() {
    let fixture = fixtures().into_iter().find(|fixture| fixture.name == "reasoning_call");
    let fixture = fixture.expect("the fixture");
    for transport in BOTH {
        let server = server(Script::new()).await;
        let provider = responses_client::Provider::compatible(&server.url()).expect("a URL");
        let client =
            ResponsesClient::builder().provider(provider).transport(only(transport)).retry(once());
        let client = client.build().expect("a client");
        cut_everywhere(&server, transport, || client.session(), &fixture).await;
    }
}

/// Gives a payload to the bare core, and the events that it hands out to `events`. Returns whether
/// the turn has ended with it, and how.
fn push(
    turn: &mut internal::Turn,
    payload: &str,
    events: &mut Vec<ResponseEvent>,
) -> Option<Result<(), Error>> {
    let mut step = turn.push(Bytes::copy_from_slice(payload.as_bytes()));
    loop {
        match step {
            Ok(None) => return None,
            Ok(Some(event)) => {
                let ended = event.is_terminal();
                events.push(event);
                if ended {
                    return Some(Ok(()));
                }
            }
            Err(error) => return Some(Err(error)),
        }
        step = turn.next_event();
    }
}

/// Runs a body through the bare core to its end. What stands behind the end of the turn is not
/// looked at.
fn core(mut turn: internal::Turn, body: &[u8]) -> (Vec<ResponseEvent>, Result<Response, Error>) {
    let (mut events, mut end) = (Vec::new(), None);
    let body = Bytes::copy_from_slice(body);
    internal::sse_events([body], usize::MAX, |data| {
        if end.is_none() {
            end = push(&mut turn, data.unwrap_or("\u{fffd}"), &mut events);
        }
    })
    .expect("no limit");
    let result = match end {
        Some(Err(error)) => Err(error),
        Some(Ok(())) => Ok(turn.response()),
        None => Err(turn.end()),
    };
    (events, result)
}

#[test]
fn c119_a_cut_at_any_byte_is_one_error_on_the_bare_core_and_keeps_what_came() {
    for_each_fixture(|fixture| {
        let (lines, end) = (fixture.lines(), fixture.end());
        let came = Came::by_events(&lines);
        // The turn as it stands before each event: only the bytes after it are read anew.
        let (mut before, mut given) = (internal::Turn::new(), Vec::new());
        for (place, line) in lines[..=end].iter().enumerate() {
            let event = sse_body(&[line]);
            let whole_at = event.len() - "\n\n".len();
            // Every byte, but of events that are very long.
            let step = 1 + event.len() / 4096;
            for cut in (0..event.len()).step_by(step) {
                // Without its blank line an event counts, if it can be read. Of the one that ends
                // the turn no more is cut.
                let whole = usize::from(cut >= whole_at);
                if place + whole > end {
                    break;
                }
                let what = (&fixture.name, place, cut);
                let (events, result) = core(before.clone(), &event[..cut]);
                assert_eq!(
                    [raws(&given), raws(&events)].concat(),
                    lines[..place + whole],
                    "{what:?}"
                );
                let error = result.expect_err("it was cut");
                // Half an event is no event, and says so.
                let kinds = [ErrorKind::Truncated, ErrorKind::Protocol];
                assert!(kinds.contains(&error.kind()), "{what:?}: {error:?}");
                let came = &came[place + whole];
                assert_eq!(error.delivery(), came.delivery, "{what:?}");
                // A look at all of it takes long; within an event it is the same everywhere.
                if cut % 32 == 0 || cut + 3 >= whole_at {
                    assert_kept(fixture, &error, &came.content, &format!("{what:?}"));
                }
            }
            if place < end {
                let ended = push(&mut before, line, &mut given);
                assert!(ended.is_none(), "{}: {ended:?}", fixture.name);
            }
        }
    });
}

#[test]
fn c119_a_cut_within_an_event_is_one_error_over_sse() {
    for_each_fixture(|fixture| paused(cut_within_events(fixture)));
}

async fn cut_within_events(fixture: &Fixture) {
    let server = ScriptedServer::in_memory(Script::new());
    let client = builder(&server).transport(only(Transport::Sse)).retry(once());
    let client = client.build().expect("a client");
    let (lines, end) = (fixture.lines(), fixture.end());
    let came = Came::by_events(&lines);
    let mut body = Vec::new();
    for (whole, line) in lines[..=end].iter().enumerate() {
        let start = body.len();
        body.extend(sse_body(&[line]));
        let last = body.len() - "\n\n".len();
        // In its name, its data, its last byte, and behind it: of a terminal that is whole.
        let within = [start + 3, start + (last - start) / 2, last - 1];
        let behind = (whole < end).then_some(last);
        for cut in within.into_iter().chain(behind) {
            let what = format!("{} at byte {cut} of {line}", fixture.name);
            server.push(Turn::steps([
                Step::Raw(Bytes::copy_from_slice(&body[..cut])),
                Step::Close { code: None, reason: String::new() },
            ]));
            let outcome = guarded(turn(&mut client.session(), &request(&["hi"]))).await;
            let error = outcome.error();
            assert_eq!(error.kind(), ErrorKind::Truncated, "{what}: {error:?}");
            assert_kept(fixture, error, &came[whole].content, &what);
        }
    }
}

/// What a turn came to, in the words of its caller.
#[derive(Debug, PartialEq)]
struct Told {
    events: Vec<(&'static str, String)>,
    outcome: Result<&'static str, ErrorKind>,
    failure: Option<(Delivery, Option<ErrorCode>, Option<u16>)>,
    id: String,
    status: String,
    output: Vec<String>,
    raw: Option<String>,
    text: String,
    calls: Vec<FunctionCall>,
    custom_calls: Vec<CustomToolCall>,
    unfinished: Vec<Begun>,
    usage: String,
    incomplete_reason: Option<String>,
}

impl Told {
    fn new(events: &[ResponseEvent], result: &Result<Response, Error>) -> Self {
        let response = match result {
            Ok(response) => response.clone(),
            Err(error) => error.response().cloned().unwrap_or_default(),
        };
        let outcome = match result {
            Ok(_) => Ok(events.last().expect("a terminal event").kind().as_str()),
            Err(error) => Err(error.kind()),
        };
        let error = result.as_ref().err();
        Self {
            events: events.iter().map(|e| (e.kind().as_str(), e.raw().to_owned())).collect(),
            outcome,
            failure: error.map(|e| (e.delivery(), e.code().cloned(), e.status())),
            id: response.id().to_owned(),
            status: format!("{:?}", response.status()),
            output: response.output_items().map(|item| item.json().as_str().to_owned()).collect(),
            raw: response.raw().map(|raw| raw.as_str().to_owned()),
            text: response.output_text(),
            calls: response.function_calls(),
            custom_calls: response.custom_tool_calls(),
            unfinished: Content::of_response(&response).begun.into_values().collect(),
            usage: format!("{:?}", response.usage()),
            incomplete_reason: response.incomplete_reason(),
        }
    }
}

#[tokio::test]
async fn c119_uncut_both_transports_and_the_bare_core_give_the_same() {
    for fixture in every_fixture() {
        let name = &fixture.name;
        let turns = BOTH.map(|_| Turn::jsonl(&fixture.text));
        let server = server(Script::new().turns(turns)).await;
        let lines = fixture.lines();
        let (events, result) = core(internal::Turn::new(), &sse_body(&lines));
        let bare = Told::new(&events, &result);
        let mut reports = Vec::new();
        for transport in BOTH {
            let client = socket_client(&server, only(transport));
            let outcome = guarded(turn(&mut client.session(), &request(&["hi"]))).await;
            assert_eq!(
                Told::new(&outcome.events, &outcome.result),
                bare,
                "{name} over {transport}"
            );
            assert_eq!(outcome.report.transport, Some(transport), "{name}");
            reports.push(outcome.report);
        }
        let [websocket, sse] = &reports[..] else { panic!("two reports") };
        assert_eq!(websocket.anomalies, sse.anomalies, "{name}");
        assert_eq!(websocket.events, sse.events, "{name}");
        assert_eq!(websocket.bytes_received, sse.bytes_received, "{name}");

        // And the outcome is the one that the transcript tells.
        let end = fixture.end();
        let ending = parse_json(lines[end]).expect("JSON");
        let (kind, status) = (ending["type"].as_str(), ending["response"]["status"].as_str());
        let expected = match (kind.expect("a type"), status) {
            (_, Some("failed" | "cancelled")) => Err(ErrorKind::Api),
            ("response.completed" | "response.done", Some("incomplete")) => {
                Ok("response.incomplete")
            }
            ("response.completed" | "response.done", _) => Ok("response.completed"),
            ("response.incomplete", _) => Ok("response.incomplete"),
            _ => Err(ErrorKind::Api),
        };
        assert_eq!(bare.outcome, expected, "{name}");
        // An event that becomes the error is no event.
        let handed_out = end + usize::from(expected.is_ok());
        let raws: Vec<&str> = bare.events.iter().map(|(_, raw)| raw.as_str()).collect();
        assert_eq!(raws, lines[..handed_out], "{name}");
        if fixture.is_odd {
            assert_meant(name, &bare);
            continue;
        }
        let content = &Came::by_events(&lines[..handed_out])[handed_out].content;
        for finished in content.finished.values() {
            let is_it =
                |item: &String| serde_json::from_str::<Value>(item).ok().as_ref() == Some(finished);
            assert!(bare.output.iter().any(is_it), "{name}: a finished item is lost");
        }
        assert_told(name, &bare);
    }
}

/// What the servers with habits of their own meant: the types of the output, the text, and the
/// calls.
fn assert_meant(name: &str, told: &Told) {
    const A: &str = r#"call_1 {"q":"a"}"#;
    const B: &str = r#"call_2 {"q":"b"}"#;
    let (types, text, calls): (&[&str], &str, &[&str]) = match name {
        "ids-rotate-over-several-items" => {
            (&["message", "function_call", "function_call"], "Look here.", &[A, B])
        }
        // Its output is there, so that it is not to be run.
        "output-shares-the-call-id" => {
            (&["function_call", "function_call_output", "message"], "It is there.", &[])
        }
        "text-only-in-output_text" => (&["message"], "Only here.", &[]),
        "refusal-only-in-deltas" => (&["message"], "", &[]),
        "custom-call-never-finished" => (&["custom_tool_call"], "", &["call_1 two words"]),
        "call-only-announced" => (&["message"], "First.", &[]),
        "text-only-in-text-done" => (&["message"], "Said at once.", &[]),
        "content-is-a-string" => (&["message"], "Just a string.", &[]),
        "content-is-null" => (&["message"], "Told in pieces.", &[]),
        "compaction-is-newer-in-the-terminal" => (&["compaction", "message"], "Compacted.", &[]),
        "two-calls-with-one-id" => (&["function_call", "function_call"], "", &[A, B]),
        "reasoning-only-in-the-terminal" => (&["reasoning", "message"], "Thought about.", &[]),
        "name-only-in-added" => (&["function_call"], "", &[A]),
        "unfinished-and-another-in-the-terminal" => {
            (&["message", "function_call"], "Begun here.", &[A])
        }
        "shell-call-without-content-at-the-end" => (&["shell_call"], "", &[]),
        "completed-with-status-failed" | "completed-with-status-incomplete" => {
            (&["message"], "Half.", &[])
        }
        "completed-with-status-requires_action" => (&["function_call"], "", &[A]),
        other => panic!("{other} has no meaning"),
    };
    let items: Vec<Value> = told.output.iter().map(|item| parse_json(item).unwrap()).collect();
    let of_items: Vec<_> = items.iter().map(|item| item["type"].as_str().unwrap()).collect();
    assert_eq!((&of_items[..], told.text.as_str()), (types, text), "{name}");
    let functions = told.calls.iter().map(|call| format!("{} {}", call.call_id, call.arguments));
    let custom = told.custom_calls.iter().map(|call| format!("{} {}", call.call_id, call.input));
    assert_eq!(functions.chain(custom).collect::<Vec<_>>(), calls, "{name}");
    assert!(told.calls.iter().all(|call| call.name == "lookup"), "{name}");
    let part = |of: &str| items.iter().find_map(|item| item.pointer(of)?.as_str());
    match name {
        "refusal-only-in-deltas" => {
            assert_eq!(part("/content/0/refusal"), Some("I cannot help."));
        }
        "compaction-is-newer-in-the-terminal" => {
            assert_eq!(part("/encrypted_content"), Some("NEW"));
        }
        "shell-call-without-content-at-the-end" => {
            assert_eq!(part("/action/commands/0"), Some("ls"));
        }
        _ => {}
    }
}

/// What is known of the transcripts that were written for this.
fn assert_told(name: &str, told: &Told) {
    match name {
        "text" => assert_eq!(told.text, "Héllo from\nthe \"server\" ☃"),
        "reasoning_call" => {
            assert_eq!(told.calls[0].arguments, r#"{"path":"src/lib.rs"}"#);
            assert_eq!(told.output.len(), 2);
        }
        "custom_call" => assert!(told.custom_calls[0].input.starts_with("*** Begin")),
        "incomplete" => {
            assert_eq!(told.incomplete_reason.as_deref(), Some("max_output_tokens"));
            assert!(told.calls.is_empty(), "it was not finished");
        }
        "failed" => {
            assert_eq!(told.text, "Half an answer");
            assert_eq!(told.outcome, Err(ErrorKind::Api));
            let failure = (Delivery::OutputStarted, Some(ErrorCode::InvalidPrompt), None);
            assert_eq!(told.failure, Some(failure));
        }
        _ => {}
    }
}

/// The turn before a transcript with late events.
fn before(fixture: &Fixture) -> Turn {
    let ended = json!({ "id": "resp_before", "status": "completed", "output": [] });
    match fixture.name.starts_with("echo") {
        true => Turn::events([
            json!({ "type": "error", "error": { "code": "server_error", "message": "old" } }),
        ]),
        false => Turn::events([
            json!({ "type": "response.created", "response": { "id": "resp_before" } }),
            json!({ "type": "response.completed", "response": ended }),
        ]),
    }
}

/// Whether a line is of the turn before.
fn is_late(line: &&str) -> bool {
    ["old", r#""ol""#, r#""d""#, "resp_before"].iter().any(|of_it| line.contains(of_it))
}

#[test]
fn c135_c136_c137_late_events_in_a_transcript_reach_nobody() {
    for fixture in folder("late", "jsonl") {
        let name = &fixture.name;
        let lines = fixture.lines();
        let own: Vec<&str> = lines.iter().copied().filter(|line| !is_late(line)).collect();
        assert!(own.len() < lines.len(), "{name}");
        paused(async {
            let step = |line: &&str| match is_late(line) {
                true => Step::Stray(parse_json(line).expect("JSON")),
                false => Step::Text((*line).to_owned()),
            };
            let crossed = Turn::steps(lines.iter().map(step));
            let turns = [before(&fixture), crossed, Turn::text("more")];
            let server = ScriptedServer::in_memory(Script::new().turns(turns));
            let client = builder(&server).transport(only(Transport::WebSocket)).retry(once());
            let mut session = client.build().expect("a client").session();
            let mut asked = request(&["one"]);
            let first = guarded(turn(&mut session, &asked)).await;
            assert_eq!(first.result.is_err(), name.starts_with("echo"), "{name}");
            asked.input.push(Item::user("two"));
            let outcome = guarded(turn(&mut session, &asked)).await;
            assert_eq!(raws(&outcome.events), own, "{name}");
            assert_eq!(outcome.response().output_text(), "new", "{name}");
            assert_eq!(outcome.report.attempts.len(), 1, "{name}");
            asked.input.extend(outcome.response().output_items());
            asked.input.push(Item::user("three"));
            let next = guarded(turn(&mut session, &asked)).await;
            assert_eq!(next.response().output_text(), "more", "{name}");
            let log = server.log();
            let parent = log.requests.last().and_then(|it| it.previous_response_id.as_deref());
            assert_eq!((parent, log.requests.len()), (Some("resp_2"), 3), "{name}");
            assert_eq!(log.websockets().count(), 1, "{name}: on the same socket");
        });
    }
}

#[tokio::test(start_paused = true)]
async fn c119_a_cut_does_not_hang_with_every_timeout_off() {
    // The same with every timeout off and hardly any room to read ahead.
    for (transport, fault) in BOTH.into_iter().flat_map(|t| faults().map(|fault| (t, fault))) {
        let transcript = include_str!("../fixtures/reasoning_call.jsonl");
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
        let outcome: Outcome = guarded(turn(&mut client.session(), &request(&["hi"]))).await;
        assert_eq!(outcome.events.len(), 15, "{transport}");
        assert!(outcome.result.is_err());
    }
}
