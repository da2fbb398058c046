//! Lanes of a WebSocket, which requests and events name in `stream_id`.

use serde_json::{Value, json};

use super::{error_reply::ErrorReply, halves, step::Step};

/// Number of responses that the API runs at the same time on a WebSocket.
pub(crate) const MAX_RUNNING: usize = 16;

/// Number of names that the API accepts on a WebSocket.
pub(crate) const MAX_NAMES: usize = 32;

/// Length of the longest name, in characters.
const MAX_NAME: usize = 256;

/// Treatment of `stream_id` by a server, for [`Script::lanes`](crate::testing::Script::lanes).
///
/// ```
/// use responses_client::testing::{Lanes, Script, Turn};
///
/// let script = Script::new().lanes(Lanes::Refuse).turn(Turn::text("Hello"));
/// # drop(script);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lanes {
    /// Requests of several lanes run at the same time, and each event has the `stream_id` of its
    /// request.
    #[default]
    Serve,
    /// A request with a `stream_id` is refused with status 400, by an error without a `stream_id`.
    Refuse,
    /// `stream_id` is ignored: all requests are answered one after the other, on the default lane.
    Ignore,
    /// Requests of several lanes run at the same time, but no event has a `stream_id`.
    Strip,
}

impl Lanes {
    /// Returns the lane on which a server answers a request over WebSocket.
    pub(crate) fn lane(self, body: &Value) -> Lane {
        match (self, Lane::of(body)) {
            (Self::Refuse | Self::Ignore, _) => Lane::Default,
            (Self::Strip, Lane::Named(name)) => Lane::Untold(name),
            (Self::Serve | Self::Strip, lane) => lane,
        }
    }
}

/// Lane of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// The lane without a name, which HTTP requests have too.
    Default,
    Named(String),
    /// A lane whose events lack the name.
    Untold(String),
    /// `stream_id` is no name.
    Invalid,
}

impl Lane {
    /// Returns the lane that the body of a request over WebSocket names.
    pub(crate) fn of(body: &Value) -> Self {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        match body.get("stream_id") {
            None => Self::Default,
            Some(Value::String(name))
                if (1..=MAX_NAME).contains(&name.len()) && name.chars().all(is_allowed) =>
            {
                Self::Named(name.clone())
            }
            Some(_) => Self::Invalid,
        }
    }

    /// Returns the name of a named lane.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Named(name) | Self::Untold(name) => Some(name),
            Self::Default | Self::Invalid => None,
        }
    }

    /// Returns the step with the name in its event, as [`tag`](Self::tag) adds it.
    pub(crate) fn tagged(&self, step: Step) -> Step {
        let mut steps = [step];
        self.tag(&mut steps);
        let [step] = steps;
        step
    }

    /// Adds the name to the events that have no `stream_id`. An event with a `stream_id` keeps it;
    /// `null` stands for an event that names no lane.
    pub(crate) fn tag(&self, steps: &mut [Step]) {
        for step in steps {
            let event = match step {
                Step::Stray(event) => Some(event.clone()),
                Step::Flood { text, .. } => halves::parse_json(text).ok(),
                _ => step.event(),
            };
            let Some(mut event) = event else { continue };
            let Some(members) = event.as_object_mut() else { continue };
            match (members.get("stream_id"), self) {
                (Some(Value::Null), _) | (Some(_), Self::Untold(_)) => members.remove("stream_id"),
                (None, Self::Named(name)) => members.insert("stream_id".to_owned(), json!(name)),
                (Some(_) | None, _) => continue,
            };
            *step = step.carrying(event);
        }
    }
}

/// Returns the error of a request whose `stream_id` is no name.
pub(crate) fn invalid() -> ErrorReply {
    let message = "`stream_id` must be 1 to 256 letters, digits, `_`, `.` or `-`.";
    ErrorReply::new(400, "invalid_stream_id", message).param("stream_id")
}

/// Returns the error of a request with one name too many.
pub(crate) fn too_many() -> ErrorReply {
    let message = format!("This connection has used its {MAX_NAMES} values of `stream_id`.");
    ErrorReply::new(400, "websocket_stream_limit_reached", &message).param("stream_id")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_1_to_256_characters_of_a_small_set() {
        let lane = |name: Value| Lane::of(&json!({ "stream_id": name }));
        assert_eq!(Lane::of(&json!({})), Lane::Default);
        for name in ["a", "a-Z_0.9", &"x".repeat(256)] {
            assert_eq!(lane(json!(name)).name(), Some(name));
        }
        for name in
            [json!(""), json!("x".repeat(257)), json!("a b"), json!("é"), json!(null), json!(7)]
        {
            assert_eq!(lane(name.clone()), Lane::Invalid, "{name}");
        }
    }

    #[test]
    fn a_server_decides_what_a_name_means() {
        let body = json!({ "stream_id": "x" });
        let lane = |lanes: Lanes| lanes.lane(&body);
        assert_eq!(lane(Lanes::Serve), Lane::Named("x".to_owned()));
        assert_eq!(lane(Lanes::Strip), Lane::Untold("x".to_owned()));
        assert_eq!((lane(Lanes::Refuse), lane(Lanes::Ignore)), (Lane::Default, Lane::Default));
        assert_eq!(Lanes::Strip.lane(&json!({ "stream_id": 7 })), Lane::Invalid);
    }

    #[test]
    fn events_get_the_name_unless_they_have_one() {
        let mut steps = [
            Step::Event(json!({ "type": "a" })),
            Step::Text(r#"{"type":"b"}"#.to_owned()),
            Step::Stray(json!({ "type": "c" })),
            Step::Event(json!({ "type": "d", "stream_id": "other" })),
            Step::Event(json!({ "type": "e", "stream_id": null })),
            Step::Text("no JSON".to_owned()),
            Step::Flood { text: String::new(), times: 2 },
            Step::Flood { text: r#"{"type":"f"}"#.to_owned(), times: 2 },
        ];
        let mut on_default = steps.clone();
        Lane::Default.tag(&mut on_default);
        let shown = |steps: &[Step]| steps.iter().map(|it| format!("{it:?}")).collect::<Vec<_>>();
        assert_eq!(shown(&on_default[..4]), shown(&steps[..4]));
        let mut untold = steps.clone();
        Lane::Untold("x".to_owned()).tag(&mut untold);
        assert!(!format!("{untold:?}").contains("stream_id"));
        Lane::Named("x".to_owned()).tag(&mut steps);
        let names = steps.iter().map(|step| match step {
            Step::Event(event) | Step::Stray(event) => event.get("stream_id").cloned(),
            Step::Flood { text, .. } => Some(json!(text.contains(r#""stream_id":"x""#))),
            _ => None,
        });
        let [x, other] = ["x", "other"].map(|name| Some(json!(name)));
        let [no, yes] = [false, true].map(|has_name| Some(json!(has_name)));
        let expected = [x.clone(), x.clone(), x, other, None, None, no, yes];
        assert_eq!(names.collect::<Vec<_>>(), expected);
    }
}
