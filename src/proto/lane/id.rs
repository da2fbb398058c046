//! Numbers and names of connections and lanes.

/// Number of a WebSocket, unique in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionId(pub(crate) u64);

/// Number of a lane, unique in its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LaneId(pub(crate) u8);

/// A lane of a connection. The server keeps the last response of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SeatId {
    pub(crate) connection: ConnectionId,
    pub(crate) lane: LaneId,
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
        let lane = Self(number.parse().ok()?);
        // `lane-07` and `lane-+7` are names of another client.
        (lane.name().as_deref() == Some(name)).then_some(lane)
    }

    pub(super) fn index(self) -> usize {
        usize::from(self.0)
    }
}
