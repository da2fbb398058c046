use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{StreamExt, future::join_all};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

/// Opens connections to a server that answers each request, and counts them.
#[derive(Clone, Default)]
struct Counting(Arc<AtomicUsize>);

impl Dial for Counting {
    fn open(
        &self,
        _: &Uri,
        _: bool,
        _: Option<Instant>,
    ) -> BoxFuture<'static, Result<Opened, NetError>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        let (client, mut server) = tokio::io::duplex(4096);
        tokio::spawn(async move {
            let mut head = Vec::new();
            while let Ok(byte) = server.read_u8().await {
                head.push(byte);
                if head.ends_with(b"\r\n\r\n") {
                    head.clear();
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";
                    server.write_all(answer).await.unwrap();
                }
            }
        });
        async { Ok(Opened { io: Box::new(client), form: Form::Origin }) }.boxed()
    }

    fn peer(&self, uri: &Uri) -> Peer {
        Peer::new(uri, None)
    }
}

#[tokio::test(start_paused = true)]
async fn at_most_256_connections_are_kept() {
    let dial = Counting::default();
    let network = HttpNetwork::new(dial.clone());
    let send = async |_| {
        let request = Request::get("http://a.invalid/").body(Bytes::new()).unwrap();
        let Content::Body(body) = network.send(request).await.unwrap().content else { panic!() };
        body
    };
    for opened in [260, 264] {
        // All are in use at the same time.
        let bodies = join_all((0..260).map(send)).await;
        join_all(bodies.into_iter().map(StreamExt::count)).await;
        assert_eq!(dial.0.load(Ordering::Relaxed), opened);
    }
}
