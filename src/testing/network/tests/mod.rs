//! Sockets of the emulated network, and turns over it.

mod sockets;
mod turns;
