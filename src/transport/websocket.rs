//! One WebSocket, and the task that serves it.
//!
//! The task is in one of two states. Idle, it answers pings and watches for the end, so that a
//! dead socket is known before it is used. In an exchange it writes the request while it reads
//! (a server that refuses a large one says so before it has all of it) and passes frames on to the
//! consumer, as far ahead as the limit allows.
//!
//! The handle and the exchange are how others reach it: dropping the handle closes the socket
//! after the exchange in progress, dropping the exchange before its end closes it at once.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytestring::ByteString;
use futures_util::{Sink, Stream};
use http::{HeaderMap, Method, StatusCode};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, timeout, timeout_at},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self, Message,
        protocol::{Role, WebSocketConfig},
    },
};

use super::{
    Incoming,
    queue::{Receiver, Sender, queue},
    sse, upgrade,
};
use crate::{
    Error, ErrorKind, Limits, Phase,
    error::{Cause, CloseFrame, Delivery, ProtocolError},
    net::{Content, Io, Network},
    proto::{
        classify::{Frame, Role as FrameRole},
        fallback,
        idle::{self, Finished, Verdict, Watch},
        normalize,
        plan::ConnectionId,
        turn::End,
    },
};

/// tungstenite clears its read buffer before every read; a large one costs more than it saves.
const READ_BUFFER: usize = 16 << 10;

/// An open WebSocket. Dropping it closes the socket once its exchange is over.
#[derive(Debug)]
pub(crate) struct WebSocket {
    id: ConnectionId,
    commands: mpsc::Sender<Create>,
    status: Arc<Status>,
    read_ahead: usize,
    request_id: Option<String>,
    task: JoinHandle<()>,
    close: Duration,
}

#[derive(Debug, Default)]
struct Status {
    /// The socket takes no more requests.
    over: AtomicBool,
}

/// A request to send.
struct Create {
    text: String,
    answer: Sender,
    /// Told once the request is written, or something came back.
    sent: oneshot::Sender<Sent>,
}

/// Whether a request left.
#[derive(Debug)]
enum Sent {
    Yes,
    /// The socket had ended before.
    No(End),
}

/// A request and its answer.
#[derive(Debug)]
pub(crate) struct WebSocketExchange {
    answer: Receiver,
    status: Arc<Status>,
    ended: bool,
}

impl WebSocket {
    /// Opens a WebSocket by upgrading a GET to `uri`. The answer must begin by the deadline.
    pub(crate) async fn connect(
        network: &dyn Network,
        uri: http::Uri,
        mut headers: HeaderMap,
        id: ConnectionId,
        deadline: Instant,
        limits: Limits,
        close: Duration,
    ) -> Result<Self, Error> {
        let broken = |error| Error::protocol(Phase::Connect, error);
        let key = upgrade::ask(&mut headers).map_err(broken)?;
        let mut request = http::Request::new(bytes::Bytes::new());
        *request.method_mut() = Method::GET;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        let Ok(answer) = timeout_at(deadline, network.send(request)).await else {
            return Err(Error::new(ErrorKind::Timeout, Phase::Connect, Cause::None));
        };
        let answer = answer.map_err(|e| sse::network_error(e, Phase::Connect))?;
        let request_id = sse::request_id(&answer.head.headers);
        let io = match answer.content {
            Content::Upgraded(io) => io,
            Content::Body(body) => {
                let status = answer.head.status;
                let body = sse::read_error_body(body, limits).await;
                let error = normalize::http_error(status.as_u16(), &answer.head.headers, &body);
                return Err(refused(status, error));
            }
        };
        upgrade::check(&answer.head, &key).map_err(broken)?;
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .max_message_size(Some(limits.event))
            .max_frame_size(Some(limits.event));
        let socket = WebSocketStream::from_raw_socket(io, Role::Client, Some(config)).await;
        // One request at a time; the session waits for its turn.
        let (commands, requests) = mpsc::channel(1);
        let status = Arc::new(Status::default());
        let task = tokio::spawn(serve(socket, requests, Arc::clone(&status), close));
        Ok(Self { id, commands, status, read_ahead: limits.read_ahead, request_id, task, close })
    }

    pub(crate) fn id(&self) -> ConnectionId {
        self.id
    }

    /// `x-request-id` of the upgrade.
    pub(crate) fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// Whether it takes another request, as far as is known.
    pub(crate) fn is_open(&self) -> bool {
        !self.status.over.load(Ordering::Acquire) && !self.commands.is_closed()
    }

    /// Closes it, and waits until that is done, at most as long as closing may take.
    pub(crate) async fn close(self) {
        drop(self.commands);
        _ = timeout(self.close, self.task).await;
    }

    /// Sends a request; resolves when it is written. Dropping the future cancels the request by
    /// closing the socket.
    pub(crate) fn send(
        &self,
        text: String,
    ) -> impl Future<Output = Result<WebSocketExchange, Error>> + Send + use<> {
        let (sender, answer) = queue(self.read_ahead);
        let exchange = WebSocketExchange { answer, status: Arc::clone(&self.status), ended: false };
        let (sent, outcome) = oneshot::channel();
        let commands = self.commands.clone();
        async move {
            let create = Create { text, answer: sender, sent };
            let gone = |end| {
                let cause = match end {
                    Some(End::Closed(frame)) => Cause::Closed(frame),
                    Some(End::Lost(Some(source))) => Cause::Other(source),
                    _ => Cause::None,
                };
                Error::new(ErrorKind::Closed, Phase::Send, cause).with_delivery(Delivery::NotSent)
            };
            if commands.send(create).await.is_err() {
                return Err(gone(None));
            }
            match outcome.await {
                Ok(Sent::Yes) => Ok(exchange),
                Ok(Sent::No(end)) => Err(gone(Some(end))),
                // The task ended before it took the request up.
                Err(_) => Err(gone(None)),
            }
        }
    }
}

impl WebSocketExchange {
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Incoming> {
        let incoming = ready!(self.answer.poll_next(cx));
        self.ended = match &incoming {
            Incoming::Frame(frame) => frame.tag.role.ends_turn(),
            Incoming::End(_) => true,
        };
        Poll::Ready(incoming)
    }
}

impl Drop for WebSocketExchange {
    fn drop(&mut self) {
        // The task learns of it from the queue; whoever asks for a socket must know at once.
        if !self.ended {
            self.status.over.store(true, Ordering::Release);
        }
    }
}

/// What the answer to an upgrade means that did not switch protocols.
fn refused(status: StatusCode, error: crate::error::ApiError) -> Error {
    if status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
        return Error::new(ErrorKind::ProxyAuthentication, Phase::Connect, Cause::Api(error));
    }
    let kind = match fallback::refusal(status.as_u16()) {
        true => ErrorKind::UpgradeRefused,
        false => ErrorKind::Api,
    };
    Error::new(kind, Phase::Connect, Cause::Api(error))
}

type Socket = WebSocketStream<Box<dyn Io>>;

async fn serve(
    mut socket: Socket,
    mut requests: mpsc::Receiver<Create>,
    status: Arc<Status>,
    close: Duration,
) {
    let mut finished = None;
    let polite = loop {
        let create = match poll_fn(|cx| poll_idle(&mut socket, &mut requests, &finished, cx)).await
        {
            Idle::Create(create) => create,
            Idle::Released => break true,
            Idle::Ended(end) => {
                status.over.store(true, Ordering::Release);
                // A request that crossed the end did not leave.
                requests.close();
                if let Some(create) = requests.recv().await {
                    _ = create.sent.send(Sent::No(end));
                }
                break false;
            }
        };
        match converse(&mut socket, create, finished.take()).await {
            Conversed::Ended(response) => finished = Some(response),
            Conversed::Abandoned => break true,
            Conversed::Broken => break false,
        }
    };
    status.over.store(true, Ordering::Release);
    if polite {
        // The close frame tells the server to stop; its own is not waited for.
        let frame = tungstenite::protocol::CloseFrame {
            code: tungstenite::protocol::frame::coding::CloseCode::Normal,
            reason: "".into(),
        };
        _ = timeout(close, socket.close(Some(frame))).await;
    }
}

enum Idle {
    Create(Create),
    /// Nobody holds the handle any more.
    Released,
    Ended(End),
}

/// Watches the socket between requests.
fn poll_idle(
    socket: &mut Socket,
    requests: &mut mpsc::Receiver<Create>,
    finished: &Option<Finished>,
    cx: &mut Context<'_>,
) -> Poll<Idle> {
    // The socket first: a request must not go into one whose end has come already.
    while let Poll::Ready(read) = poll_read(socket, cx) {
        let end = match read {
            Read::Nothing => continue,
            Read::Text(payload) => match idle::judge(&Frame::new(payload), finished.as_ref()) {
                Verdict::Swallow => continue,
                Verdict::Retire => End::Protocol(ProtocolError::NotAnEvent),
            },
            Read::End(end) => end,
        };
        return Poll::Ready(Idle::Ended(end));
    }
    Poll::Ready(match ready!(requests.poll_recv(cx)) {
        Some(create) => Idle::Create(create),
        None => Idle::Released,
    })
}

enum Conversed {
    /// The turn is over.
    Ended(Finished),
    /// The consumer went away.
    Abandoned,
    /// The socket cannot be used any more.
    Broken,
}

/// Sends a request and passes on what comes for it, `before` being the response before: a late
/// event of that one must not be taken for one of this.
async fn converse(socket: &mut Socket, create: Create, before: Option<Finished>) -> Conversed {
    let Create { text, answer, sent } = create;
    // Cancelled before it was taken up: it shall not be sent.
    if answer.is_abandoned() {
        return Conversed::Abandoned;
    }
    let mut sent = Some(sent);
    let mut tell = move || {
        if let Some(sent) = sent.take() {
            _ = sent.send(Sent::Yes);
        }
    };
    let mut writing = match start_send(socket, text) {
        Ok(()) => true,
        Err(error) => {
            answer.push(Incoming::End(end_of(error)));
            tell();
            return Conversed::Broken;
        }
    };
    let mut watch = Watch::new(before);
    poll_fn(move |cx| {
        if writing {
            match Pin::new(&mut *socket).poll_flush(cx) {
                Poll::Ready(Ok(())) => {
                    writing = false;
                    tell();
                }
                // Reading tells why, in most cases better: the close frame of a server that does
                // not want to have the rest has come by then.
                Poll::Ready(Err(_)) => writing = false,
                Poll::Pending => {}
            }
        }
        loop {
            if answer.is_abandoned() {
                return Poll::Ready(Conversed::Abandoned);
            }
            ready!(answer.poll_room(cx));
            let incoming = match ready!(poll_read(socket, cx)) {
                Read::Nothing => continue,
                Read::Text(payload) => Incoming::Frame(Frame::new(payload)),
                Read::End(end) => Incoming::End(end),
            };
            if matches!(&incoming, Incoming::Frame(frame) if watch.is_late(frame)) {
                continue;
            }
            tell();
            let conversed = match &incoming {
                Incoming::End(_) => Some(Conversed::Broken),
                Incoming::Frame(frame) if frame.tag.role == FrameRole::Garbage => {
                    Some(Conversed::Broken)
                }
                // The server does not want the rest of the request, which the next would follow.
                Incoming::Frame(frame) if frame.tag.role.ends_turn() && writing => {
                    Some(Conversed::Broken)
                }
                Incoming::Frame(frame) if frame.tag.role.ends_turn() => {
                    Some(Conversed::Ended(watch.finished(frame)))
                }
                Incoming::Frame(_) => None,
            };
            answer.push(incoming);
            if let Some(conversed) = conversed {
                return Poll::Ready(conversed);
            }
        }
    })
    .await
}

fn start_send(socket: &mut Socket, text: String) -> Result<(), tungstenite::Error> {
    Pin::new(socket).start_send(Message::Text(text.into()))
}

enum Read {
    Text(ByteString),
    /// A ping (answered by then) or a pong.
    Nothing,
    End(End),
}

fn poll_read(socket: &mut Socket, cx: &mut Context<'_>) -> Poll<Read> {
    let read = match ready!(pin!(socket).poll_next(cx)) {
        Some(Ok(Message::Text(text))) => match ByteString::try_from(bytes::Bytes::from(text)) {
            Ok(text) => Read::Text(text),
            Err(_) => Read::End(End::Protocol(ProtocolError::NotAnEvent)),
        },
        Some(Ok(Message::Binary(_))) => Read::End(End::Protocol(ProtocolError::BinaryFrame)),
        Some(Ok(Message::Close(frame))) => Read::End(End::Closed(
            frame.map(|frame| CloseFrame::new(frame.code.into(), frame.reason.as_str().to_owned())),
        )),
        Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Read::Nothing,
        Some(Err(error)) => Read::End(end_of(error)),
        None => Read::End(End::Lost(None)),
    };
    Poll::Ready(read)
}

fn end_of(error: tungstenite::Error) -> End {
    use tungstenite::error::ProtocolError as Broken;
    match error {
        tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => {
            End::Closed(None)
        }
        tungstenite::Error::Capacity(_) => End::TooLarge,
        tungstenite::Error::Protocol(Broken::ResetWithoutClosingHandshake) => End::Lost(None),
        tungstenite::Error::Protocol(error) => {
            End::Protocol(ProtocolError::WebSocket(error.to_string()))
        }
        tungstenite::Error::Utf8(_) => {
            End::Protocol(ProtocolError::WebSocket("text that is no UTF-8".to_owned()))
        }
        error => End::Lost(Some(Box::new(error))),
    }
}
