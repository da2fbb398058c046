//! Messages of the client.

use tokio_tungstenite::tungstenite::{Error, Message};

use crate::testing::server::connection::Connection;

/// Meaning of a message of the client.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ClientMessage {
    Request(String),
    /// A frame that is no request.
    Control,
    /// A message larger than the server accepts.
    TooLarge,
    /// The end of the connection.
    End,
}

/// Logs a message of the client, and returns its meaning.
pub(super) fn receive(
    connection: &Connection,
    message: Option<Result<Message, Error>>,
) -> ClientMessage {
    let Connection { hub, index, .. } = connection;
    match message {
        Some(Ok(Message::Text(text))) => ClientMessage::Request(text.as_str().to_owned()),
        // An empty text is no JSON, so that the request is refused as such.
        Some(Ok(Message::Binary(_))) => ClientMessage::Request(String::new()),
        Some(Ok(Message::Ping(_))) => {
            hub.note(*index, |log| log.pings += 1);
            ClientMessage::Control
        }
        Some(Ok(Message::Pong(_))) => {
            hub.note(*index, |log| log.pongs += 1);
            ClientMessage::Control
        }
        Some(Ok(Message::Close(frame))) => {
            let code = frame.map(|frame| frame.code.into());
            hub.note(*index, |log| log.close_code = code);
            hub.closed(*index);
            ClientMessage::End
        }
        Some(Ok(Message::Frame(_))) => ClientMessage::Control,
        Some(Err(Error::Capacity(_))) => ClientMessage::TooLarge,
        Some(Err(_)) | None => ClientMessage::End,
    }
}
