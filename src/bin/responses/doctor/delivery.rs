//! Checks that take longer or cost tokens.

use std::time::{Duration, Instant};

use responses_client::{
    Error, ErrorKind, ResponsesClient, ResponsesClientBuilder, ResponsesRequest, TransportPolicy,
};

use super::{
    Checks,
    finding::{self, Finding},
};
use crate::stop::Stop;

/// Shortest time of an answer by which its delivery is judged.
const SHORTEST: Duration = Duration::from_millis(500);
/// Number of events that show if events arrive one by one or in blocks.
const MANY: usize = 20;
/// Number of events that do not arrive together by chance.
const SEVERAL: usize = 8;
/// Time within which events arrive together, as one block.
const TOGETHER: Duration = Duration::from_millis(50);
/// Shortest silence before a block that was held back.
const SILENCE: Duration = Duration::from_millis(250);
/// Longest time that a short answer may take.
const ANSWER: Duration = Duration::from_secs(60);
/// Time between two looks at the WebSockets of a client.
const POLL: Duration = Duration::from_millis(20);

impl Checks {
    /// Requests a short answer over SSE, and checks if its events arrive one by one. Returns `false`
    /// if the API refuses the request.
    pub(super) async fn delivery(
        &mut self,
        builder: ResponsesClientBuilder,
        model: &str,
    ) -> Result<bool, Stop> {
        // The limit of the whole answer comes first.
        let timeouts = super::timeouts(ANSWER * 2);
        let Ok(client) = super::client(builder, TransportPolicy::SseOnly, timeouts) else {
            return Ok(true);
        };
        let start = self.begin("the delivery of an answer, which takes up to a minute");
        let mut arrivals = Vec::new();
        let end = tokio::time::timeout(ANSWER, read(&client, model, &mut arrivals)).await;
        let is_refused = matches!(&end, Ok(Err(error)) if super::is_answer(error));
        let finding = match end {
            Ok(Ok(())) => judge(&arrivals),
            Ok(Err(error)) if is_refused => refused(&error),
            Ok(Err(error)) if error.kind() == ErrorKind::Truncated && !arrivals.is_empty() => {
                let message =
                    format!("an answer over SSE is cut after {}", seconds(start.elapsed()));
                Finding::limit("sse_cut", message).advise(
                    "a proxy or a gateway limits the time or the silence of an answer: raise its \
                     limit, in envoy `timeout` of the route",
                )
            }
            Ok(Err(error)) => Finding::of_error(&error, client.is_secure()),
            Err(_) => too_slow(),
        };
        self.add(finding.after(start.elapsed()))?;
        Ok(!is_refused)
    }

    /// Requests a short answer over a WebSocket. Returns `true` if it arrives, or an error of the
    /// API: a gateway may answer an empty request, and fail with each other one.
    pub(super) async fn websocket_answer(
        &mut self,
        builder: ResponsesClientBuilder,
        model: &str,
        sse_works: bool,
    ) -> Result<bool, Stop> {
        let timeouts = super::timeouts(ANSWER);
        let Ok(client) = super::client(builder, TransportPolicy::WebSocketOnly, timeouts) else {
            return Ok(true);
        };
        let start = self.begin("an answer over a WebSocket, which takes up to a minute");
        let end = tokio::time::timeout(ANSWER, read(&client, model, &mut Vec::new())).await;
        let (works, finding) = match end {
            Ok(Ok(())) => (true, Finding::ok("websocket_answer", "an answer arrives over it")),
            Ok(Err(error)) if super::is_answer(&error) => (true, refused(&error)),
            Ok(Err(error)) => {
                let is_secure = client.is_secure();
                (false, super::websocket_finding(&error, ANSWER, sse_works, is_secure))
            }
            Err(_) => (true, too_slow()),
        };
        self.add(finding.after(start.elapsed()))?;
        Ok(works)
    }

    /// Leaves two WebSockets idle, one without pings and one with a ping after each silence of
    /// `ping`, and checks if they are still open.
    pub(super) async fn idle(
        &mut self,
        builder: ResponsesClientBuilder,
        idle: Duration,
        ping: Option<Duration>,
    ) -> Result<(), Stop> {
        let start = self.begin("an idle WebSocket, which takes as long as --idle says");
        let client = |ping| {
            let timeouts = super::timeouts(super::LIMIT).ping(ping);
            super::client(builder.clone(), TransportPolicy::WebSocketOnly, timeouts)
        };
        let (Ok(silent), Ok(pinging)) = (client(None), client(ping)) else { return Ok(()) };
        let open = tokio::join!(stays_open(&silent, idle), stays_open(&pinging, idle));
        let finding = match open {
            (Some(silent), Some(pinging)) => of_idle(silent, pinging, idle, ping),
            (None, _) | (_, None) => {
                let message = "no second WebSocket opens within 5 s, so that none can be left idle";
                Finding::note("idle_not_checked", message)
            }
        };
        self.add(finding.after(start.elapsed()))
    }
}

/// Leaves a WebSocket idle. Returns `true` if it stays open, and `None` if none opens.
async fn stays_open(client: &ResponsesClient, idle: Duration) -> Option<bool> {
    let mut session = client.session();
    session.preconnect().ok()?;
    if !has_opened(client).await {
        return None;
    }
    tokio::time::sleep(idle).await;
    let outcome = session.respond(ResponsesRequest::default()).await;
    let report = match &outcome {
        Ok(response) => Some(response.report()),
        Err(error) => error.report(),
    };
    Some(report.is_some_and(|report| report.reused))
}

/// Waits until a client has opened a WebSocket. Returns `false` if none opens in time.
async fn has_opened(client: &ResponsesClient) -> bool {
    let opened = async {
        while client.metrics().websockets_opened == 0 {
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(super::LIMIT, opened).await.is_ok()
}

/// Returns the finding for WebSockets that were idle, without pings and with them.
fn of_idle(silent: bool, pinging: bool, idle: Duration, ping: Option<Duration>) -> Finding {
    let idle = humantime::format_duration(idle);
    match (silent, pinging) {
        (true, _) => Finding::ok("idle", format!("an idle WebSocket stays open for {idle}")),
        (false, true) => {
            Finding::note("idle_cut", format!("an idle WebSocket is cut within {idle}")).advise(
                "pings keep WebSockets open during turns and between them; an SSE answer that is \
                 silent for that long may be cut",
            )
        }
        (false, false) => {
            let pings = match ping.map(humantime::format_duration) {
                Some(ping) => format!("also with pings after {ping} of silence"),
                None => "without pings".to_owned(),
            };
            let message = format!("an idle WebSocket is cut within {idle}, {pings}");
            Finding::limit("silence_cut", message).advise(
                "answers that are silent for that long are cut: ping more often with --ping, or \
                 raise the idle timeout of the proxy or the gateway",
            )
        }
    }
}

fn refused(error: &Error) -> Finding {
    Finding::fail("delivery_refused", finding::text(error))
        .advise("read the message, and check --model")
}

fn too_slow() -> Finding {
    Finding::limit("delivery_slow", "the answer was not complete after a minute")
}

/// Requests and reads a short answer, and adds the time of each event, from the start of the
/// request.
async fn read(
    client: &ResponsesClient,
    model: &str,
    arrivals: &mut Vec<Duration>,
) -> Result<(), Error> {
    let start = Instant::now();
    let request = ResponsesRequest::new(model)
        .input("Count from 1 to 50, in digits, separated by blanks.")
        .store(false);
    let mut session = client.session();
    let mut stream = session.stream(request).await?;
    while stream.try_next().await?.is_some() {
        arrivals.push(start.elapsed());
    }
    Ok(())
}

/// Judges the delivery of an answer by the times of its events.
fn judge(arrivals: &[Duration]) -> Finding {
    // An answer without an end is an error, so that there is a last event.
    let last = arrivals.last().copied().unwrap_or_default();
    let first = arrivals.first().copied().unwrap_or_default();
    if last < SHORTEST {
        return Finding::ok("delivery", "the answer was too quick to judge its delivery");
    }
    let events = arrivals.len();
    let (blocks, held) = blocks(arrivals);
    if events >= SEVERAL && blocks == 1 || events >= MANY && held > events / 2 {
        let message = format!(
            "events are held back: {events} events arrived in {blocks} blocks, and the first \
             arrived after {} of {}",
            seconds(first),
            seconds(last)
        )
        .replace(" 1 blocks", " 1 block");
        let advice = "a proxy or a gateway collects the answer or large blocks of it: in nginx set \
                      `proxy_buffering off` and `proxy_http_version 1.1`, in mitmproxy \
                      `stream_large_bodies`, and turn compression of text/event-stream off; over a \
                      WebSocket nothing is held back";
        return Finding::limit("sse_held_back", message).advise(advice);
    }
    if events < MANY && blocks < 3 {
        return Finding::ok("delivery", "the answer had too few events to judge its delivery");
    }
    let message = format!("events arrive one by one, the first after {}", seconds(first));
    Finding::ok("delivery", message)
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// Returns the number of blocks in which events arrived, and the number of events that were held
/// back: those in blocks of three and more that follow a silence. Servers announce a token with up
/// to two events, and begin and end an answer with a few more.
fn blocks(arrivals: &[Duration]) -> (usize, usize) {
    let (mut blocks, mut held) = (0, 0);
    let mut rest = arrivals;
    let mut before = Duration::ZERO;
    while let Some(&start) = rest.first() {
        let size = rest.iter().take_while(|&&time| time.saturating_sub(start) < TOGETHER).count();
        let (block, others) = rest.split_at(size);
        if size >= 3 && start.saturating_sub(before) >= SILENCE {
            held += size;
        }
        blocks += 1;
        before = block.last().copied().unwrap_or(start);
        rest = others;
    }
    (blocks, held)
}

#[cfg(test)]
mod tests {
    use responses_client::testing::{Script, ScriptedServer, Step, Turn};

    use super::{super::finding::Status, *};

    #[test]
    fn c183_events_that_arrive_in_blocks_are_held_back() {
        /// Times of `count` events from `start` on, one each `step`.
        fn each(start: u64, step: u64, count: u64) -> impl Iterator<Item = u64> {
            (0..count).map(move |index| start + index * step)
        }
        let judged = |millis: Vec<u64>| {
            let times: Vec<_> = millis.into_iter().map(Duration::from_millis).collect();
            let finding = judge(&times);
            (finding.id, finding.status)
        };
        let held: [Vec<u64>; 5] = [
            // nginx with HTTP/1.0 to its server collects blocks of 4 KiB.
            each(3600, 0, 22).chain(each(8460, 0, 23)).chain([9100; 4]).collect(),
            each(0, 900, 10).flat_map(|start| each(start + 900, 1, 5)).collect(),
            // mitmproxy collects the whole answer, and a box that compresses most of it.
            each(9000, 0, 45).collect(),
            each(6300, 1, 30).chain(each(9000, 1, 15)).collect(),
            each(2900, 2, 15).collect(),
        ];
        for times in held {
            assert_eq!(judged(times.clone()), ("sse_held_back", Status::Limit), "{times:?}");
        }
        // Each answer begins and ends with a few events.
        let whole = |first: u64, step: u64, count: u64| {
            let last = first + step * count;
            [200, 200]
                .into_iter()
                .chain([first; 2])
                .chain(each(first, step, count))
                .chain([last; 5])
        };
        let streamed: [Vec<u64>; 8] = [
            whole(300, 200, 45).collect(),
            // A model that thinks first, which a gateway may not announce.
            whole(5000, 10, 60).collect(),
            each(5000, 10, 40).collect(),
            // Fast models send several tokens together.
            each(5000, 20, 25).flat_map(|start| each(start, 0, 4)).collect(),
            // Slow models and short answers.
            whole(1000, 1000, 30).collect(),
            whole(1000, 1000, 3).collect(),
            vec![2900, 2950, 3000],
            vec![100, 120],
        ];
        for times in streamed {
            assert_eq!(judged(times.clone()), ("delivery", Status::Ok), "{times:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn c183_an_answer_that_takes_more_than_a_minute_is_slow() {
        // A minute of real time is too long for a test of the process.
        for (turn, id) in [
            (Turn::text("1 2 3 4 5 6").paced(Duration::from_secs(25)), "delivery_slow"),
            (Turn::text("hi").first(Step::Stall), "delivery_slow"),
            (Turn::text("1 2 3 4 5 6").paced(Duration::from_secs(5)), "delivery"),
        ] {
            let server = ScriptedServer::in_memory(Script::new().turn(turn));
            let progress = indicatif::ProgressBar::hidden();
            let mut checks = Checks { findings: Vec::new(), progress, prints: false };
            assert!(checks.delivery(server.client_builder(), "m").await.is_ok());
            let found: Vec<_> = checks.findings.iter().map(|finding| finding.id).collect();
            assert_eq!(found, [id]);
        }
    }
}
