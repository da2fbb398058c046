//! What a session of many turns holds against what it held after its first ones.

use std::{fs, net::SocketAddr, thread};

use futures_util::{SinkExt, StreamExt};
use responses_client::{
    Item, Provider, ResponsesClient, ResponsesRequest, ResponsesSession, TransportPolicy,
};
use tokio::{net::TcpListener, runtime::Runtime};
use tokio_tungstenite::tungstenite::Message;

use crate::{
    Effort,
    measure::{Candidate, Comparison, Goal},
};

/// The caller begins anew after as many turns, so that its history does not grow.
const HISTORY: usize = 10;

/// The memory of this process after 10,000 turns over one WebSocket, and after a tenth of them.
pub(crate) fn long_session(effort: Effort) -> Comparison {
    let turns = if effort.quick { 2_000 } else { 10_000 };
    let address = serve();
    let runtime = runtime();
    let provider = Provider::compatible(&format!("http://{address}/v1")).expect("a URL");
    let client =
        ResponsesClient::builder().provider(provider).transport(TransportPolicy::WebSocketOnly);
    let mut session = client.build().expect("a client").session();
    runtime.block_on(converse(&mut session, turns / 10));
    let before = resident();
    runtime.block_on(converse(&mut session, turns - turns / 10));
    let after = resident();
    Comparison {
        ours: Candidate { label: "at the end", value: after },
        theirs: Candidate { label: "after a tenth of the turns", value: before },
        unit: "kB",
        ratio: after / before,
        goal: Goal::AtMost(1.05),
    }
}

async fn converse(session: &mut ResponsesSession, turns: usize) {
    let mut request = ResponsesRequest::new("gpt-test").store(false);
    for number in 0..turns {
        if number % HISTORY == 0 {
            request.input.clear();
        }
        request.input.push(Item::user("Hello."));
        let mut stream = session.stream(&request).await.expect("a response");
        while stream.try_next().await.expect("an event").is_some() {}
        request.input.extend(stream.response().output_items());
    }
}

/// A server that keeps nothing of what it did: the one for tests remembers each turn.
fn serve() -> SocketAddr {
    let runtime = runtime();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        runtime.block_on(async {
            let (stream, _) = listener.accept().await.expect("a connection");
            stream.set_nodelay(true).expect("a TCP connection");
            let mut socket = tokio_tungstenite::accept_async(stream).await.expect("an upgrade");
            while let Some(Ok(message)) = socket.next().await {
                if message.is_text() {
                    for event in ANSWER {
                        socket.feed(Message::text(event)).await.expect("an open socket");
                    }
                    socket.flush().await.expect("an open socket");
                }
            }
        });
    });
    address
}

pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// The memory that this process has, in kB; 1 where the system does not say.
pub(crate) fn resident() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or(1.0)
}

const ANSWER: [&str; 4] = [
    r#"{"type":"response.created","response":{"id":"resp_1","status":"in_progress"}}"#,
    r#"{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"Hello"}"#,
    r#"{"type":"response.output_item.done","output_index":0,"item":{"type":"message","id":"msg_1","role":"assistant","status":"completed","content":[{"type":"output_text","text":"Hello","annotations":[]}]}}"#,
    r#"{"type":"response.completed","response":{"id":"resp_1","status":"completed","output":[]}}"#,
];
