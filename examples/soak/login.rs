//! Credentials that a server may refuse.

use std::sync::atomic::{AtomicU64, Ordering};

use responses_client::{AuthProvider, Secret, TokenFuture};

/// The tokens of an account: a new one after each that is refused.
pub(crate) struct Login {
    account: &'static str,
    renewed: AtomicU64,
}

impl Login {
    pub(crate) fn new(account: &'static str) -> Self {
        Self { account, renewed: AtomicU64::new(0) }
    }

    fn secret(&self, renewed: u64) -> Secret {
        Secret::new(format!("{}{renewed}", self.account))
    }
}

impl AuthProvider for Login {
    fn token(&self) -> TokenFuture<'_> {
        let token = self.secret(self.renewed.load(Ordering::Relaxed));
        Box::pin(async { Ok(token) })
    }

    fn refused(&self, refused: &Secret) {
        let renewed = self.renewed.load(Ordering::Relaxed);
        if *refused == self.secret(renewed) {
            self.renewed.store(renewed + 1, Ordering::Relaxed);
        }
    }
}
