//! The connections of a session: the lease of a lane of a WebSocket, the successor of that lease,
//! and the connection of the last SSE response.

use std::time::Duration;

use tokio::{
    task::{AbortHandle, JoinHandle},
    time::Instant,
};

use super::lease::{ForkHold, Lease};
use crate::{
    config::Provider,
    observe::Retirement,
    proto::{lane::SeatId, turn::Seat},
};

/// The connections of a session. No method waits.
///
/// A method that replaces a lease returns the old lease. The caller drops the old lease after
/// releasing its locks, because dropping closes a socket and wakes its task.
#[derive(Default)]
pub(crate) struct Connections {
    lease: Option<Lease>,
    /// Task that starts the rotation when the WebSocket is due for replacement.
    rotation_timer: Option<AbortOnDrop>,
    /// The lease of another WebSocket, which replaces `lease` before the next turn.
    successor: Option<Lease>,
    /// Claim to the response of another session that the next turn continues.
    hold: Option<ForkHold>,
    /// Task that reads the rest of the last SSE response.
    draining: Option<JoinHandle<()>>,
    used_http: bool,
    /// `true` if the caller of the last turn sets `previous_response_id`. The server may keep such
    /// a parent for this WebSocket only, so that the WebSocket must not be replaced.
    caller_managed: bool,
}

/// Aborts a task when dropped.
pub(crate) struct AbortOnDrop(AbortHandle);

/// Outcome of leasing a lane for a turn.
pub(crate) struct Leased {
    /// The lane to use; `None` if a new WebSocket must be opened.
    pub(crate) seat: Option<Seat>,
    /// `true` if the successor has replaced the lease.
    pub(crate) rotated: bool,
    /// `true` if forks are about to continue the last response of the lane, and no other lane of
    /// its WebSocket is free.
    pub(crate) is_forked: bool,
    /// Leases to drop.
    pub(crate) retired: Vec<Lease>,
    /// Claim to drop.
    pub(crate) hold: Option<ForkHold>,
}

impl Connections {
    /// Leases a lane of the open WebSocket, unless the turn needs a fresh one.
    ///
    /// `caller_managed` is `true` if the caller of the turn sets `previous_response_id`, and `None`
    /// for work ahead of a turn. `parent` is the response that the turn may continue. `followed` is
    /// `true` if a successor is being opened. `lanes` is `true` if the server has named lanes.
    pub(crate) fn lease(
        &mut self,
        fresh: bool,
        caller_managed: Option<bool>,
        parent: Option<&str>,
        provider: &Provider,
        followed: bool,
        lanes: bool,
    ) -> Leased {
        if let Some(caller_managed) = caller_managed {
            self.caller_managed = caller_managed;
        }
        // A socket that has died is replaced even if it held the caller's parents.
        let closed = self.lease.take_if(|lease| !lease.is_open()).map(|lease| {
            // An open WebSocket of another runtime counts as closed.
            let ended = lease.has_ended();
            lease.retired(if ended { Retirement::IdleClosed } else { Retirement::Renewed })
        });
        let retired = Vec::from_iter(closed);
        // Without lanes, a fork cannot use what its claim keeps for it.
        let hold = self.hold.take_if(|_| !lanes);
        let mut leased = Leased { seat: None, rotated: false, is_forked: false, retired, hold };
        if self.lease.is_some() && !fresh && self.caller_managed {
            leased.seat = self.seat(parent);
            return leased;
        }
        if let Some(successor) = self.successor.take().filter(Lease::is_open) {
            let old = self.lease.replace(successor);
            leased.retired.extend(old.map(|lease| lease.retired(Retirement::MaxAge)));
            leased.rotated = true;
        }
        if self.lease.is_none() && !fresh {
            self.lease = self.hold.as_ref().and_then(ForkHold::lease);
            // Nobody else takes the lane now.
            let on = |hold: &mut ForkHold| self.lease.as_ref().is_some_and(|it| hold.is_on(it));
            leased.hold = self.hold.take_if(on).or(leased.hold);
        }
        if fresh || self.needs_rotation(provider, followed) {
            let reason = if fresh { Retirement::Renewed } else { Retirement::MaxAge };
            leased.retired.extend(self.lease.take().map(|lease| lease.retired(reason)));
        }
        if let Some(lease) = self.lease.as_ref().filter(|lease| lanes && lease.is_forked()) {
            // The next request of this lane would replace the response that the forks continue.
            // Another lane continues it as well.
            match lease.sibling() {
                Some(sibling) => leased.retired.extend(self.lease.replace(sibling)),
                None => leased.is_forked = true,
            }
        }
        leased.seat = self.seat(parent);
        leased
    }

    /// Returns the claim of a fork to `response`, if the server keeps it for the WebSocket. A fork
    /// that has had no turn has no lease, only a claim.
    pub(crate) fn hold(&self, response: &str) -> Option<ForkHold> {
        let of_lease = self.lease.as_ref().and_then(|lease| lease.hold(response));
        // A fork that has had no turn has the claim of its own.
        of_lease.or_else(|| self.hold.as_ref()?.hold(response))
    }

    /// Lets the last response be continued only on its own lane.
    pub(crate) fn keep_to_lane(&self) {
        if let Some(lease) = &self.lease {
            lease.keep_to_lane();
        }
    }

    /// Sets the claim to the response that the next turn continues.
    pub(crate) fn set_hold(&mut self, hold: Option<ForkHold>) {
        self.hold = hold;
    }

    /// Removes and returns the claim to the response of another session.
    pub(crate) fn take_hold(&mut self) -> Option<ForkHold> {
        self.hold.take()
    }

    /// Returns `true` if there is a WebSocket that is open, as far as is known.
    pub(crate) fn has_open_socket(&self) -> bool {
        self.lease.as_ref().is_some_and(Lease::is_open)
    }

    /// Returns the lane that the session has. `parent` is the response that a turn may continue. If
    /// another lane keeps it, claims it, so that the session of that lane does not replace it.
    pub(crate) fn seat(&mut self, parent: Option<&str>) -> Option<Seat> {
        let lease = self.lease.as_ref()?;
        if self.hold.is_none() {
            self.hold = parent.and_then(|parent| lease.claim(parent));
        }
        Some(lease.seat(parent))
    }

    /// Returns the lease of `seat`, if the session still has that lease.
    pub(crate) fn lease_of(&self, seat: SeatId) -> Option<&Lease> {
        self.lease.as_ref().filter(|lease| lease.id() == seat)
    }

    /// Sets the lease for the next turns. Returns the previous lease.
    pub(crate) fn set_lease(&mut self, lease: Lease) -> Option<Lease> {
        self.lease.replace(lease)
    }

    /// Sets the successor of the lease. Returns the previous successor.
    pub(crate) fn set_successor(&mut self, lease: Lease) -> Option<Lease> {
        self.successor.replace(lease)
    }

    /// Removes and returns the successor of the lease.
    pub(crate) fn take_successor(&mut self) -> Option<Lease> {
        self.successor.take()
    }

    /// Removes and returns the lease, retired for `reason`.
    pub(crate) fn retire(&mut self, reason: Retirement) -> Option<Lease> {
        self.lease.take().map(|lease| lease.retired(reason))
    }

    /// Removes and returns the lease, retired for `reason`, unless other sessions use the WebSocket:
    /// then the lease stays, so that none of them gets the lane while a response runs on it.
    pub(crate) fn retire_after_turn(&mut self, reason: Retirement) -> Option<Lease> {
        if self.is_shared() { None } else { self.retire(reason) }
    }

    /// Notes the reason why the WebSocket has ended, if it has.
    pub(crate) fn note_end(&mut self, reason: Retirement) {
        if let Some(lease) = self.lease.as_ref().filter(|lease| lease.has_ended()) {
            lease.retire(reason);
        }
    }

    /// Removes and returns the successor and the timer, which only later turns would need.
    pub(crate) fn release(&mut self) -> (Option<Lease>, Option<AbortOnDrop>) {
        (self.successor.take(), self.rotation_timer.take())
    }

    pub(crate) fn set_rotation_timer(&mut self, timer: AbortOnDrop) {
        self.rotation_timer = Some(timer);
    }

    /// Returns `true` if forks are about to continue the last response of the session's lane.
    pub(crate) fn is_forked(&self) -> bool {
        self.lease.as_ref().is_some_and(Lease::is_forked)
    }

    /// Returns `true` if other sessions use the WebSocket, too.
    pub(crate) fn is_shared(&self) -> bool {
        self.lease.as_ref().is_some_and(Lease::is_shared)
    }

    /// Returns the time at which the WebSocket was opened.
    pub(crate) fn opened(&self) -> Option<Instant> {
        self.lease.as_ref().map(Lease::opened)
    }

    /// Returns `true` if the WebSocket is due for replacement. While a successor is being opened,
    /// the WebSocket stays in use until its maximum age.
    pub(crate) fn needs_rotation(&self, provider: &Provider, followed: bool) -> bool {
        let Some(opened) = self.opened() else { return false };
        let followed = followed || self.successor.is_some();
        let due: Option<Duration> =
            if followed { provider.capabilities.max_age } else { provider.rotation() };
        // The caller may continue a response that the server keeps for this socket only.
        !self.caller_managed
            && due.is_some_and(|due| Instant::now().saturating_duration_since(opened) >= due)
    }

    /// Marks HTTP as used and returns whether it already was.
    pub(crate) fn mark_http_used(&mut self) -> bool {
        std::mem::replace(&mut self.used_http, true)
    }

    pub(crate) fn set_draining(&mut self, draining: JoinHandle<()>) {
        self.draining = Some(draining);
    }

    /// Removes and returns the task that reads the rest of the last SSE response. The connection of
    /// that response is free when the task ends.
    pub(crate) fn take_draining(&mut self) -> Option<JoinHandle<()>> {
        self.draining.take()
    }
}

impl AbortOnDrop {
    pub(crate) fn new<T>(task: &JoinHandle<T>) -> Self {
        Self(task.abort_handle())
    }

    /// Returns `true` while the task runs.
    pub(crate) fn is_running(&self) -> bool {
        !self.0.is_finished()
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
