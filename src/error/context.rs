//! Facts about the connection and the client that explain an error.

use std::fmt;

use http::Uri;

use super::connect::{ConnectError, ConnectStep, ProxyError};

/// Server that a request is sent to, and the proxy between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Host and port of the server.
    server: String,
    /// Proxy that the request goes through.
    proxy: Option<ProxyPeer>,
    /// `true` if the connection to the proxy itself failed.
    at_proxy: bool,
}

/// Proxy between the client and the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProxyPeer {
    /// Host and port.
    pub(crate) address: String,
    /// Name of the setting: a variable, or `the proxy URL`.
    pub(crate) setting: &'static str,
    /// `true` if the proxy runs on this machine.
    pub(crate) is_local: bool,
    /// `true` if the proxy sends requests without an upgrade on to the server itself.
    pub(crate) forwards: bool,
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
    pub(crate) fn new(uri: &Uri, proxy: Option<ProxyPeer>) -> Self {
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

    /// Returns `true` if requests go through a proxy on another machine.
    pub(crate) fn leaves_machine_by_proxy(&self) -> bool {
        self.proxy.as_ref().is_some_and(|proxy| !proxy.is_local)
    }

    /// Returns `true` if a request over SSE needs no tunnel through the proxy.
    pub(crate) fn forwards(&self) -> bool {
        self.proxy.as_ref().is_some_and(|proxy| proxy.forwards)
    }

    /// Returns `true` if the connection to the proxy itself failed.
    pub(super) fn is_at_proxy(&self) -> bool {
        self.at_proxy
    }

    /// Returns the setting that names the proxy.
    pub(super) fn proxy_setting(&self) -> Option<&'static str> {
        self.proxy.as_ref().map(|proxy| proxy.setting)
    }

    /// Writes the failure of a connection, with the name of the server or the proxy.
    pub(super) fn write_failure(
        &self,
        error: &ConnectError,
        f: &mut fmt::Formatter<'_>,
    ) -> fmt::Result {
        match error {
            ConnectError::NameNotFound => write!(f, "could not resolve the host name of {self}"),
            ConnectError::Refused => write!(f, "{self} refused the connection"),
            ConnectError::Unreachable => write!(f, "could not connect to {self}"),
            ConnectError::TimedOut(ConnectStep::Tls | ConnectStep::ProxyTls) => {
                write!(f, "timed out in the TLS handshake with {self}")
            }
            ConnectError::TimedOut(ConnectStep::Proxy) => {
                write!(f, "timed out waiting for a tunnel to {self}")
            }
            ConnectError::TimedOut(ConnectStep::Dns) => {
                write!(f, "timed out resolving the host name of {self}")
            }
            ConnectError::TimedOut(ConnectStep::Tcp) => {
                write!(f, "timed out connecting to {self}")
            }
            ConnectError::Lost(ConnectStep::Tls | ConnectStep::ProxyTls) => {
                write!(f, "the connection to {self} ended in the TLS handshake")
            }
            ConnectError::Lost(_) => {
                write!(f, "the connection to {self} ended while it was opened")
            }
            ConnectError::Tls(error) => {
                write!(f, "the TLS handshake with {self} failed, because {error}")
            }
            ConnectError::Proxy(error) => self.write_proxy_failure(error, f),
        }
    }

    fn write_proxy_failure(&self, error: &ProxyError, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (server, answer) = (&self.server, error.answer());
        let proxy = match &self.proxy {
            Some(proxy) => format!("the proxy {proxy}"),
            None => "the proxy".to_owned(),
        };
        match error {
            ProxyError::Refused(_) => {
                write!(f, "{proxy} does not allow connections to {server}{answer}")
            }
            ProxyError::ServerUnreachable(_) => {
                write!(f, "{proxy} works, but cannot reach {server}{answer}")
            }
            ProxyError::CredentialsRequired(_) => {
                write!(f, "{proxy} requires a user name and a password{answer}")
            }
            ProxyError::CredentialsRejected(_) => {
                write!(f, "{proxy} rejected the user name and the password{answer}")
            }
            ProxyError::UnsupportedScheme(_) => {
                let schemes = answer.schemes.join(" and ");
                write!(f, "{proxy} offers only {schemes} for authentication{answer}")
            }
            ProxyError::NotAProxy(_) => write!(f, "{proxy} does not answer like a proxy{answer}"),
        }
    }
}

impl fmt::Display for ProxyPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, setting, .. } = self;
        match *setting {
            "" => f.write_str(address),
            setting => write!(f, "{address} (from {setting})"),
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
