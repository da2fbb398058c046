//! Serves a WebSocket: reads requests, and answers them, those of one lane one after the other.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll},
};

use futures_util::{
    SinkExt, Stream, StreamExt,
    future::{Either, select},
    stream::SplitStream,
};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{io::AsyncReadExt, sync::mpsc};
use tokio_tungstenite::tungstenite::Message;

use super::{
    client_message::{ClientMessage, receive},
    max_age::MaxAge,
    play::{Flow, FrameSink, Play, RunningTurn, carry_out},
    steers::Steered,
};
use crate::{
    config::Transport,
    server::websocket::{self, ServerSocket, close_message},
    testing::{
        script::{
            error_reply::ErrorReply,
            halves::parse_json,
            lane::{Lane, MAX_RUNNING},
            quirks::SocketEnd,
            steer::{Steer, interrupted_id},
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
    /// A steer is refused.
    Refusal(Value),
}

/// Messages of the client that the server has not begun to answer.
#[derive(Default)]
struct Inbox {
    /// Requests that wait for their lane, or for the end of another response.
    requests: VecDeque<WaitingRequest>,
    steers: VecDeque<WaitingSteer>,
    /// The server does not know `response.steer`.
    without_steers: bool,
    /// Ids of the responses that the client interrupts.
    interrupts: VecDeque<String>,
    /// The server knows `response.interrupt`.
    with_interrupts: bool,
}

struct WaitingRequest {
    lane: Lane,
    body: Value,
    raw: String,
}

struct WaitingSteer {
    steer: Steer,
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
    /// Input that the next request on its lane gets.
    steered: Vec<Steered>,
    /// Refusals of messages about responses that do not run.
    refusals: VecDeque<Value>,
    /// Index in `running` of the turn whose turn it is to send.
    next: usize,
}

/// Serves the WebSocket to its end; sends a Close frame with the code in `close` immediately.
pub(super) async fn serve(
    connection: &Connection,
    upgraded: Upgraded,
    idle: mpsc::Receiver<IdleFrame>,
    close: Option<u16>,
) {
    let quirks = connection.hub.quirks();
    let max_age = MaxAge::new(quirks);
    let (mut sink, mut stream) = websocket::accept(upgraded, quirks.frame_limit).await.split();
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
        inbox: Inbox {
            without_steers: !quirks.steers,
            with_interrupts: quirks.interrupts,
            ..Inbox::default()
        },
        running: Vec::new(),
        steered: Vec::new(),
        refusals: VecDeque::new(),
        next: 0,
    };
    let end = loop {
        served.steer_turns();
        served.interrupt_turns();
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
            let taken = self.steered.extract_if(.., |it| it.is_taken_by(&lane, &body));
            let steered = taken.flat_map(|it| it.input).collect();
            let received = Received {
                connection: self.connection.index,
                transport: Transport::WebSocket,
                path: None,
                headers: Vec::new(),
                body,
                raw,
                steered,
            };
            self.running.push(RunningTurn::begin(&self.connection.hub, lane, received));
        }
    }

    /// Answers the steers that have arrived.
    fn steer_turns(&mut self) {
        let hub = &self.connection.hub;
        while let Some(WaitingSteer { steer, body }) = self.inbox.steers.pop_front() {
            let is_valid = Steer::is_valid(&body);
            hub.note_steer(self.connection.index, &steer.target, body);
            if self.running.iter_mut().any(|turn| turn.steer(&steer, is_valid)) {
                continue;
            }
            let code = match hub.has_completed(&steer.target) {
                _ if !is_valid => "invalid_input",
                true => "response_already_completed",
                false => "response_not_found",
            };
            let mut refusal = steer.failed(None, code);
            set(&mut refusal, "sequence_number", 0);
            self.refusals.push_back(refusal);
        }
    }

    /// Interrupts the responses that the client named.
    fn interrupt_turns(&mut self) {
        while let Some(id) = self.inbox.interrupts.pop_front() {
            if !self.running.iter_mut().any(|turn| turn.interrupt(&id)) {
                let message = "No response with this id is running.";
                let error = ErrorReply::new(400, "response_not_found", message);
                self.refusals.push_back(error.frame());
            }
        }
    }

    /// Removes a turn that has ended, and begins the response that follows after steers.
    fn end_turn(&mut self, index: usize) {
        let Some(turn) = self.running.get_mut(index) else { return };
        turn.finish();
        let next = turn.take_steered().and_then(|steered| {
            let mut requests = self.inbox.requests.iter();
            let is_taken = requests.any(|it| steered.is_taken_by(&it.lane, &it.body));
            if turn.waits_for_client() || is_taken {
                self.steered.push(steered);
                return None;
            }
            let received = turn.successor(steered.input);
            Some(RunningTurn::begin(&self.connection.hub, steered.lane, received))
        });
        match next {
            Some(next) => *turn = next,
            None => drop(self.running.remove(index)),
        }
    }

    /// Waits for an event, and handles it.
    async fn serve_next(&mut self) -> Result<(), NoRequest> {
        let event = match self.refusals.pop_front() {
            Some(refusal) => SocketEvent::Refusal(refusal),
            None => self.next_event().await,
        };
        self.max_age.set_active();
        match event {
            SocketEvent::Message(message) => self.inbox.add(message),
            SocketEvent::Turn { index, play } => self.play(index, play).await,
            SocketEvent::Reached(end) => Err(self.end(end).await),
            SocketEvent::Idle(frame) => self.send_idle(frame).await,
            SocketEvent::Refusal(refusal) => {
                let sent = self.sink.send(Message::text(encode(&refusal))).await;
                sent.map_err(|_| NoRequest::Ended)
            }
        }
    }

    async fn next_event(&mut self) -> SocketEvent {
        let Self { connection, stream, idle, max_age, inbox, running, next, .. } = self;
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
            poll_turns(running, next, cx)
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

/// Takes the next step of a turn, of each in its turn.
fn poll_turns(
    running: &mut [RunningTurn],
    next: &mut usize,
    cx: &mut Context<'_>,
) -> Poll<SocketEvent> {
    for offset in 0..running.len() {
        let index = (*next + offset) % running.len();
        if let Some(turn) = running.get_mut(index)
            && let Poll::Ready(play) = turn.poll_next(cx)
        {
            *next = index + 1;
            return Poll::Ready(SocketEvent::Turn { index, play });
        }
    }
    Poll::Pending
}

impl Inbox {
    fn is_full(&self) -> bool {
        self.requests.len() + self.steers.len() + self.interrupts.len() >= WAITING_REQUESTS
    }

    fn add(&mut self, message: ClientMessage) -> Result<(), NoRequest> {
        match message {
            ClientMessage::Request(raw) => {
                let body = parse_json(&raw).unwrap_or_default();
                if let Some(id) = interrupted_id(&body).filter(|_| self.with_interrupts) {
                    self.interrupts.push_back(id);
                    return Ok(());
                }
                match Steer::of(&body).filter(|_| !self.without_steers) {
                    Some(steer) => self.steers.push_back(WaitingSteer { steer, body }),
                    None => {
                        let lane = Lane::of(&body);
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
async fn discard(io: &mut TokioIo<Upgraded>) {
    let mut bytes = [0; 4096];
    while io.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
}

/// Maximum number of messages that wait while others are answered; beyond it the server stops reading.
const WAITING_REQUESTS: usize = 64;
