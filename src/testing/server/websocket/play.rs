//! Carries out the turns of a WebSocket, step by step.

use std::{
    iter::Peekable,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
    vec,
};

use futures_util::{SinkExt, stream::SplitSink};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::step_frames::{FrameAction, action};
use crate::{
    server::websocket::ServerSocket,
    testing::{
        script::{lane::Lane, step::Step, turn::answer::ScriptedAnswer},
        server::{control::Control, server_turn::ServerTurn, wait::wait},
    },
};

/// The sending half of a WebSocket.
pub(super) type FrameSink = SplitSink<ServerSocket, Message>;

/// State of the connection after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Open,
    Ended,
}

/// A turn on its lane.
pub(super) struct RunningTurn {
    pub(super) lane: Lane,
    turn: ServerTurn,
    steps: Peekable<vec::IntoIter<Step>>,
    /// The wait that comes next, or that the turn is in.
    waiting: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

/// Next action of a turn.
pub(super) enum Play {
    Step(Step),
    /// Waits, once everything before is written; if `deaf`, the server receives nothing more.
    Wait {
        deaf: bool,
    },
    /// Nothing is left.
    Done,
}

impl RunningTurn {
    pub(super) fn new(lane: Lane, turn: ServerTurn, answer: ScriptedAnswer) -> Self {
        Self { lane, turn, steps: answer.steps.into_iter().peekable(), waiting: None }
    }

    /// Takes the next step, after the end of a wait.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Play> {
        if let Some(waiting) = &mut self.waiting {
            ready!(waiting.as_mut().poll(cx));
            self.waiting = None;
        }
        let Some(mut step) = self.steps.next() else { return Poll::Ready(Play::Done) };
        if let Some(event) = step.event() {
            match self.turn.lost_fork(&event) {
                Some(error) => {
                    self.steps = Vec::new().into_iter().peekable();
                    step = error;
                }
                None => self.turn.before_send(&event),
            }
        }
        if step.is_wait() {
            let deaf = matches!(step, Step::Freeze);
            self.waiting = Some(Box::pin(async move { wait(&step).await }));
            return Poll::Ready(Play::Wait { deaf });
        }
        // The log is complete before the client can have the last frame.
        if self.steps.peek().is_none() {
            self.turn.finish();
        }
        Poll::Ready(Play::Step(step))
    }

    /// Records that nothing is left to send.
    pub(super) fn finish(&mut self) {
        self.turn.finish();
    }
}

/// Carries out `play`, except for the time that a wait takes.
pub(super) async fn carry_out(
    play: Play,
    sink: &mut FrameSink,
    control: &Control,
) -> Result<Flow, Error> {
    match play {
        Play::Step(step) => return send(step, sink, control).await,
        Play::Wait { deaf } => {
            sink.flush().await?;
            if deaf {
                control.deafen();
            }
        }
        Play::Done => sink.flush().await?,
    }
    Ok(Flow::Open)
}

async fn send(step: Step, sink: &mut FrameSink, control: &Control) -> Result<Flow, Error> {
    match action(step) {
        FrameAction::Feed(frame) => sink.feed(frame).await?,
        FrameAction::Send(frame) => sink.send(frame).await?,
        FrameAction::FeedAll { frames, pause } => feed_all(sink, frames, pause).await?,
        FrameAction::Repeat { frame, times } => {
            for _ in 0..times {
                sink.feed(frame.clone()).await?;
            }
        }
        FrameAction::Close(frame) => {
            sink.send(frame).await?;
            return Ok(Flow::Ended);
        }
        FrameAction::Cut(cut) => {
            sink.flush().await?;
            control.cut(cut);
            return Ok(Flow::Ended);
        }
        FrameAction::Nothing => {}
    }
    Ok(Flow::Open)
}

async fn feed_all(
    sink: &mut FrameSink,
    frames: Vec<Message>,
    pause: Duration,
) -> Result<(), Error> {
    for (index, frame) in frames.into_iter().enumerate() {
        if index > 0 && !pause.is_zero() {
            sink.flush().await?;
            tokio::time::sleep(pause).await;
        }
        sink.feed(frame).await?;
    }
    Ok(())
}
