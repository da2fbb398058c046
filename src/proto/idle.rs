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
    /// The response that `frame` ended.
    pub(crate) fn by(frame: &Frame) -> Self {
        Self { response_id: response_id(frame), by_error: frame.tag.role == Role::Error }
    }
}

/// Judges a frame that nobody waits for.
pub(crate) fn judge(frame: &Frame, finished: Option<&Finished>) -> Verdict {
    let late = match frame.tag.role {
        Role::Metadata | Role::Nothing => true,
        Role::Lifecycle | Role::Output | Role::Terminal => finished.is_some_and(|finished| {
            let id = response_id(frame);
            id.is_some() && id == finished.response_id
                || finished.by_error && frame.tag.kind == EventKind::Failed
        }),
        Role::Error | Role::Garbage => false,
    };
    if late { Verdict::Swallow } else { Verdict::Retire }
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
        let finished = Finished::by(&end);
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
        let finished = Finished::by(&frame(r#"{"type":"error","message":"m"}"#));
        assert_eq!(judge(&failed, Some(&finished)), Verdict::Swallow);
        assert_eq!(judge(&failed, None), Verdict::Retire);
    }
}
