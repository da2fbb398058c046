//! Serves a WebSocket: reads requests, and answers them one after the other.

use std::{collections::VecDeque, pin::pin};

use futures_util::{
    SinkExt, StreamExt,
    future::{Either, select},
    stream::SplitStream,
};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::{io::AsyncReadExt, sync::mpsc};
use tokio_tungstenite::tungstenite::Message;

use super::{
    client_message::{ClientMessage, receive},
    max_age::MaxAge,
    play::{Flow, FrameSink, play},
};
use crate::{
    config::Transport,
    server::websocket::{self, ServerSocket, close_message},
    testing::{
        script::{quirks::SocketEnd, value::encode},
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

/// An event while no turn runs.
enum IdleEvent {
    /// A limit of the server ends the WebSocket.
    Reached(SocketEnd),
    /// The test sends a frame.
    Frame(IdleFrame),
    /// The client has sent a message.
    Message(ClientMessage),
}

/// A WebSocket that is served.
struct ServedSocket<'a> {
    connection: &'a Connection,
    sink: FrameSink,
    stream: FrameStream,
    /// Frames that a test sends while no turn runs.
    idle: mpsc::Receiver<IdleFrame>,
    max_age: MaxAge,
    /// Requests that arrived while a turn was running.
    waiting: VecDeque<String>,
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
    let waiting = VecDeque::new();
    let mut served = ServedSocket { connection, sink, stream, idle, max_age, waiting };
    let end = loop {
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
    /// Waits for a request, and answers it.
    async fn serve_next(&mut self) -> Result<(), NoRequest> {
        let raw = match self.waiting.pop_front().filter(|_| !self.max_age.is_reached()) {
            Some(raw) => raw,
            None => self.next_request().await?,
        };
        let received = Received {
            connection: self.connection.index,
            transport: Transport::WebSocket,
            path: None,
            headers: Vec::new(),
            raw,
        };
        let (turn, answer) = ServerTurn::begin(&self.connection.hub, received);
        let mut playing = pin!(play(turn, answer.steps, &mut self.sink, &self.connection.control));
        let flow = loop {
            if self.waiting.len() >= WAITING_REQUESTS {
                break playing.await;
            }
            match select(self.stream.next(), playing.as_mut()).await {
                Either::Left((message, _)) => match receive(self.connection, message) {
                    ClientMessage::Request(raw) => self.waiting.push_back(raw),
                    ClientMessage::Control => {}
                    ClientMessage::TooLarge => return Err(NoRequest::TooLarge),
                    ClientMessage::End => return Err(NoRequest::Ended),
                },
                Either::Right((flow, _)) => break flow,
            }
        };
        self.max_age.set_active();
        match flow {
            Flow::Open => Ok(()),
            Flow::Ended => Err(NoRequest::Ended),
        }
    }

    /// Waits for a request, and meanwhile sends the frames of the test.
    async fn next_request(&mut self) -> Result<String, NoRequest> {
        loop {
            let event = self.next_event().await;
            self.max_age.set_active();
            match event {
                IdleEvent::Reached(end) => return Err(self.end(end).await),
                IdleEvent::Frame(frame) => self.send_idle(frame).await?,
                IdleEvent::Message(ClientMessage::Request(raw)) => return Ok(raw),
                IdleEvent::Message(ClientMessage::Control) => {}
                IdleEvent::Message(ClientMessage::TooLarge) => return Err(NoRequest::TooLarge),
                IdleEvent::Message(ClientMessage::End) => return Err(NoRequest::Ended),
            }
        }
    }

    async fn next_event(&mut self) -> IdleEvent {
        let idle_frame = pin!(self.idle.recv());
        let next = select(idle_frame, self.stream.next());
        match select(pin!(self.max_age.reached()), next).await {
            Either::Left((end, _)) => IdleEvent::Reached(end),
            Either::Right((Either::Left((Some(frame), _)), _)) => IdleEvent::Frame(frame),
            // The server is gone.
            Either::Right((Either::Left((None, _)), _)) => IdleEvent::Message(ClientMessage::End),
            Either::Right((Either::Right((message, _)), _)) => {
                IdleEvent::Message(receive(self.connection, message))
            }
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

/// Maximum number of requests that wait while a turn runs; beyond it the server stops reading.
const WAITING_REQUESTS: usize = 64;
