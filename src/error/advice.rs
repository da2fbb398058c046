//! Advice that the text of an error ends with.

use std::fmt;

use super::{
    Cause, Error, ProtocolError, RetryAction,
    connect::{ConnectError, ConnectStep, ProxyError, TlsError},
    context::Peer,
};
use crate::{
    api::{ApiError, ErrorClass, TlsFault},
    kind::ErrorKind,
};

/// Displays what to do about an error.
pub(super) struct Advice<'a>(pub(super) &'a Error);

impl fmt::Display for Advice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_explanation(self.0, f).unwrap_or_else(|| write_reaction(self.0, f))
    }
}

/// Writes the advice for an error that the settings of the client explain. Returns `None` if
/// the settings do not explain the error.
fn write_explanation(error: &Error, f: &mut fmt::Formatter<'_>) -> Option<fmt::Result> {
    let context = error.0.context.as_deref()?;
    if error.class() == ErrorClass::Credential && !context.has_credential {
        let advice = "no API key or other credential was configured";
        return Some(f.write_str(advice));
    }
    let base_url = &context.base_url;
    let otherwise = match error.kind() {
        ErrorKind::UpgradeRefused => ", or allow SSE with `TransportPolicy::Auto`",
        _ => "",
    };
    if asks_to_sign_in(error) {
        return Some(write!(
            f,
            "sign in with a browser if this network requires it, or check the base URL \
             `{base_url}` and any proxies"
        ));
    }
    match error.api_error().and_then(ApiError::tls_fault) {
        Some(TlsFault::ClientCertificate) => {
            return Some(f.write_str(
                "set a client certificate that the server accepts with \
                 `NetworkSettings::client_certificate_pem`",
            ));
        }
        Some(TlsFault::PlainHttp) if base_url.starts_with("http://") => {
            return Some(
                f.write_str("write the base URL with https://, or use the port of plain HTTP"),
            );
        }
        _ => {}
    }
    if !context.has_path && may_lack_path(error) {
        return Some(write!(
            f,
            "the base URL `{base_url}` has no path, use `{base_url}/v1` if the API is \
             there{otherwise}"
        ));
    }
    if is_at_wrong_address(error) {
        return Some(write!(f, "check the base URL `{base_url}` and any proxies{otherwise}"));
    }
    None
}

/// Returns `true` if a path that is missing in the base URL may have caused the error.
fn may_lack_path(error: &Error) -> bool {
    is_without_endpoint(error) || is_page(error)
}

/// Returns `true` for a status of a server that knows no such address. A code would be one of the
/// API.
fn is_without_endpoint(error: &Error) -> bool {
    matches!(error.status(), Some(404 | 405 | 501)) && error.code().is_none()
}

/// Returns `true` if the address is not an endpoint of the API.
fn is_at_wrong_address(error: &Error) -> bool {
    let by_answer = match error.kind() {
        ErrorKind::Api => error.class() == ErrorClass::WrongEndpoint,
        ErrorKind::UpgradeRefused => is_without_endpoint(error),
        _ => false,
    };
    by_answer || is_page(error)
}

/// Returns `true` if a sign-in page came, or a redirect to one.
fn asks_to_sign_in(error: &Error) -> bool {
    match &error.0.cause {
        Cause::Protocol(ProtocolError::WebPage(page)) => page.sign_in,
        Cause::Protocol(ProtocolError::SignIn(_)) => true,
        _ => false,
    }
}

/// Returns `true` if a web page came in place of a stream.
fn is_page(error: &Error) -> bool {
    matches!(&error.0.cause, Cause::Protocol(ProtocolError::WebPage(_)))
}

/// Writes the advice for a connection that could not be opened.
fn write_connect_advice(
    error: &Error,
    cause: &ConnectError,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let peer = error.0.peer.as_ref();
    let at_proxy = peer.is_some_and(Peer::is_at_proxy);
    f.write_str(match cause {
        ConnectError::Tls(error) => match error {
            TlsError::UnknownIssuer { .. } => {
                "if you trust that issuer, for example because a proxy intercepts TLS, add its \
                 certificate with `NetworkSettings::root_certificates_pem` or `SSL_CERT_FILE`"
            }
            TlsError::Expired { .. } | TlsError::NotYetValid { .. } => {
                "check the clock of this machine, or have the certificate renewed"
            }
            TlsError::WrongName { .. } if at_proxy => "check the host name in the proxy setting",
            TlsError::WrongName { .. } => "check the host name in the base URL",
            TlsError::OldVersion => "update the peer, this crate needs TLS 1.2 or 1.3",
            TlsError::NotTls if at_proxy => "write the proxy setting with http://",
            TlsError::NotTls => "write the base URL with http://, or check its port",
            TlsError::ClientCertificateRequired => {
                "set one with `NetworkSettings::client_certificate_pem`"
            }
            TlsError::ClientCertificateRejected => "check the client certificate",
            TlsError::Certificate(_) => "have the certificate replaced",
            TlsError::Other(_) => "check the TLS settings of the peer",
        },
        ConnectError::Proxy(ProxyError::Refused(_)) => {
            "ask the administrator of the proxy, many proxies allow only port 443"
        }
        ConnectError::Proxy(ProxyError::NotAProxy(_)) => match peer.and_then(Peer::proxy_setting) {
            Some("") | None => "check the proxy URL",
            Some(setting) => return write!(f, "check {setting}"),
        },
        ConnectError::Proxy(ProxyError::CredentialsRequired(_)) => {
            "write `user:password@` before the host in the proxy URL, percent-encoded"
        }
        ConnectError::Proxy(ProxyError::CredentialsRejected(_)) => {
            "check the user name and the password in the proxy URL, where special characters are \
             percent-encoded"
        }
        ConnectError::Proxy(ProxyError::UnsupportedScheme(_)) => {
            "this crate supports Basic, run a local helper such as px or cntlm for other schemes"
        }
        ConnectError::Proxy(ProxyError::ServerUnreachable(_)) => "check the base URL, then retry",
        ConnectError::NameNotFound | ConnectError::Refused | ConnectError::Unreachable => {
            match at_proxy {
                true => "check the proxy setting and the network, then retry",
                false => "check the base URL and the network, then retry",
            }
        }
        ConnectError::TimedOut(ConnectStep::ProxyTls)
        | ConnectError::Lost(ConnectStep::ProxyTls) => {
            "write the proxy setting with http:// if the proxy takes plain HTTP, or retry"
        }
        ConnectError::TimedOut(_) | ConnectError::Lost(_) => "retry",
    })
}

/// Writes the recommended reaction in words.
fn write_reaction(error: &Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if let Some(cause) = error.connect_error() {
        return write_connect_advice(error, cause, f);
    }
    if let Cause::Protocol(ProtocolError::Redirect(_)) = &error.0.cause {
        return f.write_str(
            "if you trust that address, make its part before `/responses` the base URL",
        );
    }
    f.write_str(match error.kind() {
        ErrorKind::InvalidRequest | ErrorKind::InvalidConfig => "fix the request or the settings",
        ErrorKind::Auth => "check the client's `AuthProvider`; the source has the reason",
        ErrorKind::Connect | ErrorKind::Tls => "check the base URL and the network, then retry",
        ErrorKind::Proxy => "check the proxy setting",
        ErrorKind::ProxyAuthentication => "add `user:password@` to the proxy URL",
        ErrorKind::UpgradeRefused => "allow SSE with `TransportPolicy::Auto`",
        ErrorKind::TooLarge => "raise `Limits::max_event_bytes` or `Limits::read_ahead`",
        ErrorKind::FellBehind => {
            "read the stream faster, or give the session a WebSocket of its own"
        }
        ErrorKind::PoolFull => {
            "allow more WebSockets in the pool policy, or let turns wait for one"
        }
        ErrorKind::Superseded => "read the stream of the newer turn",
        ErrorKind::SessionClosed => "start another session",
        ErrorKind::Stopped => "continue from the partial response of the error",
        ErrorKind::NoRuntime => "call it inside a tokio runtime",
        ErrorKind::Decode => "the source has the reason",
        ErrorKind::Timeout
        | ErrorKind::Api
        | ErrorKind::Closed
        | ErrorKind::Truncated
        | ErrorKind::Protocol => match error.retry_action() {
            RetryAction::Retry => match error.retry_after() {
                Some(after) => return write!(f, "retry after {after:.1?}"),
                None => "retry",
            },
            RetryAction::RetryMayRepeat => "retry only if double billing is acceptable",
            RetryAction::Reauthenticate => "check the API key and its permissions",
            RetryAction::ChangeRequest => "change the request",
            RetryAction::Reconfigure => "check the base URL and any proxies",
            RetryAction::Stop => "a retry does not help",
        },
    })
}
