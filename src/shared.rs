//! What the sessions of one client share.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use futures_util::future::BoxFuture;
use http::HeaderMap;

use crate::{
    Auth, Error, ErrorKind, Limits, NetworkSettings, Phase, Provider, RetryPolicy, Timeouts,
    TransportPolicy,
    auth::AuthError,
    error::{Cause, RequestError},
    net::Network,
    proto::{
        fallback::{Fallback, Mark, Marks, Needs},
        plan::ConnectionId,
    },
};

/// The number of the next WebSocket. All clients count together, as a session may take its own from
/// one to another.
static CONNECTIONS: AtomicU64 = AtomicU64::new(0);

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
    /// What the network was made of, if it was not given.
    pub(crate) settings: Option<NetworkSettings>,
    /// Who the credential is for.
    pub(crate) account: Option<String>,
    pub(crate) sessions: Mutex<Vec<Weak<dyn Close>>>,
    pub(crate) marks: Mutex<Marks>,
    /// The origin begins responses over a WebSocket without a lifecycle event.
    pub(crate) unannounced: Arc<AtomicBool>,
}

/// What ends with its client.
pub(crate) trait Close: Send + Sync {
    /// Ends it at once; the future closes its connection.
    fn close(&self) -> Option<BoxFuture<'static, ()>>;
}

impl Shared {
    /// Whether a session that spoke to `other` may go on here as if nothing had happened.
    pub(crate) fn leads_to_the_same(&self, other: &Self) -> bool {
        let account = match (&self.account, &other.account) {
            (Some(a), Some(b)) => a == b,
            (None, None) => self.auth.is_same(&other.auth),
            _ => false,
        };
        let network = Arc::ptr_eq(&self.network, &other.network)
            || self.settings.is_some() && self.settings == other.settings;
        account && network && self.provider == other.provider && self.headers == other.headers
    }

    /// Ends `session` with the client.
    pub(crate) fn enroll(&self, session: Weak<dyn Close>) {
        let mut sessions = self.sessions();
        sessions.retain(|session| session.strong_count() > 0);
        sessions.push(session);
    }

    /// Leaves `session` to another client.
    pub(crate) fn dismiss(&self, session: &Weak<dyn Close>) {
        self.sessions().retain(|other| !Weak::ptr_eq(other, session));
    }

    /// The sessions that were not dropped.
    pub(crate) fn enrolled(&self) -> Vec<Arc<dyn Close>> {
        self.sessions().iter().filter_map(Weak::upgrade).collect()
    }

    fn sessions(&self) -> MutexGuard<'_, Vec<Weak<dyn Close>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The address of a response: of the object, of something to do with it, or of its events
    /// behind one of them.
    pub(crate) fn uri_of(
        &self,
        id: &str,
        action: Option<&str>,
        events_after: Option<u64>,
    ) -> Result<http::Uri, Error> {
        // As parts of a path, these would lead elsewhere.
        if matches!(id, "" | "." | "..") {
            return Err(Error::invalid_request(RequestError::ResponseId));
        }
        let url = self.provider.response_url(id, action, events_after);
        url.as_str().parse().map_err(|_| Error::invalid_request(RequestError::ResponseId))
    }

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

pub(crate) fn next_connection() -> ConnectionId {
    ConnectionId(CONNECTIONS.fetch_add(1, Ordering::Relaxed))
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
