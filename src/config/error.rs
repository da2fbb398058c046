//! Errors of settings.

use thiserror::Error;

/// Reason why a setting was rejected. `?` converts it into an [`Error`](crate::Error) of the kind
/// [`InvalidConfig`](crate::ErrorKind::InvalidConfig).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Invalid base URL of the provider.
    #[error("invalid base URL: {0}")]
    BaseUrl(&'static str),
    /// Credentials would be sent unencrypted.
    #[error(
        "credentials would be sent unencrypted over http: use https, or allow it with \
         `Provider::allow_credentials_over_http`"
    )]
    ExposedCredentials,
    /// A header that the transport sets itself.
    #[error("the header `{0}` belongs to the transport: remove it")]
    ReservedHeader(String),
    /// A header or a credential that cannot be sent.
    #[error("a header or a credential is empty or has characters that HTTP does not allow")]
    InvalidHeader,
    /// Invalid proxy or certificates.
    #[error("invalid network settings: {0}")]
    Network(String),
}
