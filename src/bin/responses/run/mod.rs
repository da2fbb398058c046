//! `responses run`: runs turns of an input in one session, or of several inputs in one each.

use std::{
    cell::RefCell,
    io::{self, BufWriter, IsTerminal, StdoutLock, Write},
};

use futures_util::{FutureExt, StreamExt, future::join_all, stream::FuturesUnordered};
use responses_client::{
    Error, PoolPolicy, Response, ResponseEvent, ResponseStream, ResponsesRequest, ResponsesSession,
    Sharing, Transport, error::RequestError, report::TurnReport,
};
use serde::Serialize;
use tokio::{sync::mpsc, time::Instant};

pub(crate) use args::Args;

use self::{
    args::Form,
    input::{Conversation, Value},
    record::Recorder,
    text::TextWriter,
};
use crate::{
    client_args::bad_setting,
    line::{Ending, ErrorLine, EventLine, RecordLine, Recorded, SessionLine, TurnLine},
    logging,
    notes::{Notices, note},
    stop::{Stop, in_words, interrupted},
};

mod args;
mod input;
mod record;
mod text;

/// Runs the turns of the input. Returns `true` if all turns succeeded.
pub(crate) async fn run(args: Args) -> Result<bool, Stop> {
    logging::start(args.verbose);
    let mut builder = args.client.builder()?.transport(args.transport.policy());
    if !args.sessions.is_empty() {
        builder = builder.pool(PoolPolicy::default().sharing(Sharing::Lanes));
    }
    let client = builder.build().map_err(bad_setting)?;
    let output = RefCell::new(Output {
        quiet: args.quiet,
        text: match args.form() {
            Form::Json => None,
            Form::Text => Some(TextWriter::new(io::stdout().is_terminal())),
        },
        out: BufWriter::new(io::stdout().lock()),
        recorder: Recorder::create(args.record.as_deref())?,
    });
    let mut runners = Vec::new();
    for (name, source) in args.sources()? {
        let notices = Notices::new(name.as_deref(), args.verbose > 0);
        let mut session = client.session();
        session.set_observer(notices.clone());
        runners.push(Runner {
            name,
            session,
            values: input::values(source),
            conversation: Conversation::default(),
            turn: 0,
            notices,
            fail_fast: args.fail_fast,
            output: &output,
        });
    }
    let ended = tokio::select! {
        ended = run_all(&mut runners, args.fail_fast) => ended,
        () = interrupted() => Err(Stop::Interrupted),
    };
    let flushed = output.borrow_mut().flush();
    if ended.is_ok() && runners.iter().all(|runner| runner.turn == 0) {
        note("the input has no requests");
    }
    join_all(runners.into_iter().map(|runner| runner.session.close())).await;
    match (ended, flushed) {
        (Ok(all_well), flushed) => flushed.map(|()| all_well),
        (Err(stop), _) => Err(stop),
    }
}

/// Runs all sessions at the same time. The first fault of an input ends all of them, and so does
/// the first failed turn if `fail_fast`.
async fn run_all(runners: &mut [Runner<'_>], fail_fast: bool) -> Result<bool, Stop> {
    let mut running: FuturesUnordered<_> = runners.iter_mut().map(Runner::turns).collect();
    let mut all_well = true;
    while let Some(ended) = running.next().await {
        all_well &= ended?;
        if fail_fast && !all_well {
            break;
        }
    }
    Ok(all_well)
}

/// A session, its requests, and the place of its output.
struct Runner<'a> {
    /// Name of the session, if there are several.
    name: Option<String>,
    session: ResponsesSession,
    values: mpsc::Receiver<Value>,
    conversation: Conversation,
    /// Number of the turn, from 1.
    turn: u64,
    notices: Notices,
    /// `true` if the first turn that fails ends the run.
    fail_fast: bool,
    /// Not borrowed across an await.
    output: &'a RefCell<Output>,
}

/// Output of all sessions.
struct Output {
    quiet: bool,
    /// Writer of the answers, if the output is text.
    text: Option<TextWriter>,
    out: BufWriter<StdoutLock<'static>>,
    recorder: Recorder,
}

/// Outcome of a turn.
struct Outcome {
    result: Result<Ending, Error>,
    response: Option<Response>,
    report: TurnReport,
}

impl Runner<'_> {
    async fn turns(&mut self) -> Result<bool, Stop> {
        let mut all_well = true;
        while let Some(Value { place, text }) = self.values.recv().await {
            let bad_value = |why: String| Stop::Bad(format!("{place}: {why}"));
            let text = text.map_err(bad_value)?;
            let request = self.conversation.request(&text).map_err(bad_value)?;
            self.turn += 1;
            self.notices.set_turn(self.turn);
            let start = Instant::now();
            let outcome = match self.session.stream(&request).await {
                Ok(stream) => self.events(stream, start).await?,
                Err(error) if is_bad_request(&error) => return Err(bad_value(in_words(&error))),
                Err(error) => Outcome::failed(error),
            };
            all_well &= outcome.result.is_ok();
            self.conclude(request, outcome, start)?;
            if self.fail_fast && !all_well {
                break;
            }
        }
        Ok(all_well)
    }

    /// Writes the events of a turn.
    async fn events(
        &mut self,
        mut stream: ResponseStream,
        start: Instant,
    ) -> Result<Outcome, Stop> {
        let mut ending = Ending::Completed;
        loop {
            // Events that arrived together are written together. The output is flushed before each
            // wait, so that no event is delayed.
            let next = match stream.try_next().now_or_never() {
                Some(next) => next,
                None => {
                    self.output.borrow_mut().flush()?;
                    stream.try_next().await
                }
            };
            match next {
                Ok(Some(event)) => {
                    if matches!(event, ResponseEvent::Incomplete(_)) {
                        ending = Ending::Incomplete;
                    }
                    self.event(&event, stream.report(), start)?;
                }
                Ok(None) => {
                    let (response, report) = (stream.response(), stream.report().clone());
                    return Ok(Outcome { result: Ok(ending), response: Some(response), report });
                }
                Err(error) => return Ok(Outcome::failed(error)),
            }
        }
    }

    fn event(
        &self,
        event: &ResponseEvent,
        report: &TurnReport,
        start: Instant,
    ) -> Result<(), Stop> {
        let output = &mut *self.output.borrow_mut();
        // `Restarted` is an event of the client, and was not received from the server.
        if !event.raw().is_empty() {
            let event = Recorded::Event(event.raw());
            output.record(self.turn, event, report.transport, start)?;
        }
        if let Some(text) = &mut output.text {
            return text.event(event, &mut output.out).map_err(Stop::output);
        }
        if output.quiet {
            return Ok(());
        }
        let line = EventLine { turn: self.turn, event: event.raw(), kind: event.kind() };
        output.write(&line, self.name.as_deref(), report)
    }

    /// Writes the outcome of a turn.
    fn conclude(
        &mut self,
        request: ResponsesRequest,
        outcome: Outcome,
        start: Instant,
    ) -> Result<(), Stop> {
        let Outcome { result, response, report } = outcome;
        let output = &mut *self.output.borrow_mut();
        if let Err(error) = &result {
            let error = Recorded::Error(ErrorLine::new(error));
            output.record(self.turn, error, report.transport, start)?;
        }
        let (result, response_so_far) = (result.as_ref().map(|it| *it), response.as_ref());
        if let Some(text) = &mut output.text {
            let failure = result.err();
            let written = text.end(self.turn, failure, response_so_far, &mut output.out);
            written.map_err(Stop::output)?;
        } else {
            let line = TurnLine::new(self.turn, result, response_so_far, &report);
            output.write(&line, self.name.as_deref(), &report)?;
        }
        self.conversation.settle(request, response.as_ref().filter(|_| result.is_ok()));
        output.flush()
    }
}

impl Output {
    fn record(
        &mut self,
        turn: u64,
        what: Recorded<'_>,
        transport: Option<Transport>,
        start: Instant,
    ) -> Result<(), Stop> {
        self.recorder.write(&RecordLine {
            turn,
            at_ms: start.elapsed().as_millis(),
            transport: transport.map(Transport::as_str),
            what,
        })
    }

    /// Writes a line, with the session and its lane if there are several sessions.
    fn write(
        &mut self,
        line: &impl Serialize,
        session: Option<&str>,
        report: &TurnReport,
    ) -> Result<(), Stop> {
        let lane = report.lane.as_deref();
        let written = match session {
            Some(session) => {
                serde_json::to_writer(&mut self.out, &SessionLine { line, session, lane })
            }
            None => serde_json::to_writer(&mut self.out, line),
        };
        let written = written.map_err(io::Error::from);
        written.and_then(|()| self.out.write_all(b"\n")).map_err(Stop::output)
    }

    fn flush(&mut self) -> Result<(), Stop> {
        self.recorder.flush()?;
        self.out.flush().map_err(Stop::output)
    }
}

impl Outcome {
    fn failed(error: Error) -> Self {
        let report = error.report().cloned().unwrap_or_default();
        Self { response: error.response().cloned(), result: Err(error), report }
    }
}

/// Returns `true` if the value of the input is invalid, and `false` if the policies forbid the request.
fn is_bad_request(error: &Error) -> bool {
    matches!(
        error.request_error(),
        Some(
            RequestError::Body(_) | RequestError::ReservedField(_) | RequestError::RepeatedField(_)
        )
    )
}
