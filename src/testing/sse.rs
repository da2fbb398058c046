//! A turn as the body of an SSE answer.

#![expect(clippy::indexing_slicing, reason = "a missing member of a JSON value reads as null")]

use std::{collections::VecDeque, future, sync::Arc};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;

use super::{
    connection::Body,
    generate,
    run::Run,
    step::{self, Step},
    wire::{Control, Cut},
};

/// The body that carries out these steps as it is read.
pub(super) fn body(run: Run, steps: Vec<Step>, control: Arc<Control>) -> Body {
    let player = Player { run, steps: steps.into(), pieces: VecDeque::new(), control };
    let frames = stream::unfold(player, |mut player| async {
        let bytes = player.next().await?;
        Some((Ok(Frame::data(bytes)), player))
    });
    StreamBody::new(frames).boxed_unsync()
}

struct Player {
    run: Run,
    steps: VecDeque<Step>,
    /// What is left of an event that is sent in pieces.
    pieces: VecDeque<Bytes>,
    control: Arc<Control>,
}

impl Player {
    /// The next bytes of the body; `None` at its clean end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(piece) = self.pieces.pop_front() {
                // hyper flushes what it has when the body has nothing ready.
                tokio::task::yield_now().await;
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
                Step::Event(event) => {
                    let name = event["type"].as_str().map(|kind| format!("event: {kind}\n"));
                    let data = generate::encode(&event);
                    return Some(format!("{}data: {data}\n\n", name.unwrap_or_default()).into());
                }
                Step::Text(text) => return Some(data_lines(&text)),
                Step::Fragmented { text, pieces } => {
                    self.pieces = step::split(data_lines(&text), pieces).into();
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

    async fn cut(&self, cut: Cut) -> Option<Bytes> {
        self.run.finish();
        self.control.cut_after_flush(cut);
        future::pending().await
    }
}

fn data_lines(text: &str) -> Bytes {
    let lines: String = text.split('\n').map(|line| format!("data: {line}\n")).collect();
    (lines + "\n").into()
}
