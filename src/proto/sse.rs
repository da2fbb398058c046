//! Server-sent events: decodes the bytes of a body into the names and the data of its events.
//!
//! The decoder follows the WHATWG rules: LF, CR and CRLF end a line. A leading byte-order mark is
//! skipped. `data` lines are joined by LF, the last `event` line names the event, one space after
//! the colon is dropped, and comments and other fields are skipped.
//!
//! The decoder is lenient where servers are not exact. [`Decoder::finish`] returns an event whose
//! blank line is missing, and invalid UTF-8 affects only its own event.
//!
//! Each byte is scanned once and copied at most once, however the body is cut into pieces. An event
//! within one piece is not copied.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use memchr::memchr2;

/// Decodes the pieces of a body into events.
#[derive(Debug)]
pub(crate) struct Decoder {
    limit: usize,
    /// Pieces that were not scanned yet.
    pieces: VecDeque<Bytes>,
    /// Start of a line, from earlier pieces.
    line: BytesMut,
    /// Value of the last `event` line of the current event.
    name: Bytes,
    data: Data,
    at: Place,
}

/// Server-sent event.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SseEvent {
    /// The name of the event. Empty if the event has none, or one that is not UTF-8.
    pub(crate) name: ByteString,
    /// The data of the event. `None` if it is not UTF-8.
    pub(crate) data: Option<ByteString>,
}

/// Error of a line or an event that exceeds the limit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

/// The `data` lines of the current event.
#[derive(Debug)]
enum Data {
    None,
    One(Bytes),
    Many(BytesMut),
}

/// Position of the next byte in the body.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// At the start, where a byte-order mark may stand.
    Start,
    /// After a CR, whose LF may follow.
    BehindCr,
    /// Anywhere else.
    Inside,
}

const BOM: &[u8] = b"\xef\xbb\xbf";

impl Decoder {
    /// Returns a decoder for lines and events of at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            pieces: VecDeque::new(),
            line: BytesMut::new(),
            name: Bytes::new(),
            data: Data::None,
            at: Place::Start,
        }
    }

    /// Takes the next piece of the body. Call [`next_event`](Self::next_event) afterwards until it
    /// returns `None`.
    pub(crate) fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.pieces.push_back(piece);
        }
    }

    /// Returns the next event of the pushed pieces.
    pub(crate) fn next_event(&mut self) -> Result<Option<SseEvent>, TooLong> {
        while let Some(mut piece) = self.pieces.pop_front() {
            // A CRLF may be split between two pieces.
            if self.at == Place::BehindCr {
                self.at = Place::Inside;
                if piece.first() == Some(&b'\n') {
                    piece = piece.slice(1..);
                }
            }
            let Some(end) = memchr2(b'\n', b'\r', &piece) else {
                self.extend_line(&piece)?;
                continue;
            };
            let cr = piece.get(end) == Some(&b'\r');
            let head = piece.slice(..end);
            let rest = piece.slice(end + 1..);
            if !rest.is_empty() {
                self.pieces.push_front(rest);
            }
            let line = if self.line.is_empty() {
                head
            } else {
                self.extend_line(&head)?;
                self.line.split().freeze()
            };
            let line = self.without_bom(line);
            self.at = if cr { Place::BehindCr } else { Place::Inside };
            if let Some(event) = self.take_line(line)? {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// Returns the last event if the body ended without its blank line. The standard drops such an
    /// event; several gateways end the body directly after it.
    pub(crate) fn finish(&mut self) -> Result<Option<SseEvent>, TooLong> {
        if !self.line.is_empty() {
            let line = self.line.split().freeze();
            let line = self.without_bom(line);
            self.take_line(line)?;
        }
        Ok(self.take_event())
    }

    /// Returns the number of bytes held for an unfinished event.
    pub(crate) fn buffered(&self) -> usize {
        self.line.len() + self.name.len() + self.data.len()
    }

    fn extend_line(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        if self.buffered() + bytes.len() > self.limit {
            return Err(TooLong);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn without_bom(&self, line: Bytes) -> Bytes {
        if self.at == Place::Start && line.starts_with(BOM) {
            line.slice(BOM.len()..)
        } else {
            line
        }
    }

    /// Takes a line without its line end. An empty line ends the event.
    fn take_line(&mut self, line: Bytes) -> Result<Option<SseEvent>, TooLong> {
        if line.is_empty() {
            return Ok(self.take_event());
        }
        if let Some(value) = value(&line, b"data") {
            self.add_data(value)?;
        } else if let Some(value) = value(&line, b"event") {
            // A long name must not bypass the limit.
            if self.data.len() + value.len() > self.limit {
                return Err(TooLong);
            }
            self.name = value;
        }
        Ok(None)
    }

    fn add_data(&mut self, value: Bytes) -> Result<(), TooLong> {
        // The LF that joins the lines is part of the data.
        let joined = match self.data {
            Data::None => value.len(),
            Data::One(_) | Data::Many(_) => self.data.len() + 1 + value.len(),
        };
        if joined > self.limit {
            return Err(TooLong);
        }
        self.data = match std::mem::replace(&mut self.data, Data::None) {
            Data::None => Data::One(value),
            Data::One(first) => {
                // The first line stays a slice of its piece until a second one arrives.
                let mut all = BytesMut::with_capacity(joined);
                all.extend_from_slice(&first);
                Data::Many(all).with_line(&value)
            }
            all @ Data::Many(_) => all.with_line(&value),
        };
        Ok(())
    }

    fn take_event(&mut self) -> Option<SseEvent> {
        // A name without data is not an event, and does not name the next one.
        let name = std::mem::take(&mut self.name);
        let data = match std::mem::replace(&mut self.data, Data::None) {
            Data::None => return None,
            Data::One(data) => data,
            Data::Many(data) => data.freeze(),
        };
        Some(SseEvent {
            // Invalid UTF-8 affects only this event; the stream continues.
            name: ByteString::try_from(name).unwrap_or_default(),
            data: ByteString::try_from(data).ok(),
        })
    }
}

/// Returns the value of a line if its field is `field`.
fn value(line: &Bytes, field: &[u8]) -> Option<Bytes> {
    let start = match line.strip_prefix(field)? {
        [] => line.len(),
        [b':', b' ', ..] => field.len() + 2,
        [b':', ..] => field.len() + 1,
        // Another field, whose name only begins with `field`.
        _ => return None,
    };
    Some(line.slice(start..))
}

impl Data {
    fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(data) => data.len(),
            Self::Many(data) => data.len(),
        }
    }

    fn with_line(mut self, line: &[u8]) -> Self {
        if let Self::Many(data) = &mut self {
            data.extend_from_slice(b"\n");
            data.extend_from_slice(line);
        }
        self
    }
}

#[cfg(test)]
mod tests;
