//! One conversation: it picks the transport, plans what to send, and walks the recovery ladder.

use std::{fmt, sync::Arc};

use tokio::runtime::Handle;

pub use stream::ResponseStream;

use self::{
    run::Run,
    state::{SharedState, Slot},
};
use crate::{
    Error, ErrorKind, Phase, ResponsesRequest,
    error::Cause,
    proto::plan::{Planner, plan},
    shared::Shared,
};

mod run;
mod state;
mod stream;

/// One conversation.
///
/// Give [`stream`](Self::stream) the full request each turn. The session compares it with the
/// full request before and the server's answer, and sends what is new, or everything if it must;
/// [`ResponseStream::report`] says which, and why.
///
/// Dropping the session closes its WebSocket once a stream in progress has ended.
pub struct ResponsesSession {
    shared: Arc<Shared>,
    state: SharedState,
    planner: Planner,
}

impl ResponsesSession {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, state: SharedState::default(), planner: plan }
    }

    /// Sends a turn, and resolves at the first event of its response.
    ///
    /// One response of a session is live at a time: a stream of a turn before that has not ended
    /// yields [`ErrorKind::Superseded`] and ends.
    ///
    /// # Errors
    ///
    /// The error that ended the last attempt, with a report of them all. When the request cannot
    /// be sent as it is, nothing was sent.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the turn: its connection is closed, and the next turn is sent
    /// in full. Before sending began, nothing is lost.
    pub async fn stream(&mut self, request: &ResponsesRequest) -> Result<ResponseStream, Error> {
        let Ok(runtime) = Handle::try_current() else {
            return Err(Error::new(ErrorKind::NoRuntime, Phase::Prepare, Cause::None));
        };
        request.check().map_err(Error::invalid_request)?;
        let slot = Arc::new(Slot::default());
        self.state.begin(&slot);
        let mut run = Box::new(Run::new(
            Arc::clone(&self.shared),
            self.state.clone(),
            Arc::clone(&slot),
            Arc::new(request.clone()),
            self.planner,
            runtime,
        ));
        let live = run.climb(None).await;
        match live {
            Ok(live) => Ok(ResponseStream::new(run, slot, live)),
            Err(error) => {
                let (error, report) = run.conclude(error);
                Err(error.with_report(report))
            }
        }
    }

    /// A parallel conversation with the same history, on a connection of its own.
    ///
    /// Its first turn continues the last completed response if the server stores responses, and
    /// is sent in full if it does not, or if a turn is in progress here.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), state: self.state.fork(), planner: self.planner }
    }

    /// Ends the conversation: cancels a turn in progress, whose stream yields
    /// [`ErrorKind::SessionClosed`], and closes the WebSocket. Takes at most
    /// [`Timeouts::close`](crate::Timeouts::close).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the closing to go on by itself.
    pub async fn close(self) {
        if let Some(socket) = self.state.end() {
            socket.close().await;
        }
    }
}

impl fmt::Debug for ResponsesSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponsesSession").finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests;
