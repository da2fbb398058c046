//! Response headers and metadata events in the report.

use std::time::Duration;

use responses_client::{
    event::ResponseEvent,
    testing::{Script, Step, Turn},
};
use serde_json::json;

use crate::support::{BOTH, only, request, server, socket_client, turn};

#[tokio::test]
async fn the_head_of_the_answer_is_in_the_report() {
    for transport in BOTH {
        let script = Script::new()
            .header("x-request-id", "req_1")
            .header("openai-model", "gpt-other")
            .header("openai-processing-ms", "40")
            .header("x-ratelimit-limit-tokens", "1000")
            .header("x-ratelimit-remaining-tokens", "900")
            .header("x-ratelimit-reset-tokens", "6m0.5s")
            .header("set-cookie", "canary")
            .turns([Turn::text("one"), Turn::text("two")]);
        let server = server(script).await;
        let mut session = socket_client(&server, only(transport)).session();
        // Over a WebSocket, the head of the upgrade stands for all of its turns.
        for _ in 0..2 {
            let outcome = turn(&mut session, &request(&["hi"])).await;
            let said = &outcome.report.server;
            assert_eq!((said.request_id(), said.model()), (Some("req_1"), Some("gpt-other")));
            assert_eq!(said.processing_time(), Some(Duration::from_millis(40)));
            let tokens = said.rate_limits().tokens;
            assert_eq!((tokens.limit, tokens.remaining), (Some(1000), Some(900)));
            assert_eq!(tokens.reset, Some(Duration::from_millis(360_500)));
            assert_eq!(said.rate_limits().requests.limit, None);
            assert!(!format!("{:?}", outcome.report).contains("canary"));
        }
    }
}

#[tokio::test]
async fn metadata_events_add_what_a_websocket_has_no_head_for() {
    for transport in BOTH {
        let metadata = json!({
            "type": "codex.response.metadata",
            "headers": {"x-codex-turn-state": "state", "openai-model": "newer", "x-number": 7},
        });
        let limits = json!({
            "type": "codex.rate_limits",
            "rate_limits": {
                "primary": {"used_percent": 42.5, "window_minutes": 300, "reset_at": 1_790_000_000},
                "secondary": null,
            },
        });
        let answer =
            Turn::text("one").insert(1, Step::Event(metadata)).insert(1, Step::Event(limits));
        let script =
            Script::new().header("openai-model", "older").turns([answer, Turn::text("two")]);
        let server = server(script).await;
        let mut session = socket_client(&server, only(transport)).session();
        let first = turn(&mut session, &request(&["hi"])).await;
        let said = &first.report.server;
        assert_eq!((said.turn_state(), said.model()), (Some("state"), Some("newer")));
        assert_eq!(said.get("x-number"), Some("7"));
        let plan = first.events.iter().find_map(|event| match event {
            ResponseEvent::CodexRateLimits(event) => event.plan_limits().primary,
            _ => None,
        });
        let primary = plan.expect("a window");
        assert_eq!((primary.used_percent, primary.window_minutes), (42.5, Some(300)));
        // What one response was told is not said of the next.
        let second = turn(&mut session, &request(&["hi"])).await;
        assert_eq!(second.report.server.turn_state(), None);
        assert_eq!(second.report.transport, Some(transport));
    }
}
