//! Requests without this crate: one HTTP request, or one message on a WebSocket, and its answer.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::tungstenite::Message;

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
    let stream = TcpStream::connect(authority(url)).await.unwrap();
    let url = format!("{}/responses", url.replace("http", "ws"));
    let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
    let mut message = body.clone();
    message["type"] = json!("response.create");
    socket.send(Message::text(message.to_string())).await.unwrap();
    loop {
        let frame = guarded(socket.next()).await.unwrap().unwrap();
        let event: Value = serde_json::from_str(frame.to_text().unwrap()).unwrap();
        match event["type"].as_str().unwrap() {
            "error" => {
                let status = event["status"].as_u64().unwrap();
                return (status.try_into().unwrap(), json!({ "error": event["error"] }));
            }
            "response.completed" | "response.incomplete" | "response.failed" => {
                return (200, event["response"].clone());
            }
            _ => {}
        }
    }
}

fn authority(url: &str) -> &str {
    url.trim_start_matches("http://").split('/').next().unwrap()
}
