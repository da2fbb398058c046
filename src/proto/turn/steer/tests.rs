use super::*;
use crate::proto::{
    lane::messages::OpenMessages,
    wire::{Wire, responses::Responses},
};

fn frame(payload: &str) -> Frame {
    Responses.classify("", payload.into())
}

fn answer(verdict: &str, id: &str) -> Frame {
    let error = r#""error":{"code":"response_not_active","message":"no"}"#;
    let required = r#""required_input":[{"type":"function_call_output","call_id":"c"}]"#;
    let steer = format!(r#""steer":{{"id":"{id}","previous_response_id":"r"}}"#);
    frame(&format!(r#"{{"type":"response.steer.{verdict}",{steer},{error},{required}}}"#))
}

fn terminal() -> Frame {
    frame(r#"{"type":"response.incomplete","response":{"id":"r"}}"#)
}

fn created() -> Frame {
    frame(r#"{"type":"response.created","response":{"id":"next"}}"#)
}

fn input(text: &str) -> History {
    History::from(text)
}

/// Returns the last state of each steer, as `Debug` shows it.
fn states(steers: &mut Steers) -> Vec<String> {
    let mut states: Vec<(u32, String)> = Vec::new();
    while let Some((number, state)) = steers.poll_update() {
        states.retain(|(known, _)| *known != number.number);
        let name = format!("{state:?}");
        states.push((number.number, name.split_whitespace().next().unwrap().to_owned()));
    }
    states.sort();
    states.into_iter().map(|(_, state)| state).collect()
}

/// Event of a turn with two steers.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Event {
    /// The message of this steer was sent.
    Sent(usize),
    /// The server answers this steer.
    Answer(usize),
    /// The first response ends.
    End,
    /// The server settles the steers that it accepted.
    Settle,
}

/// All orders of the events in which a steer is sent before its answer, the answers are in the order
/// of the steers, and the accepted steers are settled last.
fn orders() -> Vec<Vec<Event>> {
    let events = [
        Event::Sent(0),
        Event::Sent(1),
        Event::Answer(0),
        Event::Answer(1),
        Event::End,
        Event::Settle,
    ];
    let mut orders = vec![Vec::new()];
    for _ in 0..events.len() {
        let longer = orders.iter().flat_map(|order: &Vec<Event>| {
            let rest = events.iter().filter(|event| !order.contains(event));
            rest.map(|event| order.iter().copied().chain([*event]).collect::<Vec<_>>())
        });
        orders = longer.collect();
    }
    let before = |order: &[Event], a, b| {
        let place = |event| order.iter().position(|it| *it == event).unwrap();
        place(a) < place(b)
    };
    orders.retain(|order| {
        before(order, Event::Sent(0), Event::Answer(0))
            && before(order, Event::Sent(1), Event::Answer(1))
            && before(order, Event::Sent(0), Event::Sent(1))
            && before(order, Event::Answer(0), Event::Answer(1))
            && order.last() == Some(&Event::Settle)
    });
    orders
}

#[test]
fn c165_c167_in_every_order_each_steer_has_its_own_end_and_the_lane_agrees() {
    let orders = orders();
    assert_eq!(orders.len(), 10);
    for order in &orders {
        for [one, two] in [[true, true], [true, false], [false, true], [false, false]] {
            for settled in ["created", "pending", "failed"] {
                let mut accepts = [one, two];
                let (mut steers, mut lane) = (Steers::default(), OpenMessages::default());
                let numbers = ["one", "two"].map(|text| steers.add(input(text)));
                let mut over = 0;
                let mut observe = |steers: &mut Steers, lane: &mut OpenMessages, frame: Frame| {
                    steers.observe(&frame);
                    over += usize::from(lane.observe(&frame));
                    over > 0
                };
                let mut is_over = false;
                let ids = ["a", "b"];
                let (mut items, mut sent) = (Vec::new(), [true; 2]);
                for event in order {
                    match *event {
                        // A lane whose exchange is over sends nothing.
                        Event::Sent(at) if is_over => {
                            steers.sent(numbers[at], false);
                            (accepts[at], sent[at]) = (false, false);
                        }
                        Event::Answer(at) if !sent[at] => {}
                        Event::Sent(at) => {
                            steers.sent(numbers[at], true);
                            lane.sent(MessageKind::Steer, "r");
                        }
                        Event::Answer(at) if accepts[at] => {
                            is_over = observe(&mut steers, &mut lane, answer("accepted", ids[at]));
                        }
                        Event::Answer(_) => {
                            is_over = observe(&mut steers, &mut lane, answer("failed", ""));
                        }
                        Event::End => is_over = observe(&mut steers, &mut lane, terminal()),
                        Event::Settle if settled == "created" && accepts != [false; 2] => {
                            observe(&mut steers, &mut lane, created());
                            items = steers.commit("next");
                        }
                        Event::Settle => {
                            for at in (0..2).filter(|at| accepts[*at]) {
                                observe(&mut steers, &mut lane, answer(settled, ids[at]));
                            }
                        }
                    }
                }
                let name = match settled {
                    "created" => "Committed",
                    "pending" => "Pending",
                    _ => "Failed",
                };
                let expected = accepts.map(|accepts| if accepts { name } else { "Failed" });
                assert_eq!(states(&mut steers), expected, "{order:?} {accepts:?} {settled}");
                assert!(!steers.hold() && !lane.holds(), "{order:?} {accepts:?} {settled}");
                let committed = accepts.iter().filter(|it| **it && settled == "created").count();
                assert_eq!(items.len(), committed, "{order:?}");
                let pending = accepts.iter().filter(|it| **it && settled == "pending").count();
                assert_eq!(steers.pending_items().len(), pending);
                // A lane that the next response has taken over ends with that response.
                assert_eq!(over > 0, committed == 0, "{order:?} {accepts:?} {settled}");
            }
        }
    }
}

#[test]
fn c167_a_steer_that_was_not_sent_has_failed_and_a_lost_one_is_unknown() {
    let mut steers = Steers::default();
    let [one, two, three] = ["one", "two", "three"].map(|text| steers.add(input(text)));
    steers.sent(one, false);
    let (number, state) = steers.poll_update().unwrap();
    let SteerState::Failed { code, input: back, .. } = state else { panic!("{state:?}") };
    assert_eq!((number, code.as_str()), (one, "response_already_completed"));
    assert_eq!(back[0], Item::user("one"));
    steers.sent(two, true);
    steers.observe(&answer("accepted", "b"));
    steers.observe(&answer("accepted", "c"));
    steers.sent(three, true);
    steers.observe(&answer("pending", "c"));
    assert_eq!(states(&mut steers), ["Accepted", "Pending"]);
    assert!(steers.hold() && steers.bind());
    steers.lose();
    assert_eq!(states(&mut steers), ["Unknown"], "the pending one is in the history");
    assert!(!steers.hold() && steers.bind());
    assert_eq!(steers.take_pending().len(), 1);
    assert!(steers.bind(), "a lost steer may have been applied");
}

#[test]
fn c166_a_carried_steer_is_committed_by_the_request_that_has_its_input() {
    let pending = || {
        let mut steers = Steers::default();
        let number = steers.add(input("and then"));
        steers.sent(number, true);
        steers.observe(&answer("accepted", "a"));
        steers.observe(&answer("pending", "a"));
        steers.take_pending()
    };
    let request =
        |text: &str| ResponsesRequest::new("m").input([Item::user("x"), Item::user(text)]);
    for (text, refused, expected) in [
        ("and then", false, "Committed"),
        // The caller has dropped the input.
        ("something else", false, "Unknown"),
        ("and then", true, "Failed"),
    ] {
        let mut steers = Steers::default();
        assert_eq!(steers.carry(pending()).len(), 1);
        assert!(!steers.hold() && !steers.bind(), "the request is repeated with the input");
        if refused {
            steers.observe(&answer("failed", "a"));
        }
        steers.commit_carried("next", &request(text));
        assert_eq!(states(&mut steers), [expected]);
        assert_eq!(steers.have_diverged(), refused);
        steers.commit_carried("later", &request(text));
        assert!(states(&mut steers).is_empty(), "once");
    }
}

#[test]
fn c165_the_number_of_steers_and_of_responses_is_limited() {
    let mut steers = Steers::default();
    for _ in 0..MAX_OPEN {
        assert!(!steers.are_full());
        steers.add(input("x"));
    }
    assert!(steers.are_full());
    steers.lose();
    assert!(!steers.are_full());
    for _ in 0..MAX_OPEN {
        assert!(!steers.are_full());
        steers.commit("next");
    }
    assert!(steers.are_full());
}

#[test]
fn a_state_shows_no_input_and_no_message() {
    let mut steers = Steers::default();
    steers.add(input("canary"));
    let failed = r#"{"type":"response.steer.failed","error":{"code":"sk-canary-canary","message":"canary"},"steer":{"input":"canary"}}"#;
    steers.observe(&frame(failed));
    let (_, state) = steers.poll_update().unwrap();
    let shown = format!("{state:?}");
    assert!(shown.starts_with("Failed") && !shown.contains("canary"), "{shown}");
}
