//! Endless data of a server costs bounded memory, measured as allocated bytes.

use std::time::Duration;

use futures_util::StreamExt;
use responses_client::{ErrorKind, Limits, Provider, ResponsesClient, Timeouts, Transport};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_tungstenite::{WebSocketStream, accept_async, tungstenite::Message};

use crate::{
    is_alone, live_bytes,
    support::{BOTH, guarded, only, request},
};

const READ_AHEAD: usize = 128 << 10;
const MIB: usize = 1 << 20;

/// A text frame of a server.
fn text(payload: &str) -> Vec<u8> {
    let size = payload.len();
    let mut frame = vec![0x81];
    match u8::try_from(size) {
        Ok(size @ ..126) => frame.push(size),
        _ => {
            frame.push(126);
            frame.extend(u16::try_from(size).expect("a short payload").to_be_bytes());
        }
    }
    frame.extend(payload.as_bytes());
    frame
}

/// An event as it travels.
fn event(transport: Transport, payload: &str) -> Vec<u8> {
    match transport {
        Transport::WebSocket => text(payload),
        _ => format!("data: {payload}\n\n").into_bytes(),
    }
}

/// One piece of a flood, and how many bytes of such pieces are sent.
struct Flood {
    name: &'static str,
    piece: Vec<u8>,
    bytes: usize,
    /// The client takes all of it, whether anybody reads the events or not.
    is_taken: bool,
}

fn floods(transport: Transport, is_read: bool) -> Vec<Flood> {
    match transport {
        Transport::WebSocket => floods_of_frames(),
        _ => floods_of_events(is_read),
    }
}

/// A body is read only when somebody asks for events.
fn floods_of_events(is_read: bool) -> Vec<Flood> {
    let flood = |name, piece: &str, is_taken| {
        let piece = piece.repeat(64 * 1024 / piece.len()).into_bytes();
        Flood { name, piece, bytes: 12 * MIB, is_taken: is_taken && is_read }
    };
    vec![
        flood("comments", ":\n", true),
        flood("blank lines", "\n", true),
        flood("events without data", "event: ping\n\n", true),
        flood("events without bytes", "data:\n\n", true),
        flood("events of {}", "data: {}\n\n", true),
        flood("metadata", "data: {\"type\":\"keepalive\"}\n\n", false),
    ]
}

fn floods_of_frames() -> Vec<Flood> {
    let many = |payload: &str| text(payload).repeat(64 * 1024 / (payload.len() + 2));
    let keepalive = r#"{"type":"keepalive"}"#;
    // Most of the read buffer is dropped, but for one small frame that waits.
    let sparse = [text(&format!("{{{}}}", " ".repeat(16_000))), text(keepalive)].concat();
    let flood = |name, piece, bytes, is_taken| Flood { name, piece, bytes, is_taken };
    vec![
        flood("no bytes", many(""), MIB / 2, true),
        flood("{}", many("{}"), MIB, true),
        flood("[DONE]", many("[DONE]"), 2 * MIB, true),
        flood("metadata", many(keepalive), 16 * MIB, false),
        flood("one in many", sparse, 32 * MIB, false),
    ]
}

/// Takes one request over `transport`, up to where its answer begins.
async fn requested(transport: Transport, mut stream: TcpStream) -> TcpStream {
    match transport {
        Transport::WebSocket => {
            let mut socket: WebSocketStream<TcpStream> =
                accept_async(stream).await.expect("a handshake");
            while !matches!(socket.next().await, Some(Ok(Message::Text(_)))) {}
            socket.into_inner()
        }
        _ => {
            let (mut read, mut buffer) = (Vec::new(), [0; 4096]);
            // All of the body is in one piece with its end.
            while !read.ends_with(b"}") {
                let count = stream.read(&mut buffer).await.expect("a request");
                read.extend(buffer.iter().take(count));
            }
            let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
            stream.write_all(head).await.expect("it is there");
            stream
        }
    }
}

/// Serves one request: sends `first` when it came, and then the flood, as far as the client takes
/// it.
async fn serve(
    transport: Transport,
    listener: TcpListener,
    first: Option<&'static str>,
    flood: Flood,
) -> TcpStream {
    let (stream, _) = listener.accept().await.expect("a connection");
    let mut stream = requested(transport, stream).await;
    let is_taken = flood.is_taken;
    if let Some(first) = first {
        stream.write_all(&event(transport, first)).await.expect("it is there");
    }
    for _ in 0..flood.bytes / flood.piece.len() {
        let patience = Duration::from_millis(if is_taken { 20_000 } else { 500 });
        let written = timeout(patience, stream.write_all(&flood.piece)).await;
        if !matches!(written, Ok(Ok(()))) {
            assert!(!is_taken, "the client stopped reading");
            break;
        }
    }
    // The answer to a ping comes when all before it has been read. Of a body, so much was sent that
    // no system holds it.
    if is_taken && transport == Transport::WebSocket {
        stream.write_all(&[0x89, 0]).await.expect("it is there");
        stream.read_exact(&mut [0; 6]).await.expect("a pong");
    }
    stream
}

/// The most that is allocated above `before` while `work` is not done, and what it gives.
async fn most<T>(before: usize, work: JoinHandle<T>) -> (usize, T) {
    let mut most = 0;
    while !work.is_finished() {
        most = most.max(live_bytes().saturating_sub(before));
        tokio::task::yield_now().await;
    }
    (most, work.await.expect("no panic"))
}

#[tokio::test]
async fn c139_a_flood_of_small_frames_costs_bounded_memory() {
    if !is_alone("floods::c139_a_flood_of_small_frames_costs_bounded_memory") {
        return;
    }
    const CREATED: &str = r#"{"type":"response.created","response":{"id":"resp_1"}}"#;
    let cases = BOTH.into_iter().flat_map(|it| [(it, None), (it, Some(CREATED))]);
    for (transport, first) in cases {
        for flood in floods(transport, first.is_none()) {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
            let mut limits = Limits::default();
            limits.read_ahead = READ_AHEAD;
            let mut timeouts = Timeouts::default();
            timeouts.turn = Some(Duration::from_secs(30));
            let provider = Provider::compatible(&url).expect("a URL");
            let client =
                ResponsesClient::builder().provider(provider).limits(limits).timeouts(timeouts);
            let client = client.transport(only(transport)).build().expect("a client");
            let what = format!("{} over {transport}, first: {first:?}", flood.name);
            let is_taken = flood.is_taken;
            let before = live_bytes();
            let server = tokio::spawn(serve(transport, listener, first, flood));
            let mut session = client.session();
            let start = Instant::now();
            let used = match first {
                // Nobody reads.
                Some(_) => {
                    let stream = guarded(session.stream(request(&["hi"]))).await.expect("a stream");
                    let (used, server) = most(before, server).await;
                    drop((stream, server));
                    used
                }
                None => {
                    let asks = request(&["hi"]);
                    let turn = tokio::spawn(async move {
                        let error = session.stream(&asks).await.map(drop).expect_err("a flood");
                        error.kind()
                    });
                    if is_taken {
                        let (used, server) = most(before, server).await;
                        assert!(!turn.is_finished(), "{what}: it is no progress, and no end");
                        turn.abort();
                        drop(server);
                        used
                    } else {
                        let (used, kind) = most(before, turn).await;
                        assert_eq!(kind, ErrorKind::TooLarge, "{what}");
                        server.abort();
                        used
                    }
                }
            };
            // Four times what is charged, and the buffers of a connection.
            assert!(used <= 4 * READ_AHEAD + MIB, "{what}: {} KiB", used >> 10);
            assert!(start.elapsed() < Duration::from_secs(30), "{what}");
            println!("{what}: {} KiB in {:?}", used >> 10, start.elapsed());
        }
    }
}
