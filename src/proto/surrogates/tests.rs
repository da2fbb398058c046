use proptest::prelude::*;

use super::*;
use crate::proto::wire::{Wire, responses::Responses};

const HIGH: &str = r"\ud83d";
const LOW: &str = r"\ude00";

fn event(payload: &str) -> ResponseEvent {
    let frame = Responses.classify("", payload.into());
    ResponseEvent::decode(frame.tag.kind, frame.payload).unwrap()
}

/// A delta whose type and place are `part`; its text is JSON without quotes.
fn delta(part: &str, text: &str) -> ResponseEvent {
    event(&format!(r#"{{"type":"response.{part},"delta":"{text}"}}"#))
}

fn text(text: &str) -> ResponseEvent {
    delta(r#"output_text.delta""#, text)
}

fn shown(mut event: ResponseEvent) -> String {
    let kind = event.kind().as_str();
    event.delta_mut().map_or_else(|| kind.to_owned(), |(_, text)| text.to_string())
}

/// Returns the events that are handed out after each event.
fn run(joiner: &mut HalfJoiner, event: ResponseEvent) -> Vec<String> {
    let first = joiner.push(event, 100);
    first.into_iter().chain(std::iter::from_fn(|| joiner.pop())).map(shown).collect()
}

/// The kinds of deltas, with what ends each of them and what does not.
const PARTS: [(&str, &[&str], &str); 10] = [
    (
        r#"output_text.delta","output_index":1,"content_index":2"#,
        &[
            r#"output_text.done","output_index":1,"content_index":2"#,
            r#"content_part.done","output_index":1,"content_index":2"#,
        ],
        r#"output_text.done","output_index":1,"content_index":3"#,
    ),
    (
        r#"refusal.delta","output_index":1"#,
        &[r#"refusal.done","output_index":1"#],
        r#"output_text.done","output_index":1"#,
    ),
    (
        r#"function_call_arguments.delta","output_index":1"#,
        &[r#"function_call_arguments.done","output_index":1"#],
        r#"function_call_arguments.done","output_index":0"#,
    ),
    (
        r#"custom_tool_call_input.delta","output_index":1"#,
        &[r#"custom_tool_call_input.done","output_index":1"#],
        r#"output_item.added","output_index":1,"item":{}"#,
    ),
    (
        r#"reasoning_text.delta","output_index":1"#,
        &[
            r#"reasoning_text.done","output_index":1"#,
            r#"reasoning_part.done","output_index":1"#,
            r#"content_part.done","output_index":1"#,
        ],
        r#"reasoning_summary_text.done","output_index":1"#,
    ),
    (
        r#"reasoning.delta","output_index":1"#,
        &[r#"reasoning.done","output_index":1"#],
        r#"reasoning_text.done","output_index":1"#,
    ),
    (
        r#"reasoning_summary_text.delta","output_index":1,"summary_index":4"#,
        &[
            r#"reasoning_summary_text.done","output_index":1,"summary_index":4"#,
            r#"reasoning_summary_part.done","output_index":1,"summary_index":4"#,
        ],
        r#"reasoning_summary_text.done","output_index":1"#,
    ),
    (
        r#"reasoning_summary.delta","output_index":1"#,
        &[r#"reasoning_summary.done","output_index":1"#],
        r#"reasoning_text.done","output_index":1"#,
    ),
    (
        r#"code_interpreter_call_code.delta","output_index":1"#,
        &[r#"code_interpreter_call_code.done","output_index":1"#],
        r#"output_text.done","output_index":1"#,
    ),
    (
        r#"shell_call_command.delta","output_index":1,"command_index":5"#,
        &[r#"shell_call_command.done","output_index":1,"command_index":5"#],
        r#"shell_call_command.done","output_index":1,"command_index":6"#,
    ),
];

fn other(name: &str) -> ResponseEvent {
    let item = if name.starts_with("output_item") { "" } else { r#","item":{}"# };
    event(&format!(r#"{{"type":"response.{name}{item}}}"#))
}

#[test]
fn c121_two_halves_in_two_deltas_of_any_kind_are_one_character_of_the_second() {
    for (part, _, unrelated) in PARTS {
        let mut joiner = HalfJoiner::default();
        assert!(run(&mut joiner, delta(part, &format!("ok {HIGH}"))).is_empty(), "{part}");
        assert!(run(&mut joiner, other(unrelated)).is_empty(), "{part}");
        let handed_out = run(&mut joiner, delta(part, LOW));
        assert_eq!((&*handed_out[0], &*handed_out[2]), ("ok ", "😀"), "{part}");
        assert!(joiner.is_empty());
    }
}

#[test]
fn c121_a_half_shows_a_replacement_once_its_part_has_ended() {
    for (part, ends, _) in PARTS {
        let item_done = r#"output_item.done","output_index":1,"item":{}"#;
        for end in ends.iter().chain([&item_done]) {
            let mut joiner = HalfJoiner::default();
            run(&mut joiner, delta(part, &format!("ok {HIGH}")));
            assert_eq!(run(&mut joiner, other(end))[0], "ok \u{fffd}", "{part} {end}");
            assert!(joiner.is_empty());
        }
    }
}

#[test]
fn c121_a_next_delta_that_does_not_fit_decides_the_half() {
    let mut joiner = HalfJoiner::default();
    run(&mut joiner, text(HIGH));
    assert_eq!(run(&mut joiner, text("x")), ["\u{fffd}", "x"]);
    run(&mut joiner, text(HIGH));
    assert_eq!(run(&mut joiner, text(HIGH)), ["\u{fffd}"]);
    assert_eq!(run(&mut joiner, text(&format!("{LOW}{HIGH}"))), [""]);
    assert!(run(&mut joiner, text("")).is_empty(), "an empty delta says nothing");
    assert_eq!(run(&mut joiner, text(&format!("{LOW}{LOW}"))), ["😀", "", "😀\u{fffd}"]);
    // A second half by itself waits for nothing.
    assert_eq!(run(&mut joiner, text(LOW)), ["\u{fffd}"]);
}

#[test]
fn c121_parts_that_alternate_wait_each_for_their_own() {
    let mut joiner = HalfJoiner::default();
    let parts = [0, 1].map(|index| format!(r#"output_text.delta","content_index":{index}"#));
    assert!(run(&mut joiner, delta(&parts[0], HIGH)).is_empty());
    assert!(run(&mut joiner, delta(&parts[1], &format!("b{HIGH}"))).is_empty());
    assert_eq!(run(&mut joiner, delta(&parts[0], LOW)), [""]);
    assert_eq!(run(&mut joiner, delta(&parts[1], "x")), ["b\u{fffd}", "😀", "x"]);
}

#[test]
fn c121_what_is_held_is_bounded_in_events_and_bytes() {
    let meta = || event(r#"{"type":"keepalive"}"#);
    let mut joiner = HalfJoiner::default();
    run(&mut joiner, text(HIGH));
    for _ in 1..MAX_EVENTS {
        assert!(run(&mut joiner, meta()).is_empty());
    }
    assert_eq!(run(&mut joiner, meta())[0], "\u{fffd}");
    assert!(joiner.is_empty());

    assert_eq!(joiner.push(text(HIGH), MAX_BYTES + 1).map(shown).as_deref(), Some("\u{fffd}"));
    assert!(joiner.push(text(HIGH), MAX_BYTES).is_none());
    assert_eq!(joiner.push(meta(), 1).map(shown).as_deref(), Some("\u{fffd}"));
}

proptest! {
    /// However a text is cut into UTF-16 units, the deltas add up to it, in order, with nothing
    /// lost, and each is handed out as soon as it is decided.
    #[test]
    fn c121_deltas_add_up_to_the_text(whole in "[a😀é\u{10ffff}]{0,12}", cuts in prop::collection::vec(1..4usize, 0..24)) {
        let units: Vec<u16> = whole.encode_utf16().collect();
        let (mut rest, mut joiner, mut handed_out) = (&units[..], HalfJoiner::default(), Vec::new());
        let mut pushed = 0;
        for cut in cuts.into_iter().chain(std::iter::repeat(1)) {
            if rest.is_empty() {
                break;
            }
            let (piece, tail) = rest.split_at(cut.min(rest.len()));
            let escapes: String = piece.iter().map(|unit| format!("\\u{unit:04x}")).collect();
            handed_out.extend(run(&mut joiner, text(&escapes)));
            pushed += 1;
            prop_assert!(pushed - handed_out.len() <= 1);
            rest = tail;
        }
        prop_assert!(joiner.is_empty());
        prop_assert_eq!(handed_out.len(), pushed);
        prop_assert_eq!(handed_out.concat(), whole);
    }
}
