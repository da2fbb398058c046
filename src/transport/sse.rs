//! One HTTP request, answered by server-sent events.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use tokio::time::{Instant, timeout, timeout_at};

use super::Incoming;
use crate::{
    Error, ErrorKind, Limits, Phase,
    error::{Cause, Delivery, ProtocolError},
    net::{Answer, Body, Content, NetError, NetErrorKind, Network},
    proto::{
        classify::Frame,
        normalize,
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
    /// Sends `body` and resolves at the head of the answer, which must come by the deadline. Dropping the future closes the
    /// connection.
    pub(crate) async fn open(
        network: &dyn Network,
        uri: http::Uri,
        mut headers: HeaderMap,
        body: String,
        deadline: Instant,
        limits: Limits,
    ) -> Result<Self, Error> {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
        let mut request = http::Request::new(Bytes::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        let Ok(answer) = timeout_at(deadline, network.send(request)).await else {
            return Err(Error::new(ErrorKind::Timeout, Phase::FirstEvent, Cause::None));
        };
        let Answer { head, content } = answer.map_err(|e| network_error(e, Phase::FirstEvent))?;
        let broken = |error| Error::protocol(Phase::FirstEvent, error);
        let Content::Body(body) = content else {
            return Err(broken(ProtocolError::Handshake("it switches protocols unasked")));
        };
        if head.status.is_redirection() {
            let redirect = ProtocolError::Redirect(location(&head.headers));
            return Err(broken(redirect).with_delivery(Delivery::Refused));
        }
        if !head.status.is_success() {
            let body = read_error_body(body, limits).await;
            let error = normalize::http_error(head.status.as_u16(), &head.headers, &body);
            let error = match head.status {
                StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                    Error::new(ErrorKind::ProxyAuthentication, Phase::Connect, Cause::Api(error))
                }
                _ => Error::api(Phase::FirstEvent, error),
            };
            return Err(error.with_delivery(Delivery::Refused));
        }
        if let Some(other) = other_content(&head.headers) {
            return Err(broken(ProtocolError::ContentType(other)));
        }
        Ok(Self {
            body,
            decoder: Decoder::new(limits.event),
            state: State::Reading,
            headers: Arc::new(head.headers),
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
                Some(Err(error)) => {
                    return Poll::Ready(Incoming::End(End::Lost(Some(error.into()))));
                }
                None => self.state = State::Ended,
            }
        }
    }

    /// What the bytes so far come to.
    fn decoded(&mut self) -> Option<Incoming> {
        let lost = || Some(Incoming::End(End::Lost(None)));
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

/// The body of an error, as far as size and time allow: its status must not be lost to it.
pub(super) async fn read_error_body(mut body: Body, limits: Limits) -> Vec<u8> {
    let mut read = Vec::new();
    let reading = async {
        while let Some(Ok(piece)) = body.next().await {
            let room = limits.error_body - read.len();
            read.extend(piece.iter().take(room));
            if piece.len() >= room {
                return;
            }
        }
    };
    _ = timeout(limits.error_body_time, reading).await;
    read
}

/// The error of an attempt that got no answer. `phase` is where the attempt was if a connection
/// had been made.
pub(super) fn network_error(error: NetError, phase: Phase) -> Error {
    let (kind, phase) = match error.kind {
        NetErrorKind::Dns | NetErrorKind::Connect => (ErrorKind::Connect, Phase::Connect),
        NetErrorKind::ConnectTimeout => (ErrorKind::Timeout, Phase::Connect),
        NetErrorKind::Tls => (ErrorKind::Tls, Phase::Connect),
        NetErrorKind::Proxy => (ErrorKind::Proxy, Phase::Connect),
        NetErrorKind::ProxyAuthentication => (ErrorKind::ProxyAuthentication, Phase::Connect),
        NetErrorKind::Request => (ErrorKind::InvalidRequest, Phase::Prepare),
        NetErrorKind::Lost => (ErrorKind::Truncated, phase),
    };
    Error::new(kind, phase, Cause::Other(Box::new(error)))
}

/// The media type, if it is not that of an event stream. None at all is let pass.
fn other_content(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let media_type = value.split(';').next().unwrap_or_default().trim();
    let is_stream = media_type.eq_ignore_ascii_case("text/event-stream");
    (!is_stream).then(|| media_type.chars().take(64).collect())
}

/// Where a redirect leads, without path and query: they may hold anything.
fn location(headers: &HeaderMap) -> String {
    let target = headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
    match target.and_then(|target| url::Url::parse(target).ok()) {
        Some(url) => url.origin().ascii_serialization(),
        None => "another path".to_owned(),
    }
}

fn is_json(payload: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(payload).is_ok()
}
