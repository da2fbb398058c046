//! Decoding of the members of an event.
//!
//! A member that the turn needs ([`WireText`], [`Json`]) must be present. Other members are read
//! leniently: a missing or malformed index or id must not end a turn that could continue.

use std::{borrow::Cow, fmt, marker::PhantomData};

use bytestring::ByteString;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::{
    json::{self, Decoded, FlatValue, WITH_HALVES},
    request,
};

/// Required string.
#[derive(Default)]
pub(crate) struct WireText<'a>(Option<Decoded<'a>>);
/// Optional string.
#[derive(Default)]
pub(crate) struct MaybeText<'a>(pub(crate) Option<Decoded<'a>>);
/// String, or the `text` of an object in its place, as early servers send a delta.
#[derive(Default)]
pub(crate) struct TextOrObject<'a>(Option<Decoded<'a>>);
/// Required string. JSON in its place stands for its own text.
#[derive(Default)]
pub(crate) struct Arguments<'a>(Found<'a>);
/// Optional string. JSON in its place stands for its own text.
#[derive(Default)]
pub(crate) struct MaybeArguments<'a>(Found<'a>);
/// Index in a list; 0 if it is missing.
#[derive(Default)]
pub(crate) struct Index<'a>(pub(crate) u32, PhantomData<&'a ()>);
/// Optional number.
#[derive(Default)]
pub(crate) struct Number<'a>(pub(crate) Option<u64>, PhantomData<&'a ()>);
/// Required JSON object, decoded on demand.
#[derive(Default)]
pub(crate) struct Json<'a>(Option<&'a RawValue>);
/// Optional JSON.
#[derive(Default)]
pub(crate) struct MaybeJson<'a>(Option<&'a str>);

/// Required item.
#[derive(Default)]
pub(crate) struct Item<'a>(Json<'a>);
/// Optional item.
#[derive(Default)]
pub(crate) struct MaybeItem<'a>(Json<'a>);

const EMPTY_LIST: &str = "[]";

/// Types of the members in the public events.
pub(crate) mod owned {
    pub(crate) type WireText = crate::json::Text;
    pub(crate) type MaybeText = Option<crate::json::Text>;
    pub(crate) type TextOrObject = Option<crate::json::Text>;
    pub(crate) type Arguments = crate::json::Text;
    pub(crate) type MaybeArguments = Option<crate::json::Text>;
    pub(crate) type Index = u32;
    pub(crate) type Json = crate::json::Json;
    pub(crate) type MaybeJson = Option<crate::json::Json>;
    pub(crate) type Item = crate::request::Item;
    pub(crate) type MaybeItem = Option<crate::request::Item>;
}

impl WireText<'_> {
    pub(crate) fn into_owned(
        self,
        source: &ByteString,
        _: &str,
    ) -> Result<json::Text, &'static str> {
        self.0.map(|text| json::Text::from_decoded(source, text)).ok_or("a string")
    }
}

impl MaybeText<'_> {
    pub(crate) fn into_owned(
        self,
        source: &ByteString,
        _: &str,
    ) -> Result<Option<json::Text>, &'static str> {
        Ok(self.0.map(|text| json::Text::from_decoded(source, text)))
    }
}

impl<'a> MaybeText<'a> {
    /// Returns the string if it is not `expected`.
    #[inline]
    pub(crate) fn other_than(self, expected: &str) -> Option<Cow<'a, str>> {
        self.0.map(Decoded::into_text).filter(|text| text != expected)
    }
}

impl TextOrObject<'_> {
    pub(crate) fn into_owned(
        self,
        source: &ByteString,
        name: &str,
    ) -> Result<Option<json::Text>, &'static str> {
        MaybeText(self.0).into_owned(source, name)
    }
}

impl Arguments<'_> {
    pub(crate) fn into_owned(
        self,
        source: &ByteString,
        name: &str,
    ) -> Result<json::Text, &'static str> {
        MaybeArguments(self.0).into_owned(source, name)?.ok_or("a string")
    }
}

impl MaybeArguments<'_> {
    pub(crate) fn into_owned(
        self,
        source: &ByteString,
        name: &str,
    ) -> Result<Option<json::Text>, &'static str> {
        Ok(match self.0 {
            Found::Text(text) => Some(json::Text::from_decoded(source, text)),
            // The position was not kept, because strings do not need it.
            Found::Container => {
                let event = json::Json::from_trusted(source.clone());
                let raw = event.raw_member(name).ok().flatten();
                raw.map(|raw| json::Text::slice_of(source, raw.get()))
            }
            Found::Other => None,
        })
    }
}

impl Index<'_> {
    pub(crate) fn into_owned(self, _: &ByteString, _: &str) -> Result<u32, &'static str> {
        Ok(self.0)
    }
}

impl Json<'_> {
    pub(crate) fn into_owned(
        self,
        source: &ByteString,
        _: &str,
    ) -> Result<json::Json, &'static str> {
        let object = self.0.filter(|raw| raw.get().starts_with('{'));
        object.map(|raw| json::Json::slice_of(source, raw)).ok_or("an object")
    }
}

impl MaybeJson<'_> {
    pub(crate) fn into_owned(
        self,
        source: &ByteString,
        _: &str,
    ) -> Result<Option<json::Json>, &'static str> {
        Ok(self.0.map(|text| match text {
            // Nearly all deltas have empty `logprobs`, which need no slice of the frame.
            EMPTY_LIST => json::Json::from_trusted(ByteString::from_static(EMPTY_LIST)),
            _ => json::Json::from_trusted(source.slice_ref(text)),
        }))
    }
}

impl Item<'_> {
    pub(crate) fn into_owned(
        self,
        source: &ByteString,
        name: &str,
    ) -> Result<request::Item, &'static str> {
        self.0.into_owned(source, name).map(request::Item::from_trusted)
    }
}

impl MaybeItem<'_> {
    pub(crate) fn into_owned(
        self,
        source: &ByteString,
        name: &str,
    ) -> Result<Option<request::Item>, &'static str> {
        Ok(Item(self.0).into_owned(source, name).ok())
    }
}

/// Member that may be read without serde.
pub(crate) trait FromFlat<'a>: Sized {
    /// Returns the member; `None` if serde must read the event.
    fn from_flat(value: FlatValue<'a>) -> Option<Self>;
}

/// Sets a member of a flat event, unless the event has it twice.
#[inline]
pub(crate) fn set<'a, T: FromFlat<'a>>(to: &mut Option<T>, value: FlatValue<'a>) -> Option<()> {
    to.replace(T::from_flat(value)?).is_none().then_some(())
}

/// Skips a member of a flat event. Only serde checks escapes.
#[inline]
pub(crate) fn skip(value: FlatValue<'_>) -> Option<()> {
    (!matches!(value, FlatValue::Escaped(_))).then_some(())
}

impl<'a> FromFlat<'a> for Decoded<'a> {
    #[inline]
    fn from_flat(value: FlatValue<'a>) -> Option<Self> {
        match value {
            FlatValue::Text(text) => Some(Self::Borrowed(text)),
            FlatValue::Escaped(quoted) => json::from_str::<Found<'_>>(quoted).ok()?.text(),
            _ => None,
        }
    }
}

macro_rules! from_flat {
    ($($name:ident: $value:ident => $read:expr;)*) => {$(
        impl<'a> FromFlat<'a> for $name<'a> {
            #[inline]
            fn from_flat($value: FlatValue<'a>) -> Option<Self> {
                $read
            }
        }
    )*};
}

from_flat! {
    WireText: value => Decoded::from_flat(value).map(|text| Self(Some(text)));
    MaybeText: value => Decoded::from_flat(value).map(|text| Self(Some(text)));
    TextOrObject: value => Decoded::from_flat(value).map(|text| Self(Some(text)));
    Arguments: value => Decoded::from_flat(value).map(|text| Self(Found::Text(text)));
    MaybeArguments: value => Decoded::from_flat(value).map(|text| Self(Found::Text(text)));
    Index: value => match value {
        FlatValue::Number(number) => u32::try_from(number).ok().map(|it| Self(it, PhantomData)),
        _ => None,
    };
    Number: value => match value {
        FlatValue::Number(number) => Some(Self(Some(number), PhantomData)),
        _ => None,
    };
    // An object is not flat.
    Json: _value => None;
    Item: _value => None;
    MaybeItem: _value => None;
    MaybeJson: value => match value {
        FlatValue::EmptyList => Some(Self(Some(EMPTY_LIST))),
        FlatValue::Null => Some(Self(None)),
        _ => None,
    };
}

/// Value in the place of a string.
#[derive(Default)]
pub(crate) enum Found<'a> {
    Text(Decoded<'a>),
    /// Object or list.
    Container,
    #[default]
    Other,
}

impl<'a> Found<'a> {
    pub(crate) fn text(self) -> Option<Decoded<'a>> {
        match self {
            Self::Text(text) => Some(text),
            Self::Container | Self::Other => None,
        }
    }
}

/// Accepts strings and skips all other values.
struct Strings;

impl<'de> Visitor<'de> for Strings {
    type Value = Found<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    #[inline]
    fn visit_newtype_struct<D: Deserializer<'de>>(self, de: D) -> Result<Found<'de>, D::Error> {
        de.deserialize_any(self)
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Found<'de>, E> {
        Ok(Found::Text(Decoded::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Found<'de>, E> {
        Ok(Found::Text(Decoded::Owned(text.into())))
    }

    fn visit_borrowed_bytes<E>(self, wtf8: &'de [u8]) -> Result<Found<'de>, E> {
        Ok(Found::Text(Decoded::from_wtf8(Cow::Borrowed(wtf8))))
    }

    fn visit_bytes<E>(self, wtf8: &[u8]) -> Result<Found<'de>, E> {
        Ok(Found::Text(Decoded::from_wtf8(Cow::Owned(wtf8.to_owned()))))
    }

    fn visit_unit<E>(self) -> Result<Found<'de>, E> {
        Ok(Found::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Found<'de>, E> {
        Ok(Found::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Found<'de>, E> {
        Ok(Found::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Found<'de>, E> {
        Ok(Found::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Found<'de>, E> {
        Ok(Found::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Found<'de>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Found::Container)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Found::Container)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Found<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The name makes the reader pass unpaired surrogates through.
        deserializer.deserialize_newtype_struct(WITH_HALVES, Strings)
    }
}

/// Accepts whole numbers, also in the form `1.0`, and skips all other values.
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

impl<'de: 'a, 'a> Deserialize<'de> for WireText<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Found::deserialize(deserializer).map(|found| Self(found.text()))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for MaybeText<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Found::deserialize(deserializer).map(|found| Self(found.text()))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for TextOrObject<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Default, serde::Deserialize)]
        #[serde(default)]
        struct Object<'a> {
            #[serde(borrow)]
            text: MaybeText<'a>,
        }
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        let text = match raw.starts_with('{') {
            true => json::from_str(raw).map(|object: Object<'_>| object.text),
            false => json::from_str(raw),
        };
        Ok(Self(text.ok().and_then(|MaybeText(text)| text)))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Arguments<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Found::deserialize(deserializer).map(Self)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for MaybeArguments<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Found::deserialize(deserializer).map(Self)
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

impl<'de: 'a, 'a> Deserialize<'de> for Item<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Json::deserialize(deserializer).map(Self)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for MaybeItem<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Json::deserialize(deserializer).map(Self)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for MaybeJson<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        Ok(Self(Some(raw.get()).filter(|text| *text != "null")))
    }
}

#[cfg(test)]
mod tests;
