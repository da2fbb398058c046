//! Reader for JSON that serde_json refuses and servers still send: unpaired surrogates in strings
//! and keys, and duplicate members.

use std::{borrow::Cow, fmt, marker::PhantomData};

use serde::{
    Deserialize,
    de::{
        DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, SeqAccess, Visitor,
        value::MapAccessDeserializer,
    },
    forward_to_deserialize_any,
};
use serde_json::{Error, Number, Result, value::RawValue};

use super::text::Decoded;

/// Deserializes `text` into a `T`. Unpaired surrogates read as U+FFFD, and the last of duplicate
/// members counts. [`RawValue`]s are as received.
pub(crate) fn from_str<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T> {
    with_seed(text, PhantomData::<T>)
}

/// Like [`from_str`], with a `seed`.
pub(super) fn with_seed<'a, S: DeserializeSeed<'a> + Copy>(
    text: &'a str,
    seed: S,
) -> Result<S::Value> {
    // Text that serde_json can read costs nothing more.
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let error = match seed.deserialize(&mut deserializer) {
        Ok(value) => match deserializer.end() {
            Ok(()) => return Ok(value),
            Err(error) => error,
        },
        Err(error) => error,
    };
    let mut cursor = Cursor::new(text);
    let value = seed.deserialize(&mut cursor);
    // Only serde_json knows the place of its error.
    value.and_then(|value| cursor.end().map(|()| value)).map_err(|_| error)
}

/// Like [`from_str`], for UTF-8 bytes.
pub(crate) fn from_slice<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T> {
    from_str(std::str::from_utf8(text).map_err(Error::custom)?)
}

/// JSON text, parsed value by value.
pub(super) struct Cursor<'a> {
    rest: &'a str,
    depth: u8,
}

/// The remaining elements of a list or members of an object.
pub(super) struct Elements<'c, 'a> {
    cursor: &'c mut Cursor<'a>,
    close: u8,
    state: Position,
}

/// A key, as WTF-8, and the cursor before its value.
type Member<'c, 'a> = (Cow<'a, [u8]>, &'c mut Cursor<'a>);

#[derive(PartialEq)]
enum Position {
    First,
    Open,
    Closed,
}

/// Maximum depth of nesting, as in serde_json.
const MAX_DEPTH: u8 = 127;

/// The name under which [`RawValue`] asks serde_json for the text of a value.
const RAW_VALUE: &str = "$serde_json::private::RawValue";

/// Name of a newtype whose strings are passed as WTF-8 if serde_json refuses them.
pub(crate) const WITH_HALVES: &str = "$responses_client::Text";

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text, depth: 0 }
    }

    /// Returns the first byte of the next value.
    pub(super) fn peek(&mut self) -> Option<u8> {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
        self.rest.bytes().next()
    }

    /// Takes the next value, of any type.
    pub(super) fn value(&mut self) -> Result<&'a str> {
        let mut values = serde_json::Deserializer::from_str(self.rest).into_iter::<&RawValue>();
        let raw = values.next().ok_or_else(|| Error::custom("a value is missing"))??;
        self.rest = self.rest.get(values.byte_offset()..).unwrap_or_default();
        Ok(raw.get())
    }

    /// Takes a string, as WTF-8.
    pub(super) fn string(&mut self) -> Result<Cow<'a, [u8]>> {
        struct Bytes;
        impl<'de> Visitor<'de> for Bytes {
            type Value = Cow<'de, [u8]>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_bytes<E>(
                self,
                bytes: &'de [u8],
            ) -> std::result::Result<Self::Value, E> {
                Ok(Cow::Borrowed(bytes))
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> std::result::Result<Self::Value, E> {
                Ok(Cow::Owned(bytes.to_vec()))
            }
        }
        // serde_json decodes bytes without checking for UTF-8.
        serde_json::Deserializer::from_str(self.value()?).deserialize_bytes(Bytes)
    }

    /// Opens the list or object that is next.
    pub(super) fn open(&mut self) -> Result<Elements<'_, 'a>> {
        let close = if self.take(b'[') { b']' } else { b'}' };
        if close == b'}' && !self.take(b'{') || self.depth == MAX_DEPTH {
            return Err(Error::custom("no list or object, or one that nests too deep"));
        }
        self.depth += 1;
        Ok(Elements { cursor: self, close, state: Position::First })
    }

    /// Returns an error if text is left.
    pub(super) fn end(&mut self) -> Result<()> {
        self.peek().map_or(Ok(()), |_| Err(Error::custom("trailing characters")))
    }

    fn text(&mut self) -> Result<Cow<'a, str>> {
        Ok(Decoded::from_wtf8(self.string()?).into_text())
    }

    fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        if is_next {
            self.rest = self.rest.get(1..).unwrap_or_default();
        }
        is_next
    }
}

impl<'a> Elements<'_, 'a> {
    /// Returns the cursor before the next element, or `None` after the last.
    pub(super) fn next_element(&mut self) -> Result<Option<&mut Cursor<'a>>> {
        if self.state == Position::Closed {
            return Ok(None);
        }
        if self.cursor.take(self.close) {
            self.state = Position::Closed;
            self.cursor.depth -= 1;
            return Ok(None);
        }
        if self.state == Position::Open && !self.cursor.take(b',') {
            return Err(Error::custom("a comma is missing"));
        }
        self.state = Position::Open;
        Ok(Some(self.cursor))
    }

    /// Returns the next member, or `None` after the last.
    pub(super) fn next_member(&mut self) -> Result<Option<Member<'_, 'a>>> {
        let Some(cursor) = self.next_element()? else { return Ok(None) };
        let key = cursor.string()?;
        if !cursor.take(b':') {
            return Err(Error::custom("a colon is missing"));
        }
        Ok(Some((key, cursor)))
    }

    /// Returns an error if elements are left.
    fn end(mut self) -> Result<()> {
        self.next_element()?.map_or(Ok(()), |_| Err(Error::custom("trailing elements")))
    }
}

impl<'de> Deserializer<'de> for &mut Cursor<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.peek() {
            Some(b'"') => match self.text()? {
                Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
                Cow::Owned(text) => visitor.visit_string(text),
            },
            Some(b'[') => {
                let mut elements = self.open()?;
                let value = visitor.visit_seq(&mut elements)?;
                elements.end().map(|()| value)
            }
            Some(b'{') => {
                let mut elements = self.open()?;
                let value = visitor.visit_map(&mut elements)?;
                elements.end().map(|()| value)
            }
            // Only serde_json's numbers see the visitor: its deserializer would be compiled for every
            // type a second time, which keeps the first one from being inlined.
            _ => match self.value()? {
                "null" => visitor.visit_unit(),
                "true" => visitor.visit_bool(true),
                "false" => visitor.visit_bool(false),
                number => serde_json::from_str::<Number>(number)?.deserialize_any(visitor),
            },
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        if self.peek() != Some(b'{') {
            return self.deserialize_any(visitor);
        }
        visitor.visit_map(Members::of(self)?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        if self.peek() == Some(b'n') {
            self.value()?;
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        if name == RAW_VALUE {
            let mut raw = serde_json::Deserializer::from_str(self.value()?);
            return raw.deserialize_newtype_struct(name, visitor);
        }
        if name == WITH_HALVES && self.peek() == Some(b'"') {
            return match self.string()? {
                Cow::Borrowed(bytes) => visitor.visit_borrowed_bytes(bytes),
                Cow::Owned(bytes) => visitor.visit_byte_buf(bytes),
            };
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        if self.peek() != Some(b'{') {
            return Key(self.text()?).deserialize_enum(name, variants, visitor);
        }
        let mut elements = self.open()?;
        let access = MapAccessDeserializer::new(&mut elements);
        let value = access.deserialize_enum(name, variants, visitor)?;
        elements.end().map(|()| value)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        serde_json::Deserializer::from_str(self.value()?).deserialize_bytes(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.value()?;
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string
        unit unit_struct seq tuple tuple_struct map identifier
    }
}

impl<'de> SeqAccess<'de> for &mut Elements<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        Elements::next_element(self)?.map(|cursor| seed.deserialize(cursor)).transpose()
    }
}

impl<'de> MapAccess<'de> for &mut Elements<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        let Some((key, _)) = self.next_member()? else { return Ok(None) };
        seed.deserialize(Key(Decoded::from_wtf8(key).into_text())).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value> {
        seed.deserialize(&mut *self.cursor)
    }
}

/// Members of an object. A struct accepts each of them only once.
struct Members<'a> {
    left: std::vec::IntoIter<(Cow<'a, str>, &'a str)>,
    value: Cursor<'a>,
    depth: u8,
}

impl<'a> Members<'a> {
    fn of(cursor: &mut Cursor<'a>) -> Result<Self> {
        let mut elements = cursor.open()?;
        let depth = elements.cursor.depth;
        let mut members: Vec<(Cow<'a, str>, &'a str)> = Vec::new();
        while let Some((key, cursor)) = elements.next_member()? {
            members.push((Decoded::from_wtf8(key).into_text(), cursor.value()?));
        }
        let mut seen = std::collections::HashSet::new();
        let mut last: Vec<bool> = members.iter().rev().map(|(key, _)| seen.insert(key)).collect();
        drop(seen);
        members.retain(|_| last.pop().unwrap_or_default());
        Ok(Self { left: members.into_iter(), value: Cursor::new(""), depth })
    }
}

impl<'de> MapAccess<'de> for Members<'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        let Some((key, value)) = self.left.next() else { return Ok(None) };
        self.value = Cursor { rest: value, depth: self.depth };
        seed.deserialize(Key(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value> {
        seed.deserialize(&mut self.value)
    }
}

/// Key of an object. It stands for a number or a bool if the type asks for one.
struct Key<'a>(Cow<'a, str>);

macro_rules! parsed {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            serde_json::Deserializer::from_reader(self.0.as_bytes()).$method(visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for Key<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.0 {
            Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
            Cow::Owned(text) => visitor.visit_string(text),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        let variant: serde::de::value::CowStrDeserializer<'_, Error> = self.0.into_deserializer();
        variant.deserialize_enum(name, variants, visitor)
    }

    parsed! {
        deserialize_bool
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64
    }

    forward_to_deserialize_any! {
        char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}

#[cfg(test)]
mod tests;
