//! One large event in the pieces that a network makes of it, against `eventsource-stream`.

use bytes::Bytes;
use eventsource_stream::Eventsource;
use futures_util::{FutureExt, StreamExt, stream};
use responses_client::internal::sse_events;

use crate::{
    Effort,
    measure::{Candidate, Comparison, Goal, nanoseconds, time},
};

/// What a TCP segment carries.
const PIECE: usize = 1_448;

/// Their time grows by the square of the size and ours in line with it, so that their ratio, and
/// with it the goal, grows in line with the size: 1,000 at 4 MB are 250 at 1 MB.
pub(crate) fn large_event(effort: Effort) -> Comparison {
    let (megabytes, goal) = if effort.quick { (1, 250.0) } else { (4, 1_000.0) };
    let body = body(megabytes * 1_000_000);
    let pieces: Vec<Bytes> = (0..body.len())
        .step_by(PIECE)
        .map(|at| body.slice(at..body.len().min(at + PIECE)))
        .collect();
    let size = body.len() - "data: \n\n".len();

    let ours = || {
        let (mut events, mut bytes) = (0, 0);
        let pieces = pieces.iter().cloned();
        let time = time(|| {
            sse_events(pieces, usize::MAX, |data| {
                events += 1;
                bytes += data.expect("UTF-8").len();
            })
        });
        assert_eq!((events, bytes), (1, size));
        nanoseconds(time, 1)
    };
    let theirs = || {
        let body = stream::iter(pieces.iter().cloned().map(Ok::<_, std::io::Error>));
        let mut events = Vec::new();
        let time = time(|| {
            let all = body.eventsource().map(|event| event.expect("an event"));
            events = all.collect().now_or_never().expect("a stream that never waits");
        });
        assert_eq!(events.iter().map(|event| event.data.len()).collect::<Vec<_>>(), [size]);
        nanoseconds(time, 1)
    };

    // One pass of theirs takes seconds. A busy machine makes it longer, by less than the goal is
    // away.
    let theirs = theirs();
    let ours = (0..effort.rounds).map(|_| ours()).fold(f64::INFINITY, f64::min);
    Comparison {
        ours: Candidate {
            label: if effort.quick { "an event of 1 MB" } else { "an event of 4 MB" },
            value: ours,
        },
        theirs: Candidate { label: "by eventsource-stream", value: theirs },
        ratio: theirs / ours,
        unit: "ns",
        goal: Goal::AtLeast(goal),
    }
}

/// A body with one event of this size.
fn body(size: usize) -> Bytes {
    let head = r#"{"type":"response.completed","response":{"id":"resp_1","output":[{"text":""#;
    let tail = r#""}]}}"#;
    let text = "what the model said ".repeat(size.div_ceil(20));
    let text = text.get(..size - head.len() - tail.len()).unwrap_or_default();
    format!("data: {head}{text}{tail}\n\n").into()
}
