//! Opens connections for both transports: DNS, proxies, TLS and socket options exist once, here.
//!
//! [`Network`] is the interface of the transports. [`HttpNetwork`] implements it over any [`Dial`]:
//! over [`Sockets`], or over the in-memory connections of the scripted server, for tests on paused
//! time.

pub(crate) use counts::{ConnectionCounts, CountedBy, HttpRetirement};
pub(crate) use dial::Dial;
#[cfg(feature = "testing")]
pub(crate) use dial::{Form, Opened};
pub(crate) use error::{NetError, NetErrorKind};
pub(crate) use kept::HttpNetwork;
pub(crate) use network::{Answer, Body, Content, Departed, Fresh, Io, Network, OpenBy};
pub(crate) use sockets::Sockets;

mod counts;
mod dial;
mod error;
mod kept;
mod network;
mod pem;
pub(crate) mod probe;
mod proxy;
mod received;
mod resolve;
mod roots;
mod sockets;
#[cfg(feature = "socks")]
mod socks;
mod tls;
mod tls_session;
mod tunnel;
