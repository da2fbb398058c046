//! The doctor on the same way.

use responses_client::Transport;
use serde_json::Value;

use super::{
    case::{Case, Ends},
    network::ClientNetwork,
    run::{HELD_BACK, OPENED_AGAIN, STREAMED, Seen},
    way::{SLOW, Way},
};
use crate::peer;

/// Notes about the setup of these tests.
const SETUP: [&str; 2] = ["ca_variables", "localhost_through_proxy"];

/// Output of the doctor.
#[derive(Debug)]
pub(super) struct Verdict {
    /// Exit status.
    status: i32,
    /// Ids of the findings that are not `ok`, without those in [`SETUP`], each once.
    ids: Vec<String>,
    /// Transport that works.
    transport: Option<String>,
    /// Flags for the tool.
    flags: Vec<String>,
    output: String,
}

/// Runs the doctor, with a slow answer, and with an idle WebSocket if the case has one.
pub(super) async fn run(way: &Way, network: &ClientNetwork, case: &Case) -> Verdict {
    let mut doctor = way.tool(network, case, "doctor");
    doctor.args(["--model", SLOW]);
    let idle = case.longest_silence();
    if !idle.is_zero() {
        doctor.args(["--idle", &idle.as_secs_f64().to_string()]);
    }
    let ended = peer::run(&mut doctor).await;
    let output = ended.to_string();
    let json: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{output}"));
    let mut ids: Vec<String> = Vec::new();
    for finding in json["findings"].as_array().unwrap() {
        let id = finding["id"].as_str().unwrap();
        let is_known = ids.iter().any(|it| it == id) || SETUP.contains(&id);
        if finding["status"] != "ok" && !is_known {
            ids.push(id.to_owned());
        }
    }
    let transport = json["transport"].as_str().map(str::to_owned);
    let flags = json["flags"].as_array().unwrap().iter();
    let flags = flags.map(|flag| flag.as_str().unwrap().to_owned()).collect();
    Verdict { status: ended.status.code().unwrap(), ids, transport, flags, output }
}

impl Verdict {
    /// Asserts that the doctor finds what the sessions of the case met.
    pub(super) fn assert_agrees(&self, case: &Case, seen: &Seen) {
        let context = || format!("{}: {} {}, {}", case.setup, seen.ends, seen.sse, self.output);
        let has = |id: &str| self.ids.iter().any(|it| it == id);
        let Ends::On(transport) = case.ends else {
            assert_ne!(self.status, 0, "{}", context());
            return;
        };
        assert_eq!(self.transport.as_deref(), Some(transport.as_str()), "{}", context());
        let sse_only = self.flags == ["--transport", "sse"];
        assert_eq!(sse_only, transport == Transport::Sse, "{}", context());
        assert_eq!(seen.sse == HELD_BACK, has("sse_held_back"), "{}", context());
        assert_eq!(seen.sse.starts_with("cut"), has("sse_cut"), "{}", context());
        assert_eq!(seen.ends == OPENED_AGAIN, has("silence_cut"), "{}", context());
        let is_well = seen.ends == Transport::WebSocket.as_str() && seen.sse == STREAMED;
        assert_eq!(self.status == 0, is_well, "{}", context());
    }

    /// Returns the cell of the table.
    pub(super) fn cell(&self) -> String {
        let ids: Vec<_> = self.ids.iter().map(|id| format!("`{id}`")).collect();
        match ids.is_empty() {
            true => self.status.to_string(),
            false => format!("{}: {}", self.status, ids.join(", ")),
        }
    }
}
