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
    client_end::ClientEnd, connection::Connection, controlled_stream::ByteStream, hub::Hub, service,
};
use crate::{
    error::Peer,
    net::{Answer, Content, Fresh, NetError, NetErrorKind, Network},
    testing::script::builder::Uplink,
};

/// Connects clients to a [`ScriptedServer`](crate::testing::ScriptedServer) without sockets.
///
/// A client that uses it in place of the network sends every request to its server, independent of
/// the host in the URL. It works on paused time, where sockets do not.
#[derive(Clone, Debug)]
pub struct Connector {
    network: Arc<MemoryNetwork>,
}

#[derive(Debug)]
struct MemoryNetwork {
    hub: Arc<Hub>,
    /// One connection that waits for its next request.
    idle: Arc<Mutex<Option<ClientConnection>>>,
}

/// The client's side of a connection; dropping it ends the connection.
#[derive(Debug)]
struct ClientConnection {
    requests: SendRequest<Full<Bytes>>,
    _driver: AbortOnDrop,
}

/// Aborts a task when it is dropped.
#[derive(Debug)]
struct AbortOnDrop(AbortHandle);

/// Body of an answer, and the connection on which it arrives.
struct ClientBody {
    bytes: BodyDataStream<Incoming>,
    connection: Option<ClientConnection>,
    idle: Arc<Mutex<Option<ClientConnection>>>,
}

impl Connector {
    pub(super) fn new(hub: Arc<Hub>) -> Self {
        Self { network: Arc::new(MemoryNetwork { hub, idle: Arc::default() }) }
    }

    pub(crate) fn network(&self) -> Arc<dyn Network> {
        Arc::clone(&self.network) as Arc<dyn Network>
    }
}

impl Network for MemoryNetwork {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'static, Result<Answer, NetError>> {
        send(Arc::clone(&self.hub), Arc::clone(&self.idle), request).boxed()
    }

    fn peer(&self, uri: &Uri) -> Peer {
        Peer::new(uri, None)
    }
}

async fn send(
    hub: Arc<Hub>,
    idle: Arc<Mutex<Option<ClientConnection>>>,
    request: Request<Bytes>,
) -> Result<Answer, NetError> {
    let mut request = origin_form(request)?;
    let fresh = request.extensions().get::<Fresh>().is_some();
    if !fresh
        && let Some(mut connection) = take(&idle)
        && connection.requests.ready().await.is_ok()
    {
        match connection.requests.try_send_request(request).await {
            Ok(response) => return answer(response, connection, idle).await,
            // The server closed the connection before the request was sent.
            Err(mut error) => match error.take_message() {
                Some(unsent) => request = unsent,
                None => return Err(NetError::new(NetErrorKind::Stale, error.into_error())),
            },
        }
    }
    let mut connection = connect(&hub).await?;
    let response = connection.requests.send_request(request).await;
    answer(response.map_err(lost)?, connection, idle).await
}

async fn connect(hub: &Arc<Hub>) -> Result<ClientConnection, NetError> {
    let refused =
        || NetError::new(NetErrorKind::Connect, io::Error::from(io::ErrorKind::ConnectionRefused));
    let connection = Connection::open(hub).ok_or_else(refused)?;
    let (stream, server) = match hub.uplink() {
        None => tokio::io::duplex(BUFFER),
        Some(uplink) => slow_pipe(uplink),
    };
    let end = ClientEnd { stream, control: Arc::clone(&connection.control) };
    tokio::spawn(service::serve(connection, ByteStream::Other(Box::new(server)), None));
    let (requests, driver) = http1::handshake(TokioIo::new(end)).await.map_err(lost)?;
    let driver = tokio::spawn(async { driver.with_upgrades().await });
    Ok(ClientConnection { requests, _driver: AbortOnDrop(driver.abort_handle()) })
}

async fn answer(
    mut response: Response<Incoming>,
    connection: ClientConnection,
    idle: Arc<Mutex<Option<ClientConnection>>>,
) -> Result<Answer, NetError> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let upgraded = hyper::upgrade::on(&mut response).await.map_err(lost)?;
        let (head, _) = response.into_parts();
        return Ok(Answer { head, content: Content::Upgraded(Box::new(TokioIo::new(upgraded))) });
    }
    let (head, body) = response.into_parts();
    let body = ClientBody { bytes: BodyDataStream::new(body), connection: Some(connection), idle };
    Ok(Answer { head, content: Content::Body(Box::pin(body)) })
}

impl Stream for ClientBody {
    type Item = Result<Bytes, NetError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let next = ready!(Pin::new(&mut this.bytes).poll_next(cx));
        if next.is_none() {
            // The whole answer has arrived, so that the connection can take the next request.
            if let Some(connection) = this.connection.take() {
                *this.idle.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
            }
        }
        Poll::Ready(next.map(|bytes| bytes.map_err(lost)))
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Returns the request as it is written to a server: a path, and the host in a header.
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

fn take(idle: &Mutex<Option<ClientConnection>>) -> Option<ClientConnection> {
    idle.lock().unwrap_or_else(PoisonError::into_inner).take()
}

fn lost(error: hyper::Error) -> NetError {
    NetError::new(NetErrorKind::Lost, error)
}

/// Returns both ends of a connection that limits the client's bytes to the rate of `uplink`.
fn slow_pipe(uplink: Uplink) -> (DuplexStream, DuplexStream) {
    let (client, near) = tokio::io::duplex(uplink.buffer);
    let (far, server) = tokio::io::duplex(BUFFER);
    let ((mut near_up, mut near_down), (mut far_down, mut far_up)) = (split(near), split(far));
    tokio::spawn(async move {
        let rate = uplink.bytes_per_second.max(1);
        // As many bytes as pass in a tenth of a second.
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

/// Number of bytes in flight in one direction, about the buffer of a loopback socket.
const BUFFER: usize = 256 * 1024;
