//! Script files.

use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::{Value, value::RawValue};

use super::{
    ScriptError,
    parts::{ApiError, Headers, Profile, Refusal, Reuse, Upgrade},
    steps::{Edit, Step},
};
use crate::testing::{self, Script, halves};

impl Script {
    /// The script of a [script file](crate::testing::format#a-script-file).
    ///
    /// # Errors
    ///
    /// If it is not one, with the place of what is wrong.
    pub fn from_json(text: &str) -> Result<Self, ScriptError> {
        let text = &halves::with_stand_ins(text);
        let file: File<'_> =
            serde_json::from_str(text).map_err(|error| ScriptError::json(text, text, &error))?;
        let File {
            turns,
            then,
            upgrades,
            every_upgrade,
            reuses,
            every_reuse,
            headers,
            alpn,
            without_bodies,
            ignore_generate,
            profile,
            max_age_ms,
            frame_limit,
        } = file;
        let mut script = Self::new();
        for (place, turn) in turns.into_iter().enumerate() {
            script = script.turn(parse_turn(text, turn).map_err(|error| error.in_turn(place + 1))?);
        }
        script = match then {
            None => script,
            Some(then) if then.get() == "\"agent\"" => script.respond(testing::agent_reply),
            Some(then) => {
                let turn = parse_turn(text, then)?;
                script.respond(move |_| turn.clone())
            }
        };
        for upgrade in upgrades {
            script = script.upgrade(upgrade.into());
        }
        if let Some(upgrade) = every_upgrade {
            script = script.every_upgrade(upgrade.into());
        }
        for reuse in reuses {
            script = script.reuse(reuse.into());
        }
        script = script.every_reuse(every_reuse.into());
        for (name, value) in headers.0 {
            script = script.header(name, value);
        }
        if let Some(alpn) = alpn {
            script = script.alpn(alpn);
        }
        if let Some(Profile(profile)) = profile {
            script = script.profile(profile);
        }
        if let Some(age) = max_age_ms {
            script = script.max_age(Duration::from_millis(age));
        }
        if let Some(bytes) = frame_limit {
            script = script.frame_limit(bytes);
        }
        if without_bodies {
            script = script.without_bodies();
        }
        Ok(if ignore_generate { script.ignore_generate() } else { script })
    }
}

/// Turns are parsed one by one, so that an error can name its turn.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File<'a> {
    #[serde(default, borrow)]
    turns: Vec<&'a RawValue>,
    #[serde(borrow)]
    then: Option<&'a RawValue>,
    #[serde(default)]
    upgrades: Vec<Upgrade>,
    every_upgrade: Option<Upgrade>,
    #[serde(default)]
    reuses: Vec<Reuse>,
    #[serde(default)]
    every_reuse: Reuse,
    #[serde(default)]
    headers: Headers,
    alpn: Option<Vec<String>>,
    #[serde(default)]
    without_bodies: bool,
    #[serde(default)]
    ignore_generate: bool,
    profile: Option<Profile>,
    max_age_ms: Option<u64>,
    frame_limit: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Turn {
    text: Option<String>,
    output: Option<Vec<Value>>,
    error: Option<ApiError>,
    events: Option<Vec<Value>>,
    lines: Option<Vec<String>>,
    steps: Option<Vec<Step>>,
    incomplete: Option<String>,
    failed: Option<Failed>,
    http: Option<Refusal>,
    /// `null` stands for no type.
    #[serde(default, deserialize_with = "given")]
    content_type: Option<Option<String>>,
    content_encoding: Option<String>,
    #[serde(default)]
    untyped: bool,
    #[serde(default)]
    unstreamed: bool,
    #[serde(default)]
    edits: Vec<Edit>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Failed {
    code: String,
    #[serde(default)]
    message: String,
}

fn parse_turn(text: &str, raw: &RawValue) -> Result<testing::Turn, ScriptError> {
    let raw = raw.get();
    let turn: Turn =
        serde_json::from_str(raw).map_err(|error| ScriptError::json(text, raw, &error))?;
    turn.build().map_err(|message| ScriptError::at(text, raw, message.to_owned()))
}

impl Turn {
    fn build(self) -> Result<testing::Turn, &'static str> {
        let Self {
            text,
            output,
            error,
            events,
            lines,
            steps,
            incomplete,
            failed,
            http,
            content_type,
            content_encoding,
            untyped,
            unstreamed,
            edits,
        } = self;
        let items = match (text, output) {
            (Some(text), None) => Some(vec![testing::items::message(&text)]),
            (None, output) => output,
            (Some(_), Some(_)) => return Err(ONE_KIND),
        };
        let generated = match (items, incomplete, failed) {
            (None, None, None) => None,
            (None, _, _) => return Err("`incomplete` and `failed` need `text` or `output`"),
            (Some(items), None, None) => Some(testing::Turn::output(items)),
            (Some(items), Some(reason), None) => Some(testing::Turn::incomplete(items, &reason)),
            (Some(items), None, Some(Failed { code, message })) => {
                Some(testing::Turn::failed(items, &code, &message))
            }
            (Some(_), Some(_), Some(_)) => return Err("a response is `incomplete` or `failed`"),
        };
        let steps = steps.map(|steps| testing::Turn::steps(steps.into_iter().map(Into::into)));
        let lines =
            lines.map(|lines| testing::Turn::steps(lines.into_iter().map(testing::Step::Text)));
        let error = error.map(testing::Turn::from);
        let events = events.map(testing::Turn::events);
        let mut kinds = [generated, error, events, lines, steps].into_iter().flatten();
        let (Some(mut turn), None) = (kinds.next(), kinds.next()) else { return Err(ONE_KIND) };
        if let Some(refusal) = http {
            turn = turn.http(refusal.into());
        }
        if let Some(content_type) = content_type {
            turn = turn.labelled(content_type.as_deref());
        }
        if let Some(encoding) = content_encoding {
            turn = turn.encoded(&encoding);
        }
        if untyped {
            turn = turn.untyped();
        }
        if unstreamed {
            turn = turn.unstreamed();
        }
        Ok(edits.into_iter().fold(turn, |turn, edit| edit.apply(turn)))
    }
}

/// Tells a member that is null from one that is not there.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

pub(super) const ONE_KIND: &str =
    "a turn has exactly one of `text`, `output`, `error`, `events`, `lines` and `steps`";
