//! Whole texts of errors that name the server, the proxy or the settings.

use std::{io, sync::Arc};

use super::*;

fn peer(uri: &str, proxy: Option<&str>) -> Peer {
    Peer::new(&uri.parse().unwrap(), proxy.map(str::to_owned))
}

fn at(kind: ErrorKind, peer: Peer) -> String {
    let cause = Cause::other(io::Error::other("refused"));
    Error::new(kind, Phase::Connect, cause).with_peer(Some(peer)).to_string()
}

#[test]
fn c191_an_error_of_a_connection_names_host_and_port() {
    use ErrorKind::{Connect, Proxy, ProxyAuthentication, Timeout, Tls};
    let direct = || peer("https://api.example/v1/responses?key=canary", None);
    let local = || peer("http://[::1]:8000/v1/responses", None);
    let proxied = || peer("https://api.example/v1/responses", Some("proxy.example:3128"));
    for (kind, peer, text) in [
        (
            Connect,
            direct(),
            "could not connect to api.example:443 (the request was not sent): check the address, \
             the network and the proxy, then retry",
        ),
        (
            Connect,
            local(),
            "could not connect to [::1]:8000 (the request was not sent): check the address, the \
             network and the proxy, then retry",
        ),
        (
            Connect,
            proxied().at_proxy(),
            "could not connect to the proxy proxy.example:3128 (the request was not sent): check \
             the address, the network and the proxy, then retry",
        ),
        (
            Timeout,
            direct(),
            "timed out connecting to api.example:443 (the request was not sent): retry",
        ),
        (
            Timeout,
            proxied(),
            "timed out connecting to api.example:443 through the proxy proxy.example:3128 (the \
             request was not sent): retry",
        ),
        (
            Tls,
            direct(),
            "the TLS handshake with api.example:443 failed (the request was not sent): if a proxy \
             intercepts TLS, trust its CA with `NetworkSettings::root_certificates_pem`",
        ),
        (
            Proxy,
            proxied(),
            "the proxy proxy.example:3128 refused the connection to api.example:443 (the request \
             was not sent): ask the proxy's administrator, or choose another `ProxySetting`",
        ),
        (
            ProxyAuthentication,
            proxied(),
            "the proxy proxy.example:3128 requires authentication (the request was not sent): add \
             `user:password@` to the proxy URL",
        ),
    ] {
        assert_eq!(at(kind, peer), text);
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
            ProtocolError::WebPage(WebPage::new(200, "text/html", Some("Sign in"), None)),
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
    let what = "the server violated the protocol (the request was sent and may have run)";
    let text = of_client("https://api.example", true, page());
    assert_eq!(text, format!("{what}: {bare}"));
    let text = of_client("https://api.example/v1", true, page());
    assert_eq!(text, format!("{what}: {other}"));
    // A code proves that the API answered.
    let no_model = of_client("https://api.example", true, told(404, "model_not_found"));
    let what = "the server answered with an error, status 404, code model_not_found";
    assert_eq!(no_model, format!("{what} {refused}: change the request"));
    let upgrade = ApiError { status: Some(404), ..ApiError::default() };
    let upgrade = Error::new(ErrorKind::UpgradeRefused, Phase::Connect, Cause::Api(upgrade));
    assert_eq!(
        of_client("https://api.example", true, upgrade),
        format!(
            "the server refused the WebSocket upgrade: the server answered with an error, status \
             404 (the request was not sent): {bare}, or allow SSE with `TransportPolicy::Auto`"
        )
    );
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
