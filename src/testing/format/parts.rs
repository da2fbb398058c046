//! The smaller parts of a script file, each with its way to what it stands for.

use std::{fmt, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Unexpected, Visitor, value::MapAccessDeserializer},
};
use serde_json::Value;

use crate::testing;

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Upgrade {
    Accept,
    DelayMs(u64),
    Refuse(Refusal),
    Hang,
    Reset,
    WrongAccept,
    Header { name: Name, value: HeaderText },
    CloseAfter(u16),
    CloseOnCreate(u16),
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reuse {
    #[default]
    Serve,
    Reset,
    End,
}

pub(super) struct Refusal(testing::Refusal);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RefusalForm {
    status: Status,
    #[serde(default)]
    headers: Headers,
    body: Option<Value>,
    #[serde(default)]
    stall_body: bool,
    #[serde(default)]
    endless_body: bool,
    delay_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ApiError {
    status: Status,
    code: String,
    #[serde(default)]
    message: String,
    shape: Option<Shape>,
    /// In seconds.
    retry_after: Option<serde_json::Number>,
    retry_after_ms: Option<u64>,
    #[serde(default)]
    headers: Headers,
}

#[derive(Deserialize)]
struct Shape(#[serde(with = "ErrorShape")] testing::ErrorShape);

#[derive(Deserialize)]
#[serde(remote = "testing::ErrorShape", rename_all = "snake_case")]
enum ErrorShape {
    Flat,
    Nested,
    StatusCode,
    WithoutStatus,
    HeadersOutside,
    HeadersInside,
    Detail,
    ThenFailed,
    Untyped,
    ErrorText,
    DetailText,
    MessageText,
    ResponseError,
    FailedNull,
    FailedNullCode,
    FailedWithoutOutput,
}

/// Headers in the order of the file.
#[derive(Default)]
pub(super) struct Headers(pub(super) Vec<(String, String)>);

#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "u16")]
struct Status(u16);

#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Name(String);

#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(super) struct HeaderText(String);

#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Base64(pub(super) Vec<u8>);

#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Profile(pub(super) testing::Profile);

impl From<Upgrade> for testing::Upgrade {
    fn from(upgrade: Upgrade) -> Self {
        match upgrade {
            Upgrade::Accept => Self::Accept,
            Upgrade::DelayMs(time) => Self::Delay(Duration::from_millis(time)),
            Upgrade::Refuse(refusal) => Self::Refuse(refusal.into()),
            Upgrade::Hang => Self::Hang,
            Upgrade::Reset => Self::Reset,
            Upgrade::WrongAccept => Self::WrongAccept,
            Upgrade::Header { name, value } => Self::Header { name: name.0, value: value.0 },
            Upgrade::CloseAfter(code) => Self::CloseAfter { code },
            Upgrade::CloseOnCreate(code) => Self::CloseOnCreate { code },
        }
    }
}

impl From<Reuse> for testing::Reuse {
    fn from(reuse: Reuse) -> Self {
        match reuse {
            Reuse::Serve => Self::Serve,
            Reuse::Reset => Self::Reset,
            Reuse::End => Self::End,
        }
    }
}

impl From<Refusal> for testing::Refusal {
    fn from(refusal: Refusal) -> Self {
        refusal.0
    }
}

impl From<RefusalForm> for testing::Refusal {
    fn from(form: RefusalForm) -> Self {
        let RefusalForm { status, headers, body, stall_body, endless_body, delay_ms } = form;
        let mut refusal = Self::status(status.0);
        for (name, value) in headers.0 {
            refusal = refusal.header(name, value);
        }
        refusal = match body {
            None => refusal,
            Some(Value::String(text)) => refusal.body(text),
            Some(json) => refusal.header("content-type", "application/json").body(json.to_string()),
        };
        if let Some(time) = delay_ms {
            refusal = refusal.delay(Duration::from_millis(time));
        }
        if endless_body {
            return refusal.endless_body();
        }
        if stall_body { refusal.stall_body() } else { refusal }
    }
}

impl From<ApiError> for testing::Turn {
    fn from(error: ApiError) -> Self {
        let ApiError { status, code, message, shape, retry_after, retry_after_ms, headers } = error;
        let mut turn = match shape {
            None => Self::error(status.0, &code, &message),
            Some(Shape(shape)) => Self::error_shape(shape, status.0, &code, &message),
        };
        if let Some(seconds) = retry_after {
            turn = turn.header("retry-after", seconds.to_string());
        }
        if let Some(time) = retry_after_ms {
            turn = turn.retry_after(Duration::from_millis(time));
        }
        headers.0.into_iter().fold(turn, |turn, (name, value)| turn.header(name, value))
    }
}

impl TryFrom<u16> for Status {
    type Error = String;

    fn try_from(status: u16) -> Result<Self, String> {
        // One below 200 is no answer.
        match StatusCode::from_u16(status) {
            Ok(known) if !known.is_informational() => Ok(Self(status)),
            _ => Err(format!("{status} is no status of an answer")),
        }
    }
}

impl TryFrom<String> for Profile {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        testing::Profile::from_name(&name)
            .map(Self)
            .ok_or_else(|| format!("there is no profile {name:?}"))
    }
}

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        match HeaderName::from_bytes(name.as_bytes()) {
            Ok(_) => Ok(Self(name)),
            Err(_) => Err(format!("{name:?} is no name of a header")),
        }
    }
}

impl TryFrom<String> for HeaderText {
    type Error = &'static str;

    fn try_from(value: String) -> Result<Self, &'static str> {
        match HeaderValue::from_str(&value) {
            Ok(_) => Ok(Self(value)),
            Err(_) => Err("the value of a header has characters that it cannot have"),
        }
    }
}

impl TryFrom<String> for Base64 {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        STANDARD.decode(text).map(Self).map_err(|error| format!("not base64: {error}"))
    }
}

impl<'de> Deserialize<'de> for Refusal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SilenceOrForm;

        impl<'de> Visitor<'de> for SilenceOrForm {
            type Value = Refusal;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`\"silence\"`, or an object with a `status`")
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<Refusal, E> {
                match value {
                    "silence" => Ok(Refusal(testing::Refusal::silence())),
                    _ => Err(E::invalid_value(Unexpected::Str(value), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Refusal, A::Error> {
                let form = RefusalForm::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Refusal(form.into()))
            }
        }

        deserializer.deserialize_any(SilenceOrForm)
    }
}

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Headers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of headers")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Headers, A::Error> {
                let mut headers = Vec::new();
                while let Some((Name(name), Values(values))) = map.next_entry()? {
                    headers.extend(values.into_iter().map(|value| (name.clone(), value.0)));
                }
                Ok(Headers(headers))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

/// One value, or a list of them.
struct Values(Vec<HeaderText>);

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMore;

        impl<'de> Visitor<'de> for OneOrMore {
            type Value = Values;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, or a list of strings")
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<Values, E> {
                let value = HeaderText::try_from(value.to_owned()).map_err(E::custom)?;
                Ok(Values(vec![value]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Values, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = seq.next_element()? {
                    values.push(value);
                }
                Ok(Values(values))
            }
        }

        deserializer.deserialize_any(OneOrMore)
    }
}
