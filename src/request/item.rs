//! Items: the messages, calls and outputs of a history.

use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, OnceLock},
};

use serde::{Deserialize, Serialize, Serializer, de};
use serde_json::value::RawValue;

use crate::json::{self, DecodeError, Digest, Json, digest_of, digest_of_text};

/// Item of a history, as the JSON text that is sent. Cloning is cheap.
///
/// Items that the server sent, and items of types that this crate does not know, are kept byte for
/// byte. `==` compares values. `Debug` shows only the length.
///
/// ```
/// use responses_client::Item;
///
/// let question = Item::user("Why is the sky blue?");
/// assert_eq!(question.as_text().as_deref(), Some("Why is the sky blue?"));
/// let any = Item::from_json(r#"{"type": "item_of_tomorrow", "n": 1}"#)?;
/// assert_eq!(any.item_type(), "item_of_tomorrow");
/// # Ok::<_, responses_client::error::DecodeError>(())
/// ```
#[derive(Clone)]
pub struct Item(Arc<Inner>);

struct Inner {
    json: Json,
    /// The item as the server sent it, if `json` is another form of it.
    received: Option<Json>,
    digest: OnceLock<Digest>,
    /// The strings of [`NAMES`], decoded, if one of them has escapes.
    decoded: OnceLock<Box<[(&'static str, String)]>>,
}

/// Members that classify or identify an item.
const NAMES: [&str; 4] = ["type", "role", "id", "call_id"];

/// Part of the content of a message, or of an output.
#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow)]
    text: Option<Piece<'a>>,
}

/// String, borrowed from the item if it has no escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Piece<'a>(#[serde(borrow)] Cow<'a, str>);

impl Item {
    /// Returns any item, from a `serde_json::Value` or from JSON text, which is sent byte for byte.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if `json` is not one JSON object.
    pub fn from_json(json: impl Into<Json>) -> Result<Self, DecodeError> {
        Self::try_from(Json::parse(Json::given_text(json))?)
    }

    /// Serializes any item with serde.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if `value` does not serialize to a JSON object.
    pub fn from_serialize<T: Serialize + ?Sized>(value: &T) -> Result<Self, DecodeError> {
        Self::try_from(Json::from_serialize(value)?)
    }

    /// Returns the item as sent.
    pub fn json(&self) -> &Json {
        &self.0.json
    }

    /// Returns `type`. An item without a type is a `message`.
    pub fn item_type(&self) -> &str {
        self.string("type").unwrap_or("message")
    }

    /// Returns `role`, for example `user`; `None` if the item is not a message.
    pub fn role(&self) -> Option<&str> {
        self.string("role")
    }

    /// Returns `id`, or `None` if the item has none.
    pub fn id(&self) -> Option<&str> {
        self.string("id")
    }

    /// Returns `call_id`, or `None` if the item has none.
    pub fn call_id(&self) -> Option<&str> {
        self.string("call_id")
    }

    /// Returns the text of a message of either side, or of the output of a call: all parts with
    /// text, without a separator. `None` if the item has no text, for example a call or an image.
    ///
    /// ```
    /// use responses_client::{InputPart, Item};
    ///
    /// let item = Item::function_call_output("call_1", "7 degrees");
    /// assert_eq!(item.as_text().as_deref(), Some("7 degrees"));
    /// let item = Item::user_parts([InputPart::image_url("https://example.com/a.png")]);
    /// assert_eq!(item.as_text(), None);
    /// ```
    pub fn as_text(&self) -> Option<Cow<'_, str>> {
        let member = if self.item_type() == "message" { "content" } else { "output" };
        let content = self.json().raw_member(member).ok()??.get();
        if content.starts_with('"') {
            return json::from_str::<Piece<'_>>(content).ok().map(|piece| piece.0);
        }
        let parts = json::from_str::<Vec<&RawValue>>(content).ok()?;
        let texts = parts.into_iter().filter_map(|part| {
            let part: Part<'_> = json::from_str(part.get()).ok()?;
            part.text.map(|piece| piece.0)
        });
        texts.reduce(|text, piece| text + piece)
    }

    /// Returns a member of [`NAMES`] that is a string.
    fn string(&self, name: &'static str) -> Option<&str> {
        let text = self.json().raw_member(name).ok()??.get();
        let text = text.strip_prefix('"')?.strip_suffix('"')?;
        if !text.contains('\\') {
            return Some(text);
        }
        let decoded = self.0.decoded.get_or_init(|| {
            let decode = |name| Some((name, self.json().member(name).ok()??));
            NAMES.into_iter().filter_map(decode).collect()
        });
        decoded.iter().find(|it| it.0 == name).map(|it| it.1.as_str())
    }

    pub(crate) fn digest(&self) -> Digest {
        *self.0.digest.get_or_init(|| {
            let text = self.json().as_str();
            digest_of(text).unwrap_or_else(|_| digest_of_text(text))
        })
    }

    /// Wraps JSON that is known to be an object.
    pub(crate) fn from_trusted(json: Json) -> Self {
        Self::wrap(json, None)
    }

    /// Wraps another form of an item that the server sent as `received`.
    pub(crate) fn rewritten(json: Json, received: Json) -> Self {
        Self::wrap(json, Some(received))
    }

    fn wrap(json: Json, received: Option<Json>) -> Self {
        let (digest, decoded) = (OnceLock::new(), OnceLock::new());
        Self(Arc::new(Inner { json, received, digest, decoded }))
    }

    /// Returns the item as the server sent it.
    pub(crate) fn received(&self) -> &Json {
        self.0.received.as_ref().unwrap_or(&self.0.json)
    }
}

impl TryFrom<Json> for Item {
    type Error = DecodeError;

    fn try_from(json: Json) -> Result<Self, DecodeError> {
        if json.as_str().starts_with('{') {
            Ok(Self::from_trusted(json))
        } else {
            Err(DecodeError::expected("an item", "a JSON object"))
        }
    }
}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Item({} bytes)", self.json().as_str().len())
    }
}

impl PartialEq for Item {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.digest() == other.digest()
    }
}

impl Serialize for Item {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.json().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(Json::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_that_have_no_canonical_form_are_still_told_apart() {
        let item = |end: &str| {
            let deep = format!("{{\"t\":{}{end}{}}}", "[".repeat(200), "]".repeat(200));
            Item::from_trusted(Json::from_trusted(deep))
        };
        assert_eq!(item("1"), item("1"));
        assert_ne!(item("1"), item("2"));
    }

    #[test]
    fn names_of_an_item_are_read_with_and_without_escapes() {
        let plain = r#"{"type":"message","role":"user","id":"m_1","call_id":"c"}"#;
        let escaped = r#"{"type":"mess\u0061ge","role":"\u0075ser","id":"m_1","call_id":"\u0063"}"#;
        for text in [plain, escaped] {
            let item = Item::from_json(text).unwrap();
            assert_eq!((item.item_type(), item.role()), ("message", Some("user")));
            assert_eq!((item.id(), item.call_id()), (Some("m_1"), Some("c")));
        }
        let item = Item::from_json(r#"{"role":null,"id":7,"call_id":"\ud83d"}"#).unwrap();
        assert_eq!((item.item_type(), item.role(), item.id()), ("message", None, None));
        assert_eq!(item.call_id(), Some("\u{fffd}"));
    }

    #[test]
    fn c121_items_with_halves_are_equal_by_their_escapes() {
        let item = |text: &str| Item::from_json(text).unwrap();
        let sent = item(r#"{"t":"\ud83d","a":"A"}"#);
        assert_eq!(sent.json().as_str(), r#"{"t":"\ud83d","a":"A"}"#);
        assert_eq!(sent, item(r#"{ "\u0061" : "\u0041", "t" : "\uD83D" }"#));
        for other in [r"\ud83e", r"\ude00", r"\ufffd", r"\ud83dx", r"\ud83d\ude00"] {
            assert_ne!(sent, item(&format!(r#"{{"t":"{other}","a":"A"}}"#)), "{other}");
        }
    }

    #[test]
    fn the_text_of_an_item_is_that_of_its_parts() {
        let text = |item: &str| Item::from_json(item).unwrap().as_text().map(Cow::into_owned);
        for (item, expected) in [
            (r#"{"role":"user","content":"a"}"#, Some("a")),
            (r#"{"type":"message","role":"user","content":""}"#, Some("")),
            (
                r#"{"type":"message","content":[{"type":"output_text","text":"a"},{"type":"refusal","refusal":"no"},{"type":"output_text","text":"\u0062\ud83d"}]}"#,
                Some("ab\u{fffd}"),
            ),
            (r#"{"type":"message","content":[{"type":"input_image"},{"text":7},7]}"#, None),
            (r#"{"type":"message","content":null}"#, None),
            (r#"{"type":"message","content":7,"output":"a"}"#, None),
            (r#"{"type":"function_call_output","output":"a"}"#, Some("a")),
            (
                r#"{"type":"custom_tool_call_output","output":[{"type":"input_text","text":"a"}]}"#,
                Some("a"),
            ),
            (r#"{"type":"function_call","arguments":"a"}"#, None),
            (r#"{"type":"reasoning","content":[{"type":"reasoning_text","text":"a"}]}"#, None),
        ] {
            assert_eq!(text(item).as_deref(), expected, "{item}");
        }
        for item in [Item::user("a b"), Item::assistant("a b"), Item::user_parts(["a b"])] {
            assert!(matches!(item.as_text(), Some(Cow::Borrowed("a b"))));
        }
    }

    #[test]
    fn c025_any_object_is_kept_to_the_letter_and_nothing_else_is_an_item() {
        let text = "{\"type\" : \"new_thing\",\n \"n\": 1.50}";
        let item = Item::from_json(text).unwrap();
        assert_eq!(item.json().as_str(), text);
        assert_eq!(item.item_type(), "new_thing");
        assert_eq!(serde_json::to_string(&[&item]).unwrap(), format!("[{text}]"));
        for text in ["[]", "\"text\"", "{", "{} {}"] {
            assert!(Item::from_json(text).is_err(), "{text}");
        }
    }
}
