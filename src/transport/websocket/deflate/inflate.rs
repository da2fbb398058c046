//! Inflates the payloads of compressed messages.

use flate2::{Decompress, FlushDecompress, Status};

use crate::proto::deflate::Direction;

/// Bytes that are inflated at a time.
const CHUNK: usize = 16 << 10;
/// End of a message, which its sender leaves out.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// Bytes of earlier data to which compressed data may refer.
const WINDOW: usize = 32 << 10;

/// Failure of a compressed message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::transport::websocket) enum InflateError {
    /// The message is larger than the limit. No more than the limit was inflated.
    #[error("a compressed message is too large")]
    TooLarge,
    #[error("a compressed message is not valid DEFLATE data")]
    Invalid,
    /// Another message began within a compressed message.
    #[error("a message began before the end of a compressed message")]
    Interrupted,
}

/// Inflates messages, one after the other.
pub(super) struct Inflater {
    state: Decompress,
    context_takeover: bool,
    limit: usize,
    chunk: Box<[u8]>,
    /// The message so far.
    message: Vec<u8>,
}

impl Inflater {
    /// Returns an inflater of messages that have at most `limit` bytes each.
    pub(super) fn new(direction: Direction, limit: usize) -> Self {
        Self {
            // The full window also fits messages that were compressed with a smaller one.
            state: Decompress::new(false),
            context_takeover: direction.context_takeover,
            limit,
            chunk: vec![0; CHUNK].into(),
            message: Vec::new(),
        }
    }

    /// Inflates a piece of the payload of a message.
    pub(super) fn push(&mut self, mut input: &[u8]) -> Result<(), InflateError> {
        loop {
            let (read, wrote) = (self.state.total_in(), self.state.total_out());
            let status = self.state.decompress(input, &mut self.chunk, FlushDecompress::None);
            let status = status.map_err(|_| InflateError::Invalid)?;
            let read = length(self.state.total_in() - read);
            let wrote = length(self.state.total_out() - wrote);
            self.keep(wrote)?;
            input = input.get(read..).unwrap_or_default();
            if status == Status::StreamEnd {
                self.restart()?;
            } else if wrote < self.chunk.len() && (input.is_empty() || read == 0) {
                // Without input and without a full chunk, nothing is left to inflate.
                return if input.is_empty() { Ok(()) } else { Err(InflateError::Invalid) };
            }
        }
    }

    /// Ends the message, and returns it.
    pub(super) fn finish(&mut self) -> Result<Vec<u8>, InflateError> {
        self.push(&TAIL)?;
        if !self.context_takeover {
            self.state.reset(false);
        }
        Ok(std::mem::take(&mut self.message))
    }

    /// Returns the size of the memory for the message so far.
    #[cfg(test)]
    pub(super) fn allocated(&self) -> usize {
        self.message.capacity()
    }

    /// Appends inflated bytes to the message.
    fn keep(&mut self, bytes: usize) -> Result<(), InflateError> {
        let Self { message, chunk, limit, .. } = self;
        let bytes = chunk.get(..bytes).unwrap_or_default();
        let room = limit.saturating_sub(message.len());
        if bytes.len() > room {
            *message = Vec::new();
            return Err(InflateError::TooLarge);
        }
        if message.capacity() - message.len() < bytes.len() {
            // Doubled as usual, but never beyond the limit.
            message.reserve_exact(bytes.len().max(message.len()).min(room));
        }
        message.extend_from_slice(bytes);
        Ok(())
    }

    /// Continues after a block that its sender marked as the last one. The message and its
    /// successors may still refer to what came before.
    fn restart(&mut self) -> Result<(), InflateError> {
        self.state.reset(false);
        let window = self.message.get(self.message.len().saturating_sub(WINDOW)..);
        let window = window.filter(|window| self.context_takeover && !window.is_empty());
        match window.map(|window| self.state.set_dictionary(window)) {
            Some(Err(_)) => Err(InflateError::Invalid),
            Some(Ok(_)) | None => Ok(()),
        }
    }
}

fn length(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
