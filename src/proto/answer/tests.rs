use http::{HeaderValue, header};

use super::*;
use crate::{event::EventKind, proto::wire::responses::Responses};

fn limits() -> Limits {
    Limits { max_event_bytes: 1000, max_error_body_bytes: 1000, ..Limits::default() }
}

/// Reads a body in these pieces. Returns a line for each frame, and one for the end.
fn read<'a>(label: &str, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
    let mut headers = HeaderMap::new();
    if !label.is_empty() {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_str(label).unwrap());
    }
    let mut answer = AnswerReader::new(200, Arc::new(headers), &Responses, limits());
    let mut pieces = pieces.into_iter();
    let mut told = Vec::new();
    loop {
        match answer.next_frame() {
            Some(Ok(frame)) => {
                let bare = if frame.tag.bare { "bare " } else { "" };
                told.push(format!("{bare}{:?} {}", frame.tag.kind, frame.payload));
            }
            Some(Err(end)) => {
                told.push(match end {
                    StreamEnd::Protocol(error) => error.to_string(),
                    end => format!("{end:?}"),
                });
                return told;
            }
            None => match pieces.next() {
                Some(piece) => answer.push(Bytes::copy_from_slice(piece)),
                None => answer.end(),
            },
        }
    }
}

const CREATED: &str = r#"{"type":"response.created","response":{}}"#;

#[test]
fn c132_a_stream_is_read_whatever_its_label_and_wherever_it_is_split() {
    let body = format!("\u{feff}: hi\n\nevent: response.created\ndata: {CREATED}\n\n");
    let named = "event: ping\ndata: {}\n\ndata: [DONE]\n\ndata: after\n\n";
    let body = body + named;
    let expected =
        [format!("Created {CREATED}"), "Ping {}".to_owned(), "Disconnected(None)".to_owned()];
    for label in [
        "text/event-stream",
        "text/plain; charset=utf-8",
        "application/octet-stream",
        "application/json",
        "x",
        "",
    ] {
        assert_eq!(read(label, [body.as_bytes()]), expected, "{label}");
        assert_eq!(read(label, body.as_bytes().chunks(1)), expected, "{label}");
        for at in 0..=body.len() {
            let (a, b) = body.as_bytes().split_at(at);
            assert_eq!(read(label, [a, b]), expected, "{label} {at}");
        }
    }
}

#[test]
fn c131_json_is_read_whatever_its_label_and_wherever_it_is_split() {
    let response = r#"{"object":"response","status":"completed","output":[{"text":"}\""}]}"#;
    for (body, expected) in [
        (format!("\n{response}\n"), vec![format!("bare Completed {response}")]),
        (response.to_owned() + response, vec![format!("bare Completed {response}")]),
        (r#"{"error":"x"}"#.to_owned(), vec![r#"Unknown {"error":"x"}"#.to_owned()]),
        (format!("{CREATED}\n{CREATED}\n"), vec![format!("Created {CREATED}"); 2]),
        (r#"{"error":"#.to_owned(), vec![]),
    ] {
        let mut expected = expected;
        expected.push("Disconnected(None)".to_owned());
        for label in ["application/json", "text/event-stream", "text/plain", ""] {
            assert_eq!(read(label, [body.as_bytes()]), expected, "{label}");
            for at in 0..=body.len() {
                let (a, b) = body.as_bytes().split_at(at);
                assert_eq!(read(label, [a, b]), expected, "{label} {at}");
            }
        }
    }
}

#[test]
fn c131_json_is_held_within_the_limit_of_one_event() {
    let object = |size: usize| format!(r#"{{"error":"{}"}}"#, "x".repeat(size)).into_bytes();
    let fits = object(1000 - 12);
    assert_eq!(read("", fits.chunks(7)).len(), 2);
    assert_eq!(read("", [&*fits]).len(), 2);
    assert_eq!(read("", object(1000 - 11).chunks(7)), ["TooLarge"]);
    assert_eq!(read("", [&*object(1000 - 11)]), ["TooLarge"]);
}

#[test]
fn c132_what_is_no_stream_is_an_error_that_says_what_it_is() {
    let page = "<html><head><title>Log in</title></head><body>secret</body></html>";
    let told = "expected an event stream, received a web page with status 200";
    for (label, body, expected) in [
        ("text/html", page, format!("{told}, type `text/html`, title `Log in`")),
        ("text/html", CREATED, format!("{told}, type `text/html`")),
        ("text/html", "", format!("{told}, type `text/html`")),
        ("text/plain", page, format!("{told}, type `text/plain`, title `Log in`")),
        ("", page, format!("{told}, title `Log in`")),
        ("text/plain", "no", "expected an event stream, received `text/plain`".to_owned()),
        ("a/b", r#"{"id":1}"#, "expected an event stream, received `a/b`".to_owned()),
        ("", r#"{"id":1}"#, "received a frame that is not an event".to_owned()),
        ("", "nonsense", "Disconnected(None)".to_owned()),
        ("text/event-stream", "nonsense: x\n\n", "Disconnected(None)".to_owned()),
        ("application/json", "", "Disconnected(None)".to_owned()),
    ] {
        for at in 0..=body.len() {
            let (a, b) = body.as_bytes().split_at(at);
            assert_eq!(read(label, [a, b]), [&*expected], "{label} {body} {at}");
        }
    }
}

#[test]
fn c132_a_page_is_read_no_further_than_its_title() {
    let mut answer = AnswerReader::new(200, Arc::default(), &Responses, limits());
    answer.push(Bytes::from_static(b"<html><title>Hi</ti"));
    assert!(answer.next_frame().is_none() && answer.is_page());
    answer.push(Bytes::from_static(b"tle>"));
    assert!(matches!(
        answer.next_frame(),
        Some(Err(StreamEnd::Protocol(ProtocolError::WebPage(_))))
    ));
    let mut answer = AnswerReader::new(200, Arc::default(), &Responses, limits());
    let pieces = (0..).take_while(|_| {
        answer.push(Bytes::from_static(b"<html> and no title"));
        answer.next_frame().is_none()
    });
    assert_eq!(pieces.count(), 1000 / 19);
}

#[test]
fn c131_a_response_in_progress_is_followed_by_nothing() {
    let body = br#"{"object":"response","id":"r","status":"queued"}"#;
    let mut answer = AnswerReader::new(200, Arc::default(), &Responses, limits());
    answer.push(Bytes::from_static(body));
    let frame = answer.next_frame().unwrap().unwrap();
    assert_eq!((frame.tag.kind, frame.tag.bare), (EventKind::Queued, true));
    assert!(
        matches!(answer.next_frame(), Some(Err(StreamEnd::Disconnected(None)))),
        "its end is not waited for"
    );
}
