//! Drives a turn: the only loop that reads an answer, and the only timer of a turn.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use pin_project::{pin_project, pinned_drop};
use tokio::{
    runtime::Handle,
    time::{Instant, Sleep, sleep_until},
};

use super::{
    control::TurnControl,
    core::SessionCore,
    inject::{InjectError, InjectHandle},
    steer::{SteerError, SteerHandle},
    work::{TurnRequest, Work},
};
use crate::{
    endpoint::Endpoint,
    error::Error,
    event::ResponseEvent,
    kind::ErrorKind,
    observe::Retirement,
    pool::AbortOnDrop,
    proto::turn::{Ended, Goal, Output, after, message::InputErrorKind},
    report::{Prewarm, PrewarmFailure, TurnReport},
    request::{History, ResponsesRequest},
    response::Response,
};

/// A turn in progress: its machine, and the IO that the machine has requested.
#[pin_project(PinnedDrop)]
pub(super) struct Driver {
    work: Work,
    #[pin]
    timer: Sleep,
}

/// Result of polling a driver.
enum Polled {
    /// The response has begun; its first event is still in the machine.
    Begun,
    Output(Output),
    /// The machine is done, and everything is handed out.
    Ended,
}

/// Number of frames that are handled before the clock is read again. Reading the clock for each
/// frame would cost more than handling most frames.
const FRAMES_PER_CLOCK: u32 = 64;

impl Driver {
    /// Returns the driver of a turn, which begins when polled. Must be called in the runtime of the
    /// turn.
    pub(super) fn new(
        goal: Goal,
        endpoint: Arc<Endpoint>,
        core: SessionCore,
        control: Arc<TurnControl>,
        request: impl Into<TurnRequest>,
        runtime: Handle,
    ) -> Self {
        let now = Instant::now();
        let work = Work::new(goal, endpoint, core, control, request.into(), runtime, now);
        Self { work, timer: sleep_until(now) }
    }

    /// Resolves when the response has begun, or with the error that ended the turn.
    pub(super) fn poll_begun(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        match std::task::ready!(self.poll(cx, true)) {
            Polled::Output(Output::Failed(error)) => Poll::Ready(Err(error)),
            Polled::Begun | Polled::Output(_) | Polled::Ended => Poll::Ready(Ok(())),
        }
    }

    /// Returns the next output of the turn; `None` after its end.
    pub(super) fn poll_output(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Output>> {
        match std::task::ready!(self.poll(cx, false)) {
            Polled::Output(output) => Poll::Ready(Some(output)),
            Polled::Begun | Polled::Ended => Poll::Ready(None),
        }
    }

    /// Removes and returns the event of the last output, which had one.
    #[inline]
    pub(super) fn take_event(self: Pin<&mut Self>) -> Option<ResponseEvent> {
        self.project().work.machine.take_event()
    }

    /// Resolves when work ahead of a turn is over.
    pub(super) fn poll_prewarm(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Prewarm> {
        let failed = Prewarm::Failed(PrewarmFailure::Error(ErrorKind::NoRuntime));
        let mut this = self;
        std::task::ready!(this.as_mut().poll(cx, false));
        Poll::Ready(this.work.machine.prewarm().unwrap_or(failed))
    }

    pub(super) fn report(&self) -> &TurnReport {
        self.work.machine.report()
    }

    pub(super) fn response(&self) -> Response {
        self.work.machine.response()
    }

    /// Returns what is left of a turn that has ended.
    pub(super) fn take_ended(self: Pin<&mut Self>) -> Ended {
        self.project().work.machine.take_ended()
    }

    /// Steers the running response: see [`ResponseStream::steer`](crate::ResponseStream::steer).
    pub(super) fn steer(self: Pin<&mut Self>, input: History) -> Result<SteerHandle, SteerError> {
        let work = self.project().work;
        let steered = match work.control.cancelled() {
            Some(_) => Err(InputErrorKind::NotRunning),
            None => work.machine.steer(&input),
        };
        let message = steered.map_err(|kind| SteerError::new(kind, input))?;
        let handle = SteerHandle(work.steers.add(message));
        send_now(work);
        Ok(handle)
    }

    /// Gives outputs to the running response: see
    /// [`ResponseStream::inject`](crate::ResponseStream::inject).
    pub(super) fn inject(
        self: Pin<&mut Self>,
        outputs: History,
    ) -> Result<InjectHandle, InjectError> {
        let work = self.project().work;
        let injected = match work.control.cancelled() {
            Some(_) => Err(InputErrorKind::NotRunning),
            None => work.machine.inject(&outputs),
        };
        let message = injected.map_err(|kind| InjectError::new(kind, outputs))?;
        let handle = InjectHandle(work.injects.add(message));
        send_now(work);
        Ok(handle)
    }

    /// Stops the running response: see [`ResponseStream::stop`](crate::ResponseStream::stop).
    pub(super) fn stop(self: Pin<&mut Self>) {
        let work = self.project().work;
        work.machine.stop(Instant::now().into_std());
        send_now(work);
    }

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>, until_begun: bool) -> Poll<Polled> {
        let this = self.project();
        let (work, mut timer) = (this.work, this.timer);
        let mut now = Instant::now();
        let mut frames = 0_u32;
        work.machine.handle_consumer(now.into_std());
        loop {
            if let Some(reason) = work.control.cancelled() {
                work.machine.handle_cancelled(reason);
            }
            run_commands(work, now);
            if until_begun && work.machine.has_begun() {
                work.machine.hand_over(now.into_std());
                return Poll::Ready(Polled::Begun);
            }
            if let Some(output) = work.machine.poll_output(now.into_std()) {
                // The baseline is committed before the caller sees the end of the turn: the caller
                // may start the next turn immediately.
                run_commands(work, now);
                match &output {
                    Output::Event => {}
                    Output::Last => work.notify_done(None),
                    Output::Failed(error) => work.notify_done(Some(error)),
                }
                return Poll::Ready(Polled::Output(output));
            }
            if work.machine.has_commands() {
                continue;
            }
            if work.machine.is_done() {
                return Poll::Ready(Polled::Ended);
            }
            // While a response is read, frames that have already arrived are still delivered.
            // Before that, nothing can arrive without the runtime.
            if !work.machine.is_streaming() && work.runtime_end.has_come() {
                work.machine.handle_runtime_shutdown(now.into_std());
                continue;
            }
            if let Poll::Ready(done) = work.poll_step(cx) {
                now = Instant::now();
                // A turn that the session ended meanwhile changes nothing of the session's: its
                // connection is dropped with the outcome.
                match work.control.cancelled() {
                    None => work.handle_done(done, now),
                    Some(_) => done.cancel(),
                }
                continue;
            }
            if work.poll_outgoing(cx).is_ready() {
                continue;
            }
            if work.machine.reads() {
                frames += 1;
                if frames.is_multiple_of(FRAMES_PER_CLOCK) {
                    now = Instant::now();
                }
                if work.poll_exchange(cx, now).is_ready() {
                    continue;
                }
            }
            work.control.register(cx.waker());
            // A cancellation between the check above and `register` woke nobody.
            if work.control.cancelled().is_some() {
                continue;
            }
            if !work.machine.is_streaming() && work.poll_shutdown(cx) {
                continue;
            }
            let Some(at) = work.machine.poll_timeout() else { return Poll::Pending };
            // Polling a timer panics once its runtime has shut down.
            if work.runtime_end.has_come() {
                work.machine.handle_runtime_shutdown(now.into_std());
                continue;
            }
            now = Instant::now();
            if now.into_std() >= at {
                let open_socket = work.has_open_socket();
                work.machine.handle_timeout(open_socket, now.into_std());
                continue;
            }
            // A deadline that moves later leaves the timer as it is. The timer then fires too early
            // and is reset: resetting it for each event would cost more than the event.
            let at = Instant::from_std(at);
            if timer.is_elapsed() || timer.deadline() > at {
                timer.as_mut().reset(at);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

#[pinned_drop]
impl PinnedDrop for Driver {
    fn drop(self: Pin<&mut Self>) {
        let work = self.project().work;
        work.abort(Retirement::Cancelled);
        work.control.finish();
        work.notify_dropped();
    }
}

/// Carries out what the machine of `work` asks for, and passes a message to the connection without
/// waiting for the next poll. What must wait is sent by that poll.
fn send_now(work: &mut Work) {
    run_commands(work, Instant::now());
    let mut cx = Context::from_waker(Waker::noop());
    while work.poll_outgoing(&mut cx).is_ready() {}
}

/// Carries out what the machine of `work` asks for, and has the WebSocket replaced in time.
fn run_commands(work: &mut Work, now: Instant) {
    work.run_commands(now);
    if std::mem::take(&mut work.has_new_socket) {
        set_rotation_timer(&work.core, &work.endpoint, &work.runtime);
    }
    if std::mem::take(&mut work.has_released) {
        start_rotation(&work.core, &work.endpoint, &work.runtime);
    }
}

/// Begins work ahead of the next turn, unless a turn or other such work is running.
pub(super) fn begin_ahead(
    goal: Goal,
    core: &SessionCore,
    endpoint: &Arc<Endpoint>,
    request: Arc<ResponsesRequest>,
    runtime: &Handle,
) {
    let (work_core, endpoint, handle) = (core.clone(), Arc::clone(endpoint), runtime.clone());
    core.begin_ahead(goal, runtime, async move {
        let driver = Driver::new(goal, endpoint, work_core, Arc::default(), request, handle);
        let mut driver = std::pin::pin!(driver);
        poll_fn(|cx| driver.as_mut().poll_prewarm(cx)).await
    });
}

/// Opens the WebSocket that is to follow this one, if that has served its time.
fn start_rotation(core: &SessionCore, endpoint: &Arc<Endpoint>, runtime: &Handle) {
    if core.needs_rotation(&endpoint.provider) {
        begin_ahead(Goal::Rotate, core, endpoint, Arc::default(), runtime);
    }
}

/// Has the WebSocket replaced in time, also if no turn follows.
fn set_rotation_timer(core: &SessionCore, endpoint: &Arc<Endpoint>, runtime: &Handle) {
    let Some(rotation) = endpoint.provider.rotation() else { return };
    let Some(opened) = core.with_connections(|it| it.opened()) else { return };
    let due = after(opened.into_std(), rotation);
    let (weak, endpoint, handle) = (core.downgrade(), Arc::clone(endpoint), runtime.clone());
    let timer = runtime.spawn(async move {
        sleep_until(due.into()).await;
        if let Some(core) = weak.upgrade() {
            start_rotation(&core, &endpoint, &handle);
        }
    });
    core.with_connections(|it| it.set_rotation_timer(AbortOnDrop::new(&timer)));
}
