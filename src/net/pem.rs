//! Certificates and keys in PEM, and what is wrong with a text that holds none.

use std::{fs, io, path::Path};

use rustls::{
    Error as RustlsError,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::CertifiedKey,
};

use super::NetError;
use crate::config::{ClientCertificate, Pem};

/// Certificates of a file or of a text.
type Certificates = Vec<CertificateDer<'static>>;

/// Returns the certificates of `pem`, which the caller trusts.
pub(super) fn trusted(pem: &Pem) -> Result<Certificates, NetError> {
    let found = read(pem).and_then(|text| certificates(&text));
    found.map_err(|fault| not_trusted(pem, &fault))
}

/// Returns the error of `pem`, which cannot be trusted; `fault` is a noun phrase.
pub(super) fn not_trusted(pem: &Pem, fault: &str) -> NetError {
    NetError::setting(format!("a root certificate cannot be used: {} is {fault}", name(pem)))
}

/// Returns the certificate of a client, with its key.
pub(super) fn certified_key(client: &ClientCertificate) -> Result<CertifiedKey, NetError> {
    let ClientCertificate { certificate, key } = client;
    let found = read(certificate).and_then(|text| Ok((certificates(&text)?, text)));
    let (chain, text) = found.map_err(|fault| {
        let file = name(certificate);
        NetError::setting(format!("the client certificate is not a PEM text: {file} is {fault}"))
    })?;
    let unusable = |fault: &str| match key {
        Some(key) => NetError::setting(format!(
            "the key of the client certificate cannot be used: {} {fault}",
            name(key)
        )),
        None => NetError::setting(format!(
            "the client certificate cannot be used: {} {fault}",
            name(certificate)
        )),
    };
    let key = match key {
        Some(key) => read(key).map_err(|fault| unusable(&format!("is {fault}")))?,
        None => text,
    };
    let key = private_key(&key).map_err(|fault| unusable(&fault))?;
    let certified = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider());
    certified.map_err(|error| match error {
        RustlsError::InconsistentKeys(_) => {
            unusable("has the key of another certificate: use the key that the certificate is for")
        }
        _ => unusable("has a key or a certificate of an unsupported kind"),
    })
}

/// Returns the content. An error is a noun phrase.
fn read(pem: &Pem) -> Result<Vec<u8>, String> {
    match pem {
        Pem::Text(text) => Ok(text.clone()),
        Pem::File(path) => fs::read(path).map_err(|error| unreadable(&error)),
    }
}

/// Returns a noun phrase for a file that cannot be read.
pub(super) fn unreadable(error: &io::Error) -> String {
    format!("a file that cannot be read: {error}")
}

fn name(pem: &Pem) -> String {
    match pem {
        Pem::Text(_) => "it".to_owned(),
        Pem::File(path) => Path::display(path).to_string(),
    }
}

/// Returns the certificates of a file with this content. An error is a noun phrase that describes
/// the file.
pub(super) fn certificates(content: &[u8]) -> Result<Certificates, String> {
    // OpenSSL's own form of a certificate.
    const TRUSTED: &[u8] = b"BEGIN TRUSTED CERTIFICATE";
    if is_der(content) {
        let convert = "openssl x509 -inform der -in FILE -out FILE.pem";
        return Err(format!("a file in DER: convert it to PEM with `{convert}`"));
    }
    if content.is_empty() {
        return Err("an empty file".to_owned());
    }
    let found = CertificateDer::pem_slice_iter(content).collect::<Result<Vec<_>, _>>();
    match found {
        Err(_) => Err("a file with malformed PEM".to_owned()),
        Ok(found) if found.is_empty() => {
            let convert = "openssl x509 -in FILE -out FILE.pem";
            match content.windows(TRUSTED.len()).any(|window| window == TRUSTED) {
                true => {
                    Err(format!("a file in OpenSSL's trusted form: convert it with `{convert}`"))
                }
                false => Err("a file without a PEM certificate".to_owned()),
            }
        }
        Ok(found) => Ok(found),
    }
}

/// Returns the first key of a file with this content. An error is a predicate.
fn private_key(content: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    const ENCRYPTED: &[u8] = b"ENCRYPTED";
    if let Ok(key) = PrivateKeyDer::from_pem_slice(content) {
        return Ok(key);
    }
    if is_der(content) {
        let convert = "openssl pkey -inform der -in FILE -out FILE.pem";
        return Err(format!("has a key in DER: convert it to PEM with `{convert}`"));
    }
    if content.windows(ENCRYPTED.len()).any(|window| window == ENCRYPTED) {
        let convert = "openssl pkey -in FILE -out FILE.pem";
        return Err(format!("has an encrypted key: decrypt it with `{convert}`"));
    }
    Err("has no private key in PEM: append it, or name its own file".to_owned())
}

/// Returns `true` for DER: a certificate and most keys begin with a SEQUENCE of more than 255 bytes.
fn is_der(content: &[u8]) -> bool {
    // A key of an elliptic curve is shorter.
    content.starts_with(&[0x30, 0x82]) || content.starts_with(&[0x30, 0x81])
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    #[test]
    fn c194_faults_of_a_key_are_told_apart() {
        let params = CertificateParams::new(["a".to_owned()]).unwrap();
        let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let certificate = params.self_signed(&key).unwrap().pem();
        let with = |key: &[u8]| ClientCertificate {
            certificate: Pem::Text(certificate.clone().into_bytes()),
            key: Some(Pem::Text(key.to_vec())),
        };
        assert!(certified_key(&with(key.serialize_pem().as_bytes())).is_ok());
        let encrypted =
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        for (key, fault) in [
            (other.serialize_pem().as_bytes(), "has the key of another certificate"),
            (&key.serialize_der(), "has a key in DER: convert it to PEM with `openssl pkey"),
            (encrypted.as_bytes(), "has an encrypted key: decrypt it with `openssl pkey"),
            (b"canary", "has no private key in PEM"),
        ] {
            let error = certified_key(&with(key)).unwrap_err().into_source().to_string();
            let start = format!("the key of the client certificate cannot be used: it {fault}");
            assert!(error.starts_with(&start), "{error}");
        }
    }
}
