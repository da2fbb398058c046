//! Policy for the WebSockets of a client.

use std::time::Duration;

use super::setters::setters;
use crate::format::named;

/// Use of WebSockets by the sessions of a client.
///
/// A server with lanes runs several responses on one WebSocket, and keeps the last response of each
/// lane. OpenAI has 32 lanes besides the default one, and runs 16 responses at the same time. See
/// [`Provider::named_lanes`](crate::Provider::named_lanes) for other servers.
///
/// ```
/// use responses_client::{PoolPolicy, ResponsesClient, Sharing};
///
/// let client = ResponsesClient::builder()
///     .pool(PoolPolicy::default().sharing(Sharing::Lanes).max_sockets(4))
///     .build()?;
/// # drop(client);
/// # Ok::<_, responses_client::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolPolicy {
    /// Sessions that share a WebSocket. Default: [`Sharing::Auto`].
    pub sharing: Sharing,
    /// Largest number of WebSockets that are open or being opened, at least 1; `None` for no limit.
    /// The successor of a WebSocket that has reached its age does not count until it takes over.
    /// Default: `None`, because a session without lanes needs a WebSocket of its own.
    pub max_sockets: Option<usize>,
    /// Way of a turn for which no lane is free. Default: [`AtCapacity::OpenSocket`].
    pub at_capacity: AtCapacity,
    /// Longest time that a turn waits for a lane, or for one of the responses of its WebSocket to
    /// end; `None` for no limit. After it, the turn fails with
    /// [`ErrorKind::Timeout`](crate::ErrorKind::Timeout), and nothing was sent. Default: 60 s, the
    /// time that a turn waits for its first event.
    pub wait: Option<Duration>,
}

/// Sessions that share a WebSocket, where the server has lanes.
///
/// Sessions share only within a client and a runtime, and only if they have the same
/// [headers](crate::ResponsesSession::set_header).
///
/// ```
/// use responses_client::{PoolPolicy, Sharing};
///
/// let policy = PoolPolicy::default().sharing(Sharing::OwnSocket);
/// assert_eq!(policy.sharing.as_str(), "own_socket");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Sharing {
    /// The first eight WebSockets serve one session each, and further sessions share. A
    /// [fork](crate::ResponsesSession::fork) shares the WebSocket of its session.
    #[default]
    Auto,
    /// Each session has a WebSocket of its own, and each fork, too. A slow session never holds up
    /// another.
    OwnSocket,
    /// All sessions share, so that a client with many sessions has few WebSockets.
    Lanes,
}

/// Way of a turn for which no lane of an open WebSocket is free.
///
/// A turn whose session already has a lane waits for its turn on that lane in any case: on another
/// one, the turn would have to send its whole history.
///
/// ```
/// use responses_client::{AtCapacity, PoolPolicy};
///
/// let policy = PoolPolicy::default().max_sockets(2).at_capacity(AtCapacity::Wait);
/// assert_eq!(policy.at_capacity.as_str(), "wait");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AtCapacity {
    /// Open another WebSocket. At [`PoolPolicy::max_sockets`], the turn fails immediately with
    /// [`ErrorKind::PoolFull`](crate::ErrorKind::PoolFull).
    #[default]
    OpenSocket,
    /// Open another WebSocket up to [`PoolPolicy::max_sockets`], then wait for a lane, at most for
    /// [`PoolPolicy::wait`].
    Wait,
    /// Open another WebSocket up to [`PoolPolicy::max_sockets`], then use SSE for the turn. Fails
    /// like `OpenSocket` if the [transport policy](crate::TransportPolicy) forbids SSE.
    Sse,
}

impl Default for PoolPolicy {
    fn default() -> Self {
        Self {
            sharing: Sharing::default(),
            max_sockets: None,
            at_capacity: AtCapacity::default(),
            wait: Some(Duration::from_secs(60)),
        }
    }
}

setters!(PoolPolicy {
    sharing: Sharing,
    max_sockets: impl Into<Option<usize>>,
    at_capacity: AtCapacity,
    wait: impl Into<Option<Duration>>,
});

named! {
    Sharing {
        Auto = "auto",
        OwnSocket = "own_socket",
        Lanes = "lanes",
    }
    AtCapacity {
        OpenSocket = "open_socket",
        Wait = "wait",
        Sse = "sse",
    }
}
