//! The tool and the Codex CLI side by side, with the same settings.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use responses_client::{Transport, testing::RequestLog};
use serde_json::Value;
use tokio::time::timeout;

use super::{
    case::{Case, Ends},
    network::ClientNetwork,
    way::Way,
};
use crate::{
    codex,
    peer::{self, Group, installed},
    support::BOTH,
};

/// Time after which Codex is stopped, at least.
const LIMIT: Duration = Duration::from_secs(20);
/// Difference that the start of two processes on a busy machine may make.
const NOISE: Duration = Duration::from_secs(1);
/// Model of the turn of the tool, which tells it from that of Codex.
pub(super) const MODEL: &str = "gpt-tool";

/// Outcomes of a turn of the tool and of a turn of Codex, which ran at the same time.
#[derive(Debug)]
pub(super) struct Beside {
    pub(super) ours: Ran,
    pub(super) codex: Ran,
}

/// Outcome of a turn of a program.
#[derive(Debug)]
pub(super) struct Ran {
    /// Transport of its answer; `None` if it got none.
    transport: Option<Transport>,
    /// Time from the start of the program to its end.
    time: Duration,
    /// `true` if the program was stopped.
    stopped: bool,
}

/// Runs both, and asserts that the crate ends on at least as good a transport, and not later.
pub(super) async fn run(way: &Way, network: &ClientNetwork, case: &Case) -> Beside {
    let (ours, codex) = tokio::join!(tool(way, network, case), codex(way, network, case));
    let beside = Beside { ours, codex };
    let Beside { ours, codex } = &beside;
    let expected = match case.ends {
        Ends::On(transport) => Some(transport),
        Ends::Fails(_) => None,
    };
    assert_eq!(ours.transport, expected, "{}: {beside:?}", case.setup);
    assert!(ours.rank() >= codex.rank(), "{}: {beside:?}", case.setup);
    assert!(ours.time <= codex.time + NOISE, "{}: {beside:?}", case.setup);
    beside
}

async fn tool(way: &Way, network: &ClientNetwork, case: &Case) -> Ran {
    let mut tool = way.tool(network, case, "run");
    tool.args(["--model", MODEL, case.text]);
    let began = Instant::now();
    let ended = peer::run(&mut tool).await;
    let time = began.elapsed();
    let last = ended.stdout.lines().last().unwrap_or_default();
    let turn: Value = serde_json::from_str(last).unwrap_or_else(|_| panic!("{ended}"));
    let name = turn["transport"].as_str().filter(|_| turn["outcome"] == "completed");
    let transport = BOTH.into_iter().find(|it| name == Some(it.as_str()));
    assert_eq!(transport.is_some(), ended.status.success(), "{ended}");
    Ran { transport, time, stopped: false }
}

async fn codex(way: &Way, network: &ClientNetwork, case: &Case) -> Ran {
    let mut codex = way.program(network, installed("node_modules/.bin/codex"));
    codex
        .args(["exec", "--skip-git-repo-check", "--json"])
        .args(["--dangerously-bypass-approvals-and-sandbox", case.text])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let requests = || way.server.as_ref().map_or_else(Vec::new, |server| server.log().requests);
    let before = requests().len();
    let began = Instant::now();
    let mut process = Group::spawn(&mut codex);
    let ended = timeout(LIMIT.max(case.within), process.process.wait()).await;
    let time = began.elapsed();
    let succeeded = ended.as_ref().is_ok_and(|status| status.as_ref().unwrap().success());
    let is_turn =
        |seen: &&RequestLog| seen.body["model"] == codex::MODEL && seen.body["generate"] != false;
    let requests = requests();
    let last = requests.iter().skip(before).rfind(is_turn);
    let transport = last.filter(|_| succeeded).map(|last| last.transport);
    Ran { transport, time, stopped: ended.is_err() }
}

impl Ran {
    fn rank(&self) -> u32 {
        match self.transport {
            Some(Transport::WebSocket) => 2,
            Some(_) => 1,
            None => 0,
        }
    }

    pub(super) fn ends(&self) -> &'static str {
        match self.transport {
            Some(transport) => transport.as_str(),
            None if self.stopped => "no end",
            None => "an error",
        }
    }

    pub(super) fn time(&self) -> String {
        match self.stopped {
            true => format!("over {} s", self.time.as_secs()),
            false => in_words(self.time),
        }
    }
}

/// Returns a time for the table.
pub(super) fn in_words(time: Duration) -> String {
    match time {
        long if long.as_secs() > 0 => format!("{:.1} s", long.as_secs_f64()),
        short => format!("{} ms", short.as_millis()),
    }
}
