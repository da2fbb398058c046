//! Conversations: [`ResponsesSession`], and the stream of each turn.

use std::{fmt, sync::Arc};

pub use checkpoint::Checkpoint;
pub use final_response::FinalResponse;
pub use inject::{InjectError, InjectHandle};
pub use steer::{SteerError, SteerHandle};
pub use stream::ResponseStream;
pub use turn::TurnBuilder;

use self::core::SessionCore;
use crate::{
    endpoint::{Endpoint, header_of_session, parse_header},
    error::Error,
    observe::TurnObserver,
    proto::turn::Goal,
    request::ResponsesRequest,
};

mod checkpoint;
mod control;
mod core;
mod driver;
mod final_response;
mod headers;
mod inject;
mod message;
mod steer;
mod stream;
mod turn;
mod work;

/// One conversation.
///
/// Pass the full request to [`stream`](Self::stream) in every turn. The session compares the
/// request with the previous request and its response, and sends only the new items when possible,
/// and the full request otherwise. [`ResponseStream::report`] contains the choice and its reason.
///
/// Dropping the session closes its WebSocket once a stream in progress has ended.
///
/// # Tasks
///
/// A session is `Send`. A task takes the session over, and gives it back with its result:
///
/// ```
/// # use responses_client::{Error, ResponsesRequest, ResponsesSession};
/// # async fn two(mut session: ResponsesSession, request: ResponsesRequest) -> Result<(), Error> {
/// let task = tokio::spawn(async move {
///     let response = session.respond(&request).await;
///     (session, response)
/// });
/// # Ok(())
/// # }
/// ```
///
/// A task cannot borrow a session, because the task may outlive the session:
///
/// ```compile_fail,E0521
/// # use responses_client::{ResponsesRequest, ResponsesSession};
/// fn spawn(session: &mut ResponsesSession, request: ResponsesRequest) {
///     tokio::spawn(session.respond(request));
/// }
/// ```
///
/// One session cannot run two turns at a time. [`fork`](Self::fork) returns another session:
///
/// ```compile_fail,E0499
/// # use responses_client::{ResponsesRequest, ResponsesSession};
/// # async fn two(session: &mut ResponsesSession, one: ResponsesRequest, two: ResponsesRequest) {
/// let _ = tokio::join!(session.respond(one), session.respond(two));
/// # }
/// ```
pub struct ResponsesSession {
    endpoint: Arc<Endpoint>,
    core: SessionCore,
}

impl ResponsesSession {
    pub(crate) fn new(endpoint: Arc<Endpoint>) -> Self {
        Self::with_core(endpoint, SessionCore::new())
    }

    fn with_core(endpoint: Arc<Endpoint>, core: SessionCore) -> Self {
        endpoint.sessions.register(core.as_close());
        Self { endpoint, core }
    }

    /// Sends a turn, and resolves at the first event of its response.
    ///
    /// `request` may be a `ResponsesRequest`, a reference to one, or an `Arc` of one. To give the
    /// turn its own headers or time limit, use [`turn`](Self::turn). The first event may take
    /// minutes: a [`TurnObserver`] is notified of failed attempts meanwhile.
    ///
    /// A session has at most one running response. If the stream of the previous turn has not
    /// ended, that stream yields [`ErrorKind::Superseded`] and ends.
    ///
    /// # Errors
    ///
    /// Returns the error that ended the last attempt, with a report of all attempts. Returns
    /// [`ErrorKind::InvalidRequest`] without sending anything if the request is invalid.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the turn: its connection is closed, and the next turn is sent
    /// in full. If sending had not begun, the next turn can still continue the previous response.
    ///
    /// [`ErrorKind::InvalidRequest`]: crate::ErrorKind::InvalidRequest
    /// [`ErrorKind::Superseded`]: crate::ErrorKind::Superseded
    // Not an `async fn`: the promised `Send` keeps private types out of the compile error of a caller
    // who spawns the future together with something that is not `Send`.
    pub fn stream(
        &mut self,
        request: impl AsRef<ResponsesRequest>,
    ) -> impl Future<Output = Result<ResponseStream, Error>> + Send {
        self.turn(request).stream()
    }

    /// Sends a turn, runs it to its end, and returns the response with the report of the turn. Use
    /// [`stream`](Self::stream) to read the events as they arrive.
    ///
    /// # Errors
    ///
    /// Like [`stream`](Self::stream), and the error that ended the response.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the turn, like that of [`stream`](Self::stream).
    pub fn respond(
        &mut self,
        request: impl AsRef<ResponsesRequest>,
    ) -> impl Future<Output = Result<FinalResponse, Error>> + Send {
        self.turn(request).respond()
    }

    /// Returns a builder for one turn with its own headers or time limit.
    pub fn turn(&mut self, request: impl AsRef<ResponsesRequest>) -> TurnBuilder<'_> {
        TurnBuilder::new(Arc::clone(&self.endpoint), self.core.clone(), request.as_ref())
    }

    /// Returns a builder for the only turn of this session.
    pub(crate) fn into_turn(self, request: &ResponsesRequest) -> TurnBuilder<'static> {
        TurnBuilder::new(Arc::clone(&self.endpoint), self.core.clone(), request)
    }

    /// Starts to open the WebSocket for the next turn, and returns immediately.
    ///
    /// The next turn waits until the WebSocket is open, for at most
    /// [`Timeouts::prewarm`](crate::Timeouts::prewarm). If opening fails, the turn starts without
    /// the prepared connection. The call does nothing while a turn is in progress, where turns use
    /// SSE, and in a closed session.
    ///
    /// # Errors
    ///
    /// Returns [`ErrorKind::NoRuntime`] outside of a tokio runtime.
    ///
    /// [`ErrorKind::NoRuntime`]: crate::ErrorKind::NoRuntime
    pub fn preconnect(&mut self) -> Result<(), Error> {
        self.begin_ahead(Goal::Connect, Arc::default())
    }

    /// Like [`preconnect`](Self::preconnect), and also sends `request` with `generate: false`, so that
    /// the server processes the request before the turn.
    ///
    /// The next turn continues the prepared response if its request is `request` or extends the
    /// input of `request`. The input tokens are billed.
    ///
    /// A server may accept the request, refuse it, generate output or not answer. Generated output
    /// is discarded, and its WebSocket is closed. None of these outcomes harms the next turn, whose
    /// [`report`](crate::TurnReport::prewarm) contains the outcome. The next turn waits at most
    /// [`Timeouts::prewarm`](crate::Timeouts::prewarm); without that limit, until the server
    /// answers.
    ///
    /// # Errors
    ///
    /// Returns [`ErrorKind::NoRuntime`] outside of a tokio runtime, and
    /// [`ErrorKind::InvalidRequest`] if the request is invalid.
    ///
    /// [`ErrorKind::InvalidRequest`]: crate::ErrorKind::InvalidRequest
    /// [`ErrorKind::NoRuntime`]: crate::ErrorKind::NoRuntime
    pub fn prewarm(&mut self, request: impl AsRef<ResponsesRequest>) -> Result<(), Error> {
        let request = request.as_ref();
        request.check().map_err(Error::invalid_request)?;
        self.begin_ahead(Goal::WarmUp, Arc::new(request.clone()))
    }

    fn begin_ahead(&self, goal: Goal, request: Arc<ResponsesRequest>) -> Result<(), Error> {
        let runtime = turn::runtime()?;
        driver::begin_ahead(goal, &self.core, &self.endpoint, request, &runtime);
        Ok(())
    }

    /// Sets the observer of the session's turns that begin from now on. It replaces the
    /// [observer of the client](crate::ResponsesClientBuilder::observer), and stays when
    /// [`set_client`](Self::set_client) changes the client. A [`fork`](Self::fork) has the same
    /// observer.
    ///
    /// ```
    /// use responses_client::{AttemptFailed, ResponsesSession, TurnObserver};
    ///
    /// struct ToStderr;
    ///
    /// impl TurnObserver for ToStderr {
    ///     fn attempt_failed(&self, failed: &AttemptFailed) {
    ///         eprintln!("{}, next attempt in {:?}", failed.kind, failed.delay);
    ///     }
    /// }
    ///
    /// fn watch(session: &mut ResponsesSession) {
    ///     session.set_observer(ToStderr);
    /// }
    /// ```
    pub fn set_observer(&mut self, observer: impl TurnObserver) {
        self.core.set_observer(Arc::new(observer));
    }

    /// Sets a header of the session's requests and upgrades, for example a tag of a gateway.
    /// The header replaces one of the same name that the client sets. It goes with each HTTP request
    /// from now on, and with each WebSocket that is opened from now on; an open WebSocket is kept.
    /// The header stays when [`set_client`](Self::set_client) changes the client, and a
    /// [`fork`](Self::fork) has the same headers. The value is kept out of logs.
    ///
    /// ```
    /// use responses_client::{Error, ResponsesClient, ResponsesSession};
    ///
    /// fn tagged(client: &ResponsesClient) -> Result<ResponsesSession, Error> {
    ///     let mut session = client.session();
    ///     session.set_header("x-gateway-tag", "review")?;
    ///     Ok(session)
    /// }
    /// # tagged(&ResponsesClient::builder().build().unwrap()).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidConfig`](crate::ErrorKind::InvalidConfig) if the header cannot be sent,
    /// belongs to the transport, or holds a credential, which only a client can have.
    pub fn set_header(
        &mut self,
        name: impl AsRef<str>,
        value: impl AsRef<str>,
    ) -> Result<(), Error> {
        let (name, value) = header_of_session(name.as_ref(), value.as_ref(), &self.endpoint.auth)?;
        self.core.set_headers(|headers| headers.set(name, value));
        Ok(())
    }

    /// Sets the id of the conversation, for servers that route or count by it. The id goes in the
    /// headers that the provider has for it, with the same requests and upgrades as
    /// [`set_header`](Self::set_header); `docs/providers.md` lists them. Nothing is sent to a
    /// provider without such headers. Default: no id.
    ///
    /// ```
    /// use responses_client::{Error, ResponsesClient, ResponsesSession};
    ///
    /// fn review(client: &ResponsesClient) -> Result<ResponsesSession, Error> {
    ///     let mut session = client.session();
    ///     session.set_conversation_id("0197f6b4-9a3c-7000-8d3e-2f1c5e7a9b10")?;
    ///     session.set_source("review")?;
    ///     Ok(session)
    /// }
    /// # use responses_client::Provider;
    /// # review(&ResponsesClient::builder().provider(Provider::chatgpt()).build().unwrap()).unwrap();
    /// ```
    ///
    /// A header of the same name that [`set_header`](Self::set_header) sets replaces the id. A
    /// [`fork`](Self::fork) has the same id until it gets its own.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidConfig`](crate::ErrorKind::InvalidConfig) if no header can carry the id.
    pub fn set_conversation_id(&mut self, id: impl AsRef<str>) -> Result<(), Error> {
        let (_, id) = parse_header("session-id", id.as_ref())?;
        self.core.set_headers(|headers| headers.set_conversation_id(id));
        Ok(())
    }

    /// Sets the source of the session: the kind of agent that it belongs to, such as `review` or
    /// `compact`. See [`set_conversation_id`](Self::set_conversation_id) for the requests that have
    /// it. Default: no source.
    ///
    /// # Errors
    ///
    /// Like [`set_conversation_id`](Self::set_conversation_id).
    pub fn set_source(&mut self, source: impl AsRef<str>) -> Result<(), Error> {
        let (_, source) = parse_header("x-openai-subagent", source.as_ref())?;
        self.core.set_headers(|headers| headers.set_source(source));
        Ok(())
    }

    pub(crate) fn switch_endpoint(&mut self, endpoint: Arc<Endpoint>) {
        if endpoint.is_same_account(&self.endpoint) {
            self.endpoint.sessions.unregister(&self.core.as_close());
        } else {
            // The old core stays registered with the old client: while a stream holds the core,
            // closing that client ends the stream.
            self.core = self.core.detach();
        }
        endpoint.sessions.register(self.core.as_close());
        self.endpoint = endpoint;
    }

    /// Returns the state of the conversation, for [`ResponsesClient::resume`] in another process.
    /// A turn in progress is not included.
    ///
    /// [`ResponsesClient::resume`]: crate::ResponsesClient::resume
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint::new(&self.endpoint, self.core.previous())
    }

    pub(crate) fn resumed(endpoint: Arc<Endpoint>, checkpoint: Checkpoint) -> Self {
        let prior = checkpoint.prior(&endpoint);
        let session = Self::new(endpoint);
        session.core.set_previous(prior);
        session
    }

    /// Returns a parallel conversation with the same history. It sends nothing before its first
    /// turn.
    ///
    /// The first turn of the fork continues the last completed response if the server stores
    /// responses, or if it has [lanes](crate::Provider::named_lanes). With lanes, the fork takes one
    /// on the WebSocket of this session, unless the policy is
    /// [`Sharing::OwnSocket`](crate::Sharing::OwnSocket); otherwise it opens a connection. The turn
    /// is sent in full if no connection has the response, if a turn is in progress in this session,
    /// or if the last one did not complete.
    ///
    /// Until the first turn of the fork is in progress, or the fork is dropped, the server must keep
    /// the response: this session then takes another lane for its next turn. If none is free, that
    /// turn waits for the fork for at most 2 s.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self::with_core(Arc::clone(&self.endpoint), self.core.fork(self.endpoint.shares_forks()))
    }

    /// Returns `count` parallel conversations with the same history, for example one for each worker
    /// that gets a part of the work. See [`fork`](Self::fork).
    ///
    /// A WebSocket of OpenAI has 32 lanes besides the default one, and runs 16 responses at the same
    /// time. Forks for which no lane is free open WebSockets, on which their first turns are sent in
    /// full.
    ///
    /// ```
    /// # use responses_client::testing::{Script, ScriptedServer, Turn};
    /// use futures_util::future::try_join_all;
    /// use responses_client::{Error, Item, ResponsesRequest, ResponsesSession};
    ///
    /// /// Answers all questions at the same time, each in a fork of the conversation.
    /// async fn ask_all(
    ///     session: &ResponsesSession,
    ///     request: &ResponsesRequest,
    ///     questions: &[&str],
    /// ) -> Result<Vec<String>, Error> {
    ///     let forks = session.fork_n(questions.len());
    ///     let answers = forks.into_iter().zip(questions).map(|(mut fork, question)| {
    ///         let mut request = request.clone(); // cheap: the history is shared
    ///         request.input.push(Item::user(*question));
    ///         async move { Ok(fork.respond(&request).await?.output_text()) }
    ///     });
    ///     try_join_all(answers).await
    /// }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = ScriptedServer::start(Script::new().respond(|_| Turn::text("hi"))).await?;
    /// # let client = server.client()?;
    /// # let mut session = client.session();
    /// # let mut request = ResponsesRequest::new("gpt-6-astra").input("Read this.");
    /// # let response = session.respond(&request).await?;
    /// # request.input.extend(response.output_items());
    /// # assert_eq!(ask_all(&session, &request, &["What?", "Why?"]).await?, ["hi", "hi"]);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn fork_n(&self, count: usize) -> Vec<Self> {
        (0..count).map(|_| self.fork()).collect()
    }

    /// Closes the session: cancels a turn in progress, whose stream yields
    /// [`ErrorKind::SessionClosed`], and closes the WebSocket. Takes at most
    /// [`Timeouts::close`](crate::Timeouts::close).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not stop the closing, which continues in the background.
    ///
    /// [`ErrorKind::SessionClosed`]: crate::ErrorKind::SessionClosed
    pub async fn close(self) {
        if let Some(lease) = self.core.close() {
            lease.close().await;
        }
    }
}

impl Drop for ResponsesSession {
    fn drop(&mut self) {
        self.core.on_session_dropped();
    }
}

impl fmt::Debug for ResponsesSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponsesSession").finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests;
