//! Compressed messages on a WebSocket: `permessage-deflate`.

use std::time::Duration;

use bytes::Bytes;
use responses_client::{
    DeflatePolicy, ErrorKind, Item, Limits, Phase, ResponsesClient, ResponsesRequest, Tool,
    Transport, TransportPolicy,
    error::ProtocolError,
    testing::{Script, ScriptedServer, Step, Turn, Upgrade},
};
use serde_json::json;

use crate::support::{
    Outcome, appended, builder, guarded, incremental, only, request, tried, turn,
};

fn offering(server: &ScriptedServer) -> ResponsesClient {
    let client = builder(server).deflate(DeflatePolicy::Offer);
    client.transport(only(Transport::WebSocket)).build().expect("a client")
}

fn answers() -> Script {
    Script::new().respond(|_| Turn::text("An answer of some words."))
}

/// Words of a language that repeats itself no more than English does.
struct Words(u64);

impl Words {
    fn next(&mut self, below: u64) -> u64 {
        // A linear congruential generator; its upper bits are good enough for words.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % below
    }

    fn word(&mut self) -> String {
        const SYLLABLES: [&str; 24] = [
            "ar", "be", "con", "di", "er", "fo", "ge", "hi", "in", "ju", "ka", "lo", "men", "ni",
            "or", "pre", "qua", "re", "ste", "ti", "un", "ver", "wa", "ys",
        ];
        (0..=self.next(3)).map(|_| SYLLABLES[self.next(24) as usize]).collect()
    }

    /// Sentences of at least `bytes` bytes.
    fn text(&mut self, bytes: usize) -> String {
        let mut text = String::new();
        while text.len() < bytes {
            for _ in 0..=self.next(12) {
                text += &self.word();
                text.push(' ');
            }
            text += &format!("{}. ", self.next(100_000));
        }
        text
    }
}

/// A request with instructions and tools of `head` bytes together.
fn agent(words: &mut Words, head: usize) -> ResponsesRequest {
    let mut request = ResponsesRequest::new("gpt-6-astra");
    let tool = |words: &mut Words| {
        let mut property = || json!({ "type": "string", "description": words.text(60) });
        let properties = json!({ "path": property(), "query": property(), "limit": property() });
        let schema = json!({ "type": "object", "properties": properties, "required": ["path"] });
        Tool::function(format!("{}_{}", words.word(), words.next(100)), words.text(150), schema)
    };
    while size(&request) < head / 2 {
        let next = tool(words);
        request.tools.push(next);
    }
    request.instructions = Some(words.text(head - size(&request)));
    request
}

/// Bytes of the instructions and tools as they are sent.
fn size(request: &ResponsesRequest) -> usize {
    let instructions = serde_json::to_string(&request.instructions).expect("JSON");
    instructions.len() + serde_json::to_string(&request.tools).expect("JSON").len()
}

/// Bytes of a turn.
struct Sent {
    body: u64,
    wire: u64,
}

/// Runs five turns, each with 2 kB of new input.
async fn agent_turns(client: &ResponsesClient, server: &ScriptedServer, head: usize) -> Vec<Sent> {
    let mut words = Words(head as u64);
    let mut session = client.session();
    let mut request = agent(&mut words, head);
    let mut sent = Vec::new();
    for number in 0..5 {
        request.input.push(Item::user(words.text(2000)));
        let outcome = turn(&mut session, &request).await;
        if number > 0 {
            assert_eq!(outcome.report.plan, incremental(1));
        }
        request.input.extend(outcome.response().output_items());
        let log = server.log();
        let logged = log.requests.last().expect("a request");
        assert_eq!(outcome.report.bytes_sent, logged.raw.len() as u64);
        let compressed = outcome.report.compressed_bytes_sent;
        assert!(compressed.is_none_or(|bytes| bytes == logged.bytes_received), "{compressed:?}");
        sent.push(Sent { body: outcome.report.bytes_sent, wire: logged.bytes_received });
    }
    assert_eq!(server.log().websockets().count(), 1);
    sent
}

#[tokio::test]
async fn c304_a_repeated_head_within_the_window_is_nearly_free() {
    for head in [10_000, 20_000] {
        let server = ScriptedServer::in_memory(answers());
        let sent = agent_turns(&offering(&server), &server, head).await;
        for (number, Sent { body, wire }) in sent.iter().enumerate().skip(1) {
            let new = body - head as u64;
            // New words shrink as well.
            let most = head as u64 * 12 / 100 + new;
            assert!(*wire <= most, "{head}, turn {number}: {wire} of {most}");
            assert!(*wire <= 2000, "{head}, turn {number}: {wire}");
        }
        assert!(sent[0].wire < sent[0].body * 45 / 100, "{head}: {}", sent[0].wire);
    }
}

#[tokio::test]
async fn c304_a_head_beyond_the_window_shrinks_as_text_does() {
    let server = ScriptedServer::in_memory(answers());
    for Sent { body, wire } in agent_turns(&offering(&server), &server, 40_000).await {
        let part = wire * 100 / body;
        assert!((25..45).contains(&part), "{wire} of {body}: {part} %");
    }
}

#[tokio::test]
async fn c304_the_context_is_given_up_if_the_server_asks_for_that() {
    let answer = "permessage-deflate; client_no_context_takeover; server_no_context_takeover";
    let server = ScriptedServer::in_memory(answers().deflate(Some(answer)));
    for Sent { body, wire } in agent_turns(&offering(&server), &server, 20_000).await {
        let part = wire * 100 / body;
        assert!((25..45).contains(&part), "{wire} of {body}: {part} %");
    }
}

#[tokio::test]
async fn c300_a_server_may_make_the_windows_smaller() {
    for (bits, parts) in [(15, 1..12), (12, 25..50), (9, 40..70), (8, 100..101)] {
        let answer = format!(
            "permessage-deflate; client_max_window_bits={bits}; server_max_window_bits={bits}"
        );
        let server = ScriptedServer::in_memory(answers().deflate(Some(&answer)));
        let sent = agent_turns(&offering(&server), &server, 20_000).await;
        let part = sent[4].wire * 100 / sent[4].body;
        // The compressor has no window of 8 bits, so that nothing is compressed.
        assert!(parts.contains(&part), "{bits}: {part} %");
    }
}

#[tokio::test]
async fn c300_only_a_client_that_is_set_to_it_offers_compression() {
    let offer = "permessage-deflate, permessage-deflate; client_max_window_bits";
    for (policy, offered) in [(DeflatePolicy::Off, None), (DeflatePolicy::Offer, Some(offer))] {
        let server = ScriptedServer::in_memory(answers());
        let client = builder(&server).deflate(policy).build().expect("a client");
        let outcome = turn(&mut client.session(), &request(&[&"word ".repeat(1000)])).await;
        assert_eq!(outcome.response().output_text(), "An answer of some words.");
        let log = server.log();
        assert_eq!(log.connections[0].header("sec-websocket-extensions"), offered);
        let wire = log.requests[0].bytes_received;
        assert_eq!(wire < 1000, policy == DeflatePolicy::Offer, "{wire}");
        let compressed = (policy == DeflatePolicy::Offer).then_some(wire);
        assert_eq!(outcome.report.compressed_bytes_sent, compressed);
        let answer = outcome.report.server.get("sec-websocket-extensions");
        assert_eq!(answer, offered.map(|_| "permessage-deflate"));
    }
}

#[tokio::test]
async fn c300_a_server_may_decline() {
    let server = ScriptedServer::in_memory(answers().deflate(None));
    let mut session = offering(&server).session();
    let first = turn(&mut session, &request(&["one"])).await;
    let second = turn(&mut session, &appended(&request(&["one"]), &first, "two")).await;
    assert_eq!(second.report.plan, incremental(1));
    let log = server.log();
    assert!(log.requests.iter().all(|it| it.bytes_received > it.raw.len() as u64));
    assert_eq!(log.connections.len(), 1);
}

#[tokio::test]
async fn c301_an_answer_beyond_the_offer_fails_the_upgrade() {
    for answer in [
        "permessage-deflate; level=9",
        "permessage-deflate; client_max_window_bits=7",
        "permessage-deflate, permessage-deflate",
        "permessage-bzip2",
    ] {
        let server = ScriptedServer::in_memory(answers().deflate(Some(answer)));
        let outcome = turn(&mut offering(&server).session(), &request(&["one"])).await;
        assert_eq!(outcome.error().kind(), ErrorKind::Protocol, "{answer}");
        assert_eq!(outcome.error().phase(), Phase::Connect);
        // Where SSE is allowed, it is the fallback.
        let client = builder(&server).deflate(DeflatePolicy::Offer).build().expect("a client");
        let outcome = turn(&mut client.session(), &request(&["one"])).await;
        let expected = [(Transport::WebSocket, Some(ErrorKind::Protocol)), (Transport::Sse, None)];
        assert_eq!(tried(&outcome.report), expected, "{answer}");
    }
}

#[tokio::test]
async fn c301_an_extension_that_was_not_offered_fails_the_upgrade() {
    let upgrade = Upgrade::Header {
        name: "sec-websocket-extensions".to_owned(),
        value: "permessage-deflate".to_owned(),
    };
    let server = ScriptedServer::in_memory(answers().every_upgrade(upgrade));
    let client = builder(&server).deflate(DeflatePolicy::Off);
    let client = client.transport(TransportPolicy::WebSocketOnly).build().expect("a client");
    let outcome = turn(&mut client.session(), &request(&["one"])).await;
    assert_eq!(outcome.error().kind(), ErrorKind::Protocol);
}

/// DEFLATE data of `repeats` times 258 zeros, 13 bits for each repetition.
fn zeros(repeats: usize) -> Bytes {
    let mut bits = String::from("010");
    bits += "01100000";
    bits += &"1100010100000".repeat(repeats);
    bits += "0000000000";
    let byte = |bits: &[u8]| bits.iter().rev().fold(0, |byte, bit| byte << 1 | (bit & 1));
    bits.as_bytes().chunks(8).map(byte).collect()
}

async fn answered_by(step: Step, limit: usize) -> (Outcome, usize) {
    let odd = Turn::text("never").cut_after(2, step);
    let server = ScriptedServer::in_memory(Script::new().turns([odd, Turn::text("next")]));
    let mut limits = Limits::default();
    limits.max_event_bytes = limit;
    let client = builder(&server).deflate(DeflatePolicy::Offer).limits(limits);
    let client = client.transport(only(Transport::WebSocket)).build().expect("a client");
    let mut session = client.session();
    let outcome = guarded(turn(&mut session, &request(&["one"]))).await;
    let next = turn(&mut session, &request(&["two"])).await;
    assert_eq!(next.response().output_text(), "next");
    (outcome, server.log().connections.len())
}

#[tokio::test]
async fn c303_an_event_is_limited_in_its_full_size() {
    let (outcome, connections) = answered_by(Step::Deflated(zeros(1000)), 100_000).await;
    let error = outcome.error();
    assert_eq!((error.kind(), connections), (ErrorKind::TooLarge, 2));
    assert!(error.to_string().contains("max_event_bytes"), "{error}");
    // Below the limit, the event is read, and found to be none.
    let (outcome, connections) = answered_by(Step::Deflated(zeros(300)), 100_000).await;
    assert_eq!((outcome.error().kind(), connections), (ErrorKind::Protocol, 2));
}

#[tokio::test]
async fn c303_what_is_no_deflate_data_is_a_protocol_error() {
    let garbage = Step::Deflated(Bytes::from_static(&[0xff; 20]));
    let (outcome, connections) = answered_by(garbage, 100_000).await;
    assert_eq!((outcome.error().kind(), connections), (ErrorKind::Protocol, 2));
    let source = std::error::Error::source(outcome.error()).expect("a cause");
    assert_eq!(
        source.downcast_ref(),
        Some(&ProtocolError::WebSocket(
            "a compressed message is not valid DEFLATE data".to_owned()
        )),
    );
}

#[tokio::test]
async fn c303_a_compressed_message_that_was_not_negotiated_is_a_protocol_error() {
    let odd = Turn::text("never").cut_after(2, Step::Deflated(zeros(1)));
    let server = ScriptedServer::in_memory(Script::from(odd).deflate(None));
    let outcome = turn(&mut offering(&server).session(), &request(&["one"])).await;
    assert_eq!(outcome.error().kind(), ErrorKind::Protocol);
}

#[tokio::test(start_paused = true)]
async fn c302_fragments_pings_and_slow_pieces_make_no_difference() {
    let pause = Duration::from_secs(1);
    let delta = |text: &str| {
        json!({ "type": "response.output_text.delta", "output_index": 0, "content_index": 0,
            "delta": text })
        .to_string()
    };
    let odd = Turn::text("one two three")
        .insert(4, Step::Fragmented { text: delta(&"é".repeat(50)), pieces: 40 })
        .insert(5, Step::Ping(Bytes::from_static(b"ping")))
        .insert(6, Step::Drip { text: delta("slow"), pieces: 5, pause })
        .insert(7, Step::Split { text: delta("cut"), at: vec![1, 2, 30] });
    let mut seen = Vec::new();
    for policy in [DeflatePolicy::Off, DeflatePolicy::Offer] {
        let server = ScriptedServer::in_memory(Script::from(odd.clone()));
        let client = builder(&server).deflate(policy).build().expect("a client");
        let outcome = turn(&mut client.session(), &request(&["one"])).await;
        let raw: Vec<_> = outcome.events.iter().map(|it| it.raw().to_owned()).collect();
        assert_eq!(server.log().connections[0].pongs, 1);
        seen.push((raw, outcome.response().output_text().to_owned()));
    }
    assert_eq!(seen[0], seen[1]);
}

#[tokio::test]
async fn c302_a_large_request_arrives_whole() {
    // It becomes many frames, and pings may come between them.
    let server = ScriptedServer::in_memory(answers());
    let text = Words(7).text(3_000_000);
    let mut session = offering(&server).session();
    let first = turn(&mut session, &request(&[&text])).await;
    let second = turn(&mut session, &appended(&request(&[&text]), &first, "more")).await;
    assert_eq!(second.report.plan, incremental(1));
    let log = server.log();
    assert!(log.requests[0].raw.contains(&text));
    assert!(log.requests[0].bytes_received < log.requests[0].raw.len() as u64 / 2);
}
