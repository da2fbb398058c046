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
}

impl AuthProvider for Login {
    fn token(&self) -> TokenFuture<'_> {
        let renewed = self.renewed.load(Ordering::Relaxed);
        let token = Secret::new(format!("{}{renewed}", self.account));
        Box::pin(async { Ok(token) })
    }

    fn refused(&self) {
        self.renewed.fetch_add(1, Ordering::Relaxed);
    }
}
