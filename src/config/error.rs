//! Errors of settings.

use thiserror::Error;

/// Reason why a setting was rejected. `?` converts it into an [`Error`](crate::Error) of the kind
/// [`InvalidConfig`](crate::ErrorKind::InvalidConfig).
///
/// ```
/// use responses_client::{ResponsesClient, error::ConfigError};
///
/// let error = ResponsesClient::builder().base_url("api.example").build().unwrap_err();
/// assert!(matches!(error.config_error(), Some(ConfigError::BaseUrl(_))));
/// ```
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
    #[error("the header `{0}` belongs to the transport, remove it")]
    ReservedHeader(String),
    /// A header that cannot be sent.
    #[error("the {part} of the header `{header}` {fault}")]
    #[non_exhaustive]
    InvalidHeader {
        /// Name of the header. A string that looks like a key is masked.
        header: String,
        /// The part with the fault: `"name"` or `"value"`.
        part: &'static str,
        /// The fault.
        fault: &'static str,
    },
    /// A credential that no header can carry.
    #[error("the {credential} {fault}")]
    #[non_exhaustive]
    InvalidCredential {
        /// The credential, for example `"API key"`. Its value is not kept.
        credential: String,
        /// The fault.
        fault: &'static str,
    },
    /// A variable of the environment that is missing or has an invalid value.
    #[error("the environment variable `{name}` {fault}")]
    #[non_exhaustive]
    Variable {
        /// Name of the variable.
        name: &'static str,
        /// The fault.
        fault: String,
    },
    /// A file with settings that is missing or has a fault.
    #[error("{}: {fault}", place(path, *line))]
    #[non_exhaustive]
    File {
        /// Path of the file.
        path: String,
        /// Line of the fault; `None` if the fault is not in one line.
        line: Option<usize>,
        /// The fault. Values of the file are not shown.
        fault: String,
    },
    /// Invalid proxy or certificates.
    #[error("invalid network settings: {0}")]
    Network(String),
}

/// Returns the path of a file, with a line of it.
fn place(path: &str, line: Option<usize>) -> String {
    line.map_or_else(|| path.to_owned(), |line| format!("{path}:{line}"))
}
