//! Connections without sockets, for tests on paused time.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, Stream, future::BoxFuture};
use http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyDataStream, Full};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, split},
    task::AbortHandle,
};

use super::{
    connection::Connection,
    script::Uplink,
    shared::Shared,
    wire::{ClientEnd, Socket},
};
use crate::net::{Answer, Content, NetError, NetErrorKind, Network};

/// The way to a [`ScriptedServer`](super::ScriptedServer) without sockets.
///
/// Given to a client in place of the network, it brings every request to the server it came from,
/// whatever the host of the URL. It works on paused time, where sockets do not.
#[derive(Clone, Debug)]
pub struct Connector {
    network: Arc<Memory>,
}

#[derive(Debug)]
struct Memory {
    shared: Arc<Shared>,
    /// One connection that waits for its next request.
    idle: Arc<Mutex<Option<Lane>>>,
}

/// The client's side of a connection; dropping it ends the connection.
#[derive(Debug)]
struct Lane {
    requests: SendRequest<Full<Bytes>>,
    _task: Task,
}

/// Ends a task with itself.
#[derive(Debug)]
struct Task(AbortHandle);

/// The body of an answer, and the connection it comes on.
struct LaneBody {
    bytes: BodyDataStream<Incoming>,
    lane: Option<Lane>,
    idle: Arc<Mutex<Option<Lane>>>,
}

impl Connector {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { network: Arc::new(Memory { shared, idle: Arc::default() }) }
    }

    pub(crate) fn network(&self) -> Arc<dyn Network> {
        Arc::clone(&self.network) as Arc<dyn Network>
    }
}

impl Network for Memory {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'static, Result<Answer, NetError>> {
        send(Arc::clone(&self.shared), Arc::clone(&self.idle), request).boxed()
    }
}

async fn send(
    shared: Arc<Shared>,
    idle: Arc<Mutex<Option<Lane>>>,
    request: Request<Bytes>,
) -> Result<Answer, NetError> {
    let mut request = origin_form(request)?;
    let upgrades = request.headers().contains_key(header::UPGRADE);
    if !upgrades
        && let Some(mut lane) = take(&idle)
        && lane.requests.ready().await.is_ok()
    {
        match lane.requests.try_send_request(request).await {
            Ok(response) => return answer(response, lane, idle).await,
            // The server closed the connection before the request was sent.
            Err(mut error) => match error.take_message() {
                Some(unsent) => request = unsent,
                None => return Err(lost(error.into_error())),
            },
        }
    }
    let mut lane = connect(&shared).await?;
    let response = lane.requests.send_request(request).await;
    answer(response.map_err(lost)?, lane, idle).await
}

async fn connect(shared: &Arc<Shared>) -> Result<Lane, NetError> {
    let refused =
        || NetError::new(NetErrorKind::Connect, io::Error::from(io::ErrorKind::ConnectionRefused));
    let connection = Connection::open(shared).ok_or_else(refused)?;
    let (stream, server) = match shared.uplink() {
        None => tokio::io::duplex(BUFFER),
        Some(uplink) => slow_pipe(uplink),
    };
    let end = ClientEnd { stream, control: Arc::clone(&connection.control) };
    tokio::spawn(connection.serve(Socket::Other(Box::new(server))));
    let (requests, driver) = http1::handshake(TokioIo::new(end)).await.map_err(lost)?;
    let task = tokio::spawn(async { driver.with_upgrades().await });
    Ok(Lane { requests, _task: Task(task.abort_handle()) })
}

async fn answer(
    mut response: Response<Incoming>,
    lane: Lane,
    idle: Arc<Mutex<Option<Lane>>>,
) -> Result<Answer, NetError> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let upgraded = hyper::upgrade::on(&mut response).await.map_err(lost)?;
        let (head, _) = response.into_parts();
        return Ok(Answer { head, content: Content::Upgraded(Box::new(TokioIo::new(upgraded))) });
    }
    let (head, body) = response.into_parts();
    let body = LaneBody { bytes: BodyDataStream::new(body), lane: Some(lane), idle };
    Ok(Answer { head, content: Content::Body(Box::pin(body)) })
}

impl Stream for LaneBody {
    type Item = Result<Bytes, NetError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let next = ready!(Pin::new(&mut this.bytes).poll_next(cx));
        if next.is_none() {
            // The whole answer is here, so that the connection can take the next request.
            if let Some(lane) = this.lane.take() {
                *this.idle.lock().unwrap_or_else(PoisonError::into_inner) = Some(lane);
            }
        }
        Poll::Ready(next.map(|bytes| bytes.map_err(lost)))
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The request as it is written to a server: a path, and the host in a header.
fn origin_form(request: Request<Bytes>) -> Result<Request<Full<Bytes>>, NetError> {
    let unfit = |error: http::Error| NetError::new(NetErrorKind::Request, error);
    let (mut head, body) = request.into_parts();
    let host = head.uri.authority().map_or("memory.invalid", |authority| authority.as_str());
    let host = HeaderValue::try_from(host).map_err(|error| unfit(error.into()))?;
    head.headers.insert(header::HOST, host);
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    head.uri = Uri::try_from(path).map_err(|error| unfit(error.into()))?;
    Ok(Request::from_parts(head, Full::new(body)))
}

fn take(idle: &Mutex<Option<Lane>>) -> Option<Lane> {
    idle.lock().unwrap_or_else(PoisonError::into_inner).take()
}

fn lost(error: hyper::Error) -> NetError {
    NetError::new(NetErrorKind::Lost, error)
}

/// Returns the ends of a connection over which the client's bytes go at the rate of `uplink`.
fn slow_pipe(uplink: Uplink) -> (DuplexStream, DuplexStream) {
    let (client, near) = tokio::io::duplex(uplink.buffer);
    let (far, server) = tokio::io::duplex(BUFFER);
    let ((mut near_up, mut near_down), (mut far_down, mut far_up)) = (split(near), split(far));
    tokio::spawn(async move {
        let rate = uplink.bytes_per_second.max(1);
        // What goes in a tenth of a second.
        let mut piece = vec![0; usize::try_from(rate.div_ceil(10)).unwrap_or(BUFFER)];
        while let Ok(read @ 1..) = near_up.read(&mut piece).await {
            tokio::time::sleep(Duration::from_millis(read as u64 * 1000 / rate)).await;
            let Some(bytes) = piece.get(..read) else { break };
            if far_up.write_all(bytes).await.is_err() {
                break;
            }
        }
        _ = far_up.shutdown().await;
    });
    tokio::spawn(async move {
        _ = tokio::io::copy(&mut far_down, &mut near_down).await;
        _ = near_down.shutdown().await;
    });
    (client, server)
}

/// Bytes on the way in one direction, about what a loopback socket holds.
const BUFFER: usize = 256 * 1024;
