use futures_util::StreamExt;
use proptest::prelude::*;

use super::*;

/// Name and data of an event.
type Event = (String, Option<ByteString>);

fn owned(event: SseEvent<'_>) -> Event {
    (event.name.to_owned(), event.data)
}

fn decode_pieces<'a>(
    limit: usize,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<Event>, TooLong> {
    let mut decoder = Decoder::new(limit);
    let mut events = Vec::new();
    for piece in pieces {
        decoder.push(Bytes::copy_from_slice(piece));
        while let Some(event) = decoder.next_event()? {
            events.push(owned(event));
        }
    }
    events.extend(decoder.finish()?.map(owned));
    Ok(events)
}

fn decode(body: &[u8]) -> Vec<Event> {
    decode_pieces(usize::MAX, [body]).unwrap()
}

fn data(texts: &[&str]) -> Vec<Event> {
    texts.iter().map(|text| event("", text)).collect()
}

fn event(name: &str, data: &str) -> Event {
    (name.to_owned(), Some(data.into()))
}

/// Reference decoder in the simplest form: takes the whole body, line by line.
fn naive(body: &[u8]) -> Vec<Event> {
    let body = body.strip_prefix(BOM).unwrap_or(body);
    let mut lines: Vec<Vec<u8>> = vec![Vec::new()];
    let mut bytes = body.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\r' => {
                bytes.next_if_eq(&b'\n');
                lines.push(Vec::new());
            }
            b'\n' => lines.push(Vec::new()),
            byte => lines.last_mut().unwrap().push(byte),
        }
    }
    lines.push(Vec::new());
    let mut events = Vec::new();
    let mut name: Vec<u8> = Vec::new();
    let mut event: Option<Vec<u8>> = None;
    for line in lines {
        let value = |field: &str| {
            let rest = line.strip_prefix(field.as_bytes())?;
            let value = rest.strip_prefix(b":").or(rest.is_empty().then_some(&[]))?;
            Some(value.strip_prefix(b" ").unwrap_or(value))
        };
        if line.is_empty() {
            let name = String::from_utf8(std::mem::take(&mut name)).unwrap_or_default();
            if let Some(data) = event.take() {
                let data = String::from_utf8(data).ok().map(Into::into);
                events.push((name, data));
            }
        } else if let Some(value) = value("event") {
            name = value.to_vec();
        } else if let Some(value) = value("data") {
            match &mut event {
                Some(data) => {
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
                None => event = Some(value.to_vec()),
            }
        }
    }
    events
}

/// Bodies that servers send, valid and invalid.
const BODIES: &[&[u8]] = &[
    b"event: a\ndata: {\"x\":1}\n\n",
    b"event: a\nevent: b\ndata: 1\nevent:c\r\ndata: 2\n\ndata: 3\n\n",
    b"event\ndata: 1\n\neventual: x\ndata: 2\n\nevent: \xff\ndata: 3\n\n",
    b"data: 1\nevent: named at the end",
    b"data: 1\r\n\r\ndata: 2\r\rdata: 3\n\n",
    b"\xef\xbb\xbfdata: bom\n\n",
    b"\xef\xbb\xbf\r\ndata: \xef\xbb\xbf\n\n",
    b"data: {\ndata:  \"a\": 1\ndata\ndata:}\n\n",
    b": comment\n:\ndata: x\n: between\ndata: y\nid: 7\nretry: 3\n\n",
    b"database: no\nda: no\ndata : no\ndata: yes\n\n",
    b"event: named-only\n\ndata: a\n\n\n\ndata: b\n\n",
    b"data: no blank line",
    b"data: no blank line\r",
    b"data: \xff\xfe\n\ndata: fine\n\n",
    "data: Grüße \u{1F600}\u{2028}\u{85}\n\n".as_bytes(),
    b"data: [DONE]\n\ndata: after\n\n",
    b"\r\n\r\n\n\rdata:\r\n\r\n",
    b"data:  two spaces\n\n",
    b"",
    b"\xef\xbb",
];

#[test]
fn c081_events_are_those_of_the_standard() {
    assert_eq!(decode(BODIES[0]), [event("a", "{\"x\":1}")]);
    assert_eq!(decode(BODIES[4]), data(&["1", "2", "3"]));
    assert_eq!(decode(BODIES[5]), data(&["bom"]));
    assert_eq!(decode(BODIES[6]), data(&["\u{feff}"]));
    assert_eq!(decode(BODIES[7]), data(&["{\n \"a\": 1\n\n}"]));
    assert_eq!(decode(BODIES[8]), data(&["x\ny"]));
    assert_eq!(decode(BODIES[9]), data(&["yes"]));
    assert_eq!(decode(BODIES[10]), data(&["a", "b"]));
    assert_eq!(decode(BODIES[11]), data(&["no blank line"]));
    assert_eq!(decode(BODIES[13]), [(String::new(), None), event("", "fine")]);
    assert_eq!(decode(BODIES[17]), data(&[" two spaces"]));
}

#[test]
fn c127_an_event_has_the_name_of_its_last_event_line() {
    assert_eq!(decode(BODIES[1]), [event("c", "1\n2"), event("", "3")]);
    assert_eq!(decode(BODIES[2]), data(&["1", "2", "3"]));
    assert_eq!(decode(BODIES[3]), [event("named at the end", "1")]);
}

#[test]
fn c081_every_split_gives_the_same_events() {
    for body in BODIES {
        let whole = naive(body);
        assert_eq!(decode(body), whole);
        assert_eq!(decode_pieces(usize::MAX, body.chunks(1)).unwrap(), whole, "{body:?}");
        for at in 0..=body.len() {
            let (a, b) = body.split_at(at);
            assert_eq!(decode_pieces(usize::MAX, [a, b]).unwrap(), whole, "{body:?} at {at}");
        }
    }
}

#[test]
fn c081_the_limit_holds_for_lines_and_for_events() {
    let event = |size: usize| format!("data: {}\n\n", "x".repeat(size)).into_bytes();
    assert!(decode_pieces(100, event(94).chunks(7)).is_ok());
    assert_eq!(decode_pieces(100, event(101).chunks(7)), Err(TooLong));
    assert_eq!(decode_pieces(100, [&*event(101)]), Err(TooLong));
    let lines = "data: 0123456789\n".repeat(12);
    assert_eq!(decode_pieces(100, [lines.as_bytes()]), Err(TooLong));
    assert_eq!(decode_pieces(100, [&[b':'; 101][..]]), Err(TooLong), "a comment without an end");
    assert!(
        decode_pieces(100, event(60).chunks(9).cycle().take(70)).is_ok(),
        "it is for each event"
    );
}

#[test]
fn the_limit_counts_the_line_feeds_that_join_data_lines() {
    for (body, size) in [
        (&b"data: ab\ndata: cd\n\n"[..], 5),
        (b"data\ndata\n\n", 1),
        (b"data: a\ndata\ndata: b\n\n", 4),
    ] {
        let mut decoder = Decoder::new(size);
        decoder.push(Bytes::from_static(body));
        let event = decoder.next_event().unwrap().unwrap();
        assert_eq!(event.data.map(|data| data.len()), Some(size));
        let mut decoder = Decoder::new(size - 1);
        decoder.push(Bytes::from_static(body));
        assert_eq!(decoder.next_event(), Err(TooLong), "{body:?}");
    }
}

#[test]
fn a_name_is_held_within_the_limit() {
    let mut decoder = Decoder::new(100);
    decoder.push(format!("event: {}\n", "x".repeat(101)).into());
    assert_eq!(decoder.next_event(), Err(TooLong));
}

#[test]
fn c081_an_event_of_65_mib_in_small_pieces_is_linear() {
    // Quadratic time would take minutes here.
    let size = 65 << 20;
    let piece = Bytes::from(vec![b'x'; 1448]);
    let mut decoder = Decoder::new(128 << 20);
    decoder.push(Bytes::from_static(b"data: "));
    for _ in 0..size / piece.len() {
        decoder.push(piece.clone());
        assert_eq!(decoder.next_event(), Ok(None));
    }
    decoder.push(Bytes::from_static(b"\n\n"));
    let data = decoder.next_event().unwrap().unwrap().data.unwrap();
    assert_eq!(data.len(), size / piece.len() * piece.len());
    assert_eq!(decoder.buffered(), 0);
}

#[test]
fn an_event_inside_one_piece_is_not_copied() {
    let body = Bytes::from_static(b"event: name\ndata: one\n\ndata: two\n\n");
    let mut decoder = Decoder::new(1000);
    decoder.push(body.clone());
    let one = decoder.next_event().unwrap().unwrap();
    assert!(body.as_ptr_range().contains(&one.data.unwrap().as_ptr()));
    assert!(body.as_ptr_range().contains(&one.name.as_ptr()));
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        4 => Just(b"data: ".to_vec()),
        1 => Just(b"data".to_vec()),
        1 => Just(b"data:".to_vec()),
        1 => Just(b"event: x".to_vec()),
        1 => Just(b"event".to_vec()),
        1 => Just(b": ".to_vec()),
        1 => Just(BOM.to_vec()),
        4 => Just(b"\n".to_vec()),
        2 => Just(b"\r".to_vec()),
        2 => Just(b"\r\n".to_vec()),
        2 => "[a-zé{}\" ]{0,5}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(token, 0..40).prop_map(|tokens| tokens.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn c081_it_agrees_with_the_naive_decoder(body in body(), cuts in prop::collection::vec(0..200usize, 0..6)) {
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(body.len())).collect();
        cuts.extend([0, body.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|pair| &body[pair[0]..pair[1]]);
        prop_assert_eq!(decode_pieces(usize::MAX, pieces).unwrap(), naive(&body));
    }

    #[test]
    fn no_event_is_larger_than_the_limit(body in body(), limit in 0..12usize, size in 1..20usize) {
        for pieces in [body.chunks(size), body.chunks(usize::MAX)] {
            let mut decoder = Decoder::new(limit);
            let mut events = Vec::new();
            for piece in pieces {
                decoder.push(Bytes::copy_from_slice(piece));
                while let Ok(Some(event)) = decoder.next_event() {
                    events.push(owned(event));
                }
            }
            events.extend(decoder.finish().unwrap_or_default().map(owned));
            prop_assert!(events.iter().flat_map(|(_, data)| data).all(|data| data.len() <= limit));
        }
    }

    /// Compares the decoder with that crate, where the crate follows the standard.
    #[test]
    fn it_agrees_with_eventsource_stream(texts in prop::collection::vec("[a-zé{}\":, ]{1,20}", 0..8), size in 1..20usize) {
        let body: String = texts.iter().map(|text| format!("event: message\ndata: {text}\n\n")).collect();
        let pieces = body.as_bytes().chunks(size).map(|piece| Ok::<_, std::io::Error>(piece.to_vec()));
        let theirs = eventsource_stream::EventStream::new(futures_util::stream::iter(pieces));
        let theirs: Vec<_> = futures_util::FutureExt::now_or_never(theirs.map(|e| e.unwrap()).map(|e| event(&e.event, &e.data)).collect()).unwrap();
        prop_assert_eq!(decode(body.as_bytes()), theirs);
    }
}
