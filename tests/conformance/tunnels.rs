//! Tunnels through HTTP proxies: each answer to CONNECT, and what becomes of `ws://`.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use responses_client::{
    Delivery, ErrorKind, NetworkSettings, Provider, ProxySetting, ResponsesClient, RetryPolicy,
    Timeouts, Transport, TransportPolicy,
    error::{ConnectError, ConnectStep, ProxyAnswer, ProxyError, TlsError},
    testing::{Script, ScriptedServer, Turn},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

use crate::support::{BOTH, Outcome, guarded, only, request, server, tried, turn};

/// What a proxy does once it has read the head of a request.
#[derive(Clone, Debug)]
enum Reply {
    /// Sends these bytes and closes.
    Answer(Vec<u8>),
    /// Sends these bytes and stays silent.
    Hold(Vec<u8>),
    /// Sends these bytes, and `x` without end.
    Endless(Vec<u8>),
    /// Opens the tunnel, or forwards a request that asks for none.
    Pass,
}

/// A proxy that answers each request by its head.
struct Proxy {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    async fn start(reply: impl Fn(usize, &str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (log, reply) = (Arc::clone(&heads), Arc::new(reply));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (log, reply) = (Arc::clone(&log), Arc::clone(&reply));
                tokio::spawn(async move {
                    let mut stream = BufReader::new(stream);
                    let mut head = String::new();
                    while !head.ends_with("\r\n\r\n") {
                        if stream.read_line(&mut head).await? == 0 {
                            return Ok(());
                        }
                    }
                    let number = {
                        let mut log = log.lock().unwrap();
                        log.push(head.clone());
                        log.len() - 1
                    };
                    serve(stream, &head, reply(number, &head)).await
                });
            }
        });
        Self { address, heads }
    }

    async fn answering(answer: &str) -> Self {
        let answer = answer.as_bytes().to_vec();
        Self::start(move |_, _| Reply::Answer(answer.clone())).await
    }

    /// The first lines of the requests, without the version.
    fn asked(&self) -> Vec<String> {
        let heads = self.heads.lock().unwrap();
        heads.iter().map(|head| head.split(" HTTP/").next().unwrap().to_owned()).collect()
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    fn setting(&self, login: &str) -> ProxySetting {
        ProxySetting::Url(format!("http://{login}{}", self.address))
    }
}

async fn serve(mut stream: BufReader<TcpStream>, head: &str, reply: Reply) -> io::Result<()> {
    match reply {
        Reply::Answer(bytes) => {
            stream.write_all(&bytes).await?;
            stream.shutdown().await
        }
        Reply::Hold(bytes) => {
            stream.write_all(&bytes).await?;
            std::future::pending().await
        }
        Reply::Endless(bytes) => {
            stream.write_all(&bytes).await?;
            loop {
                stream.write_all(&[b'x'; 1024]).await?;
            }
        }
        Reply::Pass => {
            let target = head.split(' ').nth(1).unwrap();
            let is_tunnel = head.starts_with("CONNECT ");
            let address = target.trim_start_matches("http://").split('/').next().unwrap();
            let mut upstream = TcpStream::connect(address).await?;
            match is_tunnel {
                true => stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?,
                false => upstream.write_all(head.as_bytes()).await?,
            }
            tokio::io::copy_bidirectional(&mut stream, &mut upstream).await.map(drop)
        }
    }
}

/// One turn with an address behind `proxy`. Waits for the network are off.
async fn through(url: &str, policy: TransportPolicy, network: NetworkSettings) -> Outcome {
    let (mut timeouts, mut retry) = (Timeouts::default(), RetryPolicy::default());
    timeouts.connect = Some(Duration::from_millis(1500));
    retry.unreached_deadline = Some(Duration::ZERO);
    retry.backoff = Duration::from_millis(1);
    let client = ResponsesClient::builder()
        .provider(Provider::compatible(url).unwrap())
        .transport(policy)
        .network(network)
        .timeouts(timeouts)
        .retry(retry)
        .build()
        .unwrap();
    guarded(turn(&mut client.session(), &request(&["hi"]))).await
}

/// A server behind a proxy, which nobody reaches.
const TARGET: &str = "api.invalid:443";

fn answer(status: u16, reason: Option<&str>, schemes: &[&str]) -> ProxyAnswer {
    let mut answer = ProxyAnswer::default();
    answer.status = Some(status);
    answer.reason = reason.map(str::to_owned);
    answer.schemes = schemes.iter().map(|it| (*it).to_owned()).collect();
    answer
}

const DENIED: &str = " does not allow connections to api.invalid:443";
const UNREACHED: &str = " works, but cannot reach api.invalid:443";
const NO_PROXY: &str = " does not answer like a proxy";

/// Answers to CONNECT without a login, the error that each makes, and the text about the proxy.
fn refusals() -> Vec<(&'static str, ProxyError, String)> {
    use ProxyError::{
        CredentialsRequired, NotAProxy, Refused, ServerUnreachable, UnsupportedScheme,
    };
    let with = |failure: &str, rest: &str| format!("{failure}{rest}");
    vec![
        (
            "HTTP/1.1 403 Forbidden\r\nX-Squid-Error: ERR_ACCESS_DENIED 0\r\nVia: 1.1 sq\r\n\
             Content-Type: text/html\r\n\r\n<title>ERROR: canary</title>",
            Refused(answer(403, Some("ERR_ACCESS_DENIED"), &[])),
            with(DENIED, " (status 403, `ERR_ACCESS_DENIED`)"),
        ),
        (
            "HTTP/1.0 403 Access violation\r\n\r\n<html><title>403 Access  violation</title>",
            Refused(answer(403, Some("403 Access violation"), &[])),
            with(DENIED, " (status 403, `403 Access violation`)"),
        ),
        (
            "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n",
            Refused(answer(403, None, &[])),
            with(DENIED, " (status 403)"),
        ),
        (
            "HTTP/1.1 407 Who\r\nProxy-Authenticate: Negotiate\r\nProxy-Authenticate: basic \
             realm=\"x\"\r\nContent-Length: 0\r\n\r\n",
            CredentialsRequired(answer(407, None, &["Negotiate", "basic"])),
            " requires a user name and a password (status 407)".to_owned(),
        ),
        (
            "HTTP/1.1 407 Who\r\nProxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM\r\n\
             Content-Length: 0\r\n\r\n",
            UnsupportedScheme(answer(407, None, &["Negotiate", "NTLM"])),
            " offers only Negotiate and NTLM for authentication (status 407)".to_owned(),
        ),
        (
            "HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n",
            CredentialsRequired(answer(407, None, &[])),
            " requires a user name and a password (status 407)".to_owned(),
        ),
        (
            "HTTP/1.1 500 Unable to connect\r\nContent-Length: 0\r\n\r\n",
            ServerUnreachable(answer(500, None, &[])),
            with(UNREACHED, " (status 500)"),
        ),
        (
            "HTTP/1.1 502 Bad Gateway\r\n\r\n<title>502</title>",
            ServerUnreachable(answer(502, Some("502"), &[])),
            with(UNREACHED, " (status 502, `502`)"),
        ),
        (
            "HTTP/1.1 503 No\r\nX-Squid-Error: ERR_CONNECT_FAIL 111\r\nContent-Length: 0\r\n\r\n",
            ServerUnreachable(answer(503, Some("ERR_CONNECT_FAIL"), &[])),
            with(UNREACHED, " (status 503, `ERR_CONNECT_FAIL`)"),
        ),
        (
            "HTTP/1.1 504 Late\r\nContent-Length: 0\r\n\r\n",
            ServerUnreachable(answer(504, None, &[])),
            with(UNREACHED, " (status 504)"),
        ),
        (
            "HTTP/1.1 400 Bad Request\r\nServer: nginx\r\nContent-Type: text/html\r\n\r\n\
             <html><head><title>400 Bad Request</title></head>",
            NotAProxy(answer(400, Some("400 Bad Request"), &[])),
            with(NO_PROXY, " (status 400, `400 Bad Request`)"),
        ),
        (
            "HTTP/1.1 405 Not Allowed\r\nContent-Length: 0\r\n\r\n",
            NotAProxy(answer(405, None, &[])),
            with(NO_PROXY, " (status 405)"),
        ),
        (
            "HTTP/1.1 302 Found\r\nLocation: http://portal.invalid/\r\nContent-Length: 0\r\n\r\n",
            NotAProxy(answer(302, None, &[])),
            with(NO_PROXY, " (status 302)"),
        ),
        (
            "HTTP/1.1 400 No\r\nVia: 1.1 proxy\r\nContent-Length: 0\r\n\r\n",
            Refused(answer(400, None, &[])),
            with(DENIED, " (status 400)"),
        ),
        ("SSH-2.0-OpenSSH_9.6\r\n", NotAProxy(ProxyAnswer::default()), NO_PROXY.to_owned()),
        (
            "\u{16}\u{3}\u{1}\u{0}\u{2}\u{1}\u{0}",
            NotAProxy(ProxyAnswer::default()),
            NO_PROXY.to_owned(),
        ),
    ]
}

fn advice(error: &ProxyError) -> &'static str {
    match error {
        ProxyError::Refused(_) => {
            "ask the administrator of the proxy, many proxies allow only port 443"
        }
        ProxyError::ServerUnreachable(_) => "check the base URL, then retry",
        ProxyError::CredentialsRequired(_) => {
            "write `user:password@` before the host in the proxy URL, percent-encoded"
        }
        ProxyError::CredentialsRejected(_) => {
            "check the user name and the password in the proxy URL, where special characters are \
             percent-encoded"
        }
        ProxyError::UnsupportedScheme(_) => {
            "this crate supports Basic, run a local helper such as px or cntlm for other schemes"
        }
        _ => "check the proxy URL",
    }
}

fn kind(error: &ProxyError) -> ErrorKind {
    match error {
        ProxyError::ServerUnreachable(_) => ErrorKind::Connect,
        ProxyError::Refused(_) | ProxyError::NotAProxy(_) => ErrorKind::Proxy,
        _ => ErrorKind::ProxyAuthentication,
    }
}

#[tokio::test]
async fn c177_each_answer_to_connect_is_an_error_of_its_own() {
    let policies =
        [TransportPolicy::Auto, TransportPolicy::WebSocketOnly, TransportPolicy::SseOnly];
    for (reply, wanted, failure) in refusals() {
        for policy in policies {
            let proxy = Proxy::answering(reply).await;
            let network = NetworkSettings::new().proxy(proxy.setting(""));
            let outcome = through(&format!("https://{TARGET}/v1"), policy, network).await;
            let error = outcome.error();
            assert_eq!(
                error.connect_error(),
                Some(&ConnectError::Proxy(wanted.clone())),
                "{reply}"
            );
            assert_eq!((error.kind(), error.delivery()), (kind(&wanted), Delivery::NotSent));
            let text = format!(
                "the proxy {}{failure} (the request was not sent): {}",
                proxy.address,
                advice(&wanted)
            );
            assert_eq!(error.to_string(), text);
            assert_eq!(proxy.asked(), [format!("CONNECT {TARGET}")], "{policy:?} {reply}");
        }
    }
}

#[tokio::test]
async fn c177_a_login_that_was_sent_and_refused_is_told_from_a_missing_one() {
    let reply = "HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\
                 Content-Length: 0\r\n\r\n";
    for transport in BOTH {
        let proxy = Proxy::answering(reply).await;
        let network = NetworkSettings::new().proxy(proxy.setting("user:pass@"));
        let url = format!("https://{TARGET}/v1");
        let outcome = through(&url, only(transport), network).await;
        let wanted = ProxyError::CredentialsRejected(answer(407, None, &["Basic"]));
        let text = format!(
            "the proxy {} rejected the user name and the password (status 407) (the request was \
             not sent): {}",
            proxy.address,
            advice(&wanted)
        );
        assert_eq!(outcome.error().connect_error(), Some(&ConnectError::Proxy(wanted)));
        assert_eq!(outcome.error().to_string(), text);
        assert_eq!(outcome.report.attempts.len(), 1);
    }
}

#[tokio::test]
async fn c177_a_page_without_an_end_is_bounded_in_size_and_time() {
    let head = b"HTTP/1.1 403 No\r\n\r\n<title>Denied</title>".to_vec();
    let counted = b"HTTP/1.1 403 No\r\nContent-Length: 900\r\n\r\n<title>Denied</title>".to_vec();
    for reply in [Reply::Endless(head.clone()), Reply::Hold(head), Reply::Hold(counted)] {
        for transport in BOTH {
            let answered = reply.clone();
            let proxy = Proxy::start(move |_, _| answered.clone()).await;
            let network = NetworkSettings::new().proxy(proxy.setting(""));
            let url = format!("https://{TARGET}/v1");
            let outcome = through(&url, only(transport), network).await;
            let wanted = ProxyError::Refused(answer(403, Some("Denied"), &[]));
            let error = outcome.error().connect_error();
            assert_eq!(error, Some(&ConnectError::Proxy(wanted)), "{reply:?}");
        }
    }
}

#[tokio::test]
async fn c177_a_connection_without_an_answer_is_retried_and_a_silent_one_times_out() {
    for transport in BOTH {
        let url = format!("https://{TARGET}/v1");
        let proxy = Proxy::answering("").await;
        let network = NetworkSettings::new().proxy(proxy.setting(""));
        let outcome = through(&url, only(transport), network).await;
        let error = outcome.error();
        assert_eq!((error.kind(), error.delivery()), (ErrorKind::Proxy, Delivery::NotSent));
        assert_eq!(error.connect_error(), Some(&ConnectError::Lost(ConnectStep::Proxy)));
        let text = format!(
            "the connection to {TARGET} through the proxy {} ended while it was opened (the \
             request was not sent): retry",
            proxy.address
        );
        assert_eq!(error.to_string(), text);
        assert_eq!(proxy.asked().len(), 4);

        let proxy = Proxy::start(|_, _| Reply::Hold(Vec::new())).await;
        let network = NetworkSettings::new().proxy(proxy.setting(""));
        let (mut timeouts, mut retry) = (Timeouts::default(), RetryPolicy::default());
        timeouts.connect = Some(Duration::from_millis(200));
        retry.max_attempts = 1;
        let client = ResponsesClient::builder()
            .provider(Provider::compatible(&url).unwrap())
            .transport(only(transport))
            .network(network)
            .timeouts(timeouts)
            .retry(retry)
            .build()
            .unwrap();
        let outcome = guarded(turn(&mut client.session(), &request(&["hi"]))).await;
        let error = outcome.error();
        assert_eq!((error.kind(), error.delivery()), (ErrorKind::Timeout, Delivery::NotSent));
        assert_eq!(error.connect_error(), Some(&ConnectError::TimedOut(ConnectStep::Proxy)));
        let text = format!(
            "timed out waiting for a tunnel to {TARGET} through the proxy {} (the request was not \
             sent): retry",
            proxy.address
        );
        assert_eq!(error.to_string(), text);
    }
}

#[tokio::test]
async fn c177_bytes_behind_the_head_belong_to_the_tunnel() {
    for version in ["1.0", "1.1"] {
        // If these bytes were lost, the handshake would wait for its answer.
        let reply = format!("HTTP/{version} 200 OK\r\n\r\nHTTP/1.1 400 early");
        let proxy = Proxy::start(move |_, _| Reply::Hold(reply.clone().into_bytes())).await;
        let network = NetworkSettings::new().proxy(proxy.setting(""));
        let url = format!("https://{TARGET}/v1");
        let outcome = through(&url, TransportPolicy::Auto, network).await;
        assert_eq!(outcome.error().connect_error(), Some(&ConnectError::Tls(TlsError::NotTls)));
    }
}

#[tokio::test]
async fn c177_a_server_that_is_down_behind_a_proxy_is_waited_for() {
    for transport in BOTH {
        let script = Script::new().turn(Turn::text("hi"));
        let server = ScriptedServer::start_tls(script).await.unwrap();
        let proxy = Proxy::start(|number, _| match number {
            0 | 1 => Reply::Answer(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n".to_vec()),
            _ => Reply::Pass,
        })
        .await;
        let network = NetworkSettings::new()
            .root_certificates_pem(server.ca_certificate_pem().unwrap())
            .proxy(proxy.setting(""));
        let mut retry = RetryPolicy::default();
        (retry.max_attempts, retry.network_down_backoff) = (1, Duration::ZERO);
        let client = ResponsesClient::builder()
            .provider(Provider::compatible(&server.url()).unwrap())
            .transport(only(transport))
            .network(network)
            .retry(retry)
            .build()
            .unwrap();
        let outcome = guarded(turn(&mut client.session(), &request(&["hi"]))).await;
        assert_eq!(outcome.response().output_text(), "hi");
        let down = (transport, Some(ErrorKind::Connect));
        assert_eq!(tried(&outcome.report), [down, down, (transport, None)]);
    }
}

/// A proxy in TLS before `proxy`, and the certificate of its authority.
async fn in_tls(proxy: &Proxy) -> (u16, String) {
    // The scripted server makes the certificate; nothing else of it is used.
    let authority = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = authority.signing_key.serialize_der();
    let key = tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer::from(key);
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let config = tokio_rustls::rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![authority.cert.der().clone()], key.into())
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let to = proxy.address;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream).await?;
                let mut onward = TcpStream::connect(to).await?;
                tokio::io::copy_bidirectional(&mut stream, &mut onward).await
            });
        }
    });
    (port, authority.cert.pem())
}

#[tokio::test]
async fn c177_faults_of_tls_with_the_proxy_name_the_proxy() {
    for transport in BOTH {
        let script = Script::new().turn(Turn::text("hi"));
        let server = ScriptedServer::start_tls(script).await.unwrap();
        let proxy = Proxy::start(|_, _| Reply::Pass).await;
        let (port, certificate) = in_tls(&proxy).await;
        let url = format!("https://localhost:{port}");
        let network = NetworkSettings::new().proxy(ProxySetting::Url(url));
        let outcome = through(&server.url(), only(transport), network.clone()).await;
        let error = outcome.error();
        assert_eq!((error.kind(), error.delivery()), (ErrorKind::Tls, Delivery::NotSent));
        let fault = error.connect_error();
        let is_unknown = matches!(fault, Some(ConnectError::Tls(TlsError::UnknownIssuer { .. })));
        assert!(is_unknown, "{fault:?}");
        let text = error.to_string();
        let begin = format!("the TLS handshake with the proxy localhost:{port} failed, because ");
        assert!(text.starts_with(&begin), "{text}");
        assert_eq!(outcome.report.attempts.len(), 1);

        let network = network
            .root_certificates_pem(certificate)
            .root_certificates_pem(server.ca_certificate_pem().unwrap());
        let outcome = through(&server.url(), only(transport), network).await;
        assert_eq!(outcome.response().output_text(), "hi");

        // An http proxy that is addressed by https://.
        let proxy = Proxy::start(|_, _| Reply::Pass).await;
        let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = plain.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = plain.accept().await {
                _ = stream.read(&mut [0; 4096]).await;
                _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            }
        });
        let url = ProxySetting::Url(format!("https://localhost:{port}"));
        let network = NetworkSettings::new().proxy(url);
        let outcome = through(&server.url(), only(transport), network).await;
        assert_eq!(
            outcome.error().to_string(),
            format!(
                "the TLS handshake with the proxy localhost:{port} failed, because this port does \
                 not speak TLS (the request was not sent): write the proxy setting with http://"
            )
        );
        assert!(proxy.asked().is_empty());
    }
}

const LOGIN: &str = "proxy-authorization: basic dxnlcjpwyxnz";

#[tokio::test]
async fn c174_ws_goes_through_connect_and_where_that_is_refused_sse_is_forwarded_at_once() {
    for (refusal, passes) in [
        ("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", false),
        ("HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n", false),
        ("", false),
        ("", true),
    ] {
        let server = server(Script::new().turn(Turn::text("hi"))).await;
        let proxy = Proxy::start(move |_, head| match head.starts_with("CONNECT ") && !passes {
            true => Reply::Answer(refusal.as_bytes().to_vec()),
            false => Reply::Pass,
        })
        .await;
        let client = ResponsesClient::builder()
            .provider(Provider::compatible(&server.url()).unwrap())
            .network(NetworkSettings::new().proxy(proxy.setting("user:pass@")))
            .build()
            .unwrap();
        let start = Instant::now();
        let outcome = guarded(turn(&mut client.session(), &request(&["hi"]))).await;
        assert_eq!(outcome.response().output_text(), "hi", "{refusal}");
        let url = server.url();
        let address = url.trim_start_matches("http://").trim_end_matches("/v1");
        let tunnel = format!("CONNECT {address}");
        if passes {
            assert_eq!(tried(&outcome.report), [(Transport::WebSocket, None)]);
            assert_eq!(proxy.asked(), [tunnel]);
            continue;
        }
        // The least delay of a retry is 150 ms.
        assert!(start.elapsed() < Duration::from_millis(140), "{:?}", start.elapsed());
        let refused = (Transport::WebSocket, Some(ErrorKind::Proxy));
        assert_eq!(tried(&outcome.report), [refused, (Transport::Sse, None)], "{refusal}");
        assert_eq!(proxy.asked(), [tunnel, format!("POST {url}/responses")]);
        assert!(proxy.heads().iter().all(|head| head.to_lowercase().contains(LOGIN)));
        assert!(client.fallback().is_some(), "the next turn does not ask again");
        let request = &server.log().requests[0];
        assert!(!format!("{request:?}").contains("dXNlcjpwYXNz"), "the login ends at the proxy");
    }
}

#[tokio::test]
async fn c174_a_forwarded_post_without_a_login_is_told_from_an_answer_of_the_server() {
    let reply = "HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\
                 Content-Length: 0\r\n\r\n";
    for policy in [TransportPolicy::Auto, TransportPolicy::SseOnly] {
        let proxy = Proxy::answering(reply).await;
        let network = NetworkSettings::new().proxy(proxy.setting(""));
        let outcome = through("http://api.invalid/v1", policy, network).await;
        let error = outcome.error();
        let wanted = ProxyError::CredentialsRequired(answer(407, None, &["Basic"]));
        assert_eq!(error.connect_error(), Some(&ConnectError::Proxy(wanted)));
        assert_eq!(
            (error.kind(), error.delivery()),
            (ErrorKind::ProxyAuthentication, Delivery::NotSent)
        );
        assert_eq!(
            error.to_string(),
            format!(
                "the proxy {} requires a user name and a password (status 407) (the request was \
                 not sent): write `user:password@` before the host in the proxy URL, \
                 percent-encoded",
                proxy.address
            )
        );
        let post = "POST http://api.invalid/v1/responses".to_owned();
        let connect = "CONNECT api.invalid:80".to_owned();
        let asked = if policy == TransportPolicy::Auto { vec![connect, post] } else { vec![post] };
        assert_eq!(proxy.asked(), asked);
    }
}
