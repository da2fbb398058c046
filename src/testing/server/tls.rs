//! TLS for the server, with certificates that are created at its start.

use std::{io, sync::Arc};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
        server::WebPkiClientVerifier,
    },
};

/// TLS of a server, and the certificates that its clients need.
pub(super) struct ServerTls {
    pub(super) acceptor: TlsAcceptor,
    pub(super) certificates: Certificates,
}

/// Certificates for the clients of a server, as PEM.
pub(super) struct Certificates {
    /// Certificate of the authority that signed the server's certificate.
    pub(super) authority: String,
    /// A client's certificate and its key; `None` if the server requires none.
    pub(super) client: Option<String>,
}

/// Creates a certificate for this machine, and the authority that signs it. Their keys stay in
/// memory. With `client_certificates`, clients need a certificate of the authority.
pub(super) fn make(alpn: &[String], client_certificates: bool) -> io::Result<ServerTls> {
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
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let builder = match client_certificates {
        true => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.der().clone()).map_err(io::Error::other)?;
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            builder.with_client_cert_verifier(verifier.build().map_err(io::Error::other)?)
        }
        false => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, key).map_err(io::Error::other)?;
    config.alpn_protocols = alpn.iter().map(|name| name.clone().into_bytes()).collect();
    let client = client_certificates.then(|| client(&authority)).transpose()?;
    let certificates = Certificates { authority: authority.pem(), client };
    Ok(ServerTls { acceptor: TlsAcceptor::from(Arc::new(config)), certificates })
}

/// Returns a certificate of a client and its key, as PEM.
fn client(authority: &CertifiedIssuer<'_, KeyPair>) -> io::Result<String> {
    let mut params = CertificateParams::new(Vec::new()).map_err(io::Error::other)?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.distinguished_name.push(DnType::CommonName, "a client");
    let key = key()?;
    let certificate = params.signed_by(&key, authority).map_err(io::Error::other)?;
    Ok(certificate.pem() + &key.serialize_pem())
}

fn key() -> io::Result<KeyPair> {
    KeyPair::generate().map_err(io::Error::other)
}
