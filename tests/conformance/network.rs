//! Real TLS, and proxies on the way: the same for both transports.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use responses_client::{
    Delivery, Error, ErrorKind, NetworkSettings, Provider, ProxySetting, ReplayPolicy,
    ResponsesClient, RetryPolicy, Transport, TransportPolicy,
    testing::{Script, ScriptedServer, Step, Turn},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

use crate::support::{BOTH, Outcome, guarded, only, request, server, socket_client, turn};

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
    ResponsesClient::builder()
        .provider(Provider::compatible(url)?)
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
            let client = ResponsesClient::builder()
                .provider(Provider::compatible(&url).unwrap())
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
pub(crate) struct ConnectProxy {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl ConnectProxy {
    /// Answers with `status` instead of a tunnel, if one is given; asks for the credentials
    /// `user:pass` if `authenticate`.
    pub(crate) async fn start(status: Option<u16>, authenticate: bool) -> Self {
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

/// Answers the first request of each connection with events, and keeps the connection. With the
/// next request on the first connection it hangs up, by a reset or not; on others it answers on.
struct Closing {
    url: String,
    /// How many requests came on each connection.
    requests: Arc<Mutex<Vec<usize>>>,
}

impl Closing {
    async fn start(reset: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let connection = {
                    let mut seen = seen.lock().unwrap();
                    seen.push(0);
                    seen.len() - 1
                };
                tokio::spawn(Self::serve(stream, connection, Arc::clone(&seen), reset));
            }
        });
        Self { url, requests }
    }

    async fn serve(
        stream: TcpStream,
        connection: usize,
        seen: Arc<Mutex<Vec<usize>>>,
        reset: bool,
    ) -> io::Result<()> {
        let events = format!(
            "data: {}\n\ndata: {}\n\n",
            r#"{"type":"response.created","response":{"id":"r"}}"#,
            r#"{"type":"response.completed","response":{"id":"r","status":"completed"}}"#
        );
        let mut stream = BufReader::new(stream);
        loop {
            let mut length = 0;
            loop {
                let mut line = String::new();
                if stream.read_line(&mut line).await? == 0 {
                    return Ok(());
                }
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                if line == "\r\n" {
                    break;
                }
            }
            let count = {
                let mut seen = seen.lock().unwrap();
                seen[connection] += 1;
                seen[connection]
            };
            if connection == 0 && count == 2 {
                // With its body unread, closing resets the connection.
                if !reset {
                    stream.read_exact(&mut vec![0; length]).await?;
                }
                return Ok(());
            }
            stream.read_exact(&mut vec![0; length]).await?;
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {}\r\n\r\n",
                events.len()
            );
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(events.as_bytes()).await?;
        }
    }

    fn requests(&self) -> Vec<usize> {
        self.requests.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn c134_a_post_over_a_kept_connection_that_the_server_closes_is_sent_once_more() {
    for reset in [false, true] {
        for (policy, requests) in
            [(ReplayPolicy::BeforeCreated, vec![2, 1]), (ReplayPolicy::Never, vec![2])]
        {
            let server = Closing::start(reset).await;
            let mut retry = RetryPolicy::default();
            (retry.max_attempts, retry.max_replays, retry.replay) = (1, 0, policy);
            let client = ResponsesClient::builder()
                .provider(Provider::compatible(&server.url).unwrap())
                .transport(TransportPolicy::SseOnly)
                .network(NetworkSettings::new().proxy(ProxySetting::Direct))
                .retry(retry)
                .build()
                .unwrap();
            let mut session = client.session();
            let large = "x".repeat(100_000);
            turn(&mut session, &request(&["one"])).await.response();
            let second = guarded(turn(&mut session, &request(&[&large]))).await;
            assert_eq!(server.requests(), requests, "{reset} {policy:?}");
            if policy == ReplayPolicy::Never {
                // It was written: nobody can prove that it did not run.
                assert_eq!(second.error().delivery(), Delivery::Unknown, "{reset}");
            } else {
                second.response();
                assert_eq!(second.report.attempts.len(), 2, "{reset}");
            }
            assert_eq!(client.fallback(), None);
        }
    }
}

#[tokio::test]
async fn c134_a_connection_that_dies_with_its_first_request_is_not_a_kept_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let connections = Arc::new(Mutex::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            *count.lock().unwrap() += 1;
            _ = stream.read(&mut [0; 10]).await;
        }
    });
    let mut retry = RetryPolicy::default();
    retry.max_attempts = 1;
    let client = ResponsesClient::builder()
        .provider(Provider::compatible(&url).unwrap())
        .transport(TransportPolicy::SseOnly)
        .network(NetworkSettings::new().proxy(ProxySetting::Direct))
        .retry(retry)
        .build()
        .unwrap();
    let outcome = guarded(turn(&mut client.session(), &request(&["one"]))).await;
    assert_eq!(outcome.error().delivery(), Delivery::Unknown);
    assert_eq!(*connections.lock().unwrap(), 1, "no attempt is free");
}

#[tokio::test]
async fn c134_an_upgrade_never_goes_over_a_connection_that_was_kept() {
    let script = Script::new().respond(|_| Turn::text("hi"));
    let server = server(script).await;
    let client = socket_client(&server, TransportPolicy::Auto);
    let mut session = client.session();
    let mut background = request(&["one"]).store(true);
    background.background = Some(true);
    let first = turn(&mut session, &background).await;
    assert_eq!(first.report.transport, Some(Transport::Sse));
    // What is left of the answer is read, and its connection is free again.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let second = turn(&mut session, &request(&["two"])).await;
    assert_eq!(second.report.transport, Some(Transport::WebSocket));
    let third = turn(&mut client.session(), &background).await;
    assert_eq!(third.report.transport, Some(Transport::Sse));
    let log = server.log();
    let on: Vec<usize> = log.requests.iter().map(|request| request.connection).collect();
    assert_eq!(on, [0, 1, 0], "posts share the one that is kept");
    assert_eq!(log.connections[0].upgrade_requests, 0);
}
