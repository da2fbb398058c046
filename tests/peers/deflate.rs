//! A WebSocket server that others wrote, with `permessage-deflate`, says what it received of a
//! client that compresses its requests. [`lane_server`](crate::lane_server) runs with compression,
//! too.

use std::process::Stdio;

use responses_client::{
    DeflatePolicy, Item, Provider, ResponsesClient, ResponsesRequest, TransportPolicy,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::peer::{Folder, Group, installed, piped, program, wanted};

/// Runs turns with a server that has these options. Returns the texts of its responses.
async fn turns(options: Value) -> Vec<Value> {
    let home = Folder::new();
    let mut command = program("node", &home);
    command.arg(format!("{}/tests/peers/deflate.mjs", env!("CARGO_MANIFEST_DIR")));
    command.arg(installed("node_modules")).arg(options.to_string());
    let mut server = Group::spawn(piped(&mut command).stdin(Stdio::piped()));
    let mut url = String::new();
    let stdout = server.process.stdout.take().unwrap();
    BufReader::new(stdout).read_line(&mut url).await.unwrap();

    let client = ResponsesClient::builder()
        .provider(Provider::compatible(url.trim()).unwrap())
        .transport(TransportPolicy::WebSocketOnly)
        .deflate(DeflatePolicy::Offer)
        .build()
        .unwrap();
    let mut session = client.session();
    let mut request = ResponsesRequest::new("gpt-test").store(false);
    let word = |number: usize| format!("{:x} ", number.wrapping_mul(0x9e37_79b9) % 0x10_0000);
    request.instructions = Some((0..3000).map(word).collect());
    let mut texts = Vec::new();
    for turn in 0..5 {
        let new: String = (0..100).map(|n| word(3000 + 100 * turn + n)).collect();
        request.input.push(Item::user(&new));
        let done = session.respond(&request).await.unwrap();
        let text: Value = serde_json::from_str(&done.output_text()).unwrap();
        assert_eq!(text["body"], done.report().bytes_sent, "{text}");
        let head = request.instructions.as_deref().unwrap();
        assert_eq!(text["sha256"], hex(&Sha256::digest(format!("{head}{new}"))));
        assert_eq!(done.report().attempts.len(), 1);
        request.input.extend(done.output_items());
        texts.push(text);
    }
    client.close().await;
    drop(server.process.stdin.take());
    server.process.wait().await.unwrap();
    texts
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the bytes on the connection in parts of a hundred of the request.
fn parts(texts: &[Value]) -> Vec<u64> {
    let part = |text: &Value| text["wire"].as_u64().unwrap() * 100 / text["body"].as_u64().unwrap();
    texts.iter().map(part).collect()
}

#[tokio::test]
async fn another_server_reads_what_refers_to_earlier_requests() {
    if !wanted() {
        return;
    }
    let texts = turns(json!({ "threshold": 0 })).await;
    println!("{:?}", parts(&texts));
    assert!(texts[0]["extensions"].to_string().contains("permessage-deflate"), "{}", texts[0]);
    assert!(parts(&texts)[1..].iter().all(|part| *part < 12), "{:?}", parts(&texts));
}

#[tokio::test]
async fn another_server_may_give_up_contexts_and_windows() {
    if !wanted() {
        return;
    }
    for options in [
        json!({ "clientNoContextTakeover": true, "serverNoContextTakeover": true, "threshold": 0 }),
        json!({ "clientMaxWindowBits": 10, "serverMaxWindowBits": 10, "threshold": 0 }),
    ] {
        let texts = turns(options).await;
        println!("{:?} {}", parts(&texts), texts[0]["extensions"]);
        assert!(parts(&texts).iter().all(|part| (12..90).contains(part)), "{:?}", parts(&texts));
    }
    // It declines.
    let texts = turns(json!(false)).await;
    assert!(parts(&texts).iter().all(|part| *part >= 100), "{:?}", parts(&texts));
}
