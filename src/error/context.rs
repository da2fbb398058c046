//! Facts about the connection and the client that explain an error.

use std::fmt;

use http::Uri;

use super::{Cause, Error, ProtocolError};
use crate::{api::ErrorClass, kind::ErrorKind};

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

impl Error {
    /// Writes the advice for an error that the settings of the client explain. Returns `None` if
    /// the settings do not explain the error.
    pub(super) fn write_explanation(&self, f: &mut fmt::Formatter<'_>) -> Option<fmt::Result> {
        let context = self.0.context.as_deref()?;
        if self.class() == ErrorClass::Credential && !context.has_credential {
            let advice =
                "no credential was configured, set one with `ResponsesClientBuilder::auth`";
            return Some(f.write_str(advice));
        }
        let base_url = &context.base_url;
        if !context.has_path && self.may_lack_path() {
            let otherwise = match self.kind() {
                ErrorKind::UpgradeRefused => ", or allow SSE with `TransportPolicy::Auto`",
                _ => "",
            };
            return Some(write!(
                f,
                "the base URL `{base_url}` has no path, use `{base_url}/v1` if the API is \
                 there{otherwise}"
            ));
        }
        if self.is_at_wrong_address() {
            return Some(write!(f, "check the base URL `{base_url}` and any proxies"));
        }
        None
    }

    /// Returns `true` if a path that is missing in the base URL may have caused the error.
    fn may_lack_path(&self) -> bool {
        let by_status = matches!(self.status(), Some(404 | 405 | 501)) && self.code().is_none();
        by_status || self.is_page()
    }

    /// Returns `true` if the address is not an endpoint of the API.
    fn is_at_wrong_address(&self) -> bool {
        self.kind() == ErrorKind::Api && self.class() == ErrorClass::WrongEndpoint || self.is_page()
    }

    /// Returns `true` if a web page came in place of a stream.
    fn is_page(&self) -> bool {
        matches!(&self.0.cause, Cause::Protocol(ProtocolError::WebPage(_)))
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
