use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering},
};

use futures_util::{StreamExt, future::join_all};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadBuf},
    sync::mpsc,
    time::{advance, sleep},
};

use super::*;
use crate::net::{Body, Io};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";

/// Opens connections to servers in memory, and counts them.
#[derive(Clone)]
struct Memory<F> {
    opened: Arc<AtomicUsize>,
    serve: F,
    /// Shows the end of each connection as a reset.
    is_reset: bool,
}

impl<F, S> Memory<F>
where
    F: Fn(DuplexStream) -> S + Clone + Send + Sync + Unpin + 'static,
    S: Future<Output = io::Result<()>> + Send + 'static,
{
    fn new(serve: F) -> Self {
        Self { opened: Arc::default(), serve, is_reset: false }
    }
}

impl<F, S> Dial for Memory<F>
where
    F: Fn(DuplexStream) -> S + Clone + Send + Sync + Unpin + 'static,
    S: Future<Output = io::Result<()>> + Send + 'static,
{
    fn open(
        &self,
        _: &Uri,
        _: bool,
        _: Option<Instant>,
    ) -> BoxFuture<'static, Result<Opened, NetError>> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        let (client, server) = tokio::io::duplex(4096);
        tokio::spawn((self.serve)(server));
        let (read, write) = tokio::io::split(client);
        let io: Box<dyn Io> = match self.is_reset {
            true => Box::new(tokio::io::join(read.chain(Reset), write)),
            false => Box::new(tokio::io::join(read, write)),
        };
        async { Ok(Opened { io, form: Form::Origin }) }.boxed()
    }

    fn peer(&self, uri: &Uri) -> Peer {
        Peer::new(uri, None)
    }
}

/// Reads a request without a body.
async fn read_request(stream: &mut DuplexStream) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(())
}

async fn answer_all(mut stream: DuplexStream) -> io::Result<()> {
    loop {
        read_request(&mut stream).await?;
        stream.write_all(ANSWER).await?;
    }
}

async fn send<D: Dial>(network: &HttpNetwork<D>) -> Result<Body, NetError> {
    let request = Request::get("http://a.invalid/").body(Bytes::new()).unwrap();
    match network.send(request).await?.content {
        Content::Body(body) => Ok(body),
        Content::Upgraded(_) => panic!("not asked for"),
    }
}

#[tokio::test(start_paused = true)]
async fn at_most_256_connections_are_kept() {
    let dial = Memory::new(answer_all);
    let network = HttpNetwork::new(dial.clone());
    for opened in [260, 264] {
        // All are in use at the same time.
        let bodies = join_all((0..260).map(async |_| send(&network).await.unwrap())).await;
        join_all(bodies.into_iter().map(StreamExt::count)).await;
        assert_eq!(dial.opened.load(Ordering::Relaxed), opened);
    }
}

/// End of a stream by a reset.
struct Reset;

impl AsyncRead for Reset {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
    }
}

/// Answers two requests, the second with the first `length` bytes of an answer only, and closes.
async fn answer_in_part(mut stream: DuplexStream, length: usize) -> io::Result<()> {
    for part in [ANSWER, &ANSWER[..length]] {
        read_request(&mut stream).await?;
        stream.write_all(part).await?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn c134_a_kept_connection_is_stale_only_before_the_first_byte_of_an_answer() {
    let head = ANSWER.len() - 2;
    for is_reset in [false, true] {
        for length in 0..=head {
            let mut dial = Memory::new(move |stream| answer_in_part(stream, length));
            dial.is_reset = is_reset;
            let network = HttpNetwork::new(dial);
            assert_eq!(send(&network).await.unwrap().count().await, 1);
            let answer = send(&network).await.map(|mut body| async move { body.next().await });
            let kind = match answer {
                Err(error) => error.kind,
                Ok(body) => body.await.unwrap().unwrap_err().kind,
            };
            let expected = if length == 0 { NetErrorKind::Stale } else { NetErrorKind::Lost };
            assert_eq!(kind, expected, "{length} bytes, reset: {is_reset}");
        }
    }
}

/// Waits until the client closes the connection, and returns the time since `start`.
async fn closed_after(stream: &mut DuplexStream, start: Instant) -> Duration {
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    start.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_closed_once_it_was_kept_for_its_time() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let network = HttpNetwork::new(Memory::new(move |mut stream| {
        let tell = tell.clone();
        async move {
            let start = Instant::now();
            read_request(&mut stream).await?;
            stream.write_all(ANSWER).await?;
            read_request(&mut stream).await?;
            // It is in use for longer than it would be kept.
            stream.write_all(&ANSWER[..ANSWER.len() - 1]).await?;
            sleep(Duration::from_secs(300)).await;
            stream.write_all(b"i").await?;
            tell.send(closed_after(&mut stream, start).await).unwrap();
            Ok(())
        }
    }));
    send(&network).await.unwrap().count().await;
    advance(Duration::from_secs(50)).await;
    let mut body = send(&network).await.unwrap();
    while let Some(piece) = body.next().await {
        piece.unwrap();
    }
    // No other request looks at the connection.
    let closed = timeout(Duration::from_secs(1000), told.recv()).await;
    assert_eq!(closed, Ok(Some(Duration::from_secs(50 + 300 + 90))));
    assert!(network.kept.connections().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_the_server_closes_is_kept_no_longer() {
    for closes_after in [Duration::ZERO, Duration::from_secs(5)] {
        let (tell, mut told) = mpsc::unbounded_channel();
        let network = HttpNetwork::new(Memory::new(move |mut stream| {
            let tell = tell.clone();
            async move {
                read_request(&mut stream).await?;
                let start = Instant::now();
                stream.write_all(ANSWER).await?;
                sleep(closes_after).await;
                stream.shutdown().await?;
                // The client closes its side too.
                tell.send(closed_after(&mut stream, start).await).unwrap();
                Ok(())
            }
        }));
        send(&network).await.unwrap().count().await;
        let closed = timeout(Duration::from_secs(1000), told.recv()).await;
        assert_eq!(closed, Ok(Some(closes_after)));
        task::yield_now().await;
        assert!(network.kept.connections().is_empty());
    }
}
