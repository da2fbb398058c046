//! The frames of a step over WebSocket.

use std::time::Duration;

use bytes::Bytes;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use crate::{
    server::websocket::{close_message, deflated_text, first_fragment, fragments, unchecked_text},
    testing::script::{
        cut::Cut,
        pieces::{split, split_at},
        step::Step,
        value::encode,
    },
};

/// Effect of a step on a WebSocket.
#[derive(Debug)]
pub(super) enum FrameAction {
    /// Sends a frame together with the next ones.
    Feed(Message),
    /// Sends a frame immediately.
    Send(Message),
    /// Sends these frames, with a flush and a pause between them if there is one.
    FeedAll { frames: Vec<Message>, pause: Duration },
    /// Sends a frame repeatedly.
    Repeat { frame: Message, times: usize },
    /// Sends a Close frame, after which nothing follows.
    Close(Message),
    /// Cuts the connection after everything before.
    Cut(Cut),
    /// Sends nothing.
    Nothing,
}

/// Returns the effect of a step on a WebSocket; the caller carries out the wait of a waiting step.
pub(super) fn action(step: Step) -> FrameAction {
    let in_pieces = |pieces: Vec<Bytes>, pause: Duration| FrameAction::FeedAll {
        frames: fragments(pieces),
        pause,
    };
    match step {
        Step::Event(event) | Step::Stray(event) => FrameAction::Feed(Message::text(encode(&event))),
        Step::Text(text) => FrameAction::Feed(Message::text(text)),
        Step::Fragmented { text, pieces } => in_pieces(split(text.into(), pieces), Duration::ZERO),
        Step::Split { text, at } => in_pieces(split_at(text.into(), &at), Duration::ZERO),
        Step::Drip { text, pieces, pause } => in_pieces(split(text.into(), pieces), pause),
        Step::Partial { text, bytes } => {
            let mut begin = Bytes::from(text);
            begin.truncate(bytes);
            FrameAction::Send(first_fragment(begin))
        }
        Step::Flood { text, times } => {
            FrameAction::Repeat { frame: Message::Text(Utf8Bytes::from(text)), times }
        }
        Step::Raw(bytes) => FrameAction::Feed(unchecked_text(bytes)),
        Step::Binary(bytes) => FrameAction::Feed(Message::Binary(bytes)),
        Step::Deflated(payload) => FrameAction::Feed(deflated_text(payload)),
        Step::Ping(bytes) => FrameAction::Send(Message::Ping(bytes)),
        Step::Pong(bytes) => FrameAction::Send(Message::Pong(bytes)),
        Step::Close { code, reason } => FrameAction::Close(close_message(code, &reason)),
        Step::End => FrameAction::Cut(Cut::Fin),
        Step::Reset => FrameAction::Cut(Cut::Reset),
        Step::Comment(_) | Step::Delay(_) | Step::Gate(_) | Step::Stall | Step::Freeze => {
            FrameAction::Nothing
        }
        // A turn waits for the messages itself, and an end by age has become an error and a close.
        Step::AwaitSteer | Step::AwaitInject | Step::AwaitInterrupt | Step::Expire => {
            FrameAction::Nothing
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_are_text_frames_and_comments_are_nothing() {
        let FrameAction::Feed(frame) = action(Step::Event(json!({ "a": 1, "type": "x" }))) else {
            panic!("not a frame")
        };
        assert_eq!(frame, Message::text(r#"{"type":"x","a":1}"#));
        assert!(matches!(action(Step::Comment("x".to_owned())), FrameAction::Nothing));
        assert!(matches!(action(Step::Ping(Bytes::new())), FrameAction::Send(_)));
        assert!(matches!(action(Step::End), FrameAction::Cut(Cut::Fin)));
    }

    #[test]
    fn an_event_in_pieces_is_a_fragmented_message() {
        let step = Step::Fragmented { text: "abcdef".to_owned(), pieces: 3 };
        let FrameAction::FeedAll { frames, pause } = action(step) else { panic!("one frame") };
        assert_eq!((frames.len(), pause), (3, Duration::ZERO));
    }
}
