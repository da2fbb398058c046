//! Events of unknown types.

use std::fmt;

use bytestring::ByteString;
use serde::Deserialize;

use super::fields;
use crate::json::{self, DecodeError, Json, Text};

/// An event of a type that this version does not know, kept as it was received.
#[derive(Clone)]
#[non_exhaustive]
pub struct Unknown {
    /// Its `type`.
    pub event_type: Text,
    /// The event's place in the response.
    pub sequence_number: Option<u64>,
    pub(super) raw: ByteString,
}

impl Unknown {
    /// A member of the event, `None` where there is none or it is null.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when it is no `T`.
    pub fn member<T: serde::de::DeserializeOwned>(
        &self,
        name: &str,
    ) -> Result<Option<T>, DecodeError> {
        Json::trusted(self.raw.clone()).member(name)
    }
}

impl Unknown {
    /// Reads an event. `name` stands for the type that its payload lacks.
    pub(crate) fn decode(name: &str, payload: ByteString) -> Result<Self, DecodeError> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Wire<'a> {
            #[serde(borrow, rename = "type")]
            event_type: fields::Text<'a>,
            #[serde(borrow)]
            sequence_number: fields::Number<'a>,
        }
        let wire: Wire<'_> =
            json::from_str(&payload).map_err(|error| DecodeError::new("the event", &error))?;
        let event_type = match wire.event_type.own(&payload, "type") {
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
