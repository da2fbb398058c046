//! A scripted server behind TLS.

use std::sync::Arc;

use responses_client::testing::{Script, ScriptedServer};
use tokio::net::TcpListener;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, pki_types::PrivateKeyDer},
};

/// A scripted server behind TLS, with a certificate of its own for `localhost`.
pub(crate) struct TlsServer {
    pub(crate) server: Arc<ScriptedServer>,
    pub(crate) url: String,
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
        Self { server, url, ca_pem: made.cert.pem() }
    }
}
