use super::*;
use crate::{
    api::ErrorCode,
    proto::wire::{Wire, responses::Responses},
    response::ResponseStatus,
};

mod ends;
mod items;

fn frame(payload: &str) -> Frame {
    Responses.classify("", payload.into())
}

/// Returns the yielded events, and the error if there was one.
fn run(
    payloads: &[&str],
    mut end: impl FnMut() -> StreamEnd,
) -> (Vec<ResponseEvent>, Result<Response, Error>) {
    let mut turn = ResponseReader::new();
    let mut events = Vec::new();
    let mut payloads = payloads.iter();
    let mut is_closed = false;
    loop {
        let step = turn.next_step().or_else(|| Some(turn.handle(frame(payloads.next()?))));
        match step {
            Some(ReadStep::Event(event)) => events.push(event),
            Some(ReadStep::None) => {}
            Some(ReadStep::Finished(event)) => {
                events.push(event);
                return (events, Ok(turn.response()));
            }
            Some(ReadStep::Failed(error)) => return (events, Err(error)),
            None => {
                assert!(!is_closed, "the end must come");
                is_closed = true;
                turn.close(end());
            }
        }
    }
}

fn lost() -> StreamEnd {
    StreamEnd::Disconnected(None)
}

const CREATED: &str = r#"{"type":"response.created","sequence_number":0,"response":{"id":"resp_1","status":"in_progress","output":[]}}"#;
const ADDED: &str = r#"{"type":"response.output_item.added","output_index":0,"item":{"id":"msg_1","type":"message","status":"in_progress","content":[]}}"#;
const DELTA: &str = r#"{"type":"response.output_text.delta","item_id":"msg_1","output_index":0,"content_index":0,"delta":"h\u0069"}"#;
const DONE: &str = r#"{"type":"response.output_item.done","output_index":0,"item":{"id":"msg_1","type":"message","status":"completed","content":[{"type":"output_text","text":"hi"}]}}"#;
const COMPLETED: &str = r#"{"type":"response.completed","response":{"id":"resp_1","status":"completed","output":[{"id":"msg_1","type":"message","status":"completed","content":[{"type":"output_text","text":"hi"}]}],"usage":{"input_tokens":3,"output_tokens":2,"total_tokens":5}}}"#;
const TEXT: [&str; 5] = [CREATED, ADDED, DELTA, DONE, COMPLETED];

#[test]
fn a_turn_that_goes_well() {
    let (events, response) = run(&TEXT, lost);
    let response = response.unwrap();
    assert_eq!(events.len(), 5);
    assert_eq!(events[2].text_delta(), Some("hi"));
    assert!(events.iter().zip(TEXT).all(|(event, payload)| event.raw() == payload));
    assert_eq!(response.status(), ResponseStatus::Completed);
    assert_eq!(response.output_text(), "hi");
    assert_eq!(response.output_items().len(), 1);
    assert_eq!(response.usage().unwrap().total_tokens, 5);
}

#[test]
fn delivery_follows_the_state() {
    for (count, delivery) in [
        (0, Delivery::Unknown),
        (1, Delivery::Accepted),
        (2, Delivery::OutputStarted),
        (4, Delivery::OutputStarted),
    ] {
        let (_, result) = run(&TEXT[..count], lost);
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.delivery()), (ErrorKind::Truncated, delivery));
    }
    for (code, delivery) in [(1012, Delivery::Refused), (1011, Delivery::Unknown)] {
        let end = || StreamEnd::Closed(Some(CloseFrame::new(code, String::new())));
        assert_eq!(run(&[], end).1.unwrap_err().delivery(), delivery);
        assert_eq!(run(&[CREATED], end).1.unwrap_err().delivery(), Delivery::Accepted);
    }
}

#[test]
fn c121_whatever_ends_the_turn_comes_after_the_held_events() {
    let half = DELTA.replace(r"h\u0069", r"h\ud83d");
    let failed = r#"{"type":"response.failed","response":{"id":"resp_1","status":"failed"}}"#;
    for (last, failure) in [
        (Some(COMPLETED), None),
        (Some(failed), Some(ErrorKind::Api)),
        (Some(r#"{"type":"error","message":"no"}"#), Some(ErrorKind::Api)),
        (Some("<html>"), Some(ErrorKind::Protocol)),
        (None, Some(ErrorKind::Truncated)),
    ] {
        let meta = r#"{"type":"keepalive"}"#;
        let payloads: Vec<&str> = [CREATED, ADDED, &half, meta].into_iter().chain(last).collect();
        let (events, result) = run(&payloads, lost);
        let raw: Vec<&str> = events.iter().map(ResponseEvent::raw).collect();
        let ends_well = usize::from(failure.is_none());
        assert_eq!(raw, payloads[..4 + ends_well], "{last:?}");
        assert_eq!(events[2].text_delta(), Some("h\u{fffd}"));
        assert_eq!(result.err().map(|error| error.kind()), failure);
    }
}

#[test]
fn metadata_is_handed_out_and_starts_nothing() {
    let meta = [
        r#"{"type":"keepalive","sequence_number":0}"#,
        r#"{"type":"codex.rate_limits"}"#,
        "{}",
        "[DONE]",
    ];
    let (events, result) = run(&meta, lost);
    assert_eq!(events.len(), 2);
    assert_eq!(result.unwrap_err().delivery(), Delivery::Unknown);
}

#[test]
fn c072_unknown_events_pass_with_all_their_members() {
    let payload = r#"{"type":"response.brand_new","sequence_number":4,"deep":{"n":[1.50]}}"#;
    let (events, result) = run(&[CREATED, payload], lost);
    assert_eq!(events[1].raw(), payload);
    let ResponseEvent::Unknown(event) = &events[1] else { panic!() };
    assert_eq!(event.event_type, "response.brand_new");
    assert_eq!(
        event.member::<crate::json::Json>("deep").unwrap().unwrap().as_str(),
        r#"{"n":[1.50]}"#
    );
    assert_eq!(result.unwrap_err().delivery(), Delivery::OutputStarted, "it may have been output");
}

#[test]
fn c073_a_defect_in_what_the_turn_needs_ends_it_and_no_other_does() {
    for broken in [
        r#"{"type":"response.output_text.delta","output_index":0}"#,
        r#"{"type":"response.output_text.delta","delta":7}"#,
        r#"{"type":"response.function_call_arguments.delta","delta":null}"#,
        r#"{"type":"response.output_item.done","output_index":0}"#,
        r#"{"type":"response.output_item.done","item":[]}"#,
        r#"{"type":"response.output_item.done","item":{"type":"function_call"}}"#,
        r#"{"type":"response.completed","response":null}"#,
        r#"{"type":"response.output_text.delta","delta":"x""#,
    ] {
        let error = run(&[CREATED, broken], lost).1.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{broken}");
        assert!(error.response().is_some());
    }
    for odd in [
        r#"{"type":"response.output_text.delta","output_index":"x","content_index":-1,"item_id":7,"delta":"x","logprobs":7}"#,
        r#"{"type":"response.output_item.added","item":7}"#,
        r#"{"type":"response.created"}"#,
        r#"{"type":"response.output_text.done","text":{}}"#,
    ] {
        assert_eq!(run(&[CREATED, odd], lost).0.len(), 2, "{odd}");
    }
    let (events, _) =
        run(&[CREATED, r#"{"type":"response.output_text.delta","delta":"x","logprobs":7}"#], lost);
    let ResponseEvent::OutputTextDelta(delta) = &events[1] else { panic!() };
    assert!(delta.member::<Vec<u8>>("logprobs").is_err(), "it surfaces when it is asked for");
}

#[test]
fn c153_the_last_word_about_being_stored_counts() {
    let event = |name: &str, store: &str| {
        format!(r#"{{"type":"response.{name}","response":{{"id":"resp_1"{store}}}}}"#)
    };
    for (created, completed, stored) in [
        ("", "", None),
        (r#","store":true"#, "", Some(true)),
        (r#","store":true"#, r#","store":false"#, Some(false)),
        ("", r#","store":false"#, Some(false)),
        (r#","store":false"#, r#","store":null"#, Some(false)),
        ("", r#","store":"yes""#, None),
    ] {
        let mut turn = ResponseReader::new();
        for payload in [event("created", created), event("completed", completed)] {
            turn.handle(frame(&payload));
        }
        assert_eq!(turn.is_stored(), stored, "{created} {completed}");
    }
}

#[test]
fn a_response_is_resumed_by_its_id_and_its_last_number_or_as_unfinished() {
    let bare = r#"{"object":"response","id":"resp_1","status":"queued"}"#;
    let nameless = r#"{"type":"response.created","sequence_number":0}"#;
    let unnumbered = r#"{"type":"response.created","response":{"id":"r"}}"#;
    for (payload, resumable) in
        [(CREATED, true), (bare, true), (nameless, false), (unnumbered, false)]
    {
        let mut turn = ResponseReader::new();
        turn.handle(frame(payload));
        assert_eq!(turn.is_resumable(), resumable, "{payload}");
    }
}

#[test]
fn c143_only_new_numbers_are_progress() {
    let mut turn = ResponseReader::new();
    assert!(!turn.has_progressed());
    turn.handle(frame(CREATED));
    assert!(turn.has_progressed());
    turn.resume(Delivery::Accepted);
    assert!(!turn.has_progressed());
    turn.handle(frame(CREATED));
    assert!(!turn.has_progressed(), "it is a repetition");
    let unnumbered = turn.handle(frame(DELTA));
    assert!(matches!(unnumbered, ReadStep::Event(_)), "it cannot be a repetition");
    turn.handle(frame(r#"{"type":"response.in_progress","sequence_number":1}"#));
    assert!(turn.has_progressed());
}

#[test]
fn only_a_created_event_names_what_was_created() {
    let mut turn = ResponseReader::new();
    for (payload, created) in [
        (r#"{"type":"response.in_progress","response":{"id":"a"}}"#, None),
        (r#"{"type":"response.created","response":{"id":"b"}}"#, Some("b")),
        (r#"{"type":"response.created","response":{}}"#, Some("b")),
        (r#"{"type":"response.in_progress","response":{"id":"c"}}"#, Some("b")),
        (r#"{"type":"response.created","response":{"id":"d"}}"#, Some("d")),
    ] {
        turn.handle(frame(payload));
        assert_eq!(turn.created_id(), created, "{payload}");
    }
}

#[test]
fn c131_a_response_in_progress_that_events_follow_is_no_longer_the_answer() {
    let bare = r#"{"object":"response","id":"resp_1","status":"queued"}"#;
    let (events, result) = run(&[bare], lost);
    let error = result.unwrap_err();
    assert!(events.is_empty(), "its events are still to come");
    assert_eq!((error.kind(), error.delivery()), (ErrorKind::Protocol, Delivery::Accepted));
    let failed = run(&[r#"{"object":"response","id":"resp_1","status":"failed"}"#], lost);
    assert_eq!(failed.1.unwrap_err().delivery(), Delivery::OutputStarted, "it must not run again");
    let error = run(&[bare, CREATED], lost).1.unwrap_err();
    assert_eq!((error.kind(), error.delivery()), (ErrorKind::Truncated, Delivery::Accepted));
    let error = run(&[CREATED, bare], lost).1.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated);
}

#[test]
fn the_last_of_several_types_counts() {
    let read = |payloads: &[&str]| {
        let (events, end) = run(payloads, lost);
        let kinds: Vec<_> = events.iter().map(|event| event.event_type().to_owned()).collect();
        (kinds, end.map(drop).map_err(|error| error.kind()))
    };
    for (first, last) in [
        ("response.created", "response.in_progress"),
        ("response.in_progress", "response.output_text.delta"),
        ("brand.new", "response.created"),
        ("response.created", "brand.new"),
        ("response.output_text.delta", "response.brand_new"),
    ] {
        for members in [
            format!(r#""type":"{first}","delta":"a","response":{{"type":"x"}},"type":"{last}""#),
            format!(r#""type":"{first}","type":7,"x":[{{}}],"type":"{last}","delta":"a""#),
            format!(r#""type":"{first}","delta":"a","t\u0079pe":"{last}""#),
            format!(r#""x":1,"type":"{first}","delta":"a","type":"{last}""#),
        ] {
            let payload = format!("{{{members}}}");
            let (kinds, _) = read(&[&payload]);
            assert_eq!(kinds, [last], "{payload}");
        }
    }
    let completed = COMPLETED.replacen('{', r#"{"type":"error","#, 1);
    assert_eq!(read(&[CREATED, &completed]).1, Ok(()));
    let error = r#"{"type":"response.created","error":{"message":"x"},"type":"error"}"#;
    assert_eq!(read(&[error]), (vec![], Err(ErrorKind::Api)));
    let error = r#"{"type":"response.completed","response":{},"error":{},"type":"error"}"#;
    assert_eq!(read(&[CREATED, error]).1, Err(ErrorKind::Api));
}
