//! A model of TCP without IO: it is given the time and the seed of its randomness.
//!
//! A [`Flow`](flow::Flow) is one direction of one connection. Its times are counted from the moment
//! at which the connection was made.

pub(super) mod flow;
pub(super) mod handshake;
mod path;
mod receiver;
#[cfg(test)]
mod tests;
mod window;
