//! What the server saw.

use std::fmt;

use serde_json::Value;

use crate::config::Transport;

/// What the server saw so far, in the order in which it saw it.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ServerLog {
    /// Every connection, by the order in which they were opened.
    pub connections: Vec<ConnectionLog>,
    /// Every `response.create` and every POST, rejected ones too.
    pub requests: Vec<RequestLog>,
    /// Every other HTTP request that was answered, such as those to get or cancel a response.
    pub others: Vec<OtherLog>,
    /// Upgrade requests that got no 101: refused, left hanging or reset.
    pub upgrades_refused: usize,
    /// Requests on kept connections that were cut before an answer, as [`Reuse`](super::Reuse) says.
    pub reuses_cut: usize,
    /// Messages of panics in the script's closures, and of mistakes in the script itself.
    ///
    /// The server raises the first of them again when it is dropped.
    pub panics: Vec<String>,
}

/// One connection.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct ConnectionLog {
    /// Its place among the connections of the server.
    pub index: usize,
    /// WebSocket once it was upgraded, SSE once something was posted on it.
    pub transport: Option<Transport>,
    /// Bytes that came in, heads and frame headers included.
    pub bytes_received: u64,
    /// Bytes that went out, heads and frame headers included.
    pub bytes_sent: u64,
    /// Requests to become a WebSocket.
    pub upgrade_requests: usize,
    /// Whether it has ended, whoever ended it.
    pub closed: bool,
    /// The code of the Close frame that answers each of its requests, as
    /// [`Upgrade::CloseOnCreate`](super::Upgrade::CloseOnCreate) says.
    pub closes_on_create: Option<u16>,
    /// The code of the client's Close frame; `None` also stands for a frame without one.
    pub close_code: Option<u16>,
    /// Pings of the client.
    pub pings: usize,
    /// Pongs of the client.
    pub pongs: usize,
    /// Headers of the last request to become a WebSocket.
    pub headers: Vec<(String, String)>,
}

/// One `response.create`, or one POST.
#[derive(Clone)]
#[non_exhaustive]
pub struct RequestLog {
    /// The [`index`](ConnectionLog::index) of the connection it came on.
    pub connection: usize,
    /// How it came.
    pub transport: Transport,
    /// Its place among the requests that took a turn of the script; `None` if it took none.
    pub turn: Option<usize>,
    /// What was sent; `null` if that was not JSON, or the script is [without
    /// bodies](super::Script::without_bodies).
    pub body: Value,
    /// What was sent, byte for byte.
    pub raw: String,
    /// Headers of the POST; empty over WebSocket.
    pub headers: Vec<(String, String)>,
    /// Bytes that came in on its connection after the request before it (or after the upgrade), up
    /// to its own end.
    pub bytes_received: u64,
    /// The response it continues.
    pub previous_response_id: Option<String>,
    /// How many input items it brought; a string counts as one.
    pub input_items: usize,
    /// Whether the answer was sent to its end, a scripted fault included.
    pub finished: bool,
}

/// An HTTP request for something other than a new response.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OtherLog {
    /// The [`index`](ConnectionLog::index) of the connection it came on.
    pub connection: usize,
    /// Its method.
    pub method: String,
    /// Its path, with the query.
    pub path: String,
    /// The status of the answer.
    pub status: u16,
}

impl ServerLog {
    /// The connections that became WebSockets.
    pub fn websockets(&self) -> impl Iterator<Item = &ConnectionLog> {
        self.connections.iter().filter(|seen| seen.transport == Some(Transport::WebSocket))
    }

    /// The requests that came over WebSocket.
    pub fn creates(&self) -> impl Iterator<Item = &RequestLog> {
        self.requests.iter().filter(|seen| seen.transport == Transport::WebSocket)
    }

    /// The requests that were posted.
    pub fn posts(&self) -> impl Iterator<Item = &RequestLog> {
        self.requests.iter().filter(|seen| seen.transport == Transport::Sse)
    }

    /// How many connections have not ended.
    pub fn open_connections(&self) -> usize {
        self.connections.iter().filter(|seen| !seen.closed).count()
    }

    /// How many answers were sent to their end.
    pub fn finished(&self) -> usize {
        self.requests.iter().filter(|seen| seen.finished).count()
    }

    /// Bytes that came in on all connections.
    pub fn bytes_received(&self) -> u64 {
        self.connections.iter().map(|seen| seen.bytes_received).sum()
    }

    /// Bytes that went out on all connections.
    pub fn bytes_sent(&self) -> u64 {
        self.connections.iter().map(|seen| seen.bytes_sent).sum()
    }
}

impl ConnectionLog {
    /// The first value of a header of the upgrade request; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }
}

impl RequestLog {
    /// The first value of a header of the POST; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }
}

impl fmt::Debug for ConnectionLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            index,
            transport,
            bytes_received,
            bytes_sent,
            upgrade_requests,
            closed,
            closes_on_create,
            close_code,
            pings,
            pongs,
            headers,
        } = self;
        f.debug_struct("ConnectionLog")
            .field("index", index)
            .field("transport", transport)
            .field("bytes_received", bytes_received)
            .field("bytes_sent", bytes_sent)
            .field("upgrade_requests", upgrade_requests)
            .field("closed", closed)
            .field("closes_on_create", closes_on_create)
            .field("close_code", close_code)
            .field("pings", pings)
            .field("pongs", pongs)
            .field("headers", &Names(headers))
            .finish()
    }
}

impl fmt::Debug for RequestLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            connection,
            transport,
            turn,
            body: _,
            raw,
            headers,
            bytes_received,
            previous_response_id,
            input_items,
            finished,
        } = self;
        f.debug_struct("RequestLog")
            .field("connection", connection)
            .field("transport", transport)
            .field("turn", turn)
            .field("raw", raw)
            .field("headers", &Names(headers))
            .field("bytes_received", bytes_received)
            .field("previous_response_id", previous_response_id)
            .field("input_items", input_items)
            .field("finished", finished)
            .finish()
    }
}

/// Shows the names alone: values can be credentials.
pub(super) struct Names<'a>(pub(super) &'a [(String, String)]);

impl fmt::Debug for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}
