//! Checks that take longer or cost tokens.

use std::time::{Duration, Instant};

use responses_client::{
    ResponsesClient, ResponsesClientBuilder, ResponsesRequest, TransportPolicy,
};

use super::{
    Checks,
    finding::{self, Finding},
};
use crate::stop::Stop;

/// Shortest time of an answer by which its delivery is judged.
const SHORTEST: Duration = Duration::from_millis(500);
/// Longest time that a short answer may take.
const ANSWER: Duration = Duration::from_secs(60);
/// Time between two looks at the WebSockets of a client.
const POLL: Duration = Duration::from_millis(20);

impl Checks {
    /// Requests a short answer over SSE, and checks if its events arrive one by one.
    pub(super) async fn delivery(
        &mut self,
        builder: ResponsesClientBuilder,
        model: &str,
    ) -> Result<(), Stop> {
        // The limit of the whole answer comes first.
        let timeouts = super::timeouts(ANSWER * 2);
        let Ok(client) = super::client(builder, TransportPolicy::SseOnly, timeouts) else {
            return Ok(());
        };
        let start = self.begin("the delivery of an answer, which takes up to a minute");
        let request = ResponsesRequest::new(model)
            .input("Count from 1 to 50, in digits, separated by blanks.")
            .store(false);
        let arrivals = tokio::time::timeout(ANSWER, arrivals(&client, request)).await;
        let finding = match arrivals {
            Ok(Ok(arrivals)) => judge(&arrivals),
            Ok(Err(error)) if super::is_answer(&error) => {
                Finding::fail("delivery_refused", finding::text(&error))
                    .advise("read the message, and check --model")
            }
            Ok(Err(error)) => Finding::of_error(&error, client.is_secure()),
            Err(_) => Finding::limit("delivery_slow", "the answer was not complete after a minute"),
        };
        self.add(finding.after(start.elapsed()))
    }

    /// Leaves a WebSocket idle, and checks if it is still open.
    pub(super) async fn idle(
        &mut self,
        builder: ResponsesClientBuilder,
        idle: Duration,
    ) -> Result<(), Stop> {
        let start = self.begin("an idle WebSocket, which takes as long as --idle says");
        let timeouts = super::timeouts(super::LIMIT).ping(None);
        let Ok(client) = super::client(builder, TransportPolicy::WebSocketOnly, timeouts) else {
            return Ok(());
        };
        let mut session = client.session();
        let is_open = session.preconnect().is_ok() && has_opened(&client).await;
        let finding = if is_open {
            tokio::time::sleep(idle).await;
            let outcome = session.respond(ResponsesRequest::default()).await;
            let report = match &outcome {
                Ok(response) => Some(response.report()),
                Err(error) => error.report(),
            };
            of_idle(report.is_some_and(|report| report.reused), idle)
        } else {
            let message = "no second WebSocket opens within 5 s, so that none can be left idle";
            Finding::note("idle_not_checked", message)
        };
        self.add(finding.after(start.elapsed()))
    }
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

fn of_idle(is_open: bool, idle: Duration) -> Finding {
    let idle = humantime::format_duration(idle);
    if is_open {
        return Finding::ok("idle", format!("an idle WebSocket stays open for {idle}"));
    }
    Finding::note("idle_cut", format!("an idle WebSocket is cut within {idle}")).advise(
        "pings keep WebSockets open during turns and between them; an SSE answer that is silent \
         for that long may be cut",
    )
}

/// Returns the times of the events of an answer, from the start of the request.
async fn arrivals(
    client: &ResponsesClient,
    request: ResponsesRequest,
) -> Result<Vec<Duration>, responses_client::Error> {
    let start = Instant::now();
    let mut session = client.session();
    let mut stream = session.stream(request).await?;
    let mut arrivals = Vec::new();
    while stream.try_next().await?.is_some() {
        arrivals.push(start.elapsed());
    }
    Ok(arrivals)
}

/// Judges the delivery of an answer by the times of its events.
fn judge(arrivals: &[Duration]) -> Finding {
    let seconds = |time: Duration| format!("{:.1} s", time.as_secs_f64());
    // An answer without an end is an error, so that there is a last event.
    let last = arrivals.last().copied().unwrap_or_default();
    let first = arrivals.first().copied().unwrap_or_default();
    if last < SHORTEST {
        return Finding::ok("delivery", "the answer was too quick to judge its delivery");
    }
    // A response in progress is announced long before its end.
    if last.saturating_sub(first) < last / 10 {
        let message = format!(
            "events are held back: the first arrived after {} of {}",
            seconds(first),
            seconds(last)
        );
        let advice = "a proxy or a gateway collects the whole answer: in nginx set \
                      `proxy_buffering off` and `proxy_http_version 1.1`, in mitmproxy \
                      `stream_large_bodies`, and turn compression of text/event-stream off; over a \
                      WebSocket nothing is held back";
        return Finding::limit("sse_held_back", message).advise(advice);
    }
    let message = format!("events arrive one by one, the first after {}", seconds(first));
    Finding::ok("delivery", message)
}

#[cfg(test)]
mod tests {
    use responses_client::testing::{Script, ScriptedServer, Step, Turn};

    use super::{super::finding::Status, *};

    #[test]
    fn c183_events_that_arrive_together_at_the_end_are_held_back() {
        let at = |millis: &[u64]| {
            let times: Vec<_> = millis.iter().copied().map(Duration::from_millis).collect();
            let finding = judge(&times);
            (finding.id, finding.status)
        };
        assert_eq!(at(&[200, 1000, 2000, 3000]), ("delivery", Status::Ok));
        assert_eq!(at(&[2900, 2950, 3000]), ("sse_held_back", Status::Limit));
        assert_eq!(at(&[100, 120]), ("delivery", Status::Ok));
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
