use std::{
    collections::BTreeMap,
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
use crate::net::{Body, ConnectionCounts, Io};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";

/// Opens connections to servers in memory, and counts them.
#[derive(Clone)]
struct Memory<F> {
    opened: Arc<AtomicUsize>,
    serve: F,
    /// Shows the end of each connection as a reset.
    is_reset: bool,
    form: Form,
}

impl<F, S> Memory<F>
where
    F: Fn(DuplexStream) -> S + Clone + Send + Sync + Unpin + 'static,
    S: Future<Output = io::Result<()>> + Send + 'static,
{
    fn new(serve: F) -> Self {
        Self { opened: Arc::default(), serve, is_reset: false, form: Form::Origin }
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
        let form = self.form.clone();
        async { Ok(Opened { io, form }) }.boxed()
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

/// Counts by name.
#[derive(Default)]
struct Counted(Mutex<BTreeMap<&'static str, usize>>);

impl Counted {
    fn add(&self, name: &'static str) {
        *self.0.lock().unwrap().entry(name).or_default() += 1;
    }

    fn assert<const N: usize>(&self, expected: [(&'static str, usize); N]) {
        // Connections that a failed test drops are counted, too: no lock is held by then.
        let counted = self.0.lock().unwrap().clone();
        assert_eq!(counted, expected.into());
    }

    /// Sends a request that is counted here.
    async fn send(
        self: &Arc<Self>,
        network: &impl Network,
        mut request: Request<Bytes>,
    ) -> Result<Content, NetError> {
        request.extensions_mut().insert(CountedBy(Arc::clone(self) as _));
        *request.uri_mut() = Uri::from_static("http://a.invalid/");
        Ok(network.send(request).await?.content)
    }

    /// Sends a request, and reads the answer to its end.
    async fn turn(self: &Arc<Self>, network: &impl Network) -> Result<(), NetError> {
        let Content::Body(mut body) = self.send(network, Request::default()).await? else {
            panic!("not asked for")
        };
        while let Some(piece) = body.next().await {
            piece?;
        }
        Ok(())
    }
}

impl ConnectionCounts for Counted {
    fn opened(&self) {
        self.add("opened");
    }

    fn reused(&self) {
        self.add("reused");
    }

    fn retired(&self, reason: HttpRetirement) {
        self.add(reason.as_str());
    }
}

/// Lets the tasks of the connections run.
async fn settle() {
    for _ in 0..20 {
        task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn c285_a_kept_connection_is_counted_until_its_time_or_the_client_ends() {
    let counted = Arc::<Counted>::default();
    let network = HttpNetwork::new(Memory::new(answer_all));
    for _ in 0..3 {
        counted.turn(&network).await.unwrap();
    }
    counted.assert([("opened", 1), ("reused", 2)]);
    sleep(Duration::from_secs(89)).await;
    counted.turn(&network).await.unwrap();
    counted.assert([("opened", 1), ("reused", 3)]);
    sleep(Duration::from_secs(91)).await;
    counted.assert([("opened", 1), ("reused", 3), ("max_idle", 1)]);
    counted.turn(&network).await.unwrap();
    drop(network);
    counted.assert([("opened", 2), ("reused", 3), ("max_idle", 1), ("client_dropped", 1)]);
    // Of a request without counts, nothing is counted.
    let network = HttpNetwork::new(Memory::new(answer_all));
    send(&network).await.unwrap().count().await;
    counted.turn(&network).await.unwrap();
    drop(network);
    counted.assert([("opened", 2), ("reused", 4), ("max_idle", 1), ("client_dropped", 1)]);
}

#[tokio::test(start_paused = true)]
async fn c285_a_connection_of_an_idle_runtime_retires_for_its_age() {
    let counted = Arc::<Counted>::default();
    let network = HttpNetwork::new(Memory::new(answer_all));
    counted.turn(&network).await.unwrap();
    // No task runs meanwhile.
    advance(Duration::from_secs(90)).await;
    assert!(network.kept.take(Duration::from_secs(90)).is_none());
    counted.assert([("opened", 1), ("max_idle", 1)]);
}

#[tokio::test(start_paused = true)]
async fn c285_the_oldest_of_too_many_kept_connections_is_evicted() {
    let counted = Arc::<Counted>::default();
    let network = HttpNetwork::new(Memory::new(answer_all));
    let send = async |_| counted.send(&network, Request::default()).await.unwrap();
    for content in join_all((0..257).map(send)).await {
        let Content::Body(body) = content else { panic!("not asked for") };
        body.count().await;
    }
    counted.assert([("opened", 257), ("evicted", 1)]);
}

#[tokio::test(start_paused = true)]
async fn c285_a_connection_that_the_server_closed_after_an_answer_has_not_failed() {
    for closes_after in [Duration::ZERO, Duration::from_secs(5)] {
        let counted = Arc::<Counted>::default();
        let network = HttpNetwork::new(Memory::new(move |mut stream| async move {
            read_request(&mut stream).await?;
            stream.write_all(ANSWER).await?;
            sleep(closes_after).await;
            stream.shutdown().await
        }));
        counted.turn(&network).await.unwrap();
        sleep(Duration::from_secs(6)).await;
        counted.assert([("opened", 1), ("idle_closed", 1)]);
    }
    // The loss shows only with the next request.
    for (length, reason) in [(0, "idle_closed"), (1, "error"), (ANSWER.len() - 1, "error")] {
        let counted = Arc::<Counted>::default();
        let network = HttpNetwork::new(Memory::new(move |it| answer_in_part(it, length)));
        counted.turn(&network).await.unwrap();
        counted.turn(&network).await.unwrap_err();
        counted.assert([("opened", 1), ("reused", 1), (reason, 1)]);
    }
}

#[tokio::test(start_paused = true)]
async fn c285_a_connection_whose_answer_fails_or_is_not_read_retires() {
    let fails = |answer: &'static [u8]| {
        Memory::new(move |mut stream| async move {
            read_request(&mut stream).await?;
            stream.write_all(answer).await
        })
    };
    for answer in [b"", &ANSWER[..ANSWER.len() - 1]] {
        let counted = Arc::<Counted>::default();
        counted.turn(&HttpNetwork::new(fails(answer))).await.unwrap_err();
        counted.assert([("opened", 1), ("error", 1)]);
    }
    let counted = Arc::<Counted>::default();
    let mut proxy = fails(b"HTTP/1.1 407 Login\r\ncontent-length: 0\r\n\r\n");
    proxy.form = Form::Absolute(None);
    counted.turn(&HttpNetwork::new(proxy)).await.unwrap_err();
    counted.assert([("opened", 1), ("error", 1)]);

    let counted = Arc::<Counted>::default();
    let network = HttpNetwork::new(Memory::new(answer_all));
    drop(counted.send(&network, Request::default()).await.unwrap());
    counted.assert([("opened", 1), ("unfinished", 1)]);

    // The answer is not awaited, on a new connection and on a kept one.
    let counted = Arc::<Counted>::default();
    let network = HttpNetwork::new(Memory::new(|mut stream| async move {
        read_request(&mut stream).await?;
        stream.write_all(ANSWER).await?;
        read_request(&mut stream).await?;
        std::future::pending().await
    }));
    counted.turn(&network).await.unwrap();
    assert!(timeout(Duration::from_secs(1), counted.turn(&network)).await.is_err());
    counted.assert([("opened", 1), ("reused", 1), ("unfinished", 1)]);
}

#[tokio::test(start_paused = true)]
async fn c285_a_connection_that_is_busy_with_its_last_request_is_renewed() {
    let counted = Arc::<Counted>::default();
    let network = HttpNetwork::new(Memory::new(|mut stream| async move {
        read_request(&mut stream).await?;
        stream.write_all(ANSWER).await?;
        std::future::pending().await
    }));
    let large = Request::new(Bytes::from(vec![0; 100_000]));
    let Content::Body(body) = counted.send(&network, large).await.unwrap() else {
        panic!("not asked for")
    };
    assert_eq!(body.count().await, 1);
    counted.turn(&network).await.unwrap();
    counted.assert([("opened", 2), ("renewed", 1)]);
}

#[tokio::test(start_paused = true)]
async fn c285_an_upgrade_counts_only_if_it_is_refused() {
    let switching = b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n";
    let upgrade = || Request::builder().header("connection", "upgrade").header("upgrade", "x");
    let counted = Arc::<Counted>::default();
    let network = HttpNetwork::new(Memory::new(move |mut stream| async move {
        read_request(&mut stream).await?;
        stream.write_all(switching).await?;
        std::future::pending().await
    }));
    let upgraded = counted.send(&network, upgrade().body(Bytes::new()).unwrap()).await;
    assert!(matches!(upgraded, Ok(Content::Upgraded(_))));
    drop(upgraded);
    counted.assert([]);
    // Nobody asked for this one.
    drop(counted.send(&network, Request::default()).await);
    counted.assert([("opened", 1), ("error", 1)]);

    let counted = Arc::<Counted>::default();
    let network = HttpNetwork::new(Memory::new(answer_all));
    let refused = counted.send(&network, upgrade().body(Bytes::new()).unwrap()).await;
    let Ok(Content::Body(body)) = refused else { panic!("refused") };
    counted.assert([("opened", 1)]);
    body.count().await;
    settle().await;
    counted.turn(&network).await.unwrap();
    counted.assert([("opened", 1), ("reused", 1)]);
}

#[tokio::test(start_paused = true)]
async fn c285_a_request_that_a_closed_connection_did_not_take_is_no_reuse() {
    let (give, mut given) = mpsc::unbounded_channel();
    let counted = Arc::<Counted>::default();
    let network = HttpNetwork::new(Memory::new(move |stream| {
        give.send(stream).unwrap();
        async { Ok(()) }
    }));
    let mut serve = async || {
        let mut stream = given.recv().await.unwrap();
        read_request(&mut stream).await.unwrap();
        stream.write_all(ANSWER).await.unwrap();
        stream
    };
    let (turn, stream) = tokio::join!(counted.turn(&network), serve());
    turn.unwrap();
    settle().await;
    // The task of the connection notices the end only after the request was queued.
    drop(stream);
    let (turn, _stream) = tokio::join!(counted.turn(&network), serve());
    turn.unwrap();
    counted.assert([("opened", 2), ("idle_closed", 1)]);
}
