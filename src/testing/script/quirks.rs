//! Differences between servers of the API, as far as a client can notice.

#![expect(clippy::indexing_slicing, reason = "a missing member of a JSON value reads as null")]

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    error_reply::ErrorReply, refusal::Refusal, request, step::Step, turn::answer::ScriptedAnswer,
};
use crate::config::Transport;

/// Differences of a server from the plain API.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quirks {
    /// Status that answers an upgrade, if there is no WebSocket.
    pub(crate) no_websocket: Option<u16>,
    pub(crate) max_age: Option<Duration>,
    /// Code of the Close frame, if a WebSocket ends at its age without an error frame.
    pub(crate) silent_age: Option<u16>,
    pub(crate) max_idle: Option<Duration>,
    pub(crate) frame_limit: Option<u64>,
    pub(super) errors: ErrorStyle,
    /// A Close frame follows an error frame.
    pub(super) closes_after_error: bool,
    /// The server knows `response.steer`.
    pub(crate) steers: bool,
    /// The server knows `response.interrupt`.
    pub(crate) interrupts: bool,
    /// Every request on a WebSocket must have the model of the first one.
    pub(crate) one_model: bool,
    pub(super) continues: Continues,
    /// Parameters that the server refuses.
    pub(super) refused: &'static [&'static str],
    /// `store` must be false, and over SSE `stream` must be true.
    pub(super) stateless: bool,
    /// Comment before the first event over SSE.
    pub(super) comment: Option<&'static str>,
    /// `[DONE]` ends an SSE body.
    pub(super) done: bool,
    /// Every event has another id for its item.
    pub(super) rotating_ids: bool,
}

/// Form of the errors of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrorStyle {
    Full,
    /// `error.type` is missing where the parent was not found.
    LostParentWithoutType,
    /// `{"detail": …}`, and nothing else.
    Detail,
}

/// Transports on which `previous_response_id` is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Continues {
    Everywhere,
    OnSockets,
    Nowhere,
}

/// A server without differences from the API.
pub(super) const PLAIN: Quirks = Quirks {
    no_websocket: None,
    max_age: None,
    silent_age: None,
    max_idle: None,
    frame_limit: None,
    errors: ErrorStyle::Full,
    closes_after_error: false,
    steers: true,
    interrupts: false,
    one_model: false,
    continues: Continues::Everywhere,
    refused: &[],
    stateless: false,
    comment: None,
    done: false,
    rotating_ids: false,
};

/// End of a WebSocket by a limit of the server.
#[derive(Debug)]
pub(crate) struct SocketEnd {
    /// Error frame before the Close frame.
    pub(crate) error: Option<ErrorReply>,
    /// Code of the Close frame.
    pub(crate) close_code: u16,
}

impl Quirks {
    /// Returns the end of a WebSocket that has reached `max_age`.
    pub(crate) fn end_at_max_age(&self) -> SocketEnd {
        match self.silent_age {
            Some(close_code) => SocketEnd { error: None, close_code },
            None => {
                let error = request::too_old(self.max_age.unwrap_or_default());
                SocketEnd { error: Some(error), close_code: 1000 }
            }
        }
    }

    /// Returns the end of a WebSocket that was idle for `max_idle`.
    pub(crate) fn end_when_idle(&self) -> SocketEnd {
        SocketEnd { error: None, close_code: 1001 }
    }

    /// Checks a request for parameters that this server refuses.
    pub(crate) fn check(&self, body: &Value, transport: Transport) -> Result<(), ErrorReply> {
        let invalid = |code: &str, message: &str, param: &'static str| {
            Err(ErrorReply::new(400, code, message).param(param))
        };
        if let Some(name) = self.refused.iter().find(|name| body.get(**name).is_some()) {
            let message = format!("Unsupported parameter: {name}");
            return invalid("unsupported_parameter", &message, name);
        }
        if self.stateless && body["store"] != false {
            return invalid("invalid_value", "Store must be set to false", "store");
        }
        if self.stateless && transport == Transport::Sse && body["stream"] != true {
            return invalid("invalid_value", "Stream must be set to true", "stream");
        }
        let continues = match self.continues {
            Continues::Everywhere => true,
            Continues::OnSockets => transport == Transport::WebSocket,
            Continues::Nowhere => false,
        };
        if !continues && body["previous_response_id"].is_string() {
            let message = "Unsupported parameter: previous_response_id";
            return invalid("unsupported_parameter", message, "previous_response_id");
        }
        Ok(())
    }

    /// Changes an answer to the form of this server.
    pub(crate) fn apply(&self, answer: &mut ScriptedAnswer, transport: Transport) {
        self.apply_to_error(answer);
        let ScriptedAnswer { steps, .. } = answer;
        if self.rotating_ids {
            rotate_ids(steps);
        }
        match transport {
            Transport::WebSocket => {
                if self.closes_after_error
                    && let Some(place) = steps.iter().position(|step| kind_is(step, "error"))
                {
                    let code = close_code(steps.get(place).and_then(Step::event));
                    steps.truncate(place + 1);
                    steps.push(Step::Close { code: Some(code), reason: String::new() });
                }
            }
            Transport::Sse => {
                if let Some(comment) = self.comment
                    && steps.first().is_some_and(Step::is_event)
                {
                    steps.insert(0, Step::Comment(comment.to_owned()));
                }
                if self.done && steps.last().is_some_and(Step::is_event) {
                    steps.push(Step::Raw("data: [DONE]\n\n".into()));
                }
            }
        }
    }

    /// Changes an error of [`Turn::error`](crate::testing::Turn::error), which has a frame and an
    /// HTTP answer. Errors that a script gives event by event stay unchanged.
    fn apply_to_error(&self, answer: &mut ScriptedAnswer) {
        let ScriptedAnswer { steps, http: Some((_, refusal)), .. } = answer else { return };
        let Some(Step::Event(frame)) = steps.iter_mut().find(|step| step.is_event()) else {
            return;
        };
        let sent: Value = serde_json::from_slice(&refusal.body).unwrap_or_default();
        let message = frame["error"]["message"].clone();
        if !message.is_string() || sent["error"]["message"] != message {
            return;
        }
        match self.errors {
            ErrorStyle::Full => {}
            ErrorStyle::LostParentWithoutType => {
                if frame["error"]["code"] == "previous_response_not_found"
                    && let Some(error) = frame["error"].as_object_mut()
                {
                    error.remove("type");
                    *refusal = body_of(refusal, &json!({ "error": error }));
                }
            }
            ErrorStyle::Detail => {
                frame["error"] = json!({ "detail": message });
                *refusal = body_of(refusal, &frame["error"]);
            }
        }
    }
}

fn body_of(refusal: &Refusal, body: &Value) -> Refusal {
    refusal.clone().body(body.to_string())
}

/// Returns the code with which a gateway closes a WebSocket after this error.
fn close_code(error: Option<Value>) -> u16 {
    match error.and_then(|error| error["status"].as_u64()) {
        Some(402) => 4402,
        Some(500..) => 1011,
        _ => 1008,
    }
}

/// Gives the item another id in every event, longer than an id may be in a request.
fn rotate_ids(steps: &mut [Step]) {
    for (place, step) in steps.iter_mut().enumerate() {
        let Step::Event(event) = step else { continue };
        for pointer in ["/item_id", "/item/id"] {
            if let Some(id) = event.pointer_mut(pointer) {
                *id = format!("{place:0400x}").into();
            }
        }
    }
}

fn kind_is(step: &Step, kind: &str) -> bool {
    step.event().is_some_and(|event| event["type"] == kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Profile;

    #[test]
    fn a_socket_ends_at_its_age_in_the_way_of_its_server() {
        let api = Profile::OpenAi.quirks().end_at_max_age();
        let frame = api.error.unwrap().frame();
        assert_eq!(frame["error"]["code"], "websocket_connection_limit_reached");
        assert!(frame["error"]["message"].as_str().unwrap().contains("(60 minutes)"));
        assert_eq!(api.close_code, 1000);
        let gateway = Profile::Vercel.quirks();
        assert!(gateway.end_at_max_age().error.is_none());
        assert_eq!(gateway.end_at_max_age().close_code, 1001);
        assert_eq!(gateway.end_when_idle().close_code, 1001);
    }

    #[test]
    fn a_stateless_server_refuses_to_store_and_to_continue_over_sse() {
        let quirks = Profile::ChatGpt.quirks();
        let request = json!({ "store": false, "stream": true, "previous_response_id": "resp_1" });
        assert!(quirks.check(&request, Transport::WebSocket).is_ok());
        assert!(quirks.check(&request, Transport::Sse).is_err());
        assert!(quirks.check(&json!({ "store": true }), Transport::WebSocket).is_err());
        assert!(quirks.check(&json!({ "store": false }), Transport::Sse).is_err());
        assert!(quirks.check(&json!({ "store": false, "stream": true }), Transport::Sse).is_ok());
        assert!(PLAIN.check(&request, Transport::Sse).is_ok());
    }
}
