//! Connections over the sockets of the operating system: one way for both transports.
//!
//! name ─ TCP ─ (TLS with an https proxy ─) (tunnel ─) (TLS with the server ─) bytes

use std::{error::Error as StdError, io, sync::Arc, time::Duration};

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
    proxy::{Proxies, ProxyScheme, ProxyUrl},
    resolve::{ResolveError, Resolver},
    tls::Tls,
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
    tcp: HttpConnector<Resolver>,
    /// Maximum time to the end of the TLS handshake.
    limit: Option<Duration>,
}

/// Idle time after which the operating system probes a connection, and between probes.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Number of probes without an answer after which a connection is lost.
const KEEP_ALIVE_PROBES: u32 = 3;

impl Sockets {
    /// Returns the sockets for a server with an `https` or an `http` URL. `limit` is the maximum
    /// time to the end of the TLS handshake, proxies included.
    pub(crate) fn new(
        settings: &NetworkSettings,
        secure: bool,
        limit: Option<Duration>,
    ) -> Result<Self, NetError> {
        let variable = |name: &str| std::env::var_os(name);
        let proxies = Proxies::new(&settings.proxy, secure, variable)?;
        let tls = match secure || proxies.uses_tls() {
            true => Some(Tls::new(settings, variable)?),
            false => None,
        };
        let mut tcp = HttpConnector::new_with_resolver(Resolver::new());
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEP_ALIVE));
        tcp.set_keepalive_interval(Some(KEEP_ALIVE));
        tcp.set_keepalive_retries(Some(KEEP_ALIVE_PROBES));
        tcp.set_connect_timeout(limit);
        Ok(Self(Arc::new(Inner { proxies, tls, tcp, limit })))
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
        let limited = inner.limit.and_then(|limit| Instant::now().checked_add(limit));
        let deadline = limited.into_iter().chain(deadline).min();
        async move { inner.open(&uri, tunnel, deadline).await }.boxed()
    }

    fn peer(&self, uri: &Uri) -> Peer {
        self.0.proxies.peer(uri)
    }

    fn refusal(&self, error: &(dyn StdError + 'static)) -> Option<ConnectError> {
        self.0.tls.as_ref()?.refusal(error)
    }
}

impl Inner {
    async fn open(
        &self,
        uri: &Uri,
        tunnel: bool,
        deadline: Option<Instant>,
    ) -> Result<Opened, NetError> {
        let within = |step| Within { deadline, step };
        let host = uri.host().unwrap_or_default();
        let secure = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let Some(proxy) = self.proxies.of(uri) else {
            let at = |error: NetError| error.with_peer(self.proxies.peer(uri));
            let tcp = within(ConnectStep::Tcp).run(self.tcp(host, port)).await.map_err(at)?;
            let io = self.secured(secure, host, tcp, within(ConnectStep::Tls)).await;
            return Ok(Opened { io: io.map_err(at)?, form: Form::Origin });
        };
        let peer = || self.proxies.peer(uri);
        let at_proxy = |error: NetError| error.with_peer(peer().at_proxy());
        let io = self.to_proxy(&proxy, within).await.map_err(at_proxy)?;
        let authorization = proxy.login.as_ref().and_then(|login| login.basic());
        if proxy.scheme.is_http() && !secure && !tunnel {
            return Ok(Opened { io, form: Form::Absolute(authorization) });
        }
        let at = |error: NetError| error.with_peer(peer());
        let tunnelled = within(ConnectStep::Proxy);
        let io = match proxy.scheme {
            ProxyScheme::Http | ProxyScheme::Https => {
                let target = format!("{host}:{port}");
                tunnelled.run(tunnel::open(io, &target, authorization.as_ref())).await
            }
            scheme => tunnelled.run(self.socks(io, scheme, &proxy, host, port)).await,
        };
        let io = io.map_err(at)?;
        let io = self.secured(secure, host, io, within(ConnectStep::Tls)).await.map_err(at)?;
        Ok(Opened { io, form: Form::Origin })
    }

    /// Connects to a proxy.
    async fn to_proxy(
        &self,
        proxy: &ProxyUrl,
        within: impl Fn(ConnectStep) -> Within,
    ) -> Result<Box<dyn Io>, NetError> {
        let host = proxy.host.to_string();
        let tcp = within(ConnectStep::Tcp).run(self.tcp(&host, proxy.port)).await?;
        let secure = proxy.scheme == ProxyScheme::Https;
        self.secured(secure, &host, tcp, within(ConnectStep::ProxyTls)).await
    }

    async fn tcp(&self, host: &str, port: u16) -> Result<TcpStream, NetError> {
        let uri = Uri::try_from(format!("http://{host}:{port}")).map_err(NetError::setting)?;
        let stream = self.tcp.clone().call(uri).await;
        stream.map(TokioIo::into_inner).map_err(|error| {
            let reason = tcp_error(&error);
            NetError::connect(reason, error)
        })
    }

    async fn secured<S: Io + 'static>(
        &self,
        secure: bool,
        host: &str,
        io: S,
        within: Within,
    ) -> Result<Box<dyn Io>, NetError> {
        let step = within.step;
        match &self.tls {
            Some(tls) if secure => {
                let session = within.run(tls.connect(host, io, step)).await?;
                Ok(Box::new(session))
            }
            _ if secure => Err(NetError::setting("TLS was not set up for this address")),
            _ => Ok(Box::new(io)),
        }
    }

    #[cfg(feature = "socks")]
    async fn socks(
        &self,
        io: Box<dyn Io>,
        scheme: ProxyScheme,
        proxy: &ProxyUrl,
        host: &str,
        port: u16,
    ) -> Result<Box<dyn Io>, NetError> {
        let resolver = Resolver::new();
        super::socks::open(io, scheme, proxy.login.as_ref(), (host, port), resolver).await
    }

    #[cfg(not(feature = "socks"))]
    async fn socks(
        &self,
        _: Box<dyn Io>,
        _: ProxyScheme,
        _: &ProxyUrl,
        _: &str,
        _: u16,
    ) -> Result<Box<dyn Io>, NetError> {
        // Settings that name such a proxy are refused.
        Err(NetError::setting("SOCKS proxies need the feature `socks`"))
    }
}

/// Deadline of opening a connection, and the step that it is about to take.
struct Within {
    deadline: Option<Instant>,
    step: ConnectStep,
}

impl Within {
    async fn run<T>(self, work: impl Future<Output = Result<T, NetError>>) -> Result<T, NetError> {
        let Some(deadline) = self.deadline else { return work.await };
        timeout_at(deadline, work).await.unwrap_or_else(|elapsed| {
            Err(NetError::connect(ConnectError::TimedOut(self.step), elapsed))
        })
    }
}

/// Returns the reason why no TCP connection was made.
fn tcp_error(error: &(dyn StdError + 'static)) -> ConnectError {
    let causes = || std::iter::successors(Some(error), |&cause| cause.source());
    if causes().any(|cause| cause.is::<ResolveError>()) {
        return ConnectError::NameNotFound;
    }
    let kind = causes().filter_map(|cause| cause.downcast_ref::<io::Error>()).last();
    match kind.map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => ConnectError::Refused,
        Some(io::ErrorKind::TimedOut) => ConnectError::TimedOut(ConnectStep::Tcp),
        _ => ConnectError::Unreachable,
    }
}
