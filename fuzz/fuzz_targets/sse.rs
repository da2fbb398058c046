//! Any bytes in any pieces: the same events as in one piece, and never more than the limit allows.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use responses_client::{Error, internal::sse_events};

fn events(
    pieces: impl IntoIterator<Item = Bytes>,
    limit: usize,
) -> Result<Vec<Option<String>>, Error> {
    let mut events = Vec::new();
    sse_events(pieces, limit, |data| events.push(data.map(str::to_owned)))?;
    Ok(events)
}

fuzz_target!(|input: &[u8]| {
    let [size, limit, body @ ..] = input else { return };
    let body = Bytes::copy_from_slice(body);
    let pieces = || body.chunks(usize::from(*size).max(1)).map(Bytes::copy_from_slice);
    let whole = events([body.clone()], usize::MAX).unwrap();
    assert_eq!(events(pieces(), usize::MAX).unwrap(), whole);
    // No line and no event of the body is longer than the body.
    assert_eq!(events(pieces(), body.len()).unwrap(), whole);
    // A small limit is met by events of several short lines, too.
    let limit = usize::from(*limit);
    for bounded in [events([body.clone()], limit), events(pieces(), limit)] {
        let Ok(bounded) = bounded else { continue };
        assert_eq!(bounded, whole);
        assert!(bounded.iter().flatten().all(|data| data.len() <= limit));
    }
});
