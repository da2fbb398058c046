use futures_util::FutureExt;

use super::*;
use crate::{
    config::{Limits, Timeouts},
    proto::wire::responses::Responses,
    testing::{Script, ScriptedServer, Step, Turn},
};

#[tokio::test(start_paused = true)]
async fn c053_requests_wait_for_a_place_and_what_waits_is_not_sent() {
    let script = Script::new().turn(Turn::steps([Step::Stall]));
    let server = ScriptedServer::in_memory(script);
    let network = server.connector().network();
    let uri = http::Uri::from_static("http://memory.invalid/v1/responses");
    let deadline = Instant::now() + Duration::from_secs(10);
    let (id, limits) = (ConnectionId(0), Limits::default());
    let request = http1::request(http::Method::GET, uri, HeaderMap::new(), None);
    let options = SocketOptions {
        wire: &Responses,
        limits,
        timeouts: Timeouts::default(),
        has_fallback: true,
        unannounced: Arc::default(),
    };
    let socket = WebSocket::connect(&*network, request, id, deadline, options);
    let socket = socket.await.unwrap();
    let text = r#"{"type":"response.create","input":[]}"#;
    let create = || socket.send(LaneId::DEFAULT, text.to_owned(), None);
    let mut first = create().await.unwrap();
    server.wait_for(|log| log.requests.len() == 1).await;
    // One request waits in the queue, the others wait in their callers.
    let mut others: Vec<_> = (0..3).map(|_| Box::pin(create())).collect();
    for other in &mut others {
        assert!(other.now_or_never().is_none());
    }
    assert_eq!(socket.commands.capacity(), 0);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.log().requests.len(), 1);
    let next = std::future::poll_fn(|cx| first.poll_next(cx));
    assert!(next.now_or_never().is_none(), "no other request ends the exchange");
    drop(others);
    assert_eq!(server.log().requests.len(), 1);
}
