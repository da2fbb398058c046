//! Carries out the turns of a WebSocket, step by step.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::{SinkExt, stream::SplitSink};
use serde_json::Value;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::{
    steers::{Steered, Steers},
    step_frames::{FrameAction, action},
};
use crate::{
    server::websocket::ServerSocket,
    testing::{
        script::{
            lane::Lane,
            steer::{Steer, ended_early},
            step::Step,
        },
        server::{
            control::Control, hub::Hub, hub_state::Received, server_turn::ServerTurn, wait::wait,
        },
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
    steps: VecDeque<Step>,
    /// The wait that comes next, or that the turn is in.
    waiting: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    steers: Steers,
}

/// Next action of a turn.
pub(super) enum Play {
    Step(Step),
    /// Sends an event immediately, because the turn may be waiting.
    Notice(Step),
    /// Waits, once everything before is written; if `deaf`, the server receives nothing more.
    Wait {
        deaf: bool,
    },
    /// Nothing is left.
    Done,
}

impl RunningTurn {
    /// Begins a turn on `lane`.
    pub(super) fn begin(hub: &Arc<Hub>, lane: Lane, received: Received) -> Self {
        let (turn, answer) = ServerTurn::begin(hub, received);
        let steers = Steers::new(answer.steering);
        Self { lane, turn, steps: answer.steps.into(), waiting: None, steers }
    }

    /// Takes the next step, after the end of a wait.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Play> {
        if let Some(notice) = self.steers.next_notice() {
            return Poll::Ready(Play::Notice(self.on_lane(notice)));
        }
        if let Some(terminal) = self.steers.cut_short(&self.steps) {
            let (items, number) = (self.turn.finished_items(), self.steers.number());
            let end = ended_early(&terminal, items, self.steers.reason(), number);
            (self.steps, self.waiting) = (VecDeque::from([self.on_lane(end)]), None);
        }
        if let Some(waiting) = &mut self.waiting {
            ready!(waiting.as_mut().poll(cx));
            self.waiting = None;
        }
        let Some(step) = self.steps.pop_front() else { return Poll::Ready(Play::Done) };
        if step.is_wait() {
            let deaf = matches!(step, Step::Freeze);
            self.waiting = Some(Box::pin(async move { wait(&step).await }));
            return Poll::Ready(Play::Wait { deaf });
        }
        let step = match step.event() {
            Some(event) => self.prepare(step, event),
            None => step,
        };
        // The log is complete before the client can have the last frame.
        if self.steps.is_empty() {
            self.turn.finish();
        }
        Poll::Ready(Play::Step(step))
    }

    /// Returns the step to send in place of `step`, and updates the server's state by it.
    fn prepare(&mut self, step: Step, mut event: Value) -> Step {
        if let Some(error) = self.turn.lost_fork(&event) {
            self.steps.clear();
            return error;
        }
        let is_renumbered = self.steers.observe(&mut event);
        self.turn.before_send(&event);
        if is_renumbered { step.carrying(event) } else { step }
    }

    /// Answers a steer that is meant for this turn. Returns `false` if it is meant for another.
    pub(super) fn steer(&mut self, steer: &Steer, is_valid: bool) -> bool {
        let is_target = self.turn.response_id() == steer.target && !self.steers.has_ended();
        if is_target {
            self.steers.add(steer, is_valid);
        }
        is_target
    }

    /// Interrupts the response with this id. Returns `false` if this turn has another one.
    pub(super) fn interrupt(&mut self, id: &str) -> bool {
        let is_target = self.turn.response_id() == id && !self.steers.has_ended();
        if is_target {
            self.steers.interrupt(id);
        }
        is_target
    }

    /// Returns the id of the response, and the input of the accepted steers, after the end of the
    /// response; `None` without such steers.
    pub(super) fn take_steered(&mut self) -> Option<Steered> {
        let input = self.steers.take_input()?;
        let parent = self.turn.response_id().to_owned();
        Some(Steered { lane: self.lane.clone(), parent, input })
    }

    /// Returns `true` if the response waits for items of the client.
    pub(super) fn waits_for_client(&self) -> bool {
        self.steers.waits_for_client()
    }

    /// Returns the request for the response that follows after steers.
    pub(super) fn successor(&self, input: Vec<Value>) -> Received {
        self.turn.successor(input)
    }

    /// Records that nothing is left to send.
    pub(super) fn finish(&mut self) {
        self.turn.finish();
    }

    fn on_lane(&self, event: Value) -> Step {
        let mut step = [Step::Event(event)];
        self.lane.tag(&mut step);
        let [step] = step;
        step
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
        Play::Notice(step) => {
            send(step, sink, control).await?;
            sink.flush().await?;
        }
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
