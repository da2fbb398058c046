//! JSON value, kept as the text in which it was received.

use std::fmt;

use bytestring::ByteString;
use serde::{Deserialize, Serialize, Serializer, de};
use serde_json::value::RawValue;

use super::{
    DecodeError,
    canonical::digest_of,
    key::Key,
    reader::{self, from_str},
};

/// One JSON value, kept as the text in which it was received. Cloning is cheap.
///
/// ```
/// use responses_client::Json;
/// use serde_json::json;
///
/// let built = Json::from(json!({"effort": "high"}));
/// let parsed = Json::parse(r#"{ "effort": "high" }"#)?;
/// assert_eq!(built, parsed);
/// assert_eq!(built, Json::from([("effort", "high")]));
/// assert_eq!(parsed.member::<String>("effort")?.as_deref(), Some("high"));
/// # Ok::<_, responses_client::error::DecodeError>(())
/// ```
///
/// Booleans, numbers, strings, arrays of pairs, maps and `serde_json::Value` convert with `into()`,
/// also where a setter takes `impl Into<Json>`. A `&str` becomes a JSON string; [`parse`] reads text
/// that is JSON already.
///
/// [`parse`]: Self::parse
///
/// `==` compares values: the order of keys, white space and the spelling of numbers do not count.
/// Integers of any size are compared exactly. `Debug` shows only the length, because the text may
/// contain a secret.
#[derive(Clone)]
pub struct Json(ByteString);

impl Json {
    /// Parses JSON text and keeps it unchanged.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if `text` is not one JSON value, or nests deeper than 127 levels.
    pub fn parse(text: impl Into<String>) -> Result<Self, DecodeError> {
        let text = text.into();
        // The digest visits the whole value, so that no later comparison can fail.
        digest_of(&text).map_err(|error| DecodeError::new("JSON text", &error))?;
        Ok(Self(text.trim().into()))
    }

    /// Serializes `value`.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if `value` has no JSON form, for example a map whose keys are not strings.
    pub fn from_serialize<T: Serialize + ?Sized>(value: &T) -> Result<Self, DecodeError> {
        let text = serde_json::to_string(value)
            .map_err(|error| DecodeError::no_form("the value", &error))?;
        Self::parse(text)
    }

    /// Returns the text of JSON that a caller gave as a value, or as a string that contains the
    /// text.
    pub(crate) fn given_text(given: impl Into<Self>) -> String {
        let json = given.into();
        json.decode::<String>().unwrap_or_else(|_| json.as_str().to_owned())
    }

    /// Returns the slice of `source` that `raw` borrows.
    pub(crate) fn slice_of(source: &ByteString, raw: &RawValue) -> Self {
        Self(source.slice_ref(raw.get()))
    }

    /// Wraps text that is known to be JSON.
    pub(crate) fn from_trusted(text: impl Into<ByteString>) -> Self {
        Self(text.into())
    }

    /// Returns the text, for slices of it.
    pub(crate) fn source(&self) -> &ByteString {
        &self.0
    }

    /// Returns the text as received.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Deserializes the value into a `T`. An unpaired surrogate, which a `str` cannot hold, reads
    /// as U+FFFD. The last of duplicate members counts.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if the value does not deserialize into `T`.
    pub fn decode<'a, T: Deserialize<'a>>(&'a self) -> Result<T, DecodeError> {
        from_str(&self.0).map_err(|error| DecodeError::new("a JSON value", &error))
    }

    /// Reads one member of an object. Returns `None` if the member is absent or null.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if the value is not an object, or the member does not deserialize into `T`.
    pub fn member<'a, T: Deserialize<'a>>(&'a self, name: &str) -> Result<Option<T>, DecodeError> {
        let Some(raw) = self.raw_member(name)? else { return Ok(None) };
        from_str(raw.get())
            .map_err(|error| DecodeError::new(format!("the member `{name}`"), &error))
    }

    /// Returns one member of an object as raw text, `null` included.
    pub(crate) fn raw_member<'a>(
        &'a self,
        name: &str,
    ) -> Result<Option<&'a RawValue>, DecodeError> {
        #[derive(Clone, Copy)]
        struct Find<'n>(&'n str);
        impl<'de> de::DeserializeSeed<'de> for Find<'_> {
            type Value = Option<&'de RawValue>;
            fn deserialize<D: de::Deserializer<'de>>(
                self,
                deserializer: D,
            ) -> Result<Self::Value, D::Error> {
                deserializer.deserialize_map(self)
            }
        }
        impl<'de> de::Visitor<'de> for Find<'_> {
            type Value = Option<&'de RawValue>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut found = None;
                while let Some(key) = map.next_key::<Key<'de>>()? {
                    if *key == *self.0 {
                        found = Some(map.next_value()?);
                    } else {
                        map.next_value::<de::IgnoredAny>()?;
                    }
                }
                Ok(found)
            }
        }
        reader::with_seed(&self.0, Find(name))
            .map_err(|error| DecodeError::new("a JSON object", &error))
    }

    /// Returns a copy of the text that does not keep the frame in memory.
    pub(crate) fn to_detached(&self) -> Self {
        Self(ByteString::from(self.0.to_string()))
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
            || matches!((digest_of(&self.0), digest_of(&other.0)), (Ok(a), Ok(b)) if a == b)
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Json({} bytes)", self.0.len())
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(&self.0).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Self::parse(String::from(Box::<str>::from(raw))).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_kept_and_values_are_compared() {
        let json = Json::parse(" {\"b\": 1.0, \"a\": [null]} ").unwrap();
        assert_eq!(json.as_str(), "{\"b\": 1.0, \"a\": [null]}");
        assert_eq!(json, Json::parse(r#"{"a":[null],"b":1}"#).unwrap());
        assert_ne!(json, Json::parse(r#"{"a":[null],"b":2}"#).unwrap());
        assert_eq!(format!("{json:?}"), "Json(23 bytes)");
    }

    #[test]
    fn what_is_not_one_value_is_refused() {
        for text in ["", "{", "1 2", "{\"a\":}", &"[".repeat(200)] {
            assert!(Json::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn members_are_found_by_name() {
        let json = Json::parse(r#"{"a\u0062":7,"n":null,"s":"x"}"#).unwrap();
        assert_eq!(json.member::<u8>("ab").unwrap(), Some(7));
        assert_eq!(json.member::<u8>("n").unwrap(), None);
        assert_eq!(json.member::<u8>("zz").unwrap(), None);
        assert!(json.member::<u8>("s").is_err());
    }
}
