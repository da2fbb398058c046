//! Moves bytes: a WebSocket for many turns, an HTTP request for one. What the bytes mean is for
//! `proto` to say.

use std::task::{Context, Poll};

use crate::{
    Transport,
    proto::{classify::Frame, turn::End},
};

pub(crate) use sse::SseExchange;
pub(crate) use websocket::{SocketOptions, WebSocket, WebSocketExchange};

pub(crate) mod call;
mod queue;
pub(crate) mod sse;
mod upgrade;
pub(crate) mod websocket;

/// What comes in for a request.
#[derive(Debug)]
pub(crate) enum Incoming {
    Frame(Frame),
    /// Events of an older response came before this one's, and were dropped.
    LateEvents,
    /// Nothing more will come.
    End(End),
}

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
