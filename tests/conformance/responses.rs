//! The response of a turn with its report, and the history in a checkpoint.

use std::time::Duration;

use responses_client::{
    Checkpoint, ErrorKind, FinalResponse, Item, Response, ResponsesRequest, Transport,
    testing::{Script, ScriptedServer, Step, Turn, items},
};

use crate::support::{BOTH, appended, builder, incremental, only, request, turn};

#[tokio::test(start_paused = true)]
async fn c257_the_final_response_has_the_report_of_its_turn() {
    for transport in BOTH {
        let busy = Turn::error(429, "rate_limit_exceeded", "no");
        let script = Script::new().turns([busy, Turn::text("one"), Turn::text("two")]);
        let server = ScriptedServer::in_memory(script);
        let client = builder(&server).transport(only(transport)).build().unwrap();
        let mut session = client.session();
        let one = request(&["hi"]);
        let first: FinalResponse = session.respond(&one).await.unwrap();
        assert_eq!(first.output_text(), "one");
        assert_eq!((first.report().attempts.len(), first.report().transport), (2, Some(transport)));
        assert!(first.report().timings.done.is_some() && first.report().bytes_received > 0);

        let mut two = one.clone();
        two.input.extend(first.output_items());
        two.input.push(Item::user("more"));
        let mut stream = session.stream(&two).await.unwrap();
        while stream.try_next().await.unwrap().is_some() {}
        let report = format!("{:?}", stream.report());
        let last = stream.final_response().await.unwrap();
        assert_eq!(format!("{:?}", last.report()), report, "{transport}");
        assert!(last.report().attempts.len() == 1 && last.report().events > 5);

        let response: &Response = &last;
        assert_eq!(response.output_text(), "two");
        let (response, report) = last.clone().into_parts();
        assert_eq!((response.output_text().as_ref(), report.attempts.len()), ("two", 1));
        assert_eq!(last.clone().into_response().id(), response.id());
        assert_eq!(Response::from(last).id(), response.id());
    }
}

#[tokio::test(start_paused = true)]
async fn c257_a_client_runs_single_turns_without_a_session() {
    for transport in BOTH {
        let late = Turn::text("three").delay(Duration::from_secs(5));
        let script = Script::new().turns([Turn::text("one"), Turn::text("two"), late]);
        let server = ScriptedServer::in_memory(script);
        let client = builder(&server).transport(only(transport)).build().unwrap();
        assert_eq!(client.respond(&request(&["hi"])).await.unwrap().output_text(), "one");

        let stream = client.stream(request(&["hi"])).await.unwrap();
        assert_eq!(stream.final_response().await.unwrap().output_text(), "two", "{transport}");

        let limited = client.turn(request(&["hi"])).timeout(Duration::from_secs(1));
        let error = limited.respond().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{transport}");
        server.wait_for(|log| log.open_connections() == 0 || transport == Transport::Sse).await;
        let plans: Vec<_> = server.log().requests.into_iter().map(|it| it.input_items).collect();
        assert_eq!(plans, [1, 1, 1], "{transport}");
    }
}

#[tokio::test(start_paused = true)]
async fn c257_respond_fails_with_what_ended_the_turn() {
    for transport in BOTH {
        let cut = Turn::text("Hello, world").cut_after(6, Step::Reset);
        let refused = Turn::error(400, "invalid_prompt", "no");
        let server = ScriptedServer::in_memory(Script::new().turns([cut, refused]));
        let client = builder(&server).transport(only(transport)).build().unwrap();
        let mut session = client.session();
        let error = session.respond(request(&["hi"])).await.unwrap_err();
        assert!(!error.response().unwrap().output_text().is_empty(), "{transport}");
        assert_eq!(error.report().unwrap().attempts.len(), 1);
        let error = session.respond(request(&["hi"])).await.unwrap_err();
        assert!(error.response().is_none());
        assert_eq!(error.status(), Some(400), "{transport}");
    }
}

#[tokio::test(start_paused = true)]
async fn c258_a_checkpoint_has_the_request_and_the_history_to_go_on_with() {
    for transport in BOTH {
        let output = [items::reasoning("Let me see", "gAAAA"), items::message("one")];
        let script = Script::new().turns([Turn::output(output), Turn::text("two")]);
        let server = ScriptedServer::in_memory(script);
        let builder = || builder(&server).transport(only(transport)).continue_over_sse(true);
        let mut session = builder().build().unwrap().session();
        let empty = session.checkpoint();
        assert!(empty.request().is_none() && empty.history().is_empty());

        let one = request(&["hi"]).instructions("Be brief.").store(true);
        let first = turn(&mut session, &one).await;
        let saved = serde_json::to_string(&session.checkpoint()).unwrap();
        let checkpoint: Checkpoint = serde_json::from_str(&saved).unwrap();
        let mut two: ResponsesRequest = checkpoint.request().expect("a request").clone();
        assert_eq!(two.input.len(), 1, "as it was sent");
        two.input = checkpoint.history();
        let text = |request: &ResponsesRequest| serde_json::to_string(request).unwrap();
        two.input.push(Item::user("more"));
        assert_eq!(text(&two), text(&appended(&one, &first, "more")));

        let mut session = builder().build().unwrap().resume(checkpoint);
        let second = turn(&mut session, &two).await;
        assert_eq!(second.response().output_text(), "two");
        assert_eq!(second.report.plan, incremental(1), "{transport}");
    }
}

#[tokio::test(start_paused = true)]
async fn c258_a_checkpoint_after_a_turn_that_did_not_complete_has_no_history() {
    for transport in BOTH {
        let script = Script::new().turns([
            Turn::text("one"),
            Turn::incomplete([items::message("some")], "max_output_tokens"),
        ]);
        let server = ScriptedServer::in_memory(script);
        let mut session = builder(&server).transport(only(transport)).build().unwrap().session();
        let one = request(&["hi"]);
        let first = turn(&mut session, &one).await;
        assert_eq!(session.checkpoint().history().len(), 2);
        let second = turn(&mut session, &appended(&one, &first, "more")).await;
        assert_eq!(second.report.transport, Some(transport));
        let checkpoint = session.checkpoint();
        assert!(checkpoint.request().is_none() && checkpoint.history().is_empty());
    }
}
