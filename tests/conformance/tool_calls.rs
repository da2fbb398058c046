//! Tool calls, answers that follow a schema, and continuing after a cut.

use responses_client::{
    Item, Json,
    event::{EventKind, OutputItem},
    testing::{Script, Step, Turn},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::{BOTH, only, request, server, socket_client, turn};

fn reasoning() -> Value {
    json!({"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "gAAA"})
}

fn call(id: &str, status: &str) -> Value {
    json!({"id": id, "type": "function_call", "call_id": format!("call_{id}"), "name": "look",
        "arguments": "{\"at\":7}", "status": status})
}

#[derive(Debug, PartialEq, Deserialize)]
struct Look {
    at: u8,
}

#[tokio::test]
async fn a_finished_call_is_there_before_the_end_of_the_response() {
    for transport in BOTH {
        let custom = json!({"id": "ctc_1", "type": "custom_tool_call", "call_id": "c", "name": "say",
            "input": "hi", "status": "completed"});
        let output = [reasoning(), call("fc_1", "completed"), call("fc_2", "incomplete"), custom];
        let server = server(Script::new().turn(Turn::output(output))).await;
        let mut session = socket_client(&server, only(transport)).session();
        let outcome = turn(&mut session, &request(&["hi"])).await;
        let calls: Vec<_> =
            outcome.events.iter().filter_map(|event| event.function_call()).collect();
        assert_eq!(calls, outcome.response().function_calls());
        assert_eq!(calls.len(), 1, "one that was cut off is withheld");
        assert_eq!(calls[0].arguments::<Look>().unwrap(), Look { at: 7 });
        let custom: Vec<_> = outcome.events.iter().filter_map(|it| it.custom_tool_call()).collect();
        assert_eq!(custom, outcome.response().custom_tool_calls());
        assert_eq!(custom[0].input, "hi");
        let output = Item::custom_tool_call_output(&custom[0].call_id, "ok");
        assert_eq!(custom[0].output("ok"), output);
        let at = |found: &dyn Fn(EventKind) -> bool| {
            outcome.events.iter().position(|event| found(event.kind())).unwrap()
        };
        assert!(
            at(&|kind| kind == EventKind::OutputItemDone)
                < at(&|kind| kind == EventKind::Completed)
        );
    }
}

#[tokio::test]
async fn an_answer_is_read_by_its_schema() {
    let schema =
        Json::parse(r#"{"type":"object","properties":{"at":{"type":"integer"}}}"#).unwrap();
    for transport in BOTH {
        let server =
            server(Script::new().turns([Turn::text("{\"at\":7}"), Turn::text("no")])).await;
        let mut session = socket_client(&server, only(transport)).session();
        let request = request(&["where?"]).json_schema("look", &schema);
        let first = turn(&mut session, &request).await;
        assert_eq!(first.response().parse_output::<Look>().unwrap(), Look { at: 7 });
        assert_eq!(server.log().requests[0].body["text"]["format"]["type"], "json_schema");
        assert!(turn(&mut session, &request).await.response().parse_output::<Look>().is_err());
    }
}

#[tokio::test]
async fn after_a_cut_the_finished_items_lead_on_and_no_tool_runs_twice() {
    for transport in BOTH {
        let items =
            [reasoning(), call("fc_1", "completed"), reasoning(), call("fc_2", "completed")];
        // Cut where the second call has begun.
        let whole = Turn::output(items);
        let cut = whole.clone().cut_after(14, Step::Reset);
        let script = Script::new().turns([cut]).respond(|exchange| {
            let calls = |kind| exchange.history.iter().filter(|item| item["type"] == kind).count();
            Turn::text(format!("{} {}", calls("function_call"), calls("function_call_output")))
        });
        let server = server(script).await;
        let mut session = socket_client(&server, only(transport)).session();
        let mut request = request(&["hi"]);
        let outcome = turn(&mut session, &request).await;
        let partial = outcome.error().response().unwrap().clone();
        assert!(!partial.is_finished());
        let items = partial.replayable_items();
        let types: Vec<_> = items.iter().map(Item::item_type).collect();
        assert_eq!(types, ["reasoning", "function_call"], "{transport}");
        request.input.extend(items);
        for call in partial.function_calls() {
            request.input.push(Item::function_call_output(&call.call_id, "seen"));
        }
        let next = turn(&mut session, &request).await;
        assert_eq!(next.response().output_text(), "1 1");
    }
}

#[tokio::test]
async fn an_answered_call_is_not_to_be_run() {
    let transcript = include_str!("../fixtures/program.jsonl");
    for transport in BOTH {
        let server = server(Script::new().turn(Turn::jsonl(transcript))).await;
        let mut session = socket_client(&server, only(transport)).session();
        let outcome = turn(&mut session, &request(&["weather?"])).await;
        let calls = |item: &OutputItem| matches!(item, OutputItem::FunctionCall(_));
        assert_eq!(outcome.response().output().iter().filter(|item| calls(item)).count(), 1);
        assert!(outcome.response().function_calls().is_empty(), "{transport}");
    }
}
