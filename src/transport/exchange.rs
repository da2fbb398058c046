//! An exchange over either transport.

use std::task::{Context, Poll};

use super::{
    incoming::Incoming,
    sse::{self, SseExchange},
    websocket::{self, WebSocketExchange},
};

/// A request that was sent, and its response. Dropping an exchange before the frame that ends the
/// turn cancels the request by closing its connection.
#[derive(Debug)]
pub(crate) enum Exchange {
    WebSocket(WebSocketExchange),
    Sse(SseExchange),
}

impl Exchange {
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Incoming> {
        match self {
            Self::WebSocket(exchange) => exchange.poll_next(cx),
            Self::Sse(exchange) => exchange.poll_next(cx),
        }
    }

    /// Returns a handle that closes the connection of the exchange.
    pub(crate) fn abort_handle(&self) -> ExchangeAbort {
        match self {
            Self::WebSocket(exchange) => ExchangeAbort::WebSocket(exchange.abort_handle()),
            Self::Sse(exchange) => ExchangeAbort::Sse(exchange.abort_handle()),
        }
    }
}

/// Handle that closes the connection of an exchange, even if nothing polls the exchange.
pub(crate) enum ExchangeAbort {
    WebSocket(websocket::AbortHandle),
    Sse(sse::AbortHandle),
}

impl ExchangeAbort {
    pub(crate) fn abort(self) {
        match self {
            Self::WebSocket(handle) => handle.abort(),
            Self::Sse(handle) => handle.abort(),
        }
    }
}
