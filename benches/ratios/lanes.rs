//! What lanes cost: many sessions on one WebSocket against one session.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use futures_util::{SinkExt, StreamExt, future::try_join_all};
use responses_client::{
    AtCapacity, PoolPolicy, Provider, ResponseStream, ResponsesClient, ResponsesRequest,
    ResponsesSession, Sharing, TransportPolicy,
};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    task::JoinSet,
};
use tokio_tungstenite::tungstenite::Message;

use crate::{
    Effort,
    measure::{Candidate, Comparison, Goal, alternate},
    memory::{resident, runtime},
};

/// Lanes that are busy at the same time.
const BUSY: usize = 16;
/// Events of a turn on each of them.
const EVENTS: usize = 100;

/// The processor time of an event in 16 turns at the same time, on as many lanes, and one after the
/// other on one lane. All lanes have names: an event of the default lane has a member less.
pub(crate) fn busy(effort: Effort) -> Comparison {
    let (many, one) = (Scene::new(BUSY, EVENTS), Scene::new(1, EVENTS));
    let _default_lanes = [many.rested(1), one.rested(1)];
    let (mut many_sessions, mut one_session) = (many.sessions(BUSY), one.sessions(1));
    let shortest = alternate(
        effort.rounds,
        || many.turns(&mut many_sessions, 1),
        || one.turns(&mut one_session, BUSY),
    );
    Comparison {
        ours: Candidate { label: "event, 16 lanes", value: shortest.ours(BUSY * EVENTS) },
        theirs: Candidate { label: "event, one lane", value: shortest.theirs(BUSY * EVENTS) },
        ratio: shortest.ours_to_theirs(),
        unit: "ns",
        goal: Goal::AtMost(1.15),
    }
}

/// The processor time of 15 busy lanes beside one that nobody reads, and alone.
pub(crate) fn slow(effort: Effort) -> Comparison {
    let healthy = BUSY - 1;
    let (beside, alone) = (Scene::new(BUSY, EVENTS), Scene::new(healthy, EVENTS));
    let _default_lanes = [beside.rested(1), alone.rested(1)];
    let (mut all, mut sessions) = (beside.sessions(BUSY), alone.sessions(healthy));
    let shortest = alternate(
        effort.rounds,
        || {
            let mut slow = all.pop().expect("a session");
            let unread = beside.runtime.block_on(async {
                let (unread, read) = futures_util::join!(
                    async { slow.stream(request()).await.expect("a response") },
                    begin(&mut all),
                );
                (unread, read)
            });
            let (unread, read) = unread;
            let spent = cpu(|| beside.runtime.block_on(finish(read)));
            beside.runtime.block_on(finish(vec![unread]));
            all.push(slow);
            spent
        },
        || {
            let streams = alone.runtime.block_on(begin(&mut sessions));
            cpu(|| alone.runtime.block_on(finish(streams)))
        },
    );
    Comparison {
        ours: Candidate {
            label: "event beside a slow lane",
            value: shortest.ours(healthy * EVENTS),
        },
        theirs: Candidate { label: "event alone", value: shortest.theirs(healthy * EVENTS) },
        ratio: shortest.ours_to_theirs(),
        unit: "ns",
        goal: Goal::AtMost(1.1),
    }
}

/// The memory of an idle session that shares a WebSocket, against the bound of 12 kB.
pub(crate) fn idle_memory(effort: Effort) -> Comparison {
    const BOUND: f64 = 12.0;
    let count = if effort.quick { 500 } else { 2_000 };
    let scene = Scene::new(1, 4);
    // What the first ones need is not theirs alone.
    let first = scene.rested(100);
    let before = resident();
    let sessions = scene.rested(count);
    let after = resident();
    let sockets = scene.sockets.load(Ordering::Relaxed);
    assert!(sockets <= (count + 100).div_ceil(32) + 1, "{sockets} WebSockets");
    drop((first, sessions));
    #[expect(clippy::cast_precision_loss, reason = "a count of sessions is small")]
    let each = (after - before) / count as f64;
    Comparison {
        ours: Candidate { label: "an idle session", value: each },
        theirs: Candidate { label: "bound", value: BOUND },
        ratio: each / BOUND,
        unit: "kB",
        goal: Goal::AtMost(1.0),
    }
}

/// The memory of an idle session that shares a WebSocket, against one that has its own. The memory of
/// the server, in the same process, counts for both.
pub(crate) fn own_socket_memory(effort: Effort) -> Comparison {
    let count = if effort.quick { 200 } else { 1_000 };
    let each = |sharing| {
        let scene = Scene::with(1, 4, sharing);
        let first = scene.rested(50);
        let before = resident();
        let sessions = scene.rested(count);
        let after = resident();
        drop((first, sessions));
        #[expect(clippy::cast_precision_loss, reason = "a count of sessions is small")]
        let each = (after - before) / count as f64;
        each.max(1.0)
    };
    let (own, shared) = (each(Sharing::OwnSocket), each(Sharing::Lanes));
    Comparison {
        ours: Candidate { label: "an idle session on a lane", value: shared },
        theirs: Candidate { label: "with a WebSocket", value: own },
        ratio: shared / own,
        unit: "kB",
        goal: Goal::AtMost(0.5),
    }
}

/// A client, and a server that answers once as many requests have come as there are lanes. The
/// server runs on a thread of its own, so that its time does not count.
struct Scene {
    runtime: Runtime,
    client: ResponsesClient,
    sockets: Arc<AtomicUsize>,
}

impl Scene {
    fn new(lanes: usize, events: usize) -> Self {
        Self::with(lanes, events, Sharing::Lanes)
    }

    fn with(lanes: usize, events: usize, sharing: Sharing) -> Self {
        let sockets: Arc<AtomicUsize> = Arc::default();
        let address = serve(lanes, events, Arc::clone(&sockets));
        let provider = Provider::compatible(&format!("http://{address}/v1")).expect("a URL");
        let pool = PoolPolicy::default().sharing(sharing).at_capacity(AtCapacity::Wait);
        let client = ResponsesClient::builder()
            .provider(provider.named_lanes(32).active_responses(16))
            .transport(TransportPolicy::WebSocketOnly)
            .pool(pool)
            .build()
            .expect("a client");
        Self { runtime: runtime(), client, sockets }
    }

    fn sessions(&self, count: usize) -> Vec<ResponsesSession> {
        (0..count).map(|_| self.client.session()).collect()
    }

    /// Returns the processor time of `count` turns of all sessions.
    fn turns(&self, sessions: &mut [ResponsesSession], count: usize) -> Duration {
        cpu(|| {
            self.runtime.block_on(async {
                for _ in 0..count {
                    let streams = begin(sessions).await;
                    finish(streams).await;
                }
            });
        })
    }

    /// Returns sessions that have made one turn.
    fn rested(&self, count: usize) -> Vec<ResponsesSession> {
        let mut sessions = self.sessions(count);
        self.runtime.block_on(async {
            for session in &mut sessions {
                session.respond(request()).await.expect("a response");
            }
        });
        sessions
    }
}

fn request() -> ResponsesRequest {
    ResponsesRequest::new("gpt-test").store(false).input("Hello.")
}

async fn begin(sessions: &mut [ResponsesSession]) -> Vec<ResponseStream> {
    let streams = sessions.iter_mut().map(|session| session.stream(request()));
    try_join_all(streams).await.expect("responses")
}

/// Reads each stream in a task of its own, as programs do.
async fn finish(streams: Vec<ResponseStream>) {
    let mut tasks = JoinSet::new();
    for mut stream in streams {
        tasks.spawn(async move { while stream.try_next().await.expect("an event").is_some() {} });
    }
    tasks.join_all().await;
}

/// Returns the processor time of this thread for `work`.
pub(crate) fn cpu(work: impl FnOnce()) -> Duration {
    let start = thread_time();
    work();
    thread_time().saturating_sub(start)
}

#[cfg(unix)]
fn thread_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(now).expect("a time")
}

/// The time that has passed: without the processor time, the figures vary more.
#[cfg(not(unix))]
fn thread_time() -> Duration {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed()
}

fn serve(lanes: usize, events: usize, sockets: Arc<AtomicUsize>) -> SocketAddr {
    let runtime = runtime();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        runtime.block_on(async {
            while let Ok((stream, _)) = listener.accept().await {
                sockets.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(answer(stream, lanes, events));
            }
        });
    });
    address
}

/// Answers the first request, and from then on whenever `lanes` requests have come, with their events
/// in turns.
async fn answer(stream: TcpStream, lanes: usize, events: usize) {
    stream.set_nodelay(true).expect("a TCP connection");
    let mut socket = tokio_tungstenite::accept_async(stream).await.expect("an upgrade");
    let mut waiting = Vec::new();
    let mut number = 0;
    while let Some(Ok(message)) = socket.next().await {
        let Message::Text(text) = message else { continue };
        let name = text.split_once(r#""stream_id":""#).and_then(|(_, rest)| rest.split_once('"'));
        let name = name.map(|(name, _)| format!(r#","stream_id":"{name}""#)).unwrap_or_default();
        number += 1;
        waiting.push((name, number));
        if number > 1 && waiting.len() < lanes {
            continue;
        }
        for event in 0..events {
            for (name, number) in &waiting {
                let text = event_text(event, events, *number, name);
                if socket.feed(Message::text(text)).await.is_err() {
                    return;
                }
            }
        }
        if socket.flush().await.is_err() {
            return;
        }
        waiting.clear();
    }
}

fn event_text(event: usize, events: usize, number: usize, name: &str) -> String {
    match event {
        0 => format!(
            r#"{{"type":"response.created","response":{{"id":"resp_{number}","status":"in_progress"}}{name}}}"#
        ),
        last if last + 1 == events => format!(
            r#"{{"type":"response.completed","response":{{"id":"resp_{number}","status":"completed","output":[]}}{name}}}"#
        ),
        _ => format!(
            r#"{{"type":"response.output_text.delta","sequence_number":{event},"item_id":"msg_{number}","output_index":0,"content_index":0,"delta":" word"{name}}}"#
        ),
    }
}
