//! The WebSockets of a client, and who uses them.
//!
//! A session holds a [`Lease`]: the right to send requests on a lane of a WebSocket. The sessions
//! of a client share WebSockets if the [policy](crate::PoolPolicy) says so, the server has lanes,
//! and they agree in headers and runtime. Otherwise each opens its own. No method waits.

pub(crate) use connections::{AbortOnDrop, Connections, Leased};
pub(crate) use lease::Lease;
pub(crate) use places::{PoolKey, SocketPlace};
pub(crate) use sockets::{Acquired, LaneQuery, Opening, Pool};

mod connections;
mod lease;
mod places;
mod sockets;
