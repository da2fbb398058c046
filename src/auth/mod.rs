//! Credentials and how they are obtained.

pub use provider::{AuthProvider, TokenFuture};
pub use secret::Secret;

pub(crate) use secret::header_value;

use std::{error::Error as StdError, fmt, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, header};

use self::function::CachedTokens;
use crate::api::masked;

#[cfg(feature = "codex-config")]
mod command;
mod function;
mod provider;
mod secret;

/// Authentication of a client. The credential is obtained anew for each new connection and each
/// HTTP request, so that a token may change in between.
///
/// Equal values stand for the same account, see
/// [`account`](crate::ResponsesClientBuilder::account): two keys or headers that are equal, or
/// clones of one provider.
///
/// ```
/// use responses_client::Auth;
///
/// let key = Auth::bearer("sk-example");
/// let azure = Auth::header("api-key", "a key");
/// # drop((key, azure));
/// ```
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Auth {
    /// No authentication.
    #[default]
    None,
    /// `Authorization: Bearer …` with a fixed token.
    Bearer(Secret),
    /// A fixed value in a header of this name, for example `api-key`.
    Header(String, Secret),
    /// A bearer token that is fetched for each connection and each HTTP request.
    Provider(Arc<dyn AuthProvider>),
}

impl Auth {
    /// Returns no authentication.
    pub fn none() -> Self {
        Self::None
    }

    /// Returns authentication with `Authorization: Bearer …`.
    pub fn bearer(token: impl Into<Secret>) -> Self {
        Self::Bearer(token.into())
    }

    /// Returns authentication with a header of this name, for example `api-key`. If `name` is not
    /// the name of a header, [`build`](crate::ResponsesClientBuilder::build) fails.
    pub fn header(name: impl AsRef<str>, value: impl Into<Secret>) -> Self {
        Self::Header(name.as_ref().to_owned(), value.into())
    }

    /// Returns authentication with tokens from `provider`, which may be an [`Arc`] that the caller
    /// keeps too.
    pub fn provider(provider: impl AuthProvider + 'static) -> Self {
        Self::Provider(Arc::new(provider))
    }

    /// Returns authentication with the token that `fetch` returns.
    ///
    /// The first turn fetches the token, and later turns use the cached one until it expires, if
    /// [`Secret::expires_in`] or [`Secret::expires_at`] say when. Concurrent turns in one runtime
    /// share one fetch, also one that fails. After the server has refused the cached token (401), the
    /// next attempt fetches another one; a late refusal of an older token changes nothing. The
    /// future that `fetch` returns is dropped if all turns that wait for it end.
    ///
    /// An error of `fetch` ends the turn as [`ErrorKind::Auth`](crate::ErrorKind::Auth) and becomes
    /// its source; `?` in the closure converts any error. The error must not contain the credential.
    ///
    /// ```
    /// use responses_client::{Auth, Provider, ResponsesClient};
    ///
    /// async fn log_in() -> Result<String, std::io::Error> {
    ///     Ok("a token".to_owned()) // ask the identity provider here
    /// }
    ///
    /// let auth = Auth::provider_fn(|| async { Ok(log_in().await?) });
    /// let client = ResponsesClient::builder().provider(Provider::openai()).auth(auth).build()?;
    /// # drop(client);
    /// # Ok::<(), responses_client::Error>(())
    /// ```
    pub fn provider_fn<F, Fut, T>(fetch: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, Box<dyn StdError + Send + Sync>>> + Send + 'static,
        T: Into<Secret>,
    {
        Self::provider(CachedTokens::new(fetch))
    }

    /// Returns `true` if both stand for the same account, as far as the settings show.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::None, Self::None) => true,
            (Self::Bearer(a), Self::Bearer(b)) => a == b,
            (Self::Header(a, x), Self::Header(b, y)) => a.eq_ignore_ascii_case(b) && x == y,
            (Self::Provider(a), Self::Provider(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }

    /// Returns `true` if another credential can be fetched after the server refused this one.
    pub(crate) fn is_renewable(&self) -> bool {
        matches!(self, Self::Provider(_))
    }

    /// Reports to the provider that the server refused `token`.
    pub(crate) fn refused(&self, token: Option<&Secret>) {
        if let (Self::Provider(provider), Some(token)) = (self, token) {
            provider.refused(token);
        }
    }

    /// Returns `true` if the credential is in the header of this name, apart from `Authorization`.
    pub(crate) fn is_in_header(&self, name: &HeaderName) -> bool {
        matches!(self, Self::Header(own, _) if name.as_str().eq_ignore_ascii_case(own))
    }

    pub(crate) fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// Returns the credential if it is fixed, and its name in error texts.
    pub(crate) fn fixed(&self) -> Option<(String, &Secret)> {
        match self {
            Self::Bearer(secret) => Some(("API key".to_owned(), secret)),
            Self::Header(name, secret) => {
                Some((format!("value of the header `{}`", masked(name, 64)), secret))
            }
            Self::None | Self::Provider(_) => None,
        }
    }

    /// Adds the credential to the headers of a request if the credential is fixed. Otherwise
    /// returns the token for [`sign`](Self::sign).
    pub(crate) async fn apply(&self, headers: &mut HeaderMap) -> Result<Option<Secret>, AuthError> {
        let (name, value) = match self {
            Self::None => return Ok(None),
            Self::Bearer(token) => (header::AUTHORIZATION, token.to_bearer()),
            Self::Header(name, value) => {
                let Ok(name) = HeaderName::try_from(name.as_str()) else {
                    return Err(AuthError::Malformed("is not in a valid header"));
                };
                (name, value.to_header(""))
            }
            Self::Provider(provider) => {
                let token = provider.token().await.map_err(AuthError::of_provider)?;
                return match token.fault() {
                    Some(fault) => Err(AuthError::Malformed(fault)),
                    None => Ok(Some(token)),
                };
            }
        };
        headers.insert(name, value.map_err(AuthError::Malformed)?);
        Ok(None)
    }

    /// Adds the token of a provider to a request that is otherwise complete.
    pub(crate) fn sign(
        &self,
        request: http::Request<Bytes>,
        token: Option<&Secret>,
    ) -> Result<http::Request<Bytes>, AuthError> {
        let (Self::Provider(provider), Some(token)) = (self, token) else { return Ok(request) };
        let (mut head, body) = request.into_parts();
        provider.sign(token, &mut head, &body).map_err(AuthError::of_provider)?;
        Ok(http::Request::from_parts(head, body))
    }
}

/// A secret is a bearer token.
impl From<Secret> for Auth {
    fn from(token: Secret) -> Self {
        Self::Bearer(token)
    }
}

/// A string is a bearer token.
impl From<&str> for Auth {
    fn from(token: &str) -> Self {
        Self::bearer(token)
    }
}

/// A string is a bearer token.
impl From<String> for Auth {
    fn from(token: String) -> Self {
        Self::bearer(token)
    }
}

/// Reason why a credential could not be obtained.
#[derive(Debug)]
pub(crate) enum AuthError {
    Provider(Arc<dyn StdError + Send + Sync>),
    /// No header can carry the token. The predicate names the fault.
    Malformed(&'static str),
}

impl AuthError {
    fn of_provider(error: Box<dyn StdError + Send + Sync>) -> Self {
        // The callers of one fetch share its error, whose own type a caller may look for.
        let error = error.downcast::<Arc<dyn StdError + Send + Sync>>();
        Self::Provider(error.map_or_else(Arc::from, |shared| *shared))
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Bearer(_) => f.write_str("Bearer(..)"),
            // A caller may have confused the name with the value.
            Self::Header(name, _) => write!(f, "Header({}, ..)", masked(name, 64)),
            Self::Provider(_) => f.write_str("Provider(..)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(&'static str);

    impl AuthProvider for Fixed {
        fn token(&self) -> TokenFuture<'_> {
            Box::pin(async { Ok(self.0.into()) })
        }
    }

    #[tokio::test]
    async fn credentials_go_into_headers_and_nowhere_else() {
        for (auth, name, value) in [
            (Auth::bearer("canary-1"), header::AUTHORIZATION, "Bearer canary-1"),
            (Auth::header("Api-Key", "canary-2"), HeaderName::from_static("api-key"), "canary-2"),
            (Auth::provider(Fixed("canary-3")), header::AUTHORIZATION, "Bearer canary-3"),
        ] {
            let mut request = http::Request::new(Bytes::new());
            let token = auth.apply(request.headers_mut()).await.unwrap();
            let request = auth.sign(request, token.as_ref()).unwrap();
            let headers = request.headers();
            assert_eq!(headers.get(name).unwrap(), value);
            assert!(!format!("{auth:?} {headers:?}").contains("canary"));
        }
        for fetched in ["", " ", "two\nlines", "key\n"] {
            let refused = Auth::provider(Fixed(fetched)).apply(&mut HeaderMap::new()).await;
            assert!(matches!(refused, Err(AuthError::Malformed(_))), "{fetched:?}");
        }
    }

    #[tokio::test]
    async fn the_error_of_a_provider_keeps_its_type() {
        let shared = Auth::provider_fn(|| async { Err::<Secret, _>(std::fmt::Error.into()) });
        struct Fails;
        impl AuthProvider for Fails {
            fn token(&self) -> TokenFuture<'_> {
                Box::pin(async { Err(std::fmt::Error.into()) })
            }
        }
        for auth in [shared, Auth::provider(Fails)] {
            let error = auth.apply(&mut HeaderMap::new()).await.unwrap_err();
            let AuthError::Provider(error) = error else { panic!("{error:?}") };
            assert!(error.is::<std::fmt::Error>(), "{error:?}");
        }
    }

    #[tokio::test]
    async fn providers_behind_pointers_are_providers() {
        struct Counts(std::sync::atomic::AtomicUsize);
        impl AuthProvider for Counts {
            fn token(&self) -> TokenFuture<'_> {
                Box::pin(async { Ok("token".into()) })
            }

            fn refused(&self, refused: &Secret) {
                assert_eq!(*refused, Secret::from("token"));
                self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        }
        let provider = Arc::new(Counts(0.into()));
        let boxed: Box<dyn AuthProvider> = Box::new(Arc::clone(&provider));
        for auth in [Auth::provider(Arc::clone(&provider)), Auth::provider(boxed)] {
            let token = auth.apply(&mut HeaderMap::new()).await.unwrap();
            assert_eq!(token, Some(Secret::from("token")));
            auth.refused(token.as_ref());
        }
        assert_eq!(provider.0.load(std::sync::atomic::Ordering::Relaxed), 2);
    }
}
