//! The smaller parts of a script file, each with its conversion.

use std::{fmt, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::StatusCode;
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Unexpected, Visitor, value::MapAccessDeserializer},
};
use serde_json::Value;

use super::headers::{HeaderNameText, HeaderText, HeadersForm};
use crate::testing::script::{
    error_reply::ErrorShape,
    profile::Profile,
    refusal::Refusal,
    turn::Turn,
    upgrade::{Reuse, Upgrade},
};

#[derive(Deserialize)]
#[serde(rename = "Upgrade", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum UpgradeForm {
    Accept,
    DelayMs(u64),
    Refuse(RefusalForm),
    Hang,
    Reset,
    WrongAccept,
    Header { name: HeaderNameText, value: HeaderText },
    CloseAfter(u16),
    CloseOnCreate(u16),
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename = "Reuse", rename_all = "snake_case")]
pub(super) enum ReuseForm {
    #[default]
    Serve,
    Reset,
    End,
}

pub(super) struct RefusalForm(Refusal);

#[derive(Deserialize)]
#[serde(rename = "RefusalForm", deny_unknown_fields)]
struct RefusalMembers {
    status: StatusForm,
    #[serde(default)]
    headers: HeadersForm,
    body: Option<Value>,
    #[serde(default)]
    stall_body: bool,
    #[serde(default)]
    endless_body: bool,
    delay_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename = "ApiError", deny_unknown_fields)]
pub(super) struct ErrorForm {
    status: StatusForm,
    code: String,
    #[serde(default)]
    message: String,
    shape: Option<Shape>,
    /// In seconds.
    retry_after: Option<serde_json::Number>,
    retry_after_ms: Option<u64>,
    #[serde(default)]
    headers: HeadersForm,
}

#[derive(Deserialize)]
struct Shape(#[serde(with = "ShapeForm")] ErrorShape);

#[derive(Deserialize)]
#[serde(remote = "ErrorShape", rename_all = "snake_case")]
enum ShapeForm {
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

#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "u16")]
struct StatusForm(u16);

#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Base64(pub(super) Vec<u8>);

#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(super) struct ProfileName(pub(super) Profile);

impl From<UpgradeForm> for Upgrade {
    fn from(upgrade: UpgradeForm) -> Self {
        match upgrade {
            UpgradeForm::Accept => Self::Accept,
            UpgradeForm::DelayMs(time) => Self::Delay(Duration::from_millis(time)),
            UpgradeForm::Refuse(refusal) => Self::Refuse(refusal.into()),
            UpgradeForm::Hang => Self::Hang,
            UpgradeForm::Reset => Self::Reset,
            UpgradeForm::WrongAccept => Self::WrongAccept,
            UpgradeForm::Header { name, value } => Self::Header { name: name.0, value: value.0 },
            UpgradeForm::CloseAfter(code) => Self::CloseAfter { code },
            UpgradeForm::CloseOnCreate(code) => Self::CloseOnCreate { code },
        }
    }
}

impl From<ReuseForm> for Reuse {
    fn from(reuse: ReuseForm) -> Self {
        match reuse {
            ReuseForm::Serve => Self::Serve,
            ReuseForm::Reset => Self::Reset,
            ReuseForm::End => Self::End,
        }
    }
}

impl From<RefusalForm> for Refusal {
    fn from(refusal: RefusalForm) -> Self {
        refusal.0
    }
}

impl From<RefusalMembers> for Refusal {
    fn from(form: RefusalMembers) -> Self {
        let RefusalMembers { status, headers, body, stall_body, endless_body, delay_ms } = form;
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

impl From<ErrorForm> for Turn {
    fn from(error: ErrorForm) -> Self {
        let ErrorForm { status, code, message, shape, retry_after, retry_after_ms, headers } =
            error;
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

impl TryFrom<u16> for StatusForm {
    type Error = String;

    fn try_from(status: u16) -> Result<Self, String> {
        // One below 200 is no answer.
        match StatusCode::from_u16(status) {
            Ok(known) if !known.is_informational() => Ok(Self(status)),
            _ => Err(format!("{status} is no status of an answer")),
        }
    }
}

impl TryFrom<String> for ProfileName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        Profile::from_name(&name).map(Self).ok_or_else(|| format!("there is no profile {name:?}"))
    }
}

impl TryFrom<String> for Base64 {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        STANDARD.decode(text).map(Self).map_err(|error| format!("not base64: {error}"))
    }
}

impl<'de> Deserialize<'de> for RefusalForm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SilenceOrForm;

        impl<'de> Visitor<'de> for SilenceOrForm {
            type Value = RefusalForm;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`\"silence\"`, or an object with a `status`")
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<RefusalForm, E> {
                match value {
                    "silence" => Ok(RefusalForm(Refusal::silence())),
                    _ => Err(E::invalid_value(Unexpected::Str(value), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RefusalForm, A::Error> {
                let form = RefusalMembers::deserialize(MapAccessDeserializer::new(map))?;
                Ok(RefusalForm(form.into()))
            }
        }

        deserializer.deserialize_any(SilenceOrForm)
    }
}
