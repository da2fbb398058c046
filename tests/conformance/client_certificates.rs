//! Client certificates: servers that require, accept and refuse them, at real sockets.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures_util::{SinkExt as _, StreamExt as _, future::join_all};
use responses_client::{
    Delivery, ErrorKind, RetryPolicy, TransportPolicy,
    error::{ConnectError, TlsError},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        AlertDescription, ConnectionTrafficSecrets, ContentType, ProtocolVersion, ServerConfig,
        SupportedCipherSuite,
        crypto::cipher::{OutboundChunks, OutboundPlainMessage},
        version::{TLS12, TLS13},
    },
    server::TlsStream,
};
use tokio_tungstenite::{accept_async, tungstenite::Message};

use crate::{
    support::{guarded, request, turn},
    tls_faults::{Authority, Listener, POLICIES, Sipping, answer},
};

#[tokio::test]
async fn c176_a_client_certificate_that_is_wanted_or_rejected_is_told() {
    let authority = Authority::new("Root");
    for version in [&TLS12, &TLS13] {
        let server = Listener::tls(authority.asking(version, false)).await;
        let (fault, text) = server.fault(&authority.trusted()).await;
        assert_eq!(fault, TlsError::ClientCertificateRequired, "{version:?}");
        assert_eq!(
            text,
            "the server requires a client certificate (the request was not sent): set one with \
             `NetworkSettings::client_certificate_pem`"
        );
        for other in ["Root", "Another"] {
            let other = Authority::new(other).client();
            let wrong = authority.trusted().client_certificate_pem(other);
            let (fault, text) = server.fault(&wrong).await;
            assert_eq!(fault, TlsError::ClientCertificateRejected, "{version:?}");
            assert_eq!(
                text,
                "the server rejected the client certificate (the request was not sent): check the \
                 client certificate"
            );
        }
    }
}

#[tokio::test]
async fn c176_a_client_certificate_that_is_right_or_optional_passes() {
    let authority = Authority::new("Root");
    let mut without_tickets = authority.asking(&TLS13, false);
    without_tickets.send_tls13_tickets = 0;
    let right = authority.trusted().client_certificate_pem(authority.client());
    for (config, network) in [
        (authority.asking(&TLS12, false), right.clone()),
        (authority.asking(&TLS13, false), right.clone()),
        (without_tickets, right.clone()),
        (authority.asking(&TLS12, true), authority.trusted()),
        (authority.asking(&TLS13, true), authority.trusted()),
    ] {
        let server = Listener::tls(config).await;
        let outcome = server.turn(TransportPolicy::SseOnly, network).await;
        assert_eq!(outcome.error().status(), Some(404), "{}", outcome.error());
    }
}

#[tokio::test]
async fn c176_a_handshake_that_asked_says_nothing_about_the_next_one() {
    let authority = Authority::new("Root");
    let acceptor = TlsAcceptor::from(Arc::new(authority.asking(&TLS12, true)));
    let first = AtomicUsize::new(0);
    let server = Listener::start(move |mut stream| {
        let (acceptor, number) = (acceptor.clone(), first.fetch_add(1, Ordering::Relaxed));
        async move {
            if number == 0 {
                return answer(acceptor, Sipping(stream)).await;
            }
            stream.read(&mut [0; 4096]).await.map(drop)?;
            // A fatal alert: handshake_failure, before any request for a certificate.
            stream.write_all(&[21, 3, 3, 0, 2, 2, 40]).await?;
            stream.shutdown().await
        }
    })
    .await;
    let policy = TransportPolicy::WebSocketOnly;
    let client = server.client(policy, authority.trusted()).build().unwrap();
    let mut session = client.session();
    let outcome = guarded(turn(&mut session, &request(&["hi"]))).await;
    assert_eq!(outcome.error().status(), Some(404));
    let outcome = guarded(turn(&mut session, &request(&["hi"]))).await;
    let fault = outcome.error().connect_error();
    assert!(matches!(fault, Some(ConnectError::Tls(TlsError::Other(_)))), "{fault:?}");
}

/// Size of what a client sends before the server reads its part of the handshake, in bytes. It is
/// larger than the client's part.
const EARLY: usize = 8 * 1024;

/// Lets `acceptor` read the end of the client's handshake only when the request is there too.
async fn refuse_late(acceptor: TlsAcceptor, mut stream: TcpStream) -> io::Result<()> {
    let mut held = vec![0; EARLY];
    let hello = stream.read(&mut held).await?;
    let (near, far) = tokio::io::duplex(2 * EARLY);
    let (mut from_server, mut to_server) = tokio::io::split(far);
    let (mut from_client, mut to_client) = stream.into_split();
    to_server.write_all(&held[..hello]).await?;
    tokio::spawn(async move { acceptor.accept(near).await.map(drop) });
    tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
    from_client.read_exact(&mut held).await?;
    to_server.write_all(&held).await?;
    // Until the client closes, so that no reset overtakes the alert.
    while from_client.read(&mut held).await? > 0 {}
    Ok(())
}

#[tokio::test]
async fn c176_a_refusal_that_arrives_after_the_request_is_one_of_the_handshake() {
    let authority = Authority::new("Root");
    let acceptor = TlsAcceptor::from(Arc::new(authority.asking(&TLS13, false)));
    let wrong = authority.trusted().client_certificate_pem(Authority::new("Another").client());
    let cases = [
        (authority.trusted(), TlsError::ClientCertificateRequired),
        (wrong, TlsError::ClientCertificateRejected),
    ];
    join_all(cases.map(async |(network, expected)| {
        let acceptor = acceptor.clone();
        let mut server = Listener::start(move |stream| refuse_late(acceptor.clone(), stream)).await;
        server.padding = EARLY;
        let (fault, _) = server.fault(&network).await;
        assert_eq!(fault, expected);
    }))
    .await;
}

/// Sends a fatal alert over an open session, and closes the connection.
async fn send_alert(stream: TlsStream<TcpStream>, alert: AlertDescription) -> io::Result<()> {
    let (mut stream, session) = stream.into_inner();
    let Some(SupportedCipherSuite::Tls13(suite)) = session.negotiated_cipher_suite() else {
        panic!("TLS 1.3 only");
    };
    let (sequence, secrets) = session.dangerous_extract_secrets().unwrap().tx;
    let (ConnectionTrafficSecrets::Aes128Gcm { key, iv }
    | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
    | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv }) = secrets
    else {
        panic!("another cipher");
    };
    let message = OutboundPlainMessage {
        typ: ContentType::Alert,
        version: ProtocolVersion::TLSv1_2,
        payload: OutboundChunks::Single(&[2, alert.into()]),
    };
    let record = suite.aead_alg.encrypter(key, iv).encrypt(message, sequence).unwrap();
    stream.write_all(&record.encode()).await?;
    stream.shutdown().await?;
    while stream.read(&mut [0; 4096]).await? > 0 {}
    Ok(())
}

async fn read_head(stream: &mut TlsStream<TcpStream>) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(())
}

fn acceptor(mut config: ServerConfig) -> TlsAcceptor {
    config.enable_secret_extraction = true;
    TlsAcceptor::from(Arc::new(config))
}

#[tokio::test]
async fn c176_an_alert_of_a_server_that_accepted_the_client_is_no_refusal() {
    let authority = Authority::new("Root");
    // The first server asks for no certificate, the other one accepts with a ticket.
    let asking_none = authority.server("localhost", |_| {});
    for config in [asking_none, authority.asking(&TLS13, true)] {
        let acceptor = acceptor(config);
        let server = Listener::start(move |stream| {
            let acceptor = acceptor.clone();
            async move {
                let mut stream = acceptor.accept(stream).await?;
                read_head(&mut stream).await?;
                send_alert(stream, AlertDescription::CertificateRequired).await
            }
        })
        .await;
        for policy in POLICIES {
            let outcome = server.turn(policy, authority.trusted()).await;
            let error = outcome.error();
            assert_eq!((error.kind(), error.connect_error()), (ErrorKind::Truncated, None));
            let unsent = policy == TransportPolicy::WebSocketOnly;
            let delivery = if unsent { Delivery::NotSent } else { Delivery::Unknown };
            assert_eq!(error.delivery(), delivery, "{policy:?}: {error}");
        }
    }
}

const CREATED: &str = r#"{"type":"response.created","response":{"id":"r"}}"#;
const COMPLETED: &str =
    r#"{"type":"response.completed","response":{"id":"r","status":"completed"}}"#;

/// Answers the first request on a connection, and the second one with an alert.
async fn answer_once(
    mut stream: TlsStream<TcpStream>,
    requests: &AtomicUsize,
    websocket: bool,
) -> io::Result<()> {
    let alert = AlertDescription::CertificateExpired;
    if websocket {
        let mut socket = accept_async(stream).await.map_err(io::Error::other)?;
        for number in 0..2 {
            socket.next().await;
            requests.fetch_add(1, Ordering::Relaxed);
            if number == 0 {
                socket.send(Message::text(CREATED)).await.map_err(io::Error::other)?;
                socket.send(Message::text(COMPLETED)).await.map_err(io::Error::other)?;
            }
        }
        return send_alert(socket.into_inner(), alert).await;
    }
    let events = format!("data: {CREATED}\n\ndata: {COMPLETED}\n\n");
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length:";
    for number in 0..2 {
        read_head(&mut stream).await?;
        requests.fetch_add(1, Ordering::Relaxed);
        if number == 0 {
            let answer = format!("{head} {}\r\n\r\n{events}", events.len());
            stream.write_all(answer.as_bytes()).await?;
        }
    }
    send_alert(stream, alert).await
}

#[tokio::test]
async fn c176_an_alert_on_a_kept_connection_is_no_refusal() {
    let authority = Authority::new("Root");
    let network = authority.trusted().client_certificate_pem(authority.client());
    for policy in [TransportPolicy::WebSocketOnly, TransportPolicy::SseOnly] {
        let acceptor = acceptor(authority.asking(&TLS13, false));
        let requests = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&requests);
        let server = Listener::start(move |stream| {
            let (acceptor, count) = (acceptor.clone(), Arc::clone(&count));
            async move {
                let stream = acceptor.accept(stream).await?;
                answer_once(stream, &count, policy == TransportPolicy::WebSocketOnly).await
            }
        })
        .await;
        let mut retry = RetryPolicy::default();
        (retry.max_attempts, retry.max_replays) = (1, 0);
        let client = server.client(policy, network.clone()).retry(retry).build().unwrap();
        let mut session = client.session();
        guarded(turn(&mut session, &request(&["hi"]))).await.response();
        let outcome = guarded(turn(&mut session, &request(&["ho"]))).await;
        let error = outcome.error();
        assert_eq!((error.kind(), error.connect_error()), (ErrorKind::Truncated, None));
        assert_eq!(error.delivery(), Delivery::Unknown, "{policy:?}: {error}");
        assert_eq!(requests.load(Ordering::Relaxed), 2, "{policy:?}: no resend is free");
        assert_eq!(server.connections.load(Ordering::Relaxed), 1, "{policy:?}");
    }
}
