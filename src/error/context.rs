//! Facts about the connection and the client that explain an error.

use std::fmt;

use http::Uri;

use crate::kind::ErrorKind;

/// Server that a request is sent to, and the proxy between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Host and port of the server.
    server: String,
    /// Host and port of the proxy, if the request goes through one.
    proxy: Option<String>,
    /// `true` if the connection to the proxy itself failed.
    at_proxy: bool,
}

/// Facts about the client that explain an error of the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ErrorContext {
    /// `true` if requests have a credential.
    pub(crate) has_credential: bool,
    /// Base URL without credentials and query.
    pub(crate) base_url: String,
    /// `true` if the base URL has a path, such as `/v1`.
    pub(crate) has_path: bool,
}

impl Peer {
    /// Returns the server of an absolute `uri`, and the proxy between.
    pub(crate) fn new(uri: &Uri, proxy: Option<String>) -> Self {
        let port = uri.port_u16().unwrap_or(match uri.scheme_str() {
            Some("https") => 443,
            _ => 80,
        });
        let server = format!("{}:{port}", uri.host().unwrap_or_default());
        Self { server, proxy, at_proxy: false }
    }

    /// Marks that the connection to the proxy itself failed, if there is a proxy.
    pub(crate) fn at_proxy(mut self) -> Self {
        self.at_proxy = self.proxy.is_some();
        self
    }

    /// Writes the failure of a connection, with the name of the server or the proxy.
    pub(super) fn write_failure(&self, kind: ErrorKind, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (kind, &self.proxy) {
            (ErrorKind::Connect, _) => write!(f, "could not connect to {self}"),
            (ErrorKind::Timeout, _) => write!(f, "timed out connecting to {self}"),
            (ErrorKind::Tls, _) => write!(f, "the TLS handshake with {self} failed"),
            (ErrorKind::Proxy, Some(proxy)) => {
                write!(f, "the proxy {proxy} refused the connection to {}", self.server)
            }
            (ErrorKind::ProxyAuthentication, Some(proxy)) => {
                write!(f, "the proxy {proxy} requires authentication")
            }
            _ => f.write_str(kind.what()),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.proxy {
            Some(proxy) if self.at_proxy => write!(f, "the proxy {proxy}"),
            Some(proxy) => write!(f, "{} through the proxy {proxy}", self.server),
            None => f.write_str(&self.server),
        }
    }
}
