//! `Traffic`: the bytes and the losses on the connections of a connector.

use std::{
    ops::Sub,
    sync::atomic::{AtomicU64, Ordering},
};

/// Traffic of the connections of a [`Connector`](crate::testing::Connector).
///
/// The difference of two values is the traffic between them:
///
/// ```
/// use responses_client::testing::{ScriptedServer, Turn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let server = ScriptedServer::in_memory(Turn::text("Hello"));
/// let connector = server.connector();
/// let before = connector.traffic();
/// // … run a turn with `connector` …
/// let traffic = connector.traffic() - before;
/// assert_eq!((traffic.bytes_up, traffic.connections), (0, 0));
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// Bytes that clients wrote to their sockets, TLS included. Headers of TCP and IP and
    /// retransmissions do not count.
    pub bytes_up: u64,
    /// Bytes that clients read from their sockets, TLS included.
    pub bytes_down: u64,
    /// Connections that were made.
    pub connections: u64,
    /// Segments that the network lost in either direction.
    pub segments_lost: u64,
}

impl Sub for Traffic {
    type Output = Self;

    /// Returns the traffic since `earlier`.
    fn sub(self, earlier: Self) -> Self {
        Self {
            bytes_up: self.bytes_up.saturating_sub(earlier.bytes_up),
            bytes_down: self.bytes_down.saturating_sub(earlier.bytes_down),
            connections: self.connections.saturating_sub(earlier.connections),
            segments_lost: self.segments_lost.saturating_sub(earlier.segments_lost),
        }
    }
}

/// Counts the traffic of a connector.
#[derive(Debug, Default)]
pub(in crate::testing) struct Counters {
    bytes_up: AtomicU64,
    bytes_down: AtomicU64,
    connections: AtomicU64,
    segments_lost: AtomicU64,
}

impl Counters {
    pub(in crate::testing) fn traffic(&self) -> Traffic {
        Traffic {
            bytes_up: self.bytes_up.load(Ordering::Relaxed),
            bytes_down: self.bytes_down.load(Ordering::Relaxed),
            connections: self.connections.load(Ordering::Relaxed),
            segments_lost: self.segments_lost.load(Ordering::Relaxed),
        }
    }

    pub(in crate::testing) fn add_up(&self, bytes: usize) {
        self.bytes_up.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(in crate::testing) fn add_down(&self, bytes: usize) {
        self.bytes_down.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(in crate::testing) fn add_connection(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn add_segments_lost(&self, segments: u64) {
        self.segments_lost.fetch_add(segments, Ordering::Relaxed);
    }
}
