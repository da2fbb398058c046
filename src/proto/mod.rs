//! The protocol without IO: framing, decoding, the course of a turn, and all decisions.
//!
//! Nothing here opens a connection, waits or reads a clock; callers pass bytes, times and random
//! numbers.

pub(crate) mod answer;
pub(crate) mod body;
pub(crate) mod deadline;
#[cfg(feature = "deflate")]
pub(crate) mod deflate;
pub(crate) mod keepalive;
pub(crate) mod lane;
pub(crate) mod normalize;
pub(crate) mod origin;
pub(crate) mod parents;
pub(crate) mod plan;
pub(crate) mod retry;
pub(crate) mod route;
pub(crate) mod sign_in;
pub(crate) mod sse;
pub(crate) mod sticky;
pub(crate) mod surrogates;
pub(crate) mod turn;
pub(crate) mod wire;
