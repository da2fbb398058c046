//! The event stream of a turn: [`ResponseStream`].

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_util::{Stream, stream::FusedStream};

use super::{driver::Driver, final_response::FinalResponse};
use crate::{
    error::{Cause, Error},
    event::ResponseEvent,
    kind::{ErrorKind, Phase},
    proto::turn::{Ended, Output},
    report::TurnReport,
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
            Some(Output::Event(event)) => return Poll::Ready(Some(Ok(event))),
            Some(Output::Last(last)) => Some(last),
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
