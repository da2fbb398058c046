//! Ends of a response: terminal events, errors and cuts.

use proptest::prelude::*;

use super::*;

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
