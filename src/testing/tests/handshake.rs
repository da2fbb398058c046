//! Requests to become a WebSocket, and how they are answered.

use futures_util::StreamExt;
use tokio_tungstenite::tungstenite::{Error, Message, error::ProtocolError};

use super::Client;
use crate::testing::{Refusal, Script, ScriptedServer, Upgrade};

#[tokio::test]
async fn each_answer_looks_as_it_should() {
    let refusal = Refusal::status(426).header("retry-after", "1").body("no");
    let header =
        Upgrade::Header { name: "sec-websocket-extensions".to_owned(), value: "x".to_owned() };
    let script = Script::new()
        .header("x-models-etag", "e")
        .upgrade(Upgrade::Refuse(refusal))
        .upgrade(Upgrade::Reset)
        .upgrade(Upgrade::WrongAccept)
        .upgrade(header)
        .upgrade(Upgrade::CloseAfter { code: 1013 });
    let server = ScriptedServer::start(script).await.unwrap();

    let Err(Error::Http(response)) = Client::try_connect(&server).await.map(drop) else { panic!() };
    assert_eq!(response.status(), 426);
    assert_eq!(response.headers()["retry-after"], "1");
    assert!(matches!(Client::try_connect(&server).await.map(drop), Err(Error::Io(_))));
    let wrong = Client::try_connect(&server).await.map(drop).unwrap_err();
    assert!(matches!(wrong, Error::Protocol(ProtocolError::SecWebSocketAcceptKeyMismatch)));
    let (_, head) = Client::try_connect(&server).await.unwrap();
    assert_eq!(head.headers["sec-websocket-extensions"], "x");
    assert_eq!(head.headers["x-models-etag"], "e");
    let (mut client, head) = Client::try_connect(&server).await.unwrap();
    assert!(!head.headers.contains_key("sec-websocket-extensions"));
    let Message::Close(Some(frame)) = client.0.next().await.unwrap().unwrap() else { panic!() };
    assert_eq!(u16::from(frame.code), 1013);

    let (client, _) = Client::try_connect(&server).await.unwrap();
    let log = server.log();
    assert_eq!((log.upgrades_refused, log.websockets().count()), (2, 4));
    assert!(log.connections.iter().all(|seen| seen.upgrade_requests == 1));
    assert_eq!(log.connections[5].header("upgrade"), Some("websocket"));
    drop(client);
}

#[tokio::test]
async fn a_handshake_without_an_answer_ends_with_the_client() {
    let script = Script::new().every_upgrade(Upgrade::Hang);
    let server = ScriptedServer::start(script).await.unwrap();
    let connecting = Client::try_connect(&server);
    let seen = server.wait_for(|log| log.upgrades_refused == 1);
    futures_util::future::select(std::pin::pin!(connecting), std::pin::pin!(seen)).await;
    server.wait_for(|log| log.open_connections() == 0).await;
}

#[tokio::test]
#[should_panic(expected = "headers are invalid")]
async fn a_mistake_of_the_script_is_not_hidden() {
    let server = ScriptedServer::start(Script::new().header("no good", "x")).await.unwrap();
    assert!(Client::try_connect(&server).await.is_err());
}
