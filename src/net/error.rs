//! Why a request got no answer, or an answer no end.

use std::{error::Error as StdError, fmt};

/// A failure below HTTP, or of a proxy on the way.
#[derive(Debug)]
pub(crate) struct NetError {
    pub(crate) kind: NetErrorKind,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The step that failed. Only [`Stale`](Self::Stale) and [`Lost`](Self::Lost) can have left
/// bytes of the request behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NetErrorKind {
    /// The host name has no address.
    Dns,
    /// No TCP connection: refused, no route, or cut while connecting.
    Connect,
    /// No connection within the time set for it.
    ConnectTimeout,
    /// No TLS session: an unknown issuer, a wrong name, or a peer that speaks something else.
    Tls,
    /// The proxy refused the tunnel or did not answer like a proxy.
    Proxy,
    /// The proxy wants credentials, or other ones.
    ProxyAuthentication,
    /// The request could not be built for the wire.
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
        Self { kind, source: Some(source.into()) }
    }
}

impl fmt::Display for NetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            NetErrorKind::Dns => "the host name could not be resolved",
            NetErrorKind::Connect => "no connection could be made",
            NetErrorKind::ConnectTimeout => "no connection was made in time",
            NetErrorKind::Tls => "no TLS session could be made",
            NetErrorKind::Proxy => "the proxy refused the tunnel",
            NetErrorKind::ProxyAuthentication => "the proxy requires authentication",
            NetErrorKind::Request => "the request could not be built",
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
