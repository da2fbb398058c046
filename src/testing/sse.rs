//! A turn as the body of an SSE answer.

#![expect(clippy::indexing_slicing, reason = "a missing member of a JSON value reads as null")]

use std::{collections::VecDeque, future, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde_json::Value;

use super::{
    connection::Body,
    generate,
    run::Run,
    step::{self, Step},
    wire::{Control, Cut},
};

/// The body that carries out these steps as it is read.
pub(super) fn body(run: Run, steps: Vec<Step>, untyped: bool, control: Arc<Control>) -> Body {
    let player = Player {
        run,
        untyped,
        steps: steps.into(),
        pieces: VecDeque::new(),
        pause: Duration::ZERO,
        control,
    };
    let frames = stream::unfold(player, |mut player| async {
        let bytes = player.next().await?;
        Some((Ok(Frame::data(bytes)), player))
    });
    StreamBody::new(frames).boxed_unsync()
}

struct Player {
    run: Run,
    /// The object of an event lacks its type.
    untyped: bool,
    steps: VecDeque<Step>,
    /// What is left of an event that is sent in pieces.
    pieces: VecDeque<Bytes>,
    /// The time before each of them.
    pause: Duration,
    control: Arc<Control>,
}

impl Player {
    /// The next bytes of the body; `None` at its clean end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(piece) = self.pieces.pop_front() {
                // hyper flushes what it has when the body has nothing ready.
                match self.pause {
                    Duration::ZERO => tokio::task::yield_now().await,
                    pause => tokio::time::sleep(pause).await,
                }
                return Some(piece);
            }
            let step = self.steps.pop_front()?;
            if let Some(event) = step.event() {
                self.run.sends(&event);
            }
            // Before the client can have the last bytes, so that it finds the log complete.
            let last = self.steps.is_empty();
            if last && !step.is_wait() {
                self.run.finish();
            }
            match step {
                Step::Event(event) | Step::Stray(event) => return Some(self.event(event)),
                Step::Flood { text, times } => {
                    let event = data_lines(text.as_bytes());
                    let piece = Bytes::from(event.repeat(times.min(FLOODED_AT_ONCE)));
                    let last = piece.slice(..event.len() * (times % FLOODED_AT_ONCE));
                    let whole = std::iter::repeat_n(piece, times / FLOODED_AT_ONCE);
                    self.in_pieces(whole.chain([last]));
                }
                Step::Text(text) => return Some(data_lines(text.as_bytes())),
                Step::Fragmented { text, pieces } => {
                    self.in_pieces(step::split(data_lines(text.as_bytes()), pieces));
                }
                Step::Split { text, at } => {
                    // The text begins behind the name of the field.
                    let at: Vec<_> = at.iter().map(|place| place + "data: ".len()).collect();
                    self.in_pieces(step::split_at(data_lines(text.as_bytes()), &at));
                }
                Step::Drip { text, pieces, pause } => {
                    let mut pieces = step::split(data_lines(text.as_bytes()), pieces).into_iter();
                    let first = pieces.next();
                    self.in_pieces(pieces);
                    self.pause = pause;
                    return first;
                }
                Step::Partial { text, bytes } => {
                    let begin = text.as_bytes().get(..bytes).unwrap_or(text.as_bytes());
                    let lines = data_lines(begin);
                    // Neither the end of the line nor that of the event.
                    return Some(lines.slice(..lines.len().saturating_sub(2)));
                }
                Step::Raw(bytes) => return Some(bytes),
                Step::Comment(text) => return Some(format!(": {text}\n\n").into()),
                Step::Binary(_) | Step::Ping(_) | Step::Pong(_) => {}
                Step::Close { .. } => {
                    self.run.finish();
                    return None;
                }
                Step::End => return self.cut(Cut::Fin).await,
                Step::Reset => return self.cut(Cut::Reset).await,
                Step::Delay(_) | Step::Gate(_) | Step::Stall => step.wait().await,
                Step::Freeze => {
                    self.control.deafen();
                    step.wait().await;
                }
            }
            if last {
                self.run.finish();
            }
        }
    }

    fn event(&self, mut event: Value) -> Bytes {
        let name = event["type"].as_str().map(|kind| format!("event: {kind}\n"));
        if let Some(members) = event.as_object_mut().filter(|_| self.untyped) {
            members.remove("type");
        }
        let data = generate::encode(&event);
        format!("{}data: {data}\n\n", name.unwrap_or_default()).into()
    }

    fn in_pieces(&mut self, pieces: impl IntoIterator<Item = Bytes>) {
        self.pieces = pieces.into_iter().collect();
        self.pause = Duration::ZERO;
    }

    async fn cut(&self, cut: Cut) -> Option<Bytes> {
        self.run.finish();
        self.control.cut_after_flush(cut);
        future::pending().await
    }
}

fn data_lines(text: &[u8]) -> Bytes {
    let mut lines = Vec::with_capacity(text.len() + 8);
    for line in text.split(|byte| *byte == b'\n') {
        lines.extend_from_slice(b"data: ");
        lines.extend_from_slice(line);
        lines.push(b'\n');
    }
    lines.push(b'\n');
    lines.into()
}

/// Events of a flood that are sent as one piece.
const FLOODED_AT_ONCE: usize = 1024;
