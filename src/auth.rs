//! Credentials and how they are obtained.

use std::{error::Error as StdError, fmt, pin::Pin, sync::Arc};

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Credential. `Debug` does not show it.
#[derive(Clone)]
pub struct Secret(Arc<str>);

/// Authentication of a client. The credential is obtained anew for each new connection and each
/// HTTP request, so that a token may change in between.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Auth {
    /// No authentication.
    #[default]
    None,
    /// `Authorization: Bearer …` with a fixed token.
    Bearer(Secret),
    /// A fixed value in a header of this name, for example `api-key`.
    Header(HeaderName, Secret),
    /// A bearer token that is fetched for each connection and each HTTP request.
    Provider(Arc<dyn AuthProvider>),
}

/// Future that resolves to a token, or to the error that prevented one.
pub type TokenFuture<'a> =
    Pin<Box<dyn Future<Output = Result<Secret, Box<dyn StdError + Send + Sync>>> + Send + 'a>>;

/// Source of bearer tokens.
///
/// ```
/// use std::sync::Mutex;
/// use responses_client::{Auth, AuthProvider, Secret, TokenFuture};
///
/// #[derive(Default)]
/// struct Login {
///     token: Mutex<Option<Secret>>,
/// }
///
/// impl AuthProvider for Login {
///     fn token(&self) -> TokenFuture<'_> {
///         Box::pin(async {
///             let kept = self.token.lock().map_err(|_| "a poisoned lock")?.clone();
///             if let Some(token) = kept {
///                 return Ok(token);
///             }
///             let token = Secret::new("a token"); // ask the identity provider here
///             *self.token.lock().map_err(|_| "a poisoned lock")? = Some(token.clone());
///             Ok(token)
///         })
///     }
///
///     fn refused(&self) {
///         if let Ok(mut token) = self.token.lock() {
///             *token = None;
///         }
///     }
/// }
///
/// let auth = Auth::provider(Login::default());
/// # drop(auth);
/// ```
pub trait AuthProvider: Send + Sync {
    /// Returns the current token. The client calls this method for each connection and each HTTP
    /// request, so cache an expensive token. The future may be dropped at any await point.
    ///
    /// # Errors
    ///
    /// An error ends the turn as [`ErrorKind::Auth`](crate::ErrorKind::Auth) and becomes its
    /// source. The error must not contain the credential.
    fn token(&self) -> TokenFuture<'_>;

    /// Reports that the server refused the last token (401): the next call of
    /// [`token`](Self::token) should fetch another one. The client makes that call immediately,
    /// once per turn. The default implementation does nothing, for providers that keep no token.
    /// The method must not block.
    fn refused(&self) {}
}

impl Secret {
    /// Wraps a credential.
    pub fn new(secret: impl Into<Arc<str>>) -> Self {
        Self(secret.into())
    }

    /// Returns the value of a header: the scheme and the credential.
    fn to_header(&self, scheme: &str) -> Result<HeaderValue, AuthError> {
        if self.0.trim().is_empty() {
            return Err(AuthError::NoHeader);
        }
        let value = HeaderValue::try_from(format!("{scheme}{}", self.0));
        let mut value = value.map_err(|_| AuthError::NoHeader)?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl Auth {
    /// Returns authentication with `Authorization: Bearer …`.
    pub fn bearer(token: impl Into<Secret>) -> Self {
        Self::Bearer(token.into())
    }

    /// Returns authentication with a header of this name, for example `api-key`.
    pub fn header(name: HeaderName, value: impl Into<Secret>) -> Self {
        Self::Header(name, value.into())
    }

    /// Returns authentication with tokens from `provider`.
    pub fn provider(provider: impl AuthProvider + 'static) -> Self {
        Self::Provider(Arc::new(provider))
    }

    /// Returns `true` if both stand for the same account, as far as the settings show.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::None, Self::None) => true,
            (Self::Bearer(a), Self::Bearer(b)) => a.0 == b.0,
            (Self::Header(a, x), Self::Header(b, y)) => a == b && x.0 == y.0,
            (Self::Provider(a), Self::Provider(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }

    /// Returns `true` if another credential can be fetched after the server refused this one.
    pub(crate) fn is_renewable(&self) -> bool {
        matches!(self, Self::Provider(_))
    }

    /// Reports to the provider that the server refused the credential.
    pub(crate) fn refused(&self) {
        if let Self::Provider(provider) = self {
            provider.refused();
        }
    }

    pub(crate) fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// Returns an error if the credential is fixed and no header can carry it.
    pub(crate) fn check(&self) -> Result<(), AuthError> {
        match self {
            Self::Bearer(secret) | Self::Header(_, secret) => secret.to_header("").map(drop),
            Self::None | Self::Provider(_) => Ok(()),
        }
    }

    /// Adds the credential to the headers of a request.
    pub(crate) async fn apply(&self, headers: &mut HeaderMap) -> Result<(), AuthError> {
        const BEARER: &str = "Bearer ";
        let (name, value) = match self {
            Self::None => return Ok(()),
            Self::Bearer(token) => (header::AUTHORIZATION, token.to_header(BEARER)?),
            Self::Header(name, value) => (name.clone(), value.to_header("")?),
            Self::Provider(provider) => {
                let token = provider.token().await.map_err(AuthError::Provider)?;
                (header::AUTHORIZATION, token.to_header(BEARER)?)
            }
        };
        headers.insert(name, value);
        Ok(())
    }
}

/// Reason why a credential could not be obtained.
#[derive(Debug)]
pub(crate) enum AuthError {
    Provider(Box<dyn StdError + Send + Sync>),
    NoHeader,
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

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Bearer(_) => f.write_str("Bearer(..)"),
            Self::Header(name, _) => write!(f, "Header({name}, ..)"),
            Self::Provider(_) => f.write_str("Provider(..)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn credentials_go_into_headers_and_nowhere_else() {
        struct Fetched;
        impl AuthProvider for Fetched {
            fn token(&self) -> TokenFuture<'_> {
                Box::pin(async { Ok("canary-3".into()) })
            }
        }
        for (auth, name, value) in [
            (Auth::bearer("canary-1"), header::AUTHORIZATION, "Bearer canary-1"),
            (
                Auth::header(HeaderName::from_static("api-key"), "canary-2"),
                HeaderName::from_static("api-key"),
                "canary-2",
            ),
            (Auth::provider(Fetched), header::AUTHORIZATION, "Bearer canary-3"),
        ] {
            let mut headers = HeaderMap::new();
            auth.apply(&mut headers).await.unwrap();
            assert_eq!(headers.get(name).unwrap(), value);
            assert!(!format!("{auth:?} {headers:?}").contains("canary"));
        }
        for fetched in ["", " ", "two\nlines", "key\n"] {
            struct Malformed(&'static str);
            impl AuthProvider for Malformed {
                fn token(&self) -> TokenFuture<'_> {
                    Box::pin(async { Ok(self.0.into()) })
                }
            }
            let refused = Auth::provider(Malformed(fetched)).apply(&mut HeaderMap::new()).await;
            assert!(matches!(refused, Err(AuthError::NoHeader)), "{fetched:?}");
        }
    }
}
