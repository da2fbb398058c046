//! The answer to a request that asks for a response without its events.

#![expect(clippy::indexing_slicing, reason = "a missing member of a JSON value reads as null")]

use http::Response;
use serde_json::{Value, json};

use super::{connection::Connection, server_turn::ServerTurn, wait::wait};
use crate::{
    server::http::AnswerBody,
    testing::script::{
        cut::Cut,
        refusal::Refusal,
        step::Step,
        turn::label::Label,
        value::{encode, is_terminal},
    },
};

/// Effect of a step on a client that gets no events.
#[derive(Debug)]
enum Effect {
    Nothing,
    /// Answers with the response in this event.
    Response(Value),
    /// Answers with the error in this event.
    Error(Refusal),
    /// Ends the connection without an answer.
    Cut(Cut),
}

/// Carries out the steps up to the first that gives an answer, which is the response of the
/// terminal event, or an error.
pub(super) async fn answer(
    connection: &Connection,
    mut turn: ServerTurn,
    steps: Vec<Step>,
    label: &Label,
) -> Response<AnswerBody> {
    for step in steps {
        if matches!(step, Step::Freeze) {
            connection.control.deafen();
        }
        wait(&step).await;
        if let Step::Drip { pieces, pause, .. } = &step {
            let pauses = u32::try_from(pieces.saturating_sub(1)).unwrap_or(u32::MAX);
            tokio::time::sleep(pause.saturating_mul(pauses)).await;
        }
        if let Some(event) = step.event() {
            turn.before_send(&event);
        }
        match effect(&step) {
            Effect::Nothing => {}
            Effect::Response(response) => {
                turn.finish();
                let headers = connection.hub.headers().into_iter();
                let whole = headers
                    .fold(label.whole(&response), |whole, (name, value)| whole.header(name, value));
                return connection.refuse(whole).await;
            }
            Effect::Error(error) => {
                turn.finish();
                return connection.refuse(error).await;
            }
            Effect::Cut(cut) => {
                turn.finish();
                return connection.cut(cut).await;
            }
        }
    }
    // A response that never ends has no object to send.
    turn.finish();
    connection.cut(Cut::Fin).await
}

fn effect(step: &Step) -> Effect {
    match (step.event(), step) {
        (Some(event), _) if is_terminal(&event) => Effect::Response(event["response"].clone()),
        (Some(event), _) if event["type"] == "error" => Effect::Error(error_of(&event)),
        (None, Step::Close { .. }) => Effect::Cut(Cut::Fin),
        (_, step) => step.cut().map_or(Effect::Nothing, Effect::Cut),
    }
}

/// Returns the HTTP error for an error event, which may have no status.
fn error_of(event: &Value) -> Refusal {
    let status = event["status"].as_u64().and_then(|status| u16::try_from(status).ok());
    let error = match event.get("error") {
        Some(error) => error.clone(),
        None => json!({
            "type": "server_error",
            "code": event["code"],
            "message": event["message"],
            "param": event["param"],
        }),
    };
    Refusal::status(status.unwrap_or(500))
        .header("content-type", "application/json")
        .body(encode(&json!({ "error": error })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(event: Value) -> Effect {
        effect(&Step::Event(event))
    }

    #[test]
    fn only_the_last_event_of_a_response_or_an_error_is_an_answer() {
        assert!(matches!(event(json!({ "type": "response.created" })), Effect::Nothing));
        assert!(matches!(effect(&Step::Comment("a".to_owned())), Effect::Nothing));
        let failed = json!({ "type": "response.failed", "response": { "status": "failed" } });
        let Effect::Response(response) = event(failed) else { panic!("no response") };
        assert_eq!(response, json!({ "status": "failed" }));
    }

    #[test]
    fn an_error_event_is_an_http_error() {
        let refusal = |it| match event(it) {
            Effect::Error(refusal) => refusal,
            other => panic!("no error: {other:?}"),
        };
        let error = json!({ "code": "slow_down", "message": "Wait" });
        let nested = refusal(json!({ "type": "error", "status": 429, "error": error }));
        assert_eq!(nested.status, 429);
        assert_eq!(nested.body, encode(&json!({ "error": error })));
        let flat = refusal(json!({ "type": "error", "code": "c", "message": "m" }));
        let body: Value = serde_json::from_slice(&flat.body).unwrap();
        assert_eq!((flat.status, &body["error"]["code"]), (500, &json!("c")));
    }

    #[test]
    fn faults_end_the_connection() {
        assert!(matches!(effect(&Step::Reset), Effect::Cut(Cut::Reset)));
        let close = Step::Close { code: Some(1001), reason: String::new() };
        assert!(matches!(effect(&close), Effect::Cut(Cut::Fin)));
    }
}
