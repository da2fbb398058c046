//! What the sessions of one client share.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use http::HeaderMap;

use crate::{
    Auth, Error, ErrorKind, Limits, Phase, Provider, RetryPolicy, Timeouts, TransportPolicy,
    auth::AuthError,
    error::{Cause, RequestError},
    net::Network,
    proto::{
        fallback::{Fallback, Mark, Marks, Needs},
        plan::ConnectionId,
    },
};

/// What the sessions of one client share.
pub(crate) struct Shared {
    pub(crate) provider: Provider,
    pub(crate) auth: Auth,
    pub(crate) headers: HeaderMap,
    pub(crate) uri: http::Uri,
    pub(crate) timeouts: Timeouts,
    pub(crate) limits: Limits,
    pub(crate) retry: RetryPolicy,
    pub(crate) transport: TransportPolicy,
    pub(crate) continue_over_sse: bool,
    pub(crate) incremental: bool,
    pub(crate) network: Arc<dyn Network>,
    pub(crate) marks: Mutex<Marks>,
    pub(crate) connections: AtomicU64,
}

impl Shared {
    /// The headers of one request or upgrade, with the credential of this moment.
    pub(crate) async fn headers(&self) -> Result<HeaderMap, Error> {
        let mut headers = self.headers.clone();
        match self.auth.apply(&mut headers).await {
            Ok(()) => Ok(headers),
            Err(AuthError::Provider(source)) => {
                Err(Error::new(ErrorKind::Auth, Phase::Prepare, Cause::Other(source)))
            }
            Err(AuthError::NoHeader) => Err(Error::invalid_request(RequestError::InvalidHeader)),
        }
    }

    pub(crate) fn next_connection(&self) -> ConnectionId {
        ConnectionId(self.connections.fetch_add(1, Ordering::Relaxed))
    }

    /// The transport of the next turn, as far as the marks and the policy say.
    pub(crate) fn route(
        &self,
        background: bool,
        open_socket: bool,
        now: Instant,
    ) -> Result<crate::Transport, RequestError> {
        let needs = Needs {
            policy: self.transport,
            websocket: self.provider.websocket,
            background,
            open_socket,
        };
        self.marks().route(needs, now)
    }

    pub(crate) fn mark(&self, mark: Mark, now: Instant) {
        self.marks().mark(mark, now);
    }

    pub(crate) fn clear_mark(&self) {
        self.marks().clear();
    }

    pub(crate) fn fallback(&self, now: Instant) -> Option<Fallback> {
        self.marks().fallback(now)
    }

    fn marks(&self) -> MutexGuard<'_, Marks> {
        // The marks are whole between any two statements that could panic.
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL and the headers may hold keys.
        f.debug_struct("Shared")
            .field("provider", &self.provider)
            .field("auth", &self.auth)
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}
