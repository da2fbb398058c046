use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use proptest::prelude::*;
use tokio::io::{AsyncRead, ReadBuf};
use tokio_tungstenite::tungstenite::{self, protocol::frame::Frame};

use super::{
    inbound::{Inflating, Message},
    inflate::{InflateError, Inflater},
    outbound::Outbound,
};
use crate::proto::deflate::Direction;

/// Bytes that arrive in these pieces, and then nothing more.
struct Pieces(Vec<Vec<u8>>);

impl AsyncRead for Pieces {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let pieces = &mut self.get_mut().0;
        if pieces.is_empty() {
            return Poll::Pending;
        }
        let length = pieces[0].len().min(buf.remaining());
        buf.put_slice(&pieces[0][..length]);
        pieces[0].drain(..length);
        pieces.retain(|piece| !piece.is_empty());
        Poll::Ready(Ok(()))
    }
}

/// Notes that there is more to do.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Output of a connection: messages, and the bytes for tungstenite between them.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    messages: Vec<(usize, String)>,
    passed: Vec<u8>,
    failure: Option<String>,
}

fn read(pieces: Vec<Vec<u8>>, direction: Direction, limit: usize, room: usize) -> Seen {
    let mut seen = Seen::default();
    let pieces = pieces.into_iter().filter(|piece| !piece.is_empty()).collect();
    let mut link = Inflating::new(Pieces(pieces));
    link.inflate(direction, limit);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut cx = Context::from_waker(&waker);
    // Each piece of a message takes at most this many polls.
    for _ in 0..100_000 {
        let mut bytes = vec![0; room];
        let mut buf = ReadBuf::new(&mut bytes);
        match Pin::new(&mut link).poll_read(&mut cx, &mut buf) {
            Poll::Ready(Ok(())) => seen.passed.extend(buf.filled()),
            Poll::Ready(Err(error)) => {
                seen.failure = Some(error.to_string());
                return seen;
            }
            Poll::Pending => match link.take_message() {
                Some(Message::Text(text)) => {
                    let text = String::from_utf8_lossy(&text).into_owned();
                    seen.messages.push((seen.passed.len(), text));
                }
                Some(Message::Binary) => {
                    seen.messages.push((seen.passed.len(), "binary".to_owned()));
                }
                None if woken.0.swap(false, Ordering::Relaxed) => {}
                None => return seen,
            },
        }
    }
    panic!("reading does not end");
}

fn whole(bytes: &[u8]) -> Seen {
    read(vec![bytes.to_vec()], Direction::default(), 1 << 20, 4096)
}

/// Returns the frames of a message as they are sent.
fn sent(outbound: &mut Outbound, message: &str) -> Vec<Frame> {
    outbound.begin(message.to_owned());
    std::iter::from_fn(|| outbound.next_frame())
        .map(|message| match message {
            tungstenite::Message::Frame(frame) => frame,
            other => panic!("not a frame: {other:?}"),
        })
        .collect()
}

fn bytes(frames: &[Frame]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for frame in frames {
        frame.clone().format(&mut bytes).unwrap();
    }
    bytes
}

/// Returns a text without long repetitions.
fn varied(seed: u64, length: usize) -> String {
    let mut random = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(|| random.alphanumeric()).take(length).collect()
}

// The examples of RFC 7692 §7.2.3.

#[test]
fn c302_the_examples_of_the_standard_are_read() {
    let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let one = [&[0xc1, 0x07][..], &hello].concat();
    assert_eq!(whole(&one).messages, [(0, "Hello".to_owned())]);
    let two = [&[0x41, 0x03][..], &hello[..3], &[0x80, 0x04], &hello[3..]].concat();
    assert_eq!(whole(&two).messages, [(0, "Hello".to_owned())]);
    // The second message refers to the first one.
    let shared = [&one[..], &[0xc1, 0x05, 0xf2, 0x00, 0x11, 0x00, 0x00]].concat();
    assert_eq!(whole(&shared).messages, [(0, "Hello".to_owned()), (0, "Hello".to_owned())]);
    let stored = [0xc1, 0x0b, 0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
    assert_eq!(whole(&stored).messages, [(0, "Hello".to_owned())]);
    // A block that is marked as the last one, twice; the second refers to the first.
    let last = [0xc1, 0x08, 0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
    let again = [&last[..], &last].concat();
    assert_eq!(whole(&again).messages.len(), 2);
    // Two blocks in one message.
    let blocks =
        [0xc1, 0x0d, 0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00];
    assert_eq!(whole(&blocks).messages, [(0, "Hello".to_owned())]);
}

#[test]
fn c302_the_examples_of_the_standard_are_written() {
    let hello = [0xc1, 0x07, 0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let mut outbound = Outbound::new(Direction::default()).unwrap();
    assert_eq!(bytes(&sent(&mut outbound, "Hello")), hello);
    let direction = Direction { context_takeover: false, ..Direction::default() };
    let mut outbound = Outbound::new(direction).unwrap();
    for _ in 0..2 {
        assert_eq!(bytes(&sent(&mut outbound, "Hello")), hello);
    }
    // An empty message has a payload, also as the second one.
    for _ in 0..2 {
        assert_eq!(bytes(&sent(&mut outbound, "")), [0xc1, 0x01, 0x00]);
    }
}

#[test]
fn c302_the_compressor_keeps_to_its_window() {
    let text = varied(1, 1000);
    for (window_bits, repeats_cost_little) in [(9, false), (10, false), (12, true), (15, true)] {
        let mut outbound =
            Outbound::new(Direction { window_bits, context_takeover: true }).unwrap();
        let first = bytes(&sent(&mut outbound, &text)).len();
        let second = bytes(&sent(&mut outbound, &text)).len();
        assert_eq!(second < first / 10, repeats_cost_little, "{window_bits}: {first}, {second}");
    }
    assert!(Outbound::new(Direction { window_bits: 8, context_takeover: true }).is_none());
}

#[test]
fn c302_a_long_message_becomes_several_frames_of_one_message() {
    let mut outbound = Outbound::new(Direction::default()).unwrap();
    let text = varied(2, 300_000);
    let frames = sent(&mut outbound, &text);
    assert!(frames.len() >= 4, "{}", frames.len());
    let marked = frames.iter().filter(|frame| frame.header().rsv1).count();
    let last = frames.iter().filter(|frame| frame.header().is_final).count();
    assert_eq!((marked, last), (1, 1));
    assert!(frames[0].header().rsv1 && frames[frames.len() - 1].header().is_final);
    assert_eq!(whole(&bytes(&frames)).messages, [(0, text)]);
}

#[test]
fn c302_other_frames_are_left_to_tungstenite() {
    let hello = [0xc1, 0x07, 0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let (ping, plain): ([u8; 3], [u8; 4]) = ([0x89, 0x01, 0x70], [0x81, 0x02, b'{', b'}']);
    // An uncompressed message, in two fragments around a ping, and a compressed one.
    let around = [&[0x01, 0x01, b'{'][..], &ping, &[0x80, 0x01, b'}'], &hello, &plain].concat();
    let seen = whole(&around);
    assert_eq!(seen.messages, [(9, "Hello".to_owned())]);
    assert_eq!(seen.passed, [&around[..9], &plain].concat());
    // A ping between the fragments of a compressed message comes first.
    let within = [&[0x41, 0x03][..], &hello[2..5], &ping, &[0x80, 0x04], &hello[5..]].concat();
    let seen = whole(&within);
    assert_eq!((seen.messages, seen.passed), (vec![(3, "Hello".to_owned())], ping.to_vec()));
    // Lengths in more bytes than they need, with compression and without.
    let long = [
        &[0xc1, 0x7e, 0x00, 0x07][..],
        &hello[2..],
        &[0x81, 0x7f, 0, 0, 0, 0, 0, 0, 0, 2, b'{', b'}'],
        &hello,
    ];
    let seen = whole(&long.concat());
    assert_eq!(seen.messages, [(0, "Hello".to_owned()), (12, "Hello".to_owned())]);
    assert_eq!(seen.passed, long[2]);
    for refused in [
        // A control frame or a continuation that is marked as compressed, other reserved bits, a
        // masked frame, and an unknown opcode.
        &[0xc9, 0x00][..],
        &[0xc0, 0x00],
        &[0xe1, 0x00],
        &[0xc1, 0x80, 1, 2, 3, 4],
        &[0xc3, 0x00],
    ] {
        let seen = whole(refused);
        assert_eq!((seen.passed, seen.failure), (refused.to_vec(), None));
    }
}

#[test]
fn c303_invalid_data_ends_the_connection_after_what_came_before() {
    let plain = [0x81, 0x02, b'{', b'}'];
    for (broken, reason) in [
        (&[0xc1, 0x02, 0xff, 0xff][..], InflateError::Invalid),
        // It refers to more than there is.
        (&[0xc1, 0x05, 0xf2, 0x00, 0x11, 0x00, 0x00], InflateError::Invalid),
        (&[0x41, 0x00, 0xc1, 0x00], InflateError::Interrupted),
        (&[0x41, 0x00, 0x81, 0x00], InflateError::Interrupted),
    ] {
        let seen = whole(&[&plain[..], broken].concat());
        assert_eq!(seen.passed, plain);
        assert_eq!(seen.failure, Some(reason.to_string()), "{broken:?}");
    }
}

/// The frames of a message that becomes a thousand times as large.
fn bomb(size: usize) -> Vec<Frame> {
    let mut outbound = Outbound::new(Direction::default()).unwrap();
    sent(&mut outbound, &"0".repeat(size))
}

#[test]
fn c303_a_message_may_have_the_limit_and_not_a_byte_more() {
    let limit = 100_000;
    let read = |size| read(vec![bytes(&bomb(size))], Direction::default(), limit, 4096);
    assert_eq!(read(limit).messages.len(), 1);
    let seen = read(limit + 1);
    assert_eq!((seen.messages.len(), seen.failure), (0, Some(InflateError::TooLarge.to_string())));
    assert!(read(100 * limit).failure.is_some());
}

#[test]
fn c303_no_more_than_the_limit_is_inflated() {
    let mut inflater = Inflater::new(Direction::default(), 100_000);
    let bomb: Vec<u8> = bomb(5_000_000).iter().flat_map(|it| it.payload().to_vec()).collect();
    let mut most = 0;
    let mut result = Ok(());
    for byte in bomb.chunks(64) {
        result = inflater.push(byte);
        most = most.max(inflater.allocated());
        if result.is_err() {
            break;
        }
    }
    assert_eq!(result, Err(InflateError::TooLarge));
    assert!(most <= 100_000, "{most}");
    assert_eq!(inflater.allocated(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn c302_messages_arrive_however_they_are_cut(
        messages in prop::collection::vec(("[ -~]{0,80}", 1_usize..300, any::<bool>()), 1..8),
        cuts in prop::collection::vec(1_usize..200, 1..20),
        room in 1_usize..5000,
        context_takeover in any::<bool>(),
    ) {
        let direction = Direction { context_takeover, ..Direction::default() };
        let mut outbound = Outbound::new(direction).unwrap();
        let (mut stream, mut expected) = (Vec::new(), Seen::default());
        for (text, times, is_plain) in messages {
            let text = text.repeat(times);
            if is_plain {
                let mut frame = Frame::message(text, tungstenite::protocol::frame::coding::OpCode::from(1), true);
                frame.header_mut().mask = None;
                let plain = bytes(&[frame]);
                stream.extend(&plain);
                expected.passed.extend(&plain);
            } else {
                stream.extend(bytes(&sent(&mut outbound, &text)));
                expected.messages.push((expected.passed.len(), text));
            }
        }
        let mut pieces = Vec::new();
        let mut cuts = cuts.iter().cycle();
        while !stream.is_empty() {
            let rest = stream.split_off((*cuts.next().unwrap()).min(stream.len()));
            pieces.push(std::mem::replace(&mut stream, rest));
        }
        prop_assert_eq!(read(pieces, direction, 1 << 20, room), expected);
    }

    #[test]
    fn c303_no_bytes_make_it_panic_or_exceed_the_limit(
        mut frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..20),
        raw in any::<bool>(),
    ) {
        if !raw {
            for frame in &mut frames {
                let header = [[0xc1, 0x41, 0x80, 0x00][frame.len() % 4], u8::try_from(frame.len()).unwrap()];
                frame.splice(0..0, header);
            }
        }
        let seen = read(frames, Direction::default(), 1000, 64);
        prop_assert!(seen.messages.iter().all(|(_, text)| text.chars().count() <= 1000));
    }
}
