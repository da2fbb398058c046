//! Decoding of items and their parts, member by member, so that a malformed member does not affect
//! the others.

use std::{borrow::Cow, collections::HashMap, fmt};

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::{
    event::fields::{MaybeText, Number},
    json::{DecodeError, Json, Key, Text},
};

/// Value of a member of an item.
pub(crate) trait Read: Sized {
    /// Name of the required type, for errors.
    const EXPECTED: &'static str = "an object";
    /// `true` if a list of these values is the content of its item: then no other type is accepted
    /// in its place.
    const REQUIRED_LIST: bool = false;

    /// Reads JSON that is not null.
    fn read(json: &Json) -> Option<Self>;

    /// Returns the only element of a list in whose place there is a string.
    fn of_text(_: &Json) -> Option<Self> {
        None
    }

    /// Returns the value for a missing member or null; `None` if the member is required.
    fn default_if_missing() -> Option<Self> {
        None
    }

    /// Returns the value for a member of another type; `None` if that is an error.
    fn default_if_wrong_type() -> Option<Self> {
        None
    }
}

/// Members of an object, as raw text. The last of duplicate names counts.
pub(crate) struct Members<'a> {
    object: &'a Json,
    found: Vec<(Key<'a>, &'a RawValue)>,
}

impl<'a> Members<'a> {
    pub(crate) fn of(object: &'a Json) -> Result<Self, DecodeError> {
        let Found(found) = object.decode()?;
        Ok(Self { object, found })
    }

    /// Returns the members as JSON text, `null` included.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &'a str)> {
        self.found.iter().map(|(name, raw)| (&**name, raw.get()))
    }

    /// Returns the members in the order of their names' last occurrences, `null` included.
    pub(crate) fn unique(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        // A server decides how many members there are.
        let places = self.found.iter().enumerate().map(|(place, (name, _))| (&**name, place));
        let last: HashMap<&str, usize> = places.collect();
        let all = self.found.iter().enumerate();
        all.map(|(place, (name, raw))| (place, &**name, *raw))
            .filter(move |(place, name, _)| last.get(name) == Some(place))
            .map(|(_, name, raw)| (name, raw))
    }

    /// Returns one member as JSON text, `null` included.
    pub(crate) fn raw(&self, name: &str) -> Option<&'a str> {
        self.found.iter().rfind(|(key, _)| **key == *name).map(|(_, raw)| raw.get())
    }

    pub(crate) fn read<T: Read>(&self, name: &'static str) -> Result<T, DecodeError> {
        let found = self.found.iter().rfind(|(key, _)| **key == *name);
        let value = match found.filter(|(_, raw)| raw.get() != "null") {
            Some((_, raw)) => T::read(&Json::slice_of(self.object.source(), raw))
                .or_else(T::default_if_wrong_type),
            None => T::default_if_missing(),
        };
        value.ok_or_else(|| DecodeError::expected(format!("`{name}`"), T::EXPECTED))
    }
}

/// Returns the `type` of an object.
pub(crate) fn type_of(json: &Json) -> Option<Cow<'_, str>> {
    json.member("type").ok().flatten()
}

/// Returns the elements of a list, as slices of its text.
pub(crate) fn elements(list: &Json) -> Option<impl Iterator<Item = Json> + '_> {
    let raws: Vec<&RawValue> = list.decode().ok()?;
    Some(raws.into_iter().map(|raw| Json::slice_of(list.source(), raw)))
}

/// String that identifies or classifies. Unless it is optional, it is required.
impl Read for String {
    const EXPECTED: &'static str = "a string";

    fn read(json: &Json) -> Option<Self> {
        json.decode::<MaybeText<'_>>().ok()?.0.map(|text| text.into_text().into_owned())
    }
}

/// Text of the model, a tool or a server. Empty if it is missing.
impl Read for Text {
    const EXPECTED: &'static str = "a string";

    fn read(json: &Json) -> Option<Self> {
        let text = json.decode::<MaybeText<'_>>().ok()?.0?;
        Some(Self::from_decoded(json.source(), text))
    }

    fn default_if_missing() -> Option<Self> {
        Some(Self::default())
    }
}

/// Text. JSON in its place stands for its own text.
pub(crate) struct Arguments(pub(crate) Text);

impl Read for Arguments {
    const EXPECTED: &'static str = "a string";

    fn read(json: &Json) -> Option<Self> {
        let text = match json.as_str().starts_with(['{', '[']) {
            true => Text::slice_of(json.source(), json.as_str()),
            false => Text::read(json)?,
        };
        Some(Self(text))
    }

    fn default_if_missing() -> Option<Self> {
        Text::default_if_missing().map(Self)
    }
}

impl Read for Json {
    fn read(json: &Json) -> Option<Self> {
        Some(json.clone())
    }
}

impl Read for bool {
    fn read(json: &Json) -> Option<Self> {
        json.decode().ok()
    }
}

impl Read for u64 {
    fn read(json: &Json) -> Option<Self> {
        json.decode::<Number<'_>>().ok()?.0
    }
}

/// Some servers write integers as floats.
impl Read for i64 {
    fn read(json: &Json) -> Option<Self> {
        let float = || {
            let number: f64 = json.decode().ok()?;
            #[expect(clippy::cast_possible_truncation, reason = "range checked")]
            let whole = (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as Self);
            whole
        };
        json.decode().ok().or_else(float)
    }
}

impl Read for f64 {
    fn read(json: &Json) -> Option<Self> {
        json.decode().ok()
    }
}

impl<T: Read> Read for Option<T> {
    fn read(json: &Json) -> Option<Self> {
        T::read(json).map(Some)
    }

    fn default_if_missing() -> Option<Self> {
        Some(None)
    }

    fn default_if_wrong_type() -> Option<Self> {
        Some(None)
    }
}

/// Elements of another type are skipped.
impl<T: Read> Read for Vec<T> {
    const EXPECTED: &'static str = "a list";

    fn read(json: &Json) -> Option<Self> {
        if let Some(element) = T::of_text(json) {
            return Some(vec![element]);
        }
        Some(elements(json)?.filter_map(|element| T::read(&element)).collect())
    }

    fn default_if_missing() -> Option<Self> {
        Some(Self::new())
    }

    fn default_if_wrong_type() -> Option<Self> {
        (!T::REQUIRED_LIST).then(Self::new)
    }
}

/// Members of an object, in their order.
struct Found<'a>(Vec<(Key<'a>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Found<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Found<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found<'de>, A::Error> {
                let mut found = Vec::new();
                while let Some(key) = map.next_key()? {
                    found.push((key, map.next_value()?));
                }
                Ok(Found(found))
            }
        }
        deserializer.deserialize_map(Object)
    }
}
