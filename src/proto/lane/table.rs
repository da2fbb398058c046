//! Use of the lanes of a WebSocket, and the responses that the server keeps for them.
//!
//! A session takes a lane and gives it back. The name of a lane is never free again for the server,
//! which counts all names of a socket, but the lane can serve another session.

use super::id::LaneId;

/// The lanes of a WebSocket by use.
#[derive(Debug)]
pub(crate) struct LaneTable {
    /// The lanes that have been taken, by their number.
    lanes: Vec<Entry>,
    /// Number of lanes that the server accepts, the default lane included.
    limit: usize,
    /// Number of times that a lane was given back. Orders the idle lanes.
    clock: u64,
    /// Number of sessions that have a lane, or wait to continue a response of one.
    users: usize,
}

#[derive(Debug, Default)]
struct Entry {
    /// `true` if a session has the lane.
    taken: bool,
    /// `true` if the consumer of the lane's response has left before its end.
    detached: bool,
    /// Id of the last response of the lane, if the server keeps that response.
    kept: Option<String>,
    /// Number of forks that have not begun to continue the kept response.
    forks: usize,
    /// Time at which the lane was given back.
    since: u64,
    /// Number of times that a session took the lane.
    takes: u64,
}

impl Entry {
    fn is_idle(&self) -> bool {
        !self.taken && !self.detached && self.forks == 0
    }
}

impl LaneTable {
    /// Returns the table of a socket with `limit` lanes, the default lane included.
    pub(crate) fn new(limit: usize) -> Self {
        Self { lanes: Vec::new(), limit: limit.clamp(1, usize::from(u8::MAX)), clock: 0, users: 0 }
    }

    /// Takes an idle lane: one that keeps no response; else a new one; else, if `any`, the one that
    /// was idle for the longest time. A lane whose response forks are about to continue is not idle.
    pub(crate) fn take(&mut self, any: bool) -> Option<LaneId> {
        let empty = self.lanes.iter().position(|lane| lane.is_idle() && lane.kept.is_none());
        let new = (self.lanes.len() < self.limit).then_some(self.lanes.len());
        let oldest = || {
            let idle = self.lanes.iter().enumerate().filter(|(_, lane)| any && lane.is_idle());
            idle.min_by_key(|(_, lane)| lane.since).map(|(index, _)| index)
        };
        let index = empty.or(new).or_else(oldest)?;
        if index == self.lanes.len() {
            self.lanes.push(Entry::default());
        }
        self.take_at(index)
    }

    /// Takes the lane that keeps `response`, if that lane is idle.
    pub(crate) fn take_with(&mut self, response: &str) -> Option<LaneId> {
        let keeps = |lane: &Entry| lane.is_idle() && lane.kept.as_deref() == Some(response);
        let index = self.lanes.iter().position(keeps)?;
        self.take_at(index)
    }

    /// Takes `lane` for the only fork that is about to continue its response, if no session has the
    /// lane.
    pub(crate) fn take_for_fork(&mut self, lane: LaneId) -> Option<LaneId> {
        let is_idle = |entry: &Entry| !entry.taken && !entry.detached && entry.forks == 1;
        self.get(lane).is_some_and(is_idle).then(|| self.take_at(lane.index())).flatten()
    }

    fn take_at(&mut self, index: usize) -> Option<LaneId> {
        let entry = self.lanes.get_mut(index)?;
        entry.taken = true;
        entry.takes += 1;
        self.users += 1;
        u8::try_from(index).ok().map(LaneId)
    }

    /// Gives back a lane that a session has taken.
    pub(crate) fn give_back(&mut self, lane: LaneId) {
        self.users = self.users.saturating_sub(1);
        self.clock += 1;
        let since = self.clock;
        if let Some(entry) = self.entry(lane) {
            (entry.taken, entry.since) = (false, since);
        }
    }

    /// Records that the consumer of the lane's response has left. The lane is not usable until the
    /// response has ended.
    pub(crate) fn detach(&mut self, lane: LaneId) {
        if let Some(entry) = self.entry(lane) {
            entry.detached = true;
        }
    }

    /// Returns `true` if the session that has taken `lane` may send another request on it.
    pub(crate) fn is_usable(&self, lane: LaneId) -> bool {
        self.get(lane).is_some_and(|entry| entry.taken && !entry.detached)
    }

    /// Records that a request is sent on `lane`. The server replaces the response that it keeps.
    pub(crate) fn begin(&mut self, lane: LaneId) {
        if let Some(entry) = self.entry(lane) {
            entry.kept = None;
        }
    }

    /// Records that the response of `lane` has ended. `kept` is its id if the server keeps it.
    /// Returns `true` if the lane was detached.
    pub(crate) fn end(&mut self, lane: LaneId, kept: Option<&str>) -> bool {
        let Some(entry) = self.entry(lane) else { return false };
        entry.kept = kept.map(str::to_owned);
        std::mem::take(&mut entry.detached)
    }

    /// Records that the response of `lane`, if it was detached, had ended before. Returns `true` if
    /// the lane was detached.
    pub(crate) fn end_detached(&mut self, lane: LaneId) -> bool {
        self.entry(lane).is_some_and(|entry| std::mem::take(&mut entry.detached))
    }

    /// Returns `true` if the server keeps `response` for a lane of the socket.
    pub(crate) fn keeps(&self, response: &str) -> bool {
        self.lanes.iter().any(|entry| entry.kept.as_deref() == Some(response))
    }

    /// Returns the number of times that sessions had taken `lane` before the one that has it.
    pub(crate) fn earlier_takes(&self, lane: LaneId) -> u64 {
        self.get(lane).map_or(0, |entry| entry.takes.saturating_sub(1))
    }

    /// Returns the id of the response that the server keeps for `lane`.
    pub(crate) fn last_kept(&self, lane: LaneId) -> Option<&str> {
        self.get(lane)?.kept.as_deref()
    }

    /// Registers a fork that is about to continue `response`. Returns the lane that keeps it.
    pub(crate) fn begin_fork(&mut self, response: &str) -> Option<LaneId> {
        let index = self.lanes.iter().position(|entry| entry.kept.as_deref() == Some(response))?;
        self.lanes.get_mut(index)?.forks += 1;
        self.users += 1;
        Some(LaneId(u8::try_from(index).ok()?))
    }

    /// Records that a fork no longer needs the response of `lane`.
    pub(crate) fn end_fork(&mut self, lane: LaneId) {
        self.users = self.users.saturating_sub(1);
        if let Some(entry) = self.entry(lane) {
            entry.forks = entry.forks.saturating_sub(1);
        }
    }

    /// Returns `true` if forks are about to continue the response of `lane`.
    pub(crate) fn is_forked(&self, lane: LaneId) -> bool {
        self.get(lane).is_some_and(|entry| entry.forks > 0)
    }

    /// Returns the number of sessions that use the socket.
    pub(crate) fn users(&self) -> usize {
        self.users
    }

    fn get(&self, lane: LaneId) -> Option<&Entry> {
        self.lanes.get(lane.index())
    }

    fn entry(&mut self, lane: LaneId) -> Option<&mut Entry> {
        self.lanes.get_mut(lane.index())
    }
}
