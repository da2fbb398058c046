//! Warnings of a turn, and the events of an interruption.

use std::sync::{Arc, Mutex};

use responses_client::{
    Delivery, Error, ReplayPolicy, ResponseStatus, RetryPolicy, TurnObserver, TurnReport,
    event::{EventKind, ResponseEvent},
    report::Warning,
    testing::{Script, ScriptedServer, Step, Turn},
};
use serde_json::{Value, json};

use crate::{
    settled_output::{added, created, delta, ended, message},
    support::{BOTH, builder, guarded, only, request, turn},
};

/// Keeps the warnings of each turn.
#[derive(Clone, Default)]
struct Warned(Arc<Mutex<Vec<Vec<Warning>>>>);

impl TurnObserver for Warned {
    fn done(&self, report: &TurnReport, _: Option<&Error>) {
        self.0.lock().expect("no panic").push(report.warnings.clone());
    }
}

fn transformed(reasons: &[&str]) -> Value {
    let change = |(id, reason): (usize, &&str)| {
        json!({ "id": format!("rs_{id}"), "type": "reasoning", "action": "removed",
            "reason": reason })
    };
    reasons.iter().enumerate().map(change).collect()
}

#[tokio::test(start_paused = true)]
async fn c198_a_changed_input_is_a_warning_in_the_report_and_for_the_observer() {
    for transport in BOTH {
        for status in ["completed", "incomplete", "failed"] {
            let changes = transformed(&["prefix_mismatch", "model_mismatch", "prefix_mismatch"]);
            let answers = [changes, json!([]), Value::Null].map(|changes| {
                let members = json!({ "input_transformations": changes,
                    "error": { "code": "invalid_prompt" } });
                Turn::events([created(), delta(0, "m", "hi"), ended(status, members)])
            });
            let server = ScriptedServer::in_memory(Script::new().turns(answers));
            let warned = Warned::default();
            let client = builder(&server).transport(only(transport)).observer(warned.clone());
            let mut session = client.build().expect("a client").session();
            let mut reports = Vec::new();
            for _ in 0..3 {
                let outcome = guarded(turn(&mut session, &request(&["hi"]))).await;
                assert_eq!(outcome.result.is_err(), status == "failed");
                reports.push(outcome.report.warnings);
            }
            let [Warning::InputTransformed { items: 3, reasons, .. }] = &reports[0][..] else {
                panic!("{transport} {status}: {reports:?}")
            };
            assert_eq!(reasons, &["prefix_mismatch", "model_mismatch"]);
            assert!(reports[1].is_empty() && reports[2].is_empty(), "{reports:?}");
            assert_eq!(*warned.0.lock().expect("no panic"), reports, "{transport} {status}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c199_the_events_of_an_interruption_are_typed_and_the_item_stays_unfinished() {
    let interrupted = |name: &str| {
        json!({ "type": name, "response_id": "resp_1", "item_id": "m", "output_index": 0,
            "sequence_number": 7, "stream_id": "lane", "obfuscation": "xyz" })
    };
    for transport in BOTH {
        let events = [
            interrupted("response.interrupt.accepted"),
            created(),
            added(0, message("m", "")),
            delta(0, "m", "Half a"),
            interrupted("response.interrupt.accepted"),
            interrupted("response.output_item.interrupted"),
            ended("incomplete", json!({ "incomplete_details": { "reason": "interrupted" } })),
        ];
        let lost = Turn::events([interrupted("response.interrupt.accepted")]).then(Step::End);
        let script = Script::new().turns([Turn::events(events), lost]);
        let server = ScriptedServer::in_memory(script);
        let mut retry = RetryPolicy::default();
        retry.replay = ReplayPolicy::Never;
        let client = builder(&server).transport(only(transport)).retry(retry);
        let mut session = client.build().expect("a client").session();
        let outcome = guarded(turn(&mut session, &request(&["hi"]))).await;
        let kinds: Vec<EventKind> = outcome.events.iter().map(ResponseEvent::kind).collect();
        assert_eq!(kinds[0], EventKind::InterruptAccepted, "{transport}");
        let [.., accepted, cut, _] = &outcome.events[..] else { panic!("{kinds:?}") };
        let ResponseEvent::InterruptAccepted(it) = accepted else { panic!("{accepted:?}") };
        assert_eq!(it.response_id.as_deref(), Some("resp_1"));
        let ResponseEvent::OutputItemInterrupted(it) = cut else { panic!("{cut:?}") };
        assert_eq!((it.response_id.as_deref(), it.item_id.as_deref()), (Some("resp_1"), Some("m")));
        assert_eq!((it.output_index, it.sequence_number), (0, Some(7)));
        assert_eq!(cut.stream_id().as_deref(), Some("lane"));
        assert_eq!(cut.obfuscation().as_deref(), Some("xyz"));
        let response = outcome.response();
        assert_eq!(response.status(), ResponseStatus::Incomplete);
        assert_eq!(response.incomplete_reason().as_deref(), Some("interrupted"));
        assert_eq!(response.output_items().len(), 0);
        assert_eq!(response.unfinished_items()[0].text(), "Half a");
        assert!(outcome.report.anomalies.is_empty(), "{:?}", outcome.report.anomalies);
        // An acceptance proves nothing about this turn.
        let lost = guarded(turn(&mut session, &request(&["hi"]))).await;
        assert_eq!(lost.error().delivery(), Delivery::Unknown, "{transport}");
    }
}
