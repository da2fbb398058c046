//! Access to internals for the tests, benchmarks and fuzz targets of this crate.
//!
//! Not part of the public API: nothing here is covered by semantic versioning.

use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;

use crate::{
    config::{ContinuationPolicy, Transport},
    error::{Cause, Error, ProtocolError},
    event::ResponseEvent,
    json::DecodeError,
    kind::{ErrorKind, Phase},
    proto::{
        lane::{ConnectionId, LaneId, SeatId},
        plan::{Baseline, PreviousTurn, Target, plan},
        sse::{Decoder, SseEvent, TooLong},
        turn::response::{ReadStep, ResponseReader, StreamEnd},
        wire::{Encoded, Wire, responses::Responses},
    },
    report::Plan,
    request::{Item, RequestError, ResponsesRequest},
    response::Response,
};

/// Decodes a body like the SSE transport, and calls `each` with the data of each event. The data is
/// `None` if it is not valid UTF-8.
///
/// # Errors
///
/// Returns [`ErrorKind::TooLarge`] if a line or an event is longer than `limit` bytes.
pub fn sse_events(
    pieces: impl IntoIterator<Item = Bytes>,
    limit: usize,
    mut each: impl FnMut(Option<&str>),
) -> Result<(), Error> {
    let too_long = |TooLong| Error::new(ErrorKind::TooLarge, Phase::Events, Cause::None);
    let mut give = |event: SseEvent<'_>| each(event.data.as_deref());
    let mut decoder = Decoder::new(limit);
    for piece in pieces {
        decoder.push(piece);
        while let Some(event) = decoder.next_event().map_err(too_long)? {
            give(event);
        }
    }
    decoder.finish().map_err(too_long)?.into_iter().for_each(give);
    Ok(())
}

/// Reader of one response.
#[derive(Clone, Debug)]
pub struct Turn(ResponseReader);

impl Turn {
    /// Returns a turn that waits for its first event.
    #[expect(clippy::new_without_default, reason = "nobody asks for one")]
    pub fn new() -> Self {
        Self(ResponseReader::new())
    }

    /// Classifies and decodes a payload, and adds the event to the response. Returns `None` if
    /// there is no event to yield. [`next_event`](Self::next_event) returns further events.
    ///
    /// # Errors
    ///
    /// Returns the error that ends the turn.
    pub fn push(&mut self, payload: Bytes) -> Result<Option<ResponseEvent>, Error> {
        let payload = ByteString::try_from(payload)
            .map_err(|_| Error::protocol(Phase::Events, ProtocolError::NotAnEvent))?;
        event_of(self.0.handle(Responses.classify("", payload)))
    }

    /// Returns the next event that was held back until a later payload arrived.
    ///
    /// # Errors
    ///
    /// Returns the error that ends the turn.
    pub fn next_event(&mut self) -> Result<Option<ResponseEvent>, Error> {
        self.0.next_step().map_or(Ok(None), event_of)
    }

    /// Ends the payloads, and returns the error of a turn without a terminal event.
    pub fn end(&mut self) -> Error {
        self.0.end(StreamEnd::Disconnected(None))
    }

    /// Returns the response as received so far.
    pub fn response(&self) -> Response {
        self.0.response()
    }
}

fn event_of(step: ReadStep) -> Result<Option<ResponseEvent>, Error> {
    match step {
        ReadStep::Event(event) | ReadStep::Finished(event) => Ok(Some(event)),
        ReadStep::None => Ok(None),
        ReadStep::Failed(error) => Err(error),
    }
}

/// State that a session keeps between turns over one WebSocket.
#[derive(Clone, Debug, Default)]
pub struct Conversation {
    prior: PreviousTurn,
    sent: Option<Arc<ResponsesRequest>>,
}

impl Conversation {
    /// Plans and encodes `request`. Returns the plan and the frame.
    ///
    /// # Errors
    ///
    /// Returns [`ErrorKind::InvalidRequest`] if the request is invalid.
    pub fn send(&mut self, request: &ResponsesRequest) -> Result<(Plan, String), Error> {
        request.check().map_err(Error::invalid_request)?;
        let request = Arc::new(request.clone());
        let prior = std::mem::replace(&mut self.prior, PreviousTurn::NotCompleted);
        let to = Target {
            transport: Transport::WebSocket,
            seat: Some(SEAT),
            keeps_parent: false,
            continue_over_sse: false,
            incremental: true,
            continuation: ContinuationPolicy::default(),
        };
        let decision = plan(&request, &prior, to);
        let (parent, skip) = decision.parent();
        let frame = Responses
            .encode(&request, Encoded::Frame { parent, skip, lane: None })
            .map_err(|error| {
                let error = DecodeError::new("the request", &error);
                Error::invalid_request(RequestError::Body(error))
            })?;
        let plan = decision.report(request.input.len());
        self.sent = Some(request);
        Ok((plan, frame))
    }

    /// Records that the response to the last request completed with this output.
    pub fn complete(&mut self, response_id: &str, output: Vec<Item>) {
        if let Some(request) = self.sent.take() {
            self.prior = PreviousTurn::Completed(Box::new(Baseline {
                response_id: response_id.to_owned(),
                request,
                output,
                seat: Some(SEAT),
                stored: false,
                warm_up: false,
            }));
        }
    }
}

const SEAT: SeatId = SeatId { connection: ConnectionId(0), lane: LaneId::DEFAULT, earlier: 0 };
