//! Texts of `responses run`: plain English, without items of Rust, which other crates put into the
//! texts of their errors.

use std::{net::SocketAddr, sync::Arc};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

use crate::support::{
    BOTH,
    tool::{Ran, Temporary, ran, run},
};

const HI: &str = r#"{"model":"m","store":false,"input":"hi"}"#;

/// Serves each connection by `serve`, and returns the address.
async fn listen<S>(serve: impl Fn(TcpStream) -> S + Send + 'static) -> SocketAddr
where
    S: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

/// Reads what the client begins with, answers with `bytes`, and closes.
async fn answering(bytes: &'static [u8]) -> SocketAddr {
    listen(async |mut stream: TcpStream| {
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
    })
    .await
}

/// A TLS server with a certificate that `change` has changed. Returns also its CA as PEM.
async fn tls(change: impl Fn(&mut CertificateParams)) -> (SocketAddr, String) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    let leaf = params.signed_by(&key, &authority).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let config = config.with_single_cert(vec![leaf.der().clone()], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let address = listen(move |stream| {
        let accepted = acceptor.accept(stream);
        async move { drop(accepted.await) }
    })
    .await;
    (address, authority.pem())
}

/// Returns the text of a turn that failed; neither it nor the notices have items of Rust.
fn checked(ran: &Ran) -> String {
    let text = ran.turns()[0]["error"]["message"].as_str().expect("a failure").to_owned();
    for text in [&text, &ran.stderr] {
        let before = |at| text[..at].ends_with(|it: char| it.is_ascii_alphanumeric());
        let has_call = text.match_indices('(').any(|(at, _)| before(at));
        let words = text.split(|c: char| !c.is_ascii_alphanumeric());
        let types: Vec<_> = words.filter(|word| *word != "WebSocket" && is_type(word)).collect();
        let is_rust = text.contains("::") || text.contains('{') || has_call || !types.is_empty();
        assert!(!is_rust, "{types:?}: {text}");
    }
    text
}

/// Returns `true` for a name such as `HandshakeFailure`.
fn is_type(word: &str) -> bool {
    let is_upper = |it: char| it.is_ascii_uppercase();
    let rest = word.trim_start_matches(is_upper);
    rest != word && rest.contains(is_upper)
}

#[tokio::test]
async fn c181_texts_of_failed_connections_have_no_items_of_rust() {
    let (wrong_name, ca) = tls(|it| {
        it.subject_alt_names =
            CertificateParams::new(["other.example".to_owned()]).unwrap().subject_alt_names;
    })
    .await;
    let (purpose, purpose_ca) =
        tls(|it| it.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]).await;
    let trusted = Temporary::new("texts-ca.pem");
    std::fs::write(&trusted.0, format!("{ca}{purpose_ca}")).unwrap();
    let silent = listen(async |mut stream: TcpStream| {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let silent_url = format!("http://{silent}");
    let certificate = &["--ca-file", trusted.path()][..];
    for (url, args, words) in [
        (format!("https://{wrong_name}/v1"), &[][..], "is not trusted"),
        (format!("https://{wrong_name}/v1"), certificate, "the certificate is for other.example"),
        (format!("https://{purpose}/v1"), certificate, "the certificate is invalid ("),
        (
            // A fatal alert: handshake_failure.
            format!("https://{}/v1", answering(&[21, 3, 3, 0, 2, 2, 40]).await),
            &[],
            "the peer sent the alert `handshake_failure`",
        ),
        (
            // A fatal alert: protocol_version.
            format!("https://{}/v1", answering(&[21, 3, 1, 0, 2, 2, 70]).await),
            &[],
            "no TLS version from 1.2 on",
        ),
        (format!("https://{}/v1", answering(b"SSH-2.0-x\r\n").await), &[], "does not speak TLS"),
        (format!("http://{}/v1", answering(b"SSH-2.0-x\r\n").await), &[], "the answer is not HTTP"),
        (silent_url.clone() + "/v1", &["--timeout-connect", "50ms"], "timed out"),
        ("https://a.invalid/v1".to_owned(), &["--timeout-connect", "50ms"], "timed out"),
    ] {
        for transport in BOTH {
            let fixed = ["--transport", transport.as_str(), "--quiet", "--timeout-turn", "2s"];
            let mut tool = run(&url, &[args, &fixed].concat());
            if url.contains("a.invalid") {
                tool.env("HTTPS_PROXY", &silent_url);
            }
            let ran = ran(tool, &[HI]).await;
            let text = checked(&ran);
            assert!(text.contains(words), "{url} over {transport}: {text}");
        }
    }
}
