//! Events, responses and reports as JSON, and back.

use bytes::Bytes;
use responses_client::{
    Response, RetryPolicy, Transport,
    event::{EventKind, ResponseEvent},
    internal,
    testing::{Refusal, Script, ScriptedServer, Step, Turn, parse_json},
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::support::{
    BOTH, builder,
    fixtures::{fixtures, folder, habits},
    guarded, only, request, turn,
};

fn json_of(value: &impl Serialize) -> Value {
    parse_json(&serde_json::to_string(value).expect("JSON")).expect("JSON")
}

/// Checks that the event is the same after a trip through JSON.
fn check_event(event: &ResponseEvent) {
    let text = serde_json::to_string(event).expect("JSON");
    assert_eq!(text, event.raw().trim(), "as received");
    let again = ResponseEvent::from_json(text).expect("an event");
    // A stream joins a surrogate pair that two deltas share, and their JSON keeps the halves.
    if !event.raw().contains(r"\ud") {
        assert_eq!(format!("{again:?}"), format!("{event:?}"));
    }
    assert_eq!(again.is_synthesized(), event.is_synthesized());
}

/// Checks that the response is the same after a trip through JSON, but for its unfinished items.
fn check_response(response: &Response, name: &str) {
    let text = serde_json::to_string(response).expect("JSON");
    let again = Response::from_json(text.as_str()).expect("a response");
    let items = |response: &Response| -> Vec<String> {
        response.output_items().map(|item| item.json().as_str().to_owned()).collect()
    };
    assert_eq!(items(&again), items(response), "{name}: {text}");
    let facts = |it: &Response| (it.id().to_owned(), it.is_finished(), it.status());
    assert_eq!(facts(&again), facts(response), "{name}: {text}");
    assert_eq!(again.usage(), response.usage());
    assert_eq!(again.function_calls(), response.function_calls());
    assert_eq!(again.custom_tool_calls(), response.custom_tool_calls());
    if response.unfinished_items().is_empty() {
        assert_eq!(again.output_text(), response.output_text());
        assert_eq!(again.refusal(), response.refusal());
    }
    assert_eq!(serde_json::to_string(&again).expect("JSON"), text, "{name}: a second trip");
    // All other members are those of the object that the server sent.
    let (sent, kept) = (response.raw().map(json_of), json_of(response));
    for (member, value) in sent.iter().flat_map(|sent| sent.as_object()).flatten() {
        let own = ["id", "output"].contains(&member.as_str());
        assert!(own || kept[member] == *value, "{name}: {member}");
    }
}

#[test]
fn c196_events_and_responses_of_all_transcripts_round_trip_at_every_cut() {
    let (mut events, mut responses) = (0, 0);
    for fixture in [fixtures(), habits(), folder("reports", "jsonl")].concat() {
        let mut reader = internal::Turn::new();
        for line in fixture.lines() {
            let mut step = reader.push(Bytes::copy_from_slice(line.as_bytes()));
            while let Ok(Some(event)) = step {
                check_event(&event);
                events += 1;
                step = reader.next_event();
            }
            check_response(&reader.response(), &fixture.name);
            responses += 1;
        }
    }
    println!("{events} events and {responses} responses");
    assert!(events > 550 && responses > 550, "{events} events, {responses} responses");
}

#[tokio::test(start_paused = true)]
async fn c196_what_a_session_yields_round_trips() {
    let unknown = json!({ "type": "brand.new", "n": [1, { "x": null }] });
    let odd =
        "{ \"type\":\"response.output_text.delta\" , \"delta\" : \"\\ud83d\\u0041\",\"n\":1.0 }";
    let turn_with = |step: Step| {
        Turn::text("Hello there").insert(2, Step::Event(unknown.clone())).insert(4, step)
    };
    for transport in BOTH {
        let script = Script::new().turns([
            turn_with(Step::Text(odd.to_owned())),
            Turn::text("Hello").cut_after(6, Step::End),
        ]);
        let server = ScriptedServer::in_memory(script);
        let mut retry = RetryPolicy::default();
        retry.max_attempts = 1;
        let client = builder(&server).transport(only(transport)).retry(retry);
        let mut session = client.build().expect("a client").session();
        let outcome = guarded(turn(&mut session, &request(&["hi"]))).await;
        outcome.events.iter().for_each(check_event);
        assert!(outcome.events.iter().any(|event| event.raw() == odd), "{transport}");
        check_response(outcome.response(), "a response");
        let cut = guarded(turn(&mut session, &request(&["hi"]))).await;
        check_response(cut.error().response().expect("a part"), "a cut response");
        let report = json_of(&cut.report);
        assert_eq!(report["transport"], transport.as_str());
        assert_eq!(report["plan"]["kind"], "full");
        assert_eq!(report["attempts"][0]["failure"]["delivery"], "output_started");
        let first = cut.report.timings.first_event.expect("an event");
        let expected = (first.as_secs_f64() * 1e6).round() / 1e3;
        assert_eq!(report["timings"]["first_event_ms"], expected);
    }
    // Plain JSON instead of a stream.
    let body = r#"{"id":"r","object":"response","status":"completed","output":[]}"#;
    let answer = Refusal::status(200).header("content-type", "application/json").body(body);
    let server = ScriptedServer::in_memory(Script::new().turn(Turn::text("").http(answer)));
    let client = builder(&server).transport(only(Transport::Sse)).build().expect("a client");
    let outcome = guarded(turn(&mut client.session(), &request(&["hi"]))).await;
    let [event] = &outcome.events[..] else { panic!("{:?}", outcome.events) };
    assert!(event.is_synthesized());
    check_event(event);

    let restarted = serde_json::to_string(&ResponseEvent::Restarted).expect("JSON");
    assert_eq!(restarted, r#"{"type":"responses_client.restarted"}"#);
    let restarted = ResponseEvent::from_json(restarted).expect("an event");
    assert_eq!(restarted.kind(), EventKind::Restarted);
}
