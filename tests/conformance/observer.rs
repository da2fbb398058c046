//! What an observer is told of turns.

use std::{
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use responses_client::{
    AttemptFailed, Error, ErrorKind, Transport, TurnObserver,
    report::{Plan, TurnReport},
    testing::{Refusal, Script, ScriptedServer, Turn, Upgrade},
};

use crate::support::{BOTH, builder, only, request, turn};

/// Notes each notice in a few words.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    fn note(&self, text: String) {
        self.0.lock().expect("no panic").push(text);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("no panic"))
    }
}

impl TurnObserver for Notes {
    fn planned(&self, plan: &Plan, transport: Transport, bytes: u64) {
        assert!(bytes > 10);
        let plan = if plan.is_full() { "full" } else { "incremental" };
        self.note(format!("{plan} over {transport}"));
    }

    fn attempt_failed(&self, failed: &AttemptFailed) {
        let AttemptFailed { transport, kind, delay, trying_for, .. } = failed;
        let waits = trying_for.map(|it| format!(", trying for {} s", it.as_secs()));
        let waits = waits.unwrap_or_default();
        self.note(format!("{transport} failed: {kind:?}, delayed: {}{waits}", !delay.is_zero()));
    }

    fn fell_back(&self) {
        self.note("fell back".to_owned());
    }

    fn done(&self, report: &TurnReport, error: Option<&Error>) {
        let attempts = report.attempts.len();
        self.note(format!("done after {attempts}: {:?}", error.map(Error::kind)));
    }
}

#[tokio::test(start_paused = true)]
async fn an_observer_is_told_of_plans_failures_and_ends_in_their_order() {
    for transport in BOTH {
        let busy = Turn::error(429, "rate_limit_exceeded", "no");
        let script = Script::new().turn(busy).turn(Turn::text("hi")).turn(Turn::error(
            400,
            "invalid_prompt",
            "no",
        ));
        let server = ScriptedServer::in_memory(script);
        let notes = Notes::default();
        let client = builder(&server).transport(only(transport)).observer(notes.clone());
        let mut session = client.build().expect("a client").session();
        assert!(turn(&mut session, &request(&["hi"])).await.result.is_ok());
        let full = format!("full over {transport}");
        let failed = format!("{transport} failed: Api, delayed: true");
        assert_eq!(notes.take(), [&full, &failed, &full, "done after 2: None"]);
        assert!(turn(&mut session, &request(&["other"])).await.result.is_err());
        let done = format!("done after 1: {:?}", Some(ErrorKind::Api));
        assert_eq!(notes.take(), [full, done], "a failure that ends the turn is its end");
    }
}

#[tokio::test(start_paused = true)]
async fn an_observer_is_told_of_a_fallback() {
    let script =
        Script::new().upgrade(Upgrade::Refuse(Refusal::status(426))).turn(Turn::text("hi"));
    let server = ScriptedServer::in_memory(script);
    let notes = Notes::default();
    let client = builder(&server).observer(notes.clone()).build().expect("a client");
    assert!(turn(&mut client.session(), &request(&["hi"])).await.result.is_ok());
    let notes = notes.take();
    let expected = [
        "websocket failed: UpgradeRefused, delayed: false",
        "fell back",
        "full over sse",
        "done after 2: None",
    ];
    assert_eq!(notes, expected);
}

#[tokio::test(start_paused = true)]
async fn c259_the_observer_of_a_session_replaces_that_of_the_client() {
    for transport in BOTH {
        let server = ScriptedServer::in_memory(Script::new().respond(|_| Turn::text("hi")));
        let (of_client, of_session) = (Notes::default(), Arc::new(Notes::default()));
        let client = builder(&server).transport(only(transport)).observer(of_client.clone());
        let client = client.build().expect("a client");
        let mut session = client.session();
        let notes = [format!("full over {transport}"), "done after 1: None".to_owned()];
        turn(&mut session, &request(&["hi"])).await;
        assert_eq!(of_client.take(), notes);
        session.set_observer(Arc::clone(&of_session));
        turn(&mut session, &request(&["other"])).await;
        assert_eq!((of_session.take(), of_client.take()), (notes.to_vec(), Vec::new()));

        let mut fork = session.fork();
        turn(&mut fork, &request(&["a third"])).await;
        assert_eq!((of_session.take(), of_client.take()), (notes.to_vec(), Vec::new()), "a fork");
        let other = builder(&server).transport(only(transport)).account("other");
        session.set_client(&other.observer(of_client.clone()).build().expect("a client"));
        turn(&mut session, &request(&["a fourth"])).await;
        assert_eq!((of_session.take(), of_client.take()), (notes.to_vec(), Vec::new()));
        turn(&mut client.session(), &request(&["a fifth"])).await;
        assert_eq!((of_session.take(), of_client.take()), (Vec::new(), notes.to_vec()));
    }
}

#[tokio::test(start_paused = true)]
async fn c259_a_caller_that_waits_for_a_stream_learns_of_each_failure_at_once() {
    for transport in BOTH {
        let busy = Turn::error(503, "slow_down", "no").retry_after(Duration::from_secs(20));
        let server = ScriptedServer::in_memory(Script::new().turn(busy).turn(Turn::text("hi")));
        let client = builder(&server).transport(only(transport)).build().expect("a client");
        let (mut session, notes) = (client.session(), Arc::new(Notes::default()));
        session.set_observer(Arc::clone(&notes));
        let request = request(&["hi"]);
        let mut waiting = pin!(session.stream(&request));
        let soon = tokio::time::timeout(Duration::from_secs(1), waiting.as_mut()).await;
        assert!(soon.is_err(), "the next attempt comes later");
        let failed = format!("{transport} failed: Api, delayed: true");
        assert_eq!(notes.take(), [format!("full over {transport}"), failed]);
        assert!(waiting.await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn c179_the_first_connection_that_fails_is_announced_at_once() {
    for transport in BOTH {
        let server = ScriptedServer::in_memory(Script::new());
        server.stop();
        let client = builder(&server).transport(only(transport)).build().expect("a client");
        let (mut session, notes) = (client.session(), Arc::new(Notes::default()));
        session.set_observer(Arc::clone(&notes));
        let request = request(&["hi"]);
        let mut waiting = pin!(session.stream(&request));
        let soon = tokio::time::timeout(Duration::from_millis(1), waiting.as_mut()).await;
        assert!(soon.is_err(), "the next attempt comes later");
        let failed = format!("{transport} failed: Connect, delayed: true, trying for 5 s");
        assert_eq!(notes.take().last(), Some(&failed));
    }
}
