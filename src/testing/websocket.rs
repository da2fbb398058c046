//! One connection, once it is a WebSocket.

use std::{collections::VecDeque, future, pin::pin, time::Duration};

use bytes::Bytes;
use futures_util::{
    SinkExt, StreamExt,
    future::{Either, select},
    stream::{SplitSink, SplitStream},
};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::{io::AsyncReadExt, sync::mpsc};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message, Utf8Bytes,
        protocol::{
            CloseFrame, Role, WebSocketConfig,
            frame::{
                Frame,
                coding::{Data, OpCode},
            },
        },
    },
};

use super::{
    clock::Clock,
    connection::Connection,
    generate,
    run::Run,
    shared::{IdleFrame, Received},
    step::{self, Step},
    wire::{Control, Cut},
};
use crate::config::Transport;

type Socket = WebSocketStream<TokioIo<Upgraded>>;
type Sink = SplitSink<Socket, Message>;
type Stream = SplitStream<Socket>;

/// Serves the WebSocket to its end.
pub(super) async fn serve(
    connection: &Connection,
    upgraded: Upgraded,
    mut idle: mpsc::Receiver<IdleFrame>,
    close: Option<u16>,
) {
    let traits = connection.shared.traits();
    let limit = traits.frame_limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let config = WebSocketConfig::default().max_message_size(limit).max_frame_size(limit);
    let mut clock = Clock::new(traits);
    let socket = Socket::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
    let (mut sink, mut stream) = socket.split();
    if let Some(code) = close {
        let _ = sink.send(close_message(Some(code), "")).await;
        return drain(connection, &mut stream).await;
    }
    let mut waiting = VecDeque::new();
    let end = loop {
        let next = match waiting.pop_front() {
            Some(request) if !clock.is_over_age() => Ok(request),
            _ => until_request(connection, &mut sink, &mut stream, &mut idle, &mut clock).await,
        };
        let raw = match next {
            Ok(raw) => raw,
            Err(end) => break end,
        };
        let (run, answer) = connection.shared.admit(Received {
            connection: connection.index,
            transport: Transport::WebSocket,
            headers: Vec::new(),
            raw,
        });
        let mut playing = pin!(play(run, answer.steps, &mut sink, &connection.control));
        let flow = loop {
            if waiting.len() >= WAITING_REQUESTS {
                break playing.await.ended();
            }
            match select(stream.next(), playing.as_mut()).await {
                Either::Left((message, _)) => match seen(connection, message) {
                    Seen::Request(raw) => waiting.push_back(raw),
                    Seen::Control => {}
                    Seen::TooLarge => break Err(End::TooLarge),
                    Seen::End => break Err(End::Done),
                },
                Either::Right((flow, _)) => break flow.ended(),
            }
        };
        if let Err(end) = flow {
            break end;
        }
        clock.active();
    };
    match end {
        End::Done => drain(connection, &mut stream).await,
        End::TooLarge => {
            let _ = sink.send(close_message(Some(1009), "message too big")).await;
            if let Ok(mut socket) = sink.reunite(stream) {
                discard(socket.get_mut()).await;
            }
        }
    }
}

/// Why no further request is read.
enum End {
    /// Nothing is left to say.
    Done,
    /// A message is larger than the server takes.
    TooLarge,
}

/// What becomes of the connection after a turn.
enum Flow {
    Next,
    End,
}

impl Flow {
    fn ended(self) -> Result<(), End> {
        match self {
            Self::Next => Ok(()),
            Self::End => Err(End::Done),
        }
    }
}

/// What the client sent.
enum Seen {
    Request(String),
    Control,
    TooLarge,
    End,
}

/// Waits for a request, and meanwhile sends what the test wants.
async fn until_request(
    connection: &Connection,
    sink: &mut Sink,
    stream: &mut Stream,
    idle: &mut mpsc::Receiver<IdleFrame>,
    clock: &mut Clock,
) -> Result<String, End> {
    loop {
        let idle_frame = pin!(idle.recv());
        let next = select(idle_frame, stream.next());
        let next = match select(pin!(clock.runs_out()), next).await {
            Either::Left((out, _)) => {
                if let Some(error) = out.error {
                    let frame = Message::text(generate::encode(&error.frame()));
                    sink.send(frame).await.map_err(|_| End::Done)?;
                }
                let _ = sink.send(close_message(Some(out.code), "")).await;
                return Err(End::Done);
            }
            Either::Right((next, _)) => next,
        };
        clock.active();
        let frame = match next {
            Either::Left((Some(frame), _)) => frame,
            Either::Left((None, _)) => return Err(End::Done),
            Either::Right((message, _)) => match seen(connection, message) {
                Seen::Request(raw) => return Ok(raw),
                Seen::Control => continue,
                Seen::TooLarge => return Err(End::TooLarge),
                Seen::End => return Err(End::Done),
            },
        };
        let (message, ends) = match frame {
            IdleFrame::Text(text) => (Message::text(text), false),
            IdleFrame::Ping(payload) => (Message::Ping(payload.into()), false),
            IdleFrame::Close { code, reason } => (close_message(Some(code), &reason), true),
        };
        if sink.send(message).await.is_err() || ends {
            return Err(End::Done);
        }
    }
}

/// Notes what the client sent.
fn seen(connection: &Connection, message: Option<Result<Message, Error>>) -> Seen {
    match message {
        Some(Ok(Message::Text(text))) => return Seen::Request(text.as_str().to_owned()),
        // Not JSON, and refused as such.
        Some(Ok(Message::Binary(_))) => return Seen::Request(String::new()),
        Some(Ok(Message::Ping(_))) => {
            connection.shared.note(connection.index, |log| log.pings += 1)
        }
        Some(Ok(Message::Pong(_))) => {
            connection.shared.note(connection.index, |log| log.pongs += 1)
        }
        Some(Ok(Message::Close(frame))) => {
            let code = frame.map(|frame| frame.code.into());
            connection.shared.note(connection.index, |log| log.close_code = code);
            connection.shared.closed(connection.index);
            return Seen::End;
        }
        Some(Ok(Message::Frame(_))) => {}
        Some(Err(Error::Capacity(_))) => return Seen::TooLarge,
        Some(Err(_)) | None => return Seen::End,
    }
    Seen::Control
}

/// Carries out a turn.
async fn play(mut run: Run, steps: Vec<Step>, sink: &mut Sink, control: &Control) -> Flow {
    let mut steps = steps.into_iter().peekable();
    while let Some(step) = steps.next() {
        if let Some(event) = step.event() {
            run.sends(&event);
        }
        // Before the client can have the last frame, so that it finds the log complete.
        if steps.peek().is_none() && !step.is_wait() {
            run.finish();
        }
        match carry_out(step, sink, control).await {
            Ok(Flow::Next) => {}
            Ok(Flow::End) => {
                run.finish();
                return Flow::End;
            }
            Err(_) => return Flow::End,
        }
    }
    if sink.flush().await.is_err() {
        return Flow::End;
    }
    run.finish();
    Flow::Next
}

async fn carry_out(step: Step, sink: &mut Sink, control: &Control) -> Result<Flow, Error> {
    match step {
        Step::Event(event) => sink.feed(Message::text(generate::encode(&event))).await?,
        Step::Text(text) => sink.feed(Message::text(text)).await?,
        Step::Fragmented { text, pieces } => {
            send_pieces(sink, step::split(text.into(), pieces), Duration::ZERO).await?;
        }
        Step::Split { text, at } => {
            send_pieces(sink, step::split_at(text.into(), &at), Duration::ZERO).await?;
        }
        Step::Drip { text, pieces, pause } => {
            send_pieces(sink, step::split(text.into(), pieces), pause).await?;
        }
        Step::Partial { text, bytes } => {
            let mut begin = Bytes::from(text);
            begin.truncate(bytes);
            sink.send(data_frame(begin, Data::Text, false)).await?;
        }
        Step::Stray(event) => sink.feed(Message::text(generate::encode(&event))).await?,
        Step::Flood { text, times } => {
            let text = Utf8Bytes::from(text);
            for _ in 0..times {
                sink.feed(Message::Text(text.clone())).await?;
            }
        }
        // Past tungstenite's own check of UTF-8.
        Step::Raw(bytes) => sink.feed(data_frame(bytes, Data::Text, true)).await?,
        Step::Comment(_) => {}
        Step::Binary(bytes) => sink.feed(Message::Binary(bytes)).await?,
        Step::Ping(bytes) => sink.send(Message::Ping(bytes)).await?,
        Step::Pong(bytes) => sink.send(Message::Pong(bytes)).await?,
        Step::Close { code, reason } => {
            sink.send(close_message(code, &reason)).await?;
            return Ok(Flow::End);
        }
        Step::End | Step::Reset => {
            sink.flush().await?;
            control.cut(if matches!(step, Step::End) { Cut::Fin } else { Cut::Reset });
            return Ok(Flow::End);
        }
        Step::Delay(_) | Step::Gate(_) | Step::Stall => {
            sink.flush().await?;
            step.wait().await;
        }
        Step::Freeze => {
            sink.flush().await?;
            control.deafen();
            future::pending::<()>().await;
        }
    }
    Ok(Flow::Next)
}

/// Sends the fragments of a message; with a pause between them, each on its own.
async fn send_pieces(sink: &mut Sink, pieces: Vec<Bytes>, pause: Duration) -> Result<(), Error> {
    let last = pieces.len().saturating_sub(1);
    for (place, piece) in pieces.into_iter().enumerate() {
        let opcode = if place == 0 { Data::Text } else { Data::Continue };
        if place > 0 && !pause.is_zero() {
            sink.flush().await?;
            tokio::time::sleep(pause).await;
        }
        sink.feed(data_frame(piece, opcode, place == last)).await?;
    }
    Ok(())
}

/// Reads until the client is gone: it answers a Close frame, and a cut shows in the next read.
async fn drain(connection: &Connection, stream: &mut Stream) {
    while let Some(Ok(message)) = stream.next().await {
        seen(connection, Some(Ok(message)));
    }
}

/// Reads what is no WebSocket any more: unread bytes would turn the end into a reset, which
/// overtakes the Close frame.
async fn discard(io: &mut TokioIo<Upgraded>) {
    let mut bytes = [0; 4096];
    while io.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
}

fn data_frame(bytes: Bytes, opcode: Data, last: bool) -> Message {
    Message::Frame(Frame::message(bytes, OpCode::Data(opcode), last))
}

fn close_message(code: Option<u16>, reason: &str) -> Message {
    Message::Close(code.map(|code| CloseFrame { code: code.into(), reason: reason.into() }))
}

/// Requests that wait while a turn runs; beyond that the server stops reading.
const WAITING_REQUESTS: usize = 64;
