//! Whole texts of errors that name the server, the proxy or the settings.

use std::{io, sync::Arc};

use super::{
    connect::{ConnectError, ConnectStep, ProxyAnswer, ProxyError, TlsError},
    context::ProxyPeer,
    *,
};

fn peer(uri: &str, proxy: Option<&str>) -> Peer {
    let proxy = proxy.map(|address| ProxyPeer {
        address: address.to_owned(),
        setting: "https_proxy",
        is_local: false,
        forwards: false,
    });
    Peer::new(&uri.parse().unwrap(), proxy)
}

fn direct() -> Peer {
    peer("https://api.example/v1/responses?key=canary", None)
}

fn proxied() -> Peer {
    peer("https://api.example/v1/responses", Some("proxy.example:3128"))
}

/// Whole text of a connection that failed for `error`.
fn at(peer: Peer, error: ConnectError) -> String {
    Error::connect(error, io::Error::other("refused"), Some(peer)).to_string()
}

#[test]
fn c191_an_error_of_a_connection_names_host_and_port() {
    use ConnectError::{Lost, NameNotFound, Refused, TimedOut, Unreachable};
    let local = peer("http://[::1]:8000/v1/responses", None);
    for (peer, error, text) in [
        (
            direct(),
            Unreachable,
            "could not connect to api.example:443 (the request was not sent): check the base URL \
             and the network, then retry",
        ),
        (
            local,
            Refused,
            "[::1]:8000 refused the connection (the request was not sent): check the base URL and \
             the network, then retry",
        ),
        (
            direct(),
            NameNotFound,
            "could not resolve the host name of api.example:443 (the request was not sent): check \
             the base URL and the network, then retry",
        ),
        (
            proxied().at_proxy(),
            Refused,
            "the proxy proxy.example:3128 (from https_proxy) refused the connection (the request \
             was not sent): check the proxy setting and the network, then retry",
        ),
        (
            direct(),
            TimedOut(ConnectStep::Dns),
            "timed out resolving the host name of api.example:443 (the request was not sent): retry",
        ),
        (
            direct(),
            TimedOut(ConnectStep::Tcp),
            "timed out connecting to api.example:443 (the request was not sent): retry",
        ),
        (
            proxied(),
            TimedOut(ConnectStep::Proxy),
            "timed out waiting for a tunnel to api.example:443 through the proxy \
             proxy.example:3128 (from https_proxy) (the request was not sent): retry",
        ),
        (
            direct(),
            Lost(ConnectStep::Tls),
            "the connection to api.example:443 ended in the TLS handshake (the request was not \
             sent): retry",
        ),
    ] {
        assert_eq!(at(peer, error), text);
    }
}

#[test]
fn c176_each_tls_fault_has_a_text_and_an_advice_of_its_own() {
    let some = |text: &str| Some(text.to_owned());
    let (start, end) = ("Wed, 21 Oct 2015 07:28:00 GMT", "Thu, 22 Oct 2015 07:28:00 GMT");
    for (peer, error, why, advice) in [
        (
            direct(),
            TlsError::UnknownIssuer { issuer: "CN=mitmproxy,O=mitmproxy".to_owned() },
            "the issuer of the certificate, `CN=mitmproxy,O=mitmproxy`, is not trusted",
            "if you trust that issuer, for example because a proxy intercepts TLS, add its \
             certificate with `NetworkSettings::root_certificates_pem` or `SSL_CERT_FILE`",
        ),
        (
            direct(),
            TlsError::Expired { not_after: some(start), now: some(end) },
            "the certificate has expired on Wed, 21 Oct 2015 07:28:00 GMT (the clock of this \
             machine shows Thu, 22 Oct 2015 07:28:00 GMT)",
            "check the clock of this machine, or have the certificate renewed",
        ),
        (
            direct(),
            TlsError::NotYetValid { not_before: some(end), now: some(start) },
            "the certificate is not valid yet, only from Thu, 22 Oct 2015 07:28:00 GMT on (the \
             clock of this machine shows Wed, 21 Oct 2015 07:28:00 GMT)",
            "check the clock of this machine, or have the certificate renewed",
        ),
        (
            direct(),
            TlsError::WrongName { has: vec!["a.example".to_owned(), "b.example".to_owned()] },
            "the certificate is for a.example, b.example",
            "check the host name in the base URL",
        ),
        (
            direct(),
            TlsError::OldVersion,
            "the peer supports no TLS version from 1.2 on",
            "update the peer, this crate needs TLS 1.2 or 1.3",
        ),
        (
            direct(),
            TlsError::NotTls,
            "this port does not speak TLS",
            "write the base URL with http://, or check its port",
        ),
        (
            proxied().at_proxy(),
            TlsError::NotTls,
            "this port does not speak TLS",
            "write the proxy setting with http://",
        ),
        (
            direct(),
            TlsError::ClientCertificateRequired,
            "the server requires a client certificate",
            "set one with `NetworkSettings::client_certificate_pem`",
        ),
    ] {
        let text = format!(
            "the TLS handshake with {peer} failed, because {why} (the request was not sent): \
             {advice}"
        );
        assert_eq!(at(peer, ConnectError::Tls(error)), text);
    }
}

#[test]
fn c176_a_proxy_that_may_take_plain_http_is_named() {
    let step = ConnectStep::ProxyTls;
    for fault in [ConnectError::TimedOut(step), ConnectError::Lost(step)] {
        let text = at(proxied().at_proxy(), fault);
        let advice = "write the proxy setting with http:// if the proxy takes plain HTTP, or retry";
        assert!(text.ends_with(&format!("(the request was not sent): {advice}")), "{text}");
    }
}

#[test]
fn c177_each_refusal_of_a_proxy_has_a_text_and_an_advice_of_its_own() {
    let answer = |status: u16, reason: Option<&str>, schemes: &[&str]| ProxyAnswer {
        status: Some(status),
        reason: reason.map(str::to_owned),
        schemes: schemes.iter().map(|it| (*it).to_owned()).collect(),
    };
    for (error, failure, advice) in [
        (
            ProxyError::Refused(answer(403, Some("ERR_ACCESS_DENIED"), &[])),
            " does not allow connections to api.example:443 (status 403, `ERR_ACCESS_DENIED`)",
            "ask the administrator of the proxy, many proxies allow only port 443",
        ),
        (
            ProxyError::ServerUnreachable(answer(503, None, &[])),
            " works, but cannot reach api.example:443 (status 503)",
            "check the base URL, then retry",
        ),
        (
            ProxyError::CredentialsRequired(answer(407, None, &["Basic"])),
            " requires a user name and a password (status 407)",
            "write `user:password@` before the host in the proxy URL, percent-encoded",
        ),
        (
            ProxyError::CredentialsRejected(answer(407, None, &["Basic"])),
            " rejected the user name and the password (status 407)",
            "check the user name and the password in the proxy URL, where special characters are \
             percent-encoded",
        ),
        (
            ProxyError::UnsupportedScheme(answer(407, None, &["Negotiate", "NTLM"])),
            " offers only Negotiate and NTLM for authentication (status 407)",
            "this crate supports Basic, run a local helper such as px or cntlm for other schemes",
        ),
        (
            ProxyError::NotAProxy(answer(400, Some("400 Bad Request"), &[])),
            " does not answer like a proxy (status 400, `400 Bad Request`)",
            "check https_proxy",
        ),
    ] {
        let text = format!(
            "the proxy proxy.example:3128 (from https_proxy){failure} (the request was not sent): \
             {advice}"
        );
        assert_eq!(at(proxied(), ConnectError::Proxy(error)), text);
    }
}

/// `error` of a client with this base URL.
fn of_client(base_url: &str, has_credential: bool, mut error: Error) -> String {
    let has_path = base_url.ends_with("/v1");
    let base_url = base_url.to_owned();
    error.set_context(&Arc::new(ErrorContext { has_credential, base_url, has_path }));
    error.to_string()
}

#[test]
fn c192_a_refused_request_without_a_credential_says_that_there_was_none() {
    let refused = || told(401, "");
    assert_eq!(
        of_client("https://api.example/v1", false, refused()),
        "the server answered with an error, status 401 (the server did not run the request): no \
         API key or other credential was configured"
    );
    assert_eq!(
        of_client("https://api.example/v1", true, refused()),
        "the server answered with an error, status 401 (the server did not run the request): \
         check the API key and its permissions"
    );
}

#[test]
fn c193_an_answer_of_another_address_names_the_base_url() {
    let page = || {
        Error::protocol(
            Phase::FirstEvent,
            ProtocolError::WebPage(WebPage::new(200, "text/html", Some("Welcome"), None)),
        )
    };
    let bare = "the base URL `https://api.example` has no path, use `https://api.example/v1` if \
                the API is there";
    let other = "check the base URL `https://api.example/v1` and any proxies";
    let answered = |status| format!("the server answered with an error, status {status}");
    let refused = "(the server did not run the request)";
    for status in [404, 405, 501] {
        let (error, what) = (|| told(status, ""), answered(status));
        let text = of_client("https://api.example", true, error());
        assert_eq!(text, format!("{what} {refused}: {bare}"));
        let text = of_client("https://api.example/v1", true, error());
        assert_eq!(text, format!("{what} {refused}: {other}"));
        assert_eq!(error().retry_action(), RetryAction::Reconfigure);
    }
    let what = "a web page (`Welcome`, status 200) answered instead of the API (the request was \
                sent and may have run)";
    let text = of_client("https://api.example", true, page());
    assert_eq!(text, format!("{what}: {bare}"));
    let text = of_client("https://api.example/v1", true, page());
    assert_eq!(text, format!("{what}: {other}"));
    // A code proves that the API answered.
    let no_model = of_client("https://api.example", true, told(404, "model_not_found"));
    let what = "the server answered with an error, status 404, code model_not_found";
    assert_eq!(no_model, format!("{what} {refused}: change the request"));
    for status in [404, 405, 501] {
        let upgrade = || {
            let cause = ApiError { status: Some(status), ..ApiError::default() };
            Error::new(ErrorKind::UpgradeRefused, Phase::Connect, Cause::Api(cause))
        };
        for (base_url, advice) in [("https://api.example", bare), ("https://api.example/v1", other)]
        {
            assert_eq!(
                of_client(base_url, true, upgrade()),
                format!(
                    "the server refused the WebSocket upgrade: the server answered with an error, \
                     status {status} (the request was not sent): {advice}, or allow SSE with \
                     `TransportPolicy::Auto`"
                )
            );
        }
    }
}

#[test]
fn c193_an_answer_about_tls_names_the_certificate_or_the_scheme() {
    let answered = |message: &str| {
        let error = ApiError { status: Some(400), ..ApiError::default() };
        Error::api(Phase::FirstEvent, ApiError { message: Some(message.to_owned()), ..error })
    };
    let certificate = "set a client certificate that the server accepts with \
                       `NetworkSettings::client_certificate_pem`";
    let https = "write the base URL with https://, or use the port of plain HTTP";
    let (plain, secure) = ("http://api.example/v1", "https://api.example/v1");
    for (url, message, advice) in [
        (secure, "400 No required SSL certificate was sent", certificate),
        (secure, "400 The SSL certificate error", certificate),
        (plain, "400 The plain HTTP request was sent to HTTPS port", https),
        (plain, "Client sent an HTTP request to an HTTPS server.", https),
    ] {
        assert_eq!(answered(message).retry_action(), RetryAction::Reconfigure);
        let text = of_client(url, true, answered(message));
        assert!(text.ends_with(&format!("): {advice}")), "{text}");
    }
    // An answer of the API may have these words.
    let mut error = ApiError { status: Some(400), ..ApiError::default() };
    error.message = Some("the certificate of the image's https server".to_owned());
    error.headers.insert("content-type", "application/json".parse().unwrap());
    let text = of_client(secure, true, Error::api(Phase::FirstEvent, error));
    assert!(text.ends_with("change the request"), "{text}");
}

#[test]
fn c180_a_sign_in_page_and_a_redirect_are_named() {
    let page = |sign_in| {
        let page = WebPage::new(200, "text/html", Some("Sign in"), Some("portal/1.0"));
        ProtocolError::WebPage(WebPage { sign_in, ..page })
    };
    let (bare, url) = ("https://api.example", "https://api.example/v1");
    let sign_in = |url| {
        format!(
            "sign in with a browser if this network requires it, or check the base URL `{url}` \
             and any proxies"
        )
    };
    let idp = || "https://idp.example".to_owned();
    for (url, error, what, advice) in [
        (
            url,
            page(true),
            "a sign-in page (`Sign in`, status 200, server `portal/1.0`) answered instead of the \
             API",
            sign_in(url),
        ),
        (
            bare,
            page(true),
            "a sign-in page (`Sign in`, status 200, server `portal/1.0`) answered instead of the \
             API",
            sign_in(bare),
        ),
        (
            url,
            page(false),
            "a web page (`Sign in`, status 200, server `portal/1.0`) answered instead of the API",
            format!("check the base URL `{url}` and any proxies"),
        ),
        (
            bare,
            ProtocolError::SignIn(idp()),
            "the server redirects to the sign-in page at https://idp.example",
            sign_in(bare),
        ),
        (
            bare,
            ProtocolError::Redirect(idp()),
            "the server redirects to https://idp.example",
            "if you trust that address, make its part before `/responses` the base URL".to_owned(),
        ),
    ] {
        let error = Error::protocol(Phase::FirstEvent, error).with_delivery(Delivery::Refused);
        assert_eq!(error.retry_action(), RetryAction::Reconfigure);
        let text = of_client(url, true, error);
        assert_eq!(text, format!("{what} (the server did not run the request): {advice}"));
    }
}

#[test]
fn each_fault_of_a_request_says_what_to_do() {
    let body = |json: &str| ResponsesRequest::from_json(json).unwrap_err();
    let name = || "stream".to_owned();
    for (fault, text) in [
        (body("{"), "the request body: the JSON ends too early"),
        (body("[]"), "the request body: not of the expected type at line 1, column 0"),
        (
            RequestError::ReservedField(name()),
            "`stream` belongs to the transport: remove it from the request",
        ),
        (
            RequestError::RepeatedField(name()),
            "`stream` is set twice: set it once, as a field or in `extra`",
        ),
        (
            RequestError::NoTransport("`background` needs HTTP"),
            "`background` needs HTTP, and the transport policy allows no alternative: use \
             `TransportPolicy::Auto`",
        ),
        (RequestError::ResponseId, "invalid response id"),
        (
            RequestError::TurnHeader { name: "Host".to_owned(), reason: "the transport sets it" },
            "cannot send the header `Host` with one turn: the transport sets it",
        ),
    ] {
        let error = Error::from(fault);
        assert_eq!(error.to_string(), format!("the request is invalid: {text}"));
    }
}
