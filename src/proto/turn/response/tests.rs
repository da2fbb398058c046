use proptest::prelude::*;

use super::*;
use crate::{
    api::ErrorCode,
    proto::wire::{Wire, responses::Responses},
    response::ResponseStatus,
};

fn frame(payload: &str) -> Frame {
    Responses.classify("".into(), payload.into())
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
fn c074_a_terminal_without_its_response_is_an_error() {
    for kind in ["completed", "incomplete", "failed", "done"] {
        let payload = format!(r#"{{"type":"response.{kind}"}}"#);
        let error = run(&[CREATED, &payload], lost).1.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{kind}");
    }
}

#[test]
fn c077_an_error_before_any_event_says_that_nothing_ran() {
    let payload = r#"{"type":"error","status":429,"error":{"code":"rate_limit_exceeded","message":"m","headers":{"retry-after":1}}}"#;
    let error = run(&[payload], lost).1.unwrap_err();
    assert_eq!(
        (error.kind(), error.status(), error.phase()),
        (ErrorKind::Api, Some(429), Phase::FirstEvent)
    );
    assert_eq!(error.delivery(), Delivery::Refused);
    let error = run(&[CREATED, ADDED, payload], lost).1.unwrap_err();
    assert_eq!((error.phase(), error.delivery()), (Phase::Events, Delivery::OutputStarted));
    assert_eq!(error.retry_after(), Some(std::time::Duration::from_secs(1)));
}

#[test]
fn c130_an_error_frame_says_that_nothing_ran_only_where_it_proves_it() {
    let frame = |status: &str, code: &str| {
        format!(r#"{{"type":"error",{status}"error":{{"code":{code},"message":"m"}}}}"#)
    };
    for (status, code, first, created) in [
        (r#""status":429,"#, "null", Delivery::Refused, Delivery::Refused),
        (r#""status":400,"#, "null", Delivery::Refused, Delivery::Accepted),
        (r#""status":503,"#, r#""server_is_overloaded""#, Delivery::Refused, Delivery::Refused),
        ("", r#""rate_limit_exceeded""#, Delivery::Refused, Delivery::Refused),
        ("", r#""previous_response_not_found""#, Delivery::Refused, Delivery::Refused),
        (r#""status":500,"#, r#""server_error""#, Delivery::Unknown, Delivery::Accepted),
        (r#""status":502,"#, "null", Delivery::Unknown, Delivery::Accepted),
        (r#""status":503,"#, "null", Delivery::Unknown, Delivery::Accepted),
        (r#""status":504,"#, "null", Delivery::Unknown, Delivery::Accepted),
        (r#""status":408,"#, "null", Delivery::Unknown, Delivery::Accepted),
        ("", r#""server_error""#, Delivery::Unknown, Delivery::Accepted),
        ("", "null", Delivery::Unknown, Delivery::Accepted),
    ] {
        let frame = frame(status, code);
        let delivery = |payloads: &[&str]| run(payloads, lost).1.unwrap_err().delivery();
        assert_eq!(delivery(&[&frame]), first, "{frame}");
        assert_eq!(delivery(&[CREATED, &frame]), created, "{frame}");
        assert_eq!(delivery(&[CREATED, ADDED, &frame]), Delivery::OutputStarted, "{frame}");
    }
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
fn a_failed_response_is_an_error_with_the_response_in_it() {
    let failed = r#"{"type":"response.failed","response":{"id":"resp_1","status":"failed","error":{"code":"server_error","message":"m"}}}"#;
    for (payloads, delivery) in [
        (&[CREATED, failed][..], Delivery::Accepted),
        (&[CREATED, ADDED, DELTA, DONE, failed], Delivery::OutputStarted),
    ] {
        let error = run(payloads, lost).1.unwrap_err();
        assert_eq!(error.code(), Some(&ErrorCode::ServerError));
        assert_eq!(error.delivery(), delivery);
        let partial = error.response().unwrap();
        assert_eq!(partial.status(), ResponseStatus::Failed);
        assert_eq!(partial.output_items().len(), usize::from(payloads.len() == 5));
    }
    let silent = r#"{"type":"response.failed","response":{"id":"resp_1","error":null}}"#;
    assert_eq!(run(&[silent], lost).1.unwrap_err().kind(), ErrorKind::Api);
}

#[test]
fn a_cancelled_response_is_an_error() {
    for payload in [
        r#"{"type":"response.cancelled"}"#,
        r#"{"type":"response.cancelled","response":{"id":"resp_1","status":"cancelled"}}"#,
        r#"{"type":"response.done","response":{"id":"resp_1","status":"cancelled"}}"#,
    ] {
        let error = run(&[CREATED, ADDED, DELTA, payload], lost).1.unwrap_err();
        assert_eq!((error.kind(), error.delivery()), (ErrorKind::Api, Delivery::OutputStarted));
        assert_eq!(error.response().unwrap().output_text(), "hi");
    }
}

#[test]
fn c007_a_response_done_is_what_its_status_says() {
    for (status, kind) in
        [("completed", EventKind::Completed), ("incomplete", EventKind::Incomplete)]
    {
        let payload =
            format!(r#"{{"type":"response.done","response":{{"id":"r","status":"{status}"}}}}"#);
        let (events, response) = run(&[CREATED, &payload], lost);
        assert!(response.is_ok());
        assert_eq!(events[1].kind(), kind);
    }
    let failed = r#"{"type":"response.done","response":{"id":"r","status":"failed"}}"#;
    assert!(run(&[failed], lost).1.is_err());
}

#[test]
fn the_status_of_a_terminal_event_counts_more_than_its_name() {
    use EventKind::{Completed, Incomplete};
    for (name, status, kind) in [
        ("completed", "completed", Some(Completed)),
        ("completed", "in_progress", Some(Completed)),
        ("completed", "incomplete", Some(Incomplete)),
        ("completed", "failed", None),
        ("completed", "cancelled", None),
        ("incomplete", "completed", Some(Incomplete)),
        ("incomplete", "failed", None),
    ] {
        let last = format!(r#"{{"type":"response.{name}","response":{{"status":"{status}"}}}}"#);
        let (events, result) = run(&[CREATED, &last], lost);
        assert_eq!(result.ok().map(|_| events[1].kind()), kind, "{name} {status}");
    }
}

#[test]
fn c083_an_incomplete_response_keeps_its_calls_and_falls_back_to_its_output() {
    let call = r#"{"type":"response.output_item.done","output_index":0,"item":{"id":"fc_1","type":"function_call","call_id":"c1","name":"f","arguments":"{}","status":"completed"}}"#;
    let cut = r#"{"type":"response.output_item.done","output_index":1,"item":{"id":"fc_2","type":"function_call","call_id":"c2","name":"f","arguments":"{","status":"incomplete"}}"#;
    let end = |output: &str| {
        format!(
            r#"{{"type":"response.incomplete","response":{{"id":"r","status":"incomplete","incomplete_details":{{"reason":"max_output_tokens"}}{output}}}}}"#
        )
    };
    let response = run(&[CREATED, call, cut, &end("")], lost).1.unwrap();
    assert_eq!(response.status(), ResponseStatus::Incomplete);
    assert_eq!(response.incomplete_reason().as_deref(), Some("max_output_tokens"));
    assert_eq!(response.output_items().len(), 1, "the unfinished call is not given back");
    let calls: Vec<_> = response.function_calls().into_iter().map(|call| call.call_id).collect();
    assert_eq!(calls, ["c1"], "the unfinished call must not be run");
    let from_output =
        end(r#","output":[{"type":"message","content":[{"type":"output_text","text":"x"}]}]"#);
    assert_eq!(run(&[CREATED, &from_output], lost).1.unwrap().output_text(), "x");
}

#[test]
fn c084_finished_items_are_never_lost_and_gaps_are_filled() {
    let item = |index: u32, id: &str| {
        format!(
            r#"{{"type":"response.output_item.done","output_index":{index},"item":{{"id":"{id}","type":"x"}}}}"#
        )
    };
    let end = |output: &str| {
        format!(
            r#"{{"type":"response.completed","response":{{"id":"r","status":"completed"{output}}}}}"#
        )
    };
    let ids = |payloads: &[&str]| -> Vec<String> {
        run(payloads, lost)
            .1
            .unwrap()
            .output_items()
            .map(|item| item.id().unwrap().to_owned())
            .collect()
    };
    let (a, c) = (item(0, "a"), item(2, "c"));
    for output in ["", r#","output":null"#, r#","output":[]"#, r#","output":7"#] {
        assert_eq!(ids(&[CREATED, &c, &a, &end(output)]), ["a", "c"], "{output}");
    }
    let all =
        end(r#","output":[{"id":"a","type":"x"},{"id":"b","type":"x"},{"id":"c","type":"x"}]"#);
    assert_eq!(ids(&[CREATED, &a, &c, &all]), ["a", "b", "c"]);
    assert_eq!(ids(&[CREATED, &all]), ["a", "b", "c"]);
    let shifted = end(r#","output":[{"id":"c","type":"x"},{"id":"d","type":"x"}]"#);
    assert_eq!(ids(&[CREATED, &item(1, "c"), &shifted]), ["c", "d"], "no place hides another item");
    let call = |id: &str| {
        format!(r#"{{"type":"function_call","call_id":"{id}","name":"f","arguments":""}}"#)
    };
    let done = |id: &str| {
        format!(r#"{{"type":"response.output_item.done","output_index":0,"item":{}}}"#, call(id))
    };
    let both = end(&format!(r#","output":[{},{}]"#, call("A"), call("B")));
    let response = run(&[CREATED, &done("A"), &done("B"), &both], lost).1.unwrap();
    let calls: Vec<_> = response.function_calls().into_iter().map(|call| call.call_id).collect();
    assert_eq!(calls, ["A", "B"], "calls without ids at one place");
    let twice = end(r#","output":[{"id":"c","type":"x"}]"#);
    assert_eq!(ids(&[CREATED, &c, &twice]), ["c"], "one item, counted in two ways");
}

#[test]
fn c099_the_terminal_object_stays_as_received() {
    for members in [r#""output":null,"error":"""#, r#""output":[]"#, ""] {
        let sep = if members.is_empty() { "" } else { "," };
        let object = format!(r#"{{"id":"r","status":"completed"{sep}{members}}}"#);
        let payload = format!(r#"{{"type":"response.completed","response":{object}}}"#);
        let response = run(&[CREATED, DONE, &payload], lost).1.unwrap();
        assert_eq!(response.raw().unwrap().as_str(), object);
    }
}

#[test]
fn c100_changed_and_repeated_ids_are_reported_and_harm_nothing() {
    let mut turn = ResponseReader::new();
    let steps = [
        CREATED,
        ADDED,
        r#"{"type":"response.output_text.delta","item_id":"other","output_index":0,"delta":"x"}"#,
        r#"{"type":"response.output_item.done","output_index":0,"item":{"id":"msg_9","type":"reasoning"}}"#,
        r#"{"type":"response.output_item.done","output_index":1,"item":{"id":"msg_9","type":"reasoning"}}"#,
        r#"{"type":"response.output_item.done","output_index":1,"item":{"id":"msg_8","type":"reasoning"}}"#,
        r#"{"type":"response.output_item.done","output_index":0,"item":{"id":"msg_9","type":"reasoning"}}"#,
        r#"{"type":"response.completed","response":{"id":"resp_2","status":"completed"}}"#,
    ];
    for payload in steps {
        let step = turn.handle(frame(payload));
        let (ReadStep::Event(event) | ReadStep::Finished(event)) = step else {
            panic!("{payload}")
        };
        assert_eq!(event.raw(), payload);
    }
    assert_eq!(
        turn.anomalies(),
        [
            Anomaly::ItemId { output_index: 0 },
            Anomaly::DuplicateItemId { output_index: 1 },
            Anomaly::OutputIndexShared { output_index: 1 },
            Anomaly::ItemFinishedTwice { output_index: 0 },
            Anomaly::DuplicateItemId { output_index: 0 },
            Anomaly::ResponseId,
            Anomaly::OutputMissing,
            Anomaly::ItemUnfinished { output_index: 0 },
        ]
    );
    let ids: Vec<_> =
        turn.response().output_items().map(|item| item.id().unwrap().to_owned()).collect();
    assert_eq!(ids, ["msg_1", "msg_9", "msg_9", "msg_8"], "none is lost");
}

#[test]
fn c101_partial_snapshots_keep_all_that_came() {
    let events = [
        CREATED,
        r#"{"type":"response.output_text.delta","output_index":5,"content_index":2,"delta":"b"}"#,
        r#"{"type":"response.output_text.delta","output_index":5,"content_index":0,"delta":"a"}"#,
        r#"{"type":"response.output_text.annotation.added","output_index":5,"content_index":0,"annotation_index":3,"annotation":{"type":"url_citation"}}"#,
        r#"{"type":"response.refusal.delta","output_index":5,"content_index":1,"delta":"no"}"#,
        r#"{"type":"response.reasoning_summary_text.delta","output_index":1,"summary_index":0,"delta":"think"}"#,
        r#"{"type":"response.reasoning_text.delta","output_index":1,"content_index":0,"delta":"raw"}"#,
        r#"{"type":"response.function_call_arguments.delta","output_index":2,"delta":"{\"a\":"}"#,
        r#"{"type":"response.custom_tool_call_input.delta","output_index":3,"delta":"free"}"#,
        r#"{"type":"response.shell_call_output_content.delta","output_index":4,"command_index":1,"delta":{"stderr":"e"}}"#,
        r#"{"type":"response.shell_call_output_content.delta","output_index":4,"command_index":0,"delta":{"stdout":"o"}}"#,
        r#"{"type":"response.shell_call_output_content.done","output_index":4,"command_index":1,"output":[{"stdout":"","stderr":"end"}]}"#,
    ];
    let error = run(&events, lost).1.unwrap_err();
    let partial = error.response().unwrap();
    let indices: Vec<_> =
        partial.unfinished_items().iter().map(|item| item.output_index()).collect();
    assert_eq!(indices, [1, 2, 3, 4, 5]);
    let [reasoning, call, custom, shell, message] = partial.unfinished_items() else { panic!() };
    assert_eq!(
        (reasoning.reasoning_summary(), reasoning.reasoning()),
        ("think".into(), "raw".into())
    );
    assert_eq!(call.arguments(), "{\"a\":");
    assert_eq!(custom.input(), "free");
    assert_eq!((message.text(), message.refusal()), ("ab".into(), "no".into()));
    assert_eq!(message.annotations().count(), 1);
    let shell: Vec<_> = shell
        .shell_output()
        .map(|(n, out)| (n, out.stdout.as_str(), out.stderr.as_str()))
        .collect();
    assert_eq!(shell, [(0, "o", ""), (1, "", "end")]);
    assert_eq!(partial.output_text(), "ab");
    assert!(partial.function_calls().is_empty());
}

#[test]
fn c119_every_cut_gives_one_error_and_keeps_what_came() {
    for count in 0..TEXT.len() {
        let (events, result) = run(&TEXT[..count], lost);
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated);
        assert_eq!(events.len(), count);
        assert_eq!(error.response().is_some(), count > 0);
        let text = error.response().map(Response::output_text).unwrap_or_default();
        assert_eq!(text, if count > 2 { "hi" } else { "" });
    }
}

#[test]
fn nothing_follows_the_end() {
    let mut turn = ResponseReader::new();
    for payload in TEXT {
        turn.handle(frame(payload));
    }
    for payload in TEXT {
        assert!(matches!(turn.handle(frame(payload)), ReadStep::None));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Payloads in any order, valid or not, cause no panic and exactly one end.
    #[test]
    fn any_frames_come_to_at_most_one_end(picks in prop::collection::vec((0..12usize, 0..400usize), 0..30)) {
        let pool = [
            CREATED, ADDED, DELTA, DONE, COMPLETED, "{}", "[DONE]", r#"{"type":"error"}"#,
            r#"{"type":"response.failed","response":{}}"#, r#"{"error":"x"}"#, "null", r#"{"type":"x.y"}"#,
        ];
        let mut turn = ResponseReader::new();
        let mut ends = 0;
        for (pick, cut) in picks {
            let payload = pool[pick];
            let payload = if cut < payload.len() { &payload[..cut] } else { payload };
            match turn.handle(frame(payload)) {
                ReadStep::Finished(_) | ReadStep::Failed(_) => ends += 1,
                ReadStep::Event(_) => prop_assert_eq!(ends, 0),
                ReadStep::None => {}
            }
        }
        prop_assert!(ends <= 1);
    }
}

#[test]
fn what_came_before_a_cut_is_not_handed_out_again() {
    let numbered = |number: u64| {
        format!(r#"{{"type":"response.output_text.delta","sequence_number":{number},"delta":"x"}}"#)
    };
    let created = r#"{"type":"response.created","sequence_number":0,"response":{"id":"r"}}"#;
    let mut turn = ResponseReader::new();
    for payload in [created.to_owned(), numbered(1), numbered(2)] {
        assert!(matches!(turn.handle(frame(&payload)), ReadStep::Event(_)));
    }
    let error = turn.end(StreamEnd::Disconnected(None));
    assert_eq!((turn.is_resumable(), turn.last_event()), (true, Some(2)));
    turn.resume(error.delivery());
    assert_eq!(turn.delivery(), Delivery::OutputStarted);
    for (payload, comes) in [(created.to_owned(), false), (numbered(2), false), (numbered(3), true)]
    {
        let step = turn.handle(frame(&payload));
        assert_eq!(matches!(step, ReadStep::Event(_)), comes);
    }
    assert_eq!((turn.last_event(), turn.delivery()), (Some(3), Delivery::OutputStarted));
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
fn an_end_under_the_name_of_the_previous_response_is_late() {
    let event = |kind: &str, id: &str| {
        format!(r#"{{"type":"response.{kind}","response":{{"id":"{id}"}}}}"#)
    };
    for (before, created, end, is_late) in [
        (Some("a"), Some("b"), "a", true),
        (Some("a"), Some("b"), "b", false),
        (Some("a"), Some("b"), "c", false),
        (Some("a"), Some("a"), "a", false),
        (Some("a"), None, "a", false),
        (None, Some("b"), "a", false),
    ] {
        let mut turn = ResponseReader::after(before);
        if let Some(created) = created {
            turn.handle(frame(&event("created", created)));
        }
        turn.handle(frame(&event("in_progress", end)));
        let step = turn.handle(frame(&event("completed", end)));
        assert_eq!(matches!(step, ReadStep::None), is_late, "{before:?} {created:?} {end}");
        assert_eq!(turn.last_id(), Some(end), "the lifecycle event counts");
    }
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
