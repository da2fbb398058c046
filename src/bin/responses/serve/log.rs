//! The log of the scripted server as JSON lines.

use responses_client::testing::{
    ConnectionLog, MessageLog, OtherLog, RequestLog, ServerLog, SteerLog,
};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::Value;

/// Converts new entries of a server's log to lines.
#[derive(Default)]
pub(super) struct LogLines {
    requests: usize,
    steers: usize,
    injects: usize,
    interrupts: usize,
    others: usize,
    /// `true` for each connection that has been written.
    connections: Vec<bool>,
}

/// Line of a request, written when the request has arrived.
#[derive(Serialize)]
struct RequestLine<'a> {
    kind: &'static str,
    connection: usize,
    transport: &'static str,
    /// Absent on the default lane.
    #[serde(skip_serializing_if = "Option::is_none")]
    lane: Option<&'a str>,
    turn: Option<usize>,
    path: Path<'a>,
    previous_response_id: Option<&'a str>,
    input_items: usize,
    bytes_received: u64,
    headers: Headers<'a>,
    body: &'a Value,
}

/// Line of a `response.steer`.
#[derive(Serialize)]
struct SteerLine<'a> {
    kind: &'static str,
    connection: usize,
    previous_response_id: &'a str,
    body: &'a Value,
}

/// Line of a `response.inject` or a `response.interrupt`.
#[derive(Serialize)]
struct MessageLine<'a> {
    kind: &'static str,
    connection: usize,
    response_id: &'a str,
    body: &'a Value,
}

/// Line of a connection, written when the connection has ended.
#[derive(Serialize)]
struct ConnectionLine<'a> {
    kind: &'static str,
    connection: usize,
    transport: Option<&'static str>,
    upgrade_requests: usize,
    bytes_received: u64,
    bytes_sent: u64,
    pings: usize,
    pongs: usize,
    close_code: Option<u16>,
    path: Option<Path<'a>>,
    headers: Headers<'a>,
}

/// Line of an HTTP request for something other than a new response, written with its answer.
#[derive(Serialize)]
struct OtherLine<'a> {
    kind: &'static str,
    connection: usize,
    method: &'a str,
    path: Path<'a>,
    status: u16,
    headers: Headers<'a>,
}

/// Path of a request with its query. Serializes with secrets masked.
struct Path<'a>(&'a str);

/// Headers of a request. Serializes with secrets masked.
struct Headers<'a>(&'a [(String, String)]);

impl LogLines {
    /// Appends a line for each new request, of either kind, for each new message about a response,
    /// and for each connection that has ended. If `all` is `true`, also for each open connection.
    pub(super) fn add(&mut self, log: &ServerLog, all: bool, lines: &mut Vec<u8>) {
        for request in log.requests.iter().skip(self.requests) {
            push(lines, &RequestLine::new(request));
        }
        self.requests = log.requests.len();
        for steer in log.steers.iter().skip(self.steers) {
            push(lines, &SteerLine::new(steer));
        }
        self.steers = log.steers.len();
        for inject in log.injects.iter().skip(self.injects) {
            push(lines, &MessageLine::new("inject", inject));
        }
        self.injects = log.injects.len();
        for interrupt in log.interrupts.iter().skip(self.interrupts) {
            push(lines, &MessageLine::new("interrupt", interrupt));
        }
        self.interrupts = log.interrupts.len();
        for other in log.others.iter().skip(self.others) {
            push(lines, &OtherLine::new(other));
        }
        self.others = log.others.len();
        self.connections.resize(log.connections.len(), false);
        for (connection, told) in log.connections.iter().zip(&mut self.connections) {
            if (connection.closed || all) && !std::mem::replace(told, true) {
                push(lines, &ConnectionLine::new(connection));
            }
        }
    }
}

impl<'a> RequestLine<'a> {
    fn new(log: &'a RequestLog) -> Self {
        Self {
            kind: "request",
            connection: log.connection,
            transport: log.transport.as_str(),
            lane: log.lane.as_deref(),
            turn: log.turn,
            path: Path(&log.path),
            previous_response_id: log.previous_response_id.as_deref(),
            input_items: log.input_items,
            bytes_received: log.bytes_received,
            headers: Headers(&log.headers),
            body: &log.body,
        }
    }
}

impl<'a> SteerLine<'a> {
    fn new(log: &'a SteerLog) -> Self {
        Self {
            kind: "steer",
            connection: log.connection,
            previous_response_id: &log.previous_response_id,
            body: &log.body,
        }
    }
}

impl<'a> MessageLine<'a> {
    fn new(kind: &'static str, log: &'a MessageLog) -> Self {
        let MessageLog { connection, response_id, body, .. } = log;
        Self { kind, connection: *connection, response_id, body }
    }
}

impl<'a> ConnectionLine<'a> {
    fn new(log: &'a ConnectionLog) -> Self {
        Self {
            kind: "connection",
            connection: log.index,
            transport: log.transport.map(|it| it.as_str()),
            upgrade_requests: log.upgrade_requests,
            bytes_received: log.bytes_received,
            bytes_sent: log.bytes_sent,
            pings: log.pings,
            pongs: log.pongs,
            close_code: log.close_code,
            path: log.path.as_deref().map(Path),
            headers: Headers(&log.headers),
        }
    }
}

impl<'a> OtherLine<'a> {
    fn new(log: &'a OtherLog) -> Self {
        Self {
            kind: "other",
            connection: log.connection,
            method: &log.method,
            path: Path(&log.path),
            status: log.status,
            headers: Headers(&log.headers),
        }
    }
}

impl Serialize for Path<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some((path, query)) = self.0.split_once('?') else {
            return serializer.serialize_str(self.0);
        };
        let pairs: Vec<_> = query
            .split('&')
            .map(|pair| match pair.split_once('=') {
                Some((name, _)) if is_secret(&name.to_lowercase()) => format!("{name}=[masked]"),
                _ => pair.to_owned(),
            })
            .collect();
        serializer.collect_str(&format_args!("{path}?{}", pairs.join("&")))
    }
}

impl Serialize for Headers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.0 {
            map.serialize_entry(name, if is_secret(name) { "[masked]" } else { value })?;
        }
        map.end()
    }
}

/// Returns `true` if the header or parameter with this lower-case name may be a credential.
fn is_secret(name: &str) -> bool {
    // The key of the WebSocket handshake is a random number and not secret.
    name != "sec-websocket-key"
        && ["auth", "key", "token", "secret", "cookie", "account"]
            .iter()
            .any(|word| name.contains(word))
}

fn push(lines: &mut Vec<u8>, line: &impl Serialize) {
    let before = lines.len();
    match serde_json::to_writer(&mut *lines, line) {
        Ok(()) => lines.push(b'\n'),
        // Serializing to a `Vec` with string keys cannot fail.
        Err(_) => lines.truncate(before),
    }
}
