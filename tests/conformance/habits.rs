//! A transcript settles to the same items (C122 to C126), whichever known habits the server has.

use proptest::prelude::*;
use responses_client::{Item, internal::Turn};
use serde_json::{Value, json};

/// How a server tells a response.
#[derive(Clone, Copy, Debug)]
struct Habits {
    indices: Indices,
    ids: Ids,
    /// `output_item.added` and `output_item.done` are sent; reasoning always has the latter.
    announces: bool,
    finishes: bool,
    terminal: Terminal,
    terminal_ids: TerminalIds,
    /// The terminal event has other call ids.
    changes_call_ids: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Indices {
    FromZero,
    FromOne,
    /// Every item has index 0.
    Same,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ids {
    Right,
    None,
    Empty,
    /// Every event has another one.
    Rotating,
    /// The terminal event has other ones.
    Temporary,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Terminal {
    Full,
    Empty,
    Null,
    WithoutReasoning,
    LastItem,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TerminalIds {
    Right,
    None,
    New,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Reasoning,
    Message,
    Call { plain: bool },
    CustomCall,
}

fn kinds() -> impl Strategy<Value = Vec<Kind>> {
    let kind = prop_oneof![
        Just(Kind::Reasoning),
        Just(Kind::Message),
        any::<bool>().prop_map(|plain| Kind::Call { plain }),
        Just(Kind::CustomCall),
    ];
    prop::collection::vec(kind, 1..6)
}

fn habits() -> impl Strategy<Value = Habits> {
    let indices = prop_oneof![
        3 => Just(Indices::FromZero),
        1 => Just(Indices::FromOne),
        1 => Just(Indices::Same),
    ];
    let ids = prop_oneof![
        2 => Just(Ids::Right),
        1 => Just(Ids::None),
        1 => Just(Ids::Empty),
        1 => Just(Ids::Rotating),
        1 => Just(Ids::Temporary),
    ];
    let terminal = prop_oneof![
        2 => Just(Terminal::Full),
        1 => Just(Terminal::Empty),
        1 => Just(Terminal::Null),
        1 => Just(Terminal::WithoutReasoning),
        1 => Just(Terminal::LastItem),
    ];
    let terminal_ids = prop_oneof![
        2 => Just(TerminalIds::Right),
        1 => Just(TerminalIds::None),
        1 => Just(TerminalIds::New),
    ];
    let often = || prop::bool::weighted(0.9);
    (indices, ids, often(), often(), terminal, terminal_ids, prop::bool::weighted(0.1)).prop_map(
        |(indices, ids, announces, finishes, terminal, terminal_ids, changes_call_ids)| Habits {
            indices,
            ids,
            announces,
            finishes,
            terminal,
            terminal_ids,
            changes_call_ids,
        },
    )
}

fn item(kind: Kind, n: usize) -> Value {
    match kind {
        Kind::Reasoning => json!({ "type": "reasoning", "id": format!("rs_{n}"),
            "summary": [{ "type": "summary_text", "text": format!("s{n}") }],
            "encrypted_content": format!("E{n}") }),
        Kind::Message => json!({ "type": "message", "id": format!("msg_{n}"), "role": "assistant",
            "content": [{ "type": "output_text", "text": format!("text {n}"),
                "annotations": [] }] }),
        // Calls with equal arguments are told apart by their place alone.
        Kind::Call { plain } => json!({ "type": "function_call", "id": format!("fc_{n}"),
            "call_id": format!("call_{n}"), "name": "f",
            "arguments": format!("{{\"i\": {}}}", if plain { 0 } else { n }) }),
        Kind::CustomCall => json!({ "type": "custom_tool_call", "id": format!("ctc_{n}"),
            "call_id": format!("call_{n}"), "name": "g", "input": format!("in {n}") }),
    }
}

/// Gives out the ids of events.
struct Names {
    ids: Ids,
    count: usize,
}

impl Names {
    fn of(&mut self, item: &Value) -> Option<Value> {
        self.count += 1;
        match self.ids {
            Ids::Right => Some(item["id"].clone()),
            Ids::None => None,
            Ids::Empty => Some("".into()),
            Ids::Rotating => Some(format!("rotating_{}", self.count).into()),
            Ids::Temporary => Some(format!("tmp_{}", item["id"]).into()),
        }
    }

    /// The item under its next id.
    fn renamed(&mut self, item: &Value) -> Value {
        with(item, "id", self.of(item))
    }
}

fn with(item: &Value, member: &str, value: Option<Value>) -> Value {
    let mut item = item.clone();
    let members = item.as_object_mut().expect("an object");
    match value {
        Some(value) => _ = members.insert(member.to_owned(), value),
        None => _ = members.remove(member),
    }
    item
}

/// The events of a response of these items.
fn events(items: &[Value], habits: Habits) -> Vec<Value> {
    let mut names = Names { ids: habits.ids, count: 0 };
    let mut events = vec![json!({ "type": "response.created", "response": { "id": "resp_1" } })];
    for (place, item) in items.iter().enumerate() {
        let index = match habits.indices {
            Indices::FromZero => place,
            Indices::FromOne => place + 1,
            Indices::Same => 0,
        };
        let mut tell = |kind: &str, member: &str, value: Value| {
            let event = json!({ "type": format!("response.{kind}"), "output_index": index });
            let event = with(&event, "item_id", names.of(item));
            events.push(with(&event, member, Some(value)));
        };
        let kind = item["type"].as_str().expect("a type");
        if habits.announces {
            let emptied: &[(&str, Value)] = match kind {
                "message" => &[("content", json!([]))],
                "reasoning" => &[("summary", json!([])), ("encrypted_content", json!(""))],
                "function_call" => &[("arguments", json!(""))],
                _ => &[("input", json!(""))],
            };
            let begun = emptied.iter().fold(item.clone(), |item, (member, empty)| {
                with(&item, member, Some(empty.clone()))
            });
            tell("output_item.added", "item", begun);
        }
        match kind {
            "message" => {
                let text = item["content"][0]["text"].as_str().expect("a text");
                tell("output_text.delta", "delta", text[..3].into());
                tell("output_text.delta", "delta", text[3..].into());
            }
            "function_call" => {
                tell("function_call_arguments.delta", "delta", item["arguments"].clone());
                tell("function_call_arguments.done", "arguments", item["arguments"].clone());
            }
            "custom_tool_call" => {
                tell("custom_tool_call_input.delta", "delta", item["input"].clone());
                tell("custom_tool_call_input.done", "input", item["input"].clone());
            }
            _ => {}
        }
        if habits.finishes || kind == "reasoning" {
            tell("output_item.done", "item", item.clone());
        }
    }
    for event in &mut events {
        if !event["item"].is_null() {
            event["item"] = names.renamed(&event["item"]);
        }
    }
    let output = terminal(items, habits);
    let response = json!({ "id": "resp_1", "status": "completed", "output": output });
    events.push(json!({ "type": "response.completed", "response": response }));
    events
}

fn terminal(items: &[Value], habits: Habits) -> Value {
    let told = items.iter().enumerate().map(|(place, item)| {
        let item = match habits.terminal_ids {
            TerminalIds::Right => item.clone(),
            TerminalIds::None => with(item, "id", None),
            TerminalIds::New => with(item, "id", Some(format!("T{place}").into())),
        };
        match item["call_id"].as_str() {
            Some(call_id) if habits.changes_call_ids => {
                with(&item, "call_id", Some(format!("new_{call_id}").into()))
            }
            _ => item,
        }
    });
    let told: Vec<Value> = told.collect();
    match habits.terminal {
        Terminal::Full => told.into(),
        Terminal::Empty => json!([]),
        Terminal::Null => Value::Null,
        Terminal::WithoutReasoning => {
            told.into_iter().filter(|item| item["type"] != "reasoning").collect()
        }
        Terminal::LastItem => told.last().cloned().into_iter().collect(),
    }
}

/// What a response consists of, without what servers change.
fn content(item: &Value) -> Value {
    let item = with(item, "id", None);
    with(&with(&item, "call_id", None), "status", None)
}

fn settled(events: &[Value]) -> Vec<Value> {
    let mut turn = Turn::new();
    for event in events {
        turn.push(event.to_string().into()).expect("a good event");
    }
    let items: Vec<Item> = turn.response().output_items().collect();
    items.iter().map(|item| item.json().decode().expect("JSON")).collect()
}

/// Returns `true` if no event tells the name and the `call_id` of some call: nobody can run it.
fn is_told_too_little(kinds: &[Kind], habits: Habits) -> bool {
    let is_call = |kind: &Kind| matches!(kind, Kind::Call { .. } | Kind::CustomCall);
    let untold = match habits.terminal {
        Terminal::Full | Terminal::WithoutReasoning => &[],
        Terminal::Empty | Terminal::Null => kinds,
        Terminal::LastItem => kinds.split_last().map_or(kinds, |(_, others)| others),
    };
    !habits.announces && !habits.finishes && untold.iter().any(is_call)
}

/// Returns `true` if no event tells where a message ends and the next one begins.
///
/// The next message's deltas have the index and the type of the message that is still open. Their
/// ids do not decide, because some servers send another id with every event of one item. Only a
/// terminal event with both messages separates them.
fn runs_messages_together(kinds: &[Kind], habits: Habits) -> bool {
    let are_untold =
        matches!(habits.terminal, Terminal::Empty | Terminal::Null | Terminal::LastItem);
    let is_index_shared = habits.indices == Indices::Same;
    let is_delta_only = !habits.announces && !habits.finishes;
    let are_neighbours = kinds.windows(2).any(|pair| pair == [Kind::Message, Kind::Message]);
    are_untold && is_index_shared && is_delta_only && are_neighbours
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(2000)
    })]

    #[test]
    fn c125_whatever_the_habits_the_items_are_the_same(kinds in kinds(), habits in habits()) {
        prop_assume!(!is_told_too_little(&kinds, habits));
        prop_assume!(!runs_messages_together(&kinds, habits));
        let items: Vec<Value> =
            kinds.iter().enumerate().map(|(place, kind)| item(*kind, place)).collect();
        let events = events(&items, habits);
        let got: Vec<Value> = settled(&events).iter().map(content).collect();
        let wanted: Vec<Value> = items.iter().map(content).collect();
        prop_assert_eq!(got, wanted, "{:#?}", events);
    }
}
