//! Conclusions from the findings.

use responses_client::Transport;
use serde::Serialize;

use super::finding::{Finding, Status};

/// Findings of all checks, and what follows from them.
#[derive(Debug, Serialize)]
pub(super) struct Diagnosis {
    pub(super) findings: Vec<Finding>,
    /// Transport that works; `null` if none does.
    pub(super) transport: Option<&'static str>,
    /// Flags to use.
    pub(super) flags: Vec<&'static str>,
}

/// Transports that work.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Working {
    pub(super) sse: bool,
    pub(super) websocket: bool,
    /// `true` if the provider has WebSockets.
    pub(super) has_websocket: bool,
}

impl Diagnosis {
    pub(super) fn new(findings: Vec<Finding>, working: Working) -> Self {
        let transport = match working {
            Working { websocket: true, .. } => Some(Transport::WebSocket.as_str()),
            Working { sse: true, .. } => Some(Transport::Sse.as_str()),
            _ => None,
        };
        let flags = match working {
            Working { sse: true, websocket: false, has_websocket: true } => {
                vec!["--transport", "sse"]
            }
            Working { sse: false, websocket: true, .. } => vec!["--transport", "websocket"],
            _ => Vec::new(),
        };
        Self { findings, transport, flags }
    }

    /// Returns `true` if a finding limits turns.
    pub(super) fn is_limited(&self) -> bool {
        self.findings.iter().any(|it| matches!(it.status, Status::Limit | Status::Fail))
    }
}
