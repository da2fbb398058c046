//! The events of one turn.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_util::Stream;

use super::driver::Driver;
use crate::{
    error::{Cause, Error},
    event::ResponseEvent,
    kind::{ErrorKind, Phase},
    proto::turn::{Ended, Output},
    report::TurnReport,
    response::Response,
};

/// The events of one turn, from its `Created` to its end.
///
/// It ends in one of three ways, the same on both transports and without delay: with `Completed`,
/// with `Incomplete`, or with an error. After that it yields `None`. If the connection closes
/// before the terminal event, the turn ends with an error.
///
/// # Cancel safety
///
/// Dropping a wait for the next event loses none. Dropping the stream before its end cancels the
/// turn by closing its connection: generation stops, and the next turn is sent in full; a response
/// in the background runs on until [`cancel`](crate::ResponsesClient::cancel). Dropping the stream
/// after its end keeps the connection.
#[must_use = "a stream that is dropped cancels its turn"]
pub struct ResponseStream {
    state: State,
}

enum State {
    Live(Pin<Box<Driver>>),
    /// Nothing of the client is held any more.
    Ended(Box<Ended>),
}

impl ResponseStream {
    pub(super) fn new(driver: Pin<Box<Driver>>) -> Self {
        Self { state: State::Live(driver) }
    }

    /// Returns the next event; `None` after the last one. The same as the [`Stream`], without a
    /// trait.
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

    /// Drives the turn to its end, and returns the response. If you need the
    /// [`report`](Self::report) too, take the events with [`try_next`](Self::try_next) and read the
    /// report before.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the stream.
    ///
    /// # Errors
    ///
    /// The error that ended the turn, even if it was handed out as an event before; then without a
    /// source that is not of this crate.
    pub async fn final_response(mut self) -> Result<Response, Error> {
        while self.try_next().await?.is_some() {}
        let State::Ended(ended) = self.state else {
            // Its events have ended, so that it is in no other state.
            return Err(Error::new(ErrorKind::Truncated, Phase::Events, Cause::None));
        };
        let Ended { report, response, failure } = *ended;
        match failure {
            None => Ok(response),
            Some(error) => Err(error.with_partial(response).with_report(report)),
        }
    }

    /// Returns the response as far as it came.
    pub fn response(&self) -> Response {
        match &self.state {
            State::Live(driver) => driver.response(),
            State::Ended(ended) => ended.response.clone(),
        }
    }

    /// Returns what the turn did so far. The report is complete once the turn has ended.
    pub fn report(&self) -> &TurnReport {
        match &self.state {
            State::Live(driver) => driver.report(),
            State::Ended(ended) => &ended.report,
        }
    }
}

impl Stream for ResponseStream {
    type Item = Result<ResponseEvent, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let State::Live(driver) = &mut self.state else { return Poll::Ready(None) };
        let last = match ready!(driver.as_mut().poll_output(cx)) {
            Some(Output::Event(event)) => return Poll::Ready(Some(Ok(event))),
            Some(Output::Last(last)) => Some(last),
            None => None,
        };
        let ended = driver.as_mut().take_ended();
        self.state = State::Ended(Box::new(ended));
        Poll::Ready(last)
    }
}

impl fmt::Debug for ResponseStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseStream").field("report", self.report()).finish_non_exhaustive()
    }
}
