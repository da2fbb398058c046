//! Tunnels through SOCKS proxies: each reply, and how long a fault is waited for.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use responses_client::{
    Delivery, ErrorKind, NetworkSettings, Provider, ProxySetting, ResponsesClient, RetryPolicy,
    Timeouts, TransportPolicy,
    error::{ConnectError, ConnectStep, ProxyAnswer, ProxyError},
    testing::{Script, Turn},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::support::{BOTH, Outcome, guarded, only, request, server, tried, turn};

/// What a SOCKS proxy does.
#[derive(Clone, Copy, Debug)]
enum Proxy {
    /// Chooses this method, and closes.
    Method(u8),
    /// Refuses the login that it asked for.
    Login,
    /// Answers the request with this code.
    Reply(u8),
    /// The same with SOCKS4.
    Reply4(u8),
    /// Sends a line of HTTP.
    Http,
    Cut,
    Hang,
    /// Opens the tunnel, at the first try or later.
    Pass {
        after: usize,
    },
    Pass4,
}

/// A running proxy, and the targets that it was asked for.
struct Running {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    async fn start(self) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(self.serve(stream, Arc::clone(&log)));
            }
        });
        Running { address, asked }
    }

    async fn serve(self, mut stream: TcpStream, log: Arc<Mutex<Vec<String>>>) -> io::Result<()> {
        if let Self::Reply4(_) | Self::Pass4 = self {
            return self.serve4(stream, log).await;
        }
        let methods = stream.read_u16().await? & 0xff;
        stream.read_exact(&mut vec![0; methods.into()]).await?;
        match self {
            Self::Method(method) => return stream.write_all(&[5, method]).await,
            Self::Http => return stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await,
            Self::Cut => return Ok(()),
            Self::Hang => return std::future::pending().await,
            Self::Login => {
                stream.write_all(&[5, 2]).await?;
                let mut login = [0; 64];
                stream.read(&mut login).await?;
                return stream.write_all(&[1, 1]).await;
            }
            _ => stream.write_all(&[5, 0]).await?,
        }
        let mut head = [0; 4];
        stream.read_exact(&mut head).await?;
        let host = match head[3] {
            1 => {
                let mut host = [0; 4];
                stream.read_exact(&mut host).await?;
                std::net::IpAddr::from(host).to_string()
            }
            _ => {
                let mut host = vec![0; stream.read_u8().await?.into()];
                stream.read_exact(&mut host).await?;
                String::from_utf8(host).unwrap()
            }
        };
        let target = format!("{host}:{}", stream.read_u16().await?);
        let number = {
            let mut log = log.lock().unwrap();
            log.push(target.clone());
            log.len() - 1
        };
        match self {
            Self::Pass { after } if number >= after => {
                let mut upstream = TcpStream::connect(&target).await?;
                stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
                tokio::io::copy_bidirectional(&mut stream, &mut upstream).await.map(drop)
            }
            Self::Reply(code) => stream.write_all(&[5, code, 0, 1, 0, 0, 0, 0, 0, 0]).await,
            // Connection refused.
            _ => stream.write_all(&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0]).await,
        }
    }

    async fn serve4(self, mut stream: TcpStream, log: Arc<Mutex<Vec<String>>>) -> io::Result<()> {
        assert_eq!(stream.read_u16().await?, 0x0401);
        let (port, address) = (stream.read_u16().await?, stream.read_u32().await?);
        assert_eq!(stream.read_u8().await?, 0, "no user");
        let mut host = std::net::Ipv4Addr::from(address).to_string();
        if host == "0.0.0.1" {
            host.clear();
            loop {
                match stream.read_u8().await? {
                    0 => break,
                    byte => host.push(byte.into()),
                }
            }
        }
        let target = format!("{host}:{port}");
        log.lock().unwrap().push(target.clone());
        let Self::Reply4(code) = self else {
            let mut upstream = TcpStream::connect(&target).await?;
            stream.write_all(&[0, 90, 0, 0, 0, 0, 0, 0]).await?;
            return tokio::io::copy_bidirectional(&mut stream, &mut upstream).await.map(drop);
        };
        stream.write_all(&[0, code, 0, 0, 0, 0, 0, 0]).await
    }
}

/// One turn through a proxy. Waits for the network are off.
async fn through(proxy: &str, url: &str, policy: TransportPolicy) -> Outcome {
    let (mut timeouts, mut retry) = (Timeouts::default(), RetryPolicy::default());
    timeouts.connect = Some(Duration::from_millis(300));
    retry.unreached_deadline = Some(Duration::ZERO);
    retry.backoff = Duration::from_millis(1);
    let client = ResponsesClient::builder()
        .provider(Provider::compatible(url).unwrap())
        .transport(policy)
        .network(NetworkSettings::new().proxy(ProxySetting::Url(proxy.to_owned())))
        .timeouts(timeouts)
        .retry(retry)
        .build()
        .unwrap();
    guarded(turn(&mut client.session(), &request(&["hi"]))).await
}

fn reason(text: &str) -> ProxyAnswer {
    let mut answer = ProxyAnswer::default();
    answer.reason = Some(text.to_owned());
    answer
}

#[tokio::test]
async fn c178_each_reply_of_a_socks_proxy_is_an_error_of_its_own() {
    use ProxyError::{
        CredentialsRejected, CredentialsRequired, NotAProxy, Refused, ServerUnreachable,
    };
    let none = ProxyAnswer::default;
    let unreached = |why: &str| {
        let text = format!("works, but cannot reach api.invalid:443 ({why})");
        (ServerUnreachable(reason(why)), ErrorKind::Connect, text)
    };
    let denied = |why: &str| {
        let text = format!("does not allow connections to api.invalid:443 ({why})");
        (Refused(reason(why)), ErrorKind::Proxy, text)
    };
    let login = ErrorKind::ProxyAuthentication;
    let required = (CredentialsRequired(none()), login, "requires a user name and a password");
    let rejected = (CredentialsRejected(none()), login, "rejected the user name and the password");
    let (required, rejected) =
        ((required.0, login, required.2.to_owned()), (rejected.0, login, rejected.2.to_owned()));
    let foreign = || {
        let text = "does not answer like a proxy (no SOCKS reply)".to_owned();
        (NotAProxy(reason("no SOCKS reply")), ErrorKind::Proxy, text)
    };
    let (plain, user) = ("socks5h://", "socks5h://user:pass@");
    for (proxy, scheme, (wanted, kind, failure)) in [
        (Proxy::Reply(1), plain, unreached("general failure")),
        (Proxy::Reply(2), plain, denied("not allowed by its rules")),
        (Proxy::Reply(3), plain, unreached("network unreachable")),
        (Proxy::Reply(4), plain, unreached("host unreachable")),
        (Proxy::Reply(5), plain, unreached("connection refused")),
        (Proxy::Reply(6), plain, unreached("TTL expired")),
        (Proxy::Reply(7), plain, denied("not supported")),
        (Proxy::Reply(8), plain, denied("not supported")),
        (Proxy::Reply(9), plain, denied("unknown reply")),
        (Proxy::Reply(0xf0), plain, denied("unknown reply")),
        (Proxy::Method(0xff), plain, required.clone()),
        (Proxy::Method(2), plain, required),
        (Proxy::Method(0xff), user, rejected.clone()),
        (Proxy::Login, user, rejected),
        (Proxy::Http, plain, foreign()),
        (Proxy::Reply4(91), "socks4a://", unreached("general failure")),
        (Proxy::Reply4(92), "socks4a://", denied("identd check failed")),
        (Proxy::Reply4(93), "socks4a://", denied("identd check failed")),
        (Proxy::Reply4(99), "socks4a://", foreign()),
    ] {
        for transport in BOTH {
            let running = proxy.start().await;
            let setting = format!("{scheme}{}", running.address);
            let outcome = through(&setting, "https://api.invalid/v1", only(transport)).await;
            let error = outcome.error();
            let wanted = ConnectError::Proxy(wanted.clone());
            assert_eq!(error.connect_error(), Some(&wanted), "{proxy:?}");
            assert_eq!((error.kind(), error.delivery()), (kind, Delivery::NotSent), "{proxy:?}");
            assert_eq!(outcome.report.attempts.len(), 1, "{proxy:?}");
            let text = error.to_string();
            let begin =
                format!("the proxy {} {failure} (the request was not sent): ", running.address);
            assert!(text.starts_with(&begin), "{text}");
        }
    }
}

#[tokio::test]
async fn c178_a_socks_proxy_that_cuts_is_retried_and_a_silent_one_times_out() {
    for transport in BOTH {
        let running = Proxy::Cut.start().await;
        let setting = format!("socks5h://{}", running.address);
        let outcome = through(&setting, "https://api.invalid/v1", only(transport)).await;
        let error = outcome.error();
        assert_eq!((error.kind(), error.delivery()), (ErrorKind::Proxy, Delivery::NotSent));
        assert_eq!(error.connect_error(), Some(&ConnectError::Lost(ConnectStep::Proxy)));
        assert_eq!(outcome.report.attempts.len(), 4);

        let running = Proxy::Hang.start().await;
        let setting = format!("socks5h://{}", running.address);
        let outcome = through(&setting, "https://api.invalid/v1", only(transport)).await;
        let error = outcome.error();
        assert_eq!((error.kind(), error.delivery()), (ErrorKind::Timeout, Delivery::NotSent));
        assert_eq!(error.connect_error(), Some(&ConnectError::TimedOut(ConnectStep::Proxy)));
        assert_eq!(
            error.to_string(),
            format!(
                "timed out waiting for a tunnel to api.invalid:443 through the proxy {} (the \
                 request was not sent): retry",
                running.address
            )
        );
    }
}

#[tokio::test]
async fn c178_only_a_server_that_is_down_is_waited_for() {
    for transport in BOTH {
        let server = server(Script::new().turn(Turn::text("hi"))).await;
        let running = Proxy::Pass { after: 2 }.start().await;
        let mut retry = RetryPolicy::default();
        (retry.max_attempts, retry.network_down_backoff) = (1, Duration::ZERO);
        let client = ResponsesClient::builder()
            .provider(Provider::compatible(&server.url()).unwrap())
            .transport(only(transport))
            .network(
                NetworkSettings::new()
                    .proxy(ProxySetting::Url(format!("socks5h://{}", running.address))),
            )
            .retry(retry)
            .build()
            .unwrap();
        let outcome = guarded(turn(&mut client.session(), &request(&["hi"]))).await;
        assert_eq!(outcome.response().output_text(), "hi");
        let down = (transport, Some(ErrorKind::Connect));
        assert_eq!(tried(&outcome.report), [down, down, (transport, None)]);
    }
}

#[tokio::test]
async fn c178_each_scheme_resolves_the_name_where_it_says() {
    for (scheme, proxy, by_name) in [
        ("socks5", Proxy::Pass { after: 0 }, false),
        ("socks5h", Proxy::Pass { after: 0 }, true),
        ("socks4", Proxy::Pass4, false),
        ("socks4a", Proxy::Pass4, true),
    ] {
        for transport in BOTH {
            let server = server(Script::new().turn(Turn::text("hi"))).await;
            let running = proxy.start().await;
            let setting = format!("{scheme}://{}", running.address);
            let port = server.url().rsplit(':').next().unwrap().to_owned();
            // The port and the path.
            let url = format!("http://localhost:{port}");
            let outcome = through(&setting, &url, only(transport)).await;
            assert_eq!(outcome.response().output_text(), "hi", "{scheme}");
            let port = port.trim_end_matches("/v1");
            let host = if by_name { "localhost" } else { "127.0.0.1" };
            let asked = running.asked.lock().unwrap().clone();
            assert_eq!(asked, [format!("{host}:{port}")], "{scheme}");
        }
    }
}

#[tokio::test]
async fn c178_a_name_that_is_too_long_is_no_name() {
    let name = "a.".repeat(300);
    for scheme in ["socks5h", "socks4a"] {
        let running = Proxy::Pass { after: 0 }.start().await;
        let setting = format!("{scheme}://{}", running.address);
        let url = format!("http://{name}invalid/v1");
        let outcome = through(&setting, &url, TransportPolicy::SseOnly).await;
        assert_eq!(outcome.error().connect_error(), Some(&ConnectError::NameNotFound));
        assert!(running.asked.lock().unwrap().is_empty());
    }
}
