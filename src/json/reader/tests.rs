use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::json::{Json, digest_of, same_item, tree::Tree};

/// Reads as a `T` what serde_json need not have refused.
fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T> {
    let mut cursor = Cursor::new(text);
    let value = T::deserialize(&mut cursor)?;
    cursor.end().map(|()| value)
}

#[derive(Debug, Deserialize, PartialEq)]
struct Everything {
    #[serde(default)]
    a: Option<Box<Everything>>,
    b: Vec<Kind>,
    c: BTreeMap<i8, (u64, f32)>,
    d: Option<Option<bool>>,
    e: Newtype,
    f: (),
    #[serde(default)]
    g: char,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Debug, Deserialize, PartialEq)]
struct Newtype(i128);

#[derive(Debug, Deserialize, PartialEq)]
enum Kind {
    Unit,
    One(u8),
    Two(u8, String),
    Named { x: Option<u8> },
}

#[test]
fn whatever_serde_derives_is_read_alike() {
    let text = r#" {"b":["Unit",{"One":1},{"Two":[1,"\u00e9"]},{"Named":{"x":null}},{"Named":{}}],
        "c":{"-1":[18446744073709551615,1.5],"7":[0,1e3]},"d":true,"e":-5,"f":null,"g":"x","h":[{}],
        "a":{"b":[],"c":{},"d":null,"e":7,"f":null}} "#;
    let expected: Everything = serde_json::from_str(text).unwrap();
    assert_eq!(read::<Everything>(text).unwrap(), expected);
}

#[test]
fn c121_halves_show_replacements_and_raw_values_stay() {
    let text = r#"{"\ud83d":"\uDE00x","b":{"\ud83e":[ "\ud83d\ud83d\ude00" ]}}"#;
    let value: Value = from_str(text).unwrap();
    assert_eq!(value, json!({"\u{fffd}": "\u{fffd}x", "b": {"\u{fffd}": ["\u{fffd}😀"]}}));
    let raw: BTreeMap<String, Json> = from_str(text).unwrap();
    assert_eq!(raw["\u{fffd}"].as_str(), r#""\uDE00x""#);
    assert_eq!(raw["b"].as_str(), r#"{"\ud83e":[ "\ud83d\ud83d\ude00" ]}"#);
    let borrowed: BTreeMap<String, &RawValue> = from_str(text).unwrap();
    assert_eq!(borrowed["b"].get(), raw["b"].as_str());
    let json = Json::parse(text).unwrap();
    assert_eq!(json.member::<String>("\u{fffd}").unwrap().unwrap(), "\u{fffd}x");
    assert_eq!(json.as_str(), text);
}

#[test]
fn the_last_of_a_member_given_twice_counts() {
    #[derive(Deserialize)]
    struct Two {
        a: u8,
        b: u8,
    }
    let two: Two = from_str(r#"{"a":1,"b":2,"\u0061":3}"#).unwrap();
    assert_eq!((two.a, two.b), (3, 2));
    for (a, b) in [
        (r#"{"\ud83d":1,"\uD83D":2}"#, r#"{"\ud83d":2}"#),
        (r#"{"a":1,"\u0061":"\ud83d"}"#, r#"{"a":"\ud83d"}"#),
    ] {
        assert_eq!(digest_of(a).unwrap(), digest_of(b).unwrap());
        assert!(same_item(a, b) && same_item(b, a));
    }
}

#[test]
fn c147_items_are_compared_exactly() {
    let item = |n: &str| format!(r#"{{"n":[{n}]}}"#);
    for (a, b, is_same) in [
        ("9007199254740993", "9007199254740992", false),
        ("9007199254740993", "9007199254740993.0", true),
        ("18446744073709551617", "18446744073709551616", false),
        ("100000000000000000000", "1E+20", true),
        ("1e400", "10e399", true),
        ("1e999999999999", "1e999999999998", false),
        ("-0", "0.0", true),
        ("0.5", "5e-1", true),
        ("0.5", "0.25", false),
    ] {
        let (a, b) = (item(a), item(b));
        assert_eq!(same_item(&a, &b), is_same, "{a} {b}");
        assert_eq!(digest_of(&a).unwrap() == digest_of(&b).unwrap(), is_same, "{a} {b}");
        assert_eq!(Json::parse(a).unwrap() == Json::parse(b).unwrap(), is_same);
    }
}

#[test]
fn what_serde_json_refuses_otherwise_is_refused() {
    let half = r#""\ud83d""#;
    for text in [
        "",
        "[",
        "{",
        "[1,]",
        "[,1]",
        "[1 2]",
        r#"{"a":1,}"#,
        r#"{"a" 1}"#,
        r#"{a:1}"#,
        "{,}",
        r#"{"a":1 "b":2}"#,
        "[1]]",
        "[1] 2",
        "nul",
        "01",
        "1.",
        "\"\u{1}\"",
        r#""\x""#,
        r#""\ud83""#,
        "[}",
        "{]",
        "[1}",
    ] {
        assert!(read::<Value>(text).is_err(), "{text}");
        let with_half = format!("[{half},{text}]");
        assert!(read::<Value>(&with_half).is_err() && Tree::read(&with_half).is_err(), "{text}");
    }
    for (depth, is_read) in [(127, true), (128, false), (100_000, false)] {
        let deep = format!("{}{half}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(Tree::read(&deep).is_ok(), is_read, "{depth}");
        assert_eq!(read::<Value>(&deep).is_ok(), is_read, "{depth}");
        assert_eq!(Json::parse(deep.replace("ud83d", "u0041")).is_ok(), is_read, "{depth}");
    }
}

/// A JSON value whose texts are UTF-16, halves of pairs included.
#[derive(Clone, Debug, PartialEq)]
enum Model {
    Number(u8),
    Text(Vec<u16>),
    List(Vec<Model>),
    Object(BTreeMap<Vec<u16>, Model>),
}

fn units() -> impl Strategy<Value = Vec<u16>> {
    prop::collection::vec(prop::sample::select(vec![0x61, 0xe9, 0xd83d, 0xd83e, 0xde00]), 0..4)
}

fn model() -> impl Strategy<Value = Model> {
    let leaf = prop_oneof![(0..2u8).prop_map(Model::Number), units().prop_map(Model::Text)];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Model::List),
            prop::collection::btree_map(units(), inner, 0..3).prop_map(Model::Object),
        ]
    })
}

impl Model {
    fn text(units: &[u16], anew: bool) -> String {
        let escape = |unit: &u16| match (anew, unit) {
            (true, 0x61) => "a".to_owned(),
            (true, unit) => format!("\\u{unit:04X}"),
            (false, unit) => format!("\\u{unit:04x}"),
        };
        format!("\"{}\"", units.iter().map(escape).collect::<String>())
    }

    /// One of two ways to write it.
    fn json(&self, anew: bool) -> String {
        match self {
            Self::Number(number) => format!("{number}{}", if anew { ".0" } else { "" }),
            Self::Text(units) => Self::text(units, anew),
            Self::List(list) => {
                let list: Vec<String> = list.iter().map(|element| element.json(anew)).collect();
                format!("[{}]", list.join(if anew { " ,\n" } else { "," }))
            }
            Self::Object(members) => {
                let member = |(key, value): (&Vec<u16>, &Self)| {
                    format!("{}:{}", Self::text(key, anew), value.json(anew))
                };
                let mut members: Vec<String> = members.iter().map(member).collect();
                if anew {
                    members.reverse();
                }
                format!("{{{}}}", members.join(","))
            }
        }
    }

    fn value(&self) -> Value {
        match self {
            Self::Number(number) => json!(number),
            Self::Text(units) => json!(String::from_utf16_lossy(units)),
            Self::List(list) => list.iter().map(Self::value).collect(),
            Self::Object(members) => {
                let member = |(key, value): (&Vec<u16>, &Self)| {
                    (String::from_utf16_lossy(key), value.value())
                };
                Value::Object(members.iter().map(member).collect())
            }
        }
    }
}

proptest! {
    #[test]
    fn c121_values_are_equal_by_their_escapes(a in model(), b in model()) {
        for (b, is_same) in [(&a, true), (&b, a == b)] {
            let (a, b) = (a.json(false), b.json(true));
            prop_assert_eq!(digest_of(&a).unwrap() == digest_of(&b).unwrap(), is_same);
            prop_assert_eq!(Tree::read(&a).unwrap() == Tree::read(&b).unwrap(), is_same);
            let object = |value: &str| format!(r#"{{"a":{value}}}"#);
            prop_assert_eq!(same_item(&object(&a), &object(&b)), is_same);
        }
    }

    #[test]
    fn c121_values_show_replacements(a in model()) {
        let text = a.json(false);
        prop_assert_eq!(from_str::<Value>(&text).unwrap(), a.value());
        let parts: Option<Vec<&RawValue>> = from_str(&text).ok();
        for part in parts.into_iter().flatten() {
            prop_assert!(text.contains(part.get()));
        }
    }

    /// On all other texts, good and broken, both readers agree.
    #[test]
    fn the_readers_agree(text in r#"[\[\]{}:,"a\\u01e. -]{0,12}|[\[{]("a":)?(1|"b"|\[\])[,:]?[\]}]"#) {
        prop_assert_eq!(read::<Value>(&text).ok(), serde_json::from_str(&text).ok());
        if serde_json::from_str::<Value>(&text).is_ok() {
            prop_assert!(Tree::read(&text).is_ok());
        }
    }
}
