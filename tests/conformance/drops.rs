//! Dropping a turn, a stream or a session at any point closes its connection, leaves no task, and
//! leaves the session as if nothing had been asked.
//!
//! A future is dropped after 0, 1, 2, … rounds of the scheduler, until it has completed. In a round
//! every other task runs once, the server's too, so that there is a drop behind each of its steps;
//! when all of them wait, paused time goes on to the next timer.

use std::{
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Wake},
    time::Duration,
};

use responses_client::{
    Auth, AuthProvider, ErrorKind, Item, ResponseStream, ResponsesClient, ResponsesRequest,
    ResponsesSession, Secret, Timeouts, TokenFuture, Transport, TransportPolicy,
    event::ResponseEvent,
    report::FullSendReason,
    testing::{Exchange, Refusal, Script, ScriptedServer, ServerLog, Step, Turn, Upgrade},
};

use serde_json::Value;

use tokio::{
    runtime::Handle,
    time::{Instant, sleep, timeout},
};

use crate::support::{
    BOTH, Outcome, appended, builder, full, guarded, incremental, only, request, settled, turn,
};

/// Rounds in which nothing happens, before time goes on.
const QUIET: usize = 12;

/// Counts wakes, and passes them on.
struct Woken {
    waker: std::task::Waker,
    since: Mutex<bool>,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        *self.since.lock().expect("no panic") = true;
        self.waker.wake_by_ref();
    }
}

/// What `future` came to, unless it was dropped after so many rounds before.
async fn dropped_after<F: Future>(rounds: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let (mut left, mut quiet) = (rounds, 0);
    let waker = std::future::poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
    let woken = Arc::new(Woken { waker, since: Mutex::new(true) });
    let take = || std::mem::take(&mut *woken.since.lock().expect("no panic"));
    loop {
        if left == 0 {
            return None;
        }
        left -= 1;
        if take() {
            quiet = 0;
            let waker = Arc::clone(&woken).into();
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return Some(output);
            }
        }
        quiet += 1;
        if quiet < QUIET {
            tokio::task::yield_now().await;
        } else {
            // Others may work on, once they are woken by time.
            sleep(Duration::from_millis(100)).await;
        }
    }
}

/// The history of the last request, as the server put it together.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<Value>>>);

impl Seen {
    /// Takes note of the history of an exchange.
    fn note(&self, exchange: &Exchange) {
        self.0.lock().expect("no panic").clone_from(&exchange.history);
    }

    /// What came last was the whole of `request`.
    fn last_was(&self, request: &ResponsesRequest) {
        let parse = |item: &Item| serde_json::from_str(item.json().as_str()).expect("JSON");
        let items: Vec<Value> = request.input.iter().map(parse).collect();
        assert!(*self.0.lock().expect("no panic") == items, "the history is the caller's");
    }
}

/// A way in which a turn can go.
struct Case {
    name: &'static str,
    policy: TransportPolicy,
    /// How upgrades are answered.
    upgrade: Upgrade,
    /// The answers to the turn that is dropped, one for each of its attempts.
    answers: fn() -> Vec<Turn>,
    /// Whether a turn completed before, and the session prewarmed itself.
    before: Before,
    /// The size of what the user says.
    size: usize,
    /// What may be remembered of the origin at the end.
    marks: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Before {
    Nothing,
    Turn,
    Connect,
    WarmUp,
}

impl Case {
    fn new(name: &'static str, policy: TransportPolicy, answers: fn() -> Vec<Turn>) -> Self {
        let (upgrade, before) = (Upgrade::Accept, Before::Nothing);
        Self { name, policy, upgrade, answers, before, size: 10, marks: false }
    }

    fn before(self, before: Before) -> Self {
        Self { before, ..self }
    }
}

fn answer() -> Turn {
    Turn::text("one two three four")
}

/// What each of these cases is about is in its name.
fn cases() -> Vec<Case> {
    let slow = || {
        let wait = || Step::Delay(Duration::from_secs(1));
        vec![answer().insert(5, wait()).insert(3, wait()).first(wait())]
    };
    let busy = || {
        let again = Turn::error(503, "server_is_overloaded", "busy");
        vec![again.retry_after(Duration::from_secs(2)), answer()]
    };
    let cut = || vec![Turn::steps([Step::End]), answer()];
    let refused = || vec![Turn::failed([], "server_is_overloaded", "busy"), answer()];
    let mut cases = Vec::new();
    for transport in BOTH {
        let policy = only(transport);
        cases.push(Case::new("waits for events", policy, slow));
        cases.push(
            Case::new("waits for events on a connection that is open", policy, slow)
                .before(Before::Turn),
        );
        cases.push(Case::new("backs off", policy, busy));
        cases.push(Case::new("is cut before it begins", policy, cut));
        cases.push(Case::new("is tried again after it began", policy, refused));
        // More than is on the way at once.
        cases.push(Case { size: 300_000, ..Case::new("sends", policy, || vec![answer()]) });
    }
    let auto = TransportPolicy::Auto;
    let upgrade = Upgrade::Delay(Duration::from_secs(2));
    let refusal = || Upgrade::Refuse(Refusal::status(426).delay(Duration::from_secs(1)));
    let lost = || {
        vec![
            Turn::error(400, "previous_response_not_found", "lost"),
            answer().delay(Duration::from_secs(1)),
        ]
    };
    cases.extend([
        Case { upgrade: upgrade.clone(), ..Case::new("connects", auto, slow) },
        Case { upgrade: refusal(), marks: true, ..Case::new("falls back", auto, slow) },
        Case {
            upgrade: Upgrade::Hang,
            marks: true,
            ..Case::new("gives up connecting", auto, slow)
        },
        Case { upgrade: upgrade.clone(), ..Case::new("waits for the socket", auto, slow) }
            .before(Before::Connect),
        Case { upgrade, ..Case::new("waits for the warm-up", auto, slow) }.before(Before::WarmUp),
        Case::new("loses its parent", auto, lost).before(Before::Turn),
    ]);
    cases
}

/// A turn in one case, and what is behind it.
struct Scene {
    server: ScriptedServer,
    client: ResponsesClient,
    session: ResponsesSession,
    seen: Seen,
    /// What the turn that is dropped sends.
    asks: ResponsesRequest,
}

impl Scene {
    async fn open(case: &Case) -> Self {
        let seen = Seen::default();
        let answers = Mutex::new((case.answers)().into_iter());
        let script = Script::new().without_bodies().every_upgrade(case.upgrade.clone()).respond({
            let seen = seen.clone();
            move |exchange| {
                seen.note(exchange);
                let said = &exchange.history.last().expect("an item")["content"][0]["text"];
                match said.as_str().expect("a text").starts_with("drop me") {
                    true => answers.lock().expect("no panic").next().unwrap_or_else(answer),
                    false => Turn::text("an answer"),
                }
            }
        });
        let server = ScriptedServer::in_memory(script);
        let client = builder(&server).transport(case.policy).auth(Auth::provider(Token));
        let client = client.build().expect("a client");
        let mut session = client.session();
        let mut asks = request(&["hello"]);
        match case.before {
            Before::Nothing => {}
            Before::Turn => {
                let outcome = turn(&mut session, &asks).await;
                asks.input.extend(outcome.response().output_items());
            }
            Before::Connect => session.preconnect().expect("a runtime"),
            Before::WarmUp => session.prewarm(&asks).expect("a runtime"),
        }
        asks.input.push(Item::user(format!("drop me{}", " ".repeat(case.size))));
        Self { server, client, session, seen, asks }
    }

    /// Everything that holds once the turn was dropped.
    async fn holds(self, case: &Case, outcome: Option<Outcome>, at: &str) {
        let Self { server, client, mut session, seen, asks } = self;
        let first = usize::from(case.before == Before::Turn);
        let asked =
            |log: &ServerLog| log.requests.iter().filter(|it| it.turn >= Some(first)).count();
        // Nothing waits for the peer: its connections end by themselves, soon.
        sleep(Timeouts::default().close).await;
        let log = server.log();
        for cut in log.requests.iter().filter(|it| !it.finished) {
            assert!(log.connections[cut.connection].closed, "{at}: it goes on");
        }
        assert!(case.marks || client.fallback().is_none(), "{at}: it is no failure");
        let (was_asked, before) = (asked(&log), log.connections.len());

        let mut next = asks.clone();
        match &outcome {
            Some(outcome) => next = appended(&asks, outcome, "what is next"),
            None => next.input.push(Item::user("what is next")),
        }
        let then = guarded(turn(&mut session, &next)).await;
        assert_eq!(then.response().output_text(), "an answer", "{at}");
        assert_eq!(then.kinds()[0], "response.created", "{at}");
        let ids = then.events.iter().filter_map(response_id);
        let own = then.response().id();
        assert!(ids.into_iter().all(|id| id == own), "{at}: no event of another turn");
        seen.last_was(&next);
        assert_eq!(asked(&server.log()), was_asked + 1, "{at}");
        let websocket = then.report.transport == Some(Transport::WebSocket);
        match (&outcome, was_asked) {
            // Kept, with what the server has of it.
            (Some(outcome), _) => {
                assert_eq!(server.log().connections.len(), before, "{at}: the connection is kept");
                if websocket && outcome.report.transport == then.report.transport {
                    assert_eq!(then.report.plan, incremental(1), "{at}");
                }
            }
            (None, 0) => {}
            (None, _) => {
                assert_eq!(then.report.plan, full(FullSendReason::PriorNotCompleted), "{at}");
            }
        }
        drop((session, client));
        // The connector keeps one connection of HTTP for whoever comes next.
        sleep(Timeouts::default().close).await;
        let idle = usize::from(!websocket);
        assert!(server.log().open_connections() <= idle, "{at}: {:?}", server.log().connections);
    }
}

/// A token that takes its time.
struct Token;

impl AuthProvider for Token {
    fn token(&self) -> TokenFuture<'_> {
        Box::pin(async {
            sleep(Duration::from_millis(500)).await;
            Ok(Secret::new("a token"))
        })
    }
}

fn response_id(event: &ResponseEvent) -> Option<String> {
    let raw: Value = serde_json::from_str(event.raw()).expect("JSON");
    raw["response"]["id"].as_str().map(str::to_owned)
}

/// Runs `scene` with 0, 1, 2, … rounds until it says that its future completed, and sees to it
/// that no task is left.
async fn at_every_round<F: Future<Output = bool>>(name: &str, mut scene: impl FnMut(usize) -> F) {
    for rounds in 0.. {
        let completed = scene(rounds).await;
        // The server went with the scene, and all that is left has a second to go.
        sleep(Timeouts::default().close).await;
        let left = Handle::current().metrics().num_alive_tasks();
        assert_eq!(left, 0, "{name}: tasks are left after {rounds} rounds");
        if completed {
            assert!(rounds > 3, "{name} is dropped in its midst: {rounds}");
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c059_c062_a_turn_may_be_dropped_anywhere() {
    for case in &cases() {
        let name = format!("{} ({:?})", case.name, case.policy);
        at_every_round(&name, async |rounds| {
            let at = format!("{name} dropped after {rounds}");
            let mut scene = Scene::open(case).await;
            let outcome = dropped_after(rounds, turn(&mut scene.session, &scene.asks)).await;
            let completed = outcome.is_some();
            if let Some(outcome) = &outcome {
                assert_eq!(outcome.response().output_text(), "one two three four", "{at}");
            }
            scene.holds(case, outcome, &at).await;
            completed
        })
        .await;
    }
}

/// A session in the middle of a turn whose answer does not end, and its server.
async fn in_a_turn(
    transport: Transport,
    end: Step,
) -> (ScriptedServer, ResponsesClient, ResponsesSession, ResponseStream) {
    let script = Script::new().turns([answer().cut_after(4, end), Turn::text("an answer")]);
    let server = ScriptedServer::in_memory(script);
    let client = builder(&server).transport(only(transport)).build().expect("a client");
    let mut session = client.session();
    let stream = session.stream(request(&["hello"])).await.expect("a stream");
    (server, client, session, stream)
}

#[tokio::test(start_paused = true)]
async fn c059_c064_a_stream_may_be_dropped_behind_any_event() {
    for transport in BOTH {
        for settles in [true, false] {
            at_every_round("events", async |events| {
                let at = format!("{transport} dropped behind {events} events");
                let turns = [answer(), Turn::text("an answer")];
                let server = ScriptedServer::in_memory(Script::new().turns(turns));
                let client = builder(&server).transport(only(transport)).build().expect("a client");
                let mut session = client.session();
                let mut asks = request(&["hello"]);
                let mut stream = session.stream(&asks).await.expect("a stream");
                let mut ended = false;
                for _ in 0..events {
                    ended = stream.try_next().await.expect("no error").expect("more").is_terminal();
                }
                if settles {
                    settled(&server).await;
                }
                asks.input.extend(stream.response().output_items().filter(|_| ended));
                drop(stream);

                asks.input.push(Item::user("what is next"));
                let next = guarded(turn(&mut session, &asks)).await;
                assert_eq!(next.response().output_text(), "an answer", "{at}");
                let own = next.response().id();
                assert!(next.events.iter().filter_map(response_id).all(|id| id == own), "{at}");
                assert_eq!(next.report.reused, ended || transport == Transport::Sse, "{at}");
                if !ended {
                    assert_eq!(next.report.plan, full(FullSendReason::PriorNotCompleted), "{at}");
                } else if transport == Transport::WebSocket {
                    assert_eq!(next.report.plan, incremental(1), "{at}");
                }
                sleep(Timeouts::default().close).await;
                let log = server.log();
                assert_eq!(log.connections.len(), if ended { 1 } else { 2 }, "{at}");
                assert_eq!(log.connections[0].closed, !ended, "{at}");
                ended
            })
            .await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c066_the_wait_for_a_final_response_may_be_dropped_anywhere() {
    for transport in BOTH {
        let case = Case::new("final", only(transport), || {
            vec![answer().insert(5, Step::Delay(Duration::from_secs(1)))]
        });
        at_every_round("final_response", async |rounds| {
            let at = format!("{transport} dropped after {rounds}");
            let mut scene = Scene::open(&case).await;
            let stream = scene.session.stream(&scene.asks).await.expect("a stream");
            let completed = dropped_after(rounds, stream.final_response()).await;
            let ended = completed.is_some();
            let outcome = completed.map(|response| {
                let (response, report) = response.expect("a response").into_parts();
                Outcome { events: Vec::new(), report, result: Ok(response) }
            });
            scene.holds(&case, outcome, &at).await;
            ended
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn c069_a_cancelled_close_completes() {
    for transport in BOTH {
        // One server answers a Close frame, and one does nothing any more.
        for end in [Step::Stall, Step::Freeze] {
            for of_client in [false, true] {
                // Without a poll nothing was asked of the client.
                for rounds in usize::from(of_client)..100 {
                    let at = format!("{transport} {end:?} {of_client} dropped after {rounds}");
                    let (server, client, session, mut stream) =
                        in_a_turn(transport, end.clone()).await;
                    let mut other = client.session();
                    let start = Instant::now();
                    let (mut session, closed) = if of_client {
                        (Some(session), dropped_after(rounds, client.close()).await)
                    } else {
                        (None, dropped_after(rounds, session.close()).await)
                    };
                    assert!(start.elapsed() <= Timeouts::default().close, "{at}");
                    if rounds > 0 {
                        let error = stream.try_next().await.expect_err("it was closed");
                        assert_eq!(error.kind(), ErrorKind::SessionClosed, "{at}");
                        for session in session.iter_mut().chain(of_client.then_some(&mut other)) {
                            let error = turn(session, &request(&["more"])).await;
                            assert_eq!(error.error().kind(), ErrorKind::SessionClosed, "{at}");
                        }
                    } else {
                        drop(stream);
                    }
                    // A server that reads nothing cannot see it.
                    if matches!(end, Step::Stall) {
                        let seen = server.wait_for(|log| log.connections[0].closed);
                        let bound = start + Timeouts::default().close;
                        tokio::time::timeout_at(bound, seen).await.expect(&at);
                    }
                    // Nothing of the client is left, although all that it was made of is there.
                    drop((server, session, other, client));
                    sleep(Timeouts::default().close).await;
                    assert_eq!(Handle::current().metrics().num_alive_tasks(), 0, "{at}");
                    if closed.is_some() {
                        break;
                    }
                    assert!(rounds < 99, "{at} completes");
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c058_c067_a_session_may_be_dropped_anywhere() {
    for transport in BOTH {
        for before in [Before::Nothing, Before::Turn, Before::Connect, Before::WarmUp] {
            let slowly = || vec![answer().delay(Duration::from_secs(1))];
            let upgrade = Upgrade::Delay(Duration::from_secs(1));
            let case = Case { upgrade, ..Case::new("session", only(transport), slowly) };
            let case = case.before(before);
            at_every_round("a session", async |rounds| {
                let at = format!("{transport} dropped after {rounds}");
                let Scene { server, client, session, asks, .. } = Scene::open(&case).await;
                let mut session = session;
                let turn = async move {
                    // What was begun ahead goes on for a while before a turn needs it.
                    sleep(Duration::from_millis(700)).await;
                    turn(&mut session, &asks).await
                };
                let start = Instant::now();
                let completed = dropped_after(rounds, turn).await.is_some();
                let dropped = Instant::now();
                let idle = usize::from(transport == Transport::Sse);
                let gone = server.wait_for(|log| {
                    log.open_connections() <= idle
                        && log
                            .requests
                            .iter()
                            .all(|it| it.finished || log.connections[it.connection].closed)
                });
                let bound = Timeouts::default().close;
                tokio::time::timeout(bound, gone).await.expect(&at);
                assert!(dropped >= start && client.fallback().is_none(), "{at}");
                let asked = server.log().requests.len();
                sleep(Duration::from_secs(30)).await;
                assert_eq!(server.log().requests.len(), asked, "{at}: nothing is sent for nobody");
                completed
            })
            .await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c060_a_turn_that_is_not_begun_sends_nothing() {
    for transport in BOTH {
        let server = ScriptedServer::in_memory(Script::new().turn(Turn::text("an answer")));
        let client = builder(&server).transport(only(transport)).build().expect("a client");
        let mut session = client.session();
        let asks = request(&["hello"]);
        drop(session.stream(&asks));
        let cancelled = async {};
        tokio::select! {
            biased;
            () = cancelled => {}
            _ = session.stream(&asks) => panic!("it was cancelled before"),
        }
        settled(&server).await;
        assert!(server.log().connections.is_empty(), "{transport}");
        let outcome = turn(&mut session, &asks).await;
        assert_eq!(outcome.report.plan, full(FullSendReason::FirstTurn), "{transport}");
        assert_eq!(server.log().requests.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn c042_c065_a_turn_may_be_given_any_time() {
    for transport in BOTH {
        let slowly = || {
            let wait = |turn: Turn, at| turn.insert(at, Step::Delay(Duration::from_millis(300)));
            vec![(0..8).rev().fold(answer(), wait)]
        };
        let upgrade = Upgrade::Delay(Duration::from_millis(500));
        let case = Case { upgrade, ..Case::new("time", only(transport), slowly) };
        at_every_round("time", async |tenths| {
            let at = format!("{transport} timed out after {tenths}");
            let mut scene = Scene::open(&case).await;
            let time = Duration::from_millis(100) * u32::try_from(tenths).expect("it is small");
            let outcome = timeout(time, turn(&mut scene.session, &scene.asks)).await.ok();
            let completed = outcome.is_some();
            scene.holds(&case, outcome, &at).await;
            completed
        })
        .await;
    }
}
