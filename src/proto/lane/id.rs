//! Numbers and names of connections and lanes.

/// Number of a WebSocket, unique in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionId(pub(crate) u64);

/// Number of a lane, unique in its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LaneId(pub(crate) u8);

/// A lane of a connection, while one session has it. The server keeps the last response of each
/// lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SeatId {
    pub(crate) connection: ConnectionId,
    pub(crate) lane: LaneId,
    /// Number of times that sessions had taken the lane before. Another session may have replaced
    /// the response of the lane between two of them.
    pub(crate) earlier: u64,
}

/// Beginning of the name of each lane but the default one.
const NAME: &str = "lane-";

impl LaneId {
    /// The lane whose requests and events have no `stream_id`. Each connection has it.
    pub(crate) const DEFAULT: Self = Self(0);

    /// Returns the `stream_id` of the lane's requests and events; `None` for the default lane.
    pub(crate) fn name(self) -> Option<String> {
        (self != Self::DEFAULT).then(|| format!("{NAME}{}", self.0))
    }

    /// Returns the lane with this name.
    pub(super) fn of_name(name: &str) -> Option<Self> {
        let number = name.strip_prefix(NAME)?;
        // `lane-07` and `lane-+7` are names of another client.
        let is_plain = number.starts_with(|first: char| matches!(first, '1'..='9'));
        is_plain.then(|| number.parse().ok().map(Self)).flatten()
    }

    pub(super) fn index(self) -> usize {
        usize::from(self.0)
    }
}
