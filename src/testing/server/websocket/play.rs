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
    notices::Notices,
    progress::{Progress, ResponseEnd},
    steers::{Steered, Steers},
    step_frames::{FrameAction, action},
};
use crate::{
    server::websocket::ServerSocket,
    testing::{
        script::{
            inject::{Inject, Injecting},
            interrupt::{Interrupt, Interrupting, item_interrupted},
            lane::Lane,
            message::{TurnMessage, ended_early, ends_next, terminal_to_replace},
            steer::Steer,
            step::Step,
            value::set,
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
    /// The step that waits for a message of the client.
    awaiting: Option<Step>,
    /// Messages that no step has awaited.
    heard: Vec<TurnMessage>,
    notices: Notices,
    progress: Progress,
    steers: Steers,
    injecting: Injecting,
    interrupting: Interrupting,
    /// An interrupt was accepted, and the response has not ended.
    is_interrupted: bool,
    /// Requests that are answered on the lane right after this one.
    followers: Vec<Received>,
}

/// A response that has ended, to which late messages refer.
pub(super) struct EndedResponse {
    pub(super) lane: Lane,
    pub(super) id: String,
    notices: Notices,
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
        Self {
            lane,
            turn,
            steps: answer.steps.into(),
            waiting: None,
            awaiting: None,
            heard: Vec::new(),
            notices: Notices::default(),
            progress: Progress::default(),
            steers: Steers::new(answer.answers.steering),
            injecting: answer.answers.injecting,
            interrupting: answer.answers.interrupting,
            is_interrupted: false,
            followers: Vec::new(),
        }
    }

    /// Returns the turn with requests that are answered on its lane right after it.
    pub(super) fn followed_by(self, followers: Vec<Received>) -> Self {
        Self { followers, ..self }
    }

    /// Takes the requests that are answered on the lane right after this turn.
    pub(super) fn take_followers(&mut self) -> Vec<Received> {
        std::mem::take(&mut self.followers)
    }

    /// Takes the next step, after the end of a wait.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Play> {
        self.end_early();
        if let Some(notice) = self.notices.next() {
            return Poll::Ready(Play::Notice(self.lane.tagged(Step::Event(notice))));
        }
        if let Some(step) = &self.awaiting {
            let heard = self.heard.iter().position(|message| message.is_awaited_by(step));
            let Some(index) = heard else { return Poll::Pending };
            self.heard.remove(index);
            self.awaiting = None;
        }
        if let Some(waiting) = &mut self.waiting {
            ready!(waiting.as_mut().poll(cx));
            self.waiting = None;
        }
        let Some(step) = self.steps.pop_front() else { return Poll::Ready(Play::Done) };
        if step.awaits_message() {
            self.awaiting = Some(step);
            return Poll::Ready(Play::Wait { deaf: false });
        }
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
        let is_renumbered = self.notices.observe(&mut event);
        if self.progress.observe(&event) {
            self.steers.end(&event, &mut self.notices);
        }
        self.turn.before_send(&event);
        if is_renumbered { step.carrying(event) } else { step }
    }

    /// Ends the response if a message asks for it and no unfinished item holds it back. What a
    /// script leaves out cannot end early: a response without a terminal event continues.
    fn end_early(&mut self) {
        let is_whole = !self.progress.has_open_items();
        let reason = if self.progress.end().is_some() {
            return;
        } else if self.is_interrupted && (is_whole || self.interrupting == Interrupting::Accept) {
            "interrupted"
        } else if self.steers.are_accepted() && is_whole && !ends_next(&self.steps) {
            "steered"
        } else {
            return;
        };
        let Some(terminal) = terminal_to_replace(&self.steps) else { return };
        for item in self.progress.take_open_items() {
            let id = self.turn.response_id();
            self.notices.push(item_interrupted(id, &item.id, item.output_index));
        }
        self.is_interrupted = false;
        let (finished, number) = (self.turn.finished_items(), self.notices.number());
        let mut end = ended_early(&terminal, reason, finished, number);
        if terminal.get("stream_id").is_none() {
            set(&mut end, "stream_id", Value::Null);
        }
        self.steps = VecDeque::from([self.lane.tagged(Step::Event(end))]);
        (self.waiting, self.awaiting) = (None, None);
    }

    /// Answers a valid message that is meant for this turn, unless its response has ended. A steer
    /// gets `steer_id` if it is accepted. Returns `false` if the message is meant for another.
    pub(super) fn answer(&mut self, message: &TurnMessage, steer_id: String) -> bool {
        if self.turn.response_id() != message.target() || self.progress.end().is_some() {
            return false;
        }
        self.heard.push(message.clone());
        match message {
            TurnMessage::Steer(steer) => {
                let refusal = self.refusal(steer);
                self.steers.add(steer, steer_id, refusal, &mut self.notices);
            }
            TurnMessage::Inject(inject) => self.inject(inject),
            TurnMessage::Interrupt(interrupt) => self.interrupt(interrupt),
        }
        true
    }

    /// Returns the code of a steer that the server never accepts.
    fn refusal(&self, steer: &Steer) -> Option<&'static str> {
        match (steer.is_valid, Steer::is_supported(self.turn.body())) {
            (false, _) => Some("invalid_input"),
            (true, false) => Some("steering_not_supported"),
            (true, true) => None,
        }
    }

    fn inject(&mut self, inject: &Inject) {
        match &self.injecting {
            Injecting::Accept => {
                self.turn.inject(inject.items());
                self.notices.push(inject.created());
            }
            Injecting::Refuse(code) => self.notices.push(inject.failed(code)),
            Injecting::Ignore => {}
        }
    }

    fn interrupt(&mut self, interrupt: &Interrupt) {
        match self.interrupting {
            Interrupting::Accept | Interrupting::AfterItem => {
                self.notices.push(interrupt.accepted());
                self.is_interrupted = true;
            }
            Interrupting::Refuse => self.notices.push(interrupt.failed()),
            Interrupting::Ignore => {}
        }
    }

    /// Returns the id of the response.
    pub(super) fn response_id(&self) -> &str {
        self.turn.response_id()
    }

    /// Inserts an event about a message that came after the end of this response. Returns `false`
    /// if the message is about another response.
    pub(super) fn answer_late(&mut self, id: &str, event: &Value) -> bool {
        let is_target = self.turn.response_id() == id;
        if is_target {
            self.notices.push(event.clone());
        }
        is_target
    }

    /// Returns the accepted steers after the end of the response; `None` without such steers.
    pub(super) fn take_steered(&mut self) -> Option<Steered> {
        let input = self.steers.take_input()?;
        let number = |event| self.notices.numbered(event);
        Some(Steered {
            lane: self.lane.clone(),
            parent: self.turn.response_id().to_owned(),
            successor: self.turn.successor(input),
            late: self.steers.take_late().into_iter().map(number).collect(),
            order: self.steers.order(),
        })
    }

    /// Returns the response once it has ended; `None` after an error.
    pub(super) fn ended(&mut self) -> Option<EndedResponse> {
        (self.progress.end() == Some(ResponseEnd::Terminal)).then(|| EndedResponse {
            lane: self.lane.clone(),
            id: self.turn.response_id().to_owned(),
            notices: std::mem::take(&mut self.notices),
        })
    }

    /// Records that nothing is left to send.
    pub(super) fn finish(&mut self) {
        self.turn.finish();
    }
}

impl EndedResponse {
    /// Returns an event about this response with its number and lane.
    pub(super) fn event(&mut self, event: Value) -> Step {
        self.lane.tagged(Step::Event(self.notices.numbered(event)))
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
