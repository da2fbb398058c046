//! Reads script files.

use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::{Value, value::RawValue};

use super::{
    error::ScriptError,
    headers::HeadersForm,
    messages::{InjectingForm, InterruptingForm, LanesForm, SteeringForm},
    parts::{ErrorForm, ProfileName, RefusalForm, ReuseForm, UpgradeForm},
    steps::{EditForm, StepForm},
};
use crate::testing::script::{
    agent::agent_reply, builder::Script, halves, items, step::Step, turn::Turn,
};

impl Script {
    /// Parses a [script file](crate::testing::format#a-script-file).
    ///
    /// # Errors
    ///
    /// Returns an error with the place of the fault if the text is not a script file.
    pub fn from_json(text: &str) -> Result<Self, ScriptError> {
        let text = &halves::with_stand_ins(text);
        let file: ScriptForm<'_> =
            serde_json::from_str(text).map_err(|error| ScriptError::json(text, text, &error))?;
        let ScriptForm {
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
            strict,
            profile,
            max_age_ms,
            frame_limit,
            lanes,
            lane_order,
        } = file;
        let mut script = Self::new();
        for (place, turn) in turns.into_iter().enumerate() {
            script = script.turn(parse_turn(text, turn).map_err(|error| error.in_turn(place + 1))?);
        }
        script = match then {
            None => script,
            Some(then) if then.get() == "\"agent\"" => script.respond(agent_reply),
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
        if let Some(ProfileName(profile)) = profile {
            script = script.profile(profile);
        }
        if let Some(age) = max_age_ms {
            script = script.max_age(Duration::from_millis(age));
        }
        if let Some(bytes) = frame_limit {
            script = script.frame_limit(bytes);
        }
        if let Some(lanes) = lanes {
            script = script.lanes(lanes.into());
        }
        script = script.lane_order(lane_order);
        if without_bodies {
            script = script.without_bodies();
        }
        if strict {
            script = script.strict();
        }
        Ok(if ignore_generate { script.ignore_generate() } else { script })
    }
}

/// Turns are parsed one by one, so that an error can name its turn.
#[derive(Deserialize)]
#[serde(rename = "File", deny_unknown_fields)]
struct ScriptForm<'a> {
    #[serde(default, borrow)]
    turns: Vec<&'a RawValue>,
    #[serde(borrow)]
    then: Option<&'a RawValue>,
    #[serde(default)]
    upgrades: Vec<UpgradeForm>,
    every_upgrade: Option<UpgradeForm>,
    #[serde(default)]
    reuses: Vec<ReuseForm>,
    #[serde(default)]
    every_reuse: ReuseForm,
    #[serde(default)]
    headers: HeadersForm,
    alpn: Option<Vec<String>>,
    #[serde(default)]
    without_bodies: bool,
    #[serde(default)]
    ignore_generate: bool,
    #[serde(default)]
    strict: bool,
    profile: Option<ProfileName>,
    max_age_ms: Option<u64>,
    frame_limit: Option<u64>,
    lanes: Option<LanesForm>,
    #[serde(default)]
    lane_order: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename = "Turn", deny_unknown_fields)]
struct TurnForm {
    text: Option<String>,
    output: Option<Vec<Value>>,
    error: Option<ErrorForm>,
    events: Option<Vec<Value>>,
    lines: Option<Vec<String>>,
    steps: Option<Vec<StepForm>>,
    incomplete: Option<String>,
    failed: Option<FailedForm>,
    http: Option<RefusalForm>,
    /// `null` means no type.
    #[serde(default, deserialize_with = "given")]
    content_type: Option<Option<String>>,
    content_encoding: Option<String>,
    #[serde(default)]
    untyped: bool,
    #[serde(default)]
    unstreamed: bool,
    steering: Option<SteeringForm>,
    injecting: Option<InjectingForm>,
    interrupting: Option<InterruptingForm>,
    #[serde(default)]
    edits: Vec<EditForm>,
}

#[derive(Deserialize)]
#[serde(rename = "Failed", deny_unknown_fields)]
struct FailedForm {
    code: String,
    #[serde(default)]
    message: String,
}

fn parse_turn(text: &str, raw: &RawValue) -> Result<Turn, ScriptError> {
    let raw = raw.get();
    let turn: TurnForm =
        serde_json::from_str(raw).map_err(|error| ScriptError::json(text, raw, &error))?;
    turn.build().map_err(|message| ScriptError::at(text, raw, message.to_owned()))
}

impl TurnForm {
    fn build(self) -> Result<Turn, &'static str> {
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
            steering,
            injecting,
            interrupting,
            edits,
        } = self;
        let items = match (text, output) {
            (Some(text), None) => Some(vec![items::message(&text)]),
            (None, output) => output,
            (Some(_), Some(_)) => return Err(ONE_KIND),
        };
        let generated = match (items, incomplete, failed) {
            (None, None, None) => None,
            (None, _, _) => return Err("`incomplete` and `failed` need `text` or `output`"),
            (Some(items), None, None) => Some(Turn::output(items)),
            (Some(items), Some(reason), None) => Some(Turn::incomplete(items, &reason)),
            (Some(items), None, Some(FailedForm { code, message })) => {
                Some(Turn::failed(items, &code, &message))
            }
            (Some(_), Some(_), Some(_)) => return Err("a response is `incomplete` or `failed`"),
        };
        let steps = steps.map(|steps| Turn::steps(steps.into_iter().map(Into::into)));
        let lines = lines.map(|lines| Turn::steps(lines.into_iter().map(Step::Text)));
        let error = error.map(Turn::from);
        let events = events.map(Turn::events);
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
        if let Some(steering) = steering {
            turn = turn.steering(steering.into());
        }
        if let Some(injecting) = injecting {
            turn = turn.injecting(injecting.into());
        }
        if let Some(interrupting) = interrupting {
            turn = turn.interrupting(interrupting.into());
        }
        Ok(edits.into_iter().fold(turn, |turn, edit| edit.apply(turn)))
    }
}

/// Distinguishes a member that is null from a missing one.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

pub(super) const ONE_KIND: &str =
    "a turn has exactly one of `text`, `output`, `error`, `events`, `lines` and `steps`";
