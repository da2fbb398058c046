//! That a wrong plan does not go unnoticed: the agent of the example, with planners that lose,
//! double and mix up items.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;

use super::*;
use crate::{
    Provider, ResponsesClient, TransportPolicy,
    proto::plan::{Decision, Destination, Prior},
    report::FullReason,
    testing::{Script, ScriptedServer},
};

#[path = "../../examples/agent_loop/agent.rs"]
mod agent;
#[path = "../../examples/agent_loop/tools.rs"]
mod tools;

/// Whether the server had the caller's history in every turn.
async fn same_history(planner: Planner) -> bool {
    let server = ScriptedServer::start(Script::agent()).await.unwrap();
    let client = ResponsesClient::builder(Provider::compatible(&server.url()).unwrap())
        .transport(TransportPolicy::WebSocketOnly)
        .build()
        .unwrap();
    let mut session = client.session();
    session.planner = planner;
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/agent_loop/sample");
    let mut agent = agent::Agent::new(session, "m", folder, "What is this?");
    for _ in 0..agent::TURNS {
        let turn = agent.turn().await.unwrap();
        assert!(turn.number <= agent::TURNS && !turn.output.is_empty());
        assert!(turn.report.plan.is_some());
        if turn.same_history != Some(true) {
            return false;
        }
        if turn.answer.is_some() {
            return true;
        }
    }
    false
}

/// Skips `more` items beyond what the server has, or fewer.
fn skips(request: &ResponsesRequest, prior: &Prior, to: Destination, more: isize) -> Decision {
    match plan(request, prior, to) {
        Decision::Incremental { parent, skip } => {
            Decision::Incremental { parent, skip: skip.saturating_add_signed(more) }
        }
        full => full,
    }
}

#[tokio::test]
async fn the_agent_sees_the_history_that_the_server_has() {
    assert!(same_history(plan).await);
}

#[tokio::test]
async fn a_planner_that_loses_an_item_is_found_out() {
    assert!(!same_history(|request, prior, to| skips(request, prior, to, 1)).await);
}

#[tokio::test]
async fn a_planner_that_doubles_an_item_is_found_out() {
    assert!(!same_history(|request, prior, to| skips(request, prior, to, -1)).await);
}

#[tokio::test]
async fn a_planner_that_overlooks_an_edit_is_found_out() {
    let overlooks: Planner = |request, prior, to| match (plan(request, prior, to), prior) {
        (Decision::Full(FullReason::PrefixDiverged { .. }), Prior::Completed(base)) => {
            Decision::Incremental {
                parent: base.response_id.clone(),
                skip: base.request.input.len() + base.output.len(),
            }
        }
        (decision, _) => decision,
    };
    assert!(!same_history(overlooks).await);
}
