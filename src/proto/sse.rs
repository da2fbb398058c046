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

use std::{collections::VecDeque, ops::Range};

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use memchr::memchr2;

/// Decodes the pieces of a body into events.
#[derive(Debug)]
pub(crate) struct Decoder {
    limit: usize,
    /// Pieces after the current one.
    pieces: VecDeque<Bytes>,
    piece: Bytes,
    /// Position of the first byte of the piece that was not scanned yet.
    at: usize,
    /// Start of a line, from earlier pieces.
    line: BytesMut,
    /// Value of the last `event` line of the current event.
    name: Value,
    /// Name of the last event.
    last_name: Value,
    data: Data,
    place: Place,
}

/// Server-sent event.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SseEvent<'a> {
    /// The name of the event. Empty if the event has none, or one that is not UTF-8.
    pub(crate) name: &'a str,
    /// The data of the event. `None` if it is not UTF-8.
    pub(crate) data: Option<ByteString>,
}

/// Error of a line or an event that exceeds the limit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

/// Value of a line.
#[derive(Debug)]
enum Value {
    /// In the current piece.
    Here(Range<usize>),
    Owned(Bytes),
}

/// The `data` lines of the current event.
#[derive(Debug)]
enum Data {
    None,
    One(Value),
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
            piece: Bytes::new(),
            at: 0,
            line: BytesMut::new(),
            name: Value::NONE,
            last_name: Value::NONE,
            data: Data::None,
            place: Place::Start,
        }
    }

    /// Takes the next piece of the body. Call [`next_event`](Self::next_event) afterwards until it
    /// returns `None`.
    pub(crate) fn push(&mut self, piece: Bytes) {
        self.pieces.push_back(piece);
    }

    /// Returns the next event of the pushed pieces.
    pub(crate) fn next_event(&mut self) -> Result<Option<SseEvent<'_>>, TooLong> {
        loop {
            let rest = self.piece.get(self.at..).unwrap_or_default();
            // A CRLF may be split between two pieces.
            if self.place == Place::BehindCr && !rest.is_empty() {
                self.place = Place::Inside;
                if rest.starts_with(b"\n") {
                    self.at += 1;
                    continue;
                }
            }
            let Some(length) = memchr2(b'\n', b'\r', rest) else {
                self.end_piece()?;
                match self.pieces.pop_front() {
                    Some(piece) => self.piece = piece,
                    None => return Ok(None),
                }
                continue;
            };
            let has_cr = rest.get(length) == Some(&b'\r');
            let line = self.at..self.at + length;
            self.at = line.end + 1;
            let ends_event = if self.line.is_empty() {
                self.take_line(Value::Here(line))?
            } else {
                self.extend_line(line)?;
                let line = self.line.split().freeze();
                self.take_line(Value::Owned(line))?
            };
            self.place = if has_cr { Place::BehindCr } else { Place::Inside };
            if ends_event {
                // A name without data is not an event, and does not name the next one.
                self.last_name = std::mem::replace(&mut self.name, Value::NONE);
                if !matches!(self.data, Data::None) {
                    return Ok(self.take_event());
                }
            }
        }
    }

    /// Returns the last event if the body ended without its blank line. The standard drops such an
    /// event; several gateways end the body directly after it.
    pub(crate) fn finish(&mut self) -> Result<Option<SseEvent<'_>>, TooLong> {
        if !self.line.is_empty() {
            let line = self.line.split().freeze();
            self.take_line(Value::Owned(line))?;
        }
        self.last_name = std::mem::replace(&mut self.name, Value::NONE);
        Ok(self.take_event())
    }

    /// Returns the number of bytes held for an unfinished event.
    pub(crate) fn buffered(&self) -> usize {
        self.line.len() + self.name.len() + self.data.len()
    }

    /// Keeps what the next pieces complete.
    fn end_piece(&mut self) -> Result<(), TooLong> {
        if self.at < self.piece.len() {
            self.extend_line(self.at..self.piece.len())?;
        }
        for value in [Some(&mut self.name), self.data.one_mut()].into_iter().flatten() {
            *value = Value::Owned(value.bytes(&self.piece));
        }
        (self.piece, self.at) = (Bytes::new(), 0);
        Ok(())
    }

    /// Adds a part of the piece to the line.
    fn extend_line(&mut self, part: Range<usize>) -> Result<(), TooLong> {
        if self.buffered() + part.len() > self.limit {
            return Err(TooLong);
        }
        self.line.extend_from_slice(self.piece.get(part).unwrap_or_default());
        Ok(())
    }

    /// Takes a line without its line end. Returns `true` if the line ends the event.
    fn take_line(&mut self, mut line: Value) -> Result<bool, TooLong> {
        if self.place == Place::Start && line.text(&self.piece).starts_with(BOM) {
            line.skip(BOM.len());
        }
        let text = line.text(&self.piece);
        if text.is_empty() {
            return Ok(true);
        }
        if let Some(start) = value_start(text, b"data") {
            line.skip(start);
            self.add_data(line)?;
        } else if let Some(start) = value_start(text, b"event") {
            line.skip(start);
            // A long name must not bypass the limit.
            if self.data.len() + line.len() > self.limit {
                return Err(TooLong);
            }
            self.name = line;
        }
        Ok(false)
    }

    fn add_data(&mut self, line: Value) -> Result<(), TooLong> {
        // The LF that joins the lines is part of the data.
        let joined = match self.data {
            Data::None => line.len(),
            Data::One(_) | Data::Many(_) => self.data.len() + 1 + line.len(),
        };
        if joined > self.limit {
            return Err(TooLong);
        }
        let mut all = match std::mem::replace(&mut self.data, Data::None) {
            // The first line stays a slice of its piece until a second one arrives.
            Data::None => {
                self.data = Data::One(line);
                return Ok(());
            }
            Data::One(first) => {
                let mut all = BytesMut::with_capacity(joined);
                all.extend_from_slice(first.text(&self.piece));
                all
            }
            Data::Many(all) => all,
        };
        all.extend_from_slice(b"\n");
        all.extend_from_slice(line.text(&self.piece));
        self.data = Data::Many(all);
        Ok(())
    }

    fn take_event(&mut self) -> Option<SseEvent<'_>> {
        let data = match std::mem::replace(&mut self.data, Data::None) {
            Data::None => return None,
            Data::One(data) => data.bytes(&self.piece),
            Data::Many(data) => data.freeze(),
        };
        Some(SseEvent {
            // Invalid UTF-8 affects only this event; the stream continues.
            name: std::str::from_utf8(self.last_name.text(&self.piece)).unwrap_or_default(),
            data: ByteString::try_from(data).ok(),
        })
    }
}

/// Returns the start of the value of a line if its field is `field`.
fn value_start(line: &[u8], field: &[u8]) -> Option<usize> {
    Some(match line.strip_prefix(field)? {
        [] => line.len(),
        [b':', b' ', ..] => field.len() + 2,
        [b':', ..] => field.len() + 1,
        // Another field, whose name only begins with `field`.
        _ => return None,
    })
}

impl Value {
    const NONE: Self = Self::Here(0..0);

    fn len(&self) -> usize {
        match self {
            Self::Here(range) => range.len(),
            Self::Owned(bytes) => bytes.len(),
        }
    }

    fn text<'a>(&'a self, piece: &'a [u8]) -> &'a [u8] {
        match self {
            Self::Here(range) => piece.get(range.clone()).unwrap_or_default(),
            Self::Owned(bytes) => bytes,
        }
    }

    fn bytes(&self, piece: &Bytes) -> Bytes {
        match self {
            Self::Here(range) => piece.slice(range.clone()),
            Self::Owned(bytes) => bytes.clone(),
        }
    }

    /// Skips the first `count` bytes, which the value has.
    fn skip(&mut self, count: usize) {
        match self {
            Self::Here(range) => range.start += count,
            Self::Owned(bytes) => drop(bytes.split_to(count)),
        }
    }
}

impl Data {
    fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(data) => data.len(),
            Self::Many(data) => data.len(),
        }
    }

    fn one_mut(&mut self) -> Option<&mut Value> {
        match self {
            Self::One(data) => Some(data),
            Self::None | Self::Many(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
