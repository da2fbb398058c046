//! IO of both transports: a WebSocket serves many turns, an HTTP request serves one turn. The
//! interpretation of the bytes is in `proto`.

pub(crate) use exchange::{Exchange, ExchangeAbort};
pub(crate) use incoming::Incoming;
pub(crate) use sse::SseExchange;
pub(crate) use websocket::{SocketOptions, WebSocket, WebSocketExchange};

mod exchange;
pub(crate) mod http1;
mod incoming;
pub(crate) mod sse;
mod upgrade;
pub(crate) mod websocket;
