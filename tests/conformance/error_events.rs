//! The event that ended a turn, and copies of its error.

use bytes::Bytes;
use responses_client::{
    Error, ErrorKind, ReplayPolicy, RetryPolicy, Transport, TransportPolicy,
    event::{EventKind, ResponseEvent},
    testing::{Refusal, Script, ScriptedServer, Step, Turn, Upgrade},
};
use serde_json::{Value, json};

use crate::support::{BOTH, builder, guarded, only, read, request};

/// Runs a turn of which each attempt has the next answer. Returns its error, twice if the stream
/// had begun: as yielded, and as `final_response` returns it.
async fn errors(transport: Transport, answers: Vec<Turn>) -> Vec<Error> {
    let mut retry = RetryPolicy::default();
    retry.max_attempts = u32::try_from(answers.len()).unwrap();
    retry.replay = ReplayPolicy::Never;
    let server = ScriptedServer::in_memory(Script::new().turns(answers));
    let client = builder(&server).transport(only(transport)).retry(retry).build().unwrap();
    let mut stream = match guarded(client.session().stream(request(&["hi"]))).await {
        Ok(stream) => stream,
        Err(error) => return vec![error],
    };
    let first = loop {
        match stream.try_next().await {
            Ok(event) => assert!(event.is_some(), "the turn must fail"),
            Err(error) => break error,
        }
    };
    vec![first, stream.final_response().await.unwrap_err()]
}

fn value(event: &ResponseEvent) -> Value {
    serde_json::from_str(event.raw()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn c256_the_event_that_ended_a_turn_is_kept_as_it_came() {
    let typed = json!({ "type": "error", "code": "server_error", "message": "No.", "odd": [1] });
    let untyped = json!({ "error": { "message": "No." }, "user_id": "u" });
    let other = json!({ "type": "rate_limit_error", "message": "No." });
    for transport in BOTH {
        for (event, kind) in [
            (&typed, EventKind::ErrorEvent),
            (&untyped, EventKind::Unknown),
            (&other, EventKind::Unknown),
        ] {
            for at in [0, 3] {
                let answer = Turn::text("Hello").insert(at, Step::Event(event.clone()));
                for error in errors(transport, vec![answer]).await {
                    let own = error.event().expect("an event");
                    assert_eq!((own.kind(), &value(own)), (kind, event), "{transport} at {at}");
                    assert!(error.api_error().is_some());
                    assert!(!format!("{error} {error:?}").contains("odd"));
                }
            }
        }
        for (answer, kind) in [
            (Turn::failed([], "cyber_policy", "no"), EventKind::Failed),
            (
                Turn::text("Hello").insert(
                    4,
                    Step::Event(json!({ "type": "response.cancelled", "response": { "id": "r" } })),
                ),
                EventKind::Cancelled,
            ),
        ] {
            let errors = errors(transport, vec![answer]).await;
            assert_eq!(errors.len(), 2);
            for error in errors {
                let own = error.event().expect("an event");
                assert_eq!(own.kind(), kind, "{transport}");
                assert_eq!(value(own)["type"], kind.as_str());
                assert!(!own.is_synthesized());
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c256_the_bytes_of_the_event_and_its_name_are_kept() {
    let raw = r#"{ "message" : "No.",  "detail":"\ud800" }"#;
    let step = Step::Raw(Bytes::from(format!("event: rate_limit_error\ndata: {raw}\n\n")));
    let answer = Turn::text("Hello").insert(3, step);
    let errors = errors(Transport::Sse, vec![answer]).await;
    let Some(ResponseEvent::Unknown(event)) = errors[0].event() else { panic!("an event") };
    assert_eq!(event.event_type, "rate_limit_error");
    assert_eq!(errors[0].event().unwrap().raw(), raw);
}

#[tokio::test(start_paused = true)]
async fn c256_it_is_the_event_of_the_last_attempt() {
    for transport in BOTH {
        let refused = |message: &str| {
            let event = json!({ "type": "error", "code": "slow_down", "message": message });
            Turn::steps([Step::Event(event)])
        };
        let last = errors(transport, vec![refused("first"), refused("second")]).await.remove(0);
        assert_eq!(last.report().unwrap().attempts.len(), 2, "{transport}");
        assert_eq!(value(last.event().expect("an event"))["message"], "second");
    }
}

#[tokio::test(start_paused = true)]
async fn c256_what_is_no_event_is_none() {
    for transport in BOTH {
        let cut = Turn::text("Hello").cut_after(3, Step::Reset);
        for error in errors(transport, vec![cut]).await {
            assert!(error.event().is_none(), "{transport}");
        }
    }
    // Over SSE, an answer with an error status; over a WebSocket, an event.
    for transport in BOTH {
        let answer = Turn::error(400, "invalid_prompt", "no");
        let error = errors(transport, vec![answer]).await.remove(0);
        assert_eq!((error.kind(), error.status()), (ErrorKind::Api, Some(400)), "{transport}");
        assert_eq!(error.event().is_some(), transport == Transport::WebSocket, "{transport}");
    }
    // A refused upgrade, and an error that is only text.
    let script = Script::new().upgrade(Upgrade::Refuse(Refusal::status(403)));
    let server = ScriptedServer::in_memory(script);
    let client = builder(&server).transport(TransportPolicy::WebSocketOnly).build().unwrap();
    let error = client.session().respond(request(&["hi"])).await.unwrap_err();
    assert!(error.api_error().is_some() && error.event().is_none());
    let text = Step::Raw(Bytes::from("event: error\ndata: No.\n\n"));
    let errors = errors(Transport::Sse, vec![Turn::text("Hello").insert(3, text)]).await;
    assert!(errors.iter().all(|error| error.event().is_none() && error.api_error().is_some()));
}

#[tokio::test(start_paused = true)]
async fn c256_a_failed_response_that_came_as_json_is_a_made_event() {
    let answer = Turn::failed([], "cyber_policy", "no").unstreamed();
    let error = errors(Transport::Sse, vec![answer]).await.remove(0);
    let event = error.event().expect("an event");
    assert_eq!((event.kind(), event.is_synthesized()), (EventKind::Failed, true));
    assert_eq!(value(event)["status"], "failed");
}

#[tokio::test(start_paused = true)]
async fn c256_a_copy_of_an_error_is_the_same_error() {
    for transport in BOTH {
        let cases = [
            Turn::failed([], "cyber_policy", "no"),
            Turn::text("Hello").cut_after(6, Step::Reset),
            Turn::text("Hello").insert(4, Step::Event(json!({ "type": "error", "code": "x" }))),
        ];
        for answer in cases {
            let errors = errors(transport, vec![answer]).await;
            let [first, second] = &errors[..] else { panic!("an error in the stream") };
            for copy in [second, &first.clone()] {
                assert_eq!(copy.to_string(), first.to_string());
                assert_eq!(format!("{copy:?}"), format!("{first:?}"));
                assert_eq!(source(copy), source(first), "{transport}");
                let text = |error: &Error| error.response().map(|it| it.output_text());
                assert_eq!(text(copy), text(first));
                let report = |error: &Error| format!("{:?}", error.report().expect("a report"));
                assert_eq!(report(copy), report(first));
                let raw = |error: &Error| error.event().map(|it| it.raw().to_owned());
                assert_eq!(raw(copy), raw(first));
            }
        }
        // An error of an operating system has a source that cannot be copied.
        let server = ScriptedServer::in_memory(Script::new());
        server.stop();
        let mut retry = RetryPolicy::default();
        retry.network_down_deadline = Some(std::time::Duration::ZERO);
        let client = builder(&server).transport(only(transport)).retry(retry).build().unwrap();
        let error = read(client.session().stream(request(&["hi"])).await).await.result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connect);
        assert!(source(&error).is_some());
        assert_eq!(source(&error.clone()), source(&error));
    }
}

fn source(error: &Error) -> Option<String> {
    std::error::Error::source(error).map(ToString::to_string)
}
