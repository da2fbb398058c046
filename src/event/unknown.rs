//! Events of unknown types.

use std::fmt;

use bytestring::ByteString;
use serde::Deserialize;

use super::fields;
use crate::json::{self, DecodeError, Json, Text};

/// Event of a type that this version does not know, kept as received.
///
/// ```
/// use responses_client::ResponseEvent;
/// use serde_json::json;
///
/// let event = ResponseEvent::from_json(json!({"type": "response.brand_new", "n": 1}))?;
/// if let ResponseEvent::Unknown(event) = event {
///     assert_eq!(&*event.event_type, "response.brand_new");
///     assert_eq!(event.member::<u64>("n")?, Some(1));
/// }
/// # Ok::<_, responses_client::error::DecodeError>(())
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct Unknown {
    /// `type` of the event.
    pub event_type: Text,
    /// Number of the event in the response.
    pub sequence_number: Option<u64>,
    pub(super) raw: ByteString,
}

impl Unknown {
    /// Reads a member of the event. Returns `None` if the member is absent or null.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if the member does not deserialize into `T`.
    pub fn member<T: serde::de::DeserializeOwned>(
        &self,
        name: &str,
    ) -> Result<Option<T>, DecodeError> {
        Json::from_trusted(self.raw.clone()).member(name)
    }
}

impl Unknown {
    /// Decodes an event. `name` replaces a missing `type`.
    pub(crate) fn decode(name: &str, payload: ByteString) -> Result<Self, DecodeError> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Wire<'a> {
            #[serde(borrow, rename = "type")]
            event_type: fields::WireText<'a>,
            #[serde(borrow)]
            sequence_number: fields::Number<'a>,
        }
        let wire: Wire<'_> =
            json::from_str(&payload).map_err(|error| DecodeError::new("the event", &error))?;
        let event_type = match wire.event_type.into_owned(&payload, "type") {
            Err(_) if !name.is_empty() => name.into(),
            own => own.map_err(|expected| DecodeError::expected("`type`", expected))?,
        };
        let sequence_number = wire.sequence_number.0;
        Ok(Self { event_type, sequence_number, raw: payload })
    }
}

impl fmt::Debug for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unknown")
            .field("event_type", &self.event_type.as_str())
            .field("sequence_number", &self.sequence_number)
            .finish()
    }
}
