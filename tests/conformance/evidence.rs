//! Failures that prove that nothing ran, and failures that leave it open.

use std::time::Duration;

use responses_client::{
    Delivery, ReplayPolicy, RetryPolicy, Transport,
    testing::{Refusal, Turn},
};
use serde_json::json;
use tokio::time::Instant;

use crate::{
    replay::{after, replay},
    support::BOTH,
};

/// A server's error without any evidence that it did not run the request.
fn bare(status: u16) -> Turn {
    let frame = json!({"type": "error", "status": status, "error": {"message": "m"}});
    Turn::events([frame]).http(Refusal::status(status))
}

#[tokio::test(start_paused = true)]
async fn c130_what_may_have_run_is_on_the_wire_once_under_never() {
    for transport in BOTH {
        for status in [408, 500, 502, 503, 504, 520, 522, 524, 529] {
            let never = replay(ReplayPolicy::Never);
            let (outcome, server) = after(transport, [bare(status)], never).await;
            let error = outcome.error();
            assert_eq!((error.status(), error.delivery()), (Some(status), Delivery::Unknown));
            assert_eq!(server.log().requests.len(), 1, "{transport} {status}");
            let attempt = outcome.report.attempts[0].failure.as_ref().unwrap();
            assert_eq!(attempt.delivery, Delivery::Unknown, "{transport} {status}");
        }
        // A code that repeats the status in words is no evidence.
        for (status, code) in [
            (408, "request_timeout"),
            (500, "internal_server_error"),
            (500, "InternalServerError"),
            (502, "upstream_error"),
            (504, "gateway_timeout"),
            (524, "timeout"),
        ] {
            let never = replay(ReplayPolicy::Never);
            let (outcome, server) = after(transport, [Turn::error(status, code, "m")], never).await;
            assert_eq!(outcome.error().delivery(), Delivery::Unknown, "{transport} {code}");
            assert_eq!(server.log().requests.len(), 1, "{transport} {code}");
        }
        // Without a status, too.
        for error in [
            json!({"code": "server_error"}),
            json!({"code": "internal_error"}),
            json!({"type": "timeout_error"}),
            json!({"type": "InternalServerError"}),
        ] {
            let frame = json!({"type": "error", "error": error});
            let never = replay(ReplayPolicy::Never);
            let (outcome, server) = after(transport, [Turn::events([frame])], never).await;
            assert_eq!(outcome.error().delivery(), Delivery::Unknown, "{transport} {error}");
            assert_eq!(server.log().requests.len(), 1, "{transport} {error}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c130_what_has_ended_costs_no_replay_and_what_may_run_is_replayed_once() {
    for transport in BOTH {
        for status in [500, 502, 503] {
            for replays in [0, 1] {
                let mut retry = RetryPolicy::default();
                retry.max_replays = replays;
                // As in a deploy.
                let faults = [(); 3].map(|()| bare(status));
                let start = Instant::now();
                let (outcome, server) = after(transport, faults, retry).await;
                assert_eq!(outcome.response().output_text(), "an answer", "{transport} {status}");
                assert_eq!(server.log().requests.len(), 4, "{transport} {status}");
                assert!(start.elapsed() >= Duration::from_millis(1050), "with back-off");
            }
            let faults = [(); 5].map(|()| bare(status));
            let (outcome, server) = after(transport, faults, RetryPolicy::default()).await;
            assert_eq!(outcome.error().delivery(), Delivery::Unknown, "{transport} {status}");
            assert_eq!(server.log().requests.len(), 4, "the attempts");
        }
        for status in [408, 504, 520, 522, 524] {
            let one = after(transport, [bare(status)], RetryPolicy::default()).await.0;
            assert_eq!(one.response().output_text(), "an answer", "{transport} {status}");
            let faults = [(); 2].map(|()| bare(status));
            let (outcome, server) = after(transport, faults, RetryPolicy::default()).await;
            assert_eq!(outcome.error().delivery(), Delivery::Unknown, "{transport} {status}");
            assert_eq!(server.log().requests.len(), 2, "{transport} {status}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c130_with_evidence_it_is_refused_and_sent_again_under_never() {
    for transport in BOTH {
        for fault in [
            Turn::error(429, "rate_limit_exceeded", "no"),
            Turn::error(503, "server_is_overloaded", "no"),
            Turn::error(502, "openai_routing_failed", "no"),
            bare(429),
            bare(409),
        ] {
            let faults = [(); 3].map(|()| fault.clone());
            let never = replay(ReplayPolicy::Never);
            let (outcome, server) = after(transport, faults, never).await;
            assert_eq!(outcome.response().output_text(), "an answer", "{transport} {fault:?}");
            assert_eq!(server.log().requests.len(), 4, "{transport} {fault:?}");
            let mut failures = outcome.report.attempts.iter().filter_map(|it| it.failure.as_ref());
            assert!(failures.all(|it| it.delivery == Delivery::Refused), "{transport} {fault:?}");
        }
    }
    let asked = Turn::text("").http(Refusal::status(503).header("retry-after", "1"));
    let (outcome, _) = after(Transport::Sse, [asked], replay(ReplayPolicy::Never)).await;
    assert_eq!(outcome.response().output_text(), "an answer", "it says when to come back");
}

#[tokio::test(start_paused = true)]
async fn c130_a_response_that_the_server_gave_up_has_ended_but_was_accepted() {
    for transport in BOTH {
        let failed = || Turn::failed([], "server_error", "no");
        let (outcome, server) = after(transport, [failed()], replay(ReplayPolicy::Never)).await;
        assert_eq!(outcome.error().delivery(), Delivery::Accepted, "{transport}");
        assert_eq!(server.log().requests.len(), 1, "{transport}");
        let faults = [(); 3].map(|()| failed());
        let (outcome, server) = after(transport, faults, RetryPolicy::default()).await;
        assert_eq!(outcome.response().output_text(), "an answer", "{transport}");
        assert_eq!(server.log().requests.len(), 4, "{transport}");
    }
}

#[tokio::test(start_paused = true)]
async fn c149_a_retry_after_of_nothing_is_no_reason_to_hurry() {
    for transport in BOTH {
        for value in ["0", "Wed, 21 Oct 2015 07:28:00 GMT"] {
            let fault =
                || Turn::error(429, "rate_limit_exceeded", "no").header("retry-after", value);
            let faults = [(); 3].map(|()| fault());
            let start = Instant::now();
            let (outcome, _) = after(transport, faults, RetryPolicy::default()).await;
            assert_eq!(outcome.response().output_text(), "an answer", "{transport} {value}");
            let waited = start.elapsed().as_millis();
            assert!((450..=603).contains(&waited), "{transport} {value} {waited}");
        }
    }
}
