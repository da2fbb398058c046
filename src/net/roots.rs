//! Roots that certificates are verified against.

use std::{
    ffi::{OsStr, OsString},
    fs,
    path::Path,
    sync::Arc,
};

use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::CryptoProvider,
    pki_types::CertificateDer,
};

use super::{NetError, pem};
use crate::config::Pem;

/// Variable that names a file of trusted certificates.
const FILE: &str = "SSL_CERT_FILE";
/// Variable that names directories of trusted certificates.
const DIRECTORIES: &str = "SSL_CERT_DIR";

/// Returns the verifier of certificates. It trusts `extra`, and the certificates that
/// `SSL_CERT_FILE` and `SSL_CERT_DIR` name; without these variables, it trusts the roots of the
/// platform, and `extra`.
///
/// As in OpenSSL, the variables replace the roots of the platform: a user who sets them can also
/// restrict what is trusted.
pub(super) fn verifier(
    extra: &[Pem],
    variable: impl Fn(&str) -> Option<OsString>,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, NetError> {
    let mut trusted = Vec::new();
    let mut store = RootCertStore::empty();
    for pem in extra {
        for certificate in pem::trusted(pem)? {
            let added = store.add(certificate.clone());
            added.map_err(|_| pem::not_trusted(pem, "a file with an invalid certificate"))?;
            trusted.push(certificate);
        }
    }
    let (file, directories) = (variable(FILE), variable(DIRECTORIES));
    if file.is_none() && directories.is_none() {
        return of_platform(trusted, provider);
    }
    let mut roots = Vec::new();
    if let Some(path) = file {
        roots.extend(from_file(&path).map_err(|fault| variable_error(FILE, &path, &fault))?);
    }
    if let Some(list) = directories {
        let found = from_directories(&list);
        roots.extend(found.map_err(|fault| variable_error(DIRECTORIES, &list, &fault))?);
    }
    let (added, _) = store.add_parsable_certificates(roots);
    if added == 0 {
        let set = [FILE, DIRECTORIES].into_iter().filter(|name| variable(name).is_some());
        let set = set.collect::<Vec<_>>().join(" and ");
        let why = format!("the certificates that {set} names cannot be used");
        return Err(NetError::setting(why));
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(store.into(), provider).build();
    Ok(verifier.map_err(NetError::setting)?)
}

fn of_platform(
    extra: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, NetError> {
    match rustls_platform_verifier::Verifier::new_with_extra_roots(extra, provider) {
        Ok(verifier) => Ok(Arc::new(verifier)),
        Err(error) => Err(platform_error(&error)),
    }
}

fn platform_error(error: &rustls::Error) -> NetError {
    match error {
        // The platform has no roots.
        rustls::Error::General(_) => NetError::setting(format!(
            "this machine has no trusted certificates: install them (the package is often called \
             `ca-certificates`), or name a PEM file in {FILE}"
        )),
        error => NetError::setting(format!("the trusted certificates cannot be used: {error}")),
    }
}

/// Returns the certificates of a file. An error is a predicate to append to the name of the variable.
fn from_file(path: &OsStr) -> Result<Vec<CertificateDer<'static>>, String> {
    if path.is_empty() {
        return Err("has no value: unset it, or set it to a PEM file".to_owned());
    }
    if Path::new(path).is_dir() {
        return Err(format!("names a directory: use {DIRECTORIES} for directories"));
    }
    let content = fs::read(path).map_err(|error| pem::unreadable(&error));
    let found = content.and_then(|content| pem::certificates(&content));
    found.map_err(|fault| format!("names {fault}"))
}

/// Returns the certificates in the files of a list of directories, separated as in `PATH`. Other
/// files are skipped. An error is a predicate.
fn from_directories(list: &OsStr) -> Result<Vec<CertificateDer<'static>>, String> {
    let (mut found, mut faults) = (Vec::new(), String::new());
    for directory in std::env::split_paths(list).filter(|path| !path.as_os_str().is_empty()) {
        let read = rustls_native_certs::load_certs_from_paths(None, Some(&directory));
        for error in &read.errors {
            tracing::debug!("{DIRECTORIES}: {error}");
        }
        if let Some(error) = read.errors.first() {
            faults = format!(" ({error})");
        }
        found.extend(read.certs);
    }
    match found.is_empty() {
        true => Err(format!("names no directory with PEM certificates{faults}")),
        false => Ok(found),
    }
}

fn variable_error(name: &str, value: &OsStr, fault: &str) -> NetError {
    NetError::setting(format!("{name}={} {fault}", value.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c175_a_machine_without_roots_is_told_how_to_get_some() {
        let error = platform_error(&rustls::Error::General("No CA certificates".to_owned()));
        assert_eq!(
            error.into_source().to_string(),
            "this machine has no trusted certificates: install them (the package is often called \
             `ca-certificates`), or name a PEM file in SSL_CERT_FILE"
        );
        let error = platform_error(&rustls::Error::DecryptError);
        let text = error.into_source().to_string();
        assert!(text.starts_with("the trusted certificates cannot be used: "), "{text}");
    }

    #[test]
    fn c175_a_fault_of_a_variable_is_one_with_roots_of_the_caller_too() {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let missing = |name: &str| (name == FILE).then(|| OsString::from("/no/such/file"));
        let error = verifier(&[], missing, provider).err().map(|error| error.into_source());
        let text = error.map(|error| error.to_string()).unwrap_or_default();
        assert!(text.starts_with("SSL_CERT_FILE=/no/such/file names a file"), "{text}");
    }
}
