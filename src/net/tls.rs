//! TLS to servers and to https proxies.

use std::{
    cell::Cell,
    error::Error as StdError,
    ffi::OsString,
    fmt, io,
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error as RustlsError,
    InvalidMessage, OtherError, PeerIncompatible, ProtocolVersion, SignatureScheme,
    client::{
        ResolvesClientCert,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, UnixTime},
    sign::CertifiedKey,
};
use tokio_rustls::TlsConnector;
use x509_cert::der::Decode as _;

use super::{
    Io, NetError, pem, roots,
    tls_session::{self, TlsSession, rustls_error},
};
use crate::{
    api::masked,
    config::NetworkSettings,
    error::{ConnectError, ConnectStep, TlsError},
};

/// Settings of TLS, with the sessions to resume.
#[derive(Clone)]
pub(super) struct Tls {
    connector: TlsConnector,
    client: Arc<ClientAuth>,
}

/// Authentication of the client.
#[derive(Debug)]
struct ClientAuth {
    certificate: Option<Arc<CertifiedKey>>,
}

tokio::task_local! {
    /// `true` once the server has asked for a client certificate. Set for each handshake, because
    /// all handshakes share the [`ClientAuth`]: rustls resumes sessions only with the same one.
    static ASKED: Cell<bool>;
}

/// Verifier that adds the name of the issuer to the error of an unknown issuer.
#[derive(Debug)]
struct Naming(Arc<dyn ServerCertVerifier>);

/// Error of a certificate whose issuer is not trusted.
#[derive(Debug)]
struct UnknownIssuer(String);

impl Tls {
    /// Returns the settings. `variable` reads the environment.
    pub(super) fn new(
        settings: &NetworkSettings,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, NetError> {
        // The process may have another default provider, or none.
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = roots::verifier(&settings.roots, variable, Arc::clone(&provider))?;
        let certificate = match &settings.client_certificate {
            Some(client) => Some(Arc::new(pem::certified_key(client)?)),
            None => None,
        };
        let client = Arc::new(ClientAuth { certificate });
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(NetError::setting)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Naming(verifier)))
            .with_client_cert_resolver(Arc::clone(&client) as Arc<dyn ResolvesClientCert>);
        // A server that also offers h2 would select it, and the upgrade would be lost.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), client })
    }

    /// Makes a TLS session with `host` over `io`; `step` is the step of an error.
    pub(super) async fn connect<S: Io>(
        &self,
        host: &str,
        io: S,
        step: ConnectStep,
    ) -> Result<TlsSession<S>, NetError> {
        let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(name).map_err(NetError::setting)?;
        let handshake = async {
            let mut stream = self.connector.connect(name, io).await?;
            let is_accepted = !ASKED.with(Cell::get) || tls_session::accepted(&mut stream).await?;
            Ok(TlsSession::new(stream, (!is_accepted).then(|| self.client_refused())))
        };
        let result = async { (handshake.await, ASKED.with(Cell::get)) };
        let (session, asked) = ASKED.scope(Cell::new(false), result).await;
        session.map_err(|error: io::Error| {
            let reason = match rustls_error(&error) {
                // A server that cannot answer at present reports so.
                Some(RustlsError::AlertReceived(AlertDescription::InternalError)) => {
                    ConnectError::Lost(step)
                }
                Some(cause) => ConnectError::Tls(self.classify(cause, asked)),
                None => ConnectError::Lost(step),
            };
            NetError::connect(reason, error)
        })
    }

    fn client_refused(&self) -> TlsError {
        match self.client.certificate {
            Some(_) => TlsError::ClientCertificateRejected,
            None => TlsError::ClientCertificateRequired,
        }
    }

    /// Returns the fault in a handshake; `asked` is `true` if the server asked for a client
    /// certificate.
    fn classify(&self, error: &RustlsError, asked: bool) -> TlsError {
        match error {
            RustlsError::InvalidCertificate(error) => of_certificate(error),
            RustlsError::PeerIncompatible(
                PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
                | PeerIncompatible::Tls12NotOfferedOrEnabled,
            )
            | RustlsError::AlertReceived(AlertDescription::ProtocolVersion) => TlsError::OldVersion,
            RustlsError::InvalidMessage(
                InvalidMessage::InvalidContentType
                | InvalidMessage::UnknownProtocolVersion
                | InvalidMessage::MessageTooLarge,
            ) => TlsError::NotTls,
            RustlsError::AlertReceived(alert) if asked && tls_session::is_refusal(*alert) => {
                self.client_refused()
            }
            error => TlsError::Other(in_words(error)),
        }
    }
}

impl ResolvesClientCert for ClientAuth {
    fn resolve(&self, _: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        _ = ASKED.try_with(|asked| asked.set(true));
        let certificate = self.certificate.as_ref()?;
        certificate.key.choose_scheme(schemes)?;
        Some(Arc::clone(certificate))
    }

    fn has_certs(&self) -> bool {
        // Also without a certificate, so that the request for one is seen.
        true
    }
}

impl ServerCertVerifier for Naming {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, RustlsError> {
        let verified =
            self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        verified.map_err(|error| match error {
            // A root of the same name and another key, such as the former one of a proxy, fails at
            // the signature.
            RustlsError::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            ) => {
                // The last certificate of the chain names the root that is missing.
                let last = intermediates.last().unwrap_or(end_entity);
                let issuer = OtherError(Arc::new(UnknownIssuer(issuer_of(last))));
                RustlsError::InvalidCertificate(CertificateError::Other(issuer))
            }
            error => error,
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

impl fmt::Display for UnknownIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the issuer `{}` is not trusted", self.0)
    }
}

impl StdError for UnknownIssuer {}

/// Returns the version of TLS, and the issuer of the peer's certificate.
pub(super) fn describe<S>(session: &TlsSession<S>) -> String {
    let connection = session.connection();
    let version = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
        Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
        _ => "TLS",
    };
    let issuer = connection.peer_certificates().and_then(<[_]>::first).map(issuer_of);
    format!("{version}, issuer {}", issuer.unwrap_or_default())
}

/// Returns the distinguished name of the issuer of `certificate`; empty if it cannot be read.
fn issuer_of(certificate: &CertificateDer<'_>) -> String {
    let parsed = x509_cert::Certificate::from_der(certificate);
    parsed.map_or_else(
        |_| String::new(),
        |parsed| masked(&parsed.tbs_certificate().issuer().to_string(), 128),
    )
}

fn of_certificate(error: &CertificateError) -> TlsError {
    let date = |time: UnixTime| {
        let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(time.as_secs()))?;
        Some(httpdate::fmt_http_date(time))
    };
    match error {
        CertificateError::Expired => TlsError::Expired { not_after: None, now: None },
        CertificateError::ExpiredContext { time, not_after } => {
            TlsError::Expired { not_after: date(*not_after), now: date(*time) }
        }
        CertificateError::NotValidYet => TlsError::NotYetValid { not_before: None, now: None },
        CertificateError::NotValidYetContext { time, not_before } => {
            TlsError::NotYetValid { not_before: date(*not_before), now: date(*time) }
        }
        CertificateError::UnknownIssuer => TlsError::UnknownIssuer { issuer: String::new() },
        CertificateError::NotValidForName => TlsError::WrongName { has: Vec::new() },
        CertificateError::NotValidForNameContext { presented, .. } => {
            let names = presented.iter().take(8).map(|name| plain_name(name));
            TlsError::WrongName { has: names.collect() }
        }
        CertificateError::Other(OtherError(other)) => match other.downcast_ref() {
            Some(UnknownIssuer(issuer)) => TlsError::UnknownIssuer { issuer: issuer.clone() },
            None => TlsError::Certificate(masked(&other.to_string(), 200)),
        },
        error => TlsError::Certificate(separated(&format!("{error:?}"), " ")),
    }
}

/// Returns a clause for a fault of another kind. The texts of rustls contain names of Rust.
fn in_words(error: &RustlsError) -> String {
    let named = |fault: &dyn fmt::Debug| separated(&format!("{fault:?}"), " ");
    match error {
        // RFC 8446 writes the names of alerts in this way.
        RustlsError::AlertReceived(alert) => {
            format!("the peer sent the alert `{}`", separated(&format!("{alert:?}"), "_"))
        }
        RustlsError::InvalidMessage(fault) => {
            format!("the peer sent an invalid TLS message ({})", named(fault))
        }
        RustlsError::PeerIncompatible(fault) => {
            format!("the peer is incompatible ({})", named(fault))
        }
        RustlsError::PeerMisbehaved(fault) => format!("the peer violated TLS ({})", named(fault)),
        RustlsError::InappropriateMessage { .. }
        | RustlsError::InappropriateHandshakeMessage { .. } => {
            "the peer sent a TLS message out of order".to_owned()
        }
        RustlsError::General(text) => masked(text, 200),
        error => format!("TLS failed ({})", named(error)),
    }
}

/// Returns the name of a variant in lower case, its words separated: `BadEncoding` becomes
/// `bad encoding`. The fields of the variant are left out.
fn separated(variant: &str, separator: &str) -> String {
    let name = variant.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
    let name = name.strip_suffix("Context").unwrap_or(name);
    let mut words = String::new();
    let mut before = 'A';
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !before.is_ascii_uppercase() {
            words.push_str(separator);
        }
        words.push(letter.to_ascii_lowercase());
        before = letter;
    }
    words
}

/// Returns a name as users write it: webpki shows `DnsName("localhost")`.
fn plain_name(shown: &str) -> String {
    let inner = shown.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    masked(inner.unwrap_or(shown).trim_matches('"'), 128)
}
#[cfg(test)]
mod tests {
    use rustls::PeerMisbehaved;

    use super::*;

    #[test]
    fn c176_faults_have_no_names_of_rust() {
        for (error, text) in [
            (
                RustlsError::AlertReceived(AlertDescription::HandshakeFailure),
                "the peer sent the alert `handshake_failure`",
            ),
            (
                RustlsError::AlertReceived(AlertDescription::UnknownCA),
                "the peer sent the alert `unknown_ca`",
            ),
            (
                RustlsError::InvalidMessage(InvalidMessage::MissingData("Name(x)")),
                "the peer sent an invalid TLS message (missing data)",
            ),
            (
                RustlsError::PeerMisbehaved(PeerMisbehaved::TooManyEmptyFragments),
                "the peer violated TLS (too many empty fragments)",
            ),
            (RustlsError::DecryptError, "TLS failed (decrypt error)"),
            (RustlsError::General("no luck".to_owned()), "no luck"),
        ] {
            assert_eq!(in_words(&error), text);
        }
        let fault = of_certificate(&CertificateError::InvalidPurposeContext {
            required: rustls::ExtendedKeyPurpose::ServerAuth,
            presented: vec![rustls::ExtendedKeyPurpose::ClientAuth],
        });
        assert_eq!(fault, TlsError::Certificate("invalid purpose".to_owned()));
    }
}
