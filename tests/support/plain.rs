//! Requests without this crate: one HTTP request, or one message on a WebSocket, and its answer.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, client::IntoClientRequest, http::HeaderValue},
};

use super::guarded;

/// Sends an HTTP request to the origin of `url`; returns the status and the JSON of the answer.
pub(crate) async fn http(url: &str, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let authority = authority(url);
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(authority).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    guarded(stream.read_to_string(&mut answer)).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or_else(|_| panic!("not JSON: {answer}")))
}

/// Posts a create body without streaming.
pub(crate) async fn create(url: &str, body: &Value) -> (u16, Value) {
    http(url, "POST", "/v1/responses", body).await
}

/// Sends a create body on a new WebSocket; returns the status and the JSON like [`create`], from
/// the event that ends the turn.
pub(crate) async fn create_over_websocket(url: &str, body: &Value) -> (u16, Value) {
    let mut socket = Socket::connect(url, "").await;
    let mut message = body.clone();
    message["type"] = json!("response.create");
    socket.send(&message).await;
    let end = socket.turn().await.pop().unwrap();
    match end["type"] == "error" {
        true => {
            let status = end["status"].as_u64().unwrap();
            (status.try_into().unwrap(), json!({ "error": end["error"] }))
        }
        false => (200, end["response"].clone()),
    }
}

/// A WebSocket of a client that knows nothing of the protocol.
pub(crate) struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    /// Connects to the server at `url`, with this value of the header `OpenAI-Beta`.
    pub(crate) async fn connect(url: &str, beta: &'static str) -> Self {
        let stream = TcpStream::connect(authority(url)).await.unwrap();
        let url = format!("{}/responses", url.replace("http", "ws"));
        let mut request = url.into_client_request().unwrap();
        request.headers_mut().insert("openai-beta", HeaderValue::from_static(beta));
        Self(tokio_tungstenite::client_async(request, stream).await.unwrap().0)
    }

    pub(crate) async fn send(&mut self, message: &Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    pub(crate) async fn event(&mut self) -> Value {
        let frame = guarded(self.0.next()).await.unwrap().unwrap();
        serde_json::from_str(frame.to_text().unwrap()).unwrap()
    }

    /// The events up to the one that ends the turn.
    pub(crate) async fn turn(&mut self) -> Vec<Value> {
        let mut events = Vec::new();
        loop {
            let event = self.event().await;
            let is_end = matches!(
                event["type"].as_str(),
                Some("error" | "response.completed" | "response.incomplete" | "response.failed")
            );
            events.push(event);
            if is_end {
                return events;
            }
        }
    }
}

fn authority(url: &str) -> &str {
    url.trim_start_matches("http://").split('/').next().unwrap()
}
