//! Carries out a turn over a WebSocket.

use std::time::Duration;

use futures_util::{SinkExt, stream::SplitSink};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::step_frames::{FrameAction, action};
use crate::{
    server::websocket::ServerSocket,
    testing::{
        script::step::Step,
        server::{control::Control, server_turn::ServerTurn, wait::wait},
    },
};

/// The sending half of a WebSocket.
pub(super) type FrameSink = SplitSink<ServerSocket, Message>;

/// State of the connection after a step or a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Open,
    Ended,
}

/// Carries out a turn.
pub(super) async fn play(
    mut turn: ServerTurn,
    steps: Vec<Step>,
    sink: &mut FrameSink,
    control: &Control,
) -> Flow {
    let mut steps = steps.into_iter().peekable();
    while let Some(step) = steps.next() {
        if let Some(event) = step.event() {
            turn.before_send(&event);
        }
        // The log is complete before the client can have the last frame.
        if steps.peek().is_none() && !step.is_wait() {
            turn.finish();
        }
        match carry_out(step, sink, control).await {
            Ok(Flow::Open) => {}
            Ok(Flow::Ended) => {
                turn.finish();
                return Flow::Ended;
            }
            Err(_) => return Flow::Ended,
        }
    }
    if sink.flush().await.is_err() {
        return Flow::Ended;
    }
    turn.finish();
    Flow::Open
}

async fn carry_out(step: Step, sink: &mut FrameSink, control: &Control) -> Result<Flow, Error> {
    if step.is_wait() {
        sink.flush().await?;
        if matches!(step, Step::Freeze) {
            control.deafen();
        }
        wait(&step).await;
        return Ok(Flow::Open);
    }
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
