//! One HTTP request, answered by server-sent events.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, HeaderValue, header};
use tokio::time::{Instant, timeout};

use super::{Incoming, call};
use crate::{
    Error, Limits, Phase,
    error::ProtocolError,
    net::{Body, NetError, Network},
    proto::{
        classify::Frame,
        sse::{Decoder, SseEvent, TooLong},
        turn::End,
    },
};

/// hyper's tasks give a connection back to its pool a moment after the end of its body, and tell
/// nobody. A request that came sooner would open another connection, so they are let go first:
/// this often, which is more often than they need. On a runtime with many threads a thread that
/// the system holds up may still have one of them; then the request opens a connection, which
/// costs it time and nothing else.
const POOL_RETURN: usize = 16;

/// A request that was sent, and its answer. Dropping it closes the connection.
pub(crate) struct SseExchange {
    body: Body,
    decoder: Decoder,
    state: State,
    /// What cut the body off.
    cause: Option<NetError>,
    /// Those of the answer.
    headers: Arc<HeaderMap>,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Reading,
    /// The body has ended; the decoder may hold a last event.
    Ended,
    /// `[DONE]` came: what follows is none of ours.
    Done,
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
        let (headers, body) = call::send(network, request, deadline, limits).await?;
        if let Some(other) = other_content(&headers) {
            return Err(Error::protocol(Phase::FirstEvent, ProtocolError::ContentType(other)));
        }
        Ok(Self {
            body,
            decoder: Decoder::new(limits.event),
            state: State::Reading,
            cause: None,
            headers: Arc::new(headers),
        })
    }

    /// The headers of the answer.
    pub(crate) fn headers(&self) -> &Arc<HeaderMap> {
        &self.headers
    }

    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Incoming> {
        loop {
            if let Some(incoming) = self.decoded() {
                return Poll::Ready(incoming);
            }
            match std::task::ready!(self.body.poll_next_unpin(cx)) {
                Some(Ok(piece)) => self.decoder.push(piece),
                // However it ended, a last event that came whole is what the server said.
                Some(Err(error)) => {
                    self.state = State::Ended;
                    self.cause = Some(error);
                }
                None => self.state = State::Ended,
            }
        }
    }

    /// What the bytes so far come to.
    fn decoded(&mut self) -> Option<Incoming> {
        let cause = &mut self.cause;
        let mut lost = || Some(Incoming::End(End::Lost(cause.take().map(Into::into))));
        let event = match self.state {
            State::Reading => self.decoder.next_event(),
            State::Ended => self.decoder.finish(),
            State::Done => return lost(),
        };
        match event {
            Ok(Some(SseEvent::Data(payload))) if payload.starts_with("[DONE]") => {
                self.state = State::Done;
                lost()
            }
            Ok(Some(SseEvent::Data(payload))) => {
                let frame = Frame::new(payload);
                // Cut off, an event may be half an event; but no half of an object can be read.
                let whole = self.state == State::Reading
                    || frame.tag.role.leaves_connection() && is_json(&frame.payload);
                if whole { Some(Incoming::Frame(frame)) } else { lost() }
            }
            Ok(Some(SseEvent::NotUtf8)) => {
                Some(Incoming::End(End::Protocol(ProtocolError::NotAnEvent)))
            }
            Ok(None) if self.state == State::Ended => lost(),
            Ok(None) => None,
            Err(TooLong) => Some(Incoming::End(End::TooLarge)),
        }
    }

    /// Reads what follows the end of the turn, so that the connection can serve the next one.
    /// Whatever takes longer than the limits closes it.
    pub(crate) async fn drain(mut self, limits: Limits) {
        let rest = async {
            let mut left = limits.drain;
            while let Some(piece) = poll_fn(|cx| self.body.poll_next_unpin(cx)).await {
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
        f.debug_struct("SseExchange").field("state", &self.state).finish_non_exhaustive()
    }
}

/// The media type, if it is not that of an event stream. None at all is let pass.
fn other_content(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let media_type = value.split(';').next().unwrap_or_default().trim();
    let is_stream = media_type.eq_ignore_ascii_case("text/event-stream");
    (!is_stream).then(|| media_type.chars().take(64).collect())
}

fn is_json(payload: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(payload).is_ok()
}
