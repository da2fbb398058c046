//! Requests that go over SSE instead of the WebSocket, and the limit of a frame.

use responses_client::{
    ErrorKind, Item, Provider, ResponsesClient, ResponsesRequest, RetryPolicy, Transport,
    report::{FullSendReason, Prewarm},
    testing::{Refusal, RequestLog, Script, ScriptedServer, Turn, Upgrade},
};

use crate::support::{appended, builder, close, full, incremental, request, tried, turn};

const WEBSOCKET: Transport = Transport::WebSocket;
const SSE: Transport = Transport::Sse;

fn answers() -> Script {
    Script::new().respond(|_| Turn::text("an answer"))
}

/// A client that is told not to put more than `bytes` into a frame.
fn with_frame_limit(server: &ScriptedServer, bytes: u64) -> ResponsesClient {
    let provider = Provider::compatible(&server.url()).unwrap().frame_limit(Some(bytes));
    ResponsesClient::builder().provider(provider).connector(&server.connector()).build().unwrap()
}

fn sent(server: &ScriptedServer) -> Vec<(Transport, usize, bool)> {
    let sent = |it: &RequestLog| (it.transport, it.input_items, it.previous_response_id.is_some());
    server.log().requests.iter().map(sent).collect()
}

#[tokio::test(start_paused = true)]
async fn c041_after_a_refused_upgrade_the_body_carries_everything() {
    let script =
        answers().upgrade(Upgrade::Accept).every_upgrade(Upgrade::Refuse(Refusal::status(426)));
    let server = ScriptedServer::in_memory(script);
    let mut session = builder(&server).build().unwrap().session();
    let request = request(&["one"]);
    let first = turn(&mut session, &request).await;
    server.close_idle(1001, "");
    server.wait_for(|log| log.connections[0].closed).await;
    let second = turn(&mut session, &appended(&request, &first, "two")).await;
    assert_eq!(second.report.plan, full(FullSendReason::ProviderUnsupported));
    let log = server.log();
    let posted: Vec<_> = log.posts().collect();
    assert_eq!((posted.len(), log.creates().count()), (1, 1));
    assert_eq!((posted[0].input_items, &posted[0].previous_response_id), (3, &None));
    assert_eq!(posted[0].body["stream"], true);
    assert!(posted[0].body.get("type").is_none());
}

#[tokio::test(start_paused = true)]
async fn c041_so_it_does_after_an_incremental_attempt_that_was_cut() {
    let script = Script::new()
        .turn(Turn::text("a"))
        .turn(Turn::steps([close(1012)]))
        .turn(Turn::text("b"))
        .turn(Turn::text("c"))
        .upgrade(Upgrade::Accept)
        .every_upgrade(Upgrade::Refuse(Refusal::status(426)));
    let server = ScriptedServer::in_memory(script);
    let mut session = builder(&server).build().unwrap().session();
    let request = request(&["one"]);
    let first = turn(&mut session, &request).await;
    let next = appended(&request, &first, "two");
    let second = turn(&mut session, &next).await;
    assert_eq!(second.response().output_text(), "b");
    let third = turn(&mut session, &appended(&next, &second, "three")).await;
    assert_eq!(third.response().output_text(), "c");
    let log = server.log();
    let sent: Vec<_> = log
        .requests
        .iter()
        .map(|r| (r.transport, r.input_items, r.previous_response_id.is_some()))
        .collect();
    let (websocket, sse) = (Transport::WebSocket, Transport::Sse);
    let expected = [(websocket, 1, false), (websocket, 1, true), (sse, 3, false), (sse, 5, false)];
    assert_eq!(sent, expected);
}

#[tokio::test(start_paused = true)]
async fn c041_a_stored_parent_may_go_along_by_choice() {
    let script =
        answers().upgrade(Upgrade::Accept).every_upgrade(Upgrade::Refuse(Refusal::status(426)));
    for by_choice in [false, true] {
        let server = ScriptedServer::in_memory(script.clone());
        let client = builder(&server).continue_over_sse(by_choice).build().unwrap();
        let mut session = client.session();
        let request = request(&["one"]).store(true);
        let first = turn(&mut session, &request).await;
        server.close_idle(1001, "");
        server.wait_for(|log| log.connections[0].closed).await;
        let second = turn(&mut session, &appended(&request, &first, "two")).await;
        let plan =
            if by_choice { incremental(1) } else { full(FullSendReason::SseContinuationOff) };
        assert_eq!((second.report.transport, second.report.plan), (Some(Transport::Sse), plan));
    }
}

#[tokio::test(start_paused = true)]
async fn c038_a_frame_that_the_server_finds_too_large_goes_over_sse_and_smaller_ones_do_not() {
    let too_large = Turn::steps([close(1009)]);
    let server = ScriptedServer::in_memory(answers().turn(too_large));
    let mut retry = RetryPolicy::default();
    retry.max_attempts = 1;
    let client = builder(&server).retry(retry).build().unwrap();
    let mut session = client.session();
    let first = turn(&mut session, &request(&["large"])).await;
    assert_eq!(first.response().output_text(), "an answer");
    let closed = [(WEBSOCKET, Some(ErrorKind::Closed)), (SSE, None)];
    assert_eq!(tried(&first.report), closed);
    assert_eq!(client.fallback(), None);
    let second = turn(&mut session, &request(&["small"])).await;
    assert_eq!(tried(&second.report), [(WEBSOCKET, None)]);
    assert_eq!(sent(&server).len(), 3, "the same bytes met one WebSocket alone");
}

#[tokio::test(start_paused = true)]
async fn c038_what_is_above_the_frame_limit_is_never_put_on_a_socket_and_what_fits_is() {
    let server = ScriptedServer::in_memory(answers());
    let mut session = with_frame_limit(&server, 2000).session();
    let small = request(&["small"]);
    let first = turn(&mut session, &small).await;
    // All of it would not fit, but what is new does.
    let mut next = appended(&small, &first, &"x".repeat(1500));
    for _ in 0..2 {
        let outcome = turn(&mut session, &next).await;
        assert_eq!(outcome.report.plan, incremental(1));
        next = appended(&next, &outcome, &"x".repeat(1500));
    }
    // What is new does not fit.
    let mut large = next.clone();
    large.input.push(Item::user("x".repeat(2500)));
    let outcome = turn(&mut session, &large).await;
    assert_eq!(tried(&outcome.report), [(SSE, None)]);
    let again = turn(&mut session, &request(&["small again"])).await;
    assert_eq!((tried(&again.report), again.report.reused), (vec![(WEBSOCKET, None)], true));
    let log = server.log();
    assert!(log.creates().all(|create| create.raw.len() <= 2000));
    assert_eq!((log.websockets().count(), log.posts().count()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn c038_a_full_resend_above_the_frame_limit_goes_over_sse() {
    let lost = Turn::error(400, "previous_response_not_found", "Previous response not found.");
    let script = Script::new().turn(Turn::text("a")).turn(Turn::text("b")).turn(lost);
    let server = ScriptedServer::in_memory(script.respond(|_| Turn::text("c")));
    let mut session = with_frame_limit(&server, 2000).session();
    let first = request(&["small"]);
    let one = turn(&mut session, &first).await;
    let second = appended(&first, &one, &"x".repeat(1500));
    let two = turn(&mut session, &second).await;
    let three = turn(&mut session, &appended(&second, &two, &"x".repeat(1500))).await;
    assert_eq!(three.response().output_text(), "c");
    assert_eq!(tried(&three.report), [(WEBSOCKET, Some(ErrorKind::Api)), (SSE, None)]);
    let expected =
        [(WEBSOCKET, 1, false), (WEBSOCKET, 1, true), (WEBSOCKET, 1, true), (SSE, 5, false)];
    assert_eq!(sent(&server), expected);
}

/// A gateway in front of the provider may take less than the provider does.
#[tokio::test(start_paused = true)]
async fn c038_a_frame_limit_that_the_upgrade_names_holds_for_its_socket() {
    const NAME: &str = "x-codex-websocket-max-message-bytes";
    let large = request(&[&"x".repeat(2500)]);
    // The provider's limit stays where it is lower, and a value that is no number says nothing.
    for (named, by_provider, goes_over) in [
        ("2000", 4000, SSE),
        (" 2000", 4000, SSE),
        ("4000", 2000, SSE),
        ("4000", 4000, WEBSOCKET),
        ("many", 4000, WEBSOCKET),
    ] {
        for reused in [false, true] {
            let server = ScriptedServer::in_memory(answers().header(NAME, named));
            let client = with_frame_limit(&server, by_provider);
            let mut session = client.session();
            if reused {
                let small = turn(&mut session, &request(&["small"])).await;
                assert_eq!(tried(&small.report), [(WEBSOCKET, None)]);
            }
            let what = format!("{named:?} of {by_provider}, reused: {reused}");
            let outcome = turn(&mut session, &large).await;
            assert_eq!(tried(&outcome.report), [(goes_over, None)], "{what}");
            assert_eq!(
                outcome.report.timings.connected.is_some(),
                goes_over == WEBSOCKET && !reused
            );
            assert_eq!(client.fallback(), None, "{what}: it says nothing about WebSockets");
            let after = turn(&mut session, &request(&["small again"])).await;
            assert_eq!(tried(&after.report), [(WEBSOCKET, None)], "{what}: for that turn only");
            assert_eq!(server.log().websockets().count(), 1, "{what}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c038_a_prewarm_above_the_limit_that_the_upgrade_names_only_connects() {
    let script = answers().header("x-codex-websocket-max-message-bytes", "2000");
    let server = ScriptedServer::in_memory(script);
    let mut session = with_frame_limit(&server, 4000).session();
    let large = request(&[&"x".repeat(2500)]);
    session.prewarm(&large).expect("a runtime");
    let outcome = turn(&mut session, &large).await;
    assert_eq!(outcome.report.prewarm, Some(Prewarm::Connected));
    assert_eq!(sent(&server), [(SSE, 1, false)]);
}

/// Requests whose frames are of just the provider's limit, and of one byte more.
async fn at_the_limit() -> [ResponsesRequest; 2] {
    let padded = |length: usize| request(&[&"x".repeat(length)]);
    let server = ScriptedServer::in_memory(answers());
    turn(&mut builder(&server).build().unwrap().session(), &padded(1)).await;
    let around = server.log().creates().next().unwrap().raw.len() - 1;
    [LIMIT - around, LIMIT + 1 - around].map(padded)
}

/// What OpenAI takes.
const LIMIT: usize = 16_777_216;

#[tokio::test(start_paused = true)]
async fn c109_a_frame_of_just_the_limit_goes_and_one_byte_more_goes_over_sse() {
    let [fits, too_large] = at_the_limit().await;
    let script = answers().frame_limit(LIMIT as u64);
    let refused = (WEBSOCKET, Some(ErrorKind::Closed));
    // Both know the limit, and then the server alone.
    for (client_limit, refused) in [(LIMIT, None), (LIMIT * 2, Some(refused))] {
        let server = ScriptedServer::in_memory(script.clone());
        let client = with_frame_limit(&server, client_limit as u64);
        let mut session = client.session();
        // `type` gives way to `stream`.
        let posted = LIMIT + 1 - r#""type":"response.create""#.len() + r#""stream":true"#.len();
        let mut came = vec![(SSE, posted)];
        if client_limit == LIMIT {
            let outcome = turn(&mut session, &fits).await;
            assert_eq!(tried(&outcome.report), [(WEBSOCKET, None)]);
            came.insert(0, (WEBSOCKET, LIMIT));
        }
        let outcome = turn(&mut session, &too_large).await;
        assert_eq!(
            tried(&outcome.report),
            Vec::from_iter(refused.into_iter().chain([(SSE, None)]))
        );
        assert_eq!(outcome.response().output_text(), "an answer");
        assert_eq!(client.fallback(), None, "the WebSocket is as good as before");
        let log = server.log();
        let sizes: Vec<_> = log.requests.iter().map(|it| (it.transport, it.raw.len())).collect();
        assert_eq!(sizes, came);
    }
}
