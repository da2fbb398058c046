//! The events of one turn.

use std::{
    collections::VecDeque,
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_util::{Stream, future::BoxFuture};
use tokio::{
    runtime::Handle,
    time::{Instant, Sleep},
};

use super::{
    run::{Base, Live, Run},
    state::Slot,
};
use crate::{
    config::Transport,
    error::{Cause, Error},
    event::{EventKind, ResponseEvent},
    kind::{Delivery, ErrorKind, Phase},
    proto::{
        classify::Frame,
        turn::{End, Step, Turn},
    },
    report::TurnReport,
    response::{Anomaly, Response},
    transport::Incoming,
};

/// The events of one turn, from its `Created` to its end.
///
/// It ends in one of three ways, the same on both transports and at once: with `Completed`, with
/// `Incomplete`, or with an error. After that it yields `None`. An end of the connection before
/// the server's own terminal event is an error, never success.
///
/// # Cancel safety
///
/// Dropping a wait for the next event loses none. Dropping the stream before its end cancels the
/// turn by closing its connection: generation stops, and the next turn is sent in full; a response
/// in the background runs on until [`cancel`](crate::ResponsesClient::cancel). Dropping it after
/// its end keeps the connection.
#[must_use = "a stream that is dropped cancels its turn"]
pub struct ResponseStream {
    stage: Stage,
    slot: Arc<Slot>,
    timer: Pin<Box<Sleep>>,
    last_event: Instant,
    /// Since when the consumer is busy with an event: that time is no silence of the server's.
    busy_since: Option<Instant>,
    /// How the response began, as far as the caller was told.
    told: Vec<EventKind>,
}

enum Stage {
    /// A response is coming in.
    Live {
        run: Box<Run>,
        turn: Box<Turn>,
        ready: VecDeque<Step>,
        base: Base,
        transport: Transport,
        /// What the caller was told by attempts before: it shall not be told again.
        told_before: Vec<EventKind>,
    },
    /// Another attempt is being made after one that got so far.
    Climbing {
        delivery: Delivery,
        response: Response,
        report: TurnReport,
        runtime: Handle,
        climb: BoxFuture<'static, (Box<Run>, Result<Live, Error>)>,
    },
    /// Nothing more comes.
    Ended { report: TurnReport, response: Response, failure: Option<Error> },
}

impl Default for Stage {
    fn default() -> Self {
        Self::Ended { report: TurnReport::default(), response: Response::default(), failure: None }
    }
}

/// What polling came to.
enum Polled {
    Yield(ResponseEvent),
    /// The last item.
    Last(Result<ResponseEvent, Error>),
    /// Nothing to hand out; go on.
    Again,
}

impl ResponseStream {
    pub(super) fn new(run: Box<Run>, slot: Arc<Slot>, live: Live) -> Self {
        let now = Instant::now();
        let mut stream = Self {
            timer: Box::pin(tokio::time::sleep_until(now)),
            last_event: now,
            busy_since: Some(now),
            told: Vec::new(),
            stage: Stage::default(),
            slot,
        };
        stream.go_live(run, live);
        stream
    }

    /// The next event; `None` after the last one. The same as the [`Stream`], without a trait.
    ///
    /// # Errors
    ///
    /// The error that ended the turn, once.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no event.
    pub async fn try_next(&mut self) -> Result<Option<ResponseEvent>, Error> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await.transpose()
    }

    /// Drives the turn to its end, and gives the response. Where the [`report`](Self::report) is
    /// wanted too, take the events with [`try_next`](Self::try_next) and read it before.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the stream.
    ///
    /// # Errors
    ///
    /// The error that ended the turn, although it was handed out as an event before; then without
    /// a source that is not of this crate.
    pub async fn final_response(mut self) -> Result<Response, Error> {
        while self.try_next().await?.is_some() {}
        match &mut self.stage {
            Stage::Ended { report, response, failure } => {
                let response = std::mem::take(response);
                match failure.take() {
                    None => Ok(response),
                    Some(error) => {
                        Err(error.with_partial(response).with_report(std::mem::take(report)))
                    }
                }
            }
            // Its stream has ended, so that it is in no other stage.
            Stage::Live { .. } | Stage::Climbing { .. } => {
                Err(Error::new(ErrorKind::Truncated, Phase::Events, Cause::None))
            }
        }
    }

    /// The response as far as it came.
    pub fn response(&self) -> Response {
        match &self.stage {
            Stage::Live { turn, .. } => turn.response(),
            Stage::Climbing { response, .. } | Stage::Ended { response, .. } => response.clone(),
        }
    }

    /// What the turn did so far; complete once it has ended.
    pub fn report(&self) -> &TurnReport {
        match &self.stage {
            Stage::Live { run, .. } => run.report(),
            Stage::Climbing { report, .. } | Stage::Ended { report, .. } => report,
        }
    }

    fn go_live(&mut self, run: Box<Run>, live: Live) {
        let Live { transport, turn, ready, base, resumed } = live;
        self.slot.set_climbing(false);
        self.last_event = Instant::now();
        // It may be set to a later moment than the transport of this attempt allows.
        self.timer.as_mut().reset(self.last_event);
        let told_before = if resumed { Vec::new() } else { self.told.clone() };
        let turn = Box::new(turn);
        self.stage = Stage::Live { run, turn, ready, base, transport, told_before };
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Polled> {
        if let Some(why) = self.slot.taken(cx.waker()) {
            return Poll::Ready(self.taken(why));
        }
        match &mut self.stage {
            Stage::Ended { .. } => Poll::Pending,
            Stage::Climbing { climb, runtime, delivery, response, .. } => {
                let _in_runtime = runtime.enter();
                let (run, result) = ready!(climb.as_mut().poll(cx));
                // Ended while the attempt looked for its exchange.
                if let (Err(_), Some(why)) = (&result, self.slot.why_ended()) {
                    return Poll::Ready(self.taken(why));
                }
                let output_before = *delivery == Delivery::OutputStarted;
                let response = std::mem::take(response);
                Poll::Ready(match result {
                    Ok(live) if output_before && !live.resumed => {
                        self.told.clear();
                        self.go_live(run, live);
                        Polled::Yield(ResponseEvent::Restarted)
                    }
                    Ok(live) => {
                        self.go_live(run, live);
                        Polled::Again
                    }
                    Err(error) => self.failed(run, response, error),
                })
            }
            Stage::Live { ready, turn, .. } => {
                if let Some(step) = ready.pop_front() {
                    return Poll::Ready(self.step(step, true));
                }
                if let Some(step) = turn.next_step() {
                    let by_server = turn.ended_by_server();
                    return Poll::Ready(self.step(step, by_server));
                }
                match self.slot.poll_next(cx) {
                    Poll::Ready(Some(Incoming::Frame(frame))) => Poll::Ready(self.frame(frame)),
                    Poll::Ready(Some(Incoming::LateEvents)) => {
                        turn.note(Anomaly::LateEvents);
                        Poll::Ready(Polled::Again)
                    }
                    Poll::Ready(Some(Incoming::End(end))) => Poll::Ready(self.end(end)),
                    // Taken a moment ago: the next look finds it.
                    Poll::Ready(None) => Poll::Ready(Polled::Again),
                    Poll::Pending => self.poll_timer(cx),
                }
            }
        }
    }

    /// The timer is looked at when it fires, and set again if events came meanwhile: setting it
    /// for each of them would cost more than the event.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Polled> {
        loop {
            let Stage::Live { run, transport, .. } = &mut self.stage else { return Poll::Pending };
            let Some(deadline) = run.next_deadline(*transport, self.last_event) else {
                return Poll::Pending;
            };
            if run.runtime_end().has_come() {
                return Poll::Ready(self.end(End::Lost(None)));
            }
            ready!(self.timer.as_mut().poll(cx));
            let fired = self.timer.deadline();
            let until = if fired >= deadline { run.wait_until(deadline) } else { deadline };
            if fired >= until {
                return Poll::Ready(self.end(End::TimedOut));
            }
            self.timer.as_mut().reset(until);
        }
    }

    fn frame(&mut self, frame: Frame) -> Polled {
        let Stage::Live { run, turn, .. } = &mut self.stage else { return Polled::Again };
        run.report_mut().bytes_received += frame.payload.len() as u64;
        if run.is_too_late(frame.payload.len()) {
            return self.end(End::TimedOut);
        }
        // Metadata proves that the peer lives, but not that the turn goes on.
        if frame.tag.role.is_progress() {
            self.last_event = Instant::now();
        }
        let by_server = frame.tag.role.leaves_connection();
        let step = turn.handle(frame);
        self.step(step, by_server)
    }

    /// Does what a step says; `by_server` when the server ended the turn, if it is over.
    fn step(&mut self, step: Step, by_server: bool) -> Polled {
        let Stage::Live { run, turn, base, told_before, .. } = &mut self.stage else {
            return Polled::Again;
        };
        match step {
            Step::Nothing => Polled::Again,
            Step::Event(event)
                if defect!(EventLost) && event.kind() == EventKind::OutputTextDone =>
            {
                Polled::Again
            }
            Step::Event(event) if told_before.contains(&event.kind()) && !defect!(CreatedAgain) => {
                Polled::Again
            }
            Step::Event(event) => {
                if let Some(headers) = event.headers() {
                    run.report_mut().server.add(headers);
                }
                let kind = event.kind();
                let begins =
                    matches!(kind, EventKind::Created | EventKind::Queued | EventKind::InProgress);
                if begins && !self.told.contains(&kind) {
                    self.told.push(kind);
                }
                run.report_mut().events += 1;
                if event.text_delta().is_some() && run.report().timings.first_text.is_none() {
                    run.report_mut().timings.first_text = Some(run.elapsed());
                }
                Polled::Yield(event)
            }
            Step::Done(event) => {
                run.report_mut().events += 1;
                run.report_mut().timings.done = Some(run.elapsed());
                run.report_mut().anomalies = turn.anomalies().to_vec();
                run.commit(base.prior(&event, turn));
                run.settle(None);
                self.stage = Stage::Ended {
                    report: std::mem::take(run.report_mut()),
                    response: turn.response(),
                    failure: None,
                };
                Polled::Last(Ok(event))
            }
            Step::Failed(error) => {
                // Dropping the exchange closes the connection; one that the server ended by its
                // own word can stay.
                if by_server {
                    run.settle(Some(&error));
                }
                self.fail(error)
            }
        }
    }

    fn end(&mut self, end: End) -> Polled {
        if defect!(EndIsSuccess) {
            self.stage = Stage::default();
        }
        if let Stage::Live { turn, .. } = &mut self.stage {
            turn.close(end);
        }
        Polled::Again
    }

    /// The response failed: another attempt, if the policy allows one, or the end.
    fn fail(&mut self, mut error: Error) -> Polled {
        // Ended while its exchange was being looked for.
        if let Some(why) = self.slot.why_ended() {
            return self.taken(why);
        }
        let Stage::Live { mut run, turn, base, .. } = std::mem::take(&mut self.stage) else {
            return Polled::Again;
        };
        run.report_mut().anomalies = turn.anomalies().to_vec();
        drop(self.slot.remove());
        let response = turn.response();
        run.keep(*turn, base, &error);
        let delay = run.recover(&mut error).filter(|_| !run.runtime_end().has_come());
        match delay {
            Some(delay) => {
                let report = run.report().clone();
                let runtime = run.runtime().clone();
                let climb = Box::pin(async move {
                    let live = run.again(delay).await;
                    (run, live)
                });
                let delivery = error.delivery();
                self.slot.set_climbing(true);
                self.stage = Stage::Climbing { delivery, response, report, runtime, climb };
                Polled::Again
            }
            None => self.failed(run, response, error),
        }
    }

    /// The session ended the turn.
    fn taken(&mut self, why: ErrorKind) -> Polled {
        let error = Error::new(why, Phase::Events, Cause::None);
        match std::mem::take(&mut self.stage) {
            Stage::Live { run, turn, .. } => {
                let response = turn.response();
                let error = error.with_delivery(turn.delivery()).with_partial(response.clone());
                self.failed(run, response, error)
            }
            Stage::Climbing { delivery, response, report, .. } => {
                let error = error.with_delivery(delivery).with_partial(response.clone());
                self.last(report, response, error)
            }
            before @ Stage::Ended { .. } => {
                self.stage = before;
                Polled::Again
            }
        }
    }

    fn failed(&mut self, run: Box<Run>, response: Response, error: Error) -> Polled {
        let (error, report) = run.conclude(error);
        self.last(report, response, error)
    }

    /// Hands out the error that the turn ends with.
    fn last(&mut self, report: TurnReport, response: Response, error: Error) -> Polled {
        self.slot.set_climbing(false);
        self.stage = Stage::Ended {
            report: report.clone(),
            response,
            failure: Some(error.clone_without_source()),
        };
        Polled::Last(Err(error.with_report(report)))
    }
}

impl Stream for ResponseStream {
    type Item = Result<ResponseEvent, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(since) = self.busy_since.take() {
            self.last_event += since.elapsed();
        }
        loop {
            if matches!(self.stage, Stage::Ended { .. }) {
                return Poll::Ready(None);
            }
            match ready!(self.poll_step(cx)) {
                Polled::Yield(event) => {
                    self.busy_since = Some(Instant::now());
                    return Poll::Ready(Some(Ok(event)));
                }
                Polled::Last(last) => return Poll::Ready(Some(last)),
                Polled::Again => {}
            }
        }
    }
}

impl Drop for ResponseStream {
    fn drop(&mut self) {
        self.slot.set_climbing(false);
        drop(self.slot.remove());
    }
}

impl fmt::Debug for ResponseStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseStream").field("report", self.report()).finish_non_exhaustive()
    }
}
