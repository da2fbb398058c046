//! Events that belong to no response, or to another response than the one in flight.

use std::time::Duration;

use responses_client::{
    Delivery, ErrorKind, ReplayPolicy, RetryPolicy, Transport, TransportPolicy,
    report::{Anomaly, FullSendReason},
    testing::{Gate, Script, ScriptedServer, Step, Turn},
};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    odd_servers::{completed, created, delta, ended},
    support::{BOTH, Outcome, appended, builder, full, guarded, incremental, only, request, turn},
};

fn created_as(id: &str) -> Value {
    json!({ "type": "response.created", "response": { "id": id, "status": "in_progress" } })
}

fn failed(code: &str) -> Value {
    json!({ "type": "response.failed", "response": { "id": "resp_echo", "status": "failed",
        "error": { "code": code, "message": "No." } } })
}

/// Sends an event of an older response, of which the server's conversations know nothing.
fn late(transport: Transport, event: &Value) -> Step {
    Step::Raw(match transport {
        Transport::WebSocket => event.to_string().into(),
        _ => format!("data: {event}\n\n").into(),
    })
}

fn first_turn() -> Turn {
    Turn::events([created_as("resp_1"), ended("response.completed", "resp_1")])
}

/// The first turn of a conversation, its second, and a third, over one session.
async fn three_turns(transport: Transport, turns: [Turn; 2]) -> ([Outcome; 3], ScriptedServer) {
    let script = Script::new().turns(turns).turn(Turn::text("All is well"));
    let server = ScriptedServer::in_memory(script);
    let client = builder(&server).transport(only(transport)).build().expect("a client");
    let mut session = client.session();
    let mut asks = request(&["one"]);
    let first = guarded(turn(&mut session, &asks)).await;
    asks = appended(&asks, &first, "two");
    let second = guarded(turn(&mut session, &asks)).await;
    asks = appended(&asks, &second, "three");
    let third = guarded(turn(&mut session, &asks)).await;
    ([first, second, third], server)
}

fn bare(mut event: Value) -> Value {
    event["response"]["id"] = Value::Null;
    event
}

/// The second turn is its own, and the third goes on from it over the same connection.
fn assert_unharmed(outcomes: &[Outcome; 3], server: &ScriptedServer, what: &str) {
    let [_, second, third] = outcomes;
    assert_eq!(second.response().id(), "resp_2", "{what}");
    assert_eq!(second.response().output_text(), "Fine", "{what}");
    assert_eq!(second.report.attempts.len(), 1, "{what}");
    assert_eq!(third.response().output_text(), "All is well", "{what}");
    let log = server.log();
    assert_eq!((log.requests.len(), log.connections.len()), (3, 1), "{what}");
    if second.report.transport == Some(Transport::WebSocket) {
        assert_eq!(third.report.plan, incremental(1), "{what}");
        assert_eq!(log.requests[2].previous_response_id.as_deref(), Some("resp_2"), "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn c135_a_late_terminal_of_the_response_before_ends_nothing() {
    for kind in ["completed", "done", "incomplete", "failed", "cancelled"] {
        for transport in BOTH {
            let stray = late(transport, &ended(&format!("response.{kind}"), "resp_1"));
            let own = [created_as("resp_2"), delta("Fi"), delta("ne")].map(Step::Event);
            let mut steps: Vec<Step> =
                own.into_iter().flat_map(|own| [own, stray.clone()]).collect();
            if transport == Transport::WebSocket {
                steps.insert(0, stray.clone());
            }
            steps.extend([Step::Event(ended("response.completed", "resp_2")), stray]);
            let turns = [first_turn(), Turn::steps(steps)];
            let (outcomes, server) = three_turns(transport, turns).await;
            let what = format!("{transport} {kind}");
            assert_unharmed(&outcomes, &server, &what);
            assert_eq!(outcomes[1].kinds().len(), 4, "{what}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c135_a_server_that_gives_all_responses_one_id_goes_on() {
    for transport in BOTH {
        let turns =
            [Turn::events([created(), completed()]), Turn::events([created(), completed()])];
        let (outcomes, server) = three_turns(transport, turns).await;
        assert!(outcomes.iter().all(|outcome| outcome.report.attempts.len() == 1), "{transport}");
        assert_eq!(outcomes[1].kinds(), ["response.created", "response.completed"]);
        assert_eq!(server.log().connections.len(), 1, "{transport}");
    }
}

#[tokio::test(start_paused = true)]
async fn c135_a_terminal_under_another_id_leaves_nothing_to_go_on_from() {
    for transport in BOTH {
        for (begun, end, ambiguous) in [("resp_a", "resp_b", true), ("resp_b", "resp_b", false)] {
            let begin = created_as(begun);
            let first = Turn::events([begin, ended("response.completed", end)]);
            let (outcomes, _server) = three_turns(transport, [first, Turn::text("two")]).await;
            assert_eq!(outcomes[0].response().output_text(), "Fine");
            let plan = match (ambiguous, transport) {
                (true, _) => full(FullSendReason::ParentAmbiguous),
                (false, Transport::WebSocket) => incremental(1),
                (false, _) => full(FullSendReason::ProviderUnsupported),
            };
            assert_eq!(outcomes[1].report.plan, plan, "{transport} {end}");
            assert!(outcomes[1].report.reused, "{transport}");
            assert_eq!(outcomes[1].response().output_text(), "two");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c135_an_empty_id_is_no_other_id() {
    for transport in BOTH {
        for (begun, end) in [("", "resp_b"), ("resp_b", "")] {
            let first = Turn::events([created_as(begun), ended("response.completed", end)]);
            let (outcomes, server) = three_turns(transport, [first, Turn::text("two")]).await;
            assert_eq!(outcomes[0].response().id(), "resp_b", "{transport} {end:?}");
            assert!(outcomes[0].report.anomalies.is_empty(), "{transport} {end:?}");
            assert_eq!(outcomes[1].response().output_text(), "two", "{transport} {end:?}");
            let parent = server.log().requests[1].previous_response_id.clone();
            let named = (transport == Transport::WebSocket).then_some("resp_b");
            assert_eq!(parent.as_deref(), named, "{transport} {end:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c136_late_events_without_an_id_cross_the_next_request_and_change_nothing() {
    let old = json!({ "type": "response.output_item.done", "output_index": 0, "sequence_number": 1,
        "item": { "id": "msg_old", "type": "message", "role": "assistant", "status": "completed",
        "content": [{ "type": "output_text", "text": "Old", "annotations": [] }] } });
    let terminal = |kind: &str| bare(ended(&format!("response.{kind}"), ""));
    for strays in [
        vec![delta("old")],
        vec![old.clone()],
        vec![terminal("completed")],
        vec![terminal("failed")],
        vec![bare(failed("server_error"))],
        vec![delta("old"), old, terminal("completed"), terminal("done")],
        vec![json!({ "type": "response.brand_new" }), json!({ "type": "keepalive" })],
    ] {
        for begin in [created_as("resp_2"), json!({ "type": "response.in_progress" })] {
            let own = [begin, delta("Fine"), ended("response.completed", "resp_2")];
            let steps = strays.iter().map(|stray| late(Transport::WebSocket, stray));
            let steps = steps.chain(own.map(Step::Event));
            let turns = [first_turn(), Turn::steps(steps)];
            let (outcomes, server) = three_turns(Transport::WebSocket, turns).await;
            let what = format!("{strays:?}");
            assert_unharmed(&outcomes, &server, &what);
            assert_eq!(outcomes[1].report.anomalies, [Anomaly::LateEvents], "{what}");
            let events = outcomes[1].kinds().into_iter().filter(|kind| *kind != "keepalive");
            assert_eq!(events.count(), 3, "{what}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c136_without_a_lifecycle_event_a_new_id_shows_whose_the_events_are() {
    let own = [delta("Fi"), delta("ne"), ended("response.completed", "resp_2")];
    let turns = [first_turn(), Turn::events(own)];
    let (outcomes, server) = three_turns(Transport::WebSocket, turns).await;
    assert_unharmed(&outcomes, &server, "no lifecycle event");
    assert_eq!(outcomes[1].kinds().len(), 3);
    assert!(outcomes[1].report.anomalies.is_empty());
}

#[tokio::test(start_paused = true)]
async fn c136_a_terminal_without_an_id_that_nothing_follows_is_no_answer() {
    let turns = [first_turn(), Turn::events([bare(failed("server_error"))]).then(Step::Stall)];
    let server = ScriptedServer::in_memory(Script::new().turns(turns));
    let mut retry = RetryPolicy::default();
    retry.replay = ReplayPolicy::Never;
    let client = builder(&server).transport(TransportPolicy::WebSocketOnly).retry(retry);
    let mut session = client.build().expect("a client").session();
    let first = turn(&mut session, &request(&["one"])).await;
    let start = Instant::now();
    let second = turn(&mut session, &appended(&request(&["one"]), &first, "two")).await;
    let error = second.error();
    assert_eq!((error.kind(), error.delivery()), (ErrorKind::Timeout, Delivery::Unknown));
    assert_eq!(start.elapsed(), Duration::from_secs(60));
    assert_eq!(server.log().requests.len(), 2, "the request may run: it is not sent again");
}

#[tokio::test(start_paused = true)]
async fn c136_an_origin_that_announces_no_responses_is_not_made_to_wait() {
    let gates = [Gate::new(), Gate::new()];
    let unannounced = |id: &str| Turn::events([delta("Fine"), ended("response.completed", id)]);
    let script = Script::new()
        .turn(unannounced("resp_1"))
        .turn(unannounced("resp_2").insert(1, Step::Gate(gates[0].clone())))
        .turn(first_turn())
        .turn(unannounced("resp_4").insert(1, Step::Gate(gates[1].clone())));
    let server = ScriptedServer::in_memory(script);
    let client = builder(&server).transport(TransportPolicy::WebSocketOnly);
    let client = client.build().expect("a client");
    // On the socket that showed it, and on another of the client.
    for gate in gates {
        let mut session = client.session();
        let first = guarded(turn(&mut session, &request(&["one"]))).await;
        let next = appended(&request(&["one"]), &first, "two");
        let mut stream = guarded(session.stream(&next)).await.expect("a stream");
        let event = guarded(stream.try_next()).await.expect("no error").expect("an event");
        assert_eq!(event.text_delta(), Some("Fine"), "before the gate opens");
        assert!(stream.report().reused);
        gate.open();
        guarded(stream.final_response()).await.expect("a response");
    }
}

#[tokio::test(start_paused = true)]
async fn c137_the_echo_of_an_error_does_not_end_the_recovery_of_a_lost_parent() {
    const CODE: &str = "previous_response_not_found";
    let error =
        json!({ "type": "error", "status": 400, "error": { "code": CODE, "message": "No." } });
    let own = [created_as("resp_2"), ended("response.completed", "resp_2")];
    let with = |echoes: &[Value]| Turn::events(echoes.iter().cloned().chain(own.clone()));
    // In each: what follows the error, and what crosses the request that is sent again.
    for (idle, crossing) in [
        (vec![], vec![failed(CODE)]),
        (vec![], vec![bare(failed(CODE))]),
        (vec![failed(CODE)], vec![]),
        (vec![bare(failed(CODE))], vec![]),
    ] {
        let lost = Turn::events([error.clone()].into_iter().chain(idle.clone()));
        let turns = [first_turn(), lost, with(&crossing)];
        let server = ScriptedServer::in_memory(Script::new().turns(turns));
        let client = builder(&server).transport(TransportPolicy::WebSocketOnly);
        let mut session = client.build().expect("a client").session();
        let one = request(&["one"]).store(true);
        let first = guarded(turn(&mut session, &one)).await;
        let second = guarded(turn(&mut session, &appended(&one, &first, "two"))).await;
        let what = format!("{idle:?} {crossing:?}");
        assert_eq!(second.response().id(), "resp_2", "{what}");
        assert_eq!(second.report.plan, full(FullSendReason::ParentNotFound), "{what}");
        let log = server.log();
        assert_eq!((log.requests.len(), log.connections.len()), (3, 1), "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn c137_a_second_failure_is_the_answer() {
    const CODE: &str = "insufficient_quota";
    let error = json!({ "type": "error", "status": 400, "error": { "code": "rate_limit_exceeded",
        "message": "No." } });
    let echo = failed("rate_limit_exceeded");
    for (delay, failures) in
        [(0, vec![echo.clone(), failed(CODE)]), (0, vec![failed(CODE)]), (6, vec![failed(CODE)])]
    {
        let second =
            Turn::events(failures.clone()).insert(0, Step::Delay(Duration::from_secs(delay)));
        let server = ScriptedServer::in_memory(
            Script::new().turn(Turn::events([error.clone()])).turn(second),
        );
        let client = builder(&server).transport(TransportPolicy::WebSocketOnly);
        let mut session = client.build().expect("a client").session();
        let outcome = guarded(turn(&mut session, &request(&["one"]))).await;
        let code = outcome.error().api_error().and_then(|error| error.code()).map(|c| c.as_str());
        assert_eq!(code, Some(CODE), "{failures:?}");
        assert_eq!(server.log().requests.len(), 2);
    }
    // So is an echo that comes after its time, and one after the echo.
    let late = Turn::events([echo.clone()]).insert(0, Step::Delay(Duration::from_secs(6)));
    for second in [late, Turn::events([echo.clone(), echo])] {
        let turns = [Turn::events([error.clone()]), second, first_turn()];
        let server = ScriptedServer::in_memory(Script::new().turns(turns));
        let client = builder(&server).transport(TransportPolicy::WebSocketOnly);
        let mut session = client.build().expect("a client").session();
        let outcome = guarded(turn(&mut session, &request(&["one"]))).await;
        assert_eq!(outcome.response().id(), "resp_1");
        assert_eq!(outcome.report.attempts.len(), 3);
    }
}
