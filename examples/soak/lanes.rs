//! Conversations that run beside each other on the lanes of shared WebSockets.

use std::time::Duration;

use fastrand::Rng;
use futures_util::future::join_all;
use responses_client::{
    AtCapacity, Auth, Error, ErrorKind, Item, Limits, PoolPolicy, Provider, ReplayPolicy,
    ResponseEvent, ResponseStatus, ResponseStream, ResponsesClient, ResponsesRequest,
    ResponsesSession, RetryPolicy, Sharing, Timeouts, TransportPolicy,
    report::{Plan, TurnReport},
    testing::ScriptedServer,
};
use serde_json::{Value, json};
use tokio::{
    runtime::Handle,
    time::{sleep, timeout},
};

use super::{
    asked::{End, Outcome},
    driver::{Figures, LONGEST},
    lane_server::{self, Faults},
    login::Login,
    messages::{Carried, Messages, Said, Told},
    oracle::{Oracle, Rules, TAG},
    server::{Watched, lock},
    values::{received, value, values},
};

/// Some conversations with one server.
struct Episode {
    rng: Rng,
    server: ScriptedServer,
    oracle: Watched,
    clients: Vec<ResponsesClient>,
    conversations: Vec<Conversation>,
    /// Most conversations at a time.
    most: usize,
    /// Nothing but the caller ends a conversation on its WebSocket, and there is a lane for each.
    is_calm: bool,
    /// The server takes steers.
    steers: bool,
    /// The server takes interrupts.
    interrupts: bool,
    figures: Figures,
}

struct Conversation {
    session: ResponsesSession,
    request: ResponsesRequest,
    tag: Option<&'static str>,
    /// The next turn must continue the last response.
    continues: bool,
    /// Steers that the next turn carries.
    pending: Vec<Said>,
}

/// What a conversation does in a round.
struct Move {
    number: u64,
    /// Time before the turn.
    begins_after: Duration,
    /// Time after which the turn is cancelled if it has no event yet.
    patience: Duration,
    /// Number of events after which the stream is dropped.
    stop: usize,
    /// Time between two events in which the reader does something else.
    pause: Option<Duration>,
    /// The session is forked while the turn runs.
    forks: bool,
    messages: Messages,
    /// The next turn, which begins immediately: the rest of a response that was dropped may still
    /// come.
    again: Option<Box<Self>>,
}

/// What came of a turn.
struct Ran {
    number: u64,
    outcome: String,
    report: TurnReport,
    fork: Option<ResponsesSession>,
    violation: Option<String>,
}

/// How a stream was read.
enum Read {
    Ended,
    Failed(Error),
    Stopped,
}

/// Runs conversations up to turn `last`.
pub(crate) async fn run(
    rng: Rng,
    transport: Option<TransportPolicy>,
    figures: Figures,
    last: u64,
) -> Figures {
    let mut episode = Episode::new(rng, transport, figures);
    while episode.figures.turns < last && lock(&episode.oracle).violation.is_none() {
        episode.round(last).await;
    }
    episode.end().await
}

impl Episode {
    fn new(mut rng: Rng, transport: Option<TransportPolicy>, figures: Figures) -> Self {
        let is_calm = rng.u8(..3) == 0;
        let transport = transport.unwrap_or(match rng.u8(..4) {
            0 if !is_calm => TransportPolicy::Auto,
            _ => TransportPolicy::WebSocketOnly,
        });
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
        // A tenth is left for the time that a turn waits for a lane.
        let max_age = (!is_calm && rng.bool()).then(|| Duration::from_secs(rng.u64(700..2000)));
        let names = if is_calm { 32 } else { [1, 4, 32, 32][rng.usize(..4)] };
        let active = if is_calm { 16 } else { [2, 4, 16][rng.usize(..3)] };
        let falls_behind = !is_calm && rng.u8(..3) == 0;
        let oracle = Watched::new(
            Oracle::new(Rules {
                deadline: None,
                replay: retry.replay,
                replays: retry.max_replays,
                attempts: retry.max_attempts,
                transport,
                max_age,
                names: usize::from(names),
                falls_behind,
            })
            .into(),
        );
        let (steers, interrupts) = (rng.u8(..6) > 0, rng.bool());
        let faults = Faults { fails: !is_calm, is_large: falls_behind || rng.bool() };
        let server = ScriptedServer::in_memory(lane_server::script(rng.fork(), &oracle, faults));
        let mut timeouts = Timeouts::default();
        timeouts.first_event_websocket = Some(Duration::from_secs(20));
        timeouts.between_events_websocket = Some(Duration::from_secs(30));
        timeouts.between_events_sse = Some(Duration::from_secs(30));
        let mut limits = Limits::default();
        if falls_behind {
            limits.read_ahead = rng.usize(1..60_000);
        }
        let ways = [AtCapacity::Wait, AtCapacity::Sse, AtCapacity::OpenSocket];
        let mut pool = PoolPolicy::default().sharing(Sharing::Lanes);
        if !is_calm {
            let sharing = [Sharing::Lanes, Sharing::Lanes, Sharing::Auto];
            pool.sharing = sharing[rng.usize(..sharing.len())];
            pool.at_capacity = ways[rng.usize(..ways.len())];
            pool.max_sockets = (rng.u8(..3) == 0).then(|| rng.usize(1..6));
        }
        let clients = ["one-a", "one-b"].map(|token| {
            let provider = Provider::compatible(&server.url()).expect("a URL");
            let provider = provider.named_lanes(names).active_responses(active).max_age(max_age);
            let provider = provider.steers(steers).interrupts(interrupts);
            ResponsesClient::builder()
                .provider(provider)
                .auth(Auth::provider(Login::new(token)))
                .account("one")
                .transport(transport)
                .retry(retry)
                .timeouts(timeouts)
                .limits(limits)
                .pool(pool)
                .connector(&server.connector())
                .build()
                .expect("a client")
        });
        let most = if is_calm { 14 } else { rng.usize(2..40) };
        let (clients, conversations) = (clients.to_vec(), Vec::new());
        Self {
            rng,
            server,
            oracle,
            clients,
            conversations,
            most,
            is_calm,
            steers,
            interrupts,
            figures,
        }
    }

    /// A turn of each conversation, all at the same time.
    async fn round(&mut self, last: u64) {
        while self.conversations.is_empty()
            || self.conversations.len() < self.most && self.rng.u8(..3) == 0
        {
            self.begin();
        }
        for _ in 0..self.rng.usize(..3) {
            self.meddle().await;
        }
        let left = usize::try_from(last - self.figures.turns).unwrap_or(usize::MAX);
        let mut moves = Vec::new();
        let mut resting = Vec::new();
        for mut conversation in std::mem::take(&mut self.conversations) {
            match moves.len() < left && self.rng.u8(..4) > 0 {
                true => {
                    let next = self.plan(&mut conversation, true);
                    moves.push((conversation, next));
                }
                false => resting.push(conversation),
            }
        }
        self.conversations = resting;
        let (oracle, is_calm) = (&self.oracle, self.is_calm);
        let running = moves.into_iter().map(|(mut conversation, next)| async move {
            let (mut next, mut ran) = (Some(Box::new(next)), Vec::new());
            while let Some(mut this) = next.take() {
                next = this.again.take();
                let number = this.number;
                let running = turn(&mut conversation, *this, oracle, is_calm);
                match timeout(4 * LONGEST, running).await {
                    Ok(this) => ran.push(this),
                    Err(_) => lock(oracle).violate(number, || "it hangs".to_owned()),
                }
            }
            (conversation, ran)
        });
        let ran = join_all(running).await;
        for (conversation, ran) in ran {
            for ran in ran {
                self.conclude(&conversation, ran);
            }
            self.conversations.push(conversation);
        }
        let number = self.figures.turns;
        lock(&self.oracle).look(&self.server.log(), number);
    }

    fn conclude(&mut self, conversation: &Conversation, ran: Ran) {
        self.conversations.extend(ran.fork.map(|session| Conversation {
            session,
            request: conversation.request.clone(),
            tag: conversation.tag,
            continues: false,
            pending: Vec::new(),
        }));
        if let Some(violation) = ran.violation {
            lock(&self.oracle).violate(ran.number, || violation);
        }
        *self.figures.outcomes.entry(ran.outcome).or_default() += 1;
        self.figures.attempts += ran.report.attempts.len() as u64;
        match ran.report.plan {
            Some(Plan::Full(_)) => self.figures.full += 1,
            Some(Plan::Incremental { .. }) => self.figures.incremental += 1,
            _ => {}
        }
    }

    fn begin(&mut self) {
        let client = &self.clients[usize::from(self.rng.u8(..4) == 0)];
        let mut session = client.session();
        // In a calm episode, the first few of one kind are on one WebSocket.
        let tag = [Some("a"), Some("b"), None, None, None, None, None, None][self.rng.usize(..8)];
        if let Some(tag) = tag {
            session.set_header(TAG, tag).expect("a header");
        }
        let stores = self.rng.u8(..5) == 0;
        let mut request = ResponsesRequest::new("m").store(stores);
        request.input.push(Item::user("begin"));
        let pending = Vec::new();
        self.conversations.push(Conversation { session, request, tag, continues: false, pending });
    }

    /// What a caller does with a session besides turns.
    async fn meddle(&mut self) {
        let at = self.rng.usize(..self.conversations.len());
        match self.rng.u8(..10) {
            0..4 => {
                for _ in 0..self.rng.usize(1..4) {
                    if self.conversations.len() >= self.most {
                        return;
                    }
                    let Conversation { session, request, tag, continues, pending } =
                        &self.conversations[at];
                    let (session, request, tag) = (session.fork(), request.clone(), *tag);
                    // Only the lane of its response has a steer.
                    let continues = *continues && pending.is_empty();
                    let pending = Vec::new();
                    let fork = Conversation { session, request, tag, continues, pending };
                    self.conversations.push(fork);
                }
            }
            4 => drop(self.conversations.swap_remove(at)),
            5 => self.conversations.swap_remove(at).session.close().await,
            6 => {
                // Another process goes on, and the server may have lost the response meanwhile.
                let Conversation { session, request, tag, .. } = &self.conversations[at];
                let mut session = self.clients[0].resume(session.checkpoint());
                if let Some(tag) = *tag {
                    session.set_header(TAG, tag).expect("a header");
                }
                let (request, tag, pending) = (request.clone(), *tag, Vec::new());
                let again = Conversation { session, request, tag, continues: false, pending };
                self.conversations.push(again);
            }
            7 if !self.is_calm => sleep(Duration::from_secs(self.rng.u64(..1500))).await,
            8 if !self.is_calm => {
                lock(&self.oracle).cuts_all();
                self.server.drop_connections();
            }
            9 => _ = self.conversations[at].session.preconnect(),
            _ => sleep(Duration::from_millis(self.rng.u64(..900))).await,
        }
        if self.conversations.is_empty() {
            self.begin();
        }
    }

    fn plan(&mut self, conversation: &mut Conversation, may_leave: bool) -> Move {
        self.figures.turns += 1;
        let (number, rng) = (self.figures.turns, &mut self.rng);
        let request = &mut conversation.request;
        if request.input.len() > 40 || rng.u8(..40) == 0 {
            request.input.truncate(1);
            conversation.continues = false;
        }
        let leaves = if may_leave { rng.u8(..20) } else { u8::MAX };
        let mut messages = Messages::plan(rng, self.steers, self.interrupts);
        // What a caller says that leaves, nobody may wait for.
        messages.is_promised = leaves > 1;
        let mut next = Move {
            number,
            begins_after: Duration::from_millis(if rng.bool() { rng.u64(..300) } else { 0 }),
            patience: match leaves {
                0 => Duration::from_millis(rng.u64(..500)),
                _ => LONGEST,
            },
            stop: if leaves == 1 { rng.usize(..12) } else { usize::MAX },
            pause: (rng.u8(..4) == 0).then(|| Duration::from_millis(rng.u64(..50))),
            forks: rng.u8(..20) == 0,
            messages,
            again: None,
        };
        if leaves < 2 {
            let again = self.plan(conversation, false);
            next.again = Some(Box::new(Move { begins_after: Duration::ZERO, ..again }));
        }
        next
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
        let open = self.server.log().websockets().filter(|socket| !socket.closed).count();
        let Self { server, oracle, clients, mut figures, .. } = self;
        let connections = server.log().connections.len() as u64;
        drop((server, clients));
        sleep(Duration::from_secs(60)).await;
        let left = Handle::current().metrics().num_alive_tasks();
        let mut oracle = lock(&oracle);
        if open > 0 {
            oracle.violate(figures.turns, || format!("{open} WebSockets are left"));
        }
        if left > 0 {
            oracle.violate(figures.turns, || format!("{left} tasks are left"));
        }
        figures.connections += connections;
        figures.lanes += oracle.lanes() as u64;
        for (name, times) in &oracle.steers.outcomes {
            *figures.steers.entry(name.clone()).or_default() += times;
        }
        for (name, times) in &oracle.faults {
            *figures.faults.entry(name).or_default() += times;
        }
        figures.violation = oracle.violation.take();
        figures
    }
}

/// Runs a turn beside others.
async fn turn(conversation: &mut Conversation, next: Move, oracle: &Watched, is_calm: bool) -> Ran {
    let Move { number, begins_after, patience, stop, pause, forks, messages, again: _ } = next;
    if !begins_after.is_zero() {
        sleep(begins_after).await;
    }
    conversation.request.input.push(Item::user(format!("turn {number}")));
    let mut metadata = json!({ "turn": number.to_string() });
    if let Some(tag) = conversation.tag {
        metadata["tag"] = tag.into();
    }
    messages.promise(&mut metadata);
    let request = conversation.request.clone().metadata(metadata);
    let input = values(&request);
    let carried = conversation
        .pending
        .drain(..)
        .map(|said| Carried { is_kept: said.input.iter().all(|item| input.contains(item)), said });
    let carried: Vec<_> = carried.collect();
    lock(oracle).asks(number, input);
    let must_continue = std::mem::replace(&mut conversation.continues, false);
    let mut ran = Ran {
        number,
        outcome: String::new(),
        report: TurnReport::default(),
        fork: None,
        violation: None,
    };
    let judge = |began: bool, events: &[Value], end: End<'_>, told: &Told| {
        lock(oracle).outcome(number, &Outcome { events, end, told });
        lock(oracle).carried(number, &carried, began);
    };
    let mut told = Told::default();
    let mut stream = match timeout(patience, conversation.session.stream(&request)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            ran.failed(&error, is_calm);
            judge(false, &[], End::Failed(error.kind(), error.delivery()), &told);
            return ran;
        }
        Err(_) => {
            "cancelled".clone_into(&mut ran.outcome);
            judge(false, &[], End::Left, &told);
            return ran;
        }
    };
    if forks {
        ran.fork = Some(conversation.session.fork());
    }
    let mut events = Vec::new();
    let reader = Reader { number, stop, pause, messages };
    match reader.read(&mut stream, &mut events, &mut told).await {
        Read::Stopped => {
            ran.report = stream.report().clone();
            "dropped".clone_into(&mut ran.outcome);
            drop(stream);
            judge(true, &events, End::Left, &told);
        }
        Read::Failed(error) => {
            ran.failed(&error, is_calm && told.stops == 0);
            judge(true, &events, End::Failed(error.kind(), error.delivery()), &told);
            // The server keeps nothing of a steer that failed.
            conversation.request.input.extend(told.failed_input());
        }
        Read::Ended => {
            ran.report = stream.report().clone();
            told.report(&ran.report);
            let response = match stream.final_response().await {
                Ok(response) => response,
                Err(error) => {
                    ran.violation = Some(format!("its outcome has changed: {error:?}"));
                    return ran;
                }
            };
            let output: Vec<Item> = response.output_items().collect();
            let output_values: Vec<Value> = output.iter().map(value).collect();
            judge(true, &events, End::Output(&output_values), &told);
            let reason = response.incomplete_reason();
            ran.outcome = match &reason {
                Some(reason) if reason != "max_output_tokens" => reason.clone(),
                _ => format!("{:?}", response.status()).to_lowercase(),
            };
            if must_continue && !matches!(ran.report.plan, Some(Plan::Incremental { .. })) {
                let plan = &ran.report.plan;
                ran.violation = Some(format!("it was not sent incrementally: {plan:?}"));
            }
            // A stop may give up the response that follows, and its lane with it.
            let is_base = response.status() == ResponseStatus::Completed && told.stops == 0
                || reason.is_some_and(|it| it == "interrupted");
            conversation.continues = is_calm && is_base;
            let calls = output.iter().filter(|item| item.item_type() == "function_call");
            let outputs: Vec<_> = calls
                .filter_map(|call| Some(Item::function_call_output(call.call_id()?, "done")))
                .collect();
            conversation.pending = told.take_pending();
            conversation.request.input.extend(output);
            conversation.request.input.extend(outputs);
            conversation.request.input.extend(told.failed_input());
        }
    }
    ran
}

impl Ran {
    fn failed(&mut self, error: &Error, is_calm: bool) {
        error.kind().as_str().clone_into(&mut self.outcome);
        self.report = error.report().cloned().unwrap_or_default();
        let odd = [
            ErrorKind::InvalidRequest,
            ErrorKind::InvalidConfig,
            ErrorKind::Auth,
            ErrorKind::Tls,
            ErrorKind::TooLarge,
            ErrorKind::NoRuntime,
            ErrorKind::Decode,
            ErrorKind::Superseded,
            ErrorKind::SessionClosed,
        ];
        if is_calm || odd.contains(&error.kind()) {
            self.violation = Some(format!("it ended with {error:?}"));
        }
    }
}

/// How a stream is read.
struct Reader {
    number: u64,
    /// It is dropped after so many events.
    stop: usize,
    /// Time between two events in which the reader does something else.
    pause: Option<Duration>,
    messages: Messages,
}

impl Reader {
    /// Reads a stream to its end, or until it is dropped, and says something meanwhile.
    async fn read(
        self,
        stream: &mut ResponseStream,
        events: &mut Vec<Value>,
        told: &mut Told,
    ) -> Read {
        let Self { number, stop, pause, mut messages } = self;
        while events.len() < stop {
            let next = match messages.patience(events.len()) {
                Some(Duration::ZERO) => {
                    messages.say(number, stream, told);
                    continue;
                }
                Some(patience) => timeout(patience, stream.try_next()).await,
                None => Ok(stream.try_next().await),
            };
            let Ok(next) = next else {
                messages.say(number, stream, told);
                continue;
            };
            match next {
                Ok(Some(event)) => {
                    let is_end =
                        matches!(event, ResponseEvent::Completed(_) | ResponseEvent::Incomplete(_));
                    let mut event = received(&event);
                    if let Some(members) = event.as_object_mut() {
                        members.remove("stream_id");
                    }
                    events.push(event);
                    if is_end {
                        return Read::Ended;
                    }
                }
                Ok(None) => return Read::Stopped,
                Err(error) => return Read::Failed(error),
            }
            if let Some(pause) = pause {
                sleep(pause).await;
            }
        }
        Read::Stopped
    }
}
