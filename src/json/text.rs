//! Strings as servers send them.

use std::{borrow::Cow, fmt, ops::Deref};

use bytestring::ByteString;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::wtf8::{Wtf8, lossy};

/// String sent by a server. Cloning is cheap. The string keeps the frame that it is a slice of in
/// memory. `Debug` shows only the length.
///
/// JSON can contain an unpaired surrogate (`"\ud83d"`), which a `str` cannot hold. The text has
/// U+FFFD in its place. `==` between two values of this type still distinguishes different
/// surrogates.
///
/// ```
/// use responses_client::{Item, Text};
///
/// let text = Text::from("one two");
/// assert_eq!(text, "one two");
/// assert_eq!(text.split(' ').count(), 2); // all methods of `str`
/// assert_eq!(Item::user(&text), Item::user("one two"));
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Text {
    text: ByteString,
    /// The same text as WTF-8, if it has unpaired surrogates.
    wtf8: Option<Box<Wtf8>>,
}

/// String that grows by pieces, and joins surrogates to pairs where the pieces meet.
///
/// [`as_str`](Self::as_str) returns the text to show, with U+FFFD for each unpaired surrogate. The
/// type serializes as the JSON string to send back, with such surrogates as the escapes in which
/// they were received.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct TextBuf {
    text: String,
    /// The same text as WTF-8, once a piece had an unpaired surrogate.
    wtf8: Option<Box<Wtf8>>,
}

/// Decoded string before its owner is known: see [`Text::from_decoded`].
///
/// Every event has several of these, so their size matters.
pub(crate) enum Decoded<'a> {
    Borrowed(&'a str),
    /// The string had escapes.
    Owned(Box<str>),
    /// The string has unpaired surrogates.
    Halves(Box<Wtf8>),
}

impl Text {
    /// Returns the string that `decoded` borrows from `source`, or a copy if it had escapes.
    #[inline]
    pub(crate) fn from_decoded(source: &ByteString, decoded: Decoded<'_>) -> Self {
        match decoded {
            Decoded::Borrowed(text) => Self::slice_of(source, text),
            Decoded::Owned(text) => Self { text: text.into(), wtf8: None },
            Decoded::Halves(wtf8) => {
                Self { text: lossy(wtf8.as_bytes()).into_owned().into(), wtf8: Some(wtf8) }
            }
        }
    }

    /// Returns the slice `text` of `source`.
    #[inline]
    pub(crate) fn slice_of(source: &ByteString, text: &str) -> Self {
        Self { text: source.slice_ref(text), wtf8: None }
    }

    /// Returns the text of WTF-8, which can encode unpaired surrogates.
    pub(crate) fn from_wtf8(wtf8: &[u8]) -> Self {
        Self::from_decoded(&ByteString::new(), Decoded::from_wtf8(Cow::Owned(wtf8.to_vec())))
    }

    /// Returns the string, with U+FFFD for each unpaired surrogate.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns `true` if the last character is an unpaired high surrogate.
    pub(crate) fn ends_with_half(&self) -> bool {
        self.wtf8.as_ref().is_some_and(|wtf8| wtf8.last_high().is_some())
    }

    /// Moves the high surrogate at the end of `self` to `next`, if `next` begins with the low one.
    /// Returns `true` if the surrogate was moved.
    pub(crate) fn join(&mut self, next: &mut Self) -> bool {
        let (Some(head), Some(tail)) = (&mut self.wtf8, &mut next.wtf8) else { return false };
        if !tail.begins_with_low() {
            return false;
        }
        let Some(high) = head.take_last_high() else { return false };
        tail.prepend(high);
        self.decode();
        next.decode();
        true
    }

    /// Decodes the text again after its surrogates have changed.
    fn decode(&mut self) {
        let Some(wtf8) = self.wtf8.take() else { return };
        self.text = lossy(wtf8.as_bytes()).into_owned().into();
        self.wtf8 = (!wtf8.is_utf8()).then_some(wtf8);
    }
}

impl TextBuf {
    /// Returns the decoded text.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns `true` if there is no text.
    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Adds a piece.
    #[inline]
    pub(crate) fn push(&mut self, piece: &Text) {
        match self.wtf8.is_none() && piece.wtf8.is_none() {
            true => self.text.push_str(&piece.text),
            false => self.push_wtf8(piece),
        }
    }

    /// Adds a piece where either text has unpaired surrogates.
    fn push_wtf8(&mut self, piece: &Text) {
        let wtf8 = self.wtf8.get_or_insert_with(|| Box::new(Wtf8::new(self.text.as_bytes())));
        let start =
            wtf8.push(piece.wtf8.as_ref().map_or(piece.text.as_bytes(), |it| it.as_bytes()));
        self.text.truncate(start);
        self.text.push_str(&lossy(wtf8.as_bytes().get(start..).unwrap_or_default()));
    }

    /// Replaces the text.
    pub(crate) fn set(&mut self, whole: &Text) {
        whole.as_str().clone_into(&mut self.text);
        self.wtf8.clone_from(&whole.wtf8);
    }
}

impl<'a> Decoded<'a> {
    /// Returns the text of a string that may have unpaired surrogates.
    pub(crate) fn from_wtf8(wtf8: Cow<'a, [u8]>) -> Self {
        match wtf8 {
            Cow::Borrowed(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => Self::Borrowed(text),
                Err(_) => Self::Halves(Box::new(Wtf8::new(bytes))),
            },
            Cow::Owned(bytes) => match String::from_utf8(bytes) {
                Ok(text) => Self::Owned(text.into()),
                Err(error) => Self::Halves(Box::new(Wtf8::new(error.into_bytes()))),
            },
        }
    }

    /// Returns the text without its unpaired surrogates.
    pub(crate) fn into_text(self) -> Cow<'a, str> {
        match self {
            Self::Borrowed(text) => Cow::Borrowed(text),
            Self::Owned(text) => Cow::Owned(text.into()),
            Self::Halves(wtf8) => Cow::Owned(lossy(wtf8.as_bytes()).into_owned()),
        }
    }
}

/// Writes the JSON string of a text.
fn serialize<S: Serializer>(
    text: &str,
    wtf8: Option<&Wtf8>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    use serde::ser::Error;
    let Some(wtf8) = wtf8 else { return serializer.serialize_str(text) };
    let json = wtf8.to_json().and_then(RawValue::from_string).map_err(S::Error::custom)?;
    json.serialize(serializer)
}

/// Unpaired surrogates are written as escapes.
impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize(&self.text, self.wtf8.as_deref(), serializer)
    }
}

impl Serialize for TextBuf {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize(&self.text, self.wtf8.as_deref(), serializer)
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({} bytes)", self.text.len())
    }
}

impl fmt::Debug for TextBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TextBuf({} bytes)", self.text.len())
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        **self == *other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        **self == **other
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self { text: text.into(), wtf8: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Json;

    /// The text of a JSON string.
    fn text(json: &str) -> Text {
        let json = Json::parse(json).unwrap();
        crate::event::item::Read::read(&json).unwrap()
    }

    fn shown(buf: &TextBuf) -> (&str, String) {
        (buf.as_str(), serde_json::to_string(buf).unwrap())
    }

    #[test]
    fn c121_texts_with_halves_differ_by_the_halves_and_show_replacements() {
        let (a, b) = (text(r#""\uD83d""#), text(r#""\ud83e""#));
        assert_eq!((a.as_str(), b.as_str()), ("\u{fffd}", "\u{fffd}"));
        assert_ne!(a, b);
        assert_ne!(a, text(r#""\ufffd""#));
        assert_eq!(a, text(r#""\ud83D""#));
        assert_eq!(text(r#""\ud83d\ude00""#), Text::from("😀"));
    }

    #[test]
    fn c121_halves_of_pieces_join_in_what_grows_and_stay_where_they_do_not() {
        let mut buf = TextBuf::default();
        buf.push(&text(r#""ok ""#));
        assert_eq!(shown(&buf), ("ok ", r#""ok ""#.to_owned()));
        buf.push(&text(r#""\ud83d""#));
        assert_eq!(shown(&buf), ("ok \u{fffd}", r#""ok \ud83d""#.to_owned()));
        buf.push(&text(r#""\ude00é\ud83d""#));
        buf.push(&text(r#""x""#));
        assert_eq!(shown(&buf), ("ok 😀é\u{fffd}x", r#""ok 😀é\ud83dx""#.to_owned()));
        buf.set(&text(r#""new""#));
        assert_eq!(shown(&buf), ("new", r#""new""#.to_owned()));
    }

    #[test]
    fn c121_a_text_gives_its_last_half_to_the_next_only_if_that_fits() {
        let (mut a, mut b) = (text(r#""ok \ud83d""#), text(r#""\ude00\ud83d""#));
        assert!(a.ends_with_half() && a.join(&mut b));
        assert_eq!((a, b.as_str()), (Text::from("ok "), "😀\u{fffd}"));
        assert!(b.ends_with_half() && !b.join(&mut text(r#""x""#)));
        assert_eq!(b.as_str(), "😀\u{fffd}");
    }
}
