//! A way to the server: the boxes and the server of a case as they run, and the settings of the
//! clients.

use std::{fs, net::Ipv4Addr, path::Path, process::Stdio, time::Duration};

use responses_client::{
    CodexConfig, Error, NetworkSettings, ProxySetting, ResponsesClient, Transport, TransportPolicy,
    testing::{Exchange, Script, ScriptedServer, Step, Turn},
};
use tokio::process::Command;

use super::{
    case::{Case, Place, Server},
    network::{BOX, ClientNetwork},
    program::Running,
};
use crate::{
    codex,
    peer::{Folder, free_address},
};

/// Text that asks the server to begin an answer, and to be silent for [`THOUGHT`] then.
pub(super) const THINK: &str = "think";
pub(super) const THOUGHT: Duration = Duration::from_millis(4500);
/// Model whose answers over SSE are slow.
pub(super) const SLOW: &str = "gpt-slow";
/// Time between two pieces of a slow answer.
pub(super) const PACE: Duration = Duration::from_millis(200);
pub(super) const PIECES: u32 = 8;

/// Boxes and server of a case, and the settings of its clients.
pub(super) struct Way {
    /// The box that the client connects to is the last one.
    boxes: Vec<Running>,
    pub(super) server: Option<ScriptedServer>,
    /// Folder with the configuration of Codex, which the crate reads too.
    home: Folder,
    proxy: Option<String>,
    /// PEM text; empty if the client trusts only the roots of the platform.
    roots: String,
    /// Address of the server, or of its free port.
    behind: String,
}

/// Answers as the API does: an empty request is an error.
fn answer(exchange: &Exchange) -> Turn {
    let last = exchange.history.last().map(ToString::to_string).unwrap_or_default();
    match exchange.body["model"].as_str() {
        None => Turn::error(400, "missing_required_parameter", "Missing parameter: 'model'."),
        Some(SLOW) if exchange.transport == Transport::Sse => {
            Turn::text("word".repeat(PIECES as usize)).paced(PACE)
        }
        Some(_) if last.contains(THINK) => Turn::text("hi").insert(1, Step::Delay(THOUGHT)),
        Some(_) => Turn::text("hi"),
    }
}

impl Way {
    pub(super) async fn open(case: &Case) -> Self {
        let script = Script::new().respond(answer);
        let server = match case.server {
            Server::Tls => Some(ScriptedServer::start_tls(script).await.unwrap()),
            Server::Plain => Some(ScriptedServer::start(script).await.unwrap()),
            Server::Down => None,
        };
        let ca = server.as_ref().and_then(ScriptedServer::ca_certificate_pem);
        let address = server.as_ref().and_then(ScriptedServer::address);
        let address = address.unwrap_or_else(|| free_address(Ipv4Addr::LOCALHOST));
        assert!(address.ip().is_loopback(), "the client may reach {address} without a box");
        let mut boxes = Vec::<Running>::new();
        for (index, program) in case.boxes.iter().enumerate() {
            let behind = boxes.last().map_or(address, |it| it.address);
            let program = match ca {
                Some(ca) => program.clone().file("server-ca.pem", ca),
                None => program.clone(),
            };
            let is_front = index + 1 == case.boxes.len();
            let host = if is_front { BOX } else { Ipv4Addr::LOCALHOST };
            boxes.push(program.start(host, behind).await);
        }
        let front = boxes.last().unwrap();
        let mut roots = ca.unwrap_or_default().to_owned();
        for name in &case.trusted {
            roots += &fs::read_to_string(front.folder.path().join(name)).unwrap();
        }
        let (base_url, proxy) = match case.place {
            Place::Server { scheme } => (format!("{scheme}://{}/v1", front.address), None),
            Place::Proxy { scheme, login } => {
                let https = if case.server == Server::Plain { "http" } else { "https" };
                let proxy = format!("{scheme}://{login}{}", front.address);
                (format!("{https}://{address}/v1"), Some(proxy))
            }
        };
        let home = Folder::new();
        let config = codex::config_with_key(&base_url, Transport::WebSocket, case.key);
        home.write("config.toml", &config);
        home.write("roots.pem", &roots);
        Self { boxes, server, home, proxy, roots, behind: address.to_string() }
    }

    /// Returns a client with the settings of the way and of the case.
    pub(super) fn client(&self, case: &Case, transport: TransportPolicy) -> ResponsesClient {
        let path = self.home.path().join("config.toml");
        let mut config = CodexConfig::read(path, codex::PROVIDER).unwrap();
        assert_eq!(config.warnings, [""; 0]);
        let mut network = NetworkSettings::new().proxy(match &self.proxy {
            Some(url) => ProxySetting::Url(url.clone()),
            None => ProxySetting::Direct,
        });
        if !self.roots.is_empty() {
            network = network.root_certificates_pem(self.roots.as_str());
        }
        if case.key.is_some() {
            config.provider = config.provider.allow_credentials_over_http();
        }
        if let Some(ping) = case.ping {
            config.timeouts = config.timeouts.ping(ping);
        }
        config.into_builder().network(network).transport(transport).build().unwrap()
    }

    /// Returns a program in the network of the client, with the settings of the way.
    pub(super) fn program(&self, network: &ClientNetwork, path: impl AsRef<Path>) -> Command {
        let mut command = network.command(path);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .env("CODEX_HOME", self.home.path())
            .current_dir(self.home.path())
            .stdin(Stdio::null());
        if let Some(proxy) = &self.proxy {
            let names: &[&str] = match proxy.starts_with("socks") {
                true => &["ALL_PROXY"],
                false => &["HTTP_PROXY", "HTTPS_PROXY"],
            };
            command.envs(names.iter().map(|name| (name, proxy)));
        }
        if !self.roots.is_empty() {
            command.env("SSL_CERT_FILE", self.home.path().join("roots.pem"));
        }
        command
    }

    /// Returns the tool in the network of the client, with the settings of the way and of the case.
    pub(super) fn tool(&self, network: &ClientNetwork, case: &Case, name: &str) -> Command {
        let mut tool = self.program(network, env!("CARGO_BIN_EXE_responses"));
        tool.args([name, "--json", "--codex-provider", codex::PROVIDER]);
        if case.key.is_some() {
            tool.arg("--allow-http-credentials");
        }
        if let Some(ping) = case.ping {
            tool.args(["--ping", &ping.as_secs_f64().to_string()]);
        }
        tool
    }

    /// Returns the text of an error, with names for the addresses.
    pub(super) fn error(&self, error: &Error) -> String {
        let text = format!("{}: {}", error.kind(), error.summary());
        let front = self.boxes.last().unwrap().address.to_string();
        text.replace(&front, "BOX").replace(&self.behind, "SERVER").replace('|', "\\|")
    }
}
