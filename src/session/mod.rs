//! One conversation: it picks the transport, plans what to send, and walks the recovery ladder.

use std::{
    fmt,
    pin::pin,
    sync::{Arc, Weak},
};

use futures_util::future::{Either, select};
use tokio::runtime::Handle;

pub use checkpoint::Checkpoint;
pub use stream::ResponseStream;

pub(crate) use stored::{Ask, ask};

use self::{
    ahead::Ahead,
    run::Run,
    state::{SharedState, Slot},
};
use crate::{
    error::{Cause, Error},
    kind::{ErrorKind, Phase},
    proto::plan::{Planner, plan},
    request::ResponsesRequest,
    shared::{Close, Shared},
};

mod ahead;
mod checkpoint;
mod run;
mod state;
mod stored;
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
        let state = SharedState::default();
        shared.enroll(state.downgrade());
        Self { shared, state, planner: plan }
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
        let runtime = runtime()?;
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
        let climbed = {
            let climb = pin!(run.start());
            match select(pin!(slot.ended()), climb).await {
                Either::Left((why, _)) => Err(why),
                Either::Right((climbed, _)) => slot.why_ended().map_or(Ok(climbed), Err),
            }
        };
        let live = climbed.unwrap_or_else(|why| Err(run.ended(why)));
        match live {
            Ok(live) => Ok(ResponseStream::new(run, slot, live)),
            Err(error) => {
                let (error, report) = run.conclude(error);
                Err(error.with_report(report))
            }
        }
    }

    /// Begins to open the WebSocket of the turns to come, and returns at once: the next turn
    /// waits for what is left of it, at most [`Timeouts::prewarm`](crate::Timeouts::prewarm), and
    /// does without it if it fails. Nothing is done while a turn is on its way, or where turns go
    /// over SSE.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoRuntime`]. In a session that was closed nothing is done, and the next turn says
    /// so.
    pub fn connect(&mut self) -> Result<(), Error> {
        self.begin_ahead(Ahead::Connect, &Arc::default())
    }

    /// The same, and lets the server read `request` (`generate: false`): the next turn, with the
    /// same request and perhaps more input, continues from there. Its input tokens are billed.
    ///
    /// A server may honour this, refuse it, generate output (which is cut off, with its WebSocket)
    /// or say nothing: none of that harms the next turn, whose
    /// [`report`](crate::TurnReport::prewarm) says what came of it. It takes at most
    /// [`Timeouts::prewarm`](crate::Timeouts::prewarm), and so long the next turn waits for it; with
    /// that turned off, until the server says something.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoRuntime`], and [`ErrorKind::InvalidRequest`] as [`stream`](Self::stream).
    pub fn prewarm(&mut self, request: &ResponsesRequest) -> Result<(), Error> {
        request.check().map_err(Error::invalid_request)?;
        self.begin_ahead(Ahead::Generate, &Arc::new(request.clone()))
    }

    fn begin_ahead(&self, what: Ahead, request: &Arc<ResponsesRequest>) -> Result<(), Error> {
        let runtime = runtime()?;
        let (shared, state) = (Arc::clone(&self.shared), self.state.clone());
        let (request, slot) = (Arc::clone(request), Arc::default());
        let run = Run::new(shared, state, slot, request, self.planner, runtime.clone());
        self.state.begin_ahead(what, &runtime, run.ahead(what));
        Ok(())
    }

    pub(crate) fn go_through(&mut self, shared: Arc<Shared>) {
        if defect!(AccountIgnored) || shared.leads_to_the_same(&self.shared) {
            let session: Weak<dyn Close> = self.state.downgrade();
            self.shared.dismiss(&session);
        } else {
            // The one before still ends with its client, as long as a stream holds it.
            self.state = self.state.leave();
        }
        shared.enroll(self.state.downgrade());
        self.shared = shared;
    }

    /// What the session knows of its conversation, for [`ResponsesClient::resume`] in another
    /// process. A turn that is in progress is not in it.
    ///
    /// [`ResponsesClient::resume`]: crate::ResponsesClient::resume
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint::new(&self.shared, self.state.prior())
    }

    pub(crate) fn resumed(shared: Arc<Shared>, checkpoint: Checkpoint) -> Self {
        let prior = checkpoint.prior(&shared);
        let session = Self::new(shared);
        session.state.set_prior(prior);
        session
    }

    /// A parallel conversation with the same history, on a connection of its own.
    ///
    /// Its first turn continues the last completed response if the server stores responses, and
    /// is sent in full if it does not, or if a turn is in progress here.
    #[must_use]
    pub fn fork(&self) -> Self {
        let state = self.state.fork();
        self.shared.enroll(state.downgrade());
        Self { shared: Arc::clone(&self.shared), state, planner: self.planner }
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

impl Drop for ResponsesSession {
    fn drop(&mut self) {
        self.state.release();
    }
}

/// The runtime that this is called in.
fn runtime() -> Result<Handle, Error> {
    Handle::try_current().map_err(|_| Error::new(ErrorKind::NoRuntime, Phase::Prepare, Cause::None))
}

impl fmt::Debug for ResponsesSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponsesSession").finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests;
