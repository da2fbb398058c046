//! Headers in a script file.

use std::fmt;

use http::{HeaderName, HeaderValue};
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};

/// Headers in the order of the file.
#[derive(Default)]
pub(super) struct HeadersForm(pub(super) Vec<(String, String)>);

/// A valid name of a header.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(super) struct HeaderNameText(pub(super) String);

/// A valid value of a header.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(super) struct HeaderText(pub(super) String);

impl TryFrom<String> for HeaderNameText {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        match HeaderName::from_bytes(name.as_bytes()) {
            Ok(_) => Ok(Self(name)),
            Err(_) => Err(format!("{name:?} is no name of a header")),
        }
    }
}

impl TryFrom<String> for HeaderText {
    type Error = &'static str;

    fn try_from(value: String) -> Result<Self, &'static str> {
        match HeaderValue::from_str(&value) {
            Ok(_) => Ok(Self(value)),
            Err(_) => Err("the value of a header has characters that it cannot have"),
        }
    }
}

impl<'de> Deserialize<'de> for HeadersForm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = HeadersForm;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of headers")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<HeadersForm, A::Error> {
                let mut headers = Vec::new();
                while let Some((HeaderNameText(name), Values(values))) = map.next_entry()? {
                    headers.extend(values.into_iter().map(|value| (name.clone(), value.0)));
                }
                Ok(HeadersForm(headers))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

/// One value, or a list of them.
struct Values(Vec<HeaderText>);

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMore;

        impl<'de> Visitor<'de> for OneOrMore {
            type Value = Values;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, or a list of strings")
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<Values, E> {
                let value = HeaderText::try_from(value.to_owned()).map_err(E::custom)?;
                Ok(Values(vec![value]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Values, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = seq.next_element()? {
                    values.push(value);
                }
                Ok(Values(values))
            }
        }

        deserializer.deserialize_any(OneOrMore)
    }
}
