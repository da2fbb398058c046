//! The error of settings that cannot be used.

use thiserror::Error;

/// Reason why a setting was refused. It becomes an [`Error`](crate::Error) of the kind
/// [`InvalidConfig`](crate::ErrorKind::InvalidConfig) with `?`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The base URL of the provider cannot be used.
    #[error("the base URL cannot be used: {0}")]
    BaseUrl(&'static str),
    /// Credentials would be sent unencrypted.
    #[error(
        "credentials over plain http would be read on the way: use https, or allow it with \
         `Provider::allow_credentials_over_http`"
    )]
    ExposedCredentials,
    /// A header that belongs to the transport.
    #[error("the header `{0}` belongs to the transport")]
    ReservedHeader(String),
    /// A header or a credential that cannot be sent.
    #[error("a header or a credential has characters that no header may have, or is empty")]
    InvalidHeader,
    /// The proxy or the certificates cannot be used.
    #[error("the network settings cannot be used: {0}")]
    Network(String),
}
