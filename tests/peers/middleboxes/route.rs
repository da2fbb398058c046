//! A client whose only route leads to the box: a request that arrives went through the box.

use std::{net::Ipv4Addr, path::Path, process::Stdio, time::Duration};

use responses_client::{
    Transport,
    testing::{Script, ScriptedServer, Turn},
};
use tokio::process::Command;

use super::{forward, program::Program};
use crate::{
    peer::{Folder, Group, free_address, is_inside, isolated, run, wanted},
    support::tool,
};

/// Address of the box in the network between the box and the client.
const BOX: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

/// Network namespace of the client.
struct ClientNetwork(Group);

impl ClientNetwork {
    async fn new() -> Self {
        let mut command = Command::new("unshare");
        command.args(["-n", "sleep", "300"]).stdout(Stdio::null()).stderr(Stdio::null());
        let network = Self(Group::spawn(&mut command));
        let own = std::fs::read_link("/proc/self/ns/net").unwrap();
        let its = format!("/proc/{}/ns/net", network.id());
        let mut entered = tokio::time::interval(Duration::from_millis(10));
        while std::fs::read_link(Path::new(&its)).unwrap() == own {
            entered.tick().await;
        }
        let id = network.id();
        for line in [
            "ip link add box type veth peer name client".to_owned(),
            format!("ip link set client netns {id}"),
            format!("ip addr add {BOX}/30 dev box"),
            "ip link set box up".to_owned(),
            format!("nsenter -t {id} -n ip addr add 10.77.0.2/30 dev client"),
            format!("nsenter -t {id} -n ip link set client up"),
        ] {
            let mut words = line.split(' ');
            let mut command = Command::new(words.next().unwrap());
            let ended = run(command.args(words)).await;
            assert!(ended.status.success(), "`{line}`: {ended}");
        }
        network
    }

    fn id(&self) -> u32 {
        self.0.process.id().unwrap()
    }

    /// Runs a turn of the tool in the network of the client.
    async fn turn(&self, url: &str, roots: &Path, proxy: Option<&str>) -> tool::Ran {
        let tool = tool::run(url, &["--quiet", "--provider", "compatible"]);
        let tool = tool.as_std();
        let mut command = Command::new("nsenter");
        command
            .args(["-t", &self.id().to_string(), "-n"])
            .arg(tool.get_program())
            .args(tool.get_args())
            .env_clear()
            .env("SSL_CERT_FILE", roots)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command.envs(proxy.map(|proxy| ("ALL_PROXY", proxy)));
        tool::ran(command, &[r#"{"model":"gpt-test","input":"hi"}"#]).await
    }
}

async fn passes(network: &ClientNetwork, scheme: &str, program: Program) {
    let script = Script::new().respond(|_| Turn::text("through"));
    let server = ScriptedServer::start_tls(script).await.unwrap();
    let files = Folder::new();
    let roots = files.write("roots.pem", server.ca_certificate_pem().unwrap());
    let running = program.start(BOX, free_address(Ipv4Addr::LOCALHOST)).await;

    let direct = network.turn(&server.url(), &roots, None).await;
    assert_eq!(direct.turns()[0]["outcome"], "error", "{direct:?}");
    assert!(server.log().connections.is_empty());

    let proxy = format!("{scheme}://{}", running.address);
    let through = network.turn(&server.url(), &roots, Some(&proxy)).await;
    let turn = &through.turns()[0];
    assert_eq!(turn["output_text"], "through", "{through:?}");
    assert_eq!(turn["transport"], Transport::WebSocket.as_str(), "{through:?}");
}

#[tokio::test]
async fn a_client_without_another_route_gets_through_each_proxy() {
    let name = "middleboxes::route::a_client_without_another_route_gets_through_each_proxy";
    if !wanted() || !isolated(name).await {
        return;
    }
    assert!(is_inside(), "there is no network namespace for this test: `unshare` failed");
    let network = ClientNetwork::new().await;
    passes(&network, "http", forward::tinyproxy("")).await;
    passes(&network, "http", forward::squid("http_access allow all")).await;
    passes(&network, "http", forward::privoxy()).await;
    passes(&network, "socks5h", forward::microsocks_open()).await;
    passes(&network, "socks5h", forward::dante("none")).await;
}
