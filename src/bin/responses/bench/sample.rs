//! Measured turns, as the other parts of `bench` read them.

use std::{fmt, time::Duration};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// Way to send turns.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Mode {
    WebsocketIncremental,
    WebsocketFull,
    SseKeepAlive,
    SseNewConnection,
    WebsocketDeflate,
}

impl Mode {
    pub(crate) const ALL: [Self; 5] = [
        Self::WebsocketIncremental,
        Self::WebsocketFull,
        Self::SseKeepAlive,
        Self::SseNewConnection,
        Self::WebsocketDeflate,
    ];

    /// Returns the name in arguments and JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::WebsocketIncremental => "websocket_incremental",
            Self::WebsocketDeflate => "websocket_deflate",
            Self::WebsocketFull => "websocket_full",
            Self::SseKeepAlive => "sse_keep_alive",
            Self::SseNewConnection => "sse_new_connection",
        }
    }

    pub(crate) fn is_websocket(self) -> bool {
        matches!(self, Self::WebsocketIncremental | Self::WebsocketDeflate | Self::WebsocketFull)
    }

    /// Returns the name for people.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::WebsocketIncremental => "WebSocket, incremental",
            Self::WebsocketDeflate => "WebSocket, compressed",
            Self::WebsocketFull => "WebSocket, full",
            Self::SseKeepAlive => "SSE, kept connection",
            Self::SseNewConnection => "SSE, new connection",
        }
    }
}

/// Returns the name for people of a [`ModeRun`] with this label. A label that no mode has, from a
/// file of another version, is returned unchanged.
pub(crate) fn title_of(label: &str) -> String {
    let title = |name| Mode::ALL.into_iter().find(|it| it.name() == name).map(Mode::title);
    match (title(label), label.strip_suffix(SECOND).and_then(title)) {
        (Some(title), _) => title.to_owned(),
        (None, Some(title)) => format!("{title} (2)"),
        (None, None) => label.to_owned(),
    }
}

/// End of the label of a mode that is measured for the second time.
pub(crate) const SECOND: &str = "_2";

/// One turn as measured.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// Number of the conversation, from 1.
    pub round: usize,
    /// Number of the turn in its conversation, from 1.
    pub turn: usize,
    /// Time until the connection was ready. `None` if the turn used an open connection.
    pub connect: Option<Duration>,
    /// Time from the start of the turn, connecting included.
    pub first_event: Duration,
    /// Time from the start of the turn. `None` if the turn has no text.
    pub first_text: Option<Duration>,
    /// Time of the whole turn, connecting included.
    pub total: Duration,
    pub bytes_up: u64,
    pub bytes_down: u64,
}

/// All turns of one mode.
#[derive(Clone, Debug)]
pub(crate) struct ModeRun {
    pub mode: Mode,
    /// Name of the mode. The same mode may be measured twice, to compare a mode with itself: then
    /// the label of the second run ends in [`SECOND`].
    pub label: String,
    pub samples: Vec<Sample>,
    /// CPU time of the client for `cpu_turns` turns. `None` if not measured.
    pub cpu: Option<Duration>,
    pub cpu_turns: usize,
}

/// Turn that failed, and ended the run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct FailedTurn {
    /// Label of the mode.
    pub mode: String,
    /// Number of the conversation, from 1.
    pub round: usize,
    /// Number of the turn in its conversation, from 1.
    pub turn: usize,
    pub message: String,
}

impl fmt::Display for FailedTurn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, turn {}: {}", self.mode, self.turn, self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_have_titles() {
        assert_eq!(title_of("sse_keep_alive"), "SSE, kept connection");
        assert_eq!(title_of("sse_keep_alive_2"), "SSE, kept connection (2)");
        assert_eq!(title_of("carrier_pigeon"), "carrier_pigeon");
    }
}
