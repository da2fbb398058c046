//! One WebSocket, and the task that serves it.
//!
//! While no request is in progress, the task answers pings and watches for the end of the socket, so
//! that a dead socket is detected before its next use. During an exchange, the task reads while it
//! writes the request, because a server may refuse a large request before receiving all of it. The
//! task passes frames to the consumer, as far ahead as the limit allows.
//!
//! [`Lanes`](crate::proto::lane::Lanes) decides to whom a frame belongs and what ends an exchange.
//!
//! Dropping the handle closes the socket after the exchanges in progress. Dropping an exchange
//! before its end closes the socket immediately, unless other sessions use the socket: then the rest
//! of the response is read and dropped.

use std::{
    pin::{Pin, pin},
    sync::{
        Arc, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{HeaderMap, StatusCode};
use tokio::{
    runtime::{self, Handle},
    sync::{OwnedSemaphorePermit, mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, timeout, timeout_at},
};

pub(crate) use command::SocketOptions;

use self::{
    command::{Command, SendOutcome, Status},
    inbox::{Closer, Receiver, inbox},
    socket::Socket,
};
use super::{Incoming, http1, upgrade};
#[cfg(feature = "deflate")]
use crate::config::DeflatePolicy;
use crate::{
    error::{Cause, Error, NoPong},
    kind::{Delivery, ErrorKind, Phase},
    net::{Content, Network},
    proto::{
        keepalive::KeepAliveConfig,
        lane::{ConnectionId, LaneId, LaneTable, Message, MessageKind},
        normalize, route, sign_in,
        turn::response::StreamEnd,
    },
};

mod command;
mod connection;
#[cfg(feature = "deflate")]
mod deflate;
mod inbox;
mod socket;

/// Handle of an open WebSocket. Dropping the handle closes the socket once its exchange is over.
#[derive(Debug)]
pub(crate) struct WebSocket {
    id: ConnectionId,
    commands: mpsc::Sender<Command>,
    status: Arc<Status>,
    read_ahead: usize,
    headers: Arc<HeaderMap>,
    runtime: runtime::Id,
    task: JoinHandle<()>,
    close: Duration,
}

/// A request and its response.
#[derive(Debug)]
pub(crate) struct WebSocketExchange {
    answer: Receiver,
    lane: LaneId,
    status: Arc<Status>,
    ended: bool,
    /// Bytes of the frames of the request, if they were compressed.
    compressed: Option<u64>,
    /// `true` once a message was sent that the server answers. A terminal event may then be followed
    /// by the answer, or by another response.
    awaits_answer: bool,
    /// `true` if the exchange was aborted or dropped. Its lane may belong to another session by now.
    has_left: Arc<AtomicBool>,
}

impl WebSocket {
    /// Opens a WebSocket by upgrading `request`, a GET. The response must begin by the deadline.
    pub(crate) async fn connect(
        network: &dyn Network,
        mut request: http::Request<bytes::Bytes>,
        id: ConnectionId,
        deadline: Instant,
        options: SocketOptions,
    ) -> Result<Self, Error> {
        let SocketOptions { wire, limits, timeouts, has_fallback, .. } = options;
        let broken = |error| Error::protocol(Phase::Connect, error);
        let key = upgrade::request_headers(request.headers_mut()).map_err(broken)?;
        #[cfg(feature = "deflate")]
        if options.deflate == DeflatePolicy::Offer {
            upgrade::offer_deflate(request.headers_mut());
        }
        http1::use_fresh_connection(&mut request);
        http1::open_by(&mut request, deadline);
        let uri = request.uri().clone();
        let peer = network.peer(&uri);
        let Ok(answer) = timeout_at(deadline, network.send(request)).await else {
            let late = Error::new(ErrorKind::Timeout, Phase::Connect, Cause::None);
            return Err(late.with_peer(Some(peer)));
        };
        let answer = answer.map_err(|e| http1::network_error(e, Phase::Connect))?;
        let io = match answer.content {
            Content::Upgraded(io) => io,
            Content::Body(body) => {
                let status = answer.head.status;
                let body = match has_fallback && route::decides(status.as_u16()) {
                    true => http1::read_ready(body, limits),
                    false => http1::read_error_body(body, limits).await,
                };
                let headers = &answer.head.headers;
                let mut error = normalize::http_error(status.as_u16(), headers, &body);
                if status.is_redirection() {
                    error.message = Some(sign_in::redirect(status, headers, &uri).to_string());
                }
                return Err(refused(status, error));
            }
        };
        upgrade::check(&answer.head, &key).map_err(broken)?;
        #[cfg(feature = "deflate")]
        let deflate = match options.deflate {
            DeflatePolicy::Offer => upgrade::deflate_answer(&answer.head).map_err(broken)?,
            DeflatePolicy::Off => {
                upgrade::check_no_extension(&answer.head).map_err(broken)?;
                None
            }
        };
        #[cfg(not(feature = "deflate"))]
        upgrade::check_no_extension(&answer.head).map_err(broken)?;
        let config = KeepAliveConfig { interval: timeouts.ping, deadline: timeouts.pong };
        let socket = Socket::new(io, wire, limits.max_event_bytes, config).await;
        #[cfg(feature = "deflate")]
        let socket = match deflate {
            Some(agreement) => socket.compressed(agreement, limits.max_event_bytes),
            None => socket,
        };
        // The capacity is the minimum: a socket writes one request at a time, and a queued request
        // can still be cancelled without being sent.
        let (commands, requests) = mpsc::channel(1);
        let status = Arc::new(Status::new(&options));
        let task = tokio::spawn(connection::serve(socket, requests, Arc::clone(&status), options));
        Ok(Self {
            id,
            commands,
            status,
            read_ahead: limits.read_ahead,
            headers: Arc::new(answer.head.headers),
            runtime: Handle::current().id(),
            task,
            close: timeouts.close,
        })
    }

    pub(crate) fn id(&self) -> ConnectionId {
        self.id
    }

    /// Returns the headers of the response to the upgrade.
    pub(crate) fn headers(&self) -> &Arc<HeaderMap> {
        &self.headers
    }

    /// Returns the maximum size of a message in bytes, if the response to the upgrade contains the
    /// limit of the server.
    pub(crate) fn frame_limit(&self) -> Option<u64> {
        let limit = self.headers.get("x-codex-websocket-max-message-bytes")?;
        limit.to_str().ok()?.trim().parse().ok()
    }

    /// Returns the time at which the socket was opened.
    pub(crate) fn opened(&self) -> Instant {
        self.status.opened()
    }

    /// Returns the table of the socket's lanes, locked. Nothing may be awaited meanwhile.
    pub(crate) fn lanes(&self) -> MutexGuard<'_, LaneTable> {
        self.status.table()
    }

    /// Lets no further session use the socket. Exchanges in progress continue.
    pub(crate) fn retire(&self) {
        self.status.retire();
    }

    /// Returns `true` if all places for responses that run at the same time are taken.
    pub(crate) fn is_busy(&self) -> bool {
        self.status.places.available_permits() == 0
    }

    /// Returns `true` if the socket accepts another request, as far as is known.
    ///
    /// Always `false` on another runtime than the one that opened the socket: the socket's task may
    /// not be running there, so that the end of the socket could go unnoticed.
    pub(crate) fn is_open(&self) -> bool {
        let here = Handle::try_current().is_ok_and(|here| here.id() == self.runtime);
        here && !self.has_ended() && !self.is_retired()
    }

    /// Returns `true` if the socket is known to have ended, on any runtime.
    pub(crate) fn has_ended(&self) -> bool {
        self.status.is_over() || self.commands.is_closed()
    }

    /// Returns `true` if no further request may be sent.
    pub(crate) fn is_retired(&self) -> bool {
        self.status.is_retired()
    }

    /// Closes the socket. Waits until the socket is closed, at most for the close timeout.
    pub(crate) async fn close(self) {
        drop(self.commands);
        _ = timeout(self.close, self.task).await;
    }

    /// Sends a request on `lane`. If as many responses run on the socket as the server runs at the
    /// same time, waits for one to end, at most for `wait`.
    ///
    /// Resolves when the request is written, or with an error when no byte of the request was
    /// accepted for `stall`. Dropping the future cancels the request, by closing the socket if no
    /// other session uses it.
    pub(crate) fn send(
        &self,
        lane: LaneId,
        text: String,
        stall: Option<Duration>,
        wait: Option<Duration>,
    ) -> impl Future<Output = Result<WebSocketExchange, Error>> + Send + use<> {
        let signals = Arc::clone(&self.status.signals);
        let (sender, answer) = inbox(self.read_ahead, lane, signals);
        let status = Arc::clone(&self.status);
        let mut exchange = WebSocketExchange {
            answer,
            lane,
            status: Arc::clone(&status),
            ended: false,
            compressed: None,
            awaits_answer: false,
            has_left: Arc::default(),
        };
        let (sent, outcome) = oneshot::channel();
        let commands = self.commands.clone();
        // From here on, no other session plans to continue the response that the server keeps for
        // the lane: the request will replace it.
        status.table().begin(lane);
        async move {
            let place = place(&status, wait).await?;
            let start = Instant::now();
            let create = Command::Create { lane, text, answer: sender, sent, place };
            let sending = pin!(async {
                if commands.send(create).await.is_err() {
                    return Err(gone(None));
                }
                match outcome.await {
                    Ok(SendOutcome::Yes(compressed)) => {
                        exchange.compressed = compressed;
                        Ok(exchange)
                    }
                    Ok(SendOutcome::No(end)) => Err(gone(end)),
                    // The task ended before it received the request.
                    Err(_) => Err(gone(None)),
                }
            });
            let Some(stall) = stall else { return sending.await };
            unless_stalled(sending, start, stall, &status).await
        }
    }

    /// Sends a message about the running response of `lane`. Resolves with `false` if the response
    /// has ended, so that nothing was sent.
    pub(crate) fn send_during(
        &self,
        lane: LaneId,
        message: Message,
    ) -> impl Future<Output = bool> + Send + use<> {
        let (sent, outcome) = oneshot::channel();
        let commands = self.commands.clone();
        async move {
            let send = Command::Send { lane, message, sent };
            commands.send(send).await.is_ok() && outcome.await.unwrap_or(false)
        }
    }
}

/// Waits for a place among the responses that may run on the socket.
async fn place(status: &Status, wait: Option<Duration>) -> Result<OwnedSemaphorePermit, Error> {
    let place = Arc::clone(&status.places).acquire_owned();
    let place = match wait {
        Some(wait) => timeout(wait, place).await,
        None => Ok(place.await),
    };
    match place {
        Ok(Ok(place)) => Ok(place),
        // The semaphore is never closed.
        Ok(Err(_)) => Err(gone(None)),
        Err(_) => {
            let cause = Cause::other("too many responses are running on the WebSocket");
            Err(Error::new(ErrorKind::Timeout, Phase::Prepare, cause)
                .with_delivery(Delivery::NotSent))
        }
    }
}

/// Waits for `sending` as long as bytes are accepted. There is no limit on the total time, because
/// a large request over a slow uplink would time out and then be sent a second time.
async fn unless_stalled<T>(
    mut sending: Pin<&mut impl Future<Output = Result<T, Error>>>,
    start: Instant,
    stall: Duration,
    status: &Status,
) -> Result<T, Error> {
    loop {
        let written = status.written().max(start);
        let Some(deadline) = written.checked_add(stall) else { return sending.await };
        match timeout_at(deadline, sending.as_mut()).await {
            Ok(sent) => return sent,
            Err(_) if status.written() > written => {}
            Err(_) => {
                return Err(Error::new(ErrorKind::Timeout, Phase::Send, Cause::None)
                    .with_delivery(Delivery::Unknown));
            }
        }
    }
}

/// Returns the error of a request that was not sent because the socket had ended.
fn gone(end: Option<StreamEnd>) -> Error {
    let cause = match end {
        Some(StreamEnd::Closed(frame)) => Cause::Closed(frame),
        Some(StreamEnd::Disconnected(Some(source))) => Cause::other(source),
        Some(StreamEnd::PongTimeout) => Cause::other(NoPong),
        _ => Cause::None,
    };
    Error::new(ErrorKind::Closed, Phase::Send, cause).with_delivery(Delivery::NotSent)
}

/// Handle that cancels an exchange.
pub(crate) struct AbortHandle {
    answer: Closer,
    lane: LaneId,
    status: Arc<Status>,
    has_left: Arc<AtomicBool>,
}

impl AbortHandle {
    pub(super) fn abort(self) {
        // The task stops when it polls the inbox. Until then, the next turn must not use the lane.
        self.status.leave(self.lane, &self.has_left);
        self.answer.close();
    }
}

impl WebSocketExchange {
    pub(super) fn abort_handle(&self) -> AbortHandle {
        let (status, has_left) = (Arc::clone(&self.status), Arc::clone(&self.has_left));
        AbortHandle { answer: self.answer.closer(), lane: self.lane, status, has_left }
    }

    /// Returns the bytes of the frames of the request; `None` if they were not compressed, or if the
    /// server answered before all were written.
    pub(crate) fn compressed_bytes(&self) -> Option<u64> {
        self.compressed
    }

    /// Records that a message about the response is sent.
    pub(crate) fn set_messaged(&mut self, kind: MessageKind) {
        self.awaits_answer |= kind != MessageKind::Interrupt;
    }

    /// Returns `true` if more may follow after the end of the response.
    pub(crate) fn awaits_answer(&self) -> bool {
        self.awaits_answer
    }

    /// Records that the server has finished the exchange, so that the lane is free.
    pub(crate) fn set_ended(&mut self) {
        self.ended = true;
    }

    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Incoming> {
        let incoming = ready!(self.answer.poll_next(cx));
        self.ended = match &incoming {
            Incoming::Frame(frame) => frame.tag.role.ends_turn() && !self.awaits_answer,
            Incoming::LateEvents => false,
            Incoming::End(_) => true,
        };
        Poll::Ready(incoming)
    }
}

impl Drop for WebSocketExchange {
    fn drop(&mut self) {
        // The task stops when it polls the inbox. Until then, the next turn must not use the lane.
        if !self.ended {
            self.status.leave(self.lane, &self.has_left);
        }
        // An abort that was begun before the end, and comes after it, has nothing to end. The lock
        // with which the lane is given back orders this before the next use of the lane.
        self.has_left.store(true, Ordering::Relaxed);
    }
}

/// Returns the error of a response that refused the upgrade.
fn refused(status: StatusCode, error: crate::api::ApiError) -> Error {
    if status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
        return Error::new(ErrorKind::ProxyAuthentication, Phase::Connect, Cause::Api(error));
    }
    let kind = match route::means_no_websocket(status.as_u16()) {
        true => ErrorKind::UpgradeRefused,
        false => ErrorKind::Api,
    };
    Error::new(kind, Phase::Connect, Cause::Api(error))
}

#[cfg(all(test, feature = "testing"))]
mod tests;
