//! TLS: certificates of servers and clients.

use std::{net::SocketAddr, sync::Arc};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use responses_client::testing::{Script, ScriptedServer, Turn};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
        server::WebPkiClientVerifier,
        version::TLS12,
    },
};

use super::{BOTH_WORK, Machine, NO_TURNS, boxes::listen};
use crate::support::{server, tool::Temporary};

/// Starts a server with a certificate that `change` has changed. Returns its address, and its CA as
/// PEM.
async fn with_certificate(
    change: impl Fn(&mut CertificateParams),
    wants_certificate: bool,
) -> (SocketAddr, String) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "a CA");
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    let leaf = params.signed_by(&key, &authority).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(aws_lc_rs::default_provider());
    // With TLS 1.2, the server refuses a client during the handshake.
    let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS12])
        .unwrap();
    let config = match wants_certificate {
        true => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            config.with_client_cert_verifier(verifier.build().unwrap())
        }
        false => config.with_no_client_auth(),
    };
    let config = config.with_single_cert(vec![leaf.der().clone()], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let address = listen(move |stream| {
        let accepted = acceptor.accept(stream);
        async move { accepted.await.map(drop) }
    })
    .await;
    (address, authority.pem())
}

/// A server that ends each connection after the TLS handshake. Returns its address, and its CA as
/// PEM.
pub(super) async fn accepting() -> (SocketAddr, String) {
    with_certificate(|_| {}, false).await
}

#[tokio::test]
async fn c183_faults_of_a_certificate_are_told_apart() {
    type Change = fn(&mut CertificateParams);
    let expired: Change = |it| it.not_after = date_time_ymd(2020, 2, 2);
    let early: Change = |it| it.not_before = date_time_ymd(3000, 3, 3);
    let other: Change = |it| {
        it.subject_alt_names =
            CertificateParams::new(["other.example".to_owned()]).unwrap().subject_alt_names;
    };
    for (change, id, words) in [
        (expired, "tls_expired", &["02 Feb 2020", "clock"][..]),
        (early, "tls_not_yet_valid", &["03 Mar 3000", "clock"]),
        (other, "tls_wrong_name", &["other.example", "--base-url"]),
    ] {
        let (address, ca) = with_certificate(change, false).await;
        let file = Temporary::new(format!("doctor-{id}.pem"));
        std::fs::write(&file.0, ca).unwrap();
        let machine = Machine::new(&format!("https://{address}/v1"));
        let fault = machine.flags(&["--ca-file", file.path()]).diagnose().await;
        fault.expect(&[&format!("fail {id}")], NO_TURNS);
        fault.says(id, words);
    }
    // The same faults of an https proxy.
    for (change, words) in [
        (expired, &["02 Feb 2020", "the proxy's: tell its administrator"][..]),
        (early, &["03 Mar 3000", "the clock of this machine is probably wrong"]),
        (other, &["other.example", "a name that its certificate has"]),
    ] {
        let (address, ca) = with_certificate(change, false).await;
        let file = Temporary::new("doctor-proxy-fault.pem");
        std::fs::write(&file.0, ca).unwrap();
        let machine = Machine::new("https://api.example/v1");
        let machine = machine.set("HTTPS_PROXY", &format!("https://{address}"));
        let fault = machine.flags(&["--ca-file", file.path()]).diagnose().await;
        fault.expect(&["fail proxy_certificate"], NO_TURNS);
        fault.says("proxy_certificate", words);
        assert!(!fault.finding("proxy_certificate").contains("trust its issuer"), "{}", fault.text);
    }
}

#[tokio::test]
async fn c183_an_unknown_issuer_is_named_with_the_flag_that_trusts_it() {
    let script = Script::new().respond(|_| Turn::text("hi"));
    let server = ScriptedServer::start_tls(script).await.unwrap();
    let unknown = Machine::new(&server.url()).diagnose().await;
    unknown.expect(&["fail tls_unknown_issuer"], NO_TURNS);
    let words = ["scripted server CA", "--ca-file, which adds", "SSL_CERT_FILE, which replaces"];
    unknown.says("tls_unknown_issuer", &words);
}

#[tokio::test]
async fn c183_a_port_without_tls_is_named() {
    let server = server(Script::new().respond(|_| Turn::text("hi"))).await;
    let plain = Machine::new(&server.url().replace("http://", "https://")).diagnose().await;
    plain.expect(&["fail tls_plain_http"], NO_TURNS);
    plain.says("tls_plain_http", &["--base-url with http://"]);

    let cut = listen(|stream| async move {
        drop(stream);
        Ok(())
    })
    .await;
    let cut = Machine::new(&format!("https://{cut}/v1")).diagnose().await;
    cut.expect(&["fail tls_cut"], NO_TURNS);
}

#[tokio::test]
async fn c183_a_client_certificate_that_is_wanted_is_named() {
    let (address, ca) = with_certificate(|_| {}, true).await;
    let file = Temporary::new("doctor-tls12.pem");
    std::fs::write(&file.0, ca).unwrap();
    let missing = Machine::new(&format!("https://{address}/v1")).flags(&["--ca-file", file.path()]);
    let missing = missing.diagnose().await;
    missing.expect(&["fail tls_client_certificate"], NO_TURNS);
    let words = ["requires a client certificate", "--client-certificate"];
    missing.says("tls_client_certificate", &words);

    let script = Script::new().require_client_certificate().respond(|_| Turn::text("hi"));
    let server = ScriptedServer::start_tls(script).await.unwrap();
    let (ca, client) = (Temporary::new("doctor-mtls.pem"), Temporary::new("doctor-client.pem"));
    std::fs::write(&ca.0, server.ca_certificate_pem().unwrap()).unwrap();
    std::fs::write(&client.0, server.client_certificate_pem().unwrap()).unwrap();
    let machine = Machine::new(&server.url()).flags(&["--ca-file", ca.path()]);
    let given = machine.flags(&["--client-certificate", client.path()]).diagnose().await;
    given.expect(&[], BOTH_WORK);
}
