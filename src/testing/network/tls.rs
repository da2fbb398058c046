//! TLS of emulated connections, whose handshakes always have the same size.

use std::{io, sync::Arc};

use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ED25519, SerialNumber};
use tokio_rustls::{
    TlsAcceptor, TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore, ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName},
        version::TLS13,
    },
};

use crate::net::Io;

/// Both ends of TLS over a link.
pub(in crate::testing) struct Tls {
    connector: TlsConnector,
    acceptor: TlsAcceptor,
}

/// Creates a certificate, and the settings of both ends. Its key stays in memory.
///
/// Signatures of Ed25519 and the serial number have a fixed length, so that two runs exchange the
/// same number of bytes.
pub(super) fn make() -> io::Result<Tls> {
    let mut params = CertificateParams::new([NAME.to_owned()]).map_err(io::Error::other)?;
    params.distinguished_name.push(DnType::CommonName, NAME);
    params.serial_number = Some(SerialNumber::from(1));
    let key = KeyPair::generate_for(&PKCS_ED25519).map_err(io::Error::other)?;
    let certificate = params.self_signed(&key).map_err(io::Error::other)?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).map_err(io::Error::other)?;

    // The process may have another default provider, or none.
    let provider = Arc::new(aws_lc_rs::default_provider());
    let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13])
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .map_err(io::Error::other)?;
    Ok(Tls { connector: Arc::new(client).into(), acceptor: Arc::new(server).into() })
}

impl Tls {
    /// Returns the server's end.
    pub(in crate::testing) fn acceptor(&self) -> TlsAcceptor {
        self.acceptor.clone()
    }

    /// Makes a TLS session over `stream`; resumes an earlier one if it can.
    pub(in crate::testing) async fn connect<S: Io>(&self, stream: S) -> io::Result<TlsStream<S>> {
        let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
        self.connector.connect(name, stream).await
    }
}

/// Name of the server in its certificate.
const NAME: &str = "memory.invalid";
