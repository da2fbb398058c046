//! The log of the scripted server, as JSON lines.

use responses_client::testing::{ConnectionLog, RequestLog, ServerLog};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::Value;

/// Turns what is new in a server's log into lines.
#[derive(Default)]
pub(super) struct LogLines {
    requests: usize,
    /// Of each connection, whether it has been told.
    connections: Vec<bool>,
}

/// A request, when it came.
#[derive(Serialize)]
struct RequestLine<'a> {
    kind: &'static str,
    connection: usize,
    transport: &'static str,
    turn: Option<usize>,
    previous_response_id: Option<&'a str>,
    input_items: usize,
    bytes_received: u64,
    headers: Headers<'a>,
    body: &'a Value,
}

/// A connection, when it has ended.
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
    headers: Headers<'a>,
}

/// The headers of a request, but for what is secret in them.
struct Headers<'a>(&'a [(String, String)]);

impl LogLines {
    /// Appends a line for each request that came, and for each connection that ended; with `all`,
    /// for the open ones too.
    pub(super) fn add(&mut self, log: &ServerLog, all: bool, lines: &mut Vec<u8>) {
        for request in log.requests.iter().skip(self.requests) {
            push(lines, &RequestLine::new(request));
        }
        self.requests = log.requests.len();
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
            turn: log.turn,
            previous_response_id: log.previous_response_id.as_deref(),
            input_items: log.input_items,
            bytes_received: log.bytes_received,
            headers: Headers(&log.headers),
            body: &log.body,
        }
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
            headers: Headers(&log.headers),
        }
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

/// Whether a header may be a credential, by its name in lower case.
fn is_secret(name: &str) -> bool {
    // This one is chance, and shown to everybody.
    name != "sec-websocket-key"
        && ["auth", "key", "token", "secret", "cookie", "account"]
            .iter()
            .any(|word| name.contains(word))
}

fn push(lines: &mut Vec<u8>, line: &impl Serialize) {
    let before = lines.len();
    match serde_json::to_writer(&mut *lines, line) {
        Ok(()) => lines.push(b'\n'),
        // Not with strings as keys and a `Vec` to write to.
        Err(_) => lines.truncate(before),
    }
}
