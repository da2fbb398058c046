//! The emulated network between clients and the scripted server.
//!
//! `link` has its settings, `tcp` the model, which has no IO, `wire` the sockets that clients and
//! the server use, and `emulation` makes connections.

mod clock;
pub(super) mod emulation;
pub(super) mod link;
mod tcp;
#[cfg(test)]
mod tests;
pub(super) mod tls;
pub(super) mod traffic;
mod wire;
