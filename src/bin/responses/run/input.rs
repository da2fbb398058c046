//! Input: the lines of standard input, and the requests that the lines describe.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, Read},
    thread,
};

use responses_client::{Item, Json, Response, ResponsesRequest};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use crate::stop::in_words;

/// Maximum length of a line in bytes. No server accepts a larger request.
const LONGEST: u64 = 1 << 30;

/// A line that is not blank.
pub(crate) struct Line {
    /// Number of the line, from 1. Blank lines count.
    pub(crate) number: u64,
    /// Text of the line, or the error of reading the line.
    pub(crate) text: Result<String, String>,
}

/// Returns a channel of the lines of standard input.
///
/// A separate thread reads the lines, because a blocking read from a terminal cannot be cancelled.
/// The thread reads at most two lines ahead.
pub(crate) fn lines() -> mpsc::Receiver<Line> {
    let (sender, receiver) = mpsc::channel(1);
    thread::spawn(move || {
        let mut input = io::stdin().lock();
        for number in 1.. {
            let mut line = Vec::new();
            let text = match input.by_ref().take(LONGEST).read_until(b'\n', &mut line) {
                Ok(0) => return,
                Ok(read) if read as u64 == LONGEST => {
                    Err("the line is longer than 1 GiB".to_owned())
                }
                Ok(_) => {
                    String::from_utf8(line).map_err(|_| "the line is not valid UTF-8".to_owned())
                }
                Err(error) => Err(format!("could not read standard input: {error}")),
            };
            let is_blank = text.as_ref().is_ok_and(|text| text.trim().is_empty());
            let is_last = text.is_err();
            if !is_blank && sender.blocking_send(Line { number, text }).is_err() || is_last {
                return;
            }
        }
    });
    receiver
}

/// The conversation so far, which `$append` continues.
#[derive(Default)]
pub(crate) struct Conversation {
    last: Option<ResponsesRequest>,
    /// Final output of the last turn; empty if the turn failed.
    output: Vec<Item>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Append {
    #[serde(rename = "$append")]
    items: Vec<Item>,
}

impl Conversation {
    /// Returns the full request that a line describes.
    ///
    /// # Errors
    ///
    /// Returns a description of the fault in the line.
    pub(crate) fn request(&self, line: &str) -> Result<ResponsesRequest, String> {
        let members: Result<BTreeMap<String, &RawValue>, _> = serde_json::from_str(line);
        let Ok(members) = members else {
            return Err(match Json::parse(line) {
                Ok(_) => "the line is not a JSON object".to_owned(),
                Err(error) => format!("the line is not a JSON object: {}", in_words(&error)),
            });
        };
        if !members.contains_key("$append") {
            return ResponsesRequest::from_json(line).map_err(|error| in_words(&error));
        }
        // `Json` would accept two `$append` members and discard the first.
        let append: Append = serde_json::from_str(line).map_err(|_| {
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

    /// Records a turn, and its response if the turn did not fail.
    pub(crate) fn settle(&mut self, request: ResponsesRequest, response: Option<&Response>) {
        self.last = Some(request);
        self.output = response.map(|it| it.output_items().collect()).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_lines_are_told_apart() {
        let mut conversation = Conversation::default();
        let wrong = |conversation: &Conversation, line| conversation.request(line).unwrap_err();
        assert!(wrong(&conversation, r#"{"$append":[]}"#).contains("before it"));
        let request = conversation.request(r#"{"model":"m","input":"hi"}"#).unwrap();
        conversation.settle(request, None);
        for (line, why) in [
            ("{", "the JSON ends too early"),
            ("{}{}", "no valid JSON"),
            ("[]", "not a JSON object"),
            ("null", "not a JSON object"),
            (r#"{"input":5}"#, "a create body"),
            (r#"{"$append":{}}"#, "a list of objects"),
            (r#"{"$append":null}"#, "a list of objects"),
            (r#"{"$append":["hi"]}"#, "a list of objects"),
            (r#"{"$append":[],"model":"m"}"#, "the only member"),
            (r#"{"$append":[],"\u0024append":[]}"#, "the only member"),
        ] {
            let said = wrong(&conversation, line);
            assert!(said.contains(why), "{line}: {said}");
        }
        let appended = conversation.request(r#"{"$append":[{"type":"x"}]}"#).unwrap();
        assert_eq!(appended.input.len(), 2);
        assert_eq!(appended.model.as_deref(), Some("m"));
    }
}
