//! Sources of tokens.

use std::{error::Error as StdError, pin::Pin, sync::Arc};

use http::{header, request::Parts};

use super::secret::Secret;

/// Future that resolves to a token, or to the error that prevented one.
///
/// ```
/// use responses_client::{AuthProvider, Secret, TokenFuture};
///
/// struct Fixed(Secret);
///
/// impl AuthProvider for Fixed {
///     fn token(&self) -> TokenFuture<'_> {
///         Box::pin(async { Ok(self.0.clone()) })
///     }
/// }
/// # let _ = Fixed;
/// ```
pub type TokenFuture<'a> =
    Pin<Box<dyn Future<Output = Result<Secret, Box<dyn StdError + Send + Sync>>> + Send + 'a>>;

/// Source of bearer tokens. If an async function fetches the token,
/// [`Auth::provider_fn`](super::Auth::provider_fn) is shorter: it has the cache of this example.
///
/// ```
/// use std::sync::Mutex;
/// use responses_client::{Auth, AuthProvider, Secret, TokenFuture};
///
/// #[derive(Default)]
/// struct Login {
///     token: Mutex<Option<Secret>>,
///     /// Held during a fetch, so that concurrent turns share it.
///     fetching: tokio::sync::Mutex<()>,
/// }
///
/// impl AuthProvider for Login {
///     fn token(&self) -> TokenFuture<'_> {
///         Box::pin(async {
///             let _fetching = self.fetching.lock().await;
///             let cached = self.token.lock().map_err(|_| "a poisoned lock")?.clone();
///             if let Some(token) = cached {
///                 return Ok(token);
///             }
///             let token = Secret::new("a token"); // ask the identity provider here
///             *self.token.lock().map_err(|_| "a poisoned lock")? = Some(token.clone());
///             Ok(token)
///         })
///     }
///
///     fn refused(&self, refused: &Secret) {
///         if let Ok(mut token) = self.token.lock() {
///             // Another turn may have fetched a new token meanwhile, which stays.
///             token.take_if(|token| token == refused);
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

    /// Reports that the server refused the token `refused` (401), which an earlier call of
    /// [`token`](Self::token) returned. If `refused` is the cached token, the next call should
    /// fetch another one. If the cache already has a newer token, keep the newer one: turns that
    /// run concurrently each report the same old token.
    ///
    /// The client calls `token` again immediately afterwards, once per turn. The default
    /// implementation does nothing, for providers that keep no token. The method must not block.
    fn refused(&self, refused: &Secret) {
        _ = refused;
    }

    /// Adds the credential to a request. The client calls this method directly before each HTTP
    /// request and each upgrade, with the token that [`token`](Self::token) has just returned.
    ///
    /// The default implementation adds the header `Authorization: Bearer …`. A provider that signs
    /// requests computes its headers here from the method, the URI, the headers and the `body` as it
    /// is sent; `examples/sigv4.rs` does so for AWS. The transport adds `Host` and the headers of an
    /// upgrade afterwards, so that a signature takes the host from the URI. The method must not
    /// block.
    ///
    /// # Errors
    ///
    /// Like [`token`](Self::token).
    fn sign(
        &self,
        token: &Secret,
        request: &mut Parts,
        body: &[u8],
    ) -> Result<(), Box<dyn StdError + Send + Sync>> {
        _ = body;
        request.headers.insert(header::AUTHORIZATION, token.to_bearer()?);
        Ok(())
    }
}

impl<P: AuthProvider + ?Sized> AuthProvider for Arc<P> {
    fn token(&self) -> TokenFuture<'_> {
        (**self).token()
    }

    fn refused(&self, refused: &Secret) {
        (**self).refused(refused);
    }

    fn sign(
        &self,
        token: &Secret,
        request: &mut Parts,
        body: &[u8],
    ) -> Result<(), Box<dyn StdError + Send + Sync>> {
        (**self).sign(token, request, body)
    }
}

impl<P: AuthProvider + ?Sized> AuthProvider for Box<P> {
    fn token(&self) -> TokenFuture<'_> {
        (**self).token()
    }

    fn refused(&self, refused: &Secret) {
        (**self).refused(refused);
    }

    fn sign(
        &self,
        token: &Secret,
        request: &mut Parts,
        body: &[u8],
    ) -> Result<(), Box<dyn StdError + Send + Sync>> {
        (**self).sign(token, request, body)
    }
}
