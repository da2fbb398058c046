//! Errors of the network.

use std::{error::Error as StdError, fmt};

use crate::error::{ConnectError, Peer};

/// Failure below HTTP, or of a proxy.
#[derive(Debug)]
pub(crate) struct NetError {
    pub(crate) kind: NetErrorKind,
    source: Box<dyn StdError + Send + Sync>,
    /// Server or proxy that could not be reached; `None` once the connection was established.
    pub(crate) peer: Option<Box<Peer>>,
}

/// Step that failed. The server can have read bytes of the request only with
/// [`Stale`](Self::Stale) and [`Lost`](Self::Lost).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NetErrorKind {
    /// No connection was opened, or the server refused the client in the TLS handshake, which can
    /// show only after the request was written.
    Connect(Box<ConnectError>),
    /// The request could not be encoded, or the settings cannot be used.
    Request,
    /// The connection was lost before the request was written to it.
    Unsent,
    /// The connection was kept from an earlier request, and was lost before the first byte of an
    /// answer.
    Stale,
    /// The connection was lost after it was made.
    Lost,
}

impl NetError {
    pub(crate) fn new(
        kind: NetErrorKind,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self { kind, source: source.into(), peer: None }
    }

    /// Returns the error of a connection that was not opened.
    pub(crate) fn connect(
        error: ConnectError,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self::new(NetErrorKind::Connect(Box::new(error)), source)
    }

    /// Returns the error of a setting that cannot be used.
    pub(crate) fn setting(why: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(NetErrorKind::Request, why)
    }

    pub(crate) fn with_peer(mut self, peer: Peer) -> Self {
        self.peer = Some(Box::new(peer));
        self
    }

    /// Returns the underlying error.
    pub(crate) fn into_source(self) -> Box<dyn StdError + Send + Sync> {
        self.source
    }
}

impl fmt::Display for NetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.kind {
            NetErrorKind::Connect(error) => {
                return write!(f, "no connection ({})", error.in_brief());
            }
            NetErrorKind::Request => "could not build the request",
            NetErrorKind::Unsent => "the connection was lost before the request was written",
            NetErrorKind::Stale => "the connection, kept from an earlier request, was lost",
            NetErrorKind::Lost => "the connection was lost",
        })
    }
}

impl StdError for NetError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.source)
    }
}
