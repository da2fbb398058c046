//! Items: the messages, calls and outputs of a history.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize, Serializer, de};
use serde_json::{Value, json, value::RawValue};

use crate::json::{DecodeError, Digest, Json, Text, digest_of, digest_of_text};

/// Item of a history, as the JSON text that is sent. Cloning is cheap.
///
/// Items that the server sent, and items of types that this crate does not know, are kept byte for
/// byte. `==` compares values. `Debug` shows only the length.
#[derive(Clone)]
pub struct Item(Arc<Inner>);

struct Inner {
    json: Json,
    /// The item as the server sent it, if `json` is another form of it.
    received: Option<Json>,
    digest: OnceLock<Digest>,
}

/// Part of a message of the user, or of a tool's output.
#[derive(Clone)]
pub struct InputPart(Value);

impl InputPart {
    /// Returns a part with text.
    pub fn text(text: &str) -> Self {
        Self(json!({"type": "input_text", "text": text}))
    }

    /// Returns an image by its URL.
    pub fn image_url(url: &str) -> Self {
        Self(json!({"type": "input_image", "image_url": url, "detail": "auto"}))
    }

    /// Returns an image by its content. `media_type` is for example `image/png`.
    pub fn image(media_type: &str, content: &[u8]) -> Self {
        Self::image_url(&data_url(media_type, content))
    }

    /// Returns a file by its URL.
    pub fn file_url(url: &str) -> Self {
        Self(json!({"type": "input_file", "file_url": url}))
    }

    /// Returns an uploaded file by its id.
    pub fn file_id(id: &str) -> Self {
        Self(json!({"type": "input_file", "file_id": id}))
    }

    /// Returns a file by its content. `media_type` is for example `application/pdf`.
    pub fn file(name: &str, media_type: &str, content: &[u8]) -> Self {
        let data = data_url(media_type, content);
        Self(json!({"type": "input_file", "filename": name, "file_data": data}))
    }
}

impl fmt::Debug for InputPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The content is private to the caller.
        f.debug_tuple("InputPart").field(&self.0.get("type")).finish()
    }
}

fn data_url(media_type: &str, content: &[u8]) -> String {
    format!("data:{media_type};base64,{}", STANDARD.encode(content))
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ItemBody<'a> {
    FunctionCallOutput { call_id: &'a str, output: &'a str },
    CustomToolCallOutput { call_id: &'a str, output: &'a str },
    ItemReference { id: &'a str },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part<T> {
    InputText { text: T },
    OutputText { text: T },
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "message")]
struct Message<'a, T> {
    role: &'a str,
    content: [Part<T>; 1],
}

impl Item {
    /// Returns a message of the user.
    pub fn user(text: &str) -> Self {
        Self::message("user", Part::InputText { text })
    }

    /// Returns a message of the user whose text may have unpaired surrogates.
    pub(crate) fn user_text(text: &Text) -> Self {
        Self::message("user", Part::InputText { text })
    }

    /// Returns a message of the developer.
    pub fn developer(text: &str) -> Self {
        Self::message("developer", Part::InputText { text })
    }

    /// Returns a message of the system.
    pub fn system(text: &str) -> Self {
        Self::message("system", Part::InputText { text })
    }

    /// Returns a message of the assistant that did not come from the server, for example a sample
    /// answer.
    pub fn assistant(text: &str) -> Self {
        Self::message("assistant", Part::OutputText { text })
    }

    /// Returns a message of the user with images or files in it.
    pub fn user_parts(parts: impl IntoIterator<Item = InputPart>) -> Self {
        let content: Vec<_> = parts.into_iter().map(|part| part.0).collect();
        let message = json!({"type": "message", "role": "user", "content": content});
        Self::from_trusted(Json::from_trusted(message.to_string()))
    }

    /// Returns the output of a function for the call `call_id`, with images or files in it.
    pub fn function_call_output_parts(
        call_id: &str,
        parts: impl IntoIterator<Item = InputPart>,
    ) -> Self {
        let output: Vec<_> = parts.into_iter().map(|part| part.0).collect();
        let item = json!({"type": "function_call_output", "call_id": call_id, "output": output});
        Self::from_trusted(Json::from_trusted(item.to_string()))
    }

    /// Returns the output of a function for the call `call_id`.
    pub fn function_call_output(call_id: &str, output: &str) -> Self {
        Self::new(&ItemBody::FunctionCallOutput { call_id, output })
    }

    /// Returns the output of a custom tool for the call `call_id`.
    pub fn custom_tool_call_output(call_id: &str, output: &str) -> Self {
        Self::new(&ItemBody::CustomToolCallOutput { call_id, output })
    }

    /// Returns a reference to an item that the server stores, by its id.
    pub fn reference(id: &str) -> Self {
        Self::new(&ItemBody::ItemReference { id })
    }

    /// Parses any item from JSON text, which is sent byte for byte.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if `json` is not one JSON object.
    pub fn from_json(json: impl Into<String>) -> Result<Self, DecodeError> {
        Self::try_from(Json::parse(json)?)
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
    pub fn item_type(&self) -> String {
        self.string("type").unwrap_or_else(|| "message".to_owned())
    }

    /// Returns `id`, or `None` if the item has none.
    pub fn id(&self) -> Option<String> {
        self.string("id")
    }

    /// Returns `call_id`, or `None` if the item has none.
    pub fn call_id(&self) -> Option<String> {
        self.string("call_id")
    }

    fn string(&self, member: &str) -> Option<String> {
        self.json().member(member).ok().flatten()
    }

    pub(crate) fn digest(&self) -> Digest {
        *self.0.digest.get_or_init(|| {
            let text = self.json().as_str();
            digest_of(text).unwrap_or_else(|_| digest_of_text(text))
        })
    }

    fn message(role: &str, part: Part<impl Serialize>) -> Self {
        Self::new(&Message { role, content: [part] })
    }

    fn new(item: &impl Serialize) -> Self {
        #[expect(clippy::expect_used, reason = "structs of strings always have a JSON form")]
        let json = serde_json::to_string(item).expect("an item of strings");
        Self::from_trusted(Json::from_trusted(json))
    }

    /// Wraps JSON that is known to be an object.
    pub(crate) fn from_trusted(json: Json) -> Self {
        Self(Arc::new(Inner { json, received: None, digest: OnceLock::new() }))
    }

    /// Wraps another form of an item that the server sent as `received`.
    pub(crate) fn rewritten(json: Json, received: Json) -> Self {
        Self(Arc::new(Inner { json, received: Some(received), digest: OnceLock::new() }))
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
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Self::from_json(String::from(Box::<str>::from(raw))).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_what_the_api_takes() {
        for (item, json) in [
            (
                Item::user("a\"b"),
                r#"{"type":"message","role":"user","content":[{"type":"input_text","text":"a\"b"}]}"#,
            ),
            (
                Item::assistant("hi"),
                r#"{"type":"message","role":"assistant","content":[{"type":"output_text","text":"hi"}]}"#,
            ),
            (
                Item::function_call_output("call_1", "42"),
                r#"{"type":"function_call_output","call_id":"call_1","output":"42"}"#,
            ),
            (
                Item::custom_tool_call_output("call_1", "42"),
                r#"{"type":"custom_tool_call_output","call_id":"call_1","output":"42"}"#,
            ),
            (
                Item::user_parts([
                    InputPart::text("a"),
                    InputPart::image("image/png", &[1, 2, 3]),
                    InputPart::file("f.pdf", "application/pdf", b"%"),
                ]),
                r#"{"type":"message","role":"user","content":[{"type":"input_text","text":"a"},{"type":"input_image","detail":"auto","image_url":"data:image/png;base64,AQID"},{"type":"input_file","filename":"f.pdf","file_data":"data:application/pdf;base64,JQ=="}]}"#,
            ),
            (
                Item::function_call_output_parts(
                    "call_1",
                    [InputPart::image_url("https://a.example/i")],
                ),
                r#"{"type":"function_call_output","call_id":"call_1","output":[{"type":"input_image","detail":"auto","image_url":"https://a.example/i"}]}"#,
            ),
            (Item::reference("msg_1"), r#"{"type":"item_reference","id":"msg_1"}"#),
        ] {
            assert_eq!(*item.json(), Json::parse(json).unwrap());
        }
    }

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
