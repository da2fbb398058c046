//! Raw servers, proxies and gateways, on loopback.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpSocket, TcpStream},
};

/// Returns an address on which nothing listens.
pub(super) async fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// Serves each connection with `serve`. Returns the address.
pub(super) async fn listen<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

/// A listener whose queue is full: it neither accepts nor refuses connections.
pub(super) struct BlackHole {
    pub(super) address: SocketAddr,
    _listener: TcpListener,
    _queue: Vec<TcpStream>,
}

impl BlackHole {
    /// Returns `None` if this machine refuses connections to a full queue.
    pub(super) async fn start() -> Option<Self> {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queue = Vec::new();
        for _ in 0..16 {
            let connected = TcpStream::connect(address);
            match tokio::time::timeout(Duration::from_millis(300), connected).await {
                Ok(Ok(stream)) => queue.push(stream),
                Ok(Err(_)) => return None,
                Err(_) => return Some(Self { address, _listener: listener, _queue: queue }),
            }
        }
        None
    }
}

/// Reads the head of a request, or what arrives in place of one.
pub(super) async fn head(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    loop {
        if stream.read_buf(&mut head).await? == 0 || head.windows(4).any(|it| it == b"\r\n\r\n") {
            return Ok(head);
        }
        // A client that speaks TLS waits for an answer to its first message.
        if head.first() == Some(&0x16) {
            return Ok(head);
        }
    }
}

/// A proxy or a web server that gives each request this answer. Returns its address.
pub(super) async fn answering(answer: &str) -> SocketAddr {
    let answer: Arc<str> = answer.into();
    listen(move |mut stream| {
        let answer = Arc::clone(&answer);
        async move {
            head(&mut stream).await?;
            stream.write_all(answer.as_bytes()).await?;
            stream.shutdown().await?;
            // A connection that is closed with bytes unread loses the answer.
            tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.map(drop)
        }
    })
    .await
}

/// A SOCKS proxy that sends these replies, each after a message. Returns its address.
pub(super) async fn socks(replies: &'static [&'static [u8]]) -> SocketAddr {
    listen(move |mut stream| async move {
        for reply in replies {
            stream.read_buf(&mut Vec::with_capacity(512)).await?;
            stream.write_all(reply).await?;
        }
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.map(drop)
    })
    .await
}

/// A server that ends each connection after the first message. Returns its address.
pub(super) async fn cutting() -> SocketAddr {
    listen(|mut stream| async move { head(&mut stream).await.map(drop) }).await
}

/// A server that accepts connections and never answers. Returns its address.
pub(super) async fn silent() -> SocketAddr {
    listen(|mut stream| async move {
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.map(drop)
    })
    .await
}

/// A proxy that opens tunnels. Returns its address.
pub(super) async fn tunneling() -> SocketAddr {
    listen(|mut stream| async move {
        let head = head(&mut stream).await?;
        let mut server = TcpStream::connect(target(&head)).await?;
        stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
        copy_bidirectional(&mut stream, &mut server).await.map(drop)
    })
    .await
}

/// A proxy that sends requests of plain http on, and answers CONNECT with this, or never. Returns its
/// address.
pub(super) async fn forwarding(to_connect: Option<&'static str>) -> SocketAddr {
    listen(move |mut stream| async move {
        let head = head(&mut stream).await?;
        if head.starts_with(b"CONNECT ") {
            return match to_connect {
                Some(answer) => stream.write_all(answer.as_bytes()).await,
                None => tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.map(drop),
            };
        }
        let mut server = TcpStream::connect(target(&head)).await?;
        server.write_all(&head).await?;
        copy_bidirectional(&mut stream, &mut server).await.map(drop)
    })
    .await
}

/// Returns host and port of the target of a request to a proxy.
fn target(head: &[u8]) -> String {
    let head = String::from_utf8_lossy(head);
    let target = head.split(' ').nth(1).unwrap_or_default();
    let target = target.trim_start_matches("http://");
    target.split('/').next().unwrap_or_default().to_owned()
}

/// A gateway in front of `server` that collects each answer over SSE before it sends it on. Returns
/// its address.
pub(super) async fn collecting(server: SocketAddr) -> SocketAddr {
    listen(move |mut client| async move {
        let head = head(&mut client).await?;
        let mut server = TcpStream::connect(server).await?;
        server.write_all(&head).await?;
        if String::from_utf8_lossy(&head).to_ascii_lowercase().contains("upgrade: websocket") {
            return copy_bidirectional(&mut client, &mut server).await.map(drop);
        }
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = server.split();
        let request = tokio::io::copy(&mut from_client, &mut to_server);
        let answer = async {
            let mut answer = Vec::new();
            // The last chunk of a body is empty.
            while !answer.ends_with(b"\r\n0\r\n\r\n")
                && from_server.read_buf(&mut answer).await? > 0
            {}
            to_client.write_all(&answer).await?;
            to_client.shutdown().await
        };
        tokio::select! {
            ended = answer => ended,
            ended = async { request.await?; std::future::pending().await } => ended,
        }
    })
    .await
}

/// A gateway in front of `server` that cuts a connection on which nothing moved for this time.
/// Returns its address.
pub(super) async fn cutting_idle(server: SocketAddr, limit: Duration) -> SocketAddr {
    listen(move |client| async move {
        let server = TcpStream::connect(server).await?;
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
        loop {
            tokio::select! {
                read = from_client.read(&mut up) => match read? {
                    0 => return Ok(()),
                    read => to_server.write_all(up.get(..read).unwrap_or_default()).await?,
                },
                read = from_server.read(&mut down) => match read? {
                    0 => return Ok(()),
                    read => to_client.write_all(down.get(..read).unwrap_or_default()).await?,
                },
                () = tokio::time::sleep(limit) => return Ok(()),
            }
        }
    })
    .await
}
