//! TLS for the server, with certificates that are created at its start.

use std::{io, sync::Arc};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

/// TLS of a server, and the certificate by which a client trusts it.
pub(super) struct ServerTls {
    pub(super) acceptor: TlsAcceptor,
    pub(super) ca_pem: String,
}

/// Creates a certificate for this machine, and the authority that signs it. Their keys stay in
/// memory.
pub(super) fn make(alpn: &[String]) -> io::Result<ServerTls> {
    let mut params = CertificateParams::new(Vec::new()).map_err(io::Error::other)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, "scripted server CA");
    let authority = CertifiedIssuer::self_signed(params, key()?).map_err(io::Error::other)?;

    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut params = CertificateParams::new(names).map_err(io::Error::other)?;
    params.use_authority_key_identifier_extension = true;
    params.distinguished_name.push(DnType::CommonName, "localhost");
    let leaf_key = key()?;
    let leaf = params.signed_by(&leaf_key, &authority).map_err(io::Error::other)?;

    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(leaf_key.serialize_der()));
    let chain = vec![leaf.der().clone(), authority.der().clone()];
    // The process may have another default provider, or none.
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(io::Error::other)?;
    config.alpn_protocols = alpn.iter().map(|name| name.clone().into_bytes()).collect();
    Ok(ServerTls { acceptor: TlsAcceptor::from(Arc::new(config)), ca_pem: authority.pem() })
}

fn key() -> io::Result<KeyPair> {
    KeyPair::generate().map_err(io::Error::other)
}
