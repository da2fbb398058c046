//! Real TLS, and proxies on the way: the same for both transports.

mod support;

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use responses_client::{
    Error, ErrorKind, NetworkSettings, Provider, ProxySetting, ResponsesClient, Transport,
    testing::{Script, ScriptedServer, Step, Turn},
};
use support::{BOTH, Outcome, only, request, turn};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

/// Offers h2 before http/1.1, as most origins do.
async fn tls_server() -> ScriptedServer {
    let script = Script::new().turns([Turn::text("one"), Turn::text("two")]);
    ScriptedServer::start_tls(script.alpn(["h2", "http/1.1"])).await.expect("a port")
}

fn client(
    url: &str,
    transport: Transport,
    network: NetworkSettings,
) -> Result<ResponsesClient, Error> {
    ResponsesClient::builder(Provider::compatible(url)?)
        .transport(only(transport))
        .network(network)
        .build()
}

/// Two turns over `transport`, by way of `proxy`.
async fn two_turns(
    server: &ScriptedServer,
    transport: Transport,
    proxy: ProxySetting,
) -> Vec<Outcome> {
    let network = NetworkSettings::new()
        .root_certificates_pem(server.ca_certificate_pem().expect("a CA"))
        .proxy(proxy);
    let mut session = client(&server.url(), transport, network).unwrap().session();
    let mut request = request(&["hi"]);
    let first = turn(&mut session, &request).await;
    if let Ok(response) = &first.result {
        request.input.extend(response.output_items());
    }
    request.input.push(responses_client::Item::user("more"));
    let second = turn(&mut session, &request).await;
    vec![first, second]
}

fn assert_two_turns_on_one_connection(server: &ScriptedServer, outcomes: &[Outcome]) {
    let texts: Vec<String> = outcomes.iter().map(|it| it.response().output_text()).collect();
    assert_eq!(texts, ["one", "two"]);
    let log = server.log();
    assert_eq!(log.connections.len(), 1);
    assert_eq!(log.requests.len(), 2);
}

#[tokio::test]
async fn tls_on_both_transports_whatever_else_the_server_offers() {
    for transport in BOTH {
        let server = tls_server().await;
        let outcomes = two_turns(&server, transport, ProxySetting::Direct).await;
        assert_two_turns_on_one_connection(&server, &outcomes);
    }
}

#[tokio::test]
async fn a_scripted_server_in_tls_goes_by_every_name_of_this_machine_and_cuts_below_tls() {
    for transport in BOTH {
        for host in ["localhost", "127.0.0.1"] {
            let script = Script::new().turn(Turn::text("one").cut_after(5, Step::Reset));
            let server = ScriptedServer::start_tls(script).await.unwrap();
            let url = server.url().replace("localhost", host);
            let network = NetworkSettings::new()
                .root_certificates_pem(server.ca_certificate_pem().unwrap())
                .proxy(ProxySetting::Direct);
            let mut session = client(&url, transport, network).unwrap().session();
            let outcome = turn(&mut session, &request(&["hi"])).await;
            assert_eq!(outcome.events.len(), 5, "{host}");
            assert_eq!(outcome.error().kind(), ErrorKind::Truncated);
            assert_eq!(io_error(outcome.error()), Some(io::ErrorKind::ConnectionReset));
        }
    }
}

#[tokio::test]
async fn tls_through_a_connect_proxy_on_both_transports() {
    for transport in BOTH {
        let server = tls_server().await;
        let proxy = ConnectProxy::start(None, false).await;
        let url = ProxySetting::Url(format!("http://{}", proxy.address));
        let outcomes = two_turns(&server, transport, url).await;
        assert_two_turns_on_one_connection(&server, &outcomes);
        let url = server.url();
        let authority = url.trim_start_matches("https://").trim_end_matches("/v1");
        assert_eq!(proxy.asked(), [authority]);
    }
}

#[tokio::test]
async fn a_proxy_that_wants_credentials_gets_them_or_is_told_apart() {
    for transport in BOTH {
        let server = tls_server().await;
        let proxy = ConnectProxy::start(None, true).await;
        let url = ProxySetting::Url(format!("http://user:pass@{}", proxy.address));
        let outcomes = two_turns(&server, transport, url).await;
        assert_two_turns_on_one_connection(&server, &outcomes);

        let url = ProxySetting::Url(format!("http://{}", proxy.address));
        let outcomes = two_turns(&server, transport, url).await;
        assert_eq!(outcomes[0].error().kind(), ErrorKind::ProxyAuthentication);
        assert_eq!(outcomes[0].report.attempts.len(), 1, "another attempt would end the same way");
    }
}

#[tokio::test]
async fn a_proxy_that_refuses_the_tunnel_is_told_apart() {
    for transport in BOTH {
        let server = tls_server().await;
        let proxy = ConnectProxy::start(Some(403), false).await;
        let url = ProxySetting::Url(format!("http://{}", proxy.address));
        let outcomes = two_turns(&server, transport, url).await;
        assert_eq!(outcomes[0].error().kind(), ErrorKind::Proxy);
        assert!(server.log().connections.is_empty());
    }
}

#[tokio::test]
async fn an_unknown_issuer_is_a_tls_error() {
    for transport in BOTH {
        let server = tls_server().await;
        let network = NetworkSettings::new().proxy(ProxySetting::Direct);
        let mut session = client(&server.url(), transport, network).unwrap().session();
        let outcome = turn(&mut session, &request(&["hi"])).await;
        assert_eq!(outcome.error().kind(), ErrorKind::Tls);
        assert_eq!(outcome.error().delivery(), responses_client::Delivery::NotSent);
    }
}

#[tokio::test]
async fn nobody_there_and_no_such_name_are_connect_errors() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let free = listener.local_addr().unwrap();
    drop(listener);
    for transport in BOTH {
        for url in [format!("http://{free}/v1"), "http://no-such-host.invalid/v1".to_owned()] {
            let network = NetworkSettings::new().proxy(ProxySetting::Direct);
            let mut retry = responses_client::RetryPolicy::default();
            retry.network_down_deadline = Some(std::time::Duration::ZERO);
            let client = ResponsesClient::builder(Provider::compatible(&url).unwrap())
                .transport(only(transport))
                .network(network)
                .retry(retry)
                .build()
                .unwrap();
            let outcome = turn(&mut client.session(), &request(&["hi"])).await;
            assert_eq!(outcome.error().kind(), ErrorKind::Connect, "{url}");
        }
    }
}

#[tokio::test]
async fn a_root_that_is_no_certificate_is_refused() {
    let network = NetworkSettings::new()
        .root_certificates_pem("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let error = client("https://localhost/v1", Transport::Sse, network).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
}

#[tokio::test]
async fn a_handshake_that_is_cut_is_a_tls_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/v1", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            drop(stream)
        }
    });
    for transport in BOTH {
        let network = NetworkSettings::new().proxy(ProxySetting::Direct);
        let mut session = client(&url, transport, network).unwrap().session();
        let outcome = turn(&mut session, &request(&["hi"])).await;
        assert_eq!(outcome.error().kind(), ErrorKind::Tls);
    }
}

/// What the socket said, somewhere below `error`.
fn io_error(error: &Error) -> Option<io::ErrorKind> {
    let first: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let mut sources = std::iter::successors(first, |error| error.source());
    sources.find_map(|error| Some(error.downcast_ref::<io::Error>()?.kind()))
}

/// A proxy that knows CONNECT alone.
struct ConnectProxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl ConnectProxy {
    /// Answers with `status` instead of a tunnel, if one is given; asks for the credentials
    /// `user:pass` if `authenticate`.
    async fn start(status: Option<u16>, authenticate: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(tunnel(stream, status, authenticate, Arc::clone(&log)));
            }
        });
        Self { address, asked }
    }

    /// The targets of the tunnels that were asked for.
    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("the log").clone()
    }
}

async fn tunnel(
    stream: TcpStream,
    status: Option<u16>,
    authenticate: bool,
    log: Arc<Mutex<Vec<String>>>,
) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    log.lock().expect("the log").push(target.clone());
    // `user:pass` in base64.
    let known = head.to_ascii_lowercase().contains("proxy-authorization: basic dxnlcjpwyxnz");
    let status = if authenticate && !known { Some(407) } else { status };
    if let Some(status) = status {
        let answer = format!(
            "HTTP/1.1 {status} No\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n"
        );
        return stream.write_all(answer.as_bytes()).await;
    }
    let mut upstream = TcpStream::connect(&target).await?;
    stream.write_all(b"HTTP/1.0 200 Connection established\r\n\r\n").await?;
    copy_bidirectional(&mut stream, &mut upstream).await.map(drop)
}
