//! Errors that name the server, the proxy or the base URL, and certificates of clients.

use std::time::Duration;

use responses_client::{
    Auth, ErrorKind, NetworkSettings, Provider, ProxySetting, ResponsesClient, RetryPolicy,
    Timeouts, Transport,
    testing::{Refusal, Script, ScriptedServer, Turn, Upgrade},
};
use tokio::net::TcpListener;

use crate::{
    network::ConnectProxy,
    support::{BOTH, Outcome, builder, guarded, only, request, turn},
};

/// The outcome of a turn without retries, by way of `proxy`.
async fn outcome(url: &str, transport: Transport, network: NetworkSettings) -> Outcome {
    let client = ResponsesClient::builder()
        .provider(Provider::compatible(url).unwrap())
        .transport(only(transport))
        .network(network)
        .timeouts(Timeouts::default().connect(Duration::from_millis(300)))
        .retry(RetryPolicy::default().max_attempts(1).network_down_deadline(Duration::ZERO))
        .build()
        .unwrap();
    guarded(turn(&mut client.session(), &request(&["hi"]))).await
}

fn direct() -> NetworkSettings {
    NetworkSettings::new().proxy(ProxySetting::Direct)
}

fn through(proxy: impl std::fmt::Display) -> NetworkSettings {
    NetworkSettings::new().proxy(ProxySetting::Url(format!("http://user:canary@{proxy}")))
}

/// An address at which nobody listens.
fn free() -> std::net::SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

const UNSENT: &str = "(the request was not sent): check";
const AGAIN: &str = "and the network, then retry";

#[tokio::test]
async fn c191_a_server_that_cannot_be_reached_is_named() {
    let free = free();
    for transport in BOTH {
        let error = outcome(&format!("http://{free}/v1"), transport, direct()).await;
        let text = format!("{free} refused the connection {UNSENT} the base URL {AGAIN}");
        assert_eq!(error.error().to_string(), text, "{transport}");
        let error =
            outcome("https://no-such-host.invalid/v1?key=canary", transport, direct()).await;
        let text = format!(
            "could not resolve the host name of no-such-host.invalid:443 {UNSENT} the base URL \
             {AGAIN}"
        );
        assert_eq!(error.error().to_string(), text, "{transport}");
    }
}

#[tokio::test]
async fn c191_a_proxy_that_cannot_be_reached_is_named() {
    let free = free();
    for transport in BOTH {
        for target in ["http://api.example/v1", "https://api.example/v1"] {
            let error = outcome(target, transport, through(free)).await;
            let text = format!(
                "the proxy {free} refused the connection {UNSENT} the proxy setting {AGAIN}"
            );
            assert_eq!(error.error().to_string(), text, "{transport} {target}");
            let error = outcome(target, transport, through("no-such-proxy.invalid:3128")).await;
            let text = format!(
                "could not resolve the host name of the proxy no-such-proxy.invalid:3128 {UNSENT} \
                 the proxy setting {AGAIN}"
            );
            assert_eq!(error.error().to_string(), text, "{transport} {target}");
        }
    }
}

#[tokio::test]
async fn c191_a_tls_handshake_that_fails_or_hangs_names_its_server() {
    let server = ScriptedServer::start_tls(Script::new()).await.unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = silent.local_addr().map(|address| (silent, address)).unwrap();
    let proxy = ConnectProxy::start(None, false).await;
    for transport in BOTH {
        let port = server.address().unwrap().port();
        let tls = |way: &str| {
            format!(
                "the TLS handshake with localhost:{port}{way} failed, because the issuer of the \
                 certificate, `CN=scripted server CA`, is not trusted (the request was not sent): \
                 if you trust that issuer, for example because a proxy intercepts TLS, add its \
                 certificate with `NetworkSettings::root_certificates_pem` or `SSL_CERT_FILE`"
            )
        };
        let error = outcome(&server.url(), transport, direct()).await;
        assert_eq!(error.error().to_string(), tls(""), "{transport}");
        let error = outcome(&server.url(), transport, through(proxy.address)).await;
        let way = format!(" through the proxy {}", proxy.address);
        assert_eq!(error.error().to_string(), tls(&way), "{transport}");

        let late = |peer: &str| {
            format!("timed out in the TLS handshake with {peer} (the request was not sent): retry")
        };
        let target = silent.1.to_string();
        let error = outcome(&format!("https://{target}/v1"), transport, direct()).await;
        assert_eq!(error.error().to_string(), late(&target), "{transport}");
        let error =
            outcome(&format!("https://{target}/v1"), transport, through(proxy.address)).await;
        assert_eq!(error.error().to_string(), late(&(target + &way)), "{transport}");
    }
}

#[tokio::test]
async fn c191_a_proxy_that_refuses_is_named() {
    for transport in BOTH {
        let proxy = ConnectProxy::start(Some(403), false).await;
        let error = outcome("https://api.example/v1", transport, through(proxy.address)).await;
        assert_eq!(
            error.error().to_string(),
            format!(
                "the proxy {} does not allow connections to api.example:443 (status 403) (the \
                 request was not sent): ask the administrator of the proxy, many proxies allow \
                 only port 443",
                proxy.address
            )
        );
        let proxy = ConnectProxy::start(Some(407), false).await;
        let error = outcome("https://api.example/v1", transport, through(proxy.address)).await;
        assert_eq!(
            error.error().to_string(),
            format!(
                "the proxy {} rejected the user name and the password (status 407) (the request \
                 was not sent): check the user name and the password in the proxy URL, where \
                 special characters are percent-encoded",
                proxy.address
            )
        );
    }
}

#[tokio::test(start_paused = true)]
async fn c191_an_upgrade_that_hangs_names_its_server() {
    let server = ScriptedServer::in_memory(Script::new().every_upgrade(Upgrade::Hang));
    let client = builder(&server)
        .transport(only(Transport::WebSocket))
        .retry(RetryPolicy::default().max_attempts(1));
    let outcome = turn(&mut client.build().unwrap().session(), &request(&["hi"])).await;
    let text = "timed out connecting to memory.invalid:80 (the request was not sent): retry";
    assert_eq!(outcome.error().to_string(), text);
}

/// The advice of an error: what follows the delivery.
fn advice(outcome: &Outcome) -> String {
    let text = outcome.error().to_string();
    text.rsplit_once("): ").expect("advice").1.to_owned()
}

#[tokio::test(start_paused = true)]
async fn c193_an_answer_from_another_address_suggests_the_base_url() {
    let page = |status| {
        Refusal::status(status).header("content-type", "text/html").body("<html>Welcome</html>")
    };
    let bare = "the base URL `http://memory.invalid` has no path, use `http://memory.invalid/v1` \
                if the API is there";
    let with_path = "check the base URL `http://memory.invalid/api` and any proxies";
    for (base_url, advised) in [
        ("http://memory.invalid?key=canary", bare),
        ("http://memory.invalid/api/?key=canary", with_path),
    ] {
        let bodiless = [404, 405, 501].map(Refusal::status);
        for refusal in bodiless.into_iter().chain([200, 404, 405, 501].map(page)) {
            let script = Script::new()
                .upgrade(Upgrade::Refuse(refusal.clone()))
                .respond(move |_| Turn::text("x").http(refusal.clone()));
            let server = ScriptedServer::in_memory(script);
            let client = |transport| {
                ResponsesClient::builder()
                    .provider(Provider::compatible(base_url).unwrap())
                    .connector(&server.connector())
                    .auth(Auth::bearer("key"))
                    .transport(only(transport))
                    .build()
                    .unwrap()
            };
            let over_sse = turn(&mut client(Transport::Sse).session(), &request(&["hi"])).await;
            assert_eq!(advice(&over_sse), advised);
            assert_eq!(over_sse.report.attempts.len(), 1, "a retry would end the same way");
            let over_websocket =
                turn(&mut client(Transport::WebSocket).session(), &request(&["hi"])).await;
            assert_eq!(over_websocket.error().kind(), ErrorKind::UpgradeRefused);
            if over_websocket.error().status() != Some(200) {
                let advised = format!("{advised}, or allow SSE with `TransportPolicy::Auto`");
                assert_eq!(advice(&over_websocket), advised);
            }
        }
    }
}

#[tokio::test]
async fn c194_a_client_shows_its_certificate_on_both_transports() {
    for transport in BOTH {
        let script = Script::new().require_client_certificate().respond(|_| Turn::text("hi"));
        let server = ScriptedServer::start_tls(script).await.unwrap();
        let trusting = direct().root_certificates_pem(server.ca_certificate_pem().unwrap());
        let certificate = server.client_certificate_pem().unwrap();
        let network = trusting.clone().client_certificate_pem(certificate);
        assert!(!format!("{network:?}").contains("PRIVATE"), "the key stays out of logs");
        let with = outcome(&server.url(), transport, network).await;
        assert_eq!(with.response().output_text(), "hi", "{transport}");
        let without = outcome(&server.url(), transport, trusting).await;
        let chain = std::iter::successors(Some(without.error() as &dyn std::error::Error), |it| {
            it.source()
        });
        let chain: Vec<_> = chain.map(ToString::to_string).collect();
        assert_eq!(without.error().kind(), ErrorKind::Tls, "{transport} {chain:#?}");
        assert_eq!(server.log().requests.len(), 1);
    }
}

#[test]
fn c194_a_certificate_without_its_key_is_a_config_error() {
    let network = direct().client_certificate_pem("-----BEGIN CERTIFICATE-----\ncanary");
    let error = ResponsesClient::builder()
        .provider(Provider::openai())
        .network(network)
        .build()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the settings are invalid: invalid network settings: the client certificate is not a PEM \
         text: it is a file with malformed PEM"
    );
}
