//! That a wrong plan does not go unnoticed: the agent of the example, with planners that lose,
//! double and mix up items.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;

use super::*;
use crate::{
    client::ResponsesClient,
    config::{Provider, Transport, TransportPolicy},
    proto::plan::{Decision, Destination, Prior},
    report::FullReason,
    testing::{Script, ScriptedServer, Turn},
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

#[tokio::test(start_paused = true)]
async fn c157_a_turn_that_the_session_ended_marks_nothing_and_sends_nothing_more() {
    for ended in [false, true] {
        let server = ScriptedServer::in_memory(Script::new().respond(|_| Turn::text("hi")));
        let provider = Provider::compatible(&server.url()).unwrap();
        let client = ResponsesClient::builder(provider).connector(&server.connector());
        let session = client.build().unwrap().session();
        let slot = Arc::new(Slot::default());
        session.state.begin(&slot);
        let request = Arc::new(ResponsesRequest::new("m"));
        let (shared, state) = (Arc::clone(&session.shared), session.state.clone());
        let mut run = Run::new(shared, state, slot, request, plan, Handle::current());
        run.report_mut().transport = Some(Transport::WebSocket);
        if ended {
            // Another turn begins while the poll that saw the failure still runs.
            session.state.begin(&Arc::default());
        }
        let mut broken = Error::new(ErrorKind::Tls, Phase::Connect, Cause::None);
        assert_eq!(run.recover(&mut broken).is_none(), ended);
        let now = tokio::time::Instant::now().into_std();
        assert_eq!(session.shared.fallback(now).is_none(), ended, "the origin is not marked");
        let error = run.again(std::time::Duration::ZERO).await.map(drop).map_err(|it| it.kind());
        assert_eq!(error, if ended { Err(ErrorKind::Superseded) } else { Ok(()) });
        assert_eq!(server.log().connections.len(), usize::from(!ended), "nothing is opened");
    }
}
