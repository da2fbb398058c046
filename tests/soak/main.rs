//! A short soak: the conversations of `examples/soak`, with fixed seeds, on a paused clock.
//! `.ci/run` and `.ci/long` run the example for longer.

#[path = "../../examples/soak/asked.rs"]
mod asked;
#[path = "../../examples/soak/attempt.rs"]
mod attempt;
#[path = "../../examples/soak/driver.rs"]
mod driver;
#[path = "../../examples/soak/lane_server.rs"]
mod lane_server;
#[path = "../../examples/soak/lanes.rs"]
mod lanes;
#[path = "../../examples/soak/login.rs"]
mod login;
#[path = "../../examples/soak/messages.rs"]
mod messages;
#[path = "../../examples/soak/oracle.rs"]
mod oracle;
#[path = "../../examples/soak/server.rs"]
mod server;
#[path = "../../examples/soak/steered.rs"]
mod steered;
#[path = "../../examples/soak/steers.rs"]
mod steers;
#[path = "../../examples/soak/values.rs"]
mod values;

use driver::{Options, soak};
use responses_client::TransportPolicy;

/// Runs 300 turns, the same ones each time.
fn hold(transport: TransportPolicy) {
    let figures = soak(Options { turns: 300, seed: 1, transport: Some(transport), lanes: false });
    assert_eq!(figures.violation, None, "{transport:?}");
    assert_eq!(figures.turns, 300);
    assert!(figures.outcomes.len() > 3, "{:?}", figures.outcomes);
    assert!(figures.faults.len() > 3, "{:?}", figures.faults);
    assert!(figures.attempts > figures.turns, "nothing was tried again");
    assert!(figures.full > 0 && figures.incremental > 0 && figures.connections > 1);
}

#[test]
fn hundreds_of_turns_over_websockets_break_no_promise() {
    hold(TransportPolicy::WebSocketOnly);
}

#[test]
fn hundreds_of_turns_over_sse_break_no_promise() {
    hold(TransportPolicy::SseOnly);
}

#[test]
fn hundreds_of_turns_with_fallback_break_no_promise() {
    hold(TransportPolicy::Auto);
}

#[test]
fn hundreds_of_turns_on_shared_lanes_break_no_promise() {
    let figures = soak(Options { turns: 600, seed: 4, transport: None, lanes: true });
    assert_eq!(figures.violation, None);
    assert!(figures.outcomes.len() > 3, "{:?}", figures.outcomes);
    assert!(figures.faults.len() > 3, "{:?}", figures.faults);
    assert!(figures.incremental > figures.full, "{} in full", figures.full);
    assert!(figures.lanes > 3 * figures.connections / 2, "{} lanes", figures.lanes);
    for outcome in ["committed", "pending, then committed", "failed: response_already_completed"] {
        assert!(figures.steers.contains_key(outcome), "{:?}", figures.steers);
    }
}
