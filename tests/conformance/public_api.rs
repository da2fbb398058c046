//! Types, requests, and the life of a session.

use std::sync::Arc;

use futures_util::{StreamExt, stream::FusedStream};
use responses_client::{
    Auth, AuthProvider, Delivery, Error, ErrorKind, FinalResponse, Item, NetworkSettings, Provider,
    ProxySetting, Response, ResponseEvent, ResponseStream, ResponsesClient, ResponsesRequest,
    ResponsesSession, TokenFuture, Transport, TransportPolicy, TurnReport,
    report::{FullSendReason, Plan},
    testing::{Refusal, Script, ScriptedServer, Turn},
};

use crate::support::{BOTH, builder, only, request, server, socket_client, turn};

#[test]
fn the_types_travel() {
    fn shared<T: Send + Sync + 'static>() {}
    fn sent<T: Send + Unpin + 'static>() {}
    shared::<ResponsesClient>();
    shared::<ResponseEvent>();
    shared::<Response>();
    shared::<Error>();
    shared::<TurnReport>();
    shared::<ResponsesRequest>();
    sent::<ResponsesSession>();
    sent::<ResponseStream>();
    shared::<ResponseStream>();
    shared::<FinalResponse>();
}

#[test]
fn the_future_of_a_turn_is_send_whatever_lends_the_request() {
    fn is_send(_: impl Send) {}
    // Compiles only if the signatures promise `Send`. Otherwise the error of a caller who spawns
    // the future would name the private types in it.
    fn turns<R: AsRef<ResponsesRequest>>(session: &mut ResponsesSession, [a, b, c, d]: [R; 4]) {
        is_send(session.stream(a));
        is_send(session.respond(b));
        is_send(session.turn(c).stream());
        is_send(session.turn(d).respond());
    }
    let client = ResponsesClient::builder().provider(Provider::openai()).build().unwrap();
    let request = || request(&["hi"]);
    turns(&mut client.session(), [(); 4].map(|()| request()));
    turns(&mut client.session(), [&request(); 4]);
    turns(&mut client.session(), [(); 4].map(|()| std::rc::Rc::new(request())));
    client.session().prewarm(Arc::new(request())).unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_fused_and_adaptors_may_borrow_it() {
    for transport in BOTH {
        let server = ScriptedServer::in_memory(Script::new().turn(Turn::text("one two three")));
        let client = builder(&server).transport(only(transport)).build().unwrap();
        let mut stream = client.session().stream(request(&["hi"])).await.unwrap();
        assert!(!stream.is_terminated());
        let first = stream.by_ref().take(2).map(|event| event.unwrap().kind().as_str());
        assert_eq!(first.collect::<Vec<_>>().await, ["response.created", "response.in_progress"]);
        let rest: Vec<_> = stream.by_ref().collect().await;
        assert!(rest.last().unwrap().as_ref().is_ok_and(ResponseEvent::is_terminal));
        assert!(stream.is_terminated());
        assert!(stream.next().await.is_none());
        let last = stream.final_response().await.unwrap();
        assert_eq!((&*last.output_text(), last.report().attempts.len()), ("one two three", 1));

        let failed = Turn::failed([], "cyber_policy", "no");
        let server = ScriptedServer::in_memory(Script::new().turn(failed));
        let client = builder(&server).transport(only(transport)).build().unwrap();
        let mut stream = client.session().stream(request(&["hi"])).await.unwrap();
        while stream.next().await.unwrap().is_ok() {
            assert!(!stream.is_terminated());
        }
        assert!(stream.is_terminated(), "after the error");
    }
}

#[test]
fn outside_of_a_runtime_there_is_an_error_and_no_panic() {
    let client = ResponsesClient::builder().provider(Provider::openai()).build().unwrap();
    let mut session = client.session();
    let request = request(&["hi"]);
    let mut turn = Box::pin(session.stream(&request));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(Err(error)) = turn.as_mut().poll(&mut cx) else { panic!() };
    assert_eq!(error.kind(), ErrorKind::NoRuntime);
}

#[tokio::test]
async fn members_of_the_transport_are_refused_before_a_byte_is_sent() {
    for transport in BOTH {
        let server = server(Script::new().turn(Turn::text("hi"))).await;
        let mut session = socket_client(&server, only(transport)).session();
        for name in ["stream", "generate", "stream_id", "type"] {
            let request = request(&["hi"]).extra(name, serde_json::json!(true));
            let outcome = turn(&mut session, &request).await;
            assert_eq!(outcome.error().kind(), ErrorKind::InvalidRequest);
            assert_eq!(outcome.error().delivery(), Delivery::NotSent);
        }
        assert!(server.log().connections.is_empty());
        assert!(turn(&mut session, &request(&["hi"])).await.result.is_ok());
    }
}

#[tokio::test]
async fn a_background_turn_goes_over_http_and_the_next_one_does_not() {
    let server = server(Script::new().turns([Turn::text("a"), Turn::text("b")])).await;
    let mut session = socket_client(&server, TransportPolicy::Auto).session();
    let background = request(&["hi"]).background(true);
    assert_eq!(turn(&mut session, &background).await.report.transport, Some(Transport::Sse));
    assert_eq!(server.log().requests[0].body["background"], true);
    let next = turn(&mut session, &request(&["hi"])).await;
    assert_eq!(next.report.transport, Some(Transport::WebSocket));

    let mut session = socket_client(&server, TransportPolicy::WebSocketOnly).session();
    let connections = server.log().connections.len();
    let outcome = turn(&mut session, &background).await;
    assert_eq!(outcome.error().kind(), ErrorKind::InvalidRequest);
    assert_eq!(server.log().connections.len(), connections);
}

#[tokio::test]
async fn a_turn_above_the_frame_limit_goes_over_sse_and_the_next_one_does_not() {
    let server = server(Script::new().turns([Turn::text("a"), Turn::text("b")])).await;
    let provider = Provider::compatible(&server.url()).unwrap().frame_limit(Some(4096));
    let client = |policy| {
        ResponsesClient::builder().provider(provider.clone()).transport(policy).build().unwrap()
    };
    let large = request(&["x".repeat(5000).as_str()]);
    let mut session = client(TransportPolicy::Auto).session();
    let outcome = turn(&mut session, &large).await;
    assert_eq!(outcome.report.transport, Some(Transport::Sse));
    assert_eq!(outcome.report.attempts.len(), 1);
    let small = turn(&mut session, &request(&["hi"])).await;
    assert_eq!(small.report.transport, Some(Transport::WebSocket));
    let outcome = turn(&mut client(TransportPolicy::WebSocketOnly).session(), &large).await;
    assert_eq!(outcome.error().kind(), ErrorKind::InvalidRequest);
    let log = server.log();
    assert_eq!((log.requests.len(), log.connections.len()), (2, 2), "it opened nothing");
}

#[tokio::test]
async fn a_raw_body_arrives_whole() {
    let body = serde_json::json!({
        "model": "m", "store": false, "temperature": 0.5, "reasoning": {"effort": "high"},
        "tools": [{"type": "brand_new", "n": 1}], "metadata": {"a": "b"}, "future": [1, {"x": null}],
        "top_p": null, "input": [{"type": "message", "role": "user", "content": "hi"}],
    });
    for transport in BOTH {
        let server = server(Script::new().turn(Turn::text("hi"))).await;
        let mut session = socket_client(&server, only(transport)).session();
        let request = ResponsesRequest::from_json(body.to_string()).unwrap();
        turn(&mut session, &request).await.response();
        let mut seen = server.log().requests[0].body.clone();
        let own = match transport {
            Transport::WebSocket => "type",
            _ => "stream",
        };
        seen.as_object_mut().unwrap().remove(own).unwrap();
        assert_eq!(seen, body);
    }
}

struct Fetched;

impl AuthProvider for Fetched {
    fn token(&self) -> TokenFuture<'_> {
        Box::pin(async { Ok("fetched".into()) })
    }
}

struct Missing;

impl AuthProvider for Missing {
    fn token(&self) -> TokenFuture<'_> {
        Box::pin(async { Err("no vault here".into()) })
    }
}

#[tokio::test]
async fn headers_and_credentials_travel_on_both_transports() {
    for transport in BOTH {
        let server = server(Script::new().turn(Turn::text("hi"))).await;
        let client = builder(&server)
            .transport(only(transport))
            .header("OpenAI-Project", "proj")
            .auth(Auth::provider(Fetched));
        turn(&mut client.build().unwrap().session(), &request(&["hi"])).await.response();
        let log = server.log();
        let header = |name| match transport {
            Transport::WebSocket => log.connections[0].header(name),
            _ => log.requests[0].header(name),
        };
        assert_eq!(header("openai-project"), Some("proj"));
        assert_eq!(header("authorization"), Some("Bearer fetched"));

        let client = builder(&server).transport(only(transport)).auth(Auth::provider(Missing));
        let outcome = turn(&mut client.build().unwrap().session(), &request(&["hi"])).await;
        assert_eq!(outcome.error().kind(), ErrorKind::Auth);
        assert_eq!(outcome.error().delivery(), Delivery::NotSent);
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = server(Script::new().turn(Turn::text("no"))).await;
    let target = format!("{}/responses?secret=1", elsewhere.url());
    let redirect = Refusal::status(307).header("location", target);
    let server = server(Script::new().turn(Turn::text("x").http(redirect))).await;
    let mut session = socket_client(&server, TransportPolicy::SseOnly).session();
    let outcome = turn(&mut session, &request(&["hi"])).await;
    assert_eq!(outcome.error().kind(), ErrorKind::Protocol);
    let source = std::error::Error::source(outcome.error()).unwrap().to_string();
    assert!(source.contains("http://127.0.0.1:") && !source.contains("secret"), "{source}");
    assert!(elsewhere.log().connections.is_empty());
}

#[tokio::test]
async fn closing_a_session_ends_its_stream_and_its_socket() {
    for transport in BOTH {
        let server = server(Script::new().turn(Turn::text("hi").cut_after(2, stall()))).await;
        let mut session = socket_client(&server, only(transport)).session();
        let mut stream = session.stream(request(&["hi"])).await.unwrap();
        session.close().await;
        server.wait_for(|log| log.open_connections() == 0).await;
        let error = loop {
            match stream.try_next().await {
                Ok(event) => assert!(event.is_some()),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::SessionClosed);
        assert!(stream.try_next().await.unwrap().is_none());
    }
}

fn stall() -> responses_client::testing::Step {
    responses_client::testing::Step::Stall
}

#[tokio::test]
async fn a_dropped_session_closes_its_socket_and_a_stream_may_outlive_it() {
    let server = server(Script::new().turn(Turn::text("hi"))).await;
    let mut session = socket_client(&server, TransportPolicy::WebSocketOnly).session();
    let stream = session.stream(request(&["hi"])).await.unwrap();
    drop(session);
    assert_eq!(stream.final_response().await.unwrap().output_text(), "hi");
    server.wait_for(|log| log.open_connections() == 0).await;
    assert_eq!(server.log().connections[0].close_code, Some(1000));
}

#[tokio::test]
async fn a_fork_goes_on_from_the_same_history_on_a_connection_of_its_own() {
    for stored in [true, false] {
        let script = Script::new().turns(["one", "two", "three"].map(Turn::text));
        let server = Arc::<ScriptedServer>::new(server(script).await);
        let mut session = socket_client(&server, TransportPolicy::WebSocketOnly).session();
        let mut request = request(&["hi"]).store(stored);
        let first = turn(&mut session, &request).await;
        request.input.extend(first.response().output_items());
        request.input.push(Item::user("more"));
        let mut fork = session.fork();
        let forked = turn(&mut fork, &request).await;
        let expected = match stored {
            true => Plan::incremental(1),
            false => Plan::Full(FullSendReason::ConnectionChanged),
        };
        assert_eq!(forked.report.plan, Some(expected));
        let own = turn(&mut session, &request).await;
        assert_eq!(own.report.plan, Some(Plan::incremental(1)));
        assert_eq!(server.log().connections.len(), 2);
    }
}

#[tokio::test]
async fn a_proxy_setting_is_for_both_transports() {
    // Nobody listens there: what is not sent to the proxy would arrive.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let server = server(Script::new().turn(Turn::text("hi"))).await;
    for transport in BOTH {
        let mut retry = responses_client::RetryPolicy::default();
        retry.network_down_deadline = Some(std::time::Duration::ZERO);
        let client = ResponsesClient::builder()
            .provider(Provider::compatible(&server.url()).unwrap())
            .transport(only(transport))
            .retry(retry)
            .network(NetworkSettings::new().proxy(ProxySetting::Url(proxy.clone())))
            .build()
            .unwrap();
        let outcome = turn(&mut client.session(), &request(&["hi"])).await;
        assert_eq!(outcome.error().kind(), ErrorKind::Connect);
    }
    assert!(server.log().connections.is_empty());
}
