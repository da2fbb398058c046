//! What an observer is told of turns.

use std::sync::{Arc, Mutex};

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
        let AttemptFailed { transport, kind, delay, .. } = failed;
        self.note(format!("{transport} failed: {kind:?}, delayed: {}", !delay.is_zero()));
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
