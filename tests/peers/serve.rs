//! The scripted server as the tool runs it.

use responses_client::Transport;
use serde_json::Value;

use crate::support::tool::{Temporary, Tool, command, value};

/// A running `responses serve`.
pub(crate) struct Serve {
    tool: Tool,
    log: Temporary,
    /// Removed when this goes.
    _script: Temporary,
    /// Its base URL.
    pub(crate) url: String,
}

/// What it logged.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) requests: Vec<Value>,
    pub(crate) connections: Vec<Value>,
    /// Requests for something other than a new response.
    pub(crate) others: Vec<Value>,
}

impl Serve {
    /// Starts it with this script, in files of this name.
    pub(crate) async fn start(name: &str, script: &Value) -> Self {
        let (log, file) = (Temporary::new(format!("{name}.log")), Temporary::new(name));
        std::fs::write(&file.0, script.to_string()).unwrap();
        let mut tool =
            Tool::start(command(&["serve", "--script", file.path(), "--log", log.path()]));
        let Some(ready) = tool.line().await else { panic!("{:?}", tool.end().await) };
        let url = value(&ready)["url"].as_str().unwrap().to_owned();
        Self { tool, log, _script: file, url }
    }

    /// Ends it.
    pub(crate) async fn end(self) -> Seen {
        let ran = self.tool.end().await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let lines = self.log.lines();
        let of = |kind: &str| -> Vec<Value> {
            lines.iter().filter(|line| line["kind"] == kind).cloned().collect()
        };
        Seen { requests: of("request"), connections: of("connection"), others: of("other") }
    }
}

impl Seen {
    /// How many connections became WebSockets.
    pub(crate) fn websockets(&self) -> usize {
        let websocket = Transport::WebSocket.as_str();
        self.connections.iter().filter(|seen| seen["transport"] == websocket).count()
    }
}
