//! `Exchange`: a request with its history and its ids.

use std::fmt;

use serde_json::Value;

use super::header_names::HeaderNames;
use crate::config::Transport;

/// A request with its history and the id of its response, as a script's function gets it.
///
/// ```
/// use responses_client::testing::{Exchange, Script, Turn};
///
/// fn count(exchange: &Exchange) -> Turn {
///     Turn::text(format!("{} items", exchange.history.len()))
/// }
///
/// let script = Script::new().respond(count);
/// # drop(script);
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct Exchange {
    /// Number of requests that took a turn before this one.
    pub index: usize,
    /// Transport of the request.
    pub transport: Transport,
    /// Connection of the request, as numbered in the [`ServerLog`](crate::testing::ServerLog).
    pub connection: usize,
    /// Lane that the request names in `stream_id`; `None` for the default lane, and over SSE.
    pub lane: Option<String>,
    /// Body of the request.
    pub body: Value,
    /// Whole conversation: the input and output of the responses that the request continues, and
    /// then its own input. An input that is a string is a user message here, and a reference to a
    /// stored item is that item.
    pub history: Vec<Value>,
    /// Id of the response to this request.
    pub response_id: String,
    /// Headers of the POST, or of the upgrade of the WebSocket; names in lower case.
    pub headers: Vec<(String, String)>,
    /// Size of the history before the request's input, in bytes of JSON.
    pub(crate) known_bytes: usize,
    /// Size of the request's input, in bytes of JSON.
    pub(crate) brought_bytes: usize,
}

impl Exchange {
    /// Returns `true` if the request asks for events. A WebSocket always streams.
    pub(crate) fn streams(&self) -> bool {
        self.transport == Transport::WebSocket
            || self.body.get("stream") == Some(&Value::Bool(true))
    }

    /// Returns `true` if the request asks for a response that runs without its client.
    pub(crate) fn is_in_background(&self) -> bool {
        self.body.get("background") == Some(&Value::Bool(true))
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            index,
            transport,
            connection,
            lane,
            body,
            history,
            response_id,
            headers,
            known_bytes: _,
            brought_bytes: _,
        } = self;
        f.debug_struct("Exchange")
            .field("index", index)
            .field("transport", transport)
            .field("connection", connection)
            .field("lane", lane)
            .field("body", body)
            .field("history", history)
            .field("response_id", response_id)
            .field("headers", &HeaderNames(headers))
            .finish()
    }
}
