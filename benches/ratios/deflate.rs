//! What compressed messages cost the client.

use std::{sync::mpsc, thread, time::Duration};

use responses_client::{
    DeflatePolicy, Item, Provider, ResponsesClient, ResponsesRequest, ResponsesSession,
    TransportPolicy,
    testing::{Script, ScriptedServer, Turn},
};
use tokio::runtime::Runtime;

use crate::{
    Effort,
    lanes::cpu,
    measure::{Candidate, Comparison, Goal, alternate},
    memory::runtime,
};

/// Bytes of the instructions.
const HEAD: usize = 20_000;
/// Bytes of the new input of a turn.
const ITEM: usize = 2_000;
/// Turns of a conversation.
const TURNS: usize = 5;

/// The processor time of a turn that sends 20 kB of instructions and 2 kB of new input, and receives
/// 2 kB of text, with compressed messages in both directions and without compression.
pub(crate) fn turn(effort: Effort) -> Comparison {
    let url = serve();
    let (compressed, plain) =
        (Agent::new(&url, DeflatePolicy::Offer), Agent::new(&url, DeflatePolicy::Off));
    let (mut ours, mut theirs) = (compressed.begin(), plain.begin());
    let shortest =
        alternate(effort.rounds, || compressed.turns(&mut ours), || plain.turns(&mut theirs));
    Comparison {
        ours: Candidate { label: "a compressed turn", value: shortest.ours(TURNS) },
        theirs: Candidate { label: "uncompressed", value: shortest.theirs(TURNS) },
        ratio: shortest.ours_to_theirs(),
        unit: "ns",
        goal: Goal::AtMost(2.2),
    }
}

struct Agent {
    runtime: Runtime,
    client: ResponsesClient,
    request: ResponsesRequest,
}

impl Agent {
    fn new(url: &str, deflate: DeflatePolicy) -> Self {
        let client = ResponsesClient::builder()
            .provider(Provider::compatible(url).expect("a URL"))
            .transport(TransportPolicy::WebSocketOnly)
            .deflate(deflate)
            .build()
            .expect("a client");
        let request = ResponsesRequest::new("gpt-test").instructions(words(0, HEAD)).store(false);
        Self { runtime: runtime(), client, request }
    }

    /// Returns a session that has made some turns.
    fn begin(&self) -> ResponsesSession {
        let mut session = self.client.session();
        self.turns(&mut session);
        session
    }

    /// Returns the processor time of the turns of a conversation, whose first one is sent in full.
    fn turns(&self, session: &mut ResponsesSession) -> Duration {
        cpu(|| {
            self.runtime.block_on(async {
                let mut request = self.request.clone();
                for turn in 1..=TURNS {
                    request.input.push(Item::user(words(turn, ITEM)));
                    let mut stream = session.stream(&request).await.expect("a response");
                    while stream.try_next().await.expect("an event").is_some() {}
                    request.input.extend(stream.response().output_items());
                }
            });
        })
    }
}

/// A server on a thread of its own, so that its time does not count.
fn serve() -> String {
    let (sender, url) = mpsc::channel();
    thread::spawn(move || {
        runtime().block_on(async {
            let answer = words(7, 2000);
            let script = Script::new().respond(move |_| Turn::text(&answer)).without_bodies();
            let server = ScriptedServer::start(script).await.expect("a port");
            sender.send(server.url()).expect("the benchmark waits");
            std::future::pending::<()>().await;
        });
    });
    url.recv().expect("a URL")
}

/// Words that differ, and other words for each seed.
fn words(seed: usize, bytes: usize) -> String {
    let mut state = seed as u64;
    let mut text = String::new();
    while text.len() < bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let word = (state >> 40) % 5000;
        text += &format!("{}{:x} ", ["pre", "con", "re", "un"][(state >> 62) as usize], word);
    }
    text
}
