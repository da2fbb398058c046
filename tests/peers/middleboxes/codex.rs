//! The Codex CLI on the same way.

use std::time::{Duration, Instant};

use responses_client::{Transport, testing::RequestLog};
use tokio::time::timeout;

use super::{case::Ends, run::Way};
use crate::{
    codex::config,
    peer::{Folder, Group, installed, program},
};

/// Outcome of a turn of Codex.
#[derive(Debug)]
pub(super) struct Codex {
    /// Transport of its answer; `None` if it got none.
    transport: Option<Transport>,
    /// Time from its start to its end.
    time: Duration,
    /// `true` if it was stopped.
    stopped: bool,
}

pub(super) async fn run(way: &Way, text: &str, limit: Duration) -> Codex {
    let home = Folder::new();
    home.write("config.toml", &config(&way.base_url, Transport::WebSocket));
    let mut codex = program(installed("node_modules/.bin/codex"), &home);
    codex.env("CODEX_HOME", home.path()).env("ORACLE_KEY", "sk-test");
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"] {
        codex.env_remove(name);
    }
    if let Some(proxy) = &way.proxy {
        let names: &[&str] = match proxy.starts_with("socks") {
            true => &["ALL_PROXY"],
            false => &["HTTP_PROXY", "HTTPS_PROXY"],
        };
        codex.envs(names.iter().map(|name| (name, proxy)));
    }
    if !way.roots.is_empty() {
        codex.env("SSL_CERT_FILE", home.write("roots.pem", &way.roots));
    }
    codex
        .args(["exec", "--skip-git-repo-check", "--json"])
        .args(["--dangerously-bypass-approvals-and-sandbox", text])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    let requests = || way.server.as_ref().map_or_else(Vec::new, |server| server.log().requests);
    let before = requests().len();
    let began = Instant::now();
    let mut process = Group::spawn(&mut codex);
    let ended = timeout(limit, process.process.wait()).await;
    let time = began.elapsed();
    let succeeded = ended.as_ref().is_ok_and(|status| status.as_ref().unwrap().success());
    let is_turn = |seen: &&RequestLog| seen.body["generate"] != false;
    let requests = requests();
    let last = requests.iter().skip(before).rfind(is_turn);
    let transport = last.filter(|_| succeeded).map(|last| last.transport);
    Codex { transport, time, stopped: ended.is_err() }
}

impl Codex {
    /// Asserts that the crate ends on at least as good a transport, and not later.
    pub(super) fn assert_not_better(
        &self,
        ours: Ends,
        time: Duration,
        context: &impl Fn() -> String,
    ) {
        let rank = |transport| match transport {
            Some(Transport::WebSocket) => 2,
            Some(_) => 1,
            None => 0,
        };
        let ours = match ours {
            Ends::On(transport) => Some(transport),
            Ends::Fails(_) => None,
        };
        assert!(rank(ours) >= rank(self.transport), "{self:?}: {}", context());
        assert!(time <= self.time, "{time:?} against {self:?}: {}", context());
    }

    pub(super) fn ends(&self) -> String {
        match self.transport {
            Some(transport) => transport.as_str().to_owned(),
            None if self.stopped => "no end".to_owned(),
            None => "an error".to_owned(),
        }
    }

    pub(super) fn time(&self) -> String {
        match self.stopped {
            true => format!("over {} s", self.time.as_secs()),
            false => format!("{:.1} s", self.time.as_secs_f64()),
        }
    }
}
