//! Text that may contain unpaired surrogates.

use std::{borrow::Cow, str};

use memchr::memchr_iter;

/// WTF-8: UTF-8 that also encodes an unpaired surrogate, in three bytes.
///
/// JSON can contain such a surrogate (`"\ud83d"`), and `str` cannot hold it. U+FFFD has three bytes
/// too, so that offsets into [`lossy`] text are valid here.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Wtf8(Vec<u8>);

const REPLACEMENT: [u8; 3] = [0xef, 0xbf, 0xbd];

impl Wtf8 {
    /// Returns `text` as WTF-8.
    pub(super) fn new(text: impl Into<Vec<u8>>) -> Self {
        Self(text.into())
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns `true` if the text has no unpaired surrogate and so is UTF-8.
    pub(super) fn is_utf8(&self) -> bool {
        surrogates(&self.0).next().is_none()
    }

    /// Returns the high surrogate at the end.
    pub(super) fn last_high(&self) -> Option<u16> {
        let start = self.0.len().checked_sub(3)?;
        surrogate_at(&self.0, start).filter(|unit| is_high(*unit))
    }

    /// Removes the high surrogate at the end and returns it.
    pub(super) fn take_last_high(&mut self) -> Option<u16> {
        let high = self.last_high()?;
        self.0.truncate(self.0.len() - 3);
        Some(high)
    }

    /// Returns `true` if the text begins with a low surrogate.
    pub(super) fn begins_with_low(&self) -> bool {
        first_low(&self.0).is_some()
    }

    /// Appends `tail`, and joins a high surrogate at the end with a low one at the beginning of
    /// `tail`. Returns the offset from which the text has changed.
    pub(super) fn push(&mut self, tail: &[u8]) -> usize {
        let pair = self.last_high().zip(first_low(tail)).and_then(|(high, low)| joined(high, low));
        let Some(pair) = pair else {
            let start = self.0.len();
            self.0.extend_from_slice(tail);
            return start;
        };
        self.0.truncate(self.0.len() - 3);
        let start = self.0.len();
        self.0.extend_from_slice(pair.encode_utf8(&mut [0; 4]).as_bytes());
        self.0.extend_from_slice(tail.get(3..).unwrap_or_default());
        start
    }

    /// Puts the high surrogate `high` before the text.
    pub(super) fn prepend(&mut self, high: u16) {
        let tail = std::mem::replace(&mut self.0, encoded(high).to_vec());
        self.push(&tail);
    }

    /// Returns the JSON string, with surrogates as escapes.
    pub(super) fn to_json(&self) -> serde_json::Result<String> {
        let mut json = String::from("\"");
        let mut rest = 0;
        for (start, unit) in surrogates(&self.0) {
            push_escaped(&mut json, self.0.get(rest..start).unwrap_or_default())?;
            json.push_str(&format!("\\u{unit:04x}"));
            rest = start + 3;
        }
        push_escaped(&mut json, self.0.get(rest..).unwrap_or_default())?;
        json.push('"');
        Ok(json)
    }
}

/// Returns the text with U+FFFD for each surrogate.
pub(super) fn lossy(wtf8: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = str::from_utf8(wtf8) {
        return Cow::Borrowed(text);
    }
    let mut bytes = wtf8.to_vec();
    for (start, _) in surrogates(wtf8) {
        if let Some(surrogate) = bytes.get_mut(start..start + 3) {
            surrogate.copy_from_slice(&REPLACEMENT);
        }
    }
    let text = String::from_utf8(bytes);
    Cow::Owned(text.unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// Returns the offsets and values of the surrogates.
fn surrogates(wtf8: &[u8]) -> impl Iterator<Item = (usize, u16)> {
    // 0xed is never a continuation byte.
    memchr_iter(0xed, wtf8).filter_map(|start| Some((start, surrogate_at(wtf8, start)?)))
}

fn surrogate_at(wtf8: &[u8], start: usize) -> Option<u16> {
    match wtf8.get(start..start.checked_add(3)?)? {
        &[0xed, second @ 0xa0..=0xbf, third] => {
            Some(0xd000 | u16::from(second & 0x3f) << 6 | u16::from(third & 0x3f))
        }
        _ => None,
    }
}

fn first_low(wtf8: &[u8]) -> Option<u16> {
    surrogate_at(wtf8, 0).filter(|unit| !is_high(*unit))
}

fn is_high(unit: u16) -> bool {
    unit < 0xdc00
}

fn joined(high: u16, low: u16) -> Option<char> {
    char::decode_utf16([high, low]).next()?.ok()
}

fn encoded(unit: u16) -> [u8; 3] {
    [0xed, 0x80 | (unit >> 6 & 0x3f) as u8, 0x80 | (unit & 0x3f) as u8]
}

fn push_escaped(json: &mut String, utf8: &[u8]) -> serde_json::Result<()> {
    let quoted = serde_json::to_string(&lossy(utf8))?;
    json.push_str(quoted.strip_prefix('"').and_then(|it| it.strip_suffix('"')).unwrap_or_default());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HIGH: &[u8] = b"\xed\xa0\xbd";
    const LOW: &[u8] = b"\xed\xb8\x80";

    #[test]
    fn halves_join_when_they_meet() {
        let mut text = Wtf8::new("ok ");
        assert_eq!(text.push(HIGH), 3);
        assert_eq!(text.last_high(), Some(0xd83d));
        assert_eq!(lossy(text.as_bytes()), "ok \u{fffd}");
        assert_eq!(text.push(&[LOW, b"!"].concat()), 3);
        assert_eq!(lossy(text.as_bytes()), "ok 😀!");
        assert!(text.is_utf8());
    }

    #[test]
    fn halves_that_do_not_fit_stay_apart() {
        for (head, tail) in [(HIGH, HIGH), (LOW, HIGH), (LOW, LOW), (HIGH, b"x")] {
            let mut text = Wtf8::new(head);
            text.push(tail);
            assert_eq!(text.as_bytes(), [head, tail].concat());
            assert!(!text.is_utf8());
        }
    }

    #[test]
    fn a_half_is_moved_from_one_text_to_the_next() {
        let mut head = Wtf8::new([b"a", HIGH].concat());
        let mut tail = Wtf8::new(LOW);
        assert!(tail.begins_with_low());
        tail.prepend(head.take_last_high().unwrap());
        assert_eq!((head.as_bytes(), tail.as_bytes()), (&b"a"[..], "😀".as_bytes()));
    }

    #[test]
    fn json_has_halves_as_escapes() {
        let text = Wtf8::new([b"\"\xc3\xad\n", HIGH, b"x", LOW].concat());
        assert_eq!(text.to_json().unwrap(), r#""\"í\n\ud83dx\ude00""#);
    }
}
