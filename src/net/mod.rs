//! Opens sockets for both transports: DNS, proxies, TLS and socket options exist once, here.
//!
//! [`Network`] is the seam. [`client`] implements it with reqwest; the scripted server's
//! in-memory connector implements it without sockets, for tests on paused time.

pub(crate) use client::HttpNetwork;
pub(crate) use error::{NetError, NetErrorKind};
pub(crate) use network::{Answer, Body, Content, Fresh, Io, Network};

mod client;
mod error;
mod network;
mod proxy;
