//! Connections over the sockets of the operating system: one way for both transports.
//!
//! name ─ TCP ─ (TLS with an https proxy ─) (tunnel ─) (TLS with the server ─) bytes

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use http::Uri;
use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioIo};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tower_service::Service;

use super::{
    Dial, Io, NetError,
    dial::{Form, Opened},
    probe::{NetProbe, Recorder},
    proxy::{Proxies, ProxyScheme, ProxyUrl},
    resolve::{Lookup, Resolved, lookup, tcp_error},
    tls::{self, Tls},
    tunnel,
};
use crate::{
    config::NetworkSettings,
    error::{ConnectError, ConnectStep, Peer},
};

/// Opens connections over sockets.
#[derive(Clone)]
pub(crate) struct Sockets(Arc<Inner>);

struct Inner {
    proxies: Proxies,
    /// `None` if neither the server nor the proxy uses TLS: then no certificate is needed, and none
    /// is read.
    tls: Option<Tls>,
    lookup: Box<Lookup>,
    /// Maximum time to the end of the TLS handshake.
    limit: Option<Duration>,
}

/// Idle time after which the operating system probes a connection, and between probes.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Number of probes without an answer after which a connection is lost.
const KEEP_ALIVE_PROBES: u32 = 3;

impl Sockets {
    /// Returns the sockets for the server of `uri`. `limit` is the maximum time to the end of the TLS
    /// handshake, proxies included.
    pub(crate) fn new(
        settings: &NetworkSettings,
        uri: &Uri,
        limit: Option<Duration>,
    ) -> Result<Self, NetError> {
        Self::with_lookup(settings, uri, limit, Box::new(lookup))
    }

    /// Like [`new`](Self::new), with name resolution by `lookup`.
    pub(crate) fn with_lookup(
        settings: &NetworkSettings,
        uri: &Uri,
        limit: Option<Duration>,
        lookup: Box<Lookup>,
    ) -> Result<Self, NetError> {
        let variable = |name: &str| std::env::var_os(name);
        let proxies = Proxies::new(&settings.proxy, uri, variable)?;
        let tls = match uri.scheme_str() == Some("https") || proxies.uses_tls() {
            true => Some(Tls::new(settings, variable)?),
            false => None,
        };
        Ok(Self(Arc::new(Inner { proxies, tls, lookup, limit })))
    }
}

impl Dial for Sockets {
    fn open(
        &self,
        uri: &Uri,
        tunnel: bool,
        deadline: Option<Instant>,
    ) -> BoxFuture<'static, Result<Opened, NetError>> {
        let (inner, uri) = (Arc::clone(&self.0), uri.clone());
        let deadline = inner.deadline().into_iter().chain(deadline).min();
        async move { inner.open(&uri, tunnel, deadline, &mut Recorder::default()).await }.boxed()
    }

    fn probe(&self, uri: &Uri, tunnel: bool) -> BoxFuture<'static, NetProbe> {
        let (inner, uri) = (Arc::clone(&self.0), uri.clone());
        async move {
            let mut recorder = Recorder::on();
            let error = inner.open(&uri, tunnel, inner.deadline(), &mut recorder).await.err();
            NetProbe { route: inner.proxies.route(&uri), steps: recorder.into_steps(), error }
        }
        .boxed()
    }

    fn peer(&self, uri: &Uri) -> Peer {
        self.0.proxies.peer(uri)
    }
}

impl Inner {
    /// Returns the time by which a connection that is opened now must be open.
    fn deadline(&self) -> Option<Instant> {
        self.limit.and_then(|limit| Instant::now().checked_add(limit))
    }

    async fn open(
        &self,
        uri: &Uri,
        tunnel: bool,
        deadline: Option<Instant>,
        recorder: &mut Recorder,
    ) -> Result<Opened, NetError> {
        let mut opening = Opening { inner: self, deadline, recorder };
        let host = uri.host().unwrap_or_default();
        let secure = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let peer = || self.proxies.peer(uri);
        let Some(proxy) = self.proxies.of(uri) else {
            let at = |error: NetError| error.with_peer(peer());
            let tcp = opening.tcp(host, port).await.map_err(at)?;
            let io = opening.secured(secure, host, tcp, ConnectStep::Tls).await.map_err(at)?;
            return Ok(Opened { io, form: Form::Origin });
        };
        let at_proxy = |error: NetError| error.with_peer(peer().at_proxy());
        let address = proxy.host.to_string();
        let tcp = opening.tcp(&address, proxy.port).await.map_err(at_proxy)?;
        let is_https = proxy.scheme == ProxyScheme::Https;
        let io = opening.secured(is_https, &address, tcp, ConnectStep::ProxyTls).await;
        let io = io.map_err(at_proxy)?;
        let authorization = proxy.login.as_ref().and_then(|login| login.basic());
        if proxy.scheme.is_http() && !secure && !tunnel {
            return Ok(Opened { io, form: Form::Absolute(authorization) });
        }
        let at = |error: NetError| error.with_peer(peer());
        let target = format!("{host}:{port}");
        let io = match proxy.scheme {
            ProxyScheme::Http | ProxyScheme::Https => {
                let tunnel = tunnel::open(io, &target, authorization.as_ref());
                opening.step(ConnectStep::Proxy, tunnel).await
            }
            scheme => {
                let found = match scheme.resolves_here() {
                    true => opening.resolve(host).await.map_err(at)?,
                    false => Vec::new(),
                };
                let tunnel = socks(io, scheme, &proxy, (host, port), found);
                opening.step(ConnectStep::Proxy, tunnel).await
            }
        };
        let io = io.map_err(at)?;
        let io = opening.secured(secure, host, io, ConnectStep::Tls).await.map_err(at)?;
        Ok(Opened { io, form: Form::Origin })
    }

    /// Returns a connector to a host with these addresses.
    fn connector(&self, addresses: Vec<SocketAddr>) -> HttpConnector<Resolved> {
        let mut tcp = HttpConnector::new_with_resolver(Resolved(addresses));
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEP_ALIVE));
        tcp.set_keepalive_interval(Some(KEEP_ALIVE));
        tcp.set_keepalive_retries(Some(KEEP_ALIVE_PROBES));
        tcp.set_connect_timeout(self.limit);
        tcp
    }
}

/// Asks a SOCKS proxy for a tunnel to `target`, whose addresses are `found` if this machine resolves
/// names.
#[cfg(feature = "socks")]
async fn socks(
    io: Box<dyn Io>,
    scheme: ProxyScheme,
    proxy: &ProxyUrl,
    target: (&str, u16),
    found: Vec<SocketAddr>,
) -> Result<Box<dyn Io>, NetError> {
    super::socks::open(io, scheme, proxy.login.as_ref(), target, found).await
}

#[cfg(not(feature = "socks"))]
async fn socks(
    _: Box<dyn Io>,
    _: ProxyScheme,
    _: &ProxyUrl,
    _: (&str, u16),
    _: Vec<SocketAddr>,
) -> Result<Box<dyn Io>, NetError> {
    // Settings that name such a proxy are refused.
    Err(NetError::setting("SOCKS proxies need the feature `socks`"))
}

/// A connection that is being opened.
struct Opening<'a> {
    inner: &'a Inner,
    deadline: Option<Instant>,
    recorder: &'a mut Recorder,
}

impl Opening<'_> {
    /// Takes one step within the deadline.
    async fn step<T>(
        &mut self,
        step: ConnectStep,
        work: impl Future<Output = Result<T, NetError>>,
    ) -> Result<T, NetError> {
        let start = Instant::now();
        let done = match self.deadline {
            Some(deadline) => timeout_at(deadline, work).await.unwrap_or_else(|elapsed| {
                Err(NetError::connect(ConnectError::TimedOut(step), elapsed))
            }),
            None => work.await,
        };
        if done.is_ok() {
            self.recorder.add(step, start.elapsed());
        }
        done
    }

    async fn tcp(&mut self, host: &str, port: u16) -> Result<TcpStream, NetError> {
        let mut connector = self.inner.connector(self.resolve(host).await?);
        let uri = Uri::try_from(format!("http://{host}:{port}")).map_err(NetError::setting)?;
        let connecting = async {
            let stream = connector.call(uri).await;
            stream.map(TokioIo::into_inner).map_err(|error| {
                let reason = tcp_error(&error);
                NetError::connect(reason, error)
            })
        };
        self.step(ConnectStep::Tcp, connecting).await
    }

    /// Returns the addresses of a name; none if the host is an address.
    async fn resolve(&mut self, host: &str) -> Result<Vec<SocketAddr>, NetError> {
        if host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok() {
            return Ok(Vec::new());
        }
        let lookup = (self.inner.lookup)(host.to_owned());
        let resolving = async {
            let found = lookup.await;
            found.map_err(|error| NetError::connect(ConnectError::NameNotFound, error))
        };
        let found = self.step(ConnectStep::Dns, resolving).await?;
        if self.recorder.is_on() {
            let shown: Vec<_> = found.iter().map(|address| address.ip().to_string()).collect();
            self.recorder.describe(shown.join(", "));
        }
        Ok(found)
    }

    async fn secured<S: Io + 'static>(
        &mut self,
        secure: bool,
        host: &str,
        io: S,
        step: ConnectStep,
    ) -> Result<Box<dyn Io>, NetError> {
        match &self.inner.tls {
            Some(tls) if secure => {
                let session = self.step(step, tls.connect(host, io, step)).await?;
                if self.recorder.is_on() {
                    self.recorder.describe(tls::describe(&session));
                }
                Ok(Box::new(session))
            }
            _ if secure => Err(NetError::setting("TLS was not set up for this address")),
            _ => Ok(Box::new(io)),
        }
    }
}
