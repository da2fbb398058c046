//! Events of an older response that arrive in a newer turn.

use responses_client::{
    Transport,
    error::ErrorCode,
    testing::{Gate, Script, Step, Turn},
};
use serde_json::{Value, json};

use crate::{
    odd_turn::{completed, created, delta},
    support::{BOTH, Outcome, guarded, only, request, server, socket_client, turn},
};

/// A turn that ends so, and of which something comes late: when the next one was sent already.
async fn with_late_event(ending: Value, late: Value) -> (Outcome, Outcome) {
    let gate = Gate::new();
    let first =
        Turn::events([created(), ending]).then(Step::Gate(gate.clone())).then(Step::Event(late));
    let server = server(Script::new().turns([first, Turn::text("All is well")])).await;
    let mut session = socket_client(&server, only(Transport::WebSocket)).session();
    let first = guarded(turn(&mut session, &request(&["one"]))).await;
    let before = server.log().bytes_received();
    let next = tokio::spawn(async move { turn(&mut session, &request(&["two"])).await });
    guarded(async {
        while server.log().bytes_received() == before {
            tokio::task::yield_now().await;
        }
    })
    .await;
    gate.open();
    let next = guarded(next).await.expect("no panic");
    assert_eq!(server.log().websockets().count(), 1);
    (first, next)
}

#[tokio::test]
async fn c075_a_failed_response_that_repeats_an_error_late_is_not_that_of_the_next_turn() {
    let error = json!({ "type": "error", "error": { "code": "invalid_prompt" } });
    let failed = json!({ "type": "response.failed", "response": { "id": "resp_odd" } });
    let (first, next) = with_late_event(error, failed).await;
    assert_eq!(first.error().code(), Some(&ErrorCode::InvalidPrompt));
    assert_eq!(next.response().output_text(), "All is well");
    assert_eq!((next.kinds()[0], next.report.attempts.len()), ("response.created", 1));
}

#[tokio::test]
async fn c006_a_late_end_of_a_turn_is_not_that_of_the_next() {
    let mut repeated = completed("Fine");
    for kind in ["response.done", "response.completed", "response.in_progress"] {
        repeated["type"] = kind.into();
        let (first, next) = with_late_event(completed("Fine"), repeated.clone()).await;
        assert_eq!(first.response().output_text(), "Fine");
        assert_eq!(next.response().output_text(), "All is well", "{kind}");
        assert_eq!(next.kinds()[0], "response.created");
        assert_ne!(next.response().id(), first.response().id());
    }
}

#[tokio::test]
async fn c006_responses_that_all_have_one_id_are_told_apart_by_their_beginning() {
    for transport in BOTH {
        let turn_of = |text| Turn::events([created(), delta(text), completed(text)]);
        let server = server(Script::new().turns([turn_of("one"), turn_of("two")])).await;
        let mut session = socket_client(&server, only(transport)).session();
        for text in ["one", "two"] {
            let outcome = guarded(turn(&mut session, &request(&[text]))).await;
            assert_eq!(outcome.events.len(), 3, "{transport}");
            assert_eq!(outcome.response().output_text(), text);
        }
        assert_eq!(server.log().connections.len(), 1);
    }
}
