//! The network of the client, whose only route leads to the box: a request that arrives at the
//! server went through the box.

use std::{fs, net::Ipv4Addr, path::Path, process::Stdio, time::Duration};

use tokio::process::Command;

use crate::peer::{Group, run};

/// Address of the box in the network between the box and the client.
pub(super) const BOX: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// Routes of the client.
const ROUTES: &str = "10.77.0.0/30 dev client proto kernel scope link src 10.77.0.2";

/// Network namespace of the client.
pub(super) struct ClientNetwork(Group);

impl ClientNetwork {
    pub(super) async fn new() -> Self {
        let mut command = Command::new("unshare");
        command.args(["-n", "sleep", "300"]).stdout(Stdio::null()).stderr(Stdio::null());
        let network = Self(Group::spawn(&mut command));
        let own = fs::read_link("/proc/self/ns/net").unwrap();
        let its = format!("/proc/{}/ns/net", network.id());
        let mut entered = tokio::time::interval(Duration::from_millis(10));
        while fs::read_link(Path::new(&its)).unwrap() == own {
            entered.tick().await;
        }
        must(Command::new("ip"), "link add box type veth peer name client").await;
        must(Command::new("ip"), &format!("link set client netns {}", network.id())).await;
        must(Command::new("ip"), &format!("addr add {BOX}/30 dev box")).await;
        must(Command::new("ip"), "link set box up").await;
        must(network.command("ip"), "addr add 10.77.0.2/30 dev client").await;
        must(network.command("ip"), "link set client up").await;
        must(network.command("ip"), "link set lo up").await;
        let routes = must(network.command("ip"), "route").await;
        assert_eq!(routes.trim(), ROUTES, "the client has another route");
        network
    }

    /// Returns a command that runs `program` in this network.
    pub(super) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.id().to_string(), "-n"]).arg(program.as_ref());
        command
    }

    fn id(&self) -> u32 {
        self.0.process.id().unwrap()
    }
}

/// Runs a command, which must succeed. Returns its output.
async fn must(mut command: Command, args: &str) -> String {
    let ended = run(command.args(args.split(' '))).await;
    assert!(ended.status.success(), "`{command:?}`: {ended}");
    ended.stdout
}
