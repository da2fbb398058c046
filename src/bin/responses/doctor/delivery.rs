//! Checks that take longer or cost tokens.

use std::time::{Duration, Instant};

use responses_client::{
    ResponsesClient, ResponsesClientBuilder, ResponsesRequest, TransportPolicy,
};

use super::{Checks, finding::Finding};
use crate::stop::Stop;

/// Shortest time of an answer by which its delivery is judged.
const SHORTEST: Duration = Duration::from_millis(500);
/// Longest time that a short answer may take.
const ANSWER: Duration = Duration::from_secs(60);

impl Checks {
    /// Requests a short answer over SSE, and checks if its events arrive one by one.
    pub(super) async fn delivery(
        &mut self,
        builder: ResponsesClientBuilder,
        model: &str,
    ) -> Result<(), Stop> {
        let timeouts = super::timeouts(ANSWER);
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
            Ok(Err(error)) => Finding::of_error(&error),
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
        let opened = session.preconnect();
        tokio::time::sleep(idle).await;
        let outcome = match opened {
            Ok(()) => session.respond(ResponsesRequest::default()).await,
            Err(error) => Err(error),
        };
        let report = match &outcome {
            Ok(response) => Some(response.report()),
            Err(error) => error.report(),
        };
        let reused = report.is_some_and(|report| report.reused);
        let shown = humantime::format_duration(idle);
        self.add(
            match reused {
                true => Finding::ok("idle", format!("an idle WebSocket stays open for {shown}")),
                false => Finding::note(
                    "idle_cut",
                    format!("an idle WebSocket is cut within {shown}"),
                )
                .advise(
                    "pings keep WebSockets open during turns and between them; an SSE answer that \
                     is silent for that long may be cut",
                ),
            }
            .after(start.elapsed()),
        )
    }
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
    let (Some(first), Some(last)) = (arrivals.first(), arrivals.last()) else {
        return Finding::limit("delivery_empty", "the answer had no events");
    };
    let seconds = |time: &Duration| format!("{:.1} s", time.as_secs_f64());
    if *last < SHORTEST {
        return Finding::ok("delivery", "the answer was too quick to judge its delivery");
    }
    // A response in progress is announced long before its end.
    if last.saturating_sub(*first) < *last / 10 {
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
        assert_eq!(at(&[]), ("delivery_empty", Status::Limit));
    }
}
