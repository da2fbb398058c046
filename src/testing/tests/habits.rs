//! Variants of responses, and the form in which the server stores them.

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::tungstenite::Message;

use super::{
    Client, events as body_events,
    generators::{events, without_ids},
    kinds, post, post_on,
};
use crate::{
    Transport,
    net::Content,
    testing::{
        NoOutput, Refusal, Reuse, Script, ScriptedServer, Step, Turn, Upgrade, Withheld, items,
        parse_json, script::value::encode, surrogate_half,
    },
};

fn output() -> [Value; 3] {
    [
        items::reasoning("Think first", "gAAAA"),
        items::message("Hello there"),
        items::function_call("call_1", "f", r#"{"a":1}"#),
    ]
}

fn turn() -> Turn {
    Turn::output(output())
}

fn seen(turn: &Turn) -> Vec<Value> {
    events(turn, json!({}))
}

/// The finished items of the stream, and those of the terminal event.
fn told(turn: &Turn) -> (Vec<Value>, Vec<Value>) {
    let events = seen(turn);
    let done = events.iter().filter(|event| event["type"] == "response.output_item.done");
    let output = events.last().unwrap()["response"]["output"].as_array().unwrap().clone();
    (done.map(|event| event["item"].clone()).collect(), output)
}

fn column(items: &[Value], member: &str) -> Vec<Value> {
    items.iter().map(|item| item[member].clone()).collect()
}

#[test]
fn identities_can_be_split_empty_or_missing() {
    let (done, output) = told(&turn().split_item_ids());
    assert!(
        column(&done, "id").iter().zip(column(&output, "id")).all(|(one, other)| *one != other)
    );
    assert_eq!(without_ids(done), without_ids(output));

    let (done, output) = told(&turn().split_call_ids());
    let calls = (done[2]["call_id"].clone(), output[2]["call_id"].clone());
    assert_eq!(calls, (json!("call_1"), json!("other_call_1")));

    let empty = seen(&turn().empty_item_ids());
    assert!(empty.iter().any(|event| event["item_id"] == ""));
    for event in &empty {
        assert!(event.get("item_id").is_none_or(|id| id == ""), "{event}");
        assert!(event.get("item").is_none_or(|item| item["id"] == ""), "{event}");
    }
    let without = seen(&turn().without_item_ids());
    assert_eq!(kinds(&without), kinds(&empty));
    for event in &without {
        assert!(event.get("item_id").is_none() && event["item"].get("id").is_none(), "{event}");
    }
    let output = without.last().unwrap()["response"]["output"].as_array().unwrap();
    assert!(output.iter().all(|item| item.get("id").is_none()));

    let shifted = seen(&turn().output_indices_from(1));
    let indices: Vec<_> = shifted.iter().filter_map(|it| it["output_index"].as_u64()).collect();
    assert_eq!((indices.iter().min(), indices.iter().max()), (Some(&1), Some(&3)));
}

#[test]
fn content_can_be_withheld_until_the_terminal_event() {
    let whole = output().to_vec();
    let (done, output) = told(&turn().withholding(Withheld::EncryptedContent));
    assert_eq!(done[0]["encrypted_content"], Value::Null);
    assert_eq!(without_ids(output), whole);

    let (done, output) = told(&turn().withholding(Withheld::Content));
    assert_eq!(done[0]["summary"], json!([]));
    assert_eq!((&done[1]["content"], &done[2]["arguments"]), (&json!([]), &json!("")));
    assert_eq!(without_ids(output), whole);

    let rest = turn().withholding(Withheld::Rest);
    let (done, output) = told(&rest);
    assert_eq!(done[1]["content"][0]["text"], "Hell");
    assert_eq!(without_ids(output), whole);
    let rest = seen(&rest);
    let of = |kind: &str| rest.iter().filter(|it| it["type"] == kind).collect::<Vec<_>>();
    assert_eq!(of("response.output_text.delta").len(), 1);
    assert_eq!(of("response.output_text.done")[0]["text"], "Hell");
    assert_eq!(of("response.content_part.done")[0]["part"]["text"], "Hell");

    let name = turn().withholding(Withheld::Name);
    let (done, output) = told(&name);
    assert!(done[2].get("name").is_none() && output[2].get("name").is_none());
    assert!(seen(&name).iter().any(|event| event["item"]["name"] == "f"));
}

#[test]
fn events_can_be_left_out() {
    let of = |what| kinds(&seen(&turn().withholding(what)));
    let all = kinds(&seen(&turn()));
    let without = |is_gone: fn(&&String) -> bool| {
        all.iter().filter(|kind| !is_gone(kind)).cloned().collect::<Vec<_>>()
    };
    assert_eq!(of(Withheld::Deltas), without(|kind| kind.ends_with(".delta")));
    assert_eq!(of(Withheld::ItemDone), without(|kind| *kind == "response.output_item.done"));
    assert_eq!(of(Withheld::Done), without(|kind| kind.ends_with(".done")));
    let partial = seen(&turn().empty_terminal_output(NoOutput::Partial));
    let output = partial.last().unwrap()["response"]["output"].as_array().unwrap();
    assert_eq!(output.len(), 1);
}

#[test]
fn characters_are_cut_in_halves() {
    let split = seen(&Turn::text("a\u{1f642}b\u{1f643}").split_surrogates());
    let deltas: Vec<_> = split.iter().filter_map(|event| event["delta"].as_str()).collect();
    let [one, two] = [[0xd83d, 0xde42], [0xd83d, 0xde43]].map(|pair| pair.map(surrogate_half));
    let expected = [format!("a{}", one[0]), format!("{}b{}", one[1], two[0]), two[1].to_string()];
    assert_eq!(deltas, expected);
    let done = split.iter().find(|event| event["type"] == "response.output_text.done");
    assert_eq!(done.unwrap()["text"], "a\u{1f642}b\u{1f643}");
}

#[test]
fn a_response_can_begin_twice_under_two_ids() {
    let events = seen(&turn().created_twice());
    assert_eq!(
        kinds(&events)[..3],
        ["response.created", "response.created", "response.in_progress"]
    );
    let ids: Vec<_> = events.iter().filter_map(|it| it["response"]["id"].as_str()).collect();
    assert_eq!(ids, ["resp_0", "resp_0_again", "resp_0_again", "resp_0_again"]);
}

/// The server keeps a response as it was meant, whatever form it was sent in.
#[tokio::test]
async fn the_server_keeps_what_it_meant() {
    let habits: [fn(Turn) -> Turn; _] = [
        Turn::split_item_ids,
        Turn::split_call_ids,
        Turn::empty_item_ids,
        Turn::without_item_ids,
        |turn| turn.output_indices_from(1),
        |turn| turn.withholding(Withheld::EncryptedContent).split_call_ids(),
        |turn| turn.withholding(Withheld::Content).empty_terminal_output(NoOutput::Null),
        |turn| turn.withholding(Withheld::Rest),
        |turn| turn.withholding(Withheld::Name),
        |turn| turn.withholding(Withheld::Deltas),
        |turn| turn.withholding(Withheld::ItemDone).empty_terminal_output(NoOutput::Partial),
        |turn| turn.withholding(Withheld::Done).empty_terminal_output(NoOutput::Missing),
        Turn::split_surrogates,
    ];
    for (place, habit) in habits.into_iter().enumerate() {
        let script = Script::new().turn(habit(turn())).respond(|exchange| {
            let known = without_ids(exchange.history.iter().skip(1).take(3).cloned().collect());
            Turn::text(if known == output() { "the same" } else { "other" })
        });
        let server = ScriptedServer::in_memory(script);
        let mut client = Client::in_memory(&server.connector()).await;
        client.create(json!({ "input": "one", "store": false })).await;
        let first = client.turn().await;
        let id = first.last().unwrap()["response"]["id"].clone();
        client.create(json!({ "previous_response_id": id, "input": "two", "store": false })).await;
        let next = client.turn().await;
        let text = next.last().unwrap()["response"]["output"][0]["content"][0]["text"].clone();
        assert_eq!(text, "the same", "habit {place}: {next:?}");
    }
}

#[tokio::test]
async fn halves_go_over_the_wire_and_come_back() {
    let half = surrogate_half(0xd83d);
    let server = ScriptedServer::in_memory(Script::new().respond(move |exchange| {
        let same = exchange.history.last() == Some(&items::message(&format!("cut {half}")));
        Turn::text(format!("{same} {half}"))
    }));
    let body = format!(
        r#"{{"stream":true,"input":[{}]}}"#,
        items::message("cut HALF").to_string().replace("HALF", r"\ud83d")
    );
    let request = http::Request::post("http://x/v1/responses").body(body.into());
    let answer = server.connector().network().send(request.unwrap()).await.unwrap();
    let Content::Body(body) = answer.content else { panic!("upgraded") };
    let text =
        futures_util::TryStreamExt::try_concat(futures_util::TryStreamExt::map_ok(body, |bytes| {
            bytes.to_vec()
        }));
    let text = String::from_utf8(text.await.unwrap()).unwrap();
    assert!(text.contains(r#""text":"true \ud83d""#), "{text}");
    let last = text.lines().rev().find_map(|line| line.strip_prefix("data: ")).unwrap();
    let text = parse_json(last).unwrap()["response"]["output"][0]["content"][0]["text"].clone();
    assert_eq!(text, format!("true {half}"));
}

#[tokio::test]
async fn a_response_that_is_said_not_to_be_stored_is_not_kept() {
    let script = Script::new().turn(Turn::text("a").unstored()).turn(Turn::text("b"));
    let server = ScriptedServer::in_memory(script);
    let (_, body, _) = post(&server.connector(), json!({ "input": "one", "store": true })).await;
    let last = body_events(&body).pop().unwrap()["response"].clone();
    assert_eq!(last["store"], false);
    let body = json!({ "input": "two", "previous_response_id": last["id"] });
    assert_eq!(post(&server.connector(), body).await.0, 400);
}

#[tokio::test]
async fn late_events_and_floods_come_between_the_others() {
    let old = json!({ "type": "response.completed", "response": { "id": "resp_old" } });
    let flood = |text: &str, times| Step::Flood { text: text.to_owned(), times };
    let with = |turn: Turn| {
        let turn = turn.insert(1, Step::Stray(old.clone()));
        turn.first(flood("{}", 3000)).insert(2, flood("", 2))
    };
    let script = Script::new().turns([with(Turn::text("a")), with(Turn::text("a"))]);
    let server = ScriptedServer::in_memory(script);
    let mut client = Client::in_memory(&server.connector()).await;
    client.create(json!({})).await;
    let mut frames = Vec::new();
    while frames.len() < 3005 {
        let message = futures_util::StreamExt::next(&mut client.0).await.unwrap().unwrap();
        frames.push(message.into_text().unwrap().as_str().to_owned());
    }
    let is_created = |text: &String| text.contains("response.created");
    let created = frames.iter().position(is_created).unwrap();
    assert_eq!((created, frames.iter().filter(|it| *it == "{}").count()), (3000, 3000));
    assert_eq!(frames[3001], encode(&old));
    assert_eq!(frames.iter().filter(|it| it.is_empty()).count(), 2);

    let (_, body, _) = post(&server.connector(), json!({})).await;
    assert_eq!(body.matches("data: {}\n\n").count(), 3000);
    assert_eq!(body.matches("data: \n\n").count(), 2);
    let late = format!("event: response.completed\ndata: {}\n\n", encode(&old));
    assert_eq!(body.matches(&late).count(), 1);
    // The state of the server is unaffected by these events.
    let body = json!({ "previous_response_id": "resp_old" });
    assert_eq!(post(&server.connector(), body).await.0, 400);
}

#[tokio::test]
async fn bodies_can_be_mislabelled() {
    let head = |turn: Turn| async {
        let server = ScriptedServer::start(Script::new().turn(turn)).await.unwrap();
        let mut stream = TcpStream::connect(server.address().unwrap()).await.unwrap();
        let (answer, end) = post_on(&mut stream, &json!({ "stream": true })).await;
        end.unwrap();
        answer
    };
    let plain = head(Turn::text("a").labelled(Some("text/plain")).encoded("gzip")).await;
    assert!(plain.contains("content-type: text/plain\r\n"), "{plain}");
    assert!(plain.contains("content-encoding: gzip\r\n"), "{plain}");
    assert!(plain.contains("event: response.created\ndata: {\"type\":"), "{plain}");
    let none = head(Turn::text("a").labelled(None).untyped()).await;
    assert!(!none.contains("content-type"), "{none}");
    assert!(none.contains("event: response.created\ndata: {"), "{none}");
    assert!(!none.contains(r#""type":"response"#), "{none}");
}

#[tokio::test]
async fn a_whole_response_or_error_can_come_as_json() {
    let error = Turn::error(429, "slow_down", "Wait");
    let turns = [turn().unstreamed(), error.unstreamed().labelled(Some("text/event-stream"))];
    let server = ScriptedServer::in_memory(Script::new().turns(turns));
    let (status, body, _) = post(&server.connector(), json!({})).await;
    let response: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &response["status"]), (200, &json!("completed")));
    assert_eq!(response["output"].as_array().unwrap().len(), 3);
    let (status, body, _) = post(&server.connector(), json!({})).await;
    let error: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &error["error"]["code"]), (200, &json!("slow_down")));
    // The response can be continued like a streamed response.
    let body = json!({ "previous_response_id": response["id"] });
    server.push(Turn::text("more"));
    assert_eq!(post(&server.connector(), body).await.0, 200);
}

#[tokio::test]
async fn kept_connections_die_when_they_are_used_again() {
    let script = Script::new()
        .turns([Turn::text("a"), Turn::text("b")])
        .reuse(Reuse::Reset)
        .every_reuse(Reuse::End);
    let server = ScriptedServer::start(script).await.unwrap();
    for reset in [true, false] {
        let mut stream = TcpStream::connect(server.address().unwrap()).await.unwrap();
        let (answer, end) = post_on(&mut stream, &json!({ "stream": true })).await;
        assert!(answer.starts_with("HTTP/1.1 200") && end.is_ok());
        let (answer, end) = post_on(&mut stream, &json!({ "stream": true })).await;
        assert_eq!((answer.as_str(), end.is_err()), ("", reset));
    }
    let log = server.log();
    assert_eq!((log.requests.len(), log.reuses_cut, log.connections.len()), (2, 2, 2));
}

#[tokio::test]
async fn a_kept_connection_that_dies_loses_the_request_in_memory_too() {
    let script = Script::new().turns([Turn::text("a"), Turn::text("b")]).reuse(Reuse::End);
    let server = ScriptedServer::in_memory(script);
    let connector = server.connector();
    assert_eq!(post(&connector, json!({})).await.0, 200);
    let request = http::Request::post("http://x/v1/responses").body(r#"{"stream":true}"#.into());
    connector.network().send(request.unwrap()).await.unwrap_err();
    assert_eq!(post(&connector, json!({})).await.0, 200);
    assert_eq!((server.log().requests.len(), server.log().reuses_cut), (2, 1));
}

#[tokio::test]
async fn a_gateway_can_open_a_socket_and_close_every_create() {
    let script =
        Script::new().turn(Turn::text("a")).every_upgrade(Upgrade::CloseOnCreate { code: 1011 });
    let server = ScriptedServer::in_memory(script);
    for _ in 0..2 {
        let mut client = Client::in_memory(&server.connector()).await;
        client.create(json!({})).await;
        let next = futures_util::StreamExt::next(&mut client.0).await.unwrap().unwrap();
        let Message::Close(Some(frame)) = next else { panic!("{next:?}") };
        assert_eq!(u16::from(frame.code), 1011);
    }
    let (status, ..) = post(&server.connector(), json!({})).await;
    assert_eq!(status, 200);
    let log = server.log();
    let turns: Vec<_> = log.requests.iter().map(|seen| (seen.transport, seen.turn)).collect();
    let create = (Transport::WebSocket, None);
    assert_eq!(turns, [create, create, (Transport::Sse, Some(0))]);
}

#[tokio::test]
async fn an_upgrade_can_be_answered_by_a_body_without_an_end() {
    let endless = Refusal::status(200).body("<p>".repeat(1000)).endless_body();
    let script = Script::new().upgrade(Upgrade::Refuse(endless));
    let server = ScriptedServer::start(script).await.unwrap();
    let mut stream = TcpStream::connect(server.address().unwrap()).await.unwrap();
    let upgrade = "GET /v1/responses HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\n\
                   upgrade: websocket\r\nsec-websocket-key: x\r\n\r\n";
    stream.write_all(upgrade.as_bytes()).await.unwrap();
    let mut answer = vec![0; 1 << 20];
    stream.read_exact(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"));
}
