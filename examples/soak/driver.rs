//! Long conversations, and everything a caller can do to them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use fastrand::Rng;
use responses_client::{
    Auth, Error, ErrorKind, Item, Provider, ReplayPolicy, ResponseEvent, ResponseStream,
    ResponsesClient, ResponsesRequest, ResponsesSession, RetryPolicy, Timeouts, Tool,
    TransportPolicy,
    report::{Plan, TurnReport},
    testing::ScriptedServer,
};
use serde_json::{Value, json};
use tokio::{
    runtime::{Builder, Handle},
    time::{Instant, sleep, timeout},
};

use super::{
    asked::{End, Outcome},
    lanes,
    login::Login,
    messages::Told,
    oracle::{Oracle, Rules},
    server::{self, CODES, IDLE, Watched, lock},
    values::{received, value, values},
};

/// What is run.
#[derive(Clone, Copy)]
pub(crate) struct Options {
    pub(crate) turns: u64,
    pub(crate) seed: u64,
    /// Chance decides, if it is `None`.
    pub(crate) transport: Option<TransportPolicy>,
    /// All conversations run beside others, on the lanes of shared WebSockets.
    pub(crate) lanes: bool,
}

/// What came of it.
#[derive(Default)]
pub(crate) struct Figures {
    pub(crate) turns: u64,
    pub(crate) outcomes: BTreeMap<String, u64>,
    pub(crate) faults: BTreeMap<&'static str, u64>,
    pub(crate) attempts: u64,
    pub(crate) full: u64,
    pub(crate) incremental: u64,
    pub(crate) connections: u64,
    /// Named lanes of the connections.
    pub(crate) lanes: u64,
    /// What came of the steers.
    pub(crate) steers: BTreeMap<String, u64>,
    pub(crate) violation: Option<String>,
}

/// Turns that share a server and its clients.
const EPISODE: u64 = 100;
/// No turn takes longer, by the clock of the run.
pub(crate) const LONGEST: Duration = Duration::from_secs(3600);

/// Runs it, on a clock of its own: the same seed is the same run.
pub(crate) fn soak(options: Options) -> Figures {
    // The crate's own chance spreads the waits between attempts.
    fastrand::seed(options.seed);
    let mut rng = Rng::with_seed(options.seed);
    let mut figures = Figures::default();
    while figures.turns < options.turns && figures.violation.is_none() {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime without IO");
        let last = options.turns.min(figures.turns + EPISODE);
        let so_far = std::mem::take(&mut figures);
        if options.lanes || options.transport.is_none() && rng.u8(..4) == 0 {
            let last = options.turns.min(last + EPISODE);
            let episode = lanes::run(rng.fork(), options.transport, so_far, last);
            figures = runtime.block_on(episode);
            continue;
        }
        let mut episode =
            runtime.block_on(async { Episode::new(rng.fork(), options.transport, so_far) });
        figures = runtime.block_on(async {
            while episode.figures.turns < last && !episode.is_violated() {
                episode.step().await;
            }
            episode.end().await
        });
    }
    figures
}

/// Some conversations with one server.
struct Episode {
    rng: Rng,
    server: Arc<ScriptedServer>,
    oracle: Watched,
    clients: Vec<ResponsesClient>,
    conversations: Vec<Conversation>,
    /// Warm-ups are made.
    warms: bool,
    /// `background` needs HTTP.
    only_websocket: bool,
    figures: Figures,
}

struct Conversation {
    session: ResponsesSession,
    request: ResponsesRequest,
    /// A stream that was not read to its end.
    held: Option<Held>,
}

struct Held {
    number: u64,
    stream: ResponseStream,
    events: Vec<Value>,
}

/// How a stream is read.
enum Read {
    Ended,
    Failed(Error),
    /// As far as was wanted.
    Stopped,
}

impl Episode {
    fn new(mut rng: Rng, transport: Option<TransportPolicy>, figures: Figures) -> Self {
        let policies =
            [TransportPolicy::Auto, TransportPolicy::WebSocketOnly, TransportPolicy::SseOnly];
        let transport = transport.unwrap_or_else(|| policies[rng.usize(..policies.len())]);
        let mut retry = RetryPolicy::default();
        let replays = [
            ReplayPolicy::Never,
            ReplayPolicy::BeforeCreated,
            ReplayPolicy::BeforeOutput,
            ReplayPolicy::Restart,
        ];
        retry.replay = replays[rng.usize(..replays.len())];
        retry.max_replays = rng.u32(1..3);
        retry.max_attempts = rng.u32(1..6);
        let max_age = rng.bool().then(|| Duration::from_secs(rng.u64(60..900)));
        let deadline = (rng.u8(..4) == 0).then(|| Duration::from_secs(rng.u64(10..300)));
        let rules = Rules {
            deadline,
            replay: retry.replay,
            replays: retry.max_replays,
            attempts: retry.max_attempts,
            transport,
            max_age,
            names: 0,
            falls_behind: false,
        };
        let oracle = Watched::new(Oracle::new(rules).into());
        let warms = rng.bool();
        let only_websocket = transport == TransportPolicy::WebSocketOnly;
        let server = ScriptedServer::in_memory(server::script(rng.u64(..), &oracle));
        let mut timeouts = Timeouts::default();
        timeouts.connect = Some(Duration::from_secs(5));
        timeouts.first_event_websocket = Some(Duration::from_secs(20));
        timeouts.first_event_sse = Some(Duration::from_secs(20));
        timeouts.between_events_websocket = Some(Duration::from_secs(30));
        timeouts.between_events_sse = Some(Duration::from_secs(30));
        timeouts.turn = deadline;
        let continues = rng.bool();
        let keeps = rng.bool();
        // TLS is not below them. A session gets plain bytes from the network whether or not they came
        // encrypted, and knows a fault of TLS only as a connection that failed to open or was lost;
        // both are injected here. `tests/conformance/network.rs` has TLS itself, which needs
        // sockets.
        // The first two are of one account.
        let clients = ["one-a", "one-b", "two-a"].map(|token| {
            let provider = Provider::compatible(&server.url()).expect("a URL");
            let account = token.split('-').next().unwrap_or_default();
            ResponsesClient::builder()
                .provider(provider.max_age(max_age).reuses_socket_after_error(keeps))
                .auth(Auth::provider(Login::new(token)))
                .account(account)
                .transport(transport)
                .retry(retry)
                .timeouts(timeouts)
                .continue_over_sse(continues)
                .connector(&server.connector())
                .build()
                .expect("a client")
        });
        let (clients, conversations, server) = (clients.to_vec(), Vec::new(), server.into());
        Self { rng, server, oracle, clients, conversations, warms, only_websocket, figures }
    }

    fn is_violated(&self) -> bool {
        lock(&self.oracle).violation.is_some()
    }

    fn violate(&self, what: impl FnOnce() -> String) {
        lock(&self.oracle).violate(self.figures.turns, what);
    }

    /// A turn of some conversation, and perhaps something before.
    async fn step(&mut self) {
        if self.conversations.is_empty() || self.conversations.len() < 4 && self.chance(30) {
            let client = &self.clients[self.rng.usize(..self.clients.len())];
            let mut request = ResponsesRequest::new("m").store(self.rng.bool());
            request.input.push(Item::user("begin"));
            let session = client.session();
            self.conversations.push(Conversation { session, request, held: None });
        }
        let at = self.rng.usize(..self.conversations.len());
        if self.chance(3) {
            self.befall().await;
        }
        if self.chance(8) {
            self.meddle(at).await;
        }
        if at < self.conversations.len() {
            self.edit(at);
            self.turn(at).await;
        }
        let (oracle, number) = (&self.oracle, self.figures.turns);
        self.server
            .wait_for(|log| {
                lock(oracle).look(log, number);
                true
            })
            .await;
    }

    /// Once in `times`.
    fn chance(&mut self, times: u8) -> bool {
        self.rng.u8(..times) == 0
    }

    /// What happens between turns.
    async fn befall(&mut self) {
        let code = CODES[self.rng.usize(..CODES.len())];
        match self.rng.u8(..10) {
            0 => sleep(Duration::from_secs(self.rng.u64(..1200))).await,
            1 => sleep(Duration::from_millis(self.rng.u64(..1200))).await,
            2 => self.server.close_idle(code, "chance"),
            3 => self.server.ping_idle(b"chance"),
            4 => self.server.send_idle(IDLE),
            5 => {
                let limit = "websocket_connection_limit_reached";
                let error = json!({ "type": "error", "error": { "code": limit } });
                self.server.send_idle(&error.to_string());
                self.server.close_idle(1000, "chance");
            }
            6 => {
                lock(&self.oracle).cuts_all();
                self.server.drop_connections();
            }
            7 => self.clients[0].reset_fallback(),
            8 => self.go_away(),
            _ => tokio::task::yield_now().await,
        }
        if self.rng.bool() {
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// The network is down for a while; perhaps the open connections are lost, too.
    fn go_away(&mut self) {
        let time = Duration::from_secs(self.rng.u64(1..90));
        lock(&self.oracle).goes_away(Instant::now() + time);
        self.server.refuse_connections(true);
        if self.rng.bool() {
            lock(&self.oracle).cuts_all();
            self.server.drop_connections();
        }
        let server = Arc::clone(&self.server);
        tokio::spawn(async move {
            sleep(time).await;
            server.refuse_connections(false);
        });
    }

    /// What a caller does with a session besides turns.
    async fn meddle(&mut self, at: usize) {
        let client = self.clients[self.rng.usize(..self.clients.len())].clone();
        match self.rng.u8(..6) {
            0 => {
                let Conversation { session, request: _, held } = self.conversations.remove(at);
                if self.rng.bool() {
                    session.close().await;
                    if let Some(held) = held {
                        self.finish(held, Some(ErrorKind::SessionClosed)).await;
                    }
                }
            }
            1 => self.conversations[at].session.set_client(&client),
            2 => self.fork(at).await,
            3 if self.conversations[at].session.preconnect().is_err() => {
                self.violate(|| "it cannot connect".to_owned());
            }
            4 | 5 if self.warms => {
                let conversation = &mut self.conversations[at];
                let request = conversation.request.clone().metadata(json!({}));
                let warmed = conversation.session.prewarm(&request);
                if warmed.is_err() {
                    self.violate(|| "it cannot be warmed up".to_owned());
                }
                if self.rng.bool() {
                    let other = format!("other than {}", self.figures.turns);
                    self.conversations[at].request.instructions = Some(other);
                }
                if self.rng.bool() {
                    sleep(Duration::from_millis(self.rng.u64(..100))).await;
                }
            }
            _ => {}
        }
    }

    /// A fork has its turn, and leaves the stream that is in progress alone.
    async fn fork(&mut self, at: usize) {
        let conversation = &mut self.conversations[at];
        let (session, request) = (conversation.session.fork(), conversation.request.clone());
        let held = conversation.held.take();
        self.conversations.push(Conversation { session, request, held: None });
        self.turn(self.conversations.len() - 1).await;
        if let Some(held) = held {
            self.finish(held, None).await;
        }
    }

    /// Changes what the next turn is about.
    fn edit(&mut self, at: usize) {
        let turn = self.figures.turns;
        let (rng, request) = (&mut self.rng, &mut self.conversations[at].request);
        if request.input.len() > 50 {
            request.input.truncate(rng.usize(1..20));
        }
        let length = request.input.len();
        let place = rng.usize(..length);
        match rng.u8(..60) {
            0 => request.input.truncate(place.max(1)),
            1 | 2 => request.input.splice(place..place + 1, [Item::user(format!("edit {turn}"))]),
            3 => request.input.splice(place..place, [Item::developer(format!("more {turn}"))]),
            4 => request.instructions = Some(format!("instructions {turn}")),
            5 => request.tools = vec![Tool::function("run", "Runs", json!({}))],
            6 => request.tools.clear(),
            7 => request.model = ["m", "n"][rng.usize(..2)].into(),
            8 => request.store = Some(rng.bool()),
            9 => {
                // The same in other words.
                let again = |item| Item::from_json(value(item).to_string()).expect("an item");
                request.input = request.input.iter().map(again).collect();
            }
            // Nothing new.
            10 => return,
            _ => {}
        }
        request.input.push(Item::user(format!("turn {turn}")));
    }

    async fn turn(&mut self, at: usize) {
        self.figures.turns += 1;
        let number = self.figures.turns;
        let patience = match self.rng.u8(..25) {
            0 => Duration::from_millis(self.rng.u64(..30_000)),
            _ => LONGEST,
        };
        let stop = match self.rng.u8(..10) {
            0 => self.rng.usize(..12),
            _ => usize::MAX,
        };
        let runs_on = !self.only_websocket && self.rng.u8(..20) == 0;
        let conversation = &mut self.conversations[at];
        let mut request =
            conversation.request.clone().metadata(json!({ "turn": number.to_string() }));
        if runs_on && request.store == Some(true) {
            request.background = Some(true);
        }
        lock(&self.oracle).asks(number, values(&request));
        let held = conversation.held.take();
        let opened = timeout(patience, conversation.session.stream(&request)).await;
        if let Some(held) = held {
            self.finish(held, Some(ErrorKind::Superseded)).await;
        }
        let stream = match opened {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return self.failed(number, &[], &error),
            Err(_) if patience == LONGEST => {
                return self.violate(|| "it hangs before its first event".to_owned());
            }
            Err(_) => return self.left(number, &[], "cancelled"),
        };
        let mut held = Held { number, stream, events: Vec::new() };
        match self.read(&mut held, stop).await {
            Read::Stopped if self.rng.bool() => {
                self.conversations[at].held = Some(held);
            }
            Read::Stopped => self.leave(held).await,
            read => {
                let output = self.concluded(held, read).await;
                let input = &mut self.conversations[at].request.input;
                for item in output {
                    let output = item.call_id().and_then(|call| match item.item_type() {
                        "function_call" => Some(Item::function_call_output(call, "done")),
                        "custom_tool_call" => Some(Item::custom_tool_call_output(call, "done")),
                        _ => None,
                    });
                    input.push(item);
                    input.extend(output);
                }
            }
        }
    }

    /// Reads a stream to its end, or until it has had `stop` events.
    async fn read(&self, held: &mut Held, stop: usize) -> Read {
        let mut ended = false;
        loop {
            if !ended && held.events.len() >= stop {
                return Read::Stopped;
            }
            let Ok(next) = timeout(LONGEST, held.stream.try_next()).await else {
                self.violate(|| "it hangs".to_owned());
                return Read::Stopped;
            };
            match next {
                Ok(Some(_)) if ended => self.violate(|| "an event came after the end".to_owned()),
                Ok(Some(event)) => {
                    ended =
                        matches!(event, ResponseEvent::Completed(_) | ResponseEvent::Incomplete(_));
                    held.events.push(received(&event));
                }
                Ok(None) if ended => return Read::Ended,
                Ok(None) => {
                    self.violate(|| "it ended without an outcome".to_owned());
                    return Read::Stopped;
                }
                Err(error) => {
                    if ended {
                        self.violate(|| "an error came after the end".to_owned());
                    }
                    for _ in 0..2 {
                        if !matches!(held.stream.try_next().await, Ok(None)) {
                            self.violate(|| "something came after an error".to_owned());
                        }
                    }
                    return Read::Failed(error);
                }
            }
        }
    }

    /// Reads what is left of a held stream, which must end with this error, if it is given.
    async fn finish(&mut self, mut held: Held, with: Option<ErrorKind>) {
        let read = self.read(&mut held, usize::MAX).await;
        let kind = match &read {
            Read::Failed(error) => Some(error.kind()),
            _ => None,
        };
        let number = held.number;
        let by_session = matches!(kind, Some(ErrorKind::Superseded | ErrorKind::SessionClosed));
        if with.is_some() && kind != with || with.is_none() && by_session {
            let what = || format!("it was to end with {with:?}, and ended with {kind:?}");
            lock(&self.oracle).violate(number, what);
        }
        self.concluded(held, read).await;
    }

    /// Judges a turn that is over, and gives its output.
    async fn concluded(&mut self, held: Held, read: Read) -> Vec<Item> {
        let Held { number, stream, events } = held;
        let error = match read {
            Read::Stopped => return Vec::new(),
            Read::Failed(error) => error,
            Read::Ended => {
                let report = stream.report().clone();
                let Ok(response) = stream.final_response().await else {
                    self.violate(|| "its outcome has changed".to_owned());
                    return Vec::new();
                };
                let items: Vec<_> = response.output_items().collect();
                let output: Vec<_> = items.iter().map(value).collect();
                self.judge(number, &events, End::Output(&output));
                let name = format!("{:?}", response.status()).to_lowercase();
                self.count(name, &report);
                return items;
            }
        };
        let again = stream.final_response().await;
        if again.err().map(|again| again.kind()) != Some(error.kind()) {
            self.violate(|| "its outcome has changed".to_owned());
        }
        self.failed(number, &events, &error);
        Vec::new()
    }

    fn failed(&mut self, number: u64, events: &[Value], error: &Error) {
        self.judge(number, events, End::Failed(error.kind(), error.delivery()));
        let refused = error.kind() == ErrorKind::Connect;
        if refused && !lock(&self.oracle).was_away(number) {
            lock(&self.oracle).violate(number, || format!("it ended with {error:?}"));
        }
        let odd = [
            ErrorKind::InvalidRequest,
            ErrorKind::InvalidConfig,
            ErrorKind::Auth,
            ErrorKind::Tls,
            ErrorKind::TooLarge,
            ErrorKind::NoRuntime,
            ErrorKind::Decode,
        ];
        if odd.contains(&error.kind()) {
            lock(&self.oracle).violate(number, || format!("it ended with {error:?}"));
        }
        let report = error.report().cloned().unwrap_or_default();
        self.count(error.kind().as_str().to_owned(), &report);
    }

    /// The caller goes away from a stream: its connection must close.
    async fn leave(&mut self, held: Held) {
        let Held { number, stream, events } = held;
        let request = lock(&self.oracle).last_request(number);
        let report = stream.report().clone();
        drop(stream);
        self.left(number, &events, "dropped");
        self.count_report(&report);
        let Some((request, connection)) = request else { return };
        if self.server.log().requests[request].finished {
            return;
        }
        let closed = self.server.wait_for(|log| log.connections[connection].closed);
        if timeout(Duration::from_secs(3), closed).await.is_err() {
            let what = || "its stream was dropped, and its connection is open".to_owned();
            lock(&self.oracle).violate(number, what);
        }
    }

    fn left(&mut self, number: u64, events: &[Value], how: &str) {
        self.judge(number, events, End::Left);
        *self.figures.outcomes.entry(how.to_owned()).or_default() += 1;
    }

    fn judge(&self, number: u64, events: &[Value], end: End<'_>) {
        lock(&self.oracle).outcome(number, &Outcome { events, end, told: &Told::default() });
    }

    fn count(&mut self, outcome: String, report: &TurnReport) {
        *self.figures.outcomes.entry(outcome).or_default() += 1;
        self.count_report(report);
    }

    fn count_report(&mut self, report: &TurnReport) {
        self.figures.attempts += report.attempts.len() as u64;
        match report.plan {
            Some(Plan::Full(_)) => self.figures.full += 1,
            Some(Plan::Incremental { .. }) => self.figures.incremental += 1,
            _ => {}
        }
    }

    /// Ends all sessions, after which nothing may be left of them.
    async fn end(mut self) -> Figures {
        if self.rng.bool() {
            for client in &self.clients {
                client.close().await;
            }
        }
        drop(std::mem::take(&mut self.conversations));
        sleep(Duration::from_secs(60)).await;
        let log = self.server.log();
        let open = log.websockets().filter(|socket| !socket.closed).count();
        // One connection of SSE is kept for the next request.
        if open > 0 || log.open_connections() > 1 {
            let all = log.open_connections();
            self.violate(|| format!("{open} WebSockets of {all} connections are left"));
        }
        let Self { server, oracle, clients, mut figures, .. } = self;
        drop((server, clients));
        sleep(Duration::from_secs(60)).await;
        let left = Handle::current().metrics().num_alive_tasks();
        let mut oracle = lock(&oracle);
        if left > 0 {
            oracle.violate(figures.turns, || format!("{left} tasks are left"));
        }
        figures.connections += log.connections.len() as u64;
        for (name, times) in &oracle.faults {
            *figures.faults.entry(name).or_default() += times;
        }
        figures.violation = oracle.violation.take();
        figures
    }
}
