//! Bodies that are not what their head says.

use std::time::Duration;

use bytes::Bytes;
use responses_client::{
    ErrorKind, Transport,
    testing::{Refusal, Script, ScriptedServer, Step, Turn},
};

use super::{once, paused};
use crate::support::{builder, fixtures::folder, guarded, only, request, turn};

/// An HTTP answer: its status, its headers and its body.
struct Whole<'a> {
    status: u16,
    headers: Vec<(&'a str, &'a str)>,
    body: &'a str,
}

impl<'a> Whole<'a> {
    fn parse(text: &'a str) -> Self {
        let (head, body) = text.split_once("\n\n").expect("a head");
        let mut head = head.lines();
        let status = head.next().expect("a status").parse().expect("a number");
        let headers = head.map(|line| line.split_once(": ").expect("a header")).collect();
        Self { status, headers, body }
    }

    fn answer(&self) -> Turn {
        let refusal = Refusal::status(self.status).body(self.body.to_owned());
        let headers = self.headers.iter();
        Turn::text("").http(headers.fold(refusal, |it, (name, value)| it.header(*name, *value)))
    }

    /// The same in two pieces.
    fn cut(&self, at: usize) -> Option<Turn> {
        let label = match self.headers[..] {
            [] => None,
            [("content-type", label)] => Some(label),
            _ => return None,
        };
        let (one, other) = self.body.as_bytes().split_at(at);
        let pieces = [one, other].map(|piece| Step::Raw(Bytes::copy_from_slice(piece)));
        let [one, other] = pieces;
        let turn = Turn::steps([one, Step::Delay(Duration::from_millis(1)), other]);
        (self.status == 200).then(|| turn.labelled(label))
    }
}

/// What comes of a body that is not what its head says: the text and how many events, or what is
/// wrong.
fn meant_by(name: &str) -> Result<(&'static str, usize), (ErrorKind, &'static [&'static str])> {
    match name {
        "response-as-json" | "response-as-json-without-label" | "incomplete-as-json" => {
            Ok(("Here.", 1))
        }
        "unknown-names" => Ok(("Here.", 6)),
        "error-by-name" => Err((ErrorKind::Api, &["The queue is full."])),
        "error-by-object" => Err((ErrorKind::Api, &["The model is loading."])),
        "error-by-type" => Err((ErrorKind::Api, &["Too many."])),
        "error-as-json" => Err((ErrorKind::Api, &["Slow down."])),
        "failed-as-json" => Err((ErrorKind::Api, &["No."])),
        "page-with-200" | "page-without-label" => Err((ErrorKind::Protocol, &["200", "Sign in"])),
        "page-with-502" => Err((ErrorKind::Api, &["502", "Sign in", "gate/1"])),
        "encoded" => Err((ErrorKind::Protocol, &["gzip"])),
        _ => Ok(("Here.", 4)),
    }
}

#[test]
fn c127_c131_c132_c133_a_body_is_read_for_what_it_is() {
    for fixture in folder("bodies", "http") {
        let name = &fixture.name;
        let whole = Whole::parse(&fixture.text);
        // Every place in the first line and the last, and many between them.
        let length = whole.body.len();
        let places = (0..length).filter(|at| *at < 40 || at % 7 == 0 || *at + 4 > length);
        let mut answers = vec![whole.answer()];
        answers.extend(places.filter_map(|at| whole.cut(at)));
        paused(async {
            let server = ScriptedServer::in_memory(Script::new());
            let client = builder(&server).transport(only(Transport::Sse)).retry(once());
            let client = client.build().expect("a client");
            let count = answers.len();
            for (place, answer) in answers.into_iter().enumerate() {
                let what = format!("{name}, answer {place}");
                server.push(answer);
                let outcome = guarded(turn(&mut client.session(), &request(&["hi"]))).await;
                match (meant_by(name), &outcome.result) {
                    (Ok((text, events)), Ok(response)) => {
                        assert_eq!(response.output_text(), text, "{what}");
                        assert_eq!(outcome.events.len(), events, "{what}");
                    }
                    (Err((kind, words)), Err(error)) => {
                        assert_eq!(error.kind(), kind, "{what}: {error:?}");
                        let mut shown = error.to_string();
                        let mut source = std::error::Error::source(error);
                        while let Some(cause) = source {
                            shown += &format!(": {cause}");
                            source = cause.source();
                        }
                        for word in words {
                            assert!(shown.contains(word), "{what}: {word} is not in {shown}");
                        }
                        assert!(!shown.contains("secret()"), "{what}: {shown}");
                    }
                    (_, other) => panic!("{what}: {other:?}"),
                }
            }
            assert_eq!(server.log().requests.len(), count, "{name}: nothing is sent again");
        });
    }
}
