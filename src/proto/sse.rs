//! Server-sent events: from the bytes of a body to the names and the data of its events.
//!
//! It follows the WHATWG rules: LF, CR and CRLF end a line, a leading byte-order mark is skipped,
//! `data` lines are joined by LF, the last `event` line names the event, one space after the colon
//! is dropped, comments and other fields are skipped. It is lenient where servers are: an event whose blank line never came is kept and
//! given out by [`Decoder::finish`], and invalid UTF-8 spoils its own event alone.
//!
//! Each byte is looked at once and copied at most once, whatever the pieces it comes in. What lies
//! in one piece is not copied at all.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use memchr::memchr2;

/// Takes the pieces of a body and gives the events.
#[derive(Debug)]
pub(crate) struct Decoder {
    limit: usize,
    /// Pieces that were not looked at yet.
    pieces: VecDeque<Bytes>,
    /// The line that was begun in earlier pieces.
    line: BytesMut,
    /// The value of the last `event` line of the event so far.
    name: Bytes,
    data: Data,
    at: Place,
}

/// One event.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SseEvent {
    /// The name of the event. Empty if the event has none, or one that is not UTF-8.
    pub(crate) name: ByteString,
    /// The data of the event. `None` if they are not UTF-8.
    pub(crate) data: Option<ByteString>,
}

/// A line or an event was longer than the limit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

/// The `data` lines of the event so far.
#[derive(Debug)]
enum Data {
    None,
    One(Bytes),
    Many(BytesMut),
}

/// Where in the body the next byte stands.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// At its start, where a byte-order mark may stand.
    Start,
    /// Behind a CR: an LF belongs to it.
    BehindCr,
    /// Anywhere else.
    Inside,
}

const BOM: &[u8] = b"\xef\xbb\xbf";

impl Decoder {
    /// A decoder that takes lines and events of at most `limit` bytes.
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

    /// Takes the next piece of the body; ask [`next_event`](Self::next_event) until it has none.
    pub(crate) fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.pieces.push_back(piece);
        }
    }

    /// The next event of what was pushed.
    pub(crate) fn next_event(&mut self) -> Result<Option<SseEvent>, TooLong> {
        while let Some(mut piece) = self.pieces.pop_front() {
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

    /// The event that the end of the body left without its blank line, if there is one. The
    /// standard drops it; several gateways end right behind the last event.
    pub(crate) fn finish(&mut self) -> Result<Option<SseEvent>, TooLong> {
        if !self.line.is_empty() {
            let line = self.line.split().freeze();
            let line = self.without_bom(line);
            self.take_line(line)?;
        }
        Ok(self.take_event())
    }

    /// How many bytes of an unfinished event are held.
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

    /// Takes a line without its end. An empty one ends the event.
    fn take_line(&mut self, line: Bytes) -> Result<Option<SseEvent>, TooLong> {
        if line.is_empty() {
            return Ok(self.take_event());
        }
        if let Some(value) = value(&line, b"data") {
            self.add_data(value)?;
        } else if let Some(value) = value(&line, b"event") {
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
                let mut all = BytesMut::with_capacity(joined);
                all.extend_from_slice(&first);
                Data::Many(all).with_line(&value)
            }
            all @ Data::Many(_) => all.with_line(&value),
        };
        Ok(())
    }

    fn take_event(&mut self) -> Option<SseEvent> {
        // A name without data is no event, and not the name of the next one.
        let name = std::mem::take(&mut self.name);
        let data = match std::mem::replace(&mut self.data, Data::None) {
            Data::None => return None,
            Data::One(data) => data,
            Data::Many(data) => data.freeze(),
        };
        Some(SseEvent {
            name: ByteString::try_from(name).unwrap_or_default(),
            data: ByteString::try_from(data).ok(),
        })
    }
}

/// The value of a line of this field.
fn value(line: &Bytes, field: &[u8]) -> Option<Bytes> {
    let start = match line.strip_prefix(field)? {
        [] => line.len(),
        [b':', b' ', ..] => field.len() + 2,
        [b':', ..] => field.len() + 1,
        // Another field whose name begins so.
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
