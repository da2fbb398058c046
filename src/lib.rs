//! Streams the OpenAI Responses API over one incremental WebSocket, or over server-sent events, as
//! one event stream.
//!
//! A [`ResponsesSession`] is one conversation. It is given the **full** request each turn,
//! compares it with the full request before and the server's answer, and sends what is new if it
//! may, or everything if it must. It hides which transport ran: the events, the outcomes and the
//! errors are the same on both.
//!
//! To do: [a turn](#a-turn), [tools](#an-agent-loop), [custom tools](#custom-tools),
//! [JSON by a schema](#answers-by-a-schema), [images and files](#images-and-files),
//! [hosted tools](#hosted-tools). To know: [what failed](#when-a-turn-fails),
//! [what was sent](#what-was-sent-and-why), [which transport](#transports-and-fallback). To set:
//! [timeouts and retries](#timeouts-limits-and-retries), [proxies](#proxies-and-certificates),
//! [other servers](#other-servers). Then [opening ahead](#ahead-of-a-turn),
//! [parallel conversations](#forks), [several accounts](#several-accounts-and-the-end), and
//! [tests](#testing-your-own-code).
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
//! // The next turn: all of the history again. One item of it is new.
//! request.input.extend(response.output_items());
//! request.input.push(Item::user("Say ho"));
//! let response = session.stream(&request).await?.final_response().await?;
//! assert_eq!(response.output_text(), "ho");
//! # Ok(()) }
//! ```
//!
//! [`final_response`](ResponseStream::final_response) alone is enough where nobody reads along.
//! [`Response::usage`] tells the tokens. A [`ResponseStream`] is also a `futures` stream.
//!
//! # An agent loop
//!
//! Offer tools, run what [`Response::function_calls`] gives, push the results, and go round until
//! there are no calls. Calls that the model did not finish are never among them.
//! [`ResponseEvent::function_call`] gives a call earlier: as soon as the model has finished it,
//! while the response goes on. [`FunctionCall::arguments`](event::FunctionCall::arguments) reads
//! into any type of serde's; arguments that are wrong go back to the model as the output.
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
//! [`Tool::custom`] takes free text in place of JSON. Its calls are
//! [`Response::custom_tool_calls`], or [`ResponseEvent::custom_tool_call`] while the response goes
//! on; [`Item::custom_tool_call_output`] answers one. [`Tool::from_json`] takes any other
//! declaration, a grammar say, and [`Item::from_json`] any other item, as it is.
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
//! [`ResponsesRequest::json_schema`] asks for JSON, [`Response::parsed`] reads it.
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
//! [`Item::user_parts`] takes text, images and files, by their content, URL or id;
//! [`Item::function_call_output_parts`] does for what a tool returns. A generated image is decoded
//! into any writer, piece by piece, out of the frame that it came in.
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
//!         image.write_to(&mut out)?; // a `File`, say
//!     }
//! }
//! # assert_eq!(out.len(), 3_000);
//! # Ok(()) }
//! ```
//!
//! # Hosted tools
//!
//! [`Response::output`] has all that the model did, typed: searches, code, patches, commands,
//! calls of MCP servers, reasoning ([`event::item`]). Servers add kinds at any time: what this
//! version does not know is [`OutputItem::Other`](event::OutputItem::Other), and goes back with
//! the history like the rest. [`OutputItemDone`](event::OutputItemDone) events have each item as
//! it is finished.
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
//! A turn ends in one of three ways, on both transports at once: with
//! [`Completed`](ResponseEvent::Completed), with [`Incomplete`](ResponseEvent::Incomplete) (usable
//! output, with its [reason](Response::incomplete_reason)), or with an [`Error`]. The end of a
//! connection is never success. An error says [what happened](Error::kind), [how far the request
//! got](Error::delivery), [what had come by then](Error::partial), [what was
//! tried](Error::report), and [what to do now](Error::retry_action).
//!
//! What had come need not be lost: [`Response::replayable_items`] and an output for each call make
//! the input go on from there, so that no tool is run twice.
//!
//! ```
//! # use responses_client::testing::{Script, ScriptedServer, Step, Turn, items}; use responses_client::{Provider, ResponsesClient};
//! use responses_client::{Error, Item, ResponsesRequest, RetryAction};
//!
//! /// Makes `request` go on from where a turn failed; `false` where that is of no use.
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
//! [`ResponseStream::report`] has the transport, whether its connection was open before, the
//! [plan](report::Plan), the bytes, all attempts with their failures, when each phase was over
//! ([`Timings`](report::Timings)), and the headers of the answer. It is complete once the turn has
//! ended, and goes with the stream; [`Error::report`] has that of a turn that failed.
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
//!     Some(Plan::Full(reason)) => println!("all: {reason}"),
//!     _ => println!("nothing"),
//! }
//! println!("first text after {:?}", report.timings.first_text);
//! # assert_eq!(report.plan, Some(Plan::Full(FullReason::FirstTurn)));
//! # Ok(()) }
//! ```
//!
//! # Transports and fallback
//!
//! [`TransportPolicy::Auto`] takes a WebSocket where it works, and SSE where it does not. What is
//! in a WebSocket's way (no upgrade, a proxy that breaks it or lets no frames through) sends the
//! turn over SSE at once, and is remembered for the origin by the client, for all its sessions, so
//! that it is paid for once. [`ResponsesClient::fallback`] says what is remembered, and for how
//! long; then one turn tries a WebSocket again. [`TransportPolicy::WebSocketOnly`] and
//! [`TransportPolicy::SseOnly`] are never overridden.
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
//! let fallback = client.fallback().expect("it is remembered");
//! assert_eq!(fallback.kind, FallbackKind::Unsupported);
//! client.reset_fallback(); // the network has changed
//! assert_eq!(client.fallback(), None);
//! # Ok(()) }
//! ```
//!
//! # Timeouts, limits and retries
//!
//! [`Timeouts`] has a time for each phase, [`Limits`] the size of each buffer; every default has
//! its reason there. What certainly did not run, and may go well next time, is tried again within
//! [`RetryPolicy`]; what may have run, and may be billed twice, is sent again only as its
//! [`ReplayPolicy`] allows.
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
//! [`ResponsesSession::connect`] opens the WebSocket while the user still types;
//! [`ResponsesSession::prewarm`] also lets the server read the request, which is billed. Neither
//! waits, and neither harms the next turn: [`TurnReport::prewarm`] says what came of it.
//!
//! A WebSocket is kept between turns. Pings show that its peer lives ([`Timeouts::ping`]), and it
//! is replaced between turns before the server ends it ([`Provider::max_age`]): the next turn finds
//! one that works.
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
//! A session has one live response. The next [`stream`](ResponsesSession::stream) supersedes one
//! that has not ended: its stream yields [`ErrorKind::Superseded`]. [`ResponsesSession::fork`] is a
//! second conversation from the same history, which runs at the same time on a connection of its
//! own.
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
//! A client is cheap to clone, and has one provider and one [`Auth`].
//! [`ResponsesSession::set_client`] moves a conversation to another client between turns: with
//! another key, region or policy. Nothing of one account is ever named to another: the
//! conversation is then sent in full.
//!
//! [`ResponsesSession::close`] and [`ResponsesClient::close`] end what runs, and take
//! [`Timeouts::close`] at most. Dropping them also closes the sockets, without waiting.
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
//! A response with `background: true` runs on without its connection. When that is cut, the stream
//! goes on behind the last event that came, and nothing is sent twice; by its id,
//! [`ResponsesClient::retrieve`] says how it stands, and [`ResponsesClient::cancel`] ends it.
//! [`ResponsesSession::checkpoint`] is what another process needs to go on with the conversation.
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
//! // In another process, with the conversation at hand:
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
//! Both transports open their sockets in the same way: through the proxy of the environment
//! (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`), with the roots of the platform. A proxy
//! setting that would not be used exactly as written is an error that names the variable, not "no
//! proxy". A proxy that opens TLS needs its CA trusted.
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
//! A [`Provider`] is an address and how its server differs from others: whether it has a
//! WebSocket, stores responses, goes on after an error, how large a frame and how old a socket may
//! become. Many are known by name; [`Provider::compatible`] is any other, [`Provider::at`] a known
//! one at another address.
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
//! [`Auth::provider`] fetches a token for each connection and HTTP request, and another one after
//! a 401. A body that is JSON already goes through [`ResponsesRequest::from_json`].
//!
//! # Testing your own code
//!
//! With the feature `testing`, `testing::ScriptedServer` plays a server over both
//! transports, with its faults, from Rust, from a JSON file, or from a recording of the tool. Point
//! your code at its URL, and look at what came in. Here the answer comes over SSE, since the
//! upgrade is refused:
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
//! assert_eq!(response.output_text(), "Hello"); // the 429 was tried again
//! assert_eq!(server.log().posts().count(), 2);
//! # Ok(()) }
//! ```
//!
//! # Cancel safety
//!
//! Everything may be dropped at any await point. Dropping a [`ResponseStream`] before its end
//! closes its connection, so that the server stops; the next turn opens another and sends
//! everything. Dropping a wait for an event loses none. Dropping the future of
//! [`stream`](ResponsesSession::stream) cancels the turn. What [`prewarm`](ResponsesSession::prewarm),
//! [`connect`](ResponsesSession::connect) and the `close` methods began goes on by itself.
//!
//! # Log levels
//!
//! Through `tracing`, under the target `responses_client`: `INFO` when a turn falls back to SSE or
//! is too large for a frame, `DEBUG` for connections, plans, failed attempts and the ends of turns.
//! The lines of a turn stand in the `DEBUG` spans `session`, `turn` and `attempt`. No payload and no
//! credential is logged at any level. (tungstenite logs whole messages at `TRACE`, under its own
//! target.) [`TurnObserver`] tells programs the same.
//!
//! # Features
//!
//! All are additive.
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `system-proxy` | yes | the proxy settings of macOS and Windows |
//! | `socks` | no | SOCKS proxies: `socks5://`, `socks5h://`, `socks4://` and `socks4a://` |
//! | `testing` | no | `testing`: a scripted server of both transports, for your tests |
//! | `cli` | no | the command-line tool `responses` |

// docs.rs names the feature of an item beside it.
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
// Its header types stand in this crate's own signatures.
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

/// The code in the README and in the pages of `docs`.
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
