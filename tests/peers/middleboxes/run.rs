//! Runs the sessions of a case, and observes their outcomes.

use std::time::{Duration, Instant};

use responses_client::{Item, ResponsesClient, Transport, TransportPolicy};

use super::{
    case::{Case, Ends},
    doctor::{self, Verdict},
    network::ClientNetwork,
    way::{PACE, PIECES, SLOW, Way},
};
use crate::support::{Outcome, request, turn};

/// Observed outcome of a case.
pub(super) struct Seen {
    /// Transport of both turns, or the error.
    pub(super) ends: String,
    /// Number of attempts of each turn.
    pub(super) attempts: String,
    /// Delivery of a turn under `SseOnly`.
    pub(super) sse: String,
    pub(super) verdict: Verdict,
    /// Time to the first event of the first turn, or to its error.
    pub(super) time: Duration,
}

/// Texts of [`Seen`].
pub(super) const OPENED_AGAIN: &str = "websocket, opened again";
pub(super) const STREAMED: &str = "streamed";
pub(super) const HELD_BACK: &str = "held back";

/// Runs two turns; a failed turn is the last one.
async fn two_turns(
    client: &ResponsesClient,
    text: &str,
    pause: Duration,
) -> (Vec<Outcome>, Duration) {
    let mut session = client.session();
    let mut request = request(&[text]);
    let began = Instant::now();
    let first = turn(&mut session, &request).await;
    let Ok(response) = &first.result else { return (vec![first], began.elapsed()) };
    let time = first.report.timings.first_event.unwrap();
    request.input.extend(response.output_items());
    request.input.push(Item::user("more"));
    tokio::time::sleep(pause).await;
    let second = turn(&mut session, &request).await;
    (vec![first, second], time)
}

/// Returns the delivery of a slow answer over SSE.
async fn delivery(way: &Way, case: &Case) -> String {
    let Ends::On(_) = case.ends else { return "–".to_owned() };
    let client = way.client(case, TransportPolicy::SseOnly);
    let mut slow = request(&["hi"]);
    slow.model = SLOW.to_owned();
    let outcome = turn(&mut client.session(), &slow).await;
    if let Err(error) = &outcome.result {
        return format!("cut ({})", error.kind());
    }
    let timings = &outcome.report.timings;
    let spread = timings.done.unwrap() - timings.first_event.unwrap();
    match spread {
        held if held < PACE => HELD_BACK.to_owned(),
        streamed if streamed > PACE * (PIECES - 2) => STREAMED.to_owned(),
        odd => format!("events within {odd:?}"),
    }
}

/// Returns the text of a session that ends on `transport`.
fn ends_on(transport: Transport, second: &Outcome) -> String {
    match transport {
        Transport::WebSocket if !second.report.reused => OPENED_AGAIN.to_owned(),
        _ => transport.as_str().to_owned(),
    }
}

impl Case {
    /// Runs the sessions and the doctor, and asserts their outcomes.
    pub(super) async fn run(&self, way: &Way, network: &ClientNetwork) -> Seen {
        let auto = || way.client(self, TransportPolicy::Auto);
        let (outcomes, mut time) = two_turns(&auto(), self.text, self.pause).await;
        let context = || format!("{}: {outcomes:#?}", self.setup);
        let ends = match (&self.ends, &outcomes[..]) {
            (Ends::On(transport), [first, second]) => {
                for outcome in [first, second] {
                    assert_eq!(outcome.response().output_text(), "hi", "{}", context());
                    assert_eq!(outcome.report.transport, Some(*transport), "{}", context());
                }
                ends_on(*transport, second)
            }
            (Ends::Fails(is_expected), [failed]) => {
                let error = failed.error();
                assert!(is_expected(error), "{}: {error:?}", context());
                way.error(error)
            }
            _ => panic!("{}", context()),
        };
        // A busy machine may disturb one measurement.
        for _ in 0..2 {
            if time > self.within {
                time = two_turns(&auto(), self.text, Duration::ZERO).await.1;
            }
        }
        assert!(time <= self.within, "{time:?}: {}", context());
        let counts: Vec<_> =
            outcomes.iter().map(|it| it.report.attempts.len().to_string()).collect();
        let (sse, verdict) = tokio::join!(delivery(way, self), doctor::run(way, network, self));
        let seen = Seen { ends, attempts: counts.join(", "), sse, verdict, time };
        seen.verdict.assert_agrees(self, &seen);
        seen
    }
}
