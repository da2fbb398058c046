//! The server's side of WebSockets: the handshake and frames.

use bytes::Bytes;
use http::{HeaderMap, header};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        handshake::derive_accept_key,
        protocol::{
            CloseFrame, Role, WebSocketConfig,
            frame::{
                Frame,
                coding::{Data, OpCode},
            },
        },
    },
};

/// The connection below tungstenite.
#[cfg(feature = "deflate")]
pub(crate) type ServerIo = super::deflate::DeflateIo<TokioIo<Upgraded>>;
/// The connection below tungstenite.
#[cfg(not(feature = "deflate"))]
pub(crate) type ServerIo = TokioIo<Upgraded>;

/// The server's side of a WebSocket.
pub(crate) type ServerSocket = WebSocketStream<ServerIo>;

/// Returns `true` if a request with these headers asks for a WebSocket.
pub(crate) fn is_upgrade(headers: &HeaderMap) -> bool {
    let upgrade = headers.get(header::UPGRADE);
    upgrade.is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Returns the headers of the 101 that accepts a client with this key.
pub(crate) fn accept_headers(key: &[u8]) -> Vec<(String, String)> {
    vec![
        ("upgrade".to_owned(), "websocket".to_owned()),
        ("connection".to_owned(), "Upgrade".to_owned()),
        ("sec-websocket-accept".to_owned(), derive_accept_key(key)),
    ]
}

/// Returns the WebSocket of an upgraded connection, which takes messages up to `limit` bytes.
/// `deflate` is the answer to a client that offered `permessage-deflate`.
pub(crate) async fn accept(
    upgraded: Upgraded,
    limit: Option<u64>,
    deflate: Option<&str>,
) -> ServerSocket {
    let limit = limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let config = WebSocketConfig::default().max_message_size(limit).max_frame_size(limit);
    let io = TokioIo::new(upgraded);
    #[cfg(feature = "deflate")]
    let io = ServerIo::new(io, deflate);
    #[cfg(not(feature = "deflate"))]
    let _ = deflate;
    ServerSocket::from_raw_socket(io, Role::Server, Some(config)).await
}

/// Returns a Close frame, without a payload if there is no code.
pub(crate) fn close_message(code: Option<u16>, reason: &str) -> Message {
    Message::Close(code.map(|code| CloseFrame { code: code.into(), reason: reason.into() }))
}

/// Returns a complete text frame of any bytes; tungstenite does not check that they are UTF-8.
pub(crate) fn unchecked_text(bytes: Bytes) -> Message {
    data_frame(bytes, Data::Text, true)
}

/// Returns a complete text frame that is marked as compressed, with this payload.
pub(crate) fn deflated_text(payload: Bytes) -> Message {
    let mut frame = Frame::message(payload, OpCode::Data(Data::Text), true);
    frame.header_mut().rsv1 = true;
    Message::Frame(frame)
}

/// Returns the first fragment of a message that does not end.
pub(crate) fn first_fragment(bytes: Bytes) -> Message {
    data_frame(bytes, Data::Text, false)
}

/// Returns the fragments of a text message.
pub(crate) fn fragments(pieces: Vec<Bytes>) -> Vec<Message> {
    let last = pieces.len().saturating_sub(1);
    let frame = |(index, piece)| {
        let kind = if index == 0 { Data::Text } else { Data::Continue };
        data_frame(piece, kind, index == last)
    };
    pieces.into_iter().enumerate().map(frame).collect()
}

fn data_frame(bytes: Bytes, kind: Data, is_final: bool) -> Message {
    Message::Frame(Frame::message(bytes, OpCode::Data(kind), is_final))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fragmented_message_begins_with_text_and_ends_with_its_last_piece() {
        let frames = fragments(["a", "b", "c"].map(Bytes::from).to_vec());
        let shown: Vec<_> = frames
            .iter()
            .map(|message| match message {
                Message::Frame(frame) => (frame.header().opcode, frame.header().is_final),
                other => panic!("not a frame: {other:?}"),
            })
            .collect();
        let (text, next) = (OpCode::Data(Data::Text), OpCode::Data(Data::Continue));
        assert_eq!(shown, [(text, false), (next, false), (next, true)]);
    }

    #[test]
    fn the_answer_to_a_key_is_that_of_the_standard() {
        let headers = accept_headers(b"dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(headers[2].1, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
