//! The client as its caller holds it.

use std::sync::Arc;

use futures_util::future::join_all;
use tokio::time::Instant;

use crate::{
    endpoint::Endpoint,
    endpoints::responses::{self, ResponseOp},
    error::Error,
    observe::ClientMetrics,
    proto::route::Fallback,
    request::ResponsesRequest,
    response::Response,
    session::{Checkpoint, FinalResponse, ResponseStream, ResponsesSession, TurnBuilder},
};

/// Client of one provider, with its settings and credentials. Cloning is cheap.
///
/// The sessions of a client share its SSE connections and its record of origins where WebSockets
/// fail. Create one client and keep it: reading the platform's certificates takes milliseconds.
///
/// ```
/// # use responses_client::testing::{Script, ScriptedServer, Turn};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = ScriptedServer::start(Script::new().respond(|_| Turn::text("hi"))).await?;
/// # let client = server.client()?;
/// use responses_client::ResponsesRequest;
///
/// # #[cfg(any())]
/// let client = responses_client::ResponsesClient::from_env()?;
/// let request = ResponsesRequest::new("gpt-6-astra").input("Say hi");
/// let response = client.respond(&request).await?;
/// println!("{}", response.output_text());
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct ResponsesClient {
    pub(super) endpoint: Arc<Endpoint>,
}

impl ResponsesSession {
    /// Switches the session to `client`, for example with other credentials, timeouts or policies.
    /// A turn in progress is unaffected.
    ///
    /// The session keeps its connection and its stored responses if endpoint, network, fixed
    /// headers and [account](crate::ResponsesClientBuilder::account) are the same. Otherwise it drops
    /// both, so that nothing of one account is ever named to another.
    pub fn set_client(&mut self, client: &ResponsesClient) {
        self.switch_endpoint(Arc::clone(&client.endpoint));
    }
}

impl ResponsesClient {
    /// Returns a new session. Nothing is opened before its first turn.
    pub fn session(&self) -> ResponsesSession {
        ResponsesSession::new(Arc::clone(&self.endpoint))
    }

    /// Runs one turn in a session of its own, and returns the response with the report of the turn.
    /// A conversation of several turns needs a [`session`](Self::session), which keeps its WebSocket
    /// and sends only new items.
    ///
    /// ```
    /// # use responses_client::testing::{ScriptedServer, Turn};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = ScriptedServer::start([Turn::text("hi")]).await?;
    /// # let client = server.client()?;
    /// use responses_client::ResponsesRequest;
    ///
    /// let request = ResponsesRequest::new("gpt-6-astra").input("Say hi");
    /// assert_eq!(client.respond(request).await?.output_text(), "hi");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// Like [`ResponsesSession::respond`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the turn.
    pub fn respond(
        &self,
        request: impl AsRef<ResponsesRequest>,
    ) -> impl Future<Output = Result<FinalResponse, Error>> + Send {
        self.turn(request).respond()
    }

    /// Sends one turn in a session of its own, and resolves at the first event of its response.
    ///
    /// # Errors
    ///
    /// Like [`ResponsesSession::stream`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the turn.
    pub fn stream(
        &self,
        request: impl AsRef<ResponsesRequest>,
    ) -> impl Future<Output = Result<ResponseStream, Error>> + Send {
        self.turn(request).stream()
    }

    /// Returns a builder for one turn in a session of its own, with its own headers or time limit.
    pub fn turn(&self, request: impl AsRef<ResponsesRequest>) -> TurnBuilder<'static> {
        self.session().into_turn(request.as_ref())
    }

    /// Returns a session that continues from a [`checkpoint`](ResponsesSession::checkpoint). Its
    /// next turn continues the last response by its id if the server stores the response and this
    /// client uses the same server and [account](crate::ResponsesClientBuilder::account). Otherwise the
    /// next turn is sent in full.
    pub fn resume(&self, checkpoint: Checkpoint) -> ResponsesSession {
        ResponsesSession::resumed(Arc::clone(&self.endpoint), checkpoint)
    }

    /// Retrieves a response that the server stores, for example one in the
    /// [background](crate::ResponsesRequest#structfield.background). [`Response::status`] shows its
    /// progress.
    ///
    /// # Errors
    ///
    /// The error of the last attempt: [`ErrorKind::Api`](crate::ErrorKind::Api) with status 404 if
    /// the server does not have the response. The call takes at most
    /// [`Timeouts::request`](crate::Timeouts::request).
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any time.
    pub async fn retrieve(&self, response_id: &str) -> Result<Response, Error> {
        responses::run(&self.endpoint, response_id, ResponseOp::Retrieve).await
    }

    /// Cancels a response in the background, and returns its state afterwards. Cancelling twice is
    /// harmless.
    ///
    /// # Errors
    ///
    /// Like [`retrieve`](Self::retrieve).
    ///
    /// # Cancel safety
    ///
    /// After the future is dropped, the response may or may not have been cancelled.
    pub async fn cancel(&self, response_id: &str) -> Result<Response, Error> {
        responses::run(&self.endpoint, response_id, ResponseOp::Cancel).await
    }

    /// Closes all sessions of this client, as [`ResponsesSession::close`] does and within the same
    /// time. Their streams yield [`ErrorKind::SessionClosed`](crate::ErrorKind::SessionClosed), and
    /// so does every further turn. Sessions started afterwards are unaffected.
    ///
    /// # Cancel safety
    ///
    /// After the future is dropped, the sessions still close in the background.
    pub async fn close(&self) {
        let ends = self.endpoint.sessions.open();
        join_all(ends.iter().filter_map(|session| session.close())).await;
    }

    /// Returns the counts since the client was built: connections, turns, plans, retries, fallbacks
    /// and bytes. All sessions of the client and of its clones count together.
    pub fn metrics(&self) -> ClientMetrics {
        self.endpoint.notifier.counters().snapshot()
    }

    /// Returns the fallback in force, with its reason and its remaining time. `None` if turns of
    /// [`TransportPolicy::Auto`](crate::TransportPolicy::Auto) use WebSockets. An open WebSocket of a
    /// session stays in use during a fallback.
    pub fn fallback(&self) -> Option<Fallback> {
        self.endpoint.origin.fallback(Instant::now().into_std())
    }

    /// Clears the fallback, so that the next turn opens a WebSocket. Call this method after the
    /// network has changed.
    pub fn reset_fallback(&self) {
        self.endpoint.origin.clear_breaker();
    }
}
