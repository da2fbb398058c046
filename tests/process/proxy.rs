//! Proxy settings as they are spelled: the proxy is used as written, or the client is not built.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::{StreamExt as _, stream};
use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};
use responses_client::{
    Auth, ErrorKind, NetworkSettings, Provider, ProxySetting, ResponsesClient, Transport,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpListener,
};

const HI: &str = r#"{"model":"m","store":false,"input":"hi"}"#;

/// A listener that keeps the head of each request and refuses it.
struct Recorder {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Recorder {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&heads);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let log = Arc::clone(&log);
                tokio::spawn(async move {
                    let mut stream = BufReader::new(stream);
                    let mut head = String::new();
                    while !head.ends_with("\r\n\r\n") {
                        if !matches!(stream.read_line(&mut head).await, Ok(1..)) {
                            break;
                        }
                    }
                    log.lock().unwrap().push(head);
                    let refusal = b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n";
                    _ = stream.write_all(refusal).await;
                });
            }
        });
        Self { address, heads }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

/// The target of a request to a proxy, and what authorizes it.
fn asked(head: &str) -> (&str, Option<&str>) {
    let header = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("proxy-authorization").then_some(value)
    });
    (head.split(' ').nth(1).unwrap(), header)
}

fn basic(login: &str) -> String {
    format!("Basic {}", STANDARD.encode(login))
}

/// What becomes of a spelling.
enum Wanted {
    /// The proxy is used, with these credentials.
    Used(Option<&'static str>),
    /// The client is not built.
    Refused,
}

use Wanted::{Refused, Used};

use crate::support::{
    BOTH, guarded, only, request,
    tool::{ran, run},
    turn,
};

/// `ADDRESS` stands for host and port of the proxy, `PORT` for its port.
const SPELLINGS: [(&str, Wanted); 54] = [
    ("http://ADDRESS", Used(None)),
    ("http://ADDRESS/", Used(None)),
    ("HTTP://ADDRESS", Used(None)),
    ("Http://ADDRESS", Used(None)),
    ("ADDRESS", Used(None)),
    ("ADDRESS/", Used(None)),
    ("localhost:PORT", Used(None)),
    ("http://LOCALHOST:PORT", Used(None)),
    ("http://user:pass@ADDRESS", Used(Some("user:pass"))),
    ("user:pass@ADDRESS", Used(Some("user:pass"))),
    ("http://user@ADDRESS", Used(Some("user:"))),
    ("http://:pass@ADDRESS", Used(Some(":pass"))),
    ("http://user:@ADDRESS", Used(Some("user:"))),
    ("http://us%40er:p%3Aa%2Fss%20%25@ADDRESS", Used(Some("us@er:p:a/ss %"))),
    ("http://user:p%C3%A4ss@ADDRESS", Used(Some("user:päss"))),
    ("http://user:päss@ADDRESS", Used(Some("user:päss"))),
    (r"http://DOMAIN\user:pass@ADDRESS", Used(Some(r"DOMAIN\user:pass"))),
    (r"DOMAIN\user:pass@ADDRESS", Used(Some(r"DOMAIN\user:pass"))),
    ("http://user:p^w@ADDRESS", Used(Some("user:p^w"))),
    ("http://user:p|w@ADDRESS", Used(Some("user:p|w"))),
    ("http://user:p{w}@ADDRESS", Used(Some("user:p{w}"))),
    ("http://user:p[w]@ADDRESS", Used(Some("user:p[w]"))),
    ("http://user:p<w>@ADDRESS", Used(Some("user:p<w>"))),
    ("http://user:p\"w@ADDRESS", Used(Some("user:p\"w"))),
    ("http://user:p`w@ADDRESS", Used(Some("user:p`w"))),
    ("http://user:p@w@ADDRESS", Used(Some("user:p@w"))),
    ("http://user:p:w@ADDRESS", Used(Some("user:p:w"))),
    ("http://user:100%@ADDRESS", Used(Some("user:100%"))),
    (" http://ADDRESS", Refused),
    ("http://ADDRESS ", Refused),
    ("\thttp://ADDRESS", Refused),
    ("http://ADDRESS\r", Refused),
    ("http://ADDRESS\n", Refused),
    ("http://ADDRESS\r\n", Refused),
    ("ADDRESS\n", Refused),
    ("http://user:p w@ADDRESS", Refused),
    ("http://user:p/w@ADDRESS", Refused),
    ("http://user:1#w@ADDRESS", Refused),
    ("http:/ADDRESS", Refused),
    ("http:ADDRESS", Refused),
    (r"http:\\ADDRESS", Refused),
    (r"http:\\user:pass@ADDRESS", Refused),
    (r"\\ADDRESS", Refused),
    ("//ADDRESS", Refused),
    ("http:///ADDRESS", Refused),
    ("\"http://ADDRESS\"", Refused),
    ("htp://ADDRESS", Refused),
    ("http://ADDRESS/proxy.pac", Refused),
    ("http://ADDRESS,http://ADDRESS", Refused),
    ("http://münchen.invalid:PORT", Refused),
    ("http://１２７.0.0.1:PORT", Refused),
    ("http://127.1:PORT", Refused),
    ("http://127.0.0.1:", Refused),
    (" ", Refused),
];

/// One run of the tool in an environment of its own.
async fn spelled(
    transport: Transport,
    scheme: &str,
    variable: &str,
    spelling: &str,
    wanted: &Wanted,
) {
    let (proxy, target) = (Recorder::start().await, Recorder::start().await);
    let value = spelling
        .replace("ADDRESS", &proxy.address.to_string())
        .replace("PORT", &proxy.address.port().to_string());
    let url = format!("{scheme}://{}/v1", target.address);
    let mut command = run(&url, &["--transport", transport.as_str(), "--quiet"]);
    command.env(variable, &value);
    let ran = ran(command, &[HI]).await;
    let place = format!("{variable}={value:?} over {transport}: {ran:?}");
    assert_eq!(target.heads(), [""; 0], "it left directly: {place}");
    let heads = proxy.heads();
    match wanted {
        Used(login) => {
            let [head] = &heads[..] else { panic!("{place}") };
            let (to, authorization) = asked(head);
            assert!(to.contains(&target.address.to_string()), "{place}");
            assert_eq!(authorization, login.map(basic).as_deref(), "{place}");
            assert_eq!((ran.code, ran.turns().len()), (Some(1), 1), "{place}");
        }
        Refused => {
            assert_eq!((ran.code, heads.len()), (Some(2), 0), "{place}");
            assert!(ran.stderr.contains(&format!("{variable} has ")), "{place}");
            let secrets =
                [value.trim(), &proxy.address.to_string(), "p w", "p/w", "1#w", "münchen"];
            let mut shown = secrets.iter().filter(|it| !it.is_empty());
            assert!(shown.all(|it| !ran.stderr.contains(it)), "{place}");
        }
    }
}

#[tokio::test]
async fn c171_no_spelling_of_a_variable_leads_to_a_direct_connection() {
    let targets = [("https", "HTTPS_PROXY"), ("http", "HTTP_PROXY"), ("https", "ALL_PROXY")];
    let runs = SPELLINGS.iter().flat_map(|spelling| {
        let runs = BOTH.into_iter().flat_map(move |transport| {
            targets.map(move |(scheme, variable)| (transport, scheme, variable))
        });
        runs.map(move |(transport, scheme, variable)| {
            spelled(transport, scheme, variable, spelling.0, &spelling.1)
        })
    });
    stream::iter(runs).buffer_unordered(8).collect::<Vec<()>>().await;
}

fn through(
    url: String,
    target: SocketAddr,
    transport: Transport,
) -> Result<ResponsesClient, String> {
    ResponsesClient::builder()
        .provider(Provider::compatible(&format!("https://{target}/v1")).unwrap())
        .auth(Auth::bearer("canary"))
        .transport(only(transport))
        .network(NetworkSettings::new().proxy(ProxySetting::Url(url)))
        .build()
        .map_err(|error| {
            assert_eq!(error.kind(), ErrorKind::InvalidConfig);
            error.config_error().unwrap().to_string()
        })
}

#[tokio::test]
async fn c171_a_proxy_url_is_used_as_written_or_an_error() {
    let text =
        || prop_oneof!["[ -~]{0,6}", "\\PC{0,6}", "[a-z\\\\^|{<\"%@:/]{0,6}", any::<String>()];
    let mut runner = TestRunner::deterministic();
    let (mut used, mut refused) = (0, 0);
    for case in 0..300 {
        let transport = BOTH[case % 2];
        let (user, password) = (text(), text()).new_tree(&mut runner).unwrap().current();
        let (proxy, target) = (Recorder::start().await, Recorder::start().await);
        let url = format!("http://{user}:{password}@{}", proxy.address);
        match through(url.clone(), target.address, transport) {
            Ok(client) => {
                used += 1;
                let outcome = guarded(turn(&mut client.session(), &request(&["hi"]))).await;
                assert_eq!(outcome.error().kind(), ErrorKind::Proxy, "{url:?}");
                let heads = proxy.heads();
                let [head] = &heads[..] else { panic!("{url:?}: {heads:?}") };
                let (to, authorization) = asked(head);
                assert_eq!(to, target.address.to_string());
                let decode = |text: &str| {
                    percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned()
                };
                // A raw colon ends the user name.
                let login = format!("{user}:{password}");
                let (user, password) = login.split_once(':').unwrap();
                let login = format!("{}:{}", decode(user), decode(password));
                assert_eq!(authorization, Some(&*basic(&login)), "{url:?}");
            }
            Err(why) => {
                refused += 1;
                assert!(why.contains("the proxy URL has "), "{url:?}: {why}");
                assert_eq!(proxy.heads(), [""; 0]);
            }
        }
        assert_eq!(target.heads(), [""; 0], "{url:?}");
    }
    assert!(used > 50 && refused > 50, "{used} and {refused}");
}

#[cfg(feature = "socks")]
#[tokio::test]
async fn c171_a_socks_proxy_gets_the_credentials_as_written() {
    use tokio::io::AsyncReadExt as _;

    for transport in BOTH {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let proxy = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut hello = [0; 4];
            stream.read_exact(&mut hello).await.unwrap();
            assert_eq!(hello, [5, 2, 0, 2], "two methods: none, and user name and password");
            stream.write_all(&[5, 2]).await.unwrap();
            let mut fields = Vec::new();
            assert_eq!(stream.read_u8().await.unwrap(), 1);
            for _ in 0..2 {
                let mut field = vec![0; stream.read_u8().await.unwrap().into()];
                stream.read_exact(&mut field).await.unwrap();
                fields.push(String::from_utf8(field).unwrap());
            }
            // Refused: failure of the authentication.
            stream.write_all(&[1, 1]).await.unwrap();
            fields
        });
        let target = Recorder::start().await;
        let url = format!(r"socks5h://DOM\us%3Aer:p^w%25é@{address}");
        let client = through(url, target.address, transport).unwrap();
        let mut session = client.session();
        let request = request(&["hi"]);
        let (fields, outcome) = tokio::join!(proxy, turn(&mut session, &request));
        assert_eq!(outcome.error().kind(), ErrorKind::ProxyAuthentication);
        assert_eq!(fields.unwrap(), [r"DOM\us:er", "p^w%é"]);
        assert_eq!(target.heads(), [""; 0]);
    }
}
