//! The main job: the agent of the example, and what it costs on the wire.

#[path = "../../examples/agent_loop/agent.rs"]
mod agent;
#[path = "../../examples/agent_loop/tools.rs"]
mod tools;

use std::path::PathBuf;

use agent::{Agent, TURNS, Turn};
use responses_client::{
    Transport,
    report::{FullSendReason, Plan},
    testing::{Script, ScriptedServer},
};

use crate::support::{only, server, socket_client};

async fn run(transport: Transport) -> (Vec<Turn>, ScriptedServer) {
    let server = server(Script::agent()).await;
    let session = socket_client(&server, only(transport)).session();
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/agent_loop/sample");
    let mut agent = Agent::new(session, "m", folder, "What is this?");
    let mut turns = Vec::new();
    while turns.len() < TURNS {
        turns.push(agent.turn().await.expect("a turn that goes well"));
    }
    (turns, server)
}

/// The turns that sent everything, with their reasons.
fn full_sends(turns: &[Turn]) -> Vec<(usize, &FullSendReason)> {
    let full = turns.iter().filter_map(|turn| match &turn.report.plan {
        Some(Plan::Full(reason)) => Some((turn.number, reason)),
        _ => None,
    });
    full.collect()
}

#[tokio::test]
async fn over_a_websocket_one_connection_carries_what_is_new() {
    let (turns, server) = run(Transport::WebSocket).await;
    assert!(turns.iter().all(|turn| turn.same_history == Some(true)));
    assert!(turns.last().unwrap().answer.is_some());
    let [(1, FullSendReason::FirstTurn), (8, FullSendReason::ToolsChanged), (14, diverged)] =
        full_sends(&turns)[..]
    else {
        panic!("{:?}", full_sends(&turns));
    };
    assert!(matches!(diverged, FullSendReason::PrefixDiverged { .. }));
    let log = server.log();
    assert_eq!(log.connections.len(), 1);
    assert_eq!(log.requests.len(), TURNS);
    for (turn, request) in turns.iter().zip(&log.requests) {
        if turn.report.plan.as_ref().unwrap().is_full() {
            continue;
        }
        // What must be sent: the request without its input, and the new items.
        let mut body = request.body.clone();
        let new = body["input"].take();
        let head = body.to_string().len();
        let items: usize = new.as_array().unwrap().iter().map(|it| it.to_string().len()).sum();
        let most = (head + items) as f64 * 1.05 + 256.0;
        assert!(request.bytes_received as f64 <= most, "turn {}", turn.number);
        assert_eq!(new.as_array().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn over_sse_one_connection_carries_all_turns() {
    let (turns, server) = run(Transport::Sse).await;
    assert!(turns.iter().all(|turn| turn.same_history == Some(true)));
    let full = full_sends(&turns);
    assert_eq!(full.len(), TURNS);
    assert_eq!(*full[7].1, FullSendReason::ToolsChanged);
    assert!(matches!(full[13].1, FullSendReason::PrefixDiverged { .. }));
    assert_eq!(server.log().connections.len(), 1);
}

#[tokio::test]
async fn both_transports_give_the_same_output() {
    let output = |turns: &[Turn]| turns.iter().map(|turn| turn.output.clone()).collect::<Vec<_>>();
    let (websocket, sse) = (run(Transport::WebSocket).await.0, run(Transport::Sse).await.0);
    assert_eq!(output(&websocket), output(&sse));
}
