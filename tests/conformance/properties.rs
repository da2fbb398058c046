//! Properties: what differs between two servers, or two networks, and must not make a difference.

use bytes::Bytes;
use proptest::{prelude::*, sample::Index};
use responses_client::{
    Limits, Response,
    event::ResponseEvent,
    internal,
    testing::{Script, ScriptedServer, Step, Turn},
};
use serde_json::{Value, json};
use tokio::runtime::Builder;

use crate::support::fixtures::fixtures;
use crate::support::{BOTH, builder, guarded, only, request, turn};

/// Runs a scenario of a session for one case of a property.
fn on_paused_time<T>(scenario: impl Future<Output = T>) -> T {
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a runtime").block_on(guarded(scenario))
}

/// How a body is written and cut.
#[derive(Clone, Debug)]
struct Framing {
    /// What the lines end with, in turn.
    ends: Vec<&'static str>,
    /// What stands between the lines of an event, in turn.
    noise: Vec<&'static str>,
    named: bool,
    space: bool,
    pretty: bool,
    bom: bool,
    cuts: Vec<Index>,
}

/// Lines that say nothing, and none at all.
const NOISE: [&str; 9] =
    ["", "", ": a comment", ":", ": data: no", "id: 7", "retry: 3000", "datum: no", "event"];

prop_compose! {
    fn framing()(
        ends in prop::collection::vec(prop::sample::select(&["\n", "\r", "\r\n"][..]), 1..7),
        noise in prop::collection::vec(prop::sample::select(&NOISE[..]), 1..9),
        [named, space, pretty, bom] in any::<[bool; 4]>(),
        cuts in prop::collection::vec(any::<Index>(), 0..40),
    ) -> Framing {
        Framing { ends, noise, named, space, pretty, bom, cuts }
    }
}

impl Framing {
    /// The payloads as they are written.
    fn payloads(&self, lines: &[&str]) -> Vec<String> {
        let pretty = |line: &&str| {
            let value: Value = serde_json::from_str(line).expect("JSON");
            serde_json::to_string_pretty(&value).expect("JSON")
        };
        let plain = |line: &&str| (*line).to_owned();
        if self.pretty {
            lines.iter().map(pretty).collect()
        } else {
            lines.iter().map(plain).collect()
        }
    }

    fn body(&self, payloads: &[String]) -> Vec<u8> {
        let (mut ends, mut noise) = (self.ends.iter().cycle(), self.noise.iter().cycle());
        let space = if self.space { " " } else { "" };
        let mut body = if self.bom { "\u{feff}".to_owned() } else { String::new() };
        for payload in payloads {
            let name = self.named.then(|| format!("event:{space}message"));
            let data = payload.split('\n').map(|line| {
                // One space belongs to the framing.
                let space = if line.starts_with(' ') { " " } else { space };
                format!("data:{space}{line}")
            });
            let mut lines = Vec::new();
            for line in name.into_iter().chain(data) {
                let noise = noise.next().expect("without an end");
                lines.extend((!noise.is_empty()).then(|| (*noise).to_owned()));
                lines.push(line);
            }
            lines.push(String::new());
            for line in lines {
                // A CR and an LF are the end of one line.
                let one_end = line.is_empty() && body.ends_with('\r');
                let end = ends.next().expect("without an end");
                body += &line;
                body += if one_end { "\r" } else { end };
            }
        }
        body.into_bytes()
    }

    fn pieces(&self, body: Vec<u8>) -> Vec<Bytes> {
        let mut cuts: Vec<usize> =
            self.cuts.iter().map(|cut| cut.index(body.len() + 1)).chain([0, body.len()]).collect();
        cuts.sort_unstable();
        let body = Bytes::from(body);
        cuts.windows(2).map(|cut| body.slice(cut[0]..cut[1])).collect()
    }
}

/// A seed that fails goes into the report, not into a file.
fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) }
}

proptest! {
    #![proptest_config(cases(192))]

    #[test]
    fn c081_a_transcript_is_the_same_in_every_framing_and_every_split(framing in framing()) {
        for fixture in fixtures() {
            let payloads = framing.payloads(&fixture.lines());
            let pieces = framing.pieces(framing.body(&payloads));
            let mut read = Vec::new();
            internal::sse_events(pieces, usize::MAX, |data| read.push(data.map(str::to_owned)))
                .expect("no limit");
            let expected: Vec<_> = payloads.into_iter().map(Some).collect();
            prop_assert_eq!(read, expected, "{}", fixture.name);
        }
    }
}

proptest! {
    #![proptest_config(cases(12))]

    #[test]
    fn c081_and_so_are_the_events_of_a_session(framing in framing(), pieces in 1..40_usize) {
        for fixture in fixtures() {
            let lines = &fixture.lines()[..=fixture.end()];
            let payloads = framing.payloads(lines);
            let raw = framing.pieces(framing.body(&payloads)).into_iter().map(Step::Raw);
            let fragments =
                payloads.iter().map(|text| Step::Fragmented { text: text.clone(), pieces });
            let [websocket, sse] = BOTH;
            for (transport, steps) in [
                (sse, raw.collect::<Vec<_>>()),
                (sse, fragments.clone().collect()),
                (websocket, fragments.collect()),
            ] {
                let outcome = on_paused_time(async {
                    let server = ScriptedServer::in_memory(Script::new().turn(Turn::steps(steps)));
                    let mut retry = responses_client::RetryPolicy::default();
                    retry.max_attempts = 1;
                    let client = builder(&server).transport(only(transport)).retry(retry);
                    let mut session = client.build().expect("a client").session();
                    turn(&mut session, &request(&["hi"])).await
                });
                let read: Vec<&str> = outcome.events.iter().map(ResponseEvent::raw).collect();
                // The event that fails a response becomes the error.
                let handed_out = payloads.len() - usize::from(outcome.result.is_err());
                prop_assert_eq!(read, &payloads[..handed_out], "{} {}", fixture.name, transport);
                let last: Value = serde_json::from_str(lines[lines.len() - 1]).expect("JSON");
                let ended_well = ["response.completed", "response.incomplete", "response.done"]
                    .contains(&last["type"].as_str().unwrap_or_default());
                prop_assert_eq!(outcome.result.is_ok(), ended_well, "{}", fixture.name);
            }
        }
    }
}

/// An output item, and the events that tell it in their order.
#[derive(Clone, Debug)]
struct Told {
    item: Value,
    events: Vec<Value>,
}

/// An item of one of six kinds, with all of its events.
fn told(kind: usize, place: usize, text: &str) -> Told {
    let id = format!("item_{place}");
    let call_id = format!("call_{place}");
    let arguments = json!({ "text": text }).to_string();
    let part = |kind: &str, member: &str, text: &str| json!({ "type": kind, member: text });
    let mut item = json!({ "id": id, "status": "completed" });
    let members = match kind {
        0 => json!({ "type": "message", "role": "assistant",
            "content": [part("output_text", "text", text)] }),
        1 => json!({ "type": "message", "role": "assistant",
            "content": [part("refusal", "refusal", text)] }),
        2 => json!({ "type": "reasoning", "summary": [part("summary_text", "text", text)],
            "encrypted_content": "gAAAA" }),
        3 => json!({ "type": "function_call", "call_id": call_id, "name": "f",
            "arguments": arguments }),
        4 => json!({ "type": "custom_tool_call", "call_id": call_id, "name": "c", "input": text }),
        _ => json!({ "type": "web_search_call", "action": { "type": "search", "query": text } }),
    };
    merge(&mut item, members);
    let mut skeleton = item.clone();
    skeleton["status"] = "in_progress".into();
    for (member, empty) in [
        ("content", json!([])),
        ("summary", json!([])),
        ("arguments", json!("")),
        ("input", json!("")),
    ] {
        if skeleton.get(member).is_some() {
            skeleton[member] = empty;
        }
    }
    let mut events = vec![json!({ "type": "response.output_item.added", "item": skeleton })];
    let mut event = |kind: &str, members: Value| {
        let mut event = json!({ "type": format!("response.{kind}"), "item_id": id });
        merge(&mut event, members);
        events.push(event);
    };
    let (name, member, text, at, part_name) = match kind {
        0 => ("output_text", "text", text, json!({ "content_index": 0 }), Some("content_part")),
        1 => ("refusal", "refusal", text, json!({ "content_index": 0 }), Some("content_part")),
        2 => {
            let part = Some("reasoning_summary_part");
            ("reasoning_summary_text", "text", text, json!({ "summary_index": 0 }), part)
        }
        3 => ("function_call_arguments", "arguments", &*arguments, json!({}), None),
        4 => ("custom_tool_call_input", "input", text, json!({}), None),
        _ => ("", "", "", json!({}), None),
    };
    if name.is_empty() {
        for step in ["in_progress", "searching", "completed"] {
            event(&format!("web_search_call.{step}"), json!({}));
        }
    } else {
        let with = |more: Value| {
            let mut members = at.clone();
            merge(&mut members, more);
            members
        };
        let part_type = match kind {
            1 => "refusal",
            2 => "summary_text",
            _ => "output_text",
        };
        if let Some(part_name) = part_name {
            let empty = part(part_type, member, "");
            event(&format!("{part_name}.added"), with(json!({ "part": empty })));
        }
        let characters: Vec<char> = text.chars().collect();
        for piece in characters.chunks(3) {
            let delta: String = piece.iter().collect();
            event(&format!("{name}.delta"), with(json!({ "delta": delta })));
        }
        event(&format!("{name}.done"), with(json!({ member: text })));
        if let Some(part_name) = part_name {
            let whole = part(part_type, member, text);
            event(&format!("{part_name}.done"), with(json!({ "part": whole })));
        }
    }
    events.push(json!({ "type": "response.output_item.done", "item": item }));
    for event in &mut events {
        event["output_index"] = place.into();
    }
    Told { item, events }
}

fn merge(into: &mut Value, members: Value) {
    let (Value::Object(into), Value::Object(members)) = (into, members) else { panic!("objects") };
    into.extend(members);
}

/// What the terminal event says of the output.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Output {
    Whole,
    Empty,
    Null,
    Missing,
}

/// A response, and another way to tell it that the protocol allows.
#[derive(Clone, Debug)]
struct Telling {
    items: Vec<Told>,
    /// Whose event comes next: the place of an item for each of its events.
    order: Vec<usize>,
    /// Which of the events that announce something are left out, in turn.
    omitted: Vec<bool>,
    /// Whether the final items are left to the terminal event, in turn; if that has them.
    undone: Vec<bool>,
    output: Output,
    numbered: bool,
    noise: Vec<(Index, usize)>,
    habit: Habit,
}

/// What a server says of the identity of items.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Habit {
    Stable,
    /// Another id with each event.
    Rotating,
    /// Other ids at the end than in the stream.
    Split,
    Empty,
    Missing,
    /// The first item has the index 1.
    FromOne,
}

impl Habit {
    const ALL: [Self; 6] =
        [Self::Stable, Self::Rotating, Self::Split, Self::Empty, Self::Missing, Self::FromOne];

    fn apply(self, events: &mut [Value]) {
        for (place, event) in events.iter_mut().enumerate() {
            if let Some(index) = event["output_index"].as_u64().filter(|_| self == Self::FromOne) {
                event["output_index"] = (index + 1).into();
            }
            self.rename(event, "item_id", place, false);
            if let Some(item) = event.get_mut("item") {
                self.rename(item, "id", place, false);
            }
            let output = event.pointer_mut("/response/output").and_then(Value::as_array_mut);
            output.into_iter().flatten().for_each(|item| self.rename(item, "id", place, true));
        }
    }

    fn rename(self, of: &mut Value, name: &str, place: usize, at_end: bool) {
        let Some(id) = of[name].as_str().map(str::to_owned) else { return };
        of[name] = match self {
            Self::Rotating => format!("{id}_{place}").into(),
            Self::Split if at_end => format!("other_{id}").into(),
            Self::Empty => "".into(),
            Self::Missing => Value::Null,
            _ => return,
        };
        if self == Self::Missing {
            of.as_object_mut().expect("an object").remove(name);
        }
    }
}

fn response() -> impl Strategy<Value = Telling> {
    let items = prop::collection::vec((0..6_usize, "[a-zé☃ {}\"]{0,14}"), 1..4);
    let items = items.prop_map(|items| {
        let told = |(place, (kind, text)): (usize, (usize, String))| told(kind, place, &text);
        items.into_iter().enumerate().map(told).collect::<Vec<_>>()
    });
    items
        .prop_flat_map(|items| {
            let order: Vec<usize> = items
                .iter()
                .enumerate()
                .flat_map(|(place, told)| std::iter::repeat_n(place, told.events.len()))
                .collect();
            (Just(items), Just(order).prop_shuffle())
        })
        .prop_flat_map(|(items, order)| {
            let flags = || prop::collection::vec(any::<bool>(), 1..9);
            let output = prop::sample::select(vec![
                Output::Whole,
                Output::Empty,
                Output::Null,
                Output::Missing,
            ]);
            let noise = prop::collection::vec((any::<Index>(), 0..5_usize), 0..6);
            let habit = prop::sample::select(&Habit::ALL[..]);
            (Just(items), Just(order), flags(), flags(), output, any::<bool>(), noise, habit)
        })
        .prop_map(|(items, order, omitted, undone, output, numbered, noise, habit)| Telling {
            items,
            order,
            omitted,
            undone,
            output,
            numbered,
            noise,
            habit,
        })
}

impl Telling {
    /// Item by item, with everything that the API sends.
    fn plainly(&self) -> Vec<Value> {
        let events = self.items.iter().flat_map(|told| told.events.clone());
        self.framed(events.collect(), Output::Whole, true)
    }

    /// All at once, with what servers leave out and put in.
    fn otherwise(&self) -> Vec<Value> {
        let mut left: Vec<_> = self.items.iter().map(|told| told.events.iter()).collect();
        let (mut omitted, mut undone) = (self.omitted.iter().cycle(), self.undone.iter().cycle());
        let mut events = Vec::new();
        for place in &self.order {
            let event = left[*place].next().expect("as many as it has");
            let kind = event["type"].as_str().expect("a type");
            let omit = match kind {
                "response.output_item.done" => {
                    self.output == Output::Whole && *undone.next().expect("without an end")
                }
                kind if kind.ends_with(".added") || kind.ends_with("_part.done") => {
                    *omitted.next().expect("without an end")
                }
                _ => false,
            };
            if !omit {
                events.push(event.clone());
            }
        }
        let mut events = self.framed(events, self.output, self.numbered);
        self.habit.apply(&mut events);
        for (at, kind) in &self.noise {
            let noise = [
                json!({ "type": "keepalive", "sequence_number": 77 }),
                json!({ "type": "response.brand_new", "output_index": 0, "delta": "no" }),
                json!({ "type": "codex.rate_limits", "rate_limits": {} }),
                json!({}),
                json!({ "type": "response.in_progress",
                    "response": { "id": "resp_1", "status": "in_progress", "output": [] } }),
            ];
            // Behind `created`, and before the end.
            events.insert(1 + at.index(events.len() - 1), noise[*kind].clone());
        }
        events
    }

    fn framed(&self, events: Vec<Value>, output: Output, numbered: bool) -> Vec<Value> {
        let begun = json!({ "id": "resp_1", "status": "in_progress", "output": [] });
        let mut ended = json!({ "id": "resp_1", "status": "completed" });
        let items: Vec<Value> = self.items.iter().map(|told| told.item.clone()).collect();
        match output {
            Output::Whole => ended["output"] = items.into(),
            Output::Empty => ended["output"] = json!([]),
            Output::Null => ended["output"] = Value::Null,
            Output::Missing => {}
        }
        let created = json!({ "type": "response.created", "response": begun });
        let completed = json!({ "type": "response.completed", "response": ended });
        let mut all: Vec<Value> = [created].into_iter().chain(events).chain([completed]).collect();
        if numbered {
            for (number, event) in all.iter_mut().enumerate() {
                event["sequence_number"] = number.into();
            }
        }
        all
    }
}

/// What the caller, and the next turn, have of a response.
#[derive(Debug, PartialEq)]
struct Settled {
    output: Vec<Value>,
    text: String,
    calls: Vec<String>,
    unfinished: usize,
}

impl Settled {
    fn of(response: &Response) -> Self {
        let calls = response.function_calls().into_iter().map(|call| call.arguments.to_string());
        let inputs = response.custom_tool_calls().into_iter().map(|call| call.input.to_string());
        Self {
            output: response
                .output_items()
                .map(|item| without_id(item.json().decode().expect("JSON")))
                .collect(),
            text: response.output_text(),
            calls: calls.chain(inputs).collect(),
            unfinished: response.unfinished_items().len(),
        }
    }

    /// By the items themselves.
    fn expected(items: &[Told]) -> Self {
        let items: Vec<&Value> = items.iter().map(|told| &told.item).collect();
        let texts = |kind: &str, path: &str| -> Vec<String> {
            let of_kind = items.iter().filter(|item| item["type"] == kind);
            of_kind.filter_map(|item| Some(item.pointer(path)?.as_str()?.to_owned())).collect()
        };
        Self {
            output: items.iter().map(|item| without_id((*item).clone())).collect(),
            text: texts("message", "/content/0/text").concat(),
            calls: [texts("function_call", "/arguments"), texts("custom_tool_call", "/input")]
                .concat(),
            unfinished: 0,
        }
    }
}

/// An item without what servers change between two mentions of it.
fn without_id(mut item: Value) -> Value {
    item.as_object_mut().expect("an object").remove("id");
    item
}

/// Runs events through the bare core; they must not fail.
fn run(events: &[Value]) -> Response {
    let mut turn = internal::Turn::new();
    for event in events {
        turn.push(event.to_string().into()).expect("no error");
    }
    turn.response()
}

proptest! {
    #![proptest_config(cases(256))]

    /// Items that overlap in time, what is left out and what is put in between: the same response.
    #[test]
    fn c084_however_a_response_is_told_its_settled_output_is_the_same(response in response()) {
        let expected = Settled::expected(&response.items);
        prop_assert_eq!(&Settled::of(&run(&response.plainly())), &expected);
        prop_assert_eq!(Settled::of(&run(&response.otherwise())), expected);
    }

    /// The same cut off: the items that were finished so far stand in their order.
    #[test]
    fn c029_however_a_response_is_told_what_came_of_it_is_kept(
        response in response(),
        cut in any::<Index>(),
    ) {
        let events = response.otherwise();
        let came = &events[..1 + cut.index(events.len() - 1)];
        let mut done: Vec<(u64, Value)> = came
            .iter()
            .filter(|event| event["type"] == "response.output_item.done")
            .map(|event| (event["output_index"].as_u64().expect("a place"), event["item"].clone()))
            .collect();
        done.sort_by_key(|(place, _)| *place);
        let kept = run(came);
        prop_assert!(!kept.is_finished());
        let items: Vec<Value> = Settled::of(&kept).output;
        let done = done.into_iter().map(|(_, item)| without_id(item));
        prop_assert_eq!(items, done.collect::<Vec<_>>());
    }
}

proptest! {
    #![proptest_config(cases(16))]

    /// The same over both transports, with hardly any room to read ahead.
    #[test]
    fn c084_and_so_it_is_in_a_session(response in response(), roomy in any::<bool>()) {
        let expected = Settled::expected(&response.items);
        for transport in BOTH {
            let outcome = on_paused_time(async {
                let turn_of = Turn::events(response.otherwise());
                let server = ScriptedServer::in_memory(Script::new().turn(turn_of));
                let mut limits = Limits::default();
                limits.read_ahead = if roomy { limits.read_ahead } else { 1 };
                let client = builder(&server).transport(only(transport)).limits(limits);
                let mut session = client.build().expect("a client").session();
                turn(&mut session, &request(&["hi"])).await
            });
            prop_assert_eq!(&Settled::of(outcome.response()), &expected, "{}", transport);
        }
    }
}
