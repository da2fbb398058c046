//! Settings of a request, and the items that change them without a full send.

use responses_client::{
    ContinuationPolicy, Item, ReasoningConfig, TextConfig, Tool, ToolChoice, Transport,
    report::FullSendReason,
    testing::{Script, ScriptedServer, Turn},
};
use serde_json::json;

use crate::{
    incremental::{answers, session, stored},
    support::{BOTH, appended, builder, full, incremental, only, turn},
};

/// The policy is about the request, so it holds over both transports.
#[tokio::test]
async fn c185_new_instructions_continue_a_response_if_the_policy_allows_them() {
    for transport in BOTH {
        for (policy, plan) in [
            (None, full(FullSendReason::InstructionsChanged)),
            (Some(ContinuationPolicy::Strict), full(FullSendReason::InstructionsChanged)),
            (Some(ContinuationPolicy::AllowNewInstructions), incremental(1)),
        ] {
            let server = ScriptedServer::in_memory(
                Script::new().respond(|exchange| Turn::text(exchange.history.len().to_string())),
            );
            let mut client = builder(&server).transport(only(transport)).continue_over_sse(true);
            if let Some(policy) = policy {
                client = client.continuation(policy);
            }
            let mut session = client.build().unwrap().session();
            let request = stored(&["one"]).instructions("Be brief.");
            let first = turn(&mut session, &request).await;
            let next = appended(&request, &first, "two").instructions("Be kind.");
            let second = turn(&mut session, &next).await;
            assert_eq!(second.report.plan, plan, "{transport} {policy:?}");
            let mut last = appended(&next, &second, "three");
            last.instructions = None;
            let third = turn(&mut session, &last).await;
            assert_eq!(third.report.plan, plan, "{transport} {policy:?}");

            // The model gets the new instructions, and the whole history, in each case.
            let log = server.log();
            let sent: Vec<_> = log.requests.iter().map(|it| it.body.get("instructions")).collect();
            assert_eq!(sent, [Some(&json!("Be brief.")), Some(&json!("Be kind.")), None]);
            assert_eq!(third.response().output_text(), "5");
            let continued = log.requests[1].previous_response_id.as_deref();
            assert_eq!(continued.is_some(), plan == incremental(1));
            assert_eq!(log.requests[1].input_items, if continued.is_some() { 1 } else { 3 });
        }
    }
}

#[tokio::test]
async fn c185_other_changes_are_sent_in_full_under_each_policy() {
    for transport in BOTH {
        let server = answers();
        let client = builder(&server)
            .transport(only(transport))
            .continue_over_sse(true)
            .continuation(ContinuationPolicy::AllowNewInstructions);
        let mut session = client.build().unwrap().session();
        let request = stored(&["one"]).instructions("Be brief.");
        let first = turn(&mut session, &request).await;
        let next = appended(&request, &first, "two").instructions("Be kind.").model("other");
        let second = turn(&mut session, &next).await;
        assert_eq!(second.report.plan, full(FullSendReason::ModelChanged), "{transport}");
    }
}

#[tokio::test]
async fn c188_items_that_change_settings_are_sent_like_other_items() {
    for transport in BOTH {
        let server = answers();
        let mut session = session(&server, transport);
        let request = stored(&["one"]);
        let first = turn(&mut session, &request).await;
        let mut next = appended(&request, &first, "two");
        let tools = [Tool::hosted("web_search"), Tool::custom("sql", "Runs.")];
        next.input.push(Item::additional_tools(&tools));
        let effort = ReasoningConfig::new().effort("low");
        next.input.push(Item::configuration_update(effort, TextConfig::new().json_object()));
        next.input.push(Item::compaction_trigger());
        let second = turn(&mut session, &next).await;
        assert_eq!(second.report.plan, incremental(4), "{transport}");
        let sent = &server.log().requests[1].body["input"];
        let sql = json!({"type": "custom", "name": "sql", "description": "Runs."});
        assert_eq!(
            sent.as_array().unwrap()[1..],
            [
                json!({"type": "additional_tools", "role": "developer", "tools": [{"type": "web_search"}, sql]}),
                json!({"type": "configuration_update", "reasoning": {"effort": "low"}, "text": {"format": {"type": "json_object"}}}),
                json!({"type": "compaction_trigger"}),
            ]
        );
        // A history with such items is continued.
        let third = turn(&mut session, &appended(&next, &second, "three")).await;
        assert_eq!(third.report.plan, incremental(1), "{transport}");
    }
}

#[tokio::test]
async fn c188_options_of_a_background_response_may_change_from_turn_to_turn() {
    let server = ScriptedServer::in_memory(
        Script::new().respond(|exchange| Turn::text(format!("answer {}", exchange.index))),
    );
    let mut session = session(&server, Transport::Sse);
    let request = stored(&["one"]).background(true);
    let request = request.background_options([("continuation_id", "a")]);
    let first = turn(&mut session, &request).await;
    let next = appended(&request, &first, "two").background_options([("continuation_id", "b")]);
    assert_eq!(turn(&mut session, &next).await.report.plan, incremental(1));
    let log = server.log();
    let posted: Vec<_> = log.posts().map(|post| &post.body["background_options"]).collect();
    assert_eq!(posted, [&json!({"continuation_id": "a"}), &json!({"continuation_id": "b"})]);
}

#[tokio::test]
async fn c189_typed_settings_are_sent_as_the_json_that_they_stand_for() {
    let typed = stored(&["one"])
        .reasoning(ReasoningConfig::new().effort("high"))
        .reasoning_summary("auto")
        .text(TextConfig::new().plain_text())
        .verbosity("low")
        .tool_choice(ToolChoice::function("f"))
        .include(["reasoning.encrypted_content"])
        .metadata([("k", "v")])
        .max_output_tokens(1000)
        .temperature(1);
    let raw = stored(&["one"])
        .reasoning(json!({"summary": "auto", "effort": "high"}))
        .text(json!({"verbosity": "low", "format": {"type": "text"}}))
        .tool_choice(json!({"type": "function", "name": "f"}))
        .include(vec!["reasoning.encrypted_content".to_owned()])
        .metadata(json!({"k": "v"}))
        .max_output_tokens(1_000)
        .temperature(1.0);
    assert_eq!(typed, raw);
    for transport in BOTH {
        let server = answers();
        let mut session = session(&server, transport);
        let first = turn(&mut session, &typed).await;
        // However the settings are written, they are the same settings.
        let second = turn(&mut session, &appended(&raw, &first, "two")).await;
        assert_eq!(second.report.plan, incremental(1), "{transport}");
        let log = server.log();
        let settings = |index: usize| {
            let mut body = log.requests[index].body.clone();
            body.as_object_mut()
                .unwrap()
                .retain(|name, _| !["input", "previous_response_id"].contains(&name.as_str()));
            body
        };
        assert_eq!(settings(0), settings(1), "{transport}");
        let sent = settings(0);
        assert_eq!(sent["reasoning"], json!({"effort": "high", "summary": "auto"}));
        assert_eq!(sent["text"], json!({"format": {"type": "text"}, "verbosity": "low"}));
        assert_eq!(sent["tool_choice"], json!({"type": "function", "name": "f"}));
        assert_eq!(sent["metadata"], json!({"k": "v"}));
        assert_eq!(sent["include"], json!(["reasoning.encrypted_content"]));
        let numbers = (&sent["max_output_tokens"], &sent["temperature"]);
        assert_eq!(numbers, (&json!(1000), &json!(1.0)));
    }
}
