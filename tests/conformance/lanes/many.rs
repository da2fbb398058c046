//! Thousands of conversations over the WebSockets of one client.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use responses_client::{
    AtCapacity, FinalResponse, Item, ResponsesRequest, ResponsesSession,
    testing::{Exchange, Script, ScriptedServer, Turn},
};
use serde_json::Value;

use super::{client, connections, lanes, shared};
use crate::support::{guarded, incremental, request};

const CONVERSATIONS: usize = 2000;
/// Each has 33 lanes. 60 WebSockets would be too few.
const SOCKETS: usize = 63;

/// Answers with the texts of the history.
fn history(exchange: &Exchange) -> Turn {
    let texts = exchange.history.iter().map(|item| match &item["content"] {
        Value::String(text) => text.clone(),
        parts => parts[0]["text"].as_str().unwrap_or("-").to_owned(),
    });
    Turn::text(texts.collect::<Vec<_>>().join("|"))
}

async fn final_response(
    session: &mut ResponsesSession,
    request: &ResponsesRequest,
) -> FinalResponse {
    let stream = session.stream(request).await.expect("a stream");
    stream.final_response().await.expect("a response")
}

#[tokio::test(start_paused = true)]
async fn c011_2000_conversations_share_63_sockets_and_each_keeps_its_lane_and_its_answers() {
    let server = ScriptedServer::in_memory(Script::new().respond(history));
    let client = client(&server, shared().max_sockets(SOCKETS).at_capacity(AtCapacity::Wait));
    let mut sessions: Vec<_> = (0..CONVERSATIONS).map(|_| client.session()).collect();
    let turns = sessions.iter_mut().enumerate().map(|(number, session)| async move {
        let mut request = request(&[&number.to_string()]);
        let first = final_response(session, &request).await;
        assert_eq!(first.output_text(), number.to_string());
        request.input.extend(first.output_items());
        request.input.push(Item::user("x"));
        let again = final_response(session, &request).await;
        assert_eq!(again.output_text(), format!("{number}|{number}|x"));
        assert_eq!(again.report().plan, incremental(1), "{number}");
    });
    guarded(join_all(turns)).await;

    let sockets = server.log().connections.len();
    assert!((61..=SOCKETS).contains(&sockets), "{sockets} sockets");
    // Both turns of a conversation went over the same lane, and no other conversation had it.
    let mut turns_of: BTreeMap<_, usize> = BTreeMap::new();
    for seat in connections(&server).into_iter().zip(lanes(&server)) {
        *turns_of.entry(seat).or_default() += 1;
    }
    assert_eq!(turns_of.len(), CONVERSATIONS);
    assert_eq!(turns_of.values().collect::<BTreeSet<_>>(), BTreeSet::from([&2]));

    let metrics = client.metrics();
    assert_eq!(metrics.websockets_opened, sockets as u64);
    assert_eq!(metrics.lanes_in_use, CONVERSATIONS as u64);
    assert_eq!(metrics.plans["incremental"], CONVERSATIONS as u64);
    assert_eq!(metrics.plans.values().sum::<u64>(), 2 * CONVERSATIONS as u64);
    assert!(metrics.retries.is_empty() && metrics.fallbacks == 0, "{metrics:?}");
    drop(sessions);
    assert_eq!(client.metrics().lanes_in_use, 0);
}
