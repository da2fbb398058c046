//! Errors of the network.

use std::{error::Error as StdError, fmt};

use crate::error::Peer;

/// Failure below HTTP, or of a proxy.
#[derive(Debug)]
pub(crate) struct NetError {
    pub(crate) kind: NetErrorKind,
    source: Option<Box<dyn StdError + Send + Sync>>,
    /// Server or proxy that could not be reached; `None` once the connection was established.
    pub(crate) peer: Option<Peer>,
}

/// Step that failed. Bytes of the request can have left only with [`Stale`](Self::Stale) and
/// [`Lost`](Self::Lost).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NetErrorKind {
    /// The host name has no address.
    Dns,
    /// No TCP connection: refused, no route, or lost while connecting.
    Connect,
    /// No connection within the time limit.
    ConnectTimeout,
    /// No TLS session: an unknown issuer, a wrong name, or a peer that speaks something else.
    Tls,
    /// The proxy refused the tunnel or did not answer like a proxy.
    Proxy,
    /// The proxy requires credentials, or rejected those that it received.
    ProxyAuthentication,
    /// The request could not be encoded.
    Request,
    /// The connection was lost before the request was written to it.
    Unsent,
    /// The connection was kept from an earlier request, and was lost before the head of an answer.
    Stale,
    /// The connection was lost after it was made.
    Lost,
}

impl NetError {
    pub(crate) fn new(
        kind: NetErrorKind,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self { kind, source: Some(source.into()), peer: None }
    }

    pub(crate) fn with_peer(mut self, peer: Peer) -> Self {
        self.peer = Some(peer);
        self
    }
}

impl fmt::Display for NetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            NetErrorKind::Dns => "could not resolve the host name",
            NetErrorKind::Connect => "the TCP connection failed",
            NetErrorKind::ConnectTimeout => "no connection within the time limit",
            NetErrorKind::Tls => "the TLS handshake failed",
            NetErrorKind::Proxy => "the proxy refused the tunnel",
            NetErrorKind::ProxyAuthentication => "the proxy requires authentication",
            NetErrorKind::Request => "could not build the request",
            NetErrorKind::Unsent => "the connection was lost before the request was written",
            NetErrorKind::Stale => "the connection, kept from an earlier request, was lost",
            NetErrorKind::Lost => "the connection was lost",
        })
    }
}

impl StdError for NetError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
