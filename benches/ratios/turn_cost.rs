//! What a turn costs behind a long history against what it costs behind a short one.

use responses_client::{
    Item, Provider, ResponsesClient, ResponsesRequest, ResponsesSession, TransportPolicy,
    internal::Conversation,
    report::Plan,
    testing::{Script, ScriptedServer, Turn},
};

use crate::{
    Effort,
    measure::{Candidate, Comparison, Goal, Shortest, alternate, time},
};

const SHORT: usize = 1_000_000;
const LONG: usize = 10_000_000;
/// The size of an item.
const ITEM: usize = 1_400;

/// The core alone: two new items, the plan, the frame, and the baseline of the turn that follows.
pub(crate) fn core(effort: Effort) -> Comparison {
    // A whole number of the history's chunks, so that each round meets them alike.
    const TURNS: usize = 64;
    let texts: Vec<String> = (0..2 * TURNS).map(|n| text(usize::MAX - n)).collect();
    let begin = |size| {
        let request = request(size);
        let mut conversation = Conversation::default();
        conversation.send(&request).expect("a good request");
        conversation.complete("resp_first", Vec::new());
        (request, conversation)
    };
    let run = |begun: &(ResponsesRequest, Conversation)| {
        let (mut request, mut conversation) = begun.clone();
        time(|| {
            for new in texts.chunks_exact(2) {
                request.input.extend(new.iter().map(Item::user));
                let (plan, frame) = conversation.send(&request).expect("a good request");
                assert_eq!(plan, Plan::incremental(2));
                std::hint::black_box(frame);
                let output = Item::assistant("Done.");
                conversation.complete("resp_next", vec![output.clone()]);
                request.input.push(output);
            }
        })
    };
    let (short, long) = (begin(SHORT), begin(LONG));
    let shortest = alternate(effort.rounds, || run(&long), || run(&short));
    comparison(&shortest, TURNS)
}

/// The same through a session over a WebSocket without sockets, the server's share included.
pub(crate) fn end_to_end(effort: Effort) -> Comparison {
    const TURNS: usize = 4;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let turns = (effort.rounds + 1) * TURNS + 1;
    let open = |size| runtime.block_on(Agent::open(request(size), turns));
    let (mut short, mut long) = (open(SHORT), open(LONG));
    let run = |agent: &mut Agent| {
        time(|| {
            runtime.block_on(async {
                for _ in 0..TURNS {
                    agent.turn(Plan::incremental(2)).await;
                }
            });
        })
    };
    let shortest = alternate(effort.rounds, || run(&mut long), || run(&mut short));
    comparison(&shortest, TURNS)
}

fn comparison(shortest: &Shortest, turns: usize) -> Comparison {
    Comparison {
        ours: Candidate { label: "a turn behind 10 MB", value: shortest.ours(turns) },
        theirs: Candidate { label: "behind 1 MB", value: shortest.theirs(turns) },
        ratio: shortest.ours_to_theirs(),
        unit: "ns",
        goal: Goal::AtMost(1.2),
    }
}

/// An agent in its loop, and its server.
struct Agent {
    request: ResponsesRequest,
    session: ResponsesSession,
    turns: usize,
    _server: ScriptedServer,
}

impl Agent {
    /// Sends the history, which is followed by turns that add to it.
    async fn open(request: ResponsesRequest, turns: usize) -> Self {
        let script = Script::new().turns(vec![Turn::text("Done."); turns]).without_bodies();
        let server = ScriptedServer::in_memory(script);
        let provider = Provider::compatible(&server.url()).expect("a URL");
        let client = ResponsesClient::builder()
            .provider(provider)
            .transport(TransportPolicy::WebSocketOnly)
            .connector(&server.connector())
            .build()
            .expect("a client");
        let session = client.session();
        let mut agent = Self { request, session, turns: 0, _server: server };
        agent.turn(Plan::Full(responses_client::report::FullSendReason::FirstTurn)).await;
        agent
    }

    async fn turn(&mut self, plan: Plan) {
        for _ in 0..2 {
            self.turns += 1;
            self.request.input.push(Item::user(text(usize::MAX - self.turns)));
        }
        let mut stream = self.session.stream(&self.request).await.expect("a response");
        while stream.try_next().await.expect("an event").is_some() {}
        assert_eq!(stream.report().plan, Some(plan));
        self.request.input.extend(stream.response().output_items());
    }
}

/// A request with this much history.
fn request(size: usize) -> ResponsesRequest {
    let items = (0..size / ITEM).map(|n| Item::user(text(n)));
    ResponsesRequest::new("gpt-test")
        .instructions("Be brief.")
        .store(false)
        .input(items.collect::<Vec<_>>())
}

/// A text that makes an item of about [`ITEM`] bytes, and of no other number.
fn text(n: usize) -> String {
    let mut text = format!("{n}:");
    while text.len() < ITEM - 80 {
        text.push_str(" what the tool said");
    }
    text
}
