//! `responses run`: runs turns of an input in one session.

use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

use futures_util::FutureExt;
use responses_client::{
    Error, Response, ResponseEvent, ResponseStream, ResponsesRequest, ResponsesSession, Transport,
    error::RequestError, report::TurnReport,
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
    line::{Ending, ErrorLine, EventLine, RecordLine, Recorded, TurnLine},
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
    let notices = Notices::new(args.verbose > 0);
    let client = args
        .client
        .builder()?
        .transport(args.transport.policy())
        .observer(notices.clone())
        .build()
        .map_err(bad_setting)?;
    let text = match args.form() {
        Form::Json => None,
        Form::Text => Some(TextWriter::new(io::stdout().is_terminal())),
    };
    let mut runner = Runner {
        session: client.session(),
        conversation: Conversation::default(),
        turn: 0,
        notices,
        quiet: args.quiet,
        fail_fast: args.fail_fast,
        text,
        out: BufWriter::new(io::stdout().lock()),
        recorder: Recorder::create(args.record.as_deref())?,
    };
    let mut values = input::values(args.source()?);
    let ended = tokio::select! {
        ended = runner.turns(&mut values) => ended,
        () = interrupted() => Err(Stop::Interrupted),
    };
    let flushed = runner.flush();
    if ended.is_ok() && runner.turn == 0 {
        note("the input has no requests");
    }
    runner.session.close().await;
    match (ended, flushed) {
        (Ok(all_well), flushed) => flushed.map(|()| all_well),
        (Err(stop), _) => Err(stop),
    }
}

struct Runner {
    session: ResponsesSession,
    conversation: Conversation,
    /// Number of the turn, from 1.
    turn: u64,
    notices: Notices,
    quiet: bool,
    /// `true` if the first turn that fails ends the run.
    fail_fast: bool,
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

impl Runner {
    async fn turns(&mut self, values: &mut mpsc::Receiver<Value>) -> Result<bool, Stop> {
        let mut all_well = true;
        while let Some(Value { place, text }) = values.recv().await {
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
                    self.flush()?;
                    stream.try_next().await
                }
            };
            match next {
                Ok(Some(event)) => {
                    if matches!(event, ResponseEvent::Incomplete(_)) {
                        ending = Ending::Incomplete;
                    }
                    self.event(&event, stream.report().transport, start)?;
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
        &mut self,
        event: &ResponseEvent,
        transport: Option<Transport>,
        start: Instant,
    ) -> Result<(), Stop> {
        // `Restarted` is an event of the client, and was not received from the server.
        if !event.raw().is_empty() {
            self.record(Recorded::Event(event.raw()), transport, start)?;
        }
        if let Some(text) = &mut self.text {
            return text.event(event, &mut self.out).map_err(Stop::output);
        }
        if self.quiet {
            return Ok(());
        }
        let line = EventLine { turn: self.turn, event: event.raw(), kind: event.kind() };
        self.write(&line)
    }

    /// Writes the outcome of a turn.
    fn conclude(
        &mut self,
        request: ResponsesRequest,
        outcome: Outcome,
        start: Instant,
    ) -> Result<(), Stop> {
        let Outcome { result, response, report } = outcome;
        if let Err(error) = &result {
            self.record(Recorded::Error(ErrorLine::new(error)), report.transport, start)?;
        }
        let (result, response_so_far) = (result.as_ref().map(|it| *it), response.as_ref());
        if let Some(text) = &mut self.text {
            let failure = result.err();
            let written = text.end(self.turn, failure, response_so_far, &mut self.out);
            written.map_err(Stop::output)?;
        } else {
            self.write(&TurnLine::new(self.turn, result, response_so_far, &report))?;
        }
        self.conversation.settle(request, response.as_ref().filter(|_| result.is_ok()));
        self.flush()
    }

    fn record(
        &mut self,
        what: Recorded<'_>,
        transport: Option<Transport>,
        start: Instant,
    ) -> Result<(), Stop> {
        self.recorder.write(&RecordLine {
            turn: self.turn,
            at_ms: start.elapsed().as_millis(),
            transport: transport.map(Transport::as_str),
            what,
        })
    }

    fn write(&mut self, line: &impl Serialize) -> Result<(), Stop> {
        let written = serde_json::to_writer(&mut self.out, line).map_err(io::Error::from);
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
