//! What is done ahead of a turn, so that the turn need not wait for it: opening its WebSocket,
//! warming the model up, and opening another WebSocket before the old one has served its time.

use std::{future::poll_fn, sync::Arc};

use tokio::{
    runtime::Handle,
    time::{Instant, sleep_until, timeout_at},
};

use super::{
    super::{
        ahead::Ahead,
        state::{Abort, SharedState},
    },
    Run, timed_out,
};
use crate::{
    config::Transport,
    error::{Cause, Error},
    event::ResponseEvent,
    kind::{Delivery, ErrorKind, Phase},
    proto::{
        fallback::Mark,
        plan::{ConnectionId, Decision, Planner, Prior},
        retry::{Action, Failed},
        turn::{Step, Turn},
    },
    report::{FullReason, Prewarm, Waste},
    request::Encoded,
    shared::Shared,
    transport::{Exchange, Incoming},
};

impl Run {
    /// Does it. Nothing of this is fatal: the turn does without what failed.
    pub(in crate::session) async fn ahead(mut self, what: Ahead) -> Prewarm {
        self.deadline = self.shared.timeouts.prewarm.map(|time| super::after(self.start, time));
        let done = match what {
            Ahead::Connect => self.socket().await.map(|_| Prewarm::Connected),
            Ahead::Generate => self.generate().await,
            Ahead::Rotate => self.open().await.map(|socket| {
                self.shared.clear_mark();
                self.state.set_spare(socket);
                Prewarm::Connected
            }),
        };
        done.unwrap_or_else(|error| {
            tracing::debug!(kind = ?error.kind(), "nothing could be done ahead");
            self.remember(&error);
            Prewarm::Wasted(Waste::Failed(error.kind()))
        })
    }

    /// The open WebSocket, or a new one; `None` where the next turn goes over SSE.
    async fn socket(&mut self) -> Result<Option<ConnectionId>, Error> {
        let open = self.socket_to_use();
        let route = self.shared.route(false, open.is_some(), Instant::now().into_std());
        match route.map_err(Error::invalid_request)? {
            Transport::Sse => Ok(None),
            Transport::WebSocket => match open {
                Some(open) => Ok(Some(open)),
                None => {
                    let opened = self.connect().await?;
                    // The turn finds it open, which would say nothing about opening one.
                    self.shared.clear_mark();
                    Ok(Some(opened))
                }
            },
        }
    }

    async fn generate(&mut self) -> Result<Prewarm, Error> {
        let Some(connection) = self.socket().await? else { return Ok(Prewarm::Connected) };
        if !self.is_worth_warming(connection) {
            return Ok(Prewarm::Connected);
        }
        let frame = self.encode(Encoded::WarmUp)?;
        if self.is_above_limit(&frame, Some(connection)) {
            return Ok(Prewarm::Connected);
        }
        let stall = self.shared.timeouts.send;
        let sending = self.state.with_socket(connection, |socket| socket.send(frame, stall));
        let Some(sending) = sending else {
            return Err(Error::new(ErrorKind::Closed, Phase::Send, Cause::None));
        };
        let exchange = timeout_at(self.by(None), sending)
            .await
            .unwrap_or_else(|_| Err(timed_out(Phase::Send, Delivery::Unknown)))?;
        match self.read(Exchange::WebSocket(exchange), connection).await? {
            Prewarm::Wasted(Waste::Generated) => {
                // It was cut off with its socket: the turn shall find another.
                self.state.set_socket(None);
                self.connect().await?;
                Ok(Prewarm::Wasted(Waste::Generated))
            }
            prewarm => Ok(prewarm),
        }
    }

    /// Returns `true` if a warm-up saves the turn work.
    fn is_worth_warming(&self, connection: ConnectionId) -> bool {
        // It would take the place of the response that the caller continues.
        if self.request.caller_managed() {
            return false;
        }
        if self.shared.are_parents_off(Instant::now().into_std()) {
            return false;
        }
        match (self.planner)(&self.request, &self.prior, self.websocket(Some(connection))) {
            Decision::Incremental { .. } | Decision::Full(FullReason::NothingNew) => false,
            Decision::Full(_) => true,
        }
    }

    /// Reads the answer to a warm-up.
    async fn read(
        &mut self,
        mut exchange: Exchange,
        connection: ConnectionId,
    ) -> Result<Prewarm, Error> {
        let mut turn = Turn::new();
        loop {
            let incoming = timeout_at(self.by(None), poll_fn(|cx| exchange.poll_next(cx))).await;
            let frame = match incoming {
                Ok(Incoming::Frame(frame)) if self.is_too_late(frame.payload.len()) => {
                    return Ok(Prewarm::Wasted(Waste::TimedOut));
                }
                Ok(Incoming::Frame(frame)) => frame,
                Ok(Incoming::LateEvents) => continue,
                Ok(Incoming::End(end)) => return Err(turn.end(end)),
                Err(_) => return Ok(Prewarm::Wasted(Waste::TimedOut)),
            };
            let role = frame.tag.role;
            match turn.handle(frame) {
                Step::Done(event @ ResponseEvent::Completed(_))
                    if turn.response().output_items().len() == 0 =>
                {
                    let mut prior = self.base(Some(connection)).prior(&event, &turn);
                    if let Prior::Completed(base) = &mut prior {
                        base.warm_up = true;
                    }
                    self.state.set_prior(prior);
                    return Ok(Prewarm::Warmed);
                }
                // It came with output all at once, and is over.
                Step::Done(_) => return Ok(Prewarm::Wasted(Waste::Generated)),
                Step::Failed(error) => {
                    if role.leaves_connection() {
                        let keeps = self.shared.provider.keeps_socket_after_error;
                        let limits = self.shared.limits;
                        self.state.settle(exchange, Some(&error), keeps, limits, &self.runtime);
                    }
                    return Ok(Prewarm::Wasted(Waste::Refused));
                }
                Step::Event(_) if turn.delivery() == Delivery::OutputStarted => {
                    return Ok(Prewarm::Wasted(Waste::Generated));
                }
                Step::Event(_) | Step::Nothing => {}
            }
        }
    }

    /// Remembers what the failure says of the origin.
    fn remember(&mut self, error: &Error) {
        // What ran out was the time for doing things ahead, before connecting had had its own.
        let cut_short = self.is_over(Instant::now())
            && self.connect_end.is_none_or(|end| Some(end) > self.deadline);
        if cut_short && error.is_timeout() {
            return;
        }
        let failed = Failed {
            error,
            transport: Transport::WebSocket,
            reused: false,
            incremental: false,
            stale: false,
            silent: false,
            answered: true,
            resumable: false,
            progressed: false,
            renewable: false,
            at: Instant::now().into_std(),
        };
        let Action::Again(again) = self.ladder.next(failed, 0.0) else { return };
        // What is only suspected, a request over SSE must tell.
        if let Some(mark @ (Mark::Unsupported | Mark::Transient)) = again.mark {
            self.shared.mark(mark, Instant::now().into_std());
        }
    }

    /// Opens the WebSocket that is to follow this one, if that has served its time.
    pub(super) fn rotate(&self) {
        if self.is_overdue() {
            let run = Self::bare(&self.shared, &self.state, self.planner, &self.runtime);
            self.state.begin_ahead(Ahead::Rotate, &self.runtime, run.ahead(Ahead::Rotate));
        }
    }

    /// Whether the WebSocket has served its time, and none is there to follow it.
    pub(super) fn is_overdue(&self) -> bool {
        let Some((age, followed)) = self.state.age(Instant::now()) else { return false };
        let provider = &self.shared.provider;
        // One that is followed serves until the other is open, but not beyond its end.
        let due = if followed { provider.max_age } else { provider.rotation() };
        // Its caller may continue what lives in this connection alone.
        !self.state.is_caller_managed()
            && !defect!(MaxAgeIgnored)
            && due.is_some_and(|due| age >= due)
    }

    /// Sees to it that the WebSocket is replaced in time, also if no turn follows.
    pub(super) fn set_alarm(&self) {
        let Some(rotation) = self.shared.provider.rotation() else { return };
        let Some(opened) = self.state.opened() else { return };
        let due = super::after(opened, rotation);
        let (shared, planner) = (Arc::clone(&self.shared), self.planner);
        let (state, runtime) = (self.state.downgrade(), self.runtime.clone());
        let alarm = self.runtime.spawn(async move {
            sleep_until(due).await;
            if let Some(state) = SharedState::upgrade(&state) {
                Self::bare(&shared, &state, planner, &runtime).rotate();
            }
        });
        self.state.set_alarm(Abort::new(&alarm));
    }

    /// Attempts without a request.
    fn bare(shared: &Arc<Shared>, state: &SharedState, planner: Planner, at: &Handle) -> Self {
        let (shared, state) = (Arc::clone(shared), state.clone());
        Self::new(shared, state, Arc::default(), Arc::default(), planner, at.clone())
    }
}
