//! Moves bytes: a WebSocket for many turns, an HTTP request for one. What the bytes mean is for
//! `proto` to say.

pub(crate) use exchange::{Exchange, ExchangeAbort};
pub(crate) use incoming::Incoming;
pub(crate) use sse::SseExchange;
pub(crate) use websocket::{SocketOptions, WebSocket, WebSocketExchange};

pub(crate) mod call;
mod exchange;
mod incoming;
mod queue;
pub(crate) mod sse;
mod upgrade;
pub(crate) mod websocket;
