//! The bytes of a step over SSE.

#![expect(clippy::indexing_slicing, reason = "a missing member of a JSON value reads as null")]

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use serde_json::Value;

use crate::{
    server::sse::{self, data_lines},
    testing::script::{
        cut::Cut,
        pieces::{split, split_at},
        step::Step,
        value::{encode, remove},
    },
};

/// Effect of a step on an SSE body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SseAction {
    /// Sends these bytes.
    Send(Bytes),
    /// Sends these pieces, each after the pause and flushed on its own.
    SendPieces { pieces: VecDeque<Bytes>, pause: Duration },
    /// Sends `first` immediately, and then the pieces.
    Drip { first: Bytes, pieces: VecDeque<Bytes>, pause: Duration },
    /// Sends nothing.
    Nothing,
    /// Ends the body cleanly.
    End,
    /// Cuts the connection after everything before.
    Cut(Cut),
}

/// Returns the effect of a step on an SSE body; the objects of `untyped` events lack their type.
pub(super) fn action(step: Step, untyped: bool) -> SseAction {
    let in_pieces =
        |pieces: Vec<Bytes>| SseAction::SendPieces { pieces: pieces.into(), pause: Duration::ZERO };
    match step {
        Step::Event(event) | Step::Stray(event) => SseAction::Send(event_bytes(event, untyped)),
        Step::Text(text) => SseAction::Send(data_lines(text.as_bytes())),
        Step::Flood { text, times } => in_pieces(flood(&text, times)),
        Step::Fragmented { text, pieces } => in_pieces(split(data_lines(text.as_bytes()), pieces)),
        Step::Split { text, at } => {
            // The text begins after the name of the field.
            let at: Vec<_> = at.iter().map(|offset| offset + sse::DATA.len()).collect();
            in_pieces(split_at(data_lines(text.as_bytes()), &at))
        }
        Step::Drip { text, pieces, pause } => {
            let mut pieces: VecDeque<_> = split(data_lines(text.as_bytes()), pieces).into();
            let first = pieces.pop_front().unwrap_or_default();
            SseAction::Drip { first, pieces, pause }
        }
        Step::Partial { text, bytes } => {
            let lines = data_lines(text.as_bytes().get(..bytes).unwrap_or(text.as_bytes()));
            // Neither the line nor the event ends.
            SseAction::Send(lines.slice(..lines.len().saturating_sub(2)))
        }
        Step::Raw(bytes) => SseAction::Send(bytes),
        Step::Comment(text) => SseAction::Send(sse::comment(&text)),
        Step::Binary(_) | Step::Deflated(_) | Step::Ping(_) | Step::Pong(_) => SseAction::Nothing,
        Step::Delay(_) | Step::Gate(_) | Step::Stall | Step::Freeze => SseAction::Nothing,
        Step::AwaitSteer | Step::AwaitInject | Step::AwaitInterrupt | Step::Expire => {
            SseAction::Nothing
        }
        Step::Close { .. } => SseAction::End,
        Step::End => SseAction::Cut(Cut::Fin),
        Step::Reset => SseAction::Cut(Cut::Reset),
    }
}

fn event_bytes(mut event: Value, untyped: bool) -> Bytes {
    let name = event["type"].as_str().map(str::to_owned);
    if untyped {
        remove(&mut event, "type");
    }
    sse::event(name.as_deref(), &encode(&event))
}

fn flood(text: &str, times: usize) -> Vec<Bytes> {
    let event = data_lines(text.as_bytes());
    let piece = Bytes::from(event.repeat(times.min(FLOODED_AT_ONCE)));
    let last = piece.slice(..event.len() * (times % FLOODED_AT_ONCE));
    std::iter::repeat_n(piece, times / FLOODED_AT_ONCE).chain([last]).collect()
}

/// Number of events of a flood in one piece.
const FLOODED_AT_ONCE: usize = 1024;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sent(step: Step, untyped: bool) -> Bytes {
        match action(step, untyped) {
            SseAction::Send(bytes) => bytes,
            SseAction::SendPieces { pieces, .. } => pieces.into_iter().flatten().collect(),
            SseAction::Drip { first, pieces, .. } => {
                first.into_iter().chain(pieces.into_iter().flatten()).collect()
            }
            other => panic!("nothing is sent: {other:?}"),
        }
    }

    #[test]
    fn an_event_says_its_type_twice_or_once() {
        let event = || Step::Event(json!({ "type": "x", "a": 1 }));
        assert_eq!(sent(event(), false), "event: x\ndata: {\"type\":\"x\",\"a\":1}\n\n");
        assert_eq!(sent(event(), true), "event: x\ndata: {\"a\":1}\n\n");
        assert_eq!(sent(Step::Event(json!({ "a": 1 })), false), "data: {\"a\":1}\n\n");
    }

    #[test]
    fn pieces_make_up_the_event() {
        let text = || "abcdef".to_owned();
        let whole = "data: abcdef\n\n";
        assert_eq!(sent(Step::Fragmented { text: text(), pieces: 3 }, false), whole);
        let drip = Step::Drip { text: text(), pieces: 3, pause: Duration::from_secs(1) };
        assert_eq!(sent(drip, false), whole);
        let SseAction::SendPieces { pieces, .. } =
            action(Step::Split { text: text(), at: vec![2] }, false)
        else {
            panic!("not in pieces")
        };
        assert_eq!(pieces, ["data: ab", "cdef\n\n"]);
        assert_eq!(sent(Step::Partial { text: text(), bytes: 2 }, false), "data: ab");
    }

    #[test]
    fn a_flood_has_all_its_events() {
        let flood = Step::Flood { text: "{}".to_owned(), times: 2500 };
        assert_eq!(sent(flood, false).len(), 2500 * "data: {}\n\n".len());
    }

    #[test]
    fn faults_end_the_body_in_their_way() {
        assert_eq!(action(Step::End, false), SseAction::Cut(Cut::Fin));
        assert_eq!(action(Step::Reset, false), SseAction::Cut(Cut::Reset));
        let close = Step::Close { code: Some(1001), reason: String::new() };
        assert_eq!(action(close, false), SseAction::End);
        assert_eq!(action(Step::Ping(Bytes::new()), false), SseAction::Nothing);
    }
}
