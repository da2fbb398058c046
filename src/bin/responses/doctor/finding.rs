//! Findings: what a check found, whose fault it is, and what to do.

use responses_client::{
    Error, ErrorKind, Phase,
    error::{
        ConnectError, ConnectStep,
        ProtocolError::{self, Redirect, SignIn, WebPage},
        ProxyError, TlsError,
    },
};
use serde::Serialize;

use crate::stop::with_flags;

/// Result of one check.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Finding {
    /// Name of the situation, which stays the same in later versions.
    pub(super) id: &'static str,
    pub(super) status: Status,
    /// Fact that was found.
    pub(super) message: String,
    /// Remedy; `None` if there is nothing to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) advice: Option<String>,
    /// Time of the check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ms: Option<f64>,
}

/// Weight of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    Ok,
    /// Worth to know, without effect on turns.
    Note,
    /// Turns work with limits.
    Limit,
    /// Turns do not work.
    Fail,
}

impl Finding {
    pub(super) fn ok(id: &'static str, message: impl Into<String>) -> Self {
        Self { id, status: Status::Ok, message: message.into(), advice: None, ms: None }
    }

    pub(super) fn note(id: &'static str, message: impl Into<String>) -> Self {
        Self { status: Status::Note, ..Self::ok(id, message) }
    }

    pub(super) fn limit(id: &'static str, message: impl Into<String>) -> Self {
        Self { status: Status::Limit, ..Self::ok(id, message) }
    }

    pub(super) fn fail(id: &'static str, message: impl Into<String>) -> Self {
        Self { status: Status::Fail, ..Self::ok(id, message) }
    }

    pub(super) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    pub(super) fn after(mut self, time: std::time::Duration) -> Self {
        self.ms = Some((time.as_secs_f64() * 1e4).round() / 10.0);
        self
    }

    /// Returns the finding for an error of a connection, or of the answer to a request.
    pub(super) fn of_error(error: &Error) -> Self {
        let (id, advice) = match error.connect_error() {
            Some(cause) if error.is_at_proxy() => of_proxy_connection(cause),
            Some(cause) => of_connect(cause),
            None => of_answer(error),
        };
        Self::fail(id, text(error)).advise(advice)
    }
}

/// Returns the text of an error and of its sources, without its advice, and without the point that
/// the request reached: an empty request costs nothing.
pub(super) fn text(error: &Error) -> String {
    let summary = error.summary().to_string();
    let text = match summary.rsplit_once(" (") {
        Some((text, _)) if error.phase() != Phase::Prepare => text.to_owned(),
        _ => summary,
    };
    let causes: Vec<_> = sources(error).skip(1).map(ToString::to_string).collect();
    let causes = causes.join(": ");
    let text = match (error.connect_error(), protocol_error(error)) {
        _ if causes.is_empty() => text,
        // The summary has the cause.
        (Some(cause), _) if *cause != ConnectError::Unreachable => text,
        (_, Some(WebPage(_) | Redirect(_) | SignIn(_))) => text,
        (_, Some(_)) => causes,
        _ => format!("{text}: {causes}"),
    };
    with_flags(&text)
}

/// Returns the violation of the protocol in an error.
fn protocol_error(error: &Error) -> Option<&ProtocolError> {
    sources(error).find_map(|cause| cause.downcast_ref())
}

/// Returns an error and its sources.
fn sources(error: &Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error as &(dyn std::error::Error + 'static)), |&it| it.source())
}

fn of_proxy_connection(cause: &ConnectError) -> (&'static str, &'static str) {
    match cause {
        ConnectError::Tls(TlsError::NotTls) => (
            "proxy_plain_http",
            "the proxy speaks plain HTTP: write its address with http:// in the proxy variable",
        ),
        ConnectError::Tls(_) | ConnectError::Lost(ConnectStep::ProxyTls) => (
            "proxy_certificate",
            "this is the certificate of the proxy, not of the API: trust its issuer with \
             --ca-file, or write the proxy's address with http:// if it takes plain HTTP",
        ),
        _ => (
            "proxy_unreachable",
            "check the address in the proxy variable; if this network needs no proxy, unset it",
        ),
    }
}

fn of_connect(cause: &ConnectError) -> (&'static str, &'static str) {
    match cause {
        ConnectError::NameNotFound => (
            "name_not_found",
            "check the spelling of the host, and the name servers of this machine; some networks \
             resolve outside names only at their proxy: set HTTPS_PROXY",
        ),
        ConnectError::Refused => (
            "refused",
            "no server listens on that port: check the host and the port, and that the server runs",
        ),
        ConnectError::Unreachable => {
            ("unreachable", "this machine has no route to the host: check its network")
        }
        ConnectError::TimedOut(ConnectStep::Tls | ConnectStep::ProxyTls) => (
            "tls_timeout",
            "the host accepts connections and does not answer in TLS: a firewall may hold them back",
        ),
        ConnectError::TimedOut(ConnectStep::Proxy) => (
            "proxy_timeout",
            "the proxy opens no tunnel and does not refuse one: ask its administrator",
        ),
        ConnectError::TimedOut(_) => (
            "connect_timeout",
            "a firewall may drop the packets: check if this network needs a proxy, and set \
             HTTPS_PROXY",
        ),
        ConnectError::Lost(ConnectStep::Proxy) => ("proxy_lost", NO_PROXY_THERE),
        ConnectError::Lost(_) => (
            "tls_cut",
            "a firewall that inspects TLS may cut connections to this host: ask its administrator",
        ),
        ConnectError::Tls(error) => of_tls(error),
        ConnectError::Proxy(error) => of_proxy(error),
        _ => ("connect_failed", "check the address and the network"),
    }
}

fn of_tls(error: &TlsError) -> (&'static str, &'static str) {
    match error {
        TlsError::UnknownIssuer { .. } => (
            "tls_unknown_issuer",
            "if this network's firewall or proxy inspects TLS, get the certificate of that issuer \
             from its administrator and name it with --ca-file, which adds it to the trusted ones, \
             or in SSL_CERT_FILE, which replaces them",
        ),
        TlsError::Expired { .. } => (
            "tls_expired",
            "the certificate is the server's: tell its operator, unless the clock of this machine \
             is wrong",
        ),
        TlsError::NotYetValid { .. } => {
            ("tls_not_yet_valid", "the clock of this machine is probably wrong: set it")
        }
        TlsError::WrongName { .. } => (
            "tls_wrong_name",
            "another server answers at this address: check the host in --base-url, and the name \
             servers of this network",
        ),
        TlsError::OldVersion => {
            ("tls_old_version", "the server or a box in front of it must be updated")
        }
        TlsError::NotTls => (
            "tls_plain_http",
            "the port speaks plain HTTP: write --base-url with http://, or use the port of TLS",
        ),
        TlsError::ClientCertificateRequired => (
            "tls_client_certificate",
            "name a certificate of this client with --client-certificate",
        ),
        TlsError::ClientCertificateRejected => {
            ("tls_client_certificate", "check the certificate in --client-certificate")
        }
        _ => ("tls_failed", "tell the operator of the server, with this line"),
    }
}

/// Advice for the address of a proxy at which another program answers, or a proxy over TLS.
const NO_PROXY_THERE: &str = "the program at the address in the proxy variable is no such proxy: \
    check scheme, host and port; if the proxy takes TLS, write https://";

fn of_proxy(error: &ProxyError) -> (&'static str, &'static str) {
    match error {
        ProxyError::Refused(_) => (
            "proxy_not_allowed",
            "ask the administrator of the proxy to allow this host and port; many proxies allow \
             only port 443",
        ),
        ProxyError::ServerUnreachable(_) => (
            "server_down_behind_proxy",
            "the proxy works, the server behind it does not answer: check the host and the port",
        ),
        ProxyError::CredentialsRequired(_) => (
            "proxy_login_required",
            "write the login into the proxy variable: http://user:password@host:port, with special \
             characters percent-encoded",
        ),
        ProxyError::CredentialsRejected(_) => {
            ("proxy_login_rejected", "check the user name and the password in the proxy variable")
        }
        ProxyError::UnsupportedScheme(_) => (
            "proxy_scheme_unsupported",
            "only Basic is supported: run a local helper such as px or cntlm, and name that as the \
             proxy",
        ),
        _ => ("not_a_proxy", NO_PROXY_THERE),
    }
}

/// Returns the id and the advice for an error after the connection was opened.
fn of_answer(error: &Error) -> (&'static str, &'static str) {
    let sign_in = "sign in to this network in a browser, or ask its administrator";
    match protocol_error(error) {
        Some(SignIn(_)) => return ("sign_in", sign_in),
        Some(WebPage(page)) if page.sign_in => return ("sign_in", sign_in),
        Some(WebPage(_)) => {
            return ("web_page", "a web page answered, not the API: check --base-url and proxies");
        }
        Some(Redirect(_)) => {
            return ("redirect", "if the new address is the API's, use it as --base-url");
        }
        _ => {}
    }
    match (error.kind(), error.status()) {
        (ErrorKind::ProxyAuthentication, _) => (
            "proxy_login_required",
            "write the login into the proxy variable: http://user:password@host:port",
        ),
        (_, Some(401)) => ("key_rejected", "check the key, see --api-key-env"),
        (_, Some(403)) => (
            "forbidden",
            "the key may lack the permission, or a firewall blocks this address: read the message",
        ),
        (_, Some(404 | 405 | 501)) => (
            "wrong_path",
            "there is no Responses API at this address: check the path of --base-url, which often \
             ends in /v1",
        ),
        (_, Some(429)) => {
            ("quota", "the quota of this key is used up: add credit, or use another key")
        }
        (_, Some(502..=504)) => (
            "gateway_error",
            "a gateway answers, and the server behind it does not: tell its operator",
        ),
        (ErrorKind::Truncated, _) => (
            "connection_cut",
            "the server, or a box in front of it, ends the connection without an answer: it may \
             require a certificate of this client, see --client-certificate",
        ),
        (ErrorKind::Timeout, _) => (
            "no_answer",
            "the connection is open, and no answer comes: a proxy may hold the answer back",
        ),
        _ => ("request_failed", "tell the operator of the server, with this line"),
    }
}
