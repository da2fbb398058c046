//! Headers and time limits of single turns.

use std::{error::Error as _, time::Duration};

use http::HeaderName;
use responses_client::{
    Auth, Delivery, Error, ErrorKind, RetryAction, Timeouts, Transport, TransportPolicy,
    testing::{Script, ScriptedServer, Step, Turn, items},
};
use tokio::time::Instant;

use crate::support::{
    BOTH, appended, builder, guarded, incremental, only, read, request, tried, turn,
};

/// A server that answers every turn.
fn answering() -> ScriptedServer {
    ScriptedServer::in_memory(Script::new().respond(|_| Turn::text("hi")))
}

#[tokio::test(start_paused = true)]
async fn c253_a_turn_with_headers_goes_over_sse_and_the_socket_stays_for_the_others() {
    let server = answering();
    let client = builder(&server).auth(Auth::bearer("key")).build().unwrap();
    let mut session = client.session();
    let one = request(&["one"]);
    let first = turn(&mut session, &one).await;
    assert_eq!(first.report.transport, Some(Transport::WebSocket));
    let two = appended(&one, &first, "two");
    let tagged = session.turn(&two).header("X-Tag", "a").header("x-tag", "b").stream().await;
    let second = read(tagged).await;
    assert_eq!(second.report.transport, Some(Transport::Sse));
    assert_eq!(tried(&second.report), [(Transport::Sse, None)], "it is no fallback");
    assert_eq!(client.fallback(), None);
    let third = turn(&mut session, &appended(&two, &second, "three")).await;
    assert_eq!(third.report.transport, Some(Transport::WebSocket));
    assert!(third.report.reused);

    let log = server.log();
    let post = log.posts().next().unwrap();
    assert_eq!((log.posts().count(), log.websockets().count()), (1, 1));
    assert_eq!(
        (post.header("x-tag"), post.header("authorization")),
        (Some("b"), Some("Bearer key"))
    );
    assert_eq!(post.headers.iter().filter(|(name, _)| name == "x-tag").count(), 1);
    assert_eq!(post.input_items, 3, "the whole history");
    assert_eq!(log.websockets().next().unwrap().header("x-tag"), None);
}

#[tokio::test(start_paused = true)]
async fn c253_headers_of_a_turn_replace_those_of_the_client_for_this_turn_and_no_credential() {
    let server = answering();
    let secret = Auth::header(HeaderName::from_static("x-secret"), "key");
    let client = builder(&server).auth(secret).header("x-tag", "client");
    let mut session = client.transport(TransportPolicy::SseOnly).build().unwrap().session();
    let one = request(&["one"]);
    let other = session.turn(&one).header("X-Secret", "other").stream().await.unwrap_err();
    assert_eq!(other.kind(), ErrorKind::InvalidRequest, "it would be dropped without a word");
    let tagged = session.turn(&one).header("x-tag", "turn");
    read(tagged.stream().await).await.response();
    let last = session.respond(&one).await.unwrap();
    assert_eq!(last.output_text(), "hi");
    let log = server.log();
    let headers = |at: usize| ["x-tag", "x-secret"].map(|name| log.requests[at].header(name));
    assert_eq!(headers(0), [Some("turn"), Some("key")]);
    assert_eq!(headers(1), [Some("client"), Some("key")]);
}

#[tokio::test(start_paused = true)]
async fn c253_every_request_of_the_turn_has_its_headers() {
    // A refused attempt, a cut one that is resumed by id, and its end.
    let answer = Turn::output([items::message("a long answer")]).insert(4, Step::Reset);
    let busy = Turn::error(503, "slow_down", "no");
    let server = ScriptedServer::in_memory(Script::new().turn(busy).turn(answer));
    let mut session = builder(&server).build().unwrap().session();
    let background = request(&["hi"]).store(true).background(true);
    let tagged = session.turn(background).header("x-tag", "a").respond().await.unwrap();
    assert_eq!(tagged.output_text(), "a long answer");
    let resumed: Vec<_> = tagged.report().attempts.iter().map(|it| it.resumed).collect();
    assert_eq!(resumed, [false, false, true]);
    let log = server.log();
    assert!(log.posts().all(|post| post.header("x-tag") == Some("a")));
    assert_eq!((log.posts().count(), log.others.len()), (2, 1));
    assert_eq!(log.others[0].header("x-tag"), Some("a"));
}

#[tokio::test(start_paused = true)]
async fn c254_under_websocket_only_a_turn_with_headers_fails_before_anything_is_sent() {
    let server = answering();
    let client = builder(&server).transport(TransportPolicy::WebSocketOnly).build().unwrap();
    let mut session = client.session();
    let one = request(&["one"]);
    let error = session.turn(&one).header("x-tag", "a").respond().await.unwrap_err();
    assert_eq!((error.kind(), error.delivery()), (ErrorKind::InvalidRequest, Delivery::NotSent));
    let text = "headers of one turn need HTTP, and the transport policy allows no alternative: use \
                `TransportPolicy::Auto`";
    assert!(chain(&error).contains(text), "{}", chain(&error));
    assert_eq!(error.retry_action(), RetryAction::Reconfigure);
    assert!(server.log().connections.is_empty());

    let first = turn(&mut session, &one).await;
    let two = appended(&one, &first, "two");
    session.turn(&two).header("x-tag", "a").respond().await.unwrap_err();
    let second = turn(&mut session, &two).await;
    assert_eq!(second.report.plan, incremental(1), "the chain is unaffected");
}

#[tokio::test(start_paused = true)]
async fn c254_a_header_that_cannot_be_sent_fails_the_turn_and_ends_no_other() {
    use TransportPolicy::{Auto, SseOnly, WebSocketOnly};
    for policy in [Auto, SseOnly, WebSocketOnly] {
        for (name, value, reason) in [
            ("Content-Type", "text/plain", "the transport sets it"),
            ("Upgrade", "websocket", "the transport sets it"),
            ("Authorization", "Bearer canary", "it is a credential"),
            ("Cookie", "canary", "it is a credential"),
            ("", "x", "the name is empty"),
            ("Bearer sk-canary-canary", "authorization", "the name is empty or has characters"),
            ("x-tag", "canary\r\nx-other: 1", "the value has characters"),
        ] {
            let server = answering();
            let mut session = builder(&server).transport(policy).build().unwrap().session();
            let running = session.stream(request(&["hi"])).await.unwrap();
            let builder = session.turn(request(&["more"])).header(name, value);
            assert!(!format!("{builder:?}").contains("canary"));
            let error = builder.stream().await.unwrap_err();
            let place = (error.kind(), error.delivery(), error.retry_action());
            let expected =
                (ErrorKind::InvalidRequest, Delivery::NotSent, RetryAction::ChangeRequest);
            assert_eq!(place, expected, "{name}");
            let text = chain(&error);
            assert!(text.contains(reason), "{text}");
            assert!(!format!("{text} {error:?}").contains("canary"), "{text}");
            assert_eq!(running.final_response().await.unwrap().output_text(), "hi");
            assert_eq!(server.log().requests.len(), 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c255_the_time_limit_of_a_turn_holds_instead_of_the_clients_and_for_that_turn_only() {
    let silent = || Turn::text("hi").cut_after(2, Step::Stall);
    for transport in BOTH {
        for (own, ends_after) in [(Some(5), 5), (Some(300), 300), (None, 100)] {
            let server = ScriptedServer::in_memory(Script::new().respond(move |_| silent()));
            let mut timeouts = Timeouts::default();
            timeouts.turn = Some(Duration::from_secs(100));
            timeouts.ping = None;
            let client = builder(&server).transport(only(transport)).timeouts(timeouts);
            let mut session = client.build().unwrap().session();
            let mut start = Instant::now();
            let one = request(&["one"]);
            let limited = match own {
                Some(own) => session.turn(&one).timeout(Duration::from_secs(own)),
                None => session.turn(&one),
            };
            let error = guarded_for(400, limited.respond()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Timeout, "{transport}");
            assert_eq!(start.elapsed().as_secs(), ends_after, "{transport} {own:?}");
            start = Instant::now();
            let error = guarded_for(400, session.respond(&one)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Timeout, "{transport}");
            assert_eq!(start.elapsed().as_secs(), 100, "{transport}: the next turn");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c255_a_time_limit_covers_all_attempts_and_needs_no_http() {
    for transport in BOTH {
        let busy = || Turn::error(503, "slow_down", "no").retry_after(Duration::from_secs(20));
        let server = ScriptedServer::in_memory(Script::new().respond(move |_| busy()));
        let client = builder(&server).transport(only(transport)).build().unwrap();
        let mut session = client.session();
        let start = Instant::now();
        let limited = session.turn(request(&["hi"])).timeout(Duration::from_secs(30));
        let error = guarded(limited.respond()).await.unwrap_err();
        let attempts = &error.report().unwrap().attempts;
        assert_eq!((error.kind(), attempts.len()), (ErrorKind::Api, 2), "{transport}");
        assert_eq!(start.elapsed().as_secs(), 20, "the third attempt would begin too late");
        assert!(attempts.iter().all(|it| it.transport == transport));
    }
}

/// The error and its sources.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    text
}

/// `future`, unless it takes more than this many seconds.
async fn guarded_for<T>(seconds: u64, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(seconds), future).await.expect("no hang")
}
