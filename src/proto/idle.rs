//! What may come over a WebSocket while no response is on its way.

use super::classify::{Frame, Role};
use crate::{event::EventKind, json::Json};

/// The response before, as far as its late events must be known.
#[derive(Debug)]
pub(crate) struct Finished {
    response_id: Option<String>,
    /// It ended with an error, which may be told once more as a failed response.
    by_error: bool,
}

/// What to do about a frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It harms nobody.
    Swallow,
    /// It belongs to nothing that is known: what else comes cannot be trusted.
    Retire,
}

impl Finished {
    /// Whether `frame` is a late one of that response, by the id that it names.
    fn is_named_by(&self, frame: &Frame) -> bool {
        let id = response_id(frame);
        id.is_some() && id == self.response_id
    }
}

/// Tells the late events of the response before from those of the response on its way.
#[derive(Debug)]
pub(crate) struct Watch {
    before: Option<Finished>,
    /// The first event of the response on its way.
    first: Option<Frame>,
}

impl Watch {
    pub(crate) fn new(before: Option<Finished>) -> Self {
        Self { before, first: None }
    }

    /// Whether `frame` belongs to the response before. Once another has begun, none is taken
    /// for late; and what begins one is not late, even where a server gives all of them one id.
    pub(crate) fn is_late(&mut self, frame: &Frame) -> bool {
        let of_a_response =
            matches!(frame.tag.role, Role::Lifecycle | Role::Output | Role::Terminal);
        if self.first.is_some() || !of_a_response || defect!(StrayTaken) {
            return false;
        }
        // What begins is not late, even where a server gives all responses one id.
        let late = frame.tag.kind != EventKind::Created
            && self.before.as_ref().is_some_and(|before| before.is_named_by(frame));
        if !late {
            self.first = Some(frame.clone());
        }
        late
    }

    /// The response on its way, which `end` ended: an error does not name it, its first event does.
    pub(crate) fn finished(&self, end: &Frame) -> Finished {
        Finished {
            response_id: response_id(end).or_else(|| self.first.as_ref().and_then(response_id)),
            by_error: end.tag.role == Role::Error,
        }
    }
}

/// Judges a frame that nobody waits for.
pub(crate) fn judge(frame: &Frame, finished: Option<&Finished>) -> Verdict {
    let late = match frame.tag.role {
        Role::Metadata | Role::Nothing => true,
        Role::Lifecycle | Role::Output | Role::Terminal => finished.is_some_and(|finished| {
            finished.is_named_by(frame) || finished.by_error && frame.tag.kind == EventKind::Failed
        }),
        Role::Error | Role::Garbage => false,
    };
    if late || defect!(IdleSwallowsAll) { Verdict::Swallow } else { Verdict::Retire }
}

/// The id of the response that an event names, as lifecycle events do, and some servers' others.
fn response_id(frame: &Frame) -> Option<String> {
    let payload = Json::trusted(frame.payload.clone());
    if let Ok(Some(id)) = payload.member("response_id") {
        return Some(id);
    }
    let response: Json = payload.member("response").ok()??;
    response.member("id").ok()?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(payload: &str) -> Frame {
        Frame::new(payload.into())
    }

    #[test]
    fn only_what_is_known_is_swallowed() {
        let end = frame(r#"{"type":"response.completed","response":{"id":"resp_1"}}"#);
        let finished = Watch::new(None).finished(&end);
        for (payload, verdict) in [
            (r#"{"type":"keepalive"}"#, Verdict::Swallow),
            (r#"{"type":"codex.rate_limits"}"#, Verdict::Swallow),
            ("{}", Verdict::Swallow),
            (r#"{"type":"response.done","response":{"id":"resp_1"}}"#, Verdict::Swallow),
            (r#"{"type":"response.steer.pending","response_id":"resp_1"}"#, Verdict::Swallow),
            (r#"{"type":"response.done","response":{"id":"resp_2"}}"#, Verdict::Retire),
            (r#"{"type":"response.created","response":{"id":"resp_2"}}"#, Verdict::Retire),
            (r#"{"type":"response.failed","response":{"id":"resp_2"}}"#, Verdict::Retire),
            (r#"{"type":"response.output_text.delta","delta":"x"}"#, Verdict::Retire),
            (
                r#"{"type":"error","error":{"code":"websocket_connection_limit_reached"}}"#,
                Verdict::Retire,
            ),
            ("nonsense", Verdict::Retire),
        ] {
            assert_eq!(judge(&frame(payload), Some(&finished)), verdict, "{payload}");
        }
        let failed = frame(r#"{"type":"response.failed","response":{"id":"resp_2"}}"#);
        let finished = Watch::new(None).finished(&frame(r#"{"type":"error","message":"m"}"#));
        assert_eq!(judge(&failed, Some(&finished)), Verdict::Swallow);
        assert_eq!(judge(&failed, None), Verdict::Retire);
    }

    #[test]
    fn c006_late_events_are_told_from_those_of_the_next_response() {
        let of = |kind: &str, id: &str| {
            frame(&format!(r#"{{"type":"response.{kind}","response":{{"id":"{id}"}}}}"#))
        };
        let error = frame(r#"{"type":"error","message":"m"}"#);
        let mut first = Watch::new(None);
        assert!(!first.is_late(&of("created", "resp_1")));
        for end in [&of("completed", "resp_1"), &error] {
            let mut next = Watch::new(Some(first.finished(end)));
            assert!(next.is_late(&of("failed", "resp_1")));
            assert!(next.is_late(&of("done", "resp_1")));
            assert!(!next.is_late(&frame(r#"{"type":"keepalive"}"#)));
            assert!(!next.is_late(&of("created", "resp_1")), "one id for all of them");
            assert!(!next.is_late(&of("completed", "resp_2")));
        }
    }
}
