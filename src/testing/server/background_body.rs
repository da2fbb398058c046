//! The body that shows a response in the background to one reader.

#![expect(clippy::indexing_slicing, reason = "a missing member of a JSON value reads as null")]

use std::{future, sync::Arc};

use bytes::Bytes;
use futures_util::stream;
use serde_json::Value;

use super::{background::Background, control::Control};
use crate::{
    server::{
        http::{AnswerBody, streamed},
        sse,
    },
    testing::script::{cut::Cut, step::Step, value::encode},
};

/// A reader of a response in the background.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reader {
    /// The request that began the response: it gets everything, faults included.
    First,
    /// A later request, which gets the events with larger numbers.
    Resumed { starting_after: Option<u64> },
}

/// Effect of a step on the body of a reader.
#[derive(Debug, PartialEq, Eq)]
enum Shown {
    Bytes(Bytes),
    Nothing,
    /// The clean end of the body.
    End,
    Cut(Cut),
}

/// Returns the body that `reader` gets.
pub(super) fn body(
    background: Arc<Background>,
    reader: Reader,
    control: Arc<Control>,
) -> AnswerBody {
    let pieces = stream::unfold((background, 0), move |(background, mut index)| {
        let control = Arc::clone(&control);
        async move {
            loop {
                let step = background.step(index).await?;
                index += 1;
                match reader.show(step) {
                    Shown::Bytes(bytes) => return Some((bytes, (background, index))),
                    Shown::Nothing => {}
                    Shown::End => return None,
                    Shown::Cut(cut) => {
                        control.cut_after_flush(cut);
                        return future::pending().await;
                    }
                }
            }
        }
    });
    streamed(pieces)
}

impl Reader {
    /// Returns the effect of a step on the body of this reader.
    fn show(self, step: Step) -> Shown {
        if let Some(event) = step.event() {
            let number = event["sequence_number"].as_u64();
            let is_skipped = match self {
                Self::First | Self::Resumed { starting_after: None } => false,
                Self::Resumed { starting_after } => number <= starting_after,
            };
            return if is_skipped { Shown::Nothing } else { Shown::Bytes(event_bytes(&event)) };
        }
        match (self, step) {
            (Self::First, Step::Raw(bytes)) => Shown::Bytes(bytes),
            (Self::First, Step::Comment(text)) => Shown::Bytes(sse::comment(&text)),
            (Self::First, Step::Close { .. }) => Shown::End,
            (Self::First, step) => step.cut().map_or(Shown::Nothing, Shown::Cut),
            _ => Shown::Nothing,
        }
    }
}

fn event_bytes(event: &Value) -> Bytes {
    sse::event(event["type"].as_str(), &encode(event))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_later_reader_gets_only_later_events() {
        let resumed = Reader::Resumed { starting_after: Some(3) };
        let event = |number: u64| Step::Event(json!({ "sequence_number": number }));
        assert_eq!(resumed.show(event(3)), Shown::Nothing);
        assert!(matches!(resumed.show(event(4)), Shown::Bytes(_)));
        assert!(matches!(Reader::First.show(event(0)), Shown::Bytes(_)));
        assert_eq!(resumed.show(Step::Reset), Shown::Nothing);
        assert_eq!(Reader::First.show(Step::Reset), Shown::Cut(Cut::Reset));
        let close = Step::Close { code: None, reason: String::new() };
        assert_eq!(Reader::First.show(close), Shown::End);
    }
}
