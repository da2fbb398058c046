//! `Connector`: connections without sockets, for tests on paused time.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
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
use tokio::task::AbortHandle;

use super::{
    client_end::ClientEnd, connection::Connection, controlled_stream::ByteStream, hub::Hub, service,
};
use crate::{
    error::Peer,
    net::{Answer, Content, Fresh, Io, NetError, NetErrorKind, Network},
    testing::network::{
        emulation::Emulation,
        link::Link,
        tls::Tls,
        traffic::{Counters, Traffic},
    },
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
    route: Arc<Route>,
    /// One connection that waits for its next request.
    idle: Arc<Mutex<Option<ClientConnection>>>,
}

/// Way to a server.
#[derive(Debug)]
struct Route {
    hub: Arc<Hub>,
    /// `None` without an emulated network.
    emulation: Option<Emulation>,
    counters: Arc<Counters>,
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
        Self::by(Route { hub, emulation: None, counters: Arc::default() })
    }

    fn by(route: Route) -> Self {
        let network = MemoryNetwork { route: Arc::new(route), idle: Arc::default() };
        Self { network: Arc::new(network) }
    }

    /// Returns a connector that reaches the same server over an emulated network, with
    /// connections, TLS sessions and counters of its own.
    ///
    /// Must be used on a tokio runtime with time. On paused time a turn takes exactly the time that
    /// the link makes it take:
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use responses_client::{
    ///     Provider, ResponsesClient, ResponsesRequest, TransportPolicy,
    ///     testing::{Link, ScriptedServer, Turn},
    /// };
    /// use tokio::time::Instant;
    ///
    /// // In a test: #[tokio::test(start_paused = true)], with tokio's feature `test-util`.
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = ScriptedServer::in_memory(Turn::text("Hello"));
    /// let connector = server.connector().over(Link::new().rtt(Duration::from_millis(80)))?;
    /// let client = ResponsesClient::builder().provider(Provider::compatible(&server.url())?)
    ///     .transport(TransportPolicy::SseOnly)
    ///     .connector(&connector)
    ///     .build()?;
    /// let start = Instant::now();
    /// client.session().respond(&ResponsesRequest::new("gpt-6-astra").input("Say hello")).await?;
    /// // A round trip to connect, and one for the request and its answer.
    /// assert_eq!(start.elapsed(), Duration::from_millis(160));
    /// assert_eq!(connector.traffic().connections, 1);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the link has TLS and no certificate can be created.
    pub fn over(&self, link: Link) -> io::Result<Self> {
        let counters = Arc::default();
        let emulation = Some(Emulation::new(link, Arc::clone(&counters))?);
        let hub = Arc::clone(&self.network.route.hub);
        Ok(Self::by(Route { hub, emulation, counters }))
    }

    /// Returns the traffic of this connector's connections up to now.
    pub fn traffic(&self) -> Traffic {
        self.network.route.counters.traffic()
    }

    pub(crate) fn network(&self) -> Arc<dyn Network> {
        Arc::clone(&self.network) as Arc<dyn Network>
    }
}

impl Network for MemoryNetwork {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'static, Result<Answer, NetError>> {
        send(Arc::clone(&self.route), Arc::clone(&self.idle), request).boxed()
    }

    fn peer(&self, uri: &Uri) -> Peer {
        Peer::new(uri, None)
    }
}

async fn send(
    route: Arc<Route>,
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
    let mut connection = connect(&route).await?;
    let response = connection.requests.send_request(request).await;
    answer(response.map_err(lost)?, connection, idle).await
}

async fn connect(route: &Route) -> Result<ClientConnection, NetError> {
    let unconnected = |error| NetError::new(NetErrorKind::Connect, error);
    let (client, server): (Box<dyn Io>, Box<dyn Io>) = match &route.emulation {
        None => {
            let (client, server) = tokio::io::duplex(BUFFER);
            (Box::new(client), Box::new(server))
        }
        Some(emulation) => {
            let (client, server) = emulation.connect().await.map_err(unconnected)?;
            (Box::new(client), Box::new(server))
        }
    };
    let refused = || unconnected(io::ErrorKind::ConnectionRefused.into());
    let connection = Connection::open(&route.hub).ok_or_else(refused)?;
    route.counters.add_connection();
    let (control, counters) = (Arc::clone(&connection.control), Arc::clone(&route.counters));
    let end = ClientEnd { stream: client, control, counters };
    let tls = route.emulation.as_ref().and_then(Emulation::tls);
    let acceptor = tls.map(Tls::acceptor);
    tokio::spawn(service::serve(connection, ByteStream::Other(server), acceptor));
    let stream: Box<dyn Io> = match tls {
        None => Box::new(end),
        Some(tls) => {
            let no_tls = |error| NetError::new(NetErrorKind::Tls, error);
            Box::new(tls.connect(end).await.map_err(no_tls)?)
        }
    };
    let (requests, driver) = http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
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

/// Number of bytes in flight in one direction, about the buffer of a loopback socket.
const BUFFER: usize = 256 * 1024;
