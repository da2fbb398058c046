//! Interface of the network: one request and its answer.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use futures_util::{Stream, future::BoxFuture};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};

use super::{NetError, probe::NetProbe};
use crate::error::Peer;

/// Sends one HTTP request and resolves at the head of its answer.
///
/// Dropping the future, or the body or socket of the answer, closes the connection it used.
pub(crate) trait Network: fmt::Debug + Send + Sync {
    /// Sends `request`. Its URI is absolute, and its headers are complete except for `Host` and the
    /// length.
    fn send(&self, request: http::Request<Bytes>) -> BoxFuture<'static, Result<Answer, NetError>>;

    /// Opens a connection and closes it without a request, and returns the steps. With `tunnel`, the
    /// connection is one for a WebSocket.
    fn probe(&self, uri: &http::Uri, tunnel: bool) -> BoxFuture<'static, NetProbe>;

    /// Returns the server of `uri`, and the proxy through which requests to `uri` are sent.
    fn peer(&self, uri: &http::Uri) -> Peer;
}

/// Extension of a request that must not use a connection kept from another request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fresh;

/// Extension of a request whose connection must be open by a deadline. A later step of the request
/// may have another one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenBy(pub(crate) Instant);

/// Extension of a request. Set from the time at which an open connection takes the request: before
/// that, the server cannot have received any of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Departed(Arc<AtomicBool>);

impl Departed {
    pub(super) fn set(&self, departed: bool) {
        self.0.store(departed, Ordering::Relaxed);
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The head of an answer and what follows it.
pub(crate) struct Answer {
    pub(crate) head: http::response::Parts,
    pub(crate) content: Content,
}

/// Content after the head of an answer.
pub(crate) enum Content {
    /// The body, in the pieces in which it arrives.
    Body(Body),
    /// After status 101: the connection itself, from the first byte after the head.
    Upgraded(Box<dyn Io>),
}

/// A body in the pieces in which it arrives; an error is its last item.
pub(crate) type Body = Pin<Box<dyn Stream<Item = Result<Bytes, NetError>> + Send>>;

/// A byte stream in both directions.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("status", &self.head.status).finish_non_exhaustive()
    }
}
