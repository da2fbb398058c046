//! Halves of surrogate pairs, which JSON can express and a Rust string cannot hold.

use serde_json::Value;

/// Returns the character that stands in a script for half of a surrogate pair, such as `0xd83d`.
///
/// The server writes the character as the escape of that half, `\ud83d`, and reads such an escape
/// as the character. In its log, its histories and
/// [`history_digest`](crate::testing::history_digest) different halves are therefore different.
///
/// ```
/// use responses_client::testing::{Turn, surrogate_half};
///
/// let turn = Turn::text(format!("cut in an emoji: {}", surrogate_half(0xd83d)));
/// # let _ = turn;
/// ```
pub fn surrogate_half(half: u16) -> char {
    char::from_u32(STAND_INS + u32::from(half)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// Parses JSON as the server does: an escaped half of a surrogate pair becomes its
/// [stand-in](surrogate_half), where `serde_json` fails.
///
/// # Errors
///
/// Returns an error if the text is not JSON for another reason.
pub fn parse_json(text: &str) -> serde_json::Result<Value> {
    serde_json::from_str(text).or_else(|_| serde_json::from_str(&with_stand_ins(text)))
}

/// Replaces the stand-ins in a JSON text by the escapes that they stand for.
pub(crate) fn with_escapes(json: String) -> String {
    // Every stand-in begins with this byte in UTF-8, and hardly anything else does.
    if memchr::memchr(FIRST_BYTE, json.as_bytes()).is_none() {
        return json;
    }
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        match half_of(character) {
            Some(half) => escaped += &format!("\\u{half:04x}"),
            None => escaped.push(character),
        }
    }
    escaped
}

/// Replaces the escapes of lone halves in a JSON text by their stand-ins.
pub(crate) fn with_stand_ins(json: &str) -> String {
    let mut replaced = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(place) = rest.find('\\') {
        let (before, escape) = rest.split_at(place);
        replaced += before;
        let (length, half) = match (unicode(escape), escape.get(6..).and_then(unicode)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => (12, None),
            (Some(half @ 0xd800..=0xdfff), _) => (6, Some(half)),
            (Some(_), _) => (6, None),
            // The character after a backslash belongs to its escape.
            (None, _) => (1 + escape.chars().nth(1).map_or(0, char::len_utf8), None),
        };
        let (escape, after) = escape.split_at(length);
        match half {
            Some(half) => replaced.push(surrogate_half(half)),
            None => replaced += escape,
        }
        rest = after;
    }
    replaced + rest
}

/// Returns the half that a character stands for.
pub(crate) fn half_of(character: char) -> Option<u16> {
    let half = u16::try_from(u32::from(character).checked_sub(STAND_INS)?).ok()?;
    (0xd800..=0xdfff).contains(&half).then_some(half)
}

/// Returns the code unit of the escape `\uXXXX` at the beginning of `text`.
fn unicode(text: &str) -> Option<u16> {
    u16::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok()
}

/// First character of the private plane that the stand-ins are taken from.
const STAND_INS: u32 = 0x10_0000;
const FIRST_BYTE: u8 = 0xf4;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lone_halves_are_read_and_written_as_they_are() {
        let high = surrogate_half(0xd83d);
        let text = r#"{"a":"x\ud83d","b":"\ude00\ud83d\ude00\\ud83d\n","c\udfff":1}"#;
        let value = parse_json(text).unwrap();
        assert_eq!(value["a"], json!(format!("x{high}")));
        assert_eq!(value["b"], json!(format!("{}\u{1f600}\\ud83d\n", surrogate_half(0xde00))));
        let written = with_escapes(value.to_string());
        assert!(written.contains(r#""x\ud83d""#), "{written}");
        assert_eq!(parse_json(&written).unwrap(), value);
        assert_ne!(parse_json(r#""\ud83d""#).unwrap(), parse_json(r#""\ud83e""#).unwrap());
        parse_json(r#"{"a":"\ud83d"#).unwrap_err();
    }
}
