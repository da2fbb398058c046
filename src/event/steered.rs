//! The event between the responses of a steered turn.

use std::fmt;

use bytestring::ByteString;

use crate::json::{DecodeError, Json};

/// End of a response that another response of the same turn continues: see
/// [`ResponseEvent::Steered`](crate::ResponseEvent::Steered).
///
/// [`raw`](crate::ResponseEvent::raw) is the terminal event of the server, `response.completed` or
/// `response.incomplete`. The event serializes as that one.
///
/// ```
/// use responses_client::{Response, ResponseEvent};
///
/// fn show(event: &ResponseEvent) -> Result<(), responses_client::Error> {
///     if let ResponseEvent::Steered(steered) = event {
///         let ended = Response::from_json(steered.response.clone())?;
///         println!("{} cost {:?}", ended.id(), ended.usage());
///     }
///     Ok(())
/// }
/// # let _ = show;
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct Steered {
    /// Response object of the response that ended, as received.
    pub response: Json,
    /// Number of the terminal event in the response.
    pub sequence_number: Option<u64>,
    pub(super) raw: ByteString,
}

impl Steered {
    /// Returns the event that replaces a terminal event, received as `raw`.
    pub(super) fn new(response: Json, sequence_number: Option<u64>, raw: ByteString) -> Self {
        Self { response, sequence_number, raw }
    }

    /// Reads the event from the payload of a terminal event.
    pub(super) fn decode(payload: ByteString) -> Result<Self, DecodeError> {
        let json = Json::from_trusted(payload.clone());
        let missing = || DecodeError::expected("`response`", "an object");
        let response = json.member("response")?.ok_or_else(missing)?;
        let sequence_number = json.member("sequence_number").ok().flatten();
        Ok(Self { response, sequence_number, raw: payload })
    }
}

impl fmt::Debug for Steered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Steered")
            .field("response", &self.response)
            .field("sequence_number", &self.sequence_number)
            .finish()
    }
}
