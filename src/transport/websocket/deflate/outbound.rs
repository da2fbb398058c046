//! Compresses the messages that are sent.

use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::frame::{
        Frame,
        coding::{Data, OpCode},
    },
};

use crate::proto::deflate::Direction;

/// Bytes of a message that are compressed at a time, which takes about a millisecond. A longer
/// message becomes several frames.
const PIECE: usize = 64 << 10;
/// End of a message, which is not sent.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// Bytes of the mask that tungstenite adds to a frame.
const MASK: usize = 4;
/// Base-2 logarithm of the smallest window of the compressor. A server that allows only half of it
/// receives uncompressed messages.
const MIN_BITS: u8 = 9;

/// Compresses messages, one after the other.
pub(in crate::transport::websocket) struct Outbound {
    state: Compress,
    context_takeover: bool,
    /// The message, from its beginning; `None` between messages.
    message: Option<Bytes>,
    /// `true` until the first frame of the message.
    is_first: bool,
    /// Bytes of the frames of the message so far, on the connection.
    size: u64,
}

impl Outbound {
    /// Returns a compressor; `None` if messages cannot be compressed with these parameters.
    pub(in crate::transport::websocket) fn new(direction: Direction) -> Option<Self> {
        let Direction { context_takeover, window_bits } = direction;
        if window_bits < MIN_BITS {
            return None;
        }
        let state = Compress::new_with_window_bits(Compression::default(), false, window_bits);
        Some(Self { state, context_takeover, message: None, is_first: false, size: 0 })
    }

    /// Begins a message. The one before must have ended.
    pub(in crate::transport::websocket) fn begin(&mut self, message: String) {
        self.message = Some(message.into());
        self.is_first = true;
        self.size = 0;
    }

    /// Returns the bytes of all frames of the message so far, with their headers and masks.
    pub(in crate::transport::websocket) fn size(&self) -> u64 {
        self.size
    }

    /// Returns the next frame of the message; `None` once the message has ended.
    pub(in crate::transport::websocket) fn next_frame(&mut self) -> Option<Message> {
        loop {
            let message = self.message.as_mut()?;
            let piece = message.split_to(message.len().min(PIECE));
            let is_last = message.is_empty();
            let mut payload = self.compress(&piece, is_last);
            if is_last {
                match payload.ends_with(&TAIL) {
                    true => payload.truncate(payload.len() - TAIL.len()),
                    // The compressor ends nothing twice. This is the empty message.
                    false => payload = vec![0],
                }
                self.message = None;
                if !self.context_takeover {
                    self.state.reset();
                }
            } else if payload.is_empty() {
                // The compressor has kept everything for the next frame.
                continue;
            }
            let is_first = std::mem::take(&mut self.is_first);
            let kind = if is_first { Data::Text } else { Data::Continue };
            let mut frame = Frame::message(payload, OpCode::Data(kind), is_last);
            frame.header_mut().rsv1 = is_first;
            self.size += (frame.len() + MASK) as u64;
            return Some(Message::Frame(frame));
        }
    }

    fn compress(&mut self, mut piece: &[u8], is_last: bool) -> Vec<u8> {
        let flush = if is_last { FlushCompress::Sync } else { FlushCompress::None };
        let mut payload = Vec::new();
        loop {
            // What compresses well needs no second round.
            payload.reserve((piece.len() / 2).max(64));
            let read = self.state.total_in();
            // The compressor knows no errors besides a lack of input or room.
            let result = self.state.compress_vec(piece, &mut payload, flush);
            let read = usize::try_from(self.state.total_in() - read).unwrap_or(usize::MAX);
            piece = piece.get(read..).unwrap_or_default();
            if result.is_err() || (piece.is_empty() && payload.len() < payload.capacity()) {
                return payload;
            }
        }
    }
}
