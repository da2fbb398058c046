//! Connections that are kept for later requests.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::join_all;
use responses_client::{
    Delivery, ErrorKind, NetworkSettings, Provider, ProxySetting, ReplayPolicy, ResponsesClient,
    RetryPolicy, TransportPolicy,
    testing::{Script, ScriptedServer, Step, Turn},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
    sync::mpsc,
    time::{advance, timeout},
};

use crate::support::{builder, guarded, request, settled, socket_client, turn};

/// Connections of the requests, in their order.
fn connections(server: &ScriptedServer) -> Vec<usize> {
    server.log().requests.iter().map(|request| request.connection).collect()
}

fn memory_client(server: &ScriptedServer) -> ResponsesClient {
    builder(server).transport(TransportPolicy::SseOnly).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_kept_for_ninety_seconds() {
    let server = ScriptedServer::in_memory(Script::new().respond(|_| Turn::text("hi")));
    let client = memory_client(&server);
    for (seconds, connection) in [(0, 0), (89, 0), (91, 1), (1, 1)] {
        advance(Duration::from_secs(seconds)).await;
        turn(&mut client.session(), &request(&["hi"])).await.response();
        // The rest of the answer is read, and the connection is free again.
        settled(&server).await;
        assert_eq!(connections(&server).last(), Some(&connection), "after {seconds} s");
    }
}

#[tokio::test(start_paused = true)]
async fn the_number_of_kept_connections_is_limited() {
    let server = ScriptedServer::in_memory(Script::new().respond(|_| Turn::text("hi")));
    let client = memory_client(&server);
    // In memory, one connection is kept.
    for opened in [260, 519] {
        join_all((0..260).map(async |_| {
            turn(&mut client.session(), &request(&["hi"])).await.response();
        }))
        .await;
        settled(&server).await;
        assert_eq!(server.log().connections.len(), opened);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_dropped_half_way_closes_its_connection() {
    let script = Script::new()
        .turn(Turn::text("one").cut_after(3, Step::Stall))
        .respond(|_| Turn::text("two"));
    let server = ScriptedServer::in_memory(script);
    let client = memory_client(&server);
    let mut session = client.session();
    let mut stream = session.stream(&request(&["hi"])).await.unwrap();
    stream.try_next().await.unwrap().unwrap();
    drop(stream);
    settled(&server).await;
    turn(&mut client.session(), &request(&["hi"])).await.response();
    assert_eq!(connections(&server), [0, 1]);
}

/// Makes a turn on `runtime`, and returns the connection that it used.
fn turn_on(runtime: &Runtime, client: &ResponsesClient, server: &ScriptedServer) -> usize {
    runtime.block_on(async {
        guarded(turn(&mut client.session(), &request(&["hi"]))).await.response();
        // What is left of the answer is read by a task of this runtime.
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
    });
    *connections(server).last().unwrap()
}

#[test]
fn each_runtime_keeps_connections_of_its_own() {
    let home = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let script = Script::new().respond(|_| Turn::text("hi"));
    let server = home.block_on(ScriptedServer::start(script)).unwrap();
    let client = socket_client(&server, TransportPolicy::SseOnly);
    // A connection stalls while its runtime is idle.
    let new = || Builder::new_current_thread().enable_all().build().unwrap();
    let (first, second) = (new(), new());
    let mut at_first = vec![turn_on(&first, &client, &server)];
    while at_first.len() < 100 {
        let next = turn_on(&first, &client, &server);
        if at_first.contains(&next) {
            break;
        }
        at_first.push(next);
    }
    assert!(at_first.len() < 100, "a connection is kept");
    assert!(!at_first.contains(&turn_on(&second, &client, &server)));
    // A runtime that is gone takes its connections with it.
    drop(first);
    assert!(!at_first.contains(&turn_on(&second, &client, &server)));
}

#[tokio::test]
async fn a_request_that_is_dropped_while_it_is_written_ends_there() {
    const SIZE: usize = 32 * 1024 * 1024;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let client = ResponsesClient::builder()
        .provider(Provider::compatible(&url).unwrap())
        .transport(TransportPolicy::SseOnly)
        .network(NetworkSettings::new().proxy(ProxySetting::Direct))
        .build()
        .unwrap();
    let (mut session, large) = (client.session(), request(&[&"x".repeat(SIZE)]));
    let mut stream = tokio::select! {
        _ = session.stream(&large) => panic!("no answer came"),
        accepted = listener.accept() => accepted.unwrap().0,
    };
    drop(session);
    let mut received = 0;
    let mut buffer = vec![0; 1024 * 1024];
    while let Ok(read @ 1..) = guarded(stream.read(&mut buffer)).await {
        received += read;
    }
    assert!(received < SIZE, "the rest was not written");
}

const EVENTS: &str = concat!(
    "data: {\"type\":\"response.created\",\"response\":{\"id\":\"r\"}}\n\n",
    "data: {\"type\":\"response.completed\",\"response\":{\"id\":\"r\",\"status\":\"completed\"}}\n\n"
);

/// Answers the first request of each connection with events; what follows is up to `then`.
struct Raw {
    url: String,
    /// Number of requests on each connection.
    requests: Arc<Mutex<Vec<usize>>>,
    /// Receives a message once a connection was closed after its first answer.
    closed: mpsc::UnboundedReceiver<()>,
}

/// What a server does after the first answer on a connection.
#[derive(Clone, Copy)]
enum Then {
    Close,
    /// Answers the next request with these bytes.
    Answer(&'static [u8]),
}

impl Raw {
    async fn start(then: Then) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (tell, closed) = mpsc::unbounded_channel();
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = seen.lock().unwrap().len();
                seen.lock().unwrap().push(0);
                tokio::spawn(Self::serve(stream, number, Arc::clone(&seen), then, tell.clone()));
            }
        });
        Self { url, requests, closed }
    }

    async fn serve(
        stream: TcpStream,
        number: usize,
        seen: Arc<Mutex<Vec<usize>>>,
        then: Then,
        tell: mpsc::UnboundedSender<()>,
    ) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        read_request(&mut stream).await?;
        seen.lock().unwrap()[number] += 1;
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {}\r\n\r\n",
            EVENTS.len()
        );
        stream.write_all((head + EVENTS).as_bytes()).await?;
        if let Then::Answer(bytes) = then {
            read_request(&mut stream).await?;
            seen.lock().unwrap()[number] += 1;
            stream.write_all(bytes).await?;
        }
        stream.shutdown().await?;
        drop(stream);
        _ = tell.send(());
        Ok(())
    }

    fn client(&self, replay: ReplayPolicy) -> ResponsesClient {
        let mut retry = RetryPolicy::default();
        (retry.max_attempts, retry.max_replays, retry.replay) = (1, 0, replay);
        ResponsesClient::builder()
            .provider(Provider::compatible(&self.url).unwrap())
            .transport(TransportPolicy::SseOnly)
            .network(NetworkSettings::new().proxy(ProxySetting::Direct))
            .retry(retry)
            .build()
            .unwrap()
    }

    fn requests(&self) -> Vec<usize> {
        self.requests.lock().unwrap().clone()
    }
}

async fn read_request(stream: &mut BufReader<TcpStream>) -> io::Result<()> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            return stream.read_exact(&mut vec![0; length]).await.map(drop);
        }
    }
}

#[tokio::test]
async fn c134_a_connection_that_was_closed_while_it_was_kept_is_not_used() {
    let mut server = Raw::start(Then::Close).await;
    let client = server.client(ReplayPolicy::Never);
    let mut session = client.session();
    for number in 1..=3 {
        let outcome = guarded(turn(&mut session, &request(&["hi"]))).await;
        outcome.response();
        assert_eq!(outcome.report.attempts.len(), 1);
        assert_eq!(server.requests(), vec![1; number]);
        timeout(Duration::from_secs(30), server.closed.recv()).await.unwrap();
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn c134_an_answer_that_ends_early_or_cannot_be_read_is_an_answer() {
    for bytes in [
        &b"H"[..],
        b"HTTP/1.1 2",
        b"HTTP/1.1 200 OK\r\ncontent-type: text/eve",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"\0",
    ] {
        for replay in [ReplayPolicy::BeforeCreated, ReplayPolicy::Never] {
            let server = Raw::start(Then::Answer(bytes)).await;
            let client = server.client(replay);
            let mut session = client.session();
            guarded(turn(&mut session, &request(&["hi"]))).await.response();
            let outcome = guarded(turn(&mut session, &request(&["ho"]))).await;
            let error = outcome.error();
            assert_eq!((error.kind(), error.delivery()), (ErrorKind::Truncated, Delivery::Unknown));
            assert_eq!(server.requests(), [2], "it may have run, so no resend is free");
        }
    }
}
