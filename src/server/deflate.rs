//! permessage-deflate (RFC 7692) for the server's side of a WebSocket.
//!
//! tungstenite sees only uncompressed frames: each frame is rewritten on its way. Nothing here is
//! shared with the client's side, so that a mistake of one does not hide in the other.

use std::{
    io::{self, Write as _},
    pin::Pin,
    task::{Context, Poll, ready},
};

use flate2::{
    Compression,
    write::{DeflateDecoder, DeflateEncoder},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// First byte of a frame: the last one of its message.
const FIN: u8 = 0x80;
/// First byte of a frame: the first one of a compressed message.
const RSV1: u8 = 0x40;
/// Second byte of a frame: the payload is masked.
const MASKED: u8 = 0x80;
/// Bytes at the end of a compressed message, which are not sent.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// Bytes that wait to be written before no more are accepted.
const MAX_WAITING: usize = 64 << 10;

/// A connection whose messages are compressed, unless the server declined.
#[derive(Debug)]
pub(crate) struct DeflateIo<T> {
    io: T,
    codec: Option<Box<Codec>>,
}

#[derive(Debug)]
struct Codec {
    received: Frames,
    sent: Frames,
    inflater: DeflateDecoder<Vec<u8>>,
    deflater: DeflateEncoder<Vec<u8>>,
    /// Contexts are dropped after each message: that of the client, that of the server.
    forgets: (bool, bool),
    /// Rewritten bytes that wait to be read.
    readable: Vec<u8>,
    /// Rewritten bytes that wait to be written.
    writable: Vec<u8>,
}

/// Bytes in one direction.
#[derive(Debug, Default)]
struct Frames {
    /// The beginning of a frame.
    partial: Vec<u8>,
    /// The message in progress is compressed.
    is_compressed: bool,
}

/// A complete frame.
struct Frame {
    first: u8,
    mask: Option<[u8; 4]>,
    /// Unmasked.
    payload: Vec<u8>,
    /// The frame, byte for byte.
    bytes: Vec<u8>,
}

impl<T> DeflateIo<T> {
    /// Returns a connection on which the server has answered an offer with `answer`.
    pub(crate) fn new(io: T, answer: Option<&str>) -> Self {
        let codec = answer.map(|answer| {
            let names = |name| answer.split(';').any(|part| part.trim() == name);
            Box::new(Codec {
                received: Frames::default(),
                sent: Frames::default(),
                inflater: DeflateDecoder::new(Vec::new()),
                deflater: DeflateEncoder::new(Vec::new(), Compression::default()),
                forgets: (names("client_no_context_takeover"), names("server_no_context_takeover")),
                readable: Vec::new(),
                writable: Vec::new(),
            })
        });
        Self { io, codec }
    }
}

impl Frames {
    /// Takes the next complete frame.
    fn next(&mut self) -> Option<Frame> {
        let [first, second, ..] = *self.partial.as_slice() else { return None };
        let (length, at) = match second & 0x7f {
            126 => (u64::from(u16::from_be_bytes(*self.partial.get(2..)?.first_chunk()?)), 4),
            127 => (u64::from_be_bytes(*self.partial.get(2..)?.first_chunk()?), 10),
            length => (u64::from(length), 2),
        };
        let mask = match second & MASKED {
            0 => None,
            _ => Some(*self.partial.get(at..)?.first_chunk::<4>()?),
        };
        let begin = at + mask.map_or(0, |mask| mask.len());
        let end = begin.checked_add(usize::try_from(length).ok()?)?;
        let mut payload = self.partial.get(begin..end)?.to_vec();
        if let Some(mask) = mask {
            payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
        }
        let rest = self.partial.split_off(end);
        let bytes = std::mem::replace(&mut self.partial, rest);
        Some(Frame { first, mask, payload, bytes })
    }
}

impl Frame {
    fn is_control(&self) -> bool {
        self.first & 0x08 != 0
    }

    fn is_continuation(&self) -> bool {
        self.first & 0x0f == 0
    }

    fn is_final(&self) -> bool {
        self.first & FIN != 0
    }

    /// Appends the frame with another first byte and payload. The key of a mask becomes 0.
    fn rewrite(&self, first: u8, payload: &[u8], out: &mut Vec<u8>) {
        let masked = if self.mask.is_some() { MASKED } else { 0 };
        out.push(first);
        match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
            (Ok(length @ ..126), _) => out.push(masked | length),
            (_, Ok(length)) => {
                out.push(masked | 126);
                out.extend(length.to_be_bytes());
            }
            _ => {
                out.push(masked | 127);
                out.extend((payload.len() as u64).to_be_bytes());
            }
        }
        out.extend(self.mask.map(|_| [0; 4]).iter().flatten());
        out.extend(payload);
    }
}

impl Codec {
    /// Inflates what the client sent.
    fn receive(&mut self, bytes: &[u8]) {
        self.received.partial.extend(bytes);
        while let Some(frame) = self.received.next() {
            if !frame.is_control() && !frame.is_continuation() {
                self.received.is_compressed = frame.first & RSV1 != 0;
            }
            if frame.is_control() || !self.received.is_compressed {
                self.readable.extend(frame.bytes);
                continue;
            }
            let tail: &[u8] = if frame.is_final() { &TAIL } else { &[] };
            let inflater = &mut self.inflater;
            let inflated = inflater.write_all(&frame.payload);
            let inflated = inflated.and_then(|()| inflater.write_all(tail));
            if inflated.and_then(|()| inflater.flush()).is_err() {
                // tungstenite refuses the frame as it is.
                self.readable.extend(frame.bytes);
                continue;
            }
            let payload = std::mem::take(self.inflater.get_mut());
            frame.rewrite(frame.first & !RSV1, &payload, &mut self.readable);
            if frame.is_final() && self.forgets.0 {
                self.inflater = DeflateDecoder::new(Vec::new());
            }
        }
    }

    /// Deflates what the server sends.
    fn send(&mut self, bytes: &[u8]) {
        self.sent.partial.extend(bytes);
        while let Some(frame) = self.sent.next() {
            // A script may send a frame that is already marked as compressed.
            if frame.is_control() || frame.first & RSV1 != 0 {
                self.writable.extend(frame.bytes);
                continue;
            }
            let deflater = &mut self.deflater;
            let deflated = deflater.write_all(&frame.payload).and_then(|()| deflater.flush());
            let mut payload = std::mem::take(self.deflater.get_mut());
            if deflated.is_err() || payload.is_empty() {
                payload.push(0);
            }
            if frame.is_final() && payload.ends_with(&TAIL) {
                payload.truncate(payload.len() - TAIL.len());
            }
            let mark = if frame.is_continuation() { 0 } else { RSV1 };
            frame.rewrite(frame.first | mark, &payload, &mut self.writable);
            if frame.is_final() && self.forgets.1 {
                self.deflater = DeflateEncoder::new(Vec::new(), Compression::default());
            }
        }
    }
}

impl<T: AsyncWrite + Unpin> DeflateIo<T> {
    /// Writes what waits, until at most `limit` bytes wait.
    fn poll_drain(&mut self, cx: &mut Context<'_>, limit: usize) -> Poll<io::Result<()>> {
        let Some(codec) = &mut self.codec else { return Poll::Ready(Ok(())) };
        while codec.writable.len() > limit {
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, &codec.writable))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            codec.writable.drain(..written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for DeflateIo<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { io, codec } = self.get_mut();
        let Some(codec) = codec else { return Pin::new(io).poll_read(cx, buf) };
        while codec.readable.is_empty() {
            let mut bytes = [0; 4096];
            let mut read = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut *io).poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            codec.receive(read.filled());
        }
        let length = codec.readable.len().min(buf.remaining());
        buf.put_slice(codec.readable.drain(..length).as_slice());
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for DeflateIo<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx, MAX_WAITING))?;
        let Some(codec) = &mut this.codec else {
            return Pin::new(&mut this.io).poll_write(cx, bytes);
        };
        codec.send(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx, 0))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx, 0))?;
        Pin::new(&mut this.io).poll_shutdown(cx)
    }
}
