//! Real proxies. They are not there on every machine: `RESPONSES_CLIENT_PEERS=1` asks for these
//! tests, and needs `tinyproxy` and `squid`.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use responses_client::{
    ErrorKind, Item, NetworkSettings, Provider, ProxySetting, ResponsesClient,
    testing::{Script, ScriptedServer, Turn},
};

use crate::{
    peer::wanted,
    support::{BOTH, Outcome, only, request, turn},
};

/// A proxy that runs until it is dropped.
struct Proxy {
    process: Child,
    address: SocketAddr,
    folder: PathBuf,
}

impl Proxy {
    /// Starts `program` with `config`; `PORT` is filled in there and in `args`, `DIR` there.
    async fn start(program: &str, args: &[&str], config: &str) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let folder =
            std::env::temp_dir().join(format!("responses-client-{program}-{}", address.port()));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("config");
        let config = config
            .replace("PORT", &address.port().to_string())
            .replace("DIR", &folder.display().to_string());
        fs::write(&file, config).unwrap();
        let args = args.iter().map(|arg| arg.replace("PORT", &address.port().to_string()));
        let process = Command::new(program)
            .args(args)
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        let proxy = Self { process, address, folder };
        // Another process says by nothing else that it is ready.
        let mut ready = tokio::time::interval(Duration::from_millis(50));
        for _ in 0..200 {
            ready.tick().await;
            if tokio::net::TcpStream::connect(address).await.is_ok() {
                return proxy;
            }
        }
        panic!("{program} does not listen");
    }

    async fn tinyproxy(extra: &str) -> Self {
        let config = format!("Port PORT\nListen 127.0.0.1\nTimeout 60\nAllow 127.0.0.1\n{extra}");
        Self::start("tinyproxy", &["-d", "-c"], &config).await
    }

    async fn squid(access: &str) -> Self {
        let config = format!(
            "http_port 127.0.0.1:PORT\n{access}\ncache deny all\ncache_log DIR/cache.log\n\
             access_log none\npid_filename DIR/pid\ncoredump_dir DIR\nshutdown_lifetime 0 seconds\n"
        );
        // Two of one service name would share their memory, and one of them would not start.
        Self::start("squid", &["-N", "-n", "squidPORT", "-f"], &config).await
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
        _ = fs::remove_dir_all(&self.folder);
        // A squid that is killed leaves its shared memory behind.
        for part in ["metadata", "queues", "readers"] {
            _ = fs::remove_file(format!("/dev/shm/squid{}-cf__{part}.shm", self.address.port()));
        }
    }
}

/// Two turns on each transport, through the proxy at `url`.
async fn turns_through(url: &str, login: &str) -> Vec<(ScriptedServer, Vec<Outcome>)> {
    let mut all = Vec::new();
    for transport in BOTH {
        let script = Script::new().turns([Turn::text("one"), Turn::text("two")]);
        let server = ScriptedServer::start_tls(script).await.unwrap();
        let network = NetworkSettings::new()
            .root_certificates_pem(server.ca_certificate_pem().unwrap())
            .proxy(ProxySetting::Url(format!("http://{login}{url}")));
        let client = ResponsesClient::builder()
            .provider(Provider::compatible(&server.url()).unwrap())
            .transport(only(transport))
            .network(network)
            .build()
            .unwrap();
        let mut session = client.session();
        let mut request = request(&["hi"]);
        let first = turn(&mut session, &request).await;
        if let Ok(response) = &first.result {
            request.input.extend(response.output_items());
        }
        request.input.push(Item::user("more"));
        let second = turn(&mut session, &request).await;
        all.push((server, vec![first, second]));
    }
    all
}

async fn assert_goes_through(proxy: &Proxy, login: &str) {
    for (server, outcomes) in turns_through(&proxy.address.to_string(), login).await {
        let texts: Vec<_> = outcomes.iter().map(|it| it.response().output_text()).collect();
        assert_eq!(texts, ["one", "two"]);
        assert_eq!(server.log().connections.len(), 1);
    }
}

async fn assert_refused(proxy: &Proxy, kind: ErrorKind) {
    for (server, outcomes) in turns_through(&proxy.address.to_string(), "").await {
        assert_eq!(outcomes[0].error().kind(), kind);
        assert!(server.log().connections.is_empty());
    }
}

#[tokio::test]
async fn tinyproxy_lets_both_transports_through() {
    if wanted() {
        assert_goes_through(&Proxy::tinyproxy("").await, "").await;
    }
}

#[tokio::test]
async fn tinyproxy_wants_credentials() {
    if wanted() {
        let proxy = Proxy::tinyproxy("BasicAuth user pass\n").await;
        assert_goes_through(&proxy, "user:pass@").await;
        assert_refused(&proxy, ErrorKind::ProxyAuthentication).await;
    }
}

#[tokio::test]
async fn tinyproxy_refuses_the_port() {
    if wanted() {
        assert_refused(&Proxy::tinyproxy("ConnectPort 443\n").await, ErrorKind::Proxy).await;
    }
}

#[tokio::test]
async fn squid_lets_both_transports_through() {
    if wanted() {
        assert_goes_through(&Proxy::squid("http_access allow all").await, "").await;
    }
}

#[tokio::test]
async fn squid_refuses_connect() {
    if wanted() {
        let access = "acl tunnel method CONNECT\nhttp_access deny tunnel\nhttp_access allow all";
        assert_refused(&Proxy::squid(access).await, ErrorKind::Proxy).await;
    }
}
