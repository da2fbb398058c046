//! Framing of server-sent events: line ends, comments, cuts at every byte, and the end of a body.

use bytes::Bytes;
use responses_client::{
    ErrorKind, Transport,
    error::ErrorCode,
    event::ResponseEvent,
    testing::{Script, ScriptedServer, Step, Turn},
};
use serde_json::{Value, json};

use crate::{
    odd_turn::{after_output, assert_cut_after_output, completed, created, delta, text},
    support::{Outcome, builder, guarded, only, request, server, socket_client, turn},
};

/// The events of one response, with characters of one to four bytes.
fn transcript() -> Vec<String> {
    let delta = |text: &str| delta(text).to_string();
    vec![
        created().to_string(),
        delta("a"),
        delta("é\\ \"☃\"\n𝄞"),
        delta("data: x\r\n\r\n: y\u{2028}"),
        completed("Fine").to_string(),
    ]
}

/// Runs a turn over SSE whose body comes in these pieces.
pub(crate) async fn over_sse(pieces: impl IntoIterator<Item = Step>) -> Outcome {
    let server = ScriptedServer::in_memory(Script::new().turn(Turn::steps(pieces)));
    let client = builder(&server).transport(only(Transport::Sse)).build().expect("a client");
    let outcome = guarded(turn(&mut client.session(), &request(&["one"]))).await;
    assert_eq!(server.log().requests.len(), 1);
    outcome
}

fn raws(outcome: &Outcome) -> Vec<&str> {
    outcome.events.iter().map(ResponseEvent::raw).collect()
}

#[tokio::test]
async fn c081_every_framing_gives_the_same_events_however_it_is_cut() {
    let named = |line_end: &str| -> String {
        let event = |data: &String| format!("event: e{line_end}data: {data}{line_end}{line_end}");
        transcript().iter().map(event).collect()
    };
    let with = |separator: &str, before: &str, after: &str| -> String {
        let event = |data: &String| format!("{before}data:{separator}{data}\n{after}\n");
        transcript().iter().map(event).collect()
    };
    let mixed: String = transcript()
        .iter()
        .zip(["\n\n", "\r\r", "\r\n\r\n", "\n\r", "\r\n\n"])
        .map(|(data, end)| format!("data: {data}{end}"))
        .collect();
    for body in [
        named("\n"),
        named("\r\n"),
        named("\r"),
        mixed,
        with("", "", ""),
        with(" ", ": a comment\n:\n", ": another: with colons\n"),
        with(" ", "id: 7\nretry: 10\nevent\n", "database: no\ndata\u{fe0f}: no\nunknown\n"),
        with(" ", "event: error\n", ""),
        with(" ", "event: ping\n\nevent: response.completed\n", ""),
        format!("\u{feff}{}", named("\n")),
        format!("\u{feff}{}", with(" ", "", "")),
        format!("\u{feff}\r\n{}", named("\r\n")),
        format!("{}data: [DONE]\n\ndata: nonsense\n\n", named("\n")),
    ] {
        for size in [1, 2, 3, 64, usize::MAX] {
            let pieces = body.as_bytes().chunks(size.min(body.len()));
            let steps = pieces.map(|piece| Step::Raw(Bytes::copy_from_slice(piece)));
            // The turn ends with its terminal event, not with the body.
            let outcome = over_sse(steps.chain([Step::Stall])).await;
            assert_eq!(raws(&outcome), transcript(), "{size} {body:?}");
            assert_eq!(outcome.response().output_text(), "Fine");
        }
    }
}

#[tokio::test]
async fn c081_bytes_that_are_flushed_one_by_one_make_the_same_events() {
    // Over a socket, each byte in a packet of its own.
    let script = Script::new().turn(Turn::steps(transcript().into_iter().map(|text| {
        let pieces = text.len() + 8;
        Step::Fragmented { text, pieces }
    })));
    let server = server(script).await;
    let mut session = socket_client(&server, only(Transport::Sse)).session();
    let outcome = guarded(turn(&mut session, &request(&["one"]))).await;
    assert_eq!(raws(&outcome), transcript());
}

#[tokio::test]
async fn c081_data_over_several_lines_is_one_event() {
    let pretty = |event: Value| serde_json::to_string_pretty(&event).expect("JSON");
    let events = [pretty(created()), pretty(delta("☃\n")), pretty(completed("Fine"))];
    for line_end in ["\n", "\r\n", "\r"] {
        let lines = |event: &String| -> String {
            event.lines().map(|line| format!("data: {line}{line_end}")).collect()
        };
        let body: String = events.iter().map(|event| lines(event) + line_end).collect();
        for size in [1, 2, 3, 64, usize::MAX] {
            let pieces = body.as_bytes().chunks(size.min(body.len()));
            let outcome =
                over_sse(pieces.map(|piece| Step::Raw(Bytes::copy_from_slice(piece)))).await;
            assert_eq!(raws(&outcome), events, "{line_end:?} {size}");
            assert_eq!(outcome.response().output_text(), "Fine");
        }
    }
}

#[tokio::test]
async fn c081_named_error_events_are_errors() {
    let body = format!(
        "event: response.created\ndata: {}\n\nevent: error\ndata: {}\n\n",
        created(),
        json!({ "message": "No.", "code": "invalid_prompt" }),
    );
    let outcome = over_sse([Step::Raw(body.into())]).await;
    assert_eq!(outcome.kinds(), ["response.created"]);
    assert_eq!(outcome.error().code(), Some(&ErrorCode::InvalidPrompt));
}

#[tokio::test]
async fn c081_done_ends_the_body_and_what_follows_it_is_ignored() {
    let after = |done: &str| {
        let rest = [text(delta("no").to_string()), text(completed("no").to_string())];
        after_output(text(done)).then(rest[0].clone()).then(rest[1].clone())
    };
    for done in ["[DONE]", "[DONE] ", "[DONE]\n"] {
        let server = ScriptedServer::in_memory(Script::new().turn(after(done)));
        let client = builder(&server).transport(only(Transport::Sse)).build().expect("a client");
        let outcome = guarded(turn(&mut client.session(), &request(&["one"]))).await;
        assert_cut_after_output(&outcome, ErrorKind::Truncated);
    }
}

#[tokio::test]
async fn c082_a_last_event_without_its_blank_line_counts_if_it_is_terminal() {
    let body = |last: &str| {
        let (first, second) = (created(), delta("So far"));
        Step::Raw(format!("data: {first}\n\ndata: {second}\n\n{last}").into())
    };
    let terminal = completed("Fine").to_string();
    for last in [format!("data: {terminal}"), format!("event: x\r\ndata: {terminal}\r\n")] {
        // However the body ends: cleanly, or with its connection.
        for end in [vec![], vec![Step::End]] {
            let outcome = over_sse([body(&last)].into_iter().chain(end)).await;
            assert_eq!(outcome.events.last().expect("an event").raw(), terminal);
            assert_eq!(outcome.response().output_text(), "Fine");
        }
    }
    let failed = json!({ "type": "response.failed", "response": { "error": { "code": "x" } } });
    let outcome = over_sse([body(&format!("data: {failed}"))]).await;
    assert_eq!(outcome.error().kind(), ErrorKind::Api);

    let half = &terminal[..terminal.len() - 1];
    for last in [format!("data: {half}"), format!("data: {}\n", delta(" and more"))] {
        let outcome = over_sse([body(&last)]).await;
        assert_cut_after_output(&outcome, ErrorKind::Truncated);
    }
}
