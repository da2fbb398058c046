//! A client for the streaming OpenAI Responses API. It sends the turns of a conversation over one
//! WebSocket, or over server-sent events (SSE) where WebSockets are blocked or unsupported.
//!
//! A [`ResponsesSession`] is one conversation. Pass the **full** request in every turn: the session
//! compares it with the previous request and the server's response, sends only new items when
//! possible, and sends the full request otherwise. The events, outcomes and errors are the same on
//! both transports.
//!
//! First steps: [a turn](#a-turn), [tools](#an-agent-loop), [custom tools](#custom-tools),
//! [structured output](#answers-by-a-schema), [images and files](#images-and-files) and
//! [hosted tools](#hosted-tools). Diagnosis: [errors](#when-a-turn-fails),
//! [reports](#what-was-sent-and-why) and [fallback](#transports-and-fallback). Configuration:
//! [timeouts and retries](#timeouts-limits-and-retries), [proxies](#proxies-and-certificates) and
//! [other servers](#other-servers). Further topics: [prewarming](#ahead-of-a-turn),
//! [parallel conversations](#forks), [several accounts](#several-accounts-and-the-end),
//! [background responses](#responses-and-conversations-that-outlive-you) and
//! [testing](#testing-your-own-code).
//!
//! # A turn
//!
//! ```
//! # use responses_client::testing::{Script, ScriptedServer, Turn};
//! use responses_client::{Item, Provider, ResponsesClient, ResponsesRequest};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let server = ScriptedServer::start(Script::new().turn(Turn::text("hi")).turn(Turn::text("ho"))).await?;
//! # let url = server.url();
//! // With a key: `builder(Provider::openai()).auth(Auth::bearer(key))`.
//! let client = ResponsesClient::builder(Provider::compatible(&url)?).build()?;
//! let mut session = client.session();
//! let mut request = ResponsesRequest::new("gpt-6-astra").instructions("Be brief.");
//! request.input.push(Item::user("Say hi"));
//!
//! let mut stream = session.stream(&request).await?;
//! while let Some(event) = stream.try_next().await? {
//!     if let Some(text) = event.text_delta() {
//!         print!("{text}");
//!     }
//! }
//! let response = stream.final_response().await?;
//!
//! // The next turn passes the whole history again. The session sends the new item only.
//! request.input.extend(response.output_items());
//! request.input.push(Item::user("Say ho"));
//! let response = session.stream(&request).await?.final_response().await?;
//! assert_eq!(response.output_text(), "ho");
//! # Ok(()) }
//! ```
//!
//! If you don't need the events, call [`final_response`](ResponseStream::final_response) directly.
//! [`Response::usage`] returns the token usage. A [`ResponseStream`] is also a `futures` stream.
//!
//! # An agent loop
//!
//! Offer tools, run the calls in [`Response::function_calls`], push their results, and repeat until
//! a response has no calls. Unfinished calls are never returned.
//! [`ResponseEvent::function_call`] returns each call as soon as the model has finished the call,
//! while the response continues. [`FunctionCall::arguments`](event::FunctionCall::arguments)
//! deserializes the arguments with serde. In this example, invalid arguments are reported to the
//! model as the output of the call.
//!
//! ```
//! # use responses_client::testing::{Script, ScriptedServer, Turn, items};
//! use responses_client::{
//!     Error, Item, ResponsesRequest, ResponsesSession, Tool, event::FunctionCall,
//! };
//! use serde::Deserialize;
//! use serde_json::json;
//!
//! #[derive(Deserialize)]
//! struct Add {
//!     a: i64,
//!     b: i64,
//! }
//!
//! fn run(call: &FunctionCall) -> String {
//!     match call.name.as_str() {
//!         "add" => match call.arguments::<Add>() {
//!             Ok(Add { a, b }) => (a + b).to_string(),
//!             Err(error) => error.to_string(),
//!         },
//!         other => format!("there is no tool {other}"),
//!     }
//! }
//!
//! async fn answer(session: &mut ResponsesSession, question: &str) -> Result<String, Error> {
//!     let numbers = json!({"a": {"type": "integer"}, "b": {"type": "integer"}});
//!     let schema = json!({"type": "object", "properties": numbers, "required": ["a", "b"]});
//!     let mut request = ResponsesRequest::new("gpt-6-astra")
//!         .tools([Tool::function("add", "Adds two numbers.", &schema.into())])
//!         .input([Item::user(question)]);
//!     loop {
//!         let mut stream = session.stream(&request).await?;
//!         let mut outputs = Vec::new();
//!         while let Some(event) = stream.try_next().await? {
//!             if let Some(call) = event.function_call() {
//!                 outputs.push(Item::function_call_output(&call.call_id, &run(&call)));
//!             }
//!         }
//!         let response = stream.final_response().await?;
//!         if outputs.is_empty() {
//!             return Ok(response.output_text());
//!         }
//!         request.input.extend(response.output_items());
//!         request.input.extend(outputs);
//!     }
//! }
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let call = items::function_call("call_1", "add", r#"{"a":2,"b":3}"#);
//! # let server = ScriptedServer::start(Script::new().turn(Turn::output([call])).turn(Turn::text("5"))).await?; let client = responses_client::ResponsesClient::builder(responses_client::Provider::compatible(&server.url())?).build()?;
//! # assert_eq!(answer(&mut client.session(), "2 + 3?").await?, "5");
//! # assert_eq!(server.log().requests[1].body["input"][0]["output"], "5");
//! # Ok(()) }
//! ```
//!
//! # Custom tools
//!
//! [`Tool::custom`] declares a tool whose input is free text instead of JSON.
//! [`Response::custom_tool_calls`] returns its calls, and [`ResponseEvent::custom_tool_call`]
//! returns each call while the response continues. [`Item::custom_tool_call_output`] is the result
//! of a call. [`Tool::from_json`] accepts any other declaration, for example a grammar, and
//! [`Item::from_json`] accepts any other item. Both send the JSON unchanged.
//!
//! ```
//! # use responses_client::testing::{Script, ScriptedServer, Turn, items}; use responses_client::{Item, Provider, ResponsesClient, ResponsesRequest, Tool};
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let call = items::custom_tool_call("call_1", "sql", "SELECT 1");
//! # let server = ScriptedServer::start(Script::new().turn(Turn::output([call]))).await?; let client = ResponsesClient::builder(Provider::compatible(&server.url())?).build()?;
//! let mut request = ResponsesRequest::new("gpt-6-astra")
//!     .tools([Tool::custom("sql", "Runs a query.")])
//!     .input([Item::user("What is one?")]);
//! let response = client.session().stream(&request).await?.final_response().await?;
//! request.input.extend(response.output_items());
//! for call in response.custom_tool_calls() {
//!     let rows = format!("no rows for {}", call.input);
//!     request.input.push(Item::custom_tool_call_output(&call.call_id, &rows));
//! }
//! # assert_eq!(request.input.len(), 3);
//! # Ok(()) }
//! ```
//!
//! # Answers by a schema
//!
//! [`ResponsesRequest::json_schema`] requests JSON that matches a schema. [`Response::parsed`]
//! deserializes the answer.
//!
//! ```
//! # use responses_client::testing::{Script, ScriptedServer, Turn}; use responses_client::{Item, Provider, ResponsesClient, ResponsesRequest};
//! # use serde_json::json;
//! #[derive(serde::Deserialize)]
//! struct Weather {
//!     city: String,
//!     degrees: f64,
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let answer = Turn::text(r#"{"city":"Oslo","degrees":7}"#);
//! # let server = ScriptedServer::start(Script::new().turn(answer)).await?; let client = ResponsesClient::builder(Provider::compatible(&server.url())?).build()?;
//! let schema = json!({
//!     "type": "object",
//!     "properties": {"city": {"type": "string"}, "degrees": {"type": "number"}},
//!     "required": ["city", "degrees"],
//!     "additionalProperties": false,
//! });
//! let request = ResponsesRequest::new("gpt-6-astra")
//!     .json_schema("weather", &schema.into())
//!     .input([Item::user("How warm is it in Oslo?")]);
//! let response = client.session().stream(&request).await?.final_response().await?;
//! let weather: Weather = response.parsed()?;
//! assert_eq!((weather.city.as_str(), weather.degrees), ("Oslo", 7.0));
//! # Ok(()) }
//! ```
//!
//! # Images and files
//!
//! [`Item::user_parts`] takes text, images and files, each given by content, URL or id.
//! [`Item::function_call_output_parts`] takes the same parts as the result of a tool. A generated
//! image is decoded piece by piece into any writer, without a second copy in memory.
//!
//! ```
//! # use responses_client::testing::{Script, ScriptedServer, Turn, items}; use responses_client::{Provider, ResponsesClient};
//! use responses_client::{InputPart, Item, ResponsesRequest, Tool, event::OutputItem};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let server = ScriptedServer::start(Script::new().turn(Turn::output([items::image(3_000)]))).await?; let client = ResponsesClient::builder(Provider::compatible(&server.url())?).build()?;
//! # let (photo, mut out) = (b"png", Vec::new());
//! let request = ResponsesRequest::new("gpt-6-astra")
//!     .tools([Tool::hosted("image_generation")])
//!     .input([Item::user_parts([
//!         InputPart::text("Paint this house red."),
//!         InputPart::image("image/png", photo),
//!     ])]);
//! let response = client.session().stream(&request).await?.final_response().await?;
//! for item in response.output() {
//!     if let OutputItem::ImageGenerationCall(image) = item {
//!         image.write_to(&mut out)?; // for example a `File`
//!     }
//! }
//! # assert_eq!(out.len(), 3_000);
//! # Ok(()) }
//! ```
//!
//! # Hosted tools
//!
//! [`Response::output`] returns all output items as types of [`event::item`]: searches, code,
//! patches, commands, calls of MCP servers and reasoning. Servers may add kinds of items at any
//! time. An unknown item is [`OutputItem::Other`](event::OutputItem::Other), and is sent back with
//! the history like other items. An [`OutputItemDone`](event::OutputItemDone) event contains each
//! item as soon as the item is finished.
//!
//! ```
//! # use responses_client::testing::{Script, ScriptedServer, Turn, items}; use responses_client::{Item, Provider, ResponsesClient, ResponsesRequest};
//! use responses_client::{Tool, event::{OutputItem, item::WebSearchAction}};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let answer = Turn::output([items::web_search_call("tides"), items::message("High at six.")]);
//! # let server = ScriptedServer::start(Script::new().turn(answer)).await?; let client = ResponsesClient::builder(Provider::compatible(&server.url())?).build()?;
//! let request = ResponsesRequest::new("gpt-6-astra")
//!     .tools([Tool::hosted("web_search")])
//!     .input([Item::user("When is high tide?")]);
//! let response = client.session().stream(&request).await?.final_response().await?;
//! for item in response.output() {
//!     match item {
//!         OutputItem::WebSearchCall(call) => {
//!             if let Some(WebSearchAction::Search(search)) = call.action {
//!                 println!("searched: {:?}", search.query.as_deref());
//!             }
//!         }
//!         OutputItem::Message(message) => println!("{}", message.text()),
//!         _ => {}
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! # When a turn fails
//!
//! A turn ends in one of three ways on both transports: with
//! [`Completed`](ResponseEvent::Completed), with [`Incomplete`](ResponseEvent::Incomplete) (usable
//! output, with a [reason](Response::incomplete_reason)), or with an [`Error`]. The end of a
//! connection is never success. An error contains its [kind](Error::kind), the [delivery of the
//! request](Error::delivery), the [partial response](Error::partial), a [report of all
//! attempts](Error::report) and a [recommended action](Error::retry_action).
//!
//! Use the partial response to avoid repeating work: add [`Response::replayable_items`] and an
//! output for each call to the input. The next turn then continues from there, and no tool runs
//! twice.
//!
//! ```
//! # use responses_client::testing::{Script, ScriptedServer, Step, Turn, items}; use responses_client::{Provider, ResponsesClient};
//! use responses_client::{Error, Item, ResponsesRequest, RetryAction};
//!
//! /// Makes `request` continue the failed turn. Returns `false` if a retry is of no use.
//! fn go_on(request: &mut ResponsesRequest, error: &Error) -> bool {
//!     let (RetryAction::Retry { .. } | RetryAction::RetryMayRepeat { .. }) = error.retry_action()
//!     else {
//!         return false;
//!     };
//!     if let Some(partial) = error.partial() {
//!         request.input.extend(partial.replayable_items());
//!         for call in partial.function_calls() {
//!             request.input.push(Item::function_call_output(&call.call_id, "its result"));
//!         }
//!     }
//!     true
//! }
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let call = Turn::output([items::function_call("call_1", "ls", "{}")]);
//! # let script = Script::new().turn(call.without_terminal().then(Step::Reset)).turn(Turn::text("a.rs"));
//! # let server = ScriptedServer::start(script).await?; let client = ResponsesClient::builder(Provider::compatible(&server.url())?).build()?;
//! # let mut request = ResponsesRequest::new("gpt-6-astra").input([Item::user("List the files.")]);
//! # let mut session = client.session();
//! # let error = session.stream(&request).await?.final_response().await.unwrap_err();
//! # assert!(go_on(&mut request, &error));
//! # assert_eq!(request.input.len(), 3);
//! # assert_eq!(session.stream(&request).await?.final_response().await?.output_text(), "a.rs");
//! # Ok(()) }
//! ```
//!
//! # What was sent, and why
//!
//! [`ResponseStream::report`] returns a [`TurnReport`]: the transport, the [plan](report::Plan),
//! the number of bytes, all attempts with their failures, the end of each phase
//! ([`Timings`](report::Timings)), the reuse of a connection, and the response headers. The report
//! is complete once the turn has ended, and is dropped with the stream. [`Error::report`] returns
//! the report of a failed turn.
//!
//! ```
//! # use responses_client::testing::{Script, ScriptedServer, Turn}; use responses_client::{Item, Provider, ResponsesClient, ResponsesRequest};
//! use responses_client::report::{FullReason, Plan};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let server = ScriptedServer::start(Script::new().turn(Turn::text("hi"))).await?; let client = ResponsesClient::builder(Provider::compatible(&server.url())?).build()?;
//! # let mut session = client.session();
//! # let request = ResponsesRequest::new("gpt-6-astra").input([Item::user("Say hi")]);
//! let mut stream = session.stream(&request).await?;
//! while stream.try_next().await?.is_some() {}
//! let report = stream.report();
//! match &report.plan {
//!     Some(Plan::Incremental { new_items }) => println!("{new_items} new items"),
//!     Some(Plan::Full(FullReason::PrefixDiverged { at })) => println!("item {at} was edited"),
//!     Some(Plan::Full(reason)) => println!("full request: {reason}"),
//!     _ => println!("nothing"),
//! }
//! println!("first text after {:?}", report.timings.first_text);
//! # assert_eq!(report.plan, Some(Plan::Full(FullReason::FirstTurn)));
//! # Ok(()) }
//! ```
//!
//! # Transports and fallback
//!
//! [`TransportPolicy::Auto`] uses a WebSocket where it works, and SSE otherwise. If the server
//! refuses the upgrade, or a proxy breaks it or blocks the frames, the turn falls back to SSE
//! immediately. The client records the fallback for the origin, for all its sessions, so that
//! later turns do not pay for another failure. [`ResponsesClient::fallback`] returns the recorded
//! fallback and its remaining time. Afterwards, one turn tries a WebSocket again.
//! [`TransportPolicy::WebSocketOnly`] and [`TransportPolicy::SseOnly`] disable the fallback.
//!
//! ```
//! # use responses_client::testing::{Refusal, Script, ScriptedServer, Turn, Upgrade}; use responses_client::{Item, Provider, ResponsesClient, ResponsesRequest};
//! use responses_client::{FallbackKind, Transport};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let script = Script::new().upgrade(Upgrade::Refuse(Refusal::status(426))).turn(Turn::text("hi"));
//! # let server = ScriptedServer::start(script).await?; let client = ResponsesClient::builder(Provider::compatible(&server.url())?).build()?;
//! # let request = ResponsesRequest::new("gpt-6-astra").input([Item::user("Say hi")]);
//! let stream = client.session().stream(&request).await?; // the upgrade is refused
//! assert_eq!(stream.report().transport, Some(Transport::Sse));
//! # stream.final_response().await?;
//! let fallback = client.fallback().expect("a recorded fallback");
//! assert_eq!(fallback.kind, FallbackKind::Unsupported);
//! client.reset_fallback(); // the network has changed
//! assert_eq!(client.fallback(), None);
//! # Ok(()) }
//! ```
//!
//! # Timeouts, limits and retries
//!
//! [`Timeouts`] limits the time of each phase, and [`Limits`] the size of each buffer. Their docs
//! explain the defaults. A request that certainly did not run is retried within [`RetryPolicy`] if
//! the failure is transient. A request that may have run, and may be billed twice, is sent again
//! only if the [`ReplayPolicy`] allows it.
//!
//! ```
//! use std::time::Duration;
//! use responses_client::{
//!     Limits, Provider, ReplayPolicy, ResponsesClient, RetryPolicy, Timeouts, TransportPolicy,
//! };
//!
//! let mut timeouts = Timeouts::default();
//! timeouts.turn = Some(Duration::from_secs(600));
//! let mut limits = Limits::default();
//! limits.event = 16 << 20; // bytes
//! let mut retry = RetryPolicy::default();
//! retry.attempts = 2;
//! retry.replay = ReplayPolicy::Never;
//! let client = ResponsesClient::builder(Provider::openai())
//!     .timeouts(timeouts)
//!     .limits(limits)
//!     .retry(retry)
//!     .transport(TransportPolicy::WebSocketOnly)
//!     .build()?;
//! # drop(client);
//! # Ok::<_, responses_client::Error>(())
//! ```
//!
//! # Ahead of a turn
//!
//! [`ResponsesSession::connect`] opens the WebSocket before the turn, for example while the user
//! is typing. [`ResponsesSession::prewarm`] also makes the server process the request, whose input
//! tokens are billed. Both return immediately, and their failure does not harm the next turn.
//! [`TurnReport::prewarm`] contains their outcome.
//!
//! A WebSocket is kept open between turns. Pings detect a dead peer ([`Timeouts::ping`]). The
//! WebSocket is replaced between turns before the server closes it ([`Provider::max_age`]), so that
//! the next turn finds a working connection.
//!
//! ```
//! # use responses_client::testing::{Script, ScriptedServer, Turn}; use responses_client::{Item, Provider, ResponsesClient, ResponsesRequest};
//! use responses_client::report::{Plan, Prewarm};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let server = ScriptedServer::start(Script::new().turn(Turn::text("hi"))).await?; let client = ResponsesClient::builder(Provider::compatible(&server.url())?).build()?;
//! let mut session = client.session();
//! let mut request = ResponsesRequest::new("gpt-6-astra").instructions("A long text.");
//! session.prewarm(&request)?;
//! request.input.push(Item::user("Say hi"));
//! let stream = session.stream(&request).await?;
//! assert_eq!(stream.report().prewarm, Some(Prewarm::Warmed));
//! assert_eq!(stream.report().plan, Some(Plan::Incremental { new_items: 1 }));
//! # stream.final_response().await?;
//! # Ok(()) }
//! ```
//!
//! # Forks
//!
//! A session has at most one running response. Calling [`stream`](ResponsesSession::stream) again
//! cancels a turn that has not ended: its stream yields [`ErrorKind::Superseded`].
//! [`ResponsesSession::fork`] returns a second conversation with the same history, which can run at
//! the same time on a separate connection.
//!
//! ```
//! # use responses_client::testing::{Script, ScriptedServer, Turn}; use responses_client::{Item, Provider, ResponsesClient, ResponsesRequest};
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let server = ScriptedServer::start(Script::new().turns(["1", "2", "3"].map(Turn::text))).await?; let client = ResponsesClient::builder(Provider::compatible(&server.url())?).build()?;
//! # let mut session = client.session();
//! # let mut request = ResponsesRequest::new("gpt-6-astra").input([Item::user("Draft it")]);
//! # let response = session.stream(&request).await?.final_response().await?;
//! # request.input.extend(response.output_items());
//! let mut other = session.fork();
//! let (mut shorter, mut longer) = (request.clone(), request);
//! shorter.input.push(Item::user("Now shorter"));
//! longer.input.push(Item::user("Now longer"));
//! let (shorter, longer) = tokio::try_join!(session.stream(&shorter), other.stream(&longer))?;
//! tokio::try_join!(shorter.final_response(), longer.final_response())?;
//! # Ok(()) }
//! ```
//!
//! # Several accounts, and the end
//!
//! A client has one provider and one [`Auth`], and is cheap to clone.
//! [`ResponsesSession::set_client`] moves a conversation to another client between turns, for
//! example with another key, region or policy. Response ids of one account are never sent to
//! another account: the next turn then sends the full request.
//!
//! [`ResponsesSession::close`] and [`ResponsesClient::close`] cancel running turns and close the
//! sockets, within [`Timeouts::close`]. Dropping a session or client also closes its sockets,
//! without waiting.
//!
//! ```
//! # use responses_client::testing::{Script, ScriptedServer, Turn}; use responses_client::{Auth, Item, Provider, ResponsesClient, ResponsesRequest};
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let server = ScriptedServer::start(Script::new().turns(["1", "2"].map(Turn::text))).await?;
//! # let provider = Provider::compatible(&server.url())?;
//! let client = |key| ResponsesClient::builder(provider.clone()).auth(Auth::bearer(key)).build();
//! let (first, second) = (client("key 1")?, client("key 2")?);
//! let mut session = first.session();
//! # let mut request = ResponsesRequest::new("gpt-6-astra").input([Item::user("Say 1")]);
//! let response = session.stream(&request).await?.final_response().await?;
//! # request.input.extend(response.output_items());
//! # request.input.push(Item::user("Say 2"));
//! session.set_client(&second);
//! let stream = session.stream(&request).await?;
//! assert!(stream.report().plan.as_ref().is_some_and(|plan| plan.is_full()));
//! # stream.final_response().await?;
//! second.close().await;
//! # Ok(()) }
//! ```
//!
//! # Responses and conversations that outlive you
//!
//! A response with `background: true` continues on the server without its connection. If the
//! connection is cut, the stream reconnects and resumes after the last received event. The request
//! is not sent again. [`ResponsesClient::retrieve`] returns the state of such a response by its id,
//! and [`ResponsesClient::cancel`] cancels it. [`ResponsesSession::checkpoint`] returns the state
//! that another process needs to continue the conversation.
//!
//! ```
//! # use responses_client::testing::{Script, ScriptedServer, Turn}; use responses_client::{Item, Provider, ResponsesClient, ResponsesRequest};
//! use responses_client::{Checkpoint, report::Plan};
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let server = ScriptedServer::start(Script::new().turns(["1", "2"].map(Turn::text))).await?; let client = ResponsesClient::builder(Provider::compatible(&server.url())?).build()?;
//! # let mut session = client.session();
//! # let mut request = ResponsesRequest::new("gpt-6-astra").input([Item::user("Say 1")]).store(true);
//! # let response = session.stream(&request).await?.final_response().await?;
//! # request.input.extend(response.output_items());
//! let saved = serde_json::to_string(&session.checkpoint())?;
//!
//! // In another process that has the conversation:
//! let checkpoint: Checkpoint = serde_json::from_str(&saved)?;
//! let mut session = client.resume(checkpoint);
//! request.input.push(Item::user("Say 2"));
//! let stream = session.stream(&request).await?;
//! assert_eq!(stream.report().plan, Some(Plan::Incremental { new_items: 1 }));
//! # stream.final_response().await?;
//! # Ok(()) }
//! ```
//!
//! # Proxies and certificates
//!
//! Both transports connect in the same way: through the proxy of the environment variables
//! `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, and with the root certificates of the
//! platform. An invalid proxy setting is an error that names the variable; it is never ignored. If
//! a proxy intercepts TLS, add its CA certificate.
//!
//! ```
//! use responses_client::{NetworkSettings, Provider, ProxySetting, ResponsesClient};
//!
//! # let company_ca = responses_client_ca();
//! let network = NetworkSettings::new()
//!     .proxy(ProxySetting::Url("http://user:password@proxy.example:3128".to_owned()))
//!     .root_certificates_pem(company_ca); // the bytes of a PEM file
//! let client = ResponsesClient::builder(Provider::openai()).network(network).build()?;
//! # drop(client);
//! # fn responses_client_ca() -> String {
//! #     let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
//! #     let server = responses_client::testing::ScriptedServer::start_tls(Default::default());
//! #     runtime.block_on(async { server.await.unwrap().ca_certificate_pem().unwrap().to_owned() })
//! # }
//! # Ok::<_, responses_client::Error>(())
//! ```
//!
//! # Other servers
//!
//! A [`Provider`] is the base URL of a server and its properties: support for WebSockets, storage
//! of responses, reuse of a socket after an error, maximum frame size and maximum socket age. There
//! are presets for many servers. [`Provider::compatible`] describes any other server, and
//! [`Provider::at`] sets another base URL of a preset.
//!
//! ```
//! use responses_client::{Auth, Provider, ResponsesClient};
//!
//! let local = ResponsesClient::builder(Provider::ollama()).build()?;
//! let azure = Provider::azure("https://my-resource.openai.azure.com/openai/v1")?;
//! let azure = ResponsesClient::builder(azure).auth(Auth::bearer("key")).build()?;
//! let gateway = Provider::openai().at("https://gateway.example/v1")?.frame_limit(Some(1 << 20));
//! # drop((local, azure, gateway));
//! # Ok::<_, responses_client::Error>(())
//! ```
//!
//! [`Auth::provider`] obtains a token for each connection and HTTP request, and another token after
//! status 401. [`ResponsesRequest::from_json`] accepts a request body that is already JSON.
//!
//! # Testing your own code
//!
//! With the feature `testing`, `testing::ScriptedServer` simulates a server on both transports, and
//! its faults. Its script is written in Rust or JSON, or recorded with the command-line tool. Use
//! the URL of the scripted server as the base URL in your code, and check its log of requests. In
//! this example the response arrives over SSE, because the server refuses the upgrade:
//!
//! ```
//! # use responses_client::{Item, Provider, ResponsesClient, ResponsesRequest};
//! use responses_client::testing::{Script, ScriptedServer};
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let script = Script::from_json(
//!     r#"{
//!         "every_upgrade": { "refuse": { "status": 426 } },
//!         "turns": [
//!             { "error": { "status": 429, "code": "rate_limit_exceeded", "retry_after": 0 } },
//!             { "text": "Hello" }
//!         ]
//!     }"#,
//! )?;
//! let server = ScriptedServer::start(script).await?;
//! let client = ResponsesClient::builder(Provider::compatible(&server.url())?).build()?;
//! let request = ResponsesRequest::new("gpt-6-astra").input([Item::user("Say hello")]);
//! let response = client.session().stream(&request).await?.final_response().await?;
//! assert_eq!(response.output_text(), "Hello"); // the 429 was retried
//! assert_eq!(server.log().posts().count(), 2);
//! # Ok(()) }
//! ```
//!
//! # Cancel safety
//!
//! Every future and stream may be dropped at any await point. Dropping a [`ResponseStream`] before
//! its end closes its connection, so that the server stops generating. The next turn opens another
//! connection and sends the full request. Dropping a wait for an event loses no event. Dropping the
//! future of [`stream`](ResponsesSession::stream) cancels the turn. Work that was started by
//! [`prewarm`](ResponsesSession::prewarm), [`connect`](ResponsesSession::connect) or a `close`
//! method continues in the background.
//!
//! # Log levels
//!
//! The crate logs with `tracing`, under the target `responses_client`. `INFO` reports that a turn
//! falls back to SSE, or exceeds the frame limit. `DEBUG` reports connections, plans, failed
//! attempts and the ends of turns. Entries of a turn are in the `DEBUG` spans `session`, `turn` and
//! `attempt`. The crate logs no payload and no credential at any level. (tungstenite logs whole
//! messages at `TRACE`, under its own target.) A [`TurnObserver`] receives these notices in code.
//!
//! # Features
//!
//! All features are additive.
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `system-proxy` | yes | the proxy settings of macOS and Windows |
//! | `socks` | no | SOCKS proxies: `socks5://`, `socks5h://`, `socks4://` and `socks4a://` |
//! | `testing` | no | the module `testing`: a scripted server on both transports, for your tests |
//! | `cli` | no | the command-line tool `responses` |

// Makes docs.rs show the feature that each item needs.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "a panic in a long agent loop loses the loop; the error type has room for all failures"
)]
#![warn(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "payloads and keys pass through here; nothing may print them in passing"
)]

pub use auth::{Auth, AuthProvider, Secret, TokenFuture};
pub use client::{ResponsesClient, ResponsesClientBuilder};
pub use config::{
    Limits, NetworkSettings, Provider, ProxySetting, ReplayPolicy, RetryPolicy, Timeouts,
    Transport, TransportPolicy,
};
pub use error::{Error, RetryAction};
// The header types of `http` are part of this crate's public API.
pub use event::ResponseEvent;
#[doc(no_inline)]
pub use http;
pub use json::{Json, Text};
pub use kind::{Delivery, ErrorKind, Phase};
pub use observe::{AttemptFailed, TurnObserver};
pub use proto::fallback::{Fallback, FallbackKind};
pub use report::TurnReport;
pub use request::{History, InputPart, Item, ResponsesRequest, Tool};
pub use response::{Response, ResponseStatus};
pub use session::{Checkpoint, ResponseStream, ResponsesSession};

mod api;
mod auth;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod bench;
mod client;
mod config;
mod endpoints;
pub mod error;
pub mod event;
mod json;
mod kind;
mod net;
mod observe;
mod pool;
mod proto;
pub mod report;
mod request;
pub mod response;
#[cfg(feature = "testing")]
mod server;
mod session;
mod shared;
#[cfg(feature = "testing")]
#[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
pub mod testing;
mod transport;

/// The code examples in the README and in `docs`, compiled and run as doc tests.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../docs/transports.md")]
    struct Transports;
    #[doc = include_str!("../docs/retries.md")]
    struct Retries;
    #[doc = include_str!("../docs/testing.md")]
    struct Testing;
}
