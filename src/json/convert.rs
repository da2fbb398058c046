//! Conversions from Rust values to JSON and back.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::Json;

macro_rules! scalars {
    ($($type:ty),*) => {$(
        impl From<$type> for Json {
            fn from(value: $type) -> Self {
                Self::from(Value::from(value))
            }
        }
    )*};
}

scalars!(bool, i8, i16, i32, i64, isize, u8, u16, u32, u64, usize);

/// Converts a number. NaN and the infinities, which JSON does not have, become `null`.
impl From<f64> for Json {
    fn from(value: f64) -> Self {
        Self::from(Value::from(value))
    }
}

/// Converts a text to a JSON string. [`Json::parse`] reads a text that is JSON already.
impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Self::from(Value::from(text))
    }
}

/// Converts a text to a JSON string. [`Json::parse`] reads a text that is JSON already.
impl From<String> for Json {
    fn from(text: String) -> Self {
        Self::from(Value::from(text))
    }
}

/// Converts a text to a JSON string. [`Json::parse`] reads a text that is JSON already.
impl From<&String> for Json {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<&Self> for Json {
    fn from(json: &Self) -> Self {
        json.clone()
    }
}

impl From<Value> for Json {
    fn from(value: Value) -> Self {
        Self::from(&value)
    }
}

impl From<&Value> for Json {
    fn from(value: &Value) -> Self {
        Self::from_trusted(value.to_string())
    }
}

/// Collects the members of an object, in the order of the iterator. The last of duplicate names
/// counts.
impl<K: Into<String>, V: Into<Json>> FromIterator<(K, V)> for Json {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(members: I) -> Self {
        let mut text = String::from("{");
        for (name, value) in members {
            if text.len() > 1 {
                text.push(',');
            }
            text.push_str(&Value::from(name.into()).to_string());
            text.push(':');
            text.push_str(value.into().as_str());
        }
        text.push('}');
        Self::from_trusted(text)
    }
}

/// Converts the members to an object, in their order.
impl<K: Into<String>, V: Into<Json>, const N: usize> From<[(K, V); N]> for Json {
    fn from(members: [(K, V); N]) -> Self {
        members.into_iter().collect()
    }
}

/// Converts the map to an object, in the order of its keys.
impl<K: Into<String>, V: Into<Json>> From<BTreeMap<K, V>> for Json {
    fn from(members: BTreeMap<K, V>) -> Self {
        members.into_iter().collect()
    }
}

/// Converts the map to an object, in the order of its keys, so that equal maps give equal text.
impl<K: Into<String>, V: Into<Json>, S> From<HashMap<K, V, S>> for Json {
    fn from(members: HashMap<K, V, S>) -> Self {
        let members = members.into_iter().map(|(name, value)| (name.into(), value));
        Self::from(members.collect::<BTreeMap<String, V>>())
    }
}

/// Converts the value for code that works with `serde_json`, for example to index it.
///
/// Numbers that do not fit into 64 bits are rounded, an unpaired surrogate becomes U+FFFD, and the
/// last of duplicate members counts. A value that `serde_json` cannot hold becomes `null`: one that
/// nests deeper than 127 levels, or has a number beyond the range of `f64`.
impl From<&Json> for Value {
    fn from(json: &Json) -> Self {
        json.decode().unwrap_or_default()
    }
}

/// Converts the value like `Value::from(&json)`.
impl From<Json> for Value {
    fn from(json: Json) -> Self {
        Self::from(&json)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(json: impl Into<Json>) -> String {
        json.into().as_str().to_owned()
    }

    #[test]
    fn values_of_rust_become_json() {
        assert_eq!(text(true), "true");
        assert_eq!(text(1), "1");
        assert_eq!(text(-7_i8), "-7");
        assert_eq!(text(u64::MAX), "18446744073709551615");
        assert_eq!(text(0.5), "0.5");
        assert_eq!(text(f64::NAN), "null");
        assert_eq!(text("a\"b"), r#""a\"b""#);
        assert_eq!(text("{}"), r#""{}""#, "a text, and not JSON text");
        let (owned, value) = ("a".to_owned(), json!([1, null]));
        assert_eq!((text(&owned), text(owned)), (r#""a""#.into(), r#""a""#.into()));
        assert_eq!((text(&value), text(value)), ("[1,null]".into(), "[1,null]".into()));
        let json = Json::parse("[ 1.50 ]").unwrap();
        assert_eq!(text(&json), "[ 1.50 ]");
    }

    #[test]
    fn members_become_an_object_in_order() {
        assert_eq!(text([("z", "1"), ("a", "2")]), r#"{"z":"1","a":"2"}"#);
        assert_eq!(text([("k\"", Json::from([("n", 1)]))]), r#"{"k\"":{"n":1}}"#);
        assert_eq!(text(BTreeMap::<String, u8>::new()), "{}");
        assert_eq!(text(BTreeMap::from([("z", 1), ("a", 2)])), r#"{"a":2,"z":1}"#);
        let map: HashMap<String, u64> = (0..9).rev().map(|n| (n.to_string(), n)).collect();
        let sorted = r#"{"0":0,"1":1,"2":2,"3":3,"4":4,"5":5,"6":6,"7":7,"8":8}"#;
        assert_eq!(text(map), sorted);
        let collected: Json = vec![("z", true), ("a", false)].into_iter().collect();
        assert_eq!(collected.as_str(), r#"{"z":true,"a":false}"#);
    }

    #[test]
    fn json_becomes_a_value_as_far_as_that_holds_it() {
        let value = |text: &str| Value::from(Json::from_trusted(text.to_owned()));
        assert_eq!(value(r#"{"a":[1,{"b":null}]}"#)["a"][1]["b"], Value::Null);
        assert_eq!(value(r#"{"a":1,"a":2}"#), json!({"a": 2}));
        assert_eq!(value(r#"["\ud83d"]"#), json!(["\u{fffd}"]));
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        for beyond in ["[1e400]", &deep] {
            assert_eq!(value(beyond), Value::Null, "{beyond}");
        }
    }
}
