//! Frames in the body of an answer to a POST.
//!
//! ```text
//!            Events, or Other with the label of a stream
//!   Unknown ───────────────────────────────────────────▶ Events ──▶ a frame for each event
//!      │ └── Json ─────────────────────────────────────▶ Json   ──▶ a frame for each object
//!      ├── Page, or the label of a page ───────────────▶ Page   ──▶ an error with its title
//!      └── Other ──────────────────────────────────────▶ Other  ──▶ an error
//! ```

use std::{collections::VecDeque, sync::Arc};

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use http::HeaderMap;

use super::{
    body::{self, Form, JsonEnd, Sniffer},
    sse::{Decoder, SseEvent, TooLong},
    turn::response::StreamEnd,
    wire::{Frame, Role, Wire},
};
use crate::{config::Limits, error::ProtocolError};

/// Turns the pieces of a body into frames.
#[derive(Debug)]
pub(crate) struct AnswerReader {
    status: u16,
    headers: Arc<HeaderMap>,
    wire: &'static dyn Wire,
    limits: Limits,
    content: Content,
    state: BodyState,
}

#[derive(Debug)]
enum Content {
    Unknown(Sniffer),
    Events(Decoder),
    Json(Objects),
    /// The beginning of a page.
    Page(Vec<u8>),
    Other,
}

#[derive(Debug, PartialEq, Eq)]
enum BodyState {
    Reading,
    /// The body has ended; a last event may be left.
    Ended,
    /// The rest of the body is not part of the response.
    Done,
}

/// JSON objects of a body.
#[derive(Debug, Default)]
struct Objects {
    pieces: VecDeque<Bytes>,
    end: JsonEnd,
    /// The current object, as far as received.
    object: BytesMut,
}

impl AnswerReader {
    pub(crate) fn new(
        status: u16,
        headers: Arc<HeaderMap>,
        wire: &'static dyn Wire,
        limits: Limits,
    ) -> Self {
        let content = match body::is_labelled_page(&headers) {
            true => Content::Page(Vec::new()),
            false => Content::Unknown(Sniffer::new()),
        };
        Self { status, headers, wire, limits, content, state: BodyState::Reading }
    }

    /// Takes the next piece of the body. Call [`next_frame`](Self::next_frame) afterwards until it
    /// returns `None`.
    pub(crate) fn push(&mut self, piece: Bytes) {
        match &mut self.content {
            Content::Unknown(sniffer) => {
                if let Some((form, parts)) = sniffer.push(&piece) {
                    // The held start of the body goes through the decoder that was just chosen.
                    self.content = self.content_of(form);
                    parts.into_iter().filter(|part| !part.is_empty()).for_each(|it| self.push(it));
                }
            }
            Content::Events(decoder) => decoder.push(piece),
            Content::Json(objects) => objects.pieces.push_back(piece),
            Content::Page(page) => {
                let before = page.len();
                let room = self.limits.max_error_body_bytes.saturating_sub(before);
                page.extend(piece.iter().take(room));
                // The title is all that the error shows, so the rest of the page is not awaited.
                if piece.len() >= room || has_title(page, before) {
                    self.state = BodyState::Ended;
                }
            }
            Content::Other => {}
        }
    }

    /// Marks the end of the body, complete or cut.
    pub(crate) fn end(&mut self) {
        if self.state == BodyState::Reading {
            self.state = BodyState::Ended;
        }
    }

    /// Returns `true` while the title of a page is awaited. The caller limits the time.
    pub(crate) fn is_page(&self) -> bool {
        matches!(self.content, Content::Page(_))
    }

    /// Returns the next frame, or the end of the frames. `None` if the body must continue first.
    pub(crate) fn next_frame(&mut self) -> Option<Result<Frame, StreamEnd>> {
        let next = match &mut self.content {
            _ if self.state == BodyState::Done => None,
            Content::Unknown(_) => None,
            Content::Events(decoder) => next_event(decoder, &mut self.state, self.wire),
            Content::Json(objects) => {
                objects.next(self.wire, self.limits.max_event_bytes).map(|object| {
                    let frame = object?;
                    match frame.tag.role {
                        // The label explains more than the object does.
                        Role::Invalid => Err(not_a_stream(&self.headers)),
                        _ => Ok(frame),
                    }
                })
            }
            Content::Page(page) if self.state == BodyState::Ended => {
                let page = body::page(self.status, &self.headers, page);
                Some(Err(StreamEnd::Protocol(ProtocolError::WebPage(page))))
            }
            Content::Page(_) => None,
            Content::Other => Some(Err(not_a_stream(&self.headers))),
        };
        // A bare response is the whole answer; further objects are not part of it.
        if matches!(&next, Some(Ok(frame)) if frame.tag.bare) {
            self.state = BodyState::Done;
            return next;
        }
        match self.state {
            BodyState::Reading => next,
            // A complete last event counts even if the body was cut.
            BodyState::Ended | BodyState::Done => {
                Some(next.unwrap_or(Err(StreamEnd::Disconnected(None))))
            }
        }
    }

    fn content_of(&self, form: Form) -> Content {
        let label = body::media_type(&self.headers);
        match form {
            Form::Json => Content::Json(Objects::default()),
            Form::Page => Content::Page(Vec::new()),
            // In a stream, unknown fields are skipped.
            Form::Other if !label.is_empty() && !is_stream(label) => Content::Other,
            Form::Events | Form::Other => {
                Content::Events(Decoder::new(self.limits.max_event_bytes))
            }
        }
    }
}

impl Objects {
    fn next(&mut self, wire: &dyn Wire, limit: usize) -> Option<Result<Frame, StreamEnd>> {
        while let Some(mut piece) = self.pieces.pop_front() {
            let end = self.end.push(&piece);
            let part = piece.split_to(end.unwrap_or(piece.len()));
            let part = match self.object.is_empty() {
                // White space between objects belongs to none of them.
                true => part.trim_ascii_start(),
                false => &part,
            };
            if self.object.len() + part.len() > limit {
                return Some(Err(StreamEnd::TooLarge));
            }
            self.object.extend_from_slice(part);
            if end.is_some() {
                self.pieces.push_front(piece);
                let object = ByteString::try_from(self.object.split().freeze());
                let not_utf8 = |_| StreamEnd::Protocol(ProtocolError::NotAnEvent);
                let frame = object.map(|object| wire.classify("", object));
                return Some(frame.map_err(not_utf8));
            }
        }
        None
    }
}

fn next_event(
    decoder: &mut Decoder,
    state: &mut BodyState,
    wire: &dyn Wire,
) -> Option<Result<Frame, StreamEnd>> {
    let event = match state {
        BodyState::Reading => decoder.next_event(),
        BodyState::Ended | BodyState::Done => decoder.finish(),
    };
    match event {
        Ok(Some(SseEvent { data: Some(data), .. })) if data.starts_with("[DONE]") => {
            *state = BodyState::Done;
            None
        }
        Ok(Some(SseEvent { name, data: Some(data) })) => {
            let frame = wire.classify(name, data);
            // An event without its blank line may be incomplete, unless it is a whole object.
            let whole = *state == BodyState::Reading
                || frame.tag.role.keeps_connection() && is_json(&frame.payload);
            whole.then_some(Ok(frame))
        }
        Ok(Some(SseEvent { data: None, .. })) => {
            Some(Err(StreamEnd::Protocol(ProtocolError::NotAnEvent)))
        }
        Ok(None) => None,
        Err(TooLong) => Some(Err(StreamEnd::TooLarge)),
    }
}

fn not_a_stream(headers: &HeaderMap) -> StreamEnd {
    let label = body::media_type(headers);
    StreamEnd::Protocol(match label.is_empty() || is_stream(label) {
        true => ProtocolError::NotAnEvent,
        false => ProtocolError::ContentType(label.chars().take(64).collect()),
    })
}

fn is_stream(label: &str) -> bool {
    label.eq_ignore_ascii_case("text/event-stream")
}

/// Returns `true` if the end of a title is in the bytes after the first `before`.
fn has_title(page: &[u8], before: usize) -> bool {
    const END: &[u8] = b"</title";
    let new = page.get(before.saturating_sub(END.len())..).unwrap_or_default();
    new.windows(END.len()).any(|window| window.eq_ignore_ascii_case(END))
}

fn is_json(payload: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(payload).is_ok()
}

#[cfg(test)]
mod tests;
