//! Answers a request to become a WebSocket.

use std::future;

use http::{Request, Response, header};
use hyper::body::Incoming;

use super::serve::serve;
use crate::{
    server::{
        http::{AnswerBody, empty, header_pairs},
        websocket::accept_headers,
    },
    testing::{
        script::{
            refusal::Refusal,
            upgrade::{Accepted, UpgradeAnswer},
        },
        server::connection::Connection,
    },
};

/// Answers a request to become a WebSocket, and serves the WebSocket.
pub(in crate::testing::server) async fn answer(
    connection: Connection,
    request: Request<Incoming>,
) -> Response<AnswerBody> {
    let Some(key) = request.headers().get(header::SEC_WEBSOCKET_KEY) else {
        let refusal = Refusal::error(400, "invalid_upgrade", "The key is missing");
        return connection.refuse(refusal).await;
    };
    let (key, script_headers) = (key.as_bytes().to_vec(), connection.hub.headers());
    let (path, headers) = (request.uri().to_string(), header_pairs(request.headers()));
    let upgrade = connection.hub.next_upgrade(connection.index, path, headers);
    match upgrade.answer() {
        UpgradeAnswer::Accept(accepted) => {
            accept(connection, request, &key, script_headers, accepted).await
        }
        UpgradeAnswer::Refuse(refusal) => connection.refuse(refusal).await,
        UpgradeAnswer::Hang => future::pending().await,
        UpgradeAnswer::Cut(cut) => connection.cut(cut).await,
    }
}

async fn accept(
    connection: Connection,
    request: Request<Incoming>,
    key: &[u8],
    script_headers: Vec<(String, String)>,
    accepted: Accepted,
) -> Response<AnswerBody> {
    let Accepted { delay, wrong_accept, header, close, close_on_create } = accepted;
    if let Some(delay) = delay {
        tokio::time::sleep(delay).await;
    }
    let mut headers = accept_headers(if wrong_accept { b"wrong" } else { key });
    let deflate = connection.hub.deflate().filter(|_| offers_deflate(&request));
    headers.extend(deflate.clone().map(|it| (header::SEC_WEBSOCKET_EXTENSIONS.to_string(), it)));
    headers.extend(script_headers);
    headers.extend(header);
    let idle = connection.hub.upgraded(connection.index, close_on_create);
    connection.mark_websocket();
    let response = connection.response(101, &headers, empty());
    tokio::spawn(async move {
        if let Ok(upgraded) = hyper::upgrade::on(request).await {
            serve(&connection, upgraded, idle, close, deflate).await;
        }
        connection.hub.closed(connection.index);
    });
    response
}

fn offers_deflate(request: &Request<Incoming>) -> bool {
    let offers = request.headers().get_all(header::SEC_WEBSOCKET_EXTENSIONS);
    offers.iter().any(|offer| offer.to_str().is_ok_and(|it| it.starts_with("permessage-deflate")))
}
