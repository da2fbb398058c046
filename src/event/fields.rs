//! How the members of an event are read.
//!
//! What a turn cannot do without ([`Text`], [`Json`]) must be there. Everything else is read
//! leniently: a missing or odd index or id must not end a turn that could go on.

use std::{borrow::Cow, fmt, marker::PhantomData};

use bytestring::ByteString;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::json;

/// A string that must be there.
#[derive(Default)]
pub(crate) struct Text<'a>(Option<Cow<'a, str>>);
/// A string that may be missing.
#[derive(Default)]
pub(crate) struct MaybeText<'a>(pub(crate) Option<Cow<'a, str>>);
/// A string, or the `text` of an object in its place: a piece as early servers send it.
#[derive(Default)]
pub(crate) struct Piece<'a>(Option<Cow<'a, str>>);
/// A place in a list; 0 where it is missing.
#[derive(Default)]
pub(crate) struct Index<'a>(pub(crate) u32, PhantomData<&'a ()>);
/// A number that may be missing.
#[derive(Default)]
pub(crate) struct Number<'a>(pub(crate) Option<u64>, PhantomData<&'a ()>);
/// A JSON object that must be there; it is read when somebody asks.
#[derive(Default)]
pub(crate) struct Json<'a>(Option<&'a RawValue>);
/// JSON that may be missing.
#[derive(Default)]
pub(crate) struct MaybeJson<'a>(Option<&'a RawValue>);

/// The types that the members have in the public events.
pub(crate) mod owned {
    pub(crate) type Text = crate::json::Text;
    pub(crate) type MaybeText = Option<crate::json::Text>;
    pub(crate) type Piece = Option<crate::json::Text>;
    pub(crate) type Index = u32;
    pub(crate) type Json = crate::json::Json;
    pub(crate) type MaybeJson = Option<crate::json::Json>;
}

impl Text<'_> {
    pub(crate) fn own(self, source: &ByteString) -> Result<json::Text, &'static str> {
        self.0.map(|text| json::Text::part_of(source, text)).ok_or("a string")
    }
}

impl MaybeText<'_> {
    pub(crate) fn own(self, source: &ByteString) -> Result<Option<json::Text>, &'static str> {
        Ok(self.0.map(|text| json::Text::part_of(source, text)))
    }
}

impl Piece<'_> {
    pub(crate) fn own(self, source: &ByteString) -> Result<Option<json::Text>, &'static str> {
        MaybeText(self.0).own(source)
    }
}

impl Index<'_> {
    pub(crate) fn own(self, _: &ByteString) -> Result<u32, &'static str> {
        Ok(self.0)
    }
}

impl Json<'_> {
    pub(crate) fn own(self, source: &ByteString) -> Result<json::Json, &'static str> {
        let object = self.0.filter(|raw| raw.get().starts_with('{'));
        object.map(|raw| json::Json::part_of(source, raw)).ok_or("an object")
    }
}

impl MaybeJson<'_> {
    pub(crate) fn own(self, source: &ByteString) -> Result<Option<json::Json>, &'static str> {
        Ok(self.0.map(|raw| json::Json::part_of(source, raw)))
    }
}

/// Takes strings and passes over all else.
struct Strings;

impl<'de> Visitor<'de> for Strings {
    type Value = Option<Cow<'de, str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(text.to_owned())))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

/// Takes whole numbers, also as `1.0`, and passes over all else.
struct Numbers;

impl<'de> Visitor<'de> for Numbers {
    type Value = Option<u64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Some(number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "range checked"
        )]
        let whole =
            ((0.0..9e15).contains(&number) && number.fract() == 0.0).then_some(number as u64);
        Ok(whole)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        Strings.visit_seq(seq).map(|_| None)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        Strings.visit_map(map).map(|_| None)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Strings).map(Self)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for MaybeText<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Strings).map(Self)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Piece<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Default, serde::Deserialize)]
        #[serde(default)]
        struct Object<'a> {
            #[serde(borrow)]
            text: MaybeText<'a>,
        }
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        let text = match raw.starts_with('{') {
            true => serde_json::from_str(raw).map(|object: Object<'_>| object.text),
            false => serde_json::from_str(raw),
        };
        Ok(Self(text.ok().and_then(|MaybeText(text)| text)))
    }
}

impl<'de> Deserialize<'de> for Index<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = deserializer.deserialize_any(Numbers)?;
        let index = number.and_then(|number| u32::try_from(number).ok());
        Ok(Self(index.unwrap_or_default(), PhantomData))
    }
}

impl<'de> Deserialize<'de> for Number<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(deserializer.deserialize_any(Numbers)?, PhantomData))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Json<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&RawValue>::deserialize(deserializer).map(|raw| Self(Some(raw)))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for MaybeJson<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        Ok(Self((raw.get() != "null").then_some(raw)))
    }
}
