//! Opens sockets for both transports: DNS, proxies, TLS and socket options exist once, here.
//!
//! [`Network`] is the interface. [`client`] implements it with reqwest; the in-memory connector of
//! the scripted server implements it without sockets, for tests on paused time.

pub(crate) use client::HttpNetwork;
pub(crate) use error::{NetError, NetErrorKind};
pub(crate) use network::{Answer, Body, Content, Fresh, Io, Network};

mod client;
mod error;
mod network;
mod proxy;
