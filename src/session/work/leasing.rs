//! Carries out the commands that find a lane of a WebSocket, or open a WebSocket.

use std::{sync::Arc, time::Duration};

use http::Method;
use tokio::time::{Instant, timeout, timeout_at};

use super::{Done, LeaseQuery, Work};
use crate::{
    config::TransportPolicy,
    endpoint::Authorized,
    error::{Cause, Error},
    kind::{Delivery, ErrorKind, Phase},
    observe::LaneWait,
    pool::{Acquired, LaneQuery, Leased, Opening, PoolKey},
    proto::turn::Goal,
    transport::{SocketOptions, http1},
};

/// Longest time that a turn waits for forks to begin to continue the response that it continues. A
/// server says `in_progress` within a fraction of a second.
const FORK_TIME: Duration = Duration::from_secs(2);

impl Work {
    pub(super) fn lease(&mut self, query: LeaseQuery, now: Instant) {
        let leased = self.try_lease(&query);
        if !leased.is_forked {
            return self.leased(leased, query, now);
        }
        self.notifier.counters().lane_wait(LaneWait::Fork);
        let (core, pool) = (self.core.clone(), Arc::clone(&self.endpoint.pool));
        self.begin(async move {
            _ = timeout(FORK_TIME, async {
                loop {
                    let change = pool.change();
                    if !core.with_connections(|it| it.is_forked()) {
                        return;
                    }
                    change.await;
                }
            })
            .await;
            Done::Forked(query)
        });
    }

    pub(super) fn try_lease(&mut self, query: &LeaseQuery) -> Leased {
        let LeaseQuery { fresh, caller_managed, parent } = query;
        let mut leased = {
            let _in_runtime = self.runtime.enter();
            let (provider, lanes) = (&self.endpoint.provider, self.endpoint.lanes() > 1);
            self.core.lease(*fresh, *caller_managed, parent.as_deref(), provider, lanes)
        };
        leased.retired.clear();
        leased.hold = None;
        self.has_new_socket |= leased.rotated;
        // Work ahead of a turn leaves the claim to the turn.
        self.holds_parent = self.goal == Goal::Turn;
        leased
    }

    pub(super) fn leased(&mut self, leased: Leased, query: LeaseQuery, now: Instant) {
        match leased.seat {
            Some(seat) => self.machine.handle_leased(Some(&seat), now.into_std()),
            None => self.acquire(query, now),
        }
    }

    /// Asks the pool for a lane of another WebSocket, or for the right to open one.
    pub(super) fn acquire(&mut self, query: LeaseQuery, now: Instant) {
        let (endpoint, key, failed_on) = (Arc::clone(&self.endpoint), self.key(), self.sent_on);
        let ask = move |query: &LeaseQuery| {
            endpoint.pool.acquire(LaneQuery {
                key: &key,
                parent: query.parent.as_deref(),
                // Together, the sessions of a lost WebSocket open another one, not one each.
                avoid: failed_on.filter(|_| query.fresh),
                policy: &endpoint.policy.pool,
                provider: &endpoint.provider,
                shares: endpoint.lanes() > 1 && query.caller_managed != Some(true),
            })
        };
        let acquired = {
            let _in_runtime = self.runtime.enter();
            ask(&query)
        };
        let Acquired::Wait { at_limit, .. } = acquired else {
            return self.acquired(Ok(acquired), &query, now);
        };
        let reason = if at_limit { LaneWait::Limit } else { LaneWait::Opening };
        self.notifier.counters().lane_wait(reason);
        let pool = Arc::clone(&self.endpoint.pool);
        let wait = self.endpoint.policy.pool.wait;
        self.begin(async move {
            let since = Instant::now();
            let mut acquired = acquired;
            while let Acquired::Wait { at_limit, waiting } = acquired {
                let until = wait.filter(|_| at_limit).and_then(|wait| since.checked_add(wait));
                let change = pool.change();
                // What changed between the question and this line is not announced again.
                drop(waiting);
                acquired = ask(&query);
                if !matches!(acquired, Acquired::Wait { .. }) {
                    break;
                }
                let changed = match until {
                    Some(until) => timeout_at(until, change).await.is_ok(),
                    None => {
                        change.await;
                        true
                    }
                };
                if !changed {
                    let cause = Cause::other("no lane of a WebSocket became free");
                    let error = Error::new(ErrorKind::Timeout, Phase::Prepare, cause);
                    let error = error.with_delivery(Delivery::NotSent);
                    return Done::Acquired(query, Err(error));
                }
            }
            Done::Acquired(query, Ok(acquired))
        });
    }

    pub(super) fn acquired(
        &mut self,
        acquired: Result<Acquired, Error>,
        query: &LeaseQuery,
        now: Instant,
    ) {
        let time = now.into_std();
        match acquired {
            Ok(Acquired::Lease(lease)) => {
                let parent = query.parent.as_deref();
                let unclaimed = lease.seat(parent);
                self.core.set_lease(lease);
                // A session that was closed meanwhile has no lease.
                let seat = self.core.with_connections(|it| it.seat(parent)).unwrap_or(unclaimed);
                self.machine.handle_leased(Some(&seat), time);
            }
            Ok(Acquired::Open(place)) => {
                self.place = Some(place);
                self.machine.handle_leased(None, time);
            }
            Ok(Acquired::Sse) => self.machine.handle_no_lane(None, true, time),
            Ok(Acquired::Full | Acquired::Wait { .. }) => {
                self.machine.handle_no_lane(None, false, time);
            }
            Err(error) => self.machine.handle_no_lane(Some(error), false, time),
        }
    }

    /// Returns the properties in which the sessions of a WebSocket agree.
    fn key(&self) -> PoolKey {
        let names = self.endpoint.provider.capabilities.session_headers;
        PoolKey { headers: self.core.headers().of(names), runtime: self.runtime.id() }
    }

    /// Gives up the claim to the response of another session that this turn continues.
    pub(super) fn end_hold(&mut self) {
        if std::mem::take(&mut self.holds_parent) {
            self.core.end_hold();
        }
    }

    pub(super) fn open(&mut self, deadline: Instant) {
        let endpoint = Arc::clone(&self.endpoint);
        let Authorized { headers, token } = std::mem::take(&mut self.authorized);
        self.token.clone_from(&token);
        let counters = Arc::clone(endpoint.notifier.counters());
        let options = SocketOptions {
            wire: endpoint.wire,
            limits: endpoint.policy.limits,
            timeouts: endpoint.policy.timeouts,
            has_fallback: endpoint.policy.transport == TransportPolicy::Auto,
            unannounced: Arc::clone(&endpoint.origin.unannounced),
            #[cfg(feature = "deflate")]
            deflate: endpoint.policy.deflate,
            lanes: endpoint.lanes(),
            active: usize::from(endpoint.provider.capabilities.active_responses),
            changed: Arc::default(),
        };
        // The successor of a WebSocket needs no place: it takes that of the WebSocket.
        let place = self.place.take().unwrap_or_else(|| endpoint.pool.place_of_successor());
        let key = self.key();
        self.begin(async move {
            let mut request = http1::request(Method::GET, endpoint.uri.clone(), headers, None);
            http1::count_by(&mut request, endpoint.connection_counts());
            let opened = match endpoint.sign(request, token.as_ref()) {
                Ok(request) => {
                    let network = &*endpoint.network;
                    let opening = Opening {
                        network,
                        request,
                        token,
                        deadline,
                        options,
                        counters,
                        place,
                        key,
                    };
                    endpoint.pool.open(opening).await
                }
                Err(error) => Err(error),
            };
            Done::Opened(opened)
        });
    }
}
