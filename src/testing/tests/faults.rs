//! Faults, as a client sees them.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::{io::AsyncWriteExt, net::TcpStream, time::Instant};
use tokio_tungstenite::tungstenite::{Error, Message, error::ProtocolError};

use super::{Client, post, post_on};
use crate::{
    error::ConnectError,
    net::{Content, NetErrorKind},
    testing::{Script, ScriptedServer, Step, Turn},
};

#[tokio::test]
async fn a_reset_comes_after_the_events_before_it() {
    let cut = Turn::text("Hello").cut_after(2, Step::Reset);
    let server = ScriptedServer::start(Script::new().turns([cut.clone(), cut])).await.unwrap();
    let mut client = Client::connect(&server).await;
    client.create(json!({})).await;
    client.event().await;
    client.event().await;
    let error = client.0.next().await.unwrap().unwrap_err();
    assert!(is_reset(&error), "{error:?}");

    let mut stream = TcpStream::connect(server.address().unwrap()).await.unwrap();
    let (answer, end) = post_on(&mut stream, &json!({ "stream": true })).await;
    assert_eq!(answer.matches("data: ").count(), 2);
    assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    server.wait_for(|log| log.open_connections() == 0).await;
    assert!(server.log().requests.iter().all(|seen| seen.finished));
}

#[tokio::test]
async fn the_connection_can_end_without_a_good_bye() {
    let cut = Turn::text("Hello").cut_after(3, Step::End);
    let server = ScriptedServer::start(Script::new().turns([cut.clone(), cut])).await.unwrap();
    let mut client = Client::connect(&server).await;
    client.create(json!({})).await;
    for _ in 0..3 {
        client.event().await;
    }
    let error = client.0.next().await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)));

    let mut stream = TcpStream::connect(server.address().unwrap()).await.unwrap();
    let (answer, end) = post_on(&mut stream, &json!({ "stream": true })).await;
    assert_eq!(answer.matches("data: ").count(), 3);
    assert!(!answer.ends_with("0\r\n\r\n") && end.is_ok());
}

#[tokio::test]
async fn a_first_step_that_cuts_leaves_no_answer() {
    for (fault, reset) in [(Step::Reset, true), (Step::End, false)] {
        let turn = Turn::steps([fault]);
        let server = ScriptedServer::start(Script::new().turn(turn)).await.unwrap();
        let mut stream = TcpStream::connect(server.address().unwrap()).await.unwrap();
        let (answer, end) = post_on(&mut stream, &json!({ "stream": true })).await;
        assert_eq!((answer.as_str(), end.is_err()), ("", reset));
    }
}

#[tokio::test]
async fn cuts_show_in_memory_too() {
    let [reset, end] = [Step::Reset, Step::End].map(|fault| Turn::text("a").cut_after(1, fault));
    let script = Script::new().turns([reset.clone(), end.clone(), reset, end]);
    let server = ScriptedServer::in_memory(script);
    for _ in 0..2 {
        let (_, body, failure) = post(&server.connector(), json!({})).await;
        assert_eq!(body.matches("data: ").count(), 1);
        assert_eq!(failure.unwrap().kind, NetErrorKind::Lost);
    }
    for reset in [true, false] {
        let mut client = Client::in_memory(&server.connector()).await;
        client.create(json!({})).await;
        client.event().await;
        let error = client.0.next().await.unwrap().unwrap_err();
        assert_eq!(is_reset(&error), reset, "{error:?}");
    }
}

#[tokio::test]
async fn a_close_frame_ends_the_socket_and_a_body_cleanly() {
    let close = Step::Close { code: Some(1011), reason: "oops".to_owned() };
    let cut = Turn::text("Hello").cut_after(1, close);
    let server = ScriptedServer::start(Script::new().turns([cut.clone(), cut])).await.unwrap();
    let mut client = Client::connect(&server).await;
    client.create(json!({})).await;
    client.event().await;
    let Message::Close(Some(frame)) = client.0.next().await.unwrap().unwrap() else { panic!() };
    assert_eq!((u16::from(frame.code), frame.reason.as_str()), (1011, "oops"));
    while client.0.next().await.is_some() {}
    server.wait_for(|log| log.connections[0].closed).await;

    let (_, body, failure) = post(&server.connector(), json!({})).await;
    assert_eq!((body.matches("data: ").count(), failure.is_none()), (1, true));
}

#[tokio::test]
async fn frames_of_every_kind_are_sent() {
    let text = r#"{"type":"x","text":"é"}"#.to_owned();
    let steps = [
        Step::Fragmented { text: text.clone(), pieces: 20 },
        Step::Binary(Bytes::from_static(b"b")),
        Step::Ping(Bytes::from_static(b"p")),
        Step::Pong(Bytes::from_static(b"q")),
        Step::Comment("c".to_owned()),
        Step::Raw(Bytes::from_static(b"data: r\n\n")),
        Step::Raw(Bytes::from_static(b"\xff")),
    ];
    let turn = Turn::steps(steps.clone());
    let server = ScriptedServer::start(Script::new().turn(turn)).await.unwrap();
    let mut client = Client::connect(&server).await;
    client.create(json!({})).await;
    let mut messages = Vec::new();
    while messages.len() < 5 {
        messages.push(client.0.next().await.unwrap().unwrap());
    }
    assert_eq!(
        messages,
        [
            Message::text(text),
            Message::binary("b"),
            Message::Ping("p".into()),
            Message::Pong("q".into()),
            Message::text("data: r\n\n"),
        ]
    );
    assert!(matches!(client.0.next().await.unwrap(), Err(Error::Utf8(_))));
    server.wait_for(|log| log.connections[0].pongs == 1).await;

    server.push(Turn::steps(steps.into_iter().take(6)));
    let (_, body, _) = post(&server.connector(), json!({})).await;
    assert_eq!(body, "data: {\"type\":\"x\",\"text\":\"é\"}\n\n: c\n\ndata: r\n\n");
}

#[tokio::test(start_paused = true)]
async fn pieces_come_one_by_one() {
    let text = r#"{"type":"x","text":"é"}"#;
    let steps = [
        Step::Split { text: text.to_owned(), at: vec![1, 1, 20, 999] },
        Step::Drip { text: text.to_owned(), pieces: 3, pause: Duration::from_secs(7) },
    ];
    let turn = Turn::steps(steps);
    let server = ScriptedServer::in_memory(Script::new().turns([turn.clone(), turn]));
    let mut client = Client::in_memory(&server.connector()).await;
    client.create(json!({})).await;
    let (start, before) = (Instant::now(), server.log().bytes_sent());
    for (seconds, headers) in [(0, 4 + 1), (14, 4 + 3)] {
        assert_eq!(client.0.next().await.unwrap().unwrap(), Message::text(text));
        assert_eq!(start.elapsed().as_secs(), seconds);
        // Each fragment has a header of two bytes; the first of the second message came along.
        let texts = text.len() + if seconds == 0 { text.len().div_ceil(3) } else { text.len() };
        assert_eq!(server.log().bytes_sent() - before, (texts + 2 * headers) as u64);
    }

    let request = http::Request::post("http://x/v1/responses").body(r#"{"stream":true}"#.into());
    let answer = server.connector().network().send(request.unwrap()).await.unwrap();
    let Content::Body(mut body) = answer.content else { panic!("upgraded") };
    let start = Instant::now();
    let mut seen = Vec::new();
    while let Some(piece) = body.next().await {
        let text = String::from_utf8_lossy(&piece.unwrap()).into_owned();
        seen.push((text, start.elapsed().as_secs()));
    }
    let seen: Vec<_> = seen.iter().map(|(text, seconds)| (text.as_str(), *seconds)).collect();
    assert_eq!(
        seen,
        [
            ("data: {", 0),
            ("\"type\":\"x\",\"text\":\"", 0),
            ("é\"}\n\n", 0),
            ("data: {\"typ", 0),
            ("e\":\"x\",\"tex", 7),
            ("t\":\"é\"}\n\n", 14),
        ]
    );
}

#[tokio::test]
async fn an_event_can_stop_in_its_middle() {
    let half = |fault| Turn::text("Hello").cut_inside(1, 9, fault);
    let close = Step::Close { code: Some(1011), reason: String::new() };
    let faults = [Step::Reset, Step::End, close];
    let script = Script::new().turns(faults.clone().map(half)).turns(faults.map(half));
    let server = ScriptedServer::in_memory(script);
    for ending in ["reset", "end", "close"] {
        let mut client = Client::in_memory(&server.connector()).await;
        client.create(json!({})).await;
        assert_eq!(client.event().await["type"], "response.created");
        let next = client.0.next().await.unwrap();
        match ending {
            "reset" => assert!(is_reset(&next.unwrap_err())),
            "end" => assert!(matches!(
                next.unwrap_err(),
                Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)
            )),
            _ => assert!(matches!(next.unwrap(), Message::Close(Some(_)))),
        }
    }
    for ending in ["reset", "end", "close"] {
        let (_, body, failure) = post(&server.connector(), json!({})).await;
        assert!(body.ends_with("\n\ndata: {\"type\":\""), "{body}");
        assert_eq!(failure.is_none(), ending == "close");
    }
}

#[tokio::test]
async fn a_client_that_leaves_in_a_turn_is_noticed() {
    let stalled = Turn::text("a").cut_after(1, Step::Stall);
    let script = Script::new().turns(vec![stalled; 4]);
    let server = ScriptedServer::start(script).await.unwrap();
    let mut client = Client::connect(&server).await;
    client.create(json!({})).await;
    client.event().await;
    client.0.close(None).await.unwrap();
    server.wait_for(|log| log.open_connections() == 0).await;

    let mut client = Client::connect(&server).await;
    client.create(json!({})).await;
    client.event().await;
    drop(client);
    server.wait_for(|log| log.connections.len() == 2 && log.open_connections() == 0).await;

    let mut stream = TcpStream::connect(server.address().unwrap()).await.unwrap();
    stream.write_all(b"POST /responses HTTP/1.1\r\ncontent-length: 15\r\n\r\n").await.unwrap();
    stream.write_all(br#"{"stream":true}"#).await.unwrap();
    server.wait_for(|log| log.requests.len() == 3).await;
    drop(stream);
    server.wait_for(|log| log.open_connections() == 0).await;

    let request = http::Request::post("http://x/v1/responses").body(r#"{"stream":true}"#.into());
    let answer = server.connector().network().send(request.unwrap()).await.unwrap();
    let Content::Body(mut body) = answer.content else { panic!("upgraded") };
    assert!(body.next().await.unwrap().is_ok());
    drop(body);
    server.wait_for(|log| log.connections.len() == 4 && log.open_connections() == 0).await;
    assert!(server.log().requests.iter().all(|seen| !seen.finished));
}

#[tokio::test]
async fn a_stalled_server_answers_pings_and_a_frozen_one_does_not() {
    let script = Script::new()
        .turn(Turn::text("a").cut_after(1, Step::Stall))
        .turn(Turn::text("a").cut_after(1, Step::Freeze));
    let server = ScriptedServer::start(script).await.unwrap();
    let mut client = Client::connect(&server).await;
    client.create(json!({})).await;
    client.event().await;
    client.0.send(Message::Ping("a".into())).await.unwrap();
    assert_eq!(client.0.next().await.unwrap().unwrap(), Message::Pong("a".into()));

    let mut client = Client::connect(&server).await;
    client.create(json!({})).await;
    client.event().await;
    let before = server.log().connections[1].bytes_received;
    client.0.send(Message::Ping("a".into())).await.unwrap();
    while server.log().connections[1].bytes_received == before {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.log().connections[1].pings, 0);
    drop(client);
    server.wait_for(|log| log.connections[1].closed).await;
}

#[tokio::test]
async fn idle_sockets_get_what_the_test_sends() {
    let server = ScriptedServer::start(Script::new().turn(Turn::text("a"))).await.unwrap();
    let mut client = Client::connect(&server).await;
    client.create(json!({})).await;
    client.turn().await;
    server.send_idle(r#"{"type":"stray"}"#);
    server.ping_idle(b"p");
    server.close_idle(1001, "bye");
    assert_eq!(client.event().await["type"], "stray");
    assert_eq!(client.0.next().await.unwrap().unwrap(), Message::Ping("p".into()));
    let Message::Close(Some(frame)) = client.0.next().await.unwrap().unwrap() else { panic!() };
    assert_eq!(u16::from(frame.code), 1001);
    while client.0.next().await.is_some() {}
    server.wait_for(|log| log.connections[0].closed).await;
    let seen = server.log().connections[0].clone();
    assert_eq!((seen.close_code, seen.pongs), (Some(1001), 1));
}

#[tokio::test]
async fn a_stopped_server_refuses() {
    let server = ScriptedServer::start(Script::new()).await.unwrap();
    let mut client = Client::connect(&server).await;
    server.stop();
    assert!(is_reset(&client.0.next().await.unwrap().unwrap_err()));
    assert!(TcpStream::connect(server.address().unwrap()).await.is_err());
    let request = http::Request::post("http://x/v1/responses").body(Bytes::new()).unwrap();
    let error = server.connector().network().send(request).await.unwrap_err();
    assert_eq!(error.kind, NetErrorKind::Connect(Box::new(ConnectError::Refused)));
    let again = ScriptedServer::start_on(server.address().unwrap(), Script::new()).await.unwrap();
    Client::connect(&again).await;
}

#[tokio::test]
async fn connections_can_be_refused_for_a_while() {
    let server = ScriptedServer::in_memory(Script::new().turns([Turn::text("a"), Turn::text("b")]));
    let mut open = Client::in_memory(&server.connector()).await;
    server.refuse_connections(true);
    let request = http::Request::post("http://x/v1/responses").body(Bytes::new()).unwrap();
    let error = server.connector().network().send(request).await.unwrap_err();
    assert_eq!(error.kind, NetErrorKind::Connect(Box::new(ConnectError::Refused)));
    open.create(json!({})).await;
    open.turn().await;
    server.refuse_connections(false);
    assert_eq!(post(&server.connector(), json!({})).await.0, 200);
}

#[tokio::test]
async fn the_connector_sends_again_on_a_new_connection_what_a_dead_one_did_not_take() {
    let server = ScriptedServer::in_memory(Script::new().turns([Turn::text("a"), Turn::text("b")]));
    let connector = server.connector();
    post(&connector, json!({})).await;
    server.drop_connections();
    let (status, ..) = post(&connector, json!({})).await;
    assert_eq!(status, 200);
    assert_eq!((server.log().connections.len(), server.log().requests.len()), (2, 2));
}

fn is_reset(error: &Error) -> bool {
    matches!(error, Error::Io(error) if error.kind() == std::io::ErrorKind::ConnectionReset)
}
