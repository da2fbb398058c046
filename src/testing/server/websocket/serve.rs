//! Serves a WebSocket: reads requests, and answers them, those of one lane one after the other.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::{Pin, pin},
    task::Poll,
};

use futures_util::{
    SinkExt, Stream, StreamExt,
    future::{Either, select},
    stream::SplitStream,
};
use hyper::upgrade::Upgraded;
use serde_json::Value;
use tokio::{io::AsyncReadExt, sync::mpsc};
use tokio_tungstenite::tungstenite::Message;

use super::{
    client_message::{ClientMessage, receive},
    max_age::MaxAge,
    order::LaneOrder,
    play::{EndedResponse, Flow, FrameSink, Play, RunningTurn, carry_out},
    steers::{Steered, SuccessorOrder},
};
use crate::{
    config::Transport,
    server::websocket::{self, ServerIo, ServerSocket, close_message},
    testing::{
        script::{
            halves::parse_json,
            inject,
            lane::{Lane, MAX_RUNNING},
            message::TurnMessage,
            quirks::{Quirks, SocketEnd},
            step::Step,
            value::{encode, set},
        },
        server::{connection::Connection, hub_state::Received, peer::IdleFrame},
    },
};

/// The receiving half of a WebSocket.
type FrameStream = SplitStream<ServerSocket>;

/// Reason why no further request is read.
enum NoRequest {
    /// The WebSocket has ended.
    Ended,
    /// A message is larger than the server accepts.
    TooLarge,
}

/// An event of a WebSocket.
enum SocketEvent {
    /// The client has sent a message.
    Message(ClientMessage),
    /// A turn has something to send, or has ended.
    Turn { index: usize, play: Play },
    /// A limit of the server ends the WebSocket, on which no turn runs.
    Reached(SocketEnd),
    /// The test sends a frame while no turn runs.
    Idle(IdleFrame),
    /// An event is next that belongs to no running turn.
    Loose(Step),
}

/// Messages of the client that the server has not begun to answer.
struct Inbox {
    /// Requests that wait for their lane, or for the end of another response.
    requests: VecDeque<WaitingRequest>,
    /// Messages about responses.
    messages: VecDeque<WaitingMessage>,
    quirks: Quirks,
    /// The server knows `response.inject`.
    injects: bool,
}

struct WaitingRequest {
    lane: Lane,
    body: Value,
    raw: String,
}

struct WaitingMessage {
    message: TurnMessage,
    body: Value,
}

/// A WebSocket that is served.
struct ServedSocket<'a> {
    connection: &'a Connection,
    sink: FrameSink,
    stream: FrameStream,
    /// Frames that a test sends while no turn runs.
    idle: mpsc::Receiver<IdleFrame>,
    max_age: MaxAge,
    inbox: Inbox,
    running: Vec<RunningTurn>,
    order: LaneOrder,
    /// The last response of each lane that has ended.
    ended: Vec<EndedResponse>,
    /// Steers that wait for the next request on their lane.
    steered: Vec<Steered>,
    /// Events that belong to no running turn.
    loose: VecDeque<Step>,
}

/// Serves the WebSocket to its end; sends a Close frame with the code in `close` immediately.
/// `deflate` is the answer to a client that offered `permessage-deflate`.
pub(super) async fn serve(
    connection: &Connection,
    upgraded: Upgraded,
    idle: mpsc::Receiver<IdleFrame>,
    close: Option<u16>,
    deflate: Option<String>,
) {
    let quirks = connection.hub.quirks();
    let max_age = MaxAge::new(quirks);
    let socket = websocket::accept(upgraded, quirks.frame_limit, deflate.as_deref()).await;
    let (mut sink, mut stream) = socket.split();
    if let Some(code) = close {
        let _ = sink.send(close_message(Some(code), "")).await;
        return drain(connection, &mut stream).await;
    }
    let mut served = ServedSocket {
        connection,
        sink,
        stream,
        idle,
        max_age,
        inbox: Inbox::new(connection, quirks),
        running: Vec::new(),
        order: LaneOrder::new(connection.hub.lane_order()),
        ended: Vec::new(),
        steered: Vec::new(),
        loose: VecDeque::new(),
    };
    let end = loop {
        served.answer_messages();
        served.begin_turns();
        if let Err(end) = served.serve_next().await {
            break end;
        }
    };
    let ServedSocket { mut sink, mut stream, .. } = served;
    match end {
        NoRequest::Ended => drain(connection, &mut stream).await,
        NoRequest::TooLarge => {
            let _ = sink.send(close_message(Some(1009), "message too big")).await;
            if let Ok(mut socket) = sink.reunite(stream) {
                discard(socket.get_mut()).await;
            }
        }
    }
}

impl ServedSocket<'_> {
    /// Begins the turns whose lanes are free.
    fn begin_turns(&mut self) {
        while self.running.len() < MAX_RUNNING && !self.max_age.is_reached() {
            let is_free = |request: &WaitingRequest| {
                request.lane == Lane::Invalid
                    || self.running.iter().all(|turn| turn.lane != request.lane)
            };
            let Some(index) = self.inbox.requests.iter().position(is_free) else { return };
            let Some(request) = self.inbox.requests.remove(index) else { return };
            let WaitingRequest { lane, body, raw } = request;
            let (mut steered, mut followed_by) = (Vec::new(), Vec::new());
            for it in self.steered.extract_if(.., |it| it.is_continued_by(&lane, &body)) {
                let late = it.late.into_iter().map(Step::Event);
                self.loose.extend(late.map(|event| lane.tagged(event)));
                match it.order {
                    SuccessorOrder::Last => followed_by.push(it.successor),
                    _ => steered.extend(it.successor.steered),
                }
            }
            let received = Received {
                connection: self.connection.index,
                transport: Transport::WebSocket,
                path: None,
                headers: Vec::new(),
                body,
                raw,
                steered,
            };
            let turn = RunningTurn::begin(&self.connection.hub, lane, received);
            self.running.push(turn.followed_by(followed_by));
        }
    }

    /// Answers the messages about responses that have arrived.
    fn answer_messages(&mut self) {
        let hub = &self.connection.hub;
        while let Some(WaitingMessage { message, body }) = self.inbox.messages.pop_front() {
            let number = hub.note_message(self.connection.index, &message, body);
            if let Err(error) = message.check() {
                self.loose.push_back(Step::Event(error.frame()));
                continue;
            }
            let steer_id = || format!("steer_{number:032x}");
            if !self.running.iter_mut().any(|turn| turn.answer(&message, steer_id())) {
                self.answer_late(&message);
            }
        }
    }

    /// Answers a message about a response that does not run.
    fn answer_late(&mut self, message: &TurnMessage) {
        let id = message.target();
        let has_completed = self.connection.hub.has_completed(id);
        let is_known = has_completed
            || self.running.iter().any(|turn| turn.response_id() == id)
            || self.ended.iter().any(|ended| ended.id == id);
        let mut event = match message {
            TurnMessage::Steer(steer) => steer.failed(
                None,
                match (steer.is_valid, has_completed, is_known) {
                    (false, ..) => "invalid_input",
                    (true, true, _) => "response_already_completed",
                    (true, false, true) => "response_not_active",
                    (true, false, false) => "response_not_found",
                },
            ),
            TurnMessage::Inject(inject) => inject.failed(match is_known {
                true => "response_already_completed",
                false => "response_not_found",
            }),
            TurnMessage::Interrupt(interrupt) => {
                let error = interrupt.not_found().frame();
                return self.loose.push_back(Step::Event(error));
            }
        };
        if self.running.iter_mut().any(|turn| turn.answer_late(id, &event)) {
            return;
        }
        let step = match self.ended.iter_mut().find(|ended| ended.id == id) {
            Some(ended) => ended.event(event),
            None => {
                set(&mut event, "sequence_number", 0);
                Step::Event(event)
            }
        };
        self.loose.push_back(step);
    }

    /// Removes a turn that has ended, and begins the response that follows after steers.
    fn end_turn(&mut self, index: usize) {
        let Some(turn) = self.running.get_mut(index) else { return };
        turn.finish();
        let mut next = VecDeque::from(turn.take_followers());
        if let Some(steered) = turn.take_steered() {
            let mut requests = self.inbox.requests.iter();
            let is_continued = requests.any(|it| steered.is_continued_by(&it.lane, &it.body));
            match steered.order {
                SuccessorOrder::First => next.push_front(steered.successor),
                SuccessorOrder::Joined if !is_continued => next.push_front(steered.successor),
                _ => self.steered.push(steered),
            }
        }
        if let Some(ended) = turn.ended() {
            self.ended.retain(|it| it.lane != ended.lane);
            self.ended.push(ended);
        }
        let Some(first) = next.pop_front() else {
            self.running.remove(index);
            return;
        };
        let begun = RunningTurn::begin(&self.connection.hub, turn.lane.clone(), first);
        *turn = begun.followed_by(next.into());
    }

    /// Waits for an event, and handles it.
    async fn serve_next(&mut self) -> Result<(), NoRequest> {
        let event = match self.loose.pop_front() {
            Some(step) => SocketEvent::Loose(step),
            None => self.next_event().await,
        };
        self.max_age.set_active();
        match event {
            SocketEvent::Message(message) => self.inbox.add(message),
            SocketEvent::Turn { index, play } => self.play(index, play).await,
            SocketEvent::Reached(end) => Err(self.end(end).await),
            SocketEvent::Idle(frame) => self.send_idle(frame).await,
            SocketEvent::Loose(step) => self.send(Play::Notice(step)).await.map(drop),
        }
    }

    async fn next_event(&mut self) -> SocketEvent {
        let Self { connection, stream, idle, max_age, inbox, running, order, .. } = self;
        let mut reached = pin!(max_age.reached());
        poll_fn(|cx| {
            if running.is_empty() {
                // What ends the WebSocket comes before a request that has arrived meanwhile.
                if let Poll::Ready(end) = reached.as_mut().poll(cx) {
                    return Poll::Ready(SocketEvent::Reached(end));
                }
                match idle.poll_recv(cx) {
                    Poll::Ready(Some(frame)) => return Poll::Ready(SocketEvent::Idle(frame)),
                    // The server is gone.
                    Poll::Ready(None) => {
                        return Poll::Ready(SocketEvent::Message(ClientMessage::End));
                    }
                    Poll::Pending => {}
                }
            }
            // Requests come before events, so that turns of several lanes alternate.
            if !inbox.is_full()
                && let Poll::Ready(message) = Pin::new(&mut *stream).poll_next(cx)
            {
                return Poll::Ready(SocketEvent::Message(receive(connection, message)));
            }
            let next = order.poll_next(running, cx);
            next.map(|(index, play)| SocketEvent::Turn { index, play })
        })
        .await
    }

    /// Carries out what a turn does next.
    async fn play(&mut self, index: usize, play: Play) -> Result<(), NoRequest> {
        let is_done = matches!(play, Play::Done);
        match self.send(play).await? {
            Flow::Open if is_done => self.end_turn(index),
            Flow::Open => {}
            Flow::Ended => {
                self.running.get_mut(index).into_iter().for_each(RunningTurn::finish);
                return Err(NoRequest::Ended);
            }
        }
        Ok(())
    }

    /// Carries out `play`. Reads requests meanwhile.
    async fn send(&mut self, play: Play) -> Result<Flow, NoRequest> {
        let Self { connection, sink, stream, inbox, .. } = self;
        let mut sending = pin!(carry_out(play, sink, &connection.control));
        let flow = loop {
            if inbox.is_full() {
                break sending.await;
            }
            match select(sending.as_mut(), stream.next()).await {
                Either::Left((flow, _)) => break flow,
                Either::Right((message, _)) => inbox.add(receive(connection, message))?,
            }
        };
        flow.map_err(|_| NoRequest::Ended)
    }

    /// Sends an error with the reason for the end of the WebSocket, and a Close frame.
    async fn end(&mut self, end: SocketEnd) -> NoRequest {
        if let Some(error) = end.error {
            let frame = Message::text(encode(&error.frame()));
            if self.sink.send(frame).await.is_err() {
                return NoRequest::Ended;
            }
        }
        let _ = self.sink.send(close_message(Some(end.close_code), "")).await;
        NoRequest::Ended
    }

    async fn send_idle(&mut self, frame: IdleFrame) -> Result<(), NoRequest> {
        let (message, is_last) = match frame {
            IdleFrame::Text(text) => (Message::text(text), false),
            IdleFrame::Ping(payload) => (Message::Ping(payload.into()), false),
            IdleFrame::Close { code, reason } => (close_message(Some(code), &reason), true),
        };
        match self.sink.send(message).await {
            Ok(()) if !is_last => Ok(()),
            _ => Err(NoRequest::Ended),
        }
    }
}

impl Inbox {
    fn new(connection: &Connection, quirks: Quirks) -> Self {
        let injects = quirks.injects && connection.hub.has_beta(connection.index, inject::BETA);
        Self { requests: VecDeque::new(), messages: VecDeque::new(), quirks, injects }
    }

    fn is_full(&self) -> bool {
        self.requests.len() + self.messages.len() >= WAITING_REQUESTS
    }

    /// Returns `true` if the server knows messages of this kind.
    fn knows(&self, message: &TurnMessage) -> bool {
        match message {
            TurnMessage::Steer(_) => self.quirks.steers,
            TurnMessage::Inject(_) => self.injects,
            TurnMessage::Interrupt(_) => self.quirks.interrupts,
        }
    }

    fn add(&mut self, message: ClientMessage) -> Result<(), NoRequest> {
        match message {
            ClientMessage::Request(raw) => {
                let body = parse_json(&raw).unwrap_or_default();
                match TurnMessage::of(&body).filter(|message| self.knows(message)) {
                    Some(message) => self.messages.push_back(WaitingMessage { message, body }),
                    None => {
                        let lane = self.quirks.lanes.lane(&body);
                        self.requests.push_back(WaitingRequest { lane, body, raw });
                    }
                }
                Ok(())
            }
            ClientMessage::Control => Ok(()),
            ClientMessage::TooLarge => Err(NoRequest::TooLarge),
            ClientMessage::End => Err(NoRequest::Ended),
        }
    }
}

/// Reads until the client disconnects: it answers a Close frame, and a cut shows in the next read.
async fn drain(connection: &Connection, stream: &mut FrameStream) {
    while let Some(Ok(message)) = stream.next().await {
        receive(connection, Some(Ok(message)));
    }
}

/// Reads and discards bytes until the client disconnects: unread bytes would turn the end into a
/// reset, which overtakes the Close frame.
async fn discard(io: &mut ServerIo) {
    let mut bytes = [0; 4096];
    while io.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
}

/// Maximum number of messages that wait while others are answered; beyond it the server stops reading.
const WAITING_REQUESTS: usize = 64;
