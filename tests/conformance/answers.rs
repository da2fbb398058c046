//! The answer of a response: several responses in one stream, phases of messages, refusals, and
//! the parsed output.

use std::error::Error as _;

use responses_client::{
    Error, ErrorKind, Response, RetryPolicy, Transport,
    error::OutputError,
    event::{MessagePhase, ResponseEvent},
    testing::{Script, ScriptedServer, Step, Turn},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    settled_output::{completed, created, delta, done, ended, message, played, with},
    support::{BOTH, Outcome, builder, guarded, only, request, turn},
};

#[derive(Debug, PartialEq, Deserialize)]
struct Forecast {
    days: u32,
}

const FORECAST: &str = r#"{"days":3}"#;

fn in_phase(id: &str, phase: impl Into<Value>, text: &str) -> Value {
    with(message(id, text), json!({ "phase": phase.into() }))
}

/// Runs one turn that the server answers like this. A failure is not retried.
async fn ran(transport: Transport, answer: Turn) -> Outcome {
    let server = ScriptedServer::in_memory(Script::new().turn(answer));
    let mut retry = RetryPolicy::default();
    retry.max_attempts = 1;
    let client =
        builder(&server).transport(only(transport)).retry(retry).build().expect("a client");
    guarded(turn(&mut client.session(), &request(&["hi"]))).await
}

/// The response of a turn with this output.
async fn answered(transport: Transport, output: &[Value]) -> Response {
    let finished = output.iter().enumerate().map(|(index, item)| done(index as u32, item.clone()));
    let events = [created()].into_iter().chain(finished).chain([completed(output)]);
    ran(transport, Turn::events(events)).await.response().clone()
}

#[tokio::test(start_paused = true)]
async fn c158_the_first_terminal_ends_the_turn_and_the_rest_reaches_no_turn() {
    for transport in BOTH {
        let response = |id: &str, text: &str| {
            let members = json!({ "id": id, "status": "completed", "output": [message(id, text)] });
            [
                json!({ "type": "response.created", "response": { "id": id } }),
                delta(0, id, text),
                done(0, message(id, text)),
                json!({ "type": "response.completed", "response": members }),
            ]
        };
        let all = [response("resp_a", "one"), response("resp_b", "uninvited")].concat();
        let script = Script::new().turn(Turn::events(all)).turn(Turn::text("two"));
        let server = ScriptedServer::in_memory(script);
        let client = builder(&server).transport(only(transport)).build().expect("a client");
        let mut session = client.session();
        for text in ["one", "two"] {
            let outcome = guarded(turn(&mut session, &request(&["hi"]))).await;
            assert_eq!(outcome.response().output_text(), text, "{transport}");
            let terminals = outcome.events.iter().filter(|event| event.is_terminal()).count();
            assert_eq!(terminals, 1, "{transport}");
            assert!(!outcome.events.iter().any(|event| event.raw().contains("uninvited")));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c158_cumulative_messages_are_distinct_items_and_all_are_kept() {
    let texts = ["Hel", "Hello", "Hello there"];
    let items: Vec<Value> =
        texts.iter().zip(["a", "b", "c"]).map(|(text, id)| message(id, text)).collect();
    let finished = items.iter().enumerate().map(|(index, item)| done(index as u32, item.clone()));
    let streamed: Vec<Value> = [created()].into_iter().chain(finished).collect();
    for transport in BOTH {
        for end in [completed(&items), completed(&[])] {
            let ran = played(transport, &[streamed.clone(), vec![end]].concat()).await;
            assert_eq!(ran.items, items, "{transport}");
            let messages = ran.response().messages();
            let kept: Vec<String> = messages.iter().map(|message| message.text()).collect();
            assert_eq!(kept, texts, "{transport}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c158_the_parsed_output_is_the_final_answer_and_not_commentary() {
    let commentary = || in_phase("m1", "commentary", "I look at the weather.");
    let answer = |phase: Value| in_phase("m2", phase, FORECAST);
    for transport in BOTH {
        for output in [
            vec![commentary(), answer("final_answer".into())],
            vec![answer("final_answer".into()), in_phase("m3", "overture", "Ta-da!")],
            vec![answer("final_answer".into()), message("m3", "Not marked.")],
            vec![commentary(), answer(Value::Null)],
            vec![commentary(), answer("overture".into())],
            vec![message("m2", FORECAST)],
            vec![
                in_phase("m2", "final_answer", r#"{"days""#),
                commentary(),
                in_phase("m3", "final_answer", ":3}"),
            ],
        ] {
            let response = answered(transport, &output).await;
            assert_eq!(response.parse_output(), Ok(Forecast { days: 3 }), "{output:?}");
            assert_eq!(response.final_text(), FORECAST);
            let all: String = output.iter().map(text_of).collect();
            assert_eq!(response.output_text(), all, "the text still has everything");
        }
        let only_commentary = answered(transport, &[commentary()]).await;
        assert_eq!(only_commentary.final_text(), "");
        let phases = [Value::Null, "commentary".into(), "final_answer".into(), "overture".into()];
        let messages = answered(transport, &phases.map(answer)).await.messages();
        let other = MessagePhase::Other("overture".to_owned());
        let expected =
            [None, Some(MessagePhase::Commentary), Some(MessagePhase::FinalAnswer), Some(other)];
        let phases: Vec<_> = messages.iter().map(|message| message.phase()).collect();
        assert_eq!(phases, expected);
    }
}

fn text_of(item: &Value) -> &str {
    item["content"][0]["text"].as_str().expect("a text")
}

#[tokio::test(start_paused = true)]
async fn c195_a_refusal_is_not_taken_for_wrong_json() {
    const REFUSAL: &str = "I cannot help with that.";
    for transport in BOTH {
        let refused = Turn::jsonl(include_str!("../fixtures/refusal.jsonl"));
        let outcome = ran(transport, refused.clone()).await;
        let pieces: Vec<&str> =
            outcome.events.iter().filter_map(ResponseEvent::refusal_delta).collect();
        assert_eq!((pieces.len(), pieces.concat().as_str()), (3, REFUSAL), "{transport}");
        assert!(outcome.events.iter().all(|event| event.text_delta().is_none()));
        let response = outcome.response();
        assert_eq!(response.refusal().as_deref(), Some(REFUSAL));
        let error = response.parse_output::<Forecast>().expect_err("a refusal");
        assert_eq!(error, OutputError::Refused(REFUSAL.to_owned()));
        assert_eq!(error.to_string(), "the model refused to answer");

        // A refusal that is cut off is one too.
        let cut = ran(transport, refused.cut_after(6, Step::End)).await;
        let partial = cut.error().response().expect("a part");
        let error = partial.parse_output::<Forecast>().expect_err("a refusal");
        assert_eq!(error, OutputError::Refused("I cannot help ".to_owned()));
        // One in commentary is none of the answer.
        let refusal = json!([{ "type": "refusal", "refusal": REFUSAL }]);
        let aside = with(in_phase("m1", "commentary", ""), json!({ "content": refusal }));
        let response = answered(transport, &[aside, message("m2", FORECAST)]).await;
        assert_eq!(response.refusal(), None);
        assert_eq!(response.parse_output(), Ok(Forecast { days: 3 }));
    }
}

#[tokio::test(start_paused = true)]
async fn c195_an_incomplete_answer_is_not_taken_for_a_whole_one() {
    let incomplete = |reason: Value| {
        let details = json!({ "incomplete_details": reason, "output": [message("m", FORECAST)] });
        Turn::events([created(), done(0, message("m", FORECAST)), ended("incomplete", details)])
    };
    for transport in BOTH {
        for (reason, expected) in [
            (json!({ "reason": "max_output_tokens" }), Some("max_output_tokens")),
            (json!(null), None),
        ] {
            let outcome = ran(transport, incomplete(reason)).await;
            let error = outcome.response().parse_output::<Forecast>().expect_err("incomplete");
            assert_eq!(error, OutputError::Incomplete(expected.map(str::to_owned)));
            let shown = expected.map(|reason| format!(": {reason}")).unwrap_or_default();
            assert_eq!(error.to_string(), format!("the response is incomplete{shown}"));
        }
        let cut = Turn::events([created(), done(0, message("m", FORECAST))]).then(Step::End);
        let outcome = ran(transport, cut).await;
        let partial = outcome.error().response().expect("a part");
        let error = partial.parse_output::<Forecast>().expect_err("cut off");
        assert_eq!(error, OutputError::Incomplete(None), "{transport}");
    }
}

#[tokio::test(start_paused = true)]
async fn c195_wrong_json_says_so_and_all_become_errors_that_show_no_text() {
    for transport in BOTH {
        let response = answered(transport, &[message("m", r#"{"hours":"canary"}"#)]).await;
        let wrong = response.parse_output::<Forecast>().expect_err("another type");
        assert!(matches!(wrong, OutputError::Decode(_)), "{wrong:?}");
        assert!(wrong.source().is_some_and(|source| !source.to_string().is_empty()));
        assert_eq!(wrong.to_string(), "could not decode the answer of the model");
        for error in
            [wrong, OutputError::Refused("canary".to_owned()), OutputError::Incomplete(None)]
        {
            let error = Error::from(error);
            assert_eq!(error.kind(), ErrorKind::Decode);
            let cause = error.source().expect("a source");
            assert!(cause.downcast_ref::<OutputError>().is_some());
            let shown = format!("{error} {error:?} {cause} {cause:?} {:?}", cause.source());
            assert!(!shown.contains("canary"), "{shown}");
        }
    }
}
