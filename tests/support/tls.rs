//! A scripted server behind TLS, and a proxy in front of it.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use responses_client::testing::{Script, ScriptedServer};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, pki_types::PrivateKeyDer},
};

/// A scripted server behind TLS, with a certificate of its own for `localhost`.
pub(crate) struct TlsServer {
    pub(crate) server: Arc<ScriptedServer>,
    pub(crate) url: String,
    pub(crate) port: u16,
    pub(crate) ca_pem: String,
}

impl TlsServer {
    /// Offers h2 before http/1.1, as most origins do.
    pub(crate) async fn start(script: Script) -> Self {
        let server = Arc::new(ScriptedServer::start(script).await.expect("a port"));
        let made =
            rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("a TLS configuration");
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::clone(&server);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, server) = (acceptor.clone(), Arc::clone(&shared));
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        server.serve(stream);
                    }
                });
            }
        });
        let url = format!("https://localhost:{port}/v1");
        Self { server, url, port, ca_pem: made.cert.pem() }
    }
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
    pub(crate) fn asked(&self) -> Vec<String> {
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
