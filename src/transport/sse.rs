//! One HTTP request, answered by server-sent events or by JSON.

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

use super::{Incoming, call};
use crate::{
    config::Limits,
    error::Error,
    net::{Body, NetError, Network},
    proto::{answer::Answer, turn::response::End},
};

/// hyper's tasks give a connection back to its pool a moment after the end of its body, and tell
/// nobody. A request that came sooner would open another connection, so they are let go first:
/// this often, which is more often than they need. On a runtime with many threads a thread that
/// the system holds up may still have one of them; then the request opens a connection, which
/// costs it time and nothing else.
const POOL_RETURN: usize = 16;

/// A request that was sent, and its answer. Dropping it closes the connection.
pub(crate) struct SseExchange {
    body: SharedBody,
    answer: Box<Answer>,
    /// What cut the body off.
    cause: Option<NetError>,
    headers: Arc<HeaderMap>,
    /// Limits the wait for the title of a web page; set when the wait begins.
    page_timer: Option<Pin<Box<Sleep>>>,
    page_time: Duration,
}

/// A body that can be dropped from elsewhere, which closes its connection. Its lock is taken once
/// for each piece.
type SharedBody = Arc<Mutex<Option<Body>>>;

/// Closes the connection of an exchange.
pub(crate) struct AbortHandle(SharedBody);

impl AbortHandle {
    pub(super) fn abort(self) {
        drop(lock(&self.0).take());
    }
}

fn lock(body: &Mutex<Option<Body>>) -> MutexGuard<'_, Option<Body>> {
    // A body that panicked is polled no more.
    body.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the next piece; `None` at the end, and after the body was dropped.
fn poll_piece(body: &SharedBody, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, NetError>>> {
    match &mut *lock(body) {
        Some(body) => body.poll_next_unpin(cx),
        None => Poll::Ready(None),
    }
}

impl SseExchange {
    /// Sends a request, and resolves at the head of the answer, which must come by the deadline.
    /// Dropping the future closes the connection.
    pub(crate) async fn open(
        network: &dyn Network,
        mut request: http::Request<Bytes>,
        deadline: Instant,
        limits: Limits,
    ) -> Result<Self, Error> {
        let accepted = HeaderValue::from_static("text/event-stream");
        request.headers_mut().insert(header::ACCEPT, accepted);
        let (head, body) = call::send(network, request, deadline, limits).await?;
        let headers = Arc::new(head.headers);
        Ok(Self {
            body: Arc::new(Mutex::new(Some(body))),
            answer: Box::new(Answer::new(head.status.as_u16(), Arc::clone(&headers), limits)),
            cause: None,
            headers,
            page_timer: None,
            page_time: limits.error_body_time,
        })
    }

    pub(super) fn abort_handle(&self) -> AbortHandle {
        AbortHandle(Arc::clone(&self.body))
    }

    /// The headers of the answer.
    pub(crate) fn headers(&self) -> &Arc<HeaderMap> {
        &self.headers
    }

    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Incoming> {
        loop {
            match self.answer.next_frame() {
                Some(Ok(frame)) => return Poll::Ready(Incoming::Frame(frame)),
                Some(Err(End::Lost(_))) => {
                    let cause = self.cause.take().map(Into::into);
                    return Poll::Ready(Incoming::End(End::Lost(cause)));
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

    /// Reads what follows the end of the turn, so that the connection can serve the next one.
    /// Whatever takes longer than the limits closes it.
    pub(crate) async fn drain(self, limits: Limits) {
        let rest = async {
            let mut left = limits.drain;
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
