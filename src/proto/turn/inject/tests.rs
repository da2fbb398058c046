use super::*;
use crate::{
    json::Json,
    proto::{
        lane::messages::OpenMessages,
        wire::{Wire, responses::Responses},
    },
};

fn frame(payload: &str) -> Frame {
    Responses.classify("", payload.into())
}

fn answer(verdict: &str, target: &str) -> Frame {
    let error = r#""error":{"code":"response_already_completed","message":"no"}"#;
    let id =
        if target.is_empty() { String::new() } else { format!(r#""response_id":"{target}","#) };
    frame(&format!(r#"{{"type":"response.inject.{verdict}",{id}{error}}}"#))
}

fn output(text: &str) -> History {
    Item::function_call_output("c", text).into()
}

/// Returns the states since the last call, as `Debug` shows them, with the number of their inject.
fn states(injects: &mut Injects) -> Vec<(u32, String)> {
    let updates = std::iter::from_fn(|| injects.poll_update());
    let name = |state| format!("{state:?}").split_whitespace().next().unwrap().to_owned();
    updates.map(|(message, state)| (message.number, name(state))).collect()
}

#[test]
fn c290_c291_in_every_order_each_inject_has_its_own_answer_and_the_lane_agrees() {
    // Two injects, and the end of the response before, between or after their answers.
    for verdicts in
        [["created", "created"], ["created", "failed"], ["failed", "created"], ["failed", "failed"]]
    {
        for named in ["r", ""] {
            for end in 0..3 {
                let (mut injects, mut lane) = (Injects::default(), OpenMessages::default());
                for text in ["one", "two"] {
                    let message = injects.add("r".to_owned(), output(text));
                    injects.sent(message, true);
                    lane.sent(MessageKind::Inject, "r");
                }
                let mut over = Vec::new();
                let mut committed = Vec::new();
                let mut answers = verdicts.iter().map(|verdict| answer(verdict, named));
                for at in 0..3 {
                    let frame = match at == end {
                        true => frame(r#"{"type":"response.completed","response":{"id":"r"}}"#),
                        false => answers.next().unwrap(),
                    };
                    committed.extend(injects.observe(&frame).into_iter().flat_map(|it| it.items));
                    over.push(lane.observe(&frame));
                }
                assert_eq!(over, [false, false, true], "{verdicts:?} {end}");
                assert!(!injects.hold() && !lane.holds());
                let name =
                    |verdict: &str| if verdict == "created" { "Committed" } else { "Failed" };
                let expected =
                    [(0, name(verdicts[0]).to_owned()), (1, name(verdicts[1]).to_owned())];
                assert_eq!(states(&mut injects), expected);
                let texts = ["one", "two"].into_iter().zip(verdicts);
                let texts = texts.filter(|(_, verdict)| *verdict == "created");
                let items: Vec<Item> =
                    texts.map(|(text, _)| Item::function_call_output("c", text)).collect();
                assert_eq!(committed, items);
                assert_eq!(
                    injects.bind(),
                    !items.is_empty(),
                    "a retry would lose what is committed"
                );
                assert!(!injects.have_diverged());
            }
        }
    }
}

#[test]
fn c291_an_answer_about_another_response_or_to_nothing_changes_nothing() {
    let mut injects = Injects::default();
    assert!(injects.observe(&answer("created", "r")).is_none());
    injects.add("r".to_owned(), output("one"));
    injects.add("s".to_owned(), output("two"));
    assert!(injects.observe(&answer("created", "other")).is_none());
    assert!(injects.observe(&answer("failed", "other")).is_none());
    assert!(states(&mut injects).is_empty());
    // The order counts among the injects of one response.
    assert_eq!(injects.observe(&answer("created", "s")).unwrap().target, "s");
    assert_eq!(states(&mut injects), [(1, "Committed".to_owned())]);
    assert!(injects.hold());
}

#[test]
fn c291_what_was_not_sent_has_failed_and_what_has_no_answer_is_unknown() {
    let mut injects = Injects::default();
    let [one, two, _] = ["one", "two", "three"].map(|it| injects.add("r".to_owned(), output(it)));
    injects.sent(two, false);
    let (message, state) = injects.poll_update().unwrap();
    let InjectState::Failed { code, input, .. } = state else { panic!("{state:?}") };
    assert_eq!((message, code.as_str()), (two, "response_already_completed"));
    assert_eq!(input.get(0), Some(&Item::function_call_output("c", "two")));
    injects.sent(one, true);
    assert!(injects.hold() && injects.bind() && !injects.have_diverged());
    injects.lose();
    let unknown = |number| (number, "Unknown".to_owned());
    assert_eq!(states(&mut injects), [unknown(0), unknown(2)]);
    assert!(!injects.hold() && injects.bind() && injects.have_diverged());
    injects.lose();
    assert!(states(&mut injects).is_empty());
}

#[test]
fn c292_outputs_of_calls_are_taken_and_nothing_else() {
    let valid = |payloads: &[&str]| {
        let items = payloads.iter().map(|it| Item::from_json(Json::parse(*it).unwrap()).unwrap());
        is_valid(&items.collect())
    };
    for kind in [
        "function_call_output",
        "custom_tool_call_output",
        "computer_call_output",
        "shell_call_output",
        "local_shell_call_output",
        "apply_patch_call_output",
        "tool_search_output",
    ] {
        assert!(valid(&[&format!(r#"{{"type":"{kind}","call_id":"c"}}"#)]), "{kind}");
        for call_id in [r#""call_id":"""#, r#""call_id":null"#, r#""id":"c""#] {
            assert!(!valid(&[&format!(r#"{{"type":"{kind}",{call_id}}}"#)]), "{kind} {call_id}");
        }
    }
    let approval = r#"{"type":"mcp_approval_response","approval_request_id":"a","approve":true}"#;
    let output = r#"{"type":"function_call_output","call_id":"c","output":"x"}"#;
    assert!(valid(&[approval, output]));
    for other in [
        r#"{"type":"mcp_approval_response","approve":true}"#,
        r#"{"type":"tool_search_output","call_id":"c","execution":"server"}"#,
        r#"{"type":"program_output","call_id":"c"}"#,
        r#"{"type":"multi_agent_call_output","call_id":"c"}"#,
        r#"{"type":"function_call","call_id":"c"}"#,
        r#"{"role":"user","content":"x"}"#,
    ] {
        assert!(!valid(&[other]) && !valid(&[output, other]), "{other}");
    }
    assert!(!valid(&[]));
}

#[test]
fn c292_the_number_of_injects_without_an_answer_is_limited() {
    let mut injects = Injects::default();
    for _ in 0..MAX_OPEN {
        assert!(!injects.are_full());
        injects.add("r".to_owned(), output("x"));
    }
    assert!(injects.are_full());
    injects.observe(&answer("created", "r"));
    assert!(!injects.are_full());
}

#[test]
fn a_state_shows_no_output_and_no_message() {
    let mut injects = Injects::default();
    injects.add("r".to_owned(), output("canary"));
    let failed = r#"{"type":"response.inject.failed","response_id":"r","error":{"code":"sk-canary-canary","message":"canary"},"input":["canary"]}"#;
    injects.observe(&frame(failed));
    let (_, state) = injects.poll_update().unwrap();
    let shown = format!("{state:?}");
    assert!(shown.starts_with("Failed") && !shown.contains("canary"), "{shown}");
}
