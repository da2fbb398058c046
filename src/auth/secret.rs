//! Credentials as values.

use std::{fmt, sync::Arc};

use http::HeaderValue;

/// Credential, for example an API key or a token. `Debug` does not show the value.
///
/// ```
/// use responses_client::Secret;
///
/// let secret = Secret::from("sk-example");
/// assert_eq!(format!("{secret:?}"), "Secret(..)");
/// assert_eq!(secret, Secret::new("sk-example"));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Wraps a credential.
    pub fn new(secret: impl Into<Arc<str>>) -> Self {
        Self(secret.into())
    }

    /// Returns the value of a header: the scheme and the credential. An error is a predicate to
    /// append to the name of the credential.
    pub(super) fn to_header(&self, scheme: &str) -> Result<HeaderValue, &'static str> {
        if self.0.trim().is_empty() {
            return Err("is empty");
        }
        header_value(&format!("{scheme}{}", self.0))
    }

    /// Returns the fault of a credential that no header can carry, as a predicate.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        self.to_header("").err()
    }
}

/// Returns the value of a header, which is kept out of logs. An error is a predicate to append to
/// the name of the value.
pub(crate) fn header_value(value: &str) -> Result<HeaderValue, &'static str> {
    let mut header =
        HeaderValue::try_from(value).map_err(|_| match value.contains(['\r', '\n']) {
            true => "has a line break, remove it",
            false => "has characters that HTTP headers do not allow",
        })?;
    header.set_sensitive(true);
    Ok(header)
}

impl From<String> for Secret {
    fn from(secret: String) -> Self {
        Self(secret.into())
    }
}

impl From<&str> for Secret {
    fn from(secret: &str) -> Self {
        Self(secret.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}
