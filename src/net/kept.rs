//! HTTP/1.1 over connections that a [`Dial`] opens, and that are kept for later requests.

use std::{
    fmt,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, Stream, future::BoxFuture};
use http::{Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyDataStream, Full};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::{
    runtime::{self, Handle},
    task::{self, AbortHandle},
    time::{Instant, timeout},
};

use super::{
    Answer, Content, CountedBy, Departed, Dial, Fresh, HttpRetirement, NetError, NetErrorKind,
    Network, OpenBy,
    counts::{OpenHttp, Reuse},
    dial::{Form, Opened},
    probe::NetProbe,
    received::{Noting, Received},
    tls_session,
};
use crate::error::{ConnectError, Peer};

/// Network that sends HTTP/1.1 requests over connections of `D`.
pub(crate) struct HttpNetwork<D> {
    dial: D,
    kept: Arc<Kept>,
}

/// Connections that wait for their next request, the latest last.
#[derive(Debug, Default)]
struct Kept(Mutex<Vec<KeptConnection>>);

struct KeptConnection {
    connection: ClientConnection,
    since: Instant,
}

/// The client's side of a connection; dropping it ends the connection.
struct ClientConnection {
    requests: SendRequest<Full<Bytes>>,
    form: Form,
    received: Received,
    /// Runtime that serves the connection. The connection stalls while that runtime is idle.
    runtime: Option<runtime::Id>,
    driver: AbortOnDrop,
    /// `None` until an upgrade is refused: a WebSocket is no HTTP connection.
    count: Option<OpenHttp>,
}

/// Aborts a task when it is dropped.
struct AbortOnDrop(AbortHandle);

/// Body of an answer, and the connection on which it arrives.
struct ClientBody {
    bytes: BodyDataStream<Incoming>,
    /// `None` once the body has ended.
    connection: Option<ClientConnection>,
    kept: Arc<Kept>,
    /// Maximum number of kept connections.
    most: usize,
}

/// Longest wait for a kept connection to take a request. Its task only has to be polled once.
const READY_WITHIN: Duration = Duration::from_millis(50);
/// Time after sending within which the loss of a kept connection means that it had been closed
/// before.
const STALE_WITHIN: Duration = Duration::from_secs(3);

impl<D: Dial> HttpNetwork<D> {
    pub(crate) fn new(dial: D) -> Self {
        Self { dial, kept: Arc::default() }
    }
}

impl<D: Dial> Network for HttpNetwork<D> {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'static, Result<Answer, NetError>> {
        send(self.dial.clone(), Arc::clone(&self.kept), request).boxed()
    }

    fn probe(&self, uri: &Uri, tunnel: bool) -> BoxFuture<'static, NetProbe> {
        self.dial.probe(uri, tunnel)
    }

    fn peer(&self, uri: &Uri) -> Peer {
        self.dial.peer(uri)
    }
}

impl<D> fmt::Debug for HttpNetwork<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpNetwork").finish_non_exhaustive()
    }
}

async fn send<D: Dial>(
    dial: D,
    kept: Arc<Kept>,
    request: Request<Bytes>,
) -> Result<Answer, NetError> {
    let upgrade = request.headers().contains_key(header::UPGRADE);
    let fresh = upgrade || request.extensions().get::<Fresh>().is_some();
    let deadline = request.extensions().get::<OpenBy>().map(|by| by.0);
    let departed = request.extensions().get::<Departed>().cloned().unwrap_or_default();
    let counted_by = request.extensions().get::<CountedBy>().cloned();
    let uri = request.uri().clone();
    let mut request = request.map(Full::new);
    while !fresh && let Some(mut connection) = kept.take(dial.keep_for()) {
        // A server may answer before it has read the whole request. The rest of that request must
        // not delay this one.
        match timeout(READY_WITHIN, connection.requests.ready()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => {
                connection.set_retirement(HttpRetirement::IdleClosed);
                continue;
            }
            Err(_) => {
                connection.set_retirement(HttpRetirement::Renewed);
                continue;
            }
        }
        connection.form.apply(&mut request, &uri)?;
        let sent = Instant::now();
        connection.received.reset();
        let reuse = Reuse::new(counted_by.clone());
        departed.set(true);
        match connection.requests.try_send_request(request).await {
            Ok(response) => {
                drop(reuse);
                return answer(response, connection, kept, &dial, &uri).await;
            }
            // The server closed the connection before the request was sent.
            Err(mut error) => match error.take_message() {
                Some(unsent) => {
                    reuse.discard();
                    departed.set(false);
                    connection.set_retirement(HttpRetirement::IdleClosed);
                    request = unsent;
                }
                None => {
                    let answered = connection.received.any();
                    let error = lost_while_kept(error.into_error(), sent, answered);
                    connection.set_retirement(match error.kind {
                        NetErrorKind::Stale => HttpRetirement::IdleClosed,
                        _ => HttpRetirement::Error,
                    });
                    return Err(error);
                }
            },
        }
    }
    let opened = dial.open(&uri, upgrade, deadline).await?;
    let lost = |error| lost(error).at(&dial, &uri);
    let mut connection = handshake(opened, &kept, dial.keep_for()).await.map_err(lost)?;
    if !upgrade {
        connection.count = Some(OpenHttp::new(counted_by.clone()));
    }
    connection.form.apply(&mut request, &uri)?;
    departed.set(true);
    let response = match connection.requests.send_request(request).await {
        Ok(response) => response,
        Err(error) => {
            connection.set_retirement(HttpRetirement::Error);
            return Err(lost(error));
        }
    };
    if upgrade && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        connection.count = Some(OpenHttp::new(counted_by));
    }
    answer(response, connection, kept, &dial, &uri).await
}

async fn handshake(
    Opened { io, form }: Opened,
    kept: &Arc<Kept>,
    keep_for: Duration,
) -> hyper::Result<ClientConnection> {
    let received = Received::default();
    let io = TokioIo::new(Noting::new(io, received.clone()));
    let (requests, connection) = http1::handshake(io).await?;
    let driver = drive(connection.with_upgrades(), Arc::downgrade(kept), keep_for);
    let driver = AbortOnDrop(tokio::spawn(driver).abort_handle());
    let runtime = Handle::try_current().ok().map(|here| here.id());
    Ok(ClientConnection { requests, form, received, runtime, driver, count: None })
}

/// Serves a connection until it is closed, or has been kept for `keep_for`. Then it is kept no
/// longer.
async fn drive(
    connection: impl Future<Output = hyper::Result<()>>,
    kept: Weak<Kept>,
    keep_for: Duration,
) {
    let id = task::id();
    let mut left = Some(keep_for);
    {
        let mut connection = pin!(connection);
        while let Some(time) = left
            && timeout(time, &mut connection).await.is_err()
        {
            left = kept.upgrade().and_then(|kept| kept.time_left(id, keep_for));
        }
        // Here the connection is dropped: one that is kept from now on is known to be closed.
    }
    if let Some(kept) = kept.upgrade() {
        kept.remove(
            id,
            match left {
                Some(_) => HttpRetirement::IdleClosed,
                None => HttpRetirement::MaxIdle,
            },
        );
    }
}

async fn answer<D: Dial>(
    mut response: Response<Incoming>,
    mut connection: ClientConnection,
    kept: Arc<Kept>,
    dial: &D,
    uri: &Uri,
) -> Result<Answer, NetError> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        // Without a request for an upgrade, this is an error.
        connection.set_retirement(HttpRetirement::Error);
        let upgraded = hyper::upgrade::on(&mut response).await.map_err(lost)?;
        let (head, _) = response.into_parts();
        return Ok(Answer { head, content: Content::Upgraded(Box::new(TokioIo::new(upgraded))) });
    }
    if let Some(error) = connection.form.refusal(&response) {
        connection.set_retirement(HttpRetirement::Error);
        return Err(error.at(dial, uri));
    }
    let (head, body) = response.into_parts();
    let bytes = BodyDataStream::new(body);
    let body = ClientBody { bytes, connection: Some(connection), kept, most: dial.max_kept() };
    Ok(Answer { head, content: Content::Body(Box::pin(body)) })
}

impl NetError {
    /// Adds the peer to an error of a connection that the peer refused.
    fn at(self, dial: &impl Dial, uri: &Uri) -> Self {
        match self.kind {
            NetErrorKind::Connect(_) => self.with_peer(dial.peer(uri)),
            _ => self,
        }
    }
}

impl Stream for ClientBody {
    type Item = Result<Bytes, NetError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let next = ready!(Pin::new(&mut this.bytes).poll_next(cx));
        match (&next, &mut this.connection) {
            (Some(Err(_)), Some(connection)) => connection.set_retirement(HttpRetirement::Error),
            (None, connection) => {
                // The whole answer has arrived, so that the connection can take the next request.
                if let Some(connection) = connection.take() {
                    this.kept.put(connection, this.most);
                }
            }
            _ => {}
        }
        let lost = |error| NetError::new(NetErrorKind::Lost, error);
        Poll::Ready(next.map(|bytes| bytes.map_err(lost)))
    }
}

impl Kept {
    fn connections(&self) -> MutexGuard<'_, Vec<KeptConnection>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the connection of this runtime that was used last. Closes those that have been kept
    /// for too long, for a runtime that is idle closes none.
    fn take(&self, keep_for: Duration) -> Option<ClientConnection> {
        let here = Handle::try_current().ok().map(|here| here.id());
        let now = Instant::now();
        // Dropped after the lock, because counting runs code of the program.
        let mut retired = Vec::new();
        let mut kept = self.connections();
        retired.extend(kept.extract_if(.., |it| it.retires(now, keep_for)));
        let last = kept.iter().rposition(|it| it.connection.runtime == here)?;
        let mut connection = kept.remove(last).connection;
        connection.set_retirement(HttpRetirement::Unfinished);
        Some(connection)
    }

    fn put(&self, mut connection: ClientConnection, most: usize) {
        // Dropped after the lock, like the connection.
        let mut evicted = None;
        let mut kept = self.connections();
        // The server may have closed the connection after its answer.
        if connection.is_closed() {
            connection.set_retirement(HttpRetirement::IdleClosed);
            return;
        }
        if kept.len() >= most {
            let oldest = evicted.insert(kept.remove(0));
            oldest.connection.set_retirement(HttpRetirement::Evicted);
        }
        connection.set_retirement(HttpRetirement::ClientDropped);
        kept.push(KeptConnection { connection, since: Instant::now() });
    }

    /// Returns the time for which the connection of the task `id` may stay kept; `None` if that
    /// time has passed. A connection in use has all of it.
    fn time_left(&self, id: task::Id, keep_for: Duration) -> Option<Duration> {
        let kept = self.connections();
        let Some(it) = kept.iter().find(|it| it.connection.driver.0.id() == id) else {
            return Some(keep_for);
        };
        keep_for.checked_sub(it.since.elapsed()).filter(|left| !left.is_zero())
    }

    /// Removes the connection of the task `id` for `reason`, if it is kept.
    fn remove(&self, id: task::Id, reason: HttpRetirement) {
        // Dropped after the lock.
        let removed = {
            let mut kept = self.connections();
            let position = kept.iter().position(|it| it.connection.driver.0.id() == id);
            position.map(|position| kept.remove(position))
        };
        if let Some(mut removed) = removed {
            removed.connection.set_retirement(reason);
        }
    }
}

impl KeptConnection {
    /// Returns `true` if the connection must not be used again, and sets the reason.
    fn retires(&mut self, now: Instant, keep_for: Duration) -> bool {
        let reason = if self.connection.is_closed() {
            HttpRetirement::IdleClosed
        } else if now.duration_since(self.since) >= keep_for {
            HttpRetirement::MaxIdle
        } else {
            return false;
        };
        self.connection.set_retirement(reason);
        true
    }
}

impl ClientConnection {
    /// Sets the reason that is counted if the connection is dropped from now on.
    fn set_retirement(&mut self, reason: HttpRetirement) {
        if let Some(count) = &mut self.count {
            count.set_reason(reason);
        }
    }

    fn is_closed(&self) -> bool {
        self.requests.is_closed()
    }
}

impl fmt::Debug for KeptConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptConnection").field("since", &self.since).finish_non_exhaustive()
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Returns the error of a kept connection that was lost with the request of the time `sent`;
/// `answered` is `true` if a byte has arrived since.
fn lost_while_kept(error: hyper::Error, sent: Instant, answered: bool) -> NetError {
    // Also a part of an answer, or one that cannot be read, is an answer: the server received the
    // request. So does an alert of TLS show that the server was there. A server that closed the
    // connection before it read the request has told so within a round trip.
    let is_alive = answered || tls_session::is_fault(&error);
    let kind = match is_alive || sent.elapsed() > STALE_WITHIN {
        true => NetErrorKind::Lost,
        false => NetErrorKind::Stale,
    };
    NetError::new(kind, error)
}

/// Returns the error of a new connection that was lost before the head of an answer.
fn lost(error: hyper::Error) -> NetError {
    // hyper dropped the request before it wrote any of it.
    if error.is_canceled() {
        return NetError::new(NetErrorKind::Unsent, error);
    }
    match tls_session::refusal(&error) {
        Some(fault) => NetError::connect(ConnectError::Tls(fault), error),
        None => NetError::new(NetErrorKind::Lost, error),
    }
}

#[cfg(test)]
mod tests;
