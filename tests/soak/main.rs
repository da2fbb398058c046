//! A short soak: the conversations of `examples/soak`, with fixed seeds, on a paused clock.
//! `.ci/run` and `.ci/long` run the example for longer.

#[path = "../../examples/soak/driver.rs"]
mod driver;
#[path = "../../examples/soak/oracle.rs"]
mod oracle;
#[path = "../../examples/soak/server.rs"]
mod server;

use driver::{Options, soak};
use responses_client::TransportPolicy;

/// Soaks for some hundred turns, which are the same in each run.
fn hold(transport: TransportPolicy) {
    let figures = soak(Options { turns: 400, seed: 1, transport: Some(transport) });
    assert_eq!(figures.violation, None, "{transport:?}");
    assert_eq!(figures.turns, 400);
    assert!(figures.outcomes.len() > 3, "{:?}", figures.outcomes);
    assert!(figures.faults.len() > 3, "{:?}", figures.faults);
    assert!(figures.attempts > figures.turns, "nothing was tried again");
    assert!(figures.full > 0 && figures.connections > 1);
    assert_eq!(figures.incremental > 0, transport != TransportPolicy::SseOnly);
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
