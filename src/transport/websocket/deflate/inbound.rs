//! Takes the compressed messages out of the bytes of a connection.

use std::{
    io::{self, Cursor},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Data, OpCode},
};

use super::inflate::{InflateError, Inflater};
use crate::proto::{deflate::Direction, wire::READ_BUFFER};

/// Pieces of messages that are inflated before other tasks may run.
const BATCH: usize = 16;
/// Compressed bytes of a piece. A hostile one has a thousand times as many bytes.
const PIECE: usize = 1 << 10;

/// A connection of which tungstenite reads all but the compressed messages.
pub(in crate::transport::websocket) struct Inflating<T> {
    io: T,
    inbound: Option<Box<Inbound>>,
}

/// A compressed message, inflated.
pub(in crate::transport::websocket) enum Message {
    Text(Bytes),
    Binary,
}

/// Reader of the frames of the server.
struct Inbound {
    inflater: Inflater,
    buffer: Box<[u8]>,
    /// Bytes of `buffer` that were received and not yet read.
    unread: std::ops::Range<usize>,
    /// Remaining bytes of a frame that tungstenite reads, its header included.
    passing: u64,
    /// A frame of the compressed message.
    frame: Option<CompressedFrame>,
    open: OpenMessage,
    complete: Option<Message>,
    /// Failure after bytes that tungstenite reads first.
    failure: Option<InflateError>,
}

struct CompressedFrame {
    /// Remaining bytes of the payload.
    rest: u64,
    is_final: bool,
}

/// Message whose last frame has not begun, control frames aside.
#[derive(Clone, Copy)]
enum OpenMessage {
    None,
    Plain,
    Compressed { is_text: bool },
}

impl<T> Inflating<T> {
    /// Returns a connection without compression.
    pub(in crate::transport::websocket) fn new(io: T) -> Self {
        Self { io, inbound: None }
    }

    /// Inflates the messages, which have at most `limit` bytes each.
    pub(in crate::transport::websocket) fn inflate(&mut self, direction: Direction, limit: usize) {
        self.inbound = Some(Box::new(Inbound {
            inflater: Inflater::new(direction, limit),
            buffer: vec![0; READ_BUFFER].into(),
            unread: 0..0,
            passing: 0,
            frame: None,
            open: OpenMessage::None,
            complete: None,
            failure: None,
        }));
    }

    pub(in crate::transport::websocket) fn get_ref(&self) -> &T {
        &self.io
    }

    pub(in crate::transport::websocket) fn get_mut(&mut self) -> &mut T {
        &mut self.io
    }

    /// Takes the complete message before which reading has stopped.
    pub(in crate::transport::websocket) fn take_message(&mut self) -> Option<Message> {
        self.inbound.as_mut()?.complete.take()
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Inflating<T> {
    /// Reads bytes of frames for tungstenite. After a compressed message, nothing is read and no
    /// waker is kept until the caller has taken the message.
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { io, inbound } = self.get_mut();
        let Some(inbound) = inbound else { return Pin::new(io).poll_read(cx, buf) };
        let mut pieces = 0;
        while pieces < BATCH {
            match inbound.step(buf).map_err(io::Error::other)? {
                Step::Passed => {}
                // tungstenite reads what came before the message first.
                Step::Consumed | Step::Complete | Step::NeedsInput if !buf.filled().is_empty() => {
                    return Poll::Ready(Ok(()));
                }
                Step::Consumed => pieces += 1,
                Step::Complete => return Poll::Pending,
                Step::NeedsInput => {
                    if ready!(inbound.poll_fill(Pin::new(&mut *io), cx))? == 0 {
                        return Poll::Ready(Ok(()));
                    }
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Progress of reading.
enum Step {
    /// Bytes were passed on.
    Passed,
    /// A compressed message is complete.
    Complete,
    /// Bytes of a compressed message were consumed.
    Consumed,
    NeedsInput,
}

impl Inbound {
    fn step(&mut self, out: &mut ReadBuf<'_>) -> Result<Step, InflateError> {
        if self.complete.is_some() {
            return Ok(Step::Complete);
        }
        let step = self.failure.map_or_else(|| self.next(out), Err);
        self.failure = step.as_ref().err().copied();
        match step {
            // The caller returns what was passed on, and comes back for the failure.
            Err(_) if !out.filled().is_empty() => Ok(Step::NeedsInput),
            step => step,
        }
    }

    fn next(&mut self, out: &mut ReadBuf<'_>) -> Result<Step, InflateError> {
        let input = self.buffer.get(self.unread.clone()).unwrap_or_default();
        if let Some(frame) = &mut self.frame {
            let taken = at_most(input.len().min(PIECE), frame.rest);
            if taken == 0 && frame.rest > 0 {
                return Ok(Step::NeedsInput);
            }
            frame.rest -= taken as u64;
            self.inflater.push(input.get(..taken).unwrap_or_default())?;
            self.unread.start += taken;
            return self.end_frame();
        }
        if self.passing == 0 {
            let mut cursor = Cursor::new(input);
            match FrameHeader::parse(&mut cursor) {
                Ok(Some((header, length))) => {
                    // A length may take more bytes than it needs.
                    let size = usize::try_from(cursor.position()).unwrap_or(input.len());
                    self.begin_frame(&header, size, length)?;
                }
                Ok(None) => return Ok(Step::NeedsInput),
                // tungstenite reads the header again, and returns its error.
                Err(_) => self.passing = u64::MAX,
            }
            if self.frame.is_some() {
                return Ok(Step::Consumed);
            }
        }
        let input = self.buffer.get(self.unread.clone()).unwrap_or_default();
        let passed = at_most(input.len().min(out.remaining()), self.passing);
        if passed == 0 {
            // A full buffer goes to the caller as it is.
            return Ok(Step::NeedsInput);
        }
        out.put_slice(input.get(..passed).unwrap_or_default());
        self.unread.start += passed;
        self.passing -= passed as u64;
        Ok(Step::Passed)
    }

    /// Decides whether tungstenite reads a frame. The header has `size` bytes, the payload `length`.
    fn begin_frame(
        &mut self,
        header: &FrameHeader,
        size: usize,
        length: u64,
    ) -> Result<(), InflateError> {
        let FrameHeader { is_final, rsv1, rsv2, rsv3, opcode, mask } = *header;
        // tungstenite refuses such frames.
        let is_valid = !rsv2 && !rsv3 && mask.is_none();
        let is_compressed = match (opcode, self.open) {
            (OpCode::Data(Data::Text | Data::Binary), OpenMessage::None) if rsv1 && is_valid => {
                self.open = OpenMessage::Compressed { is_text: opcode == OpCode::Data(Data::Text) };
                true
            }
            (OpCode::Data(Data::Continue), OpenMessage::Compressed { .. }) => !rsv1 && is_valid,
            (OpCode::Data(_), OpenMessage::Compressed { .. }) => {
                return Err(InflateError::Interrupted);
            }
            (OpCode::Data(_), _) => {
                self.open = if is_final { OpenMessage::None } else { OpenMessage::Plain };
                false
            }
            (OpCode::Control(_), _) => false,
        };
        if is_compressed {
            self.unread.start += size;
            self.frame = Some(CompressedFrame { rest: length, is_final });
        } else {
            self.passing = length.saturating_add(size as u64);
        }
        Ok(())
    }

    /// Ends the frame, and the message with its last frame.
    fn end_frame(&mut self) -> Result<Step, InflateError> {
        let Some(frame) = self.frame.take_if(|frame| frame.rest == 0) else {
            return Ok(Step::Consumed);
        };
        if !frame.is_final {
            return Ok(Step::Consumed);
        }
        let message = self.inflater.finish()?;
        self.complete = Some(match std::mem::replace(&mut self.open, OpenMessage::None) {
            OpenMessage::Compressed { is_text: false } => Message::Binary,
            _ => Message::Text(message.into()),
        });
        Ok(Step::Complete)
    }

    /// Reads from the connection. Returns the number of bytes, 0 at its end.
    fn poll_fill(
        &mut self,
        io: Pin<&mut impl AsyncRead>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        // At most the beginning of a header is unread.
        self.buffer.copy_within(self.unread.clone(), 0);
        self.unread = 0..self.unread.len();
        let mut buffer = ReadBuf::new(self.buffer.get_mut(self.unread.end..).unwrap_or_default());
        ready!(io.poll_read(cx, &mut buffer))?;
        let read = buffer.filled().len();
        self.unread.end += read;
        Poll::Ready(Ok(read))
    }
}

fn at_most(bytes: usize, limit: u64) -> usize {
    usize::try_from(limit).map_or(bytes, |limit| bytes.min(limit))
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Inflating<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}
