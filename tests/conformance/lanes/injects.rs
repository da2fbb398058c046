//! Outputs for responses that run beside others.

use responses_client::{
    InjectState, Item,
    testing::{Exchange, Gate, Injecting, Script, ScriptedServer, Step, Turn, items},
};
use serde_json::json;

use super::{answer, asked, builder, lanes, provider, shared};
use crate::support::{appended, guarded, incremental, read, request, settled, turn};

/// A turn that calls a function, and waits for its output; `answers` are steps that follow.
fn waiting(answers: impl IntoIterator<Item = Step>) -> Turn {
    let items = [items::function_call("call_1", "f", "{}"), items::message("It is 7.")];
    let turn = Turn::output(items).insert(6, Step::AwaitInject);
    answers.into_iter().fold(turn, |turn, step| turn.insert(6, step))
}

#[tokio::test(start_paused = true)]
async fn c290_c291_outputs_reach_the_response_of_their_lane() {
    for answered in ["committed", "failed", "without a name", "refused"] {
        let gate = Gate::new();
        let held = gate.clone();
        let script = Script::new().respond(move |exchange: &Exchange| {
            let text = asked(exchange);
            match text.as_str() {
                "call" => {}
                "two" => return answer(&text).insert(6, Step::Gate(held.clone())),
                _ => return answer(&text),
            }
            let failed = json!({ "type": "response.inject.failed", "sequence_number": 0,
                "stream_id": null, "response_id": exchange.response_id, "input": [],
                "error": { "code": "response_not_found", "message": "No." } });
            let refused = json!({ "type": "error", "status": 400, "stream_id": null, "error": {
                "type": "invalid_request_error", "code": "unknown_event_type", "message": "No." } });
            match answered {
                "committed" => waiting([]),
                "failed" => waiting([]).injecting(Injecting::Refuse("x".to_owned())),
                // The server does not know the response, and so neither the lane.
                "without a name" => waiting([Step::Stray(failed)]).injecting(Injecting::Ignore),
                _ => waiting([Step::Stray(refused)]).injecting(Injecting::Ignore),
            }
        });
        let server = ScriptedServer::in_memory(script);
        let provider = provider(&server).injects(true);
        let client = builder(&server, shared()).provider(provider).build().expect("a client");
        let (mut one, mut two) = (client.session(), client.session());
        let first = request(&["one"]);
        let outcome = turn(&mut one, &first).await;
        let asked = request(&["call"]);
        let mut stream = two.stream(&asked).await.expect("a stream");
        tokio::select! {
            biased;
            () = async { while stream.try_next().await.expect("no error").is_some() {} } => {}
            () = settled(&server) => {}
        }
        // Another response runs on the WebSocket when the answer comes.
        let mut beside = one.stream(appended(&first, &outcome, "two")).await.expect("a stream");
        let handle = stream.inject(Item::function_call_output("call_1", "7")).expect("a handle");
        let injected = guarded(read(Ok(stream))).await;
        gate.open();
        while beside.try_next().await.expect("no error").is_some() {}
        assert_eq!(injected.response().output_text(), "It is 7.", "{answered}");
        let state = handle.settled().await;
        match answered {
            "committed" => assert!(matches!(state, InjectState::Committed), "{state:?}"),
            _ => assert!(matches!(state, InjectState::Failed { .. }), "{answered}: {state:?}"),
        }
        let again = turn(&mut two, &appended(&asked, &injected, "more")).await;
        assert_eq!(again.report.plan, incremental(1), "{answered}");
        assert_eq!(server.log().connections.len(), 1);
        let lanes = lanes(&server);
        assert_eq!(lanes[1], lanes.last().cloned().flatten(), "{lanes:?}");
        assert!(lanes[1].is_some());
    }
}
