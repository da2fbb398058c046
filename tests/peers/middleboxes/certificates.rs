//! Certificates of middleboxes that end TLS.

use std::{fs, sync::LazyLock};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};

use super::network::BOX;
use crate::peer::Folder;

/// File with the certificate of the authority.
pub(super) const AUTHORITY: &str = "box-ca.pem";

/// Authority, certificate and key, as PEM.
static FILES: LazyLock<[(&str, String); 3]> = LazyLock::new(make);

/// Writes the authority, a certificate for the box (`box.pem`), and its key (`box.key`).
pub(super) fn write(folder: &Folder) {
    for (name, content) in &*FILES {
        fs::write(folder.path().join(name), content).unwrap();
    }
}

fn make() -> [(&'static str, String); 3] {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, "middlebox CA");
    let key = KeyPair::generate().unwrap();
    let authority = CertifiedIssuer::self_signed(params, key).unwrap();
    let names = vec![BOX.to_string()];
    let mut params = CertificateParams::new(names).unwrap();
    params.use_authority_key_identifier_extension = true;
    params.distinguished_name.push(DnType::CommonName, "box");
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    [(AUTHORITY, authority.pem()), ("box.pem", certificate.pem()), ("box.key", key.serialize_pem())]
}
