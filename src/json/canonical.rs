//! Digest of a JSON value, independent of its spelling.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use sha2::{Digest as _, Sha256};

use super::{
    key::Key,
    number::{Large, Number},
    tree::Tree,
};

/// Digest: SHA-256 cut to 128 bits. Contents come from tools and the web, and a digest that an
/// attacker can steer would let an edited history pass for the old one.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Digest([u8; 16]);

impl Digest {
    /// Returns the digest of this one followed by `next`: a chain over a list.
    pub(crate) fn chain(self, next: Self) -> Self {
        Hash::new(b'+').with(&self.0).with(&next.0).finish()
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Returns the digest of the bytes of a text, for JSON that nests too deeply for a canonical one.
pub(crate) fn digest_of_text(text: &str) -> Digest {
    Hash::new(b'x').with(text.as_bytes()).finish()
}

/// Returns the digest of one JSON value. Equal values have equal digests, whatever the order of
/// keys, the white space, the escapes and the spelling of numbers. The last of duplicate keys
/// counts.
pub(crate) fn digest_of(text: &str) -> Result<Digest, serde_json::Error> {
    // serde_json stops at an unpaired surrogate, and reads large numbers as doubles.
    fast(text).or_else(|error| Tree::read(text).map(|tree| exact(&tree)).map_err(|_| error))
}

fn fast(text: &str) -> Result<Digest, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let digest = Canonical.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(digest)
}

/// Returns the same digest as [`Canonical`], for any value.
fn exact(tree: &Tree<'_>) -> Digest {
    match tree {
        Tree::Null => null(),
        Tree::Bool(value) => bool(*value),
        Tree::Number(value) => number(value),
        Tree::Text(wtf8) => string(wtf8),
        Tree::List(list) => {
            let list = list.iter().map(exact);
            list.fold(Hash::new(b'['), |hash, digest| hash.with(&digest.0)).finish()
        }
        Tree::Object(members) => {
            let members = members.iter().map(|(key, tree)| (key, exact(tree)));
            members.fold(Hash::new(b'{'), |hash, (key, it)| hash.with_member(key, it)).finish()
        }
    }
}

fn null() -> Digest {
    Hash::new(b'n').finish()
}

fn bool(value: bool) -> Digest {
    Hash::new(if value { b't' } else { b'f' }).finish()
}

fn string(wtf8: &[u8]) -> Digest {
    Hash::new(b's').with(wtf8).finish()
}

fn integer(value: impl Into<i128>) -> Digest {
    Hash::new(b'i').with(&value.into().to_le_bytes()).finish()
}

fn number(value: &Number<'_>) -> Digest {
    match value {
        Number::Integer(value) => integer(*value),
        Number::Double(value) => Hash::new(b'd').with(&value.to_le_bytes()).finish(),
        Number::Large(value) => {
            let Large { negative, digits, exponent } = &**value;
            let kind = if *negative { b'-' } else { b'I' };
            Hash::new(kind).with(&exponent.to_le_bytes()).with(digits.as_bytes()).finish()
        }
    }
}

struct Hash(Sha256);

impl Hash {
    /// Returns a hash that starts with `kind`, which keeps values of different types apart.
    fn new(kind: u8) -> Self {
        Self(Sha256::new_with_prefix([kind]))
    }

    fn with(mut self, bytes: &[u8]) -> Self {
        self.0.update(bytes);
        self
    }

    fn with_member(self, key: &[u8], digest: Digest) -> Self {
        // No text has 2^64 bytes or more.
        let length = u64::try_from(key.len()).unwrap_or(u64::MAX);
        self.with(&length.to_le_bytes()).with(key).with(&digest.0)
    }

    fn finish(self) -> Digest {
        let mut digest = Digest::default();
        for (to, from) in digest.0.iter_mut().zip(self.0.finalize()) {
            *to = from;
        }
        digest
    }
}

struct Canonical;

impl<'de> DeserializeSeed<'de> for Canonical {
    type Value = Digest;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Digest, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Canonical {
    type Value = Digest;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Digest, E> {
        Ok(null())
    }

    fn visit_bool<E>(self, value: bool) -> Result<Digest, E> {
        Ok(bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Digest, E> {
        Ok(integer(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Digest, E> {
        Ok(integer(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Digest, E> {
        let exact = Number::of_double(value).ok_or_else(|| E::custom("only its text is exact"))?;
        Ok(number(&exact))
    }

    fn visit_str<E>(self, value: &str) -> Result<Digest, E> {
        Ok(string(value.as_bytes()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Digest, A::Error> {
        let mut hash = Hash::new(b'[');
        while let Some(digest) = seq.next_element_seed(Self)? {
            hash = hash.with(&digest.0);
        }
        Ok(hash.finish())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Digest, A::Error> {
        let mut members: Vec<(Key<'de>, Digest)> = Vec::new();
        while let Some(key) = map.next_key()? {
            members.push((key, map.next_value_seed(Self)?));
        }
        // The sort is stable, so that the last of equal keys stays last.
        members.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut hash = Hash::new(b'{');
        let mut members = members.into_iter().peekable();
        while let Some((key, digest)) = members.next() {
            if members.peek().is_some_and(|next| next.0 == key) {
                continue;
            }
            hash = hash.with_member(key.as_bytes(), digest);
        }
        Ok(hash.finish())
    }
}

/// Returns `true` if both paths return the same digest.
#[cfg(test)]
pub(super) fn is_same_both_ways(text: &str) -> bool {
    matches!((fast(text), Tree::read(text)), (Ok(fast), Ok(tree)) if fast == exact(&tree))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn digest(text: &str) -> Digest {
        digest_of(text).unwrap()
    }

    #[test]
    fn spelling_does_not_count() {
        for (a, b) in [
            ("1", "1.0"),
            ("100", "1e2"),
            ("-0.0", "0"),
            ("18446744073709551615", "18446744073709551615"),
            (r#""é""#, r#""\u00e9""#),
            (r#"{"a":1,"b":[2,{}]}"#, "{ \"b\" : [ 2.0 , { } ] , \"a\" : 1 }"),
            (r#"{"a":1,"a":2}"#, r#"{"a":2}"#),
        ] {
            assert_eq!(digest(a), digest(b), "{a} {b}");
        }
    }

    #[test]
    fn values_count() {
        let texts = [
            "null",
            "false",
            "true",
            "0",
            "1",
            "0.5",
            "\"\"",
            "\"0\"",
            "[]",
            "{}",
            "[[]]",
            "[0]",
            "[0,0]",
            r#"{"a":null}"#,
            r#"{"a":{}}"#,
            r#"{"ab":1}"#,
            r#"{"a":1,"b":1}"#,
        ];
        for (i, a) in texts.iter().enumerate() {
            assert_ne!(digest(a), Digest::default(), "{a}");
            for (j, b) in texts.iter().enumerate() {
                assert_eq!(digest(a) == digest(b), i == j, "{a} {b}");
            }
        }
    }

    #[test]
    fn a_text_that_is_no_json_has_a_digest_of_its_bytes() {
        let texts = ["", "1", "1.0", "[["].map(digest_of_text);
        for (i, a) in texts.iter().enumerate() {
            assert!(*a != Digest::default() && *a != digest("1"));
            assert!(texts.iter().enumerate().all(|(j, b)| (a == b) == (i == j)));
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            (-1e6..1e6f64).prop_map(Value::from),
            ".{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map(".{0,3}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn equal_digests_mean_equal_values(a in value(), b in value()) {
            prop_assert_eq!(digest(&a.to_string()) == digest(&b.to_string()), a == b);
            prop_assert_eq!(digest(&a.to_string()), digest(&serde_json::to_string_pretty(&a).unwrap()));
            prop_assert!(is_same_both_ways(&a.to_string()));
        }
    }

    #[test]
    fn chains_depend_on_order() {
        let (a, b) = (digest("1"), digest("2"));
        let chain = |x: Digest, y: Digest| Digest::default().chain(x).chain(y);
        assert_ne!(chain(a, b), chain(b, a));
        assert_ne!(json!([1, 2]), json!([2, 1]));
    }
}
