//! One HTTP request whose response is an event stream or JSON.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, HeaderValue, header};
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::{Incoming, http1};
use crate::{
    config::Limits,
    error::Error,
    net::{Body, NetError, Network},
    proto::{answer::AnswerReader, turn::response::StreamEnd, wire::Wire},
};

/// Number of times that draining yields to other tasks after the end of a body.
///
/// hyper's tasks return a connection to its pool shortly after the end of its body, without a
/// notification. An earlier request would open another connection, so these tasks run first. They
/// need fewer yields than this number. On a multi-threaded runtime, a task may still be late; then
/// the next request opens a new connection, which costs time only.
const POOL_RETURN: usize = 16;

/// A request that was sent, and its response. Dropping an exchange closes its connection.
pub(crate) struct SseExchange {
    body: SharedBody,
    answer: Box<AnswerReader>,
    /// Error that ended the body.
    cause: Option<NetError>,
    headers: Arc<HeaderMap>,
    /// Limits the wait for the title of a web page; set when the wait begins.
    page_timer: Option<Pin<Box<Sleep>>>,
    page_time: Duration,
}

/// A body that an [`AbortHandle`] can drop, which closes its connection. The lock is taken once for
/// each chunk.
type SharedBody = Arc<Mutex<Option<Body>>>;

/// Handle that closes the connection of an exchange.
pub(crate) struct AbortHandle(SharedBody);

impl AbortHandle {
    pub(super) fn abort(self) {
        drop(lock(&self.0).take());
    }

    /// Returns a handle that drops `body`, which belongs to no exchange.
    #[cfg(all(test, responses_client_loom))]
    pub(crate) fn of(body: &Arc<Mutex<Option<Body>>>) -> Self {
        Self(Arc::clone(body))
    }
}

fn lock(body: &Mutex<Option<Body>>) -> MutexGuard<'_, Option<Body>> {
    // Only polling or dropping a body can panic under the lock. Such a body is not polled again.
    body.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the next chunk; `None` at the end, and after the body was dropped.
fn poll_piece(body: &SharedBody, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, NetError>>> {
    match &mut *lock(body) {
        Some(body) => body.poll_next_unpin(cx),
        None => Poll::Ready(None),
    }
}

impl SseExchange {
    /// Sends a request, and resolves at the head of the response, which must arrive by the
    /// deadline. Dropping the future closes the connection.
    pub(crate) async fn open(
        network: &dyn Network,
        mut request: http::Request<Bytes>,
        deadline: Instant,
        wire: &'static dyn Wire,
        limits: Limits,
    ) -> Result<Self, Error> {
        let accepted = HeaderValue::from_static("text/event-stream");
        request.headers_mut().insert(header::ACCEPT, accepted);
        let (head, body) = http1::send(network, request, deadline, limits).await?;
        let headers = Arc::new(head.headers);
        let answer = AnswerReader::new(head.status.as_u16(), Arc::clone(&headers), wire, limits);
        Ok(Self {
            body: Arc::new(Mutex::new(Some(body))),
            answer: Box::new(answer),
            cause: None,
            headers,
            page_timer: None,
            page_time: limits.error_body_time,
        })
    }

    pub(super) fn abort_handle(&self) -> AbortHandle {
        AbortHandle(Arc::clone(&self.body))
    }

    /// Returns the headers of the response.
    pub(crate) fn headers(&self) -> &Arc<HeaderMap> {
        &self.headers
    }

    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Incoming> {
        loop {
            match self.answer.next_frame() {
                Some(Ok(frame)) => return Poll::Ready(Incoming::Frame(frame)),
                Some(Err(StreamEnd::Disconnected(_))) => {
                    let cause = self.cause.take().map(Into::into);
                    return Poll::Ready(Incoming::End(StreamEnd::Disconnected(cause)));
                }
                Some(Err(end)) => return Poll::Ready(Incoming::End(end)),
                None => {}
            }
            match poll_piece(&self.body, cx) {
                Poll::Ready(Some(Ok(piece))) => self.answer.push(piece),
                Poll::Ready(Some(Err(error))) => {
                    self.cause = Some(error);
                    self.answer.end();
                }
                Poll::Ready(None) => self.answer.end(),
                Poll::Pending if self.answer.is_page() => {
                    let time = self.page_time;
                    let timer = self.page_timer.get_or_insert_with(|| Box::pin(sleep(time)));
                    std::task::ready!(timer.as_mut().poll(cx));
                    self.answer.end();
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Reads the rest of the body after the end of the turn, so that the connection can serve the
    /// next turn. If the rest exceeds the limits on size or time, the connection is closed.
    pub(crate) async fn drain(self, limits: Limits) {
        let rest = async {
            let mut left = limits.max_drain_bytes;
            while let Some(piece) = poll_fn(|cx| poll_piece(&self.body, cx)).await {
                let size = piece.map_or(usize::MAX, |piece| piece.len());
                match left.checked_sub(size) {
                    Some(less) => left = less,
                    None => return,
                }
            }
            for _ in 0..POOL_RETURN {
                tokio::task::yield_now().await;
            }
        };
        _ = timeout(limits.drain_time, rest).await;
    }
}

impl std::fmt::Debug for SseExchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SseExchange").finish_non_exhaustive()
    }
}
