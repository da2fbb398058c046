//! One conversation: [`ResponsesSession`], and the stream of each of its turns.

use std::{fmt, future::poll_fn, sync::Arc};

use tokio::runtime::Handle;

pub use checkpoint::Checkpoint;
pub use stream::ResponseStream;

use self::{control::TurnControl, core::SessionCore, driver::Driver};
use crate::{
    error::{Cause, Error},
    kind::{ErrorKind, Phase},
    proto::turn::Goal,
    request::ResponsesRequest,
    shared::Shared,
};

mod checkpoint;
mod control;
mod core;
mod driver;
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
    core: SessionCore,
}

impl ResponsesSession {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self::with_core(shared, SessionCore::new())
    }

    fn with_core(shared: Arc<Shared>, core: SessionCore) -> Self {
        shared.enroll(core.as_close());
        Self { shared, core }
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
        let turn: Arc<TurnControl> = Arc::default();
        self.core.begin(&turn);
        let (shared, core) = (Arc::clone(&self.shared), self.core.clone());
        let request = Arc::new(request.clone());
        let mut driver = Box::pin(Driver::new(Goal::Turn, shared, core, turn, request, runtime));
        poll_fn(|cx| driver.as_mut().poll_begun(cx)).await?;
        Ok(ResponseStream::new(driver))
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
        self.begin_ahead(Goal::Connect, Arc::default())
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
        self.begin_ahead(Goal::WarmUp, Arc::new(request.clone()))
    }

    fn begin_ahead(&self, goal: Goal, request: Arc<ResponsesRequest>) -> Result<(), Error> {
        let runtime = runtime()?;
        driver::begin_ahead(goal, &self.core, &self.shared, request, &runtime);
        Ok(())
    }

    pub(crate) fn go_through(&mut self, shared: Arc<Shared>) {
        if shared.leads_to_the_same(&self.shared) {
            self.shared.dismiss(&self.core.as_close());
        } else {
            // The one before still ends with its client, as long as a stream holds it.
            self.core = self.core.detach();
        }
        shared.enroll(self.core.as_close());
        self.shared = shared;
    }

    /// What the session knows of its conversation, for [`ResponsesClient::resume`] in another
    /// process. A turn that is in progress is not in it.
    ///
    /// [`ResponsesClient::resume`]: crate::ResponsesClient::resume
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint::new(&self.shared, self.core.previous())
    }

    pub(crate) fn resumed(shared: Arc<Shared>, checkpoint: Checkpoint) -> Self {
        let prior = checkpoint.prior(&shared);
        let session = Self::new(shared);
        session.core.set_previous(prior);
        session
    }

    /// A parallel conversation with the same history, on a connection of its own.
    ///
    /// Its first turn continues the last completed response if the server stores responses, and
    /// is sent in full if it does not, or if a turn is in progress here.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self::with_core(Arc::clone(&self.shared), self.core.fork())
    }

    /// Ends the conversation: cancels a turn in progress, whose stream yields
    /// [`ErrorKind::SessionClosed`], and closes the WebSocket. Takes at most
    /// [`Timeouts::close`](crate::Timeouts::close).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the closing to go on by itself.
    pub async fn close(self) {
        if let Some(socket) = self.core.close() {
            socket.close().await;
        }
    }
}

impl Drop for ResponsesSession {
    fn drop(&mut self) {
        self.core.on_session_dropped();
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
