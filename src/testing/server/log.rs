//! The log of the server.

use std::fmt;

use serde_json::Value;

use crate::{config::Transport, testing::script::header_names::HeaderNames};

/// Log of everything that the server received so far, in order.
///
/// ```
/// # use responses_client::{ResponsesRequest, testing::{ScriptedServer, Turn}};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = ScriptedServer::start(Turn::text("Hello")).await?;
/// # let client = server.client()?;
/// let request = ResponsesRequest::new("gpt-6-astra").input("Say hello");
/// client.respond(request).await?;
/// let log = server.log();
/// assert_eq!((log.websockets().count(), log.requests.len(), log.finished()), (1, 1, 1));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ServerLog {
    /// Every connection, in the order in which they were opened.
    pub connections: Vec<ConnectionLog>,
    /// Every `response.create` and every POST, also the rejected ones.
    pub requests: Vec<RequestLog>,
    /// Every `response.steer`.
    pub steers: Vec<SteerLog>,
    /// Every `response.inject`.
    pub injects: Vec<MessageLog>,
    /// Every `response.interrupt`.
    pub interrupts: Vec<MessageLog>,
    /// Every other answered HTTP request, such as those to get or cancel a response, and those for
    /// paths that the server does not have.
    pub others: Vec<OtherLog>,
    /// Number of upgrade requests without a 101: refused, left hanging or reset.
    pub upgrades_refused: usize,
    /// Number of requests on kept connections that were cut before an answer, by
    /// [`Reuse`](crate::testing::Reuse).
    pub reuses_cut: usize,
    /// Messages of panics in the script's closures, and of mistakes in the script itself.
    ///
    /// The server panics with the first of them when it is dropped.
    pub panics: Vec<String>,
}

/// One connection.
///
/// ```
/// # use responses_client::{ResponsesRequest, testing::{ScriptedServer, Turn}};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = ScriptedServer::start(Turn::text("Hello")).await?;
/// # let client = server.client()?;
/// let request = ResponsesRequest::new("gpt-6-astra").input("Say hello");
/// client.respond(request).await?;
/// let connection = &server.log().connections[0];
/// assert_eq!((connection.upgrade_requests, connection.close_code), (1, None));
/// assert!(connection.header("user-agent").is_some_and(|it| it.starts_with("responses-client")));
/// # Ok(()) }
/// ```
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct ConnectionLog {
    /// Index among the connections of the server.
    pub index: usize,
    /// WebSocket after an upgrade, SSE after a POST; `None` before either.
    pub transport: Option<Transport>,
    /// Number of bytes received, heads and frame headers included.
    pub bytes_received: u64,
    /// Number of bytes sent, heads and frame headers included.
    pub bytes_sent: u64,
    /// Number of requests to become a WebSocket.
    pub upgrade_requests: usize,
    /// `true` once the connection has ended, by either side.
    pub closed: bool,
    /// Code of the Close frame that answers each request of this connection, by
    /// [`Upgrade::CloseOnCreate`](crate::testing::Upgrade::CloseOnCreate).
    pub closes_on_create: Option<u16>,
    /// Code of the client's Close frame; `None` also for a frame without a code.
    pub close_code: Option<u16>,
    /// Number of pings of the client.
    pub pings: usize,
    /// Number of pongs of the client.
    pub pongs: usize,
    /// Path of the last request to become a WebSocket, with the query; `None` if there was none.
    pub path: Option<String>,
    /// Headers of the last request to become a WebSocket.
    pub headers: Vec<(String, String)>,
}

/// One `response.create`, or one POST.
///
/// ```
/// # use responses_client::{ResponsesRequest, testing::{ScriptedServer, Turn}};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = ScriptedServer::start(Turn::text("Hello")).await?;
/// # let client = server.client()?;
/// let request = ResponsesRequest::new("gpt-6-astra").input("Say hello");
/// client.respond(request).await?;
/// let request = &server.log().requests[0];
/// assert_eq!((request.input_items, request.previous_response_id.as_deref()), (1, None));
/// assert_eq!(request.body["model"], "gpt-6-astra");
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct RequestLog {
    /// [`index`](ConnectionLog::index) of the connection of the request.
    pub connection: usize,
    /// Transport of the request.
    pub transport: Transport,
    /// Lane that the request names in `stream_id`; `None` for the default lane, and over SSE.
    pub lane: Option<String>,
    /// Index among the requests that took a turn of the script; `None` if it took no turn.
    pub turn: Option<usize>,
    /// Path of the POST, or of the upgrade of the WebSocket, with the query.
    pub path: String,
    /// `true` if a steer began the response: the client has sent no request for it.
    pub is_successor: bool,
    /// Body of the request; `null` if it was not JSON, or the script is [without
    /// bodies](crate::testing::Script::without_bodies).
    pub body: Value,
    /// Body of the request, byte for byte; empty if the script is without bodies.
    pub raw: String,
    /// Headers of the POST; empty over WebSocket.
    pub headers: Vec<(String, String)>,
    /// Number of bytes received on the connection after the previous request (or after the upgrade)
    /// up to the end of this one.
    pub bytes_received: u64,
    /// Id of the response that the request continues.
    pub previous_response_id: Option<String>,
    /// Number of input items of the request; a string counts as one.
    pub input_items: usize,
    /// `true` once the answer was sent to its end, a scripted fault included.
    pub finished: bool,
}

/// One `response.steer`.
///
/// ```
/// use responses_client::testing::{ServerLog, SteerLog};
///
/// fn steered<'a>(log: &'a ServerLog, id: &'a str) -> impl Iterator<Item = &'a SteerLog> {
///     log.steers.iter().filter(move |steer| steer.previous_response_id == id)
/// }
/// # drop(steered);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SteerLog {
    /// [`index`](ConnectionLog::index) of the connection.
    pub connection: usize,
    /// Id of the response that the steer is meant for.
    pub previous_response_id: String,
    /// The message.
    pub body: Value,
}

/// One `response.inject`, or one `response.interrupt`.
///
/// ```
/// use responses_client::testing::{MessageLog, ServerLog};
///
/// fn interrupted<'a>(log: &'a ServerLog, id: &'a str) -> impl Iterator<Item = &'a MessageLog> {
///     log.interrupts.iter().filter(move |interrupt| interrupt.response_id == id)
/// }
/// # drop(interrupted);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct MessageLog {
    /// [`index`](ConnectionLog::index) of the connection.
    pub connection: usize,
    /// Id of the response that the message is meant for.
    pub response_id: String,
    /// The message.
    pub body: Value,
}

/// An HTTP request for something other than a new response.
///
/// ```
/// # use responses_client::{ResponsesRequest, testing::{ScriptedServer, Turn}};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = ScriptedServer::start(Turn::text("Hello")).await?;
/// # let client = server.client()?;
/// let request = ResponsesRequest::new("gpt-6-astra").input("Say hello");
/// client.respond(request).await?;
/// let missing = client.retrieve("resp_0").await;
/// assert!(missing.is_err());
/// let other = &server.log().others[0];
/// assert_eq!((other.method.as_str(), other.path.as_str()), ("GET", "/v1/responses/resp_0"));
/// assert_eq!(other.status, 404);
/// # Ok(()) }
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OtherLog {
    /// [`index`](ConnectionLog::index) of the connection of the request.
    pub connection: usize,
    /// Method of the request.
    pub method: String,
    /// Path of the request, with the query.
    pub path: String,
    /// Headers of the request.
    pub headers: Vec<(String, String)>,
    /// Status of the answer.
    pub status: u16,
}

impl ServerLog {
    /// Returns the connections that became WebSockets.
    pub fn websockets(&self) -> impl Iterator<Item = &ConnectionLog> {
        self.connections.iter().filter(|seen| seen.transport == Some(Transport::WebSocket))
    }

    /// Returns the requests over WebSocket.
    pub fn creates(&self) -> impl Iterator<Item = &RequestLog> {
        self.requests.iter().filter(|seen| seen.transport == Transport::WebSocket)
    }

    /// Returns the requests over SSE.
    pub fn posts(&self) -> impl Iterator<Item = &RequestLog> {
        self.requests.iter().filter(|seen| seen.transport == Transport::Sse)
    }

    /// Returns the number of connections that have not ended.
    pub fn open_connections(&self) -> usize {
        self.connections.iter().filter(|seen| !seen.closed).count()
    }

    /// Returns the number of answers that were sent to their end.
    pub fn finished(&self) -> usize {
        self.requests.iter().filter(|seen| seen.finished).count()
    }

    /// Returns the number of bytes received on all connections.
    pub fn bytes_received(&self) -> u64 {
        self.connections.iter().map(|seen| seen.bytes_received).sum()
    }

    /// Returns the number of bytes sent on all connections.
    pub fn bytes_sent(&self) -> u64 {
        self.connections.iter().map(|seen| seen.bytes_sent).sum()
    }
}

impl ConnectionLog {
    /// Returns the first value of a header of the upgrade request; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }
}

impl RequestLog {
    /// Returns the first value of a header of the POST; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }
}

impl OtherLog {
    /// Returns the first value of a header of the request; `name` in lower case.
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
            path,
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
            .field("path", path)
            .field("headers", &HeaderNames(headers))
            .finish()
    }
}

impl fmt::Debug for RequestLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            connection,
            transport,
            lane,
            turn,
            path,
            is_successor,
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
            .field("lane", lane)
            .field("turn", turn)
            .field("path", path)
            .field("is_successor", is_successor)
            .field("raw", raw)
            .field("headers", &HeaderNames(headers))
            .field("bytes_received", bytes_received)
            .field("previous_response_id", previous_response_id)
            .field("input_items", input_items)
            .field("finished", finished)
            .finish()
    }
}

impl fmt::Debug for OtherLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connection, method, path, headers, status } = self;
        f.debug_struct("OtherLog")
            .field("connection", connection)
            .field("method", method)
            .field("path", path)
            .field("headers", &HeaderNames(headers))
            .field("status", status)
            .finish()
    }
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}
