//! Faults of TLS at real sockets: each is told apart, and is the same over both transports.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use responses_client::{
    Delivery, ErrorKind, NetworkSettings, Phase, Provider, ProxySetting, ResponsesClient,
    ResponsesClientBuilder, RetryAction, RetryPolicy, Timeouts, Transport, TransportPolicy,
    error::{ConnectError, ConnectStep, TlsError},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig, SupportedProtocolVersion,
        crypto::aws_lc_rs,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
        server::WebPkiClientVerifier,
        version::{TLS12, TLS13},
    },
};

use crate::support::{Outcome, guarded, request, tried, turn};

pub(crate) const POLICIES: [TransportPolicy; 3] =
    [TransportPolicy::Auto, TransportPolicy::WebSocketOnly, TransportPolicy::SseOnly];

/// A server of its own for each connection.
pub(crate) struct Listener {
    port: u16,
    pub(crate) connections: Arc<AtomicUsize>,
    /// Size of a header of each request, in bytes.
    pub(crate) padding: usize,
}

impl Listener {
    /// Serves each connection by `serve`.
    pub(crate) async fn start<F, S>(serve: F) -> Self
    where
        F: Fn(TcpStream) -> S + Send + 'static,
        S: Future<Output = io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(stream));
            }
        });
        Self { port, connections, padding: 1 }
    }

    /// Reads what the client begins with, answers with `bytes`, and closes.
    async fn raw(bytes: &'static [u8]) -> Self {
        Self::start(async |mut stream: TcpStream| {
            stream.read(&mut [0; 4096]).await.map(drop)?;
            stream.write_all(bytes).await?;
            stream.shutdown().await
        })
        .await
    }

    /// Makes TLS sessions, and answers each request with status 404.
    pub(crate) async fn tls(config: ServerConfig) -> Self {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Self::start(move |stream| answer(acceptor.clone(), Sipping(stream))).await
    }

    /// Returns a client with short timeouts.
    pub(crate) fn client(
        &self,
        policy: TransportPolicy,
        network: NetworkSettings,
    ) -> ResponsesClientBuilder {
        let url = format!("https://localhost:{}/v1", self.port);
        let mut retry = RetryPolicy::default();
        retry.backoff = Duration::from_millis(1);
        let mut timeouts = Timeouts::default();
        timeouts.connect = Some(Duration::from_secs(2));
        ResponsesClient::builder()
            .provider(Provider::compatible(&url).unwrap())
            .transport(policy)
            .network(network.proxy(ProxySetting::Direct))
            .header("x-padding", "-".repeat(self.padding))
            .retry(retry)
            .timeouts(timeouts)
    }

    pub(crate) async fn turn(&self, policy: TransportPolicy, network: NetworkSettings) -> Outcome {
        let client = self.client(policy, network).build().unwrap();
        guarded(turn(&mut client.session(), &request(&["hi"]))).await
    }

    /// Asserts that the turn fails over each transport with a final TLS error, and returns the
    /// fault and what the text says about it.
    pub(crate) async fn fault(&self, network: &NetworkSettings) -> (TlsError, String) {
        let mut found = None;
        for policy in POLICIES {
            let before = self.connections.load(Ordering::Relaxed);
            let outcome = self.turn(policy, network.clone()).await;
            let error = outcome.error();
            assert_eq!(error.kind(), ErrorKind::Tls, "{policy:?}: {error}");
            assert_eq!(error.delivery(), Delivery::NotSent, "{policy:?}: {error}");
            assert_eq!(error.phase(), Phase::Connect, "{policy:?}: {error}");
            assert_eq!(error.retry_action(), RetryAction::Reconfigure, "{policy:?}");
            assert_eq!(outcome.report.attempts.len(), 1, "{policy:?}: {error}");
            assert_eq!(self.connections.load(Ordering::Relaxed), before + 1, "{policy:?}");
            let Some(ConnectError::Tls(fault)) = error.connect_error() else { panic!("{error:?}") };
            let text = error.to_string();
            let begin = format!("the TLS handshake with localhost:{} failed, because ", self.port);
            let text = text.strip_prefix(&begin).unwrap_or_else(|| panic!("{text}")).to_owned();
            let same = found.get_or_insert_with(|| (fault.clone(), text.clone()));
            // The clock may show the next second.
            assert_eq!(same.1.len(), text.len(), "{policy:?}: {text}");
        }
        found.unwrap()
    }
}

pub(crate) async fn answer(acceptor: TlsAcceptor, stream: Sipping) -> io::Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await?;
    // Until the client closes, so that no reset overtakes the answer.
    while stream.read(&mut [0; 4096]).await? > 0 {}
    Ok(())
}

/// Reads byte by byte, as OpenSSL reads record by record: what the client sends too early stays
/// unread, and closing then resets the connection.
pub(crate) struct Sipping(pub(crate) TcpStream);

impl AsyncRead for Sipping {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut byte = [0];
        let mut one = ReadBuf::new(&mut byte);
        std::task::ready!(Pin::new(&mut self.0).poll_read(cx, &mut one))?;
        buf.put_slice(one.filled());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Sipping {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// An authority that signs certificates of servers and clients.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        params.distinguished_name.push(DnType::OrganizationName, "Example");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn trusted(&self) -> NetworkSettings {
        NetworkSettings::new().root_certificates_pem(self.0.pem())
    }

    fn builder(
        versions: &[&'static SupportedProtocolVersion],
    ) -> tokio_rustls::rustls::ConfigBuilder<ServerConfig, tokio_rustls::rustls::WantsVerifier>
    {
        ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
    }

    /// Server with a certificate for `name`; `edit` changes it before it is signed.
    pub(crate) fn server(
        &self,
        name: &str,
        edit: impl FnOnce(&mut CertificateParams),
    ) -> ServerConfig {
        let builder = Self::builder(&[&TLS12, &TLS13]).with_no_client_auth();
        let (chain, key) = self.certificate(name, edit);
        builder.with_single_cert(chain, key).unwrap()
    }

    /// Server of one version that asks for certificates of this authority; `optional` ones may be
    /// missing.
    pub(crate) fn asking(
        &self,
        version: &'static SupportedProtocolVersion,
        optional: bool,
    ) -> ServerConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
        let verifier = if optional { verifier.allow_unauthenticated() } else { verifier };
        let builder =
            Self::builder(&[version]).with_client_cert_verifier(verifier.build().unwrap());
        let (chain, key) = self.certificate("localhost", |_| {});
        builder.with_single_cert(chain, key).unwrap()
    }

    fn certificate(
        &self,
        name: &str,
        edit: impl FnOnce(&mut CertificateParams),
    ) -> (Vec<tokio_rustls::rustls::pki_types::CertificateDer<'static>>, PrivateKeyDer<'static>)
    {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        edit(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (vec![certificate.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
    }

    /// Certificate and key of a client, as PEM.
    pub(crate) fn client(&self) -> String {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        params.signed_by(&key, &self.0).unwrap().pem() + &key.serialize_pem()
    }
}

const ADVICE_DATES: &str = " (the request was not sent): check the clock of this machine, or have \
                            the certificate renewed";

#[tokio::test]
async fn c176_an_unknown_issuer_is_named() {
    let server = Listener::tls(Authority::new("Corp Root").server("localhost", |_| {})).await;
    // A root of the same name with another key is another root.
    let [another, former] = ["Another", "Corp Root"].map(|name| Authority::new(name).trusted());
    for network in [NetworkSettings::new(), another, former] {
        let (fault, text) = server.fault(&network).await;
        let TlsError::UnknownIssuer { issuer, .. } = fault else { panic!("{fault:?}") };
        assert_eq!(issuer, "O=Example,CN=Corp Root");
        assert_eq!(
            text,
            "the issuer of the certificate, `O=Example,CN=Corp Root`, is not trusted (the request \
             was not sent): if you trust that issuer, for example because a proxy intercepts TLS, \
             add its certificate with `NetworkSettings::root_certificates_pem` or `SSL_CERT_FILE`"
        );
    }
}

#[tokio::test]
async fn c176_dates_are_told_with_those_of_the_clock() {
    let authority = Authority::new("Root");
    let config = authority.server("localhost", |params| {
        params.not_after = date_time_ymd(2020, 1, 2);
    });
    let (fault, text) = Listener::tls(config).await.fault(&authority.trusted()).await;
    let TlsError::Expired { not_after, now, .. } = fault else { panic!("{fault:?}") };
    assert_eq!(not_after.as_deref(), Some("Thu, 02 Jan 2020 00:00:00 GMT"));
    let clock = now.unwrap();
    assert_eq!(
        text,
        format!(
            "the certificate has expired on Thu, 02 Jan 2020 00:00:00 GMT (the clock of this \
             machine shows {clock}){ADVICE_DATES}"
        )
    );
    let config = authority.server("localhost", |params| {
        params.not_before = date_time_ymd(3020, 1, 2);
    });
    let (fault, text) = Listener::tls(config).await.fault(&authority.trusted()).await;
    let TlsError::NotYetValid { not_before, now, .. } = fault else { panic!("{fault:?}") };
    assert_eq!(not_before.as_deref(), Some("Sun, 02 Jan 3020 00:00:00 GMT"));
    let clock = now.unwrap();
    assert_eq!(
        text,
        format!(
            "the certificate is not valid yet, only from Sun, 02 Jan 3020 00:00:00 GMT on (the \
             clock of this machine shows {clock}){ADVICE_DATES}"
        )
    );
}

#[tokio::test]
async fn c176_a_wrong_name_tells_the_names_that_the_certificate_has() {
    let authority = Authority::new("Root");
    let config = authority.server("other.example", |params| {
        let address = std::net::IpAddr::from([10, 0, 0, 1]);
        params.subject_alt_names.push(rcgen::SanType::IpAddress(address));
    });
    let (fault, text) = Listener::tls(config).await.fault(&authority.trusted()).await;
    let TlsError::WrongName { has, .. } = fault else { panic!("{fault:?}") };
    assert_eq!(has, ["other.example", "10.0.0.1"]);
    assert_eq!(
        text,
        "the certificate is for other.example, 10.0.0.1 (the request was not sent): check the \
         host name in the base URL"
    );
}

#[tokio::test]
async fn c176_a_certificate_of_another_purpose_is_invalid() {
    let authority = Authority::new("Root");
    let config = authority.server("localhost", |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    let (fault, text) = Listener::tls(config).await.fault(&authority.trusted()).await;
    assert!(matches!(fault, TlsError::Certificate(_)), "{fault:?}");
    assert!(text.starts_with("the certificate is invalid ("), "{text}");
    assert!(text.ends_with("(the request was not sent): have the certificate replaced"), "{text}");
}

/// A ServerHello in a record of this version.
const fn server_hello(minor: u8) -> [u8; 47] {
    let mut hello = [7; 47];
    let head = [22, 3, minor, 0, 42, 2, 0, 0, 38, 3, minor];
    let mut at = 0;
    while at < head.len() {
        hello[at] = head[at];
        at += 1;
    }
    // No session, TLS_RSA_WITH_AES_128_CBC_SHA, no compression.
    hello[43] = 0;
    hello[44] = 0;
    hello[45] = 0x2f;
    hello[46] = 0;
    hello
}

#[tokio::test]
async fn c176_old_versions_are_told_apart() {
    static TLS10: [u8; 47] = server_hello(1);
    static TLS11: [u8; 47] = server_hello(2);
    // A fatal alert: protocol_version.
    for hello in [&TLS10[..], &TLS11, &[21, 3, 1, 0, 2, 2, 70]] {
        let (fault, text) = Listener::raw(hello).await.fault(&NetworkSettings::new()).await;
        assert_eq!(fault, TlsError::OldVersion);
        assert_eq!(
            text,
            "the peer supports no TLS version from 1.2 on (the request was not sent): update the \
             peer, this crate needs TLS 1.2 or 1.3"
        );
    }
}

#[tokio::test]
async fn c176_a_port_without_tls_is_told_apart() {
    for answer in [
        &b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"[..],
        b"<html>The plain HTTP request",
        b"SSH-2.0-OpenSSH_9.6\r\n",
    ] {
        let (fault, text) = Listener::raw(answer).await.fault(&NetworkSettings::new()).await;
        assert_eq!(fault, TlsError::NotTls);
        assert_eq!(
            text,
            "this port does not speak TLS (the request was not sent): write the base URL with \
             http://, or check its port"
        );
    }
}

#[tokio::test]
async fn c176_another_alert_is_shown_as_it_is() {
    // A fatal alert: handshake_failure.
    let server = Listener::raw(&[21, 3, 3, 0, 2, 2, 40]).await;
    let (fault, text) = server.fault(&NetworkSettings::new()).await;
    assert!(
        matches!(&fault, TlsError::Other(why) if why.contains("`handshake_failure`")),
        "{fault:?}"
    );
    assert!(
        text.ends_with("(the request was not sent): check the TLS settings of the peer"),
        "{text}"
    );
}

#[tokio::test]
async fn c176_a_server_that_cannot_answer_at_present_is_tried_again() {
    // A fatal alert: internal_error.
    let server = Listener::raw(&[21, 3, 3, 0, 2, 2, 80]).await;
    for policy in POLICIES {
        let outcome = server.turn(policy, NetworkSettings::new()).await;
        let error = outcome.error();
        assert_eq!(error.connect_error(), Some(&ConnectError::Lost(ConnectStep::Tls)));
        assert!(error.is_retryable() && outcome.report.attempts.len() > 1, "{policy:?}: {error}");
    }
}

#[tokio::test]
async fn c176_a_handshake_that_is_cut_is_retried_and_then_a_tls_error() {
    for policy in POLICIES {
        let server = Listener::start(async |mut stream: TcpStream| {
            stream.read(&mut [0; 4096]).await.map(drop)
        })
        .await;
        let outcome = server.turn(policy, NetworkSettings::new()).await;
        let error = outcome.error();
        assert_eq!((error.kind(), error.delivery()), (ErrorKind::Tls, Delivery::NotSent));
        assert_eq!(error.connect_error(), Some(&ConnectError::Lost(ConnectStep::Tls)));
        assert_eq!(error.retry_action(), RetryAction::Retry);
        assert_eq!(
            error.to_string(),
            format!(
                "the connection to localhost:{} ended in the TLS handshake (the request was not \
                 sent): retry",
                server.port
            )
        );
        let (first, last) = match policy {
            TransportPolicy::Auto => (Transport::WebSocket, Transport::Sse),
            TransportPolicy::WebSocketOnly => (Transport::WebSocket, Transport::WebSocket),
            _ => (Transport::Sse, Transport::Sse),
        };
        let failed = |transport| (transport, Some(ErrorKind::Tls));
        assert_eq!(tried(&outcome.report), [first, first, first, last].map(failed));
        assert_eq!(server.connections.load(Ordering::Relaxed), 4);
    }
}

#[tokio::test]
async fn c176_a_handshake_that_hangs_is_a_timeout_of_that_step() {
    for policy in [TransportPolicy::WebSocketOnly, TransportPolicy::SseOnly] {
        let server = Listener::start(async |stream: TcpStream| {
            let _open = stream;
            std::future::pending().await
        })
        .await;
        let url = format!("https://localhost:{}/v1", server.port);
        let (mut timeouts, mut retry) = (Timeouts::default(), RetryPolicy::default());
        timeouts.connect = Some(Duration::from_millis(200));
        retry.max_attempts = 1;
        let client = ResponsesClient::builder()
            .provider(Provider::compatible(&url).unwrap())
            .transport(policy)
            .network(NetworkSettings::new().proxy(ProxySetting::Direct))
            .timeouts(timeouts)
            .retry(retry)
            .build()
            .unwrap();
        let outcome = guarded(turn(&mut client.session(), &request(&["hi"]))).await;
        let error = outcome.error();
        assert_eq!((error.kind(), error.delivery()), (ErrorKind::Timeout, Delivery::NotSent));
        assert_eq!(error.connect_error(), Some(&ConnectError::TimedOut(ConnectStep::Tls)));
        assert_eq!(
            error.to_string(),
            format!(
                "timed out in the TLS handshake with localhost:{} (the request was not sent): \
                 retry",
                server.port
            )
        );
    }
}
