use futures_util::{FutureExt, future::BoxFuture};
use tokio::time::sleep_until;

use super::*;
use crate::{
    config::{Limits, Timeouts},
    error::{ConnectError, ConnectStep, Peer},
    net::{Dial, HttpNetwork, NetError, Opened},
    proto::wire::responses::Responses,
    testing::{Script, ScriptedServer, Step, Turn},
};

fn options() -> SocketOptions {
    SocketOptions {
        wire: &Responses,
        limits: Limits::default(),
        timeouts: Timeouts::default(),
        has_fallback: true,
        unannounced: Arc::default(),
        #[cfg(feature = "deflate")]
        deflate: crate::config::DeflatePolicy::Off,
        lanes: 1,
        active: 1,
        changed: Arc::default(),
    }
}

#[tokio::test(start_paused = true)]
async fn c053_requests_wait_for_a_place_and_what_waits_is_not_sent() {
    let script = Script::new().turn(Turn::steps([Step::Stall]));
    let server = ScriptedServer::in_memory(script);
    let network = server.connector().network();
    let uri = http::Uri::from_static("http://memory.invalid/v1/responses");
    let deadline = Instant::now() + Duration::from_secs(10);
    let id = ConnectionId(0);
    let request = http1::request(http::Method::GET, uri, HeaderMap::new(), None);
    let socket = WebSocket::connect(&*network, request, id, deadline, options());
    let socket = socket.await.unwrap();
    let text = r#"{"type":"response.create","input":[]}"#;
    let lane = socket.lanes().take(false).unwrap();
    let create = || socket.send(lane, text.to_owned(), None, None);
    let mut first = create().await.unwrap();
    server.wait_for(|log| log.requests.len() == 1).await;
    // The others wait in their callers for the response to end.
    let mut others: Vec<_> = (0..3).map(|_| Box::pin(create())).collect();
    for other in &mut others {
        assert!(other.now_or_never().is_none());
    }
    assert!(socket.is_busy() && socket.commands.capacity() == 1);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.log().requests.len(), 1);
    let next = std::future::poll_fn(|cx| first.poll_next(cx));
    assert!(next.now_or_never().is_none(), "no other request ends the exchange");
    drop(others);
    assert_eq!(server.log().requests.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn c062_an_abort_that_comes_after_the_end_ends_nothing() {
    for ends in [true, false] {
        let turn = Turn::text("x");
        let turn = if ends { turn } else { turn.insert(4, Step::Stall) };
        let server = ScriptedServer::in_memory(Script::new().turn(turn));
        let network = server.connector().network();
        let uri = http::Uri::from_static("http://memory.invalid/v1/responses");
        let deadline = Instant::now() + Duration::from_secs(10);
        let request = http1::request(http::Method::GET, uri, HeaderMap::new(), None);
        let socket = WebSocket::connect(&*network, request, ConnectionId(0), deadline, options());
        let socket = socket.await.unwrap();
        let text = r#"{"type":"response.create","input":[]}"#;
        let lane = socket.lanes().take(false).unwrap();
        let mut exchange = socket.send(lane, text.to_owned(), None, None).await.unwrap();
        let abort = exchange.abort_handle();
        for _ in 0..4 {
            std::future::poll_fn(|cx| exchange.poll_next(cx)).await;
        }
        while ends && !exchange.ended {
            std::future::poll_fn(|cx| exchange.poll_next(cx)).await;
        }
        if ends {
            drop(exchange);
        }
        abort.abort();
        assert_eq!(socket.is_open(), ends);
    }
}

/// A way to a server whose TLS handshake hangs.
#[derive(Clone)]
struct Hanging;

impl Dial for Hanging {
    fn open(
        &self,
        _: &http::Uri,
        _: bool,
        deadline: Option<Instant>,
    ) -> BoxFuture<'static, Result<Opened, NetError>> {
        async move {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
            Err(NetError::connect(ConnectError::TimedOut(ConnectStep::Tls), "late"))
        }
        .boxed()
    }

    fn peer(&self, uri: &http::Uri) -> Peer {
        Peer::new(uri, None)
    }
}

#[tokio::test(start_paused = true)]
async fn c176_the_step_of_a_timeout_is_known_although_the_upgrade_has_the_same_deadline() {
    let network = HttpNetwork::new(Hanging);
    let uri = http::Uri::from_static("https://memory.invalid/v1/responses");
    let request = http1::request(http::Method::GET, uri, HeaderMap::new(), None);
    let deadline = Instant::now() + Duration::from_secs(10);
    let connect = WebSocket::connect(&network, request, ConnectionId(0), deadline, options());
    let error = connect.await.err();
    let step = error.as_ref().and_then(Error::connect_error);
    assert_eq!(step, Some(&ConnectError::TimedOut(ConnectStep::Tls)));
}
