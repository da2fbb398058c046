//! Parts of any server of the API: framing of answers, and the store of responses.
//!
//! The scripted server of the feature `testing` is built on these parts; they know nothing of
//! scripts.

#[cfg(feature = "deflate")]
pub(crate) mod deflate;
pub(crate) mod endpoint;
pub(crate) mod http;
pub(crate) mod sse;
pub(crate) mod store;
pub(crate) mod websocket;
