//! Findings: what a check found, whose fault it is, and what to do.

use std::io;

use responses_client::{
    Error, ErrorKind, Phase,
    error::{
        ApiError, ConnectError, ConnectStep,
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

    /// Returns the finding for an error of a connection, or of the answer to a request. `is_secure`
    /// is `true` if the server is reached over TLS.
    pub(super) fn of_error(error: &Error, is_secure: bool) -> Self {
        let (id, advice) = match error.connect_error() {
            Some(cause) if error.is_at_proxy() => of_proxy_connection(cause),
            Some(cause) => of_connect(cause),
            None => of_answer(error, is_secure),
        };
        Self::fail(id, text(error)).advise(advice)
    }

    /// Returns the finding for an error of a connection through a proxy whose URL has this scheme.
    pub(super) fn of_connection(error: &Error, is_secure: bool, scheme: Option<&str>) -> Self {
        let finding = Self::of_error(error, is_secure);
        let scheme = scheme.unwrap_or("http");
        let is_socks = scheme.starts_with("socks");
        match error.connect_error() {
            Some(ConnectError::Proxy(ProxyError::CredentialsRequired(_))) => finding.advise(format!(
                "write the login into the proxy variable: {scheme}://user:password@host:port, with \
                 special characters percent-encoded"
            )),
            Some(ConnectError::Proxy(ProxyError::NotAProxy(_))) if is_socks => {
                finding.advise(NO_SOCKS)
            }
            Some(
                ConnectError::TimedOut(ConnectStep::Proxy) | ConnectError::Lost(ConnectStep::Proxy),
            ) if is_socks => finding.advise(format!(
                "{NO_SOCKS}; otherwise the proxy may wait for a server that does not answer: check \
                 the host and the port in --base-url"
            )),
            _ => finding,
        }
    }

    /// Returns the finding for an error of a request that a proxy forwarded. The answer may be that
    /// of the proxy. `why` is the finding of the tunnel that the proxy did not open.
    pub(super) fn of_forwarded(error: &Error, why: &Self) -> Self {
        let finding = Self::of_error(error, false);
        let of_squid =
            error.api_error().is_some_and(|it| it.headers().contains_key("x-squid-error"));
        let (id, who, advice) = match finding.id {
            "gateway_error" => SERVER_DOWN,
            "request_failed" if of_squid && error.status() == Some(500) => SERVER_DOWN,
            "request_failed" | "wrong_path" if says_unreachable(error) => SERVER_DOWN,
            // Nothing shows that the proxy forwards requests.
            "https_needed" if why.id == "not_a_proxy" => return why.clone(),
            "connection_cut" if why.id == "proxy_lost" => return why.clone(),
            "no_answer" if why.id == "proxy_timeout" => return why.clone(),
            "forbidden" if of_squid => ("proxy_not_allowed", "the proxy", NOT_ALLOWED),
            _ if finding.id == why.id => return why.clone(),
            _ => return finding,
        };
        // The answer to CONNECT names the proxy and its reason.
        if id == why.id {
            return why.clone();
        }
        let message = finding.message.replacen("the server", who, 1);
        Self { id, message, ..finding }.advise(advice)
    }
}

/// Advice for an address at which no SOCKS proxy answers.
const NO_SOCKS: &str = "no SOCKS proxy may listen at the address in the proxy variable: if it is an \
                        HTTP proxy, write http://";

/// Id, source and advice of the answer of a proxy whose server does not answer.
const SERVER_DOWN: (&str, &str, &str) = (
    "server_down_behind_proxy",
    "the proxy, or a gateway behind it,",
    "the server behind it does not answer: check the host and the port in --base-url",
);

/// Returns `true` if the page of a proxy says that the server cannot be reached: tinyproxy answers
/// with status 500, and privoxy with 404 and the status of a gateway in the title.
fn says_unreachable(error: &Error) -> bool {
    let message = error.api_error().and_then(ApiError::message).unwrap_or_default();
    let names_gateway = ["502 ", "503 ", "504 "].iter().any(|it| message.starts_with(it));
    match error.status() {
        _ if is_json(error) => false,
        Some(500) => message.contains("Unable to connect"),
        status => status == Some(404) && names_gateway,
    }
}

/// Advice for a server that a proxy does not allow.
const NOT_ALLOWED: &str = "ask the administrator of the proxy to allow this host and port; many \
                           proxies allow only port 443";

/// Returns the text of an error and of its sources, without its advice, and without the point that
/// the request reached: an empty request costs nothing.
pub(super) fn text(error: &Error) -> String {
    if error.kind() == ErrorKind::Truncated {
        return end(error);
    }
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

/// Returns the text of a connection that ended too early.
fn end(error: &Error) -> String {
    if is_not_http(error) {
        return "the answer is not HTTP".to_owned();
    }
    let before = match error.phase() {
        Phase::Events => "before the answer was complete",
        _ => "without an answer",
    };
    let reasons = sources(error).filter_map(|cause| cause.downcast_ref::<io::Error>());
    let reason = reasons.last().filter(|reason| reason.raw_os_error().is_some());
    let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
    format!("the connection ended {before}{reason}")
}

/// Returns `true` if something else than HTTP came in place of an answer.
fn is_not_http(error: &Error) -> bool {
    let mut causes = sources(error).filter_map(|cause| cause.downcast_ref::<hyper::Error>());
    causes.any(hyper::Error::is_parse)
}

/// Returns `true` if JSON has the error, as errors of the API do.
pub(super) fn is_json(error: &Error) -> bool {
    let is_json = |answer: &ApiError| {
        let media_type = answer.headers().get("content-type").and_then(|it| it.to_str().ok());
        answer.code().is_some()
            || answer.error_type().is_some()
            || media_type.is_some_and(|it| it.to_ascii_lowercase().contains("json"))
    };
    error.event().is_some() || error.api_error().is_some_and(is_json)
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
        ConnectError::Tls(TlsError::UnknownIssuer { .. } | TlsError::Certificate(_)) => (
            "proxy_certificate",
            "this is the certificate of the proxy, not of the API: trust its issuer with \
             --ca-file, or write the proxy's address with http:// if it takes plain HTTP",
        ),
        ConnectError::Tls(TlsError::Expired { .. }) => (
            "proxy_certificate",
            "the certificate is the proxy's: tell its administrator, unless the clock of this \
             machine is wrong",
        ),
        ConnectError::Tls(TlsError::NotYetValid { .. }) => (
            "proxy_certificate",
            "the certificate is the proxy's, and the clock of this machine is probably wrong: set \
             it, or tell the administrator of the proxy",
        ),
        ConnectError::Tls(TlsError::WrongName { .. }) => (
            "proxy_certificate",
            "the certificate is the proxy's: write the proxy's address with a name that its \
             certificate has",
        ),
        ConnectError::Tls(TlsError::OldVersion) => (
            "proxy_tls_failed",
            "the proxy must be updated: tell its administrator, or write the proxy's address with \
             http:// if it takes plain HTTP",
        ),
        ConnectError::Tls(
            TlsError::ClientCertificateRequired | TlsError::ClientCertificateRejected,
        ) => (
            "proxy_tls_failed",
            "the proxy wants a certificate of this client: name one with --client-certificate",
        ),
        ConnectError::Tls(_)
        | ConnectError::TimedOut(ConnectStep::ProxyTls)
        | ConnectError::Lost(ConnectStep::ProxyTls) => (
            "proxy_tls_failed",
            "the address in the proxy variable has https://: if the proxy takes plain HTTP, write \
             http://; if not, ask its administrator",
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
        ConnectError::TimedOut(ConnectStep::Dns) => (
            "dns_timeout",
            "no name server answers: check the network and the name servers of this machine; some \
             networks resolve outside names only at their proxy: set HTTPS_PROXY",
        ),
        ConnectError::TimedOut(ConnectStep::Tls | ConnectStep::ProxyTls) => (
            "tls_timeout",
            "the host accepts connections and does not answer in TLS: the port may not speak TLS, \
             or a firewall holds the answer back",
        ),
        ConnectError::TimedOut(ConnectStep::Proxy) => (
            "proxy_timeout",
            "the proxy may wait for a server that does not answer: check the host and the port in \
             --base-url, and the address and the scheme in the proxy variable; then ask the \
             administrator of the proxy",
        ),
        ConnectError::TimedOut(_) => (
            "connect_timeout",
            "a firewall may drop the packets: check if this network needs a proxy, and set \
             HTTPS_PROXY",
        ),
        ConnectError::Lost(ConnectStep::Proxy) => ("proxy_lost", NO_PROXY_THERE),
        ConnectError::Lost(_) => (
            "tls_cut",
            "the port may not speak TLS, or a firewall that inspects TLS cuts connections to this \
             host: check the port, then ask the administrator of the network",
        ),
        ConnectError::Tls(error) => of_tls(error),
        ConnectError::Proxy(error) => of_proxy(error),
        // `Unreachable`, and the reasons of later versions.
        _ => (
            "unreachable",
            "this machine may have no route to the host, or not be allowed to use it: read the \
             message, and check the network",
        ),
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
        ProxyError::Refused(_) => ("proxy_not_allowed", NOT_ALLOWED),
        ProxyError::ServerUnreachable(_) => (
            "server_down_behind_proxy",
            "the proxy works, the server behind it does not answer: check the host and the port in \
             --base-url",
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
        ProxyError::NotAProxy(answer) if answer.status.is_some() => (
            "not_a_proxy",
            "the address in the proxy variable is that of a web server: check scheme, host and port",
        ),
        _ => (
            "not_a_proxy",
            "the program at the address in the proxy variable does not answer like an HTTP proxy: \
             check scheme, host and port; if the proxy takes TLS, write https://",
        ),
    }
}

/// Returns the id and the advice for an error after the connection was opened.
fn of_answer(error: &Error, is_secure: bool) -> (&'static str, &'static str) {
    match protocol_error(error) {
        Some(SignIn(_)) => return SIGN_IN,
        Some(WebPage(page)) if page.sign_in => return SIGN_IN,
        Some(WebPage(_)) => return ("web_page", "check --base-url, and the proxy if there is one"),
        Some(Redirect(_)) => {
            return (
                "redirect",
                "if the new address is the API's, use its part before /responses as --base-url",
            );
        }
        _ => {}
    }
    let message = error.api_error().and_then(ApiError::message).unwrap_or_default();
    // A page with the status of an error, for example 511 of a network.
    if message.starts_with("sign-in page") || error.status() == Some(511) {
        return SIGN_IN;
    }
    let is_400 = error.status() == Some(400) && !is_json(error);
    if is_400 && message.to_ascii_lowercase().contains("certificate") {
        return (
            "tls_client_certificate",
            "the server wants a certificate of this client that it accepts: name one with \
             --client-certificate",
        );
    }
    // Servers answer to plain HTTP on a port of TLS with an alert of TLS, or with this status.
    let names_tls = ["HTTPS", "SSL", "TLS"].iter().any(|name| message.contains(name));
    if !is_secure && (is_not_http(error) || is_400 && names_tls) {
        return (
            "https_needed",
            "the port may speak TLS: write --base-url with https://, or use the port of plain HTTP",
        );
    }
    match (error.kind(), error.status()) {
        (ErrorKind::ProxyAuthentication, _) => (
            "proxy_login_required",
            "a proxy on the way wants a login: name it in HTTPS_PROXY, or in HTTP_PROXY for \
             http://, as http://user:password@host:port",
        ),
        (_, Some(401)) => ("key_rejected", "check the key, see --api-key-env"),
        (_, Some(403)) => (
            "forbidden",
            "the key may lack the permission, or a firewall or a proxy blocks the request: read \
             the message",
        ),
        (_, Some(404 | 405 | 501)) => (
            "wrong_path",
            "there is no Responses API at this address: check the path of --base-url, which often \
             ends in /v1",
        ),
        (_, Some(429)) => {
            ("quota", "the quota of this key is used up: add credit, or use another key")
        }
        (_, Some(502..=504 | 520..=530)) => (
            "gateway_error",
            "a gateway answers, and the server behind it does not: tell its operator",
        ),
        (ErrorKind::Truncated, _) => ("connection_cut", of_cut(error, is_secure)),
        (ErrorKind::Timeout, _) => (
            "no_answer",
            "the connection is open, and no answer comes: a proxy may hold the answer back",
        ),
        _ => (
            "request_failed",
            "check that --base-url is the address of a Responses API; if it is, tell the operator \
             of the server, with this line",
        ),
    }
}

const SIGN_IN: (&str, &str) =
    ("sign_in", "sign in to this network in a browser, or ask its administrator");

/// Returns the advice for a connection that ended too early.
fn of_cut(error: &Error, is_secure: bool) -> &'static str {
    match error.phase() {
        Phase::Events => {
            "a gateway may limit the time of an answer: ask its administrator to raise the limit"
        }
        _ if is_secure => {
            "the server, or a box in front of it, ends the connection: it may require a \
             certificate of this client, see --client-certificate"
        }
        _ => {
            "the server, or a box in front of it, ends the connection: if it expects TLS, write \
             --base-url with https://"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c183_a_name_server_that_does_not_answer_is_named() {
        let timeout = ConnectError::TimedOut(ConnectStep::Dns);
        let (id, advice) = of_connect(&timeout);
        assert_eq!(id, "dns_timeout");
        assert!(advice.contains("name servers") && advice.contains("HTTPS_PROXY"), "{advice}");
        assert_eq!(of_proxy_connection(&timeout).0, "proxy_unreachable");
    }

    #[test]
    fn c183_each_fault_of_tls_with_a_proxy_has_its_advice() {
        for (fault, id, advice) in [
            (TlsError::NotTls, "proxy_plain_http", "http://"),
            (TlsError::Certificate("odd".to_owned()), "proxy_certificate", "--ca-file"),
            (TlsError::OldVersion, "proxy_tls_failed", "must be updated"),
            (TlsError::ClientCertificateRequired, "proxy_tls_failed", "--client-certificate"),
        ] {
            let found = of_proxy_connection(&ConnectError::Tls(fault));
            assert_eq!(found.0, id);
            assert!(found.1.contains(advice), "{found:?}");
        }
        for fault in [ConnectError::TimedOut, ConnectError::Lost] {
            let found = of_proxy_connection(&fault(ConnectStep::ProxyTls));
            assert_eq!(found.0, "proxy_tls_failed");
        }
    }
}
