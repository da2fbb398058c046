//! [`Network`] over reqwest.

use std::{
    error::Error as StdError,
    fmt, io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, future::BoxFuture};
use http_body::Body as _;
use tokio::runtime::{self, Handle};
use tower_layer::Layer;
use tower_service::Service;

use super::{
    Answer, Content, Fresh, NetError, NetErrorKind, Network,
    proxy::{Proxies, Routes},
};
use crate::{config::NetworkSettings, error::Peer};

/// Network over the sockets of the operating system, pooled by reqwest.
///
/// A pooled connection is served by the runtime that opened it, and stalls while that runtime is
/// idle. So each runtime has a pool of its own.
pub(crate) struct HttpNetwork {
    settings: NetworkSettings,
    proxies: Proxies,
    routes: Routes,
    connect: Option<Duration>,
    pools: Mutex<Vec<Pool>>,
}

struct Pool {
    /// `None` until the pool is used.
    runtime: Option<runtime::Id>,
    clients: Clients,
}

#[derive(Clone)]
struct Clients {
    /// Client that keeps connections for later requests.
    keeping: reqwest::Client,
    /// Client that opens a connection for each request.
    fresh: reqwest::Client,
    /// Number of connections that `keeping` has begun to open.
    opened: Opened,
}

/// Maximum number of pools. More runtimes at a time are rare; the oldest pool is dropped.
const POOLS: usize = 8;

impl HttpNetwork {
    /// Returns the network. `connect` limits the time to the end of the TLS handshake, proxies
    /// included.
    pub(crate) fn new(
        settings: NetworkSettings,
        connect: Option<Duration>,
    ) -> Result<Self, NetError> {
        let proxies = Proxies::new(&settings.proxy, |name| std::env::var_os(name))?;
        let first = Pool { runtime: None, clients: Clients::new(&settings, &proxies, connect)? };
        let routes = Routes::new(&proxies);
        Ok(Self { settings, proxies, routes, connect, pools: Mutex::new(vec![first]) })
    }

    /// Returns the clients of the current runtime.
    fn clients(&self) -> Result<Clients, NetError> {
        let here = Handle::try_current().ok().map(|here| here.id());
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        let unused = |pool: &&mut Pool| pool.runtime.is_none() || pool.runtime == here;
        if let Some(pool) = pools.iter_mut().find(unused) {
            pool.runtime = here;
            return Ok(pool.clients.clone());
        }
        let clients = Clients::new(&self.settings, &self.proxies, self.connect)?;
        if pools.len() == POOLS {
            pools.remove(0);
        }
        pools.push(Pool { runtime: here, clients: clients.clone() });
        Ok(clients)
    }
}

impl Clients {
    fn new(
        settings: &NetworkSettings,
        proxies: &Proxies,
        connect: Option<Duration>,
    ) -> Result<Self, NetError> {
        let opened = Opened::default();
        let keeping = client(settings, proxies, connect, |it| it.connector_layer(opened.clone()))?;
        let fresh = client(settings, proxies, connect, |it| it.pool_max_idle_per_host(0))?;
        Ok(Self { keeping, fresh, opened })
    }
}

/// Counts the connections that a client starts to open, because reqwest does not report whether a
/// failed request used one of them.
#[derive(Clone, Debug, Default)]
struct Opened(Arc<AtomicU64>);

impl Opened {
    fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl<S> Layer<S> for Opened {
    type Service = Counting<S>;

    fn layer(&self, inner: S) -> Counting<S> {
        Counting { inner, opened: self.clone() }
    }
}

#[derive(Clone)]
struct Counting<S> {
    inner: S,
    opened: Opened,
}

impl<R, S: Service<R>> Service<R> for Counting<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, target: R) -> S::Future {
        self.opened.0.fetch_add(1, Ordering::Relaxed);
        self.inner.call(target)
    }
}

fn client(
    settings: &NetworkSettings,
    proxies: &Proxies,
    connect: Option<Duration>,
    kind: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
) -> Result<reqwest::Client, NetError> {
    let request = |error: reqwest::Error| NetError::new(NetErrorKind::Request, error.without_url());
    let mut builder = reqwest::Client::builder()
        // A server that also offers h2 would select it, and the upgrade would be lost.
        .http1_only()
        // Another crate can enable reqwest's other backends; the roots and the resolver must not
        // change with it.
        .tls_backend_rustls()
        .no_hickory_dns()
        // Retries, redirects and decompression are decided above, or are unwanted: a redirect would
        // carry the key to another host, and a decoder delays events.
        .retry(reqwest::retry::never())
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .no_gzip()
        .no_brotli()
        .no_zstd()
        .no_deflate()
        .tcp_nodelay(true);
    if let Some(connect) = connect {
        builder = builder.connect_timeout(connect);
    }
    for pem in &settings.roots {
        let roots = reqwest::Certificate::from_pem_bundle(pem).map_err(request)?;
        builder = builder.tls_certs_merge(roots);
    }
    if let Some(certificate) = &settings.client_certificate {
        // The text of reqwest's error names neither the setting nor the fault.
        let identity = reqwest::Identity::from_pem(certificate.pem()).map_err(|_| {
            let why = "the client certificate is not a PEM text with a certificate and its key";
            NetError::new(NetErrorKind::Request, why)
        })?;
        builder = builder.identity(identity);
    }
    let builder = proxies.apply(builder).map_err(request)?;
    kind(builder).build().map_err(request)
}

impl Network for HttpNetwork {
    fn send(&self, request: http::Request<Bytes>) -> BoxFuture<'static, Result<Answer, NetError>> {
        let clients = self.clients();
        let fresh = request.extensions().get::<Fresh>().is_some();
        let secure = request.uri().scheme_str() == Some("https");
        let (routes, uri) = (self.routes.clone(), request.uri().clone());
        Box::pin(async move {
            let Clients { keeping, fresh: single, opened } = clients?;
            let client = if fresh { single } else { keeping };
            let before = opened.count();
            let request = reqwest::Request::try_from(request).map_err(|e| classify(e, secure))?;
            let response = client.execute(request).await.map_err(|error| {
                let mut error = with_peer(classify(error, secure), &routes, &uri);
                // If no connection was opened meanwhile, the request used a kept one. If others
                // were opened for other requests, the answer is unknown.
                if error.kind == NetErrorKind::Lost && !fresh && opened.count() == before {
                    error.kind = NetErrorKind::Stale;
                }
                error
            })?;
            let status = response.status();
            if status == http::StatusCode::SWITCHING_PROTOCOLS {
                let mut head = http::Response::new(());
                *head.status_mut() = status;
                *head.headers_mut() = response.headers().clone();
                let io = response.upgrade().await.map_err(|e| classify(e, secure))?;
                let head = head.into_parts().0;
                return Ok(Answer { head, content: Content::Upgraded(Box::new(io)) });
            }
            let (head, body) = http::Response::<reqwest::Body>::from(response).into_parts();
            Ok(Answer { head, content: Content::Body(Box::pin(BodyStream { body, secure })) })
        })
    }

    fn peer(&self, uri: &http::Uri) -> Peer {
        self.routes.peer(uri)
    }
}

/// Adds the server or the proxy that could not be reached, if `error` is about a connection.
fn with_peer(error: NetError, routes: &Routes, uri: &http::Uri) -> NetError {
    use NetErrorKind::{
        Connect, ConnectTimeout, Dns, Lost, Proxy, ProxyAuthentication, Request, Stale, Tls, Unsent,
    };
    let at_proxy = match error.kind {
        Dns | Connect | ConnectTimeout | Tls => routes.forwards(uri) || is_below_tunnel(&error),
        Proxy | ProxyAuthentication => false,
        Request | Unsent | Stale | Lost => return error,
    };
    let peer = routes.peer(uri);
    error.with_peer(if at_proxy { peer.at_proxy() } else { peer })
}

/// Returns `true` if the connection to the proxy of a tunnel could not be opened. Only the text of
/// the error shows that.
fn is_below_tunnel(error: &NetError) -> bool {
    let texts = ["tunnel error: failed to create", "SOCKS error: failed to create"];
    causes(error).any(|cause| texts.iter().any(|known| cause.to_string().starts_with(known)))
}

impl fmt::Debug for HttpNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // reqwest prints its default headers and proxies.
        f.debug_struct("HttpNetwork").finish_non_exhaustive()
    }
}

/// The data of a body; trailers are skipped.
struct BodyStream {
    body: reqwest::Body,
    secure: bool,
}

impl Stream for BodyStream {
    type Item = Result<Bytes, NetError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let secure = self.secure;
        loop {
            let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
            return Poll::Ready(match frame {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => Some(Ok(data)),
                    Err(_trailers) => continue,
                },
                Some(Err(error)) => Some(Err(classify(error, secure))),
                None => None,
            });
        }
    }
}

/// Returns the error with the step in which `error` occurred. reqwest and hyper-util distinguish
/// the steps only by the errors that they wrap, and a tunnel's only by its text;
/// `tests/conformance/network.rs` checks that.
fn classify(error: reqwest::Error, secure: bool) -> NetError {
    let error = error.without_url();
    let kind = if error.is_builder() {
        NetErrorKind::Request
    } else if error.is_dns() {
        NetErrorKind::Dns
    } else if error.is_connect() {
        connect_kind(&error, secure)
    } else if secure && is_certificate_alert(&error) {
        NetErrorKind::Tls
    } else if is_unsent(&error) {
        NetErrorKind::Unsent
    } else {
        NetErrorKind::Lost
    };
    NetError::new(kind, error)
}

/// Returns `true` if the server refused the client's certificate, or requires one. With TLS 1.3,
/// the server does so after the handshake is complete for the client, and reads no request.
fn is_certificate_alert(error: &reqwest::Error) -> bool {
    let alerts = ["Certificate", "UnknownCA", "AccessDenied"];
    causes(error).any(|cause| {
        let text = cause.to_string();
        let alert = text.strip_prefix("received fatal alert: ");
        alert.is_some_and(|alert| alerts.iter().any(|known| alert.contains(known)))
    })
}

/// Returns `true` if hyper dropped the request before it wrote any of it. Only the text of the
/// error shows that.
fn is_unsent(error: &reqwest::Error) -> bool {
    causes(error).any(|cause| cause.to_string().starts_with("operation was canceled"))
}

/// Returns the causes of `error`, from the outermost to the innermost.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a dyn StdError> {
    std::iter::successors(error.source(), |&cause| cause.source()).map(|cause| cause as _)
}

fn connect_kind(error: &reqwest::Error, secure: bool) -> NetErrorKind {
    if error.is_timeout() {
        return NetErrorKind::ConnectTimeout;
    }
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if text.starts_with("tunnel error: proxy authorization required") {
            return NetErrorKind::ProxyAuthentication;
        }
        if text.starts_with("tunnel error") && !text.contains("failed to create") {
            return NetErrorKind::Proxy;
        }
        if let Some(cause) = cause.downcast_ref::<io::Error>() {
            return match innermost(cause).kind() {
                // rustls errors are wrapped as invalid data; the others are disconnects during the
                // handshake.
                io::ErrorKind::InvalidData
                | io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                    if secure =>
                {
                    NetErrorKind::Tls
                }
                _ => NetErrorKind::Connect,
            };
        }
        source = cause.source();
    }
    NetErrorKind::Connect
}

/// Returns the innermost IO error: connectors wrap one in another, of the kind "other".
fn innermost(mut error: &io::Error) -> &io::Error {
    while let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref()) {
        error = inner;
    }
    error
}
