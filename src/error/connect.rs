//! Reasons why a connection could not be opened.

use std::fmt;

use crate::kind::ErrorKind;

/// Reason why no connection to the server could be opened. [`Error`](crate::Error) displays it with
/// the host, the port and the proxy.
///
/// ```
/// use responses_client::{Error, error::{ConnectError, TlsError}};
///
/// fn is_intercepted(error: &Error) -> bool {
///     matches!(error.connect_error(), Some(ConnectError::Tls(TlsError::UnknownIssuer { .. })))
/// }
/// # let _ = is_intercepted;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectError {
    /// The host name could not be resolved: it has no address, or no name server answered.
    NameNotFound,
    /// The host refused the connection: no server listens on the port.
    Refused,
    /// No TCP connection for another reason, such as a missing route. The source has the reason.
    Unreachable,
    /// [`Timeouts::connect`](crate::Timeouts::connect) elapsed in this step.
    TimedOut(ConnectStep),
    /// The peer ended the connection in this step.
    Lost(ConnectStep),
    /// TLS failed.
    Tls(TlsError),
    /// The proxy opened no tunnel.
    Proxy(ProxyError),
}

/// Step of opening a connection.
///
/// ```
/// use responses_client::error::ConnectStep;
///
/// assert_eq!(ConnectStep::Tls.to_string(), "tls");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ConnectStep {
    /// Name resolution.
    Dns,
    /// The TCP connection, to the proxy if there is one.
    Tcp,
    /// The TLS handshake with an https proxy.
    ProxyTls,
    /// The tunnel through the proxy.
    Proxy,
    /// The TLS handshake with the server.
    Tls,
}

/// Reason why TLS failed.
///
/// ```
/// use responses_client::{Error, error::{ConnectError, TlsError}};
///
/// fn has_wrong_clock(error: &Error) -> bool {
///     matches!(error.connect_error(), Some(ConnectError::Tls(TlsError::NotYetValid { .. })))
/// }
/// # let _ = has_wrong_clock;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsError {
    /// No trusted root issued the certificate, for example because a proxy intercepts TLS.
    #[non_exhaustive]
    UnknownIssuer {
        /// Distinguished name of the issuer (RFC 4514); empty if it could not be read.
        issuer: String,
    },
    /// The certificate has expired.
    #[non_exhaustive]
    Expired {
        /// End of its validity, as an HTTP date; `None` if the platform does not report it.
        not_after: Option<String>,
        /// Time of the local clock, as an HTTP date; `None` if the platform does not report it.
        now: Option<String>,
    },
    /// The certificate is not valid yet.
    #[non_exhaustive]
    NotYetValid {
        /// Start of its validity, as an HTTP date; `None` if the platform does not report it.
        not_before: Option<String>,
        /// Time of the local clock, as an HTTP date; `None` if the platform does not report it.
        now: Option<String>,
    },
    /// The certificate is for other names.
    #[non_exhaustive]
    WrongName {
        /// Names in the certificate, at most eight.
        has: Vec<String>,
    },
    /// The certificate is invalid for another reason.
    Certificate(String),
    /// The peer supports no TLS version from 1.2 on.
    OldVersion,
    /// The peer does not speak TLS on this port; it may speak plain http.
    NotTls,
    /// The server requires a client certificate, and none is set.
    ClientCertificateRequired,
    /// The server rejected the client certificate.
    ClientCertificateRejected,
    /// Another failure.
    Other(String),
}

/// Reason why a proxy opened no tunnel.
///
/// ```
/// use responses_client::{Error, error::{ConnectError, ProxyError}};
///
/// fn proxy_status(error: &Error) -> Option<u16> {
///     match error.connect_error()? {
///         ConnectError::Proxy(ProxyError::Refused(answer)) => answer.status,
///         _ => None,
///     }
/// }
/// # let _ = proxy_status;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyError {
    /// The proxy does not allow the tunnel.
    Refused(ProxyAnswer),
    /// The proxy works, and could not reach the server.
    ServerUnreachable(ProxyAnswer),
    /// The proxy requires a user name and a password, and none are set.
    CredentialsRequired(ProxyAnswer),
    /// The proxy rejected the user name and the password.
    CredentialsRejected(ProxyAnswer),
    /// The proxy offers no authentication scheme that this crate supports (Basic).
    UnsupportedScheme(ProxyAnswer),
    /// The address does not answer like a proxy.
    NotAProxy(ProxyAnswer),
}

/// Answer of a proxy that opened no tunnel. Each text has at most 128 bytes, and strings that look
/// like keys are masked.
///
/// ```
/// use responses_client::error::ProxyAnswer;
///
/// fn is_squid(answer: &ProxyAnswer) -> bool {
///     answer.reason.as_deref().is_some_and(|reason| reason.starts_with("ERR_"))
/// }
/// # let _ = is_squid;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProxyAnswer {
    /// HTTP status; `None` for a SOCKS proxy, and for an answer that is not HTTP.
    pub status: Option<u16>,
    /// Reason that the proxy gave: `X-Squid-Error`, the title of its page, or the SOCKS reply.
    pub reason: Option<String>,
    /// Authentication schemes in `Proxy-Authenticate`.
    pub schemes: Vec<String>,
}

impl ConnectError {
    /// Returns the kind of an [`Error`](crate::Error) for this reason.
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::NameNotFound | Self::Refused | Self::Unreachable => ErrorKind::Connect,
            Self::TimedOut(_) => ErrorKind::Timeout,
            Self::Lost(ConnectStep::Dns | ConnectStep::Tcp) => ErrorKind::Connect,
            Self::Lost(ConnectStep::ProxyTls | ConnectStep::Tls) | Self::Tls(_) => ErrorKind::Tls,
            Self::Lost(ConnectStep::Proxy) => ErrorKind::Proxy,
            Self::Proxy(error) => match error {
                // The server is down, and not the proxy.
                ProxyError::ServerUnreachable(_) => ErrorKind::Connect,
                ProxyError::Refused(_) | ProxyError::NotAProxy(_) => ErrorKind::Proxy,
                ProxyError::CredentialsRequired(_)
                | ProxyError::CredentialsRejected(_)
                | ProxyError::UnsupportedScheme(_) => ErrorKind::ProxyAuthentication,
            },
        }
    }

    /// Returns `true` if neither a name server nor the host has answered.
    pub(crate) fn is_unanswered(&self) -> bool {
        matches!(self, Self::TimedOut(ConnectStep::Dns | ConnectStep::Tcp))
    }

    /// Returns `true` if the peer ended the connection during a handshake, or if a proxy is busy.
    /// Another attempt may succeed, unlike after a fault of a certificate or a setting.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Lost(_) => true,
            Self::Proxy(ProxyError::Refused(answer)) => {
                matches!(answer.status, Some(408 | 425 | 429))
            }
            _ => false,
        }
    }

    /// Returns one or two words for a line that announces the wait.
    pub(crate) fn in_brief(&self) -> &'static str {
        match self {
            Self::NameNotFound => "no such host",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::TimedOut(_) => "timed out",
            Self::Lost(_) => "connection lost",
            Self::Tls(_) => "TLS failed",
            Self::Proxy(_) => "proxy failed",
        }
    }
}

impl fmt::Display for TlsError {
    /// Writes a clause that follows "because".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clock = |now: &Option<String>, f: &mut fmt::Formatter<'_>| match now {
            Some(now) => write!(f, " (the clock of this machine shows {now})"),
            None => Ok(()),
        };
        match self {
            Self::UnknownIssuer { issuer } if issuer.is_empty() => {
                f.write_str("the issuer of the certificate is not trusted")
            }
            Self::UnknownIssuer { issuer } => {
                write!(f, "the issuer of the certificate, `{issuer}`, is not trusted")
            }
            Self::Expired { not_after, now } => {
                f.write_str("the certificate has expired")?;
                not_after.iter().try_for_each(|date| write!(f, " on {date}"))?;
                clock(now, f)
            }
            Self::NotYetValid { not_before, now } => {
                f.write_str("the certificate is not valid yet")?;
                not_before.iter().try_for_each(|date| write!(f, ", only from {date} on"))?;
                clock(now, f)
            }
            Self::WrongName { has } if has.is_empty() => {
                f.write_str("the certificate is for another name")
            }
            Self::WrongName { has } => write!(f, "the certificate is for {}", has.join(", ")),
            Self::Certificate(why) => write!(f, "the certificate is invalid ({why})"),
            Self::OldVersion => f.write_str("the peer supports no TLS version from 1.2 on"),
            Self::NotTls => f.write_str("this port does not speak TLS"),
            Self::ClientCertificateRequired => {
                f.write_str("the server requires a client certificate")
            }
            Self::ClientCertificateRejected => {
                f.write_str("the server rejected the client certificate")
            }
            Self::Other(why) => f.write_str(why),
        }
    }
}

impl ProxyError {
    pub(super) fn answer(&self) -> &ProxyAnswer {
        match self {
            Self::Refused(answer)
            | Self::ServerUnreachable(answer)
            | Self::CredentialsRequired(answer)
            | Self::CredentialsRejected(answer)
            | Self::UnsupportedScheme(answer)
            | Self::NotAProxy(answer) => answer,
        }
    }
}

impl fmt::Display for ProxyAnswer {
    /// Writes the status and the reason, in parentheses and after a blank; nothing if both are
    /// unknown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.status, &self.reason) {
            (Some(status), Some(reason)) => write!(f, " (status {status}, `{reason}`)"),
            (Some(status), None) => write!(f, " (status {status})"),
            (None, Some(reason)) => write!(f, " ({reason})"),
            (None, None) => Ok(()),
        }
    }
}

crate::format::named! {
    ConnectStep {
        Dns = "dns",
        Tcp = "tcp",
        ProxyTls = "proxy_tls",
        Proxy = "proxy",
        Tls = "tls",
    }
}
