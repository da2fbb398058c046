//! The body of an SSE answer, which carries out a turn as it is read.

use std::{collections::VecDeque, future, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::stream;

use super::{
    control::Control,
    server_turn::ServerTurn,
    sse_step::{SseAction, action},
    wait::wait,
};
use crate::{
    server::http::{AnswerBody, streamed},
    testing::script::{cut::Cut, step::Step},
};

/// Returns the body that carries out these steps as it is read.
pub(super) fn body(
    turn: ServerTurn,
    steps: Vec<Step>,
    untyped: bool,
    control: Arc<Control>,
) -> AnswerBody {
    let player = SsePlayer {
        turn,
        untyped,
        steps: steps.into(),
        pieces: VecDeque::new(),
        pause: Duration::ZERO,
        control,
    };
    streamed(stream::unfold(player, |mut player| async {
        let bytes = player.next().await?;
        Some((bytes, player))
    }))
}

struct SsePlayer {
    turn: ServerTurn,
    /// The objects of events lack their type.
    untyped: bool,
    steps: VecDeque<Step>,
    /// Pieces of the current event that are still to be sent.
    pieces: VecDeque<Bytes>,
    /// Time before each of them.
    pause: Duration,
    control: Arc<Control>,
}

impl SsePlayer {
    /// Returns the next bytes of the body; `None` at its clean end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(piece) = self.pieces.pop_front() {
                // hyper flushes its buffer when the body has nothing ready.
                match self.pause {
                    Duration::ZERO => tokio::task::yield_now().await,
                    pause => tokio::time::sleep(pause).await,
                }
                return Some(piece);
            }
            let step = self.steps.pop_front()?;
            if let Some(event) = step.event() {
                self.turn.before_send(&event);
            }
            // The log is complete before the client can have the last bytes.
            let is_last = self.steps.is_empty();
            if is_last && !step.is_wait() {
                self.turn.finish();
            }
            if step.is_wait() {
                if matches!(step, Step::Freeze) {
                    self.control.deafen();
                }
                wait(&step).await;
            }
            match action(step, self.untyped) {
                SseAction::Send(bytes) => return Some(bytes),
                SseAction::SendPieces { pieces, pause } => {
                    (self.pieces, self.pause) = (pieces, pause);
                }
                SseAction::Drip { first, pieces, pause } => {
                    (self.pieces, self.pause) = (pieces, pause);
                    return Some(first);
                }
                SseAction::Nothing => {}
                SseAction::End => {
                    self.turn.finish();
                    return None;
                }
                SseAction::Cut(cut) => return self.cut(cut).await,
            }
            if is_last {
                self.turn.finish();
            }
        }
    }

    async fn cut(&mut self, cut: Cut) -> Option<Bytes> {
        self.turn.finish();
        self.control.cut_after_flush(cut);
        future::pending().await
    }
}
