//! Any bytes in any pieces: the same events as in one piece, and never more than the limit holds.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use responses_client::{Error, bench::sse_events};

fn events(
    pieces: impl IntoIterator<Item = Bytes>,
    limit: usize,
) -> Result<Vec<Option<String>>, Error> {
    let mut events = Vec::new();
    sse_events(pieces, limit, |data| events.push(data.map(str::to_owned)))?;
    Ok(events)
}

fuzz_target!(|input: &[u8]| {
    let Some((&size, body)) = input.split_first() else { return };
    let body = Bytes::copy_from_slice(body);
    let whole = events([body.clone()], usize::MAX).unwrap();
    let pieces = body.chunks(usize::from(size).max(1)).map(Bytes::copy_from_slice);
    assert_eq!(events(pieces, usize::MAX).unwrap(), whole);
    // Small limits, so that inputs of a few bytes reach their edges.
    let limit = usize::from(size) % 33;
    if let Ok(short) = events([body], limit) {
        assert!(short.iter().flatten().all(|data| data.len() <= limit));
    }
});
