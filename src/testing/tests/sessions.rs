//! The server's turns, as a session takes them.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;

use super::{
    checker::{Missing, check},
    generators::{events, without_ids},
};
use crate::{
    Error, ErrorKind, FinalResponse, Provider, Response, ResponsesClient, ResponsesRequest,
    Transport, TransportPolicy,
    testing::{ErrorShape, NoOutput, Script, ScriptedServer, Turn, items},
};

const BOTH: [Transport; 2] = [Transport::WebSocket, Transport::Sse];

/// Returns the outcome of this turn in a session.
async fn run(turn: Turn, transport: Transport) -> Result<Response, Error> {
    let server = ScriptedServer::in_memory(Script::new().turn(turn));
    let policy = match transport {
        Transport::WebSocket => TransportPolicy::WebSocketOnly,
        Transport::Sse => TransportPolicy::SseOnly,
    };
    let provider = Provider::compatible(&server.url()).unwrap();
    let client = ResponsesClient::builder()
        .provider(provider)
        .connector(&server.connector())
        .transport(policy)
        .build()
        .unwrap();
    let mut session = client.session();
    session.respond(ResponsesRequest::new("m")).await.map(FinalResponse::into_response)
}

fn output(response: &Response) -> Vec<Value> {
    let json = |item: crate::Item| serde_json::from_str(item.json().as_str()).unwrap();
    response.output_items().map(json).collect()
}

#[tokio::test(start_paused = true)]
async fn every_shape_of_an_error_is_an_error() {
    for transport in BOTH {
        for shape in ErrorShape::ALL {
            let turn = Turn::error_shape(shape, 400, "invalid_prompt", "No such thing");
            let error = run(turn, transport).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Api, "{transport:?} {shape:?}: {error:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_says_when_to_come_back_on_both_transports() {
    for transport in BOTH {
        for time in [Duration::from_secs(7200), Duration::from_millis(7_200_500)] {
            let turn = Turn::error(429, "rate_limit_exceeded", "Slow down").retry_after(time);
            let error = run(turn, transport).await.unwrap_err();
            assert_eq!(error.retry_after(), Some(time), "{transport:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_large_image_arrives_whole() {
    for transport in BOTH {
        let image = items::image(3 << 20);
        let response = run(Turn::output([image.clone()]), transport).await.unwrap();
        assert_eq!(without_ids(output(&response)), [image], "{transport:?}");
    }
}

/// A change that leaves the answer what it is.
#[derive(Clone, Debug)]
enum Shape {
    Interleaved,
    WithoutSetup,
    WithoutNumbers,
    Keepalives(usize),
    NoOutput(NoOutput),
    Dripped,
    Large,
}

/// An offence that a session bears.
#[derive(Clone, Debug)]
enum Fault {
    DoubleTerminal,
    DuplicateCreated,
    ResponseId,
    ItemIds,
    OutputIndex,
    Unknown,
}

impl Shape {
    fn apply(&self, turn: Turn) -> Turn {
        match self {
            Self::Interleaved => turn.interleaved(),
            Self::WithoutSetup => turn.without_setup(),
            Self::WithoutNumbers => turn.without_sequence_numbers(),
            Self::Keepalives(every) => turn.keepalives(*every),
            Self::NoOutput(form) => turn.empty_terminal_output(*form),
            Self::Dripped => turn.dripped(Duration::from_millis(10)),
            Self::Large => turn.large_event(5000),
        }
    }
}

impl Fault {
    fn apply(&self, turn: Turn) -> Turn {
        match self {
            Self::DoubleTerminal => turn.double_terminal(),
            Self::DuplicateCreated => turn.duplicate_created(),
            Self::ResponseId => turn.changing_response_id(),
            Self::ItemIds => turn.changing_item_ids(),
            Self::OutputIndex => turn.constant_output_index(),
            Self::Unknown => turn.unknown_things(),
        }
    }
}

fn item() -> impl Strategy<Value = Value> {
    let text = "[a-zé\"\\\\ 漢]{0,40}";
    let calls = (text, text).prop_flat_map(|(a, b)| {
        prop::sample::select(vec![
            items::function_call("call_1", "f", &format!("{a}.")),
            items::custom_tool_call("call_1", "f", &a),
            items::function_call_output("call_1", &a),
            items::custom_tool_call_output("call_1", &a),
            items::computer_call("call_1"),
            items::local_shell_call("call_1", &[&a, &b]),
            items::shell_call("call_1", &[&a, &b]),
            items::shell_call_output("call_1", &[&a, &b]),
            items::apply_patch_call("call_1", &a, &b),
            items::tool_search_call("call_1", &a),
            items::tool_search_output(&[&a]),
            items::program("call_1", &a),
            items::program_output("call_1", &a),
            items::multi_agent_call("call_1", "wait_agent", &a),
        ])
    });
    let others = (text, text).prop_flat_map(|(a, b)| {
        prop::sample::select(vec![
            items::message(&a),
            items::refusal(&a),
            items::message_of([
                items::cited_text(&a, "https://a.example"),
                items::refusal_part(&b),
                items::probable_text(["Hel", &b]),
            ]),
            items::reasoning(&a, &b),
            items::reasoning_text(&a),
            items::web_search_call(&a),
            items::file_search_call(&a),
            items::code_interpreter_call(&a, &b),
            items::image(a.len()),
            items::mcp_list_tools("s", &[&a]),
            items::mcp_call("s", "t", &a, &b),
            items::failed_mcp_call("s", "t", &a, &b),
            items::mcp_approval_request("s", "t", &a),
            items::compaction(&a),
            items::agent_message("a", "b", &b),
            items::unknown("unheard_of"),
        ])
    });
    prop_oneof![calls, others]
}

/// Items in which no call is twice: it would be handed out once.
fn given() -> impl Strategy<Value = Vec<Value>> {
    prop::collection::vec(item(), 0..6).prop_map(|mut items| {
        for (index, item) in items.iter_mut().enumerate() {
            if item["type"].as_str().is_some_and(|it| it.ends_with("_call"))
                && item["call_id"].is_string()
            {
                item["call_id"] = format!("call_{}", index + 1).into();
            }
        }
        items
    })
}

fn shape() -> impl Strategy<Value = Shape> {
    let form = prop::sample::select(vec![NoOutput::Null, NoOutput::Empty, NoOutput::Missing]);
    prop_oneof![
        Just(Shape::Interleaved),
        Just(Shape::WithoutSetup),
        Just(Shape::WithoutNumbers),
        (1_usize..6).prop_map(Shape::Keepalives),
        form.prop_map(Shape::NoOutput),
        Just(Shape::Dripped),
        Just(Shape::Large),
    ]
}

fn fault() -> impl Strategy<Value = Fault> {
    prop::sample::select(vec![
        Fault::DoubleTerminal,
        Fault::DuplicateCreated,
        Fault::ResponseId,
        Fault::ItemIds,
        Fault::OutputIndex,
        Fault::Unknown,
    ])
}

fn in_paused_time<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().start_paused(true).build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_items_in_any_shape_are_what_a_session_gets(
        given in given(),
        shapes in prop::collection::vec(shape(), 0..5),
    ) {
        let turn = shapes.iter().fold(Turn::output(given.clone()), |turn, it| it.apply(turn));
        let has = |shape: fn(&Shape) -> bool| shapes.iter().any(shape);
        let missing = Missing {
            setup: has(|it| matches!(it, Shape::WithoutSetup)),
            numbers: has(|it| matches!(it, Shape::WithoutNumbers)),
            terminal_output: has(|it| matches!(it, Shape::NoOutput(_))),
        };
        let done = check(&events(&turn, Value::Null), missing);
        prop_assert_eq!(done.map(without_ids), Ok(given.clone()));
        for transport in BOTH {
            let response = in_paused_time(run(turn.clone(), transport)).unwrap();
            prop_assert_eq!(without_ids(output(&response)), given.clone());
        }
    }

    #[test]
    fn what_a_session_bears_it_bears_on_both_transports_alike(
        given in given(),
        shapes in prop::collection::vec(shape(), 0..3),
        faults in prop::collection::vec(fault(), 1..4),
    ) {
        let turn = shapes.iter().fold(Turn::output(given.clone()), |turn, it| it.apply(turn));
        let turn = faults.iter().fold(turn, |turn, it| it.apply(turn));
        let [one, other] =
            BOTH.map(|transport| output(&in_paused_time(run(turn.clone(), transport)).unwrap()));
        prop_assert_eq!(&one, &other);
        // Without ids and with one index for all, no event reports where one of two items of the same
        // type ends and the next begins.
        let mut types: Vec<&Value> = given.iter().map(|item| &item["type"]).collect();
        types.dedup();
        let has = |fault: fn(&Fault) -> bool| faults.iter().any(fault);
        let is_told = types.len() == given.len()
            || !has(|it| matches!(it, Fault::ItemIds))
            || !has(|it| matches!(it, Fault::OutputIndex));
        prop_assert!(one.len() >= given.len() || !is_told);
    }
}
