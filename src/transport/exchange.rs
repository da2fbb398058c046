//! An exchange over either transport.

use std::task::{Context, Poll};

use super::{Incoming, SseExchange, WebSocketExchange};
use crate::config::Transport;

/// A request that was sent, and its answer. Dropping it before a frame that ends the turn cancels
/// the request by closing its connection.
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

    pub(crate) fn transport(&self) -> Transport {
        match self {
            Self::WebSocket(_) => Transport::WebSocket,
            Self::Sse(_) => Transport::Sse,
        }
    }
}
