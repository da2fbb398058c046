//! A session of many turns costs no more than one of few.

use std::time::Duration;

use responses_client::{
    Item, Provider, ResponsesClient, ResponsesRequest, ResponsesSession, Transport,
    testing::{Script, ScriptedServer, Turn},
};
use tokio::{runtime::Handle, time::sleep};

use crate::{
    ALLOCATOR, is_alone, live_bytes,
    support::{BOTH, incremental, only, request, turn},
};

const MINUTE: Duration = Duration::from_secs(60);
const AGE: Duration = Duration::from_secs(3600);
/// After as many turns the caller begins anew, so that its history does not grow.
const TURNS: usize = 10;

fn client(server: &ScriptedServer, transport: Transport) -> ResponsesClient {
    let provider = Provider::compatible(&server.url()).expect("a URL").max_age(Some(AGE));
    let client = ResponsesClient::builder().provider(provider).transport(only(transport));
    client.connector(&server.connector()).build().expect("a client")
}

fn server(turns: usize) -> ScriptedServer {
    let turns = std::iter::repeat_n(Turn::text("an answer"), turns);
    // It would end a socket that grows older itself.
    ScriptedServer::in_memory(Script::new().turns(turns).without_bodies().max_age(AGE))
}

/// A turn a minute, each with what the ones before said.
async fn converse(session: &mut ResponsesSession, turns: usize) -> ResponsesRequest {
    let mut asks = request(&[]);
    for number in 0..turns {
        if number % TURNS == 0 {
            asks.input.clear();
        }
        asks.input.push(Item::user("hello"));
        let outcome = turn(session, &asks).await;
        asks.input.extend(outcome.response().output_items());
        assert_eq!(outcome.report.attempts.len(), 1);
        sleep(MINUTE).await;
    }
    asks
}

/// What a session and its client hold after so many turns: what is given back when they go. The
/// server, which remembers each turn, stays.
async fn held_after(transport: Transport, turns: usize) -> usize {
    let server = server(turns);
    let before = Handle::current().metrics().num_alive_tasks();
    let client = client(&server, transport);
    let mut session = client.session();
    let asks = converse(&mut session, turns).await;
    let tasks = Handle::current().metrics().num_alive_tasks();
    assert!(tasks <= before + 8, "{tasks} tasks over {transport}");
    let sockets = server.log().connections.len();
    if transport == Transport::WebSocket {
        // One a rotation, which comes 5 minutes before the end.
        assert_eq!(sockets, 1 + (turns - 1) / 55, "{turns}");
    } else {
        assert_eq!(sockets, 1);
    }
    let full = live_bytes();
    drop((session, client, asks));
    sleep(MINUTE).await;
    full - live_bytes()
}

#[tokio::test(start_paused = true)]
async fn c120_a_thousand_turns_hold_as_much_as_a_hundred_and_cost_as_much_each() {
    if !is_alone("memory::c120_a_thousand_turns_hold_as_much_as_a_hundred_and_cost_as_much_each") {
        return;
    }
    for transport in BOTH {
        let (few, many) = (held_after(transport, 100).await, held_after(transport, 1000).await);
        // Five bytes more a turn are found.
        assert!(many <= few + 4096, "{transport}: {few} B after 100, {many} B after 1,000");
        assert!(few > 1_000, "it is measured");
    }
    cost().await;
}

/// A turn behind a history that grows allocates no more, the server's share included.
async fn cost() {
    let server = server(1000);
    let client = client(&server, Transport::WebSocket);
    let mut session = client.session();
    let mut asks = request(&[]);
    let mut costs = Vec::new();
    for _ in 0..10 {
        let before = ALLOCATOR.stats().bytes_allocated;
        for _ in 0..100 {
            asks.input.push(Item::user("hello"));
            let outcome = turn(&mut session, &asks).await;
            if asks.input.len() > 1 {
                assert_eq!(outcome.report.plan, incremental(1));
                assert!(outcome.report.bytes_sent < 300, "{}", outcome.report.bytes_sent);
            }
            asks.input.extend(outcome.response().output_items());
        }
        costs.push(ALLOCATOR.stats().bytes_allocated - before);
    }
    assert!(costs[9] <= costs[1] + costs[1] / 10, "{costs:?}");
}
