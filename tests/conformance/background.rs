//! Responses that outlive their connection, and conversations that outlive their process.

use std::time::Duration;

use responses_client::{
    Checkpoint, ErrorKind, Provider, ReplayPolicy, ResponseStatus, ResponsesClient,
    ResponsesRequest, RetryPolicy, Timeouts, Transport, TransportPolicy,
    event::ResponseEvent,
    report::FullSendReason,
    testing::{Gate, Script, ScriptedServer, Step, Turn, items},
};

use crate::support::{appended, builder, close, full, guarded, incremental, request, turn};

fn background(texts: &[&str]) -> ResponsesRequest {
    let mut request = request(texts).store(true);
    request.background = Some(true);
    request
}

/// A client that sends nothing twice.
fn client(server: &ScriptedServer) -> ResponsesClient {
    let mut retry = RetryPolicy::default();
    retry.replay = ReplayPolicy::Never;
    builder(server).retry(retry).build().expect("a client")
}

fn answer() -> Turn {
    Turn::output([items::reasoning("Let me see", "gAAAA"), items::message("a long answer")])
}

#[tokio::test(start_paused = true)]
async fn a_response_in_the_background_is_gone_on_with_after_a_cut_anywhere() {
    let server = ScriptedServer::in_memory(Script::new().turn(answer()));
    let whole = turn(&mut client(&server).session(), &background(&["hi"])).await;
    let kinds = whole.kinds();
    assert!(kinds.len() > 12);
    for cut in 1..kinds.len() {
        for fault in [Step::Reset, Step::End, close(1000)] {
            let server = ScriptedServer::in_memory(Script::new().turn(answer().insert(cut, fault)));
            let outcome = turn(&mut client(&server).session(), &background(&["hi"])).await;
            assert_eq!(outcome.kinds(), kinds, "nothing is lost, and nothing comes twice: {cut}");
            let numbers = outcome.events.iter().map(ResponseEvent::sequence_number);
            assert!(numbers.eq((0..kinds.len() as u64).map(Some)));
            assert_eq!(outcome.response().output_text(), "a long answer");
            let attempts = &outcome.report.attempts;
            assert_eq!(
                (attempts.len(), attempts[0].resumed, attempts[1].resumed),
                (2, false, true)
            );
            let log = server.log();
            assert_eq!(log.requests.len(), 1, "the request is sent once");
            let target = &log.others[0].path;
            assert!(
                target.ends_with(&format!("?stream=true&starting_after={}", cut - 1)),
                "{target}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c143_each_cut_that_events_came_before_has_all_attempts() {
    let whole = ScriptedServer::in_memory(Script::new().turn(answer()));
    let whole = turn(&mut client(&whole).session(), &background(&["hi"])).await;
    // A cut after each event but the last, and two attempts for each of them.
    let cuts = whole.events.len() - 1;
    let gates: Vec<Gate> = (0..cuts).map(|_| Gate::new()).collect();
    let script = gates
        .iter()
        .enumerate()
        .rev()
        .fold(answer(), |answer, (at, gate)| answer.insert(at + 1, Step::Gate(gate.clone())));
    let server = ScriptedServer::in_memory(Script::new().turn(script));
    let mut retry = RetryPolicy::default();
    retry.replay = ReplayPolicy::Never;
    retry.max_attempts = 2;
    let mut session = builder(&server).retry(retry).build().expect("a client").session();
    let mut stream = session.stream(&background(&["hi"])).await.expect("a stream");
    let mut numbers = Vec::new();
    while let Some(event) = guarded(stream.try_next()).await.expect("no error") {
        if let Some(gate) = gates.get(numbers.len()) {
            server.drop_connections();
            gate.open();
        }
        numbers.push(event.sequence_number().expect("a number"));
    }
    assert!(numbers.iter().copied().eq(0..=cuts as u64), "{numbers:?}");
    assert_eq!(stream.report().attempts.len(), 1 + cuts);
    assert_eq!(server.log().requests.len(), 1, "the request is sent once");
}

#[tokio::test(start_paused = true)]
async fn c143_cuts_that_no_event_came_between_share_the_attempts() {
    for attempts in [2, 4] {
        let gate = Gate::new();
        let script = answer().insert(4, Step::Gate(gate.clone()));
        let server = ScriptedServer::in_memory(Script::new().turn(script));
        let mut retry = RetryPolicy::default();
        retry.replay = ReplayPolicy::Never;
        retry.max_attempts = attempts;
        let mut session = builder(&server).retry(retry).build().expect("a client").session();
        let mut stream = session.stream(&background(&["hi"])).await.expect("a stream");
        let (mut events, mut cuts) = (0, 0);
        let error = loop {
            // Nothing more comes behind the fourth one, however often it is asked for.
            let next = tokio::time::timeout(Duration::from_secs(20), stream.try_next()).await;
            match next {
                Ok(Ok(event)) => events += usize::from(event.is_some()),
                Ok(Err(error)) => break error,
                Err(_) => server.drop_connections(),
            }
            cuts += 1;
            assert!(cuts < 20, "it is asked for without end");
        };
        assert_eq!((error.kind(), events), (ErrorKind::Truncated, 4));
        assert_eq!(error.report().expect("a report").attempts.len(), attempts as usize);
        // The caller can go on by hand.
        gate.open();
        let id = error.response().expect("a partial response").id().to_owned();
        let response = guarded(client(&server).retrieve(&id)).await.expect("a response");
        assert_eq!(response.status(), ResponseStatus::Completed);
        assert_eq!(response.output_text(), "a long answer");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_in_the_background_is_not_asked_for_again() {
    let script = Script::new().turn(answer().insert(4, Step::Reset));
    let server = ScriptedServer::in_memory(script);
    let mut session =
        builder(&server).transport(TransportPolicy::SseOnly).build().unwrap().session();
    let outcome = turn(&mut session, &request(&["hi"]).store(true)).await;
    assert_eq!(outcome.error().kind(), ErrorKind::Truncated);
    assert!(server.log().others.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_response_in_the_background_can_be_looked_at_and_ended() {
    let gate = Gate::new();
    let script = Script::new().turn(answer().insert(5, Step::Gate(gate.clone())));
    let server = ScriptedServer::in_memory(script);
    let client = client(&server);
    let mut session = client.session();
    let mut stream = session.stream(&background(&["hi"])).await.expect("a stream");
    stream.try_next().await.expect("an event");
    let id = stream.response().id().to_owned();
    let standing = client.retrieve(&id).await.expect("a response");
    assert_eq!((standing.id(), standing.status()), (id.as_str(), ResponseStatus::InProgress));
    assert!(!standing.is_finished());
    for _ in 0..2 {
        let ended = client.cancel(&id).await.expect("a response");
        assert_eq!(ended.status(), ResponseStatus::Cancelled);
        assert!(ended.is_finished());
    }
    gate.open();
    drop(stream);
    for id in ["", ".", ".."] {
        let error = client.retrieve(id).await.expect_err("no id");
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{id:?}");
        assert_eq!(client.cancel(id).await.expect_err("no id").kind(), ErrorKind::InvalidRequest);
    }
    let error = client.retrieve("resp_none/../x?y").await.expect_err("there is none");
    assert_eq!((error.kind(), error.status()), (ErrorKind::Api, Some(404)));
    let asked = server.log().others.last().expect("a request").path.clone();
    assert!(asked.ends_with("/responses/resp_none%2F..%2Fx%3Fy"), "{asked}");
}

fn stored(server: &ScriptedServer) -> ResponsesClient {
    builder(server).transport(TransportPolicy::WebSocketOnly).build().expect("a client")
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_goes_on_in_another_process_by_id_when_stored_else_in_full() {
    for store in [true, false] {
        let script =
            Script::new().turns([Turn::text("one"), Turn::text("two"), Turn::text("three")]);
        let server = ScriptedServer::in_memory(script);
        let first = request(&["hi"]).instructions("Be brief.").store(store);
        let mut session = stored(&server).session();
        let one = turn(&mut session, &first).await;
        let saved = serde_json::to_string(&session.checkpoint()).expect("JSON");
        let second = appended(&first, &one, "more");
        drop(session);

        let checkpoint: Checkpoint = serde_json::from_str(&saved).expect("a checkpoint");
        let mut session = stored(&server).resume(checkpoint);
        let two = turn(&mut session, &second).await;
        assert_eq!(two.response().output_text(), "two");
        let plan = if store { incremental(1) } else { full(FullSendReason::ConnectionChanged) };
        assert_eq!(two.report.plan, plan, "stored: {store}");
        let three = turn(&mut session, &appended(&second, &two, "and more")).await;
        assert_eq!(three.report.plan, incremental(1));
        assert_eq!(three.report.transport, Some(Transport::WebSocket));
    }
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_is_named_to_no_other_server_or_account() {
    let script = || Script::new().turns([Turn::text("one"), Turn::text("two")]);
    for what in ["server", "account", "nothing"] {
        let server = ScriptedServer::in_memory(script());
        let first = request(&["hi"]).store(true);
        let mut session = stored(&server).session();
        let one = turn(&mut session, &first).await;
        let base = if what == "server" { "http://other.invalid/v1" } else { &server.url() };
        let mut other = ResponsesClient::builder()
            .provider(Provider::compatible(base).expect("a URL"))
            .connector(&server.connector());
        if what == "account" {
            other = other.account("somebody else");
        }
        let mut session = other.build().expect("a client").resume(session.checkpoint());
        let two = turn(&mut session, &appended(&first, &one, "more")).await;
        let kept = what == "nothing";
        let plan = if kept { incremental(1) } else { full(FullSendReason::ConnectionChanged) };
        assert_eq!(two.report.plan, plan, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_of_nothing_or_of_another_version_does_no_harm() {
    let server = ScriptedServer::in_memory(Script::new().turn(Turn::text("one")));
    let fresh = stored(&server).session().checkpoint();
    let saved = serde_json::to_string(&fresh).expect("JSON");
    let checkpoint: Checkpoint = serde_json::from_str(&saved).expect("a checkpoint");
    let mut session = stored(&server).resume(checkpoint);
    let one = turn(&mut session, &request(&["hi"])).await;
    assert!(one.report.plan.as_ref().is_some_and(responses_client::report::Plan::is_full));
    let newer = saved.replace("\"version\":1", "\"version\":2");
    let error = serde_json::from_str::<Checkpoint>(&newer).expect_err("not to be read");
    assert!(error.to_string().contains("version 2"), "{error}");
    assert!(!format!("{:?}", session.checkpoint()).contains("hi"));
}

#[tokio::test(start_paused = true)]
async fn a_network_that_is_down_is_named_by_retrieve_too() {
    let server = ScriptedServer::in_memory(Script::new());
    let mut timeouts = Timeouts::default();
    // Over while it waits for the network.
    timeouts.request = Some(Duration::from_millis(1500));
    let client = builder(&server).timeouts(timeouts).build().expect("a client");
    server.stop();
    let error = client.retrieve("resp_1").await.expect_err("nobody is there");
    assert_eq!(error.kind(), ErrorKind::Connect);
}

#[tokio::test(start_paused = true)]
async fn the_report_keeps_its_plan_when_nothing_answers_behind_a_cut() {
    let gate = Gate::new();
    let script = Script::new().turn(answer().insert(4, Step::Gate(gate.clone())));
    let server = ScriptedServer::in_memory(script);
    let mut session = client(&server).session();
    let mut stream = session.stream(&background(&["hi"])).await.expect("a stream");
    server.stop();
    let error = loop {
        match stream.try_next().await {
            Ok(event) => assert!(event.is_some(), "it cannot end well"),
            Err(error) => break error,
        }
    };
    let report = error.report().expect("a report");
    assert!(report.attempts.len() > 2, "it was tried again");
    assert_eq!(report.plan, full(FullSendReason::FirstTurn));
    assert!(report.bytes_sent > 0);
}
