//! Parts of messages and of tool outputs.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

/// Part of a message of the user, or of a tool's output.
///
/// ```
/// use responses_client::{InputPart, Item};
///
/// let photo = [0x89, b'P', b'N', b'G'];
/// let message = Item::user_parts([
///     InputPart::text("Compare the two."),
///     InputPart::image_bytes("image/png", photo),
///     InputPart::image_url("https://example.com/house.jpg"),
/// ]);
/// # drop(message);
/// ```
#[derive(Clone, PartialEq)]
pub struct InputPart(Value);

impl InputPart {
    /// Returns a part with text.
    pub fn text(text: impl AsRef<str>) -> Self {
        Self(json!({"type": "input_text", "text": text.as_ref()}))
    }

    /// Returns an image by its URL, with the [`detail`](Self::detail) `auto`.
    pub fn image_url(url: impl AsRef<str>) -> Self {
        Self(json!({"type": "input_image", "image_url": url.as_ref(), "detail": "auto"}))
    }

    /// Returns an image by its content. `media_type` is for example `image/png`.
    pub fn image_bytes(media_type: impl AsRef<str>, content: impl AsRef<[u8]>) -> Self {
        Self::image_url(data_url(media_type.as_ref(), content.as_ref()))
    }

    /// Sets the resolution at which the model sees an image: `low`, `high`, `original` or `auto`.
    /// Parts that are no image stay unchanged.
    #[must_use]
    pub fn detail(mut self, detail: impl AsRef<str>) -> Self {
        if let Some(own) = self.0.get_mut("detail") {
            *own = detail.as_ref().into();
        }
        self
    }

    /// Returns a file by its URL.
    pub fn file_url(url: impl AsRef<str>) -> Self {
        Self(json!({"type": "input_file", "file_url": url.as_ref()}))
    }

    /// Returns an uploaded file by its id.
    pub fn file_id(id: impl AsRef<str>) -> Self {
        Self(json!({"type": "input_file", "file_id": id.as_ref()}))
    }

    /// Returns a file by its content. `media_type` is for example `application/pdf`.
    pub fn file_bytes(
        name: impl AsRef<str>,
        media_type: impl AsRef<str>,
        content: impl AsRef<[u8]>,
    ) -> Self {
        let data = data_url(media_type.as_ref(), content.as_ref());
        Self(json!({"type": "input_file", "filename": name.as_ref(), "file_data": data}))
    }

    pub(super) fn into_value(self) -> Value {
        self.0
    }
}

impl From<&str> for InputPart {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for InputPart {
    fn from(text: String) -> Self {
        Self::text(text)
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
