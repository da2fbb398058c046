//! Credentials as values.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::HeaderValue;
use tokio::time::Instant;

/// Longest time before its expiry at which a credential is replaced. A credential that lives less
/// than ten times as long is replaced in the last tenth of its life.
const MARGIN: Duration = Duration::from_secs(60);

/// Credential, for example an API key or a token. `Debug` does not show the value. Two credentials
/// are equal if their values are.
///
/// ```
/// use responses_client::Secret;
///
/// let secret = Secret::from("sk-example");
/// assert_eq!(format!("{secret:?}"), "Secret(..)");
/// assert_eq!(secret, Secret::new("sk-example"));
/// ```
#[derive(Clone)]
pub struct Secret {
    value: Arc<str>,
    /// `None` if the expiry is unknown.
    lifetime: Option<Lifetime>,
}

#[derive(Clone, Copy)]
struct Lifetime {
    /// Time from which on the credential should be replaced.
    due: Instant,
    end: Instant,
}

impl Secret {
    /// Wraps a credential.
    pub fn new(secret: impl Into<Arc<str>>) -> Self {
        Self { value: secret.into(), lifetime: None }
    }

    /// Sets the time for which the credential is valid from now on. Default: unknown. A token of
    /// [`Auth::provider_fn`](super::Auth::provider_fn) is fetched anew 60 s before it expires, or in
    /// the last tenth of its time if that is shorter. If fetching fails then, the token is used until
    /// it has expired.
    ///
    /// ```
    /// use std::time::Duration;
    /// use responses_client::Secret;
    ///
    /// let token = Secret::new("a token").expires_in(Duration::from_secs(3600));
    /// # drop(token);
    /// ```
    #[must_use]
    pub fn expires_in(mut self, time: Duration) -> Self {
        let now = Instant::now();
        self.lifetime = now.checked_add(time).map(|end| {
            let due = now + time.saturating_sub(MARGIN.min(time / 10));
            Lifetime { due, end }
        });
        self
    }

    /// Sets the time at which the credential expires: see [`expires_in`](Self::expires_in).
    #[must_use]
    pub fn expires_at(self, time: SystemTime) -> Self {
        self.expires_in(time.duration_since(SystemTime::now()).unwrap_or_default())
    }

    /// Returns the value, for code that signs requests with it. Keep the value out of logs.
    pub fn expose(&self) -> &str {
        &self.value
    }

    /// Returns `true` if the credential has expired, or is about to.
    pub(super) fn is_due(&self) -> bool {
        self.lifetime.is_some_and(|lifetime| lifetime.due <= Instant::now())
    }

    pub(super) fn has_expired(&self) -> bool {
        self.lifetime.is_some_and(|lifetime| lifetime.end <= Instant::now())
    }

    /// Returns the value of the header `Authorization` with this bearer token. An error is a
    /// predicate to append to the name of the credential.
    pub(super) fn to_bearer(&self) -> Result<HeaderValue, &'static str> {
        self.to_header("Bearer ")
    }

    /// Returns the value of a header: the scheme and the credential. An error is a predicate to
    /// append to the name of the credential.
    pub(super) fn to_header(&self, scheme: &str) -> Result<HeaderValue, &'static str> {
        if self.value.trim().is_empty() {
            return Err("is empty");
        }
        header_value(&format!("{scheme}{}", self.value))
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

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Eq for Secret {}

impl From<String> for Secret {
    fn from(secret: String) -> Self {
        Self::new(secret)
    }
}

impl From<&str> for Secret {
    fn from(secret: &str) -> Self {
        Self::new(secret)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn c274_a_credential_is_due_before_it_expires() {
        for (lifetime, due) in [(3600, 3540), (100, 90), (0, 0)] {
            let secret = Secret::new("token").expires_in(Duration::from_secs(lifetime));
            let by_clock = SystemTime::now() + Duration::from_secs(lifetime);
            let until = Secret::new("token").expires_at(by_clock);
            assert_eq!(secret, until);
            if due > 0 {
                tokio::time::advance(Duration::from_secs(due - 1)).await;
                assert!(!secret.is_due() && !until.is_due(), "{lifetime}");
                tokio::time::advance(Duration::from_secs(1)).await;
            }
            assert!(secret.is_due() && until.is_due(), "{lifetime}");
        }
        assert!(Secret::new("token").expires_at(SystemTime::UNIX_EPOCH).is_due());
        assert!(!Secret::new("token").expires_in(Duration::MAX).is_due());
        assert!(!Secret::new("token").is_due());
    }
}
