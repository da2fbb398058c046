//! One HTTP request, and the head and body of its response.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use http::{HeaderMap, HeaderValue, Request, StatusCode, header, response::Parts};
use tokio::time::{Instant, timeout, timeout_at};

use crate::{
    config::Limits,
    error::{Cause, Error, ProtocolError},
    kind::{Delivery, ErrorKind, Phase},
    net::{
        Answer, Body, ConnectionCounts, Content, CountedBy, Departed, Fresh, NetError,
        NetErrorKind, Network, OpenBy,
    },
    proto::{body, normalize, sign_in},
};

/// Returns a request with a JSON body, or without a body. The request accepts no content encoding,
/// because a decoder would delay events.
pub(crate) fn request(
    method: http::Method,
    uri: http::Uri,
    mut headers: HeaderMap,
    body: Option<String>,
) -> Request<Bytes> {
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if body.is_some() {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    let mut request = Request::new(Bytes::from(body.unwrap_or_default()));
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    request
}

/// Smallest body that is compressed, in bytes. A smaller one fits into one packet anyway.
#[cfg(feature = "zstd")]
const MIN_COMPRESSED: usize = 1024;

/// Largest body that is compressed on the task of the turn, in bytes. That takes about 1 ms; a body
/// of 1 MiB takes 13 ms, for which the other tasks of the thread would wait.
#[cfg(feature = "zstd")]
const MAX_COMPRESSED_HERE: usize = 128 * 1024;

/// Compresses the body of `request` with zstd, if that makes the body smaller. A large body is
/// compressed on a thread for blocking work. Dropping the future leaves the request as it is.
#[cfg(feature = "zstd")]
pub(crate) async fn compress(request: &mut Request<Bytes>) {
    let body = request.body().clone();
    let size = body.len();
    if size < MIN_COMPRESSED {
        return;
    }
    let compress = move || zstd::bulk::compress(&body, zstd::DEFAULT_COMPRESSION_LEVEL).ok();
    // Writing to memory fails only without memory, and the thread only if the runtime shuts down;
    // the body is then sent as it is.
    let compressed = if size <= MAX_COMPRESSED_HERE {
        compress()
    } else {
        tokio::task::spawn_blocking(compress).await.ok().flatten()
    };
    if let Some(compressed) = compressed.filter(|compressed| compressed.len() < size) {
        *request.body_mut() = compressed.into();
        request.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("zstd"));
    }
}

/// Marks `request` to be sent over a new connection, because a kept connection may have died.
pub(crate) fn use_fresh_connection(request: &mut Request<Bytes>) {
    request.extensions_mut().insert(Fresh);
}

/// Counts the connection of `request` if it is used for HTTP.
pub(crate) fn count_by(request: &mut Request<Bytes>, counts: Arc<dyn ConnectionCounts>) {
    request.extensions_mut().insert(CountedBy(counts));
}

/// Sets the deadline by which the connection of `request` must be open.
pub(super) fn open_by(request: &mut Request<Bytes>, deadline: Instant) {
    request.extensions_mut().insert(OpenBy(deadline));
}

/// Returns `true` if the request used a kept connection that ended without a byte of a response.
pub(crate) fn is_stale(error: &Error) -> bool {
    let Cause::Other(source) = error.cause() else { return false };
    source.downcast_ref::<NetError>().is_some_and(|error| error.kind == NetErrorKind::Stale)
}

/// Sends a request, and returns the head and the body of a successful response. The head must
/// arrive by the deadline. Dropping the future closes the connection.
///
/// # Errors
///
/// Returns an error also for a response whose status is not a success.
pub(super) async fn send(
    network: &dyn Network,
    mut request: Request<Bytes>,
    deadline: Instant,
    limits: Limits,
) -> Result<(Parts, Body), Error> {
    let uri = request.uri().clone();
    let departed = Departed::default();
    request.extensions_mut().insert(departed.clone());
    let Ok(answer) = timeout_at(deadline, network.send(request)).await else {
        return Err(if departed.is_set() {
            Error::new(ErrorKind::Timeout, Phase::FirstEvent, Cause::None)
        } else {
            let late = Error::new(ErrorKind::Timeout, Phase::Connect, Cause::None);
            late.with_peer(Some(network.peer(&uri)))
        });
    };
    let Answer { head, content } = answer.map_err(|e| network_error(e, Phase::FirstEvent))?;
    let broken = |error| Error::protocol(Phase::FirstEvent, error);
    let Content::Body(body) = content else {
        return Err(broken(ProtocolError::Handshake(
            "the server switched protocols without a request",
        )));
    };
    // Following a redirect would send the credentials to an address that nobody configured.
    if head.status.is_redirection() {
        let redirect = sign_in::redirect(head.status, &head.headers, &uri);
        return Err(broken(redirect).with_delivery(Delivery::Refused));
    }
    if !head.status.is_success() {
        let body = read_error_body(body, limits).await;
        let error = normalize::http_error(head.status.as_u16(), &head.headers, &body);
        let delivery = if error.is_refusal() { Delivery::Refused } else { Delivery::Unknown };
        let error = match head.status {
            StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                Error::new(ErrorKind::ProxyAuthentication, Phase::Connect, Cause::Api(error))
            }
            _ => Error::api(Phase::FirstEvent, error),
        };
        return Err(error.with_delivery(delivery));
    }
    if let Some(encoding) = body::encoding(&head.headers) {
        // The server has accepted the request, which must not run twice.
        let error = broken(ProtocolError::ContentEncoding(encoding));
        return Err(error.with_delivery(Delivery::Accepted));
    }
    Ok((head, body))
}

/// Sends a request, and returns the whole body of the response, which must arrive by the deadline.
pub(crate) async fn fetch(
    network: &dyn Network,
    request: Request<Bytes>,
    deadline: Instant,
    limits: Limits,
) -> Result<Vec<u8>, Error> {
    let (_, mut body) = send(network, request, deadline, limits).await?;
    let reading = async {
        let mut read = Vec::new();
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|error| network_error(error, Phase::Events))?;
            if read.len() + piece.len() > limits.max_event_bytes {
                return Err(Error::new(ErrorKind::TooLarge, Phase::Events, Cause::None));
            }
            read.extend_from_slice(&piece);
        }
        Ok(read)
    };
    let late = || Error::new(ErrorKind::Timeout, Phase::Events, Cause::None);
    timeout_at(deadline, reading).await.unwrap_or_else(|_| Err(late()))
}

/// Reads the body of an error response, up to the limits on its size and time. An incomplete body
/// is no failure, because the status of the response matters more than its body.
pub(super) async fn read_error_body(mut body: Body, limits: Limits) -> Vec<u8> {
    let mut read = Vec::new();
    let reading = async {
        while let Some(Ok(piece)) = body.next().await {
            let room = limits.max_error_body_bytes - read.len();
            read.extend(piece.iter().take(room));
            if piece.len() >= room {
                return;
            }
        }
    };
    _ = timeout(limits.error_body_time, reading).await;
    read
}

/// Returns the part of a body that has already arrived.
pub(super) fn read_ready(mut body: Body, limits: Limits) -> Vec<u8> {
    let mut read = Vec::new();
    while read.len() < limits.max_error_body_bytes
        && let Some(Some(Ok(piece))) = body.next().now_or_never()
    {
        read.extend(piece.iter().take(limits.max_error_body_bytes - read.len()));
    }
    read
}

/// Returns the error of an attempt without a response. `phase` is the phase of the attempt if its
/// connection was established.
pub(crate) fn network_error(error: NetError, phase: Phase) -> Error {
    match &error.kind {
        NetErrorKind::Connect(reason) => {
            let (reason, peer) = ((**reason).clone(), error.peer.as_deref().cloned());
            Error::connect(reason, error.into_source(), peer)
        }
        NetErrorKind::Request => {
            Error::new(ErrorKind::InvalidRequest, Phase::Prepare, Cause::other(error))
        }
        NetErrorKind::Stale | NetErrorKind::Lost => {
            Error::new(ErrorKind::Truncated, phase, Cause::other(error))
        }
        NetErrorKind::Unsent => Error::new(ErrorKind::Truncated, phase, Cause::other(error))
            .with_delivery(Delivery::NotSent),
    }
}

#[cfg(all(test, feature = "zstd"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn c278_only_a_large_body_is_compressed_on_another_thread() {
        for (size, is_elsewhere) in
            [(MIN_COMPRESSED, false), (MAX_COMPRESSED_HERE, false), (MAX_COMPRESSED_HERE + 1, true)]
        {
            let body = "x".repeat(size);
            let mut sent = Request::new(Bytes::from(body.clone()));
            let done = compress(&mut sent).now_or_never();
            assert_eq!(done.is_none(), is_elsewhere, "{size}");
            if is_elsewhere {
                assert_eq!(sent.body(), &body, "it is as it was");
                assert!(sent.headers().is_empty());
                compress(&mut sent).await;
            }
            assert_eq!(sent.headers()[header::CONTENT_ENCODING], "zstd");
            assert_eq!(zstd::decode_all(&**sent.body()).unwrap(), body.as_bytes(), "{size}");
        }
    }
}
