//! A server with lanes that others wrote, without knowledge of this crate, judges how its sessions
//! share WebSockets. The text of each response has the digest of what the server holds as the
//! conversation. The server needs the package `websockets`, whose version `requirements.txt` pins.

use std::{collections::BTreeSet, process::Stdio};

use futures_util::future::join_all;
use responses_client::{
    DeflatePolicy, Item, PoolPolicy, Provider, ReplayPolicy, ResponsesClient, ResponsesRequest,
    ResponsesSession, RetryPolicy, Sharing, TransportPolicy, report::Plan,
};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::{
    peer::{Folder, Group, installed, piped, program, wanted},
    support::tool::Temporary,
};

/// Sessions that are not forks.
const SESSIONS: usize = 3;
/// A session is forked this many times, and the fork runs beside it for some turns.
const FORKS: usize = 26;
const TURNS: usize = 10;
const TURNS_OF_FORK: usize = 3;

/// What came of the turns of a session and its forks.
#[derive(Default)]
struct Ran {
    turns: usize,
    full: usize,
    attempts: usize,
}

/// A conversation with the server.
struct Conversation {
    session: ResponsesSession,
    request: ResponsesRequest,
    name: String,
    ran: Ran,
}

#[tokio::test]
async fn no_conversation_of_another_lane_server_resends_or_crosses_over() {
    if !wanted() {
        return;
    }
    let (ran, log) = conversations(&["--seed", "1"], DeflatePolicy::Off).await;
    assert_eq!(ran.full, SESSIONS, "only the first turn of a conversation is sent in full");
    assert_eq!(ran.attempts, ran.turns);
    assert_eq!(log.len(), ran.turns);
    let names: BTreeSet<_> = log.iter().map(|line| line["stream_id"].to_string()).collect();
    assert!((SESSIONS..=33).contains(&names.len()), "{names:?}");
    assert!(log.iter().all(|line| line["connection"] == 1 && line["refused"].is_null()));
}

#[tokio::test]
async fn no_conversation_of_another_lane_server_loses_anything_when_connections_are_cut() {
    if !wanted() {
        return;
    }
    let (ran, log) = conversations(&["--seed", "2", "--cut-every", "40"], DeflatePolicy::Off).await;
    let connections: BTreeSet<_> = log.iter().map(|line| line["connection"].as_u64()).collect();
    assert!(connections.len() > 10, "{connections:?}");
    assert!(ran.attempts > ran.turns && ran.full > SESSIONS);
    assert!(2 * ran.full < ran.turns, "{} of {} turns in full", ran.full, ran.turns);
    let refused: Vec<_> = log.iter().filter(|line| !line["refused"].is_null()).collect();
    assert!(refused.is_empty(), "{refused:?}");
    println!(
        "{} turns, {} full, {} attempts, {} connections",
        ran.turns,
        ran.full,
        ran.attempts,
        connections.len()
    );
}

#[tokio::test]
async fn no_conversation_of_another_lane_server_is_changed_by_compression() {
    if !wanted() {
        return;
    }
    for arguments in [&["--seed", "3"][..], &["--seed", "4", "--cut-every", "40"]] {
        let (ran, log) = conversations(arguments, DeflatePolicy::Offer).await;
        let is_cut = arguments.len() > 2;
        assert_eq!((ran.full > SESSIONS, ran.attempts > ran.turns), (is_cut, is_cut));
        assert!(log.iter().all(|line| line["refused"].is_null()));
    }
}

/// Runs conversations of a client beside each other, with a server that has these arguments, and
/// accepts the compression that the client offers. Returns what came of them, and the log of the
/// server.
async fn conversations(arguments: &[&str], deflate: DeflatePolicy) -> (Ran, Vec<Value>) {
    let (home, log) =
        (Folder::new(), Temporary::new(format!("lane-server-{}.log", arguments.join(""))));
    let source = format!("{}/tests/peers/lane_server.py", env!("CARGO_MANIFEST_DIR"));
    let mut command = program("python3", &home);
    command.env("PYTHONPATH", installed("python")).env("PYTHONDONTWRITEBYTECODE", "1");
    command.arg(source).args(["--pace", "0", "--log", log.path()]).args(arguments);
    let mut server = Group::spawn(piped(&mut command).stdin(Stdio::piped()));
    let mut ready = String::new();
    let stdout = server.process.stdout.take().unwrap();
    BufReader::new(stdout).read_line(&mut ready).await.unwrap();
    let ready: Value = serde_json::from_str(&ready).unwrap();
    let url = ready["url"].as_str().unwrap().replacen("ws", "http", 1);
    let url = url.strip_suffix("/responses").unwrap();

    let client = client(url, deflate);
    let running = (0..SESSIONS).map(|number| {
        let mut request = ResponsesRequest::new("gpt-test").store(false);
        request.instructions = Some(format!("conversation {number}"));
        let name = format!("{number}");
        let conversation =
            Conversation { session: client.session(), request, name, ran: Ran::default() };
        conversation.run_with_forks()
    });
    let mut all = Ran::default();
    for ran in join_all(running).await {
        all.add(&ran);
    }
    assert!(all.turns >= 1000, "{}", all.turns);
    client.close().await;
    drop(server.process.stdin.take());
    let status = server.process.wait().await.unwrap();
    assert!(status.success(), "{status}");
    (all, log.lines())
}

fn client(url: &str, deflate: DeflatePolicy) -> ResponsesClient {
    let provider = Provider::compatible(url).unwrap();
    let provider = provider.named_lanes(32).active_responses(16);
    let mut retry = RetryPolicy::default();
    // A cut may come in the middle of several responses, and several times in a turn.
    retry.replay = ReplayPolicy::Restart;
    (retry.max_replays, retry.max_attempts) = (20, 20);
    ResponsesClient::builder()
        .provider(provider)
        .transport(TransportPolicy::WebSocketOnly)
        .deflate(deflate)
        .pool(PoolPolicy::default().sharing(Sharing::Lanes))
        .retry(retry)
        .build()
        .unwrap()
}

impl Conversation {
    async fn run_with_forks(mut self) -> Ran {
        for number in 0..FORKS {
            self.turn(number * TURNS).await;
            let name = format!("{} fork {number}", self.name);
            let (session, request) = (self.session.fork(), self.request.clone());
            let mut fork = Self { session, request, name, ran: Ran::default() };
            let source = async {
                for turn in 1..TURNS {
                    self.turn(number * TURNS + turn).await;
                }
            };
            let beside = async {
                for turn in 0..TURNS_OF_FORK {
                    fork.turn(turn).await;
                }
            };
            tokio::join!(source, beside);
            self.ran.add(&fork.ran);
        }
        self.ran
    }

    /// Runs a turn, whose answer must be about this conversation, all of it.
    async fn turn(&mut self, number: usize) {
        let text = format!("{}, turn {number}: \u{e9}\u{1f642}", self.name);
        self.request.input.push(Item::user(&text));
        let done = self.session.respond(&self.request).await.unwrap();
        self.ran.turns += 1;
        self.ran.full += usize::from(!matches!(done.report().plan, Some(Plan::Incremental { .. })));
        self.ran.attempts += done.report().attempts.len();
        let said: Value = serde_json::from_str(&done.output_text()).unwrap();
        let items: Vec<Value> = self
            .request
            .input
            .iter()
            .map(|item| serde_json::from_str(item.json().as_str()).unwrap())
            .collect();
        assert_eq!(said["last_user"], text.as_str());
        assert_eq!(said["items"], items.len(), "{text}");
        assert_eq!(said["sha256"], digest(&items), "{text}");
        self.request.input.extend(done.output_items());
    }
}

impl Ran {
    fn add(&mut self, other: &Self) {
        self.turns += other.turns;
        self.full += other.full;
        self.attempts += other.attempts;
    }
}

/// The digest of the canonical JSON of items, as `lane_items.py` describes it.
fn digest(items: &[Value]) -> String {
    // The members of a `Value` are in order.
    let canonical = serde_json::to_string(items).unwrap();
    let digest = Sha256::digest(canonical.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
