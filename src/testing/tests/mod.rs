//! The server as seen by clients that are as plain as can be.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self, Message,
        client::IntoClientRequest,
        handshake::client::generate_key,
        http::HeaderValue,
        protocol::{CloseFrame, Role},
    },
};

use super::{Connector, Exchange, ScriptedServer, Turn};
use crate::net::{Answer, Content, Io, NetError};

mod agent;
mod checker;
mod endpoints;
mod faults;
mod generators;
mod habits;
mod handshake;
mod inject;
mod interrupt;
mod lane_faults;
mod lanes;
mod limits;
mod sessions;
mod shapes;
mod steering;
mod turns;
mod unstreamed;

/// A WebSocket, with or without sockets below it.
struct Client(WebSocketStream<Box<dyn Io>>);

impl Client {
    async fn connect(server: &ScriptedServer) -> Self {
        let (client, _) = Self::try_connect(server).await.unwrap();
        client
    }

    async fn try_connect(
        server: &ScriptedServer,
    ) -> Result<(Self, http::response::Parts), tungstenite::Error> {
        Self::try_connect_for(server, None).await
    }

    /// A client that asks for betas of the API.
    async fn with_beta(server: &ScriptedServer, beta: &'static str) -> Self {
        Self::try_connect_for(server, Some(beta)).await.unwrap().0
    }

    async fn try_connect_for(
        server: &ScriptedServer,
        beta: Option<&'static str>,
    ) -> Result<(Self, http::response::Parts), tungstenite::Error> {
        let stream = TcpStream::connect(server.address().unwrap()).await?;
        let url = format!("ws://{}/v1/responses", server.address().unwrap());
        let mut request = url.into_client_request()?;
        if let Some(beta) = beta {
            request.headers_mut().insert("openai-beta", HeaderValue::from_static(beta));
        }
        let io: Box<dyn Io> = Box::new(stream);
        let (socket, response) = tokio_tungstenite::client_async(request, io).await?;
        Ok((Self(socket), response.into_parts().0))
    }

    async fn in_memory(connector: &Connector) -> Self {
        let answer = Self::upgrade(connector).await;
        let Content::Upgraded(io) = answer.content else { panic!("not upgraded: {answer:?}") };
        Self(WebSocketStream::from_raw_socket(io, Role::Client, None).await)
    }

    /// The status of an answer that is not 101.
    async fn refused(connector: &Connector) -> u16 {
        let answer = Self::upgrade(connector).await;
        assert!(matches!(answer.content, Content::Body(_)), "upgraded");
        answer.head.status.as_u16()
    }

    async fn upgrade(connector: &Connector) -> Answer {
        let request = http::Request::get("http://memory.invalid/v1/responses")
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", generate_key())
            .body(Bytes::new())
            .unwrap();
        connector.network().send(request).await.unwrap()
    }

    async fn send(&mut self, body: Value) {
        self.0.send(Message::text(body.to_string())).await.unwrap();
    }

    /// Sends a `response.create` with these members.
    async fn create(&mut self, members: Value) {
        let mut body = json!({ "type": "response.create", "model": "m" });
        body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        self.send(body).await;
    }

    async fn event(&mut self) -> Value {
        match self.0.next().await.unwrap().unwrap() {
            Message::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("not an event: {other:?}"),
        }
    }

    /// The Close frame, or `None` if the connection ends without one.
    async fn end(&mut self) -> Option<CloseFrame> {
        match self.0.next().await {
            Some(Ok(Message::Close(frame))) => frame,
            Some(Ok(other)) => panic!("not the end: {other:?}"),
            Some(Err(_)) | None => None,
        }
    }

    /// The events up to one of this type.
    async fn until(&mut self, wanted: &str) -> Vec<Value> {
        let mut events = Vec::new();
        while events.last().is_none_or(|event| kind(event) != wanted) {
            events.push(self.event().await);
        }
        events
    }

    /// The events up to a terminal one.
    async fn turn(&mut self) -> Vec<Value> {
        let mut events = Vec::new();
        loop {
            let event = self.event().await;
            let kind = kind(&event);
            events.push(event);
            if kind == "error" || ENDINGS.contains(&kind.as_str()) {
                return events;
            }
        }
    }
}

/// The status and body of a POST over the connector, and why the body was not read to its end.
async fn post(connector: &Connector, members: Value) -> (u16, String, Option<NetError>) {
    let mut body = json!({ "model": "m", "stream": true });
    body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    let request = http::Request::post("http://memory.invalid/v1/responses")
        .body(Bytes::from(body.to_string()))
        .unwrap();
    let answer = connector.network().send(request).await.unwrap();
    let Content::Body(mut pieces) = answer.content else { panic!("upgraded") };
    let mut text = Vec::new();
    let mut failure = None;
    while let Some(piece) = pieces.next().await {
        match piece {
            Ok(piece) => text.extend_from_slice(&piece),
            Err(error) => failure = Some(error),
        }
    }
    (answer.head.status.as_u16(), String::from_utf8(text).unwrap(), failure)
}

/// The status and body of another request over the connector.
async fn ask(connector: &Connector, method: &str, path: &str) -> (u16, String) {
    let request = http::Request::builder()
        .method(method)
        .uri(format!("http://memory.invalid/v1{path}"))
        .body(Bytes::new())
        .unwrap();
    let answer = connector.network().send(request).await.unwrap();
    let Content::Body(mut pieces) = answer.content else { panic!("upgraded") };
    let mut text = Vec::new();
    while let Some(Ok(piece)) = pieces.next().await {
        text.extend_from_slice(&piece);
    }
    (answer.head.status.as_u16(), String::from_utf8(text).unwrap())
}

/// Posts on a socket and reads to the end of the answer, or of the connection.
async fn post_on(stream: &mut TcpStream, body: &Value) -> (String, std::io::Result<()>) {
    let body = body.to_string();
    let head =
        format!("POST /v1/responses HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n", body.len());
    stream.write_all(format!("{head}\r\n{body}").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"0\r\n\r\n") {
        match stream.read_buf(&mut answer).await {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => return (String::from_utf8(answer).unwrap(), Err(error)),
        }
    }
    (String::from_utf8(answer).unwrap(), Ok(()))
}

/// The events of an SSE body.
fn events(body: &str) -> Vec<Value> {
    let data = body.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap()).collect()
}

fn kind(event: &Value) -> String {
    event["type"].as_str().unwrap().to_owned()
}

fn kinds(events: &[Value]) -> Vec<String> {
    events.iter().map(kind).collect()
}

/// The text of the first message in a terminal event.
fn text_of(event: &Value) -> &str {
    event["response"]["output"][0]["content"][0]["text"].as_str().unwrap_or_default()
}

/// The history as texts, as an answer; `-` stands for an item without one.
fn texts_of_history(exchange: &Exchange) -> Turn {
    let texts = exchange.history.iter().map(|item| match &item["content"] {
        Value::String(text) => text.clone(),
        content => content[0]["text"].as_str().unwrap_or("-").to_owned(),
    });
    Turn::text(texts.collect::<Vec<_>>().join("|"))
}

const ENDINGS: [&str; 3] = ["response.completed", "response.incomplete", "response.failed"];
