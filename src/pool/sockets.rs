//! The open WebSockets of a client.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError, Weak,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    lease::{Connection, Lease},
    places::{Places, PoolKey, SocketPlace, Waiting},
};
use crate::{
    auth::Secret,
    config::{AtCapacity, PoolPolicy, Provider, Sharing},
    error::Error,
    net::Network,
    observe::{Counters, OpenWebSocket},
    proto::lane::ConnectionId,
    transport::{SocketOptions, WebSocket},
};

/// Number of the next WebSocket. All clients share one counter, because a session may take its
/// WebSocket from one client to another.
static CONNECTIONS: AtomicU64 = AtomicU64::new(0);

/// Number of open WebSockets up to which [`Sharing::Auto`] gives each session its own.
const OWN_SOCKETS: usize = 8;

/// The WebSockets of a client.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    sockets: Mutex<Vec<(PoolKey, Weak<Connection>)>>,
    places: Places,
}

/// Outcome of asking for a lane.
pub(crate) enum Acquired {
    /// A lane of an open WebSocket.
    Lease(Lease),
    /// The right to open a WebSocket.
    Open(SocketPlace),
    /// Ask again once the pool has changed. `at_limit` if a limit of the policy is the reason, so
    /// that the policy limits the time, too.
    Wait { at_limit: bool, waiting: Waiting },
    /// The pool has reached its limit: this turn goes over SSE.
    Sse,
    /// The pool has reached its limit, and nothing can be waited for.
    Full,
}

/// Parameters of finding a lane.
#[derive(Clone, Copy)]
pub(crate) struct LaneQuery<'a> {
    pub(crate) key: &'a PoolKey,
    /// The response that the session continues, if any.
    pub(crate) parent: Option<&'a str>,
    /// WebSocket on which a request of the session has failed. It is not used again.
    pub(crate) avoid: Option<ConnectionId>,
    pub(crate) policy: &'a PoolPolicy,
    pub(crate) provider: &'a Provider,
    /// `true` if the session may share a WebSocket.
    pub(crate) shares: bool,
}

/// Parameters of opening a WebSocket.
pub(crate) struct Opening<'a> {
    pub(crate) network: &'a dyn Network,
    pub(crate) request: http::Request<Bytes>,
    /// The provider's token in the headers of `request`.
    pub(crate) token: Option<Secret>,
    pub(crate) deadline: Instant,
    pub(crate) options: SocketOptions,
    pub(crate) counters: Arc<Counters>,
    pub(crate) place: SocketPlace,
    pub(crate) key: PoolKey,
}

impl Pool {
    /// Finds a lane, or the right to open a WebSocket.
    pub(crate) fn acquire(&self, query: LaneQuery<'_>) -> Acquired {
        let LaneQuery { key, policy, provider, shares, .. } = query;
        let shares = shares
            && match policy.sharing {
                Sharing::OwnSocket => false,
                Sharing::Lanes => true,
                Sharing::Auto => self.places.taken() >= OWN_SOCKETS,
            };
        if shares {
            if let Some(lease) = self.lane(query) {
                return Acquired::Lease(lease);
            }
            let lanes = usize::from(provider.capabilities.named_lanes);
            if let Some(waiting) = self.places.wait_for_dial(key, lanes) {
                return Acquired::Wait { at_limit: false, waiting };
            }
        }
        let take = || self.places.take(key, policy.max_sockets);
        let place = take().or_else(|| {
            self.free_places();
            take()
        });
        if let Some(place) = place {
            return Acquired::Open(place);
        }
        match policy.at_capacity {
            AtCapacity::Wait => Acquired::Wait { at_limit: true, waiting: self.places.wait() },
            AtCapacity::Sse => Acquired::Sse,
            AtCapacity::OpenSocket => Acquired::Full,
        }
    }

    /// Returns the place of a WebSocket that takes over from another one, whatever the limit.
    pub(crate) fn place_of_successor(&self) -> SocketPlace {
        self.places.take_beyond_limit()
    }

    /// Opens a WebSocket, and leases its default lane. See [`WebSocket::connect`].
    pub(crate) async fn open(&self, opening: Opening<'_>) -> Result<Lease, Error> {
        let Opening { network, request, token, deadline, options, counters, mut place, key } =
            opening;
        let id = ConnectionId(CONNECTIONS.fetch_add(1, Ordering::Relaxed));
        let options = SocketOptions { changed: self.places.changed(), ..options };
        let socket = WebSocket::connect(network, request, id, deadline, options).await?;
        place.opened();
        let count = OpenWebSocket::new(counters);
        let places = self.places.clone();
        let place = Mutex::new(Some(place));
        let connection = Connection { socket, token, count, places, place };
        let connection = Arc::new(connection);
        let lease = Lease::first(&connection);
        self.sockets().push((key, Arc::downgrade(&connection)));
        self.places.notify();
        Ok(lease)
    }

    /// Returns a future that resolves when a lane or a place may have become free. A change after
    /// the call is not missed.
    pub(crate) fn change(&self) -> impl Future<Output = ()> + Send + use<> {
        self.places.change()
    }

    /// Frees the places of WebSockets that have ended.
    fn free_places(&self) {
        let sockets: Vec<Arc<Connection>> =
            self.sockets().iter().filter_map(|(_, socket)| socket.upgrade()).collect();
        // Outside of the lock, because the last handle of a WebSocket may be among them.
        sockets.iter().for_each(|socket| socket.free_place_if_ended());
    }

    /// Takes a lane of an open WebSocket: the one that has `parent`, else one that has nothing to
    /// lose, else the one that was idle for the longest time.
    fn lane(&self, query: LaneQuery<'_>) -> Option<Lease> {
        let LaneQuery { key, parent, avoid, policy, provider, .. } = query;
        let (now, rotation) = (Instant::now(), provider.rotation());
        let is_young = |socket: &Connection| {
            rotation.is_none_or(|age| now.saturating_duration_since(socket.opened()) < age)
        };
        let open: Vec<Arc<Connection>> = {
            let mut sockets = self.sockets();
            sockets.retain(|(_, socket)| socket.strong_count() > 0);
            let of_key = sockets.iter().filter(|(other, _)| other == key);
            of_key.filter_map(|(_, socket)| socket.upgrade()).collect()
        };
        let is_usable = |socket: &&Arc<Connection>| {
            socket.is_open() && is_young(socket) && Some(socket.id()) != avoid
        };
        let open = || open.iter().filter(is_usable);
        let waits = policy.at_capacity == AtCapacity::Wait;
        let idle = || open().filter(|socket| waits || !socket.is_busy());
        parent
            .and_then(|parent| open().find_map(|socket| socket.take_lane_with(parent)))
            .or_else(|| idle().find_map(|socket| socket.take_lane(false)))
            .or_else(|| idle().find_map(|socket| socket.take_lane(true)))
    }

    fn sockets(&self) -> MutexGuard<'_, Vec<(PoolKey, Weak<Connection>)>> {
        // No code that can panic runs under the lock.
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
