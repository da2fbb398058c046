//! The `id` of an object in a payload, read without its other members.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::json::Key;

/// The member `id` of an object, of any type. `None` if there is none, or no object.
#[derive(Default)]
pub(super) struct IdOf<'a>(pub(super) Option<&'a RawValue>);

struct Object;

macro_rules! no_object {
    ($($visit:ident: $type:ty),*) => {$(
        fn $visit<E>(self, _: $type) -> Result<Self::Value, E> {
            Ok(IdOf(None))
        }
    )*};
}

impl<'de> Visitor<'de> for Object {
    type Value = IdOf<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut id = None;
        while let Some(key) = map.next_key::<Key<'de>>()? {
            match &*key {
                // The last of duplicate members counts.
                "id" => id = Some(map.next_value()?),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(IdOf(id))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(IdOf(None))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(IdOf(None))
    }

    no_object!(visit_bool: bool, visit_u64: u64, visit_i64: i64, visit_f64: f64, visit_str: &str);
}

impl<'de: 'a, 'a> Deserialize<'de> for IdOf<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Object)
    }
}
