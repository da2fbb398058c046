//! Parts of JSON values: slices of the same text, and copies with one member changed.

use serde_json::value::RawValue;

use self::sealed::Sealed;
use super::{Json, reader::Cursor};

/// Place in a JSON value: the name of a member (`&str`), or the index of an element (`usize`).
///
/// The trait is the argument of [`Json::get`] and cannot be implemented outside this crate.
///
/// ```
/// use responses_client::Json;
///
/// let json = Json::parse(r#"{"a": [1, 2]}"#)?;
/// let second = json.get("a").and_then(|list| list.get(1));
/// assert_eq!(second, Some(2.into()));
/// # Ok::<_, responses_client::error::DecodeError>(())
/// ```
pub trait JsonIndex: Sealed {}

// One for each type, so that the compiler lists them where an argument is of another type.
impl JsonIndex for &str {}
impl JsonIndex for &String {}
impl JsonIndex for usize {}

mod sealed {
    use super::Json;

    /// Finds the text of a part of `json`.
    #[expect(unnameable_types, reason = "only this crate implements the trait")]
    pub trait Sealed {
        fn part_of(self, json: &Json) -> Option<&str>;
    }
}

impl Sealed for &str {
    fn part_of(self, json: &Json) -> Option<&str> {
        json.raw_member(self).ok().flatten().map(RawValue::get)
    }
}

impl Sealed for &String {
    fn part_of(self, json: &Json) -> Option<&str> {
        self.as_str().part_of(json)
    }
}

impl Sealed for usize {
    fn part_of(self, json: &Json) -> Option<&str> {
        if !json.as_str().starts_with('[') {
            return None;
        }
        let mut cursor = Cursor::new(json.as_str());
        let mut elements = cursor.open().ok()?;
        for _ in 0..self {
            elements.next_element().ok()??.value().ok()?;
        }
        elements.next_element().ok()??.value().ok()
    }
}

impl Json {
    /// Returns the member or the element at `index`, as a slice of the same text. `None` if there
    /// is none, or if the value is of another type. The last of duplicate members counts.
    ///
    /// ```
    /// use responses_client::Json;
    ///
    /// let json = Json::parse(r#"{"usage": {"tokens": [3, 5]}}"#)?;
    /// let tokens = json.get("usage").and_then(|usage| usage.get("tokens"));
    /// assert_eq!(tokens.and_then(|tokens| tokens.get(1)), Some(Json::from(5)));
    /// assert_eq!(json.get("cost"), None);
    /// # Ok::<_, responses_client::error::DecodeError>(())
    /// ```
    ///
    /// `json["usage"]` does not compile, because an index returns a reference, and the parts of a
    /// text are no values that a reference could point to. Convert the JSON to index it:
    ///
    /// ```
    /// # use responses_client::Json;
    /// # let json = Json::parse(r#"{"usage": {"tokens": [3, 5]}}"#)?;
    /// let value = serde_json::Value::from(json);
    /// assert_eq!(value["usage"]["tokens"][1], 5);
    /// # Ok::<_, responses_client::error::DecodeError>(())
    /// ```
    pub fn get(&self, index: impl JsonIndex) -> Option<Self> {
        index.part_of(self).map(|part| Self::from_trusted(self.source().slice_ref(part)))
    }

    /// Returns the part at a JSON pointer ([RFC 6901](https://www.rfc-editor.org/rfc/rfc6901)), as
    /// a slice of the same text. `""` is the value itself; `~1` stands for `/` in a name, and `~0`
    /// for `~`. `None` if there is no such part.
    ///
    /// ```
    /// use responses_client::Json;
    ///
    /// let json = Json::parse(r#"{"a": [{"b": true}]}"#)?;
    /// assert_eq!(json.pointer("/a/0/b"), Some(Json::from(true)));
    /// # Ok::<_, responses_client::error::DecodeError>(())
    /// ```
    pub fn pointer(&self, pointer: &str) -> Option<Self> {
        if pointer.is_empty() {
            return Some(self.clone());
        }
        let mut tokens = pointer.strip_prefix('/')?.split('/');
        tokens.try_fold(self.clone(), |json, token| {
            if !json.as_str().starts_with('[') {
                return json.get(&token.replace("~1", "/").replace("~0", "~"));
            }
            // The RFC has no other spelling of an index.
            let index = token.parse::<usize>().ok()?;
            if index.to_string() == token { json.get(index) } else { None }
        })
    }

    /// Returns a copy of the object in which the member `name` is `value`. The rest of the text
    /// stays as it is; a member that is added is the last. A value that is no object is replaced by
    /// an object with this member only.
    pub(crate) fn with_member(&self, name: &'static str, value: &Self) -> Self {
        let text = self.as_str();
        let Some(head) = text.strip_suffix('}') else {
            return Self::from([(name, value)]);
        };
        if let Some(old) = name.part_of(self) {
            let start = old.as_ptr().addr() - text.as_ptr().addr();
            let (head, rest) = text.split_at(start);
            let (_, tail) = rest.split_at(old.len());
            return Self::from_trusted([head, value.as_str(), tail].concat());
        }
        let comma = if head.trim_end().ends_with('{') { "" } else { "," };
        Self::from_trusted(format!("{head}{comma}\"{name}\":{}}}", value.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Json {
        Json::parse(text).unwrap()
    }

    #[test]
    fn a_part_is_a_slice_of_the_same_text() {
        let json = json(r#" {"a\u0062" : [ 1.50 , {"\ud83d":null} ] , "x":1,"x": "last"} "#);
        let list = json.get("ab").unwrap();
        assert_eq!(list.as_str(), r#"[ 1.50 , {"\ud83d":null} ]"#);
        assert_eq!(list.get(0).unwrap().as_str(), "1.50");
        assert_eq!(list.get(1).unwrap().as_str(), r#"{"\ud83d":null}"#);
        assert_eq!(json.get(&"x".to_owned()).unwrap().as_str(), r#""last""#);
        let (whole, part) = (json.as_str().as_bytes().as_ptr_range(), list.as_str().as_ptr());
        assert!(whole.contains(&part), "not a copy");
        for none in [list.get(2), list.get("ab"), json.get("a"), json.get(0)] {
            assert_eq!(none, None);
        }
        assert_eq!(Json::from("text").get(0), None);
        assert_eq!(json.get(usize::MAX), None);
    }

    #[test]
    fn a_pointer_leads_through_objects_and_lists() {
        let json = json(r#"{"a/b":[[0,{"~":7,"":8,"0":9}]],"~1":1}"#);
        let at = |pointer: &str| json.pointer(pointer).map(|part| part.as_str().to_owned());
        for (pointer, part) in [
            ("/a~1b/0/1/~0", "7"),
            ("/a~1b/0/1/", "8"),
            ("/a~1b/0/1/0", "9"),
            ("/a~1b/0/0", "0"),
            ("/~01", "1"),
        ] {
            assert_eq!(at(pointer).as_deref(), Some(part), "{pointer}");
        }
        assert_eq!(json.pointer(""), Some(json.clone()));
        for pointer in ["a", "/", "/a", "/a~1b/1", "/a~1b/00", "/a~1b/+0", "/a~1b/-", "/a~1b/0/0/0"]
        {
            assert_eq!(at(pointer), None, "{pointer}");
        }
    }

    #[test]
    fn one_member_is_changed_and_the_rest_stays_as_it_is() {
        let one = Json::from(1);
        for (before, after) in [
            ("{}", r#"{"n":1}"#),
            ("{ }", r#"{ "n":1}"#),
            (r#"{"a" : {} }"#, r#"{"a" : {} ,"n":1}"#),
            (r#"{ "z":0, "n" : [ 2 ] , "a":0 }"#, r#"{ "z":0, "n" : 1 , "a":0 }"#),
            (r#"{"n":0,"n":2}"#, r#"{"n":0,"n":1}"#),
            (r#""text""#, r#"{"n":1}"#),
            ("[7]", r#"{"n":1}"#),
        ] {
            assert_eq!(json(before).with_member("n", &one).as_str(), after);
        }
    }
}
