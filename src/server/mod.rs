//! What every server of the API shares: framing of answers, and the store of responses.
//!
//! Knows no scripts: the scripted server of the feature `testing` is built on it.

pub(crate) mod endpoint;
pub(crate) mod http;
pub(crate) mod sse;
pub(crate) mod store;
pub(crate) mod websocket;
