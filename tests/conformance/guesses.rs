//! Lines as a new user writes them, who knows only the name of the crate and its README. Each line
//! compiles, and does what it seems to do.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
};

use futures_util::TryStreamExt;
use responses_client::{
    Auth, Error, ErrorCode, ErrorKind, History, InputPart, Item, Json, NetworkSettings,
    ProxySetting, ReasoningConfig, Response, ResponseEvent, ResponsesRequest, RetryAction, Secret,
    TextConfig, Tool, ToolChoice, TransportPolicy, TurnReport,
    testing::{ScriptedServer, Turn},
};
use serde_json::{Value, json};

use crate::support::{builder, request};

fn new() -> ResponsesRequest {
    ResponsesRequest::new("gpt-6-astra")
}

/// Returns the JSON of the only member that `request` has besides its model and its input.
fn member(request: ResponsesRequest) -> Value {
    let mut body = serde_json::to_value(request).unwrap();
    let body = body.as_object_mut().unwrap();
    body.retain(|name, _| name != "model" && name != "input");
    assert_eq!(body.len(), 1, "{body:?}");
    body.values_mut().next().unwrap().take()
}

#[test]
fn c189_settings_are_guessed() {
    let (limit, text) = (500, String::from("text"));
    for (request, value) in [
        (new().max_output_tokens(1000), json!(1000)),
        (new().max_output_tokens(limit), json!(500)),
        (new().max_tool_calls(3), json!(3)),
        (new().top_logprobs(5), json!(5)),
        (new().temperature(1), json!(1.0)),
        (new().temperature(0.7), json!(0.7)),
        (new().temperature(0.5_f32), json!(0.5)),
        (new().top_p(1), json!(1.0)),
        (new().store(false), json!(false)),
        (new().background(true), json!(true)),
        (new().parallel_tool_calls(false), json!(false)),
        (new().instructions("Be brief."), json!("Be brief.")),
        (new().instructions(&text), json!("text")),
        (new().instructions(format!("Be {text}.")), json!("Be text.")),
        (new().include(["reasoning.encrypted_content"]), json!(["reasoning.encrypted_content"])),
        (new().include(vec![text.clone()]), json!(["text"])),
        (new().tool_choice("required"), json!("required")),
        (new().tool_choice(ToolChoice::Required), json!("required")),
        (
            new().tool_choice(ToolChoice::Function("f".into())),
            json!({"type": "function", "name": "f"}),
        ),
        (new().tool_choice(json!({"type": "mcp"})), json!({"type": "mcp"})),
        (new().metadata([("k", "v")]), json!({"k": "v"})),
        (new().metadata(BTreeMap::from([("k", text.clone())])), json!({"k": "text"})),
        (new().metadata(HashMap::from([("k".to_owned(), "v")])), json!({"k": "v"})),
        (new().reasoning_effort("high"), json!({"effort": "high"})),
        (new().reasoning_summary("auto"), json!({"summary": "auto"})),
        (new().reasoning([("effort", "low")]), json!({"effort": "low"})),
        (new().reasoning(ReasoningConfig::new().effort("low")), json!({"effort": "low"})),
        (new().reasoning(json!({"effort": "low"})), json!({"effort": "low"})),
        (new().verbosity("low"), json!({"verbosity": "low"})),
        (new().text(TextConfig::new().verbosity("low")), json!({"verbosity": "low"})),
        (new().conversation("conv_1"), json!("conv_1")),
        (new().prompt([("id", "pmpt_1")]), json!({"id": "pmpt_1"})),
        (
            new().stream_options([("include_obfuscation", false)]),
            json!({"include_obfuscation": false}),
        ),
        (
            new().background_options([("completion_window", "2h")]),
            json!({"completion_window": "2h"}),
        ),
        (new().prompt_cache_key("key"), json!("key")),
        (new().service_tier("flex"), json!("flex")),
        (new().extra("seed", 7), json!(7)),
        (new().tools([Tool::hosted("web_search")]), json!([{"type": "web_search"}])),
        (new().tools(&[Tool::hosted("web_search")]), json!([{"type": "web_search"}])),
        (new().tool(Tool::web_search()), json!([{"type": "web_search"}])),
        (
            new().tool(Tool::web_search()).tool(Tool::file_search(["vs_1"])),
            json!([{"type": "web_search"}, {"type": "file_search", "vector_store_ids": ["vs_1"]}]),
        ),
    ] {
        assert_eq!(member(request), value);
    }
    assert_eq!(new().model("other"), ResponsesRequest::new("other"));
    assert_ne!(new(), ResponsesRequest::new(text));
}

#[test]
fn c189_inputs_are_guessed() {
    let (text, items) = (String::from("hi"), vec![Item::user("hi")]);
    let history: History = items.iter().cloned().collect();
    for request in [
        new().input("hi"),
        new().input(text.clone()),
        new().input(&text),
        new().input(Item::user("hi")),
        new().input([Item::user(&text)]),
        new().input(vec![Item::user(text.clone())]),
        new().input(items.as_slice()),
        new().input(items.clone()),
        new().input(&history),
        new().input(history.clone()),
        new().input([Item::user_parts(["hi"])]),
        new().input([Item::user_parts([InputPart::text(&text)])]),
        new().input([Item::user(Cow::Borrowed("hi"))]),
        new().input([Item::user(Arc::<str>::from("hi"))]),
    ] {
        assert_eq!(request.input.len(), 1);
        assert_eq!(request.input[0], items[0]);
        assert_eq!(request.input[0].as_text().unwrap(), "hi");
    }
    let parts: [InputPart; 2] =
        ["Compare.".into(), InputPart::image_bytes("image/png", vec![1, 2])];
    assert_eq!(Item::user_parts(parts).as_text().unwrap(), "Compare.");
    assert_eq!(Item::user("hi").role(), Some("user"));
    let id = String::from("call_1");
    let output = Item::function_call_output(&id, 42.to_string());
    assert_eq!(output, Item::function_call_output("call_1", "42"));
    assert_eq!(output, Item::function_call_output_json(id, &42).unwrap());
    assert_eq!(output.role(), None);
}

#[test]
fn c189_edits_of_the_history_are_guessed() {
    let letters = |history: &History| {
        history.iter().map(|item| item.as_text().unwrap()).collect::<Vec<_>>().concat()
    };
    let all = || History::from_iter(["a", "b", "c", "d"].map(Item::user));
    for (drained, removed, left) in [
        (all().drain(..2).collect::<History>(), "ab", "cd"),
        (all().drain(1..=2).collect(), "bc", "ad"),
        (all().drain(3..9).collect(), "d", "abc"),
        (all().drain(7..).collect(), "", "abcd"),
        (all().drain(..).collect(), "abcd", ""),
    ] {
        assert_eq!(letters(&drained), removed);
        let mut history = all();
        history.retain(|item| !removed.contains(&*item.as_text().unwrap()));
        assert_eq!(letters(&history), left);
    }
    let mut history = all();
    history.drain(1..3);
    assert_eq!(history, History::from_iter(["a", "d"].map(Item::user)));
    assert_eq!(*Tool::web_search().json(), Json::from(json!({"type": "web_search"})));
}

#[test]
fn c189_json_is_guessed() {
    let json: Json = json!({"a": [{"b": true}], "s": "text"}).into();
    assert_eq!(Value::from(&json)["a"][0]["b"], true);
    assert_eq!(json.pointer("/a/0/b"), Some(true.into()));
    assert_eq!(json.get("a").unwrap().get(0).unwrap().get("b").unwrap().as_str(), "true");
    assert_eq!(json.get("s").unwrap().decode::<String>().unwrap(), "text");
    let value: Value = json.clone().into();
    assert_eq!(Json::from(value), json);
    assert_eq!(Json::from_iter([("n", 1)]), Json::from([("n", 1)]));
    let schema = json!({"type": "object"});
    let tool = Tool::function("f", format!("Finds {}.", 1), &schema).strict(true);
    assert_eq!(tool.json().get("strict"), Some(Json::from(true)));
    let tool = Tool::function(String::from("f"), "Finds.", schema.clone());
    assert_eq!(tool.json().get("parameters"), Some(Json::from(&schema)));
    let tool = Tool::function("f", "Finds.", r#"{ "type": "object" }"#);
    assert_eq!(tool.json().get("parameters").unwrap().as_str(), r#"{ "type": "object" }"#);
    assert_eq!(new().json_schema("f", r#"{"type":"object"}"#), new().json_schema("f", &schema));
    let broken = Tool::function("f", "Finds.", "no schema");
    assert_eq!(broken.json().get("parameters"), Some(Json::from("no schema")));
    assert_eq!(new().json_schema("f", &schema), new().json_schema(String::from("f"), schema));
}

#[test]
fn c189_fields_are_guessed() {
    let mut request = new();
    request.model = "other".into();
    request.tools.push(Tool::web_search());
    request.tools.extend([Tool::custom("sql", "Runs.")]);
    request.include.push("reasoning.encrypted_content".into());
    request.instructions = Some("Be brief.".into());
    request.temperature = Some(0.5);
    request.input.push(Item::user("hi"));
    let built = ResponsesRequest::new("other")
        .tools([Tool::web_search(), Tool::custom("sql", "Runs.")])
        .include(["reasoning.encrypted_content"])
        .instructions("Be brief.")
        .temperature(0.5)
        .input("hi");
    assert_eq!(request, built);
    request.tools.clear();
    request.include.retain(|it| it.is_empty());
    assert_eq!(request.tools.len() + request.include.len(), 0);
}

#[test]
fn c189_items_are_read_as_guessed() {
    let history: History = [Item::user("hi"), Item::assistant("ho")].into();
    let users = history.iter().filter(|item| item.role() == Some("user"));
    assert_eq!(users.filter_map(|item| item.as_text()).collect::<Vec<_>>().join(""), "hi");
    let first = history.first().unwrap();
    let is_message = match first.item_type() {
        "message" => first.id().is_none() && first.call_id().is_none(),
        _ => false,
    };
    assert!(is_message);
}

#[test]
fn c189_json_is_read_as_guessed() {
    let (value, text) = (json!({"type": "web_search"}), r#"{"type":"web_search"}"#);
    for tool in [
        Tool::from_json(&value),
        Tool::from_json(value.clone()),
        Tool::from_json(text),
        Tool::from_json(text.to_owned()),
        Tool::from_json(value.to_string()),
    ] {
        assert_eq!(tool.unwrap(), Tool::web_search());
    }
    let item = Item::from_json(json!({"role": "user", "content": "hi"})).unwrap();
    assert_eq!((item.role(), item.as_text().as_deref()), (Some("user"), Some("hi")));
    let request = ResponsesRequest::from_json(json!({"model": "m", "input": "hi"})).unwrap();
    assert_eq!(request, ResponsesRequest::new("m").input("hi"));
    let event = json!({"type": "response.output_text.delta", "delta": "hi"});
    assert_eq!(ResponseEvent::from_json(event).unwrap().text_delta(), Some("hi"));
    let response = Response::from_json(json!({"id": "resp_1", "output": []})).unwrap();
    assert_eq!(format!("{} {}", response.id(), Response::default().id()), "resp_1 ");
    assert_eq!(new().previous_response_id(response.id()), new().previous_response_id("resp_1"));
    // Only a text is read; a string in a list of items or tools is still an error.
    assert!(Item::from_json("[]").is_err() && Tool::from_json(json!("hi")).is_err());
    assert!(serde_json::from_value::<Vec<Item>>(json!([r#"{"role":"user"}"#])).is_err());
    assert!(serde_json::from_value::<Vec<Tool>>(json!([text])).is_err());
    assert!(serde_json::from_value::<Response>(json!("{}")).is_err());
}

#[test]
fn c189_the_detail_of_an_image_is_guessed() {
    let image = InputPart::image_url("https://example.com/a.png").detail("low");
    let text = InputPart::text("hi");
    assert_eq!(text.clone().detail("low"), text);
    let item = Item::user_parts(vec![image, text]);
    assert_eq!(item.json().pointer("/content/0/detail"), Some("low".into()));
    assert_eq!(item.json().pointer("/content/1/detail"), None);
}

#[test]
fn c189_the_url_of_a_proxy_is_guessed() {
    let url = "http://localhost:3128";
    let expected = NetworkSettings::new().proxy(ProxySetting::Url(url.to_owned()));
    assert_eq!(NetworkSettings::new().proxy(url), expected);
    assert_eq!(NetworkSettings::new().proxy(url.to_owned()), expected);
    assert_ne!(NetworkSettings::new().proxy(ProxySetting::Direct), expected);
}

#[tokio::test(start_paused = true)]
async fn c189_a_request_is_sent_in_any_form() {
    let server = ScriptedServer::in_memory(vec![Turn::text("Hi"); 9]);
    let client = builder(&server).build().unwrap();
    let mut session = client.session();
    let mut request = request(&["hi"]);
    let by_ref: &ResponsesRequest = &request;
    session.stream(by_ref).await.unwrap().final_response().await.unwrap();
    session.stream(&by_ref).await.unwrap().final_response().await.unwrap();
    session.respond(Cow::Borrowed(by_ref)).await.unwrap();
    client.respond(&mut request).await.unwrap();
    let shared = Arc::new(request);
    client.turn(&shared).respond().await.unwrap();
    client.stream(Arc::clone(&shared)).await.unwrap().final_response().await.unwrap();
    client.respond(Box::new((*shared).clone())).await.unwrap();
    session.prewarm(&shared).unwrap();
    session.respond(Arc::unwrap_or_clone(shared)).await.unwrap();
    assert!(server.log().requests.len() >= 8);
}

#[tokio::test(start_paused = true)]
async fn c189_closures_observe_turns_and_fetch_tokens() {
    let token = String::from("t");
    for auth in [
        Auth::provider_fn(|| async { Ok("t") }),
        Auth::provider_fn(|| async { Ok(Secret::from("t")) }),
        Auth::provider_fn(move || {
            let token = token.clone();
            async move { Ok(String::from_utf8(token.into_bytes())?) }
        }),
    ] {
        let server = ScriptedServer::in_memory(vec![Turn::text("Hi")]);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&seen);
        let observer = move |report: &TurnReport| noted.lock().unwrap().push(report.bytes_sent);
        let client =
            builder(&server).transport(TransportPolicy::SseOnly).auth(auth).observer(observer);
        let client = client.build().unwrap();
        let response = client.respond(&request(&["hi"])).await.unwrap();
        assert_eq!(*seen.lock().unwrap(), [response.report().bytes_sent]);
        let sent = &server.log().requests[0].headers;
        assert!(sent.iter().any(|it| it.0 == "authorization" && it.1 == "Bearer t"));
    }
}

#[tokio::test(start_paused = true)]
async fn c189_events_and_errors_are_matched_as_guessed() {
    let refused = Turn::error(400, "context_length_exceeded", "Too long.");
    let server = ScriptedServer::in_memory(vec![Turn::text("Hi"), refused]);
    let mut session = builder(&server).build().unwrap().session();
    let stream = session.stream(&request(&["hi"])).await.unwrap();
    let events: Vec<ResponseEvent> = stream.try_collect().await.unwrap();
    let items = events.iter().filter_map(|event| match event {
        ResponseEvent::OutputItemAdded(it) => it.item.as_ref().map(|item| item.item_type()),
        ResponseEvent::OutputItemDone(it) => it.item.role(),
        ResponseEvent::Completed(it) => it.response.get("id").map(|_| "id"),
        _ => None,
    });
    assert_eq!(items.collect::<Vec<_>>(), ["message", "assistant", "id"]);
    let error: Error = session.respond(&request(&["hi"])).await.unwrap_err();
    assert_eq!((error.kind(), error.status()), (ErrorKind::Api, Some(400)));
    assert_eq!(error.code(), Some(&ErrorCode::ContextLengthExceeded));
    assert!(!matches!(error.retry_action(), RetryAction::Retry | RetryAction::RetryMayRepeat));
    assert_eq!(error.retry_action(), RetryAction::ChangeRequest);
}

#[tokio::test(start_paused = true)]
async fn c189_a_script_calls_functions_by_name_and_arguments() {
    let server = ScriptedServer::in_memory([
        Turn::function_call("search", r#"{"query": "x"}"#),
        Turn::function_call("search", json!({"query": "x"})),
    ]);
    let client = builder(&server).build().unwrap();
    let mut ids = Vec::new();
    for _ in 0..2 {
        let calls = client.respond(&request(&["hi"])).await.unwrap().function_calls();
        assert_eq!((calls.len(), calls[0].name.as_str()), (1, "search"));
        assert_eq!(calls[0].arguments::<Value>().unwrap(), json!({"query": "x"}));
        ids.push(calls[0].call_id.to_string());
    }
    assert!(ids[0] != ids[1] && ids.iter().all(|id| id.starts_with("call_")), "{ids:?}");
}
