//! Message of a serde error, in full and without the values that it quotes.

use std::fmt;

/// Message of a serde error without its place. `Display` and `Debug` leave out received values.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct SerdeMessage {
    text: Box<str>,
    /// `true` if the message is one of serde_json's own, which quote nothing.
    is_fixed: bool,
}

/// Types of received values, as serde names them.
const TYPES: [&str; 18] = [
    "boolean",
    "integer",
    "floating point",
    "character",
    "string",
    "byte array",
    "unit value",
    "null",
    "Option value",
    "newtype struct",
    "sequence",
    "map",
    "enum",
    "unit variant",
    "newtype variant",
    "tuple variant",
    "struct variant",
    "number",
];

/// Shown instead of a message that the type wrote itself, and that may quote anything.
const OWN_MESSAGE: &str = "the type does not accept the value";

impl SerdeMessage {
    pub(super) fn new(error: &serde_json::Error) -> Self {
        let place = format!(" at line {} column {}", error.line(), error.column());
        let text = error.to_string();
        let text = text.strip_suffix(&place).unwrap_or(&text).into();
        Self { text, is_fixed: !error.is_data() }
    }

    pub(super) fn in_full(&self) -> &str {
        &self.text
    }

    /// Returns the message without received values: its beginning, and its end that names the
    /// expected type.
    fn parts(&self) -> (String, &str) {
        let text = &*self.text;
        if self.is_fixed || is_free_of_values(text) {
            return (text.to_owned(), "");
        }
        // The received value may contain `, expected `, too, so the last one counts.
        let at = [", expected ", ", there are no "].iter().filter_map(|it| text.rfind(it)).max();
        let (received, expected) = text.split_at(at.unwrap_or(text.len()));
        for beginning in ["unknown variant", "unknown field"] {
            if received.starts_with(&format!("{beginning} `")) && !expected.is_empty() {
                return (beginning.to_owned(), expected);
            }
        }
        for beginning in ["invalid type: ", "invalid value: "] {
            if let Some(value) = received.strip_prefix(beginning)
                && !expected.is_empty()
            {
                let name = value.split(['"', '`']).next().unwrap_or_default().trim_end();
                let name = if TYPES.contains(&name) { name } else { "value" };
                return (format!("{beginning}{name}"), expected);
            }
        }
        (OWN_MESSAGE.to_owned(), "")
    }
}

/// Returns `true` for messages of serde that name only parts of the expected type.
fn is_free_of_values(text: &str) -> bool {
    let field = ["missing field `", "duplicate field `"];
    let field = field.iter().find_map(|it| text.strip_prefix(it)?.strip_suffix('`'));
    field.is_some_and(|name| !name.contains('`'))
        || text.starts_with("data did not match any variant of untagged enum ")
        || text
            .strip_prefix("invalid length ")
            .is_some_and(|it| it.starts_with(|first: char| first.is_ascii_digit()))
}

impl fmt::Display for SerdeMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (received, expected) = self.parts();
        write!(f, "{received}{expected}")
    }
}

impl fmt::Debug for SerdeMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl std::error::Error for SerdeMessage {}

#[cfg(test)]
mod tests {
    use std::{error::Error as _, num::NonZeroU8};

    use serde::{
        Deserialize,
        de::{DeserializeOwned, Error as _, IgnoredAny},
    };

    use super::SerdeMessage;
    use crate::json::{DecodeError, Json, from_str};

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Forecast {
        #[serde(rename = "days")]
        _days: NonZeroU8,
        #[serde(default, rename = "unit")]
        _unit: Unit,
        #[serde(default, rename = "own")]
        _own: Option<Own>,
        #[serde(default, rename = "pair")]
        _pair: (i8, i8),
    }

    #[derive(Debug, Default, Deserialize)]
    enum Unit {
        #[default]
        C,
        F,
    }

    #[derive(Debug, Deserialize)]
    enum Never {}

    #[derive(Debug, Deserialize)]
    #[serde(untagged)]
    enum Untagged {
        Number(#[expect(dead_code, reason = "only its type counts")] u8),
    }

    #[derive(Debug, Deserialize)]
    #[serde(try_from = "String")]
    struct Own;

    impl TryFrom<String> for Own {
        type Error = String;
        fn try_from(text: String) -> Result<Self, String> {
            Err(format!("no such place: {text}, expected another"))
        }
    }

    fn error<T: DeserializeOwned>(text: &str) -> DecodeError {
        let Err(error) = from_str::<T>(text) else { panic!("{text} decodes") };
        DecodeError::new("it", &error)
    }

    /// Checks both texts of the error of `text`.
    fn check<T: DeserializeOwned>(text: &str, detail: &str, shown: &str) {
        let error = error::<T>(text);
        assert_eq!(error.detail(), Some(detail));
        assert_eq!(error.source().unwrap().to_string(), shown, "{detail}");
        assert!(error.source().unwrap().source().is_none());
        assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
    }

    #[test]
    fn c186_the_message_of_serde_is_kept_and_its_source_quotes_no_value() {
        let missing = "missing field `days`";
        check::<Forecast>("{}", missing, missing);
        let twice = serde_json::Error::duplicate_field("days");
        assert_eq!(SerdeMessage::new(&twice).to_string(), "duplicate field `days`");
        check::<Forecast>(
            r#"{"days":0}"#,
            "invalid value: integer `0`, expected a nonzero u8",
            "invalid value: integer, expected a nonzero u8",
        );
        check::<(u8, u8)>(
            "[1]",
            "invalid length 1, expected a tuple of size 2",
            "invalid length 1, expected a tuple of size 2",
        );
        check::<u64>(
            r#""secret, expected `\" secret""#,
            r#"invalid type: string "secret, expected `\" secret", expected u64"#,
            "invalid type: string, expected u64",
        );
        check::<u8>(
            "77777",
            "invalid value: integer `77777`, expected u8",
            "invalid value: integer, expected u8",
        );
        check::<u8>(
            "1.5",
            "invalid type: floating point `1.5`, expected u8",
            "invalid type: floating point, expected u8",
        );
        check::<String>(
            "true",
            "invalid type: boolean `true`, expected a string",
            "invalid type: boolean, expected a string",
        );
        check::<String>(
            "null",
            "invalid type: null, expected a string",
            "invalid type: null, expected a string",
        );
        check::<u8>(
            "[]",
            "invalid type: sequence, expected u8",
            "invalid type: sequence, expected u8",
        );
        check::<Forecast>(
            r#"{"days":1,"unit":"secret"}"#,
            "unknown variant `secret`, expected `C` or `F`",
            "unknown variant, expected `C` or `F`",
        );
        check::<Never>(
            r#""secret, expected x""#,
            "unknown variant `secret, expected x`, there are no variants",
            "unknown variant, there are no variants",
        );
        check::<Forecast>(
            r#"{"secret, there are no `":1}"#,
            "unknown field `secret, there are no ``, expected one of `days`, `unit`, `own`, `pair`",
            "unknown field, expected one of `days`, `unit`, `own`, `pair`",
        );
        let untagged = "data did not match any variant of untagged enum Untagged";
        check::<Untagged>(r#""secret""#, untagged, untagged);
        check::<Forecast>(
            r#"{"days":1,"own":"secret"}"#,
            "no such place: secret, expected another",
            super::OWN_MESSAGE,
        );
    }

    #[test]
    fn c186_messages_about_the_syntax_are_kept_whole() {
        check::<IgnoredAny>("[secret", "expected value", "expected value");
        check::<IgnoredAny>("[1", "EOF while parsing a list", "EOF while parsing a list");
        check::<IgnoredAny>("1 2", "trailing characters", "trailing characters");
        let error = Json::from_serialize(&std::collections::BTreeMap::from([([1], 2)]));
        let error = error.unwrap_err();
        assert_eq!(error.to_string(), "the value has no JSON form");
        assert_eq!(error.detail(), Some("key must be a string"));
        let own = self::error::<Own>("\"secret\"");
        assert_eq!(own.to_string(), "it: not of the expected type", "there is no line 0");
        assert_eq!(DecodeError::expected("an item", "an object").detail(), None);
    }
}
