//! permessage-deflate (RFC 7692) between a connection and tungstenite, which has no extensions.
//!
//! [`Inflating`] takes the compressed messages out of the bytes that arrive, and leaves all other
//! frames to tungstenite: so pings, Close frames and uncompressed messages have one implementation,
//! with compression and without. [`Outbound`] makes compressed frames, which tungstenite masks,
//! queues and writes.
//!
//! The compressor of a connection has about 380 kB, the inflater with its buffers about 80 kB.

pub(super) use self::{
    inbound::{Inflating, Message},
    inflate::InflateError,
    outbound::Outbound,
};

mod inbound;
mod inflate;
mod outbound;

#[cfg(test)]
mod tests;
