//! `Connector`: connections without sockets, for tests on paused time.

use std::{io, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use http::Uri;
use tokio::time::Instant;

use super::{
    client_end::ClientEnd, connection::Connection, controlled_stream::ByteStream, hub::Hub, service,
};
use crate::{
    error::{ConnectError, ConnectStep, Peer},
    net::{Dial, Form, HttpNetwork, Io, NetError, Network, Opened},
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
///
/// ```
/// use responses_client::{
///     Provider, ResponsesClient, ResponsesRequest,
///     testing::{ScriptedServer, Turn},
/// };
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = ScriptedServer::in_memory(Turn::text("Hello"));
/// let client = ResponsesClient::builder()
///     .provider(Provider::compatible("http://gateway.example/v1")?)
///     .connector(&server.connector())
///     .build()?;
/// let request = ResponsesRequest::new("gpt-6-astra").input("Say hello");
/// assert_eq!(client.respond(request).await?.output_text(), "Hello");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Connector {
    route: Arc<Route>,
    network: Arc<HttpNetwork<MemoryDial>>,
}

/// Opens connections to a server in memory.
#[derive(Clone, Debug)]
struct MemoryDial(Arc<Route>);

/// Way to a server.
#[derive(Debug)]
struct Route {
    hub: Arc<Hub>,
    /// `None` without an emulated network.
    emulation: Option<Emulation>,
    counters: Arc<Counters>,
}

impl Connector {
    pub(super) fn new(hub: Arc<Hub>) -> Self {
        Self::by(Route { hub, emulation: None, counters: Arc::default() })
    }

    fn by(route: Route) -> Self {
        let route = Arc::new(route);
        let network = HttpNetwork::new(MemoryDial(Arc::clone(&route)));
        Self { route, network: Arc::new(network) }
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
        let hub = Arc::clone(&self.route.hub);
        Ok(Self::by(Route { hub, emulation, counters }))
    }

    /// Returns the traffic of this connector's connections up to now.
    pub fn traffic(&self) -> Traffic {
        self.route.counters.traffic()
    }

    pub(crate) fn network(&self) -> Arc<dyn Network> {
        Arc::clone(&self.network) as Arc<dyn Network>
    }
}

impl Dial for MemoryDial {
    // A connection that ends while another is kept takes its place, so that tests can count them.
    fn max_kept(&self) -> usize {
        1
    }

    fn keep_for(&self) -> Duration {
        let slowdown = self.0.emulation.as_ref().map_or(1, Emulation::slowdown);
        Duration::from_secs(90).saturating_mul(slowdown)
    }

    fn open(
        &self,
        _: &Uri,
        _: bool,
        _: Option<Instant>,
    ) -> BoxFuture<'static, Result<Opened, NetError>> {
        let route = Arc::clone(&self.0);
        async move { Ok(Opened { io: connect(&route).await?, form: Form::Origin }) }.boxed()
    }

    fn peer(&self, uri: &Uri) -> Peer {
        Peer::new(uri, None)
    }
}

async fn connect(route: &Route) -> Result<Box<dyn Io>, NetError> {
    let (client, server): (Box<dyn Io>, Box<dyn Io>) = match &route.emulation {
        None => {
            let (client, server) = tokio::io::duplex(BUFFER);
            (Box::new(client), Box::new(server))
        }
        Some(emulation) => {
            let opened = emulation.connect().await;
            let (client, server) =
                opened.map_err(|error| NetError::connect(ConnectError::Unreachable, error))?;
            (Box::new(client), Box::new(server))
        }
    };
    let connection = Connection::open(&route.hub).ok_or_else(|| {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        NetError::connect(ConnectError::Refused, refused)
    })?;
    route.counters.add_connection();
    let (control, counters) = (Arc::clone(&connection.control), Arc::clone(&route.counters));
    let end = ClientEnd { stream: client, control, counters };
    let tls = route.emulation.as_ref().and_then(Emulation::tls);
    let acceptor = tls.map(Tls::acceptor);
    tokio::spawn(service::serve(connection, ByteStream::Other(server), acceptor));
    match tls {
        None => Ok(Box::new(end)),
        Some(tls) => match tls.connect(end).await {
            Ok(session) => Ok(Box::new(session)),
            Err(error) => Err(NetError::connect(ConnectError::Lost(ConnectStep::Tls), error)),
        },
    }
}

/// Number of bytes in flight in one direction, about the buffer of a loopback socket.
const BUFFER: usize = 256 * 1024;
