//! Input: a stream of JSON values, and the requests that the values describe.

use std::{
    cell::Cell,
    collections::BTreeMap,
    io::{self, BufReader, Read},
    path::Path,
    rc::Rc,
    thread,
};

use responses_client::{Item, Json, Response, ResponsesRequest};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use super::args::Source;
use crate::{notes::note, stop::in_words};

/// Maximum length of a value in bytes. No server accepts a larger request.
const LONGEST: u64 = 1 << 30;

/// A value of the input.
pub(super) struct Value {
    /// Place of the value for error messages: its line, from 1, and its file.
    pub(super) place: String,
    /// Text of the value, or the fault of the input.
    pub(super) text: Result<String, String>,
}

/// Returns a channel of the values of the input.
///
/// A separate thread reads the values, because a blocking read from a terminal cannot be cancelled.
/// The thread reads at most two values ahead.
pub(super) fn values(source: Source) -> mpsc::Receiver<Value> {
    let (sender, receiver) = mpsc::channel(1);
    thread::spawn(move || match source {
        Source::Prompt(body) => {
            let _ = sender.blocking_send(Value { place: "the prompt".to_owned(), text: Ok(body) });
        }
        Source::Requests(input, path) => {
            read(input, path.as_deref(), |value| sender.blocking_send(value).is_ok())
        }
    });
    receiver
}

/// Reads values until the end of the input, its first fault, or until `take` returns `false`.
///
/// As in jq, white space between values is optional, and a value may have any number of lines. An
/// object is passed on when its closing brace has been read.
fn read(input: impl Read, path: Option<&Path>, mut take: impl FnMut(Value) -> bool) {
    let place = |line| match path {
        Some(path) => format!("{}: line {line}", path.display()),
        None => format!("line {line}"),
    };
    let progress = Rc::new(Progress::default());
    let input = Tracked { input: BufReader::new(input), progress: Rc::clone(&progress) };
    let mut values = serde_json::Deserializer::from_reader(input).into_iter::<Box<RawValue>>();
    loop {
        progress.start_value();
        match values.next() {
            None => return,
            Some(Ok(value)) => {
                let text = Ok(String::from(Box::<str>::from(value)));
                if !take(Value { place: place(progress.start_line()), text }) {
                    return;
                }
            }
            Some(Err(error)) => {
                let line =
                    if error.is_syntax() { error.line() as u64 } else { progress.start_line() };
                take(Value { place: place(line), text: Err(describe(&error)) });
                return;
            }
        }
    }
}

fn describe(error: &serde_json::Error) -> String {
    if error.is_io() {
        return format!("could not read the input: {error}");
    }
    if error.is_eof() {
        return "the value is not a JSON object: the JSON ends too early".to_owned();
    }
    let (text, column) = (error.to_string(), error.column());
    let position = format!(" at line {} column {column}", error.line());
    let fault = text.strip_suffix(&position).unwrap_or(&text);
    format!("the value is not a JSON object: no valid JSON: {fault} at column {column}")
}

/// Progress of reading.
#[derive(Default)]
struct Progress {
    /// Number of line breaks read.
    line_breaks: Cell<u64>,
    /// Line on which the value starts, from 1; `None` before its first byte.
    start: Cell<Option<u64>>,
    /// Number of bytes read since the start of the value, or since the previous value.
    length: Cell<u64>,
}

impl Progress {
    fn start_value(&self) {
        self.start.set(None);
        self.length.set(0);
    }

    /// Returns the line on which the value starts, from 1.
    fn start_line(&self) -> u64 {
        self.start.get().unwrap_or(self.line_breaks.get() + 1)
    }

    fn note(&self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                b'\n' => self.line_breaks.set(self.line_breaks.get() + 1),
                b' ' | b'\t' | b'\r' => {}
                _ if self.start.get().is_none() => self.start.set(Some(self.start_line())),
                _ => {}
            }
        }
        self.length.set(self.length.get() + bytes.len() as u64);
    }
}

/// Reader that tracks the line of each value, and limits its length.
///
/// The parser reads one byte at a time and does not read beyond the closing brace of an object, so
/// that the first byte after a value belongs to the next one.
struct Tracked<R> {
    input: BufReader<R>,
    progress: Rc<Progress>,
}

impl<R: Read> Read for Tracked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.progress.length.get() >= LONGEST {
            return Err(io::Error::other("a value is longer than 1 GiB"));
        }
        let read = self.input.read(buffer)?;
        self.progress.note(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}

/// The conversation so far, which `$append` continues.
#[derive(Default)]
pub(super) struct Conversation {
    last: Option<ResponsesRequest>,
    /// Final output of the last turn; empty if the turn failed.
    output: Vec<Item>,
    /// `true` if the note about `stream` has been written.
    has_noted_stream: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Append {
    #[serde(rename = "$append")]
    items: Vec<Item>,
}

impl Conversation {
    /// Returns the full request that a value describes.
    ///
    /// # Errors
    ///
    /// Returns a description of the fault in the value.
    pub(super) fn request(&mut self, value: &str) -> Result<ResponsesRequest, String> {
        let members: Result<BTreeMap<String, &RawValue>, _> = serde_json::from_str(value);
        let Ok(members) = members else {
            return Err(match Json::parse(value) {
                Ok(_) => "the value is not a JSON object".to_owned(),
                Err(error) => format!("the value is not a JSON object: {}", in_words(&error)),
            });
        };
        let mut names = members.keys().filter(|name| name.starts_with('$'));
        if let Some(name) = names.find(|name| *name != "$append") {
            return Err(format!("unknown member `{name}`: the only one with a `$` is `$append`"));
        }
        if !members.contains_key("$append") {
            let request = ResponsesRequest::from_json(value).map_err(|error| in_words(&error))?;
            return Ok(self.without_stream(request));
        }
        // `Json` would accept two `$append` members and discard the first.
        let append: Append = serde_json::from_str(value).map_err(|_| {
            "`$append` must be the only member, given once, and a list of objects".to_owned()
        })?;
        let Some(last) = &self.last else {
            return Err("`$append` needs a request before it".to_owned());
        };
        let mut request = last.clone();
        request.input.extend(self.output.iter().cloned());
        request.input.extend(append.items);
        Ok(request)
    }

    /// Drops `"stream": true`, which requests for other clients contain. Writes a note at the first.
    fn without_stream(&mut self, mut request: ResponsesRequest) -> ResponsesRequest {
        let before = request.extra.len();
        request.extra.retain(|(name, value)| !(name == "stream" && value.as_str() == "true"));
        if request.extra.len() < before && !std::mem::replace(&mut self.has_noted_stream, true) {
            note("`\"stream\": true` is dropped: every turn is streamed");
        }
        request
    }

    /// Records a turn, and its response if the turn did not fail.
    pub(super) fn settle(&mut self, request: ResponsesRequest, response: Option<&Response>) {
        self.last = Some(request);
        self.output = response.map(|it| it.output_items().collect()).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the place and the text or the fault of each value.
    fn read_all(text: &str, path: Option<&str>) -> Vec<(String, Result<String, String>)> {
        let mut found = Vec::new();
        read(text.as_bytes(), path.map(Path::new), |Value { place, text }| {
            found.push((place, text));
            true
        });
        found
    }

    #[test]
    fn values_are_read_as_jq_reads_them() {
        let text = "\n {\"a\":\n 1}{}\t{\"b\":[{\r\n}]}\n\n{\"c\":\"}\\\"\"}";
        let expected = [
            ("line 2", "{\"a\":\n 1}"),
            ("line 3", "{}"),
            ("line 3", "{\"b\":[{\r\n}]}"),
            ("line 6", "{\"c\":\"}\\\"\"}"),
        ];
        let expected = expected.map(|(place, text)| (place.to_owned(), Ok(text.to_owned())));
        assert_eq!(read_all(text, None), expected);
        assert_eq!(read_all(" \n ", None), []);
    }

    #[test]
    fn faults_of_the_json_have_their_line() {
        let ends = "the value is not a JSON object: the JSON ends too early";
        for (text, place, fault) in [
            ("{}\n{\"a\":\n1,\n", "line 2", ends),
            ("{}\n\n{\"a\":\n1 2}\n{}", "line 4", "expected `,` or `}` at column 3"),
            ("{}\nnonsense", "line 2", "the value is not a JSON object: no valid JSON"),
        ] {
            let found = read_all(text, None);
            assert_eq!(found.len(), 2, "{found:?}");
            let (last, Err(why)) = &found[1] else { panic!("{found:?}") };
            assert_eq!(last, place, "{text}");
            assert!(why.contains(fault), "{why}");
        }
        assert_eq!(read_all("{", Some("a/b.json"))[0].0, "a/b.json: line 1");
        let not_utf8 = &b"{\"a\":\"\xff\"}"[..];
        let mut faults = 0;
        read(not_utf8, None, |value| {
            faults += usize::from(value.text.is_err());
            true
        });
        assert_eq!(faults, 1);
    }

    #[test]
    fn an_object_is_passed_on_before_more_is_read() {
        struct Once(bool);
        impl Read for Once {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                assert!(!std::mem::replace(&mut self.0, true), "the object is complete");
                let text = b"{\"a\":1}";
                buffer[..text.len()].copy_from_slice(text);
                Ok(text.len())
            }
        }
        read(Once(false), None, |value| {
            assert_eq!(value.text.as_deref(), Ok("{\"a\":1}"));
            false
        });
    }

    #[test]
    fn a_request_to_stream_is_dropped() {
        let mut conversation = Conversation::default();
        let request = conversation.request(r#"{"model":"m","stream":true,"x":1}"#).unwrap();
        let names: Vec<_> = request.extra.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["x"]);
        assert!(conversation.has_noted_stream);
        let kept = conversation.request(r#"{"model":"m","stream":false}"#).unwrap();
        assert_eq!(kept.extra.len(), 1, "the session refuses it");
    }

    #[test]
    fn bad_values_are_told_apart() {
        let mut conversation = Conversation::default();
        let wrong = |it: &mut Conversation, value| it.request(value).unwrap_err();
        assert!(wrong(&mut conversation, r#"{"$append":[]}"#).contains("before it"));
        let request = conversation.request(r#"{"model":"m","input":"hi"}"#).unwrap();
        conversation.settle(request, None);
        for (value, why) in [
            ("{", "the JSON ends too early"),
            ("{}{}", "no valid JSON"),
            ("[]", "not a JSON object"),
            ("null", "not a JSON object"),
            (r#"{"input":5}"#, "the request body"),
            (r#"{"$append":{}}"#, "a list of objects"),
            (r#"{"$append":null}"#, "a list of objects"),
            (r#"{"$append":["hi"]}"#, "a list of objects"),
            (r#"{"$append":[],"model":"m"}"#, "the only member"),
            (r#"{"$append":[],"\u0024append":[]}"#, "the only member"),
            (r#"{"$appendd":[],"model":"m"}"#, "unknown member `$appendd`"),
            (r#"{"$":1}"#, "unknown member `$`"),
        ] {
            let said = wrong(&mut conversation, value);
            assert!(said.contains(why), "{value}: {said}");
        }
        let appended = conversation.request(r#"{"$append":[{"type":"x"}]}"#).unwrap();
        assert_eq!(appended.input.len(), 2);
        assert_eq!(appended.model, "m");
    }
}
