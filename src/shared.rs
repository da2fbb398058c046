//! State that the sessions of a client share.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use futures_util::future::BoxFuture;
use http::HeaderMap;
use tokio::{
    runtime::{self, Handle},
    sync::watch,
    task::AbortHandle,
};

use crate::{
    auth::{Auth, AuthError},
    config::{Limits, NetworkSettings, Provider, RetryPolicy, Timeouts, TransportPolicy},
    error::{Cause, Error},
    kind::{ErrorKind, Phase},
    net::Network,
    observe::Notifier,
    proto::{origin::Origin, plan::ConnectionId, turn::Settings},
    request::RequestError,
};

/// Number of the next WebSocket. All clients share one counter, because a session may take its
/// WebSocket from one client to another.
static CONNECTIONS: AtomicU64 = AtomicU64::new(0);

/// State that the sessions of a client share.
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
    /// Settings of the network; `None` if the network itself was given.
    pub(crate) settings: Option<NetworkSettings>,
    /// Account of the credential, if the caller named it.
    pub(crate) account: Option<String>,
    pub(crate) notifier: Notifier,
    pub(crate) sessions: Mutex<Vec<Weak<dyn CloseOnShutdown>>>,
    pub(crate) origin: Arc<Origin>,
    pub(crate) runtimes: Runtimes,
}

/// Runtimes in which turns were started, as long as they run.
#[derive(Default)]
pub(crate) struct Runtimes(Mutex<Vec<Watched>>);

/// A runtime with a task of this crate, which ends with the runtime.
struct Watched {
    id: runtime::Id,
    end: RuntimeEnd,
    task: AbortHandle,
}

/// End of a runtime. Afterwards its timers must not be used, because they would panic.
#[derive(Clone, Debug)]
pub(crate) struct RuntimeEnd(watch::Receiver<()>);

/// Resource that closes with its client.
pub(crate) trait CloseOnShutdown: Send + Sync {
    /// Closes the resource immediately. The future completes when its connection is closed.
    fn close(&self) -> Option<BoxFuture<'static, ()>>;
}

impl Shared {
    /// Returns the policies and facts that decide about a turn.
    pub(crate) fn turn_settings(&self) -> Settings {
        Settings {
            timeouts: self.timeouts,
            limits: self.limits,
            retry: self.retry,
            transport: self.transport,
            continue_over_sse: self.continue_over_sse,
            incremental: self.incremental,
            websocket: self.provider.websocket,
            stores_by_default: self.provider.stores_by_default,
            frame_limit: self.provider.frame_limit,
            reuses_socket_after_error: self.provider.keeps_socket_after_error,
            renewable_credential: self.auth.is_renewable(),
        }
    }

    /// Returns `true` if a session of `other` may keep its connection and its responses here.
    pub(crate) fn is_same_account(&self, other: &Self) -> bool {
        let account = match (&self.account, &other.account) {
            (Some(a), Some(b)) => a == b,
            (None, None) => self.auth.is_same(&other.auth),
            _ => false,
        };
        let network = Arc::ptr_eq(&self.network, &other.network)
            || self.settings.is_some() && self.settings == other.settings;
        account && network && self.provider == other.provider && self.headers == other.headers
    }

    /// Registers `session`, so that closing the client closes it.
    pub(crate) fn register(&self, session: Weak<dyn CloseOnShutdown>) {
        let mut sessions = self.sessions();
        sessions.retain(|session| session.strong_count() > 0);
        sessions.push(session);
    }

    /// Removes `session`, which another client takes over.
    pub(crate) fn unregister(&self, session: &Weak<dyn CloseOnShutdown>) {
        self.sessions().retain(|other| !Weak::ptr_eq(other, session));
    }

    /// Returns the sessions that were not dropped.
    pub(crate) fn registered(&self) -> Vec<Arc<dyn CloseOnShutdown>> {
        self.sessions().iter().filter_map(Weak::upgrade).collect()
    }

    fn sessions(&self) -> MutexGuard<'_, Vec<Weak<dyn CloseOnShutdown>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the URI of a stored response, or of an action on it.
    pub(crate) fn uri_of(&self, id: &str, action: Option<&str>) -> Result<http::Uri, Error> {
        self.response_uri(id, action, |_| {})
    }

    /// Returns the URI of the events of a response: of all, or of those after one of them.
    pub(crate) fn events_uri(&self, id: &str, after: Option<u64>) -> Result<http::Uri, Error> {
        self.response_uri(id, None, |url| {
            let mut query = url.query_pairs_mut();
            query.append_pair("stream", "true");
            if let Some(number) = after {
                query.append_pair("starting_after", &number.to_string());
            }
        })
    }

    fn response_uri(
        &self,
        id: &str,
        action: Option<&str>,
        ask: impl FnOnce(&mut url::Url),
    ) -> Result<http::Uri, Error> {
        // As path segments, these ids would address another resource.
        if matches!(id, "" | "." | "..") {
            return Err(Error::invalid_request(RequestError::ResponseId));
        }
        let mut url = self.provider.response_url(id, action);
        ask(&mut url);
        url.as_str().parse().map_err(|_| Error::invalid_request(RequestError::ResponseId))
    }

    /// Returns the headers of one request or upgrade, with a current credential.
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
}

impl Runtimes {
    /// Returns the end of `runtime`, and starts to watch it if it is new.
    pub(crate) fn end_of(&self, runtime: &Handle) -> RuntimeEnd {
        // Only `spawn` can panic under the lock, and nothing has changed before it.
        let mut runtimes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        runtimes.retain(|watched| !watched.end.has_come());
        if let Some(watched) = runtimes.iter().find(|watched| watched.id == runtime.id()) {
            return watched.end.clone();
        }
        let (sender, end) = watch::channel(());
        let task = runtime.spawn(async move {
            std::future::pending::<()>().await;
            drop(sender);
        });
        let end = RuntimeEnd(end);
        let task = task.abort_handle();
        runtimes.push(Watched { id: runtime.id(), end: end.clone(), task });
        end
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl RuntimeEnd {
    pub(crate) fn has_come(&self) -> bool {
        self.0.has_changed().is_err()
    }

    /// Waits until the runtime has ended.
    pub(crate) async fn wait(mut self) {
        while self.0.changed().await.is_ok() {}
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
