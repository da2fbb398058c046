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
};
use crate::{
    config::Transport,
    server::websocket::{self, ServerSocket, close_message},
    testing::{
        script::{
            halves::parse_json,
            lane::{Lane, MAX_RUNNING},
            quirks::SocketEnd,
            value::encode,
        },
        server::{
            connection::Connection, hub_state::Received, peer::IdleFrame, server_turn::ServerTurn,
        },
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
}

/// A request that has not begun.
struct WaitingRequest {
    lane: Lane,
    body: Value,
    raw: String,
}

/// A WebSocket that is served.
struct ServedSocket<'a> {
    connection: &'a Connection,
    sink: FrameSink,
    stream: FrameStream,
    /// Frames that a test sends while no turn runs.
    idle: mpsc::Receiver<IdleFrame>,
    max_age: MaxAge,
    /// Requests that wait for their lane, or for the end of another response.
    waiting: VecDeque<WaitingRequest>,
    running: Vec<RunningTurn>,
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
    let (waiting, running) = (VecDeque::new(), Vec::new());
    let mut served =
        ServedSocket { connection, sink, stream, idle, max_age, waiting, running, next: 0 };
    let end = loop {
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
            let Some(index) = self.waiting.iter().position(is_free) else { return };
            let Some(request) = self.waiting.remove(index) else { return };
            let WaitingRequest { lane, body, raw } = request;
            let received = Received {
                connection: self.connection.index,
                transport: Transport::WebSocket,
                path: None,
                headers: Vec::new(),
                body,
                raw,
            };
            let (turn, answer) = ServerTurn::begin(&self.connection.hub, received);
            self.running.push(RunningTurn::new(lane, turn, answer));
        }
    }

    /// Waits for an event, and handles it.
    async fn serve_next(&mut self) -> Result<(), NoRequest> {
        let event = self.next_event().await;
        self.max_age.set_active();
        match event {
            SocketEvent::Message(message) => queue(&mut self.waiting, message),
            SocketEvent::Turn { index, play } => self.play(index, play).await,
            SocketEvent::Reached(end) => Err(self.end(end).await),
            SocketEvent::Idle(frame) => self.send_idle(frame).await,
        }
    }

    async fn next_event(&mut self) -> SocketEvent {
        let Self { connection, stream, idle, max_age, waiting, running, next, .. } = self;
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
            if waiting.len() < WAITING_REQUESTS
                && let Poll::Ready(message) = Pin::new(&mut *stream).poll_next(cx)
            {
                return Poll::Ready(SocketEvent::Message(receive(connection, message)));
            }
            poll_turns(running, next, cx)
        })
        .await
    }

    /// Carries out what a turn does next. Reads requests meanwhile.
    async fn play(&mut self, index: usize, play: Play) -> Result<(), NoRequest> {
        let is_done = matches!(play, Play::Done);
        let Self { connection, sink, stream, waiting, running, .. } = self;
        let mut sending = pin!(carry_out(play, sink, &connection.control));
        let flow = loop {
            if waiting.len() >= WAITING_REQUESTS {
                break sending.await;
            }
            match select(sending.as_mut(), stream.next()).await {
                Either::Left((flow, _)) => break flow,
                Either::Right((message, _)) => queue(waiting, receive(connection, message))?,
            }
        };
        let (Ok(flow), Some(turn)) = (flow, running.get_mut(index)) else {
            return Err(NoRequest::Ended);
        };
        if is_done || flow == Flow::Ended {
            turn.finish();
            running.remove(index);
        }
        match flow {
            Flow::Open => Ok(()),
            Flow::Ended => Err(NoRequest::Ended),
        }
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

/// Appends a request to those that wait.
fn queue(waiting: &mut VecDeque<WaitingRequest>, message: ClientMessage) -> Result<(), NoRequest> {
    match message {
        ClientMessage::Request(raw) => {
            let body = parse_json(&raw).unwrap_or_default();
            waiting.push_back(WaitingRequest { lane: Lane::of(&body), body, raw });
        }
        ClientMessage::Control => {}
        ClientMessage::TooLarge => return Err(NoRequest::TooLarge),
        ClientMessage::End => return Err(NoRequest::Ended),
    }
    Ok(())
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

/// Maximum number of requests that wait while others are answered; beyond it the server stops reading.
const WAITING_REQUESTS: usize = 64;
