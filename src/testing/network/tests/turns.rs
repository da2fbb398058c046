//! Turns over an emulated network, with their times in round trips.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    Provider, ResponsesClient, ResponsesRequest, Timeouts, TransportPolicy,
    testing::{Connector, Link, ScriptedServer, Turn},
};

fn client(connector: &Connector, transport: TransportPolicy) -> ResponsesClient {
    let mut timeouts = Timeouts::default();
    timeouts.connect = None;
    let provider = Provider::compatible("http://memory.invalid/v1").unwrap();
    ResponsesClient::builder()
        .provider(provider)
        .connector(connector)
        .transport(transport)
        .timeouts(timeouts)
        .build()
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn turns_take_their_round_trips() {
    for (transport, tls, first, second) in [
        (TransportPolicy::WebSocketOnly, true, 4, 1),
        (TransportPolicy::SseOnly, true, 3, 1),
        (TransportPolicy::WebSocketOnly, false, 3, 1),
        (TransportPolicy::SseOnly, false, 2, 1),
    ] {
        let server = ScriptedServer::in_memory([Turn::text("one"), Turn::text("two")]);
        let rtt = Duration::from_millis(80);
        let connector = server.connector().over(Link::new().rtt(rtt).tls(tls)).unwrap();
        let mut session = client(&connector, transport).session();
        for trips in [first, second] {
            let start = Instant::now();
            session.respond(&ResponsesRequest::new("m").input("hi")).await.unwrap();
            assert_eq!(start.elapsed(), rtt * trips, "{transport:?}, TLS: {tls}");
        }
    }
}
