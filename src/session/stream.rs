//! The event stream of a turn: [`ResponseStream`].

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_util::{Stream, stream::FusedStream};

use super::{
    driver::Driver,
    final_response::FinalResponse,
    inject::{InjectError, InjectHandle},
    steer::{SteerError, SteerHandle},
};
use crate::{
    error::{Cause, Error},
    event::ResponseEvent,
    kind::{ErrorKind, Phase},
    proto::turn::{Ended, Output, message::InputErrorKind},
    report::TurnReport,
    request::History,
    response::Response,
};

/// Stream of the events of one turn, from `Created` to its end.
///
/// The stream ends in one of three ways, on both transports and without delay: with `Completed`,
/// with `Incomplete`, or with an error. Afterwards it yields `None`. If the connection closes
/// before the terminal event, the turn ends with an error.
///
/// # Adaptors
///
/// Adaptors such as those of `futures_util::StreamExt` take a stream by value. Pass them
/// [`by_ref`](futures_util::StreamExt::by_ref), so that the stream remains for
/// [`report`](Self::report) and [`final_response`](Self::final_response): an adaptor that owns the
/// stream cancels the turn when the adaptor is dropped early.
///
/// ```
/// use futures_util::{StreamExt, TryStreamExt};
/// # use responses_client::{Error, ResponsesRequest, ResponsesSession};
/// # async fn first_events(session: &mut ResponsesSession) -> Result<(), Error> {
/// # let request = ResponsesRequest::new("gpt-6-astra");
/// let mut stream = session.stream(&request).await?;
/// let first: Vec<_> = stream.by_ref().take(3).try_collect().await?;
/// println!("{} events, then the rest", first.len());
/// println!("{}", stream.final_response().await?.output_text());
/// # Ok(())
/// # }
/// ```
///
/// # Cancel safety
///
/// Dropping a wait for the next event loses none. Dropping the stream before its end cancels the
/// turn by closing its connection: generation stops, and the next turn is sent in full. A response
/// in the background continues until [`cancel`](crate::ResponsesClient::cancel). Dropping the
/// stream after its end keeps the connection.
#[must_use = "a stream that is dropped cancels its turn"]
pub struct ResponseStream {
    state: StreamState,
}

enum StreamState {
    Live(Pin<Box<Driver>>),
    /// The turn has ended. Its driver was dropped, so that the stream holds nothing of the client.
    Ended(Box<Ended>),
}

impl ResponseStream {
    pub(super) fn new(driver: Pin<Box<Driver>>) -> Self {
        Self { state: StreamState::Live(driver) }
    }

    /// Returns the next event; `None` after the last event. Equivalent to polling the [`Stream`],
    /// without importing a trait.
    ///
    /// # Errors
    ///
    /// Returns the error that ended the turn, once.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no event.
    pub async fn try_next(&mut self) -> Result<Option<ResponseEvent>, Error> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await.transpose()
    }

    /// Runs the turn to its end, and returns the response with the report of the turn.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the stream.
    ///
    /// # Errors
    ///
    /// Returns the error that ended the turn, even if [`try_next`](Self::try_next) has already
    /// returned that error.
    pub async fn final_response(mut self) -> Result<FinalResponse, Error> {
        while self.try_next().await?.is_some() {}
        let StreamState::Ended(ended) = self.state else {
            // Not reached: the state is `Ended` once the events have ended.
            return Err(Error::new(ErrorKind::Truncated, Phase::Events, Cause::None));
        };
        let Ended { report, response, failure } = *ended;
        match failure {
            None => Ok(FinalResponse::new(response, report)),
            Some(error) => Err(error),
        }
    }

    /// Gives the running response further input, without waiting: user messages, or a text as one.
    ///
    /// The server ends the response after the item in progress, or at its own end, and begins
    /// another one that has the input. The stream continues with that response:
    /// [`Steered`](ResponseEvent::Steered) stands in place of the end of the first one, and only the
    /// last response ends the turn. Its [`output_items`](Response::output_items) are those of all
    /// responses, with the input between them, so that the history is complete. The
    /// [report](TurnReport::responses) has the usage of each. Every response may be steered, at most
    /// 32 times in a turn.
    ///
    /// The handle shows what has become of the input. While the server has not settled a steer, the
    /// end of the response is held back: for 10 s, or for 1 s if the response waits for the results
    /// of calls. Then the steer is [`Unknown`](crate::SteerState::Unknown), and the connection is
    /// closed. A turn is not retried once input was accepted, or may have been, because a retry
    /// would lose it.
    ///
    /// # Errors
    ///
    /// [`SteerError`] with the input, which was not sent, if
    ///
    /// - the turn goes over SSE, or the [provider](crate::Provider::steers) does not support
    ///   steering;
    /// - no response runs now;
    /// - the input is not valid for a running response, or too large, or there are too many steers.
    pub fn steer(&mut self, input: impl Into<History>) -> Result<SteerHandle, SteerError> {
        let input = input.into();
        match &mut self.state {
            StreamState::Live(driver) => driver.as_mut().steer(input),
            StreamState::Ended(_) => Err(SteerError::new(InputErrorKind::NotRunning, input)),
        }
    }

    /// Gives the running response outputs of calls, without waiting: the outputs of functions and
    /// custom tools, of the computer, the shell, patches and tool search, and answers to requests for
    /// approval. Beta: a response with several agents (`multi_agent`) continues with them.
    ///
    /// The handle shows what has become of the outputs. Once they are committed,
    /// [`output_items`](Response::output_items) has them after the items that were finished before,
    /// and their calls are no longer in [`function_calls`](Response::function_calls). So a loop that
    /// adds the output items of a response to its history, and then an output for each of its calls,
    /// has the whole conversation, and the next turn sends only what is new. If outputs failed, their
    /// calls are left for the next request; `response_already_completed` says just that.
    ///
    /// An answer of the server (`response.inject.created`, `response.inject.failed`) has the id of
    /// the response, but none of the inject: see the types of OpenAI's library for Python, version
    /// 3.57. Therefore the answers about a response are matched to its injects in the order of their
    /// sending. All outputs of one call of this method are committed, or none.
    ///
    /// While the server has not answered an inject, the end of the response is held back: for 10 s,
    /// or for 1 s if the response waits for the results of calls. Then the inject is
    /// [`Unknown`](crate::InjectState::Unknown), the connection is closed, and the next turn sends
    /// the full request. Outputs are never sent a second time. A turn is not retried once outputs
    /// were committed, or may have been, because a retry would lose them.
    ///
    /// # Errors
    ///
    /// [`InjectError`] with the outputs, which were not sent, if
    ///
    /// - the turn goes over SSE, or the [provider](crate::Provider::injects) does not support it;
    /// - no response runs now;
    /// - the input has items other than such outputs, or an output without the id of its call;
    /// - the message is too large, or 32 injects have no answer.
    pub fn inject(&mut self, outputs: impl Into<History>) -> Result<InjectHandle, InjectError> {
        let outputs = outputs.into();
        match &mut self.state {
            StreamState::Live(driver) => driver.as_mut().inject(outputs),
            StreamState::Ended(_) => Err(InjectError::new(InputErrorKind::NotRunning, outputs)),
        }
    }

    /// Stops the response. Read the stream on to its end, which comes soon.
    ///
    /// A server that [interrupts](crate::Provider::interrupts) responses ends the turn with
    /// `Incomplete` for the reason `interrupted`, or with the regular end if that comes first. The
    /// connection stays open, and the next turn continues the response. If the server cannot
    /// interrupt the response or does not end it within 10 s, and for any other server, the
    /// connection is closed. Then the turn ends with an error of the kind
    /// [`Stopped`](crate::ErrorKind::Stopped). In each case [`response`](Self::response) has the
    /// partial output. A response in the background continues on the server.
    ///
    /// Has no effect after the end of the turn.
    pub fn stop(&mut self) {
        if let StreamState::Live(driver) = &mut self.state {
            driver.as_mut().stop();
        }
    }

    /// Returns the response as received so far.
    pub fn response(&self) -> Response {
        match &self.state {
            StreamState::Live(driver) => driver.response(),
            StreamState::Ended(ended) => ended.response.clone(),
        }
    }

    /// Returns the report of the turn so far. The report is complete once the turn has ended.
    pub fn report(&self) -> &TurnReport {
        match &self.state {
            StreamState::Live(driver) => driver.report(),
            StreamState::Ended(ended) => &ended.report,
        }
    }
}

impl Stream for ResponseStream {
    type Item = Result<ResponseEvent, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let StreamState::Live(driver) = &mut self.state else { return Poll::Ready(None) };
        let last = match ready!(driver.as_mut().poll_output(cx)) {
            Some(Output::Event) => return Poll::Ready(driver.as_mut().take_event().map(Ok)),
            Some(Output::Last) => driver.as_mut().take_event().map(Ok),
            Some(Output::Failed(error)) => Some(Err(error)),
            None => None,
        };
        let ended = driver.as_mut().take_ended();
        self.state = StreamState::Ended(Box::new(ended));
        Poll::Ready(last)
    }
}

impl FusedStream for ResponseStream {
    /// Returns `true` after the last event or the error: the stream then yields only `None`.
    fn is_terminated(&self) -> bool {
        matches!(self.state, StreamState::Ended(_))
    }
}

impl fmt::Debug for ResponseStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseStream").field("report", self.report()).finish_non_exhaustive()
    }
}
